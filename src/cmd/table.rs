//! `fleche table`: the stored calls, a row each.

use crate::error::Result;
use crate::query::{More, Table, none};
use crate::ui::Talk;

use super::filter;
use super::listing::Listing;
use super::sheet::Format;

/// List stored calls, the most recent first
///
/// In a pipe the table is tab-separated, without borders or colours. But for people sizes are in bytes, durations in
/// seconds, times in seconds since 1970. Where `--cache` names nothing but a store beyond this machine, these are the calls
/// that it has, as for `fleche query`.
#[derive(clap::Args)]
pub struct Args {
    /// Show these columns, separated by commas: built-in ones, tag.NAME, arg.N, env.NAME, tag.*, arg.*
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', add = super::candidates::columns(), conflicts_with_all = ["args", "results"])]
    columns: Vec<String>,
    /// Show the arguments too, a column each
    #[arg(long)]
    args: bool,
    /// Show what came out too: digests and sizes of the streams, the number of output files
    #[arg(long)]
    results: bool,
    /// How to print [default: table on a terminal, tsv elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    filter: filter::Args,
}

/// Prints the rows.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let filter = args.filter.filter()?;
    let listing = Listing::open(talk)?;
    let catalogue = listing.store().catalogue()?;
    let selection = filter.resolve(listing.store(), &catalogue)?;
    let format = args.format.unwrap_or_else(Format::fitting);
    let table = if args.columns.is_empty() {
        let arguments = args.args.then_some(More::Arguments);
        let results = args.results.then_some(More::Results);
        let more: Vec<More> = arguments.into_iter().chain(results).collect();
        Table::usual(&catalogue, &selection, &more, format.width())?
    } else {
        Table::of(&catalogue, &selection, &args.columns.iter().map(String::as_str).collect::<Vec<_>>())?
    };
    match format.print(table)? {
        true => Ok(()),
        false => Err(none()),
    }
}
