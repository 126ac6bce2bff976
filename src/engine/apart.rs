//! Running isolated commands: furnishing their private folder, and what is done with it when they have ended.

use std::borrow::Cow;
use std::ffi::OsString;

use crate::error::{Error, cause};
use crate::exec::{self, Forward, Launch, Status};
use crate::key::{self, ObserveError};
use crate::model::{Command, Program, Remembered, Request, Sink, Stamp, StampMemory, Streams};
use crate::store::Store;

use super::isolation::Enclosure;
use super::lookup::Sought;

use super::outputs::Places;
use super::policy::Aftermath;
use super::recognise::Recogniser;
use super::{Ending, Halt, Run, Told, not_started, start_failed};

/// The exit status of a run whose outputs could not be brought back, if the command itself succeeded.
const NOT_BROUGHT_BACK: u8 = 125;

impl Run<'_> {
    /// A private folder for the run, if the command is isolated.
    pub(super) fn enclose(&self, store: &Store, sought: &Sought) -> Result<Option<Enclosure>, Halt> {
        if !sought.request.is_isolated() {
            return Ok(None);
        }
        if self.is_nested {
            // The watcher sees copies where the originals count; of a replay it is told what counts.
            exec::trace::nested::refuse();
        }
        let observations = sought.observed.observations();
        Ok(Some(Enclosure::furnish(sought.request, sought.command, observations, Some(store), self.policy.aftermath)?))
    }

    /// The environment of a command that works there.
    pub(super) fn told_where<'e>(
        &self,
        environment: &'e [OsString],
        enclosure: Option<&Enclosure>,
    ) -> Cow<'e, [OsString]> {
        enclosure.map_or(Cow::Borrowed(environment), |enclosure| enclosure.environment(environment))
    }

    /// Brings back what the command left in its private folder, whatever its status is, as far as it was declared; `places` are
    /// those of its outputs. The error is the status to end with where that cannot be.
    pub(super) fn leave(
        &self,
        enclosure: &mut Enclosure,
        command: &Command,
        places: &Places,
        run: &exec::Run,
    ) -> Result<(), Status> {
        let hint = match (&run.trace, run.status) {
            (Some(trace), Status::Exited(1..)) => enclosure.hint(trace, command),
            _ => None,
        };
        hint.into_iter().for_each(|hint| (self.tell)(Told::Warning(hint)));
        let brought = enclosure.bring_back(places);
        if brought.is_err() || self.policy.aftermath == Aftermath::Kept {
            (self.tell)(Told::Kept(enclosure.folder()));
        }
        match brought {
            Ok(told) => {
                told.into_iter().for_each(|what| (self.tell)(Told::Warning(what)));
                Ok(())
            }
            Err(reason) => {
                (self.tell)(Told::Warning(format!("nothing is brought back: {reason}")));
                Err(if run.status == Status::Exited(0) { Status::Exited(NOT_BROUGHT_BACK) } else { run.status })
            }
        }
    }

    /// The isolated command as it would run without a cache: between it and the caller nothing stands, but fleche stays to
    /// bring its outputs back.
    pub(super) fn run_apart(&mut self) -> Result<Ending, Halt> {
        // Of what a probe tells nothing is made.
        let request = Request { probes: Vec::new(), ..self.request.clone() };
        self.input.prepare_plain(&request.stdin)?;
        self.arguments.prepare()?;
        let command = Recogniser::new(&request, &self.scene)?.command(&self.input, String::new(), &Forgetful)?;
        let name = &self.request.argv[0];
        let program = match &command.program {
            Program::Found(program) => program,
            Program::NotFound => return Ok(not_started(name, 127, &rustix::io::Errno::NOENT.into())),
            Program::NotExecutable => return Ok(not_started(name, 126, &rustix::io::Errno::ACCESS.into())),
        };
        let observed = key::observe(&request, &command, &mut Vec::new, &Forgetful, &[]).map_err(unplaceable)?;
        let mut enclosure =
            Enclosure::furnish(&request, &command, observed.observations(), None, self.policy.aftermath)?;
        let argv = self.arguments.executed(&command.argv);
        let environment = &self.told_to_nested(&command.environment);
        let environment = &self.told_where(environment, Some(&enclosure));
        let launch = Launch { program, argv: &argv, environment, stdin: self.input.take(), place: enclosure.place() };
        // It gets the caller's own.
        let streams = Streams { stdout: false, stderr: false, same: false };
        let ran = exec::capture(&launch, None, streams, Forward::Caller, &mut Nothing, &mut Nothing);
        let run = match ran {
            Ok(run) => run,
            Err(error) => return Ok(start_failed(name, &error)),
        };
        let places = Places::of(&request.outputs, &command.cwd, &command.root)?;
        let status = self.leave(&mut enclosure, &command, &places, &run).err().unwrap_or(run.status);
        Ok(Ending::Status(status))
    }
}

/// What cannot be looked at cannot be copied.
fn unplaceable(error: ObserveError) -> Halt {
    let failed = |path: &std::path::Path, why: &str| {
        Halt::Refuse(Error::failure(format!("cannot isolate the command: input `{}` {why}", path.display())))
    };
    match error {
        ObserveError::NoMatch(glob) => Halt::Refuse(Error::usage(format!("no input matches `{glob}`"))),
        ObserveError::BadGlob(error) => Halt::Refuse(error),
        ObserveError::Unreadable(path, why) => failed(&path, &format!("cannot be read: {}", cause(&why))),
        ObserveError::Stream(path) => failed(&path, "is a FIFO or a device"),
        ObserveError::TooMany(path) => failed(&path, "holds too much"),
    }
}

/// Remembers no digest.
struct Forgetful;

impl StampMemory for Forgetful {
    fn recall(&self, _: &Stamp) -> Option<Remembered> {
        None
    }

    fn remember(&self, _: &Stamp, _: &Remembered) {}
}

/// Keeps no byte.
struct Nothing;

impl Sink for Nothing {
    fn accept(&mut self, mut chunk: Vec<u8>) -> Vec<u8> {
        chunk.clear();
        chunk
    }
}
