//! What can happen to a cache, and how it is drawn.

use std::collections::BTreeSet;

use proptest::prelude::*;

/// How many calls there are: few, so that they meet each other.
pub const CALLS: u8 = 8;
/// How many commands they belong to.
pub const COMMANDS: u8 = 3;
/// How many values they share.
pub const VALUES: u8 = 5;
/// The names of tags.
pub const TAGS: [&str; 3] = ["pin", "a", "b"];

/// Which of the two caches.
pub type Side = usize;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Step {
    Record {
        at: Side,
        call: u8,
        values: BTreeSet<u8>,
        tag: Option<u8>,
        how: Recorded,
    },
    LookUp {
        at: Side,
        call: u8,
    },
    Replay {
        at: Side,
        call: u8,
    },
    Tag {
        at: Side,
        call: u8,
        name: u8,
        value: Option<u8>,
        told: Told,
    },
    Evict {
        at: Side,
        calls: BTreeSet<u8>,
    },
    Collect {
        at: Side,
        limit: Limit,
        grace: Grace,
    },
    /// A plan is made, to be carried out by a `CollectLate`.
    Plan {
        at: Side,
        limit: Limit,
    },
    CollectLate {
        at: Side,
    },
    HarmCall {
        at: Side,
        call: u8,
        harm: Harm,
    },
    HarmValue {
        at: Side,
        value: u8,
        harm: Harm,
    },
    HarmSets {
        at: Side,
        command: u8,
        harm: Harm,
    },
    HarmCatalogue {
        at: Side,
        harm: Harm,
    },
    Reindex {
        at: Side,
    },
    Rename {
        at: Side,
        from: u8,
        to: u8,
        how: Renamed,
    },
    Transfer {
        from: Side,
        call: u8,
        overwrite: Overwrite,
        left: Left,
    },
    Export {
        from: Side,
        calls: BTreeSet<u8>,
        overwrite: Overwrite,
    },
    Fold {
        at: Side,
        time: Time,
    },
    /// The journal grows until it makes room.
    Rotate {
        at: Side,
    },
    /// A process died and left what it was making.
    Leftover {
        at: Side,
    },
}

/// How a recording goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Whole,
    /// It survives a power cut.
    Synced,
    /// Somebody plans a garbage collection while it is under way.
    AcrossPlan,
    /// It dies when its values are kept.
    Dropped,
    /// It dies when its files are in place, before it can tell the journal.
    Untold,
}

/// Whether the journal hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Journal,
    Nobody,
}

/// What is given to a garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    None,
    Entries(u8),
    Bytes(u32),
    /// What was never replayed is too old.
    Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    None,
    Hour,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// A byte of it is another one: a part of 255 tells which.
    Flipped(u8),
    /// It ends early.
    Cut(u8),
    /// It is gone.
    Gone,
}

/// How far a renaming goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    Whole,
    /// Stored under both keys, and then it dies.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    No,
    Yes,
}

/// Whether a call that was transferred stays where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Stays,
    Popped,
}

/// Whether time passes, so that what a folder's own time says is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    Stands,
    Passes,
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(weights: Vec<(u32, T)>) -> BoxedStrategy<T> {
    proptest::strategy::Union::new_weighted(weights.into_iter().map(|(weight, one)| (weight, Just(one))).collect())
        .boxed()
}

fn harm() -> BoxedStrategy<Harm> {
    prop_oneof![any::<u8>().prop_map(Harm::Flipped), any::<u8>().prop_map(Harm::Cut), Just(Harm::Gone)].boxed()
}

fn limit() -> BoxedStrategy<Limit> {
    prop_oneof![
        3 => Just(Limit::None),
        2 => (0..CALLS).prop_map(Limit::Entries),
        2 => (0..130_000u32).prop_map(Limit::Bytes),
        1 => Just(Limit::Age),
    ]
    .boxed()
}

/// One step; small numbers first, to which a failure is made smaller.
pub fn step() -> BoxedStrategy<Step> {
    let at = || 0..2usize;
    let call = || 0..CALLS;
    let overwrite = || one_of(vec![(1, Overwrite::No), (1, Overwrite::Yes)]);
    let some = |most| prop::collection::btree_set(0..CALLS, 1..most);
    let recorded = || {
        one_of(vec![
            (8, Recorded::Whole),
            (1, Recorded::Synced),
            (1, Recorded::AcrossPlan),
            (2, Recorded::Dropped),
            (2, Recorded::Untold),
        ])
    };
    let told = || one_of(vec![(3, Told::Journal), (1, Told::Nobody)]);
    prop_oneof![
        26 => (at(), call(), prop::collection::btree_set(0..VALUES, 0..3), prop::option::weighted(0.3, 1..3u8), recorded())
            .prop_map(|(at, call, values, tag, how)| Step::Record { at, call, values, tag, how }),
        12 => (at(), call()).prop_map(|(at, call)| Step::LookUp { at, call }),
        8 => (at(), call()).prop_map(|(at, call)| Step::Replay { at, call }),
        12 => (at(), call(), 0..3u8, prop::option::weighted(0.6, 0..2u8), told())
            .prop_map(|(at, call, name, value, told)| Step::Tag { at, call, name, value, told }),
        5 => (at(), some(3)).prop_map(|(at, calls)| Step::Evict { at, calls }),
        5 => (at(), limit(), one_of(vec![(4, Grace::None), (1, Grace::Hour)]))
            .prop_map(|(at, limit, grace)| Step::Collect { at, limit, grace }),
        2 => (at(), limit()).prop_map(|(at, limit)| Step::Plan { at, limit }),
        2 => at().prop_map(|at| Step::CollectLate { at }),
        3 => (at(), call(), harm()).prop_map(|(at, call, harm)| Step::HarmCall { at, call, harm }),
        3 => (at(), 0..VALUES, harm()).prop_map(|(at, value, harm)| Step::HarmValue { at, value, harm }),
        2 => (at(), 0..COMMANDS, harm()).prop_map(|(at, command, harm)| Step::HarmSets { at, command, harm }),
        1 => (at(), harm()).prop_map(|(at, harm)| Step::HarmCatalogue { at, harm }),
        1 => at().prop_map(|at| Step::Reindex { at }),
        4 => (at(), call(), call(), one_of(vec![(3, Renamed::Whole), (1, Renamed::Cut)]))
            .prop_map(|(at, from, to, how)| Step::Rename { at, from, to, how }),
        7 => (at(), call(), overwrite(), one_of(vec![(1, Left::Stays), (1, Left::Popped)]))
            .prop_map(|(from, call, overwrite, left)| Step::Transfer { from, call, overwrite, left }),
        3 => (at(), some(4), overwrite())
            .prop_map(|(from, calls, overwrite)| Step::Export { from, calls, overwrite }),
        6 => (at(), one_of(vec![(1, Time::Stands), (1, Time::Passes)])).prop_map(|(at, time)| Step::Fold { at, time }),
        1 => at().prop_map(|at| Step::Leftover { at }),
    ]
    .boxed()
}

/// A history. That the journal makes room costs as much as a hundred other steps, and so it is seldom.
pub fn history() -> BoxedStrategy<Vec<Step>> {
    let rare = (0..2usize).prop_map(|at| Step::Rotate { at });
    prop::collection::vec(prop_oneof![299 => step(), 1 => rare], 1..300).boxed()
}
