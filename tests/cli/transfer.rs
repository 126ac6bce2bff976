//! Calls on their way to other caches: `transfer`, `export`, `import`; and what a cache is kept down to.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::world::{Session, World, eventually};

fn with(world: &World, cache: &str, words: &[&str]) -> Session {
    world.fleche(["--cache", cache].iter().chain(words))
}

/// The folder of another cache.
fn other(world: &World, name: &str) -> String {
    world.root().join(name).display().to_string()
}

/// Records so many commands, each with an output of some size.
fn recorded(world: &World, count: usize) -> BTreeSet<String> {
    world.write("in", "");
    for number in 0..count {
        let line = format!("seq {number} 20000 > out; echo {number}");
        world.fleche(["run", "-i", "in", "-o", "out", "--", "sh", "-c", &line]).prints(&format!("{number}\n"));
    }
    keys(world, "local")
}

fn keys(world: &World, cache: &str) -> BTreeSet<String> {
    with(world, cache, &["query"]).run().stdout().lines().map(str::to_owned).collect()
}

#[test]
fn transferred_calls_replay_where_they_go_and_stay_or_not_where_they_were() {
    let world = World::new();
    let all = recorded(&world, 3);
    let there = other(&world, "there");
    world.fleche(["transfer", "--from", "local", "--to", &there]).prints("");
    assert_eq!((keys(&world, "local"), keys(&world, &there)), (all.clone(), all.clone()));
    with(&world, &there, &["verify"]).prints("");
    let line = "seq 1 20000 > out; echo 1";
    fs::remove_file(world.path("out")).unwrap();
    let hit = with(&world, &there, &["-v", "run", "-i", "in", "-o", "out", "--", "sh", "-c", line]).run();
    assert!(hit.stderr().contains("hit") && world.read("out").ends_with("20000\n"), "{}", hit.stderr());
    // What is needed to run it again went with it, and what only its own cache can tell is told so.
    let key = with(&world, &there, &["query", "--arg", &format!("2={line}")]).run().stdout().trim().to_owned();
    with(&world, &there, &["rerun", &key]).prints("1\n");
    world.fleche(["transfer", "--from", "local", "--to", &other(&world, "third"), "--pop"]).prints("");
    assert_eq!((keys(&world, "local").len(), keys(&world, &other(&world, "third"))), (0, all));
}

#[test]
fn a_call_that_came_from_elsewhere_is_explained_as_far_as_it_can_be() {
    let world = World::new();
    let there = other(&world, "there");
    world.fleche(["run", "--pure", "--", "echo", "one"]).prints("one\n");
    world.fleche(["transfer", "--from", "local", "--to", &there]).prints("");
    let explained = |variable: &str, word: &str| {
        with(&world, &there, &["explain", "--pure", "--", "echo", word]).env("SOME", variable).run().stdout()
    };
    let told = explained("x", "one");
    assert!(told.contains("it was recorded for another cache"), "{told}");
    let told = explained("x", "two");
    assert!(told.contains("argument 1 is `two`, was `one`"), "{told}");
}

#[test]
fn what_is_there_stays_unless_it_is_to_be_overwritten() {
    let world = World::new();
    let (there, line) = (other(&world, "there"), ["run", "--pure", "--", "sh", "-c", "date +%N"]);
    world.fleche(line).run();
    let old = with(&world, &there, &line).run().stdout();
    let replayed = || with(&world, &there, &line).run().stdout();
    world.fleche(["transfer", "--from", "local", "--to", &there]).prints("");
    assert_eq!(replayed(), old);
    world.fleche(["transfer", "--from", "local", "--to", &there, "--overwrite"]).prints("");
    assert_eq!(replayed(), world.fleche(line).run().stdout());
    assert_ne!(replayed(), old);
}

#[test]
fn only_the_chosen_ones_go_and_a_dry_run_moves_nothing() {
    let world = World::new();
    let all = recorded(&world, 3);
    let there = other(&world, "there");
    let chosen = ["--arg", "2=*echo 1"];
    let dry = world.fleche([&["transfer", "--from", "local", "--to", &there, "--dry-run"][..], &chosen].concat()).run();
    assert_eq!(dry.stdout().lines().count(), 1);
    assert!(!PathBuf::from(&there).exists());
    world.fleche([&["transfer", "--from", "local", "--to", &there, "--pop"][..], &chosen].concat()).prints("");
    let (left, gone) = (keys(&world, "local"), keys(&world, &there));
    assert_eq!((left.len(), gone.len()), (2, 1));
    assert_eq!(left.union(&gone).cloned().collect::<BTreeSet<_>>(), all);
    let same = world.fleche(["transfer", "--from", "local", "--to", "local"]).run();
    assert_eq!((same.code(), same.stderr().contains("the same one")), (2, true));
}

#[test]
fn an_exported_file_is_imported_elsewhere() {
    let world = World::new();
    let all = recorded(&world, 3);
    let there = other(&world, "there");
    world.fleche(["export", "calls.fleche"]).prints("");
    let size = fs::metadata(world.path("calls.fleche")).unwrap().len();
    with(&world, &there, &["import", "calls.fleche"]).prints("");
    assert_eq!(keys(&world, &there), all);
    with(&world, &there, &["verify"]).prints("");
    // Through a pipe, and again.
    let piped = world.shell(&format!("fleche export - | fleche --cache '{}' import -", other(&world, "piped"))).run();
    assert_eq!((piped.code(), keys(&world, &other(&world, "piped"))), (0, all));
    let again = with(&world, &there, &["-v", "import", "calls.fleche"]).run();
    assert_eq!((again.code(), again.stderr().matches("is there already").count()), (0, 3));
    assert!(size < 400_000, "{size}");
}

#[test]
fn an_export_without_what_is_damaged_says_so() {
    let world = World::new();
    let all = recorded(&world, 3);
    let there = other(&world, "there");
    let values = walkdir::WalkDir::new(world.cache().join("values")).into_iter().map(Result::unwrap);
    let value = values.filter(|entry| entry.file_type().is_file()).max_by_key(|entry| entry.metadata().unwrap().len());
    fs::remove_file(value.unwrap().path()).unwrap();
    let outcome = world.fleche(["export", "calls.fleche"]).run();
    let told = outcome.stderr();
    assert_eq!((outcome.code(), told.matches("is left out").count()), (1, 1), "{told}");
    assert!(told.ends_with("fleche: 1 call was left out\n"), "{told}");
    // What is in it is whole.
    with(&world, &there, &["import", "calls.fleche"]).prints("");
    assert!(keys(&world, &there).len() == 2 && keys(&world, &there).is_subset(&all));
    let piped = world.shell(&format!("fleche export - | fleche --cache '{}' import -", other(&world, "piped"))).run();
    assert_eq!(keys(&world, &other(&world, "piped")), keys(&world, &there), "{piped:?}");
}

#[test]
fn an_import_that_is_cut_short_keeps_whole_calls_and_the_next_one_finishes() {
    let world = World::new();
    let all = recorded(&world, 3);
    let there = other(&world, "there");
    world.fleche(["export", "calls.fleche"]).prints("");
    let bytes = fs::read(world.path("calls.fleche")).unwrap();
    for part in 1..8 {
        world.write("cut.fleche", &bytes[..bytes.len() * part / 8]);
        let outcome = with(&world, &there, &["import", "cut.fleche"]).run();
        assert_eq!(outcome.code(), 2);
        assert!(outcome.stderr().contains("cut short"), "{}", outcome.stderr());
        with(&world, &there, &["verify"]).prints("");
    }
    with(&world, &there, &["import", "calls.fleche"]).prints("");
    assert_eq!(keys(&world, &there), all);
}

#[test]
fn no_value_of_the_environment_is_in_an_exported_file() {
    let world = World::new();
    let line = ["run", "--pure", "--redact-arg", "--token=*", "--", "echo", "--token=CANARY-ARGUMENT"];
    world.fleche(line).env("SECRET", "CANARY-VARIABLE").run();
    world.fleche(["run", "--pure", "--", "true"]).env("SECRET", "CANARY-VARIABLE").prints("");
    world.fleche(["export", "calls.fleche", "--name", "true"]).prints("");
    let bytes = fs::read(world.path("calls.fleche")).unwrap();
    assert!(memchr::memmem::find(&bytes, b"CANARY").is_none());
    let secret = fs::read(world.cache().join("secret")).unwrap();
    assert!(memchr::memmem::find(&bytes, &secret).is_none());
}

#[test]
fn a_job_carries_on_what_it_used_and_no_more() {
    let world = World::new();
    let echo = |word: &str| world.fleche(["run", "--pure", "--", "echo", word]);
    echo("before").run();
    echo("replayed").run();
    echo("replayed").env("FLECHE_SESSION", "job/1").run();
    echo("stored").env("FLECHE_SESSION", "job/1").run();
    world.fleche(["export", "--touched", "job.fleche"]).env("FLECHE_SESSION", "job/1").prints("");
    let there = other(&world, "there");
    with(&world, &there, &["import", "job.fleche"]).prints("");
    let words = with(&world, &there, &["table", "--columns", "arg.1", "--sort", "arg.1"]).run().stdout();
    assert_eq!(words, "arg.1\nreplayed\nstored\n");
    let none = world.fleche(["export", "--touched", "x"]).run();
    assert_eq!((none.code(), none.stderr().contains("FLECHE_SESSION is not set")), (2, true));
    // The next step of the job expects the file.
    let nothing = world.fleche(["export", "--touched", "x"]).env("FLECHE_SESSION", "job/2").run();
    assert_eq!((nothing.code(), nothing.stderr().contains("nothing was used in the session `job/2`")), (0, true));
    with(&world, &there, &["import", "x"]).prints("");
}

#[test]
fn a_cache_keeps_itself_within_its_limits_while_others_go_on() {
    let world = World::new();
    let limits = [
        ("entries", "max-entries = 10"),
        ("size", "max-size = \"300KiB\""),
        ("age", "max-age = \"1ms\"\nmax-entries = 1000"),
    ];
    let mut text = String::new();
    for (name, limit) in limits {
        text += &format!("[caches.{name}]\npath = \"{}\"\n{limit}\n", world.root().join(name).display());
    }
    world.write(world.home().join(".config/fleche/config.toml"), text);
    for (name, _) in limits {
        let first = with(&world, name, &["run", "--pure", "--tag", "pin=yes", "--", "echo", "pinned"]).run();
        assert_eq!(first.stdout(), "pinned\n");
        let running: Vec<_> = (0..40)
            .map(|number| {
                let line = format!("seq {number} 6000");
                with(&world, name, &["run", "--pure", "--", "sh", "-c", &line]).start()
            })
            .collect();
        for child in running {
            assert!(child.wait_with_output().unwrap().status.success());
        }
        let count = || with(&world, name, &["query", "--count"]).run().stdout().trim().parse::<usize>().unwrap();
        if name != "age" {
            eventually("a cache within its limits", || count() <= 11);
        }
        // The pinned one stays.
        with(&world, name, &["query", "--tag", "pin", "--count"]).prints("1\n");
        with(&world, name, &["verify"]).prints("");
    }
    let told = with(&world, "entries", &["stats"]).run().stdout();
    assert!(told.contains("evicted"), "{told}");
}

#[test]
fn what_is_taken_over_is_on_the_disk_with_all_folders_that_lead_to_it() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: there is no strace");
    }
    let world = World::new();
    recorded(&world, 1);
    let there = other(&world, "there");
    let list = world.root().join("synced");
    let strace = ["-f", "-qq", "-y", "-e", "trace=fsync", "-o", list.to_str().unwrap(), env!("CARGO_BIN_EXE_fleche")];
    let words = ["transfer", "--from", "local", "--to", &there];
    world.program("strace", strace.iter().chain(&words)).prints("");
    let told = fs::read_to_string(list).unwrap();
    let synced: BTreeSet<&str> =
        told.lines().filter_map(|line| line.split_once('<')?.1.split_once('>')).map(|it| it.0).collect();
    for kind in ["values", "calls", "paths"] {
        let files = walkdir::WalkDir::new(other(&world, &format!("there/{kind}"))).into_iter().map(Result::unwrap);
        let mut folders = 0;
        for entry in files.filter(|entry| entry.file_type().is_dir() || kind == "values") {
            assert!(synced.contains(entry.path().to_str().unwrap()), "{}: {told}", entry.path().display());
            folders += 1;
        }
        assert!(folders > 1, "{kind}");
    }
    assert!(synced.contains(there.as_str()), "{told}");
}
