//! What tells of a redacted argument, so that it is neither stored nor shown.
//!
//! A path tells of an argument if it holds it, or what stands behind its `=` or `@`, or the last name in that: an
//! argument may name a file by another path.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::model::{Command, Observation, Reason, Request};

/// What stands for a path that is hidden.
pub const HIDDEN: &str = "[redacted]";

/// The pieces of the redacted arguments of a command by which something could tell of them.
pub struct Redaction<'a> {
    words: Vec<&'a [u8]>,
    pieces: Vec<&'a [u8]>,
}

impl<'a> Redaction<'a> {
    /// Those of `command`.
    pub fn of(command: &'a Command) -> Redaction<'a> {
        let hidden = command.argv.iter().zip(&command.redacted).filter(|(_, is_hidden)| **is_hidden);
        let words: Vec<&[u8]> = hidden.map(|(word, _)| word.as_bytes()).collect();
        let pieces = words.iter().flat_map(|word| telling_pieces(word)).collect();
        Redaction { words, pieces }
    }

    /// Those of a command that was not yet looked at: where something is to be redacted, everything may be it.
    pub fn of_request(request: &'a Request) -> Redaction<'a> {
        let hides = !request.arguments.redacted.is_empty();
        let words: Vec<&[u8]> = request.argv.iter().skip(1).filter(|_| hides).map(|word| word.as_bytes()).collect();
        let pieces = words.iter().flat_map(|word| telling_pieces(word)).collect();
        Redaction { words, pieces }
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether `text`, a path or a word, tells of a redacted argument.
    pub fn is_told_by(&self, text: &[u8]) -> bool {
        self.pieces.iter().any(|piece| tells_of(text, piece))
    }

    /// The observations as they may be stored: a pure command's arguments are paths, and nothing of a redacted one may be
    /// found in the store. Too much rather than too little goes: every path that shares a name with such an argument.
    pub fn hide(&self, mut observations: Vec<Observation>, request: &Request) -> Vec<Observation> {
        if self.words.is_empty() || !request.pure {
            return observations;
        }
        let is_told = |name: &OsStr| self.words.iter().any(|word| memmem::find(word, name.as_bytes()).is_some());
        for observation in &mut observations {
            if observation.path.iter().any(is_told) {
                observation.path = PathBuf::from(HIDDEN);
            }
        }
        observations
    }

    /// A path as it may be shown.
    pub fn shown<'p>(&self, path: &'p Path) -> Cow<'p, Path> {
        match self.is_told_by(path.as_os_str().as_bytes()) {
            true => Cow::Borrowed(Path::new(HIDDEN)),
            false => Cow::Borrowed(path),
        }
    }

    /// A reason as it may be shown.
    pub fn reason(&self, reason: Reason) -> Reason {
        if self.is_empty() || !self.is_told_by(reason.to_string().as_bytes()) {
            return reason;
        }
        let hidden = || PathBuf::from(HIDDEN);
        let text = || HIDDEN.to_owned();
        match reason {
            Reason::InputUnreadable(..) => Reason::InputUnreadable(hidden(), text()),
            Reason::InputStream(_) => Reason::InputStream(hidden()),
            Reason::InputChanged(_) => Reason::InputChanged(hidden()),
            Reason::OutputUnstorable(..) => Reason::OutputUnstorable(hidden(), text()),
            Reason::NotRestored(_) => Reason::NotRestored(text()),
            Reason::StdinUnreadable(_) => Reason::StdinUnreadable(text()),
            Reason::ArgumentMissing(_) => Reason::ArgumentMissing(text()),
            other => other,
        }
    }
}

/// Whether a path tells of a piece of an argument. One of fewer bytes than a secret can have is in every path, and
/// counts only where it is a whole name.
fn tells_of(path: &[u8], piece: &[u8]) -> bool {
    const SHORTEST_SECRET: usize = 4;
    match piece.len() < SHORTEST_SECRET {
        true => path.split(|byte| *byte == b'/').any(|name| name == piece),
        false => memmem::find(path, piece).is_some(),
    }
}

/// The parts of a redacted argument by which a path could tell of it.
fn telling_pieces<'w>(word: &'w [u8]) -> Vec<&'w [u8]> {
    let behind = word.iter().enumerate().filter(|(_, byte)| b"=@".contains(byte)).map(|(at, _)| &word[at + 1..]);
    let whole: Vec<&'w [u8]> = std::iter::once(word).chain(behind).collect();
    let last_name = |piece: &'w [u8]| piece.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
    let names: Vec<&[u8]> = whole.iter().filter_map(|piece| last_name(piece)).collect();
    whole.into_iter().chain(names).filter(|piece| !matches!(*piece, b"" | b"." | b"..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_of_a_secret_wherever_it_is_and_of_a_letter_where_that_is_its_name() {
        for (path, piece, tells) in [
            ("/home/banana", "a", false),
            ("/home/a/x", "a", true),
            ("a", "a", true),
            ("/home/xhushx", "hush", true),
            ("/home/hus/h", "hush", false),
        ] {
            assert_eq!(tells_of(path.as_bytes(), piece.as_bytes()), tells, "{path} {piece}");
        }
    }
}
