//! Which system calls a watcher is told of; what they are about is in `calls.rs`.

use super::calls::{
    EMPTY_PATH, FCHMODAT2, FILE_GETATTR, FILE_SETATTR, GETXATTRAT, LISTXATTRAT, NEW_SPACES, OPEN_TREE_ATTR,
    REMOVEXATTRAT, RENAMEAT, SETXATTRAT,
};
use super::seccomp::{Rule, Test};

/// The last call that is known here (`file_setattr`, Linux 6.17, and one number to spare).
pub const LAST: u32 = 470;

/// The sign of a descriptor: `AT_FDCWD` is below zero.
const SIGN: u32 = 1 << 31;

/// Those that are always looked at.
const ALWAYS: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_statfs,
    libc::SYS_getxattr,
    libc::SYS_listxattr,
    libc::SYS_lgetxattr,
    libc::SYS_llistxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    GETXATTRAT,
    LISTXATTRAT,
    FILE_GETATTR,
    libc::SYS_readlinkat,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_getdents64,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    RENAMEAT,
    libc::SYS_truncate,
    libc::SYS_setxattr,
    libc::SYS_removexattr,
    libc::SYS_lsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_connect,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_bind,
    libc::SYS_mq_open,
    libc::SYS_clone3,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_inotify_add_watch,
    libc::SYS_fanotify_mark,
    libc::SYS_io_uring_setup,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
];

/// Those of them that newer machines do without.
#[cfg(target_arch = "x86_64")]
const FORMER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_uselib,
    libc::SYS_alarm,
];
#[cfg(not(target_arch = "x86_64"))]
const FORMER: &[i64] = &[];

/// Those whose arguments decide: what is about a descriptor only, a private piece of memory or a thread is not looked at.
const SOMETIMES: &[(i64, &[Test])] = &[
    // With just this flag it is fstat(3) of the C library; who means a name by it has others too.
    (libc::SYS_newfstatat, &[Test::IsNot(3, EMPTY_PATH), Test::HasAny(0, SIGN)]),
    (libc::SYS_statx, &[Test::IsNot(2, EMPTY_PATH), Test::HasAny(0, SIGN)]),
    (libc::SYS_socket, &[Test::IsNot(0, libc::AF_UNIX as u32)]),
    (libc::SYS_sendto, &[Test::IsNot(4, 0)]),
    (libc::SYS_shmget, &[Test::IsNot(0, 0)]),
    (libc::SYS_msgget, &[Test::IsNot(0, 0)]),
    (libc::SYS_semget, &[Test::IsNot(0, 0)]),
    (libc::SYS_clone, &[Test::HasAny(0, NEW_SPACES)]),
    (libc::SYS_unshare, &[Test::HasAny(0, NEW_SPACES)]),
    (libc::SYS_seccomp, &[Test::Is(0, libc::SECCOMP_SET_MODE_STRICT), Test::Is(0, libc::SECCOMP_SET_MODE_FILTER)]),
    (libc::SYS_prctl, &[Test::Is(0, libc::PR_SET_SECCOMP as u32)]),
    (libc::SYS_rt_sigaction, &interruptions(0)),
];

/// Whether the argument is a signal that programs send themselves while they work: of timers, of their own, those without a name
/// (32 to 64). Not those that come when something ends, the children of a shell above all; and not what is sent to one thread,
/// which is how a program (cargo, for one) has a thread of its own leave a call that waits.
const fn interruptions(argument: u32) -> [Test; 7] {
    [
        Test::Is(argument, libc::SIGALRM as u32),
        Test::Is(argument, libc::SIGVTALRM as u32),
        Test::Is(argument, libc::SIGPROF as u32),
        Test::Is(argument, libc::SIGUSR1 as u32),
        Test::Is(argument, libc::SIGUSR2 as u32),
        Test::Is(argument, libc::SIGIO as u32),
        Test::HasAny(argument, 0x60),
    ]
}

/// `FIONREAD` of ioctl_tty(2): how much there is to read.
const FIONREAD: u32 = 0x541B;

/// Those that read descriptor 0 or make another one of it.
const INPUT: &[(i64, &[Test])] = &[
    (libc::SYS_read, &[Test::Is(0, 0)]),
    (libc::SYS_readv, &[Test::Is(0, 0)]),
    (libc::SYS_pread64, &[Test::Is(0, 0)]),
    (libc::SYS_preadv, &[Test::Is(0, 0)]),
    (libc::SYS_preadv2, &[Test::Is(0, 0)]),
    (libc::SYS_recvfrom, &[Test::Is(0, 0)]),
    (libc::SYS_recvmsg, &[Test::Is(0, 0)]),
    (libc::SYS_splice, &[Test::Is(0, 0)]),
    (libc::SYS_tee, &[Test::Is(0, 0)]),
    (libc::SYS_copy_file_range, &[Test::Is(0, 0)]),
    (libc::SYS_sendfile, &[Test::Is(1, 0)]),
    (libc::SYS_dup, &[Test::Is(0, 0)]),
    (libc::SYS_dup3, &[Test::Is(0, 0)]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_dup2, &[Test::Is(0, 0)]),
    (libc::SYS_fcntl, &[Test::Is(0, 0)]),
    // Of this descriptor alone, as a shell's `read -t 0` asks.
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, &[Test::Is(0, 1)]),
    (libc::SYS_pselect6, &[Test::Is(0, 1)]),
    (libc::SYS_ioctl, &[Test::Is(1, FIONREAD)]),
    // Memory without a file has -1 in its place, as a rule.
    (libc::SYS_mmap, &[Test::Is(4, 0)]),
];

/// Whether uses of descriptor 0 are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor0 {
    /// They are not.
    Unwatched,
    /// They are.
    Watched,
}

/// What is to become of which call, for [`Filter::new`](super::seccomp::Filter::new).
pub fn rules(input: Descriptor0) -> Vec<(u32, Rule)> {
    let always = ALWAYS.iter().chain(FORMER).map(|number| (*number, Rule::Watch));
    let input = if input == Descriptor0::Watched { INPUT } else { &[] };
    let sometimes = SOMETIMES.iter().chain(input).map(|(number, tests)| (*number, Rule::WatchIf(tests)));
    always.chain(sometimes).filter_map(|(number, rule)| Some((u32::try_from(number).ok()?, rule))).collect()
}

/// Whether this process could have the rings of io_uring(7), through which calls go unseen.
pub fn has_rings() -> bool {
    // SAFETY: a ring without entries, and without a place for what is to be told of it, is refused.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 0, 0) };
    let forbidden = [Some(libc::ENOSYS), Some(libc::EPERM), Some(libc::EACCES)];
    answer != -1 || !forbidden.contains(&std::io::Error::last_os_error().raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::super::calls::decode;
    use super::*;

    #[test]
    fn each_call_that_is_watched_is_understood() {
        let rules = rules(Descriptor0::Watched);
        for (number, _) in rules.iter() {
            assert!(decode(*number, &[0; 6]).is_some(), "{number}");
        }
        for number in 0..=LAST {
            let is_watched = rules.iter().any(|(watched, _)| *watched == number);
            assert_eq!(decode(number, &[0; 6]).is_some(), is_watched, "{number}");
        }
        let mut numbers: Vec<u32> = rules.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "a number is named twice: {numbers:?}");
    }
}
