//! The operations that are swept, and what must be true of each after a fault.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ward::{Items, Ward, bare, difference, silent, there};
use crate::world::{Outcome, Session, World};

/// One thing that fleche does.
pub struct Operation {
    pub name: &'static str,
    /// Makes the state that it begins with.
    pub prepare: fn(&World),
    pub words: fn(&World) -> Vec<OsString>,
    pub aim: Aim,
}

/// What an operation is for.
pub enum Aim {
    /// A command's output, files and status; what is done where `fleche` is absent.
    Run(&'static [&'static str]),
    /// A change of caches.
    Change {
        /// Calls that it may take away, as arguments of `query`.
        takes: &'static [&'static str],
        /// Whether it is done.
        is_done: fn(&Ward, &State) -> Result<(), String>,
    },
}

/// What there was before.
pub struct State {
    /// All calls, and those that may go.
    pub calls: BTreeSet<String>,
    pub going: BTreeSet<String>,
    /// All that is told of them.
    pub told: String,
}

/// What a bare run does.
pub struct Bare {
    pub outcome: Outcome,
    pub files: Items,
}

/// Larger than what a call's own file holds.
const LARGE: usize = 20_000;

/// A tool that prints what is too large to be inline, says a line on standard error, and makes files and a folder.
const TOOL: &str =
    "cat big\necho err >&2\ncp input small\ncat input big > large\nmkdir -p folder\necho deep > folder/deep";
const DECLARED: [&str; 14] =
    ["run", "-i", "input", "-i", "big", "-o", "small", "-o", "large", "-o", "folder/", "--no-stdin", "--", "../tool"];
const OTHERS: [&str; 3] = ["one", "two", "three"];

fn fresh(world: &World) {
    // Where they are not made anew for each step: what is open for writing anywhere cannot be executed.
    for (name, body) in [("tool", TOOL), ("printer", "cat \"$1\" big")] {
        let text = format!("#!/bin/sh\necho x >> '{}'\n{body}\n", world.count_file(name).display());
        world.script(world.root().join(name), &text);
    }
    world.write("input", "1\n");
    world.write("big", "0123456789abcde\n".repeat(LARGE / 16));
}

fn did(world: &World, words: &[&str]) -> String {
    let outcome = world.fleche(words).run();
    assert_eq!(outcome.code(), 0, "{words:?}: {}", outcome.stderr());
    outcome.stdout()
}

/// Some calls, so that the folders of a cache are there.
fn with_calls(world: &World) {
    fresh(world);
    for name in OTHERS {
        world.write(name, format!("{name}\n"));
        did(world, &["run", "-i", name, "-i", "big", "--no-stdin", "--", "../printer", name]);
    }
}

fn indexed(world: &World) {
    with_calls(world);
    did(world, &["query"]);
}

fn recorded(world: &World) {
    with_calls(world);
    did(world, &DECLARED);
}

fn without_outputs(world: &World) {
    recorded(world);
    fs::remove_file(world.path("small")).unwrap();
    fs::remove_file(world.path("large")).unwrap();
    fs::remove_dir_all(world.path("folder")).unwrap();
}

fn with_other_outputs(world: &World) {
    with_calls(world);
    world.write("input", "0\n");
    did(world, &DECLARED);
    world.write("input", "1\n");
    did(world, &DECLARED);
    // Of the former call.
    world.write("input", "0\n");
    did(world, &DECLARED);
    world.write("input", "1\n");
}

fn with_watched(world: &World) {
    with_calls(world);
    let outcome = world.fleche(watched(world)).run();
    assert_eq!(outcome.code(), 0, "{}", outcome.stderr());
    for name in ["small", "large"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    fs::remove_dir_all(world.path("folder")).unwrap();
}

fn littered(world: &World) {
    indexed(world);
    let key = did(world, &["query", "--arg", "1=two"]).trim().to_owned();
    fs::remove_file(world.cache().join("calls").join(&key[..2]).join(&key[2..])).unwrap();
    world.write("four", "four\n");
    did(world, &["run", "-i", "four", "-i", "big", "--no-stdin", "--", "../printer", "four"]);
}

fn exported(world: &World) {
    with_calls(world);
    did(world, &["export", "calls.fleche"]);
    fs::rename(world.cache(), world.root().join("away")).unwrap();
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Where the executions are counted is no output.
fn watched(world: &World) -> Vec<OsString> {
    let scratch = world.count_file("tool").into_os_string();
    [words(&["run", "--no-stdin", "--scratch"]), vec![scratch], words(&["--", "../tool"])].concat()
}

fn declared(_: &World) -> Vec<OsString> {
    words(&DECLARED)
}

fn moved(world: &World) -> Vec<OsString> {
    [words(&["transfer", "--from", "local", "--to"]), vec![there(world).into(), "--pop".into()]].concat()
}

pub const OPERATIONS: &[Operation] = &[
    Operation { name: "first open", prepare: fresh, words: declared, aim: Aim::Run(&["../tool"]) },
    Operation { name: "miss", prepare: with_calls, words: declared, aim: Aim::Run(&["../tool"]) },
    Operation { name: "miss, watched", prepare: with_calls, words: watched, aim: Aim::Run(&["../tool"]) },
    Operation {
        name: "hit",
        prepare: with_calls,
        words: |_| words(&["run", "-i", "one", "-i", "big", "--no-stdin", "--", "../printer", "one"]),
        aim: Aim::Run(&["../printer", "one"]),
    },
    Operation { name: "hit, outputs gone", prepare: without_outputs, words: declared, aim: Aim::Run(&["../tool"]) },
    Operation { name: "hit, other outputs", prepare: with_other_outputs, words: declared, aim: Aim::Run(&["../tool"]) },
    Operation { name: "hit, watched", prepare: with_watched, words: watched, aim: Aim::Run(&["../tool"]) },
    Operation {
        name: "refresh",
        prepare: recorded,
        words: |_| [words(&["run", "--mode", "refresh"]), words(&DECLARED[1..])].concat(),
        aim: Aim::Run(&["../tool"]),
    },
    Operation {
        name: "gc",
        prepare: littered,
        words: |_| words(&["gc", "--grace", "0s", "--max-size", "60k"]),
        aim: Aim::Change {
            takes: &["--arg", "1=one"],
            is_done: |ward, _| {
                let outcome = ward.world.fleche(["gc", "--dry-run", "--grace", "0s", "--max-size", "60k"]).run();
                silent("gc --dry-run", &outcome)
            },
        },
    },
    Operation {
        name: "tag",
        prepare: indexed,
        words: |_| words(&["tag", "--name", "printer", "colour=blue"]),
        aim: Aim::Change {
            takes: &[],
            is_done: |ward, state| {
                let tagged = ward.world.fleche(["query", "--tag", "colour=blue"]).run().stdout();
                same("tagged calls", &state.calls, &tagged.lines().map(str::to_owned).collect())
            },
        },
    },
    Operation {
        name: "evict",
        prepare: indexed,
        words: |_| words(&["evict", "--arg", "1=t*"]),
        aim: Aim::Change {
            takes: &["--arg", "1=t*"],
            is_done: |ward, state| {
                let left = ward.keys(Path::new("local"))?;
                same("calls that are left", &state.calls.difference(&state.going).cloned().collect(), &left)
            },
        },
    },
    Operation {
        name: "reindex",
        prepare: indexed,
        words: |_| words(&["reindex"]),
        aim: Aim::Change {
            takes: &[],
            is_done: |ward, state| {
                let told = told(&ward.world);
                if told == state.told { Ok(()) } else { Err(format!("the catalogue says {told}, not {}", state.told)) }
            },
        },
    },
    Operation {
        name: "transfer",
        prepare: indexed,
        words: moved,
        aim: Aim::Change {
            takes: &[],
            is_done: |ward, state| {
                same("calls that are left", &BTreeSet::new(), &ward.keys(Path::new("local"))?)?;
                same("calls that came", &state.calls, &ward.keys(&ward.there())?)
            },
        },
    },
    Operation {
        name: "export",
        prepare: |world| {
            indexed(world);
            world.write("calls.fleche", "of old");
        },
        words: |_| words(&["export", "calls.fleche"]),
        aim: Aim::Change {
            takes: &[],
            is_done: |ward, state| {
                silent(
                    "import",
                    &ward
                        .world
                        .fleche([
                            "--cache".as_ref(),
                            ward.there().as_os_str(),
                            "import".as_ref(),
                            "calls.fleche".as_ref(),
                        ])
                        .run(),
                )?;
                same("calls that came", &state.calls, &ward.keys(&ward.there())?)
            },
        },
    },
    Operation {
        name: "import",
        prepare: |world| {
            exported(world);
            let away = world.root().join("away");
            fs::remove_dir_all(away).unwrap();
            did(world, &["run", "-i", "one", "-i", "big", "--no-stdin", "--", "../printer", "one"]);
        },
        words: |_| words(&["import", "calls.fleche"]),
        aim: Aim::Change {
            takes: &[],
            is_done: |ward, _| match ward.keys(Path::new("local"))?.len() {
                3 => Ok(()),
                count => Err(format!("{count} calls are there, not 3")),
            },
        },
    },
];

impl Operation {
    pub fn session(&self, world: &World) -> Session {
        world.fleche((self.words)(world))
    }

    /// What a really bare run does, in a world of its own.
    pub fn bare(&self, words: &[&str]) -> Bare {
        let twin = Ward::new(self.prepare);
        let outcome = bare(&twin.world, words).run();
        Bare { outcome, files: twin.files() }
    }
}

impl State {
    pub fn of(ward: &Ward, takes: &[&str]) -> State {
        let chosen = |filters: &[&str]| -> BTreeSet<String> {
            let keys = ward.world.fleche(["query"].iter().chain(filters)).run().stdout();
            keys.lines().map(str::to_owned).collect()
        };
        let going = if takes.is_empty() { BTreeSet::new() } else { chosen(takes) };
        State { calls: chosen(&[]), going, told: told(&ward.world) }
    }
}

fn told(world: &World) -> String {
    world.fleche(["query", "--json", "--sort", "key"]).run().stdout()
}

fn same(what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

/// Whether a run did what the bare one did, and said at most a line more; `allowed` files of fleche's may lie beside.
pub fn as_bare(bare: &Bare, ward: &Ward, outcome: &Outcome, allowed: Leftovers) -> Result<(), String> {
    let (code, expected) = (outcome.status, bare.outcome.status);
    let stderr = String::from_utf8(outcome.stderr.clone()).map_err(|error| error.to_string())?;
    let (ours, others): (Vec<&str>, Vec<&str>) = stderr.lines().partition(|line| line.starts_with("fleche: "));
    if code != expected {
        return Err(format!("it ends with {code}, not {expected}: {stderr}"));
    }
    if outcome.stdout != bare.outcome.stdout {
        let (found, expected) = (outcome.stdout.len(), bare.outcome.stdout.len());
        return Err(format!("it printed {found} bytes, not the {expected} of a bare run: {stderr}"));
    }
    if others != bare.outcome.stderr().lines().collect::<Vec<_>>() || ours.len() > 1 {
        return Err(format!("on standard error: {stderr}"));
    }
    let mut files = ward.files();
    if allowed == Leftovers::Some {
        files.retain(|path, _| !is_leftover(path));
    }
    difference(&bare.files, &files).map_or(Ok(()), Err)
}

/// Whether what a restore was in the middle of may lie beside its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    None,
    /// It was killed there, or nothing could be removed any more.
    Some,
}

fn is_leftover(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".fleche-"))
}

/// Whether every call that must be there is in one of the caches.
pub fn nothing_lost(ward: &Ward, state: &State) -> Result<(), String> {
    let mut found = BTreeSet::new();
    for cache in [PathBuf::from("local"), ward.there()] {
        if cache.as_os_str() == "local" || cache.exists() {
            ward.verified(&cache)?;
            found.extend(ward.keys(&cache)?);
        }
    }
    match state.calls.difference(&state.going).find(|key| !found.contains(*key)) {
        None => Ok(()),
        Some(lost) => Err(format!("the call {lost} is lost")),
    }
}
