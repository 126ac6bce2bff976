//! Lines of the journal.

#![no_main]

use fleche::fuzzing::{event, line};
use fleche_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 64, || {
        for text in bytes.split(|byte| *byte == b'\n') {
            let Some((time, happened)) = event(text) else { continue };
            let written = line(time, &happened);
            let again = event(written.trim_end_matches('\n').as_bytes()).expect("what was written is read");
            assert_eq!(again.0, time);
            assert_eq!(line(again.0, &again.1), written);
            assert_eq!(written.matches('\n').count(), 1);
        }
    });
});
