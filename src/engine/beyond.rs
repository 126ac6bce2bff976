//! Descriptors beyond the standard ones: what a command does there a replay could not repeat.
//!
//! A regular file shows whether it was used. A pipe, a socket or a terminal does not, so a command that might use one
//! is not cached. Who might? By convention a program knows the numbers 3 to 9, which a shell's redirections can
//! name. Of a higher one it must be told; callers leak such all the time (terminals, editors, build machines), and refusing
//! them all would refuse everything there.
//!
//! What is open at 3 to 9 counts in the key, so that a run that found a descriptor closed answers for no other. That
//! costs a hit nothing where all are closed. Rejected: to see by its times whether a pipe was written to, which Linux
//! keeps no more for pipes without a name.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use crate::model::Reason;
use crate::sys::entry;
use crate::sys::inherited::{self, Inherited, Jobserver, Kind};

/// Numbers from here on are used only by those who are told of them.
const TOLD: RawFd = 10;

/// What is open at the descriptors 3 to 9, as a part of the key; empty for nothing.
///
/// # Errors
///
/// [`Reason::DescriptorOpen`] where it leads to somebody whom a replay would not reach.
pub fn counted() -> Result<String, Reason> {
    if entry::others().next().is_none() {
        return Ok(String::new());
    }
    let open = inherited::first(&Jobserver::of(&entry::environment()));
    open.iter().try_for_each(refuse_way)?;
    let counted = open.iter().filter(|found| found.kind != Kind::Jobserver);
    Ok(counted.map(|found| format!("{} {}", found.number, found.access)).collect::<Vec<_>>().join(", "))
}

/// All that the caller left open, before a run that is to be stored.
pub struct Beyond(Vec<Inherited>);

impl Beyond {
    /// Looks at it.
    pub fn now() -> Beyond {
        Beyond(inherited::all(&Jobserver::of(&entry::environment())))
    }

    /// Refuses a run that may have used any of it.
    pub fn check_unused(&self, argv: &[OsString], environment: &[OsString]) -> Result<(), Reason> {
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
        Ok(())
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
