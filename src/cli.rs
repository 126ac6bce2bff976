//! The command line: which subcommands there are and which of them was asked for.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cmd::quick::{self, Loudness};
use crate::cmd::{call, contains, digest, explain, query, run, show, table};
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

#[derive(Subcommand)]
enum Commands {
    Run(Box<run::Args>),
    Query(Box<query::Args>),
    Table(Box<table::Args>),
    Show(show::Args),
    Digest(Box<digest::Args>),
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl TalkArgs {
    fn talk(&self) -> Talk {
        Talk::new(self.quiet, self.verbose || crate::config::is_verbose())
    }
}

/// Runs the program with `arguments`, the first of which is its own name, and returns its exit status.
pub fn run(arguments: Vec<OsString>) -> i32 {
    if arguments.get(1).is_some_and(|word| word == "run") {
        if let Some((Loudness { quiet, verbose }, args)) = quick::read(&arguments[2..]) {
            return run::run(args, &TalkArgs { quiet, verbose, color: None }.talk());
        }
        return match RunCli::try_parse_from(arguments.into_iter().skip(1)) {
            Ok(RunCli { talk, args }) => run::run(args, &talk.talk()),
            Err(error) => refuse(&error, run::REFUSAL),
        };
    }
    let is_run = first_word(&arguments).is_some_and(|word| word == "run");
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
        Commands::Query(args) => query::run(*args),
        Commands::Table(args) => table::run(*args),
        Commands::Show(args) => show::run(args),
        Commands::Digest(args) => digest::run(*args, &talk),
        Commands::Explain(args) => explain::run(*args, &talk),
        Commands::Contains(args) => contains::run(*args, &talk),
        Commands::Call(args) => call::run(*args),
    };
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

/// The subcommand: the first word that is no option; none of the options before it takes a value.
fn first_word(arguments: &[OsString]) -> Option<&OsString> {
    arguments.iter().skip(1).find(|word| !word.as_encoded_bytes().starts_with(b"-"))
}

/// Prints what clap has to say: help and version on standard output with status 0, complaints on standard error.
fn refuse(error: &clap::Error, status: i32) -> i32 {
    let shown = error.print();
    if error.use_stderr() || shown.is_err() { status } else { 0 }
}
