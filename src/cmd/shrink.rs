//! `fleche shrink`: the shortest names for digests.

use crate::error::Result;
use crate::ui::Talk;

use super::chosen::{self, prefix};
use super::{store, translate};

/// Print for each digest the shortest beginning that names it, one a line
///
/// What is stored later may make it ambiguous; scripts should keep whole digests.
#[derive(clap::Args)]
pub struct Args {
    /// A digest; without one they are read from standard input, one a line
    #[arg(value_name = "DIGEST")]
    digests: Vec<String>,
}

/// Prints the beginnings.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = store()?;
    let catalogue = store.catalogue()?;
    translate(chosen::words_or_input(args.digests)?, talk, |word| {
        let named = store.resolve_by(&catalogue, &prefix(word)?)?;
        Ok(store.shortest(&catalogue, &named)?.as_str().to_owned())
    })
}
