//! How rows are printed, shared by every subcommand that prints some.

use std::io::IsTerminal;

use clap::ValueEnum;

use crate::error::Result;
use crate::query::{Table, object};
use crate::ui::{self, Sheet};

/// The formats of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With borders, for people
    Table,
    /// An array of objects
    Json,
    /// An object a line
    Jsonl,
    /// Comma-separated
    Csv,
    /// Tab-separated
    Tsv,
    /// A table for documents
    Markdown,
}

impl Format {
    /// What fits standard output where nobody chooses.
    pub fn fitting() -> Format {
        if std::io::stdout().is_terminal() { Format::Table } else { Format::Tsv }
    }

    /// The characters of a line, where that is limited: a terminal's, for what is drawn.
    pub fn width(self) -> Option<u16> {
        if self == Format::Table { ui::terminal_width() } else { None }
    }

    /// Prints a table row by row; says whether there was one.
    pub fn print(self, table: Table) -> Result<bool> {
        let table = if matches!(self, Format::Table | Format::Markdown) { table.for_people() } else { table };
        let columns = table.columns();
        let mut sheet = match self {
            Format::Table => Sheet::drawn(&columns),
            Format::Markdown => Sheet::markdown(&columns),
            Format::Csv => Sheet::csv(&columns),
            Format::Tsv => Sheet::tsv(&columns),
            Format::Json => Sheet::json(),
            Format::Jsonl => Sheet::jsonl(),
        };
        table.each(|row| match self {
            Format::Json | Format::Jsonl => sheet.object(&object(&columns, &row)),
            _ => sheet.row(&row),
        })?;
        sheet.end()
    }
}
