//! Running a recorded command again in a private folder, to see whether it does the same: as `GODEBUG=gocacheverify=1` does
//! for Go's build cache.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::cause;
use crate::exec::{self, Forward, Launch, Run, Status};
use crate::model::{Call, Command, Content, Grade, Isolation, Output, OutputKind, Program, Reason, State, Stdin};
use crate::store::{Pending, Store};
use crate::sys::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::Halt;
use super::again::with_variable;
use super::arguments::Arguments;
use super::lookup::Sought;
use super::mirror::{Mirror, OwnedFolders, way_out};
use super::outputs::{self, Bounds, Former, Shelf};
use super::policy::MAX_ENTRY;
use super::proof::{Proven, proven};

/// What another run of a recorded command showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rechecked {
    /// It did what is recorded.
    Same,
    /// It did something else: what differs.
    Different(String),
    /// It could not be run so that the answer would mean something: why.
    Skipped(String),
    /// This signal reached fleche meanwhile: somebody wants it to end.
    Interrupted(i32),
}

/// Runs the command of `call` again in a private folder, which holds copies of its inputs and vanishes, and compares what it
/// does with the record. Nothing of the caller's is written, as far as arguments, declared paths and the
/// environment tell; where they may lead elsewhere, and where something is not what it was, it is not run.
pub fn recheck(store: &Store, call: &Call) -> Rechecked {
    let is_owned = |output: &Output| matches!(output.kind, OutputKind::Folder { owned: true, .. });
    match attempt(store, call, OwnedFolders::Missing) {
        Ok(Rechecked::Different(what)) if call.outcome.outputs.iter().any(is_owned) => {
            match attempt(store, call, OwnedFolders::Made) {
                Ok(Rechecked::Same) => Rechecked::Same,
                Ok(Rechecked::Interrupted(signal)) => Rechecked::Interrupted(signal),
                _ => Rechecked::Different(what),
            }
        }
        Ok(verdict) => verdict,
        Err(why) => Rechecked::Skipped(why),
    }
}

fn attempt(store: &Store, call: &Call, owned: OwnedFolders) -> Result<Rechecked, String> {
    if call.grade == Grade::Traced {
        return Err(
            "what it reads was found by watching it, and a private folder may lack what it looks for".to_owned()
        );
    }
    if call.bound {
        return Err("its result belongs to its checkout".to_owned());
    }
    let secret = store.secret().map_err(|reason| reason.to_string())?;
    let Proven { request, stored, command, mut input } = proven(call, store, &secret, &[])?;
    if command.stdin == Stdin::Closed {
        return Err("its standard input was closed".to_owned());
    }
    // Nothing leads out of a view.
    let is_strict = request.isolation == Isolation::Strict;
    if let Some(why) = way_out(call, &command).filter(|_| !is_strict) {
        return Err(why);
    }
    check_inputs(call, store, &Sought::new(&request, &command, store).map_err(told)?)?;
    let mirror = Mirror::of(store, call, &request, &command, owned)?;
    let places = mirror.places(&request)?;
    let before = outputs::before(&places);
    let Program::Found(program) = &command.program else { return Err("its program is gone".to_owned()) };
    let environment = if is_strict { command.environment.clone() } else { environment_in(&command, &mirror)? };
    let arguments = match stored.is_empty() {
        true => Arguments::default(),
        false => Arguments::kept(stored, store.reopened().map_err(|reason| reason.to_string())?),
    };
    arguments.prepare().map_err(|error| error.to_string())?;
    let argv = arguments.executed(&command.argv);
    let launch =
        Launch { program, argv: &argv, environment: &environment, stdin: input.take(), place: mirror.place.clone() };
    let (mut stdout, mut stderr) = (store.spool(MAX_ENTRY), store.spool(MAX_ENTRY));
    let run = exec::capture(&launch, None, command.streams, Forward::Nowhere, &mut stdout, &mut stderr);
    let run = run.map_err(|_| "it could not be started".to_owned())?;
    if let Some(signal) = interruption(&run) {
        return Ok(Rechecked::Interrupted(signal));
    }
    if run.cut_short.is_some() || run.left_behind {
        return Err("not all of its output was seen".to_owned());
    }
    arguments.confirm(store).map_err(|reason| reason.to_string())?;
    let shelf = Seen { store, mark: mirror.mark(), is_marked: Cell::new(false) };
    let streams = [("standard output", &call.outcome.stdout, stdout), ("standard error", &call.outcome.stderr, stderr)];
    let mut differing = Vec::new();
    match run.status {
        // What it had written by then tells nothing more.
        Status::Signalled(signal) => return Ok(Rechecked::Different(format!("ended by signal {signal}"))),
        Status::Exited(exit) if exit != call.outcome.exit => {
            differing.push(format!("exit status {exit}, not {}", call.outcome.exit));
        }
        Status::Exited(_) => {}
    }
    for (name, recorded, spool) in streams {
        let seen =
            shelf.look(&spool.finish().map_err(|reason| reason.to_string())?).map_err(|reason| reason.to_string())?;
        if recorded.as_ref().is_some_and(|recorded| recorded.digest != seen.digest) {
            differing.push(name.to_owned());
        }
    }
    let bounds = Bounds { before: &before, ended: run.usage.stopped, most: MAX_ENTRY, inputs: 0o777 };
    let nothing = || Former::known(Former::default);
    let made =
        outputs::collect(&places, &bounds, &nothing(), &nothing(), &shelf).map_err(|reason| reason.to_string())?;
    let made = mirror.recorded(made);
    differing.extend(differing_output(&call.outcome.outputs, &made).map(|path| format!("output `{}`", path.display())));
    Ok(match differing.is_empty() {
        true => Rechecked::Same,
        false if shelf.is_marked.get() || links_hold(&made, mirror.mark()) => {
            Rechecked::Skipped("its result tells in which folder it was made".to_owned())
        }
        false => Rechecked::Different(differing.join(", ")),
    })
}

/// The signal by which somebody ended the run from outside. One that the command died of by itself is a result; one that
/// reached fleche ends it even where the command had an answer to it.
fn interruption(run: &Run) -> Option<i32> {
    let ends = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    let by = |signal: &&i32| ends.contains(signal) || run.status == Status::Signalled(**signal);
    run.heard.iter().find(by).copied()
}

/// Refuses where what the command sees is not what is recorded.
fn check_inputs(call: &Call, store: &Store, sought: &Sought) -> Result<(), String> {
    if let Some(link) = call.observations.iter().find(|seen| matches!(seen.state, State::Link { .. })) {
        return Err(format!("input `{}` is a link", link.path.display()));
    }
    let now: BTreeMap<_, _> = sought.observations(store).iter().map(|seen| (&seen.path, &seen.state)).collect();
    let then: BTreeMap<_, _> = call.observations.iter().map(|seen| (&seen.path, &seen.state)).collect();
    let paths = then.keys().chain(now.keys());
    match paths.into_iter().find(|path| then.get(*path) != now.get(*path)) {
        Some(path) => Err(format!("input `{}` is not what it was", path.display())),
        None => Ok(()),
    }
}

/// What the command sees of the environment, in another working directory.
///
/// Its home and its temporary files are its own too: what a command changes there is the user's.
fn environment_in(command: &Command, mirror: &Mirror) -> Result<Vec<OsString>, String> {
    const OWN: [&[u8]; 5] = [b"OLDPWD=", b"XDG_", b"GNUPGHOME=", b"CARGO_HOME=", b"GIT_CONFIG"];
    let is_kept = |entry: &&OsString| !OWN.iter().any(|own| entry.as_bytes().starts_with(own));
    let mut entries: Vec<OsString> = command.environment.iter().filter(is_kept).cloned().collect();
    let folders = [("PWD", mirror.cwd()), ("HOME", mirror.own("home")?), ("TMPDIR", mirror.own("tmp")?)];
    for (name, folder) in folders {
        let beginning = format!("{name}=");
        if entries.iter().any(|entry| entry.as_bytes().starts_with(beginning.as_bytes())) || name == "TMPDIR" {
            entries = with_variable(&entries, name, folder.as_os_str());
        }
    }
    Ok(entries)
}

/// The first path at which two results have other outputs. When a file was changed does not count.
fn differing_output(one: &[Output], other: &[Output]) -> Option<PathBuf> {
    let plain = |outputs: &[Output]| -> BTreeMap<PathBuf, OutputKind> {
        let kind = |kind: &OutputKind| match kind {
            OutputKind::File { mode, content, .. } => OutputKind::File {
                mode: *mode,
                content: Content { inline: None, ..content.clone() },
                modified: 0,
                dated: false,
                kept: false,
            },
            kind => kind.clone(),
        };
        outputs.iter().map(|output| (output.path.clone(), kind(&output.kind))).collect()
    };
    let (one, other) = (plain(one), plain(other));
    one.keys().chain(other.keys()).find(|path| one.get(*path) != other.get(*path)).cloned()
}

fn links_hold(outputs: &[Output], mark: &[u8]) -> bool {
    outputs.iter().any(|output| match &output.kind {
        OutputKind::Link { target, .. } => memchr::memmem::find(target, mark).is_some(),
        _ => false,
    })
}

fn told(halt: Halt) -> String {
    match halt {
        Halt::Refuse(error) => error.to_string(),
        Halt::Plain(reason) => reason.to_string(),
    }
}

/// What a run made, looked at and not kept.
struct Seen<'a> {
    store: &'a Store,
    mark: &'a [u8],
    /// Whether something of it holds the mark.
    is_marked: Cell<bool>,
}

impl Seen<'_> {
    fn look(&self, pending: &Pending) -> Result<Content, Reason> {
        let holds = pending.contains(self.mark).map_err(|why| Reason::StoreUnusable(cause(&why)))?;
        self.is_marked.set(self.is_marked.get() || holds);
        Ok(Content { digest: pending.digest(), length: pending.length(), inline: None })
    }
}

impl Shelf for Seen<'_> {
    fn ingest(&self, file: &File, most: u64) -> Result<Content, Reason> {
        self.look(&self.store.ingest(file, most)?)
    }
}
