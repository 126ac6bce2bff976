//! A program laid out for `execve`, and becoming it.

use std::ffi::{CStr, CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::confinement::Confinement;
use super::seccomp;
use super::signal;

/// What runs scripts without `#!`, as execvp(3) has it.
const SHELL: &CStr = c"/bin/sh";

/// A program with its arguments and environment, laid out for `execve` so that a forked process needs no memory.
pub struct Image {
    /// All strings, each ended by a zero byte; the pointers point into it.
    _strings: Vec<u8>,
    program: *const c_char,
    argv: Vec<*const c_char>,
    /// `argv` as the shell gets it when the program turns out to be a script without `#!`.
    shell: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// Where it is to be executed.
    surroundings: Surroundings,
}

/// Where a program is executed.
pub enum Surroundings {
    /// Where fleche is.
    Here,
    /// In another working directory.
    Folder(CString),
    /// In a view of the file system of its own, without a network.
    Confined(Confinement),
}

impl Image {
    /// Lays out; fails for a string that has a zero byte, which no process can be given.
    pub fn new(program: &Path, argv: &[OsString], environment: &[OsString]) -> io::Result<Image> {
        let parts = || {
            let argv = argv.iter().map(OsString::as_os_str);
            std::iter::once(program.as_os_str()).chain(argv).chain(environment.iter().map(OsString::as_os_str))
        };
        let mut strings = Vec::with_capacity(parts().map(|part| part.len() + 1).sum());
        let mut offsets = Vec::with_capacity(1 + argv.len() + environment.len());
        for part in parts() {
            // Not `memchr`, which first asks the processor what it can do: thirty traps in a virtual machine.
            if part.as_bytes().contains(&0) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in an argument"));
            }
            offsets.push(strings.len());
            strings.extend_from_slice(part.as_bytes());
            strings.push(0);
        }
        let pointers = |offsets: &[usize]| -> Vec<*const c_char> {
            let ends = std::iter::once(ptr::null());
            offsets.iter().map(|offset| strings[*offset..].as_ptr().cast()).chain(ends).collect()
        };
        let (own, environment) = offsets.split_at(1 + argv.len());
        let mut shell = pointers(own);
        let program = shell[0];
        let argv = pointers(&own[1..]);
        // From [program, argv[0], ...] to [/bin/sh, program, argv[1], ...].
        if shell.len() > 2 {
            shell[1] = program;
        } else {
            shell.insert(0, program);
        }
        shell[0] = SHELL.as_ptr();
        let environment = pointers(environment);
        Ok(Image { program, argv, shell, environment, surroundings: Surroundings::Here, _strings: strings })
    }

    /// The same, to be executed there.
    pub fn within(self, surroundings: Surroundings) -> Image {
        Image { surroundings, ..self }
    }

    /// Where it is executed.
    pub(super) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Becomes the program; the error number if that fails. Async-signal-safe.
    pub(super) fn execute(&self) -> i32 {
        match execve(self.program, &self.argv, &self.environment) {
            libc::ENOEXEC => {
                execve(SHELL.as_ptr(), &self.shell, &self.environment);
                libc::ENOEXEC
            }
            errno => errno,
        }
    }
}

impl Surroundings {
    /// Goes there in a process that is about to become a program; where that fails, at which step of the confinement and with
    /// which error number. Async-signal-safe, and leaves `errno` alone.
    pub(super) fn enter(&self) -> Result<(), (usize, i32)> {
        match self {
            Surroundings::Here => Ok(()),
            Surroundings::Folder(folder) => {
                // SAFETY: a string that a zero byte ends; changes the calling process only.
                let answer = unsafe { seccomp::call(libc::SYS_chdir, [folder.as_ptr() as usize, 0, 0, 0, 0]) };
                if answer == 0 { Ok(()) } else { Err((0, -answer as i32)) }
            }
            Surroundings::Confined(confinement) => confinement.enter(),
        }
    }
}

/// execve(2); the error number if it fails. Not the C library's function where it can be avoided: that writes
/// `errno`, which a starting child shares with its parent.
fn execve(program: *const c_char, argv: &[*const c_char], environment: &[*const c_char]) -> i32 {
    let (argv, environment) = (argv.as_ptr(), environment.as_ptr());
    let answer: isize;
    // SAFETY: strings that zero bytes end and vectors that null pointers end, all alive by the Image that they
    // belong to; the registers are those of the machine's system calls.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_execve as isize => answer,
            in("rdi") program,
            in("rsi") argv,
            in("rdx") environment,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!(
            "svc 0",
            in("x8") libc::SYS_execve as isize,
            inlateout("x0") program as isize => answer,
            in("x1") argv,
            in("x2") environment,
            options(nostack),
        );
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            libc::execve(program, argv, environment);
            answer = -(*libc::__errno_location() as isize);
        }
    }
    -answer as i32
}

/// What takes the place of the standard descriptors; `None` leaves one as it is.
pub type Standards<'a> = [Option<BorrowedFd<'a>>; 3];

/// Puts descriptors in their places in a process that is about to become a program; the error number if one is
/// not open. Async-signal-safe.
pub(super) fn place(standards: &[Option<RawFd>; 3]) -> i32 {
    for (number, standard) in (0..).zip(standards) {
        // SAFETY: fleche's own descriptors are above 2, so none is overwritten before its turn.
        let placed = unsafe {
            match *standard {
                None => 0,
                Some(standard) if standard == number => libc::fcntl(number, libc::F_SETFD, 0),
                Some(standard) => libc::dup2(standard, number),
            }
        };
        if placed == -1 {
            return libc::EBADF;
        }
    }
    0
}

/// The numbers of `standards`, for a process in which nobody owns them.
pub(super) fn numbers(standards: &Standards) -> [Option<RawFd>; 3] {
    standards.map(|standard| standard.map(|standard| standard.as_raw_fd()))
}

/// Becomes the program in place of fleche, with the dispositions that fleche inherited; returns only to say
/// why that failed.
pub fn replace(image: &Image, standards: &Standards) -> io::Error {
    signal::restore();
    if let Err((_, errno)) = image.surroundings.enter() {
        return io::Error::from_raw_os_error(errno);
    }
    io::Error::from_raw_os_error(match place(&numbers(standards)) {
        0 => image.execute(),
        errno => errno,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_refused() {
        assert!(Image::new(Path::new("/bin/true"), &["a\0b".into()], &[]).is_err());
        assert!(Image::new(Path::new("/bin/true"), &["a".into()], &["A=\0".into()]).is_err());
        assert!(Image::new(Path::new("/bin/true"), &["a".into()], &["A=".into()]).is_ok());
    }

    #[test]
    fn strings_keep_their_order() {
        let image = Image::new(Path::new("/p"), &["a".into(), "".into(), "c".into()], &["E".into()]).unwrap();
        let texts = |pointers: &[*const c_char]| -> Vec<Vec<u8>> {
            let (last, strings) = pointers.split_last().unwrap();
            assert!(last.is_null());
            // SAFETY: the image is alive.
            strings.iter().map(|string| unsafe { CStr::from_ptr(*string) }.to_bytes().to_vec()).collect()
        };
        assert_eq!(texts(&image.argv), [&b"a"[..], b"", b"c"]);
        assert_eq!(texts(&image.shell), [&b"/bin/sh"[..], b"/p", b"", b"c"]);
        assert_eq!(texts(&image.environment), [b"E"]);
    }

    #[test]
    fn what_is_not_there_cannot_be_become() {
        let image = Image::new(Path::new("/nonexistent/program"), &["a".into()], &[]).unwrap();
        assert_eq!(image.execute(), libc::ENOENT);
    }
}
