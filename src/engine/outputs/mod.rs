//! Outputs: what commands leave in the file system, collected after a run and restored by a replay.
//!
//! Records may come from another machine, and folders may change while fleche works. So nothing is told
//! by a path's text alone: every folder is opened below the root (or below a folder that the present
//! command line names) without following a link, and files are touched by name in open folders.
//!
//! What is in doubt is not stored, or not replayed.

mod before;
mod bring;
mod collect;
mod copy;
mod fault;
mod former;
mod found;
mod ground;
mod places;
mod plan;
mod restore;
mod strangers;
mod sweep;
mod transaction;
mod verified;
mod walk;

#[cfg(test)]
mod tests;

use std::fs::File;

use crate::model::{Content, Reason};

pub use before::{Before, before};
pub use bring::bring_back;
pub use collect::{Bounds, collect};
pub use copy::fill;
pub use fault::Fault;
pub use former::{Former, Known};
pub use found::found;
pub use places::Places;
pub use restore::{check, restore};
pub use strangers::Inputs;

/// Where the bytes of output files go: what collecting needs of a store.
pub trait Shelf {
    /// Copies `file` from its beginning; fails above `most` bytes.
    fn ingest(&self, file: &File, most: u64) -> Result<Content, Reason>;
}

/// Where the bytes of output files come from: what restoring needs of a store.
pub trait Stock {
    /// The bytes of `content`, verified as a whole.
    fn open(&self, content: &Content) -> Result<Stored, Reason>;
}

/// Verified bytes.
#[derive(Debug)]
pub enum Stored {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file of their own.
    File {
        /// The file; its offset does not matter.
        file: File,
        /// Its size in bytes.
        length: u64,
    },
}

/// Which modification time restored files get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mtime {
    /// Now, in the recorded order, as if the command had just run.
    #[default]
    Now,
    /// As [`Now`](Mtime::Now), but a file that has the right bytes and mode is left untouched.
    Keep,
    /// The recorded one.
    Recorded,
}
