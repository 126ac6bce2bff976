//! Which kinds of files and folders there are in a cache: each is damaged, and a new one must be put on the list.

use std::collections::BTreeSet;
use std::path::Path;

use crate::scene::Scene;

/// Paths below a cache, with `*` for what has many names.
pub const ALL: [&str; 34] = [
    "CACHEDIR.TAG",
    "args",
    "args/*",
    "args/*/*",
    "calls",
    "calls/*",
    "calls/*/*",
    "index.sqlite",
    "index.sqlite-shm",
    "index.sqlite-wal",
    "journal",
    "journal.old",
    "layout-1",
    "ledger",
    "lock",
    "outbox",
    "outbox/*",
    "outbox/*/*",
    "paths",
    "paths/*",
    "paths/*/*",
    "quarantine",
    "quarantine/*",
    "secret",
    "sessions",
    "sessions/*",
    "stamps",
    "stamps/*",
    "stamps/*/*",
    "tmp",
    "tmp/*",
    "values",
    "values/*",
    "values/*/*",
];

/// The kind of the thing at a path below the cache; `None` for what is inside of something damaged.
pub fn of(path: &Path) -> Option<&'static str> {
    let names: Vec<&str> = path.iter().map(|name| name.to_str().unwrap()).collect();
    let first = names[0];
    let kind = match names.len() {
        1 => first.to_owned(),
        // What lies in there may be anything.
        _ if first == "quarantine" || first == "tmp" => format!("{first}/*"),
        length => [first].into_iter().chain(std::iter::repeat_n("*", length - 1)).collect::<Vec<_>>().join("/"),
    };
    ALL.iter().find(|known| **known == kind).copied()
}

/// Everything in the cache is of a kind that is on the list.
#[track_caller]
pub fn check(scene: &Scene) {
    let unknown: Vec<_> = scene.paths().into_iter().filter(|path| of(path).is_none()).collect();
    assert!(unknown.is_empty(), "not on the list: {unknown:?}");
}

/// A cache in which everything was done that can be done has one of each kind and nothing else.
#[test]
fn every_kind_is_known() {
    let scene = Scene::new();
    check(&scene);
    let found: BTreeSet<&str> = scene.paths().iter().filter_map(|path| of(path)).collect();
    assert_eq!(found, BTreeSet::from(ALL));
    crate::sweep::tell(&format!("kinds of files and folders: {} of {} found and known", found.len(), ALL.len()));
}
