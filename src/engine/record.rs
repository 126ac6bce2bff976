//! Recording: from what a run left behind to a call in the store.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::cause;
use crate::exec::{Landing, Run, Status};
use crate::key;
use crate::model::{
    Call, Content, Grade, Key, Observation, Outcome, Output, OutputKind, PathSet, Reason, Sink, State, Stream,
};
use crate::store::{Claim, Durability, Pending, Recording, Spool, Store};

use super::arguments::Arguments;
use super::beyond::Beyond;
use super::checkout::Mark;
use super::isolation::Enclosure;
use super::lookup::{Binding, Keys, Sought};
use super::metadata;
use super::outputs::{self, Before, Bounds, Shelf};
use super::policy::Policy;
use super::recognise::shown_arguments;
use super::redaction::Redaction;
use super::standard_input::StandardInput;
use super::watching;

/// A run that took longer than this, in nanoseconds, is worth syncing to disk.
const WORTH_SYNCING: u64 = 1_000_000_000;
/// But not if it made bytes faster than this, in bytes a second: a disk is hardly faster, so syncing them would take
/// as long as making them anew after the power cut that may never come.
const FASTER_THAN_DISKS: u64 = 100_000_000;

/// A capture in progress: where the streams go.
pub struct Capture<'a> {
    store: &'a Store,
    sought: &'a Sought<'a>,
    policy: &'a Policy,
    arguments: &'a Arguments,
    why: &'a Reason,
    claim: Claim<'a>,
    stdout: Spool,
    stderr: Spool,
}

impl<'a> Capture<'a> {
    /// Ready to take bytes of a command that has to run for this reason.
    pub fn new(
        store: &'a Store,
        sought: &'a Sought<'a>,
        policy: &'a Policy,
        arguments: &'a Arguments,
        why: &'a Reason,
    ) -> Capture<'a> {
        let spool = || store.spool(policy.max_entry);
        let claim = store.claim_to_run(&sought.places.claimed());
        Capture { store, sought, policy, arguments, why, claim, stdout: spool(), stderr: spool() }
    }

    /// Where standard output and standard error go.
    pub fn sinks(&mut self) -> (&mut dyn Sink, &mut dyn Sink) {
        (&mut self.stdout, &mut self.stderr)
    }
}

/// Stores what `run` did, or says why not.
pub fn record(
    capture: Capture,
    run: &Run,
    input: &StandardInput,
    before: &Before,
    beyond: &Beyond,
    enclosure: Option<&Enclosure>,
) -> Result<crate::model::Key, Reason> {
    let Capture { store, sought, policy, arguments: copies, why, claim, stdout, stderr } = capture;
    let command = sought.command;
    let exit = storable_exit(run, policy)?;
    beyond.check_unused(command)?;
    let confirmed = key::confirm(
        sought.request,
        command,
        &sought.observed,
        store,
        &store.folders().map(Path::to_owned).collect::<Vec<_>>(),
    )?;
    let declared = confirmed.observations().to_vec();
    copies.confirm(store)?;
    let watched = match (sought.request.is_watched(), &run.trace) {
        (false, _) => None,
        (true, Some(trace)) => Some((trace, watching::observations(trace, sought, store, run.usage.started)?)),
        (true, None) => return Err(Reason::Unwatchable(run.unwatched.clone().unwrap_or_default())),
    };
    let shelf = Shelved::new(store, Mark::of(sought), enclosure)?;
    run.landings.check_alone(run.trace.as_ref())?;
    let keep_stream = |stream, is_captured, spool| match run.landings.at(stream) {
        Some(landing) => shelf.keep_landing(landing, policy.max_entry).map(Some),
        None => shelf.keep_stream(is_captured, spool),
    };
    let stdout = keep_stream(Stream::Stdout, command.streams.stdout, stdout)?;
    let stderr = keep_stream(Stream::Stderr, command.streams.stderr && !command.streams.same, stderr)?;
    run.landings.check_unchanged()?;
    let outputs = match &watched {
        Some((trace, _)) => {
            outputs::found(trace, &sought.places, run.usage.started..run.usage.stopped, policy.max_entry, &shelf)?
        }
        None => {
            let before = enclosure.map_or(before, Enclosure::before);
            let bounds = Bounds { before, ended: run.usage.stopped, most: policy.max_entry, inputs: rights(&declared) };
            let places = enclosure.map_or(&sought.places, Enclosure::places);
            let made = outputs::collect(places, &bounds, &sought.former(store), &sought.same(store), &shelf)?;
            match enclosure {
                Some(enclosure) => enclosure.recorded(made),
                None => made,
            }
        }
    };
    // Those of an isolated command were in a folder of its own.
    if enclosure.is_none() && claim.was_shared() {
        return Err(Reason::OutputShared("another command was at the same output".to_owned()));
    }
    shelf.check_private(&outputs)?;
    let looked_at = watched.map(|(_, observations)| observations);
    let observations = match &looked_at {
        Some(observations) => sought.beside_declared(observations.clone()),
        None => declared,
    };
    let binding = outputs.iter().fold(shelf.binding.get(), |binding, output| match (&output.kind, &shelf.mark) {
        (OutputKind::Link { target, .. }, Some(mark)) => binding.max(mark.of_link(target)),
        _ => binding,
    });
    let mut recording = shelf.recording.into_inner();
    recording.because(why);
    // What lies beside the root another checkout has beside its own.
    let is_shared = command.project && sought.request.is_watched();
    let looks_beside = is_shared && run.trace.as_ref().is_some_and(|trace| trace.leaves_root);
    let binding = if looks_beside { Binding::Root } else { binding };
    let key = Keys::new(command, &observations).of(binding);
    let secret = store.secret()?;
    let variables = key::variables(&sought.request.environment, &command.environment, &command.cwd)
        .map_err(|_| Reason::Internal)?;
    let redaction = Redaction::of(command);
    let observations = redaction.hide(observations, sought.request);
    let path_set = match looked_at {
        Some(observations) => Some(PathSet { key, observations }),
        // What nothing will ask for need not be written: a few paths are looked at as quickly as remembered, and only
        // outputs are held against what former calls made.
        None => (!sought.places.is_empty() || key::is_worth_remembering(&observations))
            .then(|| PathSet { key, observations: observations.clone() }),
    };
    check_untold(&redaction, &observations, &outputs, sought)?;
    let call = Call {
        key,
        command: command.digest,
        grade: match sought.request {
            request if request.is_watched() => Grade::Traced,
            request if request.pure => Grade::Pure,
            _ => Grade::Declared,
        },
        bound: binding == Binding::Root,
        argv: shown_arguments(command),
        program: command.program_path(),
        cwd: command.cwd.clone(),
        root: command.root.clone(),
        parts: command.sealed_parts(&secret),
        sealed_by: None,
        taken_over: false,
        variables: variables.iter().map(|variable| variable.recorded(&secret)).collect(),
        request: sought.request.recorded(),
        observations,
        outcome: Outcome {
            exit,
            stdout,
            stderr,
            transcript: run.transcript.clone(),
            outputs,
            stdin_consumed: input.consumed(),
        },
        metadata: metadata::of(run, &command.cwd),
        tags: tags(store, &key, policy),
    };
    recording.store(&call, durability(run.usage.wall, call.values().map(|content| content.length).sum()), path_set)?;
    confirmed.inventory().iter().for_each(|inventory| store.keep_inventory(inventory));
    Ok(key)
}

/// The tags of the run, and those of the call that it replaces: they are somebody's notes, and not the run's.
///
/// Whatever the reason to run was: a call that may not be replayed (its exit code, its age) is replaced all the same, and one
/// that was not there at the first look may be by now. While something is being recorded nobody else changes tags.
fn tags(store: &Store, key: &Key, policy: &Policy) -> BTreeMap<String, String> {
    let former = store.call(key).ok().flatten();
    let mut tags = former.map_or_else(BTreeMap::new, |call| call.tags);
    tags.extend(policy.tags.clone());
    tags
}

/// Fails if something that would be stored in clear tells of a redacted argument: a name of an output or of an input,
/// the text of a link, the program, a folder, a word of what was declared.
///
/// Storing a path without the word is no way out: a replay has to know where its files belong.
fn check_untold(
    redaction: &Redaction,
    observations: &[Observation],
    outputs: &[Output],
    sought: &Sought,
) -> Result<(), Reason> {
    let command = sought.command;
    if redaction.is_empty() {
        return Ok(());
    }
    let program = command.program_path();
    let folders = [command.cwd.as_path(), &command.root, &program];
    let links = outputs.iter().filter_map(|output| match &output.kind {
        OutputKind::Link { target, .. } => Some(target.as_slice()),
        _ => None,
    });
    let seen = observations.iter().map(|observation| observation.path.as_path());
    let followed = observations.iter().filter_map(|observation| match &observation.state {
        State::Link { target, .. } | State::Target(target) => Some(target.as_slice()),
        _ => None,
    });
    let paths = folders.into_iter().chain(seen).chain(outputs.iter().map(|output| output.path.as_path()));
    let words = sought.request.words().map(OsStr::as_bytes);
    let tells = |text: &[u8]| redaction.is_told_by(text);
    let mut texts = paths.map(|path| path.as_os_str().as_bytes()).chain(links).chain(followed).chain(words);
    match texts.any(tells) {
        true => Err(Reason::RedactedTold),
        false => Ok(()),
    }
}

/// The permission bits that all files among `observations` have.
fn rights(observations: &[Observation]) -> u32 {
    let mode = |state: &State| if let State::File { mode, .. } = state { *mode } else { 0o777 };
    let seen = |observation: &Observation| match &observation.state {
        State::Link { behind, .. } => mode(behind),
        state => mode(state),
    };
    observations.iter().map(seen).fold(0o777, |all, mode| all & mode)
}

/// Whether a call that took `wall` nanoseconds and made `bytes` is to survive a power cut.
fn durability(wall: u64, bytes: u64) -> Durability {
    let is_dear = wall > WORTH_SYNCING && bytes / FASTER_THAN_DISKS <= wall / 1_000_000_000;
    if is_dear { Durability::Synced } else { Durability::Buffered }
}

/// The exit code of a run that may be stored.
fn storable_exit(run: &Run, policy: &Policy) -> Result<u8, Reason> {
    if let Some(why) = &run.cut_short {
        return Err(Reason::CutShort(why.reason().to_owned()));
    }
    if run.left_behind {
        return Err(Reason::LeftBehind);
    }
    match run.status {
        Status::Signalled(signal) => Err(Reason::Signal(signal)),
        // A shell's words for "not found" and "not executable": the next run may find it.
        Status::Exited(code @ (126 | 127)) => Err(Reason::Exit(code)),
        Status::Exited(code) if policy.keeps_exit(code) => Ok(code),
        Status::Exited(code) => Err(Reason::Exit(code)),
    }
}

/// The store as a shelf for what a run made; looks in what is put there for what tells of the checkout.
///
/// Every value is kept at once, because many that are pending would be as many open files.
struct Shelved<'a> {
    store: &'a Store,
    recording: RefCell<Recording<'a>>,
    mark: Option<Mark>,
    binding: Cell<Binding>,
    /// The private folder's name, where the run had one, and whether anything tells of it.
    private: Option<&'a [u8]>,
    tells: Cell<bool>,
}

impl<'a> Shelved<'a> {
    fn new(store: &'a Store, mark: Option<Mark>, enclosure: Option<&'a Enclosure>) -> Result<Shelved<'a>, Reason> {
        let (recording, binding) = (RefCell::new(store.recording()?), Cell::new(Binding::Free));
        let private = enclosure.map(Enclosure::mark);
        Ok(Shelved { store, recording, mark, binding, private, tells: Cell::new(false) })
    }

    /// Refuses a result that tells of a private folder: that is gone when it is replayed.
    fn check_private(&self, outputs: &[Output]) -> Result<(), Reason> {
        let leads_there = |output: &Output, mark: &[u8]| match &output.kind {
            OutputKind::Link { target, .. } => memchr::memmem::find(target, mark).is_some(),
            _ => false,
        };
        let leads = self.private.is_some_and(|mark| outputs.iter().any(|output| leads_there(output, mark)));
        if self.tells.get() || leads { Err(Reason::PrivateFolderTold) } else { Ok(()) }
    }

    fn keep(&self, pending: Pending) -> Result<Content, Reason> {
        if let Some(mark) = self.mark.as_ref().filter(|_| self.binding.get() < Binding::Root) {
            let binding = mark.of_value(&pending).map_err(|why| Reason::StoreUnusable(cause(&why)))?;
            self.binding.set(self.binding.get().max(binding));
        }
        if let Some(private) = self.private {
            let tells = pending.contains(private).map_err(|why| Reason::StoreUnusable(cause(&why)))?;
            self.tells.set(self.tells.get() || tells);
        }
        self.recording.borrow_mut().keep(pending)
    }

    fn keep_stream(&self, is_captured: bool, stream: Spool) -> Result<Option<Content>, Reason> {
        let pending = stream.finish()?;
        if is_captured { self.keep(pending).map(Some) } else { Ok(None) }
    }

    fn keep_landing(&self, landing: &Landing, most: u64) -> Result<Content, Reason> {
        self.keep(self.store.ingest(landing.file(), most)?)
    }
}

impl Shelf for Shelved<'_> {
    fn ingest(&self, file: &File, most: u64) -> Result<Content, Reason> {
        self.keep(self.store.ingest(file, most)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_synced_unless_the_disk_would_take_as_long() {
        assert_eq!(durability(900_000_000, 10), Durability::Buffered);
        assert_eq!(durability(1_100_000_000, 10), Durability::Synced);
        assert_eq!(durability(2_000_000_000, 200_000_000), Durability::Synced);
        assert_eq!(durability(2_000_000_000, 2_000_000_000), Durability::Buffered);
        assert_eq!(durability(60_000_000_000, 2_000_000_000), Durability::Synced);
    }
}
