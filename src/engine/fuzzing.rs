//! A door to declared outputs, for fuzz targets alone.

use std::ffi::OsString;
use std::path::Path;

use super::outputs::Places;

/// Whether outputs that are declared by these words cover `path`; `None` where one of them makes no sense.
pub fn places(words: &[OsString], path: &Path) -> Option<bool> {
    let places = Places::of(words, Path::new("/project/sub"), Path::new("/project")).ok()?;
    Some(places.cover(path))
}
