//! What a look at many declared inputs found, kept so that the next look only compares stamps, as git's index is.

use std::ffi::{OsStr, OsString};
use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Digest, Fields, Malformed, Observation, Reader, Room, Stamp, State, Writer};

/// The observations of one look, with what proves that another one would make them at the same paths.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Which look it was: of which command, where.
    pub identity: Digest,
    /// What holds the blocks; all of its file, where it was read.
    bytes: Vec<u8>,
    /// Where in the bytes each block is, and what proves it.
    blocks: Vec<(Range<usize>, Digest)>,
    /// The folders that were gone through, absolute.
    pub folders: Vec<Walked>,
    /// The links that were met, and the folders that are left out, which may be behind links.
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

/// Some of the observations of an inventory: all of whole paths, with stamps of files on one device.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    device: u64,
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
    /// So many observations are looked at in one go.
    pub const BLOCK: usize = 256;

    /// The inventory of these `observations`, which must be in key order, and of whole paths.
    pub fn of(identity: Digest, observations: &[Observation], folders: Vec<Walked>, links: Vec<Ended>) -> Inventory {
        let (mut bytes, mut blocks) = (Vec::with_capacity(observations.len() * 100), Vec::new());
        let mut rest = observations;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(Block::fit(rest));
            let start = bytes.len();
            Block::encode(some, &mut bytes);
            blocks.push((start..bytes.len(), Digest::of(&bytes[start..])));
            rest = others;
        }
        Inventory { identity, bytes, blocks, folders, links }
    }

    /// The numbers of the blocks, whose observations follow one another in key order.
    pub fn blocks(&self) -> Range<usize> {
        0..self.blocks.len()
    }

    /// A block.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is not what was written.
    pub fn block(&self, number: usize) -> Result<Block<'_>, Malformed> {
        let (range, digest) = self.blocks.get(number).ok_or(Malformed("inventory"))?;
        let bytes = &self.bytes[range.clone()];
        if Digest::of(bytes) == *digest { Block::decode(bytes) } else { Err(Malformed("inventory: it is damaged")) }
    }

    /// What a block observed, if it was whole before.
    pub fn observed(&self, number: usize) -> &[u8] {
        let bytes = self.blocks.get(number).map_or(&b""[..], |(range, _)| &self.bytes[range.clone()]);
        Block::decode(bytes).map_or(b"", |block| block.observed)
    }

    /// All observations.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also where there are more than there is room for.
    pub fn observations(&self, room: &mut Room) -> Result<Vec<Observation>, Malformed> {
        let mut all = Vec::with_capacity(self.blocks.len() * Inventory::BLOCK);
        for number in self.blocks() {
            let mut fits = Ok(());
            let _ = self.block(number)?.read(&mut |seen| {
                fits = room.take::<Observation>(seen.range.len());
                let path = path(seen.path);
                all.push(Observation { path, facet: super::Facet::Whole, state: seen.state, stamp: seen.stamp });
                if fits.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            fits?;
        }
        Ok(all)
    }

    /// The bytes of its file: what proves all, and the blocks.
    pub fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut writer, mut blocks) = (Writer::new(), Vec::with_capacity(self.bytes.len()));
        writer.field("look", &self.identity.0);
        for (range, digest) in &self.blocks {
            let mut inner = Writer::new();
            inner.raw(&digest.0).number(range.len() as u64);
            writer.field("block", &inner.into_bytes());
            blocks.extend_from_slice(&self.bytes[range.clone()]);
        }
        for folder in &self.folders {
            writer.field("folder", &folder.encode());
        }
        for link in &self.links {
            writer.field("link", &link.encode());
        }
        (writer.into_bytes(), blocks)
    }

    /// Reads what [`encode`](Inventory::encode) wrote, of which what proves all is at `body` in `bytes`, and what comes behind
    /// are the blocks. What is in those is proven and read when they are.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is something else, or holds too much.
    pub fn decode(bytes: Vec<u8>, body: Range<usize>, room: &mut Room) -> Result<Inventory, Malformed> {
        let (mut identity, mut blocks, mut folders, mut links) = (None, Vec::new(), Vec::new(), Vec::new());
        let mut end = body.end;
        for field in Fields::of(bytes.get(body).ok_or(Malformed("inventory"))?) {
            let (name, value) = field?;
            let mut reader = Reader::new(value);
            match name {
                b"look" => identity = Some(Digest(reader.digest()?)),
                b"block" => {
                    room.take::<(Range<usize>, Digest)>(value.len())?;
                    let (start, digest) = (end, Digest(reader.digest()?));
                    let length = usize::try_from(reader.number()?).map_err(|_| Malformed("inventory"))?;
                    end = start.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Malformed("inventory"))?;
                    blocks.push((start..end, digest));
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

impl<'a> Block<'a> {
    /// Bytes of a stamp without its device. All of one are zero where there is none.
    const STAMP: usize = 36;

    /// How many of `observations`, from the first on, make a block: as many as have stamps of one device.
    fn fit(observations: &[Observation]) -> usize {
        let mut device = None;
        let is_beside =
            |seen: &&Observation| seen.stamp.is_none_or(|stamp| *device.get_or_insert(stamp.device) == stamp.device);
        observations.iter().take(Inventory::BLOCK).take_while(is_beside).count()
    }

    fn encode(observations: &[Observation], bytes: &mut Vec<u8>) {
        let device = observations.iter().find_map(|seen| Some(seen.stamp?.device)).unwrap_or_default();
        bytes.extend_from_slice(&device.to_le_bytes());
        bytes.extend_from_slice(&(observations.len() as u64).to_le_bytes());
        for seen in observations {
            let none = Stamp { device: 0, inode: 0, size: 0, modified: 0, changed: 0, mode: 0 };
            let Stamp { inode, size, modified, changed, mode, .. } = seen.stamp.unwrap_or(none);
            for number in [inode, size, modified as u64, changed as u64] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&mode.to_le_bytes());
        }
        bytes.extend_from_slice(&Observation::key_bytes(observations));
    }

    /// Reads the bytes of a block; its observations are read when they are gone through.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Block<'a>, Malformed> {
        let number =
            |bytes: &'a [u8]| bytes.split_first_chunk().map(|(number, rest)| (u64::from_le_bytes(*number), rest));
        let parts = number(bytes).and_then(|(device, rest)| {
            let (count, rest) = number(rest)?;
            let length = usize::try_from(count).ok()?.checked_mul(Block::STAMP)?;
            let (stamps, observed) = rest.split_at_checked(length)?;
            Some(Block { device, stamps, observed })
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
        let (numbers, mode) = bytes.as_chunks();
        let mode = u32::from_le_bytes(*mode.first_chunk()?);
        let [inode, size, modified, changed] = numbers else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let (modified, changed) = (number(modified) as i64, number(changed) as i64);
        // Whatever has a stamp has a type.
        let is_there = mode != 0;
        is_there.then(|| Stamp {
            device: self.device,
            inode: number(inode),
            size: number(size),
            modified,
            changed,
            mode,
        })
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
        let all: Vec<Observation> = (0..2 * Inventory::BLOCK + 1).map(seen).collect();
        let folder = |stamp| Walked { path: "/r/src".into(), stamp, names: names(&[("a", 1)]) };
        let link = |end| Ended { link: "/r/l".into(), end, is_folder: true };
        let (folders, links) = (vec![folder(Some(stamp)), folder(None)], vec![link(None), link(Some("/".into()))]);
        let inventory = Inventory::of(Digest::of(b"look"), &all, folders, links);
        assert_eq!(inventory.blocks(), 0..3);
        let (body, blocks) = inventory.encode();
        let read = |body: &[u8], blocks: &[u8], room| {
            Inventory::decode([b"head", body, blocks].concat(), 4..4 + body.len(), &mut Room::of(room))
        };
        let decoded = read(&body, &blocks, Room::OWN).unwrap();
        assert_eq!(decoded, inventory);
        for inventory in [&inventory, &decoded] {
            assert_eq!(inventory.observations(&mut Room::of(Room::OWN)).as_ref(), Ok(&all));
            assert_eq!(inventory.observations(&mut Room::of(1000)), Err(Malformed::TOO_MUCH));
            let observed = inventory.blocks().flat_map(|number| inventory.observed(number).to_vec());
            assert_eq!(observed.collect::<Vec<u8>>(), Observation::key_bytes(&all));
            assert_eq!(inventory.block(2).map(|block| block.count()).ok(), Some(1));
            assert!(inventory.block(3).is_err() && inventory.observed(3).is_empty());
        }
        assert_eq!(read(&body, &blocks, body.len() / 2), Err(Malformed::TOO_MUCH));
        assert_eq!(read(&body, &blocks[1..], Room::OWN), Err(Malformed("inventory")));
        for at in [0, 8, 100, blocks.len() / 2, blocks.len() - 1] {
            let mut flipped = blocks.clone();
            flipped[at] ^= 1;
            let flipped = read(&body, &flipped, Room::OWN).unwrap();
            assert_eq!(flipped.observations(&mut Room::of(Room::OWN)), Err(Malformed("inventory: it is damaged")));
            assert_eq!(flipped.blocks().filter(|number| flipped.block(*number).is_err()).count(), 1);
        }
        // What else must hold is not known.
        let mut writer = Writer::new();
        writer.raw(&body).field("more", b"");
        assert_eq!(read(&writer.into_bytes(), &blocks, Room::OWN), Err(Malformed::NEWER));
        assert_eq!(read(b"", &blocks, Room::OWN), Err(Malformed("inventory")));
        let outside = usize::MAX..usize::MAX;
        assert_eq!(Inventory::decode(body, outside, &mut Room::of(Room::OWN)), Err(Malformed("inventory")));
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
        let block = |count: u64, stamps: usize, observed: &[u8]| {
            let mut bytes = [[0; 8], count.to_le_bytes()].concat();
            bytes.resize(16 + stamps * Block::STAMP, 0);
            bytes.extend_from_slice(observed);
            bytes
        };
        // An empty path, at which nothing is.
        let read = |bytes: &[u8]| Block::decode(bytes)?.read(&mut |_| ControlFlow::Continue(()));
        assert_eq!(read(&block(2, 2, &[0, 0, 0, 0])), Ok(ControlFlow::Continue(())));
        for bytes in [block(2, 2, &[0, 0, 0]), block(2, 2, &[0, 0, 0, 0, 0]), block(u64::MAX, 2, &[]), block(2, 1, &[])]
        {
            assert!(read(&bytes).is_err());
        }
        assert!(read(&[0; 15]).is_err());
    }
}
