//! Collecting what a run left at its places.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, fgetxattr_query};

use crate::model::{Content, Output, OutputKind, Reason, Stamp};
use crate::sys::temporary::{is_dead, is_temporary};
use crate::sys::{descriptor, stamp};

use super::before::Before;
use super::fault::{BEHIND_A_STREAM, Fault, Kind};
use super::ground::Grounds;
use super::places::{Extent, Pattern, Place, Places};
use super::walk::{self, Found, Next};
use super::{Known, Shelf};

/// Setuid, setgid and sticky.
const SPECIAL_BITS: [(u32, &str); 3] =
    [(0o4000, "has the setuid bit"), (0o2000, "has the setgid bit"), (0o1000, "has the sticky bit")];

/// What a run is held against.
pub struct Bounds<'a> {
    /// What lay there before it.
    pub before: &'a Before,
    /// When the command had ended, in nanoseconds since 1970.
    pub ended: i64,
    /// No file may have more bytes than this.
    pub most: u64,
    /// The permission bits that all input files have.
    pub inputs: u32,
}

/// Collects what lies at `places` after a command has succeeded: folders before what is in them, then files in the
/// order of their modification times, then links, then what is absent.
///
/// A file that lies there as it did `before` is recorded only if the `same` call, which saw exactly what this run saw,
/// made it: a command that is run again finds its work done and leaves it. What another call of the command made may
/// look up to date and be made of something else, an older input from a backup for one: `make` goes by the time. And
/// any other is somebody's: recording it would let a replay put an old version over their edits. So the run is not
/// stored. That goes for a build that makes some of its outputs anew, too: it costs a build in a clean folder, while
/// a record of something else's output costs a wrong replay.
/// Nor is a run stored whose output has a mode that somebody gave it, which the command then kept: a replay elsewhere
/// would spread it. Nor is one that may have added to a file that was there before.
///
/// Fails with [`Reason::OutputUnstorable`] or [`Reason::TooLarge`], or with a reason of the shelf.
pub fn collect(
    places: &Places,
    bounds: &Bounds,
    former: &Known,
    same: &Known,
    shelf: &impl Shelf,
) -> Result<Vec<Output>, Reason> {
    let outputs = take(&|| Gathering::of(places, places.iter()).map_err(Fault::unstorable), shelf, bounds)?;
    if let Some(fault) = bounds.before.fault() {
        return Err(fault.clone().unstorable());
    }
    for (output, is_untouched) in &outputs {
        let found = if *is_untouched { check_found(output, same) } else { Ok(()) };
        found.and_then(|()| check_mode(output, bounds, former)).map_err(Fault::unstorable)?;
    }
    Ok(outputs.into_iter().map(|(output, _)| output).collect())
}

/// Refuses a file that the run found and left, unless the `same` call made it, and any link: what was written through
/// it lies where nobody looks, and a replay would bring the link alone.
fn check_found(output: &Output, same: &Known) -> Result<(), Fault> {
    let OutputKind::File { content, mode, .. } = &output.kind else {
        return Err(Fault::new(&output.path, "was a link before, and the command may have written through it"));
    };
    if !same.made_file(&output.path, &content.digest) {
        return Err(Fault::new(&output.path, "was there before, and this run did not write it"));
    }
    match same.gave_file(&output.path, *mode) {
        Some(false) => Err(Fault::new(&output.path, "kept a mode that this call never gave it")),
        _ => Ok(()),
    }
}

/// Refuses what has the mode that it had before, if somebody else gave it that; or if it lets others read what they may
/// not read in an input: where there is no such file, what copies the input keeps it from them.
fn check_mode(output: &Output, bounds: &Bounds, former: &Known) -> Result<(), Fault> {
    const READ_BY_OTHERS: u32 = 0o044;
    let path = output.path.as_path();
    let had = |mode: &u32| bounds.before.had_mode(path, *mode);
    if let OutputKind::File { mode, .. } = &output.kind
        && had(mode)
        && mode & !bounds.inputs & READ_BY_OTHERS != 0
    {
        return Err(Fault::new(path, "kept a mode that lets others read it, which they may not read an input"));
    }
    let given = match &output.kind {
        OutputKind::File { mode, .. } if had(mode) => former.gave_file(path, *mode),
        OutputKind::Folder { mode, .. } if had(mode) => former.gave_folder(path, *mode),
        _ => None,
    };
    match given {
        Some(false) => Err(Fault::new(path, "kept a mode that no recorded run gave it")),
        _ => Ok(()),
    }
}

/// What lies at `places`, past whatever could not be stored; and what kept it from being looked at further.
pub fn gather(places: &Places) -> (Gathering<'_>, Option<Fault>) {
    let mut gathering = Gathering { unfit: Unfit::PassedOver, ..Gathering::new(places) };
    let mut fault = None;
    for place in places.iter() {
        // What is wrong with the place itself hides no other, and is gone if the run put something right there.
        fault = fault.or(gathering.gather(place).err().filter(|found| !found.is_at(&place.path)));
    }
    (gathering, fault)
}

/// Everything that `gather_all` sees, and whether it is a file or a link that lies there as it did `before`.
///
/// It is looked at twice: somebody whom the command left behind may still write, and half of what they write is not
/// what the command makes. Nobody can tell whether they will write later still: to know one's orphans one has to be
/// their parent (`PR_SET_CHILD_SUBREAPER`), which they see, or to read all of `/proc`, where others are alike.
pub(super) fn take<'a>(
    gather_all: &dyn Fn() -> Result<Gathering<'a>, Reason>,
    shelf: &impl Shelf,
    bounds: &Bounds,
) -> Result<Vec<(Output, bool)>, Reason> {
    let mut gathering = gather_all()?;
    let outputs = gathering.take_in(shelf, bounds)?;
    let again = gather_all()?.things;
    let changed = |path: &&PathBuf| gathering.things.get(*path) != again.get(*path);
    match gathering.things.keys().chain(again.keys()).find(changed) {
        Some(path) => Err(Fault::new(path, CHANGED_LATE).unstorable()),
        None => {
            gathering.tidy();
            Ok(outputs)
        }
    }
}

/// What is wrong with something that is still being written.
pub(super) const CHANGED_LATE: &str = "changed after the command had ended";

/// What lies at a path.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Absent,
    File(Stamp),
    Folder { mode: u32, owned: bool },
    Link { target: Vec<u8>, stamp: Stamp },
}

/// What happens where something lies that cannot be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unfit {
    Refused,
    PassedOver,
}

/// What was seen at places.
pub struct Gathering<'a> {
    unfit: Unfit,
    grounds: Grounds<'a>,
    places: &'a Places,
    things: BTreeMap<PathBuf, Seen>,
    /// What was passed over.
    passed: Vec<Fault>,
}

impl<'a> Gathering<'a> {
    /// Nothing was looked at yet.
    pub(super) fn new(places: &'a Places) -> Gathering<'a> {
        Gathering {
            unfit: Unfit::Refused,
            grounds: Grounds::new(places),
            places,
            things: BTreeMap::new(),
            passed: Vec::new(),
        }
    }

    /// What lies at the `chosen` of `places`; fails at the first that cannot be looked at.
    pub(super) fn of<'p>(
        places: &'a Places,
        chosen: impl IntoIterator<Item = &'p Place>,
    ) -> Result<Gathering<'a>, Fault> {
        let mut gathering = Gathering::new(places);
        chosen.into_iter().try_for_each(|place| gathering.gather(place))?;
        Ok(gathering)
    }

    /// The open folders by which it is looked at.
    pub(super) fn grounds(&mut self) -> &mut Grounds<'a> {
        &mut self.grounds
    }

    /// Notes that nothing is at `path`.
    pub(super) fn note_absent(&mut self, path: &Path) {
        self.insert(path.to_owned(), Seen::Absent);
    }

    /// What could not be stored and was passed over.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &Fault> {
        self.passed.iter()
    }

    /// All of it, in the order of its paths.
    pub(super) fn take_things(&mut self) -> BTreeMap<PathBuf, Seen> {
        std::mem::take(&mut self.things)
    }

    /// Opens the file at `path`, which has to bear `stamp`.
    pub(super) fn open(&mut self, path: &Path, stamp: &Stamp) -> Result<File, Fault> {
        open(&mut self.grounds, path, stamp)
    }

    /// The paths of what there is.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.things.iter().filter(|(_, seen)| **seen != Seen::Absent).map(|(path, _)| path.as_path())
    }

    /// The links among it.
    pub fn links(&self) -> impl Iterator<Item = (&Path, &Stamp)> {
        self.things.iter().filter_map(|(path, seen)| match seen {
            Seen::Link { stamp, .. } => Some((path.as_path(), stamp)),
            _ => None,
        })
    }

    /// The files and the folders among it, with what is known of files.
    pub fn files_and_folders(self) -> impl Iterator<Item = (PathBuf, u32, Option<Stamp>)> {
        self.things.into_iter().filter_map(|(path, seen)| match seen {
            Seen::File(stamp) => Some((path, stamp.mode & 0o777, Some(stamp))),
            Seen::Folder { mode, .. } => Some((path, mode, None)),
            _ => None,
        })
    }

    /// Removes what killed restores left beside what was seen: the bytes of outputs, or what the restore took away.
    ///
    /// Here, and not where files are staged: a hit need not list folders, which may be large.
    fn tidy(&mut self) {
        let folders: BTreeSet<PathBuf> =
            self.things.keys().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        for folder in folders {
            let Ok(Ok(folder)) = self.grounds.parent(&folder.join("_")) else { continue };
            // What cannot be listed or removed stays, and is not counted by anybody.
            for name in folder.entries().unwrap_or_default().iter().filter(|name| is_dead(name)) {
                let _ = folder.unlink(name);
            }
        }
    }

    fn gather(&mut self, place: &Place) -> Result<(), Fault> {
        match &place.extent {
            Extent::Thing | Extent::Owned => match self.grounds.stat(&place.path)? {
                None => self.insert(place.path.clone(), Seen::Absent),
                Some(stat) => self.take_thing(place, &place.path, &stat)?,
            },
            Extent::Matching(pattern) => {
                if let Some(stat) = self.grounds.stat(&pattern.literal)? {
                    self.take_thing(place, &pattern.literal, &stat)?;
                }
                self.take_matches(place, pattern)?;
            }
        }
        Ok(())
    }

    /// Takes the thing that a place names, and what is in it.
    fn take_thing(&mut self, place: &Place, path: &Path, stat: &Stat) -> Result<(), Fault> {
        let kind = Kind::of(stat);
        let is_owned = matches!(place.extent, Extent::Owned);
        if is_owned && kind != Kind::Folder {
            return Err(Fault::new(path, format!("is {}, not a folder", kind.name())));
        }
        let ground = self.grounds.of_place(place)?;
        if ground.below(path).is_none_or(walk::is_too_deep) {
            return Err(Fault::new(path, format!("is nested more than {} folders deep", walk::DEEPEST)));
        }
        let folder = self.grounds.present_parent(path)?;
        self.add(Found { path: path.to_owned(), stat: *stat, kind, folder })?;
        if kind != Kind::Folder {
            return Ok(());
        }
        if is_owned && let Some(Seen::Folder { owned, .. }) = self.things.get_mut(path) {
            *owned = true;
        }
        walk::tree(&ground, path, None, &mut |found| self.add(found))
    }

    /// Takes what matches a glob, and what is in folders that match.
    fn take_matches(&mut self, place: &Place, pattern: &Pattern) -> Result<(), Fault> {
        let ground = self.grounds.of_place(place)?;
        match ground.folder(&place.path) {
            Ok(_) => {}
            Err(why) if matches!(why.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(why) => return Err(ground.fault(&place.path, Some(&place.path), &why)),
        }
        let root = self.places.root();
        let mut folders = Vec::new();
        walk::tree(&ground, &place.path, pattern.depth, &mut |found| {
            // What lies in the root has paths of record that are relative to it.
            if found.path == root {
                return Ok(Next::Past);
            }
            let below = found.path.strip_prefix(&place.path).unwrap_or(&found.path);
            if !pattern.matches(below) {
                return Ok(Next::Into);
            }
            if found.kind == Kind::Folder {
                folders.push(found.path.clone());
            }
            self.add(found)?;
            Ok(Next::Past)
        })?;
        for folder in folders {
            walk::tree(&ground, &folder, None, &mut |found| {
                if found.path == root { Ok(Next::Past) } else { self.add(found) }
            })?;
        }
        Ok(())
    }

    fn add(&mut self, found: Found) -> Result<Next, Fault> {
        match self.take_note(found) {
            Err(fault) if self.unfit == Unfit::PassedOver => {
                self.passed.push(fault);
                Ok(Next::Past)
            }
            noted => noted,
        }
    }

    /// Notes what was found, unless it is a temporary file of fleche's; fails where that cannot be stored.
    pub(super) fn take_note(&mut self, found: Found) -> Result<Next, Fault> {
        let name = found.path.file_name().unwrap_or_default();
        if is_temporary(name) {
            return Ok(Next::Past);
        }
        let stamp = stamp::from_stat(&found.stat);
        let mode = stamp.mode & 0o777;
        let seen = match found.kind {
            Kind::Special(kind) => return Err(Fault::new(&found.path, format!("is {kind}"))),
            Kind::Link => {
                let target = found.folder.readlink(name).map_err(|why| Fault::system(&found.path, &why))?;
                if let Some(why) = self.places.link_fault(&found.path, &target) {
                    return Err(Fault::new(&found.path, why));
                }
                Seen::Link { target, stamp }
            }
            Kind::File | Kind::Folder => {
                if let Some((_, why)) = SPECIAL_BITS.iter().find(|(bit, _)| stamp.mode & bit != 0) {
                    return Err(Fault::new(&found.path, *why));
                }
                if found.kind == Kind::File { Seen::File(stamp) } else { Seen::Folder { mode, owned: false } }
            }
        };
        self.insert(found.path, seen);
        Ok(Next::Into)
    }

    /// What one `-o` names, another may name too: the first look counts.
    fn insert(&mut self, path: PathBuf, seen: Seen) {
        self.things.entry(path).or_insert(seen);
    }

    /// Copies the files to the shelf and puts everything in order.
    fn take_in(&mut self, shelf: &impl Shelf, bounds: &Bounds) -> Result<Vec<(Output, bool)>, Reason> {
        let (mut outputs, mut files, mut links, mut absent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (path, seen) in self.things.clone() {
            match seen {
                Seen::Absent => absent.push((Output { path, kind: OutputKind::Absent }, false)),
                Seen::Folder { mode, owned } => {
                    outputs.push((Output { path, kind: OutputKind::Folder { mode, owned, dated: None } }, false));
                }
                Seen::Link { target, stamp } => {
                    let is_untouched = bounds.before.has_link(&path, &stamp);
                    links.push((Output { path, kind: OutputKind::Link { target, dated: None } }, is_untouched));
                }
                Seen::File(stamp) => {
                    let content = self.take_in_file(&path, &stamp, shelf, bounds)?;
                    let (mode, modified) = (stamp.mode & 0o777, stamp.modified);
                    let is_untouched = bounds.before.has(&path, &stamp);
                    let kind = OutputKind::File { mode, content, modified, dated: false, kept: false };
                    files.push((modified, (Output { path, kind }, is_untouched)));
                }
            }
        }
        // Stable: files of one moment stay in the order of their paths.
        files.sort_by_key(|(modified, _)| *modified);
        outputs.extend(files.into_iter().map(|(_, file)| file));
        outputs.append(&mut links);
        outputs.append(&mut absent);
        Ok(outputs)
    }

    fn take_in_file(
        &mut self,
        path: &Path,
        stamp: &Stamp,
        shelf: &impl Shelf,
        bounds: &Bounds,
    ) -> Result<Content, Reason> {
        if stamp.size > bounds.most {
            return Err(Reason::TooLarge(bounds.most));
        }
        // What it holds is of every command that wrote there, and a replay would write the streams into it once more.
        if descriptor::is_behind_a_stream(stamp.device, stamp.inode) {
            return Err(Fault::new(path, BEHIND_A_STREAM).unstorable());
        }
        let file = open(&mut self.grounds, path, stamp).map_err(Fault::unstorable)?;
        if stamp.mode & 0o111 != 0 && fgetxattr_query(&file, c"security.capability").is_ok() {
            return Err(Fault::new(path, "has capabilities").unstorable());
        }
        // A server's clock may be ahead of ours.
        if stamp.changed > bounds.ended && stamp::is_local(&file) {
            return Err(Fault::new(path, CHANGED_LATE).unstorable());
        }
        if bounds.before.may_be_part_of(path, &file, stamp.size) {
            return Err(Fault::new(path, "was there before, and this run may have added to it").unstorable());
        }
        let content = shelf.ingest(&file, bounds.most)?;
        unchanged(path, &file, stamp).map_err(Fault::unstorable)?;
        Ok(content)
    }
}

/// Opens the file at `path`, which has to bear `stamp`.
fn open(grounds: &mut Grounds, path: &Path, stamp: &Stamp) -> Result<File, Fault> {
    let folder = grounds.present_parent(path)?;
    let file = folder.open_file(path.file_name().unwrap_or_default()).map_err(|why| Fault::system(path, &why))?;
    unchanged(path, &file, stamp)?;
    Ok(file)
}

fn unchanged(path: &Path, file: &File, stamp: &Stamp) -> Result<(), Fault> {
    let now = stamp::of_file(file).map_err(|why| Fault::system(path, &why))?;
    if now == *stamp { Ok(()) } else { Err(Fault::new(path, "changed while it was copied")) }
}
