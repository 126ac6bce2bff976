//! What rules fill in: flags that a command line leaves open.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::config::{self, Ruling};
use crate::error::Result;

use super::recognise::{self, Spelling};
use super::run;

/// Fills what these flags leave open by the rule for `command` and by the defaults of the files.
///
/// # Errors
///
/// What makes no sense in the files.
pub fn fill(policy: &mut run::Flags, flags: &mut recognise::Flags, command: &[OsString]) -> Result<()> {
    let settings = config::settings()?;
    if settings.files.is_empty() || flags.goes_by_no_rules() {
        return Ok(());
    }
    let ruling = settings.ruling(command);
    if let Some(caches) = ruling.setting("cache") {
        config::rule_caches(caches);
    }
    flags.fill(&ruling);
    policy.fill(&ruling);
    Ok(())
}

/// The value by its name, where none was given.
pub fn chosen<T: ValueEnum>(given: Option<T>, ruling: &Ruling, name: &str) -> Option<T> {
    given.or_else(|| T::from_str(&ruling.text(name)?, false).ok())
}

/// A list where none was given.
pub fn listed<T: From<String>>(given: &mut Vec<T>, ruling: &Ruling, name: &str) {
    if given.is_empty() {
        given.extend(ruling.texts(name).into_iter().map(T::from));
    }
}

/// The words by which a bound command stays as it is: its caches, where they are not those that everybody has, and that no
/// rule changes it any more, where there are files with rules.
///
/// # Errors
///
/// What makes no sense in the files.
pub fn words() -> Result<Vec<OsString>> {
    let mut words = Spelling::default();
    words.flag(
        "--no-rules",
        config::settings()?.files.iter().any(|file| !file.rules.is_empty() || !file.defaults.is_empty()),
    );
    words.one("--cache", config::chosen_stack()?);
    Ok(words.0)
}
