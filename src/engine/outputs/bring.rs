//! Bringing outputs from the private folder that they were made in to where they belong.
//!
//! Unlike a replay this follows a run that has just happened, so it leaves what the command itself would have left: what lies
//! at the places is replaced, whoever made it. What lies at other paths stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod, fstat};

use crate::model::{Reason, Stamp};
use crate::sys::{descriptor, stamp};

use super::collect::{Gathering, Seen, gather};
use super::fault::{BEHIND_A_STREAM, Fault, Kind};
use super::ground::Grounds;
use super::places::Places;
use super::transaction::{Staged, Transaction};
use super::{Stored, copy};

/// Copies what lies at the places `from` to the places `to`, where each thing has the path of record that `record` gives;
/// says what was left behind because it is no file, folder or link.
///
/// Everything is staged beside its target before the first target is touched. What is there and is as it was brought, files that
/// were inputs as well, is replaced all the same. A mode that a folder has stays.
///
/// # Errors
///
/// [`Reason::NotRestored`]; then everything is as before.
pub fn bring_back(from: &Places, to: &Places, record: &dyn Fn(&Path) -> PathBuf) -> Result<Vec<String>, Reason> {
    let (mut gathering, fault) = gather(from);
    if let Some(fault) = fault {
        return Err(fault.not_restored());
    }
    let mut told: Vec<String> =
        gathering.passed_over().map(|fault| format!("output {fault}, and is not brought back")).collect();
    let mut bringing =
        Bringing { to: Grounds::new(to), transaction: Transaction::new(Grounds::new(to)), staged: Vec::new() };
    let mut modes = BTreeMap::new();
    let things = gathering.take_things();
    for (path, seen) in &things {
        let target = record(path);
        match seen {
            Seen::Absent => Ok(()),
            Seen::Folder { mode, .. } => bringing.folder(&target, *mode).map(|made| {
                if made {
                    modes.insert(target, *mode);
                }
            }),
            Seen::File(found) => bringing.file(&mut gathering, path, &target, found),
            Seen::Link { target: text, .. } => bringing.link(&target, text),
        }
        .map_err(Fault::not_restored)?;
    }
    let Bringing { mut transaction, staged, .. } = bringing;
    for (staged, present) in &staged {
        transaction.put(staged, present.as_ref()).map_err(Fault::not_restored)?;
    }
    // Below before above.
    for (path, mode) in modes.iter().rev() {
        transaction.set_mode(path, *mode | 0o700, *mode).map_err(Fault::not_restored)?;
    }
    let narrow: Vec<(&Path, u32)> = modes
        .iter()
        .rev()
        .filter(|(_, mode)| **mode & 0o700 != 0o700)
        .map(|(path, mode)| (path.as_path(), *mode))
        .collect();
    told.extend(transaction.finish(&BTreeSet::new(), &narrow, &[]));
    Ok(told)
}

/// What is being brought.
struct Bringing<'a> {
    to: Grounds<'a>,
    transaction: Transaction<'a>,
    /// What waits beside its target, and what is there.
    staged: Vec<(Staged, Option<Stamp>)>,
}

impl Bringing<'_> {
    /// Makes a folder unless there is one; says whether it did.
    fn folder(&mut self, path: &Path, mode: u32) -> Result<bool, Fault> {
        match self.to.stat(path)? {
            None => self.transaction.create_folder(path, mode).map(|()| true),
            Some(stat) if Kind::of(&stat) == Kind::Folder => Ok(false),
            Some(stat) => Err(in_the_way(path, Kind::of(&stat), Kind::Folder)),
        }
    }

    fn file(&mut self, from: &mut Gathering, path: &Path, target: &Path, found: &Stamp) -> Result<(), Fault> {
        let present = self.present(target, Kind::File)?;
        let source = from.open(path, found)?;
        let (name, file) = self.transaction.stage(target, 0o600)?;
        let complete = || -> std::io::Result<Staged> {
            copy::fill(&file, &Stored::File { file: source.try_clone()?, length: found.size })?;
            fchmod(&file, Mode::from_raw_mode(found.mode & 0o777))?;
            set_modified(&file, &source)?;
            Ok(Transaction::staged(target, name, &fstat(&file)?))
        };
        let staged = complete().map_err(|why| Fault::system(target, &why))?;
        // Somebody whom the command left behind may write to it still, and half of that is not what it makes.
        if stamp::of_file(&source).ok().as_ref() != Some(found) {
            return Err(Fault::new(target, "changed while it was copied"));
        }
        self.staged.push((staged, present));
        Ok(())
    }

    fn link(&mut self, target: &Path, text: &[u8]) -> Result<(), Fault> {
        let present = self.present(target, Kind::Link)?;
        let staged = self.transaction.stage_link(target, text, None)?;
        self.staged.push((staged, present));
        Ok(())
    }

    /// What is to be replaced at `path`. Nothing is written through a link, and no folder is removed for a file.
    fn present(&mut self, path: &Path, wanted: Kind) -> Result<Option<Stamp>, Fault> {
        let Some(stat) = self.to.stat(path)? else { return Ok(None) };
        let kind = Kind::of(&stat);
        if kind != wanted && !(kind == Kind::File && wanted == Kind::Link) {
            return Err(in_the_way(path, kind, wanted));
        }
        let present = stamp::from_stat(&stat);
        match descriptor::is_behind_a_stream(present.device, present.inode) {
            true => Err(Fault::new(path, BEHIND_A_STREAM)),
            false => Ok(Some(present)),
        }
    }
}

fn in_the_way(path: &Path, kind: Kind, wanted: Kind) -> Fault {
    Fault::new(path, format!("is {}, where {} belongs", kind.name(), wanted.name()))
}

/// The time at which the command wrote it.
fn set_modified(file: &File, source: &File) -> std::io::Result<()> {
    file.set_modified(source.metadata()?.modified()?)
}
