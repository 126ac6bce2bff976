//! Outputs that come from the private folder in which they were made.

use super::*;

fn brought(from: &World, to: &World) -> Result<Vec<String>, String> {
    bring_back(&from.places(&["out/**"]), &to.places(&["out/**"]), &Path::to_owned).map_err(|why| why.to_string())
}

fn mode(world: &World, path: &str) -> u32 {
    fs::symlink_metadata(world.at(path)).unwrap().mode() & 0o7777
}

#[test]
fn what_was_made_comes_with_its_modes_and_times_and_replaces_what_lies_there() {
    let (from, to) = (World::new(), World::new());
    from.write("out/old", "new").write("out/d/x", "x").folder("out/narrow").folder("out/there").link("out/l", "old");
    from.mode("out/old", 0o640).mode("out/d/x", 0o755).mode("out/narrow", 0o555).mode("out/there", 0o711);
    from.touch("out/old", 3_000_000_000).touch("out/d/x", 5_000_000_000).mode("out/d", 0o750).link("out/made", "d");
    rustix::fs::mkfifoat(rustix::fs::CWD, from.at("out/fifo"), rustix::fs::Mode::RWXU).unwrap();
    to.write("out/old", "old").link("out/l", "elsewhere").folder("out/there").mode("out/there", 0o700);
    to.write("out/made", "file").write("out/other", "stays");
    assert_eq!(brought(&from, &to), Ok(vec!["output `out/fifo` is a FIFO, and is not brought back".to_owned()]));
    for path in ["out/old", "out/d", "out/d/x", "out/narrow"] {
        assert_eq!(mode(&to, path), mode(&from, path), "{path}");
    }
    assert_eq!(mode(&to, "out/there"), 0o700);
    for path in ["out/old", "out/d/x"] {
        assert_eq!(to.modified(path), from.modified(path), "{path}");
        assert_eq!(fs::read(to.at(path)).unwrap(), fs::read(from.at(path)).unwrap(), "{path}");
    }
    for path in ["out/l", "out/made"] {
        assert_eq!(fs::read_link(to.at(path)).unwrap(), fs::read_link(from.at(path)).unwrap(), "{path}");
    }
    assert_eq!(fs::read(to.at("out/other")).unwrap(), b"stays");
    assert_eq!(to.snapshot().len(), 9);
}

#[test]
fn a_folder_that_nobody_may_enter_is_brought() {
    if !crate::sys::identity::is_root() {
        // Nobody else may list it where it was made.
        return;
    }
    let (from, to) = (World::new(), World::new());
    from.folder("out/d").mode("out/d", 0);
    brought(&from, &to).unwrap();
    assert_eq!(mode(&to, "out/d"), 0);
}

#[test]
fn what_is_of_another_kind_is_in_the_way() {
    let make = |world: &World, kind: &str| match kind {
        "a file" => _ = world.write("out/x", "x"),
        "a folder" => _ = world.folder("out/x"),
        _ => _ = world.folder("out").link("out/x", "y"),
    };
    let kinds = ["a file", "a folder", "a symbolic link"];
    for there in kinds {
        for made in kinds {
            let (from, to) = (World::new(), World::new());
            make(&from, made);
            make(&to, there);
            let before = to.snapshot();
            let is_replaced = there == made || (there, made) == ("a file", "a symbolic link");
            match brought(&from, &to) {
                Ok(_) => assert!(is_replaced, "{made} over {there}"),
                Err(why) => {
                    assert!(!is_replaced && why.ends_with(&format!("is {there}, where {made} belongs")), "{why}");
                    assert_eq!(to.snapshot(), before);
                }
            }
        }
    }
}
