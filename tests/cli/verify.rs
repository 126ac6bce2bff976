//! `fleche verify`: what is damaged or missing, and how it is mended.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::World;

/// A world in which a tool wrote a large file and printed a line.
fn world() -> World {
    let world = World::new();
    world.counted("tool", "cat input; head -c 30000 /dev/zero > large");
    world.write("input", "1\n");
    run(&world);
    world
}

fn run(world: &World) {
    let _ = fs::remove_file(world.path("large"));
    world.fleche(["run", "-i", "input", "-o", "large", "--", "./tool"]).prints("1\n");
    world.is_alone();
    assert_eq!(fs::metadata(world.path("large")).unwrap().len(), 30_000);
}

fn only_file(folder: &Path) -> PathBuf {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let mut files: Vec<_> = entries.filter(|entry| entry.file_type().is_file()).map(|e| e.into_path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// The digest by which a file of the store is named.
fn digest(file: &Path) -> String {
    let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    part(file.parent().unwrap()) + &part(file)
}

fn rewrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

const HEADING: &str = "fault\twhat\tname\tcall\twhy\n";

#[test]
fn a_whole_cache_is_a_silent_yes() {
    let world = World::new();
    world.fleche(["verify"]).prints("");
    let world = self::world();
    world.fleche(["verify"]).prints("");
    world.fleche(["verify", "--name", "tool"]).prints("");
    world.fleche(["verify", "--name", "nothing"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn a_damaged_value_is_told_with_its_call_and_mended_by_the_next_run() {
    let world = world();
    let (value, call) = (only_file(&world.cache().join("values")), only_file(&world.cache().join("calls")));
    let (name, key) = (digest(&value), digest(&call));
    rewrite(&value, &[1; 30_000]);
    let told = format!("{HEADING}damaged\tvalue\t{name}\t{key}\tits digest is wrong\n");
    for words in [&["verify"][..], &["verify", &key[..8]], &["verify", "--name", "tool"], &["verify"]] {
        world.fleche(words).ends(1, &told, "fleche: 1 fault found\n");
    }
    let json = format!(
        "{{\"call\":\"{key}\",\"fault\":\"damaged\",\"name\":\"{name}\",\"what\":\"value\",\"why\":\"its digest is wrong\"}}\n"
    );
    let outcome = world.fleche(["verify", "--json"]).run();
    let sorted = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(sorted(&outcome.stdout()), sorted(&json));
    assert!(!world.cache().join("quarantine").exists());
    world.fleche(["verify", "--repair"]).ends(1, &told, "fleche: 1 fault found\n");
    world.fleche(["verify"]).prints("");
    assert!(!value.exists() && !call.exists());
    run(&world);
    assert_eq!(world.executions("tool"), 2);
    world.fleche(["verify"]).prints("");
}

#[test]
fn a_missing_value_is_told_and_its_call_put_aside() {
    let world = world();
    let (value, call) = (only_file(&world.cache().join("values")), only_file(&world.cache().join("calls")));
    fs::remove_file(&value).unwrap();
    let told = format!("{HEADING}missing\tvalue\t{}\t{}\tit is gone\n", digest(&value), digest(&call));
    world.fleche(["verify"]).ends(1, &told, "fleche: 1 fault found\n");
    world.fleche(["verify", "--repair", &digest(&call)]).ends(1, &told, "fleche: 1 fault found\n");
    assert!(!call.exists());
    run(&world);
    world.fleche(["verify"]).prints("");
}

#[test]
fn damage_of_every_kind_is_told_and_nothing_is_moved_without_repair() {
    let world = world();
    let place = |kind: &str| only_file(&world.cache().join(kind));
    let (call, paths) = (place("calls"), place("paths"));
    fs::write(&call, "x").unwrap();
    fs::write(&paths, "x").unwrap();
    fs::write(world.cache().join("ledger"), "x").unwrap();
    let told = format!(
        "{HEADING}damaged\tcall\t{}\t\tit is cut short\ndamaged\tpath sets\t{}\t\tit is cut short\n\
        damaged\tledger\t\t\tit is cut short\n",
        digest(&call),
        digest(&paths)
    );
    for _ in 0..2 {
        world.fleche(["verify"]).ends(1, &told, "fleche: 3 faults found\n");
    }
    assert!(!world.cache().join("quarantine").exists());
    world.fleche(["verify", "--repair"]).ends(1, &told, "fleche: 3 faults found\n");
    world.fleche(["verify"]).prints("");
    run(&world);
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn a_value_that_no_call_names_is_checked_too() {
    let world = world();
    let value = only_file(&world.cache().join("values"));
    fs::remove_file(only_file(&world.cache().join("calls"))).unwrap();
    world.fleche(["verify"]).prints("");
    rewrite(&value, b"x");
    let told = format!("{HEADING}damaged\tvalue\t{}\t\tits digest is wrong\n", digest(&value));
    world.fleche(["verify"]).ends(1, &told, "fleche: 1 fault found\n");
}

#[test]
fn a_catalogue_that_lists_other_calls_is_a_fault() {
    let world = world();
    world.fleche(["query", "--count"]).prints("1\n");
    let call = only_file(&world.cache().join("calls"));
    let index = world.cache().join("index.sqlite");
    rusqlite::Connection::open(&index).unwrap().execute("DELETE FROM call", []).unwrap();
    // Its folder must not look as if something had changed in it.
    let shard = u8::from_str_radix(call.parent().unwrap().file_name().unwrap().to_str().unwrap(), 16).unwrap();
    let modified = fs::metadata(call.parent().unwrap()).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let settle = "INSERT INTO shard (shard, modified) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET modified = ?2";
    rusqlite::Connection::open(&index).unwrap().execute(settle, rusqlite::params![shard, modified]).unwrap();
    let told = format!("{HEADING}damaged\tcatalogue\t\t\tit does not list call {}\n", &digest(&call)[..12]);
    world.fleche(["verify"]).ends(1, &told, "fleche: 1 fault found\n");
    world.fleche(["verify", "--repair"]).ends(1, &told, "fleche: 1 fault found\n");
    world.fleche(["verify"]).prints("");
    world.fleche(["query", "--count"]).prints("1\n");
}
