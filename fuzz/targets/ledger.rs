//! What the journal leaves behind when it is rotated.

#![no_main]

use fleche_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 128, || fleche::fuzzing::ledger(bytes));
});
