//! `fleche bind`: a command line or a script in which all options are frozen.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

#[test]
fn flags_come_in_one_order_and_those_of_the_environment_become_flags() {
    let world = World::new();
    let words = ["bind", "--ttl", "90s", "--pure", "-t", "b=2", "--env", "CC", "--", "printf", "%s\\n", "it's"];
    let line = "fleche run --tag a=1 --tag b=2 --tag project=alpha --ttl '1m 30s' --mode refresh --pure --env CC -- printf '%s\\n' 'it'\\''s'\n";
    let session = world.fleche(words).env("FLECHE_TAGS", "a=1,b=0").env("FLECHE_PROJECT", "alpha");
    session.env("FLECHE_MODE", "refresh").prints(line);
    let words = ["bind", "--mode", "on", "-p", "x", "--cache-exit", "1,2", "--realtime", "--", "true"];
    let line = "fleche run --tag project=x --cache-exit 1 --cache-exit 2 --realtime --mode on -- true\n";
    world.fleche(words).env("FLECHE_MODE", "off").prints(line);
    world.fleche(["bind", "--", "make", "-j4"]).prints("fleche run -- make -j4\n");
    assert!(!world.home().join(".cache").exists());
}

#[test]
fn what_is_bound_is_run_as_it_was_asked_for() {
    let world = World::new();
    let bind = "fleche bind --pure --mode on --tag project=alpha -- printf %s hello";
    world.shell(&format!("sh -c \"$({bind})\"")).prints("hello");
    world.fleche(["query", "--project", "alpha", "--count"]).prints("1\n");
    let outcome = world.shell("fleche run -v --pure -- printf %s hello").run();
    assert!(outcome.stderr().starts_with("fleche: hit "), "{outcome:?}");
}

#[test]
fn any_bytes_survive_a_shell() {
    let world = World::new();
    let words: Vec<OsString> = [
        &b""[..],
        b"'",
        b"it's",
        b"\"$(touch made)\"",
        b"`touch made`",
        b"a\nb\n",
        b"\n",
        b"-x",
        b"--",
        b"=ls",
        b"~",
        b"*",
        b"\\",
        b"a\\'b",
        b"\xff\xfe\x81\x88",
        b"\x1b[31m",
        b"!!",
        b"fleche:xyz",
        "na\u{ef}ve".as_bytes(),
    ]
    .iter()
    .map(|bytes| OsString::from_vec(bytes.to_vec()))
    .collect();
    let before = ["bind", "--pure", "--no-expand", "--revision=-x y", "--", "printf", "<%s>"].map(OsString::from);
    let bound = world.fleche([&before[..], &words].concat()).run();
    assert_eq!((bound.code(), bound.stderr()), (0, String::new()));
    let expected: Vec<u8> = words.iter().flat_map(|word| [b"<", word.as_bytes(), b">"].concat()).collect();
    let line = OsString::from_vec(bound.stdout);
    for shell in ["sh", "bash"] {
        let path = std::path::Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap().display().to_string();
        let session = world.program(shell, [OsStr::new("-c"), &line]);
        let ran = session.env("PATH", format!("{path}:{}", crate::world::search_path())).run();
        assert_eq!((ran.code(), ran.stderr()), (0, String::new()));
        assert_eq!(ran.stdout, expected, "{shell}");
    }
    assert!(!world.path("made").exists());
}

#[test]
fn a_script_passes_its_own_arguments_on() {
    let world = World::new();
    world.fleche(["bind", "--script", "bound", "--pure", "--", "printf", "<%s>", "a b"]).prints("");
    let script = world.read("bound");
    let program = env!("CARGO_BIN_EXE_fleche");
    let line = format!("#!/bin/sh\nexec {program} run --pure -- printf '<%s>' 'a b' \"$@\"\n");
    assert_eq!(script, line);
    assert_eq!(fs::metadata(world.path("bound")).unwrap().permissions().mode() & 0o777, 0o755);
    world.program(world.path("bound"), ["c d", ""]).prints("<a b><c d><>");
    // The mode is that of the umask, and a script that is there is replaced as a whole.
    world.shell("umask 077; fleche bind --script bound -- true").prints("");
    assert_eq!(fs::metadata(world.path("bound")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(world.read("bound"), format!("#!/bin/sh\nexec {program} run -- true \"$@\"\n"));
    assert_eq!(fs::read_dir(world.work()).unwrap().count(), 1);
}

#[test]
fn what_is_no_regular_file_is_not_overwritten() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", world.path("link")).unwrap();
    for name in ["folder", "link"] {
        let message = format!("fleche: `{name}` is not a regular file, and is left as it is\n");
        world.fleche(["bind", "--script", name, "--", "true"]).ends(2, "", &message);
    }
    assert!(!world.path("nowhere").exists());
    let message = "fleche: cannot write `no/where`: no such file or directory\n";
    world.fleche(["bind", "--script", "no/where", "--", "true"]).ends(2, "", message);
}

#[test]
fn a_recorded_call_is_bound_as_it_was_asked_for() {
    let world = World::new();
    world.write("in put", "1\n");
    let words = ["run", "-i", "in put", "--ignore-env", "X*", "-t", "a=1", "--revision", "2", "--", "cat", "in put"];
    world.fleche(words).prints("1\n");
    let key = world.fleche(["query"]).run().stdout();
    let line = "fleche run --tag a=1 --input 'in put' --ignore-env 'X*' --revision 2 -- cat 'in put'\n";
    world.fleche(["bind", key.trim_end()]).prints(line);
    let more = "fleche run --tag a=2 --ttl 1h --input 'in put' --ignore-env 'X*' --revision 2 -- cat 'in put'\n";
    world.fleche(["bind", &key[..8], "--ttl", "1h", "-t", "a=2"]).prints(more);
    let outcome = world.shell(&format!("FLECHE_VERBOSE=1 sh -c \"$(fleche bind {})\"", &key[..8])).run();
    assert_eq!(outcome.stdout(), "1\n");
    let message = "fleche: a recorded call is asked for as it was: only flags for its record can be added\n";
    world.fleche(["bind", &key[..8], "--pure"]).ends(2, "", message);
}

#[test]
fn a_redacted_argument_cannot_be_bound() {
    let world = World::new();
    world.fleche(["run", "--pure", "--redact-arg", "--token=*", "--", "printf", "%s", "--token=hush"]).run();
    let key = world.fleche(["query"]).run().stdout();
    let message = "fleche: an argument of the call is redacted, so that nobody knows it\n";
    world.fleche(["bind", key.trim_end()]).ends(1, "", message);
}
