//! A call's file, and what a replay reads of it.

#![no_main]

use fleche::model::{Answer, Call, Room};
use fleche_fuzz::{bounded, comes_back};
use libfuzzer_sys::fuzz_target;

/// As much as is taken of what others may have written.
fn room() -> Room {
    Room::of(Room::FOREIGN)
}

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, 128, || {
        let call = Call::decode(bytes, &mut room());
        let answer = Answer::decode(bytes, &mut room());
        if let (Ok(call), Ok(answer)) = (&call, &answer) {
            assert_eq!((&call.key, &call.outcome), (&answer.key, &answer.outcome));
        }
        assert!(call.is_err() || answer.is_ok(), "a replay reads less than all");
    });
    if let Ok(call) = Call::decode(bytes, &mut room()) {
        comes_back(&call, Call::encode, |bytes| Call::decode(bytes, &mut room()).ok());
        let (body, apart) = call.encode_apart();
        assert_eq!(Call::decode_parts(&body, &apart, &mut Room::of(Room::OWN)), Ok(call.clone()));
        let _ = (call.grades(), call.name(), call.values().count(), call.outcome.transcript.chunks().count());
    }
});
