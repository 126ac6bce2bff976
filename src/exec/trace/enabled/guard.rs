//! The guard: a process that answers calls when fleche does not any more, so that what a command leaves behind goes on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::descriptor::{self, Watch};
use crate::sys::process::Companion;
use crate::sys::seccomp::{Listener, Mailbox};

/// While it lives, the guard is at rest: it answers as soon as nobody holds this, be it that fleche was killed.
pub struct Guard {
    _at_rest: OwnedFd,
    process: Companion,
}

impl Guard {
    /// Makes the guard, which ends when no process has the filter any more. It has a session of its own and nothing of the
    /// caller's. It is no orphan as long as fleche lives: in many a container nobody collects orphans, and there is a guard for
    /// each command. Must be called while there is one thread only.
    pub fn post(listener: &Listener, mailbox: &Mailbox) -> io::Result<Guard> {
        let (alarm, at_rest) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut keep = [listener.as_fd().as_raw_fd(), alarm.as_raw_fd()];
        let work = || {
            // Nobody holds the listener if this ends early, and the kernel fails the calls; there is no one to tell.
            let mut watches = [Watch::broken(listener.as_fd()), Watch::readable(alarm.as_fd())];
            while !watches[0].is_hung_up() && !watches[1].happened() {
                let _ = descriptor::wait(&mut watches);
            }
            // One that fleche was told of and did not come to answer.
            let _ = listener.let_go(mailbox.id());
            let mut watches = [Watch::readable(listener.as_fd())];
            loop {
                let _ = descriptor::wait(&mut watches);
                if watches[0].has_input() {
                    if let Ok(notice) = listener.receive(mailbox) {
                        let _ = listener.let_go(notice.id);
                    }
                } else if watches[0].is_hung_up() {
                    return;
                }
            }
        };
        let process = Companion::start(&mut keep, work)?;
        Ok(Guard { _at_rest: at_rest, process })
    }

    /// Ends the guard, which somebody may have stopped; to be called when no process has the filter any more.
    pub fn dismiss(self) {
        self.process.end();
    }
}
