//! Path sets that lead the look-up where it should not be led.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use fleche::model::{Digest, Facet, Key, Observation, PathSet, PathSets, Room, State, manifest};

use crate::forgery::{self, Raw, sealed, written};
use crate::scene::{Scene, Way, fifo};
use crate::tally;
use crate::world::World;

/// What a set looks at: paths and what for.
type Looks = Vec<(PathBuf, Facet)>;

struct Case {
    name: &'static str,
    prepare: fn(&World),
    looks: fn() -> Looks,
}

fn at(paths: &[&str]) -> Looks {
    let facets = [
        Facet::Kind,
        Facet::Content,
        Facet::Metadata,
        Facet::Replaced,
        Facet::Listing { without: Vec::new() },
        Facet::Attributes,
        Facet::Machine,
    ];
    paths.iter().flat_map(|path| facets.iter().map(move |facet| (PathBuf::from(path), facet.clone()))).collect()
}

fn content(paths: &[&str]) -> Looks {
    paths.iter().map(|path| (PathBuf::from(path), Facet::Content)).collect()
}

fn many(count: usize, facet: &Facet) -> Looks {
    (0..count).map(|number| (PathBuf::from(format!("{number:09}")), facet.clone())).collect()
}

fn cases() -> Vec<Case> {
    fn case(name: &'static str, looks: fn() -> Looks) -> Case {
        Case { name, prepare: |_| (), looks }
    }
    vec![
        case("absolute paths", || at(&["/etc/shadow", "/root/.ssh/id_rsa", "/"])),
        case("paths with ..", || at(&["..", "../../../../../../etc/shadow", "a/../../b", "../outside/f"])),
        case("paths that are none", || at(&["", ".", "./", "a//b", "a/"])),
        case("a NUL", || at(&["a\0b"])),
        case("long names", || {
            vec![(PathBuf::from("n".repeat(256)), Facet::Kind), (PathBuf::from("n/".repeat(5000)), Facet::Content)]
        }),
        case("no text", || vec![(OsString::from_vec(b"\xff\x1b[2J".to_vec()).into(), Facet::Content)]),
        case("the terminal and other devices", || {
            at(&["/dev/tty", "/dev/zero", "/dev/random", "/dev/stdin", "/dev/fd/0", "/dev/ptmx", "/dev/kmsg"])
        }),
        case("the log of the kernel, which waits", || {
            at(&["/proc/kmsg", "/sys/kernel/debug/tracing/trace_pipe", "/sys/kernel/tracing/trace_pipe"])
        }),
        case("files of the kernel that do not end", || {
            content(&["/proc/kcore", "/proc/self/pagemap", "/proc/self/mem", "/proc/kpagecount", "/proc/kpageflags"])
        }),
        case("itself", || {
            at(&["/proc/self/exe", "/proc/self/fd/0", "/proc/self/environ", "/proc/self/task", "/proc/self/cwd/out"])
        }),
        Case { name: "a FIFO nobody writes to", prepare: |world| fifo(&world.path("fifo")), looks: || at(&["fifo"]) },
        Case {
            name: "a socket",
            prepare: |world| drop(std::os::unix::net::UnixListener::bind(world.path("socket")).unwrap()),
            looks: || at(&["socket"]),
        },
        Case {
            name: "links in a circle",
            prepare: |world| {
                symlink("b", world.path("a")).unwrap();
                symlink("a", world.path("b")).unwrap()
            },
            looks: || at(&["a", "a/x", "b"]),
        },
        Case {
            name: "a link to a FIFO",
            prepare: |world| {
                fifo(&world.path("fifo"));
                symlink("fifo", world.path("l")).unwrap()
            },
            looks: || at(&["l"]),
        },
        Case {
            name: "a link to what never ends",
            prepare: |world| symlink("/dev/zero", world.path("l")).unwrap(),
            looks: || at(&["l"]),
        },
        Case {
            name: "a huge folder",
            prepare: |world| {
                fs::create_dir(world.path("huge")).unwrap();
                (0..20_000).for_each(|number| drop(fs::File::create(world.path(format!("huge/{number}"))).unwrap()));
            },
            looks: || at(&["huge"]),
        },
        case("whole trees", || vec![(PathBuf::from("/"), Facet::Whole), (PathBuf::from("."), Facet::Whole)]),
        case("names without end", || {
            vec![(
                PathBuf::from("."),
                Facet::Listing { without: (0..200_000).map(|number| OsString::from(number.to_string())).collect() },
            )]
        }),
        case("names out of order", || {
            vec![(PathBuf::from("."), Facet::Listing { without: vec!["z".into(), "a".into(), "a".into()] })]
        }),
        case("a hundred thousand paths", || many(100_000, &Facet::Content)),
    ]
}

/// What a stranger would make of these paths.
fn observations(looks: Looks) -> Vec<Observation> {
    let state = State::File { mode: 0o644, digest: Digest::of(b"a guess") };
    looks.into_iter().map(|(path, facet)| Observation { path, facet, state: state.clone(), stamp: None }).collect()
}

fn is_right(scene: &Scene) {
    for _ in 0..2 {
        let run = scene.run(&[]);
        run.is_sound_and_small();
        assert_eq!((run.outcome.code(), run.outcome.stdout()), (0, "1\ndone\n".to_owned()), "{}", run.outcome.stderr());
        assert_eq!(scene.world.read("out"), "made\n");
        scene.is_untouched_outside();
    }
}

#[test]
fn path_sets_lead_nowhere() {
    let cases = cases();
    tally::each(
        "path sets",
        &cases,
        |case| case.name.to_owned(),
        |case| {
            let scene = Scene::shared(Way::Traced);
            (case.prepare)(&scene.world);
            let file = scene.path_sets();
            let honest = forgery::path_sets(&forgery::body(&file));
            let mut forged = honest.clone();
            forged.insert(PathSet { key: Key(Digest::of(b"nothing")), observations: observations((case.looks)()) });
            assert_eq!(forged.count(), honest.count() + 1, "nothing was forged");
            forgery::replace(&file, &sealed(b'p', &forged.encode()));
            is_right(&scene);
        },
    );
}

/// A body of path sets, from that of an honest file.
type Forge = fn(&mut Raw);

/// What no encoder writes.
const RAW: &[(&str, Forge)] = &[
    ("a table after the sets", |raw| raw.push("table", manifest::encode(&observations(many(1, &Facet::Kind))))),
    ("a table of millions in few bytes", |raw| raw.set("table", [0, 0, 16, 0, 0].repeat(3_000_000))),
    ("versions without end", |raw| raw.set("table", [0, 0, 16, 0, 0].repeat(200_000))),
    ("paths that share what is not there", |raw| raw.set("table", vec![200, 1, 0, 16, 0, 0])),
    ("places beyond the table", |raw| {
        raw.push(
            "members",
            written(|writer| {
                writer.raw(&[0; 32]).number(1 << 40).number(1);
            }),
        );
    }),
    ("10^12 places", |raw| {
        raw.push(
            "members",
            written(|writer| {
                writer.raw(&[0; 32]).number(0).number(1_000_000_000_000);
            }),
        );
    }),
    ("places past all numbers", |raw| {
        raw.push(
            "members",
            written(|writer| {
                writer.raw(&[0; 32]).number(u64::MAX).number(u64::MAX);
            }),
        );
    }),
    ("10^12 names in a listing", |raw| {
        raw.set(
            "table",
            written(|writer| {
                writer.number(0).bytes(b"a").number(20).number(1_000_000_000_000);
            }),
        );
    }),
    ("names in a listing of few bytes", |raw| {
        let head = written(|writer| {
            writer.number(0).bytes(b"a").number(20).number(15_000_000);
        });
        raw.set("table", [head, vec![0; 15_000_002]].concat());
    }),
    ("a million keys", |raw| (0..400_000).for_each(|_| raw.push("key", vec![9; 32]))),
    ("a thousand sets", |raw| {
        let set = raw.0.iter().find(|(name, _)| name == "members").unwrap().1.clone();
        (0..1000).for_each(|_| raw.push("members", set.clone()));
    }),
    ("sets as they were once written", |raw| {
        let seen = [vec![7; 32], Observation::encode_all(&observations(at(&["/dev/tty", "/proc/kmsg"])))].concat();
        (0..100).for_each(|_| raw.push("set", seen.clone()));
    }),
    ("another command", |raw| raw.set("command", vec![7; 32])),
    ("no command", |raw| raw.0.retain(|(name, _)| name != "command")),
    ("a reason that drives the terminal", |raw| {
        raw.push("unwatchable", b"\x1b[2J\x1b]0;evil\x07\n\xc2\x9b31m\xe2\x80\xae".to_vec());
    }),
    ("a reason that is no text", |raw| raw.push("unwatchable", vec![0xff, 0xfe])),
];

#[test]
fn path_sets_that_no_encoder_writes_do_no_harm() {
    tally::each(
        "raw path sets",
        RAW,
        |(name, _)| (*name).to_owned(),
        |(_, forge)| {
            let scene = Scene::shared(Way::Traced);
            let file = scene.path_sets();
            let honest = forgery::body(&file);
            let mut raw = Raw::of(&honest);
            forge(&mut raw);
            assert_ne!(raw.bytes(), honest, "nothing was forged");
            forgery::replace(&file, &sealed(b'p', &raw.bytes()));
            is_right(&scene);
            scene.run(&["-q"]).is_sound();
        },
    );
}

/// As many paths, and as many bytes, as a file of a shared store may have: the most that a run can be made to take.
#[test]
fn the_largest_files_of_a_shared_store_are_bounded() {
    type Make = fn(&Scene);
    let cases: [(&str, Make); 3] = [
        ("path sets", |scene| {
            let file = scene.path_sets();
            let mut forged = forgery::path_sets(&forgery::body(&file));
            let seen = observations(many(300_000, &Facet::Kind));
            forged.insert(PathSet { key: Key(Digest::of(b"nothing")), observations: seen });
            // As large as is taken: else nothing of it would be looked at.
            let mut room = Room::of(Room::FOREIGN);
            assert!(PathSets::decode(&forged.encode(), &mut room).is_ok() && forged.encode().len() < 16 << 20);
            forgery::replace(&file, &sealed(b'p', &forged.encode()));
        }),
        ("a call of many outputs", |scene| {
            let file = scene.calls().remove(0);
            let mut raw = Raw::of(&forgery::body(&file));
            (0..1_000_000).for_each(|_| raw.push("output", vec![0, 0]));
            forgery::replace(&file, &sealed(b'c', &raw.bytes()));
        }),
        ("a call of many bytes", |scene| {
            let file = scene.calls().remove(0);
            let mut raw = Raw::of(&forgery::body(&file));
            raw.push("unknown", vec![7; (16 << 20) - 10_000]);
            forgery::replace(&file, &sealed(b'c', &raw.bytes()));
        }),
    ];
    tally::each(
        "largest files",
        &cases,
        |(name, _)| (*name).to_owned(),
        |(name, make)| {
            let scene = Scene::shared(Way::Traced);
            make(&scene);
            let run = scene.run(&[]);
            println!("hostile: {name}: {} MiB", run.memory >> 10);
            run.is_sound_and_small();
            assert_eq!((run.outcome.code(), run.outcome.stdout()), (0, "1\ndone\n".to_owned()));
        },
    );
}
