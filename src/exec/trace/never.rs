//! What is never observed: what tells of the machine and not of the command's input.

use std::path::Path;

/// Counts up when [`NEVER`] changes, for then traces of before tell something else.
#[allow(dead_code)] // Until `fleche config trace` shows it.
pub const NEVER_VERSION: u32 = 1;

/// Files, and folders with all that is below them, that no trace tells of: the kernel's own, run-time state, what the
/// loader and the C library keep for themselves, and the databases of names.
pub const NEVER: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/etc/ld.so.cache",
    "/usr/lib/locale",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/gai.conf",
];

/// The kernel's own: what is written there is no file.
const KERNEL: &[&str] = &["/proc", "/sys", "/dev"];

/// A folder of files as any other, though it lies below one that is the kernel's.
const SHARED_MEMORY: &str = "/dev/shm";

/// Whether nothing is noted of what a command reads of `path`, which is absolute and without links.
pub fn is_never_observed(path: &Path) -> bool {
    NEVER.iter().any(|never| path.starts_with(never)) && !is_in_shared_memory(path)
}

/// Whether what is at `path` is no file but a way to the kernel.
pub fn is_kernels(path: &Path) -> bool {
    KERNEL.iter().any(|folder| path.starts_with(folder)) && !is_in_shared_memory(path)
}

fn is_in_shared_memory(path: &Path) -> bool {
    path.starts_with(SHARED_MEMORY) && path != Path::new(SHARED_MEMORY)
}

/// Whether what is written at `path` concerns a process only: `/proc/123/comm`.
pub fn is_of_a_process(path: &Path) -> bool {
    let id = path.strip_prefix("/proc").ok().and_then(|rest| rest.iter().next());
    id.is_some_and(|id| id.as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

/// Sockets of name services: what they answer is in the databases that are never observed either.
const NAME_SERVICES: &[&str] = &["/run/nscd", "/var/run/nscd", "/run/systemd/userdb"];

/// Whether a socket is that of a name service.
pub fn is_name_service(path: &Path) -> bool {
    NAME_SERVICES.iter().any(|service| path.starts_with(service))
}

/// Devices that are the same for everybody, or that only say what the command's own descriptors do.
const PLAIN_DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/pts", "/dev/fd"];

/// Whether opening this device tells the command nothing that a replay would not.
pub fn is_plain_device(path: &Path) -> bool {
    path != Path::new("/dev/pts/ptmx") && PLAIN_DEVICES.iter().any(|device| path.starts_with(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_the_kernel_is_told_from_what_is_written_to_a_process() {
        assert!(is_of_a_process(Path::new("/proc/12/comm")) && !is_of_a_process(Path::new("/proc/sys/x")));
        assert!(
            is_kernels(Path::new("/sys/x")) && !is_kernels(Path::new("/run/x")) && !is_kernels(Path::new("/dev/shm/x"))
        );
    }

    #[test]
    fn folders_count_with_all_below_and_names_that_only_begin_alike_do_not() {
        let never = |path: &str| is_never_observed(Path::new(path));
        assert!(never("/proc/self/maps") && never("/dev/null") && never("/etc/passwd") && never("/run"));
        assert!(!never("/processed") && !never("/etc/passwd-") && !never("/etc/ld.so.preload") && !never("/"));
        assert!(!never("/dev/shm/file") && never("/dev/shm"));
    }
}
