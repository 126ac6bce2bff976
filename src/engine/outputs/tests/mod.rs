//! Worlds in throw-away folders for the tests of collecting and restoring.

mod bringing;
mod collecting;
mod edited;
mod edits;
mod finding;
mod hostile;
mod in_place;
mod owned;
mod replaying;
mod restoring;
mod rollback;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::restore::Restored;
use super::*;
use crate::model::{Digest, Output, OutputKind};

const MOST: u64 = 1 << 20;

/// A project and a folder beside it.
pub struct World {
    folder: tempfile::TempDir,
}

type Happening = Box<dyn Fn()>;

/// A store in memory.
#[derive(Default)]
pub struct Memory {
    values: RefCell<BTreeMap<Digest, Vec<u8>>>,
    opened: Cell<usize>,
    /// Gives values as files.
    as_files: bool,
    /// Fails when this many values were opened.
    fails_after: Option<usize>,
    /// Happens when the given number of values was opened, before that one is given out.
    meanwhile: RefCell<Option<(usize, Happening)>>,
    /// Happens while a file is taken in.
    while_ingesting: RefCell<Option<Happening>>,
}

/// Collects what a command left that ended just now, and that found nothing.
pub fn collect_at_all(places: &Places, shelf: &Memory) -> Result<Vec<Output>, Reason> {
    let bounds = Bounds { before: &Before::default(), ended: i64::MAX, most: MOST, inputs: 0o777 };
    collect(places, &bounds, &nothing(), &nothing(), shelf)
}

/// Nothing lies among inputs.
pub const NO_INPUTS: Inputs = Inputs { words: &[], observations: &|| &[] };

/// No former call made anything.
pub fn nothing() -> Known<'static> {
    Former::known(Former::default)
}

impl Shelf for Memory {
    fn ingest(&self, mut file: &File, most: u64) -> Result<Content, Reason> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() as u64 <= most);
        if let Some(happens) = self.while_ingesting.borrow().as_ref() {
            happens();
        }
        Ok(self.keep(bytes))
    }
}

impl Stock for Memory {
    fn open(&self, content: &Content) -> Result<Stored, Reason> {
        let opened = self.opened.get();
        self.opened.set(opened + 1);
        if let Some((at, happens)) = self.meanwhile.borrow().as_ref()
            && *at == opened
        {
            happens();
        }
        let values = self.values.borrow();
        let bytes = match (self.fails_after, values.get(&content.digest)) {
            (Some(most), _) if opened >= most => return Err(Reason::Damaged("bad".into())),
            (_, None) => return Err(Reason::Damaged("gone".into())),
            (_, Some(bytes)) => bytes,
        };
        if !self.as_files {
            return Ok(Stored::Bytes(bytes.clone()));
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Ok(Stored::File { file, length: bytes.len() as u64 })
    }
}

impl Memory {
    fn keep(&self, bytes: Vec<u8>) -> Content {
        let content = Content { digest: Digest::of(&bytes), length: bytes.len() as u64, inline: None };
        self.values.borrow_mut().insert(content.digest, bytes);
        content
    }

    fn file(&self, path: &str, text: &str) -> Output {
        let content = self.keep(text.into());
        Output {
            path: path.into(),
            kind: OutputKind::File { mode: 0o644, content, modified: 7, dated: false, kept: false },
        }
    }
}

impl Output {
    fn of_mode(mut self, bits: u32) -> Output {
        if let OutputKind::File { mode, .. } = &mut self.kind {
            *mode = bits;
        }
        self
    }
}

pub fn folder(path: &str, mode: u32) -> Output {
    Output { path: path.into(), kind: OutputKind::Folder { mode, owned: false, dated: None } }
}

pub fn link(path: &str, target: &str) -> Output {
    Output { path: path.into(), kind: OutputKind::Link { target: target.into(), dated: None } }
}

pub fn absent(path: &str) -> Output {
    Output { path: path.into(), kind: OutputKind::Absent }
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        World { folder }
    }

    /// The path of something in the project; `../outside` is beside it.
    pub fn at(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.root().join(Path::new(path.as_ref()))
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub fn outside(&self) -> String {
        self.folder.path().join("outside").to_str().unwrap().to_owned()
    }

    pub fn write(&self, path: impl AsRef<OsStr>, text: impl AsRef<[u8]>) -> &World {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn folder(&self, path: &str) -> &World {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    pub fn link(&self, path: &str, target: &str) -> &World {
        symlink(target, self.at(path)).unwrap();
        self
    }

    pub fn mode(&self, path: impl AsRef<OsStr>, mode: u32) -> &World {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Sets the modification time, in nanoseconds since 1970.
    pub fn touch(&self, path: impl AsRef<OsStr>, modified: i64) -> &World {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(modified as u64);
        File::options().read(true).open(self.at(path)).unwrap().set_modified(time).unwrap();
        self
    }

    pub fn modified(&self, path: impl AsRef<OsStr>) -> i64 {
        let status = fs::symlink_metadata(self.at(path)).unwrap();
        status.mtime() * 1_000_000_000 + status.mtime_nsec()
    }

    pub fn places(&self, words: &[&str]) -> Places {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        match words.is_empty() {
            true => Places::below(&self.root()),
            false => Places::of(&words, &self.root(), &self.root()).unwrap(),
        }
    }

    pub fn collect(&self, words: &[&str], shelf: &Memory) -> Vec<Output> {
        let places = self.places(words);
        collect_at_all(&places, shelf).unwrap()
    }

    pub fn refused(&self, words: &[&str]) -> String {
        let places = self.places(words);
        match collect_at_all(&places, &Memory::default()) {
            Err(reason @ Reason::OutputUnstorable(..)) => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub fn restore(&self, words: &[&str], outputs: &[Output], shelf: &Memory) -> Result<Restored, Reason> {
        self.restore_after(words, outputs, shelf, &[])
    }

    pub fn restore_after(
        &self,
        words: &[&str],
        outputs: &[Output],
        shelf: &Memory,
        former: &[&[Output]],
    ) -> Result<Restored, Reason> {
        let former = Former::known(|| Former::of(former.iter().copied()));
        restore(&self.places(words), outputs, shelf, Mtime::Now, &former, &NO_INPUTS)
    }

    /// Everything in the project and beside it: type, mode and bytes by path.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut things = snapshot(&self.root());
        let outside = snapshot(&self.folder.path().join("outside"));
        things.extend(outside.into_iter().map(|(path, thing)| (Path::new("../outside").join(path), thing)));
        things
    }
}

pub fn snapshot(top: &Path) -> BTreeMap<PathBuf, String> {
    let entries = walkdir::WalkDir::new(top).min_depth(1).into_iter().map(Result::unwrap);
    let describe = |path: &Path| {
        let status = fs::symlink_metadata(path).unwrap();
        let bytes = match status.file_type() {
            kind if kind.is_symlink() => fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec(),
            kind if kind.is_file() => fs::read(path).unwrap(),
            _ => Vec::new(),
        };
        format!("{:o} {}", status.mode(), bytes.escape_ascii())
    };
    entries.map(|entry| (entry.path().strip_prefix(top).unwrap().to_owned(), describe(entry.path()))).collect()
}

/// What a record says, without the modification times.
pub fn told(outputs: &[Output]) -> Vec<String> {
    let line = |output: &Output| {
        let path = output.path.display();
        match &output.kind {
            OutputKind::Absent => format!("{path} absent"),
            OutputKind::File { mode, content, .. } => format!("{path} file {mode:o} {}", content.length),
            OutputKind::Folder { mode, owned: false, .. } => format!("{path} folder {mode:o}"),
            OutputKind::Folder { mode, owned: true, .. } => format!("{path} owned folder {mode:o}"),
            OutputKind::Link { target, .. } => format!("{path} link {}", target.escape_ascii()),
        }
    };
    outputs.iter().map(line).collect()
}
