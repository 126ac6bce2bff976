//! Other tags for a call that is stored already.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use rustix::fs::{Timespec, Timestamps, futimens};

use super::alone::Alone;
use super::calls::sealed;
use super::folder::call_name;
use super::journal;
use super::{Access, Store, unusable};
use crate::model::{Call, Event, Key, Reason};
use crate::sys::clock;

/// How long a replay waits to add its tags.
const REPLAY_PATIENCE: Duration = Duration::from_millis(200);

impl Store {
    /// Changes the tags of a call, wherever it is; says whether it has others now. Its last use stays what it was.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`], [`Reason::NoCall`] where there is no such call, [`Reason::Damaged`], and
    /// [`Reason::StoreUnusable`] where it cannot be written.
    pub fn tag(&self, key: &Key, mut change: impl FnMut(&mut BTreeMap<String, String>)) -> Result<bool, Reason> {
        if self.members().all(|member| !member.is_writable()) {
            return Err(Reason::ReadOnly);
        }
        let mut is_changed = false;
        let is_there = self.everywhere(key, |member| {
            let alone = member.alone().map_err(|error| Reason::StoreUnusable(error.to_string()))?;
            match member.tag_alone(alone, key, &mut change) {
                Ok(changed) => is_changed |= changed,
                Err(Reason::NoCall) => return Ok(false),
                Err(reason) => return Err(reason),
            }
            Ok(true)
        })?;
        if is_there { Ok(is_changed) } else { Err(Reason::NoCall) }
    }

    /// Adds tags to a call that is replayed, as far as it has others; a replay waits for nobody long, and is as good without.
    pub fn tag_replayed(&self, key: &Key, tags: &BTreeMap<String, String>) {
        let has_all = |call: &Call| tags.iter().all(|(name, value)| call.tags.get(name) == Some(value));
        let is_tagged = || matches!(self.own_call(key), Ok(Some(call)) if has_all(&call));
        if tags.is_empty() || self.access != Access::ReadWrite || is_tagged() {
            return;
        }
        if let Ok(alone) = self.alone_within(REPLAY_PATIENCE) {
            // What cannot be written is written with the next replay.
            let _ = self.tag_alone(alone, key, &mut |all: &mut BTreeMap<String, String>| all.extend(tags.clone()));
        }
    }

    /// The same while nobody else writes: a run that stores the same call meanwhile would be undone by what is written here.
    fn tag_alone(
        &self,
        _alone: Option<Alone>,
        key: &Key,
        change: &mut impl FnMut(&mut BTreeMap<String, String>),
    ) -> Result<bool, Reason> {
        let (mut call, stat) = self.call_and_stat(key)?.ok_or(Reason::NoCall)?;
        let before = call.tags.clone();
        change(&mut call.tags);
        // Told before and after: nothing but the journal shows the catalogue that a call's file is another one, and who is killed
        // between the two could not tell it any more. Told again where the tags are there already, for the same reason.
        self.told_of_tags(key)?;
        if call.tags == before {
            return Ok(false);
        }
        let used = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        let written = self.rewrite(key, &sealed(&call), used);
        written.map_err(|error| unusable(format!("cannot write call {}", key.0.short()), error))?;
        self.told_of_tags(key)?;
        Ok(true)
    }

    /// Lets the catalogue read the call's file anew.
    fn told_of_tags(&self, key: &Key) -> Result<(), Reason> {
        let told = journal::append(&self.folder, clock::now(), &Event::Tagged { key: *key });
        told.map_err(|error| unusable("cannot write to its journal", error))
    }

    fn rewrite(&self, key: &Key, bytes: &[u8], used: Timespec) -> io::Result<()> {
        let mut file = self.folder.temporary()?;
        file.as_file_mut().write_all(bytes)?;
        futimens(file.as_file(), &Timestamps { last_access: used, last_modification: used })?;
        self.folder.put(file, &call_name(key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;
    use crate::model::Digest;
    use crate::store::Selection;
    use crate::store::alone::GC_BYTE;
    use crate::store::testing::{World, call, everything};
    use crate::sys::lock;

    #[test]
    fn tags_change_and_nothing_else_does() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = world.store.folder().join(call_name(&stored.key));
        let used = SystemTime::now() - Duration::from_secs(1000);
        fs::File::open(&file).unwrap().set_modified(used).unwrap();
        let add = |name: &str| world.store.tag(&stored.key, |tags| drop(tags.insert(name.into(), "1".into())));
        assert_eq!((add("b"), add("b")), (Ok(true), Ok(false)));
        let mut expected = stored.clone();
        expected.tags.insert("b".into(), "1".into());
        assert_eq!(world.store.call(&stored.key), Ok(Some(expected)));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), used);
        assert_eq!(world.store.catalogue().unwrap().tag_names(&Selection::default()).unwrap().len(), 2);
    }

    #[test]
    fn tags_of_somebody_who_was_killed_before_he_told_of_them_are_told_the_next_time() {
        let world = World::new();
        let stored = world.record(call("a"));
        drop(world.store.catalogue().unwrap());
        let mut tagged = stored.clone();
        tagged.tags.insert("b".into(), "1".into());
        let used = Timespec { tv_sec: 1, tv_nsec: 0 };
        world.store.rewrite(&stored.key, &sealed(&tagged), used).unwrap();
        let add = || world.store.tag(&stored.key, |tags| drop(tags.insert("b".into(), "1".into())));
        assert_eq!(add(), Ok(false));
        assert_eq!(world.store.catalogue().unwrap().tag_names(&Selection::default()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_there_or_read_only_is_not_tagged() {
        let world = World::new();
        let stored = world.record(call("a"));
        let clear = |store: &Store, key: Key| store.tag(&key, BTreeMap::clear);
        assert_eq!(clear(&world.store, Key(Digest::of(b"other"))), Err(Reason::NoCall));
        let before = everything(world.store.folder());
        let store = Store::open_read_only(world.store.folder()).unwrap();
        assert_eq!(clear(&store, stored.key), Err(Reason::ReadOnly));
        assert_eq!(everything(world.store.folder()), before);
    }

    #[test]
    fn nobody_stores_while_a_call_is_tagged() {
        let world = World::new();
        let stored = world.record(call("a"));
        let other = Store::open(world.store.folder()).unwrap();
        let is_free = || {
            let file = other.lock_file().unwrap();
            let is_free = lock::try_shared(&file, GC_BYTE).unwrap();
            lock::release(&file, GC_BYTE).unwrap();
            is_free
        };
        let mut was_free = None;
        let tagged = world.store.tag(&stored.key, |tags| {
            was_free = Some(is_free());
            tags.clear();
        });
        assert_eq!((tagged, was_free, is_free()), (Ok(true), Some(false), true));
    }
}
