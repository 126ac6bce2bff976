//! fleche that was started with other rights than its caller's, and commands that have rights of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::others::{OTHER, OWNER, Town, mode, own, picture};
use crate::tell;
use crate::world::Session;

/// How a program comes to rights of its own.
const WAYS: [&str; 3] = ["setuid", "setgid", "a file capability"];

/// A copy of `program` in the world's folder, with rights of its own.
fn raised(town: &Town, program: &Path, way: &str) -> PathBuf {
    let path = town.world.root().join(format!("raised-{}", program.file_name().unwrap().to_str().unwrap()));
    assert!(Command::new("cp").arg(program).arg(&path).status().unwrap().success());
    own(&path, OTHER);
    match way {
        "setuid" => mode(&path, 0o4755),
        "setgid" => mode(&path, 0o2755),
        _ => {
            mode(&path, 0o755);
            let given = Command::new("setcap").arg("cap_net_bind_service+ep").arg(&path).status();
            assert!(given.is_ok_and(|given| given.success()), "setcap of libcap2-bin");
        }
    }
    path
}

/// Whether the kernel gives such rights here: a file system may be mounted without.
fn gives_rights(town: &Town) -> bool {
    let id = raised(town, Path::new("/usr/bin/id"), "setuid");
    town.program(OWNER, id.to_str().unwrap(), &["-u"]).run().stdout() == format!("{OTHER}\n")
}

/// All that a caller could say to have it their way: variables, folders, files.
fn with_traps(town: &Town, session: Session) -> Session {
    let trap = town.home(OWNER).join("trap");
    session
        .env("XDG_CACHE_HOME", &trap)
        .env("XDG_CONFIG_HOME", &trap)
        .env("TMPDIR", trap.join("tmp"))
        .env("FLECHE_CACHE", trap.join("cache"))
        .env("FLECHE_CONFIG", trap.join("config.toml"))
        .env("FLECHE_TAGS", "malformed")
        .env("FLECHE_MODE", "no-mode")
        .env("FLECHE_VERBOSE", "1")
        .env("FLECHE_SESSION", "trap")
        .env("FLECHE_PROJECT", "trap")
}

#[test]
fn with_rights_of_its_own_fleche_goes_by_nothing_that_its_caller_says() {
    let mut runs = 0;
    for way in WAYS {
        let Some(town) = Town::new("rights of its own") else { return };
        if !gives_rights(&town) {
            return tell("rights of its own: skipped, programs get none from files here");
        }
        let fleche = raised(&town, &town.fleche(), way);
        let trap = town.home(OWNER).join("trap");
        for folder in ["", "tmp", "fleche"] {
            fs::create_dir_all(trap.join(folder)).unwrap();
            mode(&trap.join(folder), 0o777);
        }
        // A cache in which the answer is a wrong one.
        let forged = town.world.script("forged", "#!/bin/sh\necho forged\n");
        own(&forged, OWNER);
        let poisoned = trap.join("cache");
        let words = ["run", "--cache", poisoned.to_str().unwrap(), "--cache-exit", "3", "-i", "input", "--", "./tool"];
        fs::write(town.world.path("input"), "forged\n").unwrap();
        assert_eq!(town.by(OWNER, &words).run().stdout, b"forged\n");
        let rule = "[[command]]\nmatch = [\"./tool\", \"*\"]\nprobe = [\"echo x > probed\"]\n";
        fs::write(trap.join("config.toml"), rule).unwrap();
        let project = town.world.write("fleche.toml", "[[command]]\nmatch = [\"./tool\", \"*\"]\nenv = [\"*\"]\n");
        own(&project, OTHER);
        // The cache of whom the rights are, which is a good one.
        assert_eq!(town.by(OTHER, &["run", "--no-rules", "--pure", "--", "true"]).run().code(), 0);
        let theirs = town.cache(OTHER);
        let (poisoned, theirs) = (poisoned.to_str().unwrap(), theirs.to_str().unwrap());
        let fleche = fleche.to_str().unwrap();
        town.world.is_alone();
        let before = [OWNER, OTHER].map(|user| picture(&town.home(user)));
        let work = picture(&town.world.work());
        for words in [
            &["run", "--", "./tool"][..],
            &["run", "-i", "input", "--cache-exit", "3", "--", "./tool"],
            &["run", "--cache", poisoned, "-i", "input", "--cache-exit", "3", "--", "./tool"],
            &["run", "--cache", theirs, "-i", "input", "--", "./tool"],
            &["run", "--isolate", "-i", "input", "-i", "tool", "--", "./tool"],
            &["run", "--pure", "--stale", "1h", "--ttl", "0s", "--", "./tool"],
            &["shell", "-c", "./tool"],
        ] {
            for input in ["1\n", "2\n"] {
                fs::write(town.world.path("input"), input).unwrap();
                let outcome = with_traps(&town, town.program(OWNER, fleche, words)).run();
                runs += 1;
                assert_eq!((outcome.code(), outcome.stdout().as_str()), (3, input), "{way} {words:?}: {outcome:?}");
                let said = outcome.stderr();
                let line = "the cache cannot be used: fleche was started with another user's rights";
                assert!(said.contains(line) && said.lines().count() == 1, "{way} {words:?}: {said}");
            }
        }
        for words in [
            &["table"][..],
            &["gc"],
            &["--cache", theirs, "evict", "--name", "*"],
            &["--cache", poisoned, "query"],
            &["transfer", "--from", theirs, "--to", poisoned],
            &["--cache", theirs, "export", "exported"],
            &["--cache", theirs, "verify"],
        ] {
            let outcome = with_traps(&town, town.program(OWNER, fleche, words)).run();
            runs += 1;
            assert_eq!((outcome.code(), outcome.stdout().as_str()), (2, ""), "{way} {words:?}: {outcome:?}");
        }
        assert_eq!([OWNER, OTHER].map(|user| picture(&town.home(user))), before, "{way}");
        let now = picture(&town.world.work());
        assert_eq!(now.len(), work.len(), "{way}: {now:?}");
        assert!(!town.world.path("probed").exists());
    }
    tell(&format!(
        "{runs} commands of a fleche with rights of its own: none by its caller's variables, files or caches"
    ));
}

#[test]
fn a_command_with_rights_of_its_own_has_them() {
    let Some(town) = Town::new("a command with rights of its own") else { return };
    if !gives_rights(&town) {
        return tell("a command with rights of its own: skipped, programs get none from files here");
    }
    let mut runs = 0;
    for way in WAYS {
        let id = raised(&town, Path::new("/usr/bin/id"), way);
        let bare = town.program(OWNER, id.to_str().unwrap(), &[]).run();
        let fleche = town.fleche();
        for options in [&[][..], &["-i", "input"], &["--pure"], &["--mode", "off"], &["--isolate", "-i", "input"]] {
            for launcher in [&[][..], &["setpriv", "--no-new-privs"]] {
                let words = [&["run"], options, &["--", id.to_str().unwrap()]].concat();
                let line: Vec<&str> = launcher.iter().copied().chain([fleche.to_str().unwrap()]).chain(words).collect();
                let plain: Vec<&str> = launcher.iter().copied().chain([id.to_str().unwrap()]).collect();
                let expected =
                    if launcher.is_empty() { &bare } else { &town.program(OWNER, plain[0], &plain[1..]).run() };
                // Twice, because a hit must be right as well.
                for _ in 0..2 {
                    let outcome = town.program(OWNER, line[0], &line[1..]).run();
                    runs += 1;
                    let seen = (outcome.code(), outcome.stdout());
                    // The first watched run of one whose rights were not foreseen may have to be told of.
                    let is_told = outcome.stderr().contains("did not get the rights that it has");
                    assert!(seen == (expected.code(), expected.stdout()) || is_told, "{way} {options:?}: {outcome:?}");
                }
            }
        }
    }
    tell(&format!("{runs} runs of commands with rights of their own: as bare"));
}
