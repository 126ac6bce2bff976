//! What fleche costs: whole processes, timed side by side, and the limits that it set itself.
//!
//! `cargo bench` runs everything, `cargo bench -- --help` tells of the options; `benches/README.md` has the figures.

mod calls;
mod crowd;
mod inputs;
mod large;
mod outputs;
mod peers;
mod process;
mod questions;
mod race;
mod report;
mod seed;
mod silent;
mod small;
mod watch;
mod world;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};

use report::Report;
use world::{Build, World};

/// Time fleche against starting `/bin/true`, `cat`, `cp`, a loop of lstat(2), and other caches.
#[derive(Parser)]
#[command(name = "cargo bench --", bin_name = "cargo bench --")]
struct Options {
    /// A few rounds, a smaller store and no 2 GB: half a minute instead of several
    #[arg(long)]
    quick: bool,
    /// Only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Builds of fleche to compare, in place of the one that cargo made; FLECHE_BENCH gives the same, `:` between them
    #[arg(long, value_name = "[LABEL=]PATH")]
    fleche: Vec<String>,
    /// Where the temporary folder is made; it should be on a real disk with 8 GB to spare
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Calls in the full store
    #[arg(long, value_name = "NUMBER")]
    calls: Option<u64>,
    /// Store --calls calls in DIR, and do nothing else
    #[arg(long, value_name = "DIR")]
    seed: Option<PathBuf>,
    /// Ask the store below this folder, filled if it is not there, and leave it; with --only questions
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Hits of 100 bytes
    Hit,
    /// Misses of /bin/true
    Miss,
    /// System calls of a hit
    Calls,
    /// Hits of 1 MB and 100 MB
    Replay,
    /// Captures of 100 MB and 2 GB
    Capture,
    /// 64 processes at once
    Crowd,
    /// Watched commands: compilers, a build, a hit that looks at many files
    Watch,
    /// Hits that look at 1,000 to 100,000 files, and the first look at them
    Inputs,
    /// The first look at a file of 4 GiB
    Large,
    /// Hits with a thousand outputs
    Outputs,
    /// Hits of ccache, sccache, turbo and joblib, as far as they are installed, and hits of fleche in their place
    Peers,
    /// Misses beside a store that many machines share and that says nothing
    Silent,
    /// Questions to a million calls; takes several minutes and 9 GB, and is left out unless it is named
    Questions,
}

/// What all parts share.
struct Bench {
    options: Options,
    world: World,
    builds: Vec<Build>,
    bkt: Option<PathBuf>,
}

impl Bench {
    /// Puts copies of the programs into the world. How a file lies in memory, and so how fast it starts, depends on how it
    /// got there and what has happened since: up to a sixth of a hit. So all are made anew, in the same way.
    fn take_copies(&mut self) -> io::Result<()> {
        for (number, build) in self.builds.iter_mut().enumerate() {
            build.path = self.world.copy(&build.path, &format!("fleche-{number}"))?;
        }
        if let Some(bkt) = &mut self.bkt {
            *bkt = self.world.copy(bkt, "bkt-program")?;
        }
        Ok(())
    }

    fn does(&self, group: Group) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&group)
    }

    fn is_quick(&self) -> bool {
        self.options.quick
    }

    /// How many of `full` rounds are wanted.
    fn rounds(&self, full: usize) -> usize {
        if self.options.quick { full.div_ceil(6) } else { full }
    }

    /// How many calls the full store has.
    fn calls(&self) -> u64 {
        self.options.calls()
    }
}

impl Options {
    fn calls(&self) -> u64 {
        self.calls.unwrap_or(if self.quick { 10_000 } else { 100_000 })
    }
}

fn main() -> ExitCode {
    // The floor for looking at many files is a program of its own.
    if let [_, word, list] = &std::env::args_os().collect::<Vec<_>>()[..]
        && word == inputs::STAT_LOOP
    {
        return if inputs::stat_loop(Path::new(list)).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = Options::parse();
    let done = match &options.seed {
        Some(folder) => seed::fill(folder, options.calls()),
        None => run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    process::note_interrupts();
    process::close_the_rest_on_exec();
    let builds = builds(&options).iter().map(|word| Build::new(word)).collect::<Result<_, _>>()?;
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut bench = Bench { world: World::new(&parent)?, options, builds, bkt: on_path("bkt") };
    introduce(&bench, &parent);
    bench.take_copies()?;
    let mut report = Report::default();
    if bench.does(Group::Hit) || bench.does(Group::Miss) {
        small::measure(&bench, &mut report)?;
    }
    if bench.does(Group::Calls) {
        calls::measure(&bench, &mut report)?;
    }
    large::measure(&bench, &mut report)?;
    if bench.does(Group::Crowd) {
        crowd::measure(&bench, &mut report)?;
    }
    watch::measure(&bench, &mut report)?;
    inputs::measure(&bench, &mut report)?;
    outputs::measure(&bench, &mut report)?;
    peers::measure(&bench, &mut report)?;
    silent::measure(&bench, &mut report)?;
    if bench.options.only.contains(&Group::Questions) {
        questions::measure(&bench, &mut report)?;
    }
    println!("{}", report.table());
    Ok(())
}

/// The builds that are asked for, else the one that cargo made.
fn builds(options: &Options) -> Vec<String> {
    match std::env::var("FLECHE_BENCH") {
        _ if !options.fleche.is_empty() => options.fleche.clone(),
        Ok(list) if !list.is_empty() => list.split(':').map(str::to_owned).collect(),
        _ => vec![env!("CARGO_BIN_EXE_fleche").to_owned()],
    }
}

/// What the figures depend on.
fn introduce(bench: &Bench, parent: &Path) {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {processors} processors, {}", model.trim_start_matches(['\t', ' ', ':']));
    println!("system:  Linux {}, {} on {}", first_line("uname", "-r"), parent.display(), file_system(parent));
    for build in &bench.builds {
        println!("{}: {}, {}", build.label, first_line(&build.path, "--version"), build.path.display());
    }
    let others = ["bkt", "ccache", "sccache", "turbo", "git", "b3sum", "gcc", "python3", "strace"];
    let found = others.iter().filter_map(|name| Some((name, on_path(name)?)));
    let told = found.map(|(name, path)| match first_line(&path, "--version") {
        // Some say only the number.
        number if number.starts_with(|first: char| first.is_ascii_digit()) => format!("{name} {number}"),
        line => line,
    });
    println!("others:  {}", told.collect::<Vec<_>>().join(", "));
    println!();
}

fn file_system(folder: &Path) -> String {
    let output = Command::new("df").arg("--output=fstype").arg(folder).output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&text).lines().nth(1).unwrap_or("?").to_owned()
}

fn first_line(program: impl AsRef<std::ffi::OsStr>, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&text).lines().next().unwrap_or("?").to_owned()
}

/// A program where a shell would find it.
fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}
