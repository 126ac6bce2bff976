//! `fleche load`: what a stored call printed or made, without running anything.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::ValueHint;

use crate::cmd::store;
use crate::engine::{self, Meant, Policy, meant, piece};
use crate::error::{Error, Result};
use crate::store::{Store, Value};
use crate::ui::{self, Talk};

use super::run;
use super::subject::{self, Subject};

/// Print what a stored call printed, or restore what it made, without running anything
///
/// The answer is no if the command, as it is now, is not cached. The exit status does not tell how the recorded run ended.
#[derive(clap::Args)]
pub struct Args {
    /// Print its standard error instead
    #[arg(long, conflicts_with_all = ["path", "to"])]
    stderr: bool,
    /// Print this output file instead, named as it is recorded; behind a KEY, --output says the same
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, conflicts_with = "to")]
    path: Option<PathBuf>,
    /// Restore all its output files below this folder instead
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    #[command(flatten)]
    flags: run::Flags,
    #[command(flatten)]
    subject: subject::Args,
}

/// Prints or restores it.
pub fn run(mut args: Args, talk: &Talk) -> Result<()> {
    let (subject, request) = args.subject.subject(&mut args.flags)?;
    let path = match (&subject, request.outputs.as_slice(), args.path) {
        (_, _, Some(path)) => Some(path),
        (Subject::Named(_), [path], None) => Some(PathBuf::from(path)),
        (Subject::Named(_), [_, _, ..], None) => return Err(Error::usage("only one output can be printed")),
        _ => None,
    };
    let store = store()?;
    let within = if args.stderr { Some(OsStr::new("stderr")) } else { path.as_ref().map(|path| path.as_os_str()) };
    if let (Subject::Named(reference), None, None) = (&subject, within, &args.to) {
        return send(&store, &meant(reference, &store)?);
    }
    let call = match &subject {
        Subject::Named(reference) => subject::call(reference, &store)?,
        Subject::Asked(request) => {
            let stored = engine::stored(request, &super::caches()?)?;
            let call = stored.ok_or_else(|| Error::no("the command is not cached"))?;
            let policy = Policy { cache_exit: vec![call.outcome.exit], ..args.flags.policy(talk)? };
            engine::check_age(&call, &policy).map_err(|reason| Error::no(format!("not cached: {reason}")))?;
            call
        }
    };
    match args.to {
        None => send(&store, &piece(&call, within)?),
        Some(folder) => {
            engine::unpack(&call, &store, &folder)?.iter().for_each(|warning| talk.warn(warning));
            Ok(())
        }
    }
}

/// Writes a value to standard output, once all of it is known to be right.
fn send(store: &Store, meant: &Meant) -> Result<()> {
    match store.value(&meant.content).map_err(|reason| Error::failure(reason.to_string()))? {
        Value::Bytes(bytes) => ui::send(&mut bytes.as_slice()),
        Value::File { mut file, .. } => ui::send(&mut file),
    }
}
