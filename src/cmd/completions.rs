//! `fleche completions`: what a shell needs to complete fleche's words, and the answers to its questions.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::ValueEnum;
use clap_complete::engine::{ArgValueCompleter, complete};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::cmd::candidates;
use crate::config::CompletionQuestion;
use crate::error::{Error, Result};
use crate::ui;

/// The variable by which the scripts ask.
const VARIABLE: &str = "COMPLETE";

/// Completes the names of caches.
pub fn caches() -> ArgValueCompleter {
    candidates::caches()
}

/// Print the script that completes fleche's words in a shell
///
/// bash: `source <(fleche completions bash)` in ~/.bashrc. zsh: the same with zsh in ~/.zshrc. fish: `fleche completions fish >
/// ~/.config/fish/completions/fleche.fish`.
#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        }
    }
}

/// Prints the script.
pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    let written = args.shell.completer().write_registration(VARIABLE, "fleche", "fleche", "fleche", &mut script);
    written.map_err(|why| Error::failure("cannot make the script").because(why))?;
    ui::send(&mut script.as_slice())
}

/// Answers a shell that asks how the last of `words`, or the one at the cursor, goes on. What goes wrong is not worth a word
/// on a line that somebody is typing.
pub fn answer(question: &CompletionQuestion, mut command: clap::Command, words: &[OsString]) -> i32 {
    let Ok(shell) = Shell::from_str(&question.shell, false) else { return 2 };
    let folder = std::env::current_dir().ok();
    let mut answer = Vec::new();
    let answered = match shell {
        // By hand, because bash takes a word apart at `=`.
        Shell::Bash => answer_bash(question, &mut command, words, &mut answer),
        Shell::Zsh | Shell::Fish => {
            shell.completer().write_complete(&mut command, words.to_vec(), folder.as_deref(), &mut answer)
        }
    };
    if answered.is_err() || ui::send(&mut answer.as_slice()).is_err() { 1 } else { 0 }
}

fn answer_bash(
    question: &CompletionQuestion,
    command: &mut clap::Command,
    words: &[OsString],
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    let Joined { words, index, before } = joined(words, question.index.unwrap_or(words.len().saturating_sub(1)));
    let folder = std::env::current_dir().ok();
    let mut separator = "";
    for candidate in complete(command, words, index, folder.as_deref())? {
        let word = candidate.get_value().to_string_lossy();
        // Bash replaces only what stands behind the `=`.
        let Some(rest) = word.strip_prefix(before.as_str()) else { continue };
        write!(answer, "{separator}{rest}")?;
        separator = &question.separator;
    }
    Ok(())
}

/// The words of a line as somebody typed them.
#[derive(Debug, PartialEq, Eq)]
struct Joined {
    words: Vec<OsString>,
    /// Where the cursor is.
    index: usize,
    /// What of the word at the cursor stands before the part that bash asks for.
    before: String,
}

/// Joins `a`, `=` and `b` again, of which bash makes three words.
fn joined(given: &[OsString], cursor: usize) -> Joined {
    let (mut words, mut index, mut before): (Vec<OsString>, usize, String) = (Vec::new(), 0, String::new());
    let mut goes_on = false;
    for (at, word) in given.iter().enumerate() {
        let is_sign = word == "=";
        let last = words.len().saturating_sub(1);
        let is_joined = at > 0 && (is_sign || goes_on);
        if at == cursor {
            let typed = words.get(last).filter(|_| is_joined);
            before = typed.map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            if is_sign && is_joined {
                before.push('=');
            }
        }
        match words.get_mut(last).filter(|_| is_joined) {
            Some(begun) => begun.push(word),
            None => words.push(word.clone()),
        }
        if at == cursor {
            index = words.len() - 1;
        }
        goes_on = is_sign;
    }
    Joined { words, index, before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_took_apart_is_joined_again() {
        let joined = |words: &[&str], cursor| {
            let Joined { words, index, before } = joined(&words.iter().map(OsString::from).collect::<Vec<_>>(), cursor);
            (words.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>(), index, before)
        };
        let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let expect = |words: &[&str], index, before: &str| (line(words), index, before.to_owned());
        assert_eq!(joined(&["f", "-t", "a", "=", "b"], 4), expect(&["f", "-t", "a=b"], 2, "a="));
        assert_eq!(joined(&["f", "-t", "a", "="], 3), expect(&["f", "-t", "a="], 2, "a="));
        assert_eq!(joined(&["f", "-t", "a", "=", ""], 4), expect(&["f", "-t", "a="], 2, "a="));
        assert_eq!(joined(&["f", "--tag", "=", "a", "=", "b"], 5), expect(&["f", "--tag=a=b"], 1, "--tag=a="));
        assert_eq!(joined(&["f", "a", "=", "b", "c"], 4), expect(&["f", "a=b", "c"], 2, ""));
    }
}
