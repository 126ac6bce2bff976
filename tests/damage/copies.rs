//! Caches that were copied: in the middle of writes, to another place, with other times.

use std::collections::HashSet;
use std::fs::{self, File};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::form::of_form;
use crate::scene::{Scene, WAYS, Way, clear};
use crate::sweep::{each, tell};

/// Processes that store at the same time.
const STORING: usize = 8;
/// Commands that are run with each backup: of those that had begun before it the last ones, and of those that began meanwhile.
const LAST: usize = 15;
/// Commands that may be stored before a backup, and while it is taken: else each takes longer than the one before, for more is
/// stored meanwhile.
const BETWEEN: usize = 12;
const MEANWHILE: usize = 30;

/// Backups that were taken while others store: what is replayed from one is right, the rest is run. What was stored before a
/// backup began is in it.
#[test]
fn a_backup_taken_in_the_middle_of_writes_is_right_or_misses() {
    let backups = of_form(6, 100);
    let scene = Scene::new();
    scene.world.script("say", "#!/bin/sh\necho \"$1\"; head -c 20000 /dev/zero; echo \"$1\" > \"made-$1\"\n");
    let number = AtomicUsize::new(0);
    let (allowed, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stored = Mutex::new(HashSet::new());
    let mut taken = Vec::new();
    let (world, cache) = (&scene.world, scene.cache());
    let store = |number: &str, cache: &std::path::Path| {
        let made = format!("made-{number}");
        let words = ["run", "-i", "input", "-o", &made, "--", "./say", number];
        world.fleche(words).env("FLECHE_CACHE", cache).env("FLECHE_VERBOSE", "1").run()
    };
    let right = |number: &str| [format!("{number}\n").into_bytes(), vec![0; 20_000]].concat();
    let copied = |backup: usize| world.root().join(format!("backup-{backup}"));
    std::thread::scope(|scope| {
        for _ in 0..STORING {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if number.load(Ordering::Relaxed) >= allowed.load(Ordering::Relaxed) {
                        std::thread::park_timeout(Duration::from_millis(1));
                        continue;
                    }
                    let number = number.fetch_add(1, Ordering::Relaxed).to_string();
                    let outcome = store(&number, &cache);
                    assert_eq!((outcome.code(), outcome.stdout == right(&number)), (0, true), "{}", outcome.stderr());
                    stored.lock().unwrap().insert(number);
                }
            });
        }
        for backup in 0..backups {
            let until = number.load(Ordering::Relaxed) + BETWEEN;
            allowed.store(until + STORING, Ordering::Relaxed);
            crate::world::eventually("they store", || number.load(Ordering::Relaxed) > until);
            let begun = number.load(Ordering::Relaxed);
            allowed.store(begun + MEANWHILE, Ordering::Relaxed);
            let before = stored.lock().unwrap().clone();
            // What vanishes while it is copied is no reason to stop.
            let _ = Command::new("cp").arg("-a").arg(&cache).arg(copied(backup)).output().unwrap();
            taken.push((begun, before, number.load(Ordering::Relaxed)));
        }
        done.store(true, Ordering::Relaxed);
    });
    let in_the_middle = taken.iter().filter(|(begun, _, end)| end > begun).count();
    assert!(in_the_middle > backups / 2, "{in_the_middle} of {backups} were taken while others stored");
    let (mut hits, mut runs) = (0, 0);
    for (backup, (begun, before, end)) in taken.into_iter().enumerate() {
        let old = begun.saturating_sub(LAST)..begun;
        let young = end.saturating_sub(LAST).max(begun)..end;
        for number in old.chain(young).map(|number| number.to_string()) {
            for must_hit in [false, true] {
                let made = world.path(format!("made-{number}"));
                fs::remove_file(&made).unwrap();
                let outcome = store(&number, &copied(backup));
                let said = outcome.stderr();
                assert_eq!((outcome.code(), outcome.stdout == right(&number)), (0, true), "{said}");
                assert_eq!(fs::read_to_string(&made).unwrap(), format!("{number}\n"));
                let is_hit = said.starts_with("fleche: hit ");
                assert!(said.lines().count() == 1 && (is_hit || said.contains("; stored ")), "{said}");
                assert!(is_hit || !must_hit, "not healed: {said}");
                assert!(is_hit || !before.contains(&number), "stored before the backup: {said}");
                hits += usize::from(is_hit && !must_hit);
                runs += 1;
            }
        }
        // Calls whose values were copied before there were any.
        let repaired = scene.outcome(world.fleche(["verify", "--repair"]).env("FLECHE_CACHE", copied(backup)));
        assert!(repaired.code() <= 1, "{}", repaired.stderr());
        for words in [&["verify"][..], &["table"], &["gc"]] {
            let outcome = scene.outcome(world.fleche(words).env("FLECHE_CACHE", copied(backup)));
            assert!(outcome.code() == 0, "{words:?} {}{}", outcome.stdout(), outcome.stderr());
        }
    }
    assert!(hits > 0, "no backup had a call");
    tell(&format!(
        "backups in the middle of writes: {backups} backups, {runs} runs right, {hits} replayed from them, 0 failures"
    ));
}

/// Times that a copy or a clock may give to everything.
#[test]
fn times_of_another_age_change_no_answer() {
    let day = Duration::from_secs(86_400);
    let ages: Vec<(&str, SystemTime)> = vec![
        ("1970", UNIX_EPOCH),
        ("the first second", UNIX_EPOCH + Duration::from_secs(1)),
        ("2038", UNIX_EPOCH + Duration::from_secs((1 << 31) + 5)),
        ("tomorrow", SystemTime::now() + day),
        ("a century ahead", SystemTime::now() + day * 36_525),
        ("a year ago", SystemTime::now() - day * 365),
    ];
    let names: Vec<&str> = ages.iter().map(|(name, _)| *name).collect();
    each("caches with other times", Scene::new, &names, |scene, name| {
        let time = ages.iter().find(|(its, _)| its == name).unwrap().1;
        for path in scene.paths() {
            File::open(scene.cache().join(path)).unwrap().set_modified(time).unwrap();
        }
        for way in WAYS {
            assert!(!scene.run(way).ran, "{name}");
        }
        // Nothing that a replay needs is old for being from 1970.
        scene.answers_all(&scene.key(Way::Declared));
        WAYS.iter().for_each(|way| assert!(!scene.run(*way).ran, "{name}"));
    });
}

/// A cache that is moved to another place answers as before.
#[test]
fn a_cache_in_another_place_is_the_same() {
    let scene = Scene::new();
    let moved = scene.world.root().join("moved");
    fs::rename(scene.cache(), &moved).unwrap();
    for way in WAYS {
        let run = scene.run_as(way, |session| session.env("FLECHE_CACHE", &moved));
        assert!(!run.ran && run.said.is_empty(), "{run:?}");
    }
    clear(&moved);
    assert!(scene.run(Way::Declared).ran);
}
