//! `fleche push`: calls into a store beyond this machine.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::config;
use crate::engine::{self, Attempt, Errand, Sent, Shared};
use crate::error::{Error, Result};
use crate::model::{Key, Remote};
use crate::store::{Road, Store};
use crate::sys::clock;
use crate::ui::Talk;

use super::candidates;
use super::chosen;

/// How often it is looked whether another process is done.
const PAUSE: Duration = Duration::from_millis(20);

/// Put calls into a store that many machines share
///
/// Without keys or filters, what runs have stored and not put there yet. Only calls whose commands `upload` names in the
/// configuration of that store are put there.
#[derive(clap::Args)]
pub struct Args {
    /// The store [default: all of the caches in use]
    #[arg(long, value_name = "CACHE", add = candidates::caches())]
    to: Option<String>,
    /// Go on until everything is there, where another process is at it
    #[arg(long)]
    wait: bool,
    /// Stop after so long, as in 60s; what is left is put there later
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    #[command(flatten)]
    chosen: chosen::Args,
}

/// Puts the chosen calls there, and those that wait.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    super::check_mode()?;
    let end = args.deadline.map(|time| clock::monotonic().saturating_add(clock::nanoseconds(time)));
    let remotes = config::remotes(args.to.as_deref(), "--to")?;
    let store = super::store_to_change()?;
    let keys = if args.chosen.is_everything() { Vec::new() } else { args.chosen.calls_or_all(&store)? };
    super::with_each(&remotes, talk, |remote| {
        keys.iter().for_each(|key| store.leave_for(remote, key));
        push(remote, &store, args.wait, end, talk)
    })
}

fn push(remote: &Remote, store: &Store, wait: bool, end: Option<u64>, talk: &Talk) -> Result<()> {
    let is_late = || end.is_some_and(|end| clock::monotonic() >= end);
    let mut kept = 0_u64;
    let mut tell = |key: &Key, shared: &Attempt| {
        let short = key.0.short();
        match shared {
            Ok(Shared::Published | Shared::Present) => talk.detail(&format!("{short} is in `{}`", remote.name)),
            Ok(Shared::Taken) => {
                talk.detail(&format!("{short} stays here: another one is in its place in `{}`", remote.name))
            }
            Ok(Shared::Kept) => {
                kept += 1;
                talk.warn(&format!("{short} stays here: no rule of `{}` allows it", remote.name));
            }
            Ok(Shared::Foreign) => {
                kept += 1;
                talk.warn(&format!("{short} stays here: another cache made it"));
            }
            Ok(Shared::Gone) => talk.detail(&format!("{short} is gone")),
            Err(_) if is_late() => {}
            Err(why) => {
                kept += 1;
                talk.warn(&format!("{short} stays here: {why}"));
            }
        }
        if is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let breaker = store.breaker_anyway(remote, Road::Send);
    loop {
        match engine::send(remote, store, &breaker, Errand::Asked, end, &mut tell)? {
            Sent::All => break,
            Sent::ByAnother if !wait => {
                talk.detail(&format!("another process puts calls into `{}`", remote.name));
                return Ok(());
            }
            Sent::InPart | Sent::ByAnother if is_late() => {
                let left = store.outbox(remote)?.len();
                let calls = if left == 1 { "1 call waits".to_owned() } else { format!("{left} calls wait") };
                return Err(Error::no(format!("{calls} to be put into `{}`", remote.name)).hint("fleche push"));
            }
            Sent::InPart | Sent::ByAnother => clock::pause(PAUSE),
        }
    }
    super::all_but(kept, "stays here", "stay here")
}
