//! Scratch: files that are neither inputs nor outputs, because the user says so or because programs keep them for themselves.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;

use crate::error::Result;
use crate::model::Kept;

use super::environment::variable;
use super::pattern::{Patterns, is_glob, path_glob};
use super::place::lexical;

/// Files in cargo's folder by which its processes wait for each other and remember what they used last: what they build
/// does not depend on them.
const CARGO: &[&str] = &[
    ".package-cache",
    ".package-cache-mutate",
    ".global-cache",
    ".global-cache-journal",
    ".global-cache-wal",
    ".global-cache-shm",
];

/// What the user calls scratch: a folder with all that is in it, or a file.
pub struct Scratch {
    names: Patterns,
    globs: Vec<GlobMatcher>,
    paths: Vec<PathBuf>,
}

impl Scratch {
    /// What `globs` name, seen from `cwd`: without a slash the name of a file or folder anywhere, with one a path.
    ///
    /// # Errors
    ///
    /// A malformed glob.
    pub fn new(globs: &[String], cwd: &Path) -> Result<Scratch> {
        let trimmed = globs.iter().map(|text| text.trim_end_matches('/'));
        let (paths, names): (Vec<&str>, Vec<&str>) = trimmed.partition(|text| text.contains('/'));
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut scratch = Scratch { names: Patterns::new(&names)?, globs: Vec::new(), paths: Vec::new() };
        for text in paths {
            if is_glob(text.as_bytes()) {
                scratch.globs.push(path_glob(&absolute(text, cwd))?);
            } else {
                scratch.paths.push(lexical(cwd, Path::new(text)));
            }
        }
        Ok(scratch)
    }

    /// Whether the absolute `path` is, or lies in, scratch.
    pub fn holds(&self, path: &Path) -> bool {
        let is_named = |part: &Path| part.file_name().is_some_and(|name| self.names.name(name));
        self.paths.iter().any(|folder| path.starts_with(folder))
            || path.ancestors().any(|part| is_named(part) || self.globs.iter().any(|glob| glob.is_match(part)))
    }
}

/// A glob over absolute paths for one that is written in `cwd`.
fn absolute(glob: &str, cwd: &Path) -> String {
    let (mut rest, mut folder) = (glob.trim_start_matches("./"), cwd);
    while let Some(after) = rest.strip_prefix("../") {
        (rest, folder) = (after, folder.parent().unwrap_or(folder));
    }
    // Where the folder's own name is no text, no glob can name what is in it.
    match folder.to_str() {
        Some(folder) if !rest.starts_with('/') => format!("{}/{rest}", globset::escape(folder.trim_end_matches('/'))),
        _ => rest.to_owned(),
    }
}

/// Where programs keep caches by a command's `environment`, but where the `root` itself lies there.
pub fn kept(environment: &[OsString], root: &Path) -> Kept {
    let folder = cache_folder(environment).filter(|folder| !root.starts_with(folder));
    let cargo = folder_of(environment, b"CARGO_HOME", ".cargo");
    let locks = cargo.into_iter().flat_map(|folder| CARGO.iter().map(move |name| folder.join(name)));
    Kept { folder, locks: locks.collect() }
}

/// Where programs keep their caches, see the XDG base directory specification.
fn cache_folder(environment: &[OsString]) -> Option<PathBuf> {
    folder_of(environment, b"XDG_CACHE_HOME", ".cache").filter(|folder| folder.as_os_str().as_bytes() != b"/")
}

/// The folder that a variable of this name tells, or else the one that is `usual` in the user's own.
fn folder_of(environment: &[OsString], name: &[u8], usual: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let of = |name: &[u8]| variable(environment, name).map(PathBuf::from).and_then(absolute);
    let folder = of(name).or_else(|| of(b"HOME").map(|home| home.join(usual)))?;
    // By its real name, as all that is touched is known.
    Some(folder.canonicalize().unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_by(environment: &[&str], root: &str) -> Kept {
        let environment: Vec<OsString> = environment.iter().map(OsString::from).collect();
        kept(&environment, Path::new(root))
    }

    #[test]
    fn names_count_anywhere_and_paths_where_they_are() {
        let globs = ["*.log", "build/tmp", "/var/x*", "../out/*.d"].map(str::to_owned);
        let scratch = Scratch::new(&globs, Path::new("/w/p/sub")).unwrap();
        for path in ["/w/a.log", "/w/d.log/below", "/w/p/sub/build/tmp/x", "/var/xy/z", "/w/p/out/x.d"] {
            assert!(scratch.holds(Path::new(path)), "{path}");
        }
        for path in ["/w/a.logs", "/w/p/build/tmp", "/w/p/sub/build/tmpx", "/opt/var/x", "/var/y"] {
            assert!(!scratch.holds(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn caches_are_kept_in_the_cache_folder_but_by_projects_in_it() {
        let folder = |environment: &[&str], root| kept_by(environment, root).folder;
        let home = ["HOME=/nonexistent/h"];
        assert_eq!(folder(&home, "/w/p"), Some("/nonexistent/h/.cache".into()));
        assert_eq!(folder(&home, "/nonexistent/h/.cache/p"), None);
        assert_eq!(
            folder(&["HOME=/nonexistent/h", "XDG_CACHE_HOME=/nonexistent/c"], "/w/p"),
            Some("/nonexistent/c".into())
        );
        assert_eq!(folder(&["XDG_CACHE_HOME=relative"], "/w/p"), None);
        assert_eq!(folder(&["HOME=/", "XDG_CACHE_HOME=/"], "/w/p"), None);
    }

    #[test]
    fn cargo_keeps_its_locks_and_no_more() {
        let usual = kept_by(&["HOME=/nonexistent/h"], "/w/p").locks;
        assert!(usual.contains(&"/nonexistent/h/.cargo/.package-cache".into()));
        assert!(!usual.contains(&"/nonexistent/h/.cargo/config.toml".into()));
        let told = kept_by(&["HOME=/nonexistent/h", "CARGO_HOME=/nonexistent/c"], "/w/p").locks;
        assert!(told.contains(&"/nonexistent/c/.global-cache-journal".into()));
        assert!(!told.contains(&"/nonexistent/h/.cargo/.global-cache".into()));
    }
}
