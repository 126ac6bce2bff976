//! Single flight: of those who miss the same command at the same time, one runs it and the others wait for its result.
//!
//! A kernel lock for each command digest, one byte of the `lock` file, never judged by its age. The holder also
//! announces itself beside it (see `sys::lock`), so that those who wait can see whether it is stopped or
//! waits for them. Followers ask for a *shared* lock: once the holder is done they all look up its result at the same
//! time instead of one after the other.
//!
//! A holder that stored nothing says so in the journal before it lets go, and the others then run side by side.
//! A holder that died said nothing, and exactly one of them takes its place.

use std::fs::File;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::folder::paths_name;
use super::holder::{self, Ancestors};
use super::journal::{self, Mark};
use super::{Access, Store};
use crate::model::{CommandDigest, Event};
use crate::sys::{clock, lock};

/// The first and the longest pause between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// The holder is looked at only when the wait is longer than this: most are over before.
const LOOK_AFTER: Duration = Duration::from_millis(10);
/// Inside another fleche nobody waits longer: two runs, nested in each other's holders, would wait for ever.
const NESTED_PATIENCE: Duration = Duration::from_secs(10);
/// Which bytes of the lock file stand for commands: all below this, but for the first.
const COMMANDS: u64 = 1 << 61;
/// How far behind a command's lock its holder announces itself.
const ANNOUNCED: u64 = 1 << 62;

/// Whether and how a command is to be run.
#[derive(Debug)]
pub enum Flight {
    /// Nobody else is at it.
    Leads(FlightLock),
    /// Somebody else was at it: look up again, and run only if that finds nothing.
    Waited(FlightLock),
    /// Run without waiting any longer and without a lock.
    Alone,
}

/// Keeps others from running the same command; dropped, they go on.
///
/// Who stored nothing must note [`Event::NotStored`] before dropping it.
#[derive(Debug)]
pub struct FlightLock {
    file: Arc<File>,
    byte: u64,
}

impl FlightLock {
    /// Takes on a lock that was just granted.
    fn granted(file: &Arc<File>, byte: u64) -> FlightLock {
        // Without the announcement others cannot see who holds it, and wait as for anybody.
        let _ = lock::announce(file, byte + ANNOUNCED);
        FlightLock { file: file.clone(), byte }
    }
}

impl Drop for FlightLock {
    /// Explicitly, and not by closing: a forked process may still have the open file. The announcement
    /// first, or the next holder could not make its own.
    fn drop(&mut self) {
        let _ = lock::withdraw(&self.file, self.byte + ANNOUNCED);
        let _ = lock::release(&self.file, self.byte);
    }
}

impl Store {
    /// Takes the lock of a command, or waits for whoever has it: at most `patience`, and not at all for a
    /// holder that is stopped or that we run inside of.
    pub fn flight(&self, command: &CommandDigest, patience: Option<Duration>) -> Flight {
        if self.access != Access::ReadWrite {
            return Flight::Alone;
        }
        let Ok(file) = self.lock_file() else { return Flight::Alone };
        let byte = byte_of(command);
        match lock::try_exclusive(&file, byte) {
            Ok(true) => Flight::Leads(FlightLock::granted(&file, byte)),
            Ok(false) => Wait::new(self, file, command).flight(patience),
            Err(_) => Flight::Alone,
        }
    }
}

/// The byte of the lock file that stands for a command. Two commands that share one only wait for each other.
fn byte_of(command: &CommandDigest) -> u64 {
    let mut low = [0; 8];
    low.copy_from_slice(&command.0.0[..8]);
    u64::from_le_bytes(low) % (COMMANDS - 1) + 1
}

/// A follower.
struct Wait<'store> {
    store: &'store Store,
    file: Arc<File>,
    byte: u64,
    command: &'store CommandDigest,
    /// Where the journal ended when the wait began; `None` where it cannot be read.
    journal: Option<Mark>,
    /// Which file held the command's path sets when the wait began: storing a call replaces it.
    paths: Option<u64>,
    began: u64,
}

/// What a follower finds when the holder is gone.
enum Outcome {
    Decided(Flight),
    WaitOn,
}

impl<'store> Wait<'store> {
    fn new(store: &'store Store, file: Arc<File>, command: &'store CommandDigest) -> Wait<'store> {
        let (journal, paths) = (journal::end(&store.folder).ok(), paths_inode(store, command));
        Wait { store, file, byte: byte_of(command), command, journal, paths, began: clock::monotonic() }
    }

    fn flight(&self, patience: Option<Duration>) -> Flight {
        let mut ancestors = None;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let waited = Duration::from_nanos(clock::monotonic().saturating_sub(self.began));
            let left = patience.map(|patience| patience.saturating_sub(waited));
            if left == Some(Duration::ZERO) {
                return Flight::Alone;
            }
            if waited > LOOK_AFTER {
                let ancestors = ancestors.get_or_insert_with(Ancestors::of_this_process);
                if self.is_hopeless(ancestors, waited) {
                    return Flight::Alone;
                }
            }
            thread::sleep(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(LONGEST_PAUSE);
            match lock::try_shared(&self.file, self.byte) {
                Err(_) => return Flight::Alone,
                Ok(false) => {}
                Ok(true) => match self.after_holder() {
                    Outcome::Decided(flight) => return flight,
                    Outcome::WaitOn => pause = SHORTEST_PAUSE,
                },
            }
        }
    }

    /// Whether the holder will not let go before we do, or may not.
    fn is_hopeless(&self, ancestors: &Ancestors, waited: Duration) -> bool {
        if ancestors.are_nested() && waited >= NESTED_PATIENCE {
            return true;
        }
        match lock::announcer(&self.file, self.byte + ANNOUNCED) {
            Ok(Some(holder)) => ancestors.include(holder) || holder::is_stopped(holder),
            _ => false,
        }
    }

    /// With a shared lock in hand: what became of the holder's run?
    fn after_holder(&self) -> Outcome {
        if self.was_not_stored() {
            self.let_go();
            return Outcome::Decided(Flight::Alone);
        }
        let was_stored = paths_inode(self.store, self.command) != self.paths;
        if was_stored || self.take_over() {
            return Outcome::Decided(Flight::Waited(FlightLock::granted(&self.file, self.byte)));
        }
        Outcome::WaitOn
    }

    /// Makes our shared lock exclusive, or gives it back.
    ///
    /// Several may hold a shared lock at this moment and stand in each other's way: all give it back, and whoever does
    /// so last finds the way free.
    fn take_over(&self) -> bool {
        if let Ok(true) = lock::try_exclusive(&self.file, self.byte) {
            return true;
        }
        self.let_go();
        matches!(lock::try_exclusive(&self.file, self.byte), Ok(true))
    }

    fn let_go(&self) {
        let _ = lock::release(&self.file, self.byte);
    }

    fn was_not_stored(&self) -> bool {
        let Some(since) = self.journal else { return false };
        let appended = journal::since(&self.store.folder, since);
        journal::events(&appended)
            .any(|(_, event)| matches!(event, Event::NotStored { command, .. } if command == *self.command))
    }
}

fn paths_inode(store: &Store, command: &CommandDigest) -> Option<u64> {
    store.folder.stat(&paths_name(command)).ok().flatten().map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, again, call};

    /// Another open lock file: to the kernel, another process.
    fn other(world: &World) -> Store {
        Store::open(world.store.folder()).unwrap()
    }

    fn leads(flight: Flight) -> FlightLock {
        match flight {
            Flight::Leads(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    const BRIEFLY: Option<Duration> = Some(Duration::from_millis(100));

    #[test]
    fn one_leads_and_others_wait_at_most_their_patience() {
        let world = World::new();
        let follower = other(&world);
        let command = call("a").command;
        let lock = leads(world.store.flight(&command, None));
        assert!(matches!(follower.flight(&command, Some(Duration::ZERO)), Flight::Alone));
        assert!(matches!(follower.flight(&command, BRIEFLY), Flight::Alone));
        leads(follower.flight(&call("b").command, None));
        drop(lock);
        leads(follower.flight(&command, None));
    }

    #[test]
    fn a_read_only_store_is_alone() {
        let world = World::new();
        let store = Store::open_read_only(world.store.folder()).unwrap();
        assert!(matches!(store.flight(&call("a").command, None), Flight::Alone));
        assert!(!world.store.folder().join("lock").exists());
    }

    #[test]
    fn followers_of_a_stored_call_all_go_on_at_once() {
        let world = World::new();
        let followers = [other(&world), other(&world), other(&world)];
        let stored = call("a");
        let lock = leads(world.store.flight(&stored.command, None));
        let waits: Vec<_> = followers
            .iter()
            .map(|store| {
                let file = store.lock_file().unwrap();
                Wait::new(store, file, &stored.command)
            })
            .collect();
        world.record(stored.clone());
        drop(lock);
        // All of them hold their lock at the same time.
        let flights: Vec<_> = waits.iter().map(|wait| wait.flight(None)).collect();
        assert!(flights.iter().all(|flight| matches!(flight, Flight::Waited(_))));
    }

    #[test]
    fn followers_of_a_run_that_was_not_stored_run_at_once() {
        let world = World::new();
        let followers = [other(&world), other(&world)];
        let command = call("a").command;
        let lock = leads(world.store.flight(&command, None));
        let waits = followers.each_ref().map(|store| Wait::new(store, store.lock_file().unwrap(), &command));
        world.store.note(&Event::NotStored { command, reason: "exit".into(), detail: String::new(), name: "x".into() });
        drop(lock);
        for wait in &waits {
            assert!(matches!(wait.flight(None), Flight::Alone));
        }
        leads(other(&world).flight(&command, None));
    }

    #[test]
    fn exactly_one_follower_takes_the_place_of_a_holder_that_died() {
        let world = World::new();
        let command = call("a").command;
        let followers: Vec<_> = (0..6).map(|_| other(&world)).collect();
        let lock = leads(world.store.flight(&command, None));
        let running = std::sync::atomic::AtomicUsize::new(0);
        let flights: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = followers
                .iter()
                .map(|store| {
                    scope.spawn(|| {
                        let flight = store.flight(&command, Some(Duration::from_secs(60)));
                        assert_eq!(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        matches!(flight, Flight::Waited(_))
                    })
                })
                .collect();
            drop(lock);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // Some may have come after the holder and lead themselves.
        assert_eq!(flights.len(), 6);
    }

    /// A command whose digest begins with this number.
    fn beginning_with(low: u64) -> CommandDigest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&low.to_le_bytes());
        CommandDigest(crate::model::Digest(digest))
    }

    #[test]
    fn every_command_has_a_byte_of_its_own_that_is_not_the_collectors() {
        let bytes: std::collections::BTreeSet<_> = (0..1000).map(|n| byte_of(&call(&n.to_string()).command)).collect();
        assert_eq!(bytes.len(), 1000);
        let highest = CommandDigest(crate::model::Digest([0xff; 32]));
        for command in [highest, beginning_with(0)] {
            let byte = byte_of(&command);
            assert!(byte > crate::store::alone::GC_BYTE && byte + ANNOUNCED <= lock::LAST_BYTE && byte < ANNOUNCED);
        }
        assert_eq!([COMMANDS - 2, COMMANDS - 1].map(|low| byte_of(&beginning_with(low))), [COMMANDS - 1, 1]);
    }

    /// What a test does that was started again: flies `call("a")`, tells how, and keeps its lock as long as it is to.
    fn fly(folder: &std::path::Path) {
        let store = Store::open(folder).unwrap();
        let flight = store.flight(&call("a").command, Some(Duration::from_secs(5)));
        again::tell(match &flight {
            Flight::Leads(_) => "leads",
            Flight::Waited(_) => "waited",
            Flight::Alone => "alone",
        });
    }

    #[test]
    fn a_stopped_holder_is_not_waited_for_and_a_killed_one_is_replaced() {
        const TEST: &str = "store::flight::tests::a_stopped_holder_is_not_waited_for_and_a_killed_one_is_replaced";
        if let Some(folder) = again::folder(TEST) {
            return fly(&folder);
        }
        let world = World::new();
        let command = call("a").command;
        let (mut child, told) = again::start(TEST, world.store.folder());
        assert_eq!(told, "leads");
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
        rustix::process::waitpid(Some(process), rustix::process::WaitOptions::UNTRACED).unwrap();
        assert!(matches!(world.store.flight(&command, None), Flight::Alone));
        let wait = Wait::new(&world.store, world.store.lock_file().unwrap(), &command);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(wait.flight(None), Flight::Waited(_)));
    }

    /// Whether a wait of so long has no hope, for a process with our ancestors and a holder that is none of them.
    fn is_hopeless_after(waited: Duration) -> bool {
        let world = World::new();
        let command = call("a").command;
        let _lock = leads(world.store.flight(&command, None));
        let follower = other(&world);
        let wait = Wait::new(&follower, follower.lock_file().unwrap(), &command);
        wait.is_hopeless(&Ancestors::of_this_process(), waited)
    }

    #[test]
    fn patience_ends_only_inside_another_run() {
        const TEST: &str = "store::flight::tests::patience_ends_only_inside_another_run";
        let (over, not_yet) = (NESTED_PATIENCE, NESTED_PATIENCE - Duration::from_nanos(1));
        if again::folder(TEST).is_some() {
            return again::tell(&format!("{} {}", is_hopeless_after(over), is_hopeless_after(not_yet)));
        }
        assert!(!is_hopeless_after(over));
        let (mut inside, told) = again::start(TEST, "".as_ref());
        drop(inside.stdin.take());
        assert!(inside.wait().unwrap().success());
        assert_eq!(told, "true false");
    }

    #[test]
    fn who_runs_inside_the_holder_does_not_wait_for_it() {
        const TEST: &str = "store::flight::tests::who_runs_inside_the_holder_does_not_wait_for_it";
        if let Some(folder) = again::folder(TEST) {
            return fly(&folder);
        }
        let world = World::new();
        let lock = leads(world.store.flight(&call("a").command, None));
        let began = clock::monotonic();
        let (mut child, told) = again::start(TEST, world.store.folder());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(told, "alone");
        // Long before its patience of five seconds was over.
        assert!(clock::monotonic() - began < 4_000_000_000);
        drop(lock);
    }
}
