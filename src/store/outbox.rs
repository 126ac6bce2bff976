//! Calls that are yet to be put into stores beyond this machine.
//!
//! An entry is an empty file whose name is the call's key, in a folder of the store that it is meant for. It goes once the call
//! is there, is gone here, or may not be sent. So nothing is lost with a process or with a network, and nobody waits for one.

use std::fs::File;

use super::{Access, Store};
use crate::error::Error;
use crate::model::{Digest, Key};
use crate::sys::lock;

/// Where the entries are.
const FOLDER: &str = "outbox";
/// More are not kept for one store: a network that is away for weeks is not to fill the disk.
const MOST: usize = 100_000;

/// Held by who sends: one process for each store is enough.
pub struct Sender(File);

impl Store {
    /// Leaves a call to be put into the store of this name. Where that cannot be noted, others will not have it, and nothing
    /// is said.
    pub fn leave_for(&self, remote: &str, key: &Key) {
        if self.access == Access::ReadWrite {
            let _ = self.folder.open_to_append(&format!("{}/{key}", folder_of(remote)));
        }
    }

    /// The calls that were left for the store of this name.
    ///
    /// # Errors
    ///
    /// Where that cannot be read.
    pub fn outbox(&self, remote: &str) -> Result<Vec<Key>, Error> {
        let names = self.folder.names(&folder_of(remote));
        let names =
            names.map_err(|why| Error::failure("cannot read what is to be put into other stores").because(why))?;
        let key = |name: &Vec<u8>| std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).map(Key);
        let mut keys: Vec<Key> = names.iter().filter_map(key).collect();
        for key in keys.drain(MOST.min(keys.len())..) {
            self.taken_from(remote, &key);
        }
        Ok(keys)
    }

    /// Takes a call from what was left for the store of this name.
    pub fn taken_from(&self, remote: &str, key: &Key) {
        // One that stays is put there once more.
        let _ = self.folder.remove(&format!("{}/{key}", folder_of(remote)));
    }

    /// The right to send to the store of this name, unless another process has it. A process must not ask twice.
    pub fn sender(&self, remote: &str) -> Option<Sender> {
        let file = self.folder.open_or_create(&format!("{}.lock", folder_of(remote))).ok()?;
        lock::try_exclusive(&file, 0).unwrap_or(false).then_some(Sender(file))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = lock::release(&self.0, 0);
    }
}

fn folder_of(remote: &str) -> String {
    // A name is no path, but for the case of its letters some file systems do not care.
    format!("{FOLDER}/{}", &Digest::of(remote.as_bytes()).to_string()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, call};

    #[test]
    fn what_was_left_stays_until_it_is_taken() {
        let world = World::new();
        let [one, other] = ["one", "other"].map(|name| call(name).key);
        world.store.leave_for("team", &one);
        world.store.leave_for("team", &one);
        world.store.leave_for("team", &other);
        world.store.leave_for("far", &one);
        let mut left = world.store.outbox("team").unwrap();
        left.sort();
        let mut both = vec![one, other];
        both.sort();
        assert_eq!(left, both);
        world.store.taken_from("team", &one);
        assert_eq!((world.store.outbox("team").unwrap(), world.store.outbox("far").unwrap()), (vec![other], vec![one]));
    }

    #[test]
    fn what_stands_in_the_way_of_an_outbox_makes_way() {
        let world = World::new();
        let one = call("one").key;
        for place in [FOLDER.to_owned(), folder_of("team")] {
            std::fs::remove_dir_all(world.store.folder().join(FOLDER)).ok();
            let path = world.store.folder().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "something else").unwrap();
            assert_eq!(world.store.outbox("team").unwrap(), []);
            world.store.leave_for("team", &one);
            assert_eq!(world.store.outbox("team").unwrap(), [one]);
        }
    }

    #[test]
    fn one_process_sends_to_a_store_at_a_time() {
        let world = World::new();
        let again = world.store.reopened().unwrap();
        let sender = world.store.sender("team");
        assert!(sender.is_some() && again.sender("far").is_some());
        drop(sender);
        assert!(again.sender("team").is_some());
    }

    #[test]
    fn nothing_is_left_in_a_cache_that_is_read_only() {
        let world = World::new();
        let store = Store::open_read_only(world.store.folder()).unwrap();
        store.leave_for("team", &call("one").key);
        assert!(store.outbox("team").unwrap().is_empty() && !store.folder().join(FOLDER).exists());
    }
}
