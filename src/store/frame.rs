//! The frame around every small file of the store: what it is, and a digest that proves it whole.
//!
//! `fleche`, a byte for the kind, a byte for the version, BLAKE3 of these eight bytes and all that follows. The digest comes
//! before the version is believed: a flipped bit is damage, never "a newer fleche".
//!
//! What follows is the body or, in version 2, the length of the body as eight bytes, the body, and an appendix. The digest does
//! not cover the appendix, so that who needs the body alone reads nothing else; the body must say what proves the appendix.

use crate::model::{Malformed, Room};

const NAME: &[u8; 6] = b"fleche";
/// The body is all.
const PLAIN: u8 = 1;
/// An appendix follows the body. The highest version that is known: an older fleche must not read a higher one.
const APPENDED: u8 = 2;
/// Bytes before the digest.
pub(super) const HEADER: usize = NAME.len() + 2;
/// Bytes before a body without an appendix.
pub(super) const FRAME: usize = HEADER + blake3::OUT_LEN;
/// Bytes of the length of a body that has one.
const LENGTH: usize = size_of::<u64>();

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

/// What is in a whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What the digest covers.
    pub body: &'a [u8],
    /// What the body must prove.
    pub appendix: &'a [u8],
}

/// The bytes of a file that holds `body`.
pub(super) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME + body.len());
    bytes.extend_from_slice(&header(kind, PLAIN));
    let digest = digest(&bytes, &[], body);
    bytes.extend_from_slice(digest.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of a file that holds `body` and, to be read apart from it, an `appendix`.
pub(super) fn seal_apart(kind: Kind, body: &[u8], appendix: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(FRAME + LENGTH + body.len() + appendix.len());
    bytes.extend_from_slice(&header(kind, APPENDED));
    let digest = digest(&bytes, &length, body);
    bytes.extend_from_slice(digest.as_bytes());
    for part in [&length, body, appendix] {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn header(kind: Kind, version: u8) -> [u8; HEADER] {
    let mut header = [kind as u8; HEADER];
    header[..NAME.len()].copy_from_slice(NAME);
    header[HEADER - 1] = version;
    header
}

/// The body in the bytes of a file that has no appendix.
pub(super) fn open(kind: Kind, bytes: &[u8]) -> Result<&[u8], Fault> {
    match (open_parts(kind, bytes)?, before_appendix(bytes)) {
        (Parts { body, .. }, None) => Ok(body),
        _ => Err(Fault::Damaged("it has an appendix".to_owned())),
    }
}

/// The body in a file's bytes, of whose appendix a part may be missing, and that.
pub(super) fn open_parts(kind: Kind, bytes: &[u8]) -> Result<Parts<'_>, Fault> {
    let damaged = |why: &str| Err(Fault::Damaged(why.to_owned()));
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return damaged("it is cut short") };
    let Some((claimed, rest)) = rest.split_first_chunk() else { return damaged("it is cut short") };
    let claimed = blake3::Hash::from_bytes(*claimed);
    let version = header[HEADER - 1];
    let apart = split(rest).filter(|(length, parts)| digest(header, *length, parts.body) == claimed);
    let parts = match apart {
        Some((_, parts)) if version != PLAIN => parts,
        _ if version != APPENDED && digest(header, &[], rest) == claimed => Parts { body: rest, appendix: &[] },
        _ => return damaged("its digest is wrong"),
    };
    match header {
        [name @ .., of, _] if name == NAME && *of == kind as u8 => match version {
            PLAIN | APPENDED => Ok(parts),
            0 => damaged("it is something else"),
            _ => Err(Fault::Newer),
        },
        _ => damaged("it is something else"),
    }
}

/// What follows the digest in version 2: length, body and appendix.
fn split(rest: &[u8]) -> Option<(&[u8; LENGTH], Parts<'_>)> {
    let (length, rest) = rest.split_first_chunk()?;
    let (body, appendix) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((length, Parts { body, appendix }))
}

/// How many bytes of a file that begins with `bytes` are before its appendix; `None` where it is not known to have one.
pub(super) fn before_appendix(bytes: &[u8]) -> Option<u64> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let length = rest.get(blake3::OUT_LEN..)?.first_chunk()?;
    let is_apart = header.starts_with(NAME) && header[HEADER - 1] == APPENDED;
    is_apart.then(|| u64::from_le_bytes(*length).saturating_add((FRAME + LENGTH) as u64))
}

fn digest(header: &[u8], length: &[u8], body: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(header).update(length).update(body).finalize()
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
    fn what_flips_or_is_cut_before_an_appendix_is_seen_and_the_appendix_is_for_the_body_to_prove() {
        let whole = seal_apart(Kind::Call, b"body", b"appendix");
        assert_eq!(open_parts(Kind::Call, &whole), Ok(Parts { body: b"body", appendix: b"appendix" }));
        for appended in [&whole, &seal_apart(Kind::Call, b"body", b"")] {
            assert_eq!(open(Kind::Call, appended), Err(Fault::Damaged("it has an appendix".to_owned())));
        }
        let body = before_appendix(&whole).unwrap() as usize;
        assert_eq!(&whole[body..], b"appendix");
        for (number, bytes) in crate::store::testing::cuts_and_flips(&whole).enumerate() {
            match open_parts(Kind::Call, &bytes) {
                Ok(parts) => assert!(parts.body == b"body" && whole[..body] == bytes[..body], "{number}"),
                fault => {
                    assert!(matches!(fault, Err(Fault::Damaged(_))) && whole[..body] != bytes[..body.min(bytes.len())])
                }
            }
        }
        for end in 0..=FRAME + LENGTH {
            let known = (end == FRAME + LENGTH).then_some(body as u64);
            assert_eq!(before_appendix(&whole[..end]), known, "{end}");
        }
        assert_eq!(before_appendix(&seal(Kind::Call, &[1; 100])), None);
        let mut endless = whole;
        endless[FRAME..FRAME + LENGTH].fill(0xff);
        assert_eq!(before_appendix(&endless), Some(u64::MAX));
        assert!(open_parts(Kind::Call, &endless).is_err());
    }

    #[test]
    fn another_kind_is_refused() {
        for sealed in [seal(Kind::Stamp, b""), seal_apart(Kind::Stamp, b"", b"")] {
            assert!(matches!(open_parts(Kind::Call, &sealed), Err(Fault::Damaged(_))));
            assert!(open_parts(Kind::Stamp, &sealed).is_ok());
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage_be_there_an_appendix_or_not() {
        for (version, fault) in [(0, "it is something else"), (APPENDED + 1, ""), (255, "")] {
            for length in [&b""[..], &5_u64.to_le_bytes()] {
                let mut bytes = header(Kind::Call, version).to_vec();
                let digest = digest(&bytes, length, b"other");
                bytes.extend_from_slice(digest.as_bytes());
                bytes.extend_from_slice(length);
                bytes.extend_from_slice(b"other");
                if !length.is_empty() {
                    bytes.extend_from_slice(b"appendix");
                }
                let expected = if fault.is_empty() { Fault::Newer } else { Fault::Damaged(fault.to_owned()) };
                assert_eq!(open_parts(Kind::Call, &bytes), Err(expected), "{version}");
            }
        }
        // The one form under the other's version.
        for (version, length) in [(PLAIN, &5_u64.to_le_bytes()[..]), (APPENDED, &b""[..])] {
            let mut bytes = header(Kind::Call, version).to_vec();
            let digest = digest(&bytes, length, b"other");
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend_from_slice(length);
            bytes.extend_from_slice(b"other");
            if version == PLAIN {
                bytes.extend_from_slice(b"appendix");
            }
            assert!(matches!(open_parts(Kind::Call, &bytes), Err(Fault::Damaged(_))), "{version}");
        }
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn any_body_comes_back(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealed = seal(Kind::PathSets, &body);
            prop_assert_eq!(open(Kind::PathSets, &sealed), Ok(&body[..]));
            let (head, appendix) = body.split_at(body.len() / 3);
            let sealed = seal_apart(Kind::Call, head, appendix);
            prop_assert_eq!(open_parts(Kind::Call, &sealed), Ok(Parts { body: head, appendix }));
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open_parts(Kind::Call, &bytes).is_err());
        }
    }
}
