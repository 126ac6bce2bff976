//! A look by an inventory finds what an ordinary look finds, whatever happened in between.

use std::cell::Cell;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::world::{Memory, World, request, shown};
use crate::key::{ObserveError, Observed, confirm, observe};
use crate::model::{CommandDigest, Digest, Fields, Inventory, Key, Observation, Reader, Request, Room, Shelf, Writer};
use crate::sys::stamp;

#[derive(Clone, Debug)]
enum Edit {
    Write(String, String),
    Folder(String),
    Remove(String),
    Rename(String, String),
    Link(String, String),
    Fifo(String),
    Mode(String, u32),
    /// Makes a folder beside the tree, to which links may lead, or takes it away.
    Beside,
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "l"]), 1..4).prop_map(|names| names.join("/"))
}

fn edit() -> impl Strategy<Value = Edit> {
    let target =
        prop::sample::select(vec!["a", "b", "../a", "../b", "b/a", ".", "..", "nowhere", "../beside", "../../beside"]);
    let mode = prop::sample::select(vec![0o644, 0o755, 0o600, 0o700]);
    prop_oneof![
        6 => (path(), "[xyz]{0,2}").prop_map(|(path, text)| Edit::Write(path, text)),
        4 => path().prop_map(Edit::Folder),
        2 => path().prop_map(Edit::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        3 => (path(), target).prop_map(|(path, target)| Edit::Link(path, target.to_owned())),
        1 => path().prop_map(Edit::Fifo),
        2 => Just(Edit::Beside),
        2 => (path(), mode).prop_map(|(path, mode)| Edit::Mode(path, mode)),
    ]
}

/// Does what can be done, below `tree`.
fn apply(world: &World, edit: &Edit) {
    let at = |path: &str| world.path("tree").join(path);
    let _ = match edit {
        // Whoever writes to a FIFO waits for its reader.
        Edit::Write(path, text) => match fs::metadata(at(path)) {
            Ok(found) if !found.is_file() => Ok(()),
            _ => fs::write(at(path), text),
        },
        Edit::Folder(path) => fs::create_dir_all(at(path)),
        Edit::Remove(path) => fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path))),
        Edit::Rename(from, to) => fs::rename(at(from), at(to)),
        Edit::Link(path, target) => {
            let _ = fs::remove_file(at(path));
            std::os::unix::fs::symlink(target, at(path))
        }
        Edit::Fifo(path) => {
            let mode = rustix::fs::Mode::RWXU;
            let made = rustix::fs::mknodat(rustix::fs::CWD, at(path), rustix::fs::FileType::Fifo, mode, 0);
            made.map_err(Into::into)
        }
        Edit::Beside => {
            let (beside, away) = (world.path("beside"), world.path("away"));
            fs::rename(&beside, &away).or_else(|_| fs::rename(&away, &beside)).or_else(|_| {
                fs::create_dir_all(beside.join("a"))?;
                fs::write(beside.join("b"), "b")
            })
        }
        // Not through a link that leads out.
        Edit::Mode(path, mode) => match fs::symlink_metadata(at(path)) {
            Ok(found) if !found.is_symlink() => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(mode | if found.is_dir() { 0o700 } else { 0 }))
            }
            _ => Ok(()),
        },
    };
}

fn requests() -> Vec<Request> {
    [
        &["-i", "tree"][..],
        &["-i", "tree", "-x", "b"],
        &["-i", "tree", "-o", "tree/a/b"],
        &["-i", "tree/*"],
        &["-i", "tree/*/*"],
        &["-i", "tree/**/a"],
        &["-i", "tree/[ab]/*/", "-i", "tree/b", "-i", "tree/l"],
        &["-i", "tree/*/*/*"],
        &["-i", "tree/a", "-i", "tree"],
        &["-i", "tree/a", "-i", "tree/b", "-i", "tree/l"],
    ]
    .into_iter()
    .map(request)
    .collect()
}

fn look(world: &World, request: &Request, inventory: Option<Inventory>) -> Result<Observed, ObserveError> {
    let memory = Memory { inventory, ..Memory::default() };
    observe(request, &world.command(request), &mut Vec::new, &memory, &[world.path("tree/b/l")])
}

/// What can be read so often, and not once more.
#[derive(Debug)]
struct Failing {
    bytes: Vec<u8>,
    left: AtomicUsize,
}

impl Shelf for Failing {
    fn bytes<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.ok().and_then(|_| self.bytes.bytes(range, buffer))
    }
}

#[test]
fn what_was_proven_and_cannot_be_read_once_more_answers_for_nothing() {
    let (world, request) = (World::new(), request(&["-i", "tree"]));
    ["a", "b"].iter().for_each(|name| drop(world.write(format!("tree/{name}"), name)));
    tick(&world);
    let before = look(&world, &request, None).unwrap();
    let (body, bytes) = before.inventory_in_time().unwrap().encode();
    let known = |times| {
        let range = 0..bytes.len() as u64;
        let shelf = Failing { bytes: bytes.clone(), left: AtomicUsize::new(times) };
        Inventory::decode(&body, Arc::new(shelf), range, &mut Room::of(Room::OWN)).unwrap()
    };
    let confirmed = |times| {
        let memory = Memory { inventory: Some(known(times)), ..Memory::default() };
        confirm(&request, &world.command(&request), &before, &memory, &[world.path("tree/b/l")])
    };
    // The outline, or not even that: an ordinary look. Both parts: it is proven, and then lost.
    assert!((0..2).all(|times| confirmed(times).is_ok_and(|after| !after.is_proven())));
    let refused = confirmed(2).unwrap_err().to_string();
    assert!(refused.ends_with("what is known of many inputs cannot be read any more"), "{refused}");
    let after = confirmed(3).unwrap();
    assert!(after.is_proven());
    assert_eq!(Observation::digests(after.observations()), Observation::digests(before.observations()));
    let lost = look(&world, &request, Some(known(2))).unwrap();
    assert!(lost.is_proven() && lost.inventory().is_none());
    let keys = |digests: &[Digest]| Key::of(&CommandDigest::of_parts(b"c"), digests, None);
    assert_ne!(keys(&Observation::digests(lost.observations())), keys(&[]));
    assert_ne!(lost.observations(), before.observations());
}

#[test]
fn blocks_that_are_no_groups_prove_nothing() {
    let (world, request) = (World::new(), request(&["-i", "tree"]));
    ["a", "b"].iter().for_each(|name| drop(world.write(format!("tree/{name}"), name)));
    tick(&world);
    let one = look(&world, &request, None).unwrap().inventory_in_time().unwrap();
    let all = one.observations(&mut Room::of(Room::OWN)).unwrap();
    assert!(look(&world, &request, Some(one.clone())).unwrap().is_proven());
    // As one of a fleche would be that makes smaller groups.
    let halves = all
        .chunks(all.len() / 2 + 1)
        .map(|half| Inventory::of(one.identity, half, one.folders.clone(), one.links.clone()).encode());
    let (bodies, blocks): (Vec<Vec<u8>>, Vec<Vec<u8>>) = halves.unzip();
    let told = one.folders.len() + one.links.len();
    let fields = |body: &[u8], range: Range<usize>| {
        let mut writer = Writer::new();
        let fields = Fields::of(body).map(Result::unwrap).collect::<Vec<_>>();
        let end = range.end.min(fields.len());
        fields[range.start..end].iter().for_each(|(name, value)| {
            writer.field(std::str::from_utf8(name).unwrap(), value);
        });
        writer.into_bytes()
    };
    let body = [fields(&bodies[0], 0..2), fields(&bodies[1], 1..2), fields(&bodies[0], 2..2 + told)].concat();
    // All outlines come first.
    let outline = |body: &[u8]| {
        let mut group = Reader::new(Fields::of(body).nth(1).unwrap().unwrap().1);
        group.digest().and_then(|_| group.number()).unwrap() as usize
    };
    let parts: Vec<_> = bodies.iter().zip(&blocks).map(|(body, blocks)| blocks.split_at(outline(body))).collect();
    let (blocks, mut room) = ([parts[0].0, parts[1].0, parts[0].1, parts[1].1].concat(), Room::of(Room::OWN));
    let end = blocks.len() as u64;
    let smaller = Inventory::decode(&body, Arc::new(blocks), 0..end, &mut room).unwrap();
    assert_eq!(smaller.observations(&mut room).as_ref(), Ok(&all));
    assert!(!look(&world, &request, Some(smaller)).unwrap().is_proven());
}

/// Waits until the clock by which files are stamped has gone on.
fn tick(world: &World) {
    let changed = || {
        fs::write(world.path("clock"), "").unwrap();
        stamp::of(&world.path("clock")).unwrap().changed
    };
    let before = changed();
    while changed() == before {}
}

fn told(observed: &Observed) -> Vec<String> {
    shown(observed.observations())
}

/// Looks before and after edits; whether what was known was enough.
fn compare(world: &World, request: &Request, edits: &[Edit]) -> Result<Option<bool>, TestCaseError> {
    let Ok(before) = look(world, request, None) else { return Ok(None) };
    let Some(inventory) = before.inventory_in_time() else { return Ok(None) };
    let (body, blocks) = inventory.encode();
    let range = 0..blocks.len() as u64;
    let decoded = Inventory::decode(&body, Arc::new(blocks), range, &mut Room::of(Room::OWN));
    prop_assert_eq!(decoded.as_ref(), Ok(&inventory));
    tick(world);
    edits.iter().for_each(|edit| apply(world, edit));
    let (ordinary, known) = (look(world, request, None), look(world, request, Some(inventory)));
    match (&ordinary, &known) {
        (Ok(ordinary), Ok(known)) => {
            let key = |seen: &Observed| seen.key_base(&CommandDigest::of_parts(b"c")).bound_to(None);
            prop_assert_eq!(key(known), key(ordinary), "{:?} {:?}", told(ordinary), told(known));
            prop_assert_eq!(
                Observation::key_bytes(known.observations()),
                Observation::key_bytes(ordinary.observations())
            );
            Ok(Some(known.is_proven()))
        }
        (Err(_), Err(_)) => Ok(Some(false)),
        _ => Err(TestCaseError::fail(format!("{ordinary:?} {known:?}"))),
    }
}

#[test]
fn whatever_is_edited_what_is_known_leads_to_what_is_there() {
    let edits = |most| prop::collection::vec(edit(), 0..most);
    let (all, proven) = (Cell::new(0), Cell::new(0));
    TestRunner::new(crate::laws::drawn(100))
        .run(&(edits(24), edits(3)), |(before, between)| {
            for request in requests() {
                let world = World::new();
                world.folder("tree");
                before.iter().for_each(|edit| apply(&world, edit));
                if let Some(is_proven) = compare(&world, &request, &between)? {
                    all.set(all.get() + 1);
                    proven.set(proven.get() + u32::from(is_proven));
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(proven.get() * 3 > all.get() && proven.get() < all.get(), "{} of {}", proven.get(), all.get());
}

#[test]
fn what_is_as_it_was_is_not_looked_at_anew() {
    let world = World::new();
    world.folder("tree/folder");
    for file in ["tree/file", "tree/folder/file", "beside"] {
        fs::write(world.path(file), "x").unwrap();
    }
    for (target, link) in
        [("file", "to-file"), ("../beside", "out"), ("folder", "to-folder"), ("nowhere", "to-nothing")]
    {
        world.link(target, &format!("tree/{link}"));
    }
    apply(&world, &Edit::Fifo("fifo".into()));
    let request = request(&["-i", "tree"]);
    let looked = |request: &Request, inventory: &Option<Inventory>| look(&world, request, inventory.clone()).unwrap();
    let inventory = looked(&request, &None).inventory_in_time();
    assert_eq!(looked(&request, &inventory).looked_anew(), Some(0));
    // A file that was written into, alone and behind its link, and a mode.
    tick(&world);
    fs::write(world.path("tree/file"), "y").unwrap();
    assert_eq!(looked(&request, &inventory).looked_anew(), Some(2));
    apply(&world, &Edit::Mode("folder/file".into(), 0o600));
    assert_eq!(looked(&request, &inventory).looked_anew(), Some(3));
    apply(&world, &Edit::Mode("folder".into(), 0o700));
    let known = looked(&request, &inventory);
    assert_eq!((known.looked_anew(), told(&known)), (Some(5), told(&looked(&request, &None))));
}

/// What the law meets seldom.
#[test]
fn what_lies_where_no_folder_was_read_is_looked_at() {
    let write = |path: &str| Edit::Write(path.into(), "x".into());
    let link = |path: &str, target: &str| Edit::Link(path.into(), target.into());
    let (folder, remove) = (|path: &str| Edit::Folder(path.into()), |path: &str| Edit::Remove(path.into()));
    let words = &["-i", "tree/a", "-i", "tree/b"][..];
    let scenes = [
        (words, vec![folder("a"), write("b")], vec![remove("b")]),
        (words, vec![folder("a"), write("b")], vec![remove("b"), folder("b"), write("b/x")]),
        (words, vec![folder("a")], vec![write("b")]),
        (words, vec![folder("a"), link("b", "a/l")], vec![write("a/l")]),
        (words, vec![folder("a"), link("b", "l")], vec![folder("l"), write("l/x")]),
        (&["-i", "tree/*/*"], vec![write("a/b"), link("l", "../beside")], vec![Edit::Beside]),
        // Now the folder that is left out is there.
        (&["-i", "tree", "-x", "b"], vec![folder("b")], vec![link("b/l", "../a")]),
        (&["-i", "tree/*/*"], vec![Edit::Beside, link("l", "../beside"), write("a/b")], vec![Edit::Beside]),
    ];
    for (number, (words, before, between)) in scenes.into_iter().enumerate() {
        let world = World::new();
        for folder in ["tree", "tree/a"] {
            world.folder(folder);
        }
        before.iter().for_each(|edit| apply(&world, edit));
        let before = look(&world, &request(words), None).unwrap();
        let shown = told(&before);
        assert_eq!(compare(&world, &request(words), &between).unwrap(), Some(false), "{number}: {shown:?}");
    }
}

#[test]
fn where_the_store_is_decides_as_well() {
    for links in [false, true] {
        let world = World::new();
        for name in ["one", "two"] {
            let folder = if links { world.path(name) } else { world.path("tree").join(name) };
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("f"), name).unwrap();
        }
        world.folder("tree");
        if links {
            world.link("../one", "tree/l");
            world.link("../two", "tree/m");
        }
        let place = |name: &str| world.link(&if links { name.to_owned() } else { format!("tree/{name}") }, "store");
        let look = |inventory| {
            let (request, memory) = (request(&["-i", "tree"]), Memory { inventory, ..Memory::default() });
            observe(&request, &world.command(&request), &mut Vec::new, &memory, &[world.path("store")]).unwrap()
        };
        place("one");
        let inventory = look(None).inventory_in_time();
        place("two");
        assert_eq!(told(&look(inventory)), told(&look(None)), "{links}");
    }
}
