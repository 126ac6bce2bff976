//! Looking at paths as they are now: lstat, digests, folders.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};

use crate::model::{Digest, Glimpse};
pub use crate::sys::look::entries;
use crate::sys::{clock, hash, look, stamp};

/// What is at a path, a link not followed. Where that cannot be known, the command that looks there finds nothing either.
pub fn glimpse(path: &Path) -> Glimpse {
    look::glimpse(path).unwrap_or(Glimpse::Nothing)
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
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let changed = || io::Error::other("it changes");
    if stamp::of_file(&file)? != *seen {
        return Err(changed());
    }
    if seen.size > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let (digest, _) = hash::whole(&file, seen.size, buffer)?;
    if stamp::of_file(&file)? != *seen {
        return Err(changed());
    }
    Ok(digest)
}

/// Whether `text` stands in the file at `path`, if it is one that can be read and is not too large for a source.
pub fn holds(path: &Path, text: &[u8]) -> bool {
    const MOST_SOURCE: u64 = 16 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let Ok(file) = openat(CWD, path, flags, Mode::empty()).map(File::from) else { return false };
    let mut content = Vec::new();
    let is_regular = file.metadata().is_ok_and(|found| found.is_file());
    is_regular
        && file.take(MOST_SOURCE).read_to_end(&mut content).is_ok()
        && memchr::memmem::find(&content, text).is_some()
}

/// Whether a folder could be removed or replaced, as far as what is in it goes.
pub fn is_empty(path: &Path) -> bool {
    entries(path).is_ok_and(|entries| entries.is_empty())
}
