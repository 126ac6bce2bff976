//! `fleche evict`: forget calls.

use crate::error::{Error, Result};
use crate::query::Table;
use crate::store::{Condition, Selection};
use crate::ui::Talk;

use super::chosen::{self, Chosen};
use super::sheet::Format;
use super::store_to_change;

/// Forget calls: the same command runs again
///
/// What only they kept is removed by `fleche gc`.
#[derive(clap::Args)]
pub struct Args {
    /// Print what would be forgotten, and forget nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    chosen: chosen::Args,
}

/// Removes the calls.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = store_to_change()?;
    let catalogue = store.catalogue()?;
    let keys = match args.chosen.calls(&store, &catalogue)? {
        Chosen::These(keys) => keys,
        Chosen::Everything => {
            return Err(Error::usage("which calls?").hint("KEY..., filters, or --name '*' for all"));
        }
    };
    if args.dry_run {
        let selection = Selection { conditions: vec![Condition::Keys(keys)], ..Selection::default() };
        let columns = ["key", "command", "started", "size"];
        return Format::fitting().print(Table::of(&catalogue, &selection, &columns)?).map(drop);
    }
    store.evict(&keys, |key| talk.detail(&format!("evicted {}", key.0.short())))
}
