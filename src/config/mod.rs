//! What is configured: the environment, `fleche.toml` and the user's own file, and what they say together.
//!
//! A flag outranks a variable, which outranks the rule that matches the command, which outranks `[defaults]`; of files the
//! nearest outranks the others, key by key. What makes no sense in any of them is an error, never passed over.

mod discovery;
mod elsewhere;
mod environment;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keys;
mod kind;
mod place;
mod report;
mod ruling;
mod schema;
mod settings;
mod template;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::model::{Member, Reason, Remote};
use crate::sys::entry;

pub use discovery::check;
pub use environment::{
    CompletionQuestion, UserFile, completion_question, forbids_color, is_verbose, mode, project, session, tags,
    user_file,
};
pub use file::{Origin, Setting};
pub use kind::is_name;
pub use place::Fault;
pub use report::{Line, lines};
pub use ruling::Ruling;
pub use schema::schema;
pub use settings::Settings;
pub use template::template;

use settings::{Asker, LOCAL, Wanted, words};

/// What the files say, once they were read.
static SETTINGS: OnceLock<Settings> = OnceLock::new();
/// `--cache`.
static CHOSEN: OnceLock<Vec<OsString>> = OnceLock::new();
/// What the rule for this process's command says of caches.
static RULED: OnceLock<Setting> = OnceLock::new();

/// What the files say that hold here. They are read once.
///
/// # Errors
///
/// The first thing in them that makes no sense, with its file, line and column.
pub fn settings() -> Result<&'static Settings> {
    if let Some(settings) = SETTINGS.get() {
        return Ok(settings);
    }
    let found = discovery::look();
    match Fault::first_of(&found.faults) {
        None => Ok(SETTINGS.get_or_init(|| found.settings)),
        Some(error) => Err(error),
    }
}

/// Why files are passed over, each in a sentence; nothing as long as nobody asked for settings.
pub fn ignored() -> &'static [String] {
    SETTINGS.get().map_or(&[], |settings| &settings.ignored)
}

/// All that is wrong in the files that would be read here, with what they say and which are passed over.
pub fn findings() -> (Settings, Vec<Fault>) {
    let found = discovery::look();
    (found.settings, found.faults)
}

/// Goes by the caches of `--cache`.
pub fn choose_caches(words: Vec<OsString>) {
    let _ = CHOSEN.set(words);
}

/// Goes by the caches of the rule that holds for this process's command, where neither flag nor variable names any.
pub fn rule_caches(setting: &Setting) {
    let _ = RULED.set(setting.clone());
}

/// The caches of this process, in the order in which they are asked: those of `--cache`, of FLECHE_CACHE, of the rule, of the
/// nearest file, else `local`. Never empty.
///
/// # Errors
///
/// What makes no sense in a file, a cache that is nowhere described. The inner error is why there is nowhere to keep
/// anything, which is no reason not to run a command.
pub fn stack() -> Result<std::result::Result<Vec<Member>, Reason>> {
    if entry::is_secure() {
        return Ok(Err(foreign_rights()));
    }
    settings()?.stack(&wanted()?)
}

/// The caches of this process as `--cache` takes them, if they are not what is usual: configured ones by their names, others by
/// their folders.
///
/// # Errors
///
/// As [`stack`].
pub fn chosen_stack() -> Result<Option<OsString>> {
    let wanted = wanted()?;
    if matches!(wanted.by, Asker::Nobody) {
        return Ok(None);
    }
    let stack = settings()?.stack(&wanted)?.unwrap_or_default();
    let words: Vec<&[u8]> = stack.iter().map(|member| member.word().as_bytes()).collect();
    Ok((!words.is_empty()).then(|| OsString::from_vec(words.join(&b','))))
}

/// The one cache that goes by `word`, a name or a folder, which was given to the flag of this name; it may be beyond this machine.
/// The inner error is why there is nowhere to keep anything.
///
/// # Errors
///
/// Where the configuration is wrong or has no cache of this name.
pub fn cache(word: &OsStr, flag: &'static str) -> Result<std::result::Result<Member, Reason>> {
    if entry::is_secure() {
        return Ok(Err(foreign_rights()));
    }
    settings()?.member(Path::new(word), &Asker::Caller(flag))
}

/// The store beyond this machine of this name, which was given to this flag; without one, all those of the stack.
///
/// # Errors
///
/// Where the configuration is wrong or has none of this name, where the stack has none, and where fleche was started with
/// another user's rights.
pub fn remotes(name: Option<&str>, flag: &'static str) -> Result<Vec<Remote>> {
    if entry::is_secure() {
        return Err(Error::failure(foreign_rights().to_string()));
    }
    if let Some(name) = name {
        return settings()?.remote(name, &Asker::Caller(flag)).map(|remote| vec![remote]);
    }
    let members = settings()?.stack(&wanted()?)?.unwrap_or_default();
    let remotes: Vec<Remote> = members.into_iter().filter_map(Member::into_remote).collect();
    match remotes.is_empty() {
        true => Err(Error::usage("no cache beyond this machine is in use").hint("cache = [\"local\", \"team\"]")),
        false => Ok(remotes),
    }
}

/// The store beyond this machine that alone is asked for, if that is so.
///
/// # Errors
///
/// As [`stack`].
pub fn lone_remote() -> Result<Option<Remote>> {
    if entry::is_secure() {
        return Ok(None);
    }
    settings()?.lone_remote(&wanted()?)
}

/// The folder in which the user's own file of configuration is, or would be.
///
/// # Errors
///
/// Where there is none.
pub fn folder() -> Result<PathBuf> {
    let path = match user_file() {
        UserFile::Usual(path) | UserFile::Named(path) => path,
        UserFile::None => return Err(Error::failure("there is no file of configuration")),
    };
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    std::path::absolute(folder).map_err(|why| Error::failure("where the file of configuration is").because(why))
}

/// Why a program that was started with another user's rights goes by no cache, whatever variables and flags say: its caller
/// would decide what is written with those rights, and what is replayed to others.
fn foreign_rights() -> Reason {
    Reason::StoreUnusable("fleche was started with another user's rights".to_owned())
}

/// Which caches are asked for, and by whom.
fn wanted() -> Result<Wanted> {
    let split = |words: &OsString| {
        let words = words.as_bytes().split(|byte| *byte == b',').filter(|word| !word.is_empty());
        words.map(|word| PathBuf::from(OsString::from_vec(word.to_vec()))).collect::<Vec<_>>()
    };
    let of_caller = |words: Vec<PathBuf>, name| match words.is_empty() {
        true => Err(Error::usage(format!("{name} names no cache")).hint(LOCAL)),
        false => Ok(Wanted { words, by: Asker::Caller(name) }),
    };
    if let Some(words) = CHOSEN.get() {
        return of_caller(words.iter().flat_map(split).collect(), "--cache");
    }
    if let Some(words) = environment::caches() {
        return of_caller(split(&words), "FLECHE_CACHE");
    }
    let setting = RULED.get().or(settings()?.top("cache"));
    Ok(match setting {
        Some(setting) => {
            Wanted { words: words(&setting.value).map(PathBuf::from).collect(), by: Asker::File(setting.clone()) }
        }
        None => Wanted { words: vec![PathBuf::from(LOCAL)], by: Asker::Nobody },
    })
}
