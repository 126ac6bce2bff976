//! Deciding what goes: pure functions of the time, the limits and the facts.

use std::ops::ControlFlow;

use super::{Cause, Limits, Proof, Removal, Seen, Thing};
use crate::store::catalogue::CallFacts;
use crate::sys::clock::DAY;

/// A temporary file of which nobody can tell whose it is (another machine, another container) is left alone for so long.
const ABANDONED: i64 = 7 * DAY;
/// What was put aside is there for people to look at, and what was remembered can be made again; what nobody could send for so
/// long is for a store that nobody uses any more.
const OLD: i64 = 30 * DAY;

/// A file that no call needs.
#[derive(Clone, Debug)]
pub(super) struct Unneeded {
    pub thing: Thing,
    pub bytes: u64,
    pub seen: Seen,
    pub maker: Maker,
}

/// What is known of who is making a temporary file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    Dead,
    Alive,
    Unknown,
}

/// The calls that go, while calls are shown to it in the order in which they are evicted.
pub(super) struct Evictions<'plan> {
    now: i64,
    limits: &'plan Limits,
    /// Bytes of what is left.
    size: u64,
    /// How many calls are left.
    count: u64,
    pub removals: Vec<Removal>,
}

impl<'plan> Evictions<'plan> {
    /// Of `count` calls that have `size` bytes together with their values.
    pub fn new(now: i64, limits: &'plan Limits, size: u64, count: u64) -> Evictions<'plan> {
        Evictions { now, limits, size, count, removals: Vec::new() }
    }

    /// Whether any call has to go if the one that was not used for longest was used last at that time.
    pub fn are_due(&self, oldest: i64) -> bool {
        self.cause(oldest).is_some()
    }

    /// Evicts a call, or says that it and all that come after it stay.
    pub fn show(&mut self, call: &CallFacts) -> ControlFlow<()> {
        let Some(cause) = self.cause(call.last_used) else { return ControlFlow::Break(()) };
        self.size = self.size.saturating_sub(call.bytes);
        self.count = self.count.saturating_sub(1);
        let proof = Proof::Used(call.last_used);
        self.removals.push(Removal { thing: Thing::Call(call.key), cause, bytes: call.file_bytes, proof });
        ControlFlow::Continue(())
    }

    fn cause(&self, last_used: i64) -> Option<Cause> {
        // One that was used in the future is not old.
        let age = u64::try_from(self.now.saturating_sub(last_used)).unwrap_or(0);
        if self.limits.max_age.is_some_and(|most| age > most) {
            return Some(Cause::Unused);
        }
        let is_beyond = |limit: Option<u64>, now: u64| limit.is_some_and(|most| now > most);
        let is_too_much = is_beyond(self.limits.max_size, self.size) || is_beyond(self.limits.max_entries, self.count);
        is_too_much.then_some(Cause::TooMuch)
    }
}

/// Whether a file that no call needs goes now.
pub(super) fn removal(now: i64, limits: &Limits, file: Unneeded) -> Option<Removal> {
    // When it got its name counts too: a stream that was written for hours is old before it is stored.
    let age = now.saturating_sub(file.seen.modified.max(file.seen.changed));
    let is_older_than = |least: u64| u64::try_from(age).is_ok_and(|age| age >= least);
    let cause = match file.thing {
        Thing::Call(_) => None,
        Thing::Value(_) | Thing::PathSets(_) => is_older_than(limits.grace).then_some(Cause::Unnamed),
        Thing::Temporary(_) => match file.maker {
            Maker::Dead => Some(Cause::Abandoned),
            Maker::Alive => None,
            Maker::Unknown => (age > ABANDONED).then_some(Cause::Abandoned),
        },
        Thing::Quarantined(_) | Thing::Stamp(_) | Thing::Session(_) | Thing::Waiting(_) => {
            (age > OLD).then_some(Cause::Old)
        }
        // Its own time is that of its last use, whatever else was done to it.
        Thing::Argument(_) => (now.saturating_sub(file.seen.modified) > DAY).then_some(Cause::Old),
    };
    cause.map(|cause| Removal { thing: file.thing, cause, bytes: file.bytes, proof: Proof::Seen(file.seen) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Key};
    use proptest::prelude::*;

    const NONE: Limits = Limits { max_size: None, max_age: None, max_entries: None, grace: 100 };

    fn evictions(limits: &Limits, size: u64, calls: &[CallFacts]) -> Vec<Removal> {
        let mut evictions = Evictions::new(100, limits, size, calls.len() as u64);
        let is_due = calls.first().is_some_and(|call| evictions.are_due(call.last_used));
        let _ = calls.iter().try_for_each(|call| evictions.show(call));
        assert_eq!(is_due, !evictions.removals.is_empty());
        evictions.removals
    }

    fn calls(facts: &[(i64, u64)]) -> Vec<CallFacts> {
        let call = |(n, (last_used, bytes)): (usize, &(i64, u64))| CallFacts {
            key: Key(Digest([n as u8; 32])),
            last_used: *last_used,
            file_bytes: 1,
            bytes: *bytes,
        };
        facts.iter().enumerate().map(call).collect()
    }

    fn file(thing: Thing, age: i64, maker: Maker) -> Unneeded {
        Unneeded { thing, bytes: 5, seen: Seen { inode: 1, modified: -age, changed: -age }, maker }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn size_is_kept_with_the_fewest_evictions(
            facts in prop::collection::vec((0i64..100, 1u64..50), 0..20),
            pinned in 0u64..100,
            most in 0u64..500,
        ) {
            let mut facts = facts;
            facts.sort();
            let calls = calls(&facts);
            let left = |gone: usize| pinned + calls[gone..].iter().map(|call| call.bytes).sum::<u64>();
            let gone = evictions(&Limits { max_size: Some(most), ..NONE }, left(0), &calls);
            prop_assert!(left(gone.len()) <= most || gone.len() == calls.len());
            prop_assert!(gone.is_empty() || left(gone.len() - 1) > most);
            for (removal, call) in gone.iter().zip(&calls) {
                prop_assert!(removal.thing == Thing::Call(call.key));
            }
        }
    }

    #[test]
    fn calls_go_by_age_and_never_from_the_future() {
        let calls = calls(&[(0, 1), (50, 1), (200, 1)]);
        let gone = evictions(&Limits { max_age: Some(60), ..NONE }, 3, &calls);
        assert_eq!(gone.iter().map(|removal| &removal.thing).collect::<Vec<_>>(), [&Thing::Call(calls[0].key)]);
        assert_eq!(evictions(&NONE, u64::MAX, &calls), []);
        assert_eq!(evictions(&Limits { max_age: Some(99), ..NONE }, 3, &calls).len(), 1);
        assert_eq!(evictions(&Limits { max_age: Some(100), ..NONE }, 3, &calls), []);
    }

    #[test]
    fn the_least_recently_used_go_until_there_are_few_enough() {
        let calls = calls(&[(0, 1), (50, 1), (60, 1)]);
        for (most, gone) in [(0, 3), (1, 2), (3, 0), (9, 0)] {
            let limits = Limits { max_entries: Some(most), ..NONE };
            assert_eq!(evictions(&limits, 3, &calls).len(), gone, "{most}");
        }
    }

    #[test]
    fn files_have_their_grace() {
        let value = Thing::Value(Digest::of(b""));
        for (age, goes) in [(99, false), (100, true), (-5, false)] {
            assert_eq!(removal(0, &NONE, file(value.clone(), age, Maker::Unknown)).is_some(), goes, "{age}");
        }
        let young = Seen { inode: 1, modified: -1000, changed: -5 };
        assert_eq!(removal(0, &NONE, Unneeded { seen: young, ..file(value, 0, Maker::Unknown) }), None);
        let temporary = || Thing::Temporary("tmp/x".into());
        for (age, maker, goes) in [
            (0, Maker::Dead, true),
            (ABANDONED * 2, Maker::Alive, false),
            (ABANDONED, Maker::Unknown, false),
            (ABANDONED + 1, Maker::Unknown, true),
        ] {
            assert_eq!(removal(0, &NONE, file(temporary(), age, maker)).is_some(), goes, "{age} {maker:?}");
        }
        for (age, goes) in [(OLD, false), (OLD + 1, true)] {
            for kind in [Thing::Quarantined, Thing::Stamp, Thing::Session, Thing::Waiting] {
                assert_eq!(removal(0, &NONE, file(kind("x".into()), age, Maker::Unknown)).is_some(), goes, "{age}");
            }
        }
        for (modified, goes) in [(-DAY, false), (-DAY - 1, true), (5, false)] {
            let seen = Seen { inode: 1, modified, changed: 0 };
            let copies = Unneeded { seen, ..file(Thing::Argument("args/x".into()), 0, Maker::Unknown) };
            assert_eq!(removal(0, &NONE, copies).is_some(), goes, "{modified}");
        }
    }
}
