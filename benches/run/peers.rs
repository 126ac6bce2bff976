//! Hits of other caches, each where it is at home, beside hits of fleche: a compiler's of ccache and sccache, a task's of
//! turbo, a function's of joblib.

use std::cell::Cell;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::large::remove;
use super::race::{Contender, Stdout, race};
use super::report::{Limit, Report, Row};
use super::watch::source;
use super::world::{Build, Cache, SETTLED};
use super::{Bench, Group, on_path};

/// Functions in the file that is compiled: a compiler takes some tenths of a second.
const FUNCTIONS: usize = 40;
/// Bytes of a SHA-256 digest and a newline, as Python prints them.
const DIGEST_LINE: u64 = 65;

/// Measures the group `peers`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !bench.does(Group::Peers) {
        return Ok(());
    }
    compiler(bench, report)?;
    task(bench, report)?;
    function(bench, report)
}

/// One way to a result.
struct Way {
    name: String,
    words: Vec<OsString>,
    cache: Cache,
    is_fleche: bool,
}

/// What all ways lead to.
struct Case<'a> {
    name: &'a str,
    /// The file or folder that is made, and removed before each run; empty where there is none.
    made: &'a str,
    /// Bytes of standard output; what is said where nothing is counted goes nowhere.
    length: u64,
}

impl Way {
    /// One that is told of nothing but its own cache.
    fn new(bench: &Bench, name: &str, words: Vec<OsString>) -> Way {
        let mut cache = bench.world.cache(&format!("peers-{name}"));
        // Compilers and interpreters are where the user has them.
        let mut path = OsString::from("PATH=");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        cache.environment.retain(|entry| !entry.as_encoded_bytes().starts_with(b"PATH="));
        cache.environment.push(path);
        Way { name: name.to_owned(), words, cache, is_fleche: false }
    }

    fn with(mut self, variables: &[&str]) -> Way {
        self.cache.environment.extend(variables.iter().map(OsString::from));
        self
    }

    /// `build`, which is told what `flags` say of the command and has recorded it where nothing was `made` yet.
    fn recorded(
        bench: &Bench,
        build: &Build,
        flags: &[&str],
        command: &[&str],
        made: &str,
    ) -> Result<Way, Box<dyn Error>> {
        let how = if flags.is_empty() { "watched" } else { "declared" };
        let words = [&[build.path.to_str().ok_or("a path that is no text")?, "run"], flags, &["--"], command].concat();
        let way = Way::new(bench, &format!("{}, {how}", build.label), words_of(&words));
        way.cache.record_words_after(&way.words, || if made.is_empty() { Ok(()) } else { remove(made) })?;
        Ok(Way { is_fleche: true, ..way })
    }
}

/// Races hits: the first way is the command itself, then come peers and builds of fleche.
fn hits(bench: &Bench, report: &mut Report, case: &Case, ways: &[Way]) -> Result<(), Box<dyn Error>> {
    std::thread::sleep(SETTLED);
    let is_begun = Cell::new(false);
    let clean = || {
        if case.made.is_empty() {
            return Ok(());
        }
        if is_begun.replace(true) && !Path::new(case.made).exists() {
            return Err(io::Error::other(format!("the run before has not made `{}`", case.made)));
        }
        remove(case.made)
    };
    let stdout = if case.length > 0 { Stdout::Pipe } else { Stdout::Null };
    let contenders = ways.iter().map(|Way { name, words, cache, .. }| {
        let silent = Contender::silent(name, words.clone(), cache);
        Contender { stdout: stdout.clone(), length: case.length, before: Box::new(&clean), ..silent }
    });
    let samples = race(&mut contenders.collect::<Vec<_>>(), bench.rounds(60))?;
    report.add(Row::of(case.name, &ways[0].name, &samples[0]));
    let all = || ways.iter().zip(&samples).skip(1);
    let hit = format!("hit of {}", case.name);
    for (way, own) in all() {
        report.add(Row::of(&hit, &way.name, own).beside(own, &samples[0], &ways[0].name, None));
    }
    for (way, own) in all().filter(|(way, _)| way.is_fleche) {
        for (peer, its) in all().filter(|(way, _)| !way.is_fleche) {
            report.add(Row::of(&hit, &way.name, own).beside(own, its, &peer.name, Some(Limit::AtMost(1.0))));
        }
    }
    Ok(())
}

/// A compiler.
fn compiler(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let case = Case { name: "gcc -O2 -c", made: "unit.o", length: 0 };
    let Some(gcc) = on_path("gcc") else {
        report.skip(case.name, "gcc is not on PATH");
        return Ok(());
    };
    fs::write("unit.c", source("unit", FUNCTIONS))?;
    let command = [gcc.to_str().ok_or("a path that is no text")?, "-O2", "-c", "unit.c", "-o", "unit.o"];
    let mut ways = vec![Way::new(bench, "gcc", words_of(&command))];
    if let Some(ccache) = peer(report, "ccache") {
        let way = Way::new(bench, "ccache", before(&ccache, &command));
        let asked = [ccache.into_os_string(), "--print-stats".into()];
        filled(&way, &asked)?;
        ways.push(way);
    }
    // Stopped when all is done.
    let mut server = None;
    if let Some(sccache) = peer(report, "sccache") {
        let port = format!("SCCACHE_SERVER_PORT={}", TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let way = Way::new(bench, "sccache", before(&sccache, &command)).with(&[&port, "SCCACHE_IDLE_TIMEOUT=600"]);
        let [start, stop, asked] =
            ["--start-server", "--stop-server", "--show-stats"].map(|word| [sccache.clone().into(), word.into()]);
        way.cache.succeed(&start)?;
        server = Some(Server { stop, way: Way::new(bench, "sccache", Vec::new()).with(&[&port]) });
        filled(&way, &asked)?;
        ways.push(way);
    }
    for build in &bench.builds {
        ways.push(Way::recorded(bench, build, &[], &command, case.made)?);
        ways.push(Way::recorded(bench, build, &["-i", "unit.c", "-o", "unit.o"], &command, case.made)?);
    }
    let done = hits(bench, report, &case, &ways);
    drop(server);
    done
}

/// A server that a peer started.
struct Server {
    stop: [OsString; 2],
    way: Way,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It stops by itself as well, later.
        let _ = self.way.cache.succeed(&self.stop);
    }
}

/// Has a compiler's cache store what it compiles, and makes sure that from now on it is a hit: one more is counted by what is
/// `asked`.
fn filled(way: &Way, asked: &[OsString]) -> Result<(), Box<dyn Error>> {
    let count = || -> Result<u64, Box<dyn Error>> {
        let told = way.cache.output(asked)?;
        let numbers = told.lines().filter(|line| line.contains("hit")).flat_map(str::split_whitespace);
        Ok(numbers.filter_map(|word| word.parse::<u64>().ok()).sum())
    };
    way.cache.succeed(&way.words)?;
    let before = count()?;
    way.cache.succeed(&way.words)?;
    if count()? > before { Ok(()) } else { Err(format!("{}: no hit is counted", way.name).into()) }
}

/// A task of a package, which turbo knows by what is in its folder.
fn task(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let case = Case { name: "a task that copies a file", made: "packages/one/dist", length: 0 };
    let script = "mkdir -p dist && cp src/main.txt dist/main.txt";
    fs::create_dir_all("packages/one/src")?;
    for (path, text) in [
        ("package.json", r#"{"name":"all","private":true,"packageManager":"npm@11.0.0","workspaces":["packages/*"]}"#),
        ("package-lock.json", r#"{"name":"all","lockfileVersion":3,"packages":{}}"#),
        ("turbo.json", r#"{"tasks":{"build":{"outputs":["dist/**"]}}}"#),
        (
            "packages/one/package.json",
            &format!(r#"{{"name":"one","version":"1.0.0","scripts":{{"build":"{script}"}}}}"#),
        ),
        ("packages/one/src/main.txt", "a source\n"),
    ] {
        fs::write(path, text)?;
    }
    let command = ["/bin/sh", "-c", &format!("cd packages/one && {script}")];
    let mut ways = vec![Way::new(bench, "sh", words_of(&command))];
    if let Some(turbo) = peer(report, "turbo") {
        // It warns of each start that is not from the project's own folder of packages.
        if let Some(packages) = fs::canonicalize(&turbo)?.ancestors().find(|folder| folder.ends_with("node_modules")) {
            symlink(packages, "node_modules")?;
        }
        let words = ["/bin/sh", "-c", "exec turbo run build 2>&1"];
        let way = Way::new(bench, "turbo", words_of(&words)).with(&["TURBO_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1"]);
        // It writes beside the package as it begins, and then knows that this is no source.
        (0..3).try_for_each(|_| way.cache.succeed(&way.words).map(drop))?;
        let told = way.cache.output(&way.words)?;
        if !told.contains("1 cached, 1 total") {
            return Err(format!("turbo: no hit: {told}").into());
        }
        ways.push(way);
    }
    for build in &bench.builds {
        ways.push(Way::recorded(bench, build, &[], &command, case.made)?);
        let flags = ["-i", "packages/one/src", "-o", "packages/one/dist"];
        ways.push(Way::recorded(bench, build, &flags, &command, case.made)?);
    }
    hits(bench, report, &case, &ways)
}

/// A function of Python, which joblib knows by its code and its arguments.
fn function(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let case = Case { name: "a Python function", made: "", length: DIGEST_LINE };
    let Some(python) = on_path("python3") else {
        report.skip(case.name, "python3 is not on PATH");
        return Ok(());
    };
    let python = python.to_str().ok_or("a path that is no text")?;
    let bare = "import hashlib, sys\n\n\ndef work(text):\n    open('ran', 'a').write('.')\n    digest = text.encode()\n    \
                for _ in range(300000):\n        digest = hashlib.sha256(digest).digest()\n    return digest.hex()\n\n\n";
    fs::write("bare.py", format!("{bare}print(work(sys.argv[1]))\n"))?;
    let cached = "import joblib\n\nprint(joblib.Memory(sys.argv[2], verbose=0).cache(work)(sys.argv[1]))\n";
    fs::write("cached.py", format!("{bare}{cached}"))?;
    let command = [python, "bare.py", "text"];
    let mut ways = vec![Way::new(bench, "python3", words_of(&command))];
    let way = Way::new(bench, "joblib", words_of(&[python, "cached.py", "text", "memory"]));
    if way.cache.succeed(&words_of(&[python, "-c", "import joblib"])).is_ok() {
        way.cache.succeed(&way.words)?;
        let ran = fs::metadata("ran")?.len();
        way.cache.succeed(&way.words)?;
        if fs::metadata("ran")?.len() > ran {
            return Err("joblib: no hit".into());
        }
        ways.push(way);
    } else {
        report.skip("joblib", "python3 cannot import joblib");
    }
    for build in &bench.builds {
        ways.push(Way::recorded(bench, build, &["-i", "bare.py"], &command, case.made)?);
    }
    hits(bench, report, &case, &ways)
}

/// A peer where a shell would find it, else a row that says that there is none.
fn peer(report: &mut Report, name: &str) -> Option<PathBuf> {
    let found = on_path(name);
    if found.is_none() {
        report.skip(name, format!("{name} is not on PATH"));
    }
    found
}

fn before(program: &Path, command: &[&str]) -> Vec<OsString> {
    [program.as_os_str().to_owned()].into_iter().chain(words_of(command)).collect()
}

fn words_of(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
