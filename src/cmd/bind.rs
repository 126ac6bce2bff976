//! `fleche bind`: a command line, or a script, in which all options are frozen.

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::ValueHint;

use crate::cmd::store;
use crate::error::{Error, Result};
use crate::model::{Argument, Request, quoted, shell_line};
use crate::sys::identity;
use crate::ui;

use super::subject::{self, Subject};
use super::{recognise, rules, run};

/// Print a `fleche run` command line with all options, tags and the mode frozen in
///
/// What FLECHE_CACHE, FLECHE_TAGS, FLECHE_PROJECT, FLECHE_MODE and the rules and defaults of fleche.toml say now becomes flags. A shell reads every word of the line as it was.
/// With a KEY it is the command of that call, asked for as it was then.
#[derive(clap::Args)]
pub struct Args {
    /// Write an executable script instead, which passes its own arguments on behind those of the command
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    script: Option<PathBuf>,
    #[command(flatten)]
    flags: run::Flags,
    #[command(flatten)]
    subject: subject::Args,
}

/// Prints or writes it.
pub fn run(mut args: Args) -> Result<()> {
    let (subject, beside) = args.subject.subject(&mut args.flags)?;
    let (request, tags) = match subject {
        Subject::Asked(request) => (*request, Default::default()),
        Subject::Named(reference) => {
            if (Request { argv: Vec::new(), ..beside }) != Request::default() {
                return Err(Error::usage(
                    "a recorded call is asked for as it was: only flags for its record can be added",
                ));
            }
            let call = subject::call(&reference, &store()?)?;
            (Request { argv: arguments(&call.argv)?, ..call.request }, call.tags)
        }
    };
    let mut words = vec![OsString::from("run")];
    words.extend(rules::words()?);
    words.extend(run::words(&args.flags, tags)?);
    words.extend(recognise::words(&request));
    match args.script {
        // What a stranger recorded must not drive the terminal; what reads it elsewhere may be a shell that knows no `$'...'`.
        None if ui::draws_bars() => {
            ui::print(&format!("fleche {}\n", words.iter().map(quoted).collect::<Vec<_>>().join(" ")))
        }
        None => ui::send(&mut line(OsStr::new("fleche"), &words, "\n").as_slice()),
        Some(path) => {
            let cannot = |why: io::Error| Error::failure(format!("cannot write `{}`", path.display())).because(why);
            let fleche = std::env::current_exe().map_err(cannot)?;
            let script = [b"#!/bin/sh\nexec ".to_vec(), line(fleche.as_os_str(), &words, " \"$@\"\n")].concat();
            match std::fs::symlink_metadata(&path) {
                Ok(found) if !found.is_file() => {
                    Err(Error::failure(format!("`{}` is not a regular file, and is left as it is", path.display())))
                }
                _ => write(&path, &script).map_err(cannot),
            }
        }
    }
}

fn arguments(recorded: &[Argument]) -> Result<Vec<OsString>> {
    let word = |argument: &Argument| match argument {
        Argument::Clear(word) => Ok(word.clone()),
        Argument::Redacted => Err(Error::no("an argument of the call is redacted, so that nobody knows it")),
    };
    recorded.iter().map(word).collect()
}

/// A shell's command line.
fn line(program: &OsStr, words: &[OsString], end: &str) -> Vec<u8> {
    let words = std::iter::once(program).chain(words.iter().map(OsString::as_os_str));
    [shell_line(words), end.as_bytes().to_vec()].concat()
}

/// Puts an executable file in place, whole.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".fleche-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(0o777 & !identity::umask()))?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}
