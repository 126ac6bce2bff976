//! Globs over words: names of variables, arguments.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};
use crate::model::is_compilable_glob;

/// How closely a pattern names a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// Not at all.
    Not,
    /// By a glob.
    Glob,
    /// Literally.
    Literal,
}

/// Patterns of which any may match. No regular expression is built for those without a glob.
pub struct Patterns(Vec<Pattern>);

enum Pattern {
    Literal(Vec<u8>),
    Glob(GlobMatcher),
}

impl Patterns {
    /// Compiles patterns whose `*` also stands for slashes.
    ///
    /// # Errors
    ///
    /// One that is no glob, by name.
    pub fn new(patterns: &[String]) -> Result<Patterns> {
        patterns.iter().map(|text| Pattern::new(text)).collect::<Result<_>>().map(Patterns)
    }

    /// How closely the closest pattern names `word`.
    pub fn closeness(&self, word: &OsStr) -> Closeness {
        self.0.iter().map(|pattern| pattern.closeness(word)).max().unwrap_or(Closeness::Not)
    }

    /// Whether any pattern names `word`.
    pub fn name(&self, word: &OsStr) -> bool {
        self.closeness(word) > Closeness::Not
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern> {
        if !is_glob(text.as_bytes()) {
            return Ok(Pattern::Literal(text.as_bytes().to_vec()));
        }
        check_size(text)?;
        Glob::new(text).map(|glob| Pattern::Glob(glob.compile_matcher())).map_err(|error| malformed(text, &error))
    }

    fn closeness(&self, word: &OsStr) -> Closeness {
        match self {
            Pattern::Literal(literal) if literal == word.as_bytes() => Closeness::Literal,
            Pattern::Glob(glob) if glob.is_match(Path::new(word)) => Closeness::Glob,
            _ => Closeness::Not,
        }
    }
}

/// Whether `word` has characters that mean something in a glob.
pub fn is_glob(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{'))
}

/// Compiles a glob over paths, in which only `**` stands for slashes.
///
/// # Errors
///
/// What is no glob, by name.
pub fn path_glob(text: &str) -> Result<GlobMatcher> {
    check_size(text)?;
    let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| malformed(text, &error))?;
    Ok(glob.compile_matcher())
}

fn check_size(text: &str) -> Result<()> {
    let is_compilable = is_compilable_glob(text);
    if is_compilable { Ok(()) } else { Err(Error::usage("a glob is too long").hint("globs have at most 4096 bytes")) }
}

fn malformed(text: &str, error: &globset::Error) -> Error {
    Error::usage(format!("glob `{text}` is malformed: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(words: &[&str]) -> Patterns {
        Patterns::new(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_closest_pattern_counts() {
        let patterns = patterns(&["CI_*", "CI_JOB"]);
        assert_eq!(patterns.closeness(OsStr::new("CI_JOB")), Closeness::Literal);
        assert_eq!(patterns.closeness(OsStr::new("CI_X")), Closeness::Glob);
        assert_eq!(patterns.closeness(OsStr::new("CC")), Closeness::Not);
    }

    #[test]
    fn a_star_stands_for_any_bytes() {
        let patterns = patterns(&["--out=*"]);
        assert!(patterns.name(OsStr::new("--out=a/b")));
        assert!(patterns.name(OsStr::from_bytes(b"--out=\xff\n\xfe")));
        assert!(!patterns.name(OsStr::new("x--out=")));
    }

    #[test]
    fn a_glob_that_cannot_be_compiled_is_an_error_and_no_defect() {
        for glob in ["?".repeat(200_000), "{".repeat(300) + "a" + &"}".repeat(300), "[^a]*".repeat(100_000)] {
            assert!(Patterns::new(std::slice::from_ref(&glob)).is_err());
            assert!(path_glob(&glob).is_err());
        }
        for glob in ["?".repeat(4096), "{a,".repeat(64) + &"}".repeat(64), "**/".repeat(1365), "[a-z]".repeat(819)] {
            let _ = Patterns::new(std::slice::from_ref(&glob)).map(|patterns| patterns.name(OsStr::new("x")));
            let _ = path_glob(&glob).map(|glob| glob.is_match("x"));
        }
    }

    #[test]
    fn a_malformed_glob_is_named() {
        let error = Patterns::new(&["[a".to_owned()]).map(drop).unwrap_err();
        assert!(error.to_string().starts_with("glob `[a` is malformed: "), "{error}");
    }
}
