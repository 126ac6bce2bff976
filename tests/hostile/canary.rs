//! Trees as they are: all that a look tells of each path, to be compared before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What is at each path.
pub type Tree = BTreeMap<PathBuf, String>;

/// Everything below `folder` but for the time of the last access: nothing can be written without a difference.
pub fn exactly(folder: &Path) -> Tree {
    look(folder, &|path, found| {
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        format!("{} {} {times:?} {} {}", found.ino(), found.nlink(), found.uid(), content(path, found))
    })
}

/// What commands go by: types, permissions, bytes, texts of links.
pub fn plainly(folder: &Path) -> Tree {
    look(folder, &content)
}

fn look(folder: &Path, tell: &dyn Fn(&Path, &fs::Metadata) -> String) -> Tree {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    entries
        .map(|entry| {
            let told = tell(entry.path(), &entry.metadata().unwrap());
            (entry.path().strip_prefix(folder).unwrap().to_owned(), told)
        })
        .collect()
}

fn content(path: &Path, found: &fs::Metadata) -> String {
    let kind = found.file_type();
    let mode = found.mode();
    if kind.is_file() && found.len() < 1 << 20 {
        format!("file {mode:o} {}", blake3::hash(&fs::read(path).unwrap()))
    } else if kind.is_symlink() {
        format!("link {:?}", fs::read_link(path).unwrap())
    } else if kind.is_fifo() || kind.is_socket() || kind.is_dir() {
        format!("{mode:o}")
    } else {
        format!("{mode:o} {}", found.len())
    }
}
