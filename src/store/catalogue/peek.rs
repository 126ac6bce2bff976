//! A glance at the catalogue as it lies on the disk, for somebody who is typing: no lock, no waiting, nothing written.
//!
//! What was not yet folded in is not seen, and where another process writes meanwhile the answer may be wrong or none;
//! nobody acts on it but the reader.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Params, Row};

use super::FILE;
use super::column::command_line_of;
use super::prefixes::filled;
use crate::store::Store;

/// Calls that a shell is offered; nobody reads more.
const MOST: u32 = 100;
/// Characters of a key that are shown where so many tell it.
const SHORT: usize = 12;

/// A file's name as SQLite reads it in a URI.
pub(super) fn file_name(path: &Path) -> String {
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => name.push(char::from(*byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

/// A catalogue that is only glanced at.
#[derive(Debug)]
pub struct Peek(Connection);

impl Peek {
    /// Opens the catalogue of the cache in `folder`; `None` where there is none that can be read.
    pub fn open(folder: &Path) -> Option<Peek> {
        let store = Store::open_read_only(folder).ok()?;
        if super::is_misplaced(&store.folder) {
            return None;
        }
        // Immutable: SQLite makes no files beside it and takes no locks.
        let name = file_name(&store.folder().join(FILE)) + "?mode=ro&immutable=1";
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(name, flags).ok()?;
        connection.pragma_update(None, "mmap_size", 0).ok()?;
        Some(Peek(connection))
    }

    /// The keys that begin with `typed`, shortened where that is enough, and their commands; the latest first.
    pub fn calls(&self, typed: &str) -> Vec<(String, String)> {
        let (Some(first), Some(last)) = (filled(typed, '0'), filled(typed, 'f')) else { return Vec::new() };
        // What nobody began to type would have the whole range sorted, where the index by time has the answer.
        let condition = if typed.is_empty() { "?1 <= ?2" } else { "key BETWEEN ?1 AND ?2" };
        let question = format!(
            "SELECT lower(hex(key)), {} FROM call WHERE {condition} ORDER BY started DESC LIMIT ?3",
            super::column::COMMAND_LINE
        );
        let length = if typed.len() > SHORT { 64 } else { SHORT };
        self.list(&question, (first.0, last.0, MOST), |row| {
            let (key, line): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok((key.chars().take(length).collect(), command_line_of(&line.unwrap_or_default()).unwrap_or_default()))
        })
    }

    /// The names of all commands, in order. Each is looked for behind the one before it: there are few among many calls.
    pub fn names(&self) -> Vec<String> {
        let question = "WITH RECURSIVE next (name) AS (
                SELECT min(name) FROM call
                UNION ALL SELECT (SELECT min(name) FROM call WHERE call.name > next.name) FROM next
                    WHERE next.name IS NOT NULL
            )
            SELECT name FROM next WHERE typeof(name) = 'text' LIMIT 10000";
        self.list(question, [], |row| row.get(0))
    }

    /// The names and values of all tags, in order.
    pub fn tags(&self) -> Vec<(String, String)> {
        self.list("SELECT DISTINCT name, value FROM tag ORDER BY name, value LIMIT 10000", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    fn list<T>(&self, question: &str, bound: impl Params, read: impl Fn(&Row) -> rusqlite::Result<T>) -> Vec<T> {
        let listed = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.0.prepare(question)?;
            statement.query_map(bound, |row| read(row))?.collect()
        };
        listed().unwrap_or_default()
    }
}
