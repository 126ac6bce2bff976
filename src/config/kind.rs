//! Kinds of values: how each is read from a file, and how it is described to editors.

use std::ops::Range;

use globset::Glob;
use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::{MaxSize, is_compilable_glob, parse_size, parse_tag};

use super::place::{listed, nearest};

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// `true`, `false` or this word.
    FlagOr(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A list of texts that are not empty.
    Words,
    /// The same where each has to be a glob.
    Globs,
    /// The same with at least one.
    Match,
    /// Names of caches: one, or a list with at least one.
    Stack,
    /// An absolute path, or one that begins with `~/`.
    Path,
    /// Where a store beyond this machine is.
    Url,
    /// Where a web server is.
    Server,
    /// A name of letters, digits and `_-.`.
    Name,
    /// A size in bytes.
    Size,
    /// A size in bytes, or a part of the file system.
    Room,
    /// A duration.
    Time,
    /// A whole number.
    Number,
    /// A list of exit codes.
    Codes,
    /// A table of texts.
    Tags,
}

/// What is wrong with a value, where in the text, and what to write instead.
pub struct Complaint {
    /// The bytes that it is about.
    pub span: Range<usize>,
    /// In words, to stand behind the key.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

type Read = Result<Value, Complaint>;

impl Kind {
    /// Reads a value of this kind.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(self, given: &Spanned<DeValue>) -> Read {
        let wrong = || complaint(given, format!("has to be {}", self.wanted()));
        let text = || given.get_ref().as_str().ok_or_else(wrong);
        match self {
            Kind::Flag => given.get_ref().as_bool().map(Value::from).ok_or_else(wrong),
            Kind::FlagOr(word) => match given.get_ref() {
                DeValue::Boolean(flag) => Ok(json!(flag)),
                DeValue::String(text) if text == word => Ok(json!(text)),
                _ => Err(wrong()),
            },
            Kind::Choice(words) => match text()? {
                word if words.contains(&word) => Ok(json!(word)),
                word => {
                    let hint = nearest(word, words.iter().copied()).map(|near| format!("`{near}` is near"));
                    Err(Complaint { hint, ..complaint(given, format!("is {}, not `{word}`", one_of(words))) })
                }
            },
            Kind::Text => text().map(Value::from),
            Kind::Words | Kind::Globs => self.list(given, wrong),
            Kind::Match | Kind::Stack => match (given.get_ref(), self) {
                (DeValue::String(name), Kind::Stack) if !name.is_empty() => Ok(json!([name])),
                _ => self.list(given, wrong).and_then(|list| match list.as_array().is_some_and(Vec::is_empty) {
                    true => Err(wrong()),
                    false => Ok(list),
                }),
            },
            Kind::Path => text().and_then(|path| match path.starts_with('/') || path.starts_with("~/") {
                true => Ok(json!(path)),
                false => Err(wrong()),
            }),
            Kind::Url | Kind::Server => text().and_then(|url| {
                let schemes = if self == Kind::Url { SCHEMES } else { WEB };
                let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
                    return Err(wrong());
                };
                if rest.contains(['?', '#']) {
                    return Err(complaint(given, "holds `?` or `#`, behind which no path goes on"));
                }
                let server = rest.split('/').next().filter(|_| !url.starts_with("file:")).unwrap_or_default();
                if server.contains('@') {
                    return Err(Complaint {
                        hint: Some("credential-helper = \"PROGRAM\" tells it when it is needed".to_owned()),
                        ..complaint(given, "holds a password, which every error would show")
                    });
                }
                // Addresses in brackets have colons of their own. A port that is none would be the usual one.
                let port = server.rsplit(']').next().and_then(|rest| rest.split_once(':'));
                match port.is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0)) {
                    true => Ok(json!(url)),
                    false => Err(complaint(given, "names a port that is none")),
                }
            }),
            Kind::Name => text().and_then(|name| if is_name(name) { Ok(json!(name)) } else { Err(wrong()) }),
            Kind::Size => text().and_then(|size| parse_size(size).map(|_| json!(size)).map_err(|_| wrong())),
            Kind::Room => text().and_then(|room| parse_room(room).map(|_| json!(room)).ok_or_else(wrong)),
            Kind::Time => {
                text().and_then(|time| humantime::parse_duration(time).map(|_| json!(time)).map_err(|_| wrong()))
            }
            Kind::Number => number(given.get_ref()).map(Value::from).ok_or_else(wrong),
            Kind::Codes => {
                let codes = given.get_ref().as_array().ok_or_else(wrong)?;
                codes
                    .iter()
                    .map(|code| {
                        let code = number(code.get_ref()).filter(|code| *code <= 255);
                        code.map(Value::from).ok_or_else(wrong)
                    })
                    .collect()
            }
            Kind::Tags => given.get_ref().as_table().ok_or_else(wrong).and_then(tags),
        }
    }

    fn list(self, given: &Spanned<DeValue>, wrong: impl Fn() -> Complaint) -> Read {
        let words = given.get_ref().as_array().ok_or_else(&wrong)?;
        let word = |word: &Spanned<DeValue>| {
            let text = word.get_ref().as_str().ok_or_else(|| Complaint { span: word.span(), ..wrong() })?;
            if text.is_empty() {
                return Err(complaint(word, "holds an empty text"));
            }
            if matches!(self, Kind::Globs | Kind::Match) && !is_compilable_glob(text) {
                return Err(complaint(word, "holds a glob of more than 4096 bytes or 64 braces"));
            }
            if matches!(self, Kind::Globs | Kind::Match)
                && let Err(why) = Glob::new(text)
            {
                return Err(complaint(word, format!("holds the malformed glob `{text}`: {}", why.kind())));
            }
            Ok(json!(text))
        };
        words.iter().map(word).collect()
    }

    /// What a value has to be, in words.
    fn wanted(self) -> String {
        match self {
            Kind::Flag => "true or false".to_owned(),
            Kind::FlagOr(word) => format!("true, false or \"{word}\""),
            Kind::Choice(words) => one_of(words),
            Kind::Text => "a text".to_owned(),
            Kind::Words => "a list of texts".to_owned(),
            Kind::Globs => "a list of paths or globs".to_owned(),
            Kind::Match => "a list of globs, one for each word of the command".to_owned(),
            Kind::Stack => "the name of a cache, or a list of names".to_owned(),
            Kind::Path => "a path that is absolute or begins with ~/".to_owned(),
            Kind::Url => format!("a URL that begins with {}", listed(SCHEMES.iter().copied())),
            Kind::Server => format!("a URL that begins with {}", listed(WEB.iter().copied())),
            Kind::Name => "a name of letters, digits and `_-.`".to_owned(),
            Kind::Size => "a size, such as \"10MiB\"".to_owned(),
            Kind::Room => "a size, such as \"10GiB\", or a part of the file system, such as \"10%\"".to_owned(),
            Kind::Time => "a time, such as \"10m\" or \"30d\"".to_owned(),
            Kind::Number => "a number, 0 or more".to_owned(),
            Kind::Codes => "a list of exit codes, 0 to 255".to_owned(),
            Kind::Tags => "a table of texts, such as { kind = \"build\" }".to_owned(),
        }
    }

    /// The same as a JSON Schema.
    pub fn schema(self) -> Value {
        let texts = || json!({"type": "array", "items": {"type": "string", "minLength": 1}});
        let like = |pattern: &str| json!({"type": "string", "pattern": pattern});
        match self {
            Kind::Flag => json!({"type": "boolean"}),
            Kind::FlagOr(word) => json!({"enum": [true, false, word]}),
            Kind::Choice(words) => json!({"enum": words}),
            Kind::Text => json!({"type": "string"}),
            Kind::Words | Kind::Globs => texts(),
            Kind::Match => json!({"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}),
            Kind::Stack => json!({"anyOf": [{"type": "string", "minLength": 1}, Kind::Match.schema()]}),
            Kind::Path => like("^(/|~/)"),
            Kind::Url => like(&format!("^({})", SCHEMES.join("|"))),
            Kind::Server => like(&format!("^({})", WEB.join("|"))),
            Kind::Name => like("^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"),
            Kind::Size => like(SIZE),
            Kind::Room => like(&format!("{SIZE}|^(100|[0-9]{{1,2}})(\\.[0-9]+)?%$")),
            Kind::Time => like(TIME),
            Kind::Number => json!({"type": "integer", "minimum": 0}),
            Kind::Codes => json!({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}),
            Kind::Tags => json!({
                "type": "object",
                "propertyNames": {"pattern": "^[\\p{Alphabetic}_][\\p{Alphabetic}\\p{N}_.-]*$"},
                "additionalProperties": {"type": "string"},
            }),
        }
    }
}

/// How URLs of stores beyond this machine begin.
const SCHEMES: &[&str] = &["file:///", "https://", "http://", BUCKET, REDIS[0], REDIS[1], REDIS[2], REDIS[3]];
/// How those of Redis and Valkey do.
pub const REDIS: [&str; 4] = ["redis://", "rediss://", "valkey://", "valkeys://"];
/// How those of buckets do.
pub const BUCKET: &str = "s3://";
/// How URLs of web servers begin.
const WEB: &[&str] = &["https://", "http://"];

/// Whether this can name a cache, or a part of a store: it is no path, and needs no quotes.
pub fn is_name(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_plain && (1..=64).contains(&text.len()) && !text.starts_with('.')
}

/// Sizes as [`parse_size`] reads them.
const SIZE: &str = "^[0-9]{1,19} *([kKmMgGtT]([iI]?[bB])?|[bB])?$";
/// Times as humantime reads them.
const TIME: &str = "^([0-9]+ *(ns|nsec|us|usec|µs|ms|msec|millis|s|sec|secs|seconds?|m|min|mins|minutes?|h|hr|hrs|hours?|d|days?|w|wk|wks|weeks?|M|months?|y|yr|yrs|years?) *)+$";

/// How large a cache may become, in a text such as `20GiB` or `10%`.
pub fn parse_room(text: &str) -> Option<MaxSize> {
    match text.strip_suffix('%') {
        None => parse_size(text).ok().map(MaxSize::Bytes),
        Some(part) if part.starts_with(|c: char| c.is_ascii_digit()) => {
            part.parse::<f64>().ok().filter(|part| (0.0..=100.0).contains(part)).map(MaxSize::Percent)
        }
        Some(_) => None,
    }
}

fn number(value: &DeValue) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| i64::try_from(*number).is_ok())
}

fn tags(table: &DeTable) -> Read {
    let mut tags = Map::new();
    for (name, value) in table {
        let text = value
            .get_ref()
            .as_str()
            .ok_or_else(|| complaint(value, format!("`{}` has to be a text", name.get_ref())))?;
        if parse_tag(&format!("{}=", name.get_ref())).is_err() {
            return Err(Complaint {
                span: name.span(),
                message: format!("holds `{}`, which cannot be the name of a tag", name.get_ref()),
                hint: Some("a tag's name is made of letters, digits and `_-.`, and begins with a letter".to_owned()),
            });
        }
        tags.insert(name.get_ref().clone().into_owned(), json!(text));
    }
    Ok(Value::Object(tags))
}

fn complaint(value: &Spanned<DeValue>, message: impl Into<String>) -> Complaint {
    Complaint { span: value.span(), message: message.into(), hint: None }
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", listed(words.iter().copied()))
}
