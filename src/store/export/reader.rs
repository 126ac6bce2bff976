//! Reading calls from a file of whose maker nothing is known.
//!
//! Nothing of it is believed. A call is looked at before it is stored: whether its key is the one that its command and what
//! it observed make, whether its outputs could be put anywhere but where a command line of today says, whether what it claims
//! of its values is possible. A value is stored under the digest of its bytes as they come, and only where a call asks for
//! it. Memory holds one call, of a size that a stranger may ask for, and one piece of a value.

use std::io::{self, Read};
use std::path::{Component, Path};

use super::{MAGIC, Parcel, Part};
use crate::error::Error;
use crate::model::{Call, Content, Digest, Key, Malformed, Observation, Output, PathSet, Reason, Sink};
use crate::store::frame::{self, Bounds, Fault, Kind};
use crate::store::{Durability, Existing, Pending, Store};

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;
/// More outputs than this no call has.
const MOST_OUTPUTS: usize = 1_000_000;

/// What became of a call of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored now.
    Stored,
    /// One of its key was stored already and stayed.
    Present,
    /// It is not what it says, or not whole: why.
    Refused(String),
}

/// What keeps a call from being stored, though it is what it says.
pub(in crate::store) enum Ailing {
    /// The file that it is in.
    File(Error),
    /// The store that it is to be in.
    Store(Reason),
}

impl From<Error> for Ailing {
    fn from(error: Error) -> Ailing {
        Ailing::File(error)
    }
}

/// A file that is being read.
pub struct Importer<R> {
    file: R,
    hasher: blake3::Hasher,
    /// The largest value that is taken in, in bytes.
    most: u64,
    /// The kind and the length of the part that comes next, once it was read.
    next: Option<(Part, u64)>,
}

impl<R: Read> Importer<R> {
    /// Begins to read; values larger than `most` bytes are refused.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is something else.
    pub fn begin(file: R, most: u64) -> Result<Importer<R>, Error> {
        let mut importer = Importer { file, hasher: blake3::Hasher::new(), most, next: None };
        let mut magic = [0; MAGIC.len()];
        match importer.read_exactly(&mut magic) {
            Ok(()) if magic == *MAGIC => Ok(importer),
            Ok(()) if magic.starts_with(b"fleche export ") => Err(Error::failure("a newer fleche exported this file")),
            Ok(()) => Err(Error::failure("this is no file that fleche exported")),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::failure("this is no file that fleche exported"))
            }
            Err(why) => Err(unreadable(why)),
        }
    }

    /// The next call; `None` at the end of a whole file.
    ///
    /// # Errors
    ///
    /// Where the file is cut short or damaged.
    pub fn next_call(&mut self) -> Result<Option<std::result::Result<Parcel, String>>, Error> {
        let (part, length) = self.peek()?;
        match part {
            Part::End => {
                self.end(length)?;
                Ok(None)
            }
            Part::Value => Err(damaged("a value that no call asks for")),
            Part::Call if length > Bounds::PARCEL.most => {
                self.next = None;
                self.pass_over(length)?;
                Ok(Some(Err(format!("it has {length} bytes, and {} are taken", Bounds::PARCEL.most))))
            }
            Part::Call => {
                self.next = None;
                let mut bytes = Vec::new();
                self.fill(&mut bytes, length)?;
                let newer = || Ok(Some(Err("a newer fleche wrote it".to_owned())));
                let body = match frame::open(Kind::Parcel, &bytes) {
                    Ok(body) => body,
                    Err(Fault::Damaged(why)) => return Err(damaged(&why)),
                    Err(Fault::Newer) => return newer(),
                };
                match Parcel::decode(body, &mut Bounds::PARCEL.room()) {
                    Ok(parcel) => Ok(Some(check(&parcel).map(|()| parcel))),
                    Err(Malformed::NEWER) => newer(),
                    Err(malformed) => Ok(Some(Err(malformed.to_string()))),
                }
            }
        }
    }

    /// Stores `parcel`, which was read last and may have been given another seal, in `store`, with the values that follow it.
    ///
    /// # Errors
    ///
    /// Where the file is cut short or damaged, and where the store cannot be written.
    pub fn store(&mut self, parcel: &Parcel, store: &Store, existing: Existing) -> Result<Verdict, Error> {
        let mut gone = |content: &Content| Err(Reason::Damaged(format!("value {} is gone", content.digest.short())));
        self.store_with(parcel, store, existing, Durability::Synced, &mut gone).map_err(|ailing| match ailing {
            Ailing::File(error) => error,
            Ailing::Store(reason) => Error::failure(reason.to_string()),
        })
    }

    /// The same, where `apart` gets the values that neither follow nor are in the store.
    ///
    /// # Errors
    ///
    /// As [`store`](Importer::store), each for itself.
    pub(in crate::store) fn store_with(
        &mut self,
        parcel: &Parcel,
        store: &Store,
        existing: Existing,
        durability: Durability,
        apart: &mut dyn FnMut(&Content) -> Result<Pending, Reason>,
    ) -> Result<Verdict, Ailing> {
        let unwritable = Ailing::Store;
        let Parcel { call, path_set, .. } = parcel;
        let mut recording = store.recording().map_err(unwritable)?;
        let is_there = existing == Existing::Kept && store.has_whole(&call.key);
        let wanted: Vec<&Content> = call.values().filter(|content| content.inline.is_none()).collect();
        let mut refused = None;
        while let (Part::Value, length) = self.peek()? {
            self.next = None;
            if length > self.most {
                self.pass_over(length)?;
                refused = Some(format!("a value has {length} bytes"));
                continue;
            }
            // What the file holds may be there already; it is read all the same, to know that it is the one.
            let pending = self.value(store, length)?;
            match wanted.iter().find(|content| content.digest == pending.digest()) {
                Some(content) => recording.keep_apart(pending, content).map_err(unwritable)?,
                None => refused = Some("a value is not one of its own".to_owned()),
            }
        }
        if let Some(why) = refused {
            return Ok(Verdict::Refused(why));
        }
        if is_there {
            return Ok(Verdict::Present);
        }
        for content in wanted {
            let taken = match recording.adopt(content) {
                Err(Reason::Damaged(_)) => apart(content).and_then(|pending| recording.keep_apart(pending, content)),
                adopted => adopted,
            };
            if let Err(missing) = taken {
                return Ok(Verdict::Refused(missing.to_string()));
            }
        }
        let set = path_set.as_ref().map(|seen| PathSet { key: call.key, observations: seen.clone() });
        recording.take_over(call, durability, set).map_err(unwritable)?;
        Ok(Verdict::Stored)
    }

    /// Passes over the values that belong to the call that was read last.
    ///
    /// # Errors
    ///
    /// Where the file is cut short or damaged.
    pub fn pass(&mut self) -> Result<(), Error> {
        while let (Part::Value, length) = self.peek()? {
            self.next = None;
            self.pass_over(length)?;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<(Part, u64), Error> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let (mut kind, mut length) = ([0], [0; 8]);
        self.read_exactly(&mut kind).and_then(|()| self.read_exactly(&mut length)).map_err(unreadable)?;
        let part = match kind[0] {
            b'c' => Part::Call,
            b'v' => Part::Value,
            b'e' => Part::End,
            _ => return Err(damaged("a part of no known kind")),
        };
        let next = (part, u64::from_le_bytes(length));
        self.next = Some(next);
        Ok(next)
    }

    fn end(&mut self, length: u64) -> Result<(), Error> {
        let expected = self.hasher.finalize();
        let mut digest = [0; blake3::OUT_LEN];
        if length != blake3::OUT_LEN as u64 {
            return Err(damaged("its end is wrong"));
        }
        self.file.read_exact(&mut digest).map_err(unreadable)?;
        if expected != blake3::Hash::from_bytes(digest) {
            return Err(damaged("its digest is wrong"));
        }
        match self.file.read(&mut [0]).map_err(unreadable)? {
            0 => Ok(()),
            _ => Err(damaged("something follows its end")),
        }
    }

    fn value(&mut self, store: &Store, length: u64) -> Result<Pending, Ailing> {
        let mut spool = store.spool(length);
        let mut left = length;
        while left > 0 {
            let mut chunk = Vec::new();
            self.fill(&mut chunk, left.min(CHUNK))?;
            left -= chunk.len() as u64;
            spool.accept(chunk);
        }
        spool.finish().map_err(Ailing::Store)
    }

    fn pass_over(&mut self, length: u64) -> Result<(), Error> {
        let mut left = length;
        while left > 0 {
            let mut chunk = Vec::new();
            self.fill(&mut chunk, left.min(CHUNK))?;
            left -= chunk.len() as u64;
        }
        Ok(())
    }

    /// Reads exactly so many bytes; memory grows with what is there, not with what is claimed.
    fn fill(&mut self, bytes: &mut Vec<u8>, length: u64) -> Result<(), Error> {
        let read = (&mut self.file).take(length).read_to_end(bytes).map_err(unreadable)?;
        self.hasher.update(bytes);
        if read as u64 == length { Ok(()) } else { Err(unreadable(io::ErrorKind::UnexpectedEof.into())) }
    }

    fn read_exactly(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }
}

/// Refuses a call that is not what it says it is, or that says what cannot be.
pub(super) fn check(Parcel { call, path_set, .. }: &Parcel) -> Result<(), String> {
    let observations = Observation::digests(&call.observations);
    let root = call.root.as_os_str().as_encoded_bytes();
    let name = call.root.file_name().unwrap_or_default().as_encoded_bytes();
    let is_own = |bound: Option<&[u8]>| Key::of(&call.command, &observations, bound) == call.key;
    if !(is_own(None) || is_own(Some(name)) || is_own(Some(root))) {
        return Err("its key is not that of its command and of what it observed".to_owned());
    }
    let looks = |seen: &Observation| call.observations.binary_search_by(|own| own.key_order(seen)).is_ok();
    if !call.observations.is_sorted_by(|one, other| one.key_order(other).is_lt())
        || path_set.iter().flatten().any(|seen| !looks(seen))
    {
        return Err("it looks where its key does not tell of".to_owned());
    }
    if !call.root.is_absolute() || !call.cwd.is_absolute() {
        return Err("its folders are not absolute".to_owned());
    }
    if call.outcome.outputs.len() > MOST_OUTPUTS {
        return Err("it has too many outputs".to_owned());
    }
    for content in call.values() {
        let inline = content.inline.as_ref();
        if inline.is_some_and(|bytes| bytes.len() as u64 != content.length || Digest::of(bytes) != content.digest) {
            return Err(format!("value {} is not what its name says", content.digest.short()));
        }
    }
    call.outcome.outputs.iter().try_for_each(|output| check_output(output, call))
}

fn check_output(output: &Output, call: &Call) -> Result<(), String> {
    let path = output.path.display();
    let is_plain =
        |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
    if output.path.as_os_str().is_empty() || !is_plain(&output.path) {
        return Err(format!("the output `{path}` is no plain path"));
    }
    // Whether it may be put there, the command line of a replay decides; a record that never asked for it is forged.
    let is_asked = !call.request.outputs.is_empty() || !call.request.watching.writable.is_empty();
    if output.path.is_absolute() && !is_asked {
        return Err(format!("the output `{path}` is outside its root, and nobody asked for it"));
    }
    Ok(())
}

fn unreadable(why: io::Error) -> Error {
    match why.kind() {
        io::ErrorKind::UnexpectedEof => Error::failure("the exported file is cut short"),
        _ => Error::failure("cannot read the exported file").because(why),
    }
}

fn damaged(why: &str) -> Error {
    Error::failure(format!("the exported file is damaged: {why}"))
}
