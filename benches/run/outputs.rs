//! Many outputs: already in place, made anew, and what `cp -r` takes for the same files.

use std::error::Error;
use std::ffi::OsString;
use std::fs;

use super::large::remove;
use super::race::{Contender, race};
use super::report::{Limit, Report, Row};
use super::world::{Build, Cache, SETTLED, SMALL};
use super::{Bench, Group};

/// How many outputs there are, and how many bytes each has.
const FILES: usize = 1000;
const LENGTH: usize = 4096;

/// Measures the group `outputs`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !bench.does(Group::Outputs) {
        return Ok(());
    }
    fs::create_dir_all("master")?;
    for number in 0..FILES {
        fs::write(format!("master/{number}"), format!("{number:07}\n").repeat(LENGTH / 8))?;
    }
    std::thread::sleep(SETTLED);
    let plain = bench.world.cache("outputs-plain");
    let caches: Vec<Cache> =
        bench.builds.iter().enumerate().map(|(number, _)| bench.world.cache(&format!("outputs-{number}"))).collect();
    let names: Vec<String> = (0..bench.builds.len()).map(|number| format!("made-{number}")).collect();
    let missing: Vec<_> = names.iter().map(|name| move || remove(format!("{name}-anew"))).collect();
    let clean = || remove("copied");
    let copy = words(&["/bin/cp", "-r", "master", "copied"]);
    let mut contenders = vec![Contender { before: Box::new(clean), ..Contender::silent("cp -r", copy, &plain) }];
    for (((build, cache), name), missing) in bench.builds.iter().zip(&caches).zip(&names).zip(&missing) {
        for (name, is_missing) in [(name.clone(), false), (format!("{name}-anew"), true)] {
            let words = run(build, &name);
            remove(&name)?;
            cache.record_words(&words)?;
            let lane = Contender::silent(&build.label, words, cache);
            contenders.push(if is_missing { Contender { before: Box::new(missing), ..lane } } else { lane });
        }
    }
    std::thread::sleep(SETTLED);
    let samples = race(&mut contenders, bench.rounds(120))?;
    report.add(Row::of(&format!("{FILES} files of 4 kB"), "cp -r", &samples[0]));
    for (build, pair) in bench.builds.iter().zip(samples[1..].chunks(2)) {
        let (in_place, anew) = (&pair[0], &pair[1]);
        let case = format!("hit with {FILES} outputs of 4 kB, made anew");
        report.add(Row::of(&case, &build.label, anew).beside(anew, &samples[0], "cp -r", Some(Limit::AtMost(1.3))));
        let case = format!("hit with {FILES} outputs of 4 kB, in place");
        report.add(Row::of(&case, &build.label, in_place).beside(
            in_place,
            anew,
            "made anew",
            Some(Limit::AtMost(0.1)),
        ));
    }
    Ok(())
}

/// `fleche run -i SMALL -o NAME -- cp -r master NAME`, so that outputs are all that costs.
fn run(build: &Build, name: &str) -> Vec<OsString> {
    let mut all = vec![build.path.clone().into_os_string()];
    all.extend(words(&["run", "-i", SMALL, "-o", name, "--", "/bin/cp", "-r", "master", name]));
    all
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
