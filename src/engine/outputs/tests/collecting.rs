//! What is collected, and what is refused.

use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn files_folders_and_links_in_the_order_of_a_replay() {
    let (world, shelf) = (World::new(), Memory::default());
    world
        .write("late", "22")
        .write("out/b/early", "1")
        .write("out/same2", "")
        .write("out/same1", "")
        .folder("out/none");
    world.link("out/l", "b/early").link("dangling", "nowhere");
    world.mode("late", 0o755).mode("out", 0o750).mode("out/b", 0o755).mode("out/none", 0o700);
    for name in ["out/b/early", "out/same2", "out/same1"] {
        world.mode(name, 0o640);
    }
    world.touch("late", 9_000).touch("out/b/early", 1_000).touch("out/same1", 5_000).touch("out/same2", 5_000);
    let outputs = world.collect(&["late", "out", "dangling", "gone", "no/folder/x", "late/x"], &shelf);
    assert_eq!(
        told(&outputs),
        [
            "out folder 750",
            "out/b folder 755",
            "out/none folder 700",
            "out/b/early file 640 1",
            "out/same1 file 640 0",
            "out/same2 file 640 0",
            "late file 755 2",
            "dangling link nowhere",
            "out/l link b/early",
            "gone absent",
            "late/x absent",
            "no/folder/x absent",
        ]
    );
    let OutputKind::File { modified, .. } = outputs[3].kind else { panic!() };
    assert_eq!(modified, 1_000);
}

#[test]
fn an_owned_folder_is_marked_whoever_names_it_first() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("out").mode("out", 0o755);
    for words in [["out/", "out"], ["out", "out/"]] {
        assert_eq!(told(&world.collect(&words, &shelf)), ["out owned folder 755"]);
    }
    assert_eq!(told(&world.collect(&["gone/"], &shelf)), ["gone absent"]);
}

#[test]
fn globs_take_what_matches_and_nothing_else() {
    let (world, shelf) = (World::new(), Memory::default());
    for path in ["a.o", "b.c", "sub/c.o", "sub/deep/d.o", "e.o.d/inside", ".fleche-1-1"] {
        world.write(path, "x");
    }
    let paths = |word: &str| -> Vec<String> {
        world.collect(&[word], &shelf).iter().map(|output| output.path.display().to_string()).collect()
    };
    assert_eq!(paths("*.o"), ["a.o"]);
    assert_eq!(paths("**/*.o"), ["a.o", "sub/c.o", "sub/deep/d.o"]);
    assert_eq!(paths("sub/{c,deep/d}.o"), ["sub/c.o", "sub/deep/d.o"]);
    assert_eq!(paths("*.d"), ["e.o.d", "e.o.d/inside"]);
    assert_eq!(paths("sub/*"), ["sub/deep", "sub/c.o", "sub/deep/d.o"]);
    assert_eq!(paths("*b/*.o"), ["sub/c.o"]);
    assert_eq!(paths("*b/d*/*.o"), ["sub/deep/d.o"]);
    assert_eq!(paths("*.fleche*"), [""; 0]);
    assert_eq!(paths(".*"), [""; 0]);
    assert_eq!(paths("none*"), [""; 0]);
    assert_eq!(paths("none/*"), [""; 0]);
    assert_eq!(paths("a.o/*"), [""; 0]);
    world.write("odd[1]", "x");
    assert_eq!(paths("odd[1]"), ["odd[1]"]);
}

#[test]
fn places_outside_the_root_have_absolute_paths() {
    let (world, shelf) = (World::new(), Memory::default());
    let outside = world.outside();
    world.write("../outside/one", "1").write("../outside/dir/two", "2").write("inside", "3");
    world.touch("../outside/one", 1_000).touch("../outside/dir/two", 2_000);
    let outputs = world.collect(&["../outside/one", &format!("{outside}/dir/"), "../*/i*", "../r*"], &shelf);
    let paths: Vec<&Path> = outputs.iter().map(|output| output.path.as_path()).collect();
    let at = |path: &str| Path::new(&outside).join(path);
    assert_eq!(paths, [at("dir"), at("one"), at("dir/two")]);
    assert_eq!(told(&world.collect(&["/dev/null"], &shelf)), [""; 0]);
}

#[test]
fn odd_names_and_thousands_of_files_are_exact() {
    let (world, shelf) = (World::new(), Memory::default());
    let long = "n".repeat(255);
    let odd = [OsStr::from_bytes(b"\xff\xfe"), OsStr::new("new\nline"), OsStr::new("-rf *"), OsStr::new(&long)];
    for name in odd {
        world.write(Path::new("out").join(name), "odd");
    }
    for number in 0..3000 {
        world.write(format!("out/many/{number}"), number.to_string());
    }
    let outputs = world.collect(&["out/"], &shelf);
    assert_eq!(outputs.len(), 2 + odd.len() + 3000);
    let copy = World::new();
    copy.restore(&["out/"], &outputs, &shelf).unwrap();
    assert_eq!(copy.snapshot(), world.snapshot());
}

#[test]
fn depth_has_a_limit_and_no_other() {
    let (world, shelf) = (World::new(), Memory::default());
    let name = "d".repeat(200);
    let nested = |levels: usize| vec![name.as_str(); levels].join("/");
    // Longer than any path that a system call takes, so it is made step by step.
    let mut folder = crate::sys::beneath::Beneath::open(&world.root()).unwrap();
    for _ in 0..64 {
        folder.create_folder(OsStr::new(&name), 0o755).unwrap();
        folder = folder.open_folder(Path::new(&name)).unwrap();
    }
    let outputs = world.collect(&[&nested(1)], &shelf);
    assert_eq!(outputs.len(), 64);
    let copy = World::new();
    copy.restore(&[&nested(1)], &outputs, &shelf).unwrap();
    assert_eq!(told(&copy.collect(&[&nested(1)], &shelf)), told(&outputs));
    folder.create_folder(OsStr::new("e"), 0o755).unwrap();
    assert!(world.refused(&[&nested(1)]).ends_with("is nested more than 64 folders deep"));
    assert!(world.refused(&["**/e"]).ends_with("is nested more than 64 folders deep"));
}

#[test]
fn what_cannot_be_stored_is_named() {
    let world = World::new();
    world.write("out/setuid", "").mode("out/setuid", 0o4755);
    assert_eq!(world.refused(&["out/"]), "output `out/setuid` has the setuid bit");
    assert_eq!(world.refused(&["out/set*"]), "output `out/setuid` has the setuid bit");
    world.mode("out/setuid", 0o2755);
    assert_eq!(world.refused(&["out/setuid"]), "output `out/setuid` has the setgid bit");
    world.folder("tmp").mode("tmp", 0o1777);
    assert_eq!(world.refused(&["tmp"]), "output `tmp` has the sticky bit");
    rustix::fs::mkfifoat(rustix::fs::CWD, world.at("fifo"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(world.refused(&["fifo"]), "output `fifo` is a FIFO");
    assert_eq!(world.refused(&["fi*"]), "output `fifo` is a FIFO");
    let _socket = UnixListener::bind(world.at("socket")).unwrap();
    assert_eq!(world.refused(&["socket"]), "output `socket` is a socket");
    assert_eq!(world.refused(&["/dev/zero"]), "output `/dev/zero` is a device");
    world.write("file", "");
    assert_eq!(world.refused(&["file/"]), "output `file` is a file, not a folder");
    world.folder("real").link("owned", "real");
    assert_eq!(world.refused(&["owned/"]), "output `owned` is a symbolic link, not a folder");
}

#[test]
fn nothing_is_collected_through_a_link() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("real/sub/x", "x").link("alias", "real").link("real/again", "sub").write("../outside/y", "y");
    world.link("away", "../outside");
    let behind = |path: &str, link: &str| format!("output `{path}` lies behind the symbolic link `{link}`");
    assert_eq!(world.refused(&["alias/sub/x"]), behind("alias/sub/x", "alias"));
    assert_eq!(world.refused(&["real/again/x"]), behind("real/again/x", "real/again"));
    assert_eq!(world.refused(&["alias/sub/gone"]), behind("alias/sub/gone", "alias"));
    assert_eq!(world.refused(&["alias/*"]), behind("alias/*", "alias"));
    assert_eq!(world.refused(&["away/y"]), behind("away/y", "away"));
    assert_eq!(world.refused(&["away"]), "output `away` is a link that leads out of the project: `../outside`");
    assert_eq!(told(&world.collect(&["**/x"], &shelf)).len(), 1);
    assert_eq!(told(&world.collect(&["real"], &shelf)).len(), 4);
    // The user may name an outside folder by a link, but what is below it is not reached by one.
    let outside = world.outside();
    world.link("../outside/named", "../root/real").link("../outside/here", ".");
    assert_eq!(world.collect(&[&format!("{outside}/here/y")], &shelf).len(), 1);
    assert!(world.refused(&[&format!("{outside}/here/")]).ends_with("is a symbolic link, not a folder"));
}

#[test]
fn links_that_lead_out_are_refused_wherever_they_are() {
    for (target, why) in [
        ("../../x", "is a link that leads out of the project: `../../x`"),
        ("/etc/passwd", "is a link that leads out of the project: `/etc/passwd`"),
        ("a/../../../x", "is a link that leads through `..`: `a/../../../x`"),
    ] {
        let world = World::new();
        world.folder("out").link("out/l", target);
        for word in ["out/", "out", "out/l", "out/*"] {
            assert_eq!(world.refused(&[word]), format!("output `out/l` {why}"));
        }
    }
}

#[test]
fn what_changes_while_it_is_copied_is_refused() {
    let world = World::new();
    world.write("a", "before");
    let shelf = Memory::default();
    let path = world.at("a");
    *shelf.while_ingesting.borrow_mut() = Some(Box::new(move || fs::write(&path, "behind and longer").unwrap()));
    let refused = collect_at_all(&world.places(&["a"]), &shelf);
    assert_eq!(refused.unwrap_err().to_string(), "output `a` changed while it was copied");
}

/// What somebody does.
type Deed = fn(&World);

#[test]
fn what_somebody_does_elsewhere_while_a_file_is_copied_is_refused() {
    let deeds: [(Deed, &str); 5] = [
        (|world| _ = world.write("late", "new"), "late"),
        (|world| _ = world.write("out/new", "new"), "out/new"),
        (|world| _ = world.write("out/was", "more"), "out/was"),
        (|world| fs::remove_file(world.at("out/was")).unwrap(), "out/was"),
        (|world| _ = world.link("out/l", "was"), "out/l"),
    ];
    for (deed, path) in deeds {
        let world = std::rc::Rc::new(World::new());
        world.write("a", "a").write("out/was", "1");
        let (shelf, there) = (Memory::default(), std::rc::Rc::clone(&world));
        let is_done = Cell::new(false);
        *shelf.while_ingesting.borrow_mut() = Some(Box::new(move || {
            if !is_done.replace(true) {
                deed(&there);
            }
        }));
        let refused = collect_at_all(&world.places(&["a", "late", "out/"]), &shelf).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("output `{path}` ")), "{refused}");
        shelf.while_ingesting.take();
    }
}

#[test]
fn what_was_written_after_the_command_had_ended_is_refused() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("a", "late");
    let changed = fs::metadata(world.at("a")).unwrap();
    let changed = changed.ctime() * 1_000_000_000 + changed.ctime_nsec();
    let before = Before::default();
    let collected = |ended| {
        let bounds = Bounds { before: &before, ended, most: MOST, inputs: 0o777 };
        collect(&world.places(&["a"]), &bounds, &nothing(), &nothing(), &shelf).map(|outputs| outputs.len())
    };
    assert_eq!(collected(changed), Ok(1));
    let refused = collected(changed - 1).unwrap_err().to_string();
    assert_eq!(refused, "output `a` changed after the command had ended");
}

#[test]
fn a_file_above_the_limit_is_too_large() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("a", "12345");
    let places = world.places(&["a"]);
    let before = Before::default();
    let bounds = |most| Bounds { before: &before, ended: i64::MAX, most, inputs: 0o777 };
    let collected = |most| collect(&places, &bounds(most), &nothing(), &nothing(), &shelf).map(|_| ());
    assert_eq!(collected(4), Err(Reason::TooLarge(4)));
    assert_eq!(collected(5), Ok(()));
}

#[test]
fn where_not_all_was_seen_before_the_run_nothing_is_stored() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("a", "1").folder(&format!("d/{}", vec!["d"; 65].join("/")));
    let places = world.places(&["d", "a"]);
    let before = super::super::before::before(&places);
    fs::remove_dir_all(world.at("d")).unwrap();
    world.write("d/x", "x").write("a", "2");
    let bounds = Bounds { before: &before, ended: i64::MAX, most: MOST, inputs: 0o777 };
    let refused = collect(&places, &bounds, &nothing(), &nothing(), &shelf).unwrap_err().to_string();
    assert!(refused.ends_with("is nested more than 64 folders deep"), "{refused}");
}

#[test]
fn a_mode_that_this_run_gave_a_folder_is_stored() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("d").mode("d", 0o755);
    let places = world.places(&["d"]);
    let before = super::super::before::before(&places);
    let former = Former::known(|| Former::of([&[folder("d", 0o750)][..]]));
    let bounds = Bounds { before: &before, ended: i64::MAX, most: MOST, inputs: 0o777 };
    let collected = || collect(&places, &bounds, &former, &nothing(), &shelf).map(|outputs| told(&outputs));
    let refused = collected().unwrap_err().to_string();
    assert_eq!(refused, "output `d` kept a mode that no recorded run gave it");
    world.mode("d", 0o700);
    assert_eq!(collected().unwrap(), ["d folder 700"]);
}

#[test]
fn what_a_killed_restore_left_is_removed_where_something_was_stored() {
    let (world, shelf) = (World::new(), Memory::default());
    let own = crate::sys::temporary::name().into_string().unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let number = |process: u32| format!("-{process}-");
    let dead = own.replace(&number(std::process::id()), &number(child.id()));
    assert_ne!(own, dead);
    for name in [&own, &dead] {
        world.write(format!("out/{name}"), "half").write(format!("elsewhere/{name}"), "half");
    }
    world.write("out/a", "a");
    assert_eq!(world.collect(&["out/a"], &shelf).len(), 1);
    let left: Vec<PathBuf> = world.snapshot().into_keys().filter(|path| path.ends_with(&dead)).collect();
    assert_eq!(left, [Path::new("elsewhere").join(&dead)]);
    assert!(world.at(format!("out/{own}")).exists());
}

#[test]
fn a_program_with_capabilities_is_refused() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("a", "x").mode("a", 0o755);
    // To be bound to low ports, permitted; see capabilities(7).
    let capability = [0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(world.at("a"), c"security.capability", &capability, flags).is_err() {
        return eprintln!("skipped: capabilities cannot be given here");
    }
    assert_eq!(world.refused(&["a"]), "output `a` has capabilities");
    world.mode("a", 0o644);
    assert_eq!(world.collect(&["a"], &shelf).len(), 1);
}
