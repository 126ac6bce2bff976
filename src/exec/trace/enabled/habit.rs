//! What programs go by when they look at a file. Of one that is not known here, everything that it could go by counts.

use std::collections::HashMap;
use std::path::Path;

use crate::sys::clock;
use crate::sys::tracee::Tracee;

/// How long it is believed of a thread that it executes the same program unless it was seen to execute another one, in
/// nanoseconds: no id is given to another process so soon.
const SAME_PROGRAM: u64 = 100_000_000;

/// Threads of which it is known what their programs go by, and since when, by the monotonic clock.
#[derive(Default)]
pub struct Habits {
    threads: HashMap<i32, (Habit, u64)>,
    /// Whether a program was executed that goes by more of a file than is noted for others.
    pub are_curious: bool,
}

impl Habits {
    /// What the program that a thread executes goes by.
    pub fn of(&mut self, tracee: Tracee) -> Habit {
        let now = clock::monotonic();
        match self.threads.get(&tracee.id()) {
            Some((habit, since)) if now.saturating_sub(*since) < SAME_PROGRAM => return *habit,
            _ => {}
        }
        let habit = tracee.program().map_or(Habit::Unknown, |program| Habit::of(&program));
        self.threads.insert(tracee.id(), (habit, now));
        habit
    }

    /// Some thread is about to execute another program.
    pub fn forget(&mut self) {
        self.threads.clear();
    }

    /// The program at `path` is executed.
    pub fn meet(&mut self, path: &Path) {
        self.are_curious |= matches!(Habit::of(path), Habit::Unknown | Habit::Wary);
    }
}

/// Those to which size, times and owner of a file make no difference, by the names of their files, without the prefix of a
/// target and the suffix of a version.
const BLIND: &[&str] = &[
    "cc1",
    "cc1plus",
    "cc1obj",
    "f951",
    "collect2",
    "lto1",
    "lto-wrapper",
    "as",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "mold",
    "gcc",
    "g++",
    "cc",
    "c++",
    "cpp",
    "clang",
    "clang++",
    "rustc",
    "nm",
];

/// Those that do not tell the times of a file that they opened (fstat(2) is not seen), and take stat(2) for what it says.
const TIMELESS: &[&str] = &[
    "sh",
    "dash",
    "bash",
    "zsh",
    "ksh",
    "busybox",
    "env",
    "cat",
    "tac",
    "head",
    "tail",
    "wc",
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "cut",
    "tr",
    "uniq",
    "comm",
    "join",
    "paste",
    "fold",
    "fmt",
    "nl",
    "od",
    "xxd",
    "hexdump",
    "rev",
    "split",
    "csplit",
    "cmp",
    "cksum",
    "sum",
    "md5sum",
    "sha1sum",
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
    "b2sum",
    "b3sum",
    "base32",
    "base64",
    "awk",
    "gawk",
    "mawk",
    "m4",
    "bison",
    "flex",
    "yacc",
    "lex",
    "bc",
    "dc",
    "find",
    "xargs",
    "ls",
    "dir",
    "vdir",
    "test",
    "[",
    "true",
    "false",
    "echo",
    "printf",
    "seq",
    "date",
    "expr",
    "tsort",
    "shuf",
    "factor",
    "numfmt",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "pwd",
    "uname",
    "id",
    "nproc",
    "sleep",
    "mktemp",
    "which",
    "diff",
    "diff3",
    "sdiff",
    "jq",
    "cargo",
    "pkg-config",
    "file",
    "strings",
    "size",
    "readelf",
    "objdump",
    "c++filt",
    "ldd",
];

/// The same, which asks for all only if it is to print it.
const EXACT: &[&str] = &["stat"];

/// The same, of which beside it is known that of a file which they then replace only its kind, its permissions and whether it
/// is older than others make a difference.
const REPLACING: &[&str] = &[
    "make", "gmake", "bmake", "tar", "ar", "ranlib", "strip", "objcopy", "patch", "sort", "tee", "sed", "dd",
    "truncate",
];

/// The same, to which the times of folders make no difference either.
const KEEPING: &[&str] = &[
    "cp", "mv", "ln", "rm", "rmdir", "mkdir", "mkfifo", "mknod", "install", "touch", "chmod", "chown", "chgrp",
    "unlink", "link",
];

/// Those that are known to do the same with and without io_uring(7): libuv makes a ring only to be told of what is ready.
const RINGLESS: &[&str] = &["node", "nodejs", "cmake", "ctest", "cpack"];

/// Whether it makes no difference to the program at `path` if it gets no rings.
pub fn needs_no_ring(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| RINGLESS.contains(&name))
}

/// Those that tell of the machine what no key holds: what is mounted, who is there, how much is used.
const MACHINE: &[&str] = &[
    "free",
    "uptime",
    "w",
    "who",
    "users",
    "last",
    "logname",
    "hostid",
    "hostnamectl",
    "top",
    "vmstat",
    "iostat",
    "mpstat",
    "lscpu",
    "lsmem",
    "lsblk",
    "lsusb",
    "lspci",
    "lsmod",
    "lsof",
    "lsns",
    "blkid",
    "findmnt",
    "mount",
    "df",
    "dmesg",
    "sysctl",
    "ss",
    "netstat",
    "ip",
    "ifconfig",
    "route",
    "arp",
    "getfacl",
    "getfattr",
    "getcap",
    "lsattr",
    "chattr",
];

/// Whether what the program at `path` prints is of the machine at that moment, and not of files.
pub fn tells_of_the_machine(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| MACHINE.contains(&name))
}

/// What a program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Whether something is there, and what, and that only of what is not its own output.
    Blind,
    /// Whether a file may be another one by now.
    Wary,
    /// What stat(2) tells, but of a folder.
    Keeping,
    /// What stat(2) tells; of a file that it then replaces less.
    Replacing,
    /// What stat(2) tells.
    Timeless,
    /// The same, and each single thing that it asks for is shown.
    Exact,
    /// Whatever can be known of a file.
    Unknown,
}

impl Habit {
    /// That of the program at `path`.
    pub fn of(path: &Path) -> Habit {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Habit::Unknown };
        match name {
            _ if WARY.contains(&name) => Habit::Wary,
            _ if EXACT.contains(&name) => Habit::Exact,
            _ if TIMELESS.contains(&name) => Habit::Timeless,
            _ if REPLACING.contains(&name) => Habit::Replacing,
            _ if KEEPING.contains(&name) => Habit::Keeping,
            _ if is_blind(path) => Habit::Blind,
            _ => Habit::Unknown,
        }
    }
}

/// Those that take a file for changed if its inode or the time of its last change of status is another. No key can tell of
/// these, since a copy has others; but the bytes tell what such a program would find out.
const WARY: &[&str] = &["git"];

/// Whether size, times and owner of a file make no difference to the program at `path`.
fn is_blind(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = without_version(name);
    // `x86_64-linux-gnu-gcc`, but not `my-cc`.
    let bare = match name.rsplit_once('-') {
        Some((target, bare)) if target.contains('-') => bare,
        Some(_) if name != "lto-wrapper" => return false,
        _ => name,
    };
    BLIND.contains(&bare) || BLIND.contains(&name)
}

/// `gcc-12` and `clang-16.0` without what follows the hyphen.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((bare, version)) if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            bare
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_known_by_their_names() {
        let blind = |name: &str| is_blind(&Path::new("/usr/bin").join(name));
        for name in
            ["cc1", "gcc-12", "x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-ld.bfd", "clang++-16.0", "lto-wrapper"]
        {
            assert!(blind(name), "{name}");
        }
        for name in ["make", "tar", "my-cc", "gcc-ng", "find", "x86_64-linux-gnu-make", "ccache"] {
            assert!(!blind(name), "{name}");
        }
        for (name, habit) in [
            ("gcc-12", Habit::Blind),
            ("git", Habit::Wary),
            ("cp", Habit::Keeping),
            ("make", Habit::Replacing),
            ("sh", Habit::Timeless),
            ("python3", Habit::Unknown),
            ("gzip", Habit::Unknown),
        ] {
            assert_eq!(Habit::of(&Path::new("/usr/bin").join(name)), habit, "{name}");
        }
    }
}
