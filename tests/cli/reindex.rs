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
    fs::write(world.cache().join("index.sqlite"), "no database at all, but long enough to be read as one").unwrap();
    world.fleche(["reindex"]).prints("");
    assert_eq!(table(&world), before);
}

#[test]
fn deleting_the_catalogue_loses_nothing() {
    let world = world();
    let before = table(&world);
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(world.cache().join(name));
    }
    assert_eq!(table(&world), before);
}
