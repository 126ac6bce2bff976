//! `fleche digest`: the key that a command has now.

use std::ffi::OsStr;

use serde_json::json;

use crate::engine;
use crate::error::{Error, Result};
use crate::model::{Digest, Observation, Part, is_harmful};
use crate::query::describe;
use crate::ui::{self, JsonStyle, Talk};

use super::{asked, looking_store};

/// What stands for whatever tells of a redacted argument.
const HIDDEN: &str = "[redacted]";

/// Print the key of a command, without running it
///
/// With -v every part of the key is printed: its name and what counts. Values of environment variables
/// and redacted arguments are shown as digests; and standard error tells why a run would not be cached all the same.
#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: asked::Args,
}

/// Prints the key.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let asked = args.asked.ruled()?;
    asked.policy(talk)?;
    let streams = asked.streams();
    let recognised = engine::recognise(&asked.request()?, streams, &super::caches()?)?;
    if let Some(reason) = &recognised.uncached {
        talk.detail(&format!("not cached: {reason}"));
    }
    if !recognised.is_known && !talk.is_verbose() {
        let why = "its key is not known before it has run: what it reads is found by watching it";
        return Err(Error::no(why).hint("fleche digest -v tells what is known"));
    }
    let (command, key) = (&recognised.command, recognised.key);
    let shown = |text: String| if recognised.is_hidden(OsStr::new(&text)) { HIDDEN.to_owned() } else { text };
    let secret = looking_store()?.secret().ok();
    let value = |part: &Part| shown(value(part, secret.as_ref()));
    let input =
        |seen: &Observation| [seen.path.to_string_lossy().into_owned(), describe::state(&seen.state)].map(shown);
    if args.json {
        let parts: Vec<_> = command.parts.iter().map(|part| json!({"name": part.name, "value": value(part)})).collect();
        let inputs: Vec<_> = recognised
            .observations
            .iter()
            .map(|seen| {
                let [path, state] = input(seen);
                json!({"path": path, "state": state})
            })
            .collect();
        let object =
            json!({"key": key.to_string(), "command": command.digest.to_string(), "parts": parts, "inputs": inputs});
        return ui::print(&ui::json(&object, JsonStyle::Indented));
    }
    let mut text = String::new();
    if talk.is_verbose() {
        for part in &command.parts {
            text.push_str(&format!("{}\t{}\n", ui::escape(&part.name), ui::escape(&value(part))));
        }
        text.push_str(&format!("command\t{}\n", command.digest));
        for seen in &recognised.observations {
            let [path, state] = input(seen);
            text.push_str(&format!("input {}\t{}\n", ui::escape(&path), ui::escape(&state)));
        }
        if recognised.is_known {
            text.push_str(&format!("key\t{key}\n"));
        }
    } else {
        text.push_str(&format!("{key}\n"));
    }
    ui::print(&text)
}

/// What counts of a part, for people. A secret is told apart from another only by those who have the cache's key: a plain
/// digest of a short one could be found by trying.
fn value(part: &Part, secret: Option<&[u8; 32]>) -> String {
    if part.secret {
        let keyed = secret.map(|secret| Digest::from(blake3::keyed_hash(secret, &part.value)).short());
        return keyed.map_or_else(|| HIDDEN.to_owned(), |digest| format!("digest {digest}"));
    }
    match std::str::from_utf8(&part.value) {
        Ok(text) if !text.chars().any(is_harmful) => text.to_owned(),
        _ => part.value.escape_ascii().to_string(),
    }
}
