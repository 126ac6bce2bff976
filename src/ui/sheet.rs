//! Rows on standard output, one by one, in the format that was asked for.

use std::io::{self, StdoutLock, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::Fact;

use super::{JsonStyle, Style, escape, fact, json, painted};

/// Rows that are being written.
pub struct Sheet {
    format: Format,
    out: io::BufWriter<StdoutLock<'static>>,
    rows: u64,
}

enum Format {
    /// Drawn at the end, because a column is as wide as its widest cell.
    Drawn(Box<Table>, Cells),
    Separated(Vec<String>),
    Csv(Vec<String>),
    Json,
    JsonLines,
}

/// What stands in the cells of a drawn table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cells {
    /// Short digests, round numbers with units.
    ForPeople,
    /// The same, with what Markdown would take for a border made harmless.
    ForMarkdown,
}

impl Sheet {
    /// With borders, for people.
    pub fn drawn(columns: &[String]) -> Sheet {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|name| escape(name)));
        if let Some(width) = terminal_width() {
            // What is long gives way, and is cut rather than wrapped: a row stays a line.
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            for (column, name) in table.column_iter_mut().zip(columns) {
                column.set_constraint(match is_long(name) {
                    true => ColumnConstraint::LowerBoundary(Width::Fixed(least_width(name))),
                    false => ColumnConstraint::ContentWidth,
                });
            }
        }
        Sheet::new(Format::Drawn(Box::new(table), Cells::ForPeople))
    }

    /// A table for documents.
    pub fn markdown(columns: &[String]) -> Sheet {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|name| for_markdown(&escape(name))));
        Sheet::new(Format::Drawn(Box::new(table), Cells::ForMarkdown))
    }

    /// Tab-separated, digests whole, bytes and seconds as numbers.
    pub fn tsv(columns: &[String]) -> Sheet {
        Sheet::new(Format::Separated(columns.to_vec()))
    }

    /// Tab-separated without a heading.
    pub fn lines() -> Sheet {
        Sheet::tsv(&[])
    }

    /// The same as [`tsv`](Sheet::tsv), comma-separated as in RFC 4180.
    pub fn csv(columns: &[String]) -> Sheet {
        Sheet::new(Format::Csv(columns.to_vec()))
    }

    /// An array of objects.
    pub fn json() -> Sheet {
        Sheet::new(Format::Json)
    }

    /// An object a line.
    pub fn jsonl() -> Sheet {
        Sheet::new(Format::JsonLines)
    }

    fn new(format: Format) -> Sheet {
        Sheet { format, out: io::BufWriter::with_capacity(1 << 16, io::stdout().lock()), rows: 0 }
    }

    /// A row; the heading before the first one.
    ///
    /// # Errors
    ///
    /// Where standard output takes no more, of kind [`Unheard`](crate::error::Kind::Unheard) where nobody reads it.
    pub fn row(&mut self, facts: &[Fact]) -> Result<()> {
        self.rows += 1;
        let raw = || facts.iter().map(|cell| fact(cell, false));
        let written = match &mut self.format {
            Format::Drawn(table, cells) => {
                let people = facts.iter().map(|cell| cut(fact(cell, true)));
                let mut row = match cells {
                    Cells::ForPeople => Row::from(people),
                    Cells::ForMarkdown => Row::from(people.map(|text| for_markdown(&text))),
                };
                row.max_height(1);
                table.add_row(row);
                Ok(())
            }
            Format::Separated(columns) => {
                let heading = std::mem::take(columns);
                let heading =
                    if heading.is_empty() { String::new() } else { line(heading.iter().map(|n| escape(n)), "\t") };
                write!(self.out, "{heading}{}", line(raw(), "\t"))
            }
            Format::Csv(columns) => {
                let heading = std::mem::take(columns);
                let heading = if heading.is_empty() {
                    String::new()
                } else {
                    line(heading.iter().map(|n| quoted(&escape(n))), ",")
                };
                write!(self.out, "{heading}{}", line(raw().map(|text| quoted(&text)), ","))
            }
            Format::Json | Format::JsonLines => Ok(()),
        };
        written.map_err(not_written)
    }

    /// A row as an object, for the formats that have them.
    ///
    /// # Errors
    ///
    /// As [`Sheet::row`].
    pub fn object(&mut self, object: &Value) -> Result<()> {
        let before = if self.rows == 0 { "[\n" } else { ",\n" };
        self.rows += 1;
        let text = json(object, JsonStyle::Line);
        let written = match &self.format {
            Format::Json => write!(self.out, "{before}  {}", text.trim_end()),
            _ => write!(self.out, "{text}"),
        };
        written.map_err(not_written)
    }

    /// The end; says whether there was a row.
    ///
    /// # Errors
    ///
    /// As [`Sheet::row`].
    pub fn end(mut self) -> Result<bool> {
        if self.rows == 0 {
            return Ok(false);
        }
        let ended = match &self.format {
            Format::Drawn(table, Cells::ForPeople) => writeln!(self.out, "{}", with_heading(&table.to_string())),
            Format::Drawn(table, Cells::ForMarkdown) => writeln!(self.out, "{table}"),
            Format::Json => self.out.write_all(b"\n]\n"),
            Format::Separated(_) | Format::Csv(_) | Format::JsonLines => Ok(()),
        };
        ended.and_then(|()| self.out.flush()).map_err(not_written)?;
        Ok(true)
    }
}

/// The columns of the terminal that standard output is, if it is one.
pub fn terminal_width() -> Option<u16> {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok().map(|size| size.ws_col).filter(|width| *width > 0)
}

/// Whether cells of this column may be long, and still say something when they are cut.
fn is_long(column: &str) -> bool {
    let is_path = ["command", "program", "cwd", "root"].contains(&column);
    is_path || ["arg.", "tag.", "env."].iter().any(|space| column.starts_with(space))
}

/// A cell of which no terminal shows more, and which does not exceed what the drawing of tables counts with.
fn cut(cell: String) -> String {
    const MOST: usize = 2000;
    match cell.char_indices().nth(MOST) {
        None => cell,
        Some((end, _)) => format!("{}…", &cell[..end]),
    }
}

/// Characters that a column keeps with its padding, however narrow the terminal is.
fn least_width(column: &str) -> u16 {
    const SHORT_COMMAND: usize = 16;
    let least = if column == "command" { SHORT_COMMAND } else { column.chars().count() };
    u16::try_from(least + 4).unwrap_or(u16::MAX)
}

fn line(cells: impl Iterator<Item = String>, separator: &str) -> String {
    let mut line = cells.collect::<Vec<_>>().join(separator);
    line.push('\n');
    line
}

/// A drawn table, whose second line has the names of the columns.
fn with_heading(drawn: &str) -> String {
    let painted = |(n, line): (usize, &str)| if n == 1 { painted(Style::Heading, line) } else { line.to_owned() };
    drawn.lines().enumerate().map(painted).collect::<Vec<_>>().join("\n")
}

/// A cell of comma-separated text, which holds no line feed.
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

fn for_markdown(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|")
}

/// The error for standard output that takes no more.
pub(super) fn not_written(why: io::Error) -> Error {
    match why.kind() {
        io::ErrorKind::BrokenPipe => Error::unheard(),
        _ => Error::failure("cannot write standard output").because(why),
    }
}
