//! `fleche call`: a command as JSON, not executed.

use serde_json::{Value, json};

use crate::world::{World, world};

fn call(world: &World, options: &[&str], words: &[&str]) -> Value {
    let line = ["call", "-i", "input"].into_iter().chain(options.iter().copied()).chain(["--", "./tool"]);
    let session =
        world.fleche(line.chain(words.iter().copied())).env("CC", "gcc").env("SHLVL", "1").env("HIDDEN", "canary");
    let outcome = session.run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    assert!(!outcome.stdout().contains("canary"), "{outcome:?}");
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn a_command_is_shown_and_not_executed() {
    let world = world("echo out");
    let shown = call(&world, &["-o", "made", "--env", "CC", "--revision", "2"], &["a", "b c"]);
    let work = world.work().to_str().unwrap().to_owned();
    assert_eq!(shown["argv"], json!(["./tool", "a", "b c"]));
    assert_eq!((&shown["cwd"], &shown["root"]), (&json!(work), &json!(work)));
    assert_eq!(shown["program"], json!(format!("{work}/./tool")));
    assert_eq!((&shown["inputs"], &shown["outputs"]), (&json!(["input"]), &json!(["made"])));
    assert_eq!(shown["stdin"], json!({"kind": "none", "digest": null, "bytes": null}));
    assert_eq!(shown["options"]["env"], json!(["CC"]));
    assert_eq!(shown["options"]["revision"], json!("2"));
    assert_eq!(shown["observations"][0]["path"], json!("input"));
    let environment = shown["environment"].as_array().unwrap();
    let variable = |name: &str| environment.iter().find(|variable| variable["name"] == name).unwrap();
    assert_eq!(*variable("CC"), json!({"name": "CC", "counted": true, "value": "gcc"}));
    assert_eq!(*variable("HIDDEN"), json!({"name": "HIDDEN", "counted": true, "value": null}));
    assert_eq!(*variable("SHLVL"), json!({"name": "SHLVL", "counted": false, "value": null}));
    assert_eq!(world.executions("tool"), 0);
    assert!(!world.home().join(".cache").exists());
}

#[test]
fn its_key_and_digest_are_those_of_the_stored_call() {
    let world = world("echo out");
    world.fleche(["run", "-i", "input", "--", "./tool", "a"]).prints("out\n");
    let shown: Value =
        serde_json::from_slice(&world.fleche(["call", "-i", "input", "--", "./tool", "a"]).run().stdout).unwrap();
    let stored = world.fleche(["show", "--json", shown["key"].as_str().unwrap()]).run();
    let stored: Value = serde_json::from_slice(&stored.stdout).unwrap();
    assert_eq!((&stored["key"], &stored["command"]), (&shown["key"], &shown["command"]));
}

#[test]
fn what_is_redacted_and_what_tells_of_it_is_null() {
    let world = world("echo out");
    world.write("canary.txt", "");
    let shown = call(&world, &["-i", "canary.txt", "--redact-arg", "*canary*"], &["--token=canary", "canary.txt"]);
    assert_eq!(shown["argv"], json!(["./tool", null, null]));
    assert_eq!(shown["inputs"], json!(["input", null]));
    assert_eq!(shown["observations"][0]["path"], json!(null));
}

#[test]
fn standard_input_is_shown_by_its_digest() {
    let world = world("cat");
    let outcome = world.fleche(["call", "--stdin", "-i", "input", "--", "./tool"]).input("in\n").run();
    let shown: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let expected = json!({"kind": "spool", "digest": blake3::hash(b"in\n").to_hex().as_str(), "bytes": 3});
    assert_eq!(shown["stdin"], expected);
}
