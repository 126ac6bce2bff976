//! Calls in one file, to be carried elsewhere: for caches of CI systems, for backups, for a colleague.
//!
//! A file begins with [`MAGIC`]. Parts follow, each a byte for its kind, its length (8 bytes, little-endian) and its bytes:
//! a call, framed as in the store, then those of its values that were not in the file before, in the order in which the call
//! names them; and so on. The last part is the BLAKE3 digest of all before it, by which a file that was cut short is told. A
//! reader needs to hold one call and no value, and believes nothing: see `reader`.

mod reader;
mod writer;

pub(in crate::store) use reader::Ailing;
pub use reader::{Importer, Verdict};
pub use writer::Exporter;

use crate::model::{Call, Malformed, Observation, Reader, Room, Writer, manifest};

/// What a file begins with.
const MAGIC: &[u8; 16] = b"fleche export 1\n";

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Call = b'c',
    Value = b'v',
    End = b'e',
}

/// More than this is told of no call: parts of its command that have no secret.
const MOST_TOLD: usize = 64;

/// A call on its way to another cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// As it was recorded.
    pub call: Call,
    /// What is remembered of where it looked, if its command has to be found by that.
    pub path_set: Option<Vec<Observation>>,
    /// Parts of the command, by name, and their values: what it takes to run it again, as far as no secret is needed to
    /// tell it.
    pub told: Vec<(String, String)>,
}

impl Parcel {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field("call", &self.call.encode());
        if let Some(observations) = &self.path_set {
            writer.field("path-set", &manifest::encode(observations));
        }
        for (name, value) in &self.told {
            let mut inner = Writer::new();
            inner.bytes(name.as_bytes()).bytes(value.as_bytes());
            writer.field("told", &inner.into_bytes());
        }
        writer.into_bytes()
    }

    pub(super) fn decode(bytes: &[u8], room: &mut Room) -> Result<Parcel, Malformed> {
        let (mut call, mut path_set, mut told) = (None, None, Vec::new());
        for field in crate::model::Fields::of(bytes) {
            let (name, value) = field?;
            let text = |reader: &mut Reader| -> Result<String, Malformed> {
                String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed("told"))
            };
            match name {
                b"call" => call = Some(Call::decode(value, room)?),
                b"path-set" => path_set = Some(manifest::decode(value, room)?),
                b"told" if told.len() == MOST_TOLD => return Err(Malformed::TOO_MUCH),
                b"told" => {
                    let mut reader = Reader::new(value);
                    told.push((text(&mut reader)?, text(&mut reader)?));
                }
                _ => {}
            }
        }
        Ok(Parcel { call: call.ok_or(Malformed("parcel"))?, path_set, told })
    }
}

#[cfg(test)]
mod tests;
