//! What the kernel opens by itself when it executes a file: the interpreters of scripts and of ELF programs.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{getegid, geteuid};

use crate::model::{Glimpse, State};
use crate::sys::identity;

/// As much of a script as the kernel looks at for its interpreter (`BINPRM_BUF_SIZE`), and more than an ELF header has.
const HEAD: usize = 256;
/// A loader's path is not longer.
const LONGEST: usize = 4096;
/// More entries than this has no program header table that the kernel takes.
const MOST_SEGMENTS: usize = 1024;
const PT_INTERP: u64 = 3;

/// The path of the interpreter that the file at `path` names, if it does.
pub fn interpreter(path: &Path) -> Option<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(openat(rustix::fs::CWD, path, flags, Mode::empty()).ok()?);
    let mut head = [0; HEAD];
    let read = read_at(&file, &mut head, 0);
    let name = match &head[..read] {
        script if script.starts_with(b"#!") => {
            let line = script[2..].split(|byte| *byte == b'\n').next()?;
            let mut words = line.split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty());
            words.next()?.to_vec()
        }
        program if program.starts_with(b"\x7fELF") => loader(&file, program)?,
        _ => return None,
    };
    let name = name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
    Some(OsStr::from_bytes(name).into())
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    filled
}

/// What `PT_INTERP` of an ELF program says, see elf(5).
fn loader(file: &File, head: &[u8]) -> Option<Vec<u8>> {
    let is_64 = *head.get(4)? == 2;
    let is_big = *head.get(5)? == 2;
    let number = |bytes: &[u8], at: usize, length: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + length)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let (table, size, count) = match is_64 {
        true => (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?),
        false => (number(head, 28, 4)?, number(head, 42, 2)?, number(head, 44, 2)?),
    };
    let (size, count) = (usize::try_from(size).ok()?, usize::try_from(count).ok()?.min(MOST_SEGMENTS));
    let mut segments = vec![0; size * count];
    let read = read_at(file, &mut segments, table);
    for segment in segments[..read].chunks_exact(size.max(1)) {
        if number(segment, 0, 4)? == PT_INTERP {
            let (offset, length) = match is_64 {
                true => (number(segment, 8, 8)?, number(segment, 32, 8)?),
                false => (number(segment, 4, 4)?, number(segment, 16, 4)?),
            };
            let mut name = vec![0; usize::try_from(length).ok()?.min(LONGEST)];
            let read = read_at(file, &mut name, offset);
            name.truncate(read);
            return Some(name);
        }
    }
    None
}

/// Whether a program gets rights that its caller has not (setuid, setgid, file capabilities).
pub fn is_privileged(path: &Path, before: &Glimpse) -> bool {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let Glimpse::Something { stamp, user, group, .. } = before else { return false };
    let mode = State::permissions(stamp.mode);
    (mode & SET_USER != 0 && *user != geteuid().as_raw())
        || (mode & SET_GROUP == SET_GROUP && *group != getegid().as_raw())
        || (identity::gives_capabilities(path) && !identity::filters_freely())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_those_that_the_kernel_takes() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let of = |text: &[u8]| {
            std::fs::write(&script, text).unwrap();
            interpreter(&script)
        };
        assert_eq!(of(b"#! \t/bin/sh -e\nexit"), Some("/bin/sh".into()));
        assert_eq!(of(b"#!./tool"), Some("./tool".into()));
        assert_eq!(of(b"#!\n"), None);
        assert_eq!(of(b"# /bin/sh\n"), None);
        assert_eq!(of(b"\x7fELF\x02\x01"), None);
        let loader = interpreter(Path::new("/bin/sh")).unwrap();
        assert!(loader.starts_with("/lib64") || loader.starts_with("/lib"), "{loader:?}");
    }
}
