//! Many steps over two threads, and one line that says how many there were.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many as the machines that run this have processors.
const THREADS: usize = 2;

/// Takes each of `steps`, all of which must succeed: a step that fails does not keep the others from being taken.
#[track_caller]
pub fn each<T: Sync>(what: &str, steps: &[T], name: impl Fn(&T) -> String + Sync, take: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| take(step))).is_err() {
                        failed.lock().unwrap().push(name(step));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("hostile: {what}: {} steps, {} failures", steps.len(), failed.len());
    assert!(failed.is_empty(), "{what}: {failed:?}");
}
