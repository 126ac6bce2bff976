//! `fleche query`: the keys of the calls that match, for pipelines.

use crate::mask::masked;
use crate::world::{Outcome, World};

/// A world with an input and four calls: a chain of two of project alpha, a failure, and one with a variable.
fn world() -> World {
    let world = World::new();
    world.write("words", "pear\napple\n");
    for words in [
        &["--project", "alpha", "-i", "words", "-o", "sorted", "--", "sh", "-c", "sort words > sorted"][..],
        &["--project", "alpha", "--tag", "kind=last", "-i", "sorted", "--", "head", "-1", "sorted"],
        &["--cache-exit", "3", "--pure", "--", "sh", "-c", "exit 3"],
        &["--env", "SIZE", "--pure", "--", "echo", "--big"],
    ] {
        let outcome = world.fleche(["run"].iter().chain(words)).env("SIZE", "9").run();
        assert_eq!(outcome.stderr(), "", "{words:?}");
    }
    world
}

fn query(world: &World, options: &[&str]) -> Outcome {
    world.fleche(["query"].iter().chain(options)).run()
}

/// The command lines of the calls that a query finds, in its order.
#[track_caller]
fn found(world: &World, options: &[&str]) -> Vec<String> {
    let outcome = query(world, options);
    assert_eq!(outcome.stderr(), "", "{options:?}");
    let line = |key: &str| {
        assert_eq!((masked(key).as_str(), key.len()), ("<key>", 64));
        let shown = world.fleche(["show", "--json", key]).run();
        let call: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let words = call["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        words.collect::<Vec<_>>().join(" ")
    };
    outcome.stdout().lines().map(line).collect()
}

const SORT: &str = "sh -c sort words > sorted";
const HEAD: &str = "head -1 sorted";
const EXIT: &str = "sh -c exit 3";
const ECHO: &str = "echo --big";

#[test]
fn every_call_is_a_key_on_a_line_the_most_recent_first() {
    assert_eq!(found(&world(), &[]), [ECHO, EXIT, HEAD, SORT]);
}

#[test]
fn each_filter_finds_its_calls() {
    let world = world();
    let work = world.work().display().to_string();
    let sorted = format!("{work}/sorted");
    let root = world.root().display().to_string();
    for (options, expected) in [
        (&["--name", "sh"][..], &[EXIT, SORT][..]),
        (&["--name", "[eh]*"], &[ECHO, HEAD]),
        (&["--arg", "--big"], &[ECHO]),
        (&["--arg", "1=-?"], &[EXIT, HEAD, SORT]),
        (&["--arg", "0=head", "--arg", "sorted"], &[HEAD]),
        (&["--arg", "1=sorted"], &[]),
        (&["--tag", "project"], &[HEAD, SORT]),
        (&["-t", "kind=last"], &[HEAD]),
        (&["--tag", "kind=first"], &[]),
        (&["-p", "alpha"], &[HEAD, SORT]),
        (&["--project", "alpha", "--tag", "kind"], &[HEAD]),
        (&["--cwd", "."], &[ECHO, EXIT, HEAD, SORT]),
        (&["--cwd", &work], &[ECHO, EXIT, HEAD, SORT]),
        (&["--cwd", &root], &[]),
        (&["--exit", "3"], &[EXIT]),
        (&["--exit", "0", "--name", "sh"], &[SORT]),
        (&["--since", "1h"], &[ECHO, EXIT, HEAD, SORT]),
        (&["--until", "1h"], &[]),
        (&["--since", "2001-01-01", "--until", "2001-01-02T03:04:05Z"], &[]),
        (&["--longer", "1h"], &[]),
        (&["--longer", "0s"], &[ECHO, EXIT, HEAD, SORT]),
        (&["--input", "sorted"], &[HEAD]),
        (&["--input", &sorted], &[HEAD]),
        (&["--input", "../work/words"], &[]),
        (&["--output", "sorted"], &[SORT]),
        (&["--output", &sorted], &[SORT]),
        (&["--output", "words"], &[]),
        (&["--grade", "pure"], &[ECHO, EXIT]),
        (&["--grade", "declared"], &[HEAD, SORT]),
        (&["--grade", "traced"], &[]),
        (&["--where", "exit = 3 or tags ->> 'kind' = 'last'"], &[EXIT, HEAD]),
        (&["--where", "env ->> 'SIZE' = '9' -- a comment"], &[ECHO]),
        (&["--where", "argv ->> 1 = '-1'", "--where", "walltime < 3600 and size > 9"], &[HEAD]),
        (&["--sort", "name"], &[ECHO, HEAD, EXIT, SORT]),
        (&["--sort", "name", "--reverse"], &[SORT, EXIT, HEAD, ECHO]),
        (&["--sort", "exit", "--limit", "1"], &[EXIT]),
        (&["--sort", "tag.kind", "--limit", "1"], &[HEAD]),
        (&["--reverse"], &[SORT, HEAD, EXIT, ECHO]),
        (&["--limit", "2"], &[ECHO, EXIT]),
        (&["--skip", "1", "--limit", "2"], &[EXIT, HEAD]),
        (&["--skip", "3"], &[SORT]),
        (&["--unique", "name"], &[ECHO, EXIT, HEAD]),
        (&["--unique", "tag.project", "--sort", "name"], &[ECHO, HEAD]),
        (&["--latest"], &[ECHO]),
        (&["--oldest"], &[SORT]),
        (&["--latest", "--project", "alpha"], &[HEAD]),
        (&["--only", "--exit", "3"], &[EXIT]),
    ] {
        if expected.is_empty() {
            query(&world, options).check(1, "", "fleche: no call matches\n");
        } else {
            assert_eq!(found(&world, options), expected, "{options:?}");
        }
    }
}

#[test]
fn values_find_the_calls_that_made_or_saw_them() {
    let world = world();
    let digest = |name: &str| blake3::hash(&std::fs::read(world.path(name)).unwrap()).to_hex().to_string();
    let (sorted, words) = (digest("sorted"), digest("words"));
    assert_eq!(found(&world, &["--value", &sorted]), [SORT]);
    assert_eq!(found(&world, &["--value", &sorted[..8].to_uppercase()]), [SORT]);
    assert_eq!(found(&world, &["--input", &format!("sorted={sorted}")]), [HEAD]);
    assert_eq!(found(&world, &["--input", &format!("sorted={}", &sorted[..6])]), [HEAD]);
    for options in [&["--value", &words][..], &["--input", &format!("sorted={words}")]] {
        query(&world, options).check(1, "", "fleche: no call matches\n");
    }
}

#[test]
fn only_wants_exactly_one() {
    let world = world();
    query(&world, &["--only"]).check(1, "", "fleche: 4 calls match, not one\n");
    query(&world, &["--only", "--name", "none"]).check(1, "", "fleche: no call matches\n");
}

#[test]
fn they_can_be_counted() {
    let world = world();
    query(&world, &["--count"]).check(0, "4\n", "");
    query(&world, &["--count", "--project", "alpha"]).check(0, "2\n", "");
    query(&world, &["--count", "--limit", "3"]).check(0, "3\n", "");
    query(&world, &["--count", "--name", "none"]).check(1, "0\n", "fleche: no call matches\n");
}

#[test]
fn json_is_a_call_a_line_with_everything() {
    let world = world();
    let text = query(&world, &["--json"]).stdout();
    let calls: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| calls.iter().map(|call| call[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("command"), ["echo --big", "sh -c 'exit 3'", HEAD, "sh -c 'sort words > sorted'"]);
    assert_eq!(of("exit"), [0, 3, 0, 0]);
    assert_eq!(serde_json::json!(of("tag.project")), serde_json::json!([null, null, "alpha", "alpha"]));
    assert_eq!(of("arg.1"), ["--big", "-c", "-1", "-c"]);
    assert_eq!(of("outputs"), [0, 0, 0, 1]);
    assert!(calls.iter().all(|call| call["cwd"] == world.work().to_str().unwrap()));
}

#[test]
fn thousands_of_arguments_are_as_many_fields() {
    let world = World::new();
    let words: Vec<String> = (0..2500).map(|number| number.to_string()).collect();
    let outcome = world.fleche(["run", "--pure", "--", "true"].map(String::from).iter().chain(&words)).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    let text = query(&world, &["--json"]).stdout();
    let call: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&call["arg.0"], &call["arg.2500"]), (&"true".into(), &"2499".into()));
    let header = world.fleche(["table", "--args"]).run().stdout();
    assert!(header.lines().next().unwrap().contains("\targ.2499\targ.2500"));
}

#[test]
fn a_wrong_condition_is_the_askers_fault_and_changes_nothing() {
    let world = world();
    for (sql, why) in [
        ("nowhere = 1", "no such column: nowhere"),
        ("exit = ", "near \")\": syntax error"),
        ("1) ; DELETE FROM call; --", "near \";\": syntax error"),
        ("id IN (DELETE FROM call RETURNING id)", "near \"DELETE\": syntax error"),
        ("load_extension('x') = 1", "not authorized to use function: load_extension"),
    ] {
        query(&world, &["--where", sql]).check(2, "", &format!("fleche: `--where` is not understood: {why}\n"));
    }
    query(&world, &["--count"]).check(0, "4\n", "");
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let world = world();
    query(&world, &["--tag", "=x"]).check(
        2,
        "",
        "fleche: `=x` names no tag\nhint: --tag project, or --tag project=alpha\n",
    );
    let outcome = query(&world, &["--sort", "nothing"]);
    assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()));
    assert!(
        outcome.stderr().starts_with("fleche: there is no column `nothing`\nhint: columns are key, name, command, ")
    );
    for words in [["--name", "a[b"], ["--arg", "1=[^]"]] {
        let glob = words[1].trim_start_matches("1=");
        query(&world, &words).check(2, "", &format!("fleche: `{glob}` is not a glob: a bracket is not closed\n"));
    }
    let outcome = query(&world, &["--since", "yesteryear"]);
    assert_eq!(outcome.code(), 2);
    assert!(outcome.stderr().contains("a time is a date, as in 2026-11-20"), "{}", outcome.stderr());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let world = world();
    world.shell("fleche query | head -1 | wc -l; fleche query --format csv | true; echo $?").prints("1\n0\n");
}

#[test]
fn keys_flow_through_pipelines() {
    let world = world();
    let keys = query(&world, &[]).stdout();
    world.shell("fleche table --format tsv | cut -f1 | fleche expand").prints(&keys);
    world.shell("fleche query | fleche shrink | fleche expand").prints(&keys);
    world.shell("fleche query --project alpha --longer 0s | fleche evict -").prints("");
    assert_eq!(found(&world, &[]), [ECHO, EXIT]);
}

#[test]
fn times_of_a_table_are_read_again() {
    let world = world();
    let started = world.fleche(["table", "--columns", "started", "--name", "head"]).run().stdout();
    let started = started.lines().nth(1).unwrap();
    let later: f64 = started.parse::<f64>().unwrap() + 0.001;
    assert_eq!(found(&world, &["--until", &later.to_string(), "--limit", "1"]), [HEAD]);
    let json = query(&world, &["--json", "--name", "head"]).stdout();
    let call: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!((call["started"].as_f64().unwrap() - started.parse::<f64>().unwrap()).abs() < 0.001);
}

#[test]
fn a_condition_may_be_as_deep_as_it_is_allowed_to_be() {
    let world = world();
    let not = |depth: usize| format!("{}0", "not ".repeat(depth));
    let case = |depth: usize| format!("{}1{}", "case when 1 then ".repeat(depth), " end".repeat(depth));
    let select = |depth: usize| format!("{}1{}", "1 in (select ".repeat(depth), ")".repeat(depth));
    // Almost as deep as what is understood, and deeper than that.
    let forms: [(&dyn Fn(usize) -> String, usize); 3] = [(&not, 487), (&case, 460), (&select, 38)];
    for limit in ["true", "ulimit -v 900000", "ulimit -s 128"] {
        for (form, most) in &forms {
            let ask = |depth: usize| {
                let line = format!("{limit}; exec fleche query --count --where '{}'", form(depth));
                let outcome = world.shell(&line).run();
                (outcome.code(), outcome.stdout(), outcome.stderr().contains("not understood"))
            };
            assert_eq!(ask(*most), (0, "4\n".to_owned(), false), "{limit} {}", form(1));
            for deep in [most + 60, 10 * most] {
                assert_eq!(ask(deep), (2, String::new(), true), "{limit} {}", form(1));
            }
        }
    }
}
