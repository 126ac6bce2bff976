//! Putting faults out of the way, so that the next run of their commands makes anew what they cost.
//!
//! A fault was found a while ago, and somebody may have mended it since: it is looked at again while nobody stores.

use rustix::fs::Stat;

use super::alone::Alone;
use super::folder::{call_name, paths_name, value_name};
use super::{Fault, Progress, Store, Subject, Trouble, catalogue};
use crate::error::{Error, Result};
use crate::model::{CommandDigest, Digest, Key, Reason};
use crate::sys::stamp;

impl Store {
    /// Puts what is damaged out of the way, and calls that lost a value, so that the next run of their commands makes
    /// them anew. What is no fault any more is left alone.
    ///
    /// # Errors
    ///
    /// Where something cannot be moved, others store for a minute on end, or the catalogue cannot be made anew.
    pub fn repair(&self, fault: &Fault, progress: Progress) -> Result<()> {
        if fault.trouble == Trouble::Unreadable {
            return Ok(());
        }
        match fault.subject {
            Subject::Catalogue => self.reindex(progress),
            Subject::Value(digest) => {
                // Read beforehand: those who store wait for a second, and a value may be large.
                let seen = self.seen_damaged(&digest)?;
                self.repair_value(&digest, seen.as_deref(), fault.call.as_ref(), self.alone()?.as_ref())
            }
            Subject::Call(key) => self.repair_call(&key, self.alone()?.as_ref()),
            Subject::PathSets(command) => self.repair_path_sets(&command, self.alone()?.as_ref()),
            Subject::Folder(..) => self.repair_folder(fault.subject, self.alone()?.as_ref()),
            Subject::Ledger => match catalogue::ledger_fault(self) {
                Ok(Some(_)) => self.put_aside(catalogue::LEDGER),
                _ => Ok(()),
            },
        }
    }

    /// What the file of a value is if its bytes are wrong now.
    fn seen_damaged(&self, digest: &Digest) -> Result<Option<Box<Stat>>> {
        let before = self.looked_at(&value_name(digest))?;
        let is_damaged = matches!(self.value_fault(digest), Some((_, Trouble::Damaged, _)));
        Ok(before.filter(|_| is_damaged).map(Box::new))
    }

    /// Puts a value aside if it is still the file that was `seen` damaged, and the call that it left without it.
    ///
    /// Where locks are impossible there is no `Alone`, and a look just before is all that can be had: what is moved
    /// although it is good costs a run and is there to be looked at.
    fn repair_value(
        &self,
        digest: &Digest,
        seen: Option<&Stat>,
        call: Option<&Key>,
        _alone: Option<&Alone>,
    ) -> Result<()> {
        let name = value_name(digest);
        let present = self.looked_at(&name)?;
        let same = |seen: &Stat| present.is_some_and(|now| stamp::from_stat(&now) == stamp::from_stat(seen));
        let is_damaged = seen.is_some_and(same);
        if is_damaged {
            self.put_aside(&name)?;
        }
        let is_gone = is_damaged || present.is_none();
        // One that is damaged itself goes to quarantine as it is read.
        let Some(found) = call.and_then(|key| self.own_call(key).ok().flatten()) else { return Ok(()) };
        let lacks = found.values().any(|content| {
            let is_elsewhere = content.inline.is_none();
            content.digest == *digest && if is_elsewhere { is_gone } else { self.inline_fault(content).is_some() }
        });
        if lacks { self.put_aside(&call_name(&found.key)) } else { Ok(()) }
    }

    fn repair_call(&self, key: &Key, _alone: Option<&Alone>) -> Result<()> {
        match self.own_call(key) {
            Err(Reason::Damaged(_)) => self.put_aside(&call_name(key)),
            _ => Ok(()),
        }
    }

    fn repair_path_sets(&self, command: &CommandDigest, _alone: Option<&Alone>) -> Result<()> {
        match self.path_sets_fault(command) {
            Some(_) => self.put_aside(&paths_name(command)),
            None => Ok(()),
        }
    }

    fn repair_folder(&self, subject: Subject, _alone: Option<&Alone>) -> Result<()> {
        match (self.folder_fault(subject)?, subject.folder()) {
            (Some(_), Some(name)) => self.put_aside(&name),
            _ => Ok(()),
        }
    }

    fn looked_at(&self, name: &str) -> Result<Option<Stat>> {
        self.folder.stat(name).map_err(|why| not_moved(name, why))
    }

    /// Moves a file to quarantine, if it is there still.
    fn put_aside(&self, name: &str) -> Result<()> {
        match self.looked_at(name)? {
            // Moved as it was read, or for another fault.
            None => Ok(()),
            Some(_) => self.folder.quarantine(name).map_err(|why| not_moved(name, why)),
        }
    }
}

fn not_moved(name: &str, why: std::io::Error) -> Error {
    Error::failure(format!("cannot put `{name}` of the cache aside")).because(why)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::{Call, Content, Key, Output, OutputKind};
    use crate::store::testing::{World, call};
    use crate::store::{Durability, Recording};

    fn faults(world: &World) -> Vec<Fault> {
        let mut found = Vec::new();
        let store = Store::open_read_only(world.store.folder()).unwrap();
        let take = |fault| {
            found.push(fault);
            Ok(())
        };
        store.verify_all(&|_, _| {}, take).unwrap();
        found
    }

    /// Stores a call that wrote these bytes.
    fn record(mut recording: Recording, world: &World, name: &str, bytes: &[u8]) -> (Call, Content) {
        let mut stored = call(name);
        let content = recording.keep(world.pending(bytes)).unwrap();
        let kind = OutputKind::File { mode: 0o644, content: content.clone(), modified: 0, dated: false, kept: false };
        stored.outcome.outputs.push(Output { path: "out".into(), kind });
        let set = crate::store::testing::path_set(&stored);
        recording.store(&stored, Durability::Buffered, Some(set)).unwrap();
        (stored, content)
    }

    #[test]
    fn a_value_in_the_file_of_its_call_is_what_its_digest_says() {
        let world = World::new();
        let (mut stored, _) = record(world.store.recording().unwrap(), &world, "a", b"small");
        assert!(faults(&world).is_empty());
        let OutputKind::File { content, .. } = &mut stored.outcome.outputs[0].kind else { panic!("{stored:?}") };
        assert!(content.inline.is_some());
        content.inline = Some(b"large".to_vec());
        world.store.recording().unwrap().place(&stored, Durability::Buffered, None).unwrap();
        let told: Vec<(Trouble, Option<Key>)> = faults(&world).into_iter().map(|f| (f.trouble, f.call)).collect();
        assert_eq!(told, [(Trouble::Damaged, Some(stored.key))]);
    }

    #[test]
    fn folders_are_named_as_they_lie_below_the_cache() {
        let named = [Subject::Folder("values", None), Subject::Folder("values", Some(0xa)), Subject::Ledger];
        assert_eq!(named.map(|subject| subject.folder()), [Some("values".into()), Some("values/0a".into()), None]);
    }

    fn quarantined(world: &World) -> usize {
        fs::read_dir(world.store.folder().join("quarantine")).map_or(0, Iterator::count)
    }

    #[test]
    fn what_was_mended_since_is_left_alone() {
        let world = World::new();
        let run = || record(world.store.recording().unwrap(), &world, "a", &[1; 100_000]);
        let (stored, content) = run();
        let place = |name: &str| world.store.folder().join(name);
        let value = world.value_file(&content);
        let harms: [&dyn Fn(); 4] = [
            &|| {
                fs::remove_file(&value).unwrap();
                fs::write(&value, [2; 100_000]).unwrap();
            },
            &|| fs::remove_file(&value).unwrap(),
            &|| fs::write(place(&call_name(&stored.key)), "x").unwrap(),
            &|| fs::write(place(&paths_name(&stored.command)), "x").unwrap(),
        ];
        for (number, harm) in harms.iter().enumerate() {
            harm();
            let found = faults(&world);
            assert_eq!(found.len(), 1, "{number}: {found:?}");
            // What a run does that meets the damage.
            let _ = (world.store.value(&content), world.store.call(&stored.key));
            run();
            let before = quarantined(&world);
            found.iter().for_each(|fault| world.store.repair(fault, &|_, _| {}).unwrap());
            assert_eq!((faults(&world), quarantined(&world)), (vec![], before), "{number}");
            assert!(world.store.value(&content).is_ok() && world.store.call(&stored.key) == Ok(Some(stored.clone())));
        }
    }

    #[test]
    fn all_that_a_damaged_value_leaves_without_it_is_put_aside() {
        let world = World::new();
        let run = |name| record(world.store.recording().unwrap(), &world, name, &[1; 100_000]);
        let ((first, content), (second, _)) = (run("a"), run("b"));
        let other = world.record(call("c"));
        fs::remove_file(world.value_file(&content)).unwrap();
        fs::write(world.value_file(&content), [2; 100_000]).unwrap();
        let found = faults(&world);
        assert_eq!(found.len(), 2);
        found.iter().for_each(|fault| world.store.repair(fault, &|_, _| {}).unwrap());
        assert_eq!((faults(&world), quarantined(&world)), (vec![], 3));
        for (key, is_there) in [(first.key, false), (second.key, false), (other.key, true)] {
            assert_eq!(world.store.call(&key).unwrap().is_some(), is_there);
        }
    }

    #[test]
    fn a_value_that_is_another_file_now_is_no_fault() {
        let world = World::new();
        let (stored, content) = record(world.store.recording().unwrap(), &world, "a", &[1; 100_000]);
        let value = world.value_file(&content);
        let whole = fs::read(&value).unwrap();
        fs::remove_file(&value).unwrap();
        fs::write(&value, [2; 100_000]).unwrap();
        let seen = world.store.seen_damaged(&content.digest).unwrap();
        assert!(seen.is_some());
        // Mended after it was read and before nobody stored.
        fs::rename(&value, world.store.folder().join("tmp/kept")).unwrap();
        fs::write(&value, whole).unwrap();
        let alone = world.store.alone().unwrap();
        world.store.repair_value(&content.digest, seen.as_deref(), Some(&stored.key), alone.as_ref()).unwrap();
        assert_eq!(quarantined(&world), 0);
    }

    #[test]
    fn what_is_damaged_or_in_the_place_of_a_folder_is_put_aside() {
        let world = World::new();
        let (stored, _) = record(world.store.recording().unwrap(), &world, "a", &[1; 100_000]);
        let place = |name: &str| world.store.folder().join(name);
        let call = call_name(&stored.key);
        let empty =
            (0..=u8::MAX).map(|shard| format!("values/{shard:02x}")).find(|name| !place(name).exists()).unwrap();
        for (number, name) in [call, paths_name(&stored.command), empty].iter().enumerate() {
            fs::write(place(name), "x").unwrap();
            let found = faults(&world);
            assert_eq!((found.len(), quarantined(&world)), (1, number), "{found:?}");
            world.store.repair(&found[0], &|_, _| {}).unwrap();
            assert_eq!((faults(&world), quarantined(&world), place(name).exists()), (vec![], number + 1, false));
        }
    }
}
