//! Commands that read nothing but what their arguments name.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::key::ObserveError;
use crate::model::{Reason, Request};

use super::world::{World, shown, words};

fn pure(arguments: &[&str]) -> Request {
    Request { argv: words(&[&["/bin/true"], arguments].concat()), pure: true, ..Request::default() }
}

#[test]
fn arguments_are_paths() {
    let world = World::new();
    world.write("one", "1");
    world.write("two", "2");
    world.write("folder/inside", "3");
    let seen = world.observe(&pure(&["-c", "one", "--file=two", "@one", "folder", "one", ""]));
    let expected = ["--file=two absent", "-c absent", "@one absent", "folder/", "folder/inside", "one", "two"];
    assert_eq!(shown(&seen), expected);
    assert!(shown(&world.observe(&pure(&[]))).is_empty());
}

#[test]
fn the_program_is_no_argument() {
    let world = World::new();
    world.script("tool", "#!/bin/sh\n");
    let request = Request { argv: words(&["./tool"]), pure: true, ..Request::default() };
    assert!(world.observe(&request).is_empty());
}

#[test]
fn a_folder_that_holds_too_much_is_refused() {
    let world = World::new();
    world.folder("folder");
    for number in 0..10_001 {
        fs::write(world.path("folder").join(number.to_string()), "").unwrap();
    }
    match world.try_observe(&pure(&["folder"])) {
        Err(ObserveError::TooMany(path)) => assert_eq!(path, Path::new("folder")),
        other => panic!("{other:?}"),
    }
    world.remove("folder/0");
    assert_eq!(world.observe(&pure(&["folder"])).len(), 10_001);
}

#[test]
fn nothing_may_be_left_in_the_folders() {
    let changes: &[fn(&World)] = &[
        |w| drop(w.write("made", "")),
        |w| drop(w.write("there/made", "")),
        |w| drop(w.write("there/f", "2")),
        |w| w.remove("beside"),
        |w| drop(w.write("deep/er/made", "")),
        |w| fs::rename(w.path("there/g"), w.path("there/h")).unwrap(),
        // As if something had been made and removed again.
        |w| fs::File::open(w.path("there")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
        |w| fs::File::open(w.path("deep/er")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
        |w| fs::File::open(w.root()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let world = World::new();
        for name in ["there/f", "there/g", "beside", "deep/er/f"] {
            world.write(name, "1");
        }
        let request = pure(&["there/f", "deep/er", "no/where"]);
        assert!(world.confirm(&request, || {}).is_ok(), "{number}");
        let changed = world.confirm(&request, || change(&world));
        assert!(matches!(changed, Err(Reason::InputChanged(_))), "{number}: {changed:?}");
    }
}
