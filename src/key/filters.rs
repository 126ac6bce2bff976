//! What folders and globs leave out: exclusions, declared outputs, what git ignores, the store itself, and what a
//! restore puts beside its targets for a moment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use globset::GlobMatcher;

use crate::error::{Error, Result};
use crate::model::{Request, Stamp};
use crate::sys::stamp;
use crate::sys::temporary::is_temporary;

use super::pattern::{is_glob, path_glob};
use super::place::lexical;

/// What is left out of folders and globs; never a path that was named literally.
pub struct Filters {
    cwd: PathBuf,
    excludes: Vec<Exclude>,
    outputs: Vec<Output>,
    apart_from: Vec<PathBuf>,
    /// The stamps of those folders, which only a walk asks for.
    apart: OnceLock<Vec<Stamp>>,
    /// Whether what git ignores is left out.
    pub gitignore: bool,
}

/// `-x`: what matches, and only folders if it ends in a slash.
struct Exclude {
    matcher: Matcher,
    folders_only: bool,
}

enum Matcher {
    /// Without a slash: the last part of a path.
    Name(Vec<u8>),
    NameGlob(GlobMatcher),
    /// With one: the whole path, absolute or relative to the working directory.
    Path(PathBuf),
    PathGlob(GlobMatcher),
}

enum Output {
    Path(PathBuf),
    Glob(GlobMatcher),
}

/// What a walk met.
pub struct Met<'a> {
    /// Its absolute path.
    pub path: &'a Path,
    /// Whether it is a folder itself, not by a link.
    pub is_folder: bool,
    /// Its inode number.
    pub inode: u64,
}

impl Filters {
    /// The filters of a request made in `cwd`; the folders `apart_from` are never entered.
    ///
    /// # Errors
    ///
    /// A malformed glob.
    pub fn new(request: &Request, cwd: &Path, apart_from: &[PathBuf]) -> Result<Filters> {
        Ok(Filters {
            cwd: cwd.to_owned(),
            excludes: request.excludes.iter().map(|text| Exclude::new(text, cwd)).collect::<Result<_>>()?,
            outputs: outputs(request, cwd)?,
            apart_from: apart_from.to_vec(),
            apart: OnceLock::new(),
            gitignore: request.gitignore,
        })
    }

    /// Whether an entry that a walk met, and all below it, is kept.
    pub fn keep(&self, met: &Met) -> bool {
        let below = met.path.strip_prefix(&self.cwd).ok();
        !(self.excludes.iter().any(|exclude| exclude.covers(met, below))
            || self.outputs.iter().any(|output| output.covers(met.path, below))
            || self.is_apart(met)
            || !met.is_folder && met.path.file_name().is_some_and(is_temporary)
            || self.gitignore && met.path.file_name() == Some(OsStr::new(".git")))
    }

    /// Whether a folder to which a link leads is left out, or lies in one that is: an output, the store.
    pub fn is_beside(&self, folder: &Path) -> bool {
        let is_left_out = |met: &Met| {
            self.is_apart(met)
                || self.outputs.iter().any(|output| output.covers(met.path, met.path.strip_prefix(&self.cwd).ok()))
        };
        let met = |path| stamp::of(path).map(|found| Met { path, is_folder: true, inode: found.inode });
        let mut above = folder.ancestors().skip(1).filter_map(|path| met(path).ok());
        met(folder).is_ok_and(|met| !self.keep(&met)) || above.any(|met| is_left_out(&met))
    }

    /// Whether it is one of the folders that are never entered, under whatever name.
    pub fn is_apart(&self, met: &Met) -> bool {
        let is_same = |apart: &Stamp| stamp::of(met.path).is_ok_and(|found| found.device == apart.device);
        let apart = || self.apart_from.iter().filter_map(|folder| stamp::of(folder).ok()).collect();
        met.is_folder && self.apart.get_or_init(apart).iter().any(|apart| apart.inode == met.inode && is_same(apart))
    }
}

impl Exclude {
    fn new(text: &str, cwd: &Path) -> Result<Exclude> {
        let pattern = text.trim_end_matches('/');
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let matcher = match (pattern.contains('/'), is_glob(pattern.as_bytes())) {
            (false, false) => Matcher::Name(pattern.as_bytes().to_vec()),
            (false, true) => Matcher::NameGlob(path_glob(pattern)?),
            (true, false) => Matcher::Path(lexical(cwd, Path::new(pattern))),
            (true, true) => Matcher::PathGlob(path_glob(&rooted(pattern, cwd)?)?),
        };
        Ok(Exclude { matcher, folders_only: text.ends_with('/') })
    }

    fn covers(&self, met: &Met, below: Option<&Path>) -> bool {
        if self.folders_only && !met.is_folder {
            return false;
        }
        let name = met.path.file_name().unwrap_or_default();
        match &self.matcher {
            Matcher::Name(literal) => literal == name.as_bytes(),
            Matcher::NameGlob(glob) => glob.is_match(Path::new(name)),
            Matcher::Path(path) => path == met.path,
            Matcher::PathGlob(glob) => glob.is_match(met.path) || below.is_some_and(|below| glob.is_match(below)),
        }
    }
}

impl Output {
    fn covers(&self, path: &Path, below: Option<&Path>) -> bool {
        match self {
            Output::Path(output) => output == path,
            Output::Glob(glob) => glob.is_match(path) || below.is_some_and(|below| glob.is_match(below)),
        }
    }
}

/// Declared outputs. A word with glob characters may be a file's name as well.
fn outputs(request: &Request, cwd: &Path) -> Result<Vec<Output>> {
    let mut outputs = Vec::with_capacity(request.outputs.len());
    for word in &request.outputs {
        outputs.push(Output::Path(lexical(cwd, Path::new(word))));
        if is_glob(word.as_bytes()) {
            let text = word.to_str().ok_or_else(|| no_text(word))?;
            let text = text.trim_end_matches('/');
            outputs.push(Output::Glob(path_glob(&rooted(text.strip_prefix("./").unwrap_or(text), cwd)?)?));
        }
    }
    Ok(outputs)
}

/// A glob that begins with `..`, made absolute; any other as it is.
fn rooted(glob: &str, cwd: &Path) -> Result<String> {
    let (mut rest, mut folder) = (glob, cwd);
    while let Some(after) = rest.strip_prefix("../") {
        (rest, folder) = (after, folder.parent().unwrap_or(folder));
    }
    if rest.len() == glob.len() {
        return Ok(glob.to_owned());
    }
    let folder = folder.to_str().ok_or_else(|| no_text(folder.as_os_str()))?;
    Ok(format!("{}/{rest}", globset::escape(folder.trim_end_matches('/'))))
}

/// The error for a glob in which not all bytes are text.
pub fn no_text(word: &OsStr) -> Error {
    Error::usage(format!("glob `{}` is not UTF-8", word.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(excludes: &[&str], outputs: &[&str], path: &str) -> bool {
        let (path, is_folder) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        let request = Request {
            excludes: excludes.iter().map(|&text| text.to_owned()).collect(),
            outputs: outputs.iter().map(Into::into).collect(),
            ..Request::default()
        };
        let filters = Filters::new(&request, Path::new("/w/cwd"), &[]).unwrap();
        filters.keep(&Met { path: Path::new(path), is_folder, inode: 0 })
    }

    #[test]
    fn exclusions_match_names_or_paths() {
        for (glob, path, kept) in [
            ("*.o", "/w/cwd/a.o", false),
            ("*.o", "/w/cwd/deep/er/a.o", false),
            ("*.o", "/w/cwd/a.c", true),
            ("build", "/w/cwd/x/build/", false),
            ("build/", "/w/cwd/x/build/", false),
            ("build/", "/w/cwd/x/build", true),
            ("src/*.c", "/w/cwd/src/a.c", false),
            ("./src/*.c", "/w/cwd/src/a.c", false),
            ("src/*.c", "/w/cwd/src/deep/a.c", true),
            ("src/*.c", "/w/cwd/x/src/a.c", true),
            ("src/**/a.c", "/w/cwd/src/deep/a.c", false),
            ("src/gen", "/w/cwd/src/gen/", false),
            ("/w/lib/*", "/w/lib/a", false),
            ("../lib/*", "/w/lib/a", false),
            ("../lib/a", "/w/lib/a", false),
            ("../lib/*", "/w/cwd/lib/a", true),
        ] {
            assert_eq!(keeps(&[glob], &[], path), kept, "{glob} {path}");
        }
    }

    #[test]
    fn outputs_are_left_out() {
        for (output, path, kept) in [
            ("out", "/w/cwd/out", false),
            ("./out/", "/w/cwd/out/", false),
            ("out", "/w/cwd/x/out", true),
            ("*.o", "/w/cwd/a.o", false),
            ("*.o", "/w/cwd/x/a.o", true),
            ("**/*.o", "/w/cwd/x/a.o", false),
            ("/w/cwd/out", "/w/cwd/out", false),
            ("a[1]", "/w/cwd/a[1]", false),
        ] {
            assert_eq!(keeps(&[], &[output], path), kept, "{output} {path}");
        }
    }

    #[test]
    fn malformed_globs_are_errors() {
        let request = Request { excludes: vec!["a[".to_owned()], ..Request::default() };
        assert!(Filters::new(&request, Path::new("/"), &[]).is_err());
    }
}
