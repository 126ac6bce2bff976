//! Ancestors that have a file open for writing and stand still: a shell that waits for what it started.
//!
//! `dash` opens `cmd > file` before it forks, and each shell has the file of `{ a; b; } > file`. It writes nothing while it waits,
//! and if it does not wait (`a & b > file`), it shows: the kernel counts the writes of a process, with those of its
//! children that it has collected (`/proc/PID/io`, see proc(5)); the others still have the file open.

use std::ffi::OsStr;

use rustix::process::getpid;

use super::holders::{self, Holding, Label};
use super::process::glance;

/// Programs that run one command after the other and wait.
const SHELLS: [&str; 11] = ["sh", "dash", "bash", "busybox", "ash", "ksh", "ksh93", "mksh", "yash", "posh", "zsh"];
/// So far from the first process another one is at most.
const MOST_GENERATIONS: usize = 10_000;

/// A shell that waits, and how often it had written.
#[derive(Debug)]
pub struct Bystander {
    process: i32,
    writes: u64,
}

impl Bystander {
    fn of(process: i32) -> Option<Bystander> {
        let program = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
        let is_shell = SHELLS.iter().any(|shell| program.file_name() == Some(OsStr::new(shell)));
        is_shell.then(|| writes(process)).flatten().map(|writes| Bystander { process, writes })
    }

    /// Which process it is.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Whether it, or something else that it started and that has ended, may have written since.
    pub fn has_written(&self) -> bool {
        writes(self.process) != Some(self.writes)
    }
}

/// The ancestors of this process that have the file open for writing; `None` where one of them may write by itself while it waits
/// for another, or where that cannot be told.
pub fn of(label: &Label) -> Option<Vec<Bystander>> {
    let mut bystanders = Vec::new();
    let mut process = getpid().as_raw_nonzero().get();
    for generation in 0..MOST_GENERATIONS {
        process = match glance(process)? {
            // One outside of what can be seen from here.
            (_, 0) => return (generation > 0).then_some(bystanders),
            (_, parent) => parent,
        };
        match holders::holding(process, &[label]) {
            Holding::Yes => bystanders.push(Bystander::of(process)?),
            Holding::Untold if generation == 0 => return None,
            Holding::Untold | Holding::No => {}
        }
    }
    None
}

/// How often a process, and the children that it has collected, called write(2) and the like.
fn writes(process: i32) -> Option<u64> {
    let counts = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    counts.lines().find_map(|line| line.strip_prefix("syscw: ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn nobody_stands_by_at_a_file_that_only_this_process_has() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(of(&Label::of(file.as_file().as_fd()).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn who_writes_shows() {
        use std::io::Write;
        let own = std::process::id() as i32;
        let bystander = Bystander { process: own, writes: writes(own).unwrap() };
        tempfile::tempfile().unwrap().write_all(b"x").unwrap();
        assert!(bystander.has_written());
        // Whoever runs the tests is no shell.
        assert!(Bystander::of(own).is_none());
    }
}
