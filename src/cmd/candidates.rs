//! What can be completed from the store: keys, tags, columns. Silent where there is nothing to read.

use std::ffi::OsStr;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::config;
use crate::store::{BUILT_IN, Peek};
use crate::ui;

/// Characters of a tag that no shell takes for anything else; others are not offered, because a shell would run them.
const HARMLESS: &str = "_-.+/:@%";

/// Keys of calls, with their commands beside them.
pub fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        let calls = peek().map(|peek| peek.calls(&typed.to_ascii_lowercase())).unwrap_or_default();
        calls.into_iter().map(|(key, command)| candidate(&key, &command)).collect()
    })
}

/// Names of tags, and names with values.
pub fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        let mut words: Vec<String> = Vec::new();
        for (name, value) in known_tags() {
            words.push(if typed.contains('=') { format!("{name}={value}") } else { format!("{name}=") });
        }
        words.dedup();
        words.retain(|word| word.starts_with(&typed));
        words.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Keys of calls, and names of tags.
pub fn keys_and_tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let shown = text(typed);
        let calls = peek().map(|peek| peek.calls(&shown.to_ascii_lowercase())).unwrap_or_default();
        let keys = calls.into_iter().map(|(key, command)| candidate(&key, &command));
        let mut names: Vec<String> = known_tags().into_iter().map(|(name, _)| format!("{name}=")).collect();
        names.dedup();
        names.retain(|name| name.starts_with(&shown));
        keys.chain(names.into_iter().map(CompletionCandidate::new)).collect()
    })
}

/// Names of commands.
pub fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        let mut names = peek().map(|peek| peek.names()).unwrap_or_default();
        names.retain(|name| name.starts_with(&typed) && is_harmless(name));
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Values of the tag `project`.
pub fn projects() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        let projects = known_tags().into_iter().filter(|(name, _)| name == "project").map(|(_, value)| value);
        projects.filter(|value| value.starts_with(&typed)).map(CompletionCandidate::new).collect()
    })
}

/// Names of caches.
pub fn caches() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        // Behind a comma another one is typed.
        let (before, begun) = typed.rsplit_once(',').map_or(("", typed.as_str()), |(before, begun)| (before, begun));
        let before = if before.is_empty() { String::new() } else { format!("{before},") };
        let names = config::settings().map(|settings| settings.names()).unwrap_or_default();
        let names = names.into_iter().filter(|name| name.starts_with(begun));
        names.map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
    })
}

/// Columns.
pub fn columns() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = text(typed);
        let built_in = BUILT_IN.iter().map(|column| (column.name.to_owned(), column.about));
        let mut tags: Vec<String> = known_tags().into_iter().map(|(name, _)| format!("tag.{name}")).collect();
        tags.dedup();
        let all = built_in.chain(tags.into_iter().map(|name| (name, "a tag")));
        all.filter(|(name, _)| name.starts_with(&typed)).map(|(name, meaning)| candidate(&name, meaning)).collect()
    })
}

fn known_tags() -> Vec<(String, String)> {
    let tags = peek().map(|peek| peek.tags()).unwrap_or_default();
    tags.into_iter().filter(|(name, value)| is_harmless(name) && is_harmless(value)).collect()
}

fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || HARMLESS.contains(c))
}

fn peek() -> Option<Peek> {
    Peek::open(&super::caches().ok()?.ok()?.first()?.folder()?.folder)
}

fn candidate(value: &str, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(ui::escape(help).into()))
}

/// What was typed; nothing begins with what is no text.
fn text(typed: &OsStr) -> String {
    typed.to_str().unwrap_or("\0").to_owned()
}
