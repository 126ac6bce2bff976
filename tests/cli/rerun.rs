//! Running again what is stored.

use crate::mask::masked;
use crate::world::{Session, World, tool, world};

/// Runs fleche; the last line of what it prints.
#[track_caller]
fn line(session: Session) -> String {
    let outcome = session.run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().lines().last().unwrap_or_default().to_owned()
}

fn key(world: &World) -> String {
    line(world.fleche(["query", "--latest"]))
}

#[test]
fn a_command_is_run_whatever_is_stored_and_its_record_replaced() {
    let world = world("date +%N > /dev/null; cat ../fresh");
    world.write("../fresh", "old\n");
    tool(&world, &["-t", "mine=yes"]).prints("old\n");
    let before = key(&world);
    world.write("../fresh", "new\n");
    tool(&world, &[]).prints("old\n");
    world.fleche(["rerun", "-i", "input", "-t", "more=1", "--", "./tool"]).prints("new\n");
    tool(&world, &[]).prints("new\n");
    assert_eq!((key(&world), world.executions("tool")), (before.clone(), 2));
    assert_eq!(line(world.fleche(["query", "--count"])), "1");
    for tag in ["mine=yes", "more=1"] {
        assert_eq!(line(world.fleche(["query", "--tag", tag])), before);
    }
}

#[test]
fn nested_runs_are_run_again_too() {
    let world = World::new();
    world.counted("inner", "echo inner");
    world.counted("outer", "fleche run -i outer -- ./inner");
    let outer = |verb: &str| world.shell(&format!("fleche {verb} -i inner -- ./outer"));
    let counts = || (world.executions("outer"), world.executions("inner"));
    outer("run").prints("inner\n");
    outer("run").prints("inner\n");
    assert_eq!(counts(), (1, 1));
    outer("rerun").prints("inner\n");
    assert_eq!(counts(), (2, 2));
    outer("run").prints("inner\n");
    assert_eq!(counts(), (2, 2));
    world.shell("fleche rerun -- ./outer 2>/dev/null").prints("inner\n");
    assert_eq!(counts(), (3, 3));
    assert_eq!(line(world.fleche(["query", "--count"])), "2");
}

#[test]
fn a_key_is_run_as_its_record_tells() {
    let world = World::new();
    world.script("sub/tool", "#!/bin/sh\ncat ../fresh; pwd; cat input > out; echo err >&2; exit 3\n");
    world.write("fresh", "old\n");
    world.write("sub/input", "1\n");
    let run = || {
        world
            .fleche(["run", "-i", "input", "-o", "out", "--cache-exit", "3", "--no-stdin", "-t", "a=1", "--", "./tool"])
            .current_dir(world.path("sub"))
            .env("PWD", world.path("sub"))
    };
    let said = |fresh: &str| format!("{fresh}\n{}\n", world.path("sub").display());
    run().ends(3, &said("old"), "err\n");
    world.write("fresh", "new\n");
    let key = key(&world);
    let again = || world.fleche(["rerun", &key[..12]]).env("PWD", world.work());
    again().ends(3, &said("new"), "err\n");
    run().ends(3, &said("new"), "err\n");
    assert_eq!(line(world.fleche(["query", "--tag", "a=1"])), key);
    // From a shell with something on standard input, and with both streams in one file: the record knows better.
    let both = "echo typed | \"$0\" rerun $1 2>&1";
    let program = env!("CARGO_BIN_EXE_fleche");
    let outcome = world.program("/bin/sh", ["-c", both, program, &key]).env("PWD", world.work()).run();
    assert_eq!((outcome.code(), outcome.stdout().len()), (3, said("new").len() + "err\n".len()));
    assert_eq!(line(world.fleche(["query", "--count"])), "1");
}

#[test]
fn another_environment_is_another_call_and_a_warning_says_so() {
    let world = world("echo $COLOUR");
    tool(&world, &[]).env("COLOUR", "red").prints("red\n");
    let old = key(&world);
    world.write("input", "2\n");
    let outcome = world.fleche(["rerun", &old]).env("COLOUR", "blue").run();
    let now = key(&world);
    assert_ne!(now, old);
    let said = format!(
        "fleche: recorded as {}, not as {}: variable `COLOUR` has another value; `input` changed\n",
        &now[..12],
        &old[..12]
    );
    outcome.check(0, "blue\n", &said);
    world.write("input", "1\n");
    tool(&world, &[]).env("COLOUR", "red").prints("red\n");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn what_the_record_does_not_hold_is_refused() {
    let world = world("cat");
    tool(&world, &["--redact-arg", "--token=*"]).arg("--token=hush").run();
    let redacted = key(&world);
    let refused = |key: &str, why: &str| {
        let said = format!("fleche: cannot run {} again: {why}\n", &key[..12]);
        world.fleche(["rerun", key]).ends(125, "", &said);
    };
    refused(&redacted, "an argument was redacted");
    tool(&world, &["--stdin"]).input("typed\n").prints("typed\n");
    refused(&key(&world), "its standard input is not stored");
    world.fleche(["rerun", "abcd"]).ends(125, "", "fleche: nothing is called `abcd`\n");
    let both = world.fleche(["rerun", "-i", "input", &redacted]).run();
    let hint = "fleche: how the command is recognised is in its record\nhint: fleche rerun OPTIONS -- COMMAND\n";
    both.check(125, "", hint);
    let read_only = world.fleche(["rerun", "-i", "input", "--", "./tool"]).env("FLECHE_MODE", "read-only");
    read_only.ends(125, "", "fleche: the cache is read-only\nhint: FLECHE_MODE=on\n");
    assert_eq!(world.fleche(["rerun"]).run().code(), 125);
    assert_eq!(world.fleche(["rerun", "--mode", "off", "--", "true"]).run().code(), 125);
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn a_folder_that_is_gone_is_refused() {
    let world = World::new();
    world.write("sub/input", "");
    world.fleche(["run", "-i", "input", "--", "echo", "a"]).current_dir(world.path("sub")).prints("a\n");
    let key = key(&world);
    std::fs::remove_dir_all(world.path("sub")).unwrap();
    let folder = world.path("sub");
    let said = format!(
        "fleche: cannot run {} again: cannot work in `{}`: no such file or directory\n",
        &key[..12],
        folder.display()
    );
    world.fleche(["rerun", &key]).ends(125, "", &said);
}

#[test]
fn a_run_that_cannot_be_stored_leaves_the_record_and_says_so() {
    let world = world("cat ../status; exit $(cat ../status)");
    world.write("../status", "0\n");
    tool(&world, &[]).prints("0\n");
    let key = key(&world);
    world.write("../status", "9\n");
    world.fleche(["rerun", &key]).ends(9, "9\n", &format!("fleche: {} is as it was: it exited with 9\n", &key[..12]));
    tool(&world, &[]).prints("0\n");
}

#[test]
fn tags_outlive_a_call_that_was_too_old() {
    let world = world("echo out");
    tool(&world, &["-t", "pin=yes"]).prints("out\n");
    let outcome = tool(&world, &["-v", "--ttl", "0s"]).run();
    assert_eq!(masked(&outcome.stderr()), "fleche: miss: the stored call is too old; stored <short> (took <time>)\n");
    assert_eq!(line(world.fleche(["query", "--tag", "pin=yes"])), key(&world));
}

#[test]
fn where_caching_is_off_it_runs_and_stores_nothing() {
    let world = World::new();
    world.counted("tool", "echo done");
    world.fleche(["rerun", "--pure", "--", "./tool"]).env("FLECHE_MODE", "off").prints("done\n");
    assert_eq!(world.executions("tool"), 1);
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
}
