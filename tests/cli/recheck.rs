//! `fleche verify --rerun`: whether a command does again what is recorded, in a private folder.

use std::fs;

use crate::world::{Session, World, tool, world};

fn rerun(world: &World) -> Session {
    let temporary = world.root().join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    world.fleche(["verify", "--rerun"]).env("TMPDIR", temporary).env("STATE", world.home())
}

/// The key that is stored; there must be one.
fn key(world: &World) -> String {
    let outcome = world.fleche(["query", "--latest"]).run();
    outcome.stdout().trim_end().to_owned()
}

/// Runs the tool, in the environment in which it is run again.
#[track_caller]
fn record(world: &World, options: &[&str]) {
    let outcome = tool(world, options).env("TMPDIR", world.root().join("temporary")).env("STATE", world.home()).run();
    assert_eq!(outcome.code(), 0, "{}", outcome.stderr());
}

#[track_caller]
fn is_skipped(world: &World, why: &str) {
    let key = key(world);
    rerun(world).arg("-v").ends(0, "", &format!("fleche: {} is skipped: {why}\n", &key[..12]));
    assert_eq!(world.executions("tool"), 1);
}

fn is_clean(world: &World) {
    assert_eq!(fs::read_dir(world.root().join("temporary")).unwrap().count(), 0);
}

#[test]
fn what_does_the_same_is_not_told_of() {
    let world =
        world("cat input folder/a; mkdir made; cp folder/a made/b; ln -s b made/l; echo err >&2; chmod 750 made");
    world.write("folder/a", "a\n");
    record(&world, &["-i", "folder", "-o", "made"]);
    fs::remove_dir_all(world.path("made")).unwrap();
    rerun(&world).prints("");
    let key = key(&world);
    rerun(&world).arg("-v").arg(&key).ends(0, "", &format!("fleche: {} does the same\n", &key[..12]));
    assert_eq!(world.executions("tool"), 3);
    assert!(!world.path("made").exists());
    is_clean(&world);
}

#[test]
fn what_does_something_else_is_printed_and_tagged() {
    for (body, what) in [
        ("echo $$", "standard output"),
        ("echo $$ >&2", "standard error"),
        ("echo $$ > out", "output `out`"),
        ("exit $(cat \"$STATE/status\")", "exit status 3, not 0"),
        ("date +%N; date +%N > out", "standard output, output `out`"),
        ("if [ -e \"$STATE/second\" ]; then chmod 600 input; fi; cp -p input out", "output `out`"),
    ] {
        let world = world(body);
        fs::write(world.home().join("status"), "0\n").unwrap();
        record(&world, &["-o", "out"]);
        let key = key(&world);
        fs::write(world.home().join("status"), "3\n").unwrap();
        fs::write(world.home().join("second"), "").unwrap();
        let outcome = rerun(&world).run();
        let printed = format!("key\tname\tdifferent\n{key}\ttool\t{what}\n");
        outcome.check(1, &printed, "fleche: 1 command does something else\n");
        world.fleche(["query", "--tag", "nondeterministic=yes"]).prints(&format!("{key}\n"));
        assert_eq!(world.read("input"), "1\n");
        is_clean(&world);
    }
}

#[test]
fn an_owned_folder_may_have_been_there_or_not() {
    // It is missing first, and made for a second try where the command wants it.
    for (body, executions) in
        [("mkdir out; echo a > out/a", 2), ("echo a > out/a", 3), ("mkdir -p out; echo a > out/a", 2)]
    {
        let world = world(body);
        if !body.starts_with("mkdir out") {
            fs::create_dir(world.path("out")).unwrap();
        }
        record(&world, &["-o", "out/"]);
        rerun(&world).prints("");
        assert_eq!(world.executions("tool"), executions, "{body}");
        is_clean(&world);
    }
}

#[test]
fn outputs_in_folders_that_are_there_find_them() {
    let world = world("mkdir made; cp input made/a; cp input build/deep/out");
    fs::create_dir_all(world.path("build/deep")).unwrap();
    record(&world, &["-o", "made", "-o", "build/deep/out"]);
    rerun(&world).prints("");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn what_is_not_what_it_was_is_skipped() {
    let world = world("cat input");
    record(&world, &[]);
    world.write("input", "2\n");
    is_skipped(&world, "input `input` is not what it was");
    world.write("input", "1\n");
    let key = key(&world);
    let said = format!("fleche: {} is skipped: `env.COLOUR` is not what it was\n", &key[..12]);
    rerun(&world).env("COLOUR", "red").arg("-v").ends(0, "", &said);
    rerun(&world).env("COLOUR", "red").ends(0, "", "fleche: 1 call was skipped; -v says why\n");
    world.counted("tool", "cat input input");
    let outcome = rerun(&world).arg("-v").run();
    assert!(outcome.stderr().contains("`program"), "{}", outcome.stderr());
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn what_may_touch_something_else_is_skipped() {
    let line = "cat input > ../out";
    let world = World::new();
    world.write("input", "1\n");
    world.fleche(["run", "-i", "input", "--", "sh", "-c", line]).run();
    let outcome = rerun(&world).env_remove("TMPDIR").env_remove("STATE").arg("-v").run();
    assert!(outcome.stderr().ends_with("`cat input > ../out` may name something outside of a private folder\n"));

    world.counted("save", "cat input > \"$OUT\"");
    for (command, why) in [
        (&["./save"][..], "variable `OUT` names its root"),
        (&["sh", "-c", "cat input > \"$OUT\""], "may name something outside"),
        (&["sh", "-c", "cat input > ${OUT}"], "may name something outside"),
    ] {
        let out = world.path("o");
        let words = [&["run", "-i", "input", "-i", "save", "--"], command].concat();
        assert_eq!(world.fleche(words).env("OUT", &out).run().code(), 0);
        fs::remove_file(&out).unwrap();
        let outcome =
            rerun(&world).env_remove("TMPDIR").env_remove("STATE").env("OUT", &out).arg("-v").arg(key(&world)).run();
        assert!(outcome.stderr().contains(why), "{}", outcome.stderr());
        assert!(!out.exists());
    }
}

#[test]
fn what_is_not_recorded_is_skipped() {
    let world = world("cat");
    fs::create_dir(world.root().join("temporary")).unwrap();
    tool(&world, &["--redact-arg", "--token=*"]).arg("--token=hush").run();
    is_skipped(&world, "an argument was redacted");
}

#[test]
fn a_result_that_tells_of_the_folder_proves_nothing() {
    let world = world("pwd");
    record(&world, &[]);
    let key = key(&world);
    let said = format!("fleche: {} is skipped: its result tells in which folder it was made\n", &key[..12]);
    rerun(&world).arg("-v").ends(0, "", &said);
    assert_eq!(world.executions("tool"), 2);
    is_clean(&world);
}

#[test]
fn nothing_stays_behind_of_a_command_that_is_killed_or_locks_its_folders() {
    let world =
        world("mkdir -p deep/er; : > deep/er/f; chmod 0 deep/er; if [ -e \"$STATE/second\" ]; then kill -TERM $$; fi");
    record(&world, &[]);
    fs::write(world.home().join("second"), "").unwrap();
    let key = key(&world);
    let printed = format!("key\tname\tdifferent\n{key}\ttool\tended by signal 15\n");
    rerun(&world).ends(1, &printed, "fleche: 1 command does something else\n");
    world.fleche(["query", "--tag", "nondeterministic=yes"]).prints(&format!("{key}\n"));
    is_clean(&world);
}

#[test]
fn a_command_that_dies_does_not_keep_the_others_from_being_run() {
    let world = world("if [ -e \"$STATE/second\" ]; then kill -KILL $$; fi");
    world.counted("other", "cat input");
    record(&world, &[]);
    let dying = key(&world);
    let temporary = world.root().join("temporary");
    world
        .fleche(["run", "-i", "input", "--", "./other"])
        .env("TMPDIR", temporary)
        .env("STATE", world.home())
        .prints("1\n");
    fs::write(world.home().join("second"), "").unwrap();
    let printed = format!("key\tname\tdifferent\n{dying}\ttool\tended by signal 9\n");
    rerun(&world).ends(1, &printed, "fleche: 1 command does something else\n");
    assert_eq!((world.executions("tool"), world.executions("other")), (2, 2));
}

#[test]
fn a_signal_that_reaches_fleche_ends_the_verification() {
    let body = "if [ -e \"$STATE/second\" ]; then trap 'exit 0' TERM; read line < \"$STATE/gate\"; fi";
    let world = world(body);
    record(&world, &[]);
    world.program("mkfifo", [world.home().join("gate")]).prints("");
    fs::write(world.home().join("second"), "").unwrap();
    let verification = rerun(&world).start();
    crate::world::eventually("the second run", || world.executions("tool") == 2);
    // SAFETY: kill(2) on a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(verification.id() as i32, libc::SIGTERM) }, 0);
    let output = verification.wait_with_output().unwrap();
    let said = format!("fleche: {} was ended by signal 15\n", &key(&world)[..12]);
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), said));
    is_clean(&world);
}

#[test]
fn a_call_in_a_project_is_run_in_a_folder_of_the_same_name() {
    let world = World::new();
    world.write("fleche.toml", "");
    world.write("sub/input", "1\n");
    let line = "cat input; echo work; cp input out";
    let session = world.fleche(["run", "-i", "input", "-o", "out", "--", "sh", "-c", line]);
    session.current_dir(world.path("sub")).prints("1\nwork\n");
    rerun(&world).env_remove("TMPDIR").env_remove("STATE").prints("");
}

#[test]
fn outputs_of_a_call_with_an_input_above_its_root_are_called_what_they_are_called_there() {
    let world = world("cat input ../beside > out");
    fs::write(world.root().join("beside"), "b\n").unwrap();
    record(&world, &["-i", "../beside", "-o", "out"]);
    rerun(&world).prints("");
    assert_eq!((world.executions("tool"), world.read("out").as_str()), (2, "1\nb\n"));
}

#[test]
fn a_program_that_is_found_by_a_whole_path_below_the_root_is_not_run_again() {
    let world = world("cat input");
    let tool = world.path("tool");
    let run = world.fleche(["run", "-i", "input", "--", tool.to_str().unwrap()]);
    run.env("TMPDIR", world.root().join("temporary")).env("STATE", world.home()).prints("1\n");
    is_skipped(&world, "its program is found by a whole path below its root");
}

#[test]
fn a_command_that_is_given_a_stored_value_is_run_with_it() {
    let world = world("cat input");
    record(&world, &[]);
    let value = key(&world);
    world.counted("show", "cat \"${1#--x=}\"");
    for word in [format!("fleche:{value}"), format!("--x=fleche:{value}")] {
        let temporary = world.root().join("temporary");
        let run = world.fleche(["run", "-i", "show", "--", "./show", &word]).env("TMPDIR", temporary);
        run.env("STATE", world.home()).prints("1\n");
        let shown = key(&world);
        let before = world.executions("show");
        let said = format!("fleche: {} does the same\n", &shown[..12]);
        rerun(&world).arg("-v").arg(&shown).ends(0, "", &said);
        assert_eq!(world.executions("show"), before + 1);
    }
}

#[test]
fn a_rerun_has_a_home_and_temporary_files_of_its_own() {
    // In a file: what a command line says of its home is reason enough not to run it.
    let world =
        world("[ -d \"$HOME\" ] && [ -d \"$TMPDIR\" ] && echo own; echo more | tee -a \"$HOME/s\" >\"$TMPDIR/t\"");
    let run = |words: &[&str]| world.fleche(words).env("TMPDIR", world.root().join("temporary"));
    fs::create_dir(world.root().join("temporary")).unwrap();
    let files =
        || [world.home().join("s"), world.root().join("temporary/t")].map(|path| fs::read_to_string(path).unwrap());
    run(&["run", "-i", "input", "--", "./tool"]).prints("own\n");
    assert_eq!(files(), ["more\n"; 2]);
    fs::write(world.root().join("temporary/t"), "").unwrap();
    let said = format!("fleche: {} does the same\n", &key(&world)[..12]);
    run(&["verify", "--rerun", "-v"]).ends(0, "", &said);
    assert_eq!((files(), world.executions("tool")), (["more\n".to_owned(), String::new()], 2));
}

#[test]
fn an_input_that_is_a_link_is_no_reason_to_doubt_a_command() {
    let world = World::new();
    world.write("d/t", "T\n");
    std::os::unix::fs::symlink("d/t", world.path("l")).unwrap();
    world.fleche(["run", "-i", "l", "--", "cat", "l"]).prints("T\n");
    let outcome = world.fleche(["verify", "--rerun", "-v"]).run();
    assert!(outcome.stderr().contains("input `l` is a link"), "{}", outcome.stderr());
    world.fleche(["query", "--tag", "nondeterministic"]).ends(1, "", "fleche: no call matches\n");
}
