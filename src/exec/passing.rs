//! Which signals that reach fleche the command must be told of.

use crate::sys::process;
use crate::sys::signal::{
    Arrival, Origin, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGXCPU,
    SIGXFSZ,
};

/// What the decision depends on beside the signal itself; asked only when needed.
pub trait Surroundings {
    /// fleche's own process id.
    fn own(&self) -> i32;
    /// Whether fleche leads its session: then a terminal that hangs up tells fleche alone.
    fn leads_session(&self) -> bool;
    /// Whether `process` is the command or descends from it.
    fn is_of_the_command(&self, process: i32) -> bool;
}

/// Whether a signal was meant for fleche alone, so that the command has not got it yet.
///
/// Those of the terminal reach the whole job, the command included. Those that the command or its descendants
/// send to their process group (`kill 0`) reach fleche as a bystander.
///
/// One that a stranger sends to the whole group (`kill -TERM -PGID`) reaches the command twice. Nothing in what the
/// kernel tells of a signal says whether a group was meant, and whether the command got one of its own can be seen only
/// while it blocks it (SigPnd in `/proc`): one that handles it at once shows nothing, and waiting for it to die would
/// tell one that handles it from one that was not told only by guessing how long dying takes. Not passing it on would
/// leave a command that nobody told running, which is worse than telling it twice. A group of its own for the command
/// would take it out of the caller's job. (timeout(1) tells its child and then the group, so there a bare command hears
/// it twice as well.)
pub fn is_for_the_command(arrival: &Arrival, around: &impl Surroundings) -> bool {
    match (arrival.signal, arrival.origin) {
        // Children ending are fleche's own business, as is the CPU time that it uses.
        (SIGCHLD, _) | (SIGXCPU, Origin::Kernel) => false,
        // A write of fleche's that fails: the signal names fleche as its sender. (Others that do were sent before
        // fleche was started, by the process that it was then, and wait for the command.)
        (SIGPIPE | SIGXFSZ, Origin::Process(sender)) if sender == around.own() => false,
        (_, Origin::Process(sender) | Origin::Queued(sender, _)) => !around.is_of_the_command(sender),
        (SIGHUP | SIGCONT, Origin::Kernel) => around.leads_session(),
        (SIGINT | SIGQUIT | SIGTSTP | SIGTTIN | SIGTTOU | SIGWINCH, Origin::Kernel) => false,
        // An alarm that was set before fleche was started rings for the command.
        (_, Origin::Kernel | Origin::Other) => true,
    }
}

/// Whether `process` is `ancestor` or descends from it, as far as `/proc` tells.
pub fn descends(process: i32, ancestor: i32) -> bool {
    /// Against a loop that cannot be: ids are reused while we walk.
    const DEPTH: usize = 1000;
    let mut process = process;
    for _ in 0..DEPTH {
        if process == ancestor {
            return true;
        }
        match process::glance(process) {
            Some((_, parent)) if parent > 0 => process = parent,
            _ => return false,
        }
    }
    false
}

/// Whether a process is stopped by a signal; `None` where `/proc` does not tell.
pub fn is_stopped(process: i32) -> Option<bool> {
    process::glance(process).map(|(state, _)| state == b'T')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Around {
        leader: bool,
    }

    impl Surroundings for Around {
        fn own(&self) -> i32 {
            10
        }
        fn leads_session(&self) -> bool {
            self.leader
        }
        fn is_of_the_command(&self, process: i32) -> bool {
            (20..30).contains(&process)
        }
    }

    fn passes(signal: i32, origin: Origin) -> bool {
        is_for_the_command(&Arrival { signal, origin }, &Around { leader: false })
    }

    #[test]
    fn strangers_are_heard_and_the_command_itself_is_not() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGPIPE, libc::SIGXCPU, 40] {
            assert!(passes(signal, Origin::Process(99)), "{signal}");
            assert!(passes(signal, Origin::Process(0)), "{signal}");
            assert!(passes(signal, Origin::Queued(99, 7)), "{signal}");
            assert!(!passes(signal, Origin::Process(25)), "{signal}");
        }
        assert!(!passes(libc::SIGCHLD, Origin::Process(99)));
    }

    #[test]
    fn failing_writes_of_fleche_are_its_own_business() {
        assert!(!passes(libc::SIGPIPE, Origin::Process(10)));
        assert!(!passes(libc::SIGXFSZ, Origin::Process(10)));
        assert!(passes(libc::SIGTERM, Origin::Process(10)));
    }

    #[test]
    fn what_the_terminal_tells_the_job_is_not_told_twice() {
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGHUP, libc::SIGWINCH, libc::SIGCONT] {
            assert!(!passes(signal, Origin::Kernel), "{signal}");
        }
        let hangup = Arrival { signal: libc::SIGHUP, origin: Origin::Kernel };
        assert!(is_for_the_command(&hangup, &Around { leader: true }));
    }

    #[test]
    fn alarms_of_the_caller_ring_for_the_command() {
        assert!(passes(libc::SIGALRM, Origin::Kernel));
        assert!(passes(libc::SIGALRM, Origin::Other));
        assert!(!passes(libc::SIGXCPU, Origin::Kernel));
    }

    #[test]
    fn descent_follows_the_parents() {
        let own = std::process::id() as i32;
        let parent = std::os::unix::process::parent_id() as i32;
        assert!(descends(own, own));
        assert!(descends(own, parent));
        assert!(!descends(parent, own));
        assert!(!descends(0, own));
        assert_eq!(is_stopped(own), Some(false));
    }
}
