//! `fleche shell`: a shell whose every line is a call, for `make SHELL='fleche shell'`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Command;

use crate::engine::Told;
use crate::model::Reason;
use crate::ui::Talk;

use super::run;

/// Run a shell as `fleche run` would, for `make SHELL='fleche shell'`
///
/// The long options of `fleche run` come first; from the first other word on all is the shell's, as in
/// `fleche shell --pure -ec LINE`. In a Makefile a target can have a shell of its own:
/// `%.o: SHELL = fleche shell --input=$< --output=$@`. Lines without --input, --output or --pure run plainly, and only -v
/// (FLECHE_VERBOSE=1) says so. The exit status is the shell's; 125 if fleche refuses.
///
/// With .ONESHELL, make takes SHELL for one word: give it a script that says `exec fleche shell "$@"`.
#[derive(Debug, clap::Args)]
#[command(mut_args(|argument| argument.short(None)))]
#[command(mut_arg("command", |argument| argument.required(false).value_name("WORD").help("The words of the shell").long_help(None)))]
pub struct Args {
    /// The shell that runs the line
    #[arg(long, value_name = "PROGRAM", default_value = "/bin/sh")]
    shell: OsString,
    #[command(flatten)]
    run: run::Args,
}

/// Runs or replays the shell's line; never returns where fleche became the shell or died as it did.
pub fn run(args: Args, talk: &Talk) -> i32 {
    let tell = |told: Told| match &told {
        // A Makefile has hundreds of lines of which nothing is known.
        Told::Plain { reason: reason @ Reason::Undeclared, .. } => talk.detail(&format!("not cached: {reason}")),
        Told::NotStored { reason: reason @ Reason::Unwatchable(_), .. } => {
            talk.detail(&format!("not stored: {reason}"))
        }
        told => run::tell(talk, told),
    };
    run::end(run::attempt(args.run.behind(args.shell), talk, &tell), talk)
}

/// The words with `--` before the first that is the shell's; `own` knows fleche's. `words` begin behind `shell`.
pub fn divided(words: &[OsString], own: &Command) -> Vec<OsString> {
    let takes_value = |word: &[u8]| {
        let takes = |option: &&clap::Arg| option.get_action().takes_values() && !option.is_require_equals_set();
        let mut options = own.get_arguments().filter(takes);
        options.any(|option| option.get_long().is_some_and(|long| word[2..] == *long.as_bytes()))
    };
    let mut at = 0;
    while let Some(word) = words.get(at).map(|word| word.as_bytes()).filter(|word| word.starts_with(b"--")) {
        if word == b"--" {
            return words.to_vec();
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
    let (own, shell) = words.split_at(at.min(words.len()));
    [own, &["--".into()], shell].concat()
}
