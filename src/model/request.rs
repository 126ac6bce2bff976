//! What a user asked for on the command line: how a command is to be recognised.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Prefix;

/// A command and the options that say what identifies it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The command and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// `-i`: paths and globs that are inputs.
    pub inputs: Vec<OsString>,
    /// `-x`: globs that leave things out of folders and globs.
    pub excludes: Vec<String>,
    /// `--gitignore`: what git ignores is left out of folders and globs.
    pub gitignore: bool,
    /// `--pure`: the command reads nothing but its arguments and the files that they name.
    pub pure: bool,
    /// `-o`: paths, globs and `DIR/` that are outputs.
    pub outputs: Vec<OsString>,
    /// Which variables count and which the command sees.
    pub environment: EnvironmentRules,
    /// Which arguments count.
    pub arguments: ArgumentRules,
    /// What of the program counts.
    pub program: ProgramRule,
    /// `--probe`: shell commands whose output counts.
    pub probes: Vec<OsString>,
    /// `--no-cwd`: the working directory does not count.
    pub ignore_cwd: bool,
    /// What standard input is.
    pub stdin: StdinRule,
    /// `--revision`.
    pub revision: Option<String>,
}

/// Which environment variables count in the command digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvironmentMode {
    /// All but the volatile list.
    #[default]
    All,
    /// Only those that `--env` names; the command sees everything.
    Listed,
    /// Only those that `--env` names, PATH, LANG, LC_* and TZ, and the command sees only these and,
    /// uncounted, HOME USER LOGNAME SHELL TMPDIR TERM.
    Strict,
}

/// The options that concern the environment.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentRules {
    /// `--env-mode`.
    pub mode: EnvironmentMode,
    /// `--env GLOB`: counted, seen, and recorded in clear.
    pub counted: Vec<String>,
    /// `--ignore-env GLOB`: recorded, not counted.
    pub ignored: Vec<String>,
    /// `--require-env NAME`: without it the call is not stored.
    pub required: Vec<String>,
}

/// The options that concern arguments.
#[derive(Clone, Debug, Default)]
pub struct ArgumentRules {
    /// `--ignore-arg GLOB`: recorded, not counted.
    pub ignored: Vec<String>,
    /// `--require-arg GLOB`: without it the call is not stored.
    pub required: Vec<String>,
    /// `--redact-arg GLOB`: counted, never recorded in clear.
    pub redacted: Vec<String>,
}

/// What of the program counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramRule {
    /// Its path and content, and those of its `#!` interpreter.
    #[default]
    Content,
    /// Its path.
    Path,
    /// Only the name by which it was called.
    Name,
}

/// What standard input is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StdinRule {
    /// Decided by what descriptor 0 is.
    #[default]
    Automatic,
    /// `--stdin`: input, to be read to its end.
    Input,
    /// `--no-stdin`: not input; the command gets `/dev/null`.
    None,
    /// `--stdin-from`: this takes its place.
    From(StdinSource),
}

/// Where `--stdin-from` takes standard input from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StdinSource {
    /// A file.
    File(PathBuf),
    /// `fleche:PREFIX`: a value, or the standard output of a call.
    Stored(Prefix),
}
