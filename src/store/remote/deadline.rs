//! When nothing is waited for any more, however much is still to come.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "http")]
use std::{
    io::{self, ErrorKind},
    time::Duration,
};

#[cfg(feature = "http")]
use crate::sys::clock;

/// Times of the clock that only goes forward, in nanoseconds. Whoever has one may set it anew for what is under way.
#[derive(Debug)]
pub struct Deadline {
    /// What is asked for now is of no use later.
    end: AtomicU64,
    /// Whatever it is.
    last: AtomicU64,
    /// Of what nobody needs.
    #[cfg(feature = "http")]
    leftovers: AtomicU64,
    /// How long something was done whose time does not count.
    aside: AtomicU64,
}

impl Default for Deadline {
    fn default() -> Deadline {
        let never = || AtomicU64::new(u64::MAX);
        Deadline {
            end: never(),
            last: never(),
            #[cfg(feature = "http")]
            leftovers: never(),
            aside: AtomicU64::new(0),
        }
    }
}

impl Deadline {
    /// What is asked for from now on is waited for until then, and longer by what does not count.
    pub fn set(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// Nothing at all is waited for beyond this.
    pub fn set_last(&self, last: u64) {
        self.last.store(last, Ordering::Relaxed);
    }

    /// How much time, in nanoseconds, did not count so far.
    pub fn aside(&self) -> u64 {
        self.aside.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "http")]
impl Deadline {
    /// The one for whoever is asked about something else meanwhile: within `time`, and not beyond the last moment of this one.
    #[cfg(feature = "s3")]
    pub fn another(&self, time: Duration) -> Deadline {
        let another = Deadline::default();
        another.set(clock::monotonic().saturating_add(clock::nanoseconds(time)));
        another.set_last(self.last.load(Ordering::Relaxed));
        another
    }

    /// Does something whose time does not count, but for the last moment of all: for that so much time is left.
    pub fn beside<T>(&self, work: impl FnOnce(Duration) -> T) -> T {
        let begun = clock::monotonic();
        let left = self.last.load(Ordering::Relaxed).saturating_sub(begun);
        let done = work(Duration::from_nanos(left));
        let took = clock::monotonic().saturating_sub(begun);
        self.set(self.end.load(Ordering::Relaxed).saturating_add(took));
        self.aside.fetch_add(took, Ordering::Relaxed);
        done
    }

    /// What comes now is waited for a moment only, until the next request.
    pub fn leftovers(&self, moment: Duration) {
        let end = clock::monotonic().saturating_add(clock::nanoseconds(moment));
        self.leftovers.store(end, Ordering::Relaxed);
    }

    /// A request begins.
    pub fn request(&self) {
        self.leftovers.store(u64::MAX, Ordering::Relaxed);
    }

    /// What is left of a time until then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] where that is over.
    pub fn left_of(&self, time: Duration) -> io::Result<Duration> {
        let ends = [&self.end, &self.last, &self.leftovers].map(|end| end.load(Ordering::Relaxed));
        let end = ends.into_iter().fold(u64::MAX, u64::min);
        let left = end.saturating_sub(clock::monotonic());
        match Duration::from_nanos(left).min(time) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

#[cfg(feature = "http")]
#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_is_done_beside_does_not_count() {
        let deadline = Deadline::default();
        let end = clock::monotonic() + SECOND;
        deadline.set(end);
        let ended = deadline.beside(|_| {
            while clock::monotonic() <= end {
                clock::pause(Duration::from_millis(50));
            }
            clock::monotonic()
        });
        assert!(deadline.end.load(Ordering::Relaxed) > ended);
        assert!(deadline.aside() >= ended - (end - SECOND) - SECOND / 2);
        // Where there is no end there is none.
        deadline.set(u64::MAX);
        deadline.beside(|_| ());
        assert_eq!(deadline.end.load(Ordering::Relaxed), u64::MAX);
    }

    #[test]
    fn the_last_moment_of_all_is_not_put_off() {
        let deadline = Deadline::default();
        let last = clock::monotonic() + 3600 * SECOND;
        deadline.set_last(last);
        let left = deadline.beside(|left| left);
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(1800));
        assert_eq!(deadline.last.load(Ordering::Relaxed), last);
        let long = Duration::from_secs(86_400);
        assert!(deadline.left_of(long).unwrap() <= Duration::from_secs(3600));
        deadline.set(0);
        assert_eq!(deadline.left_of(long).unwrap_err().kind(), ErrorKind::TimedOut);
        deadline.set(u64::MAX);
        deadline.set_last(0);
        assert_eq!(deadline.left_of(long).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(deadline.beside(|left| left), Duration::ZERO);
    }
}
