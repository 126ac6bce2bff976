//! How the process began: arguments, environment and standard descriptors before anything touched them.
//!
//! fleche starts without Rust's runtime (`#![no_main]`): that would ignore SIGPIPE, open `/dev/null` in place of
//! closed descriptors 0 to 2 and set up a signal stack, and a command would inherit some of it.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::Write;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU16, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags, open};

use super::stack;

/// Makes a `fn(Vec<OsString>) -> i32` the program: it gets the arguments (the program's own name first) byte for
/// byte, and what it returns is the exit status. For a binary with `#![no_main]`.
#[macro_export]
macro_rules! entry_point {
    ($run:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(
            count: ::core::ffi::c_int,
            arguments: *const *const ::core::ffi::c_char,
        ) -> ::core::ffi::c_int {
            // SAFETY: the C library calls `main` with the argument vector of the process.
            unsafe { $crate::sys::entry::start(count, arguments, $run) }
        }
    };
}

/// The exit status of a defect of fleche itself.
const DEFECT: i32 = 125;

unsafe extern "C" {
    /// environ(7): as the process got it, as long as nobody calls setenv(3), which fleche never does.
    static environ: *const *const c_char;
}

/// What [`entry_point!`](crate::entry_point) expands to: runs `run` and ends the process with its status.
///
/// # Safety
/// `arguments` must point to `count` strings that live as long as the process, as those of C's `main` do.
pub unsafe fn start(count: c_int, arguments: *const *const c_char, run: fn(Vec<OsString>) -> i32) -> ! {
    keep_secret();
    let count = usize::try_from(count).unwrap_or(0);
    guard_standard_descriptors();
    share_heap();
    ARGUMENTS.store(arguments.cast_mut(), Ordering::Relaxed);
    COUNT.store(count, Ordering::Relaxed);
    let arguments = (0..count)
        // SAFETY: there are `count` pointers to strings by this function's contract.
        .map(|at| unsafe { CStr::from_ptr(*arguments.add(at)) })
        .map(|argument| OsString::from_vec(argument.to_bytes().to_vec()))
        .collect();
    // SAFETY: this is the beginning of the process.
    exit(unsafe { stack::on_firm(|| catch_unwind(|| run(arguments)).unwrap_or(DEFECT)) })
}

/// Lets all threads have the C library's first heap.
///
/// That of GNU gives each thread a heap of its own, for four system calls and 128 MiB of addresses. Where the kernel refuses
/// those, the thread gets nothing, though the first heap has room, and the process dies.
fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes numbers, and there is no other thread yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The variable that holds a secret, which no command is to see.
const SECRET: &[u8] = b"FLECHE_SIGNING_KEY=";
/// What it held.
static KEPT: OnceLock<OsString> = OnceLock::new();

/// Takes the secret out of the environment, which commands can look into by way of /proc.
fn keep_secret() {
    // SAFETY: as in `environment`; nobody has a reference into it yet, and there is no other thread. The kernel put it on the
    // process's own stack to be written to.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if let Some(value) = CStr::from_ptr(*entry).to_bytes().strip_prefix(SECRET) {
                // Where it is said twice the first one holds, as for getenv(3).
                let _ = KEPT.set(OsString::from_vec(value.to_vec()));
                let length = value.len();
                ptr::write_bytes((*entry).add(SECRET.len()).cast_mut(), 0, length);
            }
            entry = entry.add(1);
        }
    }
}

/// What FLECHE_SIGNING_KEY held when the process began: it is not in the environment any more.
pub fn signing_key() -> Option<&'static OsStr> {
    KEPT.get().map(OsString::as_os_str)
}

/// The argument vector of the process, where [`start`] was given one, and its length.
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Takes away what ps(1) shows of this process but its name: for a forked one, which shows its parent's arguments to everybody
/// for longer than the command, whose they are, shows its own. Allocates nothing and takes no locks.
pub(super) fn hide_arguments() {
    let arguments = ARGUMENTS.load(Ordering::Relaxed);
    if arguments.is_null() {
        return;
    }
    for at in 1..COUNT.load(Ordering::Relaxed) {
        // SAFETY: `start` was given as many strings, which the kernel put on the process's own stack to be written to. Nobody
        // reads them any more: what is used of them was copied, and a forked process has one thread.
        unsafe {
            let argument = (*arguments.add(at)).cast_mut();
            ptr::write_bytes(argument, 0, libc::strlen(argument));
        }
    }
}

/// Ends the process with `status` and nothing else: std's buffer for standard output is written out, no
/// `atexit` handler runs.
pub fn exit(status: i32) -> ! {
    let _ = std::io::stdout().flush();
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// The entries of the environment in order and byte for byte, duplicates and entries without `=` included.
pub fn environment() -> Vec<&'static OsStr> {
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or a vector of strings that a null pointer ends; it is never changed after `start`.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(OsStr::from_bytes(CStr::from_ptr(*entry).to_bytes()));
            entry = entry.add(1);
        }
    }
    entries
}

/// Whether the process has more rights than its caller (setuid, setgid, capabilities; getauxval(3)), so that
/// the environment must not be trusted.
pub fn is_secure() -> bool {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// How many descriptors are looked at when the process begins: those that a redirection of a shell can name, which
/// has room for one digit only.
const LOOKED_AT: RawFd = 10;

/// One bit for each of the first descriptors that was open.
static OPEN: AtomicU16 = AtomicU16::new(0b111);

/// Notes which of the first ten descriptors are open, and fills those of 0 to 2 that are closed, so that no file that
/// fleche opens becomes the command's input or output. What fills them is closed by `exec`: the command finds them
/// closed again. To be called before anything is opened; one system call where 0 to 2 are open.
pub fn guard_standard_descriptors() {
    let mut watches: [_; LOOKED_AT as usize] =
        std::array::from_fn(|number| libc::pollfd { fd: number as RawFd, events: 0, revents: 0 });
    // SAFETY: as many initialised pollfds as the length says.
    let polled = unsafe { libc::poll(watches.as_mut_ptr(), watches.len() as libc::nfds_t, 0) };
    let is_open = |watch: &libc::pollfd| match polled {
        // poll refuses to work where RLIMIT_NOFILE is below ten.
        // SAFETY: asks for the flags of a descriptor, which may be closed.
        ..0 => unsafe { libc::fcntl(watch.fd, libc::F_GETFD) != -1 },
        _ => watch.revents & libc::POLLNVAL == 0,
    };
    let open = watches.iter().filter(|watch| is_open(watch)).fold(0, |open, watch| open | 1 << watch.fd);
    OPEN.store(open, Ordering::Relaxed);
    (0..3).filter(|number| was_closed(*number)).for_each(fill);
}

/// How many of the first ten descriptors are open now. Not by poll(2), which takes one for closed that is only a place
/// (`O_PATH`), as the cache folder's.
pub(super) fn count_open() -> usize {
    // SAFETY: asks for the flags of a descriptor, which may be closed.
    (0..LOOKED_AT).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) != -1 }).count()
}

/// Whether `descriptor` was closed when the process began; known of the standard ones.
pub fn was_closed(descriptor: RawFd) -> bool {
    (0..3).contains(&descriptor) && OPEN.load(Ordering::Relaxed) & 1 << descriptor == 0
}

/// Those of the descriptors 3 to 9 that were open when the process began.
pub fn others() -> impl Iterator<Item = RawFd> {
    let open = OPEN.load(Ordering::Relaxed);
    (3..LOOKED_AT).filter(move |number| open & 1 << number != 0)
}

/// Opens something harmless; the kernel gives it the lowest free number, which is `descriptor`.
fn fill(descriptor: RawFd) {
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    // Without /dev (a bare container) the root folder does: it takes no bytes and gives none.
    let filler = null.or_else(|_| open(c"/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()));
    if let Ok(filler) = filler {
        use std::os::fd::IntoRawFd;
        let number = filler.into_raw_fd();
        debug_assert_eq!(number, descriptor);
    }
}

/// The descriptor of that number, which must be 0, 1 or 2: those stay open for as long as the process lives.
pub fn standard(number: Standard) -> BorrowedFd<'static> {
    // SAFETY: 0 to 2 are never closed once `guard_standard_descriptors` has run.
    unsafe { BorrowedFd::borrow_raw(number as RawFd) }
}

/// One of the three standard descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// Descriptor 0.
    Input = 0,
    /// Descriptor 1.
    Output = 1,
    /// Descriptor 2.
    Error = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_that_of_std() {
        let mut expected: Vec<OsString> = Vec::new();
        for (name, value) in std::env::vars_os() {
            let mut entry = name;
            entry.push("=");
            entry.push(value);
            expected.push(entry);
        }
        assert!(!expected.is_empty());
        let entries = environment();
        for entry in &expected {
            assert!(entries.contains(&entry.as_os_str()), "{entry:?}");
        }
    }

    #[test]
    fn a_test_runs_with_its_callers_rights_and_open_descriptors() {
        assert!(!is_secure());
        guard_standard_descriptors();
        assert!(!was_closed(1));
        assert!(!was_closed(7));
    }
}
