//! What a look at many declared inputs found, kept so that the next look only compares stamps, as git's index is.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Digest, Fields, Malformed, Observation, Reader, Room, Stamp, State, Writer};

/// The observations of one look, with what proves that another one would make them at the same paths.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Which look it was: of which command, where.
    pub identity: Digest,
    /// What holds the blocks.
    shelf: Arc<dyn Shelf>,
    blocks: Vec<Extent>,
    /// The folders that were gone through, absolute.
    pub folders: Vec<Walked>,
    /// The links that were met, and the folders that are left out, which may be behind links.
    pub links: Vec<Ended>,
}

/// What holds the blocks of an inventory: memory, or a file of which each is read when it is needed.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// The bytes of a range, which are in `buffer` then where they are not in memory; `None` where they cannot be read.
    fn bytes<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]>;
}

impl Shelf for Vec<u8> {
    fn bytes<'a>(&'a self, range: Range<u64>, _buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        self.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }
}

/// Where a block is, and what proves it.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    /// Bytes of its stamps, which come first, and of its observations.
    stamps: u64,
    observed: u64,
    stamps_digest: Digest,
    /// As in keys, see [`Observation::digests`].
    observed_digest: Digest,
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

/// Some of the observations of an inventory, all of whole paths: those that have a digest of their own in a key.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// The devices on which files with stamps are, 8 bytes each.
    devices: &'a [u8],
    stamps: &'a [u8],
    /// The observations, as a key has them.
    pub observed: &'a [u8],
}

/// An observation in a block.
pub struct Coded<'a> {
    /// Its path as a key has it.
    pub path: &'a [u8],
    /// What was there.
    pub state: State,
    /// As in an [`Observation`].
    pub stamp: Option<Stamp>,
    /// Where it is in what the block observed.
    pub range: Range<usize>,
}

impl Inventory {
    /// The inventory of these `observations`, which must be in key order, and of whole paths.
    pub fn of(identity: Digest, observations: &[Observation], folders: Vec<Walked>, links: Vec<Ended>) -> Inventory {
        let (mut bytes, mut blocks) = (Vec::with_capacity(observations.len() * 100), Vec::new());
        for group in observations.chunks(Observation::GROUP) {
            let start = bytes.len() as u64;
            let (stamps, observed) = (Block::encode_stamps(group), Observation::key_bytes(group));
            for part in [&stamps, &observed] {
                bytes.extend_from_slice(part);
            }
            blocks.push(Extent {
                start,
                stamps: stamps.len() as u64,
                observed: observed.len() as u64,
                stamps_digest: Digest::of(&stamps),
                observed_digest: Digest::of(&observed),
            });
        }
        Inventory { identity, shelf: Arc::new(bytes), blocks, folders, links }
    }

    /// The numbers of the blocks, whose observations follow one another in key order.
    pub fn blocks(&self) -> Range<usize> {
        0..self.blocks.len()
    }

    /// A block, which is in `buffer` then where it is not in memory.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is not what was written.
    pub fn block<'a>(&'a self, number: usize, buffer: &'a mut Vec<u8>) -> Result<Block<'a>, Malformed> {
        const DAMAGED: Malformed = Malformed("inventory: it is damaged");
        let extent = self.blocks.get(number).ok_or(Malformed("inventory"))?;
        let bytes = self.shelf.bytes(extent.start..extent.end(), buffer).ok_or(DAMAGED)?;
        let stamps = usize::try_from(extent.stamps).map_err(|_| DAMAGED)?;
        let (stamps, observed) = bytes.split_at_checked(stamps).ok_or(DAMAGED)?;
        let is_whole = Digest::of(stamps) == extent.stamps_digest && Digest::of(observed) == extent.observed_digest;
        if is_whole { Block::decode(stamps, observed) } else { Err(DAMAGED) }
    }

    /// The digest that a key has of a block's observations.
    pub fn digest(&self, number: usize) -> Option<Digest> {
        self.blocks.get(number).map(|extent| extent.observed_digest)
    }

    /// All observations.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also where there are more than there is room for.
    pub fn observations(&self, room: &mut Room) -> Result<Vec<Observation>, Malformed> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        for number in self.blocks() {
            let mut fits = Ok(());
            let _ = self.block(number, &mut buffer)?.read(&mut |seen| {
                fits = room.take::<Observation>(seen.range.len());
                let path = path(seen.path);
                all.push(Observation { path, facet: super::Facet::Whole, state: seen.state, stamp: seen.stamp });
                if fits.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            fits?;
        }
        Ok(all)
    }

    /// The bytes of its file: what proves all, and the blocks. One that cannot be read is missing, as what proves it tells.
    pub fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut writer, mut blocks, mut buffer) = (Writer::new(), Vec::new(), Vec::new());
        writer.field("look", &self.identity.0);
        for extent in &self.blocks {
            let mut inner = Writer::new();
            inner.raw(&extent.stamps_digest.0).raw(&extent.observed_digest.0);
            inner.number(extent.stamps).number(extent.observed);
            writer.field("block", &inner.into_bytes());
            blocks.extend_from_slice(self.shelf.bytes(extent.start..extent.end(), &mut buffer).unwrap_or_default());
        }
        for folder in &self.folders {
            writer.field("folder", &folder.encode());
        }
        for link in &self.links {
            writer.field("link", &link.encode());
        }
        (writer.into_bytes(), blocks)
    }

    /// Reads what [`encode`](Inventory::encode) wrote: what proves all is `body`, and the blocks fill a range of a shelf. What is
    /// in those is proven and read when they are.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is something else, or holds too much.
    pub fn decode(
        body: &[u8],
        shelf: Arc<dyn Shelf>,
        range: Range<u64>,
        room: &mut Room,
    ) -> Result<Inventory, Malformed> {
        let (mut identity, mut blocks, mut folders, mut links) = (None, Vec::new(), Vec::new(), Vec::new());
        let mut end = range.start;
        for field in Fields::of(body) {
            let (name, value) = field?;
            let mut reader = Reader::new(value);
            match name {
                b"look" => identity = Some(Digest(reader.digest()?)),
                b"block" => {
                    room.take::<Extent>(value.len())?;
                    let (stamps_digest, observed_digest) = (Digest(reader.digest()?), Digest(reader.digest()?));
                    let (stamps, observed) = (reader.number()?, reader.number()?);
                    let extent = Extent { start: end, stamps, observed, stamps_digest, observed_digest };
                    let sum = end.checked_add(stamps).and_then(|sum| sum.checked_add(observed));
                    end = sum.filter(|end| *end <= range.end).ok_or(Malformed("inventory"))?;
                    blocks.push(extent);
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
        Ok(Inventory { identity: identity.ok_or(Malformed("inventory"))?, shelf, blocks, folders, links })
    }
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.stamps + self.observed
    }
}

impl<'a> Block<'a> {
    /// Bytes of a stamp: inode, size, both times, the mode and the number of the device. All are zero where there is none.
    const STAMP: usize = 36;

    fn encode_stamps(observations: &[Observation]) -> Vec<u8> {
        let stamps = || observations.iter().map(|seen| seen.stamp);
        let devices: BTreeSet<u64> = stamps().flatten().map(|stamp| stamp.device).collect();
        let mut bytes = Vec::with_capacity(16 + devices.len() * 8 + observations.len() * Block::STAMP);
        for number in [devices.len() as u64, observations.len() as u64].iter().chain(&devices) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for stamp in stamps() {
            let none = Stamp { device: 0, inode: 0, size: 0, modified: 0, changed: 0, mode: 0 };
            let Stamp { device, inode, size, modified, changed, mode } = stamp.unwrap_or(none);
            for number in [inode, size, modified as u64, changed as u64] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            // Fewer devices than observations, and no more bits than these in a mode.
            let device = devices.range(..device).count() as u16;
            bytes.extend_from_slice(&(mode as u16).to_le_bytes());
            bytes.extend_from_slice(&device.to_le_bytes());
        }
        bytes
    }

    /// The block of these stamps, in their coded form, and observations; both are read when they are gone through.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(stamps: &'a [u8], observed: &'a [u8]) -> Result<Block<'a>, Malformed> {
        let number =
            |bytes: &'a [u8]| bytes.split_first_chunk().map(|(number, rest)| (u64::from_le_bytes(*number), rest));
        let parts = number(stamps).and_then(|(devices, rest)| {
            let (count, rest) = number(rest)?;
            let (devices, stamps) = rest.split_at_checked(usize::try_from(devices).ok()?.checked_mul(8)?)?;
            let length = usize::try_from(count).ok()?.checked_mul(Block::STAMP)?;
            (stamps.len() == length).then_some(Block { devices, stamps, observed })
        });
        parts.ok_or(Malformed("inventory"))
    }

    /// How many observations it holds.
    pub fn count(&self) -> usize {
        self.stamps.len() / Block::STAMP
    }

    /// Gives `take` one observation after the other, for as long as it says so.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also where anything else than a whole path was observed.
    pub fn read(&self, take: &mut dyn FnMut(Coded) -> ControlFlow<()>) -> Result<ControlFlow<()>, Malformed> {
        let mut reader = Reader::new(self.observed);
        let at = |reader: &Reader| self.observed.len() - reader.rest().len();
        for stamp in self.stamps.chunks_exact(Block::STAMP) {
            let start = at(&reader);
            let path = reader.bytes()?;
            let state = State::decode(&mut reader)?;
            let seen = Coded { path, state, stamp: self.stamp(stamp), range: start..at(&reader) };
            if take(seen).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if reader.is_empty() { Ok(ControlFlow::Continue(())) } else { Err(Malformed("inventory")) }
    }

    fn stamp(&self, bytes: &[u8]) -> Option<Stamp> {
        let (numbers, rest) = bytes.as_chunks();
        let ([inode, size, modified, changed], &[a, b, c, d]) = (numbers, rest) else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let (mode, device) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let device = self.devices.as_chunks().0.get(usize::from(device)).map(number);
        let (modified, changed) = (number(modified) as i64, number(changed) as i64);
        // Whatever has a stamp has a type.
        let device = device.filter(|_| mode != 0)?;
        Some(Stamp { device, inode: number(inode), size: number(size), modified, changed, mode: u32::from(mode) })
    }
}

impl PartialEq for Inventory {
    fn eq(&self, other: &Inventory) -> bool {
        self.encode() == other.encode()
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
        let all: Vec<Observation> = (0..2 * Observation::GROUP + 1).map(seen).collect();
        let folder = |stamp| Walked { path: "/r/src".into(), stamp, names: names(&[("a", 1)]) };
        let link = |end| Ended { link: "/r/l".into(), end, is_folder: true };
        let (folders, links) = (vec![folder(Some(stamp)), folder(None)], vec![link(None), link(Some("/".into()))]);
        let inventory = Inventory::of(Digest::of(b"look"), &all, folders, links);
        assert_eq!(inventory.blocks(), 0..3);
        let (body, blocks) = inventory.encode();
        let read = |body: &[u8], blocks: &[u8], room| {
            let shelf = [b"head", blocks].concat();
            let end = shelf.len() as u64;
            Inventory::decode(body, Arc::new(shelf), 4..end, &mut Room::of(room))
        };
        let decoded = read(&body, &blocks, Room::OWN).unwrap();
        assert_eq!(decoded, inventory);
        for inventory in [&inventory, &decoded] {
            assert_eq!(inventory.observations(&mut Room::of(Room::OWN)).as_ref(), Ok(&all));
            assert_eq!(inventory.observations(&mut Room::of(1000)), Err(Malformed::TOO_MUCH));
            let digests = inventory.blocks().map(|number| inventory.digest(number).unwrap());
            assert_eq!(digests.collect::<Vec<Digest>>(), Observation::digests(&all));
            assert_eq!(inventory.block(2, &mut Vec::new()).map(|block| block.count()).ok(), Some(1));
            assert!(inventory.block(3, &mut Vec::new()).is_err() && inventory.digest(3).is_none());
        }
        assert_eq!(read(&body, &blocks, body.len() / 2), Err(Malformed::TOO_MUCH));
        assert_eq!(read(&body, &blocks[1..], Room::OWN), Err(Malformed("inventory")));
        for at in [0, 8, 100, blocks.len() / 2, blocks.len() - 1] {
            let mut flipped = blocks.clone();
            flipped[at] ^= 1;
            let flipped = read(&body, &flipped, Room::OWN).unwrap();
            assert_eq!(flipped.observations(&mut Room::of(Room::OWN)), Err(Malformed("inventory: it is damaged")));
            assert_eq!(flipped.blocks().filter(|number| flipped.block(*number, &mut Vec::new()).is_err()).count(), 1);
        }
        // What else must hold is not known.
        let mut writer = Writer::new();
        writer.raw(&body).field("more", b"");
        assert_eq!(read(&writer.into_bytes(), &blocks, Room::OWN), Err(Malformed::NEWER));
        assert_eq!(read(b"", &blocks, Room::OWN), Err(Malformed("inventory")));
        for outside in [u64::MAX..u64::MAX, 0..0] {
            let read = Inventory::decode(&body, Arc::new(blocks.clone()), outside, &mut Room::of(Room::OWN));
            assert_eq!(read, Err(Malformed("inventory")));
        }
        // What the shelf does not have.
        let read = Inventory::decode(&body, Arc::new(Vec::new()), 0..u64::MAX, &mut Room::of(Room::OWN)).unwrap();
        assert_eq!(read.observations(&mut Room::of(Room::OWN)), Err(Malformed("inventory: it is damaged")));
    }

    #[test]
    fn stamps_keep_their_devices() {
        let seen = |device: Option<u64>| Observation {
            path: "f".into(),
            facet: Facet::Whole,
            state: State::Absent,
            stamp: device.map(|device| Stamp { device, inode: 1, size: 0, modified: -1, changed: i64::MIN, mode: 1 }),
        };
        for devices in [&[None, Some(1), None, Some(1)][..], &[Some(1), None, Some(2), Some(1), Some(1)], &[None], &[]]
        {
            let all: Vec<Observation> = devices.iter().map(|device| seen(*device)).collect();
            let inventory = Inventory::of(Digest::of(b"look"), &all, Vec::new(), Vec::new());
            assert_eq!(inventory.observations(&mut Room::of(Room::OWN)), Ok(all), "{devices:?}");
        }
    }

    #[test]
    fn a_block_that_says_more_than_it_holds_is_malformed() {
        let coded = |devices: u64, count: u64, length: usize| {
            let mut bytes = [devices.to_le_bytes(), count.to_le_bytes()].concat();
            bytes.resize(16 + length, 0);
            bytes
        };
        // An empty path, at which nothing is.
        let read =
            |stamps: &[u8], observed: &[u8]| Block::decode(stamps, observed)?.read(&mut |_| ControlFlow::Continue(()));
        let two = 2 * Block::STAMP;
        for (devices, length) in [(0, two), (1, 8 + two)] {
            let stamps = coded(devices, 2, length);
            assert_eq!(read(&stamps, &[0; 4]), Ok(ControlFlow::Continue(())));
            assert!(read(&stamps, &[0; 3]).is_err() && read(&stamps, &[0; 5]).is_err());
        }
        let most = u64::MAX;
        for (devices, count, length) in [(0, most, two), (most, 2, two), (0, 2, two - 1), (0, 2, two + 1), (1, 2, two)]
        {
            assert!(read(&coded(devices, count, length), &[0; 4]).is_err(), "{devices} {count} {length}");
        }
        assert!(read(&[0; 15], &[]).is_err());
        // A stamp of a device that is not told of is none.
        let mut stamps = coded(0, 1, Block::STAMP);
        stamps[16 + 32] = 1;
        let mut seen = Vec::new();
        let _ = Block::decode(&stamps, &[0; 2]).unwrap().read(&mut |one| {
            seen.push(one.stamp);
            ControlFlow::Continue(())
        });
        assert_eq!(seen, [None]);
    }
}
