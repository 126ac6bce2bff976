//! What a look at many declared inputs found, kept so that the next look only compares stamps, as git's index is.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::walked::path;
use super::{Digest, Ended, Fields, Malformed, Observation, Reader, Room, Stamp, State, Walked, Writer};

const DAMAGED: Malformed = Malformed("inventory: it is damaged");

/// The bits of `st_mode` that tell the type, and some types, see `inode(7)`.
const TYPE: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

const NOTHING: Stamp = Stamp { device: 0, inode: 0, size: 0, modified: 0, changed: 0, mode: 0 };

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

/// Where the parts of a block are. All outlines come first, one after the other: who finds all as it was reads nothing else.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Empty where there is none.
    outline: Part,
    stamps: Part,
    /// Right behind its stamps. The digest is as in keys, see [`Observation::digests`].
    observed: Part,
}

/// Where something is, and what proves it.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u64,
    length: u64,
    digest: Digest,
}

/// The paths of a block of which lstat(2) alone tells what is observed there. What it says now is coded as the stamps of the
/// block are, and compared with those at once: see [`Block::is_as`].
pub struct Outline<'a> {
    /// The devices on which files are, in order; 0 where only modes are told.
    devices: Vec<u64>,
    count: usize,
    paths: Reader<'a>,
}

/// Some of the observations of an inventory, all of whole paths: those that have a digest of their own in a key.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// As in its outline, 8 bytes each.
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
    /// What lstat(2) said, as an [`Outline`] codes it.
    pub record: &'a [u8],
    /// Where it is in what the block observed.
    pub range: Range<usize>,
}

impl Inventory {
    /// The inventory of these `observations`, which must be in key order, and of whole paths.
    pub fn of(identity: Digest, observations: &[Observation], folders: Vec<Walked>, links: Vec<Ended>) -> Inventory {
        let (mut outlines, mut rest) = (Vec::new(), Vec::with_capacity(observations.len() * 100));
        let mut blocks = Vec::with_capacity(observations.len().div_ceil(Observation::GROUP));
        for group in observations.chunks(Observation::GROUP) {
            blocks.push(Extent {
                outline: Part::append(&mut outlines, &Outline::encode(group)),
                stamps: Part::append(&mut rest, &Block::encode_stamps(group)),
                observed: Part::append(&mut rest, &Observation::key_bytes(group)),
            });
        }
        for block in &mut blocks {
            block.stamps.start += outlines.len() as u64;
            block.observed.start += outlines.len() as u64;
        }
        outlines.append(&mut rest);
        Inventory { identity, shelf: Arc::new(outlines), blocks, folders, links }
    }

    /// The numbers of the blocks, whose observations follow one another in key order.
    pub fn blocks(&self) -> Range<usize> {
        0..self.blocks.len()
    }

    /// The outline of a block, which is in `buffer` then where it is not in memory; `None` where more than lstat(2) has to be asked.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is not what was written.
    pub fn outline<'a>(&'a self, number: usize, buffer: &'a mut Vec<u8>) -> Result<Option<Outline<'a>>, Malformed> {
        let part = self.blocks.get(number).ok_or(Malformed("inventory"))?.outline;
        if part.length == 0 {
            return Ok(None);
        }
        let bytes = self.shelf.bytes(part.range(), buffer).filter(|bytes| part.is(bytes)).ok_or(DAMAGED)?;
        Outline::decode(bytes).map(Some)
    }

    /// A block, which is in `buffer` then where it is not in memory.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: it is not what was written.
    pub fn block<'a>(&'a self, number: usize, buffer: &'a mut Vec<u8>) -> Result<Block<'a>, Malformed> {
        let Extent { stamps, observed, .. } = self.blocks.get(number).ok_or(Malformed("inventory"))?;
        let bytes = self.shelf.bytes(stamps.start..observed.range().end, buffer).ok_or(DAMAGED)?;
        let length = usize::try_from(stamps.length).map_err(|_| DAMAGED)?;
        let (first, second) = bytes.split_at_checked(length).ok_or(DAMAGED)?;
        if stamps.is(first) && observed.is(second) { Block::decode(first, second) } else { Err(DAMAGED) }
    }

    /// The digest that a key has of a block's observations.
    pub fn digest(&self, number: usize) -> Option<Digest> {
        self.blocks.get(number).map(|extent| extent.observed.digest)
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
        let (mut writer, mut bytes, mut buffer) = (Writer::new(), Vec::new(), Vec::new());
        writer.field("look", &self.identity.0);
        for Extent { outline, stamps, observed } in &self.blocks {
            let mut inner = Writer::new();
            for part in [outline, stamps, observed] {
                inner.raw(&part.digest.0).number(part.length);
            }
            writer.field("group", &inner.into_bytes());
        }
        let outlines = self.blocks.iter().map(|block| block.outline);
        let others = self.blocks.iter().flat_map(|block| [block.stamps, block.observed]);
        for part in outlines.chain(others) {
            bytes.extend_from_slice(self.shelf.bytes(part.range(), &mut buffer).unwrap_or_default());
        }
        for folder in &self.folders {
            writer.field("folder", &folder.encode());
        }
        for link in &self.links {
            writer.field("link", &link.encode());
        }
        (writer.into_bytes(), bytes)
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
        let (mut identity, mut blocks, mut folders, mut links) = (None, Vec::<Extent>::new(), Vec::new(), Vec::new());
        for field in Fields::of(body) {
            let (name, value) = field?;
            let mut reader = Reader::new(value);
            match name {
                b"look" => identity = Some(Digest(reader.digest()?)),
                b"group" => {
                    room.take::<Extent>(value.len())?;
                    let mut part = || Part::decode(&mut reader);
                    blocks.push(Extent { outline: part()?, stamps: part()?, observed: part()? });
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
        let mut start = range.start;
        let mut place = |part: &mut Part| {
            part.start = start;
            start = start.checked_add(part.length).filter(|end| *end <= range.end).ok_or(Malformed("inventory"))?;
            Ok(())
        };
        blocks.iter_mut().try_for_each(|block| place(&mut block.outline))?;
        blocks.iter_mut().flat_map(|block| [&mut block.stamps, &mut block.observed]).try_for_each(place)?;
        Ok(Inventory { identity: identity.ok_or(Malformed("inventory"))?, shelf, blocks, folders, links })
    }
}

impl Part {
    fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Part {
        let start = to.len() as u64;
        to.extend_from_slice(bytes);
        Part { start, length: bytes.len() as u64, digest: Digest::of(bytes) }
    }

    /// Where it is, is not told.
    fn decode(reader: &mut Reader) -> Result<Part, Malformed> {
        Ok(Part { digest: Digest(reader.digest()?), length: reader.number()?, start: 0 })
    }

    fn range(&self) -> Range<u64> {
        self.start..self.start + self.length
    }

    fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.length && Digest::of(bytes) == self.digest
    }
}

impl<'a> Outline<'a> {
    /// Empty where any observation needs more than lstat(2): of a link also what is behind it, of a young file its bytes.
    fn encode(observations: &[Observation]) -> Vec<u8> {
        let is_told = |seen: &Observation| match seen.state {
            State::File { .. } => seen.stamp.is_some(),
            State::Absent | State::Folder { .. } | State::Special(_) => true,
            _ => false,
        };
        if !observations.iter().all(is_told) {
            return Vec::new();
        }
        let devices = Block::devices(observations);
        let mut writer = Writer::with_capacity(observations.len() * 16);
        writer.number(devices.len() as u64).number(observations.len() as u64);
        devices.iter().for_each(|device| _ = writer.number(*device));
        let mut last: &[u8] = &[];
        for seen in observations {
            let path = seen.path.as_os_str().as_bytes();
            let common = path.iter().zip(last).take_while(|(one, other)| one == other).count();
            writer.number(common as u64).bytes(&path[common..]);
            last = path;
        }
        writer.into_bytes()
    }

    /// The outline in these bytes, whose paths are read when they are followed.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Outline<'a>, Malformed> {
        let mut paths = Reader::new(bytes);
        let (devices, count) = (paths.number()?, paths.number()?);
        // Each path takes two bytes or more.
        let count = usize::try_from(count).ok().filter(|count| *count <= bytes.len()).ok_or(Malformed("inventory"))?;
        let devices = (0..devices).map(|_| paths.number()).collect::<Result<_, _>>()?;
        Ok(Outline { devices, count, paths })
    }

    /// How many paths it has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Asks `look` of one path after the other, for as long as it answers, and gives what it found as the block has it.
    /// `found` is filled with it; says whether all was answered.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn follow(
        mut self,
        found: &mut Vec<u8>,
        look: &mut dyn FnMut(&[u8]) -> Option<Option<Stamp>>,
    ) -> Result<bool, Malformed> {
        Block::begin(found, &self.devices, self.count);
        let mut path = Vec::with_capacity(256);
        for _ in 0..self.count {
            let common = usize::try_from(self.paths.number()?).ok().filter(|common| *common <= path.len());
            path.truncate(common.ok_or(Malformed("inventory"))?);
            path.extend_from_slice(self.paths.bytes()?);
            let Some(stamp) = look(&path) else { return Ok(false) };
            found.extend_from_slice(&Block::record(told(stamp), &self.devices));
        }
        if self.paths.is_empty() { Ok(true) } else { Err(Malformed("inventory")) }
    }
}

/// As much of what lstat(2) says as is observed: of a file all, of a folder its mode, of anything else its type.
fn told(found: Option<Stamp>) -> Stamp {
    let Some(found) = found else { return NOTHING };
    let kind = found.mode & TYPE;
    match kind {
        FOLDER => Stamp { mode: FOLDER | State::permissions(found.mode), ..NOTHING },
        // There is no outline where a link was met: it is not as it was.
        FILE | LINK => found,
        // None that is known; it is not nothing.
        0 => Stamp { inode: u64::MAX, ..found },
        _ => Stamp { mode: kind, ..NOTHING },
    }
}

/// The same of what was observed.
fn observed(seen: &Observation) -> Stamp {
    match seen.state {
        State::Folder { mode } => Stamp { mode: FOLDER | mode, ..NOTHING },
        State::Special(kind) => Stamp { mode: kind, ..NOTHING },
        _ => seen.stamp.unwrap_or(NOTHING),
    }
}

impl<'a> Block<'a> {
    /// Bytes of a record: inode, size, both times, the mode and the number of the device. All are zero where there is nothing.
    const RECORD: usize = 36;

    fn devices(observations: &[Observation]) -> Vec<u64> {
        let stamps = observations.iter().map(observed).filter(|stamp| stamp.mode != 0);
        let devices: BTreeSet<u64> = stamps.map(|stamp| stamp.device).collect();
        devices.into_iter().collect()
    }

    fn encode_stamps(observations: &[Observation]) -> Vec<u8> {
        let (devices, mut bytes) = (Block::devices(observations), Vec::new());
        Block::begin(&mut bytes, &devices, observations.len());
        observations.iter().for_each(|seen| bytes.extend_from_slice(&Block::record(observed(seen), &devices)));
        bytes
    }

    fn begin(bytes: &mut Vec<u8>, devices: &[u64], count: usize) {
        bytes.clear();
        bytes.reserve(16 + devices.len() * 8 + count * Block::RECORD);
        for number in [devices.len() as u64, count as u64].iter().chain(devices) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn record(stamp: Stamp, devices: &[u64]) -> [u8; Block::RECORD] {
        let Stamp { device, inode, size, modified, changed, mode } = stamp;
        let mut record = [0; Block::RECORD];
        let (numbers, rest) = record.as_chunks_mut();
        for (bytes, number) in numbers.iter_mut().zip([inode, size, modified as u64, changed as u64]) {
            *bytes = number.to_le_bytes();
        }
        // Fewer devices than observations, and no more bits than these in a mode.
        let device = match mode {
            0 => 0,
            _ => devices.binary_search(&device).map_or(u16::MAX, |at| at as u16),
        };
        rest[..2].copy_from_slice(&(mode as u16).to_le_bytes());
        rest[2..].copy_from_slice(&device.to_le_bytes());
        record
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
            let length = usize::try_from(count).ok()?.checked_mul(Block::RECORD)?;
            (stamps.len() == length).then_some(Block { devices, stamps, observed })
        });
        parts.ok_or(Malformed("inventory"))
    }

    /// Whether what was `found` along its outline is what was there when it was made.
    pub fn is_as(&self, found: &[u8]) -> bool {
        let (devices, stamps) = self.parted(found);
        devices == self.devices && stamps == self.stamps
    }

    /// Of what was `found` along its outline, what belongs to one observation after the other.
    pub fn records<'f>(&self, found: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        self.parted(found).1.chunks_exact(Block::RECORD)
    }

    /// The devices and the records in what was found; their numbers, which come first, are told by the lengths.
    fn parted<'f>(&self, found: &'f [u8]) -> (&'f [u8], &'f [u8]) {
        found.get(16..).and_then(|rest| rest.split_at_checked(self.devices.len())).unwrap_or_default()
    }

    /// How many observations it holds.
    pub fn count(&self) -> usize {
        self.stamps.len() / Block::RECORD
    }

    /// Gives `take` one observation after the other, for as long as it says so.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also where anything else than a whole path was observed.
    pub fn read(&self, take: &mut dyn FnMut(Coded) -> ControlFlow<()>) -> Result<ControlFlow<()>, Malformed> {
        let mut reader = Reader::new(self.observed);
        let at = |reader: &Reader| self.observed.len() - reader.rest().len();
        for record in self.stamps.chunks_exact(Block::RECORD) {
            let start = at(&reader);
            let path = reader.bytes()?;
            let state = State::decode(&mut reader)?;
            let stamp = match state {
                State::Folder { .. } | State::Special(_) => None,
                _ => self.stamp(record),
            };
            let seen = Coded { path, state, stamp, record, range: start..at(&reader) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facet, Names};

    #[test]
    fn an_inventory_comes_back_and_takes_no_more_than_its_room() {
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: -4, changed: 5, mode: 0o100_644 };
        let seen = |number: usize| Observation {
            path: format!("src/{number:04}").into(),
            facet: Facet::Whole,
            state: State::File { mode: 0o644, digest: Digest::of(&[1]) },
            // Of the last group there is no outline.
            stamp: (number < 2 * Observation::GROUP).then_some(stamp),
        };
        let all: Vec<Observation> = (0..2 * Observation::GROUP + 1).map(seen).collect();
        let mut names = Names::default();
        names.add("a".as_ref(), 1);
        let folder = |stamp| Walked { path: "/r/src".into(), stamp, names };
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
        let damaged = Malformed("inventory: it is damaged");
        for at in [0, 8, 2000, blocks.len() / 2, blocks.len() - 1] {
            let mut flipped = blocks.clone();
            flipped[at] ^= 1;
            let flipped = read(&body, &flipped, Room::OWN).unwrap();
            let is_outline = at < 3000;
            let whole = flipped.observations(&mut Room::of(Room::OWN));
            assert_eq!(whole, if is_outline { Ok(all.clone()) } else { Err(damaged) });
            let mut buffer = Vec::new();
            let outlines = flipped.blocks().filter(|number| flipped.outline(*number, &mut buffer).is_err()).count();
            let blocks = flipped.blocks().filter(|number| flipped.block(*number, &mut buffer).is_err()).count();
            assert_eq!((outlines, blocks), if is_outline { (1, 0) } else { (0, 1) }, "{at}");
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

    /// What a look along the outline of the first block proves, if at each path there is what `found` says.
    fn follow(inventory: &Inventory, found: impl Fn(&str) -> Option<Stamp>) -> Option<(Vec<String>, bool)> {
        let (mut buffer, mut bytes, mut paths) = (Vec::new(), b"rest".to_vec(), Vec::new());
        let outline = inventory.outline(0, &mut buffer).unwrap()?;
        let count = outline.count();
        let mut look = |path: &[u8]| {
            paths.push(String::from_utf8(path.to_vec()).unwrap());
            Some(found(&paths[paths.len() - 1]))
        };
        assert_eq!(outline.follow(&mut bytes, &mut look), Ok(true));
        assert_eq!(paths.len(), count);
        Some((paths, inventory.block(0, &mut buffer).unwrap().is_as(&bytes)))
    }

    #[test]
    fn an_outline_proves_what_is_as_it_was_and_nothing_else() {
        let file = Stamp { device: 7, inode: 2, size: 3, modified: -4, changed: 5, mode: FILE | 0o640 };
        let other = Stamp { device: 3, inode: 9, ..file };
        let folder = Stamp { mode: FOLDER | 0o755, ..other };
        let pipe = Stamp { mode: 0o010_600, ..other };
        let seen = |path: &str, state, stamp| Observation { path: path.into(), facet: Facet::Whole, state, stamp };
        let content = |mode| State::File { mode, digest: Digest::of(b"") };
        let all = [
            seen("a/file", content(0o640), Some(file)),
            seen("a/files", content(0o640), Some(other)),
            seen("a/fo", State::Folder { mode: 0o755 }, None),
            seen("a/p", State::Special(0o010_000), None),
            seen("b", State::Absent, None),
        ];
        let of = |all: &[Observation]| Inventory::of(Digest::of(b"look"), all, Vec::new(), Vec::new());
        let was = |path: &str| match path {
            "a/file" => Some(file),
            "a/files" => Some(other),
            "a/fo" => Some(folder),
            "a/p" => Some(pipe),
            _ => None,
        };
        let (paths, is_proven) = follow(&of(&all), was).unwrap();
        assert_eq!((&paths[..], is_proven), (&["a/file", "a/files", "a/fo", "a/p", "b"].map(str::to_owned)[..], true));
        let now = |path: &'static str, now: Option<Stamp>| {
            follow(&of(&all), |at| if at == path { now } else { was(at) }).unwrap().1
        };
        // What is not observed of a folder and a pipe.
        assert!(
            now("a/fo", Some(Stamp { mode: folder.mode, ..file }))
                && now("a/p", Some(Stamp { mode: 0o010_777, ..file }))
        );
        for stamp in [
            None,
            Some(other),
            Some(Stamp { device: 8, ..file }),
            Some(Stamp { inode: 3, ..file }),
            Some(Stamp { size: 4, ..file }),
            Some(Stamp { modified: 4, ..file }),
            Some(Stamp { changed: 6, ..file }),
            Some(Stamp { mode: FILE | 0o600, ..file }),
            Some(Stamp { mode: LINK | 0o640, ..file }),
            Some(Stamp { mode: FOLDER | 0o640, ..file }),
        ] {
            assert!(!now("a/file", stamp), "{stamp:?}");
        }
        for (path, stamp) in [
            ("a/fo", None),
            ("a/fo", Some(file)),
            ("a/fo", Some(Stamp { mode: FOLDER | 0o700, ..folder })),
            ("a/p", None),
            ("a/p", Some(Stamp { mode: 0o140_600, ..pipe })),
            ("b", Some(file)),
            ("b", Some(folder)),
            ("b", Some(pipe)),
            ("b", Some(Stamp { mode: 0, ..file })),
            ("b", Some(Stamp { mode: 0o644, ..file })),
        ] {
            assert!(!now(path, stamp), "{path} {stamp:?}");
        }
        // Of these lstat(2) does not tell enough.
        let link = State::Link { target: b"file".to_vec(), behind: Box::new(content(0o640)) };
        for seen in [seen("c", content(0o640), None), seen("c", link, Some(file))] {
            let all = [&all[..], &[seen]].concat();
            assert_eq!(follow(&of(&all), was), None);
            assert_eq!(of(&all).observations(&mut Room::of(Room::OWN)), Ok(all));
        }
    }

    #[test]
    fn an_outline_that_says_more_than_it_holds_is_malformed() {
        let read = |bytes: &[u8]| Outline::decode(bytes)?.follow(&mut Vec::new(), &mut |_| Some(None));
        // No device; two paths, of which the second begins with one byte of the first.
        let whole = [0, 2, 0, 2, b'a', b'b', 1, 1, b'c'];
        assert_eq!(read(&whole), Ok(true));
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        for (at, byte) in [(0, 9), (0, 1), (1, 1), (1, 3), (1, 100), (2, 1), (6, 3), (7, 2)] {
            let mut other = whole;
            other[at] = byte;
            assert!(read(&other).is_err(), "{at} {byte}");
        }
        // Nobody answers.
        assert_eq!(Outline::decode(&whole).unwrap().follow(&mut Vec::new(), &mut |_| None), Ok(false));
    }

    #[test]
    fn stamps_keep_their_devices() {
        let seen = |device: Option<u64>| Observation {
            path: "f".into(),
            facet: Facet::Whole,
            state: State::File { mode: 0o644, digest: Digest::of(b"") },
            stamp: device.map(|device| Stamp {
                device,
                inode: 0,
                size: 0,
                modified: -1,
                changed: i64::MIN,
                mode: FILE | 0o644,
            }),
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
        let two = 2 * Block::RECORD;
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
        let mut stamps = coded(0, 1, Block::RECORD);
        stamps[16 + 32] = 1;
        let mut seen = Vec::new();
        let _ = Block::decode(&stamps, &[0; 2]).unwrap().read(&mut |one| {
            seen.push(one.stamp);
            ControlFlow::Continue(())
        });
        assert_eq!(seen, [None]);
    }
}
