//! From what was asked for to a command with a digest.

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::OFlags;

use crate::error::{Error, Result, cause};
use crate::exec;
use crate::key::{self, Surroundings};
use crate::model::{Argument, Command, CommandVariable, Key, Program, Reason, Request, StampMemory, Streams};
use crate::store::{Purpose, Store};
use crate::sys::descriptor::{self, Kind};
use crate::sys::entry::{self, Standard, standard};
use crate::sys::project::{self, Here};

use super::again::Scene;
use super::arguments;
use super::beyond;
use super::lookup::{Binding, Keys, Sought};
use super::policy::MAX_INPUT;
use super::redaction::Redaction;
use super::standard_input::StandardInput;
use super::{Caches, Halt};

/// What a command's surroundings are, apart from standard input.
pub struct Recogniser<'a> {
    request: &'a Request,
    here: Here,
    streams: Streams,
    scene: &'a Scene,
}

impl<'a> Recogniser<'a> {
    /// Looks around.
    pub fn new(request: &'a Request, scene: &'a Scene) -> std::result::Result<Recogniser<'a>, Reason> {
        let here = project::here().map_err(|why| Reason::InputUnreadable(".".into(), cause(&why)))?;
        Ok(Recogniser { request, here, streams: scene.streams.unwrap_or_else(streams), scene })
    }

    /// A device such as `/dev/full` refuses every write, which only the command itself can answer.
    pub fn check_streams(&self) -> std::result::Result<(), Reason> {
        match [1, 2].into_iter().any(|number| descriptor::kind(number) == Kind::Full) {
            true => Err(Reason::StdoutUnwritable),
            false => Ok(()),
        }
    }

    /// The command, with all that counts.
    pub fn command(&self, input: &StandardInput, descriptors: String, memory: &dyn StampMemory) -> Result<Command> {
        let environment = self.scene.environment();
        let visible = || key::visible_environment(&self.request.environment, &self.scene.environment());
        let probe = |line: &OsStr| exec::probe(line, &self.here.folder, &visible()?);
        let surroundings = Surroundings {
            cwd: self.here.folder.clone(),
            project: self.here.project.clone(),
            environment,
            streams: self.streams,
            descriptors,
            stdin: input.meaning(),
            stdin_content: input.content(),
            probe: &probe,
        };
        key::command(self.request, &surroundings, memory)
    }
}

/// The command of a request, if it can be cached. `input` is kept even where it cannot: what was read of it, the command is
/// still to get. `scene` is where it is to run.
pub fn cacheable(
    request: &Request,
    max_input: u64,
    scene: &Scene,
    store: &Store,
    input: &mut StandardInput,
) -> std::result::Result<Command, Halt> {
    // Never dropped: see `Run::through_cache`.
    let recogniser = ManuallyDrop::new(Recogniser::new(request, scene)?);
    if scene.streams.is_none() {
        recogniser.check_streams()?;
    }
    *input = match scene {
        _ if scene.is_without_input() => StandardInput::nothing(),
        _ if scene.leaves_input() => StandardInput::unread(),
        _ => StandardInput::prepare(request, store, max_input)?,
    };
    input.check_whole()?;
    let command = recogniser.command(input, beyond::counted(request)?, store)?;
    check_command(request, &command)?;
    Ok(command)
}

/// Refuses a command that was recognised and is not cached all the same.
fn check_command(request: &Request, command: &Command) -> std::result::Result<(), Reason> {
    match command.program {
        Program::Found(_) => key::missing_requirement(request, &command.environment).map_or(Ok(()), Err),
        Program::NotFound | Program::NotExecutable => Err(Reason::NotStarted),
    }
}

/// The environment's entries, as fleche got them.
pub fn environment() -> Vec<OsString> {
    entry::environment().into_iter().map(OsString::from).collect()
}

/// Whether what a command is given as its streams can be written at all: `1<file` cannot, which only the command
/// itself can answer. A replay finds out by writing.
pub fn check_writable(streams: Streams) -> std::result::Result<(), Reason> {
    let outputs = [(streams.stdout, Standard::Output), (streams.stderr, Standard::Error)];
    let is_closed_to_writing = |to| {
        rustix::fs::fcntl_getfl(standard(to)).is_ok_and(|flags| flags.intersection(OFlags::RWMODE) == OFlags::RDONLY)
    };
    match outputs.into_iter().any(|(is_open, to)| is_open && is_closed_to_writing(to)) {
        true => Err(Reason::StdoutUnwritable),
        false => Ok(()),
    }
}

/// How the caller's descriptors 1 and 2 are connected.
pub fn streams() -> Streams {
    let (stdout, stderr) = (!entry::was_closed(1), !entry::was_closed(2));
    Streams { stdout, stderr, same: stdout && stderr && descriptor::same_open_file(1, 2) }
}

/// A command with its digest and its key, as `fleche digest` shows them.
pub struct Recognised {
    /// The command with its parts.
    pub command: Command,
    /// The key of the call that would answer it now.
    pub key: Key,
    /// What it observes, in key order.
    pub observations: Vec<crate::model::Observation>,
    /// Whether the key is known: that of a watched command is only where it ran before.
    pub is_known: bool,
    /// Why such a run is not cached all the same, if so.
    pub uncached: Option<Reason>,
}

impl Recognised {
    /// The arguments as they may be shown.
    pub fn arguments(&self) -> Vec<Argument> {
        shown_arguments(&self.command)
    }

    /// The variables that the command sees.
    ///
    /// # Errors
    ///
    /// A malformed glob.
    pub fn variables(&self, request: &Request) -> Result<Vec<CommandVariable>> {
        key::variables(&request.environment, &self.command.environment, &self.command.cwd)
    }

    /// Whether a path or word tells of a redacted argument, and so is not to be shown.
    pub fn is_hidden(&self, text: &OsStr) -> bool {
        Redaction::of(&self.command).is_told_by(text.as_bytes())
    }
}

/// The arguments of a command as they may be shown.
pub fn shown_arguments(command: &Command) -> Vec<Argument> {
    let word = |(word, is_hidden): (&OsString, &bool)| match is_hidden {
        true => Argument::Redacted,
        false => Argument::Clear(word.clone()),
    };
    command.argv.iter().zip(&command.redacted).map(word).collect()
}

/// Recognises `request` without running it, and writes nothing. `caches` are for what is remembered of
/// large files; there need be none. `streams` are those of the run, if not the caller's.
pub fn recognise(request: &Request, streams: Option<Streams>, caches: &Caches) -> Result<Recognised> {
    let found = Found::of(request, caches).map_err(halted)?;
    let streams = streams.unwrap_or_else(self::streams);
    let command = found.command(streams)?;
    let uncached = found.doubt(&command);
    let sought = found.sought(&command).map_err(halted)?;
    let is_stored = |key: &Key| command.project && found.store.answer(key).ok().flatten().is_some();
    let keys = sought.keys(&found.store);
    let bound = [Binding::Name, Binding::Root].map(|binding| keys.of(binding)).into_iter().find(is_stored);
    let key = bound.unwrap_or_else(|| keys.of(Binding::Free));
    let observations = sought.observations(&found.store).to_vec();
    let is_known = !request.is_watched() || sought.path_sets(&found.store).count() > 0;
    Ok(Recognised { command, key, is_known, observations, uncached })
}

/// The keys of all calls that may answer `request` now, for the streams as they are and for each of `streams`; and the
/// store, which is not written to.
///
/// # Errors
///
/// Of kind `No` where `fleche run` would say that such a command is not cached.
pub fn keys_now(request: &Request, streams: &[Streams], caches: &Caches) -> Result<(Store, Vec<Key>)> {
    let uncached = |halt: Halt| match halt {
        Halt::Refuse(error) => error,
        Halt::Plain(reason) => Error::no(format!("the command is not cached: {reason}")),
    };
    let found = Found::of(request, caches).map_err(uncached)?;
    let command = found.command(self::streams())?;
    if let Some(reason) = found.doubt(&command) {
        return Err(uncached(Halt::Plain(reason)));
    }
    let all_streams = [self::streams()].into_iter().chain(streams.iter().copied());
    if found.request.is_watched() {
        let keys = all_streams.map(|streams| found.key_of_watched(&key::with_streams(&command, streams)));
        let keys =
            keys.collect::<std::result::Result<Vec<_>, Halt>>().map_err(uncached)?.into_iter().flatten().collect();
        return Ok((found.store, keys));
    }
    let sought = found.sought(&command).map_err(uncached)?;
    let mut all = Vec::new();
    // Neither a probe nor what is seen depends on the streams: once is enough.
    for streams in all_streams {
        let command = key::with_streams(&command, streams);
        let keys = Keys::new(&command, sought.observations(&found.store));
        all.extend([Binding::Free, Binding::Name, Binding::Root].map(|binding| keys.of(binding)));
    }
    Ok((found.store, all))
}

/// A request, looked at without writing anything.
struct Found {
    request: Request,
    store: Store,
    input: StandardInput,
    descriptors: String,
}

impl Found {
    fn of(request: &Request, caches: &Caches) -> std::result::Result<Found, Halt> {
        super::isolation::check(request)?;
        let unusable = |reason| Halt::Refuse(unusable(reason));
        let caches = caches.as_ref().map_err(|reason| unusable(reason.clone()))?;
        let store = Store::open_stack(caches, Purpose::Look, &mut |_, _| {}).map_err(unusable)?;
        let request = match arguments::are_named_in(request) {
            true => arguments::resolved_by_looking(request, &store)?.0,
            false => request.clone(),
        };
        let input = StandardInput::prepare(&request, &store, MAX_INPUT)?;
        input.check_whole()?;
        let descriptors = beyond::counted(&request)?;
        Ok(Found { request, store, input, descriptors })
    }

    fn command(&self, streams: Streams) -> Result<Command> {
        let scene = Scene { streams: Some(streams), ..Scene::default() };
        let recogniser = Recogniser::new(&self.request, &scene).map_err(unusable)?;
        recogniser.command(&self.input, self.descriptors.clone(), &self.store)
    }

    /// Why `fleche run` would not cache the command, as it may be shown.
    fn doubt(&self, command: &Command) -> Option<Reason> {
        let checked = super::check_declared(&self.request).and_then(|()| check_command(&self.request, command));
        checked.err().map(|reason| Redaction::of(command).reason(reason))
    }

    /// The key of the call that answers a watched command now.
    fn key_of_watched(&self, command: &Command) -> std::result::Result<Option<Key>, Halt> {
        Ok(self.sought(command)?.look(&self.store)?.map(|answer| answer.key))
    }

    fn sought<'a>(&'a self, command: &'a Command) -> std::result::Result<Sought<'a>, Halt> {
        Sought::new(&self.request, command, &self.store)
    }
}

fn unusable(reason: Reason) -> Error {
    Error::failure(reason.to_string())
}

fn halted(halt: Halt) -> Error {
    match halt {
        Halt::Refuse(error) => error,
        Halt::Plain(reason) => unusable(reason),
    }
}
