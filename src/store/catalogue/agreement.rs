//! Whether the catalogue is whole and lists the calls that there are.

use std::collections::HashSet;

use rusqlite::params_from_iter;

use super::Trouble;
use crate::error::Error;
use crate::model::{Digest, Key};
use crate::store::folder::call_name;
use crate::store::{Access, Store};

impl Store {
    /// What is wrong with the catalogue, once it is up to date.
    pub(in crate::store) fn catalogue_fault(&self) -> Result<Option<String>, Error> {
        // Without a file of its own it is made of the calls as they are.
        if self.access == Access::ReadOnly {
            return Ok(None);
        }
        let catalogue = self.catalogue()?;
        for shard in 0..=255u8 {
            let present: HashSet<Key> = self.digests_in("calls", shard)?.into_iter().map(Key).collect();
            let (mut first, mut last) = ([0; 32], [0xff; 32]);
            (first[0], last[0]) = (shard, shard);
            let listed = || -> rusqlite::Result<HashSet<Key>> {
                let question = "SELECT key FROM call WHERE key BETWEEN ?1 AND ?2";
                let mut statement = catalogue.connection.prepare_cached(question)?;
                statement
                    .query_map(params_from_iter([first, last]), |row| row.get(0).map(|key| Key(Digest(key))))?
                    .collect()
            };
            let listed = listed().map_err(|error| catalogue.failed(error))?;
            // What came or went since the catalogue was opened is no fault, and is seen by asking again.
            let exists = |key: &Key| matches!(self.folder.stat(&call_name(key)), Ok(Some(_)));
            if let Some(gone) = listed.difference(&present).find(|key| !exists(key))
                && self.is_still_wrong(gone)?
            {
                return Ok(Some(format!("it lists call {}, which is gone", gone.0.short())));
            }
            if let Some(unlisted) = present.difference(&listed).find(|key| exists(key))
                && self.is_still_wrong(unlisted)?
            {
                return Ok(Some(format!("it does not list call {}", unlisted.0.short())));
            }
        }
        drop(catalogue);
        let checked = self.live().and_then(|connection| {
            Ok(connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))?)
        });
        match checked {
            Ok(answer) if answer == "ok" => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(Trouble::Sql(error)) if super::is_of_the_moment(&error) => Ok(None),
            Err(trouble) => Err(self.unopened(trouble)),
        }
    }

    /// Whether a catalogue that is opened now lists a call that is gone, or does not list one that is there.
    fn is_still_wrong(&self, key: &Key) -> Result<bool, Error> {
        let catalogue = self.catalogue()?;
        let listed = || -> rusqlite::Result<bool> {
            catalogue.connection.prepare_cached("SELECT 1 FROM call WHERE key = ?1")?.exists([key.0.0])
        };
        let is_listed = listed().map_err(|error| catalogue.failed(error))?;
        Ok(is_listed != matches!(self.call(key), Ok(Some(_))))
    }
}
