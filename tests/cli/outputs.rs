//! What a command writes: it comes back as it was, and nothing else is touched.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::world::{World, eventually, is_root, tool, world};

/// Everything below `folder`: type, mode, and digest or target.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                format!("folder {:o}", metadata.permissions().mode())
            } else {
                let bytes = fs::read(&path).unwrap();
                format!("file {:o} {} {}", metadata.permissions().mode(), bytes.len(), blake3::hash(&bytes))
            };
            seen.insert(path.strip_prefix(folder).unwrap().to_owned(), what);
        }
    }
    seen
}

/// Names under `folder` that fleche made while it restored and did not take away.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    snapshot(folder)
        .into_keys()
        .filter(|path| path.as_os_str().as_bytes().windows(7).any(|part| part == b".fleche"))
        .collect()
}

/// The mode of a file or folder, without its type.
fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_deleted_file_comes_back() {
    let world = world("echo out; cp input made");
    tool(&world, &["-o", "made"]).prints("out\n");
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &["-o", "made"]).prints("out\n");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn a_changed_file_comes_back() {
    let world = world("cp input made");
    tool(&world, &["-o", "made"]).prints("");
    world.write("made", "2\n");
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn each_state_of_the_input_has_its_own_files() {
    let world = world("cp input made");
    for (content, executions) in [("1", 1), ("2", 2), ("1", 2), ("3", 3), ("2", 3), ("1", 3)] {
        world.write("input", content);
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!((world.read("made"), world.executions("tool")), (content.to_owned(), executions));
    }
}

#[test]
fn folders_above_an_output_are_made_again() {
    let world = world("mkdir -p a/b/c; cp input a/b/c/made");
    tool(&world, &["-o", "a/b/c/made"]).prints("");
    fs::remove_dir_all(world.path("a")).unwrap();
    tool(&world, &["-o", "a/b/c/made"]).prints("");
    assert_eq!((world.read("a/b/c/made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn modes_come_back_exactly() {
    for bits in [0o644, 0o755, 0o600, 0o444, 0o511, 0o666, 0o777, 0o400] {
        let world = world(&format!("rm -f made; cp input made; chmod {bits:o} made"));
        tool(&world, &["-o", "made"]).prints("");
        fs::remove_file(world.path("made")).unwrap();
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!((mode(&world.path("made")), world.executions("tool")), (bits, 1), "{bits:o}");
        // A file with the right bytes and a mode that no run gave it is somebody's wish: the command knows what to do.
        for (when, executions) in [("now", 2), ("keep", 3), ("recorded", 4)] {
            fs::set_permissions(world.path("made"), fs::Permissions::from_mode(0o640)).unwrap();
            tool(&world, &["-o", "made", "--mtime", when]).prints("");
            assert_eq!((mode(&world.path("made")), world.executions("tool")), (bits, executions), "{bits:o} {when}");
            tool(&world, &["-o", "made", "--mtime", when]).prints("");
            assert_eq!((mode(&world.path("made")), world.executions("tool")), (bits, executions), "{bits:o} {when}");
        }
    }
}

#[test]
fn a_mode_that_a_run_found_is_not_given_to_others() {
    let world = world("cp input made");
    let run = || tool(&world, &["-o", "made"]).run();
    run().check(0, "", "");
    // What cp keeps in the file that is there it would not give to a new one.
    fs::set_permissions(world.path("input"), fs::Permissions::from_mode(0o600)).unwrap();
    let said =
        "fleche: not stored: output `made` kept a mode that lets others read it, which they may not read an input\n";
    run().check(0, "", said);
    fs::remove_file(world.path("made")).unwrap();
    for executions in [3, 3] {
        run().check(0, "", "");
        assert_eq!((mode(&world.path("made")), world.executions("tool")), (0o600, executions));
        let _ = fs::remove_file(world.path("made"));
    }
}

#[test]
fn what_a_glob_names_comes_back() {
    let world = world("mkdir -p out; cp input out/a.o; cp input out/b.o; echo x > out/c.log");
    tool(&world, &["-o", "out/*.o"]).prints("");
    fs::remove_dir_all(world.path("out")).unwrap();
    tool(&world, &["-o", "out/*.o"]).prints("");
    assert_eq!(world.executions("tool"), 1);
    let names: Vec<PathBuf> = snapshot(&world.path("out")).into_keys().collect();
    assert_eq!(names, [PathBuf::from("a.o"), PathBuf::from("b.o")]);
}

/// What somebody does to a folder.
type Deed = fn(&Path);

#[test]
fn a_folder_comes_back_whole() {
    let body = "rm -rf out; mkdir -p out/deep/deeper out/empty out/private; chmod 750 out/private
        cp input out/file; cp input out/deep/deeper/script; chmod 755 out/deep/deeper/script; : > out/nothing
        ln -s file out/link; ln -s ../deep/deeper out/deep/up; ln -s nowhere out/dangling
        cp input \"$(printf 'out/line\\nfeed')\"; cp input \"$(printf 'out/\\377')\"; cp input 'out/ space '
        head -c 300000 /dev/zero > out/large; cp input out/.hidden; cp input out/private/file; chmod 600 out/private/file
        cp input out/$(head -c 255 /dev/zero | tr '\\0' n)";
    let world = world(body);
    world.program("./tool", [""; 0]).prints("");
    let bare = snapshot(&world.path("out"));
    assert_eq!(bare.len(), 17);
    tool(&world, &["-o", "out/"]).prints("");
    assert_eq!(snapshot(&world.path("out")), bare);
    // What no run made is not replaced by a replay: the command has to do that.
    let spoil: [(Deed, usize); 5] = [
        (|out| fs::remove_dir_all(out).unwrap(), 2),
        (|out| fs::remove_dir(out.join("empty")).unwrap(), 2),
        (|out| fs::write(out.join("deep/deeper/script"), "spoilt").unwrap(), 3),
        (
            |out| {
                fs::remove_file(out.join("link")).unwrap();
                symlink("/etc/passwd", out.join("link")).unwrap();
            },
            4,
        ),
        (|_| {}, 4),
    ];
    for (spoil, executions) in spoil {
        spoil(&world.path("out"));
        tool(&world, &["-o", "out/"]).prints("");
        assert_eq!((snapshot(&world.path("out")), world.executions("tool")), (bare.clone(), executions));
    }
}

#[test]
fn a_link_comes_back_and_is_not_followed() {
    let world = world("ln -sfn input made");
    tool(&world, &["-o", "made"]).prints("");
    for spoil in ["rm made", "ln -sfn tool made"] {
        world.shell(spoil).prints("");
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!(fs::read_link(world.path("made")).unwrap(), Path::new("input"), "{spoil}");
        assert_eq!((world.read("input"), world.executions("tool")), ("1\n".into(), 1), "{spoil}");
    }
}

#[test]
fn files_that_a_former_run_made_are_removed_from_an_owned_folder() {
    let world = world("rm -rf out; mkdir out; cp input out/made-of-$(cat input)");
    let names = || snapshot(&world.path("out")).into_keys().collect::<Vec<_>>();
    for content in ["1", "2"] {
        world.write("input", content);
        tool(&world, &["-o", "out/"]).prints("");
    }
    assert_eq!(names(), [PathBuf::from("made-of-2")]);
    world.write("input", "1");
    tool(&world, &["-o", "out/"]).prints("");
    assert_eq!((names(), world.executions("tool")), (vec![PathBuf::from("made-of-1")], 2));
}

#[test]
fn strangers_in_an_owned_folder_are_left_and_named() {
    let world = world("mkdir -p out; cp input out/made");
    tool(&world, &["-o", "out/"]).prints("");
    world.write("out/notes.txt", "mine");
    world.write("out/sub/more.txt", "mine too");
    let said = "fleche: left in `out/`, because no recorded run made it: `out/notes.txt`, `out/sub/more.txt`\n";
    tool(&world, &["-o", "out/"]).ends(0, "", said);
    assert_eq!(world.executions("tool"), 1);
    assert_eq!((world.read("out/notes.txt"), world.read("out/sub/more.txt")), ("mine".into(), "mine too".into()));
    tool(&world, &["-q", "-o", "out/"]).prints("");
}

#[test]
fn a_file_that_was_edited_since_is_no_file_of_a_former_run() {
    let world = world("rm -rf out; mkdir out; cp input out/made-of-$(cat input)");
    for content in ["1", "2"] {
        world.write("input", content);
        tool(&world, &["-o", "out/"]).prints("");
    }
    world.write("out/made-of-2", "edited by hand");
    world.write("input", "1");
    let said = "fleche: left in `out/`, because no recorded run made it: `out/made-of-2`\n";
    tool(&world, &["-o", "out/"]).ends(0, "", said);
    assert_eq!(world.executions("tool"), 2);
    assert_eq!(world.read("out/made-of-2"), "edited by hand");
}

#[test]
fn an_output_that_is_not_made_is_taken_away_if_a_former_run_made_it() {
    let world = world("rm -f made; grep -q 1 input && cp input made; true");
    for content in ["1\n", "2\n", "1\n"] {
        world.write("input", content);
        tool(&world, &["-o", "made"]).prints("");
    }
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 2));
    world.write("input", "2\n");
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!((world.path("made").exists(), world.executions("tool")), (false, 2));
}

#[test]
fn something_by_hand_where_the_recorded_run_had_nothing_means_that_the_command_runs() {
    let world = world("test ! -e made || cat made; rm -rf made");
    tool(&world, &["-o", "made"]).prints("");
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!(world.executions("tool"), 1);
    world.write("made", "by hand\n");
    tool(&world, &["-o", "made"]).prints("by hand\n");
    assert_eq!((world.path("made").exists(), world.executions("tool")), (false, 2));
    // A folder with something of the user's in it is not what the recorded run left either.
    world.write("made/mine", "");
    assert_eq!((tool(&world, &["-o", "made"]).run().code(), world.executions("tool")), (0, 3));
    assert!(!world.path("made").exists());
}

#[test]
fn something_by_hand_that_the_command_leaves_as_well_is_not_stored() {
    let world = world(":");
    tool(&world, &["-o", "made"]).prints("");
    world.write("made", "by hand\n");
    // The run leaves it as well, and whether it depends on it is not known.
    let said = "fleche: not stored: output `made` was there before, and this run did not write it\n";
    tool(&world, &["-o", "made"]).ends(0, "", said);
    assert_eq!((world.read("made"), world.executions("tool")), ("by hand\n".into(), 2));
}

#[test]
fn make_sees_restored_files_as_new() {
    let world = world("cp input made");
    world.write("Makefile", "made: input\n\tfleche run -i input -o made -- ./tool\n");
    let up_to_date = || world.shell("make -q").run().code() == 0;
    world.shell("make -s").prints("");
    assert!(up_to_date());
    // Touched: the recipe is replayed, and the file is newer than the input again.
    // Before now: the clock that dates files is behind this one by up to some hundredths of a second.
    set_modified(&world.path("input"), SystemTime::now() - Duration::from_secs(30));
    set_modified(&world.path("made"), SystemTime::now() - Duration::from_secs(60));
    assert!(!up_to_date());
    world.shell("make -s").prints("");
    assert!(up_to_date());
    fs::remove_file(world.path("made")).unwrap();
    world.shell("make -s").prints("");
    assert!(up_to_date());
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn restored_files_keep_their_order_in_time() {
    let world = world("for name in c a d b; do cp input $name; touch -d \"2001-01-0$((n += 1))\" $name; done");
    let options = ["-o", "a", "-o", "b", "-o", "c", "-o", "d"];
    let began = SystemTime::now() - Duration::from_secs(1);
    tool(&world, &options).prints("");
    tool(&world, &options).prints("");
    let times = ["c", "a", "d", "b"].map(|name| modified(&world.path(name)));
    assert!(times.is_sorted() && times[0] >= began, "{times:?}");
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn mtime_keep_leaves_what_is_right() {
    let world = world("cp input made; cp input other");
    let options = ["-o", "made", "-o", "other", "--mtime", "keep"];
    tool(&world, &options).prints("");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    set_modified(&world.path("made"), time);
    let inode = fs::metadata(world.path("made")).unwrap().ino();
    world.write("other", "2\n");
    tool(&world, &options).prints("");
    let made = fs::metadata(world.path("made")).unwrap();
    assert_eq!((made.modified().unwrap(), made.ino()), (time, inode));
    assert_eq!((world.read("other"), world.executions("tool")), ("1\n".into(), 1));
    // The right size is not the right content.
    world.write("made", "2\n");
    set_modified(&world.path("made"), time);
    tool(&world, &options).prints("");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn mtime_recorded_brings_the_time_back() {
    let world = world("cp input made; touch -d '2001-02-03 04:05:06.789 UTC' made");
    let options = ["-o", "made", "--mtime", "recorded"];
    tool(&world, &options).prints("");
    let time = modified(&world.path("made"));
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &options).prints("");
    assert_eq!((modified(&world.path("made")), world.executions("tool")), (time, 1));
    tool(&world, &["-o", "made"]).prints("");
    assert!(modified(&world.path("made")) > time);
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn a_folder_in_the_way_means_that_the_command_runs() {
    let world = world("echo out; cp input a; cp input made; cp input z");
    let options = ["-v", "-o", "a", "-o", "made", "-o", "z"];
    assert_eq!(tool(&world, &options).run().stdout(), "out\n");
    for name in ["a", "made", "z"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    fs::create_dir(world.path("made")).unwrap();
    world.write("made/mine", "mine");
    let outcome = tool(&world, &options).run();
    assert_eq!((outcome.code(), outcome.stdout(), world.executions("tool")), (0, "out\n".into(), 2));
    let refused = "fleche: not stored: output `made/mine` was there before, and this run did not write it\n";
    assert_eq!(outcome.stderr(), refused);
    // As the command alone would have left it.
    assert_eq!((world.read("made/mine"), world.read("made/input")), ("mine".into(), "1\n".into()));
    assert_eq!(leftovers(&world.work()), Vec::<PathBuf>::new());
}

#[test]
fn a_file_in_the_way_of_a_folder_means_that_the_command_runs() {
    let world = world("mkdir -p out 2>/dev/null || { rm out; mkdir out; }; cp input out/made");
    tool(&world, &["-o", "out/"]).prints("");
    fs::remove_dir_all(world.path("out")).unwrap();
    world.write("out", "mine");
    tool(&world, &["-o", "out/"]).prints("");
    assert_eq!((world.read("out/made"), world.executions("tool")), ("1\n".into(), 2));
}

#[test]
fn a_link_in_the_place_of_an_output_is_not_written_through() {
    // The command itself looks where it writes, so that what fleche would write can be told from it.
    let world = world("test -L made || cp input made");
    tool(&world, &["-o", "made"]).prints("");
    fs::remove_file(world.path("made")).unwrap();
    let outside = world.root().join("outside");
    fs::write(&outside, "precious").unwrap();
    symlink(&outside, world.path("made")).unwrap();
    for _ in 0..2 {
        assert_eq!(tool(&world, &["-o", "made"]).run().code(), 0);
        assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
    }
}

#[test]
fn something_of_another_kind_in_the_place_of_an_output_means_that_the_command_runs() {
    for (body, spoil) in [
        ("ln -sfn input made", "rm made; echo mine > made"),
        ("rm -rf made; cp input made", "rm made; ln -s tool made"),
        ("rm -rf made; cp input made", "rm made; mkfifo made"),
    ] {
        let world = world(body);
        tool(&world, &["-o", "made"]).prints("");
        world.shell(spoil).prints("");
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!((world.read("made"), world.read("input")), ("1\n".into(), "1\n".into()), "{spoil}");
        assert_eq!(world.executions("tool"), 2, "{spoil}");
    }
}

#[test]
fn a_link_that_the_command_once_made_may_be_written_through_now() {
    let world = world("if grep -q link input; then ln -sfn real made; else cat input > made; fi");
    let run = |input: &str, said: &str| {
        world.write("input", input);
        tool(&world, &["-o", "made"]).ends(0, "", said);
    };
    run("1\n", "");
    fs::remove_file(world.path("made")).unwrap();
    run("link\n", "");
    world.write("real", "mine");
    run("1\n", "fleche: not stored: output `made` was a link before, and the command may have written through it\n");
    assert_eq!(world.read("real"), "1\n");
    assert!(fs::symlink_metadata(world.path("made")).unwrap().is_symlink());
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn what_lies_beside_something_that_cannot_be_kept_is_not_taken_for_the_runs_own() {
    let world = world("rm -f out/pipe; cp input out/made");
    fs::create_dir(world.path("out")).unwrap();
    world.program("mkfifo", [world.path("out/pipe")]).prints("");
    // On either side of the FIFO, in whatever order the folder tells of them.
    for name in ["a", "b", "y", "z"] {
        world.write(format!("out/{name}"), "mine");
    }
    let said = "fleche: not stored: output `out/a` was there before, and this run did not write it\n";
    for executions in 1..3 {
        tool(&world, &["-o", "out/"]).ends(0, "", said);
        assert_eq!(world.executions("tool"), executions);
    }
}

#[test]
fn a_link_in_the_place_of_an_outputs_folder_is_not_written_through() {
    // The command itself looks where it writes, so that what fleche would write can be told from it.
    let world = world("test -L out || { mkdir -p out; cp input out/made; }");
    tool(&world, &["-o", "out/made"]).prints("");
    fs::remove_dir_all(world.path("out")).unwrap();
    let outside = world.root().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, world.path("out")).unwrap();
    for executions in 2..4 {
        let outcome = tool(&world, &["-o", "out/made"]).run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, String::new()));
        assert_eq!((snapshot(&outside), world.executions("tool")), (BTreeMap::new(), executions));
    }
}

#[test]
fn an_output_elsewhere_is_restored_where_the_command_line_names_it() {
    let world = world("cp input ../elsewhere");
    let elsewhere = world.root().join("elsewhere");
    for name in [elsewhere.to_str().unwrap(), "../elsewhere"] {
        let before = world.executions("tool");
        tool(&world, &["-o", name]).prints("");
        fs::remove_file(&elsewhere).unwrap();
        tool(&world, &["-o", name]).prints("");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "1\n", "{name}");
        assert_eq!(world.executions("tool"), before + 1, "{name}");
    }
}

#[test]
fn an_input_that_is_written_too_is_not_stored() {
    let world = world("echo more >> input");
    tool(&world, &["-o", "input"]).prints("");
    tool(&world, &["-o", "input"]).prints("");
    assert_eq!((world.read("input"), world.executions("tool")), ("1\nmore\nmore\n".into(), 2));
}

#[test]
fn a_restored_file_is_independent_of_the_store() {
    let world = world("head -c 100000 /dev/zero > made");
    tool(&world, &["-o", "made"]).prints("");
    for _ in 0..3 {
        tool(&world, &["-o", "made"]).prints("");
        let made = File::options().write(true).open(world.path("made")).unwrap();
        assert_eq!((made.metadata().unwrap().nlink(), made.metadata().unwrap().len()), (1, 100_000));
        made.write_all_at(b"scribble", 50_000).unwrap();
    }
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!(fs::read(world.path("made")).unwrap(), vec![0; 100_000]);
    assert_eq!(world.executions("tool"), 1);
}

/// The files of stored values, larger than what a call's file holds itself.
fn values(world: &World) -> Vec<PathBuf> {
    let files = snapshot(&world.cache().join("values"));
    files
        .iter()
        .filter(|(_, what)| what.starts_with("file"))
        .map(|(path, _)| world.cache().join("values").join(path))
        .collect()
}

/// What happens to the file of a value.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_value_is_made_again() {
    let damage: [Damage; 6] = [
        ("flipped", |value| {
            let mut bytes = fs::read(value).unwrap();
            bytes[70_000] ^= 1;
            fs::remove_file(value).unwrap();
            fs::write(value, bytes).unwrap();
        }),
        ("truncated", |value| {
            let bytes = fs::read(value).unwrap();
            fs::remove_file(value).unwrap();
            fs::write(value, &bytes[..99_999]).unwrap();
        }),
        ("emptied", |value| {
            fs::remove_file(value).unwrap();
            fs::write(value, "").unwrap();
        }),
        ("removed", |value| fs::remove_file(value).unwrap()),
        ("a folder", |value| {
            fs::remove_file(value).unwrap();
            fs::create_dir(value).unwrap();
        }),
        ("a link to the same bytes, changed", |value| {
            let mut bytes = fs::read(value).unwrap();
            bytes[0] ^= 1;
            let elsewhere = value.with_extension("elsewhere");
            fs::write(&elsewhere, bytes).unwrap();
            fs::remove_file(value).unwrap();
            symlink(elsewhere, value).unwrap();
        }),
    ];
    for (name, spoil) in damage {
        for (stream, body, options) in [
            ("stdout", "head -c 100000 /dev/zero", &[][..]),
            ("output", "head -c 100000 /dev/zero > made", &["-o", "made"][..]),
        ] {
            let world = world(body);
            let bare = tool(&world, options).run();
            let stored = values(&world);
            assert_eq!(stored.len(), 1, "{stored:?}");
            spoil(&stored[0]);
            for step in ["runs", "is replayed"] {
                let _ = fs::remove_file(world.path("made"));
                assert_eq!(tool(&world, options).run(), bare, "{name} {stream} {step}");
                assert_eq!(world.executions("tool"), 2, "{name} {stream} {step}");
                if stream == "output" {
                    assert_eq!(fs::read(world.path("made")).unwrap(), vec![0; 100_000], "{name} {step}");
                }
            }
        }
    }
}

#[test]
fn large_outputs_come_back() {
    let world = world("head -c 70000000 /dev/zero > made; echo end >> made; head -c 3000000 /dev/zero | tr '\\0' x");
    world.program("./tool", [""; 0]).run();
    let sum = || world.program("cksum", ["made"]).run().stdout();
    let bare = sum();
    let printed = tool(&world, &["-o", "made"]).run();
    fs::remove_file(world.path("made")).unwrap();
    assert_eq!(tool(&world, &["-o", "made"]).run(), printed);
    assert_eq!((sum(), printed.stdout.len(), world.executions("tool")), (bare, 3_000_000, 2));
}

#[test]
fn many_outputs_come_back() {
    let world = world("rm -rf out; mkdir out; cd out; for n in $(seq 1500); do echo $n > $n; done");
    tool(&world, &["-o", "out/"]).prints("");
    let bare = snapshot(&world.path("out"));
    fs::remove_dir_all(world.path("out")).unwrap();
    tool(&world, &["-o", "out/"]).prints("");
    assert_eq!((snapshot(&world.path("out")), world.executions("tool")), (bare, 1));
}

#[test]
fn a_reader_that_leaves_finds_the_files_in_place() {
    let world = world("cp input made; seq 100000");
    tool(&world, &["-o", "made"]).run();
    fs::remove_file(world.path("made")).unwrap();
    world.shell("fleche run -i input -o made -- ./tool | head -1; cat made").prints("1\n1\n");
}

#[test]
fn a_failure_that_is_kept_brings_its_files() {
    let world = world("cp input made; echo failed >&2; exit 3");
    let options = ["-o", "made", "--cache-exit", "3"];
    tool(&world, &options).ends(3, "", "failed\n");
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &options).ends(3, "", "failed\n");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn setuid_outputs_are_not_stored() {
    for (bits, name) in [("4755", "setuid"), ("2755", "setgid"), ("1755", "sticky")] {
        let world = world(&format!("cp input made; chmod {bits} made"));
        for executions in 1..3 {
            let outcome = tool(&world, &["-o", "made"]).run();
            assert_eq!((outcome.code(), outcome.stdout(), world.executions("tool")), (0, String::new(), executions));
            assert_eq!(outcome.stderr(), format!("fleche: not stored: output `made` has the {name} bit\n"));
        }
    }
}

#[test]
fn the_null_device_is_no_output() {
    let world = world("echo x > /dev/null");
    tool(&world, &["-o", "/dev/null"]).prints("");
    tool(&world, &["-o", "/dev/null"]).prints("");
    assert_eq!(world.executions("tool"), 1);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn outputs_that_were_there_before_are_stored_as_they_are_after() {
    let world = world("echo line >> made");
    tool(&world, &["-o", "made"]).prints("");
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!((world.read("made"), world.executions("tool")), ("line\n".into(), 1));
}

#[test]
fn what_a_run_adds_to_an_output_is_not_stored() {
    for (output, place) in [("log", "log"), ("logs/a", "logs/"), ("logs/a", "logs/*"), ("logs/a", "logs")] {
        let world = world(&format!("cat input >> {output}"));
        world.write(output, "old\n");
        let said =
            format!("fleche: not stored: output `{output}` was there before, and this run may have added to it\n");
        for _ in 0..2 {
            tool(&world, &["-o", place]).ends(0, "", &said);
        }
        assert_eq!((world.read(output), world.executions("tool")), ("old\n1\n1\n".into(), 2), "{place}");
    }
}

#[test]
fn what_a_run_adds_to_a_large_output_is_not_stored() {
    let world = world("head -c 300000 /dev/zero >> log");
    world.write("log", vec![1; 300_000]);
    let said = "fleche: not stored: output `log` was there before, and this run may have added to it\n";
    tool(&world, &["-o", "log"]).ends(0, "", said);
    // Into another file, which then takes the place of the first: the same.
    world.script("tool", "#!/bin/sh\ncat log input > new; mv new log\n");
    tool(&world, &["-o", "log"]).ends(0, "", said);
}

#[test]
fn an_output_that_was_there_and_is_written_anew_is_stored() {
    for (before, made) in [("1\n", "1\n"), ("other\n", "1\n"), ("0", "1\n"), ("", "1\n")] {
        for body in ["cp input made", "rm -f made; cp input made", "cp input new; mv new made"] {
            let world = world(body);
            world.write("made", before);
            set_modified(&world.path("made"), SystemTime::UNIX_EPOCH);
            tool(&world, &["-o", "made"]).prints("");
            fs::remove_file(world.path("made")).unwrap();
            tool(&world, &["-o", "made"]).prints("");
            assert_eq!((world.read("made"), world.executions("tool")), (made.to_owned(), 1), "{before:?} {body}");
        }
    }
}

#[test]
fn a_mode_that_somebody_gave_an_output_is_not_undone() {
    for bits in [0o600, 0o400, 0o666, 0o755] {
        let world = world("cat input > made");
        tool(&world, &["-o", "made"]).prints("");
        let recorded = mode(&world.path("made"));
        fs::set_permissions(world.path("made"), fs::Permissions::from_mode(bits)).unwrap();
        if bits == 0o400 && !is_root() {
            continue;
        }
        // The command keeps the mode; what it leaves is somebody's too, and never comes to others.
        let said = "fleche: not stored: output `made` kept a mode that no recorded run gave it\n";
        for executions in 2..4 {
            tool(&world, &["-o", "made"]).ends(0, "", said);
            assert_eq!((mode(&world.path("made")), world.executions("tool")), (bits, executions), "{bits:o}");
        }
        fs::remove_file(world.path("made")).unwrap();
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!((mode(&world.path("made")), world.executions("tool")), (recorded, 3), "{bits:o}");
    }
}

#[test]
fn a_mode_that_another_run_gave_an_output_means_that_the_command_runs() {
    let world = world("rm -f made; cp input made; chmod $(cat input) made");
    for (bits, executions) in [("600", 1), ("755", 2), ("600", 3), ("600", 3)] {
        world.write("input", bits);
        tool(&world, &["-o", "made"]).prints("");
        assert_eq!((format!("{:o}", mode(&world.path("made"))), world.executions("tool")), (bits.into(), executions));
    }
}

#[test]
fn a_mode_that_somebody_gave_a_folder_is_not_undone() {
    let world = world("mkdir -p out; cp input out/made");
    tool(&world, &["-o", "out/"]).prints("");
    fs::set_permissions(world.path("out"), fs::Permissions::from_mode(0o700)).unwrap();
    let said = "fleche: not stored: output `out` kept a mode that no recorded run gave it\n";
    tool(&world, &["-o", "out/"]).ends(0, "", said);
    assert_eq!((mode(&world.path("out")), world.executions("tool")), (0o700, 2));
}

#[test]
fn an_output_of_somebody_else_stays_theirs() {
    if !is_root() {
        return;
    }
    let world = world("cat input > made");
    tool(&world, &["-o", "made"]).prints("");
    for (user, group) in [(Some(65534), None), (Some(0), Some(65534))] {
        world.write("made", "2\n");
        chown(world.path("made"), user, group).unwrap();
        let before = world.executions("tool");
        tool(&world, &["-o", "made"]).prints("");
        let made = fs::metadata(world.path("made")).unwrap();
        assert_eq!((Some(made.uid()), made.gid()), (user, group.unwrap_or(0)));
        assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), before + 1));
        assert_eq!(leftovers(&world.work()), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_was_edited_by_hand_is_replaced_only_where_the_command_line_names_it() {
    for (place, executions) in [("out/made", 1), ("out/mad[e]", 2), ("out/*", 2), ("out/", 2), ("out", 2)] {
        let world = world("mkdir -p out; test -e out/made || cp input out/made");
        tool(&world, &["-o", place]).prints("");
        world.write("out/made", "by hand");
        // The command leaves it, and what it leaves is not stored.
        assert_eq!(tool(&world, &["-o", place]).run().code(), 0);
        let left = if executions == 1 { "1\n" } else { "by hand" };
        assert_eq!((world.read("out/made"), world.executions("tool")), (left.into(), executions), "{place}");
        assert_eq!(leftovers(&world.work()), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_another_run_made_is_replaced_wherever_it_lies() {
    for place in ["out/*", "out/", "out"] {
        let world = world("rm -rf out; mkdir out; cp input out/made; ln -s $(cat input) out/l");
        for (content, executions) in [("1", 1), ("2", 2), ("1", 2), ("2", 2)] {
            world.write("input", content);
            tool(&world, &["-o", place]).prints("");
            assert_eq!((world.read("out/made"), world.executions("tool")), (content.into(), executions), "{place}");
            assert_eq!(fs::read_link(world.path("out/l")).unwrap(), Path::new(content));
        }
    }
}

#[test]
fn what_a_killed_restore_left_counts_nowhere() {
    let world = world("mkdir -p out; cp input out/made; cp input made");
    let names = [".fleche-1-1", ".fleche-0123456789abcdef-1-1"];
    for (inputs, outputs) in [(".", "out/"), (".", "out/*"), ("*", "out/"), ("**/*", "made"), (".*", "out/")] {
        let run = || world.fleche(["run", "-i", "input", "-i", inputs, "-x", "made", "-o", outputs, "--", "./tool"]);
        world.write(".other", "");
        run().prints("");
        let executions = world.executions("tool");
        for name in names {
            world.write(name, "left");
            world.write(format!("out/{name}"), "left");
        }
        run().prints("");
        assert_eq!(world.executions("tool"), executions, "{inputs} {outputs}");
        // Of another machine, as far as these names tell: they stay, but are recorded by nobody.
        // (Right-aligned, lest one be what another could have been added to.)
        world.write("input", format!("{:>20}", format!("{inputs} {outputs}")));
        run().prints("");
        for entry in fs::read_dir(world.path("out")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        run().prints("");
        assert_eq!(world.executions("tool"), executions + 1, "{inputs} {outputs}");
        assert!(!world.path("out").join(names[0]).exists() && world.path(names[0]).exists());
        for name in names {
            fs::remove_file(world.path(name)).unwrap();
        }
    }
}

#[test]
fn what_a_killed_restore_left_is_removed_by_a_later_run() {
    let world = world("read word < input; mkdir -p out; for n in $(seq 2000); do echo $word > out/$n; done");
    tool(&world, &["-o", "out/"]).prints("");
    eventually("a restore is killed halfway", || {
        fs::remove_dir_all(world.path("out")).unwrap();
        let mut restore = tool(&world, &["-o", "out/"]).start();
        let is_halfway = || world.path("out").exists() && !leftovers(&world.path("out")).is_empty();
        while !is_halfway() && restore.try_wait().unwrap().is_none() {}
        restore.kill().unwrap();
        restore.wait().unwrap();
        is_halfway()
    });
    world.write("input", "2\n");
    assert_eq!(tool(&world, &["-o", "out/"]).run().code(), 0);
    assert_eq!((leftovers(&world.work()), world.executions("tool")), (Vec::new(), 2));
    assert_eq!(snapshot(&world.path("out")).len(), 2000);
}

#[test]
fn an_output_that_a_run_finds_up_to_date_is_stored_only_where_the_same_call_made_it() {
    let world = world("test made -nt input || cp input made");
    let write = |content: &str, seconds| {
        world.write("input", content);
        set_modified(&world.path("input"), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    };
    write("2\n", 1000);
    tool(&world, &["-o", "made"]).prints("");
    // An input from a backup is older than what was made of another.
    write("1\n", 500);
    let said = "fleche: not stored: output `made` was there before, and this run did not write it\n";
    tool(&world, &["-o", "made"]).ends(0, "", said);
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 3));
    // Run again, the command finds what this very call has made.
    tool(&world, &["-o", "made", "--mode", "refresh"]).prints("");
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 4));
}

#[test]
fn a_mode_that_a_run_finds_is_stored_only_where_the_same_call_gave_it() {
    let world = world("test -e made || { echo x > made; chmod $(cat input) made; }");
    for bits in ["600", "755"] {
        world.write("input", bits);
        tool(&world, &["-o", "made"]).prints("");
        fs::remove_file(world.path("made")).unwrap();
    }
    tool(&world, &["-o", "made"]).prints("");
    fs::set_permissions(world.path("made"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = "fleche: not stored: output `made` kept a mode that this call never gave it\n";
    tool(&world, &["-o", "made", "--mode", "refresh"]).ends(0, "", said);
    assert_eq!((mode(&world.path("made")), world.executions("tool")), (0o600, 3));
}

#[test]
fn what_a_run_writes_through_a_link_at_an_output_is_not_stored() {
    for place in ["made", "mad*"] {
        let world = world("cp input made");
        world.write("real", "");
        symlink("real", world.path("made")).unwrap();
        let said = "fleche: not stored: output `made` was a link before, and the command may have written through it\n";
        for executions in 1..3 {
            world.write("real", "junk");
            tool(&world, &["-o", place]).ends(0, "", said);
            assert_eq!((world.read("real"), world.executions("tool")), ("1\n".into(), executions), "{place}");
        }
    }
}

#[test]
fn a_link_that_a_run_makes_anew_is_stored() {
    let world = world("ln -sfn input made");
    symlink("tool", world.path("made")).unwrap();
    tool(&world, &["-o", "made"]).prints("");
    fs::remove_file(world.path("made")).unwrap();
    tool(&world, &["-o", "made"]).prints("");
    assert_eq!(fs::read_link(world.path("made")).unwrap(), Path::new("input"));
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn a_replay_cuts_no_hard_link() {
    for place in ["made", "made*", "out/"] {
        let made = if place == "out/" { "out/made" } else { "made" };
        let world = world(&format!("mkdir -p out; cat input > {made}"));
        tool(&world, &["-o", place]).prints("");
        fs::hard_link(world.path(made), world.path("other")).unwrap();
        if place == "made" {
            world.write("other", "old\n");
        }
        tool(&world, &["-o", place]).prints("");
        assert_eq!((world.read("other"), world.executions("tool")), ("1\n".into(), 2), "{place}");
        assert_eq!(fs::metadata(world.path(made)).unwrap().nlink(), 2, "{place}");
    }
}

#[test]
fn an_output_that_is_standard_output_or_error_is_not_stored() {
    for (place, to) in [("log", ">>log"), ("log", "2>>log"), ("out/", ">>out/log"), ("out/*", ">>out/log")] {
        let world = world("mkdir -p out; echo line; echo line >&2");
        fs::create_dir(world.path("out")).unwrap();
        // What fleche has to say would lie in the same file.
        let line = format!("fleche run -q -i input -o '{place}' -- ./tool {to}");
        for _ in 0..3 {
            assert_eq!(world.shell(&line).run().code(), 0);
        }
        let log = if place == "log" { "log" } else { "out/log" };
        assert_eq!((world.read(log), world.executions("tool")), ("line\n".repeat(3), 3), "{place} {to}");
    }
}

#[test]
fn an_output_that_is_standard_output_or_error_is_not_replaced() {
    for place in ["log", "lo*"] {
        for to in [">>log 2>errors", "2>>log >elsewhere"] {
            let world = world("cp input log; echo line; echo line >&2");
            let line = format!("fleche run -q -i input -o '{place}' -- ./tool");
            world.shell(&format!("{line} >elsewhere 2>errors")).prints("");
            for options in ["", "--mtime keep"] {
                let before = world.executions("tool");
                world.shell(&format!("{line} {to}").replace("-i", &format!("{options} -i"))).prints("");
                let seen = (world.read("log"), world.executions("tool"));
                assert_eq!(seen, ("1\nline\n".into(), before + 1), "{place} {to} {options}");
                world.write("log", "1\n");
            }
        }
    }
}

#[test]
fn standard_output_is_not_taken_away_with_what_a_former_run_made() {
    let world = world("rm -rf out; mkdir out; cp input out/made-of-$(cat input); echo line");
    for content in ["1", "2"] {
        world.write("input", content);
        world.shell("fleche run -i input -o out/ -- ./tool >elsewhere").prints("");
    }
    world.write("input", "1");
    world.shell("fleche run -i input -o out/ -- ./tool >>out/made-of-2").prints("");
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn what_appears_by_hand_among_inputs_and_outputs_means_that_the_command_runs() {
    for (inputs, place, made) in [
        (".", "*.txt", "out.txt"),
        (".", "**/*.txt", "a/out.txt"),
        (".", "b/", "b/out.txt"),
        (".", "b", "b/out.txt"),
        ("*", "b/", "b/out.txt"),
        ("b", "**/*.txt", "b/out.txt"),
        // By way of a link, under whose name nothing is left out of the inputs, but neither looked at twice.
        ("c", "b/*.txt", "b/out.txt"),
    ] {
        let world = world(&format!("cat input >{made}; cat note.txt b/note.txt 2>/dev/null; :"));
        fs::create_dir(world.path("a")).unwrap();
        fs::create_dir(world.path("b")).unwrap();
        fs::create_dir(world.path("c")).unwrap();
        symlink("../b", world.path("c/link")).unwrap();
        for _ in 0..2 {
            tool(&world, &["-i", inputs, "-o", place]).prints("");
        }
        assert_eq!(world.executions("tool"), 1, "{inputs} {place}");
        let note = if made == "b/out.txt" { "b/note.txt" } else { "note.txt" };
        world.write(note, "by hand\n");
        for executions in 2..4 {
            assert_eq!(
                tool(&world, &["-q", "-i", inputs, "-o", place]).run().stdout(),
                "by hand\n",
                "{inputs} {place}"
            );
            assert_eq!(world.executions("tool"), executions, "{inputs} {place}");
        }
    }
}

#[test]
fn what_appears_where_a_glob_found_nothing_means_that_the_command_runs() {
    let world = world("cat *.txt 2>/dev/null; :");
    for _ in 0..2 {
        tool(&world, &["-i", ".", "-o", "*.txt"]).prints("");
    }
    assert_eq!(world.executions("tool"), 1);
    world.write("note.txt", "by hand\n");
    assert_eq!(tool(&world, &["-i", ".", "-o", "*.txt"]).run().stdout(), "by hand\n");
}

#[test]
fn what_former_runs_made_among_inputs_and_outputs_is_no_stranger() {
    for place in ["*.txt", "out/"] {
        let made = if place == "out/" { "out/" } else { "" };
        let world = world(&format!("test -z '{made}' || mkdir out; cp input {made}made-of-$(cat input).txt"));
        for (content, executions) in [("1", 1), ("2", 2), ("1", 2), ("2", 2)] {
            world.write("input", content);
            fs::remove_dir_all(world.path("out")).ok();
            for stale in ["made-of-1.txt", "made-of-2.txt"] {
                let _ = fs::remove_file(world.path(stale));
            }
            tool(&world, &["-i", ".", "-o", place]).prints("");
            assert_eq!(world.executions("tool"), executions, "{place} {content}");
        }
        // With what the other state made beside it.
        world.write(format!("{made}made-of-1.txt"), "1");
        tool(&world, &["-i", ".", "-o", place]).prints("");
        assert_eq!(world.executions("tool"), 2, "{place}");
    }
}
