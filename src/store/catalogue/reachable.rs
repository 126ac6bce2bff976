//! What calls reach: the questions of garbage collection.

use std::collections::HashSet;

use super::Catalogue;
use crate::error::Error;
use crate::model::{CommandDigest, Digest, Key};

/// What decides whether and when a call is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct CallFacts {
    pub key: Key,
    /// Nanoseconds since 1970.
    pub last_used: i64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Bytes that go with it: its file, and the values that no call names which stays longer.
    pub bytes: u64,
    /// Whether it has the tag `pin`.
    pub pinned: bool,
}

/// Those that go first come first. A value goes with the last call that names it.
const IN_ORDER: &str = "
WITH ranked AS (
    SELECT id, key, last_used, file_bytes, pinned, row_number() OVER (ORDER BY pinned, last_used, id) AS place
    FROM (
        SELECT id, key, last_used, file_bytes,
            EXISTS (SELECT 1 FROM tag WHERE tag.call = call.id AND tag.name = 'pin') AS pinned
        FROM call
    )
), value AS (
    SELECT max(length) AS length, max(place) AS place
    FROM call_value JOIN ranked ON ranked.id = call_value.call
    WHERE digest IS NOT NULL AND NOT inline GROUP BY digest
), freed AS (
    SELECT place, sum(length) AS bytes FROM value GROUP BY place
)
SELECT key, last_used, file_bytes, file_bytes + coalesce(bytes, 0), pinned
FROM ranked LEFT JOIN freed ON freed.place = ranked.place ORDER BY ranked.place";

impl Catalogue {
    /// All calls, in the order in which they are evicted.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn calls_by_use(&self) -> Result<Vec<CallFacts>, Error> {
        self.facts(IN_ORDER, [[0; 32]; 0], |row| {
            Ok(CallFacts {
                key: Key(Digest(row.get(0)?)),
                last_used: row.get(1)?,
                file_bytes: row.get::<_, i64>(2)?.max(0) as u64,
                bytes: row.get::<_, i64>(3)?.max(0) as u64,
                pinned: row.get(4)?,
            })
        })
    }

    /// The values in one of the 256 parts of their name space that calls name, but for those calls that are `gone`.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn values_named(&self, shard: u8, gone: &HashSet<Key>) -> Result<HashSet<Digest>, Error> {
        // Each digest once from the index alone, unless it matters whose it is.
        let all = "SELECT DISTINCT digest, NULL FROM call_value WHERE digest BETWEEN ?1 AND ?2";
        let whose = "SELECT digest, key FROM call_value JOIN call ON call.id = call_value.call
            WHERE digest BETWEEN ?1 AND ?2";
        self.reached(if gone.is_empty() { all } else { whose }, shard, gone)
    }

    /// The commands in one of the 256 parts of their name space that have calls, but for those calls that are `gone`.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn commands_called(
        &self,
        shard: u8,
        gone: &HashSet<Key>,
    ) -> Result<HashSet<CommandDigest>, Error> {
        let all = "SELECT DISTINCT command, NULL FROM call WHERE command BETWEEN ?1 AND ?2";
        let whose = "SELECT command, key FROM call WHERE command BETWEEN ?1 AND ?2";
        let reached = self.reached(if gone.is_empty() { all } else { whose }, shard, gone)?;
        Ok(reached.into_iter().map(CommandDigest).collect())
    }

    fn reached(&self, question: &str, shard: u8, gone: &HashSet<Key>) -> Result<HashSet<Digest>, Error> {
        let (mut first, mut last) = ([0; 32], [0xff; 32]);
        (first[0], last[0]) = (shard, shard);
        let rows =
            self.facts(question, [first, last], |row| Ok((Digest(row.get(0)?), row.get::<_, Option<[u8; 32]>>(1)?)))?;
        let stays = |key: &Option<[u8; 32]>| key.is_none_or(|key| !gone.contains(&Key(Digest(key))));
        Ok(rows.into_iter().filter(|(_, key)| stays(key)).map(|(digest, _)| digest).collect())
    }

    fn facts<T, const N: usize>(
        &self,
        question: &str,
        bound: [[u8; 32]; N],
        read: impl Fn(&rusqlite::Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let facts = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(question)?;
            statement.query_map(rusqlite::params_from_iter(bound), |row| read(row))?.collect()
        };
        facts().map_err(|error| self.failed(error))
    }
}
