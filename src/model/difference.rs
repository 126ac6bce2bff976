//! How a command or a call differs from another: what `explain` tells of.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Argument, Grade, Key};

/// A difference between a command as it is now and a recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub subject: Subject,
    /// The words of the options with which it would not count; none where there are none.
    pub remedy: Vec<OsString>,
}

impl Difference {
    /// One that no option helps against.
    pub fn without_remedy(subject: Subject) -> Difference {
        Difference { subject, remedy: Vec::new() }
    }
}

/// What differs. Where both sides are told, `now` is the command and `then` the recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An argument; at least one side has one.
    Argument {
        /// Its number, the command's own name being 0: that of now, or of then where it is gone.
        position: usize,
        /// What it is.
        now: Option<Argument>,
        /// What it was.
        then: Option<Argument>,
    },
    /// An environment variable that counts.
    Variable {
        /// Its name as text, of which no two share one.
        name: String,
        /// What it is.
        now: Setting,
        /// What it was.
        then: Setting,
    },
    /// The file that is executed, or an interpreter of it, is another one.
    Program {
        /// Which of them.
        role: Role,
        /// Its path; where there is none, what is wrong with it counts.
        now: Option<PathBuf>,
        /// The path that it had, where that is known.
        then: Option<PathBuf>,
    },
    /// That file is at the same place and holds something else.
    ProgramContent {
        /// Which of them.
        role: Role,
        /// Its path.
        path: PathBuf,
    },
    /// An option was given on one side only.
    Flag {
        /// The option, with its dashes.
        name: &'static str,
        /// Its value, if it takes one.
        value: Option<OsString>,
        /// On which side.
        given: Side,
    },
    /// A `--probe` prints something else.
    Probe(OsString),
    /// What there is one of.
    Aspect {
        /// Which.
        aspect: Aspect,
        /// What it is, where that is known and there is any.
        now: Option<String>,
        /// What it was, where that is known and there was any.
        then: Option<String>,
    },
    /// What can be seen at a path.
    Input {
        /// The path, relative to the root where it lies below it.
        path: PathBuf,
        /// What happened there.
        change: Change,
    },
    /// Nothing differs but the checkout, of which the call's result tells.
    Checkout(PathBuf),
    /// Nothing differs, but the run ended with an exit code that is not replayed without `--cache-exit`.
    Exit(u8),
}

/// What is known of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// It is not set, or hidden from the command.
    Unset,
    /// It is set; the value only where `--env` named it.
    Set(Option<OsString>),
}

/// Which of the files that are executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The command itself.
    Program,
    /// What interprets it.
    Interpreter,
}

/// One of two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The command as it is now.
    Now,
    /// The recorded call.
    Then,
}

/// What a command has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The version of what fleche counts, or the secret under which the call was recorded.
    Format,
    /// `--program`.
    ProgramRule,
    /// The working directory.
    Folder,
    /// `--env-mode`.
    EnvironmentMode,
    /// What standard input is.
    Stdin,
    /// What standard input holds.
    StdinContent,
    /// Where reading of standard input begins.
    StdinOffset,
    /// How standard output and error are connected.
    Streams,
    /// What is open beyond the standard descriptors.
    Descriptors,
    /// Which rights of its own the program has.
    Rights,
    /// Of which limits it may have too little.
    Limits,
    /// The umask.
    Umask,
    /// Whether the user is root.
    Root,
    /// The operating system or the processor.
    Machine,
    /// `--revision`.
    Revision,
    /// An entry of the environment that has no name.
    NamelessEntry,
    /// What another cache knows alone: the call was recorded there.
    Elsewhere,
}

impl Aspect {
    /// A short word for programs; never changes once released.
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Format => "format",
            Aspect::ProgramRule => "program-rule",
            Aspect::Folder => "cwd",
            Aspect::EnvironmentMode => "env-mode",
            Aspect::Stdin => "stdin",
            Aspect::StdinContent => "stdin-content",
            Aspect::StdinOffset => "stdin-offset",
            Aspect::Streams => "streams",
            Aspect::Descriptors => "descriptors",
            Aspect::Rights => "rights",
            Aspect::Limits => "limits",
            Aspect::Umask => "umask",
            Aspect::Root => "root-user",
            Aspect::Machine => "machine",
            Aspect::Revision => "revision",
            Aspect::NamelessEntry => "env-entry",
            Aspect::Elsewhere => "elsewhere",
        }
    }
}

/// What happened at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was nothing.
    New,
    /// There is nothing any more.
    Gone,
    /// A file or link holds something else.
    Content,
    /// It has other permission bits.
    Mode {
        /// Those that it has.
        now: u32,
        /// Those that it had.
        then: u32,
    },
    /// It is a thing of another kind: a file, a folder, a link.
    Kind,
    /// A file or folder has another size, modification time or owner, and that was looked at.
    Modified,
    /// Other names are in a folder.
    Names,
    /// It may not be looked at any more.
    Denied,
    /// It may be looked at, and might not.
    Allowed,
}

/// The recorded call that differs least from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its name.
    pub key: Key,
    /// Its arguments, as far as they may be known.
    pub argv: Vec<Argument>,
    /// How its inputs are known.
    pub grade: Grade,
    /// When its run ended, in nanoseconds since 1970.
    pub stopped: i64,
    /// All that differs, what explains the most first.
    pub differences: Vec<Difference>,
}

/// Something that a replay does not depend on, although the command might.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncovered {
    /// A variable that does not count and is not what it was.
    Variable(OsString),
    /// An argument that `--ignore-arg` covers.
    Argument(Argument),
    /// Files beside those that were declared.
    Files,
    /// The network and the clock.
    World,
    /// `--no-cwd`: the working directory, which this one was then.
    Folder(PathBuf),
    /// `--program path` or `name`: what the program holds.
    ProgramContent,
    /// `--program name`: which file is executed.
    ProgramPath,
    /// What is typed at the terminal.
    Terminal,
}
