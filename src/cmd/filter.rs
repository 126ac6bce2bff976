//! The flags that say which calls are meant, shared by every subcommand that asks for some.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::model::Prefix;
use crate::query::{Filter, column};
use crate::store::{Condition, PathQuestion, Selection};
use crate::ui;

use super::candidates;

/// Conditions, all of which must hold; without one every call is meant.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Only commands whose name matches
    #[arg(long, value_name = "GLOB", add = candidates::names(), help_heading = "Which calls")]
    name: Option<String>,
    /// Only calls with an argument that matches; N counts from 0, the command itself
    #[arg(long, value_name = "[N=]GLOB", allow_hyphen_values = true, help_heading = "Which calls")]
    arg: Vec<String>,
    /// Only calls with this tag, or with this value of it
    #[arg(short, long, value_name = "NAME[=VALUE]", add = candidates::tags(), help_heading = "Which calls")]
    tag: Vec<String>,
    /// The same as --tag project=NAME
    #[arg(short, long, value_name = "NAME", add = candidates::projects(), help_heading = "Which calls")]
    project: Option<String>,
    /// Only calls from this working directory
    #[arg(long, value_name = "DIR", help_heading = "Which calls")]
    cwd: Option<PathBuf>,
    /// Only calls with this exit code
    #[arg(long, value_name = "CODE", help_heading = "Which calls")]
    exit: Option<u8>,
    /// Only calls that started then or later: a date, a time, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = ui::parse_time, help_heading = "Which calls")]
    since: Option<i64>,
    /// Only calls that started before that
    #[arg(long, value_name = "TIME", value_parser = ui::parse_time, help_heading = "Which calls")]
    until: Option<i64>,
    /// Only calls that took at least this long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, help_heading = "Which calls")]
    longer: Option<Duration>,
    /// Only calls that looked at this path, and saw this value there
    #[arg(long, value_name = "PATH[=DIGEST]", help_heading = "Which calls")]
    input: Vec<OsString>,
    /// Only calls that wrote this path
    #[arg(long, value_name = "PATH", help_heading = "Which calls")]
    output: Vec<OsString>,
    /// Only calls that printed or wrote this value
    #[arg(long, value_name = "DIGEST", help_heading = "Which calls")]
    value: Vec<Prefix>,
    /// Only calls whose inputs are known in this way
    #[arg(long, value_enum, value_name = "GRADE", help_heading = "Which calls")]
    grade: Option<GradeName>,
    /// Only calls for which this SQL expression holds, as in "walltime > 60 and tags ->> 'project' is null"
    ///
    /// It may use every column of `fleche table` (times and durations in seconds, sizes in bytes) and the JSON columns tags,
    /// argv and env.
    #[arg(long = "where", value_name = "SQL", help_heading = "Which calls")]
    condition: Vec<String>,

    /// Order by this column instead of the time: numbers and times from the largest, text from A
    #[arg(long, value_name = "COLUMN", add = candidates::columns(), help_heading = "Order and number")]
    sort: Option<String>,
    /// The other way round
    #[arg(long, help_heading = "Order and number")]
    reverse: bool,
    /// At most this many
    #[arg(long, value_name = "N", help_heading = "Order and number")]
    limit: Option<u64>,
    /// Pass over this many
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true, help_heading = "Order and number")]
    skip: u64,
    /// Only the first call of each value of this column
    #[arg(long, value_name = "COLUMN", add = candidates::columns(), help_heading = "Order and number")]
    unique: Option<String>,
    /// Only the most recent one
    #[arg(long, conflicts_with_all = ["oldest", "sort", "limit", "reverse"], help_heading = "Order and number")]
    latest: bool,
    /// Only the oldest one
    #[arg(long, conflicts_with_all = ["sort", "limit", "reverse"], help_heading = "Order and number")]
    oldest: bool,
    /// There must be exactly one, else the answer is no
    #[arg(long, help_heading = "Order and number")]
    only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GradeName {
    Traced,
    Declared,
    Pure,
    Isolated,
}

impl Args {
    /// The filter that these flags spell.
    pub fn filter(self) -> Result<Filter> {
        let mut conditions = Vec::new();
        conditions.extend(self.name.as_deref().map(checked).transpose()?.map(Condition::Name));
        for word in &self.arg {
            conditions.push(argument(word)?);
        }
        for word in &self.tag {
            conditions.push(tag(word)?);
        }
        conditions.extend(self.project.map(|name| Condition::Tag { name: "project".to_owned(), value: Some(name) }));
        if let Some(folder) = &self.cwd {
            conditions.push(Condition::Cwd(directory(folder)?));
        }
        conditions.extend(self.exit.map(Condition::Exit));
        conditions.extend(self.since.map(Condition::Since));
        conditions.extend(self.until.map(Condition::Until));
        conditions
            .extend(self.longer.map(|time| Condition::Longer(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))));
        let mut inputs = Vec::new();
        for word in &self.input {
            match with_digest(word) {
                Some((path, prefix)) => inputs.push((path_question(&path)?, prefix)),
                None => conditions.push(Condition::Input(path_question(word)?)),
            }
        }
        for word in &self.output {
            conditions.push(Condition::Output(path_question(word)?));
        }
        conditions.extend(self.grade.map(|grade| Condition::Grade(grade_name(grade))));
        conditions.extend(self.condition.into_iter().map(Condition::Where));
        let (reverse, limit) = match (self.latest, self.oldest) {
            (true, _) => (false, Some(1)),
            (_, true) => (true, Some(1)),
            _ => (self.reverse, self.limit),
        };
        let selection = Selection {
            conditions,
            sort: self.sort.as_deref().map(column).transpose()?,
            reverse,
            unique: self.unique.as_deref().map(column).transpose()?,
            skip: self.skip,
            limit,
        };
        Ok(Filter { selection, values: self.value, inputs, only: self.only })
    }
}

fn grade_name(grade: GradeName) -> String {
    grade.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// `GLOB` or `N=GLOB`.
fn argument(word: &str) -> Result<Condition> {
    let numbered = word.split_once('=').and_then(|(number, glob)| Some((number.parse().ok()?, glob)));
    let (position, glob) = numbered.map_or((None, word), |(position, glob)| (Some(position), glob));
    Ok(Condition::Argument { position, glob: checked(glob)? })
}

/// A glob in which every bracket is closed; any other matches nothing, and its maker would never know.
fn checked(glob: &str) -> Result<String> {
    let mut rest = glob;
    while let Some((_, inside)) = rest.split_once('[') {
        // A bracket that comes first, or behind a `^`, is one of the characters.
        let first = inside.trim_start_matches('^').chars().next().map_or(0, char::len_utf8);
        let begin = inside.len() - inside.trim_start_matches('^').len() + first;
        let closed = inside.get(begin..).and_then(|set| set.split_once(']'));
        rest = closed.ok_or_else(|| Error::usage(format!("`{glob}` is not a glob: a bracket is not closed")))?.1;
    }
    Ok(glob.to_owned())
}

/// `NAME` or `NAME=VALUE`.
fn tag(word: &str) -> Result<Condition> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
    match name {
        "" => Err(Error::usage(format!("`{word}` names no tag")).hint("--tag project, or --tag project=alpha")),
        _ => Ok(Condition::Tag { name: name.to_owned(), value }),
    }
}

/// `PATH=DIGEST`, if the word is that.
fn with_digest(word: &OsString) -> Option<(OsString, Prefix)> {
    let at = word.as_bytes().iter().rposition(|byte| *byte == b'=')?;
    let prefix = std::str::from_utf8(&word.as_bytes()[at + 1..]).ok()?.parse().ok()?;
    Some((OsString::from_vec(word.as_bytes()[..at].to_vec()), prefix))
}

fn path_question(word: &OsString) -> Result<PathQuestion> {
    let absolute = std::path::absolute(word)
        .map_err(|why| Error::usage(format!("`{}` is no path", word.display())).because(why))?;
    Ok(PathQuestion { given: word.as_bytes().to_vec(), absolute: absolute.into_os_string().into_vec() })
}

/// The folder as calls record it: absolute, without links where it is there.
fn directory(folder: &PathBuf) -> Result<Vec<u8>> {
    let found = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    let found = found.map_err(|why| Error::usage(format!("`{}` is no folder", folder.display())).because(why))?;
    Ok(found.components().collect::<PathBuf>().into_os_string().into_vec())
}
