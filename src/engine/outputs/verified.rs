//! What the key of a watched call says of the paths that its replay touches: the lookup has found it to be so.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use crate::model::{Digest, Observation, Output, OutputKind, State};
use crate::sys::stamp;

use super::fault::{Fault, Kind};
use super::ground::Grounds;
use super::sweep::{Sweep, digest_of};
use super::walk::Found;

/// What was observed, in key order.
pub struct Verified<'a>(pub &'a [Observation]);

impl<'a> Verified<'a> {
    fn states(&self, path: &Path) -> impl Iterator<Item = &'a State> {
        let bytes = path.as_os_str().as_bytes();
        let first = self.0.partition_point(|seen| seen.path.as_os_str().as_bytes() < bytes);
        self.0[first..].iter().take_while(move |seen| seen.path.as_os_str().as_bytes() == bytes).map(|seen| &seen.state)
    }

    /// Whether the key tells of what `stat` says is at `path`, its permission bits included: so the command found it too.
    pub fn tells_of(&self, path: &Path, stat: &Stat, grounds: &mut Grounds) -> Result<bool, Fault> {
        let kind = Kind::of(stat);
        let has_mode = |mode: &u32| State::permissions(*mode) == State::permissions(stat.st_mode);
        let text = match kind {
            Kind::Link => Some(text_of(path, *stat, grounds)?),
            _ => None,
        };
        Ok(self.states(path).any(|state| match state {
            State::File { mode, .. } | State::Exists { mode } | State::Replaced { mode, .. } => {
                kind == Kind::File && has_mode(mode)
            }
            State::Folder { mode } => kind == Kind::Folder && has_mode(mode),
            State::Metadata { mode, .. } => *mode == stat.st_mode,
            State::Target(target) => text.as_ref() == Some(target),
            _ => false,
        }))
    }

    /// The digest of the bytes of the file at `path`.
    fn content(&self, path: &Path) -> Option<&'a Digest> {
        self.states(path).find_map(State::content)
    }

    /// Finds what is to be taken away: what the recorded run took away and had read, which is still that.
    ///
    /// Rejected: to take away what is there by its name alone. A key that told less than it should would cost
    /// somebody their file.
    pub fn sweep(&self, outputs: &[Output], grounds: &mut Grounds) -> Result<Sweep, Fault> {
        let mut sweep = Sweep::default();
        for output in outputs.iter().filter(|output| output.kind == OutputKind::Absent) {
            let path = output.path.as_path();
            let gone = || Fault::new(path, "is gone already, but the recorded run took it away");
            let found = Found::at(path, grounds.stat(path)?.ok_or_else(gone)?, grounds)?;
            let is_known = match found.kind {
                Kind::Folder => true,
                Kind::File => self.content(path) == Some(&digest_of(&found)?),
                Kind::Link => self.tells_of(path, &found.stat, grounds)?,
                Kind::Special(_) => false,
            };
            if !is_known {
                return Err(Fault::new(path, "is not what the recorded run took away"));
            }
            if found.kind == Kind::Folder {
                sweep.emptied.insert(found.path);
            } else {
                sweep.removals.insert(found.path, stamp::from_stat(&found.stat));
            }
        }
        let is_going = |path: &PathBuf| sweep.removals.contains_key(path) || sweep.emptied.contains(path);
        for folder in &sweep.emptied {
            for name in entries(folder, grounds)? {
                let path = folder.join(name);
                if !is_going(&path) {
                    return Err(Fault::new(&path, "lies in a folder that the recorded run took away"));
                }
            }
        }
        Ok(sweep)
    }
}

/// Whether every output has a folder to lie in: one that is there, or one that the recorded run made. Without it the
/// command would fail where the recorded run did not.
pub fn check_folders(outputs: &[Output], grounds: &mut Grounds) -> Result<(), Fault> {
    let made: BTreeSet<&Path> = outputs
        .iter()
        .filter(|output| matches!(output.kind, OutputKind::Folder { .. }))
        .map(|output| output.path.as_path())
        .collect();
    for output in outputs.iter().filter(|output| output.kind != OutputKind::Absent) {
        if !output.path.parent().is_some_and(|folder| made.contains(folder)) {
            grounds.present_parent(&output.path)?;
        }
    }
    Ok(())
}

/// The names in the folder at `path`.
fn entries(path: &Path, grounds: &mut Grounds) -> Result<Vec<std::ffi::OsString>, Fault> {
    let ground = grounds.of(path)?;
    let folder = ground.folder(path).map_err(|why| ground.fault(path, Some(path), &why))?;
    folder.entries().map_err(|why| Fault::system(path, &why))
}

fn text_of(path: &Path, stat: Stat, grounds: &mut Grounds) -> Result<Vec<u8>, Fault> {
    let found = Found::at(path, stat, grounds)?;
    found.folder.readlink(path.file_name().unwrap_or_default()).map_err(|why| Fault::system(path, &why))
}
