//! Watching a command: which files it and all that it starts look at and change, told by the kernel before each call.
//!
//! A filter (seccomp user notification) makes each system call that names a file, or reaches beyond the command, wait until a
//! thread of fleche has looked at what is there and lets it go on. ptrace(2) is not used: a process has room for one tracer,
//! which strace, gdb and LeakSanitizer want to be, and the listener of a filter is a descriptor, so that a guard in a process
//! of its own can hold it too and answer when fleche is gone.
//!
//! What counts is in [`Trace`]. Nothing here decides what may be stored.

#[cfg(all(target_os = "linux", target_pointer_width = "64", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod enabled;
#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "disabled.rs"]
mod enabled;
pub mod nested;
mod never;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::model::{Kept, Trace};

pub(super) use enabled::{Sieve, Watcher, sieve, start};

/// What to watch a command for, and what to pass over.
#[derive(Clone)]
pub struct Watch {
    /// The folder below which a checkout has all that is its own, absolute and without links; `None` where it is not known.
    pub root: Option<PathBuf>,
    /// Folders that are no business of the command's, as fleche's store: absolute, without links.
    pub apart: Vec<PathBuf>,
    /// What the user says is neither input nor output: asked with absolute paths without links; of what it holds for, nothing
    /// is noted.
    pub scratch: Arc<dyn Fn(&Path) -> bool + Send + Sync>,
    /// Where programs keep caches for themselves.
    pub kept: Kept,
    /// Whether the use of the network is a refusal.
    pub network: Network,
    /// Whether uses of descriptor 0 are noted.
    pub stdin: Descriptor0,
    /// What is noted of a path that leads through something that is not there.
    pub vain: Vain,
}

pub use crate::sys::sieve::Descriptor0;

/// What the use of the network means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// What comes through it may be another thing each time.
    Refused,
    /// The caller has said that it counts not.
    Allowed,
}

/// What is noted of a path that leads through something that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vain {
    /// What is not there: as long as it is not, nothing can be below it.
    Break,
    /// The whole path too, for people who want to know what was looked for.
    Whole,
}

/// Who watches a command.
pub(super) enum Attendant {
    /// A watcher of its own.
    Own(Watcher),
    /// That of the command which fleche itself belongs to.
    Outer(nested::Scope),
}

impl Attendant {
    /// What was seen, to be asked when the command has ended.
    pub(super) fn finish(self) -> Trace {
        match self {
            Attendant::Own(watcher) => watcher.finish(),
            Attendant::Outer(scope) => scope.finish(),
        }
    }
}

/// What it means that a filter cannot be installed.
pub(super) fn why(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        // The kernel gives a process one listener.
        Some(Errno::BUSY) => "another program watches it already".into(),
        Some(Errno::INVAL | Errno::NOSYS) => "the kernel has no seccomp notifications".into(),
        _ => error.to_string(),
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("apart", &self.apart)
            .field("network", &self.network)
            .field("stdin", &self.stdin)
            .finish_non_exhaustive()
    }
}
