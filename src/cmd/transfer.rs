//! `fleche transfer`: calls from one cache to another.

use std::ffi::OsString;

use crate::engine::{self, Transferred};
use crate::error::{Error, Result};
use crate::store::{Existing, Purpose};
use crate::ui::{self, Progress, Talk};

use super::candidates;
use super::chosen;

/// Copy calls, with what they left, from one cache to another
///
/// Interrupted at any point nothing is lost, and the same line goes on where it was.
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
    let from = super::named_store(&args.from, "--from", if args.pop { Purpose::Write } else { Purpose::Ask })?;
    let keys = args.chosen.calls_or_all(&from)?;
    if args.dry_run {
        return ui::print(&keys.iter().map(|key| format!("{key}\n")).collect::<String>());
    }
    super::check_mode()?;
    if args.pop && !from.is_writable() {
        return Err(Error::failure(format!("the cache `{}` is read-only", args.from.display())));
    }
    let to = super::named_store(&args.to, "--to", Purpose::Write)?;
    if !to.is_writable() {
        return Err(Error::failure(format!("the cache `{}` is read-only", args.to.display())));
    }
    if from.folder() == to.folder() {
        return Err(Error::usage("both caches are the same one"));
    }
    let existing = if args.overwrite { Existing::Replaced } else { Existing::Kept };
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
                progress.beside(|| talk.warn(&format!("{} stays where it is: {reason}", key.0.short())));
            }
        }
    }
    drop(progress);
    engine::look_after(&to);
    super::all_but(left, "was not transferred", "were not transferred")
}
