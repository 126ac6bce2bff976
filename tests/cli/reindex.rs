//! `fleche reindex`: the catalogue made anew says what it said.

use std::fs;

use crate::world::World;

fn world() -> World {
    let world = World::new();
    world.write("input", "1\n");
    for number in ["1", "2", "3"] {
        world
            .fleche(["run", "--tag", "project=alpha", "-i", "input", "--", "echo", number])
            .prints(&format!("{number}\n"));
    }
    for _ in 0..3 {
        world.fleche(["run", "-i", "input", "--", "echo", "2"]).prints("2\n");
    }
    world
}

/// All that the catalogue says of calls.
fn table(world: &World) -> String {
    let outcome = world.fleche(["query", "--json", "--sort", "key"]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout()
}

#[test]
fn the_new_catalogue_says_what_the_old_one_said() {
    let world = world();
    let before = table(&world);
    assert!(before.contains("\"hits\":3"), "{before}");
    world.fleche(["reindex"]).prints("");
    assert_eq!(table(&world), before);
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(world.cache().join(name));
    }
    assert_eq!(table(&world), before);
    fs::write(world.cache().join("index.sqlite"), "no database at all, but long enough to be read as one").unwrap();
    world.fleche(["reindex"]).prints("");
    assert_eq!(table(&world), before);
}

#[test]
fn wherever_it_is_killed_the_catalogue_is_whole() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let world = world();
    let before = table(&world);
    let mut killed = 0;
    for (syscall, steps) in
        [("pwrite64", 120), ("fdatasync", 3), ("fsync", 2), ("unlink", 4), ("openat", 30), ("fcntl", 60)]
    {
        for step in (1..=steps).step_by(if steps > 10 { 7 } else { 1 }) {
            let inject = format!("inject={syscall}:signal=KILL:when={step}");
            let fleche = env!("CARGO_BIN_EXE_fleche");
            let trace = format!("trace={syscall}");
            let words = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, fleche, "reindex"];
            killed += usize::from(world.program("strace", words).run().code() == 137);
            assert_eq!(table(&world), before, "{syscall} {step}");
        }
    }
    assert!(killed > 20, "only {killed} were killed");
    world.fleche(["verify"]).prints("");
    world.fleche(["gc"]).prints("");
    assert_eq!(fs::read_dir(world.cache().join("tmp")).unwrap().count(), 0);
}
