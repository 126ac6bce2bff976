//! What is asked for, once it was looked at: the parts that count and what is needed to run it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{CommandDigest, Digest, Stamp, Variable, Writer};

/// One named part of a command digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is: `arg.1`, `env.CC`, `umask`, ...
    pub name: String,
    /// The exact bytes that count.
    pub value: Vec<u8>,
    /// Whether the value must not be shown nor stored in clear (environment values, redacted arguments).
    pub secret: bool,
}

impl Part {
    /// A part that may be shown.
    pub fn open(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Part {
        Part { name: name.into(), value: value.into(), secret: false }
    }

    /// A part whose value is never shown or stored.
    pub fn secret(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Part {
        Part { name: name.into(), value: value.into(), secret: true }
    }

    /// The digest of a command that consists of `parts`, in this order.
    pub fn digest(parts: &[Part]) -> CommandDigest {
        // Room for the two lengths of a field beside it: growing would copy everything several times.
        let length = parts.iter().map(|part| part.name.len() + part.value.len() + 2 * size_of::<u32>()).sum();
        let mut writer = Writer::with_capacity(length);
        for part in parts {
            writer.field(&part.name, &part.value);
        }
        CommandDigest::of_parts(&writer.into_bytes())
    }
}

/// The file that will be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Found, by the rules of `execvp(3)`: what is to be executed, relative to the working directory
    /// if the name or PATH was, because a script sees it as `$0`.
    Found(PathBuf),
    /// Nothing of that name: status 127.
    NotFound,
    /// Something of that name that may not be executed: status 126.
    NotExecutable,
}

/// What standard input means for recognition and for the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// A terminal or `/dev/null`: not counted, inherited.
    Uncounted,
    /// Closed: inherited, and another thing than an empty one.
    Closed,
    /// A pipe or socket that is at its end already: counted as empty, inherited.
    Ended,
    /// A regular file on descriptor 0, counted from `offset`; a hit moves the offset as the run did.
    File {
        /// Where reading starts, in bytes.
        offset: u64,
    },
    /// `--stdin`: descriptor 0 is to be read to its end into a spool, counted and given to the command.
    Spool,
    /// `--stdin-from`: another file or value takes the place of descriptor 0.
    From,
    /// `--no-stdin`: the command gets `/dev/null`.
    Null,
    /// Something that may or may not be input: inherited, and if the command, which is watched, reads of it, the call is
    /// not stored.
    Unread,
    /// Something that may or may not be input: inherited untouched, and the call is not cached.
    Unknown,
}

/// How the standard streams of a command are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Whether descriptor 1 is open.
    pub stdout: bool,
    /// Whether descriptor 2 is open.
    pub stderr: bool,
    /// Whether both are the same open file, so that their order can be kept exactly by one pipe.
    pub same: bool,
}

/// A file that belongs to the command itself and must be the same after the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its stamp before the run.
    pub stamp: Stamp,
    /// Whether that stamp was old enough to prove that nothing changed as long as it stays the same.
    pub settled: bool,
    /// Its digest before the run.
    pub digest: Digest,
}

/// A command that was looked at: its parts, its digest and what running it takes.
#[derive(Clone, Debug)]
pub struct Command {
    /// Everything that counts, named, in key order.
    pub parts: Vec<Part>,
    /// The digest of `parts`.
    pub digest: CommandDigest,
    /// As asked for.
    pub argv: Vec<OsString>,
    /// For each of `argv`, whether `--redact-arg` covers it.
    pub redacted: Vec<bool>,
    /// The file to execute.
    pub program: Program,
    /// The working directory, absolute, without links.
    pub cwd: PathBuf,
    /// The project root, or the working directory where there is none: paths are relative to it.
    pub root: PathBuf,
    /// Whether `root` was made one by a `fleche.toml`, so that other checkouts share calls.
    pub project: bool,
    /// The `NAME=value` entries that the command sees, in order.
    pub environment: Vec<OsString>,
    /// What standard input means.
    pub stdin: Stdin,
    /// How the standard streams are connected.
    pub streams: Streams,
    /// The program, its interpreters and the file on standard input.
    pub watched: Vec<Watched>,
}

impl Command {
    /// The parts as a call records them: their names, and the digests of their values under a cache's secret.
    pub fn sealed_parts(&self, secret: &[u8; 32]) -> Vec<(String, Digest)> {
        self.parts.iter().map(|part| (part.name.clone(), Digest::under(secret, &part.value))).collect()
    }

    /// The name that the command goes by, for people: the last component of its first argument, or of its program's path
    /// where that argument is redacted.
    pub fn name(&self) -> String {
        self.file_name().to_string_lossy().into_owned()
    }

    /// The same byte for byte.
    pub fn file_name(&self) -> OsString {
        let program = self.program_path();
        let path =
            if self.redacted.first().is_some_and(|is_hidden| *is_hidden) { &program } else { Path::new(&self.argv[0]) };
        path.file_name().unwrap_or(path.as_os_str()).to_owned()
    }

    /// Whether anything of it must not be recorded in clear.
    pub fn is_redacted(&self) -> bool {
        self.redacted.contains(&true)
    }

    /// The absolute path of the file to execute; of the name that was asked for where there is none.
    pub fn program_path(&self) -> PathBuf {
        match &self.program {
            Program::Found(path) => self.cwd.join(path),
            Program::NotFound | Program::NotExecutable => PathBuf::from(&self.argv[0]),
        }
    }
}

/// A variable as the command has it, before the store's secret hides its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandVariable {
    /// Its name.
    pub name: OsString,
    /// Its value.
    pub value: OsString,
    /// Whether it counts in the command digest.
    pub counted: bool,
    /// Whether `--env` named it, so that it may be stored in clear.
    pub clear: bool,
}

impl CommandVariable {
    /// What may be stored of it: its name and a digest of its value under the store's `secret`.
    pub fn recorded(&self, secret: &[u8; 32]) -> Variable {
        use std::os::unix::ffi::OsStrExt;
        Variable {
            name: self.name.clone(),
            digest: Digest::under(secret, self.value.as_bytes()),
            clear: self.clear.then(|| self.value.clone()),
            counted: self.counted,
        }
    }
}
