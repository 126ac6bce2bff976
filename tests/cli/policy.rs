//! What is kept, for how long, and what is said about it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mask::masked;
use crate::world::{World, eventually, tool, world};

const STORED: &str = "fleche: miss: no call is stored for this state; stored <short> (took <time>)\n";
const CHANGED: &str = "fleche: miss: `input` changed since call <short>; stored <short> (took <time>)\n";
const HIT: &str = "fleche: hit <short> (saved <time>)\n";

/// Runs the tool: its standard output, and what fleche says with keys and durations masked.
#[track_caller]
fn says(world: &World, options: &[&str], stdout: &str, said: &str) {
    let outcome = tool(world, options).run();
    assert_eq!((outcome.code(), outcome.stdout(), masked(&outcome.stderr())), (0, stdout.into(), said.to_owned()));
}

/// Every file and folder below, with all that a write would change.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, i64, u32)> {
    let mut seen = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        let of = entry.metadata().unwrap();
        let state = (of.len(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec(), of.mode());
        seen.insert(entry.into_path(), state);
    }
    seen
}

#[test]
fn verbose_tells_of_a_miss_and_of_a_hit() {
    let world = world("echo out");
    says(&world, &["-v"], "out\n", STORED);
    says(&world, &["-v"], "out\n", HIT);
    says(&world, &[], "out\n", "");
    world.write("input", "2\n");
    says(&world, &["--verbose"], "out\n", CHANGED);
}

#[test]
fn the_variable_fleche_verbose_is_the_flag() {
    let world = world("echo out");
    for (value, said) in [("1", STORED), ("1", HIT), ("0", ""), ("", "")] {
        let outcome = tool(&world, &[]).env("FLECHE_VERBOSE", value).run();
        assert_eq!((outcome.stdout(), masked(&outcome.stderr())), ("out\n".into(), said.to_owned()), "{value}");
    }
}

#[test]
fn verbose_may_stand_before_the_subcommand() {
    let world = world("echo out");
    let outcome = world.fleche(["-v", "run", "-i", "input", "--", "./tool"]).run();
    assert_eq!((outcome.stdout(), masked(&outcome.stderr())), ("out\n".into(), STORED.into()));
}

#[test]
fn an_undeclared_command_that_is_not_watched_runs_and_a_hint_is_given() {
    let world = world("echo out; exit 7");
    let hint = "fleche: not cached: its inputs are not declared; name what it reads with -i, or say --pure\n";
    for executions in 1..3 {
        world.fleche(["run", "--trace", "off", "--", "./tool"]).ends(7, "out\n", hint);
        assert_eq!(world.executions("tool"), executions);
    }
    world.fleche(["run", "--trace", "off", "-o", "made", "--", "./tool"]).ends(7, "out\n", hint);
    world.fleche(["run", "-q", "--trace", "off", "--", "./tool"]).ends(7, "out\n", "");
    world.fleche(["-q", "run", "--trace", "off", "./tool"]).ends(7, "out\n", "");
    assert!(!world.cache().join("calls").exists());
}

#[test]
fn quiet_silences_hints_but_not_errors() {
    let world = world("echo out");
    let error = "fleche: no input matches `*.none`\n";
    world.fleche(["run", "-q", "-i", "*.none", "--", "./tool"]).ends(125, "", error);
}

#[test]
fn a_ttl_makes_older_calls_misses() {
    let world = world("echo out");
    let expired = "fleche: miss: the stored call is too old; stored <short> (took <time>)\n";
    says(&world, &["-v", "--ttl", "1h"], "out\n", STORED);
    says(&world, &["-v", "--ttl", "1h"], "out\n", HIT);
    says(&world, &["-v", "--ttl", "0s"], "out\n", expired);
    assert_eq!(world.executions("tool"), 2);
    says(&world, &["-v"], "out\n", HIT);
    says(&world, &["-v", "--ttl", "0s", "--stale", "0s"], "out\n", expired);
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn a_stale_call_is_replayed_and_made_again() {
    let world = world("cat ../undeclared");
    let undeclared = world.root().join("undeclared");
    fs::write(&undeclared, "old\n").unwrap();
    says(&world, &[], "old\n", "");
    fs::write(&undeclared, "new\n").unwrap();
    let stale = "fleche: stale hit <short> (saved <time>), running again\n";
    says(&world, &["-v", "--ttl", "0s", "--stale", "1h"], "old\n", stale);
    eventually("the refresh", || world.executions("tool") == 2);
    eventually("the refreshed call", || tool(&world, &["--mode", "read-only"]).run().stdout() == "new\n");
    says(&world, &["-v"], "new\n", HIT);
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn a_stale_call_with_a_file_on_standard_input_is_made_again() {
    let world = world("cat; cat ../undeclared");
    let undeclared = world.root().join("undeclared");
    fs::write(&undeclared, "old\n").unwrap();
    let lines = world.write("lines", "a\nb\n");
    let run = |options: &str| {
        let line = format!("{{ read first; fleche run {options} -i input -- ./tool; cat; }} < '{}'", lines.display());
        world.shell(&line).run()
    };
    assert_eq!(run("").stdout(), "b\nold\n");
    fs::write(&undeclared, "new\n").unwrap();
    assert_eq!(run("--ttl 0s --stale 1h").stdout(), "b\nold\n");
    eventually("the refreshed call", || run("--mode read-only").stdout() == "b\nnew\n");
    // The replay moves the caller's descriptor as the recorded run did, which had one of its own.
    let outcome = run("-v");
    assert_eq!((outcome.stdout(), masked(&outcome.stderr())), ("b\nnew\n".into(), HIT.into()));
}

#[test]
fn a_refresh_in_the_background_keeps_nothing_of_the_caller() {
    // The second execution waits until somebody writes to the FIFO.
    let world = world("echo out; [ ! -e made ] || cat ../gate; echo x > made");
    let gate = world.root().join("gate");
    world.program("mkfifo", [&gate]).prints("");
    let options = ["-o", "made", "--ttl", "0s", "--stale", "1h"];
    tool(&world, &options).prints("out\n");
    // Returns, although the refresh goes on: standard output and error are at their end.
    tool(&world, &options).prints("out\n");
    eventually("the refresh", || world.executions("tool") == 2);
    let key = tool_key(&world, &["-o", "made"]);
    fs::write(&gate, "refreshed\n").unwrap();
    eventually("the refreshed call", || stdout_bytes(&world, &key) == Some("out\nrefreshed\n".len() as u64));
    assert_eq!(world.executions("tool"), 2);
}

/// The key of the tool's call.
fn tool_key(world: &World, options: &[&str]) -> String {
    let words = ["digest", "-i", "input"].iter().chain(options).chain(&["--", "./tool"]);
    let outcome = world.fleche(words).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().trim_end().to_owned()
}

fn shown(world: &World, key: &str) -> serde_json::Value {
    let outcome = world.fleche(["show", "--json", key]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    serde_json::from_slice(&outcome.stdout).unwrap()
}

fn stdout_bytes(world: &World, key: &str) -> Option<u64> {
    shown(world, key)["stdout"]["bytes"].as_u64()
}

#[test]
fn failures_are_not_stored_unless_asked() {
    let world = world("echo out; exit 3");
    let said = "fleche: miss: no call is stored for this state; not stored: it exited with 3\n";
    for executions in 1..3 {
        let outcome = tool(&world, &["-v"]).run();
        assert_eq!((outcome.code(), outcome.stdout(), outcome.stderr()), (3, "out\n".into(), said.into()));
        assert_eq!(world.executions("tool"), executions);
    }
    for executions in [3, 3] {
        tool(&world, &["--cache-exit", "1,3"]).ends(3, "out\n", "");
        assert_eq!(world.executions("tool"), executions);
    }
    // Who does not ask for failures does not get them.
    tool(&world, &[]).ends(3, "out\n", "");
    assert_eq!(world.executions("tool"), 4);
    tool(&world, &["--cache-exit", "1", "--cache-exit", "3"]).ends(3, "out\n", "");
    assert_eq!(world.executions("tool"), 4);
}

#[test]
fn not_found_and_not_executable_are_never_stored() {
    for code in [126, 127] {
        let world = world(&format!("exit {code}"));
        for executions in 1..3 {
            tool(&world, &["--cache-exit", "126,127"]).ends(code, "", "");
            assert_eq!(world.executions("tool"), executions);
        }
    }
}

#[test]
fn a_death_by_signal_is_never_stored() {
    let world = world("echo out; kill -TERM $$");
    let said = "fleche: miss: no call is stored for this state; not stored: it was ended by signal 15\n";
    for executions in 1..3 {
        tool(&world, &["-v", "--cache-exit", "143,15"]).ends(143, "out\n", said);
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn a_failure_ttl_bounds_failures_only() {
    let world = world("read code < input; exit $code");
    let options = ["--cache-exit", "1", "--failure-ttl", "0s"];
    for executions in 1..3 {
        tool(&world, &options).ends(1, "", "");
        assert_eq!(world.executions("tool"), executions);
    }
    tool(&world, &["--cache-exit", "1", "--failure-ttl", "1h"]).ends(1, "", "");
    assert_eq!(world.executions("tool"), 2);
    world.write("input", "0\n");
    for _ in 0..2 {
        tool(&world, &options).prints("");
        assert_eq!(world.executions("tool"), 3);
    }
}

#[test]
fn what_is_larger_than_max_entry_is_not_stored() {
    for (body, options) in [
        ("printf 12345678901", &[][..]),
        ("printf 12345678901 >&2", &[]),
        ("printf 12345678901 > made", &["-o", "made"]),
    ] {
        let world = world(body);
        let bare = world.program("./tool", [""; 0]).run();
        for (limit, executions) in [("10", 2), ("10B", 3), ("11", 4), ("11", 4), ("1KiB", 4)] {
            let options: Vec<&str> = ["--max-entry", limit].iter().chain(options).copied().collect();
            assert_eq!(tool(&world, &options).run(), bare, "{body} {limit}");
            assert_eq!(world.executions("tool"), executions, "{body} {limit}");
        }
    }
    let world = world("printf 12345678901");
    let said = "fleche: miss: no call is stored for this state; not stored: it made more than 10 bytes\n";
    tool(&world, &["-v", "--max-entry", "10"]).ends(0, "12345678901", said);
}

#[test]
fn a_call_that_cannot_be_restored_is_a_miss_and_no_hit() {
    let world = world("rm -rf made; echo out | tee made");
    let options = ["-v", "-o", "made"];
    says(&world, &options, "out\n", STORED);
    // A folder that holds something does not give way to a file.
    fs::remove_file(world.path("made")).unwrap();
    world.write("made/of/mine", "");
    let outcome = tool(&world, &options).run();
    let said = masked(&outcome.stderr());
    assert!(said.starts_with("fleche: miss: its outputs cannot be restored: "), "{said}");
    assert!(said.ends_with("; stored <short> (took <time>)\n") && said.lines().count() == 1, "{said}");
    assert_eq!((outcome.stdout(), world.read("made"), world.executions("tool")), ("out\n".into(), "out\n".into(), 2));
    let journal = || fs::read_to_string(world.cache().join("journal")).unwrap();
    let hits = || journal().lines().filter(|line| line.split('\t').nth(1) == Some("hit")).count();
    assert_eq!(hits(), 0, "{}", journal());
    says(&world, &options, "out\n", HIT);
    assert_eq!(hits(), 1, "{}", journal());
}

#[test]
fn output_that_was_lost_is_told_of_in_one_line() {
    let world = world("trap '' XFSZ PIPE; { yes | head -c 100000; } 2>/dev/null; exit 0");
    let said = "fleche: the output is not whole: standard output: file too large\n";
    for options in ["", "-v"] {
        // Into a file that was empty it would write by itself.
        let line = format!("ulimit -f 8; echo >log; fleche run {options} -i input -- ./tool 1<>log");
        world.shell(&line).ends(1, "", said);
    }
}

#[test]
fn mode_off_touches_no_cache() {
    let world = world("echo out");
    for executions in 1..3 {
        says(&world, &["-v", "--mode", "off"], "out\n", "fleche: not cached: caching is off\n");
        tool(&world, &[]).env("FLECHE_MODE", "off").prints("out\n");
        assert_eq!(world.executions("tool"), 2 * executions);
    }
    assert!(!world.home().join(".cache").exists());
    // It needs no declaration, and so gives no hint.
    world.fleche(["run", "--mode", "off", "--", "./tool"]).prints("out\n");
}

#[test]
fn mode_read_only_replays_and_writes_nothing() {
    let world = world("cat input");
    says(&world, &[], "1\n", "");
    world.is_alone();
    let before = listing(&world.cache());
    says(&world, &["-v", "--mode", "read-only"], "1\n", HIT);
    assert_eq!(world.executions("tool"), 1);
    world.write("input", "2\n");
    let said = "fleche: miss: `input` changed since call <short>; not stored: the cache is read-only\n";
    for executions in 2..4 {
        says(&world, &["-v", "--mode", "read-only"], "2\n", said);
        assert_eq!(world.executions("tool"), executions);
    }
    tool(&world, &[]).env("FLECHE_MODE", "read-only").prints("2\n");
    tool(&world, &["--mode", "read-only", "--ttl", "0s", "--stale", "1h"]).prints("2\n");
    assert_eq!(listing(&world.cache()), before);
}

#[test]
fn mode_read_only_makes_no_cache() {
    let world = world("cat input");
    let outcome = tool(&world, &["--mode", "read-only"]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (0, "1\n".into()));
    assert!(!world.home().join(".cache").exists());
}

#[test]
fn mode_refresh_runs_and_stores_anew() {
    let world = world("cat ../undeclared");
    let undeclared = world.root().join("undeclared");
    fs::write(&undeclared, "old\n").unwrap();
    says(&world, &[], "old\n", "");
    fs::write(&undeclared, "new\n").unwrap();
    let said = "fleche: miss: asked to run again; stored <short> (took <time>)\n";
    says(&world, &["-v", "--mode", "refresh"], "new\n", said);
    says(&world, &["-v"], "new\n", HIT);
    assert_eq!(world.executions("tool"), 2);
    tool(&world, &[]).env("FLECHE_MODE", "refresh").prints("new\n");
    assert_eq!(world.executions("tool"), 3);
    // The flag outranks the variable.
    tool(&world, &["--mode", "on"]).env("FLECHE_MODE", "refresh").prints("new\n");
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn a_failed_refresh_keeps_what_was_stored() {
    let world = world("cat ../undeclared");
    let undeclared = world.root().join("undeclared");
    fs::write(&undeclared, "old\n").unwrap();
    says(&world, &[], "old\n", "");
    fs::remove_file(&undeclared).unwrap();
    assert_eq!(tool(&world, &["--mode", "refresh"]).run().code(), 1);
    says(&world, &["-v"], "old\n", HIT);
}

#[test]
fn tags_come_from_flags_and_variables() {
    let world = world("echo out");
    let tags = |options: &[&str], variables: &[(&str, &str)]| {
        // A call that is stored anew would keep those that it had.
        world.remove_cache();
        let session = tool(&world, options);
        variables.iter().fold(session, |session, (name, value)| session.env(name, value)).prints("out\n");
        let tags = shown(&world, &tool_key(&world, &[]))["tags"].clone();
        serde_json::from_value::<BTreeMap<String, String>>(tags).unwrap().into_iter().collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(tags(&[], &[]), []);
    assert_eq!(tags(&["--tag", "a=1", "-t", "b=2=3"], &[]), [pair("a", "1"), pair("b", "2=3")]);
    assert_eq!(tags(&["--project", "alpha"], &[]), [pair("project", "alpha")]);
    assert_eq!(tags(&[], &[("FLECHE_TAGS", "a=1,b=2")]), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(tags(&["--tag", "a=3"], &[("FLECHE_TAGS", "a=1,b=2")]), [pair("a", "3"), pair("b", "2")]);
    assert_eq!(tags(&[], &[("FLECHE_PROJECT", "beta")]), [pair("project", "beta")]);
    assert_eq!(tags(&["-p", "alpha"], &[("FLECHE_PROJECT", "beta")]), [pair("project", "alpha")]);
    assert_eq!(tags(&["-t", "project=alpha"], &[("FLECHE_PROJECT", "beta")]), [pair("project", "alpha")]);
    assert_eq!(tags(&["-t", "empty="], &[]), [pair("empty", "")]);
}

#[test]
fn realtime_keeps_the_order() {
    let world = world("for n in 1 2 3 4 5; do echo out $n; echo err $n >&2; done");
    let bare = world.shell("./tool 2>&1").run();
    for options in ["", "--realtime", "--realtime", ""] {
        assert_eq!(world.shell(&format!("fleche run -i input {options} -- ./tool 2>&1")).run(), bare, "{options}");
    }
    assert_eq!(world.executions("tool"), 2);
    let apart = world.program("./tool", [""; 0]).run();
    for options in [&[][..], &["--realtime"], &[]] {
        assert_eq!(tool(&world, options).run(), apart);
    }
    assert_eq!(world.executions("tool"), 4);
}
