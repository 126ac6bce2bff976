//! `fleche rerun`: run a command again whatever is stored, and store it anew.

use std::cell::Cell;

use crate::engine::{self, Ending, Mode, Nested, Policy, Told};
use crate::error::{Error, Result};
use crate::model::{Call, Difference, Key, Request};
use crate::query::differences::sentence;
use crate::store::Store;
use crate::ui::Talk;

use super::{chosen, run};

/// Most differences that a warning names.
const SHOWN: usize = 5;

/// Run a command again whatever is stored, and store it anew
///
/// What is stored of the command is replaced, its tags stay. Runs of fleche nested in it run again too (FLECHE_MODE=refresh in
/// their environment). With a KEY the command is run as its record tells: with its options and in its working directory,
/// but in the present environment, of which no values are stored; if it is another call because of that, a warning says
/// what differs, and the old call stays. The exit status is the command's; 125 if fleche refuses.
#[derive(Debug, clap::Args)]
#[command(mut_arg("command", |argument| argument.last(true).trailing_var_arg(false).required(false)))]
#[command(mut_arg("mode", |argument| argument.hide(true)))]
pub struct Args {
    /// A call's key, or the first four or more characters of it
    #[arg(value_name = "KEY", required_unless_present = "command", conflicts_with = "command")]
    key: Option<String>,
    #[command(flatten)]
    run: run::Args,
}

/// Runs the command; never returns where fleche became the command or died as it did.
pub fn run(args: Args, talk: &Talk) -> i32 {
    run::end(attempt(args, talk), talk)
}

fn attempt(args: Args, talk: &Talk) -> Result<Ending> {
    if args.run.names_mode() {
        return Err(Error::usage("--mode says what `fleche run` does; rerun always runs and stores"));
    }
    super::check_changeable()?;
    // A recorded call is run as its record tells, by no rule.
    let run = if args.key.is_none() { args.run.ruled()? } else { args.run };
    let asked = run.policy(talk)?;
    super::tell_ignored(talk);
    let policy = match asked.mode {
        Mode::Off => asked,
        Mode::ReadOnly => return Err(super::read_only()),
        Mode::On | Mode::Refresh => Policy { mode: Mode::Refresh, nested: Nested::Refreshed, ..asked },
    };
    let request = run.request()?;
    let caches = super::caches()?;
    let Some(word) = args.key else {
        return engine::run(&request, &policy, &caches, &|told| run::tell(talk, &told));
    };
    if request != Request::default() {
        return Err(
            Error::usage("how the command is recognised is in its record").hint("fleche rerun OPTIONS -- COMMAND")
        );
    }
    let store = super::store()?;
    let key = chosen::call(&store, &store.catalogue()?, &word)?;
    let call = stored(&store, &key)?;
    let is_told = Cell::new(false);
    let tell = |told: Told| {
        is_told.set(true);
        match &told {
            Told::Stored { key, since: Some(since), .. } => talk.warn(&elsewhere(&call.key, key, since)),
            Told::NotStored { reason, .. } | Told::Plain { reason, hint: None } => {
                talk.warn(&format!("{} is as it was: {reason}", call.key.0.short()));
            }
            told => run::tell(talk, told),
        }
    };
    engine::again(&store, &call, &policy, &caches, &tell)
}

fn stored(store: &Store, key: &Key) -> Result<Call> {
    let found = store.call(key).map_err(|reason| Error::failure(format!("cannot read {}: {reason}", key.0.short())))?;
    found.ok_or_else(|| Error::no(format!("no call {} is stored", key.0.short())))
}

/// What to say of a run that was recorded under the key `now`, which is not that of the call that was run again.
fn elsewhere(before: &Key, now: &Key, differences: &[Difference]) -> String {
    let told: Vec<String> = differences.iter().take(SHOWN).map(sentence).collect();
    let more = match differences.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = if told.is_empty() { "its result tells of another folder".to_owned() } else { told.join("; ") };
    format!("recorded as {}, not as {}: {what}{more}", now.0.short(), before.0.short())
}
