//! What a command reads: any change is a miss, and nothing that changed meanwhile is stored.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::mask::masked;
use crate::world::{Session, World, settle};

/// How an input set is declared, made and changed.
struct Case {
    name: &'static str,
    inputs: &'static [&'static str],
    make: fn(&World),
    change: fn(&World),
}

/// `fleche run` of the script `tool` with these options.
fn tool(world: &World, options: &[&str]) -> Session {
    // A defect must not hang the suite: a FIFO that is opened waits for ever.
    let words =
        ["--foreground", "60", env!("CARGO_BIN_EXE_fleche"), "run"].iter().chain(options).chain(&["--", "./tool"]);
    world.program("timeout", words)
}

fn write(world: &World, name: impl AsRef<Path>, content: &str) {
    world.write(name, content);
}

fn set_mode(world: &World, name: &str, mode: u32) {
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

fn link(world: &World, target: &str, name: &str) {
    let _ = fs::remove_file(world.path(name));
    symlink(target, world.path(name)).unwrap();
}

fn fifo(world: &World, name: &str) {
    world.program("mkfifo", [world.path(name)]).prints("");
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A folder with files on three levels.
fn tree(world: &World) {
    write(world, "src/a.c", "a");
    write(world, "src/b.h", "b");
    write(world, "src/deep/deeper/c.c", "c");
    fs::create_dir_all(world.path("src/empty")).unwrap();
}

const COUNTED: &[Case] = &[
    Case {
        name: "a FIFO for a file",
        inputs: &["src"],
        make: tree,
        change: |w| {
            fs::remove_file(w.path("src/a.c")).unwrap();
            fifo(w, "src/a.c");
        },
    },
    Case { name: "a file's content", inputs: &["f"], make: |w| write(w, "f", "1"), change: |w| write(w, "f", "2") },
    Case {
        name: "a file's content, by its absolute path's other name",
        inputs: &["./src/../f"],
        make: |w| {
            write(w, "f", "1");
            tree(w);
        },
        change: |w| write(w, "f", "2"),
    },
    Case { name: "a file that grows", inputs: &["f"], make: |w| write(w, "f", ""), change: |w| write(w, "f", "\0") },
    Case {
        name: "a file that goes",
        inputs: &["f"],
        make: |w| write(w, "f", "1"),
        change: |w| fs::remove_file(w.path("f")).unwrap(),
    },
    Case { name: "a file that comes", inputs: &["f"], make: |_| {}, change: |w| write(w, "f", "") },
    Case {
        name: "a file in a folder that comes with it",
        inputs: &["new/f"],
        make: |_| {},
        change: |w| write(w, "new/f", ""),
    },
    Case {
        name: "a file that becomes a folder",
        inputs: &["f"],
        make: |w| write(w, "f", ""),
        change: |w| {
            fs::remove_file(w.path("f")).unwrap();
            fs::create_dir(w.path("f")).unwrap();
        },
    },
    Case {
        name: "a file's right to be executed",
        inputs: &["f"],
        make: |w| write(w, "f", "1"),
        change: |w| set_mode(w, "f", 0o755),
    },
    Case { name: "a file in a folder", inputs: &["src"], make: tree, change: |w| write(w, "src/a.c", "x") },
    Case {
        name: "a file deep in a folder",
        inputs: &["src"],
        make: tree,
        change: |w| write(w, "src/deep/deeper/c.c", "x"),
    },
    Case { name: "a file added", inputs: &["src"], make: tree, change: |w| write(w, "src/deep/new.c", "") },
    Case {
        name: "a file removed",
        inputs: &["src"],
        make: tree,
        change: |w| fs::remove_file(w.path("src/deep/deeper/c.c")).unwrap(),
    },
    Case {
        name: "a file renamed",
        inputs: &["src"],
        make: tree,
        change: |w| fs::rename(w.path("src/a.c"), w.path("src/z.c")).unwrap(),
    },
    Case {
        name: "two files exchanged",
        inputs: &["src"],
        make: tree,
        change: |w| {
            write(w, "src/a.c", "b");
            write(w, "src/b.h", "a");
        },
    },
    Case {
        name: "an empty folder added",
        inputs: &["src"],
        make: tree,
        change: |w| fs::create_dir(w.path("src/deep/new")).unwrap(),
    },
    Case {
        name: "an empty folder removed",
        inputs: &["src"],
        make: tree,
        change: |w| fs::remove_dir(w.path("src/empty")).unwrap(),
    },
    Case {
        name: "a file moved to another folder",
        inputs: &["src"],
        make: tree,
        change: |w| fs::rename(w.path("src/deep/deeper/c.c"), w.path("src/deep/c.c")).unwrap(),
    },
    Case { name: "a hidden file", inputs: &["src"], make: tree, change: |w| write(w, "src/.hidden", "") },
    Case {
        name: "a name that is no UTF-8",
        inputs: &["src"],
        make: |w| write(w, Path::new("src").join(OsStr::from_bytes(b"\xff")), ""),
        change: |w| {
            let name = |bytes| w.path("src").join(OsStr::from_bytes(bytes));
            fs::rename(name(b"\xff"), name(b"\xfe")).unwrap();
        },
    },
    Case {
        name: "content under a name with a line feed",
        inputs: &["src"],
        make: |w| write(w, "src/a\nb", "1"),
        change: |w| write(w, "src/a\nb", "2"),
    },
    Case {
        name: "a line feed in a name",
        inputs: &["src"],
        make: |w| {
            write(w, "src/a\nb", "");
        },
        change: |w| {
            fs::remove_file(w.path("src/a\nb")).unwrap();
            write(w, "src/a", "");
            write(w, "src/b", "");
        },
    },
    Case {
        name: "what lies behind a link",
        inputs: &["l"],
        make: |w| {
            write(w, "f", "1");
            link(w, "f", "l");
        },
        change: |w| write(w, "f", "2"),
    },
    Case {
        name: "where a link leads",
        inputs: &["l"],
        make: |w| {
            write(w, "f", "1");
            write(w, "g", "1");
            link(w, "f", "l");
        },
        change: |w| link(w, "g", "l"),
    },
    Case {
        name: "a link that leads nowhere, retargeted",
        inputs: &["l"],
        make: |w| link(w, "nowhere", "l"),
        change: |w| link(w, "elsewhere", "l"),
    },
    Case {
        name: "a link that leads somewhere now",
        inputs: &["l"],
        make: |w| link(w, "f", "l"),
        change: |w| write(w, "f", ""),
    },
    Case {
        name: "a link for a file",
        inputs: &["f"],
        make: |w| {
            write(w, "f", "1");
            write(w, "g", "1");
        },
        change: |w| link(w, "g", "f"),
    },
    Case {
        name: "a file in the folder that a declared link leads to",
        inputs: &["l"],
        make: |w| {
            tree(w);
            link(w, "src", "l");
        },
        change: |w| write(w, "src/a.c", "x"),
    },
    Case {
        name: "where a link in a folder leads",
        inputs: &["src"],
        make: |w| {
            tree(w);
            link(w, "a.c", "src/l");
        },
        change: |w| link(w, "b.h", "src/l"),
    },
    Case {
        name: "a file outside that a link in a folder leads to",
        inputs: &["src"],
        make: |w| {
            tree(w);
            write(w, "outside", "1");
            link(w, "../outside", "src/l");
        },
        change: |w| write(w, "outside", "2"),
    },
    // What copies a file, such as cp and tar, copies them.
    Case { name: "rights to read", inputs: &["f"], make: |w| write(w, "f", "1"), change: |w| set_mode(w, "f", 0o600) },
    Case { name: "rights to a folder", inputs: &["src"], make: tree, change: |w| set_mode(w, "src/deep", 0o700) },
    Case {
        name: "a file that a glob finds beside one whose name is the glob",
        inputs: &["f*"],
        make: |w| {
            write(w, "f*", "1");
            write(w, "f1", "1");
        },
        change: |w| write(w, "f1", "2"),
    },
    Case {
        name: "a file in a folder that a link in a folder leads to",
        inputs: &["src"],
        make: |w| {
            tree(w);
            write(w, "elsewhere/deep/f", "1");
            link(w, "../elsewhere", "src/l");
        },
        change: |w| write(w, "elsewhere/deep/f", "2"),
    },
    Case {
        name: "a file behind two links to folders",
        inputs: &["src"],
        make: |w| {
            tree(w);
            write(w, "one/x", "1");
            write(w, "two/f", "1");
            link(w, "../one", "src/l");
            link(w, "../two", "one/l");
            link(w, "../src", "two/back");
        },
        change: |w| write(w, "two/f", "2"),
    },
    Case {
        name: "the second of two links",
        inputs: &["l"],
        make: |w| {
            write(w, "one/f", "1");
            write(w, "two/f", "1");
            link(w, "one", "between");
            link(w, "between/f", "l");
        },
        change: |w| link(w, "two", "between"),
    },
    Case {
        name: "a file behind a link in the path",
        inputs: &["l/a.c"],
        make: |w| {
            write(w, "one/a.c", "1");
            write(w, "two/a.c", "2");
            link(w, "one", "l");
        },
        change: |w| link(w, "two", "l"),
    },
    Case { name: "a file that a glob finds", inputs: &["src/*.c"], make: tree, change: |w| write(w, "src/a.c", "x") },
    Case {
        name: "a file that a glob finds now",
        inputs: &["src/*.c"],
        make: tree,
        change: |w| write(w, "src/z.c", ""),
    },
    Case {
        name: "a file that a deep glob finds",
        inputs: &["src/**/*.c"],
        make: tree,
        change: |w| write(w, "src/deep/deeper/c.c", "x"),
    },
    Case {
        name: "a file that a glob of alternatives finds",
        inputs: &["src/*.{h,hpp}"],
        make: tree,
        change: |w| write(w, "src/b.h", "x"),
    },
    Case {
        name: "a file beside what is left out",
        inputs: &["src", "-x", "*.h"],
        make: tree,
        change: |w| write(w, "src/a.c", "x"),
    },
    Case {
        name: "a file that is left out, but named",
        inputs: &["src", "-i", "src/b.h", "-x", "*.h"],
        make: tree,
        change: |w| write(w, "src/b.h", "x"),
    },
    Case {
        name: "a file that git ignores, but named",
        inputs: &["src", "-i", "src/b.h", "--gitignore"],
        make: |w| {
            tree(w);
            write(w, "src/.gitignore", "*.h\n");
        },
        change: |w| write(w, "src/b.h", "x"),
    },
    Case {
        name: "what git ignores no longer",
        inputs: &["src", "--gitignore"],
        make: |w| {
            tree(w);
            write(w, "src/.gitignore", "*.h\n");
        },
        change: |w| write(w, "src/.gitignore", "*.x\n"),
    },
    Case {
        name: "a file whose name is a glob",
        inputs: &["src/[a].c"],
        make: |w| {
            tree(w);
            write(w, "src/[a].c", "1");
        },
        change: |w| write(w, "src/[a].c", "2"),
    },
];

const IGNORED: &[Case] = &[
    Case {
        name: "the time of a file",
        inputs: &["f"],
        make: |w| write(w, "f", "1"),
        change: |w| set_modified(&w.path("f"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
    },
    Case {
        name: "a file written anew with the same bytes",
        inputs: &["src"],
        make: tree,
        change: |w| {
            fs::remove_file(w.path("src/a.c")).unwrap();
            write(w, "src/a.c", "a");
        },
    },
    Case { name: "a file beside the folder", inputs: &["src"], make: tree, change: |w| write(w, "beside", "") },
    Case { name: "a file that no glob finds", inputs: &["src/*.c"], make: tree, change: |w| write(w, "src/b.h", "x") },
    Case {
        name: "a file deeper than the glob",
        inputs: &["src/*.c"],
        make: tree,
        change: |w| write(w, "src/deep/z.c", ""),
    },
    Case {
        name: "a file left out by its name",
        inputs: &["src", "-x", "*.c"],
        make: tree,
        change: |w| write(w, "src/deep/deeper/c.c", "x"),
    },
    Case {
        name: "a file left out by its path",
        inputs: &["src", "-x", "src/deep/**"],
        make: tree,
        change: |w| write(w, "src/deep/deeper/c.c", "x"),
    },
    Case {
        name: "a file that git ignores",
        inputs: &["src", "--gitignore"],
        make: |w| {
            tree(w);
            write(w, "src/.gitignore", "deep/\n");
        },
        change: |w| write(w, "src/deep/deeper/c.c", "x"),
    },
    Case {
        name: "a FIFO that stays",
        inputs: &["src"],
        make: |w| {
            tree(w);
            fifo(w, "src/p");
        },
        change: |_| {},
    },
];

#[test]
fn a_changed_input_is_a_miss() {
    let failures: Vec<String> = COUNTED.iter().filter_map(|case| fault(case, 2).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_no_input_does_not_count() {
    let failures: Vec<String> = IGNORED.iter().filter_map(|case| fault(case, 1).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs twice, changes, runs twice: `expected` executions in the end.
fn fault(case: &Case, expected: usize) -> Result<(), String> {
    let world = World::new();
    world.counted("tool", "echo out");
    (case.make)(&world);
    let options: Vec<&str> = ["-i"].iter().chain(case.inputs).copied().collect();
    for (step, executions) in
        [("the first run", 1), ("the second run", 1), ("the change", expected), ("the end", expected)]
    {
        if step == "the change" {
            (case.change)(&world);
        }
        let outcome = tool(&world, &options).run();
        if (outcome.code(), outcome.stdout(), outcome.stderr()) != (0, "out\n".into(), String::new()) {
            return Err(format!("{}: {step}: {outcome:?}", case.name));
        }
        if world.executions("tool") != executions {
            return Err(format!("{}: {} executions after {step}", case.name, world.executions("tool")));
        }
    }
    Ok(())
}

#[test]
fn an_old_state_is_found_again() {
    let world = World::new();
    world.counted("tool", "cat f");
    for (content, executions) in [("a", 1), ("b", 2), ("c", 3), ("a", 3), ("b", 3), ("c", 3), ("d", 4), ("a", 4)] {
        world.write("f", content);
        tool(&world, &["-i", "f"]).prints(content);
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn quick_edits_of_equal_size_are_never_missed() {
    let world = World::new();
    let path = world.write("f", "0000");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    for round in 0..50 {
        let content = format!("{round:04}");
        fs::write(&path, &content).unwrap();
        if round % 2 == 1 {
            set_modified(&path, time);
        }
        world.fleche(["run", "-i", "f", "--", "cat", "f"]).prints(&content);
    }
}

#[test]
fn quick_edits_in_a_folder_are_never_missed() {
    let world = World::new();
    for round in 0..20 {
        let name = format!("src/{:02}", round / 2);
        if round % 2 == 0 {
            world.write(&name, "");
        } else {
            fs::rename(world.path(&name), world.path(format!("{name}.moved"))).unwrap();
        }
        let bare = world.program("ls", ["src"]).run();
        assert_eq!(world.fleche(["run", "-i", "src", "--", "ls", "src"]).run(), bare, "round {round}");
    }
}

#[test]
fn an_edit_behind_a_settled_stamp_is_a_miss() {
    let world = World::new();
    world.counted("tool", "cat f src/a");
    let (file, inner) = (world.write("f", "1111"), world.write("src/a", "aaaa"));
    settle(&inner);
    let run = |content: &str, executions| {
        tool(&world, &["-i", "f", "-i", "src"]).prints(content);
        assert_eq!(world.executions("tool"), executions, "{content}");
    };
    run("1111aaaa", 1);
    run("1111aaaa", 1);
    let edit = |path: &PathBuf, content: &str| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, content).unwrap();
        set_modified(path, time);
    };
    edit(&file, "2222");
    run("2222aaaa", 2);
    edit(&inner, "bbbb");
    run("2222bbbb", 3);
    world.write("src/new", "");
    run("2222bbbb", 4);
    fs::remove_file(world.path("src/new")).unwrap();
    run("2222bbbb", 4);
    fs::rename(&inner, world.path("g")).unwrap();
    fs::write(world.path("src/a"), "cccc").unwrap();
    set_modified(&world.path("src/a"), fs::metadata(world.path("g")).unwrap().modified().unwrap());
    run("2222cccc", 5);
}

#[test]
fn an_input_that_changes_meanwhile_is_not_stored() {
    for (name, body) in [
        ("f", "echo more >> f"),
        ("f", "cp f g; printf 2 > f; touch -r g f"),
        ("f", "rm f"),
        ("f", "chmod +x f"),
        ("src/new", "echo > src/new"),
        ("src/a.c", "rm src/a.c"),
        ("src/a.c", "printf z > src/a.c"),
        ("src/a.c", "mv src/a.c src/z.c"),
        ("nowhere", "echo > nowhere"),
        ("l", "ln -sfn elsewhere l"),
    ] {
        let world = World::new();
        world.counted("tool", body);
        let prepare = || {
            for made in ["src", "nowhere", "f"] {
                let path = world.path(made);
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
            tree(&world);
            write(&world, "f", "1");
            link(&world, "f", "l");
        };
        for executions in 1..3 {
            prepare();
            let outcome = tool(&world, &["-v", "-i", "f", "-i", "src", "-i", "nowhere", "-i", "l"]).run();
            assert_eq!((outcome.code(), outcome.stdout()), (0, String::new()), "{body}");
            let said = "fleche: miss: no call is stored for this state; not stored: input `";
            assert!(outcome.stderr().starts_with(said), "{body}: {outcome:?}");
            assert!(outcome.stderr().ends_with("` changed while it ran\n"), "{body}: {outcome:?}");
            assert_eq!(world.executions("tool"), executions, "{body}");
        }
        // The message names the culprit; where a folder changed, it may be the folder.
        prepare();
        let said = tool(&world, &["-v", "-i", "f", "-i", "src", "-i", "nowhere", "-i", "l"]).run().stderr();
        let named = said.split('`').nth(1).unwrap_or_default().to_owned();
        assert!(name.starts_with(&named) || named == "l" || named == "src/z.c", "{body}: {said}");
    }
}

#[test]
fn the_program_that_changes_meanwhile_is_not_stored() {
    let world = World::new();
    world.write("f", "");
    // Written beside and renamed, as installers do.
    world.counted("tool", "sed 's/^# .*/# changed/' tool > new; chmod +x new; mv new tool\n# original");
    world.script("spare", &world.read("tool"));
    for executions in 1..3 {
        world.program("cp", ["-p", "spare", "tool.new"]).prints("");
        fs::rename(world.path("tool.new"), world.path("tool")).unwrap();
        tool(&world, &["-i", "f"]).prints("");
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn standard_input_that_changes_meanwhile_is_not_stored() {
    let world = World::new();
    world.write("f", "");
    world.counted("tool", "cat; echo more >> lines");
    for executions in 1..3 {
        let lines = world.write("lines", "one\n");
        let session = tool(&world, &["-i", "f"]).stdin(File::open(lines).unwrap());
        session.prints("one\n");
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn many_files_are_seen_whole() {
    let world = World::new();
    world.counted("tool", "cat src/* | cksum");
    for number in 0..500 {
        world.write(format!("src/{number:03}"), number.to_string());
    }
    let run = |executions| {
        let bare = world.program("sh", ["-c", "cat src/* | cksum"]).run().stdout();
        tool(&world, &["-i", "src"]).prints(&bare);
        assert_eq!(world.executions("tool"), executions);
    };
    run(1);
    run(1);
    world.write("src/499", "x");
    run(2);
    world.write("src/000", "x");
    run(3);
    world.write("src/499", "499");
    run(4);
    world.write("src/000", "0");
    run(4);
}

#[test]
fn a_large_input_is_seen_whole() {
    let world = World::new();
    world.counted("tool", "cksum < f");
    let mut content = vec![7; 20 << 20];
    for (offset, executions) in [(0, 1), (content.len() - 1, 2), (content.len() / 2, 3)] {
        content[offset] ^= 1;
        world.write("f", &content);
        let bare = world.program("sh", ["-c", "cksum < f"]).run().stdout();
        tool(&world, &["-i", "f"]).prints(&bare);
        tool(&world, &["-i", "f"]).prints(&bare);
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn pure_reads_what_arguments_name() {
    let world = World::new();
    world.counted("tool", "echo out");
    for (name, argument) in
        [("one", "one"), ("two", "--file=two"), ("three", "@three"), ("four/five", "four"), ("six", "-fsix")]
    {
        world.write(name, "1");
        let run = || world.fleche(["run", "--pure", "--", "./tool", argument]).prints("out\n");
        let before = world.executions("tool");
        run();
        run();
        assert_eq!(world.executions("tool"), before + 1, "{argument}");
        world.write(name, "2");
        run();
        assert_eq!(world.executions("tool"), before + 2, "{argument}");
        fs::remove_file(world.path(name)).unwrap();
        run();
        assert_eq!(world.executions("tool"), before + 3, "{argument}");
    }
}

#[test]
fn pure_that_writes_into_its_folder_is_not_stored() {
    let world = World::new();
    world.counted("tool", "echo x > made");
    world.write("there/f", "");
    for executions in 1..3 {
        let _ = fs::remove_file(world.path("made"));
        let outcome = world.fleche(["run", "-v", "--pure", "--", "./tool", "there/f"]).run();
        assert_eq!((outcome.code(), world.executions("tool")), (0, executions), "{outcome:?}");
        assert!(masked(&outcome.stderr()).contains("; not stored: "), "{outcome:?}");
    }
}

#[test]
fn a_chain_of_links_is_as_long_as_it_likes() {
    const LINKS: usize = 6_000;
    let world = World::new();
    for number in 0..LINKS {
        write(&world, format!("{number}/f"), "1\n");
        link(&world, &format!("../{}", number + 1), &format!("{number}/next"));
    }
    let last = format!("{LINKS}/f");
    write(&world, &last, "1\n");
    world.counted("tool", &format!("cat {last}"));
    // Where so little memory is allowed that stacks do not grow.
    for limit in ["", "ulimit -v 900000; ", "ulimit -s 256; "] {
        let run = || world.shell(&format!("{limit}exec fleche run -i 0 -- ./tool")).run();
        let before = world.executions("tool");
        for (text, executions) in [("1\n", 1), ("1\n", 1), ("2\n", 2), ("2\n", 2)] {
            write(&world, &last, text);
            run().check(0, text, "");
            assert_eq!(world.executions("tool") - before, executions, "{limit}");
        }
        world.remove_cache();
    }
}
