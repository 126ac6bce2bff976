//! From declared words and from arguments to the paths that are looked at.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::error::Error;
use crate::model::{Command, Request, Stamp};
use crate::sys::stamp;

use super::ObserveError;
use super::filters::{Filters, no_text};
use super::pattern::{Patterns, is_glob};
use super::place::{is_nothing, lexical, place};
use super::walk::{Entry, PathGlob, Trail, leads_to_folder, tree};

/// A folder that an argument of a pure command names holds no more entries than this.
const MOST: usize = 10_000;
/// A folder to which a link in another leads holds no more entries than this: a link to `/` is no input.
const MOST_LINKED: usize = 100_000;
/// File systems of the kernel's own, in which a link may lead round in circles and files have no content.
const UNREAL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// A longer path cannot be given to the kernel, in bytes.
const LONGEST_PATH: usize = 4095;

/// A path to be looked at, with what is known already.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Absolute, without `.` and `..`.
    pub path: PathBuf,
    /// What `lstat(2)` said.
    pub found: Glance,
}

/// What `lstat(2)` said of a path.
#[derive(Clone, Copy, Debug)]
pub enum Glance {
    /// Nobody asked.
    Unknown,
    /// There is nothing.
    Nothing,
    /// Something with this stamp.
    Something(Stamp),
}

impl Glance {
    /// Asks.
    ///
    /// # Errors
    ///
    /// Where it cannot be known whether there is something.
    pub fn at(path: &Path) -> io::Result<Glance> {
        match stamp::of_link(path) {
            Ok(stamp) => Ok(Glance::Something(stamp)),
            Err(error) if is_nothing(&error) => Ok(Glance::Nothing),
            Err(error) => Err(error),
        }
    }

    fn kind(self) -> Option<FileType> {
        match self {
            Glance::Something(stamp) => Some(FileType::from_raw_mode(stamp.mode)),
            Glance::Unknown | Glance::Nothing => None,
        }
    }
}

/// Gathers the paths that a command looks at.
pub struct Gathering<'a> {
    cwd: &'a Path,
    /// The declared words, with where they lead.
    words: Vec<(&'a OsStr, Candidate)>,
    filters: Arc<Filters>,
    most: usize,
    /// Folders to which links in other folders lead, without links.
    linked: BTreeSet<PathBuf>,
    /// In the order in which they were found, perhaps more than once.
    pub candidates: Vec<Candidate>,
    /// What proves that the same would be gathered again.
    pub trail: Rc<RefCell<Trail>>,
    /// Folders in which a pure command's files lie, whether they are there or not.
    pub folders: BTreeSet<PathBuf>,
}

/// Begins to gather the paths that `request` says its command looks at: where its words lead.
///
/// # Errors
///
/// A glob that is malformed, what cannot be looked at.
pub fn begin<'a>(
    request: &'a Request,
    command: &'a Command,
    apart_from: &[PathBuf],
) -> Result<Gathering<'a>, ObserveError> {
    let filters = Filters::new(request, &command.cwd, apart_from).map_err(ObserveError::BadGlob)?;
    let mut gathering = Gathering {
        cwd: &command.cwd,
        words: Vec::with_capacity(request.inputs.len()),
        filters: Arc::new(filters),
        most: usize::MAX,
        linked: BTreeSet::new(),
        trail: Rc::new(RefCell::new(Trail::default())),
        candidates: Vec::with_capacity(request.inputs.len()),
        folders: BTreeSet::new(),
    };
    for word in &request.inputs {
        if word.is_empty() {
            return Err(ObserveError::BadGlob(Error::usage("an input is empty")));
        }
        let (path, found) = gathering.locate(Path::new(word))?;
        gathering.words.push((word, Candidate { path, found }));
    }
    Ok(gathering)
}

impl<'a> Gathering<'a> {
    /// Whether the words may lead to many paths.
    pub fn is_wide(&self) -> bool {
        let is_wide = |(word, candidate): &(&OsStr, Candidate)| match candidate.found.kind() {
            None => is_glob(word.as_bytes()),
            Some(kind) => matches!(kind, FileType::Directory | FileType::Symlink),
        };
        !self.filters.gitignore && self.words.iter().any(is_wide)
    }

    /// Where the declared words lead, in their order.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.words.iter().map(|(_, candidate)| candidate.path.as_path())
    }

    /// Gathers all paths.
    ///
    /// # Errors
    ///
    /// A glob that is malformed or matches nothing, what cannot be read, too large a folder.
    pub fn gather(&mut self, request: &Request) -> Result<(), ObserveError> {
        for (word, candidate) in std::mem::take(&mut self.words) {
            self.word(word, candidate)?;
        }
        if request.pure {
            self.most = MOST;
            self.arguments(request)?;
        }
        Ok(())
    }

    /// A declared word: a path, and a glob if it can be one; absent if it is neither.
    fn word(&mut self, word: &OsStr, candidate: Candidate) -> Result<(), ObserveError> {
        if !is_glob(word.as_bytes()) {
            return self.take(candidate);
        }
        if matches!(candidate.found, Glance::Nothing) {
            return self.glob(word);
        }
        self.take(candidate)?;
        // A file may have such a name; whether the command means it or all that match, only the command knows.
        match self.glob(word) {
            Err(ObserveError::NoMatch(_) | ObserveError::BadGlob(_)) => Ok(()),
            other => other,
        }
    }

    /// Finds out where a path leads; a name in it that is in the way becomes a candidate itself.
    fn locate(&mut self, word: &Path) -> Result<(PathBuf, Glance), ObserveError> {
        let unreadable = |error| ObserveError::Unreadable(word.to_owned(), error);
        let place = place(self.cwd, word).map_err(unreadable)?;
        if let Some(path) = place.dead_end {
            self.trail.borrow_mut().is_whole = false;
            self.candidates.push(Candidate { path, found: Glance::Unknown });
        }
        let found = Glance::at(&place.path).map_err(unreadable)?;
        Ok((place.path, found))
    }

    /// A path, and the tree behind it if it is a folder or a link to one.
    fn take(&mut self, candidate: Candidate) -> Result<(), ObserveError> {
        let kind = candidate.found.kind();
        let is_folder = match kind {
            Some(FileType::Symlink) => leads_to_folder(&candidate.path),
            kind => kind == Some(FileType::Directory),
        };
        if kind == Some(FileType::Symlink) {
            self.end_of(&candidate.path)?;
        }
        let path = is_folder.then(|| candidate.path.clone());
        self.candidates.push(candidate);
        path.map_or(Ok(()), |folder| self.tree(&folder, self.most))
    }

    /// The tree below a folder, and those to which links in it lead: a command that goes through the folder may go
    /// through them.
    ///
    /// The latter under their own names: no link leads round in circles there, and each is walked once however many links
    /// lead to it, of which a chain may be long.
    fn tree(&mut self, folder: &Path, most: usize) -> Result<(), ObserveError> {
        let mut linked = self.walk(folder, most)?;
        while let Some(end) = linked.pop() {
            let is_beside = self.filters.is_beside(&end);
            // Where the store lies is nothing that a trail tells.
            self.trail.borrow_mut().is_whole &= !is_beside;
            if !is_beside && self.linked.insert(end.clone()) {
                linked.extend(self.walk(&end, self.most.min(MOST_LINKED))?);
            }
        }
        Ok(())
    }

    /// The tree below a folder: the folders outside of it to which links in it lead, the last one first.
    fn walk(&mut self, folder: &Path, most: usize) -> Result<Vec<PathBuf>, ObserveError> {
        let mut linked = Vec::new();
        for (count, entry) in tree(folder, &self.filters, usize::MAX, &self.trail).enumerate() {
            if count == most {
                return Err(ObserveError::TooMany(folder.to_owned()));
            }
            let entry = entry?;
            if entry.kind == FileType::Symlink {
                linked.extend(self.end_of(&entry.path)?.filter(|end| !end.starts_with(folder)));
            }
            self.candidates.push(Candidate { path: entry.path, found: Glance::Unknown });
        }
        linked.reverse();
        Ok(linked)
    }

    /// Where a link ends, if that is a folder. An end that the link's own text does not tell, because other
    /// links are on the way, becomes a candidate itself.
    fn end_of(&mut self, link: &Path) -> Result<Option<PathBuf>, ObserveError> {
        let unreadable = |error| ObserveError::Unreadable(link.to_owned(), error);
        self.trail.borrow_mut().link(link);
        let end = match link.canonicalize() {
            Ok(end) => end,
            Err(error) if is_nothing(&error) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if UNREAL.iter().any(|unreal| end.starts_with(unreal)) {
            return Ok(None);
        }
        let text = std::fs::read_link(link).map_err(unreadable)?;
        if end != lexical(link.parent().unwrap_or(link), &text) {
            self.candidates.push(Candidate { path: end.clone(), found: Glance::Unknown });
        }
        Ok(leads_to_folder(&end).then_some(end))
    }

    fn glob(&mut self, word: &OsStr) -> Result<(), ObserveError> {
        let text = word.to_str().ok_or_else(|| ObserveError::BadGlob(no_text(word)))?;
        let glob = PathGlob::new(text).map_err(ObserveError::BadGlob)?;
        let parent =
            place(self.cwd, &glob.parent).map_err(|error| ObserveError::Unreadable(glob.parent.clone(), error))?;
        if parent.dead_end.is_some() {
            return Err(ObserveError::NoMatch(text.to_owned()));
        }
        let before = self.candidates.len();
        let (filters, trail) = (Arc::clone(&self.filters), Rc::clone(&self.trail));
        // The walk goes down before it goes on, so what one matching folder covers comes in one piece.
        let mut covered: Option<PathBuf> = None;
        glob.search(&parent.path, &filters, &trail, &mut |entry: Entry| {
            if covered.as_ref().is_some_and(|folder| entry.path.starts_with(folder)) && entry.kind != FileType::Symlink
            {
                return Ok(());
            }
            let found = Glance::at(&entry.path).map_err(|error| ObserveError::Unreadable(entry.path.clone(), error))?;
            if found.kind() == Some(FileType::Directory) {
                covered = Some(entry.path.clone());
            }
            self.take(Candidate { path: entry.path, found })
        })?;
        match self.candidates.len() == before {
            true => Err(ObserveError::NoMatch(text.to_owned())),
            false => Ok(()),
        }
    }

    /// What the arguments of a pure command may name.
    ///
    /// A stored value is counted by its digest, wherever its copy lies; an argument that does not count names nothing that
    /// does.
    fn arguments(&mut self, request: &Request) -> Result<(), ObserveError> {
        self.folders.insert(self.cwd.to_owned());
        let ignored = Patterns::new(&request.arguments.ignored).map_err(ObserveError::BadGlob)?;
        let is_ignored = |at: usize| request.spellings(at).any(|word| ignored.name(word));
        let counts = |(at, _): &(usize, &OsString)| !request.is_stored(*at) && !is_ignored(*at);
        let words = request.argv.iter().enumerate().skip(1).filter(counts);
        for name in words.flat_map(|(_, argument)| names(argument.as_bytes())) {
            let (path, found) = self.locate(Path::new(OsStr::from_bytes(name)))?;
            self.folders.extend(path.parent().map(Path::to_owned));
            if found.kind() == Some(FileType::Directory) {
                self.folders.insert(path.clone());
            }
            self.take(Candidate { path, found })?;
        }
        Ok(())
    }
}

/// The paths that an argument may name: `f`, `@f`, `--x=f`, `--x=@f`, `-xf`.
fn names(argument: &[u8]) -> impl Iterator<Item = &[u8]> {
    let value = argument.iter().position(|byte| *byte == b'=').map(|at| &argument[at + 1..]);
    let glued = argument.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-")).and_then(|rest| rest.get(1..));
    let words = [Some(argument), value, glued].into_iter().flatten();
    let names = words.flat_map(|word| [Some(word), word.strip_prefix(b"@")].into_iter().flatten());
    names.filter(|name| !name.is_empty() && name.len() <= LONGEST_PATH && !name.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_may_name_a_file_in_five_ways() {
        let all = |argument: &str| -> Vec<String> {
            names(argument.as_bytes()).map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
        };
        assert_eq!(all("f"), ["f"]);
        assert_eq!(all("@f"), ["@f", "f"]);
        assert_eq!(all("--x=f=g"), ["--x=f=g", "f=g"]);
        assert_eq!(all("--x=@f"), ["--x=@f", "@f", "f"]);
        assert_eq!(all("--x="), ["--x="]);
        assert_eq!(all("-xf"), ["-xf", "f"]);
        assert_eq!(all("-I@f"), ["-I@f", "@f", "f"]);
        assert_eq!(all("-x"), ["-x"]);
        assert_eq!(all("-"), ["-"]);
        assert_eq!(all(""), [""; 0]);
        assert_eq!(all("a\0b"), [""; 0]);
        assert_eq!(all(&"x".repeat(LONGEST_PATH + 1)), [""; 0]);
    }
}
