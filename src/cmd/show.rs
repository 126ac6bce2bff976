//! `fleche show`: all that is known of a call or a value.

use std::io::IsTerminal;

use serde_json::{Value, json};

use crate::cmd::store;
use crate::error::{Error, Result};
use crate::model::{Call, Digest, Fact, Prefix};
use crate::query::{Table, describe, object};
use crate::store::{Catalogue, Condition, Named, Selection, Store};
use crate::ui::{self, JsonStyle};

/// Show all that is stored of a call, or of a value and which calls name it
#[derive(clap::Args)]
pub struct Args {
    /// A call's key or a value's digest, or the first four or more characters of it
    #[arg(value_name = "KEY", required = true, add = super::candidates::keys())]
    keys: Vec<Prefix>,
    /// Print a JSON object for each
    #[arg(long)]
    json: bool,
}

/// Prints them, an empty line between two.
pub fn run(args: Args) -> Result<()> {
    let store = store()?;
    let catalogue = store.catalogue()?;
    let mut between = "";
    for prefix in &args.keys {
        let text = match store.resolve_by(&catalogue, prefix)? {
            Named::Call(key) => {
                let call = store
                    .call(&key)
                    .map_err(|reason| Error::failure(format!("cannot read {}: {reason}", key.0.short())))?
                    .ok_or_else(|| Error::no(format!("no call {} is stored", key.0.short())))?;
                call_text(&call, args.json)
            }
            Named::Value(digest) => {
                let value = Stored::of(&store, &catalogue, digest)?;
                if args.json { ui::json(&value.json(), JsonStyle::Indented) } else { lines(value.facts()) }
            }
        };
        ui::print(&format!("{}{text}", if args.json { "" } else { between }))?;
        between = "\n";
    }
    Ok(())
}

fn call_text(call: &Call, as_json: bool) -> String {
    if as_json { ui::json(&describe::json(call), JsonStyle::Indented) } else { lines(describe::facts(call)) }
}

fn lines(facts: Vec<(&'static str, Fact)>) -> String {
    let human = std::io::stdout().is_terminal();
    facts.into_iter().map(|(name, fact)| format!("{name:<12}  {}\n", ui::fact(&fact, human))).collect()
}

/// What is known of a value.
struct Stored {
    digest: Digest,
    length: u64,
    is_inline: bool,
    /// Of each call that names it, its key and its command line.
    calls: Vec<Vec<Fact>>,
}

const CALL_COLUMNS: [&str; 2] = ["key", "command"];

impl Stored {
    fn of(store: &Store, catalogue: &Catalogue, digest: Digest) -> Result<Stored> {
        let content = store.content(&digest)?;
        let content = content.ok_or_else(|| Error::no(format!("value {} is gone", digest.short())))?;
        let selection = Selection { conditions: vec![Condition::Value(digest)], ..Selection::default() };
        let mut calls = Vec::new();
        Table::of(catalogue, &selection, &CALL_COLUMNS)?.each(|row| {
            calls.push(row);
            Ok(())
        })?;
        Ok(Stored { digest, length: content.length, is_inline: content.inline.is_some(), calls })
    }

    fn facts(&self) -> Vec<(&'static str, Fact)> {
        let place = if self.is_inline { "in the files of its calls" } else { "in a file of its own" };
        let mut facts = vec![
            ("value", Fact::Text(self.digest.hex())),
            ("size", Fact::Bytes(self.length)),
            ("stored", Fact::Text(place.to_owned())),
        ];
        for row in &self.calls {
            let cells: Vec<String> = row.iter().map(|cell| ui::fact(cell, true)).collect();
            facts.push(("named by", Fact::Text(cells.join("  "))));
        }
        facts
    }

    fn json(&self) -> Value {
        let columns = CALL_COLUMNS.map(str::to_owned);
        let calls: Vec<Value> = self.calls.iter().map(|row| object(&columns, row)).collect();
        json!({"value": self.digest.hex(), "bytes": self.length, "inline": self.is_inline, "named_by": calls})
    }
}
