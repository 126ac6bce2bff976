//! `fleche gc`: what goes, what stays, and that every replay stays possible.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::world::{Session, World};

/// Larger than what a call's own file holds.
const LARGE: usize = 20_000;

/// A world with a tool that prints as many bytes as `LARGE`, made from its input, and says so each time it runs.
fn world() -> World {
    let world = World::new();
    world.counted("tool", &format!("yes \"$(cat \"$1\")\" | head -c {LARGE}"));
    world
}

/// Runs the tool on a file of this name and content; gives what it prints.
fn run(world: &World, name: &str, options: &[&str]) -> String {
    world.write(name, name);
    let words = ["run", "-i", name].iter().chain(options).chain(&["--", "./tool", name]).copied().collect::<Vec<_>>();
    let outcome = world.fleche(words).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    assert_eq!(outcome.stdout().len(), LARGE);
    outcome.stdout()
}

fn gc(world: &World, words: &[&str]) -> Session {
    world.fleche(["gc"].iter().chain(words))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

/// Removes the calls of the tool with this file as its argument, and nothing that they name.
fn forget(world: &World, name: &str) {
    world.is_alone();
    let keys = world.fleche(["query", "--arg", &format!("1={name}")]).run().stdout();
    for key in keys.lines() {
        fs::remove_file(world.cache().join("calls").join(&key[..2]).join(&key[2..])).unwrap();
    }
}

#[test]
fn what_no_call_needs_goes_and_all_others_still_replay() {
    let world = world();
    let kept: Vec<String> = ["a", "b", "c"].iter().map(|name| run(&world, name, &[])).collect();
    run(&world, "d", &[]);
    gc(&world, &["--grace", "0s", "-v"]).ends(0, "", "fleche: removed 0 calls, 0 values and 0 other files: 0 B\n");
    forget(&world, "d");
    let outcome = gc(&world, &["--grace", "0s", "-v"]).run();
    let said = outcome.stderr();
    assert_eq!(said, "fleche: removed 0 calls, 1 value and 0 other files: 19.5 KiB\n");
    assert_eq!(files(&world.cache().join("values")).len(), 3);
    let before = world.executions("tool");
    for (name, printed) in ["a", "b", "c"].iter().zip(kept) {
        assert_eq!(run(&world, name, &[]), printed);
    }
    assert_eq!(world.executions("tool"), before);
    run(&world, "d", &[]);
    assert_eq!(world.executions("tool"), before + 1);
}

#[test]
fn what_cannot_be_looked_at_is_not_said_to_be_gone() {
    let world = world();
    run(&world, "big", &[]);
    forget(&world, "big");
    let value = files(&world.cache().join("values")).pop().unwrap();
    world.give_away();
    // The folder tells which files it has, and nothing of them.
    fs::set_permissions(value.parent().unwrap(), fs::Permissions::from_mode(0o600)).unwrap();
    let words = ["gc", "--grace", "0s"];
    let told = world.program(world.root().join("fleche"), words).by_somebody().run();
    let name = value.strip_prefix(world.cache()).unwrap().display().to_string();
    assert_eq!(told.code(), 2);
    assert!(told.stderr().contains(&format!("cannot look at `{name}` of the cache")), "{}", told.stderr());
    fs::set_permissions(value.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    world.program(world.root().join("fleche"), words).by_somebody().prints("");
    assert!(!value.exists());
}

#[test]
fn what_is_young_stays_and_success_is_silent() {
    let world = world();
    run(&world, "a", &[]);
    forget(&world, "a");
    gc(&world, &[]).prints("");
    assert_eq!(files(&world.cache().join("values")).len(), 1);
    gc(&world, &["--grace", "0s"]).prints("");
    assert_eq!(files(&world.cache().join("values")).len(), 0);
}

#[test]
fn a_dry_run_says_what_would_go_and_removes_nothing() {
    let world = world();
    run(&world, "a", &[]);
    run(&world, "b", &["--tag", "pin=1"]);
    gc(&world, &["--dry-run"]).prints("");
    let key = world.fleche(["query", "--arg", "1=a"]).run().stdout().trim().to_owned();
    let call = world.cache().join("calls").join(&key[..2]).join(&key[2..]);
    let size = fs::metadata(call).unwrap().len();
    let before = files(&world.cache().join("values"));
    let printed = gc(&world, &["--dry-run", "--max-size", "0", "--grace", "0s"]).run().stdout();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["what\tname\twhy\tsize", &format!("call\t{key}\tleast recently used\t{size}")]);
    assert!(lines[2].starts_with("value\t") && lines[2].ends_with("\tno call needs it\t20000"), "{printed}");
    assert_eq!(lines.len(), 3);
    assert_eq!(files(&world.cache().join("values")), before);
}

#[test]
fn limits_evict_what_was_not_used_for_longest_and_never_what_is_pinned() {
    let world = world();
    run(&world, "pinned", &["--tag", "pin="]);
    for name in ["a", "b", "c"] {
        run(&world, name, &[]);
    }
    // Used again, and so the last to go.
    run(&world, "a", &[]);
    let left = |world: &World| world.fleche(["table", "--columns", "arg.1", "--sort", "arg.1"]).run().stdout();
    gc(&world, &["--max-size", "70k", "--grace", "0s"]).prints("");
    assert_eq!(left(&world), "arg.1\na\nc\npinned\n");
    gc(&world, &["--max-age", "1h"]).prints("");
    gc(&world, &["--max-size", "50k", "--grace", "0s"]).prints("");
    assert_eq!(left(&world), "arg.1\na\npinned\n");
    gc(&world, &["--max-age", "0s", "--grace", "0s", "-v"]).run();
    assert_eq!(left(&world), "arg.1\npinned\n");
    let before = world.executions("tool");
    run(&world, "pinned", &["--tag", "pin="]);
    assert_eq!(world.executions("tool"), before);
}

#[test]
fn gc_beside_a_hundred_recordings_takes_nothing_that_they_need() {
    let world = world();
    let line = "i=0; while [ $i -lt 100 ]; do echo $((i % 30)) > n$i; fleche run -i n$i -- ./tool n$i > o$i || exit 1
        i=$((i + 1)); done & pid=$!
        while kill -0 $pid 2>/dev/null; do fleche gc --grace 0s --max-size 300k || exit 1; done; wait $pid && echo done";
    let outcome = world.shell(line).run();
    assert_eq!((outcome.stdout(), outcome.stderr()), ("done\n".into(), String::new()));
    world.fleche(["verify"]).prints("");
    for number in 0..100 {
        assert_eq!(fs::metadata(world.path(format!("o{number}"))).unwrap().len(), LARGE as u64);
    }
}

#[test]
fn copies_of_values_go_once_no_command_was_given_them_for_a_day() {
    let world = world();
    run(&world, "a", &[]);
    let key = world.fleche(["query", "--arg", "1=a"]).run().stdout().trim().to_owned();
    let word = format!("fleche:{key}");
    assert_eq!(world.fleche(["run", "-i", "a", "--", "wc", "-c", &word]).run().code(), 0);
    let copies = || files(&world.cache().join("args"));
    gc(&world, &[]).prints("");
    let folder = copies()[0].parent().unwrap().to_owned();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    fs::File::open(&folder).unwrap().set_modified(long_ago).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let line = format!("what\tname\twhy\tsize\nargument copy\targs/{name}\ttoo old to be of use\t{LARGE}\n");
    gc(&world, &["--dry-run"]).prints(&line);
    gc(&world, &["-v"]).ends(0, "", "fleche: removed 0 calls, 0 values and 1 other file: 19.5 KiB\n");
    assert_eq!(copies(), Vec::<PathBuf>::new());
    assert_eq!(world.fleche(["run", "-i", "a", "--", "wc", "-l", &word]).run().code(), 0);
    assert_eq!(copies().len(), 1);
}
