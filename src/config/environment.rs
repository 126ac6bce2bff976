//! What the environment says about fleche itself.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use directories::BaseDirs;

use crate::model::Reason;
use crate::sys::{entry, identity};

/// The folder of the cache `local`: `fleche` below `$XDG_CACHE_HOME`, else below `~/.cache`.
///
/// A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification asks.
pub fn cache_folder() -> Result<PathBuf, Reason> {
    // `directories` asks the name service where HOME is not set, which a static program cannot.
    let has_home = env::var_os("HOME").is_some_and(|home| PathBuf::from(home).is_absolute());
    let cache = match has_home.then(BaseDirs::new).flatten() {
        Some(folders) => folders.cache_dir().to_owned(),
        None => match env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(folder) => folder,
            None => match identity::home_folder() {
                Some(home) => home.join(".cache"),
                None => return Err(Reason::StoreUnusable("there is no home folder".to_owned())),
            },
        },
    };
    Ok(cache.join("fleche"))
}

/// Where what is the user's alone lies that would better not survive him: `fleche` below `$XDG_RUNTIME_DIR`, else below
/// `$XDG_STATE_HOME`, else below `~/.local/state`.
pub fn private_folder() -> Option<PathBuf> {
    let named = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named("XDG_RUNTIME_DIR").or_else(|| named("XDG_STATE_HOME"));
    folder.or_else(|| below_home("~/.local/state")).map(|folder| folder.join("fleche"))
}

/// The file of configuration that is the user's own.
#[derive(Debug, PartialEq, Eq)]
pub enum UserFile {
    /// Where it usually is.
    Usual(PathBuf),
    /// `FLECHE_CONFIG`.
    Named(PathBuf),
    /// `FLECHE_CONFIG` is empty, there is no home folder, or fleche was started with another user's rights.
    None,
}

/// Which it is: `fleche/config.toml` below `$XDG_CONFIG_HOME`, else below `~/.config`.
pub fn user_file() -> UserFile {
    if entry::is_secure() {
        return UserFile::None;
    }
    match env::var_os("FLECHE_CONFIG") {
        Some(name) if name.is_empty() => UserFile::None,
        Some(name) => UserFile::Named(PathBuf::from(name)),
        None => usual_user_file().map_or(UserFile::None, UserFile::Usual),
    }
}

fn usual_user_file() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named.or_else(|| home().map(|home| home.join(".config")))?;
    Some(folder.join("fleche/config.toml"))
}

/// A path that may begin with `~/`; none where there is no home folder.
pub fn below_home(path: &str) -> Option<PathBuf> {
    match path.strip_prefix("~/") {
        Some(below) => home().map(|home| home.join(below)),
        None => Some(PathBuf::from(path)),
    }
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).or_else(identity::home_folder)
}

/// `FLECHE_CACHE`: names and folders, with commas between them.
pub fn caches() -> Option<OsString> {
    env::var_os("FLECHE_CACHE").filter(|words| !words.is_empty() && !entry::is_secure())
}

/// `FLECHE_SIGNING_KEY`: the key itself, as systems that run tests hand secrets out.
pub fn signing_key() -> Option<String> {
    let key = entry::signing_key().filter(|_| !entry::is_secure())?.to_str()?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

/// `FLECHE_MODE`.
pub fn mode() -> Option<String> {
    variable("FLECHE_MODE")
}

/// `FLECHE_PROJECT`.
pub fn project() -> Option<String> {
    variable("FLECHE_PROJECT")
}

/// `FLECHE_SESSION`: the name under which it is noted what is used.
pub fn session() -> Option<String> {
    variable("FLECHE_SESSION")
}

/// The words of `FLECHE_TAGS`, which is `a=1,b=2`.
pub fn tags() -> Vec<String> {
    split_tags(&variable("FLECHE_TAGS").unwrap_or_default())
}

/// The words between commas.
pub fn split_tags(words: &str) -> Vec<String> {
    words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether `FLECHE_VERBOSE` is set to something but `0`.
pub fn is_verbose() -> bool {
    variable("FLECHE_VERBOSE").is_some_and(|value| value != "0")
}

/// Whether the environment asks for no colours: NO_COLOR (<https://no-color.org>), or a terminal that knows none.
pub fn forbids_color() -> bool {
    variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|name| name == "dumb")
}

/// What a shell asks for that completes a line, see `fleche completions`.
#[derive(Debug)]
pub struct CompletionQuestion {
    /// `COMPLETE`: which shell.
    pub shell: String,
    /// Which of the words is being typed, counted from 0, where it need not be the last one.
    pub index: Option<usize>,
    /// What to put between answers.
    pub separator: String,
}

/// Whether a shell asks; `COMPLETE` and what the scripts of `clap_complete` set beside it.
pub fn completion_question() -> Option<CompletionQuestion> {
    Some(CompletionQuestion {
        shell: variable("COMPLETE")?,
        index: variable("_CLAP_COMPLETE_INDEX").and_then(|index| index.parse().ok()),
        separator: variable("_CLAP_IFS").unwrap_or_else(|| "\n".to_owned()),
    })
}

/// A variable that is set and not empty; none counts in a program started with another user's rights.
/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    if entry::is_secure() {
        return None;
    }
    env::var(name).ok().filter(|value| !value.is_empty())
}
