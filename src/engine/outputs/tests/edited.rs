//! Law: what is found after any edits, and restored onto the tree before them, gives the tree after them.

use proptest::prelude::*;

use super::edits::{Edits, Look};
use super::*;

#[derive(Clone, Debug)]
enum Edit {
    Write(String, String, Look),
    Append(String),
    Remove(String),
    MakeFolder(String),
    RemoveFolder(String),
    RemoveTree(String),
    Rename(String, String),
    Mode(String, u32),
    Link(String),
    Date(String),
    Renew(String),
}

/// Few names, so that edits meet.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn edit() -> impl Strategy<Value = Edit> {
    let look = proptest::sample::select(vec![Look::Read, Look::Unread]);
    let mode = proptest::sample::select(vec![0o644, 0o600, 0o755, 0o700]);
    prop_oneof![
        4 => (path(), "[xyz]{0,3}", look).prop_map(|(path, text, look)| Edit::Write(path, text, look)),
        2 => path().prop_map(Edit::Append),
        2 => path().prop_map(Edit::Remove),
        3 => path().prop_map(Edit::MakeFolder),
        1 => path().prop_map(Edit::RemoveFolder),
        1 => path().prop_map(Edit::RemoveTree),
        3 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (path(), mode).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => path().prop_map(Edit::Link),
        1 => path().prop_map(Edit::Date),
        1 => path().prop_map(Edit::Renew),
    ]
}

/// Does what can be done: a system call that must fail is of the tests of the watcher.
fn apply(edit: &Edit, edits: &mut Edits, world: &World) {
    let status = |path: &str| fs::symlink_metadata(world.at(path)).ok();
    let is_folder = |path: &str| status(path).is_some_and(|status| status.is_dir());
    let is_file = |path: &str| status(path).is_some_and(|status| status.is_file());
    // A trace has no links in its paths.
    let is_reached = |path: &str| {
        Path::new(path)
            .ancestors()
            .skip(1)
            .all(|above| above.as_os_str().is_empty() || is_folder(above.to_str().unwrap()))
    };
    let is_free = |path: &str| is_reached(path) && status(path).is_none();
    match edit {
        Edit::Write(path, text, look) if is_reached(path) && (is_file(path) || is_free(path)) => {
            edits.write(path, text, *look);
        }
        Edit::Append(path) if is_reached(path) && (is_file(path) || is_free(path)) => {
            edits.append(path, "+");
        }
        Edit::Remove(path) if is_reached(path) && status(path).is_some() && !is_folder(path) => {
            edits.remove(path);
        }
        Edit::MakeFolder(path) if is_reached(path) => {
            edits.make_folder(path);
        }
        Edit::RemoveFolder(path) if is_reached(path) && is_folder(path) => {
            edits.remove_folder(path);
        }
        Edit::RemoveTree(path) if is_reached(path) && is_folder(path) => {
            edits.remove_tree(path);
        }
        Edit::Rename(from, to)
            if is_reached(from) && is_reached(to) && status(from).is_some() && !to.starts_with(from.as_str()) =>
        {
            // What rename(2) refuses is left: it is told by nothing but its failure.
            let is_possible = match (is_folder(from), status(to)) {
                (_, None) => true,
                (true, Some(_)) => is_folder(to) && fs::read_dir(world.at(to)).unwrap().next().is_none(),
                (false, Some(_)) => !is_folder(to),
            };
            if is_possible {
                edits.rename(from, to);
            }
        }
        Edit::Mode(path, mode) if is_reached(path) && (is_file(path) || is_folder(path)) => {
            // A folder stays one that its owner can use, whoever runs the test.
            edits.mode(path, if is_folder(path) { mode | 0o100 } else { *mode });
        }
        Edit::Link(path) if is_free(path) => {
            edits.link(path, "somewhere");
        }
        Edit::Date(path) if is_reached(path) && is_file(path) => {
            edits.date(path, 1_000_000_007);
        }
        Edit::Renew(path) if is_reached(path) && (is_file(path) || is_folder(path)) => {
            edits.renew(path);
        }
        _ => {}
    }
}

/// The trees of a run and of its replay are grown by the same edits.
fn grow(world: &World, edits: &[Edit]) {
    let mut unseen = Edits::of(world);
    edits.iter().for_each(|edit| apply(edit, &mut unseen, world));
    // Folders as well: whatever the run makes in them changes their times, however little time went by.
    for path in world.snapshot().keys().filter(|path| !world.at(path).is_symlink()) {
        world.touch(path, 5_000_000_000);
    }
}

/// Grows, edits and replays; whether it was stored.
fn stored(before: &[Edit], run: &[Edit]) -> Result<bool, TestCaseError> {
    let (world, copy, shelf) = (World::new(), World::new(), Memory::default());
    grow(&world, before);
    grow(&copy, before);
    let mut edits = Edits::of(&world);
    run.iter().for_each(|edit| apply(edit, &mut edits, &world));
    let outputs = match edits.found(&shelf) {
        Ok(outputs) => outputs,
        Err(Reason::NoImage(_)) => return Ok(false),
        Err(Reason::OutputUnstorable(_, why)) if why.contains(" and is ") => return Ok(false),
        Err(Reason::OutputUnstorable(path, why))
            if why == "was given another time"
                && run.iter().any(|edit| matches!(edit, Edit::Renew(renewed) if path == Path::new(renewed))) =>
        {
            return Ok(false);
        }
        Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    let unchanged = copy.snapshot();
    // A file that was emptied unseen, and given another mode: no key tells which it had.
    if let Err(Reason::NotRestored(why)) = copy.replay(&outputs, &edits.observations(), &shelf)
        && why.contains("has another mode")
    {
        prop_assert_eq!(copy.snapshot(), unchanged);
        return Ok(false);
    }
    let (mut copy, failing) = (World::new(), Memory { fails_after: Some(0), ..Memory::default() });
    grow(&copy, before);
    // What fails leaves no trace.
    let failed = copy.replay(&outputs, &edits.observations(), &failing);
    if failing.opened.get() > 0 {
        prop_assert_eq!(failed, Err(Reason::Damaged("bad".into())));
        prop_assert_eq!(copy.snapshot(), unchanged);
    } else {
        // All files were in place.
        prop_assert_eq!(failed, Ok(Restored::default()));
        copy = World::new();
        grow(&copy, before);
    }
    let restored = copy.replay(&outputs, &edits.observations(), &shelf);
    prop_assert_eq!(restored, Ok(Restored::default()), "{:?}", told(&outputs));
    prop_assert_eq!(copy.snapshot(), world.snapshot());
    for output in &outputs {
        if let OutputKind::File { dated: true, .. } = output.kind {
            prop_assert_eq!(copy.modified(&output.path), world.modified(&output.path));
        }
    }
    // Once more, onto the tree after: what was made and what is kept may be, what was taken away may not.
    let after = copy.snapshot();
    let again = copy.replay(&outputs, &edits.observations(), &shelf);
    prop_assert!(matches!(again, Ok(_) | Err(Reason::NotRestored(_))), "{:?}", again);
    prop_assert_eq!(copy.snapshot(), after);
    Ok(true)
}

#[test]
fn what_is_found_after_any_edits_gives_their_tree() {
    let some = || proptest::collection::vec(edit(), 0..16);
    let (all, kept) = (Cell::new(0), Cell::new(0));
    proptest::test_runner::TestRunner::new(crate::laws::drawn(1000))
        .run(&(some(), some()), |(before, run)| {
            all.set(all.get() + 1);
            kept.set(kept.get() + u32::from(stored(&before, &run)?));
            Ok(())
        })
        .unwrap();
    assert!(kept.get() * 2 > all.get(), "{} of {} were stored", kept.get(), all.get());
}
