//! What an exported file brings, and what it cannot bring.

use std::path::Path;

use super::reader::check;
use super::*;
use crate::error::Error;
use crate::model::{CommandDigest, Content, Digest, Key, Output, OutputKind};
use crate::store::frame::{self, Kind};
use crate::store::testing::{World, call, everything, path_set};
use crate::store::{Durability, Existing, Store};

/// A call whose key is the one that it must have, with an output of so many bytes.
fn recorded(world: &World, name: &str, length: usize) -> Call {
    let mut recording = world.store.recording().unwrap();
    let content = recording.keep(world.pending(&vec![7; length])).unwrap();
    let made = with_output(name, content);
    let set = path_set(&made);
    recording.store(&made, Durability::Buffered, Some(set)).unwrap();
    made
}

fn with_output(name: &str, content: Content) -> Call {
    let mut made = call(name);
    let kind = OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
    made.outcome.outputs.push(Output { path: "out".into(), kind });
    made.key = Key::of(&made.command, &Observation::digests(&made.observations), None);
    made
}

/// A call that is bound to its root, or to the name of that, comes as one that is bound to nothing.
#[test]
fn calls_that_are_bound_to_their_place_come_back() {
    let (from, to) = (World::new(), World::new());
    let mut made = recorded(&from, "a", 10);
    let root = made.root.clone();
    let name = root.file_name().unwrap().as_encoded_bytes();
    for bound in [None, Some(name), Some(root.as_os_str().as_encoded_bytes())] {
        made.key = Key::of(&made.command, &Observation::digests(&made.observations), bound);
        assert_eq!(check(&parcel(&made)), Ok(()), "{bound:?}");
        let (verdicts, read) = taken(&to.store, &exported(&from, &[made.clone()]));
        assert!(matches!(verdicts[..], [Verdict::Stored]) && read.is_ok(), "{bound:?} {verdicts:?}");
    }
    made.key = Key::of(&made.command, &Observation::digests(&made.observations), Some(b"elsewhere"));
    assert!(check(&parcel(&made)).is_err());
}

fn parcel(call: &Call) -> Parcel {
    Parcel {
        call: call.clone(),
        path_set: Some(call.observations.clone()),
        told: vec![("stdin".into(), "none".into())],
    }
}

fn exported(world: &World, calls: &[Call]) -> Vec<u8> {
    let mut exporter = Exporter::begin(Vec::new()).unwrap();
    for call in calls {
        exporter.add(&parcel(call), &world.store).unwrap().unwrap();
    }
    exporter.end().unwrap()
}

/// What becomes of the calls in a file, and how reading it ended.
fn imported(store: &Store, bytes: &[u8], existing: Existing) -> (Vec<Verdict>, Result<(), Error>) {
    let mut verdicts = Vec::new();
    let read = (|| {
        let mut importer = Importer::begin(bytes, 1 << 20)?;
        while let Some(next) = importer.next_call()? {
            verdicts.push(match next {
                Ok(parcel) => importer.store(&parcel, store, existing)?,
                Err(why) => {
                    importer.pass()?;
                    Verdict::Refused(why)
                }
            });
        }
        Ok(())
    })();
    (verdicts, read)
}

fn taken(store: &Store, bytes: &[u8]) -> (Vec<Verdict>, Result<(), Error>) {
    imported(store, bytes, Existing::Kept)
}

#[test]
fn what_is_exported_comes_back_with_each_value_once() {
    let (from, to) = (World::new(), World::new());
    let calls = [recorded(&from, "a", 30_000), recorded(&from, "b", 30_000), recorded(&from, "c", 5)];
    let bytes = exported(&from, &calls);
    assert!(bytes.len() < 40_000, "{}", bytes.len());
    let (verdicts, read) = taken(&to.store, &bytes);
    read.unwrap();
    assert_eq!(verdicts, [Verdict::Stored, Verdict::Stored, Verdict::Stored]);
    for call in &calls {
        assert_eq!(to.store.call(&call.key), Ok(Some(call.clone())));
        assert!(call.values().all(|content| to.store.value(content).is_ok()));
        assert_eq!(to.store.path_sets(&call.command).keys, [call.key]);
    }
    let before = everything(&to.store.folder().join("values"));
    assert_eq!(taken(&to.store, &bytes).0, [Verdict::Present, Verdict::Present, Verdict::Present]);
    assert_eq!(everything(&to.store.folder().join("values")).len(), before.len());
    assert_eq!(imported(&to.store, &bytes, Existing::Replaced).0, verdicts);
}

#[test]
fn a_file_that_is_cut_anywhere_brings_whole_calls_or_none_and_the_whole_one_the_rest() {
    let from = World::new();
    let calls = [recorded(&from, "a", 30_000), recorded(&from, "b", 70)];
    let bytes = exported(&from, &calls);
    for length in (0..bytes.len()).step_by(97).chain(bytes.len() - 60..bytes.len()) {
        let to = World::new();
        let (verdicts, read) = taken(&to.store, &bytes[..length]);
        assert!(read.is_err(), "{length}");
        for (call, verdict) in calls.iter().zip(&verdicts) {
            assert_eq!(*verdict, Verdict::Stored, "{length}");
            assert!(call.values().all(|content| to.store.value(content).is_ok()), "{length}");
        }
        let (verdicts, read) = taken(&to.store, &bytes);
        assert!(read.is_ok() && verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Refused(_))), "{length}");
    }
}

#[test]
fn any_flipped_bit_is_found_before_a_call_is_stored_that_it_touches() {
    let from = World::new();
    let calls = [recorded(&from, "a", 20_000), recorded(&from, "b", 70)];
    let bytes = exported(&from, &calls);
    for at in (0..bytes.len()).step_by(61) {
        let to = World::new();
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let (_, read) = taken(&to.store, &flipped);
        assert!(read.is_err(), "{at}");
        for call in &calls {
            let stored = to.store.call(&call.key).unwrap();
            assert!(stored.is_none_or(|stored| stored == *call), "{at}");
            if to.store.call(&call.key).unwrap().is_some() {
                assert!(call.values().all(|content| to.store.value(content).is_ok()), "{at}");
            }
        }
    }
}

/// What the decoder of outputs says of rights that no call has.
const SETUID: &str = "malformed mode";

/// A file that holds `call` as it is, and these values.
fn forged(call: &Call, values: &[&[u8]]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut part = |kind: Part, body: &[u8]| {
        bytes.push(kind as u8);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(body);
    };
    part(Part::Call, &frame::seal(Kind::Parcel, &parcel(call).encode()));
    values.iter().for_each(|value| part(Part::Value, value));
    bytes.push(Part::End as u8);
    bytes.extend_from_slice(&32u64.to_le_bytes());
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn forged_calls_are_refused_by_name() {
    let file = |content| OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
    let inline = || Content::inline(b"x".to_vec());
    let at = |path: &str| {
        let mut made = with_output("a", inline());
        made.outcome.outputs[0].path = path.into();
        made
    };
    let plain = |change: &dyn Fn(&mut Call)| {
        let mut made = with_output("a", inline());
        change(&mut made);
        made
    };
    let wrong_key = "its key is not that of its command and of what it observed";
    let cases: [(Call, &str); 12] = [
        (at("../out"), "the output `../out` is no plain path"),
        (at("a/../../out"), "the output `a/../../out` is no plain path"),
        (at("."), "the output `.` is no plain path"),
        (at(""), "the output `` is no plain path"),
        (at("/etc/passwd"), "the output `/etc/passwd` is outside its root, and nobody asked for it"),
        (plain(&|call| call.key = Key(Digest::of(b"other"))), wrong_key),
        (plain(&|call| call.command = CommandDigest::of_parts(b"other")), wrong_key),
        (plain(&|call| call.observations.clear()), wrong_key),
        (plain(&|call| call.root = "relative".into()), "its folders are not absolute"),
        (
            plain(&|call| {
                let mut content = inline();
                content.inline = Some(b"y".to_vec());
                call.outcome.stdout = Some(content);
            }),
            &format!("value {} is not what its name says", inline().digest.short()),
        ),
        (
            plain(&|call| {
                let kind = OutputKind::File { mode: 0o4755, content: inline(), modified: 0, dated: false, kept: false };
                call.outcome.outputs[0].kind = kind;
            }),
            SETUID,
        ),
        (
            plain(&|call| call.outcome.outputs[0].kind = OutputKind::Folder { mode: 0o1777, owned: true, dated: None }),
            SETUID,
        ),
    ];
    for (call, why) in &cases {
        let to = World::new();
        let (verdicts, read) = taken(&to.store, &forged(call, &[]));
        assert_eq!((verdicts, read.is_ok()), (vec![Verdict::Refused((*why).to_owned())], true));
        assert_eq!(to.store.call(&call.key), Ok(None));
    }
    let to = World::new();
    let content = Content { digest: Digest::of(b"value"), length: 5, inline: None };
    let call = plain(&|call| call.outcome.outputs[0].kind = file(content.clone()));
    let cases: [(&[&[u8]], &str); 4] = [
        (&[], &format!("the stored call is damaged: value {} is gone", content.digest.short())),
        (&[b"other"], "a value is not one of its own"),
        (&[b"value", b"other"], "a value is not one of its own"),
        (&[&[0; (1 << 20) + 1]], "a value has 1048577 bytes"),
    ];
    for (values, why) in cases {
        let (verdicts, read) = taken(&to.store, &forged(&call, values));
        assert_eq!((verdicts, read.is_ok()), (vec![Verdict::Refused(why.to_owned())], true));
        assert_eq!(to.store.call(&call.key), Ok(None));
    }
    assert_eq!(taken(&to.store, &forged(&call, &[b"value"])).0, [Verdict::Stored]);
}

#[test]
fn what_claims_to_be_large_takes_no_room() {
    let to = World::new();
    for kind in [Part::Call, Part::Value] {
        let mut bytes = MAGIC.to_vec();
        bytes.push(kind as u8);
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(taken(&to.store, &bytes).1.is_err());
        bytes.truncate(MAGIC.len() + 1);
        bytes.extend_from_slice(&(200u64 << 20).to_le_bytes());
        assert!(taken(&to.store, &bytes).1.is_err());
    }
}

#[test]
fn what_is_no_exported_file_is_told() {
    let to = World::new();
    let read = |bytes: &[u8]| taken(&to.store, bytes).1.unwrap_err().to_string();
    assert_eq!(read(b""), "this is no file that fleche exported");
    assert_eq!(read(b"PK\x03\x04 and so on, and so on"), "this is no file that fleche exported");
    assert_eq!(read(b"fleche export 2\n"), "a newer fleche exported this file");
    let mut more = exported(&to, &[]);
    assert!(matches!(taken(&to.store, &more), (verdicts, Ok(())) if verdicts.is_empty()));
    more.push(0);
    assert_eq!(read(&more), "the exported file is damaged: something follows its end");
}

#[test]
fn a_call_that_lost_a_value_is_left_out() {
    let from = World::new();
    let (lost, whole) = (recorded(&from, "a", 30_000), recorded(&from, "b", 40_000));
    let own = |call: &Call| call.values().find(|content| content.inline.is_none()).unwrap().clone();
    let content = &own(&lost);
    std::fs::remove_file(from.value_file(content)).unwrap();
    let mut exporter = Exporter::begin(Vec::new()).unwrap();
    assert!(exporter.add(&parcel(&lost), &from.store).unwrap().is_err());
    exporter.add(&parcel(&whole), &from.store).unwrap().unwrap();
    let to = World::new();
    assert_eq!(taken(&to.store, &exporter.end().unwrap()).0, [Verdict::Stored]);
    assert!(Path::exists(&to.value_file(&own(&whole))));
}

#[test]
fn more_parts_of_a_command_than_any_has_are_refused() {
    let room = || crate::store::frame::Bounds::FOREIGN.room();
    for (number, is_read) in [(MOST_TOLD, true), (MOST_TOLD + 1, false)] {
        let mut parcel = parcel(&call("a"));
        parcel.told = (0..number).map(|number| (number.to_string(), "x".to_owned())).collect();
        let read = Parcel::decode(&parcel.encode(), &mut room());
        assert_eq!(read, if is_read { Ok(parcel) } else { Err(Malformed::TOO_MUCH) });
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_from_one_of_something_else() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let why = Importer::begin(Broken, 0).err().unwrap().to_string();
    assert!(why.starts_with("cannot read the exported file"), "{why}");
}

/// The parts of a file that holds `call` and this value, without an end.
fn parts(call: &Call, value: &[u8]) -> Vec<u8> {
    let whole = forged(call, &[value]);
    whole[MAGIC.len()..whole.len() - 9 - 32].to_vec()
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [MAGIC.to_vec(), parts.concat(), vec![Part::End as u8]].concat();
    bytes.extend_from_slice(&32u64.to_le_bytes());
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn what_belongs_to_a_refused_call_is_passed_over() {
    let content = Content { digest: Digest::of(b"value"), length: 5, inline: None };
    let good = with_output("a", content.clone());
    let mut bad = with_output("b", content);
    bad.cwd = "relative".into();
    let to = World::new();
    let (verdicts, read) = taken(&to.store, &ended(&[parts(&bad, b"value"), parts(&good, b"value")]));
    let refused = Verdict::Refused("its folders are not absolute".to_owned());
    assert_eq!((verdicts, read.is_ok()), (vec![refused, Verdict::Stored], true));
}

#[test]
fn a_value_has_as_many_bytes_as_are_taken_or_is_refused() {
    let content = Content { digest: Digest::of(b"value"), length: 5, inline: None };
    let call = with_output("a", content);
    for (most, verdict) in [(5, Verdict::Stored), (4, Verdict::Refused("a value has 5 bytes".to_owned()))] {
        let to = World::new();
        let bytes = forged(&call, &[b"value"]);
        let mut importer = Importer::begin(&bytes[..], most).unwrap();
        let parcel = importer.next_call().unwrap().unwrap().unwrap();
        assert_eq!(importer.store(&parcel, &to.store, Existing::Kept).unwrap(), verdict);
    }
}

#[test]
fn a_call_has_as_many_bytes_as_are_taken_or_is_passed_over() {
    let most = frame::Bounds::PARCEL.most as usize;
    for (length, is_read) in [(most, true), (most + 1, false)] {
        let mut part = vec![Part::Call as u8];
        part.extend_from_slice(&(length as u64).to_le_bytes());
        part.resize(part.len() + length, 0);
        let bytes = ended(&[part]);
        let mut importer = Importer::begin(&bytes[..], 0).unwrap();
        match importer.next_call() {
            Err(why) => assert!(is_read && why.to_string().contains("is damaged"), "{why}"),
            Ok(Some(Err(why))) => assert!(!is_read && why.contains("33554433 bytes"), "{why}"),
            Ok(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_call_looks_nowhere_but_where_its_key_tells() {
    let seen = |path: &str| Observation {
        path: path.into(),
        facet: crate::model::Facet::Whole,
        state: crate::model::State::Absent,
        stamp: None,
    };
    let made = |observations: &[&str], remembered: &[&str]| {
        let mut call = call("a");
        call.observations = observations.iter().map(|path| seen(path)).collect();
        call.key = Key::of(&call.command, &Observation::digests(&call.observations), None);
        let path_set = Some(remembered.iter().map(|path| seen(path)).collect());
        super::reader::check(&Parcel { call, path_set, told: Vec::new() })
    };
    let elsewhere = Err("it looks where its key does not tell of".to_owned());
    assert_eq!(made(&["a", "b"], &["b"]), Ok(()));
    assert_eq!(made(&["b", "a"], &[]), elsewhere);
    assert_eq!(made(&["a", "a"], &[]), elsewhere);
    assert_eq!(made(&["a", "b"], &["c"]), elsewhere);
}

#[test]
fn an_output_outside_is_taken_if_it_was_asked_for() {
    for (outputs, writable, is_taken) in [(0, 0, false), (1, 0, true), (0, 1, true), (1, 1, true)] {
        let mut call = with_output("a", Content::inline(b"x".to_vec()));
        call.outcome.outputs[0].path = "/elsewhere/out".into();
        call.request.outputs = vec!["/elsewhere/out".into(); outputs];
        call.request.watching.writable = vec!["/elsewhere".into(); writable];
        assert_eq!(super::reader::check(&parcel(&call)).is_ok(), is_taken);
    }
}
