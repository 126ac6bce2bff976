//! Exported files that no fleche exported.

use std::fs;
use std::path::PathBuf;

use fleche::model::{Content, Digest, Facet, Key, Observation, Output, OutputKind, State, manifest};

use crate::canary;
use crate::forgery::{self, Raw, output, sealed, written};
use crate::scene::{Measured, Scene, Way, measured};
use crate::tally;
use crate::world::World;

/// What a file begins with.
const MAGIC: &[u8] = b"fleche export 1\n";
/// More memory than an ordinary run that an import may take, in KiB.
const MORE_MEMORY: u64 = 320 << 10;

/// Whole parts, and an end that fits them.
fn file(parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (kind, part) in parts {
        bytes.push(*kind);
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes.push(b'e');
    bytes.extend(32u64.to_le_bytes());
    let digest = Digest::of(&bytes);
    [bytes, digest.0.to_vec()].concat()
}

/// A part that holds a call with these fields, with a key that fits, and these fields beside it.
fn call(raw: &Raw, beside: &[(&str, Vec<u8>)]) -> (u8, Vec<u8>) {
    let mut parcel = Raw(vec![("call".to_owned(), raw.bytes())]);
    for (name, value) in beside {
        parcel.push(name, value.clone());
    }
    (b'c', sealed(b'x', &parcel.bytes()))
}

/// The fields of an honest call.
fn honest() -> Raw {
    let scene = Scene::new(Way::Declared);
    Raw::of(&forgery::body(&scene.calls()[0]))
}

fn with(change: impl FnOnce(&mut Raw)) -> Vec<u8> {
    let mut raw = honest();
    change(&mut raw);
    file(&[call(&raw, &[])])
}

/// A call that its key fits, with other observations than it had.
fn looking(observations: &[Observation]) -> Raw {
    let mut made = forgery::call(&honest().bytes());
    made.observations = observations.to_vec();
    made.key = Key::of(&made.command, &Observation::digests(observations), None);
    Raw::of(&made.encode())
}

fn seen(path: String) -> Observation {
    Observation { path: path.into(), facet: Facet::Kind, state: State::Absent, stamp: None }
}

/// What is imported, and whether it may be taken.
type Case = (&'static str, fn() -> Vec<u8>);

const REFUSED: &[Case] = &[
    ("nothing", Vec::new),
    ("only the magic", || MAGIC.to_vec()),
    ("a part of no kind", || [MAGIC, b"z", &[0; 8]].concat()),
    ("a call of u64::MAX bytes", || [MAGIC, b"c", &u64::MAX.to_le_bytes()].concat()),
    ("a value of u64::MAX bytes", || [MAGIC, b"v", &u64::MAX.to_le_bytes()].concat()),
    ("a call of 200 MiB of nothing", || file(&[(b'c', vec![0; 200 << 20])])),
    ("a call of 32 MiB of nothing", || file(&[(b'c', vec![0; 32 << 20])])),
    ("a value that nobody asked for", || file(&[(b'v', vec![1; 100])])),
    ("a value that is not its own", || file(&[call(&honest(), &[]), (b'v', vec![1; 100])])),
    ("an end of another size", || [MAGIC, b"e", &99u64.to_le_bytes(), &[0; 99]].concat()),
    ("an end that does not fit", || [MAGIC, b"e", &32u64.to_le_bytes(), &[0; 32]].concat()),
    ("something behind the end", || [file(&[]), b"more".to_vec()].concat()),
    ("a call in the seal of the store", || file(&[(b'c', sealed(b'c', &honest().bytes()))])),
    ("a call in no seal", || file(&[(b'c', honest().bytes())])),
    ("a key that is not its own", || with(|raw| raw.set("key", vec![7; 32]))),
    ("a command that is not its own", || with(|raw| raw.set("command", vec![7; 32]))),
    ("an output outside", || with(|raw| raw.push("output", output(b"../outside/f", 0o644, b"evil")))),
    ("an output at an absolute path", || {
        with(|raw| {
            raw.0.retain(|(name, _)| name != "request");
            raw.push("output", output(b"/etc/passwd", 0o644, b"evil"));
        })
    }),
    ("an output without a name", || with(|raw| raw.push("output", output(b"", 0o644, b"evil")))),
    ("a setuid output", || with(|raw| raw.push("output", output(b"x", 0o4755, b"evil")))),
    ("a root that is relative", || with(|raw| raw.set("root", b"x".to_vec()))),
    ("another value than its name says", || {
        with(|raw| {
            raw.set(
                "stdout",
                written(|writer| {
                    writer.raw(&[1; 32]).number(1).number(1).bytes(b"x");
                }),
            )
        })
    }),
    ("a value that is not there", || {
        with(|raw| {
            raw.set(
                "stdout",
                written(|writer| {
                    writer.raw(&[1; 32]).number(1 << 60).number(0);
                }),
            )
        })
    }),
    ("exit 256", || with(|raw| raw.set("exit", vec![0x80, 2]))),
    ("millions of outputs in few bytes", || with(|raw| (0..2_000_000).for_each(|_| raw.push("output", vec![0, 0])))),
    ("millions of arguments in few bytes", || with(|raw| (0..4_000_000).for_each(|_| raw.push("arg", Vec::new())))),
    ("millions of words in few bytes", || {
        with(|raw| {
            let words = Raw((0..3_000_000).map(|_| ("input".to_owned(), Vec::new())).collect());
            raw.set("request", words.bytes());
        })
    }),
    ("millions of paths in few bytes", || with(|raw| raw.set("manifest", [0, 0, 16, 0, 0].repeat(6_000_000)))),
    ("millions of facts", || file(&[call(&honest(), &vec![("told", vec![0, 0]); 100_000])])),
    ("a path set that looks elsewhere", || {
        let raw = looking(&[seen("a".to_owned())]);
        file(&[call(&raw, &[("path-set", manifest::encode(&[seen("/dev/tty".to_owned())]))])])
    }),
    ("a path set of millions", || file(&[call(&honest(), &[("path-set", [0, 0, 16, 0, 0].repeat(6_000_000))])])),
    ("observations out of order", || file(&[call(&looking(&[seen("b".to_owned()), seen("a".to_owned())]), &[])])),
    ("text that drives the terminal", || {
        with(|raw| {
            raw.set("key", vec![7; 32]);
            raw.push("output", output(b"\x1b[2J\xe2\x80\xae/../x", 0o644, b"evil"));
        })
    }),
];

/// Imports `bytes`; nothing happens but in the store.
fn import(world: &World, bytes: &[u8]) -> Measured {
    let path = world.root().join("file");
    fs::write(&path, bytes).unwrap();
    world.write("precious", "the user's\n");
    let before = canary::exactly(&world.work());
    let run = measured(world, &["import", path.to_str().unwrap()]);
    run.is_sound();
    assert_eq!(canary::exactly(&world.work()), before);
    assert!(run.memory <= MORE_MEMORY, "{} KiB, and at most {MORE_MEMORY} were to be", run.memory);
    run
}

#[test]
fn forged_exports_are_refused() {
    tally::each(
        "forged exports",
        REFUSED,
        |(name, _)| (*name).to_owned(),
        |(_, make)| {
            let world = World::new();
            let run = import(&world, &make());
            assert!([1, 2].contains(&run.outcome.code()), "{:?}", run.outcome);
            let said = run.outcome.stderr();
            assert!(said.contains("refused") || said.contains("export"), "{said}");
            assert_eq!(forgery::files(&world.cache(), "calls"), Vec::<PathBuf>::new(), "a call was stored");
            assert_eq!(forgery::files(&world.cache(), "values"), Vec::<PathBuf>::new(), "a value was kept: {said}");
        },
    );
}

/// The largest call that an import takes: its memory is the bound that the manual states.
#[test]
fn an_import_takes_no_more_memory_than_the_manual_says() {
    let paths: Vec<Observation> = (0..230_000).map(|number| seen(format!("{number:012}"))).collect();
    let bytes = file(&[call(&looking(&paths), &[("path-set", manifest::encode(&paths))])]);
    let world = World::new();
    let run = import(&world, &bytes);
    println!("hostile: the largest import: {} MiB", run.memory >> 10);
    assert_eq!((run.outcome.code(), forgery::files(&world.cache(), "calls").len()), (0, 1), "{:?}", run.outcome);
    // One value too many is refused, and the honest call behind it is stored.
    let honest = honest();
    let bytes = file(&[call(&looking(&[paths.clone(), paths].concat()), &[]), call(&honest, &[])]);
    let world = World::new();
    let run = import(&world, &bytes);
    assert_eq!((run.outcome.code(), forgery::files(&world.cache(), "calls").len()), (1, 1), "{:?}", run.outcome);
}

/// What an honest stranger could have sent, but is odd, is taken and does no harm when it is replayed.
#[test]
fn odd_exports_are_taken_as_they_are() {
    let mut made = forgery::call(&honest().bytes());
    let kind = OutputKind::File {
        mode: 0,
        content: Content::inline(b"x".to_vec()),
        modified: i64::MIN,
        dated: true,
        kept: true,
    };
    made.outcome.outputs = vec![Output { path: "own/\u{202e}\u{1b}[2J".into(), kind }];
    made.tags.insert("tag\u{1b}".to_owned(), "\u{9b}31m".to_owned());
    let world = World::new();
    let run = import(&world, &file(&[call(&Raw::of(&made.encode()), &[])]));
    assert_eq!((run.outcome.code(), run.outcome.stderr()), (0, String::new()));
    for words in [&["table"][..], &["verify"], &["gc", "--dry-run"], &["stats"]] {
        measured(&world, words).is_sound();
    }
}
