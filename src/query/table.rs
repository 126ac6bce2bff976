//! Calls as rows of named columns.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::{Argument, Fact};
use crate::store::{Catalogue, Row, Selection};

use super::describe::quoted;

/// Columns that every table has, in this order; tags follow as `tag.NAME`, so that none hides a column.
const COLUMNS: [&str; 9] = ["key", "name", "command", "exit", "started", "wall", "size", "hits", "grade"];

/// Which calls are wanted; all conditions must hold.
pub struct Filter {
    /// Tags that must be there, with this value if one is given.
    pub tags: Vec<(String, Option<String>)>,
    /// A glob for the command's name.
    pub name: Option<String>,
    /// How many calls at most.
    pub limit: Option<u64>,
}

/// Rows of facts under named columns.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Fact>>,
}

impl Table {
    /// The calls that `filter` lets through, the latest first.
    pub fn of(catalogue: &Catalogue, filter: &Filter) -> Result<Table> {
        let selection = Selection { name: filter.name.clone(), tags: filter.tags.clone(), limit: filter.limit };
        let calls = catalogue.rows(&selection)?;
        let mut tags: Vec<String> = calls.iter().flat_map(|call| call.tags.keys().cloned()).collect();
        tags.sort();
        tags.dedup();
        let rows = calls.iter().map(|call| row(call, &tags)).collect();
        let tags = tags.iter().map(|name| format!("tag.{name}"));
        Ok(Table { columns: COLUMNS.iter().map(|&name| name.to_owned()).chain(tags).collect(), rows })
    }

    /// Whether no call was let through.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A fact for each column and call.
    pub fn rows(&self) -> &[Vec<Fact>] {
        &self.rows
    }

    /// An object for each call; sizes in bytes, times in nanoseconds.
    pub fn json(&self) -> Vec<Value> {
        let object = |row: &Vec<Fact>| {
            let fields: Map<String, Value> = self.columns.iter().cloned().zip(row.iter().map(value)).collect();
            Value::Object(fields)
        };
        self.rows.iter().map(object).collect()
    }
}

fn row(call: &Row, tags: &[String]) -> Vec<Fact> {
    let words = call.argv.iter().map(|argument| match argument {
        Argument::Clear(word) => quoted(&word.to_string_lossy()),
        Argument::Redacted => "[redacted]".to_owned(),
    });
    let mut facts = vec![
        Fact::Digest(call.key.0),
        Fact::Text(call.name.to_string_lossy().into_owned()),
        Fact::Text(words.collect::<Vec<_>>().join(" ")),
        Fact::Number(i64::from(call.exit)),
        Fact::Time(call.started),
        Fact::Duration(call.wall),
        Fact::Bytes(call.bytes),
        Fact::Number(i64::try_from(call.hits).unwrap_or(i64::MAX)),
        Fact::Text(call.grade.clone()),
    ];
    facts.extend(tags.iter().map(|name| tag(&call.tags, name)));
    facts
}

fn tag(tags: &BTreeMap<String, String>, name: &str) -> Fact {
    tags.get(name).map_or(Fact::Nothing, |value| Fact::Text(value.clone()))
}

fn value(fact: &Fact) -> Value {
    match fact {
        Fact::Nothing => Value::Null,
        Fact::Text(text) => json!(text),
        Fact::Number(number) => json!(number),
        Fact::Digest(digest) => json!(digest.hex()),
        Fact::Bytes(bytes) => json!(bytes),
        Fact::Duration(nanoseconds) => json!(nanoseconds),
        Fact::Time(nanoseconds) => json!(nanoseconds),
    }
}
