//! Deciding what goes: pure functions of the time, the limits and the facts.

use super::{Cause, Limits, Proof, Removal, Seen, Thing};
use crate::store::catalogue::CallFacts;

const DAY: i64 = 86_400 * 1_000_000_000;
/// A temporary file of which nobody can tell whose it is (another machine, another container) is left alone for so long.
const ABANDONED: i64 = 7 * DAY;
/// What was put aside is there for people to look at, and what was remembered can be made again.
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

/// The calls that go, of all calls in the order in which they are evicted. One that is pinned never goes.
pub(super) fn evictions(now: i64, limits: &Limits, calls: &[CallFacts]) -> Vec<Removal> {
    let mut size = calls.iter().fold(0u64, |sum, call| sum.saturating_add(call.bytes));
    let mut removals = Vec::new();
    for call in calls.iter().filter(|call| !call.pinned) {
        // One that was used in the future is not old.
        let age = u64::try_from(now.saturating_sub(call.last_used)).unwrap_or(0);
        let cause = if limits.max_age.is_some_and(|most| age > most) {
            Cause::Unused
        } else if limits.max_size.is_some_and(|most| size > most) {
            Cause::TooMuch
        } else {
            continue;
        };
        size = size.saturating_sub(call.bytes);
        let proof = Proof::Used(call.last_used);
        removals.push(Removal { thing: Thing::Call(call.key), cause, bytes: call.file_bytes, proof });
    }
    removals
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
        Thing::Quarantined(_) | Thing::Stamp(_) => (age > OLD).then_some(Cause::Old),
    };
    cause.map(|cause| Removal { thing: file.thing, cause, bytes: file.bytes, proof: Proof::Seen(file.seen) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Key};
    use proptest::prelude::*;

    const NONE: Limits = Limits { max_size: None, max_age: None, grace: 100 };

    fn calls(facts: &[(i64, u64, bool)]) -> Vec<CallFacts> {
        let call = |(n, (last_used, bytes, pinned)): (usize, &(i64, u64, bool))| CallFacts {
            key: Key(Digest([n as u8; 32])),
            last_used: *last_used,
            file_bytes: 1,
            bytes: *bytes,
            pinned: *pinned,
        };
        facts.iter().enumerate().map(call).collect()
    }

    fn file(thing: Thing, age: i64, maker: Maker) -> Unneeded {
        Unneeded { thing, bytes: 5, seen: Seen { inode: 1, modified: -age, changed: -age }, maker }
    }

    proptest! {
        #[test]
        fn size_is_kept_with_the_fewest_evictions_and_pinned_calls_stay(
            facts in prop::collection::vec((0i64..100, 1u64..50, any::<bool>()), 0..20),
            most in 0u64..500,
        ) {
            let mut facts = facts;
            facts.sort_by_key(|(used, _, pinned)| (*pinned, *used));
            let calls = calls(&facts);
            let gone = evictions(100, &Limits { max_size: Some(most), ..NONE }, &calls);
            let left = |gone: usize| calls[gone..].iter().map(|call| call.bytes).sum::<u64>();
            let unpinned = calls.iter().filter(|call| !call.pinned).count();
            prop_assert!(left(gone.len()) <= most || gone.len() == unpinned);
            prop_assert!(gone.is_empty() || left(gone.len() - 1) > most);
            for (removal, call) in gone.iter().zip(&calls) {
                prop_assert!(removal.thing == Thing::Call(call.key) && !call.pinned);
            }
        }
    }

    #[test]
    fn calls_go_by_age_and_never_from_the_future() {
        let calls = calls(&[(0, 1, false), (50, 1, false), (200, 1, false), (0, 1, true)]);
        let gone = evictions(100, &Limits { max_age: Some(60), ..NONE }, &calls);
        assert_eq!(gone.iter().map(|removal| &removal.thing).collect::<Vec<_>>(), [&Thing::Call(calls[0].key)]);
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
            let put_aside = Thing::Quarantined("quarantine/x".into());
            assert_eq!(removal(0, &NONE, file(put_aside, age, Maker::Unknown)).is_some(), goes, "{age}");
        }
    }
}
