//! Little memory, few descriptors, short files, and a file system that is full: a bare run in a twin world says what is right.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;

use crate::operations::{Aim, Bare, Leftovers, OPERATIONS, as_bare};
use crate::power_cut::{Mounted, apart};
use crate::ward::Ward;
use crate::world::{Outcome, Session, World, is_root};

const OPERATIONS_OF_LIMITS: [&str; 4] = ["first open", "miss, watched", "hit, outputs gone", "hit, other outputs"];

/// The limits of which fleche may have too little where the command has enough.
#[derive(Clone, Copy, Debug)]
struct Limit {
    what: u32,
    name: &'static str,
    value: u64,
}

/// Steps in which memory is given, in bytes, and those where there is next to none.
const STEP: u64 = 128 << 10;
const FINE_STEP: u64 = 8 << 10;

/// The same session under a limit.
fn limited(session: Session, limit: Limit) -> Session {
    session.with(|command| {
        let limits = libc::rlimit { rlim_cur: limit.value, rlim_max: limit.value };
        let set = move || {
            // SAFETY: the structure outlives the call.
            if unsafe { libc::setrlimit(limit.what as _, &limits) } < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(set) };
    })
}

/// The least memory with which a shell and fleche can be started, in bytes: each program alone needs some, and where one cannot have
/// what it asks for at all, it ends.
fn least_memory(world: &World) -> u64 {
    let is_enough = |value: &u64| {
        let limit = Limit { what: libc::RLIMIT_AS as _, name: "as", value: *value };
        let works = |session: Session| {
            let mut session = limited(session, limit);
            session.command().stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            session.command().status().is_ok_and(|status| status.success())
        };
        works(world.program("/bin/sh", ["-c", "cat /dev/null"])) && works(world.fleche(["--version"]))
    };
    // The kernel lays programs elsewhere each time, and not all of those places need as much.
    let is_always_enough = |value: &u64| (0..40).all(|_| is_enough(value));
    let enough = (1..4096).map(|step| step * STEP).find(is_enough).unwrap();
    (0..).map(|step| enough - STEP + step * FINE_STEP).find(is_always_enough).unwrap()
}

fn has_crashed(outcome: &Outcome) -> bool {
    [libc::SIGSEGV, libc::SIGBUS].map(Some).contains(&outcome.status.signal())
}

#[test]
fn limits_are_those_of_the_command_and_never_fleches() {
    let base = least_memory(&World::new());
    let fine = (1..20).map(|steps| steps * FINE_STEP);
    let memory = fine.chain([2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256].map(|steps| steps * STEP));
    let limit = |what, name| move |value| Limit { what, name, value };
    let limits: Vec<Limit> = (memory.map(|more| base + more).map(limit(libc::RLIMIT_AS as _, "as")))
        .chain([4 << 20, 6 << 20, 16 << 20].map(limit(libc::RLIMIT_DATA as _, "data")))
        .chain([96 << 10, 160 << 10, 512 << 10].map(limit(libc::RLIMIT_STACK as _, "stack")))
        .chain((3..16).chain([20, 30]).map(limit(libc::RLIMIT_NOFILE as _, "nofile")))
        .chain([4000, 20_001, 30_000].map(limit(libc::RLIMIT_FSIZE as _, "fsize")))
        .collect();
    let (mut runs, mut enough, mut failures) = (0, 0, Vec::new());
    for operation in OPERATIONS.iter().filter(|operation| OPERATIONS_OF_LIMITS.contains(&operation.name)) {
        let Aim::Run(words) = operation.aim else { unreachable!() };
        let (ward, twin) = (Ward::new(operation.prepare), Ward::new(operation.prepare));
        let plain = operation.bare(words);
        for limit in &limits {
            ward.reset();
            twin.reset();
            let outcome = limited(twin.world.program(words[0], &words[1..]), *limit).run();
            let bare = Bare { outcome, files: twin.files() };
            let outcome = limited(operation.session(&ward.world), *limit).run();
            // Under a limit of which the command itself has too little a hit may still replay what it did with more.
            let itself = match bare.outcome.code() {
                0 => {
                    enough += 1;
                    as_bare(&bare, &ward, &outcome, Leftovers::None)
                }
                _ if outcome.code() == 0 => as_bare(&plain, &ward, &outcome, Leftovers::None),
                _ if outcome.stderr().contains("panicked at") => Err(outcome.stderr()),
                _ if has_crashed(&outcome) && !has_crashed(&bare.outcome) => Err("it crashed".to_owned()),
                _ => Ok(()),
            };
            // What it could write of an output lies there, and the run that comes upon it is right and cannot be stored.
            let after = || as_bare(&plain, &ward, &operation.session(&ward.world).run(), Leftovers::None);
            let right = itself
                .map_err(|why| format!("that run: {why}"))
                .and_then(|()| after().map_err(|why| format!("the run after it: {why}")))
                .and_then(|()| operation.recovers(&ward, &plain, Leftovers::None));
            runs += 1;
            if let Err(why) = right {
                failures.push(format!("{} with {} {}: {why}", operation.name, limit.name, limit.value));
            }
        }
    }
    println!(
        "limits: {runs} runs under {} limits, {enough} of them enough for the command, {} failures",
        limits.len(),
        failures.len()
    );
    failures.iter().for_each(|failure| println!("FAILED {failure}"));
    assert!(failures.is_empty(), "{} failures", failures.len());
    assert!(enough > runs / 2 && enough < runs, "{enough} of {runs}");
}

#[test]
fn a_cache_that_is_full_costs_nothing_but_itself() {
    if !is_root() {
        return println!("full file system: skipped: only root can mount one");
    }
    let worker = std::thread::spawn(|| {
        if let Err(why) = apart() {
            return println!("full file system: skipped: no mounts of our own: {why}");
        }
        let operation = OPERATIONS.iter().find(|operation| operation.name == "first open").unwrap();
        let Aim::Run(words) = operation.aim else { unreachable!() };
        let prepare = |world: &World| {
            (operation.prepare)(world);
            world.write("big", "0123456789abcde\n".repeat(1 << 16));
        };
        let (ward, twin) = (Ward::new(prepare), Ward::new(prepare));
        let outcome = twin.world.program(words[0], &words[1..]).run();
        assert_eq!(outcome.stdout.len(), 1 << 20);
        let bare = Bare { outcome, files: twin.files() };
        let mut runs = 0;
        for size in [
            "size=64k",
            "size=4k",
            "size=1500k",
            "size=64k,nr_inodes=4",
            "size=64m,nr_inodes=8",
            "size=64m,nr_inodes=14",
        ] {
            ward.reset();
            let place = ward.world.home().join(".cache");
            let mounted = match Mounted::of_memory(&place, size) {
                Ok(mounted) => mounted,
                Err(why) => return println!("full file system: skipped: {why}"),
            };
            for _ in 0..3 {
                let outcome = operation.session(&ward.world).run();
                assert_eq!(as_bare(&bare, &ward, &outcome, Leftovers::None), Ok(()), "{size}");
                runs += 1;
            }
            if size.starts_with("size=64m") || size == "size=1500k" {
                // Where nothing at all could be made there is no cache to be looked at.
                let _ = ward.verified(Path::new("local"));
            }
            drop(mounted);
        }
        println!("full file system: {runs} runs, 0 failures");
    });
    worker.join().unwrap();
}
