//! `fleche config`: the lists that fleche goes by.

use clap::Subcommand;
use serde_json::json;

use crate::engine;
use crate::error::Result;
use crate::ui::{self, JsonStyle};

/// Print the lists that fleche goes by
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    list: List,
    /// The list and its version as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum List {
    /// The environment variables that do not count, one a line; `*` stands for any ending
    Env,
    /// The files and folders of which a watched command is not observed unless its arguments name them, one a line
    Trace,
}

/// Prints the list.
pub fn run(args: Args) -> Result<()> {
    let (name, version, lines) = match args.list {
        List::Env => ("variables", engine::VOLATILE_VERSION, engine::VOLATILE),
        List::Trace => ("paths", engine::UNOBSERVED_VERSION, engine::UNOBSERVED),
    };
    if args.json {
        return ui::print(&ui::json(&json!({"version": version, name: lines}), JsonStyle::Indented));
    }
    ui::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}
