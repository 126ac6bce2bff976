//! Sweeping: what former calls left in an owned folder, and is not in the record that is replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::model::{Digest, Stamp};
use crate::sys::temporary::is_temporary;
use crate::sys::{hash, stamp};

use super::Known;
use super::fault::{CHANGED_MEANWHILE, Fault, Kind};
use super::ground::Grounds;
use super::walk::{self, Found, Next};

/// Names in one warning.
const NAMED: usize = 3;

/// What is to be taken away, and what is to be told.
#[derive(Default)]
pub struct Sweep {
    /// Files and links that a former call made, as they were seen.
    pub removals: BTreeMap<PathBuf, Stamp>,
    /// Folders that a former call made: removed if nothing is left in them.
    pub emptied: BTreeSet<PathBuf>,
    /// What else there is, in words.
    pub warnings: Vec<String>,
}

impl Sweep {
    /// Looks through the folder at `path`; what is `recorded` stays.
    pub fn folder(
        &mut self,
        grounds: &mut Grounds,
        path: &Path,
        recorded: &BTreeSet<&Path>,
        former: &Known,
    ) -> Result<(), Fault> {
        let ground = grounds.of(path)?;
        let mut strangers = Vec::new();
        walk::tree(&ground, path, None, &mut |found| {
            if recorded.contains(found.path.as_path()) {
                return Ok(Next::Into);
            }
            if found.kind != Kind::Folder && found.path.file_name().is_some_and(is_temporary) {
                return Ok(Next::Past);
            }
            match found.kind {
                Kind::Folder if former.made_folder(&found.path) => {
                    self.emptied.insert(found.path);
                }
                Kind::Folder => {
                    if is_empty(&found)? {
                        strangers.push(found.path);
                    }
                }
                _ if is_of_former(&found, former)? => {
                    self.removals.insert(found.path, stamp::from_stat(&found.stat));
                }
                _ => strangers.push(found.path),
            }
            Ok(Next::Into)
        })?;
        self.warn(path, strangers);
        Ok(())
    }

    /// Takes away what is at `path`, where the record says that nothing is, if former calls made all of it.
    ///
    /// Anything else is a fault: the command may leave it, remove it, or print another thing because of it.
    pub fn absent(&mut self, grounds: &mut Grounds, path: &Path, former: &Known) -> Result<(), Fault> {
        let Some(stat) = grounds.stat(path)? else { return Ok(()) };
        self.remove(Found::at(path, stat, grounds)?, former)?;
        if Kind::of(&stat) == Kind::Folder {
            let ground = grounds.of(path)?;
            walk::tree(&ground, path, None, &mut |found| self.remove(found, former).map(|()| Next::Into))?;
        }
        Ok(())
    }

    fn remove(&mut self, found: Found, former: &Known) -> Result<(), Fault> {
        if found.kind == Kind::Folder && former.made_folder(&found.path) {
            self.emptied.insert(found.path);
        } else if found.kind != Kind::Folder && is_of_former(&found, former)? {
            self.removals.insert(found.path, stamp::from_stat(&found.stat));
        } else {
            return Err(Fault::new(
                &found.path,
                "is there, but the recorded run had none, and no recorded run made it",
            ));
        }
        Ok(())
    }

    fn warn(&mut self, path: &Path, mut strangers: Vec<PathBuf>) {
        if strangers.is_empty() {
            return;
        }
        strangers.sort_unstable();
        let name = |stranger: &PathBuf| format!("`{}`", stranger.display());
        let mut names: Vec<String> = strangers.iter().take(NAMED).map(name).collect();
        if strangers.len() > NAMED {
            names.push(format!("and {} more", strangers.len() - NAMED));
        }
        self.warnings.push(format!(
            "left in `{}/`, because no recorded run made it: {}",
            path.display(),
            names.join(", ")
        ));
    }
}

fn is_empty(found: &Found) -> Result<bool, Fault> {
    let name = Path::new(found.path.file_name().unwrap_or_default());
    let names = found.folder.open_folder(name).and_then(|folder| folder.entries());
    Ok(names.map_err(|why| Fault::system(&found.path, &why))?.is_empty())
}

/// The digest of a file that was found.
pub fn digest_of(found: &Found) -> Result<Digest, Fault> {
    let fault = |why| Fault::system(&found.path, &why);
    let file = found.folder.open_file(found.path.file_name().unwrap_or_default()).map_err(fault)?;
    if stamp::of_file(&file).map_err(fault)? != stamp::from_stat(&found.stat) {
        return Err(Fault::new(&found.path, CHANGED_MEANWHILE));
    }
    let length = u64::try_from(found.stat.st_size).unwrap_or_default();
    hash::whole(file, length, &mut Vec::new()).map(|(digest, _)| digest).map_err(fault)
}

/// Whether a former call made exactly this file or link.
pub fn is_of_former(found: &Found, former: &Known) -> Result<bool, Fault> {
    let fault = |why| Fault::system(&found.path, &why);
    let name = found.path.file_name().unwrap_or_default();
    match found.kind {
        Kind::File if former.knows_file(&found.path) => Ok(former.made_file(&found.path, &digest_of(found)?)),
        Kind::Link => Ok(former.made_link(&found.path, &found.folder.readlink(name).map_err(fault)?)),
        _ => Ok(false),
    }
}
