//! The flags that say which calls are meant.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let words: Vec<OsString> =
        bytes.split(|byte| *byte == 0).take(16).map(|word| OsString::from_vec(word.to_vec())).collect();
    let first = fleche::fuzzing::filter(&words);
    assert_eq!(fleche::fuzzing::filter(&words), first);
});
