//! Whatever the umask is, what fleche keeps is for its user alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::stage::Stage;
use crate::tell;
use crate::world::Session;

/// Permission bits of a file or folder.
fn bits(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn under(mask: libc::mode_t, session: Session) -> Session {
    session.with(|command| {
        let change = move || {
            // SAFETY: changes the process that is about to be executed only.
            unsafe { libc::umask(mask) };
            Ok(())
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(change) };
    })
}

#[test]
fn all_that_is_kept_is_its_users_alone() {
    let mut looked = 0;
    for mask in [0o000, 0o022, 0o077, 0o700, 0o777] {
        let stage = Stage::new();
        let ran = |words: &[&str], code: i32| {
            let outcome = under(mask, stage.fleche(words)).env("FLECHE_SESSION", "job").run();
            assert_eq!(outcome.code(), code, "{mask:o} {words:?}: {outcome:?}");
            outcome.stdout()
        };
        let large = "head -c 300000 /dev/zero | tee large; chmod 640 large; echo said >&2";
        ran(&["run", "-i", "input", "-o", "large", "--", "sh", "-c", large], 0);
        ran(&["run", "--", "cat", "input"], 0);
        ran(&["run", "--isolate", "-i", "input", "--keep", "--", "cat", "input"], 0);
        ran(&["run", "--pure", "--", "echo", "word"], 0);
        let key = ran(&["query", "--name", "echo"], 0).trim().to_owned();
        ran(&["run", "--pure", "--", "wc", &format!("fleche:{key}")], 0);
        ran(&["table"], 0);
        ran(&["export", "exported"], 0);
        ran(&["load", "--to", "loaded", ran(&["query", "--name", "sh"], 0).trim()], 0);
        let damaged = walkdir::WalkDir::new(stage.world.cache().join("calls")).into_iter().flatten();
        let damaged =
            damaged.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).next().unwrap();
        fs::write(damaged, "no call").unwrap();
        ran(&["verify", "--repair"], 1);
        for entry in walkdir::WalkDir::new(stage.world.cache()).into_iter().map(Result::unwrap) {
            looked += 1;
            let (path, kind) = (entry.path(), entry.file_type());
            let most = if kind.is_dir() { 0o700 } else { 0o600 };
            // What a command is given or left has the modes that go with it, in a folder that nobody else can enter.
            let of_commands = |part: &str| part.starts_with("isolated-") || part == "args";
            let is_within = path.components().any(|part| of_commands(part.as_os_str().to_str().unwrap()));
            assert!(bits(path) & !most == 0 || is_within, "{mask:o}: {:o} {}", bits(path), path.display());
        }
        let secret = stage.world.cache().join("secret");
        assert_eq!((bits(&secret), bits(&stage.world.cache())), (0o600, 0o700), "{mask:o}");
        assert_eq!(bits(&stage.world.path("exported")), 0o600 & !mask, "{mask:o}");
        // An output is what the command made of it.
        assert_eq!(bits(&stage.world.path("loaded/large")), 0o640, "{mask:o}");
    }
    tell(&format!("{looked} files and folders under 5 umasks: each for its user alone"));
}
