//! From what was asked for to a command with a digest.

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::error::{Error, Result, cause};
use crate::exec;
use crate::key::{self, Surroundings};
use crate::model::{Argument, Command, CommandVariable, Key, Program, Reason, Request, StampMemory, Streams};
use crate::store::Store;
use crate::sys::descriptor::{self, Kind};
use crate::sys::entry::{self, Standard, standard};

use super::Halt;
use super::beyond;
use super::lookup::{Binding, Sought};
use super::policy::MAX_INPUT;
use super::redaction::Redaction;
use super::standard_input::StandardInput;

/// What a command's surroundings are, apart from standard input.
pub struct Recogniser<'a> {
    request: &'a Request,
    cwd: PathBuf,
    streams: Streams,
}

impl<'a> Recogniser<'a> {
    /// Looks around.
    pub fn new(request: &'a Request) -> std::result::Result<Recogniser<'a>, Reason> {
        let cwd = std::env::current_dir().map_err(|why| Reason::InputUnreadable(".".into(), cause(&why)))?;
        Ok(Recogniser { request, cwd, streams: streams() })
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
        let environment = environment();
        let visible = || key::visible_environment(&self.request.environment, &self::environment());
        let probe = |line: &OsStr| exec::probe(line, &self.cwd, &visible()?);
        let surroundings = Surroundings {
            cwd: self.cwd.clone(),
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
/// still to get. `streams` are those of the run, if not the caller's.
pub fn cacheable(
    request: &Request,
    max_input: u64,
    streams: Option<Streams>,
    store: &Store,
    input: &mut StandardInput,
) -> std::result::Result<Command, Halt> {
    // Never dropped: see `Run::through_cache`.
    let mut recogniser = ManuallyDrop::new(Recogniser::new(request)?);
    match streams {
        Some(streams) => recogniser.streams = streams,
        None => recogniser.check_streams()?,
    }
    *input = StandardInput::prepare(&request.stdin, store, max_input)?;
    input.check_whole()?;
    let command = recogniser.command(input, beyond::counted(request)?, store)?;
    match command.program {
        Program::Found(_) => {}
        Program::NotFound | Program::NotExecutable => return Err(Reason::NotStarted.into()),
    }
    match key::missing_requirement(request, &command.environment) {
        Some(reason) => Err(reason.into()),
        None => Ok(command),
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

/// Recognises `request` without running it, and writes nothing. `folder` is the cache folder, for what is remembered of
/// large files; there need be none. `streams` are those of the run, if not the caller's.
pub fn recognise(
    request: &Request,
    streams: Option<Streams>,
    folder: &std::result::Result<PathBuf, Reason>,
) -> Result<Recognised> {
    let unusable = |reason: Reason| Error::failure(reason.to_string());
    let store = Store::open_to_look(folder.as_ref().map_err(|reason| unusable(reason.clone()))?).map_err(unusable)?;
    let halted = |halt: Halt| match halt {
        Halt::Refuse(error) => error,
        Halt::Plain(reason) => unusable(reason),
    };
    let mut recogniser = Recogniser::new(request).map_err(unusable)?;
    recogniser.streams = streams.unwrap_or(recogniser.streams);
    let input = StandardInput::prepare(&request.stdin, &store, MAX_INPUT).map_err(halted)?;
    input.check_whole().map_err(unusable)?;
    let descriptors = beyond::counted(request).map_err(unusable)?;
    let command = recogniser.command(&input, descriptors, &store)?;
    let sought = Sought::new(request, &command, &store).map_err(halted)?;
    let is_stored = |key: &Key| command.project && store.answer(key).ok().flatten().is_some();
    let keys = sought.keys();
    let bound = [Binding::Name, Binding::Root].map(|binding| keys.of(binding)).into_iter().find(is_stored);
    let key = bound.unwrap_or_else(|| keys.of(Binding::Free));
    let observations = sought.observed.observations;
    Ok(Recognised { command, key, observations })
}
