//! Storing a call: its values first, its own file last, so that a call never names what is not whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use rustix::io::Errno;

use super::alone::{GC_BYTE, granted_within};
use super::calls::sealed;
use super::folder::{Temporary, call_name, paths_name, value_name};
use super::frame::{self, Bounds, Kind};
use super::pending::{Held, Pending};
use super::value::Value;
use super::{Access, INLINE_LIMIT, INLINE_TOTAL, Store, held, unusable};
use crate::model::{Call, CommandDigest, Content, Digest, Event, Malformed, PathSet, PathSets, Reason, Room, Sink};
use crate::sys::lock;

/// How long storing waits for a garbage collection to end.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
/// Path sets beyond the first are dropped from a file that would become larger than this, in bytes.
const PATHS_MOST: usize = 16 << 20;

/// Whether a call must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk before the call exists: for what took long to make.
    Synced,
    /// Whenever the system writes it: cheaper to make again than to wait for.
    Buffered,
}

/// The right to store one call: while it is held, nothing is garbage.
#[derive(Debug)]
pub struct Recording<'store> {
    store: &'store Store,
    _gc: Option<Arc<GcShared>>,
    /// Bytes that may still go into the call's own file.
    inline_left: u64,
    /// Values of this call that are in `values/`.
    kept: BTreeSet<Digest>,
    /// Bytes that were added to the store.
    added: u64,
    /// Why the command had to run, for the journal.
    why: Reason,
}

/// The shared lock against garbage collection; one for all recordings of a store, because its
/// open lock file is one owner to the kernel.
#[derive(Debug)]
pub(super) struct GcShared(Arc<File>);

impl Drop for GcShared {
    fn drop(&mut self) {
        // Where it cannot be released it ends with the process.
        let _ = lock::release(&self.0, GC_BYTE);
    }
}

impl Store {
    /// Begins to store a call.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`]; [`Reason::StoreUnusable`] where the lock file cannot be opened or a garbage
    /// collection does not end within a second.
    pub fn recording(&self) -> Result<Recording<'_>, Reason> {
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        let gc = self.gc_shared()?;
        Ok(Recording {
            store: self,
            _gc: gc,
            inline_left: INLINE_TOTAL,
            kept: BTreeSet::new(),
            added: 0,
            why: Reason::NoCall,
        })
    }

    /// The shared lock; `None` where locks are impossible, so that nobody can take the exclusive one either.
    fn gc_shared(&self) -> Result<Option<Arc<GcShared>>, Reason> {
        let mut current = held(&self.recording);
        if let Some(shared) = current.upgrade() {
            return Ok(Some(shared));
        }
        let file = self.lock_file().map_err(|error| unusable("cannot open its lock file", error))?;
        match granted_within(PATIENCE, PAUSE, || lock::try_shared(&file, GC_BYTE)) {
            Ok(true) => {}
            Ok(false) => return Err(Reason::StoreUnusable("a garbage collection is at work".into())),
            Err(_) => return Ok(None),
        }
        let shared = Arc::new(GcShared(file));
        *current = Arc::downgrade(&shared);
        Ok(Some(shared))
    }
}

impl Recording<'_> {
    /// Says why the command had to run, where it is for another reason than that there was no call.
    pub fn because(&mut self, why: &Reason) {
        self.why = why.clone();
    }

    /// Keeps bytes of the call: a small value for its own file, a large one in `values/`.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`] where they cannot be written.
    pub fn keep(&mut self, pending: Pending) -> Result<Content, Reason> {
        let Pending { digest, length, held, folder } = pending;
        let kept = |inline| Content { digest, length, inline };
        let file = match held {
            Held::Memory(bytes) if length <= INLINE_LIMIT.min(self.inline_left) => {
                self.inline_left -= length;
                return Ok(kept(Some(bytes)));
            }
            Held::Memory(bytes) => folder.temporary().and_then(|mut file| {
                file.as_file_mut().write_all(&bytes)?;
                Ok(file)
            }),
            Held::File(file) => Ok(file),
        };
        let added = file.and_then(|file| self.place_value(file, &digest, length));
        self.added += added.map_err(|error| unusable("cannot keep a value", error))?;
        self.kept.insert(digest);
        Ok(kept(None))
    }

    /// Stores a call of another cache, with the tags that one in its place has, for they are somebody's notes and not the run's.
    ///
    /// # Errors
    ///
    /// As [`Recording::store`].
    pub(super) fn take_over(
        mut self,
        call: &Call,
        durability: Durability,
        path_set: Option<PathSet>,
    ) -> Result<(), Reason> {
        let former = match self.store.own_call(&call.key) {
            Ok(former) => former.map_or_else(Default::default, |former| former.tags),
            // It may be whole, and its notes are nowhere else.
            Err(reason @ Reason::StoreUnusable(_)) => return Err(reason),
            Err(_) => Default::default(),
        };
        let tags = former.into_iter().chain(call.tags.clone()).collect();
        self.place(&Call { tags, ..call.clone() }, durability, path_set)?;
        let name = call.name().to_string_lossy().into_owned();
        self.store.note(&Event::Copied { key: call.key, bytes: self.added, name });
        self.store.draw(&call.key, self.added);
        Ok(())
    }

    /// Stores what a call tells of itself, although its values are not here: for a store that is looked through, and then goes.
    ///
    /// # Errors
    ///
    /// As [`Recording::store`].
    pub(super) fn mention(mut self, call: &Call) -> Result<(), Reason> {
        self.kept.extend(call.values().map(|content| content.digest));
        self.place(call, Durability::Buffered, None)
    }

    /// Makes a value younger than any grace period again; false if there is none of this length.
    fn touch_value(&self, digest: &Digest, length: u64) -> io::Result<bool> {
        let folder = &self.store.folder;
        let name = value_name(digest);
        let is_whole = folder.stat(&name)?.is_some_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size as u64 == length
        });
        if is_whole {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: now };
            match folder.set_times(&name, &times) {
                // Another user's, in a cache that is shared: it is whole, and while this recording lasts nothing is removed.
                Err(Errno::PERM | Errno::ACCESS) => {}
                touched => touched?,
            }
        }
        Ok(is_whole)
    }

    /// Moves a whole value to its name; gives the bytes that the store grew by.
    fn place_value(&self, file: Temporary, digest: &Digest, length: u64) -> io::Result<u64> {
        let folder = &self.store.folder;
        let name = value_name(digest);
        // Were the bytes of one that is there wrong, the next hit would miss and mend it.
        if self.touch_value(digest, length)? {
            return Ok(0);
        }
        if folder.stat(&name)?.is_some() {
            folder.quarantine(&name)?;
        }
        folder.make_read_only(file.as_file())?;
        folder.put(file, &name)?;
        Ok(length)
    }

    /// Stores the call, in place of a former one of its key, and `path_set`, if there is one, in front of those of its
    /// command. Gives the bytes that were added.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`] where something cannot be written, [`Reason::TooLarge`] where its file would be,
    /// [`Reason::Internal`] where the call names a value that this recording did not keep. The call then does not exist.
    pub fn store(mut self, call: &Call, durability: Durability, path_set: Option<PathSet>) -> Result<u64, Reason> {
        self.place(call, durability, path_set)?;
        let name = call.name().to_string_lossy().into_owned();
        self.store.note(&Event::Stored { key: call.key, bytes: self.added, name, why: self.why.name().to_owned() });
        self.store.draw(&call.key, self.added);
        Ok(self.added)
    }

    /// Remembers, in place of a call, that a command is not to be watched again.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`] where it cannot be written.
    pub fn refuse_watching(self, command: &CommandDigest, why: &str) -> Result<(), Reason> {
        let Some(mut sets) = self.store.replaceable_path_sets(command) else { return Ok(()) };
        sets.unwatchable = Some(why.to_owned());
        let bytes = frame::seal(Kind::PathSets, &path_set_body(sets));
        let written = self.store.folder.write(&paths_name(command), &bytes);
        written.map_err(|error| unusable("cannot remember that a command is not to be watched", error))
    }

    /// Takes a value of the call that is in the store already, and makes it younger than any grace period again.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`] where it is not there, [`Reason::StoreUnusable`] where it cannot be touched.
    pub(super) fn adopt(&mut self, content: &Content) -> Result<(), Reason> {
        let touched = self.touch_value(&content.digest, content.length);
        if !touched.map_err(|error| unusable("cannot touch a value", error))? {
            return Err(Reason::Damaged(format!("value {} is gone", content.digest.short())));
        }
        self.kept.insert(content.digest);
        Ok(())
    }

    /// Takes a value that is in another store, or in this one already.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`] where it is not there or not whole, [`Reason::StoreUnusable`] where it cannot be written.
    pub(super) fn fetch(&mut self, content: &Content, from: &Store) -> Result<(), Reason> {
        // One that is here and damaged must not be taken for the one that may be forgotten there.
        if self.store.own_value(content).is_ok() {
            return self.adopt(content);
        }
        let pending = match from.own_value(content)? {
            Value::File { file, length } => self.store.ingest(&file, length)?,
            Value::Bytes(bytes) => {
                let mut spool = self.store.spool(bytes.len() as u64);
                spool.accept(bytes);
                spool.finish()?
            }
        };
        self.keep_apart(pending, content)
    }

    /// Keeps a value in a file of its own, which must be this one.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`] where it is another one, [`Reason::StoreUnusable`] where it cannot be written.
    pub(super) fn keep_apart(&mut self, pending: Pending, content: &Content) -> Result<(), Reason> {
        if (pending.digest, pending.length) != (content.digest, content.length) {
            return Err(Reason::Damaged(format!("value {}: its digest is wrong", content.digest.short())));
        }
        // Whoever imports has the right bytes in hand: damaged ones make way for them.
        let _ = self.store.own_value(content);
        // Only what a call's own file holds may be small.
        self.inline_left = 0;
        self.keep(pending).map(drop)
    }

    /// Writes the call and its path set.
    pub(super) fn place(
        &mut self,
        call: &Call,
        durability: Durability,
        path_set: Option<PathSet>,
    ) -> Result<(), Reason> {
        let (bytes, sets) = self.sealed(call, path_set)?;
        self.store.announce(&call.key);
        let written = self.write(call, &bytes, sets.as_deref(), durability);
        written.map_err(|error| unusable(format!("cannot store call {}", call.key.0.short()), error))?;
        self.added += bytes.len() as u64;
        Ok(())
    }

    /// Writes the call and its path set, so that both survive a power cut, unless a call of its key is there, which then stays;
    /// says whether it did.
    pub(super) fn place_new(&mut self, call: &Call, path_set: Option<PathSet>) -> Result<bool, Reason> {
        let (bytes, sets) = self.sealed(call, path_set)?;
        self.store.announce(&call.key);
        let written = self.write_new(call, &bytes, sets.as_deref());
        written.map_err(|error| unusable(format!("cannot store call {}", call.key.0.short()), error))
    }

    /// The file of the call, and that of its command's path sets.
    fn sealed(&self, call: &Call, path_set: Option<PathSet>) -> Result<(Vec<u8>, Option<Vec<u8>>), Reason> {
        if call.values().any(|content| content.inline.is_none() && !self.kept.contains(&content.digest)) {
            return Err(Reason::Internal);
        }
        let newer =
            |what: &str, of: &Digest| Reason::StoreUnusable(format!("a newer fleche wrote {what} {}", of.short()));
        if self.store.is_newer(&call.key) {
            return Err(newer("call", &call.key.0));
        }
        let with_former = |path_set| {
            let sets = self.store.replaceable_path_sets(&call.command);
            let mut sets = sets.ok_or_else(|| newer("the path sets of command", &call.command.0))?;
            sets.insert(path_set);
            Ok(sets)
        };
        let sets = path_set.map(with_former).transpose()?;
        let bytes = sealed(call);
        self.check_size(&bytes, |room| Call::decode(&call.encode(), room).map(drop))?;
        let Some(sets) = sets else { return Ok((bytes, None)) };
        let body = path_set_body(sets);
        let set_bytes = frame::seal(Kind::PathSets, &body);
        self.check_size(&set_bytes, |room| PathSets::decode(&body, room).map(drop))?;
        Ok((bytes, Some(set_bytes)))
    }

    /// Refuses what no reader of this store would take.
    fn check_size(&self, bytes: &[u8], read: impl FnOnce(&mut Room) -> Result<(), Malformed>) -> Result<(), Reason> {
        /// What is in fewer bytes has room in any store.
        const SMALL: usize = 1 << 20;
        let bounds = self.store.folder.bounds();
        let is_too_large = bytes.len() as u64 > bounds.most
            || bytes.len() > SMALL && bounds != Bounds::OWN && read(&mut bounds.room()).is_err();
        if is_too_large { Err(Reason::TooLarge(bounds.most)) } else { Ok(()) }
    }

    fn write_new(&self, call: &Call, call_bytes: &[u8], set_bytes: Option<&[u8]>) -> io::Result<bool> {
        let name = call_name(&call.key);
        self.sync_values()?;
        let mut file = self.store.folder.temporary()?;
        file.as_file_mut().write_all(call_bytes)?;
        file.as_file().sync_all()?;
        if !self.store.folder.put_new(file, &name)? {
            return Ok(false);
        }
        self.sync_parents(&name)?;
        set_bytes.map_or(Ok(()), |bytes| self.put_synced(&paths_name(&call.command), bytes))?;
        Ok(true)
    }

    fn sync_values(&self) -> io::Result<()> {
        for digest in &self.kept {
            let name = value_name(digest);
            self.store.folder.sync(&name)?;
            self.sync_parents(&name)?;
        }
        Ok(())
    }

    fn write(
        &self,
        call: &Call,
        call_bytes: &[u8],
        set_bytes: Option<&[u8]>,
        durability: Durability,
    ) -> io::Result<()> {
        let (call_name, paths_name) = (call_name(&call.key), paths_name(&call.command));
        match durability {
            Durability::Buffered => {
                self.store.folder.write(&call_name, call_bytes)?;
                set_bytes.map_or(Ok(()), |bytes| self.store.folder.write(&paths_name, bytes))
            }
            Durability::Synced => {
                self.sync_values()?;
                self.put_synced(&call_name, call_bytes)?;
                set_bytes.map_or(Ok(()), |bytes| self.put_synced(&paths_name, bytes))
            }
        }
    }

    fn put_synced(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.store.folder.temporary()?;
        file.as_file_mut().write_all(bytes)?;
        file.as_file().sync_all()?;
        self.store.folder.put(file, name)?;
        self.sync_parents(name)
    }

    /// The folders that lead to `name`: without them a synced file may have no name after a power cut.
    fn sync_parents(&self, name: &str) -> io::Result<()> {
        for (end, _) in name.rmatch_indices('/') {
            self.store.folder.sync(&name[..end])?;
        }
        self.store.folder.sync(".")
    }
}

/// What the file of `sets` holds, without the oldest sets where it would become large.
fn path_set_body(mut sets: PathSets) -> Vec<u8> {
    loop {
        let body = sets.encode();
        if body.len() <= PATHS_MOST || sets.count() <= 1 {
            return body;
        }
        sets.keep(sets.count() / 2);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::{Facet, Observation, State, Stream, Transcript};
    use crate::store::testing::{World, call, path_set};

    fn mode(file: &std::path::Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn small_values_go_inline_until_the_call_is_full() {
        let world = World::new();
        let mut recording = world.store.recording().unwrap();
        let mut keep = |byte: u8, length: u64| {
            let content = recording.keep(world.pending(&vec![byte; length as usize])).unwrap();
            assert_eq!(content.length, length);
            content.inline.is_some()
        };
        assert!(keep(1, INLINE_LIMIT));
        assert!(!keep(2, INLINE_LIMIT + 1));
        assert!(keep(3, INLINE_LIMIT) && keep(4, INLINE_LIMIT) && keep(5, INLINE_LIMIT - 1));
        assert!(!keep(6, 2));
        assert!(keep(7, 1) && keep(8, 0));
        assert!(!keep(9, 1));
    }

    #[test]
    fn a_value_is_kept_once_read_only_and_younger_each_time() {
        let world = World::new();
        let content = world.keep(&[1; 100_000]);
        let file = world.value_file(&content);
        assert_eq!(mode(&file), 0o400);
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(9999);
        File::open(&file).unwrap().set_modified(long_ago).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
        assert_eq!(world.keep(&[1; 100_000]), content);
        let after = fs::metadata(&file).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&after), inode);
        assert!(after.modified().unwrap() > long_ago + Duration::from_secs(9000));
        assert_eq!(fs::read_dir(world.store.folder().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_value_of_wrong_size_or_kind_is_replaced() {
        let world = World::new();
        let content = world.keep(&[1; 100_000]);
        let file = world.value_file(&content);
        fs::remove_file(&file).unwrap();
        fs::write(&file, "short").unwrap();
        world.keep(&[1; 100_000]);
        world.store.value(&content).unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        world.keep(&[1; 100_000]);
        world.store.value(&content).unwrap();
    }

    #[test]
    fn a_call_takes_the_place_of_a_folder() {
        let world = World::new();
        let name = world.store.folder().join(call_name(&call("a").key));
        fs::create_dir_all(name.join("full")).unwrap();
        let stored = world.record(call("a"));
        assert_eq!(world.store.call(&stored.key), Ok(Some(stored)));
    }

    #[test]
    fn stored_files_are_for_the_user_alone() {
        let world = World::new();
        let stored = world.record(call("a"));
        for name in [call_name(&stored.key), paths_name(&stored.command), "journal".into(), "lock".into()] {
            assert_eq!(mode(&world.store.folder().join(name)), 0o600);
        }
        assert_eq!(mode(&world.store.folder().join("calls")), 0o700);
    }

    #[test]
    fn a_call_that_names_what_was_not_kept_is_not_stored() {
        let world = World::new();
        let mut unkept = call("a");
        unkept.outcome.stdout = Some(Content { digest: Digest::of(b"x"), length: 1, inline: None });
        let recording = world.store.recording().unwrap();
        let set = path_set(&unkept);
        assert_eq!(recording.store(&unkept, Durability::Buffered, Some(set)), Err(Reason::Internal));
        assert_eq!(world.store.call(&unkept.key), Ok(None));
    }

    #[test]
    fn a_call_replaces_the_former_one_of_its_key_and_counts_its_bytes() {
        let world = World::new();
        let mut stored = world.record(call("a"));
        stored.tags.clear();
        stored.outcome.transcript = Transcript::from_chunks([(1, Stream::Stdout, 2)]);
        let mut recording = world.store.recording().unwrap();
        let content = recording.keep(world.pending(&[1; 20_000])).unwrap();
        stored.outcome.stdout = Some(content);
        let set = path_set(&stored);
        let bytes = recording.store(&stored, Durability::Synced, Some(set)).unwrap();
        let file = fs::metadata(world.store.folder().join(call_name(&stored.key))).unwrap();
        assert_eq!(bytes, 20_000 + file.len());
        assert_eq!(world.store.call(&stored.key), Ok(Some(stored)));
    }

    #[test]
    fn path_sets_are_remembered_the_latest_first() {
        let world = World::new();
        let (mut first, mut second) = (call("a"), call("b"));
        second.command = first.command;
        second.observations =
            vec![Observation { path: "other".into(), facet: Facet::Whole, state: State::Absent, stamp: None }];
        first.observations.clear();
        world.record(first.clone());
        world.record(second.clone());
        let sets = world.store.path_sets(&first.command);
        assert_eq!([sets.set(0), sets.set(1)], [Some(path_set(&second)), Some(path_set(&first))]);
        assert_eq!(sets.keys, vec![second.key, first.key]);
    }

    #[test]
    fn large_path_sets_forget_the_oldest() {
        let mut sets = PathSets::new(call("a").command);
        for number in 0..4 {
            let path = format!("{number}{}", "x".repeat(PATHS_MOST / 3)).into();
            let observations = vec![Observation { path, facet: Facet::Whole, state: State::Absent, stamp: None }];
            sets.insert(PathSet { key: call(&number.to_string()).key, observations });
        }
        let newest = sets.set(0);
        let body = path_set_body(sets);
        assert!(body.len() < PATHS_MOST);
        let read = PathSets::decode(&body, &mut Bounds::OWN.room()).unwrap();
        assert_eq!((read.count(), read.set(0), read.keys.len()), (2, newest, 4));
    }

    #[test]
    fn a_shared_store_takes_what_its_readers_take() {
        let own = World::new();
        let mut many = call("a");
        let absent = |number| Observation {
            path: format!("{number:07}").into(),
            facet: Facet::Kind,
            state: State::Absent,
            stamp: None,
        };
        many.observations = (0..900_000).map(absent).collect();
        let folder = tempfile::tempdir().unwrap();
        let shared = crate::store::testing::shared(&folder);
        let store =
            |store: &Store| store.recording().unwrap().store(&many, Durability::Buffered, Some(path_set(&many)));
        assert_eq!(store(&shared), Err(Reason::TooLarge(Bounds::FOREIGN.most)));
        assert!(store(&own.store).is_ok());
        assert_eq!(own.store.path_sets(&many.command).table().len(), 900_000);
        // A reader of the shared store does not take it from elsewhere, either.
        for name in [call_name(&many.key), paths_name(&many.command)] {
            let to = folder.path().join("cache").join(&name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(own.store.folder().join(&name), to).unwrap();
        }
        assert!(matches!(shared.call(&many.key), Err(Reason::Damaged(_))));
        assert_eq!(shared.path_sets(&many.command).count(), 0);
    }

    #[test]
    fn storing_waits_for_no_garbage_collection_for_ever_and_holds_it_off() {
        let world = World::new();
        let other = Store::open(world.store.folder()).unwrap();
        let gc = other.lock_file().unwrap();
        assert!(lock::try_exclusive(&gc, GC_BYTE).unwrap());
        assert!(matches!(world.store.recording(), Err(Reason::StoreUnusable(_))));
        lock::release(&gc, GC_BYTE).unwrap();
        let first = world.store.recording().unwrap();
        let second = world.store.recording().unwrap();
        drop(first);
        assert!(!lock::try_exclusive(&gc, GC_BYTE).unwrap());
        drop(second);
        assert!(lock::try_exclusive(&gc, GC_BYTE).unwrap());
    }

    #[test]
    fn what_is_written_is_no_larger_than_what_is_read() {
        let own = World::new();
        let folder = tempfile::tempdir().unwrap();
        let shared = crate::store::testing::shared(&folder);
        let is_taken = |store: &Store, length: usize, read: fn(&mut Room) -> Result<(), Malformed>| {
            store.recording().unwrap().check_size(&vec![0; length], read).is_ok()
        };
        let most = Bounds::FOREIGN.most as usize;
        for (store, length, by_any, by_none) in [
            (&shared, 1 << 20, true, true),
            (&shared, (1 << 20) + 1, true, false),
            (&shared, most, true, false),
            (&shared, most + 1, false, false),
            (&own.store, most + 1, true, true),
        ] {
            assert_eq!(is_taken(store, length, |_| Ok(())), by_any, "{length}");
            assert_eq!(is_taken(store, length, |_| Err(Malformed("all"))), by_none, "{length}");
        }
    }
}
