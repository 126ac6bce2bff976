//! Names of files that fleche makes beside the user's for a moment, and whether somebody still needs them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::entry;
use crate::model::Digest;

/// How temporary names begin: `.fleche-PID-N`, or `.fleche-HERE-PID-N` where it is known what `HERE` is.
const BEGINNING: &str = ".fleche-";
/// Characters of `HERE`.
const LENGTH: usize = 16;

/// Where temporary files belong that are in no cache: by TMPDIR, but for a program that was started with another user's rights,
/// to whom its caller must not tell where to write.
pub fn folder() -> PathBuf {
    if entry::is_secure() { PathBuf::from("/tmp") } else { tempfile::env::temp_dir() }
}

/// A name that this process has not given before.
pub fn name() -> OsString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    match here() {
        Some(here) => format!("{BEGINNING}{here}-{process}-{number}").into(),
        None => format!("{BEGINNING}{process}-{number}").into(),
    }
}

/// Whether `name` is one that [`name`] gives.
pub fn is_temporary(name: &OsStr) -> bool {
    parts(name).is_some()
}

/// Whether `name` is one that [`name`] gave to a process that is gone.
///
/// A number alone proves nothing: in another container, or on another machine that shares the folder, it means
/// another process. So the name says where its number counts, and one from elsewhere, or from before the machine was
/// started, is never held to be dead. Nor is one whose number another process has got since.
pub fn is_dead(name: &OsStr) -> bool {
    maker(name).is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}

/// Whether `name` is one that [`name`] gave to a process that lives, or whose number another process has got since.
pub fn is_alive(name: &OsStr) -> bool {
    maker(name).is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
}

/// The process of a temporary name, if its number counts here.
fn maker(name: &OsStr) -> Option<Pid> {
    let (Some(place), process) = parts(name)? else { return None };
    let process = std::str::from_utf8(process).ok()?.parse().ok()?;
    here().filter(|here| here.as_bytes() == place).and_then(|_| Pid::from_raw(process))
}

/// Where the process of a temporary name is one, and its number.
fn parts(name: &OsStr) -> Option<(Option<&[u8]>, &[u8])> {
    let rest = name.as_bytes().strip_prefix(BEGINNING.as_bytes())?;
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let is_place = |part: &[u8]| part.len() == LENGTH && part.iter().all(u8::is_ascii_hexdigit);
    match rest.split(|&byte| byte == b'-').collect::<Vec<_>>()[..] {
        [process, number] if is_number(process) && is_number(number) => Some((None, process)),
        [place, process, number] if is_place(place) && is_number(process) && is_number(number) => {
            Some((Some(place), process))
        }
        _ => None,
    }
}

/// Where process numbers count as they do here: this start of this machine, and this PID namespace of it.
fn here() -> Option<&'static str> {
    static HERE: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let start = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        let both = [&start[..], &namespace.to_le_bytes()].concat();
        Some(Digest::of(&both).hex()[..LENGTH].to_owned())
    };
    HERE.get_or_init(find).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_again() {
        let (first, second) = (name(), name());
        assert!(first != second && is_temporary(&first) && is_temporary(&second));
        for name in [".fleche-1-2", ".fleche-0123456789abcdef-1-2"] {
            assert!(is_temporary(OsStr::new(name)), "{name}");
        }
        for name in [
            ".fleche-",
            ".fleche-1",
            ".fleche-1-",
            ".fleche-1-2-3",
            ".fleche-a-1",
            "fleche-1-1",
            ".fleche-1-1x",
            ".fleche-0123456789abcdeg-1-2",
            ".fleche-0123456789abcdef-1",
            ".fleche-0123456789abcdef-1-2-3",
        ] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn only_names_of_processes_of_ours_that_are_gone_are_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let of = |place: &str, process: u32| OsString::from(format!("{BEGINNING}{place}{process}-7"));
        let ours = format!("{}-", here().unwrap());
        assert!(!is_dead(&of(&ours, child.id())), "a child that nobody waited for yet keeps its number");
        child.wait().unwrap();
        assert!(is_dead(&of(&ours, child.id())));
        assert!(!is_dead(&name()));
        assert!(!is_dead(&of("", child.id())));
        assert!(!is_dead(&of("0123456789abcdef-", child.id())));
        assert!(!is_dead(&of(&ours, 0)));
        assert!(!is_dead(&OsString::from(format!("{BEGINNING}{ours}99999999999999999999-7"))));
    }
}
