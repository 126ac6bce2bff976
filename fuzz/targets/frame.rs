//! The frame around every small file of a store.

#![no_main]

use fleche::fuzzing::{KINDS, opened, opened_apart, sealed, sealed_apart};
use fleche_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 16, || {
        for kind in KINDS {
            if let Some(body) = opened(*kind, bytes) {
                assert_eq!(sealed(*kind, body).as_deref(), Some(bytes));
            }
            if let Some((body, appendix)) = opened_apart(*kind, bytes) {
                assert_eq!(sealed_apart(*kind, body, appendix).as_deref(), Some(bytes));
            }
            let (body, appendix) = bytes.split_at(bytes.len() / 2);
            let whole = sealed_apart(*kind, body, appendix).expect("a kind");
            assert_eq!(opened_apart(*kind, &whole), Some((body, appendix)));
            assert!(opened(*kind, &whole).is_none());
            let whole = sealed(*kind, bytes).expect("a kind");
            assert_eq!(opened(*kind, &whole), Some(bytes));
            assert!(KINDS.iter().all(|other| other == kind || opened(*other, &whole).is_none()));
        }
    });
});
