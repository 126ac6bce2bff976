//! Private folders: where isolated commands work, and recorded ones are run again for a look.
//!
//! Each has an owner, the process that holds a lock on it; the kernel takes that back when the owner is gone. What nobody owns
//! any more is taken away by whoever makes the next one, and by garbage collection: never by its age, for a command may run for
//! a week, nor by a process number, which others get.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, chmod, flock};

use super::{Access, Store, unusable};
use crate::model::{Reason, Stamp};
use crate::sys::beneath::Beneath;
use crate::sys::{identity, stamp, temporary};

/// How the names of private folders begin.
const PREFIX: &str = "isolated-";
/// In a folder that is to stay although nobody owns it.
const KEPT: &str = "kept";
const ALL_RIGHTS: u32 = 0o700;
/// How often a folder is made anew that a sweep took away before it was owned.
const TRIES: u32 = 100;

/// A folder for this process alone. It vanishes with this.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    /// Locked as long as it is open.
    _owner: File,
    is_kept: bool,
}

impl Store {
    /// A new private folder in the cache.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`] where it cannot be made, and where the store is not to be written.
    pub fn private_folder(&self) -> Result<PrivateFolder, Reason> {
        let failed = |why| unusable("cannot make a private folder".to_owned(), why);
        if self.access != Access::ReadWrite {
            return Err(failed(io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        self.folder.make_folder("tmp").map_err(failed)?;
        PrivateFolder::below(&self.folder().join("tmp")).map_err(failed)
    }
}

impl PrivateFolder {
    /// A new one among temporary files, for when there is no cache to make it in.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn among_temporary_files() -> io::Result<PrivateFolder> {
        PrivateFolder::below(&temporary::folder())
    }

    /// A new one in `folder`, from which those are taken away that nobody owns.
    fn below(folder: &Path) -> io::Result<PrivateFolder> {
        let folder = folder.canonicalize()?;
        sweep(&folder);
        for _ in 0..TRIES {
            let mut builder = tempfile::Builder::new();
            builder.prefix(PREFIX).rand_bytes(12).permissions(Permissions::from_mode(ALL_RIGHTS));
            let made = builder.tempdir_in(&folder)?;
            fs::set_permissions(made.path(), Permissions::from_mode(ALL_RIGHTS))?;
            let Ok(owner) = open(made.path()) else { continue };
            // Where locks are impossible it belongs to nobody, and nobody takes it away.
            let is_free = flock(&owner, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK);
            if is_free && is_still(made.path(), &owner) {
                return Ok(PrivateFolder { path: made.keep(), _owner: owner, is_kept: false });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody takes it away"))
    }

    /// Where it is: absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name that is nowhere but here: a result that holds it tells where it was made.
    pub fn mark(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }

    /// Leaves it where it is when this goes.
    ///
    /// # Errors
    ///
    /// It cannot be told from those that nobody owns.
    pub fn keep(&mut self) -> io::Result<()> {
        File::create(self.path.join(KEPT))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is swept later.
            let _ = remove(&self.path);
        }
    }
}

/// What is known of a private folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Somebody works in it.
    Owned,
    /// Whoever worked in it is gone.
    Abandoned,
    /// It is kept for a look.
    Kept,
}

/// Whether something in the folder for temporary files, which is called so, is a private folder.
pub(super) fn is_private(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// Whose the private folder at `path` is.
pub(super) fn ownership(path: &Path) -> Ownership {
    match abandoned(path) {
        Some(_) if path.join(KEPT).symlink_metadata().is_ok() => Ownership::Kept,
        Some(_) => Ownership::Abandoned,
        None => Ownership::Owned,
    }
}

/// Takes the private folder at `path` away if nobody owns it; says whether it did.
///
/// # Errors
///
/// It cannot be removed.
pub(super) fn remove_abandoned(path: &Path) -> io::Result<bool> {
    match abandoned(path) {
        Some(_owned_by_us) => remove(path).map(|()| true),
        None => Ok(false),
    }
}

/// Takes away what nobody owns any more; what cannot be removed stays for the next time.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_private(&entry.file_name())) {
        if ownership(&entry.path()) == Ownership::Abandoned {
            let _ = remove_abandoned(&entry.path());
        }
    }
}

/// The lock of a folder of this user's that nobody else has.
fn abandoned(path: &Path) -> Option<File> {
    let found = stamp::of_link(path).ok()?;
    if !is_folder(&found) || fs::symlink_metadata(path).ok().map(owner) != Some(identity::effective_user()) {
        return None;
    }
    // The command may have taken our own rights away.
    let owner = open(path).or_else(|_| open_up(path).and_then(|()| open(path))).ok()?;
    let is_ours = flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok() && is_still(path, &owner);
    is_ours.then_some(owner)
}

fn owner(found: fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&found)
}

fn is_folder(found: &Stamp) -> bool {
    rustix::fs::FileType::from_raw_mode(found.mode) == rustix::fs::FileType::Directory
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits() as i32;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether the open folder is the one at `path`.
fn is_still(path: &Path, folder: &File) -> bool {
    let identity = |stamp: Stamp| (stamp.device, stamp.inode);
    stamp::of_link(path).ok().map(identity) == stamp::of_file(folder).ok().map(identity)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Lets a folder and all in it be emptied, whatever modes a command gave them. No link is followed, whoever puts one there
/// meanwhile: each folder is opened first, and its mode is then set by its descriptor.
fn open_up(path: &Path) -> io::Result<()> {
    let top = Beneath::open_itself(path)?;
    give_rights(&top)?;
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let inner;
        let folder = match below.as_os_str().is_empty() {
            true => &top,
            false => {
                // What is gone meanwhile needs no rights.
                let Ok(opened) = top.open_folder(&below) else { continue };
                inner = opened;
                &inner
            }
        };
        give_rights(folder)?;
        for name in folder.entries()? {
            let Ok(Some(found)) = folder.stat(&name) else { continue };
            if rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
                folders.push(below.join(name));
            }
        }
    }
    Ok(())
}

/// Gives the owner of an open folder all rights. Through its descriptor's name, because one that was opened without the right
/// to read takes no `fchmod(2)`.
fn give_rights(folder: &Beneath) -> io::Result<()> {
    let descriptor = std::os::fd::AsFd::as_fd(folder).as_raw_fd();
    Ok(chmod(format!("/proc/self/fd/{descriptor}"), Mode::from_raw_mode(ALL_RIGHTS))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_folder_vanishes_with_its_owner_whatever_is_in_it() {
        let world = tempfile::tempdir().unwrap();
        let outside = world.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o500)).unwrap();
        let place = world.path().join("tmp");
        fs::create_dir(&place).unwrap();
        let folder = PrivateFolder::below(&place).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o7777, 0o700);
        let closed = folder.path().join("a/b");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("c"), "").unwrap();
        symlink(&outside, folder.path().join("link")).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(folder.path().join("a"), Permissions::from_mode(0o0)).unwrap();
        open_up(folder.path()).unwrap();
        assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o7777, 0o500);
        drop(folder);
        assert_eq!((names(&place), outside.exists()), (0, true));
    }

    #[test]
    fn what_nobody_owns_is_swept_and_what_somebody_owns_is_not() {
        let world = tempfile::tempdir().unwrap();
        let owned = PrivateFolder::below(world.path()).unwrap();
        let mut kept = PrivateFolder::below(world.path()).unwrap();
        kept.keep().unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        let kept = path;
        let abandoned = world.path().join(format!("{PREFIX}left"));
        fs::create_dir(&abandoned).unwrap();
        let other = world.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(&other, world.path().join(format!("{PREFIX}link"))).unwrap();
        assert_eq!(ownership(owned.path()), Ownership::Owned);
        assert_eq!(ownership(&abandoned), Ownership::Abandoned);
        assert_eq!(ownership(&kept), Ownership::Kept);
        drop(PrivateFolder::below(world.path()).unwrap());
        assert!(!abandoned.exists() && owned.path().exists() && kept.exists() && other.exists());
    }
}
