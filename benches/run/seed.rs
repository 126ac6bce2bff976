//! Filling a store with calls that nobody ran, through the store's own interface, a hundred times as fast as running them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::thread;

use fleche::model::{
    Argument, Call, CommandDigest, Content, Digest, Grade, Key, Metadata, Observation, Outcome, PathSet, Stamp, State,
    Stream, Transcript, Usage, Variable,
};
use fleche::store::{Durability, Store};

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
        let call = call(number);
        let path_set = PathSet { key: call.key, observations: call.observations.clone() };
        let recording = store.recording().map_err(|reason| reason.to_string())?;
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
        key: Key::of(&command, &Observation::key_bytes(&observations), None),
        command,
        grade: Grade::Declared,
        bound: false,
        argv: words.map(|word| Argument::Clear(word.into())).into(),
        program: "/usr/bin/cc".into(),
        cwd: "/home/somebody/project".into(),
        root: "/home/somebody/project".into(),
        parts: (0..30).map(|part| (format!("part.{part}"), Digest::of(&[part]))).collect(),
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
            stdout: Some(Content::inline(vec![b'x'; 100])),
            stderr: Some(Content::inline(Vec::new())),
            transcript: Transcript::from_chunks([(1_000_000, Stream::Stdout, 100)]),
            ..Outcome::default()
        },
        metadata: Metadata {
            host: "host".into(),
            user: "somebody".into(),
            usage: Usage { wall: 200_000_000, ..Usage::default() },
            ..Metadata::default()
        },
        tags: BTreeMap::from([("project".to_owned(), "alpha".to_owned())]),
    }
}

fn observation(path: &str) -> Observation {
    let digest = Digest::of(path.as_bytes());
    let stamp = Stamp { device: 1, inode: 2, size: 3, modified: 4, changed: 5, mode: 0o100_644 };
    Observation { path: path.into(), state: State::File { mode: 0o644, digest }, stamp: Some(stamp) }
}
