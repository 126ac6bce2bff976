//! Texts of the catalogue that no call needs any more: what was evicted is to be gone, and not only out of sight.
//!
//! Calls share words, paths and sets of paths, so a call that goes leaves them. Who else has them is only known when all are
//! looked at, which is garbage collection's to do. SQLite writes zeros over what it deletes (`secure_delete`).

use std::collections::HashSet;

use rusqlite::{Connection, TransactionBehavior};

use super::entry;
use super::{Trouble, is_contended};
use crate::error::Error;
use crate::store::{Access, Store};

/// Which columns of calls name a word.
const WORDS: [&str; 8] = ["program", "cwd", "root", "host", "user", "version", "git_commit", "git_branch"];

impl Store {
    /// Takes from the catalogue what only calls had that are gone. Where others write it all the time, that waits for the next
    /// time.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read or written.
    pub fn forget_unneeded(&self) -> Result<(), Error> {
        if self.access != Access::ReadWrite {
            return Ok(());
        }
        // Brought up to date first: what was just evicted is still in it.
        if !self.own_catalogue()?.is_up_to_date() {
            return Ok(());
        }
        match self.live().and_then(|mut connection| Ok(forget(&mut connection)?)) {
            Err(Trouble::Sql(error)) if is_contended(&error) => Ok(()),
            other => other.map_err(|trouble| self.unopened(trouble)),
        }
    }
}

fn forget(connection: &mut Connection) -> rusqlite::Result<()> {
    // What is deleted is what nothing refers to; SQLite would look through all calls for each row of it.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM path_set WHERE id NOT IN (SELECT path_set FROM call)", [])?;
    let used = WORDS.map(|column| format!("SELECT {column} FROM call WHERE {column} IS NOT NULL")).join(" UNION ");
    transaction.execute(&format!("DELETE FROM word WHERE id NOT IN ({used})"), [])?;
    let mut needed = HashSet::new();
    {
        let mut sets = transaction.prepare("SELECT paths FROM path_set")?;
        let mut rows = sets.query([])?;
        while let Some(row) = rows.next()? {
            needed.extend(entry::ids(row.get_ref(0)?.as_blob()?));
        }
        let mut paths = transaction.prepare("SELECT id FROM path")?;
        let ids: Vec<i64> = paths.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut delete = transaction.prepare("DELETE FROM path WHERE id = ?1")?;
        for id in ids.iter().filter(|id| !needed.contains(id)) {
            delete.execute([id])?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::super::{BUILT_IN, Column};
    use crate::store::testing::{World, call};

    #[test]
    fn what_only_a_call_had_goes_with_it_and_the_rest_stays() {
        let world = World::new();
        let mut other = call("other");
        other.cwd = "/a-folder-of-its-own".into();
        other.observations.iter_mut().for_each(|seen| seen.path = "a-path-of-its-own".into());
        let other = world.record(other);
        let stays = world.record(call("stays"));
        let holds = |text: &str| {
            let bytes = std::fs::read(world.store.folder().join("index.sqlite")).unwrap();
            memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        };
        drop(world.store.catalogue().unwrap());
        assert!(holds("a-folder-of-its-own") && holds("a-path-of-its-own"));
        world.store.remove(&other.key).unwrap();
        let before = std::fs::read(world.store.folder().join("journal")).unwrap();
        world.store.forget_unneeded().unwrap();
        assert!(!holds("a-folder-of-its-own") && !holds("a-path-of-its-own"));
        assert_eq!(std::fs::read(world.store.folder().join("journal")).unwrap(), before);
        // What is left is asked as ever, and can be added to.
        let path = stays.observations[0].path.to_str().unwrap().to_owned();
        assert!(holds(&path), "{path}");
        world.record(call("new"));
        world.store.forget_unneeded().unwrap();
        world.store.reindex(&|_, _| {}).unwrap();
        let key = Column::BuiltIn(&BUILT_IN[0]);
        assert_eq!(world.store.catalogue().unwrap().rows(&Default::default(), &[key]).unwrap().len(), 2);
    }
}
