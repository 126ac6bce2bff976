//! What is printed of a call that a stranger made: shown, and not sent to the terminal.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fleche::model::{Argument, Content, Output, OutputKind};

use crate::forgery::{self, sealed};
use crate::scene::{Scene, Way, is_harmless, measured};
use crate::tally;

/// Clears the screen, sets the title, goes up a line, turns the writing, and what looks like nothing.
const EVIL: &str = "a\u{1b}[2J\u{1b}]0;evil\u{7}\u{9b}1A\r\u{202e}b\u{200b}\u{2066}c\u{feff}\u{7f}\u{8}";

/// Each way to look at a call; `KEY` stands for its digest.
const LOOKS: &[&[&str]] = &[
    &["table"],
    &["table", "--format", "json"],
    &["table", "--format", "jsonl"],
    &["table", "--format", "csv"],
    &["table", "--format", "tsv"],
    &["table", "--format", "markdown"],
    &["table", "--columns", "command,name,cwd,user,host,tags,git_branch"],
    &["show", "KEY"],
    &["call", "KEY"],
    &["call", "--format", "json", "KEY"],
    &["explain", "-o", "own/", "-o", "out", "-i", "input", "--", "./tool", "more"],
    &["explain", "KEY"],
    &["query"],
    &["graph"],
    &["graph", "KEY"],
    &["stats"],
    &["verify"],
    &["rerun", "KEY"],
    &["recheck", "KEY"],
    &["gc", "--dry-run"],
    &["tag", "KEY", "x=y"],
    &["digest", "KEY"],
    &["contains", "KEY"],
    &["load", "KEY"],
    &["transfer", "--to", "./far"],
    &["evict", "KEY"],
];

#[test]
fn what_a_stranger_wrote_does_not_drive_the_terminal() {
    tally::each(
        "looks",
        LOOKS,
        |words| words.join(" "),
        |words| {
            let (scene, key) = strange();
            let words: Vec<&str> = words.iter().map(|word| if *word == "KEY" { key.as_str() } else { word }).collect();
            let run = measured(&scene.world, &words);
            run.is_sound();
            let said = [run.outcome.stdout, run.outcome.stderr].concat();
            assert!(!said.is_empty() || !["table", "show", "call"].contains(&words[0]), "nothing was said");
            scene.is_untouched_outside();
            // The same of what is said of the command when its path sets or its own record are the forged ones.
            scene.run(&["-v"]).is_sound();
        },
    );
}

/// A world in which a call is recorded that holds everywhere what drives a terminal, and the call's key.
fn strange() -> (Scene, String) {
    let scene = Scene::new(Way::Declared);
    let file = scene.calls().remove(0);
    let mut call = forgery::call(&forgery::body(&file));
    let evil = || OsString::from_vec([EVIL.as_bytes(), b"\xff\xfe"].concat());
    call.argv = vec![Argument::Clear(evil()), Argument::Clear(EVIL.into()), Argument::Clear("\n".into())];
    (call.program, call.cwd) =
        (OsString::from_vec([b"/".as_slice(), EVIL.as_bytes()].concat()).into(), format!("/{EVIL}").into());
    (call.metadata.host, call.metadata.user, call.metadata.version) = (EVIL.into(), EVIL.into(), EVIL.into());
    (call.metadata.git_branch, call.metadata.git_commit) = (Some(EVIL.into()), Some(EVIL.into()));
    call.tags = BTreeMap::from([(EVIL.into(), EVIL.into()), ("project".into(), EVIL.into())]);
    call.request.outputs.push(evil());
    call.request.excludes.push(EVIL.into());
    call.request.revision = Some(EVIL.into());
    call.parts.push((EVIL.into(), call.command.0));
    call.observations.iter_mut().for_each(|seen| seen.path = evil().into());
    call.outcome.stdout = Some(Content::inline(b"plain\n".to_vec()));
    let kind = OutputKind::File {
        mode: 0o644,
        content: Content::inline(b"x".to_vec()),
        modified: 0,
        dated: false,
        kept: false,
    };
    call.outcome.outputs.push(Output { path: evil().into(), kind });
    forgery::replace(&file, &sealed(b'c', &call.encode()));
    (scene, call.key.0.hex())
}

/// The same of what is printed byte for byte elsewhere.
#[test]
fn a_line_for_a_shell_is_spelt_on_a_terminal() {
    const TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let (scene, key) = strange();
    let said = scene.world.program("python3", ["-c", TERMINAL, env!("CARGO_BIN_EXE_fleche"), "bind", &key]).run();
    assert_eq!(said.code(), 0, "{said:?}");
    let lines: Vec<u8> = said.stdout.into_iter().filter(|byte| *byte != b'\r').collect();
    assert!(lines.starts_with(b"fleche run "), "{lines:?}");
    is_harmless(&lines);
}
