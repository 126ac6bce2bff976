//! Doors to what objects are read with, for fuzz targets alone.

use super::object::{self, Expected, Head, Kind};
use super::{Importer, SigningKey, TOGETHER, unpacked};
use crate::model::{Digest, KeySource};

/// Where the objects are that are read here.
const PLACE: (&str, Digest) = ("main", Digest([9; 32]));

fn key() -> Option<SigningKey> {
    SigningKey::read(&KeySource::Literal("07".repeat(32))).ok()
}

/// The body of a call's object that the one trusted key signed.
pub fn object_body(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let trusted = [key()?.public()];
    let expected = Expected { kind: Kind::Record, namespace: PLACE.0, at: PLACE.1, trusted: &trusted };
    let head = object::open(&mut bytes, &expected).ok()?;
    object::body(&mut bytes, &head, &super::Pace::none()).ok()
}

/// An object of this body that the trusted key signed.
pub fn object(body: &[u8]) -> Option<Vec<u8>> {
    let head = Head {
        kind: Kind::Record,
        namespace: PLACE.0.to_owned(),
        at: PLACE.1,
        key: None,
        wall: 1,
        length: body.len() as u64,
        digest: Digest::of(body),
    };
    Some(object::seal(&head, body, &key()?))
}

/// The bytes of the head that these are, made anew; none where they are no head.
pub fn object_head(bytes: &[u8]) -> Option<Vec<u8>> {
    object::head_again(bytes)
}

/// How many calls are in the body of an object; none where it is no such body.
pub fn calls_in_object(body: &[u8]) -> Option<usize> {
    let mut importer = Importer::begin(unpacked(body, 1 << 20).ok()?, TOGETHER).ok()?;
    let mut calls = 0;
    while importer.next_call().ok()?.is_some() {
        calls += 1;
        importer.pass().ok()?;
    }
    Some(calls)
}

/// What is in an object, compressed as it is there.
pub fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    zstd::encode_all(bytes, super::LEVEL).ok()
}
