//! Who put an object there: Ed25519 keys, and the files that hold them.
//!
//! A file holds a key as 64 hexadecimal digits on a line of its own; empty lines and lines that begin with `#` say nothing.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustix::fs::OFlags;

use crate::error::Error;
use crate::model::{Digest, KeySource};
use crate::sys::plain;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;
/// No file of a key is larger, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// A key by which objects are recognised as somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A key that objects are signed with.
pub struct SigningKey(Ed25519KeyPair);

impl PublicKey {
    /// The key that is there.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn read(source: &KeySource) -> Result<PublicKey, Error> {
        read(source, "public").map(PublicKey)
    }

    /// Whether who has the other half of it signed `message`.
    pub fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

impl SigningKey {
    /// The key that is there.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn read(source: &KeySource) -> Result<SigningKey, Error> {
        SigningKey::of_seed(&read(source, "secret")?)
    }

    /// A key that nobody has, with the digits that its file is to hold.
    ///
    /// # Errors
    ///
    /// Where the system has no random bytes.
    pub fn generate() -> Result<(SigningKey, String), Error> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| Error::failure("the system has no random bytes"))?;
        Ok((SigningKey::of_seed(&seed)?, Digest(seed).to_string()))
    }

    fn of_seed(seed: &[u8; 32]) -> Result<SigningKey, Error> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(SigningKey).map_err(|_| Error::failure("this is no secret key"))
    }

    /// The half of it that others know.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        let mut bytes = [0; SIGNATURE];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        bytes
    }
}

fn read(source: &KeySource, which: &str) -> Result<[u8; 32], Error> {
    match source {
        // Not shown: it may be a secret.
        KeySource::Literal(text) => key_in(text).ok_or_else(|| no_key(which)),
        KeySource::Nowhere(word) => Err(Error::failure(format!("where the {which} key `{word}` is, nobody can tell"))),
        KeySource::File(path) => {
            let of_file = || format!("cannot read the {which} key in `{}`", path.display());
            let not_read = |why| Error::failure(of_file()).because(why);
            let found = plain::open(path, OFlags::empty()).map_err(not_read)?;
            let bytes = found.map(|file| plain::up_to(LARGEST_FILE, file)).transpose().map_err(not_read)?.flatten();
            let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| key_in(&text));
            key.ok_or_else(|| Error::failure(of_file()).because(no_key(which)))
        }
    }
}

/// The one key in a text, beside comments: a file, or what somebody made a variable of.
fn key_in(text: &str) -> Option<[u8; 32]> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = Digest::from_str(lines.next()?).ok()?;
    lines.next().is_none().then_some(key.0)
}

fn no_key(which: &str) -> Error {
    Error::failure(format!("a {which} key is 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_recognised_and_nothing_else() {
        let (key, seed) = SigningKey::generate().unwrap();
        let again = SigningKey::read(&KeySource::Literal(seed.clone())).unwrap();
        assert_eq!(key.public(), again.public());
        let signature = key.sign(b"message");
        assert!(key.public().has_signed(b"message", &signature));
        assert!(!key.public().has_signed(b"massage", &signature));
        let mut other = signature;
        other[7] ^= 1;
        assert!(!key.public().has_signed(b"message", &other));
        assert!(!SigningKey::generate().unwrap().0.public().has_signed(b"message", &signature));
        assert_ne!(key.public().to_string(), seed);
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let key = SigningKey::read(&KeySource::Literal(seed.to_owned())).unwrap();
        assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.sign(&[0x72])[..4], [0x92, 0xa0, 0x09, 0xa9]);
    }

    #[test]
    fn files_hold_one_key_and_comments() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            PublicKey::read(&KeySource::File(file.clone())).ok()
        };
        let key = "ab".repeat(32);
        let expected = Some(PublicKey([0xab; 32]));
        assert_eq!([read(&key), read(&format!("# of the build machines\n\n {key} \n"))], [expected; 2]);
        assert_eq!(
            [
                read(""),
                read("# nothing\n"),
                read(&key[..63]),
                read(&format!("{key}\n{key}\n")),
                read(&"x".repeat(70_000))
            ],
            [None; 5]
        );
        assert!(PublicKey::read(&KeySource::File(folder.path().to_owned())).is_err());
        assert!(PublicKey::read(&KeySource::File(folder.path().join("missing"))).is_err());
    }
}
