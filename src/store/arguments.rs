//! Private read-only copies of values, each in a place of its own, for commands that name them as arguments.
//!
//! `args/<digest of value and name>/<file name>`: the same path each time, because a command may print it, and a folder for
//! each, because a run is not stored if something beside its copy changed. Never a hard link to the value: root and whoever
//! changes the mode could write through it. So a copy is believed only after it was read. Garbage collection takes those that
//! no command has and none was given for a day.
//!
//! Many runs may be given the same copy at once, so one that is right is never replaced.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{
    FileType, FlockOperation, Mode, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fchmod, flock, ioctl_ficlone,
};
use rustix::io::Errno;

use super::{Store, Value, unusable};
use crate::model::{Content, Digest, Reason, Stamp, Watched};
use crate::sys::beneath::Beneath;
use crate::sys::{clock, hash, identity, stamp, temporary};

const FOLDER: &str = "args";
/// A regular file that nobody writes to, as `stat(2)` tells it.
const READ_ONLY_FILE: u32 = 0o100_444;
/// How often a copy is made that somebody else spoils at once.
const TRIES: u32 = 3;
/// How often garbage collection, which has a folder for a moment, is waited for: a second in all.
const WAITS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A copy of a value, as it was before the run that gets it.
#[derive(Clone, Debug)]
pub struct ArgumentCopy {
    /// The file.
    pub watched: Watched,
    /// All that is in its folder, in order.
    neighbours: Vec<(OsString, Option<Stamp>)>,
    /// Its folder, locked: as long as it is open, garbage collection leaves it alone.
    _in_use: Arc<File>,
}

impl ArgumentCopy {
    /// Whether something was made, changed or removed beside it since.
    pub fn has_other_neighbours(&self) -> bool {
        let folder = self.watched.path.parent().unwrap_or(&self.watched.path);
        !Beneath::open(folder).and_then(|folder| neighbours(&folder)).is_ok_and(|now| now == self.neighbours)
    }
}

impl Store {
    /// Where the copy of a value lies that is called `name`.
    pub fn argument_path(&self, digest: &Digest, name: &OsStr) -> PathBuf {
        self.folder().join(folder_name(digest, name)).join(name)
    }

    /// The copy of a value that is called `name`, whole and read-only; made where it is not.
    ///
    /// # Errors
    ///
    /// As [`Store::value`], and [`Reason::StoreUnusable`] where no copy can be made.
    pub fn argument(&self, content: &Content, name: &OsStr) -> Result<ArgumentCopy, Reason> {
        let what = || format!("cannot copy value {}", content.digest.short());
        let failed = |why: io::Error| unusable(what(), why);
        let (folder, in_use) = self.argument_folder(&folder_name(&content.digest, name), name).map_err(failed)?;
        for _ in 0..TRIES {
            match look(&folder, content, name).map_err(failed)? {
                Seen::Whole(stamp) => {
                    let path = self.argument_path(&content.digest, name);
                    let watched = Watched { path, stamp, settled: false, digest: content.digest };
                    let neighbours = neighbours(&folder).map_err(failed)?;
                    return Ok(ArgumentCopy { watched, neighbours, _in_use: in_use });
                }
                Seen::Nothing => {}
                Seen::Wrong(inode) => remove(&folder, name, inode).map_err(failed)?,
            }
            copy(&folder, &self.value(content)?, name).map_err(failed)?;
        }
        Err(Reason::StoreUnusable(format!("{}: somebody changes it", what())))
    }

    /// Makes a copy of a value in a folder that is none of the store's, which is only read; nothing may be called so there yet.
    ///
    /// # Errors
    ///
    /// As [`Store::value`], and [`Reason::StoreUnusable`] where no copy can be made.
    pub fn copy_argument(&self, content: &Content, name: &OsStr, folder: &Path) -> Result<(), Reason> {
        let value = self.value(content)?;
        let copied = Beneath::open(folder).and_then(|folder| copy(&folder, &value, name));
        copied.map_err(|why| unusable(format!("cannot copy value {}", content.digest.short()), why))
    }

    /// The folder of a copy, which was used now, and what says that it is in use.
    fn argument_folder(&self, name: &str, copy: &OsStr) -> io::Result<(Beneath, Arc<File>)> {
        for _ in 0..WAITS {
            match self.used_folder(name, copy) {
                // Garbage collection took it away in between.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Ok(None) => clock::pause(PAUSE),
                Ok(Some(used)) => return Ok(used),
                Err(why) => return Err(why),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "garbage collection holds it"))
    }

    /// The same; `None` where garbage collection is about to take it away.
    fn used_folder(&self, name: &str, copy: &OsStr) -> io::Result<Option<(Beneath, Arc<File>)>> {
        self.folder.make_folder(FOLDER)?;
        self.folder.make_folder(name)?;
        // By the folder's time and not by the file's: a changed time would look like a change of the file.
        let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
        match self.folder.set_times(name, &times) {
            Ok(()) | Err(Errno::ROFS) => {}
            Err(why) => return Err(why.into()),
        }
        let folder = Beneath::open(self.folder())?.open_folder(Path::new(name))?;
        let in_use = folder.to_file()?;
        // What a command left beside its copy is not for the next one to find. Only while nobody has the copy: another
        // command may be about to read what it made itself.
        if flock(&in_use, FlockOperation::NonBlockingLockExclusive) == Ok(()) {
            tidy(&folder, &self.folder().join(name), copy)?;
        }
        // Where locks are impossible nothing is taken away.
        if flock(&in_use, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
            return Ok(None);
        }
        let (ours, present) = (stamp::of_file(&in_use)?.inode, self.folder.stat(name)?.map(|stat| stat.st_ino));
        Ok((present == Some(ours)).then(|| (folder, Arc::new(in_use))))
    }

    /// The folders of all copies, as paths below the store's folder, and the bytes of what is in them.
    pub(super) fn argument_folders(&self) -> io::Result<Vec<(String, u64)>> {
        let names = self.folder.names(FOLDER)?.into_iter().filter_map(|name| String::from_utf8(name).ok());
        let folder = |name: String| {
            let bytes = size(&self.folder().join(FOLDER).join(&name));
            (format!("{FOLDER}/{name}"), bytes)
        };
        Ok(names.map(folder).collect())
    }

    /// Takes away the folder `name` of copies if no command has one of them and it `is_as_seen`; says whether it did.
    pub(super) fn remove_argument_folder(
        &self,
        name: &str,
        is_as_seen: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<bool> {
        let folder = match Beneath::open(self.folder())?.open_folder(Path::new(name)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let unused = folder.to_file()?;
        // Where locks are impossible nobody knows whether it is in use.
        if flock(&unused, FlockOperation::NonBlockingLockExclusive).is_err() || !is_as_seen()? {
            return Ok(false);
        }
        self.folder.remove_at_once(name)
    }
}

/// The folder of the copy of a value that is called `name`.
fn folder_name(digest: &Digest, name: &OsStr) -> String {
    let of = [digest.0.as_slice(), name.as_bytes()].concat();
    format!("{FOLDER}/{}", Digest::of(&of).hex())
}

/// Removes everything from a folder but the copy.
fn tidy(folder: &Beneath, path: &Path, copy: &OsStr) -> io::Result<()> {
    for name in folder.entries()?.iter().filter(|name| *name != copy) {
        let is_folder = folder.stat(name)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
        match is_folder {
            true => fs::remove_dir_all(path.join(name))?,
            false => folder.unlink(name)?,
        }
    }
    Ok(())
}

/// What is in the place of a copy.
enum Seen {
    Nothing,
    /// The copy, and all is right with it.
    Whole(Stamp),
    /// Something else: its inode.
    Wrong(u64),
}

fn look(folder: &Beneath, content: &Content, name: &OsStr) -> io::Result<Seen> {
    let Some(stat) = folder.stat(name)? else { return Ok(Seen::Nothing) };
    let wrong = Ok(Seen::Wrong(stat.st_ino));
    let is_ours = stat.st_mode == READ_ONLY_FILE && stat.st_uid == identity::effective_user() && stat.st_nlink == 1;
    if !is_ours || stat.st_size as u64 != content.length {
        return wrong;
    }
    let Ok(file) = folder.open_file(name) else { return wrong };
    // Taken before it is read: what changes meanwhile has another one after the run.
    let stamp = stamp::of_file(&file)?;
    let is_whole = stamp == stamp::from_stat(&stat) && hash::of_length(&file, content.length)? == Some(content.digest);
    if is_whole { Ok(Seen::Whole(stamp)) } else { wrong }
}

/// Takes away what was found wrong, and nothing else: another run may have put a right copy there since.
fn remove(folder: &Beneath, name: &OsStr, inode: u64) -> io::Result<()> {
    let aside = match folder.set_aside(name) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        aside => aside?,
    };
    let is_it = folder.stat(&aside)?.is_some_and(|stat| stat.st_ino == inode);
    let placed = if is_it { Ok(()) } else { folder.place(&aside, name) };
    if is_it || placed.is_err() {
        // What cannot be unlinked, a folder, lies there under a temporary name until the sweep.
        let _ = folder.unlink(&aside);
    }
    Ok(())
}

/// Puts a new copy in place, unless somebody else did.
fn copy(folder: &Beneath, value: &Value, name: &OsStr) -> io::Result<()> {
    let (staged, file) = folder.stage(0o600)?;
    let placed = fill(&file, value).and_then(|()| {
        fchmod(&file, Mode::from_raw_mode(READ_ONLY_FILE & 0o777))?;
        match folder.place(&staged, name) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => folder.unlink(&staged),
            placed => placed,
        }
    });
    if placed.is_err() {
        // The folder will be swept.
        let _ = folder.unlink(&staged);
    }
    placed
}

fn fill(mut to: &File, value: &Value) -> io::Result<()> {
    match value {
        Value::Bytes(bytes) => to.write_all(bytes),
        Value::File { file, .. } if ioctl_ficlone(to, file).is_ok() => Ok(()),
        Value::File { file, .. } => io::copy(&mut &*file, &mut to).map(drop),
    }
}

/// All that is in a folder but what other runs are about to put there.
fn neighbours(folder: &Beneath) -> io::Result<Vec<(OsString, Option<Stamp>)>> {
    let mut names = folder.entries()?;
    names.retain(|name| !temporary::is_temporary(name));
    names.sort_unstable();
    let stamp = |name: &OsString| Ok(folder.stat(name)?.as_ref().map(stamp::from_stat));
    names.into_iter().map(|name| stamp(&name).map(|stamp| (name, stamp))).collect()
}

/// The bytes of the files in a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::store::testing::World;
    use crate::store::{Freed, Limits, Plan};

    #[test]
    fn a_copy_is_whole_read_only_and_no_hard_link() {
        let world = World::new();
        for content in [world.keep(&[7; 100_000]), Content::inline(b"small".to_vec())] {
            let copy = world.store.argument(&content, OsStr::new("a.c")).unwrap();
            let found = fs::metadata(&copy.watched.path).unwrap();
            assert_eq!((found.mode(), found.nlink(), found.len()), (READ_ONLY_FILE, 1, content.length));
            assert_eq!(Digest::of(&fs::read(&copy.watched.path).unwrap()), content.digest);
            let again = world.store.argument(&content, OsStr::new("a.c")).unwrap();
            assert_eq!(again.watched.stamp, copy.watched.stamp);
            assert!(!again.has_other_neighbours());
            fs::write(copy.watched.path.with_file_name("beside"), "").unwrap();
            assert!(again.has_other_neighbours());
        }
    }

    #[test]
    fn whatever_else_is_in_its_place_is_replaced() {
        let world = World::new();
        let content = world.keep(&[7; 100_000]);
        let path = world.store.argument_path(&content.digest, OsStr::new("x"));
        let spoil: [&dyn Fn(); 5] = [
            &|| fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap(),
            &|| fs::write(&path, vec![8; 100_000]).unwrap(),
            &|| symlink("/etc/passwd", &path).unwrap(),
            &|| fs::hard_link(world.store.folder().join("other"), &path).unwrap(),
            &|| {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("in"), "").unwrap();
            },
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            world.store.argument(&content, OsStr::new("x")).unwrap();
            match number {
                0 => {}
                3 => fs::rename(&path, world.store.folder().join("other")).unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            spoil();
            if number == 1 {
                fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
            }
            world.store.argument(&content, OsStr::new("x")).unwrap();
            let found = fs::symlink_metadata(&path).unwrap();
            assert_eq!((found.mode(), found.nlink()), (READ_ONLY_FILE, 1), "{number}");
            assert!(fs::read(&path).unwrap() == [7; 100_000]);
        }
    }

    #[test]
    fn what_many_are_given_at_once_is_one_copy_and_stays() {
        let world = World::new();
        let content = world.keep(&[7; 1_000_000]);
        let take = |name: &'static str| {
            let store = Store::open(world.store.folder()).unwrap();
            store.argument(&content, OsStr::new(name)).unwrap()
        };
        let copies: Vec<ArgumentCopy> = std::thread::scope(|scope| {
            let taking: Vec<_> = (0..8).map(|number| scope.spawn(move || take(["a", "b"][number % 2]))).collect();
            taking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for copy in copies {
            assert_eq!(stamp::of(&copy.watched.path).unwrap(), copy.watched.stamp);
            assert!(!copy.has_other_neighbours());
        }
    }

    #[test]
    fn what_was_not_found_wrong_is_not_taken_away() {
        let world = World::new();
        let copy = world.store.argument(&Content::inline(b"x".to_vec()), OsStr::new("x")).unwrap();
        let folder = Beneath::open(copy.watched.path.parent().unwrap()).unwrap();
        remove(&folder, OsStr::new("x"), copy.watched.stamp.inode + 1).unwrap();
        assert_eq!(fs::read(&copy.watched.path).unwrap(), b"x");
        remove(&folder, OsStr::new("x"), copy.watched.stamp.inode).unwrap();
        assert_eq!(folder.entries().unwrap(), [""; 0]);
    }

    const NOTHING: crate::store::Progress = &|_, _| {};
    const LIMITS: Limits = Limits { max_size: None, max_age: None, max_entries: None, grace: u64::MAX };

    fn make_old(path: &Path) {
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
        File::open(path.parent().unwrap()).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn garbage_collection_takes_copies_that_were_not_used_for_a_day() {
        let world = World::new();
        let (old, new) = (world.keep(&[7; 100_000]), world.keep(&[8; 100_000]));
        let copy = |content| world.store.argument(content, OsStr::new("x")).unwrap();
        let paths = [&old, &new].map(|content| copy(content).watched.path);
        make_old(&paths[0]);
        let collect = || {
            let plan = world.store.gc_plan(&LIMITS, NOTHING).unwrap();
            world.store.collect(&plan, NOTHING).unwrap()
        };
        assert_eq!(collect(), Freed { others: 1, bytes: 100_000, ..Freed::default() });
        assert_eq!(paths.each_ref().map(|path| path.exists()), [false, true]);
        assert_eq!(copy(&old).watched.path, paths[0]);
        assert!(paths[0].exists());
        assert_eq!(collect(), Freed::default());
    }

    #[test]
    fn a_copy_that_a_command_has_is_left_however_old_it_is() {
        let world = World::new();
        let content = world.keep(&[7; 100_000]);
        let copy = world.store.argument(&content, OsStr::new("x")).unwrap();
        let path = copy.watched.path.clone();
        make_old(&path);
        let plan = || world.store.gc_plan(&LIMITS, NOTHING).unwrap();
        let collect = |plan: &Plan| world.store.collect(plan, NOTHING).unwrap().others;
        let found = plan();
        assert_eq!((found.removals().len(), collect(&found), path.exists()), (1, 0, true));
        drop(copy);
        // A command that came and went since the plan was made.
        let found = plan();
        world.store.argument(&content, OsStr::new("x")).unwrap();
        assert_eq!((found.removals().len(), collect(&found), path.exists()), (1, 0, true));
        make_old(&path);
        assert_eq!((collect(&plan()), path.exists()), (1, false));
    }

    #[test]
    fn a_folder_that_is_being_taken_away_is_waited_for_and_made_anew() {
        let world = World::new();
        let content = world.keep(&[7; 100_000]);
        let path = world.store.argument(&content, OsStr::new("x")).unwrap().watched.path;
        let name = folder_name(&content.digest, OsStr::new("x"));
        let removed = world.store.remove_argument_folder(&name, || {
            assert!(world.store.used_folder(&name, OsStr::new("x"))?.is_none());
            Ok(true)
        });
        assert_eq!((removed.unwrap(), path.exists()), (true, false));
        world.store.argument(&content, OsStr::new("x")).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn what_cannot_be_done_is_told_and_what_is_done_already_is_not() {
        let world = World::new();
        let name = OsStr::new("x");
        let long = OsString::from("x".repeat(300));
        let path = world.store.folder().join("own");
        fs::create_dir(&path).unwrap();
        let folder = Beneath::open(&path).unwrap();
        let value = Value::Bytes(b"bytes".to_vec());
        assert!(copy(&folder, &value, &long).is_err());
        for _ in 0..2 {
            copy(&folder, &value, name).unwrap();
            assert_eq!(folder.entries().unwrap(), [name]);
        }
        let inode = folder.stat(name).unwrap().unwrap().st_ino;
        for _ in 0..2 {
            remove(&folder, name, inode).unwrap();
            assert!(folder.entries().unwrap().is_empty());
        }
        assert!(remove(&folder, &long, inode).is_err());

        world.store.folder.make_folder(FOLDER).unwrap();
        fs::write(world.store.folder().join("args/file"), "").unwrap();
        assert!(world.store.remove_argument_folder("args/file", || Ok(true)).is_err());
        assert!(!world.store.remove_argument_folder("args/none", || Ok(true)).unwrap());

        let nowhere = Store::open_to_look(&world.store.folder().join("nowhere")).unwrap();
        let why = nowhere.argument(&Content::inline(b"bytes".to_vec()), name).unwrap_err().to_string();
        assert!(!why.contains("garbage collection"), "{why}");
    }
}
