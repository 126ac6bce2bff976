//! What former calls of a command made.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::{Digest, Output, OutputKind};

/// What is known of more paths than this would cost a command its memory.
const MOST: usize = 1_000_000;

/// The outputs of former calls, by path: what fleche may remove because the command made it.
#[derive(Clone, Debug, Default)]
pub struct Former {
    made: BTreeMap<PathBuf, Made>,
}

/// What former calls made, to be asked for: what is placed where nothing is need not know it.
pub type Known<'a> = LazyCell<Former, Box<dyn FnOnce() -> Former + 'a>>;

#[derive(Clone, Debug, Default)]
struct Made {
    files: Vec<Digest>,
    modes: Vec<u32>,
    links: Vec<Vec<u8>>,
    /// The modes of folders.
    folders: Vec<u32>,
}

impl Former {
    /// What `find` finds when it is first asked for.
    pub fn known<'a>(find: impl FnOnce() -> Former + 'a) -> Known<'a> {
        LazyCell::new(Box::new(find))
    }

    /// What the calls with these outputs made.
    pub fn of<'a>(calls: impl IntoIterator<Item = &'a [Output]>) -> Former {
        let mut former = Former::default();
        calls.into_iter().for_each(|outputs| former.add(outputs));
        former
    }

    /// Adds what one call more made, but for what is at more paths than [`MOST`]: of that nothing is known.
    pub fn add(&mut self, outputs: &[Output]) {
        for output in outputs {
            if self.made.len() >= MOST && !self.made.contains_key(&output.path) {
                continue;
            }
            let made = self.made.entry(output.path.clone()).or_default();
            match &output.kind {
                OutputKind::File { content, mode, .. } => {
                    add(&mut made.files, content.digest);
                    add(&mut made.modes, *mode);
                }
                OutputKind::Link { target, .. } => add(&mut made.links, target.clone()),
                OutputKind::Folder { mode, .. } => add(&mut made.folders, *mode),
                OutputKind::Absent => {}
            }
        }
    }

    /// Whether some file was made at `path`: only then its digest is worth knowing.
    pub fn knows_file(&self, path: &Path) -> bool {
        self.made.get(path).is_some_and(|made| !made.files.is_empty())
    }

    /// Whether a file with these bytes was made at `path`.
    pub fn made_file(&self, path: &Path, digest: &Digest) -> bool {
        self.made.get(path).is_some_and(|made| made.files.contains(digest))
    }

    /// Whether a link with this text was made at `path`.
    pub fn made_link(&self, path: &Path, target: &[u8]) -> bool {
        self.made.get(path).is_some_and(|made| made.links.iter().any(|link| link == target))
    }

    /// Whether a folder was made at `path`.
    pub fn made_folder(&self, path: &Path) -> bool {
        self.made.get(path).is_some_and(|made| !made.folders.is_empty())
    }

    /// Whether a file at `path` was given this mode; `None` where no file was made there.
    pub fn gave_file(&self, path: &Path, mode: u32) -> Option<bool> {
        self.made.get(path).filter(|made| !made.modes.is_empty()).map(|made| made.modes.contains(&mode))
    }

    /// Whether a folder at `path` was given this mode; `None` where no folder was made there.
    pub fn gave_folder(&self, path: &Path, mode: u32) -> Option<bool> {
        self.made.get(path).filter(|made| !made.folders.is_empty()).map(|made| made.folders.contains(&mode))
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}
