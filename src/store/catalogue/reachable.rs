//! What calls reach: the questions of garbage collection.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::Catalogue;
use crate::error::Error;
use crate::model::{CommandDigest, Digest, Key};

/// The tag of calls that are never evicted.
pub(in crate::store) const PIN: &str = "pin";

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
}

/// Bytes of all calls and of the values that they name.
const SIZE: &str = "SELECT (SELECT coalesce(sum(file_bytes), 0) FROM call) + coalesce(sum(length), 0) FROM
    (SELECT max(length) AS length FROM call_value WHERE digest IS NOT NULL AND inline = 0 GROUP BY digest)";
const OLDEST: &str = "SELECT min(last_used) FROM call
    WHERE NOT EXISTS (SELECT 1 FROM tag WHERE tag.call = call.id AND tag.name = ?1)";
/// Those that go first come first.
const IN_ORDER: &str = "SELECT id, key, last_used, file_bytes FROM call
    WHERE NOT EXISTS (SELECT 1 FROM tag WHERE tag.call = call.id AND tag.name = ?1) ORDER BY last_used, key";
const VALUES: &str = "SELECT digest, max(length) FROM call_value
    WHERE call = ?1 AND digest IS NOT NULL AND inline = 0 GROUP BY digest";
const NAMED: &str = "SELECT count(DISTINCT call) FROM call_value WHERE digest = ?1 AND inline = 0";

impl Catalogue {
    /// Bytes of all calls and of the values that they name, each value once.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn size(&self) -> Result<u64, Error> {
        let size = self.connection.query_row(SIZE, [], |row| row.get::<_, i64>(0));
        size.map(|size| size.max(0) as u64).map_err(|error| self.failed(error))
    }

    /// The earliest last use of a call that is not pinned, in nanoseconds since 1970; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn oldest_use(&self) -> Result<Option<i64>, Error> {
        self.connection.query_row(OLDEST, [PIN], |row| row.get(0)).map_err(|error| self.failed(error))
    }

    /// Shows the calls that are not pinned in the order in which they are evicted, as long as `show` wants more; each as if
    /// those before it were gone.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub(in crate::store) fn each_by_use(
        &self,
        mut show: impl FnMut(&CallFacts) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // How many calls name a value still: of those that were shown, so memory grows with what goes.
        let mut named: HashMap<[u8; 32], i64> = HashMap::new();
        let mut each = || -> rusqlite::Result<()> {
            let (mut calls, mut values) =
                (self.connection.prepare_cached(IN_ORDER)?, self.connection.prepare_cached(VALUES)?);
            let mut rows = calls.query([PIN])?;
            while let Some(row) = rows.next()? {
                let file_bytes = row.get::<_, i64>(3)?.max(0) as u64;
                let mut bytes = file_bytes;
                let mut its = values.query([row.get::<_, i64>(0)?])?;
                while let Some(value) = its.next()? {
                    let left = match named.entry(value.get(0)?) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let mut count = self.connection.prepare_cached(NAMED)?;
                            let count = count.query_row([new.key()], |row| row.get(0))?;
                            new.insert(count)
                        }
                    };
                    *left -= 1;
                    if *left == 0 {
                        bytes = bytes.saturating_add(value.get::<_, i64>(1)?.max(0) as u64);
                    }
                }
                let key = Key(Digest(row.get(1)?));
                let facts = CallFacts { key, last_used: row.get(2)?, file_bytes, bytes };
                if show(&facts).is_break() {
                    break;
                }
            }
            Ok(())
        };
        each().map_err(|error| self.failed(error))
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
