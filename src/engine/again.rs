//! Running a call again: from its record to what was asked for, and where.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result, cause};
use crate::key;
use crate::model::{Argument, Call, Digest, Request, Stdin, Streams};
use crate::store::Store;
use crate::sys::descriptor::{self, Kind};
use crate::sys::project;

use super::policy::Policy;
use super::recognise::environment;
use super::{Caches, Ending, Told};

/// Where a command runs, as far as that is not where fleche is.
#[derive(Default)]
pub struct Scene {
    /// The entries of the environment.
    pub environment: Option<Vec<OsString>>,
    /// How the standard streams are connected.
    pub streams: Option<Streams>,
    /// Whether its standard input is nothing that counts.
    pub stdin: Option<Stdin>,
}

impl Scene {
    /// The entries of the environment, in their order.
    pub fn environment(&self) -> Vec<OsString> {
        self.environment.clone().unwrap_or_else(environment)
    }

    /// Whether the command is to get `/dev/null` because the recorded run had no input, and fleche has some.
    pub fn is_without_input(&self) -> bool {
        self.stdin == Some(Stdin::Uncounted) && !matches!(descriptor::kind(0), Kind::Null | Kind::Terminal)
    }

    /// Whether the command is to get `/dev/null` because the recorded run did not read the input that it had.
    pub fn leaves_input(&self) -> bool {
        self.stdin == Some(Stdin::Unread)
    }
}

/// What a record tells of how its command was run.
pub struct Recorded {
    /// What was asked for.
    pub request: Request,
    /// Where.
    pub scene: Scene,
    /// The kind of its standard input, with the offset of a file left out.
    pub stdin: Stdin,
    /// Its streams.
    pub streams: Streams,
}

impl Recorded {
    /// Reads it from a call; `secret` is the store's.
    ///
    /// # Errors
    ///
    /// In words: what is not recorded.
    pub fn of(call: &Call, secret: &[u8; 32]) -> std::result::Result<Recorded, &'static str> {
        let mut argv = Vec::with_capacity(call.argv.len());
        for argument in &call.argv {
            match argument {
                Argument::Clear(word) => argv.push(word.clone()),
                Argument::Redacted => return Err("an argument was redacted"),
            }
        }
        if argv.is_empty() {
            return Err("its arguments are not recorded");
        }
        let streams =
            STREAMS.into_iter().find(|streams| tells(call, secret, key::STREAMS, key::streams_name(*streams)));
        let stdin = STDIN.into_iter().find(|stdin| tells(call, secret, key::STDIN, key::stdin_name(stdin)));
        let stdin = stdin.ok_or("its standard input is not known")?;
        if matches!(stdin, Stdin::File { .. } | Stdin::Spool) {
            return Err("its standard input is not stored");
        }
        let streams = streams.ok_or("its streams are not known")?;
        let environment = Some(environment_in(call, secret));
        let scene = Scene { environment, streams: Some(streams), stdin: Some(stdin.clone()) };
        Ok(Recorded { request: Request { argv, ..call.request.clone() }, scene, stdin, streams })
    }
}

/// All ways to connect the standard streams.
const STREAMS: [Streams; 5] = [
    Streams { stdout: true, stderr: true, same: true },
    Streams { stdout: true, stderr: true, same: false },
    Streams { stdout: true, stderr: false, same: false },
    Streams { stdout: false, stderr: true, same: false },
    Streams { stdout: false, stderr: false, same: false },
];

/// All kinds of standard input that are recorded.
const STDIN: [Stdin; 7] =
    [Stdin::Uncounted, Stdin::Closed, Stdin::File { offset: 0 }, Stdin::Spool, Stdin::From, Stdin::Null, Stdin::Unread];

/// Whether a part of a call has this value, of which only the digest under the store's secret is recorded.
fn tells(call: &Call, secret: &[u8; 32], name: &str, value: &str) -> bool {
    call.parts.iter().any(|(part, digest)| part == name && *digest == Digest::under(secret, value.as_bytes()))
}

/// The present environment as it would be in the call's working directory: a shell sets PWD when it changes there. A
/// call that had none, or another one, is given none.
fn environment_in(call: &Call, secret: &[u8; 32]) -> Vec<OsString> {
    let cwd = call.cwd.as_os_str();
    let had = call.variables.iter().find(|variable| variable.name == "PWD").map(|variable| variable.digest);
    match had {
        Some(digest) if digest == Digest::under(secret, cwd.as_bytes()) => with_variable(&environment(), "PWD", cwd),
        _ => environment().into_iter().filter(|entry| had.is_some() || !names(entry, "PWD")).collect(),
    }
}

/// The entries with this one in place of all of its name.
pub fn with_variable(entries: &[OsString], name: &str, value: &OsStr) -> Vec<OsString> {
    let mut entries: Vec<OsString> = entries.iter().filter(|entry| !names(entry, name)).cloned().collect();
    let mut entry = OsString::from(format!("{name}="));
    entry.push(value);
    entries.push(entry);
    entries
}

/// Whether an entry of an environment is of this name.
fn names(entry: &OsStr, name: &str) -> bool {
    entry.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

/// Runs the command of `call` again as its record tells: in its working directory, with its options and the streams that it
/// had, in the present environment. From now on the process works in that folder.
///
/// # Errors
///
/// Where the record does not tell all that it takes, or the working directory is gone.
pub fn again(store: &Store, call: &Call, policy: &Policy, caches: &Caches, tell: &dyn Fn(Told)) -> Result<Ending> {
    let refused = |why: &str| Error::failure(format!("cannot run {} again: {why}", call.key.0.short()));
    let secret = store.secret().map_err(|reason| refused(&reason.to_string()))?;
    let recorded = Recorded::of(call, &secret).map_err(refused)?;
    go_to(&call.cwd).map_err(|why| refused(&why))?;
    let cache_exit = policy.cache_exit.iter().copied().chain([call.outcome.exit]).collect();
    super::run_in(recorded.scene, Some(call), &recorded.request, &Policy { cache_exit, ..policy.clone() }, caches, tell)
}

/// Makes `folder` the working directory.
///
/// # Errors
///
/// In words.
fn go_to(folder: &Path) -> std::result::Result<(), String> {
    project::go_to(folder).map_err(|why| format!("cannot work in `{}`: {}", folder.display(), cause(&why)))
}
