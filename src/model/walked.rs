//! What a look went through on its way: folders with their names, and links.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Digest, Malformed, Reader, Stamp, Writer};

/// A folder that was gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Its absolute path; a link to it is followed.
    pub path: PathBuf,
    /// Its stamp from before its names were read, where that proves that it holds the same names as long as it stays the same.
    pub stamp: Option<Stamp>,
    /// The names that it held.
    pub names: Names,
}

/// The names and types in a folder, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    count: u64,
    /// The sum of digests of all of them, cut to 128 bits.
    sum: u128,
}

/// A path that may be a link, and was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its absolute path.
    pub link: PathBuf,
    /// The path to which it led, free of links; `None` where there was nothing.
    pub end: Option<PathBuf>,
    /// Whether that was a folder.
    pub is_folder: bool,
}

impl Names {
    /// Adds a name and its type, by the bits of `st_mode` or 0 where it is not known.
    pub fn add(&mut self, name: &OsStr, kind: u32) {
        let mut writer = Writer::with_capacity(name.len() + 8);
        writer.number(u64::from(kind)).raw(name.as_bytes());
        let digest = Digest::of(&writer.into_bytes());
        let (half, _) = digest.0.split_at(16);
        let half = half.iter().fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
        self.count += 1;
        self.sum = self.sum.wrapping_add(half);
    }
}

impl Walked {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(self.path.as_os_str().as_bytes()).number(self.names.count).raw(&self.names.sum.to_le_bytes());
        if let Some(stamp) = &self.stamp {
            stamp.encode(&mut writer);
        }
        writer.into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Walked, Malformed> {
        let mut reader = Reader::new(bytes);
        let (path, count) = (path(reader.bytes()?), reader.number()?);
        let sum = reader.raw(16)?.try_into().map_err(|_| Malformed("names"))?;
        let stamp = if reader.is_empty() { None } else { Some(Stamp::decode(&mut reader)?) };
        Ok(Walked { path, stamp, names: Names { count, sum: u128::from_le_bytes(sum) } })
    }
}

impl Ended {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(self.link.as_os_str().as_bytes()).number(u64::from(self.is_folder));
        if let Some(end) = &self.end {
            writer.bytes(end.as_os_str().as_bytes());
        }
        writer.into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Ended, Malformed> {
        let mut reader = Reader::new(bytes);
        let (link, is_folder) = (path(reader.bytes()?), reader.number()? == 1);
        let end = if reader.is_empty() { None } else { Some(path(reader.bytes()?)) };
        Ok(Ended { link, end, is_folder })
    }
}

pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[(&str, u32)]) -> Names {
        let mut names = Names::default();
        all.iter().for_each(|(name, kind)| names.add(OsStr::new(name), *kind));
        names
    }

    #[test]
    fn names_are_told_apart_whatever_their_order() {
        assert_eq!(names(&[("a", 1), ("b", 2)]), names(&[("b", 2), ("a", 1)]));
        for other in [&[("a", 1)][..], &[("a", 2), ("b", 1)], &[("a", 1), ("b", 2), ("b", 2)], &[("ab", 3)], &[]] {
            assert_ne!(names(&[("a", 1), ("b", 2)]), names(other), "{other:?}");
        }
    }
}
