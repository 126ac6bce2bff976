//! A cache that a group shares: who can read what, and who decides what is replayed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;

use crate::others::{OTHER, OWNER, Town, mode, own};
use crate::tell;
use crate::world::Session;

const GROUP: u32 = 61_100;
const STRANGER: u32 = 61_003;

#[test]
fn a_groups_cache_is_the_groups_alone() {
    let Some(town) = Town::new("a group's cache") else { return };
    let team = town.world.root().join("team");
    fs::create_dir(&team).unwrap();
    std::os::unix::fs::chown(&team, Some(OWNER), Some(GROUP)).unwrap();
    mode(&team, 0o2770);
    let text = format!(
        "[caches.team]\npath = \"{}\"\nshared = \"group\"\n[defaults]\nignore-env = [\"HOME\"]\n",
        team.display()
    );
    let file = town.world.write(town.world.root().join("team.toml"), text);
    let by = |user: u32, group: u32, words: &[&str]| -> Session {
        let words = [&["--cache", "team"], words].concat();
        let session =
            town.world.program(town.fleche(), words).env("FLECHE_CONFIG", &file).env("HOME", town.home(OWNER));
        session.with(|command| {
            command.uid(user).gid(group);
        })
    };
    let run = ["run", "-v", "-i", "input", "--cache-exit", "3", "--", "./tool"];
    for mask in ["000", "077"] {
        let (change, fleche) = (format!("umask {mask}; exec \"$@\""), town.fleche());
        let words = ["-c", &change, "sh", fleche.to_str().unwrap(), "--cache", "team"];
        let words =
            [&words[..], &["run", "--revision", mask, "--pure", "--", "head", "-c", "99999", "/dev/zero"]].concat();
        let session = town.world.program("sh", words).env("FLECHE_CONFIG", &file).env("HOME", town.home(OWNER));
        let outcome = session
            .with(|command| {
                command.uid(OWNER).gid(GROUP);
            })
            .run();
        assert_eq!(outcome.code(), 0, "{outcome:?}");
    }
    assert!(by(OWNER, GROUP, &run).run().stderr().contains("stored"));
    assert_eq!(by(OWNER, GROUP, &["table"]).run().code(), 0);
    // The other member replays it, and reads all of it, the key as well.
    assert!(by(OTHER, GROUP, &run).run().stderr().contains("hit"));
    // Each file is the group's and nobody else's, whatever the umask was.
    let mut files = 0;
    for entry in walkdir::WalkDir::new(&team).into_iter().map(Result::unwrap) {
        let found = entry.metadata().unwrap();
        let least = if found.is_dir() { 0o070 } else { 0o040 };
        let is_right = found.gid() == GROUP && found.mode() & 0o007 == 0 && found.mode() & least == least;
        assert!(is_right, "{:o} {}", found.mode(), entry.path().display());
        files += 1;
    }
    assert_eq!(fs::metadata(team.join("secret")).unwrap().mode() & 0o777, 0o660);
    // A stranger has neither, and their command runs.
    let outcome = by(STRANGER, STRANGER, &run).run();
    assert_eq!((outcome.code(), outcome.stdout().as_str()), (3, "1\n"), "{outcome:?}");
    assert!(outcome.stderr().contains("you are not in") && !outcome.stderr().contains("hit"), "{outcome:?}");
    let read = town.world.program("find", [team.to_str().unwrap(), "-mindepth", "1"]).by(STRANGER).run();
    assert_eq!(read.stdout(), "");
    // Whoever may write decides what the others replay: that is what sharing means, and SECURITY.md says so.
    let tool = town.world.path("tool");
    let honest = fs::read(&tool).unwrap();
    let key = by(OTHER, GROUP, &["query", "--name", "tool"]).run().stdout();
    let call = team.join("calls").join(&key[..2]).join(key[2..].trim());
    let forged = by(OTHER, GROUP, &["evict", key.trim()]).run();
    assert!(forged.code() == 0 && !call.exists(), "{forged:?}");
    assert_eq!(fs::read(&tool).unwrap(), honest);
    own(&tool, OWNER);
    tell(&format!("{files} files of a group's cache: the group's alone, a stranger reads none"));
}
