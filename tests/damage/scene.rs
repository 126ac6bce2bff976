//! A world whose cache holds one of everything, a copy of that cache, and what a bare run does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::Connection;

use crate::world::{Outcome, Session, World, is_root};

/// Nothing takes so long but what never ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Larger than what a call's own file holds.
pub const LARGE: usize = 17_000;
/// What the tool leaves.
const MADE: [&str; 2] = ["made", "large"];

/// The two ways in which the tool is run with fleche.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its inputs and outputs are declared.
    Declared,
    /// It is watched.
    Watched,
}

pub const WAYS: [Way; 2] = [Way::Declared, Way::Watched];

/// Who runs fleche.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Us,
    /// An ordinary user, who can be refused something.
    Somebody,
}

/// What a run was like.
#[derive(Debug)]
pub struct Run {
    /// Whether the tool was executed.
    pub ran: bool,
    /// What fleche said.
    pub said: String,
}

pub struct Scene {
    pub world: World,
    who: Who,
    /// What the tool does without fleche, in a world of its own.
    bare: Bare,
    processes: Cell<usize>,
    keys: RefCell<Vec<String>>,
}

/// What a run leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Bare {
    code: i32,
    stdout: Vec<u8>,
    /// Without what fleche says.
    stderr: Vec<u8>,
    files: BTreeMap<&'static str, Option<(u32, Vec<u8>)>>,
}

impl Bare {
    fn of(world: &World, outcome: &Outcome) -> (Bare, String) {
        let (said, stderr): (Vec<&[u8]>, Vec<&[u8]>) =
            outcome.stderr.split_inclusive(|byte| *byte == b'\n').partition(|line| line.starts_with(b"fleche: "));
        assert!(said.len() <= 1, "more than one line: {}", outcome.stderr());
        let file = |name: &'static str| {
            let path = world.path(name);
            let mode = fs::symlink_metadata(&path).ok()?.permissions().mode();
            Some((mode, fs::read(&path).ok()?))
        };
        let files = MADE.into_iter().map(|name| (name, file(name))).collect();
        let bare = Bare { code: outcome.code(), stdout: outcome.stdout.clone(), stderr: stderr.concat(), files };
        (bare, String::from_utf8(said.concat()).unwrap())
    }
}

/// A world in which the tool can be run.
fn world() -> World {
    let world = World::new();
    let count = "mkdir -p \"$HOME/.cache/count\"; echo x >> \"$HOME/.cache/count/tool\"";
    let body =
        format!("{count}\ncat input; echo err >&2; cp input made; head -c {LARGE} /dev/zero | tr '\\0' m > large");
    world.script("tool", &format!("#!/bin/sh\n{body}\nhead -c {LARGE} /dev/zero | tr '\\0' s; exit 0\n"));
    world.script("show", "#!/bin/sh\ncat \"$1\"\n");
    world.write("input", "1\n");
    world
}

impl Scene {
    /// A cache that both ways and questions have filled, with one of each kind of file.
    pub fn new() -> Scene {
        Scene::of(Who::Us)
    }

    /// The same of an ordinary user.
    pub fn of_somebody() -> Scene {
        Scene::of(Who::Somebody)
    }

    fn of(who: Who) -> Scene {
        let twin = world();
        let (bare, said) = Bare::of(&twin, &within_a_minute(twin.program("./tool", [""; 0])));
        assert!(said.is_empty() && bare.code == 0 && bare.stdout.len() > LARGE && bare.files["large"].is_some());
        let scene = Scene { world: world(), who, bare, processes: Cell::new(0), keys: RefCell::default() };
        if who == Who::Somebody {
            scene.world.give_away();
        }
        scene.fill();
        scene.keep();
        scene
    }

    /// Makes one of everything.
    fn fill(&self) {
        for way in WAYS {
            assert!(self.run(way).ran && !self.run(way).ran, "{way:?} is not replayed");
        }
        *self.keys.borrow_mut() = WAYS.map(|way| self.asked_key(way)).to_vec();
        let key = self.key(Way::Declared);
        let session = self.fleche(&["run", "-i", "show", "--", "./show", &format!("fleche:{key}")]);
        assert_eq!(self.outcome(session.env("FLECHE_SESSION", "job")).code(), 0);
        // What another machine is to have, and cannot be given: where it would be put is not there.
        let (team, signing) = (self.world.root().join("team.toml"), "4c".repeat(32));
        let nowhere = self.world.root().join("nowhere").display().to_string();
        let settings = "access = \"read-write\"\nupload = [\"cat *\"]";
        let store = format!("[caches.team]\nurl = \"file://{nowhere}\"\nsigning-key = \"{signing}\"\n{settings}\n");
        fs::write(&team, format!("cache = [\"local\", \"team\"]\n{store}")).unwrap();
        let shared = self.fleche(&["run", "-i", "show", "--", "cat", "show"]).env("FLECHE_CONFIG", &team);
        let shared = self.outcome(shared);
        assert_eq!(shared.code(), 0, "{shared:?}");
        self.world.is_alone();
        assert_eq!(self.outcome(self.fleche(&["evict", "--name", "cat"])).code(), 0);
        // What is never stored is counted too.
        assert_eq!(self.outcome(self.fleche(&["run", "-i", "input", "--", "false"])).code(), 1);
        self.rotate();
        for way in WAYS {
            assert!(!self.run(way).ran);
        }
        assert_eq!(self.outcome(self.fleche(&["tag", &key, "pin"])).code(), 0);
        // Something that is damaged already.
        let damaged = self.cache().join("paths").join("00");
        fs::create_dir_all(&damaged).unwrap();
        self.own(&damaged);
        self.leave_a_wal();
        fs::create_dir_all(self.cache().join("quarantine")).unwrap();
        fs::write(self.cache().join("quarantine/calls-00-00.1"), "x").unwrap();
        fs::write(self.cache().join("tmp/left-behind"), "x").unwrap();
        ["quarantine", "quarantine/calls-00-00.1", "tmp/left-behind"].iter().for_each(|name| {
            let path = self.cache().join(name);
            fs::set_permissions(&path, Permissions::from_mode(if path.is_dir() { 0o700 } else { 0o600 })).unwrap();
            self.own(&path);
        });
    }

    /// Lets the journal make room for a new one, which leaves a ledger; what is old becomes short again.
    fn rotate(&self) {
        let journal = self.cache().join("journal");
        let told = fs::metadata(&journal).unwrap().len();
        let padding = [vec![b'x'; 4 << 20], vec![b'\n']].concat();
        std::io::Write::write_all(&mut File::options().append(true).open(&journal).unwrap(), &padding).unwrap();
        assert_eq!(self.outcome(self.fleche(&["stats"])).code(), 0);
        let old = self.cache().join("journal.old");
        assert!(old.exists() && self.cache().join("ledger").exists(), "the journal did not make room");
        File::options().write(true).open(old).unwrap().set_len(told).unwrap();
    }

    /// A catalogue of which a part is still in its write-ahead log, as a process leaves it that is killed.
    fn leave_a_wal(&self) {
        let index = self.cache().join("index.sqlite");
        let reader = Connection::open(&index).unwrap();
        let count = |connection: &Connection| -> i64 {
            connection.query_row("SELECT count(*) FROM call", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(&reader), 3);
        // Whoever closes it last would take the log in.
        assert_eq!(self.outcome(self.fleche(&["query", "--count"])).code(), 0);
        let aside = self.world.root().join("aside");
        fs::create_dir_all(&aside).unwrap();
        let files = ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"];
        for name in files {
            fs::copy(self.cache().join(name), aside.join(name)).unwrap();
        }
        drop(reader);
        for name in files {
            fs::copy(aside.join(name), self.cache().join(name)).unwrap();
            fs::set_permissions(self.cache().join(name), Permissions::from_mode(0o600)).unwrap();
            self.own(&self.cache().join(name));
        }
        assert!(fs::metadata(self.cache().join("index.sqlite-wal")).unwrap().len() > 4096, "the log is empty");
    }

    /// Gives a file that we made to the one who runs fleche.
    pub fn own(&self, path: &Path) {
        if self.who == Who::Somebody && is_root() {
            std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
        }
    }

    pub fn cache(&self) -> PathBuf {
        self.world.cache()
    }

    fn pristine(&self) -> PathBuf {
        self.world.root().join("pristine")
    }

    /// Remembers the cache as it is.
    pub fn keep(&self) {
        copy(&self.cache(), &self.pristine(), self);
    }

    /// Makes the cache what it was.
    pub fn restore(&self) {
        self.world.is_alone();
        clear(&self.cache());
        copy(&self.pristine(), &self.cache(), self);
    }

    /// How many processes were started here.
    pub fn processes(&self) -> usize {
        self.processes.get()
    }

    pub fn fleche(&self, words: &[&str]) -> Session {
        match self.who {
            Who::Us => self.world.fleche(words),
            Who::Somebody => self.world.program(self.world.root().join("fleche"), words).by_somebody(),
        }
    }

    /// Runs something to its end, which must come.
    #[track_caller]
    pub fn outcome(&self, session: Session) -> Outcome {
        self.processes.set(self.processes.get() + 1);
        let outcome = within_a_minute(session);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "a panic: {stderr}");
        outcome
    }

    /// Runs the tool with fleche: what it prints and leaves must be what it does without.
    #[track_caller]
    pub fn run(&self, way: Way) -> Run {
        self.run_as(way, |session| session)
    }

    /// The same, in a changed way.
    #[track_caller]
    pub fn run_as(&self, way: Way, change: impl FnOnce(Session) -> Session) -> Run {
        for name in MADE {
            let _ = fs::remove_file(self.world.path(name));
        }
        let scratch = self.world.home().join(".cache/count");
        let words = match way {
            Way::Declared => vec!["run", "-i", "input", "-o", "made", "-o", "large", "--", "./tool"],
            Way::Watched => vec!["run", "--scratch", scratch.to_str().unwrap(), "--", "./tool"],
        };
        let before = self.executions();
        let outcome = self.outcome(change(self.fleche(&words)));
        let (left, said) = Bare::of(&self.world, &outcome);
        let ran = self.executions() - before;
        assert!(
            left == self.bare,
            "{way:?} is not as bare ({ran} executions): {said}{}",
            difference(&left, &self.bare)
        );
        assert!(ran <= 1, "{ran} executions");
        Run { ran: ran == 1, said }
    }

    /// Runs it twice: right both times, and the second time it must be a replay without a word.
    #[track_caller]
    pub fn heals(&self, way: Way) -> Run {
        let first = self.run(way);
        let second = self.run(way);
        assert!(!second.ran && second.said.is_empty(), "{way:?} is not healed: first {first:?}, then {second:?}");
        first
    }

    fn executions(&self) -> usize {
        fs::read(self.world.home().join(".cache/count/tool")).map_or(0, |noted| noted.len() / 2)
    }

    /// The key of the call of this way.
    pub fn key(&self, way: Way) -> String {
        self.keys.borrow()[way as usize].clone()
    }

    /// The same, as the catalogue knows it now.
    #[track_caller]
    pub fn asked_key(&self, way: Way) -> String {
        let grade = if way == Way::Declared { "declared" } else { "traced" };
        let outcome = self.outcome(self.fleche(&["query", "--name", "tool", "--grade", grade]));
        let key = outcome.stdout().trim_end().to_owned();
        assert_eq!(key.len(), 64, "{outcome:?}");
        key
    }

    /// All paths below the cache, relative, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let cache = self.cache();
        let entries = walkdir::WalkDir::new(&cache).min_depth(1).sort_by_file_name().into_iter().filter_map(Result::ok);
        entries.map(|entry| entry.path().strip_prefix(&cache).unwrap().to_owned()).collect()
    }

    /// The one file below a folder of the cache, for which `is_it` holds.
    #[track_caller]
    pub fn only(&self, folder: &str, is_it: impl Fn(&Path) -> bool) -> PathBuf {
        let files =
            self.paths().into_iter().filter(|path| path.starts_with(folder) && self.cache().join(path).is_file());
        let found: Vec<PathBuf> = files.map(|path| self.cache().join(path)).filter(|path| is_it(path)).collect();
        assert_eq!(found.len(), 1, "{folder}: {found:?}");
        found.into_iter().next().unwrap()
    }

    /// The file of the call of this way.
    #[track_caller]
    pub fn call_file(&self, way: Way) -> PathBuf {
        let key = self.key(way);
        self.cache().join("calls").join(&key[..2]).join(&key[2..])
    }

    /// The file of the path sets of the watched command.
    #[track_caller]
    pub fn paths_file(&self) -> PathBuf {
        self.largest("paths")
    }

    /// The largest file below a folder.
    #[track_caller]
    pub fn largest(&self, folder: &str) -> PathBuf {
        let files =
            self.paths().into_iter().filter(|path| path.starts_with(folder)).map(|path| self.cache().join(path));
        files.filter(|path| path.is_file()).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
}

fn difference(left: &Bare, bare: &Bare) -> String {
    let mut text = String::new();
    if left.code != bare.code {
        text += &format!(" status {} not {};", left.code, bare.code);
    }
    if left.stdout != bare.stdout {
        text += &format!(" stdout of {} bytes, not {};", left.stdout.len(), bare.stdout.len());
    }
    if left.stderr != bare.stderr {
        text += &format!(" stderr {:?};", String::from_utf8_lossy(&left.stderr));
    }
    for (name, file) in left.files.iter().filter(|(name, file)| bare.files[*name] != **file) {
        text += &format!(" {name} {:?};", file.as_ref().map(|(mode, bytes)| (mode, bytes.len())));
    }
    text
}

/// Runs something to its end; what does not come to one in a minute is killed, and the step fails.
fn within_a_minute(session: Session) -> Outcome {
    let child = session.start();
    let id = child.id() as libc::pid_t;
    let (ended, end) = channel::<()>();
    let guard = std::thread::spawn(move || {
        let hangs = end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: one system call, for a process that was not waited for yet.
            unsafe { libc::kill(id, libc::SIGKILL) };
        }
        hangs
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(!guard.join().unwrap(), "it hangs");
    Outcome { status: output.status, stdout: output.stdout, stderr: output.stderr }
}

/// Removes a folder with all in it, whatever rights it has.
pub fn clear(folder: &Path) {
    match fs::symlink_metadata(folder) {
        Err(_) => {}
        Ok(found) if found.is_dir() => {
            fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
            for entry in fs::read_dir(folder).unwrap() {
                clear(&entry.unwrap().path());
            }
            fs::remove_dir(folder).unwrap();
        }
        Ok(_) => fs::remove_file(folder).unwrap(),
    }
}

/// Copies what is at `from` with its modes and modification times.
pub fn copy(from: &Path, to: &Path, scene: &Scene) {
    let found = fs::symlink_metadata(from).unwrap();
    if found.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
        return;
    }
    if found.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()), scene);
        }
    } else {
        fs::copy(from, to).unwrap();
    }
    File::open(to).unwrap().set_modified(found.modified().unwrap()).unwrap();
    fs::set_permissions(to, found.permissions()).unwrap();
    scene.own(to);
}

/// Every path below a folder with its inode, size, mode, times and link text: equal before and after means that nothing was
/// touched.
pub fn everything(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let told = |path: &Path| {
        let found = fs::symlink_metadata(path).unwrap();
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        format!("{} {} {:o} {times:?} {:?}", found.ino(), found.size(), found.mode(), fs::read_link(path).ok())
    };
    entries.map(|entry| (entry.path().to_owned(), told(entry.path()))).collect()
}
