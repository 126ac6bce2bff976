//! Files that are as a replay would leave them are not written again.

use std::os::unix::fs::chown;

use rustix::fs::{XattrFlags, setxattr};

use super::*;

fn inode(world: &World, name: &str) -> u64 {
    fs::metadata(world.at(name)).unwrap().ino()
}

#[test]
fn a_right_file_only_gets_its_time() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("right", "same").write("dated", "same").write("in/deep", "same").touch("dated", 7);
    let names = ["right", "dated", "in/"];
    let mut outputs = world.collect(&names, &shelf);
    for output in &mut outputs {
        if let OutputKind::File { dated, modified, .. } = &mut output.kind
            && output.path == Path::new("dated")
        {
            (*dated, *modified) = (true, 7);
        }
    }
    // Nothing is read from the store.
    shelf.values.borrow_mut().clear();
    for time in [5, 7] {
        let files = ["right", "dated", "in/deep"];
        for name in files {
            world.touch(name, time);
        }
        let before = files.map(|name| inode(&world, name));
        assert_eq!(world.restore(&names, &outputs, &shelf), Ok(Restored::default()));
        assert_eq!(files.map(|name| inode(&world, name)), before);
        assert!(world.modified("right") > 7 && world.modified("in/deep") > 7 && world.modified("dated") == 7);
    }
}

#[test]
fn what_is_not_as_a_new_file_would_be_is_written_anew_or_refused() {
    type Change = fn(&World);
    let changes: [(&str, bool, Change); 5] = [
        ("bytes", true, |world| {
            world.write("f", "SAME");
        }),
        ("attributes", true, |world| {
            setxattr(world.at("f"), "user.note", b"x", XattrFlags::empty()).unwrap();
        }),
        ("another group", true, |world| chown(world.root(), None, Some(12_345)).unwrap()),
        ("another name", false, |world| fs::hard_link(world.at("f"), world.at("g")).unwrap()),
        ("another owner", false, |world| chown(world.at("f"), Some(12_345), None).unwrap()),
    ];
    for (what, is_restored, change) in changes {
        if (what.contains("group") || what.contains("owner")) && !crate::sys::identity::is_root() {
            eprintln!("skipped: {what}: only root gives files away");
            continue;
        }
        let (world, shelf) = (World::new(), Memory::default());
        world.write("f", "same");
        let outputs = world.collect(&["f"], &shelf);
        change(&world);
        world.touch("f", 5);
        let before = inode(&world, "f");
        let restored = world.restore(&["f"], &outputs, &shelf);
        assert_eq!(
            (restored.is_ok(), inode(&world, "f") != before),
            (is_restored, is_restored),
            "{what}: {restored:?}"
        );
        if is_restored {
            assert_eq!(fs::read(world.at("f")).unwrap(), b"same", "{what}");
            assert_eq!(crate::sys::attributes::digest(&world.at("f")), None, "{what}");
        } else {
            assert_eq!(world.modified("f"), 5, "{what}");
        }
    }
}

#[test]
fn a_file_that_only_a_glob_names_is_replaced_if_it_has_the_right_bytes() {
    for (bytes, is_restored) in [("same", true), ("else", false)] {
        let (world, shelf) = (World::new(), Memory::default());
        world.write("f", "same");
        let outputs = world.collect(&["*"], &shelf);
        world.write("f", bytes);
        // It is not as a new one would be.
        setxattr(world.at("f"), "user.note", b"x", XattrFlags::empty()).unwrap();
        let restored = restore(&world.places(&["*"]), &outputs, &shelf, Mtime::Now, &nothing(), &NO_INPUTS);
        assert_eq!(restored.is_ok(), is_restored, "{bytes}: {restored:?}");
    }
}

#[test]
fn a_file_that_is_left_may_have_other_names_and_one_that_is_given_a_time_may_not() {
    for (time, is_restored) in [(5, true), (6, false)] {
        let (world, shelf) = (World::new(), Memory::default());
        world.write("f", "same").touch("f", 5);
        let mut outputs = world.collect(&["f"], &shelf);
        let OutputKind::File { dated, modified, .. } = &mut outputs[0].kind else { panic!() };
        (*dated, *modified) = (true, time);
        fs::hard_link(world.at("f"), world.at("g")).unwrap();
        let restored = restore(&world.places(&["f"]), &outputs, &shelf, Mtime::Keep, &nothing(), &NO_INPUTS);
        assert_eq!((restored.is_ok(), world.modified("g")), (is_restored, 5), "{restored:?}");
    }
}

#[test]
fn a_restore_that_fails_gives_times_back() {
    for number in 0..2 {
        let world = World::new();
        let shelf = Memory { fails_after: Some(number), ..Memory::default() };
        let mut outputs = Vec::new();
        for (place, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            world.write(name, name).touch(name, 5);
            let mut output = shelf.file(name, name);
            if let OutputKind::File { modified, .. } = &mut output.kind {
                *modified = place as i64;
            }
            outputs.push(output);
        }
        world.write("b", "B").write("d", "D").touch("b", 5).touch("d", 5);
        let before = world.snapshot();
        assert!(world.restore(&["a", "b", "c", "d"], &outputs, &shelf).is_err());
        assert_eq!(world.snapshot(), before);
        assert_eq!(["a", "b", "c", "d"].map(|name| world.modified(name)), [5; 4]);
    }
}

#[test]
fn a_file_that_changes_after_it_was_read_is_not_taken_for_right() {
    let (world, shelf) = (std::rc::Rc::new(World::new()), Memory::default());
    world.write("a", "a").write("b", "b");
    let outputs = world.collect(&["a", "b"], &shelf);
    world.write("b", "B");
    // `b` has to be written, and when its value is opened `a`, in place, has been read already.
    let (mut first, mut second) = (outputs[0].clone(), outputs[1].clone());
    for (output, time) in [(&mut first, 2), (&mut second, 1)] {
        let OutputKind::File { modified, .. } = &mut output.kind else { panic!() };
        *modified = time;
    }
    let other = std::rc::Rc::clone(&world);
    *shelf.meanwhile.borrow_mut() = Some((
        0,
        Box::new(move || {
            other.write("a", "other");
        }),
    ));
    let failed = world.restore(&["a", "b"], &[first, second], &shelf).unwrap_err();
    assert!(failed.to_string().contains("changed"), "{failed}");
    assert_eq!(
        (fs::read(world.at("a")).unwrap(), fs::read(world.at("b")).unwrap()),
        (b"other".to_vec(), b"B".to_vec())
    );
}
