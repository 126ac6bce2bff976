//! The system calls that are counted and made to fail: what each is about, and how it can fail.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use libc::pid_t;

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file of a cache, or a folder on the way to it.
    Cache,
    /// What a command makes, and what fleche makes beside it.
    Output,
    /// Another file of the world: inputs and programs.
    Work,
    /// Standard input, output or error.
    Stream,
    /// A file of the system's, or a configuration.
    Elsewhere,
    /// A pipe, a socket, or what else has no name.
    Nameless,
    /// Memory.
    Memory,
    /// Making a process, a thread or a descriptor without a file.
    Making,
}

/// Where the arguments of a call say what it is about.
#[derive(Clone, Copy, Debug)]
enum About {
    Path(usize),
    At(usize, usize),
    Descriptor(usize),
    Memory,
    Making,
}

/// Whether a call changes anything outside of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Alters,
    Looks,
}

/// A system call of the class.
#[derive(Debug)]
pub struct Shape {
    pub number: i64,
    pub name: &'static str,
    about: About,
    effect: Effect,
}

macro_rules! shapes {
    ($($(#[$attribute:meta])* $name:ident $about:ident($($index:literal),*) $effect:ident;)*) => {
        &[$($(#[$attribute])* Shape {
            number: libc::$name,
            // Behind `SYS_`.
            name: stringify!($name).split_at(4).1,
            about: shapes!(@ $about $($index),*),
            effect: Effect::$effect,
        }),*]
    };
    (@ Path $index:literal) => { About::Path($index) };
    (@ At $folder:literal, $path:literal) => { About::At($folder, $path) };
    (@ Descriptor $index:literal) => { About::Descriptor($index) };
    (@ Memory) => { About::Memory };
    (@ Making) => { About::Making };
}

/// Of two paths the one that is made counts.
const SHAPES: &[Shape] = shapes! {
    SYS_openat At(0, 1) Looks; SYS_openat2 At(0, 1) Looks;
    SYS_newfstatat At(0, 1) Looks; SYS_statx At(0, 1) Looks; SYS_fstat Descriptor(0) Looks;
    SYS_faccessat At(0, 1) Looks; SYS_faccessat2 At(0, 1) Looks; SYS_readlinkat At(0, 1) Looks;
    SYS_statfs Path(0) Looks; SYS_fstatfs Descriptor(0) Looks; SYS_getdents64 Descriptor(0) Looks;
    SYS_read Descriptor(0) Looks; SYS_pread64 Descriptor(0) Looks; SYS_readv Descriptor(0) Looks;
    SYS_preadv Descriptor(0) Looks; SYS_lseek Descriptor(0) Looks; SYS_ioctl Descriptor(0) Looks;
    SYS_close Descriptor(0) Looks;
    SYS_write Descriptor(0) Alters; SYS_pwrite64 Descriptor(0) Alters; SYS_writev Descriptor(0) Alters;
    SYS_pwritev Descriptor(0) Alters; SYS_copy_file_range Descriptor(2) Alters; SYS_sendfile Descriptor(0) Alters;
    SYS_splice Descriptor(2) Alters;
    SYS_fsync Descriptor(0) Alters; SYS_fdatasync Descriptor(0) Alters; SYS_ftruncate Descriptor(0) Alters;
    SYS_fallocate Descriptor(0) Alters; SYS_fchmod Descriptor(0) Alters; SYS_fchown Descriptor(0) Alters;
    SYS_fcntl Descriptor(0) Looks; SYS_flock Descriptor(0) Looks;
    SYS_mkdirat At(0, 1) Alters; SYS_unlinkat At(0, 1) Alters; SYS_symlinkat At(1, 2) Alters;
    SYS_renameat At(2, 3) Alters; SYS_renameat2 At(2, 3) Alters; SYS_linkat At(2, 3) Alters;
    SYS_fchmodat At(0, 1) Alters; SYS_utimensat At(0, 1) Alters;
    SYS_mmap Memory() Looks; SYS_mremap Memory() Looks; SYS_brk Memory() Looks;
    SYS_clone Making() Alters; SYS_clone3 Making() Alters; SYS_pipe2 Making() Looks; SYS_memfd_create Making() Looks;
    SYS_signalfd4 Making() Looks; SYS_eventfd2 Making() Looks; SYS_socketpair Making() Looks; SYS_pidfd_open Making() Looks;
    #[cfg(target_arch = "x86_64")] SYS_fork Making() Alters;
    #[cfg(target_arch = "x86_64")] SYS_open Path(0) Looks;
    #[cfg(target_arch = "x86_64")] SYS_stat Path(0) Looks;
    #[cfg(target_arch = "x86_64")] SYS_lstat Path(0) Looks;
    #[cfg(target_arch = "x86_64")] SYS_access Path(0) Looks;
    #[cfg(target_arch = "x86_64")] SYS_readlink Path(0) Looks;
    #[cfg(target_arch = "x86_64")] SYS_mkdir Path(0) Alters;
    #[cfg(target_arch = "x86_64")] SYS_rmdir Path(0) Alters;
    #[cfg(target_arch = "x86_64")] SYS_unlink Path(0) Alters;
    #[cfg(target_arch = "x86_64")] SYS_rename Path(1) Alters;
    #[cfg(target_arch = "x86_64")] SYS_link Path(1) Alters;
    #[cfg(target_arch = "x86_64")] SYS_symlink Path(1) Alters;
    #[cfg(target_arch = "x86_64")] SYS_chmod Path(0) Alters;
};

/// Which folders are what.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Folders of caches, or those in which they are made.
    pub caches: Vec<PathBuf>,
    /// What commands make.
    pub outputs: Vec<PathBuf>,
    /// The whole world.
    pub root: PathBuf,
}

/// One call: what it is, and what it is about.
#[derive(Clone, Debug)]
pub struct Met {
    pub shape: &'static Shape,
    pub kind: Kind,
    pub path: String,
    pub effect: Effect,
    pub flags: Flags,
}

/// What the arguments of a call say of how it can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// It makes a file or a folder, or makes one longer.
    Makes,
    /// It asks for a lock.
    Locks,
    None,
}

const AT_FDCWD: i32 = libc::AT_FDCWD;

impl Shape {
    pub fn of(number: i64) -> Option<&'static Shape> {
        SHAPES.iter().find(|shape| shape.number == number)
    }

    /// Which argument says how many bytes are to be moved.
    pub fn length_argument(&self) -> Option<usize> {
        match self.name {
            "read" | "write" | "pread64" | "pwrite64" => Some(2),
            "sendfile" => Some(3),
            "copy_file_range" => Some(4),
            _ => None,
        }
    }

    /// What a call with these arguments, at whose entry `pid` is stopped, is about; `None` where it cannot fail.
    pub fn meet(&'static self, pid: pid_t, arguments: &[u64; 6], ground: &Ground) -> Option<Met> {
        let mut effect = self.effect;
        let mut flags = match self.name {
            "write" | "pwrite64" | "writev" | "pwritev" | "copy_file_range" | "sendfile" | "fsync" | "fdatasync"
            | "ftruncate" | "fallocate" | "mkdir" | "mkdirat" | "symlink" | "symlinkat" | "rename" | "renameat"
            | "renameat2" | "link" | "linkat" => Flags::Makes,
            "flock" => Flags::Locks,
            _ => Flags::None,
        };
        let open_flags = match self.name {
            "open" => Some(arguments[1]),
            "openat" => Some(arguments[2]),
            _ => None,
        };
        if open_flags.is_some_and(|bits| bits & (libc::O_CREAT | libc::O_TRUNC) as u64 != 0) {
            (effect, flags) = (Effect::Alters, Flags::Makes);
        }
        if self.name == "fcntl" {
            match arguments[1] as i32 {
                // A lock goes with its process, and nobody else is there.
                libc::F_SETLK
                | libc::F_SETLKW
                | libc::F_OFD_SETLK
                | libc::F_OFD_SETLKW
                | libc::F_GETLK
                | libc::F_OFD_GETLK => flags = Flags::Locks,
                // Whether a descriptor is open, and such: no file system is asked.
                _ => return None,
            }
        }
        let (kind, path) = match self.about {
            About::Making => (Kind::Making, String::new()),
            About::Memory if self.name == "mmap" && arguments[4] as i32 >= 0 => {
                descriptor(pid, arguments[4] as i32, ground)
            }
            About::Memory => (Kind::Memory, String::new()),
            About::Descriptor(index) => descriptor(pid, arguments[index] as i32, ground),
            About::Path(index) => ground.place(&absolute(pid, AT_FDCWD, &text(pid, arguments[index])?)),
            About::At(folder, path) => {
                let (folder, name) = (arguments[folder] as i32, text(pid, arguments[path]).unwrap_or_default());
                if name.as_os_str().is_empty() {
                    descriptor(pid, folder, ground)
                } else {
                    ground.place(&absolute(pid, folder, &name))
                }
            }
        };
        Some(Met { shape: self, kind, path, effect, flags })
    }
}

impl Ground {
    fn place(&self, path: &Path) -> (Kind, String) {
        let kind = if self.caches.iter().any(|cache| path.starts_with(cache)) {
            Kind::Cache
        } else if self.outputs.iter().any(|output| path.starts_with(output)) || is_staged(path) {
            Kind::Output
        } else if path.starts_with(&self.root) {
            Kind::Work
        } else if path.is_absolute() {
            Kind::Elsewhere
        } else {
            Kind::Nameless
        };
        (kind, path.display().to_string())
    }
}

/// Whether it has a name that fleche gives for a moment.
fn is_staged(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".fleche-"))
}

fn descriptor(pid: pid_t, number: i32, ground: &Ground) -> (Kind, String) {
    if (0..3).contains(&number) {
        return (Kind::Stream, number.to_string());
    }
    match std::fs::read_link(format!("/proc/{pid}/fd/{number}")) {
        Ok(path) if path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:") => (Kind::Nameless, "memfd".into()),
        Ok(path) => ground.place(&path),
        Err(_) => (Kind::Nameless, String::new()),
    }
}

fn absolute(pid: pid_t, folder: i32, name: &Path) -> PathBuf {
    if name.is_absolute() {
        return name.to_owned();
    }
    let from = if folder == AT_FDCWD { format!("/proc/{pid}/cwd") } else { format!("/proc/{pid}/fd/{folder}") };
    std::fs::read_link(from).unwrap_or_default().join(name)
}

/// A path in the memory of another process.
fn text(pid: pid_t, address: u64) -> Option<PathBuf> {
    const PIECE: usize = 256;
    let mut bytes = Vec::new();
    let mut at = address;
    while bytes.len() < libc::PATH_MAX as usize {
        let mut piece = [0_u8; PIECE];
        // Not beyond what is a multiple of the piece, and so not into a page that may be missing.
        let length = PIECE - (at as usize % PIECE);
        let local = libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: length };
        let remote = libc::iovec { iov_base: at as *mut _, iov_len: length };
        // SAFETY: at most `length` bytes are written to `piece`.
        let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
        let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
        if let Some(end) = piece[..read].iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(&piece[..end]);
            return Some(PathBuf::from(OsString::from_vec(bytes)));
        }
        bytes.extend_from_slice(&piece[..read]);
        at += read as u64;
    }
    None
}
