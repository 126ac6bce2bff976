//! Running commands as if fleche were not there.
//!
//! [`replace`] puts the command in fleche's place, for whatever will not be stored. [`capture()`] runs it as a child
//! between whose streams and the caller's stands a pump that keeps what passes; a stream that is a file of the command's
//! alone ([`Landings`]) needs none. Either way the command gets the
//! caller's signal dispositions, mask, limits, umask and descriptors; what fleche needs otherwise it undoes in
//! the child.

mod capture;
mod channel;
#[cfg(fuzzing)]
pub mod fuzzing;
mod isolation;
mod landing;
mod passing;
mod probe;
mod recorder;
mod stdin;
pub mod trace;

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::model::{Trace, Transcript, Usage};
use crate::sys::image::{self, Image};
use crate::sys::process;

pub use crate::sys::child::Status;
pub use crate::sys::confinement::Refusal;
pub use crate::sys::process::end_like;
pub use capture::capture;
pub use channel::Target;
pub use isolation::{Place, Shown, Sight, View, holds_system, is_system};
pub use landing::{Landing, Landings};
pub use probe::probe;
use stdin::Stdin;

/// What to start.
pub struct Launch<'a> {
    /// The file to execute, already looked up.
    pub program: &'a Path,
    /// The arguments, the name that the command is to see first.
    pub argv: &'a [OsString],
    /// The entries of the environment, in order.
    pub environment: &'a [OsString],
    /// What the command reads.
    pub stdin: Input,
    /// Where it is started. The program, where it is relative, is looked for from there.
    pub place: Place,
}

/// What a command gets as its standard input.
pub enum Input {
    /// The caller's, untouched.
    Inherited,
    /// `/dev/null`.
    Null,
    /// An open file, from its current offset.
    File(OwnedFd),
    /// A pipe through which it gets these, one after the other.
    Feed {
        /// A file, from its start.
        spooled: OwnedFd,
        /// Bytes that were read from the caller but not spooled.
        pending: Vec<u8>,
        // Then what is left of the caller's descriptor 0.
    },
}

/// Where what the command writes goes, beside the sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// To the caller's descriptors 1 and 2, at once.
    Caller,
    /// Nowhere: the caller is gone.
    Nowhere,
}

/// Why a command did not start.
#[derive(Debug)]
pub enum StartError {
    /// There is no such file: 127.
    NotFound(io::Error),
    /// There is one, but it cannot be executed: 126.
    NotExecutable(io::Error),
    /// fleche could not make a process or pipe for it. Nothing of the caller's was touched: [`replace`] may
    /// still do.
    NoProcess(io::Error),
    /// It was to be started where it sees less, and that cannot be. Nothing was run.
    NotConfined(Refusal),
}

impl StartError {
    /// What a failed `execve` means; as env(1) sees it, only a missing file is not found.
    fn of_execve(error: io::Error) -> StartError {
        match error.kind() {
            io::ErrorKind::NotFound => StartError::NotFound(error),
            _ => StartError::NotExecutable(error),
        }
    }
}

/// A command that ran.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub status: Status,
    /// Why bytes were lost or its status is in doubt, so that the run must not be stored.
    pub cut_short: Option<Cut>,
    /// Whether another process can still write to its streams: what the sinks got is not all.
    pub left_behind: bool,
    /// Signals that reached fleche while it ran, other than those that it sent itself.
    pub heard: Vec<i32>,
    /// Which stream got how much when; what the command wrote to a file by itself comes last and at once.
    pub transcript: Transcript,
    /// The streams that are files to which the command wrote by itself: the sinks got nothing of them.
    pub landings: Landings,
    /// When it was, and what it took.
    pub usage: Usage,
    /// What it and all that it started did to the file system, if that was to be watched and could be.
    pub trace: Option<Trace>,
    /// Why it could not be watched, if so.
    pub unwatched: Option<String>,
}

/// Why not all is known of what a command did.
#[derive(Debug)]
pub enum Cut {
    /// The caller's reader left, as it may, or too much happened to be recorded.
    Harmless(String),
    /// Bytes were lost to a fault of which the command may not know.
    Failed(String),
}

impl Cut {
    /// What happened.
    pub fn reason(&self) -> &str {
        match self {
            Cut::Harmless(reason) | Cut::Failed(reason) => reason,
        }
    }
}

/// Becomes the command: same process, the caller's dispositions, mask and descriptors. Returns only to say why
/// that failed.
pub fn replace(launch: &Launch) -> StartError {
    let image = match lay_out(launch) {
        Ok(image) => image,
        Err(error) => return error,
    };
    let mut stdin = match Stdin::of(&launch.stdin) {
        Ok(stdin) => stdin,
        Err(error) => return StartError::NoProcess(error),
    };
    if let Some(feed) = stdin.feed.take()
        && let Err(error) = feed.run_apart()
    {
        return StartError::NoProcess(error);
    }
    StartError::of_execve(image::replace(&image, &[stdin.descriptor(), None, None]))
}

/// Runs `work` in a process that outlives fleche and has nothing of its caller's: its own session, `stdin` or else
/// `/dev/null` as descriptor 0, `/dev/null` as 1 and 2, none of the caller's others. fleche's own descriptors stay open
/// in it. Fails if no process can be made.
pub fn background(stdin: Option<BorrowedFd>, work: impl FnOnce()) -> io::Result<()> {
    process::orphan(|| process::let_go_of_caller(stdin), work)
}

/// Lays the command out for `execve`; no process can be given a string with a zero byte.
fn lay_out(launch: &Launch) -> Result<Image, StartError> {
    let image = Image::new(launch.program, launch.argv, launch.environment).map_err(StartError::NotExecutable)?;
    Ok(image.within(launch.place.surroundings().map_err(StartError::NotExecutable)?))
}
