//! Digests of files: read whole, in constant memory, and never while somebody writes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use crate::model::{Digest, Stamp};
use crate::sys::{hash, stamp, threads};

/// Files up to this size, in bytes, are hashed sooner than remembered digests are asked for.
pub const SMALL: u64 = 64 << 10;
/// A file that is written again and again is given up after this many tries.
const TRIES: usize = 2;
/// More files than this are worth a second thread.
const MANY: usize = 64;
/// More files than this are worth so many threads as keep a disk busy that has to be waited for.
const WORTH_A_DISK: usize = 512;
/// So many reads at a time keep a disk busy (with 16 a first look at 100,000 files took an eighth longer, with 64 as long);
/// where nothing has to be waited for, they cost next to nothing.
const READS: usize = 48;
/// More bytes than this are worth a second thread.
const MUCH: u64 = 8 << 20;

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// The file behind it is meant.
    Followed,
    /// A link is not a file.
    Refused,
}

/// A regular file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its stamp, before and after it was read.
    pub stamp: Stamp,
    /// Whether the stamp proves that nothing changed as long as it stays the same.
    pub settled: bool,
}

/// Opens a regular file for reading. Neither waits for the writer of a FIFO nor takes a terminal.
///
/// # Errors
///
/// As `open(2)`; `InvalidInput` for what is no regular file.
pub fn open(path: &Path, links: Links) -> io::Result<(File, Stamp)> {
    let file = open_anything(path, links)?;
    let stamp = stamp::of_file(&file)?;
    match FileType::from_raw_mode(stamp.mode) {
        FileType::RegularFile => Ok((file, stamp)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn open_anything(path: &Path, links: Links) -> io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Reads an open file whole. `now`, in nanoseconds since 1970, must be from before its `stamp` was taken.
///
/// A file up to [`SMALL`] is in `buffer` afterwards.
///
/// # Errors
///
/// As `read(2)`; `ResourceBusy` for a file that changes whenever it is read.
pub fn read(file: &File, before: Stamp, now: i64, buffer: &mut Vec<u8>) -> io::Result<Seen> {
    let digest = |size| hash::whole(file, size, buffer).map(|(digest, _)| digest);
    let (digest, stamp) = steady(before, digest, || stamp::of_file(file))?;
    Ok(Seen { digest, stamp, settled: stamp::is_settled(&stamp, file, now) })
}

/// Makes the digest of a file of a known size until the file's stamp is the same before and after.
fn steady(
    mut before: Stamp,
    mut digest: impl FnMut(u64) -> io::Result<Digest>,
    mut stamp: impl FnMut() -> io::Result<Stamp>,
) -> io::Result<(Digest, Stamp)> {
    for _ in 0..TRIES {
        let digest = digest(before.size)?;
        let after = stamp()?;
        if after == before {
            return Ok((digest, after));
        }
        before = after;
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Opens and reads the file at `path`, where lately this stamp was `found`; see [`open`] and [`read`].
///
/// # Errors
///
/// Those of both.
pub fn see(path: &Path, links: Links, found: Option<Stamp>, now: i64, buffer: &mut Vec<u8>) -> io::Result<Seen> {
    let (file, stamp) = match (links, found) {
        // A regular file was there itself; if another thing is there now, its stamp will be another after reading. What a
        // link leads to is looked at again: it could be turned to a device that never ends.
        (Links::Refused, Some(found)) => (open_anything(path, links)?, found),
        _ => open(path, links)?,
    };
    read(&file, stamp, now, buffer)
}

/// A file to be read.
pub struct Job {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a link at the end of the path is followed.
    pub links: Links,
    /// The stamp of the regular file that was found there.
    pub found: Option<Stamp>,
}

/// Reads all `jobs`, in their order; many or large ones by several threads.
pub fn see_all(jobs: &[Job], now: i64) -> Vec<io::Result<Seen>> {
    let is_much = jobs.len() > MANY
        || (jobs.len() > 1 && jobs.iter().filter_map(|job| Some(job.found?.size)).sum::<u64>() > MUCH);
    let processors = if is_much { threads::processors() } else { 1 };
    let threads = if jobs.len() > WORTH_A_DISK { processors.max(READS) } else { processors };
    let seen = |buffer: &mut Vec<u8>, job: &Job| see(&job.path, job.links, job.found, now, buffer);
    threads::share(jobs, 1, threads, Vec::new, |buffer, jobs| jobs.iter().map(|job| seen(buffer, job)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::symlink;

    const FUTURE: i64 = i64::MAX;

    fn see_now(path: &Path, links: Links) -> io::Result<Seen> {
        see(path, links, None, FUTURE, &mut Vec::new())
    }

    #[test]
    fn files_of_all_sizes_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut buffer = Vec::new();
        for size in [0, 1, SMALL as usize, SMALL as usize + 1, 9 << 20] {
            let content: Vec<u8> = (0..size).map(|number| (number % 251) as u8).collect();
            fs::write(&path, &content).unwrap();
            let seen = see(&path, Links::Refused, None, FUTURE, &mut buffer).unwrap();
            assert_eq!(seen.digest, Digest::of(&content), "{size}");
            assert!(size > SMALL as usize || buffer.starts_with(&content), "{size}");
        }
    }

    #[test]
    fn files_that_hide_their_size_are_read_whole() {
        let content = fs::read("/proc/self/environ").unwrap();
        assert_eq!(see_now(Path::new("/proc/self/environ"), Links::Refused).unwrap().digest, Digest::of(&content));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link, file) = (folder.path().join("p"), folder.path().join("l"), folder.path().join("f"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(&file, "x").unwrap();
        symlink("f", &link).unwrap();
        assert_eq!(see_now(&pipe, Links::Refused).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(see_now(folder.path(), Links::Refused).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(see_now(&link, Links::Refused).is_err());
        assert_eq!(see_now(&link, Links::Followed).unwrap().digest, Digest::of(b"x"));
    }

    #[test]
    fn a_stamp_that_was_found_is_believed_only_if_it_is_the_same_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "longer than before").unwrap();
        let now = stamp::of(&path).unwrap();
        for found in [now, Stamp { size: 3, ..now }, Stamp { inode: 1, modified: 2, ..now }] {
            let seen = see(&path, Links::Refused, Some(found), FUTURE, &mut Vec::new()).unwrap();
            assert_eq!((seen.stamp, seen.digest), (now, Digest::of(b"longer than before")));
        }
        // What was a file is a FIFO now.
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(see(&path, Links::Refused, Some(now), FUTURE, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_file_that_changed_is_read_again_and_then_given_up() {
        let stamp = |size| Stamp { device: 1, inode: 1, size, modified: 0, changed: 0, mode: 0 };
        let try_with = |sizes: [u64; 2]| {
            let (sizes, read) = (Cell::new(&sizes[..]), Cell::new(0));
            let digest = |size: u64| {
                read.set(read.get() + 1);
                Ok(Digest::of(&size.to_le_bytes()))
            };
            let next = || {
                let (first, rest) = sizes.get().split_first().unwrap();
                sizes.set(rest);
                Ok(stamp(*first))
            };
            (steady(stamp(0), digest, next).map_err(|error| error.kind()), read.get())
        };
        let of = |size: u64| Ok((Digest::of(&size.to_le_bytes()), stamp(size)));
        assert_eq!(try_with([0, 0]), (of(0), 1));
        assert_eq!(try_with([1, 1]), (of(1), 2));
        assert_eq!(try_with([1, 2]), (Err(io::ErrorKind::ResourceBusy), 2));
    }

    #[test]
    fn no_command_inherits_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), "x").unwrap();
        let (file, _) = open(&folder.path().join("f"), Links::Followed).unwrap();
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_young_stamp_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "x").unwrap();
        let changed = stamp::of(&path).unwrap().changed;
        let settled = |now| see(&path, Links::Refused, None, now, &mut Vec::new()).unwrap().settled;
        assert!(!settled(changed) && !settled(changed - 1) && !settled(changed + 1_000_000_000));
        assert!(settled(changed + 10_000_000_000));
    }

    #[test]
    fn many_files_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let job = |number: usize| {
            let path = folder.path().join(number.to_string());
            if number != 100 {
                fs::write(&path, number.to_string()).unwrap();
            }
            Job { path, links: Links::Refused, found: None }
        };
        let jobs: Vec<Job> = (0..300).map(job).collect();
        for (number, result) in see_all(&jobs, FUTURE).into_iter().enumerate() {
            match result {
                Ok(seen) => assert_eq!(seen.digest, Digest::of(number.to_string().as_bytes())),
                Err(error) => assert_eq!((number, error.kind()), (100, io::ErrorKind::NotFound)),
            }
        }
        assert!(see_all(&[], FUTURE).is_empty());
    }
}
