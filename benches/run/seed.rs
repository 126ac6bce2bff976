//! Filling a store with calls that nobody ran, through the store's own interface, a hundred times as fast as running them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::thread;

use fleche::model::{
    Argument, Call, CommandDigest, Content, Digest, Facet, Grade, Key, Metadata, Observation, Outcome, Output,
    OutputKind, PathSet, Sink, Stamp, State, Stream, Transcript, Usage, Variable,
};
use fleche::store::{Durability, Store};

/// One call in so many has an output too large for its own file.
const WITH_VALUE: u64 = 20;
/// Bytes of such an output.
const VALUE: usize = 20_000;

/// Stores `count` calls in `folder`, each of a command of its own, as large as those of a C compiler with a few inputs.
pub fn fill(folder: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let workers = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    // The first opening makes the folder; the workers would race for it.
    open(folder)?;
    thread::scope(|scope| {
        let numbers = |worker| (worker..count).step_by(workers as usize);
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(move || store(folder, numbers(worker)))).collect();
        running.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked".to_owned())?)
    })?;
    Ok(())
}

fn open(folder: &Path) -> Result<Store, String> {
    Store::open(folder).map_err(|reason| reason.to_string())
}

fn store(folder: &Path, numbers: impl Iterator<Item = u64>) -> Result<(), String> {
    let store = open(folder)?;
    for number in numbers {
        let mut call = call(number);
        let path_set = PathSet { key: call.key, observations: call.observations.clone() };
        let mut recording = store.recording().map_err(|reason| reason.to_string())?;
        if number % WITH_VALUE == 0 {
            let mut spool = store.spool(u64::MAX);
            spool.accept(number.to_le_bytes().repeat(VALUE / 8));
            let value = spool.finish().and_then(|pending| recording.keep(pending));
            let content = value.map_err(|reason| reason.to_string())?;
            let kind = OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
            call.outcome.outputs.push(Output { path: format!("build/file{number}.o").into(), kind });
        }
        recording.store(&call, Durability::Buffered, Some(path_set)).map_err(|reason| reason.to_string())?;
    }
    Ok(())
}

/// A call like no other.
fn call(number: u64) -> Call {
    let source = format!("src/part{:03}/file{number}.c", number % 1000);
    let command = CommandDigest::of_parts(source.as_bytes());
    let observations: Vec<Observation> =
        [source.as_str(), "include/config.h", "include/list.h", "include/types.h"].map(observation).into();
    let words = ["cc", "-O2", "-g", "-Wall", "-c", &source];
    Call {
        key: Key::of(&command, &Observation::digests(&observations), None),
        command,
        grade: Grade::Declared,
        bound: false,
        argv: words.map(|word| Argument::Clear(word.into())).into(),
        program: "/usr/bin/cc".into(),
        cwd: "/home/somebody/project".into(),
        root: "/home/somebody/project".into(),
        parts: (0..30).map(|part| (format!("part.{part}"), Digest::of(&[part]))).collect(),
        sealed_by: None,
        taken_over: false,
        request: Default::default(),
        variables: (0..20)
            .map(|variable| Variable {
                name: format!("VARIABLE_{variable}").into(),
                digest: Digest::of(&[variable]),
                clear: None,
                counted: true,
            })
            .collect(),
        observations,
        outcome: Outcome {
            stdout: Some(Content::inline(format!("{number:0100}").into_bytes())),
            stderr: Some(Content::inline(Vec::new())),
            transcript: Transcript::from_chunks([(1_000_000, Stream::Stdout, 100)]),
            ..Outcome::default()
        },
        metadata: Metadata {
            host: "host".into(),
            user: "somebody".into(),
            // As mixed as those of a year of builds: in no order.
            usage: Usage {
                started: 1_700_000_000_000_000_000
                    + (number.wrapping_mul(2_654_435_761) % 31_536_000) as i64 * 1_000_000_000,
                wall: number.wrapping_mul(40_503) % 90_000 * 1_000_000,
                ..Usage::default()
            },
            ..Metadata::default()
        },
        tags: BTreeMap::from([("project".to_owned(), project(number))]),
    }
}

/// One of a hundred; `alpha` is the first.
fn project(number: u64) -> String {
    match number % 100 {
        0 => "alpha".to_owned(),
        other => format!("project-{other}"),
    }
}

fn observation(path: &str) -> Observation {
    let digest = Digest::of(path.as_bytes());
    let stamp = Stamp { device: 1, inode: 2, size: 3, modified: 4, changed: 5, mode: 0o100_644 };
    Observation {
        path: path.into(),
        facet: Facet::Whole,
        state: State::File { mode: 0o644, digest },
        stamp: Some(stamp),
    }
}
