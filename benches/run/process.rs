//! Starting processes with as little of our own as possible, and what the kernel says of them afterwards.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libc::c_char;

/// Stands in a word for a number that never comes twice.
pub const FRESH: &str = "{n}";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Lets `^C` end the benchmark in order, so that its folder is removed.
pub fn note_interrupts() {
    extern "C" fn note(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, note as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// Keeps what was left open to the benchmark from what it starts: fleche looks at what it inherits.
pub fn close_the_rest_on_exec() {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: changes flags; where the kernel cannot, the descriptors are inherited.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// Whether somebody wants the benchmark to end.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A number that never came before.
pub fn fresh_number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// C strings and the array of pointers to them that `execve(2)` wants.
pub struct Strings {
    _held: Vec<CString>,
    pointers: Vec<*mut c_char>,
}

impl Strings {
    /// Words as they are, but for [`FRESH`].
    pub fn new(words: &[OsString]) -> io::Result<Strings> {
        let held = words.iter().map(fresh).collect::<io::Result<Vec<CString>>>()?;
        let pointers = held.iter().map(|word| word.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect();
        Ok(Strings { _held: held, pointers })
    }
}

fn fresh(word: &OsString) -> io::Result<CString> {
    let mut bytes = word.clone().into_vec();
    if let Some(at) = memchr::memmem::find(&bytes, FRESH.as_bytes()) {
        bytes.splice(at..at + FRESH.len(), fresh_number().to_string().into_bytes());
    }
    Ok(CString::new(bytes)?)
}

/// Where the standard streams of a process lead.
#[derive(Clone, Copy)]
pub struct Streams<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
}

/// A process that has ended.
pub struct Ended {
    pub pid: i32,
    /// As `wait(2)` gives it; 0 is success.
    pub status: i32,
    /// Peak resident memory in bytes, of it and its own children. At least what this process had when it started it.
    pub peak: u64,
    /// What it took of the processors, its own children included.
    pub processor: Duration,
}

/// Starts a program by its path.
pub fn start(argv: &Strings, environment: &Strings, streams: Streams) -> io::Result<i32> {
    let mut actions = Actions::new()?;
    for (number, stream) in [streams.stdin, streams.stdout, streams.stderr].into_iter().enumerate() {
        actions.duplicate(stream, number as i32)?;
    }
    let attributes = Attributes::new()?;
    let mut pid = 0;
    // SAFETY: both arrays end with a null pointer and outlive the call, as do actions and attributes.
    let error = unsafe {
        libc::posix_spawn(
            &mut pid,
            argv.pointers[0],
            &actions.0,
            &attributes.0,
            argv.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        )
    };
    checked(error).map(|()| pid)
}

/// Waits for one process, or for any with -1.
pub fn wait(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to variables of the right type.
        let ended = unsafe { libc::wait4(pid, &mut status, 0, &mut usage) };
        if ended >= 0 {
            let processor = duration(usage.ru_utime) + duration(usage.ru_stime);
            return Ok(Ended { pid: ended, status, peak: usage.ru_maxrss as u64 * 1024, processor });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Actions> {
        // SAFETY: all zeroes is a valid bit pattern, and the call initialises it.
        unsafe {
            let mut actions = std::mem::zeroed();
            checked(libc::posix_spawn_file_actions_init(&mut actions)).map(|()| Actions(actions))
        }
    }

    fn duplicate(&mut self, from: BorrowedFd, to: i32) -> io::Result<()> {
        // SAFETY: the actions are initialised.
        checked(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from.as_raw_fd(), to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: the actions are initialised and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// `SIGPIPE` as a shell's children have it: Rust's runtime ignores it, and that would be inherited.
    fn new() -> io::Result<Attributes> {
        // SAFETY: all zeroes are valid bit patterns, and the calls initialise both.
        unsafe {
            let (mut attributes, mut signals) = (std::mem::zeroed(), std::mem::zeroed());
            checked(libc::posix_spawnattr_init(&mut attributes))?;
            libc::sigemptyset(&mut signals);
            libc::sigaddset(&mut signals, libc::SIGPIPE);
            checked(libc::posix_spawnattr_setsigdefault(&mut attributes, &signals))?;
            checked(libc::posix_spawnattr_setflags(&mut attributes, libc::POSIX_SPAWN_SETSIGDEF as libc::c_short))?;
            Ok(Attributes(attributes))
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the attributes are initialised and not used again.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

fn checked(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
