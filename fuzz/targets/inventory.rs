//! What a look at many inputs found.

#![no_main]

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use fleche::model::{Facet, Inventory, Observation, Room, manifest};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8]) -> Option<Inventory> {
    Inventory::decode(bytes.to_vec(), 0, &mut Room::of(Room::FOREIGN)).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(inventory) = bounded(bytes, 256, || decode(bytes)) else { return };
    comes_back(&inventory, Inventory::encode, decode);
    let all = bounded(bytes, 256, || inventory.observations(&mut Room::of(Room::FOREIGN)));
    // What is read in passing is what is read whole.
    let (mut paths, mut is_whole) = (Vec::new(), true);
    for block in inventory.blocks() {
        let read = manifest::read(block, &mut |seen| {
            paths.push((seen.path.to_vec(), seen.state, seen.stamp));
            ControlFlow::Continue(())
        });
        is_whole &= read.is_ok();
    }
    if let Ok(all) = all
        && all.iter().all(|seen| seen.facet == Facet::Whole)
    {
        let told = |seen: &Observation| (seen.path.as_os_str().as_bytes().to_vec(), seen.state.clone(), seen.stamp);
        assert!(is_whole);
        assert_eq!(all.iter().map(told).collect::<Vec<_>>(), paths);
    }
});
