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
/// Nothing is concluded from how fast it comes before so much has come, in bytes, over so long, in nanoseconds; or over so long
/// that it does not matter how much.
const SOME: u64 = 64 << 10;
const WARM_UP: u64 = 500_000_000;
const LONG: u64 = 2_000_000_000;
/// Who says nothing for so long, in nanoseconds, when time is up, is not slow but gone.
const QUIET: u64 = 500_000_000;
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
        Paced { inner, pace: *self, all, last: clock::monotonic(), first: None, got: 0 }
    }

    fn check_at(&self, got: u64, all: u64, since: u64, now: u64) -> Result<(), Failure> {
        // What was waited for before the first byte says nothing of how fast the others come.
        let taken = now.saturating_sub(since);
        let left = u128::from(taken) * u128::from(all.saturating_sub(got)) / u128::from(got.max(1));
        let is_known = (taken >= WARM_UP && got >= SOME) || taken >= LONG;
        let is_hopeless = is_known && got < all && left > u128::from(self.end.saturating_sub(now));
        if self.is_bounded() && is_hopeless { Err(Failure::Slow) } else { Ok(()) }
    }
}

/// Reads what comes fast enough.
pub struct Paced<R> {
    inner: R,
    pace: Pace,
    all: Option<u64>,
    /// When it was last looked for something, and something came; and before that, for the first time.
    last: u64,
    first: Option<u64>,
    got: u64,
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).map_err(|why| {
            let is_quiet = clock::monotonic().saturating_sub(self.last) >= QUIET;
            let failure = if self.pace.is_over() && !is_quiet { Failure::Slow } else { Failure::of_reading(why) };
            io::Error::other(Broken(failure))
        })?;
        let now = clock::monotonic();
        (self.last, self.got) = (now, self.got + read as u64);
        let since = *self.first.get_or_insert(now);
        let is_hopeless = match self.all {
            Some(all) => self.pace.check(self.got, all, since).is_err(),
            // A moment's worth may be missing.
            None => {
                let seconds = now.saturating_sub(since) / 1_000_000_000;
                read > 0 && self.pace.is_bounded() && self.got < seconds.saturating_sub(2) * SLOWEST
            }
        };
        if is_hopeless { Err(io::Error::other(Broken(Failure::Slow))) } else { Ok(read) }
    }
}

/// Why nothing more comes.
#[derive(Debug)]
struct Broken(Failure);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Broken {}

/// What an error means that came, maybe by way of somebody who takes apart what is read, from a [`Paced`]; none where it did not.
pub fn failure(why: &io::Error) -> Option<Failure> {
    why.get_ref().and_then(|inner| inner.downcast_ref::<Broken>()).map(|broken| broken.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_would_take_longer_than_it_is_worth_is_given_up() {
        let pace = Pace::of(10 * SECOND, 100);
        assert_eq!(pace.end(), 100 + 8 * SECOND);
        let all = 1000 << 10;
        let after = |seconds: u64, got: u64| pace.check_at(got << 10, all, 100, 100 + seconds * SECOND);
        assert_eq!(after(0, 0), Ok(()));
        assert_eq!(after(1, 125), Ok(()));
        assert_eq!(after(1, 124), Err(Failure::Slow));
        assert_eq!(after(1, 63), Ok(()), "too little to conclude anything");
        assert_eq!(after(2, 63), Err(Failure::Slow));
        assert_eq!(after(7, 1000), Ok(()));
        // A whole object is not thrown away.
        assert_eq!(after(9, 1000), Ok(()));
        // Who had to wait for the first byte does not conclude that all come as slowly.
        assert_eq!(pace.check_at(1, all, 100 + 4 * SECOND, 100 + 4 * SECOND + SECOND / 5), Ok(()));
    }

    #[test]
    fn what_takes_no_time_is_waited_for_a_moment() {
        assert_eq!(Pace::of(5, 0).end(), SECOND);
        assert_eq!(Pace::none().check(0, u64::MAX, 0), Ok(()));
    }
}
