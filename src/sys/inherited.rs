//! Descriptors beyond the standard ones that came from the caller: what is open there, and whether it was used.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, OFlags, SeekFrom, Stat, fcntl_getfl, fstat, major, seek, stat};
use rustix::io::{Errno, FdFlags, fcntl_getfd, pread};
use rustix::termios::isatty;

use super::descriptor::{self, Watch};
use super::entry::{self, Standard};
use super::{clock, stamp};
use crate::model::Stamp;

/// A descriptor that the command inherits.
pub struct Inherited {
    /// Its number, from 3 on.
    pub number: RawFd,
    /// What can be done with it: `read`, `write` or both.
    pub access: &'static str,
    /// What is open there.
    pub kind: Kind,
    /// Where it is a regular file or a folder that can be read: its stamp.
    pub readable: Option<Stamp>,
}

/// What is open at an inherited descriptor, as far as a replay could lack what a command does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing comes or goes through it: a folder, `/dev/null`, a pipe at its end.
    Inert,
    /// make's pipe of tokens, see [`Jobserver`].
    Jobserver,
    /// A regular file, of which [`Mark`] tells whether it was used.
    File(Mark),
    /// The file to which standard output or standard error goes, open for writing here too; which of them. What fleche
    /// forwards moves its offset and its end, so that the command's own writing does not show.
    Stream(&'static str),
    /// What passes through it leaves no trace; a word for it.
    Way(&'static str),
}

/// Where a file stands: what is read from it or written to it changes its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    offset: Option<u64>,
    /// Size and times, where the file is open for writing: what others read or write is no business of a reader.
    written: Option<(i64, i64, u64, i64, u64)>,
}

/// Major number of the memory devices (`/dev/null`, `/dev/zero`, `/dev/urandom`): they are the same for everybody.
const MEMORY: u32 = 1;

/// Those of the descriptors 3 to 9 that the caller left open; no system call where there is none.
pub fn first(jobserver: &Jobserver) -> Vec<Inherited> {
    entry::others().filter_map(|number| look(number, jobserver)).collect()
}

/// All that the caller left open; only [`first`] where `/proc` does not tell.
pub fn all(jobserver: &Jobserver) -> Vec<Inherited> {
    if is_nothing_beyond() {
        return first(jobserver);
    }
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return first(jobserver) };
    let numbers: Vec<RawFd> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let inherited = numbers.into_iter().filter(|number| *number > 2 && is_inherited(*number));
    inherited.filter_map(|number| look(number, jobserver)).collect()
}

/// Those of `numbers`, which are beyond the standard ones, at which the caller left something open. One system call, and
/// one more for each that is open; none for no number.
pub fn open_among(numbers: &[RawFd]) -> Vec<RawFd> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let mut watches: Vec<Watch> = numbers.iter().map(|number| Watch::broken(borrowed(*number))).collect();
    // It fails where there are more numbers than the process may have descriptors: then each is asked for by itself.
    let _ = descriptor::look(&mut watches);
    let maybe_open = numbers.iter().zip(&watches).filter(|(_, watch)| !watch.is_closed());
    maybe_open.map(|(number, _)| *number).filter(|number| is_inherited(*number)).collect()
}

/// Whether something is open there that is not fleche's own: all of that is CLOEXEC.
fn is_inherited(number: RawFd) -> bool {
    fcntl_getfd(borrowed(number)).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
}

/// Whether nothing is open beyond the descriptors that were looked at first: eleven small system calls, where listing them costs
/// a tenth of starting a small command. From Linux 6.2 on the size of the folder is the number of its entries.
fn is_nothing_beyond() -> bool {
    let open = stat("/proc/self/fd").map_or(0, |folder| folder.st_size);
    open > 0 && usize::try_from(open).is_ok_and(|open| open == entry::count_open())
}

impl Inherited {
    /// Where the next read happens, in bytes; of a folder nothing is said.
    pub fn offset(&self) -> Option<u64> {
        match self.kind {
            Kind::File(mark) => mark.offset,
            _ => None,
        }
    }

    /// The first `most` bytes of the file that is open there; its offset stays.
    ///
    /// # Errors
    ///
    /// Those of pread(2).
    pub fn beginning(&self, most: usize) -> rustix::io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut length = 0;
        while length < most {
            match pread(borrowed(self.number), &mut bytes[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(Errno::INTR) => {}
                Err(why) => return Err(why),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Whether any later change would show in the stamp, see [`stamp::is_settled`].
    pub fn is_settled(&self, stamp: &Stamp) -> bool {
        stamp::is_settled(stamp, borrowed(self.number), clock::now())
    }

    /// Whether a file that is open there was used since it was looked at.
    pub fn was_used(&self) -> bool {
        match self.kind {
            Kind::File(before) => mark(self.number, fcntl_getfl(borrowed(self.number))) != Some(before),
            _ => false,
        }
    }
}

fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: what the caller left open nobody in this process closes; a number that is closed makes an error.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// What is open at `number`; nothing if it is closed.
pub fn look(number: RawFd, jobserver: &Jobserver) -> Option<Inherited> {
    let file = borrowed(number);
    let (flags, found) = (fcntl_getfl(file).ok()?, fstat(file).ok()?);
    let access = match flags.intersection(OFlags::RWMODE) {
        OFlags::RDONLY => "read",
        OFlags::WRONLY => "write",
        _ => "read and write",
    };
    let kind = match FileType::from_raw_mode(found.st_mode) {
        _ if flags.contains(OFlags::PATH) => Kind::Inert,
        FileType::Directory => Kind::Inert,
        FileType::RegularFile => match descriptor::standard_to(found.st_dev, found.st_ino).filter(|_| access != "read")
        {
            Some(Standard::Output) => Kind::Stream("standard output"),
            Some(_) => Kind::Stream("standard error"),
            None => Kind::File(mark(number, Ok(flags))?),
        },
        FileType::Fifo if jobserver.includes(number, &found) => Kind::Jobserver,
        FileType::Fifo if access == "read" && descriptor::is_at_end(file) => Kind::Inert,
        FileType::Fifo => Kind::Way("a pipe"),
        FileType::Socket => Kind::Way("a socket"),
        FileType::CharacterDevice if major(found.st_rdev) == MEMORY => Kind::Inert,
        FileType::CharacterDevice if isatty(file) => Kind::Way("a terminal"),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Way("a device"),
        _ => Kind::Way("open"),
    };
    // A place (`O_PATH`) can be read once it is opened again.
    let is_content = matches!(FileType::from_raw_mode(found.st_mode), FileType::Directory | FileType::RegularFile);
    let readable = (is_content && access != "write").then(|| stamp::from_stat(&found));
    Some(Inherited { number, access, kind, readable })
}

fn mark(number: RawFd, flags: rustix::io::Result<OFlags>) -> Option<Mark> {
    let file = borrowed(number);
    let offset = seek(file, SeekFrom::Current(0)).ok();
    if flags.ok()?.intersection(OFlags::RWMODE) == OFlags::RDONLY {
        return Some(Mark { offset, written: None });
    }
    let found = fstat(file).ok()?;
    let written = (found.st_size, found.st_mtime, found.st_mtime_nsec, found.st_ctime, found.st_ctime_nsec);
    Some(Mark { offset, written: Some(written) })
}

/// Where make says that it hands out its tokens: `--jobserver-auth=R,W` (`--jobserver-fds` before make 4.2) or
/// `--jobserver-auth=fifo:PATH` (from make 4.4 on).
#[derive(Debug, Default)]
pub struct Jobserver {
    pipes: Vec<(RawFd, RawFd)>,
    fifos: Vec<Vec<u8>>,
}

impl Jobserver {
    /// As the environment tells: make's variable and cargo's.
    pub fn of(environment: &[impl AsRef<OsStr>]) -> Jobserver {
        let mut found = Jobserver::default();
        for entry in environment {
            let entry = entry.as_ref().as_bytes();
            let flags = entry.strip_prefix(b"MAKEFLAGS=").or_else(|| entry.strip_prefix(b"CARGO_MAKEFLAGS="));
            for word in flags.unwrap_or_default().split(|byte| *byte == b' ') {
                found.take(word);
            }
        }
        found
    }

    fn take(&mut self, word: &[u8]) {
        let value = word.strip_prefix(b"--jobserver-auth=").or_else(|| word.strip_prefix(b"--jobserver-fds="));
        let Some(value) = value else { return };
        if let Some(path) = value.strip_prefix(b"fifo:") {
            self.fifos.push(path.to_vec());
        } else if let Some((reader, writer)) = std::str::from_utf8(value).ok().and_then(|ends| ends.split_once(','))
            && let (Ok(reader), Ok(writer)) = (reader.parse(), writer.parse())
        {
            self.pipes.push((reader, writer));
        }
    }

    /// Whether the pipe at `number` is it. make tells of it even to those to whom it does not pass it on, so the number
    /// alone proves nothing: both ends must be one pipe.
    fn includes(&self, number: RawFd, found: &Stat) -> bool {
        let is_it = |other: rustix::io::Result<Stat>| {
            other.is_ok_and(|other| (other.st_dev, other.st_ino) == (found.st_dev, found.st_ino))
        };
        let is_pipe = |&(reader, writer): &(RawFd, RawFd)| {
            let has_number = reader == number || writer == number;
            has_number && reader != writer && is_it(fstat(borrowed(reader))) && is_it(fstat(borrowed(writer)))
        };
        self.pipes.iter().any(is_pipe) || self.fifos.iter().any(|path| is_it(stat(OsStr::from_bytes(path))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    fn kind(file: &impl AsRawFd, jobserver: &Jobserver) -> Kind {
        look(file.as_raw_fd(), jobserver).unwrap().kind
    }

    #[test]
    fn a_jobserver_is_one_pipe_of_which_the_environment_tells() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (other, _end) = std::io::pipe().unwrap();
        let told = |reader: RawFd, writer: RawFd| {
            Jobserver::of(&[
                "A=--jobserver-auth=1,2".to_owned(),
                format!("MAKEFLAGS= -j2 --jobserver-auth={reader},{writer}"),
            ])
        };
        let both = told(reader.as_raw_fd(), writer.as_raw_fd());
        assert_eq!((kind(&reader, &both), kind(&writer, &both)), (Kind::Jobserver, Kind::Jobserver));
        assert_eq!(kind(&other, &both), Kind::Way("a pipe"));
        let stale = told(other.as_raw_fd(), writer.as_raw_fd());
        assert_eq!(kind(&writer, &stale), Kind::Way("a pipe"));
        assert_eq!(
            kind(&writer, &Jobserver::of(&["MAKEFLAGS=w", "CARGO_MAKEFLAGS=--jobserver-auth=x"])),
            Kind::Way("a pipe")
        );
    }

    #[test]
    fn a_jobserver_may_be_a_fifo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let fifo = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(kind(&fifo, &Jobserver::default()), Kind::Way("a pipe"));
        let told = Jobserver::of(&[format!("MAKEFLAGS=--jobserver-auth=fifo:{}", path.display())]);
        assert_eq!(kind(&fifo, &told), Kind::Jobserver);
    }

    #[test]
    fn a_file_shows_that_it_was_used() {
        let none = Jobserver::default();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let before = look(file.as_file().as_raw_fd(), &none).unwrap();
        assert!(!before.was_used());
        file.write_all(b"text").unwrap();
        assert!(before.was_used());
        let mut reader = std::fs::File::open(file.path()).unwrap();
        let before = look(reader.as_raw_fd(), &none).unwrap();
        // What others write is no business of a reader.
        file.write_all(b"more").unwrap();
        assert!(!before.was_used());
        reader.read_exact(&mut [0; 2]).unwrap();
        assert!(before.was_used());
    }

    #[test]
    fn what_leads_nowhere_is_inert() {
        let open = |path: &str| kind(&std::fs::File::open(path).unwrap(), &Jobserver::default());
        assert_eq!([open("/dev/null"), open("/dev/zero"), open("/")], [Kind::Inert; 3]);
        assert_eq!(open("/dev/ptmx"), Kind::Way("a terminal"));
        assert!(look(1_000_000, &Jobserver::default()).is_none());
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(kind(&socket, &Jobserver::default()), Kind::Way("a socket"));
    }
}
