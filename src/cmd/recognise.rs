//! The flags that say what identifies a command, shared by every subcommand that takes one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use crate::config::Ruling;
use crate::error::{Error, Result};
use crate::model::{
    ArgumentRules, EnvironmentMode, EnvironmentRules, Isolation, ProgramRule, Reference, Request, SCHEME, StdinRule,
    StdinSource, WatchMode, WatchRules,
};

use super::quick::Words;
use super::rules::{self, chosen, listed};
use super::run;

/// A command and how to recognise it.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// The command and its arguments
    ///
    /// Where an argument is `fleche:PREFIX`, or ends in that behind a `=`, the command gets the path of a read-only copy of
    /// the stored value; of a call its standard output, with `/stderr` behind it that, with `/PATH` an output.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How to recognise a command.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// A file, folder or glob that the command reads
    ///
    /// A folder means its whole tree. A glob that matches nothing is an error; a path that is not
    /// there counts as absent. May be given several times.
    #[arg(short, long = "input", value_name = "PATH|GLOB", value_hint = ValueHint::AnyPath, help_heading = "Inputs and outputs")]
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
    #[arg(short, long = "output", value_name = "PATH|GLOB|DIR/", value_hint = ValueHint::AnyPath, help_heading = "Inputs and outputs")]
    output: Vec<OsString>,
    /// Run it in a private folder that holds copies of the inputs and nothing else, and bring back the outputs
    ///
    /// strict: it can read only the inputs, its program and the folders of the system, write nothing outside, and has no
    /// network; where the kernel does not allow that, nothing is run.
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "folder",
        value_name = "HOW",
        help_heading = "Inputs and outputs"
    )]
    isolate: Option<IsolateHow>,

    /// Whether the command is watched to find out what it reads and writes [default: auto]
    ///
    /// auto: if neither -i nor --pure is given. on: what it reads counts beside what is declared. off: never.
    /// audit: it is run and watched, and told is what it read and wrote beside what is declared.
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Watching")]
    trace: Option<TraceWhen>,
    /// Store a watched command although it uses the network; best with --ttl
    #[arg(long, help_heading = "Watching")]
    allow_network: bool,
    /// A folder outside the project in which a watched command may leave outputs
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Watching")]
    allow_write: Vec<OsString>,
    /// Files that a watched command keeps for itself: neither inputs nor outputs [default: ~/.cache, __pycache__, cargo's locks]
    #[arg(long, value_name = "GLOB", help_heading = "Watching")]
    scratch: Vec<String>,

    /// Which variables count: all but the volatile ones, only those of --env, or those and nothing else is seen [default: all]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Environment")]
    env_mode: Option<EnvMode>,
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
    /// What of the program counts: its path and content, its path, or its name [default: content]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Command")]
    program: Option<ProgramWhat>,
    /// A shell command whose output counts, such as 'node --version'
    #[arg(long, value_name = "COMMAND", help_heading = "Command")]
    probe: Vec<OsString>,
    /// The working directory does not count
    #[arg(long, help_heading = "Command")]
    no_cwd: bool,
    /// Counts as it stands: change it to forget all that was recorded before
    #[arg(long, value_name = "TEXT", help_heading = "Command")]
    revision: Option<String>,
    /// Leave arguments such as `fleche:PREFIX` as they are
    #[arg(long, help_heading = "Command")]
    no_expand: bool,
    /// Go by these flags alone, and not by the rules and defaults of fleche.toml
    #[arg(long, help_heading = "Command")]
    no_rules: bool,

    /// Standard input is input: it is read to its end, counted and given to the command
    ///
    /// What is no file has to be read before the command starts. Beyond 256 MiB (or the --max-entry of `fleche run`)
    /// that ends: the command runs, gets all of it, and is not cached.
    #[arg(long, group = "standard-input", help_heading = "Standard input")]
    stdin: bool,
    /// Standard input is not input: the command gets /dev/null
    #[arg(long, group = "standard-input", help_heading = "Standard input")]
    no_stdin: bool,
    /// Take standard input from a file, or from a stored value: `fleche:PREFIX`, `fleche:KEY/stderr`, `fleche:KEY/OUTPUT`
    #[arg(long, group = "standard-input", value_name = "FILE|fleche:PREFIX", value_hint = ValueHint::AnyPath, help_heading = "Standard input")]
    stdin_from: Option<OsString>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum EnvMode {
    #[default]
    All,
    Listed,
    Strict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TraceWhen {
    #[default]
    Auto,
    On,
    Off,
    Audit,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum IsolateHow {
    Folder,
    Strict,
    None,
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
        let flags = &mut self.flags;
        match flag {
            "-i" | "--input" => words.value().map(|value| flags.input.push(value)).is_some(),
            "-o" | "--output" => words.value().map(|value| flags.output.push(value)).is_some(),
            "-x" | "--exclude" => words.text().map(|glob| flags.exclude.push(glob)).is_some(),
            "--env" => words.text().map(|glob| flags.env.push(glob)).is_some(),
            "--ignore-env" => words.text().map(|glob| flags.ignore_env.push(glob)).is_some(),
            "--pure" => !std::mem::replace(&mut flags.pure, true),
            "--gitignore" => !std::mem::replace(&mut flags.gitignore, true),
            "--no-cwd" => !std::mem::replace(&mut flags.no_cwd, true),
            "--no-stdin" => !std::mem::replace(&mut flags.no_stdin, true),
            _ => false,
        }
    }

    /// Takes the command, if there is one and no two flags contradict each other.
    pub(super) fn complete(mut self, command: Vec<OsString>) -> Option<Args> {
        let contradicts = self.flags.pure && !(self.flags.input.is_empty() && self.flags.output.is_empty());
        self.command = command;
        (!self.command.is_empty() && !contradicts).then_some(self)
    }

    /// Makes `word` the command, and what was it the arguments.
    pub(super) fn put_in_front(&mut self, word: OsString) {
        self.command.insert(0, word);
    }

    /// Fills what these flags leave open by the rule for the command.
    pub(super) fn fill(&mut self, policy: &mut run::Flags) -> Result<()> {
        rules::fill(policy, &mut self.flags, &self.command)
    }

    /// Whether the command is to be audited.
    pub(super) fn audits(&self) -> bool {
        self.flags.trace == Some(TraceWhen::Audit)
    }

    /// The request that these flags spell.
    pub fn request(self) -> Result<Request> {
        self.flags.request(self.command)
    }
}

impl Flags {
    /// Whether `--no-rules` was given.
    pub(super) fn goes_by_no_rules(&self) -> bool {
        self.no_rules
    }

    /// Fills what these flags leave open.
    pub(super) fn fill(&mut self, ruling: &Ruling) {
        let declares = !(self.input.is_empty() && self.output.is_empty());
        if !self.pure {
            listed(&mut self.input, ruling, "inputs");
            listed(&mut self.output, ruling, "outputs");
        }
        let is_on = |name| ruling.flag(name) == Some(true);
        let is_off = |name| ruling.flag(name) == Some(false);
        self.pure |= !declares && is_on("pure");
        self.gitignore |= is_on("gitignore");
        self.allow_network |= is_on("allow-network");
        self.no_cwd |= is_off("cwd");
        self.no_expand |= is_off("expand");
        listed(&mut self.exclude, ruling, "excludes");
        listed(&mut self.allow_write, ruling, "allow-write");
        listed(&mut self.scratch, ruling, "scratch");
        listed(&mut self.env, ruling, "env");
        listed(&mut self.ignore_env, ruling, "ignore-env");
        listed(&mut self.require_env, ruling, "require-env");
        listed(&mut self.ignore_arg, ruling, "ignore-arg");
        listed(&mut self.require_arg, ruling, "require-arg");
        listed(&mut self.redact_arg, ruling, "redact-arg");
        listed(&mut self.probe, ruling, "probe");
        self.trace = chosen(self.trace, ruling, "trace");
        self.env_mode = chosen(self.env_mode, ruling, "env-mode");
        self.program = chosen(self.program, ruling, "program");
        self.isolate = match ruling.flag("isolate") {
            Some(true) => self.isolate.or(Some(IsolateHow::Folder)),
            Some(false) => self.isolate,
            None => chosen(self.isolate, ruling, "isolate"),
        };
        self.revision = self.revision.take().or_else(|| ruling.text("revision"));
        if !self.stdin && !self.no_stdin && self.stdin_from.is_none() {
            self.stdin = is_on("stdin");
            self.no_stdin = is_off("stdin");
            self.stdin_from = ruling.text("stdin-from").map(OsString::from);
        }
    }

    /// The request for `command` that these flags spell.
    pub fn request(self, command: Vec<OsString>) -> Result<Request> {
        Ok(Request {
            argv: command,
            stored: Vec::new(),
            inputs: self.input,
            excludes: self.exclude,
            gitignore: self.gitignore,
            pure: self.pure,
            outputs: self.output,
            watching: WatchRules {
                mode: match self.trace.unwrap_or_default() {
                    TraceWhen::Auto | TraceWhen::Audit => WatchMode::Auto,
                    TraceWhen::On => WatchMode::On,
                    TraceWhen::Off => WatchMode::Off,
                },
                network: self.allow_network,
                writable: self.allow_write,
                scratch: self.scratch,
            },
            isolation: match self.isolate {
                None | Some(IsolateHow::None) => Isolation::None,
                Some(IsolateHow::Folder) => Isolation::Folder,
                Some(IsolateHow::Strict) => Isolation::Strict,
            },
            environment: EnvironmentRules {
                mode: match self.env_mode.unwrap_or_default() {
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
            program: match self.program.unwrap_or_default() {
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
            literal: self.no_expand,
        })
    }
}

fn stdin_source(word: OsString) -> Result<StdinSource> {
    match word.as_bytes().strip_prefix(SCHEME.as_bytes()) {
        None => Ok(StdinSource::File(PathBuf::from(word))),
        Some(text) => match Reference::parse(text) {
            Ok(reference) => Ok(StdinSource::Stored(reference)),
            Err(why) => Err(Error::usage(format!("--stdin-from {}: {why}", word.display()))),
        },
    }
}

/// The words that spell `request`, its command last: read again they give the same request.
pub fn words(request: &Request) -> Vec<OsString> {
    let mut words = Spelling::default();
    words.all("--input", &request.inputs);
    words.all("--exclude", &request.excludes);
    words.flag("--gitignore", request.gitignore);
    words.flag("--pure", request.pure);
    words.all("--output", &request.outputs);
    match request.isolation {
        Isolation::None => {}
        Isolation::Folder => words.flag("--isolate", true),
        Isolation::Strict => words.flag("--isolate=strict", true),
    }
    words.one("--trace", Some(request.watching.mode.name()).filter(|name| *name != WatchMode::Auto.name()));
    words.flag("--allow-network", request.watching.network);
    words.all("--allow-write", &request.watching.writable);
    words.all("--scratch", &request.watching.scratch);
    words.one("--env-mode", Some(request.environment.mode.name()).filter(|name| *name != EnvironmentMode::All.name()));
    words.all("--env", &request.environment.counted);
    words.all("--ignore-env", &request.environment.ignored);
    words.all("--require-env", &request.environment.required);
    words.all("--ignore-arg", &request.arguments.ignored);
    words.all("--require-arg", &request.arguments.required);
    words.all("--redact-arg", &request.arguments.redacted);
    words.one("--program", Some(request.program.name()).filter(|name| *name != ProgramRule::Content.name()));
    words.all("--probe", &request.probes);
    words.flag("--no-cwd", request.ignore_cwd);
    words.one("--revision", request.revision.as_ref());
    words.flag("--no-expand", request.literal);
    words.flag("--stdin", request.stdin == StdinRule::Input);
    words.flag("--no-stdin", request.stdin == StdinRule::None);
    words.one(
        "--stdin-from",
        match &request.stdin {
            StdinRule::From(StdinSource::File(path)) => Some(path.clone().into_os_string()),
            StdinRule::From(StdinSource::Stored(reference)) => Some(reference.word()),
            _ => None,
        },
    );
    words.0.push("--".into());
    words.0.extend(request.argv.iter().cloned());
    words.0
}

/// Words of a command line.
#[derive(Default)]
pub struct Spelling(pub Vec<OsString>);

impl Spelling {
    /// A flag without a value, where it is set.
    pub fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.0.push(name.into());
        }
    }

    /// A flag with a value, where there is one.
    pub fn one(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        let Some(value) = value else { return };
        let value = value.as_ref();
        if value.as_bytes().starts_with(b"-") {
            // Standing by itself it would be another flag.
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            self.0.push(word);
        } else {
            self.0.extend([name.into(), value.to_owned()]);
        }
    }

    /// The same for each of some values.
    pub fn all(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        values.into_iter().for_each(|value| self.one(name, Some(value)));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::{Args as _, Command, FromArgMatches};
    use proptest::prelude::*;

    use super::*;

    fn read(words: &[OsString]) -> Request {
        let command = Args::augment_args(Command::new("run"));
        let words = [OsString::from("fleche")].into_iter().chain(words.iter().cloned());
        let mut matches = command.try_get_matches_from(words).unwrap();
        Args::from_arg_matches_mut(&mut matches).unwrap().request().unwrap()
    }

    fn word() -> impl Strategy<Value = OsString> {
        prop_oneof![
            prop::sample::select(vec!["", "-", "--", "-x", "--input", "a b", "a=b", "=", "fleche:abcd"])
                .prop_map(Into::into),
            prop::collection::vec(1u8..=255, 0..5).prop_map(OsString::from_vec),
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec!["", "-", "--", "-x", "--env", "a b", "*"]).prop_map(String::from),
            ".{0,4}"
        ]
    }

    fn few<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
        prop::collection::vec(one, 0..3)
    }

    fn stdin() -> impl Strategy<Value = StdinRule> {
        let file = word().prop_filter("that is no file", |word| !word.as_bytes().starts_with(b"fleche:"));
        let reference = Reference::parse(b"abcd/a b").unwrap();
        prop_oneof![
            Just(StdinRule::Automatic),
            Just(StdinRule::Input),
            Just(StdinRule::None),
            file.prop_map(|word| StdinRule::From(StdinSource::File(word.into()))),
            Just(StdinRule::From(StdinSource::Stored(reference))),
        ]
    }

    prop_compose! {
        fn request()(
            argv in prop::collection::vec(word(), 1..4),
            (inputs, outputs, probes) in (few(word()), few(word()), few(word())),
            texts in prop::collection::vec(few(text()), 8),
            (watch, network, writable) in (
                prop::sample::select(vec![WatchMode::Auto, WatchMode::On, WatchMode::Off]), any::<bool>(), few(word())
            ),
            flags in prop::collection::vec(any::<bool>(), 4),
            mode in prop::sample::select(vec![EnvironmentMode::All, EnvironmentMode::Listed, EnvironmentMode::Strict]),
            isolation in prop::sample::select(vec![Isolation::None, Isolation::Folder, Isolation::Strict]),
            program in prop::sample::select(vec![ProgramRule::Content, ProgramRule::Path, ProgramRule::Name]),
            stdin in stdin(),
            revision in prop::option::of(text()),
        ) -> Request {
            let mut texts = texts.into_iter();
            let mut next = || texts.next().unwrap();
            let pure = flags[0] && inputs.is_empty() && outputs.is_empty();
            Request {
                argv, stored: Vec::new(), inputs, outputs, probes, pure, isolation, program, stdin, revision,
                excludes: next(),
                watching: WatchRules { mode: watch, network, writable, scratch: next() },
                environment: EnvironmentRules { mode, counted: next(), ignored: next(), required: next() },
                arguments: ArgumentRules { ignored: next(), required: next(), redacted: next() },
                gitignore: flags[1], ignore_cwd: flags[2], literal: flags[3],
            }
        }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn what_is_spelt_is_read_as_it_was(request in request()) {
            prop_assert_eq!(read(&words(&request)), request);
        }
    }
}
