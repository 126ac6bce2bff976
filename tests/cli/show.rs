//! `fleche show`: all that is known of one call.

use std::fs;

use crate::mask::masked;
use crate::world::World;

/// A world with one stored call, and its key.
fn world() -> (World, String) {
    let world = World::new();
    world.counted("tool", "echo out; echo err >&2; cp input made");
    world.write("input", "1\n");
    let tool = world.path("tool");
    let words =
        ["run", "-i", "input", "-o", "made", "--tag", "b=2", "--tag", "a=1", "--", tool.to_str().unwrap(), "x y"];
    let key = stored(&world, &words);
    (world, key)
}

/// Runs a command and gives the key of its call: the only one that was not there before.
fn stored(world: &World, words: &[&str]) -> String {
    let before = keys(world);
    assert_eq!(world.fleche(words).run().code(), 0);
    let mut new: Vec<String> = keys(world).into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(new.len(), 1);
    new.remove(0)
}

/// Keys by the names of the call files.
fn keys(world: &World) -> Vec<String> {
    let folders = fs::read_dir(world.cache().join("calls")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| name(path.parent().unwrap()) + &name(&path)).collect()
}

/// A line of `show` without what differs from run to run.
fn steady(line: &str) -> String {
    let (name, value) = (line[..12].trim_end(), &line[14..]);
    let value = match name {
        "started" | "wall" | "user" | "system" | "memory" => {
            assert!(value.parse::<f64>().is_ok_and(|number| number >= 0.0), "{line}");
            "<number>"
        }
        "by" => {
            assert!(
                value.ends_with(&format!(" with fleche {}", env!("CARGO_PKG_VERSION"))) && value.contains('@'),
                "{line}"
            );
            "<user>"
        }
        _ => value,
    };
    format!("{name}: {}", masked(value))
}

#[test]
fn a_call_is_shown() {
    let (world, key) = world();
    let outcome = world.fleche(["show", &key]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let lines: Vec<String> = outcome.stdout().lines().map(steady).collect();
    let expected = format!(
        "key: <key>
command: {0}/tool 'x y'
program: {0}/tool
directory: {0}
grade: declared
exit: 0
started: <number>
wall: <number>
user: <number>
system: <number>
memory: <number>
by: <user>
tag: a=1
tag: b=2
input: input  file <key>
stdout: <key>  4 bytes
stderr: <key>  4 bytes
output: made  <key>  2 bytes  644",
        world.work().display()
    );
    assert_eq!(lines.join("\n"), expected);
    assert!(outcome.stdout().starts_with(&format!("key           {key}\n")));
}

#[test]
fn a_prefix_is_enough_in_either_case() {
    let (world, key) = world();
    let whole = world.fleche(["show", &key]).run();
    for length in [63, 40, 12, 8, 4] {
        assert_eq!(world.fleche(["show", &key[..length]]).run(), whole);
        assert_eq!(world.fleche(["show", &key[..length].to_uppercase()]).run(), whole);
    }
}

#[test]
fn what_is_no_prefix_is_refused() {
    let (world, _) = world();
    for word in ["abc", "xyzw", "", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"] {
        let outcome = world.fleche(["show", word]).run();
        assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()), "{word}");
        let said = format!("`{word}` is not a digest: 4 to 64 hex characters are");
        assert!(outcome.stderr().contains(&said), "{outcome:?}");
    }
}

#[test]
fn an_unknown_prefix_is_named() {
    let (world, key) = world();
    let other: String = key.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    for word in [&other[..], &other[..12], &other[..4]] {
        world.fleche(["show", word]).ends(1, "", &format!("fleche: nothing is called `{word}`\n"));
    }
}

#[test]
fn an_ambiguous_prefix_is_an_error_that_helps() {
    let (world, _) = world();
    // Calls until two share their first four characters would be many; values count too, and so many are made at once.
    world.write("make-many", "#!/bin/sh\nmkdir -p many; cd many; for n in $(seq 1500); do echo $n > $n; done\n");
    let words = ["run", "-i", "input", "-o", "many/", "--", "sh", "make-many"];
    assert_eq!(world.fleche(words).run().code(), 0);
    let digests = digests(&world);
    let shared = digests.windows(2).find(|pair| pair[0][..4] == pair[1][..4]).map(|pair| pair[0][..4].to_owned());
    let shared = shared.expect("1500 digests of which no two begin alike");
    let outcome = world.fleche(["show", &shared]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()), "{outcome:?}");
    let said = outcome.stderr();
    assert!(said.starts_with(&format!("fleche: `{shared}` could be ")), "{said}");
    assert!(said.ends_with(" characters tell them apart\n"), "{said}");
    let alike: Vec<&String> = digests.iter().filter(|digest| digest.starts_with(&shared)).collect();
    assert!(alike.iter().all(|digest| said.contains(&format!("value {}", &digest[..12]))), "{said}");
    let shown = world.fleche(["show", &alike[0][..12]]).run().stdout();
    assert!(shown.starts_with(&format!("value         {}\n", alike[0])), "{shown}");
}

/// Digests of all outputs of all calls, sorted.
fn digests(world: &World) -> Vec<String> {
    let mut digests = Vec::new();
    for key in keys(world) {
        let outcome = world.fleche(["show", "--json", &key]).run();
        let call: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
        let outputs = call["outputs"].as_array().unwrap();
        digests.extend(outputs.iter().filter_map(|output| output["digest"].as_str().map(str::to_owned)));
    }
    digests.sort();
    digests.dedup();
    digests
}

#[test]
fn a_value_is_shown_with_the_calls_that_name_it() {
    let (world, key) = world();
    let tool = world.path("tool");
    let value = blake3::hash(b"out\n").to_hex().to_string();
    let expected = format!(
        "value         {value}\nsize          4\nstored        in the files of its calls\n\
         named by      {}  {} 'x y'\n",
        &key[..12],
        tool.display()
    );
    world.fleche(["show", &value]).prints(&expected);
    world.fleche(["show", &value[..9].to_uppercase()]).prints(&expected);
    let said: serde_json::Value =
        serde_json::from_slice(&world.fleche(["show", "--json", &value]).run().stdout).unwrap();
    assert_eq!((&said["bytes"], &said["inline"], &said["named_by"][0]["key"]), (&4.into(), &true.into(), &key.into()));
}

#[test]
fn several_are_shown_with_an_empty_line_between() {
    let (world, key) = world();
    let value = blake3::hash(b"out\n").to_hex().to_string();
    let text = world.fleche(["show", &value, &key[..8]]).run().stdout();
    let parts: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(parts.len(), 2);
    assert!(parts[0].starts_with("value ") && parts[1].starts_with("key "), "{text}");
}

#[test]
fn a_values_name_is_the_digest_of_its_bytes() {
    let (world, key) = world();
    let call: serde_json::Value = serde_json::from_slice(&world.fleche(["show", "--json", &key]).run().stdout).unwrap();
    assert_eq!(call["stdout"]["digest"].as_str().unwrap(), blake3::hash(b"out\n").to_hex().as_str());
    assert_eq!(call["stderr"]["digest"].as_str().unwrap(), blake3::hash(b"err\n").to_hex().as_str());
    assert_eq!(call["outputs"][0]["digest"].as_str().unwrap(), blake3::hash(b"1\n").to_hex().as_str());
}

#[test]
fn json_holds_the_same() {
    let (world, key) = world();
    let outcome = world.fleche(["show", "--json", &key]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let call: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(call["key"], key.as_str());
    assert_eq!(call["argv"], serde_json::json!([world.path("tool"), "x y"]));
    assert_eq!(call["cwd"], world.work().to_str().unwrap());
    assert_eq!((&call["exit"], &call["grade"]), (&serde_json::json!(0), &serde_json::json!("declared")));
    assert_eq!(call["tags"], serde_json::json!({"a": "1", "b": "2"}));
    assert_eq!((&call["stdout"]["bytes"], &call["stderr"]["bytes"]), (&serde_json::json!(4), &serde_json::json!(4)));
    assert_eq!(call["outputs"][0]["path"], "made");
    assert_eq!(call["inputs"][0]["path"], "input");
    let names: Vec<&str> =
        call["environment"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert!(["HOME", "LANG", "PATH", "TZ"].iter().all(|name| names.contains(name)), "{names:?}");
    assert!(call["started_ns"].as_i64() <= call["stopped_ns"].as_i64());
    assert!(call["peak_memory_bytes"].as_u64().unwrap() > 100_000);
}

#[test]
fn a_variable_that_was_named_is_shown_in_clear() {
    let world = World::new();
    let words = ["run", "--pure", "--env", "NAMED", "--", "echo", "x"];
    assert_eq!(world.fleche(words).env("NAMED", "clear").env("OTHER", "hidden").run().code(), 0);
    let outcome = world.fleche(["show", "--json", &keys(&world)[0]]).run();
    let call: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let value = |name: &str| {
        let variables = call["environment"].as_array().unwrap();
        variables.iter().find(|of| of["name"] == name).map(|of| of["value"].clone()).unwrap()
    };
    assert_eq!((value("NAMED"), value("OTHER")), (serde_json::json!("clear"), serde_json::Value::Null));
    assert!(!outcome.stdout().contains("hidden"));
}

#[test]
fn a_redacted_argument_is_not_shown() {
    let world = World::new();
    assert_eq!(
        world.fleche(["run", "--pure", "--redact-arg", "--token=*", "--", "true", "--token=hush"]).run().code(),
        0
    );
    let key = keys(&world).remove(0);
    let shown = world.fleche(["show", &key]).run().stdout();
    assert!(shown.contains("\ncommand       true [redacted]\n") && !shown.contains("hush"), "{shown}");
}

#[test]
fn escapes_in_arguments_tags_and_names_do_not_reach_the_terminal() {
    let world = World::new();
    world.write("in\u{1b}[31mput", "");
    let words = [
        "run",
        "-i",
        "in\u{1b}[31mput",
        "--tag",
        "a=\u{1b}]0;title\u{7}",
        "--",
        "true",
        "\u{1b}[2J\nkey           false",
    ];
    assert_eq!(world.fleche(words).run().code(), 0);
    let shown = world.fleche(["show", &keys(&world)[0]]).run();
    assert_eq!(shown.code(), 0);
    let text = shown.stdout();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert_eq!(text.lines().filter(|line| line.starts_with("key ")).count(), 1, "{text}");
}

#[test]
fn the_commit_of_the_working_directory_is_shown() {
    let world = World::new();
    let git = |words: &[&str]| {
        let session = world.program("git", words).env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@example.org");
        let outcome = session.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@example.org").run();
        assert_eq!(outcome.code(), 0, "{outcome:?}");
        outcome.stdout()
    };
    git(&["init", "-q", "-b", "trunk"]);
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let key = stored(&world, &["run", "--pure", "--", "true"]);
    let shown = world.fleche(["show", &key]).run().stdout();
    assert!(shown.contains(&format!("\ngit           {} trunk\n", commit.trim_end())), "{shown}");
}

#[test]
fn where_nothing_is_stored_the_answer_is_no() {
    World::new().fleche(["show", "0123"]).ends(1, "", "fleche: nothing is called `0123`\n");
}
