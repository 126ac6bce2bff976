//! What a look at a path tells of each of its facets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::model::{Digest, Facet, Glimpse, Listing, Observation, Remembered, Stamp, StampMemory, State};
use crate::sys::{attributes, machine};

use super::content::{self, Job, Links, Seen};
use super::look;
use super::place::is_nothing;

/// Looks at `path` itself, a link not followed.
///
/// # Errors
///
/// Where it cannot be known whether there is something, but for a folder on the way that may not be searched.
pub fn glimpse(path: &Path) -> io::Result<Glimpse> {
    or_nothing(crate::sys::look::glimpse(path))
}

/// Looks at `paths`, relative ones below `root`, in their order as [`glimpse`] does: neighbours in one folder from there.
pub fn glimpses(root: &Path, paths: &[&Path]) -> Vec<io::Result<Glimpse>> {
    /// Opening a folder costs as much as two or three walks to it.
    const FEW: usize = 4;
    let mut glimpses = Vec::with_capacity(paths.len());
    for neighbours in paths.chunk_by(|one, other| split(one).0 == split(other).0) {
        if neighbours.len() < FEW || neighbours.iter().any(|path| split(path).1.is_empty()) {
            glimpses.extend(neighbours.iter().map(|path| glimpse(&root.join(path))));
            continue;
        }
        let names: Vec<&OsStr> = neighbours.iter().map(|path| OsStr::from_bytes(split(path).1)).collect();
        let folder = root.join(OsStr::from_bytes(split(neighbours[0]).0));
        glimpses.extend(crate::sys::look::glimpses(&folder, &names).into_iter().map(or_nothing));
    }
    glimpses
}

/// A path to the last slash, and what follows it.
fn split(path: &Path) -> (&[u8], &[u8]) {
    let bytes = path.as_os_str().as_bytes();
    bytes.split_at(memchr::memrchr(b'/', bytes).map_or(0, |slash| slash + 1))
}

fn or_nothing(found: io::Result<Glimpse>) -> io::Result<Glimpse> {
    match found {
        Err(error) if is_nothing(&error) => Ok(Glimpse::Nothing),
        found => found,
    }
}

/// What a stamp is of.
pub fn kind(stamp: &Stamp) -> FileType {
    FileType::from_raw_mode(stamp.mode)
}

/// What a glimpse tells of a facet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// All.
    State(State),
    /// That there is a regular file with this stamp; its bytes count.
    File(Stamp),
    /// That there is a folder; its names count.
    Folder,
    /// That there is something; what [`asked`] tells of it counts.
    More,
}

/// What `glimpse` tells of `facet`. The place among other files of one that is to be replaced is left at 0, see [`rank`].
pub fn told(glimpse: &Glimpse, facet: &Facet) -> Told {
    let Glimpse::Something { stamp, user, group, links, target } = glimpse else {
        return Told::State(if *glimpse == Glimpse::Denied { State::Denied } else { State::Absent });
    };
    let mode = State::permissions(stamp.mode);
    let kind = kind(stamp);
    let state = match (facet, kind) {
        (Facet::Content | Facet::Whole, FileType::RegularFile) => return Told::File(*stamp),
        (Facet::Listing { .. }, FileType::Directory) => return Told::Folder,
        (Facet::Attributes | Facet::Machine, _) => return Told::More,
        (Facet::Replaced, FileType::RegularFile) => State::Replaced { mode, empty: stamp.size == 0, rank: 0 },
        (Facet::Metadata, _) => State::Metadata {
            mode: stamp.mode,
            size: if kind == FileType::RegularFile { stamp.size } else { 0 },
            modified: stamp.modified,
            user: *user,
            group: *group,
            links: if kind == FileType::RegularFile { *links } else { 0 },
        },
        (_, FileType::RegularFile) => State::Exists { mode },
        (_, FileType::Directory) => State::Folder { mode },
        (_, FileType::Symlink) => State::Target(target.clone().unwrap_or_default()),
        _ => State::Special(stamp.mode & !mode),
    };
    Told::State(state)
}

/// What is asked of `path`, where something is, that no look tells: its extended attributes, or what the machine tells the
/// program that it is.
pub fn asked(path: &Path, facet: &Facet) -> State {
    State::Told(match facet {
        Facet::Machine => path.file_name().and_then(machine::digest),
        _ => attributes::digest(path),
    })
}

/// The modification time of a file or link whose place among others counts.
pub fn counting_time(glimpse: &Glimpse, facet: &Facet) -> Option<i64> {
    match glimpse {
        Glimpse::Something { stamp, .. } if matches!(kind(stamp), FileType::RegularFile | FileType::Symlink) => {
            matches!(facet, Facet::Metadata | Facet::Replaced).then_some(stamp.modified)
        }
        _ => None,
    }
}

/// Gives every file that is to be replaced its place among those whose times count: `times` has one for each observation,
/// where it counts.
pub fn rank(observations: &mut [Observation], times: &[Option<i64>]) {
    if !observations.iter().any(|seen| seen.facet == Facet::Replaced) {
        return;
    }
    let mut sorted: Vec<i64> = times.iter().flatten().copied().collect();
    sorted.sort_unstable();
    for (seen, time) in observations.iter_mut().zip(times) {
        let (State::Replaced { rank, .. }, Some(time)) = (&mut seen.state, time) else { continue };
        let older = sorted.partition_point(|other| other < time);
        let not_newer = sorted.partition_point(|other| other <= time);
        *rank = (older + not_newer) as u64;
    }
}

/// What is in a folder, but for the names in `without`, which must be sorted.
///
/// # Errors
///
/// As `open(2)` and `getdents(2)`.
pub fn listing(folder: &Path, without: &[OsString]) -> io::Result<Listing> {
    let mut entries = crate::sys::look::entries(folder)?;
    entries.retain(|(name, _)| without.binary_search(name).is_err());
    entries.sort_unstable();
    Ok(Listing { entries, without: without.to_vec() })
}

/// The names in a folder as a state.
///
/// # Errors
///
/// As [`listing`], but for a folder that may not be read.
pub fn listed(folder: &Path, without: &[OsString]) -> io::Result<State> {
    match listing(folder, without) {
        Ok(listing) => Ok(State::Listing(listing.digest())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(State::Denied),
        Err(error) => Err(error),
    }
}

/// A file whose bytes were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// They were read, or are known.
    Known(Seen),
    /// They may not be read.
    Denied,
}

impl Bytes {
    /// What an observation of the content holds: the state, and the stamp where it proves something.
    pub fn observed(&self) -> (State, Option<Stamp>) {
        match self {
            Bytes::Denied => (State::Denied, None),
            Bytes::Known(Seen { digest, stamp, settled }) => {
                let state = State::File { mode: State::permissions(stamp.mode), digest: *digest };
                (state, settled.then_some(*stamp))
            }
        }
    }
}

/// A regular file whose bytes are asked for.
pub struct Wanted {
    /// Where it is.
    pub path: PathBuf,
    /// The stamp that was found there.
    pub found: Stamp,
    /// The digest of the file with this stamp, where that is proven.
    pub known: Option<Digest>,
}

/// The bytes of all `wanted`, in their order: what is proven or remembered is not read, the rest by several threads if it
/// is much. `now`, in nanoseconds since 1970, must be from before they were found.
pub fn bytes(wanted: &[Wanted], memory: &dyn StampMemory, now: i64) -> Vec<io::Result<Bytes>> {
    let mut jobs = Vec::new();
    let known = wanted.iter().map(|one| match one.known {
        Some(digest) => Some(Seen { digest, stamp: one.found, settled: true }),
        None => look::remembered(memory, &one.found),
    });
    let known: Vec<Option<Seen>> = known.collect();
    for (one, _) in wanted.iter().zip(&known).filter(|(_, known)| known.is_none()) {
        jobs.push(Job { path: one.path.clone(), links: Links::Refused, found: Some(one.found) });
    }
    let mut read = content::see_all(&jobs, now).into_iter();
    let one = |known: Option<Seen>| match known {
        Some(seen) => Ok(Bytes::Known(seen)),
        None => match read.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into())) {
            Ok(seen) => {
                if seen.settled && seen.stamp.size > content::SMALL {
                    memory.remember(&seen.stamp, &Remembered { digest: seen.digest, binary: false });
                }
                Ok(Bytes::Known(seen))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Bytes::Denied),
            Err(error) => Err(error),
        },
    };
    known.into_iter().map(one).collect()
}

/// The digest that `known` proves for the content of the file with this stamp.
pub fn proven(known: &Observation, stamp: &Stamp) -> Option<Digest> {
    match (&known.state, known.stamp) {
        (State::File { digest, .. }, Some(its)) if its == *stamp => Some(*digest),
        _ => None,
    }
}

/// Whether a stamp that was taken at `time`, in nanoseconds since 1970, is so young that a change within the resolution
/// of the file system's clock would not show. No file is at hand to ask where its clock is.
pub fn is_young(stamp: &Stamp, time: i64) -> bool {
    /// As old as FAT's clock is coarse.
    const RESOLUTION: i64 = 2_000_000_000;
    time.saturating_sub(stamp.modified.max(stamp.changed)) <= RESOLUTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_nothing_is_there_is_nothing() {
        assert_eq!(glimpse(Path::new("/nowhere/at/all")).unwrap(), Glimpse::Nothing);
        assert!(glimpse(Path::new("/no\0path")).is_err());
    }

    #[test]
    fn neighbours_look_the_same_as_each_path_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        for number in 0..6 {
            std::fs::write(root.join(format!("a/{number}")), "x").unwrap();
            std::fs::write(root.join(format!("a/b/{number}")), "y").unwrap();
        }
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        let (mut paths, outside) = (Vec::new(), root.join("a"));
        for folder in ["", "a/", "a/b/", "link/", "nowhere/", "a/0/"] {
            paths.extend(
                ["", "0", "1", "2", "3", "b", "link", "."].map(|name| PathBuf::from(format!("{folder}{name}"))),
            );
        }
        paths.extend((0..6).map(|number| outside.join(number.to_string())));
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let together = glimpses(root, &paths);
        for (path, found) in paths.iter().zip(together) {
            assert_eq!(found.ok(), glimpse(&root.join(path)).ok(), "{path:?}");
        }
        // The same without the empty names, which are not looked at from a folder.
        let named: Vec<&Path> = paths.iter().copied().filter(|path| !split(path).1.is_empty()).collect();
        for (path, found) in named.iter().zip(glimpses(root, &named)) {
            assert_eq!(found.ok(), glimpse(&root.join(path)).ok(), "{path:?}");
        }
    }
}
