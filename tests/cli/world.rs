//! A throw-away world: a home, a cache, a working directory, and the program under test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// A folder of its own for one test; everything in it vanishes with it.
pub struct World {
    folder: TempDir,
}

/// A user who is not root and owns nothing, by the number that is customary for that.
const SOMEBODY: u32 = 65534;

/// What a finished process left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::Builder::new().prefix("fleche-test-").tempdir().unwrap();
        let world = World { folder };
        fs::create_dir(world.home()).unwrap();
        fs::create_dir(world.work()).unwrap();
        world
    }

    /// The whole world, without links in its path.
    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The working directory of commands.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The cache folder that fleche makes.
    pub fn cache(&self) -> PathBuf {
        self.home().join(".cache/fleche")
    }

    /// Waits until no process works in this world any more: what a run that was killed still does, or one on which the lot
    /// fell to look after its cache, is of no account to what is asked next.
    pub fn is_alone(&self) {
        let root = self.root();
        let is_here = |entry: std::io::Result<fs::DirEntry>| {
            entry
                .and_then(|entry| fs::read_link(entry.path().join("cwd")))
                .is_ok_and(|folder| folder.starts_with(&root))
        };
        let is_nobody_here = || !fs::read_dir("/proc").unwrap().any(is_here);
        // Twice: what was listed may have left its work to a child that was not.
        eventually("every process ends", || is_nobody_here() && is_nobody_here());
    }

    /// Removes the cache, if there is one.
    pub fn remove_cache(&self) {
        self.is_alone();
        if self.cache().exists() {
            fs::remove_dir_all(self.cache()).unwrap();
        }
    }

    /// Gives the world to an ordinary user, whom [`Session::by_somebody`] makes of root: root may read
    /// and write everything, and so cannot be refused anything.
    ///
    /// The program under test is copied into the world, because its own folder may be root's alone.
    pub fn give_away(&self) {
        // By another process, as in `script`: a program that is open for writing anywhere cannot be executed.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_fleche")).arg(self.root().join("fleche")).status();
        assert!(copied.unwrap().success());
        if is_root() {
            let given = Command::new("chown")
                .args(["-R", &format!("{SOMEBODY}:{SOMEBODY}")])
                .arg(self.root())
                .status()
                .unwrap();
            assert!(given.success());
        }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file in the working directory, with its folders.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an executable script.
    ///
    /// Another process writes it: a descriptor of ours that is open for writing could be inherited by
    /// what a parallel test starts, and a file that is open for writing cannot be executed.
    pub fn script(&self, name: impl AsRef<Path>, content: &str) -> PathBuf {
        let draft = self.write(self.root().join("draft-of-a-script"), content);
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg(&draft).arg(&path).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(draft).unwrap();
        path
    }

    /// A script that notes each of its executions outside the working directory, then does `body`.
    pub fn counted(&self, name: &str, body: &str) -> PathBuf {
        let count = self.count_file(name);
        self.script(name, &format!("#!/bin/sh\necho x >> '{}'\n{body}\n", count.display()))
    }

    /// How often the script `name` was executed.
    pub fn executions(&self, name: &str) -> usize {
        fs::read(self.count_file(name)).map_or(0, |noted| noted.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Where the executions of the script `name` are noted: a line each.
    pub fn count_file(&self, name: &str) -> PathBuf {
        self.root().join(format!("executions-of-{name}"))
    }

    pub fn read(&self, name: impl AsRef<Path>) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// fleche with these words, in the working directory, with a small fixed environment.
    pub fn fleche<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Session {
        self.program(env!("CARGO_BIN_EXE_fleche"), words)
    }

    /// Any program, in the same surroundings.
    pub fn program<I: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, words: impl IntoIterator<Item = I>) -> Session {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.work()).env_clear();
        command.env("HOME", self.home()).env("PATH", search_path()).env("LANG", "C").env("TZ", "UTC");
        command.stdin(Stdio::null());
        // SAFETY: a few system calls.
        unsafe { command.pre_exec(leave_the_surroundings_behind) };
        Session { command, input: None }
    }

    /// A shell line in which `fleche` is the program under test.
    pub fn shell(&self, line: &str) -> Session {
        let folder = Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap();
        let mut path = OsString::from(folder);
        path.push(":");
        path.push(search_path());
        self.program("/bin/sh", ["-c", line]).env("PATH", path)
    }
}

/// Whether the tests run as root, who may do everything and can become somebody else.
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Where commands are found, the same for everybody who runs the tests.
pub fn search_path() -> &'static str {
    "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
}

/// Keeps what is left open in the process that runs the tests (a lock, a log), and what it ignores (under `nohup`, in the
/// background of a script), from what they start.
fn leave_the_surroundings_behind() -> std::io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: a disposition without a handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: changes flags; where the kernel cannot, the descriptors are inherited.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// A world with an input and a script `tool` that does `body`.
pub fn world(body: &str) -> World {
    let world = World::new();
    world.counted("tool", body);
    world.write("input", "1\n");
    world
}

/// `fleche run` of the tool with these options.
pub fn tool(world: &World, options: &[&str]) -> Session {
    let words = ["run", "-i", "input"].iter().chain(options).chain(&["--", "./tool"]);
    world.fleche(words)
}

/// Waits for `state`, which must come.
#[track_caller]
pub fn eventually(what: &str, mut state: impl FnMut() -> bool) {
    let began = Instant::now();
    while !state() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: it does not happen");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until the stamp of `path` is so old that it is trusted: no program can make it so.
pub fn settle(path: &Path) {
    let changed = fs::metadata(path).unwrap().ctime();
    eventually("a settled stamp", || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        now > changed + 3
    });
}

/// A command that is about to be run.
pub struct Session {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Session {
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Session {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Session {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Session {
        self.command.current_dir(folder);
        self
    }

    /// Bytes for standard input, through a pipe.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Session {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it as a user who is not root.
    pub fn by_somebody(self) -> Session {
        if is_root() { self.by(SOMEBODY) } else { self }
    }

    /// Runs it as this user; only root can.
    pub fn by(mut self, user: u32) -> Session {
        self.command.uid(user).gid(user);
        self
    }

    /// Another file on standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Session {
        self.command().stdin(stdin);
        self
    }

    /// One word more.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Session {
        self.command.arg(word);
        self
    }

    /// Changes the command itself, for what only it can do.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Session {
        change(&mut self.command);
        self
    }

    /// Starts it, to be looked at while it runs.
    pub fn start(mut self) -> Child {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The command itself, for what only it can do.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Outcome {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().unwrap();
        let feeder = self.input.take().map(|bytes| {
            let mut stdin = child.stdin.take().unwrap();
            // A command that does not read its input to the end is no failure of the test.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)))
        });
        let output = child.wait_with_output().unwrap();
        if let Some(feeder) = feeder {
            feeder.join().unwrap();
        }
        Outcome { status: output.status, stdout: output.stdout, stderr: output.stderr }
    }

    /// Runs it; it must print exactly this on standard output, nothing on standard error, and succeed.
    #[track_caller]
    pub fn prints(self, stdout: &str) {
        self.run().check(0, stdout, "");
    }

    /// Runs it; it must end with this status, having printed exactly this.
    #[track_caller]
    pub fn ends(self, code: i32, stdout: &str, stderr: &str) {
        self.run().check(code, stdout, stderr);
    }
}

impl Outcome {
    /// The exit code, or 128 and the signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub fn check(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!((self.code(), self.stdout(), self.stderr()), (code, stdout.to_owned(), stderr.to_owned()));
    }
}
