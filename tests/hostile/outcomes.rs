//! Calls that say what no run left behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fleche::model::{CommandDigest, Content, Digest, Stream, Transcript};

use crate::canary::Tree;
use crate::forgery::{self, Raw, absent, folder, link, output, sealed, sealed_as, written};
use crate::scene::{Scene, Way, fifo};
use crate::tally;
use crate::world::World;

/// What has to come of it.
enum Fate {
    /// The command is executed, as if nothing was recorded.
    Executed,
    /// What is forged could be true, and its streams and outputs are replayed; these are the bytes of `out`.
    Replayed(&'static str),
}
use Fate::{Executed, Replayed};

struct Case {
    name: &'static str,
    /// What is there before.
    prepare: fn(&World),
    /// What is changed in the call's fields.
    forge: fn(&mut Raw, &Path),
    fate: Fate,
}

/// An output that was changed last at this time, in nanoseconds since 1970.
fn dated(modified: i64) -> Vec<u8> {
    written(|writer| {
        writer.bytes(b"out").number(4).number(0o644).signed(modified).number(3);
        Content::inline(b"made\n".to_vec()).encode(writer);
    })
}

fn case(name: &'static str, forge: fn(&mut Raw, &Path), fate: Fate) -> Case {
    Case { name, prepare: |_| (), forge, fate }
}

/// The output field by which `out` is another file than it was, and something beside it.
fn beside(raw: &mut Raw, path: &[u8]) {
    raw.push("output", output(path, 0o644, b"evil\n"));
}

/// Cases about the place of one more output.
fn places() -> Vec<Case> {
    vec![
        case("what could be true", |raw, _| beside(raw, b"own/x"), Replayed("made\n")),
        case(
            "an absolute path that is free",
            |raw, outer| beside(raw, outer.join("new").as_os_str().as_encoded_bytes()),
            Executed,
        ),
        case("an absolute path", |raw, outer| beside(raw, outer.join("f").as_os_str().as_encoded_bytes()), Executed),
        case("a path with ..", |raw, _| beside(raw, b"../outside/f"), Executed),
        case("a path with .. behind a name", |raw, _| beside(raw, b"own/../../outside/f"), Executed),
        case("a path with .. at its end", |raw, _| beside(raw, b"own/.."), Executed),
        case("..", |raw, _| beside(raw, b".."), Executed),
        case("an empty path", |raw, _| beside(raw, b""), Executed),
        case(".", |raw, _| beside(raw, b"."), Executed),
        case("/", |raw, _| beside(raw, b"/"), Executed),
        case("two slashes at the beginning", |raw, _| beside(raw, b"//outside"), Executed),
        case("a dot at the beginning", |raw, _| beside(raw, b"./own/x"), Executed),
        case("two slashes", |raw, _| beside(raw, b"own//x"), Executed),
        case("a slash at the end", |raw, _| beside(raw, b"own/x/"), Executed),
        case("a NUL", |raw, _| beside(raw, b"own/a\0b"), Executed),
        case("a NUL before ..", |raw, _| beside(raw, b"own/\0/../../../outside/f"), Executed),
        case("a name of 256 bytes", |raw, _| beside(raw, &[b"own/".as_slice(), &[b'n'; 256]].concat()), Executed),
        case("a name of 4096 bytes", |raw, _| beside(raw, &[b"own/".as_slice(), &[b'n'; 4096]].concat()), Executed),
        case(
            "a path of a mebibyte",
            |raw, _| beside(raw, &[b"own/".as_slice(), &b"n/".repeat(1 << 19), b"x"].concat()),
            Executed,
        ),
        case(
            "100,000 folders deep",
            |raw, _| beside(raw, &[b"own/".as_slice(), &b"d/".repeat(100_000), b"x"].concat()),
            Executed,
        ),
        case(
            "65 folders deep",
            |raw, _| beside(raw, &[b"own/".as_slice(), &b"d/".repeat(65), b"x"].concat()),
            Executed,
        ),
        case("a file that nobody asked for", |raw, _| beside(raw, b".git/hooks/pre-commit"), Executed),
        case("the user's file", |raw, _| beside(raw, b"precious"), Executed),
        case("a configuration", |raw, _| beside(raw, b"fleche.toml"), Executed),
        case("the input itself", |raw, _| beside(raw, b"input"), Executed),
        case("the tool itself", |raw, _| beside(raw, b"tool"), Executed),
        case("fleche's own temporary name", |raw, _| beside(raw, b"own/../.fleche-1-2"), Executed),
    ]
}

/// Cases about links, folders and what is in the way.
fn ways() -> Vec<Case> {
    let prepared = |name, prepare, forge, fate| Case { name, prepare, forge, fate };
    vec![
        prepared(
            "a parent that is a link",
            |world| symlink("../outside", world.path("own")).unwrap(),
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        prepared(
            "a parent that is a chain of links",
            |world| {
                symlink("two", world.path("own")).unwrap();
                symlink("../outside/dir", world.path("two")).unwrap();
            },
            |raw, _| beside(raw, b"own/sub/x"),
            Executed,
        ),
        prepared(
            "a parent that is a file",
            |world| drop(world.write("own", "1")),
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        prepared(
            "a FIFO in its place",
            |world| {
                fs::create_dir(world.path("own")).unwrap();
                fifo(&world.path("own/x"))
            },
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        prepared(
            "a folder in its place",
            |world| fs::create_dir_all(world.path("own/x")).unwrap(),
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        prepared(
            "a file with another name in its place",
            |world| {
                fs::create_dir(world.path("own")).unwrap();
                fs::hard_link(world.path("precious"), world.path("own/x")).unwrap();
            },
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        prepared(
            "a file of the user's in an owned folder",
            |world| drop(world.write("own/x", "1")),
            |raw, _| beside(raw, b"own/x"),
            Executed,
        ),
        case(
            "a link out, then a file through it",
            |raw, outer| {
                raw.push("output", link(b"own/l", outer));
                beside(raw, b"own/l/f");
            },
            Executed,
        ),
        case("a link out by ..", |raw, _| raw.push("output", link(b"own/l", Path::new("../../outside"))), Executed),
        case(
            "a link out by .. behind a name",
            |raw, _| raw.push("output", link(b"own/l", Path::new("a/../../../outside"))),
            Executed,
        ),
        case("a link to the root", |raw, _| raw.push("output", link(b"own/l", Path::new("/"))), Executed),
        case("a link without a target", |raw, _| raw.push("output", link(b"own/l", Path::new(""))), Executed),
        case("a link with a NUL", |raw, _| raw.push("output", link(b"own/l", Path::new("a\0b"))), Executed),
        case(
            "a link within and a file through it",
            |raw, _| {
                raw.push("output", folder(b"own/d", 0o755, 0));
                raw.push("output", link(b"own/l", Path::new("d")));
                beside(raw, b"own/l/x");
            },
            Executed,
        ),
        case(
            "a path twice",
            |raw, _| {
                beside(raw, b"own/x");
                beside(raw, b"own/x")
            },
            Executed,
        ),
        case(
            "a path as file and as folder",
            |raw, _| {
                beside(raw, b"own/x");
                raw.push("output", folder(b"own/x", 0o755, 0));
            },
            Executed,
        ),
        case(
            "a path below a file",
            |raw, _| {
                beside(raw, b"own/x");
                beside(raw, b"own/x/y")
            },
            Executed,
        ),
        case(
            "a path below nothing",
            |raw, _| {
                raw.push("output", absent(b"own/x"));
                beside(raw, b"own/x/y")
            },
            Executed,
        ),
        case("the user's file is absent", |raw, _| raw.push("output", absent(b"precious")), Executed),
        case("the root is an owned folder", |raw, _| raw.push("output", folder(b"", 0o755, 1)), Executed),
        case("the folder above is an owned folder", |raw, _| raw.push("output", folder(b"..", 0o777, 1)), Executed),
        case("setuid", |raw, _| raw.push("output", output(b"own/x", 0o4755, b"evil")), Executed),
        case("a sticky folder", |raw, _| raw.push("output", folder(b"own/x", 0o1777, 0)), Executed),
        case("a mode beyond all", |raw, _| raw.push("output", output(b"own/x", u64::MAX, b"evil")), Executed),
        case("a FIFO", |raw, _| raw.push("output", output(b"own/x", 0o010_644, b"evil")), Executed),
        case(
            "a kind that there is not",
            |raw, _| {
                raw.push(
                    "output",
                    written(|writer| {
                        writer.bytes(b"own/x").number(99).number(1);
                    }),
                )
            },
            Executed,
        ),
        case("more than the user asked for in odd letters", |raw, _| beside(raw, "o\u{200d}wn/x".as_bytes()), Executed),
        case("no text at all", |raw, _| beside(raw, b"own/\xff\xfe\x1b[2J"), Replayed("made\n")),
        case(
            "twins but for their form",
            |raw, _| {
                beside(raw, "own/e\u{301}".as_bytes());
                beside(raw, "own/\u{e9}".as_bytes());
            },
            Replayed("made\n"),
        ),
        case(
            "a name of 255 bytes",
            |raw, _| {
                beside(raw, &[b"own/".as_slice(), &[b'n'; 255]].concat());
            },
            Replayed("made\n"),
        ),
        case(
            "a hundred thousand outputs",
            |raw, _| {
                (0..100_000).for_each(|number| beside(raw, format!("../{number}").as_bytes()));
            },
            Executed,
        ),
    ]
}

/// Cases about what is said beside outputs.
fn claims() -> Vec<Case> {
    fn set(raw: &mut Raw, name: &str, number: u64) {
        raw.set(
            name,
            written(|writer| {
                writer.number(number);
            }),
        );
    }
    fn content(digest: &Digest, length: u64) -> Vec<u8> {
        written(|writer| {
            writer.raw(&digest.0).number(length).number(0);
        })
    }
    fn transcript(raw: &mut Raw, chunks: &[(u64, Stream, u64)]) {
        raw.set("stderr", written(|writer| Content::inline(b"2\n".to_vec()).encode(writer)));
        let mut call = forgery::call(&raw.bytes());
        call.outcome.transcript = Transcript::from_chunks(chunks.iter().copied());
        *raw = Raw::of(&call.encode());
    }
    const MOST: u64 = u64::MAX >> 1;
    vec![
        case("exit 256", |raw, _| set(raw, "exit", 256), Executed),
        case("exit beyond all", |raw, _| set(raw, "exit", u64::MAX), Executed),
        case("a number that does not end", |raw, _| raw.set("exit", vec![0xff; 20]), Executed),
        case("a newer format", |raw, _| set(raw, "format", 99), Executed),
        case("the format of a newer one behind", |raw, _| raw.push("format", vec![77]), Executed),
        case("another key", |raw, _| raw.set("key", vec![7; 32]), Executed),
        case("a key behind the key", |raw, _| raw.push("key", vec![7; 32]), Executed),
        case("a short key", |raw, _| raw.set("key", vec![7; 31]), Executed),
        case("no key", |raw, _| raw.0.retain(|(name, _)| name != "key"), Executed),
        case("a value that is not there", |raw, _| raw.set("stdout", content(&Digest::of(b"nowhere"), 7)), Executed),
        case(
            "a value of all the memory there is",
            |raw, _| raw.set("stdout", content(&Digest::of(b"x"), u64::MAX)),
            Executed,
        ),
        case(
            "a value with another digest",
            |raw, _| {
                raw.set(
                    "stdout",
                    written(|writer| {
                        writer.raw(&[1; 32]).number(1).number(1).bytes(b"x");
                    }),
                )
            },
            Executed,
        ),
        case(
            "a value with another length",
            |raw, _| {
                raw.set(
                    "stdout",
                    written(|writer| {
                        writer.raw(&Digest::of(b"x").0).number(9).number(1).bytes(b"x");
                    }),
                )
            },
            Executed,
        ),
        case(
            "a length beyond the file",
            |raw, _| {
                raw.set(
                    "stdout",
                    written(|writer| {
                        writer.raw(&[1; 32]).number(1).number(1).number(u64::MAX);
                    }),
                )
            },
            Executed,
        ),
        case(
            "an output of a value that is not there",
            |raw, _| {
                raw.set(
                    "output",
                    written(|writer| {
                        writer.bytes(b"out").number(1).number(0o644).signed(0).raw(&[1; 32]).number(1 << 40).number(0);
                    }),
                )
            },
            Executed,
        ),
        case(
            "a transcript of more than all",
            |raw, _| {
                transcript(
                    raw,
                    &[
                        (0, Stream::Stdout, MOST),
                        (0, Stream::Stderr, MOST),
                        (0, Stream::Stdout, MOST),
                        (0, Stream::Stdout, MOST),
                    ],
                )
            },
            Replayed("made\n"),
        ),
        case("a transcript of nothing", |raw, _| transcript(raw, &[]), Replayed("made\n")),
        case(
            "a transcript that is none",
            |raw, _| {
                transcript(raw, &[]);
                raw.set("transcript", vec![0xff; 30]);
            },
            Executed,
        ),
        case(
            "times long before and after",
            |raw, _| {
                raw.set(
                    "times",
                    written(|writer| {
                        writer
                            .signed(i64::MIN)
                            .signed(i64::MIN)
                            .number(u64::MAX)
                            .number(u64::MAX)
                            .number(u64::MAX)
                            .number(u64::MAX);
                    }),
                );
            },
            Executed,
        ),
        case("a file from the beginning of time", |raw, _| raw.set("output", dated(i64::MIN)), Replayed("made\n")),
        case("a file from the end of time", |raw, _| raw.set("output", dated(i64::MAX)), Replayed("made\n")),
        case(
            "another command",
            |raw, _| {
                let digest = CommandDigest::of_parts(b"x");
                raw.set("command", digest.0.0.to_vec());
            },
            Replayed("made\n"),
        ),
        case("fields without names", |raw, _| (0..100_000).for_each(|_| raw.push("", Vec::new())), Replayed("made\n")),
    ]
}

fn check(case: &Case) {
    let scene = Scene::new(Way::Declared);
    // Else a hit finds all in place.
    fs::write(scene.world.path("out"), "made\n").unwrap();
    (case.prepare)(&scene.world);
    let file = scene.calls().remove(0);
    let honest = forgery::body(&file);
    let mut raw = Raw::of(&honest);
    // What is forged lies in the folder that the command line gives away, so that only what is wrong with it can be the reason.
    raw.0.retain(|(name, value)| name != "output" || !value.starts_with(b"\x03own"));
    raw.push("output", folder(b"own", 0o755, 1));
    (case.forge)(&mut raw, &scene.outer());
    let forged = raw.bytes();
    assert_ne!(forged, honest, "nothing was forged");
    forgery::replace(&file, &sealed(b'c', &forged));
    let (bare, tree) = Scene::bare(case.prepare);
    // The last but one: a time is looked at only where an age is asked for.
    let options: &[&str] = if case.name.starts_with("times") { &["--ttl", "1h"] } else { &[] };
    let run = scene.run(options);
    run.is_sound_and_small();
    scene.is_untouched_outside();
    let stdout = String::from_utf8(run.outcome.stdout.clone()).unwrap();
    match case.fate {
        Fate::Executed => {
            assert_eq!(scene.executions(), 2, "{}: it was replayed", case.name);
            assert_eq!((run.outcome.code(), stdout), (bare.code(), bare.stdout()));
            let (left, expected) = (without_tool(scene.tree()), without_tool(tree));
            assert_eq!(left, expected);
        }
        Fate::Replayed(out) => {
            assert_eq!(scene.executions(), 1, "{}: it was executed: {}", case.name, run.outcome.stderr());
            assert_eq!((run.outcome.code(), stdout.as_str(), scene.world.read("out").as_str()), (0, "1\ndone\n", out));
        }
    }
    // What was found to be forged does not stay in the way.
    let again = scene.run(options);
    again.is_sound_and_small();
    assert_eq!((again.outcome.code(), again.outcome.stdout()), (bare.code(), bare.stdout()));
    scene.is_untouched_outside();
}

/// The tool names its own world.
fn without_tool(mut tree: Tree) -> Tree {
    tree.remove(Path::new("tool"));
    tree
}

#[test]
fn forged_outcomes_do_no_harm() {
    let cases: Vec<Case> = places().into_iter().chain(ways()).chain(claims()).collect();
    assert!(cases.len() >= 40);
    tally::each("forged calls", &cases, |case| case.name.to_owned(), check);
}

/// Whole files, for which no field tells what is wrong.
type Remade = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Each is made of the body of an honest file.
const FILES: &[Remade] = &[
    ("the seal of path sets", |body| sealed(b'p', body)),
    ("the seal of nothing", |body| sealed(0, body)),
    ("a newer version", |body| sealed_as(b"fleche\x63\x02", body)),
    ("another name", |body| sealed_as(b"flechec\x01", body)),
    ("no body", |_| sealed(b'c', b"")),
    ("a body cut short", |body| sealed(b'c', &body[..body.len() - 1])),
    ("a body and more", |body| sealed(b'c', &[body, b"more"].concat())),
    ("a field of u64::MAX bytes", |body| {
        sealed(b'c', &[body, b"\x01x\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"].concat())
    }),
    ("no seal", <[u8]>::to_vec),
    ("a wrong seal", |body| [b"fleche\x63\x01".as_slice(), &[0; 32], body].concat()),
    ("nothing", |_| Vec::new()),
];

#[test]
fn forged_files_of_calls_and_path_sets_do_no_harm() {
    tally::each(
        "forged files",
        FILES,
        |(name, _)| (*name).to_owned(),
        |(_, forge)| {
            for way in [Way::Declared, Way::Traced] {
                for which in ["call", "path sets"] {
                    let scene = Scene::new(way);
                    let file = if which == "call" { scene.calls().remove(0) } else { scene.path_sets() };
                    forgery::replace(&file, &forge(&forgery::body(&file)));
                    for _ in 0..2 {
                        let run = scene.run(&[]);
                        run.is_sound_and_small();
                        assert_eq!((run.outcome.code(), run.outcome.stdout()), (0, "1\ndone\n".to_owned()));
                    }
                    scene.is_untouched_outside();
                    assert_eq!(scene.world.read("out"), "made\n");
                }
            }
        },
    );
}

/// Sparse files, folders and more in the places of calls, path sets and values.
#[test]
fn odd_things_in_the_place_of_files_do_no_harm() {
    type Put = (&'static str, fn(&Path));
    const KINDS: &[Put] = &[
        ("a sparse file", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ("a sparse file that would be read", |path| fs::File::create(path).unwrap().set_len(16 << 20).unwrap()),
        ("a folder", |path| fs::create_dir_all(path.join("full")).unwrap()),
        ("a FIFO", |path| fifo(path)),
        ("a link to what never ends", |path| symlink("/dev/zero", path).unwrap()),
        ("a link to the terminal", |path| symlink("/dev/tty", path).unwrap()),
        ("a link to itself", |path| symlink(path, path).unwrap()),
    ];
    tally::each(
        "odd things",
        KINDS,
        |(name, _)| (*name).to_owned(),
        |(_, put)| {
            for which in ["call", "path sets"] {
                let scene = Scene::shared(Way::Traced);
                let file = if which == "call" { scene.calls().remove(0) } else { scene.path_sets() };
                fs::remove_file(&file).unwrap();
                put(&file);
                let run = scene.run(&[]);
                run.is_sound_and_small();
                assert_eq!((run.outcome.code(), run.outcome.stdout()), (0, "1\ndone\n".to_owned()));
                scene.is_untouched_outside();
            }
        },
    );
}
