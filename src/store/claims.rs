//! Who writes where: two commands that write to the same place at the same time may leave there what neither of them leaves
//! alone, and that must not be stored as the output of the one or the other.
//!
//! Nobody waits for anybody. Who runs a command holds a shared lock for each place of its outputs, and who replays one holds
//! another. Who comes to a place at which somebody runs tells the journal, so that this one, who was there first, learns of
//! it when it is done, even if the other is gone by then; and it knows itself that it was not alone. So of two whose times
//! at a place overlap each one knows. Only who runs inside of the command that was there first is part of it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::alone::granted_within;
use super::holder::Ancestors;
use super::journal::{self, Mark};
use super::{Access, Store};
use crate::model::{CommandDigest, Digest, Event};
use crate::sys::lock;

/// Bytes of the lock file, a kind from each of these on: behind those of commands and their announcements.
const PLACES: u64 = 1 << 60;
const TURNS: u64 = 1 << 61;
const ANNOUNCED: u64 = TURNS + PLACES;
const RUNS: u64 = 3 << 61;
const REPLAYS: u64 = RUNS + PLACES;
/// How long one who restores waits for others who do: it is a matter of milliseconds, and then it is tried in spite of them.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// What is done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Run,
    Replay,
}

/// Places that somebody writes to, until it is dropped.
#[derive(Debug)]
pub struct Claim<'store> {
    store: &'store Store,
    file: Option<Arc<File>>,
    deed: Deed,
    places: Vec<Digest>,
    /// Where the journal ended before, for who runs and has the locks.
    since: Option<io::Result<Mark>>,
    /// Whether somebody was there already.
    was_met: bool,
}

/// The time in which nobody else restores the outputs of a command, unless they take none.
#[derive(Debug)]
pub struct Turn {
    file: Arc<File>,
    byte: u64,
}

impl Store {
    /// A command is about to run that writes to these places, which are absolute.
    pub fn claim_to_run(&self, places: &[PathBuf]) -> Claim<'_> {
        self.claim(places, Deed::Run)
    }

    /// The outputs of a command are about to be restored at these places, which are absolute.
    pub fn claim_to_replay(&self, places: &[PathBuf]) -> Claim<'_> {
        self.claim(places, Deed::Replay)
    }

    fn claim(&self, places: &[PathBuf], deed: Deed) -> Claim<'_> {
        let is_possible = self.access == Access::ReadWrite && !places.is_empty();
        // Where nothing can be locked nobody knows of anybody.
        let file = is_possible.then(|| self.lock_file().ok()).flatten();
        let since = file.as_ref().filter(|_| deed == Deed::Run).map(|_| journal::end(&self.folder));
        let places = places.iter().map(|place| Digest::of(place.as_os_str().as_bytes())).collect();
        let mut claim = Claim { store: self, file, deed, places, since, was_met: false };
        claim.was_met = claim.takes_places();
        claim
    }

    /// Waits until nobody else restores what a command left; `None` where that is impossible or takes too long.
    pub fn turn(&self, command: &CommandDigest) -> Option<Turn> {
        if self.access != Access::ReadWrite {
            return None;
        }
        let turn = Turn { file: self.lock_file().ok()?, byte: TURNS + place_of(&command.0) };
        let ask = || lock::try_exclusive(&turn.file, turn.byte);
        matches!(granted_within(PATIENCE, PAUSE, ask), Ok(true)).then_some(turn)
    }
}

impl Claim<'_> {
    /// Takes the locks; says whether somebody was there.
    fn takes_places(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let is_held = |byte| lock::is_held_by_others(file, byte).unwrap_or(false);
        let mut was_met = false;
        for place in &self.places {
            let (run, replay) = (RUNS + place_of(place), REPLAYS + place_of(place));
            let _ = lock::try_shared(file, if self.deed == Deed::Run { run } else { replay });
            // Replays of one call do each other no harm.
            let is_run = is_held(run) && !is_run_around_us(file, place);
            if self.deed == Deed::Run {
                // So that what runs inside of it knows who was here first. Where that is another one already, it stays.
                let _ = lock::announce(file, ANNOUNCED + place_of(place));
            }
            if is_run {
                self.store.note(&Event::Contested { place: *place });
            }
            was_met |= is_run || (self.deed == Deed::Run && is_held(replay));
        }
        was_met
    }

    /// Whether somebody else wrote to one of the places, or may have, since they were claimed.
    pub fn was_shared(&self) -> bool {
        let Some(since) = &self.since else { return false };
        if self.was_met {
            return true;
        }
        // Where too much happened, or the journal cannot be read, nobody knows.
        let Ok(mut since) = since.as_ref().copied() else { return true };
        let Ok(Some(lines)) = since.read_on(&self.store.folder) else { return true };
        let is_mine = |event| matches!(event, Event::Contested { place } if self.places.contains(&place));
        journal::events(&lines).any(|(_, event)| is_mine(event))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        for place in &self.places {
            if self.deed == Deed::Run {
                let _ = lock::withdraw(file, ANNOUNCED + place_of(place));
            }
            let first = if self.deed == Deed::Run { RUNS } else { REPLAYS };
            // Where it cannot be released it ends with the process.
            let _ = lock::release(file, first + place_of(place));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = lock::release(&self.file, self.byte);
    }
}

/// Whether the one that was first at a place waits for us: what we write there is what its command does.
fn is_run_around_us(file: &File, place: &Digest) -> bool {
    let first = lock::announcer(file, ANNOUNCED + place_of(place)).ok().flatten();
    first.is_some_and(|first| Ancestors::of_this_process().include(first))
}

/// The byte that stands for a digest in each kind. Two that share one only take each other for the other.
fn place_of(digest: &Digest) -> u64 {
    let mut low = [0; 8];
    low.copy_from_slice(&digest.0[..8]);
    u64::from_le_bytes(low) % (PLACES - 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, again};

    /// Another process, to the kernel.
    fn other(world: &World) -> Store {
        Store::open(world.store.folder()).unwrap()
    }

    fn places(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn of_two_that_overlap_both_know_whoever_ends_first() {
        let world = World::new();
        let (second, third) = (other(&world), other(&world));
        let first = world.store.claim_to_run(&places(&["/a", "/b"]));
        assert!(!first.was_shared());
        let shorter = second.claim_to_run(&places(&["/b", "/c"]));
        assert!(shorter.was_shared());
        drop(shorter);
        assert!(first.was_shared());
        // The second one is gone, and the first one is still there.
        let late = third.claim_to_run(&places(&["/a"]));
        drop(first);
        assert!(late.was_shared());
        drop(late);
        assert!(!second.claim_to_run(&places(&["/a", "/b", "/c"])).was_shared());
    }

    #[test]
    fn other_places_are_nobodys_concern() {
        let world = World::new();
        let second = other(&world);
        let first = world.store.claim_to_run(&places(&["/a"]));
        assert!(!second.claim_to_run(&places(&["/b"])).was_shared());
        assert!(!first.was_shared());
        assert!(!second.claim_to_run(&[]).was_shared());
    }

    #[test]
    fn a_replay_at_the_place_of_a_run_is_known_to_the_run() {
        let world = World::new();
        let (second, third) = (other(&world), other(&world));
        let run = world.store.claim_to_run(&places(&["/a"]));
        drop(second.claim_to_replay(&places(&["/a"])));
        assert!(run.was_shared());
        drop(run);
        let replay = second.claim_to_replay(&places(&["/a"]));
        let end = journal::end(&world.store.folder).unwrap();
        drop(third.claim_to_replay(&places(&["/a"])));
        assert!(journal::since(&world.store.folder, end).is_empty(), "replays tell each other");
        assert!(world.store.claim_to_run(&places(&["/a"])).was_shared());
        drop(replay);
        assert!(!world.store.claim_to_run(&places(&["/a"])).was_shared());
    }

    #[test]
    fn a_turn_is_one_at_a_time() {
        let world = World::new();
        let second = other(&world);
        let (command, byte) = (CommandDigest(Digest([7; 32])), TURNS + place_of(&Digest([7; 32])));
        let turn = world.store.turn(&command).unwrap();
        let file = second.lock_file().unwrap();
        assert!(!lock::try_exclusive(&file, byte).unwrap());
        drop(turn);
        assert!(second.turn(&command).is_some());
        let beginning_with = |low: u64| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&low.to_le_bytes());
            Digest(digest)
        };
        assert_eq!([PLACES - 3, PLACES - 2].map(|low| place_of(&beginning_with(low))), [PLACES - 3, 0]);
        let highest = place_of(&Digest([0xff; 32]));
        assert!(REPLAYS + highest < lock::LAST_BYTE && ANNOUNCED + PLACES <= 1 << 62);
    }

    #[test]
    fn a_store_that_is_only_read_has_no_claims() {
        let world = World::new();
        let _run = world.store.claim_to_run(&places(&["/a"]));
        std::fs::remove_file(world.store.folder().join("lock")).unwrap();
        let read = Store::open_read_only(world.store.folder()).unwrap();
        assert!(!read.claim_to_run(&places(&["/a"])).was_shared());
        assert!(!world.store.folder().join("lock").exists());
    }

    #[test]
    fn who_runs_inside_of_the_first_is_part_of_it_and_nobody_else_is() {
        const TEST: &str = "store::claims::tests::who_runs_inside_of_the_first_is_part_of_it_and_nobody_else_is";
        if let Some(folder) = again::folder(TEST) {
            let store = Store::open(&folder).unwrap();
            let claim = store.claim_to_run(&places(&["/a", "/b"]));
            return again::tell(&claim.was_shared().to_string());
        }
        let world = World::new();
        let inside = || again::start(TEST, world.store.folder());
        let first = world.store.claim_to_run(&places(&["/a", "/b"]));
        let (mut child, was_shared) = inside();
        assert_eq!((was_shared.as_str(), first.was_shared()), ("false", false));
        drop(first);
        // Now that one is the first, and the next one is beside it.
        drop(child.stdin.take());
        child.wait().unwrap();
        let (mut one, was_shared) = inside();
        assert_eq!(was_shared, "false");
        let (mut other, was_shared) = inside();
        assert_eq!(was_shared, "true");
        for child in [&mut one, &mut other] {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    }
}
