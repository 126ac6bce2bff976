//! What `/proc` tells of the process that holds a lock, and of our own ancestors.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::parent_id;

/// Longer chains of parents are not believed.
const GENERATIONS: usize = 256;

/// The processes that this one descends from, as far as they can be seen.
#[derive(Debug)]
pub(super) struct Ancestors {
    processes: Vec<u32>,
    nested: bool,
}

impl Ancestors {
    /// Those of this process.
    pub fn of_this_process() -> Ancestors {
        let mut processes = Vec::new();
        let mut next = parent_id();
        while next > 0 && processes.len() < GENERATIONS {
            processes.push(next);
            next = status(next).map_or(0, |status| status.parent);
        }
        let ourselves = executable("self");
        let nested = ourselves.is_some() && processes.iter().any(|pid| executable(&pid.to_string()) == ourselves);
        Ancestors { processes, nested }
    }

    /// Whether `process` is one of them: it waits for us, so we must not wait for it.
    pub fn include(&self, process: u32) -> bool {
        self.processes.contains(&process)
    }

    /// Whether one of them runs the same executable: it may hold what somebody waits for.
    pub fn are_nested(&self) -> bool {
        self.nested
    }
}

/// Whether a process is stopped, by a signal or a debugger, and so will not go on by itself.
pub(super) fn is_stopped(process: u32) -> bool {
    status(process).is_some_and(|status| matches!(status.state, b'T' | b't'))
}

#[derive(Debug, PartialEq)]
struct Status {
    state: u8,
    parent: u32,
}

fn status(process: u32) -> Option<Status> {
    parse(&fs::read(format!("/proc/{process}/stat")).ok()?)
}

/// See `proc_pid_stat(5)`. The second field is the program's name in parentheses and may hold anything, parentheses too.
fn parse(stat: &[u8]) -> Option<Status> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat.get(end_of_name + 1..)?.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let parent = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    Some(Status { state, parent })
}

/// The file that a process executes. Not by its path, which changes when a newer program is installed over it.
fn executable(process: &str) -> Option<(u64, u64)> {
    let metadata = fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let expected = Some(Status { state: b'T', parent: 77 });
        assert_eq!(parse(b"12 (a) R 5 (b) T 77 12 0"), expected);
        assert_eq!(parse(b"12 (a\n) T 77"), expected);
        for odd in [&b""[..], b")", b") T", b"12 (a) T x"] {
            assert_eq!(parse(odd), None);
        }
    }

    #[test]
    fn our_parent_is_an_ancestor_and_we_are_not() {
        let ancestors = Ancestors::of_this_process();
        assert!(ancestors.include(parent_id()));
        assert!(!ancestors.include(std::process::id()));
        // What the kernel says of a process that is not to be seen from here.
        assert!(!ancestors.include(0));
        assert!(!ancestors.are_nested());
        assert!(executable("self").is_some());
        assert_eq!(executable("self"), executable(&std::process::id().to_string()));
    }

    #[test]
    fn a_stopped_process_is_told_from_a_running_one() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = rustix::process::Pid::from_child(&child);
        assert!(!is_stopped(child.id()));
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
        // Returns once it has stopped.
        rustix::process::waitpid(Some(process), rustix::process::WaitOptions::UNTRACED).unwrap();
        assert!(is_stopped(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
