//! Many inputs: what changes among them is seen, and what does not is not looked for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::world::{World, settle};

/// More than are worth an inventory, in a few folders.
const FILES: usize = 400;

fn tree(world: &World) {
    for number in 0..FILES {
        world.write(format!("tree/{}/f{number}", number % 4), format!("{number}\n"));
    }
    symlink("1", world.path("tree/link")).unwrap();
    world.write("tree/ignored.o", "0");
}

const WORDS: [&str; 12] = [
    "run",
    "-v",
    "-i",
    "tree",
    "-x",
    "*.o",
    "-o",
    "tree/made",
    "--",
    "sh",
    "-c",
    "cat tree/*/f1* tree/[x-z]* >tree/made; cat tree/made",
];

/// Whether it is a hit; what it prints is what the bare command prints.
fn is_hit(world: &World) -> bool {
    // An output that may only have grown is not stored.
    let without = || drop(fs::remove_file(world.path("tree/made")));
    without();
    let bare = world.program(WORDS[9], &WORDS[10..]).run();
    without();
    let outcome = world.fleche(WORDS).run();
    assert_eq!((outcome.code(), outcome.stdout()), (bare.code(), bare.stdout()), "{}", outcome.stderr());
    let said = outcome.stderr();
    assert!(said.contains(": hit ") || said.contains("; stored"), "{said}");
    said.contains(": hit ")
}

#[test]
fn whatever_changes_among_many_inputs_is_seen() {
    let world = World::new();
    tree(&world);
    world.write("tree/x0", "x\n");
    assert!(!is_hit(&world));
    assert!(is_hit(&world));
    assert!(is_hit(&world));
    type Change<'a> = (&'a str, &'a dyn Fn(&World));
    let at = |name: &str| world.path("tree").join(name);
    let changes: [Change; 12] = [
        ("content", &|world| drop(world.write("tree/1/f1", "other\n"))),
        ("content of the same size and time", &|world| {
            let time = fs::metadata(at("1/f101")).unwrap().modified().unwrap();
            let file = fs::File::create(at("1/f101")).unwrap();
            fs::write(at("1/f101"), "999\n").unwrap();
            file.set_modified(time).unwrap();
            let _ = world;
        }),
        ("another file of the same name", &|world| {
            world.write("beside", "new\n");
            fs::rename(world.path("beside"), at("1/f121")).unwrap();
        }),
        ("a new file", &|world| drop(world.write("tree/y", "y\n"))),
        ("one file less", &|_| fs::remove_file(at("2/f10")).unwrap()),
        ("another name", &|_| fs::rename(at("3/f11"), at("3/f1x")).unwrap()),
        ("a mode", &|_| fs::set_permissions(at("3/f15"), fs::Permissions::from_mode(0o600)).unwrap()),
        ("a folder's mode", &|_| fs::set_permissions(at("2"), fs::Permissions::from_mode(0o700)).unwrap()),
        ("a link in a file's place", &|_| {
            fs::remove_file(at("0/f100")).unwrap();
            symlink("f104", at("0/f100")).unwrap();
        }),
        ("a link's end", &|_| {
            fs::remove_file(at("link")).unwrap();
            symlink("2", at("link")).unwrap();
        }),
        ("an empty folder", &|_| fs::create_dir(at("3/empty")).unwrap()),
        ("a folder in a folder's place", &|_| {
            fs::rename(at("2"), world.path("old")).unwrap();
            fs::create_dir(at("2")).unwrap();
            fs::copy(world.path("old/f14"), at("2/f14")).unwrap();
        }),
    ];
    for (what, change) in changes {
        change(&world);
        assert!(!is_hit(&world), "{what}");
        assert!(is_hit(&world), "{what}");
    }
    // What does not count is no reason to run, be it among the rest.
    world.write("tree/more.o", "1");
    world.write("tree/ignored.o", "1");
    fs::remove_file(at("made")).unwrap();
    assert!(is_hit(&world));
    // A state from before is found again.
    world.write("tree/y", "z\n");
    assert!(!is_hit(&world));
    world.write("tree/y", "y\n");
    assert!(is_hit(&world));
}

/// What is done in a folder of a tree, and at which name it is seen; nothing is seen of what is left out.
const CHANGES: [(&str, Option<&str>); 12] = [
    ("echo other > f7", Some("f7")),
    ("touch -d @1 f8", Some("f8")),
    ("echo 2 > f5; touch -d @1000000000 f5", Some("f5")),
    ("touch more", Some("more")),
    ("rm f9", Some("f9")),
    ("mv f10 f1x", Some("f10")),
    ("chmod 600 f11", Some("f11")),
    ("rm f12; ln -s f13 f12", Some("f12")),
    ("rm f14; mkdir f14", Some("f14")),
    ("chmod 700 .", Some("")),
    ("touch ignored.o", None),
    (":", None),
];

/// A tree for each change, of files that are all of one time, and all so old that their stamps are trusted.
fn old_trees(world: &World, files: usize) {
    for number in 0..CHANGES.len() {
        for file in 0..files {
            world.write(format!("tree{number}/{}/f{file}", if file < 50 { "sub" } else { "other" }), "1\n");
        }
    }
    world.shell("find . -name 'f*' -exec touch -d @1000000000 {} +").prints("");
    settle(&world.path(format!("tree{}/other/f{}", CHANGES.len() - 1, files - 1)));
}

/// The files in which a look is remembered.
fn looks(world: &World) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(world.cache().join("stamps")).into_iter().map(|entry| entry.unwrap().into_path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("look-")).collect()
}

#[test]
fn whatever_changes_among_many_old_inputs_is_seen() {
    let world = World::new();
    // Three groups: two threads look at them.
    old_trees(&world, 1100);
    for (number, (change, changed)) in CHANGES.iter().enumerate() {
        let tree = format!("tree{number}");
        let run = || world.fleche(["run", "-v", "-i", &tree, "-x", "*.o", "--", "ls", &tree]).run().stderr();
        assert!(run().contains("; stored"), "{change}");
        assert!(run().contains(": hit "), "{change}");
        world.shell(&format!("cd {tree}/sub; {change}")).prints("");
        let said = run();
        // A time is no content.
        let is_same = changed.is_none() || *change == "touch -d @1 f8";
        assert_eq!(said.contains(": hit "), is_same, "{change}: {said}");
        let told = format!(
            "`{tree}/sub{}{}",
            if changed.is_some_and(str::is_empty) { "" } else { "/" },
            changed.unwrap_or("")
        );
        assert!(is_same || said.contains(&told), "{change}: {said}");
    }
}

#[test]
fn damage_to_what_is_known_of_many_inputs_is_mended_by_the_next_hit() {
    let world = World::new();
    old_trees(&world, FILES);
    let run = || world.fleche(["run", "-v", "-i", "tree0", "--", "ls", "tree0"]).run().stderr();
    assert!(run().contains("; stored"));
    let look = looks(&world).remove(0);
    let whole = fs::read(&look).unwrap();
    for part in 1..20 {
        let mut bytes = whole.clone();
        bytes[whole.len() * part / 20] ^= 1;
        fs::write(&look, bytes).unwrap();
        assert!(run().contains(": hit "), "{part}");
        assert!(fs::read(&look).unwrap() == whole, "{part}");
    }
}

/// The second look of a run is held against its first one, if that has old stamps only.
#[test]
fn whatever_changes_among_many_inputs_meanwhile_keeps_a_run_from_being_stored() {
    let world = World::new();
    old_trees(&world, FILES);
    let mut stored = 0;
    for (number, (change, changed)) in CHANGES.iter().enumerate() {
        let (tree, line) = (format!("tree{number}"), format!("cd tree{number}/sub; {change}"));
        let run = || world.fleche(["run", "-v", "-i", &tree, "-x", "*.o", "--", "sh", "-c", &line]).run().stderr();
        let said = run();
        match changed {
            Some(name) => {
                let place = format!("{tree}/sub/{name}");
                let told = format!("; not stored: input `{}` changed while it ran\n", place.trim_end_matches('/'));
                assert!(said.ends_with(&told), "{change}: {said}");
            }
            None => {
                stored += 1;
                assert!(said.contains("; stored"), "{change}: {said}");
                assert!(run().contains(": hit "), "{change}");
            }
        }
        assert_eq!(looks(&world).len(), stored, "{change}");
    }
}

#[test]
fn another_checkout_of_many_inputs_has_an_inventory_of_its_own() {
    let world = World::new();
    for name in ["one", "two"] {
        world.write(format!("{name}/fleche.toml"), "root = true\n");
        for number in 0..FILES {
            world.write(format!("{name}/src/f{number}"), format!("{number}"));
        }
    }
    let words = ["run", "-v", "-i", "src", "--", "sh", "-c", "cat src/f7"];
    let run = |name: &str| {
        let outcome = world.fleche(words).current_dir(world.path(name)).run();
        (outcome.stdout(), outcome.stderr().contains(": hit "))
    };
    assert_eq!(run("one"), ("7".to_owned(), false));
    assert_eq!(run("two"), ("7".to_owned(), true));
    world.write("two/src/f7", "8");
    assert_eq!(run("one"), ("7".to_owned(), true));
    assert_eq!(run("two"), ("8".to_owned(), false));
    assert_eq!((run("one"), run("two")), (("7".to_owned(), true), ("8".to_owned(), true)));
}

#[test]
fn nothing_is_read_where_nothing_changed() {
    // Files that are older than any stamp's doubt.
    let folder = "/usr/include/linux";
    let count = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok).count();
    if count < 300 || std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace, or no {folder}");
        return;
    }
    let world = World::new();
    let words = ["run", "-i", folder, "--", "echo", "x"];
    world.fleche(words).prints("x\n");
    world.fleche(words).prints("x\n");
    let list = world.root().join("calls");
    let strace = ["-f", "-qq", "-o", list.to_str().unwrap(), env!("CARGO_BIN_EXE_fleche")];
    world.program("strace", strace.iter().chain(&words)).prints("x\n");
    let calls = fs::read_to_string(list).unwrap();
    let about = |what: &[&str]| {
        calls.lines().filter(|line| !line.contains(" resumed>") && what.iter().any(|what| line.contains(what))).count()
    };
    assert_eq!(about(&["getdents"]), 0, "a folder was read");
    assert_eq!(about(&[".h\", O_RDONLY"]), 0, "a file was read");
    let looks = about(&["stat(", "fstatat", "statx("]);
    let folders =
        walkdir::WalkDir::new(folder).into_iter().filter(|entry| entry.as_ref().unwrap().file_type().is_dir());
    assert!((count..count + folders.count() + 100).contains(&looks), "{looks} looks at {count} paths");
}
