//! Exported files: their parts, and the calls in them.

#![no_main]

use fleche::fuzzing::{parcel, parcel_bytes, sealed};
use fleche::model::Digest;
use fleche::store::Importer;
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

/// Reads all calls of a file; how many are taken.
fn read(bytes: &[u8]) -> Option<usize> {
    let mut importer = Importer::begin(bytes, 1 << 20).ok()?;
    let mut taken = 0;
    while let Some(next) = importer.next_call().ok()? {
        taken += usize::from(next.is_ok());
        importer.pass().ok()?;
    }
    Some(taken)
}

/// A whole file that holds this as its only call.
fn file(body: &[u8]) -> Vec<u8> {
    let call = sealed(b'x', body).expect("a kind");
    let parts =
        [b"fleche export 1\nc".as_slice(), &(call.len() as u64).to_le_bytes(), &call, b"e", &32u64.to_le_bytes()]
            .concat();
    [parts.as_slice(), &Digest::of(&parts).0].concat()
}

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 256, || read(bytes));
    // The same behind seals that fit, which no chance finds.
    let whole = file(bytes);
    assert!(bounded(&whole, 256, || read(&whole)).is_some(), "one call that is refused does not end the file");
    if let Ok(read) = bounded(bytes, 256, || parcel(bytes)) {
        comes_back(&read, parcel_bytes, |bytes| parcel(bytes).ok());
    }
});
