//! Locks between processes that the kernel drops when their holder dies.
//!
//! Two kinds, from `fcntl_locking(2)`. *Open file description locks* belong to an open file: they last until they are
//! released or until its last descriptor is closed. *Announcements* are traditional POSIX locks: they belong to the
//! process, vanish when it closes any descriptor of the file, and have one merit: another process may ask who
//! holds one. So the former guard and the latter only tell.
//!
//! A lock covers one byte, which need not exist.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Highest byte that can be locked.
pub const LAST_BYTE: u64 = i64::MAX as u64;

/// Takes a lock that nobody else may share, if it is free; or makes a shared one of ours exclusive.
///
/// # Errors
///
/// Where locks are impossible (a file system or kernel without them).
pub fn try_exclusive(file: &File, byte: u64) -> io::Result<bool> {
    granted(control(file, libc::F_OFD_SETLK, libc::F_WRLCK, byte))
}

/// Takes a lock that others may share, if nobody has it for himself.
///
/// # Errors
///
/// As [`try_exclusive`].
pub fn try_shared(file: &File, byte: u64) -> io::Result<bool> {
    granted(control(file, libc::F_OFD_SETLK, libc::F_RDLCK, byte))
}

/// Whether somebody else shares a lock, or has it for himself.
///
/// # Errors
///
/// As [`try_exclusive`].
pub fn is_held_by_others(file: &File, byte: u64) -> io::Result<bool> {
    let found = control(file, libc::F_OFD_GETLK, libc::F_WRLCK, byte)?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

/// Gives back either kind of lock.
///
/// # Errors
///
/// As [`try_exclusive`]; the lock then ends with the open file.
pub fn release(file: &File, byte: u64) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, libc::F_UNLCK, byte).map(drop)
}

/// Tells other processes, by a POSIX lock, that this one stands behind `byte`.
///
/// # Errors
///
/// Where locks are impossible. `false`: another process announced itself there.
pub fn announce(file: &File, byte: u64) -> io::Result<bool> {
    granted(control(file, libc::F_SETLK, libc::F_WRLCK, byte))
}

/// Ends an announcement.
///
/// # Errors
///
/// Where locks are impossible.
pub fn withdraw(file: &File, byte: u64) -> io::Result<()> {
    control(file, libc::F_SETLK, libc::F_UNLCK, byte).map(drop)
}

/// The process that announced itself at `byte`; `None` where there is none that can be seen from
/// here (another PID namespace, another machine).
///
/// # Errors
///
/// Where locks are impossible.
pub fn announcer(file: &File, byte: u64) -> io::Result<Option<u32>> {
    let found = control(file, libc::F_GETLK, libc::F_WRLCK, byte)?;
    if i32::from(found.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    Ok(u32::try_from(found.l_pid).ok().filter(|pid| *pid > 0))
}

fn granted(answer: io::Result<libc::flock>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn control(file: &File, operation: libc::c_int, kind: libc::c_int, byte: u64) -> io::Result<libc::flock> {
    // SAFETY: `flock` is a C struct of integers, for which zero is a value; `l_pid` must be zero for OFD locks.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = i64::try_from(byte).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_len = 1;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and `lock` outlives the call, which
    // reads and writes nothing else.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), operation, &raw mut lock) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(lock) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two open files of one lock file: two owners, as two processes would be.
    fn two() -> (tempfile::NamedTempFile, File) {
        let first = tempfile::NamedTempFile::new().unwrap();
        let second = first.reopen().unwrap();
        (first, second)
    }

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_it_is_released() {
        let (first, second) = two();
        assert!(try_exclusive(first.as_file(), 7).unwrap());
        assert!(!try_exclusive(&second, 7).unwrap());
        assert!(!try_shared(&second, 7).unwrap());
        assert!(try_exclusive(&second, 8).unwrap());
        release(first.as_file(), 7).unwrap();
        assert!(try_exclusive(&second, 7).unwrap());
    }

    #[test]
    fn a_shared_lock_is_shared_and_becomes_exclusive_only_alone() {
        let (first, second) = two();
        assert!(try_shared(first.as_file(), LAST_BYTE).unwrap());
        assert!(try_shared(&second, LAST_BYTE).unwrap());
        assert!(!try_exclusive(&second, LAST_BYTE).unwrap());
        drop(first);
        assert!(try_exclusive(&second, LAST_BYTE).unwrap());
    }

    #[test]
    fn one_does_not_meet_ones_own_announcement() {
        let (first, second) = two();
        assert!(announce(first.as_file(), 3).unwrap());
        assert_eq!(announcer(&second, 3).unwrap(), None);
        withdraw(first.as_file(), 3).unwrap();
    }
}
