//! Which program a name means, and what counts of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::key::content::Links;
use crate::key::program::{examine, unreadable};
use crate::key::resolve_program;
use crate::model::{Digest, Program, Request};

use super::world::{Memory, World, surroundings, words};

fn found(path: &str) -> Program {
    Program::Found(PathBuf::from(path))
}

#[test]
fn names_are_found_as_execvp_finds_them() {
    let world = World::new();
    for name in ["a/tool", "b/tool", "b/other", "here"] {
        world.script(name, "");
    }
    world.write("c/tool", "");
    world.folder("d/tool");
    world.fifo("pipe");
    world.mode("pipe", 0o755);
    for (name, path, expected) in [
        ("tool", Some("a:b"), found("a/tool")),
        ("tool", Some("nowhere:b:a"), found("b/tool")),
        ("tool", Some("c:d:b"), found("b/tool")),
        ("tool", Some("c"), Program::NotExecutable),
        ("tool", Some("d:nowhere"), Program::NotExecutable),
        ("tool", Some("nowhere"), Program::NotFound),
        ("other", Some("a:b"), found("b/other")),
        ("here", Some("a::b"), found("here")),
        ("here", Some("a:"), found("here")),
        ("here", Some(""), found("here")),
        ("here", Some("a"), Program::NotFound),
        ("here", None, Program::NotFound),
        ("./here", None, found("./here")),
        ("a/tool", Some("b"), found("a/tool")),
        ("a/nowhere", None, Program::NotFound),
        ("here/below", None, Program::NotFound),
        ("c/tool", None, Program::NotExecutable),
        ("d/tool", None, Program::NotExecutable),
        ("./pipe", None, Program::NotExecutable),
        ("", Some("a"), Program::NotFound),
        ("sh", None, found("/bin/sh")),
    ] {
        assert_eq!(resolve_program(OsStr::new(name), world.root(), path.map(OsStr::new)), expected, "{name} {path:?}");
    }
}

/// The names of the program's parts, with the files that they are about.
fn parts(world: &World, name: &str, path: &str) -> Vec<String> {
    let mut surroundings = surroundings(world.root());
    surroundings.environment = vec![format!("PATH={path}").into()];
    let request = Request { argv: words(&[name]), ..Request::default() };
    let command = crate::key::command(&request, &surroundings, &Memory::default()).unwrap();
    let watched: Vec<&PathBuf> = command.watched.iter().map(|watched| &watched.path).collect();
    assert!(watched.iter().all(|path| path.is_absolute()), "{watched:?}");
    let about = command.parts.iter().filter(|part| {
        (part.name.starts_with("program") || part.name.starts_with("interpreter")) && part.name != "program.rule"
    });
    let value = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let is_digest = text.parse::<Digest>().is_ok();
        if is_digest { "digest".to_owned() } else { text.replace(&format!("{}/", world.root().display()), "") }
    };
    about.map(|part| format!("{} {}", part.name, value(&part.value))).filter(|line| !line.contains(".real ")).collect()
}

#[test]
fn interpreters_count_to_the_end() {
    let world = World::new();
    world.write("binary", b"\x7fELF");
    world.mode("binary", 0o755);
    world.script("plain", "echo");
    world.script("one", "#!./binary\n");
    world.script("two", "#! ./one -x\n");
    world.script("gone", "#!./nowhere\n");
    world.script("through", "#!/usr/bin/env one\n");
    world.script("split", "#!/usr/bin/env -S A=1 PATH=bin inner -x\n");
    world.script("lost", "#!/usr/bin/env nowhere\n");
    world.write("bin/inner", b"\x7fELF");
    world.mode("bin/inner", 0o755);
    let env = ["interpreter.1.env /usr/bin/env", "interpreter.1.env.content digest"];
    for (name, expected) in [
        ("binary", vec![]),
        ("plain", vec!["interpreter.1 /bin/sh", "interpreter.1.content digest"]),
        ("one", vec!["interpreter.1 binary", "interpreter.1.content digest"]),
        (
            "two",
            vec![
                "interpreter.1 one",
                "interpreter.1.content digest",
                "interpreter.2 binary",
                "interpreter.2.content digest",
            ],
        ),
        ("gone", vec!["interpreter.1 nowhere", "interpreter.1.content missing"]),
        (
            "through",
            [
                &env[..],
                &[
                    "interpreter.1 one",
                    "interpreter.1.content digest",
                    "interpreter.2 binary",
                    "interpreter.2.content digest",
                ],
            ]
            .concat(),
        ),
        ("split", [&env[..], &["interpreter.1 bin/inner", "interpreter.1.content digest"]].concat()),
        ("lost", [&env[..], &["interpreter.1.state not found"]].concat()),
    ] {
        let program = format!("program {name}");
        let expected = [&[program.as_str(), "program.content digest"][..], &expected].concat();
        assert_eq!(parts(&world, name, &world.root().display().to_string()), expected, "{name}");
    }
}

#[test]
fn interpreters_that_go_round_end() {
    let world = World::new();
    world.script("round", "#!./round\n");
    assert_eq!(parts(&world, "./round", "").len(), 10);
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::new();
    world.write("plain", "");
    assert_eq!(parts(&world, "nowhere", ""), ["program.state not found"]);
    assert_eq!(parts(&world, "./plain", ""), ["program.state not executable"]);
}

#[test]
fn where_a_link_leads_counts() {
    let world = World::new();
    world.script("one/tool", "");
    world.script("two/tool", "");
    world.link("one/tool", "tool");
    let request = Request { argv: words(&["./tool"]), ..Request::default() };
    let before = world.command(&request);
    world.link("two/tool", "tool");
    assert_ne!(world.command(&request).digest, before.digest);
}

#[test]
fn a_large_program_is_remembered_and_its_format_still_seen() {
    let world = World::new();
    let mut content = b"#!/bin/sh\n".to_vec();
    content.resize(1 << 17, b'#');
    let path = world.write("large", &content);
    world.mode("large", 0o755);
    let false_digest = Digest::of(b"told");
    let memory = Memory { known: vec![(crate::sys::stamp::of(&path).unwrap(), false_digest)], ..Memory::default() };
    let request = Request { argv: words(&["./large"]), ..Request::default() };
    let command = crate::key::command(&request, &surroundings(world.root()), &memory).unwrap();
    assert_eq!(command.watched[0].digest, false_digest);
    assert!(command.watched[0].settled);
    assert_eq!(command.watched[1].path, Path::new("/bin/sh"));
    let command = world.command(&request);
    assert_eq!(command.watched[0].digest, Digest::of(&content));
    assert!(!command.watched[0].settled);
}

#[test]
fn a_large_binary_that_was_seen_before_is_not_even_opened() {
    let world = World::new();
    let path = world.write("large", vec![b'#'; 1 << 17]);
    world.mode("large", 0o755);
    let known = vec![(crate::sys::stamp::of(&path).unwrap(), Digest::of(b"told"))];
    let request = Request { argv: words(&["./large"]), ..Request::default() };
    for (binary, watched) in [(true, 1), (false, 2)] {
        let memory = Memory { known: known.clone(), binary, ..Memory::default() };
        let command = crate::key::command(&request, &surroundings(world.root()), &memory).unwrap();
        // Read, it would be seen that this is none: what is neither a binary nor a script is run by a shell.
        assert_eq!(command.watched.len(), watched, "{binary}");
        assert_eq!(command.watched[0].digest, Digest::of(b"told"));
    }
}

#[test]
fn what_a_program_is_is_remembered_beside_its_digest() {
    let world = World::new();
    let later = crate::sys::clock::now() + 3_600_000_000_000;
    for (head, binary) in [("#!/bin/sh\n", false), ("\x7fELF", true), ("plain", false)] {
        let mut content = head.as_bytes().to_vec();
        content.resize(1 << 17, b'#');
        let path = world.write("large", &content);
        let known = vec![(crate::sys::stamp::of(&path).unwrap(), Digest::of(&content))];
        // A script must never be taken for a binary, whose interpreters are not looked for.
        for (memory, told) in [
            (Memory::default(), vec![binary]),
            (Memory { known, ..Memory::default() }, if binary { vec![true] } else { vec![] }),
        ] {
            examine(&path, Links::Refused, None, &memory, later).unwrap();
            let remembered: Vec<bool> = memory.told.borrow().iter().map(|(_, seen)| seen.binary).collect();
            assert_eq!(remembered, told, "{head}");
        }
    }
}

#[test]
fn a_program_that_cannot_be_read_counts_by_its_stamp() {
    let world = World::new();
    let path = world.script("tool", "");
    let before = unreadable(&path).unwrap();
    assert_eq!(unreadable(&path).unwrap(), before);
    assert!(!before.settled);
    world.script("tool", "longer");
    assert_ne!(unreadable(&path).unwrap().digest, before.digest);
    world.remove("tool");
    assert!(unreadable(&path).is_err());
}
