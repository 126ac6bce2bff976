//! What watched commands leave beside names and bytes: times of folders and links, holes, extended attributes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::probe;
use crate::watch::{is_hit, is_stored, told};
use crate::world::World;

/// The modification times of what is at these names, in seconds, links not followed.
fn times(world: &World, names: &[&str]) -> Vec<i64> {
    names.iter().map(|name| fs::symlink_metadata(world.path(name)).unwrap().mtime()).collect()
}

#[test]
fn times_that_folders_and_links_are_given_are_replayed() {
    let world = World::new();
    let names = ["d", "d/e", "d/l", "d/e/f"];
    let line = "mkdir -p d/e; echo x > d/e/f; ln -s e/f d/l
        touch -d @1000000001 d/e/f; touch -h -d @1000000002 d/l; touch -d @1000000003 d/e; touch -d @1000000004 d";
    is_stored(&world, line, "");
    let given = times(&world, &names);
    assert_eq!(given, [1_000_000_004, 1_000_000_003, 1_000_000_002, 1_000_000_001]);
    fs::remove_dir_all(world.path("d")).unwrap();
    is_hit(&world, line, "");
    assert_eq!(times(&world, &names), given);
    // A folder that is there already gets its time too.
    let line = "touch -d @1000000005 d";
    is_stored(&world, line, "");
    assert_eq!(world.program("touch", ["d"]).run().code(), 0);
    is_hit(&world, line, "");
    assert_eq!(times(&world, &["d"]), [1_000_000_005]);
}

#[test]
fn copies_and_archives_bring_their_times_along() {
    for line in ["cp -a d copy", "tar cf a.tar -C d .; mkdir copy; tar xf a.tar -C copy; rm a.tar"] {
        let world = World::new();
        world.write("d/e/f", "x");
        let made = "ln -s e/f d/l; touch -d @1000000001 d/e/f; touch -h -d @1000000002 d/l; touch -d @1000000003 d/e d";
        assert_eq!(world.shell(made).run().code(), 0);
        let names = ["copy", "copy/e", "copy/l", "copy/e/f"];
        is_stored(&world, line, "");
        let given = times(&world, &names);
        assert_eq!(given, [1_000_000_003, 1_000_000_003, 1_000_000_002, 1_000_000_001], "{line}");
        fs::remove_dir_all(world.path("copy")).unwrap();
        is_hit(&world, line, "");
        assert_eq!(times(&world, &names), given, "{line}");
    }
}

#[test]
fn holes_of_an_output_are_holes_again() {
    let world = World::new();
    let line = "truncate -s 64M f; echo end >> f";
    is_stored(&world, line, "");
    let room = || fs::metadata(world.path("f")).unwrap().blocks() * 512;
    let bare = room();
    fs::remove_file(world.path("f")).unwrap();
    is_hit(&world, line, "");
    let replayed = fs::read(world.path("f")).unwrap();
    assert!(replayed.len() == (64 << 20) + 4 && replayed.ends_with(b"\0end\n"));
    assert!(room() <= bare + (1 << 20), "{} bytes instead of {bare}", room());
}

#[test]
fn extended_attributes_are_not_lost_in_silence() {
    let world = World::new();
    let path = probe::install(&world);
    world.write("f", "x");
    let set = |name: &str| {
        let set = world.shell(&format!("tool set-attribute {name} user.test 1")).env("PATH", &path).run();
        set.code() == 0
    };
    world.write("other", "x");
    if !set("other") {
        // A file system without any.
        return;
    }
    let tool = world.root().join("bin/tool");
    let left = |name: &str| format!("it left extended attributes at `{name}`, which are not stored");
    let line = format!("echo x > new; {} set-attribute new user.test 1", tool.display());
    assert_eq!(told(&world, &[], &line).0, left("new"));
    let line = format!("echo x > new2; {} set-attribute new2 user.test 1; mv new2 moved", tool.display());
    assert_eq!(told(&world, &[], &line).0, left("moved"));
    assert_eq!(told(&world, &[], "mv other gone").0, left("other"));
    // What is written into a file leaves them there, and a replay would not.
    for name in ["kept", "replayed"] {
        world.write(name, "x");
    }
    let line = "echo y >> replayed";
    assert_eq!(told(&world, &[], line).0, "stored");
    world.write("replayed", "x");
    assert!(set("kept") && set("replayed"));
    assert_eq!(told(&world, &[], "echo y >> kept").0, "output `kept` has extended attributes");
    assert!(told(&world, &[], line).0.contains("has extended attributes"));
    // Those that are only looked at count.
    for name in ["ls -l f | wc -l", "cp -a f copy"] {
        for verdict in ["stored", "hit"] {
            assert_eq!(told(&world, &[], name).0, verdict, "{name}");
            let _ = fs::remove_file(world.path("copy"));
        }
    }
    assert!(set("f"));
    assert_eq!(told(&world, &[], "ls -l f | wc -l").0, "stored");
    assert_eq!(told(&world, &[], "cp -a f copy").0, left("copy"));
}

#[test]
fn a_source_that_tells_its_own_age_is_not_stored() {
    let world = World::new();
    world.write("a.c", "const char *age = __TIMESTAMP__;\n");
    world.write("b.c", "const char *age = \"\";\n");
    let own_age = "it compiled `a.c`, which tells its own age";
    for _ in 0..2 {
        assert_eq!(told(&world, &[], "cc -c a.c").0, own_age);
    }
    assert_eq!([(); 2].map(|()| told(&world, &[], "cc -c b.c").0), ["stored", "hit"]);
}

#[test]
fn the_time_in_the_head_of_a_page_counts() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "2\n");
    let bare = |line: &str| world.program("/bin/sh", ["-c", line]).run().stdout();
    for line in ["pr a | head -5", "diff -u a b || true", "date -r a"] {
        for seconds in [1_000_000_000, 1_100_000_000] {
            assert_eq!(world.shell(&format!("touch -d @{seconds} a")).run().code(), 0);
            is_stored(&world, line, &bare(line));
            is_hit(&world, line, &bare(line));
        }
    }
}
