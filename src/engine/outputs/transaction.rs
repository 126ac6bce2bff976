//! A transaction on files: everything staged beside its target, then renamed; undone unless it is finished.
//!
//! 1. Nothing that was there before is removed before [`finish`](Transaction::finish): it is kept under a
//!    temporary name beside its place.
//! 2. At any time each target is the old file or the new one, whole.
//! 3. Dropping the transaction undoes its steps, the latest first, as well as it can be done.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::model::Stamp;
use crate::sys::beneath::Beneath;
use crate::sys::stamp;

use super::fault::{CHANGED_MEANWHILE, Fault};
use super::ground::{Ground, Grounds};

/// What their owner may do with folders while they are filled.
const FILLING: u32 = 0o700;
/// The mode of folders that nobody recorded, less the umask.
const UNRECORDED: u32 = 0o777;

/// Steps that are undone when this is dropped.
pub struct Transaction<'a> {
    grounds: Grounds<'a>,
    steps: Vec<Step>,
    /// What [`finish`](Transaction::finish) removes, by the names that it has by now.
    going: BTreeSet<PathBuf>,
}

/// Something that was done to `path`.
struct Step {
    ground: Rc<Ground>,
    path: PathBuf,
    what: What,
}

enum What {
    /// A folder was made.
    Created,
    /// A file or link of this temporary name was made beside it.
    Staged(OsString),
    /// This file was renamed to it, where nothing was.
    Placed(Identity),
    /// This file was exchanged with what was there, which now has the temporary name.
    Exchanged(Identity, OsString),
    /// What was there has this temporary name.
    SetAside(OsString),
    /// The folder holds nothing but what was set aside, and folders like it.
    Doomed,
    /// The folder had this mode.
    Mode(u32),
    /// This file had this modification time, in nanoseconds since 1970.
    Touched(Identity, i64),
}

/// Device and inode.
type Identity = (u64, u64);

/// A file or link that waits beside its target.
pub struct Staged {
    path: PathBuf,
    name: OsString,
    identity: Identity,
}

impl<'a> Transaction<'a> {
    /// Nothing is done yet.
    pub fn new(grounds: Grounds<'a>) -> Transaction<'a> {
        Transaction { grounds, steps: Vec::new(), going: BTreeSet::new() }
    }

    /// Makes the folder `path`, with `mode` as far as the umask lets it and all rights for its owner, and what is missing
    /// above it. Were it made for its owner alone, a restore that is killed would leave that to the next one, which cannot tell
    /// it from the user's will.
    pub fn create_folder(&mut self, path: &Path, mode: u32) -> Result<(), Fault> {
        let parent = self.parent(path)?;
        let ground = self.grounds.of(path)?;
        self.make(&ground, &parent, path, mode | FILLING)
    }

    /// An empty file beside `path`, with `mode` as far as the umask lets it; missing folders are made.
    pub fn stage(&mut self, path: &Path, mode: u32) -> Result<(OsString, File), Fault> {
        let parent = self.parent(path)?;
        let (name, file) = parent.stage(mode).map_err(|why| Fault::system(path, &why))?;
        self.push(path, What::Staged(name.clone()))?;
        Ok((name, file))
    }

    /// The staged file, whose status is `stat` now that it is complete.
    pub fn staged(path: &Path, name: OsString, stat: &Stat) -> Staged {
        Staged { path: path.to_owned(), name, identity: (stat.st_dev, stat.st_ino) }
    }

    /// Gives the file at `path`, which was seen as `present`, the time that a file made now would have; how it is then.
    pub fn touch(&mut self, path: &Path, present: &Stamp) -> Result<Stamp, Fault> {
        let parent = self.grounds.present_parent(path)?;
        let look = || match parent.stat(name(path)) {
            Ok(Some(stat)) => Ok(stamp::from_stat(&stat)),
            Ok(None) => Err(Fault::new(path, CHANGED_MEANWHILE)),
            Err(why) => Err(Fault::system(path, &why)),
        };
        if look()? != *present {
            return Err(Fault::new(path, CHANGED_MEANWHILE));
        }
        self.push(path, What::Touched((present.device, present.inode), present.modified))?;
        parent.touch(name(path)).map_err(|why| Fault::system(path, &why))?;
        look()
    }

    /// Gives the file at `path`, which was [touched](Transaction::touch), this modification time, in nanoseconds since 1970.
    pub fn date(&mut self, path: &Path, modified: i64) -> Result<(), Fault> {
        let parent = self.grounds.present_parent(path)?;
        parent.set_modified(name(path), modified).map_err(|why| Fault::system(path, &why))
    }

    /// A link beside `path`, with this modification time if there is one; missing folders are made.
    pub fn stage_link(&mut self, path: &Path, target: &[u8], modified: Option<i64>) -> Result<Staged, Fault> {
        let parent = self.parent(path)?;
        let name = parent.stage_link(target).map_err(|why| Fault::system(path, &why))?;
        self.push(path, What::Staged(name.clone()))?;
        if let Some(modified) = modified {
            parent.set_modified(&name, modified).map_err(|why| Fault::system(path, &why))?;
        }
        match parent.stat(&name) {
            Ok(Some(stat)) => Ok(Transaction::staged(path, name, &stat)),
            Ok(None) => Err(Fault::new(path, CHANGED_MEANWHILE)),
            Err(why) => Err(Fault::system(path, &why)),
        }
    }

    /// Renames what was staged to its target, where `present` is what was seen there.
    pub fn put(&mut self, staged: &Staged, present: Option<&Stamp>) -> Result<(), Fault> {
        let path = &staged.path;
        let parent = self.grounds.present_parent(path)?;
        let Some(present) = present else {
            parent.place(&staged.name, name(path)).map_err(|why| overtaken(path, &why))?;
            return self.push(path, What::Placed(staged.identity));
        };
        parent.exchange(&staged.name, name(path)).map_err(|why| overtaken(path, &why))?;
        self.push(path, What::Exchanged(staged.identity, staged.name.clone()))?;
        expect(&parent, path, &staged.name, present)
    }

    /// As [`put`](Transaction::put), where nothing can fail afterwards: what was there needs no keeping.
    pub fn put_at_last(&mut self, staged: &Staged) -> Result<(), Fault> {
        let path = &staged.path;
        let parent = self.grounds.present_parent(path)?;
        parent.replace(&staged.name, name(path)).map_err(|why| Fault::system(path, &why))?;
        self.steps.clear();
        Ok(())
    }

    /// Takes away what is at `path` and was seen as `present`.
    pub fn set_aside(&mut self, path: &Path, present: &Stamp) -> Result<(), Fault> {
        // Opened anew: in a folder that was moved away meanwhile nobody would find what was set aside.
        let ground = self.grounds.of(path)?;
        let parent = ground.parent(path).map_err(|why| ground.fault(path, path.parent(), &why))?;
        let aside = parent.set_aside(name(path)).map_err(|why| Fault::system(path, &why))?;
        self.going.insert(path.with_file_name(&aside));
        self.push(path, What::SetAside(aside.clone()))?;
        expect(&parent, path, &aside, present)
    }

    /// Lets [`finish`](Transaction::finish) remove the folder at `path`, in which nothing may be left but what was taken
    /// away.
    pub fn doom_folder(&mut self, path: &Path) -> Result<(), Fault> {
        let ground = self.grounds.of(path)?;
        let folder = ground.folder(path).map_err(|why| ground.fault(path, Some(path), &why))?;
        for entry in folder.entries().map_err(|why| Fault::system(path, &why))? {
            if !self.going.contains(&path.join(entry)) {
                return Err(Fault::new(path, CHANGED_MEANWHILE));
            }
        }
        self.going.insert(path.to_owned());
        self.push(path, What::Doomed)
    }

    /// Sets the mode of the folder at `path`, which has the mode `before`, except that its owner keeps
    /// all rights until [`finish`](Transaction::finish).
    pub fn set_mode(&mut self, path: &Path, before: u32, mode: u32) -> Result<(), Fault> {
        let folder = self.grounds.of(path)?.folder(path).map_err(|why| Fault::system(path, &why))?;
        folder.set_mode(mode | FILLING).map_err(|why| Fault::system(path, &why))?;
        self.push(path, What::Mode(before))
    }

    /// Drops what was kept for undoing, then removes the folders `emptied` if they are empty, then sets
    /// the `modes` that take rights from the owner, and gives folders their times. What cannot be done is told.
    pub fn finish(
        mut self,
        emptied: &BTreeSet<PathBuf>,
        modes: &[(&Path, u32)],
        dated: &[(&Path, i64)],
    ) -> Vec<String> {
        let (mut told, mut left) = (Vec::new(), Vec::new());
        for step in std::mem::take(&mut self.steps) {
            let parent = || step.ground.parent(&step.path);
            let (removed, path) = match &step.what {
                What::Exchanged(_, old) | What::SetAside(old) => {
                    (twice(|| parent()?.unlink(old)), step.path.with_file_name(old))
                }
                What::Doomed => (twice(|| parent()?.remove_folder(name(&step.path))), step.path.clone()),
                _ => continue,
            };
            if removed.is_err() {
                left.push(path);
            }
        }
        told.extend(of_all("cannot remove", &left));
        // Below before above.
        for path in emptied.iter().rev() {
            // One that is not empty, or gone, is as it should be.
            if let Ok(ground) = self.grounds.of(path) {
                let _ = twice(|| ground.parent(path)?.remove_folder(name(path)));
            }
        }
        let undated = dated.iter().filter(|(path, time)| {
            let ground = self.grounds.of(path).ok();
            let dated = ground.map(|ground| twice(|| ground.parent(path)?.set_modified(name(path), *time)));
            !matches!(dated, Some(Ok(())))
        });
        told.extend(of_all("cannot set the time of", &undated.map(|(path, _)| path).collect::<Vec<_>>()));
        let unset = modes.iter().filter(|(path, mode)| {
            let ground = self.grounds.of(path).ok();
            let set = ground.map(|ground| twice(|| ground.folder(path)?.set_mode(*mode)));
            !matches!(set, Some(Ok(())))
        });
        told.extend(of_all("cannot set the mode of", &unset.map(|(path, _)| path).collect::<Vec<_>>()));
        told
    }

    /// The folder that holds `path`, made if it is missing.
    fn parent(&mut self, path: &Path) -> Result<Rc<Beneath>, Fault> {
        if let Ok(folder) = self.grounds.parent(path)? {
            return Ok(folder);
        }
        let ground = self.grounds.of(path)?;
        let (mut missing, mut reached) = (Vec::new(), None);
        for folder in path.ancestors().skip(1) {
            match ground.folder(folder) {
                Ok(opened) => {
                    reached = Some(opened);
                    break;
                }
                Err(why) if Errno::from_io_error(&why) == Some(Errno::NOENT) => missing.push(folder),
                Err(why) => return Err(ground.fault(path, Some(folder), &why)),
            }
        }
        let mut reached = reached.ok_or_else(|| Fault::new(path, "lies nowhere"))?;
        for folder in missing.into_iter().rev() {
            self.make(&ground, &reached, folder, UNRECORDED)?;
            reached = ground.folder(folder).map_err(|why| ground.fault(path, Some(folder), &why))?;
        }
        Ok(reached)
    }

    fn make(&mut self, ground: &Rc<Ground>, parent: &Beneath, path: &Path, mode: u32) -> Result<(), Fault> {
        parent.create_folder(name(path), mode).map_err(|why| Fault::system(path, &why))?;
        self.steps.push(Step { ground: Rc::clone(ground), path: path.to_owned(), what: What::Created });
        Ok(())
    }

    fn push(&mut self, path: &Path, what: What) -> Result<(), Fault> {
        let ground = self.grounds.of(path)?;
        self.steps.push(Step { ground, path: path.to_owned(), what });
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Temporary names under which a user's file had to stay.
        let mut taken = Vec::new();
        for step in std::mem::take(&mut self.steps).into_iter().rev() {
            step.undo(&mut taken);
        }
    }
}

impl Step {
    /// Errors are passed over: the next step is to be undone all the same, and the command runs anyway.
    fn undo(self, taken: &mut Vec<(PathBuf, OsString)>) {
        let Ok(parent) = twice(|| self.ground.parent(&self.path)) else { return };
        let name = name(&self.path);
        match self.what {
            What::Created => {
                let _ = twice(|| parent.remove_folder(name));
            }
            What::Staged(staged) => {
                let key = (self.path, staged);
                if !taken.contains(&key) {
                    let _ = twice(|| parent.unlink(&key.1));
                }
            }
            What::Placed(identity) => {
                if is_at(&parent, name, identity) {
                    let _ = twice(|| parent.unlink(name));
                }
            }
            What::Exchanged(identity, staged) => {
                if is_at(&parent, name, identity) && parent.exchange(&staged, name).is_err() {
                    taken.push((self.path, staged));
                }
            }
            What::SetAside(aside) => {
                let _ = twice(|| parent.place(&aside, name));
            }
            What::Doomed => {}
            What::Mode(mode) => {
                let _ = twice(|| self.ground.folder(&self.path)?.set_mode(mode));
            }
            What::Touched(identity, modified) => {
                if is_at(&parent, name, identity) {
                    let _ = twice(|| parent.set_modified(name, modified));
                }
            }
        }
    }
}

/// One line on all `paths` of which something could not be done; none where there are none.
fn of_all(cannot: &str, paths: &[impl AsRef<Path>]) -> Option<String> {
    let (first, others) = paths.split_first()?;
    let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    Some(format!("{cannot} `{}`{others}", first.as_ref().display()))
}

/// Does what cannot be left undone a second time where it fails: what stays then lies among the user's files, and a file
/// system that is far away may just have been interrupted.
fn twice<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    act().or_else(|_| act())
}

/// Whether `name` is this file, and not one that somebody else has put there since.
fn is_at(folder: &Beneath, name: &OsStr, identity: Identity) -> bool {
    matches!(folder.stat(name), Ok(Some(stat)) if (stat.st_dev, stat.st_ino) == identity)
}

/// Fails unless `name`, which has just been renamed, is what was `seen` at `path` before.
fn expect(folder: &Beneath, path: &Path, name: &OsStr, seen: &Stamp) -> Result<(), Fault> {
    let stat = folder.stat(name).map_err(|why| Fault::system(path, &why))?;
    // Renaming changes the time of the last change.
    let now = stat.map(|stat| Stamp { changed: seen.changed, ..stamp::from_stat(&stat) });
    if now.as_ref() == Some(seen) { Ok(()) } else { Err(Fault::new(path, CHANGED_MEANWHILE)) }
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// What is wrong where something appeared, or vanished, after it was looked at.
fn overtaken(path: &Path, why: &io::Error) -> Fault {
    match why.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => Fault::new(path, CHANGED_MEANWHILE),
        _ => Fault::system(path, why),
    }
}
