//! The files of a cache folder, reached from one open directory and never through a link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat, chmodat, fchmod, fstat, fsync, mkdirat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use tempfile::NamedTempFile;

use crate::model::{CommandDigest, Digest, Key, Sharing};
use crate::sys::{clock, identity, temporary};

/// Flags that every open has: nothing is inherited by commands, no link is followed, no FIFO waited for.
const CAREFUL: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
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

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Opens a regular file to read it.
    pub fn open(&self, name: &str) -> io::Result<Opened> {
        let file = match openat(&self.directory, name, OFlags::RDONLY | CAREFUL, Mode::empty()) {
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
        let (file, stat) = match self.open(name)? {
            Opened::Absent => return Ok(Found::Absent),
            Opened::Wrong(why) => return Ok(Found::Wrong(why)),
            Opened::File(file, stat) => (file, stat),
        };
        let length = match usize::try_from(stat.st_size) {
            Ok(length) if length as u64 <= most => length,
            _ => return Ok(Found::Wrong(format!("it has {} bytes", stat.st_size))),
        };
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length && retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)))? > 0 {}
        Ok(Found::Bytes(bytes, stat))
    }

    /// What is in a file of less than `most` bytes, which its reader must be able to tell from anything else: one open,
    /// read and close.
    pub fn read_small(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let file = openat(&self.directory, name, OFlags::RDONLY | CAREFUL, Mode::empty())?;
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
        match openat(&self.directory, name, flags | CAREFUL, Mode::empty()) {
            Err(Errno::NOENT) => {}
            other => return Ok(File::from(other?)),
        }
        let file = openat(&self.directory, name, flags | CAREFUL | OFlags::CREATE, PRIVATE)?;
        self.give_rights(&file)?;
        Ok(File::from(file))
    }

    /// What is at `name` itself, a link not followed.
    pub fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in a folder, in no order; none where it is missing.
    pub fn names(&self, name: &str) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFUL;
        let opened = match openat(&self.directory, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::new(opened)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A new file in `tmp/`, mode 0600, which vanishes when it is dropped.
    pub fn temporary(&self) -> io::Result<Temporary> {
        match self.try_temporary() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder("tmp")?;
                self.try_temporary()
            }
            other => other,
        }
    }

    fn try_temporary(&self) -> io::Result<Temporary> {
        loop {
            // Whose it is stands in its name, so that garbage collection knows what nobody makes any more.
            let own = temporary::name();
            let mut builder = tempfile::Builder::new();
            builder.prefix(&own).rand_bytes(0);
            // Opened from our directory, so that nobody who can move the folder's parents can slip a file in.
            let made = builder.make_in(self.path.join("tmp"), |path| {
                let name = Path::new("tmp").join(path.file_name().unwrap_or_default());
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | CAREFUL;
                let file = File::from(openat(&self.directory, name, flags, PRIVATE)?);
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
        let name = Path::new("tmp").join(temporary.path().file_name().unwrap_or_default());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(File::from(openat(&self.directory, name, flags, Mode::empty())?))
    }

    /// Moves a finished file to `name`, over the file that is there; a folder goes to quarantine.
    pub fn put(&self, temporary: Temporary, name: &str) -> io::Result<()> {
        self.place(temporary, name, RenameFlags::empty()).map(drop)
    }

    /// Moves a finished file to `name` unless something is there; says whether it was moved.
    pub fn put_new(&self, temporary: Temporary, name: &str) -> io::Result<bool> {
        self.place(temporary, name, RenameFlags::NOREPLACE)
    }

    fn place(&self, temporary: Temporary, name: &str, flags: RenameFlags) -> io::Result<bool> {
        let (_file, mut path) = temporary.into_parts();
        let from = Path::new("tmp").join(path.file_name().unwrap_or_default());
        let moved = match self.rename(&from, name, flags) {
            Err(Errno::NOENT) => {
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

    fn rename(&self, from: &Path, to: &str, flags: RenameFlags) -> rustix::io::Result<()> {
        if flags.is_empty() {
            return renameat(&self.directory, from, &self.directory, to);
        }
        match renameat_with(&self.directory, from, &self.directory, to, flags) {
            // File systems without this flag (NFS): a look first; what slips in between has the same bytes or the same meaning.
            Err(Errno::INVAL | Errno::NOSYS) => match statat(&self.directory, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(&self.directory, from, &self.directory, to),
                Err(error) => Err(error),
                Ok(_) => Err(Errno::EXIST),
            },
            other => other,
        }
    }

    /// Renames a file of the store over another one.
    pub fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.directory, from, &self.directory, to)?)
    }

    /// Makes the folders above `name`; mostly only the last one is missing.
    fn make_parents(&self, name: &str) -> io::Result<()> {
        let Some((parent, _)) = name.rsplit_once('/') else { return Ok(()) };
        match self.make_folder(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(parent)?;
                self.make_folder(parent)
            }
            other => other,
        }
    }

    /// Makes a folder unless it is there.
    pub fn make_folder(&self, name: &str) -> io::Result<()> {
        match mkdirat(&self.directory, name, PRIVATE_FOLDER) {
            Ok(()) => match self.sharing {
                Sharing::Group => Ok(chmodat(&self.directory, name, SHARED_FOLDER, AtFlags::empty())?),
                Sharing::Private if takes_from_owner() => {
                    Ok(chmodat(&self.directory, name, PRIVATE_FOLDER, AtFlags::empty())?)
                }
                Sharing::Private => Ok(()),
            },
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a file; says whether there was one.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
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
        let aside = Path::new("tmp").join(temporary::name());
        let moved = match renameat(&self.directory, name, &self.directory, &aside) {
            Err(Errno::NOENT) if self.stat(name)?.is_some() => {
                self.make_folder("tmp")?;
                renameat(&self.directory, name, &self.directory, &aside)
            }
            other => other,
        };
        match moved {
            Ok(()) => std::fs::remove_dir_all(self.path.join(aside)).map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a damaged thing to `quarantine/`, out of the way of a whole one, for people to look at.
    pub fn quarantine(&self, name: &str) -> io::Result<()> {
        let to = format!("quarantine/{}.{}", name.replace('/', "-"), clock::now());
        match renameat(&self.directory, name, &self.directory, &to) {
            Err(Errno::NOENT) => {
                self.make_folder("quarantine")?;
                Ok(renameat(&self.directory, name, &self.directory, &to)?)
            }
            other => Ok(other?),
        }
    }

    /// Waits until the file or folder at `name` is on the disk.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        let file = openat(&self.directory, name, OFlags::RDONLY | CAREFUL, Mode::empty())?;
        match fsync(&file) {
            // Some file systems cannot sync folders, and need not.
            Err(Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Whether the umask, which cannot be another for this process alone, makes files that their owner may not use.
fn takes_from_owner() -> bool {
    identity::umask() & PRIVATE_FOLDER.as_raw_mode() != 0
}

/// Fills `buffer` from `offset` on, as far as the file goes; gives the length of the filled part.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
