//! How many cases the tests of laws draw.

use proptest::test_runner::Config;

/// `cases` of them, a hundred times as many with `FLECHE_LONG`.
pub fn drawn(cases: u32) -> Config {
    let times = if std::env::var_os("FLECHE_LONG").is_some() { 100 } else { 1 };
    // Nothing is written into the sources where one fails: it is printed, and belongs into a test of its own.
    Config { cases: cases * times, failure_persistence: None, ..Config::default() }
}
