//! Walking through folders, and finding what globs mean.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use globset::GlobMatcher;
use ignore::WalkBuilder;
use rustix::fs::FileType;
use walkdir::{DirEntry, DirEntryExt, WalkDir};

use crate::error::Error;
use crate::model::{Ended, Names, Walked};
use crate::sys::stamp;

use super::ObserveError;
use super::filters::{Filters, Met};
use super::pattern::path_glob;

/// An entry of a folder.
pub struct Entry {
    /// Its absolute path.
    pub path: PathBuf,
    /// How deep below the folder where the walk began, from 1.
    pub depth: usize,
    /// What it is itself, a link not followed.
    pub kind: FileType,
}

/// What is kept of the tree below `folder`, at most `deepest` levels of it, noted in `trail`. A link is followed only if
/// it is `folder` itself.
pub fn tree(
    folder: &Path,
    filters: &Arc<Filters>,
    deepest: usize,
    trail: &Rc<RefCell<Trail>>,
) -> Box<dyn Iterator<Item = Result<Entry, ObserveError>>> {
    if filters.gitignore {
        // What git ignores depends on files that are not looked at.
        trail.borrow_mut().is_whole = false;
        git_tree(folder, filters, deepest)
    } else {
        plain_tree(folder, filters, deepest, trail)
    }
}

fn plain_tree(
    folder: &Path,
    filters: &Arc<Filters>,
    deepest: usize,
    trail: &Rc<RefCell<Trail>>,
) -> Box<dyn Iterator<Item = Result<Entry, ObserveError>>> {
    let (root, filters, trail) = (folder.to_owned(), Arc::clone(filters), Rc::clone(trail));
    // The folders from the first to the one that is being read, by their places in the trail.
    let mut open = vec![trail.borrow_mut().enter(folder)];
    // A folder is read only after it was shown here.
    let entries = WalkDir::new(folder).min_depth(1).max_depth(deepest).into_iter().filter_entry(move |entry| {
        let met = Met { path: entry.path(), is_folder: entry.file_type().is_dir(), inode: entry.ino() };
        let (is_kept, mut trail) = (filters.keep(&met), trail.borrow_mut());
        open.truncate(entry.depth());
        trail.name(open.last().copied(), entry);
        trail.is_whole &= is_kept || !filters.is_apart(&met);
        if is_kept && met.is_folder && entry.depth() < deepest {
            open.push(trail.enter(entry.path()));
        }
        is_kept
    });
    Box::new(entries.map(move |entry| match entry {
        Ok(entry) => {
            let (depth, kind) = (entry.depth(), kind(entry.file_type()));
            Ok(Entry { path: entry.into_path(), depth, kind })
        }
        Err(error) => {
            let path = error.path().unwrap_or(&root).to_owned();
            Err(ObserveError::Unreadable(path, error.into_io_error().unwrap_or_else(no_reason)))
        }
    }))
}

/// Where walks led, and what they met on the way: that the same walks would meet the same again is proven by it.
#[derive(Clone, Debug)]
pub struct Trail {
    /// The folders that were read, in their order, with the stamps that they had before, however young.
    pub folders: Vec<Walked>,
    /// Links whose ends decide how it goes on.
    pub links: Vec<Ended>,
    /// Whether nothing else decided that.
    pub is_whole: bool,
}

impl Default for Trail {
    fn default() -> Trail {
        Trail { folders: Vec::new(), links: Vec::new(), is_whole: true }
    }
}

impl Trail {
    fn enter(&mut self, folder: &Path) -> usize {
        self.folders.push(Walked { path: folder.to_owned(), stamp: stamp::of(folder).ok(), names: Names::default() });
        self.folders.len() - 1
    }

    fn name(&mut self, folder: Option<usize>, entry: &DirEntry) {
        match folder.and_then(|place| self.folders.get_mut(place)) {
            Some(walked) => walked.names.add(entry.file_name(), told_apart(kind(entry.file_type()).as_raw_mode())),
            None => self.is_whole = false,
        }
    }

    /// Notes what may be a link, and where it leads.
    pub fn link(&mut self, link: &Path) {
        self.links.push(end_of(link));
    }
}

/// The type bits of a mode, as far as a walk tells types apart. Where the file system tells none, it asks for each name
/// itself, so that what is not told is like nothing that it met.
pub fn told_apart(kind: u32) -> u32 {
    match FileType::from_raw_mode(kind) {
        kind @ (FileType::Directory | FileType::Symlink) => kind.as_raw_mode(),
        FileType::Unknown => u32::MAX,
        _ => FileType::RegularFile.as_raw_mode(),
    }
}

/// Where a link leads now.
pub fn end_of(link: &Path) -> Ended {
    Ended { link: link.to_owned(), end: link.canonicalize().ok(), is_folder: leads_to_folder(link) }
}

/// As [`plain_tree`], without what git ignores: by `.gitignore` here and above, `.git/info/exclude` and
/// the user's own file. A folder need not belong to a repository.
fn git_tree(
    folder: &Path,
    filters: &Arc<Filters>,
    deepest: usize,
) -> Box<dyn Iterator<Item = Result<Entry, ObserveError>>> {
    let (root, filters) = (folder.to_owned(), Arc::clone(filters));
    let entries = WalkBuilder::new(folder)
        .standard_filters(false)
        .parents(true)
        .git_ignore(true)
        .git_global(true)
        .git_exclude(true)
        .require_git(false)
        .max_depth(Some(deepest))
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let inode = entry.ino().unwrap_or_default();
            entry.depth() == 0 || filters.keep(&Met { path: entry.path(), is_folder, inode })
        })
        .build();
    Box::new(entries.filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.depth() == 0)).map(
        move |entry| match entry {
            Ok(entry) => {
                let (depth, kind) = (entry.depth(), entry.file_type().map_or(FileType::Unknown, kind));
                Ok(Entry { path: entry.into_path(), depth, kind })
            }
            Err(error) => {
                Err(ObserveError::Unreadable(path_of(&error, &root), error.into_io_error().unwrap_or_else(no_reason)))
            }
        },
    ))
}

fn path_of(error: &ignore::Error, root: &Path) -> PathBuf {
    match error {
        ignore::Error::WithPath { path, .. } => path.clone(),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err, root),
        _ => root.to_owned(),
    }
}

fn no_reason() -> io::Error {
    io::ErrorKind::Other.into()
}

fn kind(kind: std::fs::FileType) -> FileType {
    if kind.is_dir() {
        FileType::Directory
    } else if kind.is_symlink() {
        FileType::Symlink
    } else {
        FileType::RegularFile
    }
}

/// A glob over paths: the folder that its literal beginning names, and what is matched below that.
pub struct PathGlob {
    /// The literal beginning, as it was written; empty for the working directory.
    pub parent: PathBuf,
    matcher: GlobMatcher,
    deepest: usize,
    folders_only: bool,
    /// `**` does not go through links, as in bash, lest it go round in circles.
    follows_links: bool,
}

impl PathGlob {
    /// Reads the glob `word`.
    ///
    /// # Errors
    ///
    /// One that is malformed.
    pub fn new(word: &str) -> Result<PathGlob, Error> {
        let first = word.find(['*', '?', '[', '{', '\\']).unwrap_or(word.len());
        let border = word[..first].rfind('/').map_or(0, |slash| slash + 1);
        let (parent, rest) = word.split_at(border);
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let is_recursive = rest.contains("**");
        Ok(PathGlob {
            parent: PathBuf::from(parent),
            matcher: path_glob(&parts.join("/")).or_else(|_| path_glob(word))?,
            deepest: if is_recursive { usize::MAX } else { parts.len() },
            folders_only: rest.ends_with('/'),
            follows_links: !is_recursive,
        })
    }

    /// Gives `take` every kept path below `parent` that matches.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read, and those of `take`.
    pub fn search(
        &self,
        parent: &Path,
        filters: &Arc<Filters>,
        trail: &Rc<RefCell<Trail>>,
        take: &mut dyn FnMut(Entry) -> Result<(), ObserveError>,
    ) -> Result<(), ObserveError> {
        match stamp::of(parent) {
            Ok(found) if FileType::from_raw_mode(found.mode) == FileType::Directory => {}
            Err(error) if !super::place::is_nothing(&error) => {
                return Err(ObserveError::Unreadable(parent.to_owned(), error));
            }
            _ => return Ok(()),
        }
        self.search_below(parent, Path::new(""), self.deepest, filters, trail, take)
    }

    /// Searches below `folder`, whose path seen from the glob's parent is `above`.
    fn search_below(
        &self,
        folder: &Path,
        above: &Path,
        deepest: usize,
        filters: &Arc<Filters>,
        trail: &Rc<RefCell<Trail>>,
        take: &mut dyn FnMut(Entry) -> Result<(), ObserveError>,
    ) -> Result<(), ObserveError> {
        for entry in tree(folder, filters, deepest, trail) {
            let entry = entry?;
            if entry.kind == FileType::Symlink {
                trail.borrow_mut().link(&entry.path);
            }
            let below = above.join(entry.path.strip_prefix(folder).unwrap_or(&entry.path));
            let leads_on = entry.kind == FileType::Symlink && leads_to_folder(&entry.path);
            if leads_on && self.follows_links && !filters.gitignore && entry.depth < deepest {
                self.search_below(&entry.path, &below, deepest - entry.depth, filters, trail, take)?;
            }
            let is_folder = leads_on || entry.kind == FileType::Directory;
            if self.matcher.is_match(&below) && (is_folder || !self.folders_only) {
                take(entry)?;
            }
        }
        Ok(())
    }
}

/// Whether the link at `path` leads to a folder.
pub fn leads_to_folder(path: &Path) -> bool {
    stamp::of(path).is_ok_and(|found| FileType::from_raw_mode(found.mode) == FileType::Directory)
}
