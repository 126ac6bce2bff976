//! What lay at the places of outputs before a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::model::{Digest, Stamp};

use super::collect::gather;
use super::fault::Fault;
use super::ground::Grounds;
use super::places::Places;

/// Bytes at a file's end by which it is known again.
const TAIL: u64 = 64 << 10;

/// What lay at the places of outputs before a run.
#[derive(Debug, Default)]
pub struct Before {
    files: BTreeMap<PathBuf, Earlier>,
    links: BTreeMap<PathBuf, Stamp>,
    /// The permission bits of files and folders.
    modes: BTreeMap<PathBuf, u32>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Earlier {
    stamp: Stamp,
    /// The digest of its last bytes, of [`TAIL`] at most; `None` where they could not be read.
    tail: Option<Digest>,
}

/// Looks at what lies at `places`. Where not all of it can be seen, nothing that lies there afterwards is known to be
/// the run's.
pub fn before(places: &Places) -> Before {
    let mut grounds = Grounds::new(places);
    let mut before = Before::default();
    let (gathering, fault) = gather(places);
    before.fault = fault;
    before.links = gathering.links().map(|(path, stamp)| (path.to_owned(), *stamp)).collect();
    for (path, mode, stamp) in gathering.files_and_folders() {
        before.modes.insert(path.clone(), mode);
        let Some(stamp) = stamp else { continue };
        let folder = grounds.present_parent(&path).ok();
        let file = folder.and_then(|folder| folder.open_file(path.file_name().unwrap_or_default()).ok());
        let tail = file.and_then(|file| tail(&file, stamp.size));
        before.files.insert(path, Earlier { stamp, tail });
    }
    before
}

impl Before {
    /// What kept it from being seen whole.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether the file at `path` lies there as it did before.
    pub fn has(&self, path: &Path, stamp: &Stamp) -> bool {
        self.files.get(path).is_some_and(|earlier| earlier.stamp == *stamp)
    }

    /// Whether the link at `path` lies there as it did before.
    pub fn has_link(&self, path: &Path, stamp: &Stamp) -> bool {
        self.links.get(path) == Some(stamp)
    }

    /// Whether what lay at `path` had this mode.
    pub fn had_mode(&self, path: &Path, mode: u32) -> bool {
        self.modes.get(path) == Some(&mode)
    }

    /// Whether `file`, of `size` bytes, may be what lay at `path` before with something added to it. What it was
    /// made of is then not known: another run would add to something else.
    ///
    /// Where the same bytes stand at the place where the file ended, that is doubt enough. All of its bytes would
    /// prove hardly more, and reading them before each run would cost more than many a run. Only a file that grew
    /// is asked: a tool that writes the same bytes anew has left them as every run leaves them.
    pub fn may_be_part_of(&self, path: &Path, file: &File, size: u64) -> bool {
        self.files.get(path).is_some_and(|Earlier { stamp, tail: known }| {
            let grew = stamp.size > 0 && size > stamp.size;
            grew && (known.is_none() || tail(file, stamp.size) == *known)
        })
    }
}

/// The digest of what stands before `end` in a file; `None` where that cannot be read.
fn tail(file: &File, end: u64) -> Option<Digest> {
    let length = end.min(TAIL);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, end - length).ok()?;
    Some(Digest::of(&bytes))
}
