//! Where a command is started that works apart from its caller: in another folder, or in a view of the file system of its own.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::SYSTEM;
use crate::sys::confinement::{Access, Confinement};
use crate::sys::image::Surroundings;

/// Where a command is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Where the caller is.
    #[default]
    Here,
    /// In this folder; it sees everything else as its caller does.
    Folder(PathBuf),
    /// Where nothing else is to be seen.
    View(View),
}

/// All of the file system that a command sees beside the system's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// An empty folder of the caller's, absolute and without links: the view is made there, where nobody else sees it.
    pub base: PathBuf,
    /// The working directory, as the command sees it.
    pub folder: PathBuf,
    /// What is shown.
    pub shown: Vec<Shown>,
}

/// Something that is shown in a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where it is seen: absolute, and without links on the way.
    pub at: PathBuf,
    /// What is seen there.
    pub what: Sight,
}

/// What is seen at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A folder of the caller's, to be read.
    Folder(PathBuf),
    /// A folder of the caller's, to be changed.
    Own(PathBuf),
    /// A file of the caller's, to be read.
    File(PathBuf),
    /// A symbolic link with this text.
    Link(PathBuf),
}

/// More folders that are the system's: what the kernel tells, package managers that install beside `/usr`, and what those
/// that do not keep outside of it.
const SYSTEM_TOO: [&str; 7] =
    ["/libx32", "/nix/store", "/gnu/store", "/var/lib/texmf", "/var/cache/fontconfig", "/sys", "/proc"];

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Whether every view shows `path`.
pub fn is_system(path: &Path) -> bool {
    system_folders().any(|folder| path.starts_with(folder))
}

/// Whether a view that showed something else at `path` would hide a folder of the system's.
pub fn holds_system(path: &Path) -> bool {
    system_folders().any(|folder| folder.starts_with(path))
}

fn system_folders() -> impl Iterator<Item = &'static Path> {
    SYSTEM.iter().chain(&SYSTEM_TOO).map(Path::new)
}

impl Place {
    /// The same as a child goes there.
    ///
    /// # Errors
    ///
    /// A path with a zero byte.
    pub(super) fn surroundings(&self) -> io::Result<Surroundings> {
        Ok(match self {
            Place::Here => Surroundings::Here,
            Place::Folder(folder) => Surroundings::Folder(CString::new(folder.as_os_str().as_bytes())?),
            Place::View(view) => Surroundings::Confined(confinement(view)?),
        })
    }
}

fn confinement(view: &View) -> io::Result<Confinement> {
    let mut confinement = Confinement::new(&view.base)?;
    for folder in system_folders() {
        match folder.symlink_metadata() {
            Ok(found) if found.is_symlink() => confinement.link(&fs::read_link(folder)?, folder)?,
            Ok(_) => confinement.show_folder(folder, folder, Access::Read)?,
            Err(_) => {}
        }
    }
    for device in DEVICES.map(Path::new).into_iter().filter(|device| device.exists()) {
        confinement.show_file(device, device, Access::Write)?;
    }
    confinement.make_terminals(Path::new("/dev/pts"))?;
    for (text, at) in DEVICE_LINKS {
        confinement.link(Path::new(text), Path::new(at))?;
    }
    let mut shown: Vec<&Shown> = view.shown.iter().collect();
    // What lies above would hide what was shown before it.
    shown.sort_by(|one, other| one.at.cmp(&other.at));
    for Shown { at, what } in shown {
        match what {
            Sight::Folder(from) => confinement.show_folder(from, at, Access::Read)?,
            Sight::Own(from) => confinement.show_folder(from, at, Access::Write)?,
            Sight::File(from) => confinement.show_file(from, at, Access::Read)?,
            Sight::Link(text) => confinement.link(text, at)?,
        }
    }
    confinement.complete(&view.folder)
}
