//! `fleche redigest`: keys of an older format are made anew.

use crate::engine::{self, Deed, Redigest};
use crate::error::{Error, Result};
use crate::model::Key;
use crate::store::Selection;
use crate::ui::{self, Progress, Talk};

/// Make keys of an older format anew, so that a newer fleche finds the calls again
///
/// What a newer fleche counts may differ from what an older one did, and so may its keys. Each call of an older format is
/// recognised again in its working directory and the present environment. If all that counted is still the same, it is stored
/// under the key that it has now, and the former key and the new one are printed; whatever else is left as it is, and -v says
/// why. Nothing is run.
#[derive(clap::Args)]
pub struct Args {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Makes the keys anew.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = if args.dry_run { super::store() } else { super::store_to_change() }?;
    // The oldest first, as they were stored: what was made last is to be found first.
    let mut keys = store.catalogue()?.keys(&Selection::default())?;
    keys.reverse();
    let progress = Progress::new("redigesting", talk);
    let deed = if args.dry_run { Deed::Planned } else { Deed::Done };
    let (mut printed, mut left) = (Ok(()), 0);
    let mut tell = |key: &Key, becomes: &Redigest| match becomes {
        Redigest::Present => {}
        Redigest::Renamed(now) => {
            // At once: who stops this half-way knows what was done.
            let line = || progress.beside(|| ui::print(&format!("{key}\t{now}\n")));
            printed = std::mem::replace(&mut printed, Ok(())).and_then(|()| line());
        }
        Redigest::Left(why) => {
            left += 1;
            talk.detail(&format!("{} is left as it is: {why}", key.0.short()));
        }
    };
    let done = engine::redigest(&store, &keys, deed, &|done, of| progress.show(done, of), &mut tell);
    drop(progress);
    printed?;
    done.map_err(|reason| Error::failure(reason.to_string()))?;
    if left > 0 && !talk.is_verbose() {
        let (calls, are) = if left == 1 { ("call", "is") } else { ("calls", "are") };
        talk.warn(&format!("{left} {calls} of an older format {are} left; -v says why"));
    }
    Ok(())
}
