//! Exporting and importing beside the map.

use std::collections::BTreeSet;

use super::machine::{Machine, Verdict as Checked, ensure};
use super::plain::{Bytes, Kept, command_of, name_of};
use super::step::{Overwrite, Side};
use crate::store::{Existing, Exporter, Importer, Parcel, Verdict};

/// A call in an exported file.
struct Packed {
    call: u8,
    kept: Kept,
    is_remembered: bool,
    /// The values that follow it in the file.
    values: Vec<u8>,
}

impl Machine {
    pub(super) fn export(&mut self, from: Side, calls: &BTreeSet<u8>, overwrite: Overwrite) -> Checked {
        let mut exporter = Exporter::begin(Vec::new()).map_err(|why| why.to_string())?;
        let (mut packed, mut written) = (Vec::new(), BTreeSet::new());
        for call in calls {
            let found = self.store(from).call(&name_of(*call)).ok().flatten();
            let kept = self.caches[from].plain.read(*call).cloned();
            ensure!(found.as_ref() == kept.as_ref().map(|kept| &kept.call), "call {call} is {found:?}");
            let (Some(found), Some(kept)) = (found, kept) else { continue };
            let set = self.store(from).path_set_of(&found);
            let is_remembered = self.caches[from].plain.set(command_of(*call)).is_some_and(|set| set.contains(call));
            let path_set = set.map(|set| set.observations);
            ensure!(path_set.is_some() || !is_remembered, "the path set of call {call} is forgotten");
            let parcel = Parcel { call: found, path_set, told: Vec::new() };
            let is_remembered = parcel.path_set.is_some();
            let done = exporter.add(&parcel, self.store(from)).map_err(|why| why.to_string())?;
            let plain = &mut self.caches[from].plain;
            let values: Vec<u8> = kept.values.iter().copied().filter(|value| !written.contains(value)).collect();
            let is_whole = values.iter().all(|value| plain.verified(*value));
            ensure!(done.is_ok() == is_whole, "call {call} is exported: {done:?}, and should be: {is_whole}");
            if is_whole {
                written.extend(values.iter().copied());
                packed.push(Packed { call: *call, kept, is_remembered, values });
            }
        }
        let file = exporter.end().map_err(|why| why.to_string())?;
        self.import(1 - from, &file, packed, overwrite)
    }

    fn import(&mut self, to: Side, file: &[u8], packed: Vec<Packed>, overwrite: Overwrite) -> Checked {
        let existing = if overwrite == Overwrite::Yes { Existing::Replaced } else { Existing::Kept };
        let mut importer = Importer::begin(file, 1 << 20).map_err(|why| why.to_string())?;
        for Packed { call, kept, is_remembered, values } in packed {
            self.go_on();
            let parcel = importer.next_call().map_err(|why| why.to_string())?.ok_or("the file ends early")??;
            ensure!(parcel.call == kept.call, "call {call} is another one in the file");
            let done = importer.store(&parcel, self.store(to), existing).map_err(|why| why.to_string())?;
            let (modified, plain) = (self.date(), &mut self.caches[to].plain);
            let is_there = overwrite == Overwrite::No && plain.has_whole(call);
            for value in values {
                plain.values.insert(value, Bytes::Whole);
            }
            let expected = if is_there { Verdict::Present } else { Verdict::Stored };
            ensure!(done == expected, "call {call} is imported: {done:?}, and should be {expected:?}");
            if !is_there {
                plain.take_over(call, kept, modified);
                if is_remembered {
                    plain.remember(call);
                }
                self.dated(to, call);
                self.caches[to].used(call);
                let could_replay = self.caches[to].plain.could_replay(call);
                ensure!(could_replay, "call {call} was imported and cannot be replayed");
            }
        }
        let last = importer.next_call().map_err(|why| why.to_string())?;
        ensure!(last.is_none(), "there is more in the file");
        Ok(())
    }
}
