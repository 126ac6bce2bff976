//! Signals: what was inherited, what is held back, what is passed on.
//!
//! fleche never installs a handler. Until [`shield`] and [`hold`] are called, signals do to fleche what the
//! caller of fleche wanted them to do to the command.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

pub use libc::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGXCPU, SIGXFSZ,
};

/// Signals by number minus one; the kernel's `sigset_t`, which unlike the C library's keeps 32 and 33.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask(u64);

impl Mask {
    fn of(signal: i32) -> Mask {
        match signal {
            1..=64 => Mask(1 << (signal - 1)),
            _ => Mask(0),
        }
    }

    /// Makes it the mask of this thread. Async-signal-safe.
    pub(super) fn apply(self) {
        change_mask(libc::SIG_SETMASK, self);
    }
}

/// rt_sigprocmask(2); what was blocked before.
fn change_mask(how: libc::c_int, mask: Mask) -> Mask {
    let mut before = 0_u64;
    // SAFETY: two sets of 64 signals; the size says so.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask.0, &raw mut before, size_of::<u64>());
    }
    Mask(before)
}

/// What [`hold`] holds back: everything but SIGTTOU, which the kernel sends to the whole job when fleche writes
/// to a terminal that it must not write to, so that fleche stops as the command would. (The kernel ends a
/// process that faults even if it blocks the signal of the fault.)
fn held_back() -> Mask {
    Mask(!Mask::of(libc::SIGTTOU).0)
}

/// While it lives, signals to this thread wait to be read from an [`Inbox`].
pub struct Held {
    before: Mask,
}

/// Holds signals back from now on, in this thread and in those that it starts.
pub fn hold() -> Held {
    Held { before: change_mask(libc::SIG_SETMASK, held_back()) }
}

impl Held {
    /// What was blocked before, and is for the command.
    pub(super) fn before(&self) -> Mask {
        self.before
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.before.apply();
    }
}

/// Runs `start` with all signals blocked. A thread must be started so: one that does not block what the main
/// thread has to pass on to the command would take the signal, and fleche would die of it.
pub fn quietly<T>(start: impl FnOnce() -> T) -> T {
    let before = change_mask(libc::SIG_SETMASK, Mask(!0));
    let result = start();
    before.apply();
    result
}

/// Signals whose disposition fleche changes, with what it needs: writes that fail instead of killing, and
/// children that can be waited for. None of them does anything to the command, see [`restore`].
const SHIELDED: [(i32, libc::sighandler_t); 2] = [(libc::SIGPIPE, libc::SIG_IGN), (libc::SIGCHLD, libc::SIG_DFL)];

/// The dispositions of [`SHIELDED`] that were inherited.
static INHERITED: OnceLock<[libc::sighandler_t; 2]> = OnceLock::new();

/// From now on a reader that leaves and a file that grows too large are errors of `write`, not signals.
/// What was inherited is kept for the command. Calling it again does nothing.
pub fn shield() {
    shield_writes();
    INHERITED.get_or_init(|| SHIELDED.map(|(signal, wanted)| set_disposition(signal, wanted)));
}

/// The disposition of SIGXFSZ that was inherited, once [`shield_writes`] has changed it.
static INHERITED_SIZE: OnceLock<libc::sighandler_t> = OnceLock::new();

/// From now on a file that grows too large is an error of `write`: a limit that is meant for the command must not
/// end fleche while it writes to its store.
pub fn shield_writes() {
    INHERITED_SIZE.get_or_init(|| set_disposition(SIGXFSZ, libc::SIG_IGN));
}

/// Undoes [`shield`] in a process that is about to become the command. Async-signal-safe.
pub(super) fn restore() {
    if let Some(inherited) = INHERITED_SIZE.get().filter(|inherited| **inherited != libc::SIG_IGN) {
        set_disposition(SIGXFSZ, *inherited);
    }
    let Some(inherited) = INHERITED.get() else { return };
    for ((signal, shielded), inherited) in SHIELDED.into_iter().zip(*inherited) {
        if inherited != shielded {
            set_disposition(signal, inherited);
        }
    }
}

/// sigaction(2) without flags; what the disposition was before.
fn set_disposition(signal: i32, disposition: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: all-zero is a valid sigaction, and no handler but the kernel's own two is ever set.
    unsafe {
        let mut wanted: libc::sigaction = zeroed();
        wanted.sa_sigaction = disposition;
        let mut before: libc::sigaction = zeroed();
        match libc::sigaction(signal, &wanted, &mut before) {
            0 => before.sa_sigaction,
            _ => libc::SIG_DFL,
        }
    }
}

/// A signal that arrived while signals were held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which one.
    pub signal: i32,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a signal came from (`si_code`, see sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process sent it: kill(2), tgkill(2); its id, 0 if it lives outside this container.
    Process(i32),
    /// A process sent it together with a value: sigqueue(3).
    Queued(i32, u64),
    /// The kernel's doing: the terminal, a timer that the caller had set, a limit.
    Kernel,
    /// Something else: a POSIX timer, a message queue, the end of a child.
    Other,
}

/// From where held signals are read, see signalfd(2).
pub struct Inbox(OwnedFd);

impl Inbox {
    /// For the signals that [`hold`] holds back.
    pub fn open() -> io::Result<Inbox> {
        let mask = held_back().0;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: a set of 64 signals; the size says so.
        let opened = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), flags) };
        match opened {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: the kernel just gave us this descriptor.
            number => Ok(Inbox(unsafe { OwnedFd::from_raw_fd(number as i32) })),
        }
    }

    /// The next signal that waits, if there is one.
    pub fn next(&self) -> Option<Arrival> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut arrived = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        // SAFETY: room for one record; the kernel writes whole records only, and any bytes make one.
        let arrived = unsafe {
            match libc::read(self.0.as_raw_fd(), arrived.as_mut_ptr().cast(), SIZE) {
                read if read == SIZE as isize => arrived.assume_init(),
                _ => return None,
            }
        };
        let sender = arrived.ssi_pid as i32;
        let origin = match arrived.ssi_code {
            libc::SI_USER | libc::SI_TKILL => Origin::Process(sender),
            libc::SI_QUEUE => Origin::Queued(sender, arrived.ssi_ptr),
            libc::SI_KERNEL => Origin::Kernel,
            _ => Origin::Other,
        };
        Some(Arrival { signal: arrived.ssi_signo as i32, origin })
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` to a child that was not waited for yet, so that the id cannot be another's.
pub(super) fn send(child: i32, signal: i32) {
    // SAFETY: kill has no preconditions; failing means that nobody is there to be told.
    unsafe { libc::kill(child, signal) };
}

/// Sends `signal` with the value that it came with (sigqueue(3), which musl and the libc crate lack in part).
pub(super) fn send_value(child: i32, signal: i32, value: u64) {
    /// The kernel's `siginfo_t` for `SI_QUEUE` on 64-bit machines.
    #[repr(C)]
    struct Queued {
        signal: i32,
        errno: i32,
        code: i32,
        padding: i32,
        process: i32,
        user: u32,
        value: u64,
        rest: [u64; 12],
    }
    const { assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>()) };
    // SAFETY: getpid and getuid have no preconditions; the record is a whole siginfo_t.
    unsafe {
        let (process, user) = (libc::getpid(), libc::getuid());
        let info = Queued { signal, errno: 0, code: libc::SI_QUEUE, padding: 0, process, user, value, rest: [0; 12] };
        libc::syscall(libc::SYS_rt_sigqueueinfo, child, signal, &raw const info);
    }
}

/// Stops this process by `signal` as the kernel would; returns when it is continued, or at once where the
/// kernel lets nobody stop (an orphaned job).
pub fn stop_by(signal: i32) {
    let before = set_disposition(signal, libc::SIG_DFL);
    // SAFETY: signals this process.
    unsafe { libc::kill(libc::getpid(), signal) };
    change_mask(libc::SIG_UNBLOCK, Mask::of(signal)).apply();
    if before != libc::SIG_DFL {
        set_disposition(signal, before);
    }
}

/// Ends this process by `signal`, without a core file; returns only if the kernel does not let it (the first
/// process of a container).
pub(super) fn die_of(signal: i32) {
    let nothing = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // Not by libc, which keeps signals 32 and 33 for its threads and may have set handlers: SIG_DFL, no flags, no mask.
    let default = [0_u64; 4];
    // SAFETY: changes dispositions and limits of and signals only this process, which ends here. Not dumpable: a core pattern
    // that is a pipe gets a core in spite of the limit.
    unsafe {
        let former = std::ptr::null_mut::<u64>();
        libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), former, size_of::<u64>());
        libc::setrlimit(libc::RLIMIT_CORE, &nothing);
        libc::prctl(libc::PR_SET_DUMPABLE, 0 as libc::c_ulong, 0, 0, 0);
        libc::kill(libc::getpid(), signal);
    }
    change_mask(libc::SIG_UNBLOCK, Mask::of(signal));
}

/// For tests that look at this thread's mask.
#[cfg(test)]
fn current_mask() -> Mask {
    let mut current = 0_u64;
    // SAFETY: reads the mask without changing it.
    unsafe {
        let nothing = std::ptr::null::<u64>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, nothing, &raw mut current, size_of::<u64>());
    }
    Mask(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a signal to this thread alone, so that other tests do not see it.
    fn send_to_this_thread(signal: i32) {
        // SAFETY: the signal is blocked by the caller.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
    }

    #[test]
    fn held_signals_are_read_in_place_of_killing() {
        let before = current_mask();
        let held = hold();
        assert_eq!(held.before(), before);
        let inbox = Inbox::open().unwrap();
        assert_eq!(inbox.next(), None);
        send_to_this_thread(libc::SIGTERM);
        let own = std::process::id() as i32;
        assert_eq!(inbox.next(), Some(Arrival { signal: libc::SIGTERM, origin: Origin::Process(own) }));
        assert_eq!(inbox.next(), None);
        drop(held);
        assert_eq!(current_mask(), before);
    }

    #[test]
    fn threads_that_are_started_quietly_block_everything() {
        let before = current_mask();
        let inside = quietly(|| std::thread::spawn(current_mask)).join().unwrap();
        // SIGKILL and SIGSTOP cannot be blocked, and the C library keeps 32 and 33 for itself.
        let others = [libc::SIGKILL, libc::SIGSTOP, 32, 33].map(|signal| Mask::of(signal).0);
        assert_eq!(others.iter().fold(inside.0, |all, other| all | other), !0);
        assert_eq!(current_mask(), before);
    }

    #[test]
    fn numbers_that_are_no_signals_have_no_bit() {
        assert_eq!(Mask::of(1), Mask(1));
        assert_eq!(Mask::of(64), Mask(1 << 63));
        assert_eq!((Mask::of(0), Mask::of(65)), (Mask(0), Mask(0)));
    }
}
