//! `fleche completions`: what a shell is offered while somebody types.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{Session, World};

/// What a real bash offers for a line, taken apart as bash does; the cursor is at its end.
pub fn in_bash(world: &World, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!(
        "source <(fleche completions bash); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9
        _clap_complete_fleche fleche {} ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        quoted[words.len() - 1],
    );
    let outcome = world.shell(&format!("exec bash --norc -c '{}'", line.replace('\'', "'\\''"))).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The question that the scripts of zsh and fish put.
fn ask(world: &World, shell: &str, words: &[&str]) -> Session {
    let index = (words.len() - 1).to_string();
    let session = world.fleche([&["--"], words].concat());
    session.env("COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n")
}

fn answers(world: &World, shell: &str, words: &[&str]) -> Vec<String> {
    let outcome = ask(world, shell, words).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().lines().map(str::to_owned).collect()
}

/// A world with two calls of two projects, and their keys; the latest first.
fn world() -> (World, Vec<String>) {
    let world = World::new();
    for (project, word) in [("alpha", "one"), ("beta", "two\u{1b}[31m")] {
        let words = ["run", "--pure", "-p", project, "-t", "odd=$(touch x)", "--", "printf", word];
        assert_eq!(world.fleche(words).run().code(), 0);
    }
    world.is_alone();
    let keys = world.fleche(["query"]).run().stdout();
    let keys: Vec<String> = keys.lines().map(|line| line[..12].to_owned()).collect();
    assert_eq!(keys.len(), 2);
    (world, keys)
}

#[test]
fn keys_are_offered_the_latest_first_and_with_their_commands() {
    let (world, keys) = world();
    assert_eq!(in_bash(&world, &["fleche", "show", ""])[..2], keys);
    assert_eq!(in_bash(&world, &["fleche", "load", &keys[1][..6]]), [keys[1].clone()]);
    for shell in ["fish", "zsh"] {
        let offered = answers(&world, shell, &["fleche", "show", ""]);
        assert!(offered[0].contains(&keys[0]) && offered[1].contains(&keys[1]), "{offered:?}");
        assert!(offered[1].contains("printf one"), "{offered:?}");
        // What was recorded drives no terminal.
        assert!(offered[0].contains("two") && !offered.concat().contains('\u{1b}'), "{offered:?}");
    }
}

#[test]
fn a_key_goes_on_past_its_short_form() {
    let (world, keys) = world();
    let whole = world.fleche(["query"]).run().stdout();
    let whole = whole.lines().find(|line| line.starts_with(&keys[0])).unwrap();
    assert_eq!(in_bash(&world, &["fleche", "show", &whole[..20]]), [whole]);
}

#[test]
fn tags_and_their_values_are_offered() {
    let (world, _) = world();
    for subcommand in ["query", "run"] {
        assert_eq!(in_bash(&world, &["fleche", subcommand, "--tag", "p"]), ["project="]);
        assert_eq!(in_bash(&world, &["fleche", subcommand, "--tag", "project", "=", ""]), ["alpha", "beta"]);
        assert_eq!(in_bash(&world, &["fleche", subcommand, "--tag", "project", "=", "b"]), ["beta"]);
        assert_eq!(in_bash(&world, &["fleche", subcommand, "-p", "al"]), ["alpha"]);
    }
    assert_eq!(answers(&world, "fish", &["fleche", "query", "--tag", "project=a"]), ["project=alpha"]);
}

#[test]
fn what_a_shell_would_run_is_not_offered() {
    let (world, _) = world();
    assert_eq!(in_bash(&world, &["fleche", "query", "--tag", "odd", "=", ""]), [""; 0]);
    assert_eq!(answers(&world, "fish", &["fleche", "query", "--tag", "odd="]), [""; 0]);
    assert!(!world.path("x").exists());
}

#[test]
fn columns_are_offered_behind_a_comma_too() {
    let (world, _) = world();
    assert_eq!(in_bash(&world, &["fleche", "query", "--sort", "wall"]), ["walltime"]);
    assert_eq!(in_bash(&world, &["fleche", "table", "--columns", "key,wall"]), ["key,walltime"]);
    assert_eq!(in_bash(&world, &["fleche", "table", "--unique", "tag.p"]), ["tag.project"]);
}

#[test]
fn subcommands_and_values_of_flags_are_offered() {
    let world = World::new();
    assert_eq!(in_bash(&world, &["fleche", "dig"]), ["digest"]);
    assert_eq!(in_bash(&world, &["fleche", "run", "--mode", "re"]), ["read-only", "refresh"]);
    assert_eq!(in_bash(&world, &["fleche", "completions", "z"]), ["zsh"]);
}

#[test]
fn where_nothing_can_be_read_nothing_is_said_and_nothing_made() {
    let world = World::new();
    let silent = |world: &World| {
        for shell in ["bash", "zsh", "fish"] {
            ask(world, shell, &["fleche", "show", "abc"]).prints("");
            ask(world, shell, &["fleche", "query", "--tag", "project="]).prints("");
        }
    };
    silent(&world);
    assert!(!world.home().join(".cache").exists());

    let (world, _) = self::world();
    let before = everything(&world);
    assert_eq!(in_bash(&world, &["fleche", "query", "--tag", "p"]), ["project="]);
    assert_eq!(everything(&world), before);
    fs::write(world.cache().join("index.sqlite"), vec![0xa5; 50_000]).unwrap();
    let before = everything(&world);
    silent(&world);
    fs::write(world.cache().join("index.sqlite"), "").unwrap();
    silent(&world);
    fs::remove_file(world.cache().join("index.sqlite")).unwrap();
    silent(&world);
    fs::set_permissions(world.cache(), fs::Permissions::from_mode(0o755)).unwrap();
    silent(&world);
    let left: Vec<_> = before.into_iter().filter(|name| !name.ends_with("index.sqlite")).collect();
    assert_eq!(everything(&world), left);
}

#[test]
fn a_locked_catalogue_is_read_without_waiting() {
    let (world, keys) = world();
    let catalogue = rusqlite::Connection::open(world.cache().join("index.sqlite")).unwrap();
    catalogue.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let offered = answers(&world, "fish", &["fleche", "show", &keys[0]]);
    assert!(offered[0].starts_with(&keys[0]), "{offered:?}");
}

fn everything(world: &World) -> Vec<String> {
    world.is_alone();
    let mut names: Vec<String> = walkdir::WalkDir::new(world.cache())
        .into_iter()
        .map(|entry| entry.unwrap().into_path().display().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn the_scripts_open_nothing() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = world.fleche(["completions", shell]).run();
        assert!(outcome.code() == 0 && outcome.stdout().contains("fleche"), "{outcome:?}");
    }
    assert!(!world.home().join(".cache").exists());
    assert_eq!(world.fleche(["completions", "tcsh"]).run().code(), 2);
}

#[test]
fn a_variable_of_that_name_means_nothing_to_other_commands() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "printf", "x"]).env("COMPLETE", "bash").prints("x");
    assert!(world.fleche(["table"]).env("COMPLETE", "bash").run().stdout().starts_with("key\t"));
}
