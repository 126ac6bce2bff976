//! Large outputs: replayed into a pipe and captured from a command, against `cat` of the same bytes.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::race::{Contender, Samples, Stdout, race};
use super::report::{Limit, Report, Row, mebibytes};
use super::world::{Build, Cache, Declared, fleche};
use super::{Bench, Group};

const CAT: &str = "/bin/cat";
const MEGABYTE: u64 = 1_000_000;

/// One size.
struct Case {
    name: &'static str,
    length: u64,
    rounds: usize,
    /// The most that it may take, in times of `cat`.
    most: f64,
    /// The most memory, in bytes.
    memory: u64,
}

/// Measures the groups `replay` and `capture`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if bench.does(Group::Replay) {
        replays(bench, report)?;
    }
    if bench.does(Group::Capture) {
        captures(bench, report)?;
    }
    Ok(())
}

/// Replays into a pipe.
fn replays(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let memory = 8 << 20;
    for case in [
        Case { name: "hit of 1 MB into a pipe", length: MEGABYTE, rounds: 400, most: 0.7, memory },
        Case { name: "hit of 100 MB into a pipe", length: 100 * MEGABYTE, rounds: 30, most: 1.1, memory },
    ] {
        let input = format!("{}.bin", case.length);
        bench.world.large_file(&input, case.length)?;
        let cache = bench.world.cache("large");
        let cat = [CAT, input.as_str()];
        let mut contenders = vec![contender("cat", words(&cat), &cache, Stdout::Pipe, case.length)];
        for build in &bench.builds {
            cache.record(build, Declared::Input, &cat)?;
            let words = fleche(build, Declared::Input, &cat);
            contenders.push(contender(&build.label, words, &cache, Stdout::Pipe, case.length));
        }
        finish(bench, report, &case, &mut contenders, "cat FILE into a pipe")?;
        drop(contenders);
        remove(&cache.folder)?;
        fs::remove_file(&input)?;
    }
    Ok(())
}

/// Captures into an empty store.
fn captures(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let memory = 16 << 20;
    for case in [
        Case { name: "100 MB captured", length: 100 * MEGABYTE, rounds: 20, most: 1.5, memory },
        Case { name: "2 GB captured", length: 2000 * MEGABYTE, rounds: 5, most: 1.5, memory },
    ] {
        if case.length > 1000 * MEGABYTE && bench.is_quick() {
            report.skip(case.name, "--quick");
            continue;
        }
        // The input, the output and the value, and room for others.
        let needed = case.length * 4;
        if free_space()? < needed {
            report.skip(case.name, format!("needs {} of free space", mebibytes(needed)));
            continue;
        }
        capture(bench, report, &case)?;
    }
    Ok(())
}

fn capture(bench: &Bench, report: &mut Report, case: &Case) -> Result<(), Box<dyn Error>> {
    let input = format!("{}.bin", case.length);
    bench.world.large_file(&input, case.length)?;
    let output = bench.world.path("captured");
    let cache = bench.world.cache("captures");
    let cat = [CAT, input.as_str()];
    for build in &bench.builds {
        cache.check_miss(build, Declared::Input, &cat)?;
        remove(&cache.folder)?;
    }
    let mut lanes = vec![("cat".to_owned(), words(&cat))];
    lanes.extend(bench.builds.iter().map(|build| (build.label.clone(), fleche(build, Declared::Input, &cat))));
    let mut contenders: Vec<Contender> = lanes
        .into_iter()
        .map(|(name, words)| {
            let mut contender = contender(&name, words, &cache, Stdout::File(output.clone()), case.length);
            // A fresh store and no old output, so that each run is a miss and none waits for another's pages.
            let leftovers = [cache.folder.clone(), output.clone()];
            contender.before = Box::new(move || leftovers.iter().try_for_each(remove));
            contender
        })
        .collect();
    finish(bench, report, case, &mut contenders, "cat FILE >file")?;
    drop(contenders);
    for path in [cache.folder, output, PathBuf::from(input)] {
        remove(&path)?;
    }
    Ok(())
}

/// Runs the race and adds its rows; the first contender is `cat`.
fn finish(
    bench: &Bench,
    report: &mut Report,
    case: &Case,
    contenders: &mut [Contender],
    against: &str,
) -> Result<(), Box<dyn Error>> {
    let samples = race(contenders, bench.rounds(case.rounds))?;
    let (cat, others) = samples.split_first().ok_or("nobody ran")?;
    report.add(Row::of(case.name, "cat", cat));
    for (build, own) in bench.builds.iter().zip(others) {
        report.add(Row {
            against: against.to_owned(),
            ratio: Some(own.ratio(cat)),
            limit: Some(Limit::AtMost(case.most)),
            ..Row::of(case.name, &build.label, own)
        });
    }
    for (build, own) in bench.builds.iter().zip(others) {
        report.add(memory(case, build, own));
    }
    Ok(())
}

fn memory(case: &Case, build: &Build, samples: &Samples) -> Row {
    Row {
        case: format!("{}: peak memory in MiB", case.name),
        program: build.label.clone(),
        measured: mebibytes(samples.peak),
        limit: Some(Limit::AtMost((case.memory >> 20) as f64)),
        value: Some(samples.peak as f64 / f64::from(1 << 20)),
        ..Row::default()
    }
}

fn contender<'a>(name: &str, words: Vec<OsString>, cache: &'a Cache, stdout: Stdout, length: u64) -> Contender<'a> {
    let environment = &cache.environment;
    Contender { name: name.to_owned(), words, environment, stdout, length, exit: 0, before: Box::new(|| Ok(())) }
}

fn words(command: &[&str]) -> Vec<OsString> {
    command.iter().map(OsString::from).collect()
}

/// Removes a file or folder, if it is there.
pub fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Bytes that are free where the working directory is.
fn free_space() -> Result<u64, Box<dyn Error>> {
    let stat = rustix::fs::statvfs(".")?;
    Ok(stat.f_bavail * stat.f_frsize)
}
