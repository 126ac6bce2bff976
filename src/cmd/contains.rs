//! `fleche contains`: whether a replay would succeed.

use crate::engine::{self, Detail, Policy, Verdict};
use crate::error::{Error, Kind, Result};
use crate::model::{Call, Digest, Prefix};
use crate::store::{Named, Store};
use crate::ui::Talk;

use super::{asked, explain, quiet_store};

/// Say by the exit status whether a replay would succeed: 0 if it would, 1 if not
///
/// True only if the call is there and may be replayed, and every value that it needs is there and whole. A key or a digest
/// stands for the call or value itself, whatever FLECHE_MODE says. Nothing is run or printed; -v says why not.
#[derive(clap::Args)]
#[command(mut_arg("command", |command| {
    command.required(false).required_unless_present("key").conflicts_with("key").trailing_var_arg(false).last(true)
}))]
pub struct Args {
    /// A call's key or a value's digest, or the first four or more characters of it
    #[arg(value_name = "KEY")]
    key: Option<Prefix>,
    #[command(flatten)]
    asked: asked::Args,
}

/// Succeeds if it is there.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let contained = match &args.key {
        Some(prefix) => named(prefix, &args, talk),
        None => asked(args, talk),
    };
    match contained {
        Err(error) if error.kind() == Kind::No => {
            talk.detail(&error.to_string());
            Err(Error::unsaid())
        }
        other => other,
    }
}

fn asked(args: Args, talk: &Talk) -> Result<()> {
    let detail = if talk.is_verbose() { Detail::Nearest } else { Detail::Reason };
    let asked = args.asked.ruled()?;
    let policy = Policy { detail, ..asked.policy(talk)? };
    let streams = asked.streams();
    let explanation = engine::explain(&asked.request()?, &policy, streams, &super::caches()?)?;
    match explanation.verdict {
        Verdict::Hit(_) => Ok(()),
        Verdict::NotCached { reason, .. } => Err(Error::no(format!("not cached: {reason}"))),
        Verdict::Miss(missing) => {
            Err(Error::no(format!("miss: {}", explain::why(&missing.reason, missing.nearest.as_ref()))))
        }
    }
}

/// Looks for what is called so. What is found is read by a store that changes nothing, so that what is damaged stays for the
/// run that mends it.
fn named(prefix: &Prefix, args: &Args, talk: &Talk) -> Result<()> {
    let look = quiet_store()?;
    match look.resolve(prefix)? {
        Named::Call(key) => {
            let absent = || Error::no(format!("no call {} is stored", key.0.short()));
            let call = look.call(&key).map_err(|reason| Error::no(reason.to_string()))?.ok_or_else(absent)?;
            whole_call(&look, &call)?;
            // The call itself is meant, and how it ended is known.
            let policy = Policy { cache_exit: vec![call.outcome.exit], ..args.asked.policy(talk)? };
            engine::check_age(&call, &policy).map_err(|reason| Error::no(reason.to_string()))
        }
        Named::Value(digest) => whole_value(&look, &digest),
    }
}

fn whole_call(store: &Store, call: &Call) -> Result<()> {
    call.values().try_for_each(|content| store.value(content).map(drop)).map_err(|reason| Error::no(reason.to_string()))
}

fn whole_value(look: &Store, digest: &Digest) -> Result<()> {
    let absent = || Error::no(format!("no value {} is stored", digest.short()));
    let content = look.content(digest)?.ok_or_else(absent)?;
    look.value(&content).map(drop).map_err(|reason| Error::no(reason.to_string()))
}
