//! The long form of a suite by parts, and how far it is.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::form::is_long;

/// What of the steps of a long form is taken: with `FLECHE_PART=2/10` the second of ten parts, each of which has steps from
/// all over; else all.
pub fn part<T>(steps: Vec<T>) -> Vec<T> {
    match std::env::var("FLECHE_PART") {
        Ok(part) => {
            assert!(is_long(), "FLECHE_PART is a part of the long form: FLECHE_LONG=1");
            cut(steps, &part)
        }
        Err(_) => steps,
    }
}

fn cut<T>(steps: Vec<T>, part: &str) -> Vec<T> {
    let numbers = part.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
    match numbers {
        Some((Ok(number), Ok(of))) if (1..=of).contains(&number) => {
            steps.into_iter().skip(number - 1).step_by(of).collect()
        }
        _ => panic!("FLECHE_PART={part}: a number of so many, as in 2/10"),
    }
}

/// Tells on standard error how far the steps of a long form are.
pub struct Progress<'a> {
    what: &'a str,
    of: usize,
    done: AtomicUsize,
}

impl<'a> Progress<'a> {
    /// How often it tells.
    const TIMES: usize = 20;

    pub fn new(what: &'a str, of: usize) -> Progress<'a> {
        Progress { what, of, done: AtomicUsize::new(0) }
    }

    /// One more step is done.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if is_long() && done * Self::TIMES / self.of > (done - 1) * Self::TIMES / self.of {
            // Not `eprintln`, which the harness keeps to itself.
            let _ = writeln!(std::io::stderr(), "{}: {done} of {} steps", self.what, self.of);
        }
    }
}

#[test]
fn parts_together_are_the_whole() {
    let whole: Vec<usize> = (0..23).collect();
    let mut steps: Vec<usize> = (1..=10).flat_map(|number| cut(whole.clone(), &format!("{number}/10"))).collect();
    steps.sort_unstable();
    assert_eq!(steps, whole);
    assert_eq!(cut(whole.clone(), "1/1"), whole);
    for part in ["0/10", "11/10", "1", "1/", "x/2", "1/0"] {
        assert!(std::panic::catch_unwind(|| cut(vec![0], part)).is_err(), "{part}");
    }
}
