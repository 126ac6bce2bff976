//! Signals that may interrupt a system call of which a watcher was not told yet.

use super::calls::Alarm;
use super::tracee::Tracee;

/// Which signals come while a command works. A call that waits for the watcher to hear of it ends with `EINTR` if one comes whose
/// handler was set without `SA_RESTART`, be it one that never fails so when nobody is asked about it.
#[derive(Debug, Default)]
pub struct Interruptions {
    /// Those that are sent, by number minus one.
    sent: u64,
    /// Those that have such a handler.
    heeded: u64,
}

/// What is no address of a handler: `SIG_DFL` and `SIG_IGN`.
const DISPOSITIONS: u64 = 2;
/// The C library's own, with which it stops threads.
const OWN: [u64; 2] = [32, 33];

fn bit(signal: u64) -> u64 {
    if (1..=64).contains(&signal) { 1 << (signal - 1) } else { 0 }
}

impl Interruptions {
    /// The signal is to do what the `struct sigaction` of the kernel at `action` says.
    pub fn handle(&mut self, tracee: Tracee, signal: u64, action: u64) {
        if action == 0 || OWN.contains(&signal) {
            return;
        }
        let Some([handler, flags]) = tracee.read_words(action) else { return };
        if handler >= DISPOSITIONS && flags & libc::SA_RESTART as u64 == 0 {
            self.heeded |= bit(signal);
        }
    }

    /// A signal is sent, or will be.
    pub fn send(&mut self, tracee: Tracee, alarm: Alarm) {
        let signal = match alarm {
            Alarm::Signal(signal) => Some(signal),
            Alarm::Timer(_, 0) => None,
            Alarm::Timer(which, times) => match tracee.read_words(times) {
                // The second half is when it rings first; never, if that is zero.
                Some([_, _, 0, 0]) => None,
                _ => [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF].get(which as usize).map(|signal| *signal as u64),
            },
            Alarm::Event(0) => Some(libc::SIGALRM as u64),
            Alarm::Event(event) => tracee.read_words(event).and_then(|[_, how]| {
                let (signal, notice) = (how & u64::from(u32::MAX), how >> 32);
                (notice != libc::SIGEV_NONE as u64).then_some(signal)
            }),
        };
        self.sent |= signal.map_or(0, bit);
    }

    /// Whether one may come and interrupt a call.
    pub fn are_possible(&self) -> bool {
        self.sent & self.heeded != 0
    }
}
