//! Watching: what a command may do unseen, and what to make of what was seen.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::exec::trace::{Descriptor0, Network, Vain, Watch};
use crate::key::{self, Ended, Scratch};
use crate::model::{
    Command, Glimpse, Isolation, Kept, Observation, Program, Reason, Request, Touch, Trace, UNOBSERVED, WatchMode,
};
use crate::store::Store;
use crate::sys::{descriptor, identity};

use super::lookup::Sought;
use super::outputs::Places;
use super::redaction::Redaction;
use super::standard_input::StandardInput;

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
    let scratch = Scratch::new(&request.watching.scratch, &command.cwd)?;
    Ok(Watch {
        root: Some(command.root.clone()),
        apart: store.folders().map(Path::to_owned).collect(),
        scratch: Arc::new(move |path| scratch.holds(path)),
        kept: key::kept(&command.environment, &command.root),
        network: if request.watching.network { Network::Allowed } else { Network::Refused },
        stdin: if input.is_not_to_be_read() { Descriptor0::Watched } else { Descriptor0::Unwatched },
        vain: Vain::Break,
    })
}

/// What to watch an isolated command for: what it looks for and does not find. `None` where that is not wanted, and where it
/// would not do the same if it were watched.
pub fn for_hints(sought: &Sought, store: &Store) -> Option<Watch> {
    let is_wanted = sought.request.watching.mode == WatchMode::Auto;
    let is_free = || identity::filters_freely() || sought.request.isolation == Isolation::Strict;
    let is_harmless = || match &sought.command.program {
        Program::Found(program) => is_free() || !identity::gives_rights(&sought.command.cwd.join(program)),
        Program::NotFound | Program::NotExecutable => false,
    };
    let may_be = is_wanted && is_harmless() && sought.path_sets(store).unwatchable.is_none();
    may_be.then(|| Watch {
        root: None,
        apart: Vec::new(),
        scratch: Arc::new(|_| false),
        kept: Kept::default(),
        network: Network::Allowed,
        stdin: Descriptor0::Unwatched,
        vain: Vain::Whole,
    })
}

/// Refuses to watch a command that would not do the same if it were watched, as [`check_rights`] or a former run tells.
///
/// # Errors
///
/// [`Reason::Unwatched`] or [`Reason::Privileged`].
pub fn check_watchable(sought: &Sought, store: &Store) -> std::result::Result<(), Reason> {
    if !sought.request.is_watched() {
        return Ok(());
    }
    if let Some(why) = &sought.path_sets(store).unwatchable {
        return Err(Reason::Unwatched(why.clone()));
    }
    check_rights(sought)
}

/// Refuses to watch a program with rights of its own, which it would not get, and where nothing would be observed.
///
/// # Errors
///
/// [`Reason::Privileged`], [`Reason::Unwatchable`].
pub fn check_rights(sought: &Sought) -> std::result::Result<(), Reason> {
    if !sought.request.is_watched() {
        return Ok(());
    }
    let root = &sought.command.root;
    if UNOBSERVED.iter().any(|never| root.starts_with(never)) {
        return Err(Reason::Unwatchable(format!("nothing is observed in `{}`", root.display())));
    }
    if identity::filters_freely() {
        return Ok(());
    }
    match &sought.command.program {
        Program::Found(program) if identity::gives_rights(&sought.command.cwd.join(program)) => {
            Err(Reason::Privileged(key::recorded(program, &sought.command.root)))
        }
        _ => Ok(()),
    }
}

/// Why a run that was watched may not have done what it does otherwise.
pub fn disturbance(trace: &Trace) -> Option<&Reason> {
    trace.refusals.iter().find(|refusal| match refusal {
        Reason::Privileged(_) => !identity::filters_freely(),
        Reason::Disturbed(_) => true,
        _ => false,
    })
}

/// Remembers that a command is not to be watched again.
pub fn remember(disturbance: &Reason, sought: &Sought, store: &Store) {
    if sought.request.is_watched() || sought.request.is_isolated() {
        let disturbance = Redaction::of(sought.command).reason(disturbance.clone());
        let why = match of_record(&disturbance, &sought.command.root) {
            Reason::Disturbed(how) => how,
            other => other.to_string(),
        };
        // Where it cannot be written, the next run tells again.
        let _ = store.recording().and_then(|recording| recording.refuse_watching(&sought.command.digest, &why));
    }
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
    if let Some(path) = own_output(trace) {
        return Err(Reason::OwnOutput(key::recorded(path, &command.root)));
    }
    let scratch = Scratch::new(&sought.request.watching.scratch, &command.cwd);
    let scratch = scratch.map_err(|_| Reason::Internal)?;
    let ended = Ended {
        root: &command.root,
        cwd: &command.cwd,
        known: sought.path_sets(store).table(),
        memory: store,
        started,
        is_unwatched: &|path| store.folders().any(|folder| path.starts_with(folder)) || scratch.holds(path),
    };
    key::from_trace(trace, &ended)
}

/// The file that standard output or standard error leads to, if the command opened or changed it by a name: what it found there
/// depends on how far it was.
fn own_output(trace: &Trace) -> Option<&Path> {
    let is_own_output = |touch: &Touch| match &touch.before {
        Glimpse::Something { stamp, .. } if touch.seen.content || touch.made.changed => {
            descriptor::is_behind_a_stream(stamp.device, stamp.inode)
        }
        _ => false,
    };
    trace.touched.iter().find(|(_, touch)| is_own_output(touch)).map(|(path, _)| path.as_path())
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
        Reason::Attributes(path) => Reason::Attributes(record(path)),
        Reason::Machine(path) => Reason::Machine(record(path)),
        Reason::OwnAge(path) => Reason::OwnAge(record(path)),
        Reason::NoImage(path) => Reason::NoImage(record(path)),
        Reason::InputUnreadable(path, why) => Reason::InputUnreadable(record(path), why.clone()),
        other => other.clone(),
    }
}
