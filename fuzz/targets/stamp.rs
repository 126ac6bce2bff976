//! Digests that are remembered of large files.

#![no_main]

use fleche::fuzzing::{stamp, stamp_bytes};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(read) = bounded(bytes, 0, || stamp(bytes)) {
        comes_back(&read, |(stamp, seen)| stamp_bytes(stamp, seen), stamp);
    }
});
