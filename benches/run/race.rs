//! Timing whole processes side by side: A B C, B A C, ..., so that whatever slows the machine slows all of them.
//!
//! Each round has another order, because a process that follows another of the same program finds the processor's
//! caches warm, and one that follows a large one finds them cold.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::process::{self, Streams, Strings};
use super::world::Cache;

/// Rounds that are run first and not counted.
const WARM_UP: usize = 3;

/// One of the programs that are compared.
pub struct Contender<'a> {
    /// What to call it where it fails.
    pub name: String,
    pub words: Vec<OsString>,
    pub environment: &'a [OsString],
    pub stdout: Stdout,
    /// Bytes that it must write to a pipe or file.
    pub length: u64,
    /// The exit code that it must end with.
    pub exit: i32,
    /// Done before each run and not timed.
    pub before: Box<dyn FnMut() -> io::Result<()> + 'a>,
}

impl<'a> Contender<'a> {
    /// One that succeeds without output.
    pub fn silent(name: &str, words: Vec<OsString>, cache: &'a Cache) -> Contender<'a> {
        Contender {
            name: name.to_owned(),
            words,
            environment: &cache.environment,
            stdout: Stdout::Null,
            length: 0,
            exit: 0,
            before: Box::new(|| Ok(())),
        }
    }
}

/// Where standard output leads.
#[derive(Clone)]
pub enum Stdout {
    Null,
    /// A pipe that this process reads as fast as it can.
    Pipe,
    /// A file, empty at the start.
    File(PathBuf),
}

/// What was measured of one contender.
pub struct Samples {
    /// Of each round, in the order of rounds.
    pub wall: Vec<Duration>,
    /// What each round took of the processors, by it and all for which it waited.
    pub processor: Vec<Duration>,
    /// Peak memory in bytes, the largest of all rounds.
    pub peak: u64,
}

/// A distribution by its quartiles.
#[derive(Clone, Copy)]
pub struct Quartiles {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// Runs all contenders in turn, `rounds` times.
pub fn race(contenders: &mut [Contender], rounds: usize) -> Result<Vec<Samples>, Box<dyn Error>> {
    let mut track = Track::new()?;
    let mut samples: Vec<Samples> =
        contenders.iter().map(|_| Samples { wall: Vec::new(), processor: Vec::new(), peak: 0 }).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = 1;
    for round in 0..WARM_UP + rounds {
        shuffle(&mut order, &mut random);
        for number in &order {
            let (contender, samples) = (&mut contenders[*number], &mut samples[*number]);
            let (wall, processor, peak) = track.run(contender).map_err(|why| format!("{}: {why}", contender.name))?;
            if round >= WARM_UP {
                samples.wall.push(wall);
                samples.processor.push(processor);
                samples.peak = samples.peak.max(peak);
            }
        }
    }
    Ok(samples)
}

/// Fisher and Yates's shuffle with Marsaglia's xorshift64, the same in every benchmark.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for last in (1..order.len()).rev() {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(last, (*random % (last as u64 + 1)) as usize);
    }
}

impl Samples {
    /// The median in seconds.
    pub fn median(&self) -> f64 {
        Quartiles::of(self.wall.iter().map(Duration::as_secs_f64)).median
    }

    /// How much more of the processors this took than `other` in the same round.
    pub fn processor_ratio(&self, other: &Samples) -> Quartiles {
        Quartiles::of(self.processor.iter().zip(&other.processor).map(|(mine, theirs)| mine.div_duration_f64(*theirs)))
    }

    /// How much longer this took than `other` in the same round.
    pub fn ratio(&self, other: &Samples) -> Quartiles {
        Quartiles::of(self.wall.iter().zip(&other.wall).map(|(mine, theirs)| mine.div_duration_f64(*theirs)))
    }
}

impl Quartiles {
    pub fn of(values: impl Iterator<Item = f64>) -> Quartiles {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values.get((values.len() * part / 4).min(values.len().saturating_sub(1))).copied();
        let [low, median, high] = [1, 2, 3].map(|part| at(part).unwrap_or(f64::NAN));
        Quartiles { low, median, high }
    }
}

/// What all runs share.
struct Track {
    null: File,
    /// Takes standard error; nothing may come. A file of its own, so that it is never the same open file as standard output.
    complaints: File,
    buffer: Vec<u8>,
}

impl Track {
    fn new() -> io::Result<Track> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Track { null, complaints: tempfile::tempfile()?, buffer: vec![0; 256 << 10] })
    }

    fn run(&mut self, contender: &mut Contender) -> Result<(Duration, Duration, u64), Box<dyn Error>> {
        if process::is_interrupted() {
            return Err("interrupted".into());
        }
        (contender.before)()?;
        let argv = Strings::new(&contender.words)?;
        let environment = Strings::new(contender.environment)?;
        let target = match &contender.stdout {
            Stdout::Null => Target::Null,
            Stdout::Pipe => {
                let (read, write) = io::pipe()?;
                Target::Pipe(read, Some(write))
            }
            Stdout::File(path) => Target::File(File::create(path)?),
        };
        let (wall, ended, length) = self.time(&argv, &environment, target, contender.exit)?;
        match length {
            Some(length) if length != contender.length => {
                Err(format!("{length} bytes of output instead of {}", contender.length).into())
            }
            _ => Ok((wall, ended.processor, ended.peak)),
        }
    }

    /// Wall time, how it ended and the length of the output where that is known.
    fn time(
        &mut self,
        argv: &Strings,
        environment: &Strings,
        mut target: Target,
        exit: i32,
    ) -> Result<(Duration, process::Ended, Option<u64>), Box<dyn Error>> {
        let stdout = match &target {
            Target::Null | Target::Pipe(_, None) => self.null.as_fd(),
            Target::Pipe(_, Some(write)) => write.as_fd(),
            Target::File(file) => file.as_fd(),
        };
        let streams = Streams { stdin: self.null.as_fd(), stdout, stderr: self.complaints.as_fd() };
        let started = Instant::now();
        let pid = process::start(argv, environment, streams)?;
        let mut received = 0;
        if let Target::Pipe(read, write) = &mut target {
            drop(write.take());
            loop {
                match read.read(&mut self.buffer)? {
                    0 => break,
                    count => received += count as u64,
                }
            }
        }
        let ended = process::wait(pid)?;
        let wall = started.elapsed();
        self.check(&ended, exit)?;
        let length = match target {
            Target::Null => None,
            Target::Pipe(..) => Some(received),
            Target::File(file) => Some(file.metadata()?.len()),
        };
        Ok((wall, ended, length))
    }

    fn check(&mut self, ended: &process::Ended, exit: i32) -> Result<(), Box<dyn Error>> {
        // The exit code stands in the second byte of a wait status.
        if ended.status == exit << 8 && self.complaints.metadata()?.len() == 0 {
            return Ok(());
        }
        let mut said = String::new();
        io::Seek::rewind(&mut self.complaints)?;
        self.complaints.read_to_string(&mut said)?;
        Err(format!("it ended with wait status {} and said `{}`", ended.status, said.trim()).into())
    }
}

enum Target {
    Null,
    Pipe(io::PipeReader, Option<io::PipeWriter>),
    File(File),
}
