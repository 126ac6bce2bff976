//! Starts processes, and sees what they leave.

use std::io::Read;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::world::{Outcome, Session};

/// Starts all of them as fast as it can, and waits for them. They print little: no pipe is ever full.
pub fn all_at_once(sessions: Vec<Session>) -> Vec<Outcome> {
    let children: Vec<Child> = sessions.into_iter().map(Session::start).collect();
    children.into_iter().map(ended).collect()
}

/// Waits for a process that was started.
pub fn ended(mut child: Child) -> Outcome {
    // Standard error is short, so nobody waits for it to be read.
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Outcome { status: child.wait().unwrap(), stdout, stderr }
}

/// Does a list of steps on two threads; each must return, and a failure is the test's.
pub fn on_two_threads<T: Sync>(steps: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| {
            scope.spawn(|| {
                while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(step);
                }
            })
        });
        // Both are waited for, so that what failed is told by who failed.
        let ends = threads.map(|thread| thread.join());
        ends.into_iter().for_each(|end| end.unwrap_or_else(|why| std::panic::resume_unwind(why)));
    });
}
