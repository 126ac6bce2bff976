//! What is in force, line by line, and where each comes from.

use std::fmt;

use serde_json::{Value, json};

use crate::error::Result;

use super::environment;
use super::keys::{CACHE, FLAGS, REMOTE};
use super::place::Place;
use super::settings::{Asker, LOCAL, Settings, is_literal_key};
use super::wanted;

/// A key that is in force.
#[derive(Debug)]
pub struct Line {
    /// The table that it stands in; empty for the top of the file.
    pub table: String,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Who says so.
    pub source: Source,
}

/// Who says something.
#[derive(Clone, Debug)]
pub enum Source {
    /// Nobody: so it is without.
    Usual,
    /// A flag or a variable.
    Caller(&'static str),
    /// A file.
    File(Place),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Usual => f.write_str("default"),
            Source::Caller(name) => f.write_str(name),
            Source::File(place) => write!(f, "{place}"),
        }
    }
}

impl Line {
    /// As a file would hold it.
    pub fn toml(&self) -> String {
        format!("{} = {}", self.key, toml(&self.value))
    }
}

/// Everything that is in force here; each `[[command]]` begins with its `match`.
///
/// # Errors
///
/// Caches that are asked for and nowhere described.
pub fn lines(settings: &Settings) -> Result<Vec<Line>> {
    let mut lines = vec![stack(settings)?];
    for name in settings.names() {
        lines.extend(cache(settings, name));
    }
    lines.extend(defaults(settings));
    for rule in settings.files.iter().flat_map(|file| &file.rules) {
        let line = |key: &str, value: &Value, place: &Place| Line {
            table: "command".to_owned(),
            key: key.to_owned(),
            value: value.clone(),
            source: Source::File(place.clone()),
        };
        lines.push(line("match", &json!(rule.matching.written()), &rule.place));
        lines.extend(rule.table.iter().map(|setting| line(setting.name, &setting.value, &setting.place)));
    }
    Ok(lines)
}

fn stack(settings: &Settings) -> Result<Line> {
    let wanted = wanted()?;
    settings.stack(&wanted)?.ok();
    let source = match wanted.by {
        Asker::Nobody => Source::Usual,
        Asker::Caller(name) => Source::Caller(name),
        Asker::File(setting) => Source::File(setting.place),
    };
    let words: Vec<String> = wanted.words.iter().map(|word| word.display().to_string()).collect();
    Ok(Line { table: String::new(), key: "cache".to_owned(), value: json!(words), source })
}

fn cache(settings: &Settings, name: &str) -> Vec<Line> {
    let is_remote = settings.of_cache(name, "url").is_some();
    let keys = CACHE.iter().chain(REMOTE.iter().filter(|_| is_remote));
    let lines = keys.filter_map(|key| {
        let (value, source) = match settings.of_cache(name, key.name) {
            // It may stand there itself.
            Some(setting) if key.name == "signing-key" && setting.value.as_str().is_some_and(is_literal_key) => {
                (json!("[redacted]"), Source::File(setting.place.clone()))
            }
            Some(setting) => (setting.value.clone(), Source::File(setting.place.clone())),
            None if key.name == "path" && name == LOCAL => {
                (json!(environment::cache_folder().ok()?.to_string_lossy()), Source::Usual)
            }
            None if key.name == "access" && is_remote => (json!("read-only"), Source::Usual),
            None if key.name == "shared" && is_remote => return None,
            None => (json!(key.usual?.trim_matches('"')), Source::Usual),
        };
        Some(Line { table: format!("caches.{name}"), key: key.name.to_owned(), value, source })
    });
    lines.collect()
}

fn defaults(settings: &Settings) -> Vec<Line> {
    let ruling = settings.defaults();
    let line = |key: String, value: Value, source| Line { table: "defaults".to_owned(), key, value, source };
    let mut lines = Vec::new();
    for key in FLAGS {
        let given = ruling.setting(key.name).map(|given| (given.value.clone(), Source::File(given.place.clone())));
        let usual = || key.usual.and_then(|usual| Some((serde_json::from_str(usual).ok()?, Source::Usual)));
        let found = match (key.name, environment::mode()) {
            ("mode", Some(mode)) => Some((json!(mode), Source::Caller("FLECHE_MODE"))),
            _ => given.or_else(usual),
        };
        lines.extend(found.map(|(value, source)| line(key.name.to_owned(), value, source)));
    }
    let mut tags: Vec<(String, String, Source)> = Vec::new();
    let files = ruling.tags().iter();
    tags.extend(files.map(|(name, (value, place))| (name.clone(), value.clone(), Source::File(place.clone()))));
    let project =
        environment::project().map(|project| ("project".to_owned(), project, Source::Caller("FLECHE_PROJECT")));
    let variable = environment::tags();
    let variable = variable.iter().filter_map(|word| word.split_once('='));
    let variable = variable.map(|(name, value)| (name.to_owned(), value.to_owned(), Source::Caller("FLECHE_TAGS")));
    for (name, value, source) in project.into_iter().chain(variable) {
        tags.retain(|(other, ..)| *other != name);
        tags.push((name, value, source));
    }
    lines.extend(
        tags.into_iter().map(|(name, value, source)| line(format!("tags.{}", bare(&name)), json!(value), source)),
    );
    lines
}

/// A value as a file would hold it, in one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{} = {}", bare(name), toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        // JSON's texts are TOML's, but for one character.
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// A name as a key.
fn bare(name: &str) -> String {
    match name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && !name.is_empty() {
        true => name.to_owned(),
        false => toml(&json!(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_toml() {
        assert_eq!(toml(&json!(["a\"b", "c\n\u{7f}"])), "[\"a\\\"b\", \"c\\n\\u007f\"]");
        assert_eq!(toml(&json!({"a": "1", "a.b": true})), "{ a = \"1\", \"a.b\" = true }");
        assert_eq!((toml(&json!({})), toml(&json!(7)), bare("")), ("{}".into(), "7".into(), "\"\"".into()));
    }
}
