//! From what a watched command touched to what it observed.
//!
//! What counts is what was there before the command could change it, as far as the command looked. By construction it is
//! what [`observed_now`](super::observed_now) would have said of the same paths just before the run.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::error::cause;
use crate::model::{Digest, Observation, Reason, Stamp, StampMemory, State, Touch, Trace};
use crate::sys::clock;

use super::analysis::{Analysis, Looked, Source, View, stamp};
use super::facets::{self, Bytes, Told, Wanted};
use super::look;
use super::place::recorded;

/// What else is known of a run that has ended.
pub struct Ended<'a> {
    /// What relative paths are relative to, absolute and without links.
    pub root: &'a Path,
    /// The working directory of the command.
    pub cwd: &'a Path,
    /// What was observed before: their digests are believed where the stamps beside them are the files'.
    pub known: &'a [Observation],
    /// What is remembered of large files.
    pub memory: &'a dyn StampMemory,
    /// When it began, in nanoseconds since 1970.
    pub started: i64,
    /// Whether a path is none that is watched, so that it tells nothing if it comes or goes.
    pub is_unwatched: &'a dyn Fn(&Path) -> bool,
}

/// What the command observed, in key order: to be called after the run, before anything is made of what it left.
///
/// # Errors
///
/// The reason not to store the call: what it looked at was changed by somebody else, cannot be read any more, or was
/// changed by itself before its bytes were kept.
pub fn from_trace(trace: &Trace, ended: &Ended) -> Result<Vec<Observation>, Reason> {
    let now = clock::now();
    let touched: Vec<(&Path, &Touch)> = trace.touched.iter().map(|(path, touch)| (path.as_path(), touch)).collect();
    let glimpses = look::each(&touched, |(path, _)| facets::glimpse(path));
    let mut looked = Vec::with_capacity(touched.len());
    for ((path, touch), after) in touched.into_iter().zip(glimpses) {
        let after = after.map_err(|why| unreadable(path, ended.root, &why))?;
        looked.push(Looked { path, touch, after });
    }
    let analysis = Analysis::new(trace, ended, &looked);
    let mut views = Vec::with_capacity(looked.len());
    for looked in &looked {
        analysis.views(looked, &mut views)?;
    }
    // A facet may count for two reasons.
    views.sort_by(|one, other| {
        let paths = one.recorded.as_os_str().cmp(other.recorded.as_os_str());
        paths.then_with(|| one.facet.cmp(&other.facet))
    });
    views.dedup_by(|later, first| later.recorded == first.recorded && later.facet == first.facet);
    observations(views, ended, now)
}

fn unreadable(path: &Path, root: &Path, why: &io::Error) -> Reason {
    Reason::InputUnreadable(recorded(path, root), cause(why))
}

/// The observations that `views` are, which must be in key order.
fn observations(views: Vec<View>, ended: &Ended, now: i64) -> Result<Vec<Observation>, Reason> {
    let mut known: HashMap<&Path, Vec<&Observation>> = HashMap::new();
    for seen in ended.known.iter().filter(|seen| seen.stamp.is_some()) {
        known.entry(&seen.path).or_default().push(seen);
    }
    let mut wanted = Vec::new();
    for view in &views {
        let (Source::File(image), Some(stamp)) = (&view.source, stamp(view.before)) else { continue };
        let proven = known.get(view.recorded.as_path()).into_iter().flatten();
        let proven = proven.copied().find_map(|known| facets::proven(known, stamp)).filter(|_| image.is_none());
        wanted.push(Wanted { path: view.path.to_owned(), found: *stamp, known: proven });
    }
    let mut bytes = facets::bytes(&wanted, ended.memory, now).into_iter();
    let (mut observations, mut times) = (Vec::with_capacity(views.len()), Vec::with_capacity(views.len()));
    for view in views {
        times.push(facets::counting_time(view.before, &view.facet));
        let (state, stamp) = match (&view.source, facets::told(view.before, &view.facet)) {
            (Source::Glimpse, Told::State(state)) => (state, None),
            (Source::State(state), _) => (state.clone(), None),
            (Source::Names(digest), _) => (State::Listing(*digest), None),
            (Source::Image(digest), Told::File(stamp)) => {
                (State::File { mode: State::permissions(stamp.mode), digest: *digest }, None)
            }
            (Source::File(image), Told::File(stamp)) => {
                let read = bytes.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into()));
                let read = read.map_err(|why| unreadable(view.path, ended.root, &why))?;
                check(&read, &stamp, image.as_ref()).map_err(|()| Reason::InputChanged(view.recorded.clone()))?;
                read.observed()
            }
            _ => return Err(Reason::Internal),
        };
        observations.push(Observation { path: view.recorded, facet: view.facet, state, stamp });
    }
    facets::rank(&mut observations, &times);
    Ok(observations)
}

/// Whether what was read after the run is what was there before.
fn check(read: &Bytes, before: &Stamp, image: Option<&Digest>) -> Result<(), ()> {
    match read {
        Bytes::Known(seen) if seen.stamp != *before || image.is_some_and(|image| *image != seen.digest) => Err(()),
        Bytes::Denied if image.is_some() => Err(()),
        Bytes::Known(_) | Bytes::Denied => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_any_more_is_as_it_was_only_if_it_was_not_read_before() {
        let stamp = Stamp { device: 1, inode: 1, size: 1, modified: 0, changed: 0, mode: 0o100_000 };
        assert_eq!(check(&Bytes::Denied, &stamp, None), Ok(()));
        assert_eq!(check(&Bytes::Denied, &stamp, Some(&Digest::of(b"x"))), Err(()));
    }
}
