//! `fleche graph`: which call made the inputs of which.

use clap::ValueEnum;

use crate::error::Result;
use crate::query::{Graph, none};
use crate::store::Selection;
use crate::ui::{self, JsonStyle, Style};

use super::chosen::{self, Chosen};
use super::store;

/// Show which call made the inputs of which
///
/// What one call printed or wrote and another looked at, by its digest, leads from the one to the other. Below each call
/// stands what made its inputs, each with the input's path.
#[derive(clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    #[command(flatten)]
    chosen: chosen::Args,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A tree of lines
    #[default]
    Tree,
    /// For Graphviz
    Dot,
    /// For Mermaid, as in Markdown pages
    Mermaid,
    /// An object with calls and edges
    Json,
}

/// Prints the graph.
pub fn run(args: Args) -> Result<()> {
    let store = store()?;
    let catalogue = store.catalogue()?;
    let keys = match args.chosen.calls(&store, &catalogue)? {
        Chosen::These(keys) => keys,
        Chosen::Everything => catalogue.keys(&Selection::default())?,
    };
    let graph = Graph::of(&store, &catalogue, keys)?;
    if graph.is_empty() {
        return Err(none());
    }
    ui::print(&match args.format {
        Format::Tree => tree(&graph),
        Format::Dot => graph.dot(),
        Format::Mermaid => graph.mermaid(),
        Format::Json => ui::json(&graph.json(), JsonStyle::Indented),
    })
}

fn tree(graph: &Graph) -> String {
    let mut text = String::new();
    for line in graph.tree() {
        let path = line.path.map_or(String::new(), |path| format!("{}: ", ui::escape(&path)));
        let above = if line.is_repeated { " (above)" } else { "" };
        let key = ui::painted(Style::Faint, &line.key.0.short());
        text.push_str(&format!("{}{path}{key} {}{above}\n", line.indent, ui::escape(&line.command)));
    }
    text
}
