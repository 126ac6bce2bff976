//! What a newer fleche made: an older one says so, runs rightly and leaves it alone; also while both are at work.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::harm::rewrite;
use crate::scene::{Scene, WAYS, Way, everything};
use crate::sweep::{each, tell};

// A small file: its name and kind, version, digest, body.
const VERSION: usize = 7;
const DIGEST: usize = 8;
const BODY: usize = 40;

/// Makes a whole file one of a later version of its frame.
fn raise(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..6], b"fleche");
    bytes[VERSION] = 3;
    let digest = blake3::Hasher::new().update(&bytes[..DIGEST]).update(&bytes[BODY..]).finalize();
    bytes[DIGEST..BODY].copy_from_slice(digest.as_bytes());
    rewrite(path, &bytes);
}

/// A call or path sets of a newer fleche are neither replayed, nor replaced, nor put aside.
#[test]
fn a_newer_file_is_left_as_it_is() {
    type Find = fn(&Scene) -> PathBuf;
    let files: Vec<(&str, Way, Find)> = vec![
        ("declared call", Way::Declared, |scene| scene.call_file(Way::Declared)),
        ("watched call", Way::Watched, |scene| scene.call_file(Way::Watched)),
        ("path sets", Way::Watched, Scene::paths_file),
    ];
    let names: Vec<&str> = files.iter().map(|(name, ..)| *name).collect();
    each("files of a newer fleche", Scene::new, &names, |scene, name| {
        let (_, way, find) = files.iter().find(|(its, ..)| its == name).unwrap();
        let file = find(scene);
        raise(&file);
        let newer = fs::read(&file).unwrap();
        for _ in 0..2 {
            let run = scene.run(*way);
            assert!(run.ran && run.said.contains("a newer fleche wrote "), "{run:?}");
        }
        let other = if *way == Way::Declared { Way::Watched } else { Way::Declared };
        assert!(!scene.run(other).ran, "the other call suffers");
        scene.ask_all(&scene.key(*way));
        assert_eq!(fs::read(&file).unwrap(), newer, "it was touched");
        let verified = scene.ask(&["verify", "--repair"], "");
        assert!(verified.code() <= 1 && fs::read(&file).unwrap() == newer, "{verified:?}");
    });
}

/// A newer layout: nothing in the folder is used or changed.
#[test]
fn a_newer_layout_is_left_as_it_is() {
    let scene = Scene::new();
    fs::rename(scene.cache().join("layout-1"), scene.cache().join("layout-2")).unwrap();
    let before = everything(&scene.cache());
    for way in WAYS {
        let run = scene.run(way);
        assert!(run.ran && run.said.contains("a newer fleche made "), "{run:?}");
    }
    for words in [&["table"][..], &["gc"], &["reindex"], &["verify"], &["stats"]] {
        let outcome = scene.ask(words, "");
        assert!(outcome.code() == 2 && outcome.stderr().contains("a newer fleche made "), "{words:?} {outcome:?}");
    }
    assert_eq!(everything(&scene.cache()), before);
    tell("a newer layout: refused by 2 runs and 5 questions, and untouched");
}

fn set_version(scene: &Scene, change: i64) {
    let connection = Connection::open(scene.cache().join("index.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", version + change).unwrap();
}

/// A newer catalogue: questions say so and leave it alone; runs do not need it.
#[test]
fn a_newer_catalogue_is_left_as_it_is() {
    let scene = Scene::new();
    set_version(&scene, 1);
    let index = scene.cache().join("index.sqlite");
    let before = fs::read(&index).unwrap();
    for way in WAYS {
        assert!(!scene.run(way).ran);
    }
    for words in [&["table"][..], &["gc"], &["reindex"], &["stats"], &["query"]] {
        let outcome = scene.ask(words, "");
        assert!(outcome.code() == 2 && outcome.stderr().contains("a newer fleche made "), "{words:?} {outcome:?}");
    }
    assert_eq!(fs::read(&index).unwrap(), before);
    assert!(!scene.paths().iter().any(|path| path.to_str().unwrap().starts_with("quarantine/index")));
    set_version(&scene, -1);
    scene.answers_all(&scene.key(Way::Declared));
    // What another program made is no catalogue.
    let connection = Connection::open(&index).unwrap();
    connection.pragma_update(None, "application_id", 1).unwrap();
    drop(connection);
    scene.answers_all(&scene.key(Way::Declared));
}

/// A newer fleche brings the catalogue to its version and an older one is at work: each answer is right or a refusal.
#[test]
fn old_and_new_ask_side_by_side() {
    const ROUNDS: usize = 25;
    let scene = Scene::new();
    let right = scene.listing().unwrap();
    let done = AtomicBool::new(false);
    let path = scene.cache().join("index.sqlite");
    let (asked, raised) = std::thread::scope(|scope| {
        let newer = scope.spawn(|| {
            let connection = Connection::open(path).unwrap();
            connection.busy_timeout(Duration::from_secs(60)).unwrap();
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            let mut raised = 0;
            while !done.load(Ordering::Relaxed) {
                // Each in one step, as a fleche does it: the version tells of all tables.
                for (version, change) in [
                    (version + 1, "CREATE TABLE newer (x); INSERT INTO newer VALUES (randomblob(5000));"),
                    (version, "DROP TABLE newer;"),
                ] {
                    let step = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {version}; COMMIT;");
                    connection.execute_batch(&step).unwrap();
                    // So that others can write, too.
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                raised += 1;
            }
            raised
        });
        // Nothing is asserted before the other one has ended, which would go on for ever.
        let asked: Vec<_> = (0..ROUNDS).map(|_| (scene.listing(), scene.run(Way::Declared).ran)).collect();
        done.store(true, Ordering::Relaxed);
        (asked, newer.join().unwrap())
    });
    for (listing, ran) in asked {
        match listing {
            Ok(listed) => assert_eq!(listed, right),
            Err(told) => assert!(told.contains("a newer fleche made "), "{told}"),
        }
        assert!(!ran);
    }
    assert!(raised > 0);
    assert!(!scene.paths().iter().any(|path| path.to_str().unwrap().starts_with("quarantine/index")));
    assert_eq!(scene.listing(), Ok(right));
    tell(&format!("old and new side by side: {ROUNDS} questions, {raised} changes of version"));
}
