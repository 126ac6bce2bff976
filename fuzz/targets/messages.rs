//! What a run that is nested in a watched one and its watcher tell each other.

#![no_main]

use fleche::fuzzing::opening;
use fleche::model::{Account, Trace};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(account) = bounded(bytes, 128, || Account::decode(bytes)) {
        comes_back(&account, Account::encode, |bytes| Account::decode(bytes).ok());
    }
    if let Ok(trace) = bounded(bytes, 256, || Trace::decode(bytes)) {
        comes_back(&trace, Trace::encode, |bytes| Trace::decode(bytes).ok());
    }
    if let Some(written) = bounded(bytes, 128, || opening(bytes)) {
        assert_eq!(opening(&written), Some(written));
    }
});
