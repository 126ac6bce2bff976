//! How long what another machine made is worth waiting for: not as long as it takes to make it.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use super::Failure;
use crate::sys::clock;

/// The part of a command's time, in per cent, that its result may take to come.
const PART: u64 = 80;
/// What may be waited for in any case, in nanoseconds: who has begun to wait would lose more by giving up.
const LEAST: u64 = 1_000_000_000;
/// How long nothing is concluded from how fast it comes, in nanoseconds.
const WARM_UP: u64 = 250_000_000;
/// What comes more slowly, in bytes a second, might as well not come, where nobody knows how much it is.
const SLOWEST: u64 = 16 << 10;

/// Time that may be waited.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    end: u64,
}

impl Pace {
    /// For what took `wall` nanoseconds to make, waited for since `begun` by the clock that only goes forward.
    pub fn of(wall: u64, begun: u64) -> Pace {
        let worth = (wall / 100).saturating_mul(PART).max(LEAST);
        Pace { end: begun.saturating_add(worth) }
    }

    /// For what takes as long as it takes.
    pub fn none() -> Pace {
        Pace { end: u64::MAX }
    }

    /// Since now, at most so long.
    pub fn within(time: Duration) -> Pace {
        Pace { end: clock::monotonic().saturating_add(clock::nanoseconds(time)) }
    }

    /// When it is over, by the clock that only goes forward.
    pub fn end(&self) -> u64 {
        self.end
    }

    fn is_bounded(&self) -> bool {
        self.end < u64::MAX
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        clock::monotonic() >= self.end
    }

    /// Whether it will be in time, when `got` of `all` bytes have come since `since`.
    ///
    /// # Errors
    ///
    /// [`Failure::Slow`] where it will not.
    pub fn check(&self, got: u64, all: u64, since: u64) -> Result<(), Failure> {
        self.check_at(got, all, since, clock::monotonic())
    }

    /// `inner`, as long as it comes fast enough: so many bytes of it, or nobody knows how many.
    pub fn reads<R: Read>(&self, inner: R, all: Option<u64>) -> Paced<R> {
        Paced { inner, pace: *self, all, begun: clock::monotonic(), got: 0 }
    }

    /// What an error in reading what is paced means.
    pub fn failure(&self, why: io::Error) -> Failure {
        let is_ours = why.get_ref().is_some_and(|inner| inner.is::<TooSlow>());
        if is_ours || self.is_over() { Failure::Slow } else { Failure::of_reading(why) }
    }

    fn check_at(&self, got: u64, all: u64, since: u64, now: u64) -> Result<(), Failure> {
        // What was waited for before the first byte says nothing of how fast the others come.
        let taken = now.saturating_sub(since);
        let left = u128::from(taken) * u128::from(all.saturating_sub(got)) / u128::from(got.max(1));
        let is_hopeless = taken >= WARM_UP && got < all && left > u128::from(self.end.saturating_sub(now));
        if self.is_bounded() && is_hopeless { Err(Failure::Slow) } else { Ok(()) }
    }
}

/// Reads what comes fast enough.
pub struct Paced<R> {
    inner: R,
    pace: Pace,
    all: Option<u64>,
    begun: u64,
    got: u64,
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.got += read as u64;
        let hopeless = match self.all {
            Some(all) => self.pace.check(self.got, all, self.begun).is_err(),
            // A moment's worth may be missing.
            None => {
                let seconds = clock::monotonic().saturating_sub(self.begun) / 1_000_000_000;
                read > 0 && self.pace.is_bounded() && self.got < seconds.saturating_sub(2) * SLOWEST
            }
        };
        if hopeless { Err(io::Error::new(io::ErrorKind::TimedOut, TooSlow)) } else { Ok(read) }
    }
}

/// What is given up.
#[derive(Debug)]
struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it comes too slowly")
    }
}

impl std::error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_would_take_longer_than_it_is_worth_is_given_up() {
        let pace = Pace::of(10 * SECOND, 100);
        assert_eq!(pace.end(), 100 + 8 * SECOND);
        let after = |seconds: u64, got| pace.check_at(got, 1000, 100, 100 + seconds * SECOND);
        assert_eq!(after(0, 0), Ok(()));
        assert_eq!(after(1, 125), Ok(()));
        assert_eq!(after(1, 124), Err(Failure::Slow));
        assert_eq!(after(7, 1000), Ok(()));
        // A whole object is not thrown away.
        assert_eq!(after(9, 1000), Ok(()));
        // Who had to wait for the first byte does not conclude that all come as slowly.
        assert_eq!(pace.check_at(1, 1000, 100 + 4 * SECOND, 100 + 4 * SECOND + SECOND / 5), Ok(()));
    }

    #[test]
    fn what_takes_no_time_is_waited_for_a_moment() {
        assert_eq!(Pace::of(5, 0).end(), SECOND);
        assert_eq!(Pace::none().check(0, u64::MAX, 0), Ok(()));
    }
}
