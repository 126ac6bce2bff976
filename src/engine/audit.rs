//! The audit of a run: what a watched command read and wrote beside what was declared.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::key;
use crate::model::{Glimpse, Reason, SYSTEM, State, Touch, Trace};
use crate::sys::stamp;

use super::lookup::Sought;
use super::outputs::Places;

/// What a watched command did, held against what was declared. Paths are relative to the root where they lie below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Files and folders that were read, looked at or listed, and are not declared.
    pub read: Vec<PathBuf>,
    /// The same in folders of the system.
    pub system: Vec<PathBuf>,
    /// What was looked for and is not there, and is not declared.
    pub missing: Vec<PathBuf>,
    /// What was made or changed, and is not declared.
    pub written: Vec<PathBuf>,
    /// What was removed, and is not declared.
    pub removed: Vec<PathBuf>,
    /// What is declared as an input and was not touched.
    pub untouched: Vec<PathBuf>,
    /// What the command did that a replay could not repeat.
    pub refusals: Vec<Reason>,
}

impl Audit {
    /// Holds what was seen against what `sought` declares.
    pub(super) fn of(trace: &Trace, sought: &Sought) -> Audit {
        let command = sought.command;
        let declared = Declared::of(sought);
        let mut audit = Audit { refusals: trace.refusals.clone(), ..Audit::default() };
        for (path, touch) in &trace.touched {
            let record = key::recorded(path, &command.root);
            audit.take(path, record, touch, &declared);
        }
        let touched = |path: &&PathBuf| trace.touched.contains_key(&command.root.join(path));
        let folders = |path: &&PathBuf| declared.folders.contains(*path);
        audit.untouched = declared.inputs.iter().filter(|path| !touched(path) && !folders(path)).cloned().collect();
        audit
    }

    fn take(&mut self, path: &Path, record: PathBuf, touch: &Touch, declared: &Declared) {
        let now = stamp::of_link(path).ok();
        let was = match &touch.before {
            Glimpse::Something { stamp, .. } => Some(*stamp),
            Glimpse::Nothing | Glimpse::Denied => None,
        };
        if (touch.made.changed || touch.made.moved_here) && now != was && !declared.places.cover(&record) {
            match now {
                Some(_) => self.written.push(record.clone()),
                None => self.removed.push(record.clone()),
            }
        }
        let seen = touch.seen;
        let is_seen = seen.kind || seen.content || seen.metadata || touch.listing.is_some();
        // Who removes a file or writes it anew looks whether it is there; that is no more than an output tells.
        let is_glanced_at = touch.made.own && !seen.content;
        if !is_seen || is_glanced_at || declared.cover(&record) {
            return;
        }
        match was {
            // A folder that was only passed through, or looked whether it is there, tells nothing that what is in it does not.
            Some(stamp) if is_folder(stamp.mode) && touch.listing.is_none() => {}
            Some(_) if SYSTEM.iter().any(|folder| path.starts_with(folder)) => self.system.push(record),
            Some(_) => self.read.push(record),
            None => self.missing.push(record),
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Audit::default()
    }
}

fn is_folder(mode: u32) -> bool {
    rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory
}

/// What was declared.
struct Declared<'a> {
    inputs: BTreeSet<PathBuf>,
    /// Those of the inputs that are folders: all that is in them counts.
    folders: BTreeSet<PathBuf>,
    places: &'a Places,
}

impl<'a> Declared<'a> {
    fn of(sought: &'a Sought) -> Declared<'a> {
        let observations = sought.observed.observations();
        let is_folder = |state: &State| matches!(state, State::Folder { .. });
        let folders = observations.iter().filter(|seen| is_folder(&seen.state)).map(|seen| seen.path.clone());
        Declared {
            inputs: observations.iter().map(|seen| seen.path.clone()).collect(),
            folders: folders.collect(),
            places: &sought.places,
        }
    }

    /// Whether `record` is declared: as an input itself, in a folder that is one, or as an output.
    fn cover(&self, record: &Path) -> bool {
        let is_below = || record.ancestors().skip(1).any(|above| self.folders.contains(top(above)));
        self.inputs.contains(record) || is_below() || self.places.cover(record)
    }
}

/// The root as an observation names it.
fn top(folder: &Path) -> &Path {
    if folder.as_os_str().as_bytes().is_empty() { Path::new(".") } else { folder }
}
