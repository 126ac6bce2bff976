//! Giving a call another key: stored under both, until the former one is let go of.
//!
//! In two steps, so that whatever comes between them loses nothing: a call that is stored twice is found twice.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::{Timespec, Timestamps, UTIME_OMIT};

use super::folder::call_name;
use super::{Access, Store, unusable};
use crate::model::{Call, Event, Key, PathSet, Reason};
use crate::sys::stamp;

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

impl Store {
    /// Stores `call`, which was stored as `former`, with the values that are in the store already, the tags that it has there
    /// now, and its last use. A call that has its key already stays and gets the tags that it has not. The former one stays.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`]; [`Reason::Damaged`] where a value or the former call is gone; [`Reason::StoreUnusable`]
    /// where something cannot be written.
    pub fn rename(&self, former: &Key, call: &Call, path_set: Option<PathSet>) -> Result<(), Reason> {
        // From now on nobody changes tags; whoever stores a call meanwhile finds that of the same key in place, or is found.
        let mut recording = self.recording()?;
        let gone = || Reason::Damaged("it is gone".to_owned());
        let tags = self.own_call(former)?.ok_or_else(gone)?.tags;
        let failed = |error| unusable(format!("cannot store call {}", call.key.0.short()), error);
        let used = self.last_use(former).map_err(failed)?.ok_or_else(gone)?;
        let used = self.last_use(&call.key).map_err(failed)?.map_or(used, |other| used.max(other));
        for content in call.values().filter(|content| content.inline.is_none()) {
            recording.adopt(content)?;
        }
        let call = Call { tags, ..call.clone() };
        let is_new = recording.place_new(&call, path_set)?;
        drop(recording);
        if !is_new {
            self.add_tags(&call.key, call.tags)?;
        }
        let used = Timespec { tv_sec: used.div_euclid(SECOND), tv_nsec: used.rem_euclid(SECOND) as _ };
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: used };
        // One that looks used just now is kept longer, no more.
        let _ = self.folder.set_times(&call_name(&call.key), &times);
        self.note(&Event::Renamed { from: *former, to: call.key });
        Ok(())
    }

    /// Gives a call the tags of these names that it has not.
    pub(super) fn add_tags(&self, key: &Key, tags: BTreeMap<String, String>) -> Result<(), Reason> {
        let add = |present: &mut BTreeMap<String, String>| {
            for (name, value) in &tags {
                present.entry(name.clone()).or_insert_with(|| value.clone());
            }
        };
        self.tag(key, add).map(drop)
    }

    /// When the call was used last, in nanoseconds since 1970; `None` where there is none.
    fn last_use(&self, key: &Key) -> io::Result<Option<i64>> {
        Ok(self.folder.stat(&call_name(key))?.map(|stat| stamp::from_stat(&stat).modified))
    }

    /// Removes the call that is stored as `now`, with the tags that it was given since; that is no eviction, and nobody is
    /// told.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`], or [`Reason::StoreUnusable`] where its file cannot be removed.
    pub fn let_go(&self, former: &Key, now: &Key) -> Result<(), Reason> {
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        if let Ok(Some(call)) = self.own_call(former) {
            // Somebody may have evicted the new one, and its tags with it.
            let _ = self.add_tags(now, call.tags);
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
    use crate::store::{Column, Durability, Selection};

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
        world.store.let_go(&old.key, &new.key).unwrap();
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

    fn tag(world: &World, key: &Key, name: &str, value: &str) {
        world.store.tag(key, |tags| drop(tags.insert(name.into(), value.into()))).unwrap();
    }

    fn tags(world: &World, key: &Key) -> Vec<String> {
        let call = world.store.call(key).unwrap().unwrap();
        call.tags.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn what_is_tagged_while_a_call_is_renamed_is_not_lost() {
        let world = World::new();
        let mut old = call("old");
        old.tags.clear();
        let old = world.record(old);
        let new = Call { key: Key(Digest::of(b"new")), ..old.clone() };
        // Since `old` was read.
        tag(&world, &old.key, "first", "1");
        world.store.rename(&old.key, &new, None).unwrap();
        assert_eq!(tags(&world, &new.key), ["first=1"]);
        tag(&world, &old.key, "second", "2");
        world.store.let_go(&old.key, &new.key).unwrap();
        assert_eq!(tags(&world, &new.key), ["first=1", "second=2"]);
    }

    #[test]
    fn a_call_that_was_stored_meanwhile_stays_and_gets_the_tags() {
        let world = World::new();
        let mut old = call("old");
        old.tags = [("both", "old"), ("old", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let old = world.record(old);
        let renamed = Call { key: Key(Digest::of(b"new")), ..old.clone() };
        let mut fresh = Call { grade: crate::model::Grade::Traced, ..renamed.clone() };
        fresh.tags = [("both".to_owned(), "new".to_owned())].into();
        let fresh = world.record(fresh);
        world.store.rename(&old.key, &renamed, None).unwrap();
        let present = world.store.call(&renamed.key).unwrap().unwrap();
        assert_eq!(tags(&world, &renamed.key), ["both=new", "old=1"]);
        assert_eq!(Call { tags: fresh.tags.clone(), ..present }, fresh);
    }

    #[test]
    fn a_call_whose_value_is_gone_is_not_renamed() {
        let world = World::new();
        let mut old = call("old");
        let content = world.keep(&[1; 100_000]);
        old.outcome.outputs = vec![crate::model::Output {
            path: "out".into(),
            kind: OutputKind::File { mode: 0o644, content: content.clone(), modified: 0, dated: false, kept: false },
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
