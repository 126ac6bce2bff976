//! Short commands: hits and misses against starting `/bin/true`, and against bkt.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::process::FRESH;
use super::race::{Contender, Samples, Stdout, race};
use super::report::{Limit, Report, Row, seconds};
use super::world::{Build, Cache, Declared, Libc, fleche};
use super::{Bench, Group};

/// Starting this is the measure of all.
pub const TRUE: &str = "/bin/true";
const ECHO: &str = "/bin/echo";
/// With one argument, true(1) loads its locale before it looks whether that is `--help`; with two it does not.
const MISS: [&str; 3] = [TRUE, FRESH, "x"];

/// What is left of a lane when the race is over.
struct Spec {
    case: String,
    program: String,
    limit: Option<Limit>,
}

/// A lane of the race, and the row that it becomes.
struct Lane<'a> {
    case: String,
    program: String,
    limit: Option<Limit>,
    contender: Contender<'a>,
}

/// The caches of this part.
struct Caches {
    few: Cache,
    many: Option<Cache>,
    misses: Cache,
}

/// Measures the groups `hit` and `miss`: one race of fleche alone, one with bkt, whose processes leave others behind
/// that go on tidying up.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let text = "x".repeat(99);
    let echo = [ECHO, text.as_str()];
    let caches = Caches {
        few: bench.world.cache("few"),
        many: if bench.does(Group::Hit) { Some(filled(bench)?) } else { None },
        misses: bench.world.cache("misses"),
    };
    alone(bench, report, &caches, &echo)?;
    match &bench.bkt {
        Some(bkt) => beside(bench, report, &caches, &echo, bkt),
        None => {
            report.skip("hits and misses of bkt", "bkt is not on PATH");
            Ok(())
        }
    }
}

fn alone(bench: &Bench, report: &mut Report, caches: &Caches, echo: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut lanes = vec![bare(caches)];
    for build in &bench.builds {
        if bench.does(Group::Hit) {
            hits(&mut lanes, bench, build, caches, echo)?;
        }
        if bench.does(Group::Miss) {
            lanes.push(miss(build, caches)?);
        }
    }
    let (lanes, samples) = run(lanes, bench.rounds(1000))?;
    let reference = &samples[0];
    for (lane, own) in lanes.iter().zip(&samples) {
        report.add(lane.against(own, "/bin/true", reference, lane.limit));
    }
    for declared in [Declared::Pure, Declared::Input] {
        for build in &bench.builds {
            let find = |case: String| lanes.iter().position(|lane| lane.case == case && lane.program == build.label);
            if let (Some(many), Some(few)) = (find(many_calls(bench, declared)), find(few_calls(declared))) {
                let limit = Some(Limit::AtMost(1.1));
                report.add(lanes[many].against(&samples[many], &lanes[few].case, &samples[few], limit));
            }
        }
    }
    Ok(())
}

fn beside(
    bench: &Bench,
    report: &mut Report,
    caches: &Caches,
    echo: &[&str],
    bkt: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut lanes = vec![bare(caches)];
    // Of hits and of misses: where bkt's lane is, how many of fleche's follow, and what these may take.
    let mut parts = Vec::new();
    if bench.does(Group::Hit) {
        let words = words_of_bkt(bench, bkt, echo);
        caches.few.succeed(&words)?;
        parts.push((lanes.len(), 0.33));
        lanes.push(Lane::new("hit beside bkt", "bkt", words, &caches.few, None));
        for build in &bench.builds {
            let words = fleche(build, Declared::Input, echo);
            lanes.push(Lane::new("hit beside bkt", &build.label, words, &caches.few, None));
        }
    }
    if bench.does(Group::Miss) {
        let words = words_of_bkt(bench, bkt, &MISS);
        parts.push((lanes.len(), 0.5));
        lanes.push(Lane::new("miss beside bkt", "bkt", words, &caches.misses, None));
        for build in &bench.builds {
            lanes.push(Lane { case: "miss beside bkt".to_owned(), ..miss(build, caches)? });
        }
    }
    let (lanes, samples) = run(lanes, bench.rounds(300))?;
    for (theirs, most) in parts {
        report.add(lanes[theirs].against(&samples[theirs], "/bin/true", &samples[0], None));
        for own in theirs + 1..=theirs + bench.builds.len() {
            report.add(lanes[own].against(&samples[own], "bkt", &samples[theirs], Some(Limit::AtMost(most))));
        }
    }
    Ok(())
}

/// Runs the race; the lanes come back without their contenders.
fn run(lanes: Vec<Lane>, rounds: usize) -> Result<(Vec<Spec>, Vec<Samples>), Box<dyn Error>> {
    let (specs, mut contenders): (Vec<_>, Vec<_>) = lanes
        .into_iter()
        .map(|lane| (Spec { case: lane.case, program: lane.program, limit: lane.limit }, lane.contender))
        .unzip();
    let samples = race(&mut contenders, rounds)?;
    Ok((specs, samples))
}

impl Spec {
    fn against(&self, own: &Samples, name: &str, other: &Samples, limit: Option<Limit>) -> Row {
        Row {
            case: self.case.clone(),
            program: self.program.clone(),
            measured: seconds(own.median()),
            against: name.to_owned(),
            ratio: Some(own.ratio(other)),
            limit,
            value: None,
        }
    }
}

fn bare(caches: &Caches) -> Lane<'_> {
    Lane::new("/bin/true", "", vec![TRUE.into()], &caches.few, None)
}

fn miss<'a>(build: &Build, caches: &'a Caches) -> Result<Lane<'a>, Box<dyn Error>> {
    caches.misses.check_miss(build, Declared::Input, &MISS)?;
    let words = fleche(build, Declared::Input, &MISS);
    Ok(Lane::new("miss of /bin/true, -i FILE", &build.label, words, &caches.misses, Some(Limit::AtMost(1.8))))
}

/// A store with many calls in it.
fn filled(bench: &Bench) -> Result<Cache, Box<dyn Error>> {
    let cache = bench.world.cache("many");
    let count = bench.calls();
    eprintln!("storing {count} calls ...");
    // In a process of its own, so that this one stays small, see `world.rs`.
    let status = Command::new(std::env::current_exe()?)
        .arg("--seed")
        .arg(&cache.folder)
        .arg("--calls")
        .arg(count.to_string())
        .status()?;
    if status.success() { Ok(cache) } else { Err(format!("cannot store {count} calls: {status}").into()) }
}

fn hits<'a>(
    lanes: &mut Vec<Lane<'a>>,
    bench: &Bench,
    build: &Build,
    caches: &'a Caches,
    echo: &[&str],
) -> Result<(), Box<dyn Error>> {
    let limit = Some(Limit::AtMost(if build.libc == Libc::Musl { 0.6 } else { 1.1 }));
    for declared in [Declared::Pure, Declared::Input] {
        caches.few.record(build, declared, echo)?;
        let words = fleche(build, declared, echo);
        lanes.push(Lane::new(&few_calls(declared), &build.label, words.clone(), &caches.few, limit));
        if let Some(cache) = &caches.many {
            cache.record(build, declared, echo)?;
            lanes.push(Lane::new(&many_calls(bench, declared), &build.label, words, cache, limit));
        }
    }
    for (case, stdout) in
        [("hit into a file", Stdout::File(bench.world.path("stdout"))), ("hit into a pipe", Stdout::Pipe)]
    {
        let mut into = Lane::new(case, &build.label, fleche(build, Declared::Input, echo), &caches.few, limit);
        into.contender.stdout = stdout;
        lanes.push(into);
    }
    Ok(())
}

fn few_calls(declared: Declared) -> String {
    format!("hit, {}", declared.name())
}

fn many_calls(bench: &Bench, declared: Declared) -> String {
    format!("hit, {}, {} calls stored", declared.name(), bench.calls())
}

fn words_of_bkt(bench: &Bench, bkt: &Path, command: &[&str]) -> Vec<OsString> {
    let cache = bench.world.path("bkt");
    let mut words = vec![bkt.into(), "--ttl".into(), "1h".into(), "--cache-dir".into(), cache.into(), "--".into()];
    words.extend(command.iter().map(OsString::from));
    words
}

impl Lane<'_> {
    fn new<'a>(case: &str, program: &str, words: Vec<OsString>, cache: &'a Cache, limit: Option<Limit>) -> Lane<'a> {
        Lane {
            case: case.to_owned(),
            program: program.to_owned(),
            limit,
            contender: Contender {
                exit: 0,
                name: format!("{case} ({program})"),
                words,
                environment: &cache.environment,
                stdout: Stdout::Null,
                length: 100,
                before: Box::new(|| Ok(())),
            },
        }
    }
}
