//! What a look at many inputs found.

#![no_main]

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fleche::model::{Block, Digest, Facet, Inventory, Observation, Outline, Room, Stamp};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

/// Two parts, of which the first two bytes say how long the first one is.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some(rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len())))
}

/// What proves all, and the blocks.
fn decode(bytes: &[u8]) -> Option<Inventory> {
    let (body, blocks) = parts(bytes)?;
    let range = 0..blocks.len() as u64;
    Inventory::decode(body, Arc::new(blocks.to_vec()), range, &mut Room::of(Room::FOREIGN)).ok()
}

fn encode(inventory: &Inventory) -> Vec<u8> {
    let (body, blocks) = inventory.encode();
    let length = u16::try_from(body.len()).expect("it is no longer than what it was read from").to_le_bytes();
    [&length[..], &body, &blocks].concat()
}

/// What is in a block, with which no digest is wrong: its stamps, and what was observed.
fn observed(bytes: &[u8]) -> Option<Vec<Observation>> {
    let (stamps, observed) = parts(bytes)?;
    let block = Block::decode(stamps, observed).ok()?;
    let mut all = Vec::new();
    let read = block.read(&mut |seen| {
        let path = OsStr::from_bytes(seen.path).into();
        all.push(Observation { path, facet: Facet::Whole, state: seen.state, stamp: seen.stamp });
        ControlFlow::Continue(())
    });
    assert!(all.len() <= block.count());
    matches!(read, Ok(ControlFlow::Continue(()))).then_some(all)
}

/// What is found along an outline, with which no digest is wrong, where each path is a file as large as it is long.
fn found(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut found, mut count) = (Vec::new(), 0);
    let outline = Outline::decode(bytes).ok()?;
    let most = outline.count();
    let is_whole = outline.follow(&mut found, &mut |path| {
        count += 1;
        let size = path.len() as u64;
        Some(Some(Stamp { device: 1, inode: 2, size, modified: 3, changed: 4, mode: 0o100_644 }))
    });
    assert!(count <= most);
    is_whole.ok().filter(|is_whole| *is_whole).map(|_| found)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(inventory) = bounded(bytes, 256, || decode(bytes)) {
        comes_back(&inventory, encode, decode);
        let _ = bounded(bytes, 256, || inventory.observations(&mut Room::of(Room::FOREIGN)));
    }
    let _ = bounded(bytes, 256, || found(bytes));
    if let Some(all) = bounded(bytes, 256, || observed(bytes)) {
        let inventory = Inventory::of(Digest::of(b"look"), &all, Vec::new(), Vec::new());
        assert_eq!(inventory.observations(&mut Room::of(Room::OWN)), Ok(all));
    }
});
