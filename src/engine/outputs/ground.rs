//! Grounds: the open folders that everything is resolved beneath.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::sys::beneath::Beneath;

use super::fault::Fault;
use super::places::{Place, Places};

/// Open folders that are kept; there may be more folders than a process may have descriptors.
const KEPT: usize = 64;

/// An open folder, and what the paths of record below it begin with.
pub struct Ground {
    top: Rc<Beneath>,
    prefix: PathBuf,
}

impl Ground {
    /// Opens the folder at `path` of record.
    pub fn folder(&self, path: &Path) -> io::Result<Rc<Beneath>> {
        let below = self.below(path).ok_or(Errno::XDEV)?;
        if below.as_os_str().is_empty() {
            return Ok(Rc::clone(&self.top));
        }
        self.top.open_folder(below).map(Rc::new)
    }

    /// Opens the folder that holds `path`.
    pub fn parent(&self, path: &Path) -> io::Result<Rc<Beneath>> {
        self.folder(path.parent().ok_or(Errno::INVAL)?)
    }

    /// The part of `path` that lies below.
    pub fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.prefix).ok()
    }

    /// What is wrong at `path`, because `folder` could not be opened.
    pub fn fault(&self, path: &Path, folder: Option<&Path>, why: &io::Error) -> Fault {
        let link = match Errno::from_io_error(why) {
            Some(Errno::LOOP) => folder.and_then(|folder| self.top.link_in(self.below(folder)?)),
            _ => None,
        };
        match link {
            Some(link) => {
                Fault::new(path, format!("lies behind the symbolic link `{}`", self.prefix.join(link).display()))
            }
            None => Fault::system(path, why),
        }
    }
}

/// The grounds of the present command line, opened when they are needed.
pub struct Grounds<'a> {
    places: &'a Places,
    /// By the folder that the user named; empty for the root.
    grounds: BTreeMap<PathBuf, Rc<Ground>>,
    folders: BTreeMap<PathBuf, Rc<Beneath>>,
}

impl<'a> Grounds<'a> {
    /// Opens nothing yet.
    pub fn new(places: &'a Places) -> Grounds<'a> {
        Grounds { places, grounds: BTreeMap::new(), folders: BTreeMap::new() }
    }

    /// The ground that `path` of record lies on.
    pub fn of(&mut self, path: &Path) -> Result<Rc<Ground>, Fault> {
        let holder = match path.is_absolute() {
            true => self.places.holder_of(path).ok_or_else(|| Fault::new(path, "no `-o` names it"))?,
            false => PathBuf::new(),
        };
        self.at(holder).map_err(|why| Fault::system(path, &why))
    }

    /// The ground that a place lies on.
    pub fn of_place(&mut self, place: &Place) -> Result<Rc<Ground>, Fault> {
        self.at(place.holder().unwrap_or_default()).map_err(|why| Fault::system(&place.path, &why))
    }

    fn at(&mut self, holder: PathBuf) -> io::Result<Rc<Ground>> {
        if let Some(ground) = self.grounds.get(&holder) {
            return Ok(Rc::clone(ground));
        }
        let (top, prefix) = if holder.as_os_str().is_empty() {
            (Beneath::open(self.places.root())?, PathBuf::new())
        } else {
            nearest(&holder)?
        };
        let ground = Rc::new(Ground { top: Rc::new(top), prefix });
        self.grounds.insert(holder, Rc::clone(&ground));
        Ok(ground)
    }

    /// The folder that holds `path` of record.
    pub fn parent(&mut self, path: &Path) -> Result<io::Result<Rc<Beneath>>, Fault> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if let Some(folder) = self.folders.get(parent) {
            return Ok(Ok(Rc::clone(folder)));
        }
        let opened = self.of(path)?.parent(path);
        if let Ok(folder) = &opened {
            if self.folders.len() >= KEPT {
                self.folders.clear();
            }
            self.folders.insert(parent.to_owned(), Rc::clone(folder));
        }
        Ok(opened)
    }

    /// The folder that holds `path` of record; that it is missing is a fault.
    pub fn present_parent(&mut self, path: &Path) -> Result<Rc<Beneath>, Fault> {
        match self.parent(path)? {
            Ok(folder) => Ok(folder),
            Err(why) => Err(self.of(path)?.fault(path, path.parent(), &why)),
        }
    }

    /// What is at `path` of record; `None` where nothing is, because of a missing folder or otherwise.
    pub fn stat(&mut self, path: &Path) -> Result<Option<Stat>, Fault> {
        match self.parent(path)? {
            Ok(folder) => folder.stat(path.file_name().unwrap_or_default()).map_err(|why| Fault::system(path, &why)),
            Err(why) => match Errno::from_io_error(&why) {
                Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
                _ => Err(self.of(path)?.fault(path, path.parent(), &why)),
            },
        }
    }
}

/// The folder `path`, or the nearest above it that is there.
fn nearest(path: &Path) -> io::Result<(Beneath, PathBuf)> {
    let mut path = path.to_owned();
    loop {
        match Beneath::open(&path) {
            Ok(folder) => return Ok((folder, path)),
            Err(why) if why.kind() == io::ErrorKind::NotFound && path.pop() => {}
            Err(why) => return Err(why),
        }
    }
}
