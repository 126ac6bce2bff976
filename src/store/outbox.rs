//! Calls that are yet to be put into stores beyond this machine.
//!
//! An entry is an empty file whose name is the call's key, in a folder of the store that it is meant for. It goes once the call
//! is there, is gone here, or may not be sent. So nothing is lost with a process or with a network, and nobody waits for one. What
//! could not be sent for a month goes with garbage collection.

use std::fs::File;

use super::{Access, Store};
use crate::error::Error;
use crate::model::{Digest, Key, Remote};
use crate::sys::{clock, lock};

/// Where the entries are.
pub(super) const FOLDER: &str = "outbox";
/// About so many are kept for one store: a network that is away for weeks is not to fill the disk.
const MOST: usize = 100_000;

/// Held by who sends: one process for each store is enough.
pub struct Sender(Option<File>);

/// A call that is to be put into a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// Its name.
    pub key: Key,
    /// Which entry it was: one that is left anew, because the call was stored anew, is another one.
    entry: (u64, i64, i64),
}

impl Waiting {
    /// Since when, in nanoseconds since 1970.
    pub fn since(&self) -> i64 {
        self.entry.1.saturating_mul(clock::SECOND).saturating_add(self.entry.2)
    }
}

impl Store {
    /// Leaves a call to be put into a store. Where that cannot be noted, others will not have it, and nothing is said.
    pub fn leave_for(&self, remote: &Remote, key: &Key) {
        if self.access == Access::ReadWrite {
            let name = entry_of(remote, key);
            // Without its folder there is none yet.
            let _ = self.folder.write(&name, b"").or_else(|_| self.folder.open_to_append(&name).map(drop));
        }
    }

    /// Takes away what is too much of what was left for a store, whichever that is. Who knows how much there is has to read all of it.
    pub fn bound_outbox(&self, remote: &Remote) {
        self.bound_outbox_to(remote, MOST);
    }

    fn bound_outbox_to(&self, remote: &Remote, most: usize) {
        let folder = folder_of(remote);
        for name in self.folder.names(&folder).unwrap_or_default().iter().skip(most) {
            if let Ok(name) = std::str::from_utf8(name) {
                let _ = self.folder.remove_all(&format!("{folder}/{name}"));
            }
        }
    }

    /// The calls that were left for a store.
    ///
    /// # Errors
    ///
    /// Where that cannot be read.
    pub fn outbox(&self, remote: &Remote) -> Result<Vec<Waiting>, Error> {
        let names = self.folder.names(&folder_of(remote));
        let names =
            names.map_err(|why| Error::failure("cannot read what is to be put into other stores").because(why))?;
        let key = |name: &Vec<u8>| std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).map(Key);
        let waiting = |key: Key| Some(Waiting { key, entry: self.entry(remote, &key)? });
        Ok(names.iter().filter_map(key).filter_map(waiting).collect())
    }

    /// Whether anything was left for a store, as far as that can be told; reads the beginning of what was left alone.
    pub fn has_anything_waiting(&self, remote: &Remote) -> bool {
        self.folder.has_names(&folder_of(remote)).unwrap_or(false)
    }

    fn entry(&self, remote: &Remote, key: &Key) -> Option<(u64, i64, i64)> {
        let stat = self.folder.stat(&entry_of(remote, key)).ok().flatten()?;
        Some((stat.st_ino, stat.st_mtime, stat.st_mtime_nsec as i64))
    }

    /// Takes a call from what was left for a store, unless it was left once more meanwhile.
    pub fn taken_from(&self, remote: &Remote, waiting: &Waiting) {
        if self.entry(remote, &waiting.key).as_ref() == Some(&waiting.entry) {
            // One that stays is put there once more by the next process.
            let _ = self.folder.remove_all(&entry_of(remote, &waiting.key));
        }
    }

    /// The right to send to a store, unless another process has it. Where nothing can be locked many have it, which does no
    /// harm. A process must not ask twice.
    pub fn sender(&self, remote: &Remote) -> Option<Sender> {
        let Ok(file) = self.folder.open_or_create(&format!("{}.lock", folder_of(remote))) else {
            return Some(Sender(None));
        };
        match lock::try_exclusive(&file, 0) {
            Ok(true) => Some(Sender(Some(file))),
            Ok(false) => None,
            Err(_) => Some(Sender(None)),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = lock::release(file, 0);
        }
    }
}

fn entry_of(remote: &Remote, key: &Key) -> String {
    format!("{}/{key}", folder_of(remote))
}

/// Where the entries of a store are. What was left for one must not be put into another that has its name in other settings:
/// there another key signs, for another namespace.
pub(super) fn folder_of(remote: &Remote) -> String {
    let nowhere = String::new();
    let endpoint = remote.bucket.as_ref().and_then(|bucket| bucket.endpoint.as_ref()).unwrap_or(&nowhere);
    let parts = [&remote.name, &remote.url, &remote.namespace, endpoint].map(|part| format!("{} {part}", part.len()));
    format!("{FOLDER}/{}", &Digest::of(parts.join(" ").as_bytes()).to_string()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, call, remote};

    fn left(store: &Store, remote: &Remote) -> Vec<Key> {
        let mut keys: Vec<Key> = store.outbox(remote).unwrap().iter().map(|waiting| waiting.key).collect();
        keys.sort();
        keys
    }

    #[test]
    fn what_was_left_stays_until_it_is_taken() {
        let world = World::new();
        let [one, other] = ["one", "other"].map(|name| call(name).key);
        let (team, far) = (remote("team", "main"), remote("far", "main"));
        world.store.leave_for(&team, &one);
        world.store.leave_for(&team, &one);
        world.store.leave_for(&team, &other);
        world.store.leave_for(&far, &one);
        let mut both = vec![one, other];
        both.sort();
        assert_eq!(left(&world.store, &team), both);
        let waiting = world.store.outbox(&team).unwrap().into_iter().find(|waiting| waiting.key == one).unwrap();
        world.store.taken_from(&team, &waiting);
        assert_eq!((left(&world.store, &team), left(&world.store, &far)), (vec![other], vec![one]));
    }

    #[test]
    fn what_is_too_much_goes() {
        let world = World::new();
        let team = remote("team", "main");
        let keys: Vec<Key> = (0..10).map(|number| call(&number.to_string()).key).collect();
        keys.iter().for_each(|key| world.store.leave_for(&team, key));
        world.store.bound_outbox_to(&team, 10);
        assert_eq!(left(&world.store, &team).len(), 10);
        world.store.bound_outbox_to(&team, 4);
        let kept = left(&world.store, &team);
        assert!(kept.len() == 4 && kept.iter().all(|key| keys.contains(key)), "{kept:?}");
        // What was not left for it is not its own.
        world.store.bound_outbox_to(&remote("far", "main"), 0);
        assert_eq!(left(&world.store, &team), kept);
    }

    #[test]
    fn what_is_left_once_more_while_it_is_sent_stays() {
        let world = World::new();
        let (team, one) = (remote("team", "main"), call("one").key);
        world.store.leave_for(&team, &one);
        let waiting = world.store.outbox(&team).unwrap().remove(0);
        world.store.leave_for(&team, &one);
        world.store.taken_from(&team, &waiting);
        assert_eq!(left(&world.store, &team), [one]);
        let again = world.store.outbox(&team).unwrap().remove(0);
        assert_ne!(again, waiting);
        world.store.taken_from(&team, &again);
        assert_eq!(left(&world.store, &team), []);
    }

    #[test]
    fn what_is_left_for_one_namespace_is_not_for_another() {
        let world = World::new();
        let one = call("one").key;
        world.store.leave_for(&remote("team", "pull-request"), &one);
        assert_eq!(left(&world.store, &remote("team", "main")), []);
        let elsewhere = Remote { url: "file:///other".to_owned(), ..remote("team", "pull-request") };
        assert_eq!(left(&world.store, &elsewhere), []);
        assert_eq!(left(&world.store, &remote("team", "pull-request")), [one]);
    }

    #[test]
    fn what_stands_in_the_way_of_an_outbox_makes_way() {
        let world = World::new();
        let (team, one) = (remote("team", "main"), call("one").key);
        for place in [FOLDER.to_owned(), folder_of(&team)] {
            std::fs::remove_dir_all(world.store.folder().join(FOLDER)).ok();
            let path = world.store.folder().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "something else").unwrap();
            assert_eq!(left(&world.store, &team), []);
            world.store.leave_for(&team, &one);
            assert_eq!(left(&world.store, &team), [one]);
        }
    }

    #[test]
    fn one_process_sends_to_a_store_at_a_time() {
        let world = World::new();
        let again = world.store.reopened().unwrap();
        let (team, far) = (remote("team", "main"), remote("far", "main"));
        let sender = world.store.sender(&team);
        assert!(sender.is_some() && again.sender(&far).is_some() && again.sender(&team).is_none());
        drop(sender);
        assert!(again.sender(&team).is_some());
    }

    #[test]
    fn nothing_is_left_in_a_cache_that_is_read_only() {
        let world = World::new();
        let store = Store::open_read_only(world.store.folder()).unwrap();
        store.leave_for(&remote("team", "main"), &call("one").key);
        assert!(store.outbox(&remote("team", "main")).unwrap().is_empty() && !store.folder().join(FOLDER).exists());
    }
}
