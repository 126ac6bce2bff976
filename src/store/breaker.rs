//! Leaving a store beyond this machine alone that does not work, so that nobody waits for it again and again.
//!
//! A circuit breaker, after M. Nygard's *Release It!*: [`FAILURES`] failures in a row open it, for [`FIRST`] nanoseconds and
//! twice as long each time after that; then one process tries, and what it finds closes or opens it. All processes that use a
//! cache share one for each store, in a small file: without one it is closed.

use std::fs::File;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Access, Failure, Store};
use crate::model::Remote;
use crate::sys::{clock, lock};

/// So many failures in a row open it.
const FAILURES: u64 = 2;
/// For how long at first, in nanoseconds.
const FIRST: i64 = 30_000_000_000;
/// For how long at most, in nanoseconds, unless the store asks for more.
const LONGEST: i64 = 600_000_000_000;
/// For how long whatever is said in the file, in nanoseconds.
const MOST: i64 = 3_600_000_000_000;
/// The part of that, in per cent, by which machines differ: they are not to come back all at once.
const SPREAD: i64 = 20;
/// No reason is longer, in characters.
const LONGEST_REASON: usize = 200;
/// No state is longer, in bytes.
const LARGEST: usize = 4096;

/// What a store is asked to do. One that cannot be written can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Give what it has.
    Ask,
    /// Take what was made here.
    Send,
}

/// Why a store is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What failed last.
    pub why: String,
    /// For how much longer.
    pub left: Duration,
}

/// The right to use a store once.
pub struct Breaker {
    name: String,
    was: State,
    /// Held by the one process that tries.
    _probe: Option<File>,
}

/// What is remembered of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// In a row.
    failures: u64,
    /// Nanoseconds since 1970: when the last one was, and until when it is left alone.
    at: i64,
    until: i64,
    /// Whether it does not let us, since it worked last.
    denied: bool,
    why: String,
}

impl State {
    fn is_open(&self, now: i64) -> bool {
        // A clock that was set back does not keep it open.
        self.until.min(self.at.saturating_add(MOST)) > now && self.at <= now
    }

    fn encode(&self) -> Vec<u8> {
        let State { failures, at, until, denied, why } = self;
        json!({"failures": failures, "at": at, "until": until, "denied": denied, "why": why}).to_string().into_bytes()
    }

    /// None where it is none: then the store is asked.
    fn decode(bytes: &[u8]) -> Option<State> {
        let state: Value = serde_json::from_slice(bytes).ok()?;
        Some(State {
            failures: state["failures"].as_u64()?,
            at: state["at"].as_i64()?,
            until: state["until"].as_i64()?,
            denied: state["denied"].as_bool()?,
            why: state["why"].as_str()?.to_owned(),
        })
    }

    /// After one more failure.
    fn failed(self, failure: &Failure, now: i64) -> State {
        let asked_for = match failure {
            Failure::Busy(_, time) => i64::try_from(clock::nanoseconds(*time)).unwrap_or(LONGEST),
            _ => 0,
        };
        let is_old = now.saturating_sub(self.at) > LONGEST.max(self.until.saturating_sub(self.at)) + LONGEST;
        let before = if is_old { 0 } else { self.failures };
        let counts = matches!(failure, Failure::Denied(_) | Failure::Busy(..));
        let more = before.saturating_add(1);
        let failures = if counts { more.max(FAILURES) } else { more };
        let times = failures.saturating_sub(FAILURES).min(10);
        let time = if failures < FAILURES { 0 } else { spread((FIRST << times).min(LONGEST), now).max(asked_for) };
        let denied = self.denied || matches!(failure, Failure::Denied(_));
        State {
            failures,
            at: now,
            until: now.saturating_add(time),
            denied,
            why: failure.to_string().chars().take(LONGEST_REASON).collect(),
        }
    }
}

/// A time that is a little longer or shorter by chance.
fn spread(time: i64, now: i64) -> i64 {
    // The clock's last digits are as good as random.
    let part = now.unsigned_abs() / 1000 % (SPREAD as u64 + 1);
    time / 100 * (100 - SPREAD / 2 + part as i64)
}

impl Store {
    /// The right to use a store; none while it is left alone.
    ///
    /// # Errors
    ///
    /// Why it is left alone.
    pub fn breaker(&self, remote: &Remote, road: Road) -> Result<Breaker, Open> {
        self.breaker_at(remote, road, clock::now())
    }

    fn breaker_at(&self, remote: &Remote, road: Road, now: i64) -> Result<Breaker, Open> {
        let mut breaker = self.breaker_anyway(remote, road);
        let was = &breaker.was;
        if was.failures < FAILURES {
            return Ok(breaker);
        }
        if was.is_open(now) {
            let left = Duration::from_nanos(was.until.min(was.at.saturating_add(MOST)).abs_diff(now));
            return Err(Open { why: was.why.clone(), left });
        }
        match self.probe(&breaker.name) {
            Ok(probe) => {
                breaker._probe = probe;
                Ok(breaker)
            }
            Err(_) => Err(Open { why: was.why.clone(), left: Duration::ZERO }),
        }
    }

    /// The right to use a store, whoever leaves it alone: for who asks for it.
    pub fn breaker_anyway(&self, remote: &Remote, road: Road) -> Breaker {
        let end = match road {
            Road::Ask => "ask",
            Road::Send => "send",
        };
        let name = format!("{}.{end}", super::outbox::folder_of(remote));
        Breaker { was: self.state(&name), name, _probe: None }
    }

    fn state(&self, name: &str) -> State {
        self.folder.read_small(name, LARGEST).ok().and_then(|bytes| State::decode(&bytes)).unwrap_or_default()
    }

    /// Whether nobody has told the user yet; from now on somebody has.
    fn is_first_to_tell(&self, name: &str) -> bool {
        let note = || self.folder.put_new(self.folder.temporary()?, &told(name));
        // Too often is better than never.
        self.access == Access::ReadWrite && note().unwrap_or(true)
    }

    /// Nobody else tries as long as it is held; an error where somebody does. Where nothing can be locked, everybody does.
    fn probe(&self, name: &str) -> io::Result<Option<File>> {
        let Ok(file) = self.folder.open_or_create(&format!("{name}.lock")) else { return Ok(None) };
        match lock::try_exclusive(&file, 0) {
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(true) | Err(_) => Ok(Some(file)),
        }
    }
}

impl Breaker {
    /// It worked: nobody has a reason to leave it alone.
    pub fn worked(&self, store: &Store) {
        if self.was != State::default() && store.access == Access::ReadWrite {
            let _ = store.folder.remove_all(&told(&self.name));
            let _ = store.folder.remove_all(&self.name);
        }
    }

    /// It failed.
    pub fn failed(&self, store: &Store, failure: &Failure) {
        self.failed_at(store, failure, clock::now());
    }

    /// Whether it did not let us, when this was asked for.
    pub fn is_denied(&self) -> bool {
        self.was.denied
    }

    /// Why it does not let us, for one of all who ask: the user should be told, once.
    pub fn news(&self, store: &Store) -> Option<String> {
        let state = store.state(&self.name);
        (state.denied && store.is_first_to_tell(&self.name)).then_some(state.why)
    }

    fn failed_at(&self, store: &Store, failure: &Failure, now: i64) {
        // Who answers something of no use works.
        if matches!(failure, Failure::Wrong(_) | Failure::Refused(_) | Failure::Slow) {
            self.worked(store);
        }
        // Others who failed at the same time have counted for all.
        let state = store.state(&self.name);
        if !failure.is_of_the_store() || state.is_open(now) {
            return;
        }
        let state = state.failed(failure, now);
        if store.access == Access::ReadWrite {
            // Where it cannot be noted, the next one waits as well.
            let _ = store.folder.write(&self.name, &state.encode());
        }
    }
}

/// Where it is noted that the user was told.
fn told(name: &str) -> String {
    format!("{name}.told")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, remote};

    const SECOND: i64 = 1_000_000_000;
    const NOW: i64 = 1_700_000_000 * SECOND;

    fn broken() -> Failure {
        Failure::Unreachable("connection refused".to_owned())
    }

    /// Whether it may be asked, and for how many seconds not.
    fn left(world: &World, now: i64) -> Option<u64> {
        world.store.breaker_at(&remote("team", "main"), Road::Ask, now).err().map(|open| open.left.as_secs())
    }

    fn fails(world: &World, failure: &Failure, now: i64) {
        world.store.breaker_anyway(&remote("team", "main"), Road::Ask).failed_at(&world.store, failure, now);
    }

    fn news(world: &World) -> Option<String> {
        world.store.breaker_anyway(&remote("team", "main"), Road::Ask).news(&world.store)
    }

    #[test]
    fn two_failures_open_it_and_each_one_more_for_twice_as_long() {
        let world = World::new();
        assert_eq!(left(&world, NOW), None);
        fails(&world, &broken(), NOW);
        assert_eq!(left(&world, NOW), None);
        let mut now = NOW;
        for usual in [30, 60, 120, 240, 480, 600, 600] {
            fails(&world, &broken(), now);
            let time = left(&world, now).unwrap();
            assert!((usual * 9 / 10 - 1..=usual * 11 / 10).contains(&time), "{time} for {usual}");
            // Those that fail while it is open say nothing new.
            fails(&world, &broken(), now + SECOND);
            assert_eq!(left(&world, now), Some(time));
            now += time as i64 * SECOND + SECOND;
            assert_eq!(left(&world, now), None);
        }
        world.store.breaker_anyway(&remote("team", "main"), Road::Ask).worked(&world.store);
        fails(&world, &broken(), now);
        assert_eq!(left(&world, now), None);
    }

    #[test]
    fn one_process_tries_whether_it_works_again() {
        let world = World::new();
        let again = world.store.reopened().unwrap();
        let team = remote("team", "main");
        fails(&world, &broken(), NOW);
        fails(&world, &broken(), NOW);
        let later = NOW + 40 * SECOND;
        let one = world.store.breaker_at(&team, Road::Ask, later);
        assert!(one.is_ok());
        assert_eq!(again.breaker_at(&team, Road::Ask, later).err().unwrap().left, Duration::ZERO);
        one.ok().unwrap().worked(&world.store);
        assert!(again.breaker_at(&team, Road::Ask, later).is_ok());
    }

    #[test]
    fn a_store_that_denies_or_is_busy_is_left_alone_at_once_and_told_of_once() {
        let world = World::new();
        let denied = Failure::Denied("it answers 403 Forbidden".to_owned());
        assert_eq!(news(&world), None);
        fails(&world, &denied, NOW);
        assert!(left(&world, NOW).is_some());
        // Of many who hear it at once, one tells.
        let told = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| news(&world).is_some())).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).filter(|is_told| *is_told).count()
        });
        fails(&world, &denied, NOW + 40 * SECOND);
        fails(&world, &broken(), NOW + 200 * SECOND);
        assert_eq!((told, news(&world)), (1, None));
        world.store.breaker_anyway(&remote("team", "main"), Road::Ask).worked(&world.store);
        fails(&world, &broken(), NOW);
        assert_eq!(news(&world), None);
        fails(&world, &denied, NOW);
        assert_eq!(news(&world), Some("it answers 403 Forbidden".to_owned()));
        let world = World::new();
        fails(&world, &Failure::Busy("503".to_owned(), Duration::from_secs(1234)), NOW);
        assert_eq!(left(&world, NOW), Some(1234));
    }

    #[test]
    fn what_is_not_the_stores_fault_is_not_counted() {
        let world = World::new();
        for _ in 0..5 {
            for failure in [Failure::Wrong(String::new()), Failure::Slow, Failure::Refused(String::new())] {
                fails(&world, &failure, NOW);
            }
        }
        assert_eq!(left(&world, NOW), None);
    }

    #[test]
    fn an_answer_of_no_use_closes_it_and_no_reason_is_too_long_to_be_kept() {
        let world = World::new();
        let long = Failure::Unreachable("x".repeat(10_000));
        fails(&world, &long, NOW);
        fails(&world, &long, NOW);
        assert!(left(&world, NOW).is_some());
        let later = NOW + 40 * SECOND;
        assert_eq!(left(&world, later), None);
        fails(&world, &Failure::Wrong(String::new()), later);
        fails(&world, &broken(), later);
        assert_eq!(left(&world, later), None, "one failure since it answered");
    }

    #[test]
    fn failures_of_long_ago_and_states_that_are_none_are_forgotten() {
        let world = World::new();
        let day = 24 * 3600 * SECOND;
        fails(&world, &broken(), NOW);
        fails(&world, &broken(), NOW + day);
        assert_eq!(left(&world, NOW + day), None);
        fails(&world, &broken(), NOW + day);
        assert!(left(&world, NOW + day).is_some());
        // The clock was set back.
        assert_eq!(left(&world, NOW), None);
        let name = world.store.breaker_anyway(&remote("team", "main"), Road::Ask).name;
        std::fs::write(world.store.folder().join(name), "something else").unwrap();
        assert_eq!(left(&world, NOW + day), None);
    }

    #[test]
    fn a_store_that_cannot_be_written_can_be_read() {
        let world = World::new();
        let team = remote("team", "main");
        for _ in 0..2 {
            world.store.breaker_anyway(&team, Road::Send).failed_at(&world.store, &broken(), NOW);
        }
        assert!(world.store.breaker_at(&team, Road::Send, NOW).is_err());
        assert!(world.store.breaker_at(&team, Road::Ask, NOW).is_ok());
        assert!(world.store.breaker_at(&remote("far", "main"), Road::Send, NOW).is_ok());
    }
}
