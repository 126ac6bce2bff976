//! A folder that is swapped for a link to somewhere else while hits restore files in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::canary;
use crate::form::of_form;
use crate::world::World;

/// At least so many swaps, and so many runs meanwhile, in the short form and in the long one.
const SWAPS: u64 = 100_000;
const RUNS: [u64; 2] = [120, 4000];

/// Lets a thread swap two paths as fast as it can until `during` is over, and goes on to at least [`SWAPS`].
fn while_swapping(a: &Path, b: &Path, during: impl FnOnce(&dyn Fn() -> u64)) -> u64 {
    let (over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) || swaps.load(Ordering::Relaxed) % 2 == 1 {
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        during(&|| swaps.load(Ordering::Relaxed));
        over.store(true, Ordering::Relaxed);
    });
    swaps.into_inner()
}

/// Restores while `dir` and `trap`, a link out, change places; a file, a new one, a link and a folder are below it.
fn race(swapped: &str) -> (u64, u64, u64) {
    let world = World::new();
    // Executed, it leaves alone what is there by then: its own road through the link is no fault of the replay's.
    world.counted("tool", "[ -e ../armed ] || { mkdir -p dir/sub/f; echo made > dir/sub/x; echo made > dir/sub/y; ln -s x dir/sub/l; }\necho done");
    let outside = world.root().join("outside");
    fs::create_dir_all(outside.join("sub/sub/f")).unwrap();
    for name in ["x", "sub/x", "sub/sub/x"] {
        fs::write(outside.join(name), "the user's\n").unwrap();
    }
    let words = [
        "run",
        "--mode",
        "on",
        "-o",
        "dir/sub/x",
        "-o",
        "dir/sub/y",
        "-o",
        "dir/sub/l",
        "-o",
        "dir/sub/f",
        "-i",
        "tool",
        "--",
        "./tool",
    ];
    world.fleche(words).prints("done\n");
    fs::write(world.root().join("armed"), "").unwrap();
    let swapped = world.path(swapped);
    let trap = world.path("trap");
    symlink(&outside, &trap).unwrap();
    let before = canary::exactly(&outside);
    let only_read = words.map(|word| if word == "on" { "read-only" } else { word });
    let goal = of_form(RUNS[0], RUNS[1]);
    let mut runs = 0;
    let swaps = while_swapping(&swapped, &trap, |swaps| {
        while runs < goal || swaps() < SWAPS {
            // What is restored each time anew is what is gone.
            let _ = fs::remove_file(world.path("dir/sub/y")).or_else(|_| fs::remove_file(world.path("trap/sub/y")));
            let outcome = world.fleche(only_read).run();
            assert_eq!((outcome.code(), outcome.stdout()), (0, "done\n".to_owned()), "{outcome:?}");
            runs += 1;
        }
    });
    assert_eq!(canary::exactly(&outside), before);
    let executed = world.executions("tool") as u64 - 1;
    assert!(executed < runs, "no run was a hit");
    assert!(executed > 0, "no run met the link");
    // At rest, each of both has its own end.
    world.fleche(only_read).prints("done\n");
    assert_eq!(world.executions("tool") as u64, executed + 1, "at rest it is a hit");
    assert_eq!((world.read("dir/sub/x"), world.read("dir/sub/y")), ("made\n".to_owned(), "made\n".to_owned()));
    renameat_with(CWD, &swapped, CWD, &trap, RenameFlags::EXCHANGE).unwrap();
    world.fleche(only_read).prints("done\n");
    assert_eq!(world.executions("tool") as u64, executed + 2, "through the link it is a miss");
    assert_eq!(canary::exactly(&outside), before);
    (swaps, runs, executed)
}

#[test]
fn a_parent_that_is_swapped_for_a_link_leads_nowhere() {
    for swapped in ["dir", "dir/sub"] {
        let (swaps, runs, executed) = race(swapped);
        assert!(swaps >= SWAPS);
        println!(
            "hostile: `{swapped}` swapped {swaps} times in {runs} runs, {} of them hits: nothing outside changed",
            runs - executed
        );
    }
}
