//! Strangers: what lies at the places of outputs, is not among those of the recorded run, and yet may be read.
//!
//! Folders and globs of inputs leave out what the outputs cover: what a run makes must not be what the next one sees.
//! So a file that somebody puts there is in no key. Where it lies among inputs the command may well read it, and only
//! running the command tells what it makes of it. Where it does not, nobody said that the command reads there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::key;
use crate::model::{Observation, Output, OutputKind, State};

use super::Known;
use super::collect::Gathering;
use super::fault::Fault;
use super::ground::Grounds;
use super::places::{Extent, Place, Places};
use super::sweep::is_of_former;
use super::walk::Found;

/// Where the inputs of a command lie.
pub struct Inputs<'a> {
    /// The values of `-i`.
    pub words: &'a [OsString],
    /// What was observed, in key order; asked for only where it counts, for it may be many.
    pub observations: &'a dyn Fn() -> &'a [Observation],
}

impl Inputs<'_> {
    /// Whether they may be anywhere: folders that a glob is matched in, or to which links lead, are not observed.
    fn are_scattered(&self) -> bool {
        let leads_to_folder =
            |state: &State| matches!(state, State::Link { behind, .. } if matches!(**behind, State::Folder { .. }));
        self.words.iter().any(|word| key::is_glob(word.as_bytes()))
            || (self.observations)().iter().any(|seen| leads_to_folder(&seen.state))
    }

    /// Whether `folder` of record is one.
    fn hold_folder(&self, folder: &Path) -> bool {
        // As a key has it.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let observations = (self.observations)();
        let at = observations.binary_search_by(|seen| seen.path.as_os_str().cmp(folder.as_os_str()));
        at.is_ok_and(|at| matches!(observations[at].state, State::Folder { .. }))
    }

    /// Whether `path` lies in a folder that is one.
    fn surround(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|folder| self.hold_folder(folder))
    }

    /// Whether something at `place` may lie in a folder that is one: the place itself, one above it or one below it.
    fn may_surround(&self, place: &Place) -> bool {
        let is_below =
            |seen: &Observation| matches!(seen.state, State::Folder { .. }) && seen.path.starts_with(&place.path);
        self.surround(&place.path) || (self.observations)().iter().any(is_below)
    }
}

/// Fails if there is a stranger among the `inputs`. What a former call made is none.
pub fn refuse(
    places: &Places,
    outputs: &[Output],
    inputs: &Inputs,
    former: &Known,
    grounds: &mut Grounds,
) -> Result<(), Fault> {
    let is_folder = |output: &&Output| matches!(output.kind, OutputKind::Folder { .. });
    let folders: BTreeSet<&Path> = outputs.iter().filter(is_folder).map(|output| output.path.as_path()).collect();
    let may_hold_more = |place: &&Place| match place.extent {
        Extent::Matching(_) => true,
        Extent::Thing | Extent::Owned => folders.contains(place.path.as_path()),
    };
    let mut places_in_doubt = places.iter().filter(may_hold_more).peekable();
    if places_in_doubt.peek().is_none() {
        return Ok(());
    }
    let are_scattered = inputs.are_scattered();
    let in_doubt = places_in_doubt.filter(|place| are_scattered || inputs.may_surround(place));
    let present = Gathering::of(places, in_doubt)?;
    let recorded: BTreeSet<&Path> = outputs.iter().map(|output| output.path.as_path()).collect();
    for path in present.paths().filter(|path| !recorded.contains(path)) {
        if (are_scattered || inputs.surround(path)) && is_stranger(path, former, grounds)? {
            return Err(Fault::new(path, "lies among the inputs, and no recorded run made it"));
        }
    }
    Ok(())
}

/// Whether something is at `path` that no former call made.
fn is_stranger(path: &Path, former: &Known, grounds: &mut Grounds) -> Result<bool, Fault> {
    let Some(stat) = grounds.stat(path)? else { return Ok(false) };
    let found = Found::at(path, stat, grounds)?;
    Ok(!former.made_folder(path) && !is_of_former(&found, former)?)
}
