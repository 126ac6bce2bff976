//! `fleche call`: a command as fleche sees it, as JSON.

use std::ffi::{OsStr, OsString};

use serde_json::{Value, json};

use crate::engine::{self, Recognised};
use crate::error::Result;
use crate::model::{Part, Request, StdinRule, StdinSource};
use crate::query::{describe, differences};
use crate::ui::{self, JsonStyle, Talk};

use super::asked;

/// Print a command as JSON, without running it
///
/// `key` and `command` (the digests), `argv`, `cwd`, `root`, `program`, `environment` (each with `name`, `counted`, and
/// `value`, which is null unless --env names it), `stdin` (`kind`, `digest`, `bytes`), `inputs` and `outputs` as declared,
/// `options` by their names, and `observations`: what can be seen at the inputs now (`path`, `state`). `uncached` says why
/// a run would not be cached all the same, or is null. A redacted argument, and whatever tells of one, is null.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    asked: asked::Args,
}

/// Prints the command.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let asked = args.asked.ruled()?;
    asked.policy(talk)?;
    let streams = asked.streams();
    let request = asked.request()?;
    let recognised = engine::recognise(&request, streams, &super::caches()?)?;
    ui::print(&ui::json(&object(&request, &recognised)?, JsonStyle::Indented))
}

fn object(request: &Request, recognised: &Recognised) -> Result<Value> {
    let command = &recognised.command;
    let word = |word: &OsStr| if recognised.is_hidden(word) { Value::Null } else { json!(word.to_string_lossy()) };
    let words = |words: &[OsString]| -> Value { words.iter().map(|text| word(text)).collect() };
    let texts = |texts: &[String]| -> Value { texts.iter().map(|text| word(OsStr::new(text))).collect() };
    let environment: Vec<Value> = recognised
        .variables(request)?
        .iter()
        .map(|variable| {
            json!({
                "name": variable.name.to_string_lossy(),
                "counted": variable.counted,
                "value": variable.clear.then(|| word(&variable.value)),
            })
        })
        .collect();
    let observations: Vec<Value> = recognised
        .observations
        .iter()
        .map(|seen| {
            let state = describe::state(&seen.state);
            json!({"path": word(seen.path.as_os_str()), "state": word(OsStr::new(&state))})
        })
        .collect();
    let source = match &request.stdin {
        StdinRule::From(StdinSource::File(path)) => word(path.as_os_str()),
        StdinRule::From(StdinSource::Stored(reference)) => word(&reference.word()),
        StdinRule::Automatic | StdinRule::Input | StdinRule::None => Value::Null,
    };
    Ok(json!({
        "key": recognised.key.to_string(),
        "command": command.digest.to_string(),
        "argv": differences::arguments(&recognised.arguments()),
        "cwd": word(command.cwd.as_os_str()),
        "root": word(command.root.as_os_str()),
        "program": word(command.program_path().as_os_str()),
        "environment": environment,
        "stdin": {
            "kind": part(&command.parts, "stdin"),
            "digest": part(&command.parts, "stdin.content"),
            "bytes": part(&command.parts, "stdin.length").and_then(|length| length.parse::<u64>().ok()),
        },
        "inputs": words(&request.inputs),
        "outputs": words(&request.outputs),
        "options": {
            "exclude": texts(&request.excludes),
            "gitignore": request.gitignore,
            "isolate": request.isolation.name(),
            "pure": request.pure,
            "env-mode": request.environment.mode.name(),
            "env": texts(&request.environment.counted),
            "ignore-env": texts(&request.environment.ignored),
            "require-env": texts(&request.environment.required),
            "ignore-arg": texts(&request.arguments.ignored),
            "require-arg": texts(&request.arguments.required),
            "program": request.program.name(),
            "probe": words(&request.probes),
            "no-cwd": request.ignore_cwd,
            "stdin": request.stdin == StdinRule::Input,
            "no-stdin": request.stdin == StdinRule::None,
            "stdin-from": source,
            "revision": request.revision.as_ref().map(|text| word(OsStr::new(text))),
        },
        "observations": observations,
        "uncached": recognised.uncached.as_ref().map(ToString::to_string),
    }))
}

/// The text of a part that is no secret.
fn part<'a>(parts: &'a [Part], name: &str) -> Option<&'a str> {
    let part = parts.iter().find(|part| part.name == name && !part.secret)?;
    std::str::from_utf8(&part.value).ok()
}
