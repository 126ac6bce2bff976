//! `fleche table`: the stored calls, a row each.

use std::collections::BTreeMap;

use crate::mask::masked;
use crate::world::{Outcome, World};

/// A world with an input, and three calls: `echo one` and `echo two` of two projects, `printf three` of none.
fn world() -> World {
    let world = World::new();
    for (tags, command) in [
        (&["--project", "alpha", "--tag", "kind=test"][..], ["echo", "one"]),
        (&["--project", "beta", "--tag", "kind=build"], ["echo", "two"]),
        (&[], ["printf", "three"]),
    ] {
        run(&world, tags, &command);
    }
    world
}

fn run(world: &World, options: &[&str], command: &[&str]) {
    let outcome = world.fleche(["run", "--pure"].iter().chain(options).chain(&["--"]).chain(command)).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
}

fn table(world: &World, options: &[&str]) -> Outcome {
    world.fleche(["table"].iter().chain(options)).run()
}

/// The rows, each cell under its column's name.
#[track_caller]
fn rows(world: &World, options: &[&str]) -> Vec<BTreeMap<String, String>> {
    let outcome = table(world, options);
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let text = outcome.stdout();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), columns.len(), "{line}");
        columns.iter().zip(cells).map(|(column, cell)| ((*column).to_owned(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

#[track_caller]
fn commands(world: &World, options: &[&str]) -> Vec<String> {
    rows(world, options).into_iter().map(|row| row["command"].clone()).collect()
}

#[test]
fn all_calls_are_listed_the_most_recent_first() {
    let world = world();
    assert_eq!(commands(&world, &[]), ["printf three", "echo two", "echo one"]);
    assert_eq!(commands(&world, &["--limit", "2"]), ["printf three", "echo two"]);
    let names: Vec<String> = rows(&world, &[]).into_iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["printf", "echo", "echo"]);
}

/// A row with what differs from run to run replaced.
fn steady(line: &str) -> String {
    let steady = |(column, cell): (usize, &str)| match column {
        4..7 => format!("<{}>", if cell.parse::<f64>().is_ok_and(|number| number > 0.0) { "number" } else { cell }),
        _ => masked(cell),
    };
    line.split('\t').enumerate().map(steady).collect::<Vec<_>>().join("\t")
}

#[test]
fn every_column_is_there() {
    let world = world();
    run(&world, &["--project", "alpha", "--tag", "kind=test"], &["echo", "one"]);
    run(&world, &["--project", "alpha", "--tag", "kind=test"], &["echo", "one"]);
    let text = table(&world, &[]).stdout();
    let (header, rows) = text.split_once('\n').unwrap();
    assert_eq!(header, "key\tname\tcommand\texit\tstarted\twalltime\tsize\thits\tgrade\ttag.kind\ttag.project");
    let expected = [
        "<key>\tprintf\tprintf three\t0\t<number>\t<number>\t<number>\t0\tpure\t\t",
        "<key>\techo\techo two\t0\t<number>\t<number>\t<number>\t0\tpure\tbuild\tbeta",
        "<key>\techo\techo one\t0\t<number>\t<number>\t<number>\t2\tpure\ttest\talpha",
    ];
    assert_eq!(rows.lines().map(steady).collect::<Vec<_>>(), expected);
}

#[test]
fn a_new_call_appears_and_a_replayed_one_is_no_new_row() {
    let world = world();
    assert_eq!(commands(&world, &[]).len(), 3);
    run(&world, &[], &["printf", "three"]);
    assert_eq!(commands(&world, &[]).len(), 3);
    run(&world, &[], &["printf", "four"]);
    assert_eq!(commands(&world, &[]), ["printf four", "printf three", "echo two", "echo one"]);
}

#[test]
fn filters_choose_by_tag_project_and_name() {
    let world = world();
    assert_eq!(commands(&world, &["--project", "alpha"]), ["echo one"]);
    assert_eq!(commands(&world, &["-p", "beta"]), ["echo two"]);
    assert_eq!(commands(&world, &["--tag", "project=alpha"]), ["echo one"]);
    assert_eq!(commands(&world, &["--tag", "kind"]), ["echo two", "echo one"]);
    assert_eq!(commands(&world, &["--tag", "kind=build"]), ["echo two"]);
    assert_eq!(commands(&world, &["--tag", "kind", "--project", "alpha"]), ["echo one"]);
    assert_eq!(commands(&world, &["--name", "echo"]), ["echo two", "echo one"]);
    assert_eq!(commands(&world, &["--name", "p*f"]), ["printf three"]);
    assert_eq!(commands(&world, &["--name", "echo", "--limit", "1"]), ["echo two"]);
}

#[test]
fn where_nothing_matches_the_answer_is_no() {
    let world = world();
    for options in [
        &["--project", "gamma"][..],
        &["--tag", "none"],
        &["--tag", "kind=other"],
        &["--name", "ech"],
        &["--project", "alpha", "--name", "printf"],
        &["--limit", "0"],
        &["--format", "json", "--name", "none"],
    ] {
        table(&world, options).check(1, "", "fleche: no call matches\n");
    }
}

#[test]
fn an_empty_cache_has_no_rows() {
    World::new().fleche(["table"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn in_a_pipe_it_is_tab_separated_with_raw_numbers() {
    let world = world();
    let outcome = table(&world, &[]);
    assert_eq!(outcome, table(&world, &["--format", "tsv"]));
    let text = outcome.stdout();
    assert!(text.is_ascii() && text.lines().count() == 4, "{text}");
    for row in rows(&world, &[]) {
        assert_eq!(masked(&row["key"]), "<key>", "{row:?}");
        assert!(row.values().all(|cell| !cell.ends_with(" ms") && !cell.ends_with(" B")), "{row:?}");
    }
}

#[test]
fn a_drawn_table_is_for_people() {
    let world = world();
    let outcome = table(&world, &["--format", "table"]);
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let text = outcome.stdout();
    let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    assert!(text.lines().any(|line| line.contains(" echo one ")) && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn json_is_valid_and_says_the_same() {
    let world = world();
    let outcome = table(&world, &["--format", "json"]);
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let array: Vec<serde_json::Value> = serde_json::from_slice(&outcome.stdout).unwrap();
    let said: Vec<&str> = array.iter().map(|row| row["command"].as_str().unwrap()).collect();
    assert_eq!(said, ["printf three", "echo two", "echo one"]);
    let keys: Vec<String> = rows(&world, &[]).into_iter().map(|row| row["key"].clone()).collect();
    assert_eq!(array.iter().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(), keys);
    let lines = table(&world, &["--format", "jsonl"]).stdout();
    let read: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, array);
}

#[test]
fn escapes_tabs_and_line_feeds_in_arguments_are_harmless() {
    let world = World::new();
    run(&world, &["--tag", "a=\u{1b}]0;title\u{7}\tx\ny"], &["true", "\u{1b}[31mred\ttab\nline", "\u{9b}31m", "\r"]);
    for format in ["tsv", "table", "json", "jsonl"] {
        let text = table(&world, &["--format", format]).stdout();
        let is_harmless = |c: char| !c.is_control() || c == '\n' || (c == '\t' && format == "tsv");
        assert!(text.chars().all(is_harmless), "{format}: {text:?}");
    }
    assert_eq!(rows(&world, &[]).len(), 1);
}

#[test]
fn arguments_that_are_no_utf8_are_listed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let words =
        ["run", "--pure", "--", "true"].iter().map(|word| OsStr::new(*word)).chain([OsStr::from_bytes(b"\xff\xfe")]);
    assert_eq!(world.fleche(words).run().code(), 0);
    assert_eq!(rows(&world, &[]).len(), 1);
    let _: serde_json::Value = serde_json::from_slice(&table(&world, &["--format", "json"]).stdout).unwrap();
}

#[test]
fn a_redacted_argument_is_not_listed() {
    let world = World::new();
    run(&world, &["--redact-arg", "--token=*"], &["true", "--token=hush", "x"]);
    assert_eq!(commands(&world, &[]), ["true [redacted] x"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = world();
    for number in 0..30 {
        run(&world, &[], &["true", &number.to_string(), &"x".repeat(5000)]);
    }
    let line = "{ fleche table; echo status $? >&2; } | head -1 | cut -c1-3";
    // As every other program: killed without a word, unless that signal is ignored.
    world.shell(line).ends(0, "key\n", "status 141\n");
    world.shell(&format!("trap '' PIPE; {line}")).ends(0, "key\n", "status 0\n");
}

#[test]
fn many_questions_at_once_are_all_answered() {
    let world = world();
    let children: Vec<_> = (0..16).map(|_| world.fleche(["table", "--name", "echo"]).start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 3);
    }
}

#[test]
fn columns_of_which_there_are_none_are_a_no() {
    let world = World::new();
    run(&world, &[], &["echo", "one"]);
    table(&world, &["--columns", "tag.*"]).check(1, "", "fleche: no call has such a column\n");
    table(&world, &["--columns", "arg.*,tag.*", "--name", "none"]).check(1, "", "fleche: no call has such a column\n");
}

#[test]
fn thousands_of_tags_are_as_many_columns() {
    let world = World::new();
    run(&world, &[], &["echo", "one"]);
    let tags: Vec<String> = (0..2100).map(|number| format!("t{number}=x")).collect();
    world.fleche(["tag", "--name", "echo"].map(String::from).iter().chain(&tags)).prints("");
    let text = table(&world, &[]).stdout();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines[0].len(), lines[1].len(), lines[1][2000]), (2109, 2109, "x"));
}
