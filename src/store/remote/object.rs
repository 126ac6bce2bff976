//! Objects as they lie in a store beyond this machine: what each is, who says so, and its bytes.
//!
//! An object begins with [`MAGIC`], the length of its head (4 bytes, little-endian) and its head. The public key follows with
//! which it is signed, the signature of all before that, and the body, whose length and BLAKE3 digest the head tells. So
//! what an object claims is known, and who claims it, before the first byte of the body is read.

use std::io::{self, Read};

use crate::model::{Digest, Fields, Key, Malformed, Reader, Writer};

use super::Failure;
use super::pace::Pace;
use super::signing::{PublicKey, SIGNATURE, SigningKey};

/// What an object begins with.
const MAGIC: &[u8; 16] = b"fleche object 1\n";
/// What an object of any version begins with.
const ANY: &[u8] = b"fleche object ";
/// No head is longer, in bytes.
const LONGEST_HEAD: usize = 4 << 10;
/// No body is longer, in bytes: one call with its path set as it may come from strangers, and its smaller values.
pub const LONGEST_BODY: u64 = 48 << 20;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A call with its smaller values.
    Record = b'a',
    /// What is remembered of a command.
    PathSets = b'p',
}

/// What an object says of itself, and its maker signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// The part of the store that it belongs to.
    pub namespace: String,
    /// The digest that it is named after.
    pub at: Digest,
    /// The call's key, if it is one: it may be bound to where its root is, which the name does not tell.
    pub key: Option<Key>,
    /// Nanoseconds that the call took.
    pub wall: u64,
    /// Bytes of the body.
    pub length: u64,
    /// The digest of the body.
    pub digest: Digest,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("kind", &[self.kind as u8]);
        writer.field("namespace", self.namespace.as_bytes());
        writer.field("at", &self.at.0);
        if let Some(key) = &self.key {
            writer.field("key", &key.0.0);
        }
        writer.number_field("wall", self.wall);
        writer.number_field("length", self.length).field("digest", &self.digest.0);
        writer.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Head, Malformed> {
        let (mut kind, mut namespace, mut at, mut key, mut digest) = (None, None, None, None, None);
        let (mut wall, mut length) = (None, None);
        for field in Fields::of(bytes) {
            let (name, value) = field?;
            let digest_of = || Reader::new(value).digest().map(Digest);
            let number = || Reader::new(value).number();
            match name {
                b"kind" => {
                    kind = match value {
                        b"a" => Some(Kind::Record),
                        b"p" => Some(Kind::PathSets),
                        _ => return Err(Malformed("kind")),
                    }
                }
                b"namespace" => {
                    let text = String::from_utf8(value.to_vec()).map_err(|_| Malformed("namespace"))?;
                    namespace = Some(text);
                }
                b"at" => at = Some(digest_of()?),
                b"key" => key = Some(Key(digest_of()?)),
                b"wall" => wall = Some(number()?),
                b"length" => length = Some(number()?),
                b"digest" => digest = Some(digest_of()?),
                _ => {}
            }
        }
        Ok(Head {
            kind: kind.ok_or(Malformed("kind"))?,
            namespace: namespace.ok_or(Malformed("namespace"))?,
            at: at.ok_or(Malformed("at"))?,
            key,
            wall: wall.unwrap_or_default(),
            length: length.ok_or(Malformed("length"))?,
            digest: digest.ok_or(Malformed("digest"))?,
        })
    }
}

/// The bytes of an object.
pub fn seal(head: &Head, body: &[u8], key: &SigningKey) -> Vec<u8> {
    let encoded = head.encode();
    let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + encoded.len() + 32 + SIGNATURE + body.len());
    bytes.extend_from_slice(MAGIC);
    // Names and numbers: some hundred bytes.
    bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&encoded);
    let signature = key.sign(&bytes);
    bytes.extend_from_slice(&key.public().0);
    bytes.extend_from_slice(&signature);
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of a head, read and made anew.
#[cfg(fuzzing)]
pub fn head_again(bytes: &[u8]) -> Option<Vec<u8>> {
    Head::decode(bytes).ok().map(|head| head.encode())
}

/// What is expected of an object.
pub struct Expected<'a> {
    /// What it is.
    pub kind: Kind,
    /// The part of the store in which it was sought.
    pub namespace: &'a str,
    /// What it was sought under.
    pub at: Digest,
    /// Whose signatures are believed.
    pub trusted: &'a [PublicKey],
}

/// Reads what an object says of itself; `object` stands at its body then.
///
/// # Errors
///
/// [`Failure::Wrong`] where it is not what is expected, or nobody who is trusted says so.
pub fn open(object: &mut dyn Read, expected: &Expected) -> Result<Head, Failure> {
    let wrong = |why: &str| Err(Failure::Wrong(why.to_owned()));
    let mut signed = vec![0; MAGIC.len() + 4];
    exactly(object, &mut signed)?;
    let (magic, length) = signed.split_at(MAGIC.len());
    if magic != MAGIC {
        return wrong(if magic.starts_with(ANY) { "a newer fleche wrote it" } else { "it is no object of fleche's" });
    }
    let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > LONGEST_HEAD {
        return wrong("its head is too long");
    }
    let begin = signed.len();
    signed.resize(begin + length, 0);
    exactly(object, &mut signed[begin..])?;
    let (mut key, mut signature) = ([0; 32], [0; SIGNATURE]);
    exactly(object, &mut key)?;
    exactly(object, &mut signature)?;
    let key = PublicKey(key);
    if !expected.trusted.contains(&key) {
        return wrong(&format!("it is signed with the key {}, which is not trusted", Digest(key.0).short()));
    }
    if !key.has_signed(&signed, &signature) {
        return wrong("its signature is wrong");
    }
    let head = Head::decode(&signed[begin..]).map_err(|malformed| Failure::Wrong(malformed.to_string()))?;
    if (head.kind, head.namespace.as_str(), head.at) != (expected.kind, expected.namespace, expected.at) {
        return wrong("it is another object under this name");
    }
    if head.length > LONGEST_BODY {
        return wrong("it is too large");
    }
    Ok(head)
}

/// Reads the body, which is whole and the one that was signed.
///
/// # Errors
///
/// [`Failure::Wrong`] where it is not; [`Failure::Unreachable`] where it cannot be read; [`Failure::Slow`] where that takes too
/// long.
pub fn body(object: &mut dyn Read, head: &Head, pace: &Pace) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let failed = |why| super::pace::failure(&why).unwrap_or_else(|| Failure::of_reading(why));
    // Memory grows with what comes, not with what is claimed.
    pace.reads((&mut *object).take(head.length), Some(head.length)).read_to_end(&mut body).map_err(failed)?;
    // Who has seen the end of an answer can ask for another one on the same connection.
    if matches!(object.read(&mut [0]), Ok(1)) {
        return Err(Failure::Wrong("it is longer than it says".to_owned()));
    }
    if body.len() as u64 != head.length {
        return Err(Failure::Wrong("it is cut short".to_owned()));
    }
    if Digest::of(&body) != head.digest {
        return Err(Failure::Wrong("its digest is wrong".to_owned()));
    }
    Ok(body)
}

/// Fills `bytes`. An object that ends is not a connection that is cut, of which TLS and HTTP tell by an error that is called the
/// same.
fn exactly(object: &mut dyn Read, bytes: &mut [u8]) -> Result<(), Failure> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match object.read(rest) {
            Ok(0) => return Err(Failure::Wrong("it is cut short".to_owned())),
            Ok(read) => rest = &mut rest[read..],
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(Failure::of_reading(why)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"the body of an object";

    fn head() -> Head {
        Head {
            kind: Kind::Record,
            namespace: "main".to_owned(),
            at: Digest::of(b"at"),
            key: Some(Key(Digest::of(b"key"))),
            wall: 7,
            length: BODY.len() as u64,
            digest: Digest::of(BODY),
        }
    }

    fn read(mut bytes: &[u8], expected: &Expected) -> Result<(Head, Vec<u8>), String> {
        let opened =
            open(&mut bytes, expected).and_then(|head| Ok((head.clone(), body(&mut bytes, &head, &Pace::none())?)));
        opened.map_err(|failure| failure.to_string())
    }

    fn expected(trusted: &[PublicKey]) -> Expected<'_> {
        Expected { kind: Kind::Record, namespace: "main", at: Digest::of(b"at"), trusted }
    }

    #[test]
    fn an_object_is_read_as_it_was_made() {
        let (key, _) = SigningKey::generate().unwrap();
        let sealed = seal(&head(), BODY, &key);
        assert_eq!(read(&sealed, &expected(&[key.public()])), Ok((head(), BODY.to_vec())));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told() {
        let (key, _) = SigningKey::generate().unwrap();
        let sealed = seal(&head(), BODY, &key);
        let trusted = [key.public()];
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged, &expected(&trusted)).is_err(), "byte {at}, bit {bit}");
            }
            assert!(read(&sealed[..at], &expected(&trusted)).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn another_object_is_not_taken_for_the_one_that_is_sought() {
        let (key, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let sealed = seal(&head(), BODY, &key);
        let trusted = [key.public()];
        let of = |change: &dyn Fn(&mut Expected)| {
            let mut expected = expected(&trusted);
            change(&mut expected);
            read(&sealed, &expected).unwrap_err()
        };
        let another = "it is another object under this name";
        assert_eq!(of(&|expected| expected.kind = Kind::PathSets), another);
        assert_eq!(of(&|expected| expected.namespace = "pull-request"), another);
        assert_eq!(of(&|expected| expected.at = Digest::of(b"elsewhere")), another);
        assert!(of(&|expected| expected.trusted = &[]).ends_with("which is not trusted"));
        // The key that is trusted, over what another one signed.
        let mut swapped = seal(&head(), BODY, &other);
        let at = swapped.windows(32).position(|bytes| bytes == other.public().0).unwrap();
        swapped[at..at + 32].copy_from_slice(&key.public().0);
        assert_eq!(read(&swapped, &expected(&trusted)).unwrap_err(), "its signature is wrong");
    }

    #[test]
    fn what_is_no_object_and_what_claims_too_much_is_refused() {
        let (key, _) = SigningKey::generate().unwrap();
        let trusted = [key.public()];
        let told = |bytes: &[u8]| read(bytes, &expected(&trusted)).unwrap_err();
        assert_eq!(told(b"<!DOCTYPE html><html><body>Sign in</body></html>"), "it is no object of fleche's");
        assert_eq!(told(b"fleche object 2\nand so on and so on"), "a newer fleche wrote it");
        assert_eq!(told(b"fleche object 1\n\xff\xff\xff\xff"), "its head is too long");
        assert_eq!(told(&seal(&Head { length: LONGEST_BODY + 1, ..head() }, BODY, &key)), "it is too large");
        assert_eq!(told(&seal(&Head { length: LONGEST_BODY, ..head() }, BODY, &key)), "it is cut short");
    }
}
