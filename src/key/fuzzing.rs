//! A door to globs over words and paths, for fuzz targets alone.

use std::ffi::OsStr;
use std::path::Path;

use super::pattern::{Patterns, path_glob};

/// Whether a glob of either kind names `word`; `None` where it is none.
pub fn globs(glob: &str, word: &OsStr) -> Option<bool> {
    let patterns = Patterns::new(std::slice::from_ref(&glob.to_owned())).ok()?;
    let path = path_glob(glob).ok()?;
    Some(patterns.name(word) || path.is_match(Path::new(word)))
}
