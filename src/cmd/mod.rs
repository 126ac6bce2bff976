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
mod filter;
mod freshness;
pub mod gc;
pub mod graph;
pub mod load;
pub mod query;
pub mod quick;
mod recheck;
mod recognise;
pub mod redigest;
pub mod reindex;
pub mod rerun;
mod rules;
pub mod run;
mod sheet;
pub mod shell;
pub mod show;
pub mod shrink;
pub mod stats;
mod subject;
pub mod table;
pub mod tag;
pub mod verify;

use std::path::{Path, PathBuf};

use crate::config as configured;
use crate::engine::Mode;
use crate::error::{Error, Result};
use crate::model::{Cache, CacheAccess, Reason};
use crate::store::Store;
use crate::ui::{self, Talk};

/// The store, to be changed.
fn store_to_change() -> Result<Store> {
    check_changeable()?;
    opened(Store::open)
}

/// Refuses to change what the environment or the configuration says is not to be changed.
fn check_changeable() -> Result<()> {
    if let Some(cache) = read_only_cache()? {
        return Err(Error::failure(format!("the cache `{}` is read-only", cache.name)));
    }
    match run::mode_of_environment()? {
        Mode::ReadOnly => Err(read_only()),
        Mode::On | Mode::Off | Mode::Refresh => Ok(()),
    }
}

/// That nothing may be changed.
fn read_only() -> Error {
    Error::failure("the cache is read-only").hint("FLECHE_MODE=on")
}

/// The cache that is written, if it may not be.
fn read_only_cache() -> Result<Option<Cache>> {
    let first = configured::stack()?.ok().and_then(|stack| stack.into_iter().next());
    Ok(first.filter(|cache| cache.access == CacheAccess::ReadOnly))
}

/// The mode in which the cache can be used that is written.
fn allowed(mode: Mode) -> Result<Mode> {
    Ok(match mode {
        Mode::On if read_only_cache()?.is_some() => Mode::ReadOnly,
        // It may neither replay nor store.
        Mode::Refresh if read_only_cache()?.is_some() => Mode::Off,
        mode => mode,
    })
}

/// Says which files are passed over, if any were looked for.
pub fn tell_ignored(talk: &Talk) {
    configured::ignored().iter().for_each(|why| talk.warn(why));
}

/// Says of a run which caches are passed over.
fn tell_unasked(talk: &Talk) -> Result<()> {
    for cache in configured::stack()?.unwrap_or_default().iter().skip(1) {
        talk.warn(&format!("cache `{}` is not asked: only the first one is", cache.name));
    }
    Ok(())
}

/// Where the cache is that is written: the first of [`config::stack`].
fn cache_folder() -> Result<std::result::Result<PathBuf, Reason>> {
    let first = |stack: Vec<Cache>| stack.into_iter().next().map(|cache| cache.folder);
    let unusable = || Reason::StoreUnusable("there is no cache".to_owned());
    Ok(configured::stack()?.and_then(|stack| first(stack).ok_or_else(unusable)))
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
    let store = looking_store()?;
    match run::mode_of_environment()? {
        Mode::ReadOnly => Ok(store.with_catalogue()),
        Mode::On | Mode::Off | Mode::Refresh => {
            let asked = store.for_questions().map_err(|reason| Error::failure(reason.to_string()))?;
            Ok(asked.unwrap_or(store))
        }
    }
}

/// The same, to be looked at: what is damaged stays where it is.
fn looking_store() -> Result<Store> {
    opened(Store::open_to_look)
}

fn opened(open: impl FnOnce(&Path) -> std::result::Result<Store, Reason>) -> Result<Store> {
    cache_folder()?.and_then(|folder| open(&folder)).map_err(|reason| Error::failure(reason.to_string()))
}
