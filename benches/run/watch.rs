//! Watched commands: what watching adds to a compiler and to a whole build, and what a hit costs that looks at four
//! hundred paths. `strace` with its own filter does the same stops, for comparison.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::race::{Contender, Quartiles, Samples, Stdout, race};
use super::report::{Limit, Report, Row, seconds};
use super::small::TRUE;
use super::world::{Build, Cache, Declared, fleche};
use super::{Bench, Group, on_path};

/// Files that the hit looks at, beside the shell, `cat` and their libraries.
const FILES: usize = 400;
/// Source files of the library.
const SOURCES: usize = 60;
/// Functions in the file that takes a compiler about half a second.
const FUNCTIONS: usize = 80;

/// Measures the group `watch`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !bench.does(Group::Watch) {
        return Ok(());
    }
    hit(bench, report)?;
    for program in ["gcc", "make"] {
        if on_path(program).is_none() {
            report.skip("watched compilers", format!("{program} is not on PATH"));
            return Ok(());
        }
    }
    compile(bench, report)?;
    library(bench, report)
}

/// A command that reads many files, replayed.
fn hit(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all("files")?;
    for number in 0..FILES {
        fs::write(format!("files/{number}"), "x\n")?;
    }
    // Until their stamps prove something.
    std::thread::sleep(Duration::from_secs(3));
    let command = ["/bin/sh", "-c", "cat files/*"];
    let caches: Vec<Cache> =
        bench.builds.iter().enumerate().map(|(number, _)| bench.world.cache(&format!("watch-{number}"))).collect();
    let plain = bench.world.cache("watch-plain");
    let mut contenders = vec![contender("true", words(&[TRUE]), &plain, 0, None)];
    for (build, cache) in bench.builds.iter().zip(&caches) {
        cache.record(build, Declared::Nothing, &command)?;
        let words = fleche(build, Declared::Nothing, &command);
        contenders.push(contender(&build.label, words, cache, 2 * FILES as u64, None));
    }
    let samples = race(&mut contenders, bench.rounds(300))?;
    let (start, own) = samples.split_first().ok_or("nobody ran")?;
    for (build, own) in bench.builds.iter().zip(own) {
        let case = format!("watched hit that looks at {FILES} files");
        report.add(row(&case, &build.label, own.median(), own.ratio(start), TRUE, Some(Limit::AtMost(2.5))));
    }
    Ok(())
}

/// One compiler that takes about half a second.
fn compile(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    fs::write("big.c", source("big", FUNCTIONS))?;
    let command = ["gcc", "-O2", "-c", "big.c", "-o", "big.o"];
    let lanes = lanes(bench, &command)?;
    let clean = || remove("big.o");
    let samples = run(&lanes, bench.rounds(30), &clean)?;
    let (bare, others) = samples.split_first().ok_or("nobody ran")?;
    for (lane, own) in lanes.iter().skip(1).zip(others) {
        let limit = lane.is_fleche.then_some(Limit::AtMost(1.10));
        report.add(row("gcc -O2 -c, watched and stored", &lane.name, own.median(), own.ratio(bare), "gcc", limit));
    }
    Ok(())
}

/// A build of many small files by two compilers at a time, by the processor time that it takes.
fn library(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all("lib")?;
    let objects: Vec<String> = (0..SOURCES).map(|number| format!("m{number}.o")).collect();
    for number in 0..SOURCES {
        fs::write(format!("lib/m{number}.c"), source(&format!("m{number}"), 12))?;
    }
    let makefile = format!("lib.a: {}\n\tar rcs $@ $^\n%.o: %.c\n\tgcc -O2 -c $< -o $@\n", objects.join(" "));
    fs::write("lib/Makefile", makefile)?;
    let lanes = lanes(bench, &["make", "-s", "-j2", "-C", "lib"])?;
    let clean = || {
        let made = objects.iter().map(String::as_str).chain(["lib.a"]);
        made.into_iter().try_for_each(|name| remove(&format!("lib/{name}")))
    };
    let samples = run(&lanes, bench.rounds(12), &clean)?;
    let (bare, others) = samples.split_first().ok_or("nobody ran")?;
    for (lane, own) in lanes.iter().skip(1).zip(others) {
        let limit = lane.is_fleche.then_some(Limit::AtMost(1.20));
        let time = Quartiles::of(own.processor.iter().map(Duration::as_secs_f64)).median;
        let case = format!("make -j2 of {SOURCES} files, watched and stored, processor time");
        report.add(row(&case, &lane.name, time, own.processor_ratio(bare), "make", limit));
        let case = format!("make -j2 of {SOURCES} files, watched and stored");
        report.add(row(&case, &lane.name, own.median(), own.ratio(bare), "make", None));
    }
    Ok(())
}

/// One way to run a command.
struct Lane {
    name: String,
    words: Vec<OsString>,
    cache: Cache,
    is_fleche: bool,
}

/// The command bare, by each build of fleche, and by strace if there is one.
fn lanes(bench: &Bench, command: &[&str]) -> Result<Vec<Lane>, Box<dyn Error>> {
    let lane = |name: &str, words: Vec<OsString>| Lane {
        name: name.to_owned(),
        words,
        cache: bench.world.cache(&format!("watch-{name}")),
        is_fleche: false,
    };
    let found = |program: &str| on_path(program).ok_or_else(|| format!("{program} is not on PATH"));
    let mut bare = words(command);
    bare[0] = found(command[0])?.into_os_string();
    let mut lanes = vec![lane("bare", bare.clone())];
    for build in &bench.builds {
        let mut words = refreshed(build);
        words.extend(bare.iter().cloned());
        lanes.push(Lane { is_fleche: true, ..lane(&build.label, words) });
    }
    if let Some(strace) = on_path("strace") {
        let mut traced = vec![strace.into_os_string()];
        traced.extend(words(&["--seccomp-bpf", "-f", "-qq", "-e", "trace=%file", "-o", "/dev/null"]));
        traced.extend(bare);
        lanes.push(lane("strace", traced));
    }
    Ok(lanes)
}

/// The words that run a command, watch it and store what it did, whatever is stored.
fn refreshed(build: &Build) -> Vec<OsString> {
    let flags = ["run", "--mode", "refresh", "--"].map(OsString::from);
    [build.path.clone().into_os_string()].into_iter().chain(flags).collect()
}

fn run(lanes: &[Lane], rounds: usize, clean: &dyn Fn() -> io::Result<()>) -> Result<Vec<Samples>, Box<dyn Error>> {
    let mut contenders: Vec<Contender> =
        lanes.iter().map(|lane| contender(&lane.name, lane.words.clone(), &lane.cache, 0, Some(clean))).collect();
    race(&mut contenders, rounds)
}

fn contender<'a>(
    name: &str,
    words: Vec<OsString>,
    cache: &'a Cache,
    length: u64,
    clean: Option<&'a dyn Fn() -> io::Result<()>>,
) -> Contender<'a> {
    let before = move || clean.map_or(Ok(()), |clean| clean());
    Contender {
        name: name.to_owned(),
        words,
        environment: &cache.environment,
        stdout: Stdout::Pipe,
        length,
        exit: 0,
        before: Box::new(before),
    }
}

fn row(case: &str, program: &str, time: f64, ratio: Quartiles, against: &str, limit: Option<Limit>) -> Row {
    Row {
        case: case.to_owned(),
        program: program.to_owned(),
        measured: seconds(time),
        against: against.to_owned(),
        ratio: Some(ratio),
        limit,
        ..Row::default()
    }
}

fn words(command: &[&str]) -> Vec<OsString> {
    command.iter().map(OsString::from).collect()
}

fn remove(name: &str) -> io::Result<()> {
    match fs::remove_file(Path::new(name)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// C that keeps a compiler busy, with the headers that most programs include.
pub fn source(name: &str, functions: usize) -> String {
    let headers = ["stdio", "stdlib", "string", "math", "errno", "unistd", "signal", "sys/stat", "sys/types", "time"];
    let mut text = String::new();
    for header in headers {
        let _ = writeln!(text, "#include <{header}.h>");
    }
    for number in 0..functions {
        let _ = writeln!(
            text,
            "double {name}_{number}(double *a, int n) {{\n  double s = {number};\n  for (int i = 0; i < n; i++)\n    \
             for (int j = i; j < n; j++) s += a[i] * a[j] / (1 + i + {number}) - (a[i] > a[j] ? s : -s / 3);\n  \
             if (s > n) printf(\"%f\\n\", s);\n  return s;\n}}"
        );
    }
    text
}
