//! `fleche shrink`: the shortest names for digests.

use crate::world::World;

fn world() -> (World, String) {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "echo", "one"]).prints("one\n");
    let key = world.fleche(["query"]).run().stdout().trim().to_owned();
    (world, key)
}

#[test]
fn four_characters_are_enough_where_nothing_else_begins_so() {
    let (world, key) = world();
    let value = blake3::hash(b"one\n").to_hex().to_string();
    world.fleche(["shrink", &key, &value]).prints(&format!("{}\n{}\n", &key[..4], &value[..4]));
}

#[test]
fn what_is_shrunk_is_expanded_again() {
    let (world, _) = world();
    for number in 0..40 {
        world.fleche(["run", "--pure", "--", "echo", &number.to_string()]).prints(&format!("{number}\n"));
    }
    let keys = world.fleche(["query"]).run().stdout();
    world.shell("fleche query | fleche shrink | fleche expand").prints(&keys);
    let values: String = world
        .fleche(["table", "--columns", "stdout"])
        .run()
        .stdout()
        .lines()
        .skip(1)
        .fold(String::new(), |all, line| format!("{all}{line}\n"));
    world.shell("fleche table --columns stdout | tail -n +2 | fleche shrink | fleche expand").prints(&values);
}

#[test]
fn an_unknown_digest_is_a_no() {
    let (world, key) = world();
    let unknown = "00".repeat(32);
    world.fleche(["shrink", &unknown, &key]).ends(
        1,
        &format!("{}\n", &key[..4]),
        &format!("fleche: nothing is called `{unknown}`\n"),
    );
}
