//! The one binary form: named, length-prefixed fields, for keys and for files alike.
//!
//! A field is its name and its bytes, each preceded by its length as a LEB128 number, so no two
//! lists of fields share an encoding, and a reader passes over fields that it does not know.
//! Every length is checked against what is left, so hostile bytes cannot ask for memory.

use std::fmt;

/// Bytes that are not what this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// Not malformed but newer than this program: to be left alone.
    pub const NEWER: Malformed = Malformed("format: a newer fleche wrote it");

    /// It says more than there is room for.
    pub const TOO_MUCH: Malformed = Malformed("size: it holds too much");
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// The memory that what is decoded may take, in bytes: few bytes can say a lot, and whoever wrote them may mean harm.
#[derive(Debug)]
pub struct Room(usize);

impl Room {
    /// For what the user's own fleche wrote: millions of paths.
    pub const OWN: usize = 1 << 30;
    /// For what others may have written: a quarter of a million paths.
    pub const FOREIGN: usize = 64 << 20;

    /// So many bytes.
    pub fn of(bytes: usize) -> Room {
        Room(bytes)
    }

    /// Takes the room of one `T` in a list, and of so many bytes that it holds.
    pub(super) fn take<T>(&mut self, bytes: usize) -> Result<(), Malformed> {
        /// What an allocator keeps beside a small block.
        const BESIDE: usize = 16;
        let wanted = bytes.saturating_add(size_of::<T>() + BESIDE);
        self.0 = self.0.checked_sub(wanted).ok_or(Malformed::TOO_MUCH)?;
        Ok(())
    }
}

/// Builds an encoding.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty encoding.
    pub fn new() -> Writer {
        Writer(Vec::new())
    }

    /// An empty encoding with room for `length` bytes.
    pub fn with_capacity(length: usize) -> Writer {
        Writer(Vec::with_capacity(length))
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How much was written, in bytes.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// A named field.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Writer {
        self.bytes(name.as_bytes());
        self.bytes(value)
    }

    /// A named field that holds a number.
    pub fn number_field(&mut self, name: &str, value: u64) -> &mut Writer {
        let mut inner = Writer::new();
        inner.number(value);
        self.field(name, &inner.0)
    }

    /// Bytes preceded by their length.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Writer {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Bytes whose length the reader knows.
    pub fn raw(&mut self, value: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(value);
        self
    }

    /// A LEB128 number.
    pub fn number(&mut self, mut value: u64) -> &mut Writer {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// A signed number, zigzag-coded.
    pub fn signed(&mut self, value: i64) -> &mut Writer {
        self.number(((value << 1) ^ (value >> 63)) as u64)
    }
}

/// Reads an encoding from front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Bytes preceded by their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed("length"))?;
        self.raw(length)
    }

    /// The next `length` bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A LEB128 number; longer forms than needed are refused, so that an encoding is unique.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        // Most are small.
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.raw(1)?[0];
            if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                return Err(Malformed("number"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("number"))
    }

    /// A signed number, zigzag-coded.
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let coded = self.number()?;
        Ok((coded >> 1) as i64 ^ -((coded & 1) as i64))
    }

    /// 32 bytes.
    pub fn digest(&mut self) -> Result<[u8; 32], Malformed> {
        self.raw(32)?.try_into().map_err(|_| Malformed("digest"))
    }
}

/// The named fields of an encoding, in order.
pub struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    /// The fields of `bytes`.
    pub fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields(Reader::new(bytes))
    }

    /// How many bytes a field takes.
    pub fn length(name: &[u8], value: &[u8]) -> usize {
        let number = |length: usize| (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize;
        number(name.len()) + name.len() + number(value.len()) + value.len()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.0.bytes().and_then(|name| Ok((name, self.0.bytes()?)));
        if field.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(field)
    }
}

/// Bytes that must be text.
pub(super) fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn fields_are_read_back(fields in prop::collection::vec(("[a-z]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..9)) {
            let mut writer = Writer::new();
            for (name, value) in &fields {
                writer.field(name, value);
            }
            let encoded = writer.into_bytes();
            let read: Vec<_> = Fields::of(&encoded).map(|f| f.unwrap()).map(|(n, v)| (String::from_utf8(n.into()).unwrap(), v.to_vec())).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn numbers_are_read_back(unsigned: u64, signed: i64) {
            let mut writer = Writer::new();
            writer.number(unsigned).signed(signed);
            let encoded = writer.into_bytes();
            let mut reader = Reader::new(&encoded);
            prop_assert_eq!(reader.number().unwrap(), unsigned);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn two_lists_never_share_an_encoding(a in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4), b in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4)) {
            let encode = |fields: &[(String, String)]| {
                let mut writer = Writer::new();
                for (name, value) in fields {
                    writer.field(name, value.as_bytes());
                }
                writer.into_bytes()
            };
            prop_assert_eq!(encode(&a) == encode(&b), a == b);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }
    }
}
