//! Replays of watched commands: they may do what the recorded run did, where the key tells of what it found.

use rustix::fs::CWD;

use super::edits::{Edits, Look};
use super::*;
use crate::model::{Facet, Observation, State};

fn content(path: &str, mode: u32, text: &str) -> Observation {
    let state = State::File { mode, digest: Digest::of(text.as_bytes()) };
    Observation { path: path.into(), facet: Facet::Content, state, stamp: None }
}

fn kind(path: &str, state: State) -> Observation {
    Observation { path: path.into(), facet: Facet::Kind, state, stamp: None }
}

fn refused(world: &World, outputs: &[Output], observations: &[Observation], shelf: &Memory) -> String {
    let before = world.snapshot();
    let reason = world.replay(outputs, observations, shelf).unwrap_err();
    assert_eq!(world.snapshot(), before);
    assert!(matches!(reason, Reason::NotRestored(_)), "{reason:?}");
    reason.to_string()
}

#[test]
fn only_what_the_key_tells_of_is_taken_away() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("x", "edited").link("l", "x").write("new", "");
    let record = [absent("x")];
    let why = refused(&world, &record, &[content("x", 0o644, "as it was")], &shelf);
    assert!(why.ends_with("`x` is not what the recorded run took away"), "{why}");
    refused(&world, &record, &[], &shelf);
    refused(&world, &record, &[content("w", 0o644, "edited")], &shelf);
    refused(&world, &record, &[kind("x", State::Exists { mode: 0o644 })], &shelf);
    refused(&world, &[absent("l")], &[], &shelf);
    refused(&world, &[absent("l")], &[kind("l", State::Target(b"y".to_vec()))], &shelf);
    refused(&world, &[absent("gone")], &[content("gone", 0o644, "")], &shelf);
    // Nor is anything else done.
    refused(&world, &[shelf.file("y", "1"), absent("x")], &[], &shelf);
    let known = [kind("l", State::Target(b"x".to_vec())), content("x", 0o644, "edited")];
    world.replay(&[absent("l"), absent("x")], &known, &shelf).unwrap();
    assert_eq!(world.snapshot().into_keys().collect::<Vec<_>>(), [Path::new("new")]);
}

#[test]
fn a_folder_is_taken_away_only_if_nothing_is_left_in_it() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("d/deep/x", "1").write("d/y", "2").write("d/deep/user", "3");
    let record = [absent("d"), absent("d/deep"), absent("d/deep/x"), absent("d/y")];
    let known = [content("d/deep/x", 0o644, "1"), content("d/y", 0o644, "2")];
    let why = refused(&world, &record, &known, &shelf);
    assert!(why.ends_with("`d/deep/user` lies in a folder that the recorded run took away"), "{why}");
    fs::remove_file(world.at("d/deep/user")).unwrap();
    refused(&world, &[absent("d")], &known, &shelf);
    assert_eq!(world.replay(&record, &known, &shelf), Ok(Restored::default()));
    assert!(world.snapshot().is_empty());
}

#[test]
fn records_of_other_places_are_refused() {
    let (world, shelf) = (World::new(), Memory::default());
    let outside = world.outside();
    world.write("../outside/x", "user's").link("away", "../outside").folder("real").link("alias", "real");
    world.write("real/x", "user's");
    let beside = format!("{outside}/x");
    let paths = ["..", ".", "", "../outside/x", "real/../real/x", "/", &beside, "away/x", "alias/x", "away/new"];
    for path in paths {
        let known = [content(path, 0o644, "user's")];
        for output in [shelf.file(path, "evil"), folder(path, 0o777), link(path, "x"), absent(path)] {
            refused(&world, &[output], &known, &shelf);
        }
    }
    assert_eq!(shelf.opened.get(), 0);
    let allowed = Places::watched(&[], &[outside.clone().into()], &world.root(), &world.root()).unwrap();
    let known = [content(&beside, 0o644, "user's")];
    let inputs = Inputs { words: &[], observations: &|| &known };
    let record = [shelf.file(&format!("{outside}/y"), "1"), absent(&beside)];
    restore(&allowed, &record, &shelf, Mtime::Now, &nothing(), &inputs).unwrap();
    assert_eq!(fs::read(world.at("../outside/y")).unwrap(), b"1");
    assert!(!Path::new(&beside).exists());
    // A folder that is allowed, and by now leads elsewhere.
    let trap = Places::watched(&[], &[world.root().parent().unwrap().join("trap")], &world.root(), &world.root());
    world.link("../trap", "outside");
    let record =
        [shelf.file(world.at("../outside/z").to_str().unwrap().replace("root/../outside", "trap").as_str(), "")];
    let inputs = Inputs { words: &[], observations: &|| &[] };
    let why = restore(&trap.unwrap(), &record, &shelf, Mtime::Now, &nothing(), &inputs).unwrap_err().to_string();
    assert!(why.contains("lies behind the symbolic link"), "{why}");
}

#[test]
fn a_file_takes_the_place_of_one_that_it_is_known_to_fit() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("x", "other").mode("x", 0o600).write("y", "other").link("l", "y").folder("d");
    let record = [shelf.file("x", "new")];
    refused(&world, &record, &[], &shelf);
    // The recorded run found it so, and left it with another mode.
    refused(&world, &record, &[kind("x", State::Exists { mode: 0o640 })], &shelf);
    world.replay(&record, &[kind("x", State::Exists { mode: 0o600 })], &shelf).unwrap();
    world.replay(&[shelf.file("y", "new")], &[], &shelf).unwrap();
    refused(&world, &[shelf.file("d", "new")], &[kind("d", State::Folder { mode: 0o755 })], &shelf);
    refused(&world, &[shelf.file("l", "new")], &[], &shelf);
    refused(&world, &[link("y", "x")], &[], &shelf);
    fs::hard_link(world.at("y"), world.at("z")).unwrap();
    refused(&world, &[shelf.file("y", "newer")], &[], &shelf);
    fs::remove_file(world.at("z")).unwrap();
    // A link that the run replaced is never written through.
    world.replay(&[shelf.file("l", "new")], &[kind("l", State::Target(b"y".to_vec()))], &shelf).unwrap();
    world.replay(&[link("y", "x")], &[kind("y", State::Exists { mode: 0o644 })], &shelf).unwrap();
    let after: Vec<String> = world.snapshot().into_values().collect();
    assert_eq!(after, ["40755 ", "100644 new", "100644 new", "120777 x"]);
}

#[test]
fn a_folder_gets_another_mode_only_where_the_key_tells_of_the_one_that_it_has() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("d").mode("d", 0o750);
    let record = [folder("d", 0o711)];
    refused(&world, &record, &[], &shelf);
    refused(&world, &record, &[kind("d", State::Folder { mode: 0o755 })], &shelf);
    world.replay(&record, &[kind("d", State::Folder { mode: 0o750 })], &shelf).unwrap();
    assert_eq!(world.snapshot().into_values().collect::<Vec<_>>(), ["40711 "]);
}

#[test]
fn what_stat_told_is_known_only_with_its_type_and_mode() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("x", "1").mode("x", 0o600);
    let state = |mode| State::Metadata { mode, size: 1, modified: 0, user: 0, group: 0, links: 1 };
    let known = |mode| [Observation { facet: Facet::Metadata, ..kind("x", state(mode)) }];
    for other in [0o100_640, 0o040_600] {
        refused(&world, &[shelf.file("x", "2")], &known(other), &shelf);
    }
    world.replay(&[shelf.file("x", "2")], &known(0o100_600), &shelf).unwrap();
}

#[test]
fn a_given_time_is_no_other_file_s() {
    let (world, shelf) = (World::new(), Memory::default());
    let (mut given, made) = (shelf.file("given", "1"), shelf.file("made", "2"));
    if let OutputKind::File { dated, .. } = &mut given.kind {
        *dated = true;
    }
    world.replay(&[given, made], &[], &shelf).unwrap();
    assert_eq!(world.modified("given"), 7);
    assert!(world.modified("made") > 7);
}

#[test]
fn a_link_gets_the_time_that_it_was_given_unless_it_has_it() {
    let (world, shelf) = (World::new(), Memory::default());
    world.link("l", "x");
    let mut given = link("l", "x");
    if let OutputKind::Link { dated, .. } = &mut given.kind {
        *dated = Some(1_000);
    }
    let inode = || fs::symlink_metadata(world.at("l")).unwrap().ino();
    let former = inode();
    world.replay(std::slice::from_ref(&given), &[], &shelf).unwrap();
    assert_eq!(world.modified("l"), 1_000);
    let made = inode();
    assert_ne!(made, former);
    world.replay(&[given], &[], &shelf).unwrap();
    assert_eq!(inode(), made);
}

#[test]
fn without_the_folder_that_the_run_found_nothing_is_made() {
    let (world, shelf) = (World::new(), Memory::default());
    for output in [shelf.file("gone/x", ""), folder("gone/d", 0o755), link("gone/l", "x")] {
        refused(&world, &[shelf.file("a", ""), output], &[], &shelf);
    }
    world.replay(&[folder("gone", 0o755), folder("gone/d", 0o755), shelf.file("gone/d/x", "")], &[], &shelf).unwrap();
}

#[test]
fn a_mode_that_was_kept_is_not_given_to_a_new_file() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("x", "1").mode("x", 0o666);
    let mut edits = Edits::of(&world);
    edits.write("x", "2", Look::Unread).write("y", "3", Look::Unread);
    let outputs = edits.found(&shelf).unwrap();
    world.replay(&outputs, &edits.observations(), &shelf).unwrap();
    fs::remove_file(world.at("y")).unwrap();
    world.replay(&outputs, &edits.observations(), &shelf).unwrap();
    fs::remove_file(world.at("x")).unwrap();
    let why = refused(&world, &outputs, &edits.observations(), &shelf);
    assert!(why.contains("`x` is gone"), "{why}");
}

#[test]
fn what_else_lies_there_is_no_stranger() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("d").write("d/user", "1");
    world.replay(&[folder("d", 0o755), shelf.file("d/x", "2")], &[], &shelf).unwrap();
    assert_eq!(world.snapshot().len(), 3);
}

/// A record that takes away, replaces and makes, and what it was recorded from.
fn scene(world: &World, shelf: &Memory) -> (Vec<Output>, Vec<Observation>) {
    world.write("a", "1").write("d/deep/x", "2").write("d/y", "3").link("d/l", "y").write("z", "4").folder("m");
    world.mode("m", 0o700);
    let record = vec![
        folder("m", 0o755),
        folder("new", 0o755),
        shelf.file("a", "new a"),
        shelf.file("new/b", "new b"),
        link("new/l", "b"),
        absent("d"),
        absent("d/deep"),
        absent("d/deep/x"),
        absent("d/l"),
        absent("d/y"),
        absent("z"),
    ];
    let known = vec![
        content("d/deep/x", 0o644, "2"),
        kind("d/l", State::Target(b"y".to_vec())),
        content("d/y", 0o644, "3"),
        kind("m", State::Folder { mode: 0o700 }),
        content("z", 0o644, "4"),
    ];
    (record, known)
}

#[test]
fn the_scene_succeeds_where_nothing_fails() {
    let (world, shelf) = (World::new(), Memory::default());
    let (record, known) = scene(&world, &shelf);
    assert_eq!(world.replay(&record, &known, &shelf), Ok(Restored::default()));
    let paths: Vec<PathBuf> = world.snapshot().into_keys().collect();
    assert_eq!(paths, ["a", "m", "new", "new/b", "new/l"].map(PathBuf::from));
}

/// Something happens between looking and renaming: what comes out is `before` but for that.
fn disturbed(happens: impl Fn(&World) + 'static) {
    let (world, undisturbed) = (std::rc::Rc::new(World::new()), World::new());
    let shelf = Memory::default();
    let (record, known) = scene(&world, &shelf);
    scene(&undisturbed, &shelf);
    happens(&undisturbed);
    let there = std::rc::Rc::clone(&world);
    *shelf.meanwhile.borrow_mut() = Some((1, Box::new(move || happens(&there))));
    let failed = world.replay(&record, &known, &shelf);
    assert!(matches!(failed, Err(Reason::NotRestored(_))), "{failed:?}");
    assert_eq!(world.snapshot(), undisturbed.snapshot());
    shelf.meanwhile.take();
}

#[test]
fn what_changes_meanwhile_is_left_and_all_else_is_as_it_was() {
    disturbed(|world| {
        world.write("z", "edited");
    });
    disturbed(|world| {
        world.write("d/deep/x", "edited");
    });
    disturbed(|world| {
        world.write("d/deep/new", "user's");
    });
    disturbed(|world| {
        world.write("d/new", "user's");
    });
    disturbed(|world| {
        world.folder("d/folder");
    });
    disturbed(|world| {
        world.write("a", "edited");
    });
    disturbed(|world| fs::remove_file(world.at("z")).unwrap());
    disturbed(|world| fs::remove_file(world.at("a")).unwrap());
    disturbed(|world| {
        fs::remove_file(world.at("d/y")).unwrap();
        world.folder("d/y");
    });
    disturbed(|world| {
        fs::rename(world.at("d"), world.at("../outside/d")).unwrap();
        world.link("d", "../outside/d");
    });
}

#[test]
fn one_file_alone_is_not_put_over_what_appeared_meanwhile() {
    let (world, shelf) = (World::new(), Memory::default());
    let path = world.at("x");
    *shelf.meanwhile.borrow_mut() = Some((0, Box::new(move || fs::write(&path, "theirs").unwrap())));
    let failed = world.replay(&[shelf.file("x", "new")], &[], &shelf);
    assert!(matches!(failed, Err(Reason::NotRestored(_))), "{failed:?}");
    assert_eq!(world.snapshot().into_values().collect::<Vec<_>>(), ["100644 theirs"]);
}

#[test]
fn what_is_not_a_file_is_never_taken_away() {
    let (world, shelf) = (World::new(), Memory::default());
    rustix::fs::mkfifoat(CWD, world.at("fifo"), rustix::fs::Mode::RWXU).unwrap();
    refused(&world, &[absent("fifo")], &[kind("fifo", State::Special(0o010_000))], &shelf);
}

#[test]
fn a_check_says_what_a_replay_would() {
    let (world, shelf) = (World::new(), Memory::default());
    let (record, known) = scene(&world, &shelf);
    let check = |known: &[Observation]| {
        let inputs = Inputs { words: &[], observations: &|| known };
        check(&world.watched(), &record, &shelf, Mtime::Now, &nothing(), &inputs)
    };
    let before = world.snapshot();
    assert_eq!(check(&known), Ok(Restored::default()));
    assert!(matches!(check(&[]), Err(Reason::NotRestored(_))));
    assert_eq!(world.snapshot(), before);
}
