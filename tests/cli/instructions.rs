//! What hits cost in instructions, which no other process on the machine changes: they may not grow by more than a quarter
//! over `benches/baseline.txt`. `FLECHE_BLESS=1 cargo test --test cli instructions` writes it anew.
//!
//! Counted are those of the build that is tested, which is no release: its figures are larger, and grow with the same code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::{Session, World, settle};

/// Inputs of the larger case.
const FILES: usize = 1000;

/// A session of `fleche run -v` with these inputs, counted or not. What counts changes the environment, and leaves the first free
/// descriptor open.
fn run(world: &World, counted: bool, inputs: &str) -> Session {
    let counting = "valgrind -q --tool=callgrind --callgrind-out-file=$HOME/counted --log-file=/dev/null";
    let start = if counted { counting } else { "exec 3>/dev/null; exec" };
    let fleche = env!("CARGO_BIN_EXE_fleche");
    world.shell(&format!("{start} {fleche} run -v --env-mode listed -i {inputs} -- ./tool"))
}

/// How many instructions a hit takes.
fn count(world: &World, inputs: &str) -> u64 {
    let is_hit = |counted| {
        let outcome = run(world, counted, inputs).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "done\n"), "{}", outcome.stderr());
        outcome.stderr().contains(": hit ")
    };
    assert!(!is_hit(false) && is_hit(false) && is_hit(true));
    let counted = fs::read_to_string(world.home().join("counted")).unwrap();
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}

fn counts() -> BTreeMap<String, u64> {
    let world = World::new();
    world.script("tool", "#!/bin/sh\necho done\n");
    world.write("input", "1\n");
    for number in 0..FILES {
        world.write(format!("in/{}/f{number}", number / 100), format!("{number}\n"));
    }
    settle(&world.path(format!("in/9/f{}", FILES - 1)));
    let cases = [("hit".to_owned(), "input"), (format!("hit that looks at {FILES} files"), "in")];
    cases.into_iter().map(|(case, inputs)| (case, count(&world, inputs))).collect()
}

#[test]
fn a_hit_takes_no_more_instructions_than_it_did() {
    let can_count = Command::new("valgrind").arg("--version").output().is_ok_and(|told| told.status.success());
    if !can_count || cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        println!("skipped: there is no valgrind, or no x86-64");
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baseline.txt");
    let counts = counts();
    if std::env::var_os("FLECHE_BLESS").is_some() {
        let lines: String = counts.iter().map(|(case, count)| format!("{count:>12}  {case}\n")).collect();
        fs::write(&file, lines).unwrap();
    }
    let text = fs::read_to_string(&file).unwrap();
    let split = |line: &str| {
        let (count, case) = line.trim_start().split_once("  ").unwrap();
        (case.to_owned(), count.parse().unwrap())
    };
    let baseline: BTreeMap<String, u64> = text.lines().map(split).collect();
    assert!(baseline.keys().eq(counts.keys()), "{text}");
    for (case, count) in counts {
        let most = baseline[&case] + baseline[&case] / 4;
        assert!(count <= most, "{case}: {count} instructions, more than a quarter above {}", file.display());
    }
}
