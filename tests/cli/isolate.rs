//! `fleche run --isolate`: a private folder with nothing in it but what was declared.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use crate::world::{Outcome, Session, World, eventually};

/// `fleche run --isolate` of a shell line with these options.
pub fn isolated(world: &World, options: &[&str], line: &str) -> Session {
    world.fleche(["run", "--isolate"].iter().chain(options).chain(&["--", "/bin/sh", "-c", line]))
}

/// The private folders that are there.
fn folders(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.cache().join("tmp")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("isolated-")).collect()
}

#[track_caller]
fn is_clean(world: &World) {
    assert_eq!(folders(world), [""; 0]);
}

fn world() -> World {
    let world = World::new();
    world.write("in", "in\n");
    world.write("data/x.csv", "x\n");
    world
}

#[test]
fn only_inputs_are_there_and_only_outputs_come_back() {
    let world = world();
    world.write("folder/a", "a\n");
    let line = "find . -type f | sort; cat folder/a in > out; echo x > other; mkdir made; echo y > made/z";
    let run = || isolated(&world, &["-i", "in", "-i", "folder", "-o", "out", "-o", "made/"], line);
    run().prints("./folder/a\n./in\n");
    assert_eq!((world.read("out"), world.read("made/z")), ("a\nin\n".to_owned(), "y\n".to_owned()));
    assert!(!world.path("other").exists());
    is_clean(&world);
    fs::remove_file(world.path("out")).unwrap();
    run().arg("").ends(0, "./folder/a\n./in\n", "");
    let replayed =
        world.fleche(["run", "-v", "--isolate", "-i", "in", "-i", "folder", "-o", "out", "-o", "made/", "--"]);
    fs::remove_file(world.path("out")).unwrap();
    let outcome = replayed.arg("/bin/sh").arg("-c").arg(line).run();
    assert!(outcome.stderr().starts_with("fleche: hit "), "{}", outcome.stderr());
    assert_eq!(world.read("out"), "a\nin\n");
}

#[test]
fn a_hit_makes_no_folder() {
    let world = world();
    let run = || isolated(&world, &["-i", "in"], "cat in");
    run().prints("in\n");
    fs::remove_dir_all(world.cache().join("tmp")).unwrap();
    run().prints("in\n");
    assert!(!world.cache().join("tmp").exists());
}

#[test]
fn what_the_command_does_to_its_inputs_the_originals_do_not_see() {
    let world = world();
    world.write("folder/a", "a\n");
    symlink("a", world.path("folder/link")).unwrap();
    let outside = world.root().join("outside");
    fs::write(&outside, "outside\n").unwrap();
    symlink(&outside, world.path("folder/out")).unwrap();
    symlink("../../outside", world.path("folder/up")).unwrap();
    let line = "echo 1 >> in; echo 2 > folder/link; echo 3 > folder/out; echo 4 > folder/up; chmod 777 in folder/a; \
                rm folder/a; cat folder/out folder/up";
    isolated(&world, &["-i", "in", "-i", "folder"], line).prints("3\n4\n");
    assert_eq!((world.read("in"), world.read("folder/a")), ("in\n".to_owned(), "a\n".to_owned()));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside\n");
    assert_eq!(fs::metadata(world.path("in")).unwrap().permissions().mode() & 0o777, 0o644);
    is_clean(&world);
}

#[test]
fn copies_have_modes_times_and_links() {
    let world = world();
    let path = world.write("folder/tool", "#!/bin/sh\n");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    symlink("tool", world.path("folder/link")).unwrap();
    symlink("folder", world.path("way")).unwrap();
    fs::set_permissions(world.path("folder"), PermissionsExt::from_mode(0o555)).unwrap();
    let line = "stat -c '%a %Y' folder/tool; stat -c %a folder; readlink folder/link way; cat way/link";
    isolated(&world, &["-i", "folder", "-i", "way"], line).prints("750 86400\n555\ntool\nfolder\n#!/bin/sh\n");
    fs::set_permissions(world.path("folder"), PermissionsExt::from_mode(0o755)).unwrap();
    is_clean(&world);
}

#[test]
fn a_path_that_leads_upwards_leads_there() {
    let world = World::new();
    world.write("lib/a.h", "header\n");
    world.write("lib/b.h", "other\n");
    world.write("app/main", "main\n");
    let words = ["run", "--isolate", "-i", "main", "-i", "../lib/a.h", "-o", "../out/made", "--", "/bin/sh", "-c"];
    let line = "basename $PWD; ls ..; ls ../lib; cat main ../lib/a.h > ../out/made";
    let run = || world.fleche(words).arg(line).current_dir(world.path("app"));
    run().prints("app\napp\nlib\nout\na.h\n");
    assert_eq!(world.read("out/made"), "main\nheader\n");
    fs::remove_dir_all(world.path("out")).unwrap();
    run().prints("app\napp\nlib\nout\na.h\n");
    assert_eq!(world.read("out/made"), "main\nheader\n");
    is_clean(&world);
}

#[test]
fn a_project_counts_from_its_root() {
    let world = World::new();
    world.write("fleche.toml", "");
    world.write("lib/a", "a\n");
    world.write("app/sub/x", "x\n");
    let run = || {
        let words = ["run", "--isolate", "-i", "x", "-i", "../../lib", "-o", "../../made", "--", "/bin/sh", "-c"];
        world.fleche(words).arg("cat x ../../lib/a > ../../made").current_dir(world.path("app/sub"))
    };
    run().prints("");
    assert_eq!(world.read("made"), "x\na\n");
    fs::remove_file(world.path("made")).unwrap();
    run().prints("");
    assert_eq!(world.read("made"), "x\na\n");
}

#[test]
fn a_relative_program_comes_along() {
    let world = world();
    world.counted("tool", "cat in");
    for _ in 0..2 {
        world.fleche(["run", "--isolate", "-i", "in", "--", "./tool"]).prints("in\n");
    }
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn a_pure_command_finds_the_files_that_its_arguments_name() {
    let world = world();
    world
        .fleche(["run", "--isolate", "--pure", "--", "/bin/sh", "-c", "ls; cat \"$0\"", "data/x.csv"])
        .prints("data\nx\n");
    world.fleche(["run", "--isolate", "--pure", "--", "/bin/cat", "in"]).current_dir(world.work()).prints("in\n");
}

#[test]
fn what_was_looked_for_and_is_not_declared_is_named() {
    let world = world();
    if !crate::isolate_strict::is_watchable(&world) {
        return;
    }
    let missing = isolated(&world, &["-i", "in"], "cat data/x.csv 2>/dev/null").run();
    missing.check(1, "", "fleche: `data/x.csv` was looked for but is not declared; add -i data/x.csv\n");
    // Nothing is there either.
    isolated(&world, &["-i", "in"], "cat nowhere 2>/dev/null").ends(1, "", "");
    // It did without.
    isolated(&world, &["-i", "in"], "cat data/x.csv 2>/dev/null; true").ends(0, "", "");
    // Nobody looked.
    isolated(&world, &["-i", "in", "--trace", "off"], "cat data/x.csv 2>/dev/null").ends(1, "", "");
}

#[test]
fn outputs_come_back_whatever_the_status_is() {
    let world = world();
    world.write("out", "old\n");
    isolated(&world, &["-i", "in", "-o", "out"], "echo new > out; exit 3").ends(3, "", "");
    assert_eq!(world.read("out"), "new\n");
    let outcome = isolated(&world, &["-i", "in", "-o", "out"], "echo newer > out; kill -TERM $$").run();
    assert_eq!((outcome.code(), world.read("out").as_str()), (128 + 15, "newer\n"));
    is_clean(&world);
}

#[test]
fn outputs_replace_what_is_there_as_the_command_would() {
    let world = world();
    world.write("made/old", "old\n");
    world.write("made/same", "old\n");
    isolated(&world, &["-i", "in", "-o", "made"], "mkdir made; echo new > made/same; ln -s same made/link").prints("");
    assert_eq!((world.read("made/same"), world.read("made/old")), ("new\n".to_owned(), "old\n".to_owned()));
    assert_eq!(fs::read_link(world.path("made/link")).unwrap().to_str(), Some("same"));
}

#[test]
fn outputs_that_cannot_come_back_are_kept_and_told_of() {
    let world = world();
    fs::create_dir(world.path("out")).unwrap();
    world.write("first", "old\n");
    let outcome = isolated(&world, &["-i", "in", "-o", "out", "-o", "first"], "echo 1 > out; echo 1 > first").run();
    assert_eq!(outcome.code(), 125);
    let told = outcome.stderr();
    assert!(told.contains("nothing is brought back: its outputs cannot be restored: `out` is a folder"), "{told}");
    assert_eq!(world.read("first"), "old\n");
    let kept = told.split('`').nth(1).unwrap();
    assert_eq!(fs::read_to_string(format!("{kept}/out")).unwrap(), "1\n");
}

#[test]
fn the_folder_is_kept_for_a_look() {
    let world = world();
    let outcome = isolated(&world, &["-i", "in", "--keep"], "echo x > other").run();
    let told = outcome.stderr();
    let kept = told.strip_prefix("fleche: its private folder is kept: `").unwrap().trim_end().trim_end_matches('`');
    assert_eq!(fs::read_to_string(format!("{kept}/other")).unwrap(), "x\n");
    // The next one leaves it alone.
    isolated(&world, &["-i", "in"], "true").prints("");
    assert!(fs::exists(kept).unwrap());
}

#[test]
fn a_result_that_tells_of_the_folder_is_not_stored() {
    let world = world();
    for line in ["echo $PWD", "pwd >&2", "pwd > out", "ln -s \"$(pwd)/in\" out"] {
        let outcome = world
            .fleche(["run", "-v", "--isolate", "-i", "in", "-o", "out", "--", "/bin/sh", "-c", line])
            .env("PWD", world.work())
            .run();
        let told = outcome.stderr();
        assert!(told.contains("not stored: its result tells of the private folder that it was made in"), "{told}");
        let _ = fs::remove_file(world.path("out"));
    }
}

#[test]
fn the_folder_is_in_no_key_and_in_no_record() {
    let world = world();
    let run = || isolated(&world, &["-i", "in", "-o", "out"], "cat in > out").env("PWD", world.work());
    run().prints("");
    run().prints("");
    let key = world.fleche(["query"]).run().stdout();
    let text = world.fleche(["show", "--json", key.trim_end()]).run().stdout();
    assert!(!text.contains("isolated-") && text.contains("\"isolated\": \"folder\""), "{text}");
    let shown = world.fleche(["show", key.trim_end()]).run().stdout();
    assert!(shown.contains("declared isolated"), "{shown}");
    world.fleche(["query", "--grade", "isolated"]).run().check(0, &world.fleche(["query"]).run().stdout(), "");
    assert_eq!(world.fleche(["query"]).run().stdout().lines().count(), 1);
    world.fleche(["run", "-i", "in", "-o", "out", "--", "/bin/sh", "-c", "cat in > out"]).prints("");
    assert_eq!(world.fleche(["query", "--grade", "declared"]).run().stdout().lines().count(), 2);
    assert_eq!(world.fleche(["query", "--grade", "isolated"]).run().stdout().lines().count(), 1);
}

#[test]
fn what_is_left_by_a_killed_run_is_swept_by_the_next_one_and_by_gc() {
    for sweep in [&["run", "--mode", "refresh", "--isolate", "-i", "in", "--", "/bin/true"][..], &["gc"]] {
        let world = world();
        let line = "mkfifo wait; : > \"$HOME/started\"; read x < wait";
        let mut run = isolated(&world, &["-i", "in"], line).start();
        eventually("it starts", || world.home().join("started").exists());
        assert_eq!(folders(&world).len(), 1);
        // As long as it lives nobody takes its folder.
        world.fleche(sweep).run();
        assert_eq!(folders(&world).len(), 1);
        run.kill().unwrap();
        run.wait().unwrap();
        eventually("it is swept", || {
            world.fleche(sweep).run();
            folders(&world).is_empty()
        });
    }
}

#[test]
fn the_folder_goes_whatever_was_done_to_it() {
    let world = World::new();
    world.write("in", "");
    let secret = world.root().join("home/secret");
    fs::write(&secret, "secret\n").unwrap();
    world.give_away();
    let line = "mkdir -p a/b; : > a/b/c; ln -s \"$HOME\" a/link; chmod 000 a/b; chmod 500 a; chmod 000 ..; chmod 000 .";
    let words = ["run", "--isolate", "-i", "in", "--", "/bin/sh", "-c", line];
    let run = || {
        let mut session = world.program(world.root().join("fleche"), words).by_somebody();
        session.command().current_dir(world.work());
        session.run()
    };
    run().check(0, "", "");
    is_clean(&world);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    assert_eq!(fs::metadata(world.home()).unwrap().mode() & 0o700, 0o700);
}

#[test]
fn many_at_once_do_not_see_each_other() {
    let world = world();
    let start = |number: usize| {
        let line = format!("echo {number} > same; sleep 0; cat same; ls | wc -l; cp same out{number}");
        let output = format!("out{number}");
        isolated(&world, &["-i", "in", "-o", &output], &line).start()
    };
    let started: Vec<_> = (0..8).map(start).collect();
    for (number, child) in started.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{number}\n2\n"));
        assert_eq!(world.read(format!("out{number}")), format!("{number}\n"));
    }
    is_clean(&world);
}

#[test]
fn without_a_cache_it_is_isolated_all_the_same() {
    let world = world();
    let temporary = world.root().join("temporary");
    fs::create_dir(&temporary).unwrap();
    for options in [&["--mode", "off"][..], &["--mode", "read-only"]] {
        let words = ["run", "-q", "--isolate", "-i", "in", "-o", "out"].iter().chain(options);
        let session = world.fleche(words.chain(&["--", "/bin/sh", "-c", "ls; cat in > out; : > other"]));
        session.env("TMPDIR", &temporary).prints("in\n");
        assert_eq!(world.read("out"), "in\n");
        assert!(!world.path("other").exists());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
        fs::remove_file(world.path("out")).unwrap();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = world();
    let refused = |words: &[&str], why: &str| {
        let outcome: Outcome = world.fleche(["run"].iter().chain(words).chain(&["--", "/bin/echo", "ran"])).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (125, ""), "{words:?}");
        assert!(outcome.stderr().contains(why), "{}", outcome.stderr());
    };
    refused(&["--isolate"], "with nothing declared");
    refused(&["--isolate", "-i", "in", "--trace", "on"], "`--trace on`");
    refused(&["--isolate", "-i", "in", "--trace", "audit"], "`--trace audit`");
    refused(&["-i", "in", "--keep"], "`--keep`");
    let output = world.path("out");
    refused(&["--isolate", "-i", "in", "-o", output.to_str().unwrap()], "is absolute");
    refused(&["--isolate=much", "-i", "in"], "much");
    is_clean(&world);
}

#[test]
fn every_subcommand_knows_the_flag() {
    let world = world();
    let words = ["--isolate", "-i", "in", "--", "/bin/cat", "in"];
    let with = |command: &[&str]| world.fleche(command.iter().chain(&words)).run();
    let digest = with(&["digest"]).stdout();
    world.fleche(["run"].iter().chain(&words)).prints("in\n");
    assert_eq!(world.fleche(["query"]).run().stdout(), digest);
    assert_ne!(world.fleche(["digest", "-i", "in", "--", "/bin/cat", "in"]).run().stdout(), digest);
    assert_eq!(with(&["contains"]).code(), 0);
    assert!(with(&["call"]).stdout().contains("\"isolate\": \"folder\""));
    assert_eq!(with(&["bind"]).stdout(), "fleche run --input in --isolate -- /bin/cat in\n");
    let explained = with(&["explain"]);
    assert!(explained.stdout().contains("declared isolated, recorded"), "{}", explained.stdout());
    let other = world.fleche(["explain", "-i", "in", "--", "/bin/cat", "in"]).run().stdout();
    assert!(other.contains("`--isolate` is not given"), "{other}");
    world.fleche(["rerun", digest.trim_end()]).run().check(0, "in\n", "");
    world.fleche(["verify", "--rerun", "-v"]).run();
    assert!(world.fleche(["verify", "--rerun", "-v"]).run().stderr().contains("does the same"));
    is_clean(&world);
}

#[test]
fn a_shell_s_lines_may_be_isolated() {
    let world = world();
    let line = |how: &str| world.fleche(["shell", how, "--input=in", "--output=out", "-ec", "ls; cat in > out"]);
    line("--isolate").prints("in\n");
    assert_eq!(world.read("out"), "in\n");
    world.fleche(["shell", "--input", "in", "--isolate", "-ec", "ls"]).prints("in\n");
}
