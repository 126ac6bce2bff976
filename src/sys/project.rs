//! The project that the working directory belongs to: the nearest folder above it with a `fleche.toml` that is gone by.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::identity;

/// The file that makes a folder a project's root.
pub const FILE: &str = "fleche.toml";

/// Where fleche is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// The working directory, absolute and without links.
    pub folder: PathBuf,
    /// The project's root, if there is one: the working directory or a folder above it.
    pub project: Option<PathBuf>,
}

/// What was found when the files of configuration were read, so that a hit does not look twice.
static FOUND: Mutex<Option<Here>> = Mutex::new(None);

/// Whether fleche goes by a file of this owner and with this mode: who writes it decides what fleche runs and restores, so it
/// must be the user's own or root's, and not everybody's to write.
pub fn is_trusted(owner: u32, mode: u32) -> bool {
    (owner == 0 || owner == identity::effective_user()) && mode & 0o002 == 0
}

/// The root of the project that `folder` belongs to. Costs one `stat(2)` a folder.
pub fn root(folder: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| {
        let file = folder.join(FILE);
        let Ok(found) = statat(CWD, &file, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        match FileType::from_raw_mode(found.st_mode) {
            // Who put a link there decides where it leads.
            FileType::Symlink => {
                is_trusted(found.st_uid, 0)
                    && statat(CWD, &file, AtFlags::empty()).is_ok_and(|found| is_trusted(found.st_uid, found.st_mode))
            }
            _ => is_trusted(found.st_uid, found.st_mode),
        }
    };
    folder.ancestors().find(is_root).map(Path::to_owned)
}

/// Keeps what was found while the process works in that folder.
pub fn remember(here: Here) {
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(here);
}

/// The working directory and its project.
///
/// # Errors
///
/// Where there is no working directory any more.
pub fn here() -> io::Result<Here> {
    if let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        return Ok(found.clone());
    }
    let folder = std::env::current_dir()?;
    Ok(Here { project: root(&folder), folder })
}

/// Makes `folder` the working directory.
///
/// # Errors
///
/// As chdir(2).
pub fn go_to(folder: &Path) -> io::Result<()> {
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = None;
    std::env::set_current_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_nearest_project_file_makes_the_root() {
        let world = tempfile::tempdir().unwrap();
        let deep = world.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(root(&deep), None);
        fs::write(world.path().join(FILE), "").unwrap();
        assert_eq!(root(&deep).as_deref(), Some(world.path()));
        fs::write(world.path().join("a/b").join(FILE), "").unwrap();
        assert_eq!(root(&deep), Some(world.path().join("a/b")));
    }

    #[test]
    fn a_file_is_trusted_by_who_can_write_it() {
        let me = identity::effective_user();
        assert!(is_trusted(me, 0o100644) && is_trusted(me, 0o100664) && is_trusted(0, 0o100644));
        assert!(!is_trusted(me + 1, 0o100644) && !is_trusted(me, 0o100646));
    }
}
