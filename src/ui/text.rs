//! Sizes, durations and times, as people read them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::is_harmful;
use crate::sys::clock;

/// Binary units.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    let (unit, factor) = UNITS.into_iter().find(|(_, factor)| bytes >= *factor).unwrap_or(("B", 1));
    if factor == 1 { format!("{bytes} B") } else { format!("{:.1} {unit}", bytes as f64 / factor as f64) }
}

/// Nanoseconds as people read them.
pub fn duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match nanoseconds {
        0..1_000_000 => format!("{} µs", nanoseconds / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        1_000_000_000..60_000_000_000 => format!("{:.1} s", nanoseconds as f64 / 1e9),
        60_000_000_000..3_600_000_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Nanoseconds since 1970 as a local time.
pub fn time(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "-".to_owned(),
    }
}

/// A day, counted from 1970.
pub fn day(number: i64) -> String {
    let time = Timestamp::from_second(number.saturating_mul(86_400));
    time.map_or_else(|_| "-".to_owned(), |time| time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}

/// A time in nanoseconds since 1970, from a date, a date and time (local where nothing else is said), seconds since 1970 (perhaps
/// behind an `@`), or how long ago it was, as in `2h` or `3d`.
pub fn parse_time(text: &str) -> std::result::Result<i64, String> {
    let nanoseconds = |time: Timestamp| i64::try_from(time.as_nanosecond()).ok();
    let local = |time: DateTime| time.to_zoned(TimeZone::system()).ok().map(|time| time.timestamp());
    let ago = |time: std::time::Duration| Some(clock::now() - i64::try_from(time.as_nanos()).ok()?);
    let since_1970 = |text: &str| text.strip_prefix('@')?.parse::<i64>().ok()?.checked_mul(1_000_000_000);
    let seconds = |text: &str| {
        // As a table prints them.
        let seconds: f64 = text.parse().ok().filter(|seconds: &f64| seconds.is_finite())?;
        Some((seconds * 1e9) as i64)
    };
    since_1970(text)
        .or_else(|| seconds(text))
        .or_else(|| text.parse().ok().and_then(nanoseconds))
        .or_else(|| text.parse().ok().and_then(local).and_then(nanoseconds))
        .or_else(|| humantime::parse_duration(text).ok().and_then(ago))
        .ok_or_else(|| "a time is a date, as in 2026-11-20 or 2026-11-20T18:30, or how long ago, as in 2h".to_owned())
}

/// `text` with control characters shown and not sent, so that nothing recorded can drive a terminal or turn its lines
/// round.
pub fn escape(text: &str) -> String {
    if !text.chars().any(is_harmful) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if is_harmful(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_short() {
        assert_eq!((size(0), size(1023), size(1536)), ("0 B".into(), "1023 B".into(), "1.5 KiB".into()));
        assert_eq!(duration(1_500), "1 µs");
        assert_eq!(duration(61_000_000_000), "1 min 1 s");
        assert_eq!(duration(7_260_000_000_000), "2 h 1 min");
    }

    #[test]
    fn times_are_dates_or_ages() {
        assert_eq!(parse_time("@7"), Ok(7_000_000_000));
        assert_eq!(parse_time("1795278241.952"), Ok(1_795_278_241_952_000_000));
        assert_eq!(parse_time("1970-01-01T00:00:02Z"), Ok(2_000_000_000));
        assert_eq!(parse_time("1970-01-01T01:00:02+01:00"), Ok(2_000_000_000));
        let day = 86_400_000_000_000;
        let offset = parse_time("1970-01-11").unwrap() - 10 * day;
        assert!(offset.abs() <= day && parse_time("1970-01-11T00:00:01") == Ok(10 * day + offset + 1_000_000_000));
        let (before, age, after) = (clock::now(), parse_time("1h").unwrap(), clock::now());
        assert!((before..=after).contains(&(age + 3_600_000_000_000)));
        assert!(parse_time("yesteryear").is_err() && parse_time("").is_err() && parse_time("2026-13-01").is_err());
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(escape("naïve"), "naïve");
        assert_eq!(escape("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
