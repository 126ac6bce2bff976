//! What a cache should hold: a map.

use std::collections::{BTreeMap, BTreeSet};

use super::step::{CALLS, COMMANDS, Overwrite};
use crate::model::{
    Argument, Call, CommandDigest, Content, Digest, Facet, Key, Observation, Output, OutputKind, State as Seen,
};
use crate::store::testing;

/// A cache.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    pub calls: BTreeMap<u8, Kept>,
    pub values: BTreeMap<u8, Bytes>,
    /// Which calls a command's path sets name; `None` where they are damaged.
    pub sets: BTreeMap<u8, Option<BTreeSet<u8>>>,
    pub usage: BTreeMap<u8, Usage>,
    /// Files in `tmp/` whose makers are gone.
    pub leftovers: BTreeSet<String>,
}

/// A call that has a file.
#[derive(Clone, Debug)]
pub struct Kept {
    pub call: Call,
    pub values: BTreeSet<u8>,
    pub state: State,
    /// When its file says that it was used last.
    pub modified: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Whole,
    Damaged,
}

/// What a value's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    Whole,
    /// As many, but others.
    Flipped,
    Short,
}

/// What the journal tells of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub hits: i64,
    pub last: i64,
}

/// What comes of giving a call to another cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Copied,
    Present,
    Failed,
}

/// The bytes of a value: more than a call's own file holds.
pub fn bytes_of(value: u8) -> Vec<u8> {
    vec![value; 17_000 + usize::from(value)]
}

pub fn command_of(call: u8) -> u8 {
    call % COMMANDS
}

pub fn command_digest(command: u8) -> CommandDigest {
    CommandDigest::of_parts(&[command])
}

/// The name of a call.
pub fn name_of(call: u8) -> Key {
    made(call, 0, &BTreeSet::new()).key
}

/// A call as it is recorded for the `version`th time.
pub fn made(number: u8, version: u64, values: &BTreeSet<u8>) -> Call {
    let mut call = testing::call(&number.to_string());
    call.argv[0] = Argument::Clear(if number.is_multiple_of(2) { "cc".into() } else { "ld".into() });
    call.argv.push(Argument::Clear(version.to_string().into()));
    call.tags.clear();
    call.outcome.stdout = Some(Content::inline(format!("{number} {version}\n").into_bytes()));
    call.metadata.usage.started = i64::try_from(version).unwrap();
    let file = |value: &u8| {
        let bytes = bytes_of(*value);
        let content = Content { digest: Digest::of(&bytes), length: bytes.len() as u64, inline: None };
        let kind = OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
        Output { path: value.to_string().into(), kind }
    };
    call.outcome.outputs = values.iter().map(file).collect();
    renamed(&call, number)
}

/// The same call under the name of another.
pub fn renamed(call: &Call, number: u8) -> Call {
    let path = if number < CALLS / 2 { "a.c" } else { "b.c" };
    let state = Seen::File { mode: 0o644, digest: Digest::of(&[number]) };
    let observations = vec![Observation { path: path.into(), facet: Facet::Whole, state, stamp: None }];
    let command = command_digest(command_of(number));
    let key = Key::of(&command, &Observation::digests(&observations), None);
    Call { key, command, observations, ..call.clone() }
}

impl Plain {
    /// A call that can be read; one that is damaged is gone once somebody tries.
    pub fn read(&mut self, call: u8) -> Option<&mut Kept> {
        if self.calls.get(&call).is_some_and(|kept| kept.state == State::Damaged) {
            self.calls.remove(&call);
        }
        self.calls.get_mut(&call)
    }

    /// The calls that are damaged, and nobody knows yet.
    pub fn damaged(&self) -> BTreeSet<u8> {
        self.calls.iter().filter(|(_, kept)| kept.state == State::Damaged).map(|(call, _)| *call).collect()
    }

    pub fn whole(&self) -> impl Iterator<Item = (u8, &Kept)> {
        self.calls.iter().filter(|(_, kept)| kept.state == State::Whole).map(|(call, kept)| (*call, kept))
    }

    /// A value that is asked for: damaged, it is gone then.
    pub fn verified(&mut self, value: u8) -> bool {
        match self.values.get(&value) {
            Some(Bytes::Whole) => true,
            Some(_) => {
                self.values.remove(&value);
                false
            }
            None => false,
        }
    }

    /// What a run does with a value: one that looks right stays.
    pub fn kept(&mut self, value: u8) {
        if self.values.get(&value) != Some(&Bytes::Flipped) {
            self.values.insert(value, Bytes::Whole);
        }
    }

    /// The path sets of a command, which are gone if they are damaged.
    pub fn set(&mut self, command: u8) -> Option<&mut BTreeSet<u8>> {
        if self.sets.get(&command) == Some(&None) {
            self.sets.remove(&command);
        }
        self.sets.get_mut(&command).and_then(Option::as_mut)
    }

    pub fn remember(&mut self, call: u8) {
        let command = command_of(call);
        self.set(command);
        self.sets.entry(command).or_insert_with(|| Some(BTreeSet::new())).get_or_insert_default().insert(call);
    }

    /// Removes a call, whole or not, and what the journal told of it; says whether there was one.
    pub fn evict(&mut self, call: u8) -> bool {
        let was_there = self.calls.remove(&call).is_some();
        if was_there {
            self.usage.remove(&call);
        }
        was_there
    }

    pub fn hits(&self, call: u8) -> i64 {
        self.usage.get(&call).map_or(0, |usage| usage.hits)
    }

    pub fn last_used(&self, call: u8) -> i64 {
        let noted = self.usage.get(&call).map_or(0, |usage| usage.last);
        noted.max(self.calls.get(&call).map_or(0, |kept| kept.modified))
    }

    /// What the journal told of one call is told of another.
    pub fn inherit(&mut self, from: u8, to: u8) {
        if let Some(former) = self.usage.remove(&from) {
            let usage = self.usage.entry(to).or_default();
            *usage = Usage { hits: usage.hits + former.hits, last: usage.last.max(former.last) };
        }
    }

    pub fn add_tags(&mut self, call: u8, tags: &BTreeMap<String, String>) {
        if let Some(kept) = self.read(call) {
            for (name, value) in tags {
                kept.call.tags.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Whether a call is there and, by their sizes, its values are.
    pub fn has_whole(&mut self, call: u8) -> bool {
        let values = self.read(call).map(|kept| kept.values.clone());
        values.is_some_and(|values| {
            values.iter().all(|value| matches!(self.values.get(value), Some(Bytes::Whole | Bytes::Flipped)))
        })
    }

    /// Whether a call is there and could be replayed. Looks no further than it must.
    pub fn holds(&mut self, call: u8) -> bool {
        let values = self.read(call).map(|kept| kept.values.clone());
        values.is_some_and(|values| values.iter().all(|value| self.verified(*value)))
    }

    /// The same, and nothing is looked at.
    pub fn could_replay(&self, call: u8) -> bool {
        let is_whole = |value| self.values.get(value) == Some(&Bytes::Whole);
        self.whole().any(|(number, kept)| number == call && kept.values.iter().all(is_whole))
    }

    /// Gives a call to another cache, where its file has the time `modified`.
    pub fn copy_to(&mut self, to: &mut Plain, call: u8, overwrite: Overwrite, modified: i64) -> Given {
        let Some(kept) = self.read(call).cloned() else { return Given::Failed };
        if overwrite == Overwrite::No && to.has_whole(call) {
            to.add_tags(call, &kept.call.tags);
            return Given::Present;
        }
        for value in &kept.values {
            if !to.verified(*value) {
                if !self.verified(*value) {
                    return Given::Failed;
                }
                to.values.insert(*value, Bytes::Whole);
            }
        }
        let is_remembered = self.set(command_of(call)).is_some_and(|set| set.contains(&call));
        to.take_over(call, kept, modified);
        if is_remembered {
            to.remember(call);
        }
        Given::Copied
    }

    /// Puts a call of another cache in place; tags of the one that was there stay.
    pub fn take_over(&mut self, call: u8, mut kept: Kept, modified: i64) {
        let former = self.read(call).map_or_else(BTreeMap::new, |former| former.call.tags.clone());
        kept.call.tags = former.into_iter().chain(kept.call.tags).collect();
        self.calls.insert(call, Kept { modified, ..kept });
    }

    /// The values that calls name which can be read.
    pub fn needed(&self) -> BTreeSet<u8> {
        self.whole().flat_map(|(_, kept)| kept.values.clone()).collect()
    }

    /// The commands that have calls which can be read.
    pub fn called(&self) -> BTreeSet<u8> {
        self.whole().map(|(call, _)| command_of(call)).collect()
    }
}
