//! Descriptors beyond the standard ones: what a command does there a replay could not repeat.
//!
//! A regular file shows whether its offset was moved or it was written. What was read in place (pread(2)) or by opening
//! it again (`/dev/fd/3`) it does not show, so what can be read there counts in the key.
//!
//! A pipe, a socket or a terminal shows nothing, so a command that might use one is not cached. Who might? By convention
//! a program knows the numbers 3 to 9, which a shell's redirections can name. Of a higher one it must be told; callers
//! leak such all the time (terminals, editors, build machines), and refusing them all would refuse everything there.
//!
//! What is open at 3 to 9 counts in the key, so that a run that found a descriptor closed answers for no other. That
//! costs a hit nothing where all are closed. Rejected: to see by its times whether a pipe was written to, which Linux
//! keeps no more for pipes without a name.

use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use crate::key;
use crate::model::{Command, Digest, Reason, Stamp};
use crate::sys::entry;
use crate::sys::inherited::{self, Inherited, Jobserver, Kind};

/// Between what counts of one descriptor and what of the next.
const SEPARATOR: &str = ", ";
/// The content of files up to this many bytes counts, of larger ones only the stamp: a hit would have to read them.
const SMALL: u64 = 64 << 10;
/// Numbers from here on are used only by those who are told of them.
const TOLD: RawFd = 10;

/// What is open at the descriptors 3 to 9, as a part of the key; empty for nothing.
///
/// # Errors
///
/// [`Reason::DescriptorOpen`] where it leads to somebody whom a replay would not reach.
pub fn counted() -> Result<String, Reason> {
    let open = open();
    open.iter().try_for_each(refuse_way)?;
    let counted = open.iter().filter(|found| found.kind != Kind::Jobserver);
    Ok(counted.map(state).collect::<Result<Vec<_>, _>>()?.join(SEPARATOR))
}

/// What the command may know of.
fn open() -> Vec<Inherited> {
    if entry::others().next().is_none() {
        return Vec::new();
    }
    inherited::first(&Jobserver::of(&entry::environment()))
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

/// All that the caller left open, before a run that is to be stored.
pub struct Beyond(Vec<Inherited>);

impl Beyond {
    /// Looks at it.
    pub fn now() -> Beyond {
        Beyond(inherited::all(&Jobserver::of(&entry::environment())))
    }

    /// Refuses a run that may have used any of it, or found another thing there than what counted.
    pub fn check_unused(&self, command: &Command) -> Result<(), Reason> {
        let (argv, environment) = (&command.argv, &command.environment);
        for found in &self.0 {
            if found.was_used() {
                return Err(Reason::DescriptorUsed(found.number));
            }
            let is_argument = || argv.iter().any(|word| names(word.as_bytes(), found.number));
            let is_variable = || environment.iter().any(|entry| tells(entry.as_bytes(), found.number));
            if found.number < TOLD || is_argument() || is_variable() {
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
    match open().iter().filter(|found| found.kind != Kind::Jobserver).find(has_changed) {
        Some(found) => Err(Reason::DescriptorUsed(found.number)),
        None => Ok(()),
    }
}

fn refuse_way(found: &Inherited) -> Result<(), Reason> {
    match found.kind {
        Kind::Way(what) => Err(Reason::DescriptorOpen(found.number, what)),
        Kind::Inert | Kind::Jobserver | Kind::File(_) => Ok(()),
    }
}

/// Whether `number` stands in `text`, and not as a part of a longer one.
fn names(text: &[u8], number: RawFd) -> bool {
    let number = number.to_string();
    text.split(|byte| !byte.is_ascii_digit()).any(|digits| digits == number.as_bytes())
}

/// Whether the variable `entry` tells of the descriptor `number`: alone, in a list, or as a path. Not in the middle of
/// other text: LS_COLORS alone names half of all numbers, and who leaks descriptors would have nothing cached.
fn tells(entry: &[u8], number: RawFd) -> bool {
    let path = format!("/fd/{number}");
    let number = number.to_string();
    entry
        .split(|byte| matches!(byte, b'=' | b',' | b' '))
        .any(|word| word == number.as_bytes() || word.ends_with(path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_tells_of_a_number_that_stands_alone() {
        for entry in ["FD=251", "FDS=3,251", "FLAGS=--in 251", "FLAGS=--in=251", "OUT=/dev/fd/251"] {
            assert!(tells(entry.as_bytes(), 251), "{entry}");
        }
        for entry in ["COLORS=01;251:*.x=00;251", "VERSION=1.251", "PATH=/opt/251/bin", "FD=2510"] {
            assert!(!tells(entry.as_bytes(), 251), "{entry}");
        }
    }

    #[test]
    fn a_number_is_named_as_a_whole() {
        for text in ["251", "--fd=251", "FD=251", "/dev/fd/251", ">&251"] {
            assert!(names(text.as_bytes(), 251), "{text}");
        }
        for text in ["", "25", "2510", "1251", "2 51"] {
            assert!(!names(text.as_bytes(), 251), "{text}");
        }
    }
}
