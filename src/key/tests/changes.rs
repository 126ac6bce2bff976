//! What changes while a command runs is not stored.

use std::fs;
use std::path::PathBuf;

use crate::key::{Surroundings, command, confirm, confirm_file, observe};
use crate::model::{Digest, Reason, Request, Stdin, StdinRule, StdinSource};
use crate::sys::stamp;

use super::world::{Memory, World, request, surroundings, words};

/// The path that changes, and how.
type Change = (&'static str, fn(&World));

fn world() -> World {
    let world = World::new();
    for (name, content) in [("f", "1"), ("src/a.c", "a"), ("src/deep/b.c", "b"), ("outside", "o")] {
        world.write(name, content);
    }
    world.link("../outside", "src/l");
    world
}

fn inputs() -> Request {
    request(&["-i", "f", "-i", "src", "-i", "nowhere", "-i", "src/*.c", "-o", "src/out"])
}

#[test]
fn what_stays_is_confirmed() {
    let world = world();
    let request = inputs();
    let before = world.observe(&request);
    let after = world.confirm(&request, || {
        world.write("beside", "");
        world.write("src/out", "");
    });
    assert_eq!(after.unwrap(), before);
}

#[test]
fn every_change_is_noticed_and_named() {
    let changes: &[Change] = &[
        ("f", |w| drop(w.write("f", "2"))),
        ("f", |w| drop(w.write("f", "11"))),
        ("f", |w| w.remove("f")),
        ("f", |w| w.mode("f", 0o755)),
        ("f", |w| {
            // The same content again: the command may have seen another meanwhile.
            w.write("new", "1");
            fs::rename(w.path("new"), w.path("f")).unwrap();
        }),
        ("nowhere", |w| drop(w.write("nowhere", ""))),
        ("src/new", |w| drop(w.write("src/new", ""))),
        ("src/new.c", |w| drop(w.write("src/new.c", ""))),
        ("src/deep/new", |w| w.folder("src/deep/new")),
        ("src/a.c", |w| w.remove("src/a.c")),
        ("src/a.c", |w| fs::rename(w.path("src/a.c"), w.path("src/z.c")).unwrap()),
        ("src/l", |w| drop(w.write("outside", "x"))),
        ("src/l", |w| w.link("nowhere", "src/l")),
        ("src/deep/b.c", |w| {
            w.remove("src/deep/b.c");
            w.fifo("src/deep/b.c");
        }),
        ("src/deep", |w| w.remove("src")),
    ];
    for (number, (name, change)) in changes.iter().enumerate() {
        let world = world();
        let changed = world.confirm(&inputs(), || change(&world)).unwrap_err();
        let is_named = match &changed {
            Reason::InputChanged(path) => {
                path.to_str().is_some_and(|path| path == *name || name.starts_with(path) || path == "src/*.c")
            }
            _ => false,
        };
        assert!(is_named, "{number} {name}: {changed:?}");
    }
}

#[test]
fn a_young_stamp_that_is_the_same_is_no_proof() {
    let world = world();
    let request = request(&["-i", "f"]);
    let command = world.command(&request);
    let mut before = observe(&request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
    // As if the file had been written twice within one tick of the clock: the stamp is the same, the bytes are not.
    let crate::model::State::File { digest, .. } = &mut before.observations_mut()[0].state else { panic!() };
    *digest = Digest::of(b"0");
    let changed = confirm(&request, &command, &before, &Memory::default(), &[]).unwrap_err();
    assert_eq!(changed, Reason::InputChanged("f".into()));
}

#[test]
fn a_glob_that_loses_its_matches_is_named() {
    let world = world();
    let request = request(&["-i", "src/*.c"]);
    let changed = world.confirm(&request, || world.remove("src/a.c")).unwrap_err();
    assert_eq!(changed, Reason::InputChanged("src/*.c".into()));
}

#[test]
fn the_program_and_its_interpreter_are_watched() {
    let changes: &[Change] = &[
        ("tool", |w| drop(w.script("tool", "#!./sh\n#"))),
        ("tool", |w| w.remove("tool")),
        ("tool", |w| w.mode("tool", 0o700)),
        ("sh", |w| drop(w.script("sh", "#!/bin/sh\n#"))),
    ];
    for (name, change) in changes {
        let world = world();
        world.script("tool", "#!./sh\n");
        world.script("sh", "#!/bin/sh\n");
        let request = Request { argv: words(&["./tool"]), ..request(&["-i", "f"]) };
        assert!(world.confirm(&request, || {}).is_ok());
        match world.confirm(&request, || change(&world)).unwrap_err() {
            Reason::InputChanged(path) | Reason::InputUnreadable(path, _) => {
                assert_eq!(path.file_name(), world.path(name).file_name());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_young_program_is_read_again() {
    let world = world();
    world.script("tool", "#!/bin/sh\n");
    let request = Request { argv: words(&["./tool"]), ..request(&["-i", "f"]) };
    let mut command = world.command(&request);
    let before = observe(&request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
    // As if it had been written twice within one tick of the clock.
    command.watched[0].digest = Digest::of(b"0");
    let changed = confirm(&request, &command, &before, &Memory::default(), &[]).unwrap_err();
    assert_eq!(changed, Reason::InputChanged(command.watched[0].path.clone()));
    command.watched[0].settled = true;
    assert!(confirm(&request, &command, &before, &Memory::default(), &[]).is_ok());
}

#[test]
fn the_file_that_takes_the_place_of_standard_input_is_watched() {
    let world = world();
    let request =
        Request { stdin: StdinRule::From(StdinSource::File(PathBuf::from("src/../f"))), ..request(&["-i", "outside"]) };
    let surroundings =
        Surroundings { stdin: Stdin::From, stdin_content: Some((Digest::of(b"1"), 1)), ..surroundings(world.root()) };
    let command = command(&request, &surroundings, &Memory::default()).unwrap();
    let watched = command.watched.last().unwrap();
    assert_eq!((&watched.path, watched.stamp), (&world.path("f"), stamp::of(&world.path("f")).unwrap()));
    let before = observe(&request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
    let confirm = || confirm(&request, &command, &before, &Memory::default(), &[]);
    assert!(confirm().is_ok());
    world.write("f", "2");
    assert_eq!(confirm().unwrap_err(), Reason::InputChanged(world.path("f")));
}

#[test]
fn one_file_can_be_confirmed_alone() {
    let world = world();
    world.script("tool", "#!/bin/sh\n");
    let request = Request { argv: words(&["./tool"]), ..request(&["-i", "f"]) };
    let mut watched = world.command(&request).watched.remove(0);
    assert_eq!(confirm_file(&watched, &Memory::default()), Ok(()));
    watched.digest = Digest::of(b"0");
    assert_eq!(confirm_file(&watched, &Memory::default()), Err(Reason::InputChanged(watched.path.clone())));
    world.remove("tool");
    assert!(matches!(confirm_file(&watched, &Memory::default()), Err(Reason::InputUnreadable(..))));
}

#[test]
fn a_program_is_looked_at_where_it_lies_whatever_standard_input_is() {
    let world = world();
    world.script("tool", "#!/bin/sh\n");
    let request = Request { argv: words(&["./tool"]), ..request(&["-i", "f"]) };
    let mut command = world.command(&request);
    let before = observe(&request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
    command.stdin = Stdin::File { offset: 0 };
    assert!(confirm(&request, &command, &before, &Memory::default(), &[]).is_ok());
}
