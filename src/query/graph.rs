//! Which call made the inputs of which: what one printed or wrote and another looked at is the same value.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::Result;
use crate::model::{Argument, Call, Digest, Key, Reference, SCHEME, command_line, is_harmful};
use crate::store::{Catalogue, Store};

/// Calls, and what went from one to the other.
#[derive(Debug, Default)]
pub struct Graph {
    calls: BTreeMap<Key, Node>,
    /// Calls that were asked for, in the order of the question.
    asked: Vec<Key>,
}

#[derive(Debug)]
struct Node {
    command: String,
    /// What it looked at that another call had made, in the order in which it looked.
    from: Vec<Edge>,
}

#[derive(Debug, PartialEq, Eq)]
struct Edge {
    maker: Key,
    path: PathBuf,
    digest: Digest,
}

impl Graph {
    /// These calls, and all that made what they looked at, directly or through others. A call that is gone or damaged is left
    /// out.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn of(store: &Store, catalogue: &Catalogue, asked: Vec<Key>) -> Result<Graph> {
        let mut graph = Graph::default();
        let mut waiting: Vec<Key> = asked.iter().rev().copied().collect();
        while let Some(key) = waiting.pop() {
            if graph.calls.contains_key(&key) {
                continue;
            }
            let Ok(Some(call)) = store.call(&key) else { continue };
            let from = edges(catalogue, &call)?;
            waiting.extend(from.iter().rev().map(|edge| edge.maker));
            graph.calls.insert(key, Node { command: command_line(&call.argv), from });
        }
        // What was named by another call and then could not be read.
        let known: BTreeSet<Key> = graph.calls.keys().copied().collect();
        for node in graph.calls.values_mut() {
            node.from.retain(|edge| known.contains(&edge.maker));
        }
        graph.asked = asked.into_iter().filter(|key| known.contains(key)).collect();
        Ok(graph)
    }

    /// Whether there is no call in it.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// A line a call, with what made its inputs indented below it. What was shown above is not shown again.
    pub fn tree(&self) -> Vec<Line> {
        let made: HashSet<Key> = self.calls.values().flat_map(|node| &node.from).map(|edge| edge.maker).collect();
        let mut shown = HashSet::new();
        let mut lines = Vec::new();
        // First what nobody used; then what is left: calls that made each other's inputs.
        let (last, others): (Vec<Key>, Vec<Key>) = self.asked.iter().partition(|key| !made.contains(key));
        for key in last.into_iter().chain(others) {
            if !shown.contains(&key) {
                self.branch(key, &mut shown, &mut lines);
            }
        }
        lines
    }

    fn branch(&self, root: Key, shown: &mut HashSet<Key>, lines: &mut Vec<Line>) {
        let mut waiting = vec![(root, None, String::new(), String::new())];
        while let Some((key, path, indent, below)) = waiting.pop() {
            let Some(node) = self.calls.get(&key) else { continue };
            let is_first = shown.insert(key);
            lines.push(Line {
                indent,
                path,
                key,
                command: node.command.clone(),
                is_repeated: !is_first && !node.from.is_empty(),
            });
            if !is_first {
                continue;
            }
            let last = node.from.len().saturating_sub(1);
            for (number, edge) in node.from.iter().enumerate().rev() {
                let (branch, more) = if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                let path = Some(edge.path.to_string_lossy().into_owned());
                waiting.push((edge.maker, path, format!("{below}{branch}"), format!("{below}{more}")));
            }
        }
    }

    /// As text for Graphviz.
    pub fn dot(&self) -> String {
        let escaped = |text: &str| plain(text).replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = String::from("digraph fleche {\n  rankdir=LR;\n  node [shape=box];\n");
        for (key, node) in &self.calls {
            text.push_str(&format!("  \"{}\" [label=\"{}\"];\n", key.0.short(), escaped(&node.command)));
        }
        for (key, edge) in self.edges() {
            let path = escaped(&edge.path.to_string_lossy());
            text.push_str(&format!("  \"{}\" -> \"{}\" [label=\"{path}\"];\n", edge.maker.0.short(), key.0.short()));
        }
        text.push_str("}\n");
        text
    }

    /// As text for Mermaid.
    pub fn mermaid(&self) -> String {
        let escaped = |text: &str| plain(text).replace('#', "#35;").replace('"', "#quot;").replace('`', "#96;");
        let mut text = String::from("graph LR\n");
        for (key, node) in &self.calls {
            text.push_str(&format!("  c{}[\"{}\"]\n", key.0.short(), escaped(&node.command)));
        }
        for (key, edge) in self.edges() {
            let path = escaped(&edge.path.to_string_lossy());
            text.push_str(&format!("  c{} -->|\"{path}\"| c{}\n", edge.maker.0.short(), key.0.short()));
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let calls = self.calls.iter().map(|(key, node)| json!({"key": key.to_string(), "command": node.command}));
        let edges = self.edges().map(|(key, edge)| {
            json!({
                "from": edge.maker.to_string(),
                "to": key.to_string(),
                "path": edge.path.to_string_lossy(),
                "digest": edge.digest.hex(),
            })
        });
        json!({"calls": calls.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>()})
    }

    fn edges(&self) -> impl Iterator<Item = (&Key, &Edge)> {
        self.calls.iter().flat_map(|(key, node)| node.from.iter().map(move |edge| (key, edge)))
    }
}

/// A line of a tree.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// What stands before it.
    pub indent: String,
    /// The input that the call made, for the line above it; none at the top.
    pub path: Option<String>,
    /// The call.
    pub key: Key,
    /// Its command line.
    pub command: String,
    /// Whether what made its inputs was shown already.
    pub is_repeated: bool,
}

/// What a call looked at that others had made.
fn edges(catalogue: &Catalogue, call: &Call) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    for seen in &call.observations {
        let Some(digest) = seen.state.content().filter(|digest| **digest != Digest::of(b"")) else { continue };
        let place = call.root.join(&seen.path);
        let started = call.metadata.usage.started;
        if let Some(maker) = catalogue.maker(digest, &call.key, place.as_os_str().as_bytes(), started)? {
            edges.push(Edge { maker, path: seen.path.clone(), digest: *digest });
        }
    }
    for (position, argument) in call.argv.iter().enumerate().skip(1) {
        let Argument::Clear(word) = argument else { continue };
        let Some(digest) = stored_value(word) else { continue };
        if let Some(maker) = catalogue.maker(&digest, &call.key, b"", call.metadata.usage.started)? {
            edges.push(Edge { maker, path: format!("argument {position}").into(), digest });
        }
    }
    Ok(edges)
}

/// The value that an argument names as it is recorded: `fleche:` and a whole digest.
fn stored_value(word: &OsStr) -> Option<Digest> {
    let begin = Reference::place_in(word)? + SCHEME.len();
    let hex = word.as_bytes().get(begin..begin + 64)?;
    std::str::from_utf8(hex).ok()?.parse().ok()
}

/// Text on one line, with nothing in it that could drive a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}
