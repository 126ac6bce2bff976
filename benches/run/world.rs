//! A throw-away folder with caches and inputs, and the command lines that are timed in it.
//!
//! Nothing here holds much in memory: the peak memory of a process is never less than that of the one that started it.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{FRESH, fresh_number};

/// Inputs that are younger than this are hashed on every hit, because their stamps prove nothing yet: right, but not
/// what most hits do.
pub const SETTLED: Duration = Duration::from_millis(2100);

/// A small input, relative to the working directory.
pub const SMALL: &str = "small.txt";

/// A build of fleche.
#[derive(Clone)]
pub struct Build {
    pub label: String,
    pub path: PathBuf,
    pub libc: Libc,
}

/// The C library in a build; how fast it starts depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    Glibc,
    Musl,
}

impl Build {
    /// `LABEL=PATH` or `PATH`; without a label it is named after its C library.
    pub fn new(word: &str) -> Result<Build, Box<dyn Error>> {
        let (label, path) = word.split_once('=').map_or((None, word), |(label, path)| (Some(label), path));
        let path = fs::canonicalize(path).map_err(|why| format!("cannot find `{path}`: {why}"))?;
        let is_glibc = holds(&path, b"GLIBC")?;
        let libc = if is_glibc { Libc::Glibc } else { Libc::Musl };
        let label = label.unwrap_or(if is_glibc { "glibc" } else { "musl" }).to_owned();
        Ok(Build { label, path, libc })
    }
}

/// Whether a file holds `needle`.
fn holds(path: &Path, needle: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let (mut window, mut kept) = (vec![0; 64 << 10], 0);
    loop {
        let read = file.read(&mut window[kept..])?;
        let end = kept + read;
        if memchr::memmem::find(&window[..end], needle).is_some() {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // It may lie across two windows.
        kept = end.min(needle.len());
        window.copy_within(end - kept..end, 0);
    }
}

/// How a command is declared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// `--pure`.
    Pure,
    /// `-i` with one small file.
    Input,
    /// Nothing: fleche watches.
    Nothing,
}

impl Declared {
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Declared::Pure => &["--pure"],
            Declared::Input => &["-i", SMALL],
            Declared::Nothing => &[],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Declared::Pure => "--pure",
            Declared::Input => "-i FILE",
            Declared::Nothing => "watched",
        }
    }
}

/// A cache that is its own, by the environment that leads there.
pub struct Cache {
    pub folder: PathBuf,
    pub environment: Vec<OsString>,
}

/// The folder of one benchmark; it vanishes with this.
pub struct World {
    folder: TempDir,
}

impl World {
    /// Makes the folder below `parent` and goes there.
    pub fn new(parent: &Path) -> Result<World, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("fleche-bench-").tempdir_in(parent)?;
        let world = World { folder };
        fs::create_dir(world.path("work"))?;
        std::env::set_current_dir(world.path("work"))?;
        fs::write(SMALL, "a small input\n")?;
        std::thread::sleep(SETTLED);
        Ok(world)
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A copy of a program.
    pub fn copy(&self, program: &Path, name: &str) -> std::io::Result<PathBuf> {
        let copy = self.path(name);
        fs::copy(program, &copy)?;
        Ok(copy)
    }

    /// A cache of this name; nothing is made.
    pub fn cache(&self, name: &str) -> Cache {
        self.cache_at(&self.path(name))
    }

    /// The cache below this folder; nothing is made.
    pub fn cache_at(&self, home: &Path) -> Cache {
        let mut environment: Vec<OsString> = SESSION.iter().map(OsString::from).collect();
        for (name, value) in [("HOME=", home), ("XDG_CACHE_HOME=", home), ("PWD=", &self.path("work"))] {
            let mut entry = OsString::from(name);
            entry.push(value);
            environment.push(entry);
        }
        Cache { folder: home.join("fleche"), environment }
    }

    /// A file of `length` bytes that do not repeat, in the working directory.
    pub fn large_file(&self, name: &str, length: u64) -> Result<(), Box<dyn Error>> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(name)?);
        let mut state = length | 1;
        for _ in 0..length / 8 {
            // xorshift64, Marsaglia 2003
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            file.write_all(&state.to_le_bytes())?;
        }
        file.write_all(&vec![b'.'; (length % 8) as usize])?;
        file.into_inner()?.sync_all()?;
        Ok(())
    }
}

/// About as many variables as a desktop session or a CI job has.
const SESSION: [&str; 20] = [
    "CARGO_HOME=/home/somebody/.cargo",
    "CFLAGS=-O2 -g -Wall -Wextra",
    "COLORTERM=truecolor",
    "DISPLAY=:0",
    "EDITOR=vim",
    "GOPATH=/home/somebody/go",
    "JAVA_HOME=/usr/lib/jvm/default",
    "LANG=en_GB.UTF-8",
    "LC_TIME=en_GB.UTF-8",
    "LESS=-R",
    "LOGNAME=somebody",
    "MANPATH=/usr/local/share/man:/usr/share/man",
    "NODE_OPTIONS=--max-old-space-size=4096",
    "PAGER=less",
    "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "PKG_CONFIG_PATH=/usr/local/lib/pkgconfig",
    "SHELL=/bin/bash",
    "TERM=xterm-256color",
    "TZ=UTC",
    "USER=somebody",
];

/// A process that was looked at, not timed.
pub struct Observed {
    status: ExitStatus,
    /// Digest of standard output.
    stdout: blake3::Hash,
    pub stderr: String,
}

impl Cache {
    /// Runs `words` once, to look at what it does.
    pub fn observe(&self, words: &[OsString]) -> Result<Observed, Box<dyn Error>> {
        let mut child =
            self.command(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut hasher = blake3::Hasher::new();
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        if let Some(stdout) = &mut stdout {
            hasher.update_reader(stdout)?;
        }
        let mut said = String::new();
        if let Some(stderr) = &mut stderr {
            stderr.read_to_string(&mut said)?;
        }
        Ok(Observed { status: child.wait()?, stdout: hasher.finalize(), stderr: said.trim().to_owned() })
    }

    /// Runs `words` once; it must succeed.
    pub fn succeed(&self, words: &[OsString]) -> Result<Observed, Box<dyn Error>> {
        let observed = self.observe(words)?;
        if observed.status.success() {
            return Ok(observed);
        }
        Err(format!("{words:?} ended with {} and said `{}`", observed.status, observed.stderr).into())
    }

    /// What `words` print, which must succeed.
    pub fn output(&self, words: &[OsString]) -> Result<String, Box<dyn Error>> {
        let output = self.command(words).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{words:?} ended with {}", output.status).into())
    }

    fn command(&self, words: &[OsString]) -> Command {
        let split = |entry: &OsString| {
            let text = entry.to_str().unwrap_or_default();
            text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.environment.iter().filter_map(split));
        command
    }

    /// Has `build` record the command, and makes sure that from now on it is a hit with the right output.
    pub fn record(&self, build: &Build, declared: Declared, command: &[&str]) -> Result<(), Box<dyn Error>> {
        let bare = self.succeed(&command.iter().map(OsString::from).collect::<Vec<_>>())?;
        self.expect(build, declared, command, "")?;
        let replayed = self.expect(build, declared, command, "fleche: hit ")?;
        if replayed.stdout != bare.stdout {
            return Err(format!("{}: the replay of {command:?} differs from the command", build.label).into());
        }
        Ok(())
    }

    /// Has `words`, those of `fleche run`, record their command, and makes sure that from now on it is a hit.
    pub fn record_words(&self, words: &[OsString]) -> Result<(), Box<dyn Error>> {
        self.record_words_after(words, || Ok(()))
    }

    /// The same, where something has to be done before each run.
    pub fn record_words_after(
        &self,
        words: &[OsString],
        before: impl Fn() -> io::Result<()>,
    ) -> Result<(), Box<dyn Error>> {
        let mut verbose = words.to_vec();
        verbose.insert(2, "-v".into());
        for needle in ["; stored ", "fleche: hit "] {
            before()?;
            let said = self.succeed(&verbose)?.stderr;
            if !said.contains(needle) {
                return Err(format!("{verbose:?} said `{said}` and not `{needle}`").into());
            }
        }
        Ok(())
    }

    /// Makes sure that the command is a miss that is stored.
    pub fn check_miss(&self, build: &Build, declared: Declared, command: &[&str]) -> Result<(), Box<dyn Error>> {
        let number = fresh_number().to_string();
        let command: Vec<String> = command.iter().map(|word| word.replace(FRESH, &number)).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.expect(build, declared, &command, "; stored ").map(drop)
    }

    /// Runs it with `-v`, which must say `needle`.
    fn expect(
        &self,
        build: &Build,
        declared: Declared,
        command: &[&str],
        needle: &str,
    ) -> Result<Observed, Box<dyn Error>> {
        let mut words = fleche(build, declared, command);
        words.insert(2, "-v".into());
        let observed = self.succeed(&words)?;
        if !observed.stderr.contains(needle) {
            return Err(format!("{words:?} said `{}` and not `{needle}`", observed.stderr).into());
        }
        Ok(observed)
    }
}

/// The words of `fleche run FLAGS -- COMMAND`.
pub fn fleche(build: &Build, declared: Declared, command: &[&str]) -> Vec<OsString> {
    let words = ["run"].iter().chain(declared.flags()).chain(&["--"]).chain(command);
    [build.path.as_os_str()].into_iter().chain(words.map(OsStr::new)).map(OsString::from).collect()
}
