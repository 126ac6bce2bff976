//! What tells of a redacted argument, so that it is neither stored nor shown.
//!
//! A path tells of an argument if it holds it, or what stands behind its `=` or `@`, or the last name in that: an
//! argument may name a file by another path.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::error::{Error, Result};
use crate::key;
use crate::model::{Command, Observation, Reason, Request};

use super::audit::Audit;
use super::{Ending, Miss, Told};

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

    /// Those of a command that was not yet looked at; where it cannot be told which they are, all.
    pub fn of_request(request: &'a Request) -> Redaction<'a> {
        if request.arguments.redacted.is_empty() {
            return Redaction { words: Vec::new(), pieces: Vec::new() };
        }
        let hidden = key::redacted_arguments(request).unwrap_or_else(|_| vec![true; request.argv.len()]);
        let hidden = request.argv.iter().zip(hidden).filter(|(_, is_hidden)| *is_hidden);
        let words: Vec<&[u8]> = hidden.map(|(word, _)| word.as_bytes()).collect();
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
            Reason::OutputUnstorable(_, why) => Reason::OutputUnstorable(hidden(), self.text(&why)),
            Reason::OwnOutput(_) => Reason::OwnOutput(hidden()),
            Reason::Socket(_) => Reason::Socket(hidden()),
            Reason::Device(_) => Reason::Device(hidden()),
            Reason::HardLink(_) => Reason::HardLink(hidden()),
            Reason::WrittenOutside(_) => Reason::WrittenOutside(hidden()),
            Reason::Privileged(_) => Reason::Privileged(hidden()),
            Reason::Identity(_) => Reason::Identity(hidden()),
            Reason::Attributes(_) => Reason::Attributes(hidden()),
            Reason::Machine(_) => Reason::Machine(hidden()),
            Reason::OwnAge(_) => Reason::OwnAge(hidden()),
            Reason::NoImage(_) => Reason::NoImage(hidden()),
            Reason::Damaged(_) => Reason::Damaged(text()),
            Reason::NotRestored(_) => Reason::NotRestored(text()),
            Reason::StdinUnreadable(_) => Reason::StdinUnreadable(text()),
            Reason::ArgumentMissing(_) => Reason::ArgumentMissing(text()),
            Reason::OutputShared(_) => Reason::OutputShared(text()),
            Reason::CutShort(_) => Reason::CutShort(text()),
            Reason::Network(_) => Reason::Network(text()),
            Reason::Unwatchable(_) => Reason::Unwatchable(text()),
            Reason::Disturbed(_) => Reason::Disturbed(text()),
            Reason::Unwatched(_) => Reason::Unwatched(text()),
            Reason::StoreUnusable(_) => Reason::StoreUnusable(text()),
            // What holds no text of anybody's: a number or a name that a letter happened to be part of.
            other => other,
        }
    }

    /// What there is to say about a run, as it may be said.
    pub fn told(&self, told: Told) -> Told {
        if self.is_empty() {
            return told;
        }
        let missed = |why: Miss| Miss { reason: self.reason(why.reason), nearest: why.nearest };
        let path = |path: PathBuf| self.shown(&path).into_owned();
        let paths = |paths: Vec<PathBuf>| paths.into_iter().map(path).collect();
        match told {
            Told::Plain { reason, hint } => Told::Plain { reason: self.reason(reason), hint },
            Told::Warning(text) => Told::Warning(self.text(&text)),
            Told::Audited(audit) => Told::Audited(Box::new(Audit {
                read: paths(audit.read),
                system: paths(audit.system),
                missing: paths(audit.missing),
                written: paths(audit.written),
                removed: paths(audit.removed),
                untouched: paths(audit.untouched),
                refusals: audit.refusals.into_iter().map(|reason| self.reason(reason)).collect(),
            })),
            Told::Stored { key, why, took, since, scattered } => {
                Told::Stored { key, why: missed(why), took, since, scattered: scattered.map(path) }
            }
            Told::NotStored { why, reason, hint } => {
                Told::NotStored { why: missed(why), reason: self.reason(reason), hint }
            }
            other @ (Told::Kept(_) | Told::Hit { .. } | Told::Stale { .. } | Told::Unshared { .. }) => other,
        }
    }

    /// How a run ended, as it may be said.
    pub fn ending(&self, ending: Result<Ending>) -> Result<Ending> {
        let reworded = |error: Error| error.reworded(|text| self.text(text));
        match ending {
            Ok(Ending::NotStarted(error, status)) if !self.is_empty() => {
                Ok(Ending::NotStarted(reworded(error), status))
            }
            Err(error) if !self.is_empty() => Err(reworded(error)),
            other => other,
        }
    }

    /// A sentence as it may be said: with something else in the place of what is hidden.
    pub fn text(&self, text: &str) -> String {
        // The longest first, so that nothing is left of it.
        let mut pieces: Vec<&str> = self.pieces.iter().filter_map(|piece| std::str::from_utf8(piece).ok()).collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        let hidden = |text: String, piece: &str| match piece.len() < SHORTEST_SECRET {
            // In backticks stands what was typed.
            true => text.replace(&format!("`{piece}`"), &format!("`{HIDDEN}`")),
            false => text.replace(piece, HIDDEN),
        };
        let text = pieces.into_iter().fold(text.to_owned(), hidden);
        // What is no text is shown with signs in the place of some of its bytes.
        let odd = self.pieces.iter().filter(|piece| std::str::from_utf8(piece).is_err());
        odd.map(|piece| OsStr::from_bytes(piece).display().to_string())
            .fold(text, |text, piece| text.replace(&piece, HIDDEN))
    }
}

/// Bytes that a secret has at least.
const SHORTEST_SECRET: usize = 4;

/// Whether a path tells of a piece of an argument. One of fewer bytes than a secret can have is in every path, and
/// counts only where it is a whole name.
fn tells_of(path: &[u8], piece: &[u8]) -> bool {
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
