//! Watching: what a command may do unseen, and what to make of what was seen.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Result;
use std::sync::Arc;

use crate::exec::trace::{Descriptor0, Network, Watch};
use crate::key::{self, Ended, Scratch};
use crate::model::{Command, Observation, Reason, Request, Trace};
use crate::store::Store;

use super::lookup::Sought;
use super::outputs::Places;
use super::standard_input::StandardInput;

/// Folders for files that nobody else is to know.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Where a watched command may leave outputs.
///
/// # Errors
///
/// Words of `-o` that are malformed.
pub fn places(request: &Request, command: &Command) -> Result<Places> {
    let real = |word: &OsString| {
        let path = key::lexical(&command.cwd, Path::new(word));
        path.canonicalize().unwrap_or(path)
    };
    let writable: Vec<PathBuf> = request.watching.writable.iter().map(real).collect();
    Places::watched(&request.outputs, &writable, &command.cwd, &command.root)
}

/// What the command may do unseen.
///
/// # Errors
///
/// A malformed glob.
pub fn rules(request: &Request, command: &Command, input: &StandardInput, store: &Store) -> Result<Watch> {
    let scratch = Scratch::new(&request.watching.scratch, &command.environment, &command.cwd, &command.root)?;
    Ok(Watch {
        apart: vec![store.folder().to_owned()],
        scratch: Arc::new(move |path| scratch.holds(path)),
        network: if request.watching.network { Network::Allowed } else { Network::Refused },
        stdin: if input.is_not_to_be_read() { Descriptor0::Watched } else { Descriptor0::Unwatched },
    })
}

/// What counts of what was seen, in key order.
///
/// # Errors
///
/// The reason not to store the call.
pub fn observations(
    trace: &Trace,
    sought: &Sought,
    store: &Store,
    started: i64,
) -> std::result::Result<Vec<Observation>, Reason> {
    if let Some(refusal) = trace.refusals.first() {
        return Err(of_record(refusal, &sought.command.root));
    }
    if trace.stdin_used {
        return Err(Reason::StdinRead);
    }
    let command = sought.command;
    let scratch = Scratch::new(&sought.request.watching.scratch, &command.environment, &command.cwd, &command.root);
    let scratch = scratch.map_err(|_| Reason::Internal)?;
    let ended = Ended {
        root: &command.root,
        temporaries: &temporary_folders(command),
        known: sought.path_sets(store).table(),
        memory: store,
        started,
        is_unwatched: &|path| path.starts_with(store.folder()) || scratch.holds(path),
    };
    key::from_trace(trace, &ended)
}

/// The same with its path as users know it.
fn of_record(refusal: &Reason, root: &Path) -> Reason {
    let record = |path: &Path| key::recorded(path, root);
    match refusal {
        Reason::Socket(path) => Reason::Socket(record(path)),
        Reason::Device(path) => Reason::Device(record(path)),
        Reason::HardLink(path) => Reason::HardLink(record(path)),
        Reason::Privileged(path) => Reason::Privileged(record(path)),
        Reason::Identity(path) => Reason::Identity(record(path)),
        Reason::NoImage(path) => Reason::NoImage(record(path)),
        other => other.clone(),
    }
}

/// The folders for temporary files, by their real names; none in which the root lies.
fn temporary_folders(command: &Command) -> Vec<PathBuf> {
    let named = key::variable(&command.environment, b"TMPDIR").map(PathBuf::from);
    let all = TEMPORARY.iter().map(PathBuf::from).chain(named.filter(|path| path.is_absolute()));
    all.map(|path| path.canonicalize().unwrap_or(path)).filter(|path| !command.root.starts_with(path)).collect()
}
