//! What is remembered of where a command looks.

#![no_main]

use fleche::model::{Digest, Key, PathSet, PathSets, Room};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8]) -> Option<PathSets> {
    PathSets::decode(bytes, &mut Room::of(Room::FOREIGN)).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(mut sets) = bounded(bytes, 256, || decode(bytes)) else { return };
    comes_back(&sets, PathSets::encode, decode);
    let all: Vec<PathSet> = (0..sets.count()).map(|number| sets.set(number).expect("a set of this number")).collect();
    let _ = (sets.peculiar(), sets.is_full());
    // What a run does with them next.
    let observations = all.first().map_or_else(Vec::new, |set| set.observations.clone());
    sets.insert(PathSet { key: Key(Digest::of(b"new")), observations: observations.clone() });
    assert_eq!(sets.set(0).map(|set| set.key), Some(Key(Digest::of(b"new"))));
    assert!(sets.count() <= PathSets::MOST && sets.keys.len() <= PathSets::MOST_KEYS);
    comes_back(&sets, PathSets::encode, decode);
    let other = sets.clone();
    sets.add_behind(&other);
    sets.keep(1);
    assert_eq!(sets.count(), 1);
});
