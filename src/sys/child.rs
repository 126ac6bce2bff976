//! A child process: started, watched, collected.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::confinement::Refusal;
use super::image::{Image, Standards, Surroundings, numbers, place};
use super::seccomp::{self, Filter, Listener};
use super::signal::{self, Held, Mask};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// This signal killed it.
    Signalled(i32),
}

/// A process that was started.
pub struct Child<'a> {
    id: i32,
    /// Whether its end was seen: from then on the id may be another's.
    ended: Cell<bool>,
    handle: Option<OwnedFd>,
    start: Rc<Start<'a>>,
    _stack: Stack,
}

/// What a child needs until it is the program.
struct Start<'a> {
    image: &'a Image,
    standards: [Option<RawFd>; 3],
    mask: Mask,
    parent: i32,
    /// What sorts its system calls.
    filter: Option<&'a Filter>,
    /// [`UNKNOWN`], then the number of the filter's listener or the negative number of the error: written by the child.
    listener: AtomicI32,
    /// Zero, or why it could not become the program: written by the child, read when it has ended.
    failure: AtomicI32,
    /// Zero once it is where it is to be executed; before that one more than the number of the step at which that failed, or
    /// of the first.
    stuck: AtomicI32,
}

/// What [`Start::listener`] is before the child has said what it is.
const UNKNOWN: i32 = i32::MIN;
/// What it is when the child ends without having become the program, for it could not be told apart from fleche.
const GIVEN_UP: i32 = i32::MIN + 1;

/// Room for the few calls that a child makes; aligned as every machine wants it.
type Stack = Vec<u128>;
const STACK: usize = 32 * 1024 / size_of::<u128>();

/// What became of a child.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It is gone, and its id is free.
    Ended(Ending),
    /// A signal stopped it.
    Stopped(i32),
}

/// How a child ended and what it took, its own waited-for children included.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Its exit code or signal; `None` if somebody else collected it.
    pub status: Option<Status>,
    /// User CPU time in nanoseconds.
    pub user_time: u64,
    /// System CPU time in nanoseconds.
    pub system_time: u64,
    /// Peak resident memory in bytes.
    pub peak_memory: u64,
}

impl Child<'_> {
    /// Its process id.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Readable once it has ended; `None` before Linux 5.3. A second road beside SIGCHLD, which a thread that
    /// does not hold it back can swallow.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_ref().map(OwnedFd::as_fd)
    }

    /// Waits until it has ended, but not longer than so many milliseconds.
    pub fn wait_briefly(&self, milliseconds: i64) {
        let Some(handle) = self.handle() else { return };
        let time = Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        // Interrupted is as good as too long.
        let _ = poll(&mut [PollFd::from_borrowed_fd(handle, PollFlags::IN)], Some(&time));
    }

    /// What became of it since the last call, without waiting.
    pub fn change(&self) -> io::Result<Option<Change>> {
        let change = wait4(self.id, libc::WNOHANG | libc::WUNTRACED);
        match &change {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) | Ok(Some(Change::Ended(_))) => self.ended.set(true),
            Ok(_) => {}
        }
        change
    }

    /// Sends it a signal, if it is still there.
    pub fn send(&self, number: i32) {
        if !self.ended.get() {
            signal::send(self.id, number);
        }
    }

    /// Sends it a signal with the value that it came with, if it is still there.
    pub fn send_value(&self, number: i32, value: u64) {
        if !self.ended.get() {
            signal::send_value(self.id, number, value);
        }
    }

    /// Waits until the child has said where its filter's listener is, or why there is none. An error of the outer kind means
    /// that the child will never be the program.
    fn listener(&self) -> io::Result<io::Result<Listener>> {
        // The child may be killed before it says anything.
        let patience = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let place = &self.start.listener;
        while place.load(Ordering::Acquire) == UNKNOWN {
            let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: waits for a word of ours, no longer than the given time.
            unsafe { libc::syscall(libc::SYS_futex, place.as_ptr(), wait, UNKNOWN, &raw const patience) };
            if place.load(Ordering::Acquire) == UNKNOWN && self.has_ended() {
                return Err(io::Error::other("a filter of the caller's does not let it be"));
            }
        }
        match place.load(Ordering::Acquire) {
            // SAFETY: the kernel gave the number out in the table that was both processes', and nobody else knows it.
            number @ 0.. => Ok(Ok(Listener::of(unsafe { OwnedFd::from_raw_fd(number) }))),
            GIVEN_UP => Err(self.start_error().unwrap_or_else(|| io::ErrorKind::Other.into())),
            errno => Ok(Err(io::Error::from_raw_os_error(-errno))),
        }
    }

    /// Whether it is gone; its end is still to be collected.
    fn has_ended(&self) -> bool {
        // SAFETY: all-zero is a valid siginfo, and the place is ours.
        unsafe {
            let mut place: libc::siginfo_t = zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.id as libc::id_t, &mut place, options) != 0 || place.si_signo != 0
        }
    }

    /// Why it could not become the program, if it could not; to be asked when it has ended.
    pub fn start_error(&self) -> Option<io::Error> {
        match self.start.failure.load(Ordering::Acquire) {
            0 => None,
            errno => Some(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Why it could not go to where it is to be executed, if that is why it did not become the program.
    pub fn refusal(&self) -> Option<Refusal> {
        let step = usize::try_from(self.start.stuck.load(Ordering::Acquire)).ok()?.checked_sub(1)?;
        let errno = match self.start.failure.load(Ordering::Acquire) {
            // It was killed on its way.
            0 => libc::EPERM,
            errno => errno,
        };
        Some(match self.start.image.surroundings() {
            Surroundings::Confined(confinement) => confinement.refusal(step, errno),
            _ => {
                Refusal { what: "a working directory of its own".to_owned(), why: io::Error::from_raw_os_error(errno) }
            }
        })
    }
}

impl Drop for Child<'_> {
    /// The child may still stand on our memory: it must not outlive it. (Only when fleche itself fails is a
    /// child dropped that has not ended; it would die with fleche in any case.)
    fn drop(&mut self) {
        self.send(libc::SIGKILL);
        while !self.ended.get() {
            match wait4(self.id, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => self.ended.set(true),
            }
        }
    }
}

/// Starts the program as a child that dies when this thread does. It gets the dispositions and the mask that
/// fleche inherited, and of fleche's descriptors only `standards`: all others are CLOEXEC. Whether it became the
/// program is known when it has ended, see [`Child::start_error`].
///
/// The child uses fleche's memory, on a stack of its own, until it is the program: nothing is copied, which makes
/// it cheaper than fork by a tenth of starting `/bin/true`. Unlike after vfork, fleche does not wait for it: if
/// the terminal stops the child before it is the program, fleche can stop too.
pub fn spawn<'a>(image: &'a Image, standards: &Standards, held: &Held) -> io::Result<Child<'a>> {
    start(image, standards, held, None)
}

/// The same with a filter that the program and all that it starts live under: each call that it names waits until whoever
/// has the listener answers, the one by which the child becomes the program among them. Where no filter can be installed the
/// child becomes the program all the same, and the second answer says why; where a filter that fleche itself lives under is in
/// the way of that, killing the child if it likes, another child does, for the first has done nothing yet.
pub fn spawn_filtered<'a>(
    image: &'a Image,
    standards: &Standards,
    held: &Held,
    filter: &'a Filter,
) -> io::Result<(Child<'a>, io::Result<Listener>)> {
    let child = start(image, standards, held, Some(filter))?;
    match child.listener() {
        Ok(listener) => Ok((child, listener)),
        Err(error) => {
            drop(child);
            Ok((start(image, standards, held, None)?, Err(error)))
        }
    }
}

fn start<'a>(
    image: &'a Image,
    standards: &Standards,
    held: &Held,
    filter: Option<&'a Filter>,
) -> io::Result<Child<'a>> {
    let mask = held.before();
    // SAFETY: getpid has no preconditions.
    let parent = unsafe { libc::getpid() };
    let standards = numbers(standards);
    let is_there = matches!(image.surroundings(), Surroundings::Here);
    let [failure, stuck] = [0, if is_there { 0 } else { 1 }].map(AtomicI32::new);
    let listener = AtomicI32::new(UNKNOWN);
    let start = Rc::new(Start { image, standards, mask, parent, filter, listener, failure, stuck });
    let mut stack = Stack::with_capacity(STACK);
    // SAFETY: stack and start live in the Child, which does not end before the process does. All signals are
    // held back, and no handler is ever installed, so nothing but `become_program` runs on the stack. What that
    // calls touches no memory but its stack, the start, and `errno` in calls that do not fail.
    let id = unsafe {
        let top = stack.as_mut_ptr().add(STACK);
        // The listener that the filter's installation makes is to be in this process's table as well.
        let files = if filter.is_some() { libc::CLONE_FILES } else { 0 };
        let flags = libc::CLONE_VM | files | libc::SIGCHLD;
        libc::clone(become_program, top.cast(), flags, Rc::as_ptr(&start) as *mut c_void)
    };
    match id {
        -1 => Err(io::Error::last_os_error()),
        id => Ok(Child { id, ended: Cell::new(false), handle: handle(id), start, _stack: stack }),
    }
}

fn handle(id: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
}

/// The child's side of [`spawn`].
extern "C" fn become_program(start: *mut c_void) -> i32 {
    // SAFETY: `spawn` passes a Start that lives as long as this process is not the program.
    let start = unsafe { &*start.cast::<Start>() };
    if let Err((step, errno)) = start.image.surroundings().enter() {
        start.failure.store(errno, Ordering::Release);
        start.stuck.store(step as i32 + 1, Ordering::Release);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }
    start.stuck.store(0, Ordering::Release);
    // SAFETY: asks to die with the parent, not before the child has the rights that it keeps, for a change of them takes that
    // back; the parent may have died just before, and 0 is a parent in another process name space (`unshare --pid` without
    // `--fork`).
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0);
        let now = libc::getppid();
        if now != start.parent && now != 0 {
            libc::_exit(0);
        }
    }
    let unshared = start.filter.map_or(0, |filter| submit(filter, start));
    let errno = match if unshared == 0 { place(&start.standards) } else { unshared } {
        0 => {
            signal::restore();
            start.mask.apply();
            start.image.execute()
        }
        errno => errno,
    };
    start.failure.store(errno, Ordering::Release);
    // SAFETY: ends the child without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Installs the filter in the child, and tells the parent of its listener; the error number if the table of descriptors cannot
/// be made the child's own. Only then is the parent told: from there on it closes what it has for the child.
fn submit(filter: &Filter, start: &Start) -> i32 {
    try_to_read();
    let listener = seccomp::install(filter).unwrap_or_else(|errno| -errno);
    // SAFETY: takes a copy of the table.
    let unshared = unsafe { seccomp::call(libc::SYS_unshare, [libc::CLONE_FILES as usize, 0, 0, 0, 0]) };
    if unshared != 0 {
        if let Ok(number) = usize::try_from(listener) {
            // SAFETY: it was made just now in the table that is still the parent's as well, and nobody else knows it.
            unsafe { seccomp::call(libc::SYS_close, [number, 0, 0, 0, 0]) };
        }
        start.failure.store(-unshared as i32, Ordering::Release);
    }
    start.listener.store(if unshared == 0 { listener } else { GIVEN_UP }, Ordering::Release);
    let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: wakes whoever waits for a word that lives as long as the child is not the program.
    unsafe { seccomp::call(libc::SYS_futex, [start.listener.as_ptr() as usize, wake, 1, 0, 0]) };
    -unshared as i32
}

/// Asks to read another process's memory, as the watcher will: a filter that kills who does that is to kill the child, which
/// has done nothing yet, and not the watcher, for whose answer the command would wait for ever.
fn try_to_read() {
    // SAFETY: nothing is to be read, and nothing written.
    unsafe { seccomp::call(libc::SYS_process_vm_readv, [0; 5]) };
}

fn wait4(id: i32, options: libc::c_int) -> io::Result<Option<Change>> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage, and both places are ours.
    let (answer, usage) = unsafe {
        let mut usage: libc::rusage = zeroed();
        (libc::wait4(id, &mut status, options, &mut usage), usage)
    };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ if libc::WIFSTOPPED(status) => Ok(Some(Change::Stopped(libc::WSTOPSIG(status)))),
        _ => Ok(Some(Change::Ended(Ending {
            status: Some(match libc::WIFSIGNALED(status) {
                true => Status::Signalled(libc::WTERMSIG(status)),
                false => Status::Exited(libc::WEXITSTATUS(status) as u8),
            }),
            user_time: nanoseconds(usage.ru_utime),
            system_time: nanoseconds(usage.ru_stime),
            // Linux counts KiB.
            peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
        }))),
    }
}

fn nanoseconds(time: libc::timeval) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000
}

#[cfg(test)]
mod tests {
    use super::super::descriptor;
    use super::*;
    use std::ffi::OsString;
    use std::path::Path;

    fn image(script: &str) -> Image {
        let argv = ["sh", "-c", script].map(OsString::from);
        Image::new(Path::new("/bin/sh"), &argv, &["A=1".into(), "A=2".into(), "odd".into()]).unwrap()
    }

    /// Waits for a child by its handle.
    fn end(child: &Child) -> Ending {
        let mut watch = [descriptor::Watch::readable(child.handle().unwrap())];
        loop {
            descriptor::wait(&mut watch).unwrap();
            if let Some(Change::Ended(ending)) = child.change().unwrap() {
                return ending;
            }
        }
    }

    fn run<'a>(image: &'a Image, standards: &Standards) -> (Child<'a>, Ending) {
        let held = signal::hold();
        let child = spawn(image, standards, &held).unwrap();
        let ending = end(&child);
        (child, ending)
    }

    #[test]
    fn codes_and_signals_are_told_apart() {
        assert_eq!(run(&image("exit 255"), &[None; 3]).1.status, Some(Status::Exited(255)));
        assert_eq!(run(&image("kill -KILL $$"), &[None; 3]).1.status, Some(Status::Signalled(9)));
    }

    #[test]
    fn costs_are_measured() {
        let busy = image("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
        let (child, ending) = run(&busy, &[None; 3]);
        assert!(child.start_error().is_none());
        assert!(ending.user_time > 0 && ending.peak_memory > 100_000, "{ending:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_reported() {
        let missing = Image::new(Path::new("/nonexistent/program"), &["p".into()], &[]).unwrap();
        let (child, _) = run(&missing, &[None; 3]);
        assert_eq!(child.start_error().unwrap().raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn a_script_without_an_interpreter_runs_in_the_shell() {
        use std::io::{Read, Seek};
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        // Written by a child: a writable descriptor that a neighbouring test's fork copies would make the
        // kernel refuse to execute the file.
        let write = format!("echo 'echo \"$0|$1|$A\"' > '{}'", script.display());
        run(&image(&write), &[None; 3]);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = tempfile::tempfile().unwrap();
        let image = Image::new(&script, &["name".into(), "one".into()], &["A=1".into()]).unwrap();
        let (child, ending) = run(&image, &[None, Some(output.as_fd()), None]);
        assert!(child.start_error().is_none());
        assert_eq!(ending.status, Some(Status::Exited(0)));
        let (mut text, mut output) = (String::new(), output);
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("{}|one|1\n", script.display()));
    }
}
