//! A run in a watched command: the inner one hits and stores by itself, and what it saw and left counts for the outer one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::world::{World, eventually, search_path, settle};

/// What became of the runs that one line led to, in the order in which they ended.
#[track_caller]
fn run(world: &World, line: &str, verdicts: &[&str], prints: &str) {
    let journal = || fs::read_to_string(world.cache().join("journal")).unwrap_or_default();
    let before = journal().len();
    let programs = Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), search_path());
    let outcome = world.fleche(["run", "--", "sh", "-c", line]).env("PATH", path).run();
    let journal = journal();
    let events = journal[before..].lines().filter_map(|line| line.split('\t').nth(1));
    // That a call is about to be written is no verdict.
    let found: Vec<&str> = events.filter(|event| *event != "tagged").collect();
    assert_eq!((&found[..], &*outcome.stdout(), &*outcome.stderr()), (verdicts, prints, ""), "{line}");
}

const BOTH_STORED: &[&str] = &["stored", "stored"];
const INNER_HIT: &[&str] = &["hit", "stored"];
const OUTER_HIT: &[&str] = &["hit"];

#[test]
fn both_are_stored_and_both_hit() {
    let world = World::new();
    world.write("a", "1\n");
    run(&world, "fleche run -- cat a", BOTH_STORED, "1\n");
    run(&world, "fleche run -- cat a", OUTER_HIT, "1\n");
    run(&world, "echo 0; fleche run -- cat a", INNER_HIT, "0\n1\n");
    world.write("a", "2\n");
    run(&world, "fleche run -- cat a", BOTH_STORED, "2\n");
    world.write("a", "1\n");
    run(&world, "fleche run -- cat a", OUTER_HIT, "1\n");
}

#[test]
fn what_an_inner_hit_did_not_read_counts_all_the_same() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("late/h", "late\n");
    for (inner, prints) in [
        ("cat a", "1\n"),
        ("sh -c 'cat early/h late/h 2>&1 | tail -n 1'", "late\n"),
        ("sh -c 'echo late/*'", "late/h\n"),
        ("stat -c %Y a", "1000000000\n"),
        ("readlink l", "to\n"),
    ] {
        world.program("touch", ["-d", "@1000000000", "a"]).prints("");
        let _ = fs::remove_file(world.path("l"));
        symlink("to", world.path("l")).unwrap();
        let (first, second) = (format!("fleche run -- {inner}"), format!("true; fleche run -- {inner}"));
        run(&world, &first, BOTH_STORED, prints);
        run(&world, &second, INNER_HIT, prints);
        run(&world, &second, OUTER_HIT, prints);
        // Of the same size and as old.
        world.write("a", "2\n");
        world.program("touch", ["-d", "@1000000000", "a"]).prints("");
        match inner {
            "cat a" => run(&world, &second, BOTH_STORED, "2\n"),
            _ => run(&world, &second, OUTER_HIT, prints),
        }
        world.write("a", "1\n");
        world.program("touch", ["-d", "@1000000001", "a"]).prints("");
        match inner {
            "stat -c %Y a" => run(&world, &second, BOTH_STORED, "1000000001\n"),
            _ => run(&world, &second, OUTER_HIT, prints),
        }
        world.write("late/i", "");
        match inner {
            "sh -c 'echo late/*'" => run(&world, &second, BOTH_STORED, "late/h late/i\n"),
            "stat -c %Y a" => {}
            _ => run(&world, &second, OUTER_HIT, prints),
        }
        fs::remove_file(world.path("late/i")).unwrap();
        world.write("early/h", "early\n");
        if inner.contains("early") {
            run(&world, &second, BOTH_STORED, "late\n");
        }
        fs::remove_dir_all(world.path("early")).unwrap();
        fs::remove_file(world.path("l")).unwrap();
        if inner == "readlink l" {
            symlink("of", world.path("l")).unwrap();
            run(&world, &second, BOTH_STORED, "of\n");
        }
    }
}

#[test]
fn what_the_inner_one_stores_keeps_the_cache_within_its_limits_and_the_outer_one_from_nothing() {
    let world = World::new();
    let config = world.home().join(".config/fleche/config.toml");
    let count = || world.fleche(["query", "--count"]).run().stdout().trim().parse::<usize>().unwrap();
    // A hundredth of the limit or more is looked after for sure; what the outer one adds hardly ever is.
    let inner = |number: usize| format!("fleche run --pure -- seq {number} 60000 > /dev/null");
    for number in 0..40 {
        world.shell(&inner(number)).prints("");
    }
    world.write(&config, "[caches.local]\nmax-size = \"5MiB\"\n");
    assert_eq!(count(), 40);
    run(&world, &inner(40), BOTH_STORED, "");
    eventually("a cache within its limits", || count() < 30);
    world.is_alone();
    // Three levels: it is the outermost that nobody watches.
    fs::remove_file(&config).unwrap();
    for number in 41..80 {
        world.shell(&inner(number)).prints("");
    }
    world.write(&config, "[caches.local]\nmax-size = \"5MiB\"\n");
    assert!(count() > 40);
    run(&world, &format!("fleche run -- sh -c '{}'", inner(80)), &["stored", "stored", "stored"], "");
    eventually("a cache within its limits", || count() < 30);
}

/// Threads that look from working directories of their own.
#[test]
fn what_an_inner_run_looks_at_in_many_folders_counts() {
    let world = World::new();
    for folder in 0..30 {
        for file in 0..60 {
            world.write(format!("tree/{folder}/{file}"), format!("{folder}\n"));
        }
    }
    let inner = "fleche run -i tree -- sh -c 'cat tree/7/*' | sort -u";
    settle(&world.path("tree/29/59"));
    world.shell(inner).prints("7\n");
    run(&world, inner, INNER_HIT, "7\n");
    run(&world, inner, OUTER_HIT, "7\n");
    // One that the command did not read: the inner run's key has it.
    world.write("tree/20/30", "other\n");
    run(&world, inner, BOTH_STORED, "7\n");
    run(&world, inner, OUTER_HIT, "7\n");
    fs::remove_file(world.path("tree/29/1")).unwrap();
    run(&world, inner, BOTH_STORED, "7\n");
}

#[test]
fn a_program_that_appears_earlier_in_the_search_path_counts() {
    let world = World::new();
    world.script("late/tool", "#!/bin/sh\necho late\n");
    let line = "PATH=$PWD/early:$PWD/late:$PATH; fleche run -- tool";
    let other = "PATH=$PWD/early:$PWD/late:$PATH; true; fleche run -- tool";
    run(&world, line, BOTH_STORED, "late\n");
    run(&world, other, INNER_HIT, "late\n");
    run(&world, other, OUTER_HIT, "late\n");
    world.script("early/tool", "#!/bin/sh\necho early\n");
    run(&world, other, BOTH_STORED, "early\n");
    fs::remove_dir_all(world.path("early")).unwrap();
    run(&world, other, OUTER_HIT, "late\n");
    world.script("late/tool", "#!/bin/sh\necho fine\n");
    run(&world, other, BOTH_STORED, "fine\n");
}

#[test]
fn what_an_inner_hit_restores_is_the_outer_ones_to_restore() {
    let world = World::new();
    world.write("a", "1\n");
    let inner = "fleche run -- sh -c 'mkdir d; cat a > d/x; ln -s x d/l; unlink gone; touch -d @1000000000 d/x'";
    let clear = |gone: &str| {
        let _ = fs::remove_dir_all(world.path("d"));
        world.write("gone", gone);
    };
    clear("");
    run(&world, inner, BOTH_STORED, "");
    let second = format!("true; {inner}");
    for verdicts in [INNER_HIT, OUTER_HIT, OUTER_HIT] {
        clear("");
        run(&world, &second, verdicts, "");
        assert_eq!(world.read("d/x"), "1\n");
        assert_eq!(fs::read_link(world.path("d/l")).unwrap().to_str(), Some("x"));
        assert!(!world.path("gone").exists());
    }
    clear("other");
    run(&world, &second, BOTH_STORED, "");
}

#[test]
fn what_is_made_of_a_restored_output_is_no_input() {
    let world = World::new();
    world.write("a", "1\n");
    let line = "fleche run -- cp a b; fleche run -- sh -c 'cat b > c'; cat c";
    run(&world, line, &["stored", "stored", "stored"], "1\n");
    let other = "fleche run -- cp a b; fleche run -- sh -c 'cat b > c'; cat b c";
    for (verdicts, content) in [(&["hit", "hit", "stored"][..], "1\n"), (OUTER_HIT, "1\n")] {
        for name in ["b", "c"] {
            fs::remove_file(world.path(name)).unwrap();
        }
        run(&world, other, verdicts, "1\n1\n");
        assert_eq!(world.read("c"), content);
    }
}

#[test]
fn an_output_that_lies_there_is_replaced() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("out", "before\n");
    run(&world, "fleche run -- sh -c 'cat a > out'", BOTH_STORED, "");
    for (content, verdicts) in [("between\n", INNER_HIT), ("after\n", OUTER_HIT)] {
        world.write("out", content);
        run(&world, "fleche run -- sh -c 'cat a > out'; cat out", verdicts, "1\n");
        assert_eq!(world.read("out"), "1\n");
    }
}

#[test]
fn what_is_read_before_it_is_changed_counts() {
    let world = World::new();
    world.write("log", "1\n");
    run(&world, "fleche run -- sh -c 'echo 2 >> log'", BOTH_STORED, "");
    for verdicts in [INNER_HIT, OUTER_HIT] {
        world.write("log", "1\n");
        run(&world, "fleche run -- sh -c 'echo 2 >> log'; cat log", verdicts, "1\n2\n");
    }
    run(&world, "fleche run -- sh -c 'echo 2 >> log'; cat log", BOTH_STORED, "1\n2\n2\n");
}

#[test]
fn declared_inputs_count_with_what_globs_find() {
    let world = World::new();
    world.write("a.h", "a\n");
    world.write("b", "b\n");
    let inner = "fleche run -i '*.h' -- sh -c 'cat *.h b'";
    run(&world, inner, BOTH_STORED, "a\nb\n");
    let second = format!("true; {inner}");
    run(&world, &second, INNER_HIT, "a\nb\n");
    // That this counts not was said, and the outer run believes it where the inner one does.
    world.write("b", "c\n");
    run(&world, &second, OUTER_HIT, "a\nb\n");
    world.write("b.h", "b\n");
    run(&world, &second, BOTH_STORED, "a\nb\nc\n");
    fs::remove_file(world.path("b.h")).unwrap();
    world.write("a.h", "A\n");
    run(&world, &second, BOTH_STORED, "A\nc\n");
}

#[test]
fn declared_outputs_and_pure_commands_count() {
    let world = World::new();
    world.write("a", "1\n");
    let inner = "fleche run -i a -o out/ -- sh -c 'mkdir -p out && cp a out/b'; fleche run --pure -- echo pure";
    run(&world, inner, &["stored", "stored", "stored"], "pure\n");
    let second = format!("true; {inner}");
    for verdicts in [&["hit", "hit", "stored"][..], OUTER_HIT] {
        fs::remove_dir_all(world.path("out")).unwrap();
        run(&world, &second, verdicts, "pure\n");
        assert_eq!(world.read("out/b"), "1\n");
    }
}

#[test]
fn three_levels_are_no_other_than_two() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "2\n");
    let line = "fleche run -- sh -c 'cat b; fleche run -- cat a'";
    run(&world, line, &["stored", "stored", "stored"], "2\n1\n");
    run(&world, line, OUTER_HIT, "2\n1\n");
    world.write("b", "3\n");
    run(&world, line, &["hit", "stored", "stored"], "3\n1\n");
    world.write("a", "4\n");
    // The innermost hit counted for the one in the middle, and that for the outer one.
    run(&world, &format!("true; {line}"), &["stored", "stored", "stored"], "3\n4\n");
    run(&world, &format!("false; {line}"), INNER_HIT, "3\n4\n");
    run(&world, &format!("false; {line}"), OUTER_HIT, "3\n4\n");
    world.write("a", "5\n");
    run(&world, &format!("false; {line}"), &["stored", "stored", "stored"], "3\n5\n");
}

#[test]
fn each_run_sees_what_its_own_command_does_and_nobody_elses() {
    let world = World::new();
    world.write("a", "1\n");
    world.write("b", "2\n");
    // Two at a time, whose processes come and go.
    let inner =
        |name: &str| format!("fleche run -- sh -c 'for i in 1 2 3 4 5; do cat {name}; done; echo $( (cat {name} &) )'");
    let line = format!("{{ {} & {} & cat b; wait; }} > out", inner("a"), inner("b"));
    run(&world, &line, &["stored", "stored", "stored"], "");
    world.write("b", "3\n");
    let (a, b) = (inner("a"), inner("b"));
    let prints = |digit: &str| digit.repeat(6);
    run(&world, &a, INNER_HIT, &prints("1\n"));
    run(&world, &b, BOTH_STORED, &prints("3\n"));
}

#[test]
fn compilers_that_make_starts_are_cached_and_make_is() {
    let world = World::new();
    world.write("all.c", "#include \"a.h\"\nint b(void);\nint main(void) { return A - b(); }\n");
    world.write("b.c", "#include \"a.h\"\nint b(void) { return A; }\n");
    world.write("a.h", "#define A 1\n");
    world.write("Makefile", "all: all.o b.o\n\t@$(CC) -o $@ $^\n%.o: %.c a.h\n\t@$(CC) -c -o $@ $<\n");
    let line = "make -s -j2 CC='fleche run -- cc'";
    run(&world, line, &["stored", "stored", "stored", "stored"], "");
    let clear = || ["all", "all.o", "b.o"].map(|name| fs::remove_file(world.path(name)).unwrap());
    clear();
    run(&world, line, OUTER_HIT, "");
    world.program("./all", [""; 0]).prints("");
    clear();
    run(&world, "make -s CC='fleche run -- cc'", &["hit", "hit", "hit", "stored"], "");
    world.write("b.c", "#include \"a.h\"\nint b(void) { int a = A; return a; }\n");
    clear();
    run(&world, "make -s CC='fleche run -- cc'", &["hit", "stored", "stored", "stored"], "");
    world.write("a.h", "#define A 2\n");
    clear();
    run(&world, "make -s CC='fleche run -- cc'", &["stored", "stored", "stored", "stored"], "");
    clear();
    run(&world, "make -s CC='fleche run -- cc'", OUTER_HIT, "");
    world.program("./all", [""; 0]).prints("");
}

#[test]
fn a_run_that_is_no_run_counts_as_its_command() {
    let world = World::new();
    for options in ["--mode off", "--mode read-only"] {
        let line = format!("fleche run {options} -- cat a");
        world.write("a", "1\n");
        run(&world, &line, &["stored"], "1\n");
        run(&world, &line, OUTER_HIT, "1\n");
        world.write("a", "2\n");
        run(&world, &line, &["stored"], "2\n");
    }
}

#[test]
fn another_store_is_no_business_of_the_outer_one() {
    let world = World::new();
    world.write("a", "1\n");
    fs::create_dir(world.home().join("other")).unwrap();
    let line = "XDG_CACHE_HOME=$HOME/other fleche run -- cat a";
    run(&world, line, &["stored"], "1\n");
    run(&world, &format!("true; {line}"), &["stored"], "1\n");
    run(&world, &format!("true; {line}"), OUTER_HIT, "1\n");
    world.write("a", "2\n");
    run(&world, &format!("true; {line}"), &["stored"], "2\n");
}

#[test]
fn what_an_inner_command_leaves_running_keeps_both_from_being_stored() {
    let world = World::new();
    let line = "fleche run -- sh -c 'sleep 5 > /dev/null 2>&1 & echo done'";
    run(&world, line, &["missed", "missed"], "done\n");
}

#[test]
fn what_the_inner_run_allows_the_outer_one_does_not() {
    let world = World::new();
    let ask =
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((\"127.0.0.1\", 9))'";
    run(&world, &format!("fleche run --allow-network -- {ask}"), &["stored", "missed"], "");
    // A hit does not use it, and is of what it said then.
    run(&world, &format!("fleche run --allow-network -- {ask}"), &["hit", "missed"], "");
    run(&world, &format!("fleche run -- {ask}"), &["missed", "missed"], "");
}

#[test]
fn input_that_the_inner_command_does_not_read_is_no_obstacle() {
    let world = World::new();
    world.write("a", "1\n");
    run(
        &world,
        "cat a | fleche run --stdin -- cat; fleche run --stdin-from a -- cat",
        &["stored", "stored", "stored"],
        "1\n1\n",
    );
    run(
        &world,
        "true; cat a | fleche run --stdin -- cat; fleche run -- cat < a",
        &["hit", "stored", "stored"],
        "1\n1\n",
    );
    world.write("a", "2\n");
    run(
        &world,
        "true; cat a | fleche run --stdin -- cat; fleche run -- cat < a",
        &["stored", "stored", "stored"],
        "2\n2\n",
    );
    // Nobody heard whether it was read.
    run(&world, "cat a | fleche run -- cat", &["missed", "stored"], "2\n");
}

#[test]
fn a_run_in_the_place_of_the_command_or_of_its_last_part_is_nested_too() {
    let world = World::new();
    world.write("a", "1\n");
    let line = "cat a; exec fleche run -- cat a";
    run(&world, line, BOTH_STORED, "1\n1\n");
    run(&world, line, OUTER_HIT, "1\n1\n");
    run(&world, "cat a; exec fleche run -- fleche run -- cat a", &["hit", "stored", "stored"], "1\n1\n");
    world.write("a", "2\n");
    run(&world, "cat a; exec fleche run -- fleche run -- cat a", &["stored", "stored", "stored"], "2\n2\n");
    run(&world, line, INNER_HIT, "2\n2\n");
}

#[test]
fn a_command_that_is_nested_in_itself_does_not_wait_for_itself() {
    let world = World::new();
    world.write("depth", "");
    world.script("again", "#!/bin/sh\nread word rest < depth\ntest -n \"$word\" && exit\necho end > depth\nfleche run -- ./again && echo once\n");
    // Each writes what the other has read.
    run(&world, "exec ./again", BOTH_STORED, "once\n");
}

#[test]
fn what_is_kept_for_itself_is_no_business_of_either() {
    let world = World::new();
    world.write("a", "1\n");
    let line = "fleche run --scratch '*.kept' -- sh -c 'echo x > b.kept; ls; cat a'";
    let (names, other) = ("a\nb.kept\n1\n", format!("true; {line}"));
    run(&world, line, BOTH_STORED, names);
    run(&world, &other, INNER_HIT, names);
    run(&world, &other, OUTER_HIT, names);
}

#[test]
fn other_checkouts_replay_what_an_inner_run_stored_unless_it_looked_beside_its_own() {
    let world = World::new();
    let path = format!("{}:{}", Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap().display(), search_path());
    world.write("beside", "2\n");
    for checkout in ["one", "other"] {
        world.write(format!("{checkout}/fleche.toml"), "root = true\n");
        world.write(format!("{checkout}/a"), "1\n");
    }
    let run = |checkout: &str, line: &str, prints: &str| {
        let session = world.fleche(["run", "--", "sh", "-c", line]).env("PATH", &path);
        let outcome = session.current_dir(world.path(checkout)).run();
        assert_eq!((outcome.code(), &*outcome.stdout()), (0, prints), "{checkout}: {}", outcome.stderr());
        outcome.stderr()
    };
    run("one", "fleche run -- cat a", "1\n");
    let told = run("other", "true; fleche -v run -- cat a", "1\n");
    assert!(told.starts_with("fleche: hit "), "{told}");
    run("one", "fleche run -- cat a ../beside", "1\n2\n");
    let told = run("other", "true; fleche -v run -- cat a ../beside", "1\n2\n");
    assert!(told.starts_with("fleche: miss"), "{told}");
}
