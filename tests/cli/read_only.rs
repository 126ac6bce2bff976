//! FLECHE_MODE=read-only: whatever is asked, nothing but the catalogue changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::world::{Outcome, World};

/// A world with two calls, of which one has a large output, and one call file that is damaged.
fn world() -> World {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "seq", "20000"]).run();
    world.fleche(["run", "--pure", "--", "echo", "whole"]).prints("whole\n");
    world.fleche(["run", "--pure", "--", "echo", "broken"]).prints("broken\n");
    let key = world.fleche(["query", "--only", "--arg", "broken"]).run().stdout();
    world.is_alone();
    let file = world.cache().join("calls").join(&key[..2]).join(key[2..].trim());
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    // Its folder looks unread again, so that the next question reads the file.
    fs::remove_file(world.cache().join("index.sqlite")).unwrap();
    world
}

/// Every file of the cache with its bytes, the catalogue left out.
fn files(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    world.is_alone();
    let entries = walkdir::WalkDir::new(world.cache()).into_iter().map(|entry| entry.unwrap().into_path());
    let is_kept =
        |path: &PathBuf| path.is_file() && !path.file_name().unwrap().to_str().unwrap().starts_with("index.sqlite");
    entries.filter(is_kept).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn ask(world: &World, words: &[&str]) -> Outcome {
    world.fleche(words).env("FLECHE_MODE", "read-only").run()
}

#[test]
fn questions_are_answered_and_nothing_is_moved() {
    let world = world();
    let before = files(&world);
    for (words, status) in [
        (&["query", "--count"][..], 0),
        (&["table"], 0),
        (&["stats"], 0),
        (&["graph"], 0),
        (&["expand", "abcdef"], 1),
        (&["verify"], 1),
        (&["gc", "--dry-run"], 0),
        (&["contains", "--pure", "--", "echo", "whole"], 0),
        (&["explain", "--pure", "--", "echo", "broken"], 1),
        (&["run", "--pure", "--", "echo", "new"], 0),
    ] {
        let outcome = ask(&world, words);
        assert_eq!(outcome.code(), status, "{words:?}: {}", outcome.stderr());
        assert!(files(&world) == before, "{words:?} changes the cache");
    }
    assert_eq!(ask(&world, &["query", "--count"]).stdout(), "2\n");
}

#[test]
fn what_would_change_it_is_refused() {
    let world = world();
    let before = files(&world);
    for words in [
        &["gc"][..],
        &["gc", "--max-size", "0"],
        &["evict", "--name", "*"],
        &["tag", "--name", "*", "a=b"],
        &["verify", "--repair"],
        &["verify", "--rerun"],
        &["reindex"],
        &["redigest"],
    ] {
        ask(&world, words).check(2, "", "fleche: the cache is read-only\nhint: FLECHE_MODE=on\n");
        assert!(files(&world) == before, "{words:?} changes the cache");
    }
    ask(&world, &["rerun", "--pure", "--", "echo", "x"]).check(
        125,
        "",
        "fleche: the cache is read-only\nhint: FLECHE_MODE=on\n",
    );
    assert!(files(&world) == before);
}

#[test]
fn a_mode_that_is_none_is_an_error_everywhere() {
    let world = world();
    let before = files(&world);
    for words in [&["evict", "--name", "*"][..], &["gc"], &["query"], &["explain", "--pure", "--", "true"]] {
        let outcome = world.fleche(words).env("FLECHE_MODE", "readonly").run();
        outcome.check(
            2,
            "",
            "fleche: FLECHE_MODE is `readonly`, which is no mode\nhint: on, off, read-only or refresh\n",
        );
    }
    assert!(files(&world) == before);
}

#[test]
fn where_there_is_no_cache_questions_make_none() {
    let world = World::new();
    for words in [
        &["query"][..],
        &["table"],
        &["stats"],
        &["graph"],
        &["show", "abcd"],
        &["expand", "abcd"],
        &["shrink", "abcd"],
        &["verify"],
        &["gc", "--dry-run"],
        &["load", "abcd"],
        &["contains", "abcd"],
        &["explain", "--pure", "--", "true"],
        &["digest", "--pure", "--", "true"],
        &["call", "--pure", "--", "true"],
    ] {
        for mode in ["on", "read-only"] {
            let outcome = world.fleche(words).env("FLECHE_MODE", mode).run();
            assert!(outcome.code() < 2, "{words:?}: {}", outcome.stderr());
            assert!(!world.home().join(".cache").exists(), "{words:?} makes a cache");
        }
    }
}
