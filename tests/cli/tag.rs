//! `fleche tag`: tags of calls that are stored already.

use crate::world::World;

/// A world with two calls, `echo one` of project alpha and `echo two` of none.
fn world() -> World {
    let world = World::new();
    world.fleche(["run", "--project", "alpha", "--pure", "--", "echo", "one"]).prints("one\n");
    world.fleche(["run", "--pure", "--", "echo", "two"]).prints("two\n");
    world
}

fn key(world: &World, word: &str) -> String {
    world.fleche(["query", "--only", "--arg", word]).run().stdout().trim().to_owned()
}

/// The tags of a call, as its file has them.
fn tags(world: &World, word: &str) -> serde_json::Value {
    let shown = world.fleche(["show", "--json", &key(world, word)]).run();
    serde_json::from_slice::<serde_json::Value>(&shown.stdout).unwrap()["tags"].clone()
}

#[test]
fn tags_are_added_changed_and_taken_away() {
    let world = world();
    let key = key(&world, "one");
    world.fleche(["tag", &key, "kind=test", "note=a b=c"]).prints("");
    assert_eq!(tags(&world, "one"), serde_json::json!({"project": "alpha", "kind": "test", "note": "a b=c"}));
    world.fleche(["tag", &key[..8], "--remove", "kind", "--remove", "nothing", "project=beta"]).prints("");
    assert_eq!(tags(&world, "one"), serde_json::json!({"project": "beta", "note": "a b=c"}));
    world.fleche(["query", "--tag", "note", "--project", "beta"]).prints(&format!("{key}\n"));
    assert_eq!(tags(&world, "two"), serde_json::json!({}));
}

#[test]
fn a_name_alone_is_a_tag_that_says_yes() {
    let world = world();
    world.fleche(["tag", &key(&world, "one"), "pin"]).prints("");
    assert_eq!(tags(&world, "one")["pin"], "yes");
    // What looks like a digest is one unless it has an equals sign.
    world.fleche(["tag", &key(&world, "one"), "cafe="]).prints("");
    assert_eq!(tags(&world, "one")["cafe"], "");
    world.fleche(["tag", &key(&world, "one"), "cafe", "x"]).ends(1, "", "fleche: nothing is called `cafe`\n");
}

#[test]
fn filters_and_pipes_choose_many() {
    let world = world();
    world.fleche(["tag", "--name", "echo", "kind=both"]).prints("");
    world.shell("fleche query --project alpha | fleche tag - kind=first").prints("");
    assert_eq!((&tags(&world, "one")["kind"], &tags(&world, "two")["kind"]), (&"first".into(), &"both".into()));
    world.fleche(["tag", "--project", "none", "kind=x"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn a_tagged_call_is_replayed_as_before_and_keeps_its_last_use() {
    let world = world();
    let used = || world.fleche(["table", "--arg", "one", "--columns", "used,hits"]).run().stdout();
    let before = used();
    world.fleche(["tag", &key(&world, "one"), "a=1"]).prints("");
    assert_eq!(used(), before);
    let outcome = world.fleche(["run", "-v", "--project", "gamma", "--pure", "--", "echo", "one"]).run();
    assert_eq!(outcome.stdout(), "one\n");
    assert!(outcome.stderr().starts_with("fleche: hit "), "{}", outcome.stderr());
}

#[test]
fn tags_survive_the_loss_of_the_catalogue() {
    let world = world();
    world.fleche(["tag", &key(&world, "one"), "kind=kept"]).prints("");
    std::fs::remove_file(world.cache().join("index.sqlite")).unwrap();
    world.fleche(["query", "--count", "--tag", "kind=kept"]).prints("1\n");
}

#[test]
fn a_tag_with_the_name_of_a_column_hides_nothing() {
    let world = world();
    world.fleche(["tag", "--name", "echo", "name=other", "key=x", "exit=9"]).prints("");
    world
        .fleche(["table", "--columns", "name,exit,tag.name,tag.key,tag.exit", "--latest"])
        .prints("name\texit\ttag.name\ttag.key\ttag.exit\necho\t0\tother\tx\t9\n");
    world.fleche(["query", "--name", "echo", "--exit", "0", "--count"]).prints("2\n");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_changes() {
    let world = world();
    let key = key(&world, "one");
    for (words, status, complaint) in [
        (&[key.as_str()][..], 2, "which tags?\nhint: fleche tag KEY project=alpha"),
        (&["kind=x"], 2, "which calls?\nhint: KEY..., filters, or --name '*' for all"),
        (&[&key, "=x"], 2, "`=x` is not a tag\nhint: a tag is NAME=VALUE, such as project=alpha"),
        (&[&key, "1a=x"], 2, "`1a=x` is not a tag\nhint: a tag is NAME=VALUE, such as project=alpha"),
        (&[&key, "abcdef", "kind=x"], 1, "nothing is called `abcdef`"),
        (&[&key, "--name", "echo", "kind=x"], 2, "keys and filters cannot be combined"),
    ] {
        world.fleche(["tag"].iter().chain(words)).ends(status, "", &format!("fleche: {complaint}\n"));
    }
    assert_eq!(tags(&world, "one"), serde_json::json!({"project": "alpha"}));
}

#[test]
fn a_read_only_cache_is_not_tagged() {
    let world = world();
    world.fleche(["tag", "--name", "echo", "kind=x"]).env("FLECHE_MODE", "read-only").ends(
        2,
        "",
        "fleche: the cache is read-only\nhint: FLECHE_MODE=on\n",
    );
    assert_eq!(tags(&world, "one"), serde_json::json!({"project": "alpha"}));
}

#[test]
fn a_call_keeps_its_tags_whatever_it_was_made_anew_for() {
    let world = World::new();
    world.counted("tool", "exit $(cat \"$HOME/status\")");
    let run = |options: &[&str], status: i32| {
        std::fs::write(world.home().join("status"), format!("{status}\n")).unwrap();
        let words = [&["run", "-i", "tool"], options, &["--", "./tool"]].concat();
        assert_eq!(world.fleche(words).run().code(), status);
    };
    let pinned = || world.fleche(["query", "--tag", "pin", "--count"]).run().stdout();
    run(&["--cache-exit", "1"], 1);
    world.fleche(["tag", "--name", "tool", "pin"]).prints("");
    // Under the same key, of which the stored code is none that is replayed here.
    run(&[], 0);
    assert_eq!((pinned().as_str(), world.executions("tool")), ("1\n", 2));
    run(&["--ttl", "0s"], 0);
    run(&["--mode", "refresh"], 0);
    std::fs::remove_dir_all(world.cache().join("paths")).unwrap_or_default();
    run(&["--mode", "refresh"], 0);
    assert_eq!((pinned().as_str(), world.executions("tool")), ("1\n", 5));
}

#[test]
fn a_replayed_call_gets_the_tags_of_the_run() {
    let world = world();
    let run = |words: &[&str]| world.fleche(["run"].iter().chain(words).chain(&["--pure", "--", "echo", "one"]));
    run(&["--project", "beta", "--tag", "step=two"]).prints("one\n");
    assert_eq!(tags(&world, "one"), serde_json::json!({"project": "beta", "step": "two"}));
    run(&[]).env("FLECHE_TAGS", "job=7").prints("one\n");
    assert_eq!(tags(&world, "one")["job"], "7");
    run(&["--mode", "read-only", "--tag", "step=three"]).prints("one\n");
    assert_eq!(tags(&world, "one")["step"], "two");
    world.fleche(["query", "--count", "--project", "beta"]).prints("1\n");
}

#[test]
fn what_was_evicted_is_not_tagged_back_into_being() {
    let world = world();
    let key = key(&world, "one");
    std::thread::scope(|scope| {
        for round in 0..20 {
            let tag = format!("round={round}");
            let (world, key) = (&world, &key);
            let tag = scope.spawn(move || world.fleche(["tag", key, &tag]).run().code());
            world.fleche(["evict", "--arg", "one"]).run();
            tag.join().unwrap();
            world.fleche(["query", "--arg", "one"]).ends(1, "", "fleche: no call matches\n");
            world.fleche(["run", "--pure", "--", "echo", "one"]).prints("one\n");
        }
    });
}
