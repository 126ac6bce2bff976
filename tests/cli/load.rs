//! `fleche load`: what is stored, without running anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::world::World;

const COMMAND: [&str; 9] = ["-i", "make", "-o", "sub/made", "-o", "link", "--", "./make", "x"];

/// A world with a call that has everything, and its key.
fn world() -> (World, String) {
    let world = World::new();
    let body = "printf 'a\\0b'; echo err >&2; mkdir -p sub; echo made > sub/made; chmod 700 sub/made; ln -sf sub/made link; exit 3";
    world.counted("make", body);
    let outcome = world.fleche([&["run", "--cache-exit", "3"], &COMMAND[..]].concat()).run();
    outcome.check(3, "a\0b", "err\n");
    let key = world.fleche(["query"]).run().stdout().trim_end().to_owned();
    (world, key)
}

#[test]
fn standard_output_of_a_call_or_command_is_printed_byte_for_byte() {
    let (world, key) = world();
    world.fleche(["load", &key[..8]]).prints("a\0b");
    world.fleche([&["load"], &COMMAND[..]].concat()).prints("a\0b");
    assert_eq!(world.executions("make"), 1);
}

#[test]
fn standard_error_and_an_output_are_printed_instead() {
    let (world, key) = world();
    world.fleche(["load", &key, "--stderr"]).prints("err\n");
    world.fleche([&["load", "--stderr"], &COMMAND[..]].concat()).prints("err\n");
    world.fleche(["load", &format!("{key}/stderr")]).prints("err\n");
    world.fleche(["load", &key, "--path", "sub/made"]).prints("made\n");
    world.fleche(["load", &key, "--output", "sub/made"]).prints("made\n");
    world.fleche([&["load", "--path", "sub/made"], &COMMAND[..]].concat()).prints("made\n");
    world.fleche(["load", &format!("{key}/sub/made")]).prints("made\n");
    let short = &key[..12];
    world.fleche(["load", &key, "--path", "link"]).ends(
        1,
        "",
        &format!("fleche: `link` of call {short} is a symbolic link\n"),
    );
    world.fleche(["load", &key, "--path", "x"]).ends(1, "", &format!("fleche: call {short} has no output `x`\n"));
}

#[test]
fn a_value_is_printed_by_its_digest() {
    let (world, _) = world();
    let digest = blake3::hash(b"made\n").to_hex();
    world.fleche(["load", &digest]).prints("made\n");
    world.fleche(["load", &digest, "--stderr"]).ends(
        1,
        "",
        &format!("fleche: {} is a value, not a call\n", &digest[..12]),
    );
}

#[test]
fn how_the_streams_are_connected_now_does_not_matter() {
    let (world, _) = world();
    for how in [">log 2>&1", ">log 2>other", ">log"] {
        world.remove_cache();
        let line = COMMAND.join(" ");
        world.shell(&format!("fleche run --cache-exit 3 {line} {how}")).run();
        assert!(world.shell(&format!("fleche load {line} | head -c 1")).run().stdout().starts_with('a'), "{how}");
        assert!(world.shell(&format!("fleche load {line} 2>&1 | head -c 1")).run().stdout().starts_with('a'), "{how}");
    }
}

#[test]
fn what_is_not_cached_is_a_no_and_is_not_run() {
    let (world, _) = world();
    world.fleche(["load", "-i", "make", "--", "./make", "y"]).ends(1, "", "fleche: the command is not cached\n");
    world.write("make2", "");
    world.fleche(["load", "0123"]).ends(1, "", "fleche: nothing is called `0123`\n");
    assert_eq!(world.executions("make"), 1);
    let words = ["load", "--pure", "--stdin", "--", "cat"];
    world.fleche(words).input("text").ends(1, "", "fleche: the command is not cached\n");
    world.fleche(["run", "--pure", "--stdin", "--", "cat"]).input("text").prints("text");
    world.fleche(words).input("text").prints("text");
}

#[test]
fn all_outputs_are_restored_below_a_folder() {
    let (world, key) = world();
    world.fleche(["load", &key, "--to", "new/folder"]).prints("");
    assert_eq!(world.read("new/folder/sub/made"), "made\n");
    let mode = fs::metadata(world.path("new/folder/sub/made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(fs::read_link(world.path("new/folder/link")).unwrap().to_str(), Some("sub/made"));
    world.fleche([&["load", "--to", "second"], &COMMAND[..]].concat()).prints("");
    assert_eq!(world.read("second/link"), "made\n");
    // Again: what is there already is right.
    world.fleche(["load", &key, "--to", "second"]).prints("");
    world.write("second/sub/made", "mine\n");
    let outcome = world.fleche(["load", &key, "--to", "second"]).run();
    assert_eq!((outcome.code(), outcome.stdout(), world.read("second/sub/made")), (2, String::new(), "mine\n".into()));
    assert_eq!(world.executions("make"), 1);
}

#[test]
fn nothing_is_restored_through_a_link_or_outside() {
    let (world, key) = world();
    fs::create_dir_all(world.path("to")).unwrap();
    fs::create_dir_all(world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), world.path("to/sub")).unwrap();
    let outcome = world.fleche(["load", &key, "--to", "to"]).run();
    assert_eq!(outcome.code(), 2, "{outcome:?}");
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);
    assert!(!world.path("to/link").exists());
}

#[test]
fn an_absolute_output_has_no_place_in_another_folder() {
    let world = World::new();
    world.counted("make", "echo made > \"$1\"");
    let out = world.root().join("out");
    let out = out.to_str().unwrap();
    world.fleche(["run", "-i", "make", "-o", out, "--", "./make", out]).prints("");
    let key = world.fleche(["query"]).run().stdout().trim_end().to_owned();
    let message = format!("fleche: output `{out}` is absolute and has no place below another folder\n");
    let hint = format!("hint: fleche load {}/{out}\n", &key[..12]);
    world.fleche(["load", &key, "--to", "to"]).ends(2, "", &(message + &hint));
    assert!(!world.path("to").exists());
    world.fleche(["load", &format!("{}/{out}", &key[..12])]).prints("made\n");
}

#[test]
fn a_damaged_value_prints_nothing() {
    let world = World::new();
    world.write("large", vec![7; 100_000]);
    world.fleche(["run", "--pure", "--", "cat", "large"]).run();
    let digest = blake3::hash(&[7; 100_000]).to_hex();
    let file = world.cache().join("values").join(&digest[..2]).join(&digest[2..]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, vec![8; 100_000]).unwrap();
    let outcome = world.fleche(["load", "--pure", "--", "cat", "large"]).run();
    let message = format!("fleche: the stored call is damaged: value {}: its digest is wrong\n", &digest[..12]);
    outcome.check(2, "", &message);
}

#[test]
fn a_key_or_a_command_is_needed() {
    let world = World::new();
    for words in
        [&["load"][..], &["load", "abcd", "--", "x"], &["load", "abcd", "--to", "x", "--stderr"], &["load", "abc"]]
    {
        let outcome = world.fleche(words).run();
        assert_eq!((outcome.code(), outcome.stdout()), (2, String::new()), "{words:?}");
    }
    assert!(!world.home().join(".cache").exists());
}

#[test]
fn a_probe_is_run_once() {
    let world = World::new();
    world.counted("probe", "echo 1");
    let words = |verb| [verb, "--pure", "--probe", "./probe", "--", "echo", "out"];
    world.fleche(words("run")).prints("out\n");
    assert_eq!(world.executions("probe"), 1);
    world.fleche(words("load")).prints("out\n");
    assert_eq!(world.executions("probe"), 2);
    // However the streams of the run were connected.
    world.shell("fleche run --pure --probe ./probe -- echo one 2>&1").prints("one\n");
    world.shell("fleche load --pure --probe ./probe -- echo one").prints("one\n");
    assert_eq!(world.executions("probe"), 4);
}
