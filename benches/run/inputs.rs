//! Many and large inputs: what it costs to see that nothing changed, that one file did, and to read all of them for the first
//! time; against a loop of lstat(2), `git status`, `b3sum` and `cat`.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use super::large::remove;
use super::race::{Contender, race};
use super::report::{Limit, Report, Row, mebibytes};
use super::small::TRUE;
use super::world::{Build, Cache, SETTLED};
use super::{Bench, Group, on_path};

/// The word that makes this program the loop of lstat(2) over the paths in a file, one a line.
pub const STAT_LOOP: &str = "stat-loop";
/// Files in a folder.
const IN_FOLDER: usize = 100;
/// Bytes of a file.
const LENGTH: usize = 3000;
/// The file that changes.
const CHANGING: &str = "tree/0/0";
const GIGABYTE: u64 = 1 << 30;

/// Looks at each path of a list, as simple a program as can be; says how many there were.
pub fn stat_loop(list: &Path) -> io::Result<usize> {
    let paths = fs::read_to_string(list)?;
    let mut count = 0;
    for path in paths.lines() {
        rustix::fs::lstat(path)?;
        count += 1;
    }
    Ok(count)
}

/// Measures the groups `inputs` and `large`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if bench.does(Group::Inputs) {
        let sizes: &[usize] = if bench.is_quick() { &[1000, 10_000] } else { &[1000, 10_000, 100_000] };
        for size in sizes {
            many(bench, report, *size)?;
        }
    }
    if bench.does(Group::Large) {
        large(bench, report)?;
    }
    Ok(())
}

/// A tree of `size` files, in the working directory.
fn many(bench: &Bench, report: &mut Report, size: usize) -> Result<(), Box<dyn Error>> {
    let mut list = String::new();
    for number in 0..size {
        let folder = format!("tree/{}", number / IN_FOLDER);
        if number % IN_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
            let _ = writeln!(list, "{folder}");
        }
        let path = format!("{folder}/{number}");
        fs::write(&path, format!("{number:08}\n").repeat(LENGTH / 9))?;
        let _ = writeln!(list, "{path}");
    }
    fs::write("list", list)?;
    let git = repository(bench)?;
    // What is not written yet cannot be taken out of memory.
    rustix::fs::sync();
    std::thread::sleep(SETTLED);
    let caches: Vec<Cache> =
        bench.builds.iter().enumerate().map(|(number, _)| bench.world.cache(&format!("inputs-{number}"))).collect();
    warm(bench, report, size, git.as_deref(), &caches)?;
    cold(bench, report, size, &caches)?;
    for path in ["tree", "git"] {
        remove(Path::new(path))?;
    }
    Ok(())
}

/// The tree as git has it, if there is git: the words that ask for its status.
fn repository(bench: &Bench) -> Result<Option<Vec<OsString>>, Box<dyn Error>> {
    let Some(git) = on_path("git") else { return Ok(None) };
    let words = |words: &[&str]| {
        let place = ["--git-dir=git", "--work-tree=tree", "-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        let all = place.iter().chain(words).map(OsString::from);
        [git.clone().into_os_string()].into_iter().chain(all).collect::<Vec<_>>()
    };
    let cache = bench.world.cache("git");
    for step in [&["init", "-q"][..], &["add", "."], &["commit", "-q", "-m", "tree"]] {
        cache.succeed(&words(step))?;
    }
    Ok(Some(words(&["status", "--short"])))
}

/// Nothing changed, and one file did.
fn warm(
    bench: &Bench,
    report: &mut Report,
    size: usize,
    git: Option<&[OsString]>,
    caches: &[Cache],
) -> Result<(), Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let plain = bench.world.cache("inputs-plain");
    // Another in turn; each of them was recorded.
    let contents = [b"one\n", b"two\n"];
    let turns = std::cell::Cell::new(0);
    let change = || {
        turns.set(turns.get() + 1);
        fs::write(CHANGING, contents[turns.get() % contents.len()])
    };
    for (build, cache) in bench.builds.iter().zip(caches) {
        for _ in contents {
            change()?;
            cache.record_words(&run(build, &["tree"]))?;
        }
    }
    std::thread::sleep(SETTLED);
    let loops = vec![own.into_os_string(), STAT_LOOP.into(), "list".into()];
    let mut contenders = vec![Contender::silent("lstat(2) in a loop", loops, &plain)];
    for (build, cache) in bench.builds.iter().zip(caches) {
        contenders.push(Contender::silent(&build.label, run(build, &["tree"]), cache));
    }
    if let Some(git) = git {
        // It writes its index anew, so that nothing is young in it.
        plain.succeed(git)?;
        contenders.push(Contender::silent("git status", git.to_vec(), &plain));
    }
    let rounds = bench.rounds((2_000_000 / size).clamp(20, 300));
    let samples = race(&mut contenders, rounds)?;
    let case = format!("hit that looks at {size} files");
    let floor = &samples[0];
    report.add(Row::of(&case, "lstat(2) in a loop", floor));
    let builds = 1..=bench.builds.len();
    for (build, own) in bench.builds.iter().zip(&samples[builds.clone()]) {
        let limit = (size >= 100_000).then_some(Limit::AtMost(0.6));
        report.add(Row::of(&case, &build.label, own).beside(own, floor, "lstat(2) in a loop", limit));
    }
    if let Some(git) = samples.get(bench.builds.len() + 1) {
        report.add(Row::of(&case, "git status", git));
        for (build, own) in bench.builds.iter().zip(&samples[builds]) {
            report.add(Row::of(&case, &build.label, own).beside(own, git, "git status", Some(Limit::AtMost(0.5))));
        }
    } else {
        report.skip(&case, "git is not on PATH");
    }
    changed(bench, report, size, caches, &change)
}

/// One file is another in each round.
fn changed(
    bench: &Bench,
    report: &mut Report,
    size: usize,
    caches: &[Cache],
    change: &dyn Fn() -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let mut contenders = Vec::new();
    for (build, cache) in bench.builds.iter().zip(caches) {
        let words = run(build, &["tree"]);
        contenders.push(Contender::silent(&build.label, words.clone(), cache));
        contenders.push(Contender { before: Box::new(change), ..Contender::silent(&build.label, words, cache) });
    }
    let samples = race(&mut contenders, bench.rounds((2_000_000 / size).clamp(20, 300)))?;
    for (build, pair) in bench.builds.iter().zip(samples.chunks(2)) {
        let case = format!("one of {size} files changed");
        report.add(Row::of(&case, &build.label, &pair[1]).beside(&pair[1], &pair[0], "none", Some(Limit::AtMost(1.3))));
    }
    Ok(())
}

/// Nothing is known yet, be the files in memory or not; or all is, by the `known` caches.
fn cold(bench: &Bench, report: &mut Report, size: usize, known: &[Cache]) -> Result<(), Box<dyn Error>> {
    let case = format!("first look at {size} files, stored");
    let Some(b3sum) = on_path("b3sum") else {
        report.skip(case, "b3sum is not on PATH");
        return Ok(());
    };
    let plain = bench.world.cache("cold-plain");
    let caches: Vec<Cache> =
        bench.builds.iter().enumerate().map(|(number, _)| bench.world.cache(&format!("cold-{number}"))).collect();
    let line = format!("find tree -type f -print0 | xargs -0 {}", b3sum.display());
    let line = [OsString::from("/bin/sh"), "-c".into(), line.into()];
    for (memory, most) in [("in memory", None), ("not in memory", Some(0.25))] {
        let make_room = || if most.is_some() { evict(Path::new("tree")) } else { Ok(()) };
        let lane = |name: &str, words, cache| Contender {
            before: Box::new(make_room),
            ..Contender::silent(name, words, cache)
        };
        let mut contenders = vec![lane("b3sum", line.to_vec(), &plain)];
        for (build, cache) in bench.builds.iter().zip(&caches) {
            let forget = move || remove(&cache.folder).and_then(|()| make_room());
            contenders.push(Contender { before: Box::new(forget), ..lane(&build.label, run(build, &["tree"]), cache) });
        }
        if most.is_none() {
            for (build, cache) in bench.builds.iter().zip(known) {
                contenders.push(lane(&build.label, run(build, &["tree"]), cache));
            }
        }
        let samples = race(&mut contenders, bench.rounds((600_000 / size).clamp(6, 60)))?;
        let (b3sum, own) = samples.split_first().ok_or("nobody ran")?;
        let (first, again) = own.split_at(bench.builds.len());
        let case = format!("{case}, {memory}");
        report.add(Row::of(&case, "find | xargs b3sum", b3sum));
        let hit = format!("hit that looks at {size} files");
        for (case, all, most) in [(case, first, most), (hit, again, Some(1.0 / 12.0))] {
            for (build, own) in bench.builds.iter().zip(all) {
                let limit = most.filter(|_| size >= 100_000).map(Limit::AtMost);
                report.add(Row::of(&case, &build.label, own).beside(own, b3sum, "find | xargs b3sum", limit));
            }
        }
    }
    Ok(())
}

/// Takes the bytes of all files below a folder out of memory.
fn evict(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            evict(&entry.path())?;
        } else {
            forget_bytes(&entry.path())?;
        }
    }
    Ok(())
}

/// Takes the bytes of a file out of memory.
fn forget_bytes(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::fadvise(fs::File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// One file of 4 GiB.
fn large(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let length = if bench.is_quick() { GIGABYTE / 4 } else { 4 * GIGABYTE };
    let case = format!("first look at a file of {}", mebibytes(length));
    if let Some(why) = too_little(length)? {
        report.skip(case, why);
        return Ok(());
    }
    let name = "large.bin";
    bench.world.large_file(name, length)?;
    std::thread::sleep(SETTLED);
    let plain = bench.world.cache("large-plain");
    let caches: Vec<Cache> =
        bench.builds.iter().enumerate().map(|(number, _)| bench.world.cache(&format!("large-{number}"))).collect();
    for (memory, rounds) in [("in memory", 12), ("not in memory", 8)] {
        let is_cold = memory != "in memory";
        let make_room = || if is_cold { forget_bytes(Path::new(name)) } else { Ok(()) };
        let cat = Contender::silent("cat", vec!["/bin/cat".into(), name.into()], &plain);
        let mut contenders = vec![Contender { before: Box::new(make_room), ..cat }];
        for (build, cache) in bench.builds.iter().zip(&caches) {
            let forget = move || remove(&cache.folder).and_then(|()| make_room());
            contenders.push(Contender {
                before: Box::new(forget),
                ..Contender::silent(&build.label, run(build, &[name]), cache)
            });
        }
        let samples = race(&mut contenders, bench.rounds(rounds))?;
        let case = format!("{case}, {memory}");
        report.add(Row::of(&case, "cat >/dev/null", &samples[0]));
        for (build, own) in bench.builds.iter().zip(&samples[1..]) {
            let limit = Some(Limit::AtMost(1.15));
            report.add(Row::of(&case, &build.label, own).beside(own, &samples[0], "cat >/dev/null", limit));
            report.add(Row {
                case: format!("{case}: peak memory in MiB"),
                program: build.label.clone(),
                measured: mebibytes(own.peak),
                limit: Some(Limit::AtMost(16.0)),
                value: Some(own.peak as f64 / f64::from(1 << 20)),
                ..Row::default()
            });
        }
    }
    remove(Path::new(name))?;
    Ok(())
}

/// Why a file of `length` bytes cannot be measured here: it must fit on the disk and stay in memory.
fn too_little(length: u64) -> Result<Option<String>, Box<dyn Error>> {
    let disk = rustix::fs::statvfs(".")?;
    if disk.f_bavail * disk.f_frsize < 2 * length {
        return Ok(Some(format!("needs {} of free space", mebibytes(2 * length))));
    }
    let memory = fs::read_to_string("/proc/meminfo")?;
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes: u64 = available.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
    let needed = length + length / 2;
    Ok((kilobytes << 10 < needed).then(|| format!("needs {} of free memory", mebibytes(needed))))
}

/// `fleche run -i INPUT ... -- /bin/true`.
fn run(build: &Build, inputs: &[&str]) -> Vec<OsString> {
    let mut words = vec![build.path.clone().into_os_string(), "run".into()];
    words.extend(inputs.iter().flat_map(|input| [OsString::from("-i"), input.into()]));
    words.extend([OsString::from("--"), TRUE.into()]);
    words
}
