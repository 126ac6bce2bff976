//! The paths that a command looked at, remembered under its command digest.

use super::{CommandDigest, Digest, Fields, Key, Malformed, Observation, Reader, Writer};

/// One set of paths, with what was seen there last and the call that saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSet {
    /// The call that was recorded with these observations.
    pub key: Key,
    /// The paths in key order, with the states and stamps of that call.
    pub observations: Vec<Observation>,
}

/// What is remembered of a command digest: path sets, the most recent first, and all its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSets {
    /// The command that they belong to.
    pub command: CommandDigest,
    /// At most [`PathSets::MOST`] sets with different paths, the most recent first.
    pub sets: Vec<PathSet>,
    /// Keys of calls recorded under this digest, the most recent first; at most [`PathSets::MOST_KEYS`].
    /// They tell which files a former call of this command made.
    pub keys: Vec<Key>,
}

impl PathSets {
    /// More sets than this under one command digest are forgotten, the oldest first.
    pub const MOST: usize = 16;
    /// More keys than this are forgotten, the oldest first.
    pub const MOST_KEYS: usize = 256;

    /// Nothing yet.
    pub fn new(command: CommandDigest) -> PathSets {
        PathSets { command, sets: Vec::new(), keys: Vec::new() }
    }

    /// Puts `set` in front and forgets the set with the same paths, if there was one.
    pub fn insert(&mut self, set: PathSet) {
        self.keys.retain(|key| *key != set.key);
        self.keys.insert(0, set.key);
        self.keys.truncate(PathSets::MOST_KEYS);
        self.sets.retain(|old| !old.observations.iter().map(|o| &o.path).eq(set.observations.iter().map(|o| &o.path)));
        self.sets.insert(0, set);
        self.sets.truncate(PathSets::MOST);
    }

    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("command", &self.command.0.0);
        for set in &self.sets {
            let mut inner = Writer::new();
            inner.raw(&set.key.0.0).raw(&Observation::encode_all(&set.observations));
            writer.field("set", &inner.into_bytes());
        }
        for key in &self.keys {
            writer.field("key", &key.0.0);
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](PathSets::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<PathSets, Malformed> {
        let mut command = None;
        let (mut sets, mut keys) = (Vec::new(), Vec::new());
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            let mut reader = Reader::new(value);
            match name {
                b"command" => command = Some(CommandDigest(Digest(reader.digest()?))),
                b"set" => {
                    let key = Key(Digest(reader.digest()?));
                    sets.push(PathSet { key, observations: Observation::decode_all(reader.rest())? });
                }
                b"key" => keys.push(Key(Digest(reader.digest()?))),
                _ => {}
            }
        }
        Ok(PathSets { command: command.ok_or(Malformed("path sets"))?, sets, keys })
    }
}
