//! Which commands are meant: a glob for each word of their command lines.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::Glob;

use super::Argument;

/// Stands for any number of words at the end.
const REST: &str = "*";

/// A glob for each word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    words: Vec<String>,
    /// Whether more words may follow.
    goes_on: bool,
}

impl Matching {
    /// That of globs which were found to be well formed.
    pub fn of(globs: impl IntoIterator<Item = String>) -> Matching {
        let mut words: Vec<String> = globs.into_iter().collect();
        let goes_on = words.last().is_some_and(|word| word == REST);
        if goes_on {
            words.pop();
        }
        Matching { words, goes_on }
    }

    /// Whether a command is meant.
    ///
    /// The first glob is for the program: one without a slash may also match the name of its file.
    pub fn means(&self, argv: &[OsString]) -> bool {
        self.fits(argv, Some)
    }

    /// The same of a command that was recorded. What was redacted may be anything, which only a `*` means.
    pub fn means_recorded(&self, argv: &[Argument]) -> bool {
        self.fits(argv, |word| match word {
            Argument::Clear(word) => Some(word),
            Argument::Redacted => None,
        })
    }

    fn fits<'w, W>(&self, argv: &'w [W], text: impl Fn(&'w W) -> Option<&'w OsString>) -> bool {
        let is_as_long = if self.goes_on { argv.len() >= self.words.len() } else { argv.len() == self.words.len() };
        is_as_long
            && self.words.iter().zip(argv).enumerate().all(|(at, (glob, word))| {
                let Some(word) = text(word) else { return glob == REST };
                let name = Path::new(word).file_name().filter(|_| at == 0 && !glob.contains('/'));
                matches(glob, word) || name.is_some_and(|name| matches(glob, name))
            })
    }

    /// The globs, as they were written.
    pub fn written(&self) -> Vec<String> {
        let rest = self.goes_on.then(|| REST.to_owned());
        self.words.iter().cloned().chain(rest).collect()
    }
}

fn matches(glob: &str, word: &OsStr) -> bool {
    match glob {
        REST => true,
        // Compiling a glob takes longer than all else.
        plain if !plain.contains(['*', '?', '[', ']', '{', '}', '\\']) => word.as_bytes() == plain.as_bytes(),
        glob => Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(Path::new(word))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(globs: &[&str], argv: &[&str]) -> bool {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        Matching::of(globs.iter().map(|glob| (*glob).to_owned())).means(&argv)
    }

    #[test]
    fn a_rule_is_matched_word_by_word() {
        for (globs, argv, is_meant) in [
            (&["cc", "*"][..], &["cc", "-c", "a.c"][..], true),
            (&["cc", "*"], &["cc"], true),
            (&["cc", "*"], &["/usr/bin/cc", "x"], true),
            (&["cc", "*"], &["gcc", "x"], false),
            (&["*cc", "*"], &["/usr/bin/gcc", "x"], true),
            (&["/usr/*/cc", "*"], &["/usr/local/bin/cc"], true),
            (&["bin/cc", "*"], &["/usr/bin/cc"], false),
            (&["cc"], &["cc", "x"], false),
            (&["cc"], &["cc"], true),
            (&["make", "-j*", "all"], &["make", "-j8", "all"], true),
            (&["make", "-j*", "all"], &["make", "-j8", "all", "x"], false),
            (&["make", "*", "all"], &["make", "-j8", "all"], true),
            (&["make", "*", "all"], &["make", "-j8", "-k", "all"], false),
            (&["make", "*", "*"], &["make"], false),
            (&["make", "*", "*"], &["make", "x"], true),
            (&["*"], &["anything", "at all"], true),
            (&["sh", "-c", "cat *"], &["sh", "-c", "cat a/b c"], true),
            (&["sh", "{a,b}"], &["sh", "b"], true),
            (&["a[*]b"], &["a*b"], true),
            (&["sh", "cc"], &["sh", "bin/cc"], false),
        ] {
            assert_eq!(means(globs, argv), is_meant, "{globs:?} {argv:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_text_can_be_meant() {
        let argv = [OsString::from("cat"), OsStr::from_bytes(b"\xff.c").to_owned()];
        assert!(Matching::of(["cat", "*.c"].map(str::to_owned)).means(&argv));
        assert!(!Matching::of(["cat", "x"].map(str::to_owned)).means(&argv));
    }

    #[test]
    fn what_was_redacted_is_meant_by_a_star_alone() {
        let argv = [Argument::Clear("curl".into()), Argument::Redacted];
        let means = |globs: &[&str]| Matching::of(globs.iter().map(|glob| (*glob).to_owned())).means_recorded(&argv);
        assert_eq!([means(&["curl", "*"]), means(&["curl", "*", "*"])], [true, true]);
        assert_eq!([means(&["curl", "?*"]), means(&["curl", ""]), means(&["*"])], [false, false, true]);
    }
}
