//! `fleche reindex`: the catalogue, made anew.

use crate::cmd::store_to_change;
use crate::error::Result;
use crate::ui::{Progress, Talk};

/// Build the catalogue of calls anew from their files
///
/// The catalogue answers questions and is kept up to date by itself; it can be lost or removed at any time.
#[derive(clap::Args)]
pub struct Args {}

/// Builds it.
pub fn run(_: Args, talk: &Talk) -> Result<()> {
    let progress = Progress::new("reading calls", talk);
    store_to_change()?.reindex(&|done, of| progress.show(done, of))
}
