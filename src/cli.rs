//! The command line: which subcommands there are and which of them was asked for.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::cmd::quick::{self, Beside};
use crate::cmd::{
    bind, call, completions, config, contains, digest, evict, expand, explain, export, gc, graph, import, load, pull,
    push, query, redigest, reindex, remote, rerun, run, shell, show, shrink, stats, table, tag, transfer, verify,
};
use crate::error::{Kind, Result};
use crate::ui::{Talk, choose_color};

/// Remember what a command did, and replay it when the same command meets the same inputs.
#[derive(Parser)]
#[command(name = "fleche", version, propagate_version = false, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    talk: TalkArgs,
    #[command(subcommand)]
    command: Commands,
}

// Only `run`: building the arguments of all subcommands costs as much as a whole look-up.
#[derive(Parser)]
#[command(name = "fleche run", bin_name = "fleche run")]
struct RunCli {
    #[command(flatten)]
    talk: TalkArgs,
    #[command(flatten)]
    args: run::Args,
}

// The same for every line of a Makefile.
#[derive(Parser)]
#[command(name = "fleche shell", bin_name = "fleche shell")]
struct ShellCli {
    // First, because they take their short names from all flags that are there already.
    #[command(flatten)]
    args: shell::Args,
    #[command(flatten)]
    talk: TalkArgs,
}

#[derive(Subcommand)]
enum Commands {
    Run(Box<run::Args>),
    Query(Box<query::Args>),
    Table(Box<table::Args>),
    Show(show::Args),
    Digest(Box<digest::Args>),
    Shell(Box<shell::Args>),
    Rerun(Box<rerun::Args>),
    Redigest(redigest::Args),
    Expand(expand::Args),
    Shrink(shrink::Args),
    Tag(Box<tag::Args>),
    Evict(Box<evict::Args>),
    Transfer(Box<transfer::Args>),
    Export(Box<export::Args>),
    Import(import::Args),
    Push(Box<push::Args>),
    Pull(pull::Args),
    Remote(remote::Args),
    Graph(Box<graph::Args>),
    Stats(Box<stats::Args>),
    Load(Box<load::Args>),
    Bind(Box<bind::Args>),
    Completions(completions::Args),
    Config(config::Args),
    Gc(gc::Args),
    Verify(Box<verify::Args>),
    Reindex(reindex::Args),
    Explain(Box<explain::Args>),
    Contains(Box<contains::Args>),
    Call(Box<call::Args>),
}

#[derive(clap::Args)]
struct TalkArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say what was recognised, replayed and stored
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Whether to print in colour [default: auto, on a terminal]
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    color: Option<Color>,
    /// The caches that are asked, in order; the first one is written [default: $FLECHE_CACHE, else by fleche.toml, else local]
    ///
    /// Names of configured caches, or folders: words with a slash.
    #[arg(long, global = true, value_name = "NAME,...", value_hint = ValueHint::DirPath, add = completions::caches())]
    cache: Option<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl TalkArgs {
    /// How much is said; from now on the caches of `--cache` are gone by.
    fn talk(&self) -> Talk {
        if let Some(caches) = &self.cache {
            crate::config::choose_caches(vec![caches.clone()]);
        }
        Talk::new(self.quiet, self.verbose || crate::config::is_verbose())
    }
}

/// Runs the program with `arguments`, the first of which is its own name, and returns its exit status.
///
/// Under the name `fleche-shell` it is `fleche shell`, for programs that take one word for a shell.
pub fn run(mut arguments: Vec<OsString>) -> i32 {
    if arguments.first().is_some_and(|name| name.as_encoded_bytes().ends_with(b"fleche-shell")) {
        arguments.insert(1, "shell".into());
    }
    if arguments.get(1).is_some_and(|word| word == "run") {
        if let Some((Beside { quiet, verbose, cache }, args)) = quick::read(&arguments[2..]) {
            return run::run(args, &TalkArgs { quiet, verbose, color: None, cache }.talk());
        }
        return match RunCli::try_parse_from(arguments.into_iter().skip(1)) {
            Ok(RunCli { talk, args }) => run::run(args, &talk.talk()),
            Err(error) => refuse(&error, run::REFUSAL),
        };
    }
    // Behind the look for `run`, so that it costs a run nothing; no other command line begins like this.
    if arguments.get(1).is_some_and(|word| word == "--")
        && let Some(question) = crate::config::completion_question()
    {
        return completions::answer(&question, Cli::command(), &arguments[2..]);
    }
    if let Some(at) = first_word(&arguments).filter(|at| arguments[*at] == "shell") {
        let mut own = ShellCli::command();
        let words = [&arguments[..at], &shell::divided(&arguments[at + 1..], &own)].concat();
        let read = own.try_get_matches_from_mut(words).and_then(|read| ShellCli::from_arg_matches(&read));
        return match read {
            Ok(ShellCli { talk, args }) => shell::run(args, &talk.talk()),
            Err(error) => refuse(&error, run::REFUSAL),
        };
    }
    let is_run = first_word(&arguments).is_some_and(|at| arguments[at] == "run" || arguments[at] == "rerun");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, if is_run { run::REFUSAL } else { 2 }),
    };
    let talk = cli.talk.talk();
    choose_color(match cli.talk.color.unwrap_or(Color::Auto) {
        Color::Auto => !crate::config::forbids_color() && std::io::stdout().is_terminal(),
        Color::Always => true,
        Color::Never => false,
    });
    let done: Result<()> = match cli.command {
        Commands::Run(args) => return run::run(*args, &talk),
        Commands::Shell(args) => return shell::run(*args, &talk),
        Commands::Rerun(args) => return rerun::run(*args, &talk),
        Commands::Query(args) => query::run(*args, &talk),
        Commands::Table(args) => table::run(*args, &talk),
        Commands::Show(args) => show::run(args),
        Commands::Digest(args) => digest::run(*args, &talk),
        Commands::Redigest(args) => redigest::run(args, &talk),
        Commands::Expand(args) => expand::run(args, &talk),
        Commands::Shrink(args) => shrink::run(args, &talk),
        Commands::Tag(args) => tag::run(*args, &talk),
        Commands::Evict(args) => evict::run(*args, &talk),
        Commands::Transfer(args) => transfer::run(*args, &talk),
        Commands::Export(args) => export::run(*args, &talk),
        Commands::Import(args) => import::run(args, &talk),
        Commands::Push(args) => push::run(*args, &talk),
        Commands::Pull(args) => pull::run(&args, &talk),
        Commands::Remote(args) => remote::run(&args, &talk),
        Commands::Graph(args) => graph::run(*args),
        Commands::Stats(args) => stats::run(*args),
        Commands::Load(args) => load::run(*args, &talk),
        Commands::Bind(args) => bind::run(*args),
        Commands::Completions(args) => completions::run(&args),
        Commands::Config(args) => config::run(args),
        Commands::Gc(args) => gc::run(args, &talk),
        Commands::Verify(args) => verify::run(*args, &talk),
        Commands::Reindex(args) => reindex::run(args, &talk),
        Commands::Explain(args) => explain::run(*args, &talk),
        Commands::Contains(args) => contains::run(*args, &talk),
        Commands::Call(args) => call::run(*args, &talk),
    };
    crate::cmd::tell_ignored(&talk);
    match done {
        Ok(()) => 0,
        Err(error) if error.kind() == Kind::Unheard => 0,
        Err(error) if error.kind() == Kind::Unsaid => 1,
        Err(error) => {
            talk.error(&error);
            match error.kind() {
                Kind::No | Kind::Unsaid => 1,
                Kind::Usage | Kind::Failure | Kind::Unheard => 2,
            }
        }
    }
}

/// All subcommands with all their flags, for the manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Where the subcommand is: the first word that is no option; nor the value of one.
fn first_word(arguments: &[OsString]) -> Option<usize> {
    let is_value = |at: usize| arguments[at - 1] == "--color" || arguments[at - 1] == "--cache";
    (1..arguments.len()).find(|at| !arguments[*at].as_encoded_bytes().starts_with(b"-") && !is_value(*at))
}

/// Prints what clap has to say: help and version on standard output with status 0, complaints on standard error.
fn refuse(error: &clap::Error, status: i32) -> i32 {
    let shown = error.print();
    if error.use_stderr() || shown.is_err() { status } else { 0 }
}
