//! A cache folder that another user could have made, written or replaced is not used: the command runs, fleche says so in one
//! line, and nothing is written there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tell;
use crate::world::{Outcome, Session, World, is_root};

/// Who runs fleche.
pub const OWNER: u32 = 61_001;
/// Who else there is.
pub const OTHER: u32 = 61_002;

/// A world in which two users who are not root have a home each.
pub struct Town {
    pub world: World,
}

impl Town {
    /// `None`, with a line that says why, where nobody can become somebody else.
    pub fn new(suite: &str) -> Option<Town> {
        if !is_root() {
            tell(&format!("{suite}: skipped, only root can become other users"));
            return None;
        }
        let world = World::new();
        let town = Town { world };
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_fleche")).arg(town.fleche()).status().unwrap();
        assert!(copied.success());
        for folder in [town.world.root(), town.world.work()] {
            mode(&folder, 0o755);
        }
        for user in [OWNER, OTHER] {
            fs::create_dir(town.home(user)).unwrap();
            own(&town.home(user), user);
        }
        own(&town.world.work(), OWNER);
        own(&town.world.write("input", "1\n"), OWNER);
        let tool = town.world.script("tool", "#!/bin/sh\ncat input\nexit 3\n");
        own(&tool, OWNER);
        Some(town)
    }

    /// The program under test, where everybody can execute it.
    pub fn fleche(&self) -> PathBuf {
        self.world.root().join("fleche")
    }

    pub fn home(&self, user: u32) -> PathBuf {
        self.world.root().join(format!("home-{user}"))
    }

    /// A session of this user in their home, in the world's working directory.
    pub fn by(&self, user: u32, words: &[&str]) -> Session {
        self.world.program(self.fleche(), words).env("HOME", self.home(user)).by(user)
    }

    /// The same of any program.
    pub fn program(&self, user: u32, program: &str, words: &[&str]) -> Session {
        self.world.program(program, words).env("HOME", self.home(user)).by(user)
    }

    /// Where this user's cache is.
    pub fn cache(&self, user: u32) -> PathBuf {
        self.home(user).join(".cache/fleche")
    }
}

pub fn own(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// All that is below `folder`, with owners, modes, sizes and the times of folders, that nothing can be written to unseen.
pub fn picture(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let found = entry.path().symlink_metadata().unwrap();
            let (owner, mode, size, changed) =
                (found.uid(), found.mode(), found.size(), (found.mtime(), found.mtime_nsec()));
            format!("{} {owner} {mode:o} {size} {changed:?}", entry.path().display())
        })
        .collect();
    all.sort();
    all
}

/// What `fleche run` of the tool does, held against what the tool does by itself.
const RUN: [&str; 7] = ["run", "-i", "input", "--cache-exit", "3", "--", "./tool"];

fn bare(town: &Town, user: u32) -> Outcome {
    town.program(user, "./tool", &[]).run()
}

/// Each makes of the folder where the owner's cache belongs what must not be used; and a part of what fleche then says.
type Harm = (&'static str, fn(&Town, &Path), &'static str);

const HARMS: &[Harm] = &[
    ("somebody else's, private", |_, cache| made(cache, OTHER, 0o700), "belongs to another user"),
    ("somebody else's, open", |_, cache| made(cache, OTHER, 0o777), "belongs to another user"),
    ("root's, open", |_, cache| made(cache, 0, 0o777), "belongs to another user"),
    ("root's, sticky", |_, cache| made(cache, 0, 0o1777), "belongs to another user"),
    ("written by the group", |_, cache| made(cache, OWNER, 0o720), "is open to others (mode 720, not 700)"),
    ("the group's as well", |_, cache| made(cache, OWNER, 0o2770), "is open to others (mode 770, not 700)"),
    ("written by everybody", |_, cache| made(cache, OWNER, 0o702), "is open to others (mode 702, not 700)"),
    ("everybody's", |_, cache| made(cache, OWNER, 0o777), "is open to others (mode 777, not 700)"),
    ("read by everybody", |_, cache| made(cache, OWNER, 0o755), "is open to others (mode 755, not 700)"),
    ("searched by everybody", |_, cache| made(cache, OWNER, 0o701), "is open to others (mode 701, not 700)"),
    ("a link to a good one", |town, cache| link(town, cache, OWNER), "is a symbolic link"),
    ("a link to somebody else's", |town, cache| link(town, cache, OTHER), "is a symbolic link"),
    ("a link to nothing", |_, cache| dangling(cache, "nowhere"), "is a symbolic link"),
    ("a link to itself", |_, cache| dangling(cache, "fleche"), "is a symbolic link"),
    ("a file", |_, cache| file(cache, OWNER), "is not a folder"),
    ("somebody else's file", |_, cache| file(cache, OTHER), "is not a folder"),
    ("a FIFO", |_, cache| fifo(cache), "is not a folder"),
    ("below somebody else's folder", |_, cache| parent(cache, OTHER, 0o755), "would be made in another user's folder"),
    ("below everybody's folder", |_, cache| parent(cache, OWNER, 0o777), "where everybody may replace it"),
    (
        "in everybody's folder",
        |_, cache| {
            made(cache, OWNER, 0o700);
            mode(cache.parent().unwrap(), 0o777);
        },
        "where everybody may replace it",
    ),
    (
        "in somebody else's folder that everybody may write",
        |_, cache| {
            made(cache, OWNER, 0o700);
            own(cache.parent().unwrap(), OTHER);
            mode(cache.parent().unwrap(), 0o777);
        },
        "where everybody may replace it",
    ),
    (
        "full of something else",
        |_, cache| {
            made(cache, OWNER, 0o700);
            fs::write(cache.join("letter"), "dear").unwrap();
            own(&cache.join("letter"), OWNER);
        },
        "holds something else than a cache",
    ),
];

fn parent(cache: &Path, owner: u32, bits: u32) {
    fs::create_dir(cache.parent().unwrap()).unwrap();
    own(cache.parent().unwrap(), owner);
    mode(cache.parent().unwrap(), bits);
}

fn made(cache: &Path, owner: u32, bits: u32) {
    parent(cache, OWNER, 0o700);
    fs::create_dir(cache).unwrap();
    own(cache, owner);
    mode(cache, bits);
}

/// A link to a whole cache of this user's.
fn link(town: &Town, cache: &Path, owner: u32) {
    let real = town.home(owner).join("real");
    assert_eq!(town.by(owner, &["run", "--cache", real.to_str().unwrap(), "--pure", "--", "true"]).run().code(), 0);
    parent(cache, OWNER, 0o700);
    symlink(&real, cache).unwrap();
    own(cache, OWNER);
}

fn dangling(cache: &Path, target: &str) {
    parent(cache, OWNER, 0o700);
    symlink(target, cache).unwrap();
    own(cache, OWNER);
}

fn file(cache: &Path, owner: u32) {
    parent(cache, OWNER, 0o700);
    fs::write(cache, "").unwrap();
    own(cache, owner);
}

fn fifo(cache: &Path) {
    parent(cache, OWNER, 0o700);
    assert!(Command::new("mkfifo").arg(cache).status().unwrap().success());
    own(cache, OWNER);
}

#[test]
fn a_folder_that_others_had_their_hands_on_is_not_used() {
    let mut runs = 0;
    for (what, harm, said) in HARMS {
        let Some(town) = Town::new("a folder of others") else { return };
        harm(&town, &town.cache(OWNER));
        town.world.is_alone();
        let homes = || [OWNER, OTHER].map(|user| picture(&town.home(user)));
        let (before, bare) = (homes(), bare(&town, OWNER));
        assert_eq!((bare.code(), bare.stdout().as_str()), (3, "1\n"));
        for words in [&RUN[..], &["run", "--", "./tool"], &["run", "--mode", "refresh", "-i", "input", "--", "./tool"]]
        {
            let outcome = town.by(OWNER, words).run();
            runs += 1;
            assert_eq!((outcome.status, &outcome.stdout), (bare.status, &bare.stdout), "{what}: {outcome:?}");
            let line = outcome.stderr();
            assert!(line.contains(said) && line.lines().count() == 1, "{what}: {line}");
            assert_eq!(homes(), before, "{what}");
        }
        // Every subcommand that would look into it says no, and writes nothing either.
        for words in
            [&["table"][..], &["gc"], &["verify"], &["reindex"], &["query", "--count"], &["evict", "--name", "*"]]
        {
            let outcome = town.by(OWNER, words).run();
            runs += 1;
            // Of what is not there at all there is nothing to be told, nor of an empty folder that is one's own.
            let is_missing = !town.cache(OWNER).exists() && !town.cache(OWNER).is_symlink();
            let is_empty = what.starts_with("in ");
            assert!(outcome.code() > 0 || is_missing || is_empty, "{what} {words:?}: {outcome:?}");
            assert_eq!(homes(), before, "{what} {words:?}");
        }
        for user in [OWNER, OTHER] {
            mode(&town.home(user), 0o700);
        }
    }
    tell(&format!("{} folders that others had their hands on, {runs} commands: none used one", HARMS.len()));
}

/// A good cache that everybody could now put another in the place of is read, because it is open before it is looked into, and
/// not written.
#[test]
fn a_cache_that_everybody_could_replace_is_not_written() {
    let Some(town) = Town::new("a cache that can be replaced") else { return };
    let bare = bare(&town, OWNER);
    assert_eq!(town.by(OWNER, &RUN).run(), bare);
    assert_eq!(town.by(OWNER, &["table"]).run().code(), 0);
    mode(town.cache(OWNER).parent().unwrap(), 0o777);
    let before = picture(&town.cache(OWNER).join("calls"));
    let line = "where everybody may replace it";
    let hit = town.by(OWNER, &[&["-v"], &RUN[..]].concat()).run();
    assert!((hit.status, &hit.stdout) == (bare.status, &bare.stdout) && hit.stderr().contains("hit"), "{hit:?}");
    for words in [&["run", "--revision", "2", "-i", "input", "--", "./tool"][..], &["run", "--", "./tool"]] {
        let missed = town.by(OWNER, words).run();
        assert_eq!((missed.status, &missed.stdout), (bare.status, &bare.stdout), "{missed:?}");
        assert!(missed.stderr().contains(line) && missed.stderr().lines().count() == 1, "{missed:?}");
    }
    for words in [&["table"][..], &["gc"], &["evict", "--name", "*"], &["reindex"], &["verify", "--repair"]] {
        let refused = town.by(OWNER, words).run();
        assert!(refused.code() > 0 && refused.stderr().contains(line), "{words:?}: {refused:?}");
    }
    assert_eq!(picture(&town.cache(OWNER).join("calls")), before);
    mode(town.cache(OWNER).parent().unwrap(), 0o1777);
    assert_eq!(town.by(OWNER, &["query", "--count"]).run().stdout(), "1\n");
    tell("a cache that everybody could replace: read, and not written");
}

/// Files and folders within a good cache that are somebody else's, or links.
#[test]
fn nothing_within_a_cache_leads_out_of_it() {
    let mut steps = 0;
    for name in ["lock", "journal", "secret", "index.sqlite", "CACHEDIR.TAG", "layout-1"] {
        for harm in ["another user's", "a link", "a dangling link", "a FIFO", "a folder"] {
            let Some(town) = Town::new("within a cache") else { return };
            let bare = bare(&town, OWNER);
            assert_eq!(town.by(OWNER, &RUN).run(), bare);
            assert_eq!(town.by(OWNER, &["table"]).run().code(), 0);
            let (path, victim) = (town.cache(OWNER).join(name), town.home(OWNER).join("victim"));
            fs::write(&victim, "precious").unwrap();
            own(&victim, OWNER);
            fs::remove_file(&path).unwrap();
            match harm {
                "another user's" => fs::write(&path, "").unwrap(),
                "a link" => symlink(&victim, &path).unwrap(),
                "a dangling link" => symlink(town.home(OWNER).join("new"), &path).unwrap(),
                "a FIFO" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                _ => fs::create_dir(&path).unwrap(),
            }
            own(&path, if harm == "another user's" { OTHER } else { OWNER });
            for words in [&RUN[..], &["run", "-i", "input", "--revision", "2", "--cache-exit", "3", "--", "./tool"]] {
                let outcome = town.by(OWNER, words).run();
                assert_eq!(
                    (outcome.status, &outcome.stdout),
                    (bare.status, &bare.stdout),
                    "{name} {harm}: {outcome:?}"
                );
                assert!(outcome.stderr().lines().count() < 2, "{name} {harm}: {outcome:?}");
            }
            for words in [&["table"][..], &["verify"], &["gc", "--grace", "0s"]] {
                assert!(town.by(OWNER, words).run().status.code().is_some(), "{name} {harm} {words:?}");
            }
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name} {harm}");
            assert!(!town.home(OWNER).join("new").exists(), "{name} {harm}");
            steps += 1;
        }
    }
    tell(&format!("{steps} files of a cache in other hands: nothing is written through one"));
}

/// As by sudo: root with a user's home.
#[test]
fn root_leaves_nothing_in_a_users_home() {
    let mut runs = 0;
    for has_cache in [false, true] {
        let Some(town) = Town::new("root with a user's home") else { return };
        if has_cache {
            assert_eq!(town.by(OWNER, &RUN).run().code(), 3);
        }
        town.world.is_alone();
        let (before, bare) = (picture(&town.home(OWNER)), bare(&town, 0));
        for words in [
            &RUN[..],
            &["run", "--", "./tool"],
            &["table"],
            &["gc"],
            &["run", "--isolate", "-i", "input", "--", "cat", "input"],
        ] {
            let outcome = town.world.program(town.fleche(), words).env("HOME", town.home(OWNER)).run();
            runs += 1;
            if words[0] == "run" {
                assert_eq!(outcome.stdout, bare.stdout, "{outcome:?}");
                assert_eq!(outcome.stderr().lines().count(), 1, "{outcome:?}");
            }
            assert_eq!(picture(&town.home(OWNER)), before, "{words:?}");
        }
        // Somebody with the home of another, who may even write there.
        mode(&town.home(OWNER), 0o1777);
        let before = picture(&town.home(OWNER));
        let outcome = town.by(OTHER, &["run", "--pure", "--", "echo", "x"]).env("HOME", town.home(OWNER)).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "x\n"), "{outcome:?}");
        assert_eq!(picture(&town.home(OWNER)), before);
        mode(&town.home(OWNER), 0o755);
        runs += 1;
    }
    tell(&format!("{runs} commands with another user's home: nothing is left there"));
}

/// What the configuration of others says is not gone by, but where FLECHE_CONFIG names it.
#[test]
fn a_file_of_configuration_of_another_user_makes_no_rule() {
    let Some(town) = Town::new("another user's configuration") else { return };
    let rule = "[[command]]\nmatch = [\"./tool\"]\nprobe = [\"echo x > probed\"]\ninputs = [\"input\"]\n";
    for (owner, bits) in [(OTHER, 0o644), (OTHER, 0o600), (OWNER, 0o646), (OWNER, 0o666)] {
        let file = town.world.write("fleche.toml", rule);
        own(&file, owner);
        mode(&file, bits);
        assert_eq!(town.by(OWNER, &["run", "--", "./tool"]).run().stdout, b"1\n");
        assert!(!town.world.path("probed").exists(), "{owner} {bits:o}");
    }
    let usual = town.home(OWNER).join(".config/fleche/config.toml");
    fs::create_dir_all(usual.parent().unwrap()).unwrap();
    fs::write(&usual, rule).unwrap();
    own(&usual, OTHER);
    fs::remove_file(town.world.path("fleche.toml")).unwrap();
    assert_eq!(town.by(OWNER, &["run", "--", "./tool"]).run().stdout, b"1\n");
    assert!(!town.world.path("probed").exists());
    // It is a rule that works: who names the file means it.
    assert_eq!(town.by(OWNER, &["run", "--", "./tool"]).env("FLECHE_CONFIG", &usual).run().stdout, b"1\n");
    assert!(town.world.path("probed").exists());
    tell("5 files of configuration that others could have written: no rule of theirs holds");
}
