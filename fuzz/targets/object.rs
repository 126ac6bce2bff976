//! Objects of stores that many machines share: their heads, their signatures and their bodies.

#![no_main]

use fleche::fuzzing::{calls_in_object, object, object_body, object_head, packed};
use fleche_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What nobody who is trusted signed is read no further.
    bounded(bytes, 16, || object_body(bytes));
    if let Some(again) = bounded(bytes, 16, || object_head(bytes)) {
        assert_eq!(object_head(&again), Some(again));
    }
    let signed = object(bytes).expect("it is signed");
    assert_eq!(bounded(&signed, 16, || object_body(&signed)).as_deref(), Some(bytes));
    calls_in_object(bytes);
    // The same behind a compression that fits, which no chance finds.
    packed(bytes).and_then(|body| calls_in_object(&body));
});
