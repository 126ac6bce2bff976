//! Garbage collection: what no call reaches goes, and with limits the calls that were not used for longest.
//!
//! A plan is made first, as data, and then carried out. A value goes only if all of this holds:
//!
//! 1. the catalogue knows no call that names it, nor do the calls' own files, all of which are read for that;
//! 2. it is older than the grace period;
//! 3. under the lock that keeps recordings out, it is the very file that was listed, untouched since (a recording
//!    touches what it uses again), and no call that was stored meanwhile names it.
//!
//! Whoever dies in between leaves less garbage and nothing else.

mod keeping;
mod listing;
mod plan;
mod recent;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use super::{Access, Progress, Store, journal};
use crate::error::Error;
use crate::model::{CommandDigest, Digest, Key};
use crate::sys::clock;

/// What is kept although nothing needs it, and what goes although something could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls and their values may have so many bytes together.
    pub max_size: Option<u64>,
    /// Calls that were not used for so many nanoseconds go.
    pub max_age: Option<u64>,
    /// Calls beyond this number go, those that were not used for longest first.
    pub max_entries: Option<u64>,
    /// Files that are younger than so many nanoseconds stay: somebody may be about to need them.
    pub grace: u64,
}

/// What is to be removed, and why: data, to be shown or carried out.
#[derive(Debug)]
pub struct Plan {
    removals: Vec<Removal>,
    /// Where the journal ended before anything was looked at.
    since: journal::Mark,
}

/// Something that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What.
    pub thing: Thing,
    /// Why.
    pub cause: Cause,
    /// Bytes of its own file.
    pub bytes: u64,
    proof: Proof,
}

/// A file of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A call.
    Call(Key),
    /// A value.
    Value(Digest),
    /// The path sets of a command.
    PathSets(CommandDigest),
    /// What is left of something that was being made, by its name below the store's folder.
    Temporary(String),
    /// Something damaged that was put aside, by its name below the store's folder.
    Quarantined(String),
    /// The remembered digest of a file, by its name below the store's folder.
    Stamp(String),
    /// What a session used, by its name below the store's folder.
    Session(String),
    /// A call that waits to be put into a store beyond this machine, or what is remembered of that one, by the name of the file below
    /// the store's folder.
    Waiting(String),
    /// The copies of a value that commands were given, by the name of their folder below the store's folder.
    Argument(String),
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was not used for longer than the limit.
    Unused,
    /// There is too much, and it was not used for longest.
    TooMuch,
    /// No call names it.
    Unnamed,
    /// Whoever made it is gone.
    Abandoned,
    /// It is of no use after so long.
    Old,
}

/// What shows that a thing is still as it was when it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The last use of a call, in nanoseconds since 1970.
    Used(i64),
    /// The very file.
    Seen(Seen),
}

/// A file as it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    /// Nanoseconds since 1970.
    changed: i64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// How many calls.
    pub calls: u64,
    /// How many values.
    pub values: u64,
    /// How many other files.
    pub others: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Freed {
    /// Adds what was removed beside it.
    fn add_all(&mut self, other: &Freed) {
        self.calls += other.calls;
        self.values += other.values;
        self.others += other.others;
        self.bytes += other.bytes;
    }
}

impl Thing {
    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Thing::Call(_) => "call",
            Thing::Value(_) => "value",
            Thing::PathSets(_) => "path sets",
            Thing::Temporary(_) => "temporary file",
            Thing::Quarantined(_) => "quarantined",
            Thing::Stamp(_) => "stamp",
            Thing::Session(_) => "session",
            Thing::Waiting(_) => "outbox entry",
            Thing::Argument(_) => "argument copy",
        }
    }

    /// Its digest, or its name below the store's folder.
    pub fn name(&self) -> String {
        match self {
            Thing::Call(key) => key.to_string(),
            Thing::Value(digest) => digest.to_string(),
            Thing::PathSets(command) => command.to_string(),
            Thing::Temporary(name)
            | Thing::Quarantined(name)
            | Thing::Stamp(name)
            | Thing::Session(name)
            | Thing::Waiting(name)
            | Thing::Argument(name) => name.clone(),
        }
    }

    /// Where its file is below the store's folder.
    fn file(&self) -> String {
        match self {
            Thing::Call(key) => super::folder::call_name(key),
            Thing::Value(digest) => super::folder::value_name(digest),
            Thing::PathSets(command) => super::folder::paths_name(command),
            Thing::Temporary(name)
            | Thing::Quarantined(name)
            | Thing::Stamp(name)
            | Thing::Session(name)
            | Thing::Waiting(name)
            | Thing::Argument(name) => name.clone(),
        }
    }
}

impl Cause {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Cause::Unused => "not used for too long",
            Cause::TooMuch => "least recently used",
            Cause::Unnamed => "no call needs it",
            Cause::Abandoned => "nobody is making it any more",
            Cause::Old => "too old to be of use",
        }
    }
}

impl Plan {
    /// What is to be removed, calls first.
    pub fn removals(&self) -> &[Removal] {
        &self.removals
    }
}

impl Store {
    /// What garbage collection would remove now. Memory grows with what there is to remove.
    ///
    /// # Errors
    ///
    /// Where the catalogue, the journal, a call or a folder of the store cannot be read.
    pub fn gc_plan(&self, limits: &Limits, progress: Progress) -> Result<Plan, Error> {
        let now = clock::now();
        if self.access == Access::ReadWrite {
            // A journal that is not there yet could come and go unnoticed.
            let _ = self.folder.open_to_append(journal::CURRENT);
        }
        let since = journal::end(&self.folder).map_err(journal::unreadable)?;
        // Nobody knows how large calls are that cannot be read, nor what they need.
        let catalogue = self.complete_catalogue()?;
        let mut removals = Vec::new();
        if limits.max_size.is_some() || limits.max_age.is_some() || limits.max_entries.is_some() {
            let count = catalogue.count(&super::Selection::default())?;
            let mut evictions = plan::Evictions::new(now, limits, catalogue.size()?, count);
            // Mostly nothing is due, and then nothing is put in order.
            if catalogue.oldest_use()?.is_some_and(|oldest| evictions.are_due(oldest)) {
                catalogue.each_by_use(|call| evictions.show(call))?;
            }
            removals = evictions.removals;
        }
        let gone = evicted(&removals);
        self.each_unneeded(&catalogue, &gone, progress, |file| removals.extend(plan::removal(now, limits, file)))?;
        Ok(Plan { removals, since })
    }

    /// Removes what a plan says, as far as nobody needs it meanwhile.
    ///
    /// # Errors
    ///
    /// Where the store is read-only; where a call cannot be read, so that nobody knows what it needs (nothing is removed
    /// then); where recordings do not let go of the store for a minute, locks are impossible, or a file cannot be removed
    /// (what was removed until then is gone).
    pub fn collect(&self, plan: &Plan, progress: Progress) -> Result<Freed, Error> {
        if self.access != Access::ReadWrite {
            return Err(Error::failure("cannot remove anything: the cache is read-only"));
        }
        if plan.removals.is_empty() { Ok(Freed::default()) } else { self.sweep(plan, progress) }
    }
}

/// The calls that a plan evicts.
fn evicted(removals: &[Removal]) -> HashSet<Key> {
    let key = |removal: &Removal| if let Thing::Call(key) = removal.thing { Some(key) } else { None };
    removals.iter().filter_map(key).collect()
}
