//! What can be asked of a call: columns, by name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use rusqlite::types::{FromSqlError, Value, ValueRef};

use crate::model::{Argument, Digest, Fact, command_line};

/// A column of the table of calls. Tags, arguments and variables have name-spaces of their own, so that no tag hides
/// anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// One that every call has.
    BuiltIn(&'static BuiltIn),
    /// One of the digests that every call has, with how many characters name it.
    Short(&'static BuiltIn),
    /// `tag.NAME`.
    Tag(String),
    /// `arg.N`, counted from 0, which is the command itself.
    Argument(u32),
    /// `env.NAME`: a variable that was recorded in clear.
    Variable(String),
}

/// A column that every call has.
#[derive(Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a few words.
    pub about: &'static str,
    expression: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Digest,
    /// One that nothing is stored under, and which therefore has no short form.
    Unnamed,
    Text,
    Number,
    Flag,
    Bytes,
    Duration,
    Time,
    CommandLine,
}

const fn column(name: &'static str, kind: Kind, expression: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { name, about, expression, kind }
}

/// The columns that every call has.
pub const BUILT_IN: [BuiltIn; 30] = [
    column("key", Kind::Digest, "call.key", "the call's name"),
    column("name", Kind::Text, "call.name", "the command's name"),
    column("command", Kind::CommandLine, COMMAND_LINE, "the command line"),
    column("exit", Kind::Number, "call.exit", "exit code"),
    column("started", Kind::Time, "call.started", "when it ran"),
    column("walltime", Kind::Duration, "call.wall", "how long it ran"),
    column("size", Kind::Bytes, "call.bytes", "bytes stored for it"),
    column("hits", Kind::Number, "call.hits", "how often it was replayed"),
    column("grade", Kind::Text, "call.grade", "how its inputs are known"),
    column("used", Kind::Time, "call.last_used", "when it was last used"),
    column("stopped", Kind::Time, "call.stopped", "when it ended"),
    column("usertime", Kind::Duration, "call.user_time", "processor time in the program"),
    column("systime", Kind::Duration, "call.system_time", "processor time in the kernel"),
    column("memory", Kind::Bytes, "call.peak_memory", "most memory in use"),
    column(
        "stdout",
        Kind::Digest,
        "(SELECT digest FROM call_value WHERE call = call.id AND n = 0)",
        "digest of its output",
    ),
    column(
        "stdout_size",
        Kind::Bytes,
        "(SELECT length FROM call_value WHERE call = call.id AND n = 0)",
        "bytes of output",
    ),
    column(
        "stderr",
        Kind::Digest,
        "(SELECT digest FROM call_value WHERE call = call.id AND n = 1)",
        "digest of its messages",
    ),
    column(
        "stderr_size",
        Kind::Bytes,
        "(SELECT length FROM call_value WHERE call = call.id AND n = 1)",
        "bytes of messages",
    ),
    column("outputs", Kind::Number, "call.outputs", "how many output files"),
    column("inputs", Kind::Number, "call.inputs", "how many paths were looked at"),
    column("bound", Kind::Flag, "call.bound", "whether it belongs to one checkout"),
    column("program", Kind::Text, "(SELECT text FROM word WHERE id = call.program)", "the file that was executed"),
    column("cwd", Kind::Text, "(SELECT text FROM word WHERE id = call.cwd)", "working directory"),
    column("root", Kind::Text, "(SELECT text FROM word WHERE id = call.root)", "project root"),
    column("host", Kind::Text, "(SELECT text FROM word WHERE id = call.host)", "machine"),
    column("user", Kind::Text, "(SELECT text FROM word WHERE id = call.user)", "who ran it"),
    column("version", Kind::Text, "(SELECT text FROM word WHERE id = call.version)", "fleche's version"),
    column("git_commit", Kind::Text, "(SELECT text FROM word WHERE id = call.git_commit)", "git commit"),
    column("git_branch", Kind::Text, "(SELECT text FROM word WHERE id = call.git_branch)", "git branch"),
    column("digest", Kind::Unnamed, "call.command", "digest of the command alone"),
];

/// The arguments in hex, separated by spaces, `-` for a redacted one: so they come in one answer, whatever their bytes.
pub(super) const COMMAND_LINE: &str = "(SELECT group_concat(iif(text IS NULL, '-', 'x' || hex(text)), ' ' ORDER BY n)
    FROM argument WHERE call = call.id)";

/// The tags as `NAME=VALUE` in hex, separated by spaces.
pub(super) const TAGS: &str =
    "(SELECT group_concat(hex(tag.name) || '=' || hex(value), ' ') FROM tag WHERE call = call.id)";

impl Column {
    /// The column of this name.
    pub fn named(name: &str) -> Option<Column> {
        if let Some(built_in) = BUILT_IN.iter().find(|column| column.name == name) {
            return Some(Column::BuiltIn(built_in));
        }
        match name.split_once('.')? {
            ("tag", name) => Some(Column::Tag(name.to_owned())),
            ("arg", number) => number.parse().ok().map(Column::Argument),
            ("env", name) => Some(Column::Variable(name.to_owned())),
            _ => None,
        }
    }

    /// The same for people, to whom digests are shown short.
    pub fn shortened(self) -> Column {
        match self {
            Column::BuiltIn(column) if column.kind == Kind::Digest => Column::Short(column),
            other => other,
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Column::BuiltIn(column) | Column::Short(column) => column.name.to_owned(),
            Column::Tag(name) => format!("tag.{name}"),
            Column::Argument(number) => format!("arg.{number}"),
            Column::Variable(name) => format!("env.{name}"),
        }
    }

    /// What SQLite computes for it; `bound` takes the values of its parameters.
    pub(super) fn expression(&self, bound: &mut Vec<Value>) -> String {
        let mut parameter = |value: Value| {
            bound.push(value);
            bound.len()
        };
        match self {
            Column::BuiltIn(column) => column.expression.to_owned(),
            Column::Short(column) => with_neighbours(column.expression),
            Column::Tag(name) => {
                let n = parameter(Value::Text(name.clone()));
                format!("(SELECT value FROM tag WHERE call = call.id AND tag.name = ?{n})")
            }
            Column::Argument(number) => {
                let n = parameter(Value::Integer(i64::from(*number)));
                format!(
                    "(SELECT iif(text IS NULL, '[redacted]', text) FROM argument WHERE call = call.id AND n = ?{n})"
                )
            }
            Column::Variable(name) => {
                let n = parameter(Value::Text(name.clone()));
                format!("(SELECT value FROM variable WHERE call = call.id AND variable.name = ?{n})")
            }
        }
    }

    /// Whether a list begins with its largest or latest, because that is what people look for first.
    pub fn is_quantity(&self) -> bool {
        match self {
            Column::BuiltIn(column) | Column::Short(column) => {
                !matches!(column.kind, Kind::Digest | Kind::Unnamed | Kind::Text | Kind::CommandLine)
            }
            Column::Tag(_) | Column::Argument(_) | Column::Variable(_) => false,
        }
    }

    /// Whether some calls have none.
    pub(super) fn is_optional(&self) -> bool {
        match self {
            Column::BuiltIn(column) | Column::Short(column) => {
                matches!(
                    column.name,
                    "stdout" | "stdout_size" | "stderr" | "stderr_size" | "git_commit" | "git_branch" | "command"
                )
            }
            Column::Tag(_) | Column::Argument(_) | Column::Variable(_) => true,
        }
    }

    /// What SQLite answered, as a fact.
    pub(super) fn fact(&self, value: ValueRef) -> Result<Fact, FromSqlError> {
        let kind = match self {
            Column::BuiltIn(column) => column.kind,
            Column::Short(_) => return short(value),
            Column::Tag(_) | Column::Argument(_) | Column::Variable(_) => Kind::Text,
        };
        if value == ValueRef::Null {
            return Ok(Fact::Nothing);
        }
        let unsigned = || value.as_i64().map(|number| number.max(0) as u64);
        Ok(match kind {
            Kind::Digest => Fact::Digest(digest(value)?),
            Kind::Unnamed => Fact::Text(digest(value)?.hex()),
            Kind::Text => Fact::Text(String::from_utf8_lossy(value.as_bytes()?).into_owned()),
            Kind::Number => Fact::Number(value.as_i64()?),
            Kind::Flag => Fact::Text(if value.as_i64()? == 0 { "no" } else { "yes" }.to_owned()),
            Kind::Bytes => Fact::Bytes(unsigned()?),
            Kind::Duration => Fact::Duration(unsigned()?),
            Kind::Time => Fact::Time(value.as_i64()?),
            Kind::CommandLine => Fact::Text(command_line_of(value.as_str()?).ok_or(FromSqlError::InvalidType)?),
        })
    }
}

/// The view `calls`, on which `--where` asks: digests in hex, times and durations in seconds, sizes in bytes.
pub(super) fn view() -> String {
    let column = |column: &BuiltIn| {
        let BuiltIn { name, expression, kind, .. } = column;
        match kind {
            Kind::Digest | Kind::Unnamed => format!("lower(hex({expression})) AS {name}"),
            Kind::Duration | Kind::Time => format!("{expression} / 1e9 AS {name}"),
            Kind::CommandLine => {
                "(SELECT group_concat(text, ' ' ORDER BY n) FROM argument WHERE call = call.id) AS command".to_owned()
            }
            Kind::Text | Kind::Number | Kind::Flag | Kind::Bytes => format!("{expression} AS {name}"),
        }
    };
    let columns: Vec<String> = BUILT_IN.iter().map(column).collect();
    format!(
        "CREATE TEMP VIEW calls AS SELECT call.id AS id, {},
            (SELECT json_group_object(tag.name, value) FROM tag WHERE call = call.id) AS tags,
            (SELECT json_group_array(CAST(text AS TEXT) ORDER BY n) FROM argument WHERE call = call.id) AS argv,
            (SELECT json_group_object(CAST(variable.name AS TEXT), CAST(value AS TEXT)) FROM variable WHERE call = call.id)
                AS env
        FROM call",
        columns.join(", ")
    )
}

fn digest(value: ValueRef) -> Result<Digest, FromSqlError> {
    value.as_blob()?.try_into().map(Digest).map_err(|_| FromSqlError::InvalidType)
}

/// A digest and the calls and values next to it, in hex, so that whoever shows it short knows how short.
fn with_neighbours(digest: &str) -> String {
    let next = |order: &str, table: &str, column: &str| {
        let side = if order == "DESC" { "<" } else { ">" };
        format!(
            "coalesce((SELECT hex(near.{column}) FROM {table} AS near WHERE near.{column} {side} {digest}
                ORDER BY near.{column} {order} LIMIT 1), '')"
        )
    };
    let near = [
        next("DESC", "call", "key"),
        next("ASC", "call", "key"),
        next("DESC", "call_value", "digest"),
        next("ASC", "call_value", "digest"),
    ];
    format!("(hex({digest}) || {})", near.join(" || "))
}

/// What [`with_neighbours`] told.
fn short(value: ValueRef) -> Result<Fact, FromSqlError> {
    let hex = value.as_str_or_null()?.unwrap_or_default();
    let digests: Option<Vec<Digest>> =
        hex.as_bytes().chunks(64).map(|hex| std::str::from_utf8(hex).ok()?.parse().ok()).collect();
    let digests = digests.ok_or(FromSqlError::InvalidType)?;
    let Some((digest, near)) = digests.split_first() else { return Ok(Fact::Nothing) };
    let empty = Digest::of(b"");
    let others = near.iter().chain([&empty]).filter(|other| *other != digest);
    let shared = others.map(|other| digest.shared_characters(other)).max();
    Ok(Fact::Short(*digest, shared.map_or(0, |most| most + 1)))
}

/// What [`COMMAND_LINE`] gave, for a person.
pub(super) fn command_line_of(text: &str) -> Option<String> {
    let arguments: Option<Vec<Argument>> = text.split(' ').map(argument).collect();
    Some(command_line(&arguments?))
}

/// What [`COMMAND_LINE`] gave.
pub(super) fn arguments(value: ValueRef) -> Result<Vec<Argument>, FromSqlError> {
    let words = value.as_str_or_null()?.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    words.map(argument).collect::<Option<_>>().ok_or(FromSqlError::InvalidType)
}

/// What [`TAGS`] gave.
pub(super) fn tags(value: ValueRef) -> Result<BTreeMap<String, String>, FromSqlError> {
    let text = |hex: &str| String::from_utf8(unhex(hex)?).ok();
    let tag = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((text(name)?, text(value)?))
    };
    let words = value.as_str_or_null()?.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    words.map(tag).collect::<Option<_>>().ok_or(FromSqlError::InvalidType)
}

/// One of these arguments, if there are so many.
pub(super) fn argument_fact(arguments: &[Argument], number: u32) -> Fact {
    match arguments.get(number as usize) {
        Some(Argument::Clear(word)) => Fact::Text(word.to_string_lossy().into_owned()),
        Some(Argument::Redacted) => Fact::Text("[redacted]".to_owned()),
        None => Fact::Nothing,
    }
}

fn argument(word: &str) -> Option<Argument> {
    match word.strip_prefix('x') {
        Some(hex) => Some(Argument::Clear(OsString::from_vec(unhex(hex)?))),
        None => (word == "-").then_some(Argument::Redacted),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_found_by_its_name() {
        for column in &BUILT_IN {
            assert_eq!(Column::named(column.name), Some(Column::BuiltIn(column)));
            assert!(!column.name.contains('.'), "{}: dots are for name-spaces", column.name);
        }
        for name in ["tag.a.b", "arg.12", "env.CC", "tag.key"] {
            assert_eq!(Column::named(name).map(|column| column.name()).as_deref(), Some(name));
        }
        for name in ["", "nothing", "arg.x", "arg.-1", "nothing.a", "tag"] {
            assert_eq!(Column::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_flag_is_told_in_words() {
        let bound = Column::named("bound").unwrap();
        for (number, word) in [(0, "no"), (1, "yes")] {
            assert_eq!(bound.fact(ValueRef::Integer(number)), Ok(Fact::Text(word.to_owned())));
        }
        assert!(!bound.is_optional() && Column::named("git_branch").unwrap().is_optional());
    }

    #[test]
    fn neighbours_are_the_next_before_and_behind() {
        let question = with_neighbours("one");
        assert_eq!(question.matches("< one\n                ORDER BY near.key DESC").count(), 1, "{question}");
        assert_eq!(question.matches("> one\n                ORDER BY near.key ASC").count(), 1, "{question}");
    }
}
