//! How many cases the tests of laws draw.

use proptest::test_runner::Config;

/// Whether the long form of the tests was asked for.
pub fn are_long() -> bool {
    std::env::var_os("FLECHE_LONG").is_some_and(|long| long == "1")
}

/// `cases` of them, a hundred times as many in the long form.
pub fn drawn(cases: u32) -> Config {
    let times = if are_long() { 100 } else { 1 };
    // Nothing is written into the sources where one fails: it is printed, and belongs into a test of its own.
    Config { cases: cases * times, failure_persistence: None, ..Config::default() }
}
