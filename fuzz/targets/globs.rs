//! Globs over words, over paths and over declared outputs.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fleche::fuzzing::{globs, places};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (glob, word) =
        bytes.iter().position(|byte| *byte == 0).map_or((bytes, bytes), |at| (&bytes[..at], &bytes[at + 1..]));
    if let Ok(glob) = std::str::from_utf8(glob) {
        let _ = globs(glob, OsStr::from_bytes(word));
    }
    // A word without magic is covered by itself, and nothing outside is by one that stays inside.
    let covered = places(&[OsStr::from_bytes(glob).to_owned()], Path::new("/elsewhere/x"));
    if !glob.starts_with(b"/") && !glob.split(|byte| *byte == b'/').any(|name| name == b"..") {
        assert_ne!(covered, Some(true), "{glob:?}");
    }
    let _ = places(&[OsStr::from_bytes(glob).to_owned()], Path::new(OsStr::from_bytes(word)));
});
