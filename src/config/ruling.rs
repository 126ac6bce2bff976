//! What the files say of one command: the first rule that matches it, then the defaults of the nearest file, of the next, ...

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use serde_json::Value;

use crate::model::parse_size;

use super::file::{File, Origin, Setting, Table, is_in_force};
use super::keys::{EXCLUSIVE, PATHS, PATHS_OR_NAMES};
use super::place::Place;
use super::settings::{Settings, words};

/// The keys that hold for a command.
#[derive(Clone, Debug, Default)]
pub struct Ruling {
    /// By their names.
    settings: BTreeMap<&'static str, Setting>,
    /// Tags, of which each layer may add some; with where each stands.
    tags: BTreeMap<String, (String, Place)>,
    /// Where the rule begins, if one matches.
    rule: Option<Place>,
}

impl Settings {
    /// What holds for a command.
    pub fn ruling(&self, argv: &[OsString]) -> Ruling {
        let mut ruling = Ruling::default();
        let rules = self.files.iter().flat_map(|file| file.rules.iter().map(move |rule| (file, rule)));
        if let Some((file, rule)) = rules.into_iter().find(|(_, rule)| rule.matching.means(argv)) {
            ruling.rule = Some(rule.place.clone());
            ruling.add(file, &rule.table);
        }
        self.files.iter().for_each(|file| ruling.add(file, &file.defaults));
        ruling
    }

    /// What holds for every command that no rule matches.
    pub fn defaults(&self) -> Ruling {
        let mut ruling = Ruling::default();
        self.files.iter().for_each(|file| ruling.add(file, &file.defaults));
        ruling
    }
}

impl Ruling {
    /// Adds what a weaker layer says.
    fn add(&mut self, file: &File, table: &Table) {
        let stronger = self.settings.clone();
        for setting in table {
            match setting.name {
                "tags" => {
                    for (name, value) in setting.value.as_object().into_iter().flatten() {
                        self.tag(name, value, &setting.place);
                    }
                }
                name if stronger.contains_key(name) || is_contradicted(&stronger, setting) => {}
                name => {
                    let setting =
                        Setting { value: seen_from_here(name, &setting.value, file.origin), ..setting.clone() };
                    self.settings.insert(name, setting);
                }
            }
        }
        // Behind the tags of the same layer, of which it is one.
        if let Some(project) = self.settings.remove("project") {
            self.tag("project", &project.value, &project.place);
        }
    }

    fn tag(&mut self, name: &str, value: &Value, place: &Place) {
        let text = value.as_str().unwrap_or_default().to_owned();
        self.tags.entry(name.to_owned()).or_insert_with(|| (text, place.clone()));
    }

    /// Where the rule begins, if one matches.
    pub fn rule(&self) -> Option<&Place> {
        self.rule.as_ref()
    }

    /// A key that is given.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// The tags, with where each stands.
    pub fn tags(&self) -> &BTreeMap<String, (String, Place)> {
        &self.tags
    }

    /// A key that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.setting(name)?.value.as_bool()
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.setting(name)?.value.as_str().map(str::to_owned)
    }

    /// A list of texts; empty where it is not given.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.setting(name).map(|setting| words(&setting.value).collect()).unwrap_or_default()
    }

    /// A size in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        parse_size(&self.text(name)?).ok()
    }

    /// A time.
    pub fn time(&self, name: &str) -> Option<Duration> {
        humantime::parse_duration(&self.text(name)?).ok()
    }

    /// A list of exit codes; empty where it is not given.
    pub fn codes(&self, name: &str) -> Vec<u8> {
        let codes = self.setting(name).and_then(|setting| setting.value.as_array()).into_iter().flatten();
        codes.filter_map(|code| u8::try_from(code.as_u64()?).ok()).collect()
    }
}

/// Whether a stronger layer says something beside which a setting cannot stand.
fn is_contradicted(stronger: &BTreeMap<&'static str, Setting>, setting: &Setting) -> bool {
    let holds = |name: &str| stronger.get(name).is_some_and(|setting| is_in_force(name, &setting.value));
    let rivals = EXCLUSIVE.iter().filter_map(|[one, other]| match setting.name {
        name if name == *one => Some(*other),
        name if name == *other => Some(*one),
        _ => None,
    });
    is_in_force(setting.name, &setting.value) && rivals.into_iter().any(holds)
}

/// The words of a project's file, as they are written in the working directory: paths there are seen from the file's folder,
/// so that a rule holds in every folder of the project.
fn seen_from_here(name: &str, value: &Value, origin: Origin) -> Value {
    let Origin::Project { up: up @ 1.. } = origin else { return value.clone() };
    let is_path = |word: &str| match name {
        _ if word.starts_with('/') || word.starts_with("fleche:") => false,
        name if PATHS.contains(&name) => true,
        name => PATHS_OR_NAMES.contains(&name) && word.trim_end_matches('/').contains('/'),
    };
    match value {
        Value::String(word) if is_path(word) => Value::from("../".repeat(up) + word.trim_start_matches("./")),
        Value::Array(words) => words.iter().map(|word| seen_from_here(name, word, origin)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(up: usize, text: &str) -> File {
        let path = format!("/p{up}/fleche.toml");
        let (file, faults) = File::read(Path::new(&path), Origin::Project { up }, text.as_bytes());
        assert!(faults.is_empty(), "{faults:?}");
        file
    }

    fn ruling(texts: &[&str], argv: &[&str]) -> Ruling {
        let files = texts.iter().enumerate().map(|(up, text)| file(up, text)).collect();
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        Settings { files, ignored: Vec::new() }.ruling(&argv)
    }

    #[test]
    fn the_first_rule_that_matches_holds_and_then_defaults_key_by_key() {
        let near = "[defaults]\nttl = \"1h\"\nenv = [\"A\"]\n[[command]]\nmatch = [\"cc\"]\nttl = \"1m\"";
        let far = "[defaults]\nenv = [\"B\"]\nrevision = \"2\"\n[[command]]\nmatch = [\"*\"]\nrevision = \"3\"";
        let one = ruling(&[near, far], &["cc"]);
        assert_eq!(
            (one.text("ttl"), one.texts("env"), one.text("revision")),
            (Some("1m".into()), vec!["A".into()], Some("2".into()))
        );
        assert_eq!(one.rule().unwrap().to_string(), "/p0/fleche.toml:4");
        let other = ruling(&[near, far], &["ld"]);
        assert_eq!((other.text("ttl"), other.text("revision")), (Some("1h".into()), Some("3".into())));
        assert!(ruling(&[], &["cc"]).rule().is_none());
    }

    #[test]
    fn tags_are_merged_by_name() {
        let near = "[defaults]\ntags = { a = \"1\", b = \"1\" }\n[[command]]\nmatch = [\"*\"]\nproject = \"x\"\ntags = { a = \"0\" }";
        let tags = ruling(&[near, "[defaults]\ntags = { c = \"2\", project = \"y\" }"], &["cc"]);
        let tags: Vec<(&str, &str)> =
            tags.tags().iter().map(|(name, (value, _))| (name.as_str(), value.as_str())).collect();
        assert_eq!(tags, [("a", "0"), ("b", "1"), ("c", "2"), ("project", "x")]);
    }

    #[test]
    fn what_contradicts_a_nearer_file_does_not_hold() {
        let pure = ruling(&["[defaults]\npure = true", "[defaults]\ninputs = [\"a\"]\noutputs = [\"b\"]"], &["x"]);
        assert_eq!((pure.flag("pure"), pure.texts("inputs").len(), pure.texts("outputs").len()), (Some(true), 0, 0));
        let declared = ruling(&["[defaults]\ninputs = [\"a\"]", "[defaults]\noutputs = [\"b\"]"], &["x"]);
        assert_eq!((declared.flag("pure"), declared.texts("outputs")), (None, vec!["../b".to_owned()]));
        let declared = ruling(&["[defaults]\ninputs = [\"a\"]", "[defaults]\npure = true"], &["x"]);
        assert_eq!(declared.flag("pure"), None);
        let empty = ruling(&["[defaults]\ninputs = []", "[defaults]\npure = true"], &["x"]);
        assert_eq!(empty.flag("pure"), Some(true));
    }

    #[test]
    fn paths_are_seen_from_the_folder_of_the_file() {
        let text = "[defaults]\ninputs = [\"./src/*.c\", \"/abs\", \"x\"]\nexcludes = [\"*.o\", \"gen/*\", \"tmp/\"]\nallow-write = [\"out\"]\nenv = [\"A\"]\nstdin-from = \"fleche:abcd\"";
        let here = ruling(&[text], &["x"]);
        assert_eq!(here.texts("inputs"), ["./src/*.c", "/abs", "x"]);
        let below = ruling(&["", "", text], &["x"]);
        assert_eq!(below.texts("inputs"), ["../../src/*.c", "/abs", "../../x"]);
        assert_eq!(below.texts("excludes"), ["*.o", "../../gen/*", "tmp/"]);
        assert_eq!(
            (below.texts("allow-write"), below.texts("env")),
            (vec!["../../out".to_owned()], vec!["A".to_owned()])
        );
        assert_eq!(below.text("stdin-from").as_deref(), Some("fleche:abcd"));
    }
}
