//! Descriptors beyond the standard ones: what a command does there a replay could not repeat.
//!
//! A regular file shows whether its offset was moved or it was written. What was read in place (pread(2)) or by opening
//! it again (`/dev/fd/3`) it does not show, so what can be read there counts in the key.
//!
//! A pipe, a socket or a terminal shows nothing, so a command that might use one is not cached. Who might? By convention
//! a program knows the numbers 3 to 9, which a shell's redirections can name. Of a higher one it must be told; callers
//! leak such all the time (terminals, editors, build machines), and refusing them all would refuse everything there.
//!
//! What is open at those of which the command may know counts in the key, so that a run that found a descriptor closed
//! answers for no other. That costs a hit nothing where 3 to 9 are closed and no higher number is told, and one poll(2)
//! where some are. Rejected: to see by its times whether a pipe was written to, which Linux
//! keeps no more for pipes without a name.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use crate::key;
use crate::model::{Command, Digest, Reason, Request, Stamp};
use crate::sys::entry;
use crate::sys::inherited::{self, Inherited, Jobserver, Kind};

use super::recognise;

/// Between what counts of one descriptor and what of the next.
const SEPARATOR: &str = ", ";
/// The content of files up to this many bytes counts, of larger ones only the stamp: a hit would have to read them.
const SMALL: u64 = 64 << 10;
/// Numbers from here on are used only by those who are told of them.
const TOLD: RawFd = 10;

/// No process has more descriptors than this, see nr_open in proc_sys_fs(5).
const NO_DESCRIPTOR: RawFd = 1 << 20;

/// What is open at the descriptors of which the command may know, as a part of the key; empty for nothing.
///
/// # Errors
///
/// [`Reason::DescriptorOpen`] where it leads to somebody whom a replay would not reach.
pub fn counted(request: &Request) -> Result<String, Reason> {
    let mut open = open(&request.argv, &entry::environment());
    if open.iter().any(|found| found.number >= TOLD) {
        // Variables that are hidden from the command tell it nothing. A malformed glob is reported later.
        let seen = key::visible_environment(&request.environment, &recognise::environment()).unwrap_or_default();
        let told = told(&request.argv, &seen);
        open.retain(|found| is_known(found.number, &told));
    }
    open.iter().try_for_each(refuse_way)?;
    let counted = open.iter().filter(|found| found.kind != Kind::Jobserver);
    Ok(counted.map(state).collect::<Result<Vec<_>, _>>()?.join(SEPARATOR))
}

/// What is open where a command with these arguments and variables may look. No system call where neither tells of a
/// number and nothing is open at the first.
fn open(argv: &[OsString], environment: &[impl AsRef<OsStr>]) -> Vec<Inherited> {
    let told = inherited::open_among(&told(argv, environment));
    if told.is_empty() && entry::others().next().is_none() {
        return Vec::new();
    }
    let jobserver = Jobserver::of(&entry::environment());
    let mut open = inherited::first(&jobserver);
    open.extend(told.into_iter().filter_map(|number| inherited::look(number, &jobserver)));
    open
}

/// What of one of them counts: how it is open, and what can be read there. Of a small file its content, because
/// the stamp of a file that was just written proves nothing: it may be written again at the same time by the clock.
fn state(found: &Inherited) -> Result<String, Reason> {
    let Inherited { number, access, .. } = found;
    let Some(stamp) = &found.readable else { return Ok(format!("{number} {access}")) };
    let is_small = matches!(found.kind, Kind::File(_)) && stamp.size <= SMALL;
    let content = match is_small {
        true => {
            let unreadable = |_| Reason::DescriptorOpen(*number, "a file that cannot be read");
            Digest::from(blake3::hash(&found.beginning(stamp.size as usize).map_err(unreadable)?)).hex()
        }
        false if found.is_settled(stamp) => String::new(),
        false => return Err(Reason::DescriptorOpen(*number, "a file or folder that was just written")),
    };
    let Stamp { device, inode, size, modified, changed, .. } = stamp;
    let offset = found.offset().map_or(String::new(), |offset| offset.to_string());
    Ok(format!("{number} {access} at {offset} of {device} {inode} {size} {modified} {changed} {content}"))
}

/// Whether a word is or holds a path to a descriptor beyond the standard ones, as a shell's `<(...)` makes them: what
/// comes through it, or goes, is another thing each time.
pub fn names_descriptor(word: &OsStr) -> bool {
    let word = word.as_bytes();
    let is_beyond = |rest: &[u8]| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 1 || digits == 1 && rest[0] > b'2'
    };
    // Not memchr: finding out what the processor can do takes longer than looking at every word (`cpuid` is a trap in
    // a virtual machine), and a hit searches nothing else.
    let mut from = 0;
    while let Some(ahead) = word[from..].iter().position(|byte| *byte == b'/') {
        let (before, rest) = word.split_at(from + ahead);
        if rest.strip_prefix(b"/fd/").is_some_and(is_beyond) && belongs_to_process(before) {
            return true;
        }
        from += ahead + 1;
    }
    false
}

/// Whether the descriptors of a process, or of a thread, are in this folder, see proc(5).
fn belongs_to_process(folder: &[u8]) -> bool {
    let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') else { return false };
    match (&folder[..slash], &folder[slash + 1..]) {
        (_, b"dev") => true,
        (processes, name) if processes.ends_with(b"/proc") || processes.ends_with(b"/task") => {
            matches!(name, b"self" | b"thread-self") || name.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// All that the caller left open, before a run that is to be stored.
pub struct Beyond(Vec<Inherited>);

impl Beyond {
    /// Looks at it.
    pub fn now() -> Beyond {
        Beyond(inherited::all(&Jobserver::of(&entry::environment())))
    }

    /// Refuses a run that may have used any of it, or found another thing there than what counted.
    pub fn check_unused(&self, command: &Command) -> Result<(), Reason> {
        let told = told(&command.argv, &command.environment);
        for found in &self.0 {
            if found.was_used() {
                return Err(Reason::DescriptorUsed(found.number));
            }
            // A file is no pipe: what was written to it must not be lost even if nobody told of it.
            if is_known(found.number, &told) || matches!(found.kind, Kind::Stream(_)) {
                refuse_way(found)?;
            }
        }
        check_unchanged(command)
    }
}

/// What the command read there is what counted only if it still is there.
fn check_unchanged(command: &Command) -> Result<(), Reason> {
    let part = command.parts.iter().find(|part| part.name == key::DESCRIPTORS);
    let counted = part.map_or("", |part| std::str::from_utf8(&part.value).unwrap_or_default());
    let has_changed =
        |found: &&Inherited| !state(found).is_ok_and(|now| counted.split(SEPARATOR).any(|then| then == now));
    match open(&command.argv, &command.environment)
        .iter()
        .filter(|found| found.kind != Kind::Jobserver)
        .find(has_changed)
    {
        Some(found) => Err(Reason::DescriptorUsed(found.number)),
        None => Ok(()),
    }
}

fn refuse_way(found: &Inherited) -> Result<(), Reason> {
    match found.kind {
        Kind::Way(what) | Kind::Stream(what) => Err(Reason::DescriptorOpen(found.number, what)),
        Kind::Inert | Kind::Jobserver | Kind::File(_) => Ok(()),
    }
}

/// Whether a command that was told of these numbers may know of `number`.
fn is_known(number: RawFd, told: &[RawFd]) -> bool {
    number < TOLD || told.binary_search(&number).is_ok()
}

/// The numbers from 10 on of which arguments and variables tell, in order.
fn told(argv: &[OsString], environment: &[impl AsRef<OsStr>]) -> Vec<RawFd> {
    let mut told = Vec::new();
    argv.iter().for_each(|word| named(word.as_bytes(), &mut told));
    environment.iter().for_each(|entry| told_by(entry.as_ref().as_bytes(), &mut told));
    told.sort_unstable();
    told.dedup();
    told
}

/// Adds the numbers that stand anywhere in an argument.
fn named(word: &[u8], told: &mut Vec<RawFd>) {
    let runs = word.split(|byte| !byte.is_ascii_digit());
    told.extend(runs.filter_map(number));
}

/// Adds the numbers of which the variable `entry` tells: alone, in a list, or as a path. Not in the middle of other text:
/// LS_COLORS alone names half of all numbers, and who leaks descriptors would have nothing cached.
fn told_by(entry: &[u8], told: &mut Vec<RawFd>) {
    for word in entry.split(|byte| matches!(byte, b'=' | b',' | b' ')) {
        let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (before, digits) = word.split_at(word.len() - digits);
        if before.is_empty() || before.ends_with(b"/fd/") {
            told.extend(number(digits));
        }
    }
}

/// What `digits` mean, where that is a descriptor of which one must be told.
fn number(digits: &[u8]) -> Option<RawFd> {
    let number = digits.iter().try_fold(0, |number: RawFd, digit| {
        number.checked_mul(10)?.checked_add(RawFd::from(digit - b'0')).filter(|number| *number < NO_DESCRIPTOR)
    });
    number.filter(|number| *number >= TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(collect: fn(&[u8], &mut Vec<RawFd>), text: &str) -> Vec<RawFd> {
        let mut told = Vec::new();
        collect(text.as_bytes(), &mut told);
        told
    }

    #[test]
    fn a_variable_tells_of_a_number_that_stands_alone() {
        for entry in ["FD=251", "FDS=3,251", "FLAGS=--in 251", "FLAGS=--in=251", "OUT=/dev/fd/251", "FD=0251"] {
            assert_eq!(told_of(told_by, entry), [251], "{entry}");
        }
        for entry in ["COLORS=01;251:*.x=00;251", "VERSION=1.251", "PATH=/opt/251/bin", "FD=1048576", "FD=9", "FD="] {
            assert!(told_of(told_by, entry).is_empty(), "{entry}");
        }
    }

    #[test]
    fn a_number_is_named_as_a_whole() {
        for text in ["251", "--fd=251", "FD=251", "/dev/fd/251", ">&251", "0251", "a1b251c99999999999999999999"] {
            assert_eq!(told_of(named, text), [251], "{text}");
        }
        assert_eq!(told_of(named, "2510 1251"), [2510, 1251]);
        for text in ["", "2 5", "1048576"] {
            assert!(told_of(named, text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_path_to_a_descriptor_is_one_of_any_process() {
        let names = |text: &str| names_descriptor(OsStr::new(text));
        for text in [
            "/dev/fd/3",
            "--in=/dev/fd/63",
            "/proc/self/fd/10,x",
            "/proc/thread-self/fd/3",
            "/proc/12/fd/3",
            "/proc/12/task/13/fd/3",
            "/dev/fd/1 /proc/12/fd/3/file",
        ] {
            assert!(names(text), "{text}");
        }
        for text in ["", "/dev/fd/2", "/proc/12/fd/0", "/dev/fd/", "/srv/12/fd/3", "/proc/other/fd/3", "fd/3", "/fd/3"]
        {
            assert!(!names(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_told_once_and_in_order() {
        let words = ["20", "10-20"].map(OsString::from);
        assert_eq!(told(&words, &["A=15"]), [10, 15, 20]);
    }
}
