//! Another user who keeps planting something where a cache is about to be made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::form::of_form;
use crate::others::{OTHER, OWNER, Town, mode, own, picture};
use crate::tell;

/// How often a cache is made; the other user plants many times as often.
fn rounds() -> usize {
    of_form(80, 3000)
}

/// Makes the calling thread, and no other, act as this user.
fn become_user(user: u32) {
    // SAFETY: the system call itself, unlike setresuid(3), changes one thread; it takes numbers.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_setresgid, user, user, user), 0);
        assert_eq!(libc::syscall(libc::SYS_setresuid, user, user, user), 0);
    }
}

/// Plants links, folders and files at `place` until it is told to stop; says how often it did.
fn plant(place: &Path, precious: &Path, own_cache: &Path, stop: &AtomicBool) -> usize {
    let mut planted = 0;
    while !stop.load(Ordering::Relaxed) {
        for target in [precious, own_cache] {
            if symlink(target, place).is_ok() {
                planted += 1;
                // It can be taken away as soon as fleche looked at it, or before.
                std::thread::yield_now();
                let _ = fs::remove_file(place);
            }
        }
        if fs::create_dir(place).is_ok() {
            planted += 1;
            mode(place, 0o777);
            std::thread::yield_now();
            // What is written into it stays, and is seen in the end.
            let _ = fs::remove_dir(place);
        }
        // Now and then the place is free, so that some are made.
        (0..planted % 200).for_each(|_| std::thread::yield_now());
    }
    planted
}

#[test]
fn a_cache_that_is_made_beside_another_user_is_ones_own() {
    let Some(town) = Town::new("planted folders") else { return };
    let shared = town.world.root().join("shared");
    fs::create_dir(&shared).unwrap();
    mode(&shared, 0o1777);
    // What the planted links lead to: a folder of the victim's, and a cache of the other user's that everybody may write.
    let precious = town.home(OWNER).join("precious");
    fs::create_dir(&precious).unwrap();
    own(&precious, OWNER);
    mode(&precious, 0o700);
    let lure = town.home(OTHER).join("lure");
    assert_eq!(town.by(OTHER, &["run", "--cache", lure.to_str().unwrap(), "--pure", "--", "true"]).run().code(), 0);
    mode(&lure, 0o777);
    town.world.is_alone();
    let (before, place) = ([&precious, &lure].map(|path| picture(path)), shared.join("cache"));
    let (stop, planted, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            become_user(OTHER);
            planted.store(plant(&place, &precious, &lure, &stop), Ordering::Relaxed);
        });
        for round in 0..rounds() {
            let folder = place.to_str().unwrap();
            let revision = round.to_string();
            let words =
                ["run", "--cache", folder, "-i", "input", "--revision", &revision, "--cache-exit", "3", "--", "./tool"];
            let outcome = town.by(OWNER, &words).run();
            assert_eq!((outcome.code(), outcome.stdout().as_str()), (3, "1\n"), "{outcome:?}");
            assert!(outcome.stderr().lines().count() < 2, "{outcome:?}");
            if !outcome.stderr().is_empty() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            // One that was made is the victim's own; the other user cannot remove it, so the next round needs it gone.
            if let Ok(found) = fs::symlink_metadata(&place)
                && std::os::unix::fs::MetadataExt::uid(&found) == OWNER
            {
                assert!(found.is_dir(), "{found:?}");
                town.world.is_alone();
                let _ = fs::remove_dir_all(&place);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!([&precious, &lure].map(|path| picture(path)), before);
    let (planted, refused) = (planted.into_inner(), refused.into_inner());
    assert!(planted > rounds(), "{planted}");
    tell(&format!(
        "{} caches made while another user planted {planted} things: {refused} refused, nothing written into those",
        rounds()
    ));
}
