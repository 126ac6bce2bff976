//! `fleche stats`: what the cache was good for.

use crate::world::{Outcome, World};

/// A world with two stored calls, three hits, a failure and an eviction.
fn world() -> World {
    let world = World::new();
    let run = |words: &[&str]| drop(world.fleche(["run"].iter().chain(words)).run());
    run(&["--project", "alpha", "--pure", "--", "echo", "one"]);
    run(&["--pure", "--", "echo", "one"]);
    run(&["--pure", "--", "echo", "one"]);
    run(&["--mode", "refresh", "--pure", "--", "printf", "two"]);
    run(&["--pure", "--", "printf", "two"]);
    run(&["--pure", "--", "false"]);
    run(&["--pure", "--", "seq", "3"]);
    world.fleche(["evict", "--name", "seq"]).prints("");
    world
}

fn stats(world: &World, options: &[&str]) -> Outcome {
    world.fleche(["stats"].iter().chain(options)).run()
}

fn json(world: &World, options: &[&str]) -> serde_json::Value {
    let outcome = stats(world, &[&["--format", "json"], options].concat());
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn hits_misses_and_their_reasons_are_counted() {
    let world = world();
    let said = json(&world, &[]);
    for (name, value) in
        [("calls", 2), ("calls_hits", 3), ("hits", 3), ("misses", 4), ("stored", 3), ("not_stored", 1), ("evicted", 1)]
    {
        assert_eq!(said[name], value, "{name}: {said:#}");
    }
    assert_eq!(said["missed_because"], serde_json::json!({"no-call": 2, "refresh": 1}));
    assert_eq!(said["not_stored_because"], serde_json::json!({"exit": 1}));
    assert!(said["saved_ns"].as_u64().unwrap() > 0 && said["bytes"].as_u64().unwrap() > 0);
    let names: Vec<&String> = said["by_name"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["echo", "false", "printf", "seq"]);
    assert_eq!((&said["by_name"]["echo"]["hits"], &said["by_name"]["false"]["not_stored"]), (&2.into(), &1.into()));
    let days = said["by_day"].as_object().unwrap();
    assert_eq!(days.values().map(|day| day["hits"].as_u64().unwrap()).sum::<u64>(), 3);
}

#[test]
fn text_is_for_people_without_bars_in_a_pipe() {
    let world = world();
    let outcome = stats(&world, &[]);
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let text = outcome.stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("calls      2 in "), "{text}");
    assert_eq!(lines[1..3], ["hits       3 (43 %)", "misses     4"]);
    assert!(text.contains("\nmissed because\n  no-call              2\n  refresh              1\n"), "{text}");
    assert!(text.contains("\nnot stored because\n  exit                 1\n"), "{text}");
    assert!(text.contains("  2 of 3\n") && !text.contains('█') && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_table_can_be_had_by_name_day_and_reason() {
    let world = world();
    let by = |what: &str| {
        let text = stats(&world, &["--by", what]).stdout();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let names = by("name");
    assert_eq!(names[0], ["name", "hits", "misses", "not_stored", "saved", "stored"]);
    let mut rows: Vec<_> = names[1..].iter().map(|row| row[..4].join(" ")).collect();
    rows.sort();
    assert_eq!(rows, ["echo 2 1 0", "false 0 1 1", "printf 1 1 0", "seq 0 1 0"]);
    assert_eq!(by("day")[0][0], "day");
    let reasons = by("reason");
    assert_eq!(
        reasons.iter().map(|row| row.join(" ")).collect::<Vec<_>>(),
        ["what because count", "missed no-call 2", "missed refresh 1", "not stored exit 1"]
    );
}

#[test]
fn filters_narrow_it() {
    let world = world();
    let said = json(&world, &["--name", "echo"]);
    assert_eq!((&said["calls"], &said["hits"], &said["misses"]), (&1.into(), &2.into(), &1.into()));
    let said = json(&world, &["--since", "2001-01-01", "--until", "2001-02-01"]);
    assert_eq!((&said["calls"], &said["hits"]), (&0.into(), &0.into()));
    // What happened is not known by project; what is stored is.
    let said = json(&world, &["--project", "alpha"]);
    assert_eq!((&said["calls"], &said["calls_hits"], said.get("hits")), (&1.into(), &2.into(), None));
    let text = stats(&world, &["--project", "alpha"]).stdout();
    assert!(text.starts_with("calls      1 in ") && text.contains("\nhits       2\nsaved "), "{text}");
}

#[test]
fn a_value_that_several_calls_name_is_stored_once() {
    let world = World::new();
    let size = || json(&world, &[])["bytes"].as_u64().unwrap();
    world.fleche(["run", "--pure", "--", "seq", "20000"]).run();
    let one = size();
    world.fleche(["run", "--pure", "--", "seq", "1", "20000"]).run();
    assert!(one > 100_000 && size() < one + 20_000, "{one} {}", size());
}

#[test]
fn an_empty_cache_was_good_for_nothing() {
    World::new()
        .fleche(["stats"])
        .prints("calls      0 in 0 B\nhits       0\nmisses     0\nsaved      0 µs\nstored     0 B\n");
}

#[test]
fn names_that_could_drive_a_terminal_are_harmless() {
    let world = World::new();
    world.script("\u{1b}[31mred", "#!/bin/sh\n");
    world.fleche(["run", "--pure", "--", "./\u{1b}[31mred"]).prints("");
    for options in [&[][..], &["--by", "name"], &["--format", "json"]] {
        assert!(!stats(&world, options).stdout().contains('\u{1b}'), "{options:?}");
    }
}

#[test]
fn a_wrong_condition_is_the_askers_fault() {
    let world = World::new();
    stats(&world, &["--where", "nix"]).check(2, "", "fleche: `--where` is not understood: no such column: nix\n");
}
