//! Many at once: one runs, the others wait for it, and nobody waits for what cannot come.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Child;

use crate::world::{Outcome, Session, World, eventually};

/// A world with an input and a script `tool` that waits for the gate and then does `body`.
fn world(body: &str) -> (World, Gate) {
    let world = World::new();
    let gate = Gate::new(&world);
    let pids = world.root().join("pids");
    let lines = format!("echo $$ >> '{}'\nread line < '{}'\n{body}", pids.display(), gate.path.display());
    world.counted("tool", &lines);
    world.write("input", "1\n");
    (world, gate)
}

fn tool(world: &World, options: &[&str]) -> Session {
    let words = ["run", "-i", "input"].iter().chain(options).chain(&["--", "./tool"]);
    world.fleche(words)
}

/// A FIFO that scripts read a line from. When the test ends, however it ends, nobody waits at it any longer.
struct Gate {
    path: PathBuf,
    fifo: File,
}

impl Gate {
    fn new(world: &World) -> Gate {
        let path = world.root().join("gate");
        world.program("mkfifo", [&path]).prints("");
        // Open in both directions, so that neither this nor a write waits for anybody.
        let fifo = File::options().read(true).write(true).open(&path).unwrap();
        Gate { path, fifo }
    }

    /// Lets one script through.
    fn open_once(&mut self) {
        self.fifo.write_all(b"\n").unwrap();
    }

    fn open(&mut self) {
        self.fifo.write_all(&[b'\n'; 200]).unwrap();
    }
}

/// Processes that are killed if the test ends before them.
struct Running(Vec<Child>);

impl Running {
    fn outcomes(mut self) -> Vec<Outcome> {
        let outcome = |child: Child| {
            let output = child.wait_with_output().unwrap();
            Outcome { status: output.status, stdout: output.stdout, stderr: output.stderr }
        };
        std::mem::take(&mut self.0).into_iter().map(outcome).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts one run and waits until its command is at the gate.
fn holder(world: &World, options: &[&str]) -> Running {
    let before = world.executions("tool");
    let holder = Running(vec![tool(world, options).start()]);
    eventually("the command of the holder", || world.executions("tool") == before + 1);
    holder
}

/// Starts runs and waits until each of them waits for the lock.
fn followers(world: &World, count: usize) -> Running {
    let followers = Running((0..count).map(|_| tool(world, &[]).start()).collect());
    followers.0.iter().for_each(|follower| wait_for(world, follower));
    followers
}

/// Waits until a run waits for the lock.
fn wait_for(world: &World, follower: &Child) {
    let lock = world.cache().join("lock");
    let folder = format!("/proc/{}/fd", follower.id());
    let has_lock = || {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == lock)
    };
    eventually("a follower at the lock", has_lock);
}

/// Whether anybody holds a lock of a command: these are below byte 2^61 of the lock file.
fn is_locked(world: &World) -> bool {
    let file = File::options().read(true).write(true).open(world.cache().join("lock")).unwrap();
    // SAFETY: all-zero is a valid flock, and F_OFD_GETLK writes one.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as libc::c_short, 1, (1 << 61) - 1);
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock), 0);
        i32::from(lock.l_type) != libc::F_UNLCK
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: kill(2) on a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[track_caller]
fn all(outcomes: &[Outcome], count: usize, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(outcomes.len(), count);
    for outcome in outcomes {
        outcome.check(code, stdout, stderr);
    }
}

#[test]
fn sixty_four_at_once_are_one_execution() {
    let (world, mut gate) = world("echo out; echo err >&2; seq 1000");
    let mut expected = "out\n".to_owned();
    (1..=1000).for_each(|number| expected.push_str(&format!("{number}\n")));
    let first = holder(&world, &[]);
    let others = followers(&world, 63);
    gate.open();
    all(&first.outcomes(), 1, 0, &expected, "err\n");
    all(&others.outcomes(), 63, 0, &expected, "err\n");
    assert_eq!(world.executions("tool"), 1);
}

#[test]
fn sixty_four_that_start_together_all_get_the_right_files() {
    let world = World::new();
    world.counted("tool", "cp input made; cat input");
    world.write("input", "1\n");
    let running = Running((0..64).map(|_| tool(&world, &["-o", "made"]).start()).collect());
    all(&running.outcomes(), 64, 0, "1\n", "");
    assert_eq!((world.read("made"), world.executions("tool")), ("1\n".into(), 1));
}

#[test]
fn different_commands_do_not_wait_for_each_other() {
    let (world, mut gate) = world("echo out");
    let first = holder(&world, &[]);
    world.fleche(["run", "-i", "input", "--", "echo", "other"]).prints("other\n");
    gate.open();
    all(&first.outcomes(), 1, 0, "out\n", "");
}

#[test]
fn a_killed_holder_is_replaced() {
    let (world, mut gate) = world("echo out");
    let first = holder(&world, &[]);
    let others = followers(&world, 8);
    signal(&first.0[0], libc::SIGKILL);
    eventually("the next holder", || world.executions("tool") == 2);
    // The command of the killed one died with it.
    let pids = fs::read_to_string(world.root().join("pids")).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pids.lines().next().unwrap()));
    eventually("the death of the command", || state().map_or(true, |stat| stat.contains(") Z ")));
    gate.open();
    all(&others.outcomes(), 8, 0, "out\n", "");
    assert_eq!(world.executions("tool"), 2);
    tool(&world, &[]).prints("out\n");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn nobody_waits_for_a_stopped_holder() {
    let (world, mut gate) = world("echo out");
    let first = holder(&world, &[]);
    let others = followers(&world, 4);
    signal(&first.0[0], libc::SIGSTOP);
    eventually("the others", || world.executions("tool") == 5);
    gate.open();
    all(&others.outcomes(), 4, 0, "out\n", "");
    signal(&first.0[0], libc::SIGCONT);
    all(&first.outcomes(), 1, 0, "out\n", "");
    assert_eq!(world.executions("tool"), 5);
    tool(&world, &[]).prints("out\n");
    assert_eq!(world.executions("tool"), 5);
}

#[test]
fn where_the_holder_cannot_be_stored_all_run() {
    let (world, mut gate) = world("echo out; exit 1");
    let first = holder(&world, &[]);
    let others = followers(&world, 8);
    gate.open();
    all(&first.outcomes(), 1, 1, "out\n", "");
    all(&others.outcomes(), 8, 1, "out\n", "");
    assert_eq!(world.executions("tool"), 9);
}

#[test]
fn where_the_holder_cannot_be_stored_the_others_run_side_by_side() {
    let (world, mut gate) = world("echo out; exit 1");
    let first = holder(&world, &[]);
    let others = followers(&world, 8);
    // One line, for the holder alone: the others come to the gate together or never.
    gate.fifo.write_all(b"\n").unwrap();
    eventually("the others", || world.executions("tool") == 9);
    gate.open();
    all(&first.outcomes(), 1, 1, "out\n", "");
    all(&others.outcomes(), 8, 1, "out\n", "");
}

#[test]
fn who_does_not_want_to_wait_does_not() {
    let (world, mut gate) = world("echo out");
    let first = holder(&world, &[]);
    let second = holder(&world, &["--wait", "0s"]);
    let third = holder(&world, &["--wait", "1ms"]);
    gate.open();
    for running in [first, second, third] {
        all(&running.outcomes(), 1, 0, "out\n", "");
    }
    assert_eq!(world.executions("tool"), 3);
}

#[test]
fn a_command_may_run_itself() {
    let world = World::new();
    world.write("input", "1\n");
    let again =
        "if mkdir ../first 2>/dev/null; then \"$FLECHE\" run -i input -- ./tool; echo outer; else echo inner; fi";
    world.counted("tool", again);
    let words = ["60", env!("CARGO_BIN_EXE_fleche"), "run", "-i", "input", "--", "./tool"];
    let run = || world.program("timeout", words).env("FLECHE", env!("CARGO_BIN_EXE_fleche"));
    run().prints("inner\nouter\n");
    assert_eq!(world.executions("tool"), 2);
    run().prints("inner\nouter\n");
    assert_eq!(world.executions("tool"), 2);
}

#[test]
fn two_commands_that_run_each_other_do_not_wait_for_ever() {
    let world = World::new();
    world.write("input", "1\n");
    let mut gate = Gate::new(&world);
    for (name, other) in [("one", "two"), ("two", "one")] {
        let body = format!(
            "mkdir ../{name} 2>/dev/null || {{ echo {name}; exit; }}\nread line < ../gate\n\"$FLECHE\" run -i input -- ./{other}"
        );
        world.counted(name, &body);
    }
    let run = |name: &str| {
        let words = ["120", env!("CARGO_BIN_EXE_fleche"), "run", "-i", "input", "--", name];
        world.program("timeout", words).env("FLECHE", env!("CARGO_BIN_EXE_fleche")).start()
    };
    let running = Running(vec![run("./one"), run("./two")]);
    eventually("both", || world.executions("one") + world.executions("two") == 2);
    gate.open();
    // Who gives up waiting first runs alone and ends, and then the other one may find that run stored.
    for outcome in running.outcomes() {
        let stdout = outcome.stdout();
        assert!(["one\n", "two\n"].contains(&&*stdout), "{stdout}");
        outcome.check(0, &stdout, "");
    }
}

#[test]
fn the_refresh_of_a_stale_call_holds_the_lock_itself() {
    // More than a pipe holds, so that the replay goes on until the test reads it.
    let (world, mut gate) = world("yes | head -c 200000");
    let output = "y\n".repeat(100_000);
    let holder = holder(&world, &[]);
    // It waits for the holder, finds its call stale and leaves the refresh behind.
    let follower = Running(vec![tool(&world, &["--ttl", "0s", "--stale", "1h"]).start()]);
    wait_for(&world, &follower.0[0]);
    gate.open_once();
    all(&holder.outcomes(), 1, 0, &output, "");
    eventually("the refresh", || world.executions("tool") == 2);
    all(&follower.outcomes(), 1, 0, &output, "");
    assert!(is_locked(&world));
    gate.open();
    eventually("the refresh ends", || !is_locked(&world));
}

#[test]
fn a_follower_that_makes_the_call_anew_leaves_its_tags() {
    let (world, mut gate) = world("cat input");
    let holder = holder(&world, &["-t", "note=kept"]);
    let follower = Running(vec![tool(&world, &["--ttl", "0s"]).start()]);
    wait_for(&world, &follower.0[0]);
    gate.open();
    all(&holder.outcomes(), 1, 0, "1\n", "");
    all(&follower.outcomes(), 1, 0, "1\n", "");
    assert_eq!(world.executions("tool"), 2);
    world.fleche(["query", "--tag", "note=kept", "--count"]).prints("1\n");
}
