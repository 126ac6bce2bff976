//! What is at the paths of former runs now: many path sets in one pass.

use std::io;
use std::path::Path;

use crate::model::{Facet, Glimpse, Observation, PathSets, Stamp, StampMemory, State};
use crate::sys::clock;

use super::ObserveError;
use super::facets::{self, Told, Wanted};
use super::look;

/// What can be observed now at the paths of each set in turn, the most recent one first.
///
/// Nothing is looked at before it is asked for, no path twice, and no facet of one. What any of the sets knows of a file
/// by its stamp is not read again.
pub struct Present<'a> {
    sets: &'a PathSets,
    root: &'a Path,
    memory: &'a dyn StampMemory,
    /// From before the first look, in nanoseconds since 1970.
    now: i64,
    /// The number of the next set.
    next: usize,
    /// For each place in the table of `sets`, the first with the same path, at which its glimpse is; and the first with
    /// the same facet as well, at which what was seen is.
    firsts: Vec<(usize, usize)>,
    glimpses: Vec<Option<Glimpse>>,
    seen: Vec<Option<(State, Option<Stamp>)>>,
}

/// Begins to look at the paths of `sets`, relative ones below `root`, which must be absolute.
///
/// A set of declared inputs, which tells of whole paths, is passed over with [`ObserveError::NoMatch`].
pub fn observed_now<'a>(sets: &'a PathSets, root: &'a Path, memory: &'a dyn StampMemory) -> Present<'a> {
    let table = sets.table();
    let mut firsts: Vec<(usize, usize)> = Vec::with_capacity(table.len());
    for (place, one) in table.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| (&table[before], firsts[before]));
        let of_path = before.filter(|(other, _)| other.path.as_os_str() == one.path.as_os_str());
        let of_facet = of_path.filter(|(other, _)| other.facet == one.facet);
        firsts.push((of_path.map_or(place, |(_, first)| first.0), of_facet.map_or(place, |(_, first)| first.1)));
    }
    let (glimpses, seen) = (vec![None; table.len()], vec![None; table.len()]);
    Present { sets, root, memory, now: clock::now(), next: 0, firsts, glimpses, seen }
}

impl Iterator for Present<'_> {
    type Item = Result<Vec<Observation>, ObserveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let places = self.sets.places(self.next)?;
        self.next += 1;
        Some(self.observe(places))
    }
}

impl Present<'_> {
    fn observe(&mut self, places: &[usize]) -> Result<Vec<Observation>, ObserveError> {
        let table = self.sets.table();
        if places.iter().any(|place| table[*place].facet == Facet::Whole) {
            return Err(ObserveError::NoMatch(String::new()));
        }
        self.glimpse(places)?;
        self.look(places)?;
        let mut observations = Vec::with_capacity(places.len());
        let mut times = Vec::with_capacity(places.len());
        for place in places {
            let (path, facet) = self.firsts[*place];
            let (Some((state, stamp)), Some(glimpse)) = (&self.seen[facet], &self.glimpses[path]) else {
                return Err(ObserveError::Unreadable(table[*place].path.clone(), io::ErrorKind::Other.into()));
            };
            let Observation { path, facet, .. } = &table[*place];
            times.push(facets::counting_time(glimpse, facet));
            observations.push(Observation {
                path: path.clone(),
                facet: facet.clone(),
                state: state.clone(),
                stamp: *stamp,
            });
        }
        facets::rank(&mut observations, &times);
        Ok(observations)
    }

    /// Glances at the paths that no former set had.
    fn glimpse(&mut self, places: &[usize]) -> Result<(), ObserveError> {
        let mut unknown: Vec<usize> = places.iter().map(|place| self.firsts[*place].0).collect();
        unknown.dedup();
        unknown.retain(|first| self.glimpses[*first].is_none());
        let (root, table) = (self.root, self.sets.table());
        let path = |first: &usize| table[*first].path.as_path();
        let glimpses =
            look::shared(&unknown, |share| facets::glimpses(root, &share.iter().map(path).collect::<Vec<_>>()));
        for (first, glimpse) in unknown.into_iter().zip(glimpses) {
            let unreadable = |why| ObserveError::Unreadable(table[first].path.clone(), why);
            self.glimpses[first] = Some(glimpse.map_err(unreadable)?);
        }
        Ok(())
    }

    /// Looks at the facets that no former set had; the paths must have been glanced at.
    fn look(&mut self, places: &[usize]) -> Result<(), ObserveError> {
        let table = self.sets.table();
        let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
        for place in places {
            let (path, facet) = self.firsts[*place];
            let (None, Some(glimpse)) = (&self.seen[facet], &self.glimpses[path]) else { continue };
            let one = &table[*place];
            let seen = match facets::told(glimpse, &one.facet) {
                Told::State(state) => (state, None),
                Told::More => (facets::asked(&self.root.join(&one.path), &one.facet), None),
                Told::Folder => {
                    let without: &[_] = if let Facet::Listing { without } = &one.facet { without } else { &[] };
                    let listed = facets::listed(&self.root.join(&one.path), without);
                    (listed.map_err(|why| ObserveError::Unreadable(one.path.clone(), why))?, None)
                }
                Told::File(found) => {
                    let versions = table[facet..].iter().take_while(|other| other.key_order(one).is_eq());
                    let known = versions.into_iter().find_map(|version| facets::proven(version, &found));
                    match known {
                        Some(digest) => (State::File { mode: State::permissions(found.mode), digest }, Some(found)),
                        None => {
                            wanted.push(Wanted { path: self.root.join(&one.path), found, known });
                            waiting.push(*place);
                            continue;
                        }
                    }
                }
            };
            self.seen[facet] = Some(seen);
        }
        for (place, bytes) in waiting.into_iter().zip(facets::bytes(&wanted, self.memory, self.now)) {
            let unreadable = |why| ObserveError::Unreadable(table[place].path.clone(), why);
            self.seen[self.firsts[place].1] = Some(bytes.map_err(unreadable)?.observed());
        }
        Ok(())
    }
}
