//! Stored values as people name them: `fleche:PREFIX`, `fleche:KEY/stderr`, `fleche:KEY/path/of/output`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Prefix;

/// What stands before the digest.
pub const SCHEME: &str = "fleche:";

/// The name of a stored value: the beginning of a digest, and perhaps what is meant of the call that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The call or the value.
    pub prefix: Prefix,
    /// Of a call `stderr` or the recorded path of an output, without it standard output. Of a value the name that a copy
    /// of it gets. Never empty.
    pub within: Option<OsString>,
}

impl Reference {
    /// Reads `PREFIX` or `PREFIX/...`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &[u8]) -> Result<Reference, String> {
        let slash = text.iter().position(|byte| *byte == b'/');
        let (prefix, within) = slash.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        let prefix = std::str::from_utf8(prefix).map_err(|_| "it is not a digest".to_owned())?.parse()?;
        match within {
            Some(b"") => Err("there is nothing behind the slash".to_owned()),
            within => Ok(Reference { prefix, within: within.map(|path| OsString::from_vec(path.to_vec())) }),
        }
    }

    /// Where in an argument one begins: `fleche:` and a hex digit, at the beginning of the word or behind a `=`.
    ///
    /// What goes on in any other way is a word of the command's own, such as the beginning of fleche's messages.
    pub fn place_in(word: &OsStr) -> Option<usize> {
        let word = word.as_bytes();
        let mut from = 0;
        // Not memchr: see `engine::beyond`.
        while let Some(ahead) = word[from..].iter().position(|byte| *byte == b':') {
            let end = from + ahead + 1;
            from = end;
            let Some(begin) = word[..end].ends_with(SCHEME.as_bytes()).then(|| end - SCHEME.len()) else { continue };
            let is_beginning = begin == 0 || word[begin - 1] == b'=';
            if is_beginning && word.get(end).is_some_and(u8::is_ascii_hexdigit) && is_digest_like(&word[end..]) {
                return Some(begin);
            }
        }
        None
    }

    /// As people write it, with `fleche:`.
    pub fn word(&self) -> OsString {
        let mut word = OsString::from(SCHEME);
        word.push(self.text());
        word
    }

    /// The same without `fleche:`.
    pub fn text(&self) -> OsString {
        let mut text = OsString::from(self.prefix.as_str());
        if let Some(within) = &self.within {
            text.push("/");
            text.push(within);
        }
        text
    }
}

/// Whether there are only hex digits up to a slash or the end.
fn is_digest_like(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'/').next().is_some_and(|first| first.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_and_written() {
        for (text, prefix, within) in
            [("abCD", "abcd", None), ("abcd/stderr", "abcd", Some("stderr")), ("0123/a/b=c", "0123", Some("a/b=c"))]
        {
            let reference = Reference::parse(text.as_bytes()).unwrap();
            assert_eq!(reference.prefix.as_str(), prefix);
            assert_eq!(reference.within.as_deref(), within.map(OsStr::new));
            assert_eq!(Reference::parse(reference.text().as_bytes()), Ok(reference));
        }
        for text in ["", "abc", "abcg", "abcd/", "/abcd", "ab\u{e9}cd"] {
            assert!(Reference::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_found_at_the_beginning_of_a_word_or_behind_an_equals_sign() {
        let place = |word: &str| Reference::place_in(OsStr::new(word));
        for (word, at) in [("fleche:abcd", 0), ("--x=fleche:abcd/e", 4), ("a=b=fleche:1", 4), ("a:b=fleche:1", 4)] {
            assert_eq!(place(word), Some(at), "{word}");
        }
        for word in ["", "fleche:", "fleche: hit", "xfleche:abcd", "fleche:abcg", "-xfleche:abcd", "fleche/abcd", ":"] {
            assert_eq!(place(word), None, "{word}");
        }
    }
}
