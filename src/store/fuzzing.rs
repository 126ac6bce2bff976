//! Doors to what the store decodes, for fuzz targets alone.

pub use super::remote::fuzzing::{calls_in_object, object, object_body, object_head, packed};

use super::export::Parcel;
use super::frame::{self, Bounds, Kind, Parts};
use super::{catalogue, journal, stamps};
use crate::model::{Event, Malformed, Remembered, Stamp};

/// Every kind of framed file, by its byte.
pub const KINDS: &[u8] = b"cpslix";

fn kind(byte: u8) -> Option<Kind> {
    let all = [Kind::Call, Kind::PathSets, Kind::Stamp, Kind::Ledger, Kind::Inventory, Kind::Parcel];
    all.into_iter().find(|kind| *kind as u8 == byte)
}

/// The body in a framed file of this kind.
pub fn opened(byte: u8, bytes: &[u8]) -> Option<&[u8]> {
    frame::open(kind(byte)?, bytes).ok()
}

/// A framed file of this kind with this body.
pub fn sealed(byte: u8, body: &[u8]) -> Option<Vec<u8>> {
    Some(frame::seal(kind(byte)?, body))
}

/// The body in a framed file of this kind that has one, and the appendix.
pub fn opened_apart(byte: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let Parts { body, appendix } = frame::open_parts(kind(byte)?, bytes).ok()?;
    frame::before_appendix(bytes).map(|_| (body, appendix))
}

/// A framed file of this kind with this body and this appendix.
pub fn sealed_apart(byte: u8, body: &[u8], appendix: &[u8]) -> Option<Vec<u8>> {
    Some(frame::seal_apart(kind(byte)?, body, appendix))
}

/// The event in a line of the journal, which has no newline, and its time in nanoseconds since 1970.
pub fn event(line: &[u8]) -> Option<(i64, Event)> {
    journal::event(line)
}

/// The line of an event, newline included.
pub fn line(time: i64, event: &Event) -> String {
    journal::line(time, event)
}

/// How many fields of a ledger are understood; `None` where it is none.
pub fn ledger(body: &[u8]) -> Option<usize> {
    catalogue::understood(body)
}

/// What a stamp file's body says.
pub fn stamp(body: &[u8]) -> Option<(Stamp, Remembered)> {
    stamps::decode(body).ok()
}

/// The body of a stamp file.
pub fn stamp_bytes(stamp: &Stamp, seen: &Remembered) -> Vec<u8> {
    stamps::encode(stamp, seen)
}

/// A call on its way to another cache.
///
/// # Errors
///
/// [`Malformed`]: it is something else.
pub fn parcel(body: &[u8]) -> Result<Parcel, Malformed> {
    Parcel::decode(body, &mut Bounds::PARCEL.room())
}

/// The bytes of one.
pub fn parcel_bytes(parcel: &Parcel) -> Vec<u8> {
    parcel.encode()
}
