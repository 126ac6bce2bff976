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
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gc;
pub mod graph;
pub mod import;
mod listing;
pub mod load;
pub mod pull;
pub mod push;
pub mod query;
pub mod quick;
mod recheck;
mod recognise;
pub mod redigest;
pub mod reindex;
pub mod remote;
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
pub mod transfer;
pub mod verify;

use crate::config as configured;
use crate::engine::{Caches, Mode};
use crate::error::{Error, Result};
use crate::model::{Cache, CacheAccess};
use crate::store::{Purpose, Store};
use crate::ui::{self, Talk};

/// The store, to be changed.
fn store_to_change() -> Result<Store> {
    check_changeable()?;
    let store = opened(Purpose::Write)?;
    match store.check_place() {
        Ok(()) => Ok(store),
        Err(reason) => Err(Error::failure(reason.to_string())),
    }
}

/// Refuses to change what the environment or the configuration says is not to be changed.
fn check_changeable() -> Result<()> {
    if let Some(cache) = read_only_cache()? {
        return Err(Error::failure(format!("the cache `{}` is read-only", cache.name)));
    }
    check_mode()
}

/// Refuses to change anything where the environment says that nothing is to be changed.
fn check_mode() -> Result<()> {
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
    Ok(first.and_then(|member| member.folder().cloned()).filter(|cache| cache.access == CacheAccess::ReadOnly))
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

/// Prints what `translated` makes of each word, a line each; words that it cannot translate are complained about in their
/// order, and the last complaint is the result.
fn translate(words: Vec<String>, talk: &Talk, translated: impl Fn(&str) -> Result<String>) -> Result<()> {
    let mut lines = String::new();
    let last = with_each(&words, talk, |word| {
        lines.push_str(&translated(word)?);
        lines.push('\n');
        Ok(())
    });
    ui::print(&lines).and(last)
}

/// Does something with each, also where it cannot be done with one before; the last error is the result, those before it are told.
fn with_each<T>(all: &[T], talk: &Talk, mut done: impl FnMut(&T) -> Result<()>) -> Result<()> {
    let mut last = Ok(());
    for one in all {
        if let Err(error) = done(one)
            && let Err(before) = std::mem::replace(&mut last, Err(error))
        {
            talk.error(&before);
        }
    }
    last
}

/// Yes, if it was done with all calls; else no, with how many it was not done with and what became of them.
fn all_but(left: u64, was: &str, were: &str) -> Result<()> {
    match left {
        0 => Ok(()),
        1 => Err(Error::no(format!("1 call {was}"))),
        many => Err(Error::no(format!("{many} calls {were}"))),
    }
}

/// The store that questions are put to. What is damaged goes out of the way, unless the cache is not to be changed; where
/// there is no cache none is made.
fn store() -> Result<Store> {
    match run::mode_of_environment()? {
        Mode::ReadOnly => quiet_store(),
        Mode::On | Mode::Off | Mode::Refresh => opened(Purpose::Ask),
    }
}

/// The same, where questions keep what they find out and nothing else changes: what is damaged stays where it is.
fn quiet_store() -> Result<Store> {
    opened(Purpose::AskQuietly)
}

/// The same, to be looked at.
fn looking_store() -> Result<Store> {
    opened(Purpose::Look)
}

fn opened(purpose: Purpose) -> Result<Store> {
    open_stack(caches()?, purpose)
}

fn open_stack(caches: Caches, purpose: Purpose) -> Result<Store> {
    let mut skipped = Vec::new();
    let opened = caches.and_then(|caches| {
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
    configured::stack()
}
