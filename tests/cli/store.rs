//! What a user sees of a cache that is broken: nothing but a line, and the command as it is without fleche.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::world::{Session, World, is_root};

/// Larger than what a call's own file holds.
const LARGE: usize = 100_000;

/// A world with a script that prints, fails to be silent, and writes a small and a large file.
fn world() -> World {
    let world = World::new();
    world.counted("tool", "cat input; echo err >&2; cp input made; head -c 100000 /dev/zero > large; seq 20000");
    world.write("input", "1\n");
    world
}

/// `fleche run` of the tool.
fn tool(world: &World) -> Session {
    world.fleche(["run", "-i", "input", "-o", "made", "-o", "large", "--", "./tool"])
}

/// Runs the tool after its files were removed: output, status and files must be those of a bare run. What fleche says.
#[track_caller]
fn as_bare(world: &World, session: Session) -> String {
    for made in ["made", "large"] {
        let _ = fs::remove_file(world.path(made));
    }
    let outcome = session.run();
    let mut expected = world.read("input");
    (1..=20_000).for_each(|number| expected.push_str(&format!("{number}\n")));
    assert!(outcome.code() == 0 && outcome.stdout() == expected, "status {}, {}", outcome.code(), outcome.stderr());
    assert_eq!(world.read("made"), world.read("input"));
    assert_eq!(fs::read(world.path("large")).unwrap(), vec![0; LARGE]);
    let stderr = outcome.stderr();
    let said: Vec<&str> = stderr.lines().filter(|line| *line != "err").collect();
    assert!(stderr.lines().count() - said.len() == 1, "{stderr}");
    assert!(said.len() <= 1 && said.iter().all(|line| line.starts_with("fleche: ")), "{stderr}");
    said.concat()
}

/// All files below a folder of the cache.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

/// The one file below a folder of the cache.
#[track_caller]
fn only_file(world: &World, folder: &str) -> PathBuf {
    world.is_alone();
    let mut files = files(&world.cache().join(folder));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Puts other bytes into a file, whatever its mode.
fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts something else in the place of a file.
fn replace(path: &Path, kind: &str) {
    fs::remove_file(path).or_else(|_| fs::remove_dir_all(path)).unwrap();
    match kind {
        "folder" => fs::create_dir(path).unwrap(),
        "link" => symlink("/etc/passwd", path).unwrap(),
        "link to itself" => symlink(path, path).unwrap(),
        "empty file" => fs::write(path, "").unwrap(),
        "FIFO" => assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        "socket" => {
            // A socket's path has to be short.
            let folder = tempfile::tempdir().unwrap();
            let bound = folder.path().join("s");
            drop(std::os::unix::net::UnixListener::bind(&bound).unwrap());
            assert!(std::process::Command::new("mv").arg(bound).arg(path).status().unwrap().success());
        }
        "noise" => {
            let noise: Vec<u8> = (0..5000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            fs::write(path, noise).unwrap();
        }
        _ => unreachable!("{kind}"),
    }
}

/// The cache cannot be used: the command runs each time, with one line that says why.
#[track_caller]
fn unusable(world: &World, why: &str) {
    let before = world.executions("tool");
    let line = format!("fleche: not cached: the cache cannot be used: {why}; the command runs without it");
    for executions in 1..3 {
        assert_eq!(as_bare(world, tool(world)), line);
        assert_eq!(world.executions("tool"), before + executions);
    }
}

#[test]
fn a_cache_that_is_open_to_others_is_not_used() {
    for mode in [0o770, 0o707, 0o755, 0o701] {
        let world = world();
        as_bare(&world, tool(&world));
        set_mode(&world.cache(), mode);
        unusable(&world, &format!("`{}` is open to others (mode {mode:o}, not 700)", world.cache().display()));
        set_mode(&world.cache(), 0o700);
        as_bare(&world, tool(&world));
        assert_eq!(world.executions("tool"), 3);
    }
}

#[test]
fn a_cache_of_another_user_is_not_used() {
    if !is_root() {
        println!("skipped: only root can give a folder to another user");
        return;
    }
    let world = world();
    as_bare(&world, tool(&world));
    chown(world.cache(), Some(65534), None).unwrap();
    unusable(&world, &format!("`{}` belongs to another user", world.cache().display()));
}

#[test]
fn a_cache_behind_a_link_is_not_used() {
    let world = world();
    as_bare(&world, tool(&world));
    let elsewhere = world.root().join("elsewhere");
    fs::rename(world.cache(), &elsewhere).unwrap();
    symlink(&elsewhere, world.cache()).unwrap();
    unusable(&world, &format!("`{}` is a symbolic link", world.cache().display()));
}

#[test]
fn a_file_in_the_place_of_the_cache_is_left_alone() {
    let world = world();
    fs::create_dir(world.home().join(".cache")).unwrap();
    fs::write(world.cache(), "precious").unwrap();
    unusable(&world, &format!("`{}` is not a folder", world.cache().display()));
    assert_eq!(fs::read_to_string(world.cache()).unwrap(), "precious");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let world = world();
    fs::create_dir_all(world.cache()).unwrap();
    set_mode(&world.cache(), 0o700);
    fs::write(world.cache().join("thesis.tex"), "precious").unwrap();
    unusable(&world, &format!("`{}` holds something else than a cache", world.cache().display()));
    assert_eq!(files(&world.cache()), [world.cache().join("thesis.tex")]);
}

#[test]
fn a_newer_cache_is_left_alone() {
    let world = world();
    as_bare(&world, tool(&world));
    world.is_alone();
    fs::rename(world.cache().join("layout-1"), world.cache().join("layout-999")).unwrap();
    let before = files(&world.cache());
    unusable(&world, &format!("a newer fleche made `{}`", world.cache().display()));
    assert_eq!(files(&world.cache()), before);
    let error = format!("fleche: the cache cannot be used: a newer fleche made `{}`\n", world.cache().display());
    world.fleche(["table"]).ends(2, "", &error);
}

#[test]
fn a_cache_that_cannot_be_written_still_replays() {
    let world = world();
    world.give_away();
    let fleche = |world: &World| {
        let words = ["run", "-i", "input", "-o", "made", "-o", "large", "--", "./tool"];
        world.program(world.root().join("fleche"), words).by_somebody()
    };
    as_bare(&world, fleche(&world));
    let folders: Vec<PathBuf> = walkdir::WalkDir::new(world.cache())
        .into_iter()
        .filter_map(|entry| entry.ok().filter(|entry| entry.file_type().is_dir()).map(|entry| entry.into_path()))
        .collect();
    folders.iter().for_each(|folder| set_mode(folder, 0o500));
    for name in ["journal", "lock"] {
        set_mode(&world.cache().join(name), 0o400);
    }
    for _ in 0..2 {
        assert_eq!(as_bare(&world, fleche(&world)), "");
        assert_eq!(world.executions("tool"), 1);
    }
    world.write("input", "2\n");
    for executions in 2..4 {
        let said = as_bare(&world, fleche(&world));
        assert!(said.starts_with("fleche: not stored: the cache cannot be used: "), "{said}");
        assert_eq!(world.executions("tool"), executions);
    }
    folders.iter().for_each(|folder| set_mode(folder, 0o700));
}

#[test]
fn a_home_that_cannot_be_written_is_no_reason_to_fail() {
    let world = world();
    for home in ["/proc/nope", "/dev/null", "/dev/null/deeper"] {
        let before = world.executions("tool");
        let said = as_bare(&world, tool(&world).env("HOME", home));
        assert!(said.starts_with("fleche: not cached: the cache cannot be used: "), "{said}");
        assert!(said.contains(home) && said.ends_with("; the command runs without it"), "{said}");
        assert_eq!(world.executions("tool"), before + 1);
    }
}

#[test]
fn where_there_is_no_home_xdg_cache_home_is_used() {
    let world = world();
    let cache = world.root().join("xdg");
    for home in [None, Some(""), Some("relative"), Some("/proc/nope")] {
        let session = || {
            let session = tool(&world).env("XDG_CACHE_HOME", &cache).env_remove("HOME");
            // HOME counts, and is not what is looked at here.
            home.map_or(session, |home| tool(&world).env("XDG_CACHE_HOME", &cache).env("HOME", home))
        };
        let before = world.executions("tool");
        assert_eq!(as_bare(&world, session()), "");
        assert_eq!(as_bare(&world, session()), "");
        assert_eq!(world.executions("tool"), before + 1, "{home:?}");
    }
    assert!(cache.join("fleche/calls").exists() && !world.home().join(".cache").exists());
    assert!(!world.path("relative").exists());
}

#[test]
fn a_relative_xdg_cache_home_is_ignored() {
    let world = world();
    assert_eq!(as_bare(&world, tool(&world).env("XDG_CACHE_HOME", "relative")), "");
    assert!(world.cache().join("calls").exists() && !world.path("relative").exists());
}

#[test]
fn without_any_home_the_command_runs() {
    if !is_root() {
        println!("skipped: only root can become a user who has no home");
        return;
    }
    let world = world();
    world.give_away();
    let words = ["run", "-i", "input", "-o", "made", "-o", "large", "--", "./tool"];
    let session = world.program(world.root().join("fleche"), words).env_remove("HOME");
    // A number that no user database knows; the group may write where the tool does.
    set_mode(&world.work(), 0o777);
    set_mode(&world.root(), 0o777);
    let said = as_bare(&world, session.by(54_321));
    let line = "fleche: not cached: the cache cannot be used: there is no home folder; the command runs without it";
    assert_eq!(said, line);
}

#[test]
fn a_damaged_call_is_made_again() {
    for step in 0..24 {
        let world = world();
        as_bare(&world, tool(&world));
        let call = only_file(&world, "calls");
        rewrite(&call, |bytes| {
            let length = bytes.len();
            match step {
                0..16 => bytes[length * step / 16] ^= 1 << (step % 8),
                16..20 => bytes.truncate(length * (step - 16) / 4),
                20 => bytes.push(0),
                21 => bytes.extend_from_within(..),
                22 => *bytes = vec![0; length],
                _ => bytes.swap(0, length - 1),
            }
        });
        for _ in 0..2 {
            assert_eq!(as_bare(&world, tool(&world)), "", "step {step}");
            assert_eq!(world.executions("tool"), 2, "step {step}");
        }
    }
}

#[test]
fn verbose_tells_of_damage() {
    let world = world();
    as_bare(&world, tool(&world));
    rewrite(&only_file(&world, "calls"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let said = as_bare(&world, tool(&world).env("FLECHE_VERBOSE", "1"));
    assert!(said.starts_with("fleche: miss: the stored call is damaged: call "), "{said}");
}

#[test]
fn a_call_of_another_command_is_not_taken_for_this_one() {
    let world = world();
    as_bare(&world, tool(&world));
    let first = only_file(&world, "calls");
    let bytes = fs::read(&first).unwrap();
    world.write("input", "2\n");
    as_bare(&world, tool(&world));
    let second = files(&world.cache().join("calls")).into_iter().find(|path| *path != first).unwrap();
    rewrite(&second, |other| *other = bytes);
    as_bare(&world, tool(&world));
    assert_eq!(world.executions("tool"), 3);
    as_bare(&world, tool(&world));
    assert_eq!(world.executions("tool"), 3);
}

const KINDS: [&str; 7] = ["folder", "link", "link to itself", "empty file", "FIFO", "socket", "noise"];

#[test]
fn something_else_in_the_place_of_a_call_is_no_call() {
    for kind in KINDS {
        let world = world();
        as_bare(&world, tool(&world));
        replace(&only_file(&world, "calls"), kind);
        for _ in 0..2 {
            as_bare(&world, tool(&world));
            assert_eq!(world.executions("tool"), 2, "{kind}");
        }
    }
}

#[test]
fn something_else_in_the_place_of_path_sets_costs_nothing() {
    for kind in KINDS {
        let world = world();
        as_bare(&world, tool(&world));
        replace(&only_file(&world, "paths"), kind);
        for _ in 0..2 {
            as_bare(&world, tool(&world));
            assert!(world.executions("tool") <= 2, "{kind}");
        }
        world.write("input", "2\n");
        as_bare(&world, tool(&world));
        let before = world.executions("tool");
        as_bare(&world, tool(&world));
        assert_eq!(world.executions("tool"), before, "{kind}");
    }
}

#[test]
fn something_else_in_the_place_of_the_other_files_changes_nothing() {
    for name in ["journal", "lock", "secret", "tmp", "stamps", "quarantine", "CACHEDIR.TAG", "paths", "values", "calls"]
    {
        for kind in KINDS {
            let world = world();
            as_bare(&world, tool(&world));
            let path = world.cache().join(name);
            if !path.exists() {
                fs::write(&path, "").unwrap();
            }
            replace(&path, kind);
            as_bare(&world, tool(&world));
            world.write("input", "2\n");
            as_bare(&world, tool(&world));
            as_bare(&world, tool(&world));
            assert!(fs::read_to_string("/etc/passwd").unwrap().contains("root"), "{name} {kind}");
        }
    }
}

/// Rows of `fleche table`, without the header.
#[track_caller]
fn rows(world: &World) -> usize {
    let outcome = world.fleche(["table", "--format", "tsv"]).run();
    assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
    outcome.stdout().lines().count() - 1
}

#[test]
fn a_lost_or_spoilt_catalogue_is_made_again() {
    let world = world();
    for input in ["1\n", "2\n", "3\n"] {
        world.write("input", input);
        as_bare(&world, tool(&world));
    }
    assert_eq!(rows(&world), 3);
    let catalogue = world.cache().join("index.sqlite");
    for spoil in ["removed", "empty file", "noise", "folder", "truncated", "flipped", "header"] {
        for name in ["index.sqlite-wal", "index.sqlite-shm"] {
            let _ = fs::remove_file(world.cache().join(name));
        }
        match spoil {
            "removed" => fs::remove_file(&catalogue).unwrap(),
            "truncated" => rewrite(&catalogue, |bytes| bytes.truncate(bytes.len() / 2)),
            "flipped" => {
                rewrite(&catalogue, |bytes| bytes.iter_mut().skip(100).step_by(97).for_each(|byte| *byte ^= 0xff))
            }
            "header" => rewrite(&catalogue, |bytes| bytes[..16].fill(b'x')),
            kind => replace(&catalogue, kind),
        }
        assert_eq!(rows(&world), 3, "{spoil}");
        assert_eq!(rows(&world), 3, "{spoil}");
        // `run` does not need it.
        assert_eq!(as_bare(&world, tool(&world)), "", "{spoil}");
        assert_eq!(world.executions("tool"), 3);
    }
}

#[test]
fn a_spoilt_journal_costs_no_call() {
    for kind in KINDS {
        let world = world();
        as_bare(&world, tool(&world));
        replace(&world.cache().join("journal"), kind);
        assert_eq!(rows(&world), 1, "{kind}");
        world.write("input", "2\n");
        as_bare(&world, tool(&world));
        as_bare(&world, tool(&world));
        assert_eq!(world.executions("tool"), 2, "{kind}");
    }
}

#[test]
fn half_a_line_in_the_journal_is_passed_over() {
    let world = world();
    as_bare(&world, tool(&world));
    let journal = world.cache().join("journal");
    rewrite(&journal, |bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes.extend_from_slice(b"\xff\0nonsense\t\t\n");
    });
    world.write("input", "2\n");
    as_bare(&world, tool(&world));
    assert_eq!(rows(&world), 2);
    as_bare(&world, tool(&world));
    assert_eq!((rows(&world), world.executions("tool")), (2, 2));
}

#[test]
fn the_whole_cache_may_be_removed_at_any_time() {
    let world = world();
    for executions in 1..4 {
        as_bare(&world, tool(&world));
        assert_eq!(world.executions("tool"), executions);
        world.remove_cache();
    }
    world.fleche(["table"]).ends(1, "", "fleche: no call matches\n");
}

#[test]
fn secrets_are_found_nowhere_in_the_cache() {
    let canary = "canary-0fe1c3";
    let world = World::new();
    world.write("input", "1\n");
    world.counted("tool", "echo \"${#SECRET} ${#1}\"; [ \"$2\" != fail ]");
    let word = format!("--token={canary}");
    let run = |options: &[&str], last: &str| {
        let before = ["run", "--redact-arg", "--token=*", "--tag", "a=b"];
        let behind = ["--", "./tool", word.as_str(), last];
        let session = world
            .fleche(before.iter().chain(options).chain(&behind))
            .env("SECRET", canary)
            .env("FLECHE_PROJECT", "p")
            .env("SSH_AUTH_SOCK", canary);
        assert_ne!(session.run().code(), 125);
    };
    for declared in [&["-i", "input"][..], &["--pure"]] {
        for options in [
            &[][..],
            &["--ignore-env", "SECRET"],
            &["--env-mode", "listed", "--env", "HOME"],
            &["--env-mode", "strict"],
            &["--probe", "echo $SECRET"],
        ] {
            let options = [declared, options].concat();
            run(&options, "");
            run(&options, "");
            run(&options, "fail");
            run(&[&options[..], &["--cache-exit", "1"]].concat(), "fail");
            run(&[&options[..], &["--mode", "refresh"]].concat(), "");
        }
    }
    let asked = |words: &[&str]| {
        let outcome = world.fleche(words).env("SECRET", canary).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()), "{words:?}");
        assert!(!outcome.stdout().contains(canary), "{words:?}");
        outcome.stdout()
    };
    let table = asked(&["table", "--format", "tsv"]);
    for row in table.lines().skip(1) {
        let key = row.split('\t').next().unwrap();
        asked(&["show", key]);
        asked(&["show", "--json", key]);
    }
    asked(&["table", "--format", "json"]);
    asked(&["digest", "-v", "-i", "input", "--redact-arg", "--token=*", "--", "./tool", &word]);
    asked(&["digest", "--json", "-i", "input", "--redact-arg", "--token=*", "--", "./tool", &word]);
    let found: Vec<PathBuf> = files(&world.cache())
        .into_iter()
        .filter(|path| fs::read(path).unwrap().windows(canary.len()).any(|part| part == canary.as_bytes()))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(files(&world.cache()).len() > 5);
    // What proves that the search can find: an argument that nobody redacted.
    world.fleche(["run", "-i", "input", "--", "./tool", &word]).run();
    let is_found = |path: &PathBuf| fs::read(path).unwrap().windows(canary.len()).any(|part| part == canary.as_bytes());
    assert!(files(&world.cache()).iter().any(is_found));
}

#[test]
fn a_redacted_argument_that_a_path_tells_of_means_that_nothing_is_stored() {
    let secret = "canary-0fe1c3";
    let made = format!("made-of-{secret}");
    let elsewhere = format!("folder/{secret}");
    for (options, program) in [
        (&["-i", "input", "-o", &made][..], "./tool"),
        (&["-i", "input", "-o", "made-*"], "./tool"),
        (&["-i", "input", "-o", "out/"], "./tool"),
        (&["-i", "input", "-o", "link"], "./tool"),
        (&["-i", "input", "-i", &elsewhere], "./tool"),
        (&["-i", "fold*"], "./tool"),
        (&["-i", "input"], &format!("./{elsewhere}/tool")),
    ] {
        for word in [format!("--token={secret}"), secret.to_owned(), format!("--token=@/some/where/{secret}/")] {
            let world = World::new();
            world.write("input", "1\n");
            world.counted("tool", &format!("mkdir -p out; : > {made}; : > out/{secret}; ln -sfn {secret} link"));
            fs::create_dir_all(world.path(&elsewhere)).unwrap();
            world.program("cp", ["tool", &elsewhere]).prints("");
            let said = "fleche: not stored: a path that would be stored tells of a redacted argument\n";
            let redact = format!("*{secret}*");
            for _ in 0..2 {
                let behind = ["--redact-arg", &redact, "--", program, &word];
                let words = ["run"].iter().chain(options).chain(&behind);
                world.fleche(words).ends(0, "", said);
            }
            assert_eq!(world.executions("tool"), 2);
            let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            let is_told = |path: &PathBuf| is_in(&fs::read(path).unwrap()) || is_in(path.as_os_str().as_bytes());
            assert!(!files(&world.cache()).iter().any(is_told), "{options:?} {program} {word}");
        }
    }
}

#[test]
fn the_cache_is_readable_by_its_user_alone() {
    for mask in [0o000, 0o022, 0o027, 0o077, 0o700] {
        let world = world();
        let session = tool(&world).with(|command| {
            // SAFETY: umask(2) is async-signal-safe.
            unsafe {
                command.pre_exec(move || {
                    libc::umask(mask);
                    Ok(())
                })
            };
        });
        session.run();
        world
            .fleche(["table"])
            .with(|command| {
                // SAFETY: umask(2) is async-signal-safe.
                unsafe {
                    command.pre_exec(|| {
                        libc::umask(0);
                        Ok(())
                    })
                };
            })
            .run();
        let mut seen = 0;
        for entry in walkdir::WalkDir::new(world.cache()) {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            let is_value = entry.path().starts_with(world.cache().join("values"));
            let allowed: &[u32] = match (entry.file_type().is_dir(), is_value) {
                (true, _) => &[0o700],
                (false, true) => &[0o400],
                (false, false) => &[0o600],
            };
            assert!(allowed.contains(&mode), "umask {mask:o}: {} has mode {mode:o}", entry.path().display());
            seen += 1;
        }
        assert!(seen > 8, "{seen}");
    }
}
