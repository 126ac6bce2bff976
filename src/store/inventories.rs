//! What looks at many declared inputs found, remembered for the next look.
//!
//! They lie beside the stamps of large files and are, like those, no part of any call: what is lost is looked at again.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::folder::{self, Opened};
use super::frame::{self, Kind};
use super::{Access, Store};
use crate::model::{Digest, Inventory, Shelf};

/// So many bytes are read at once: all of an inventory of a thousand paths.
const BEGINNING: u64 = 128 << 10;

impl Store {
    /// Remembers what a look found, in place of what the same look found before. What cannot be written is not remembered.
    pub fn keep_inventory(&self, inventory: &Inventory) {
        if self.access != Access::ReadWrite {
            return;
        }
        let (body, blocks) = inventory.encode();
        let bytes = frame::seal_apart(Kind::Inventory, &body, &blocks);
        if bytes.len() as u64 <= self.folder.bounds().most {
            let _ = self.folder.write(&name(&inventory.identity), &bytes);
        }
    }

    pub(super) fn own_inventory(&self, identity: &Digest) -> Option<Inventory> {
        let bounds = self.folder.bounds();
        let Opened::File(file, stat) = self.folder.open(&name(identity)).ok()? else { return None };
        let length = u64::try_from(stat.st_size).ok().filter(|length| *length <= bounds.most)?;
        let beginning = folder::beginning(&file, length, BEGINNING, frame::before_appendix).ok()?;
        let shelf = Arc::new(Opening { beginning, file });
        let parts = frame::open_parts(Kind::Inventory, &shelf.beginning).ok()?;
        let blocks = frame::before_appendix(&shelf.beginning)?..length;
        let inventory = Inventory::decode(parts.body, shelf.clone(), blocks, &mut bounds.room()).ok()?;
        (inventory.identity == *identity).then_some(inventory)
    }
}

/// The file of an inventory: what there is of its beginning, and the rest to be read when it is needed.
#[derive(Debug)]
struct Opening {
    beginning: Vec<u8>,
    file: File,
}

impl Shelf for Opening {
    fn bytes<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        if let known @ Some(_) = self.beginning.get(start..end) {
            return known;
        }
        buffer.resize(end.checked_sub(start)?, 0);
        let filled = folder::read_at(&self.file, buffer, range.start).ok()?;
        (filled == buffer.len()).then_some(&**buffer)
    }
}

/// The names of stamps begin with the number of a device, which is no word.
fn name(identity: &Digest) -> String {
    let name = identity.to_string();
    format!("stamps/{}/look-{name}", &name[..2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facet, Observation, Room, StampMemory, State};
    use crate::store::testing::{World, cuts_and_flips, everything};

    fn inventory(look: &str) -> Inventory {
        let seen = Observation { path: look.into(), facet: Facet::Whole, state: State::Absent, stamp: None };
        Inventory::of(Digest::of(look.as_bytes()), &[seen], Vec::new(), Vec::new())
    }

    #[test]
    fn each_look_has_the_inventory_that_was_kept_last() {
        let world = World::new();
        let (one, other) = (inventory("one"), inventory("other"));
        assert_eq!(world.store.inventory(&one.identity), None);
        world.store.keep_inventory(&one);
        world.store.keep_inventory(&other);
        assert_eq!(world.store.inventory(&one.identity), Some(one.clone()));
        let later = Inventory::of(one.identity, &[], Vec::new(), Vec::new());
        world.store.keep_inventory(&later);
        assert_eq!(world.store.inventory(&later.identity), Some(later));
        // One that lies where another belongs is not taken for that.
        let path = |identity| world.store.folder().join(name(identity));
        std::fs::rename(path(&other.identity), path(&inventory("one").identity)).unwrap();
        assert_eq!(world.store.inventory(&inventory("one").identity), None);
    }

    #[test]
    fn a_damaged_inventory_is_none() {
        let world = World::new();
        let inventory = inventory("one");
        world.store.keep_inventory(&inventory);
        let file = world.store.folder().join(name(&inventory.identity));
        let whole = std::fs::read(&file).unwrap();
        for (number, bytes) in cuts_and_flips(&whole).enumerate() {
            std::fs::write(&file, bytes).unwrap();
            // Who looks where it tells is told of the rest.
            let read = world.store.inventory(&inventory.identity);
            let read = read.and_then(|inventory| {
                inventory.outline(0, &mut Vec::new()).ok()?;
                inventory.observations(&mut Room::of(Room::OWN)).ok()
            });
            assert_eq!(read, None, "{number}");
        }
    }

    #[test]
    fn a_read_only_store_keeps_none() {
        let world = World::new();
        world.store.keep_inventory(&inventory("one"));
        let before = everything(world.store.folder());
        let store = Store::open_read_only(world.store.folder()).unwrap();
        store.keep_inventory(&inventory("other"));
        assert_eq!(store.inventory(&inventory("one").identity), Some(inventory("one")));
        assert_eq!(everything(world.store.folder()), before);
    }
}
