//! What a look at many declared inputs found, kept so that the next look only compares stamps, as git's index is.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Digest, Fields, Malformed, Observation, Reader, Room, Stamp, Writer, manifest};

/// The observations of one look, with what proves that another one would make them at the same paths.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Which look it was: of which command, where.
    pub identity: Digest,
    /// What holds the blocks; all of its file, where it was read.
    bytes: Vec<u8>,
    /// Where in the bytes each block is.
    blocks: Vec<Range<usize>>,
    /// The folders that were gone through, absolute.
    pub folders: Vec<Walked>,
    /// The links that were met.
    pub links: Vec<Ended>,
}

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

/// A link that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its absolute path.
    pub link: PathBuf,
    /// The path to which it led, without links; `None` where there was nothing.
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

impl Inventory {
    /// So many observations are looked at in one go.
    pub const BLOCK: usize = 256;

    /// The inventory of these `observations`, which must be in key order.
    pub fn of(identity: Digest, observations: &[Observation], folders: Vec<Walked>, links: Vec<Ended>) -> Inventory {
        let (mut bytes, mut blocks) = (Vec::with_capacity(observations.len() * 80), Vec::new());
        for chunk in observations.chunks(Inventory::BLOCK) {
            let start = bytes.len();
            bytes.extend_from_slice(&manifest::encode(chunk));
            blocks.push(start..bytes.len());
        }
        Inventory { identity, bytes, blocks, folders, links }
    }

    /// The observations in key order, [`Inventory::BLOCK`] in each but the last, each block as a [`manifest`] has them.
    pub fn blocks(&self) -> Vec<&[u8]> {
        self.blocks.iter().map(|range| &self.bytes[range.clone()]).collect()
    }

    /// All observations.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also where there are more than there is room for.
    pub fn observations(&self, room: &mut Room) -> Result<Vec<Observation>, Malformed> {
        let mut all = Vec::with_capacity(self.blocks.len() * Inventory::BLOCK);
        for block in self.blocks() {
            all.append(&mut manifest::decode(block, room)?);
        }
        Ok(all)
    }

    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.bytes.len() + self.blocks.len() * 16);
        writer.field("look", &self.identity.0);
        for block in self.blocks() {
            writer.field("block", block);
        }
        for folder in &self.folders {
            writer.field("folder", &folder.encode());
        }
        for link in &self.links {
            writer.field("link", &link.encode());
        }
        writer.into_bytes()
    }

    /// Reads what [`encode`](Inventory::encode) wrote, which begins at `start` in `bytes`; what is in the blocks is read when
    /// they are.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is something else, or holds too much.
    pub fn decode(bytes: Vec<u8>, start: usize, room: &mut Room) -> Result<Inventory, Malformed> {
        let (mut identity, mut blocks, mut folders, mut links) = (None, Vec::new(), Vec::new(), Vec::new());
        let body = bytes.get(start..).ok_or(Malformed("inventory"))?;
        let mut at = start;
        for field in Fields::of(body) {
            let (name, value) = field?;
            at += Fields::length(name, value);
            match name {
                b"look" => identity = Some(Digest(Reader::new(value).digest()?)),
                b"block" => {
                    room.take::<Range<usize>>(value.len())?;
                    blocks.push(at - value.len()..at);
                }
                b"folder" => {
                    room.take::<Walked>(value.len())?;
                    folders.push(Walked::decode(value)?);
                }
                b"link" => {
                    room.take::<Ended>(value.len())?;
                    links.push(Ended::decode(value)?);
                }
                // A newer fleche may prove by more than is known here: all of it must hold.
                _ => return Err(Malformed::NEWER),
            }
        }
        Ok(Inventory { identity: identity.ok_or(Malformed("inventory"))?, bytes, blocks, folders, links })
    }
}

impl PartialEq for Inventory {
    fn eq(&self, other: &Inventory) -> bool {
        let parts = |one: &Inventory| (one.identity, one.folders.clone(), one.links.clone());
        self.blocks() == other.blocks() && parts(self) == parts(other)
    }
}

impl Walked {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(self.path.as_os_str().as_bytes()).number(self.names.count).raw(&self.names.sum.to_le_bytes());
        if let Some(stamp) = &self.stamp {
            stamp.encode(&mut writer);
        }
        writer.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Walked, Malformed> {
        let mut reader = Reader::new(bytes);
        let (path, count) = (path(reader.bytes()?), reader.number()?);
        let sum = reader.raw(16)?.try_into().map_err(|_| Malformed("names"))?;
        let stamp = if reader.is_empty() { None } else { Some(Stamp::decode(&mut reader)?) };
        Ok(Walked { path, stamp, names: Names { count, sum: u128::from_le_bytes(sum) } })
    }
}

impl Ended {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(self.link.as_os_str().as_bytes()).number(u64::from(self.is_folder));
        if let Some(end) = &self.end {
            writer.bytes(end.as_os_str().as_bytes());
        }
        writer.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Ended, Malformed> {
        let mut reader = Reader::new(bytes);
        let (link, is_folder) = (path(reader.bytes()?), reader.number()? == 1);
        let end = if reader.is_empty() { None } else { Some(path(reader.bytes()?)) };
        Ok(Ended { link, end, is_folder })
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facet, State};

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

    #[test]
    fn an_inventory_comes_back_and_takes_no_more_than_its_room() {
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: -4, changed: 5, mode: 0o100_644 };
        let seen = |number: usize| Observation {
            path: format!("src/{number:04}").into(),
            facet: Facet::Whole,
            state: State::File { mode: 0o644, digest: Digest::of(&[1]) },
            stamp: (!number.is_multiple_of(3)).then_some(stamp),
        };
        let all: Vec<Observation> = (0..2 * Inventory::BLOCK + 1).map(seen).collect();
        let folder = |stamp| Walked { path: "/r/src".into(), stamp, names: names(&[("a", 1)]) };
        let link = |end| Ended { link: "/r/l".into(), end, is_folder: true };
        let (folders, links) = (vec![folder(Some(stamp)), folder(None)], vec![link(None), link(Some("/".into()))]);
        let inventory = Inventory::of(Digest::of(b"look"), &all, folders, links);
        assert_eq!(inventory.blocks().len(), 3);
        let bytes = inventory.encode();
        let read = |bytes: &[u8], room| Inventory::decode([b"head", bytes].concat(), 4, &mut Room::of(room));
        assert_eq!(read(&bytes, Room::OWN), Ok(inventory.clone()));
        assert_eq!(inventory.observations(&mut Room::of(Room::OWN)), Ok(all));
        assert_eq!(read(&bytes, bytes.len() / 2), Err(Malformed::TOO_MUCH));
        assert_eq!(inventory.observations(&mut Room::of(1000)), Err(Malformed::TOO_MUCH));
        // What else must hold is not known.
        let mut writer = Writer::new();
        writer.raw(&bytes).field("more", b"");
        assert_eq!(read(&writer.into_bytes(), Room::OWN), Err(Malformed::NEWER));
        assert_eq!(read(b"", Room::OWN), Err(Malformed("inventory")));
        assert_eq!(Inventory::decode(bytes, usize::MAX, &mut Room::of(Room::OWN)), Err(Malformed("inventory")));
    }
}
