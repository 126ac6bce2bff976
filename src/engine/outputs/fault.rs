//! What stands in the way at a path, in words for a person.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::error::cause;
use crate::model::Reason;

/// What is wrong with the file behind standard output or standard error.
pub const BEHIND_A_STREAM: &str = "is where standard output or standard error leads";

/// What is wrong with a file that was written into where it was, and that a replay would replace.
pub const ATTRIBUTED: &str = "has extended attributes";
/// What is wrong with a file that has names which no record tells of.
pub const MORE_NAMES: &str = "has another name as well, by a hard link";

/// What is wrong with what is another file than it was a moment ago.
pub const CHANGED_MEANWHILE: &str = "changed meanwhile";

/// A path and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    path: PathBuf,
    why: String,
}

impl Fault {
    /// Something is wrong at `path`.
    pub fn new(path: &Path, why: impl Into<String>) -> Fault {
        Fault { path: path.to_owned(), why: why.into() }
    }

    /// The system refused something at `path`.
    pub fn system(path: &Path, why: &io::Error) -> Fault {
        Fault::new(path, format!("cannot be used: {}", cause(why)))
    }

    /// Whether it is about what lies at `path` itself.
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// The reason not to store.
    pub fn unstorable(self) -> Reason {
        Reason::OutputUnstorable(self.path, self.why)
    }

    /// The reason not to replay.
    pub fn not_restored(self) -> Reason {
        Reason::NotRestored(self.to_string())
    }

    /// Whether a replay was refused because others changed what lies there, so that the next attempt may succeed.
    pub fn is_of_the_moment(reason: &Reason) -> bool {
        matches!(reason, Reason::NotRestored(what) if what.ends_with(CHANGED_MEANWHILE))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path.display(), self.why)
    }
}

/// What can be at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Something that cannot be stored.
    Special(&'static str),
}

impl Kind {
    /// The kind of what was asked.
    pub fn of(stat: &Stat) -> Kind {
        Kind::of_mode(stat.st_mode)
    }

    /// The kind by the type bits in `st_mode`.
    pub fn of_mode(mode: u32) -> Kind {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            FileType::Fifo => Kind::Special("a FIFO"),
            FileType::Socket => Kind::Special("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Kind::Special("a device"),
            FileType::Unknown => Kind::Special("of an unknown type"),
        }
    }

    /// Its name, with an article.
    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Folder => "a folder",
            Kind::Link => "a symbolic link",
            Kind::Special(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_changed_is_tried_again() {
        let fault = |why: &str| Fault::new(Path::new("a"), why);
        assert!(Fault::is_of_the_moment(&fault(CHANGED_MEANWHILE).not_restored()));
        assert!(!Fault::is_of_the_moment(&fault(MORE_NAMES).not_restored()));
        assert!(!Fault::is_of_the_moment(&fault(CHANGED_MEANWHILE).unstorable()));
    }
}
