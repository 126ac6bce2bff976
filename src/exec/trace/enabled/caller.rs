//! Who makes a call, and what it was told to look at: for paths that count only for some programs, or only where they are named.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::habit::Habit;
use crate::model::Keeper;
use crate::sys::clock;
use crate::sys::tracee::{Spot, Tracee};

/// How long it is believed of a thread that it is what it was, unless some thread was seen to execute another program, in
/// nanoseconds: no id is given to another process so soon.
const SAME_PROGRAM: u64 = 100_000_000;

/// Programs that are not known to the habits and keep nothing for themselves.
const KEEPING_NOTHING: &[&str] = &[
    "du", "pr", "tree", "less", "more", "gzip", "bzip2", "xz", "zstd", "lz4", "zip", "unzip", "cpio", "rsync", "7z",
    "7za", "openssl", "perl", "pax", "shasum", "fd", "fdfind", "ag", "ack",
];

/// Programs that say what they read in databases of names and of the kernel, or read it for a script of which the arguments do
/// not tell.
const TELLING: &[&str] =
    &["sh", "dash", "bash", "zsh", "ksh", "mksh", "busybox", "id", "whoami", "groups", "getent", "hostname"];

/// What the C library and shells read there for themselves.
const OWN: &[&str] = &[
    "/proc/filesystems",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/kernel/cap_last_cap",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/crypto/fips_enabled",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/fs/selinux",
    "/etc/ld.so.cache",
    "/usr/lib/locale",
];

/// Whether the C library, or a shell, reads what is at `path` for itself.
pub fn is_own(path: &Path) -> bool {
    OWN.iter().any(|own| path.starts_with(own))
}

/// Threads that were asked about, and since when, by the monotonic clock.
#[derive(Default)]
pub struct Callers {
    threads: HashMap<i32, (Arc<Caller>, u64)>,
}

impl Callers {
    /// Who a thread is.
    pub fn of(&mut self, tracee: Tracee) -> Arc<Caller> {
        let now = clock::monotonic();
        match self.threads.get(&tracee.id()) {
            Some((caller, since)) if now.saturating_sub(*since) < SAME_PROGRAM => return Arc::clone(caller),
            _ => {}
        }
        let caller = Arc::new(Caller::of(tracee));
        self.threads.insert(tracee.id(), (Arc::clone(&caller), now));
        caller
    }

    /// Some thread is about to execute another program.
    pub fn forget(&mut self) {
        self.threads.clear();
    }
}

/// A program and its arguments.
pub struct Caller {
    program: PathBuf,
    folder: Option<PathBuf>,
    /// Each with a zero byte at its end.
    arguments: Vec<u8>,
}

impl Caller {
    fn of(tracee: Tracee) -> Caller {
        let folder = tracee.spell(Spot::Folder).filter(|folder| folder.is_absolute());
        Caller { program: tracee.program().unwrap_or_default(), folder, arguments: tracee.arguments() }
    }

    fn name(&self) -> &str {
        self.program.file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// Whether the program is the `keeper` of such things, and so reads and writes them without a difference to what it does.
    pub fn is(&self, keeper: Keeper) -> bool {
        let name = self.name();
        let is_cargo = name == "cargo" || name.starts_with("cargo-");
        match keeper {
            Keeper::Python => name.starts_with("python") || name.starts_with("pypy"),
            Keeper::Cargo => is_cargo || name == "rustup",
            Keeper::Any => {
                is_cargo
                    || Habit::of(&self.program) == Habit::Unknown
                        && !KEEPING_NOTHING.contains(&name)
                        && !TELLING.contains(&name)
            }
        }
    }

    /// Whether it preprocesses what it compiles.
    pub fn preprocesses(&self) -> bool {
        const PREPROCESSORS: &[&str] = &["cc1", "cpp", "clang", "f951"];
        self.name().split('-').any(|part| PREPROCESSORS.iter().any(|name| part.starts_with(name)))
    }

    /// Whether `text` stands in its arguments.
    pub fn mentions(&self, text: &[u8]) -> bool {
        memchr::memmem::find(&self.arguments, text).is_some()
    }

    /// Whether the program may say what it reads at `path`, one that tells of the machine, without having been told to.
    pub fn tells(&self, path: &Path) -> bool {
        TELLING.contains(&self.name()) && !is_own(path)
    }

    /// Whether the arguments name `path`, which the call gives as `text`, or a folder of those of which `is_within` holds that
    /// it is in: alone, or as a part of something longer, as in `--file=/etc/hosts` and `sh -c 'read x </proc/uptime'`.
    pub fn names(&self, path: &Path, text: &[u8], is_within: &dyn Fn(&Path) -> bool) -> bool {
        let words = || self.arguments.split(|byte| *byte == 0).skip(1).filter(|word| !word.is_empty());
        if words().next().is_none() {
            return false;
        }
        if text.contains(&b'/') && words().any(|word| holds(word, text)) || words().any(|word| word == text) {
            return true;
        }
        let places: Vec<&Path> = path.ancestors().take_while(|place| *place == path || is_within(place)).collect();
        let top = places.last().and_then(|top| top.parent());
        places.iter().any(|place| {
            let whole = place.as_os_str().as_bytes();
            // From where the region begins on: `~/.cache/x`, `$HOME/.cache/x`.
            let tail = top.and_then(|top| place.strip_prefix(top).ok()).map(|tail| tail.as_os_str().as_bytes());
            let tail = tail.filter(|tail| tail.contains(&b'/'));
            words()
                .any(|word| holds(word, whole) || tail.is_some_and(|tail| holds(word, tail)) || self.leads(word, place))
        })
    }

    /// Whether a word, or what follows the `=` in it, is a path to `place`.
    fn leads(&self, word: &[u8], place: &Path) -> bool {
        let value = word.iter().position(|byte| *byte == b'=').map(|at| &word[at + 1..]);
        let Some(folder) = &self.folder else { return false };
        [Some(word), value]
            .into_iter()
            .flatten()
            .any(|word| !word.is_empty() && lexical(folder, Path::new(OsStr::from_bytes(word))) == place)
    }
}

/// Whether `text` stands in `word` and ends there as a path does, not in the middle of a name or of a longer path.
fn holds(word: &[u8], text: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+~@%".contains(byte);
    memchr::memmem::find_iter(word, text).any(|at| match &word[at + text.len()..] {
        [] => true,
        [b'/', rest @ ..] => rest.first().is_none_or(|byte| !is_of_name(byte)),
        [next, ..] => !is_of_name(next),
    })
}

/// A path from `folder` on without `.` and `..`, links not gone through.
fn lexical(folder: &Path, path: &Path) -> PathBuf {
    let mut place = folder.to_owned();
    for component in path.components() {
        match component {
            Component::RootDir => place = PathBuf::from("/"),
            Component::ParentDir => drop(place.pop()),
            Component::Normal(name) => place.push(name),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(program: &str, arguments: &[&str]) -> Caller {
        let arguments = [&["program"], arguments].concat().join("\0") + "\0";
        Caller { program: program.into(), folder: Some("/w/sub".into()), arguments: arguments.into_bytes() }
    }

    #[test]
    fn caches_are_kept_by_those_who_are_not_known_to_keep_none() {
        let is = |program: &str, keeper| caller(program, &[]).is(keeper);
        for program in ["/usr/bin/fc-list", "/usr/bin/ccache", "/opt/go/bin/go", "/root/.cargo/bin/cargo"] {
            assert!(is(program, Keeper::Any), "{program}");
        }
        for program in ["/bin/sh", "/bin/cat", "/usr/bin/du", "/usr/bin/gcc", "/usr/bin/git", "/usr/bin/id"] {
            assert!(!is(program, Keeper::Any), "{program}");
        }
        assert!(is("/usr/bin/python3.11", Keeper::Python) && !is("/usr/bin/tar", Keeper::Python));
        assert!(is("/usr/bin/cargo", Keeper::Cargo) && !is("/usr/bin/python3", Keeper::Cargo));
    }

    #[test]
    fn paths_are_named_alone_and_in_what_is_longer() {
        let within = |place: &Path| place.starts_with("/h/.cache");
        let names = |arguments: &[&str], path: &str, text: &str| {
            caller("/bin/cat", arguments).names(Path::new(path), text.as_bytes(), &within)
        };
        let path = "/h/.cache/d/x";
        for argument in [
            path,
            "/h/.cache/d",
            "--in=/h/.cache",
            "-I/h/.cache/d/",
            "read l </h/.cache/d/x; echo",
            "open('~/.cache/d/x')",
            "@/h/.cache/d/x",
            "../../h/.cache",
            "in=../../h/.cache/d",
        ] {
            assert!(names(&[argument], path, path), "{argument}");
        }
        for argument in ["/h", "/h/.cache/d/xy", "/h/.cache/other", "/h/.cache/d/x/y", "x", "cache", ""] {
            assert!(!names(&[argument], path, path), "{argument}");
        }
        assert!(names(&["x"], path, "x") && names(&["-f", "d/x"], path, "d/x") && !names(&[], path, path));
        // The program's own name is no argument.
        assert!(!caller("/bin/cat", &[]).names(Path::new("program"), b"program", &within));
    }

    #[test]
    fn shells_tell_what_they_read_but_for_what_the_library_reads() {
        let tells = |program: &str, path: &str| caller(program, &[]).tells(Path::new(path));
        assert!(tells("/bin/dash", "/proc/loadavg") && tells("/usr/bin/getent", "/etc/hosts"));
        assert!(!tells("/bin/dash", "/etc/ld.so.cache") && !tells("/bin/ls", "/etc/passwd"));
    }
}
