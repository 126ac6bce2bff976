//! Which calls a question is about, spelt as SQL.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::types::Value;

use super::column::Column;
use crate::model::{Digest, Key};

/// Which calls are listed, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// What decides the order; without one the time of the run. Quantities go from the largest or latest, text from A.
    pub sort: Option<Column>,
    /// The other way round.
    pub reverse: bool,
    /// Only the first call of each value that this column has.
    pub unique: Option<Column>,
    /// How many are passed over.
    pub skip: u64,
    /// How many at most.
    pub limit: Option<u64>,
}

impl Selection {
    /// Whether it leaves any call out.
    pub(super) fn chooses(&self) -> bool {
        let Selection { conditions, unique, skip, limit, .. } = self;
        !conditions.is_empty() || unique.is_some() || *skip > 0 || limit.is_some()
    }
}

/// Something that must hold of a call. Globs are those of SQLite: `*`, `?` and `[...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A glob for the command's name.
    Name(String),
    /// A glob for one argument, or for any.
    Argument {
        /// Which one, counted from 0, which is the command itself.
        position: Option<u32>,
        /// What it looks like.
        glob: String,
    },
    /// A tag that must be there, with this value if one is given.
    Tag {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// The working directory.
    Cwd(Vec<u8>),
    /// The exit code.
    Exit(u8),
    /// Started at this time or later, in nanoseconds since 1970.
    Since(i64),
    /// Started before this time, in nanoseconds since 1970.
    Until(i64),
    /// Ran at least this long, in nanoseconds.
    Longer(i64),
    /// Looked at a path.
    Input(PathQuestion),
    /// Left something at a path.
    Output(PathQuestion),
    /// Names this value.
    Value(Digest),
    /// Its inputs are known in this way.
    Grade(String),
    /// It is one of these.
    Keys(Vec<Key>),
    /// An SQL expression over the view `calls`.
    Where(String),
}

/// A path as somebody asks for it. Calls hold paths relative to their root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathQuestion {
    /// As it was typed: holds for calls of any root.
    pub given: Vec<u8>,
    /// The absolute path.
    pub absolute: Vec<u8>,
}

impl PathQuestion {
    /// Whether a call with this root means it by the path that it holds.
    pub fn means(&self, held: &Path, root: &Path) -> bool {
        let held_bytes = held.as_os_str().as_bytes();
        held_bytes == self.given || root.join(held).as_os_str().as_bytes() == self.absolute
    }

    /// The texts that a call may hold, each with the root that it then has.
    fn spellings(&self) -> Vec<(Option<&[u8]>, &[u8])> {
        let slashes = self.absolute.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let below = |at: usize| (Some(&self.absolute[..at.max(1)]), &self.absolute[at + 1..]);
        [(None, self.given.as_slice()), (None, self.absolute.as_slice())]
            .into_iter()
            .chain(slashes.map(below))
            .collect()
    }
}

/// A text with the values of its parameters.
#[derive(Default)]
pub(super) struct Spelt {
    pub text: String,
    pub bound: Vec<Value>,
}

impl Spelt {
    /// Adds a parameter; gives its number.
    fn bind(&mut self, value: Value) -> usize {
        self.bound.push(value);
        self.bound.len()
    }

    /// `SELECT call.id FROM call`, all of it.
    pub fn ids(selection: &Selection) -> Spelt {
        let mut spelt = Spelt { text: "SELECT call.id FROM call".to_owned(), bound: Vec::new() };
        spelt.tail(selection);
        spelt
    }

    /// What follows `FROM call`.
    pub fn tail(&mut self, selection: &Selection) {
        let mut conditions = self.conditions(selection);
        if let Some(unique) = &selection.unique {
            let (of, order) = (unique.expression(&mut self.bound), self.order(selection));
            conditions = format!(
                " WHERE call.id IN (SELECT id FROM (
                    SELECT call.id, row_number() OVER (PARTITION BY {of} ORDER BY {order}) AS place FROM call{conditions}
                ) WHERE place = 1)"
            );
        }
        let order = self.order(selection);
        self.text.push_str(&format!("{conditions} ORDER BY {order}"));
        if selection.limit.is_some() || selection.skip > 0 {
            // Not bound: SQLite plans for few rows only where it sees that they are few.
            let limit = selection.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
            let skip = i64::try_from(selection.skip).unwrap_or(i64::MAX);
            self.text.push_str(&format!(" LIMIT {limit} OFFSET {skip}"));
        }
    }

    /// What follows `ORDER BY`.
    pub fn order(&mut self, selection: &Selection) -> String {
        let newest_first = if selection.reverse { "call.started, call.id" } else { "call.started DESC, call.id DESC" };
        let Some(column) = &selection.sort else { return newest_first.to_owned() };
        let expression = column.expression(&mut self.bound);
        let missing_last = if column.is_optional() { format!("{expression} IS NULL, ") } else { String::new() };
        let direction = if column.is_quantity() != selection.reverse { " DESC" } else { "" };
        format!("{missing_last}{expression}{direction}, {newest_first}")
    }

    pub fn conditions(&mut self, selection: &Selection) -> String {
        let spelt: Vec<String> = selection.conditions.iter().map(|condition| self.condition(condition)).collect();
        if spelt.is_empty() { String::new() } else { format!(" WHERE {}", spelt.join(" AND ")) }
    }

    fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Name(glob) => format!("call.name GLOB ?{}", self.text(glob)),
            Condition::Argument { position, glob } => {
                let glob = self.text(glob);
                let place = position.map_or(String::new(), |n| format!(" AND n = {n}"));
                format!("EXISTS (SELECT 1 FROM argument WHERE call = call.id AND text GLOB ?{glob}{place})")
            }
            Condition::Tag { name, value } => {
                let name = self.text(name);
                let value = value.as_ref().map_or(String::new(), |value| format!(" AND value = ?{}", self.text(value)));
                format!("call.id IN (SELECT call FROM tag WHERE tag.name = ?{name}{value})")
            }
            Condition::Cwd(path) => format!("call.cwd IN (SELECT id FROM word WHERE text = ?{})", self.bytes(path)),
            Condition::Exit(code) => format!("call.exit = {code}"),
            Condition::Since(time) => format!("call.started >= {time}"),
            Condition::Until(time) => format!("call.started < {time}"),
            Condition::Longer(wall) => format!("call.wall >= {wall}"),
            Condition::Input(path) => self.any(path, |text| {
                format!(
                    "call.path_set IN (SELECT path_set.id FROM path_set, path
                        WHERE path.path = ?{text} AND holds(path_set.paths, path.id))"
                )
            }),
            Condition::Output(path) => self.any(path, |text| {
                format!("EXISTS (SELECT 1 FROM call_value WHERE call = call.id AND n >= 2 AND path = ?{text})")
            }),
            Condition::Value(digest) => {
                let digest = self.bind(Value::Blob(digest.0.to_vec()));
                format!("call.id IN (SELECT call FROM call_value WHERE digest = ?{digest})")
            }
            Condition::Grade(grade) => {
                // Some calls have two, separated by a space.
                format!("instr(' ' || call.grade || ' ', ' ' || ?{} || ' ') > 0", self.text(grade))
            }
            Condition::Keys(keys) => {
                let hex: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                let list = self.text(&format!("[{}]", hex.join(",")));
                format!("call.key IN (SELECT unhex(value) FROM json_each(?{list}))")
            }
            // Behind a line feed, so that a comment in it does not hide the parenthesis.
            Condition::Where(expression) => format!("call.id IN (SELECT id FROM calls WHERE ({expression}\n))"),
        }
    }

    /// Whether one of the spellings of a path is found by `found`, which is given the number of its parameter.
    fn any(&mut self, path: &PathQuestion, found: impl Fn(usize) -> String) -> String {
        let spelling = |(root, text): (Option<&[u8]>, &[u8])| {
            let found = found(self.bytes(text));
            match root {
                None => found,
                Some(root) => {
                    format!("(call.root IN (SELECT id FROM word WHERE text = ?{}) AND {found})", self.bytes(root))
                }
            }
        };
        let spelt: Vec<String> = path.spellings().into_iter().map(spelling).collect();
        format!("({})", spelt.join(" OR "))
    }

    fn text(&mut self, text: &str) -> usize {
        self.bind(Value::Text(text.to_owned()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> usize {
        self.bind(match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_leaves_calls_out_chooses() {
        let all = Selection::default;
        assert!(!all().chooses());
        for selection in [
            Selection { conditions: vec![Condition::Where("1".into())], ..all() },
            Selection { unique: Some(Column::BuiltIn(&crate::store::BUILT_IN[0])), ..all() },
            Selection { skip: 1, ..all() },
            Selection { limit: Some(1), ..all() },
        ] {
            assert!(selection.chooses(), "{selection:?}");
        }
    }

    #[test]
    fn a_path_is_meant_as_it_was_typed_or_where_it_is() {
        let question = PathQuestion { given: b"src/a.c".to_vec(), absolute: b"/work/src/a.c".to_vec() };
        let means = |held: &str, root: &str| question.means(Path::new(held), Path::new(root));
        assert!(means("src/a.c", "/other"), "as it was typed");
        assert!(means("a.c", "/work/src") && means("/work/src/a.c", "/other"), "where it is");
        assert!(!means("a.c", "/work") && !means("src/b.c", "/work"));
    }
}
