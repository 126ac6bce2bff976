//! Whether the catalogue is whole, lists the calls that there are and says of them what their files say.

use std::collections::HashSet;

use rusqlite::params_from_iter;

use super::accounts::accounts;
use super::{Catalogue, Trouble};
use crate::error::Error;
use crate::model::{Digest, Key};
use crate::store::{Access, Store};

/// How often the catalogue and the files are compared before a difference is believed.
const LOOKS: usize = 2;

impl Store {
    /// What is wrong with the catalogue, once it is up to date.
    pub(in crate::store) fn catalogue_fault(&self) -> Result<Option<String>, Error> {
        // Without a file of its own it is made of the calls as they are.
        if self.access == Access::ReadOnly {
            return Ok(None);
        }
        let catalogue = self.own_catalogue()?;
        // Others are writing it: what it does not know yet is no fault.
        if !catalogue.is_up_to_date() {
            return Ok(None);
        }
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
            let listed = match listed() {
                Ok(listed) => listed,
                Err(error) => return fault_or_failure(&catalogue, error),
            };
            let mut suspects: Vec<&Key> = listed.symmetric_difference(&present).collect();
            suspects.sort_unstable();
            if let Some(fault) = self.confirmed(&suspects)? {
                return Ok(Some(fault));
            }
        }
        drop(catalogue);
        if let Some(fault) = self.told_otherwise()? {
            return Ok(Some(fault));
        }
        let checked = self.live().and_then(|connection| {
            Ok(connection.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0))?)
        });
        match checked {
            Ok(answer) if answer == "ok" => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(Trouble::Sql(error)) if super::is_of_the_moment(&error) => Ok(None),
            Err(Trouble::Sql(error)) => Ok(Some(error.to_string())),
            Err(Trouble::Newer) => Err(self.unopened(Trouble::Newer)),
        }
    }

    /// A call of which the catalogue does not say what its file says. SQLite has no digests of its own: of a byte that a
    /// disk spoilt in the middle of a text nothing else tells. What others change meanwhile is another thing each time.
    fn told_otherwise(&self) -> Result<Option<String>, Error> {
        let mut suspects: Option<HashSet<(Vec<u8>, Option<u128>)>> = None;
        for _ in 0..LOOKS {
            let catalogue = self.own_catalogue()?;
            let anew = self.catalogue_in_memory()?;
            if !catalogue.is_up_to_date() {
                return Ok(None);
            }
            let told = match accounts(&catalogue.connection) {
                Ok(told) => told,
                Err(error) => return fault_or_failure(&catalogue, error),
            };
            let right = accounts(&anew.connection).map_err(|error| anew.failed(error))?;
            let keys = told.keys().chain(right.keys()).collect::<HashSet<_>>();
            let wrong = keys.into_iter().filter(|key| told.get(*key) != right.get(*key));
            let wrong: HashSet<_> = wrong.map(|key| (key.clone(), told.get(key).copied())).collect();
            let still = match suspects {
                None => wrong,
                Some(before) => before.intersection(&wrong).cloned().collect(),
            };
            if still.is_empty() {
                return Ok(None);
            }
            suspects = Some(still);
        }
        let first = suspects.and_then(|suspects| suspects.into_iter().map(|(key, _)| key).min());
        let named = first.and_then(|key| Some(Digest(key.try_into().ok()?)));
        Ok(Some(match named {
            Some(key) => format!("it does not say of call {} what its file says", key.short()),
            None => "it lists what is no call".to_owned(),
        }))
    }

    /// The first of these that a catalogue that is opened now lists although it is gone, or does not list although it is
    /// there: what came or went since the other one was opened is no fault.
    fn confirmed(&self, suspects: &[&Key]) -> Result<Option<String>, Error> {
        if suspects.is_empty() {
            return Ok(None);
        }
        let catalogue = self.own_catalogue()?;
        if !catalogue.is_up_to_date() {
            return Ok(None);
        }
        for key in suspects {
            let listed = || -> rusqlite::Result<bool> {
                catalogue.connection.prepare_cached("SELECT 1 FROM call WHERE key = ?1")?.exists([key.0.0])
            };
            let is_listed = listed().map_err(|error| catalogue.failed(error))?;
            // One that is damaged or that nobody can read is a fault of its own.
            let is_there = match self.own_call(key) {
                Ok(call) => call.is_some(),
                Err(_) => continue,
            };
            let short = key.0.short();
            match (is_listed, is_there) {
                (true, false) => return Ok(Some(format!("it lists call {short}, which is gone"))),
                (false, true) => return Ok(Some(format!("it does not list call {short}"))),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// What a question that failed says of the catalogue: that it is damaged, unless something else is to blame.
fn fault_or_failure(catalogue: &Catalogue, error: rusqlite::Error) -> Result<Option<String>, Error> {
    let why = error.to_string();
    let failure = catalogue.failed(error);
    if catalogue.damaged.get() { Ok(Some(why)) } else { Err(failure) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::folder::call_name;
    use crate::store::testing::{World, call};

    #[test]
    fn what_it_says_of_a_call_is_held_against_the_files() {
        let changes = [
            "UPDATE call SET exit = 3",
            "UPDATE call SET started = started + 1",
            "UPDATE word SET text = text || 'x' WHERE text LIKE '%cc'",
            "UPDATE argument SET text = 'd' WHERE n = 1",
            "DELETE FROM argument WHERE n = 1",
            "UPDATE tag SET value = 'beta'",
            "UPDATE call_value SET length = 1",
            "UPDATE path SET path = 'b.c'",
            "UPDATE path_set SET paths = x'01'",
        ];
        for change in changes {
            let world = World::new();
            let key = world.record(call("a")).key;
            world.store.catalogue().unwrap();
            assert_eq!(world.store.catalogue_fault().unwrap(), None);
            assert!(world.store.live().ok().unwrap().execute(change, []).unwrap() > 0, "{change}");
            let expected = format!("it does not say of call {} what its file says", key.0.short());
            assert_eq!(world.store.catalogue_fault().unwrap(), Some(expected), "{change}");
            world.store.reindex(&|_, _| {}).unwrap();
            assert_eq!(world.store.catalogue_fault().unwrap(), None, "{change}");
        }
        // How often it was replayed stands elsewhere.
        let world = World::new();
        world.record(call("a"));
        world.store.catalogue().unwrap();
        world.store.live().ok().unwrap().execute("UPDATE call SET hits = 7", []).unwrap();
        assert_eq!(world.store.catalogue_fault().unwrap(), None);
    }

    #[test]
    fn a_fault_behind_others_that_are_none_is_found() {
        let world = World::new();
        let of = |n: u8| {
            let mut made = call(&n.to_string());
            made.key = Key(Digest([7; 32]));
            made.key.0.0[31] = n;
            made
        };
        let keys: Vec<Key> = (0..9).map(|n| world.record(of(n)).key).collect();
        world.store.catalogue().unwrap();
        assert_eq!(world.store.catalogue_fault().unwrap(), None);
        // Of all but the last the file cannot be read, whatever the catalogue says of them.
        let file = |key: &Key| world.store.folder().join(call_name(key));
        let whole = fs::read(file(&keys[0])).unwrap();
        let mut newer = [&whole[..7], &[0xff]].concat();
        let digest = blake3::Hasher::new().update(&newer).finalize();
        newer.extend_from_slice(digest.as_bytes());
        keys[..8].iter().for_each(|key| fs::write(file(key), &newer).unwrap());
        let connection = world.store.live().ok().unwrap();
        connection.execute("DELETE FROM call", []).unwrap();
        // Its folder must not look as if something had changed in it.
        let modified = crate::sys::stamp::of(file(&keys[8]).parent().unwrap()).unwrap().modified;
        let settle = "INSERT INTO shard (shard, modified) VALUES (7, ?1) ON CONFLICT DO UPDATE SET modified = ?1";
        connection.execute(settle, [modified]).unwrap();
        let expected = format!("it does not list call {}", keys[8].0.short());
        assert_eq!(world.store.catalogue_fault().unwrap(), Some(expected));
    }

    #[test]
    fn a_call_that_is_listed_and_gone_is_found() {
        let world = World::new();
        let keys = ["a", "b"].map(|name| world.record(call(name)).key);
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(call_name(&keys[0]));
        fs::remove_file(&file).unwrap();
        // Its folder must not look as if something had changed in it.
        let modified = crate::sys::stamp::of(file.parent().unwrap()).unwrap().modified;
        let settle = "INSERT INTO shard (shard, modified) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET modified = excluded.modified";
        let shard = i64::from(keys[0].0.0[0]);
        assert_eq!(world.store.live().ok().unwrap().execute(settle, [shard, modified]).unwrap(), 1);
        let expected = format!("it lists call {}, which is gone", keys[0].0.short());
        assert_eq!(world.store.catalogue_fault().unwrap(), Some(expected));
    }

    #[test]
    fn only_damage_is_a_fault_of_the_catalogue() {
        use rusqlite::ffi;
        let world = World::new();
        for (code, is_fault) in [(ffi::SQLITE_CORRUPT, true), (ffi::SQLITE_NOTADB, true), (ffi::SQLITE_FULL, false)] {
            let error = || rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let answer = fault_or_failure(&world.store.own_catalogue().unwrap(), error());
            assert_eq!(answer.ok(), is_fault.then(|| Some(error().to_string())), "{code}");
        }
    }

    #[test]
    fn an_index_that_is_not_that_of_its_table_is_found() {
        let world = World::new();
        world.record(call("a"));
        world.store.catalogue().unwrap();
        let file = world.store.folder().join(super::super::FILE);
        let declare = |from: &str, to: &str| {
            let connection = rusqlite::Connection::open(&file).unwrap();
            connection.pragma_update(None, "writable_schema", true).unwrap();
            let change = "UPDATE sqlite_schema SET sql = replace(sql, ?1, ?2) WHERE name = 'call_started'";
            assert_eq!(connection.execute(change, [from, to]).unwrap(), 1);
        };
        // Its entries are those of another column.
        declare("(started)", "(stopped)");
        rusqlite::Connection::open(&file).unwrap().execute("REINDEX call_started", []).unwrap();
        declare("(stopped)", "(started)");
        assert!(world.store.catalogue_fault().unwrap().is_some_and(|why| why.contains("index")));
    }
}
