//! The time.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// In nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
/// In nanoseconds.
pub const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Now, in nanoseconds since 1970.
pub fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    }
}

/// Nanoseconds by a clock that only goes forward; comparable within one boot.
pub fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A span of time in nanoseconds; one that is longer than these can tell is the longest.
pub fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets time pass.
pub fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}
