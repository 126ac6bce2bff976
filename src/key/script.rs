//! `#!` lines: which program the kernel starts for a script, and which one `env` does.
//!
//! The kernel's rules are those of `execve(2)` and Linux `fs/binfmt_script.c`, env's those of GNU coreutils.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// As many bytes of a file as the kernel looks at (`BINPRM_BUF_SIZE`).
pub const HEAD: usize = 256;

/// How the kernel and `execvp(3)` treat an executable file.
#[derive(Debug, PartialEq, Eq)]
pub enum Format {
    /// A machine's program.
    Binary,
    /// A script with its interpreter and that one's single argument, if it has one.
    Script(PathBuf, Option<OsString>),
    /// Neither: `execvp(3)` and shells give it to `/bin/sh`.
    Plain,
}

/// The format of a file that begins with `head`.
pub fn format(head: &[u8]) -> Format {
    let head = &head[..head.len().min(HEAD)];
    if head.starts_with(b"\x7fELF") {
        return Format::Binary;
    }
    let Some(line) = head.strip_prefix(b"#!") else { return Format::Plain };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let line = trim(line);
    let end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    if end == 0 {
        return Format::Plain;
    }
    let argument = trim(&line[end..]);
    let argument = (!argument.is_empty()).then(|| OsString::from_vec(argument.to_vec()));
    Format::Script(PathBuf::from(OsStr::from_bytes(&line[..end])), argument)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_blank(*byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// What an `env` in a `#!` line starts.
#[derive(Debug, PartialEq, Eq)]
pub struct EnvLine {
    /// The program's name.
    pub name: OsString,
    /// Where it is looked for.
    pub path: SearchPath,
    /// The folder that `env -C` changes to first.
    pub folder: Option<PathBuf>,
}

/// The PATH under which `env` looks for its program.
#[derive(Debug, PartialEq, Eq)]
pub enum SearchPath {
    /// The one that it got.
    Inherited,
    /// None.
    Unset,
    /// One that the line sets.
    Set(OsString),
}

/// Reads the argument of an `env` in a `#!` line. The kernel gives it as one word, which `-S` splits.
/// `variable` tells a variable's value, for `${NAME}`.
///
/// `None` where `env` would start nothing.
pub fn env_line(argument: &OsStr, variable: impl Fn(&[u8]) -> Option<OsString>) -> Option<EnvLine> {
    let mut words = vec![argument.as_bytes().to_vec()];
    let mut line = EnvLine { name: OsString::new(), path: SearchPath::Inherited, folder: None };
    let mut next = 0;
    while let Some(word) = words.get(next).cloned() {
        next += 1;
        if let Some(text) = split_string(&word) {
            // `-S` alone takes the word that follows.
            let text = if text.is_empty() { words.get(next).cloned().inspect(|_| next += 1)? } else { text.to_vec() };
            words.splice(next..next, split(&text, &variable)?);
            continue;
        }
        match word.as_slice() {
            b"--" => {}
            b"-" | b"-i" | b"--ignore-environment" => line.path = SearchPath::Unset,
            b"-u" | b"--unset" => line.unset(words.get(next).inspect(|_| next += 1)?),
            b"-C" | b"--chdir" => line.folder = Some(path(words.get(next).inspect(|_| next += 1)?)),
            b"-a" | b"--argv0" => next += 1,
            option if option.starts_with(b"--unset=") => line.unset(&option[8..]),
            option if option.starts_with(b"--chdir=") => line.folder = Some(path(&option[8..])),
            option if option.starts_with(b"-u") => line.unset(&option[2..]),
            option if option.starts_with(b"-C") => line.folder = Some(path(&option[2..])),
            option if option.starts_with(b"-i") => line.path = SearchPath::Unset,
            option if option.starts_with(b"-") => {}
            word if word.contains(&b'=') => {
                if let Some(path) = word.strip_prefix(b"PATH=") {
                    line.path = SearchPath::Set(OsString::from_vec(path.to_vec()));
                }
            }
            name => {
                line.name = OsString::from_vec(name.to_vec());
                return Some(line);
            }
        }
    }
    None
}

impl EnvLine {
    fn unset(&mut self, name: &[u8]) {
        if name == b"PATH" {
            self.path = SearchPath::Unset;
        }
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The text of `-Stext`, `-vStext`, `--split-string=text`.
fn split_string(word: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = word.strip_prefix(b"--split-string") {
        return rest.strip_prefix(b"=").or(rest.is_empty().then_some(rest));
    }
    let flags = word.strip_prefix(b"-").filter(|flags| !flags.starts_with(b"-"))?;
    // Before an S only flags without a value may stand, or it belongs to that value.
    let at = flags.iter().position(|flag| !matches!(flag, b'i' | b'v' | b'0'))?;
    (flags[at] == b'S').then(|| &flags[at + 1..])
}

/// Splits as `env -S` does: quotes, backslashes, `${NAME}`, and a comment from a `#` that begins a word.
fn split(text: &[u8], variable: &impl Fn(&[u8]) -> Option<OsString>) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<Vec<u8>>, None);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(*byte);
                word.get_or_insert_default();
            }
            (byte, Some(open)) if byte == open => quote = None,
            (b'#', None) if word.is_none() => break,
            (b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', None) => words.extend(word.take()),
            (b'\\', open) if open != Some(b'\'') || matches!(rest, [b'\'' | b'\\', ..]) => {
                let [escaped, after @ ..] = rest else { return None };
                rest = after;
                match (escaped, open) {
                    (b'c', None) => break,
                    (b'_', None) => words.extend(word.take()),
                    (escaped, _) => word.get_or_insert_default().push(unescaped(*escaped)),
                }
            }
            (b'$', open) if open != Some(b'\'') => {
                let name = rest.strip_prefix(b"{")?;
                let end = name.iter().position(|byte| *byte == b'}')?;
                let value = variable(&name[..end]).unwrap_or_default();
                word.get_or_insert_default().extend_from_slice(value.as_bytes());
                rest = &name[end + 1..];
            }
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Some(words)
}

fn unescaped(letter: u8) -> u8 {
    match letter {
        b'_' => b' ',
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(interpreter: &str, argument: Option<&str>) -> Format {
        Format::Script(interpreter.into(), argument.map(OsString::from))
    }

    #[test]
    fn formats_are_told_apart() {
        for (head, expected) in [
            ("\x7fELF\x02", Format::Binary),
            ("#!/bin/sh\n", script("/bin/sh", None)),
            ("#! \t/bin/sh  -e  x \t\nrest", script("/bin/sh", Some("-e  x"))),
            ("#!sh", script("sh", None)),
            ("#!/bin/sh\r\n", script("/bin/sh\r", None)),
            ("echo", Format::Plain),
            ("", Format::Plain),
            ("#!\n", Format::Plain),
            (" #!/bin/sh", Format::Plain),
        ] {
            assert_eq!(format(head.as_bytes()), expected, "{head:?}");
        }
        let long = format!("#!/bin/{}", "x".repeat(HEAD));
        assert_eq!(format(long.as_bytes()), script(&long[2..HEAD], None));
    }

    fn env(argument: &str) -> Option<(String, SearchPath)> {
        let variable = |name: &[u8]| (name == b"P").then(|| OsString::from("py"));
        env_line(OsStr::new(argument), variable).map(|line| (line.name.into_string().unwrap(), line.path))
    }

    #[test]
    fn env_starts_the_first_word_that_is_a_name() {
        use SearchPath::{Inherited, Set, Unset};
        for (argument, name, path) in [
            ("python3", "python3", Inherited),
            ("python3 -u", "python3 -u", Inherited),
            ("-S python3 -u", "python3", Inherited),
            ("-Spython3", "python3", Inherited),
            ("-vS A=1 B=2 python3", "python3", Inherited),
            ("--split-string=-i PATH=/x:/y awk -f", "awk", Set("/x:/y".into())),
            ("-S -i awk", "awk", Unset),
            ("-S -u PATH awk", "awk", Unset),
            ("-S -uHOME awk", "awk", Inherited),
            ("-S --unset=PATH -- awk", "awk", Unset),
            ("-S 'a b' c", "a b", Inherited),
            ("-S \"${P}\"thon\\_x", "python", Inherited),
            ("-S a\\ b", "a b", Inherited),
            ("-S -C /tmp awk", "awk", Inherited),
            ("-S -uPATH awk", "awk", Unset),
            ("-S -i0 awk", "awk", Unset),
            ("-S -v awk", "awk", Inherited),
            ("-S -a name awk", "awk", Inherited),
            ("-S -S 'awk -f' x", "awk", Inherited),
            ("-S -S -u PATH awk", "awk", Unset),
            ("-S -S PATH=/x awk", "awk", Set("/x".into())),
            ("-S a#b", "a#b", Inherited),
            ("-S '$P\\n'", "$P\\n", Inherited),
        ] {
            assert_eq!(env(argument), Some((name.to_owned(), path)), "{argument}");
        }
        for argument in ["-S # nothing", "-i", "A=1", "-S", "-S $X", "-S a\\"] {
            assert_eq!(env(argument), None, "{argument}");
        }
        for argument in ["-S --chdir=/x awk", "-S -C/x awk", "-S -C /x awk"] {
            assert_eq!(
                env_line(OsStr::new(argument), |_| None).unwrap().folder,
                Some(PathBuf::from("/x")),
                "{argument}"
            );
        }
    }
}
