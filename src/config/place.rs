//! Where something stands in a file of configuration, and what is wrong there.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

/// Something that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// The lines of a text.
pub struct Lines<'a> {
    file: Arc<Path>,
    text: &'a str,
    /// Where each begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Those of `text`, which is the file's.
    pub fn of(file: &Arc<Path>, text: &'a str) -> Lines<'a> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { file: Arc::clone(file), text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Where the byte `at` stands.
    pub fn place(&self, at: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts[line.saturating_sub(1)];
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        Place { file: Arc::clone(&self.file), line, column }
    }
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &Path) -> Place {
        Place { file: Arc::from(file), line: 0, column: 0 }
    }

    /// What is wrong there.
    pub fn fault(self, message: impl Into<String>, hint: Option<String>) -> Fault {
        Fault { place: self, message: message.into(), hint }
    }
}

/// `FILE:LINE`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line == 0 { Ok(()) } else { write!(f, ":{}", self.line) }
    }
}

/// `FILE:LINE:COLUMN: MESSAGE`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.column {
            0 => write!(f, "{}: {}", self.place, self.message),
            column => write!(f, "{}:{column}: {}", self.place, self.message),
        }
    }
}

impl Fault {
    /// What to tell of the first of `faults`, if there is one.
    pub fn first_of(faults: &[Fault]) -> Option<Error> {
        let (first, more) = faults.split_first()?;
        let message = match more.len() {
            0 => first.to_string(),
            more => format!("{first} (and {more} more, see `fleche config check`)"),
        };
        let error = Error::usage(message);
        Some(match &first.hint {
            None => error,
            Some(hint) => error.hint(hint),
        })
    }
}

/// The one of the `known` names that `name` was probably meant to be.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |other: &&str| strsim::jaro(name, other);
    let nearest = known.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    // As near as clap takes a flag for a misspelt one.
    (likeness(&nearest) > 0.7).then_some(nearest)
}

/// Names as a list: `a`, `b`.
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A message as one line.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let file: Arc<Path> = Arc::from(Path::new("f"));
        let lines = Lines::of(&file, "a\nné x\n\nlast");
        let place = |at| {
            let Place { line, column, .. } = lines.place(at);
            (line, column)
        };
        assert_eq!((place(0), place(1), place(2)), ((1, 1), (1, 2), (2, 1)));
        assert_eq!((place(6), place(8), place(9), place(13)), ((2, 4), (3, 1), (4, 1), (4, 5)));
    }

    #[test]
    fn the_nearest_name_is_one_that_is_near() {
        assert_eq!(nearest("inptus", ["outputs", "inputs"]), Some("inputs"));
        assert_eq!(nearest("zzz", ["outputs", "inputs"]), None);
    }
}
