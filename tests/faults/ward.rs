//! A world that is put back to the same state before each step, and what is looked at in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::calls::Ground;
use crate::form::is_long;
use crate::injector::{self, Fault, Report};
use crate::world::{Outcome, Session, World, settle};

/// A world and the state that it begins with.
pub struct Ward {
    pub world: World,
    kept: TempDir,
}

/// What is put back: the caches and the files of commands.
const PARTS: [&str; 3] = ["home", "work", "there"];

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Folder(u32),
    File(u32, Vec<u8>),
    Link(PathBuf),
}

pub type Items = BTreeMap<PathBuf, Item>;

impl Ward {
    pub fn new(prepare: impl FnOnce(&World)) -> Ward {
        let world = World::new();
        prepare(&world);
        let kept = tempfile::Builder::new().prefix("fleche-kept-").tempdir().unwrap();
        for part in PARTS {
            copy(&world.root().join(part), &kept.path().join(part)).unwrap();
        }
        if is_long() {
            // The first run, whose calls are counted, is to make as many as those that come much later.
            settle(kept.path());
        }
        Ward { world, kept }
    }

    /// Another cache than the world's own.
    pub fn there(&self) -> PathBuf {
        there(&self.world)
    }

    /// Puts everything back.
    pub fn reset(&self) {
        for part in PARTS {
            let path = self.world.root().join(part);
            if path.exists() {
                fs::remove_dir_all(&path).unwrap();
            }
            copy(&self.kept.path().join(part), &path).unwrap();
        }
    }

    /// Puts the files of commands back.
    pub fn reset_work(&self) {
        fs::remove_dir_all(self.world.work()).unwrap();
        copy(&self.kept.path().join("work"), &self.world.work()).unwrap();
    }

    pub fn ground(&self) -> Ground {
        let outputs = ["small", "large", "folder", "calls.fleche"].map(|name| self.world.path(name)).to_vec();
        Ground { caches: vec![self.world.home().join(".cache"), self.there()], outputs, root: self.world.root() }
    }

    /// Runs fleche with a fault, or without.
    pub fn struck(&self, mut session: Session, fault: Option<Fault>) -> Report {
        let report = injector::run(session.command(), &self.ground(), fault);
        self.world.is_alone();
        report
    }

    /// The files of commands.
    pub fn files(&self) -> Items {
        items(&self.world.work())
    }

    /// The keys of calls in a cache.
    pub fn keys(&self, cache: &Path) -> Result<BTreeSet<String>, String> {
        let outcome = self.world.fleche(["--cache".as_ref(), cache, "query".as_ref()]).run();
        match outcome.code() {
            0 => Ok(outcome.stdout().lines().map(str::to_owned).collect()),
            1 if outcome.stderr() == "fleche: no call matches\n" => Ok(BTreeSet::new()),
            code => Err(format!("query ends with {code}: {}", outcome.stderr())),
        }
    }

    /// Whether a cache is whole.
    pub fn verified(&self, cache: &Path) -> Result<(), String> {
        silent("verify", &self.world.fleche(["--cache".as_ref(), cache, "verify".as_ref()]).run())
    }

    /// Whether garbage collection leaves nothing unfinished behind.
    pub fn swept(&self) -> Result<(), String> {
        silent("gc", &self.world.fleche(["gc", "--grace", "0s"]).run())?;
        match fs::read_dir(self.world.cache().join("tmp")).map_or(0, Iterator::count) {
            0 => Ok(()),
            left => Err(format!("{left} unfinished files are left after gc")),
        }
    }
}

/// Another cache than the world's own.
pub fn there(world: &World) -> PathBuf {
    world.root().join("there")
}

/// Whether a command did what it should and said nothing.
pub fn silent(what: &str, outcome: &Outcome) -> Result<(), String> {
    let said = format!("{}{}", outcome.stdout(), outcome.stderr());
    if outcome.code() == 0 && said.is_empty() {
        Ok(())
    } else {
        Err(format!("{what} ends with {}: {said}", outcome.code()))
    }
}

/// All that is below a folder.
pub fn items(folder: &Path) -> Items {
    let mut items = Items::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        let mode = metadata.mode() & 0o7777;
        let item = if metadata.is_dir() {
            Item::Folder(mode)
        } else if metadata.is_symlink() {
            Item::Link(fs::read_link(entry.path()).unwrap())
        } else {
            Item::File(mode, fs::read(entry.path()).unwrap())
        };
        items.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), item);
    }
    items
}

/// The first thing in which two folders differ.
pub fn difference(expected: &Items, found: &Items) -> Option<String> {
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let name = names.into_iter().find(|name| expected.get(*name) != found.get(*name))?;
    let shown = |item: Option<&Item>| match item {
        None => "absent".to_owned(),
        Some(Item::Folder(mode)) => format!("a folder, mode {mode:o}"),
        Some(Item::File(mode, bytes)) => format!("{} bytes, mode {mode:o}", bytes.len()),
        Some(Item::Link(to)) => format!("a link to {}", to.display()),
    };
    Some(format!("`{}` is {}, not {}", name.display(), shown(found.get(name)), shown(expected.get(name))))
}

/// Copies a tree with its modes and times; what is absent is passed over.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = match from.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    let times = FileTimes::new().set_modified(metadata.modified()?).set_accessed(metadata.accessed()?);
    if metadata.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    } else {
        fs::copy(from, to)?;
    }
    File::open(to)?.set_times(times)
}

/// Any command in the surroundings of a world.
pub fn bare(world: &World, words: &[&str]) -> Session {
    world.program(words[0], &words[1..])
}
