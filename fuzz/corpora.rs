//! Writes the corpora: what the real encoders make, small and of every kind.

#![no_main]

// A target like the others, for it is compiled like them; what it does is done before anything is fuzzed.
libfuzzer_sys::fuzz_target!(
    init: {
        made::all();
    },
    |_bytes: &[u8]| ()
);

mod made {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io;
    use std::path::Path;

    use fleche::fuzzing;
    use fleche::model::*;
    use fleche::store::Parcel;

    /// Writes all, and ends.
    pub fn all() {
        write(Path::new("corpus")).expect("the corpora can be written");
        std::process::exit(0);
    }

    fn write(folder: &Path) -> io::Result<()> {
        let put = |target: &str, name: &str, bytes: &[u8]| {
            fs::create_dir_all(folder.join(target))?;
            fs::write(folder.join(target).join(name), bytes)
        };
        let calls = [("declared", declared()), ("traced", traced()), ("failed", failed())];
        for (name, call) in &calls {
            put("call", name, &call.encode())?;
            let set = Some(call.observations.clone());
            let told = vec![("stdin".to_owned(), "null".to_owned())];
            let parcel = Parcel { call: call.clone(), path_set: set, told };
            put("export", name, &fuzzing::parcel_bytes(&parcel))?;
            let part = fuzzing::sealed(b'x', &fuzzing::parcel_bytes(&parcel)).expect("a kind");
            let length = (part.len() as u64).to_le_bytes();
            let file = [b"fleche export 1\nc".as_slice(), &length, &part].concat();
            put("object", &format!("{name}-body"), &file)?;
            let packed = fuzzing::packed(&file).expect("it can be compressed");
            put("object", name, &fuzzing::object(&packed).expect("it can be signed"))?;
            put("frame", name, &fuzzing::sealed(b'c', &call.encode()[..40]).expect("a kind"))?;
            let apart = fuzzing::sealed_apart(b'c', &call.encode()[..20], &call.encode()[20..40]).expect("a kind");
            put("frame", &format!("{name}-apart"), &apart)?;
        }
        put("export", "nothing", b"fleche export 1\n")?;
        let mut sets = PathSets::new(CommandDigest::of_parts(b"command"));
        put("path_sets", "none", &sets.encode())?;
        for (name, call) in &calls {
            sets.insert(PathSet { key: call.key, observations: call.observations.clone() });
            put("path_sets", name, &sets.encode())?;
        }
        sets.unwatchable = Some("it traces by itself".to_owned());
        put("path_sets", "unwatchable", &sets.encode())?;
        put(
            "journal",
            "all",
            events().iter().map(|event| fuzzing::line(1_795_278_241, event)).collect::<String>().as_bytes(),
        )?;
        put("ledger", "all", &ledger())?;
        let stamp = stamp(3);
        put("stamp", "one", &fuzzing::stamp_bytes(&stamp, &Remembered { digest: Digest::of(b"x"), binary: true }))?;
        for (name, observations) in [("one", whole()), ("plain", plain())] {
            let (body, blocks) = inventory(stamp, &observations).encode();
            put("inventory", name, &[&(body.len() as u16).to_le_bytes(), &body[..], &blocks].concat())?;
            let [outline, stamps, _] = lengths(&body).expect("it has one group");
            if outline > 0 {
                put("inventory", &format!("{name}-outline"), &blocks[..outline])?;
            }
            put("inventory", &format!("{name}-block"), &[&(stamps as u16).to_le_bytes(), &blocks[outline..]].concat())?;
        }
        for (number, text) in CONFIGURATIONS.iter().enumerate() {
            put("configuration", &number.to_string(), text.as_bytes())?;
        }
        for (number, words) in FILTERS.iter().enumerate() {
            put("filters", &number.to_string(), words.join("\0").as_bytes())?;
        }
        for (number, glob) in GLOBS.iter().enumerate() {
            put("globs", &number.to_string(), format!("{glob}\0src/main.c").as_bytes())?;
        }
        for (number, word) in WORDS.iter().enumerate() {
            put("words", &number.to_string(), word.as_bytes())?;
        }
        put("messages", "account", &account().encode())?;
        put("messages", "trace", &trace().encode())
    }

    fn stamp(number: u64) -> Stamp {
        Stamp { device: 1, inode: number, size: 3, modified: -4, changed: 5, mode: 0o100_644 }
    }

    /// The lengths of the parts of an inventory's first group, in bytes.
    fn lengths(body: &[u8]) -> Result<[usize; 3], Malformed> {
        let group = Fields::of(body).flatten().find(|(name, _)| *name == b"group");
        let mut reader = Reader::new(group.ok_or(Malformed("inventory"))?.1);
        let mut length = || reader.digest().and_then(|_| reader.number()).map(|length| length as usize);
        Ok([length()?, length()?, length()?])
    }

    fn inventory(stamp: Stamp, observations: &[Observation]) -> Inventory {
        let mut names = Names::default();
        names.add("a.c".as_ref(), 0o100_000);
        let folders = vec![
            Walked { path: "/root/src".into(), stamp: Some(stamp), names },
            Walked { path: "/root/src/young".into(), stamp: None, names: Names::default() },
        ];
        let links = vec![
            Ended { link: "/root/l".into(), end: Some("/root/src".into()), is_folder: true },
            Ended { link: "/root/m".into(), end: None, is_folder: false },
        ];
        Inventory::of(Digest::of(b"look"), observations, folders, links)
    }

    fn observations() -> Vec<Observation> {
        let listing = Facet::Listing { without: vec!["a.o".into(), "b.o".into()] };
        let all = [
            ("/usr/bin/cc", Facet::Content, State::File { mode: 0o755, digest: Digest::of(b"cc") }, true),
            ("/usr/include/a.h", Facet::Kind, State::Absent, false),
            ("a", Facet::Kind, State::Exists { mode: 0o644 }, false),
            (
                "a",
                Facet::Metadata,
                State::Metadata { mode: 0o100_644, size: 9, modified: -1, user: 7, group: 8, links: 2 },
                false,
            ),
            ("b", Facet::Replaced, State::Replaced { mode: 0o644, empty: true, rank: 3 }, false),
            ("c", Facet::Attributes, State::Told(None), false),
            ("c", Facet::Machine, State::Told(Some(Digest::of(b"m"))), false),
            ("d", listing, State::Listing(Digest::of(b"l")), false),
            ("e", Facet::Kind, State::Target(b"d".to_vec()), false),
            ("f", Facet::Content, State::Denied, false),
            ("g", Facet::Kind, State::Special(0o010_000), false),
        ];
        let one = |(number, (path, facet, state, is_proven)): (usize, (&str, Facet, State, bool))| Observation {
            path: path.into(),
            facet,
            state,
            stamp: is_proven.then(|| stamp(number as u64)),
        };
        all.into_iter().enumerate().map(one).collect()
    }

    fn whole() -> Vec<Observation> {
        let link = State::Link { target: b"src".to_vec(), behind: Box::new(State::Folder { mode: 0o755 }) };
        let file = State::File { mode: 0o644, digest: Digest::of(b"int") };
        [("gone", State::Absent), ("l", link), ("src/a.c", file)]
            .into_iter()
            .map(|(path, state)| Observation { path: path.into(), facet: Facet::Whole, state, stamp: Some(stamp(1)) })
            .collect()
    }

    /// Of these an outline tells.
    fn plain() -> Vec<Observation> {
        let folder =
            Observation { path: "src".into(), facet: Facet::Whole, state: State::Folder { mode: 0o755 }, stamp: None };
        let mut all: Vec<Observation> =
            whole().into_iter().filter(|seen| !matches!(seen.state, State::Link { .. })).collect();
        all.insert(1, folder);
        all
    }

    fn call(name: &str, observations: Vec<Observation>) -> Call {
        let command = CommandDigest::of_parts(name.as_bytes());
        let key = Key::of(&command, &Observation::digests(&observations), None);
        Call {
            key,
            command,
            grade: Grade::Declared,
            bound: false,
            argv: vec![Argument::Clear("cc".into()), Argument::Redacted, Argument::Clear("a.c".into())],
            program: "/usr/bin/cc".into(),
            cwd: "/work/sub".into(),
            root: "/work".into(),
            parts: vec![("arg.0".into(), Digest::of(b"cc"))],
            sealed_by: Some(Digest::of(b"secret")),
            taken_over: true,
            variables: vec![Variable {
                name: "CC".into(),
                digest: Digest::of(b"cc"),
                clear: Some("cc".into()),
                counted: true,
            }],
            request: Request::default(),
            observations,
            outcome: Outcome::default(),
            metadata: Metadata {
                host: "h".into(),
                user: "u".into(),
                git_branch: Some("main".into()),
                ..Metadata::default()
            },
            tags: BTreeMap::from([("project".into(), "alpha".into())]),
        }
    }

    fn declared() -> Call {
        let file = |dated, kept| OutputKind::File {
            mode: 0o644,
            content: Content::inline(b"g".to_vec()),
            modified: 9,
            dated,
            kept,
        };
        let outputs = [
            ("gone.o", OutputKind::Absent),
            ("out", OutputKind::Folder { mode: 0o755, owned: true, dated: Some(-7) }),
            ("out/f", file(false, false)),
            ("out/g", file(true, true)),
            ("out/l", OutputKind::Link { target: b"f".to_vec(), dated: Some(8) }),
        ];
        let request = Request {
            inputs: vec!["src".into()],
            outputs: vec!["out/".into(), "*.o".into()],
            excludes: vec!["*.log".into()],
            revision: Some("2".into()),
            stdin: StdinRule::From(StdinSource::File("in".into())),
            ..Request::default()
        };
        let outcome = Outcome {
            stdout: Some(Content::inline(b"hello\n".to_vec())),
            stderr: Some(Content { digest: Digest::of(b"big"), length: 1 << 20, inline: None }),
            transcript: Transcript::from_chunks([(5, Stream::Stdout, 6), (7, Stream::Stderr, 1 << 20)]),
            outputs: outputs.into_iter().map(|(path, kind)| Output { path: path.into(), kind }).collect(),
            ..Outcome::default()
        };
        Call { request, outcome, ..call("declared", whole()) }
    }

    fn traced() -> Call {
        Call { grade: Grade::Traced, bound: true, ..call("traced", observations()) }
    }

    fn failed() -> Call {
        let outcome = Outcome { exit: 3, stdin_consumed: Some(17), ..Outcome::default() };
        Call { grade: Grade::Pure, outcome, ..call("failed", Vec::new()) }
    }

    fn events() -> Vec<Event> {
        let key = Key(Digest::of(b"key"));
        let name = || "cc".to_owned();
        vec![
            Event::Stored { key, bytes: 9, name: name(), why: "no-call".into() },
            Event::Copied { key, bytes: 9, name: name() },
            Event::Hit { key, saved: 7, name: name() },
            Event::NotStored {
                command: CommandDigest(Digest::of(b"c")),
                reason: "network".into(),
                detail: "inet".into(),
                name: name(),
            },
            Event::Tagged { key },
            Event::Renamed { from: key, to: Key(Digest::of(b"other")) },
            Event::Evicted { key },
        ]
    }

    fn ledger() -> Vec<u8> {
        let mut body = Writer::new();
        body.number_field("format", 1);
        let mut inner = Writer::new();
        inner.number(5).bytes(b"head").number(100);
        body.field("journal", &inner.into_bytes());
        let mut inner = Writer::new();
        inner.signed(20_000).bytes(b"cc").bytes(b"hit").bytes(b"").number(1).number(2).number(3);
        body.field("statistic", &inner.into_bytes());
        let mut inner = Writer::new();
        inner.raw(&[7; 32]).number(1).signed(-2);
        body.field("usage", &inner.into_bytes());
        let mut inner = Writer::new();
        inner.raw(&[7; 32]).signed(5).bytes(b"network").bytes(b"inet");
        body.field("refusal", &inner.into_bytes());
        body.into_bytes()
    }

    fn account() -> Account {
        Account {
            seen: observations().into_iter().map(|seen| (Path::new("/work").join(seen.path), seen.facet)).collect(),
            left: vec![
                ("/work/out".into(), Trail::Folder { is_dated: false }),
                ("/work/out/x".into(), Trail::File { is_dated: true }),
            ],
            uses_network: true,
        }
    }

    fn trace() -> Trace {
        let glimpse = Glimpse::Something { stamp: stamp(2), user: 6, group: 7, links: 8, target: Some(b"to".to_vec()) };
        let listing = Listing { entries: vec![("a".into(), 1)], without: vec!["c".into()] };
        let touch = Touch {
            before: glimpse,
            image: Some(Digest([7; 32])),
            seen: Seen { kind: true, content: true, ..Seen::default() },
            listing: Some(listing),
            attributes: Some(Digest([8; 32])),
            made: Made { changed: true, own: true, ..Made::default() },
        };
        Trace {
            touched: [("/path".into(), touch)].into_iter().collect(),
            refusals: vec![
                Reason::Network("inet".into()),
                Reason::InputUnreadable("/u".into(), "denied".into()),
                Reason::LeftBehind,
            ],
            stdin_used: true,
            leaves_root: true,
            ..Trace::default()
        }
    }

    const CONFIGURATIONS: &[&str] = &[
        "",
        "root = true\ncache = [\"local\", \"team\"]\n[caches.team]\npath = \"~/team\"\nshared = \"group\"\nmax-size = \"10%\"\nmax-age = \"30d\"\nmax-entries = 5\naccess = \"read-only\"\n",
        "[defaults]\nttl = \"1h\"\ntags = { a = \"1\" }\nproject = \"x\"\nmax-entry = \"1KiB\"\ncache-exit = [1, 2]\nisolate = \"strict\"\n",
        "[[command]]\nmatch = [\"cc\", \"*\"]\ninputs = [\"src/**/*.[ch]\"]\noutputs = [\"build/\", \"*.o\"]\nexcludes = [\"*.log\"]\n[[command]]\nmatch = [\"{a,b}\"]\npure = true\nprobe = [\"cc -v\"]\n",
        "[defaults]\nallow-write = [\"../x\"]\nstdin-from = \"in\"\nenv = [\"CC\", \"C*\"]\nenv-mode = \"strict\"\n\0cc\0-c\0a.c",
        "inptus = 1\ncaches = 2\n[command]\n",
    ];

    const FILTERS: &[&[&str]] = &[
        &["--name", "c*", "--arg", "1=-O?", "--arg", "[a-z]*", "--tag", "project=alpha", "--tag", "pin"],
        &["--since", "2026-11-20T18:30", "--until", "2h", "--longer", "1m 5s", "--exit", "3", "--grade", "traced"],
        &[
            "--input",
            "src/a.c=abcd",
            "--output",
            "out/x",
            "--value",
            "0123abcd",
            "--sort",
            "walltime",
            "--reverse",
            "--limit",
            "5",
            "--skip",
            "1",
        ],
        &[
            "--where",
            "walltime > 60 and tags ->> 'project' is null",
            "--unique",
            "name",
            "--cwd",
            "/work",
            "--latest",
            "--only",
        ],
    ];

    const GLOBS: &[&str] = &[
        "*.c",
        "src/**/*.[ch]",
        "{a,b/{c,d}}?",
        "[!a-z]x",
        "a/../b",
        "/abs/*.o",
        "plain",
        "dir/",
        "\\*",
        "**",
        "[]-]",
    ];

    const WORDS: &[&str] = &[
        "10MiB",
        "2GB",
        "500k",
        "12.5%",
        "1h 5m",
        "@1795278241",
        "2026-11-20",
        "2026-11-20T18:30:01Z",
        "1795278241.952",
        "a=1,b=2,project=x y",
        "fleche:abcd/stderr",
        "--x=fleche:0123",
        "abcd/out/x",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "it's \u{202e}",
    ];
}
