//! Giving a call another key: stored under both, until the former one is let go of.
//!
//! In two steps, so that whatever comes between them loses nothing: a call that is stored twice is found twice.

use std::io;

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::folder::call_name;
use super::recording::Durability;
use super::{Access, Store, unusable};
use crate::model::{Call, Event, Key, PathSet, Reason};
use crate::sys::stamp;

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

impl Store {
    /// Stores `call`, which was stored as `former`, with the values that are in the store already and its last use. A call
    /// that has its key already is replaced. The former one stays.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`]; [`Reason::Damaged`] where a value or the former call is gone; [`Reason::StoreUnusable`]
    /// where something cannot be written.
    pub fn rename(&self, former: &Key, call: &Call, path_set: Option<PathSet>) -> Result<(), Reason> {
        let mut recording = self.recording()?;
        let failed = |error| unusable(format!("cannot store call {}", call.key.0.short()), error);
        let used = self.last_use(former).map_err(failed)?.ok_or_else(|| Reason::Damaged("it is gone".to_owned()))?;
        let used = self.last_use(&call.key).map_err(failed)?.map_or(used, |other| used.max(other));
        for content in call.values().filter(|content| content.inline.is_none()) {
            recording.adopt(content)?;
        }
        recording.place(call, Durability::Synced, path_set)?;
        let used = Timespec { tv_sec: used.div_euclid(SECOND), tv_nsec: used.rem_euclid(SECOND) as _ };
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: used };
        // One that looks used just now is kept longer, no more.
        let _ = utimensat(self.folder.directory(), call_name(&call.key), &times, AtFlags::SYMLINK_NOFOLLOW);
        self.note(&Event::Renamed { from: *former, to: call.key });
        Ok(())
    }

    /// When the call was used last, in nanoseconds since 1970; `None` where there is none.
    fn last_use(&self, key: &Key) -> io::Result<Option<i64>> {
        Ok(self.folder.stat(&call_name(key))?.map(|stat| stamp::from_stat(&stat).modified))
    }

    /// Removes the call that is stored under another key now; that is no eviction, and nobody is told.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`], or [`Reason::StoreUnusable`] where its file cannot be removed.
    pub fn let_go(&self, former: &Key) -> Result<(), Reason> {
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        let removed = self.folder.remove(&call_name(former));
        removed.map(drop).map_err(|error| unusable(format!("cannot remove call {}", former.0.short()), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Fact, OutputKind};
    use crate::store::testing::{World, call};
    use crate::store::{Column, Selection};

    fn hits(world: &World) -> Vec<Vec<Fact>> {
        let columns: Vec<Column> = ["key", "hits"].map(|name| Column::named(name).unwrap()).into();
        world.store.catalogue().unwrap().rows(&Selection::default(), &columns).unwrap()
    }

    #[test]
    fn a_renamed_call_has_the_hits_of_the_former_one() {
        let world = World::new();
        let old = world.record(call("old"));
        world.store.note(&Event::Hit { key: old.key, saved: 1, name: "cc".into() });
        let new = Call { key: Key(Digest::of(b"new")), ..old.clone() };
        world.store.rename(&old.key, &new, None).unwrap();
        // Cut short here, and begun anew.
        world.store.catalogue().unwrap();
        world.store.rename(&old.key, &new, None).unwrap();
        world.store.catalogue().unwrap();
        world.store.let_go(&old.key).unwrap();
        let expected = [vec![Fact::Digest(new.key.0), Fact::Number(1)]];
        assert_eq!(hits(&world), expected);
        assert_eq!(world.store.call(&new.key), Ok(Some(new.clone())));
        // Whatever makes its row anew.
        world.store.tag(&new.key, |tags| tags.clear()).unwrap();
        assert_eq!(hits(&world), expected);
        world.store.reindex(&|_, _| {}).unwrap();
        assert_eq!(hits(&world), expected);
        std::fs::remove_file(world.store.folder().join("index.sqlite")).unwrap();
        assert_eq!(hits(&world), expected);
    }

    #[test]
    fn a_call_whose_value_is_gone_is_not_renamed() {
        let world = World::new();
        let mut old = call("old");
        let content = world.keep(&[1; 100_000]);
        old.outcome.outputs = vec![crate::model::Output {
            path: "out".into(),
            kind: OutputKind::File { mode: 0o644, content: content.clone(), modified: 0 },
        }];
        let new = Call { key: Key(Digest::of(b"new")), ..old.clone() };
        let mut recording = world.store.recording().unwrap();
        recording.adopt(&content).unwrap();
        recording.store(&old, Durability::Buffered, None).unwrap();
        std::fs::remove_file(world.value_file(&content)).unwrap();
        assert!(matches!(world.store.rename(&old.key, &new, None), Err(Reason::Damaged(_))));
        assert_eq!(world.store.call(&new.key), Ok(None));
    }
}
