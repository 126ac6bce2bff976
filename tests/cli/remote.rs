//! Stores that many machines share: two caches with one checkout each are two machines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::world::{Session, World, eventually};

/// Two machines, `one` and `other`, that share a store.
pub struct Team {
    pub world: World,
    url: Mutex<String>,
}

/// So many commands many machines run.
pub const COMMANDS: usize = 20;

pub const TEAM: &str = "access = \"read-write\"\nupload = [\"*\"]\n";

impl Team {
    /// With these settings of the store.
    pub fn with(settings: &str) -> Team {
        let world = World::new();
        let url = Mutex::new(format!("file://{}", world.root().join("store").display()));
        let team = Team { world, url };
        fs::create_dir(team.store()).unwrap();
        let keys = team.world.home().join(".config/fleche");
        team.world.fleche(["remote", "key", "ci"]).run().check(
            0,
            &format!("signing-key = \"{0}/ci.key\"\ntrusted-keys = [\"{0}/ci.pub\"]\n", keys.display()),
            "",
        );
        team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{settings}"));
        for machine in ["one", "other"] {
            team.world.write(format!("{machine}/fleche.toml"), "root = true\n");
        }
        team
    }

    fn new() -> Team {
        Team::with(TEAM)
    }

    /// From now on the store is somewhere else.
    pub fn moved_to(&self, url: &str, settings: &str) {
        *self.url.lock().unwrap() = url.to_owned();
        self.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{settings}"));
    }

    pub fn configure(&self, settings: &str) {
        let text = format!("[caches.team]\nurl = \"{}\"\n{settings}", self.url.lock().unwrap());
        self.world.write(self.world.home().join(".config/fleche/config.toml"), text);
    }

    pub fn store(&self) -> PathBuf {
        self.world.root().join("store")
    }

    pub fn cache(&self, machine: &str) -> PathBuf {
        self.world.root().join(format!("cache-{machine}"))
    }

    /// The caches of a machine: its own, and the one that all share.
    pub fn caches(&self, machine: &str) -> String {
        format!("{},team", self.cache(machine).display())
    }

    pub fn on(&self, machine: &str, words: &[&str]) -> Session {
        self.world.fleche(words).env("FLECHE_CACHE", self.caches(machine)).current_dir(self.world.path(machine))
    }

    /// The same file for both, of the same age: for some programs that counts.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let old = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        for machine in ["one", "other"] {
            let path = self.world.write(format!("{machine}/{name}"), content.as_ref());
            fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
    }

    /// What a machine has stored is in the store once its outbox is empty.
    pub fn is_sent(&self, machine: &str) {
        let outbox = self.cache(machine).join("outbox");
        let is_empty = |folder: &Path| fs::read_dir(folder).map_or(true, |mut found| found.next().is_none());
        eventually("the outbox is empty", || {
            let folders = fs::read_dir(&outbox).into_iter().flatten().map(|entry| entry.unwrap().path());
            folders.filter(|path| path.is_dir()).all(|folder| is_empty(&folder))
        });
    }

    /// Many machines, `most` in the long form, of which some do the same at the same time; all of them get what is right, and hear
    /// of no error. How many they are, and how many ran the command.
    pub fn is_used_by_many(&self, most: usize) -> (usize, usize) {
        self.is_used_by_many_with(most, &[])
    }

    /// The same, with these variables.
    pub fn is_used_by_many_with(&self, most: usize, variables: &[(&str, &str)]) -> (usize, usize) {
        let machines = if std::env::var_os("FLECHE_LONG").is_some() { most } else { 60 };
        const AT_ONCE: usize = 16;
        let tool = self.world.counted("tool", "cat in; cp in out").display().to_string();
        let text = |machine: usize| format!("{}\n", machine % COMMANDS).repeat(500);
        for machine in 0..machines {
            self.world.write(format!("machine-{machine}/fleche.toml"), "root = true\n");
            self.world.write(format!("machine-{machine}/in"), text(machine));
        }
        let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let machine = next.fetch_add(1, Ordering::Relaxed);
                        if machine >= machines {
                            return;
                        }
                        let name = format!("machine-{machine}");
                        let session = self.on(&name, &["run", "-i", "in", "-o", "out", "--", &tool]);
                        let with = |session: Session, (name, value): &(&str, &str)| session.env(name, value);
                        let outcome = variables.iter().fold(session, with).run();
                        let right = text(machine);
                        let is_right = outcome.stdout() == right && self.world.read(format!("{name}/out")) == right;
                        if !is_right || outcome.code() != 0 || !outcome.stderr().is_empty() {
                            faults.lock().unwrap().push((machine, outcome.stderr()));
                        }
                    }
                });
            }
        });
        (0..machines).for_each(|machine| self.is_sent(&format!("machine-{machine}")));
        assert_eq!(*faults.lock().unwrap(), []);
        (machines, self.world.executions("tool"))
    }

    /// The objects of a kind: `a`, `b` or `p`.
    pub fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let all = walkdir::WalkDir::new(self.store().join("v1").join(kind)).sort_by_file_name().into_iter();
        all.flatten().filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
    }
}

/// A tool that copies what it reads, beside both checkouts.
pub fn tool(team: &Team) -> String {
    team.world.counted("tool", "cat in; echo aside >&2; cp in out").display().to_string()
}

#[test]
fn what_one_machine_made_another_one_replays() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "-o", "out", "--", &tool];
    let stored = team.on("one", &words).run();
    assert!(stored.stderr().contains("stored"), "{}", stored.stderr());
    team.is_sent("one");
    let replayed = team.on("other", &words).run();
    assert_eq!((replayed.code(), replayed.stdout().as_str()), (0, "text\n"));
    let told = replayed.stderr();
    assert!(told.starts_with("fleche: hit ") && told.ends_with("aside\n"), "{told}");
    assert_eq!((team.world.executions("tool"), team.world.read("other/out")), (1, "text\n".to_owned()));
    // It has it now, without the store.
    fs::remove_dir_all(team.store()).unwrap();
    fs::remove_file(team.world.path("other/out")).unwrap();
    team.on("other", &words[..].iter().copied().filter(|word| *word != "-v").collect::<Vec<_>>())
        .ends(0, "text\n", "aside\n");
    assert_eq!((team.world.executions("tool"), team.world.read("other/out")), (1, "text\n".to_owned()));
}

#[test]
fn what_a_watched_command_found_is_looked_for_on_the_other_machine() {
    let team = Team::new();
    team.write("in", "first\n");
    let script = "cat in; if [ -e more ]; then cat more; fi; cp in out";
    let words = ["-v", "run", "--trace", "on", "--", "sh", "-c", script];
    let watched = |machine: &str| {
        let outcome = team.on(machine, &words).run();
        (outcome.stdout(), outcome.stderr().contains("fleche: hit "))
    };
    assert_eq!(watched("one"), ("first\n".to_owned(), false));
    team.is_sent("one");
    assert_eq!(watched("other"), ("first\n".to_owned(), true));
    assert_eq!(team.world.read("other/out"), "first\n");
    // Another content is another call, and so is a file that was not there.
    team.write("in", "second\n");
    assert_eq!(watched("other"), ("second\n".to_owned(), false));
    team.write("more", "more\n");
    assert_eq!(watched("other"), ("second\nmore\n".to_owned(), false));
    team.is_sent("other");
    assert_eq!(watched("one"), ("second\nmore\n".to_owned(), true));
    fs::remove_file(team.world.path("one/more")).unwrap();
    assert_eq!(watched("one"), ("second\n".to_owned(), true));
    assert_eq!((team.objects("p").len(), team.objects("a").len()), (1, 3));
}

#[test]
fn large_values_are_objects_of_their_own() {
    let team = Team::new();
    let tool = team.world.counted("tool", "cat in; cat in in > twice; echo small > small").display().to_string();
    // Not to be compressed to nothing.
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let bytes: Vec<u8> = (0..5 << 20).map(|_| next()).collect();
    team.write("in", &bytes);
    let words = ["run", "-i", "in", "-o", "twice", "-o", "small", "--", &tool];
    team.on("one", &words).run();
    team.is_sent("one");
    let large = team.objects("b");
    assert_eq!((team.objects("a").len(), large.len()), (1, 1));
    let outcome = team.on("other", &words).run();
    assert_eq!((outcome.code(), team.world.executions("tool")), (0, 1));
    let same =
        |machine: &str| fs::read(team.world.path(format!("{machine}/twice"))).unwrap() == [&bytes[..], &bytes].concat();
    assert!(same("other") && team.world.read("other/small") == "small\n");
    // A value that is not what its name says is not taken for it; nor is one that is cut short, or gone.
    let whole = fs::read(&large[0]).unwrap();
    let forged = zstd::encode_all(&vec![b'x'; 10 << 20][..], 3).unwrap();
    for (runs, content) in [(2, Some(&forged[..])), (3, Some(&whole[..whole.len() / 2])), (4, None)] {
        match content {
            Some(bytes) => fs::write(&large[0], bytes).unwrap(),
            None => fs::remove_file(&large[0]).unwrap(),
        }
        fs::remove_dir_all(team.cache("other")).unwrap();
        fs::remove_file(team.world.path("other/twice")).unwrap();
        let outcome = team.on("other", &words).run();
        assert_eq!((outcome.code(), team.world.executions("tool")), (0, runs));
        assert!(same("other"));
        team.is_sent("other");
        // Who made it anew puts it there anew.
        assert!(fs::read(&large[0]).unwrap() == whole);
    }
}

#[test]
fn whatever_is_in_the_store_the_command_does_what_it_does_bare() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let declared = ["run", "-i", "in", "-o", "out", "--", &tool];
    let watched = ["run", "--", "sh", "-c", "cat in; cp in out"];
    team.on("one", &declared).run();
    team.on("one", &watched).run();
    team.is_sent("one");
    let objects: Vec<(PathBuf, Vec<u8>)> = ["a", "p"]
        .iter()
        .flat_map(|kind| team.objects(kind))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    assert_eq!(objects.len(), 3);
    // Nothing is put there, so that what is tried stays.
    team.configure("trusted-keys = [\"ci.pub\"]\n");
    let check = |what: &str, path: &Path| {
        for words in [&declared[..], &watched] {
            let _ = fs::remove_dir_all(team.cache("other"));
            let _ = fs::remove_file(team.world.path("other/out"));
            let outcome = team.on("other", words).run();
            assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"), "{what} {path:?}");
            let stderr = if words[1] == "-i" { "aside\n" } else { "" };
            assert_eq!(outcome.stderr(), stderr, "{what} {path:?}");
            assert_eq!(team.world.read("other/out"), "text\n", "{what} {path:?}");
        }
    };
    check("nothing", Path::new(""));
    assert_eq!(team.world.executions("tool"), 1, "all is well before");
    for (number, (path, whole)) in objects.iter().enumerate() {
        let other = &objects[(number + 1) % objects.len()].1;
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            bytes
        };
        let page = b"<!DOCTYPE html><html><body>Sign in</body></html>".repeat(50);
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("cut short", whole[..whole.len() - 1].to_vec()),
            ("cut at half", whole[..whole.len() / 2].to_vec()),
            ("its head flipped", flipped(30)),
            ("its end flipped", flipped(whole.len() - 1)),
            ("another object", other.clone()),
            ("a page", page),
            ("zeros", vec![0; 100_000]),
            ("what no memory holds", [b"fleche object 1\n", &[0xff; 4][..]].concat()),
        ] {
            fs::write(path, bytes).unwrap();
            check(what, path);
        }
        fs::remove_file(path).unwrap();
        check("gone", path);
        fs::create_dir(path).unwrap();
        check("a folder", path);
        fs::remove_dir(path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        check("a pipe", path);
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        check("a device", path);
        fs::remove_file(path).unwrap();
        fs::write(path, whole).unwrap();
    }
    fs::remove_dir_all(team.store()).unwrap();
    check("the store is gone", &team.store());
    fs::write(team.store(), "").unwrap();
    check("the store is a file", &team.store());
}

#[test]
fn only_who_is_trusted_is_believed_and_only_in_his_part() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    team.is_sent("one");
    team.world.fleche(["remote", "key", "stranger"]).run();
    let ran = |settings: &str| {
        team.configure(settings);
        let _ = fs::remove_dir_all(team.cache("other"));
        let before = team.world.executions("tool");
        let outcome = team.on("other", &[&["-v"], &words[..]].concat()).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"));
        (team.world.executions("tool") > before, outcome.stderr())
    };
    assert!(!ran("trusted-keys = [\"ci.pub\"]\n").0);
    let digits = team.world.read(team.world.home().join(".config/fleche/ci.pub"));
    let digits = digits.lines().last().unwrap();
    assert!(!ran(&format!("trusted-keys = [\"{digits}\"]\n")).0, "a key may stand there itself");
    let (is_run, told) = ran("trusted-keys = [\"stranger.pub\"]\n");
    assert!(is_run && told.contains("which is not trusted"), "{told}");
    assert!(ran("trusted-keys = [\"ci.pub\"]\nnamespace = \"pull-request\"\n").0);
    let (is_run, told) = ran("");
    assert!(is_run && told.contains("nobody is believed in the cache `team`"), "{told}");
    let (is_run, told) = ran("trusted-keys = [\"missing.pub\"]\n");
    assert!(is_run && told.contains("cannot read the public key"), "{told}");
    // What is of another part is not believed in this one, whoever signed it.
    let moved = team.store().join("v1/a/pull-request");
    fs::rename(team.store().join("v1/a/main"), &moved).unwrap();
    let (is_run, told) = ran("trusted-keys = [\"ci.pub\"]\nnamespace = \"pull-request\"\n");
    assert!(is_run && told.contains("it is another object under this name"), "{told}");
}

#[test]
fn a_signature_holds_for_its_own_object_alone() {
    let team = Team::new();
    let tool = tool(&team);
    let words = ["-v", "run", "-i", "in", "-o", "out", "--", &tool];
    for text in ["other\n", "text\n"] {
        team.write("in", text);
        team.on("one", &words).run();
    }
    team.is_sent("one");
    team.configure("trusted-keys = [\"ci.pub\"]\n");
    let paths = team.objects("a");
    let objects: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    // After the magic and the head, whose length is between them: 32 bytes of a key and the 64 that it signed with.
    let parts = |bytes: &[u8]| {
        let head = 20 + u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        [0..head, head..head + 32, head + 32..head + 96, head + 96..bytes.len()]
    };
    let made_of = |owners: [usize; 4]| {
        let part = |(part, owner): (usize, usize)| &objects[owner][parts(&objects[owner])[part].clone()];
        owners.into_iter().enumerate().flat_map(|at| part(at).to_vec()).collect::<Vec<u8>>()
    };
    let run = |told: &str| {
        let _ = fs::remove_dir_all(team.cache("other"));
        let _ = fs::remove_file(team.world.path("other/out"));
        let before = team.world.executions("tool");
        let outcome = team.on("other", &words).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"));
        assert_eq!(team.world.read("other/out"), "text\n");
        assert!(outcome.stderr().contains(told), "{told}: {}", outcome.stderr());
        team.world.executions("tool") - before
    };
    assert_eq!(run("fleche: hit "), 0);
    let put = |owners: fn(usize) -> [usize; 4]| {
        paths.iter().enumerate().for_each(|(own, path)| fs::write(path, made_of(owners(own))).unwrap());
    };
    put(|own| [own, own, 1 - own, own]);
    assert_eq!(run("its signature is wrong"), 1);
    put(|own| [own, own, own, 1 - own]);
    assert_eq!(run("fleche: miss"), 1);
    put(|own| [1 - own, 1 - own, 1 - own, own]);
    assert_eq!(run("it is another object under this name"), 1);
    put(|own| [own; 4]);
    assert_eq!(run("fleche: hit "), 0);
}

#[test]
fn an_older_object_is_right_for_what_it_was_made_of() {
    let team = Team::new();
    let replace = |kind: &str, old: &[Vec<u8>]| {
        team.objects(kind).iter().zip(old).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    };
    let all = |kind: &str| team.objects(kind).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    // What a watched command read at first, in the place of what it reads now.
    team.write("in", "first\n");
    let watched = ["run", "--", "sh", "-c", "cat in; if [ -e more ]; then cat more; fi"];
    team.on("one", &watched).prints("first\n");
    team.is_sent("one");
    let old = all("p");
    team.write("more", "more\n");
    team.on("one", &watched).prints("first\nmore\n");
    team.is_sent("one");
    let new = all("p");
    assert!(old.len() == 1 && old != new);
    replace("p", &old);
    team.on("other", &watched).prints("first\nmore\n");
    team.is_sent("other");
    fs::remove_dir_all(team.cache("other")).unwrap();
    replace("p", &old);
    fs::remove_file(team.world.path("other/more")).unwrap();
    team.on("other", &watched).prints("first\n");
    // A call that was made anew, of a command that did not say what it depends on.
    let count = team.world.count_file("tool");
    let tool = team.world.counted("tool", &format!("wc -l < '{}'", count.display())).display().to_string();
    let declared = ["run", "-i", "in", "--", &tool];
    let before = all("a");
    team.on("one", &declared).prints("1\n");
    team.is_sent("one");
    let path = team.objects("a").into_iter().find(|path| !before.contains(&fs::read(path).unwrap())).unwrap();
    let old = fs::read(&path).unwrap();
    team.on("one", &[&["run", "--mode", "refresh"], &declared[1..]].concat()).prints("2\n");
    team.is_sent("one");
    assert!(fs::read(&path).unwrap() != old);
    fs::write(&path, old).unwrap();
    team.on("other", &declared).prints("1\n");
    assert_eq!(team.world.executions("tool"), 2);
}

#[test]
fn nothing_is_put_there_that_no_rule_allows() {
    let words = ["run", "-i", "in", "--", "cat", "in"];
    for (settings, is_sent) in [
        ("access = \"read-write\"\nupload = [\"cat *\"]\n", true),
        ("access = \"read-write\"\nupload = [\"cc *\", \"cat in\"]\n", true),
        ("access = \"read-write\"\nupload = [\"cc *\"]\n", false),
        ("access = \"read-write\"\n", false),
        ("upload = [\"cat *\"]\n", false),
        ("access = \"read-only\"\nupload = [\"cat *\"]\n", false),
    ] {
        let team = Team::with(settings);
        team.write("in", "text\n");
        team.on("one", &words).prints("text\n");
        team.is_sent("one");
        assert_eq!(team.objects("a").len(), usize::from(is_sent), "{settings}");
        // Nor if somebody asks for it.
        let pushed = team.on("one", &["push", "--name", "cat"]).run();
        assert_eq!(team.objects("a").len(), usize::from(is_sent), "{settings}");
        if !is_sent {
            assert!(!pushed.stderr().is_empty(), "{settings}");
        }
    }
}

#[test]
fn no_secret_is_in_an_object() {
    let team = Team::new();
    let script = team.world.script("tool", "#!/bin/sh\necho $#\n").display().to_string();
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "--redact-arg", "--token=*", "--", &script, "--token=canary-of-an-argument"];
    team.on("one", &words).env("API_TOKEN", "canary-of-the-environment").prints("1\n");
    team.is_sent("one");
    let words = ["run", "-i", "in", "--", &script, "a word that is told"];
    team.on("one", &words).env("API_TOKEN", "canary-of-the-environment").prints("1\n");
    team.is_sent("one");
    let objects = team.objects("a");
    assert_eq!(objects.len(), 2);
    let mut all = Vec::new();
    for bytes in objects.iter().map(|path| fs::read(path).unwrap()) {
        let packed = bytes.windows(4).position(|four| four == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
        all.extend(zstd::decode_all(&bytes[packed..]).unwrap());
        all.extend(bytes);
    }
    let holds = |needle: &str| all.windows(needle.len()).any(|some| some == needle.as_bytes());
    assert!(holds("a word that is told"), "the search finds what is there");
    let key = team.world.read(team.world.home().join(".config/fleche/ci.key"));
    assert!(!holds("canary-of") && !holds(key.lines().last().unwrap()));
}

#[test]
fn a_key_may_come_by_the_environment_and_no_command_sees_it() {
    let team = Team::new();
    let file = team.world.read(team.world.home().join(".config/fleche/ci.key"));
    let key = file.lines().last().unwrap().to_owned();
    team.configure(&format!("trusted-keys = [\"ci.pub\"]\n{TEAM}"));
    team.write("in", "text\n");
    let words = ["-i", "in", "--", "sh", "-c", "cat in; echo ${FLECHE_SIGNING_KEY-none}"];
    for mode in [&["run"][..], &["run", "--mode", "off"]] {
        team.on("one", &[mode, &words].concat()).env("FLECHE_SIGNING_KEY", &key).prints("text\nnone\n");
    }
    team.is_sent("one");
    assert_eq!(team.objects("a").len(), 1);
    // Nor can it be looked up: it is with nobody who can be asked for it.
    let looks =
        ["run", "-i", "in", "--", "sh", "-c", "grep -lz \"$0\" /proc/[0-9]*/environ 2> /dev/null; :", &key[..16]];
    let found = team.on("one", &looks).env("FLECHE_SIGNING_KEY", &key).run();
    assert_eq!((found.stdout(), found.code()), (String::new(), 0), "{}", found.stderr());
    // The whole file may be what the variable holds.
    assert!(file.starts_with('#'));
    team.on("one", &["push", "--wait"]).env("FLECHE_SIGNING_KEY", &file).ends(0, "", "");
    // Who has no key finds it all the same.
    let told = team.on("other", &[&["run", "-v"], &words[..]].concat()).run();
    assert!(told.stderr().starts_with("fleche: hit "), "{}", told.stderr());
    let wrong = team.on("one", &["push"]).env("FLECHE_SIGNING_KEY", "canary-of-a-key").run();
    assert!(wrong.code() == 2 && wrong.stderr().contains("64 hexadecimal digits"), "{}", wrong.stderr());
    assert!(!wrong.stderr().contains("canary"));
}

#[test]
fn what_cannot_be_put_there_is_put_there_later() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    let away = team.world.root().join("away");
    fs::rename(team.store(), &away).unwrap();
    team.on("one", &words).ends(0, "text\n", "aside\n");
    // While somebody sends, others leave it to him.
    team.world.is_alone();
    let failed = team.on("one", &["push"]).run();
    assert_eq!(failed.code(), 2);
    assert!(failed.stderr().contains("cannot put calls into the cache `team`"), "{}", failed.stderr());
    assert!(!team.store().exists(), "a mount that is missing is not filled in its place");
    fs::rename(&away, team.store()).unwrap();
    team.on("one", &["push", "--wait", "--deadline", "60s"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 1);
    team.on("other", &words).ends(0, "text\n", "aside\n");
    assert_eq!(team.world.executions("tool"), 1);
}

#[test]
fn a_store_that_is_full_keeps_nobody_from_anything() {
    let team = Team::new();
    // A result that holds the name of the checkout's folder, `one`, as noise may, is for checkouts of this name alone.
    let make = "head -c 3000000 /dev/urandom | tr oO xX > out; cat in";
    team.write("in", "text\n");
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let (store, kept) = (team.store(), team.world.root().join("kept"));
    let [store, kept] = [&store, &kept].map(|path| path.display());
    // In a place of which nobody else knows, so that what is there is taken out at the end.
    let line = format!(
        "mount -t tmpfs -o size=2m none '{store}' || exit 99\n         '{fleche}' run -i in -o out -- sh -c '{make}' || exit 1\n         '{fleche}' push --wait; echo $?\nfind '{store}' -type f\n         '{fleche}' run -i in -- cat in || exit 1\nmount -o remount,size=50m '{store}'\n         '{fleche}' push --wait; echo $?\ncp -r '{store}' '{kept}'"
    );
    let on = |machine: &str, words: &[&str]| {
        let session = team.world.program(words[0], &words[1..]).env("FLECHE_CACHE", team.caches(machine));
        session.current_dir(team.world.path(machine)).run()
    };
    let outcome = on("one", &["unshare", "-m", "sh", "-c", &line]);
    if outcome.code() == 99 || outcome.stderr().starts_with("unshare: ") {
        return println!("skipped: nothing can be mounted here");
    }
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n2\ntext\n0\n"), "{}", outcome.stderr());
    assert!(outcome.stderr().contains("no space left on device"), "{}", outcome.stderr());
    // It is there whole: another machine replays it.
    fs::remove_dir(team.store()).unwrap();
    fs::rename(team.world.root().join("kept"), team.store()).unwrap();
    assert_eq!((team.objects("a").len(), team.objects("b").len()), (2, 0));
    // By a shell as well, which has an environment of its own.
    let replayed = on("other", &["sh", "-c", &format!("'{fleche}' -v run -i in -o out -- sh -c '{make}'")]);
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    let made = |machine: &str| fs::read(team.world.path(format!("{machine}/out"))).unwrap();
    assert!(made("one") == made("other"));
}

#[test]
fn what_was_left_for_one_namespace_is_never_signed_for_another() {
    let team = Team::with("namespace = \"pull-request\"\naccess = \"read-write\"\nupload = [\"*\"]\n");
    team.write("in", "text\n");
    let away = team.world.root().join("away");
    fs::rename(team.store(), &away).unwrap();
    team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    team.world.is_alone();
    fs::rename(&away, team.store()).unwrap();
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    team.on("one", &["run", "-i", "in", "--", "wc", "-c", "in"]).prints("5 in\n");
    team.world.is_alone();
    team.on("one", &["push"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 1);
    assert!(!team.store().join("v1/a/pull-request").exists());
}

#[test]
fn what_cannot_be_taken_out_of_the_outbox_is_not_sent_for_ever() {
    let team = Team::new();
    team.write("in", "text\n");
    team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    team.is_sent("one");
    team.world.is_alone();
    // Something stands where an object belongs, so that it cannot be put there.
    let object = &team.objects("a")[0];
    fs::remove_file(object).unwrap();
    fs::create_dir_all(object.join("taken")).unwrap();
    let key = team.on("one", &["query"]).run().stdout();
    for _ in 0..2 {
        let told = team.on("one", &["push", key.trim_end()]).run();
        assert_eq!(told.code(), 2);
        assert!(told.stderr().contains("cannot put calls into the cache `team`"), "{}", told.stderr());
    }
    fs::remove_dir_all(object).unwrap();
    team.on("one", &["push"]).ends(0, "", "");
    assert!(object.is_file());
}

#[test]
fn one_store_that_fails_is_told_by_the_status_whichever_it_is() {
    let team = Team::new();
    team.write("in", "text\n");
    let (away, path) = (team.world.root().join("away"), team.world.home().join(".config/fleche/config.toml"));
    let rest = format!("signing-key = \"ci.key\"\n{TEAM}");
    let both = format!("{}[caches.away]\nurl = \"file://{}\"\n{rest}", team.world.read(&path), away.display());
    team.world.write(&path, both);
    team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    let cache = team.cache("one").display().to_string();
    let key = team.on("one", &["query"]).run().stdout();
    for order in ["away,team", "team,away"] {
        let told = team.on("one", &["--cache", &format!("{cache},{order}"), "push", "--wait", key.trim_end()]).run();
        assert_eq!(told.code(), 2, "{order}");
    }
    assert_eq!(team.objects("a").len(), 1);
}

#[test]
fn what_came_from_another_cache_is_not_signed() {
    let team = Team::new();
    team.write("in", "text\n");
    let strange = team.world.root().join("strange").display().to_string();
    team.world
        .fleche(["--cache", &strange, "run", "-i", "in", "--", "cat", "in"])
        .current_dir(team.world.path("one"))
        .run();
    let export = ["--cache", &strange, "export", "calls.fleche"];
    team.world.fleche(export).current_dir(team.world.path("one")).prints("");
    team.on("one", &["import", "calls.fleche"]).ends(0, "", "");
    let told = team.on("one", &["push", "--name", "cat"]).run();
    assert_eq!((told.code(), team.objects("a").len()), (1, 0));
    assert!(told.stderr().ends_with("fleche: 1 call stays here\n"), "{}", told.stderr());
}

#[test]
fn what_a_run_took_over_is_not_signed_until_it_is_run_here() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).ends(0, "text\n", "aside\n");
    team.is_sent("one");
    // From a store that many share, from a folder behind the first one, and from a file that says it was made here.
    team.on("other", &words).ends(0, "text\n", "aside\n");
    let stack = format!("{},{}", team.cache("third").display(), team.cache("one").display());
    let behind = |words: &[&str]| team.on("other", words).env("FLECHE_CACHE", &stack);
    behind(&words).ends(0, "text\n", "aside\n");
    let alone = |machine: &str, words: &[&str]| {
        team.on("one", &[&["--cache", team.cache(machine).to_str().unwrap()], words].concat())
    };
    alone("one", &["export", "calls.fleche"]).prints("");
    alone("one", &["evict", "--name", "tool"]).prints("");
    alone("one", &["import", "calls.fleche"]).ends(0, "", "");
    fs::remove_dir_all(team.store().join("v1")).unwrap();
    for machine in ["one", "other", "third"] {
        let told = team.on("one", &["push", "--name", "tool"]).env("FLECHE_CACHE", team.caches(machine)).run();
        assert!(
            told.code() == 1 && told.stderr().contains(" stays here: another cache made it\n"),
            "{machine}: {}",
            told.stderr()
        );
        let cache = team.cache(machine).display().to_string();
        let told = team.world.fleche(["transfer", "--from", &cache, "--to", "team"]).run();
        assert!(told.code() == 1 && told.stderr().contains("another cache made it"), "{machine}: {}", told.stderr());
        let key = alone(machine, &["query"]).run().stdout();
        let shown = alone(machine, &["show", key.trim_end()]).run().stdout();
        assert!(shown.contains("\nmade          by another cache\n"), "{machine}: {shown}");
    }
    assert_eq!((team.objects("a").len(), team.world.executions("tool")), (0, 1));
    // It still is a hit, and this cache's own once the command was run here.
    alone("other", &words).ends(0, "text\n", "aside\n");
    let key = alone("other", &["query"]).run().stdout();
    alone("other", &["rerun", key.trim_end()]).run();
    assert_eq!(team.world.executions("tool"), 2);
    team.on("other", &["push", "--wait", "--name", "tool"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 1);
}

#[test]
fn what_a_run_in_a_command_leaves_is_sent_by_the_one_around_it() {
    let fleche = env!("CARGO_BIN_EXE_fleche");
    for (around, is_stored) in [
        (&["run", "--trace", "on", "--"][..], true),
        (&["run", "-i", "in", "--"], true),
        // One that is not stored sends it all the same.
        (&["run", "-i", "in", "--", "env", "--"], false),
    ] {
        let team = Team::with("access = \"read-write\"\nupload = [\"cat *\"]\n");
        let key = team.world.read(team.world.home().join(".config/fleche/ci.key")).lines().last().unwrap().to_owned();
        team.configure("trusted-keys = [\"ci.pub\"]\naccess = \"read-write\"\nupload = [\"cat *\"]\n");
        team.write("in", "text\n");
        let end = if is_stored { "exit 0" } else { "exit 3" };
        let script = format!("'{fleche}' run -i in -- cat in; {end}");
        let words = [around, &["sh", "-c", &script]].concat();
        let outcome = team.on("one", &words).env("FLECHE_SIGNING_KEY", &key).run();
        assert_eq!((outcome.stdout(), outcome.stderr()), ("text\n".to_owned(), String::new()), "{around:?}");
        team.is_sent("one");
        assert_eq!(team.objects("a").len(), 1, "{around:?}");
        // Who has no key leaves it to one who has.
        team.write("in", "other\n");
        team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("other\n");
        team.world.is_alone();
        assert_eq!(team.objects("a").len(), 1);
        let push = team.on("one", &["push", "--wait"]);
        push.env("FLECHE_SIGNING_KEY", &key).ends(0, "", "");
        assert_eq!(team.objects("a").len(), 2);
    }
}

#[test]
fn what_is_left_after_the_deadline_is_told() {
    let team = Team::with("access = \"read-write\"\nupload = [\"cat *\"]\n");
    for name in ["a", "b", "c"] {
        team.write(name, name);
        team.on("one", &["--cache", team.cache("one").to_str().unwrap(), "run", "-i", name, "--", "cat", name]).run();
    }
    assert!(team.objects("a").is_empty());
    let told = team.on("one", &["push", "--deadline", "0s", "--name", "cat"]).run();
    assert_eq!(told.code(), 1);
    assert_eq!(told.stderr(), "fleche: 2 calls wait to be put into `team`\nhint: fleche push\n");
    team.on("one", &["push"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 3);
}

#[test]
fn all_calls_of_a_store_are_taken_over() {
    let team = Team::new();
    for name in ["a", "b", "c"] {
        team.write(name, name);
        team.on("one", &["run", "-i", name, "--", "cat", name]).prints(name);
    }
    team.is_sent("one");
    team.on("other", &["pull"]).ends(0, "", "");
    let broken = &team.objects("a")[0];
    fs::write(broken, "nothing").unwrap();
    let told = team.on("third", &["pull", "--from", "team"]).current_dir(team.world.path("one")).run();
    assert_eq!(told.code(), 1);
    assert!(
        told.stderr().ends_with("is left out: it is cut short\nfleche: 1 call was not taken over\n"),
        "{}",
        told.stderr()
    );
    fs::remove_dir_all(team.store()).unwrap();
    for name in ["a", "b", "c"] {
        team.on("other", &["contains", "-i", name, "--", "cat", name]).ends(0, "", "");
    }
    let rows = team.on("other", &["query"]).run().stdout();
    assert_eq!(rows.lines().count(), 3);
}

#[test]
fn a_read_only_run_takes_nothing_over_and_one_within_a_watched_command_does() {
    let team = Team::new();
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    team.is_sent("one");
    team.on("other", &words).env("FLECHE_MODE", "read-only").ends(0, "text\n", "aside\n");
    assert_eq!(team.world.executions("tool"), 2);
    assert!(!team.cache("other").exists());
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let nested = [&["-v", "run", "--trace", "on", "--allow-write", "..", "--", fleche], &words[..]].concat();
    // That it was taken over is nothing that the outer command did.
    for told in ["; stored ", "fleche: hit "] {
        let outcome = team.on("other", &nested).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"));
        assert!(outcome.stderr().contains(told), "{}", outcome.stderr());
    }
    assert_eq!(team.world.executions("tool"), 2);
}

#[test]
fn values_that_others_may_need_stay_unless_they_are_to_go() {
    let team = Team::new();
    let tool = team.world.counted("tool", "cat in > out").display().to_string();
    team.write("in", vec![b'x'; 9 << 20]);
    team.on("one", &["run", "-i", "in", "-o", "out", "--", &tool]).prints("");
    team.is_sent("one");
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\nnamespace = \"branch\"\n{TEAM}"));
    team.on("one", &["push", "--wait", "--name", "tool"]).ends(0, "", "");
    assert_eq!((team.objects("a").len(), team.objects("b").len()), (2, 1));
    let aged = |hours: u64| {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        for path in ["a", "b"].iter().flat_map(|kind| team.objects(kind)) {
            fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
    };
    let gc = |more: &[&str]| {
        team.on("one", &[&["remote", "gc", "--older-than", "1h"], more].concat()).ends(0, "", "");
        (team.objects("a").len(), team.objects("b").len())
    };
    aged(48);
    assert_eq!(gc(&[]), (1, 1));
    let other = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    team.on("other", &other).prints("");
    assert_eq!(team.world.executions("tool"), 1);
    // A call that is put there now may name one that was put there before.
    aged(24);
    let dry = team.on("one", &["remote", "gc", "--older-than", "1h", "--values", "-n"]).run().stdout();
    assert_eq!(dry.lines().count(), 1, "{dry}");
    aged(26);
    assert_eq!(gc(&["--values"]), (0, 0));
}

#[test]
fn a_key_that_is_there_stays() {
    let team = Team::new();
    let key = team.world.home().join(".config/fleche/ci.key");
    let before = fs::read(&key).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = team.world.fleche(["remote", "key", "ci"]).run();
    assert_eq!(again.code(), 2);
    assert!(again.stderr().contains("ci.key"), "{}", again.stderr());
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(team.world.fleche(["remote", "key", "../ci"]).run().code(), 2);
}

#[test]
fn a_configuration_is_tried_before_it_is_relied_on() {
    let team = Team::new();
    let check = |settings: &str| {
        team.configure(settings);
        let outcome = team.on("one", &["remote", "check"]).run();
        (outcome.code(), outcome.stdout(), outcome.stderr())
    };
    let both = "signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n";
    let line = |may: &str| format!("team\tfile://{}\tmain can be {may}\n", team.store().display());
    assert_eq!(check(&format!("{both}{TEAM}")), (0, line("read and written"), String::new()));
    assert_eq!(check(both), (0, line("read"), String::new()));
    let named = "read and written, but `upload` names no command";
    assert_eq!(check(&format!("{both}access = \"read-write\"\n")).1, line(named));
    assert!(team.objects("check").is_empty(), "nothing stays of it");
    let (code, _, told) = check("trusted-keys = [\"ci.pub\"]\naccess = \"read-write\"\n");
    assert!(code == 2 && told.contains("it has no signing key"), "{told}");
    let (code, _, told) = check("");
    assert!(code == 2 && told.contains("nobody is believed"), "{told}");
    fs::remove_dir_all(team.store()).unwrap();
    let (code, _, told) = check(both);
    assert!(code == 2 && told.contains("cannot ask the cache `team`"), "{told}");
    let none = team.world.fleche(["remote", "check"]).run();
    assert_eq!(none.code(), 2);
    let unknown = team.world.fleche(["remote", "check", "tema"]).run();
    assert!(unknown.code() == 2 && unknown.stderr().contains("known are `team`"), "{}", unknown.stderr());
}

#[test]
fn a_project_cannot_say_where_calls_are_shared() {
    let team = Team::new();
    for setting in [
        "url = \"file:///tmp\"",
        "namespace = \"x\"",
        "trusted-keys = [\"x\"]",
        "signing-key = \"x\"",
        "upload = [\"*\"]",
    ] {
        team.world.write("one/fleche.toml", format!("[caches.team]\n{setting}\n"));
        let told = team.on("one", &["config", "check"]).run();
        assert!(told.code() != 0 && (told.stdout() + &told.stderr()).contains("a project cannot say"), "{setting}");
    }
    team.world.write("one/fleche.toml", "[caches.team]\naccess = \"read-only\"\n");
    team.write("in", "text\n");
    team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    team.is_sent("one");
    assert!(team.objects("a").is_empty(), "it can take the right to write away");
}

#[test]
fn a_call_that_is_damaged_there_does_not_hide_another_one() {
    let team = Team::new();
    team.write("in", "text\n");
    team.write("more", "");
    let line = "cat in; if [ -n \"$HIDDEN\" ]; then cat more; fi";
    let words = ["run", "-v", "--ignore-env", "HIDDEN", "--", "sh", "-c", line];
    team.on("one", &words).run();
    team.is_sent("one");
    let first = team.objects("a");
    team.on("one", &words).env("HIDDEN", "yes").env("FLECHE_MODE", "refresh").run();
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    let second = team.objects("a").into_iter().find(|object| !first.contains(object)).unwrap();
    let mut bytes = fs::read(&second).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&second, bytes).unwrap();
    let told = team.on("other", &words).run();
    assert_eq!(told.stdout(), "text\n");
    assert!(told.stderr().starts_with("fleche: hit "), "{}", told.stderr());
}

#[test]
fn the_first_cache_is_a_folder() {
    let team = Team::new();
    let told = team.world.fleche(["--cache", "team", "stats"]).run();
    assert_eq!(told.code(), 2);
    assert!(told.stderr().contains("cache `team` cannot be the first one, which is written"), "{}", told.stderr());
}

#[test]
fn a_folder_may_be_called_as_no_server_may() {
    let team = Team::with(TEAM);
    team.moved_to("file:///of@team:0/it", TEAM);
    let told = team.on("one", &["remote", "setup"]).run();
    assert_eq!((told.code(), told.stderr()), (0, String::new()));
    assert!(told.stdout().ends_with("'/of@team:0/it'\n"), "{}", told.stdout());
}
