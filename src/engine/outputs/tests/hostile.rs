//! Records that no honest run makes, and folders that change under a restore.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

fn refused(world: &World, words: &[&str], outputs: &[Output], shelf: &Memory) -> String {
    let before = world.snapshot();
    let reason = world.restore(words, outputs, shelf).unwrap_err();
    assert_eq!(world.snapshot(), before);
    assert!(matches!(reason, Reason::NotRestored(_)), "{reason:?}");
    reason.to_string()
}

#[test]
fn paths_that_are_not_plain_are_refused_before_anything_is_touched() {
    let (world, shelf) = (World::new(), Memory::default());
    let outside = world.outside();
    world.write("../outside/x", "user's");
    let nul = OsStr::from_bytes(b"a\0b").to_str().unwrap().to_owned();
    let deep = vec!["d"; 65].join("/");
    let paths = [
        "../outside/x",
        "..",
        ".",
        "",
        "a/../../outside/x",
        "a/../b",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "/",
        "//x",
        &nul,
        &deep,
        "/etc/passwd",
        &outside,
        &format!("{outside}/x"),
        &format!("{}/a", world.root().display()),
    ];
    for path in paths {
        for output in [shelf.file(path, "evil"), folder(path, 0o777), link(path, "x"), absent(path)] {
            refused(&world, &["a", "b"], &[shelf.file("first", "1"), output], &shelf);
        }
    }
    for path in ["..", ".", "", "a/../../outside/x", "a/..", "./a", "a/./b", "a//b", "a/", "/", "//x", &nul] {
        let why = refused(&world, &[], &[shelf.file(path, "evil")], &shelf);
        assert!(why.ends_with("is not a path of plain names"), "{path}: {why}");
    }
    assert_eq!(shelf.opened.get(), 0);
}

#[test]
fn absolute_paths_are_allowed_only_where_the_command_line_names_them() {
    let (world, shelf) = (World::new(), Memory::default());
    let outside = world.outside();
    let at = |path: &str| format!("{outside}/{path}");
    let record = [shelf.file(&at("dir/x"), "1")];
    for words in [vec![], vec![at("dir/y")], vec![at("di")], vec![at("dir/x/y")], vec![at("*/y")], vec![at("*.x")]] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused(&world, &words, &record, &shelf);
    }
    // What lies in the root is never absolute, whatever a glob would match.
    let inside = [shelf.file(world.at("x").to_str().unwrap(), "1")];
    refused(&world, &["../**", "../*/x"], &inside, &shelf);
    for word in [at("dir/x"), at("dir/"), at("dir"), at("d*"), at("**/x"), at("*/x")] {
        world.restore(&[&word], &record, &shelf).unwrap();
        assert_eq!(fs::read(at("dir/x")).unwrap(), b"1");
        fs::remove_dir_all(at("dir")).unwrap();
    }
}

#[test]
fn what_the_command_line_does_not_name_is_refused() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("precious", "user's");
    let former = [shelf.file("precious", "user's")];
    for output in
        [shelf.file(".git/hooks/pre-commit", "evil"), folder("new", 0o755), link("l", "a"), absent("precious")]
    {
        let before = world.snapshot();
        let record = [shelf.file("a", "1"), output];
        let why = world.restore_after(&["a", "d/*.o"], &record, &shelf, &[&former]).unwrap_err();
        assert!(why.to_string().ends_with("was recorded, but no `-o` names it"), "{why}");
        assert_eq!(world.snapshot(), before);
    }
    world
        .restore(
            &["a", "d/*.o", "own/"],
            &[shelf.file("a", "1"), shelf.file("d/x.o", "2"), folder("own", 0o755)],
            &shelf,
        )
        .unwrap();
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    let (world, shelf) = (World::new(), Memory::default());
    let x = || shelf.file("a/x", "1");
    refused(&world, &[], &[x(), x()], &shelf);
    let three = [x(), shelf.file("b", "1"), x()];
    assert!(refused(&world, &[], &three, &shelf).ends_with("`a/x` is recorded twice"));
    refused(&world, &[], &[link("a", "b"), x()], &shelf);
    refused(&world, &[], &[shelf.file("a", "1"), x()], &shelf);
    refused(&world, &[], &[absent("a"), x()], &shelf);
    refused(
        &world,
        &[],
        &[x(), Output { path: "s".into(), kind: OutputKind::Folder { mode: 0o4755, owned: false, dated: None } }],
        &shelf,
    );
    for target in ["../outside", "/etc", "a/../..", ""] {
        refused(&world, &[], &[x(), link("l", target)], &shelf);
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("../outside/x", "user's").link("away", "../outside").folder("real").link("alias", "real");
    world.link("one", "two").link("two", "../outside").link("final", "../outside/x");
    for path in ["away/x", "away/new", "away/deep/new", "one/x", "alias/x", "alias/deep/x"] {
        for output in [shelf.file(path, "evil"), folder(path, 0o777), link(path, "x"), absent(path)] {
            let why = refused(&world, &["away", path], &[output], &shelf);
            assert!(why.contains("lies behind the symbolic link"), "{why}");
        }
    }
    let why = refused(&world, &["final"], &[shelf.file("final", "evil")], &shelf);
    assert!(why.ends_with("`final` is a symbolic link, but a file was recorded"), "{why}");
    refused(&world, &[], &[folder("away", 0o755), shelf.file("away/x", "evil")], &shelf);
    // An owned folder that became a link is not swept.
    let owned = Output { path: "away".into(), kind: OutputKind::Folder { mode: 0o755, owned: true, dated: None } };
    refused(&world, &["away/"], &[owned], &shelf);
    // A link that is in the record itself is made last, and by then its place is taken.
    refused(&world, &[], &[link("l", "real"), shelf.file("l/x", "evil")], &shelf);
}

#[test]
fn files_and_folders_are_not_taken_for_each_other() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("folder/user", "1").write("file", "2");
    rustix::fs::mkfifoat(CWD, world.at("fifo"), rustix::fs::Mode::RWXU).unwrap();
    refused(&world, &[], &[shelf.file("folder", "evil")], &shelf);
    refused(&world, &[], &[link("folder", "file")], &shelf);
    refused(&world, &[], &[folder("file", 0o755)], &shelf);
    refused(&world, &[], &[shelf.file("file/x", "evil")], &shelf);
    refused(&world, &[], &[shelf.file("fifo", "evil")], &shelf);
    refused(&world, &[], &[absent("fifo")], &shelf);
    refused(&world, &[], &[absent("folder")], &shelf);
}

/// Lets a thread swap two paths as fast as it can while `during` happens.
fn while_swapping(a: PathBuf, b: PathBuf, during: impl FnOnce()) {
    let over = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut swaps = 0u64;
            while !over.load(Ordering::Relaxed) || swaps % 2 == 1 {
                renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
                std::thread::yield_now();
            }
            swaps
        }
    });
    during();
    over.store(true, Ordering::Relaxed);
    assert!(swapper.join().unwrap() > 0);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere() {
    let (world, shelf) = (World::new(), Memory::default());
    world.folder("dir/sub").link("trap", "../outside").folder("../outside/sub").write("../outside/sub/x", "user's");
    let outside = snapshot(Path::new(&world.outside()));
    let record = [
        shelf.file("dir/sub/x", "1"),
        shelf.file("dir/sub/y", "2"),
        link("dir/sub/l", "x"),
        folder("dir/sub/f", 0o755),
    ];
    let restore = || world.restore(&[], &record, &shelf);
    // At rest the one succeeds and the other is refused; meanwhile it is either, and the link is never followed.
    assert!(restore().is_ok());
    while_swapping(world.at("dir"), world.at("trap"), || {
        for _ in 0..500 {
            let _ = restore();
        }
    });
    assert_eq!(snapshot(Path::new(&world.outside())), outside);
    assert!(restore().is_ok());
    renameat_with(CWD, world.at("dir"), CWD, world.at("trap"), RenameFlags::EXCHANGE).unwrap();
    assert!(restore().is_err());
    assert_eq!(snapshot(Path::new(&world.outside())), outside);
}

#[test]
fn a_file_that_is_swapped_for_a_link_meanwhile_is_not_written_through() {
    let (world, shelf) = (World::new(), Memory::default());
    world.write("x", "old").link("trap", "../outside/x").write("../outside/x", "user's").write("y", "");
    let outside = snapshot(Path::new(&world.outside()));
    let record = [shelf.file("x", "new"), shelf.file("y", "2")];
    let over = Arc::new(AtomicBool::new(false));
    let (path, trap, stop) = (world.at("x"), world.at("trap"), Arc::clone(&over));
    let swapper = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            // Either may be gone for a moment: the restore works at the same place.
            let _ = renameat_with(CWD, &path, CWD, &trap, RenameFlags::EXCHANGE);
        }
    });
    for _ in 0..500 {
        let _ = world.restore(&[], &record, &shelf);
    }
    over.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(snapshot(Path::new(&world.outside())), outside);
}
