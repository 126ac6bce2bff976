//! Questions to a store of a million calls: each answered within 100 ms and 64 MiB.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::time::Instant;

use super::Bench;
use super::race::{Contender, Samples, Stdout, race};
use super::report::{Limit, Report, Row, mebibytes, seconds};
use super::seed;
use super::world::{Build, Cache};

/// Calls in the store where nobody chooses another number.
const CALLS: u64 = 1_000_000;
/// More calls of one name than `explain` reads.
const ALIKE: u32 = 70;
/// The most milliseconds that a question may take.
const MOST_TIME: f64 = 100.0;
/// The most seconds that a garbage collection with nothing to remove may take.
const MOST_UPKEEP: f64 = 30.0;
/// The most memory of either, in MiB.
const MOST_MEMORY: f64 = 64.0;
/// The most bytes of the catalogue for a call.
const MOST_BYTES: f64 = 1000.0;

/// Fills a store, has its catalogue built, and asks.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let calls = bench.options.calls.unwrap_or(if bench.is_quick() { CALLS / 50 } else { CALLS });
    let cache = match &bench.options.store {
        Some(home) => bench.world.cache_at(&fs::canonicalize(home)?),
        None => bench.world.cache("many"),
    };
    if !cache.folder.exists() {
        seed::fill(&cache.folder, calls)?;
    }
    for build in &bench.builds {
        first(report, build, &cache)?;
        // What `explain` compares with: calls of the same name that were really made.
        for number in 0..ALIKE {
            cache.succeed(&contender(build, &cache, &["run", "--pure", "--", "echo", &number.to_string()]).words)?;
        }
        ask(bench, report, build, &cache)?;
    }
    size(report, &cache, calls)
}

/// The first question reads all calls into the catalogue; once.
fn first(report: &mut Report, build: &Build, cache: &Cache) -> Result<(), Box<dyn Error>> {
    if cache.folder.join("index.sqlite").exists() {
        return Ok(());
    }
    let began = Instant::now();
    cache.succeed(&contender(build, cache, &["query", "--count"]).words)?;
    report.add(Row {
        case: "first question, which reads every call".to_owned(),
        program: build.label.clone(),
        measured: seconds(began.elapsed().as_secs_f64()),
        ..Row::default()
    });
    Ok(())
}

fn ask(bench: &Bench, report: &mut Report, build: &Build, cache: &Cache) -> Result<(), Box<dyn Error>> {
    let keys = fs::read_dir(cache.folder.join("calls/77"))?.next().ok_or("the store is empty")??;
    let key = format!("77{}", keys.file_name().to_string_lossy());
    let questions: [&[&str]; 6] = [
        &["table", "--limit", "50", "--sort", "walltime"],
        &["query", "--tag", "project=alpha"],
        &["expand", &key[..12]],
        &["shrink", &key],
        &["show", &key[..12]],
        &["explain", "--pure", "--", "echo", "other"],
    ];
    let mut contenders: Vec<Contender> = questions.iter().map(|words| contender(build, cache, words)).collect();
    let samples = race(&mut contenders, bench.rounds(18))?;
    for (words, samples) in questions.iter().zip(&samples) {
        let name =
            words.iter().take(5).copied().collect::<Vec<_>>().join(" ").replace(&key, "KEY").replace(&key[..12], "KEY");
        rows(report, &name, build, samples, MOST_TIME / 1000.0);
    }
    let gc = race(&mut [contender(build, cache, &["gc"])], 1)?;
    rows(report, "gc with nothing to remove", build, &gc[0], MOST_UPKEEP);
    Ok(())
}

fn rows(report: &mut Report, name: &str, build: &Build, samples: &Samples, most: f64) {
    report.add(Row {
        case: name.to_owned(),
        program: build.label.clone(),
        measured: seconds(samples.median()),
        limit: Some(Limit::AtMost(most)),
        value: Some(samples.median()),
        ..Row::default()
    });
    report.add(Row {
        case: format!("{name}: peak memory in MiB"),
        program: build.label.clone(),
        measured: mebibytes(samples.peak),
        limit: Some(Limit::AtMost(MOST_MEMORY)),
        value: Some(samples.peak as f64 / f64::from(1 << 20)),
        ..Row::default()
    });
}

fn size(report: &mut Report, cache: &Cache, calls: u64) -> Result<(), Box<dyn Error>> {
    let bytes = |name: &str| fs::metadata(cache.folder.join(name)).map_or(0, |metadata| metadata.len());
    let each = bytes("index.sqlite") as f64 / calls as f64;
    report.add(Row {
        case: "bytes of the catalogue for a call".to_owned(),
        measured: format!("{each:.0}"),
        limit: Some(Limit::AtMost(MOST_BYTES)),
        value: Some(each),
        ..Row::default()
    });
    Ok(())
}

fn contender<'a>(build: &Build, cache: &'a Cache, words: &[&str]) -> Contender<'a> {
    let words: Vec<OsString> =
        [build.path.as_os_str().to_owned()].into_iter().chain(words.iter().map(OsString::from)).collect();
    let environment = &cache.environment;
    // What is asked of `explain` is a miss, so that its answer is no.
    let exit = i32::from(words.get(1).is_some_and(|word: &OsString| word == "explain"));
    Contender {
        name: "question".to_owned(),
        words,
        environment,
        stdout: Stdout::Null,
        length: 0,
        exit,
        before: Box::new(|| Ok(())),
    }
}
