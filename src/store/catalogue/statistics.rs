//! What happened so far, and how much is stored.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::Catalogue;
use super::entry::text;
use super::selection::{Selection, Spelt};
use crate::error::Result;
use crate::model::{Digest, Key};

/// How often something happened on one day, to commands of one name, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The day, in days since 1970, UTC.
    pub day: i64,
    /// The name of the command; empty where it is not known.
    pub name: String,
    /// `stored`, `hit`, `missed` (it ran and was not stored), `copied` (from another cache) or `evicted`; of a store beyond this
    /// machine, whose name stands in the place of the command's, `asked` and `sent`, and with the requests of these and the time
    /// that they took in the place of what was saved, `asking` and `sending`.
    pub event: String,
    /// Why it had to run (`stored`) or was not stored (`missed`): the name of a reason; what came of an exchange with a store.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// Nanoseconds that it saved.
    pub saved: u64,
    /// Bytes that it added to the store.
    pub bytes: u64,
}

/// Which part of the past is meant.
#[derive(Clone, Debug, Default)]
pub struct Period {
    /// A glob for the names of commands.
    pub name: Option<String>,
    /// The first day, in days since 1970.
    pub first: Option<i64>,
    /// The last day, in days since 1970.
    pub last: Option<i64>,
}

/// How much some calls are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub calls: u64,
    /// Bytes in the store that they need, a value that several of them name counted once.
    pub bytes: u64,
    /// How often they were replayed.
    pub hits: u64,
    /// Nanoseconds that these replays saved.
    pub saved: u64,
}

impl Catalogue {
    /// What happened in a period, the earliest first.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn statistics(&self, period: &Period) -> Result<Vec<Counted>> {
        let question = "SELECT day, name, event, reason, count, saved, bytes FROM statistic
            WHERE (?1 IS NULL OR (name GLOB ?1 AND event NOT IN ('asked', 'asking', 'sent', 'sending'))) AND day BETWEEN ?2 AND ?3 ORDER BY day, name, event, reason";
        let number = |row: &rusqlite::Row, column| row.get::<_, i64>(column).map(|number| number.max(0) as u64);
        let read = |row: &rusqlite::Row| {
            Ok(Counted {
                day: row.get(0)?,
                name: row.get(1)?,
                event: row.get(2)?,
                reason: row.get(3)?,
                count: number(row, 4)?,
                saved: number(row, 5)?,
                bytes: number(row, 6)?,
            })
        };
        let ask = || -> rusqlite::Result<Vec<Counted>> {
            let mut statement = self.connection.prepare(question)?;
            let bound = params![period.name, period.first.unwrap_or(i64::MIN), period.last.unwrap_or(i64::MAX)];
            statement.query_map(bound, read)?.collect()
        };
        ask().map_err(|error| self.failed(error))
    }

    /// How much the calls of a selection are.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn totals(&self, selection: &Selection) -> Result<Totals> {
        let Spelt { text: ids, bound } = Spelt::ids(selection);
        let (chosen, of_calls, of_values) = match selection.chooses() {
            true => (
                format!("WITH chosen AS MATERIALIZED ({ids})"),
                "WHERE id IN (SELECT id FROM chosen)",
                "AND call IN (SELECT id FROM chosen)",
            ),
            false => (String::new(), "", ""),
        };
        let bound = if selection.chooses() { bound } else { Vec::new() };
        let question = format!(
            "{chosen} SELECT count(*), coalesce(sum(file_bytes), 0), coalesce(sum(hits), 0),
                CAST(total(CAST(hits AS REAL) * wall) AS INTEGER),
                (SELECT coalesce(sum(length), 0) FROM (
                    SELECT DISTINCT digest, length FROM call_value WHERE inline = 0 {of_values}
                ))
            FROM call {of_calls}"
        );
        let read = |row: &rusqlite::Row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number.max(0) as u64);
            Ok(Totals {
                calls: number(0)?,
                bytes: number(1)?.saturating_add(number(4)?),
                hits: number(2)?,
                saved: number(3)?,
            })
        };
        let ask = |bound: Vec<Value>| self.connection.query_row(&question, params_from_iter(bound), read);
        ask(bound).map_err(|error| self.not_answered(selection, error))
    }

    /// Of all calls that made a value, the one that most likely made it as `reader` found it: one that left it at this very
    /// place, else one that printed it, and of several the latest that had ended before `reader` started. Equal bytes say no
    /// more. `place` is the absolute path at which it was found, `started` in nanoseconds since 1970.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn maker(&self, digest: &Digest, reader: &Key, place: &[u8], started: i64) -> Result<Option<Key>> {
        let question = "SELECT key FROM call_value JOIN call ON call.id = call_value.call
            WHERE digest = ?1 AND n <> 1 AND key <> ?2
            ORDER BY path IN (?3, substr(?3, length((SELECT text FROM word WHERE id = root)) + 2))
                    AND (path = ?3 OR substr(?3, 1, length((SELECT text FROM word WHERE id = root)) + 1)
                        = (SELECT text FROM word WHERE id = root) || '/') DESC,
                stopped <= ?4 DESC, path IS NULL DESC, stopped DESC, call.id DESC
            LIMIT 1";
        let ask = || -> rusqlite::Result<Option<[u8; 32]>> {
            let mut statement = self.connection.prepare_cached(question)?;
            statement.query_row(params![digest.0, reader.0.0, text(place), started], |row| row.get(0)).optional()
        };
        Ok(ask().map_err(|error| self.failed(error))?.map(|key| Key(Digest(key))))
    }
}
