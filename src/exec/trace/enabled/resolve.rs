//! From a path as a process gives it to the real one: links, `.` and `..` taken out component by component.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, lstat, readlink};

use super::look;
use crate::model::Glimpse;
use crate::sys::calls::End;
use crate::sys::tracee::{Spot, Tracee};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub struct Place {
    /// The path without links, `.` and `..`. Where it goes on below something that is no folder, that thing.
    pub path: PathBuf,
    /// Links that lead there.
    pub links: Vec<PathBuf>,
    /// Whether all components were gone through.
    pub reach: Reach,
}

/// How far a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To its end, whether anything is there or not.
    End,
    /// To something on the way that is not there, or no folder: the call fails.
    Broken,
    /// To something without a name, as a pipe: `/proc/self/fd/0`.
    Nameless,
}

impl Place {
    /// Whether it is found by looking at what is at `path`, or below it. Every component that was looked at is on the way to the
    /// end or to a link.
    fn leads_through(&self, path: &Path) -> bool {
        let is_within = |way: &Path| {
            let rest = way.as_os_str().as_bytes().strip_prefix(path.as_os_str().as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        path == Path::new("/") || is_within(&self.path) || self.links.iter().any(|link| is_within(link))
    }
}

/// What is noted of the place that a path leads to. What is noted once stays so, so that whoever would only tell it again need
/// not be followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Whether it is there, for programs that do not go by more.
    pub kind_blindly: bool,
    /// Whether it is there, and what it is.
    pub kind: bool,
    /// What stat(2) tells.
    pub exactly: bool,
    /// The bytes of a file.
    pub content: bool,
    /// All that opening it to read comes to, but for what stat(2) tells.
    pub opened: bool,
    /// The same for a compiler.
    pub opened_blindly: bool,
}

impl Noted {
    /// Of a path that leads nowhere.
    pub const ALL: Noted =
        Noted { kind_blindly: true, kind: true, exactly: true, content: true, opened: true, opened_blindly: true };
}

/// So many paths are gone through one by one when something changes; of more, all are forgotten: who removes a large tree would
/// wait longer for that than for resolving what it names again.
const MOST_SIFTED: usize = 4096;

/// Of more paths none is remembered any longer: who looks at so many looks at most of them once.
const MOST_PLACES: usize = 16_384;

/// Remembers what has been resolved, until the command changes it.
#[derive(Default)]
pub struct Resolver {
    /// Whole paths as they were given, with how the end was taken.
    places: HashMap<Vec<u8>, (Arc<Place>, Noted)>,
    /// What is on the way.
    nodes: HashMap<PathBuf, Node>,
    /// What the command has changed: never remembered again, for a call is seen before it is carried out.
    unsteady: HashSet<PathBuf>,
    key: Vec<u8>,
}

#[derive(Clone)]
enum Node {
    Folder,
    Link(Vec<u8>),
    Other,
    Nothing,
}

/// A place, and whether it is resolved for the first time.
pub enum Resolved {
    /// It was given so before, and nothing has changed since.
    Known(Arc<Place>),
    /// It was gone through just now.
    New(Arc<Place>),
}

impl Resolver {
    /// Resolves `text`, which begins at `base` if it is relative: absolute and without links.
    pub fn resolve(&mut self, base: &Path, text: &[u8], end: End, tracee: Tracee) -> Resolved {
        self.set_key(base, text, end);
        if let Some((place, _)) = self.places.get(&self.key) {
            return Resolved::Known(Arc::clone(place));
        }
        let mut walk =
            Walk { at: base.to_owned(), entered: 0, links: Vec::new(), pending: Vec::new(), is_steady: true };
        let reach = walk.go(self, text, end, tracee);
        let place = Arc::new(Place { path: walk.at, links: walk.links, reach });
        if walk.is_steady {
            if self.places.len() >= MOST_PLACES {
                self.places.clear();
            }
            self.places.insert(self.key.clone(), (Arc::clone(&place), Noted::default()));
        }
        Resolved::New(place)
    }

    /// What is noted of the place that `text`, an absolute path, is known to lead to; nothing of a relative one, for where it
    /// begins would have to be asked.
    pub fn noted(&mut self, text: &[u8], end: End) -> Noted {
        if !text.starts_with(b"/") {
            return Noted::default();
        }
        self.set_key(Path::new(""), text, end);
        self.places.get(&self.key).map_or_else(Noted::default, |(_, noted)| *noted)
    }

    /// From now on so much is noted of that place, if it is known.
    pub fn note(&mut self, text: &[u8], end: End, change: impl FnOnce(&mut Noted)) {
        if text.starts_with(b"/") {
            self.set_key(Path::new(""), text, end);
            if let Some((_, noted)) = self.places.get_mut(&self.key) {
                change(noted);
            }
        }
    }

    fn set_key(&mut self, base: &Path, text: &[u8], end: End) {
        self.key.clear();
        if !text.starts_with(b"/") {
            self.key.extend_from_slice(base.as_os_str().as_bytes());
            self.key.push(b'/');
        }
        self.key.extend_from_slice(text);
        self.key.extend_from_slice(if end == End::Kept { b"\0k" } else { b"\0f" });
    }

    /// Forgets what goes through `path`, which the command is about to make, remove or replace.
    pub fn forget(&mut self, path: &Path) {
        match self.places.len() {
            ..=MOST_SIFTED => self.places.retain(|_, (place, _)| !place.leads_through(path)),
            _ => self.places.clear(),
        }
        self.nodes.remove(path);
        if !self.unsteady.contains(path) {
            self.unsteady.insert(path.to_owned());
        }
    }

    /// The same, where what is below it goes with it.
    pub fn forget_all(&mut self, path: &Path) {
        self.forget(path);
        self.nodes.clear();
    }

    fn node(&mut self, path: &Path) -> (Node, bool) {
        if let Some(node) = self.nodes.get(path) {
            return (node.clone(), true);
        }
        let node = match look::glimpse(path) {
            Glimpse::Something { target: Some(target), .. } => Node::Link(target),
            glimpse => match look::kind_of(&glimpse) {
                Some(FileType::Directory) => Node::Folder,
                Some(_) => Node::Other,
                None => Node::Nothing,
            },
        };
        let is_steady = !self.unsteady.contains(path);
        if is_steady && matches!(node, Node::Folder | Node::Link(_)) {
            self.nodes.insert(path.to_owned(), node.clone());
        }
        (node, is_steady)
    }
}

/// A path that is being gone through.
struct Walk {
    /// So far: without links.
    at: PathBuf,
    /// How many folders were entered by name and not left again.
    entered: usize,
    /// Links, and folders that were entered only to be left.
    links: Vec<PathBuf>,
    /// What is still to go, the next last.
    pending: Vec<Vec<u8>>,
    /// Whether the result may be remembered.
    is_steady: bool,
}

impl Walk {
    fn splice(&mut self, text: &[u8]) {
        if text.starts_with(b"/") {
            self.at = PathBuf::from("/");
        }
        let components = text.split(|byte| *byte == b'/').filter(|component| !component.is_empty());
        self.pending.extend(components.rev().map(<[u8]>::to_vec));
    }

    fn go(&mut self, resolver: &mut Resolver, text: &[u8], end: End, tracee: Tracee) -> Reach {
        self.splice(text);
        let wants_folder = text.ends_with(b"/") || text.ends_with(b"/.");
        let mut followed = 0;
        while let Some(component) = self.pending.pop() {
            match &component[..] {
                b"." => continue,
                b".." => {
                    // Without the folder nothing would lead on from it; where it begins, nobody asks.
                    if self.entered > 0 {
                        self.entered -= 1;
                        self.links.push(self.at.clone());
                    }
                    self.at.pop();
                    continue;
                }
                _ => {}
            }
            let is_last = self.pending.is_empty();
            let component = self.of_process(component, tracee);
            let next = self.at.join(OsStr::from_bytes(&component));
            if is_last && end == End::Kept && !wants_folder {
                self.at = next;
                return Reach::End;
            }
            if let Some(target) = self.through_process(&next) {
                followed += 1;
                match target {
                    text if is_name(&text) && followed <= MOST_LINKS => self.splice(&text),
                    _ => {
                        self.at = next;
                        return Reach::Nameless;
                    }
                }
                continue;
            }
            let (node, is_steady) = resolver.node(&next);
            self.is_steady &= is_steady;
            match node {
                Node::Folder => {
                    self.entered += 1;
                    self.at = next;
                }
                Node::Link(target) if followed < MOST_LINKS => {
                    followed += 1;
                    self.links.push(next);
                    self.splice(&target);
                }
                _ => {
                    self.at = next;
                    return if is_last { Reach::End } else { Reach::Broken };
                }
            }
        }
        Reach::End
    }

    /// `/proc/self` is the process that asks, not fleche.
    fn of_process(&mut self, component: Vec<u8>, tracee: Tracee) -> Vec<u8> {
        if self.at != Path::new("/proc") {
            return component;
        }
        self.is_steady = false;
        match &component[..] {
            b"self" | b"thread-self" => tracee.id().to_string().into_bytes(),
            _ => component,
        }
    }

    /// What a link of `/proc/ID` leads to, which the kernel follows without its text: `cwd`, `root`, `exe`, `fd/3`.
    fn through_process(&self, next: &Path) -> Option<Vec<u8>> {
        if !self.at.starts_with("/proc") || self.at == Path::new("/proc") {
            return None;
        }
        readlink(next, Vec::new()).ok().map(|text| text.into_bytes())
    }
}

/// Where a spot of a process is.
pub enum Where {
    /// At this path.
    At(PathBuf),
    /// It was removed, or lies outside what the process can name.
    Gone,
    /// It never had a name, or is not there.
    Nameless,
}

/// Asks the kernel where a spot of a process is.
pub fn locate(tracee: Tracee, spot: Spot) -> Where {
    match tracee.spell(spot) {
        Some(path) if is_name(path.as_os_str().as_bytes()) => Where::At(path),
        Some(path) if path.is_absolute() => {
            // The word that the kernel adds may also end a name.
            let own = tracee.inode(spot).map(|stat| (stat.st_dev, stat.st_ino));
            match lstat(&path) {
                Ok(there) if own == Some((there.st_dev, there.st_ino)) => Where::At(path),
                _ => Where::Gone,
            }
        }
        Some(_) if spot == Spot::Folder => Where::Gone,
        _ => Where::Nameless,
    }
}

fn is_name(text: &[u8]) -> bool {
    text.starts_with(b"/") && !text.ends_with(b" (deleted)")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_changes_is_resolved_anew_and_the_rest_stays_noted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["a", "b", "aside"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        symlink("a", folder.join("link")).unwrap();
        let mut resolver = Resolver::default();
        let own = Tracee::of(std::process::id() as i32);
        let lead = |resolver: &mut Resolver, name: &str| {
            let text = folder.join(name).into_os_string().into_encoded_bytes();
            let (place, is_known) = match resolver.resolve(Path::new(""), &text, End::Followed, own) {
                Resolved::Known(place) => (place, true),
                Resolved::New(place) => (place, false),
            };
            let noted = resolver.noted(&text, End::Followed);
            resolver.note(&text, End::Followed, |noted| noted.kind = true);
            (place.path.strip_prefix(&folder).unwrap().to_owned(), is_known, noted.kind)
        };
        for name in ["link/f", "aside/f", "a/../b/f", "a/f", "a/f/below"] {
            assert!(matches!(lead(&mut resolver, name), (_, false, false)), "{name}");
            assert!(matches!(lead(&mut resolver, name), (_, true, true)), "{name}");
        }
        resolver.forget(&folder.join("link"));
        fs::remove_file(folder.join("link")).unwrap();
        symlink("b", folder.join("link")).unwrap();
        assert_eq!(lead(&mut resolver, "link/f"), ("b/f".into(), false, false));
        assert_eq!(lead(&mut resolver, "aside/f"), ("aside/f".into(), true, true));
        // A name that only begins like another.
        resolver.forget_all(&folder.join("a"));
        assert_eq!(lead(&mut resolver, "aside/f"), ("aside/f".into(), true, true));
        for name in ["a/../b/f", "a/f", "a/f/below"] {
            assert!(matches!(lead(&mut resolver, name), (_, false, false)), "{name}");
        }
        resolver.forget_all(Path::new("/"));
        assert!(!lead(&mut resolver, "aside/f").1);
    }
}
