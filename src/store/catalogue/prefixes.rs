//! Which digests begin with what somebody typed.

use rusqlite::{Connection, Params};

use super::Catalogue;
use crate::error::Error;
use crate::model::{Digest, Key, Prefix};

impl Catalogue {
    /// The calls whose key begins with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn calls_with_prefix(&self, prefix: &Prefix) -> Result<Vec<Key>, Error> {
        let question = "SELECT key FROM call WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
        Ok(self.digests_with_prefix(question, prefix)?.into_iter().map(Key).collect())
    }

    /// The values, inline or not, that a call names and whose digest begins with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn values_with_prefix(&self, prefix: &Prefix) -> Result<Vec<Digest>, Error> {
        let question = "SELECT DISTINCT digest FROM call_value WHERE digest BETWEEN ?1 AND ?2 ORDER BY digest";
        let mut values = self.digests_with_prefix(question, prefix)?;
        let empty = Digest::of(b"");
        if empty.hex().starts_with(prefix.as_str()) && self.knows_empty_value().map_err(|error| self.failed(error))? {
            values.push(empty);
            values.sort_unstable();
            values.dedup();
        }
        Ok(values)
    }

    /// The calls that name a value, the latest first.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn calls_with_value(&self, digest: &Digest) -> Result<Vec<Key>, Error> {
        let question = "SELECT DISTINCT key, started FROM call_value JOIN call ON call.id = call_value.call
            WHERE digest = ?1 ORDER BY started DESC";
        let keys = digests(&self.connection, question, [digest.0]).map_err(|error| self.failed(error))?;
        Ok(keys.into_iter().map(Key).collect())
    }

    /// The calls and named values next to a digest, before and after it: whatever else shares its beginning shares less.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn neighbours(&self, digest: &Digest) -> Result<Vec<Digest>, Error> {
        // A condition on the whole would make SQLite look at every row of each part.
        let question = "SELECT max(key) FROM call WHERE key < ?1 UNION ALL SELECT min(key) FROM call WHERE key > ?1
            UNION ALL SELECT max(digest) FROM call_value WHERE digest < ?1
            UNION ALL SELECT min(digest) FROM call_value WHERE digest > ?1";
        let ask = || -> rusqlite::Result<Vec<Option<[u8; 32]>>> {
            self.connection.prepare_cached(question)?.query_map([digest.0], |row| row.get(0))?.collect()
        };
        let found = ask().map_err(|error| self.failed(error))?;
        Ok(found.into_iter().flatten().map(Digest).chain([Digest::of(b"")]).collect())
    }

    /// Whether a call names this value.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read.
    pub fn names_value(&self, digest: &Digest) -> Result<bool, Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM call_value WHERE digest = ?1 LIMIT 1")
            .map_err(|error| self.failed(error))?;
        let is_named = statement.exists([digest.0]).map_err(|error| self.failed(error))?;
        Ok(is_named || *digest == Digest::of(b""))
    }

    fn digests_with_prefix(&self, question: &str, prefix: &Prefix) -> Result<Vec<Digest>, Error> {
        let (Some(first), Some(last)) = (filled(prefix.as_str(), '0'), filled(prefix.as_str(), 'f')) else {
            return Ok(Vec::new());
        };
        digests(&self.connection, question, [first.0, last.0]).map_err(|error| self.failed(error))
    }

    /// The empty value is not listed with every call whose stream was empty.
    fn knows_empty_value(&self) -> rusqlite::Result<bool> {
        let question = "SELECT 1 FROM call_value WHERE length = 0 LIMIT 1";
        self.connection.prepare_cached(question)?.exists([])
    }
}

/// The first or the last digest that begins with these hex characters.
pub(super) fn filled(beginning: &str, with: char) -> Option<Digest> {
    let missing = 64usize.saturating_sub(beginning.len());
    format!("{beginning}{}", with.to_string().repeat(missing)).parse().ok()
}

fn digests(connection: &Connection, question: &str, bound: impl Params) -> rusqlite::Result<Vec<Digest>> {
    let mut statement = connection.prepare_cached(question)?;
    statement.query_map(bound, |row| row.get(0).map(Digest))?.collect()
}
