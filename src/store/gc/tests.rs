//! What garbage collection takes and what it leaves.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::model::{Call, Output, OutputKind};
use crate::store::folder::{call_name, paths_name, value_name};
use crate::store::testing::{World, call, path_set, remote};
use crate::store::{Durability, outbox};

const NOTHING: Progress = &|_, _| {};
/// Without grace, and without limits.
const AT_ONCE: Limits = Limits { max_size: None, max_age: None, max_entries: None, grace: 0 };

/// A value that no call's own file holds.
fn bytes(number: u8) -> Vec<u8> {
    vec![number; 20_000]
}

/// Records a call that wrote these values.
fn record(store: &Store, name: &str, values: &BTreeSet<u8>) -> Result<Call, crate::model::Reason> {
    let mut recording = store.recording()?;
    let mut stored = call(name);
    for number in values {
        let mut spool = store.spool(u64::MAX);
        crate::model::Sink::accept(&mut spool, bytes(*number));
        let content = recording.keep(spool.finish()?)?;
        let kind = OutputKind::File { mode: 0o644, content, modified: 0, dated: false, kept: false };
        stored.outcome.outputs.push(Output { path: number.to_string().into(), kind });
    }
    let set = path_set(&stored);
    recording.store(&stored, Durability::Buffered, Some(set))?;
    Ok(stored)
}

fn collect(store: &Store, limits: &Limits) -> Freed {
    store.collect(&store.gc_plan(limits, NOTHING).unwrap(), NOTHING).unwrap()
}

/// The files below a folder of the store.
fn files(store: &Store, kind: &str) -> BTreeSet<PathBuf> {
    let found = walkdir::WalkDir::new(store.folder().join(kind)).into_iter().filter_map(Result::ok);
    found.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

/// Every call that is there can be replayed.
fn all_replay(store: &Store) {
    for file in files(store, "calls") {
        let shard = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let key = Key((shard + file.file_name().unwrap().to_str().unwrap()).parse().unwrap());
        let call = store.call(&key).unwrap().unwrap();
        for content in call.values() {
            assert!(store.value(content).is_ok(), "{key} lacks {}", content.digest);
        }
    }
}

fn set_age(path: &std::path::Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    fs::File::open(path).unwrap().set_modified(then).unwrap();
}

proptest! {
    #![proptest_config(crate::laws::drawn(24))]
    #[test]
    fn exactly_what_calls_need_is_left(
        calls in prop::collection::vec((0..6u8, prop::collection::btree_set(0..6u8, 0..4)), 0..10),
        gone in prop::collection::btree_set(0..6u8, 0..4),
        most in prop::option::of(0..100_000u64),
    ) {
        let world = World::new();
        let store = &world.store;
        for (name, values) in &calls {
            record(store, &name.to_string(), values).unwrap();
        }
        for name in &gone {
            store.remove(&call(&name.to_string()).key).unwrap();
        }
        let limits = Limits { max_size: most, ..AT_ONCE };
        collect(store, &limits);
        all_replay(store);
        let left: Vec<Call> = (0..6u8).filter_map(|name| store.call(&call(&name.to_string()).key).unwrap()).collect();
        let needed: BTreeSet<PathBuf> = left.iter().flat_map(|call| call.values())
            .filter(|content| content.inline.is_none())
            .map(|content| store.folder().join(value_name(&content.digest))).collect();
        prop_assert_eq!(files(store, "values"), needed);
        let sets: BTreeSet<PathBuf> =
            left.iter().map(|call| store.folder().join(paths_name(&call.command))).collect();
        prop_assert_eq!(files(store, "paths"), sets);
        if let Some(most) = most {
            let size = |kind| files(store, kind).iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
            prop_assert!(size("calls") + size("values") <= most);
        }
        prop_assert!(store.gc_plan(&limits, NOTHING).unwrap().removals().is_empty());
    }
}

#[test]
fn what_recordings_store_meanwhile_is_left() {
    let world = World::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..3u8 {
            let (world, over) = (&world, &over);
            scope.spawn(move || {
                let store = Store::open(world.store.folder()).unwrap();
                for round in 0..40u8 {
                    let values = BTreeSet::from([round % 3, 3 + (round + worker) % 3]);
                    record(&store, &format!("{worker} {}", round % 4), &values).unwrap();
                    if round % 5 == 0 {
                        store.remove(&call(&format!("{worker} {}", round % 3)).key).unwrap();
                    }
                }
                over.store(true, Ordering::Relaxed);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let store = Store::open(world.store.folder()).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let plan = store.gc_plan(&Limits { max_size: Some(60_000), ..AT_ONCE }, NOTHING).unwrap();
                    store.collect(&plan, NOTHING).unwrap();
                }
            });
        }
    });
    all_replay(&world.store);
    assert!(!files(&world.store, "calls").is_empty());
}

#[test]
fn a_plan_that_is_carried_out_late_takes_nothing_that_was_used_since() {
    let world = World::new();
    let store = &world.store;
    let values = BTreeSet::from([1, 2]);
    record(store, "a", &values).unwrap();
    store.remove(&call("a").key).unwrap();
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    assert_eq!(plan.removals().len(), 3);
    record(store, "b", &BTreeSet::from([1])).unwrap();
    let freed = store.collect(&plan, NOTHING).unwrap();
    assert_eq!((freed.values, freed.others, freed.bytes > 20_000), (1, 1, true));
    all_replay(store);

    let plan = store.gc_plan(&Limits { max_size: Some(0), ..AT_ONCE }, NOTHING).unwrap();
    store.used(&call("b").key, 1, "b".into());
    assert_eq!(store.collect(&plan, NOTHING).unwrap(), Freed::default());
    all_replay(store);
    assert_eq!(collect(store, &Limits { max_size: Some(0), ..AT_ONCE }).calls, 1);
}

#[test]
fn what_the_catalogue_does_not_know_is_needed_all_the_same() {
    let world = World::new();
    let store = &world.store;
    record(store, "a", &BTreeSet::from([1])).unwrap();
    store.remove(&call("a").key).unwrap();
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    // No journal line tells of it, and the value has the stamp that it had.
    let value = store.folder().join(value_name(&Digest::of(&bytes(1))));
    let other = World::new();
    let stored = record(&other.store, "b", &BTreeSet::from([1])).unwrap();
    let target = store.folder().join(call_name(&stored.key));
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(other.store.folder().join(call_name(&stored.key)), &target).unwrap();
    store.collect(&plan, NOTHING).unwrap();
    assert!(value.exists());
}

#[test]
fn nothing_goes_while_a_call_cannot_be_read() {
    let world = World::new();
    let store = &world.store;
    record(store, "a", &BTreeSet::from([1])).unwrap();
    record(store, "b", &BTreeSet::new()).unwrap();
    store.remove(&call("a").key).unwrap();
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    // A newer fleche wrote it.
    let mut newer = b"flechec\xff".to_vec();
    newer.extend_from_slice(blake3::hash(&newer).as_bytes());
    fs::write(store.folder().join(call_name(&call("b").key)), newer).unwrap();
    let before = files(store, "values");
    let error = store.collect(&plan, NOTHING).unwrap_err();
    let short = call("b").key.0.short();
    assert_eq!(error.to_string(), format!("call {short} may need anything: a newer fleche wrote call {short}"));
    assert_eq!((files(store, "values"), before.len()), (before, 1));
}

#[test]
fn a_folder_behind_a_link_is_not_taken_for_an_empty_one() {
    let world = World::new();
    let store = &world.store;
    let stored = record(store, "a", &BTreeSet::from([1])).unwrap();
    // Its line in the journal was read.
    store.catalogue().unwrap();
    let shard = store.folder().join(call_name(&stored.key)).parent().unwrap().to_owned();
    let elsewhere = store.folder().join("elsewhere");
    fs::rename(&shard, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &shard).unwrap();
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    let error = store.collect(&plan, NOTHING).unwrap_err().to_string();
    assert!(error.starts_with("cannot list `calls/"), "{error}");
    assert_eq!(files(store, "values").len(), 1);
}

#[test]
fn leftovers_go_when_their_makers_are_gone_or_they_are_old() {
    let world = World::new();
    let store = &world.store;
    world.record(call("a"));
    let place = |name: &str| store.folder().join(name);
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let mine = crate::sys::temporary::name().into_string().unwrap();
    let dead = mine.replace(&format!("-{}-", std::process::id()), &format!("-{}-", child.id()));
    for name in [&mine, &dead, &format!("{dead}-journal"), "strange", "old"] {
        fs::write(place("tmp").join(name), "x").unwrap();
    }
    fs::create_dir_all(place("quarantine/folder")).unwrap();
    fs::write(place("quarantine/file"), "x").unwrap();
    fs::create_dir_all(place("stamps/00")).unwrap();
    fs::write(place("stamps/00/1-2"), "x").unwrap();
    set_age(&place("quarantine/folder"), 31);
    for name in ["tmp/old", "quarantine/file", "stamps/00/1-2"] {
        set_age(&place(name), 31);
    }
    // A call that is yet to be sent stays for a month, and so does the lock of who sends: where it goes many may.
    let (team, key) = (remote("team", "main"), call("a").key);
    store.leave_for(&team, &key);
    drop(store.sender(&team));
    let entry = format!("{}/{key}", outbox::folder_of(&team));
    let mut shown = Vec::new();
    let catalogue = store.complete_catalogue().unwrap();
    store.each_unneeded(&catalogue, &HashSet::new(), NOTHING, |file| shown.push(file.thing)).unwrap();
    shown.retain(|thing| thing.name().starts_with("outbox"));
    shown.sort_by_key(Thing::name);
    let lock = format!("{}.lock", outbox::folder_of(&team));
    assert_eq!(shown, [lock.clone(), entry.clone()].map(Thing::Waiting));
    // What changed lately is no use to anybody old enough, whatever its time says; so this plan is of another time.
    let left =
        |plan: &Plan| -> BTreeSet<String> { plan.removals().iter().map(|removal| removal.thing.name()).collect() };
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    let gone = BTreeSet::from([format!("tmp/{dead}"), format!("tmp/{dead}-journal")]);
    assert_eq!(left(&plan), gone);
    assert_eq!(store.collect(&plan, NOTHING).unwrap(), Freed { others: 2, bytes: 2, ..Freed::default() });
    assert!(place("tmp").join(mine).exists() && !place("tmp").join(dead).exists());
}

#[test]
fn a_folder_whose_removal_was_cut_short_goes() {
    let world = World::new();
    world.record(call("a"));
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let mine = crate::sys::temporary::name().into_string().unwrap();
    let dead = mine.replace(&format!("-{}-", std::process::id()), &format!("-{}-", child.id()));
    let folder = world.store.folder().join("tmp").join(dead);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("copy"), "x").unwrap();
    assert_eq!(collect(&world.store, &AT_ONCE).others, 1);
    assert!(!folder.exists());
}

#[test]
fn a_read_only_store_is_refused() {
    let world = World::new();
    record(&world.store, "a", &BTreeSet::from([1])).unwrap();
    world.store.remove(&call("a").key).unwrap();
    let store = Store::open_read_only(world.store.folder()).unwrap();
    let plan = store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    assert_eq!(plan.removals().len(), 2);
    let error = store.collect(&plan, NOTHING).unwrap_err();
    assert_eq!(error.to_string(), "cannot remove anything: the cache is read-only");
}

#[test]
fn what_cannot_be_removed_is_said() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may remove everything");
        return;
    }
    let world = World::new();
    let stored = record(&world.store, "a", &BTreeSet::from([1])).unwrap();
    world.store.remove(&stored.key).unwrap();
    let value = world.store.folder().join(value_name(&Digest::of(&bytes(1))));
    fs::set_permissions(value.parent().unwrap(), fs::Permissions::from_mode(0o500)).unwrap();
    let plan = world.store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    let error = world.store.collect(&plan, NOTHING).unwrap_err().to_string();
    fs::set_permissions(value.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(error.starts_with("cannot remove `values/"), "{error}");
}

#[test]
fn a_call_that_is_pinned_after_the_plan_was_made_stays() {
    let world = World::new();
    let store = &world.store;
    let stored = record(store, "a", &BTreeSet::from([1])).unwrap();
    let limits = Limits { max_size: Some(0), ..AT_ONCE };
    let plan = || store.gc_plan(&limits, NOTHING).unwrap();
    let told = plan();
    store.tag(&stored.key, |tags| drop(tags.insert("pin".into(), String::new()))).unwrap();
    assert_eq!(store.collect(&told, NOTHING).unwrap(), Freed::default());
    store.tag(&stored.key, |tags| drop(tags.remove("pin"))).unwrap();
    // Its line in the journal is lost, as on a full disk.
    let untold = plan();
    let journal = store.folder().join(journal::CURRENT);
    let before = fs::read(&journal).unwrap();
    store.tag(&stored.key, |tags| drop(tags.insert("pin".into(), String::new()))).unwrap();
    fs::write(&journal, before).unwrap();
    assert_eq!(store.collect(&untold, NOTHING).unwrap(), Freed::default());
    assert_eq!(collect(store, &limits), Freed::default());
    all_replay(store);
    assert_eq!(files(store, "calls").len(), 1);
}

#[test]
fn a_plan_is_void_once_the_journal_made_room_twice() {
    let world = World::new();
    let store = &world.store;
    record(store, "a", &BTreeSet::from([1])).unwrap();
    let limits = Limits { max_size: Some(0), ..AT_ONCE };
    let plan = store.gc_plan(&limits, NOTHING).unwrap();
    let rotate = || {
        fs::rename(store.folder().join(journal::CURRENT), store.folder().join("journal.old")).unwrap();
        store.used(&call("b").key, 1, "b".into());
    };
    rotate();
    rotate();
    let error = store.collect(&plan, NOTHING).unwrap_err();
    assert_eq!(error.to_string(), "too much happened to the cache meanwhile");
    all_replay(store);
    let plan = store.gc_plan(&limits, NOTHING).unwrap();
    rotate();
    assert_eq!(store.collect(&plan, NOTHING).unwrap().calls, 1);
}

#[test]
fn a_value_goes_with_the_last_call_that_names_it() {
    let world = World::new();
    let store = &world.store;
    // Days apart: calls that one tick of the clock recorded go in any order.
    for (name, values, days) in [("a", &[1, 2][..], 3), ("b", &[2, 3], 2), ("c", &[3], 1)] {
        let stored = record(store, name, &values.iter().copied().collect()).unwrap();
        set_age(&store.folder().join(call_name(&stored.key)), days);
    }
    let catalogue = store.catalogue().unwrap();
    let mut freed = Vec::new();
    let show = |call: &crate::store::catalogue::CallFacts| {
        freed.push(call.bytes - call.file_bytes);
        std::ops::ControlFlow::Continue(())
    };
    catalogue.each_by_use(show).unwrap();
    assert_eq!(freed, [20_000, 20_000, 20_000]);
    let calls: u64 = files(store, "calls").iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert_eq!(catalogue.size().unwrap(), 60_000 + calls);
}

#[test]
fn what_was_removed_in_all_is_the_sum() {
    let mut all = Freed { calls: 1, values: 20, others: 300, bytes: 4000 };
    all.add_all(&Freed { calls: 5, values: 60, others: 700, bytes: 8000 });
    all.add_all(&Freed::default());
    assert_eq!(all, Freed { calls: 6, values: 80, others: 1000, bytes: 12_000 });
}

#[test]
fn what_was_touched_after_it_was_seen_is_left() {
    let world = World::new();
    let content = world.keep(&bytes(1));
    let file = world.value_file(&content);
    set_age(&file, 1);
    let plan = world.store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    assert_eq!(plan.removals().len(), 1);
    // A call that needs it is about to be stored, and no line tells of that yet.
    world.keep(&bytes(1));
    assert_eq!(world.store.collect(&plan, NOTHING).unwrap(), Freed::default());
    assert!(file.exists());
    assert_eq!(collect(&world.store, &AT_ONCE).values, 1);
}

#[test]
fn what_calls_need_is_read_in_their_files() {
    let world = World::new();
    let stored = record(&world.store, "a", &BTreeSet::from([1])).unwrap();
    let place = world.store.folder().join(call_name(&stored.key));
    let whole = fs::read(&place).unwrap();
    world.store.remove(&stored.key).unwrap();
    let plan = world.store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    assert_eq!(plan.removals().len(), 2);
    // As if it came from a backup, of which no line tells.
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, whole).unwrap();
    assert_eq!(world.store.collect(&plan, NOTHING).unwrap(), Freed::default());
    all_replay(&world.store);
    assert_eq!(world.store.path_sets(&stored.command).count(), 1);
}

#[test]
fn a_private_folder_that_somebody_took_since_is_left() {
    let world = World::new();
    let name = world.store.private_folder().unwrap().path().to_owned();
    fs::create_dir(&name).unwrap();
    let plan = world.store.gc_plan(&AT_ONCE, NOTHING).unwrap();
    assert_eq!(plan.removals().len(), 1);
    let owner = fs::File::open(&name).unwrap();
    rustix::fs::flock(&owner, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(world.store.collect(&plan, NOTHING).unwrap(), Freed::default());
    assert!(name.exists());
    drop(owner);
    assert_eq!((world.store.collect(&plan, NOTHING).unwrap().others, name.exists()), (1, false));
}
