//! Calls that tell that a command may not do the same while it is watched as otherwise, and those that cannot be seen into.

use super::super::habit;
use super::{Asker, Observer};
use crate::model::Reason;
use crate::sys::calls::Alarm;
use crate::sys::seccomp::asks_nobody;
use crate::sys::sieve::has_rings;
use crate::sys::tracee::Tracee;

impl Observer {
    /// Whoever else would be asked about a call is not asked before the watcher is, and then not at all.
    pub(super) fn filter(&mut self, asker: &Asker, program: u64) {
        if !asks_nobody(asker.tracee, program).unwrap_or(false) {
            self.ledger.refuse(Reason::Disturbed("it filters system calls itself".into()));
        }
    }

    /// What goes through rings is not seen.
    pub(super) fn make_ring(&mut self) {
        if has_rings() {
            self.ledger.refuse(Reason::Unwatched("it uses io_uring".into()));
        }
    }

    pub(super) fn handle(&mut self, asker: &Asker, signal: u64, action: u64) {
        self.interruptions.handle(asker.tracee, signal, action);
        self.check_interruptions();
    }

    pub(super) fn alarm(&mut self, asker: &Asker, alarm: Alarm) {
        self.interruptions.send(asker.tracee, alarm);
        self.check_interruptions();
    }

    fn check_interruptions(&mut self) {
        if self.interruptions.are_possible() {
            self.ledger.refuse(Reason::Disturbed("signals may interrupt its system calls".into()));
        }
    }
}

/// Whether a thread that asks for rings is to be told that the kernel has none, for it does the same without.
pub fn needs_no_ring(tracee: Tracee) -> bool {
    tracee.program().is_some_and(|program| habit::needs_no_ring(&program)) && has_rings()
}
