//! Where programs keep for themselves what they could make again: caches that are nobody's input, unless somebody looks into them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Malformed, Reader, Writer};

/// A folder of this name holds what Python makes of the sources beside it, and checks before it uses it.
const PYTHON: &str = "__pycache__";

/// Where they are, as the command's environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The user's cache folder, absolute and without links.
    pub folder: Option<PathBuf>,
    /// Files by which the processes of cargo wait for each other and remember what they used last.
    pub locks: Vec<PathBuf>,
}

/// Who keeps something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Python alone.
    Python,
    /// Cargo alone.
    Cargo,
    /// Any program that is not known to keep nothing.
    Any,
}

impl Kept {
    /// Who keeps what is at the absolute `path`, if it is such a place.
    pub fn keeper(&self, path: &Path) -> Option<Keeper> {
        if self.locks.iter().any(|lock| lock == path) {
            return Some(Keeper::Cargo);
        }
        if self.folder.as_ref().is_some_and(|folder| path.starts_with(folder)) {
            return Some(Keeper::Any);
        }
        is_of_python(path).then_some(Keeper::Python)
    }

    /// Appends it to `writer`.
    pub fn encode(&self, writer: &mut Writer) {
        let places = self.folder.iter().chain(&self.locks);
        writer.number(u64::from(self.folder.is_some())).number(places.clone().count() as u64);
        places.fold(writer, |writer, place| writer.bytes(place.as_os_str().as_bytes()));
    }

    /// Reads what [`encode`](Kept::encode) wrote.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn decode(reader: &mut Reader) -> Result<Kept, Malformed> {
        let has_folder = reader.number()? == 1;
        let mut places = Vec::new();
        for _ in 0..reader.number()? {
            places.push(PathBuf::from(OsStr::from_bytes(reader.bytes()?)));
        }
        if has_folder && places.is_empty() {
            return Err(Malformed("kept"));
        }
        let folder = has_folder.then(|| places.remove(0));
        Ok(Kept { folder, locks: places })
    }
}

/// Whether it is a folder of compiled sources, or one of them: `m.cpython-311.pyc`, and `m.cpython-311.pyc.139` while it is
/// written. What else lies there Python does not keep.
fn is_of_python(path: &Path) -> bool {
    let Some(name) = path.file_name().map(OsStr::as_bytes) else { return false };
    let is_compiled = memchr::memmem::find(name, b".pyc").is_some_and(|at| {
        let rest = &name[at + b".pyc".len()..];
        rest.is_empty() || rest[0] == b'.' && rest[1..].iter().all(u8::is_ascii_digit)
    });
    name == PYTHON.as_bytes() || is_compiled && path.parent().is_some_and(|folder| folder.ends_with(PYTHON))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept { folder: Some("/h/.cache".into()), locks: vec!["/h/.cargo/.package-cache".into()] }
    }

    #[test]
    fn what_is_kept_is_known_by_its_place() {
        let of = |path: &str| kept().keeper(Path::new(path));
        assert_eq!(of("/h/.cache/fontconfig/x"), Some(Keeper::Any));
        assert_eq!(of("/h/.cargo/.package-cache"), Some(Keeper::Cargo));
        for path in ["/w/__pycache__", "/w/__pycache__/m.cpython-311.pyc", "/w/__pycache__/m.pyc.1234"] {
            assert_eq!(of(path), Some(Keeper::Python), "{path}");
        }
        for path in ["/w/__pycache__/notes", "/w/m.pyc", "/h/.cached", "/w/__pycache__/m.pyc.txt", "/h/.cargo/config"] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(Kept::default().keeper(Path::new("/h/.cache/x")), None);
    }

    #[test]
    fn it_comes_through_whole() {
        for one in [kept(), Kept::default(), Kept { folder: None, ..kept() }] {
            let mut writer = Writer::new();
            one.encode(&mut writer);
            assert_eq!(Kept::decode(&mut Reader::new(&writer.into_bytes())), Ok(one));
        }
    }
}
