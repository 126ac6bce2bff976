//! What makes no sense is refused and what cannot be kept is said: the thing is named, nothing stored, nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{World, tool, world};

/// Whether a call is stored.
fn is_stored(world: &World) -> bool {
    walkdir::WalkDir::new(world.cache().join("calls"))
        .into_iter()
        .any(|entry| entry.is_ok_and(|entry| entry.file_type().is_file()))
}

/// Refused: nothing ran, nothing is stored.
#[track_caller]
fn refused(world: &World, options: &[&str], said: &str) {
    tool(world, options).ends(125, "", said);
    assert_eq!((world.executions("tool"), is_stored(world)), (0, false));
}

/// Run as without fleche, with one line about why it is not stored.
#[track_caller]
fn not_stored(world: &World, options: &[&str], stdout: &str, said: &str) {
    for executions in 1..3 {
        tool(world, options).ends(0, stdout, said);
        assert_eq!((world.executions("tool"), is_stored(world)), (executions, false));
    }
    tool(world, &[&["-q"], options].concat()).ends(0, stdout, "");
}

#[test]
fn a_glob_without_match_is_refused() {
    let world = world("echo out");
    refused(&world, &["-i", "src/*.none"], "fleche: no input matches `src/*.none`\n");
    world.write("src/a.o", "");
    refused(&world, &["-i", "src/*", "-x", "*.o"], "fleche: no input matches `src/*`\n");
}

#[test]
fn a_glob_that_is_none_is_refused() {
    let world = world("echo out");
    let outcome = tool(&world, &["-i", "src/[a"]).run();
    assert_eq!((outcome.code(), outcome.stdout(), world.executions("tool")), (125, String::new(), 0));
    assert!(outcome.stderr().starts_with("fleche: ") && outcome.stderr().contains("`src/[a`"), "{outcome:?}");
    for flag in ["-x", "--env", "--ignore-env", "--ignore-arg", "--require-arg", "--redact-arg"] {
        let outcome = tool(&world, &[flag, "[a"]).run();
        assert_eq!((outcome.code(), outcome.stdout(), world.executions("tool")), (125, String::new(), 0), "{flag}");
        assert!(outcome.stderr().starts_with("fleche: ") && outcome.stderr().contains("`[a`"), "{flag}: {outcome:?}");
    }
}

#[test]
fn an_input_that_cannot_be_read_is_named_and_the_command_runs() {
    let world = world("echo out");
    world.write("secret", "1");
    world.write("src/deep/secret", "1");
    fs::set_permissions(world.path("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(world.path("src/deep/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    world.give_away();
    for (input, named) in [("secret", "secret"), ("src", "src/deep/secret"), ("src/**/*", "src/deep/secret")] {
        let said = format!(
            "fleche: not cached: input `{named}` cannot be read: permission denied; the command runs without it\n"
        );
        let words = ["run", "-i", "input", "-i", input, "--", "./tool"];
        world.program(world.root().join("fleche"), words).by_somebody().ends(0, "out\n", &said);
    }
    assert_eq!((world.executions("tool"), is_stored(&world)), (3, false));
}

#[test]
fn a_folder_that_cannot_be_read_is_named_and_the_command_runs() {
    let world = world("echo out");
    world.write("src/closed/file", "1");
    fs::set_permissions(world.path("src/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    world.give_away();
    let said =
        "fleche: not cached: input `src/closed` cannot be read: permission denied; the command runs without it\n";
    let words = ["run", "-i", "src", "--", "./tool"];
    world.program(world.root().join("fleche"), words).by_somebody().ends(0, "out\n", said);
    assert_eq!((world.executions("tool"), is_stored(&world)), (1, false));
    // So that the world can be removed.
    fs::set_permissions(world.path("src/closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_link_in_an_output_folder_that_leads_out_is_not_stored() {
    for (target, leads) in [("/etc", "leads out of the project"), ("../../..", "leads out of the project")] {
        let world = world(&format!("mkdir -p out; ln -sfn {target} out/link; echo out"));
        let said = format!("fleche: not stored: output `out/link` is a link that {leads}: `{target}`\n");
        not_stored(&world, &["-o", "out/"], "out\n", &said);
        assert_eq!(fs::read_link(world.path("out/link")).unwrap().to_str(), Some(target));
    }
}

#[test]
fn an_output_behind_a_link_is_not_stored() {
    let world = world("cp input out/made; echo out");
    fs::create_dir(world.root().join("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", world.path("out")).unwrap();
    let said = "fleche: not stored: output `out/made` lies behind the symbolic link `out`\n";
    tool(&world, &["-o", "out/made"]).ends(0, "out\n", said);
    assert_eq!(fs::read_to_string(world.root().join("outside/made")).unwrap(), "1\n");
    assert!(!is_stored(&world));
}

#[test]
fn a_fifo_as_output_is_not_stored() {
    for (options, path) in [(["-o", "made"], "made"), (["-o", "out/"], "out/made"), (["-o", "out/*"], "out/made")] {
        let world = world(&format!("mkdir -p out; rm -f {path}; mkfifo {path}; echo out"));
        let said = format!("fleche: not stored: output `{path}` is a FIFO\n");
        not_stored(&world, &options, "out\n", &said);
    }
}

#[test]
fn a_device_as_output_is_not_stored() {
    let world = world("echo out; echo x > /dev/full");
    let outcome = tool(&world, &["-o", "/dev/full", "--cache-exit", "1,2"]).run();
    assert_eq!(outcome.stdout(), "out\n");
    assert!(outcome.stderr().contains("fleche: not stored: output `/dev/full` is a device\n"), "{outcome:?}");
    assert!(!is_stored(&world));
}

#[test]
fn an_output_word_that_makes_no_sense_is_refused() {
    let world = world("echo out");
    for (word, said) in [
        ("", "fleche: an output has no name: `-o ''`\n"),
        ("/", "fleche: output `/` is the whole file system\n"),
        (".", "fleche: output `.` holds the working directory\n"),
        ("..", "fleche: output `..` holds the working directory\n"),
    ] {
        refused(&world, &["-o", word], said);
    }
}

#[test]
fn a_tag_without_name_or_value_is_refused() {
    let world = world("echo out");
    let hint = "hint: a tag is NAME=VALUE, such as project=alpha\n";
    for word in ["alpha", "=alpha", "1a=b", "a b=c", ""] {
        refused(&world, &["--tag", word], &format!("fleche: `{word}` is not a tag\n{hint}"));
    }
    let said = format!("fleche: `alpha` is not a tag\n{hint}");
    tool(&world, &[]).env("FLECHE_TAGS", "a=1,alpha").ends(125, "", &said);
    assert_eq!(world.executions("tool"), 0);
}

#[test]
fn a_missing_program_is_127() {
    let world = world("");
    world.fleche(["run", "-i", "input", "--", "nowhere"]).ends(
        127,
        "",
        "fleche: cannot run `nowhere`: no such file or directory\n",
    );
    world.fleche(["run", "--pure", "--", "./nowhere"]).ends(
        127,
        "",
        "fleche: cannot run `./nowhere`: no such file or directory\n",
    );
    world.fleche(["run", "-q", "nowhere"]).ends(127, "", "fleche: cannot run `nowhere`: no such file or directory\n");
    assert!(!is_stored(&world));
}

#[test]
fn a_program_that_cannot_be_executed_is_126() {
    let world = world("");
    fs::create_dir(world.path("folder")).unwrap();
    for name in ["./input", "./folder"] {
        let said = format!("fleche: cannot run `{name}`: permission denied\n");
        world.fleche(["run", "-i", "input", "--", name]).ends(126, "", &said);
        world.fleche(["run", "-q", name]).ends(126, "", &said);
    }
    assert!(!is_stored(&world));
}

/// A complaint about the command line: its first line, and nothing done.
#[track_caller]
fn complains(world: &World, words: &[&str], status: i32, first: &str) {
    let outcome = world.fleche(words).run();
    assert_eq!((outcome.code(), outcome.stdout()), (status, String::new()), "{outcome:?}");
    assert_eq!(outcome.stderr().lines().next(), Some(first));
    assert_eq!((world.executions("tool"), world.home().join(".cache").exists()), (0, false));
}

#[test]
fn flags_that_do_not_exist_are_refused() {
    let world = world("echo out");
    let first = "error: unexpected argument '--frobnicate' found";
    complains(&world, &["run", "--frobnicate", "--", "./tool"], 125, first);
    complains(&world, &["table", "--frobnicate"], 2, first);
    complains(&world, &["--frobnicate", "run", "--", "./tool"], 125, first);
    // Behind the command it is the command's.
    world.fleche(["run", "--pure", "echo", "--frobnicate", "-v", "-i"]).prints("--frobnicate -v -i\n");
}

#[test]
fn a_subcommand_that_does_not_exist_is_refused() {
    complains(&world(""), &["frobnicate"], 2, "error: unrecognized subcommand 'frobnicate'");
}

#[test]
fn no_command_is_refused() {
    let world = world("echo out");
    complains(&world, &["run"], 125, "error: the following required arguments were not provided:");
    complains(&world, &["run", "-i", "input", "--"], 125, "error: the following required arguments were not provided:");
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let world = world("echo out");
    for (words, first) in [
        (
            &["run", "--pure", "-i", "input", "./tool"][..],
            "error: the argument '--pure' cannot be used with '--input <PATH|GLOB>'",
        ),
        (&["run", "-q", "-v", "./tool"], "error: the argument '--quiet' cannot be used with '--verbose'"),
        (&["run", "--stdin", "--no-stdin", "./tool"], "error: the argument '--stdin' cannot be used with '--no-stdin'"),
        (&["run", "--stale", "1h", "./tool"], "fleche: --stale says how far beyond --ttl, and there is none"),
    ] {
        complains(&world, words, 125, first);
    }
}

#[test]
fn times_and_sizes_that_are_none_are_refused() {
    let world = world("echo out");
    for (flag, value, name) in [
        ("--ttl", "soon", "TIME"),
        ("--ttl", "10", "TIME"),
        ("--wait", "-1s", "TIME"),
        ("--failure-ttl", "1 parsec", "TIME"),
        ("--max-entry", "much", "SIZE"),
        ("--max-entry", "1.5GiB", "SIZE"),
        ("--max-entry", "99999999999TiB", "SIZE"),
        ("--cache-exit", "256", "CODE"),
        ("--cache-exit", "one", "CODE"),
    ] {
        let outcome = world.fleche(["run", &format!("{flag}={value}"), "-i", "input", "./tool"]).run();
        assert_eq!(
            (outcome.code(), outcome.stdout(), world.executions("tool")),
            (125, String::new(), 0),
            "{flag} {value}"
        );
        let first = format!("error: invalid value '{value}' for '{flag} <{name}>': ");
        assert!(outcome.stderr().starts_with(&first), "{outcome:?}");
    }
}

#[test]
fn words_that_are_not_among_those_that_can_be_are_refused() {
    let world = world("echo out");
    for (flag, value) in [("--mode", "sometimes"), ("--mtime", "then"), ("--env-mode", "some"), ("--program", "all")] {
        let outcome = tool(&world, &[flag, value]).run();
        assert_eq!((outcome.code(), world.executions("tool")), (125, 0));
        assert!(outcome.stderr().starts_with(&format!("error: invalid value '{value}' for '{flag} <")), "{outcome:?}");
        assert!(outcome.stderr().contains("[possible values: "), "{outcome:?}");
    }
}

#[test]
fn a_fleche_mode_that_is_none_is_refused() {
    let world = world("echo out");
    let said = "fleche: FLECHE_MODE is `sometimes`, which is no mode\nhint: on, off, read-only or refresh\n";
    tool(&world, &[]).env("FLECHE_MODE", "sometimes").ends(125, "", said);
    assert_eq!(world.executions("tool"), 0);
    tool(&world, &[]).env("FLECHE_MODE", "").prints("out\n");
}

#[test]
fn standard_input_that_is_not_there_is_refused() {
    let world = world("cat");
    refused(
        &world,
        &["--stdin-from", "nowhere"],
        "fleche: cannot read standard input from `nowhere`: no such file or directory\n",
    );
    refused(&world, &["--stdin-from", "."], "fleche: cannot read standard input from `.`: is a directory\n");
    let said = "fleche: --stdin-from fleche:xyz: `xyz` is not a digest: 4 to 64 hex characters are\n";
    refused(&world, &["--stdin-from", "fleche:xyz"], said);
    let outcome = tool(&world, &["--stdin-from", "fleche:0123456789"]).run();
    assert_eq!((outcome.code(), outcome.stdout(), world.executions("tool")), (125, String::new(), 0));
    assert!(outcome.stderr().starts_with("fleche: ") && outcome.stderr().contains("0123456789"), "{outcome:?}");
}

#[test]
fn bytes_that_are_no_utf8_are_no_reason_to_fail() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = world("echo out");
    let name = OsStr::from_bytes(b"name\xff");
    world.write(name, "1");
    let words = ["run".as_ref(), "-i".as_ref(), name, "-o".as_ref(), OsStr::from_bytes(b"made\xff"), "./tool".as_ref()];
    world.fleche(words).prints("out\n");
    world.fleche(words).prints("out\n");
    assert_eq!(world.executions("tool"), 1);
    world.write(name, "2");
    world.fleche(words).prints("out\n");
    assert_eq!(world.executions("tool"), 2);
}
