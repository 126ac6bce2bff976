//! `fleche pull`: calls from a store beyond this machine.

use std::ops::ControlFlow;

use crate::config;
use crate::engine;
use crate::error::{Error, Result};
use crate::model::Key;
use crate::store::{Failure, Patience, Tier};
use crate::ui::{Progress, Talk};

use super::candidates;

/// Take over all calls of a store that many machines share
///
/// Runs do that by themselves with the call that they need; this is for who is about to be without a network.
#[derive(clap::Args)]
pub struct Args {
    /// The store [default: all of the caches in use]
    #[arg(long, value_name = "CACHE", add = candidates::caches())]
    from: Option<String>,
}

/// Takes them over.
pub fn run(args: &Args, talk: &Talk) -> Result<()> {
    let store = super::store_to_change()?;
    let mut left = 0_u64;
    for remote in config::remotes(args.from.as_deref(), "--from")? {
        let tier = Tier::open(&remote, Patience::LONG)?;
        let unasked = |failure: Failure| {
            Error::failure(format!("cannot list the cache `{}`", remote.name)).because(failure.to_string())
        };
        let mut names: Vec<Key> = Vec::new();
        let mut add = |name: &Key| {
            names.push(*name);
            ControlFlow::Continue(())
        };
        tier.names(&mut add).map_err(unasked)?;
        let progress = Progress::new("pulling calls", talk);
        for (done, name) in names.iter().enumerate() {
            progress.show(done as u64, names.len() as u64);
            match engine::pull(name, &tier, &store) {
                // One that went meanwhile nobody misses.
                Ok(_) => {}
                Err(Failure::Wrong(why)) => {
                    left += 1;
                    progress.beside(|| talk.warn(&format!("{} is left out: {why}", name.0.short())));
                }
                Err(failure) => {
                    let message = format!("cannot take calls over from `{}`", remote.name);
                    return Err(Error::failure(message).because(failure.to_string()));
                }
            }
        }
    }
    engine::look_after(&store);
    super::all_but(left, "was not taken over", "were not taken over")
}
