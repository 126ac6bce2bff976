//! What counts of each path that a watched command touched: which facets, and from where.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::model::{Digest, Facet, Glimpse, Listing, Reason, Stamp, State, Touch, Trace};
use crate::sys::identity;

use super::facets::{self, Told};
use super::place::recorded;
use super::traced::Ended;

/// A path that was touched, with what is there after the run.
pub struct Looked<'a> {
    /// Where.
    pub path: &'a Path,
    /// What was seen and done.
    pub touch: &'a Touch,
    /// What is there now.
    pub after: Glimpse,
}

impl Looked<'_> {
    fn is_same(&self) -> bool {
        is_same(&self.touch.before, &self.after)
    }

    /// Whether the command was to change it.
    fn is_changed(&self) -> bool {
        self.touch.made.changed || self.touch.made.own
    }

    fn kind(&self) -> Option<FileType> {
        kind(&self.touch.before)
    }
}

fn kind(glimpse: &Glimpse) -> Option<FileType> {
    match glimpse {
        Glimpse::Something { stamp, .. } => Some(facets::kind(stamp)),
        Glimpse::Nothing | Glimpse::Denied => None,
    }
}

/// The stamp of what was glanced at.
pub fn stamp(glimpse: &Glimpse) -> Option<&Stamp> {
    match glimpse {
        Glimpse::Something { stamp, .. } => Some(stamp),
        Glimpse::Nothing | Glimpse::Denied => None,
    }
}

/// Whether two looks at a path show the same. What is done in a folder changes its times, and what is written to a FIFO
/// changes those.
fn is_same(before: &Glimpse, after: &Glimpse) -> bool {
    let (Glimpse::Something { stamp: one, .. }, Glimpse::Something { stamp: other, .. }) = (before, after) else {
        return before == after;
    };
    match facets::kind(one) {
        FileType::RegularFile | FileType::Symlink => one == other,
        _ => (one.device, one.inode, one.mode) == (other.device, other.inode, other.mode),
    }
}

/// Where the command changed something.
struct Changes<'a> {
    /// The names that it was to change, by their folders.
    names: HashMap<&'a Path, HashSet<&'a OsStr>>,
    /// What is not, or not only, what it was: what is below may have moved with it.
    moved: HashSet<&'a Path>,
    /// Files that have further names, by device and inode, with the one under which they were to be changed.
    shared: HashMap<(u64, u64), &'a Path>,
}

impl<'a> Changes<'a> {
    fn of(looked: &[Looked<'a>]) -> Changes<'a> {
        let mut changes = Changes { names: HashMap::new(), moved: HashSet::new(), shared: HashMap::new() };
        for one in looked.iter().filter(|one| one.is_changed()) {
            if let (Some(folder), Some(name)) = (one.path.parent(), one.path.file_name()) {
                changes.names.entry(folder).or_default().insert(name);
            }
            if one.touch.made.moved_here || !one.is_same() {
                changes.moved.insert(one.path);
            }
            if let Glimpse::Something { stamp, links: 2.., .. } = &one.touch.before
                && facets::kind(stamp) == FileType::RegularFile
            {
                changes.shared.insert((stamp.device, stamp.inode), one.path);
            }
        }
        changes
    }

    fn has_moved(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|folder| self.moved.contains(folder))
    }

    /// Whether it is a file that was to be changed under another name, perhaps before it was first looked at under this.
    fn is_changed_elsewhere(&self, one: &Looked) -> bool {
        let changed = stamp(&one.touch.before).and_then(|stamp| self.shared.get(&(stamp.device, stamp.inode)));
        changed.is_some_and(|path| *path != one.path)
    }

    fn is_changed(&self, folder: &Path, name: &OsStr) -> bool {
        self.names.get(folder).is_some_and(|names| names.contains(name))
    }
}

/// A facet of a path as it was before the run.
pub struct View<'a> {
    /// Where.
    pub path: &'a Path,
    /// As a key has it.
    pub recorded: PathBuf,
    /// What of it.
    pub facet: Facet,
    /// What was there.
    pub before: &'a Glimpse,
    /// Where the state is from.
    pub source: Source,
}

/// Where the state of a facet is from.
pub enum Source {
    /// The look before.
    Glimpse,
    /// The digest of what a file held before it was changed.
    Image(Digest),
    /// The file as it is, since it was not changed; it must have this digest, if one was taken.
    File(Option<Digest>),
    /// The digest of the names that were in a folder.
    Names(Digest),
    /// What it is.
    State(State),
}

/// A run that is looked back at.
pub struct Analysis<'a> {
    ended: &'a Ended<'a>,
    changes: Changes<'a>,
    trace: &'a Trace,
}

impl<'a> Analysis<'a> {
    /// Of all that was `looked` at after the run.
    pub fn new(trace: &'a Trace, ended: &'a Ended<'a>, looked: &[Looked<'a>]) -> Analysis<'a> {
        Analysis { ended, changes: Changes::of(looked), trace }
    }

    /// Appends what counts of a path.
    ///
    /// # Errors
    ///
    /// That somebody else changed it, or the command before its bytes were kept.
    pub fn views(&self, one: &Looked<'a>, views: &mut Vec<View<'a>>) -> Result<(), Reason> {
        let (touch, is_same) = (one.touch, one.is_same());
        let changed = |path: &Path| Reason::InputChanged(recorded(path, self.ended.root));
        let is_foreign = !is_same && !one.is_changed() && !self.changes.has_moved(one.path);
        if is_foreign || self.changes.is_changed_elsewhere(one) {
            let counts = is_looked_at(touch) || one.is_changed();
            return if counts { Err(changed(one.path)) } else { Ok(()) };
        }
        if let Some(path) = self.taken_for_own(one) {
            return Err(changed(path));
        }
        let facets = if is_same { self.kept(one) } else { self.changed(one) };
        let names = self.names(one)?;
        for facet in facets {
            let source = match facets::told(&touch.before, &facet) {
                Told::File(_) => self.source(one, is_same)?,
                Told::State(_) | Told::Folder | Told::More => Source::Glimpse,
            };
            views.push(self.view(one, facet, source));
        }
        if let Some((without, digest)) = names {
            views.push(self.view(one, Facet::Listing { without }, Source::Names(digest)));
        }
        if touch.seen.attributes && one.kind().is_some() {
            views.push(self.view(one, Facet::Attributes, Source::State(State::Told(touch.attributes))));
        }
        if touch.seen.machine && one.kind().is_some() {
            let told = facets::asked(one.path, &Facet::Machine);
            views.push(self.view(one, Facet::Machine, Source::State(told)));
        }
        Ok(())
    }

    /// Something that was taken for the command's own and cannot be: it is there and nobody made it, or it is in a folder that
    /// could not be removed. What the command saw of it is not known.
    fn taken_for_own<'p>(&'p self, one: &Looked<'p>) -> Option<&'p Path> {
        let made = one.touch.made;
        let is_unmade = made.own && !made.changed && one.touch.before == Glimpse::Nothing;
        if is_unmade && one.after != Glimpse::Nothing {
            let has_come = |folder: &Path| self.trace.touched.get(folder).is_some_and(|touch| touch.made.moved_here);
            return (!one.path.ancestors().skip(1).any(has_come)).then_some(one.path);
        }
        // What made it anew has found nothing there: then it was removed.
        let is_kept = one.kind() == Some(FileType::Directory) && one.is_same() && made.own && !made.exclusive;
        let is_in_doubt = |touch: &Touch| touch.made.own && touch.before == Glimpse::Nothing;
        let mut below = is_kept.then(|| self.below(one.path)).into_iter().flatten();
        below.find(|(_, touch)| is_in_doubt(touch)).map(|(path, _)| path.as_path())
    }

    /// What was touched below a folder.
    fn below<'p>(&'p self, folder: &'p Path) -> impl Iterator<Item = (&'p PathBuf, &'p Touch)> {
        let all = self.trace.touched.range(folder.to_owned()..).skip(1);
        all.take_while(move |(path, _)| path.starts_with(folder))
    }

    fn view(&self, one: &Looked<'a>, facet: Facet, source: Source) -> View<'a> {
        View { path: one.path, recorded: recorded(one.path, self.ended.root), facet, before: &one.touch.before, source }
    }

    /// Where the bytes of a file are from.
    fn source(&self, one: &Looked, is_same: bool) -> Result<Source, Reason> {
        let image = one.touch.image;
        let missing = || Reason::NoImage(recorded(one.path, self.ended.root));
        if !is_same || one.is_changed() && image.is_some() {
            return image.map(Source::Image).ok_or_else(missing);
        }
        // Emptied and written anew within one tick of the clock, it would bear the same stamp.
        let is_young = || stamp(&one.touch.before).is_some_and(|stamp| facets::is_young(stamp, self.ended.started));
        if one.is_changed() && is_young() {
            return Err(missing());
        }
        Ok(Source::File(image))
    }

    /// What counts of a path at which the same is as before, whatever was tried.
    fn kept(&self, one: &Looked) -> Vec<Facet> {
        let touch = one.touch;
        if touch.before == Glimpse::Nothing && touch.made.own {
            // Had anything been there, it would be gone now, or have been written into.
            return if self.is_temporary(one) { Vec::new() } else { vec![natural(touch)] };
        }
        match one.kind() {
            // The call failed, or it made no difference: either can depend on what is there.
            Some(FileType::RegularFile) if one.is_changed() => bytes_and(touch),
            Some(FileType::Symlink) if one.is_changed() => link_and(touch),
            Some(FileType::Directory) if one.is_changed() => self.folder_and(one),
            _ if one.is_changed() => vec![Facet::Kind],
            Some(FileType::Directory) if touch.seen.metadata && self.is_folder_dated(one) => vec![Facet::Metadata],
            _ => looked_at(touch),
        }
    }

    /// Whether the times of a folder count: nothing was made in it. Shells look where they are as they begin, and mean nothing
    /// by it.
    fn is_folder_dated(&self, one: &Looked) -> bool {
        let time = |glimpse| stamp(glimpse).map(|stamp| stamp.modified);
        // Where they differ all the same, something came or went that is not watched, or else its names tell.
        (one.touch.listing.is_some() || one.path != self.ended.cwd)
            && !self.changes.names.contains_key(one.path)
            && time(&one.touch.before) == time(&one.after)
    }

    /// What counts of a path at which something else is after the run, by the command's doing.
    fn changed(&self, one: &Looked) -> Vec<Facet> {
        let (touch, is_gone) = (one.touch, one.after == Glimpse::Nothing);
        if !one.is_changed() {
            // It moved with the folder that it is in.
            return looked_at(touch);
        }
        match one.kind() {
            // Only for a file that it leaves does it make no difference what it wrote over, and a replay sees to it that this
            // was a file.
            None if is_left_over_anything(one) => Vec::new(),
            None => vec![natural(touch)],
            Some(FileType::RegularFile) if touch.made.own && kind(&one.after) == Some(FileType::RegularFile) => {
                replaced(one)
            }
            Some(FileType::RegularFile) => bytes_and(touch),
            Some(FileType::Symlink) if is_gone => looked_at(touch).into_iter().chain([Facet::Kind]).collect(),
            Some(FileType::Symlink) if touch.made.own && !is_seen(touch) => Vec::new(),
            Some(FileType::Symlink) => link_and(touch),
            Some(FileType::Directory) => self.folder_and(one),
            Some(_) => vec![Facet::Kind],
        }
    }

    /// That there is a folder, which the command was to change, and its times if a program asked for them of which it is not
    /// known that less makes a difference. Not where names came or went in it: what empties its folder first would find another
    /// time each run.
    fn folder_and(&self, one: &Looked) -> Vec<Facet> {
        let is_dated = one.touch.seen.exactly && !self.changes.names.contains_key(one.path);
        vec![if is_dated { Facet::Metadata } else { Facet::Kind }]
    }

    /// What counts of the names in a folder: those that are left out, sorted, and the digest of the others.
    fn names(&self, one: &Looked) -> Result<Option<(Vec<OsString>, Digest)>, Reason> {
        if one.kind() != Some(FileType::Directory) {
            return Ok(None);
        }
        if let Some(listing) = &one.touch.listing {
            if one.is_same() && !self.are_names_kept(one) {
                return Err(Reason::InputChanged(recorded(one.path, self.ended.root)));
            }
            return Ok(Some((listing.without.clone(), listing.digest())));
        }
        // It could be removed because nothing was in it but what the command had removed from it.
        let node = |glimpse| stamp(glimpse).map(|stamp| (stamp.device, stamp.inode));
        if !one.touch.made.own || node(&one.touch.before) == node(&one.after) {
            return Ok(None);
        }
        let entries =
            self.below(one.path).filter(|(path, _)| path.parent() == Some(one.path)).filter_map(|(path, touch)| {
                let stamp = stamp(&touch.before)?;
                Some((path.file_name()?.to_owned(), facets::kind(stamp).as_raw_mode()))
            });
        let mut listing = Listing { entries: entries.collect(), without: Vec::new() };
        listing.entries.sort_unstable();
        Ok(Some((Vec::new(), listing.digest())))
    }

    /// Whether the names in a listed folder are those that were there, but for those that the command was to change and
    /// those that are not watched.
    fn are_names_kept(&self, one: &Looked) -> bool {
        let Some(listing) = &one.touch.listing else { return true };
        let times = (stamp(&one.touch.before), stamp(&one.after));
        if let (Some(before), Some(after)) = times
            && before.modified == after.modified
            && !facets::is_young(before, self.ended.started)
        {
            return true;
        }
        let Ok(now) = facets::listing(one.path, &listing.without) else { return false };
        let counts = |entry: &&(OsString, u32)| {
            let (name, _) = entry;
            !self.changes.is_changed(one.path, name) && !(self.ended.is_unwatched)(&one.path.join(name))
        };
        listing.entries.iter().filter(counts).eq(now.entries.iter().filter(counts))
    }

    /// Whether a path that was never there but while the command ran is one that it made up for the moment.
    fn is_temporary(&self, one: &Looked) -> bool {
        let is_made_up =
            |path: &Path, touch: &Touch| touch.made.exclusive && path.file_name().is_some_and(looks_random);
        one.path.ancestors().any(|path| match self.trace.touched.get(path) {
            Some(touch) => touch.before == Glimpse::Nothing && touch.made.own && is_made_up(path, touch),
            None => false,
        })
    }
}

/// Whether the command left a file where nothing was, unread and whatever had been there.
fn is_left_over_anything(one: &Looked) -> bool {
    let made = one.touch.made;
    let is_blind = made.own && !made.exclusive && !is_seen(one.touch) && one.touch.before == Glimpse::Nothing;
    is_blind && kind(&one.after) == Some(FileType::RegularFile)
}

/// What counts of a path as far as it was looked at.
fn looked_at(touch: &Touch) -> Vec<Facet> {
    let seen = touch.seen;
    match kind(&touch.before) {
        _ if !is_looked_at(touch) => Vec::new(),
        None => vec![natural(touch)],
        Some(FileType::Directory) => vec![Facet::Kind],
        Some(FileType::RegularFile) if seen.content => bytes_and(touch),
        Some(FileType::Symlink) if seen.metadata => vec![Facet::Kind, Facet::Metadata],
        Some(_) if seen.metadata => vec![Facet::Metadata],
        Some(_) => vec![Facet::Kind],
    }
}

/// The bytes of a file, and what stat(2) tells if that was asked, or is by now what it tells of an output.
fn bytes_and(touch: &Touch) -> Vec<Facet> {
    if touch.seen.metadata || touch.made.carried { vec![Facet::Content, Facet::Metadata] } else { vec![Facet::Content] }
}

/// The text of a link that the command was to change, and what lstat(2) tells if a program asked for it of which it is not known
/// that less makes a difference.
fn link_and(touch: &Touch) -> Vec<Facet> {
    if touch.seen.exactly { vec![Facet::Kind, Facet::Metadata] } else { vec![Facet::Kind] }
}

/// What counts of a regular file in whose place the command put another.
fn replaced(one: &Looked) -> Vec<Facet> {
    let seen = one.touch.seen;
    if one.touch.made.carried {
        return bytes_and(one.touch);
    }
    let mut facets = Vec::new();
    if seen.content {
        facets.push(Facet::Content);
    }
    if seen.metadata {
        facets.push(if seen.exactly { Facet::Metadata } else { Facet::Replaced });
    }
    if facets.is_empty() && (seen.kind || keeps_mode(one)) {
        facets.push(Facet::Kind);
    }
    facets
}

/// Whether a file was written anew where it was and so has kept permissions that no new file would have got.
fn keeps_mode(one: &Looked) -> bool {
    let (Some(before), Some(after)) = (stamp(&one.touch.before), stamp(&one.after)) else { return false };
    let mode = State::permissions(before.mode);
    let usual = [0o666, 0o777].map(|mode| mode & !identity::umask());
    (before.device, before.inode) == (after.device, after.inode) && !usual.contains(&mode)
}

/// The facet under which what is not there is seen: the one under which it would be if it were.
fn natural(touch: &Touch) -> Facet {
    match (touch.seen.content, touch.seen.metadata) {
        (true, _) => Facet::Content,
        (false, true) => Facet::Metadata,
        (false, false) => Facet::Kind,
    }
}

/// Whether it was looked at by a program to which it may matter whether it is there.
fn is_seen(touch: &Touch) -> bool {
    touch.seen.kind || touch.seen.metadata || touch.seen.content
}

fn is_looked_at(touch: &Touch) -> bool {
    is_seen(touch) || touch.seen.kind_blindly || touch.listing.is_some()
}

/// Whether a name looks as if it had been drawn by lot, as mkstemp(3) does: six letters and digits in a row that change between
/// large, small and digit more often than a word does. One that does not look so counts as not having been there, which is
/// right as well.
fn looks_random(name: &OsStr) -> bool {
    const CHANGES: usize = 3;
    let kind = |byte: &u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase(), byte.is_ascii_digit());
    name.as_encoded_bytes().split(|byte| !byte.is_ascii_alphanumeric()).any(|word| {
        let changes = word.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count();
        word.len() >= 6 && changes >= CHANGES
    })
}
