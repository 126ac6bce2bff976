//! `fleche table`: the stored calls, a row each.

use std::io::IsTerminal;

use clap::ValueEnum;

use crate::cmd::store;
use crate::error::{Error, Result};
use crate::query::{Filter, Table};
use crate::ui::{self, JsonStyle, TableStyle};

/// List stored calls, the most recent first
///
/// In a pipe the table is tab-separated, without borders, with sizes in bytes and times in seconds.
#[derive(clap::Args)]
pub struct Args {
    /// Only calls with this tag, or with this value of it
    #[arg(short, long = "tag", value_name = "NAME[=VALUE]")]
    tag: Vec<String>,
    /// The same as --tag project=NAME
    #[arg(short, long, value_name = "NAME")]
    project: Option<String>,
    /// Only commands whose name matches
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// At most this many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How to print [default: table on a terminal, tsv elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Tsv,
    Json,
    Jsonl,
}

/// Prints the rows.
pub fn run(args: Args) -> Result<()> {
    let filter = Filter { tags: tags(&args), name: args.name, limit: args.limit };
    let catalogue = store()?.catalogue()?;
    let table = Table::of(&catalogue, &filter)?;
    if table.is_empty() {
        return Err(Error::no("no call matches"));
    }
    let default = if std::io::stdout().is_terminal() { Format::Table } else { Format::Tsv };
    match args.format.unwrap_or(default) {
        Format::Table => ui::print(&ui::draw(table.columns(), table.rows(), TableStyle::Bordered)),
        Format::Tsv => ui::print(&ui::draw(table.columns(), table.rows(), TableStyle::TabSeparated)),
        Format::Json => ui::print(&ui::json(&serde_json::Value::Array(table.json()), JsonStyle::Indented)),
        Format::Jsonl => ui::print(&table.json().iter().map(|row| ui::json(row, JsonStyle::Line)).collect::<String>()),
    }
}

/// Pairs of a name and, where one is asked for, a value.
fn tags(args: &Args) -> Vec<(String, Option<String>)> {
    let given = args.tag.iter().map(|word| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word.clone(), None),
    });
    given.chain(args.project.clone().map(|project| ("project".to_owned(), Some(project)))).collect()
}
