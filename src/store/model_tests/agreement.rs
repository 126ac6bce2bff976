//! What must hold after every step, and what the catalogue must say.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::machine::{Cache, Machine, Verdict, ensure};
use super::plain::{Bytes, Kept, Plain, bytes_of, name_of};
use super::step::{CALLS, COMMANDS, Side, TAGS, VALUES};
use crate::model::{Digest, Fact, Key};
use crate::store::{Column, Condition, Selection};

impl Cache {
    pub(super) fn folder_of_temporaries(&self) -> PathBuf {
        self.file("tmp")
    }
}

impl Machine {
    /// The files that are there are those of the map.
    pub(super) fn files_agree(&mut self, at: Side) -> Verdict {
        self.caches[at].notice();
        let cache = &self.caches[at];
        let calls: BTreeSet<u8> = (0..CALLS).filter(|call| cache.call_file(*call).exists()).collect();
        let expected: BTreeSet<u8> = cache.plain.calls.keys().copied().collect();
        ensure!(calls == expected, "there are the calls {calls:?}, not {expected:?}");
        let values: BTreeSet<u8> = (0..VALUES).filter(|value| cache.value_file(*value).exists()).collect();
        let expected: BTreeSet<u8> = cache.plain.values.keys().copied().collect();
        ensure!(values == expected, "there are the values {values:?}, not {expected:?}");
        for command in 0..COMMANDS {
            let is_there = cache.sets_file(command).exists();
            // Damaged ones are put aside by whoever looks.
            let should_be = match cache.plain.sets.get(&command) {
                Some(None) => is_there,
                other => other.is_some(),
            };
            ensure!(is_there == should_be, "there are path sets of command {command}: {is_there}");
        }
        for name in &cache.plain.leftovers {
            ensure!(cache.folder_of_temporaries().join(name).exists(), "{name} is gone");
        }
        Ok(())
    }

    /// The catalogue says of every call what the map says.
    pub(super) fn agree(&mut self, at: Side) -> Verdict {
        let catalogue = self.store(at).catalogue().map_err(|why| why.to_string())?;
        self.caches[at].notice();
        let plain = &self.caches[at].plain;
        // What is damaged and was not looked at since may be listed or not.
        let doubtful: BTreeSet<Key> = plain.damaged().into_iter().map(name_of).collect();
        let columns = ["key", "hits"].map(|name| Column::named(name).unwrap());
        let rows = catalogue.rows(&Selection::default(), &columns).map_err(|why| why.to_string())?;
        let listed: BTreeSet<(Key, i64)> = rows
            .iter()
            .filter_map(|row| match row[..] {
                [Fact::Digest(key), Fact::Number(hits)] => Some((Key(key), hits)),
                _ => None,
            })
            .filter(|(key, _)| !doubtful.contains(key))
            .collect();
        let expected: BTreeSet<(Key, i64)> = plain.whole().map(|(call, _)| (name_of(call), plain.hits(call))).collect();
        ensure!(listed == expected, "the catalogue lists {listed:?}, not {expected:?}");
        for (condition, holds) in questions() {
            let selection = Selection { conditions: vec![condition.clone()], ..Selection::default() };
            let found = catalogue.keys(&selection).map_err(|why| why.to_string())?;
            let found: BTreeSet<Key> = found.into_iter().filter(|key| !doubtful.contains(key)).collect();
            let expected: BTreeSet<Key> =
                plain.whole().filter(|(call, kept)| holds(*call, kept)).map(|(call, _)| name_of(call)).collect();
            ensure!(found == expected, "{condition:?} holds for {found:?}, not {expected:?}");
        }
        if doubtful.is_empty() {
            let calls = plain.calls.keys().map(|call| fs::metadata(self.caches[at].call_file(*call)).unwrap().len());
            let values = plain.needed();
            let size = calls.sum::<u64>() + values.iter().map(|value| bytes_of(*value).len() as u64).sum::<u64>();
            let told = catalogue.size().map_err(|why| why.to_string())?;
            ensure!(told == size, "there are {told} bytes, not {size}");
        }
        Ok(())
    }

    /// At the end everything is looked at once more: every call is what the map says, `verify` finds the damage that was
    /// done and no other, and once that is gone and garbage is collected all that is left can be replayed.
    pub fn end(mut self) -> Verdict {
        for at in 0..2 {
            self.agree(at)?;
            let mut faults = Vec::new();
            let tell = |fault| {
                faults.push(fault);
                Ok(())
            };
            self.store(at).verify_all(&|_, _| {}, tell).map_err(|why| why.to_string())?;
            let is_harmed = is_harmed(&self.caches[at].plain);
            ensure!(faults.is_empty() != is_harmed, "verify finds {faults:?}, and there is damage: {is_harmed}");
            self.caches[at].notice();
            (0..CALLS).try_for_each(|call| self.step(&super::step::Step::LookUp { at, call }))?;
            self.collect(at, super::step::Limit::None, super::step::Grace::None)?;
            self.agree(at)?;
        }
        Ok(())
    }
}

/// Whether something is damaged or lacks what it names.
fn is_harmed(plain: &Plain) -> bool {
    let lacks = |kept: &Kept| kept.values.iter().any(|value| !plain.values.contains_key(value));
    !plain.damaged().is_empty()
        || plain.values.values().any(|bytes| *bytes != Bytes::Whole)
        || plain.sets.values().any(Option::is_none)
        || plain.calls.values().any(lacks)
}

type Holds = Box<dyn Fn(u8, &Kept) -> bool>;

/// Conditions, and the same of the map.
fn questions() -> Vec<(Condition, Holds)> {
    let mut asked: Vec<(Condition, Holds)> = Vec::new();
    for name in TAGS {
        let any = Condition::Tag { name: name.to_owned(), value: None };
        asked.push((any, Box::new(move |_, kept| kept.call.tags.contains_key(name))));
        let one = Condition::Tag { name: name.to_owned(), value: Some("1".to_owned()) };
        asked.push((one, Box::new(move |_, kept| kept.call.tags.get(name).is_some_and(|value| value == "1"))));
    }
    asked.push((Condition::Name("l*".to_owned()), Box::new(|_, kept| kept.call.name() == "ld")));
    for value in 0..VALUES {
        let digest = Digest::of(&bytes_of(value));
        asked.push((Condition::Value(digest), Box::new(move |_, kept| kept.values.contains(&value))));
    }
    let keys = (0..CALLS / 2).map(name_of).collect();
    asked.push((Condition::Keys(keys), Box::new(|call, _| call < CALLS / 2)));
    asked
}
