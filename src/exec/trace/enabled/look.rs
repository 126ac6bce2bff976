//! Looking at paths as they are now: lstat, digests, folders.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::model::{Digest, Glimpse};
use crate::sys::{clock, stamp};

/// What is at a path, a link not followed.
pub fn glimpse(path: &Path) -> Glimpse {
    let stat = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
        Ok(stat) => stat,
        Err(Errno::ACCESS) => return Glimpse::Denied,
        Err(_) => return Glimpse::Nothing,
    };
    let stamp = stamp::from_stat(&stat);
    let target = match kind(stamp.mode) {
        FileType::Symlink => readlinkat(CWD, path, Vec::with_capacity(128)).ok().map(|text| text.into_bytes()),
        _ => None,
    };
    // How wide the count of links is differs from machine to machine.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let links = stat.st_nlink as u64;
    Glimpse::Something { stamp, user: stat.st_uid, group: stat.st_gid, links, target }
}

/// What a mode says something is.
pub fn kind(mode: u32) -> FileType {
    FileType::from_raw_mode(mode)
}

/// What something is, if it is there.
pub fn kind_of(glimpse: &Glimpse) -> Option<FileType> {
    match glimpse {
        Glimpse::Something { stamp, .. } => Some(kind(stamp.mode)),
        _ => None,
    }
}

/// So long after its last change a file's stamp changes with the next one, in nanoseconds; see `sys/stamp.rs`.
const SETTLED: i64 = 3_000_000_000;

/// Whether a change that comes now could leave the stamp as it is.
pub fn is_young(glimpse: &Glimpse) -> bool {
    match glimpse {
        Glimpse::Something { stamp, .. } => clock::now().saturating_sub(stamp.modified.max(stamp.changed)) < SETTLED,
        _ => false,
    }
}

/// Larger files are not read while a command waits, in bytes.
const MOST: u64 = 256 << 20;

/// The digest of the regular file that was seen at `path`; fails where it is another by now, changes, is too large or
/// cannot be read.
pub fn image(path: &Path, seen: &Glimpse, buffer: &mut Vec<u8>) -> io::Result<Digest> {
    let Glimpse::Something { stamp: seen, .. } = seen else { return Err(io::ErrorKind::NotFound.into()) };
    // Not to wait for a FIFO that has taken the file's place.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let changed = || io::Error::other("it changes");
    if stamp::of_file(&file)? != *seen {
        return Err(changed());
    }
    if seen.size > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    buffer.resize(64 * 1024, 0);
    let mut hasher = blake3::Hasher::new();
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
    if stamp::of_file(&file)? != *seen {
        return Err(changed());
    }
    Ok(hasher.finalize().into())
}

/// What is in a folder: names and the type bits of their modes, in no order.
pub fn entries(path: &Path) -> io::Result<Vec<(OsString, u32)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut entries = Vec::new();
    for entry in Dir::new(openat(CWD, path, flags, Mode::empty())?)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => 0,
            kind => kind.as_raw_mode(),
        };
        entries.push((name.to_owned(), kind));
    }
    Ok(entries)
}

/// Whether a folder could be removed or replaced, as far as what is in it goes.
pub fn is_empty(path: &Path) -> bool {
    entries(path).is_ok_and(|entries| entries.is_empty())
}
