//! Telling the watcher of a command something: a system call that its filter stops in any case, with more in its registers
//! than the kernel looks at. Without a watcher the kernel says that there is no such file.

use std::io;
use std::ptr;

use super::seccomp::Notice;
use super::tracee::Tracee;

/// What is never there.
const PATH: &std::ffi::CStr = c"/proc/fleche";

/// In the register after those that a call to open a file has; the lower byte is the verb. What the verbs mean is of this
/// version: whoever changes it takes another number, and is nobody's watcher or told to another's.
const SIGN: u64 = 0x666c_6563_6865_0200;

/// Longer ones are not read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What a watcher is told or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// This folder is the store of a fleche, and no business of the command's.
    Apart = 1,
    /// From now on what this process does itself, until it executes another program, is told and not to be noted.
    Exempt = 2,
    /// The process answers for a command without running it: see `Account`.
    Account = 3,
    /// What was told last may not hold.
    Refuse = 4,
    /// What the processes that it starts do is to be noted apart as well, until that is collected.
    Scope = 5,
    /// That is over; how long in bytes what was noted is.
    Collect = 6,
    /// What was collected is to be written here.
    Fetch = 7,
    /// The store in this folder is to be looked after when the command is over: its processes may leave nobody behind.
    Due = 8,
}

const VERBS: [Verb; 8] =
    [Verb::Apart, Verb::Exempt, Verb::Account, Verb::Refuse, Verb::Scope, Verb::Collect, Verb::Fetch, Verb::Due];

/// What a process tells its watcher, as far as registers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What for.
    pub verb: Verb,
    address: u64,
    length: u64,
}

impl Message {
    /// The message that a call is, if it is one: for the caller to make sure that its process still waits.
    pub fn of(notice: &Notice) -> Option<Message> {
        let [_, path, _, sign, address, length] = notice.arguments;
        if sign & !0xff != SIGN || i64::from(notice.number) != libc::SYS_openat {
            return None;
        }
        let verb = VERBS.into_iter().find(|verb| *verb as u64 == sign & 0xff)?;
        let mut text = Vec::new();
        let is_read = Tracee::of(notice.thread).read_string(path, &mut text).unwrap_or(false);
        (is_read && text == PATH.to_bytes()).then_some(Message { verb, address, length })
    }

    /// The bytes that come with it.
    ///
    /// # Errors
    ///
    /// The process's memory cannot be read, or there are too many.
    pub fn read(&self, tracee: Tracee) -> io::Result<Vec<u8>> {
        if self.length > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; self.length as usize];
        match tracee.read(self.address, &mut bytes)? {
            read if read == bytes.len() => Ok(bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Writes `bytes` where the process has room for them.
    ///
    /// # Errors
    ///
    /// The process's memory cannot be written, or the room is of another size.
    pub fn write(&self, tracee: Tracee, bytes: &[u8]) -> io::Result<()> {
        if self.length != bytes.len() as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match tracee.write(self.address, bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// Whether this process lives under a filter: without one nobody watches it.
pub fn is_filtered() -> bool {
    const FILTERED: i32 = 2;
    // SAFETY: asks for a number.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) == FILTERED }
}

/// Tells the watcher `bytes`; its answer, or `None` if there is none that understands.
pub fn tell(verb: Verb, bytes: &[u8]) -> Option<u64> {
    // SAFETY: the watcher only reads.
    unsafe { send(verb, bytes.as_ptr(), bytes.len()) }
}

/// Has the watcher fill `room`; whether it did.
pub fn ask(verb: Verb, room: &mut [u8]) -> bool {
    // SAFETY: the watcher writes no more than there is room for.
    unsafe { send(verb, room.as_mut_ptr(), room.len()) }.is_some()
}

/// # Safety
/// The watcher reads, or for [`Verb::Fetch`] writes, so many bytes from `place` on.
unsafe fn send(verb: Verb, place: *const u8, length: usize) -> Option<u64> {
    if !is_filtered() {
        return None;
    }
    let place = if length == 0 { ptr::null() } else { place };
    loop {
        let (flags, sign) = ((libc::O_RDONLY | libc::O_CLOEXEC) as usize, SIGN as usize | verb as usize);
        // SAFETY: the kernel looks at the first four only, and finds nothing at the path; the rest is the caller's promise.
        let answer =
            unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, PATH.as_ptr(), flags, sign, place, length) };
        match u64::try_from(answer) {
            Ok(answer) => return Some(answer),
            // A signal came before the answer.
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_watcher_nobody_answers() {
        // SAFETY: there is nobody to read or write.
        assert_eq!(unsafe { send(Verb::Exempt, ptr::null(), 0) }, None);
    }

    #[test]
    fn only_calls_with_the_sign_and_the_path_are_messages() {
        let bytes = *b"some";
        let sign = SIGN | Verb::Account as u64;
        let notice = |path: &std::ffi::CStr, sign| Notice {
            id: 0,
            thread: std::process::id() as i32,
            architecture: 0,
            number: libc::SYS_openat as u32,
            arguments: [0, path.as_ptr() as u64, 0, sign, bytes.as_ptr() as u64, 4],
        };
        let message = Message::of(&notice(PATH, sign)).unwrap();
        assert_eq!(message.verb, Verb::Account);
        assert_eq!(message.read(Tracee::of(std::process::id() as i32)).unwrap(), bytes);
        assert_eq!(Message::of(&notice(c"/proc/self", sign)), None);
        for sign in [0, SIGN, SIGN | 200, sign + (1 << 40), u64::from(sign as u32)] {
            assert_eq!(Message::of(&notice(PATH, sign)), None, "{sign:x}");
        }
    }
}
