//! What a command could see at a path.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Content, Digest, Inventory, Malformed, Reader, Room, Writer};

/// What tells one version of a file from another without reading it, as in git's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub modified: i64,
    /// Last change of content or attributes, in nanoseconds since 1970; programs cannot set it.
    pub changed: i64,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
}

impl Stamp {
    /// Appends the stamp to `writer`.
    pub fn encode(&self, writer: &mut Writer) {
        writer.number(self.device).number(self.inode).number(self.size);
        writer.signed(self.modified).signed(self.changed).number(u64::from(self.mode));
    }

    /// Reads what [`encode`](Stamp::encode) wrote.
    pub fn decode(reader: &mut Reader) -> Result<Stamp, Malformed> {
        Ok(Stamp {
            device: reader.number()?,
            inode: reader.number()?,
            size: reader.number()?,
            modified: reader.signed()?,
            changed: reader.signed()?,
            mode: u32::try_from(reader.number()?).map_err(|_| Malformed("mode"))?,
        })
    }
}

/// What of a path an observation tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// All that a declared input counts by: type, permissions, bytes, and what a link leads to.
    #[default]
    Whole,
    /// Whether it is there: type and permissions, or the text of a link.
    Kind,
    /// As [`Kind`](Facet::Kind), and the bytes of a file.
    Content,
    /// What stat(2) tells of a file, or of a folder that was listed: size, modification time, owner.
    Metadata,
    /// As [`Kind`](Facet::Kind), of a file that the command looked at and then replaced without reading it: whether it is
    /// empty, and which of the files with [`Metadata`](Facet::Metadata) or this facet are older. That is what `make` goes by.
    Replaced,
    /// The names and types in a folder, but for these names.
    Listing {
        /// Names that the command makes itself before it looks, sorted.
        without: Vec<OsString>,
    },
    /// The extended attributes that it has, as `ls -l` and `cp -a` ask for them.
    Attributes,
    /// What the machine tells the program that it is: `uname`, `nproc`, `id`.
    Machine,
}

/// What was at a path, as far as the command could tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Its permission bits: what copies a file copies them, and a replay would bring back the former ones.
        mode: u32,
        /// The digest of its bytes.
        digest: Digest,
    },
    /// A folder, whatever is in it.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// The text of the link.
        target: Vec<u8>,
        /// What it leads to in the end; never a link.
        behind: Box<State>,
    },
    /// A FIFO, socket or device, by the type bits of `st_mode`: it exists, and that is all.
    Special(u32),
    /// A regular file with these permission bits, whatever it holds.
    Exists {
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link with this text, wherever it leads.
    Target(Vec<u8>),
    /// What stat(2) tells.
    Metadata {
        /// Type and permission bits, as in `st_mode`.
        mode: u32,
        /// Size in bytes; 0 for a folder, whose size tells nothing.
        size: u64,
        /// Last change of the content, in nanoseconds since 1970.
        modified: i64,
        /// The user whom it belongs to.
        user: u32,
        /// The group.
        group: u32,
        /// How many names a file has, which `ls -l` and `find -links` show; 0 for anything else.
        links: u64,
    },
    /// A regular file that is to be replaced unread.
    Replaced {
        /// Its permission bits.
        mode: u32,
        /// Whether it holds nothing.
        empty: bool,
        /// Its place among the files whose times count: how many of them are older, and how many are not newer, added.
        /// So it tells "as old as" from "older than", as `make` and `test -nt` do.
        rank: u64,
    },
    /// The digest of the sorted names and types in a folder.
    Listing(Digest),
    /// A folder on the way may not be searched, or the file not be read.
    Denied,
    /// The digest of attributes, or of what the machine tells; `None` where there is nothing.
    Told(Option<Digest>),
}

/// Codes of facets, which no state has, so that the facet of declared inputs needs none.
const FACETS: u64 = 16;

impl Facet {
    /// Appends the facet to `writer`: nothing for [`Facet::Whole`].
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Facet::Whole => writer,
            Facet::Kind => writer.number(FACETS),
            Facet::Content => writer.number(FACETS + 1),
            Facet::Metadata => writer.number(FACETS + 2),
            Facet::Replaced => writer.number(FACETS + 3),
            Facet::Listing { without } => {
                writer.number(FACETS + 4).number(without.len() as u64);
                without.iter().fold(writer, |writer, name| writer.bytes(name.as_bytes()))
            }
            Facet::Attributes => writer.number(FACETS + 5),
            Facet::Machine => writer.number(FACETS + 6),
        };
    }

    /// Reads what [`encode`](Facet::encode) wrote before a state.
    pub fn decode(reader: &mut Reader, room: &mut Room) -> Result<Facet, Malformed> {
        // A copy: the state that follows a facet of none is read anew.
        if { *reader }.number()? < FACETS {
            return Ok(Facet::Whole);
        }
        Ok(match reader.number()? - FACETS {
            0 => Facet::Kind,
            1 => Facet::Content,
            2 => Facet::Metadata,
            3 => Facet::Replaced,
            4 => {
                let count = reader.number()?;
                let mut without = Vec::new();
                for _ in 0..count {
                    let name = reader.bytes()?;
                    room.take::<OsString>(name.len())?;
                    without.push(OsString::from_vec(name.to_vec()));
                }
                Facet::Listing { without }
            }
            5 => Facet::Attributes,
            6 => Facet::Machine,
            _ => return Err(Malformed("facet")),
        })
    }
}

impl State {
    /// Appends the state to `writer`.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            State::Absent => writer.number(0),
            State::File { mode, digest } => writer.number(1).number(u64::from(*mode)).raw(&digest.0),
            State::Folder { mode } => writer.number(3).number(u64::from(*mode)),
            State::Link { target, behind } => {
                writer.number(4).bytes(target);
                behind.encode(writer);
                writer
            }
            State::Special(kind) => writer.number(5).number(u64::from(*kind)),
            State::Exists { mode } => writer.number(6).number(u64::from(*mode)),
            State::Target(text) => writer.number(7).bytes(text),
            State::Metadata { mode, size, modified, user, group, links } => {
                writer.number(8).number(u64::from(*mode)).number(*size).signed(*modified);
                writer.number(u64::from(*user)).number(u64::from(*group)).number(*links)
            }
            State::Replaced { mode, empty, rank } => {
                writer.number(9).number(u64::from(*mode)).number(u64::from(*empty)).number(*rank)
            }
            State::Listing(digest) => writer.number(10).raw(&digest.0),
            State::Denied => writer.number(11),
            State::Told(None) => writer.number(12),
            State::Told(Some(digest)) => writer.number(13).raw(&digest.0),
        };
    }

    /// The digest of the bytes of the file, seen itself or through a link.
    pub fn content(&self) -> Option<&Digest> {
        match self {
            State::File { digest, .. } => Some(digest),
            State::Link { behind, .. } => behind.content(),
            _ => None,
        }
    }

    /// The permission bits in `st_mode`.
    pub fn permissions(mode: u32) -> u32 {
        mode & 0o7777
    }

    fn mode(reader: &mut Reader) -> Result<u32, Malformed> {
        u32::try_from(reader.number()?).map_err(|_| Malformed("mode"))
    }

    /// Reads what [`encode`](State::encode) wrote.
    pub fn decode(reader: &mut Reader) -> Result<State, Malformed> {
        match reader.number()? {
            4 => {
                let target = reader.bytes()?.to_vec();
                let kind = reader.number()?;
                Ok(State::Link { target, behind: Box::new(State::decode_plain(kind, reader)?) })
            }
            kind => State::decode_plain(kind, reader),
        }
    }

    /// Anything but a link, so that hostile bytes cannot nest without end.
    fn decode_plain(kind: u64, reader: &mut Reader) -> Result<State, Malformed> {
        Ok(match kind {
            0 => State::Absent,
            1 => State::File { mode: State::mode(reader)?, digest: Digest(reader.digest()?) },
            3 => State::Folder { mode: State::mode(reader)? },
            5 => State::Special(u32::try_from(reader.number()?).map_err(|_| Malformed("file type"))?),
            6 => State::Exists { mode: State::mode(reader)? },
            7 => State::Target(reader.bytes()?.to_vec()),
            8 => State::Metadata {
                mode: State::mode(reader)?,
                size: reader.number()?,
                modified: reader.signed()?,
                user: State::mode(reader)?,
                group: State::mode(reader)?,
                links: reader.number()?,
            },
            9 => State::Replaced { mode: State::mode(reader)?, empty: reader.number()? == 1, rank: reader.number()? },
            10 => State::Listing(Digest(reader.digest()?)),
            11 => State::Denied,
            12 => State::Told(None),
            13 => State::Told(Some(Digest(reader.digest()?))),
            _ => return Err(Malformed("state")),
        })
    }
}

/// A path and what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Relative to the project root (or working directory) where it lies below it, else absolute.
    pub path: PathBuf,
    /// What of it the state tells; a path may be observed once for each facet.
    pub facet: Facet,
    /// What was there.
    pub state: State,
    /// The stamp of the file whose digest `state` holds, where it was old enough to prove that
    /// nothing changed as long as it stays the same; `None` where it proves nothing.
    pub stamp: Option<Stamp>,
}

impl Observation {
    /// So many observations have a digest of their own in a key: many are digested by several threads, and of those that are
    /// known to be as they were only the digests are needed.
    pub const GROUP: usize = 512;

    /// What counts of `observations` in a key: digests of paths and states, in order, of [`GROUP`](Observation::GROUP) at a time.
    pub fn digests(observations: &[Observation]) -> Vec<Digest> {
        observations.chunks(Observation::GROUP).map(|group| Digest::of(&Observation::key_bytes(group))).collect()
    }

    /// The part of `observations` that counts in a key: paths and states, in order.
    pub fn key_bytes(observations: &[Observation]) -> Vec<u8> {
        let mut writer = Writer::with_capacity(observations.len() * 64);
        for observation in observations {
            writer.bytes(observation.path.as_os_str().as_bytes());
            observation.facet.encode(&mut writer);
            observation.state.encode(&mut writer);
        }
        writer.into_bytes()
    }

    /// All of `observations`, stamps included: the input manifest of a call.
    pub fn encode_all(observations: &[Observation]) -> Vec<u8> {
        let mut writer = Writer::new();
        for observation in observations {
            writer.bytes(observation.path.as_os_str().as_bytes());
            observation.encode_rest(&mut writer);
        }
        writer.into_bytes()
    }

    /// All but the path, see [`decode_rest`](Observation::decode_rest).
    pub(super) fn encode_rest(&self, writer: &mut Writer) {
        self.facet.encode(writer);
        self.state.encode(writer);
        match &self.stamp {
            None => drop(writer.number(0)),
            Some(stamp) => stamp.encode(writer.number(1)),
        }
    }

    /// An observation at `path`, as [`encode_rest`](Observation::encode_rest) wrote it.
    pub(super) fn decode_rest(path: PathBuf, reader: &mut Reader, room: &mut Room) -> Result<Observation, Malformed> {
        let facet = Facet::decode(reader, room)?;
        let before = reader.rest().len();
        let state = State::decode(reader)?;
        room.take::<Observation>(path.as_os_str().len() + before - reader.rest().len())?;
        let stamp = Observation::decode_stamp(reader)?;
        Ok(Observation { path, facet, state, stamp })
    }

    /// A stamp, if there is one.
    pub(super) fn decode_stamp(reader: &mut Reader) -> Result<Option<Stamp>, Malformed> {
        match reader.number()? {
            0 => Ok(None),
            1 => Ok(Some(Stamp::decode(reader)?)),
            _ => Err(Malformed("stamp")),
        }
    }

    /// The order of observations in a key: by the bytes of the path, then by facet.
    pub fn key_order(&self, other: &Observation) -> Ordering {
        let paths = self.path.as_os_str().as_bytes().cmp(other.path.as_os_str().as_bytes());
        paths.then_with(|| self.facet.cmp(&other.facet))
    }

    /// Reads what [`encode_all`](Observation::encode_all) wrote.
    pub fn decode_all(bytes: &[u8], room: &mut Room) -> Result<Vec<Observation>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut observations = Vec::new();
        while !reader.is_empty() {
            let path = PathBuf::from(OsStr::from_bytes(reader.bytes()?));
            observations.push(Observation::decode_rest(path, &mut reader, room)?);
        }
        Ok(observations)
    }
}

/// What is known of a file's content without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Whether it was seen to begin as a machine's program does, which no interpreter runs. An input is not asked.
    pub binary: bool,
}

/// What is known of files without reading them: implemented by the store, asked by recognition.
pub trait StampMemory {
    /// What was remembered of the file that bears exactly this stamp.
    fn recall(&self, stamp: &Stamp) -> Option<Remembered>;

    /// Remembers a large file whose stamp is old enough to prove something.
    fn remember(&self, stamp: &Stamp, seen: &Remembered);

    /// The inventory of a look with this identity.
    fn inventory(&self, _identity: &Digest) -> Option<Inventory> {
        None
    }
}

impl Content {
    /// Appends the reference to `writer`, inline bytes included.
    pub fn encode(&self, writer: &mut Writer) {
        writer.raw(&self.digest.0).number(self.length);
        match &self.inline {
            None => writer.number(0),
            Some(bytes) => writer.number(1).bytes(bytes),
        };
    }

    /// Reads what [`encode`](Content::encode) wrote.
    pub fn decode(reader: &mut Reader) -> Result<Content, Malformed> {
        let digest = Digest(reader.digest()?);
        let length = reader.number()?;
        let inline = match reader.number()? {
            0 => None,
            1 => Some(reader.bytes()?.to_vec()),
            _ => return Err(Malformed("value")),
        };
        if inline.as_ref().is_some_and(|bytes| bytes.len() as u64 != length) {
            return Err(Malformed("value length"));
        }
        Ok(Content { digest, length, inline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One observation of each facet and state.
    fn all() -> Vec<Observation> {
        let listing = Facet::Listing { without: vec!["a".into(), OsString::from_vec(vec![0xff])] };
        [
            (Facet::Whole, State::File { mode: 0o644, digest: Digest::of(b"x") }),
            (Facet::Whole, State::Link { target: b"t".to_vec(), behind: Box::new(State::Absent) }),
            (Facet::Kind, State::Exists { mode: 0o755 }),
            (Facet::Kind, State::Target(b"t".to_vec())),
            (Facet::Kind, State::Denied),
            (Facet::Content, State::File { mode: 0o600, digest: Digest::of(b"y") }),
            (Facet::Metadata, State::Metadata { mode: 0o100_644, size: 9, modified: -1, user: 7, group: 8, links: 2 }),
            (Facet::Replaced, State::Replaced { mode: 0o644, empty: true, rank: 3 }),
            (listing, State::Listing(Digest::of(b"z"))),
            (Facet::Content, State::Absent),
            (Facet::Attributes, State::Told(None)),
            (Facet::Attributes, State::Told(Some(Digest::of(b"a")))),
            (Facet::Machine, State::Told(Some(Digest::of(b"a")))),
        ]
        .into_iter()
        .map(|(facet, state)| Observation { path: "p".into(), facet, state, stamp: None })
        .collect()
    }

    #[test]
    fn every_facet_and_state_is_read_back() {
        assert_eq!(Observation::decode_all(&Observation::encode_all(&all()), &mut Room::of(Room::OWN)), Ok(all()));
    }

    #[test]
    fn every_facet_and_state_counts_apart() {
        let keys: std::collections::BTreeSet<Vec<u8>> =
            all().iter().map(|one| Observation::key_bytes(std::slice::from_ref(one))).collect();
        assert_eq!(keys.len(), all().len());
    }
}
