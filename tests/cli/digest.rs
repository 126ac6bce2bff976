//! `fleche digest`: the key of a command, and every part that counts.

use std::path::{Path, PathBuf};

use crate::mask::masked;
use crate::world::{Session, World};

fn world() -> World {
    let world = World::new();
    world.counted("tool", "echo out");
    world.write("input", "1\n");
    world
}

fn digest(world: &World, options: &[&str]) -> Session {
    let words = ["digest", "-i", "input"].iter().chain(options).chain(&["--", "./tool", "a", "b"]);
    world.fleche(words)
}

fn key(world: &World, options: &[&str]) -> String {
    let outcome = digest(world, options).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let stdout = outcome.stdout();
    let key = stdout.strip_suffix('\n').unwrap();
    assert!(key.len() == 64 && key.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{key}");
    key.to_owned()
}

#[test]
fn the_key_is_printed_and_nothing_is_run() {
    let world = world();
    let first = key(&world, &[]);
    assert_eq!(key(&world, &[]), first);
    assert_eq!(world.executions("tool"), 0);
}

#[test]
fn it_is_the_key_under_which_the_call_is_stored() {
    let world = world();
    let key = key(&world, &[]);
    let outcome = world.fleche(["run", "-v", "-i", "input", "--", "./tool", "a", "b"]).run();
    assert!(outcome.stderr().contains(&format!("stored {} (", &key[..12])), "{outcome:?}");
    let shown = world.fleche(["show", &key]).run();
    assert!(shown.stdout().starts_with(&format!("key           {key}\n")), "{shown:?}");
}

#[test]
fn no_cache_is_made_for_it() {
    let world = world();
    let first = key(&world, &[]);
    let piped = |world: &World| digest(world, &["--stdin"]).input("in\n").run();
    let of_input = piped(&world);
    assert_eq!((of_input.code(), of_input.stderr()), (0, String::new()));
    assert!(!world.home().join(".cache").exists());
    // The key is the same once there is a cache, with a secret of its own.
    world.fleche(["run", "-i", "input", "--", "./tool"]).prints("out\n");
    world.is_alone();
    let before = everything(&world.cache());
    assert_eq!(key(&world, &[]), first);
    assert_eq!(piped(&world), of_input);
    assert_eq!(everything(&world.cache()), before);
}

/// All paths below a folder.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path()).collect();
    paths.sort();
    paths
}

#[test]
fn it_is_told_how_the_streams_of_the_run_are_connected() {
    let world = world();
    let ask =
        |options: &str| world.shell(&format!("fleche digest -i input {options} -- ./tool 2>errors")).run().stdout();
    let run = |redirection: &str| {
        let outcome = world.shell(&format!("fleche run -v -i input -- ./tool {redirection}; cat log")).run();
        outcome.stdout().split("; stored ").nth(1).unwrap()[..12].to_owned()
    };
    assert_eq!(run(">log 2>&1"), ask("--streams one")[..12]);
    assert_eq!(run("2>log >other"), ask("--streams two")[..12]);
    assert_eq!(ask(""), ask("--streams two"));
    assert_eq!(ask("--streams seen"), ask("--streams two"));
}

#[test]
fn a_changed_input_changes_it_and_back_again() {
    let world = world();
    let first = key(&world, &[]);
    world.write("input", "2\n");
    let second = key(&world, &[]);
    world.write("input", "1\n");
    assert!(first != second && key(&world, &[]) == first);
}

#[test]
fn tags_do_not_change_it_and_options_do() {
    let world = world();
    let first = key(&world, &[]);
    assert_ne!(key(&world, &["--revision", "2"]), first);
    assert_ne!(key(&world, &["-o", "made"]), first);
    assert_ne!(key(&world, &["--env-mode", "listed"]), first);
}

/// The lines of `fleche digest -v`: names and values.
fn parts(world: &World, options: &[&str]) -> Vec<(String, String)> {
    let outcome = digest(world, &[&["-v"], options].concat()).env("FOO", "hidden value").run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let pair = |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    outcome.stdout().lines().map(pair).collect()
}

#[test]
fn verbose_shows_every_part() {
    let world = world();
    let parts = parts(&world, &["--revision", "7", "--probe", "echo probed"]);
    let value = |name: &str| {
        let found: Vec<&str> = parts.iter().filter(|(part, _)| part == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(found.len(), 1, "{name}: {parts:?}");
        found[0].to_owned()
    };
    assert_eq!((value("arg.0"), value("arg.1"), value("arg.2")), ("./tool".into(), "a".into(), "b".into()));
    assert_eq!(value("cwd"), world.work().display().to_string());
    assert_eq!(value("revision"), "7");
    assert!(value("umask").contains("22"), "{}", value("umask"));
    assert_eq!(masked(&value("input input")), "file <key>");
    assert_eq!(masked(&value("command")), "<key>");
    assert_eq!(masked(&value("key")), "<key>");
    // Without a cache there is no key under which a digest would tell nothing.
    assert_eq!(value("env.FOO"), "[redacted]");
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    for word in ["program", "stdin", "stream", "os", "arch", "env-mode", "probe", "format"] {
        assert!(names.iter().any(|name| name.contains(word)), "{word}: {names:?}");
    }
}

#[test]
fn a_changed_part_is_seen() {
    let world = world();
    let before = parts(&world, &[]);
    world.write("input", "2\n");
    let after = parts(&world, &[]);
    let changed: Vec<&str> =
        before.iter().zip(&after).filter(|(one, two)| one != two).map(|(one, _)| one.0.as_str()).collect();
    assert_eq!((changed, before.len()), (vec!["input input", "key"], after.len()));
}

#[test]
fn json_is_valid_and_says_the_same() {
    let world = world();
    let outcome = digest(&world, &["--json"]).run();
    let object: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    assert_eq!(object["key"].as_str().unwrap(), key(&world, &[]));
    assert_eq!(object["inputs"][0]["path"], "input");
    let parts = object["parts"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["name"] == "arg.1" && part["value"] == "a"), "{parts:?}");
}

#[test]
fn redacted_arguments_are_not_shown() {
    let world = world();
    for flag in ["-v", "--json"] {
        let words = ["digest", flag, "-i", "input", "--redact-arg", "--token=*", "--", "./tool", "--token=hush"];
        let outcome = world.fleche(words).run();
        assert!(outcome.code() == 0 && !outcome.stdout().contains("hush"), "{outcome:?}");
    }
}

#[test]
fn escapes_in_arguments_do_not_reach_the_terminal() {
    let world = world();
    let outcome = world.fleche(["digest", "-v", "-i", "input", "--", "./tool", "a\u{1b}[31m\nkey\tfalse"]).run();
    assert_eq!(outcome.code(), 0);
    let stdout = outcome.stdout();
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
    assert_eq!(stdout.lines().filter(|line| line.starts_with("key\t")).count(), 1, "{stdout}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = world();
    digest(&world, &["-i", "*.none"]).ends(2, "", "fleche: no input matches `*.none`\n");
    let outcome = world.fleche(["digest"]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()));
}

#[test]
fn a_command_that_would_not_be_cached_has_a_key_and_v_says_why_not() {
    let world = world();
    for (options, why) in [
        (&["--trace", "off", "--", "./tool"][..], "its inputs are not declared"),
        (&["-i", "input", "--require-arg", "-c", "--", "./tool"], "no argument matches `-c`"),
        (&["-i", "input", "--require-env", "NONE", "--", "./tool"], "variable `NONE` is not set"),
        (&["-i", "input", "--", "./missing"], "it could not be started"),
    ] {
        let said = |outcome: &crate::world::Outcome| {
            let line = outcome.stderr();
            line.strip_prefix("fleche: not cached: ").map(|why| why.trim_end().to_owned())
        };
        let asked = |verb: &[&str]| world.fleche([verb, options].concat()).run();
        let digest = asked(&["digest"]);
        assert_eq!((digest.code(), digest.stdout().len(), digest.stderr()), (0, 65, String::new()));
        assert_eq!(said(&asked(&["digest", "-v"])).as_deref(), Some(why));
        let call: serde_json::Value = serde_json::from_slice(&asked(&["call"]).stdout).unwrap();
        assert_eq!(call["uncached"], why);
        asked(&["load"]).check(1, "", &format!("fleche: the command is not cached: {why}\n"));
        assert!(asked(&["explain"]).stdout().starts_with(&format!("not cached: {why}\n")));
    }
    let call = world.fleche(["call", "-i", "input", "--", "./tool"]).run();
    assert!(serde_json::from_slice::<serde_json::Value>(&call.stdout).unwrap()["uncached"].is_null());
    assert_eq!(world.executions("tool"), 0);
}

#[test]
fn what_tells_of_a_redacted_argument_is_not_shown() {
    let world = World::new();
    world.write("hush-hush", "x\n");
    for format in ["-v", "--json"] {
        let outcome =
            world.fleche(["digest", format, "--pure", "--redact-arg", "hush*", "--", "cat", "hush-hush"]).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
        let text = outcome.stdout();
        assert!(!text.contains("hush-hush") && text.contains("[redacted]"), "{text}");
    }
}

#[test]
fn a_secret_value_has_another_digest_in_every_cache() {
    let shown = || {
        let world = world();
        world.fleche(["run", "--pure", "--", "true"]).env("FOO", "1234").prints("");
        let digest = || world.fleche(["digest", "-v", "--pure", "--", "true"]).env("FOO", "1234").run().stdout();
        let line = |text: String| text.lines().find(|line| line.starts_with("env.FOO\t")).unwrap().to_owned();
        assert_eq!(line(digest()), line(digest()));
        line(digest())
    };
    let (one, other) = (shown(), shown());
    assert!(one.starts_with("env.FOO\tdigest ") && one != other, "{one} {other}");
}

#[test]
fn the_key_of_a_watched_command_is_known_when_it_has_run() {
    let world = World::new();
    world.write("a", "1\n");
    world.fleche(["digest", "--", "cat", "a"]).ends(
        1,
        "",
        "fleche: its key is not known before it has run: what it reads is found by watching it\nhint: fleche digest -v tells \
         what is known\n",
    );
    let told = world.fleche(["digest", "-v", "--", "cat", "a"]).run().stdout();
    assert!(told.contains("\ntraced\t2\n") && !told.contains("\nkey\t"), "{told}");
    let stream = |verb: &str| world.fleche([verb, "--streams", "two", "--", "cat", "a"]).run();
    world.fleche(["run", "--", "cat", "a"]).prints("1\n");
    let key = stream("digest").stdout();
    assert_eq!(key, world.fleche(["query"]).run().stdout());
    world.write("a", "2\n");
    assert_ne!(stream("digest").stdout(), key);
}
