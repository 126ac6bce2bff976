//! Where paths are: what the working directory makes of them, and how they are written in a key.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// `path` as a key holds it: relative to `root` where it lies there, else as it is; `.` for the root itself.
///
/// Both must be absolute and without `.` and `..`.
pub fn recorded(path: &Path, root: &Path) -> PathBuf {
    // Of many paths: by bytes, which takes a tenth of the time.
    let below = path.as_os_str().as_bytes().strip_prefix(root.as_os_str().as_bytes());
    if let Some([b'/', below @ ..]) = below
        && let ([first, ..], [.., last]) = (below, below)
        && *first != b'/'
        && *last != b'/'
    {
        return PathBuf::from(OsStr::from_bytes(below));
    }
    match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Ok(below) => below.to_owned(),
        Err(_) => path.to_owned(),
    }
}

/// A word that names a file, as an absolute path.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Without `.` and `..`.
    pub path: PathBuf,
    /// A name before a `..` that is no folder now, so that the kernel does not get past it.
    pub dead_end: Option<PathBuf>,
}

/// Finds the place that `word` names in the folder `cwd`, which must be absolute and without links.
///
/// `..` after a link leads to the parent of what the link leads to, as it does for the command.
///
/// # Errors
///
/// Where a folder before a `..` cannot be looked at.
pub fn place(cwd: &Path, word: &Path) -> io::Result<Place> {
    // Nothing above the working directory is a link, so `..` at the beginning of a word is plain.
    let mut path = if word.is_absolute() { PathBuf::from("/") } else { cwd.to_owned() };
    let (mut is_plain, mut dead_end) = (true, None);
    for part in word.components() {
        match part {
            Component::Normal(name) => {
                path.push(name);
                is_plain = false;
            }
            Component::ParentDir => {
                if !is_plain && dead_end.is_none() {
                    match folder_behind(&path)? {
                        Some(folder) => path = folder,
                        None => dead_end = Some(path.clone()),
                    }
                }
                path.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(Place { path, dead_end })
}

/// `path` without links, if it is a folder.
fn folder_behind(path: &Path) -> io::Result<Option<PathBuf>> {
    let found = path.canonicalize().map(|real| real.is_dir().then_some(real));
    match found {
        Err(error) if is_nothing(&error) => Ok(None),
        found => found,
    }
}

/// `path` with `.` and `..` taken away by name alone; for what need not exist.
pub fn lexical(cwd: &Path, word: &Path) -> PathBuf {
    let mut path = cwd.to_owned();
    for part in word.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir => path = PathBuf::from("/"),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// Whether the error says that there is nothing at a path, nor could be before something else changes.
pub fn is_nothing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let nothing = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG];
    nothing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn at(cwd: &Path, word: &str) -> Place {
        place(cwd, Path::new(word)).unwrap()
    }

    #[test]
    fn paths_below_the_root_are_relative() {
        let root = Path::new("/r");
        for (path, written) in [
            ("/r/a/b", "a/b"),
            ("/r", "."),
            ("/r/", "."),
            ("/r//a", "a"),
            ("/r/a/", "a"),
            ("/rr/a", "/rr/a"),
            ("/", "/"),
        ] {
            assert_eq!(recorded(Path::new(path), root).as_os_str(), written);
        }
        assert_eq!(recorded(Path::new("/a/b"), Path::new("/")).as_os_str(), "a/b");
    }

    #[test]
    fn the_first_dead_end_is_told_and_an_error_is_none() {
        let world = tempfile::tempdir().unwrap();
        let cwd = world.path().canonicalize().unwrap();
        let found = at(&cwd, "gone/../also/../f");
        assert_eq!(found, Place { path: cwd.join("f"), dead_end: Some(cwd.join("gone")) });
        assert!(place(&cwd, Path::new("no\0path/../f")).is_err());
    }

    #[test]
    fn dots_are_taken_away() {
        let world = tempfile::tempdir().unwrap();
        let cwd = world.path().canonicalize().unwrap();
        fs::create_dir_all(cwd.join("src")).unwrap();
        for (word, path) in [("./src/../f", "f"), ("src//./a/", "src/a"), (".", ""), ("", "")] {
            assert_eq!(at(&cwd, word), Place { path: cwd.join(path), dead_end: None }, "{word}");
        }
        assert_eq!(at(&cwd.join("src"), "../f").path, cwd.join("f"));
        assert_eq!(at(&cwd, "/../../x").path, Path::new("/x"));
    }

    #[test]
    fn the_parent_of_a_link_is_where_it_leads() {
        let world = tempfile::tempdir().unwrap();
        let cwd = world.path().canonicalize().unwrap();
        fs::create_dir_all(cwd.join("far/away")).unwrap();
        symlink("far/away", cwd.join("l")).unwrap();
        assert_eq!(at(&cwd, "l/../f"), Place { path: cwd.join("far/f"), dead_end: None });
        assert_eq!(at(&cwd, "l/f").path, cwd.join("l/f"));
    }

    #[test]
    fn there_is_no_way_past_what_is_no_folder() {
        let world = tempfile::tempdir().unwrap();
        let cwd = world.path().canonicalize().unwrap();
        fs::write(cwd.join("file"), "").unwrap();
        for name in ["file", "nowhere"] {
            let found = at(&cwd, &format!("{name}/../f"));
            assert_eq!(found, Place { path: cwd.join("f"), dead_end: Some(cwd.join(name)) });
        }
    }
}
