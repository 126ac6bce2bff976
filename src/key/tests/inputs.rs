//! What declared words observe.

use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::key::{ObserveError, observe};
use crate::model::{Digest, Facet, Observation, State};
use crate::sys::stamp;

use super::super::content::SMALL;
use super::super::facets::{Wanted, bytes};
use super::super::inputs::{Candidate, Glance};
use super::super::look::{Subject, look};
use super::world::{Memory, World, request, shown};

fn tree() -> World {
    let world = World::new();
    for (name, content) in
        [("src/a.c", "a"), ("src/b.h", "b"), ("src/deep/er/c.c", "c"), ("src/.hidden", "h"), ("top", "t")]
    {
        world.write(name, content);
    }
    world.folder("src/empty");
    world
}

fn seen(world: &World, options: &[&str]) -> Vec<String> {
    shown(&world.observe(&request(options)))
}

#[test]
fn a_folder_means_its_whole_tree() {
    let world = tree();
    world.script("src/run", "x");
    world.link("a.c", "src/link");
    world.fifo("src/pipe");
    let listener = UnixListener::bind(world.path("src/socket")).unwrap();
    let all = [
        "src/",
        "src/.hidden",
        "src/a.c",
        "src/b.h",
        "src/deep/",
        "src/deep/er/",
        "src/deep/er/c.c",
        "src/empty/",
        "src/link -> a.c",
        "src/pipe special 10000",
        "src/run*",
        "src/socket special 140000",
    ];
    assert_eq!(seen(&world, &["-i", "src"]), all);
    assert_eq!(seen(&world, &["-i", "src/../src/.", "-i", "./src/a.c", "-i", "src/"]), all);
    drop(listener);
}

#[test]
fn the_root_itself_is_a_dot() {
    let world = World::new();
    world.write("f", "");
    assert_eq!(seen(&world, &["-i", "."]), ["./", "f"]);
}

#[test]
fn literal_words_are_what_they_are() {
    let world = tree();
    world.link("nowhere", "dangling");
    world.link("loop", "loop");
    world.link("src/empty", "to-folder");
    world.link("/dev/null", "to-device");
    world.write("[a].c", "");
    world.write("a.c", "");
    for (word, expected) in [
        ("top", "top"),
        ("nowhere", "nowhere absent"),
        ("no/where", "no/where absent"),
        ("top/below", "top/below absent"),
        ("dangling", "dangling -> nowhere absent"),
        ("loop", "loop -> loop absent"),
        ("loop/x", "loop/x absent"),
        ("to-folder", "to-folder -> src/empty/"),
        ("to-device", "to-device -> /dev/null special 20000"),
        ("/dev/null", "/dev/null special 20000"),
    ] {
        assert_eq!(seen(&world, &["-i", word]), [expected], "{word}");
    }
    // Which of the two the command means, only the command knows.
    assert_eq!(seen(&world, &["-i", "[a].c"]), ["[a].c", "a.c"]);
    let long = "x".repeat(300);
    assert_eq!(seen(&world, &["-i", &long]), [format!("{long} absent")]);
}

#[test]
fn a_declared_link_to_a_folder_means_the_tree_behind_it() {
    let world = tree();
    world.link("../src", "src/deep/up");
    world.link("src/deep", "l");
    let expected = ["l -> src/deep/", "l/er/", "l/er/c.c", "l/up -> ../src absent"];
    assert_eq!(seen(&world, &["-i", "l"]), expected);
    world.link("../../src", "src/deep/up");
    assert_eq!(seen(&world, &["-i", "l/"])[3], "l/up -> ../../src/");
}

#[test]
fn a_name_that_is_in_the_way_is_observed_too() {
    let world = tree();
    assert_eq!(seen(&world, &["-i", "new/../top"]), ["new absent", "top"]);
    assert_eq!(seen(&world, &["-i", "top/../src/a.c"]), ["src/a.c", "top"]);
    world.folder("new");
    assert_eq!(seen(&world, &["-i", "new/../top"]), ["top"]);
}

#[test]
fn paths_are_relative_to_the_project() {
    let world = World::new();
    world.write("p/fleche.toml", "");
    world.write("p/src/f", "");
    world.write("out", "");
    let request = request(&["-i", "f", "-i", "../../out", "-i", "../src"]);
    let command = world.command_in("p/src", &request).unwrap();
    let observed = observe(&request, &command, &mut Vec::new, &Memory::default(), &[]).unwrap();
    assert_eq!(shown(observed.observations()), [&world.path("out").display().to_string(), "src/", "src/f"]);
}

#[test]
fn globs_match_paths() {
    let world = tree();
    for (glob, expected) in [
        ("src/*.c", vec!["src/a.c"]),
        ("./src/*.c", vec!["src/a.c"]),
        ("src/*.{c,h}", vec!["src/a.c", "src/b.h"]),
        ("src/[ab].?", vec!["src/a.c", "src/b.h"]),
        ("src/**/*.c", vec!["src/a.c", "src/deep/er/c.c"]),
        ("**/c.c", vec!["src/deep/er/c.c"]),
        ("src/*/*/c.c", vec!["src/deep/er/c.c"]),
        ("src/d*", vec!["src/deep/", "src/deep/er/", "src/deep/er/c.c"]),
        ("src/deep/**", vec!["src/deep/er/", "src/deep/er/c.c"]),
        ("*o*", vec!["top"]),
        ("src/*/", vec!["src/deep/", "src/deep/er/", "src/deep/er/c.c", "src/empty/"]),
        ("src/../s*/a.c", vec!["src/a.c"]),
    ] {
        assert_eq!(seen(&world, &["-i", glob]), expected, "{glob}");
    }
    let absolute = format!("{}/src/*.h", world.root().display());
    assert_eq!(seen(&world, &["-i", &absolute]), ["src/b.h"]);
}

#[test]
fn globs_go_through_links_that_they_name() {
    let world = tree();
    world.write("far/away/x.c", "");
    world.link("../far", "src/l");
    assert_eq!(seen(&world, &["-i", "src/*/away/*.c"]), ["src/l/away/x.c"]);
    assert_eq!(seen(&world, &["-i", "src/l*"]), ["src/l -> ../far/", "src/l/away/", "src/l/away/x.c"]);
    assert_eq!(seen(&world, &["-i", "src/**/*.c"]), ["src/a.c", "src/deep/er/c.c"]);
    // Also where a folder that holds them matches, and a folder is no link.
    world.folder("only");
    world.link("../far", "only/l");
    let all = seen(&world, &["-i", "**"]);
    assert!(["src/l", "only/l"].iter().all(|link| all.contains(&format!("{link}/away/x.c"))), "{all:?}");
    world.remove("only");
    world.link("..", "src/l");
    assert_eq!(seen(&world, &["-i", "src/*/*/*.h"]), ["src/l/src/b.h"]);
    world.link("a.c", "src/l");
    assert_eq!(seen(&world, &["-i", "src/l*"]), ["src/l -> a.c"]);
    assert!(!seen(&world, &["-i", "src/*/"]).contains(&"src/l -> a.c".to_owned()));
}

#[test]
fn a_glob_without_a_match_is_an_error() {
    let world = tree();
    for options in [
        &["-i", "*.x"][..],
        &["-i", "nowhere/*"],
        &["-i", "top/*"],
        &["-i", "nowhere/../*"],
        &["-i", "src/*.h", "-x", "*.h"],
        &["-i", "src/*.h", "-o", "src/b.h"],
    ] {
        match world.try_observe(&request(options)) {
            Err(ObserveError::NoMatch(glob)) => assert_eq!(glob, options[1]),
            other => panic!("{options:?}: {other:?}"),
        }
    }
    match world.try_observe(&request(&["-i", "src/a["])) {
        Err(ObserveError::BadGlob(error)) => assert!(error.to_string().contains("`src/a[`"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(world.try_observe(&request(&["-i", ""])), Err(ObserveError::BadGlob(_))));
    assert!(matches!(world.try_observe(&request(&["-i", "top", "-x", "{"])), Err(ObserveError::BadGlob(_))));
}

#[test]
fn exclusions_and_outputs_are_left_out_unless_they_are_named() {
    let world = tree();
    assert_eq!(seen(&world, &["-i", "src", "-x", "deep", "-x", ".*", "-x", "empty/"]), ["src/", "src/a.c", "src/b.h"]);
    assert_eq!(seen(&world, &["-i", "src/deep", "-x", "src/deep/**"]), ["src/deep/"]);
    assert_eq!(seen(&world, &["-i", "src/**", "-x", "*.c", "-x", "deep"]), ["src/.hidden", "src/b.h", "src/empty/"]);
    assert_eq!(seen(&world, &["-i", "src/b.h", "-x", "*.h", "-x", "src"]), ["src/b.h"]);
    let outputs = ["-i", ".", "-o", "src/deep/", "-o", "top", "-o", "src/*.h", "-o", "src/.hidden"];
    assert_eq!(seen(&world, &outputs), ["./", "src/", "src/a.c", "src/empty/"]);
    assert_eq!(seen(&world, &["-i", "src/deep", "-o", "src/"]), ["src/deep/", "src/deep/er/", "src/deep/er/c.c"]);
    assert_eq!(seen(&world, &["-i", "top", "-o", "top"]), ["top"]);
}

#[test]
fn what_git_ignores_is_left_out_unless_it_is_named() {
    let world = tree();
    world.write(".gitignore", "*.h\n/src/empty/\n");
    world.write("src/deep/.gitignore", "er/\n");
    world.write(".git/HEAD", "");
    assert_eq!(
        seen(&world, &["-i", "src", "--gitignore"]),
        ["src/", "src/.hidden", "src/a.c", "src/deep/", "src/deep/.gitignore"]
    );
    assert_eq!(seen(&world, &["-i", ".", "--gitignore"]).iter().filter(|line| line.contains(".git/")).count(), 0);
    assert_eq!(seen(&world, &["-i", "src/b.h", "--gitignore"]), ["src/b.h"]);
    assert_eq!(seen(&world, &["-i", "src/*.*", "--gitignore"]), ["src/.hidden", "src/a.c"]);
    world.remove(".git");
    assert_eq!(
        seen(&world, &["-i", "src/*", "--gitignore"]),
        ["src/.hidden", "src/a.c", "src/deep/", "src/deep/.gitignore"]
    );
    world.link("src/deep", "l");
    assert_eq!(seen(&world, &["-i", "l", "--gitignore"]), ["l -> src/deep/", "l/.gitignore"]);
}

#[test]
fn the_store_is_never_walked_through() {
    let world = tree();
    let store = world.path("src/deep");
    world.link("src", "alias");
    world.folder("links");
    world.link("../src/deep", "links/store");
    world.link("../src/deep/er", "links/below");
    let request = request(&["-i", ".", "-i", "alias", "-i", "links"]);
    let seen = observe(&request, &world.command(&request), &mut Vec::new, &Memory::default(), &[store]).unwrap();
    assert!(shown(seen.observations()).iter().all(|line| !line.starts_with("src/deep")), "{seen:?}");
    assert!(shown(seen.observations()).contains(&"alias/a.c".to_owned()));
}

#[test]
fn a_word_that_no_path_can_be_is_no_path_at_which_nothing_is() {
    let found = World::new().try_observe(&request(&["-i", "a\0b"]));
    assert!(matches!(found, Err(ObserveError::Unreadable(..))), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let world = tree();
    // Nobody can read a process's memory from its beginning, not even root.
    world.link("/proc/self/mem", "src/l");
    match world.try_observe(&request(&["-i", "src"])) {
        Err(ObserveError::Unreadable(path, _)) => assert_eq!(path, Path::new("src/l")),
        other => panic!("{other:?}"),
    }
}

/// An observation of `path` with this digest and the stamp that the file has now.
fn known(world: &World, path: &str, digest: Digest) -> Observation {
    let stamp = Some(stamp::of(&world.path(path)).unwrap());
    Observation { path: path.into(), facet: Facet::Whole, state: State::File { mode: 0o644, digest }, stamp }
}

fn digest_of(observations: &[Observation], path: &str) -> Option<Digest> {
    match &observations.iter().find(|seen| seen.path == Path::new(path))?.state {
        State::File { digest, .. } => Some(*digest),
        State::Link { behind, .. } => match **behind {
            State::File { digest, .. } => Some(digest),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn a_known_stamp_saves_the_reading() {
    let world = tree();
    world.link("a.c", "src/l");
    let false_digest = Digest::of(b"told");
    let request = request(&["-i", "src"]);
    let look = |known: &[Observation]| {
        observe(&request, &world.command(&request), &mut || known.to_vec(), &Memory::default(), &[])
            .unwrap()
            .observations()
            .to_vec()
    };
    let mut told = vec![known(&world, "src/a.c", false_digest), known(&world, "src/b.h", false_digest)];
    let seen = look(&told);
    assert_eq!(digest_of(&seen, "src/a.c"), Some(false_digest));
    assert_eq!(digest_of(&seen, "src/l"), Some(Digest::of(b"a")));
    // Another stamp, none, or the stamp of something else proves nothing.
    told[0].stamp.as_mut().unwrap().changed += 1;
    told[1].stamp = None;
    let link = State::Link { target: b"a.c".to_vec(), behind: Box::new(told[0].state.clone()) };
    told.push(Observation {
        path: "src/l".into(),
        facet: Facet::Whole,
        state: link,
        stamp: known(&world, "src/b.h", false_digest).stamp,
    });
    let seen = look(&told);
    for (path, content) in [("src/a.c", "a"), ("src/b.h", "b"), ("src/l", "a")] {
        assert_eq!(digest_of(&seen, path), Some(Digest::of(content.as_bytes())), "{path}");
    }
    told[2].stamp = known(&world, "src/a.c", false_digest).stamp;
    assert_eq!(digest_of(&look(&told), "src/l"), Some(false_digest));
}

#[test]
fn large_files_are_remembered_small_ones_are_read() {
    let world = World::new();
    world.write("small", "s");
    world.write("large", vec![0; 1 << 17]);
    let false_digest = Digest::of(b"told");
    let known = ["small", "large"].map(|name| (stamp::of(&world.path(name)).unwrap(), false_digest));
    let memory = Memory { known: known.to_vec(), ..Memory::default() };
    let request = request(&["-i", "small", "-i", "large"]);
    let seen = observe(&request, &world.command(&request), &mut Vec::new, &memory, &[]).unwrap();
    let seen = seen.observations();
    assert_eq!(digest_of(seen, "small"), Some(Digest::of(b"s")));
    assert_eq!(digest_of(seen, "large"), Some(false_digest));
    assert_eq!(seen[0].stamp, Some(known[1].0));
    // The file is young, so its stamp proves nothing and is not told.
    let memory = Memory::default();
    let seen = observe(&request, &world.command(&request), &mut Vec::new, &memory, &[]).unwrap();
    let seen = seen.observations();
    assert_eq!(digest_of(seen, "large"), Some(Digest::of(&vec![0; 1 << 17])));
    assert!(memory.told.borrow().is_empty());
    assert!(seen.iter().all(|seen| seen.stamp.is_none()));
}

#[test]
fn of_all_files_that_are_read_the_large_ones_with_proven_stamps_are_remembered() {
    let world = World::new();
    for (size, time, is_told) in [
        (SMALL, i64::MAX, false),
        (SMALL + 1, i64::MAX, true),
        (SMALL + 2, i64::MAX, true),
        (SMALL + 1, 0, false),
        (1, i64::MAX, false),
        (1, 0, false),
    ] {
        let path = world.write("f", vec![0; size as usize]);
        let found = stamp::of(&path).unwrap();
        let (observing, watching) = (Memory::default(), Memory::default());
        let candidate = Candidate { path: path.clone(), found: Glance::Unknown };
        look(&[Subject { recorded: "f".into(), candidate, known: None }], &observing, time).unwrap();
        bytes(&[Wanted { path, found, known: None }], &watching, time).remove(0).unwrap();
        for memory in [observing, watching] {
            assert_eq!(memory.told.borrow().iter().any(|(stamp, _)| *stamp == found), is_told, "{size} {time}");
        }
    }
}

#[test]
fn old_files_have_stamps_that_prove_something() {
    let world = World::new();
    // Somebody else's file is old enough; ours cannot be made so, as no program can set a change time.
    let request = request(&["-i", "/etc/passwd"]);
    let seen = world.observe(&request);
    assert_eq!(seen[0].stamp, Some(stamp::of(Path::new("/etc/passwd")).unwrap()));
}

#[test]
fn many_paths_are_looked_at_in_order() {
    let world = World::new();
    for number in 0..1500 {
        world.write(format!("src/{number:04}"), number.to_string());
    }
    let seen = world.observe(&request(&["-i", "src"]));
    assert_eq!(seen.len(), 1501);
    for (number, observation) in seen.iter().skip(1).enumerate() {
        assert_eq!(observation.path, Path::new(&format!("src/{number:04}")));
        assert_eq!(
            digest_of(std::slice::from_ref(observation), &format!("src/{number:04}")),
            Some(Digest::of(number.to_string().as_bytes()))
        );
    }
}

#[test]
fn links_in_a_folder_are_followed_under_the_name_of_where_they_end() {
    let world = tree();
    world.write("far/one/f", "1");
    world.link("../far", "src/l");
    world.link("../far/one/f", "src/f");
    // Round in circles, by one link and by two.
    world.link(".", "src/self");
    world.link("../../src", "far/one/back");
    // Through another link, which the first one's text does not tell.
    world.link("one/f", "far/last");
    world.link("../l/last", "src/deep/through");
    let all = [
        "far/last -> one/f",
        "far/one/",
        "far/one/back -> ../../src/",
        "far/one/f",
        "src/",
        "src/.hidden",
        "src/a.c",
        "src/b.h",
        "src/deep/",
        "src/deep/er/",
        "src/deep/er/c.c",
        "src/deep/through -> ../l/last",
        "src/empty/",
        "src/f -> ../far/one/f",
        "src/l -> ../far/",
        "src/self -> ./",
    ];
    assert_eq!(seen(&world, &["-i", "src"]), all);
    // Where no folder leads to it, a chain of links is followed all the same.
    assert_eq!(seen(&world, &["-i", "src/deep/through"]), ["far/one/f", "src/deep/through -> ../l/last"]);
}
