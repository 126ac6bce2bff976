//! Walking through folders without following a link and without recursion.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::Stat;

use crate::sys::beneath::Beneath;

use super::fault::{Fault, Kind};
use super::ground::{Ground, Grounds};

/// Folders within folders that are followed; deeper is not stored (the limit that Nix has).
pub const DEEPEST: usize = 64;

/// Something in a folder.
pub struct Found {
    /// Its path of record.
    pub path: PathBuf,
    /// What is known of it.
    pub stat: Stat,
    /// What it is.
    pub kind: Kind,
    /// The folder that holds it.
    pub folder: Rc<Beneath>,
}

impl Found {
    /// What `stat` says of, at `path`.
    pub fn at(path: &Path, stat: Stat, grounds: &mut Grounds) -> Result<Found, Fault> {
        let folder = grounds.present_parent(path)?;
        Ok(Found { path: path.to_owned(), stat, kind: Kind::of(&stat), folder })
    }
}

/// Whether a walk goes on below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Into it.
    Into,
    /// Past it.
    Past,
}

/// Shows everything below the folder at `top` to `visit`, a folder before what is in it.
///
/// `depth` limits how many names below `top` are shown. What vanishes meanwhile is passed over.
pub fn tree(
    ground: &Ground,
    top: &Path,
    depth: Option<usize>,
    visit: &mut dyn FnMut(Found) -> Result<Next, Fault>,
) -> Result<(), Fault> {
    let mut folders = vec![(top.to_owned(), 1)];
    while let Some((path, level)) = folders.pop() {
        let folder = ground.folder(&path).map_err(|why| ground.fault(&path, Some(&path), &why))?;
        for name in folder.entries().map_err(|why| Fault::system(&path, &why))? {
            let path = path.join(&name);
            let Some(stat) = folder.stat(&name).map_err(|why| Fault::system(&path, &why))? else { continue };
            if ground.below(&path).is_none_or(is_too_deep) {
                return Err(Fault::new(&path, format!("is nested more than {DEEPEST} folders deep")));
            }
            let kind = Kind::of(&stat);
            let next = visit(Found { path: path.clone(), stat, kind, folder: Rc::clone(&folder) })?;
            if kind == Kind::Folder && next == Next::Into && depth.is_none_or(|depth| level < depth) {
                folders.push((path, level + 1));
            }
        }
    }
    Ok(())
}

/// Whether a path below a ground has more names than are stored.
pub fn is_too_deep(below: &Path) -> bool {
    below.components().count() > DEEPEST
}
