//! Observations in few bytes: of each path only what differs from the one before.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::{Malformed, Observation, Reader, Room, Writer};

/// A path takes over at most so many bytes of the one before it, so that hostile bytes cannot grow without bound when
/// they are read.
const MOST_SHARED: usize = 255;

/// The bytes of `observations`, stamps included.
pub fn encode(observations: &[Observation]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(observations.len() * 64);
    let mut before: &[u8] = b"";
    for observation in observations {
        let path = observation.path.as_os_str().as_bytes();
        let shared = path.iter().zip(before).take(MOST_SHARED).take_while(|(one, other)| one == other).count();
        writer.number(shared as u64).bytes(&path[shared..]);
        observation.encode_rest(&mut writer);
        before = path;
    }
    writer.into_bytes()
}

/// Reads what [`encode`] wrote.
///
/// # Errors
///
/// [`Malformed`], also where it holds more than there is room for.
pub fn decode(bytes: &[u8], room: &mut Room) -> Result<Vec<Observation>, Malformed> {
    /// Most take more bytes than this; a list that grows is copied, and each page of memory is to be had from the kernel.
    const SHORT: usize = 48;
    let mut reader = Reader::new(bytes);
    let mut observations: Vec<Observation> = Vec::with_capacity(bytes.len() / SHORT);
    while !reader.is_empty() {
        let shared = usize::try_from(reader.number()?).ok().filter(|shared| *shared <= MOST_SHARED);
        let before = observations.last().map_or(&b""[..], |before| before.path.as_os_str().as_bytes());
        let shared = shared.and_then(|shared| before.get(..shared)).ok_or(Malformed("path"))?;
        let rest = reader.bytes()?;
        let mut path = Vec::with_capacity(shared.len() + rest.len());
        path.extend_from_slice(shared);
        path.extend_from_slice(rest);
        let path = PathBuf::from(OsString::from_vec(path));
        observations.push(Observation::decode_rest(path, &mut reader, room)?);
    }
    Ok(observations)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Digest, Facet, Stamp, State};

    fn decode(bytes: &[u8]) -> Result<Vec<Observation>, Malformed> {
        super::decode(bytes, &mut Room::of(Room::OWN))
    }

    pub fn observation() -> impl Strategy<Value = Observation> {
        let state = prop_oneof![
            Just(State::Absent),
            any::<u8>().prop_map(|byte| State::File { mode: 0o644, digest: Digest::of(&[byte]) }),
            any::<u64>().prop_map(|rank| State::Replaced { mode: 0o600, empty: false, rank }),
        ];
        let facet = prop_oneof![
            Just(Facet::Whole),
            Just(Facet::Kind),
            Just(Facet::Content),
            "[a-c]{0,3}".prop_map(|name| Facet::Listing { without: vec![name.into()] }),
        ];
        let stamp = any::<(u64, i64)>().prop_map(|(number, time)| Stamp {
            device: 1,
            inode: number,
            size: number,
            modified: time,
            changed: time,
            mode: 0o100_644,
        });
        ("[ab/]{0,300}", facet, state, prop::option::of(stamp)).prop_map(|(path, facet, state, stamp)| Observation {
            path: path.into(),
            facet,
            state,
            stamp,
        })
    }

    proptest! {
        #![proptest_config(crate::laws::drawn(256))]
        #[test]
        fn observations_are_read_back(observations in prop::collection::vec(observation(), 0..12)) {
            prop_assert_eq!(decode(&encode(&observations)), Ok(observations));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn shared_beginnings_are_written_once() {
        let seen = |name: &str| Observation {
            path: format!("/usr/include/x86_64-linux-gnu/bits/{name}").into(),
            facet: Facet::Kind,
            state: State::Absent,
            stamp: None,
        };
        let observations: Vec<Observation> = (0..100).map(|number| seen(&format!("{number:03}"))).collect();
        assert!(encode(&observations).len() < 100 * 8 + 40);
    }

    #[test]
    fn few_bytes_that_say_much_are_refused_before_they_take_the_memory() {
        // Five bytes each: nothing shared, an empty path, a facet, a state, no stamp.
        let bytes = [0, 0, 16, 0, 0].repeat(1_000_000);
        assert_eq!(super::decode(&bytes, &mut Room::of(64 << 20)), Err(Malformed::TOO_MUCH));
        assert_eq!(super::decode(&bytes, &mut Room::of(1 << 30)).unwrap().len(), 1_000_000);
        let mut writer = Writer::new();
        writer.number(0).bytes(b"a").number(20).number(1_000_000);
        let names = [writer.into_bytes(), vec![0; 1_000_002]].concat();
        assert_eq!(super::decode(&names, &mut Room::of(16 << 20)), Err(Malformed::TOO_MUCH));
        assert!(super::decode(&names, &mut Room::of(64 << 20)).is_ok());
    }

    #[test]
    fn no_path_shares_more_than_there_was() {
        let mut writer = Writer::new();
        writer.number(1).bytes(b"a").number(0).number(0);
        assert_eq!(decode(&writer.into_bytes()), Err(Malformed("path")));
        let long = Observation { path: "x".repeat(1000).into(), facet: Facet::Kind, state: State::Absent, stamp: None };
        let bytes = encode(&[long.clone(), long]);
        assert!(bytes.len() > 1000 + 700);
        let mut writer = Writer::new();
        writer.number(0).bytes(&[b'x'; 1000]).number(0).number(0).number(256).bytes(b"").number(0).number(0);
        assert_eq!(decode(&writer.into_bytes()), Err(Malformed("path")));
    }
}
