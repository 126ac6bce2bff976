//! Forging: files of a store with right seals, as whoever may write the store can make them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fleche::model::{Call, Digest, Fields, PathSets, Room, Writer};

/// The bytes before the body of a sealed file: what it is, its version, a digest.
const FRAME: usize = 8 + 32;

/// A body in a whole file of this kind: `c` for a call, `p` for path sets, `x` for a call in an exported file.
pub fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    sealed_as(&[b"fleche".as_slice(), &[kind, 1]].concat(), body)
}

/// The same under any header.
pub fn sealed_as(header: &[u8], body: &[u8]) -> Vec<u8> {
    let digest = Digest::of(&[header, body].concat());
    [header, &digest.0, body].concat()
}

/// The body of a sealed file.
pub fn body(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()[FRAME..].to_vec()
}

/// The call in this body.
pub fn call(body: &[u8]) -> Call {
    Call::decode(body, &mut Room::of(Room::OWN)).unwrap()
}

/// The path sets in this body.
pub fn path_sets(body: &[u8]) -> PathSets {
    PathSets::decode(body, &mut Room::of(Room::OWN)).unwrap()
}

/// The files in one of the store's folders, `calls`, `paths` or `values`.
pub fn files(store: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(store.join(kind)).sort_by_file_name().into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// Puts `bytes` in the place of a file, as a rename does.
pub fn replace(path: &Path, bytes: &[u8]) {
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes).unwrap();
    fs::rename(draft, path).unwrap();
}

/// An encoding, field by field: for what no encoder writes.
pub struct Raw(pub Vec<(String, Vec<u8>)>);

impl Raw {
    pub fn of(body: &[u8]) -> Raw {
        let fields = Fields::of(body).map(Result::unwrap);
        Raw(fields.map(|(name, value)| (String::from_utf8(name.to_vec()).unwrap(), value.to_vec())).collect())
    }

    /// Gives a field this value, wherever it stands.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        self.0.retain(|(other, _)| other != name);
        self.push(name, value);
    }

    /// One field more.
    pub fn push(&mut self, name: &str, value: Vec<u8>) {
        self.0.push((name.to_owned(), value));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for (name, value) in &self.0 {
            writer.field(name, value);
        }
        writer.into_bytes()
    }
}

/// What `write` writes.
pub fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes()
}

/// An output field of a file of this mode with these bytes inline, whatever the path is.
pub fn output(path: &[u8], mode: u64, bytes: &[u8]) -> Vec<u8> {
    written(|writer| {
        writer.bytes(path).number(1).number(mode).signed(0);
        writer.raw(&Digest::of(bytes).0).number(bytes.len() as u64).number(1).bytes(bytes);
    })
}

/// An output field of a link.
pub fn link(path: &[u8], target: &Path) -> Vec<u8> {
    written(|writer| {
        writer.bytes(path).number(3).bytes(target.as_os_str().as_bytes());
    })
}

/// An output field of a folder.
pub fn folder(path: &[u8], mode: u64, owned: u64) -> Vec<u8> {
    written(|writer| {
        writer.bytes(path).number(2).number(mode).number(owned);
    })
}

/// An output field of nothing.
pub fn absent(path: &[u8]) -> Vec<u8> {
    written(|writer| {
        writer.bytes(path).number(0);
    })
}
