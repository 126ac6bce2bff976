//! What each facet of a path tells, and what it does not.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::key::observed_now;
use crate::model::{CommandDigest, Digest, Facet, Key, Observation, PathSet, PathSets, StampMemory, State};

use super::world::{Memory, World};

/// A path and what of it is looked at.
pub type Look = (String, Facet);

/// The sets of calls that saw these observations, the most recent first.
pub fn sets(observations: Vec<Vec<Observation>>) -> PathSets {
    let mut sets = PathSets::new(CommandDigest(Digest::of(b"command")));
    for (number, observations) in observations.into_iter().enumerate().rev() {
        sets.insert(PathSet { key: Key(Digest::of(&number.to_le_bytes())), observations });
    }
    sets
}

pub fn unseen(looks: &[Look]) -> Vec<Observation> {
    let one = |(path, facet): &Look| Observation {
        path: path.into(),
        facet: facet.clone(),
        state: State::Absent,
        stamp: None,
    };
    looks.iter().map(one).collect()
}

/// What is seen at `looks` now, in key order.
pub fn seen(root: &Path, looks: &[Look]) -> Vec<Observation> {
    observed_now(&sets(vec![unseen(looks)]), root, &Memory::default()).next().unwrap().unwrap()
}

fn state(world: &World, path: &str, facet: Facet) -> State {
    seen(world.root(), &[(path.to_owned(), facet)]).remove(0).state
}

pub fn listing(without: &[&str]) -> Facet {
    Facet::Listing { without: without.iter().map(OsString::from).collect() }
}

/// Sets the modification time of a path itself, in seconds since 1970.
pub fn date(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn each_facet_tells_of_each_kind_of_thing() {
    let world = World::new();
    let file = world.write("d/f", "x");
    world.mode("d/f", 0o640);
    world.mode("d", 0o750);
    world.link("f", "d/l");
    world.fifo("d/p");
    date(&file, 7);
    let kinds = |path: &str| {
        [Facet::Kind, Facet::Content, Facet::Replaced, listing(&[])].map(|facet| state(&world, path, facet))
    };
    assert_eq!(kinds("nothing"), [State::Absent, State::Absent, State::Absent, State::Absent]);
    assert_eq!(kinds("d/f/below"), [State::Absent, State::Absent, State::Absent, State::Absent]);
    assert_eq!(kinds("d/l"), [(); 4].map(|()| State::Target(b"f".to_vec())));
    assert_eq!(kinds("d/p"), [(); 4].map(|()| State::Special(0o010_000)));
    let exists = State::Exists { mode: 0o640 };
    let replaced = State::Replaced { mode: 0o640, empty: false, rank: 1 };
    let content = State::File { mode: 0o640, digest: Digest::of(b"x") };
    assert_eq!(kinds("d/f"), [exists.clone(), content, replaced, exists]);
    let folder = State::Folder { mode: 0o750 };
    let [kind, content, replaced, listed] = kinds("d");
    assert_eq!([kind, content, replaced], [folder.clone(), folder.clone(), folder]);
    assert!(matches!(listed, State::Listing(_)));
    let State::Metadata { mode, size, modified, user, links, .. } = state(&world, "d/f", Facet::Metadata) else {
        panic!("no metadata");
    };
    assert_eq!((mode, size, modified, links), (0o100_640, 1, 7_000_000_000, 1));
    assert_eq!(user, fs::metadata(&file).unwrap().uid());
    assert!(matches!(state(&world, "d", Facet::Metadata), State::Metadata { mode: 0o040_750, size: 0, links: 0, .. }));
    assert!(matches!(state(&world, "d/l", Facet::Metadata), State::Metadata { mode: 0o120_777, .. }));
    assert_eq!(state(&world, "nothing", Facet::Metadata), State::Absent);
}

#[test]
fn the_root_and_what_lies_outside_are_found() {
    let (world, other) = (World::new(), World::new());
    let outside = other.write("f", "x").to_str().unwrap().to_owned();
    assert!(matches!(state(&world, ".", Facet::Kind), State::Folder { .. }));
    assert_eq!(state(&world, &outside, Facet::Content).content(), Some(&Digest::of(b"x")));
}

#[test]
fn what_may_not_be_looked_at_is_denied() {
    if rustix::process::geteuid().is_root() {
        // For the superuser everything may: he is served by the property below.
        return;
    }
    let world = World::new();
    world.write("d/f", "x");
    world.write("closed", "x");
    world.mode("closed", 0o000);
    world.mode("d", 0o600);
    assert_eq!(state(&world, "d/f", Facet::Kind), State::Denied);
    assert_eq!(state(&world, "closed", Facet::Content), State::Denied);
    world.mode("d", 0o100);
    assert_eq!(state(&world, "d", listing(&[])), State::Denied);
    world.mode("d", 0o700);
}

#[test]
fn names_that_are_left_out_do_not_count() {
    let world = World::new();
    world.write("d/a", "");
    let without = listing(&["out", "out2"]);
    let before = state(&world, "d", without.clone());
    world.write("d/out", "");
    world.folder("d/out2");
    assert_eq!(state(&world, "d", without.clone()), before);
    assert_ne!(state(&world, "d", listing(&["out"])), before);
    world.write("d/other", "");
    assert_ne!(state(&world, "d", without), before);
}

#[test]
fn a_file_to_be_replaced_keeps_its_place_among_the_others() {
    let world = World::new();
    for name in ["a", "b", "target"] {
        world.write(name, "x");
        date(&world.path(name), 10);
    }
    let looks = ["a", "b"].map(|name| (name.to_owned(), Facet::Metadata));
    let looks = [&looks[..], &[("target".to_owned(), Facet::Replaced)]].concat();
    let rank = |time: i64| {
        date(&world.path("target"), time);
        seen(world.root(), &looks)[2].state.clone()
    };
    date(&world.path("b"), 20);
    let places = [9, 10, 11, 19, 20, 21].map(rank);
    assert_eq!(places[2], places[3]);
    let distinct = [&places[0], &places[1], &places[2], &places[4], &places[5]];
    assert!(distinct.iter().enumerate().all(|(at, one)| distinct[..at].iter().all(|other| other != one)));
    fs::write(world.path("target"), "longer").unwrap();
    assert_eq!(rank(21), places[5]);
    fs::write(world.path("target"), "").unwrap();
    assert_ne!(rank(21), places[5]);
}

/// Counts how often it is asked.
#[derive(Default)]
struct Counting(Cell<usize>);

impl StampMemory for Counting {
    fn recall(&self, _: &crate::model::Stamp) -> Option<crate::model::Remembered> {
        self.0.set(self.0.get() + 1);
        None
    }

    fn remember(&self, _: &crate::model::Stamp, _: &crate::model::Remembered) {}
}

#[test]
fn a_digest_that_any_set_proves_is_not_made_again() {
    let world = World::new();
    let path = world.write("f", [0; 100_000]);
    world.write("g", "");
    let stamp = crate::sys::stamp::of_link(&path).unwrap();
    let digest = Digest::of(b"what an older set says");
    let file = |digest, stamp| Observation {
        path: "f".into(),
        facet: Facet::Content,
        state: State::File { mode: 0o644, digest },
        stamp: Some(stamp),
    };
    let newer = file(Digest::of(b"newer"), crate::model::Stamp { inode: 1, ..stamp });
    let also = unseen(&[("g".to_owned(), Facet::Kind)]);
    let older = file(digest, stamp);
    let memory = Counting::default();
    let both = sets(vec![vec![newer.clone()], [vec![older.clone()], also].concat()]);
    let all: Vec<_> = observed_now(&both, world.root(), &memory).map(Result::unwrap).collect();
    assert_eq!((all[0][0].state.content(), all[0][0].stamp), (Some(&digest), Some(stamp)));
    assert_eq!((&all[1][0], all[1].len(), memory.0.get()), (&all[0][0], 2, 0));
    // Nobody knows it: it is read, once for both sets.
    let strange = crate::model::Stamp { inode: 2, ..stamp };
    let both =
        sets(vec![vec![newer], [vec![file(digest, strange)], unseen(&[("g".to_owned(), Facet::Kind)])].concat()]);
    let all: Vec<_> = observed_now(&both, world.root(), &memory).map(Result::unwrap).collect();
    assert_eq!(all[1][0].state.content(), Some(&Digest::of(&[0; 100_000])));
    assert_eq!(memory.0.get(), 1);
}

#[test]
fn an_earlier_state_is_found_in_one_pass() {
    let world = World::new();
    world.write("a", "A");
    let looks = |b: bool| {
        let mut looks = vec![("a".to_owned(), Facet::Content)];
        looks.extend(b.then(|| ("b".to_owned(), Facet::Kind)));
        looks
    };
    let bytes = |observations: &[Observation]| Observation::key_bytes(observations);
    let first = seen(world.root(), &looks(false));
    world.write("a", "B");
    let second = seen(world.root(), &looks(true));
    let sets = sets(vec![second.clone(), first.clone()]);
    let find = || -> Vec<Vec<u8>> {
        observed_now(&sets, world.root(), &Memory::default()).map(|seen| bytes(&seen.unwrap())).collect()
    };
    assert_eq!(find()[0], bytes(&second));
    world.write("a", "A");
    assert_eq!(find()[1], bytes(&first));
    assert_ne!(find()[0], bytes(&second));
    world.write("a", "B");
    assert_eq!(find()[0], bytes(&second));
}

#[test]
fn a_set_of_declared_inputs_is_passed_over() {
    let world = World::new();
    let sets = sets(vec![unseen(&[("a".to_owned(), Facet::Whole)]), unseen(&[("a".to_owned(), Facet::Kind)])]);
    let all: Vec<bool> = observed_now(&sets, world.root(), &Memory::default()).map(|seen| seen.is_ok()).collect();
    assert_eq!(all, [false, true]);
}

#[test]
fn many_paths_keep_their_order() {
    let world = World::new();
    let looks: Vec<Look> = (0..1500).map(|number| (format!("f{number:04}"), Facet::Content)).collect();
    for (name, _) in looks.iter().skip(1).step_by(3) {
        world.write(name, name);
    }
    let all = seen(world.root(), &looks);
    assert_eq!(all.len(), looks.len());
    for (number, (one, (name, _))) in all.iter().zip(&looks).enumerate() {
        assert_eq!(one.path, Path::new(name));
        assert_eq!(one.state.content().copied(), (number % 3 == 1).then(|| Digest::of(name.as_bytes())));
    }
}

/// What can be done to a tree between two looks.
#[derive(Clone, Debug)]
pub enum Edit {
    Write(String, String),
    Date(String, i64),
    Mode(String, u32),
    Remove(String),
    Folder(String),
    Link(String, String),
    Twin(String, String),
}

pub fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"]).prop_map(str::to_owned)
}

pub fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (name(), "[xy]{0,2}").prop_map(|(name, text)| Edit::Write(name, text)),
        3 => (name(), 1..4i64).prop_map(|(name, time)| Edit::Date(name, time)),
        2 => (name(), prop::sample::select(vec![0o644, 0o755, 0o700])).prop_map(|(name, mode)| Edit::Mode(name, mode)),
        2 => name().prop_map(Edit::Remove),
        2 => name().prop_map(Edit::Folder),
        1 => (name(), "[ab]").prop_map(|(name, target)| Edit::Link(name, target)),
        1 => (name(), name()).prop_map(|(name, twin)| Edit::Twin(name, twin)),
    ]
}

impl Edit {
    /// Does it, as far as it can be done; what is written gets a time of its own choice, so that times can be the same.
    pub fn apply(&self, root: &Path) {
        let at = |name: &String| root.join(name);
        let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        match self {
            Edit::Write(name, text) if !is_link(&at(name)) => drop(fs::write(at(name), text)),
            Edit::Date(name, time) if at(name).symlink_metadata().is_ok() => date(&at(name), *time),
            Edit::Mode(name, mode) if !is_link(&at(name)) => {
                let _ = fs::set_permissions(at(name), fs::Permissions::from_mode(*mode));
            }
            Edit::Remove(name) => drop(fs::remove_file(at(name)).or_else(|_| fs::remove_dir_all(at(name)))),
            Edit::Folder(name) => drop(fs::create_dir(at(name))),
            Edit::Link(name, target) => drop(std::os::unix::fs::symlink(target, at(name))),
            Edit::Twin(name, twin) => drop(fs::hard_link(at(name), at(twin))),
            Edit::Write(..) | Edit::Date(..) | Edit::Mode(..) => {}
        }
    }
}

pub fn facet() -> impl Strategy<Value = Facet> {
    prop_oneof![
        Just(Facet::Kind),
        Just(Facet::Content),
        Just(Facet::Metadata),
        Just(Facet::Replaced),
        prop::sample::select(vec![listing(&[]), listing(&["a"]), listing(&["b", "e"])]),
    ]
}

/// What a facet covers, said in another way and without fleche.
fn truth(root: &Path, looks: &[Look]) -> Vec<String> {
    let found = |name: &str| root.join(name).symlink_metadata().ok();
    let dated = |name: &str| found(name).filter(|found| found.is_file() || found.is_symlink());
    let time = |found: &fs::Metadata| (found.mtime(), found.mtime_nsec());
    let counting = |(name, facet): &Look| {
        matches!(facet, Facet::Metadata | Facet::Replaced).then(|| dated(name)).flatten().map(|found| time(&found))
    };
    let one = |look: &Look| {
        let (name, facet) = look;
        let Some(now) = found(name) else { return "nothing".to_owned() };
        let target = fs::read_link(root.join(name)).ok();
        let kind = format!("{:o} {target:?}", if now.is_symlink() { 0 } else { now.mode() });
        match facet {
            Facet::Content if now.is_file() => format!("{kind} {:?}", fs::read(root.join(name)).unwrap()),
            Facet::Metadata => {
                let size = if now.is_file() { (now.size(), now.nlink()) } else { (0, 0) };
                format!("{:o} {size:?} {:?} {} {}", now.mode(), time(&now), now.uid(), now.gid())
            }
            Facet::Replaced if now.is_file() => {
                let order = looks.iter().map(|other| counting(other).map(|other| other.cmp(&time(&now))));
                let mut order: Vec<_> = order.flatten().collect();
                order.sort_unstable();
                format!("{kind} {} {order:?}", now.size() == 0)
            }
            Facet::Listing { without } if now.is_dir() => {
                let entries = fs::read_dir(root.join(name)).unwrap().map(Result::unwrap);
                let entries = entries.filter(|entry| !without.contains(&entry.file_name()));
                let mut names: Vec<String> =
                    entries.map(|entry| format!("{:?} {:?}", entry.file_name(), entry.file_type())).collect();
                names.sort_unstable();
                format!("{names:?}")
            }
            _ => kind,
        }
    };
    looks.iter().map(one).collect()
}

proptest! {
    #![proptest_config(crate::laws::drawn(1000))]

    #[test]
    fn a_facet_counts_what_it_covers_and_nothing_else(
        made in prop::collection::vec(edit(), 0..14),
        edits in prop::collection::vec(edit(), 1..8),
        mut looks in prop::collection::vec((name(), facet()), 1..9),
    ) {
        let world = World::new();
        world.folder("d");
        made.iter().for_each(|edit| edit.apply(world.root()));
        looks.sort_by(|(one, facet), (other, its)| one.as_bytes().cmp(other.as_bytes()).then(facet.cmp(its)));
        looks.dedup();
        let look = || (truth(world.root(), &looks), Observation::key_bytes(&seen(world.root(), &looks)));
        let mut before = look();
        for edit in edits {
            edit.apply(world.root());
            let now = look();
            prop_assert_eq!(now.0 == before.0, now.1 == before.1, "{:?}: {:?} {:?}", edit, before.0, now.0);
            before = now;
        }
    }
}

#[test]
fn names_that_are_no_text_are_listed() {
    let names = [&b"\xff"[..], b"\xfe"].map(|name| {
        let world = World::new();
        world.write(Path::new("d").join(std::ffi::OsStr::from_bytes(name)), "");
        state(&world, "d", listing(&[]))
    });
    assert_ne!(names[0], names[1]);
}
