//! `fleche show`: all that is known of a call.

use std::io::IsTerminal;

use crate::cmd::store;
use crate::error::{Error, Result};
use crate::model::Prefix;
use crate::query::describe;
use crate::store::Named;
use crate::ui::{self, JsonStyle};

/// Show all that is stored of a call
#[derive(clap::Args)]
pub struct Args {
    /// The call's key, or the first four or more characters of it
    #[arg(value_name = "KEY", add = super::candidates::keys())]
    key: Prefix,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the call.
pub fn run(args: Args) -> Result<()> {
    let store = store()?;
    let key = match store.resolve(&args.key)? {
        Named::Call(key) => key,
        Named::Value(digest) => {
            return Err(Error::no(format!("{} is a value, not a call", digest.short())));
        }
    };
    let call = store
        .call(&key)
        .map_err(|reason| Error::failure(format!("cannot read {}: {reason}", key.0.short())))?
        .ok_or_else(|| Error::no(format!("no call {} is stored", key.0.short())))?;
    if args.json {
        return ui::print(&ui::json(&describe::json(&call), JsonStyle::Indented));
    }
    let human = std::io::stdout().is_terminal();
    let mut text = String::new();
    for (name, fact) in describe::facts(&call) {
        text.push_str(&format!("{name:<12}  {}\n", ui::fact(&fact, human)));
    }
    ui::print(&text)
}
