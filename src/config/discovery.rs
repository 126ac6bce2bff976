//! Which files of configuration there are: every `fleche.toml` from the working directory upwards, then the user's own.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, open, statat};
use rustix::io::Errno;

use crate::error::cause;
use crate::sys::project::{self, FILE, Here};
use crate::sys::{entry, plain};

use super::environment::{self, UserFile};
use super::file::{File, Origin};
use super::place::{Fault, Place};
use super::settings::Settings;

/// A larger file is no configuration, in bytes.
const LARGEST: u64 = 4 << 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files that are gone by.
    pub settings: Settings,
    /// All that is wrong in them.
    pub faults: Vec<Fault>,
}

/// A file that is there.
enum Content {
    /// What it holds.
    Bytes(Vec<u8>),
    /// Why it is not gone by.
    Foreign(String),
    /// Why it cannot be read.
    Unreadable(String),
}

/// Looks for the files and reads them. Where there are none that is one open(2) for each folder and one for the user's file.
///
/// Above a file that says `root = true` no other is looked for. A file that others could have written is not gone by: anybody
/// can put one into a folder such as /tmp, and its rules could run programs. A program that was started with another user's
/// rights goes by none.
pub fn look() -> Found {
    let mut found = Found::default();
    if entry::is_secure() {
        return found;
    }
    if let Ok(folder) = std::env::current_dir() {
        let mut root = None;
        for (up, above) in folder.ancestors().enumerate() {
            let path = above.join(FILE);
            let Some(content) = content(&path) else { continue };
            if found.take(path, Origin::Project { up }, content) {
                root = root.or(Some(above.to_owned()));
                if found.settings.files.last().is_some_and(File::is_root) {
                    break;
                }
            }
        }
        project::remember(Here { folder, project: root });
    }
    match environment::user_file() {
        UserFile::Usual(path) => {
            if let Some(content) = content(&path) {
                found.take(path, Origin::User, content);
            }
        }
        UserFile::Named(path) => found.named(path),
        UserFile::None => {}
    }
    if !found.settings.files.is_empty() {
        found.faults.extend(found.settings.faults());
    }
    found
}

/// All that is wrong in this file alone; `origin` says whose it is.
pub fn check(path: &Path, origin: Origin) -> Vec<Fault> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(why) => return vec![Place::whole(path).fault(format!("cannot be read: {}", cause(&why)), None)],
    };
    let (file, mut faults) = File::read(path, origin, &bytes);
    let settings = Settings { files: vec![file], ignored: Vec::new() };
    faults.extend(settings.faults());
    faults
}

impl Found {
    /// Takes a file that is there; whether it is gone by, be it faulty.
    #[cold]
    fn take(&mut self, path: PathBuf, origin: Origin, content: Content) -> bool {
        match content {
            Content::Foreign(why) => {
                self.settings.ignored.push(format!("`{}` is not gone by: {why}", path.display()));
                return false;
            }
            Content::Unreadable(why) => self.faults.push(Place::whole(&path).fault(why, None)),
            Content::Bytes(bytes) => {
                let (file, faults) = File::read(&path, origin, &bytes);
                self.settings.files.push(file);
                self.faults.extend(faults);
            }
        }
        true
    }

    /// Takes the file that FLECHE_CONFIG names, whoever wrote it.
    #[cold]
    fn named(&mut self, path: PathBuf) {
        match std::fs::read(&path) {
            Ok(bytes) => drop(self.take(path, Origin::User, Content::Bytes(bytes))),
            Err(why) => {
                let why = format!("cannot be read, but FLECHE_CONFIG names it: {}", cause(&why));
                self.faults.push(Place::whole(&path).fault(why, None));
            }
        }
    }
}

/// What is at `path`, if there is something that is gone by.
fn content(path: &Path) -> Option<Content> {
    // Who put a link there decides what is read.
    let itself = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_link = FileType::from_raw_mode(itself.st_mode) == FileType::Symlink;
    if !project::is_trusted(itself.st_uid, if is_link { 0 } else { itself.st_mode }) {
        return Some(foreign(itself.st_mode));
    }
    // Without waiting for a writer where it is a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(descriptor) => Some(content_of(descriptor.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Err(error) => unreadable(path, error),
    }
}

#[cold]
fn unreadable(path: &Path, error: Errno) -> Option<Content> {
    // In a folder that may not be searched nobody knows what there is, and that is nothing to go by.
    statat(CWD, path, AtFlags::empty()).ok()?;
    Some(Content::Unreadable(format!("cannot be read: {}", cause(&io::Error::from(error)))))
}

#[cold]
fn foreign(mode: u32) -> Content {
    let is_link = FileType::from_raw_mode(mode) == FileType::Symlink;
    let why = if is_link || mode & 0o002 == 0 { "it belongs to another user" } else { "everybody may write it" };
    Content::Foreign(format!("{why}; FLECHE_CONFIG=FILE goes by a file whoever wrote it"))
}

#[cold]
fn content_of(file: std::fs::File) -> Content {
    let unreadable = |why: io::Error| Content::Unreadable(format!("cannot be read: {}", cause(&why)));
    let found = match fstat(&file) {
        Ok(found) => found,
        Err(error) => return unreadable(error.into()),
    };
    if !project::is_trusted(found.st_uid, found.st_mode) {
        return foreign(found.st_mode);
    }
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        _ => return Content::Unreadable("is no file".to_owned()),
    }
    match plain::up_to(LARGEST, file) {
        Ok(Some(bytes)) => Content::Bytes(bytes),
        Ok(None) => Content::Unreadable("is larger than 4 MiB".to_owned()),
        Err(why) => unreadable(why),
    }
}
