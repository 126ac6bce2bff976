//! Doors to what reads files of configuration and variables, for fuzz targets alone.

use std::ffi::OsString;
use std::path::Path;

use crate::model::MaxSize;

use super::file::{File, Origin};
use super::keys::FLAGS;
use super::settings::Settings;

/// Reads a file as a project's and as a user's; gives how many faults there are, and what it says of `argv`, as text.
pub fn configuration(bytes: &[u8], argv: &[OsString]) -> (usize, String) {
    let (mut faults, mut said) = (0, String::new());
    for origin in [Origin::Project { up: 1 }, Origin::User] {
        let (file, found) = File::read(Path::new("/project/fleche.toml"), origin, bytes);
        let settings = Settings { files: vec![file], ignored: Vec::new() };
        faults += found.len() + settings.faults().len();
        let ruling = settings.ruling(argv);
        for key in FLAGS {
            let (text, flag) = (ruling.text(key.name), ruling.flag(key.name));
            let (texts, size, time) = (ruling.texts(key.name), ruling.size(key.name), ruling.time(key.name));
            said.push_str(&format!("{text:?}{flag:?}{texts:?}{size:?}{time:?}"));
        }
    }
    (faults, said)
}

/// How large a cache may become.
pub fn room(text: &str) -> Option<MaxSize> {
    super::kind::parse_room(text)
}

/// The words of `FLECHE_TAGS`.
pub fn tags(text: &str) -> Vec<String> {
    super::environment::split_tags(text)
}
