//! Who runs, where and under which limits: user, umask, machine.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, getxattr, stat};
use rustix::io::Errno;
use rustix::process::umask as exchange_umask;
use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

/// The operating system, as Rust calls it: `linux`.
pub const OPERATING_SYSTEM: &str = std::env::consts::OS;
/// The architecture, as Rust calls it: `x86_64`, `aarch64`.
pub const ARCHITECTURE: &str = std::env::consts::ARCH;

/// Where users are listed, see `passwd(5)`.
const USERS: &str = "/etc/passwd";

/// The file mode creation mask.
///
/// There is no call that only reads it. Exchanging it twice is two calls and less than a microsecond; the
/// `Umask:` line of `/proc/self/status` is three, one of them slow, and needs a mounted `/proc`. For
/// that moment other threads make files that only their owner may use. It is asked once in the life of the process,
/// which never changes it.
pub fn umask() -> u32 {
    static MASK: OnceLock<u32> = OnceLock::new();
    *MASK.get_or_init(|| {
        let mask = exchange_umask(Mode::RWXG | Mode::RWXO);
        exchange_umask(mask);
        mask.as_raw_mode()
    })
}

/// The effective user's number, as the kernel handed it over with the program: no system call.
pub fn effective_user() -> u32 {
    // SAFETY: reads a word of the auxiliary vector, see getauxval(3).
    unsafe { libc::getauxval(libc::AT_EUID) as u32 }
}

/// The effective group's number; as [`effective_user`].
pub fn effective_group() -> u32 {
    // SAFETY: reads a word of the auxiliary vector, see getauxval(3).
    unsafe { libc::getauxval(libc::AT_EGID) as u32 }
}

/// Whether the process acts in this group.
pub fn is_in_group(group: u32) -> bool {
    effective_group() == group
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|one| one.as_raw() == group))
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    effective_user() == 0
}

/// Whether system calls of this process can be filtered without taking anything from the programs that it executes: where that
/// is not so, the kernel wants it to give up first that they get rights of their own (setuid, setgid, capabilities).
pub fn filters_freely() -> bool {
    let may_administrate = || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    withholds_rights() || may_administrate()
}

/// Bits of a mode.
const SETUID_OR_SETGID: u32 = 0o6000;

/// Whether who executes the file at `path` gets rights by it that he has not: those of its owner or group, or capabilities.
pub fn gives_rights(path: &Path) -> bool {
    stat(path).is_ok_and(|found| found.st_mode & SETUID_OR_SETGID != 0) || gives_capabilities(path)
}

/// Which rights who executes the file at `path` gets by it that he has not, as a text that tells one from another; `None` for
/// most programs, which give none.
pub fn rights_given(path: &Path) -> Option<String> {
    let found = stat(path).ok()?;
    let mut capabilities = [0_u8; 64];
    let capabilities = match getxattr(path, CAPABILITIES, &mut capabilities) {
        Ok(length) => Some(&capabilities[..length]),
        Err(_) => None,
    };
    let bits = found.st_mode & SETUID_OR_SETGID;
    if bits == 0 && capabilities.is_none() {
        return None;
    }
    if withholds_rights() {
        return Some("withheld".to_owned());
    }
    let capabilities = capabilities.map(|set| format!(" with {}", set.escape_ascii())).unwrap_or_default();
    Some(format!("{bits:o} of {}:{}{capabilities}", found.st_uid, found.st_gid))
}

/// The attribute that holds the capabilities of a file.
const CAPABILITIES: &CStr = c"security.capability";

/// Whether programs that this process executes get no rights by that, see PR_SET_NO_NEW_PRIVS of prctl(2).
fn withholds_rights() -> bool {
    no_new_privs().unwrap_or(false)
}

/// Whether who executes the file at `path` may get capabilities by it, see capabilities(7).
pub fn gives_capabilities(path: &Path) -> bool {
    // A size of zero would ask for the length, which the road there does not tell.
    match getxattr(path, CAPABILITIES, &mut [0_u8; 64]) {
        Ok(length) => length > 0,
        Err(error) => error == Errno::RANGE,
    }
}

/// The effective user's name; the number where `/etc/passwd` has no name for it.
///
/// Other sources of names (LDAP, ...) need the system's name service, which a static program cannot use.
pub fn user_name() -> String {
    let id = effective_user();
    let name = fs::read(USERS).ok().and_then(|users| Some(String::from_utf8_lossy(entry(&users, id)?[0]).into_owned()));
    name.unwrap_or_else(|| id.to_string())
}

/// The effective user's home folder by `/etc/passwd`, if it is absolute.
pub fn home_folder() -> Option<PathBuf> {
    let users = fs::read(USERS).ok()?;
    let home = PathBuf::from(OsStr::from_bytes(entry(&users, effective_user())?[5]));
    home.is_absolute().then_some(home)
}

/// The machine's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The seven fields of a user's line.
fn entry(users: &[u8], id: u32) -> Option<[&[u8]; 7]> {
    users.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let fields: [&[u8]; 7] = fields.try_into().ok()?;
        (std::str::from_utf8(fields[2]).ok()?.parse() == Ok(id)).then_some(fields)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = b"root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:7\nann:x:7:7::/home/\xff:\n";
        assert_eq!(entry(users, 7).unwrap()[0], b"ann");
        assert_eq!(entry(users, 7).unwrap()[5], b"/home/\xff");
        assert_eq!(entry(users, 8), None);
    }

    #[test]
    fn the_mask_is_the_one_that_the_kernel_tells() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
        assert_eq!(umask(), u32::from_str_radix(line.trim(), 8).unwrap());
        assert_eq!(umask(), umask());
    }
}
