//! Digests of large files that many commands read, remembered by the file's stamp.

use super::frame::{self, Kind};
use super::{Access, Store};
use crate::model::{Digest, Inventory, Malformed, Reader, Remembered, Stamp, StampMemory, Writer};

/// Larger than any stamp file, in bytes.
const MOST: usize = 256;

impl StampMemory for Store {
    fn recall(&self, stamp: &Stamp) -> Option<Remembered> {
        let bytes = self.folder.read_small(&name(stamp), MOST).ok()?;
        let body = frame::open(Kind::Stamp, &bytes).ok()?;
        let (its, remembered) = decode(body).ok()?;
        (its == *stamp).then_some(remembered)
    }

    fn inventory(&self, identity: &Digest) -> Option<Inventory> {
        self.own_inventory(identity)
    }

    fn remember(&self, stamp: &Stamp, seen: &Remembered) {
        if self.access == Access::ReadWrite {
            // What is not remembered is hashed again.
            let _ = self.folder.write(&name(stamp), &frame::seal(Kind::Stamp, &encode(stamp, seen)));
        }
    }
}

/// One file for each inode, so that a new version of it takes the place of the old one.
fn name(stamp: &Stamp) -> String {
    format!("stamps/{:02x}/{:x}-{:x}", stamp.inode & 0xff, stamp.device, stamp.inode)
}

pub(super) fn encode(stamp: &Stamp, seen: &Remembered) -> Vec<u8> {
    let mut body = Writer::new();
    stamp.encode(&mut body);
    body.raw(&seen.digest.0).number(u64::from(seen.binary));
    body.into_bytes()
}

pub(super) fn decode(body: &[u8]) -> Result<(Stamp, Remembered), Malformed> {
    let mut reader = Reader::new(body);
    let stamp = Stamp::decode(&mut reader)?;
    Ok((stamp, Remembered { digest: Digest(reader.digest()?), binary: reader.number()? == 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, cuts_and_flips, everything};

    const STAMP: Stamp = Stamp { device: 1, inode: 0x2ff, size: 3, modified: -4, changed: 5, mode: 0o100_755 };

    fn seen(content: &[u8]) -> Remembered {
        Remembered { digest: Digest::of(content), binary: true }
    }

    #[test]
    fn a_digest_is_recalled_for_exactly_its_stamp() {
        let world = World::new();
        let digest = seen(b"compiler");
        assert_eq!(world.store.recall(&STAMP), None);
        world.store.remember(&STAMP, &digest);
        assert_eq!(world.store.recall(&STAMP), Some(digest));
        for other in [
            Stamp { device: 2, ..STAMP },
            Stamp { inode: 0x1ff, ..STAMP },
            Stamp { size: 4, ..STAMP },
            Stamp { modified: 4, ..STAMP },
            Stamp { changed: 6, ..STAMP },
            Stamp { mode: 0o100_644, ..STAMP },
        ] {
            assert_eq!(world.store.recall(&other), None, "{other:?}");
        }
    }

    #[test]
    fn every_file_is_remembered_beside_the_others() {
        let world = World::new();
        let stamps =
            [STAMP, Stamp { device: 2, ..STAMP }, Stamp { inode: 0x1ff, ..STAMP }, Stamp { inode: 1, ..STAMP }];
        let number = |number: usize| seen(&[number as u8]);
        stamps.iter().enumerate().for_each(|(at, stamp)| world.store.remember(stamp, &number(at)));
        stamps.iter().enumerate().for_each(|(at, stamp)| assert_eq!(world.store.recall(stamp), Some(number(at))));
    }

    #[test]
    fn a_damaged_stamp_recalls_nothing_and_is_written_anew() {
        let world = World::new();
        let digest = seen(b"compiler");
        world.store.remember(&STAMP, &digest);
        let file = world.store.folder().join(name(&STAMP));
        let whole = std::fs::read(&file).unwrap();
        for (number, bytes) in cuts_and_flips(&whole).enumerate() {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(world.store.recall(&STAMP), None, "{number}");
        }
        world.store.remember(&STAMP, &digest);
        assert_eq!(world.store.recall(&STAMP), Some(digest));
    }

    #[test]
    fn a_read_only_store_recalls_and_remembers_nothing_new() {
        let world = World::new();
        world.store.remember(&STAMP, &seen(b"1"));
        let before = everything(world.store.folder());
        let store = Store::open_read_only(world.store.folder()).unwrap();
        store.remember(&Stamp { size: 4, ..STAMP }, &seen(b"2"));
        assert_eq!(store.recall(&STAMP), Some(seen(b"1")));
        assert_eq!(everything(world.store.folder()), before);
    }
}
