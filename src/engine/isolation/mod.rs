//! Isolated commands: a private folder that is furnished with what was declared, from which only what was declared comes back.
//!
//! What holds:
//!
//! 1. Nothing in the private folder is a way to what it is a copy of: files are copies (or share blocks that are copied when
//!    they are written), and links that lead out are replaced by what they lead to.
//! 2. What is placed is what was observed. That it was still so when it was copied, the look after the run tells.
//! 3. What is declared as an output comes back however the command ends, as it would lie there after a bare run; where that
//!    fails, nothing has changed and the private folder stays.
//! 4. No key and no record holds the private folder's name.

mod hint;
mod layout;
mod placing;
mod view;

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::exec::Place;
use crate::key;
use crate::model::{Command, Isolation, Observation, Output, Reason, Request, Trace, WatchMode};
use crate::store::{PrivateFolder, Store};

use super::again::with_variable;
use super::outputs::{self, Before, Places};
use super::policy::{Aftermath, Audited, Policy};
use super::redaction::Redaction;

pub use layout::Layout;
pub use placing::{Trust, place, place_programs};
pub use view::view;

/// Refuses what contradicts isolation.
///
/// # Errors
///
/// Of kind `Usage`.
pub fn check(request: &Request) -> Result<()> {
    if !request.is_isolated() {
        return Ok(());
    }
    if request.inputs.is_empty() && request.outputs.is_empty() && !request.pure {
        let error =
            Error::usage("`--isolate` with nothing declared: what the command reads by absolute paths would not count");
        return Err(error.hint("name what it reads with -i and what it leaves with -o, or say --pure"));
    }
    if request.watching.mode == WatchMode::On {
        return Err(Error::usage("`--isolate` runs on what is declared, and `--trace on` finds out by itself"));
    }
    let is_absolute = |word: &&OsString| Path::new(word).is_absolute() && *word != "/dev/null";
    match request.outputs.iter().find(is_absolute) {
        Some(word) if request.isolation == Isolation::Folder => {
            let error = Error::usage(format!(
                "output `{}` is absolute, and an isolated command works elsewhere",
                word.display()
            ));
            Err(error.hint("name it relative to the working directory"))
        }
        _ => Ok(()),
    }
}

/// Refuses what contradicts isolation in what is to be done with the call.
///
/// # Errors
///
/// Of kind `Usage`.
pub fn check_policy(request: &Request, policy: &Policy) -> Result<()> {
    check(request)?;
    match (request.is_isolated(), policy.audit, policy.aftermath) {
        (false, _, Aftermath::Kept) => {
            Err(Error::usage("`--keep` keeps the private folder of `--isolate`, which is not given"))
        }
        (true, Audited::Yes, _) => {
            Err(Error::usage("`--isolate` hides what is not declared, of which `--trace audit` is to tell"))
        }
        _ => Ok(()),
    }
}

/// A private folder that is furnished for one run.
pub struct Enclosure {
    folder: PrivateFolder,
    layout: Layout,
    place: Place,
    /// Where outputs may be in the private folder.
    places: Places,
    /// What lies there before the run.
    before: Before,
}

impl Enclosure {
    /// Makes a private folder, in the store or else among temporary files, and places in it what was observed.
    ///
    /// # Errors
    ///
    /// Where something that was declared cannot be placed: the command must not run.
    pub fn furnish(
        request: &Request,
        command: &Command,
        observations: &[Observation],
        store: Option<&Store>,
        aftermath: Aftermath,
    ) -> Result<Enclosure> {
        let failed = |why: String| Error::failure(format!("cannot isolate `{}`: {why}", command.name()));
        let unmade =
            |why: std::io::Error| failed(format!("a private folder cannot be made: {}", crate::error::cause(&why)));
        let mut folder = match store.and_then(|store| store.private_folder().ok()) {
            Some(folder) => folder,
            None => PrivateFolder::among_temporary_files().map_err(unmade)?,
        };
        if aftermath == Aftermath::Kept {
            folder.keep().map_err(unmade)?;
        }
        let layout = Layout::of(request, command, observations, folder.path());
        layout.make_folders(&request.outputs).map_err(unmade)?;
        place(observations, &layout, Trust::Stamps).map_err(failed)?;
        place_programs(command, &layout).map_err(failed)?;
        let words: Vec<OsString> = request.outputs.iter().map(|word| layout.output_word(word)).collect();
        let places = Places::of(&words, &layout.cwd(), layout.inside())?;
        let before = outputs::before(&places);
        let place = match request.isolation {
            Isolation::Strict => Place::View(view(request, command, observations, &layout, folder.path())?),
            Isolation::None | Isolation::Folder => Place::Folder(layout.cwd()),
        };
        Ok(Enclosure { folder, layout, place, places, before })
    }

    /// Where the command is to be started.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// What the command finds in its environment: a shell sets PWD when it changes its working directory.
    pub fn environment<'e>(&self, environment: &'e [OsString]) -> Cow<'e, [OsString]> {
        let has_folder = environment.iter().any(|entry| entry.as_bytes().starts_with(b"PWD="));
        match &self.place {
            Place::Folder(folder) if has_folder => Cow::Owned(with_variable(environment, "PWD", folder.as_os_str())),
            _ => Cow::Borrowed(environment),
        }
    }

    /// Where its outputs lie until they are brought back.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What lay there before the run.
    pub fn before(&self) -> &Before {
        &self.before
    }

    /// A name that is nowhere but in the private folder's path.
    pub fn mark(&self) -> &[u8] {
        self.folder.mark()
    }

    /// The outputs that were collected in the private folder, with the paths of record that they have outside.
    pub fn recorded(&self, outputs: Vec<Output>) -> Vec<Output> {
        outputs.into_iter().map(|output| Output { path: self.layout.record(&output.path), ..output }).collect()
    }

    /// Brings what was declared as an output to where it was declared; gives what there is to tell of it.
    ///
    /// # Errors
    ///
    /// [`Reason::NotRestored`], where everything is as it was before, and the private folder stays.
    pub fn bring_back(&mut self, places: &Places) -> std::result::Result<Vec<String>, Reason> {
        let brought = outputs::bring_back(&self.places, places, &|path| self.layout.record(path));
        if brought.is_err() {
            // Where it cannot be kept it is gone with the next sweep.
            let _ = self.folder.keep();
        }
        brought
    }

    /// The working directory in the private folder, as it is called outside.
    pub fn folder(&self) -> PathBuf {
        self.layout.cwd()
    }

    /// What the command looked for in vain because it was not declared, as advice.
    pub fn hint(&self, trace: &Trace, command: &Command) -> Option<String> {
        let redaction = Redaction::of(command);
        let is_told = |path: &Path| !redaction.is_told_by(path.as_os_str().as_bytes());
        hint::hint(trace, &self.layout, &self.place, &is_told)
    }
}

/// Where a word of `-o` or `-i` leads, up to the part of it that is a glob.
fn literal(cwd: &Path, word: &std::ffi::OsStr) -> PathBuf {
    let plain = Path::new(word).components().take_while(|part| !key::is_glob(part.as_os_str().as_bytes()));
    key::lexical(cwd, &plain.collect::<PathBuf>())
}
