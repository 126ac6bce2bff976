//! The frame around every small file of the store: what it is, and a digest that proves it whole.
//!
//! `fleche`, a byte for the kind, a byte for the version, BLAKE3 of these eight bytes and the body, the body. The digest
//! comes before the version is believed: a flipped bit is damage, never "a newer fleche".

use crate::model::{Malformed, Room};

const NAME: &[u8; 6] = b"fleche";
/// Raised when an older fleche must not read what follows.
const VERSION: u8 = 1;
/// Bytes before the digest.
pub(super) const HEADER: usize = NAME.len() + 2;
/// Bytes before the body.
pub(super) const FRAME: usize = HEADER + blake3::OUT_LEN;

/// How much a framed file may be and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Its size in bytes.
    pub most: u64,
    /// The memory that what it says may take, in bytes.
    room: usize,
}

impl Bounds {
    /// For the user's own: an input manifest of a million paths has about a hundred million bytes.
    pub const OWN: Bounds = Bounds { most: 256 << 20, room: Room::OWN };
    /// For what others may have written. It must not cost the user's command its memory.
    pub const FOREIGN: Bounds = Bounds { most: 16 << 20, room: Room::FOREIGN };
    /// For a call with its path set in an imported file.
    pub const PARCEL: Bounds = Bounds { most: 32 << 20, room: 2 * Room::FOREIGN };

    /// Memory for one file.
    pub fn room(&self) -> Room {
        Room::of(self.room)
    }
}

/// What is in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Call = b'c',
    PathSets = b'p',
    Stamp = b's',
    Ledger = b'l',
    Inventory = b'i',
    /// A call in an exported file.
    Parcel = b'x',
}

/// Why a frame was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its bytes are not those that were written.
    Damaged(String),
    /// It is whole, and a newer fleche wrote it: to be left alone.
    Newer,
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        if malformed == Malformed::NEWER { Fault::Newer } else { Fault::Damaged(malformed.to_string()) }
    }
}

/// The bytes of a file that holds `body`.
pub(super) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME + body.len());
    bytes.extend_from_slice(NAME);
    bytes.extend_from_slice(&[kind as u8, VERSION]);
    let digest = digest(&bytes, body);
    bytes.extend_from_slice(digest.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body in a file's bytes.
pub(super) fn open(kind: Kind, bytes: &[u8]) -> Result<&[u8], Fault> {
    let damaged = |why: &str| Err(Fault::Damaged(why.to_owned()));
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return damaged("it is cut short") };
    let Some((digest_bytes, body)) = rest.split_first_chunk() else { return damaged("it is cut short") };
    if digest(header, body) != blake3::Hash::from_bytes(*digest_bytes) {
        return damaged("its digest is wrong");
    }
    match header {
        [name @ .., of, version] if name == NAME && *of == kind as u8 => {
            if *version > VERSION {
                Err(Fault::Newer)
            } else {
                Ok(body)
            }
        }
        _ => damaged("it is something else"),
    }
}

fn digest(header: &[u8], body: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(header).update(body).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = seal(Kind::Call, b"body");
        assert_eq!(open(Kind::Call, &whole), Ok(&b"body"[..]));
        for (number, bytes) in crate::store::testing::cuts_and_flips(&whole).enumerate() {
            assert!(matches!(open(Kind::Call, &bytes), Err(Fault::Damaged(_))), "{number}");
        }
    }

    #[test]
    fn another_kind_is_refused() {
        assert!(matches!(open(Kind::Call, &seal(Kind::Stamp, b"")), Err(Fault::Damaged(_))));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = seal(Kind::Call, b"body")[..HEADER].to_vec();
        bytes[HEADER - 1] = VERSION + 1;
        let digest = digest(&bytes, b"other");
        bytes.extend_from_slice(digest.as_bytes());
        bytes.extend_from_slice(b"other");
        assert_eq!(open(Kind::Call, &bytes), Err(Fault::Newer));
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn any_body_comes_back(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealed = seal(Kind::PathSets, &body);
            prop_assert_eq!(open(Kind::PathSets, &sealed), Ok(&body[..]));
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(Kind::Call, &bytes).is_err());
        }
    }
}
