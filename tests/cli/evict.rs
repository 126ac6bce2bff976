//! `fleche evict`: calls that are forgotten.

use crate::world::World;

/// A world with three calls of a counted script: `tool 1` and `tool 2` of project alpha, `tool 3` of none.
fn world() -> World {
    let world = World::new();
    world.counted("tool", "echo $1");
    for (options, word) in [(&["-p", "alpha"][..], "1"), (&["-p", "alpha"], "2"), (&[], "3")] {
        run(&world, options, word);
    }
    assert_eq!(world.executions("tool"), 3);
    world
}

fn run(world: &World, options: &[&str], word: &str) {
    world.fleche(["run", "--pure"].iter().chain(options).chain(&["--", "./tool", word])).prints(&format!("{word}\n"));
}

fn count(world: &World) -> String {
    world.fleche(["query", "--count"]).run().stdout().trim().to_owned()
}

fn key(world: &World, word: &str) -> String {
    world.fleche(["query", "--only", "--arg", word]).run().stdout().trim().to_owned()
}

#[test]
fn an_evicted_call_runs_again() {
    let world = world();
    world.fleche(["evict", &key(&world, "1")[..8]]).prints("");
    assert_eq!(count(&world), "2");
    run(&world, &[], "1");
    run(&world, &[], "2");
    assert_eq!(world.executions("tool"), 4);
}

#[test]
fn filters_choose_what_goes() {
    let world = world();
    world.fleche(["evict", "--project", "alpha", "--skip", "1"]).prints("");
    assert_eq!(count(&world), "2");
    world.fleche(["evict", "--project", "alpha"]).prints("");
    assert_eq!(count(&world), "1");
    world.fleche(["evict", "--project", "alpha"]).ends(1, "", "fleche: no call matches\n");
    world.fleche(["evict", "--name", "*"]).prints("");
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn keys_come_from_a_pipe() {
    let world = world();
    world.shell("fleche table --project alpha --format tsv | cut -f1 | fleche evict -").prints("");
    assert_eq!(count(&world), "1");
    world.shell("fleche evict - </dev/null").prints("");
    assert_eq!(count(&world), "1");
}

#[test]
fn a_dry_run_names_what_would_go_and_keeps_it() {
    let world = world();
    let outcome = world.fleche(["evict", "--dry-run", "--project", "alpha"]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let text = outcome.stdout();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0], ["key", "command", "started", "size"]);
    assert_eq!(lines[1..].iter().map(|line| line[1]).collect::<Vec<_>>(), ["./tool 2", "./tool 1"]);
    assert_eq!(count(&world), "3");
}

#[test]
fn verbose_names_what_went() {
    let world = world();
    let key = key(&world, "3");
    world.fleche(["evict", "-v", &key]).ends(0, "", &format!("fleche: evicted {}\n", &key[..12]));
}

#[test]
fn nothing_goes_where_one_of_the_keys_is_unknown() {
    let world = world();
    world.fleche(["evict", &key(&world, "1"), "abcd"]).ends(1, "", "fleche: nothing is called `abcd`\n");
    world.fleche(["evict"]).ends(2, "", "fleche: which calls?\nhint: KEY..., filters, or --name '*' for all\n");
    for order in [&["--reverse"][..], &["--sort", "key"], &["--skip", "1"], &["--unique", "name"]] {
        world.fleche(["evict"].iter().chain(order)).ends(
            2,
            "",
            "fleche: which calls?\nhint: KEY..., filters, or --name '*' for all\n",
        );
    }
    let value = blake3::hash(b"1\n").to_hex().to_string();
    world.fleche(["evict", &value]).ends(1, "", &format!("fleche: {} is a value, not a call\n", &value[..12]));
    assert_eq!(count(&world), "3");
}

#[test]
fn a_read_only_cache_forgets_nothing() {
    let world = world();
    world.fleche(["evict", "--name", "*"]).env("FLECHE_MODE", "read-only").ends(
        2,
        "",
        "fleche: the cache is read-only\nhint: FLECHE_MODE=on\n",
    );
    assert_eq!(count(&world), "3");
}

#[test]
fn what_was_evicted_is_found_nowhere() {
    let world = World::new();
    world
        .fleche(["run", "--pure", "--tag", "note=canaryTAG", "--", "echo", "canaryARGUMENT"])
        .prints("canaryARGUMENT\n");
    world.fleche(["query", "--count"]).prints("1\n");
    world.fleche(["evict", "--name", "echo"]).prints("");
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
    // Paths and words that calls shared stay in the catalogue until it is made anew.
    world.fleche(["reindex"]).prints("");
    for entry in walkdir::WalkDir::new(world.cache()) {
        let path = entry.unwrap().into_path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
    }
}

#[test]
fn the_least_used_can_go_by_number() {
    let world = world();
    world.fleche(["evict", "--sort", "started", "--reverse", "--limit", "2"]).prints("");
    world.fleche(["table", "--columns", "command"]).prints("command\n./tool 3\n");
}
