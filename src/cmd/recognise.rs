//! The flags that say what identifies a command, shared by every subcommand that takes one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::model::{ArgumentRules, EnvironmentMode, EnvironmentRules, ProgramRule, Request, StdinRule, StdinSource};

use super::quick::Words;

/// A command and how to recognise it.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// A file, folder or glob that the command reads
    ///
    /// A folder means its whole tree. A glob that matches nothing is an error; a path that is not
    /// there counts as absent. May be given several times.
    #[arg(short, long = "input", value_name = "PATH|GLOB", help_heading = "Inputs and outputs")]
    input: Vec<OsString>,
    /// Leave out of folders and globs what matches
    ///
    /// A glob without a slash is compared with the file's name, one with a slash with its path.
    #[arg(short = 'x', long, value_name = "GLOB", help_heading = "Inputs and outputs")]
    exclude: Vec<String>,
    /// Leave out of folders and globs what the ignore files of git name, tracked or not
    #[arg(long, help_heading = "Inputs and outputs")]
    gitignore: bool,
    /// The command reads only its arguments, the files that they name and counted standard input, and writes only its streams
    #[arg(long, conflicts_with_all = ["input", "output"], help_heading = "Inputs and outputs")]
    pure: bool,
    /// A file, glob or `DIR/` that the command writes
    ///
    /// `DIR/` owns the whole folder: a replay removes from it what former runs of this command made.
    #[arg(short, long = "output", value_name = "PATH|GLOB|DIR/", help_heading = "Inputs and outputs")]
    output: Vec<OsString>,

    /// Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen
    #[arg(long, value_enum, default_value_t, value_name = "MODE", help_heading = "Environment")]
    env_mode: EnvMode,
    /// A variable that counts, and may be recorded in clear
    #[arg(long, value_name = "GLOB", help_heading = "Environment")]
    env: Vec<String>,
    /// A variable that does not count
    #[arg(long, value_name = "GLOB", help_heading = "Environment")]
    ignore_env: Vec<String>,
    /// A variable without which nothing is stored
    #[arg(long, value_name = "NAME", help_heading = "Environment")]
    require_env: Vec<String>,

    /// An argument that does not count
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true, help_heading = "Command")]
    ignore_arg: Vec<String>,
    /// An argument without which nothing is stored
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true, help_heading = "Command")]
    require_arg: Vec<String>,
    /// An argument that counts but is never recorded in clear
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true, help_heading = "Command")]
    redact_arg: Vec<String>,
    /// What of the program counts: its path and content, its path, or its name
    #[arg(long, value_enum, default_value_t, value_name = "WHAT", help_heading = "Command")]
    program: ProgramWhat,
    /// A shell command whose output counts, such as 'node --version'
    #[arg(long, value_name = "COMMAND", help_heading = "Command")]
    probe: Vec<OsString>,
    /// The working directory does not count
    #[arg(long, help_heading = "Command")]
    no_cwd: bool,
    /// Counts as it stands: change it to forget all that was recorded before
    #[arg(long, value_name = "TEXT", help_heading = "Command")]
    revision: Option<String>,

    /// Standard input is input: it is read to its end, counted and given to the command
    ///
    /// What is no file has to be read before the command starts. Beyond 256 MiB (or the --max-entry of `fleche run`)
    /// that ends: the command runs, gets all of it, and is not cached.
    #[arg(long, group = "standard-input", help_heading = "Standard input")]
    stdin: bool,
    /// Standard input is not input: the command gets /dev/null
    #[arg(long, group = "standard-input", help_heading = "Standard input")]
    no_stdin: bool,
    /// Take standard input from a file, or from a value or call that is stored
    #[arg(long, group = "standard-input", value_name = "FILE|fleche:PREFIX", help_heading = "Standard input")]
    stdin_from: Option<OsString>,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum EnvMode {
    #[default]
    All,
    Listed,
    Strict,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProgramWhat {
    #[default]
    Content,
    Path,
    Name,
}

impl Args {
    /// Takes a plain flag as clap would, see [`quick`](super::quick); `false` leaves it to clap.
    pub(super) fn take(&mut self, flag: &str, words: &mut Words) -> bool {
        match flag {
            "-i" | "--input" => words.value().map(|value| self.input.push(value)).is_some(),
            "-o" | "--output" => words.value().map(|value| self.output.push(value)).is_some(),
            "-x" | "--exclude" => words.text().map(|glob| self.exclude.push(glob)).is_some(),
            "--env" => words.text().map(|glob| self.env.push(glob)).is_some(),
            "--ignore-env" => words.text().map(|glob| self.ignore_env.push(glob)).is_some(),
            "--pure" => !std::mem::replace(&mut self.pure, true),
            "--gitignore" => !std::mem::replace(&mut self.gitignore, true),
            "--no-cwd" => !std::mem::replace(&mut self.no_cwd, true),
            "--no-stdin" => !std::mem::replace(&mut self.no_stdin, true),
            _ => false,
        }
    }

    /// Takes the command, if there is one and no two flags contradict each other.
    pub(super) fn complete(mut self, command: Vec<OsString>) -> Option<Args> {
        let contradicts = self.pure && !(self.input.is_empty() && self.output.is_empty());
        self.command = command;
        (!self.command.is_empty() && !contradicts).then_some(self)
    }

    /// Makes `word` the command, and what was it the arguments.
    pub(super) fn put_in_front(&mut self, word: OsString) {
        self.command.insert(0, word);
    }

    /// The request that these flags spell.
    pub fn request(self) -> Result<Request> {
        Ok(Request {
            argv: self.command,
            inputs: self.input,
            excludes: self.exclude,
            gitignore: self.gitignore,
            pure: self.pure,
            outputs: self.output,
            environment: EnvironmentRules {
                mode: match self.env_mode {
                    EnvMode::All => EnvironmentMode::All,
                    EnvMode::Listed => EnvironmentMode::Listed,
                    EnvMode::Strict => EnvironmentMode::Strict,
                },
                counted: self.env,
                ignored: self.ignore_env,
                required: self.require_env,
            },
            arguments: ArgumentRules {
                ignored: self.ignore_arg,
                required: self.require_arg,
                redacted: self.redact_arg,
            },
            program: match self.program {
                ProgramWhat::Content => ProgramRule::Content,
                ProgramWhat::Path => ProgramRule::Path,
                ProgramWhat::Name => ProgramRule::Name,
            },
            probes: self.probe,
            ignore_cwd: self.no_cwd,
            stdin: match (self.stdin, self.no_stdin, self.stdin_from) {
                (true, ..) => StdinRule::Input,
                (_, true, _) => StdinRule::None,
                (.., Some(source)) => StdinRule::From(stdin_source(source)?),
                _ => StdinRule::Automatic,
            },
            revision: self.revision,
        })
    }
}

fn stdin_source(word: OsString) -> Result<StdinSource> {
    match word.as_bytes().strip_prefix(b"fleche:") {
        None => Ok(StdinSource::File(PathBuf::from(word))),
        Some(prefix) => match std::str::from_utf8(prefix).map_err(|_| "not a digest".to_owned()).and_then(str::parse) {
            Ok(prefix) => Ok(StdinSource::Stored(prefix)),
            Err(why) => Err(Error::usage(format!("--stdin-from {}: {why}", word.display()))),
        },
    }
}
