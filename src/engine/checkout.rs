//! Whether a result tells in which checkout of a project it was made, so that others must not be given it.
//!
//! It is looked for in plain. What a command encodes (base64, upper case), or packs behind other bytes, is not found.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use memchr::memmem;

use crate::store::Pending;

use super::lookup::{Binding, Sought};

/// How files begin whose bytes say nothing of what they hold: gzip, zstd, xz, bzip2, zip, lz4.
const PACKED: [&[u8]; 6] =
    [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"\x04\x22\x4d\x18"];

/// What tells of a checkout.
pub struct Mark {
    /// The name of the root's folder.
    name: Vec<u8>,
    /// The name of the folder above and that: whoever tells of these tells of the path, whole or not.
    path: Vec<u8>,
}

impl Mark {
    /// `None` where there is no project, so that nothing is shared.
    pub fn of(sought: &Sought) -> Option<Mark> {
        sought.command.project.then(|| Mark::at(&sought.command.root))
    }

    fn at(root: &Path) -> Mark {
        let name = root.file_name().unwrap_or_default().as_bytes().to_vec();
        let above = root.parent().and_then(Path::file_name).unwrap_or_default().as_bytes();
        Mark { path: [above, b"/", &name].concat(), name }
    }

    /// Where a result may be replayed that holds a link with this text.
    pub fn of_link(&self, text: &[u8]) -> Binding {
        let holds = |needle: &[u8]| memmem::find(text, needle).is_some();
        match (holds(&self.name), holds(&self.path)) {
            (false, _) => Binding::Free,
            (true, false) => Binding::Name,
            (true, true) => Binding::Root,
        }
    }

    /// Where a result may be replayed that holds a value. The name counts only as a word: a short one is a part of many.
    ///
    /// # Errors
    ///
    /// Where the value cannot be read.
    pub fn of_value(&self, value: &Pending) -> io::Result<Binding> {
        for beginning in PACKED {
            if value.starts_with(beginning)? {
                return Ok(Binding::Root);
            }
        }
        Ok(match value.contains(&self.path)? {
            true => Binding::Root,
            false if value.contains_word(&self.name)? => Binding::Name,
            false => Binding::Free,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_told_the_closer_is_the_binding() {
        let mark = Mark::at(Path::new("/home/me/alpha"));
        for (text, binding) in [
            ("nothing", Binding::Free),
            ("/home/me", Binding::Free),
            ("alphabet", Binding::Name),
            ("x/alpha/y", Binding::Name),
            ("/home/me/alpha/src", Binding::Root),
            ("me/alpha", Binding::Root),
        ] {
            assert_eq!(mark.of_link(text.as_bytes()), binding, "{text}");
        }
    }
}
