//! Runs fleche one system call after the other, and lets one of them fail.
//!
//! A small ptrace(2) program of its own: strace(1) takes 20 ms a step, counts what the command does together with what fleche
//! does, and cannot tell a file of the cache from another one. Threads are followed, and forked processes until they execute a
//! program: then they are the command, which is never touched. A command that fleche watches by itself can be swept, too,
//! for it is not traced.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

use crate::calls::{Flags, Ground, Kind, Met, Shape};
use crate::registers::{self, Stop};

/// What only a hang reaches.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// Its process is killed before it.
    KillBefore,
    /// Its process is killed after it.
    KillAfter,
    /// It does nothing and gives this error number.
    Error(i32),
    /// It moves one byte.
    Short,
}

/// How often it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    Once,
    /// With every later call that could fail so, about the same kind of things. What a program may take for a reason to try
    /// again fails a number of times only.
    FromHereOn,
}

/// Which call is meant: the `index`-th (from 0) of this number about this kind of things, by the `process`-th process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub process: usize,
    pub number: i64,
    pub kind: Kind,
    pub index: usize,
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub blow: Blow,
    pub extent: Extent,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    pub place: Place,
    pub met: Met,
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Calls in their order, without those of the command.
    pub calls: Vec<Call>,
    /// Which calls were made to fail.
    pub injected: Vec<String>,
    /// Whether it had to be ended.
    pub hung: bool,
}

/// Times that EINTR and short transfers happen from a call on.
const PATIENCE: usize = 100;

impl Blow {
    /// Whether a call could fail so.
    pub fn suits(self, met: &Met) -> bool {
        let is_of_files = matches!(met.kind, Kind::Cache | Kind::Output | Kind::Work | Kind::Elsewhere);
        let name = met.shape.name;
        match self {
            Blow::KillBefore | Blow::KillAfter => true,
            Blow::Short => met.shape.length_argument().is_some() && (is_of_files || met.kind == Kind::Stream),
            Blow::Error(libc::ENOSPC) => is_of_files && met.flags == Flags::Makes,
            Blow::Error(libc::EIO) => is_of_files && met.flags != Flags::Locks,
            Blow::Error(libc::EINTR) => {
                (is_of_files && name != "close") || (met.kind == Kind::Stream && name == "write")
            }
            Blow::Error(libc::ENOLCK) => is_of_files && met.flags == Flags::Locks,
            Blow::Error(libc::EACCES) => {
                is_of_files && (name.starts_with("open") || (met.flags == Flags::Makes && !name.contains("write")))
            }
            Blow::Error(libc::ENOMEM) => met.kind == Kind::Memory,
            Blow::Error(libc::EMFILE) => {
                (is_of_files && name.starts_with("open")) || (met.kind == Kind::Making && !is_of_processes(name))
            }
            Blow::Error(libc::EAGAIN) => {
                (met.kind == Kind::Making && is_of_processes(name)) || (met.kind == Kind::Stream && name == "write")
            }
            Blow::Error(_) => false,
        }
    }

    /// How often it may happen from a call on.
    fn most(self) -> usize {
        match self {
            Blow::Short | Blow::Error(libc::EINTR) => PATIENCE,
            _ => usize::MAX,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_poll(number: i64) -> bool {
    number == libc::SYS_poll
}

#[cfg(not(target_arch = "x86_64"))]
fn is_poll(_: i64) -> bool {
    false
}

fn is_of_processes(name: &str) -> bool {
    matches!(name, "clone" | "clone3" | "fork")
}

/// What a stopped thread is in the middle of.
#[derive(Default)]
struct Task {
    process: usize,
    /// The call at whose exit something is to be done.
    pending: Option<Pending>,
}

/// What is done at the exit of a call.
enum Pending {
    Result(i64),
    /// An argument, by its index, becomes what it was at the entry.
    Argument(usize, u64),
    Kill,
}

/// Runs `command`, with a fault or without.
pub fn run(command: &mut Command, ground: &Ground, fault: Option<Fault>) -> Report {
    run_with(command, ground, fault, &mut |_| {})
}

/// The same, with something to be done before each call, while the process is stopped.
// The tracer waits for it, as for all that it makes.
#[allow(clippy::zombie_processes)]
pub fn run_with(
    command: &mut Command,
    ground: &Ground,
    fault: Option<Fault>,
    before_each: &mut dyn FnMut(&Met),
) -> Report {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: one system call.
    unsafe { command.pre_exec(traced) };
    let mut child = command.spawn().unwrap();
    let pid = child.id() as pid_t;
    let readers = (in_background(child.stdout.take().unwrap()), in_background(child.stderr.take().unwrap()));
    let mut tracer = Tracer::new(pid, ground, fault, before_each);
    tracer.follow();
    let (stdout, stderr) = (readers.0.join().unwrap(), readers.1.join().unwrap());
    let hung = watch(|watched| watched.remove(&pid)).is_none_or(|watched| watched.hung);
    tracer.calls.retain(|call| !tracer.executed.contains(&call.place.process));
    let status = tracer.status.unwrap();
    Report { status, stdout, stderr, calls: tracer.calls, injected: tracer.injected, hung }
}

fn traced() -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn in_background(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

struct Tracer<'a> {
    ground: &'a Ground,
    fault: Option<Fault>,
    main: pid_t,
    status: Option<ExitStatus>,
    tasks: BTreeMap<pid_t, Task>,
    /// Stopped before anybody told of them.
    early: Vec<pid_t>,
    processes: usize,
    /// Whether there is a program yet: before that the C library makes room for its first thread, or dies as in any program.
    has_begun: bool,
    /// Processes that are the command by now.
    executed: Vec<usize>,
    counts: BTreeMap<(usize, i64, Kind), usize>,
    calls: Vec<Call>,
    injected: Vec<String>,
    before_each: &'a mut dyn FnMut(&Met),
}

impl<'a> Tracer<'a> {
    fn new(main: pid_t, ground: &'a Ground, fault: Option<Fault>, before_each: &'a mut dyn FnMut(&Met)) -> Tracer<'a> {
        watch(|watched| {
            watched.insert(main, Watched { until: Instant::now() + DEADLINE, all: vec![main], hung: false })
        });
        Tracer {
            ground,
            fault,
            main,
            status: None,
            tasks: BTreeMap::new(),
            early: Vec::new(),
            processes: 1,
            has_begun: false,
            executed: Vec::new(),
            counts: BTreeMap::new(),
            calls: Vec::new(),
            injected: Vec::new(),
            before_each,
        }
    }

    /// Goes on until none is left.
    fn follow(&mut self) {
        loop {
            let mut status = 0;
            // Children of this thread alone: others trace at the same time.
            // SAFETY: one number is written.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
            if pid < 0 {
                assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::ECHILD));
                return;
            }
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                self.tasks.remove(&pid);
                if pid == self.main {
                    self.status = Some(ExitStatus::from_raw(status));
                }
            } else if libc::WIFSTOPPED(status) {
                self.stopped(pid, status);
            }
        }
    }

    fn stopped(&mut self, pid: pid_t, status: c_int) {
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        if !self.tasks.contains_key(&pid) {
            if pid != self.main {
                // A new one, whose maker has not told of it yet.
                return self.early.push(pid);
            }
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_EXITKILL
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                | libc::PTRACE_O_TRACEEXEC;
            ask(libc::PTRACE_SETOPTIONS as c_int, pid, options as usize);
            self.tasks.insert(pid, Task::default());
            return go_on(pid, 0);
        }
        match event {
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => self.born(pid, event),
            libc::PTRACE_EVENT_EXEC => {
                // From here on it is the command.
                if let Some(task) = self.tasks.remove(&pid) {
                    self.executed.push(task.process);
                }
                ask(libc::PTRACE_DETACH as c_int, pid, 0);
            }
            0 if signal == libc::SIGTRAP | 0x80 => self.at_call(pid),
            // A new one begins with this.
            0 => go_on(pid, signal),
            _ => go_on(pid, 0),
        }
    }

    fn born(&mut self, maker: pid_t, event: c_int) {
        let mut born: libc::c_ulong = 0;
        // SAFETY: one number is written.
        let told = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, maker, 0, &raw mut born) };
        if told == 0 {
            let born = born as pid_t;
            let process = if event == libc::PTRACE_EVENT_CLONE {
                self.tasks[&maker].process
            } else {
                self.processes += 1;
                self.processes - 1
            };
            self.tasks.insert(born, Task { process, pending: None });
            watch(|watched| watched.get_mut(&self.main).map(|watched| watched.all.push(born)));
            if let Some(at) = self.early.iter().position(|early| *early == born) {
                self.early.remove(at);
                go_on(born, 0);
            } else {
                // Its first stop is not a signal for it.
                self.wait_for_first_stop(born);
            }
        }
        go_on(maker, 0);
    }

    fn wait_for_first_stop(&mut self, born: pid_t) {
        let mut status = 0;
        // SAFETY: one number is written.
        let pid = unsafe { libc::waitpid(born, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if pid == born && libc::WIFSTOPPED(status) {
            go_on(born, 0);
        } else {
            self.tasks.remove(&born);
        }
    }

    fn at_call(&mut self, pid: pid_t) {
        match registers::stop(pid) {
            Ok(Stop::Entry { number, arguments }) => self.before(pid, number, &arguments),
            Ok(Stop::Exit { .. }) => match self.tasks.get_mut(&pid).and_then(|task| task.pending.take()) {
                Some(Pending::Result(result)) => {
                    let _ = registers::set_result(pid, result);
                }
                Some(Pending::Argument(index, was)) => {
                    let _ = registers::set_argument(pid, index, was);
                }
                Some(Pending::Kill) => kill(pid),
                None => {}
            },
            // It was killed meanwhile.
            Ok(Stop::Other) | Err(_) => {}
        }
        go_on(pid, 0);
    }

    fn before(&mut self, pid: pid_t, number: i64, arguments: &[u64; 6]) {
        // What the C library does last of all before `main`, and what fleche does first.
        self.has_begun |= matches!(number, libc::SYS_mprotect | libc::SYS_ppoll) || is_poll(number);
        if !self.has_begun {
            return;
        }
        let Some(met) = Shape::of(number).and_then(|shape| shape.meet(pid, arguments, self.ground)) else { return };
        (self.before_each)(&met);
        let process = self.tasks[&pid].process;
        let count = self.counts.entry((process, number, met.kind)).or_default();
        let place = Place { process, number, kind: met.kind, index: *count };
        *count += 1;
        let Some(fault) = self.fault else {
            return self.calls.push(Call { place, met });
        };
        let is_first = self.injected.is_empty();
        let is_meant = if is_first {
            place == fault.place
        } else {
            fault.extent == Extent::FromHereOn
                && met.kind == fault.place.kind
                && fault.blow.suits(&met)
                && self.injected.len() < fault.blow.most()
        };
        if is_meant && self.strike(pid, fault.blow, &met) {
            self.injected.push(format!("{} {}", met.shape.name, met.path));
        }
    }

    /// Makes a call fail; false if that cannot be done.
    fn strike(&mut self, pid: pid_t, blow: Blow, met: &Met) -> bool {
        let with = |index, value| registers::set_argument(pid, index, value).map(|was| Pending::Argument(index, was));
        let pending = match blow {
            Blow::KillBefore => {
                kill(pid);
                return true;
            }
            Blow::KillAfter => Pending::Kill,
            Blow::Short => {
                let Some(Ok(pending)) = met.shape.length_argument().map(|index| with(index, 1)) else { return false };
                pending
            }
            // This one fails by telling where the end is, as it does when it is asked for nothing.
            Blow::Error(_) if met.shape.name == "brk" => {
                let Ok(pending) = with(0, 0) else { return false };
                pending
            }
            Blow::Error(number) => {
                // What is closed is closed, whatever the answer.
                if met.shape.name != "close" && registers::skip(pid).is_err() {
                    return false;
                }
                Pending::Result(-i64::from(number))
            }
        };
        if let Some(task) = self.tasks.get_mut(&pid) {
            task.pending = Some(pending);
        }
        true
    }
}

fn ask(request: c_int, pid: pid_t, data: usize) {
    // It may have been killed meanwhile.
    // SAFETY: no memory is involved.
    unsafe { libc::ptrace(request as _, pid, 0, data) };
}

fn go_on(pid: pid_t, signal: c_int) {
    ask(libc::PTRACE_SYSCALL as c_int, pid, signal as usize);
}

/// Kills the whole process of a thread.
fn kill(pid: pid_t) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// A run that must end.
struct Watched {
    until: Instant,
    all: Vec<pid_t>,
    hung: bool,
}

static WATCHED: Mutex<BTreeMap<pid_t, Watched>> = Mutex::new(BTreeMap::new());
static WATCHER: Once = Once::new();

fn watch<T>(change: impl FnOnce(&mut BTreeMap<pid_t, Watched>) -> T) -> T {
    WATCHER.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::park_timeout(Duration::from_secs(1));
                for watched in watched().values_mut().filter(|watched| watched.until < Instant::now()) {
                    watched.hung = true;
                    watched.all.iter().for_each(|pid| kill(*pid));
                }
            }
        });
    });
    change(&mut watched())
}

fn watched() -> MutexGuard<'static, BTreeMap<pid_t, Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}
