//! Whatever changes a cache, all of it at once, while commands are run and replayed from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::form::of_form;
use crate::world::{Outcome, Session, World};

/// How many run commands at the same time.
const READERS: usize = 32;
/// Different commands, of which the first few are pinned.
const COMMANDS: usize = 12;
const PINNED: usize = 3;
/// The caches: readers use the one or the other.
const CACHES: [&str; 2] = ["one", "two"];

const TOOL: &str = "cat input; echo \"$1\" >&2; mkdir -p out; yes \"$1\" | head -c 20000 > out/large; echo \"$1\" > out/small; exit $(($1 % 2))";

/// Reads, changes or asks a cache; what it may say on standard error besides nothing.
struct Disturbance {
    words: &'static [&'static str],
    /// Exit codes that are right.
    codes: &'static [i32],
    /// What each line of its standard error ends with, if it may say anything.
    may_say: &'static [&'static str],
}

/// Nothing is left to choose from.
const NONE: &[&str] = &["no call matches"];

const DISTURBANCES: &[Disturbance] = &[
    Disturbance { words: &["--cache", "one", "gc", "--grace", "0s"], codes: &[0], may_say: &[] },
    Disturbance { words: &["--cache", "one", "gc", "--grace", "0s", "--max-size", "30000"], codes: &[0], may_say: &[] },
    Disturbance { words: &["--cache", "two", "gc", "--grace", "0s", "--max-entries", "4"], codes: &[0], may_say: &[] },
    Disturbance {
        words: &["--cache", "one", "evict", "--tag", "kind=volatile", "--limit", "2"],
        codes: &[0, 1],
        may_say: NONE,
    },
    Disturbance { words: &["--cache", "two", "evict", "--arg", "1=7"], codes: &[0, 1], may_say: NONE },
    Disturbance {
        words: &["--cache", "one", "tag", "--tag", "kind=volatile", "more=yes"],
        codes: &[0, 1],
        may_say: NONE,
    },
    Disturbance { words: &["--cache", "two", "tag", "--limit", "3", "more=yes"], codes: &[0, 1], may_say: NONE },
    Disturbance { words: &["--cache", "one", "reindex"], codes: &[0], may_say: &[] },
    Disturbance { words: &["--cache", "two", "reindex"], codes: &[0], may_say: &[] },
    Disturbance {
        words: &["transfer", "--from", "one", "--to", "two"],
        codes: &[0, 1],
        may_say: &["not transferred", "transferred", "stays where it is", "no call matches"],
    },
    Disturbance {
        words: &["transfer", "--from", "two", "--to", "one", "--pop", "--tag", "kind=volatile"],
        codes: &[0, 1],
        may_say: &["not transferred", "transferred", "stays where it is", "no call matches"],
    },
    Disturbance { words: &["--cache", "one", "table", "--args"], codes: &[0, 1], may_say: NONE },
    Disturbance {
        words: &["--cache", "two", "table", "--columns", "key,tag.kind,hits"],
        codes: &[0, 1],
        may_say: NONE,
    },
    Disturbance { words: &["--cache", "one,two", "query", "--count"], codes: &[0], may_say: &[] },
];

struct Storm {
    world: World,
    tool: PathBuf,
    /// What the commands give when they are run bare.
    bare: Vec<Bare>,
}

struct Bare {
    outcome: Outcome,
    files: [String; 2],
}

const FILES: [&str; 2] = ["out/large", "out/small"];

impl Storm {
    fn new() -> Storm {
        let world = World::new();
        let tool = world.counted("tool", TOOL);
        let cache = |name: &str| format!("[caches.{name}]\npath = \"{}\"\n", world.root().join(name).display());
        world.write(world.home().join(".config/fleche/config.toml"), CACHES.map(cache).concat());
        let twin = World::new();
        let twins_tool = twin.counted("tool", TOOL);
        twin.write("input", "input\n");
        let bare = |number: usize| {
            let outcome = twin.program(&twins_tool, [number.to_string()]).run();
            Bare { outcome, files: FILES.map(|name| twin.read(name)) }
        };
        let bare = (0..COMMANDS).map(bare).collect();
        Storm { world, tool, bare }
    }

    fn fleche(&self, words: &[&str]) -> Session {
        self.world.fleche(words)
    }

    /// Runs a command in a folder of its own.
    fn run(&self, reader: usize, number: usize) {
        let folder = format!("reader{reader}");
        let _ = fs::remove_dir_all(self.world.path(format!("{folder}/out")));
        self.world.write(format!("{folder}/input"), "input\n");
        let kind = if number < PINNED { "kind=pinned" } else { "kind=volatile" };
        let (tool, argument) = (self.tool.to_str().unwrap(), number.to_string());
        let options = ["run", "--no-cwd", "--cache-exit", "0,1", "-i", "input", "-o", "out/", "--tag", kind, "--"];
        let words = [&["--cache", CACHES[reader % 2]], &options[..], &[tool, &argument]].concat();
        let outcome = self.fleche(&words).current_dir(self.world.path(&folder)).run();
        let bare = &self.bare[number];
        assert_eq!(outcome, bare.outcome, "reader {reader}, command {number}");
        let files = FILES.map(|name| self.world.read(format!("{folder}/{name}")));
        assert!(files == bare.files, "reader {reader}, command {number}: its files are others");
    }

    fn disturb(&self, disturbance: &Disturbance) {
        let Disturbance { words, codes, may_say } = disturbance;
        let outcome = self.fleche(words).run();
        let said = outcome.stderr();
        let is_fine = |line: &str| may_say.iter().any(|text| line.contains(text));
        assert!(codes.contains(&outcome.code()) && said.lines().all(is_fine), "{words:?}: {} {said}", outcome.code());
    }
}

#[test]
fn readers_and_all_that_changes_a_cache_at_once() {
    let runs = of_form(10, 250);
    let storm = Storm::new();
    for number in 0..PINNED {
        (0..2).for_each(|reader| storm.run(reader, number));
    }
    for cache in CACHES {
        storm.fleche(&["--cache", cache, "tag", "--tag", "kind=pinned", "pin"]).prints("");
    }
    let (done, disturbed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (storm, done, disturbed, failed) = (&storm, &done, &disturbed, &failed);
        let goes_on = move || done.load(Ordering::Relaxed) < READERS && !failed.load(Ordering::Relaxed);
        for reader in 0..READERS {
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                // Each in another order: a step that has no divisor in common with the number of commands.
                let step = [1, 5, 7, 11][reader % 4];
                for run in 0..runs {
                    if failed.load(Ordering::Relaxed) {
                        return;
                    }
                    storm.run(reader, (reader + run * step) % COMMANDS);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        for first in 0..4 {
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                let mine = DISTURBANCES.iter().skip(first).step_by(4);
                // Each at least once, however fast the others are.
                for (number, disturbance) in mine.clone().chain(mine.cycle()).enumerate() {
                    if number >= DISTURBANCES.len().div_ceil(4) && !goes_on() {
                        return;
                    }
                    storm.disturb(disturbance);
                    disturbed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let disturbed = disturbed.into_inner();
    let executed = storm.world.executions("tool");
    // What is pinned was never lost, and what was lost was made anew.
    for number in 0..PINNED {
        (0..2).for_each(|reader| storm.run(reader, number));
    }
    assert_eq!(storm.world.executions("tool"), executed, "a pinned call was lost");
    for cache in CACHES {
        storm.fleche(&["--cache", cache, "verify"]).prints("");
        storm.fleche(&["--cache", cache, "gc", "--grace", "0s"]).prints("");
        storm.fleche(&["--cache", cache, "gc", "--grace", "0s", "--dry-run"]).prints("");
        let pinned = storm.fleche(&["--cache", cache, "query", "--tag", "pin"]).run().stdout();
        assert_eq!(pinned.lines().collect::<BTreeSet<_>>().len(), PINNED);
    }
    for folder in CACHES.map(|name| storm.world.root().join(name)) {
        let left: Vec<_> = fs::read_dir(folder.join("tmp")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?} is left");
        assert!(!folder.join("quarantine").exists(), "something was damaged in {}", folder.display());
    }
    let total = READERS * runs;
    println!("mixed: {READERS} readers, {total} runs, {executed} executions, {disturbed} disturbances, 0 failures");
}

/// Tells the others when its thread fails, so that nobody goes on for long.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
