//! One thing that is known, with its unit.

use super::Digest;

/// A fact about a call, to be shown to people or written for programs.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Not known, or not so.
    Nothing,
    /// Words.
    Text(String),
    /// A number without a unit.
    Number(i64),
    /// A digest.
    Digest(Digest),
    /// A digest that is shown short to people, and how many characters that takes.
    Short(Digest, usize),
    /// Bytes.
    Bytes(u64),
    /// Nanoseconds.
    Duration(u64),
    /// Nanoseconds since 1970.
    Time(i64),
}
