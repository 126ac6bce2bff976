//! What a watched command did to the file system, as far as its system calls tell.
//!
//! A system call is seen when it is entered: what is at its paths is looked at before the command can touch it, and
//! whether the call succeeds is told only by a look after the run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Digest, Reason, Stamp, Writer};

/// All that was seen of one command and of the processes that it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What was touched, by absolute paths without links, `.` and `..`.
    pub touched: BTreeMap<PathBuf, Touch>,
    /// What no replay could repeat, in the order in which it was seen; each kind at most once.
    pub refusals: Vec<Reason>,
    /// Whether descriptor 0 may have been read where it leads to what the caller gave.
    pub stdin_used: bool,
    /// Whether a path led from the root to something that is neither below it nor of the system: another root may have another
    /// thing there.
    pub leaves_root: bool,
    /// The folders of the stores that runs in it would have looked after, had that not left processes behind: for the
    /// outermost run alone.
    pub due: BTreeSet<PathBuf>,
}

/// A path that was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// What was there before the command could touch it.
    pub before: Glimpse,
    /// The digest of what the file held before, where that was taken: it was about to be changed or removed, or its stamp
    /// was too young to prove that it stays the same.
    pub image: Option<Digest>,
    /// How it was looked at before it was the command's own.
    pub seen: Seen,
    /// What was in the folder when it was first listed.
    pub listing: Option<Listing>,
    /// The digest of its extended attributes when they were first asked for, if it had any.
    pub attributes: Option<Digest>,
    /// What was done to it.
    pub made: Made,
}

/// What lstat(2) said of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glimpse {
    /// Nothing is there.
    Nothing,
    /// A folder on the way may not be searched.
    Denied,
    /// Something is.
    Something {
        /// Its stamp.
        stamp: Stamp,
        /// The user whom it belongs to.
        user: u32,
        /// The group.
        group: u32,
        /// How many names it has.
        links: u64,
        /// The text of a symbolic link.
        target: Option<Vec<u8>>,
    },
}

/// How a path was looked at, while it was not the command's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is there, what it is, and its permissions.
    pub kind: bool,
    /// The same, but only by programs of which it is known that this does not change what they make (compilers).
    pub kind_blindly: bool,
    /// Size, times and owner, by name; not by programs that are known not to go by them.
    pub metadata: bool,
    /// The same, by a program of which it is not known that less makes a difference where it replaces the file.
    pub exactly: bool,
    /// The bytes of a file.
    pub content: bool,
    /// Its extended attributes, or that it has none.
    pub attributes: bool,
    /// It was executed, and what it tells of the machine is not in files.
    pub machine: bool,
}

/// What was done to a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Some call was to change it, be it only its mode.
    pub changed: bool,
    /// From some call on what is there is the command's own: created, emptied, replaced or removed.
    pub own: bool,
    /// A call was to make it only if nothing was there.
    pub exclusive: bool,
    /// It was given a modification time that is not now.
    pub dated: bool,
    /// It was given the time of the moment as its modification time, by a call that asks for nothing else.
    pub renewed: bool,
    /// A folder was moved here: what is in it was not touched under these names.
    pub moved_here: bool,
    /// The file that was here before got another name, which its modification time goes with.
    pub carried: bool,
}

/// What was in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names and the type bits of `st_mode` (0 where the file system does not tell), sorted, without those below.
    pub entries: Vec<(OsString, u32)>,
    /// The names that the command had made or removed there before it looked, sorted.
    pub without: Vec<OsString>,
}

impl Listing {
    /// The digest of names and types, which is what counts of a listing.
    pub fn digest(&self) -> Digest {
        let mut writer = Writer::new();
        for (name, kind) in &self.entries {
            writer.bytes(name.as_bytes()).number(u64::from(*kind));
        }
        Digest::of(&writer.into_bytes())
    }
}
