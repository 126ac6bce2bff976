//! fleche.schema.json: what it accepts is what fleche accepts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::world::World;

/// Values as TOML writes them, and as JSON does.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("true", json!(true)),
        ("false", json!(false)),
        ("0", json!(0)),
        ("256", json!(256)),
        ("-1", json!(-1)),
        ("1.5", json!(1.5)),
        ("\"\"", json!("")),
        ("\"a\"", json!("a")),
        ("\"local\"", json!("local")),
        ("\"/a\"", json!("/a")),
        ("\"~/a\"", json!("~/a")),
        ("\"10m\"", json!("10m")),
        ("\"1h 30min\"", json!("1h 30min")),
        ("\"30d\"", json!("30d")),
        ("\"1 parsec\"", json!("1 parsec")),
        ("\"10\"", json!("10")),
        ("\"10MiB\"", json!("10MiB")),
        ("\"1.5G\"", json!("1.5G")),
        ("\"2 GB\"", json!("2 GB")),
        ("\"10%\"", json!("10%")),
        ("\"0.5%\"", json!("0.5%")),
        ("\"101%\"", json!("101%")),
        ("\"%\"", json!("%")),
        ("\"auto\"", json!("auto")),
        ("\"audit\"", json!("audit")),
        ("\"strict\"", json!("strict")),
        ("\"name\"", json!("name")),
        ("\"keep\"", json!("keep")),
        ("\"read-only\"", json!("read-only")),
        ("\"group\"", json!("group")),
        ("[]", json!([])),
        ("[\"local\"]", json!(["local"])),
        ("[\"local\", \"\"]", json!(["local", ""])),
        ("[\"local\", 1]", json!(["local", 1])),
        ("[1, 255]", json!([1, 255])),
        ("[256]", json!([256])),
        ("{}", json!({})),
        ("{ a = \"1\" }", json!({"a": "1"})),
        ("{ a = 1 }", json!({"a": 1})),
        ("{ \"1\" = \"x\" }", json!({"1": "x"})),
        ("{ \"é-.\" = \"x\" }", json!({"é-.": "x"})),
    ]
}

/// Tables in which keys meet.
fn together() -> Vec<(&'static str, Value)> {
    vec![
        ("pure = true\ninputs = [\"a\"]", json!({"pure": true, "inputs": ["a"]})),
        ("pure = false\ninputs = [\"a\"]", json!({"pure": false, "inputs": ["a"]})),
        ("pure = true\ninputs = []", json!({"pure": true, "inputs": []})),
        ("pure = true\noutputs = [\"a\"]", json!({"pure": true, "outputs": ["a"]})),
        ("stdin = false\nstdin-from = \"a\"", json!({"stdin": false, "stdin-from": "a"})),
        ("nonsense = 1", json!({"nonsense": 1})),
    ]
}

/// The lines on which faults begin.
fn faults(world: &World, text: &str) -> BTreeSet<u64> {
    world.write("own.toml", text);
    let outcome = world.fleche(["config", "check", "own.toml", "--json"]).run();
    let found: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    found["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect()
}

fn schema(world: &World) -> Value {
    serde_json::from_slice(&world.fleche(["config", "schema"]).run().stdout).unwrap()
}

/// The names of all keys that stand somewhere in the schema.
fn keys(schema: &Value, pointer: &str) -> Vec<String> {
    schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_schema_in_the_repository_is_the_present_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fleche.schema.json");
    let present = World::new().fleche(["config", "schema"]).run().stdout();
    if std::env::var_os("FLECHE_BLESS").is_some() {
        fs::write(&path, &present).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == present, "write it anew with FLECHE_BLESS=1 cargo test schema");
}

#[test]
fn the_schema_accepts_what_fleche_accepts() {
    let world = World::new();
    let schema = schema(&world);
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.set_default_draft(boon::Draft::V2020_12);
    compiler.add_resource("fleche.json", schema.clone()).unwrap();
    let index = compiler.compile("fleche.json", &mut schemas).unwrap();
    let accepts = |document: &Value| schemas.validate(document, index).is_ok();
    // Each value in a table of its own, a line apart: one reading tells of them all.
    let mut text = String::new();
    let mut cases: Vec<(String, u64, Value)> = Vec::new();
    let mut add = |head: &str, body: &str, document: Value| {
        let first = text.lines().count() as u64 + 1;
        text.push_str(&format!("{head}\n{body}\n"));
        for line in first..=text.lines().count() as u64 {
            cases.push((format!("{head} {body}"), line, document.clone()));
        }
    };
    for key in keys(&schema, "/properties/command/items/properties") {
        // That a cache is described nowhere only the files together tell.
        let is_unknown = |value: &Value| {
            value.as_str().is_some_and(|name| !name.is_empty() && !name.contains('/') && name != "local")
        };
        for (toml, value) in values().into_iter().filter(|(_, value)| key != "cache" || !is_unknown(value)) {
            let (head, mut rule) = match key.as_str() {
                "match" => ("[[command]]", json!({})),
                _ => ("[[command]]\nmatch = [\"x\"]", json!({"match": ["x"]})),
            };
            rule[&key] = value;
            add(head, &format!("{key} = {toml}"), json!({"command": [rule]}));
        }
    }
    for (body, mut rule) in together() {
        rule["match"] = json!(["x"]);
        add("[[command]]\nmatch = [\"x\"]", body, json!({"command": [rule]}));
    }
    add("[[command]]", "pure = true", json!({"command": [{"pure": true}]}));
    for (number, (key, (toml, value))) in keys(&schema, "/properties/caches/additionalProperties/properties")
        .into_iter()
        .flat_map(|key| values().into_iter().map(move |value| (key.clone(), value)))
        .enumerate()
    {
        add(&format!("[caches.c{number}]"), &format!("{key} = {toml}"), json!({"caches": {"c": {key: value}}}));
    }
    let faults = faults(&world, &text);
    let mut names: Vec<&String> = cases.iter().map(|(name, ..)| name).collect();
    names.dedup();
    let (mut accepted, mut wrong) = (0, Vec::new());
    for name in names {
        let lines = cases.iter().filter(|(other, ..)| other == name);
        let is_taken = lines.clone().all(|(_, line, _)| !faults.contains(line));
        let document = &lines.clone().next().unwrap().2;
        accepted += usize::from(is_taken);
        if accepts(document) != is_taken {
            wrong.push(format!("{name}: fleche {is_taken}, the schema {}", accepts(document)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted > 150, "{accepted}");
}

#[test]
fn whole_files_are_accepted_by_both_or_by_neither() {
    let world = World::new();
    let schema = schema(&world);
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("fleche.json", schema).unwrap();
    let index = compiler.compile("fleche.json", &mut schemas).unwrap();
    for (text, document) in [
        ("", json!({})),
        ("root = true", json!({"root": true})),
        ("root = 1", json!({"root": 1})),
        ("roof = true", json!({"roof": true})),
        ("cache = []", json!({"cache": []})),
        ("cache = [\"local\"]", json!({"cache": ["local"]})),
        ("defaults = 1", json!({"defaults": 1})),
        ("[defaults]\npure = true", json!({"defaults": {"pure": true}})),
        ("[defaults]\nmatch = [\"x\"]", json!({"defaults": {"match": ["x"]}})),
        ("[defaults]\ncache = \"local\"", json!({"defaults": {"cache": "local"}})),
        ("[defaults]\nttl = 1", json!({"defaults": {"ttl": 1}})),
        ("[caches.local]", json!({"caches": {"local": {}}})),
        ("[caches.\"a/b\"]", json!({"caches": {"a/b": {}}})),
        ("caches = []", json!({"caches": []})),
        ("command = []", json!({"command": []})),
        ("[command]\nmatch = [\"x\"]", json!({"command": {"match": ["x"]}})),
    ] {
        let is_taken = faults(&world, text).is_empty();
        assert_eq!(schemas.validate(&document, index).is_ok(), is_taken, "{text}");
    }
}
