//! Stores beyond this machine, in which a team shares calls: objects under names, on an engine that is there already.
//!
//! | name | object |
//! |---|---|
//! | `v1/a/NAMESPACE/AB/KEY` | a call with its values of up to [`TOGETHER`] bytes, signed |
//! | `v1/p/NAMESPACE/AB/COMMAND` | where a watched command looks, and which calls of it there are, signed |
//! | `v1/b/AB/DIGEST.zst` | a larger value, which its digest proves |
//!
//! A call is named after the key that it would have if its result held no trace of where its root is; which one it is, its
//! head tells. So one request finds it or finds that there is none. Of a watched command the second object is asked first,
//! and tells which calls there are. There is no index, no lock and no lease: whatever is complete and rightly signed may be
//! used, and the last writer wins. Who may write is decided by signatures (`signing`), and what is read is checked like the
//! file of a stranger (`export`): a trusted key says who made it, not that it makes sense.

#[cfg(feature = "s3")]
mod aws;
mod care;
mod deadline;
#[cfg(feature = "http")]
mod dial;
mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod lent;
#[cfg(feature = "http")]
mod line;
mod meter;
mod mount;
mod object;
mod pace;
#[cfg(feature = "http")]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod reply;
#[cfg(feature = "s3")]
mod s3;
mod setup;
mod signing;
#[cfg(feature = "redis")]
mod stream;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

pub use care::{Clearance, There};
pub use engine::Patience;
pub use meter::Traffic;
pub use setup::setup;
pub use signing::{PublicKey, SigningKey};

use super::export::{Ailing, Exporter, Importer, Parcel, Verdict};
use super::frame::{self, Bounds};
use super::{Durability, Existing, Store, Value};
use crate::error::Error;
use crate::model::{self, CacheAccess, CommandDigest, Content, Digest, Key, PathSet, PathSets, Reason, Sink};
use crate::sys::clock;
use deadline::Deadline;
use engine::{Body, Engine};
use meter::Metered;
use object::{Expected, Head, Kind};
use pace::Pace;

/// Bytes of values that lie in one object with their call.
pub const TOGETHER: u64 = 8 << 20;
/// How hard objects are compressed: zstd's own default, at which it is faster than most networks.
const LEVEL: i32 = 3;
/// The memory that decompression may take, as a power of two in bytes.
const WINDOW: u32 = 23;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// How long the head of an object, some hundred bytes, is waited for once the store has begun to answer.
const HEAD: Duration = Duration::from_secs(1);
/// How long what is remembered of a command is waited for.
const PATH_SETS: Duration = Duration::from_secs(3);

/// Why a store beyond this machine was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It does not answer, or not as it should.
    Unreachable(String),
    /// It does not let us.
    Denied(String),
    /// It asks to be left alone for so long.
    Busy(String, Duration),
    /// It does not do what it is asked for.
    Refused(String),
    /// It does not take what it was sent. Whether it takes anything, another object will show.
    Rejected(String),
    /// It would take longer than to run the command.
    Slow,
    /// An object is not what it should be.
    Wrong(String),
    /// What came cannot be kept here.
    Here(Reason),
    /// Nobody was asked, for that could not be done here.
    Unasked(String),
}

impl Failure {
    fn of_reading(why: io::Error) -> Failure {
        #[cfg(feature = "http")]
        if let Some(why) = why.get_ref().and_then(|inner| inner.downcast_ref()) {
            return http::failed(why);
        }
        Failure::Unreachable(match why.kind() {
            io::ErrorKind::TimedOut => "it does not answer in time".to_owned(),
            _ => crate::error::cause(&why),
        })
    }

    /// Whether the store does not work, whatever it is asked for.
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::Denied(_) | Failure::Busy(..))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(why)
            | Failure::Denied(why)
            | Failure::Busy(why, _)
            | Failure::Refused(why)
            | Failure::Rejected(why)
            | Failure::Wrong(why)
            | Failure::Unasked(why) => f.write_str(why),
            Failure::Slow => f.write_str("it would take longer than to run the command"),
            Failure::Here(reason) => reason.fmt(f),
        }
    }
}

/// How what comes is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// What becomes of a call of its key that is here.
    pub existing: Existing,
    /// Whether it survives a power cut from then on.
    pub durability: Durability,
}

/// A store beyond this machine, ready to be asked.
pub struct Tier {
    remote: model::Remote,
    engine: Metered,
    /// Whether what comes has to come before the command would be done.
    is_hasty: bool,
    /// How long an answer may take to begin, wherever it leads.
    begins: Duration,
    deadline: Arc<Deadline>,
    trusted: Vec<PublicKey>,
}

impl Tier {
    /// Reads the keys that are believed. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// Where a key cannot be read, nobody is believed, or the URL is none.
    pub fn open(remote: &model::Remote, patience: Patience) -> Result<Tier, Error> {
        let deadline = Arc::new(Deadline::default());
        let engine = Metered::new(engine::of(remote, patience, &deadline)?);
        let mut trusted = remote.trusted.iter().map(PublicKey::read).collect::<Result<Vec<_>, _>>()?;
        // Who signs here believes himself; one whose key cannot be read still reads what others made.
        if let Some(Ok(own)) = remote.signing.as_ref().map(SigningKey::read) {
            trusted.push(own.public());
        }
        if trusted.is_empty() {
            let message = format!("nobody is believed in the cache `{}`", remote.name);
            return Err(Error::failure(message).hint("trusted-keys = [\"ci.pub\"], by `fleche remote key ci`"));
        }
        let (is_hasty, begins) = (patience != Patience::LONG, 2 * patience.connect + 2 * patience.answer);
        Ok(Tier { remote: remote.clone(), engine, is_hasty, begins, deadline, trusted })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.remote.name
    }

    /// What passed between here and it since it was opened.
    pub fn traffic(&self) -> Traffic {
        self.engine.traffic()
    }

    /// The key that own objects are signed with.
    ///
    /// # Errors
    ///
    /// Where nothing may be put there, or there is no such key.
    pub fn signing_key(&self) -> Result<SigningKey, Error> {
        let may_not = |why: &str| Error::failure(format!("nothing is put into the cache `{}`: {why}", self.name()));
        if self.remote.access == CacheAccess::ReadOnly {
            return Err(may_not("it is read-only").hint("access = \"read-write\""));
        }
        let Some(source) = &self.remote.signing else {
            return Err(may_not("it has no signing key").hint("signing-key = \"ci.key\", by `fleche remote key ci`"));
        };
        SigningKey::read(source)
    }

    /// What is remembered there of a command.
    ///
    /// # Errors
    ///
    /// Where it cannot be asked, or what it says is not believed.
    pub fn path_sets(&self, command: &CommandDigest) -> Result<Option<PathSets>, Failure> {
        let Some(mut object) = self.ask(&self.object(Kind::PathSets, &command.0))? else { return Ok(None) };
        let head = object::open(&mut object, &self.expected(Kind::PathSets, command.0))?;
        self.hurry(&Pace::within(PATH_SETS));
        let packed = object::body(&mut object, &head, &Pace::none())?;
        let mut bytes = Vec::new();
        unpacked(packed.as_slice(), Bounds::FOREIGN.most)?.read_to_end(&mut bytes).map_err(damaged)?;
        let malformed = |why: String| Failure::Wrong(format!("what is remembered of a command: {why}"));
        let body = frame::open(frame::Kind::PathSets, &bytes).map_err(|fault| malformed(told(fault)))?;
        let mut sets = PathSets::decode(body, &mut Bounds::FOREIGN.room()).map_err(|why| malformed(why.to_string()))?;
        if sets.command != *command {
            return Err(malformed("it is another one".to_owned()));
        }
        // Whether it can be watched here, is found out here.
        sets.unwatchable = None;
        Ok(Some(sets))
    }

    /// Takes the call that is named `at` over into `store`, if it is one of those that are wanted, and gives its key. `settle` makes of it what
    /// the store would have recorded itself.
    ///
    /// # Errors
    ///
    /// Where it cannot be asked, what it says is not believed, or cannot be kept here.
    pub fn bring(
        &self,
        at: &Key,
        is_wanted: &dyn Fn(&Key) -> bool,
        settle: &dyn Fn(Parcel) -> Result<Parcel, Reason>,
        store: &Store,
        keeping: Keeping,
    ) -> Result<Option<Key>, Failure> {
        let Some((mut importer, parcel, pace)) = self.record(at, is_wanted)? else { return Ok(None) };
        let key = parcel.call.key;
        let parcel = settle(parcel).map_err(Failure::Here)?;
        let mut failure = None;
        let mut apart = |content: &Content| {
            self.value(content, store, &pace).map_err(|why| {
                let reason = Reason::Damaged(why.to_string());
                failure = Some(why);
                reason
            })
        };
        let stored = importer.store_with(&parcel, store, keeping.existing, keeping.durability, &mut apart);
        match (failure, stored) {
            (Some(why), _) => Err(why),
            (None, Ok(Verdict::Refused(why))) => Err(Failure::Wrong(why)),
            (None, Ok(Verdict::Stored | Verdict::Present)) => Ok(Some(key)),
            (None, Err(Ailing::File(error))) => Err(unfit(error)),
            (None, Err(Ailing::Store(reason))) => Err(Failure::Here(reason)),
        }
    }

    /// Has `store` tell of the call that is named `at`, without its values.
    ///
    /// # Errors
    ///
    /// As [`bring`](Tier::bring).
    pub fn mention(
        &self,
        at: &Key,
        settle: &dyn Fn(Parcel) -> Result<Parcel, Reason>,
        store: &Store,
    ) -> Result<bool, Failure> {
        let Some((_, parcel, _)) = self.record(at, &|_| true)? else { return Ok(false) };
        let parcel = settle(parcel).map_err(Failure::Here)?;
        store.recording().and_then(|recording| recording.mention(&parcel.call)).map_err(Failure::Here)?;
        Ok(true)
    }

    /// The call that is named `at`, if it is one of those that are wanted, with what its values are read from, and how long they
    /// are waited for.
    fn record(
        &self,
        at: &Key,
        is_wanted: &dyn Fn(&Key) -> bool,
    ) -> Result<Option<(Importer<impl Read + use<>>, Parcel, Pace)>, Failure> {
        let (asked, aside) = (clock::monotonic(), self.deadline.aside());
        let Some(mut object) = self.ask(&self.object(Kind::Record, &at.0))? else { return Ok(None) };
        let head = object::open(&mut object, &self.expected(Kind::Record, at.0))?;
        let Some(key) = head.key.filter(is_wanted) else { return Ok(None) };
        let begun = asked.saturating_add(self.deadline.aside() - aside);
        let pace = if self.is_hasty { Pace::of(head.wall, begun) } else { Pace::none() };
        self.hurry(&pace);
        let packed = io::Cursor::new(object::body(&mut object, &head, &pace)?);
        let mut importer = Importer::begin(unpacked(packed, object::LONGEST_BODY)?, TOGETHER).map_err(unfit)?;
        let parcel = match importer.next_call().map_err(unfit)? {
            Some(Ok(parcel)) => parcel,
            Some(Err(why)) => return Err(Failure::Wrong(why)),
            None => return Err(Failure::Wrong("there is no call in it".to_owned())),
        };
        match parcel.call.key == key {
            true => Ok(Some((importer, parcel, pace))),
            false => Err(Failure::Wrong("it holds another call than it says".to_owned())),
        }
    }

    /// Asks for an object, of which nothing is known before its head is there.
    fn ask(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        self.hurry(&Pace::within(self.begins));
        let object = self.engine.get(name);
        self.hurry(&Pace::within(HEAD));
        object
    }

    /// What comes from now on has to come within this, if a command waits.
    fn hurry(&self, pace: &Pace) {
        self.deadline.set(if self.is_hasty { pace.end() } else { u64::MAX });
    }

    /// Nothing is waited for beyond this time of the clock that only goes forward, in nanoseconds.
    pub fn until(&self, end: u64) {
        self.deadline.set_last(end);
    }

    /// A value that is an object of its own.
    fn value(&self, content: &Content, store: &Store, pace: &Pace) -> Result<super::Pending, Failure> {
        let missing = || Failure::Wrong(format!("value {} is not there", content.digest.short()));
        let object = self.engine.get(&value_object(&content.digest))?.ok_or_else(missing)?;
        // One byte more than there should be is too much, and ends it.
        let packed = io::BufReader::new(pace.reads(object, None));
        let mut value = unpacked(packed, content.length.saturating_add(1))?;
        let mut spool = store.spool(content.length);
        let mut chunk = Vec::new();
        let (mut got, since) = (0, clock::monotonic());
        let failed = |why| pace::failure(&why).unwrap_or_else(|| damaged(why));
        loop {
            let length = (&mut value).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)? as u64;
            if length == 0 {
                break;
            }
            got += length;
            pace.check(got, content.length, since)?;
            chunk = spool.accept(chunk);
            chunk.clear();
        }
        spool.finish().map_err(|reason| match reason {
            Reason::TooLarge(_) => Failure::Wrong(format!("value {} is too long", content.digest.short())),
            reason => Failure::Here(reason),
        })
    }

    /// Puts a call of `store` there, named `at`: its larger values, then the call, then that it exists.
    ///
    /// # Errors
    ///
    /// Where that cannot be done; it may be there all the same.
    pub fn publish(&self, parcel: &Parcel, at: &Key, store: &Store, key: &SigningKey) -> Result<(), Failure> {
        // What no reader would take is of use to nobody.
        if Parcel::decode(&parcel.encode(), &mut Bounds::PARCEL.room()).is_err() {
            return Err(Failure::Here(Reason::Damaged("it has too many inputs for other machines".to_owned())));
        }
        let mut together = 0_u64;
        let mut apart: Vec<&Content> = Vec::new();
        for content in parcel.call.values().filter(|content| content.inline.is_none()) {
            match together.checked_add(content.length).filter(|sum| *sum <= TOGETHER) {
                Some(sum) => together = sum,
                None if apart.iter().all(|other| other.digest != content.digest) => apart.push(content),
                None => {}
            }
        }
        for content in &apart {
            self.publish_value(content, store)?;
        }
        let is_apart = |content: &Content| apart.iter().any(|other| other.digest == content.digest);
        let packing = |why: Error| Failure::Here(Reason::StoreUnusable(why.to_string()));
        let packer = zstd::Encoder::new(Vec::new(), LEVEL).map_err(|why| here(&why))?;
        let mut exporter = Exporter::begin(packer).map_err(packing)?;
        exporter.add_all_but(&is_apart, parcel, store).map_err(packing)?.map_err(Failure::Here)?;
        let body = exporter.end().map_err(packing)?.finish().map_err(|why| here(&why))?;
        let head = Head {
            key: Some(parcel.call.key),
            wall: parcel.call.metadata.usage.wall,
            ..self.head(Kind::Record, at.0, &body)
        };
        self.put(&head, &body, key)?;
        // Where one looks whose inputs are declared, whoever asks for it says himself.
        match &parcel.path_set {
            Some(observations) if parcel.call.request.is_watched() => {
                let set = PathSet { key: parcel.call.key, observations: observations.clone() };
                self.publish_path_set(&parcel.call.command, set, key)
            }
            _ => Ok(()),
        }
    }

    fn publish_value(&self, content: &Content, store: &Store) -> Result<(), Failure> {
        // One that is there may be damaged, which only who reads it finds out.
        let name = value_object(&content.digest);
        let mut packer =
            zstd::Encoder::new(store.temporary().map_err(|why| here(&why))?, LEVEL).map_err(|why| here(&why))?;
        match store.value(content).map_err(Failure::Here)? {
            Value::Bytes(bytes) => drop(io::copy(&mut bytes.as_slice(), &mut packer).map_err(|why| here(&why))?),
            Value::File { mut file, .. } => drop(io::copy(&mut file, &mut packer).map_err(|why| here(&why))?),
        }
        let mut file = packer.finish().map_err(|why| here(&why))?;
        io::Seek::rewind(&mut file).map_err(|why| here(&why))?;
        self.engine.put(&name, Body::File(&mut file))
    }

    /// Adds a set to what is remembered there of a command. Of two that do so at once one is forgotten, until it is put there
    /// again.
    fn publish_path_set(&self, command: &CommandDigest, set: PathSet, key: &SigningKey) -> Result<(), Failure> {
        let mut sets = match self.path_sets(command) {
            Ok(sets) => sets.unwrap_or_else(|| PathSets::new(*command)),
            Err(Failure::Wrong(_)) => PathSets::new(*command),
            Err(failure) => return Err(failure),
        };
        sets.insert(set);
        let mut encoded = sets.encode();
        while PathSets::decode(&encoded, &mut Bounds::FOREIGN.room()).is_err() && sets.count() > 1 {
            sets.keep(sets.count() / 2);
            encoded = sets.encode();
        }
        let framed = frame::seal(frame::Kind::PathSets, &encoded);
        let body = zstd::encode_all(framed.as_slice(), LEVEL).map_err(|why| here(&why))?;
        self.put(&self.head(Kind::PathSets, command.0, &body), &body, key)
    }

    /// What an object of this body says of itself, if it is no call.
    fn head(&self, kind: Kind, at: Digest, body: &[u8]) -> Head {
        let namespace = self.remote.namespace.clone();
        let (length, digest) = (body.len() as u64, Digest::of(body));
        Head { kind, namespace, at, key: None, wall: 0, length, digest }
    }

    fn put(&self, head: &Head, body: &[u8], key: &SigningKey) -> Result<(), Failure> {
        self.engine.put(&self.object(head.kind, &head.at), Body::Bytes(&object::seal(head, body, key)))
    }

    fn object(&self, kind: Kind, at: &Digest) -> String {
        let digits = at.to_string();
        format!("v1/{}/{}/{}/{digits}", char::from(kind as u8), self.remote.namespace, &digits[..2])
    }

    fn expected(&self, kind: Kind, at: Digest) -> Expected<'_> {
        Expected { kind, namespace: &self.remote.namespace, at, trusted: &self.trusted }
    }
}

impl Store {
    /// The stores beyond this machine that are asked after it.
    pub fn remotes(&self) -> &[model::Remote] {
        &self.remotes
    }

    pub(super) fn sharing_with(mut self, remotes: Vec<model::Remote>) -> Store {
        self.remotes = remotes;
        self
    }
}

fn value_object(digest: &Digest) -> String {
    let digits = digest.to_string();
    format!("v1/b/{}/{digits}.zst", &digits[..2])
}

/// What was compressed, at most so many bytes of it: what comes after them is cut off.
fn unpacked(packed: impl BufRead, most: u64) -> Result<impl Read, Failure> {
    let mut decoder = zstd::Decoder::with_buffer(packed).map_err(damaged)?;
    decoder.window_log_max(WINDOW).map_err(damaged)?;
    Ok(decoder.take(most))
}

fn damaged(why: io::Error) -> Failure {
    Failure::Wrong(format!("it cannot be decompressed: {}", crate::error::cause(&why)))
}

fn unfit(why: Error) -> Failure {
    Failure::Wrong(why.to_string())
}

fn here(why: &io::Error) -> Failure {
    Failure::Here(Reason::StoreUnusable(crate::error::cause(why)))
}

fn told(fault: frame::Fault) -> String {
    match fault {
        frame::Fault::Damaged(why) => why,
        frame::Fault::Newer => "a newer fleche wrote it".to_owned(),
    }
}
