//! A view of the file system and a network of its own, which a child enters before it becomes the program.
//!
//! Name spaces, because only they do all three things that are asked for: what is not shown has no path, what is shown can be
//! made read-only with its modes and times, and there is no network beyond the loopback device, nor another's sockets. Landlock,
//! the alternative, hides no names, knows nothing of `chmod(2)`, and of the network only TCP before Linux 6.12.
//!
//! All that needs memory is laid out in the parent; the child only makes system calls.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::identity;
use super::seccomp::call;

/// What a child does to be confined, in order.
pub struct Confinement {
    /// The folder that becomes the root, as it is called outside.
    base: PathBuf,
    steps: Vec<Step>,
}

/// One thing that is done.
struct Step {
    act: Act,
    need: Need,
}

/// What it means that something cannot be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The command must not run.
    Required,
    /// It lacks a convenience.
    Welcome,
}

enum Act {
    /// Name spaces of its own.
    Leave,
    Write {
        path: CString,
        text: Vec<u8>,
    },
    Mount {
        from: CString,
        at: CString,
        kind: CString,
        flags: libc::c_ulong,
    },
    Freeze {
        at: CString,
        below: usize,
    },
    MakeFolder(CString),
    MakeFile(CString),
    Link {
        text: CString,
        at: CString,
    },
    /// The base becomes the root, and nothing of the former one is left.
    Turn(CString),
    RaiseLoopback,
    /// Rights over the name spaces are given up.
    GiveUp,
    ChangeTo(CString),
}

/// What a command may do with what it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Change it as well.
    Write,
}

/// Why a child could not be confined.
#[derive(Debug)]
pub struct Refusal {
    /// What the kernel did not allow, as in "a network of its own".
    pub what: String,
    /// What it said.
    pub why: io::Error,
}

const HERE: usize = libc::AT_FDCWD as isize as usize;
const RECURSIVE: usize = 0x8000;
const READ_ONLY: u64 = 1;
const NO_SETUID: u64 = 2;
/// Rights that root has over its own files: without them a command of root's would be refused what it is used to. None of
/// them reaches beyond what is shown: whatever belongs to others is nobody's in there.
const KEPT: u64 = 0b1111_1011;
const LAST_CAPABILITY: usize = 63;
const LOOPBACK: &[u8] = b"lo\0";

/// See `mount_setattr(2)`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_name_space: u64,
}

impl Confinement {
    /// A view in which nothing is yet, to be made at `base`: an empty folder, absolute and without links.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn new(base: &Path) -> io::Result<Confinement> {
        let (user, group) = (identity::effective_user(), rustix::process::getegid().as_raw());
        let mut confinement = Confinement { base: base.to_owned(), steps: Vec::new() };
        confinement.push(Act::Leave);
        let files = [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{user} {user} 1")),
            ("/proc/self/gid_map", format!("{group} {group} 1")),
        ];
        for (path, text) in files {
            confinement.push(Act::Write { path: CString::new(path)?, text: text.into_bytes() });
        }
        let private = libc::MS_REC | libc::MS_PRIVATE;
        confinement.push(Act::Mount { from: c"none".into(), at: c"/".into(), kind: c"".into(), flags: private });
        let (at, flags) = (confinement.name(Path::new("/"))?, libc::MS_NOSUID | libc::MS_NODEV);
        confinement.push(Act::Mount { from: c"tmpfs".into(), at, kind: c"tmpfs".into(), flags });
        Ok(confinement)
    }

    /// Makes the folder `at` in the view, and what is missing above it.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn make_folder(&mut self, at: &Path) -> io::Result<()> {
        let mut path = PathBuf::from("/");
        for part in at.components() {
            if let Component::Normal(name) = part {
                path.push(name);
                let name = self.name(&path)?;
                self.push(Act::MakeFolder(name));
            }
        }
        Ok(())
    }

    /// Shows the folder `from`, with what is mounted below it, at `at`.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn show_folder(&mut self, from: &Path, at: &Path, access: Access) -> io::Result<()> {
        self.make_folder(at)?;
        self.show(from, at, access)
    }

    /// Shows what is no folder.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn show_file(&mut self, from: &Path, at: &Path, access: Access) -> io::Result<()> {
        self.make_folder(at.parent().unwrap_or(at))?;
        let name = self.name(at)?;
        self.push(Act::MakeFile(name));
        self.show(from, at, access)
    }

    fn show(&mut self, from: &Path, at: &Path, access: Access) -> io::Result<()> {
        let (from, at) = (CString::new(from.as_os_str().as_bytes())?, self.name(at)?);
        let flags = libc::MS_BIND | libc::MS_REC;
        self.push(Act::Mount { from, at: at.clone(), kind: c"".into(), flags });
        if access == Access::Read {
            self.push(Act::Freeze { at, below: RECURSIVE });
        }
        Ok(())
    }

    /// Makes a symbolic link in the view.
    ///
    /// # Errors
    ///
    /// A zero byte.
    pub fn link(&mut self, text: &Path, at: &Path) -> io::Result<()> {
        self.make_folder(at.parent().unwrap_or(at))?;
        let (text, at) = (CString::new(text.as_os_str().as_bytes())?, self.name(at)?);
        self.push(Act::Link { text, at });
        Ok(())
    }

    /// Terminals of its own at `at`, for programs that make them; where that is not allowed there are none.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn make_terminals(&mut self, at: &Path) -> io::Result<()> {
        self.make_folder(at)?;
        let (at, flags) = (self.name(at)?, libc::MS_NOSUID | libc::MS_NOEXEC);
        let act = Act::Mount { from: c"devpts".into(), at, kind: c"devpts".into(), flags };
        self.steps.push(Step { act, need: Need::Welcome });
        Ok(())
    }

    /// Completes it: the view becomes all that there is, and `folder` the working directory.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub fn complete(mut self, folder: &Path) -> io::Result<Confinement> {
        let base = self.name(Path::new("/"))?;
        self.push(Act::Turn(base));
        self.push(Act::Freeze { at: c"/".into(), below: 0 });
        self.steps.push(Step { act: Act::RaiseLoopback, need: Need::Welcome });
        self.push(Act::ChangeTo(CString::new(folder.as_os_str().as_bytes())?));
        self.push(Act::GiveUp);
        Ok(self)
    }

    fn push(&mut self, act: Act) {
        self.steps.push(Step { act, need: Need::Required });
    }

    /// What `at` in the view is called until it is the only one.
    fn name(&self, at: &Path) -> io::Result<CString> {
        let below = at.strip_prefix("/").unwrap_or(at);
        Ok(CString::new(self.base.join(below).as_os_str().as_bytes())?)
    }

    /// Does it all in a process that is about to become a program; where that fails, at which step and with which error
    /// number. Async-signal-safe, and leaves `errno` alone.
    pub(super) fn enter(&self) -> Result<(), (usize, i32)> {
        // Modes are those that are asked for.
        let mask = system(libc::SYS_umask, [0; 5]);
        for (number, step) in self.steps.iter().enumerate() {
            match step.act.carry_out() {
                errno @ 1.. if step.need == Need::Required => return Err((number, errno)),
                _ => {}
            }
        }
        system(libc::SYS_umask, [mask as usize, 0, 0, 0, 0]);
        Ok(())
    }

    /// What the step with this number, which failed with this error number, was to do.
    pub(super) fn refusal(&self, number: usize, errno: i32) -> Refusal {
        let shown = |path: &CStr| {
            let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
            path.strip_prefix(&self.base).map_or(path.to_owned(), |below| Path::new("/").join(below))
        };
        let what = match self.steps.get(number).map(|step| &step.act) {
            Some(Act::Leave) => "name spaces of its own (user, mount, network)".to_owned(),
            Some(Act::Write { .. } | Act::GiveUp) => "a user of its own".to_owned(),
            Some(Act::Mount { at, .. } | Act::Freeze { at, .. } | Act::MakeFolder(at) | Act::MakeFile(at)) => {
                format!("`{}` in a file system of its own", shown(at).display())
            }
            Some(Act::ChangeTo(at) | Act::Link { at, .. }) => {
                format!("`{}` in a file system of its own", shown(at).display())
            }
            _ => "a file system of its own".to_owned(),
        };
        Refusal { what, why: io::Error::from_raw_os_error(errno) }
    }
}

impl Act {
    /// Zero or the error number.
    fn carry_out(&self) -> i32 {
        match self {
            Act::Leave => {
                let spaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
                errno(system(libc::SYS_unshare, [spaces as usize, 0, 0, 0, 0]))
            }
            Act::Write { path, text } => write(path, text),
            Act::Mount { from, at, kind, flags } => {
                let kind = if kind.is_empty() { 0 } else { kind.as_ptr() as usize };
                let arguments = [from.as_ptr() as usize, at.as_ptr() as usize, kind, *flags as usize, 0];
                errno(system(libc::SYS_mount, arguments))
            }
            Act::Freeze { at, below } => freeze(at, *below),
            Act::MakeFolder(at) => {
                let made = system(libc::SYS_mkdirat, [HERE, at.as_ptr() as usize, 0o755, 0, 0]);
                unless_there(errno(made))
            }
            Act::MakeFile(at) => {
                let mode = (libc::S_IFREG | 0o644) as usize;
                unless_there(errno(system(libc::SYS_mknodat, [HERE, at.as_ptr() as usize, mode, 0, 0])))
            }
            Act::Link { text, at } => {
                let arguments = [text.as_ptr() as usize, HERE, at.as_ptr() as usize, 0, 0];
                unless_there(errno(system(libc::SYS_symlinkat, arguments)))
            }
            Act::Turn(base) => turn(base),
            Act::RaiseLoopback => raise_loopback(),
            Act::GiveUp => give_up(),
            Act::ChangeTo(folder) => errno(system(libc::SYS_chdir, [folder.as_ptr() as usize, 0, 0, 0, 0])),
        }
    }
}

/// What cannot be made because it is there, or lies where nothing can be made, is told of when it is to be used.
fn unless_there(errno: i32) -> i32 {
    if matches!(errno, libc::EEXIST | libc::EROFS) { 0 } else { errno }
}

fn write(path: &CStr, text: &[u8]) -> i32 {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    let file = system(libc::SYS_openat, [HERE, path.as_ptr() as usize, flags, 0, 0]);
    let Ok(number) = usize::try_from(file) else { return errno(file) };
    let written = system(libc::SYS_write, [number, text.as_ptr() as usize, text.len(), 0, 0]);
    system(libc::SYS_close, [number, 0, 0, 0, 0]);
    errno(written)
}

fn freeze(at: &CStr, below: usize) -> i32 {
    let attributes = MountAttributes { set: READ_ONLY | NO_SETUID, clear: 0, propagation: 0, user_name_space: 0 };
    let place = (&raw const attributes) as usize;
    let arguments = [HERE, at.as_ptr() as usize, below, place, size_of::<MountAttributes>()];
    errno(system(libc::SYS_mount_setattr, arguments))
}

/// See `pivot_root(2)` for the way without a folder for the former root.
fn turn(base: &CStr) -> i32 {
    let here = c".".as_ptr() as usize;
    let steps: [(libc::c_long, [usize; 5]); 4] = [
        (libc::SYS_chdir, [base.as_ptr() as usize, 0, 0, 0, 0]),
        (libc::SYS_pivot_root, [here, here, 0, 0, 0]),
        (libc::SYS_umount2, [here, libc::MNT_DETACH as usize, 0, 0, 0]),
        (libc::SYS_chdir, [c"/".as_ptr() as usize, 0, 0, 0, 0]),
    ];
    steps.iter().map(|(number, arguments)| errno(system(*number, *arguments))).find(|errno| *errno != 0).unwrap_or(0)
}

/// A network name space begins with its loopback device down.
fn raise_loopback() -> i32 {
    let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
    let socket = system(libc::SYS_socket, [libc::AF_INET as usize, kind, 0, 0, 0]);
    let Ok(number) = usize::try_from(socket) else { return errno(socket) };
    // Name and flags, see netdevice(7); aligned as the kernel's structure is.
    let mut request = [0u64; 5];
    let mut name = [0u8; 8];
    name[..LOOPBACK.len()].copy_from_slice(LOOPBACK);
    request[0] = u64::from_ne_bytes(name);
    let mut flags = [0u8; 8];
    flags[..2].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
    request[2] = u64::from_ne_bytes(flags);
    let answer = system(libc::SYS_ioctl, [number, 0x8914, request.as_ptr() as usize, 0, 0]);
    system(libc::SYS_close, [number, 0, 0, 0, 0]);
    errno(answer)
}

/// Gives up all rights over the name spaces, for good: what could undo a mount could undo all of this.
fn give_up() -> i32 {
    // SAFETY: geteuid has no preconditions.
    let kept = if unsafe { libc::geteuid() } == 0 { KEPT } else { 0 };
    let prctl = |what: libc::c_int, value: usize| system(libc::SYS_prctl, [what as usize, value, 0, 0, 0]);
    for capability in (0..=LAST_CAPABILITY).filter(|capability| kept & 1 << capability == 0) {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            0 => {}
            // There are fewer of them.
            answer if answer == -(libc::EINVAL as isize) => break,
            answer => return errno(answer),
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize);
    let no_more = prctl(libc::PR_SET_NO_NEW_PRIVS, 1);
    if no_more != 0 {
        return errno(no_more);
    }
    // Version 3, this process; effective, permitted and inheritable, the lower halves first. See capset(2).
    let (header, low) = ([0x2008_0522u32, 0], kept as u32);
    let sets = [low, low, 0, 0, 0, 0];
    errno(system(libc::SYS_capset, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0]))
}

fn system(number: libc::c_long, arguments: [usize; 5]) -> isize {
    // SAFETY: all of these calls change the calling process and its name spaces only, and what they read lives on its stack
    // or in the Confinement.
    unsafe { call(number, arguments) }
}

fn errno(answer: isize) -> i32 {
    if answer < 0 { -answer as i32 } else { 0 }
}
