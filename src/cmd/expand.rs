//! `fleche expand`: whole digests for short ones.

use crate::error::Result;
use crate::ui::Talk;

use super::chosen::{self, prefix};
use super::{store, translate};

/// Print the whole digests of which these are the beginnings, one a line
///
/// Calls and values share one name space.
#[derive(clap::Args)]
pub struct Args {
    /// The first four or more characters of a digest; without one they are read from standard input, one a line
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
}

/// Prints the digests.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let store = store()?;
    let catalogue = store.catalogue()?;
    translate(chosen::words_or_input(args.prefixes)?, talk, |word| {
        Ok(store.resolve_by(&catalogue, &prefix(word)?)?.digest().hex())
    })
}
