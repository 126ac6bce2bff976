//! Stored values as arguments: what `fleche:PREFIX` counts as, and what the command gets for it.
//!
//! It counts as the value's whole digest, so that all ways to name a value are one command, and the same in every cache
//! folder. The command gets the path of a copy, which is made only when the command is going to run.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use crate::error::{Error, Result};
use crate::key;
use crate::model::{Call, Content, OutputKind, Reason, Reference, Request, StoredArgument};
use crate::store::{ArgumentCopy, Named, Store};
use crate::sys::process;

/// The file name of a value of which nothing else is known.
const VALUE: &str = "value";
/// Behind a call's key: its standard error.
const STDERR: &str = "stderr";

/// A stored value that somebody named.
#[derive(Debug)]
pub struct Meant {
    /// Which one.
    pub content: Content,
    /// The file name for it: of an output its own.
    pub name: OsString,
}

/// What `reference` means.
///
/// # Errors
///
/// Of kind `No` where nothing is called so, of kind `Usage` where several things are or where it makes no sense.
pub fn meant(reference: &Reference, store: &Store) -> Result<Meant> {
    let within = reference.within.as_deref();
    match store.resolve(&reference.prefix)? {
        Named::Call(key) => {
            let short = key.0.short();
            let call = store.call(&key).map_err(|reason| Error::failure(reason.to_string()))?;
            piece(&call.ok_or_else(|| Error::no(format!("no call {short} is stored")))?, within)
        }
        Named::Value(digest) => {
            let short = digest.short();
            let content = store.content(&digest)?.ok_or_else(|| Error::no(format!("value {short} is not stored")))?;
            let name = within.unwrap_or(OsStr::new(VALUE));
            match is_file_name(name) {
                true => Ok(Meant { content, name: name.to_owned() }),
                false => Err(Error::usage(format!("{short} is a value, in which there is no `{}`", name.display()))),
            }
        }
    }
}

/// What is meant of `call`: standard output, `stderr`, or the output with this path.
///
/// # Errors
///
/// Of kind `No` where there is no such thing.
pub fn piece(call: &Call, within: Option<&OsStr>) -> Result<Meant> {
    let short = call.key.0.short();
    let stream = |content: &Option<Content>, name: &str, words: &str| match content {
        Some(content) => Ok(Meant { content: content.clone(), name: name.into() }),
        None => Err(Error::no(format!("call {short} has no {words} of its own"))),
    };
    let Some(path) = within else { return stream(&call.outcome.stdout, "stdout", "standard output") };
    if path == STDERR {
        return stream(&call.outcome.stderr, STDERR, "standard error");
    }
    // `./stderr` is an output of that name.
    let path: &Path = Path::new(path);
    let path = path.strip_prefix(".").unwrap_or(path);
    let output = call.outcome.outputs.iter().find(|output| output.path == path);
    let no = |what: &str| Error::no(format!("`{}` of call {short} {what}", path.display()));
    match output.map(|output| &output.kind) {
        Some(OutputKind::File { content, .. }) => {
            Ok(Meant { content: content.clone(), name: path.file_name().unwrap_or(OsStr::new(VALUE)).to_owned() })
        }
        Some(OutputKind::Folder { .. }) => Err(no("is a folder")),
        Some(OutputKind::Link { .. }) => Err(no("is a symbolic link")),
        Some(OutputKind::Absent) => Err(no("was not there after the run")),
        None => Err(Error::no(format!("call {short} has no output `{}`", path.display()))),
    }
}

fn is_file_name(name: &OsStr) -> bool {
    let mut parts = Path::new(name).components();
    let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    is_one && !name.as_bytes().contains(&0)
}

/// The same, asked of a store that may be one that nobody writes to: such a one would have to read every call to answer.
///
/// # Errors
///
/// As [`meant`].
pub fn meant_by_looking(reference: &Reference, look: &Store) -> Result<Meant> {
    let questions = questions(look)?;
    meant(reference, questions.as_ref().unwrap_or(look))
}

fn questions(look: &Store) -> Result<Option<Store>> {
    look.for_questions().map_err(|reason| Error::failure(reason.to_string()))
}

/// The arguments of a command that are copies of stored values; mostly there are none.
#[derive(Default)]
pub struct Arguments {
    named: Vec<Argument>,
    copies: Copies,
}

/// Where the copies are.
#[derive(Default)]
enum Copies {
    /// There are none.
    #[default]
    None,
    /// In the cache, once they are made; where it takes none, in a folder as below.
    Kept { store: Store, made: OnceCell<Vec<ArgumentCopy>>, instead: OnceCell<PathBuf> },
    /// Elsewhere, because nothing may be written to the cache: in a folder that is removed when this process has ended, be
    /// it the command by then.
    Passing { store: Store, folder: OnceCell<PathBuf> },
}

/// An argument that names a stored value.
pub struct Argument {
    /// Its place among the arguments.
    position: usize,
    /// What stands before the path, up to a `=`.
    before: OsString,
    meant: Meant,
}

/// Whether a stored value is named among the arguments. Costs a look at each byte of them.
pub fn are_named_in(request: &Request) -> bool {
    !request.literal && request.argv.iter().skip(1).any(|word| Reference::place_in(word).is_some())
}

/// The request with the whole digest of each value in the place of what was typed, and the arguments in question.
///
/// # Errors
///
/// Where one of them names nothing or several things; it says which.
pub fn resolved(request: &Request, store: &Store) -> Result<(Request, Vec<Argument>)> {
    let (mut request, mut named) = (request.clone(), Vec::new());
    request.stored.clear();
    for (position, word) in request.argv.iter_mut().enumerate().skip(1) {
        let Some(at) = Reference::place_in(word) else { continue };
        let (before, text) = word.as_bytes().split_at(at);
        let meant = Reference::parse(&text[crate::model::SCHEME.len()..])
            .map_err(Error::usage)
            .and_then(|reference| meant(&reference, store))
            .map_err(|why| {
                let message = format!("argument `{}`: {why}", word.display());
                Error::usage(message).hint("`--no-expand` leaves such words as they are")
            })?;
        let before = OsString::from_vec(before.to_vec());
        let typed = std::mem::replace(word, canonical(&before, &meant));
        request.stored.push(StoredArgument { position, typed });
        named.push(Argument { position, before, meant });
    }
    Ok((request, named))
}

/// The same by a store that may be one that nobody writes to, see [`meant_by_looking`].
///
/// # Errors
///
/// As [`resolved`].
pub fn resolved_by_looking(request: &Request, look: &Store) -> Result<(Request, Vec<Argument>)> {
    let questions = questions(look)?;
    resolved(request, questions.as_ref().unwrap_or(look))
}

/// What counts and is recorded; read again it means the same.
fn canonical(before: &OsStr, meant: &Meant) -> OsString {
    let mut word = before.to_owned();
    word.push(crate::model::SCHEME);
    word.push(meant.content.digest.hex());
    word.push("/");
    word.push(&meant.name);
    word
}

impl Arguments {
    /// Those of which the copies are kept in a cache.
    pub fn kept(named: Vec<Argument>, store: Store) -> Arguments {
        Arguments { named, copies: Copies::Kept { store, made: OnceCell::new(), instead: OnceCell::new() } }
    }

    /// Those of which the copies are in no cache and vanish with the command; `store` has the values.
    pub fn passing(named: Vec<Argument>, store: Store) -> Arguments {
        Arguments { named, copies: Copies::Passing { store, folder: OnceCell::new() } }
    }

    /// What the command gets for `argv`, once they are prepared.
    pub fn executed<'a>(&self, argv: &'a [OsString]) -> Cow<'a, [OsString]> {
        let path = |argument: &Argument| match &self.copies {
            Copies::None => None,
            Copies::Kept { store, instead, .. } => Some(match instead.get() {
                Some(folder) => argument.folder_in(folder).join(&argument.meant.name),
                None => store.argument_path(&argument.meant.content.digest, &argument.meant.name),
            }),
            Copies::Passing { folder, .. } => Some(argument.folder_in(folder.get()?).join(&argument.meant.name)),
        };
        if self.named.is_empty() {
            return Cow::Borrowed(argv);
        }
        let mut argv = argv.to_vec();
        for argument in &self.named {
            if let Some(path) = path(argument) {
                let mut word = argument.before.clone();
                word.push(path);
                argv[argument.position] = word;
            }
        }
        Cow::Owned(argv)
    }

    /// Sees to it that the copies are there and right; to be called just before the command is started.
    ///
    /// # Errors
    ///
    /// Where one cannot be made; the command has no use for the others.
    pub fn prepare(&self) -> Result<()> {
        match &self.copies {
            Copies::None => Ok(()),
            Copies::Kept { instead, .. } if instead.get().is_some() => Ok(()),
            Copies::Kept { store, made, instead } => {
                let mut copies = Vec::with_capacity(self.named.len());
                for argument in &self.named {
                    match store.argument(&argument.meant.content, &argument.meant.name) {
                        Ok(copy) => copies.push(copy),
                        Err(reason @ Reason::Damaged(_)) => return Err(argument.cannot(&reason.to_string())),
                        // A cache that is full or may not be written is no reason not to run.
                        Err(_) => {
                            let _ = instead.set(self.make_passing(store)?);
                            return Ok(());
                        }
                    }
                }
                // Who prepares twice has the copies of the first time, which is more than enough to see a change.
                let _ = made.set(copies);
                Ok(())
            }
            Copies::Passing { folder, .. } if folder.get().is_some() => Ok(()),
            Copies::Passing { store, folder } => {
                let made = self.make_passing(store)?;
                let _ = folder.set(made);
                Ok(())
            }
        }
    }

    fn make_passing(&self, store: &Store) -> Result<PathBuf> {
        let failed =
            |why: io::Error| Error::failure("a folder for copies of stored values cannot be made").because(why);
        let folder = private_folder().map_err(failed)?;
        for argument in &self.named {
            let Meant { content, name } = &argument.meant;
            let within = argument.folder_in(folder.path());
            fs::create_dir_all(&within).map_err(failed)?;
            store.copy_argument(content, name, &within).map_err(|reason| argument.cannot(&reason.to_string()))?;
        }
        let path = folder.path().to_owned();
        // By another process, because this one may become the command.
        process::afterwards(|| drop(fs::remove_dir_all(&path))).map_err(failed)?;
        Ok(folder.keep())
    }

    /// Whether the run left the copies as they were, and nothing beside them.
    ///
    /// # Errors
    ///
    /// The reason not to store the call.
    pub fn confirm(&self, store: &Store) -> std::result::Result<(), Reason> {
        let Copies::Kept { made, instead, .. } = &self.copies else { return Ok(()) };
        if instead.get().is_some() {
            return Err(Reason::StoreUnusable("it has no room for the copies that are arguments".to_owned()));
        }
        for copy in made.get().into_iter().flatten() {
            key::confirm_file(&copy.watched, store)?;
            if copy.has_other_neighbours() {
                return Err(Reason::InputChanged(copy.watched.path.clone()));
            }
        }
        Ok(())
    }
}

/// A new folder among temporary files for the user alone, which vanishes when it is dropped.
fn private_folder() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(".fleche-").permissions(PermissionsExt::from_mode(0o700)).tempdir()
}

impl Argument {
    /// The folder of its copy below one that is for all: two values may be called the same.
    fn folder_in(&self, folder: &Path) -> PathBuf {
        folder.join(self.position.to_string())
    }

    fn cannot(&self, why: &str) -> Error {
        Error::failure(format!("argument `{}`: {why}", canonical(&self.before, &self.meant).display()))
    }
}
