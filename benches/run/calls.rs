//! How many system calls a hit makes, and that none of them waits for the disk.

use std::error::Error;
use std::ffi::OsString;
use std::fs;

use super::Bench;
use super::report::{Limit, Report, Row};
use super::world::{Build, Cache, Declared, fleche};

const CASE: &str = "system calls of a hit";
const SYNCING: [&str; 6] = ["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"];

/// Counts with strace.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let Some(strace) = super::on_path("strace") else {
        report.skip(CASE, "strace is not on PATH");
        return Ok(());
    };
    let cache = bench.world.cache("few");
    let text = "x".repeat(99);
    let echo = ["/bin/echo", text.as_str()];
    for build in &bench.builds {
        for declared in [Declared::Pure, Declared::Input] {
            cache.record(build, declared, &echo)?;
            let names = calls(bench, strace.as_os_str().to_owned(), build, &cache, declared, &echo)?;
            let syncing = names.iter().filter(|name| SYNCING.contains(&name.as_str())).count();
            let row = |case: String, count: usize, most: f64| Row {
                case,
                program: build.label.clone(),
                measured: count.to_string(),
                limit: Some(Limit::AtMost(most)),
                value: Some(count as f64),
                ..Row::default()
            };
            report.add(row(format!("{CASE}, {}", declared.name()), names.len(), 40.0));
            report.add(row(format!("{CASE} that wait for the disk, {}", declared.name()), syncing, 0.0));
        }
    }
    Ok(())
}

/// The names of all system calls of a hit, in order.
fn calls(
    bench: &Bench,
    strace: OsString,
    build: &Build,
    cache: &Cache,
    declared: Declared,
    command: &[&str],
) -> Result<Vec<String>, Box<dyn Error>> {
    let list = bench.world.path("strace");
    let flags = ["-f", "-qq", "-e", "signal=none", "-o"].map(OsString::from);
    let mut words: Vec<OsString> =
        [strace].into_iter().chain(flags).chain([list.clone().into(), "--".into()]).collect();
    words.extend(fleche(build, declared, command));
    cache.succeed(&words)?;
    // A line is the process, then `name(arguments) = result`; what resumes a call does not begin one.
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        (!call.starts_with('<')).then(|| call.split('(').next().unwrap_or_default().to_owned())
    };
    Ok(fs::read_to_string(list)?.lines().filter_map(name).collect())
}
