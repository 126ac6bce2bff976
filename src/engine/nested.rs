//! A run in a command that another run watches: what the inner one does counts for the outer one.

use std::cell::Cell;
use std::path::{Path, PathBuf, absolute};

use crate::exec::trace::nested;
use crate::key;
use crate::model::{Account, Answer, Cache, Facet, Member, Output, OutputKind, Reason, Trace, Trail};
use crate::store::Store;

use super::lookup::Sought;
use super::outputs::Mtime;
use super::{Missed, Policy};

/// What a command reads of descriptor 0 has no name: what opened it was seen.
const STANDARD_INPUT: &str = "/dev/stdin";

/// Tells the watcher of this run which folders are stores; whether there is one.
pub fn introduce(caches: &[Member]) -> bool {
    let tell = |cache: &Cache| nested::tell_apart(&absolute(&cache.folder).unwrap_or_else(|_| cache.folder.clone()));
    caches.iter().filter_map(Member::folder).map(tell).fold(false, |any, one| any | one)
}

/// From now on what this run looks at itself does not count; where the watcher could not do that, too much counts.
pub fn exempt() {
    nested::exempt();
}

/// Leaves it to the run in whose command this one is to look after the store, as what a command leaves behind it keeps that
/// from being stored; whether there is one.
pub fn leave_due(store: &Store) -> bool {
    nested::leave_due(store.folder())
}

/// Whether a run in a command left it to look after the store.
pub fn left_due(trace: &Trace, store: &Store) -> bool {
    !trace.due.is_empty() && store.folder().canonicalize().is_ok_and(|folder| trace.due.contains(&folder))
}

/// What the watcher was told of a call that is about to be replayed. Unless it [`holds`](Telling::holds), that is taken back.
pub struct Telling<'a> {
    call: &'a Answer,
    holds: Cell<bool>,
}

impl<'a> Telling<'a> {
    /// Tells what counts of a call, and fails where nobody hears it: then the command is run, and seen. Whoever goes on must
    /// look again whether it still is the one: what was seen before may be other than what the watcher has looked at just now.
    pub fn of(sought: &Sought, call: &'a Answer, policy: &Policy, store: &Store) -> Result<Telling<'a>, Missed> {
        if !nested::tell(&account(sought, call, policy, store)) {
            return Err(Missed::Because(Reason::Unwatched("its watcher does not answer".to_owned())));
        }
        // Nothing is to be taken back of what was only looked at.
        let telling = Telling { call, holds: Cell::new(call.outcome.outputs.is_empty()) };
        for watched in sought.command.watched.iter().filter(|watched| watched.path != Path::new(STANDARD_INPUT)) {
            key::confirm_file(watched, store).map_err(Missed::Because)?;
        }
        Ok(telling)
    }

    /// Whether what was found by now is the same call.
    pub fn check(&self, found: &Answer) -> Result<(), Missed> {
        if found.key == self.call.key && found.outcome == self.call.outcome {
            return Ok(());
        }
        Err(Missed::Because(Reason::NoCall))
    }

    /// What was told has come true.
    pub fn holds(&self) {
        self.holds.set(true);
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if !self.holds.get() {
            nested::refuse();
        }
    }
}

/// What counts of a call beside what the outer command's own key tells.
fn account(sought: &Sought, call: &Answer, policy: &Policy, store: &Store) -> Account {
    let command = sought.command;
    let place = |path: &Path| key::lexical(&command.root, path);
    let watched = command.watched.iter().map(|watched| watched.path.clone());
    let own = watched.filter(|path| path != Path::new(STANDARD_INPUT)).map(|path| (path, Facet::Whole));
    let seen = sought.observations(store).iter().map(|seen| (place(&seen.path), seen.facet.clone()));
    let left = call.outcome.outputs.iter().map(|output| trail(output, &place, policy.mtime));
    Account {
        seen: own.chain(seen).collect(),
        left: left.collect(),
        uses_network: sought.request.is_watched() && sought.request.watching.network,
    }
}

fn trail(output: &Output, place: &dyn Fn(&Path) -> PathBuf, mtime: Mtime) -> (PathBuf, Trail) {
    let trail = match &output.kind {
        OutputKind::Absent => Trail::Nothing,
        OutputKind::File { dated, .. } => Trail::File { is_dated: *dated || mtime != Mtime::Now },
        OutputKind::Link { dated, .. } => Trail::File { is_dated: dated.is_some() },
        OutputKind::Folder { dated, .. } => Trail::Folder { is_dated: dated.is_some() },
    };
    (place(&output.path), trail)
}
