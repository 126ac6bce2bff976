//! Carrying out a plan.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;

use super::recent::{Needed, Recent, readable};
use super::{Freed, Plan, Proof, Removal, Thing, evicted, listing};
use crate::error::Error;
use crate::model::Key;
use crate::store::{Progress, Store, private};
use crate::sys::{clock, stamp};

/// Files that are removed before recordings get their turn.
const BATCH: usize = 256;
/// The longest that they wait for it, in nanoseconds; they give up after a second.
const LONGEST: u64 = 200_000_000;
/// How long their turn is: a recording that waits looks for its chance every twenty milliseconds.
const TURN: std::time::Duration = std::time::Duration::from_millis(25);

impl Store {
    pub(super) fn sweep(&self, plan: &Plan, progress: Progress) -> Result<Freed, Error> {
        let (reached, others): (Vec<&Removal>, Vec<&Removal>) =
            plan.removals.iter().partition(|removal| removal.thing.is_reached_by_calls());
        let mut freed = Freed::default();
        if !reached.is_empty() {
            let needed = self.needed(&reached, &evicted(&plan.removals), progress)?;
            let mut recent = Recent::since(self, plan.since, needed);
            let mut done = 0;
            while done < reached.len() {
                progress(done as u64, reached.len() as u64);
                // Most of what happened is read while recordings still go on.
                recent.read_on()?;
                let alone = self.alone()?.ok_or_else(|| Error::failure("locks are impossible in the cache folder"))?;
                let began = clock::monotonic();
                recent.read_on()?;
                for removal in reached[done..].iter().take(BATCH) {
                    self.remove_unless_needed(removal, &mut recent, &mut freed)?;
                    done += 1;
                    if clock::monotonic().saturating_sub(began) > LONGEST {
                        break;
                    }
                }
                drop(alone);
                if done < reached.len() {
                    clock::pause(TURN);
                }
            }
        }
        for removal in others {
            if self.is_as_seen(removal)? && self.removed(removal)? {
                freed.add(removal);
            }
        }
        Ok(freed)
    }

    /// What of all this the calls' own files need, but for those calls that are `gone`. Nothing is removed before all
    /// of them were read.
    fn needed(&self, reached: &[&Removal], gone: &HashSet<Key>, progress: Progress) -> Result<Needed, Error> {
        let mut needed = Needed::default();
        if reached.len() == gone.len() {
            return Ok(needed);
        }
        let mut candidates = Needed::default();
        for removal in reached {
            match removal.thing {
                Thing::Value(digest) => drop(candidates.values.insert(digest)),
                Thing::PathSets(command) => drop(candidates.commands.insert(command)),
                _ => {}
            }
        }
        for shard in 0..=255u8 {
            progress(u64::from(shard), 256);
            for key in self.digests_in("calls", shard)?.into_iter().map(Key).filter(|key| !gone.contains(key)) {
                if let Some(call) = readable(self, &key)? {
                    // Memory grows with what is to be removed, not with the number of calls.
                    let mut its = Needed::default();
                    its.add(&call);
                    needed.values.extend(its.values.intersection(&candidates.values));
                    needed.commands.extend(its.commands.intersection(&candidates.commands));
                }
            }
        }
        Ok(needed)
    }

    /// Removes something that calls reach; the lock is held.
    fn remove_unless_needed(&self, removal: &Removal, recent: &mut Recent, freed: &mut Freed) -> Result<(), Error> {
        if let Thing::Call(key) = &removal.thing {
            if recent.used(key) || !self.is_as_seen(removal)? {
                return recent.need(key);
            }
            if recent.is_pinned(key)? {
                return Ok(());
            }
        }
        if !recent.needs(&removal.thing) && self.is_as_seen(removal)? && self.removed(removal)? {
            freed.add(removal);
        }
        Ok(())
    }

    /// Whether the file is still the one that was listed, and nobody touched it.
    fn is_as_seen(&self, removal: &Removal) -> Result<bool, Error> {
        self.is_as_seen_now(removal).map_err(|why| failed(removal, why))
    }

    fn is_as_seen_now(&self, removal: &Removal) -> io::Result<bool> {
        let stat = self.folder.stat(&removal.thing.file())?;
        Ok(match (stat, removal.proof) {
            (None, _) => false,
            (Some(stat), Proof::Used(last)) => stamp::from_stat(&stat).modified <= last,
            (Some(stat), Proof::Seen(seen)) => listing::seen(&stat) == seen,
        })
    }

    /// Removes it; says whether it was there.
    fn removed(&self, removal: &Removal) -> Result<bool, Error> {
        match &removal.thing {
            Thing::Call(key) => self.remove(key).map_err(|reason| Error::failure(reason.to_string())),
            Thing::Temporary(name) if private::is_private(OsStr::new(name.rsplit('/').next().unwrap_or(name))) => {
                private::remove_abandoned(&self.folder.path().join(name)).map_err(|why| failed(removal, why))
            }
            Thing::Quarantined(name) | Thing::Temporary(name) => {
                self.folder.remove_all(name).map_err(|why| failed(removal, why))
            }
            Thing::Argument(name) => {
                let is_as_seen = || self.is_as_seen_now(removal);
                self.remove_argument_folder(name, is_as_seen).map_err(|why| failed(removal, why))
            }
            thing => self.folder.remove(&thing.file()).map_err(|why| failed(removal, why)),
        }
    }
}

impl Thing {
    /// Whether a call may need it, so that it goes only while nobody stores one.
    fn is_reached_by_calls(&self) -> bool {
        matches!(self, Thing::Call(_) | Thing::Value(_) | Thing::PathSets(_))
    }
}

impl Freed {
    fn add(&mut self, removal: &Removal) {
        match removal.thing {
            Thing::Call(_) => self.calls += 1,
            Thing::Value(_) => self.values += 1,
            _ => self.others += 1,
        }
        self.bytes += removal.bytes;
    }
}

fn failed(removal: &Removal, why: io::Error) -> Error {
    Error::failure(format!("cannot remove `{}` of the cache", removal.thing.file())).because(why)
}
