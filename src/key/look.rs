//! Looking at paths: what is there, by a stamp that proves it or by reading.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::model::{Observation, Remembered, Stamp, StampMemory, State};
use crate::sys::{stamp, threads};

use super::ObserveError;
use super::content::{self, Job, Links, Seen};
use super::inputs::{Candidate, Glance};
use super::place::is_nothing;

/// More paths than this are worth a second thread.
const MANY: usize = 512;
/// Paths that a thread takes at a time: enough of them are neighbours.
const PART: usize = 256;
/// Looking at paths gains nothing from more threads than this: the kernel's own locks are in the way.
const THREADS: usize = 4;

/// What was seen at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What was there.
    pub state: State,
    /// The stamp of the file whose digest the state holds, however young.
    pub stamp: Option<Stamp>,
    /// Whether that stamp proves that nothing changed as long as it stays the same.
    pub settled: bool,
}

impl Sight {
    /// Something that has no content.
    fn plain(state: State) -> Sight {
        Sight { state, stamp: None, settled: false }
    }

    /// A file's content, seen itself or through a link with this text.
    fn content(seen: Seen, target: Option<Vec<u8>>) -> Sight {
        let file = State::File { mode: State::permissions(seen.stamp.mode), digest: seen.digest };
        let state = match target {
            None => file,
            Some(target) => State::Link { target, behind: Box::new(file) },
        };
        Sight { state, stamp: Some(seen.stamp), settled: seen.settled }
    }
}

/// A path to be looked at, under the name that a key gives it, with what was seen there before.
pub struct Subject<'a> {
    /// As an observation has it.
    pub recorded: PathBuf,
    /// The path itself.
    pub candidate: Candidate,
    /// What was seen there before, if anything.
    pub known: Option<&'a Observation>,
}

/// What can be said of a path without reading a file.
enum Glimpse {
    Whole(Sight),
    /// A regular file with this stamp must be read; where it is behind a link, that link's text.
    Read(Stamp, Option<Vec<u8>>),
}

/// Looks at all `subjects`, in their order. `now`, in nanoseconds since 1970, must be from before.
///
/// # Errors
///
/// What cannot be looked at or read.
pub fn look(subjects: &[Subject], memory: &dyn StampMemory, now: i64) -> Result<Vec<Sight>, ObserveError> {
    let glimpses = each(subjects, glimpse);
    let (mut sights, mut jobs, mut waiting) = (Vec::with_capacity(subjects.len()), Vec::new(), Vec::new());
    for (subject, glimpse) in subjects.iter().zip(glimpses) {
        let path = &subject.candidate.path;
        match glimpse.map_err(|error| ObserveError::Unreadable(path.clone(), error))? {
            Glimpse::Whole(sight) => sights.push(sight),
            Glimpse::Read(stamp, target) => match remembered(memory, &stamp) {
                Some(seen) => sights.push(Sight::content(seen, target)),
                None => {
                    let links = if target.is_some() { Links::Followed } else { Links::Refused };
                    jobs.push(Job { path: path.clone(), links, found: Some(stamp) });
                    waiting.push((sights.len(), target));
                    sights.push(Sight::plain(State::Absent));
                }
            },
        }
    }
    for ((seen, job), (position, target)) in content::see_all(&jobs, now).into_iter().zip(&jobs).zip(waiting) {
        let seen = seen.map_err(|error| ObserveError::Unreadable(job.path.clone(), error))?;
        if seen.settled && seen.stamp.size > content::SMALL {
            memory.remember(&seen.stamp, &Remembered { digest: seen.digest, binary: false });
        }
        sights[position] = Sight::content(seen, target);
    }
    Ok(sights)
}

/// The digest of a large file that was read for another command. Only stamps that prove something are remembered.
pub fn remembered(memory: &dyn StampMemory, stamp: &Stamp) -> Option<Seen> {
    let digest = if stamp.size > content::SMALL { memory.recall(stamp)?.digest } else { return None };
    Some(Seen { digest, stamp: *stamp, settled: true })
}

/// Looks at all of `items` in their order, with several threads if there are many.
pub fn each<T: Sync, R: Send>(items: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    shared(items, |share| share.iter().map(&look).collect())
}

/// The same, where `look` looks at a share of them in one go: at all, unless there are many.
pub fn shared<T: Sync, R: Send>(items: &[T], look: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let threads = if items.len() > MANY { threads() } else { 1 };
    threads::share(items, PART, threads, || (), |(), share| look(share))
}

/// How many threads look at many things.
pub fn threads() -> usize {
    threads::processors().min(THREADS)
}

fn glimpse(subject: &Subject) -> io::Result<Glimpse> {
    let path = &subject.candidate.path;
    let found = match subject.candidate.found {
        Glance::Unknown => Glance::at(path)?,
        found => found,
    };
    let Glance::Something(stamp) = found else { return Ok(Glimpse::Whole(Sight::plain(State::Absent))) };
    Ok(match FileType::from_raw_mode(stamp.mode) {
        FileType::RegularFile => file(stamp, None, subject.known),
        FileType::Directory => Glimpse::Whole(Sight::plain(State::Folder { mode: State::permissions(stamp.mode) })),
        FileType::Symlink => link(path, subject.known)?,
        _ => Glimpse::Whole(Sight::plain(special(&stamp))),
    })
}

/// A regular file, seen itself or through a link: what is known of it, if its stamp is the same.
fn file(stamp: Stamp, target: Option<Vec<u8>>, known: Option<&Observation>) -> Glimpse {
    let proven = known.filter(|known| known.stamp == Some(stamp));
    let digest = proven.and_then(|known| match (&known.state, &target) {
        (State::File { digest, .. }, None) => Some(*digest),
        (State::Link { behind, .. }, Some(_)) => match **behind {
            State::File { digest, .. } => Some(digest),
            _ => None,
        },
        _ => None,
    });
    match digest {
        Some(digest) => Glimpse::Whole(Sight::content(Seen { digest, stamp, settled: true }, target)),
        None => Glimpse::Read(stamp, target),
    }
}

fn link(path: &Path, known: Option<&Observation>) -> io::Result<Glimpse> {
    let target = std::fs::read_link(path)?.into_os_string().into_vec();
    let behind = match stamp::of(path) {
        Err(error) if is_nothing(&error) => State::Absent,
        Err(error) => return Err(error),
        Ok(stamp) => match FileType::from_raw_mode(stamp.mode) {
            FileType::RegularFile => return Ok(file(stamp, Some(target), known)),
            FileType::Directory => State::Folder { mode: State::permissions(stamp.mode) },
            _ => special(&stamp),
        },
    };
    Ok(Glimpse::Whole(Sight::plain(State::Link { target, behind: Box::new(behind) })))
}

fn special(stamp: &Stamp) -> State {
    /// The bits of `st_mode` that tell the type, see `inode(7)`.
    const TYPE: u32 = 0o170_000;
    State::Special(stamp.mode & TYPE)
}
