//! Who else has a file open for writing, as far as `/proc` tells.
//!
//! A descriptor is shared by inheriting it, and nothing tells how many processes do. Rejected: a lease (fcntl(2)), which
//! counts how often a file was opened, not who shares what came of that; and stat(2) of each descriptor, which may wait
//! for ever for a file server that is gone, where readlink(2) asks nobody.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, getpid, waitid};

use super::bystanders::Bystander;
use super::process::glance;

/// The name that `/proc` has for an open file, the same in each process that shares it.
#[derive(Debug, PartialEq, Eq)]
pub struct Label(Vec<u8>);

impl Label {
    /// That of `descriptor`.
    ///
    /// # Errors
    ///
    /// As readlink(2): there is no `/proc`.
    pub fn of(descriptor: BorrowedFd) -> io::Result<Label> {
        let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        Ok(Label(readlinkat(CWD, path, Vec::with_capacity(256))?.into_bytes()))
    }

    /// The path by which the file was opened, as it is now.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

/// Whether a process has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    No,
    Yes,
    /// It may not be looked into.
    Untold,
}

/// The folders below this one are those of processes.
const PROCESSES: &str = "/proc";
/// The process that all threads of the kernel descend from.
const KERNEL: i32 = 2;

/// The processes that there are, in order.
///
/// # Errors
///
/// There is no `/proc`.
pub fn processes() -> io::Result<Vec<i32>> {
    let mut found = numbers(Dir::new(folder(PROCESSES)?)?)?;
    found.sort_unstable();
    Ok(found)
}

/// Whether this process has children, which may write to what it was given.
pub fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(Errno::CHILD))
}

/// Whether any process but this one and `bystanders` has one of the files open for writing, or may: it was not among `former`, the
/// processes of a moment ago, and may not be looked into.
pub fn are_held_beside(labels: &[&Label], former: &[i32], bystanders: &[Bystander]) -> bool {
    let Ok(processes) = processes() else { return true };
    let own = getpid().as_raw_nonzero().get();
    let is_other = |process: &i32| *process != own && bystanders.iter().all(|known| known.process() != *process);
    processes.into_iter().filter(is_other).any(|process| match holding(process, labels) {
        Holding::No => false,
        Holding::Yes => true,
        Holding::Untold => former.binary_search(&process).is_err() && is_of_this_login(process),
    })
}

/// Whether a process may descend from what this one started: it does not belong to the kernel, has not ended, and somebody
/// logged in for it who has for this one; that stays whatever rights it gets (`loginuid` in proc(5)).
fn is_of_this_login(process: i32) -> bool {
    let login = |process: &str| std::fs::read(format!("/proc/{process}/loginuid"));
    let is_program = glance(process)
        .is_some_and(|(state, parent)| state != b'Z' && state != b'X' && parent != KERNEL && process != KERNEL);
    is_program && login(&process.to_string()).ok() == login("self").ok()
}

/// Whether `process` has one of the files open for writing.
pub(super) fn holding(process: i32, labels: &[&Label]) -> Holding {
    match holding_of_process(process, labels) {
        Ok(holding) => holding,
        Err(Errno::NOENT | Errno::SRCH) => Holding::No,
        Err(_) => Holding::Untold,
    }
}

fn holding_of_process(process: i32, labels: &[&Label]) -> Result<Holding, Errno> {
    if let Some(holding) = holding_at(&format!("/proc/{process}/fd"), labels)? {
        return Ok(holding);
    }
    // Nothing is open, or the first thread has ended and others go on.
    let threads = format!("/proc/{process}/task");
    // Each is a folder there, and two more names are that folder's own: the kernel's processes have one thread.
    if statat(CWD, &threads, AtFlags::empty())?.st_nlink <= 3 {
        return Ok(Holding::No);
    }
    for thread in numbers(Dir::new(folder(&threads)?)?)? {
        if thread != process && holding_at(&format!("{threads}/{thread}/fd"), labels) == Ok(Some(Holding::Yes)) {
            return Ok(Holding::Yes);
        }
    }
    Ok(Holding::No)
}

/// What the descriptors of a process or thread tell; `None` if there are none.
fn holding_at(descriptors: &str, labels: &[&Label]) -> Result<Option<Holding>, Errno> {
    /// The permissions of the links tell how a file is open.
    const WRITING: u32 = 0o200;
    let mut entries = Dir::new(folder(descriptors)?)?;
    let mut text = Vec::with_capacity(256);
    let mut is_empty = true;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        is_empty = false;
        text = match readlinkat(entries.fd()?, name, text) {
            Ok(text) => text.into_bytes(),
            // Closed meanwhile.
            Err(Errno::NOENT) => Vec::new(),
            Err(why) => return Err(why),
        };
        if labels.iter().any(|label| label.0 == text)
            && statat(entries.fd()?, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|link| link.st_mode & WRITING != 0)
        {
            return Ok(Some(Holding::Yes));
        }
    }
    Ok((!is_empty).then_some(Holding::No))
}

fn folder(path: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The entries of a folder that are numbers.
fn numbers(folder: Dir) -> Result<Vec<i32>, Errno> {
    let mut numbers = Vec::new();
    for entry in folder {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};

    /// Ends what it holds, which waits on its standard input.
    struct Holder(Child);

    impl Holder {
        fn of(file: File) -> Holder {
            Holder(Command::new("cat").stdin(Stdio::piped()).stdout(file).spawn().unwrap())
        }

        fn id(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn who_may_write_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let label = Label::of(file.as_file().as_fd()).unwrap();
        assert_eq!(label.path(), file.path().canonicalize().unwrap());
        let before = processes().unwrap();
        assert!(!are_held_beside(&[&label], &before, &[]));
        let holder = Holder::of(file.reopen().unwrap());
        assert_eq!(holding(holder.id(), &[&label]), Holding::Yes);
        assert!(are_held_beside(&[&label], &before, &[]));
        assert!(has_children());
        drop(holder);
        assert!(!are_held_beside(&[&label], &before, &[]));
    }

    #[test]
    fn readers_do_not_hold() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let label = Label::of(file.as_file().as_fd()).unwrap();
        let holder = Holder::of(File::open(file.path()).unwrap());
        assert_eq!(holding(holder.id(), &[&label]), Holding::No);
    }
}
