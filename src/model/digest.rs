//! Names made from bytes: values, commands and keys.

use std::fmt;
use std::str::FromStr;

/// Separates keys of calls from every other use of BLAKE3 (`derive_key` context).
const KEY_CONTEXT: &str = "fleche 2026-11 key of a call v1";
/// Separates command digests from every other use of BLAKE3 (`derive_key` context).
const COMMAND_CONTEXT: &str = "fleche 2026-11 digest of a command v1";

/// Characters of a digest that people are shown.
const SHORT: usize = 12;

/// BLAKE3-256 of some bytes; shown as 64 lower-case hex characters, as `b3sum` does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The digest of a command alone; many calls can share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandDigest(pub Digest);

/// The digest of a command and of all that it observed: names exactly one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Digest);

impl Digest {
    /// The name of `bytes` as a value.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of `bytes` under a cache's secret: who does not have that learns nothing from it, not even by guessing.
    pub fn under(secret: &[u8; 32], bytes: &[u8]) -> Digest {
        blake3::keyed_hash(secret, bytes).into()
    }

    /// 64 lower-case hex characters.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// How many hex characters of it are also those of `other`.
    pub fn shared_characters(&self, other: &Digest) -> usize {
        let same = self.0.iter().zip(&other.0).take_while(|(a, b)| a == b).count();
        let half = self.0.get(same).zip(other.0.get(same)).is_some_and(|(a, b)| a >> 4 == b >> 4);
        2 * same + usize::from(half)
    }

    /// The first `length` characters, or twelve where that is more: never fewer than people are used to.
    pub fn shortened(&self, length: usize) -> String {
        let mut hex = self.hex();
        hex.truncate(length.max(SHORT));
        hex
    }

    /// The first twelve characters of [`hex`](Digest::hex), enough for people and accepted as a prefix.
    pub fn short(&self) -> String {
        self.shortened(SHORT)
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = ();

    /// Reads 64 hex characters in either case.
    fn from_str(text: &str) -> Result<Digest, ()> {
        blake3::Hash::from_hex(text.to_ascii_lowercase()).map(Digest::from).map_err(|_| ())
    }
}

impl CommandDigest {
    /// The digest of a command's encoded parts.
    pub fn of_parts(encoded: &[u8]) -> CommandDigest {
        CommandDigest(Digest(blake3::derive_key(COMMAND_CONTEXT, encoded)))
    }
}

impl fmt::Display for CommandDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Key {
    /// The key of a command that made observations of these digests, see [`Observation::digests`](super::Observation::digests).
    ///
    /// `bound_to` is the project root's path, or the name of its folder, when a result holds that, so that another
    /// checkout does not replay it.
    pub fn of(command: &CommandDigest, observations: &[Digest], bound_to: Option<&[u8]>) -> Key {
        KeyBase::of(command, observations).bound_to(bound_to)
    }
}

/// A command and what it observed: what its keys have in common.
#[derive(Clone, Debug)]
pub struct KeyBase(blake3::Hasher);

impl KeyBase {
    /// That of a command that made observations of these digests.
    pub fn of(command: &CommandDigest, observations: &[Digest]) -> KeyBase {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&command.0.0);
        hasher.update(&(observations.len() as u64).to_le_bytes());
        for digest in observations {
            hasher.update(&digest.0);
        }
        KeyBase(hasher)
    }

    /// That of a command that made these observations, in their encoded form: so keys were made up to format 2.
    pub fn of_bytes(command: &CommandDigest, observations: &[u8]) -> KeyBase {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&command.0.0).update(&(observations.len() as u64).to_le_bytes()).update(observations);
        KeyBase(hasher)
    }

    /// The key of the call that is bound to this, see [`Key::of`].
    pub fn bound_to(&self, place: Option<&[u8]>) -> Key {
        let mut hasher = self.0.clone();
        match place {
            None => hasher.update(&[0]),
            Some(place) => hasher.update(&[1]).update(place),
        };
        Key(hasher.finalize().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The beginning of a digest, at least four hex characters, as people type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Fewer characters than this name too much.
    pub const SHORTEST: usize = 4;

    /// Whether `digest` begins with it.
    pub fn begins(&self, digest: &Digest) -> bool {
        digest.hex().starts_with(&self.0)
    }

    /// The characters, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Prefix, String> {
        if text.len() < Prefix::SHORTEST || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("`{text}` is not a digest: {} to 64 hex characters are", Prefix::SHORTEST));
        }
        Ok(Prefix(text.to_ascii_lowercase()))
    }
}

/// A reference to a value: its name, its size in bytes and, where it is small, the bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub length: u64,
    /// The bytes, where the call's own file holds them.
    pub inline: Option<Vec<u8>>,
}

impl Content {
    /// A value held in memory.
    pub fn inline(bytes: Vec<u8>) -> Content {
        Content { digest: Digest::of(&bytes), length: bytes.len() as u64, inline: Some(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_in_either_case() {
        let digest = Digest::of(b"fleche");
        assert_eq!(digest.hex().parse(), Ok(digest));
        assert_eq!(digest.hex().to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn shared_characters_are_those_of_the_hex_form() {
        let digest = |hex: &str| format!("{hex:0<64}").parse::<Digest>().unwrap();
        for (one, other, shared) in [("ab", "b", 0), ("ab", "a", 1), ("abc", "abd", 2), ("abcd", "abce", 3)] {
            assert_eq!(digest(one).shared_characters(&digest(other)), shared, "{one} {other}");
        }
        assert_eq!(digest("ab").shared_characters(&digest("ab")), 64);
    }

    #[test]
    fn a_prefix_has_four_hex_characters() {
        assert_eq!("ABcd".parse::<Prefix>().unwrap().as_str(), "abcd");
        assert!("abc".parse::<Prefix>().is_err());
        assert!("abcg".parse::<Prefix>().is_err());
    }

    #[test]
    fn a_bound_key_is_another_key() {
        let command = CommandDigest::of_parts(b"x");
        assert_ne!(Key::of(&command, &[], None), Key::of(&command, &[], Some(b"/a")));
        assert_ne!(Key::of(&command, &[], Some(b"/b")), Key::of(&command, &[], Some(b"/a")));
        // Nor is what it is bound to one digest more.
        let digest = Digest::of(b"y");
        assert_ne!(Key::of(&command, &[digest], None), Key::of(&command, &[], Some(&digest.0)));
    }
}
