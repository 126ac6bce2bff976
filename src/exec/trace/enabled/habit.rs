//! Programs of which it is known what they go by when they ask stat(2): less than it tells, or more.

use std::collections::HashMap;
use std::path::Path;

use crate::sys::clock;
use crate::sys::tracee::Tracee;

/// What a program goes by when it asks stat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Whether something is there, and what.
    Blind,
    /// What it is told.
    Plain,
    /// Whether a file may be another one by now.
    Wary,
    /// Each single thing that it is told.
    Exact,
    /// The times of what it opens as well.
    Dating,
}

/// How long it is believed of a thread that it executes the same program unless it was seen to execute another one, in
/// nanoseconds: no id is given to another process so soon.
const SAME_PROGRAM: u64 = 100_000_000;

/// Threads of which it is known what their programs go by, and since when, by the monotonic clock.
#[derive(Default)]
pub struct Habits(HashMap<i32, (Habit, u64)>);

impl Habits {
    /// What the program that a thread executes goes by.
    pub fn of(&mut self, tracee: Tracee) -> Habit {
        let now = clock::monotonic();
        match self.0.get(&tracee.id()) {
            Some((habit, since)) if now.saturating_sub(*since) < SAME_PROGRAM => return *habit,
            _ => {}
        }
        let habit = match tracee.program() {
            Some(program) if is_blind(&program) => Habit::Blind,
            Some(program) if is_wary(&program) => Habit::Wary,
            Some(program) if is_exact(&program) => Habit::Exact,
            Some(program) if is_dating(&program) => Habit::Dating,
            _ => Habit::Plain,
        };
        self.0.insert(tracee.id(), (habit, now));
        habit
    }

    /// Some thread executes another program.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// Those to which size, times and owner of a file make no difference, by the names of their files, without the prefix of a
/// target and the suffix of a version.
const BLIND: &[&str] = &[
    "cc1",
    "cc1plus",
    "cc1obj",
    "f951",
    "collect2",
    "lto1",
    "lto-wrapper",
    "as",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "mold",
    "gcc",
    "g++",
    "cc",
    "c++",
    "cpp",
    "clang",
    "clang++",
    "rustc",
    "nm",
];

/// Those that take a file for changed if its inode or the time of its last change of status is another. No key can tell of
/// these, since a copy has others; but the bytes tell what such a program would find out.
const WARY: &[&str] = &["git"];

/// Those that ask for all only if they are to print it.
const EXACT: &[&str] = &["stat"];

/// Whether the program at `path` shows all that it asks for.
fn is_exact(path: &Path) -> bool {
    is_among(EXACT, path)
}

/// Those that ask fstat(2), at which nobody is watched, for the time of what they have opened, and write it down or give it to
/// what they make.
const DATING: &[&str] =
    &["gzip", "pigz", "bzip2", "pbzip2", "xz", "zstd", "lz4", "lzip", "plzip", "lzop", "brotli", "compress", "pr"];

/// Whether the program at `path` goes by the times of what it opens.
pub fn is_dating(path: &Path) -> bool {
    is_among(DATING, path)
}

fn is_among(names: &[&str], path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(&name))
}

/// Whether the program at `path` goes by more than size, times and owner of a file.
pub fn is_wary(path: &Path) -> bool {
    is_among(WARY, path)
}

/// Whether size, times and owner of a file make no difference to the program at `path`.
fn is_blind(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = without_version(name);
    // `x86_64-linux-gnu-gcc`, but not `my-cc`.
    let bare = match name.rsplit_once('-') {
        Some((target, bare)) if target.contains('-') => bare,
        Some(_) if name != "lto-wrapper" => return false,
        _ => name,
    };
    BLIND.contains(&bare) || BLIND.contains(&name)
}

/// `gcc-12` and `clang-16.0` without what follows the hyphen.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((bare, version)) if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            bare
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_known_by_their_names() {
        let blind = |name: &str| is_blind(&Path::new("/usr/bin").join(name));
        for name in
            ["cc1", "gcc-12", "x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-ld.bfd", "clang++-16.0", "lto-wrapper"]
        {
            assert!(blind(name), "{name}");
        }
        for name in ["make", "tar", "ar", "my-cc", "gcc-ng", "find", "x86_64-linux-gnu-make", "ccache"] {
            assert!(!blind(name), "{name}");
        }
    }
}
