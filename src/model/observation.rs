//! What a command could see at a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Content, Digest, Malformed, Reader, Writer};

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
        };
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
            _ => return Err(Malformed("state")),
        })
    }
}

/// A path and what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Relative to the project root (or working directory) where it lies below it, else absolute.
    pub path: PathBuf,
    /// What was there.
    pub state: State,
    /// The stamp of the file whose digest `state` holds, where it was old enough to prove that
    /// nothing changed as long as it stays the same; `None` where it proves nothing.
    pub stamp: Option<Stamp>,
}

impl Observation {
    /// The part of `observations` that counts in a key: paths and states, in order.
    pub fn key_bytes(observations: &[Observation]) -> Vec<u8> {
        let mut writer = Writer::new();
        for observation in observations {
            writer.bytes(observation.path.as_os_str().as_bytes());
            observation.state.encode(&mut writer);
        }
        writer.into_bytes()
    }

    /// All of `observations`, stamps included: the input manifest of a call.
    pub fn encode_all(observations: &[Observation]) -> Vec<u8> {
        let mut writer = Writer::new();
        for observation in observations {
            writer.bytes(observation.path.as_os_str().as_bytes());
            observation.state.encode(&mut writer);
            match &observation.stamp {
                None => writer.number(0),
                Some(stamp) => {
                    writer.number(1);
                    stamp.encode(&mut writer);
                    &mut writer
                }
            };
        }
        writer.into_bytes()
    }

    /// Reads what [`encode_all`](Observation::encode_all) wrote.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Observation>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut observations = Vec::new();
        while !reader.is_empty() {
            let path = PathBuf::from(OsStr::from_bytes(reader.bytes()?));
            let state = State::decode(&mut reader)?;
            let stamp = match reader.number()? {
                0 => None,
                1 => Some(Stamp::decode(&mut reader)?),
                _ => return Err(Malformed("stamp")),
            };
            observations.push(Observation { path, state, stamp });
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
