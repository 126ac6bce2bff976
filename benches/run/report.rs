//! The one table.

use comfy_table::{CellAlignment, Table, presets};

use super::race::{Quartiles, Samples};

/// What is measured, for one program.
#[derive(Default)]
pub struct Row {
    pub case: String,
    pub program: String,
    /// The measured value with its unit.
    pub measured: String,
    /// What the ratio is to.
    pub against: String,
    pub ratio: Option<Quartiles>,
    pub limit: Option<Limit>,
    /// What the limit is for, where that is not the ratio.
    pub value: Option<f64>,
}

/// What must hold.
#[derive(Clone, Copy)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// Rows in the order in which they came.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A row for what could not be measured, with the reason.
    pub fn skip(&mut self, case: impl Into<String>, why: impl Into<String>) {
        self.add(Row { case: case.into(), measured: format!("skipped: {}", why.into()), ..Row::default() });
    }

    /// All rows, as they stand in `benches/README.md`.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["case", "program", "measured", "against", "ratio", "quartiles", "limit", ""]);
        for row in &self.rows {
            table.add_row([
                row.case.clone(),
                row.program.clone(),
                row.measured.clone(),
                row.against.clone(),
                row.ratio.map_or(String::new(), |ratio| format!("{:.2}", ratio.median)),
                row.ratio.map_or(String::new(), |ratio| format!("{:.2} to {:.2}", ratio.low, ratio.high)),
                row.limit.map_or(String::new(), Limit::text),
                row.verdict().to_owned(),
            ]);
        }
        for number in [2, 4, 5, 6] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

impl Row {
    /// The median of what was measured of a program.
    pub fn of(case: &str, program: &str, samples: &Samples) -> Row {
        let (case, program) = (case.to_owned(), program.to_owned());
        Row { case, program, measured: seconds(samples.median()), ..Row::default() }
    }

    /// The same with the ratio of `own` samples to those of another program.
    pub fn beside(self, own: &Samples, other: &Samples, against: &str, limit: Option<Limit>) -> Row {
        Row { against: against.to_owned(), ratio: Some(own.ratio(other)), limit, ..self }
    }

    fn verdict(&self) -> &'static str {
        let value = self.value.or(self.ratio.map(|ratio| ratio.median));
        match (value, self.limit) {
            (Some(value), Some(limit)) if limit.holds(value) => "ok",
            (Some(_), Some(Limit::AtMost(_))) => "over",
            (Some(_), Some(Limit::AtLeast(_))) => "under",
            _ => "",
        }
    }
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Limit::AtMost(most) => value <= most,
            Limit::AtLeast(least) => value >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::AtMost(most) => ((most * 1000.0).round() / 1000.0).to_string(),
            Limit::AtLeast(least) => format!("{least} at least"),
        }
    }
}

/// A time for people.
pub fn seconds(time: f64) -> String {
    if time < 1.0 { format!("{:.3} ms", time * 1e3) } else { format!("{time:.2} s") }
}

/// A size for people.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
