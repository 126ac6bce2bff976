//! What counts of a command itself.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::key::{Surroundings, command, with_streams};
use crate::model::{
    Command, CommandDigest, Digest, EnvironmentMode, Part, ProgramRule, Reference, Request, Stdin, StdinRule,
    StdinSource, Streams,
};

use super::world::{Memory, World, surroundings, words};

fn world() -> World {
    let world = World::new();
    world.script("tool", "#!/bin/sh\n");
    world.script("bin/tool", "#!/bin/sh\n");
    world.folder("sub");
    world
}

fn plain() -> Request {
    Request { argv: words(&["./tool", "a", "b"]), inputs: words(&["in"]), ..Request::default() }
}

fn look(request: &Request, surroundings: &Surroundings) -> Command {
    command(request, surroundings, &Memory::default()).unwrap()
}

type Change = fn(&World, &mut Request, &mut Surroundings);

fn environment(surroundings: &mut Surroundings, entries: &[&str]) {
    surroundings.environment = words(entries);
}

fn probe_says_one(_: &OsStr) -> Result<Vec<u8>> {
    Ok(b"1".to_vec())
}

fn probe_says_two(_: &OsStr) -> Result<Vec<u8>> {
    Ok(b"2".to_vec())
}

/// Each makes a command of its own: unlike the plain one, and unlike all others.
const COUNTED: &[(&str, Change)] = &[
    ("an argument", |_, r, _| r.argv[1] = "x".into()),
    ("an argument more", |_, r, _| r.argv.push("c".into())),
    ("an empty argument", |_, r, _| r.argv.push("".into())),
    ("arguments in one", |_, r, _| r.argv = words(&["./tool", "ab"])),
    ("arguments exchanged", |_, r, _| r.argv = words(&["./tool", "b", "a"])),
    ("the border of arguments", |_, r, _| r.argv = words(&["./tool", "a b"])),
    ("an argument that is no text", |_, r, _| r.argv[1] = OsStr::from_bytes(b"\xff").into()),
    ("another such argument", |_, r, _| r.argv[1] = OsStr::from_bytes(b"\xfe").into()),
    ("the program's spelling", |_, r, _| r.argv[0] = "././tool".into()),
    ("the program", |_, r, _| r.argv[0] = "bin/tool".into()),
    ("the program's content", |w, _, _| drop(w.script("tool", "#!/bin/sh\n#"))),
    ("the interpreter", |w, _, _| drop(w.script("tool", "#!/usr/bin/env sh\n"))),
    ("a program that is not there", |w, _, _| w.remove("tool")),
    ("a program that may not be executed", |w, _, _| w.mode("tool", 0o644)),
    ("the program by its path", |_, r, _| r.program = ProgramRule::Path),
    ("the program by its name", |_, r, _| r.program = ProgramRule::Name),
    ("no working directory", |_, r, _| r.ignore_cwd = true),
    ("the working directory", |w, r, s| {
        r.argv[0] = "./tool".into();
        w.script("sub/tool", "#!/bin/sh\n");
        s.cwd = w.path("sub");
    }),
    ("a project", |w, _, s| s.project = Some(w.root().to_owned())),
    ("a variable", |_, _, s| environment(s, &["PATH=/bin", "A=1"])),
    ("its value", |_, _, s| environment(s, &["PATH=/bin", "A=2"])),
    ("its name", |_, _, s| environment(s, &["PATH=/bin", "B=1"])),
    ("its border", |_, _, s| environment(s, &["PATH=/bin", "A==1"])),
    ("twice", |_, _, s| environment(s, &["PATH=/bin", "A=1", "A=2"])),
    ("twice, exchanged", |_, _, s| environment(s, &["PATH=/bin", "A=2", "A=1"])),
    ("twice the same", |_, _, s| environment(s, &["PATH=/bin", "A=1", "A=1"])),
    ("an empty value", |_, _, s| environment(s, &["PATH=/bin", "A="])),
    ("no value", |_, _, s| environment(s, &["PATH=/bin", "A"])),
    ("a value that is no text", |_, _, s| {
        environment(s, &["PATH=/bin"]);
        s.environment.push(OsStr::from_bytes(b"A=\xff").into());
    }),
    ("a PWD, where there was none", |w, _, s| {
        s.environment.push(format!("PWD={}", w.root().display()).into());
    }),
    ("another PWD", |w, _, s| {
        let alias = format!("PWD={}/alias", w.root().display());
        s.environment = words(&["PATH=/bin", &alias]);
    }),
    ("MAKELEVEL", |_, _, s| environment(s, &["PATH=/bin", "MAKELEVEL=1"])),
    ("MAKEFLAGS", |_, _, s| environment(s, &["PATH=/bin", "MAKEFLAGS=k -j2 -- CFLAGS=-g"])),
    ("a volatile variable that is named", |_, r, s| {
        environment(s, &["PATH=/bin", "SHLVL=1"]);
        r.environment.counted = vec!["SHLVL".to_owned()];
    }),
    ("a listed environment", |_, r, _| r.environment.mode = EnvironmentMode::Listed),
    ("a strict environment", |_, r, _| r.environment.mode = EnvironmentMode::Strict),
    ("a file as standard input", |_, _, s| {
        s.stdin = Stdin::File { offset: 0 };
        s.stdin_content = Some((Digest::of(b"1"), 1));
    }),
    ("its content", |_, _, s| {
        s.stdin = Stdin::File { offset: 0 };
        s.stdin_content = Some((Digest::of(b"2"), 1));
    }),
    ("its length", |_, _, s| {
        s.stdin = Stdin::File { offset: 0 };
        s.stdin_content = Some((Digest::of(b"2"), 2));
    }),
    ("a spool", |_, r, s| {
        r.stdin = StdinRule::Input;
        s.stdin = Stdin::Spool;
        s.stdin_content = Some((Digest::of(b"1"), 1));
    }),
    ("another file as standard input", |_, r, s| {
        r.stdin = StdinRule::From(StdinSource::Stored(Reference::parse(b"abcd").unwrap()));
        s.stdin = Stdin::From;
        s.stdin_content = Some((Digest::of(b"1"), 1));
    }),
    ("no standard input", |_, r, s| {
        r.stdin = StdinRule::None;
        s.stdin = Stdin::Null;
    }),
    ("unknown standard input", |_, _, s| s.stdin = Stdin::Unknown),
    ("the rule of standard input", |_, r, _| r.stdin = StdinRule::Input),
    ("one stream", |_, _, s| s.streams.same = true),
    ("no standard output", |_, _, s| s.streams.stdout = false),
    ("no standard error", |_, _, s| s.streams.stderr = false),
    ("no streams", |_, _, s| s.streams = Streams { stdout: false, stderr: false, same: false }),
    ("a revision", |_, r, _| r.revision = Some("1".to_owned())),
    ("an empty revision", |_, r, _| r.revision = Some(String::new())),
    ("another input", |_, r, _| r.inputs = words(&["on"])),
    ("an input more", |_, r, _| r.inputs.push("on".into())),
    ("an exclusion", |_, r, _| r.excludes = vec!["on".to_owned()]),
    ("an output", |_, r, _| r.outputs = words(&["on"])),
    ("an owned folder", |_, r, _| r.outputs = words(&["on/"])),
    ("what git ignores", |_, r, _| r.gitignore = true),
    ("purity", |_, r, _| r.pure = true),
    ("a probe", |_, r, _| r.probes = words(&["echo"])),
    ("another probe", |_, r, _| r.probes = words(&["printf"])),
    ("what a probe says", |_, r, s| {
        r.probes = words(&["echo"]);
        s.probe = &probe_says_one;
    }),
    ("what else a probe says", |_, r, s| {
        r.probes = words(&["echo"]);
        s.probe = &probe_says_two;
    }),
];

/// What does not count: the same command as the plain one.
const IGNORED: &[(&str, Change)] = &[
    ("nothing", |_, _, _| {}),
    ("volatile variables", |_, _, s| {
        environment(s, &["SHLVL=7", "PATH=/bin:/usr/bin", "_=/bin/x", "OLDPWD=/", "SSH_TTY=x"])
    }),
    ("fleche's own", |_, _, s| environment(s, &["PATH=/bin:/usr/bin", "FLECHE_TAGS=a=1", "FLECHE_CACHE=x"])),
    ("a jobserver", |_, _, s| {
        environment(s, &["PATH=/bin:/usr/bin", "MAKEFLAGS= -j2 --jobserver-auth=3,4", "CARGO_MAKEFLAGS=x"])
    }),
    ("an ignored variable", |_, r, s| {
        environment(s, &["PATH=/bin:/usr/bin", "A=1"]);
        r.environment.ignored = vec!["A".to_owned()];
    }),
    ("an ignored argument", |_, r, _| {
        r.argv.insert(1, "-j4".into());
        r.arguments.ignored = vec!["-j*".to_owned()];
    }),
    ("what is required", |_, r, _| {
        r.arguments.required = vec!["a".to_owned()];
        r.environment.required = vec!["PATH".to_owned()];
    }),
];

#[test]
fn every_part_counts() {
    let mut seen: HashMap<CommandDigest, &str> = HashMap::new();
    let world = world();
    let plain_digest = look(&plain(), &surroundings(world.root())).digest;
    seen.insert(plain_digest, "the plain command");
    for (name, change) in COUNTED {
        world.script("tool", "#!/bin/sh\n");
        world.mode("tool", 0o755);
        let (mut request, mut surroundings) = (plain(), surroundings(world.root()));
        assert_eq!(look(&request, &surroundings).digest, plain_digest, "before {name}");
        change(&world, &mut request, &mut surroundings);
        let digest = look(&request, &surroundings).digest;
        if let Some(other) = seen.insert(digest, name) {
            panic!("{name} is the same as {other}");
        }
    }
}

#[test]
fn what_is_ignored_does_not_count() {
    for (name, change) in IGNORED {
        let world = world();
        let (mut request, mut surroundings) = (plain(), surroundings(world.root()));
        change(&world, &mut request, &mut surroundings);
        // That something may be ignored counts; what is ignored does not.
        let mut without = plain();
        without.arguments.ignored = request.arguments.ignored.clone();
        without.environment.ignored = request.environment.ignored.clone();
        assert_eq!(
            look(&request, &surroundings).digest,
            look(&without, &self::surroundings(world.root())).digest,
            "{name}"
        );
    }
}

#[test]
fn no_two_parts_share_a_name_but_variables() {
    let world = world();
    let mut request = plain();
    request.inputs.push("a".into());
    request.outputs = words(&["o", "p"]);
    request.probes = words(&["x", "y"]);
    request.revision = Some("1".to_owned());
    let mut surroundings = surroundings(world.root());
    surroundings.stdin_content = Some((Digest::of(b""), 0));
    let parts = look(&request, &surroundings).parts;
    let mut names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_digest_is_that_of_the_parts() {
    let world = world();
    let command = look(&plain(), &surroundings(world.root()));
    assert_eq!(Part::digest(&command.parts), command.digest);
    assert_eq!(command.parts[0].name, "format");
}

#[test]
fn streams_can_be_exchanged_afterwards() {
    let world = world();
    let with = |streams| look(&plain(), &Surroundings { streams, ..surroundings(world.root()) });
    let all =
        [(true, true, true), (true, true, false), (true, false, false), (false, true, false), (false, false, false)];
    for (stdout, stderr, same) in all {
        let streams = Streams { stdout, stderr, same };
        let (expected, exchanged) =
            (with(streams), with_streams(&look(&plain(), &surroundings(world.root())), streams));
        assert_eq!((exchanged.streams, exchanged.digest), (streams, expected.digest));
        assert_eq!(exchanged.parts, expected.parts);
    }
}

#[test]
fn checkouts_share_commands() {
    let look_in = |world: &World, inputs: &dyn Fn(&World) -> Vec<OsString>| {
        world.write("fleche.toml", "");
        world.script("sub/tool", "#!/bin/sh\n");
        let request =
            Request { argv: words(&["./tool"]), inputs: inputs(world), outputs: inputs(world), ..Request::default() };
        look(&request, &surroundings(&world.path("sub")))
    };
    let (one, two) = (World::new(), World::new());
    for inputs in [&|w: &World| words(&[w.path("in")]) as Vec<OsString>, &|_: &World| words(&["in"])]
        as [&dyn Fn(&World) -> Vec<OsString>; 2]
    {
        let (first, second) = (look_in(&one, inputs), look_in(&two, inputs));
        assert_eq!(first.digest, second.digest);
        assert!(first.project);
        assert_eq!((first.root.as_path(), &first.cwd), (one.root(), &one.path("sub")));
    }
}

#[test]
fn folders_without_a_project_share_nothing() {
    let (one, two) = (world(), world());
    let (first, second) = (look(&plain(), &surroundings(one.root())), look(&plain(), &surroundings(two.root())));
    assert_ne!(first.digest, second.digest);
    assert!(!first.project && first.root == first.cwd);
}

#[test]
fn redacted_arguments_are_secret() {
    let world = world();
    let mut request = plain();
    request.argv.push("--token=x/y".into());
    request.arguments.redacted = vec!["--token=*".to_owned()];
    let command = look(&request, &surroundings(world.root()));
    assert_eq!(command.redacted, [false, false, false, true]);
    let part = command.parts.iter().find(|part| part.name == "arg.3").unwrap();
    assert!(part.secret);
    // Only what is secret holds it.
    assert!(command.parts.iter().filter(|part| !part.secret).all(|part| !part.value.ends_with(b"x/y")));
}

#[test]
fn the_name_of_the_program_is_never_ignored() {
    let world = world();
    let ignoring = |name: &str| {
        let mut request = Request { argv: words(&[name, "x"]), ..plain() };
        request.arguments.ignored = vec!["*".to_owned()];
        look(&request, &surroundings(world.root())).parts
    };
    assert_ne!(ignoring("./tool"), ignoring("././tool"));
    assert!(ignoring("./tool").iter().all(|part| part.name != "arg.1"));
}

#[test]
fn malformed_globs_and_failing_probes_are_errors() {
    let world = world();
    let changes: &[fn(&mut Request)] = &[
        |r| r.arguments.ignored = vec!["[".to_owned()],
        |r| r.arguments.required = vec!["[".to_owned()],
        |r| r.arguments.redacted = vec!["[".to_owned()],
        |r| r.environment.counted = vec!["[".to_owned()],
        |r| r.environment.ignored = vec!["[".to_owned()],
    ];
    for change in changes {
        let mut request = plain();
        change(&mut request);
        let error = command(&request, &surroundings(world.root()), &Memory::default()).unwrap_err();
        assert!(error.to_string().contains("glob `[`"), "{error}");
    }
    let failing = |_: &OsStr| -> Result<Vec<u8>> { Err(Error::usage("probe `x` failed")) };
    let surroundings = Surroundings { probe: &failing, ..surroundings(world.root()) };
    assert!(command(&plain(), &surroundings, &Memory::default()).is_ok());
    let request = Request { probes: words(&["x"]), ..plain() };
    assert_eq!(command(&request, &surroundings, &Memory::default()).unwrap_err().to_string(), "probe `x` failed");
}

#[test]
fn the_program_is_absolute_for_the_record() {
    let world = world();
    assert_eq!(look(&plain(), &surroundings(world.root())).program_path(), world.path("tool"));
}
