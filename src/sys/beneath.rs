//! Folders that no path below them leads out of: no link is followed, no `..` taken.
//!
//! A path is resolved by one `openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`; where the kernel
//! (before 5.6) or a seccomp filter refuses that call, by `openat(2)` with `O_NOFOLLOW`, name by name.
//! What is then done to a file is done by its name in an open folder, so that a folder that is swapped
//! for a link meanwhile changes nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, fchmod, fstat, linkat, mkdirat, openat, openat2, readlinkat, renameat, renameat_with, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::{identity, temporary};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const STRICT: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl AsFd for Beneath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Bytes of path given to one call; the kernel takes less than 4096, and a path below may be longer.
const LONGEST: usize = 4000;
/// Temporary names tried before a folder is held to be hostile.
const TRIES: u32 = 1000;

/// The times that give something this modification time, in nanoseconds since 1970, and leave the other as it is.
pub fn modification(modified: i64) -> Timestamps {
    let time = Timespec { tv_sec: modified.div_euclid(1_000_000_000), tv_nsec: modified.rem_euclid(1_000_000_000) };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: time }
}

/// An open folder.
pub struct Beneath(OwnedFd);

impl Beneath {
    /// Opens the folder `path` as any program would, links followed: for folders that the user named.
    pub fn open(path: &Path) -> io::Result<Beneath> {
        Ok(Beneath(openat(CWD, path, FOLDER, Mode::empty())?))
    }

    /// The same, if no link is at `path` itself.
    pub fn open_itself(path: &Path) -> io::Result<Beneath> {
        Ok(Beneath(openat(CWD, path, FOLDER | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// Opens the folder `path` below this one. Fails with `ELOOP` where a link is in the way, and with
    /// `EINVAL` for a path that is empty or has anything but names in it.
    pub fn open_folder(&self, path: &Path) -> io::Result<Beneath> {
        self.open_in_pieces(path, resolve)
    }

    fn open_in_pieces(&self, path: &Path, open: fn(BorrowedFd, &Path) -> io::Result<OwnedFd>) -> io::Result<Beneath> {
        if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Errno::INVAL.into());
        }
        if path.as_os_str().len() <= LONGEST {
            return open(self.0.as_fd(), path).map(Beneath);
        }
        let mut reached: Option<OwnedFd> = None;
        let mut piece = PathBuf::new();
        for name in path {
            if piece.as_os_str().len() + name.len() >= LONGEST {
                let from = reached.as_ref().unwrap_or(&self.0).as_fd();
                reached = Some(open(from, &piece)?);
                piece = PathBuf::new();
            }
            piece.push(name);
        }
        open(reached.as_ref().unwrap_or(&self.0).as_fd(), &piece).map(Beneath)
    }

    /// The first part of `path` that is a link, to be named in an error.
    pub fn link_in(&self, path: &Path) -> Option<PathBuf> {
        let mut parts: Vec<&Path> = path.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
        parts.reverse();
        parts.into_iter().find(|part| self.open_folder(part).is_err()).map(Path::to_owned)
    }

    /// The names in this folder, in no order.
    pub fn entries(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    /// This folder as a file that can be asked about its file system.
    pub fn to_file(&self) -> io::Result<File> {
        Ok(self.readable()?.into())
    }

    fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.0, c".", flags, Mode::empty())?)
    }

    /// What `name` is, a link not followed; `None` where there is nothing.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.0, checked(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// Opens `name` for reading; never waits for the other end of a FIFO. The caller has to see by the
    /// open file whether it is a regular one.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(openat(&self.0, checked(name)?, flags, Mode::empty())?.into())
    }

    /// The text of the link `name`.
    pub fn readlink(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.0, checked(name)?, Vec::new())?.into_bytes())
    }

    /// Makes the folder `name`, with `mode` less the process's umask.
    pub fn create_folder(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(mkdirat(&self.0, checked(name)?, Mode::from_raw_mode(mode))?)
    }

    /// Sets the mode of this folder itself.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fchmod(self.readable()?, Mode::from_raw_mode(mode))?)
    }

    /// A new empty file with a temporary name in this folder, with `mode` less the process's umask.
    pub fn stage(&self, mode: u32) -> io::Result<(OsString, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (name, file) = with_temporary_name(|name| openat(&self.0, name, flags, Mode::from_raw_mode(mode)))?;
        Ok((name, file.into()))
    }

    /// A new link with the text `target` and a temporary name in this folder.
    pub fn stage_link(&self, target: &[u8]) -> io::Result<OsString> {
        let target = OsStr::from_bytes(target);
        Ok(with_temporary_name(|name| symlinkat(target, &self.0, name))?.0)
    }

    /// Gives what is called `name`, a link not followed, a modification time, in nanoseconds since 1970.
    pub fn set_modified(&self, name: &OsStr, modified: i64) -> io::Result<()> {
        Ok(utimensat(&self.0, checked(name)?, &modification(modified), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives what is called `name`, a link not followed, the modification time that a file made now would have.
    pub fn touch(&self, name: &OsStr) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_modification: now, ..modification(0) };
        Ok(utimensat(&self.0, checked(name)?, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Whether what this process makes in this folder belongs to the same user and group as `stat`. Some file systems have rules
    /// of their own for groups: it says no where it is not certain.
    pub fn gives_to(&self, stat: &Stat) -> io::Result<bool> {
        let folder = fstat(&self.0)?;
        let own = identity::effective_group();
        let is_handed_down = Mode::from_raw_mode(folder.st_mode).contains(Mode::SGID) || folder.st_gid == own;
        Ok(stat.st_uid == identity::effective_user() && is_handed_down && stat.st_gid == folder.st_gid)
    }

    /// Renames `from` to `to`, where nothing may be yet (`EEXIST`).
    pub fn place(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(self.rename_new(checked(from)?, checked(to)?)?)
    }

    /// Renames `from` to `to` and drops what was there.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, checked(from)?, &self.0, checked(to)?)?)
    }

    /// Lets `from` and `to` change names. One step where the file system can do that; else `to` is the
    /// old file or the new one at any time as long as hard links are possible.
    pub fn exchange(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let (from, to) = (checked(from)?, checked(to)?);
        match renameat_with(&self.0, from, &self.0, to, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => self.exchange_in_steps(from, to),
            exchanged => Ok(exchanged?),
        }
    }

    /// Renames `name` to a temporary name and returns that.
    pub fn set_aside(&self, name: &OsStr) -> io::Result<OsString> {
        let name = checked(name)?;
        Ok(with_temporary_name(|aside| self.rename_new(name, aside))?.0)
    }

    /// Removes the file or link `name`.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, checked(name)?, AtFlags::empty())?)
    }

    /// Removes the empty folder `name`.
    pub fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, checked(name)?, AtFlags::REMOVEDIR)?)
    }

    fn rename_new(&self, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
        match renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => self.rename_new_in_steps(from, to),
            renamed => renamed,
        }
    }

    /// For file systems without `RENAME_NOREPLACE`.
    fn rename_new_in_steps(&self, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
        match linkat(&self.0, from, &self.0, to, AtFlags::empty()) {
            Ok(()) => unlinkat(&self.0, from, AtFlags::empty()),
            Err(Errno::EXIST) => Err(Errno::EXIST),
            Err(_) => match statat(&self.0, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(&self.0, from, &self.0, to),
                Ok(_) => Err(Errno::EXIST),
                Err(why) => Err(why),
            },
        }
    }

    /// For file systems without `RENAME_EXCHANGE`.
    fn exchange_in_steps(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let linked = with_temporary_name(|aside| linkat(&self.0, to, &self.0, aside, AtFlags::empty()));
        if let Ok((aside, ())) = linked {
            match renameat(&self.0, from, &self.0, to) {
                Ok(()) => return Ok(renameat(&self.0, &aside, &self.0, from)?),
                Err(why) => {
                    // A second name of `to`, which is still there.
                    unlinkat(&self.0, &aside, AtFlags::empty())?;
                    if why != Errno::NOTDIR && why != Errno::ISDIR {
                        return Err(why.into());
                    }
                }
            }
        }
        // No hard links here, or one of the two is a folder: there is a moment without `to`.
        let (aside, ()) = with_temporary_name(|aside| self.rename_new(to, aside))?;
        if let Err(why) = self.rename_new(from, to) {
            self.rename_new(&aside, to)?;
            return Err(why.into());
        }
        Ok(renameat(&self.0, &aside, &self.0, from)?)
    }
}

fn with_temporary_name<T>(mut make: impl FnMut(&OsStr) -> rustix::io::Result<T>) -> io::Result<(OsString, T)> {
    for _ in 0..TRIES {
        let name = temporary::name();
        match make(&name) {
            Err(Errno::EXIST) => {}
            Err(why) => return Err(why.into()),
            Ok(made) => return Ok((name, made)),
        }
    }
    Err(Errno::EXIST.into())
}

/// Opens what is at `path` below an open folder, or makes it, as the flags say. No link is followed, neither on the way nor
/// at its end.
///
/// # Errors
///
/// `ELOOP` where there is one; else as `openat(2)`.
pub fn open_below(folder: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    // With `O_NOFOLLOW` a link at the end would be told as "no folder".
    let flags = (flags | OFlags::CLOEXEC).difference(OFlags::NOFOLLOW);
    match openat2(&folder, path, flags, mode, STRICT) {
        Err(Errno::NOSYS | Errno::PERM) => open_by_steps(folder.as_fd(), path, flags, mode),
        opened => opened,
    }
}

fn resolve(folder: BorrowedFd, path: &Path) -> io::Result<OwnedFd> {
    Ok(open_below(folder, path, FOLDER, Mode::empty())?)
}

/// [`resolve`] by hand.
#[cfg(test)]
fn walk(folder: BorrowedFd, path: &Path) -> io::Result<OwnedFd> {
    Ok(open_by_steps(folder, path, FOLDER, Mode::empty())?)
}

/// [`open_below`] by hand.
fn open_by_steps(folder: BorrowedFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let mut reached: Option<OwnedFd> = None;
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        let from = reached.as_ref().map_or(folder, |reached| reached.as_fd());
        let (flags, mode) = match names.peek() {
            Some(_) => (FOLDER, Mode::empty()),
            None => (flags, mode),
        };
        match openat(from, name, flags | OFlags::NOFOLLOW, mode) {
            Ok(opened) => reached = Some(opened),
            Err(Errno::NOTDIR) if is_link(from, name) => return Err(Errno::LOOP),
            Err(why) => return Err(why),
        }
    }
    reached.ok_or(Errno::INVAL)
}

fn is_link(folder: BorrowedFd, name: &OsStr) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// `name`, if it is one name and not a path.
fn checked(name: &OsStr) -> rustix::io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Errno::INVAL);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    fn world() -> (tempfile::TempDir, Beneath) {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir_all(world.path().join("top/a/b/c")).unwrap();
        fs::create_dir(world.path().join("outside")).unwrap();
        let top = Beneath::open(&world.path().join("top")).unwrap();
        (world, top)
    }

    #[test]
    fn both_roads_give_the_same_verdicts() {
        let (world, top) = world();
        symlink("../../outside", world.path().join("top/a/out")).unwrap();
        symlink("b", world.path().join("top/a/in")).unwrap();
        symlink("/", world.path().join("top/slash")).unwrap();
        fs::write(world.path().join("top/file"), "").unwrap();
        let verdicts = [
            ("a", None),
            ("a/b/c", None),
            ("a/out", Some(Errno::LOOP)),
            ("a/in/c", Some(Errno::LOOP)),
            ("slash/etc", Some(Errno::LOOP)),
            ("file", Some(Errno::NOTDIR)),
            ("file/x", Some(Errno::NOTDIR)),
            ("gone/x", Some(Errno::NOENT)),
            ("..", Some(Errno::INVAL)),
            ("a/../a", Some(Errno::INVAL)),
            ("/etc", Some(Errno::INVAL)),
            ("", Some(Errno::INVAL)),
        ];
        for (path, verdict) in verdicts {
            for open in [resolve, walk] {
                let opened = top.open_in_pieces(Path::new(path), open);
                assert_eq!(opened.err().and_then(|why| why.raw_os_error()), verdict.map(Errno::raw_os_error), "{path}");
            }
        }
        assert_eq!(top.link_in(Path::new("a/in/c")), Some("a/in".into()));
    }

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes() {
        let (world, top) = world();
        let name = "n".repeat(255);
        let mut folder = Beneath::open(world.path()).unwrap();
        let mut path = PathBuf::new();
        for _ in 0..40 {
            folder.create_folder(OsStr::new(&name), 0o700).unwrap();
            folder = folder.open_folder(Path::new(&name)).unwrap();
            path.push(&name);
        }
        folder.stage(0o600).unwrap().1.write_all(b"deep").unwrap();
        let world = Beneath::open(world.path()).unwrap();
        for open in [resolve, walk] {
            assert_eq!(world.open_in_pieces(&path, open).unwrap().entries().unwrap().len(), 1);
        }
        assert!(top.open_folder(&path).is_err());
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        let (_world, top) = world();
        for name in ["", ".", "..", "a/b", "/etc/passwd"] {
            assert!(top.stat(OsStr::new(name)).is_err(), "{name}");
            assert!(top.create_folder(OsStr::new(name), 0o700).is_err(), "{name}");
            assert!(top.open_file(OsStr::new(name)).is_err(), "{name}");
        }
        assert!(top.stat(OsStr::from_bytes(b"a\0b")).is_err());
    }

    #[test]
    fn renames_do_the_same_with_and_without_the_file_system_s_help() {
        let (world, top) = world();
        let (x, y) = (OsStr::new("x"), OsStr::new("y"));
        let file = |name: &str| fs::read_to_string(world.path().join("top").join(name)).unwrap();
        for exchange in [Beneath::exchange, Beneath::exchange_in_steps] {
            fs::write(world.path().join("top/x"), "x").unwrap();
            fs::write(world.path().join("top/y"), "y").unwrap();
            exchange(&top, x, y).unwrap();
            assert_eq!((file("x"), file("y")), ("y".into(), "x".into()));
            assert!(exchange(&top, OsStr::new("gone"), y).is_err());
            assert!(exchange(&top, x, OsStr::new("gone")).is_err());
            assert_eq!((file("x"), file("y")), ("y".into(), "x".into()));
            assert_eq!(top.entries().unwrap().len(), 3);
            exchange(&top, x, OsStr::new("a")).unwrap();
            assert!(world.path().join("top/x/b/c").is_dir());
            exchange(&top, x, OsStr::new("a")).unwrap();
            assert_eq!((file("x"), top.entries().unwrap().len()), ("y".into(), 3));
        }
        for rename in [Beneath::rename_new, Beneath::rename_new_in_steps] {
            assert_eq!(rename(&top, x, y), Err(Errno::EXIST));
            rename(&top, x, OsStr::new("z")).unwrap();
            assert_eq!(file("z"), "y");
            rename(&top, OsStr::new("z"), x).unwrap();
            assert_eq!(top.entries().unwrap().len(), 3);
        }
    }

    #[test]
    fn temporary_names_are_known_and_never_taken_twice() {
        let (_world, top) = world();
        let (first, file) = top.stage(0o600).unwrap();
        let second = top.stage_link(b"nowhere").unwrap();
        let third = top.set_aside(&first).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert!([&first, &second, &third].into_iter().all(|name| temporary::is_temporary(name)));
        assert_eq!(top.readlink(&second).unwrap(), b"nowhere");
    }
}
