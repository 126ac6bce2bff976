//! `fleche transfer`: calls from one cache to another.

use std::ffi::{OsStr, OsString};
use std::fmt;

use crate::config;
use crate::engine::{self, Replaces, Shared, Transferred};
use crate::error::{Error, Result};
use crate::model::{CacheAccess, Key, Member, Remote};
use crate::store::{Existing, Patience, Purpose, Road, Store, There, Tier};
use crate::ui::{self, Progress, Talk};

use super::candidates;
use super::chosen;
use super::listing::{self, Listing};
use super::pull;

/// Copy calls, with what they left, from one cache to another
///
/// Interrupted at any point nothing is lost, and the same line goes on where it was. Into a store beyond this machine go only
/// calls whose commands `upload` names in its configuration.
#[derive(clap::Args)]
pub struct Args {
    /// The cache that has the calls: its name or its folder
    #[arg(long, value_name = "CACHE", add = candidates::caches())]
    from: OsString,
    /// The cache that gets them
    #[arg(long, value_name = "CACHE", add = candidates::caches())]
    to: OsString,
    /// Forget them where they were
    #[arg(long)]
    pop: bool,
    /// Replace calls of the same key that are there already
    #[arg(long)]
    overwrite: bool,
    /// Print the keys of what would be copied, and copy nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    chosen: chosen::Args,
}

/// Copies the chosen calls, or all.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let member = |word: &OsStr, flag| config::cache(word, flag)?.map_err(|reason| Error::failure(reason.to_string()));
    let (from, to) = (member(&args.from, "--from")?, member(&args.to, "--to")?);
    let left = match (from, to) {
        (from @ Member::Folder(_), to @ Member::Folder(_)) => between(from, to, args, talk)?,
        (from @ Member::Folder(_), Member::Remote(to)) => sent(from, &to, args, talk)?,
        (Member::Remote(from), to @ Member::Folder(_)) => fetched(&from, to, args, talk)?,
        (Member::Remote(from), Member::Remote(to)) if from == to => return Err(same()),
        (Member::Remote(from), Member::Remote(to)) => {
            let message =
                format!("nothing goes from `{}` to `{}`: what others signed is not signed anew", from.name, to.name);
            return Err(Error::usage(message).hint(format!("fleche transfer --from {} --to local", from.name)));
        }
    };
    super::all_but(left, "was not transferred", "were not transferred")
}

impl Args {
    fn existing(&self) -> Existing {
        if self.overwrite { Existing::Replaced } else { Existing::Kept }
    }

    /// Why something is to be done with the cache that has the calls.
    fn purpose(&self) -> Purpose {
        if self.pop { Purpose::Write } else { Purpose::Ask }
    }
}

/// From folder to folder; how many stay.
fn between(from: Member, to: Member, args: Args, talk: &Talk) -> Result<u64> {
    let (existing, purpose) = (args.existing(), args.purpose());
    let from = super::open_stack(Ok(vec![from]), purpose)?;
    let keys = args.chosen.calls_or_all(&from)?;
    if args.dry_run {
        return print(&keys);
    }
    super::check_mode()?;
    if args.pop {
        check_writable(&from, &args.from)?;
    }
    let to = super::open_stack(Ok(vec![to]), Purpose::Write)?;
    check_writable(&to, &args.to)?;
    if from.folder() == to.folder() {
        return Err(same());
    }
    let progress = Progress::new("transferring calls", talk);
    let mut left = 0;
    for (done, key) in keys.iter().enumerate() {
        progress.show(done as u64, keys.len() as u64);
        match engine::transfer(key, &from, &to, existing) {
            Ok(transferred) => {
                if transferred == Transferred::Present {
                    progress.beside(|| talk.detail(&format!("{} is there already", key.0.short())));
                }
                if args.pop {
                    // What was there may be damaged by now: then that goes, and this one comes.
                    let is_safe = transferred == Transferred::Copied
                        || to.holds(key)
                        || engine::transfer(key, &from, &to, Existing::Replaced).is_ok();
                    if is_safe {
                        from.evict(std::slice::from_ref(key), |_| {})?;
                    }
                }
            }
            Err(reason) => {
                left += 1;
                progress.beside(|| stays(key, &reason, talk));
            }
        }
    }
    drop(progress);
    engine::look_after(&to);
    Ok(left)
}

/// From a folder into a store beyond this machine; how many stay.
fn sent(from: Member, to: &Remote, args: Args, talk: &Talk) -> Result<u64> {
    // What is there already is not known to be whole: who forgets it here puts it there anew. But what may be nowhere else
    // any more stays there.
    let replaces = match (args.pop, args.overwrite) {
        (true, _) => Replaces::ItselfAlone,
        (false, true) => Replaces::Anything,
        (false, false) => Replaces::AllButItself,
    };
    let from = super::open_stack(Ok(vec![from]), args.purpose())?;
    let keys = args.chosen.calls_or_all(&from)?;
    if args.dry_run {
        let may_go = |key: &&Key| from.call(key).ok().flatten().is_some_and(|call| engine::may_have(to, &call));
        return print(keys.iter().filter(may_go));
    }
    super::check_mode()?;
    if args.pop {
        check_writable(&from, &args.from)?;
    }
    let tier = Tier::open(to, Patience::LONG)?;
    let signing = tier.signing_key()?;
    let breaker = from.breaker_anyway(to, Road::Send);
    let progress = Progress::new("transferring calls", talk);
    let mut left = 0;
    for (done, key) in keys.iter().enumerate() {
        progress.show(done as u64, keys.len() as u64);
        let kept = match engine::publish(key, &from, &tier, to, &signing, replaces) {
            // One that went meanwhile nobody misses.
            Ok(Shared::Gone) => None,
            Ok(Shared::Kept) => Some(format!("no rule of `{}` allows it to go", to.name)),
            Ok(Shared::Foreign) => Some("another cache made it".to_owned()),
            Ok(Shared::Taken) => {
                breaker.worked(&from);
                Some(
                    "another call is there in its place, as of another checkout or of whom nobody believes here"
                        .to_owned(),
                )
            }
            Ok(Shared::Present) => {
                breaker.worked(&from);
                progress.beside(|| talk.detail(&format!("{} is there already", key.0.short())));
                None
            }
            Ok(Shared::Published) => {
                breaker.worked(&from);
                if args.pop {
                    from.evict(std::slice::from_ref(key), |_| {})?;
                }
                None
            }
            Err(failure) if failure.is_of_the_store() => {
                breaker.failed(&from, &failure);
                // It is told now.
                let _ = breaker.news(&from);
                let message = format!("cannot put calls into the cache `{}`", to.name);
                return Err(Error::failure(message).because(failure.to_string()));
            }
            Err(failure) => Some(failure.to_string()),
        };
        if let Some(why) = kept {
            left += 1;
            progress.beside(|| stays(key, &why, talk));
        }
    }
    Ok(left)
}

/// From a store beyond this machine into a folder; how many stay.
fn fetched(from: &Remote, to: Member, args: Args, talk: &Talk) -> Result<u64> {
    let tier = Tier::open(from, Patience::LONG)?;
    if args.dry_run {
        let listing = Listing::of(from, &tier, talk)?;
        return print(&args.chosen.calls_or_all(listing.store())?);
    }
    super::check_mode()?;
    if args.pop && from.access == CacheAccess::ReadOnly {
        return Err(read_only(&args.from));
    }
    let (to, existing) = (super::open_stack(Ok(vec![to]), Purpose::Write)?, args.existing());
    check_writable(&to, &args.to)?;
    let names = match args.chosen.is_everything() {
        true => listing::names(&tier)?,
        false => {
            let listing = Listing::of(from, &tier, talk)?;
            let name = |key: &Key| listing.store().call(key).ok().flatten().map(|call| engine::name_of(&call));
            args.chosen.calls_or_all(listing.store())?.iter().filter_map(name).collect()
        }
    };
    pull::take_over(&names, &tier, &to, existing, talk, &|name, key| {
        // What was here may be damaged by now: then what is there comes in its place.
        let is_safe = || Ok(to.holds(key) || engine::pull(name, &tier, &to, Existing::Replaced)?.is_some());
        // Another checkout's call may have come there in the place of this one.
        if args.pop && is_safe()? && tier.told_at(name)? == There::Call(*key) { tier.forget(name) } else { Ok(()) }
    })
}

fn same() -> Error {
    Error::usage("both caches are the same one")
}

fn check_writable(store: &Store, word: &OsStr) -> Result<()> {
    if store.is_writable() { Ok(()) } else { Err(read_only(word)) }
}

fn read_only(word: &OsStr) -> Error {
    Error::failure(format!("the cache `{}` is read-only", word.display()))
}

fn stays(key: &Key, why: &dyn fmt::Display, talk: &Talk) {
    talk.warn(&format!("{} stays where it is: {why}", key.0.short()));
}

/// Prints what would go; nothing stays for a reason.
fn print<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Result<u64> {
    ui::print(&keys.into_iter().map(|key| format!("{key}\n")).collect::<String>()).map(|()| 0)
}
