//! Many at once: 64 processes in flight, hits and misses mixed, against as many of `/bin/true`.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Bench;
use super::process::{self, FRESH, Streams, Strings};
use super::race::Quartiles;
use super::report::{Limit, Report, Row, seconds};
use super::small::TRUE;
use super::world::{Build, Cache, Declared, fleche};

const AT_ONCE: usize = 64;
/// Processes in one batch.
const BATCH: usize = 1280;

/// What one batch took.
struct Batch {
    wall: Duration,
    /// Of each process, from its start to its end.
    each: Vec<Duration>,
}

/// A command and what it prints.
struct Job {
    words: Vec<OsString>,
    prints: Vec<u8>,
}

/// Runs batches in turn.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let cache = bench.world.cache("crowd");
    let mut lanes = vec![("/bin/true".to_owned(), bare())];
    for build in &bench.builds {
        lanes.push((build.label.clone(), mixed(build, &cache)?));
    }
    let mut batches: Vec<Vec<Batch>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..1 + bench.rounds(12) {
        for ((name, jobs), batches) in lanes.iter().zip(&mut batches) {
            let batch = run(jobs, &cache).map_err(|why| format!("{AT_ONCE} at once ({name}): {why}"))?;
            if round > 0 {
                batches.push(batch);
            }
        }
    }
    let bare = &batches[0];
    for ((name, _), own) in lanes.iter().zip(&batches) {
        let rate = Quartiles::of(own.iter().map(|batch| BATCH as f64 / batch.wall.as_secs_f64())).median;
        let mut each: Vec<f64> = own.iter().flat_map(|batch| &batch.each).map(Duration::as_secs_f64).collect();
        each.sort_by(f64::total_cmp);
        let late = each[each.len() * 99 / 100];
        let ratio = Quartiles::of(bare.iter().zip(own).map(|(bare, own)| bare.wall.div_duration_f64(own.wall)));
        report.add(Row {
            case: format!("rate of {AT_ONCE} at once, half misses"),
            program: if name == "/bin/true" { String::new() } else { name.clone() },
            measured: format!("{rate:.0} a second, 99 % within {}", seconds(late)),
            against: "/bin/true".to_owned(),
            ratio: Some(ratio),
            limit: (name != "/bin/true").then_some(Limit::AtLeast(1.0)),
            value: None,
        });
    }
    Ok(())
}

fn bare() -> Vec<Job> {
    (0..BATCH).map(|_| Job { words: vec![TRUE.into()], prints: Vec::new() }).collect()
}

/// Hits of 64 different commands, and between them misses that print as much.
fn mixed(build: &Build, cache: &Cache) -> Result<Vec<Job>, Box<dyn Error>> {
    let texts: Vec<String> = (0..AT_ONCE).map(|number| format!("{number:099}")).collect();
    for text in &texts {
        cache.record(build, Declared::Input, &["/bin/echo", text])?;
    }
    cache.check_miss(build, Declared::Input, &[TRUE, FRESH, "x"])?;
    let job = |number: usize| {
        let text = &texts[number / 2 % AT_ONCE];
        match number % 2 {
            0 => Job {
                words: fleche(build, Declared::Input, &["/bin/echo", text]),
                prints: format!("{text}\n").into_bytes(),
            },
            _ => Job { words: fleche(build, Declared::Input, &[TRUE, FRESH, "x"]), prints: Vec::new() },
        }
    };
    Ok((0..BATCH).map(job).collect())
}

/// A place for one process, with pipes that hold all that it writes until it has ended.
struct Slot {
    stdout: (io::PipeReader, io::PipeWriter),
    stderr: (io::PipeReader, io::PipeWriter),
}

impl Slot {
    fn new() -> io::Result<Slot> {
        let pipe = || {
            let (read, write) = io::pipe()?;
            rustix::io::ioctl_fionbio(&read, true)?;
            Ok::<_, io::Error>((read, write))
        };
        Ok(Slot { stdout: pipe()?, stderr: pipe()? })
    }
}

/// All that is in a pipe that does not block.
fn drain(pipe: &mut io::PipeReader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match pipe.read_to_end(&mut bytes) {
        Err(why) if why.kind() != io::ErrorKind::WouldBlock => Err(why),
        _ => Ok(bytes),
    }
}

/// Runs all jobs, never fewer than 64 at once as long as there are so many left, and checks what each did.
fn run(jobs: &[Job], cache: &Cache) -> Result<Batch, Box<dyn Error>> {
    let null = File::open("/dev/null")?;
    let environment = Strings::new(&cache.environment)?;
    let argvs = jobs.iter().map(|job| Strings::new(&job.words)).collect::<io::Result<Vec<_>>>()?;
    let mut slots = (0..AT_ONCE).map(|_| Slot::new()).collect::<io::Result<Vec<_>>>()?;
    let mut free: Vec<usize> = (0..AT_ONCE).collect();
    let mut flying = HashMap::new();
    let mut each = Vec::with_capacity(jobs.len());
    let mut waiting = 0..jobs.len();
    let started = Instant::now();
    loop {
        while let Some(slot) = free.pop() {
            let Some(job) = waiting.next() else { break };
            let Slot { stdout: (_, stdout), stderr: (_, stderr) } = &slots[slot];
            let streams = Streams { stdin: null.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
            let begun = Instant::now();
            flying.insert(process::start(&argvs[job], &environment, streams)?, (job, slot, begun));
        }
        if flying.is_empty() {
            break;
        }
        let ended = process::wait(-1)?;
        let Some((job, slot, begun)) = flying.remove(&ended.pid) else { continue };
        each.push(begun.elapsed());
        let (stdout, stderr) = (drain(&mut slots[slot].stdout.0)?, drain(&mut slots[slot].stderr.0)?);
        if ended.status != 0 || stdout != jobs[job].prints || !stderr.is_empty() {
            let said = String::from_utf8_lossy(&stderr);
            return Err(format!("{:?} ended with {} and said `{}`", jobs[job].words, ended.status, said.trim()).into());
        }
        free.push(slot);
    }
    if process::is_interrupted() {
        return Err("interrupted".into());
    }
    Ok(Batch { wall: started.elapsed(), each })
}
