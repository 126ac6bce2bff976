//! Listing calls: what of them a table shows, and which of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rusqlite::types::{FromSqlError, ToSqlOutput, Value, ValueRef};

use super::Catalogue;
use crate::error::Result;
use crate::model::{Argument, Digest, Key};

/// What a table shows of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub key: Key,
    /// The last component of its first argument.
    pub name: OsString,
    /// Its arguments, as far as they may be known.
    pub argv: Vec<Argument>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// How its inputs are known, see [`Grade::name`](crate::model::Grade::name).
    pub grade: String,
    /// Its exit code.
    pub exit: u8,
    /// When it started, in nanoseconds since 1970.
    pub started: i64,
    /// How long it ran, in nanoseconds.
    pub wall: u64,
    /// When it was last used, in nanoseconds since 1970.
    pub last_used: i64,
    /// How often it was replayed, as far as the journal goes back.
    pub hits: u64,
    /// Bytes of its own file and of the values that it names.
    pub bytes: u64,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Row {
    /// The tag that says to which project it belongs.
    pub fn project(&self) -> Option<&str> {
        self.tags.get("project").map(String::as_str)
    }
}

/// Which calls are listed; all conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// A glob, as SQLite reads it, for the name.
    pub name: Option<String>,
    /// Tags that must be there, with this value if one is given.
    pub tags: Vec<(String, Option<String>)>,
    /// How many at most.
    pub limit: Option<u64>,
}

const COLUMNS: &str = "
SELECT key, name, cwd, grade, exit, started, wall, last_used, hits, bytes,
    (SELECT group_concat(iif(text IS NULL, '-', hex(text)), ' ' ORDER BY n) FROM argument WHERE call = id),
    (SELECT group_concat(hex(name) || '=' || hex(value), ' ') FROM tag WHERE call = id)
FROM call
WHERE (?1 IS NULL OR name GLOB ?1)";

impl Catalogue {
    /// The latest calls, the latest first.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn recent(&self, limit: u64) -> Result<Vec<Row>> {
        self.rows(&Selection { limit: Some(limit), ..Selection::default() })
    }

    /// The calls of a selection, the latest first.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn rows(&self, selection: &Selection) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.each(selection, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Shows the calls of a selection one by one, the latest first; memory does not grow with their number.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read, and what `show` fails with.
    pub fn each(&self, selection: &Selection, mut show: impl FnMut(Row) -> Result<()>) -> Result<()> {
        let (question, bound) = question(selection);
        let mut statement = self.connection.prepare_cached(&question).map_err(|error| self.failed(error))?;
        let mut rows = statement.query(rusqlite::params_from_iter(bound)).map_err(|error| self.failed(error))?;
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            show(read(row).map_err(|error| self.failed(error))?)?;
        }
        Ok(())
    }
}

fn question(selection: &Selection) -> (String, Vec<ToSqlOutput<'_>>) {
    let optional = |text: &Option<String>| ToSqlOutput::Owned(text.clone().map_or(Value::Null, Value::Text));
    let mut text = COLUMNS.to_owned();
    let mut bound = vec![optional(&selection.name)];
    for (name, value) in &selection.tags {
        let (n, v) = (bound.len() + 1, bound.len() + 2);
        text.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM tag WHERE call = id AND tag.name = ?{n} AND (?{v} IS NULL OR value = ?{v}))"
        ));
        bound.push(ToSqlOutput::Borrowed(ValueRef::Text(name.as_bytes())));
        bound.push(optional(value));
    }
    text.push_str(&format!(" ORDER BY started DESC, id DESC LIMIT ?{}", bound.len() + 1));
    let limit = selection.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1));
    bound.push(ToSqlOutput::Owned(Value::Integer(limit)));
    (text, bound)
}

fn read(row: &rusqlite::Row) -> rusqlite::Result<Row> {
    let bytes =
        |column| -> rusqlite::Result<OsString> { Ok(OsString::from_vec(row.get_ref(column)?.as_bytes()?.to_vec())) };
    let argv = row.get_ref(10)?.as_str_or_null()?.map_or(Some(Vec::new()), arguments);
    let tags = row.get_ref(11)?.as_str_or_null()?.map_or(Some(BTreeMap::new()), tags);
    Ok(Row {
        key: Key(Digest(row.get(0)?)),
        name: bytes(1)?,
        cwd: bytes(2)?.into(),
        grade: row.get(3)?,
        exit: row.get(4)?,
        started: row.get(5)?,
        wall: row.get::<_, i64>(6)?.max(0) as u64,
        last_used: row.get(7)?,
        hits: row.get::<_, i64>(8)?.max(0) as u64,
        bytes: row.get::<_, i64>(9)?.max(0) as u64,
        argv: argv.ok_or(FromSqlError::InvalidType)?,
        tags: tags.ok_or(FromSqlError::InvalidType)?,
    })
}

/// Arguments in hex, separated by spaces, `-` for a redacted one: so they come in one answer, whatever their bytes.
fn arguments(text: &str) -> Option<Vec<Argument>> {
    let argument = |word: &str| match word {
        "-" => Some(Argument::Redacted),
        hex => Some(Argument::Clear(OsString::from_vec(unhex(hex)?))),
    };
    text.split(' ').map(argument).collect()
}

/// `name=value` in hex, separated by spaces.
fn tags(text: &str) -> Option<BTreeMap<String, String>> {
    let tag = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((String::from_utf8(unhex(name)?).ok()?, String::from_utf8(unhex(value)?).ok()?))
    };
    text.split(' ').map(tag).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::store::testing::{World, call};

    fn keys(catalogue: &Catalogue, selection: Selection) -> Vec<Key> {
        catalogue.rows(&selection).unwrap().into_iter().map(|row| row.key).collect()
    }

    #[test]
    fn a_row_says_what_the_call_says() {
        let world = World::new();
        let mut stored = call("a");
        stored.argv = vec![
            Argument::Clear(OsStr::from_bytes(b"/bin/o\xff").into()),
            Argument::Clear("".into()),
            Argument::Redacted,
            Argument::Clear("a b\n".into()),
        ];
        stored.cwd = OsStr::from_bytes(b"/w\xfe").into();
        stored.tags.insert("".into(), "= x".into());
        stored.outcome.exit = 3;
        let stored = world.record(stored);
        let rows = world.store.catalogue().unwrap().recent(9).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.key, &row.argv, &row.cwd, &row.tags), (stored.key, &stored.argv, &stored.cwd, &stored.tags));
        assert_eq!((row.name.as_bytes(), row.project()), (&b"o\xff"[..], Some("alpha")));
        assert_eq!((row.exit, row.started, row.wall, row.hits, row.grade.as_str()), (3, 5, 7, 0, "declared"));
        assert!(row.bytes > 100 && row.last_used > 0);
    }

    #[test]
    fn a_call_without_arguments_or_tags_has_none() {
        let world = World::new();
        let mut stored = call("a");
        stored.argv.clear();
        stored.tags.clear();
        world.record(stored);
        let row = world.store.catalogue().unwrap().recent(1).unwrap().remove(0);
        assert!(row.argv.is_empty() && row.tags.is_empty());
    }

    #[test]
    fn the_latest_come_first_and_no_more_than_asked_for() {
        let world = World::new();
        for (name, started) in [("a", 2), ("b", 3), ("c", 1)] {
            let mut stored = call(name);
            stored.metadata.usage.started = started;
            world.record(stored);
        }
        let catalogue = world.store.catalogue().unwrap();
        let expected = ["b", "a", "c"].map(|name| call(name).key);
        assert_eq!(keys(&catalogue, Selection::default()), expected);
        assert_eq!(keys(&catalogue, Selection { limit: Some(2), ..Selection::default() }), expected[..2]);
    }

    #[test]
    fn names_and_tags_select() {
        let world = World::new();
        let (mut a, mut b) = (call("a"), call("b"));
        a.argv = vec![Argument::Clear("/bin/ls".into())];
        b.tags.insert("kind".into(), "test".into());
        b.tags.insert("project".into(), "beta".into());
        let (a, b) = (world.record(a), world.record(b));
        let catalogue = world.store.catalogue().unwrap();
        let named = |glob: &str| keys(&catalogue, Selection { name: Some(glob.into()), ..Selection::default() });
        assert_eq!((named("l?"), named("c*"), named("x")), (vec![a.key], vec![b.key], vec![]));
        let tagged = |tags: &[(&str, Option<&str>)]| {
            let tags = tags.iter().map(|(name, value)| ((*name).into(), value.map(Into::into))).collect();
            keys(&catalogue, Selection { tags, ..Selection::default() })
        };
        assert_eq!(tagged(&[("kind", None)]), [b.key]);
        assert_eq!(tagged(&[("project", Some("alpha"))]), [a.key]);
        assert_eq!(tagged(&[("project", None), ("kind", Some("test"))]), [b.key]);
        assert!(tagged(&[("project", Some("alpha")), ("kind", None)]).is_empty());
    }
}
