//! The subcommands: one file each, with its flags and the function that serves them.

mod asked;
mod audit;
pub mod bind;
pub mod call;
mod candidates;
mod chosen;
pub mod completions;
pub mod config;
pub mod contains;
pub mod digest;
pub mod evict;
pub mod expand;
pub mod explain;
pub mod export;
mod filter;
mod freshness;
pub mod gc;
pub mod graph;
pub mod import;
pub mod load;
pub mod query;
pub mod quick;
mod recheck;
mod recognise;
pub mod redigest;
pub mod reindex;
pub mod rerun;
pub mod run;
mod sheet;
pub mod shell;
pub mod show;
pub mod shrink;
pub mod stats;
mod subject;
pub mod table;
pub mod tag;
pub mod transfer;
pub mod verify;

use crate::config::cache_folder;
use crate::engine::{Caches, Mode};
use crate::error::{Error, Result};
use crate::model::{Cache, CacheAccess, CacheLimits, Sharing};
use crate::store::{Purpose, Store};
use crate::ui::{self, Talk};

/// The store, to be changed.
fn store_to_change() -> Result<Store> {
    check_changeable()?;
    opened(Purpose::Write)
}

/// Refuses to change what the environment says is not to be changed.
fn check_changeable() -> Result<()> {
    match run::mode_of_environment()? {
        Mode::ReadOnly => Err(Error::failure("the cache is read-only").hint("FLECHE_MODE=on")),
        Mode::On | Mode::Off | Mode::Refresh => Ok(()),
    }
}

/// Prints what `translated` makes of each word, a line each; words that it cannot translate are complained about in their
/// order, and the last complaint is the result.
fn translate(words: Vec<String>, talk: &Talk, translated: impl Fn(&str) -> Result<String>) -> Result<()> {
    let mut last = Ok(());
    for word in words {
        match translated(&word) {
            Ok(text) => ui::print(&format!("{text}\n"))?,
            Err(error) => {
                if let Err(before) = std::mem::replace(&mut last, Err(error)) {
                    talk.error(&before);
                }
            }
        }
    }
    last
}

/// The store that questions are put to. What is damaged goes out of the way, unless the cache is not to be changed; where
/// there is no cache none is made.
fn store() -> Result<Store> {
    match run::mode_of_environment()? {
        Mode::ReadOnly => Ok(looking_store()?.with_catalogue()),
        Mode::On | Mode::Off | Mode::Refresh => opened(Purpose::Ask),
    }
}

/// The same, to be looked at: what is damaged stays where it is.
fn looking_store() -> Result<Store> {
    opened(Purpose::Look)
}

fn opened(purpose: Purpose) -> Result<Store> {
    let mut skipped = Vec::new();
    let opened = caches()?.and_then(|caches| {
        Store::open_stack(&caches, purpose, &mut |cache, reason| skipped.push(format!("`{}`: {reason}", cache.name)))
    });
    match (opened, skipped.first()) {
        // An answer that leaves a cache out would be taken for one that does not.
        (Ok(_), Some(why)) => Err(Error::failure(format!("cannot ask the cache {why}"))),
        (opened, _) => opened.map_err(|reason| Error::failure(reason.to_string())),
    }
}

/// The stack of caches that is used.
fn caches() -> Result<Caches> {
    let cache = |folder| Cache {
        name: "local".to_owned(),
        folder,
        access: CacheAccess::default(),
        sharing: Sharing::default(),
        limits: CacheLimits::default(),
    };
    Ok(cache_folder().map(|folder| vec![cache(folder)]))
}
