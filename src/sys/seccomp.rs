//! Being asked about the system calls of other processes: seccomp user notification, see seccomp_unotify(2).
//!
//! A filter is installed in a process that is about to become a command, and every process that it starts inherits it.
//! Who holds the listener is told of each call that the filter names before the kernel does anything, and has it go on.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use super::tracee::Tracee;

/// What is to become of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It goes on at once.
    Allow,
    /// The watcher is told.
    Watch,
    /// The watcher is told if one of these holds.
    WatchIf(&'static [Test]),
}

/// A look at the lower 32 bits of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The argument has this value.
    Is(u32, u32),
    /// It has another.
    IsNot(u32, u32),
    /// It has at least one of these bits.
    HasAny(u32, u32),
    /// It has none of them.
    HasNone(u32, u32),
}

/// The machine's own system calls, as `AUDIT_ARCH_*` of linux/audit.h names them; `None` where nothing is known of them.
pub const NATIVE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xC000_00B7)
} else {
    None
};

/// A program for the kernel that sorts system calls.
pub struct Filter(Vec<libc::sock_filter>);

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const WATCH: u32 = 0x7fc0_0000;

fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

impl Filter {
    /// A filter for the machine's own calls: `rules` by number, everything else up to `last` is allowed, and beyond that the
    /// watcher is told, as of calls of another architecture. For one call that the kernel need not ask the program about (it
    /// remembers which numbers are always allowed) nothing is lost; the others cost a binary search.
    pub fn new(rules: &[(u32, Rule)], last: u32) -> Filter {
        let mut rules = rules.to_vec();
        rules.sort_unstable_by_key(|(number, _)| *number);
        let mut ranges = vec![(0, Rule::Allow)];
        for (number, rule) in rules {
            if ranges.last().is_some_and(|(from, _)| *from == number) {
                ranges.pop();
            }
            ranges.extend([(number, rule), (number + 1, Rule::Allow)]);
        }
        ranges.push((last + 1, Rule::Watch));
        ranges.dedup_by_key(|(_, rule)| *rule);
        let mut program = vec![
            step(LOAD, ARCHITECTURE, 0, 0),
            step(IF_EQUAL, NATIVE.unwrap_or(0), 1, 0),
            step(RETURN, WATCH, 0, 0),
            step(LOAD, NUMBER, 0, 0),
        ];
        program.extend(search(&ranges));
        Filter(program)
    }
}

/// The steps that find the range in which the number is.
fn search(ranges: &[(u32, Rule)]) -> Vec<libc::sock_filter> {
    if let [(_, rule)] = ranges {
        return verdict(*rule);
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let (from, lower, upper) = (upper[0].0, search(lower), search(upper));
    let mut steps = match u8::try_from(lower.len()) {
        Ok(length) => vec![step(IF_AT_LEAST, from, length, 0)],
        Err(_) => vec![step(IF_AT_LEAST, from, 0, 1), step(JUMP, lower.len() as u32, 0, 0)],
    };
    steps.extend(lower);
    steps.extend(upper);
    steps
}

fn verdict(rule: Rule) -> Vec<libc::sock_filter> {
    let tests = match rule {
        Rule::Allow => return vec![step(RETURN, ALLOW, 0, 0)],
        Rule::Watch => return vec![step(RETURN, WATCH, 0, 0)],
        Rule::WatchIf(tests) => tests,
    };
    let mut steps = Vec::with_capacity(3 * tests.len() + 1);
    for test in tests {
        let (argument, compare, holds, fails) = match *test {
            Test::Is(argument, value) => (argument, (IF_EQUAL, value), 0, 1),
            Test::IsNot(argument, value) => (argument, (IF_EQUAL, value), 1, 0),
            Test::HasAny(argument, bits) => (argument, (IF_ANY_BIT, bits), 0, 1),
            Test::HasNone(argument, bits) => (argument, (IF_ANY_BIT, bits), 1, 0),
        };
        steps.push(step(LOAD, ARGUMENTS + 8 * argument, 0, 0));
        steps.push(step(compare.0, compare.1, holds, fails));
        steps.push(step(RETURN, WATCH, 0, 0));
    }
    steps.push(step(RETURN, ALLOW, 0, 0));
    steps
}

/// What a filter may say that comes before the question of a watcher, or lets the call go on as he does.
const ASKING_NOBODY: [u32; 6] = [
    libc::SECCOMP_RET_KILL_PROCESS,
    libc::SECCOMP_RET_KILL_THREAD,
    libc::SECCOMP_RET_TRAP,
    libc::SECCOMP_RET_ERRNO,
    libc::SECCOMP_RET_LOG,
    libc::SECCOMP_RET_ALLOW,
];
/// As many steps as the kernel takes (`BPF_MAXINSNS`).
const MOST_STEPS: u64 = 4096;

/// Whether the filter that the `struct sock_fprog` at `program` describes leaves nobody to decide about a call; `None` if it
/// cannot be read.
pub fn asks_nobody(tracee: Tracee, program: u64) -> Option<bool> {
    const CLASS: u64 = 0x07;
    const OPERAND: u64 = 0x18;
    let [length, steps] = tracee.read_words(program)?;
    // The rest of the word is padding.
    let length = length & u64::from(u16::MAX);
    for number in 0..length.min(MOST_STEPS) {
        let [step] = tracee.read_words(steps.checked_add(8 * number)?)?;
        // A code of 16 bits, two distances of 8, a constant of 32.
        let (code, constant) = (step & 0xffff, (step >> 32) as u32);
        let is_plain = code & OPERAND == 0 && ASKING_NOBODY.contains(&(constant & libc::SECCOMP_RET_ACTION_FULL));
        if code & CLASS == u64::from(libc::BPF_RET) && !is_plain {
            return Some(false);
        }
    }
    Some(true)
}

const SET_FILTER: usize = 1;
/// What the processor may guess stays as it was: up to Linux 5.15 a filter would slow the command down.
const SPEC_ALLOW: usize = 1 << 2;
const NEW_LISTENER: usize = 1 << 3;
/// From Linux 5.19 on: once the watcher was told, only a deadly signal interrupts the call.
const WAIT_KILLABLE: usize = 1 << 5;

/// Installs the filter in the calling thread; the number of the listener, which is CLOEXEC, or the error number. What the
/// process may do is given up (`PR_SET_NO_NEW_PRIVS`) only where the kernel asks for that. Async-signal-safe, and leaves
/// `errno` alone.
pub(super) fn install(filter: &Filter) -> Result<RawFd, i32> {
    let Ok(len) = u16::try_from(filter.0.len()) else { return Err(libc::E2BIG) };
    let program = libc::sock_fprog { len, filter: filter.0.as_ptr().cast_mut() };
    let try_with = |flags| {
        // SAFETY: the kernel copies the program, which is as long as it says.
        unsafe { call(libc::SYS_seccomp, [SET_FILTER, flags, (&raw const program) as usize, 0, 0]) }
    };
    let mut last = libc::EINVAL;
    for flags in [NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE, NEW_LISTENER | SPEC_ALLOW] {
        let mut answer = try_with(flags);
        if answer == -(libc::EACCES as isize) {
            // SAFETY: changes the calling process only, which is about to become the command.
            unsafe { call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]) };
            answer = try_with(flags);
        }
        match answer {
            0.. => return Ok(answer as RawFd),
            _ => last = -answer as i32,
        }
        if last != libc::EINVAL {
            break;
        }
    }
    Err(last)
}

/// A system call that does not write `errno`, which a starting child shares with its parent; what the kernel answers.
///
/// # Safety
/// As for the system call.
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [one, two, three, four, five] = arguments;
    let answer: isize;
    // SAFETY: the registers are those of the machine's system calls, the rest is the caller's to promise.
    unsafe {
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") one, in("rsi") two, in("rdx") three, in("r10") four, in("r8") five,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") one as isize => answer,
            in("x1") two, in("x2") three, in("x3") four, in("x4") five,
            options(nostack),
        );
        #[cfg(not(any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64")))]
        {
            answer = match libc::syscall(number, one, two, three, four, five) {
                -1 => -(*libc::__errno_location() as isize),
                answer => answer as isize,
            };
        }
    }
    answer
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// What the answer must name.
    pub id: u64,
    /// The thread that makes it; 0 where it is not to be seen from here.
    pub thread: i32,
    /// `AUDIT_ARCH_*` of the call.
    pub architecture: u32,
    /// Its number.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Where notices are put: memory that a forked process shares, so that it can answer the call that a watcher was told of and did
/// not come to answer. The kernel writes the notice in one go with handing it out: there is no moment at which nobody knows it.
pub struct Mailbox(*mut libc::seccomp_notif);

// SAFETY: the memory lives until the Mailbox is dropped, and only `receive` writes it, which is called by one thread.
unsafe impl Send for Mailbox {}
// SAFETY: as above; whoever reads the id of another's notice reads one aligned word.
unsafe impl Sync for Mailbox {}

/// A page, more than a notice takes, should a newer kernel's be longer.
const PAGE: usize = 4096;

impl Mailbox {
    /// An empty one.
    pub fn new() -> io::Result<Mailbox> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the kernel likes.
        match unsafe { libc::mmap(ptr::null_mut(), PAGE, access, kind, -1, 0) } {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            page => Ok(Mailbox(page.cast())),
        }
    }

    /// The id of the last notice, 0 if there was none.
    pub fn id(&self) -> u64 {
        // SAFETY: the page is mapped and aligned.
        unsafe { (&raw const (*self.0).id).read_volatile() }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody else has the address.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}

/// Where the system calls of filtered processes are heard of. Hung up (`POLLHUP`) when no process has the filter any more.
pub struct Listener(OwnedFd);

impl Listener {
    /// The listener that `install` made.
    pub fn of(descriptor: OwnedFd) -> Listener {
        Listener(descriptor)
    }

    /// The next call, waiting for it. Fails with `NotFound` if the one that there was is gone.
    pub fn receive(&self, mailbox: &Mailbox) -> io::Result<Notice> {
        // SAFETY: the page is mapped, and only this thread writes to it; the kernel wants it to be zero.
        unsafe { mailbox.0.write(zeroed()) };
        self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, mailbox.0.cast())?;
        // SAFETY: the kernel has written it.
        let notice = unsafe { mailbox.0.read() };
        Ok(Notice {
            id: notice.id,
            thread: notice.pid as i32,
            architecture: notice.data.arch,
            number: notice.data.nr as u32,
            arguments: notice.data.args,
        })
    }

    /// Has the call go on as if nobody had asked. Fails if it is gone or has been answered.
    pub fn let_go(&self, id: u64) -> io::Result<()> {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut answer).cast())
    }

    /// Answers the call as a kernel does that does not know it. Fails as [`let_go`](Listener::let_go) does.
    pub fn deny(&self, id: u64) -> io::Result<()> {
        let mut answer = libc::seccomp_notif_resp { id, val: 0, error: -libc::ENOSYS, flags: 0 };
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut answer).cast())
    }

    /// Answers the call in the kernel's place: it returns `value`, which must be no error number. Fails as
    /// [`let_go`](Listener::let_go) does.
    pub fn answer(&self, id: u64, value: u32) -> io::Result<()> {
        let mut answer = libc::seccomp_notif_resp { id, val: i64::from(value), error: 0, flags: 0 };
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut answer).cast())
    }

    /// Whether the call still waits, so that what was read of its process was that process's.
    pub fn is_waiting(&self, mut id: u64) -> bool {
        self.control(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast()).is_ok()
    }

    /// Has the kernel (6.6 on) wake each side on the processor of the other, for they take turns.
    pub fn take_turns(&self) {
        const SYNC_WAKE_UP: libc::c_ulong = 1;
        // SAFETY: takes a number, no address.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    }

    fn control(&self, request: libc::Ioctl, place: *mut libc::c_void) -> io::Result<()> {
        loop {
            // SAFETY: the callers pass what the request reads and writes.
            if unsafe { libc::ioctl(self.0.as_raw_fd(), request, place) } != -1 {
                return Ok(());
            }
            // A signal is no reason to believe that a call is gone.
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says of a call, by the steps that it uses.
    fn run(filter: &Filter, architecture: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = filter.0[at];
            at += 1;
            let branch = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                LOAD if step.k == NUMBER => value = number,
                LOAD if step.k == ARCHITECTURE => value = architecture,
                LOAD => value = arguments[(step.k - ARGUMENTS) as usize / 8],
                JUMP => at += step.k as usize,
                IF_EQUAL => at += branch(value == step.k),
                IF_AT_LEAST => at += branch(value >= step.k),
                IF_ANY_BIT => at += branch(value & step.k != 0),
                RETURN => return step.k,
                code => panic!("{code}"),
            }
        }
    }

    #[test]
    fn calls_are_sorted_by_number_and_arguments() {
        const TESTS: &[Test] = &[Test::HasNone(3, 0x1000), Test::HasAny(0, 1 << 31)];
        // So many that the jumps are long.
        let mut rules: Vec<(u32, Rule)> = (100..400).step_by(2).map(|number| (number, Rule::Watch)).collect();
        rules.extend([(0, Rule::Watch), (50, Rule::WatchIf(TESTS)), (52, Rule::WatchIf(&[Test::IsNot(0, 1)]))]);
        let filter = Filter::new(&rules, 460);
        let native = NATIVE.unwrap();
        let ask = |number, first, fourth| run(&filter, native, number, [first, 0, 0, fourth, 0, 0]);
        for number in 0..460 {
            let expected = match number {
                0 => WATCH,
                50 => WATCH,
                52 => ALLOW,
                100..400 if number % 2 == 0 => WATCH,
                _ => ALLOW,
            };
            assert_eq!(ask(number, 1, 0), expected, "{number}");
        }
        assert_eq!(ask(50, 3, 0x1000), ALLOW);
        assert_eq!(ask(50, -100_i32 as u32, 0x1000), WATCH);
        assert_eq!(ask(52, 2, 0), WATCH);
        assert_eq!(ask(461, 0, 0), WATCH);
        assert_eq!(ask(0x4000_0002, 0, 0), WATCH);
        assert_eq!(run(&filter, native + 1, 1, [0; 6]), WATCH);
    }
}
