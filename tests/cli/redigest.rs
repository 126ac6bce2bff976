//! Keys of an older format are made anew, and those calls are found again.

use fleche::model::{Call, CommandDigest, Digest, Event, Key, KeyBase, Observation, Part};
use fleche::store::{Durability, Store};

use crate::world::{Session, World, search_path, tool, world};

/// The last line of what fleche prints.
#[track_caller]
fn line(session: Session) -> String {
    let outcome = session.run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().lines().last().unwrap_or_default().to_owned()
}

fn key(world: &World) -> Key {
    Key(line(world.fleche(["query", "--latest"])).parse().unwrap())
}

/// The call that was stored last as an older fleche would have stored it: under a key of its own, in a format of its own.
fn aged(world: &World, change: impl FnOnce(&mut Call, [u8; 32])) -> (Key, Key) {
    let now = key(world);
    let store = Store::open(&world.cache()).unwrap();
    let secret = store.secret().unwrap();
    let mut call = store.call(&now).unwrap().unwrap();
    call.key = Key(Digest::of(format!("former {now}").as_bytes()));
    call.command = CommandDigest::of_parts(b"of another coding");
    set(&mut call, "format", secret, "1");
    change(&mut call, secret);
    store.recording().unwrap().store(&call, Durability::Buffered, None).unwrap();
    store.note(&Event::Hit { key: call.key, saved: 7, name: "tool".into() });
    store.remove(&now).unwrap();
    (call.key, now)
}

fn set(call: &mut Call, name: &str, secret: [u8; 32], value: &str) {
    let part = call.parts.iter_mut().find(|(part, _)| part == name).unwrap();
    part.1 = blake3::keyed_hash(&secret, value.as_bytes()).into();
}

fn redigest(world: &World) -> Session {
    world.fleche(["redigest"])
}

#[test]
fn a_call_of_an_older_format_is_found_again() {
    let world = world("cat input; echo made > out");
    let run = || tool(&world, &["-o", "out", "-t", "mine=yes", "--no-stdin"]);
    run().prints("1\n");
    let (former, now) = aged(&world, |_, _| {});
    let renamed = format!("{former}\t{now}\n");
    world.fleche(["redigest", "--dry-run"]).prints(&renamed);
    world.fleche(["redigest", "--dry-run"]).prints(&renamed);
    redigest(&world).prints(&renamed);
    redigest(&world).prints("");
    let columns = ["table", "--columns", "key,hits,tag.mine", "--format", "csv"];
    world.fleche(columns).prints(&format!("key,hits,tag.mine\n{now},1,yes\n"));
    std::fs::remove_file(world.path("out")).unwrap();
    run().prints("1\n");
    assert_eq!((world.executions("tool"), world.read("out")), (1, "made\n".into()));
}

#[test]
fn the_state_in_which_it_was_made_is_that_for_which_it_answers() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let (former, now) = aged(&world, |_, _| {});
    world.write("input", "2\n");
    redigest(&world).prints(&format!("{former}\t{now}\n"));
    tool(&world, &[]).prints("2\n");
    world.write("input", "1\n");
    tool(&world, &[]).prints("1\n");
    assert_eq!(world.executions("tool"), 2);
}

#[track_caller]
fn is_left(world: &World, redigest: Session, former: Key, why: &str) {
    redigest.arg("-v").ends(0, "", &format!("fleche: {} is left as it is: {why}\n", former.0.short()));
    world.fleche(["show", &former.to_string()]).run();
    assert_eq!(key(world), former);
}

/// The call that was stored last as a fleche of format 1 would have stored it that codes everything else as this one does:
/// under the key that it would have had. The environment is that of the world.
fn aged_in_the_same_coding(world: &World, digest: Session, bound_to: Option<&[u8]>) -> (Key, Key) {
    let shown: serde_json::Value = serde_json::from_slice(&digest.run().stdout).unwrap();
    let home = world.home();
    let part = |part: &serde_json::Value| {
        let (name, shown) = (part["name"].as_str().unwrap(), part["value"].as_str().unwrap());
        let value = match name {
            "env.HOME" => home.to_str().unwrap(),
            "env.PATH" => search_path(),
            "env.LANG" => "C",
            "env.TZ" => "UTC",
            _ => shown,
        };
        Part::open(name, value)
    };
    let mut parts: Vec<Part> = shown["parts"].as_array().unwrap().iter().map(part).collect();
    let written = |call: &Call| assert_eq!(Part::digest(&parts), call.command);
    let now = key(world);
    written(&Store::open(&world.cache()).unwrap().call(&now).unwrap().unwrap());
    parts[0] = Part::open("format", "1");
    aged(world, |call, _| {
        call.command = Part::digest(&parts);
        let observations = Observation::key_bytes(&call.observations);
        call.key = KeyBase::of_bytes(&call.command, &observations).bound_to(bound_to);
    })
}

#[test]
fn a_call_of_a_project_stays_where_its_result_belongs() {
    let world = World::new();
    let checkouts = ["one/alpha", "two/alpha", "two/beta"];
    for checkout in checkouts {
        world.write(format!("{checkout}/fleche.toml"), "");
        world.write(format!("{checkout}/input"), "1\n");
    }
    let root = world.path("one/alpha");
    let bound = root.to_str().unwrap().as_bytes();
    for (line, bound_to, hits) in [
        ("cat input; echo free", None, [true, true, true]),
        ("cat input; echo in alpha", Some(&b"alpha"[..]), [true, true, false]),
        ("cat input; pwd", Some(bound), [true, false, false]),
    ] {
        let fleche = |verb: &[&str], checkout: &str| {
            let words = [verb, &["-i", "input", "--", "sh", "-c", line]].concat();
            world.fleche(words).current_dir(world.path(checkout))
        };
        assert_eq!(fleche(&["run"], checkouts[0]).run().code(), 0);
        let (former, now) = aged_in_the_same_coding(&world, fleche(&["digest", "--json"], checkouts[0]), bound_to);
        redigest(&world).prints(&format!("{former}\t{now}\n"));
        let is_hit = |checkout: &str| fleche(&["run", "-v"], checkout).run().stderr().starts_with("fleche: hit");
        assert_eq!(checkouts.map(is_hit), hits, "{line}");
        world.remove_cache();
    }
}

#[test]
fn a_record_that_its_key_does_not_belong_to_is_left() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let digest = world.fleche(["digest", "--json", "-i", "input", "--", "./tool"]);
    let (former, _) = aged_in_the_same_coding(&world, digest, Some(b"elsewhere"));
    is_left(&world, redigest(&world), former, "its key is not that of its record");
}

#[test]
fn what_is_not_the_same_any_more_is_left_and_named() {
    let world = world("cat input");
    tool(&world, &["--redact-arg", "--token=*"]).arg("--token=a").run();
    let (former, _) = aged(&world, |_, _| {});
    is_left(&world, redigest(&world), former, "an argument was redacted");
    world.fleche(["redigest"]).ends(0, "", "fleche: 1 call of an older format is left; -v says why\n");
}

#[test]
fn another_environment_is_another_command() {
    let world = world("cat input");
    tool(&world, &[]).env("COLOUR", "red").prints("1\n");
    let (former, now) = aged(&world, |_, _| {});
    is_left(&world, redigest(&world), former, "`env.COLOUR` is not what it was");
    is_left(&world, redigest(&world).env("COLOUR", "blue"), former, "`env.COLOUR` is not what it was");
    is_left(&world, redigest(&world).env("COLOUR", "red").env("MORE", "1"), former, "`env.MORE` is not what it was");
    redigest(&world).env("COLOUR", "red").prints(&format!("{former}\t{now}\n"));
}

#[test]
fn another_program_is_another_command() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let (former, _) = aged(&world, |_, _| {});
    world.counted("tool", "cat input input");
    let outcome = redigest(&world).arg("-v").run();
    assert!(outcome.stderr().contains("`program"), "{}", outcome.stderr());
    assert_eq!((outcome.stdout(), key(&world)), (String::new(), former));
}

#[test]
fn a_part_that_is_new_or_unknown_leaves_the_call() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let (former, _) = aged(&world, |call, _| call.parts.retain(|(name, _)| name != "umask"));
    is_left(&world, redigest(&world), former, "`umask` is not what it was");
}

#[test]
fn a_newer_format_is_left() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let (former, _) = aged(&world, |call, secret| set(call, "format", secret, "1000000"));
    is_left(&world, redigest(&world), former, "its format is not known, or not trusted");
}

#[test]
fn a_probe_is_not_run_and_input_is_not_guessed() {
    let world = world("cat");
    tool(&world, &["--probe", "touch probed; echo 1"]).run();
    let (probed, _) = aged(&world, |_, _| {});
    std::fs::remove_file(world.path("probed")).unwrap();
    is_left(&world, redigest(&world), probed, "a probe would have to be run");
    assert!(!world.path("probed").exists());
    world.fleche(["run", "--pure", "--stdin", "--", "cat"]).input("typed").prints("typed");
    let (typed, _) = aged(&world, |_, _| {});
    let said = format!(
        "fleche: {} is left as it is: a probe would have to be run\nfleche: {} is left as it is: its standard input is not stored\n",
        probed.0.short(),
        typed.0.short()
    );
    redigest(&world).arg("-v").ends(0, "", &said);
}

#[test]
fn a_call_that_was_made_anew_stays_and_gets_the_tags() {
    let world = world("cat input");
    tool(&world, &["-t", "old=1", "-t", "both=old"]).prints("1\n");
    let (former, now) = aged(&world, |_, _| {});
    tool(&world, &["-t", "both=new"]).prints("1\n");
    redigest(&world).prints(&format!("{former}\t{now}\n"));
    let columns = ["table", "--columns", "key,tag.old,tag.both", "--format", "csv"];
    world.fleche(columns).prints(&format!("key,tag.old,tag.both\n{now},1,new\n"));
}

#[test]
fn a_call_that_was_given_a_stored_value_is_found_again() {
    let world = world("cat input");
    tool(&world, &[]).prints("1\n");
    let word = format!("fleche:{}", key(&world));
    let show = || world.fleche(["run", "-i", "input", "--", "cat", &word]);
    show().prints("1\n");
    let (former, now) = aged(&world, |_, _| {});
    world.fleche(["redigest", "--dry-run"]).prints(&format!("{former}\t{now}\n"));
    redigest(&world).prints(&format!("{former}\t{now}\n"));
    let again = world.fleche(["run", "-v", "-i", "input", "--", "cat", &word]).run();
    assert!(again.stderr().starts_with("fleche: hit "), "{again:?}");
}
