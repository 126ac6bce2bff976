//! One file of configuration: from its text to settings, each with its place, and to all that is wrong in it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{CACHE, EXCLUSIVE, FLAGS, Key, REMOTE, RULE, TABLES, TOP};
use super::place::{Fault, Lines, Place, listed, nearest};
use super::settings::words;
use crate::model::Matching;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `fleche.toml`, which a checkout brings along; so many folders above the working directory.
    Project {
        /// How many.
        up: usize,
    },
    /// The user's own.
    User,
}

/// What a key was given.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// The value, of the key's kind.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// Keys that were given together.
pub type Table = Vec<Setting>;

/// A `[[command]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Of which commands it tells.
    pub matching: Matching,
    /// What it says of them.
    pub table: Table,
    /// Where it begins.
    pub place: Place,
}

/// What a file says.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path.
    pub path: Arc<Path>,
    /// Whose it is.
    pub origin: Origin,
    /// What stands at its top.
    pub top: Table,
    /// `[defaults]`.
    pub defaults: Table,
    /// `[caches.NAME]`, with where each name stands.
    pub caches: BTreeMap<String, (Place, Table)>,
    /// In their order.
    pub rules: Vec<Rule>,
}

impl File {
    /// Reads `bytes`, the content of the file at `path`. What makes no sense is left out, and is in the faults.
    pub fn read(path: &Path, origin: Origin, bytes: &[u8]) -> (File, Vec<Fault>) {
        let path: Arc<Path> = Arc::from(path);
        let (top, defaults, caches, rules) = Default::default();
        let file = File { path: Arc::clone(&path), origin, top, defaults, caches, rules };
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).map(std::str::from_utf8);
                let text = valid.and_then(Result::ok).unwrap_or_default();
                let place = Lines::of(&path, text).place(text.len());
                return (file, vec![place.fault("this is not UTF-8", None)]);
            }
        };
        let lines = Lines::of(&path, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading { file, lines, faults: Vec::new() };
        if errors.is_empty() {
            reading.top(table.get_ref());
        }
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let message = super::place::one_line(error.message());
            reading.fault(at..at, message, None);
        }
        (reading.file, reading.faults)
    }

    /// Whether files of folders above it do not count.
    pub fn is_root(&self) -> bool {
        self.top.iter().any(|setting| setting.name == "root" && setting.value == Value::Bool(true))
    }
}

/// A file that is being read.
struct Reading<'a> {
    file: File,
    lines: Lines<'a>,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(self.lines.place(span.start).fault(message, hint));
    }

    fn top(&mut self, table: &DeTable) {
        let mut plain = Vec::new();
        for (name, value) in in_order(table) {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(table)) => {
                    self.file.defaults = self.table(in_order(table), &[FLAGS], Part::Defaults)
                }
                ("caches", DeValue::Table(table)) => self.caches(table),
                ("command", DeValue::Array(rules)) if rules.iter().all(|rule| rule.get_ref().is_table()) => {
                    rules.iter().for_each(|rule| self.rule(rule));
                }
                ("defaults" | "caches", _) => {
                    self.fault(value.span(), format!("`{}` has to be a table", name.get_ref()), None);
                }
                ("command", _) => {
                    self.fault(value.span(), "`command` has to be a list of tables", Some("[[command]]".to_owned()))
                }
                _ => plain.push((name, value)),
            }
        }
        self.file.top = self.table(plain, &[TOP], Part::Top);
    }

    fn caches(&mut self, table: &DeTable) {
        for (name, value) in in_order(table) {
            let text = name.get_ref().as_ref();
            let Some(table) = value.get_ref().as_table() else {
                self.fault(value.span(), format!("`caches.{text}` has to be a table"), None);
                continue;
            };
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
                let hint = "a cache's name is made of letters, digits and `_-.`";
                self.fault(name.span(), format!("`{text}` cannot be the name of a cache"), Some(hint.to_owned()));
                continue;
            }
            let settings = self.table(in_order(table), &[CACHE, REMOTE], Part::Cache);
            let place = self.lines.place(name.span().start);
            self.file.caches.insert(text.to_owned(), (place, settings));
        }
    }

    fn rule(&mut self, rule: &Spanned<DeValue>) {
        let Some(table) = rule.get_ref().as_table() else { return };
        let place = self.lines.place(rule.span().start);
        let faults = self.faults.len();
        let mut settings = self.table(in_order(table), &[RULE, FLAGS], Part::Command);
        let found = settings.iter().position(|setting| setting.name == "match").map(|at| settings.remove(at));
        match found {
            Some(found) => {
                self.file.rules.push(Rule { matching: Matching::of(words(&found.value)), table: settings, place });
            }
            None if self.faults.len() == faults => {
                self.faults.push(place.fault("this rule lacks `match`", Some("match = [\"cc\", \"*\"]".to_owned())));
            }
            None => {}
        }
    }

    /// The settings of a table that has these keys.
    fn table(&mut self, entries: Vec<Entry>, keys: &[&'static [Key]], part: Part) -> Table {
        let mut settings = Table::new();
        for (name, value) in entries {
            let text = name.get_ref().as_ref();
            let Some(key) = keys.iter().copied().flatten().find(|key| key.name == text) else {
                self.fault(name.span(), format!("unknown key `{text}`{}", part.where_it_is()), part.advice(text, keys));
                continue;
            };
            match key.kind.read(value) {
                Err(complaint) => {
                    self.fault(complaint.span, format!("`{text}` {}", complaint.message), complaint.hint);
                }
                Ok(read) => {
                    let place = self.lines.place(name.span().start);
                    match self.forbidden(key, &read) {
                        Some((message, hint)) => self.faults.push(place.fault(message, hint.map(str::to_owned))),
                        None => settings.push(Setting { name: key.name, value: read, place }),
                    }
                }
            }
        }
        self.contradictions(&settings);
        settings
    }

    /// Why this file may not say that, and what to do.
    fn forbidden(&self, key: &Key, value: &Value) -> Option<(&'static str, Option<&'static str>)> {
        let holds = |is_bad: &dyn Fn(&str) -> bool| {
            value.as_array().is_some_and(|words| words.iter().filter_map(Value::as_str).any(is_bad))
        };
        if self.file.origin == Origin::User {
            let is_relative = |word: &str| word.contains('/') && !word.starts_with('/') && !word.starts_with("~/");
            let why = "a cache's folder has to be absolute, or begin with ~/";
            return (key.name == "cache" && holds(&is_relative)).then_some((why, None));
        }
        let leads_away = |word: &str| {
            // Globs have no `..` in braces that leads anywhere: they are matched below their folder.
            let mut depth = 0_i64;
            word.starts_with('/')
                || word.split('/').any(|name| {
                    depth += match name {
                        "" | "." => 0,
                        ".." => -1,
                        _ => 1,
                    };
                    depth < 0
                })
        };
        let why = match key.name {
            "probe" => "a project cannot have programs run: `fleche run -- ls` in a checkout would run them",
            "outputs" | "allow-write" if holds(&leads_away) => {
                "a project cannot name outputs outside its folder: a checkout could have your own files written"
            }
            "path" => "a project cannot say where a cache is: a checkout could bring a poisoned one along",
            "shared" => "a project cannot share a cache of yours",
            "credential-helper" => {
                "a project cannot have programs run: `fleche run -- ls` in a checkout would run them"
            }
            "endpoint" | "region" | "profile" => {
                "a project cannot say where a cache is, nor with whose rights: a checkout could have them sent elsewhere"
            }
            "url" => "a project cannot say where a cache is: a checkout could have what you make sent elsewhere",
            "namespace" | "trusted-keys" => {
                "a project cannot say who is believed: a checkout could bring forged calls along"
            }
            "signing-key" | "upload" => "a project cannot say what is put into a store that others use",
            "access" if value == "read-write" => "a project can only take the right to write away",
            "cache" if holds(&|word| word.contains('/')) => {
                "a project can only name caches, not folders: a checkout could bring a poisoned one along"
            }
            _ => return None,
        };
        Some((why, Some(USERS)))
    }

    fn contradictions(&mut self, table: &Table) {
        for [one, other] in EXCLUSIVE {
            let find =
                |name: &str| table.iter().find(|setting| setting.name == name && is_in_force(name, &setting.value));
            if let (Some(_), Some(second)) = (find(one), find(other)) {
                self.faults
                    .push(second.place.clone().fault(format!("`{one}` and `{other}` contradict each other"), None));
            }
        }
    }
}

/// Where a key that a project may not give can stand.
const USERS: &str = "it can stand in ~/.config/fleche/config.toml, or in the file that FLECHE_CONFIG names";

type Entry<'t> = (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>);

/// The entries of a table as they stand in the file.
fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Whether a key with this value says anything that another can contradict.
pub fn is_in_force(name: &str, value: &Value) -> bool {
    match name {
        "pure" => value == &Value::Bool(true),
        _ => !value.as_array().is_some_and(Vec::is_empty),
    }
}

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Top,
    Defaults,
    Cache,
    Command,
}

impl Part {
    fn where_it_is(self) -> &'static str {
        match self {
            Part::Top => "",
            Part::Defaults => " in [defaults]",
            Part::Cache => " of a cache",
            Part::Command => " in [[command]]",
        }
    }

    /// What to write instead of a key that is unknown here.
    fn advice(self, name: &str, keys: &[&'static [Key]]) -> Option<String> {
        let known = || keys.iter().copied().flatten().map(|key| key.name);
        let is_among = |keys: &[Key]| keys.iter().any(|key| key.name == name);
        Some(match self {
            Part::Top if is_among(FLAGS) => format!("`{name}` can stand in [defaults] and in [[command]]"),
            Part::Defaults if is_among(TOP) => format!("`{name}` can stand at the top of the file"),
            Part::Defaults if is_among(RULE) => format!("`{name}` can stand in [[command]]"),
            _ if (is_among(CACHE) || is_among(REMOTE)) && self != Part::Cache => {
                format!("`{name}` can stand in [caches.NAME]")
            }
            _ => {
                let tables = TABLES.iter().copied().filter(|_| self == Part::Top);
                match nearest(name, known().chain(tables.clone())) {
                    Some(near) => format!("`{near}` is near"),
                    None => format!("known are {}", listed(known().chain(tables))),
                }
            }
        })
    }
}
