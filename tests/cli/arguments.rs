//! Stored values as arguments: `fleche:PREFIX`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::world::{Outcome, World, eventually};

/// A world with a call that prints `out`, complains `err` and makes `sub/made.txt`; and the call's key.
fn world() -> (World, String) {
    let world = World::new();
    world.counted("make", "echo out; echo err >&2; mkdir -p sub; echo made > sub/made.txt");
    world.counted("show", "cat \"${1#--x=}\"");
    world.fleche(["run", "-i", "make", "-o", "sub/made.txt", "--", "./make"]).ends(0, "out\n", "err\n");
    let key = world.fleche(["query", "--name", "make"]).run().stdout().trim_end().to_owned();
    assert_eq!(key.len(), 64);
    (world, key)
}

fn run(world: &World, word: &str) -> Outcome {
    world.fleche(["run", "-v", "-i", "show", "--", "./show", word]).run()
}

#[track_caller]
fn hits(world: &World, word: &str, stdout: &str) {
    let before = world.executions("show");
    let outcome = run(world, word);
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, stdout), "{outcome:?}");
    assert!(outcome.stderr().starts_with("fleche: hit ") && world.executions("show") == before, "{outcome:?}");
}

#[track_caller]
fn misses(world: &World, word: &str, stdout: &str) {
    let outcome = run(world, word);
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, stdout), "{outcome:?}");
    assert!(outcome.stderr().contains("; stored "), "{outcome:?}");
}

/// All copies that there are.
fn copies(world: &World) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(world.cache().join("args")).into_iter().filter_map(Result::ok);
    all.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn a_command_reads_what_a_call_printed_complained_and_made() {
    let (world, key) = world();
    let short = &key[..8];
    for (behind, text) in
        [("", "out\n"), ("/stderr", "err\n"), ("/sub/made.txt", "made\n"), ("/./sub/made.txt", "made\n")]
    {
        let word = format!("fleche:{short}{behind}");
        assert_eq!((run(&world, &word).stdout().as_str(), run(&world, &word).code()), (text, 0));
        hits(&world, &word, text);
    }
    misses(&world, &format!("--x=fleche:{short}"), "out\n");
    let names = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut found: Vec<String> = copies(&world).iter().map(names).collect();
    found.sort();
    assert_eq!(found, ["made.txt", "stderr", "stdout"]);
}

#[test]
fn all_ways_to_name_a_value_are_one_command() {
    let (world, key) = world();
    misses(&world, &format!("fleche:{}", &key[..6]), "out\n");
    hits(&world, &format!("fleche:{key}"), "out\n");
    hits(&world, &format!("fleche:{}", key[..9].to_uppercase()), "out\n");
    let digest = blake3::hash(b"out\n").to_hex();
    // As it is recorded: a value and the name of its copy.
    hits(&world, &format!("fleche:{}/stdout", &digest[..7]), "out\n");
    misses(&world, &format!("fleche:{digest}"), "out\n");
}

#[test]
fn what_is_recorded_is_the_digest_and_can_be_run_again() {
    let (world, key) = world();
    misses(&world, &format!("fleche:{}", &key[..6]), "out\n");
    let line = format!("./show fleche:{}/stdout", blake3::hash(b"out\n").to_hex());
    let shown = world.fleche(["table", "--name", "show", "--columns", "command"]).run().stdout();
    assert_eq!(shown, format!("command\n{line}\n"));
    let word = line.strip_prefix("./show ").unwrap();
    hits(&world, word, "out\n");
}

#[test]
fn the_key_is_the_same_in_every_cache_folder_and_a_digest_makes_no_copy() {
    let (world, key) = world();
    for how in [&["--pure"][..], &["-i", "show"]] {
        let ask = |word: &str, cache: &Path| {
            let words = [&["digest"], how, &["--no-cwd", "--", "./show", word]].concat();
            let outcome = world.fleche(words).env("XDG_CACHE_HOME", cache).run();
            assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
            outcome.stdout()
        };
        let here = world.home().join(".cache");
        let there = world.root().join("other");
        let copied = world.program("cp", ["-a", here.to_str().unwrap(), there.to_str().unwrap()]).run();
        assert_eq!(copied.code(), 0);
        let at_home = ask(&format!("fleche:{key}"), &here);
        // XDG_CACHE_HOME counts like any variable; so both are asked with it, and only its value is left out.
        let ignoring = |cache: &Path| {
            let word = format!("fleche:{key}");
            let words = [&["digest", "--ignore-env", "XDG_CACHE_HOME"], how, &["--", "./show", &word]].concat();
            world.fleche(words).env("XDG_CACHE_HOME", cache).run().stdout()
        };
        assert_eq!(ignoring(&here), ignoring(&there));
        assert_ne!(at_home, ask("fleche: no value", &here));
    }
    assert!(copies(&world).is_empty());
}

#[test]
fn it_is_not_the_word_as_it_stands() {
    let (world, key) = world();
    let digest = blake3::hash(b"out\n").to_hex();
    let word = format!("fleche:{digest}/stdout");
    let key_of = |options: &[&str]| {
        world.fleche([&["digest", "-i", "show"], options, &["--", "./show", &word]].concat()).run().stdout()
    };
    assert_ne!(key_of(&[]), key_of(&["--no-expand"]));
    world.fleche(["run", "--pure", "--no-expand", "--", "printf", "%s", &word]).prints(&word);
    world.fleche(["run", "--pure", "--no-expand", "--", "printf", "%s", "fleche:0123"]).prints("fleche:0123");
    // What names nothing by its look is nobody's.
    for word in ["fleche:", "fleche: hit", "fleche:xyz", "xfleche:abcd", "fleche/abcd"] {
        world.fleche(["run", "--pure", "--", "printf", "%s", word]).prints(word);
    }
    assert_eq!(key.len(), 64);
}

#[test]
fn a_word_that_names_nothing_is_an_error_before_anything_runs() {
    let (world, key) = world();
    let short = &key[..12];
    let hint = "hint: `--no-expand` leaves such words as they are\n";
    let value = &blake3::hash(b"out\n").to_hex()[..12];
    let cases = [
        ("fleche:0123", "nothing is called `0123`".to_owned()),
        ("fleche:abc", "`abc` is not a digest: 4 to 64 hex characters are".to_owned()),
        (&format!("fleche:{key}/gone"), format!("call {short} has no output `gone`")),
        (&format!("fleche:{key}/"), "there is nothing behind the slash".to_owned()),
        (&format!("a=fleche:{value}/a/b"), format!("{value} is a value, in which there is no `a/b`")),
        (&format!("fleche:{value}/.."), format!("{value} is a value, in which there is no `..`")),
    ];
    for (word, why) in cases {
        let message = format!("fleche: argument `{word}`: {why}\n{hint}");
        for mode in ["on", "off", "read-only", "refresh"] {
            world.fleche(["run", "--mode", mode, "-i", "show", "--", "./show", word]).ends(125, "", &message);
        }
        world.fleche(["digest", "-i", "show", "--", "./show", word]).ends(2, "", &message);
    }
    assert_eq!(world.executions("show"), 0);
    // The program is not looked at.
    let outcome = world.fleche(["run", "--pure", "--", "fleche:0123"]).run();
    assert_eq!(outcome.code(), 127, "{outcome:?}");
}

#[test]
fn an_ambiguous_word_says_what_it_could_be() {
    let world = World::new();
    // Two of the first few hundred values share four characters.
    let beginnings: Vec<String> =
        (0..2000).map(|n| blake3::hash(format!("{n}").as_bytes()).to_hex()[..4].into()).collect();
    let (later, first) = (0..2000)
        .find_map(|n| beginnings[..n].iter().position(|other| *other == beginnings[n]).map(|first| (n, first)))
        .unwrap();
    for n in [first, later] {
        world.fleche(["run", "--pure", "--", "printf", "%s", &n.to_string()]).prints(&n.to_string());
    }
    let outcome = world.fleche(["run", "--pure", "--", "cat", &format!("fleche:{}", beginnings[first])]).run();
    assert_eq!(outcome.code(), 125);
    let stderr = outcome.stderr();
    assert!(
        stderr.starts_with(&format!("fleche: argument `fleche:{0}`: `{0}` could be ", beginnings[first])),
        "{stderr}"
    );
}

#[test]
fn a_hit_makes_no_copy() {
    let (world, key) = world();
    let word = format!("fleche:{key}");
    misses(&world, &word, "out\n");
    fs::remove_dir_all(world.cache().join("args")).unwrap();
    hits(&world, &word, "out\n");
    assert!(!world.cache().join("args").exists());
}

#[test]
fn the_copy_is_read_only_private_and_made_anew_where_it_was_changed() {
    let (world, key) = world();
    let word = format!("fleche:{key}");
    misses(&world, &word, "out\n");
    let copy = copies(&world).remove(0);
    let found = fs::metadata(&copy).unwrap();
    assert_eq!((found.mode() & 0o7777, found.nlink()), (0o444, 1));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&copy, "bad\n").unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).unwrap();
    let words = ["run", "--mode", "refresh", "-i", "show", "--", "./show", &word];
    world.fleche(words).prints("out\n");
    assert_eq!(fs::read(&copy).unwrap(), b"out\n");
    hits(&world, &word, "out\n");
}

#[test]
fn a_run_that_changes_its_copy_or_leaves_something_beside_it_is_not_stored() {
    let (world, key) = world();
    let word = format!("fleche:{key}");
    for (number, body) in [
        "chmod u+w \"$1\"; echo bad > \"$1\"",
        "chmod u+w \"$1\"; echo bad > \"$1\"; echo out > \"$1\"; chmod u-w \"$1\"",
        "rm -f \"$1\"",
        "cp \"$1\" \"$1.bak\"",
    ]
    .iter()
    .enumerate()
    {
        let tool = format!("spoil{number}");
        world.counted(&tool, body);
        for _ in 0..2 {
            let words = ["run", "-v", "-i", &tool, "--", &format!("./{tool}"), &word];
            let outcome = world.fleche(words).run();
            assert!(outcome.code() == 0 && outcome.stderr().contains("not stored: "), "{body}: {outcome:?}");
        }
        assert_eq!(world.executions(&tool), 2);
    }
    // The value itself never changed.
    world.fleche(["run", "-i", "show", "--", "./show", &word]).prints("out\n");
}

#[test]
fn a_command_that_is_not_cached_gets_its_copies_all_the_same() {
    let (world, key) = world();
    let word = format!("fleche:{key}");
    let temporary = world.root().join("temporary");
    fs::create_dir(&temporary).unwrap();
    for mode in ["off", "read-only"] {
        let words = ["run", "--mode", mode, "-i", "show", "--", "./show", &word];
        world.fleche(words).env("TMPDIR", &temporary).prints("out\n");
        // Nothing of it is in the cache, and nothing of it stays.
        assert!(!world.cache().join("args").exists());
        eventually("the copies are gone", || fs::read_dir(&temporary).unwrap().count() == 0);
    }
    let outcome = world.fleche(["run", "--trace", "off", "--", "./show", &word]).run();
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "out\n"));
    assert!(outcome.stderr().starts_with("fleche: not cached: "), "{outcome:?}");
}

#[test]
fn a_damaged_value_is_an_error_that_names_the_argument() {
    let (world, _) = world();
    let digest = blake3::hash(&[0; 100_000]).to_hex();
    let large = world.write("large", [0; 100_000]);
    world.fleche(["run", "-i", "large", "-o", "copy", "--", "cp", large.to_str().unwrap(), "copy"]).prints("");
    let file = world.cache().join("values").join(&digest[..2]).join(&digest[2..]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, vec![1; 100_000]).unwrap();
    let outcome = run(&world, &format!("fleche:{digest}"));
    let why = format!("the stored call is damaged: value {}: its digest is wrong", &digest[..12]);
    let message = format!("fleche: argument `fleche:{digest}/value`: {why}\n");
    assert_eq!((outcome.code(), outcome.stderr()), (125, message));
    assert_eq!(world.executions("show"), 0);
}

#[test]
fn an_output_of_any_name_can_be_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let name = OsStr::from_bytes(b"a b\xff'.c");
    world.write("input", "text\n");
    let words = ["run", "-i", "input", "-o"].map(OsStr::new);
    let command = ["--", "cp", "input"].map(OsStr::new);
    world.fleche([&words[..], &[name], &command, &[name]].concat()).prints("");
    let key = world.fleche(["query"]).run().stdout();
    let mut word = std::ffi::OsString::from(format!("fleche:{}/", key.trim_end()));
    word.push(name);
    let command = ["run", "--pure", "--", "cat"].map(OsStr::new);
    for _ in 0..2 {
        world.fleche([&command[..], &[&word]].concat()).prints("text\n");
    }
}

#[test]
fn standard_input_is_taken_from_the_same_places() {
    let (world, key) = world();
    for (behind, text) in [("", "out\n"), ("/stderr", "err\n"), ("/sub/made.txt", "made\n")] {
        let source = format!("fleche:{}{behind}", &key[..10]);
        world.fleche(["run", "--pure", "--stdin-from", &source, "--", "cat"]).prints(text);
    }
    let words = ["run", "--pure", "--stdin-from", "fleche:0123/x", "--", "cat"];
    world.fleche(words).ends(125, "", "fleche: standard input `fleche:0123/x`: nothing is called `0123`\n");
}

#[test]
fn no_cache_is_made_for_who_does_not_want_one() {
    let world = World::new();
    for mode in ["off", "read-only"] {
        let message = "fleche: argument `fleche:abcd`: nothing is called `abcd`\n\
            hint: `--no-expand` leaves such words as they are\n";
        world.fleche(["run", "--mode", mode, "--pure", "--", "cat", "fleche:abcd"]).ends(125, "", message);
        assert!(!world.cache().exists());
    }
}

#[test]
fn the_copies_are_there_as_long_as_the_command_is() {
    let (world, key) = world();
    let gate = world.root().join("gate");
    world.program("mkfifo", [&gate]).prints("");
    let mut fifo = fs::File::options().read(true).write(true).open(&gate).unwrap();
    world.counted("late", &format!("read line < '{}'; cat \"$1\" \"$2\"", gate.display()));
    let words = ["run", "--mode", "off", "--", "./late", &format!("fleche:{key}"), &format!("fleche:{key}/stderr")];
    let running = world.fleche(words).start();
    eventually("the command", || world.executions("late") == 1);
    std::io::Write::write_all(&mut fifo, b"\n").unwrap();
    assert_eq!(running.wait_with_output().unwrap().stdout, b"out\nerr\n");
}

#[test]
fn many_runs_at_once_are_given_the_same_value_and_all_are_stored() {
    let (world, key) = world();
    let word = format!("fleche:{key}");
    let made = format!("fleche:{}/other", blake3::hash(b"out\n").to_hex());
    let names: Vec<String> = (0..8).map(|number| format!("show{number}")).collect();
    names.iter().for_each(|name| drop(world.counted(name, "cat \"$1\"")));
    let start = |(number, name): (usize, &String)| {
        let word = if number % 2 == 0 { &word } else { &made };
        world.fleche(["run", "-v", "-i", name, "--", &format!("./{name}"), word]).start()
    };
    let running: Vec<_> = names.iter().enumerate().map(start).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"out\n"[..]), "{stderr}");
        assert!(stderr.contains("; stored ") && !stderr.contains("warning"), "{stderr}");
    }
}

#[test]
fn globs_mean_what_was_typed_and_what_it_stands_for() {
    let (world, key) = world();
    let (short, digest) = (&key[..8], blake3::hash(b"out\n").to_hex());
    let word = format!("fleche:{short}");
    let typed = format!("fleche:{}*", &key[..6]);
    let run =
        |options: &[&str]| world.fleche([&["run", "-v", "-i", "show"], options, &["--", "./show", &word]].concat());
    let canonical = format!("fleche:{}*", &digest[..6]);
    for glob in [&typed, &canonical] {
        let ending = run(&["--redact-arg", glob, "--revision", glob]).run();
        assert!(ending.stderr().contains("; stored "), "{ending:?}");
        world.fleche(["table", "--latest", "--columns", "command"]).prints("command\n./show [redacted]\n");
    }
    for file in walkdir::WalkDir::new(world.cache().join("calls")).into_iter().filter_map(Result::ok) {
        let held = fs::read(file.path()).unwrap_or_default();
        assert!(memchr::memmem::find(&held, format!("fleche:{digest}").as_bytes()).is_none());
    }
    let asked = run(&["--require-arg", &typed]).run();
    assert!(asked.stderr().contains("; stored ") || asked.stderr().starts_with("fleche: hit "), "{asked:?}");
    let ignored = |word: &str| {
        let words = ["digest", "-i", "show", "--ignore-arg", "fleche:*", "--", "./show", word];
        world.fleche(words).run().stdout()
    };
    assert_eq!(ignored(&word), ignored(&format!("fleche:{key}/stderr")));
    let words = |word: &str| world.fleche(["digest", "-i", "show", "--ignore-arg", &typed, "--", "./show", word]).run();
    assert_eq!(words(&word).stdout(), words(&format!("fleche:{key}")).stdout());
}

#[test]
fn a_word_is_looked_up_in_the_catalogue_and_not_in_every_call() {
    let (world, key) = world();
    let word = format!("fleche:{}", &key[..8]);
    let catalogue = world.cache().join("index.sqlite");
    for verb in ["digest", "call", "explain", "contains", "load"] {
        for source in ["--no-stdin", &format!("--stdin-from={word}")] {
            fs::remove_file(&catalogue).unwrap_or_default();
            let argument = if source == "--no-stdin" { word.as_str() } else { "-" };
            let words = [verb, "-i", "show", source, "--", "cat", argument];
            let outcome = world.fleche(words).run();
            assert!(outcome.code() < 2, "{outcome:?}");
            // It is kept for the next question.
            assert!(catalogue.exists(), "{verb} {source}");
        }
    }
}

#[test]
fn what_a_command_left_beside_its_copy_is_not_there_for_the_next_one() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "echo", "text"]).prints("text\n");
    let key = world.fleche(["query"]).run().stdout().trim().to_owned();
    let leave = || {
        let line =
            "test ! -e \"$1.gz\" && test ! -e \"$1.d\" && mkdir \"$1.d\" && echo x > \"$1.d/in\" && echo z > \"$1.gz\"";
        world.fleche(["run", "--pure", "--", "sh", "-c", line, "sh", &format!("fleche:{key}")]).run()
    };
    for _ in 0..2 {
        assert_eq!(leave().code(), 0);
    }
}

#[test]
fn a_cache_that_takes_no_copy_is_not_in_the_way() {
    let world = World::new();
    world.give_away();
    let fleche = |words: &[&str]| world.program(world.root().join("fleche"), words).by_somebody();
    let outcome = fleche(&["run", "--pure", "--", "echo", "text"]).run();
    assert_eq!(outcome.code(), 0, "{}", outcome.stderr());
    let key = fleche(&["query"]).run().stdout().trim().to_owned();
    // Where a folder belongs there is a file.
    std::fs::write(world.cache().join("args"), "").unwrap();
    let outcome = fleche(&["run", "--pure", "--", "cat", &format!("fleche:{key}")]).run();
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"), "{}", outcome.stderr());
}

#[test]
fn copies_outside_the_cache_are_for_the_user_alone() {
    let world = World::new();
    world.fleche(["run", "--pure", "--", "echo", "text"]).prints("text\n");
    let key = world.fleche(["query"]).run().stdout().trim().to_owned();
    let line = "cd \"$(dirname \"$1\")/..\" && stat -c %a .";
    let run = world.fleche(["run", "--mode", "off", "--pure", "--", "sh", "-c", line, "sh", &format!("fleche:{key}")]);
    run.prints("700\n");
}
