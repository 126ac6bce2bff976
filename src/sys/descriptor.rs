//! What descriptors are and when they are ready: kinds, sameness, offsets, waiting.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;

use rustix::fs::{FileType, SeekFrom, Stat, fstat, major, minor, seek};
use rustix::termios::isatty;

use super::entry::{self, Standard};

/// What an open descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it was closed when the process began.
    Closed,
    /// A terminal.
    Terminal,
    /// `/dev/null`.
    Null,
    /// `/dev/full`: it takes nothing.
    Full,
    /// A regular file.
    File,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A folder.
    Folder,
    /// Another device.
    Device,
    /// Something without a name of its own, like an eventfd.
    Other,
}

/// Major number of the memory devices, see `Documentation/admin-guide/devices.txt` of Linux.
const MEMORY: u32 = 1;
const NULL: u32 = 3;
const FULL: u32 = 7;

/// What was found at a descriptor.
#[derive(Clone, Copy)]
struct Found {
    kind: Kind,
    device: u64,
    inode: u64,
}

impl Found {
    const NOTHING: Found = Found { kind: Kind::Closed, device: 0, inode: 0 };

    /// One system call, two for a terminal.
    fn at(descriptor: RawFd) -> Found {
        if descriptor < 0 || entry::was_closed(descriptor) {
            return Found::NOTHING;
        }
        // SAFETY: only for the length of this call; that it may be closed is what is asked.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let Ok(stat) = fstat(descriptor) else { return Found::NOTHING };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::BlockDevice => Kind::Device,
            FileType::CharacterDevice => device(descriptor, &stat),
            _ => Kind::Other,
        };
        Found { kind, device: stat.st_dev, inode: stat.st_ino }
    }
}

/// What `descriptor` is. Standard descriptors are looked at once in the life of the process.
pub fn kind(descriptor: RawFd) -> Kind {
    found(descriptor).kind
}

fn found(descriptor: RawFd) -> Found {
    static STANDARD: [OnceLock<Found>; 3] = [const { OnceLock::new() }; 3];
    let known = usize::try_from(descriptor).ok().and_then(|number| STANDARD.get(number));
    known.map_or_else(|| Found::at(descriptor), |known| *known.get_or_init(|| Found::at(descriptor)))
}

fn device(descriptor: BorrowedFd, stat: &Stat) -> Kind {
    match (major(stat.st_rdev), minor(stat.st_rdev)) {
        (MEMORY, NULL) => Kind::Null,
        (MEMORY, FULL) => Kind::Full,
        _ if isatty(descriptor) => Kind::Terminal,
        _ => Kind::Device,
    }
}

/// Whether this file is where standard output or standard error leads. Costs nothing once both were looked at.
pub fn is_behind_a_stream(device: u64, inode: u64) -> bool {
    standard_to(device, inode).is_some_and(|stream| kind(stream as RawFd) == Kind::File)
}

/// Whether a character device of this number is `/dev/null`.
pub fn is_null(device: u64) -> bool {
    (major(device), minor(device)) == (MEMORY, NULL)
}

/// Whether two descriptors of this process are one open file (kcmp(2)), so that what is written through both
/// has one order. Where the kernel does not tell: whether they are one pipe, socket or device.
pub fn same_open_file(one: RawFd, other: RawFd) -> bool {
    let (a, b) = (found(one), found(other));
    if a.kind == Kind::Closed || (a.device, a.inode) != (b.device, b.inode) {
        return false;
    }
    const KCMP_FILE: libc::c_int = 0;
    // SAFETY: kcmp looks at two descriptors of this process and changes nothing.
    let answer = unsafe {
        let process = libc::getpid();
        libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, one as libc::c_ulong, other as libc::c_ulong)
    };
    match answer {
        0 => true,
        1.. => false,
        _ => same_inode(a, b),
    }
}

/// Which of the caller's standard output and standard error leads to this very file, if one does.
pub(super) fn standard_to(device: u64, inode: u64) -> Option<Standard> {
    let leads_there = |stream: &Standard| {
        let found = found(*stream as RawFd);
        found.kind != Kind::Closed && (found.device, found.inode) == (device, inode)
    };
    [Standard::Output, Standard::Error].into_iter().find(leads_there)
}

/// A regular file can be open twice at two offsets, so for it the inode proves nothing.
fn same_inode(one: Found, other: Found) -> bool {
    (one.device, one.inode) == (other.device, other.inode) && one.kind != Kind::File
}

/// Where the next read or write of an open file happens, in bytes.
pub fn offset(descriptor: BorrowedFd) -> io::Result<u64> {
    Ok(seek(descriptor, SeekFrom::Current(0))?)
}

/// Moves where the next read or write of an open file happens.
pub fn set_offset(descriptor: BorrowedFd, offset: u64) -> io::Result<()> {
    seek(descriptor, SeekFrom::Start(offset))?;
    Ok(())
}

/// Whether a pipe or socket has no more bytes and never will: hung up, and nothing to read.
pub fn is_at_end(descriptor: BorrowedFd) -> bool {
    let mut watch = [Watch::readable(descriptor)];
    look(&mut watch).is_ok() && watch[0].is_hung_up() && !watch[0].has_input()
}

/// A descriptor to wait for, what for, and what happened.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Watch(libc::pollfd);

impl Watch {
    /// Waits for nothing.
    pub const NOTHING: Watch = Watch(libc::pollfd { fd: -1, events: 0, revents: 0 });

    /// Waits until there is something to read, or never will be.
    pub fn readable(descriptor: BorrowedFd) -> Watch {
        Watch(libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 })
    }

    /// Waits until something can be written, or never can be.
    pub fn writable(descriptor: BorrowedFd) -> Watch {
        Watch(libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 })
    }

    /// Waits until the other side is gone.
    pub fn broken(descriptor: BorrowedFd) -> Watch {
        Watch(libc::pollfd { fd: descriptor.as_raw_fd(), events: 0, revents: 0 })
    }

    /// Whether anything happened.
    pub fn happened(&self) -> bool {
        self.0.revents != 0
    }

    /// Whether no descriptor of that number is open; so it is said of one that is only a place (`O_PATH`), too.
    pub fn is_closed(&self) -> bool {
        self.0.revents & libc::POLLNVAL != 0
    }

    /// Whether there are bytes to read.
    pub fn has_input(&self) -> bool {
        self.0.revents & libc::POLLIN != 0
    }

    /// Whether nobody holds the writing side any more.
    pub fn is_hung_up(&self) -> bool {
        self.0.revents & libc::POLLHUP != 0
    }

    /// Whether nobody holds the reading side any more.
    pub fn is_broken(&self) -> bool {
        self.0.revents & (libc::POLLERR | libc::POLLHUP) != 0
    }
}

/// Waits until something happens to one of `watches` (poll(2)); an interruption counts as nothing happened.
pub fn wait(watches: &mut [Watch]) -> io::Result<()> {
    poll(watches, -1)
}

/// Looks what has happened to `watches`, without waiting.
pub fn look(watches: &mut [Watch]) -> io::Result<()> {
    poll(watches, 0)
}

fn poll(watches: &mut [Watch], milliseconds: libc::c_int) -> io::Result<()> {
    // SAFETY: a Watch is transparent over a pollfd, and the length is that of the slice.
    let answer = unsafe { libc::poll(watches.as_mut_ptr().cast(), watches.len() as libc::nfds_t, milliseconds) };
    if answer >= 0 {
        return Ok(());
    }
    watches.iter_mut().for_each(|watch| watch.0.revents = 0);
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}

/// Closes every descriptor of the process but those in `keep`, whoever believes to own them: for a forked
/// process that lives on and must hold no lock and no stranger's pipe.
pub(super) fn close_all_but(keep: &mut [RawFd]) {
    keep.sort_unstable();
    let mut from: libc::c_uint = 0;
    for &kept in keep.iter() {
        let kept = kept as libc::c_uint;
        if kept > from {
            close_range(from, kept - 1);
        }
        from = kept + 1;
    }
    close_range(from, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    /// How far to go where the kernel (before 5.9) closes only one by one.
    const MOST: libc::c_uint = 4096;
    // SAFETY: closes descriptors, which only a process calls that uses them no more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) == -1 {
            for number in first..=last.min(MOST) {
                libc::close(number as RawFd);
            }
        }
    }
}

/// Closes the descriptors from 3 on that an `exec` would pass on: those that came from the caller.
pub(super) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // SAFETY: all of fleche's own are CLOEXEC, so nobody in this process owns what is closed here.
        unsafe {
            let flags = libc::fcntl(number, libc::F_GETFD);
            if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
                libc::close(number);
            }
        }
    }
}

/// Waits until nobody holds the other end of a pipe. In a test, dropping it is not enough: what another test
/// starts holds a copy for a moment.
#[cfg(test)]
pub(crate) fn closed(end: BorrowedFd) {
    wait(&mut [Watch::broken(end)]).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn kinds_are_told_apart() {
        let file = tempfile::tempfile().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        let (socket, _other) = UnixStream::pair().unwrap();
        let terminal = File::open("/dev/ptmx").unwrap();
        let kind_of = |file: &dyn AsRawFd| kind(file.as_raw_fd());
        assert_eq!(kind_of(&file), Kind::File);
        assert_eq!(kind_of(&File::open(folder.path()).unwrap()), Kind::Folder);
        assert_eq!(kind_of(&reader), Kind::Pipe);
        assert_eq!(kind_of(&socket), Kind::Socket);
        assert_eq!(kind_of(&terminal), Kind::Terminal);
        assert_eq!(kind_of(&File::open("/dev/null").unwrap()), Kind::Null);
        assert_eq!(kind_of(&File::open("/dev/full").unwrap()), Kind::Full);
        assert_eq!(kind_of(&File::open("/dev/zero").unwrap()), Kind::Device);
        assert_eq!(kind(-1), Kind::Closed);
        assert_eq!(kind(1_000_000), Kind::Closed);
    }

    #[test]
    fn only_duplicates_are_the_same_open_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (one, again) = (file.as_file(), File::open(file.path()).unwrap());
        let duplicate = one.try_clone().unwrap();
        assert!(same_open_file(one.as_raw_fd(), duplicate.as_raw_fd()));
        assert!(!same_open_file(one.as_raw_fd(), again.as_raw_fd()));
        assert!(!same_inode(found(one.as_raw_fd()), found(duplicate.as_raw_fd())));
        let (reader, writer) = io::pipe().unwrap();
        assert!(same_inode(found(writer.as_raw_fd()), found(writer.try_clone().unwrap().as_raw_fd())));
        assert!(!same_inode(found(writer.as_raw_fd()), found(one.as_raw_fd())));
        drop(reader);
    }

    #[test]
    fn offsets_move() {
        let file = tempfile::tempfile().unwrap();
        set_offset(file.as_fd(), 17).unwrap();
        assert_eq!(offset(file.as_fd()).unwrap(), 17);
        let (reader, _writer) = io::pipe().unwrap();
        assert!(offset(reader.as_fd()).is_err());
    }

    #[test]
    fn a_pipe_is_at_its_end_when_it_is_empty_and_its_writer_is_gone() {
        use std::io::{Read, Write};
        let (mut reader, mut writer) = io::pipe().unwrap();
        assert!(!is_at_end(reader.as_fd()));
        writer.write_all(b"x").unwrap();
        drop(writer);
        assert!(!is_at_end(reader.as_fd()));
        reader.read_exact(&mut [0]).unwrap();
        closed(reader.as_fd());
        assert!(is_at_end(reader.as_fd()));
    }

    #[test]
    fn a_writer_is_told_that_its_reader_left() {
        let (reader, writer) = io::pipe().unwrap();
        let mut watches = [Watch::broken(writer.as_fd()), Watch::NOTHING];
        look(&mut watches).unwrap();
        assert!(!watches[0].happened());
        drop(reader);
        wait(&mut watches).unwrap();
        assert!(watches[0].is_broken() && !watches[1].happened());
    }
}
