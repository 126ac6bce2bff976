//! The files of a cache folder, reached from one open directory and never through a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Dir, DirEntry, FileType, Mode, OFlags, RenameFlags, Stat, Timestamps, chmodat, fchmod, fstat, fsync,
    mkdirat, renameat, renameat_with, statat, unlinkat, utimensat,
};
use rustix::io::{Errno, pread, retry_on_intr};
use tempfile::NamedTempFile;

use super::frame::Bounds;
use crate::model::{CommandDigest, Digest, Key, Sharing};
use crate::sys::beneath::open_below;
use crate::sys::{identity, temporary};

/// Flags that every open has: nothing is inherited by commands, no link is followed, no FIFO waited for.
const CAREFUL: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
/// Those of a folder that is only a place.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// Where what is not finished is.
pub(super) const TEMPORARY: &str = "tmp";
const PRIVATE: Mode = Mode::from_raw_mode(0o600);
const PRIVATE_FOLDER: Mode = Mode::from_raw_mode(0o700);
const SHARED: Mode = Mode::from_raw_mode(0o660);
/// With the bit by which what is made in it belongs to its group.
const SHARED_FOLDER: Mode = Mode::from_raw_mode(0o2770);

/// An open directory and its path.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    directory: OwnedFd,
    sharing: Sharing,
}

/// The open folder in which something is, and how it is called there: what is then done to it is done in that folder,
/// wherever links lead.
struct Place<'a> {
    opened: Option<OwnedFd>,
    top: &'a OwnedFd,
    name: &'a OsStr,
}

impl Place<'_> {
    fn folder(&self) -> BorrowedFd<'_> {
        self.opened.as_ref().unwrap_or(self.top).as_fd()
    }
}

/// A file that is being made in `tmp/`; deleted when dropped.
pub(super) type Temporary = NamedTempFile<File>;

/// What reading a small file gave.
pub(super) enum Found {
    /// There is none.
    Absent,
    /// Something is there that no store makes; why.
    Wrong(String),
    /// Its bytes and what `fstat` said.
    Bytes(Vec<u8>, Box<Stat>),
}

/// What opening a file to read gave.
pub(super) enum Opened {
    /// There is none.
    Absent,
    /// Something is there that no store makes; why.
    Wrong(String),
    /// A regular file.
    File(File, Box<Stat>),
}

/// Where a call is.
pub(super) fn call_name(key: &Key) -> String {
    sharded("calls", &key.0)
}

/// Where the path sets of a command are.
pub(super) fn paths_name(command: &CommandDigest) -> String {
    sharded("paths", &command.0)
}

/// Where a value is.
pub(super) fn value_name(digest: &Digest) -> String {
    sharded("values", digest)
}

/// `kind/ab/cdef...`: 256 folders keep each of them small.
fn sharded(kind: &str, digest: &Digest) -> String {
    let hex = digest.hex();
    let (shard, rest) = hex.split_at(2);
    [kind, shard, rest].join("/")
}

impl Folder {
    /// A folder for its owner alone.
    pub fn new(path: PathBuf, directory: OwnedFd) -> Folder {
        Folder { path, directory, sharing: Sharing::Private }
    }

    /// The same, for these users.
    pub fn shared(self, sharing: Sharing) -> Folder {
        Folder { sharing, ..self }
    }

    /// Gives a file that was just made the bits that it has among its users, whatever the umask took from it.
    fn give_rights(&self, file: impl AsFd) -> io::Result<()> {
        match self.sharing {
            Sharing::Group => Ok(fchmod(file, SHARED)?),
            Sharing::Private if takes_from_owner() => Ok(fchmod(file, PRIVATE)?),
            Sharing::Private => Ok(()),
        }
    }

    /// Takes the right to write a finished file from those who may read it.
    pub fn make_read_only(&self, file: impl AsFd) -> io::Result<()> {
        let rights = match self.sharing {
            Sharing::Group => SHARED,
            Sharing::Private => PRIVATE,
        };
        Ok(fchmod(file, rights - Mode::from_raw_mode(0o222))?)
    }

    /// What the framed files of its users may be and hold.
    pub fn bounds(&self) -> Bounds {
        match self.sharing {
            Sharing::Private => Bounds::OWN,
            Sharing::Group => Bounds::FOREIGN,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Where `name` is.
    fn place<'a>(&'a self, name: &'a Path) -> rustix::io::Result<Place<'a>> {
        let parent = name.parent().filter(|parent| !parent.as_os_str().is_empty());
        let open = |parent| open_below(&self.directory, parent, PLACE, Mode::empty());
        let last = name.file_name().unwrap_or(name.as_os_str());
        Ok(Place { opened: parent.map(open).transpose()?, top: &self.directory, name: last })
    }

    fn open_at(&self, name: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        open_below(&self.directory, Path::new(name), flags | CAREFUL, mode)
    }

    /// Opens a regular file to read it.
    pub fn open(&self, name: &str) -> io::Result<Opened> {
        let file = match self.open_at(name, OFlags::RDONLY, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Opened::Absent),
            Err(Errno::LOOP) => return Ok(Opened::Wrong("it is a symbolic link".into())),
            Err(Errno::NXIO) => return Ok(Opened::Wrong("it is a socket".into())),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Opened::File(file, Box::new(stat))),
            _ => Ok(Opened::Wrong("it is not a regular file".into())),
        }
    }

    /// Reads a regular file of at most `most` bytes: one open, fstat, read and close.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Found> {
        self.read_as_needed(name, most, u64::MAX, |_| None)
    }

    /// Reads a regular file of at most `most` bytes as far as is needed: where it has more than `beginning` bytes, `needed` says
    /// by those how far that is, or nothing if it is all.
    pub fn read_as_needed(
        &self,
        name: &str,
        most: u64,
        beginning: u64,
        needed: impl FnOnce(&[u8]) -> Option<u64>,
    ) -> io::Result<Found> {
        let (file, stat) = match self.open(name)? {
            Opened::Absent => return Ok(Found::Absent),
            Opened::Wrong(why) => return Ok(Found::Wrong(why)),
            Opened::File(file, stat) => (file, stat),
        };
        let length = match u64::try_from(stat.st_size) {
            Ok(length) if length <= most => length,
            _ => return Ok(Found::Wrong(format!("it has {} bytes", stat.st_size))),
        };
        Ok(Found::Bytes(self::beginning(&file, length, beginning, needed)?, stat))
    }

    /// What is in a file of less than `most` bytes, which its reader must be able to tell from anything else: one open,
    /// read and close.
    pub fn read_small(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let file = self.open_at(name, OFlags::RDONLY, Mode::empty())?;
        let mut bytes = Vec::with_capacity(most);
        retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)))?;
        Ok(bytes)
    }

    /// Opens a file of the store to read and write it, and makes it where it is missing.
    pub fn open_or_create(&self, name: &str) -> io::Result<File> {
        self.open_made(name, OFlags::RDWR)
    }

    /// Opens a file of the store to append to it, and makes it where it is missing.
    pub fn open_to_append(&self, name: &str) -> io::Result<File> {
        self.open_made(name, OFlags::WRONLY | OFlags::APPEND)
    }

    fn open_made(&self, name: &str, flags: OFlags) -> io::Result<File> {
        match self.open_at(name, flags, Mode::empty()).map(File::from) {
            Ok(file) if is_file(&fstat(&file)?) => return Ok(file),
            _ => self.make_way(name)?,
        }
        let file = self.open_at(name, flags | OFlags::CREATE, PRIVATE)?;
        self.give_rights(&file)?;
        Ok(File::from(file))
    }

    /// What is at `name` itself, a link not followed.
    pub fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        let place = self.place(Path::new(name));
        match place.and_then(|place| statat(place.folder(), place.name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives what is at `name` itself other times.
    pub fn set_times(&self, name: &str, times: &Timestamps) -> rustix::io::Result<()> {
        let place = self.place(Path::new(name))?;
        utimensat(place.folder(), place.name, times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The names in a folder, in no order; none where it is missing.
    pub fn names(&self, name: &str) -> io::Result<Vec<Vec<u8>>> {
        self.entries(name)?.collect()
    }

    /// Whether there is anything in a folder.
    pub fn has_names(&self, name: &str) -> io::Result<bool> {
        Ok(self.entries(name)?.next().transpose()?.is_some())
    }

    fn entries(&self, name: &str) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>> {
        let opened = match self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            other => Some(Dir::new(other?)?),
        };
        let name = |entry: rustix::io::Result<DirEntry>| Ok(entry?.file_name().to_bytes().to_vec());
        let is_dots = |name: &Vec<u8>| name == b"." || name == b"..";
        Ok(opened.into_iter().flatten().map(name).filter(move |name| !name.as_ref().is_ok_and(is_dots)))
    }

    /// A new file in `tmp/`, mode 0600, which vanishes when it is dropped.
    pub fn temporary(&self) -> io::Result<Temporary> {
        match self.try_temporary() {
            Err(_) => {
                // Also where it is a folder by now: another process may have made it since.
                self.make_folder(TEMPORARY)?;
                self.try_temporary()
            }
            made => made,
        }
    }

    fn try_temporary(&self) -> io::Result<Temporary> {
        loop {
            // Whose it is stands in its name, so that garbage collection knows what nobody makes any more.
            let own = temporary::name();
            let mut builder = tempfile::Builder::new();
            builder.prefix(&own).rand_bytes(0);
            // Opened from our directory, so that nobody who can move the folder's parents can slip a file in.
            let made = builder.make_in(self.path.join(TEMPORARY), |path| {
                let name = Path::new(TEMPORARY).join(path.file_name().unwrap_or_default());
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | CAREFUL;
                let file = File::from(open_below(&self.directory, &name, flags, PRIVATE)?);
                self.give_rights(&file)?;
                Ok(file)
            });
            match made {
                // Left behind by a process that had our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }

    /// Opens a temporary file once more, to read it from its beginning.
    #[cfg(test)]
    pub fn reopen(&self, temporary: &Temporary) -> io::Result<File> {
        let name = Path::new(TEMPORARY).join(temporary.path().file_name().unwrap_or_default());
        Ok(File::from(open_below(&self.directory, &name, OFlags::RDONLY, Mode::empty())?))
    }

    /// Moves a finished file to `name`, over the file that is there; a folder goes to quarantine, and so does what stands
    /// where its own folder belongs.
    pub fn put(&self, temporary: Temporary, name: &str) -> io::Result<()> {
        self.put_with(temporary, name, RenameFlags::empty()).map(drop)
    }

    /// Writes a whole file, not synced, in the place of what was there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.temporary()?;
        file.as_file_mut().write_all(bytes)?;
        self.put(file, name)
    }

    /// Moves a finished file to `name` unless something is there; says whether it was moved.
    pub fn put_new(&self, temporary: Temporary, name: &str) -> io::Result<bool> {
        self.put_with(temporary, name, RenameFlags::NOREPLACE)
    }

    fn put_with(&self, temporary: Temporary, name: &str, flags: RenameFlags) -> io::Result<bool> {
        let (_file, mut path) = temporary.into_parts();
        let from = Path::new(TEMPORARY).join(path.file_name().unwrap_or_default());
        let moved = match self.rename(&from, name, flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make_parents(name)?;
                self.rename(&from, name, flags)
            }
            Err(Errno::ISDIR) => {
                self.quarantine(name)?;
                self.rename(&from, name, flags)
            }
            other => other,
        };
        match moved {
            Ok(()) => {
                path.disable_cleanup(true);
                Ok(true)
            }
            Err(Errno::EXIST) if flags.contains(RenameFlags::NOREPLACE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn rename(&self, from: &Path, to: &str, flags: RenameFlags) -> rustix::io::Result<()> {
        let (from, to) = (self.place(from)?, self.place(Path::new(to))?);
        if flags.is_empty() {
            return renameat(from.folder(), from.name, to.folder(), to.name);
        }
        match renameat_with(from.folder(), from.name, to.folder(), to.name, flags) {
            // File systems without this flag (NFS): a look first; what slips in between has the same bytes or the same meaning.
            Err(Errno::INVAL | Errno::NOSYS) => match statat(to.folder(), to.name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(from.folder(), from.name, to.folder(), to.name),
                Err(error) => Err(error),
                Ok(_) => Err(Errno::EXIST),
            },
            other => other,
        }
    }

    /// Renames a file of the store over another one.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(self.rename(Path::new(from), to, RenameFlags::empty())?)
    }

    /// Makes a folder that is not there; says whether it did.
    pub(super) fn make_new_folder(&self, name: &str) -> rustix::io::Result<bool> {
        let place = self.place(Path::new(name))?;
        match mkdirat(place.folder(), place.name, PRIVATE_FOLDER) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error),
        }
        match self.sharing {
            Sharing::Group => chmodat(place.folder(), place.name, SHARED_FOLDER, AtFlags::empty())?,
            Sharing::Private if takes_from_owner() => {
                chmodat(place.folder(), place.name, PRIVATE_FOLDER, AtFlags::empty())?
            }
            Sharing::Private => {}
        }
        Ok(true)
    }

    /// Deletes a file; says whether there was one.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let place = self.place(Path::new(name));
        match place.and_then(|place| unlinkat(place.folder(), place.name, AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a file, or a folder with all that is in it; says whether there was something.
    pub fn remove_all(&self, name: &str) -> io::Result<bool> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                std::fs::remove_dir_all(self.path.join(name)).map(|()| true)
            }
            other => other,
        }
    }

    /// Deletes a folder with all that is in it, which nobody sees half done; says whether there was one.
    pub fn remove_at_once(&self, name: &str) -> io::Result<bool> {
        let aside = format!("{TEMPORARY}/{}", temporary::name().display());
        let moved = match self.rename(Path::new(name), &aside, RenameFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make_folder(TEMPORARY)?;
                self.rename(Path::new(name), &aside, RenameFlags::empty())
            }
            other => other,
        };
        match moved {
            Ok(()) => std::fs::remove_dir_all(self.path.join(aside)).map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the file or folder at `name` is on the disk.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        let file = self.open_at(name, OFlags::RDONLY, Mode::empty())?;
        match fsync(&file) {
            // Some file systems cannot sync folders, and need not.
            Err(Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }
}

pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

pub(super) fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Whether the umask, which cannot be another for this process alone, makes files that their owner may not use.
fn takes_from_owner() -> bool {
    identity::umask() & PRIVATE_FOLDER.as_raw_mode() != 0
}

/// The beginning of a file of `length` bytes, as far as it is needed: where it has more than `beginning` bytes, `needed` says by
/// those how far that is, or nothing if it is all.
pub(super) fn beginning(
    file: &File,
    length: u64,
    beginning: u64,
    needed: impl FnOnce(&[u8]) -> Option<u64>,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_to(file, &mut bytes, length.min(beginning))?;
    if length > beginning {
        let end = needed(&bytes).map_or(length, |needed| needed.min(length));
        read_to(file, &mut bytes, end)?;
    }
    Ok(bytes)
}

/// Reads on until there are at least `length` bytes, or the file ends.
fn read_to(file: &File, bytes: &mut Vec<u8>, length: u64) -> io::Result<()> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    bytes.reserve_exact(length.saturating_sub(bytes.len()));
    while bytes.len() < length && retry_on_intr(|| rustix::io::read(file, spare_capacity(bytes)))? > 0 {}
    Ok(())
}

/// Fills `buffer` from `offset` on, as far as the file goes; gives the length of the filled part.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match retry_on_intr(|| pread(file, &mut buffer[filled..], offset + filled as u64))? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::testing::World;

    #[test]
    fn a_file_is_read_unless_it_is_larger_than_it_may_be() {
        let world = World::new();
        let folder = &world.store.folder;
        folder.write("four", b"four").unwrap();
        for (most, is_read) in [(3, false), (4, true), (5, true)] {
            match folder.read("four", most).unwrap() {
                Found::Bytes(bytes, _) => assert!(is_read && bytes == b"four"),
                Found::Wrong(why) => assert!(!is_read && why == "it has 4 bytes", "{why}"),
                Found::Absent => panic!(),
            }
        }
        assert_eq!(folder.names("four").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn many_who_are_the_first_at_the_same_time_all_get_a_temporary_file() {
        let world = World::new();
        let (folder, threads) = (&world.store.folder, 4);
        for _ in 0..500 {
            folder.remove_all(TEMPORARY).unwrap();
            let begin = std::sync::Barrier::new(threads);
            std::thread::scope(|scope| {
                let get = || {
                    begin.wait();
                    folder.temporary().unwrap();
                };
                (0..threads).for_each(|_| drop(scope.spawn(get)));
            });
        }
    }

    #[test]
    fn what_is_removed_is_of_the_store() {
        let world = World::new();
        let folder = &world.store.folder;
        let beside = folder.path().with_file_name("beside");
        fs::create_dir_all(beside.join("full")).unwrap();
        assert!(folder.remove_all("../beside").is_err());
        assert!(beside.join("full").exists());
        for remove in [Folder::remove_all, Folder::remove_at_once] {
            fs::create_dir_all(folder.path().join("args/full")).unwrap();
            let _ = fs::remove_dir_all(folder.path().join(TEMPORARY));
            assert!(remove(folder, "args").unwrap());
            assert!(!folder.path().join("args").exists());
            assert!(!remove(folder, "args").unwrap());
        }
    }
}
