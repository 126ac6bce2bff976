//! What identifies a command: change one part and it runs, change what is ignored and it is replayed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use crate::world::{Session, World, eventually, search_path};

/// Which of two surroundings a command is run in; all but one part is the same in both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

impl Side {
    fn pick<T>(self, first: T, second: T) -> T {
        match self {
            Side::First => first,
            Side::Second => second,
        }
    }
}

/// A name, and how the command is run on each side.
type Case = (&'static str, fn(&World, Side) -> Session);

/// `fleche run` with `options` of the script `tool`, which prints its arguments.
fn tool(world: &World, options: &[&str], arguments: &[&str]) -> Session {
    let tool = world.path("tool");
    let words = ["run", "-i", "input"].iter().chain(options).map(OsString::from);
    world.fleche(words.chain(["--".into(), tool.into()]).chain(arguments.iter().map(OsString::from)))
}

fn world() -> World {
    let world = World::new();
    // Where standard output is closed, echo fails and the script goes on.
    world.counted("tool", "echo \"out $*\" 2>/dev/null || true");
    world.write("input", "input");
    world
}

/// A file open for reading at an offset.
fn opened(world: &World, content: &str, offset: u64) -> Stdio {
    let path = world.write("standard-input", content);
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.into()
}

/// The read end of a pipe that is at its end.
fn ended_pipe() -> Stdio {
    let (reader, _) = std::io::pipe().unwrap();
    reader.into()
}

fn with_closed(session: Session, descriptor: i32) -> Session {
    session.with(|command| {
        // SAFETY: close(2) is async-signal-safe, and the descriptor is the child's own.
        unsafe {
            command.pre_exec(move || {
                libc::close(descriptor);
                Ok(())
            })
        };
    })
}

/// Both streams in one pipe.
fn with_one_stream(session: Session) -> Session {
    session.with(|command| {
        // SAFETY: dup2(2) is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::dup2(1, 2);
                Ok(())
            })
        };
    })
}

fn with_umask(session: Session, mask: libc::mode_t) -> Session {
    session.with(|command| {
        // SAFETY: umask(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                libc::umask(mask);
                Ok(())
            })
        };
    })
}

fn with_largest_file(session: Session, bytes: libc::rlim_t) -> Session {
    session.with(|command| {
        let limits = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: setrlimit(2) is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                libc::setrlimit(libc::RLIMIT_FSIZE, &limits);
                Ok(())
            })
        };
    })
}

/// Replaces an executable file by one that never was open for writing in this process.
fn install(world: &World, source: &str, target: &str) {
    let draft = world.script("installed", source);
    fs::create_dir_all(world.path(target).parent().unwrap()).unwrap();
    fs::rename(draft, world.path(target)).unwrap();
}

/// The script `tool` with a comment, the same otherwise.
fn commented(world: &World, comment: &str) -> String {
    format!("#!/bin/sh\n# {comment}\necho x >> '{}'\necho out\n", world.count_file("tool").display())
}

/// Parts of the key: the second side must run, and then both must be found again.
const COUNTED: &[Case] = &[
    ("an argument", |w, s| tool(w, &[], &[s.pick("a", "b")])),
    ("the last of many arguments", |w, s| tool(w, &[], &["a", "b", "c", s.pick("d", "e")])),
    ("the order of arguments", |w, s| tool(w, &[], s.pick(&["a", "b"], &["b", "a"]))),
    ("the boundary between arguments", |w, s| tool(w, &[], s.pick(&["a", "b"], &["ab"]))),
    ("a boundary moved", |w, s| tool(w, &[], s.pick(&["ab", "c"], &["a", "bc"]))),
    ("a space for a boundary", |w, s| tool(w, &[], s.pick(&["a", "b"], &["a b"]))),
    ("an empty argument", |w, s| tool(w, &[], s.pick(&["a"], &["a", ""]))),
    ("bytes that are no UTF-8", |w, s| {
        let word = s.pick(b"\xff", b"\xfe");
        tool(w, &[], &[]).arg(OsStr::from_bytes(word))
    }),
    ("a redacted argument", |w, s| tool(w, &["--redact-arg", "--token=*"], &[s.pick("--token=a", "--token=b")])),
    ("an argument beside an ignored one", |w, s| tool(w, &["--ignore-arg", "-j*"], &["-j1", s.pick("a", "b")])),
    ("the program's content", |w, s| {
        install(w, &commented(w, s.pick("one", "two")), "tool");
        tool(w, &[], &[])
    }),
    ("the program's path", |w, s| {
        install(w, &commented(w, "same"), "bin1/tool");
        install(w, &commented(w, "same"), "bin2/tool");
        let path = format!("{}:{}", w.path(s.pick("bin1", "bin2")).display(), search_path());
        w.fleche(["run", "-i", "input", "--ignore-env", "PATH", "--", "tool"]).env("PATH", path)
    }),
    ("the program's path, where only it counts", |w, s| {
        install(w, &commented(w, "same"), "bin1/tool");
        install(w, &commented(w, "same"), "bin2/tool");
        let path = format!("{}:{}", w.path(s.pick("bin1", "bin2")).display(), search_path());
        w.fleche(["run", "-i", "input", "--ignore-env", "PATH", "--program", "path", "--", "tool"]).env("PATH", path)
    }),
    ("the program's name, where only it counts", |w, s| {
        install(w, &commented(w, "same"), "bin/one");
        install(w, &commented(w, "same"), "bin/two");
        let path = format!("{}:{}", w.path("bin").display(), search_path());
        let program = s.pick("one", "two");
        w.fleche(["run", "-i", "input", "--program", "name", "--", program]).env("PATH", path)
    }),
    ("the interpreter's content", |w, s| {
        let shell = fs::read("/bin/sh").unwrap();
        let end: &[u8] = s.pick(b"", b"\0");
        let draft = w.write("draft", [&shell[..], end].concat());
        // Copied by another process, for the reason that `World::script` tells.
        w.program("cp", [draft, w.path("interpreter.new")]).prints("");
        w.program("chmod", ["755", "interpreter.new"]).prints("");
        fs::rename(w.path("interpreter.new"), w.path("interpreter")).unwrap();
        let count = w.count_file("tool");
        w.script("tool", &format!("#!{}\necho x >> '{}'\n", w.path("interpreter").display(), count.display()));
        tool(w, &[], &[])
    }),
    ("the program that a `#!/usr/bin/env` line finds", |w, s| {
        install(w, &format!("#!/bin/sh\n# {}\nexec /bin/sh \"$@\"\n", s.pick("one", "two")), "bin/shell");
        w.script("tool", &format!("#!/usr/bin/env shell\necho x >> '{}'\n", w.count_file("tool").display()));
        tool(w, &[], &[]).env("PATH", format!("{}:{}", w.path("bin").display(), search_path()))
    }),
    ("the working directory", |w, s| {
        fs::create_dir_all(w.path("a")).unwrap();
        fs::create_dir_all(w.path("b")).unwrap();
        let words = ["run".into(), "-i".into(), w.path("input").into_os_string(), "--".into(), w.path("tool").into()];
        w.fleche(words).current_dir(w.path(s.pick("a", "b")))
    }),
    ("a variable", |w, s| tool(w, &[], &[]).env("FOO", s.pick("1", "2"))),
    ("a variable more", |w, s| s.pick(tool(w, &[], &[]), tool(w, &[], &[]).env("FOO", "1"))),
    ("an empty variable more", |w, s| s.pick(tool(w, &[], &[]), tool(w, &[], &[]).env("FOO", ""))),
    ("the name of a variable", |w, s| tool(w, &[], &[]).env(s.pick("FOO", "FOP"), "1")),
    ("bytes of a variable that are no UTF-8", |w, s| {
        tool(w, &[], &[]).env("FOO", OsStr::from_bytes(s.pick(b"\xff", b"\xfe")))
    }),
    ("the border of name and value", |w, s| {
        s.pick(tool(w, &[], &[]).env("FOO", "B=1"), tool(w, &[], &[]).env("FOOB", "1"))
    }),
    ("LANG", |w, s| tool(w, &[], &[]).env("LANG", s.pick("C", "C.UTF-8"))),
    ("TERM", |w, s| tool(w, &[], &[]).env("TERM", s.pick("dumb", "xterm"))),
    ("a listed variable", |w, s| tool(w, &["--env-mode", "listed", "--env", "FOO"], &[]).env("FOO", s.pick("1", "2"))),
    ("a variable that a glob lists", |w, s| {
        tool(w, &["--env-mode", "listed", "--env", "FO*"], &[]).env("FOO", s.pick("1", "2"))
    }),
    ("a strictly listed variable", |w, s| {
        tool(w, &["--env-mode", "strict", "--env", "FOO"], &[]).env("FOO", s.pick("1", "2"))
    }),
    ("LANG, strictly", |w, s| tool(w, &["--env-mode", "strict"], &[]).env("LANG", s.pick("C", "C.UTF-8"))),
    ("LC_ALL, strictly", |w, s| tool(w, &["--env-mode", "strict"], &[]).env("LC_ALL", s.pick("C", "C.UTF-8"))),
    ("TZ, strictly", |w, s| tool(w, &["--env-mode", "strict"], &[]).env("TZ", s.pick("UTC", "CET"))),
    ("PATH, strictly", |w, s| {
        let path = format!("{}:/nowhere", search_path());
        tool(w, &["--env-mode", "strict"], &[]).env("PATH", s.pick(search_path(), &path))
    }),
    ("the environment's mode", |w, s| tool(w, &["--env-mode", s.pick("all", "strict")], &[])),
    ("a volatile variable that is named", |w, s| tool(w, &["--env", "SHLVL"], &[]).env("SHLVL", s.pick("1", "2"))),
    ("a variable beside an ignored one", |w, s| {
        tool(w, &["--ignore-env", "FOO"], &[]).env("FOO", "1").env("BAR", s.pick("1", "2"))
    }),
    ("whether there is a PWD", |w, s| s.pick(tool(w, &[], &[]), tool(w, &[], &[]).env("PWD", w.work()))),
    ("PWD by another name", |w, s| {
        let _ = symlink(w.work(), w.root().join("alias"));
        tool(w, &[], &[]).env("PWD", s.pick(w.work(), w.root().join("alias")))
    }),
    ("what a make passes on beside its jobserver", |w, s| {
        let flags = s.pick(" -j2 --jobserver-auth=8,9 -- CFLAGS=-O1", " -j2 --jobserver-auth=8,9 -- CFLAGS=-O2");
        tool(w, &[], &[]).env("MAKEFLAGS", flags)
    }),
    // Jenkins sets it, but it is also what people call the number that they build into a program.
    ("BUILD_NUMBER", |w, s| tool(w, &[], &[]).env("BUILD_NUMBER", s.pick("1", "2"))),
    ("the letters of MAKEFLAGS", |w, s| tool(w, &[], &[]).env("MAKEFLAGS", s.pick("k -j2", "ks -j2"))),
    ("the content of standard input", |w, s| {
        let stdin = opened(w, s.pick("one", "two"), 0);
        tool(w, &[], &[]).stdin(stdin)
    }),
    ("the offset of standard input", |w, s| {
        let stdin = opened(w, "aab", s.pick(1, 2));
        tool(w, &[], &[]).stdin(stdin)
    }),
    // A command that seeks, as tac does, sees it.
    ("what lies before the offset of standard input", |w, s| {
        let stdin = opened(w, s.pick("one same", "two same"), 4);
        tool(w, &[], &[]).stdin(stdin)
    }),
    ("a file on standard input for none", |w, s| {
        let stdin = s.pick(Stdio::null(), opened(w, "one", 0));
        tool(w, &[], &[]).stdin(stdin)
    }),
    ("what comes by --stdin", |w, s| tool(w, &["--stdin"], &[]).input(s.pick("one", "two"))),
    ("the length of what comes by --stdin", |w, s| tool(w, &["--stdin"], &[]).input(s.pick("one", "one\n"))),
    ("what --stdin-from names", |w, s| {
        w.write("from", s.pick("one", "two"));
        tool(w, &["--stdin-from", "from"], &[])
    }),
    ("--stdin, and the file for the pipe", |w, s| {
        let file = opened(w, "one", 0);
        s.pick(tool(w, &["--stdin"], &[]).stdin(ended_pipe()), tool(w, &["--stdin"], &[]).stdin(file))
    }),
    ("one stream for two", |w, s| s.pick(tool(w, &[], &[]), with_one_stream(tool(w, &[], &[])))),
    ("a closed standard output", |w, s| s.pick(tool(w, &[], &[]), with_closed(tool(w, &[], &[]), 1))),
    ("a closed standard error", |w, s| s.pick(tool(w, &[], &[]), with_closed(tool(w, &[], &[]), 2))),
    ("the umask", |w, s| with_umask(tool(w, &[], &[]), s.pick(0o022, 0o027))),
    ("how large files may become", |w, s| with_largest_file(tool(w, &[], &[]), s.pick(1 << 30, 1 << 29))),
    ("that files may become large at all", |w, s| {
        s.pick(tool(w, &[], &[]), with_largest_file(tool(w, &[], &[]), 1 << 30))
    }),
    ("the revision", |w, s| tool(w, &["--revision", s.pick("1", "2")], &[])),
    ("a revision where there was none", |w, s| tool(w, s.pick(&[], &["--revision", ""]), &[])),
    ("the output of a probe", |w, s| {
        w.write("version", s.pick("1.0\n", "1.1\n"));
        tool(w, &["--probe", "cat version"], &[])
    }),
    ("a probe more", |w, s| tool(w, s.pick(&[], &["--probe", "echo 1"]), &[])),
    ("an input more", |w, s| {
        w.write("other", "other");
        tool(w, s.pick(&[], &["-i", "other"]), &[])
    }),
    ("an absent input more", |w, s| tool(w, s.pick(&[], &["-i", "nowhere"]), &[])),
    ("an exclusion", |w, s| {
        w.write("folder/a.c", "a");
        w.write("folder/a.o", "a");
        tool(w, s.pick(&["-i", "folder"], &["-i", "folder", "-x", "*.o"]), &[])
    }),
    ("an output", |w, s| tool(w, s.pick(&[], &["-o", "made"]), &[])),
    ("another output", |w, s| tool(w, &["-o", s.pick("made", "built")], &[])),
    ("an owned folder for a file", |w, s| tool(w, &["-o", s.pick("made", "made/")], &[])),
    ("what git ignores", |w, s| {
        w.write("folder/.gitignore", "*.o\n");
        w.write("folder/a.c", "a");
        w.write("folder/a.o", "a");
        tool(w, s.pick(&["-i", "folder"], &["-i", "folder", "--gitignore"]), &[])
    }),
    ("pure for declared", |w, s| {
        let words = s.pick(vec!["run", "-i", "input", "--", "./tool"], vec!["run", "--pure", "--", "./tool"]);
        w.fleche(words)
    }),
];

/// What does not count: the second side is replayed.
const IGNORED: &[Case] = &[
    ("nothing", |w, _| tool(w, &[], &["a"])),
    ("an ignored argument", |w, s| tool(w, &["--ignore-arg", "-j*"], &[s.pick("-j1", "-j2"), "a"])),
    ("the program's content, where its path counts", |w, s| {
        install(w, &commented(w, s.pick("one", "two")), "tool");
        tool(w, &["--program", "path"], &[])
    }),
    ("the program's path, where its name counts", |w, s| {
        install(w, &commented(w, "same"), "bin1/tool");
        install(w, &commented(w, "same"), "bin2/tool");
        let path = format!("{}:{}", w.path(s.pick("bin1", "bin2")).display(), search_path());
        w.fleche(["run", "-i", "input", "--ignore-env", "PATH", "--program", "name", "--", "tool"]).env("PATH", path)
    }),
    ("the working directory, with --no-cwd", |w, s| {
        fs::create_dir_all(w.path("a")).unwrap();
        fs::create_dir_all(w.path("b")).unwrap();
        let mut words: Vec<OsString> = ["run", "--no-cwd", "-i"].iter().map(OsString::from).collect();
        words.extend([w.path("input").into_os_string(), "--".into(), w.path("tool").into()]);
        w.fleche(words).current_dir(w.path(s.pick("a", "b")))
    }),
    ("an ignored variable", |w, s| tool(w, &["--ignore-env", "FOO"], &[]).env("FOO", s.pick("1", "2"))),
    ("an ignored variable more", |w, s| {
        let session = tool(w, &["--ignore-env", "FO*"], &[]);
        s.pick(session, tool(w, &["--ignore-env", "FO*"], &[]).env("FOO", "2"))
    }),
    ("a variable that is not listed", |w, s| tool(w, &["--env-mode", "listed"], &[]).env("FOO", s.pick("1", "2"))),
    ("a variable that is hidden", |w, s| tool(w, &["--env-mode", "strict"], &[]).env("FOO", s.pick("1", "2"))),
    ("USER, strictly", |w, s| tool(w, &["--env-mode", "strict"], &[]).env("USER", s.pick("a", "b"))),
    ("the order of variables", |w, s| {
        s.pick(tool(w, &[], &[]).env("A", "1").env("B", "2"), tool(w, &[], &[]).env("B", "2").env("A", "1"))
    }),
    ("the jobserver of a make", |w, s| {
        let flags = s.pick(" -j2 --jobserver-auth=8,9", " -j16 --jobserver-auth=fifo:/tmp/GMfifo1");
        tool(w, &[], &[]).env("MAKEFLAGS", flags)
    }),
    ("the jobserver of a make where there was none", |w, s| {
        s.pick(tool(w, &[], &[]), tool(w, &[], &[]).env("MAKEFLAGS", " -j2 --jobserver-auth=8,9"))
    }),
    ("the jobserver beside what counts", |w, s| {
        let flags = s.pick(" -j2 --jobserver-auth=8,9 -- CFLAGS=-O1", " -j4 --jobserver-auth=5,6 -- CFLAGS=-O1");
        tool(w, &[], &[]).env("MAKEFLAGS", flags)
    }),
    ("the jobserver of a cargo", |w, s| {
        tool(w, &[], &[]).env("CARGO_MAKEFLAGS", s.pick("-j --jobserver-auth=8,9", "-j --jobserver-auth=5,6"))
    }),
    ("fleche's own variables", |w, s| {
        let session = tool(w, &[], &[]);
        s.pick(session, tool(w, &[], &[]).env("FLECHE_TAGS", "a=1").env("FLECHE_PROJECT", "p").env("FLECHE_MODE", "on"))
    }),
    ("tags", |w, s| tool(w, s.pick(&[], &["--tag", "a=1", "--project", "p"]), &[])),
    ("the name of the file on standard input", |w, s| {
        let path = w.write(s.pick("first-input", "second-input"), "one");
        tool(w, &[], &[]).stdin(File::open(path).unwrap())
    }),
    ("what --no-stdin keeps away", |w, s| tool(w, &["--no-stdin"], &[]).input(s.pick("one", "two"))),
    ("what --stdin brings again", |w, _| tool(w, &["--stdin"], &[]).input("one")),
    ("a pipe that is at its end", |w, _| tool(w, &[], &[]).stdin(ended_pipe())),
    // `make -j` gives the one to its first job and the other to the rest.
    ("/dev/null for a pipe that is at its end", |w, s| tool(w, &[], &[]).stdin(s.pick(Stdio::null(), ended_pipe()))),
    ("the output of a probe, the same again", |w, _| tool(w, &["--probe", "echo 1"], &[])),
    ("a file that git ignores", |w, s| {
        w.write("folder/.gitignore", "*.o\n");
        w.write("folder/a.c", "a");
        w.write("folder/a.o", s.pick("a", "b"));
        tool(w, &["-i", "folder", "--gitignore"], &[])
    }),
    ("what was left out", |w, s| {
        w.write("folder/a.c", "a");
        w.write("folder/deep/a.o", s.pick("a", "b"));
        tool(w, &["-i", "folder", "-x", "*.o"], &[])
    }),
    ("how much is said", |w, s| tool(w, &[], &[]).env("FLECHE_VERBOSE", s.pick("0", "0"))),
    ("how long it is kept", |w, s| tool(w, s.pick(&[], &["--ttl", "1h", "--wait", "1s", "--max-entry", "1GB"]), &[])),
];

/// Variables of sessions, terminals, jobservers and single runs of a CI.
const VOLATILE: &[&str] = &[
    "_",
    "SHLVL",
    "OLDPWD",
    "SSH_AUTH_SOCK",
    "SSH_CONNECTION",
    "SSH_TTY",
    "DBUS_SESSION_BUS_ADDRESS",
    "WINDOWID",
    "XDG_SESSION_ID",
    "GPG_TTY",
    "INVOCATION_ID",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "MAKE_TERMOUT",
    "MAKE_TERMERR",
    "GITHUB_RUN_ID",
    "CI_JOB_ID",
    "BUILDKITE_BUILD_ID",
];

#[test]
fn every_part_of_the_key_counts() {
    let failures: Vec<String> = COUNTED.iter().filter_map(|case| fault_of_counted(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_ignored_is_replayed() {
    let failures: Vec<String> = IGNORED.iter().filter_map(|case| fault_of_ignored(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// First, first again, second, second again, first once more: only two executions.
fn fault_of_counted((name, run): &Case) -> Result<(), String> {
    let world = world();
    for (step, side, expected) in [
        ("the first is not stored", Side::First, 1),
        ("the first is not replayed", Side::First, 1),
        ("the second is taken for the first", Side::Second, 2),
        ("the second is not replayed", Side::Second, 2),
        ("the first is not found again", Side::First, 2),
    ] {
        let outcome = run(&world, side).run();
        if outcome.code() != 0 || !outcome.stderr.is_empty() {
            return Err(format!("{name}: {step}: {outcome:?}"));
        }
        if world.executions("tool") != expected {
            return Err(format!("{name}: {step}: {} executions", world.executions("tool")));
        }
    }
    Ok(())
}

fn fault_of_ignored((name, run): &Case) -> Result<(), String> {
    let world = world();
    let first = run(&world, Side::First).run();
    let second = run(&world, Side::Second).run();
    if first.code() != 0 || !first.stderr.is_empty() || first.stdout != second.stdout || second.code() != 0 {
        return Err(format!("{name}: {first:?}, then {second:?}"));
    }
    match world.executions("tool") {
        1 => Ok(()),
        count => Err(format!("{name}: {count} executions")),
    }
}

#[test]
fn volatile_variables_do_not_count() {
    let world = world();
    tool(&world, &[], &[]).prints("out \n");
    for name in VOLATILE {
        tool(&world, &[], &[]).env(name, "changed").prints("out \n");
        assert_eq!(world.executions("tool"), 1, "{name}");
    }
}

#[test]
fn the_command_sees_what_does_not_count() {
    let world = World::new();
    world.write("input", "");
    let seen = |mode: &str| {
        let words = [
            "run",
            "-i",
            "input",
            "--env-mode",
            mode,
            "--env",
            "COUNTED",
            "--",
            "sh",
            "-c",
            "echo $FOO $COUNTED $HOME",
        ];
        world.fleche(words).env("FOO", "foo").env("COUNTED", "counted").run().stdout()
    };
    let home = world.home();
    assert_eq!(seen("all"), format!("foo counted {}\n", home.display()));
    assert_eq!(seen("listed"), format!("foo counted {}\n", home.display()));
    assert_eq!(seen("strict"), format!("counted {}\n", home.display()));
}

#[test]
fn a_missing_required_argument_means_no_storing() {
    let world = world();
    let said = "fleche: not cached: no argument matches `--seed=*`; it was required\n";
    tool(&world, &["--require-arg", "--seed=*"], &["a"]).ends(0, "out a\n", said);
    tool(&world, &["--require-arg", "--seed=*"], &["a"]).ends(0, "out a\n", said);
    assert_eq!(world.executions("tool"), 2);
    tool(&world, &["--require-arg", "--seed=*"], &["--seed=1"]).prints("out --seed=1\n");
    tool(&world, &["--require-arg", "--seed=*"], &["--seed=1"]).prints("out --seed=1\n");
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn a_missing_required_variable_means_no_storing() {
    let world = world();
    let said = "fleche: not cached: variable `SEED` is not set; it was required\n";
    tool(&world, &["--require-env", "SEED"], &[]).ends(0, "out \n", said);
    tool(&world, &["--require-env", "SEED"], &[]).ends(0, "out \n", said);
    assert_eq!(world.executions("tool"), 2);
    tool(&world, &["--require-env", "SEED"], &[]).env("SEED", "1").prints("out \n");
    tool(&world, &["--require-env", "SEED"], &[]).env("SEED", "1").prints("out \n");
    assert_eq!(world.executions("tool"), 3);
    tool(&world, &["--require-env", "SEED"], &[]).env("SEED", "2").prints("out \n");
    assert_eq!(world.executions("tool"), 4);
}

#[test]
fn a_probe_that_fails_is_an_error() {
    let world = world();
    let outcome = tool(&world, &["--probe", "echo broken; exit 3"], &[]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (125, String::new()));
    assert!(
        outcome.stderr().starts_with("fleche: ") && outcome.stderr().contains("`echo broken; exit 3`"),
        "{outcome:?}"
    );
    assert_eq!(world.executions("tool"), 0);
}

#[test]
fn a_pipe_that_may_be_input_is_left_alone() {
    let world = world();
    let said = "fleche: not cached: standard input may be input; say --stdin if it is, --no-stdin if not\n";
    let line = "printf 'one\\ntwo\\n' | { fleche run -i input -- ./tool; cat; }";
    world.shell(line).ends(0, "out \none\ntwo\n", said);
    world.shell(line).ends(0, "out \none\ntwo\n", said);
    assert_eq!(world.executions("tool"), 2);
}

/// Two checkouts of one project, `one` and `two`, and a tool beside them.
fn checkouts(body: &str) -> World {
    let world = World::new();
    for checkout in ["one", "two"] {
        world.write(format!("{checkout}/fleche.toml"), "");
        world.write(format!("{checkout}/src/input"), "input");
    }
    world.counted("tool", body);
    world
}

/// Runs the tool in the folder `src` of a checkout, as an interactive shell would, with PWD set.
fn in_checkout(world: &World, checkout: &str) -> Session {
    let src = world.path(checkout).join("src");
    let path = format!("{}:{}", world.work().display(), search_path());
    let words = ["run", "-i", "input", "-o", "made", "--", "tool"];
    world.fleche(words).current_dir(&src).env("PWD", &src).env("PATH", path)
}

#[test]
fn checkouts_of_a_project_share_calls() {
    let world = checkouts("cat input; cp input made");
    in_checkout(&world, "one").prints("input");
    in_checkout(&world, "two").prints("input");
    assert_eq!(world.executions("tool"), 1);
    assert_eq!(world.read("two/src/made"), "input");
    world.write("two/src/input", "other");
    in_checkout(&world, "two").prints("other");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn folders_without_a_project_do_not_share_calls() {
    let world = checkouts("cat input; cp input made");
    fs::remove_file(world.path("two/fleche.toml")).unwrap();
    in_checkout(&world, "one").prints("input");
    in_checkout(&world, "two").prints("input");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn another_folder_of_the_project_is_another_command() {
    let world = checkouts("cat input");
    world.write("one/lib/input", "input");
    in_checkout(&world, "one").prints("input");
    let lib = world.path("one/lib");
    world.fleche(["run", "-i", "input", "-o", "made", "--", "../../tool"]).current_dir(lib).prints("input");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn a_result_that_holds_the_checkouts_path_stays_there() {
    for body in [
        "pwd",
        "pwd >&2",
        "pwd > made",
        "ln -sfn \"$(pwd)/input\" made",
        // In pieces, with a pause of the writer between them, and behind much else.
        "head -c 100000 /dev/zero; printf %s \"$(pwd)\" | dd bs=3 2>/dev/null",
    ] {
        let world = checkouts(body);
        let bare = |checkout: &str| {
            let src = world.path(checkout).join("src");
            let outcome = world.program("../../tool", [""; 0]).current_dir(&src).env("PWD", &src).run();
            let _ = fs::remove_file(src.join("made"));
            outcome
        };
        let (one, two) = (bare("one"), bare("two"));
        assert_eq!(in_checkout(&world, "one").run(), one, "{body}");
        assert_eq!(in_checkout(&world, "two").run(), two, "{body}");
        assert_eq!(world.executions("tool"), 4, "{body}");
        assert_eq!(in_checkout(&world, "one").run(), one, "{body}");
        assert_eq!(in_checkout(&world, "two").run(), two, "{body}");
        assert_eq!(world.executions("tool"), 4, "{body}");
    }
}

/// In a checkout of another name, and in one of the same name elsewhere.
#[test]
fn a_result_that_tells_of_the_checkout_in_part_is_not_given_to_others() {
    for (body, told, elsewhere) in [
        ("cd ..; basename \"$(pwd)\"", "one\n", 1),
        ("cd ..; pwd | sed 's|.*/\\(.*/.*\\)|\\1|'", "work/one\n", 2),
        ("pwd | gzip -nc | gzip -dc | tr -d '\\n' | tail -c 7", "one/src", 1),
    ] {
        let world = checkouts(body);
        world.write("other/one/fleche.toml", "");
        world.write("other/one/src/input", "input");
        for _ in 0..2 {
            in_checkout(&world, "one").prints(told);
            assert_eq!(world.executions("tool"), 1, "{body}");
        }
        in_checkout(&world, "other/one").prints(&told.replace("work", "other"));
        assert_eq!(world.executions("tool"), elsewhere, "{body}");
        in_checkout(&world, "two").prints(&told.replace("one", "two"));
        assert_eq!(world.executions("tool"), elsewhere + 1, "{body}");
    }
}

#[test]
fn what_is_packed_stays_in_its_checkout() {
    let world = checkouts("pwd | gzip -nc > made");
    for (checkout, executions) in [("one", 1), ("two", 2), ("one", 2), ("two", 2)] {
        in_checkout(&world, checkout).prints("");
        let made = world.program("gzip", [OsStr::new("-dc"), world.path(checkout).join("src/made").as_os_str()]).run();
        assert_eq!(made.stdout(), format!("{}\n", world.path(checkout).join("src").display()));
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn a_program_inside_the_checkout_is_shared_too() {
    let world = checkouts("");
    for checkout in ["one", "two"] {
        let count = world.count_file("tool");
        world.script(format!("{checkout}/src/tool"), &format!("#!/bin/sh\necho x >> '{}'\n", count.display()));
    }
    for checkout in ["one", "two"] {
        let src = world.path(checkout).join("src");
        world.fleche(["run", "-i", "input", "--", "./tool"]).current_dir(src).prints("");
    }
    assert_eq!(world.executions("tool"), 1);
}

/// Of a killed fleche only the probe itself hears; what a probe's shell started goes on.
#[test]
fn a_probe_ends_with_fleche() {
    let world = World::new();
    let gate = world.root().join("gate");
    world.program("mkfifo", [&gate]).prints("");
    let line = format!("echo $$ > ../pid; read line < '{}'", gate.display());
    let mut fleche = world.fleche(["run", "--pure", "--probe", &line, "--", "true"]).start();
    let pid = || fs::read_to_string(world.root().join("pid")).unwrap_or_default();
    eventually("the probe", || pid().ends_with('\n'));
    fleche.kill().unwrap();
    fleche.wait().unwrap();
    let stat = format!("/proc/{}/stat", pid().trim_end());
    // Whoever inherits it may take his time to collect it.
    eventually("its end", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}

#[test]
fn an_ignored_argument_of_a_pure_command_names_no_file_that_counts() {
    let world = World::new();
    world.counted("tool", "echo done");
    let run = |seed: &str| world.fleche(["run", "--pure", "--ignore-arg", "seed=*", "--", "./tool", seed]);
    run("seed=1").prints("done\n");
    run("seed=2").prints("done\n");
    assert_eq!(world.executions("tool"), 1);
}
