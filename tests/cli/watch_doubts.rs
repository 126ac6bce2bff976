//! Where watching would be in the way of a command it is not watched, and what it may have disturbed is not stored.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::probe;
use crate::world::{World, is_root};

#[test]
fn filters_around_fleche_are_in_nobodys_way() {
    let world = World::new();
    let path = probe::install(&world);
    world.write("a", "1\n");
    let not_watched = "not stored: commands cannot be watched here";
    for denied in ["unshare", "kill:unshare", "kill:filters", "kill:memory"] {
        for _ in 0..2 {
            let line = format!("tool with deny={denied} -- fleche run -v -- sh -c 'cat a; exit 3'");
            let outcome = world.shell(&line).env("PATH", &path).run();
            assert_eq!((outcome.code(), outcome.stdout()), (3, "1\n".to_owned()), "{denied}: {}", outcome.stderr());
        }
        let line = format!("tool with deny={denied} -- fleche run -v -- cat a");
        let outcome = world.shell(&line).env("PATH", &path).run();
        assert!(outcome.stderr().contains(not_watched), "{denied}: {}", outcome.stderr());
    }
}

/// A world of a user that is not root, and the PATH there; `None` where the tests are not run by root.
fn world_of_a_user() -> Option<(World, OsString)> {
    if !is_root() {
        return None;
    }
    let world = World::new();
    let path = probe::install(&world);
    for folder in [world.root(), world.root().join("bin")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for folder in [world.home(), world.work()] {
        std::os::unix::fs::chown(folder, Some(USER), Some(USER)).unwrap();
    }
    // Where the build put it, the user may not come.
    probe::copy(Path::new(env!("CARGO_BIN_EXE_fleche")), &world.root().join("bin/fleche"));
    Some((world, path))
}

const USER: u32 = 65534;

#[test]
fn programs_with_rights_of_their_own_get_them() {
    let Some((world, path)) = world_of_a_user() else { return };
    probe::copy(&world.root().join("bin/probe"), &world.path("lent"));
    if world.shell("setcap cap_net_raw+ep lent").run().code() != 0 {
        return;
    }
    let user =
        |line: &str| world.shell(&format!("tool with user=65534 -- fleche run -v -- {line}")).env("PATH", &path).run();
    // Known before it is run.
    let direct = user("./lent signals");
    assert!(direct.stdout().contains("CapEff:\t0000000000002000"), "{}{}", direct.stdout(), direct.stderr());
    // Seen when it is run: once is not what it is bare, and said so.
    let line = "sh -c './lent signals | grep CapEff; exit 3'";
    let first = user(line);
    let told = "did not get the rights that it has, because the command was watched; the next run will not be\n";
    assert!(first.stderr().ends_with(told) && first.code() == 3, "{}", first.stderr());
    for _ in 0..2 {
        let next = user(line);
        assert_eq!((next.code(), next.stdout()), (3, "CapEff:\t0000000000002000\n".to_owned()), "{}", next.stderr());
    }
}
