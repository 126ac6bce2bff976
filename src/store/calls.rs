//! Calls and the path sets of commands: reading them, marking their use, removing them.

use std::collections::HashSet;
use std::io;

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

use super::folder::{Found, call_name, paths_name};
use super::frame::{self, Bounds, Fault, Kind, Parts};
use super::{Access, Store, held, journal, unusable};
use crate::error::Error;
use crate::model::{Answer, Call, CommandDigest, Digest, Event, Key, PathSets, Reason, Room};
use crate::sys::{clock, stamp};

/// Calls that are removed under one lock.
const EVICTED_AT_ONCE: usize = 256;
/// The last use of a call is written at most this often, in nanoseconds.
const TOUCH_INTERVAL: u64 = 300_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Bytes of a call's file that are read before it is asked how far it must be read: most files are shorter.
const BEGINNING: u64 = 32 << 10;

/// How much of a call is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    All,
    /// What a replay needs.
    Body,
}

/// The bytes of a call's file.
pub(super) fn sealed(call: &Call) -> Vec<u8> {
    match call.encode_apart() {
        (body, apart) if apart.is_empty() => frame::seal(Kind::Call, &body),
        (body, apart) => frame::seal_apart(Kind::Call, &body, &apart),
    }
}

impl Store {
    /// The call of this key; `None` where none is stored.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`] where its file is not what was written; it is then in quarantine.
    /// [`Reason::StoreUnusable`] where it cannot be read, or a newer fleche wrote it.
    pub fn call(&self, key: &Key) -> Result<Option<Call>, Reason> {
        let found = self.first_found(|member| Ok(member.own_call(key)?.map(|call| (call, member))))?;
        Ok(found.map(|(mut call, member)| {
            if !std::ptr::eq(member, self) && call.sealed_by.is_none() {
                // Without its name nobody takes what is under it for what is under ours.
                call.sealed_by = Some(member.secret_name().unwrap_or(Digest([0; 32])));
            }
            call
        }))
    }

    /// The call of this key in this very store.
    pub(super) fn own_call(&self, key: &Key) -> Result<Option<Call>, Reason> {
        Ok(self.call_and_stat(key)?.map(|(call, _)| call))
    }

    /// Whether there is something that is called like this call, whole or not, in this very store.
    pub(super) fn has_call_file(&self, key: &Key) -> bool {
        self.folder.stat(&call_name(key)).ok().flatten().is_some()
    }

    /// What a replay needs of the call of this key; `None` where none is stored.
    ///
    /// # Errors
    ///
    /// As [`Store::call`].
    pub fn answer(&self, key: &Key) -> Result<Option<Answer>, Reason> {
        self.first_found(|member| member.own_answer(key))
    }

    /// The same of this very store.
    pub(super) fn own_answer(&self, key: &Key) -> Result<Option<Answer>, Reason> {
        let answer = |parts: Parts, room: &mut Room| Ok(Answer::decode(parts.body, room)?);
        let found = self.decoded(key, Needed::Body, answer, |answer| answer.key)?;
        Ok(found.map(|(answer, stat)| {
            *held(&self.seen) = Some((*key, stamp::from_stat(&stat).modified));
            answer
        }))
    }

    /// A call and what `fstat` said of its file.
    pub(super) fn call_and_stat(&self, key: &Key) -> Result<Option<(Call, Box<Stat>)>, Reason> {
        let call = |parts: Parts, room: &mut Room| Ok(Call::decode_parts(parts.body, parts.appendix, room)?);
        self.decoded(key, Needed::All, call, |call| call.key)
    }

    /// What `decode` finds in what is `needed` of a call's file, which must be of the call called `key`, and what `fstat` said of
    /// the file.
    fn decoded<T>(
        &self,
        key: &Key,
        needed: Needed,
        decode: impl FnOnce(Parts, &mut Room) -> Result<T, Fault>,
        name_of: impl FnOnce(&T) -> Key,
    ) -> Result<Option<(T, Box<Stat>)>, Reason> {
        let name = call_name(key);
        let bounds = self.folder.bounds();
        let decode = |parts| decode(parts, &mut bounds.room());
        let found = match needed {
            Needed::All => self.folder.read(&name, bounds.most),
            Needed::Body => self.folder.read_as_needed(&name, bounds.most, BEGINNING, frame::before_appendix),
        };
        let decoded = match found {
            Ok(Found::Absent) => return Ok(None),
            Ok(Found::Wrong(why)) => Err(Fault::Damaged(why)),
            Ok(Found::Bytes(bytes, stat)) => frame::open_parts(Kind::Call, &bytes).and_then(decode).and_then(|call| {
                let name = name_of(&call);
                if name == *key {
                    Ok((call, stat))
                } else {
                    Err(Fault::Damaged(format!("it is call {}", name.0.short())))
                }
            }),
            Err(error) => return Err(unusable(format!("cannot read call {}", key.0.short()), error)),
        };
        decoded.map(Some).map_err(|fault| match fault {
            Fault::Damaged(why) => self.damaged(&name, format!("call {}: {why}", key.0.short())),
            Fault::Newer => Reason::StoreUnusable(format!("a newer fleche wrote call {}", key.0.short())),
        })
    }

    /// The path sets seen for a command; none where its file is absent, damaged (it is then in quarantine) or newer.
    pub fn path_sets(&self, command: &CommandDigest) -> PathSets {
        self.joint_path_sets(|member| member.own_path_sets(command))
    }

    /// The same of this very store.
    pub(super) fn own_path_sets(&self, command: &CommandDigest) -> PathSets {
        self.replaceable_path_sets(command).unwrap_or_else(|| PathSets::new(*command))
    }

    /// The same, to be written anew; `None` where a newer fleche wrote them, which are not replaced.
    pub(super) fn replaceable_path_sets(&self, command: &CommandDigest) -> Option<PathSets> {
        match self.read_path_sets(command) {
            Ok(Ok(sets)) => return Some(sets),
            Ok(Err(Fault::Newer)) => return None,
            Ok(Err(Fault::Damaged(why))) => drop(self.damaged(&paths_name(command), why)),
            Err(_) => {}
        }
        Some(PathSets::new(*command))
    }

    /// What is wrong with the path sets of a command; `None` where they are whole, absent or newer.
    pub(super) fn path_sets_fault(&self, command: &CommandDigest) -> Option<String> {
        match self.read_path_sets(command) {
            Ok(Ok(_) | Err(Fault::Newer)) => None,
            Ok(Err(Fault::Damaged(why))) => Some(why),
            Err(why) => Some(crate::error::cause(&why)),
        }
    }

    fn read_path_sets(&self, command: &CommandDigest) -> io::Result<Result<PathSets, Fault>> {
        let bounds = self.folder.bounds();
        Ok(match self.folder.read(&paths_name(command), bounds.most)? {
            Found::Absent => Ok(PathSets::new(*command)),
            Found::Wrong(why) => Err(Fault::Damaged(why)),
            Found::Bytes(bytes, _) => decode_path_sets(command, &bytes, bounds),
        })
    }

    /// Whether a newer fleche wrote the call of this key, which is not replaced.
    pub(super) fn is_newer(&self, key: &Key) -> bool {
        match self.folder.read(&call_name(key), self.folder.bounds().most) {
            Ok(Found::Bytes(bytes, _)) => frame::open_parts(Kind::Call, &bytes) == Err(Fault::Newer),
            _ => false,
        }
    }

    /// Notes that a call whose recorded run took `saved` nanoseconds was replayed for the command called `name`. Its file
    /// is marked as used, unless it was within five minutes, at the very time that the journal tells, so that the last use
    /// is the same whoever is asked. Costs one system call more than [`Store::note`], and none after [`Store::answer`].
    pub fn used(&self, key: &Key, saved: u64, name: String) {
        let now = clock::now();
        self.note_touched(key);
        let event = Event::Hit { key: *key, saved, name };
        if self.access == Access::ReadWrite && journal::append(&self.folder, now, &event).is_ok() {
            self.touch(key, now);
            // Where it was replayed from is where it is needed.
            self.behind.iter().filter(|member| member.is_writable()).for_each(|member| member.touch(key, now));
        }
    }

    fn touch(&self, key: &Key, now: i64) {
        let seen = held(&self.seen).filter(|(seen, _)| seen == key).map(|(_, modified)| modified);
        let name = call_name(key);
        let used = seen.or_else(|| {
            let stat = self.folder.stat(&name).ok().flatten()?;
            Some(stamp::from_stat(&stat).modified)
        });
        if used.is_some_and(|used| now.abs_diff(used) > TOUCH_INTERVAL) {
            let last_modification =
                Timespec { tv_sec: now.div_euclid(SECOND), tv_nsec: now.rem_euclid(SECOND) as rustix::fs::Nsecs };
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let times = Timestamps { last_access, last_modification };
            // Nobody misses a last use that could not be written.
            let _ = self.folder.set_times(&name, &times);
        }
    }

    /// Removes calls, and shows each that was there; not while somebody rewrites one of them, who would bring it back. Those
    /// of the stores behind this one go too.
    ///
    /// # Errors
    ///
    /// Where the cache is not to be changed, others store for a minute on end, or a file cannot be removed; after all others
    /// are gone, where a store behind this one has some of them and may not be written.
    pub fn evict(&self, keys: &[Key], mut show: impl FnMut(&Key)) -> Result<(), Error> {
        let writable: Vec<&Store> = self.members().filter(|member| member.is_writable()).collect();
        if writable.is_empty() {
            return Err(Error::failure(Reason::ReadOnly.to_string()));
        }
        // Those who store wait for a moment at most.
        for some in keys.chunks(EVICTED_AT_ONCE) {
            let mut shown = HashSet::new();
            for member in &writable {
                let _alone = member.alone()?;
                for key in some {
                    let removed = member.remove(key).map_err(|reason| Error::failure(reason.to_string()))?;
                    if removed && shown.insert(key) {
                        show(key);
                    }
                }
            }
        }
        for member in self.members().filter(|member| !member.is_writable()) {
            let kept = keys.iter().filter(|key| member.has_call_file(key)).count();
            if kept > 0 {
                let calls = if kept == 1 { "1 call stays".to_owned() } else { format!("{kept} calls stay") };
                let folder = member.folder().display();
                return Err(Error::failure(format!("{calls} in `{folder}`, which is read-only")));
            }
        }
        Ok(())
    }

    /// Removes a call of this very store, by whoever is alone; says whether there was one. What only it named is left to garbage collection.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`], or [`Reason::StoreUnusable`] where the file cannot be removed.
    pub fn remove(&self, key: &Key) -> Result<bool, Reason> {
        if self.access != Access::ReadWrite {
            return Err(Reason::ReadOnly);
        }
        let removed = self.folder.remove(&call_name(key));
        let removed = removed.map_err(|error| unusable(format!("cannot remove call {}", key.0.short()), error))?;
        if removed {
            self.note(&Event::Evicted { key: *key });
        }
        Ok(removed)
    }

    /// Puts what is at `name` into quarantine, so that a whole one can take its place; gives the reason for a miss.
    pub(super) fn damaged(&self, name: &str, why: String) -> Reason {
        if self.access == Access::ReadWrite {
            // Where it cannot be moved it is damaged again next time, and still a miss.
            let _ = self.folder.quarantine(name);
        }
        Reason::Damaged(why)
    }
}

fn decode_path_sets(command: &CommandDigest, bytes: &[u8], bounds: Bounds) -> Result<PathSets, Fault> {
    let sets = PathSets::decode(frame::open(Kind::PathSets, bytes)?, &mut bounds.room())?;
    if sets.command != *command {
        return Err(Fault::Damaged("it belongs to another command".into()));
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::model::{Digest, Observation};
    use crate::store::testing::{World, call, cuts_and_flips};

    /// How many things are in quarantine.
    fn quarantined(world: &World) -> usize {
        fs::read_dir(world.store.folder().join("quarantine")).map_or(0, |entries| entries.count())
    }

    fn file_of(world: &World, key: &Key) -> std::path::PathBuf {
        world.store.folder().join(call_name(key))
    }

    #[test]
    fn a_stored_call_is_read_back_and_an_unknown_one_is_none() {
        let world = World::new();
        let stored = world.record(call("a"));
        assert_eq!(world.store.call(&stored.key), Ok(Some(stored.clone())));
        assert_eq!(world.store.call(&Key(Digest::of(b"other"))), Ok(None));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_damaged_call_in_quarantine() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = file_of(&world, &stored.key);
        let whole = fs::read(&file).unwrap();
        for (number, bytes) in cuts_and_flips(&whole).enumerate() {
            fs::write(&file, bytes).unwrap();
            assert!(matches!(world.store.call(&stored.key), Err(Reason::Damaged(_))), "{number}");
            assert_eq!(world.store.call(&stored.key), Ok(None), "{number}");
        }
        assert_eq!(quarantined(&world), whole.len() * 9);
    }

    #[test]
    fn what_is_not_a_regular_file_is_damaged_and_never_waited_for() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = file_of(&world, &stored.key);
        let fifo = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        };
        let kinds: [&dyn Fn(&Path); 5] = [
            &|path| fs::create_dir(path).unwrap(),
            &fifo,
            &|path| symlink("/etc/passwd", path).unwrap(),
            &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            &|path| File::create(path).unwrap().set_len(Bounds::OWN.most + 1).unwrap(),
        ];
        for (number, make) in kinds.iter().enumerate() {
            let _ = fs::remove_file(&file);
            make(&file);
            assert!(matches!(world.store.call(&stored.key), Err(Reason::Damaged(_))), "{number}");
            assert_eq!(quarantined(&world), number + 1);
        }
    }

    #[test]
    fn what_many_paths_observed_is_read_again_with_the_call() {
        let world = World::new();
        let mut large = call("a");
        let seen = |number: usize| Observation {
            path: format!("source/of/{number:05}").into(),
            ..large.observations[0].clone()
        };
        large.observations = (0..5000).map(seen).collect();
        assert!(!large.encode_apart().1.is_empty());
        let stored = world.record(large);
        assert_eq!(world.store.call(&stored.key), Ok(Some(stored)));
    }

    #[test]
    fn a_call_under_another_key_is_damaged() {
        let world = World::new();
        let (a, b) = (world.record(call("a")), world.record(call("b")));
        fs::copy(file_of(&world, &a.key), file_of(&world, &b.key)).unwrap();
        assert!(matches!(world.store.call(&b.key), Err(Reason::Damaged(_))));
    }

    #[test]
    fn a_read_only_store_moves_nothing() {
        let world = World::new();
        let stored = world.record(call("a"));
        fs::write(file_of(&world, &stored.key), "x").unwrap();
        let store = Store::open_read_only(world.store.folder()).unwrap();
        assert!(matches!(store.call(&stored.key), Err(Reason::Damaged(_))));
        assert!(matches!(store.call(&stored.key), Err(Reason::Damaged(_))));
        assert_eq!(store.remove(&stored.key), Err(Reason::ReadOnly));
        assert_eq!(quarantined(&world), 0);
    }

    #[test]
    fn damaged_path_sets_are_none_and_in_quarantine() {
        let world = World::new();
        let stored = world.record(call("a"));
        assert_eq!(world.store.path_sets(&stored.command).count(), 1);
        fs::write(world.store.folder().join(paths_name(&stored.command)), "x").unwrap();
        assert_eq!(world.store.path_sets(&stored.command), PathSets::new(stored.command));
        assert_eq!(quarantined(&world), 1);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_path_sets_is_none() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = world.store.folder().join(paths_name(&stored.command));
        let whole = fs::read(&file).unwrap();
        let appended = [[&whole[..], b"x"].concat(), whole.repeat(2)];
        for (number, bytes) in cuts_and_flips(&whole).chain(appended).enumerate() {
            fs::write(&file, bytes).unwrap();
            assert!(world.store.path_sets_fault(&stored.command).is_some(), "{number}");
            assert_eq!(world.store.path_sets(&stored.command).count(), 0, "{number}");
            assert!(!file.exists(), "{number}");
        }
        assert_eq!(quarantined(&world), whole.len() * 9 + 2);
        world.record(call("a"));
        assert_eq!(world.store.path_sets(&stored.command).count(), 1);
    }

    #[test]
    fn path_sets_under_another_digest_are_none() {
        let world = World::new();
        let (a, b) = (world.record(call("a")), world.record(call("b")));
        let place = |call: &Call| world.store.folder().join(paths_name(&call.command));
        fs::copy(place(&a), place(&b)).unwrap();
        assert_eq!(world.store.path_sets(&b.command).count(), 0);
        assert_eq!(world.store.path_sets(&a.command).count(), 1);
    }

    #[test]
    fn what_a_newer_fleche_wrote_is_not_replaced() {
        let newer = |file: &Path| {
            let mut bytes = fs::read(file).unwrap();
            bytes[frame::HEADER - 1] = 3;
            let digest =
                blake3::Hasher::new().update(&bytes[..frame::HEADER]).update(&bytes[frame::FRAME..]).finalize();
            bytes[frame::HEADER..frame::FRAME].copy_from_slice(digest.as_bytes());
            fs::write(file, &bytes).unwrap();
            bytes
        };
        for is_call in [true, false] {
            let world = World::new();
            let stored = world.record(call("a"));
            let name = if is_call { call_name(&stored.key) } else { paths_name(&stored.command) };
            let file = world.store.folder().join(name);
            let bytes = newer(&file);
            let recording = world.store.recording().unwrap();
            let set = crate::store::testing::path_set(&stored);
            let refused = recording.store(&stored, crate::store::Durability::Buffered, Some(set)).unwrap_err();
            let Reason::StoreUnusable(why) = refused else { panic!("{refused:?}") };
            assert!(why.starts_with("a newer fleche wrote "), "{why}");
            world.store.recording().unwrap().refuse_watching(&stored.command, "why").unwrap();
            assert!(fs::read(&file).unwrap() == bytes, "{is_call}");
        }
    }

    #[test]
    fn a_use_is_written_once_in_five_minutes() {
        let world = World::new();
        let stored = world.record(call("a"));
        let file = file_of(&world, &stored.key);
        let long_ago = SystemTime::now() - Duration::from_secs(301);
        let lately = SystemTime::now() - Duration::from_secs(200);
        let modified = || fs::metadata(&file).unwrap().modified().unwrap();
        for read_first in [false, true] {
            for (before, touched) in [(long_ago, true), (lately, false)] {
                File::open(&file).unwrap().set_modified(before).unwrap();
                if read_first {
                    world.store.answer(&stored.key).unwrap();
                } else {
                    *held(&world.store.seen) = None;
                }
                world.store.used(&stored.key, 7, "cc".into());
                assert_eq!(modified() != before, touched);
            }
        }
        // Another call that was read since was used at another time.
        let other = world.record(call("b"));
        File::open(&file).unwrap().set_modified(long_ago).unwrap();
        world.store.answer(&other.key).unwrap();
        world.store.used(&stored.key, 7, "cc".into());
        assert!(modified() > lately);
    }

    #[test]
    fn a_removed_call_is_gone() {
        let world = World::new();
        let stored = world.record(call("a"));
        assert_eq!(world.store.remove(&stored.key), Ok(true));
        assert_eq!(world.store.remove(&stored.key), Ok(false));
        assert_eq!(world.store.call(&stored.key), Ok(None));
    }

    #[test]
    fn only_what_stays_in_a_read_only_cache_is_told() {
        let (front, back) = (World::new(), World::new());
        let (first, second) = (front.record(call("a")), back.record(call("b")));
        let behind = Store::open_read_only(back.store.folder()).unwrap();
        let both = Store::open(front.store.folder()).unwrap().in_front_of(vec![behind]);
        let evict = |key| {
            let mut shown = Vec::new();
            let evicted = both.evict(&[key], |key| shown.push(*key));
            (evicted.map_err(|why| why.to_string()), shown)
        };
        assert_eq!(evict(first.key), (Ok(()), vec![first.key]));
        let why = format!("1 call stays in `{}`, which is read-only", back.store.folder().display());
        assert_eq!(evict(second.key), (Err(why), vec![]));
    }
}
