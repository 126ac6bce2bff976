//! Taking over calls from other stores: values first, the call last, as when one is recorded.
//!
//! Whatever ends it in between leaves values that no call names, which garbage collection takes; done again, it goes on where
//! it was, because values that are there already are only touched.

use super::{Durability, Store};
use crate::model::{Call, Content, Key, PathSet, Reason};

/// What happens where a call of the same key is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Kept,
    /// The other one takes its place.
    Replaced,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is here now.
    Anew,
    /// It, or another one of its key, was here and stayed.
    Present,
}

impl Store {
    /// Takes over `call`, which `from` has, with its values, each verified, and its path set.
    ///
    /// # Errors
    ///
    /// [`Reason::ReadOnly`]; [`Reason::Damaged`] where `from` lacks a value or has a damaged one; [`Reason::StoreUnusable`]
    /// where something cannot be written. The call is then not here, or as it was.
    pub fn copy(
        &self,
        call: &Call,
        from: &Store,
        existing: Existing,
        durability: Durability,
    ) -> Result<Copied, Reason> {
        if existing == Existing::Kept && self.has_whole(&call.key) {
            self.add_tags(&call.key, call.tags.clone())?;
            return Ok(Copied::Present);
        }
        let mut recording = self.recording()?;
        for content in call.values().filter(|content| content.inline.is_none()) {
            recording.fetch(content, from)?;
        }
        recording.take_over(call, durability, from.path_set_of(call))?;
        Ok(Copied::Anew)
    }

    /// Whether it has the call and all of its values, each of which is read: for who is about to remove them elsewhere.
    pub fn holds(&self, key: &Key) -> bool {
        self.own_call(key)
            .is_ok_and(|call| call.is_some_and(|call| call.values().all(|content| self.own_value(content).is_ok())))
    }

    /// Whether it has the call and, as far as their sizes tell, all of its values.
    pub fn has_whole(&self, key: &Key) -> bool {
        let has =
            |content: &Content| content.inline.is_some() || self.own_length(&content.digest) == Some(content.length);
        self.own_call(key).is_ok_and(|call| call.is_some_and(|call| call.values().all(has)))
    }

    /// The path set under which the store remembers a call, if it does.
    pub fn path_set_of(&self, call: &Call) -> Option<PathSet> {
        let sets = self.own_path_sets(&call.command);
        let set = (0..sets.count()).filter_map(|number| sets.set(number)).find(|set| set.key == call.key);
        // Of sets with the same paths the latest is kept, and this call may be another.
        let own = || PathSet { key: call.key, observations: call.observations.clone() };
        set.or_else(|| sets.keys.contains(&call.key).then(own))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::{Event, Fact, Output, OutputKind};
    use crate::store::testing::{Everything, World, call, everything, path_set};
    use crate::store::{Column, Selection, Value};

    /// A call with one value of its own file and one in its record.
    fn recorded(world: &World, name: &str) -> Call {
        let mut recording = world.store.recording().unwrap();
        let mut made = call(name);
        for bytes in [vec![7; 30_000], b"small".to_vec()] {
            let content = recording.keep(world.pending(&bytes)).unwrap();
            let kind = OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
            made.outcome.outputs.push(Output { path: bytes.len().to_string().into(), kind });
        }
        let set = path_set(&made);
        recording.store(&made, Durability::Buffered, Some(set)).unwrap();
        made
    }

    fn copy(to: &World, call: &Call, from: &World) -> Result<Copied, Reason> {
        to.store.copy(call, &from.store, Existing::Kept, Durability::Synced)
    }

    fn large(call: &Call) -> Content {
        call.values().find(|content| content.inline.is_none()).unwrap().clone()
    }

    #[test]
    fn a_copied_call_has_all_that_it_needs() {
        let (from, to) = (World::new(), World::new());
        let call = recorded(&from, "a");
        assert_eq!(copy(&to, &call, &from), Ok(Copied::Anew));
        fs::remove_dir_all(from.store.folder()).unwrap();
        assert_eq!(to.store.call(&call.key), Ok(Some(call.clone())));
        assert!(call.values().all(|content| to.store.value(content).is_ok()));
        assert_eq!(to.store.path_sets(&call.command).keys, [call.key]);
        let counted = to.store.catalogue().unwrap().statistics(&Default::default()).unwrap();
        assert_eq!((counted.len(), counted[0].event.as_str(), counted[0].count), (1, "copied", 1));
        assert!(counted[0].bytes > 30_000);
    }

    #[test]
    fn a_call_that_is_there_stays_or_is_replaced() {
        let (from, to) = (World::new(), World::new());
        let call = recorded(&from, "a");
        let mut other = call.clone();
        other.outcome.exit = 3;
        copy(&to, &call, &from).unwrap();
        assert_eq!(copy(&to, &other, &from), Ok(Copied::Present));
        assert_eq!(to.store.call(&call.key), Ok(Some(call.clone())));
        to.store.copy(&other, &from.store, Existing::Replaced, Durability::Buffered).unwrap();
        assert_eq!(to.store.call(&call.key), Ok(Some(other)));
    }

    #[test]
    fn a_damaged_value_is_not_taken_over() {
        let (from, to) = (World::new(), World::new());
        let call = recorded(&from, "a");
        let file = from.value_file(&large(&call));
        fs::remove_file(&file).unwrap();
        fs::write(&file, vec![8; 30_000]).unwrap();
        assert!(matches!(copy(&to, &call, &from), Err(Reason::Damaged(_))));
        assert_eq!(to.store.call(&call.key), Ok(None));
        // A second try with a whole one succeeds.
        let again = recorded(&from, "a");
        assert_eq!(copy(&to, &again, &from), Ok(Copied::Anew));
    }

    #[test]
    fn a_read_only_store_takes_nothing_over() {
        let (from, to) = (World::new(), World::new());
        let call = recorded(&from, "a");
        to.record(super::tests::call("b"));
        let before = everything(to.store.folder());
        let store = Store::open_read_only(to.store.folder()).unwrap();
        assert_eq!(store.copy(&call, &from.store, Existing::Replaced, Durability::Synced), Err(Reason::ReadOnly));
        assert_eq!(everything(to.store.folder()), before);
    }

    #[test]
    fn what_stands_behind_is_found_and_only_the_first_is_written() {
        let (first, second) = (World::new(), World::new());
        let call = recorded(&second, "a");
        let open = |world: &World| Store::open(world.store.folder()).unwrap();
        let stack = open(&first).in_front_of(vec![open(&second)]);
        let before = everything(second.store.folder());
        let seen = stack.call(&call.key).unwrap().unwrap();
        assert_eq!(Call { sealed_by: None, ..seen.clone() }, call);
        assert_eq!(seen.sealed_by, second.store.secret_name().ok());
        assert!(matches!(stack.value(&large(&call)), Ok(Value::Bytes(bytes)) if bytes.len() == 30_000));
        assert_eq!(stack.path_sets(&call.command).keys, [call.key]);
        assert_eq!(stack.owner_behind(&call.key).map(Store::folder), Some(second.store.folder()));
        stack.note(&Event::Hit { key: call.key, saved: 5, name: "cc".into() });
        assert!(first.store.folder().join("journal").exists());
        let hits = stack.catalogue().unwrap().rows(&Selection::default(), &[Column::named("key").unwrap()]).unwrap();
        assert_eq!(hits, [[Fact::Digest(call.key.0)]]);
        // But for the secret, and what questions keep for questions.
        let is_new = |path: &std::path::Path| ["secret", "index.sqlite"].iter().any(|name| path.ends_with(name));
        let is_kept = |path: &std::path::Path| path.is_file() && !is_new(path);
        let rest = |mut all: Everything| {
            all.retain(|path, _| is_kept(path));
            all
        };
        assert_eq!(rest(everything(second.store.folder())), rest(before));
        assert!(stack.evict(&[call.key], |_| {}).is_ok());
        assert_eq!((second.store.call(&call.key), stack.call(&call.key)), (Ok(None), Ok(None)));
    }

    #[test]
    fn what_a_read_only_member_has_is_told_to_stay() {
        let (first, second) = (World::new(), World::new());
        let call = recorded(&second, "a");
        copy(&first, &call, &second).unwrap();
        let behind = Store::open_read_only(second.store.folder()).unwrap();
        let stack = Store::open(first.store.folder()).unwrap().in_front_of(vec![behind]);
        let before = everything(second.store.folder());
        let mut gone = Vec::new();
        let error = stack.evict(&[call.key], |key| gone.push(*key)).unwrap_err();
        let folder = second.store.folder().display();
        assert_eq!(error.to_string(), format!("1 call stays in `{folder}`, which is read-only"));
        assert_eq!((gone.len(), first.store.call(&call.key)), (1, Ok(None)));
        assert_eq!(stack.tag(&call.key, |tags| drop(tags.insert("a".into(), "b".into()))), Err(Reason::ReadOnly));
        assert_eq!(everything(second.store.folder()), before);
    }
}
