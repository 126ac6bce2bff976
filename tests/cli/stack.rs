//! Stacks of caches: looked up in order, the first one written and filled from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use crate::world::{Session, World, is_root};

/// A world with the caches `local`, `team`, `far` (which may be written) and `disc` (team's folder, which may not).
fn stacked() -> World {
    let world = World::new();
    let at = |name: &str| world.root().join(name).display().to_string();
    let text = format!(
        "[caches.team]\npath = \"{}\"\n[caches.far]\npath = \"{}\"\n[caches.disc]\npath = \"{}\"\naccess = \"read-only\"\n",
        at("team"),
        at("far"),
        at("team"),
    );
    world.write(world.home().join(".config/fleche/config.toml"), text);
    world
}

fn with(world: &World, cache: &str, words: &[&str]) -> Session {
    world.fleche(["--cache", cache].iter().chain(words))
}

/// Everything in a folder with sizes, inode numbers and times.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64)> {
    let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    all.map(|entry| {
        let metadata = entry.metadata().unwrap();
        (entry.into_path(), (metadata.ino(), metadata.size(), metadata.ctime_nsec()))
    })
    .collect()
}

#[test]
fn what_a_cache_behind_has_is_replayed_and_fills_the_first() {
    let world = stacked();
    let tool = world.counted("tool", "cat in; cp in out");
    world.write("in", "one\n");
    let words = ["run", "-i", "in", "-o", "out", "--", tool.to_str().unwrap()];
    with(&world, "team", &words).prints("one\n");
    fs::remove_file(world.path("out")).unwrap();
    with(&world, "local,team", &words).prints("one\n");
    assert_eq!((world.executions("tool"), world.read("out")), (1, "one\n".to_owned()));
    // From now on the first one has it.
    fs::remove_dir_all(world.root().join("team")).unwrap();
    fs::remove_file(world.path("out")).unwrap();
    with(&world, "local", &words).prints("one\n");
    assert_eq!((world.executions("tool"), world.read("out")), (1, "one\n".to_owned()));
    // And explains it as if it had been recorded there.
    world.write("in", "two\n");
    let told = with(&world, "local", &["explain", "-i", "in", "-o", "out", "--", tool.to_str().unwrap()]).run();
    assert!(told.stdout().contains("`in`"), "{}", told.stdout());
}

#[test]
fn a_watched_command_is_found_by_where_another_cache_saw_it_look() {
    let world = stacked();
    world.write("in", "one\n");
    with(&world, "team", &["run", "--", "sh", "-c", "cat in"]).prints("one\n");
    let shown = with(&world, "local,team", &["-v", "run", "--", "sh", "-c", "cat in"]).run();
    assert!(shown.stderr().contains("hit"), "{}", shown.stderr());
    world.write("in", "two\n");
    with(&world, "local,team", &["run", "--", "sh", "-c", "cat in"]).prints("two\n");
    world.write("in", "one\n");
    fs::remove_dir_all(world.root().join("team")).unwrap();
    let shown = with(&world, "local", &["-v", "run", "--", "sh", "-c", "cat in"]).run();
    assert!(shown.stderr().contains("hit") && shown.stdout() == "one\n", "{}", shown.stderr());
}

#[test]
fn only_the_first_is_written() {
    let world = stacked();
    with(&world, "far", &["run", "--pure", "--", "echo", "far"]).prints("far\n");
    with(&world, "team", &["run", "--pure", "--", "echo", "team"]).prints("team\n");
    let calls = |name: &str| state(&world.root().join(name).join("calls"));
    let before = (calls("team"), calls("far"));
    with(&world, "local,team,far", &["run", "--pure", "--", "echo", "new"]).prints("new\n");
    with(&world, "local,team,far", &["run", "--pure", "--", "echo", "far"]).prints("far\n");
    assert_eq!((calls("team"), calls("far")), before);
    let names = |cache: &str| -> BTreeSet<String> {
        let keys = with(&world, cache, &["table", "--columns", "command"]).run().stdout();
        keys.lines().skip(1).map(str::to_owned).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| format!("echo {name}")).collect::<BTreeSet<_>>();
    assert_eq!(names("local"), set(&["new", "far"]));
    assert_eq!(names("local,team,far"), set(&["new", "far", "team"]));
    // Each once, however many have it.
    let all = with(&world, "local,team,far", &["query", "--count"]).run().stdout();
    assert_eq!(all, "3\n");
}

#[test]
fn a_read_only_cache_refuses_every_road() {
    let world = stacked();
    world.write("in", "one\n");
    with(&world, "team", &["run", "-i", "in", "--", "cat", "in"]).prints("one\n");
    let key = with(&world, "team", &["query"]).run().stdout().trim().to_owned();
    let team = world.root().join("team");
    // What `query` keeps for questions.
    world.is_alone();
    let before = state(&team);
    let refused: [&[&str]; 8] = [
        &["tag", &key, "a=b"],
        &["evict", &key],
        &["gc"],
        &["reindex"],
        &["redigest"],
        &["rerun", &key],
        &["import", "/dev/null"],
        &["transfer", "--from", "local", "--to", "disc"],
    ];
    world.fleche(["run", "--pure", "--", "true"]).prints("");
    for words in refused {
        let outcome = with(&world, "disc", words).run();
        assert_ne!(outcome.code(), 0, "{words:?}");
        assert!(outcome.stderr().contains("read-only"), "{words:?}: {}", outcome.stderr());
    }
    with(&world, "disc", &["transfer", "--from", "disc", "--to", "local", "--pop"]).ends(
        2,
        "",
        "fleche: the cache `disc` is read-only\n",
    );
    with(&world, "disc", &["run", "-i", "in", "--", "cat", "in"]).prints("one\n");
    with(&world, "disc", &["run", "--pure", "--", "echo", "new"]).prints("new\n");
    with(&world, "disc", &["query", "--count"]).prints("1\n");
    with(&world, "disc", &["expand", &key[..8]]).prints(&format!("{key}\n"));
    with(&world, "disc", &["load", &key]).prints("one\n");
    with(&world, "disc", &["verify"]).prints("");
    let told = format!("fleche: cannot tag {}: the cache is read-only\n", &key[..12]);
    with(&world, "local,disc", &["tag", &key, "a=b"]).ends(2, "", &told);
    assert_eq!(state(&team), before);
}

#[test]
fn evicting_reaches_all_and_says_what_it_cannot_reach() {
    let world = stacked();
    for cache in ["local", "team", "far"] {
        with(&world, cache, &["run", "--pure", "--", "echo", "x"]).prints("x\n");
    }
    let key = world.fleche(["query"]).run().stdout().trim().to_owned();
    with(&world, "local,far", &["evict", &key]).prints("");
    for (cache, left) in [("local", "0\n"), ("far", "0\n"), ("team", "1\n")] {
        assert_eq!(with(&world, cache, &["query", "--count"]).run().stdout(), left, "{cache}");
    }
    let team = world.root().join("team");
    let why = format!("fleche: 1 call stays in `{}`, which is read-only\n", team.display());
    with(&world, "local,disc", &["evict", &key]).ends(2, "", &why);
}

#[test]
fn a_cache_that_cannot_be_used_is_no_reason_not_to_run() {
    let world = stacked();
    world.write(world.root().join("team"), "no folder");
    let team = world.root().join("team");
    let why = format!(
        "fleche: the cache `team` is not asked: the cache cannot be used: `{}` is not a folder\n",
        team.display()
    );
    with(&world, "local,team", &["run", "--pure", "--", "echo", "x"]).ends(0, "x\n", &why);
    // A question that leaves it out would tell what is not so.
    let told = with(&world, "local,team", &["query"]).run();
    assert_eq!((told.code(), told.stderr().contains("cannot ask the cache `team`")), (2, true), "{}", told.stderr());
}

#[test]
fn one_call_is_filled_back_once_however_many_ask() {
    let world = stacked();
    let tool = world.counted("tool", "cat in");
    world.write("in", vec![b'x'; 40_000]);
    let words = ["run", "-i", "in", "--", tool.to_str().unwrap()];
    with(&world, "team", &words).run();
    let running: Vec<_> = (0..32).map(|_| with(&world, "local,team", &words).start()).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.len() == 40_000 && output.stderr.is_empty());
    }
    assert_eq!(world.executions("tool"), 1);
    let journal = fs::read_to_string(world.cache().join("journal")).unwrap();
    let count = |event: &str| journal.lines().filter(|line| line.split('\t').nth(1) == Some(event)).count();
    assert_eq!((count("copied"), count("hit")), (1, 32));
}

/// What is done to a stack of three caches.
#[derive(Clone, Debug)]
enum Step {
    /// Runs one of four commands with these caches.
    Run(u8, Vec<usize>),
    /// Evicts one of the four from these caches.
    Evict(u8, Vec<usize>),
    Refresh(u8, Vec<usize>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stack = || {
        Just(vec![0usize, 1, 2]).prop_shuffle().prop_flat_map(|all| (1..4usize).prop_map(move |n| all[..n].to_vec()))
    };
    let step = prop_oneof![
        4 => (0..4u8, stack()).prop_map(|(command, stack)| Step::Run(command, stack)),
        1 => (0..4u8, stack()).prop_map(|(command, stack)| Step::Evict(command, stack)),
        1 => (0..4u8, stack()).prop_map(|(command, stack)| Step::Refresh(command, stack)),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 30, ..ProptestConfig::default() })]
    #[test]
    fn a_stack_does_what_a_list_of_sets_does(steps in steps()) {
        const NAMES: [&str; 3] = ["local", "team", "far"];
        let world = stacked();
        let tool = world.counted("tool", "echo $1");
        let mut model: [BTreeSet<u8>; 3] = Default::default();
        let mut executions = 0;
        for step in &steps {
            let joined = |stack: &[usize]| stack.iter().map(|at| NAMES[*at]).collect::<Vec<_>>().join(",");
            let run = |command: u8, stack: &[usize], mode: &str| {
                let number = command.to_string();
                let words = ["run", "--mode", mode, "--pure", "--", tool.to_str().unwrap(), &number];
                with(&world, &joined(stack), &words).prints(&format!("{number}\n"));
            };
            match step {
                Step::Run(command, stack) => {
                    run(*command, stack, "on");
                    executions += usize::from(!stack.iter().any(|at| model[*at].contains(command)));
                    model[stack[0]].insert(*command);
                }
                Step::Refresh(command, stack) => {
                    run(*command, stack, "refresh");
                    executions += 1;
                    model[stack[0]].insert(*command);
                }
                Step::Evict(command, stack) => {
                    let glob = format!("1={command}");
                    let is_there = stack.iter().any(|at| model[*at].contains(command));
                    let code = with(&world, &joined(stack), &["evict", "--arg", &glob]).run().code();
                    prop_assert_eq!(code == 0, is_there);
                    stack.iter().for_each(|at| {
                        model[*at].remove(command);
                    });
                }
            }
            prop_assert_eq!(world.executions("tool"), executions);
        }
        for (name, has) in NAMES.iter().zip(&model) {
            let listed = with(&world, name, &["table", "--columns", "arg.1"]).run().stdout();
            let listed: BTreeSet<u8> = listed.lines().skip(1).map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(&listed, has);
        }
        let all: BTreeSet<u8> = model.iter().flatten().copied().collect();
        prop_assert_eq!(with(&world, "local,team,far", &["query", "--count"]).run().stdout(), format!("{}\n", all.len()));
    }
}

#[test]
fn two_users_share_the_cache_of_their_group() {
    if !is_root() {
        return eprintln!("skipped: only root can be two users");
    }
    const GROUP: u32 = 54_321;
    let world = World::new();
    let folder = world.root().join("shared");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2770)).unwrap();
    let copied =
        Command::new("cp").arg(env!("CARGO_BIN_EXE_fleche")).arg(world.root().join("fleche")).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.work(), fs::Permissions::from_mode(0o777)).unwrap();
    world.write("in", vec![b'y'; 50_000]);
    let own = world.write(
        "config.toml",
        format!("cache = \"team\"\n[caches.team]\npath = \"{}\"\nshared = \"group\"\n", folder.display()),
    );
    let by = |user: u32, group: u32, words: &[&str]| {
        let program = world.program(world.root().join("fleche"), words).env("FLECHE_CONFIG", &own).env("HOME", "/");
        program.with(|command| {
            use std::os::unix::process::CommandExt;
            command.uid(user).gid(group);
        })
    };
    let words = ["run", "-i", "in", "-o", "out", "--", "cp", "in", "out"];
    by(60_001, GROUP, &words).prints("");
    fs::remove_file(world.path("out")).unwrap();
    let second = by(60_002, GROUP, &[&["-v"][..], &words].concat()).run();
    assert!(second.code() == 0 && second.stderr().contains("hit"), "{}", second.stderr());
    assert_eq!(fs::metadata(world.path("out")).unwrap().uid(), 60_002);
    // The other one changes what this one stored: tags it, stores a value that is there, evicts it, collects garbage.
    let key = by(60_002, GROUP, &["query"]).run().stdout().trim().to_owned();
    by(60_002, GROUP, &["tag", &key, "by=second"]).prints("");
    fs::remove_file(world.path("out")).unwrap();
    by(60_002, GROUP, &[&["run", "--revision", "2"][..], &words[1..]].concat()).prints("");
    by(60_001, GROUP, &["query", "--tag", "by=second"]).prints(&format!("{key}\n"));
    by(60_002, GROUP, &["evict", "--name", "*"]).prints("");
    by(60_001, GROUP, &["gc", "--grace", "0s"]).prints("");
    by(60_001, GROUP, &["verify"]).prints("");
    let values = walkdir::WalkDir::new(folder.join("values")).into_iter().map(Result::unwrap);
    assert_eq!(values.filter(|entry| entry.file_type().is_file()).count(), 0);
    // A stranger cannot, and the command runs.
    let stranger = by(60_003, 60_003, &["run", "--pure", "--", "echo", "x"]).run();
    assert_eq!((stranger.code(), stranger.stdout().as_str()), (0, "x\n"));
    assert!(stranger.stderr().contains("you are not in"), "{}", stranger.stderr());
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2777)).unwrap();
    let open = by(60_001, GROUP, &["run", "--pure", "--", "echo", "x"]).run();
    assert!(open.stderr().contains("open to others than its group"), "{}", open.stderr());
}

#[test]
fn a_cache_is_made_and_read_where_its_folder_is_in_the_right_hands() {
    if !is_root() {
        return eprintln!("skipped: only root can be another user");
    }
    const USER: u32 = 60_001;
    let world = World::new();
    let program = world.root().join("fleche");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_fleche")).arg(&program).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.work(), fs::Permissions::from_mode(0o777)).unwrap();
    let by = |user: u32, folder: &Path, access: &str| {
        let cache = format!("cache = \"it\"\n[caches.it]\npath = \"{}\"\n{access}", folder.display());
        let own = world.write("config.toml", cache);
        let session = world.program(&program, ["-v", "run", "--pure", "--", "echo", "x"]);
        let outcome = session
            .env("FLECHE_CONFIG", &own)
            .env("HOME", "/")
            .with(|command| {
                std::os::unix::process::CommandExt::uid(command, user);
            })
            .run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "x\n"), "{}", outcome.stderr());
        outcome.stderr()
    };
    for (owner, is_made) in [(0, true), (USER, true), (60_002, false)] {
        let parent = world.root().join(format!("of{owner}"));
        fs::create_dir(&parent).unwrap();
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::chown(&parent, Some(owner), None).unwrap();
        let told = by(USER, &parent.join("cache"), "");
        assert_eq!(parent.join("cache").exists(), is_made, "{told}");
        assert_eq!(told.contains("would be made in another user's folder"), !is_made, "{told}");
    }
    let disc = world.root().join(format!("of{USER}/cache"));
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(&disc).status().unwrap();
    assert!(opened.success());
    for (owner, is_read) in [(0, true), (USER, true), (60_002, false)] {
        std::os::unix::fs::chown(&disc, Some(owner), None).unwrap();
        let told = by(USER, &disc, "access = \"read-only\"\n");
        assert_eq!((told.contains("hit"), told.contains("belongs to another user")), (is_read, !is_read), "{told}");
    }
}

#[test]
fn a_cache_on_a_read_only_mount_is_replayed_from() {
    let world = stacked();
    world.write("in", "one\n");
    let team = world.root().join("team");
    let (fleche, folder) = (env!("CARGO_BIN_EXE_fleche"), team.display());
    // By a shell both times, which has an environment of its own.
    let record = format!("'{fleche}' --cache team run -i in -- cat in");
    world.program("unshare", ["-m", "sh", "-c", &record]).run();
    if !team.exists() {
        return eprintln!("skipped: nothing can be mounted here");
    }
    let line = format!(
        "mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && ! touch '{folder}/x' 2>/dev/null && \
         '{fleche}' -v --cache local,disc run -i in -- cat in && '{fleche}' --cache disc query --count",
    );
    let unshared = world.program("unshare", ["-m", "sh", "-c", &line]).run();
    assert_eq!((unshared.code(), unshared.stdout().as_str()), (0, "one\n1\n"), "{}", unshared.stderr());
    assert!(unshared.stderr().contains("hit"), "{}", unshared.stderr());
}
