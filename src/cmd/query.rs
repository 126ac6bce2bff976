//! `fleche query`: the keys of the calls that match.

use crate::error::Result;
use crate::query::{Table, none};
use crate::ui::{self, Sheet, Talk};

use super::filter;
use super::listing::Listing;
use super::sheet::Format;

/// Print the keys of stored calls, one a line, the most recent first
///
/// Where `--cache` names nothing but a store beyond this machine, these are the calls that it has: they are fetched, without the
/// large values that lie there by themselves, and forgotten again.
#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON object a line, with all columns, tags and arguments
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print how many there are
    #[arg(long, conflicts_with_all = ["json", "format"])]
    count: bool,
    /// Print the columns of `fleche table` in this format
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    filter: filter::Args,
}

/// Prints the keys.
pub fn run(args: Args, talk: &Talk) -> Result<()> {
    let filter = args.filter.filter()?;
    let listing = Listing::open(talk)?;
    let catalogue = listing.store().catalogue()?;
    let selection = filter.resolve(listing.store(), &catalogue)?;
    if args.count {
        let count = catalogue.count(&selection)?;
        ui::print(&format!("{count}\n"))?;
        return if count > 0 { Ok(()) } else { Err(none()) };
    }
    let found = match args.format {
        Some(format) => format.print(Table::usual(&catalogue, &selection, &[], format.width())?)?,
        None if args.json => Format::Jsonl.print(Table::whole(&catalogue, &selection)?)?,
        None => {
            let mut lines = Sheet::lines();
            Table::of(&catalogue, &selection, &["key"])?.each(|row| lines.row(&row))?;
            lines.end()?
        }
    };
    if found { Ok(()) } else { Err(none()) }
}
