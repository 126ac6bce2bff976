//! Nothing declared: what a command read, looked for and wrote is found by watching it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::probe;
use crate::world::{Outcome, World};

/// Runs a shell line as a watched command: what fleche says of it, without the key and the time, and what it printed.
#[track_caller]
pub fn told(world: &World, options: &[&str], line: &str) -> (String, String) {
    let outcome = watched(world, options, line);
    (verdict(&outcome), outcome.stdout())
}

fn watched(world: &World, options: &[&str], line: &str) -> Outcome {
    world.fleche(["run", "-v"].iter().chain(options).chain(&["--", "/bin/sh", "-c", line])).run()
}

/// `hit`, `stored`, or why not.
#[track_caller]
fn verdict(outcome: &Outcome) -> String {
    let stderr = outcome.stderr();
    let said = stderr.lines().rfind(|line| line.starts_with("fleche: ")).unwrap_or_else(|| panic!("silent: {stderr}"));
    if said.starts_with("fleche: hit ") {
        "hit".to_owned()
    } else if said.contains("; stored ") {
        "stored".to_owned()
    } else {
        said.split_once("not stored: ").unwrap_or_else(|| panic!("{said}")).1.to_owned()
    }
}

#[track_caller]
pub fn is_stored(world: &World, line: &str, prints: &str) {
    assert_eq!(told(world, &[], line), ("stored".to_owned(), prints.to_owned()), "{line}");
}

#[track_caller]
pub fn is_hit(world: &World, line: &str, prints: &str) {
    assert_eq!(told(world, &[], line), ("hit".to_owned(), prints.to_owned()), "{line}");
}

#[track_caller]
pub fn is_refused(world: &World, options: &[&str], line: &str, why: &str) {
    for _ in 0..2 {
        assert_eq!(told(world, options, line).0, why, "{line}");
    }
}

#[test]
fn what_is_read_counts_and_former_states_are_found_again() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "x\n");
    is_stored(&world, "cat a", "1\n");
    is_hit(&world, "cat a", "1\n");
    world.write("b", "y\n");
    is_hit(&world, "cat a", "1\n");
    world.write("a", "2\n");
    is_stored(&world, "cat a", "2\n");
    world.write("a", "1\n");
    is_hit(&world, "cat a", "1\n");
    world.write("a", "2\n");
    is_hit(&world, "cat a", "2\n");
}

#[test]
fn what_is_looked_for_in_vain_counts() {
    let world = World::new();
    world.write("late/h", "late\n");
    let line = "for d in early middle late; do [ -e $d/h ] && cat $d/h && break; done";
    is_stored(&world, line, "late\n");
    is_hit(&world, line, "late\n");
    // Nothing can be in a folder that is not there: that is what was seen.
    fs::create_dir(world.path("early")).unwrap();
    is_stored(&world, line, "late\n");
    world.write("middle/h", "middle\n");
    is_stored(&world, line, "middle\n");
    world.write("early/h", "early\n");
    is_stored(&world, line, "early\n");
    fs::remove_dir_all(world.path("early")).unwrap();
    is_hit(&world, line, "middle\n");
}

#[test]
fn a_program_that_appears_earlier_in_the_search_path_counts() {
    let world = World::new();
    world.script("late/tool", "#!/bin/sh\necho late\n");
    let line = "PATH=$PWD/early:$PWD/late tool";
    is_stored(&world, line, "late\n");
    is_hit(&world, line, "late\n");
    world.script("early/tool", "#!/bin/sh\necho early\n");
    is_stored(&world, line, "early\n");
}

#[test]
fn an_interpreter_counts() {
    let world = World::new();
    world.script("shell", "#!/bin/sh\necho one; exec /bin/sh \"$@\"\n");
    world.script("tool", &format!("#!{}\necho tool\n", world.path("shell").display()));
    is_stored(&world, "./tool", "one\ntool\n");
    is_hit(&world, "./tool", "one\ntool\n");
    world.script("shell", "#!/bin/sh\necho two; exec /bin/sh \"$@\"\n");
    is_stored(&world, "./tool", "two\ntool\n");
}

#[test]
fn names_in_a_folder_count_where_they_were_listed() {
    let world = World::new();
    world.write("d/a", "1");
    for line in ["ls d", "echo d/*"] {
        told(&world, &[], line);
        assert_eq!(told(&world, &[], line).0, "hit", "{line}");
    }
    world.write("d/a", "2");
    is_hit(&world, "ls d", "a\n");
    world.write("d/b", "");
    is_stored(&world, "ls d", "a\nb\n");
    is_stored(&world, "echo d/*", "d/a d/b\n");
    fs::remove_file(world.path("d/b")).unwrap();
    is_hit(&world, "echo d/*", "d/a\n");
}

#[test]
fn times_count_for_those_who_ask_for_them() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "2\n");
    for line in ["cat a", "stat -c %Y a", "test a -nt b && echo newer; true"] {
        told(&world, &[], line);
        assert_eq!(told(&world, &[], line).0, "hit", "{line}");
    }
    world.program("touch", ["-d", "@1000000000", "a"]).prints("");
    is_hit(&world, "cat a", "1\n");
    is_stored(&world, "stat -c %Y a", "1000000000\n");
    is_stored(&world, "test a -nt b && echo newer; true", "");
    // Of a link that is then replaced as well.
    for change in ["ln -sfn b l", "ln -s b n; mv -f n l", "ln -s b l 2>/dev/null; true"] {
        let dated = |time: &str| world.shell(&format!("rm -f l n; ln -s a l; touch -h -d @{time} l")).prints("");
        let line = format!("stat -c %Y l; {change}");
        dated("1000000001");
        is_stored(&world, &line, "1000000001\n");
        dated("1000000002");
        is_stored(&world, &line, "1000000002\n");
    }
    // And of a folder.
    for change in ["rmdir d", "chmod 755 d", "chmod 750 d"] {
        let dated = |time: &str| world.shell(&format!("rm -rf d; mkdir -m 755 d; touch -d @{time} d")).prints("");
        let line = format!("stat -c %Y d; {change}");
        for time in ["1000000001", "1000000002"] {
            dated(time);
            is_stored(&world, &line, &format!("{time}\n"));
        }
        dated("1000000001");
        is_hit(&world, &line, "1000000001\n");
    }
    // Not for whoever only replaces it.
    for (time, verdict) in [("1000000001", "stored"), ("1000000002", "hit")] {
        world.shell(&format!("rm -f l; ln -s a l; touch -h -d @{time} l")).prints("");
        assert_eq!(told(&world, &[], "ln -sfn b l").0, verdict);
        world.shell(&format!("rm -rf d; mkdir d; touch -d @{time} d")).prints("");
        assert_eq!(told(&world, &[], "rmdir d").0, verdict);
    }
}

#[test]
fn links_count_by_where_they_lead() {
    let world = World::new();
    world.write("one/f", "one\n");
    world.write("two/f", "two\n");
    let turn = |to: &str| {
        let _ = fs::remove_file(world.path("current"));
        symlink(to, world.path("current")).unwrap();
    };
    turn("one");
    is_stored(&world, "cat current/f", "one\n");
    is_hit(&world, "cat current/f", "one\n");
    turn("two");
    is_stored(&world, "cat current/f", "two\n");
    turn("one");
    is_hit(&world, "cat current/f", "one\n");
}

#[test]
fn files_that_were_made_changed_and_removed_are_so_by_a_replay() {
    let world = World::new();
    let line = "mkdir -p new/deep; cat a > new/deep/out; chmod 755 new/deep/out; echo more >> log; rm gone; \
                ln -s out new/deep/link; mv old name; t=$(mktemp); sort a > $t; rm $t";
    let plant = || {
        let _ = fs::remove_dir_all(world.path("new"));
        for name in ["name", "old", "gone", "log"] {
            let _ = fs::remove_file(world.path(name));
        }
        for (name, content) in [("a", "1\n"), ("log", "first\n"), ("gone", "x"), ("old", "o\n")] {
            let path = world.write(name, content);
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
    };
    for verdict in ["stored", "hit", "hit"] {
        plant();
        assert_eq!(told(&world, &[], line), (verdict.to_owned(), String::new()));
        assert_eq!(world.read("new/deep/out"), "1\n");
        assert_eq!(fs::metadata(world.path("new/deep/out")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(world.read("log"), "first\nmore\n");
        assert_eq!(world.read("name"), "o\n");
        assert_eq!(fs::read_link(world.path("new/deep/link")).unwrap(), Path::new("out"));
        assert!(!world.path("gone").exists() && !world.path("old").exists());
    }
    // Each state of the log is another input.
    plant();
    world.write("log", "second\n");
    assert_eq!(told(&world, &[], line).0, "stored");
    assert_eq!(world.read("log"), "second\nmore\n");
}

#[test]
fn an_output_that_is_there_already_does_not_make_the_next_run_miss() {
    let world = World::new();
    world.write("a", "1\n");
    is_stored(&world, "sort a > out", "");
    is_hit(&world, "sort a > out", "");
    world.write("out", "edited");
    is_hit(&world, "sort a > out", "");
    assert_eq!(world.read("out"), "1\n");
    world.write("a.c", "int f(void) { return 1; }\n");
    let compile = || world.fleche(["run", "-v", "--", "cc", "-c", "a.c"]).run();
    assert_eq!(verdict(&compile()), "stored");
    assert_eq!(verdict(&compile()), "hit");
}

#[test]
fn a_file_that_decides_is_an_input_though_it_is_an_output_too() {
    let world = World::new();
    let toggle = "if [ -e flag ]; then rm flag; echo off; else : > flag; echo on; fi";
    for (number, says) in ["on", "off", "on", "off"].iter().enumerate() {
        // The shell asks for the times of a flag that is there, and they are others each time.
        let verdict = if number == 2 { "hit" } else { "stored" };
        assert_eq!(told(&world, &[], toggle), (verdict.to_owned(), format!("{says}\n")));
        assert_eq!(world.path("flag").exists(), *says == "on");
    }
    let keep = "[ -e kept ] || echo made > kept; cat kept";
    is_stored(&world, keep, "made\n");
    world.write("kept", "mine\n");
    is_stored(&world, keep, "mine\n");
    is_hit(&world, keep, "mine\n");
    assert_eq!(world.read("kept"), "mine\n");
}

#[test]
fn a_pipe_that_is_not_read_needs_no_flag() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "2\n");
    let line = "for f in a b; do echo $f; done | while read f; do fleche run -q -- cat $f; done";
    for _ in 0..2 {
        world.shell(line).prints("1\n2\n");
    }
    for says in ["1\nfleche: mis\n", "fleche: hit\n1\n"] {
        world.shell("echo x | fleche run -v -- cat a 2>&1 | cut -c1-11").prints(says);
    }
    let outcome = world.fleche(["run", "-v", "--", "cat"]).input("x\n").run();
    assert_eq!(outcome.stdout(), "x\n");
    assert_eq!(
        verdict(&outcome),
        "it read standard input, which did not count; say --stdin if it is input, --no-stdin if not"
    );
}

#[test]
fn the_time_of_what_is_packed_counts() {
    let world = World::new();
    let path = world.write("a", "1\n");
    let date =
        |seconds| fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    for line in ["gzip -c a | od -An -tu4 -j4 -N4", "gzip -fk a; stat -c %Y a.gz"] {
        let bare = || world.program("/bin/sh", ["-c", line]).run().stdout();
        for verdict in ["stored", "hit"] {
            for seconds in [1_500_000_000, 1_600_000_000] {
                let _ = fs::remove_file(world.path("a.gz"));
                date(seconds).unwrap();
                assert_eq!(told(&world, &[], line), (verdict.to_owned(), bare()), "{line}");
            }
        }
    }
}

#[test]
fn the_time_of_a_file_that_gets_another_name_counts() {
    for line in [
        "mv a b",
        "ln a b; rm a",
        "mv a b; echo 2 > a",
        "mkdir d; mv a d; mv d/a b; rmdir d",
        "rm -rf e; mv d e; mv e/a b",
    ] {
        let world = World::new();
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let run = |seconds| {
            let name = if line.contains("e/a") { "d/a" } else { "a" };
            for name in ["b", "a"] {
                let _ = fs::remove_file(world.path(name));
            }
            let path = world.write(name, "1\n");
            fs::File::open(path).unwrap().set_modified(time(seconds)).unwrap();
            let told = told(&world, &[], line).0;
            assert_eq!(fs::metadata(world.path("b")).unwrap().modified().unwrap(), time(seconds), "{line}");
            told
        };
        let (one, other) = (1_500_000_000, 1_600_000_000);
        assert_eq!([run(one), run(other)], ["stored", "stored"], "{line}");
        if !line.starts_with("rm") {
            assert_eq!([run(one), run(other)], ["hit", "hit"], "{line}");
        }
    }
}

#[test]
fn what_a_replay_could_not_repeat_is_not_stored() {
    let world = World::new();
    world.write("old", "x");
    let outside = world.root().join("outside");
    let write = format!("echo x > {}", outside.display());
    let refused = format!(
        "it wrote `{}`, which is outside the root; --allow-write names folders where it may",
        outside.display()
    );
    is_refused(&world, &[], &write, &refused);
    is_refused(&world, &[], "ln old new; rm new", "it gave an older file the name `new` as well");
    is_refused(&world, &[], "rm -f p; mkfifo p", "output `p` is a FIFO");
    fs::create_dir(world.path("f")).unwrap();
    is_refused(&world, &[], "touch f", "output `f` was given another time");
    is_refused(&world, &[], "echo x >f/x; touch f", "output `f` was given another time");
    assert_eq!(told(&world, &[], "chmod \"$(stat -c %a f)\" f; echo x >f/y").0, "stored");
    // The tools of GNU ask for no more than they print.
    if world.program("stat", ["--version"]).run().stdout().contains("GNU") {
        let identity = "it asked for the inode of `old`, or when that was changed or read at last";
        for line in ["ls -i old", "ls -c old", "ls -lu old", "stat -c %i old", "stat -c %Z old", "stat old"] {
            is_refused(&world, &[], line, identity);
        }
        for line in ["ls -l old", "ls -lt", "stat -c '%n %s %Y %a' old"] {
            assert_eq!(told(&world, &[], line).0, "stored", "{line}");
        }
    }
    let network = "it used the network: 127.0.0.1:9; --allow-network stores it all the same, best with --ttl";
    let connect = ["run", "-v", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9; true"];
    assert_eq!(verdict(&world.fleche(connect).run()), network);
    let allowed = ["run", "-v", "--allow-network", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9; true"];
    assert_eq!(verdict(&world.fleche(allowed).run()), "stored");
    let left = "(until [ -e stop ]; do sleep 0.01; done; echo late > late) >/dev/null 2>&1 &";
    assert_eq!(told(&world, &[], left).0, "a process that it left behind may still write");
    world.write("stop", "");
    crate::world::eventually("what was left behind ends", || world.path("late").exists());
}

#[test]
fn folders_outside_the_root_may_be_allowed() {
    let world = World::new();
    let outside = world.root().join("outside");
    fs::create_dir(&outside).unwrap();
    let line = format!("echo x > {}/f", outside.display());
    let options = ["--allow-write", outside.to_str().unwrap()];
    for verdict in ["stored", "hit"] {
        assert_eq!(told(&world, &options, &line).0, verdict);
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "x\n");
        fs::remove_file(outside.join("f")).unwrap();
    }
}

#[test]
fn scratch_is_neither_input_nor_output() {
    let world = World::new();
    world.write("a", "1\n");
    let line = "cat a; echo x >> notes.log; echo x >> ~/.cache/notes; mkdir -p kept; echo x > kept/a";
    fs::create_dir_all(world.home().join(".cache")).unwrap();
    let notes = world.home().join(".cache/notes").into_os_string().into_string().unwrap();
    for verdict in ["stored", "hit"] {
        let options = ["--scratch", "*.log", "--scratch", &notes, "--scratch", "kept"];
        assert_eq!(told(&world, &options, line), (verdict.to_owned(), "1\n".to_owned()));
        assert_eq!(world.read("notes.log"), "x\n");
    }
}

#[test]
fn scratch_that_comes_does_not_make_the_next_run_miss() {
    let world = World::new();
    let line = "echo *.txt; mkdir -p kept; echo x > kept/a; echo x > b.log";
    let options = ["--scratch", "*.log", "--scratch", "kept"];
    for verdict in ["stored", "hit"] {
        assert_eq!(told(&world, &options, line), (verdict.to_owned(), "*.txt\n".to_owned()));
    }
    // What else comes does.
    world.write("c.txt", "");
    assert_eq!(told(&world, &options, line).0, "stored");
}

#[test]
fn without_watching_nothing_is_cached_until_something_is_declared() {
    let world = World::new();
    world.write("a", "1\n");
    let hint = "fleche: not cached: its inputs are not declared; name what it reads with -i, or say --pure\n";
    world.fleche(["run", "--trace", "off", "--", "cat", "a"]).ends(0, "1\n", hint);
    for verdict_expected in ["stored", "hit"] {
        let outcome = world.fleche(["run", "-v", "--trace", "off", "-i", "a", "--", "cat", "a"]).run();
        assert_eq!(verdict(&outcome), verdict_expected);
    }
}

#[test]
fn what_is_declared_counts_beside_what_is_seen() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "1\n");
    let run = || verdict(&world.fleche(["run", "-v", "--trace", "on", "-i", "b", "--", "cat", "a"]).run());
    assert_eq!([run(), run()], ["stored", "hit"]);
    world.write("b", "2\n");
    assert_eq!([run(), run()], ["stored", "hit"]);
    world.write("a", "2\n");
    assert_eq!([run(), run()], ["stored", "hit"]);
    world.write("b", "1\n");
    world.write("a", "1\n");
    assert_eq!(run(), "hit");
}

#[test]
fn a_traced_call_says_so() {
    let world = World::new();
    world.write("a", "1\n");
    world.fleche(["run", "--", "cat", "a"]).prints("1\n");
    world.fleche(["table", "--columns", "grade,name"]).prints("grade\tname\ntraced\tcat\n");
    world.fleche(["query", "--grade", "traced", "--input", "a", "--count"]).prints("1\n");
}

#[test]
fn where_it_cannot_be_watched_a_command_runs_plainly_and_a_hint_is_given() {
    let world = World::new();
    let path = probe::install(&world);
    world.write("a", "1\n");
    let run = || world.shell("tool with deny=filters -- fleche run -- cat a").env("PATH", &path).run();
    for _ in 0..2 {
        let outcome = run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, "1\n".to_owned()));
        let (said, hint) = (outcome.stderr(), "; name what it reads with -i, or say --pure\n");
        assert!(
            said.starts_with("fleche: not stored: commands cannot be watched here: ") && said.ends_with(hint),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1);
    }
    world.fleche(["query"]).ends(1, "", "fleche: no call matches\n");
    // A call that another run recorded is replayed all the same.
    world.fleche(["run", "--", "cat", "a"]).prints("1\n");
    world.shell("tool with no-new-privileges=1 -- fleche run -- cat a").env("PATH", &path).prints("1\n");
}

#[test]
fn where_its_memory_cannot_be_read_a_command_does_what_it_does_bare() {
    let world = World::new();
    let path = probe::install(&world);
    world.write("a", "1\n");
    for _ in 0..2 {
        let line = "tool with deny=memory -- fleche run -v -- sh -c 'cat a; ls; cat < a'";
        let outcome = world.shell(line).env("PATH", &path).run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, "1\na\n1\n".to_owned()), "{}", outcome.stderr());
    }
}

#[test]
fn a_debugger_and_a_tracer_around_fleche_change_nothing() {
    let world = World::new();
    world.write("a", "1\n");
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let strace = || world.program("strace", ["-f", "-o", "/dev/null", fleche, "run", "-v", "--", "cat", "a"]).run();
    let gdb = || world.program("gdb", ["-batch", "-nx", "-ex", "run", "--args", fleche, "run", "--", "cat", "a"]).run();
    for _ in 0..2 {
        if world.program("sh", ["-c", "command -v strace >&2"]).run().code() == 0 {
            let outcome = strace();
            assert_eq!((outcome.code(), outcome.stdout()), (0, "1\n".to_owned()), "{}", outcome.stderr());
        }
        if world.program("sh", ["-c", "command -v gdb >&2"]).run().code() == 0 {
            let outcome = gdb();
            assert!(outcome.stdout().lines().any(|line| line == "1"), "{}", outcome.stdout());
        }
    }
}

#[test]
fn a_command_that_looks_elsewhere_each_time_is_told_of() {
    let world = World::new();
    world.write("number", "0");
    // Each run leaves a folder of another name, at which only the next one looks.
    let line = "n=$(cat number); ls made-$n 2>/dev/null; n=$((n+1)); mkdir made-$n; echo $n > number";
    for _ in 0..16 {
        let outcome = watched(&world, &[], line);
        assert_eq!(
            (verdict(&outcome), outcome.stderr().lines().count()),
            ("stored".to_owned(), 1),
            "{}",
            outcome.stderr()
        );
    }
    let outcome = watched(&world, &[], line);
    let told = "fleche: its runs look at other paths each time, such as `made-";
    assert!(outcome.stderr().contains(told), "{}", outcome.stderr());
    let explained = world.fleche(["explain", "--streams", "two", "--", "/bin/sh", "-c", line]).run();
    assert!(explained.stdout().contains("its runs look at other paths each time"), "{}", explained.stdout());
}

#[test]
fn why_a_run_was_not_stored_is_explained_and_counted() {
    let world = World::new();
    let line = "exec 3<>/dev/tcp/127.0.0.1/9; true";
    world.fleche(["run", "--", "bash", "-c", line]).run();
    let explained = world.fleche(["explain", "--streams", "two", "--", "bash", "-c", line]).run().stdout();
    assert!(explained.contains("its last run was not stored: it used the network: 127.0.0.1:9 ("), "{explained}");
    let stats = world.fleche(["stats"]).run().stdout();
    assert!(stats.contains("not stored because\n  network              1\n"), "{stats}");
}

#[test]
fn what_lies_beside_a_checkout_is_not_taken_from_that_of_another() {
    let world = World::new();
    for checkout in ["one", "two"] {
        world.write(format!("{checkout}/project/fleche.toml"), "");
        world.write(format!("{checkout}/project/in"), "same\n");
        world.write(format!("{checkout}/beside"), checkout);
    }
    let run = |checkout: &str, word: &str| {
        let folder = world.path(format!("{checkout}/project"));
        let outcome = world.fleche(["run", "-v", "--", "cat", word]).current_dir(folder).env_remove("PWD").run();
        (verdict(&outcome), outcome.stdout())
    };
    for (checkout, expected) in [("one", "stored"), ("two", "stored"), ("one", "hit"), ("two", "hit")] {
        assert_eq!(run(checkout, "../beside"), (expected.to_owned(), checkout.to_owned()));
    }
    assert_eq!([run("one", "in").0, run("two", "in").0], ["stored", "hit"]);
}

#[test]
fn size_and_age_count_for_who_then_replaces_the_file() {
    let world = World::new();
    let line = "[ $(stat -c %s log) -gt 5 ] && : > log; exit 0";
    world.write("log", "0123456789\n");
    assert_eq!(told(&world, &[], line).0, "stored");
    world.write("log", "abc\n");
    assert_eq!(told(&world, &[], line).0, "stored");
    assert_eq!(world.read("log"), "abc\n");
}

#[test]
fn a_folder_that_is_only_gone_through_counts() {
    let world = World::new();
    world.write("x", "1\n");
    world.write("o/x", "2\n");
    fs::create_dir_all(world.path("o/in")).unwrap();
    fs::create_dir(world.path("sub")).unwrap();
    is_stored(&world, "cat sub/../x", "1\n");
    is_hit(&world, "cat sub/../x", "1\n");
    fs::remove_dir(world.path("sub")).unwrap();
    assert_ne!(told(&world, &[], "cat sub/../x").0, "hit");
    symlink("o/in", world.path("sub")).unwrap();
    is_stored(&world, "cat sub/../x", "2\n");
}

#[test]
fn standard_input_is_known_by_every_name() {
    let world = World::new();
    let path = probe::install(&world);
    symlink("/dev/stdin", world.path("link")).unwrap();
    for read in ["cat link", "cat /dev//stdin", "cat /proc/self/fd/0", "sh -c 'cd /dev; cat stdin'", "sh -c 'cat <&0'"]
    {
        for word in ["one", "two"] {
            world
                .shell(&format!("echo {word} | fleche run -q -- {read}"))
                .env("PATH", &path)
                .prints(&format!("{word}\n"));
        }
    }
}

#[test]
fn the_times_of_an_opened_file_count_for_programs_that_are_not_known() {
    let world = World::new();
    world.write("g", "abc\n");
    let run = |time: &str| {
        world.program("touch", ["-d", time, "g"]).prints("");
        let outcome = world.fleche(["run", "-v", "--", "gzip", "-c", "g"]).run();
        (verdict(&outcome), outcome.stdout)
    };
    let (first, second) = (run("@1500000000"), run("@1600000000"));
    assert_eq!([first.0.as_str(), second.0.as_str()], ["stored", "stored"]);
    assert_ne!(first.1, second.1);
    assert_eq!(run("@1500000000"), ("hit".to_owned(), first.1));
}

#[test]
fn locks_count_by_their_names() {
    let world = World::new();
    let line = "if mkdir Lockdir 2>/dev/null; then echo work; rmdir Lockdir; else echo busy; fi";
    is_stored(&world, line, "work\n");
    is_hit(&world, line, "work\n");
    fs::create_dir(world.path("Lockdir")).unwrap();
    is_stored(&world, line, "busy\n");
}

#[test]
fn what_is_done_to_other_processes_is_not_replayed() {
    let world = World::new();
    let mut sleeper = world.program("sleep", ["600"]).start();
    let signal = format!("kill -0 {}", sleeper.id());
    is_refused(
        &world,
        &[],
        &signal,
        "it cannot be watched: it sent a signal to another process; name what it reads with -i, or say --pure",
    );
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    is_stored(&world, "sleep 600 & kill $!; wait; echo over", "over\n");
    is_refused(
        &world,
        &[],
        "ls /proc > list",
        "it cannot be watched: it looked which processes there are; name what it reads with -i, or say --pure",
    );
}

#[test]
fn checkouts_share_what_programs_outside_them_have_no_part_in() {
    let world = World::new();
    let path = format!("{}:{}", world.root().join("nowhere").display(), crate::world::search_path());
    for checkout in ["one", "two"] {
        world.write(format!("{checkout}/fleche.toml"), "");
        world.write(format!("{checkout}/a.c"), "#include <stdio.h>\nint f(void) { return 1; }\n");
    }
    let compile = |checkout: &str| {
        let run = world.fleche(["run", "-v", "--", "cc", "-c", "a.c"]);
        verdict(&run.current_dir(world.path(checkout)).env("PATH", &path).env_remove("PWD").run())
    };
    assert_eq!([compile("one"), compile("two")], ["stored", "hit"]);
}
