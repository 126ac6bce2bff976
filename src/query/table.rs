//! Calls as rows of named columns.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::model::Fact;
use crate::store::{BUILT_IN, Catalogue, Column, Selection};

/// Columns that a table has where nobody chooses.
const USUAL: [&str; 9] = ["key", "name", "command", "exit", "started", "walltime", "size", "hits", "grade"];
/// What is left out of these, in this order, where it is narrow, and the characters that each takes with its border.
const DISPENSABLE: [(&str, u16); 4] = [("grade", 11), ("name", 11), ("size", 12), ("hits", 7)];
/// Characters that all of them take, with a short command.
const WIDTH: u16 = 132;
/// Columns that say what came out.
const RESULTS: [&str; 5] = ["stdout", "stdout_size", "stderr", "stderr_size", "outputs"];
const TAGS: &str = "tag.*";
const ARGUMENTS: &str = "arg.*";

/// Rows of facts under named columns, read from the catalogue one by one.
pub struct Table<'a> {
    catalogue: &'a Catalogue,
    selection: &'a Selection,
    columns: Vec<Column>,
}

impl<'a> Table<'a> {
    /// The calls of a selection under the usual columns and those of `more`.
    ///
    /// Where only so many characters fit into a line, the least telling of the usual columns are left out.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn usual(
        catalogue: &'a Catalogue,
        selection: &'a Selection,
        more: &[More],
        width: Option<u16>,
    ) -> Result<Table<'a>> {
        let mut needed = WIDTH;
        let mut left_out = Vec::new();
        for (name, characters) in DISPENSABLE {
            if width.is_some_and(|width| width < needed) {
                needed -= characters;
                left_out.push(name);
            }
        }
        let more = more.iter().flat_map(|more| match more {
            More::Arguments => vec![ARGUMENTS],
            More::Results => RESULTS.to_vec(),
        });
        let usual = USUAL.into_iter().filter(|name| !left_out.contains(name));
        let names: Vec<&str> = usual.chain(more).chain([TAGS]).collect();
        Table::of(catalogue, selection, &names)
    }

    /// The calls of a selection under all columns.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn whole(catalogue: &'a Catalogue, selection: &'a Selection) -> Result<Table<'a>> {
        let names: Vec<&str> = BUILT_IN.iter().map(|column| column.name).chain([TAGS, ARGUMENTS]).collect();
        Table::of(catalogue, selection, &names)
    }

    /// The calls of a selection under these columns; `tag.*` and `arg.*` stand for as many as there are.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read, and of kind `Usage` where there is no such column.
    pub fn of(catalogue: &'a Catalogue, selection: &'a Selection, names: &[&str]) -> Result<Table<'a>> {
        let mut columns = Vec::new();
        for name in names {
            match *name {
                TAGS => columns.extend(catalogue.tag_names(selection)?.into_iter().map(Column::Tag)),
                ARGUMENTS => columns.extend((0..catalogue.most_arguments(selection)?).map(Column::Argument)),
                name => columns.push(column(name)?),
            }
        }
        if columns.is_empty() {
            return Err(Error::no("no call has such a column"));
        }
        Ok(Table { catalogue, selection, columns })
    }

    /// The same with digests that are shown short, each as long as it has to be to name what it names.
    pub fn for_people(mut self) -> Table<'a> {
        self.columns = self.columns.into_iter().map(Column::shortened).collect();
        self
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.columns.iter().map(Column::name).collect()
    }

    /// Shows the rows one by one, a fact for each column.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read, and what `show` fails with.
    pub fn each(&self, show: impl FnMut(Vec<Fact>) -> Result<()>) -> Result<()> {
        self.catalogue.each(self.selection, &self.columns, show)
    }
}

/// Columns that can be had beside the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// The arguments, one by one.
    Arguments,
    /// What came out.
    Results,
}

/// The column of this name.
///
/// # Errors
///
/// Of kind `Usage` where there is none.
pub fn column(name: &str) -> Result<Column> {
    Column::named(name).ok_or_else(|| {
        let names: Vec<&str> = BUILT_IN.iter().map(|column| column.name).collect();
        Error::usage(format!("there is no column `{name}`"))
            .hint(format!("columns are {}, tag.NAME, arg.N and env.NAME", names.join(", ")))
    })
}

/// A row as an object; sizes in bytes, times and durations in seconds.
pub fn object(columns: &[String], row: &[Fact]) -> Value {
    let fields: Map<String, Value> = columns.iter().cloned().zip(row.iter().map(value)).collect();
    Value::Object(fields)
}

fn value(fact: &Fact) -> Value {
    match fact {
        Fact::Nothing => Value::Null,
        Fact::Text(text) => json!(text),
        Fact::Number(number) => json!(number),
        Fact::Digest(digest) | Fact::Short(digest, _) => json!(digest.hex()),
        Fact::Bytes(bytes) => json!(bytes),
        Fact::Duration(nanoseconds) => json!(*nanoseconds as f64 / 1e9),
        Fact::Time(nanoseconds) => json!(*nanoseconds as f64 / 1e9),
    }
}
