//! What is never observed: what tells of the machine and not of the command's input.

use std::path::Path;

use crate::model::UNOBSERVED;

/// A folder of files as any other, though it lies below one that is never observed.
const SHARED_MEMORY: &str = "/dev/shm";

/// Whether nothing is noted of `path`, which is absolute and without links.
pub fn is_never_observed(path: &Path) -> bool {
    UNOBSERVED.iter().any(|never| path.starts_with(never))
        && (!path.starts_with(SHARED_MEMORY) || path == Path::new(SHARED_MEMORY))
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
    fn folders_count_with_all_below_and_names_that_only_begin_alike_do_not() {
        let never = |path: &str| is_never_observed(Path::new(path));
        assert!(never("/proc/self/maps") && never("/dev/null") && never("/etc/passwd") && never("/run"));
        assert!(!never("/processed") && !never("/etc/passwd-") && !never("/etc/ld.so.preload") && !never("/"));
        assert!(!never("/dev/shm/file") && never("/dev/shm"));
    }
}
