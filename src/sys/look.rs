//! Looking at paths: what is there, and what is in a folder.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, readlinkat, statat};
use rustix::io::Errno;

use super::stamp;
use crate::model::Glimpse;

/// Looks at `path` itself, a link not followed.
///
/// # Errors
///
/// As `lstat(2)` and `readlink(2)`, but for a folder on the way that may not be searched.
pub fn glimpse(path: &Path) -> io::Result<Glimpse> {
    glimpse_from(CWD, path.as_os_str())
}

/// Looks at each of `names` in `folder`, in their order, as [`glimpse`] does: what leads to the folder is gone through once.
pub fn glimpses(folder: &Path, names: &[&OsStr]) -> Vec<io::Result<Glimpse>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::empty()) {
        Ok(opened) => names.iter().map(|name| glimpse_from(opened.as_fd(), name)).collect(),
        // What it is that fails is for each look to tell.
        Err(_) => names.iter().map(|name| glimpse(&folder.join(name))).collect(),
    }
}

fn glimpse_from(folder: BorrowedFd, path: &OsStr) -> io::Result<Glimpse> {
    let found = match statat(folder, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
        Err(Errno::ACCESS) => return Ok(Glimpse::Denied),
        found => found?,
    };
    let target = match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => Some(readlinkat(folder, path, Vec::with_capacity(128))?.into_bytes()),
        _ => None,
    };
    // How wide the count of links is differs from machine to machine.
    #[allow(clippy::useless_conversion)]
    let links = u64::from(found.st_nlink);
    Ok(Glimpse::Something { stamp: stamp::from_stat(&found), user: found.st_uid, group: found.st_gid, links, target })
}

/// What is in a folder: names and the type bits of their modes (0 where the file system does not tell), in no order.
///
/// # Errors
///
/// As `open(2)` and `getdents(2)`.
pub fn entries(folder: &Path) -> io::Result<Vec<(OsString, u32)>> {
    entries_with(folder, OFlags::NOFOLLOW)
}

/// The same of the folder to which `path` leads, be it through a link.
///
/// # Errors
///
/// As [`entries`].
pub fn entries_behind(path: &Path) -> io::Result<Vec<(OsString, u32)>> {
    entries_with(path, OFlags::empty())
}

fn entries_with(folder: &Path, links: OFlags) -> io::Result<Vec<(OsString, u32)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let folder = openat(CWD, folder, flags | links, Mode::empty())?;
    // Enough for some hundred names at once, and no more memory is touched than they take.
    let mut room = Vec::with_capacity(32 * 1024);
    let mut listing = RawDir::new(folder, room.spare_capacity_mut());
    let mut entries = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            let kind = match entry.file_type() {
                FileType::Unknown => 0,
                kind => kind.as_raw_mode(),
            };
            entries.push((name.to_owned(), kind));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_folder_looks_the_same_from_there_and_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join("file"), "text").unwrap();
        std::fs::create_dir(folder.join("folder")).unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.join("link")).unwrap();
        let names = ["file", "folder", "link", "nothing", "file/below"].map(OsStr::new);
        for folder in [folder.to_owned(), folder.join("nowhere"), folder.join("file")] {
            let kinds = |looks: Vec<io::Result<Glimpse>>| -> Vec<Result<Glimpse, Option<i32>>> {
                looks.into_iter().map(|look| look.map_err(|why| why.raw_os_error())).collect()
            };
            let apart = names.iter().map(|name| glimpse(&folder.join(name))).collect();
            assert_eq!(kinds(glimpses(&folder, &names)), kinds(apart), "{folder:?}");
        }
    }
}
