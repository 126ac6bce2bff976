//! The paths that a command looked at, remembered under its command digest.
//!
//! Sets of one command have most of their observations in common. So there is one table of distinct ones, in key order,
//! and a set is a list of places in it: a file of sixteen sets is hardly larger than a file of one, and what is in many
//! sets is looked at once.

use std::collections::HashSet;
use std::path::Path;

use super::codec::text;
use super::{CommandDigest, Digest, Fields, Key, Malformed, Observation, Reader, Room, Writer, manifest};

/// One set of paths, with what was seen there last and the call that saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSet {
    /// The call that was recorded with these observations.
    pub key: Key,
    /// The paths in key order, with the states and stamps of that call.
    pub observations: Vec<Observation>,
}

/// What is remembered of a command digest: path sets, the most recent first, and all its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSets {
    /// The command that they belong to.
    pub command: CommandDigest,
    /// Keys of calls recorded under this digest, the most recent first; at most [`PathSets::MOST_KEYS`].
    /// They tell which files a former call of this command made.
    pub keys: Vec<Key>,
    /// Why the command is not to be watched again, if it does what it cannot do while it is.
    pub unwatchable: Option<String>,
    /// All distinct observations, in key order; of one path and facet those of newer sets first.
    table: Vec<Observation>,
    /// At most [`PathSets::MOST`] sets with different paths, the most recent first.
    sets: Vec<Members>,
}

/// A set as places in the table, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Members {
    key: Key,
    places: Vec<usize>,
}

impl PathSets {
    /// More sets than this under one command digest are forgotten, the oldest first.
    pub const MOST: usize = 16;
    /// More keys than this are forgotten, the oldest first.
    pub const MOST_KEYS: usize = 256;

    /// Nothing yet.
    pub fn new(command: CommandDigest) -> PathSets {
        PathSets { command, keys: Vec::new(), unwatchable: None, table: Vec::new(), sets: Vec::new() }
    }

    /// How many sets there are.
    pub fn count(&self) -> usize {
        self.sets.len()
    }

    /// The set with this number, 0 for the most recent one.
    pub fn set(&self, number: usize) -> Option<PathSet> {
        let Members { key, places } = self.sets.get(number)?;
        Some(PathSet { key: *key, observations: places.iter().map(|place| self.table[*place].clone()).collect() })
    }

    /// All distinct observations of all sets, in key order; of one path and facet those of newer sets first.
    pub fn table(&self) -> &[Observation] {
        &self.table
    }

    /// The places in the [`table`](PathSets::table) of what is in the set with this number, ascending.
    pub fn places(&self, number: usize) -> Option<&[usize]> {
        self.sets.get(number).map(|set| set.places.as_slice())
    }

    /// Whether as many sets are remembered as can be, so that older ones are forgotten, and every run looks at other paths.
    pub fn is_full(&self) -> bool {
        self.sets.len() >= PathSets::MOST
    }

    /// The first path at which only the most recent set looks: such are made up anew for each run.
    pub fn peculiar(&self) -> Option<&Path> {
        let (latest, others) = self.sets.split_first()?;
        let path = |place: &usize| self.table[*place].path.as_path();
        let shared: HashSet<&Path> = others.iter().flat_map(|set| set.places.iter().map(path)).collect();
        latest.places.iter().map(path).find(|path| !shared.contains(path))
    }

    /// Puts `set` in front and forgets the set with the same paths and facets, if there was one.
    pub fn insert(&mut self, mut set: PathSet) {
        set.observations.sort_by(Observation::key_order);
        self.unwatchable = None;
        self.keys.retain(|key| *key != set.key);
        self.keys.insert(0, set.key);
        self.keys.truncate(PathSets::MOST_KEYS);
        let mut sets = self.taken_apart(PathSets::MOST);
        let looks = |set: &PathSet, at: usize| (set.observations[at].path.clone(), set.observations[at].facet.clone());
        let is_alike = |old: &PathSet| {
            old.observations.len() == set.observations.len()
                && (0..set.observations.len()).all(|at| looks(old, at) == looks(&set, at))
        };
        sets.retain(|old| !is_alike(old));
        sets.insert(0, set);
        sets.truncate(PathSets::MOST);
        self.put_together(sets);
    }

    /// Adds what another cache remembers of the same command, behind what is here; of paths and facets that both know, what
    /// is here stays. For looking only: there may be more than a file holds.
    pub fn add_behind(&mut self, other: &PathSets) {
        let mut sets = self.taken_apart(usize::MAX);
        for set in other.taken_apart(usize::MAX) {
            let looks = |set: &PathSet| -> Vec<(std::path::PathBuf, super::Facet)> {
                set.observations.iter().map(|seen| (seen.path.clone(), seen.facet.clone())).collect()
            };
            // The same paths with another state lead to no other call.
            if !sets.iter().any(|own| own.observations.len() == set.observations.len() && looks(own) == looks(&set)) {
                sets.push(set);
            }
        }
        self.put_together(sets);
        let new: Vec<Key> = other.keys.iter().filter(|key| !self.keys.contains(key)).copied().collect();
        self.keys.extend(new);
    }

    /// Forgets all sets but the `most` newest.
    pub fn keep(&mut self, most: usize) {
        let sets = self.taken_apart(most);
        self.put_together(sets);
    }

    fn taken_apart(&self, most: usize) -> Vec<PathSet> {
        (0..most).map_while(|number| self.set(number)).collect()
    }

    fn put_together(&mut self, sets: Vec<PathSet>) {
        let mut entries = Vec::new();
        self.sets = Vec::with_capacity(sets.len());
        for (number, set) in sets.into_iter().enumerate() {
            entries.extend(set.observations.into_iter().map(|seen| (seen, number)));
            self.sets.push(Members { key: set.key, places: Vec::new() });
        }
        // Stable: of one path and facet, what newer sets say stays in front.
        entries.sort_by(|(one, _), (other, _)| one.key_order(other));
        self.table.clear();
        let mut group = 0;
        for (seen, number) in entries {
            if self.table.last().is_some_and(|last| last.key_order(&seen).is_ne()) {
                group = self.table.len();
            }
            let known = self.table[group..].iter().position(|known| *known == seen).map(|at| group + at);
            let place = known.unwrap_or(self.table.len());
            if known.is_none() {
                self.table.push(seen);
            }
            self.sets[number].places.push(place);
        }
        for set in &mut self.sets {
            set.places.sort_unstable();
            set.places.dedup();
        }
    }

    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("command", &self.command.0.0);
        if let Some(why) = &self.unwatchable {
            writer.field("unwatchable", why.as_bytes());
        }
        if !self.sets.is_empty() {
            writer.field("table", &manifest::encode(&self.table));
        }
        for set in &self.sets {
            writer.field("members", &set.encode());
        }
        for key in &self.keys {
            writer.field("key", &key.0.0);
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](PathSets::encode) wrote, or the version before it, which wrote every set out; takes no more
    /// memory than there is room for.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is something else, or holds too much.
    pub fn decode(bytes: &[u8], room: &mut Room) -> Result<PathSets, Malformed> {
        let (mut command, mut unwatchable, mut table) = (None, None, None);
        let (mut keys, mut sets, mut former) = (Vec::new(), Vec::new(), Vec::new());
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            let mut reader = Reader::new(value);
            match name {
                b"command" => command = Some(CommandDigest(Digest(reader.digest()?))),
                // A second one would not be the one that the sets before it are of.
                b"table" if table.is_some() => return Err(Malformed("path sets")),
                b"table" => table = Some(manifest::decode(value, room)?),
                b"members" if sets.len() < PathSets::MOST => {
                    sets.push(Members::decode(value, table.as_ref().map_or(0, Vec::len), room)?);
                }
                b"set" if former.len() < PathSets::MOST => {
                    let key = Key(Digest(reader.digest()?));
                    former.push(PathSet { key, observations: Observation::decode_all(reader.rest(), room)? });
                }
                b"unwatchable" => unwatchable = Some(text(value)?),
                b"key" if keys.len() < PathSets::MOST_KEYS => keys.push(Key(Digest(reader.digest()?))),
                _ => {}
            }
        }
        let table: Vec<Observation> = table.unwrap_or_default();
        let is_one_look = |one: &Observation, other: &Observation| one.key_order(other).is_eq();
        // No set looks twice at the same; more versions of one look than sets would be compared each with each.
        if !table.is_sorted_by(|one, other| one.key_order(other).is_le())
            || table.chunk_by(is_one_look).any(|versions| versions.len() > PathSets::MOST)
        {
            return Err(Malformed("path sets"));
        }
        // What no set looks at is not looked at.
        let table = if sets.is_empty() { Vec::new() } else { table };
        let mut decoded = PathSets { command: command.ok_or(Malformed("path sets"))?, keys, unwatchable, table, sets };
        if !former.is_empty() {
            decoded.put_together(former);
        }
        Ok(decoded)
    }
}

impl Members {
    /// The key, then stretches of the table in turn: how many to pass over, how many to take.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&self.key.0.0);
        let mut next = 0;
        for stretch in self.places.chunk_by(|one, other| one + 1 == *other) {
            let (first, length) = (stretch[0], stretch.len());
            writer.number((first - next) as u64).number(length as u64);
            next = first + length;
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](Members::encode) wrote of a table of this length.
    fn decode(bytes: &[u8], length: usize, room: &mut Room) -> Result<Members, Malformed> {
        let mut reader = Reader::new(bytes);
        let key = Key(Digest(reader.digest()?));
        let (mut places, mut next) = (Vec::new(), 0);
        while !reader.is_empty() {
            let (skipped, taken) = (reader.number()?, reader.number()?);
            let within = |end: u64| usize::try_from(end).ok().filter(|end| *end <= length);
            let first = within(skipped.saturating_add(next as u64)).ok_or(Malformed("path set"))?;
            next = within(taken.saturating_add(first as u64)).ok_or(Malformed("path set"))?;
            if next == first {
                return Err(Malformed("path set"));
            }
            room.take::<usize>((next - first) * size_of::<usize>())?;
            places.extend(first..next);
        }
        Ok(Members { key, places })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Facet, Stamp, State};

    fn decode(bytes: &[u8]) -> Result<PathSets, Malformed> {
        PathSets::decode(bytes, &mut Room::of(Room::OWN))
    }

    fn key(number: usize) -> Key {
        Key(Digest::of(&number.to_le_bytes()))
    }

    fn sets(sets: impl IntoIterator<Item = PathSet>) -> PathSets {
        let mut all = PathSets::new(CommandDigest(Digest::of(b"command")));
        sets.into_iter().for_each(|set| all.insert(set));
        all
    }

    fn seen(path: &str, facet: Facet, state: u8) -> Observation {
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: 4, changed: i64::from(state), mode: 5 };
        let state = State::File { mode: 0o644, digest: Digest::of(&[state]) };
        Observation { path: path.into(), facet, state, stamp: Some(stamp) }
    }

    fn observations() -> impl Strategy<Value = Vec<Observation>> {
        let facet = prop_oneof![Just(Facet::Kind), Just(Facet::Content), Just(Facet::Metadata)];
        let looks = prop::collection::btree_map(("[ab]{1,3}", facet), 0..3u8, 0..9);
        looks.prop_map(|looks| {
            let mut all: Vec<_> = looks.into_iter().map(|((path, facet), state)| seen(&path, facet, state)).collect();
            all.sort_by(Observation::key_order);
            all
        })
    }

    /// The file of the version that wrote every set out.
    fn former(sets: &PathSets) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("command", &sets.command.0.0);
        for set in (0..sets.count()).filter_map(|number| sets.set(number)) {
            let mut inner = Writer::new();
            inner.raw(&set.key.0.0).raw(&Observation::encode_all(&set.observations));
            writer.field("set", &inner.into_bytes());
        }
        sets.keys.iter().fold(&mut writer, |writer, key| writer.field("key", &key.0.0));
        writer.into_bytes()
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn sets_are_read_back_the_latest_first(lists in prop::collection::vec(observations(), 0..20)) {
            let mut expected: Vec<PathSet> = Vec::new();
            let all = lists.into_iter().enumerate().map(|(number, observations)| PathSet { key: key(number), observations });
            let all: Vec<PathSet> = all.collect();
            for set in &all {
                let looks = |set: &PathSet| set.observations.iter().map(|seen| (seen.path.clone(), seen.facet.clone())).collect::<Vec<_>>();
                expected.retain(|old| looks(old) != looks(set));
                expected.insert(0, set.clone());
                expected.truncate(PathSets::MOST);
            }
            let sets = sets(all.clone());
            let read: Vec<PathSet> = (0..sets.count()).map(|number| sets.set(number).unwrap()).collect();
            prop_assert_eq!(&read, &expected);
            prop_assert_eq!(&sets.keys, &all.iter().rev().map(|set| set.key).collect::<Vec<_>>());
            prop_assert_eq!(decode(&sets.encode()), Ok(sets.clone()));
            prop_assert_eq!(decode(&former(&sets)), Ok(sets.clone()));
            let mut fewer = sets.clone();
            fewer.keep(2);
            expected.truncate(2);
            prop_assert_eq!((0..fewer.count()).filter_map(|number| fewer.set(number)).collect::<Vec<_>>(), expected);
            prop_assert!(fewer.table().len() <= sets.table().len());
        }

        #[test]
        fn any_bytes_are_sets_or_refused(lists in prop::collection::vec(observations(), 0..4), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = sets(lists.into_iter().map(|observations| PathSet { key: key(0), observations })).encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(sets) = decode(&bytes) {
                prop_assert!((0..sets.count()).all(|number| sets.set(number).is_some()));
            }
        }
    }

    #[test]
    fn the_same_path_under_another_facet_is_another_set() {
        let set = |number, facet| PathSet { key: key(number), observations: vec![seen("a", facet, 0)] };
        let two = sets([set(0, Facet::Kind), set(1, Facet::Content)]);
        assert_eq!(two.count(), 2);
        let replaced = sets([set(0, Facet::Kind), set(1, Facet::Content), set(2, Facet::Kind)]);
        assert_eq!((replaced.count(), replaced.set(0).unwrap().key, replaced.keys.len()), (2, key(2), 3));
    }

    #[test]
    fn places_beyond_the_table_are_refused() {
        for stretches in [[0, 3], [2, 1], [1, u64::MAX], [u64::MAX, 1], [0, 0]] {
            let mut writer = Writer::new();
            writer.raw(&key(0).0.0).number(stretches[0]).number(stretches[1]);
            assert_eq!(
                Members::decode(&writer.into_bytes(), 2, &mut Room::of(Room::OWN)),
                Err(Malformed("path set")),
                "{stretches:?}"
            );
        }
    }

    #[test]
    fn sets_that_have_most_in_common_take_little_more_than_one() {
        let set = |number: usize| {
            let path = |at: usize| if at.is_multiple_of(20) { format!("{number}/{at}") } else { at.to_string() };
            let one = |at: usize| seen(&format!("/usr/include/some/folder/{}", path(at)), Facet::Content, at as u8);
            let mut observations: Vec<_> = (0..400).map(one).collect();
            observations.sort_by(Observation::key_order);
            PathSet { key: key(number), observations }
        };
        let (one, all) = (sets([set(0)]).encode().len(), sets((0..16).map(set)));
        let (new, old) = (all.encode().len(), former(&all).len());
        assert!(new < 2 * one && new < old / 10, "one {one}, sixteen {new}, as before {old}");
    }

    /// A file with these tables, each before a set of all that is in it.
    fn forged(tables: &[Vec<Observation>]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("command", &[0; 32]);
        for table in tables {
            writer.field("table", &manifest::encode(table));
            writer.field("members", &Members { key: key(0), places: (0..table.len()).collect() }.encode());
        }
        writer.into_bytes()
    }

    #[test]
    fn a_set_is_of_the_table_that_stays() {
        let long: Vec<_> = (0..9).map(|number| seen(&number.to_string(), Facet::Kind, 0)).collect();
        assert!(decode(&forged(std::slice::from_ref(&long))).unwrap().set(0).is_some());
        assert_eq!(decode(&forged(&[long.clone(), long[..1].to_vec()])), Err(Malformed("path sets")));
    }

    #[test]
    fn a_table_without_sets_is_forgotten() {
        let mut writer = Writer::new();
        writer.field("command", &[0; 32]).field("table", &manifest::encode(&[seen("a", Facet::Kind, 0)]));
        let sets = decode(&writer.into_bytes()).unwrap();
        assert!(sets.table().is_empty());
        assert_eq!(decode(&sets.encode()), Ok(sets));
    }

    #[test]
    fn a_look_has_no_more_versions_than_there_can_be_sets() {
        let versions = |count| (0..count).map(|state| seen("a", Facet::Kind, state)).collect::<Vec<_>>();
        assert!(decode(&forged(&[versions(16)])).is_ok());
        assert_eq!(decode(&forged(&[versions(17)])), Err(Malformed("path sets")));
    }

    #[test]
    fn no_more_keys_are_read_than_are_written() {
        let mut many = PathSets::new(CommandDigest(Digest::of(b"command")));
        many.keys = (0..1000).map(key).collect();
        assert_eq!(decode(&many.encode()).unwrap().keys, many.keys[..PathSets::MOST_KEYS]);
    }

    #[test]
    fn few_bytes_that_say_much_are_refused_before_they_take_the_memory() {
        let table: Vec<_> = (0..1000).map(|number| seen(&format!("{number:06}"), Facet::Kind, 0)).collect();
        let one = forged(std::slice::from_ref(&table));
        let enough = (0..).map(|step| step * 4096).find(|room| PathSets::decode(&one, &mut Room::of(*room)).is_ok());
        let members = Members { key: key(0), places: (0..table.len()).collect() }.encode();
        let mut writer = Writer::new();
        writer.raw(&one);
        for _ in 0..15 {
            writer.field("members", &members);
        }
        let bytes = writer.into_bytes();
        let refused = PathSets::decode(&bytes, &mut Room::of(enough.unwrap_or(0)));
        assert!(refused == Err(Malformed::TOO_MUCH));
        assert_eq!(decode(&bytes).unwrap().count(), PathSets::MOST);
    }
}
