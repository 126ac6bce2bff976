//! The calls that questions go through: those of the caches in use, or, where a store beyond this machine alone is asked for, those
//! that it has.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::config;
use crate::engine;
use crate::error::{Error, Result};
use crate::model::{Cache, CacheAccess, CacheLimits, Key, Member, Remote, Sharing};
use crate::store::{Failure, Patience, PrivateFolder, Purpose, Store, Tier};
use crate::ui::{Progress, Talk};

/// Calls, ready to be asked about.
pub struct Listing {
    // Before its folder: it goes first.
    store: Store,
    _folder: Option<PrivateFolder>,
}

impl Listing {
    /// What is in use; what is far away is fetched, but for large values, which lie there by themselves.
    pub fn open(talk: &Talk) -> Result<Listing> {
        match config::lone_remote()? {
            None => Ok(Listing { store: super::store()?, _folder: None }),
            Some(remote) => Listing::of(&remote, &Tier::open(&remote, Patience::LONG)?, talk),
        }
    }

    /// The calls of a store beyond this machine, in a folder that goes with the answer; who is killed leaves it to the next one.
    ///
    /// # Errors
    ///
    /// Where it cannot be asked which it has.
    pub fn of(remote: &Remote, tier: &Tier, talk: &Talk) -> Result<Listing> {
        let names = names(tier)?;
        let folder = PrivateFolder::among_temporary_files()
            .map_err(|why| Error::failure("cannot make a temporary folder").because(why))?;
        let cache = Cache {
            name: remote.name.clone(),
            folder: folder.path().join("calls"),
            access: CacheAccess::ReadWrite,
            sharing: Sharing::Private,
            limits: CacheLimits::default(),
        };
        let store = super::open_stack(Ok(vec![Member::Folder(cache)]), Purpose::Write)?;
        let progress = Progress::new("listing calls", talk);
        for (done, name) in names.iter().enumerate() {
            progress.show(done as u64, names.len() as u64);
            match engine::mention(name, tier, &store) {
                // One that went meanwhile nobody misses.
                Ok(_) => {}
                Err(Failure::Wrong(why)) => {
                    progress.beside(|| talk.warn(&format!("{} is left out: {why}", name.0.short())));
                }
                Err(failure) => return Err(unlisted(tier, &failure)),
            }
        }
        drop(progress);
        Ok(Listing { store, _folder: Some(folder) })
    }

    /// Where they are.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What the calls there are named after, each once.
///
/// # Errors
///
/// Where it cannot be asked.
pub fn names(tier: &Tier) -> Result<Vec<Key>> {
    let mut names = BTreeSet::new();
    let mut add = |name: &Key| {
        names.insert(*name);
        ControlFlow::Continue(())
    };
    tier.names(&mut add).map_err(|failure| unlisted(tier, &failure))?;
    Ok(names.into_iter().collect())
}

fn unlisted(tier: &Tier, failure: &Failure) -> Error {
    Error::failure(format!("cannot list the cache `{}`", tier.name())).because(failure.to_string())
}
