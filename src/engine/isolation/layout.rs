//! What is where: the caller's paths, and where they lie in a private folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::key;
use crate::model::{Command, Observation, Request};

use super::literal;

/// In a private folder: what mirrors the caller's files. Beside it lies what is the command's own.
const INSIDE: &str = "inside";
/// The name of the file system's root, which has none.
const ROOT: &str = "root";

/// A folder of the caller's and its mirror, in which the same paths lead to the same things as far as they were placed.
pub struct Layout {
    /// The caller's folder that is mirrored: the root, or one above it to which relative words lead.
    top: PathBuf,
    /// Its mirror, of the same name, which a result may hold.
    inside: PathBuf,
    /// What paths of record are relative to.
    root: PathBuf,
    cwd: PathBuf,
}

impl Layout {
    /// For a command, in the private folder `folder`.
    pub fn of(request: &Request, command: &Command, observations: &[Observation], folder: &Path) -> Layout {
        let mut top = command.root.clone();
        let observed = |path: &Path| observations.iter().any(|seen| command.root.join(&seen.path) == *path);
        let declared = request.inputs.iter().chain(&request.outputs).map(OsString::as_os_str);
        let declared = declared.filter(|word| climbs(word)).map(|word| literal(&command.cwd, word));
        let named = request.argv.iter().skip(1).filter(|_| request.pure).flat_map(|word| relative_in(word));
        let named = named.map(|word| literal(&command.cwd, word)).filter(|path| observed(path));
        for path in declared.chain(named) {
            // The folder of what is named, because a name of its own would have to be told from a folder.
            let folder = path.parent().unwrap_or(&path);
            while !folder.starts_with(&top) && top.pop() {}
        }
        Layout::below(top, &command.root, &command.cwd, folder)
    }

    /// For what lies below `top` and nothing else.
    pub fn below(top: PathBuf, root: &Path, cwd: &Path, folder: &Path) -> Layout {
        let inside = folder.join(INSIDE).join(top.file_name().unwrap_or(OsStr::new(ROOT)));
        Layout { top, inside, root: root.to_owned(), cwd: cwd.to_owned() }
    }

    /// The caller's folder that is mirrored.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// Its mirror.
    pub fn inside(&self) -> &Path {
        &self.inside
    }

    /// What paths of record are relative to, as the caller knows it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The caller's working directory.
    pub fn outer_cwd(&self) -> &Path {
        &self.cwd
    }

    /// The mirror of the working directory.
    pub fn cwd(&self) -> PathBuf {
        self.inner(&self.cwd).unwrap_or_else(|| self.inside.clone())
    }

    /// Where a path of the caller's lies in the mirror; `None` where it is not mirrored.
    pub fn inner(&self, outer: &Path) -> Option<PathBuf> {
        let below = outer.strip_prefix(&self.top).ok()?;
        Some(if below.as_os_str().is_empty() { self.inside.clone() } else { self.inside.join(below) })
    }

    /// What a path in the mirror is called outside of it.
    pub fn outer(&self, inner: &Path) -> Option<PathBuf> {
        let below = inner.strip_prefix(&self.inside).ok()?;
        Some(if below.as_os_str().is_empty() { self.top.clone() } else { self.top.join(below) })
    }

    /// A path of record of the mirror, relative to that, as a path of record of the caller's.
    pub fn record(&self, path: &Path) -> PathBuf {
        key::recorded(&self.top.join(path), &self.root)
    }

    /// A value of `-o` as it is to be understood in the mirror: relative ones stay what they are.
    pub fn output_word(&self, word: &OsStr) -> OsString {
        let Ok(below) = Path::new(word).strip_prefix(&self.top) else { return word.to_owned() };
        let mut inner = self.inside.join(below).into_os_string();
        if word.as_bytes().ends_with(b"/") {
            inner.push("/");
        }
        inner
    }

    /// Makes the mirror, the working directory in it and the folders that outputs lie in. Not those that outputs are
    /// themselves: so it is in a checkout in which nothing was made yet.
    ///
    /// # Errors
    ///
    /// A folder cannot be made.
    pub fn make_folders(&self, outputs: &[OsString]) -> io::Result<()> {
        fs::create_dir_all(&self.inside)?;
        fs::create_dir_all(self.cwd())?;
        for word in outputs {
            let plain = literal(&self.cwd, word);
            let is_glob = key::is_glob(word.as_bytes());
            let folder = if is_glob { Some(plain.as_path()) } else { plain.parent() };
            if let Some(inner) = folder.and_then(|folder| self.inner(folder)) {
                fs::create_dir_all(inner)?;
            }
        }
        Ok(())
    }
}

/// Whether a word is relative and leads upwards at its beginning.
fn climbs(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"..")
}

/// The paths in an argument that lead upwards: by itself, behind a `=`, an option's letter or an `@`.
fn relative_in(word: &OsStr) -> impl Iterator<Item = &OsStr> {
    let bytes = word.as_bytes();
    let behind = |mark: u8| bytes.iter().position(|byte| *byte == mark).map(|at| at + 1);
    let glued = bytes.starts_with(b"-").then_some(2);
    let starts = [Some(0), glued, behind(b'='), behind(b'@')].into_iter().flatten();
    starts.filter_map(move |at| bytes.get(at..)).map(OsStr::from_bytes).filter(|word| climbs(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(top: &str) -> Layout {
        Layout::below(top.into(), Path::new("/w/p"), Path::new("/w/p/sub"), Path::new("/private"))
    }

    #[test]
    fn what_is_mirrored_has_two_names() {
        let layout = layout("/w");
        assert_eq!(layout.inside(), Path::new("/private/inside/w"));
        assert_eq!(layout.cwd(), Path::new("/private/inside/w/p/sub"));
        for (outer, inner) in
            [("/w/p/a", "/private/inside/w/p/a"), ("/w", "/private/inside/w"), ("/w/l", "/private/inside/w/l")]
        {
            assert_eq!(layout.inner(Path::new(outer)).as_deref(), Some(Path::new(inner)));
            assert_eq!(layout.outer(Path::new(inner)).as_deref(), Some(Path::new(outer)));
        }
        assert_eq!(layout.inner(Path::new("/x")), None);
        assert_eq!(layout.outer(Path::new("/private/own")), None);
    }

    #[test]
    fn outputs_are_recorded_as_if_they_were_made_outside() {
        let layout = layout("/w");
        for (inner, record) in [("p/sub/out", "sub/out"), ("lib/out", "/w/lib/out"), ("p/out", "out")] {
            assert_eq!(layout.record(Path::new(inner)), Path::new(record));
        }
        assert_eq!(layout.output_word(OsStr::new("a/")), OsStr::new("a/"));
        assert_eq!(layout.output_word(OsStr::new("/w/p/a/")), OsStr::new("/private/inside/w/p/a/"));
    }

    #[test]
    fn arguments_may_lead_upwards_in_five_ways() {
        for word in ["../a", "--in=../a", "-I../a", "@../a", "-x@../a", "--in=@../a"] {
            assert!(relative_in(OsStr::new(word)).any(|path| path == "../a"), "{word}");
        }
        assert_eq!(relative_in(OsStr::new("a/../b")).count(), 0);
    }
}
