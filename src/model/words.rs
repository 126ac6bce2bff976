//! Command lines as a shell reads them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Argument;

/// Arguments as a shell reads them; a redacted one is `[redacted]`.
pub fn command_line<'a>(arguments: impl IntoIterator<Item = &'a Argument>) -> String {
    let words = arguments.into_iter().map(|argument| match argument {
        Argument::Clear(word) => quoted(word),
        Argument::Redacted => "[redacted]".to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it. For people: what is not UTF-8 is lost.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// A word as a shell reads it, byte for byte.
pub fn shell_word(word: &OsStr) -> Vec<u8> {
    let word = word.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(byte);
    // zsh looks for a program behind a `=` at the beginning.
    if !word.is_empty() && word.iter().all(is_plain) && word[0] != b'=' {
        return word.to_vec();
    }
    let pieces: Vec<&[u8]> = word.split(|byte| *byte == b'\'').collect();
    [b"'", pieces.join(b"'\\''".as_slice()).as_slice(), b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a.c"), "a.c");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("a b"), "'a b'");
        let line = [Argument::Clear("a".into()), Argument::Redacted, Argument::Clear("b c".into())];
        assert_eq!(command_line(&line), "a [redacted] 'b c'");
    }
}
