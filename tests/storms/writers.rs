//! Commands that share what they read, and that write to the same place.

use std::fs;

use crate::form::of_form;
use crate::starter::all_at_once;
use crate::world::{Outcome, World};

/// Watched commands that are started together.
const WATCHED: usize = 32;
/// Commands that write to the same path.
const RIVALS: usize = 8;

#[test]
fn thirty_two_watched_runs_that_share_inputs() {
    let rounds = of_form(1, 20);
    let world = World::new();
    world.write("list", "shared\n");
    let line = |number: usize| {
        format!("read name < list; cat $name; wc -c < $name > made{number}; echo {number} >> made{number}")
    };
    let run = |number: usize| world.fleche(["run", "-v", "--trace", "on", "--", "/bin/sh", "-c", &line(number)]);
    let mut stored = 0;
    for round in 0..rounds {
        let shared = format!("round {round}\n").repeat(50);
        world.write("shared", &shared);
        for pass in ["stored", "hit"] {
            (0..WATCHED).for_each(|number| drop(fs::remove_file(world.path(format!("made{number}")))));
            let outcomes = all_at_once((0..WATCHED).map(run).collect());
            for (number, outcome) in outcomes.iter().enumerate() {
                let said = outcome.stderr();
                if said.contains("watch") && said.contains("not stored") && round == 0 && number == 0 {
                    return println!("skipped: watched runs: {said}");
                }
                let made = world.read(format!("made{number}"));
                let right = (0, shared.clone(), format!("{}\n{number}\n", shared.len()));
                assert_eq!((outcome.code(), outcome.stdout(), made), right, "{pass}: {said}");
                // What was touched too lately to be told apart from a change is not stored; that is no failure.
                if pass == "stored" {
                    stored += usize::from(said.contains("stored ") && !said.contains("not stored"));
                } else {
                    assert!(said.contains("hit"), "{said}");
                }
            }
        }
    }
    world.fleche(["verify"]).prints("");
    println!("watched: {rounds} rounds of {WATCHED}, run and replayed, {stored} stored, 0 failures");
}

#[test]
fn commands_that_write_to_the_same_path() {
    let rounds = of_form(12, 200);
    let world = World::new();
    let tool = world.counted("tool", "echo $1; echo $1 > same; cat input >> same");
    let run =
        |number: usize| world.fleche(["run", "-i", "input", "-o", "same", "--"]).arg(&tool).arg(number.to_string());
    let right = |outcome: &Outcome, number: usize| {
        assert_eq!((outcome.code(), outcome.stdout()), (0, format!("{number}\n")));
        // One that saw the others write, or came upon what they left, says in a line that it cannot be stored.
        let said = outcome.stderr();
        assert!(said.is_empty() || said.lines().count() == 1 && said.contains("not stored: output `same` "), "{said}");
    };
    for round in 0..rounds {
        world.write("input", format!("{round}\n"));
        let outcomes = all_at_once((0..RIVALS).map(run).collect());
        // Bare, the file would hold what any of them wrote.
        outcomes.iter().enumerate().for_each(|(number, outcome)| right(outcome, number));
        // Alone, each leaves what it leaves bare, whatever was stored when they were at it together.
        for number in 0..RIVALS {
            let _ = fs::remove_file(world.path("same"));
            right(&run(number).run(), number);
            assert_eq!(world.read("same"), format!("{number}\n{round}\n"), "round {round}");
        }
    }
    println!("rivals: {rounds} rounds of {RIVALS}, each replayed alone, 0 failures");
}

#[test]
fn a_command_and_what_runs_inside_of_it_may_write_to_the_same_path() {
    let world = World::new();
    world.write("input", "1\n");
    let tool = world.counted("tool", "cp input same");
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let outer = world.counted("outer", &format!("'{fleche}' run -i input -o same -- '{}'", tool.display()));
    for _ in 0..2 {
        let _ = fs::remove_file(world.path("same"));
        world.fleche(["run", "-i", "input", "-o", "same", "--"]).arg(&outer).prints("");
        assert_eq!(world.read("same"), "1\n");
    }
    // What ran inside was stored, too.
    let _ = fs::remove_file(world.path("same"));
    // A shell tells what it starts where it is.
    let alone = world.fleche(["run", "-i", "input", "-o", "same", "--"]).env("PWD", world.work());
    alone.arg(&tool).prints("");
    assert_eq!((world.executions("outer"), world.executions("tool")), (1, 1));
}

const MAKEFILE: &str = "\
NUMBERS := $(shell seq 24)

all: $(NUMBERS:%=out/%)

out/%: in/% | out
\tsort $< > $@; echo made $@

out:
\tmkdir -p $@
";

#[test]
fn a_nested_storm_of_make() {
    let (world, twin) = (World::new(), World::new());
    for world in [&world, &twin] {
        world.write("Makefile", MAKEFILE);
        (1..=24).for_each(|number| drop(world.write(format!("in/{number}"), format!("b{number}\na{number}\n"))));
    }
    let shell = format!("SHELL={} shell", env!("CARGO_BIN_EXE_fleche"));
    let sorted = |outcome: &Outcome| {
        let text = outcome.stdout();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (outcome.code(), outcome.stderr(), lines)
    };
    let build = |world: &World, words: &[&str]| {
        let _ = fs::remove_dir_all(world.path("out"));
        let outcome = world.program("make", words).run();
        let files: Vec<String> = (1..=24).map(|number| world.read(format!("out/{number}"))).collect();
        (sorted(&outcome), files)
    };
    let bare = build(&twin, &["-j8"]);
    assert_eq!(bare.0.0, 0, "{:?}", bare.0);
    let rounds = of_form(2, 20);
    (0..rounds).for_each(|round| assert_eq!(build(&world, &["-j8", &shell]), bare, "round {round}"));
    // One more time around all of it, which is nested then.
    let nested: Vec<&str> = vec!["run", "--pure", "--", "make", "-j8", &shell];
    let _ = fs::remove_dir_all(world.path("out"));
    assert_eq!(sorted(&world.fleche(nested).run()), bare.0);
    world.fleche(["verify"]).prints("");
    println!("make: {rounds} rounds of -j8 with 24 recipes, and one nested, 0 failures");
}
