//! What is made of what a watched command touched.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::key::{Ended, from_trace};
use crate::model::{Digest, Facet, Listing, Made, Observation, Reason, Seen, State, Touch, Trace};

use super::super::facets::{glimpse, listing as names};
use super::facets::{Edit, Look, edit, listing, name, seen};
use super::world::{Memory, World};

/// Long after every stamp that a test can make.
const LATER: i64 = i64::MAX;

const KIND: Seen = Seen { kind: true, ..NOT };
const BLIND: Seen = Seen { kind_blindly: true, ..NOT };
const METADATA: Seen = Seen { metadata: true, ..KIND };
const CONTENT: Seen = Seen { content: true, ..NOT };
const NOT: Seen = Seen {
    kind: false,
    kind_blindly: false,
    metadata: false,
    exactly: false,
    content: false,
    attributes: false,
    machine: false,
};

const UNMADE: Made = Made {
    changed: false,
    own: false,
    exclusive: false,
    dated: false,
    renewed: false,
    moved_here: false,
    carried: false,
};
const EDITED: Made = Made { changed: true, ..UNMADE };
const OWN: Made = Made { own: true, ..EDITED };
const EXCLUSIVE: Made = Made { exclusive: true, ..OWN };

/// A run that touches things in a world.
struct Run {
    world: World,
    trace: Trace,
    started: i64,
    known: Vec<Observation>,
    cwd: PathBuf,
}

impl Run {
    fn new() -> Run {
        let world = World::new();
        Run { world, trace: Trace::default(), started: LATER, known: Vec::new(), cwd: "/nowhere".into() }
    }

    /// Touches a path before it is changed, its bytes kept.
    fn touch(&mut self, name: &str, seen: Seen, made: Made) -> &mut Touch {
        let path = self.world.path(name);
        let before = glimpse(&path).unwrap();
        let image = if made.changed { fs::read(&path).ok().map(|bytes| Digest::of(&bytes)) } else { None };
        let touch = Touch { before, image, seen, listing: None, attributes: None, made };
        self.trace.touched.insert(path.clone(), touch);
        self.trace.touched.get_mut(&path).unwrap()
    }

    fn list(&mut self, name: &str, without: &[&str]) {
        let without: Vec<_> = without.iter().map(Into::into).collect();
        let listing = names(&self.world.path(name), &without).unwrap();
        self.touch(name, KIND, UNMADE).listing = Some(listing);
    }

    fn end(&self) -> Result<Vec<Observation>, Reason> {
        let memory = Memory::default();
        let is_unwatched = |path: &Path| path.ends_with("__pycache__");
        let ended = Ended {
            root: self.world.root(),
            cwd: &self.cwd,
            known: &self.known,
            memory: &memory,
            started: self.started,
            is_unwatched: &is_unwatched,
        };
        from_trace(&self.trace, &ended)
    }

    /// What counts, in short.
    fn facets(&self) -> Vec<(String, Facet)> {
        let one = |seen: Observation| (seen.path.to_str().unwrap().to_owned(), seen.facet);
        self.end().unwrap().into_iter().map(one).collect()
    }
}

/// What counts of a link `l` that was touched so, and was then what `afterwards` makes of it.
fn of_link(seen: Seen, made: Made, afterwards: fn(&World)) -> Vec<Facet> {
    let mut run = Run::new();
    run.world.link("a", "l");
    run.touch("l", seen, made);
    afterwards(&run.world);
    run.facets().into_iter().map(|(_, facet)| facet).collect()
}

fn look(name: &str, facet: Facet) -> Look {
    (name.to_owned(), facet)
}

#[test]
fn what_was_only_looked_at_counts_as_far_as_it_was() {
    let mut run = Run::new();
    for (name, seen) in [("blind", BLIND), ("content", CONTENT), ("kind", KIND), ("metadata", METADATA)] {
        run.world.write(name, name);
        run.touch(name, seen, UNMADE);
    }
    run.touch("gone", CONTENT, UNMADE);
    run.touch("gone2", BLIND, UNMADE);
    run.world.link("kind", "link");
    run.touch("link", KIND, UNMADE);
    let expected = [
        look("blind", Facet::Kind),
        look("content", Facet::Content),
        look("gone", Facet::Content),
        look("gone2", Facet::Kind),
        look("kind", Facet::Kind),
        look("link", Facet::Kind),
        look("metadata", Facet::Metadata),
    ];
    assert_eq!(run.facets(), expected);
    assert_eq!(run.end().unwrap()[1].state, State::File { mode: 0o644, digest: Digest::of(b"content") });
}

#[test]
fn what_somebody_else_changed_is_not_stored() {
    for seen in [KIND, BLIND, METADATA, CONTENT] {
        let mut run = Run::new();
        run.world.write("f", "x");
        run.touch("f", seen, UNMADE);
        run.touch("gone", seen, UNMADE);
        run.end().unwrap();
        run.world.write("f", "other");
        assert_eq!(run.end(), Err(Reason::InputChanged("f".into())));
        run.touch("f", seen, UNMADE);
        run.world.write("gone", "");
        assert_eq!(run.end(), Err(Reason::InputChanged("gone".into())));
    }
}

#[test]
fn what_was_named_and_not_looked_at_does_not_count_whoever_changed_it() {
    let mut run = Run::new();
    run.world.write("f", "x");
    run.world.folder("d");
    for name in ["f", "d", "gone"] {
        run.touch(name, NOT, UNMADE);
    }
    assert_eq!(run.facets(), []);
    run.world.write("f", "other");
    run.world.write("gone", "");
    assert_eq!(run.facets(), []);
}

#[test]
fn what_somebody_else_changed_is_not_stored_beside_what_the_command_moved() {
    let mut run = Run::new();
    run.world.write("d/f", "x");
    run.world.write("f", "x");
    run.touch("d", KIND, OWN);
    run.touch("e", KIND, Made { moved_here: true, ..OWN });
    run.touch("f", KIND, UNMADE);
    fs::rename(run.world.path("d"), run.world.path("e")).unwrap();
    run.end().unwrap();
    run.world.write("f", "other");
    assert_eq!(run.end(), Err(Reason::InputChanged("f".into())));
}

#[test]
fn a_young_folder_must_hold_what_was_listed_and_an_old_one_is_believed_by_its_time() {
    let mut run = Run::new();
    run.world.write("d/a", "");
    run.list("d", &[]);
    let touch = run.trace.touched.get_mut(&run.world.path("d")).unwrap();
    touch.listing.as_mut().unwrap().entries.clear();
    run.end().unwrap();
    run.started = 0;
    assert_eq!(run.end(), Err(Reason::InputChanged("d".into())));
}

#[test]
fn a_young_file_must_be_what_was_kept_of_it() {
    let mut run = Run::new();
    run.world.write("f", "x");
    run.touch("f", CONTENT, UNMADE).image = Some(Digest::of(b"x"));
    run.end().unwrap();
    run.touch("f", CONTENT, UNMADE).image = Some(Digest::of(b"y"));
    assert_eq!(run.end(), Err(Reason::InputChanged("f".into())));
}

#[test]
fn what_is_known_of_a_file_is_believed_unless_its_stamp_is_too_young() {
    let mut run = Run::new();
    let path = run.world.write("f", "x");
    run.touch("f", CONTENT, UNMADE);
    let file = State::File { mode: 0o644, digest: Digest::of(b"known") };
    let stamp = crate::sys::stamp::of_link(&path).ok();
    run.known = vec![Observation { path: "f".into(), facet: Facet::Content, state: file, stamp }];
    assert_eq!(run.end(), Ok(run.known.clone()));
    run.touch("f", CONTENT, UNMADE).image = Some(Digest::of(b"x"));
    assert_eq!(run.end().unwrap()[0].state.content(), Some(&Digest::of(b"x")));
    run.touch("f", CONTENT, UNMADE);
    run.known[0].stamp = stamp.map(|stamp| crate::model::Stamp { inode: 1, ..stamp });
    assert_eq!(run.end().unwrap()[0].state.content(), Some(&Digest::of(b"x")));
}

#[test]
fn what_was_changed_counts_by_what_was_kept_of_it() {
    for (seen, made) in [(CONTENT, OWN), (NOT, EDITED)] {
        let mut run = Run::new();
        run.world.write("f", "before");
        let image = run.touch("f", seen, made).image;
        run.world.write("f", "afterwards");
        assert_eq!(image, Some(Digest::of(b"before")));
        let file = State::File { mode: 0o644, digest: Digest::of(b"before") };
        let expected = Observation { path: "f".into(), facet: Facet::Content, state: file, stamp: None };
        assert_eq!(run.end(), Ok(vec![expected]));
        run.trace.touched.values_mut().for_each(|touch| touch.image = None);
        assert_eq!(run.end(), Err(Reason::NoImage("f".into())));
    }
}

#[test]
fn what_is_removed_for_good_counts_by_its_bytes() {
    let mut run = Run::new();
    run.world.write("f", "before");
    run.touch("f", NOT, OWN);
    run.world.remove("f");
    assert_eq!(run.facets(), [look("f", Facet::Content)]);
    run.trace.touched.values_mut().for_each(|touch| touch.image = None);
    assert_eq!(run.end(), Err(Reason::NoImage("f".into())));
}

#[test]
fn what_is_replaced_unread_counts_by_what_make_goes_by() {
    let expected = [
        (NOT, vec![]),
        (BLIND, vec![]),
        (KIND, vec![look("f", Facet::Kind)]),
        (METADATA, vec![look("f", Facet::Replaced)]),
        (Seen { content: true, ..METADATA }, vec![look("f", Facet::Content), look("f", Facet::Replaced)]),
    ];
    for (seen, facets) in expected {
        let mut run = Run::new();
        run.world.write("f", "before");
        run.touch("f", seen, OWN);
        run.world.write("f", "afterwards");
        assert_eq!(run.facets(), facets, "{seen:?}");
    }
}

#[test]
fn a_link_counts_where_it_was_seen_or_is_gone_or_was_changed_in_its_place() {
    let exchanged = |world: &World| world.link("b", "l");
    let removed = |world: &World| world.remove("l");
    for (seen, made, afterwards, facets) in [
        (NOT, OWN, exchanged as fn(&World), vec![]),
        (KIND, OWN, exchanged, vec![Facet::Kind]),
        (CONTENT, OWN, exchanged, vec![Facet::Kind]),
        (NOT, EDITED, exchanged, vec![Facet::Kind]),
        (NOT, OWN, removed, vec![Facet::Kind]),
        (METADATA, OWN, removed, vec![Facet::Kind, Facet::Metadata]),
        (METADATA, EDITED, removed, vec![Facet::Kind, Facet::Metadata]),
    ] {
        assert_eq!(of_link(seen, made, afterwards), facets, "{seen:?} {made:?}");
    }
}

#[test]
fn permissions_that_a_file_has_kept_count() {
    let mut run = Run::new();
    run.world.write("f", "before");
    run.world.mode("f", 0o600);
    run.touch("f", NOT, OWN);
    run.world.write("f", "afterwards");
    assert_eq!(run.facets(), [look("f", Facet::Kind)]);
}

#[test]
fn a_call_that_failed_may_depend_on_what_is_there() {
    let mut run = Run::new();
    run.world.write("f", "x");
    run.world.folder("d");
    run.touch("f", NOT, OWN).image = None;
    run.touch("d", NOT, EXCLUSIVE);
    assert_eq!(run.facets(), [look("d", Facet::Kind), look("f", Facet::Content)]);
    // So young that it could have been written anew with the same stamp.
    run.started = 0;
    assert_eq!(run.end(), Err(Reason::NoImage("f".into())));
}

#[test]
fn what_is_made_counts_as_absent_only_where_that_was_seen() {
    let made = [("seen", KIND, OWN), ("blind", BLIND, OWN), ("unseen", NOT, OWN), ("exclusive", NOT, EXCLUSIVE)];
    let mut run = Run::new();
    for (name, seen, made) in made {
        run.touch(name, seen, made);
        run.world.write(name, "");
    }
    assert_eq!(run.facets(), [look("exclusive", Facet::Kind), look("seen", Facet::Kind)]);
    assert!(run.end().unwrap().iter().all(|seen| seen.state == State::Absent));
}

#[test]
fn temporaries_count_only_where_their_names_are_chosen() {
    let mut run = Run::new();
    for (name, seen, made) in [
        ("conftest", METADATA, OWN),
        ("lock", NOT, EXCLUSIVE),
        ("scratch", NOT, OWN),
        ("sedXa8Kq2", METADATA, EXCLUSIVE),
        ("Makefile2", METADATA, OWN),
        ("tmp/lock", METADATA, EXCLUSIVE),
        ("tmp/lock/inner", METADATA, OWN),
        ("tmp/fixed", METADATA, OWN),
    ] {
        run.touch(name, seen, made);
    }
    let names: Vec<String> = run.facets().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Makefile2", "conftest", "lock", "scratch", "tmp/fixed", "tmp/lock", "tmp/lock/inner"]);
}

#[test]
fn what_is_in_a_temporary_folder_counts_where_the_folder_was_there_before() {
    let mut run = Run::new();
    run.world.write("tmpXa8Kq2/old", "");
    run.touch("tmpXa8Kq2", NOT, EXCLUSIVE);
    run.touch("tmpXa8Kq2/f", METADATA, OWN);
    run.touch("newXa8Kq2", NOT, EXCLUSIVE);
    run.touch("newXa8Kq2/f", METADATA, OWN);
    let names: Vec<String> = run.facets().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["tmpXa8Kq2", "tmpXa8Kq2/f"]);
}

#[test]
fn the_command_may_change_what_it_listed() {
    let mut run = Run::new();
    run.world.write("d/a", "");
    run.world.write("d/old", "");
    run.list("d", &["own"]);
    run.touch("d/new", NOT, OWN);
    run.touch("d/old", NOT, OWN);
    run.world.write("d/new", "");
    run.world.write("d/own", "");
    run.world.folder("d/__pycache__");
    run.world.remove("d/old");
    let facets = run.facets();
    assert_eq!(facets, [look("d", Facet::Kind), look("d", listing(&["own"])), look("d/old", Facet::Content)]);
    run.world.write("d/foreign", "");
    assert_eq!(run.end(), Err(Reason::InputChanged("d".into())));
}

#[test]
fn times_of_a_folder_count_where_it_was_listed_and_left_alone() {
    let mut run = Run::new();
    run.world.write("d/a", "");
    run.list("d", &[]);
    let seen = |run: &mut Run| run.trace.touched.values_mut().for_each(|touch| touch.seen = METADATA);
    seen(&mut run);
    assert_eq!(run.facets(), [look("d", Facet::Metadata), look("d", listing(&[]))]);
    run.touch("d/b", NOT, OWN);
    run.world.write("d/b", "");
    assert_eq!(run.facets(), [look("d", Facet::Kind), look("d", listing(&[]))]);
    run.touch("d", METADATA, UNMADE);
    assert_eq!(run.facets(), [look("d", Facet::Kind)]);
}

#[test]
fn times_of_a_folder_count_unlisted_too_but_not_where_the_command_stands() {
    let mut run = Run::new();
    run.world.folder("d");
    run.touch("d", METADATA, UNMADE);
    assert_eq!(run.facets(), [look("d", Facet::Metadata)]);
    run.cwd = run.world.path("d");
    assert_eq!(run.facets(), [look("d", Facet::Kind)]);
    run.list("d", &[]);
    run.trace.touched.values_mut().for_each(|touch| touch.seen = METADATA);
    assert_eq!(run.facets(), [look("d", Facet::Metadata), look("d", listing(&[]))]);
}

#[test]
fn a_folder_is_removed_because_nothing_else_was_in_it() {
    let mut run = Run::new();
    run.world.write("d/a", "x");
    run.world.folder("d/e");
    let before = seen(run.world.root(), &[look("d", listing(&[]))]);
    for name in ["d", "d/a", "d/e"] {
        run.touch(name, NOT, OWN);
    }
    run.touch("d/made", NOT, OWN);
    run.world.remove("d");
    let after = run.end().unwrap();
    assert_eq!(after[1], before[0]);
    assert_eq!(after.len(), 2 + 3 + 1);
}

#[test]
fn what_moved_with_its_folder_is_the_commands_own_doing() {
    let mut run = Run::new();
    run.world.write("d/f", "x");
    run.touch("d", KIND, OWN);
    run.touch("d/f", KIND, UNMADE);
    run.touch("e", KIND, Made { moved_here: true, ..OWN });
    run.touch("e/f", KIND, UNMADE);
    fs::rename(run.world.path("d"), run.world.path("e")).unwrap();
    let facets = [look("d", Facet::Kind), look("d", listing(&[])), look("d/f", Facet::Kind)];
    assert_eq!(run.facets(), [&facets[..], &[look("e", Facet::Kind), look("e/f", Facet::Kind)]].concat());
}

fn flags() -> impl Strategy<Value = (Seen, bool)> {
    any::<[bool; 5]>().prop_map(|[kind, kind_blindly, metadata, content, listed]| {
        (Seen { kind: kind || metadata, kind_blindly, metadata, content, ..NOT }, listed)
    })
}

/// A copy of a tree, times and further names included.
fn copy(world: &World) -> World {
    let copy = World::new();
    let from = world.path(".");
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(copy.root()).status().unwrap();
    assert!(status.success());
    copy
}

proptest! {
    #![proptest_config(crate::laws::drawn(64))]

    /// Whatever the command does, what counts is what was there before.
    #[test]
    fn what_counts_is_what_a_look_before_the_run_would_have_said(
        made in prop::collection::vec(edit(), 0..14),
        touches in prop::collection::btree_map(name(), flags(), 1..7),
        edits in prop::collection::vec(edit(), 0..6),
    ) {
        let mut run = Run::new();
        run.world.folder("d");
        made.iter().for_each(|edit| edit.apply(run.world.root()));
        let before = copy(&run.world);
        // A trace names real paths.
        let is_real = |path: PathBuf| path.parent().unwrap().canonicalize().is_ok_and(|real| Some(&*real) == path.parent());
        for (name, (seen, is_listed)) in touches {
            if !is_real(run.world.path(&name)) {
                continue;
            }
            let listing = names(&run.world.path(&name), &[]).ok().filter(|_| is_listed);
            run.touch(&name, seen, UNMADE).listing = listing;
        }
        for edit in &edits {
            let (name, made) = match edit {
                Edit::Write(name, _) if run.world.path(name).is_dir() => continue,
                Edit::Write(name, _) | Edit::Remove(name) => (name, OWN),
                Edit::Folder(name) | Edit::Link(name, _) => (name, EXCLUSIVE),
                Edit::Date(name, _) | Edit::Mode(name, _) => (name, EDITED),
                // Gives another file a further name, which no replay repeats.
                Edit::Twin(..) => continue,
            };
            if !is_real(run.world.path(name)) {
                continue;
            }
            let paths: Vec<PathBuf> = walkdir::WalkDir::new(run.world.path(name)).into_iter().flatten().map(|entry| entry.into_path()).collect();
            let is_tree = matches!(edit, Edit::Remove(_));
            for path in paths.into_iter().filter(|_| is_tree).chain([run.world.path(name)]) {
                let name = path.strip_prefix(run.world.root()).unwrap().to_str().unwrap().to_owned();
                if !run.trace.touched.contains_key(&path) {
                    run.touch(&name, NOT, UNMADE);
                }
                let touch = run.trace.touched.get_mut(&path).unwrap();
                // Kept of a file that has changed under another name, it would not tell of what was there before.
                let is_as_before = glimpse(&path).unwrap() == touch.before;
                let image = fs::read(&path).ok().filter(|_| is_as_before).map(|bytes| Digest::of(&bytes));
                if !touch.made.own {
                    touch.image = if touch.made.changed { touch.image } else { image };
                    touch.made = made;
                }
            }
            edit.apply(run.world.root());
        }
        let observed = run.end();
        let observed = match observed {
            // A file with two names was changed under the other.
            Err(Reason::InputChanged(_) | Reason::NoImage(_)) if made.iter().any(|edit| matches!(edit, Edit::Twin(..))) => return Ok(()),
            observed => observed.unwrap(),
        };
        let looks: Vec<Look> = observed.iter().map(|seen| look(seen.path.to_str().unwrap(), seen.facet.clone())).collect();
        if !looks.is_empty() {
            let expected = seen(before.root(), &looks);
            let states = |all: &[Observation]| all.iter().map(|seen| (seen.path.clone(), seen.facet.clone(), seen.state.clone())).collect::<Vec<_>>();
            prop_assert_eq!(states(&observed), states(&expected));
        }
    }
}

#[test]
fn what_was_changed_under_another_name_is_not_known() {
    let mut run = Run::new();
    run.world.write("f", "before");
    fs::hard_link(run.world.path("f"), run.world.path("g")).unwrap();
    run.touch("f", NOT, OWN);
    run.world.write("f", "afterwards");
    run.touch("g", CONTENT, UNMADE);
    assert_eq!(run.end(), Err(Reason::InputChanged("g".into())));
    run.trace.touched.remove(&run.world.path("f"));
    run.end().unwrap();
}

#[test]
fn what_nobody_made_is_not_the_commands_own() {
    let not_changed = Made { changed: false, ..OWN };
    let mut run = Run::new();
    run.touch("d", KIND, EXCLUSIVE);
    run.touch("d/f", NOT, not_changed);
    run.world.folder("d");
    run.end().unwrap();
    run.world.write("d/f", "");
    assert_eq!(run.end(), Err(Reason::InputChanged("d/f".into())));
    run.trace.touched.get_mut(&run.world.path("d")).unwrap().made.moved_here = true;
    run.end().unwrap();
}

#[test]
fn a_folder_that_could_not_be_removed_is_not_the_commands_own() {
    let mut run = Run::new();
    run.world.folder("d");
    run.touch("d", KIND, OWN);
    run.end().unwrap();
    run.touch("d/f", NOT, OWN);
    run.world.write("d/f", "");
    assert_eq!(run.end(), Err(Reason::InputChanged("d/f".into())));
    // It was, and was made anew in its place.
    run.touch("d", KIND, EXCLUSIVE);
    run.end().unwrap();
}

#[test]
fn a_folder_that_could_not_be_removed_may_hold_what_was_there_and_lack_what_was_sought() {
    let mut run = Run::new();
    run.world.write("d/old", "x");
    run.touch("d", KIND, OWN);
    run.touch("d/old", NOT, OWN);
    run.touch("d/sought", KIND, UNMADE);
    run.world.write("d/old", "y");
    run.end().unwrap();
}

#[test]
fn a_listing_has_one_digest() {
    let world = World::new();
    world.write("d/a", "");
    let listed = names(&world.path("d"), &[]).unwrap();
    assert_eq!(listed, Listing { entries: vec![("a".into(), 0o100_000)], without: Vec::new() });
    let state = seen(world.root(), &[look("d", listing(&[]))]).remove(0).state;
    assert_eq!(state, State::Listing(listed.digest()));
}
