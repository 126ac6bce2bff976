//! `fleche explain`: which difference makes a miss, what would make it not count, and what a hit does not cover.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::mask::masked;
use crate::world::{Outcome, World};

const NOTE: &str = "such an option counts too: it has to be given every time\n";

/// A command as it is asked for, and what is in the world then.
#[derive(Clone, Copy)]
struct Side {
    before: &'static str,
    options: &'static str,
    words: &'static str,
    behind: &'static str,
    state: fn(&World),
}

const USUAL: Side = Side { before: "", options: "", words: "./tool a b", behind: "", state: |_| {} };

impl Side {
    /// Puts the world into its usual state, but for what this side changes.
    fn prepare(&self, world: &World) {
        for name in ["input", "src"] {
            let path = world.path(name);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        world.counted("tool", "echo out");
        for (name, content) in [("input", "1\n"), ("src/a.c", "a\n"), ("../probed", "1\n")] {
            fs::set_permissions(world.write(name, content), fs::Permissions::from_mode(0o644)).unwrap();
        }
        symlink("a.c", world.path("src/l")).unwrap();
        for name in ["one", "two"] {
            fs::create_dir_all(world.path(name)).unwrap();
            world.script(format!("{name}/prog"), "#!/bin/sh\n");
        }
        (self.state)(world);
    }

    fn ask(&self, world: &World, question: &str, more: &str) -> Outcome {
        let Side { before, options, words, behind, .. } = self;
        let inputs = if before.starts_with("cd") { "-i ../input" } else { "-i input -i src" };
        world.shell(&format!("{before} fleche {question} {inputs} {options} {more} -- {words} {behind}")).run()
    }
}

/// What explain says beyond the first two lines, with the world's own path taken out.
#[track_caller]
fn explained(world: &World, outcome: &Outcome) -> String {
    assert_eq!((outcome.code(), outcome.stderr()), (1, String::new()), "{}", outcome.stdout());
    let text = masked(&outcome.stdout()).replace(world.work().to_str().unwrap(), "WORK");
    let mut lines = text.splitn(3, '\n');
    assert_eq!(lines.next(), Some("miss: no call is stored for this state"), "{text}");
    let nearest = lines.next().unwrap();
    assert!(nearest.starts_with("nearest: <short> (") && nearest.ends_with("), recorded <time> ago"), "{text}");
    lines.next().unwrap().to_owned()
}

/// `then` is recorded and `now` explained: that is what differs, and with `remedy` it does not.
#[track_caller]
fn differs(then: Side, now: Side, said: &str, remedy: &str) {
    let world = World::new();
    then.prepare(&world);
    assert_eq!(then.ask(&world, "run", "").code(), 0, "{said}");
    let is_tool = then.words.contains("tool");
    assert!(!is_tool || world.executions("tool") == 1, "{said}");
    now.prepare(&world);
    let hint = if remedy.is_empty() { String::new() } else { format!("    {remedy}\n{NOTE}") };
    assert_eq!(explained(&world, &now.ask(&world, "explain", "")), format!("{said}\n{hint}"));
    assert!(!is_tool || world.executions("tool") == 1, "explain executes the command");
    if remedy.is_empty() {
        return;
    }
    assert_eq!(now.ask(&world, "run", remedy).code(), 0, "{said}");
    then.prepare(&world);
    let again = then.ask(&world, "run -v", remedy);
    assert!(again.stderr().starts_with("fleche: hit "), "{said}: {remedy}: {again:?}");
}

#[test]
fn an_argument_is_told_by_its_number() {
    let words = |words| Side { words, ..USUAL };
    for (then, now, said, remedy) in [
        ("./tool a b", "./tool a c", "argument 2 is `c`, was `b`", "--ignore-arg c --ignore-arg b"),
        ("./tool -O2 b", "./tool -O3 b", "argument 1 is `-O3`, was `-O2`", "--ignore-arg '-O*'"),
        ("./tool --seed=1", "./tool --seed=2", "argument 1 is `--seed=2`, was `--seed=1`", "--ignore-arg '--seed=*'"),
        ("./tool a b", "./tool x a b", "argument 1, `x`, is new", "--ignore-arg x"),
        ("./tool a b", "./tool a", "argument 2, `b`, is gone", "--ignore-arg b"),
        ("./tool 'a*'", "./tool b", "argument 1 is `b`, was `a*`", "--ignore-arg b --ignore-arg 'a[*]'"),
        ("./tool a b", "../work/tool a b", "the command is `../work/tool`, was `./tool`", ""),
    ] {
        differs(words(then), words(now), said, remedy);
    }
}

#[test]
fn a_variable_is_told_by_its_name() {
    let side = |before, options| Side { before, options, ..USUAL };
    let ignored = "--ignore-env CC";
    for (then, now, options, said, remedy) in [
        ("CC=one", "CC=two", "", "variable `CC` has another value", ignored),
        ("", "CC=two", "", "variable `CC` is set, was not", ignored),
        ("CC=one", "", "", "variable `CC` is not set, was", ignored),
        ("CC=one", "CC=two", "--env CC", "variable `CC` is `two`, was `one`", ""),
        ("CC=one", "CC=two", "--env 'C*'", "variable `CC` is `two`, was `one`", ignored),
        ("", "CC=two", "--env 'C*'", "variable `CC` is set to `two`, was not", ignored),
        ("CC=one", "", "--env 'C*'", "variable `CC` is not set, was `one`", ignored),
        ("CC=one", "CC=two", "--env-mode listed --env 'C*'", "variable `CC` is `two`, was `one`", ignored),
    ] {
        differs(side(then, options), side(now, options), said, remedy);
    }
}

/// What changes in the world, what is said of it, and the last options that are advised.
type Case = (fn(&World), &'static str, &'static str);

#[test]
fn an_input_is_told_by_its_path() {
    let cases: [Case; 8] = [
        (|w| drop(w.write("input", "2\n")), "`input` changed", ""),
        (|w| drop(w.write("src/a.c", "b\n")), "`src/a.c` changed\n    -x src/a.c\n`src/l` changed", "-x src/l"),
        (|w| drop(w.write("src/b.c", "b\n")), "`src/b.c` is new", "-x src/b.c"),
        (|w| fs::remove_file(w.path("src/l")).unwrap(), "`src/l` is gone", "-x src/l"),
        (
            |w| fs::set_permissions(w.path("input"), fs::Permissions::from_mode(0o600)).unwrap(),
            "`input` has mode 600, had 644",
            "",
        ),
        (
            |w| fs::remove_file(w.path("input")).and_then(|()| fs::create_dir(w.path("input"))).unwrap(),
            "`input` is a thing of another kind",
            "",
        ),
        (
            |w| fs::remove_file(w.path("src/l")).and_then(|()| symlink("../input", w.path("src/l"))).unwrap(),
            "`src/l` changed",
            "-x src/l",
        ),
        (|w| drop(w.write("src/it's", "")), "`src/it's` is new", r"-x 'src/it'\''s'"),
    ];
    for (state, said, remedy) in cases {
        // A second remedy stands in the text itself, and both have to be given.
        if said.contains('\n') {
            let world = World::new();
            USUAL.prepare(&world);
            assert_eq!(USUAL.ask(&world, "run", "").code(), 0);
            state(&world);
            let text = explained(&world, &USUAL.ask(&world, "explain", ""));
            assert_eq!(text, format!("{said}\n    {remedy}\n{NOTE}"));
            continue;
        }
        differs(USUAL, Side { state, ..USUAL }, said, remedy);
    }
}

#[test]
fn the_surroundings_are_told() {
    let behind = |behind| Side { behind, ..USUAL };
    let before = |before| Side { before, ..USUAL };
    let of_path = |before| Side { before, options: "--ignore-env PATH", words: "prog", ..USUAL };
    let folder = |before| Side { before, words: "../tool", ..USUAL };
    let program: fn(&World) = |world| drop(world.counted("tool", "echo other"));
    for (then, now, said, remedy) in [
        (USUAL, Side { state: program, ..USUAL }, "the program `WORK/tool` changed", "--program path"),
        (
            of_path("PATH=$PWD/one:$PATH"),
            of_path("PATH=$PWD/two:$PATH"),
            "the program is `WORK/two/prog`, was `WORK/one/prog`",
            "--program name",
        ),
        (folder("cd one;"), folder("cd two;"), "the working directory is `WORK/two`, was `WORK/one`", "--no-cwd"),
        (before("umask 022;"), before("umask 077;"), "the umask is `077`, was `022`", ""),
        (USUAL, behind("2>&1"), "standard output and error are one open file, were two open files", ""),
        (USUAL, behind("<input"), "standard input is a file, was a terminal or empty", "--no-stdin"),
        (behind("<src/a.c"), behind("<input"), "standard input holds something else", ""),
        (USUAL, behind("3<input"), "something else is open beyond the standard descriptors", ""),
    ] {
        differs(then, now, said, remedy);
    }
}

#[test]
fn an_option_is_told_by_what_was_given() {
    let given = |options| Side { options, ..USUAL };
    for (then, now, said) in [
        ("", "-i two", "`-i two` is given, was not"),
        ("-i two", "", "`-i two` is not given, was"),
        ("-i one", "-i two", "`-i two` is given, was not\n`-i one` is not given, was"),
        ("", "-x 'l*'", "`-x 'l*'` is given, was not"),
        ("", "--gitignore", "`--gitignore` is given, was not"),
        ("-o made", "", "`-o made` is not given, was"),
        ("", "--ignore-arg a", "`--ignore-arg a` is given, was not"),
        ("", "--ignore-env LANG", "`--ignore-env LANG` is given, was not"),
        ("", "--env LANG", "`--env LANG` is given, was not"),
        ("", "--env-mode listed", "`--env-mode` is `listed`, was `all`"),
        ("", "--program path", "`--program` is `path`, was `content`"),
        ("", "--revision 1", "`--revision 1` is given, was not"),
        ("--revision 2", "--revision 1", "`--revision` is `1`, was `2`"),
        ("", "--probe 'echo 1'", "`--probe 'echo 1'` is given, was not"),
        ("", "--no-cwd", "`--no-cwd` is given, was not"),
        ("", "--no-stdin", "`--no-stdin` is given, was not"),
        ("--no-stdin", "--stdin-from input", "`--stdin-from` is given, was not\n`--no-stdin` is not given, was"),
    ] {
        differs(given(then), given(now), said, "");
    }
    let probed = given("--probe 'cat ../probed'");
    let state: fn(&World) = |world| drop(world.write("../probed", "2\n"));
    differs(probed, Side { state, ..probed }, "probe `cat ../probed` prints something else", "");
}

/// A world in which the tool was run with these words.
fn recorded(options: &[&str], words: &[&str]) -> World {
    let world = World::new();
    world.counted("tool", "echo out");
    world.write("input", "1\n");
    run(&world, options, words).check(0, "out\n", "");
    world
}

fn run(world: &World, options: &[&str], words: &[&str]) -> Outcome {
    ask(world, "run", options, words)
}

fn ask(world: &World, question: &str, options: &[&str], words: &[&str]) -> Outcome {
    let line = [question, "-i", "input"].into_iter().chain(options.iter().copied()).chain(["--", "./tool"]);
    world.fleche(line.chain(words.iter().copied())).run()
}

fn object(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn all_differences_are_told_the_options_first() {
    let world = recorded(&[], &["a", "b"]);
    world.write("input", "2\n");
    let words = ["explain", "-i", "input", "--gitignore", "--", "./tool", "a", "c"];
    let outcome = world.fleche(words).env("CC", "hidden value").run();
    assert_eq!(
        explained(&world, &outcome),
        format!(
            "`--gitignore` is given, was not\nargument 2 is `c`, was `b`\n    --ignore-arg c --ignore-arg b\nvariable `CC` is set, \
             was not\n    --ignore-env CC\n`input` changed\n{NOTE}"
        )
    );
}

#[test]
fn the_nearest_call_is_the_one_with_the_fewest_differences() {
    let world = recorded(&[], &["a", "b", "c"]);
    run(&world, &[], &["x", "y", "z"]).check(0, "out\n", "");
    let text = explained(&world, &ask(&world, "explain", &[], &["a", "b", "d"]));
    assert!(text.starts_with("argument 3 is `d`, was `c`\n"), "{text}");
    // What was recorded of the very command is nearer than anything else.
    world.write("input", "2\n");
    let text = explained(&world, &ask(&world, "explain", &[], &["x", "y", "z"]));
    assert_eq!(text, "`input` changed\n");
}

#[test]
fn an_argument_put_in_among_many_is_one_difference() {
    let many: Vec<String> = (0..20).map(|number| format!("word{number}")).collect();
    let mut words: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = recorded(&[], &words);
    words.insert(7, "new");
    let text = explained(&world, &ask(&world, "explain", &[], &words));
    assert_eq!(text, format!("argument 8, `new`, is new\n    --ignore-arg new\n{NOTE}"));
}

#[test]
fn without_a_cache_none_is_made() {
    let world = World::new();
    world.counted("tool", "echo out");
    world.write("input", "1\n");
    ask(&world, "explain", &[], &[]).check(1, "miss: no call is stored for this state\n", "");
    assert!(!world.home().join(".cache").exists());
    assert_eq!(world.executions("tool"), 0);
}

#[test]
fn nothing_is_stored_and_nothing_is_run() {
    let world = recorded(&[], &[]);
    let files = || {
        let below = |folder: &str| walkdir::WalkDir::new(world.cache().join(folder)).into_iter().count();
        let journal = fs::read(world.cache().join("journal")).unwrap();
        (["calls", "paths", "values", "tmp", "quarantine"].map(below), journal)
    };
    let before = files();
    ask(&world, "explain", &[], &[]);
    ask(&world, "explain", &["--json"], &["other"]);
    assert_eq!((files(), world.executions("tool")), (before, 1));
}

#[test]
fn a_hit_tells_what_it_does_not_cover() {
    let world = recorded(&["--ignore-arg", "-j*", "--ignore-env", "X", "--no-cwd", "--program", "path"], &["-j2"]);
    let words =
        ["explain", "-i", "input", "--ignore-arg", "-j*", "--ignore-env", "X", "--no-cwd", "--program", "path", "--"];
    let outcome = world.fleche(words).arg("./tool").arg("-j8").env("X", "hidden").env("SHLVL", "7").run();
    let text = "hit: ./tool -j2\nkey <key>\ndeclared, recorded <time> ago\nnot covered: variable `SHLVL`, which is not what it \
                was\nnot covered: variable `X`, which is not what it was\nnot covered: argument `-j8`\nnot covered: what the \
                program holds\nnot covered: files that were not declared\nnot covered: the network and the clock\n";
    assert_eq!((outcome.code(), masked(&outcome.stdout()), outcome.stderr()), (0, text.into(), String::new()));
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn what_is_not_cached_at_all_is_told_with_its_reason() {
    let world = World::new();
    world.counted("tool", "echo out");
    world.write("input", "1\n");
    let undeclared = "not cached: its inputs are not declared\n    name what it reads with -i, or say --pure\n";
    world.fleche(["explain", "--trace", "off", "--", "./tool"]).ends(1, undeclared, "");
    let missing = "not cached: variable `SEED` is not set\n    it was required\n";
    ask(&world, "explain", &["--require-env", "SEED"], &[]).check(1, missing, "");
    let missing = "not cached: no argument matches `--seed=*`\n    it was required\n";
    ask(&world, "explain", &["--require-arg", "--seed=*"], &[]).check(1, missing, "");
    let open = "not cached: descriptor 3 is a pipe, which a replay cannot serve\n    close it, as in `3>&-`, if the command \
                does not need it\n";
    world.shell("fleche explain -i input -- ./tool 3>&1 | cat; :").ends(0, open, "");
    let unknown = "not cached: standard input may be input\n    say --stdin if it is, --no-stdin if not\n";
    let held =
        world.shell("{ while ! [ -e done ]; do :; done; } | { fleche explain -i input -- ./tool; : >done; }").run();
    held.check(0, unknown, "");
    let off = world.fleche(["explain", "-i", "input", "--", "./tool"]).env("FLECHE_MODE", "off").run();
    off.check(1, "not cached: caching is off\n", "");
    let outcome = world.fleche(["explain", "--json", "--trace", "off", "--", "./tool"]).run();
    let object = object(&outcome);
    assert_eq!((&object["verdict"], &object["reason"]), (&"not-cached".into(), &"undeclared".into()));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    world.fleche(["explain", "-i", "*.none", "--", "ls"]).ends(2, "", "fleche: no input matches `*.none`\n");
}

#[test]
fn a_call_that_is_too_old_or_damaged_or_in_the_way_is_told() {
    let world = recorded(&["-o", "made"], &[]);
    ask(&world, "explain", &["-o", "made", "--ttl", "0s"], &[]).check(1, "miss: the stored call is too old\n", "");
    let outcome = ask(&world, "explain", &["-o", "made", "--ttl", "0s", "--stale", "1h"], &[]);
    assert!(outcome.code() == 0 && outcome.stdout().starts_with("stale hit: ./tool\n"), "{outcome:?}");
    let call = walkdir::WalkDir::new(world.cache().join("calls")).into_iter().map(|entry| entry.unwrap());
    let file = call.filter(|entry| entry.file_type().is_file()).last().unwrap().into_path();
    fs::write(&file, "not a call").unwrap();
    let outcome = ask(&world, "explain", &["-o", "made"], &[]);
    assert!(outcome.stdout().starts_with("miss: the stored call is damaged: call "), "{outcome:?}");
    assert!(file.exists(), "explain puts a file into quarantine");
}

#[test]
fn an_output_that_cannot_be_restored_is_told() {
    let world = World::new();
    world.counted("tool", "echo out >made");
    world.write("input", "1\n");
    run(&world, &["-o", "made"], &[]).check(0, "", "");
    assert_eq!(ask(&world, "explain", &["-o", "made"], &[]).code(), 0);
    fs::remove_file(world.path("made")).unwrap();
    fs::create_dir(world.path("made")).unwrap();
    let outcome = ask(&world, "explain", &["-o", "made"], &[]);
    assert!(outcome.stdout().starts_with("miss: its outputs cannot be restored: `made` "), "{outcome:?}");
    assert!(outcome.code() == 1 && world.path("made").is_dir());
}

#[test]
fn what_kept_the_last_run_from_being_stored_is_told() {
    let world = World::new();
    world.counted("tool", "exit 3");
    world.write("input", "1\n");
    run(&world, &[], &[]).check(3, "", "");
    let outcome = ask(&world, "explain", &[], &[]);
    let said = "miss: no call is stored for this state\nits last run was not stored: it exited with 3 (<time> ago)\n    \
                --cache-exit 3\n";
    assert_eq!((outcome.code(), masked(&outcome.stdout())), (1, said.into()));
    run(&world, &["--cache-exit", "3"], &[]).check(3, "", "");
    // It is stored now, but without the option nobody replays it.
    let text = explained(&world, &ask(&world, "explain", &[], &[]));
    assert_eq!(text, "it exited with 3\n    --cache-exit 3\n");
    assert_eq!(ask(&world, "explain", &["--cache-exit", "3"], &[]).code(), 0);
    world.counted("tool", "echo x >input");
    run(&world, &[], &["a"]).check(0, "", "");
    let text = ask(&world, "explain", &[], &["a"]).stdout();
    assert!(
        masked(&text).contains("its last run was not stored: input `input` changed while it ran (<time> ago)\n"),
        "{text}"
    );
}

#[test]
fn a_result_that_tells_of_another_checkout_is_told() {
    let world = World::new();
    for name in ["one", "two"] {
        world.write(format!("{name}/fleche.toml"), "");
        world.write(format!("{name}/input"), "1\n");
    }
    let ask = |question: &str, folder: &str| {
        world.fleche([question, "-i", "input", "--", "pwd"]).current_dir(world.path(folder)).run()
    };
    assert_eq!(ask("run", "one").code(), 0);
    let text = explained(&world, &ask("explain", "two"));
    assert_eq!(text, "its result tells of the checkout `WORK/one` and is not replayed here\n");
}

#[test]
fn many_inputs_are_cut_short_and_shown_when_asked() {
    let world = World::new();
    world.counted("tool", "echo out");
    let ask = |question: &str| world.fleche([question, "-v", "-i", "src", "--", "./tool"]).run();
    world.write("src/0", "");
    ask("run");
    (1..=25).for_each(|number| drop(world.write(format!("src/{number}"), "")));
    let outcome = world.fleche(["explain", "-i", "src", "--", "./tool"]).run();
    let text = explained(&world, &outcome);
    assert_eq!(text.matches(" is new\n").count(), 20);
    assert!(text.ends_with(&format!("and 5 inputs more, which -v shows\n{NOTE}")), "{text}");
    assert_eq!(ask("explain").stdout().matches(" is new\n").count(), 25);
}

#[test]
fn json_names_every_difference() {
    let world = recorded(&[], &["a"]);
    world.write("input", "2\n");
    let outcome = ask(&world, "explain", &["--json"], &["b"]);
    let object = object(&outcome);
    assert_eq!((outcome.code(), outcome.stderr()), (1, String::new()));
    let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
    let expected = [
        "call",
        "command",
        "detail",
        "differences",
        "hint",
        "reason",
        "refusal",
        "rule",
        "scattered",
        "uncovered",
        "verdict",
    ];
    assert_eq!(fields, expected);
    assert_eq!((&object["verdict"], &object["reason"]), (&"miss".into(), &"no-call".into()));
    assert_eq!(object["call"]["argv"], serde_json::json!(["./tool", "a"]));
    let argument = serde_json::json!({
        "kind": "argument", "name": 1, "now": "b", "then": "a", "text": "argument 1 is `b`, was `a`",
        "remedy": ["--ignore-arg", "b", "--ignore-arg", "a"],
    });
    let input = serde_json::json!({
        "kind": "input", "name": "input", "now": "content", "then": null, "text": "`input` changed", "remedy": [],
    });
    assert_eq!(object["differences"], serde_json::json!([argument, input]));
}

#[test]
fn no_secret_is_told() {
    let hidden = ["--redact-arg", "--token=*", "--redact-arg", "*canary*", "--pure"];
    let world = World::new();
    world.counted("tool", "echo out");
    let ask = |question: &[&str], word: &str, value: &str, more: &str| {
        let words = question.iter().chain(&hidden).copied().chain(["--", "./tool", word, more]);
        world.fleche(words).env("PASSWORD", value).run()
    };
    ask(&["run"], "--token=canary1", "canary2", "canary3.txt");
    for question in [&["explain"][..], &["explain", "--json"], &["explain", "-v"], &["call"], &["run", "-v"]] {
        for (word, value, more) in [
            ("--token=canary1", "canary2", "canary3.txt"),
            ("--token=canary4", "canary5", "canary6.txt"),
            ("--token=canary4", "canary2", "canary3.txt"),
        ] {
            let outcome = ask(question, word, value, more);
            let all = outcome.stdout() + &outcome.stderr();
            assert!(!all.contains("canary") && outcome.code() < 2, "{question:?}: {all}");
        }
    }
    let outcome = ask(&["explain"], "/dev/fd/3/canary", "", "");
    assert_eq!(
        outcome.stdout(),
        "not cached: input `[redacted]` cannot be read: [redacted]\n    the command runs without it\n"
    );
    let outcome = ask(&["explain"], "--token=canary7", "canary8", "canary3.txt");
    let text = explained(&world, &outcome);
    assert!(text.contains("argument 1, redacted, is another one\n"), "{text}");
    assert!(text.contains("variable `PASSWORD` has another value\n    --ignore-env PASSWORD\n"), "{text}");
}

#[test]
fn what_is_recorded_cannot_drive_a_terminal() {
    let world = recorded(&[], &["a\u{1b}[31m"]);
    let outcome = ask(&world, "explain", &[], &["b"]);
    assert!(!outcome.stdout().contains('\u{1b}'), "{outcome:?}");
}

#[test]
fn run_tells_the_first_difference_in_its_one_line() {
    let world = recorded(&[], &["a"]);
    let says = |words: &[&str], said: &str| {
        let outcome = run(&world, &["-v"], words);
        assert_eq!((outcome.stdout(), masked(&outcome.stderr())), ("out\n".into(), format!("fleche: {said}\n")));
    };
    says(&["b"], "miss: argument 1 is `b`, was `a` in call <short>; stored <short> (took <time>)");
    world.write("input", "2\n");
    says(&["b"], "miss: `input` changed since call <short>; stored <short> (took <time>)");
    let said = "miss: argument 1 is `c`, was `b` in call <short>; stored <short> (took <time>)";
    says(&["c"], said);
    says(
        &["d", "e"],
        "miss: argument 1 is `d`, was `c` in call <short>, and 1 more difference; stored <short> (took <time>)",
    );
}

#[test]
fn every_call_is_a_candidate_once() {
    let world = World::new();
    let line = "record() { echo $1 > a; echo $1 > b; fleche run -i a -i b -o out -- cp b out; }
        record first; for i in $(seq 40); do record $i; done; rm -r ~/.cache/fleche/paths
        for i in $(seq 41 63); do record $i; done; echo first > a; echo other > b
        fleche explain -i a -i b -o out -- cp b out";
    let outcome = world.shell(line).run();
    // All of the others differ in both; those that path sets tell of, the catalogue tells of once more.
    let told: Vec<String> = outcome.stdout().lines().skip(2).map(str::to_owned).collect();
    assert_eq!(told, ["`b` changed"], "{outcome:?}");
}

#[test]
fn a_remedy_can_be_pasted() {
    let world = World::new();
    let run = |word: &str| assert_eq!(world.fleche(["run", "--pure", "--", "echo", word]).run().code(), 0);
    let told = |word: &str| world.fleche(["explain", "--pure", "--", "echo", word]).run().stdout();
    run("a^b'c");
    let shown = told("=x y");
    let line = shown.lines().find(|line| line.starts_with("    --ignore-arg ")).unwrap();
    assert_eq!(line.trim(), "--ignore-arg '=x y' --ignore-arg 'a^b'\\''c'");
    let pasted =
        |verb: &str, word: &str| world.shell(&format!("fleche {verb} {} --pure -- echo '{word}'", line.trim())).run();
    assert_eq!(pasted("run", "=x y").stdout(), "=x y\n");
    assert_eq!(pasted("explain", "=x y").code(), 0);
    run("^");
    assert!(told("one\ntwo").lines().all(|line| !line.starts_with("    --ignore-arg")));
}

#[test]
fn another_program_that_was_asked_the_same_is_near() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "sh", "-c", "echo one"]).prints("one\n");
    let outcome = world.fleche(["explain", "--pure", "--", "bash", "-c", "echo one"]).run();
    assert_eq!(outcome.code(), 1);
    let text = outcome.stdout();
    assert!(text.contains("nearest: ") && text.contains("(sh -c 'echo one')"), "{text}");
    assert!(text.contains("\nargument 0 is `bash`, was `sh`\n") || text.contains("`bash`"), "{text}");
    // With other arguments it has nothing to do with it.
    let other = world.fleche(["explain", "--pure", "--", "bash", "-c", "echo two"]).run().stdout();
    assert!(!other.contains("nearest"), "{other}");
}

#[test]
fn words_that_look_alike_are_told_apart() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "echo", "a\nb"]).prints("a\nb\n");
    let text = world.fleche(["explain", "--pure", "--", "echo", "a\\nb"]).run().stdout();
    assert!(text.contains("`a\\nb`") && text.contains("$'a\\nb'"), "{text}");
}
