//! Standard input: what it means, what it holds, and what the command gets.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::error::{Error, cause};
use crate::exec::Input;
use crate::model::{Digest, Reason, Reference, Request, Stdin, StdinRule, StdinSource};
use crate::store::{Store, Value};
use crate::sys::descriptor::{self, Kind, Watch};
use crate::sys::entry::{Standard, standard};
use crate::sys::hash;

use super::Halt;
use super::arguments::{Meant, meant_by_looking};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Standard input, looked at.
#[derive(Default)]
pub struct StandardInput {
    meaning: Option<Stdin>,
    content: Option<(Digest, u64)>,
    /// What the command gets instead of descriptor 0.
    instead: Option<Input>,
    /// Why what was begun to be read does not count.
    broken_off: Option<Reason>,
}

/// Standard input for a run that shares no descriptor with the caller.
pub struct Apart {
    /// What takes the place of descriptor 0; without it `/dev/null` does, or nothing where nothing was.
    pub descriptor: Option<File>,
    /// What the command gets.
    pub input: Input,
}

impl StandardInput {
    /// Decides what standard input is by the rule and by what descriptor 0 is, and reads what is input: of what must
    /// be read ahead at most `most` bytes.
    pub fn prepare(request: &Request, store: &Store, most: u64) -> Result<StandardInput, Halt> {
        let rule = &request.stdin;
        match rule {
            StdinRule::None => {
                Ok(StandardInput { instead: Some(Input::Null), ..StandardInput::meaning_only(Stdin::Null) })
            }
            StdinRule::From(source) => StandardInput::from_source(source, store),
            StdinRule::Automatic | StdinRule::Input => match descriptor::kind(0) {
                Kind::Closed => Ok(StandardInput::meaning_only(Stdin::Closed)),
                Kind::Null => Ok(StandardInput::meaning_only(Stdin::Uncounted)),
                Kind::Terminal if *rule == StdinRule::Automatic => Ok(StandardInput::meaning_only(Stdin::Uncounted)),
                Kind::File => StandardInput::from_offset(),
                _ if *rule == StdinRule::Input => StandardInput::spooled(store, most),
                Kind::Pipe | Kind::Socket if descriptor::is_at_end(standard(Standard::Input)) => {
                    Ok(StandardInput::meaning_only(Stdin::Ended))
                }
                _ if request.is_watched() => Ok(StandardInput::meaning_only(Stdin::Unread)),
                _ => Err(Reason::StdinUnknown.into()),
            },
        }
    }

    /// Nothing that counts, and `/dev/null` for the command: for a run that had none.
    pub fn nothing() -> StandardInput {
        StandardInput { instead: Some(Input::Null), ..StandardInput::meaning_only(Stdin::Uncounted) }
    }

    /// What a run has that is known not to read its input: `/dev/null`.
    pub fn unread() -> StandardInput {
        StandardInput { instead: Some(Input::Null), ..StandardInput::meaning_only(Stdin::Unread) }
    }

    /// Whether a command that reads from it cannot be stored, because what it gets does not count.
    pub fn is_not_to_be_read(&self) -> bool {
        match self.meaning {
            Some(Stdin::Unread) => true,
            Some(Stdin::Uncounted) => descriptor::kind(0) == Kind::Terminal,
            _ => false,
        }
    }

    /// What `--no-stdin` and `--stdin-from FILE` mean where there is no cache.
    pub fn prepare_plain(&mut self, rule: &StdinRule) -> Result<(), Halt> {
        if self.instead.is_some() || self.meaning.is_some() {
            return Ok(());
        }
        match rule {
            StdinRule::None => self.instead = Some(Input::Null),
            StdinRule::From(StdinSource::File(path)) => self.instead = Some(Input::File(open(path)?.into())),
            StdinRule::From(StdinSource::Stored(reference)) => {
                let message = format!("standard input `{}` needs the cache", reference.word().display());
                return Err(Error::failure(message).into());
            }
            StdinRule::Automatic | StdinRule::Input => {}
        }
        Ok(())
    }

    /// Refuses input that was begun and could not be kept to its end.
    pub fn check_whole(&self) -> Result<(), Reason> {
        self.broken_off.clone().map_or(Ok(()), Err)
    }

    /// What it means for recognition.
    pub fn meaning(&self) -> Stdin {
        self.meaning.clone().unwrap_or(Stdin::Unknown)
    }

    /// Digest and size of what counts.
    pub fn content(&self) -> Option<(Digest, u64)> {
        self.content
    }

    /// What the command gets.
    pub fn take(&mut self) -> Input {
        self.instead.take().unwrap_or(Input::Inherited)
    }

    /// Takes back what a command that could not be started did not get.
    pub fn give_back(&mut self, input: Input) {
        self.instead = Some(input);
    }

    /// The same input for a second run that shares no descriptor with the caller.
    pub fn apart(&self) -> io::Result<Apart> {
        let again = |number: RawFd, offset: u64| -> io::Result<File> {
            let mut file = File::open(format!("/proc/self/fd/{number}"))?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        };
        Ok(match (&self.meaning, &self.instead) {
            // As descriptor 0, where the file is looked for when the run has ended.
            (Some(Stdin::File { offset }), _) => {
                Apart { descriptor: Some(again(0, *offset)?), input: Input::Inherited }
            }
            (_, Some(Input::File(file))) => {
                Apart { descriptor: None, input: Input::File(again(file.as_raw_fd(), 0)?.into()) }
            }
            (_, Some(Input::Null)) => Apart { descriptor: None, input: Input::Null },
            _ => Apart { descriptor: None, input: Input::Inherited },
        })
    }

    /// How far descriptor 0 has been read since it was looked at, where that counts.
    pub fn consumed(&self) -> Option<u64> {
        match self.meaning {
            Some(Stdin::File { offset }) => {
                descriptor::offset(standard(Standard::Input)).ok().map(|now| now.saturating_sub(offset))
            }
            _ => None,
        }
    }

    /// Moves descriptor 0 on, as the recorded run did.
    pub fn consume(&self, consumed: Option<u64>) {
        if let (Some(Stdin::File { offset }), Some(consumed)) = (&self.meaning, consumed) {
            // One that cannot be moved was not moved by the run either.
            let _ = descriptor::set_offset(standard(Standard::Input), offset.saturating_add(consumed));
        }
    }

    fn meaning_only(meaning: Stdin) -> StandardInput {
        StandardInput { meaning: Some(meaning), ..StandardInput::default() }
    }

    /// A file that takes the place of descriptor 0, and counts.
    fn counted(meaning: Stdin, content: (Digest, u64), file: OwnedFd) -> StandardInput {
        let instead = Some(Input::File(file));
        StandardInput { content: Some(content), instead, ..StandardInput::meaning_only(meaning) }
    }

    /// A regular file. All of it counts, not only what follows the offset: a command may go back, as `tac` does.
    fn from_offset() -> Result<StandardInput, Halt> {
        let offset = descriptor::offset(standard(Standard::Input)).map_err(|_| Reason::StdinUnknown)?;
        let content = digest(standard(Standard::Input)).map_err(|why| Reason::StdinUnreadable(cause(&why)))?;
        Ok(StandardInput { content: Some(content), ..StandardInput::meaning_only(Stdin::File { offset }) })
    }

    fn from_source(source: &StdinSource, store: &Store) -> Result<StandardInput, Halt> {
        let file = match source {
            StdinSource::File(path) => open_to_count(path)?,
            StdinSource::Stored(reference) => stored(store, reference)?,
        };
        let content = digest(&file).map_err(|why| Reason::StdinUnreadable(cause(&why)))?;
        Ok(StandardInput::counted(Stdin::From, content, file.into()))
    }

    /// Reads descriptor 0 to its end. If it cannot be kept, or has more than `most` bytes, the command still gets every
    /// byte of it.
    fn spooled(store: &Store, most: u64) -> Result<StandardInput, Halt> {
        let unkept = |why: &str| Reason::StdinUnreadable(why.to_owned());
        let mut spool = store.temporary().map_err(|why| Halt::Plain(Reason::StdinUnreadable(cause(&why))))?;
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0; CHUNK];
        let mut length = 0;
        loop {
            let read = match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => {
                    let _ = descriptor::wait(&mut [Watch::readable(standard(Standard::Input))]);
                    continue;
                }
                // What a reader of descriptor 0 would see next, the command sees next.
                Err(why) => return Ok(StandardInput::cut(spool, Vec::new(), unkept(&cause(&io::Error::from(why))))),
            };
            if length + read as u64 > most {
                return Ok(StandardInput::cut(spool, chunk[..read].to_vec(), Reason::StdinTooLarge(most)));
            }
            hasher.update(&chunk[..read]);
            if spool.write_all(&chunk[..read]).is_err() {
                // A short write may have kept a part of the chunk: the file is cut back to what is known.
                let whole = spool.set_len(length).is_ok();
                let pending = if whole { chunk[..read].to_vec() } else { Vec::new() };
                return Ok(StandardInput::cut(spool, pending, unkept("there is no room for it")));
            }
            length += read as u64;
        }
        let content = (hasher.finalize().into(), length);
        let file = spool.rewind().map(|()| OwnedFd::from(spool)).map_err(|why| Reason::StdinUnreadable(cause(&why)))?;
        Ok(StandardInput::counted(Stdin::Spool, content, file))
    }

    /// Standard input of which a part was read and that does not count.
    fn cut(spool: File, pending: Vec<u8>, why: Reason) -> StandardInput {
        let instead = Some(Input::Feed { spooled: spool.into(), pending });
        StandardInput { instead, broken_off: Some(why), ..StandardInput::meaning_only(Stdin::Unknown) }
    }
}

fn open(path: &Path) -> Result<File, Halt> {
    let file = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    file.map_err(|why| {
        let message = format!("cannot read standard input from `{}`", path.display());
        Error::usage(message).because(why).into()
    })
}

/// Only what has an end and can be read twice: a device may go on for ever, and of a FIFO each byte comes once. That is
/// found out without opening, which would wake a FIFO's writer.
fn open_to_count(path: &Path) -> Result<File, Halt> {
    let check = |found: Metadata| {
        let kind = found.file_type();
        let is_null = kind.is_char_device() && descriptor::is_null(found.rdev());
        match kind.is_file() || kind.is_dir() || is_null {
            true => Ok(()),
            false => Err(not_regular(path)),
        }
    };
    // Why it cannot be looked at, opening it will tell.
    path.metadata().map_or(Ok(()), check)?;
    let file = open(path)?;
    // Another thing may have taken its place.
    file.metadata().map_or_else(|why| Err(Reason::StdinUnreadable(cause(&why))), check)?;
    Ok(file)
}

fn not_regular(path: &Path) -> Reason {
    let path = path.display();
    Reason::StdinUnreadable(format!("`{path}` is not a regular file, but `--stdin < {path}` reads it ahead"))
}

/// The value that is named, or what is meant of a call.
fn stored(store: &Store, reference: &Reference) -> Result<File, Halt> {
    let word = reference.word();
    let named = |why: Error| Error::usage(format!("standard input `{}`: {why}", word.display()));
    let Meant { content, .. } = meant_by_looking(reference, store).map_err(named)?;
    match store.value(&content).map_err(|reason| named(Error::failure(reason.to_string())))? {
        Value::File { file, .. } => Ok(file),
        Value::Bytes(bytes) => {
            let mut file = store.temporary().map_err(|why| Reason::StdinUnreadable(cause(&why)))?;
            file.write_all(&bytes).and_then(|()| file.rewind()).map_err(|why| Reason::StdinUnreadable(cause(&why)))?;
            Ok(file)
        }
    }
}

/// Digest and size of what a file holds; its own offset stays.
fn digest(file: impl AsFd) -> io::Result<(Digest, u64)> {
    let size = rustix::fs::fstat(&file)?.st_size;
    hash::whole(file, u64::try_from(size).unwrap_or_default(), &mut Vec::new())
}
