//! Going through a list of damages on two threads, each of which has a scene of its own.

use std::fmt::Display;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::form::{is_long, of_form};
use crate::parts::{Progress, part};
use crate::scene::Scene;

const THREADS: usize = 2;
/// Failures that are told in full.
const TOLD: usize = 12;

/// Every `short`th of these, or all of them in the long form.
pub fn sample<T>(all: impl IntoIterator<Item = T>, short: usize) -> Vec<T> {
    all.into_iter().step_by(of_form(short, 1)).collect()
}

/// Whether this step is one of about so many of which more is asked; all of them are in the long form. The same ones each time.
pub fn is_one_in(many: u32, step: &impl Display) -> bool {
    let digest = blake3::hash(step.to_string().as_bytes());
    is_long() || u32::from(digest.as_bytes()[0]) % many == 0
}

/// Does `check` to each step in a scene whose cache is as it was made; fails with all that failed. Prints how many steps
/// there were and how many processes they took.
#[track_caller]
pub fn each<T: Sync + Display>(what: &str, make: fn() -> Scene, steps: &[T], check: impl Fn(&Scene, &T) + Sync) {
    assert!(!steps.is_empty(), "{what}: there is nothing to do");
    let steps = part(steps.iter().collect());
    let progress = Progress::new(what, steps.len());
    let (next, processes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let scene = make();
                while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
                    scene.restore();
                    let checked = catch_unwind(AssertUnwindSafe(|| check(&scene, step)));
                    if let Err(panic) = checked {
                        failures.lock().unwrap().push(format!("{step}: {}", text(&*panic)));
                    }
                    progress.step();
                }
                processes.fetch_add(scene.processes(), Ordering::Relaxed);
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let counts = format!("{} steps, {} processes", steps.len(), processes.into_inner());
    tell(&format!("{what}: {counts}, {} failures", failures.len()));
    let shown: Vec<String> = failures.iter().take(TOLD).cloned().collect();
    assert!(failures.is_empty(), "{what}: {} of {} failed\n{}", failures.len(), steps.len(), shown.join("\n"));
}

/// Prints a line whether or not the test fails; what `println` prints only shows where it does.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "damage: {line}");
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}
