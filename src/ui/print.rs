//! Texts and single facts on standard output.

use std::io::{self, IsTerminal, Read, Write};

use crate::error::{Error, Result};
use crate::model::{Fact, is_harmful};

use super::sheet::not_written;
use super::{duration, escape, size, time};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonStyle {
    /// Over many lines, for people.
    Indented,
    /// On one line, for programs that read line by line.
    Line,
}

/// A fact for a person, or raw: bytes and seconds as numbers, digests whole.
pub fn fact(fact: &Fact, human: bool) -> String {
    match (fact, human) {
        (Fact::Nothing, _) => String::new(),
        (Fact::Text(text), _) => escape(text),
        (Fact::Number(number), _) => number.to_string(),
        (Fact::Digest(digest), true) => digest.short(),
        (Fact::Digest(digest), false) => digest.hex(),
        (Fact::Short(digest, length), true) => digest.shortened(*length),
        (Fact::Short(digest, _), false) => digest.hex(),
        (Fact::Bytes(bytes), true) => size(*bytes),
        (Fact::Bytes(bytes), false) => bytes.to_string(),
        (Fact::Duration(nanoseconds), true) => duration(*nanoseconds),
        (Fact::Duration(nanoseconds), false) => format!("{:.6}", *nanoseconds as f64 / 1e9),
        (Fact::Time(nanoseconds), true) => time(*nanoseconds),
        (Fact::Time(nanoseconds), false) => format!("{:.3}", *nanoseconds as f64 / 1e9),
    }
}

/// JSON that is harmless on a terminal: what does something else there than to be shown, and JSON allows, is spelled out.
pub fn json(value: &serde_json::Value, style: JsonStyle) -> String {
    let text = match style {
        JsonStyle::Indented => format!("{value:#}\n"),
        JsonStyle::Line => format!("{value}\n"),
    };
    let is_harmless = |c: char| !is_harmful(c) || c == '\n';
    if text.chars().all(is_harmless) {
        return text;
    }
    let spelled = |c: char| if is_harmless(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    text.chars().map(spelled).collect()
}

/// Whether standard output is for people, who read bars and borders.
pub fn draws_bars() -> bool {
    io::stdout().is_terminal()
}

/// Writes to standard output.
///
/// # Errors
///
/// Where it takes no more, of kind [`Unheard`](crate::error::Kind::Unheard) where nobody reads it.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(not_written)
}

/// Writes all of `source` to standard output, byte for byte.
///
/// # Errors
///
/// As [`print()`], and where the source cannot be read.
pub fn send(source: &mut impl Read) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return stdout.flush().map_err(not_written),
            Ok(read) => stdout.write_all(&chunk[..read]).map_err(not_written)?,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(Error::failure("cannot read what is to be printed").because(why)),
        }
    }
}
