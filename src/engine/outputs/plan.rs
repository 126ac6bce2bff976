//! The plan of a restore: a record that was checked, held against what is there now.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use crate::model::{Content, Output, OutputKind, Stamp};
use crate::sys::{attributes, descriptor, hash, stamp};

use super::fault::{ATTRIBUTED, BEHIND_A_STREAM, Fault, Kind, MORE_NAMES};
use super::ground::Grounds;
use super::places::Places;
use super::sweep::{Sweep, digest_of, is_of_former};
use super::verified::{self, Verified};
use super::walk::{self, Found};
use super::{Known, Mtime};

/// What is wrong with a mode that is not the recorded one.
const OTHER_MODE: &str = "has another mode than the recorded run left it with";

/// What a plan goes by.
pub struct Rules<'a, 'k> {
    /// Where outputs may be, and whether the command is watched.
    pub places: &'a Places,
    /// Which times restored files get.
    pub policy: Mtime,
    /// What former calls made, by which the files of a command that is not watched are told from the user's.
    pub former: &'a Known<'k>,
    /// What the key says of what was there before a watched command.
    pub verified: Verified<'a>,
}

/// What has to be done, in order.
pub struct Plan<'a> {
    /// Folders to be made, above before below, and their permission bits.
    pub created: Vec<(&'a Path, u32)>,
    /// Folders whose mode has to be set: the mode that they have and the one that they get, below before above.
    pub modes: Vec<(&'a Path, u32, u32)>,
    /// Folders that get a modification time, in nanoseconds since 1970, when all is where it belongs.
    pub dated: Vec<(&'a Path, i64)>,
    /// In the order of their recorded modification times.
    pub files: Vec<FilePlan<'a>>,
    /// Links to be made.
    pub links: Vec<LinkPlan<'a>>,
    /// Files and links of former calls to be taken away.
    pub removals: BTreeMap<PathBuf, Stamp>,
    /// Folders of former calls to be removed if they are empty by then.
    pub emptied: BTreeSet<PathBuf>,
    /// Folders that have to be empty by then, and are removed.
    pub removed: BTreeSet<PathBuf>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A file to be written.
pub struct FilePlan<'a> {
    /// The path of record.
    pub path: &'a Path,
    /// Its permission bits.
    pub mode: u32,
    /// Its recorded modification time, in nanoseconds since 1970.
    pub modified: i64,
    /// Whether it gets that time in any case.
    pub is_dated: bool,
    /// Its bytes.
    pub content: &'a Content,
    /// What is to be replaced.
    pub present: Option<Stamp>,
    /// The user and the group that what is to be replaced belongs to.
    pub owner: Option<(u32, u32)>,
    /// Whether what is to be replaced was read, and has to be the same still.
    pub is_checked: bool,
    /// Whether all but its time is as it should be.
    pub is_in_place: bool,
}

/// A link to be made.
pub struct LinkPlan<'a> {
    /// The path of record.
    pub path: &'a Path,
    /// Its text.
    pub target: &'a [u8],
    /// The modification time that it gets in any case, in nanoseconds since 1970.
    pub dated: Option<i64>,
    /// What is to be replaced.
    pub present: Option<Stamp>,
}

impl<'a> Plan<'a> {
    /// Checks `outputs` by their text alone, then looks at what is there. Changes nothing.
    pub fn of(rules: &Rules, outputs: &'a [Output], grounds: &mut Grounds) -> Result<Plan<'a>, Fault> {
        for output in outputs {
            check(rules.places, output)?;
        }
        check_together(outputs)?;
        let mut plan = Plan {
            created: Vec::new(),
            modes: Vec::new(),
            dated: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
            removals: BTreeMap::new(),
            emptied: BTreeSet::new(),
            removed: BTreeSet::new(),
            warnings: Vec::new(),
        };
        for output in outputs {
            plan.add(rules, output, grounds)?;
        }
        if rules.places.are_watched() {
            verified::check_folders(outputs, grounds)?;
            let sweep = rules.verified.sweep(outputs, grounds)?;
            (plan.removals, plan.removed) = (sweep.removals, sweep.emptied);
        } else {
            plan.sweep(outputs, rules.former, grounds)?;
        }
        for (path, present) in &plan.removals {
            may_go(path, present)?;
        }
        plan.created.sort_unstable();
        plan.modes.sort_unstable_by(|a, b| b.0.cmp(a.0));
        plan.files.sort_by_key(|file| file.modified);
        Ok(plan)
    }

    /// Whether renaming one file is all that there is to do after staging.
    pub fn is_one_file(&self) -> bool {
        self.files.len() == 1
            && !self.files[0].is_checked
            && !self.files[0].is_in_place
            && self.links.is_empty()
            && self.removals.is_empty()
            && self.modes.is_empty()
            && self.dated.is_empty()
            && self.emptied.is_empty()
            && self.removed.is_empty()
    }

    fn add(&mut self, rules: &Rules, output: &'a Output, grounds: &mut Grounds) -> Result<(), Fault> {
        let path = output.path.as_path();
        let wanted = match &output.kind {
            OutputKind::Absent => return Ok(()),
            OutputKind::File { .. } => Kind::File,
            OutputKind::Folder { .. } => Kind::Folder,
            OutputKind::Link { .. } => Kind::Link,
        };
        let stat = grounds.stat(path)?;
        if let Some(stat) = &stat {
            rules.may_be(path, wanted, stat, grounds)?;
        }
        let present = stat.as_ref().map(stamp::from_stat);
        if let Some(present) = &present {
            may_go(path, present)?;
        }
        match &output.kind {
            OutputKind::Absent => {}
            OutputKind::Folder { mode, dated, .. } => {
                match present {
                    None => {
                        self.created.push((path, *mode));
                        self.modes.push((path, 0o700, *mode));
                    }
                    Some(present) if present.mode & 0o777 != *mode => {
                        rules.may_set_mode(path, stat.as_ref(), grounds)?;
                        let kept = present.mode & 0o7000;
                        self.modes.push((path, present.mode & 0o7777, kept | mode));
                    }
                    Some(_) => {}
                }
                self.dated.extend(dated.map(|time| (path, time)));
            }
            OutputKind::Link { target, dated } => {
                let is_timely = |present: &Stamp| dated.is_none_or(|time| present.modified == time);
                if !(present.as_ref().is_some_and(is_timely) && is_link(path, target, grounds)?) {
                    if let Some(stat) = &stat {
                        may_be_cut_off(path, stat)?;
                    }
                    if let Some(stat) = stat.as_ref().filter(|stat| Kind::of(stat) == Kind::Link) {
                        rules.may_replace(output, stat, grounds)?;
                    }
                    self.links.push(LinkPlan { path, target, dated: *dated, present });
                }
            }
            OutputKind::File { mode, content, modified, dated, kept } => {
                let is_timely = match rules.policy {
                    Mtime::Now | Mtime::Keep if !dated => rules.policy == Mtime::Keep,
                    _ => present.is_some_and(|present| present.modified == *modified),
                };
                let is_in_place = match &stat {
                    Some(stat) if is_alike(stat, *mode, content) => {
                        // Who wants right files untouched does not mind whose they are.
                        let is_untouched = rules.policy == Mtime::Keep && is_timely;
                        (is_untouched || rules.is_as_new(path, stat, grounds)?) && has_content(path, content, grounds)?
                    }
                    _ => false,
                };
                if !(is_in_place && is_timely) {
                    if let Some(stat) = stat.as_ref().filter(|_| !is_in_place) {
                        may_be_cut_off(path, stat)?;
                        rules.may_have_mode(path, *mode, stat, grounds)?;
                        if *kept && attributes::digest(&rules.places.real_path(path)).is_some() {
                            return Err(Fault::new(path, ATTRIBUTED));
                        }
                        rules.may_replace(output, stat, grounds)?;
                    } else if stat.is_none() && *kept && rules.places.are_watched() {
                        return Err(Fault::new(
                            path,
                            "is gone, and without it the command may make it with another mode",
                        ));
                    }
                    let is_named = rules.places.name_literally(path);
                    let is_checked = rules.places.are_watched() || stat.is_some() && !is_named;
                    let owner = stat.map(|stat| (stat.st_uid, stat.st_gid));
                    self.files.push(FilePlan {
                        path,
                        mode: *mode,
                        modified: *modified,
                        is_dated: *dated,
                        content,
                        present,
                        owner,
                        is_checked,
                        is_in_place,
                    });
                }
            }
        }
        Ok(())
    }

    /// Finds what former calls left where the record says that nothing is.
    fn sweep(&mut self, outputs: &[Output], former: &Known, grounds: &mut Grounds) -> Result<(), Fault> {
        let is_owned = |output: &&Output| matches!(output.kind, OutputKind::Folder { owned: true, .. });
        let mut sweep = Sweep::default();
        let mut recorded = BTreeSet::new();
        if outputs.iter().any(|output| is_owned(&output)) {
            recorded.extend(outputs.iter().map(|output| output.path.as_path()));
        }
        for output in outputs.iter().filter(is_owned) {
            // A folder within another that is swept is swept with it.
            let is_within = |other: &Output| other.path != output.path && output.path.starts_with(&other.path);
            if grounds.stat(&output.path)?.is_some() && !outputs.iter().filter(is_owned).any(is_within) {
                sweep.folder(grounds, &output.path, &recorded, former)?;
            }
        }
        for output in outputs.iter().filter(|output| output.kind == OutputKind::Absent) {
            sweep.absent(grounds, &output.path, former)?;
        }
        self.removals = sweep.removals;
        self.emptied = sweep.emptied;
        self.warnings = sweep.warnings;
        Ok(())
    }
}

/// Refuses what no honest record says, and what the present command line does not allow.
fn check(places: &Places, output: &Output) -> Result<(), Fault> {
    let path = output.path.as_path();
    let bytes = path.as_os_str().as_bytes();
    let names = bytes.strip_prefix(b"/").unwrap_or(bytes);
    let is_name = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
    if !names.split(|&byte| byte == b'/').all(is_name) {
        return Err(Fault::new(path, "is not a path of plain names"));
    }
    let below = if path.is_absolute() {
        let holder = places.holder_of(path).filter(|_| !path.starts_with(places.root()));
        let holder = holder.ok_or_else(|| Fault::new(path, "lies outside the project, and no `-o` names it"))?;
        path.strip_prefix(&holder).map(Path::to_owned).unwrap_or_default()
    } else {
        path.to_owned()
    };
    if walk::is_too_deep(&below) {
        return Err(Fault::new(path, format!("is nested more than {} folders deep", walk::DEEPEST)));
    }
    if !places.hold(path) {
        return Err(Fault::new(path, "was recorded, but no `-o` names it"));
    }
    match &output.kind {
        OutputKind::File { mode, .. } | OutputKind::Folder { mode, .. } if *mode > 0o777 => {
            Err(Fault::new(path, "has more than permission bits"))
        }
        OutputKind::Link { target, .. } => match places.link_fault(path, target) {
            Some(why) => Err(Fault::new(path, why)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Refuses a record in which a path stands twice, or lies below something that is no folder.
fn check_together(outputs: &[Output]) -> Result<(), Fault> {
    if outputs.len() < 2 {
        return Ok(());
    }
    let mut kinds = BTreeMap::new();
    for output in outputs {
        if kinds.insert(output.path.as_path(), &output.kind).is_some() {
            return Err(Fault::new(&output.path, "is recorded twice"));
        }
    }
    for output in outputs {
        for above in output.path.ancestors().skip(1) {
            let is_possible = match kinds.get(above) {
                None | Some(OutputKind::Folder { .. }) => true,
                Some(OutputKind::Absent) => output.kind == OutputKind::Absent,
                Some(_) => false,
            };
            if !is_possible {
                return Err(Fault::new(&output.path, "is recorded below something that is no folder"));
            }
        }
    }
    Ok(())
}

impl Rules<'_, '_> {
    /// Whether nothing but its bytes and its time could tell the file at `path` from a new one.
    fn is_as_new(&self, path: &Path, stat: &Stat, grounds: &mut Grounds) -> Result<bool, Fault> {
        Ok(stat.st_nlink == 1
            && grounds.present_parent(path)?.gives_to(stat).map_err(|why| Fault::system(path, &why))?
            && attributes::digest(&self.places.real_path(path)).is_none())
    }

    /// Whether a command that makes a `wanted` may find `stat` at `path`: the same kind, or for a link the file that it
    /// once made itself. How the command would treat anything else is not known, unless the key tells of it: then the
    /// recorded run found just that.
    fn may_be(&self, path: &Path, wanted: Kind, stat: &Stat, grounds: &mut Grounds) -> Result<(), Fault> {
        let kind = Kind::of(stat);
        if kind == wanted {
            return Ok(());
        }
        let is_known = match (kind, wanted) {
            (Kind::File, Kind::Link) | (Kind::Link, Kind::File) if self.places.are_watched() => {
                self.verified.tells_of(path, stat, grounds)?
            }
            // Not a file for a link: a program that opens a link writes to where it leads.
            (_, Kind::Link) => is_of_former(&Found::at(path, *stat, grounds)?, self.former)?,
            _ => false,
        };
        if is_known {
            return Ok(());
        }
        Err(Fault::new(path, format!("is {}, but {} was recorded", kind.name(), wanted.name())))
    }

    /// Whether the file or link at the place of `output` may be replaced: where no place names it itself, only what
    /// this command once made. A folder or glob covers what the user never thought of, and only the command knows
    /// what it would do to that; a name given for it says that it is the command's. What a watched command found there
    /// is in its key, if it mattered.
    fn may_replace(&self, output: &Output, stat: &Stat, grounds: &mut Grounds) -> Result<(), Fault> {
        let path = output.path.as_path();
        if self.places.are_watched() || self.places.name_literally(path) {
            return Ok(());
        }
        let found = Found::at(path, *stat, grounds)?;
        let is_made = match &output.kind {
            OutputKind::File { content, .. } => {
                let digest = digest_of(&found)?;
                digest == content.digest || self.former.made_file(path, &digest)
            }
            _ => is_of_former(&found, self.former)?,
        };
        if is_made { Ok(()) } else { Err(Fault::new(path, "is there, and no recorded run made it")) }
    }

    /// Whether a file that gets `mode` may take the place of the file with the mode of `stat`: only if that is the same,
    /// or the one that the key tells of.
    ///
    /// A program that writes into the file keeps another one, one that makes a new file does not; which of them this
    /// command is, is not known, and a replay that undid a `chmod 600` would tell secrets. Rejected: to allow a mode that
    /// a former call left there, which may itself have found and kept it.
    fn may_have_mode(&self, path: &Path, mode: u32, stat: &Stat, grounds: &mut Grounds) -> Result<(), Fault> {
        let is_right = stat.st_mode & 0o7777 == mode
            || self.places.are_watched() && self.verified.tells_of(path, stat, grounds)?;
        if is_right { Ok(()) } else { Err(Fault::new(path, OTHER_MODE)) }
    }

    /// Whether the folder at `path` may get another mode than that of `stat`: one that a former call gave it, or that the
    /// key tells of.
    fn may_set_mode(&self, path: &Path, stat: Option<&Stat>, grounds: &mut Grounds) -> Result<(), Fault> {
        let Some(stat) = stat else { return Ok(()) };
        let is_known = match self.places.are_watched() {
            true => self.verified.tells_of(path, stat, grounds)?,
            false => self.former.gave_folder(path, stat.st_mode & 0o777) == Some(true),
        };
        if is_known { Ok(()) } else { Err(Fault::new(path, OTHER_MODE)) }
    }
}

/// Whether what is `present` may be replaced, removed or believed to be right: not if the streams are about to be
/// written into it, which then would go nowhere, or behind what the command does not leave there.
fn may_go(path: &Path, present: &Stamp) -> Result<(), Fault> {
    if descriptor::is_behind_a_stream(present.device, present.inode) {
        Err(Fault::new(path, BEHIND_A_STREAM))
    } else {
        Ok(())
    }
}

/// Whether it is a file of this mode that may have this content.
fn is_alike(stat: &Stat, mode: u32, content: &Content) -> bool {
    Kind::of(stat) == Kind::File && stat.st_mode & 0o7777 == mode && u64::try_from(stat.st_size) == Ok(content.length)
}

/// Whether a new file or link may take the place of this one: not if it has another name as well.
///
/// A program that writes into the file shows what it writes under all of its names, one that makes a new file leaves
/// the others what they were; which of them this command is, is not known.
fn may_be_cut_off(path: &Path, stat: &Stat) -> Result<(), Fault> {
    let has_more_names = Kind::of(stat) != Kind::Folder && stat.st_nlink > 1;
    if has_more_names { Err(Fault::new(path, MORE_NAMES)) } else { Ok(()) }
}

fn is_link(path: &Path, target: &[u8], grounds: &mut Grounds) -> Result<bool, Fault> {
    let folder = grounds.present_parent(path)?;
    Ok(folder.readlink(path.file_name().unwrap_or_default()).is_ok_and(|text| text == target))
}

fn has_content(path: &Path, content: &Content, grounds: &mut Grounds) -> Result<bool, Fault> {
    let folder = grounds.present_parent(path)?;
    let file = folder.open_file(path.file_name().unwrap_or_default());
    let found = file.and_then(|file| hash::whole(file, content.length, &mut Vec::new()));
    Ok(found.is_ok_and(|(digest, _)| digest == content.digest))
}
