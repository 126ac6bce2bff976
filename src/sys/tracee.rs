//! Looking into another process: its memory, its descriptors, where it is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{CWD, Stat, readlinkat, stat};

/// A thread of another process that waits in a system call.
#[derive(Clone, Copy, Debug)]
pub struct Tracee(i32);

/// As long as the kernel takes paths, their end included.
const LONGEST_PATH: usize = 4096;
/// Memory is mapped by pages of at least this size, so what begins in one can be read to its end.
const PAGE: u64 = 4096;
/// Most paths are shorter.
const SHORT: u64 = 256;

impl Tracee {
    /// The thread with this id.
    pub fn of(thread: i32) -> Tracee {
        Tracee(thread)
    }

    /// Its id.
    pub fn id(self) -> i32 {
        self.0
    }

    /// Puts the string at `address` into `text`, without its end; whether there is one that the kernel would take as a path.
    /// Fails where the memory may not be read.
    pub fn read_string(self, address: u64, text: &mut Vec<u8>) -> io::Result<bool> {
        text.clear();
        let mut from = address;
        while text.len() < LONGEST_PATH {
            let length = (PAGE - from % PAGE).min(SHORT.max(text.len() as u64)) as usize;
            let had = text.len();
            text.resize(had + length, 0);
            let read = match self.read(from, &mut text[had..]) {
                Ok(read) => read,
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => return Ok(false),
                Err(error) => return Err(error),
            };
            text.truncate(had + read);
            if let Some(end) = memchr::memchr(0, &text[had..]) {
                text.truncate(had + end);
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            from = from.wrapping_add(read as u64);
        }
        Ok(false)
    }

    /// Reads `buffer` full from `address` on, or as much as there is; how much.
    pub fn read(self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let remote = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: buffer.len() };
        // SAFETY: writes no more than the buffer holds; the other address is another process's.
        match unsafe { libc::process_vm_readv(self.0, &local, 1, &remote, 1, 0) } {
            read @ 0.. => Ok(read as usize),
            _ => match io::Error::last_os_error() {
                // A kernel without it, or a filter around fleche.
                error if [Some(libc::ENOSYS), Some(libc::EPERM)].contains(&error.raw_os_error()) => {
                    let memory = File::open(format!("/proc/{}/mem", self.0)).map_err(|_| error)?;
                    memory.read_at(buffer, address)
                }
                error => Err(error),
            },
        }
    }

    /// Writes `bytes` from `address` on, or as many as there is room for; how many.
    pub fn write(self, address: u64, bytes: &[u8]) -> io::Result<usize> {
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: bytes.len() };
        // SAFETY: reads what the slice holds; the other address is another process's.
        match unsafe { libc::process_vm_writev(self.0, &local, 1, &remote, 1, 0) } {
            written @ 0.. => Ok(written as usize),
            _ => match io::Error::last_os_error() {
                error if [Some(libc::ENOSYS), Some(libc::EPERM)].contains(&error.raw_os_error()) => {
                    let memory =
                        File::options().write(true).open(format!("/proc/{}/mem", self.0)).map_err(|_| error)?;
                    memory.write_at(bytes, address)
                }
                error => Err(error),
            },
        }
    }

    /// The process that the thread belongs to, by the id of its first thread.
    pub fn process(self) -> Option<Tracee> {
        let text = fs::read(format!("/proc/{}/status", self.0)).ok()?;
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
        number(line).map(Tracee)
    }

    /// The process that started its process, or that has taken it on since.
    pub fn parent(self) -> Option<Tracee> {
        let text = fs::read(format!("/proc/{}/stat", self.0)).ok()?;
        // After the name, which may hold anything, come the state and the parent.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        number(text[end + 1..].split(|byte| *byte == b' ').nth(2)?).map(Tracee)
    }

    /// Reads numbers of 64 bits.
    pub fn read_words<const COUNT: usize>(self, address: u64) -> Option<[u64; COUNT]> {
        let mut bytes = [[0; 8]; COUNT];
        let flat = bytes.as_flattened_mut();
        (self.read(address, flat).ok()? == flat.len()).then(|| bytes.map(u64::from_ne_bytes))
    }

    /// Its arguments, each with a zero byte at its end; none where they cannot be read.
    pub fn arguments(self) -> Vec<u8> {
        fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default()
    }

    /// What it executes.
    pub fn program(self) -> Option<PathBuf> {
        self.link("exe")
    }

    /// Where a spot of it is, as the kernel spells it: a path, or a word for what has none.
    pub fn spell(self, spot: Spot) -> Option<PathBuf> {
        self.link(&spot.name())
    }

    /// The inode at a spot of it.
    pub fn inode(self, spot: Spot) -> Option<Stat> {
        stat(format!("/proc/{}/{}", self.0, spot.name())).ok()
    }

    fn link(self, name: &str) -> Option<PathBuf> {
        let text = readlinkat(CWD, format!("/proc/{}/{name}", self.0), Vec::with_capacity(256)).ok()?;
        Some(OsString::from_vec(text.into_bytes()).into())
    }
}

fn number(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// What a process holds on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Its working directory.
    Folder,
    /// What is open at a descriptor.
    Descriptor(i32),
}

impl Spot {
    fn name(self) -> String {
        match self {
            Spot::Folder => "cwd".into(),
            Spot::Descriptor(number) => format!("fd/{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_across_pages_and_not_from_nowhere() {
        let own = Tracee::of(std::process::id() as i32);
        let mut text = Vec::new();
        for length in [0, 1, 255, 256, 257, 3000, 4095] {
            let mut string = vec![b'x'; length];
            string.push(0);
            assert!(own.read_string(string.as_ptr() as u64, &mut text).unwrap(), "{length}");
            assert_eq!(text, string[..length]);
        }
        let endless = vec![b'x'; 10_000];
        assert!(!own.read_string(endless.as_ptr() as u64, &mut text).unwrap());
        assert!(!own.read_string(8, &mut text).unwrap());
        let words = [1_u64, 2, 3];
        assert_eq!(own.read_words(words.as_ptr() as u64), Some(words));
    }

    #[test]
    fn what_is_written_is_where_it_belongs() {
        let own = Tracee::of(std::process::id() as i32);
        let mut room = [0_u8; 8];
        let place = room.as_mut_ptr();
        assert_eq!(own.write(place as u64, b"whole").unwrap(), 5);
        assert_eq!(&std::hint::black_box(room)[..], b"whole\0\0\0");
        assert!(own.write(8, b"x").is_err());
    }

    /// The id of the calling thread.
    fn current() -> i32 {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::gettid() }
    }

    #[test]
    fn threads_belong_to_processes_and_these_to_their_parents() {
        let (own, parent) = (std::process::id() as i32, std::os::unix::process::parent_id() as i32);
        let thread = std::thread::spawn(|| Tracee::of(current()));
        let check = |tracee: Tracee| {
            assert_eq!(tracee.process().map(Tracee::id), Some(own));
            assert_eq!(tracee.parent().map(Tracee::id), Some(parent));
        };
        check(Tracee::of(own));
        check(Tracee::of(current()));
        assert_ne!(thread.join().unwrap().id(), own);
    }

    #[test]
    fn a_process_tells_where_it_is() {
        let own = Tracee::of(std::process::id() as i32);
        assert_eq!(own.spell(Spot::Folder), std::env::current_dir().ok());
        assert_eq!(own.program(), std::fs::canonicalize("/proc/self/exe").ok());
        assert_eq!(own.spell(Spot::Descriptor(-1)), None);
    }
}
