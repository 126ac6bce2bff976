//! Processes that outlive fleche, and fleche's own end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Resource, Signal, getpid, getppid, getrlimit, getuid, pidfd_open};

use super::child::Status;
use super::{clock, descriptor, entry, signal};

/// How often it is looked whether a program has answered.
const PAUSE: Duration = Duration::from_millis(1);
/// Programs that are asked something answer at most so many bytes.
const ANSWER: usize = 1 << 20;
/// Of what a program says of its failure so many characters are told.
const LONGEST_REASON: usize = 200;

/// Ends this process as a command ended: with its code, or by its signal (128 and the signal's number where
/// that cannot be).
pub fn end_like(status: Status) -> ! {
    match status {
        Status::Exited(code) => entry::exit(i32::from(code)),
        Status::Signalled(number) => {
            let _ = io::Write::flush(&mut io::stdout());
            signal::die_of(number);
            entry::exit(128 + number)
        }
    }
}

/// Has the kernel kill what `command` starts when this thread ends, however it ends.
pub fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before it was tied to it.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: two system calls, which are async-signal-safe; nothing is allocated.
    unsafe { command.pre_exec(tie) };
}

/// Runs `work` in a process of its own session that nobody waits for, neither fleche nor its caller. What
/// `prepare` gives up is given up when this returns. In a process with other threads, neither must allocate or
/// take locks. Fails if no process can be made.
pub fn orphan(prepare: impl FnOnce(), work: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the child goes on in `leave` and never returns.
    let middle = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => leave(prepare, work),
        id => id,
    };
    let mut status = 0;
    // SAFETY: waits for the child that was just made. Where the caller ignores SIGCHLD that fails once the
    // child is gone, which is as good.
    while unsafe { libc::waitpid(middle, &mut status, 0) } == -1 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Ok(());
        }
    }
    match status {
        0 => Ok(()),
        _ => Err(io::Error::other("no process can be started")),
    }
}

/// What a program answers on its standard output to `input`, at most a mebibyte; `line` is one of the shell's.
///
/// # Errors
///
/// Where it cannot be started, fails, of which its last line on standard error is told, or is not done within `time`: then it
/// is killed.
pub fn ask(line: &str, input: &[u8], time: Duration) -> io::Result<Vec<u8>> {
    // No pipe: whoever does not read it to the end would have us killed.
    let mut question = tempfile::tempfile()?;
    question.write_all(input)?;
    question.rewind()?;
    // Among what the command says, for which it is asked, it would be taken for that.
    let mut aside = tempfile::tempfile()?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).stdin(question).stdout(Stdio::piped()).stderr(aside.try_clone()?);
    die_with_parent(&mut command);
    // Whatever it starts can be ended with it.
    let mut child = command.process_group(0).spawn()?;
    let end = clock::monotonic().saturating_add(clock::nanoseconds(time));
    let answer = answer_of(&mut child, end, &mut aside);
    if answer.is_err() && matches!(child.try_wait(), Ok(None)) {
        // SAFETY: signals the group of a child that was not waited for, so that the number is its.
        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
        let _ = child.wait();
    }
    answer
}

/// What it has printed when it has ended, whoever of those that it started still could.
fn answer_of(child: &mut std::process::Child, end: u64, aside: &mut File) -> io::Result<Vec<u8>> {
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    let (mut answer, mut is_whole) = (Vec::new(), false);
    loop {
        let status = child.try_wait()?;
        let mut chunk = [0; 4096];
        while !is_whole {
            match stdout.read(&mut chunk) {
                Ok(read) => {
                    is_whole = read == 0;
                    answer.extend_from_slice(&chunk[..read]);
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
            if answer.len() > ANSWER {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        match status {
            Some(status) if status.success() => return Ok(answer),
            Some(_) => {
                return Err(io::Error::other(
                    last_line(aside).map_or("it failed".to_owned(), |why| format!("it failed: {why}")),
                ));
            }
            None if clock::monotonic() >= end => return Err(io::ErrorKind::TimedOut.into()),
            None => clock::pause(PAUSE),
        }
    }
}

/// The last thing that was said in a file, without what steers a terminal.
fn last_line(file: &mut File) -> Option<String> {
    let length = file.metadata().ok()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(4 * LONGEST_REASON as u64))).ok()?;
    let mut end = Vec::new();
    file.take(4 * LONGEST_REASON as u64).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let last = end.lines().rfind(|line| !line.trim().is_empty())?;
    Some(last.trim().chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect())
}

/// A child of this process that works beside it, in a session of its own, and outlives it if need be.
pub struct Companion(i32);

impl Companion {
    /// Starts one that runs `work` with nothing but the descriptors in `keep`, see [`keep_only`]. In a process with other
    /// threads, `work` must not allocate or take locks. Fails if no process can be made.
    pub fn start(keep: &mut [RawFd], work: impl FnOnce()) -> io::Result<Companion> {
        // SAFETY: the child ends here and never returns to what fleche was doing.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let done = catch_unwind(AssertUnwindSafe(|| {
                    // SAFETY: changes this process only.
                    unsafe { libc::setsid() };
                    entry::hide_arguments();
                    keep_only(keep);
                    work();
                }));
                // SAFETY: ends the process without running anything of the parent's.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            id => Ok(Companion(id)),
        }
    }

    /// Ends it, and waits until it has ended, so that nobody is left to do so: not every first process collects orphans.
    pub fn end(self) {
        signal::send(self.0, libc::SIGKILL);
        // SAFETY: waits for a child of ours. Where SIGCHLD is ignored that fails once it is gone, which is as good.
        while unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) } == -1 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }
}

/// Whether the user may have so many more processes and threads, as far as can be told: only a limit that is low is looked into.
pub fn has_room_for(more: u64) -> bool {
    const LOW: u64 = 1024;
    match getrlimit(Resource::Nproc).current {
        // Nobody counts root's.
        Some(most) if most <= LOW && !getuid().is_root() => threads_of_user() + more <= most,
        _ => true,
    }
}

/// How many threads the user has, as far as `/proc` tells.
fn threads_of_user() -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let threads = |process: std::fs::DirEntry| {
        let found = std::fs::metadata(process.path().join("task")).ok()?;
        // Each is a folder there, and two more names are that folder's own.
        (found.uid() == getuid().as_raw()).then(|| found.nlink().saturating_sub(2))
    };
    processes.filter_map(|process| threads(process.ok()?)).sum()
}

/// As long as it lives this process is the parent of all that is left of what its children started, so that it can tell
/// whether something is.
pub struct Adoption(());

impl Adoption {
    /// Begins it; fails where the kernel knows nothing of it.
    pub fn begin() -> io::Result<Adoption> {
        // SAFETY: takes a number, no address.
        match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
            0 => Ok(Adoption(())),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Collects the children that have ended; whether others live. To be asked when nobody else waits for one.
    pub fn has_children(&self) -> bool {
        loop {
            // SAFETY: waits for children of this process only.
            match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
                0 => return true,
                -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => return false,
                _ => {}
            }
        }
    }
}

impl Drop for Adoption {
    fn drop(&mut self) {
        // SAFETY: takes a number, no address.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) };
    }
}

/// Runs `work` when this process has ended, whatever program it is by then: in another, which has nothing of the caller's.
/// Fails if no process can be made, and where the kernel (before 5.3) has no way to wait for one that is no child.
pub fn afterwards(work: impl FnOnce()) -> io::Result<()> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let wait_and_work = || {
        // The caller's folder is not to be kept from being unmounted.
        let _ = std::env::set_current_dir("/");
        loop {
            match poll(&mut [PollFd::new(&own, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                Err(_) => return,
                Ok(_) => return work(),
            }
        }
    };
    orphan(|| let_go_of_caller(None), wait_and_work)
}

/// The process between: leaves the session, makes the one that works, and ends.
fn leave(prepare: impl FnOnce(), work: impl FnOnce()) -> ! {
    let done = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: neither process returns to what fleche was doing.
        unsafe {
            libc::setsid();
            entry::hide_arguments();
            prepare();
            match libc::fork() {
                -1 => libc::_exit(1),
                0 => work(),
                _ => {}
            }
        }
    }));
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(i32::from(done.is_err())) }
}

/// Gives up everything but `keep`, the working directory included: for a process that only copies bytes.
/// Whoever believes to own another descriptor must not use it any more.
pub fn keep_only(keep: &mut [RawFd]) {
    descriptor::close_all_but(keep);
    // SAFETY: changes this process only.
    unsafe { libc::chdir(c"/".as_ptr()) };
}

/// Gives up the caller's descriptors: `stdin` or `/dev/null` takes the place of 0, `/dev/null` those of 1 and 2, the
/// others that a program would inherit are closed. What was closed when the process began stays so for a command that
/// it starts. fleche's own, which are CLOEXEC, stay.
pub fn let_go_of_caller(stdin: Option<BorrowedFd>) {
    descriptor::close_inherited();
    let Ok(null) = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else { return };
    let places = [stdin.unwrap_or(null.as_fd()), null.as_fd(), null.as_fd()];
    for (number, file) in (0..3).zip(places).filter(|(number, _)| !entry::was_closed(*number)) {
        // SAFETY: 0 to 2 belong to nobody in particular.
        unsafe { libc::dup2(file.as_raw_fd(), number) };
    }
}

/// The state letter and the parent of a process, see proc_pid_stat(5).
pub fn glance(id: i32) -> Option<(u8, i32)> {
    let stat = std::fs::read(OsStr::new(&format!("/proc/{id}/stat"))).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let rest = &stat[memchr::memrchr(b')', &stat)? + 1..];
    let mut words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let state = *words.next()?.first()?;
    let parent = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    Some((state, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_tells_state_and_parent() {
        let (state, parent) = glance(std::process::id() as i32).unwrap();
        assert!(b"RSD".contains(&state));
        assert_eq!(parent, std::os::unix::process::parent_id() as i32);
        assert_eq!(glance(-5), None);
    }

    #[test]
    fn a_program_is_asked_and_not_waited_for_without_end() {
        let asked = |line: &str, time| ask(line, b"question", time).map_err(|why| why.kind());
        let long = Duration::from_secs(60);
        assert_eq!(asked("cat; echo !", long), Ok(b"question!\n".to_vec()));
        assert_eq!(asked("exit 3", long), Err(io::ErrorKind::Other));
        assert_eq!(asked("yes", long), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(asked("exec sleep 1000", Duration::from_millis(20)), Err(io::ErrorKind::TimedOut));
        let brief = Duration::from_millis(50);
        let told = |line: &str| ask(line, b"", long).map_err(|why| why.to_string());
        assert_eq!(told("echo aside >&2; echo answer"), Ok(b"answer\n".to_vec()));
        assert_eq!(told("exit 1"), Err("it failed".to_owned()));
        assert_eq!(told("printf 'one\\n\\033[2Jtwo\\r\\n\\n' >&2; exit 1"), Err("it failed: [2Jtwo".to_owned()));
        let long_line = told("printf 'x%.0s' $(seq 5000) >&2; exit 1").unwrap_err();
        assert_eq!(long_line, format!("it failed: {}", "x".repeat(LONGEST_REASON)));
        assert_eq!(asked("exec >&-; exec sleep 1000", brief), Err(io::ErrorKind::TimedOut), "nothing more to come");
        assert_eq!(asked("sleep 2 & echo answer", long), Ok(b"answer\n".to_vec()), "somebody else lives on");
        for _ in 0..50 {
            assert_eq!(asked("exit 0", long), Ok(Vec::new()), "who does not read the question harms nobody");
        }
    }

    #[test]
    fn an_orphan_works_in_a_session_of_its_own() {
        use std::io::Read;
        let (mut reader, writer) = io::pipe().unwrap();
        let number = writer.as_raw_fd();
        // SAFETY: asks for a number.
        let session = unsafe { libc::getsid(0) };
        let work = || {
            // SAFETY: the pipe is open in this copy of the process as well; nothing here allocates or locks,
            // for other tests run in other threads.
            unsafe {
                let answer = [libc::getsid(0) != session, libc::fcntl(0, libc::F_GETFD) == -1].map(u8::from);
                libc::write(number, answer.as_ptr().cast(), answer.len());
            }
        };
        orphan(|| keep_only(&mut [number]), work).unwrap();
        drop(writer);
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [1, 1]);
    }
}
