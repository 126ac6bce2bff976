//! Whether a recorded command, asked for here and now, would be the same but for what is known to differ.

use std::ffi::OsStr;

use crate::error::Error;
use crate::key::{self, Surroundings};
use crate::model::{Call, Command, Digest, Request, Stdin, StdinRule, StdinSource, differing_parts};
use crate::store::Store;
use crate::sys::project;

use super::Halt;
use super::again::Recorded;
use super::arguments::{Argument, are_named_in, resolved_by_looking};
use super::policy::MAX_INPUT;
use super::standard_input::StandardInput;

/// A recorded command as it is recognised now, of which every part that matters is proven to be the recorded one.
pub struct Proven {
    /// As it was asked for.
    pub request: Request,
    /// Its arguments that name stored values.
    pub stored: Vec<Argument>,
    /// As it is recognised.
    pub command: Command,
    /// What it reads.
    pub input: StandardInput,
}

/// Recognises the command of `call` again where it was recorded, in the present environment. Every part must have the
/// recorded digest under the store's `secret`, and none may be new or missing, but for those called as in `apart_from`.
///
/// # Errors
///
/// In words: what is not known, or not the same.
pub fn proven(call: &Call, store: &Store, secret: &[u8; 32], apart_from: &[&str]) -> Result<Proven, String> {
    if call.sealed_by.is_some() {
        return Err("it was recorded for another cache, which alone can tell what counted".to_owned());
    }
    let Recorded { mut request, scene, streams, stdin } = Recorded::of(call, secret)?;
    let mut stored = Vec::new();
    if are_named_in(&request) {
        (request, stored) = resolved_by_looking(&request, store).map_err(|error| error.to_string())?;
    }
    let cwd = call.cwd.canonicalize().ok().filter(|cwd| *cwd == call.cwd);
    let cwd = cwd.ok_or_else(|| format!("its working directory `{}` is gone", call.cwd.display()))?;
    if !request.probes.is_empty() {
        return Err("a probe would have to be run".to_owned());
    }
    let input = input(&request, &stdin, call, store)?;
    let surroundings = Surroundings {
        project: project::root(&cwd),
        cwd,
        environment: scene.environment(),
        streams,
        descriptors: String::new(),
        stdin,
        stdin_content: input.content(),
        probe: &|_: &OsStr| Err(Error::failure("a probe would have to be run")),
    };
    let command = key::command(&request, &surroundings, store).map_err(|error| error.to_string())?;
    if command.root != call.root {
        return Err("its project has another root".to_owned());
    }
    let parts = command.sealed_parts(secret);
    let (then, now) = (without(call.parts.clone(), apart_from), without(parts, apart_from));
    match differing_parts(&then, &now).first() {
        Some(name) => Err(format!("`{name}` is not what it was")),
        None => Ok(Proven { request, stored, command, input }),
    }
}

fn without(mut parts: Vec<(String, Digest)>, names: &[&str]) -> Vec<(String, Digest)> {
    parts.retain(|(name, _)| !names.contains(&name.as_str()));
    parts
}

/// The standard input that is named in a record, if one is.
fn input(request: &Request, stdin: &Stdin, call: &Call, store: &Store) -> Result<StandardInput, String> {
    let rule = match (stdin, &request.stdin) {
        (Stdin::From, StdinRule::From(StdinSource::File(path))) => {
            StdinRule::From(StdinSource::File(call.cwd.join(path)))
        }
        (Stdin::From, rule) => rule.clone(),
        (Stdin::Unread, _) => return Ok(StandardInput::unread()),
        _ => return Ok(StandardInput::nothing()),
    };
    let request = Request { stdin: rule, ..request.clone() };
    StandardInput::prepare(&request, store, MAX_INPUT).map_err(|halt| match halt {
        Halt::Refuse(error) => error.to_string(),
        Halt::Plain(reason) => reason.to_string(),
    })
}
