//! A restore that fails at any step leaves everything as it was.

use super::super::fault::{CHANGED_MEANWHILE, Fault};
use super::super::ground::Grounds;
use super::super::transaction::Transaction;
use super::*;

/// The places of [`scene`] that hold something of the user's.
const SCENE: [&str; 8] = ["out/", "old1", "old2", "l", "new", "un", "last", "stale"];

/// A record that does something of every kind, and the state that it meets.
fn scene(world: &World, shelf: &Memory) -> (Vec<Output>, Vec<Output>) {
    world.write("old1", "1").write("old2", "2").write("stale", "stale").folder("out").mode("out", 0o700);
    world.write("out/stale", "stale").link("l", "old1").link("out/l", "x").write("out/sub/stale", "stale");
    let owned = Output { path: "out".into(), kind: OutputKind::Folder { mode: 0o755, owned: true, dated: None } };
    let record = vec![
        owned,
        folder("new", 0o555),
        folder("new/deep", 0o755),
        shelf.file("old1", "new 1"),
        shelf.file("old2", "new 2"),
        shelf.file("new/deep/x", "x"),
        shelf.file("un/recorded/y", "y"),
        shelf.file("last", "last"),
        link("l", "old2"),
        link("new/l", "deep"),
        absent("stale"),
    ];
    let stale = ["stale", "out/stale", "out/sub/stale"];
    let mut former: Vec<Output> = stale.iter().map(|path| shelf.file(path, "stale")).collect();
    former.extend([folder("out/sub", 0o755), link("out/l", "x"), folder("out", 0o700)]);
    (record, former)
}

#[test]
fn the_scene_succeeds_where_nothing_fails() {
    let (world, shelf) = (World::new(), Memory::default());
    let (record, former) = scene(&world, &shelf);
    assert_eq!(world.restore_after(&SCENE, &record, &shelf, &[&former]), Ok(Restored::default()));
    let after: Vec<PathBuf> = world.snapshot().into_keys().collect();
    let expected = [
        "l",
        "last",
        "new",
        "new/deep",
        "new/deep/x",
        "new/l",
        "old1",
        "old2",
        "out",
        "un",
        "un/recorded",
        "un/recorded/y",
    ];
    assert_eq!(after, expected.map(PathBuf::from));
    assert_eq!(fs::metadata(world.at("new")).unwrap().mode() & 0o777, 0o555);
    assert_eq!(fs::metadata(world.at("out")).unwrap().mode() & 0o777, 0o755);
    world.mode("new", 0o755);
}

#[test]
fn a_value_that_fails_leaves_everything_as_it_was() {
    for number in 0..5 {
        let world = World::new();
        let shelf = Memory { fails_after: Some(number), ..Memory::default() };
        let (record, former) = scene(&world, &shelf);
        let before = world.snapshot();
        let failed = world.restore_after(&SCENE, &record, &shelf, &[&former]);
        assert_eq!(failed, Err(Reason::Damaged("bad".into())));
        assert_eq!(shelf.opened.get(), number + 1);
        assert_eq!(world.snapshot(), before, "value {number}");
    }
}

/// Restores while `happens` comes between looking and renaming; what comes out is `before` but for
/// what happened itself.
fn disturbed(happens: impl Fn(&World) + 'static) {
    let world = std::rc::Rc::new(World::new());
    let shelf = Memory::default();
    let (record, former) = scene(&world, &shelf);
    let undisturbed = World::new();
    scene(&undisturbed, &shelf);
    happens(&undisturbed);
    let there = std::rc::Rc::clone(&world);
    *shelf.meanwhile.borrow_mut() = Some((4, Box::new(move || happens(&there))));
    let failed = world.restore_after(&SCENE, &record, &shelf, &[&former]);
    assert!(matches!(failed, Err(Reason::NotRestored(_))), "{failed:?}");
    assert_eq!(world.snapshot(), undisturbed.snapshot());
    shelf.meanwhile.take();
}

#[test]
fn a_target_that_changes_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        world.write("old2", "edited");
    });
}

#[test]
fn a_target_that_vanishes_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| fs::remove_file(world.at("old2")).unwrap());
}

#[test]
fn a_target_that_becomes_a_folder_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        fs::remove_file(world.at("old2")).unwrap();
        world.write("old2/user", "x");
    });
}

#[test]
fn a_target_that_appears_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        world.write("last", "user's");
    });
    disturbed(|world| {
        world.write("last/user", "user's");
    });
}

#[test]
fn a_link_that_changes_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        fs::remove_file(world.at("l")).unwrap();
        world.folder("l");
    });
}

#[test]
fn a_left_over_that_changes_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        world.write("stale", "edited");
    });
    disturbed(|world| {
        world.write("out/sub/stale", "edited");
    });
}

#[test]
fn a_folder_that_becomes_a_link_meanwhile_leaves_everything_as_it_was() {
    disturbed(|world| {
        fs::rename(world.at("out"), world.at("../outside/out")).unwrap();
        world.link("out", "../outside/out");
    });
}

#[test]
fn one_file_alone_is_replaced_or_left_as_it_was() {
    let (world, shelf) = (World::new(), Memory::default());
    let record = [shelf.file("x", "new")];
    world.write("x", "old");
    let path = world.at("x");
    *shelf.meanwhile.borrow_mut() = Some((
        0,
        Box::new(move || {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }),
    ));
    assert!(matches!(world.restore(&["x"], &record, &shelf), Err(Reason::NotRestored(_))));
    assert_eq!(world.snapshot().into_keys().collect::<Vec<_>>(), [Path::new("x")]);
    fs::remove_dir(world.at("x")).unwrap();
    world.write("x", "old").restore(&["x"], &record, &shelf).unwrap();
    assert_eq!(world.snapshot().into_values().collect::<Vec<_>>(), ["100644 new"]);
}

#[test]
fn modes_that_were_set_are_set_back() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("a").folder("b").mode("a", 0o750).mode("b", 0o705);
    let record = [folder("a", 0o755), folder("b", 0o755), shelf.file("x", "x")];
    let (from, to) = (world.at("a"), world.at("moved"));
    *shelf.meanwhile.borrow_mut() = Some((
        0,
        Box::new(move || {
            fs::rename(&from, &to).unwrap();
            symlink("moved", &from).unwrap();
        }),
    ));
    let former = [folder("a", 0o750), folder("b", 0o705)];
    assert!(matches!(world.restore_after(&[], &record, &shelf, &[&former]), Err(Reason::NotRestored(_))));
    let things: Vec<String> =
        world.snapshot().into_iter().map(|(path, thing)| format!("{} {thing}", path.display())).collect();
    assert_eq!(things, ["a 120777 moved", "b 40705 ", "moved 40750 "]);
}

#[test]
fn one_file_that_was_changed_meanwhile_is_replaced_only_if_it_is_named() {
    for (word, is_replaced) in [("a.o", true), ("*.o", false)] {
        let (world, shelf) = (World::new(), Memory::default());
        world.write("a.o", "old").mode("a.o", 0o644);
        let former = [shelf.file("a.o", "old")];
        let path = world.at("a.o");
        *shelf.meanwhile.borrow_mut() = Some((0, Box::new(move || fs::write(&path, "edited").unwrap())));
        let restored = world.restore_after(&[word], &[shelf.file("a.o", "new")], &shelf, &[&former]);
        assert_eq!(restored.is_ok(), is_replaced, "{word} {restored:?}");
        assert_eq!(fs::read(world.at("a.o")).unwrap(), if is_replaced { &b"new"[..] } else { b"edited" });
    }
}

/// A transaction that has put a file in the place of `a`, over what was there.
fn put<'a>(places: &'a Places, world: &World) -> Result<Transaction<'a>, Fault> {
    let present = crate::sys::stamp::of_link(&world.at("a")).ok();
    put_over(places, present.as_ref())
}

fn put_over<'a>(places: &'a Places, present: Option<&crate::model::Stamp>) -> Result<Transaction<'a>, Fault> {
    let path = Path::new("a");
    let mut transaction = Transaction::new(Grounds::new(places));
    let (name, mut file) = transaction.stage(path, 0o600)?;
    file.write_all(b"ours").unwrap();
    let staged = Transaction::staged(path, name, &rustix::fs::fstat(&file).unwrap());
    transaction.put(&staged, present)?;
    Ok(transaction)
}

#[test]
fn what_somebody_put_there_since_is_not_taken_away() {
    let world = World::new();
    let places = world.places(&["a"]);
    for before in [None, Some("1")] {
        let _ = fs::remove_file(world.at("a"));
        before.map(|text| world.write("a", text));
        drop(put(&places, &world).unwrap());
        assert_eq!(fs::read_to_string(world.at("a")).ok().as_deref(), before);
        let transaction = put(&places, &world).unwrap();
        assert_eq!(fs::read(world.at("a")).unwrap(), b"ours");
        world.write("b", "theirs");
        fs::rename(world.at("b"), world.at("a")).unwrap();
        drop(transaction);
        assert_eq!(fs::read(world.at("a")).unwrap(), b"theirs");
        assert_eq!(world.snapshot().len(), 1);
    }
}

#[test]
fn what_appeared_or_vanished_has_changed() {
    let world = World::new();
    let places = world.places(&["a"]);
    world.write("a", "theirs");
    let seen = crate::sys::stamp::of_link(&world.at("a")).unwrap();
    let changed = || Some(Fault::new(Path::new("a"), CHANGED_MEANWHILE));
    assert_eq!(put_over(&places, None).err(), changed());
    fs::remove_file(world.at("a")).unwrap();
    assert_eq!(put_over(&places, Some(&seen)).err(), changed());
    assert_eq!(world.snapshot().len(), 0);
}
