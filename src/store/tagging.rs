//! Other tags for a call that is stored already.

use std::collections::BTreeMap;
use std::io::{self, Write};

use rustix::fs::{Timespec, Timestamps, futimens};

use super::folder::call_name;
use super::frame::{self, Kind};
use super::{Access, Store, unusable};
use crate::model::{Event, Key, Reason};

impl Store {
    /// Changes the tags of a call; says whether it has others now. Its last use stays what it was.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`], [`Reason::NoCall`] where there is no such call, [`Reason::Damaged`], and
    /// [`Reason::StoreUnusable`] where it cannot be written.
    pub fn tag(&self, key: &Key, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<bool, Reason> {
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        // A run that stores the same call meanwhile would be undone by what is written here.
        let _alone = self.alone().map_err(|error| Reason::StoreUnusable(error.to_string()))?;
        let (mut call, stat) = self.call_and_stat(key)?.ok_or(Reason::NoCall)?;
        let before = call.tags.clone();
        change(&mut call.tags);
        if call.tags == before {
            return Ok(false);
        }
        let used = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        let written = self.rewrite(key, &frame::seal(Kind::Call, &call.encode()), used);
        written.map_err(|error| unusable(format!("cannot write call {}", key.0.short()), error))?;
        self.note(&Event::Tagged { key: *key });
        Ok(true)
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
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::model::Digest;
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
        assert_eq!(world.store.catalogue().unwrap().tags().unwrap().len(), 2);
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
