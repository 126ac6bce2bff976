//! The watcher: a thread that answers the command's system calls, and the guard that answers when it cannot.

mod caller;
mod guard;
mod habit;
mod ledger;
mod look;
mod nest;
mod observer;
mod program;
mod resolve;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use rustix::io::Errno;
use rustix::system::uname;

use super::Watch;
use crate::model::{Reason, Trace};
use crate::sys::descriptor;
use crate::sys::seccomp::{Filter, Listener, Mailbox};
use crate::sys::sieve::{LAST, rules};
use crate::sys::signal;
use guard::Guard;
use nest::{Answer, Nest};

/// What sorts a command's calls.
pub type Sieve = Filter;

/// The filter that the command is to be started with; `None` where the kernel has no answer that lets a call go on, which came
/// with Linux 5.5.
pub fn sieve(watch: &Watch) -> Option<Sieve> {
    is_since(uname().release().to_bytes(), (5, 5)).then(|| Filter::new(&rules(watch.stdin), LAST))
}

/// Whether a kernel that calls itself so is of this version or a later one.
fn is_since(release: &[u8], version: (u32, u32)) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= version
}

/// How the next call is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// It is waited for whatever happens first: that, the end of all processes, or that the thread is to stop.
    Asking,
    /// Only the call is waited for, which spares a system call each time. Processes that outlive the command cannot be left to
    /// the guard then: as long as fleche lives, the thread goes on to answer them.
    Waiting,
}

impl Hearing {
    /// From Linux 6.11 on who waits for a call is told when no process is left that could make one.
    fn here() -> Hearing {
        if is_since(uname().release().to_bytes(), (6, 11)) { Hearing::Waiting } else { Hearing::Asking }
    }
}

/// What notes the calls; `None` once nothing is to be noted any more.
type Shared = Mutex<Option<Nest>>;

/// A command's calls are being answered as long as this lives, and after it by the guard.
pub struct Watcher {
    thread: Option<JoinHandle<()>>,
    nest: Arc<Shared>,
    hearing: Hearing,
    /// Hung up when the thread has nobody to answer any more.
    ended: Receiver<()>,
    /// Written when the thread is to leave the rest to the guard.
    stop: Arc<OwnedFd>,
    listener: Arc<Listener>,
    /// Once it is dropped the guard begins.
    guard: Option<Guard>,
}

/// Begins to answer: `input` is the device and inode of the command's descriptor 0. Must be called while there is one thread
/// only. Fails if there is no process or thread to be had; then the command, which has done nothing yet, is to be killed.
pub fn start(listener: Listener, watch: &Watch, input: Option<(u64, u64)>) -> io::Result<Watcher> {
    let mailbox = Arc::new(Mailbox::new()?);
    let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let guard = Guard::post(&listener, &mailbox)?;
    listener.take_turns();
    let listener = Arc::new(listener);
    let (nest, hearing) = (Arc::new(Mutex::new(Some(Nest::new(watch.clone(), input)))), Hearing::here());
    let (heard, stopped, shared) = (Arc::clone(&listener), Arc::clone(&stop), Arc::clone(&nest));
    let (tell_end, ended) = sync_channel::<()>(0);
    let work = move || {
        attend(&heard, &mailbox, &stopped, hearing, &shared);
        drop(tell_end);
        // One that nobody waits for must not give back memory while another process is made.
        while open(&shared).is_none() {
            thread::park();
        }
    };
    match signal::quietly(|| thread::Builder::new().name("watch".into()).spawn(work)) {
        Ok(thread) => Ok(Watcher { thread: Some(thread), nest, hearing, ended, stop, listener, guard: Some(guard) }),
        Err(error) => {
            // Otherwise it would let the command go on, which is run once more without anybody who watches.
            guard.dismiss();
            Err(error)
        }
    }
}

/// What notes the calls, to be held as long as it does. What panics there is caught.
fn open(nest: &Shared) -> MutexGuard<'_, Option<Nest>> {
    nest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers until no process has the filter any more or it is to stop.
fn attend(listener: &Listener, mailbox: &Mailbox, stop: &OwnedFd, hearing: Hearing, nest: &Shared) {
    let mut knows_of_none = true;
    loop {
        if hearing == Hearing::Asking || knows_of_none {
            let mut watches =
                [descriptor::Watch::readable(listener.as_fd()), descriptor::Watch::readable(stop.as_fd())];
            if descriptor::wait(&mut watches).is_err() {
                continue;
            }
            let [heard, stopped] = watches;
            if stopped.happened() || (heard.is_hung_up() && !heard.has_input()) {
                return;
            }
        }
        let received = listener.receive(mailbox);
        knows_of_none = received.is_err();
        let Ok(notice) = received else { continue };
        let answer = match &mut *open(nest) {
            None => Answer::GoOn,
            // Whatever is wrong with fleche, the command goes on.
            Some(nest) => catch_unwind(AssertUnwindSafe(|| nest.attend(listener, &notice))).unwrap_or_else(|_| {
                nest.give_up(&Reason::Internal);
                Answer::GoOn
            }),
        };
        // It fails only where the call is gone.
        let _ = match answer {
            Answer::GoOn => listener.let_go(notice.id),
            Answer::Value(value) => listener.answer(notice.id, value),
            Answer::NoSuchCall => listener.deny(notice.id),
        };
    }
}

/// How long processes that end with the command are given to be gone, in nanoseconds.
const TIME_TO_GO: i64 = 30_000_000;

/// How long a thread is waited for that the kernel must have told that all are gone.
const TIME_TO_END: Duration = Duration::from_secs(1);

impl Watcher {
    /// What was seen, to be asked when the command has ended. Who lives on is left to the guard.
    pub fn finish(mut self) -> Trace {
        let is_over = self.is_over(TIME_TO_GO);
        let mut trace = self.stop().unwrap_or_else(|| Trace { refusals: vec![Reason::Internal], ..Trace::default() });
        if !is_over {
            trace.refusals.push(Reason::LeftBehind);
        }
        trace
    }

    /// Whether no process has the filter any more, or will not within so many nanoseconds.
    fn is_over(&self, patience: i64) -> bool {
        let time = Timespec { tv_sec: 0, tv_nsec: patience };
        loop {
            match poll(&mut [PollFd::new(&self.listener, PollFlags::empty())], Some(&time)) {
                Err(Errno::INTR) => {}
                answer => return answer.is_ok_and(|count| count > 0),
            }
        }
    }

    fn stop(&mut self) -> Option<Trace> {
        let thread = self.thread.take()?;
        let is_told = match self.hearing {
            Hearing::Asking => rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).is_ok(),
            Hearing::Waiting => {
                self.is_over(0) && self.ended.recv_timeout(TIME_TO_END) != Err(RecvTimeoutError::Timeout)
            }
        };
        match is_told {
            true => thread.join().ok()?,
            // Nothing tells it that it is to stop. The guard begins when fleche is gone, and the thread with it: it answers the
            // call that the thread was told of last.
            false => std::mem::forget(self.guard.take()),
        }
        open(&self.nest).take().map(|mut nest| nest.take_trace())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
        if let Some(guard) = self.guard.take()
            && self.is_over(0)
        {
            guard.dismiss();
        }
    }
}
