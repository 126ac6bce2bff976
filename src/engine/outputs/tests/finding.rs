//! What is found after a watched run, and what is refused.

use std::os::unix::net::UnixListener;

use super::edits::{Edits, Look};
use super::*;
use crate::model::Glimpse;
use crate::sys::clock;

fn refused(edits: &Edits) -> String {
    edits.found(&Memory::default()).unwrap_err().to_string()
}

#[test]
fn what_was_made_changed_and_taken_away_is_found_in_the_order_of_a_replay() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("changed", "1").write("same", "2").write("gone", "3").write("left/x", "4").link("old", "left");
    world.mode("left", 0o755).mode("changed", 0o640);
    let mut edits = Edits::of(&world);
    edits.make_folder("new").write("new/late", "22", Look::Unread).write("early", "1", Look::Unread);
    edits.append("changed", "+").remove("gone").link("new/l", "late").remove("old").make_folder("left");
    edits.write("temporary", "", Look::Unread).remove("temporary").touch("same").seen.content = true;
    edits.touch("nothing").made.changed = true;
    world.mode("new", 0o700).mode("new/late", 0o600).mode("early", 0o755);
    world.touch("early", 1_000).touch("changed", 5_000).touch("new/late", 9_000);
    assert_eq!(
        told(&edits.found(&shelf).unwrap()),
        [
            "new folder 700",
            "early file 755 1",
            "changed file 640 2",
            "new/late file 600 2",
            "new/l link late",
            "gone absent",
            "old absent",
        ]
    );
}

#[test]
fn what_was_touched_and_is_as_it_was_is_no_output() {
    let world = World::new();
    world.write("file", "1").link("link", "file").folder("folder/below");
    let mut edits = Edits::of(&world);
    for path in ["file", "link", "folder", "folder/below"] {
        let made = &mut edits.touch(path).made;
        (made.changed, made.own) = (true, true);
    }
    // What is in a folder changes it, and is told apart.
    edits.make_folder("folder/new");
    fs::remove_dir(world.at("folder/new")).unwrap();
    assert_eq!(edits.found(&Memory::default()), Ok(Vec::new()));
}

#[test]
fn a_folder_is_found_where_its_mode_changed_or_it_was_made_anew() {
    let world = World::new();
    world.folder("a").folder("b/below").folder("c");
    let mut edits = Edits::of(&world);
    edits.mode("a", 0o711).remove_tree("b").make_folder("b").write("c/x", "", Look::Unread);
    world.mode("b", 0o700).mode("c/x", 0o644);
    assert_eq!(
        told(&edits.found(&Memory::default()).unwrap()),
        ["a folder 711", "b folder 700", "c/x file 644 0", "b/below absent"]
    );
}

#[test]
fn what_was_changed_unseen_is_not_stored() {
    let world = World::new();
    world.write("gone", "1").write("changed", "2").write("dir/x", "3");
    let unseen = |path: &str| Err(Reason::NoImage(world.at(path)));
    for path in ["gone", "changed"] {
        let mut edits = Edits::of(&world);
        edits.remove("gone").append("changed", "+");
        edits.touch(path).image = None;
        assert_eq!(edits.found(&Memory::default()), unseen(path));
        world.write("gone", "1");
    }
    let mut edits = Edits::of(&world);
    edits.rename("dir", "moved").touch("dir/x").image = None;
    assert_eq!(edits.found(&Memory::default()), unseen("dir/x"));
}

#[test]
fn what_is_replaced_unread_needs_not_to_be_known() {
    let world = World::new();
    world.write("x", "1");
    let mut edits = Edits::of(&world);
    edits.write("x", "22", Look::Unread);
    assert_eq!(edits.found(&Memory::default()).unwrap().len(), 1);
}

#[test]
fn writing_outside_is_refused_unless_it_is_gone_or_allowed() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("../outside/old", "1");
    let outside = world.outside();
    let mut edits = Edits::of(&world);
    edits.write("../outside/temporary", "", Look::Unread).remove("../outside/temporary");
    edits.make_folder("../outside").touch("../outside/old").made.changed = true;
    edits.make_folder("../outside/dir").remove_folder("../outside/dir");
    assert_eq!(edits.found(&shelf), Ok(Vec::new()));

    let written = |path: &str| Err(Reason::WrittenOutside(Path::new(&outside).join(path)));
    edits.write("../outside/new", "", Look::Unread);
    assert_eq!(edits.found(&shelf), written("new"));
    let allowed = |folder: &str| Places::watched(&[], &[folder.into()], &world.root(), &world.root()).unwrap();
    let outputs = edits.found_at(&allowed(&outside), &shelf).unwrap();
    assert_eq!(told(&outputs), [format!("{outside}/new file 644 0")]);
    assert_eq!(edits.found_at(&allowed(&format!("{outside}/ne")), &shelf), written("new"));
    let named = Places::watched(&["../outside/n*".into()], &[], &world.root(), &world.root()).unwrap();
    assert_eq!(edits.found_at(&named, &shelf), Ok(outputs));
    edits.append("../outside/old", "+");
    assert_eq!(edits.found_at(&named, &shelf), written("old"));
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let made = |make: &dyn Fn(&World, &mut Edits)| {
        let world = World::new();
        let mut edits = Edits::of(&world);
        make(&world, &mut edits);
        refused(&edits)
    };
    let fifo = |world: &World, edits: &mut Edits| {
        edits.touch("f").made.changed = true;
        rustix::fs::mkfifoat(rustix::fs::CWD, world.at("f"), rustix::fs::Mode::RWXU).unwrap();
    };
    let socket = |world: &World, edits: &mut Edits| {
        edits.touch("s").made.changed = true;
        UnixListener::bind(world.at("s")).unwrap();
    };
    let setuid = |_: &World, edits: &mut Edits| {
        edits.write("x", "", Look::Unread).mode("x", 0o4755);
    };
    let sticky = |_: &World, edits: &mut Edits| {
        edits.make_folder("d").mode("d", 0o1777);
    };
    let out = |_: &World, edits: &mut Edits| {
        edits.link("l", "../outside");
    };
    let large = |_: &World, edits: &mut Edits| {
        edits.write("x", &"x".repeat(MOST as usize + 1), Look::Unread);
    };
    assert_eq!(made(&fifo), "output `f` is a FIFO");
    assert_eq!(made(&socket), "output `s` is a socket");
    assert_eq!(made(&setuid), "output `x` has the setuid bit");
    assert_eq!(made(&sticky), "output `d` has the sticky bit");
    assert_eq!(made(&out), "output `l` is a link that leads out of the project: `../outside`");
    assert_eq!(made(&large), format!("it made more than {MOST} bytes"));
}

#[test]
fn folders_and_files_that_took_each_other_s_place_are_refused() {
    let world = World::new();
    world.folder("d").write("f", "1");
    let mut edits = Edits::of(&world);
    edits.remove_folder("d").write("d", "", Look::Unread);
    assert_eq!(refused(&edits), "output `d` was a folder and is a file now");
    edits.remove("d");
    world.folder("d");
    let mut edits = Edits::of(&world);
    edits.remove("f").make_folder("f").touch("f").made.changed = true;
    assert_eq!(refused(&edits), "output `f` was a file and is a folder now");
}

#[test]
fn names_of_one_file_are_found_only_if_the_run_made_all() {
    let world = World::new();
    world.write("old", "1");
    let mut edits = Edits::of(&world);
    edits.write("a", "x", Look::Unread).hard_link("b", "a");
    assert_eq!(edits.found(&Memory::default()).unwrap().len(), 2);
    fs::hard_link(world.at("a"), world.at("c")).unwrap();
    assert_eq!(refused(&edits), "output `a` has another name as well, by a hard link");
    let mut edits = Edits::of(&world);
    edits.hard_link("another", "old");
    assert_eq!(refused(&edits), "output `another` has another name as well, by a hard link");
}

#[test]
fn what_changes_while_it_is_taken_is_refused() {
    let world = World::new();
    let mut edits = Edits::of(&world);
    edits.make_folder("d").write("d/x", "x", Look::Unread);
    for late in ["d/x", "d/y"] {
        edits.touch("d/y").made.changed = true;
        let late = world.at(late);
        let happens = move || fs::write(&late, "more").unwrap();
        let shelf = Memory { while_ingesting: RefCell::new(Some(Box::new(happens))), ..Memory::default() };
        assert!(matches!(edits.found(&shelf), Err(Reason::OutputUnstorable(..))));
    }
    // Written by somebody whom the command left behind.
    let early = found(&edits.trace, &world.watched(), 0..1, MOST, &Memory::default());
    let why = early.unwrap_err().to_string();
    assert!(why.ends_with("changed after the command had ended"), "{why}");
}

#[test]
fn what_could_not_be_looked_at_before_is_refused_if_it_is_there() {
    let world = World::new();
    let mut edits = Edits::of(&world);
    edits.write("x", "", Look::Unread).touch("x").before = Glimpse::Denied;
    assert_eq!(refused(&edits), "output `x` could not be looked at before the run");
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !crate::sys::identity::is_root() {
        return;
    }
    let world = World::new();
    world.write("old", "1");
    let chown = |path: &str| std::os::unix::fs::chown(world.at(path), Some(12345), None).unwrap();
    let mut edits = Edits::of(&world);
    edits.write("new", "", Look::Unread);
    chown("new");
    assert_eq!(refused(&edits), "output `new` belongs to somebody else");
    let mut edits = Edits::of(&world);
    edits.mode("old", 0o644);
    chown("old");
    assert_eq!(refused(&edits), "output `old` was given to another user or group");
}

#[test]
fn what_was_in_a_folder_that_became_a_link_is_not_found_behind_it() {
    let world = World::new();
    let mut edits = Edits::of(&world);
    edits.make_folder("v1").write("v1/x", "1", Look::Unread).rename("v1", "v2").link("v1", "v2");
    for (path, mode) in [("v2", 0o755), ("v2/x", 0o644)] {
        world.mode(path, mode);
    }
    assert_eq!(told(&edits.found(&Memory::default()).unwrap()), ["v2 folder 755", "v2/x file 644 1", "v1 link v2"]);
}

#[test]
fn temporary_files_of_fleche_are_passed_over() {
    let world = World::new();
    let mut edits = Edits::of(&world);
    edits.make_folder("d").write("d/.fleche-1-1", "", Look::Unread).write(".fleche-1-2", "", Look::Unread);
    edits.rename("d", "e");
    assert_eq!(edits.found(&Memory::default()).unwrap().len(), 1);
}

#[test]
fn what_is_in_a_moved_folder_is_found_and_its_former_place_is_empty() {
    let (world, copy, shelf) = (World::new(), World::new(), Memory::default());
    for world in [&world, &copy] {
        world.write("old/deep/x", "1").write("old/y", "2").link("old/l", "y").folder("old/none");
        world.mode("old/deep", 0o711).touch("old/deep/x", 3_000).touch("old/y", 2_000);
    }
    let mut edits = Edits::of(&world);
    edits.make_folder("own").write("own/z", "3", Look::Unread).rename("own", "made").rename("old", "new");
    world.mode("made", 0o755).mode("new", 0o755).mode("new/none", 0o755);
    for path in ["new/deep/x", "new/y", "made/z"] {
        world.mode(path, 0o644);
    }
    let outputs = edits.found(&shelf).unwrap();
    assert_eq!(
        told(&outputs),
        [
            "made folder 755",
            "new folder 755",
            "new/deep folder 711",
            "new/none folder 755",
            "new/y file 644 1",
            "new/deep/x file 644 1",
            "made/z file 644 1",
            "new/l link y",
            "old absent",
            "old/deep absent",
            "old/deep/x absent",
            "old/l absent",
            "old/none absent",
            "old/y absent",
        ]
    );
    assert_eq!(copy.replay(&outputs, &edits.observations(), &shelf), Ok(Restored::default()));
    assert_eq!(copy.snapshot(), world.snapshot());
    // Moving a file leaves its time as it was.
    assert_eq!(copy.modified("new/y"), 2_000);
    assert_ne!(copy.modified("made/z"), 3_000);
}

#[test]
fn a_time_is_that_of_the_record_only_where_it_was_given() {
    let (world, copy, shelf) = (World::new(), World::new(), Memory::default());
    world.write("moved", "0").touch("moved", 500).write("fresh", "0");
    copy.write("moved", "0").write("fresh", "0");
    let mut edits = Edits::of(&world);
    world.touch("fresh", clock::now());
    edits.write("given", "1", Look::Unread).date("given", 1_000).write("made", "2", Look::Unread);
    edits.write("later", "3", Look::Unread).date("later", 1_000).append("later", "+").rename("moved", "here");
    edits.rename("fresh", "there");
    let outputs = edits.found(&shelf).unwrap();
    let dated: Vec<bool> = outputs
        .iter()
        .filter_map(|output| match output.kind {
            OutputKind::File { dated, .. } => Some(dated),
            _ => None,
        })
        .collect();
    assert_eq!(dated, [true, true, false, false, false]);
    for policy in [Mtime::Now, Mtime::Keep, Mtime::Recorded] {
        let before = clock::now();
        copy.write("moved", "0").write("fresh", "0");
        // What is right but for its time is not left as it is.
        if policy == Mtime::Keep {
            copy.touch("given", 7);
        }
        copy.replay_with(&outputs, &edits.observations(), &shelf, policy).unwrap();
        assert_eq!((copy.modified("given"), copy.modified("here")), (1_000, 500), "{policy:?}");
        if policy == Mtime::Now {
            assert!(copy.modified("made") > before - 20_000_000);
            assert!(copy.modified("later") > before - 20_000_000);
        }
    }
}

#[test]
fn a_place_outside_is_as_it_was_if_it_is_the_same_thing() {
    let world = World::new();
    world.folder("../outside/a").folder("../outside/b");
    for path in ["a", "b"] {
        world.mode(format!("../outside/{path}"), 0o755);
    }
    let outside = PathBuf::from(world.outside());
    let found = |act: &dyn Fn(&mut Edits)| {
        let mut edits = Edits::of(&world);
        for path in ["a", "none"] {
            edits.touch(format!("../outside/{path}")).made.changed = true;
        }
        edits.touch("../outside/none").before = Glimpse::Denied;
        act(&mut edits);
        edits.found(&Memory::default())
    };
    let written = Err(Reason::WrittenOutside(outside.join("a")));
    // What is in a folder changes its time.
    assert_eq!(found(&|_| _ = world.write("../outside/a/x", "x").touch("../outside/a", 5)), Ok(Vec::new()));
    assert_eq!(found(&|_| _ = world.mode("../outside/a", 0o700)), written);
    world.mode("../outside/a", 0o755);
    let swap = |_: &mut Edits| {
        for (from, to) in [("a", "c"), ("b", "a")] {
            fs::rename(outside.join(from), outside.join(to)).unwrap();
        }
    };
    assert_eq!(found(&swap), written);
}

#[test]
fn what_lies_in_a_folder_that_came_from_somewhere_is_found_untouched() {
    let world = World::new();
    world.write("../outside/old/x", "1").write("../outside/old/deep/y", "2");
    let mut edits = Edits::of(&world);
    let made = &mut edits.touch("new").made;
    (made.changed, made.own, made.moved_here) = (true, true, true);
    edits.touch("new/x").made.changed = true;
    fs::rename(Path::new(&world.outside()).join("old"), world.at("new")).unwrap();
    edits.touch("new/x").before = Glimpse::Nothing;
    for (path, mode) in [("new", 0o755), ("new/deep", 0o755), ("new/x", 0o644), ("new/deep/y", 0o644)] {
        world.mode(path, mode);
    }
    let mut outputs = told(&edits.found(&Memory::default()).unwrap());
    outputs.sort_unstable();
    assert_eq!(outputs, ["new folder 755", "new/deep folder 755", "new/deep/y file 644 1", "new/x file 644 1"]);
    // Seen by its own touch and in the folder, it has still one name.
    fs::hard_link(world.at("new/x"), Path::new(&world.outside()).join("other")).unwrap();
    assert_eq!(refused(&edits), "output `new/x` has another name as well, by a hard link");
}

#[test]
fn what_cannot_be_looked_at_afterwards_is_refused() {
    let world = World::new();
    let mut edits = Edits::of(&world);
    let long = format!("{}/x", "x".repeat(300));
    edits.touch(&long).made.changed = true;
    assert!(refused(&edits).ends_with("cannot be used: file name too long"), "{}", refused(&edits));
}

#[test]
fn what_is_no_file_and_gone_is_refused() {
    let world = World::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.at("f"), rustix::fs::Mode::RWXU).unwrap();
    let mut edits = Edits::of(&world);
    edits.remove("f");
    assert_eq!(refused(&edits), "output `f` was a FIFO and is gone");
}

#[test]
fn a_link_has_the_time_of_its_making_or_one_that_it_was_given() {
    let date = |world: &World, modified: i64| {
        let times = crate::sys::beneath::modification(modified);
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, world.at("l"), &times, flags).unwrap();
    };
    let found = |act: &dyn Fn(&World, &mut Edits)| {
        let world = World::new();
        world.link("l", "x");
        date(&world, 500);
        let mut edits = Edits::of(&world);
        edits.touch("l").made.changed = true;
        act(&world, &mut edits);
        edits.found(&Memory::default()).map(|outputs| told(&outputs)).map_err(|why| why.to_string())
    };
    let link = || Ok(vec!["l link x".to_owned()]);
    let given = Err("output `l` was given another time".to_owned());
    assert_eq!(found(&|world, _| date(world, clock::now())), given);
    assert_eq!(
        found(&|world, edits| {
            date(world, 1_000);
            edits.touch("l").made.dated = true;
        }),
        link()
    );
    assert_eq!(
        found(&|world, edits| {
            date(world, clock::now());
            edits.touch("l").made.own = true;
        }),
        link()
    );
    // Another one, that was moved there.
    assert_eq!(
        found(&|world, _| {
            world.link("m", "x");
            fs::rename(world.at("m"), world.at("l")).unwrap();
        }),
        link()
    );
}
