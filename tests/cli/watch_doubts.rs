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
fn world_of_a_user(user: u32) -> Option<(World, OsString)> {
    if !is_root() {
        return None;
    }
    let world = World::new();
    let path = probe::install(&world);
    for folder in [world.root(), world.root().join("bin")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for folder in [world.home(), world.work()] {
        std::os::unix::fs::chown(folder, Some(user), Some(user)).unwrap();
    }
    // Where the build put it, the user may not come.
    probe::copy(Path::new(env!("CARGO_BIN_EXE_fleche")), &world.root().join("bin/fleche"));
    Some((world, path))
}

const USER: u32 = 65534;
/// No other test's, since there is one count of processes for each.
const USER_OF_FEW: u32 = 65531;

#[test]
fn programs_with_rights_of_their_own_get_them() {
    let Some((world, path)) = world_of_a_user(USER) else { return };
    probe::copy(&world.root().join("bin/probe"), &world.path("lent"));
    if world.shell("setcap cap_net_raw+ep lent").run().code() != 0 {
        return;
    }
    let user =
        |line: &str| world.shell(&format!("tool with user={USER} -- fleche run -v -- {line}")).env("PATH", &path).run();
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

/// How a watched command ends the first and the second time: what it prints, and what fleche says.
#[track_caller]
fn twice(world: &World, path: &OsString, line: &str) -> [String; 2] {
    let bare = world.shell(line).env("PATH", path).run();
    [(); 2].map(|()| {
        let outcome = world.shell(&format!("fleche run -v -- {line}")).env("PATH", path).run();
        assert_eq!(outcome.code(), bare.code(), "{}", outcome.stderr());
        let said = outcome.stderr();
        if said.contains("; stored ") || said.contains("fleche: hit ") || said.starts_with("fleche: not cached") {
            assert_eq!(outcome.stdout(), bare.stdout(), "{said}");
        }
        said
    })
}

#[test]
fn commands_that_filter_their_calls_are_watched_once_at_most() {
    let world = World::new();
    let path = probe::install(&world);
    for how in ["trace", "listen"] {
        let [first, second] = twice(&world, &path, &format!("tool filter {how}"));
        assert!(first.contains("not stored: it may do something else while it is watched: it filters"), "{first}");
        assert!(second.starts_with("fleche: not cached: it cannot be watched: it filters system calls"), "{second}");
    }
    // Those that ask nobody are in nobody's way.
    let [first, second] = twice(&world, &path, "tool filter errno");
    assert!(first.contains("; stored ") && second.contains("fleche: hit "), "{first}{second}");
}

#[test]
fn what_uses_rings_gets_them_and_is_not_stored() {
    let world = World::new();
    let path = probe::install(&world);
    let line = "tool ring";
    let bare = world.shell(line).env("PATH", &path).run().stdout();
    let watched = world.shell(&format!("fleche run -v -- {line}")).env("PATH", &path).run();
    assert_eq!(watched.stdout(), bare);
    let is_stored = watched.stderr().contains("; stored ");
    assert_eq!(is_stored, !bare.starts_with('1'), "{}", watched.stderr());
}

#[test]
fn commands_that_signals_may_interrupt_are_not_stored() {
    let world = World::new();
    let path = probe::install(&world);
    let [first, second] = twice(&world, &path, "tool ticks");
    assert!(first.contains("it is watched: signals may interrupt its system calls"), "{first}");
    assert!(second.starts_with("fleche: not cached: it cannot be watched: signals may interrupt"), "{second}");
    let others = [
        "tool ticks-restarting",
        "timeout 100 cat /dev/null",
        "bash -c 'trap : EXIT TERM USR1; for i in 1 2; do (cat /dev/null) & done; wait'",
        "sh -c 'trap : EXIT TERM USR1; cat /dev/null & wait'",
        "perl -e '$SIG{ALRM} = sub {}; alarm 0; print 1'",
    ];
    for line in others {
        let [first, second] = twice(&world, &path, line);
        assert!(first.contains("; stored ") && second.contains("fleche: hit "), "{line}: {first}{second}");
    }
}

#[test]
fn where_few_processes_are_allowed_they_are_the_commands() {
    let Some((world, path)) = world_of_a_user(USER_OF_FEW) else { return };
    // fleche, the shell and two more: whoever watched them would be two too many.
    let line =
        format!("tool with nproc=4 user={USER_OF_FEW} -- fleche run -v -- sh -c 'tool exit 0 & tool print ok & wait'");
    let outcome = world.shell(&line).env("PATH", &path).run();
    assert_eq!((outcome.code(), outcome.stdout()), (0, "ok".to_owned()), "{}", outcome.stderr());
    assert!(outcome.stderr().contains("the user may not have many more processes"), "{}", outcome.stderr());
}

#[test]
fn a_command_that_cannot_be_watched_for_want_of_a_thread_runs_once() {
    let world = World::new();
    world.script(world.root().join("tool"), "#!/bin/sh\necho x >> count\necho ran\n");
    for times in 1..=20 {
        // More than there are addresses.
        let outcome = world.fleche(["run", "-v", "--", "../tool"]).env("RUST_MIN_STACK", "140737488355328").run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, "ran\n".to_owned()), "{}", outcome.stderr());
        assert!(outcome.stderr().contains("commands cannot be watched here"), "{}", outcome.stderr());
        assert_eq!(world.read("count").lines().count(), times);
    }
}

#[test]
fn a_guard_that_somebody_stopped_holds_nobody_up() {
    let world = World::new();
    let line =
        "for p in $(cat /proc/$PPID/task/*/children); do [ $p = $$ ] || { kill -STOP $p && echo stopped; }; done";
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let outcome = world.program("timeout", ["-s", "KILL", "60", fleche, "run", "--", "/bin/sh", "-c", line]).run();
    assert_eq!((outcome.code(), outcome.stdout()), (0, "stopped\n".to_owned()), "{}", outcome.stderr());
}

#[test]
fn a_program_that_may_not_be_read_is_called_so() {
    let Some((world, path)) = world_of_a_user(USER) else { return };
    world.shell("cp \"$(command -v probe)\" ../bin/secret; chmod 711 ../bin/secret").env("PATH", &path).run();
    let line = format!("tool with user={USER} -- fleche run -v -- sh -c '../bin/secret print hello'");
    let outcome = world.shell(&line).env("PATH", &path).run();
    assert_eq!((outcome.code(), outcome.stdout()), (0, "hello".to_owned()), "{}", outcome.stderr());
    assert!(outcome.stderr().contains("secret` cannot be read: permission denied"), "{}", outcome.stderr());
}
