//! Whoever holds a lock is stopped, or killed, at every stage of what it does: nobody waits for it for ever, and nobody gets
//! anything wrong.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Child;

use crate::form::of_form;
use crate::parts::{Progress, part};
use crate::starter::{ended, on_two_threads};
use crate::world::{Session, World};

/// Bytes that no call's own file holds.
const TOOL: &str = "cat input; seq 6000 > made";

/// What is held up.
const DEEDS: &[(&str, &[&str])] = &[
    ("miss", &["run", "-i", "input", "-o", "made", "--revision", "2", "--", "./tool"]),
    ("hit", &["run", "-i", "input", "-o", "made", "--", "./tool"]),
    ("gc", &["gc", "--grace", "0s", "--max-entries", "1"]),
    ("tag", &["tag", "--name", "tool", "more=yes"]),
    ("evict", &["evict", "--tag", "kind=volatile"]),
    ("reindex", &["reindex"]),
    ("table", &["table", "--args"]),
];

/// What becomes of who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

/// A world with two calls, garbage, and a journal that no question has read.
fn world() -> World {
    let world = World::new();
    world.counted("tool", TOOL);
    world.write("input", "1\n");
    for (revision, kind) in [("0", "kind=volatile"), ("1", "kind=volatile")] {
        let words = ["run", "-i", "input", "-o", "made", "--revision", revision, "--tag", kind, "--", "./tool"];
        world.fleche(words).prints("1\n");
    }
    world.fleche(["run", "-i", "input", "-o", "made", "--", "./tool"]).prints("1\n");
    world
}

/// Starts a process that stops when it is about to do its `stage`th system call; `None` if it ended before, with how many it
/// did.
// It is waited for by its number, and by whoever gets it.
#[allow(clippy::zombie_processes)]
fn held_at(session: Session, stage: usize) -> Result<Child, usize> {
    let session = session.with(|command| {
        // SAFETY: one system call, by which the thread that starts it may hold it.
        unsafe { command.pre_exec(|| trace(libc::PTRACE_TRACEME, 0, 0).map(drop)) };
    });
    let child = session.start();
    let process = child.id() as libc::pid_t;
    let mut status = wait_for(process);
    assert!(libc::WIFSTOPPED(status), "it does not stop as it starts");
    trace(libc::PTRACE_SETOPTIONS, process, libc::PTRACE_O_TRACESYSGOOD as usize).unwrap();
    // A system call stops twice: as it begins, and as it ends.
    let (mut stops, mut signal) = (0, 0);
    loop {
        trace(libc::PTRACE_SYSCALL, process, signal as usize).unwrap();
        status = wait_for(process);
        if !libc::WIFSTOPPED(status) {
            return Err(stops / 2);
        }
        signal = 0;
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => stops += 1,
            other => signal = other,
        }
        if stops == 2 * stage + 1 {
            return Ok(child);
        }
    }
}

fn trace(request: libc::c_uint, process: libc::pid_t, data: usize) -> std::io::Result<libc::c_long> {
    // SAFETY: none of the requests here reads or writes memory of ours.
    let done = unsafe { libc::ptrace(request, process, 0usize, data) };
    if done == -1 { Err(std::io::Error::last_os_error()) } else { Ok(done) }
}

fn wait_for(process: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: writes to `status` alone.
    let waited = unsafe { libc::waitpid(process, &raw mut status, libc::WUNTRACED) };
    assert_eq!(waited, process, "{}", std::io::Error::last_os_error());
    status
}

fn signal(process: &Child, signal: libc::c_int) {
    // SAFETY: kill(2) on a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(process.id() as libc::pid_t, signal) }, 0);
}

/// Lets a held process be stopped as a shell's user would stop it.
fn stop(process: &Child) {
    signal(process, libc::SIGSTOP);
    trace(libc::PTRACE_DETACH, process.id() as libc::pid_t, 0).unwrap();
    let status = wait_for(process.id() as libc::pid_t);
    assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP, "it is not stopped: {status:x}");
}

/// How many system calls a deed takes, its command's apart.
fn stages(words: &[&str]) -> usize {
    let world = world();
    held_at(world.fleche(words), usize::MAX / 4).err().unwrap()
}

/// One deed is held up at one stage while others go on.
fn step(name: &str, words: &[&str], stage: usize, end: End) {
    let place = format!("{name}, stage {stage}, {end:?}");
    let world = world();
    let held = held_at(world.fleche(words), stage).unwrap_or_else(|most| panic!("{place}: it has {most} stages"));
    match end {
        End::Stopped => stop(&held),
        End::Killed => {
            signal(&held, libc::SIGKILL);
            ended(held);
            run_all(&world, &place);
            return at_the_end(&world, &place);
        }
    }
    run_all(&world, &place);
    signal(&held, libc::SIGCONT);
    let outcome = ended(held);
    // Its own result is right, too, though the others overtook it.
    let expected = if name == "miss" || name == "hit" { "1\n" } else { "" };
    let said = outcome.stderr();
    assert!(said.is_empty() || OVERTAKEN.contains(&said.as_str()), "{place}: {said}");
    assert!(matches!(outcome.code(), 0 | 1), "{place}: {}", outcome.code());
    assert!(name == "table" || outcome.stdout() == expected, "{place}: {}", outcome.stdout());
    at_the_end(&world, &place);
}

/// The same command, another one, and a question: all right, though with a line at most about what could not be stored.
fn run_all(world: &World, place: &str) {
    for revision in ["2", "0", "3"] {
        let _ = fs::remove_file(world.path("made"));
        let words = ["run", "--wait", "1s", "-i", "input", "-o", "made", "--revision", revision, "--", "./tool"];
        let outcome = world.fleche(words).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "1\n"), "{place}");
        assert_eq!(world.read("made").lines().count(), 6000, "{place}");
        let said = outcome.stderr();
        assert!(matches!(said.as_str(), "" | STORED_LATER), "{place}: {said}");
    }
}

/// Those that go on write to the same place, which who was held up sees and says in a line.
const OVERTAKEN: [&str; 2] = [
    "fleche: not stored: output `made` changed after the command had ended\n",
    "fleche: not stored: output `made` changed while it was copied\n",
];

/// While garbage is collected nothing is stored, and a run waits for a second only.
const STORED_LATER: &str = "fleche: not stored: a garbage collection is at work\n";

fn at_the_end(world: &World, place: &str) {
    for words in [&["verify"][..], &["gc", "--grace", "0s"]] {
        let outcome = world.fleche(words).run();
        assert_eq!(
            (outcome.code(), outcome.stdout(), outcome.stderr()),
            (0, String::new(), String::new()),
            "{place}: {words:?}"
        );
    }
    let plan = world.fleche(["gc", "--grace", "0s", "--dry-run"]).run().stdout();
    assert_eq!(plan, "", "{place}");
    world.fleche(["run", "-i", "input", "-o", "made", "--revision", "2", "--", "./tool"]).prints("1\n");
    let listed = world.fleche(["query", "--count"]).run();
    let files = walkdir::WalkDir::new(world.cache().join("calls")).into_iter().map(Result::unwrap);
    let calls = files.filter(|entry| entry.file_type().is_file()).count();
    assert_eq!((listed.stdout(), listed.stderr()), (format!("{calls}\n"), String::new()), "{place}");
}

#[test]
fn whoever_is_held_up_at_any_stage_holds_up_nobody() {
    let each = of_form(3, usize::MAX);
    let mut steps = Vec::new();
    for (name, words) in DEEDS {
        let count = stages(words);
        assert!(count > 20, "{name} has {count} stages");
        let chosen = each.min(count);
        for number in 0..chosen {
            // Spread over all of them, the last one too.
            let stage = (number * 2 + 1) * count / (2 * chosen);
            steps.extend([End::Killed, End::Stopped].map(|end| (*name, *words, stage, end)));
        }
    }
    let steps = part(steps);
    let progress = Progress::new("holders", steps.len());
    on_two_threads(&steps, |(name, words, stage, end)| {
        step(name, words, *stage, *end);
        progress.step();
    });
    println!(
        "holders: {} steps (every stage with FLECHE_LONG), each of which held its process, 0 failures",
        steps.len()
    );
}
