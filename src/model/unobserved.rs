//! What no watched command is observed at: what tells of the machine and not of the command's input.

/// Folders in which things have the same paths for everybody.
pub const SYSTEM: &[&str] = &["/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc", "/opt"];

/// Counts up when [`UNOBSERVED`] changes, for then traces of before tell something else.
pub const UNOBSERVED_VERSION: u32 = 2;

/// Files, and folders with all that is below them, that no trace tells of: the kernel's own, run-time state, what the
/// loader and the C library keep for themselves, and the databases of names. What a program's arguments name counts all the same.
pub const UNOBSERVED: &[&str] = &[
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
