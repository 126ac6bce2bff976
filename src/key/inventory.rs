//! Looking again where a former look found what an inventory tells: nothing is read but what bears another stamp.

use std::ffi::OsStr;
use std::ops::{ControlFlow, Range};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::chdir;

use crate::model::{
    Coded, Command, Digest, Facet, Inventory, Malformed, Names, Observation, Room, Stamp, StampMemory, State, Walked,
    Writer,
};
use crate::sys::stamp;
use crate::sys::threads::{self, Own};

use super::inputs::{Candidate, Glance};
use super::look::{self, Sight, Subject};
use super::place::is_nothing;
use super::walk::{self, Trail};

/// Folders that are looked at in one go, as the paths of a block are.
const FOLDERS: usize = 256;
/// One thread looks at so many parts sooner than a second one is started.
const FEW_PARTS: usize = 2;

/// What was found where an inventory tells, without reading what is proven.
#[derive(Debug)]
pub struct Proven {
    inventory: Inventory,
    /// As a key has them, see [`Observation::digests`].
    digests: Vec<Digest>,
    /// What was looked at anew: its place among the observations, and what is there now.
    anew: Vec<(usize, Observation, Option<Stamp>)>,
    count: usize,
}

/// Which look it is, for which an inventory may be there: of `command`, whose declared words lead to `places`.
pub fn identity<'a>(command: &Command, places: impl Iterator<Item = &'a Path>, apart_from: &[PathBuf]) -> Digest {
    let mut writer = Writer::new();
    writer.field("command", &command.digest.0.0);
    // Another fleche may look elsewhere.
    writer.field("version", env!("CARGO_PKG_VERSION").as_bytes());
    let folders = [("root", command.root.as_path()), ("cwd", &command.cwd)];
    let places = places.map(|path| ("place", path));
    let apart = apart_from.iter().map(|path| ("apart", path.as_path()));
    for (name, path) in folders.into_iter().chain(places).chain(apart) {
        writer.field(name, path.as_os_str().as_bytes());
    }
    Digest::of(&writer.into_bytes())
}

/// An inventory of what was observed along `trail`; `None` where not all that decided it is known.
/// `now`, in nanoseconds since 1970, must be from before the first look.
pub fn take(identity: Digest, observations: &[Observation], mut trail: Trail, now: i64) -> Option<Inventory> {
    if !trail.is_whole {
        return None;
    }
    for folder in &mut trail.folders {
        folder.stamp = folder.stamp.filter(|stamp| stamp::is_settled_at(stamp, &folder.path, now));
    }
    Some(Inventory::of(identity, observations, trail.folders, trail.links))
}

/// Looks where `inventory` tells; `None` where it cannot be said that an ordinary look would find just these paths.
pub fn check(inventory: Inventory, root: &Path, memory: &dyn StampMemory, now: i64) -> Option<Proven> {
    if !inventory.links.iter().all(|link| walk::end_of(&link.link) == *link) {
        return None;
    }
    let blocks = glanced(&inventory, root)?;
    let sights = look_anew(&blocks, root, memory, now)?;
    let (mut sights, mut anew, mut digests, mut count) = (sights.into_iter(), Vec::new(), Vec::new(), 0);
    let last = blocks.len().saturating_sub(1);
    for (number, block) in blocks.into_iter().enumerate() {
        // Else a key would have other digests.
        if block.count > Observation::GROUP || (number < last && block.count < Observation::GROUP) {
            return None;
        }
        let (mut from, mut now) = (0, Vec::new());
        for changed in block.changed {
            now.extend_from_slice(&block.observed[from..changed.range.start]);
            from = changed.range.end;
            let Sight { state, stamp, settled } = sights.next()?;
            if !is_alike(&state, &changed.was) {
                return None;
            }
            let proof = stamp.filter(|_| settled);
            let seen = Observation { path: changed.path, facet: Facet::Whole, state, stamp: proof };
            now.extend(Observation::key_bytes(std::slice::from_ref(&seen)));
            anew.push((count + changed.number, seen, stamp));
        }
        digests.push(if from == 0 {
            inventory.digest(number)?
        } else {
            now.extend_from_slice(&block.observed[from..]);
            Digest::of(&now)
        });
        count += block.count;
    }
    Some(Proven { inventory, digests, anew, count })
}

/// Looks at all folders and blocks, with several threads if there are many; `None` where a folder holds other names, or a block
/// cannot be read.
fn glanced(inventory: &Inventory, root: &Path) -> Option<Vec<Glanced>> {
    enum Part<'a> {
        Folders(&'a [Walked]),
        Block(usize),
    }
    let folders = inventory.folders.chunks(FOLDERS).map(Part::Folders);
    let parts: Vec<Part> = folders.chain(inventory.blocks().map(Part::Block)).collect();
    let threads = if parts.len() > FEW_PARTS { look::threads() } else { 1 };
    let looked = threads::share_apart(
        &parts,
        1,
        threads,
        |own| Glances::below(root, own),
        |glances, parts| {
            let look = |part: &Part| match part {
                Part::Folders(folders) => folders.iter().all(is_same_folder).then_some(None),
                Part::Block(number) => glances.block(inventory, *number).map(Some),
            };
            parts.iter().map(look).collect()
        },
    );
    let looked: Option<Vec<Option<Glanced>>> = looked.into_iter().collect();
    Some(looked?.into_iter().flatten().collect())
}

impl Proven {
    /// The observations as a key has them, see [`Observation::digests`].
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// All observations, and for each of them the stamp of its content, however young.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn observations(&self) -> Result<(Vec<Observation>, Vec<Option<Stamp>>), Malformed> {
        let mut observations = self.inventory.observations(&mut Room::of(Room::OWN))?;
        let mut stamps: Vec<Option<Stamp>> = observations.iter().map(|seen| seen.stamp).collect();
        for (place, seen, stamp) in &self.anew {
            observations[*place] = seen.clone();
            stamps[*place] = *stamp;
        }
        Ok((observations, stamps))
    }

    /// How many paths were looked at anew.
    #[cfg(test)]
    pub fn anew(&self) -> usize {
        self.anew.len()
    }

    /// The inventory with what was found now, if so much was looked at anew that the next look is worth it.
    pub fn renewed(&self) -> Option<Inventory> {
        /// Writing all costs as much as reading so small a part of it.
        const PART: usize = 32;
        let proven = self.anew.iter().filter(|(_, seen, _)| seen.stamp.is_some()).count();
        if proven * PART < self.count { None } else { self.latest() }
    }

    /// The inventory with all that was found now.
    pub fn latest(&self) -> Option<Inventory> {
        if self.anew.is_empty() {
            return Some(self.inventory.clone());
        }
        let (observations, _) = self.observations().ok()?;
        let Inventory { identity, folders, links, .. } = &self.inventory;
        Some(Inventory::of(*identity, &observations, folders.clone(), links.clone()))
    }
}

/// Whether a folder holds the names that it held.
fn is_same_folder(folder: &Walked) -> bool {
    let Ok(now) = stamp::of(&folder.path) else { return false };
    if folder.stamp == Some(now) {
        return true;
    }
    let Ok(entries) = crate::sys::look::entries_behind(&folder.path) else { return false };
    let mut names = Names::default();
    entries.iter().for_each(|(name, kind)| names.add(name, walk::told_apart(*kind)));
    names == folder.names
}

/// Whether an ordinary look goes on from the one as from the other.
fn is_alike(now: &State, was: &State) -> bool {
    match (now, was) {
        (State::File { .. }, State::File { .. }) | (State::Folder { .. }, State::Folder { .. }) => true,
        (State::Link { target, behind }, State::Link { target: its, behind: there }) => {
            target == its && is_alike(behind, there)
        }
        (now, was) => now == was,
    }
}

/// Looks at all that changed, in order.
fn look_anew(blocks: &[Glanced], root: &Path, memory: &dyn StampMemory, now: i64) -> Option<Vec<Sight>> {
    let subject = |changed: &Changed| Subject {
        recorded: changed.path.clone(),
        candidate: Candidate { path: root.join(&changed.path), found: Glance::Unknown },
        known: None,
    };
    let subjects: Vec<Subject> = blocks.iter().flat_map(|block| &block.changed).map(subject).collect();
    look::look(&subjects, memory, now).ok()
}

/// A block of an inventory at whose paths it was looked.
struct Glanced {
    /// The observations that are not proven, in order.
    changed: Vec<Changed>,
    /// How many there are in all.
    count: usize,
    /// All of them, as a key has them, where some are not proven.
    observed: Vec<u8>,
}

struct Changed {
    /// Where it is in what the block observed.
    range: Range<usize>,
    /// Its number among all of the block.
    number: usize,
    path: PathBuf,
    was: State,
}

/// Glances at paths in key order: neighbours from the folder that they are in.
struct Glances {
    /// For parts of the inventory, and for what was found.
    buffer: Vec<u8>,
    found: Vec<u8>,
    place: Vantage,
}

/// From where it is looked at a path.
struct Vantage {
    root: PathBuf,
    /// The same, opened, to look at what is below it from there.
    base: Option<OwnedFd>,
    own: Own,
    /// The latest folder, and how many paths in it were glanced at one after the other.
    folder: Vec<u8>,
    run: usize,
    near: Near,
}

/// How to come to what is in the latest folder sooner than from the root.
enum Near {
    /// Not at all: too few paths are in it.
    No,
    Opened(OwnedFd),
    /// It is the working directory of this thread, which costs less than a descriptor does.
    Here,
}

impl Glances {
    fn below(root: &Path, own: Own) -> Glances {
        let base = open(CWD, root.as_os_str());
        let place = Vantage { root: root.to_owned(), base, own, folder: Vec::new(), run: 0, near: Near::No };
        Glances { buffer: Vec::new(), found: Vec::new(), place }
    }

    /// What of a block is proven; `None` where it cannot be read, or something cannot be looked at.
    fn block(&mut self, inventory: &Inventory, number: usize) -> Option<Glanced> {
        let Glances { buffer, found, place } = self;
        let outline = inventory.outline(number, buffer).ok()?;
        let is_outlined = outline.is_some();
        if let Some(outline) = outline {
            let mut look = |path: &[u8]| place.glance(path).ok();
            if !outline.follow(found, &mut look).ok()? {
                return None;
            }
        }
        // Who needs what was observed must be able to read it, be it proven or not: damage is for an ordinary look to mend.
        let block = inventory.block(number, buffer).ok()?;
        if is_outlined && block.is_as(found) {
            return Some(Glanced { changed: Vec::new(), count: block.count(), observed: Vec::new() });
        }
        let mut records = block.records(found);
        let (mut changed, mut count) = (Vec::new(), 0);
        let read = block.read(&mut |seen| {
            let proven = match is_outlined {
                true => Some(records.next() == Some(seen.record)),
                false => place.is_proven(&seen),
            };
            match proven {
                None => return ControlFlow::Break(()),
                Some(true) => {}
                Some(false) => {
                    let path = PathBuf::from(OsStr::from_bytes(seen.path));
                    changed.push(Changed { range: seen.range, number: count, path, was: seen.state });
                }
            }
            count += 1;
            ControlFlow::Continue(())
        });
        let observed = if changed.is_empty() { Vec::new() } else { block.observed.to_vec() };
        matches!(read, Ok(ControlFlow::Continue(()))).then_some(Glanced { changed, count, observed })
    }
}

impl Vantage {
    fn is_proven(&mut self, seen: &Coded) -> Option<bool> {
        let Some(now) = self.glance(seen.path).ok()? else { return Some(seen.state == State::Absent) };
        let mode = State::permissions(now.mode);
        Some(match (&seen.state, FileType::from_raw_mode(now.mode)) {
            (State::File { .. }, FileType::RegularFile) => seen.stamp == Some(now),
            (State::Folder { mode: its }, FileType::Directory) => *its == mode,
            (State::Special(kind), _) => *kind == now.mode & !mode,
            (State::Link { target, behind }, FileType::Symlink) => self.is_same_link(seen, target, behind)?,
            _ => false,
        })
    }

    fn is_same_link(&self, seen: &Coded, target: &[u8], behind: &State) -> Option<bool> {
        let path = OsStr::from_bytes(seen.path);
        let base = self.base.as_ref()?;
        if readlinkat(base, path, Vec::with_capacity(128)).ok()?.as_bytes() != target {
            return Some(false);
        }
        Some(match (behind, statat(base, path, AtFlags::empty())) {
            (State::File { .. }, Ok(now)) => seen.stamp == Some(stamp::from_stat(&now)),
            (State::Folder { mode }, Ok(now)) => {
                FileType::from_raw_mode(now.st_mode) == FileType::Directory && *mode == State::permissions(now.st_mode)
            }
            (State::Absent, Err(Errno::NOENT)) => true,
            _ => false,
        })
    }

    /// What lstat(2) says of a path as a key has it; `None` where nothing is.
    fn glance(&mut self, path: &[u8]) -> Result<Option<Stamp>, Errno> {
        /// Opening a folder costs as much as two or three walks to it.
        const FEW: usize = 3;
        let (folder, name) = path.split_at(memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1));
        if folder == self.folder {
            self.run += 1;
        } else {
            self.folder.clear();
            self.folder.extend_from_slice(folder);
            (self.run, self.near) = (0, Near::No);
        }
        let base = self.base.as_ref().ok_or(Errno::NOENT)?;
        if self.run == FEW && !folder.is_empty() {
            self.near = near(&self.root, base, OsStr::from_bytes(folder), self.own);
        }
        let (path, name) = (OsStr::from_bytes(path), OsStr::from_bytes(name));
        let found = match &self.near {
            Near::No => statat(base, path, AtFlags::SYMLINK_NOFOLLOW),
            Near::Opened(opened) => statat(opened, name, AtFlags::SYMLINK_NOFOLLOW),
            Near::Here => statat(CWD, name, AtFlags::SYMLINK_NOFOLLOW),
        };
        match found {
            Ok(found) => Ok(Some(stamp::from_stat(&found))),
            Err(error) if is_nothing(&error.into()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn near(root: &Path, base: &OwnedFd, folder: &OsStr, own: Own) -> Near {
    if own == Own::Directory && chdir(root.join(folder)).is_ok() {
        return Near::Here;
    }
    open(base.as_fd(), folder).map_or(Near::No, Near::Opened)
}

fn open(from: impl AsFd, folder: &OsStr) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(from, folder, flags, Mode::empty()).ok()
}
