//! Sizes, times, tags, digests and references, as people write them.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fleche::fuzzing::{room, tags, time};
use fleche::model::{Digest, Prefix, Reference, is_harmful, parse_size, parse_tag, quoted};
use fleche_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 64, || {
        if let Ok(reference) = Reference::parse(bytes) {
            assert_eq!(Reference::parse(reference.text().as_bytes()), Ok(reference));
        }
        if let Some(at) = Reference::place_in(OsStr::from_bytes(bytes)) {
            assert!(bytes[at..].starts_with(b"fleche:"));
        }
        assert!(!quoted(OsStr::from_bytes(bytes)).chars().any(is_harmful));
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(prefix) = text.parse::<Prefix>() {
            assert_eq!(prefix.as_str().parse(), Ok(prefix));
        }
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.hex(), text.to_ascii_lowercase());
        }
        let _ = (parse_size(text), room(text), time(text));
        for word in tags(text) {
            assert!(!word.is_empty() && !word.contains(','));
            if let Ok((name, value)) = parse_tag(&word) {
                assert_eq!(format!("{name}={value}"), word);
            }
        }
    });
});
