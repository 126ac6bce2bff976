//! Sizes, durations, times and tags, as people write and read them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::sys::clock;

/// Binary units; the decimal ones are accepted too.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Bytes in a text such as `10MiB`, `2GB`, `500k` or `1024`.
pub fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("a size is a number and a unit, such as 10MiB or 2GB".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a size is a number and a unit, such as 10MiB or 2GB".to_owned())
}

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

/// Whether a terminal does something else with it than show it: controls, separators of lines, marks of the direction of
/// writing (Unicode's Bidi_Control), and what has no width.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The two sides of `NAME=VALUE`.
pub fn parse_tag(word: &str) -> Result<(String, String)> {
    match word.split_once('=') {
        Some((name, value)) if is_tag_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("`{word}` is not a tag")).hint("a tag is NAME=VALUE, such as project=alpha")),
    }
}

fn is_tag_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_size("500k"), Ok(500 << 10));
        assert_eq!(parse_size("7"), Ok(7));
        assert!(parse_size("x").is_err() && parse_size("1.5G").is_err() && parse_size("99999999999T").is_err());
    }

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

    #[test]
    fn a_tag_has_a_name_and_a_value() {
        assert_eq!(parse_tag("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(parse_tag("alpha").unwrap_err().to_string(), "`alpha` is not a tag");
        assert!(parse_tag("=b").is_err() && parse_tag("1=b").is_err() && parse_tag("a b=c").is_err());
    }
}
