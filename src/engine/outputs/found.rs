//! Finding what a watched command left: what its trace says it may have changed, held against what is there by now.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::model::{Glimpse, Output, OutputKind, Reason, Stamp, Touch, Trace};
use crate::sys::temporary::is_temporary;
use crate::sys::{attributes, identity, stamp};

use super::Shelf;
use super::before::Before;
use super::collect::{Bounds, CHANGED_LATE, Gathering, take};
use super::fault::{ATTRIBUTED, Fault, Kind, MORE_NAMES};
use super::ground::Grounds;
use super::places::Places;
use super::walk::{self, Found, Next};

/// How far behind the clock the times of new files may be, in nanoseconds: a tick of the kernel's timer.
const TICK: i64 = 10_000_000;

/// The outputs of a watched command that `ran` from then to then (nanoseconds since 1970), none of more than `most` bytes:
/// folders before what is in them, then files in the order of their modification times, then links, then what is gone.
///
/// What is there as it was before is none. What is there neither before nor after was for the command alone.
///
/// # Errors
///
/// [`Reason::WrittenOutside`] where `places` do not allow it, [`Reason::NoImage`] where something was changed or removed of
/// which nobody knows what it was, [`Reason::OutputUnstorable`], [`Reason::TooLarge`], or a reason of the shelf.
pub fn found(
    trace: &Trace,
    places: &Places,
    ran: Range<i64>,
    most: u64,
    shelf: &impl Shelf,
) -> Result<Vec<Output>, Reason> {
    // What was there before is known by the trace, and all of it is in the key.
    let bounds = Bounds { before: &Before::default(), ended: ran.end, most, inputs: 0o777 };
    let origins = Origins::of(trace, ran);
    let outputs = take(&|| survey(trace, places, &origins), shelf, &bounds)?;
    let mut outputs: Vec<Output> = outputs.into_iter().map(|(output, _)| output).collect();
    let mut grounds = Grounds::new(places);
    outputs.iter_mut().try_for_each(|output| origins.mark(output, trace, places, &mut grounds))?;
    Ok(outputs)
}

/// Looks at all that the trace says was to be changed.
fn survey<'a>(trace: &Trace, places: &'a Places, origins: &Origins) -> Result<Gathering<'a>, Reason> {
    let mut survey = Survey { trace, places, origins, gathering: Gathering::new(places), names: BTreeMap::new() };
    for (path, touch) in changed(trace) {
        if path.file_name().is_some_and(is_temporary) {
            continue;
        }
        match places.of_record(path) {
            Some(record) => survey.look(path, &record, touch)?,
            None if is_as_before(path, &touch.before) => {}
            None => return Err(Reason::WrittenOutside(path.to_owned())),
        }
    }
    survey.check_names().map_err(Fault::unstorable)?;
    Ok(survey.gathering)
}

fn changed(trace: &Trace) -> impl Iterator<Item = (&Path, &Touch)> {
    let is_changed = |touch: &&Touch| touch.made.changed || touch.made.moved_here;
    trace.touched.iter().map(|(path, touch)| (path.as_path(), touch)).filter(move |(_, touch)| is_changed(touch))
}

/// Whether a path outside the places is as it was. What is in a folder has paths of its own.
fn is_as_before(path: &Path, before: &Glimpse) -> bool {
    match (before, stamp::of_link(path)) {
        (Glimpse::Nothing, Err(why)) => {
            matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
        (Glimpse::Denied, Err(_)) => true,
        (Glimpse::Something { stamp, .. }, Ok(now)) if Kind::of_mode(stamp.mode) == Kind::Folder => {
            is_same_thing(stamp, &now) && stamp.mode == now.mode
        }
        (Glimpse::Something { stamp, .. }, Ok(now)) => *stamp == now,
        _ => false,
    }
}

fn is_same_thing(one: &Stamp, other: &Stamp) -> bool {
    (one.device, one.inode) == (other.device, other.inode)
}

/// What happened at a path.
enum Deed {
    Nothing,
    Made,
    Removed,
}

/// What is there by now.
struct Survey<'t, 'a> {
    trace: &'t Trace,
    places: &'a Places,
    origins: &'t Origins,
    gathering: Gathering<'a>,
    names: BTreeMap<(u64, u64), Names>,
}

/// The names of a file that has several.
struct Names {
    /// One of them.
    path: PathBuf,
    /// How many there are.
    all: usize,
    /// How many of them are outputs.
    found: usize,
}

impl Survey<'_, '_> {
    /// Looks at `path`, which has this path of `record`.
    fn look(&mut self, path: &Path, record: &Path, touch: &Touch) -> Result<(), Reason> {
        let stat = match (present(self.gathering.grounds(), record), &touch.before) {
            (Err(_), Glimpse::Denied) => return Ok(()),
            (stat, _) => stat.map_err(Fault::unstorable)?,
        };
        match deed(path, record, touch, stat.as_ref(), self.origins)? {
            Deed::Nothing => {}
            Deed::Removed => self.gathering.note_absent(record),
            Deed::Made => {
                if let Some(stat) = stat {
                    let found = Found::at(record, stat, self.gathering.grounds());
                    found.and_then(|found| self.note(found)).map_err(Fault::unstorable)?;
                }
            }
        }
        let is_folder = stat.is_some_and(|stat| Kind::of(&stat) == Kind::Folder);
        if touch.made.moved_here && is_folder { self.walk(record).map_err(Fault::unstorable) } else { Ok(()) }
    }

    /// Notes what is in a folder that was moved here. What was also touched under its name here is looked at by that.
    fn walk(&mut self, top: &Path) -> Result<(), Fault> {
        let ground = self.gathering.grounds().of(top)?;
        walk::tree(&ground, top, None, &mut |found| {
            let touch = self.trace.touched.get(&self.places.real_path(&found.path));
            let is_looked_at = touch.is_some_and(|touch| touch.made.changed || touch.made.moved_here);
            if is_looked_at { Ok(Next::Into) } else { self.note(found) }
        })
    }

    fn note(&mut self, found: Found) -> Result<Next, Fault> {
        let (path, stat, kind) = (found.path.clone(), found.stat, found.kind);
        if walk::is_too_deep(&path) {
            return Err(Fault::new(&path, format!("is nested more than {} folders deep", walk::DEEPEST)));
        }
        // Not the group: whose a new file is, folders and mounts have their own rules for.
        if stat.st_uid != identity::effective_user() {
            return Err(Fault::new(&path, "belongs to somebody else"));
        }
        let next = self.gathering.take_note(found)?;
        if kind != Kind::Folder && stat.st_nlink > 1 {
            let names = Names { path, all: usize::try_from(stat.st_nlink).unwrap_or(usize::MAX), found: 0 };
            self.names.entry((stat.st_dev, stat.st_ino)).or_insert(names).found += 1;
        }
        Ok(next)
    }

    /// Refuses a file that has names of which the run did not make all: a replay makes another file under each name.
    fn check_names(&self) -> Result<(), Fault> {
        match self.names.values().find(|names| names.found < names.all) {
            Some(names) => Err(Fault::new(&names.path, MORE_NAMES)),
            None => Ok(()),
        }
    }
}

/// What is at `path` of record by now: nothing where a folder on the way has become a link, by which it is another path.
fn present(grounds: &mut Grounds, path: &Path) -> Result<Option<Stat>, Fault> {
    match grounds.parent(path)? {
        Err(why) if Errno::from_io_error(&why) == Some(Errno::LOOP) => Ok(None),
        _ => grounds.stat(path),
    }
}

/// What happened at `path`, where `stat` tells of what is there by now.
fn deed(path: &Path, record: &Path, touch: &Touch, stat: Option<&Stat>, origins: &Origins) -> Result<Deed, Reason> {
    let unstorable = |why: String| Err(Fault::new(record, why).unstorable());
    let (before, user, group) = match (&touch.before, stat) {
        (Glimpse::Nothing, None) => return Ok(Deed::Nothing),
        (Glimpse::Nothing, Some(_)) => return Ok(Deed::Made),
        (Glimpse::Denied, _) => return unstorable("could not be looked at before the run".to_owned()),
        (Glimpse::Something { stamp, user, group, .. }, _) => (stamp, *user, *group),
    };
    let was = Kind::of_mode(before.mode);
    // What it was is what a replay must find there, and only where it was read the key tells that.
    let is_unread = was == Kind::File && touch.image.is_none();
    let Some(stat) = stat else {
        return match was {
            Kind::Special(name) => unstorable(format!("was {name} and is gone")),
            _ if is_unread => Err(Reason::NoImage(path.to_owned())),
            _ => Ok(Deed::Removed),
        };
    };
    let (now, is) = (stamp::from_stat(stat), Kind::of(stat));
    let is_same = is_same_thing(before, &now);
    if is_same && (user, group) != (stat.st_uid, stat.st_gid) {
        return unstorable("was given to another user or group".to_owned());
    }
    match (was, is) {
        // What is made in a folder changes its time by itself, here and in a replay.
        (Kind::Folder, Kind::Folder) if is_same && before.mode == now.mode => {
            // One that was removed and made anew may have got the inode of the former.
            let is_timed = touch.made.renewed || touch.made.dated;
            let is_renewed = is_timed && !touch.made.own && before.modified != now.modified;
            match is_renewed {
                _ if origins.are_given(touch, &now) => Ok(Deed::Made),
                true => unstorable("was given another time".to_owned()),
                false => Ok(Deed::Nothing),
            }
        }
        (Kind::Folder, Kind::Folder) => Ok(Deed::Made),
        (Kind::Folder, _) | (_, Kind::Folder) => unstorable(format!("was {} and is {} now", was.name(), is.name())),
        _ if *before == now => Ok(Deed::Nothing),
        // It may have been given the time of its run, at which no replay is. One that was removed and made anew is as good
        // as another, whose inode it may have got.
        (Kind::Link, Kind::Link) if is_same && !touch.made.own && !origins.are_given(touch, &now) => {
            unstorable("was given another time".to_owned())
        }
        // A file may take its place whatever it was: the replay of that removes nothing but a file.
        _ if is_unread && !(touch.made.own && is == Kind::File) => Err(Reason::NoImage(path.to_owned())),
        _ => Ok(Deed::Made),
    }
}

/// Where outputs may have their times from.
struct Origins {
    /// What was there before at the paths that the run changed: files that it moved keep their times.
    moved: BTreeSet<(u64, u64, i64)>,
    /// The moments at which the run may have made files itself.
    ran: Range<i64>,
}

impl Origins {
    fn of(trace: &Trace, ran: Range<i64>) -> Origins {
        let stamps = changed(trace).filter_map(|(_, touch)| match &touch.before {
            Glimpse::Something { stamp, .. } => Some((stamp.device, stamp.inode, stamp.modified)),
            _ => None,
        });
        Origins { moved: stamps.collect(), ran: ran.start.saturating_sub(TICK)..ran.end }
    }

    /// Whether the times of what was touched are such as a call gave it. What was changed afterwards has others by now.
    fn are_given(&self, touch: &Touch, now: &Stamp) -> bool {
        touch.made.dated && !self.ran.contains(&now.modified)
    }

    /// Notes how a file came by its time and its mode, and other things by their times.
    fn mark(&self, output: &mut Output, trace: &Trace, places: &Places, grounds: &mut Grounds) -> Result<(), Reason> {
        if output.kind == OutputKind::Absent {
            return Ok(());
        }
        let stat = present(grounds, &output.path).map_err(Fault::unstorable)?;
        let late = || Fault::new(&output.path, CHANGED_LATE).unstorable();
        let now = stamp::from_stat(stat.as_ref().ok_or_else(late)?);
        let touch = trace.touched.get(&places.real_path(&output.path));
        let is_moved = self.moved.contains(&(now.device, now.inode, now.modified)) && !self.ran.contains(&now.modified);
        let is_dated = is_moved || touch.is_some_and(|touch| self.are_given(touch, &now));
        let (dated, kept) = match &mut output.kind {
            OutputKind::Absent => return Ok(()),
            OutputKind::Folder { dated, .. } | OutputKind::Link { dated, .. } => {
                *dated = is_dated.then_some(now.modified);
                return Ok(());
            }
            OutputKind::File { dated, kept, .. } => (dated, kept),
        };
        *dated = is_dated;
        *kept = touch.is_some_and(|touch| match &touch.before {
            Glimpse::Something { stamp, .. } => is_same_thing(stamp, &now),
            _ => false,
        });
        if *kept && attributes::digest(&places.real_path(&output.path)).is_some() {
            return Err(Fault::new(&output.path, ATTRIBUTED).unstorable());
        }
        Ok(())
    }
}
