//! Folders that a command owns, through changing states of its inputs.

use super::*;

#[test]
fn a_replay_removes_what_former_calls_made_and_names_the_rest() {
    let (world, shelf) = (World::new(), Memory::default());
    world
        .write("out/a", "a")
        .write("out/sub/deep/a", "a")
        .link("out/l", "a")
        .write("out/kept/a", "a")
        .folder("out/gone");
    let a = world.collect(&["out/"], &shelf);
    fs::remove_dir_all(world.at("out")).unwrap();
    world.write("out/b", "b");
    let b = world.collect(&["out/"], &shelf);
    let clean = world.snapshot();

    // Back to A, then to B: as if B had run in an empty folder.
    world.restore_after(&["out/"], &a, &shelf, &[&a, &b]).unwrap();
    assert!(!world.at("out/b").exists());
    assert_eq!(world.restore_after(&["out/"], &b, &shelf, &[&a, &b]), Ok(Restored::default()));
    assert_eq!(world.snapshot(), clean);

    // With files of the user's among them.
    world.restore_after(&["out/"], &a, &shelf, &[&a, &b]).unwrap();
    world
        .write("out/a", "edited")
        .write("out/kept/x", "x")
        .folder("out/new/empty")
        .write("out/y", "y")
        .write("out/z", "z");
    let restored = world.restore_after(&["out/"], &b, &shelf, &[&a, &b]).unwrap();
    assert_eq!(
        restored.warnings,
        ["left in `out/`, because no recorded run made it: `out/a`, `out/kept/x`, `out/new/empty`, and 2 more"]
    );
    let three = |path: &str| {
        fs::remove_file(world.at(path)).unwrap();
        let warnings = world.restore_after(&["out/"], &b, &shelf, &[&a, &b]).unwrap().warnings;
        world.write(path, "z");
        warnings
    };
    fs::remove_file(world.at("out/y")).unwrap();
    assert_eq!(
        three("out/z"),
        ["left in `out/`, because no recorded run made it: `out/a`, `out/kept/x`, `out/new/empty`"]
    );
    world.write("out/y", "y");
    let left: Vec<PathBuf> = world.snapshot().into_keys().collect();
    let expected = ["out", "out/a", "out/b", "out/kept", "out/kept/x", "out/new", "out/new/empty", "out/y", "out/z"];
    assert_eq!(left, expected.map(PathBuf::from));
}

#[test]
fn without_former_calls_nothing_is_removed() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("out/a", "a");
    let a = world.collect(&["out/"], &shelf);
    world.write("out/user", "x");
    let restored = world.restore(&["out/"], &a, &shelf).unwrap();
    assert_eq!(restored.warnings, ["left in `out/`, because no recorded run made it: `out/user`"]);
    assert!(world.at("out/user").exists());
}

#[test]
fn a_folder_that_is_not_owned_keeps_everything_in_silence() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("out/a", "a");
    let a = world.collect(&["out"], &shelf);
    world.write("out/old", "old");
    let former = [shelf.file("out/old", "old")];
    assert_eq!(world.restore_after(&["out"], &a, &shelf, &[&former]), Ok(Restored::default()));
    assert!(world.at("out/old").exists());
}

#[test]
fn absences_inside_an_owned_folder_are_removed_once() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("out/d/x", "x");
    let a = world.collect(&["out/"], &shelf);
    let owned = Output { path: "out".into(), kind: OutputKind::Folder { mode: 0o755, owned: true, dated: None } };
    let b = [owned, absent("out/d"), absent("out/d/x")];
    assert_eq!(world.restore_after(&["out/"], &b, &shelf, &[&a]), Ok(Restored::default()));
    assert_eq!(world.snapshot().len(), 1);
}
