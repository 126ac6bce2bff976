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

/// A word as a shell reads it, for people: what a line cannot show is spelt in `$'...'`, as bash, zsh and POSIX since 2024
/// have it, so that no two words look alike.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let exact = shell_word(word.as_ref());
    match String::from_utf8(exact) {
        Ok(text) if !text.chars().any(is_harmful) => text,
        _ => format!("$'{}'", spelt(word.as_ref().as_bytes())),
    }
}

/// Whether a terminal does something else with it than show it: controls, separators of lines, marks of the direction of
/// writing (Unicode's Bidi_Control), and what has no width.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Bytes without anything that a line cannot show.
fn spelt(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\'' | '\\' => text.extend(['\\', c]),
                c if is_harmful(c) => c.to_string().bytes().for_each(|byte| text.push_str(&format!("\\{byte:03o}"))),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\{byte:03o}")));
    }
    text
}

/// A word as a shell reads it, byte for byte.
fn shell_word(word: &OsStr) -> Vec<u8> {
    let word = word.as_bytes();
    // Not `^`, which was a pipe once; and zsh looks for a program behind a `=` at the beginning.
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) && word[0] != b'=' {
        return word.to_vec();
    }
    let pieces: Vec<&[u8]> = word.split(|byte| *byte == b'\'').collect();
    [b"'", pieces.join(b"'\\''".as_slice()).as_slice(), b"'"].concat()
}

/// Words as a shell reads them, byte for byte.
pub fn shell_line<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Vec<u8> {
    words.into_iter().map(shell_word).collect::<Vec<_>>().join(&b' ')
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
        for special in ["^", "a^b", "=", "=ls", "~", "~/x", "*", "$x", "#", "!"] {
            assert_eq!(quoted(special), format!("'{special}'"));
        }
        assert_eq!(quoted(OsStr::from_bytes(b"a\xff")), "$'a\\377'");
        assert_eq!(quoted("a\nb\u{1b}[31m'\\\u{9b}"), "$'a\\nb\\033[31m\\'\\\\\\302\\233'");
        assert_eq!(quoted("a\u{202e}b"), "$'a\\342\\200\\256b'");
        assert_ne!(quoted("a\nb"), quoted("a\\nb"));
        let line = [Argument::Clear("a".into()), Argument::Redacted, Argument::Clear("b c".into())];
        assert_eq!(command_line(&line), "a [redacted] 'b c'");
    }

    #[test]
    fn a_shell_reads_what_was_written() {
        let all: Vec<u8> = (1..=255).collect();
        let words: [&[u8]; 8] = [&all, b"", b"=ls", b"~/x", b"a'b''", b"\n", b"{a,b}", b"a=~:~"];
        let words = words.map(OsStr::from_bytes);
        let line = [b"printf '%s\\0' ".as_slice(), &shell_line(words)].concat();
        let read = std::process::Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&line)).output().unwrap();
        let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(read.stdout, expected);
    }
}
