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

    /// Ends the guard, which somebody may have stopped, before it answers any call; to be called when no process has the filter
    /// any more, or when those that have it are not to go on.
    pub fn dismiss(self) {
        self.process.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::trace::enabled::{sieve, tests::everything};
    use crate::sys::child::{Child, spawn_filtered};
    use crate::sys::image::Image;
    use crate::sys::signal;
    use std::path::Path;

    /// Whether a command does anything whose guard and whose process come to such an end, when nobody else answers it.
    fn goes_on(end: impl FnOnce(Guard, Child)) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let argv = ["touch".into(), made.clone().into_os_string()];
        let touch = ["/usr/bin/touch", "/bin/touch"].map(Path::new).into_iter().find(|path| path.exists()).unwrap();
        let image = Image::new(touch, &argv, &[]).unwrap();
        let (held, sieve) = (signal::hold(), sieve(&everything()).unwrap());
        let (child, listener) = spawn_filtered(&image, &[None; 3], &held, &sieve).unwrap();
        let (listener, mailbox) = (listener.unwrap(), Mailbox::new().unwrap());
        let guard = Guard::post(&listener, &mailbox).unwrap();
        drop(listener);
        end(guard, child);
        made.exists()
    }

    #[test]
    fn a_command_goes_on_without_fleche_but_not_when_its_guard_is_dismissed() {
        assert!(goes_on(|guard, child| {
            drop(guard);
            descriptor::wait(&mut [Watch::readable(child.handle().unwrap())]).unwrap();
        }));
        assert!(!goes_on(|guard, child| {
            guard.dismiss();
            drop(child);
        }));
    }
}
