//! `fleche pull`: calls from a store beyond this machine.

use crate::config;
use crate::engine;
use crate::error::{Error, Result};
use crate::model::Key;
use crate::store::{Existing, Failure, Patience, Road, Store, Tier};
use crate::ui::{Progress, Talk};

use super::candidates;
use super::listing;

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
    super::with_each(&config::remotes(args.from.as_deref(), "--from")?, talk, |remote| {
        let tier = Tier::open(remote, Patience::LONG)?;
        let left = take_over(&listing::names(&tier)?, &tier, &store, Existing::Replaced, talk, &|_, _| Ok(()))?;
        // Nobody has a reason to leave it alone any more.
        store.breaker_anyway(remote, Road::Ask).worked(&store);
        super::all_but(left, "was not taken over", "were not taken over")
    })
}

/// Takes over the calls that are named so, has `taken` hear of each, with its key, and gives how many are left out.
///
/// # Errors
///
/// Where the store cannot be asked any more, or nothing can be kept here.
pub fn take_over(
    names: &[Key],
    tier: &Tier,
    store: &Store,
    existing: Existing,
    talk: &Talk,
    taken: &dyn Fn(&Key, &Key) -> std::result::Result<(), Failure>,
) -> Result<u64> {
    let mut left = 0;
    let progress = Progress::new("pulling calls", talk);
    for (done, name) in names.iter().enumerate() {
        progress.show(done as u64, names.len() as u64);
        let pulled = engine::pull(name, tier, store, existing);
        match pulled.and_then(|key| key.map_or(Ok(()), |key| taken(name, &key))) {
            // One that went meanwhile nobody misses.
            Ok(()) => {}
            Err(Failure::Wrong(why)) => {
                left += 1;
                progress.beside(|| talk.warn(&format!("{} is left out: {why}", name.0.short())));
            }
            Err(failure) => {
                let message = format!("cannot take calls over from `{}`", tier.name());
                return Err(Error::failure(message).because(failure.to_string()));
            }
        }
    }
    drop(progress);
    engine::look_after(store);
    Ok(left)
}
