//! How far a long work is, on a terminal.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::sys::clock;

use super::Talk;

/// What takes less, in nanoseconds, needs no bar.
const SOON: u64 = 1_000_000_000;
const LAYOUT: &str = "{msg} [{bar:30}] {percent}%";

/// A bar on a terminal's standard error that appears after a second; elsewhere nothing.
pub struct Progress {
    bar: ProgressBar,
    began: u64,
    visibility: Cell<Visibility>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visibility {
    /// Until a second is over.
    NotYet,
    Shown,
    Never,
}

impl Progress {
    /// For a work that is called `what`.
    pub fn new(what: &'static str, talk: &Talk) -> Progress {
        let bar = ProgressBar::hidden().with_message(what);
        if let Ok(style) = ProgressStyle::with_template(LAYOUT) {
            bar.set_style(style.progress_chars("=> "));
        }
        let visibility = if talk.is_quiet() { Visibility::Never } else { Visibility::NotYet };
        Progress { bar, began: clock::monotonic(), visibility: Cell::new(visibility) }
    }

    /// So many of so many are done.
    pub fn show(&self, done: u64, of: u64) {
        if self.visibility.get() == Visibility::NotYet && clock::monotonic().saturating_sub(self.began) > SOON {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.visibility.set(Visibility::Shown);
        }
        if self.visibility.get() == Visibility::Shown {
            self.bar.set_length(of);
            self.bar.set_position(done);
        }
    }

    /// Lets something be written where the bar is, which then moves on.
    pub fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    /// Whatever the end is, what follows begins on an empty line.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
