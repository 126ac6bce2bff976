//! `fleche contains`: true only if a replay would succeed.

use std::fs;
use std::path::PathBuf;

use crate::world::{Outcome, World, tool, world};

fn ask(world: &World, options: &[&str]) -> Outcome {
    let words = ["contains", "-i", "input"].iter().chain(options).chain(&["--", "./tool"]);
    world.fleche(words).run()
}

/// All files of a folder of the cache.
fn files(world: &World, folder: &str) -> Vec<PathBuf> {
    world.is_alone();
    let entries = walkdir::WalkDir::new(world.cache().join(folder)).into_iter().filter_map(Result::ok);
    let mut files: Vec<_> =
        entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect();
    files.sort();
    files
}

fn key(world: &World) -> String {
    let file = files(world, "calls").remove(0);
    let shard = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
    format!("{shard}{}", file.file_name().unwrap().to_str().unwrap())
}

#[test]
fn it_says_by_its_exit_status_what_run_would_do() {
    let world = world("echo out");
    ask(&world, &[]).check(1, "", "");
    assert!(!world.home().join(".cache").exists());
    tool(&world, &[]).prints("out\n");
    let before = files(&world, "");
    ask(&world, &[]).check(0, "", "");
    world.write("input", "2\n");
    ask(&world, &[]).check(1, "", "");
    world.write("input", "1\n");
    ask(&world, &[]).check(0, "", "");
    ask(&world, &["--revision", "2"]).check(1, "", "");
    ask(&world, &["--ttl", "0s"]).check(1, "", "");
    ask(&world, &["--ttl", "0s", "--stale", "1h"]).check(0, "", "");
    assert_eq!((files(&world, ""), world.executions("tool")), (before, 1));
}

#[test]
fn verbose_says_why_not() {
    let world = world("echo out");
    ask(&world, &["-v"]).check(1, "", "fleche: miss: no call is stored for this state\n");
    tool(&world, &[]).prints("out\n");
    ask(&world, &["-v"]).check(0, "", "");
    ask(&world, &["-v", "--ttl", "0s"]).check(1, "", "fleche: miss: the stored call is too old\n");
    world.write("input", "2\n");
    let said = ask(&world, &["-v"]).stderr();
    assert!(said.starts_with("fleche: miss: `input` changed since call "), "{said}");
    world.fleche(["contains", "-v", "--trace", "off", "--", "./tool"]).ends(
        1,
        "",
        "fleche: not cached: its inputs are not declared\n",
    );
}

#[test]
fn a_damaged_or_missing_value_is_none() {
    let large = "i=0; while [ $i -lt 5000 ]; do echo line; i=$((i+1)); done";
    for (body, options) in [(large, &[][..]), (&format!("{{ {large}; }} >made"), &["-o", "made"])] {
        let world = world(body);
        tool(&world, options).run();
        ask(&world, options).check(0, "", "");
        let value = files(&world, "values").remove(0);
        let key = key(&world);
        let digest = format!(
            "{}{}",
            value.parent().unwrap().file_name().unwrap().to_str().unwrap(),
            value.file_name().unwrap().to_str().unwrap()
        );
        for name in [&key, &digest] {
            world.fleche(["contains", name]).ends(0, "", "");
            world.fleche(["contains", &name[..8]]).ends(0, "", "");
        }
        let whole = fs::read(&value).unwrap();
        fs::remove_file(&value).unwrap();
        fs::write(&value, [&whole[1..], b"x"].concat()).unwrap();
        if world.path("made").exists() {
            // A replay would not need it.
            ask(&world, options).check(0, "", "");
            fs::remove_file(world.path("made")).unwrap();
        }
        ask(&world, options).check(1, "", "");
        for name in [&key, &digest] {
            world.fleche(["contains", name]).ends(1, "", "");
        }
        assert!(value.exists(), "what is damaged is left for the run that mends it");
        fs::remove_file(&value).unwrap();
        ask(&world, options).check(1, "", "");
        for name in [&key, &digest] {
            world.fleche(["contains", name]).ends(1, "", "");
        }
        tool(&world, options).run();
        ask(&world, options).check(0, "", "");
    }
}

#[test]
fn a_key_respects_the_time_and_an_unknown_one_is_none() {
    let world = world("echo out; exit 3");
    let unknown = "0".repeat(64);
    world.fleche(["contains", &unknown]).ends(1, "", "");
    tool(&world, &["--cache-exit", "3"]).run();
    let key = key(&world);
    world.fleche(["contains", &unknown]).ends(1, "", "");
    world.fleche(["contains", "-v", &unknown]).ends(1, "", &format!("fleche: nothing is called `{unknown}`\n"));
    world.fleche(["contains", &key]).ends(0, "", "");
    world.fleche(["contains", "--failure-ttl", "1h", &key]).ends(0, "", "");
    world.fleche(["contains", "--failure-ttl", "0s", &key]).ends(1, "", "");
    let inline = blake3::hash(b"out\n").to_hex();
    world.fleche(["contains", inline.as_str()]).ends(0, "", "");
}

#[test]
fn an_output_that_could_not_be_restored_means_no() {
    let world = world("echo out >made");
    tool(&world, &["-o", "made"]).prints("");
    ask(&world, &["-o", "made"]).check(0, "", "");
    fs::remove_file(world.path("made")).unwrap();
    ask(&world, &["-o", "made"]).check(0, "", "");
    fs::create_dir(world.path("made")).unwrap();
    ask(&world, &["-o", "made"]).check(1, "", "");
    assert!(world.path("made").is_dir());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    for words in [&["contains"][..], &["contains", "abc"], &["contains", "abcd", "--", "ls"], &["contains", "ls"]] {
        let outcome = world.fleche(words).run();
        assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()), "{words:?}");
    }
}

#[test]
fn a_key_of_a_failure_is_contained_as_it_is() {
    let world = World::new();
    let run = world.fleche(["run", "--pure", "--cache-exit", "3", "--", "sh", "-c", "exit 3"]).run();
    assert_eq!(run.code(), 3);
    let key = world.fleche(["query"]).run().stdout();
    world.fleche(["contains", key.trim()]).prints("");
    world.fleche(["contains", "--pure", "--", "sh", "-c", "exit 3"]).ends(1, "", "");
    world.fleche(["contains", "--pure", "--cache-exit", "3", "--", "sh", "-c", "exit 3"]).prints("");
}

#[test]
fn every_option_of_a_run_may_stay_in_the_line() {
    let world = World::new();
    let options = [
        "--pure",
        "--tag",
        "a=1",
        "-p",
        "alpha",
        "--ttl",
        "1h",
        "--wait",
        "1m",
        "--mtime",
        "keep",
        "--max-entry",
        "9MB",
    ];
    let line = |word: &str| world.fleche([word].iter().chain(&options).chain(&["--", "echo", "one"]));
    line("run").prints("one\n");
    line("load").prints("one\n");
    line("contains").prints("");
    for word in ["explain", "digest", "call"] {
        assert_eq!((line(word).run().code(), line(word).run().stderr()), (0, String::new()), "{word}");
    }
}
