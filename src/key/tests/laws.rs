//! What holds of all trees: they are told apart, and equal ones are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::model::Observation;

use super::world::{World, request};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(Vec<u8>, bool),
    Link(String),
    Fifo,
    Folder(BTreeMap<String, Node>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => (prop::collection::vec(any::<u8>(), 0..4), any::<bool>()).prop_map(|(content, exec)| Node::File(content, exec)),
        1 => "[ab]".prop_map(Node::Link),
        1 => Just(Node::Fifo),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::btree_map("[abc\n*]{1,2}", inner, 0..4).prop_map(Node::Folder)
    })
}

fn folder() -> impl Strategy<Value = Node> {
    prop::collection::btree_map("[abc]{1,2}", node(), 0..5).prop_map(Node::Folder)
}

fn make(world: &World, path: &Path, node: &Node) {
    match node {
        Node::File(content, executable) => {
            world.write(path, content);
            world.mode(path.to_str().unwrap(), if *executable { 0o755 } else { 0o644 });
        }
        Node::Link(target) => world.link(target, path.to_str().unwrap()),
        Node::Fifo => world.fifo(path.to_str().unwrap()),
        Node::Folder(entries) => {
            world.folder(path.to_str().unwrap());
            for (name, entry) in entries {
                make(world, &path.join(name), entry);
            }
        }
    }
}

fn key_bytes(node: &Node) -> Vec<u8> {
    let world = World::new();
    make(&world, Path::new("tree"), node);
    Observation::key_bytes(&world.observe(&request(&["-i", "tree"])))
}

/// All trees that differ from `node` in one thing.
fn changes(node: &Node) -> Vec<Node> {
    match node {
        Node::File(content, executable) => {
            let mut longer = content.clone();
            longer.push(0);
            vec![Node::File(content.clone(), !executable), Node::File(longer, *executable), Node::Fifo]
        }
        Node::Link(target) => vec![Node::Link(format!("{target}{target}")), Node::File(target.clone().into(), false)],
        Node::Fifo => vec![Node::File(Vec::new(), false), Node::Folder(BTreeMap::new())],
        Node::Folder(entries) => {
            let with = |change: &dyn Fn(&mut BTreeMap<String, Node>)| {
                let mut entries = entries.clone();
                change(&mut entries);
                Node::Folder(entries)
            };
            let mut all = vec![with(&|entries| drop(entries.insert("new".into(), Node::File(Vec::new(), false))))];
            for (name, entry) in entries {
                all.push(with(&|entries| drop(entries.remove(name))));
                all.push(with(&|entries| {
                    let moved = entries.remove(name).unwrap();
                    entries.insert(format!("{name}x"), moved);
                }));
                let inner = changes(entry).into_iter();
                all.extend(inner.map(|changed| with(&|entries| drop(entries.insert(name.clone(), changed.clone())))));
            }
            all
        }
    }
}

proptest! {
    #![proptest_config(crate::laws::drawn(24))]

    #[test]
    fn equal_trees_and_only_those_are_one(one in folder(), other in folder()) {
        prop_assert_eq!(key_bytes(&one), key_bytes(&one));
        prop_assert_eq!(key_bytes(&one) == key_bytes(&other), one == other);
    }

    #[test]
    fn every_single_change_counts(tree in folder()) {
        let bytes = key_bytes(&tree);
        for changed in changes(&tree) {
            prop_assert_ne!(&key_bytes(&changed), &bytes, "{:?}", changed);
        }
    }
}

#[test]
fn names_that_are_no_text_count() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = |name: &[u8]| {
        let world = World::new();
        world.write(Path::new("tree").join(std::ffi::OsStr::from_bytes(name)), "");
        Observation::key_bytes(&world.observe(&request(&["-i", "tree"])))
    };
    assert_ne!(bytes(b"\xff"), bytes(b"\xfe"));
    assert_ne!(bytes(b"a\nb"), bytes(b"a b"));
}

#[test]
fn deep_trees_are_seen_to_the_end() {
    let world = World::new();
    let mut path = world.path("tree");
    for _ in 0..200 {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("f"), "").unwrap();
    assert_eq!(world.observe(&request(&["-i", "tree"])).len(), 202);
}
