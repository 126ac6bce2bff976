//! What a restore leaves.

use proptest::prelude::*;

use super::*;

#[test]
fn a_tree_comes_back_with_modes_links_and_empty_folders() {
    for as_files in [false, true] {
        let world = World::new();
        let shelf = Memory { as_files, ..Memory::default() };
        world.write("out/a", "a").write("out/b/c", "x".repeat(100_000)).folder("out/none").link("out/l", "b/c");
        world.write("read-only", "").mode("read-only", 0o444).mode("out/b", 0o511).mode("out", 0o500);
        let words = ["out/", "read-only"];
        let outputs = world.collect(&words, &shelf);
        let copy = World::new();
        assert_eq!(copy.restore(&words, &outputs, &shelf), Ok(Restored::default()));
        assert_eq!(copy.snapshot(), world.snapshot());
        // Again, over what is there, where the folders can be written.
        world.mode("out", 0o700).mode("out/b", 0o700);
        copy.mode("out", 0o700).mode("out/b", 0o711).write("out/a", "other").mode("out/a", 0o600);
        fs::remove_file(copy.at("out/l")).unwrap();
        copy.link("out/l", "a");
        let modes: Vec<u32> = ["out", "out/b", "out/a"].map(|path| fs::metadata(copy.at(path)).unwrap().mode()).into();
        assert!(copy.restore(&words, &outputs, &shelf).is_err());
        assert_eq!(modes, ["out", "out/b", "out/a"].map(|path| fs::metadata(copy.at(path)).unwrap().mode()));
        // A file keeps the mode that it has: whoever gave it that. A folder may have one that a former call gave it.
        let former = copy.collect(&words, &shelf);
        assert!(copy.restore_after(&words, &outputs, &shelf, &[&former]).is_err());
        copy.mode("out/a", 0o644);
        assert_eq!(copy.restore_after(&words, &outputs, &shelf, &[&former]), Ok(Restored::default()));
        world.mode("out/b", 0o511).mode("out", 0o500);
        assert_eq!(copy.snapshot(), world.snapshot());
        for world in [&world, &copy] {
            world.mode("out", 0o700).mode("out/b", 0o700);
        }
    }
}

#[test]
fn missing_folders_are_made() {
    let (world, shelf) = (World::new(), Memory::default());
    let outside = world.outside();
    world.write("deep/er/x", "1").write("../outside/new/er/y", "2");
    let words = ["deep/er/x", &format!("{outside}/new/er/y")];
    let outputs = world.collect(&words, &shelf);
    let before = world.snapshot();
    for path in ["deep", "../outside/new"] {
        fs::remove_dir_all(world.at(path)).unwrap();
    }
    world.restore(&words, &outputs, &shelf).unwrap();
    assert_eq!(world.snapshot(), before);
}

#[test]
fn restored_files_are_copies_of_their_own() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("a", "mine");
    fs::hard_link(world.at("a"), world.at("b")).unwrap();
    let outputs = world.collect(&["a", "b"], &shelf);
    fs::remove_file(world.at("a")).unwrap();
    world.restore(&["a", "b"], &outputs, &shelf).unwrap();
    for path in ["a", "b"] {
        assert_eq!(fs::metadata(world.at(path)).unwrap().nlink(), 1);
    }
    world.write("a", "edited");
    assert_eq!(fs::read(world.at("b")).unwrap(), b"mine");
}

#[test]
fn modification_times_are_now_in_the_recorded_order() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("probe", "");
    let start = world.modified("probe");
    let (z, m, a, tied) = (shelf.file("z", "1"), shelf.file("m", "2"), shelf.file("a", "3"), shelf.file("tied", "4"));
    let mut outputs = vec![a, tied, m, z];
    for (output, time) in outputs.iter_mut().zip([30, 30, 20, 10]) {
        let OutputKind::File { modified, .. } = &mut output.kind else { panic!() };
        *modified = time;
    }
    // Many times, because a tick of the kernel's clock may fall between two files.
    for _ in 0..300 {
        world.restore(&[], &outputs, &shelf).unwrap();
        let [z, m, a, tied] = ["z", "m", "a", "tied"].map(|path| world.modified(path));
        assert!(start <= z && z <= m && m <= a && a == tied);
    }
    restore(&world.places(&[]), &outputs, &shelf, Mtime::Recorded, &nothing(), &NO_INPUTS).unwrap();
    assert_eq!(["z", "m", "a", "tied"].map(|path| world.modified(path)), [10, 20, 30, 30]);
}

#[test]
fn keep_leaves_only_what_is_right_already() {
    let (world, shelf) = (World::new(), Memory::default());
    let names = ["same", "mode", "bytes", "size"];
    for name in names {
        world.write(name, name).mode(name, 0o644);
    }
    let outputs = world.collect(&names, &shelf);
    world.mode("mode", 0o600).write("bytes", "BYTES").write("size", "s");
    for name in names {
        world.touch(name, 5);
    }
    // A right file needs no value.
    shelf.values.borrow_mut().remove(&Digest::of(b"same"));
    let keep = |former: &Known| restore(&world.places(&names), &outputs, &shelf, Mtime::Keep, former, &NO_INPUTS);
    let former = [shelf.file("mode", "mode").of_mode(0o600)];
    assert!(keep(&nothing()).is_err());
    assert!(keep(&Former::known(|| Former::of([&former[..]]))).is_err());
    world.mode("mode", 0o644).touch("mode", 5);
    keep(&nothing()).unwrap();
    assert_eq!((world.modified("same"), world.modified("mode")), (5, 5));
    for name in &names[2..] {
        assert!(world.modified(name) > 5, "{name}");
        assert_eq!(fs::read_to_string(world.at(name)).unwrap(), *name);
        assert_eq!(fs::metadata(world.at(name)).unwrap().mode() & 0o777, 0o644);
    }
}

#[test]
fn an_absent_output_goes_only_if_the_command_made_it() {
    let (world, shelf) = (World::new(), Memory::default());
    let record = [absent("mine"), absent("yours"), absent("l"), absent("none"), absent("dir"), absent("no/where")];
    let former = [
        shelf.file("mine", "made"),
        shelf.file("yours", "made"),
        link("l", "mine"),
        folder("dir", 0o755),
        shelf.file("dir/x", "x"),
    ];
    world.write("mine", "made").link("l", "mine").write("dir/x", "x");
    world.restore_after(&[], &record, &shelf, &[&former]).unwrap();
    assert_eq!(world.snapshot(), BTreeMap::new());
    // With something by hand among it nothing goes: the command has to say what becomes of it.
    for (by_hand, why) in [("yours", "yours"), ("dir/y", "dir/y"), ("dir/new/y", "dir/new")] {
        world.write("mine", "made").write("dir/x", "x").write(by_hand, "written by hand");
        let before = world.snapshot();
        let refused = world.restore_after(&[], &record, &shelf, &[&former]).unwrap_err().to_string();
        let said = "is there, but the recorded run had none, and no recorded run made it";
        assert_eq!(refused, format!("its outputs cannot be restored: `{why}` {said}"));
        assert_eq!(world.snapshot(), before);
        fs::remove_dir_all(world.at("dir")).unwrap();
        let _ = fs::remove_file(world.at("yours"));
    }
    // Nor without any former call.
    assert!(world.restore(&[], &record, &shelf).is_err());
    assert!(world.at("mine").exists());
}

#[test]
fn kinds_change_only_between_what_the_command_made() {
    let (world, shelf) = (World::new(), Memory::default());
    let (as_file, as_link) = ([shelf.file("x", "text")], [link("x", "target")]);
    world.write("x", "text");
    let refused = world.restore(&["x"], &as_link, &shelf).unwrap_err().to_string();
    assert_eq!(refused, "its outputs cannot be restored: `x` is a file, but a symbolic link was recorded");
    world.restore_after(&["x"], &as_link, &shelf, &[&as_file]).unwrap();
    assert_eq!(told(&world.collect(&["x"], &shelf)), told(&as_link));
    // A file may have been written through the link.
    let refused = world.restore_after(&["x"], &as_file, &shelf, &[&as_link]).unwrap_err().to_string();
    assert_eq!(refused, "its outputs cannot be restored: `x` is a symbolic link, but a file was recorded");
}

#[test]
fn a_hit_touches_nothing_where_nothing_is_recorded() {
    let (world, shelf) = (World::new(), Memory::default());
    let places = Places::of(&["x".into()], Path::new("/nowhere"), Path::new("/nowhere")).unwrap();
    assert_eq!(restore(&places, &[], &shelf, Mtime::Now, &nothing(), &NO_INPUTS), Ok(Restored::default()));
    assert!(world.snapshot().is_empty());
}

/// Something in a tree.
#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>, u32, i64),
    Folder(u32),
    Link,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(vec![&b"a"[..], b"b", b"c", b"a.o", b"\xff", b"x\ny", b" ", b"..."])
            .prop_map(<[u8]>::to_vec),
        Just(vec![b'n'; 255]),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => (proptest::collection::vec(any::<u8>(), 0..40), 0..0o200u32, 0..5i64)
            .prop_map(|(bytes, mode, time)| Node::File(bytes, mode | 0o600, time * 1_000_000_000)),
        2 => (0..0o100u32).prop_map(|mode| Node::Folder(mode | 0o700)),
        1 => Just(Node::Link),
    ]
}

fn grow(world: &World, nodes: &[(Vec<Vec<u8>>, Node)]) {
    for (names, node) in nodes {
        let below: PathBuf = names.iter().map(|name| OsStr::from_bytes(name)).collect();
        let path = world.at("tree").join(&below);
        // A path below a file or link, or taken already, is not part of the tree.
        let is_free =
            path.ancestors().skip(1).all(|above| !fs::symlink_metadata(above).is_ok_and(|status| !status.is_dir()));
        if !is_free || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match node {
            Node::File(bytes, mode, time) => {
                fs::write(&path, bytes).unwrap();
                world.touch(&path, *time).mode(&path, *mode);
            }
            Node::Folder(mode) => {
                fs::create_dir(&path).unwrap();
                world.mode(&path, *mode);
            }
            Node::Link => symlink("../".repeat(below.components().count() - 1) + "some/where", &path).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(crate::laws::drawn(100))]

    #[test]
    fn what_is_collected_is_what_is_restored(
        nodes in proptest::collection::vec((proptest::collection::vec(name(), 1..5), node()), 0..30),
        before in proptest::collection::vec((proptest::collection::vec(name(), 1..3), node()), 0..3),
    ) {
        let (world, copy, shelf) = (World::new(), World::new(), Memory::default());
        world.folder("tree");
        grow(&world, &nodes);
        let outputs = world.collect(&["tree/"], &shelf);
        copy.restore(&["tree/"], &outputs, &shelf).unwrap();
        prop_assert_eq!(copy.snapshot(), world.snapshot());
        let mut files: Vec<(i64, i64)> = outputs.iter()
            .filter(|output| matches!(output.kind, OutputKind::File { .. }))
            .map(|output| (world.modified(&output.path), copy.modified(&output.path)))
            .collect();
        files.sort_unstable();
        prop_assert!(files.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        prop_assert!(files.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1));

        // Into a tree that a former call has grown: what is recorded, or nothing at all.
        let other = World::new();
        other.folder("tree");
        grow(&other, &before);
        let untouched = other.snapshot();
        let former = other.collect(&["tree/"], &shelf);
        match other.restore_after(&["tree/"], &outputs, &shelf, &[&former]) {
            Err(_) => prop_assert_eq!(other.snapshot(), untouched),
            Ok(_) => {
                let after = other.snapshot();
                for (path, thing) in world.snapshot() {
                    prop_assert_eq!(after.get(&path), Some(&thing));
                }
            }
        }
    }
}

#[test]
fn a_stranger_below_an_input_folder_is_looked_for_in_the_outputs_there() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("src/out/a", "1");
    let outputs = world.collect(&["src/out"], &shelf);
    world.write("src/out/b", "2").write("src/out/sub/c", "3");
    let state = crate::model::State::Folder { mode: 0o755 };
    let seen = |path: &str| {
        [crate::model::Observation { path: path.into(), facet: Default::default(), state: state.clone(), stamp: None }]
    };
    for (path, is_restored) in
        [("src", false), (".", false), ("src/out/sub", false), ("src/out/below", true), ("other", true)]
    {
        let seen = seen(path);
        let inputs = Inputs { words: &[], observations: &|| &seen };
        let restored = restore(&world.places(&["src/out"]), &outputs, &shelf, Mtime::Now, &nothing(), &inputs);
        assert_eq!(restored.is_ok(), is_restored, "{path} {restored:?}");
    }
}

#[test]
fn a_folder_that_nobody_may_enter_is_restored() {
    let (world, shelf) = (World::new(), Memory::default());
    for mode in [0, 0o500, 0o755] {
        let path = format!("d{mode}");
        world.restore(&[], &[folder(&path, mode)], &shelf).unwrap();
        assert_eq!(fs::metadata(world.at(&path)).unwrap().mode() & 0o777, mode);
        world.mode(&path, 0o755);
    }
}
