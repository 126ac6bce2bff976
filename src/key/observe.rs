//! What a command sees where it looks, before it runs; whether that was still so after it ran.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat, major, minor};

use crate::error::Error;
use crate::model::{
    Command, CommandDigest, Digest, Facet, Inventory, KeyBase, Observation, Reason, Request, Stamp, StampMemory, State,
    Stdin, Watched, Writer,
};
use crate::sys::{clock, hash, stamp};

use super::command::STANDARD_INPUT;
use super::content::Links;
use super::inputs::{Candidate, Gathering, Glance, begin};
use super::inventory::{self, Proven};
use super::look::{Sight, Subject, look};
use super::place::recorded;
use super::program;
use super::walk::Trail;

/// A stamp older than this, in nanoseconds, proves that nothing was changed even on a server with another clock.
const LONG_AGO: i64 = 3_600_000_000_000;

/// Fewer paths than this are looked at anew as quickly as an inventory of them is read.
const MANY: usize = 256;

/// So few small files are read as quickly as what was remembered of them.
const FEW: usize = 2;

/// Why it cannot be said what a command sees.
#[derive(Debug)]
pub enum ObserveError {
    /// Nothing matches this glob, or all that does is left out.
    NoMatch(String),
    /// A glob is malformed.
    BadGlob(Error),
    /// This path, relative to the root where it lies there, cannot be looked at or read.
    Unreadable(PathBuf, io::Error),
    /// This is a FIFO or a device, and was named itself.
    Stream(PathBuf),
    /// An argument of a pure command names this folder, which holds too much.
    TooMany(PathBuf),
}

/// What a command sees.
#[derive(Debug)]
pub struct Observed {
    /// Paths and states in key order, with the stamps that prove something; and for each of them the stamp of its content,
    /// however young.
    seen: OnceCell<(Vec<Observation>, Vec<Option<Stamp>>)>,
    how: How,
    /// For a pure command: the folders in which it must leave nothing.
    folders: Vec<PathBuf>,
    /// Those folders as they were just before the run: a replay does not need to look at them.
    guarded: OnceCell<Vec<Folder>>,
}

/// How it was found out what a command sees.
#[derive(Debug)]
enum How {
    /// By going through what it names. With the identity of the look, the time of its beginning and the way, if many paths were
    /// found.
    Gathered(Option<(Digest, i64, Trail)>),
    /// By holding what was known against it; which the store knows, or only this process does.
    Proven(Box<Proven>, Knower),
}

/// Who knew what was held against what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knower {
    Store,
    Process,
}

impl Observed {
    /// Paths and states in key order, with the stamps that prove something.
    pub fn observations(&self) -> &[Observation] {
        &self.seen().0
    }

    /// The same, to be made wrong.
    #[cfg(test)]
    pub fn observations_mut(&mut self) -> &mut Vec<Observation> {
        &mut self.seen.get_mut().unwrap().0
    }

    fn seen(&self) -> &(Vec<Observation>, Vec<Option<Stamp>>) {
        self.seen.get_or_init(|| match &self.how {
            How::Proven(proven, _) => proven.observations().unwrap_or_else(|_| lost()),
            How::Gathered(_) => Default::default(),
        })
    }

    /// What the keys of `command` with these observations have in common.
    pub fn key_base(&self, command: &CommandDigest) -> KeyBase {
        match &self.how {
            How::Proven(proven, _) => KeyBase::of(command, proven.digests()),
            How::Gathered(_) => KeyBase::of(command, &Observation::digests(self.observations())),
        }
    }

    /// What is worth remembering for the next look at the same paths, if these are many and it is not remembered yet.
    pub fn inventory(&self) -> Option<Inventory> {
        match &self.how {
            How::Proven(proven, Knower::Store) => proven.renewed(),
            How::Proven(proven, Knower::Process) => proven.latest(),
            How::Gathered(way) => {
                let (identity, began, trail) = way.as_ref().filter(|_| self.observations().len() >= MANY)?;
                inventory::take(*identity, self.observations(), trail.clone(), *began)
            }
        }
    }

    /// What another look in this process can be held against, if the store does not know it: a folder that is too young to prove
    /// its names may be old enough by then.
    fn inventory_of_process(&self) -> Option<Inventory> {
        let gathered = matches!(self.how, How::Gathered(_)).then(|| self.inventory()).flatten();
        gathered.filter(|inventory| inventory.folders.iter().all(|folder| folder.stamp.is_some()))
    }

    /// The same however few there are, as if all stamps were old by now.
    #[cfg(test)]
    pub fn inventory_in_time(&self) -> Option<Inventory> {
        let (observations, stamps) = self.seen();
        let aged = |(seen, stamp): (&Observation, &Option<Stamp>)| Observation { stamp: *stamp, ..seen.clone() };
        let aged: Vec<Observation> = observations.iter().zip(stamps).map(aged).collect();
        match &self.how {
            How::Proven(..) => None,
            How::Gathered(way) => {
                way.as_ref().and_then(|(id, _, trail)| inventory::take(*id, &aged, trail.clone(), i64::MAX))
            }
        }
    }

    /// Whether it was found by holding what was known against it.
    #[cfg(test)]
    pub fn is_proven(&self) -> bool {
        matches!(self.how, How::Proven(..))
    }

    /// How many paths had to be looked at anew, if it was found by holding what was known against it.
    #[cfg(test)]
    pub fn looked_anew(&self) -> Option<usize> {
        if let How::Proven(proven, _) = &self.how { Some(proven.anew()) } else { None }
    }

    /// Looks at what only a run can change; to be called just before it.
    pub fn guard(&self) {
        let now = clock::now();
        self.guarded.get_or_init(|| self.folders.iter().map(|path| Folder::at(path.clone(), now)).collect());
    }
}

/// A folder in which a pure command must leave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// A digest of its names, where the stamp is too young to prove that they are the same.
    names: Option<Digest>,
}

/// Looks wherever `request` says that `command` looks.
///
/// A digest in what `known` gives (what was observed before, in key order) is believed as long as the stamp beside
/// it is the file's. It is asked only where there is more to look at than it costs to ask. The folders
/// `apart_from` are never walked through.
///
/// # Errors
///
/// See [`ObserveError`].
pub fn observe(
    request: &Request,
    command: &Command,
    known: &mut dyn FnMut() -> Vec<Observation>,
    memory: &dyn StampMemory,
    apart_from: &[PathBuf],
) -> Result<Observed, ObserveError> {
    observe_again(request, command, None, known, memory, apart_from)
}

/// The same, where this process may have an inventory of its `last` look.
fn observe_again(
    request: &Request,
    command: &Command,
    last: Option<Inventory>,
    known: &mut dyn FnMut() -> Vec<Observation>,
    memory: &dyn StampMemory,
    apart_from: &[PathBuf],
) -> Result<Observed, ObserveError> {
    let now = clock::now();
    let named = |error: ObserveError| error.below(&command.root);
    let mut gathering = begin(request, command, apart_from).map_err(named)?;
    let is_wide = !request.pure && gathering.is_wide();
    let identity = is_wide.then(|| inventory::identity(command, gathering.places(), apart_from));
    let inventory = identity.and_then(|identity| match last.filter(|last| last.identity == identity) {
        Some(last) => Some((last, Knower::Process)),
        None => memory.inventory(&identity).map(|inventory| (inventory, Knower::Store)),
    });
    let proven = inventory.and_then(|(inventory, knower)| {
        let proven = inventory::check(inventory, &command.root, memory, now)?;
        Some(How::Proven(Box::new(proven), knower))
    });
    if let Some(how) = proven {
        return Ok(Observed { seen: OnceCell::new(), how, folders: Vec::new(), guarded: OnceCell::new() });
    }
    if is_wide {
        // Where they lead decides what is left out.
        apart_from.iter().for_each(|folder| gathering.trail.borrow_mut().link(folder));
    }
    gathering.gather(request).map_err(named)?;
    let Gathering { candidates, folders, trail, .. } = gathering;
    let present = candidates.iter().filter(|candidate| !matches!(candidate.found, Glance::Nothing)).count();
    let known = if present > FEW { known() } else { Vec::new() };
    let subjects = subjects(candidates, &command.root, &known);
    let sights = look(&subjects, memory, now).map_err(named)?;
    refuse_streams(request, &subjects, &sights).map_err(named)?;
    let stamps = sights.iter().map(|sight| sight.stamp).collect();
    let observation = |(subject, sight): (Subject<'_>, Sight)| Observation {
        path: subject.recorded,
        facet: Facet::Whole,
        stamp: sight.stamp.filter(|_| sight.settled),
        state: sight.state,
    };
    let observations = subjects.into_iter().zip(sights).map(observation).collect();
    let way = identity.map(|identity| (identity, now, trail.take()));
    Ok(Observed {
        seen: OnceCell::from((observations, stamps)),
        how: How::Gathered(way),
        folders: folders.into_iter().collect(),
        guarded: OnceCell::new(),
    })
}

/// Whether what was observed is worth remembering for the next look at the same paths. Where a watched command looks, nothing
/// else tells.
pub fn is_worth_remembering(observations: &[Observation]) -> bool {
    if observations.iter().any(|seen| seen.facet != Facet::Whole) {
        return true;
    }
    observations.iter().filter(|seen| seen.state != State::Absent).count() > FEW
}

/// Refuses a FIFO or device that is named itself: what a command reads from it is another thing each time. In a folder
/// it is only seen to be there. `/dev/null` is always the same.
fn refuse_streams(request: &Request, subjects: &[Subject], sights: &[Sight]) -> Result<(), ObserveError> {
    if !request.pure && request.inputs.is_empty() {
        return Ok(());
    }
    for (subject, sight) in subjects.iter().zip(sights) {
        let state = match &sight.state {
            State::Link { behind, .. } => behind,
            state => state,
        };
        let State::Special(kind) = state else { continue };
        let path = &subject.candidate.path;
        let is_stream = !matches!(FileType::from_raw_mode(*kind), FileType::Socket) && !leads_to_null(path);
        let is_named = request.pure || request.inputs.iter().any(|word| path.ends_with(word));
        if is_stream && is_named {
            return Err(ObserveError::Stream(path.clone()));
        }
    }
    Ok(())
}

/// Whether a path leads to `/dev/null`.
fn leads_to_null(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|found| (major(found.st_rdev), minor(found.st_rdev)) == (1, 3))
}

impl ObserveError {
    /// The same with its path as a key has it, which is how users know it.
    fn below(self, root: &Path) -> ObserveError {
        match self {
            ObserveError::Unreadable(path, why) => ObserveError::Unreadable(recorded(&path, root), why),
            ObserveError::TooMany(path) => ObserveError::TooMany(recorded(&path, root)),
            ObserveError::Stream(path) => ObserveError::Stream(recorded(&path, root)),
            other => other,
        }
    }
}

/// The candidates in key order, each once, with what is known of it.
fn subjects<'a>(candidates: Vec<Candidate>, root: &Path, known: &'a [Observation]) -> Vec<Subject<'a>> {
    let subject = |candidate: Candidate| Subject { recorded: recorded(&candidate.path, root), candidate, known: None };
    let mut subjects: Vec<Subject> = candidates.into_iter().map(subject).collect();
    // By bytes, not by parts of paths as `Path` compares them: simple to say and fast. What was glanced
    // at comes first, so that it is not asked for again.
    let rank = |subject: &Subject| matches!(subject.candidate.found, Glance::Unknown);
    subjects.sort_unstable_by(|one, other| {
        bytes(&one.recorded).cmp(bytes(&other.recorded)).then_with(|| rank(one).cmp(&rank(other)))
    });
    subjects.dedup_by(|later, first| later.recorded == first.recorded);
    let mut known = known.iter().peekable();
    for subject in &mut subjects {
        let path = bytes(&subject.recorded);
        while known.next_if(|known| bytes(&known.path) < path).is_some() {}
        subject.known = known.next_if(|known| bytes(&known.path) == path);
    }
    subjects
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Looks again after the run: whether `before` is still so, and the program, its interpreters and the file
/// on standard input are what they were. Gives what is seen then, with stamps that may prove by now what
/// they were too young for.
///
/// A file whose stamp is another counts as changed, even if its content is the same again: what the
/// command read meanwhile cannot be known.
///
/// # Errors
///
/// The reason not to store the call: what changed, what cannot be read any more.
pub fn confirm(
    request: &Request,
    command: &Command,
    before: &Observed,
    memory: &dyn StampMemory,
    apart_from: &[PathBuf],
) -> Result<Observed, Reason> {
    for watched in &command.watched {
        confirm_watched(watched, &command.stdin, rustix::stdio::stdin(), memory)?;
    }
    let (last, mut known) = (before.inventory_of_process(), || before.observations().to_vec());
    let after = observe_again(request, command, last, &mut known, memory, apart_from).map_err(reason)?;
    if after.seen() == &lost() {
        return Err(Reason::StoreUnusable("what is known of many inputs cannot be read any more".to_owned()));
    }
    if let Some(path) = first_difference(before, &after) {
        return Err(Reason::InputChanged(path));
    }
    Ok(after)
}

/// What stands for observations that were proven and cannot be read once more: something that is nowhere, so that no call with
/// it answers to anything.
fn lost() -> (Vec<Observation>, Vec<Option<Stamp>>) {
    let nowhere = Observation { path: PathBuf::new(), facet: Facet::Whole, state: State::Special(0), stamp: None };
    (vec![nowhere], vec![None])
}

/// The path of the first difference between two looks at the same command.
fn first_difference(before: &Observed, after: &Observed) -> Option<PathBuf> {
    let ((observations, stamps), (later, later_stamps)) = (before.seen(), after.seen());
    let pairs = observations.iter().zip(stamps).zip(later.iter().zip(later_stamps));
    for ((old, old_stamp), (new, new_stamp)) in pairs {
        if old.path != new.path {
            return Some(if bytes(&old.path) < bytes(&new.path) { &old.path } else { &new.path }.clone());
        }
        if old.state != new.state || old_stamp != new_stamp {
            return Some(old.path.clone());
        }
    }
    let common = observations.len().min(later.len());
    let surplus = observations.get(common).or_else(|| later.get(common));
    if let Some(observation) = surplus {
        return Some(observation.path.clone());
    }
    let Some(guarded) = before.guarded.get() else { return before.folders.first().cloned() };
    guarded.iter().find(|folder| !folder.is_same()).map(|folder| folder.path.clone())
}

fn reason(error: ObserveError) -> Reason {
    match error {
        ObserveError::NoMatch(glob) => Reason::InputChanged(PathBuf::from(glob)),
        ObserveError::TooMany(path) => Reason::InputChanged(path),
        ObserveError::Stream(path) => Reason::InputStream(path),
        ObserveError::Unreadable(path, why) => unreadable(path, &why),
        ObserveError::BadGlob(_) => Reason::Internal,
    }
}

fn unreadable(path: PathBuf, why: &io::Error) -> Reason {
    Reason::InputUnreadable(path, io::Error::from(why.kind()).to_string())
}

/// Whether a file is what it was before the run.
///
/// # Errors
///
/// The reason not to store the call: that it changed, or cannot be read any more.
pub fn confirm_file(watched: &Watched, memory: &dyn StampMemory) -> Result<(), Reason> {
    confirm_watched(watched, &Stdin::Uncounted, rustix::stdio::stdin(), memory)
}

/// Whether a file that belongs to the command itself is what it was.
fn confirm_watched(
    watched: &Watched,
    stdin: &Stdin,
    descriptor: BorrowedFd,
    memory: &dyn StampMemory,
) -> Result<(), Reason> {
    let changed = || Reason::InputChanged(watched.path.clone());
    let failed = |why: io::Error| unreadable(watched.path.clone(), &why);
    let is_inherited = matches!(stdin, Stdin::File { .. }) && watched.path == Path::new(STANDARD_INPUT);
    let now = match is_inherited {
        true => fstat(descriptor).map(|found| stamp::from_stat(&found)).map_err(io::Error::from),
        false => stamp::of(&watched.path),
    };
    if now.map_err(failed)? != watched.stamp {
        return Err(changed());
    }
    if watched.settled {
        return Ok(());
    }
    let digest = match is_inherited {
        true => hash::whole(descriptor, watched.stamp.size, &mut Vec::new()).map_err(failed)?.0,
        false => {
            let seen =
                program::examine(&watched.path, Links::Followed, None, memory, clock::now()).map(|(seen, _)| seen);
            seen.or_else(|_| program::unreadable(&watched.path)).map_err(failed)?.digest
        }
    };
    if digest == watched.digest { Ok(()) } else { Err(changed()) }
}

impl Folder {
    fn at(path: PathBuf, now: i64) -> Folder {
        let stamp = stamp::of(&path).ok();
        let is_old = |stamp: Stamp| now.saturating_sub(stamp.modified.max(stamp.changed)) > LONG_AGO;
        let names = if stamp.is_some_and(is_old) { None } else { names(&path) };
        Folder { path, stamp, names }
    }

    /// Whether a look at it now shows that nothing was made or removed there.
    fn is_same(&self) -> bool {
        self.stamp == stamp::of(&self.path).ok() && (self.names.is_none() || self.names == names(&self.path))
    }
}

/// A digest of the names in a folder.
fn names(folder: &Path) -> Option<Digest> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut names: Vec<OsString> = entries.map_while(io::Result::ok).map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let mut writer = Writer::new();
    for name in names {
        writer.bytes(&name.into_vec());
    }
    Some(Digest::of(&writer.into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_taken_down_of_a_folder_that_is_not_hours_old() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = stamp::of(folder.path()).unwrap();
        let changed = stamp.modified.max(stamp.changed);
        let at = |age| Folder::at(folder.path().to_owned(), changed + age);
        assert!([0, LONG_AGO].iter().all(|age| at(*age).names.is_some()));
        assert!([LONG_AGO + 1, 2 * LONG_AGO].iter().all(|age| at(*age).names.is_none()));
        // As if something had been made within one tick of the clock.
        let before = at(0);
        assert!(before.is_same());
        fs::write(folder.path().join("f"), "").unwrap();
        assert!(!Folder { stamp: stamp::of(folder.path()).ok(), ..before }.is_same());
    }

    #[test]
    fn more_than_a_few_things_that_are_there_are_worth_remembering() {
        let seen = |facet, state| Observation { path: "p".into(), facet, state, stamp: None };
        let (absent, there) = (seen(Facet::Whole, State::Absent), seen(Facet::Whole, State::Folder { mode: 0o755 }));
        let of = |absents, theres| [vec![absent.clone(); absents], vec![there.clone(); theres]].concat();
        for (absents, theres, is_worth) in
            [(0, 0, false), (9, 0, false), (9, FEW, false), (0, FEW + 1, true), (0, 9, true)]
        {
            assert_eq!(is_worth_remembering(&of(absents, theres)), is_worth, "{absents} {theres}");
        }
        assert!(is_worth_remembering(&[seen(Facet::Kind, State::Absent)]));
    }
}
