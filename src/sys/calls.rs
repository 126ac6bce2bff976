//! The system calls that name, list, create, change or remove files, or that reach beyond the command: which argument says what.

/// A path as a call gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The descriptor of the folder that a relative path begins at; `None` for the working directory.
    pub folder: Option<i32>,
    /// Where in the memory of the process the path is.
    pub path: u64,
    /// Whether a link at its end is followed.
    pub end: End,
    /// Whether an empty path, or none, means what is open at `folder`.
    pub empty: Empty,
}

/// What becomes of a link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The call is about what the link leads to.
    Followed,
    /// It is about the link.
    Kept,
}

/// What an empty path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Nothing: the call fails.
    Nothing,
    /// What is open at the descriptor.
    Descriptor,
}

/// How a file is opened, see open(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening(u64);

impl Opening {
    /// From the flags of open(2).
    pub fn of(flags: u64) -> Opening {
        Opening(flags)
    }

    fn has(self, flag: i32) -> bool {
        self.0 & flag as u64 == flag as u64
    }

    /// Only a place in the tree is wanted (`O_PATH`).
    pub fn is_place(self) -> bool {
        self.has(libc::O_PATH)
    }

    /// A file without a name is made (`O_TMPFILE`).
    pub fn is_nameless(self) -> bool {
        self.has(libc::O_TMPFILE)
    }

    /// Only a folder is wanted.
    pub fn is_folder(self) -> bool {
        self.has(libc::O_DIRECTORY)
    }

    /// It is made if it is not there.
    pub fn creates(self) -> bool {
        self.has(libc::O_CREAT)
    }

    /// It must not be there.
    pub fn is_exclusive(self) -> bool {
        self.has(libc::O_CREAT | libc::O_EXCL)
    }

    /// What it holds is thrown away.
    pub fn empties(self) -> bool {
        self.has(libc::O_TRUNC)
    }

    /// It is opened for writing too, or only for that.
    pub fn writes(self) -> bool {
        self.0 & libc::O_ACCMODE as u64 != libc::O_RDONLY as u64
    }

    /// Something may be other than before.
    pub fn changes(self) -> bool {
        self.creates() || self.empties() || self.writes()
    }

    /// It is opened for both at once, and without waiting: a look whether there is a terminal.
    pub fn is_probe(self) -> bool {
        self.has(libc::O_NONBLOCK) && self.0 & libc::O_ACCMODE as u64 == libc::O_RDWR as u64
    }

    /// What becomes of a link at the end of the path.
    pub fn end(self) -> End {
        // A file that must not be there may not be a link either.
        kept_if(self.has(libc::O_NOFOLLOW) || self.is_exclusive())
    }
}

/// What statx(2) is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(u64);

impl Asked {
    const RARE: u64 = (libc::STATX_INO | libc::STATX_ATIME | libc::STATX_CTIME | libc::STATX_BTIME) as u64;

    /// The inode is among it, or a time that nobody can set.
    pub fn is_rare(self) -> bool {
        self.0 & Asked::RARE != 0
    }

    /// All that stat(2) tells is among it, be it wanted or not.
    pub fn is_all(self) -> bool {
        let all = u64::from(libc::STATX_BASIC_STATS);
        self.0 & all == all
    }
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A file is opened.
    Open(At, Opening),
    /// The same, with the flags in the memory of the process: `struct open_how`, of which the first word holds the flags of
    /// open(2) and the third how the path is resolved.
    OpenHow(At, u64),
    /// What stat(2) tells is asked for.
    Stat(At),
    /// What of it this mask says.
    StatOf(At, Asked),
    /// Something less is.
    Access(At),
    /// An extended attribute is read, of which the name is at this address, or the names of all (0).
    ReadAttribute(At, u64),
    /// An extended attribute is set or removed, of which the name is at this address.
    SetAttribute(At, u64),
    /// What is known of the whole file system is asked for.
    Volume(At),
    /// The text of a link is read.
    ReadLink(At),
    /// A program is executed.
    Execute(At),
    /// What is in the folder at this descriptor is listed.
    List(i32),
    /// A folder becomes the working directory.
    Enter(At),
    /// A folder is made.
    MakeFolder(At),
    /// A link or a node is made.
    Make(At),
    /// A file gets another name.
    Link(At, At),
    /// A name is removed.
    Remove(At),
    /// An empty folder is removed.
    RemoveFolder(At),
    /// Something is moved.
    Move(At, At, Moving),
    /// Content or attributes are changed.
    Alter(At),
    /// Times are set.
    Date(At, Times),
    /// A socket is made: of this domain and type.
    Socket(u64, u64),
    /// To this process, or to a group of processes, is sent this signal.
    Signal(i32, u64),
    /// A socket is given a partner: its descriptor, where the address is, how long that is.
    Connect(i32, u64, u64),
    /// A message is sent as the `struct msghdr` at this address says.
    Send(u64),
    /// A socket is given an address.
    Bind(i32, u64, u64),
    /// The descriptor is read, or another one made of it.
    Use(i32),
    /// Something that others may share is used.
    Shared(&'static str),
    /// A process is made as the structure at this address says.
    Clone(u64),
    /// The process filters its system calls as the `struct sock_fprog` at this address says.
    Filter(u64),
    /// It wants rings of io_uring(7).
    Ring,
    /// This signal is to do what the structure at this address says.
    Handle(u64, u64),
    /// It has itself sent signals by a timer.
    Alarm(Alarm),
    /// Something that does not do the same if somebody watches.
    Disturbed(&'static str),
    /// Something at which nobody can be watched.
    Unwatchable(&'static str),
    /// Something that needs not be known of: only so many arguments were to be looked at.
    Nothing,
}

/// What sends a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Whoever makes the call, or a timer that always sends this one.
    Signal(u64),
    /// One of the three timers of setitimer(2), and where it is told when it is to ring.
    Timer(u64, u64),
    /// What the `struct sigevent` at this address says; 0 for SIGALRM.
    Event(u64),
}

/// How something is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// What is at the new name is replaced.
    Over,
    /// There must be nothing.
    Onto,
    /// Both change places.
    Exchange,
}

/// Which times are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Now.
    Now,
    /// Those at this address, two `struct timespec`, of which the second is the modification time.
    At(u64),
    /// Some that the call names.
    Given,
}

/// `UTIME_NOW` and `UTIME_OMIT` of utimensat(2), in the place of nanoseconds.
pub const UTIME_SPECIAL: [u64; 2] = [(1 << 30) - 1, (1 << 30) - 2];
/// `RESOLVE_IN_ROOT` of openat2(2): absolute paths and links begin at the descriptor.
pub const RESOLVE_IN_ROOT: u64 = 0x10;
/// Flags of clone(2) that take a process out of the view of its parent.
pub const NEW_SPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;

pub(super) const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
/// What is done to other processes.
pub const SIGNAL: &str = "it sent a signal to another process";
const SPACE: &str = "it made a namespace of its own";
const MOUNT: &str = "it changed what is mounted";
const HANDLE: &str = "it opened files without their names";
const LISTENER: &str = "it filters system calls itself";
const STRICT: &str = "it forbids itself all system calls but a few";
const NOTIFY: &str = "it asked to be told of changes of files";

fn kept_if(is_kept: bool) -> End {
    if is_kept { End::Kept } else { End::Followed }
}

fn path(path: u64) -> At {
    At { folder: None, path, end: End::Followed, empty: Empty::Nothing }
}

fn at(folder: u64, path: u64) -> At {
    let folder = folder as i32;
    At { folder: (folder != libc::AT_FDCWD).then_some(folder), path, end: End::Followed, empty: Empty::Nothing }
}

fn descriptor(number: u64) -> At {
    At { folder: Some(number as i32), path: 0, end: End::Followed, empty: Empty::Descriptor }
}

impl At {
    fn kept(self) -> At {
        At { end: End::Kept, ..self }
    }

    /// With the flags of the `*at` family.
    fn with(self, flags: u64) -> At {
        let is_empty = flags as i32 & libc::AT_EMPTY_PATH != 0;
        At {
            end: kept_if(flags as i32 & libc::AT_SYMLINK_NOFOLLOW != 0),
            empty: if is_empty { Empty::Descriptor } else { Empty::Nothing },
            ..self
        }
    }
}

/// What the call is about; `None` for one that is not watched.
pub fn decode(number: u32, a: &[u64; 6]) -> Option<Call> {
    #[cfg(target_arch = "x86_64")]
    if let Some(call) = decode_former(number, a) {
        return Some(call);
    }
    Some(match i64::from(number) {
        libc::SYS_openat => {
            let opening = Opening(a[2]);
            Call::Open(At { end: opening.end(), ..at(a[0], a[1]) }, opening)
        }
        libc::SYS_openat2 => Call::OpenHow(at(a[0], a[1]), a[2]),
        libc::SYS_newfstatat => Call::Stat(at(a[0], a[1]).with(a[3])),
        libc::SYS_statx => Call::StatOf(at(a[0], a[1]).with(a[2]), Asked(a[3])),
        libc::SYS_faccessat => Call::Access(at(a[0], a[1])),
        libc::SYS_faccessat2 => Call::Access(at(a[0], a[1]).with(a[3])),
        libc::SYS_statfs => Call::Volume(path(a[0])),
        libc::SYS_getxattr => Call::ReadAttribute(path(a[0]), a[1]),
        libc::SYS_lgetxattr => Call::ReadAttribute(path(a[0]).kept(), a[1]),
        libc::SYS_fgetxattr => Call::ReadAttribute(descriptor(a[0]), a[1]),
        libc::SYS_listxattr => Call::ReadAttribute(path(a[0]), 0),
        libc::SYS_llistxattr => Call::ReadAttribute(path(a[0]).kept(), 0),
        libc::SYS_flistxattr => Call::ReadAttribute(descriptor(a[0]), 0),
        GETXATTRAT => Call::ReadAttribute(at(a[0], a[1]).with(a[2]), a[3]),
        LISTXATTRAT => Call::ReadAttribute(at(a[0], a[1]).with(a[2]), 0),
        FILE_GETATTR => Call::Access(at(a[0], a[1])),
        libc::SYS_readlinkat => Call::ReadLink(At { empty: Empty::Descriptor, ..at(a[0], a[1]).kept() }),
        libc::SYS_execve => Call::Execute(path(a[0])),
        libc::SYS_execveat => Call::Execute(at(a[0], a[1]).with(a[4])),
        libc::SYS_getdents64 => Call::List(a[0] as i32),
        libc::SYS_chdir => Call::Enter(path(a[0])),
        libc::SYS_fchdir => Call::Enter(descriptor(a[0])),
        libc::SYS_mkdirat => Call::MakeFolder(at(a[0], a[1]).kept()),
        libc::SYS_mknodat => Call::Make(at(a[0], a[1]).kept()),
        libc::SYS_symlinkat => Call::Make(at(a[1], a[2]).kept()),
        libc::SYS_linkat => {
            let from = at(a[0], a[1]).with(a[4]);
            let end = kept_if(a[4] as i32 & libc::AT_SYMLINK_FOLLOW == 0);
            Call::Link(At { end, ..from }, at(a[2], a[3]).kept())
        }
        libc::SYS_unlinkat if a[2] as i32 & libc::AT_REMOVEDIR != 0 => Call::RemoveFolder(at(a[0], a[1]).kept()),
        libc::SYS_unlinkat => Call::Remove(at(a[0], a[1]).kept()),
        libc::SYS_renameat2 => Call::Move(at(a[0], a[1]).kept(), at(a[2], a[3]).kept(), moving(a[4])),
        #[allow(unreachable_patterns)]
        RENAMEAT => Call::Move(at(a[0], a[1]).kept(), at(a[2], a[3]).kept(), Moving::Over),
        libc::SYS_truncate => Call::Alter(path(a[0])),
        libc::SYS_setxattr | libc::SYS_removexattr => Call::SetAttribute(path(a[0]), a[1]),
        libc::SYS_lsetxattr | libc::SYS_lremovexattr => Call::SetAttribute(path(a[0]).kept(), a[1]),
        libc::SYS_fsetxattr | libc::SYS_fremovexattr => Call::SetAttribute(descriptor(a[0]), a[1]),
        libc::SYS_fchmod | libc::SYS_fchown => Call::Alter(descriptor(a[0])),
        SETXATTRAT | REMOVEXATTRAT => Call::SetAttribute(at(a[0], a[1]).with(a[2]), a[3]),
        FILE_SETATTR => Call::Alter(at(a[0], a[1]).with(EMPTY_PATH.into())),
        libc::SYS_fchmodat => Call::Alter(at(a[0], a[1])),
        FCHMODAT2 => Call::Alter(at(a[0], a[1]).with(a[3])),
        libc::SYS_fchownat => Call::Alter(at(a[0], a[1]).with(a[4])),
        libc::SYS_utimensat => {
            let times = if a[2] == 0 { Times::Now } else { Times::At(a[2]) };
            let place = if a[1] == 0 { descriptor(a[0]) } else { at(a[0], a[1]).with(a[3]) };
            Call::Date(place, times)
        }
        libc::SYS_kill | libc::SYS_rt_sigqueueinfo => Call::Signal(a[0] as i32, a[1]),
        // To one thread: so a program (cargo, for one) has a thread of its own leave a call that waits.
        libc::SYS_tkill | libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => Call::Signal(a[0] as i32, 0),
        // Whom the descriptor stands for is not told.
        libc::SYS_pidfd_send_signal => Call::Signal(0, a[1]),
        libc::SYS_socket => Call::Socket(a[0], a[1]),
        libc::SYS_connect => Call::Connect(a[0] as i32, a[1], a[2]),
        libc::SYS_sendto => Call::Connect(a[0] as i32, a[4], a[5]),
        libc::SYS_sendmsg | libc::SYS_sendmmsg => Call::Send(a[1]),
        libc::SYS_bind => Call::Bind(a[0] as i32, a[1], a[2]),
        libc::SYS_shmget => Call::Shared("System V shared memory"),
        libc::SYS_msgget => Call::Shared("a System V message queue"),
        libc::SYS_semget => Call::Shared("a System V semaphore"),
        libc::SYS_mq_open => Call::Shared("a POSIX message queue"),
        libc::SYS_clone3 => Call::Clone(a[0]),
        libc::SYS_clone | libc::SYS_unshare | libc::SYS_setns => Call::Unwatchable(SPACE),
        libc::SYS_chroot | libc::SYS_pivot_root => Call::Unwatchable("it changed its root folder"),
        libc::SYS_mount
        | libc::SYS_umount2
        | libc::SYS_move_mount
        | libc::SYS_fsopen
        | libc::SYS_open_tree
        | OPEN_TREE_ATTR
        | libc::SYS_mount_setattr => Call::Unwatchable(MOUNT),
        libc::SYS_seccomp if a[1] & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 => Call::Disturbed(LISTENER),
        libc::SYS_seccomp if a[0] as u32 == libc::SECCOMP_SET_MODE_FILTER => Call::Filter(a[2]),
        libc::SYS_seccomp => Call::Disturbed(STRICT),
        libc::SYS_prctl if a[0] as i32 != libc::PR_SET_SECCOMP => Call::Nothing,
        libc::SYS_prctl if a[1] == u64::from(libc::SECCOMP_MODE_FILTER) => Call::Filter(a[2]),
        libc::SYS_prctl => Call::Disturbed(STRICT),
        libc::SYS_io_uring_setup => Call::Ring,
        libc::SYS_rt_sigaction => Call::Handle(a[0], a[1]),
        libc::SYS_setitimer => Call::Alarm(Alarm::Timer(a[0], a[1])),
        libc::SYS_timer_create => Call::Alarm(Alarm::Event(a[1])),
        libc::SYS_name_to_handle_at | libc::SYS_open_by_handle_at => Call::Unwatchable(HANDLE),
        libc::SYS_inotify_add_watch | libc::SYS_fanotify_mark => Call::Unwatchable(NOTIFY),
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_pread64
        | libc::SYS_preadv
        | libc::SYS_preadv2
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_splice
        | libc::SYS_tee
        | libc::SYS_copy_file_range
        | libc::SYS_dup
        | libc::SYS_dup3
        | libc::SYS_mmap
        | libc::SYS_ioctl => Call::Use(used(number, a)),
        libc::SYS_fcntl if [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].contains(&(a[1] as i32)) => Call::Use(a[0] as i32),
        libc::SYS_fcntl => Call::Nothing,
        libc::SYS_sendfile => Call::Use(a[1] as i32),
        // Only where that is the only one.
        libc::SYS_pselect6 => Call::Use(0),
        _ => return None,
    })
}

/// Calls that newer machines do without.
#[cfg(target_arch = "x86_64")]
fn decode_former(number: u32, a: &[u64; 6]) -> Option<Call> {
    Some(match i64::from(number) {
        libc::SYS_open => {
            let opening = Opening(a[1]);
            Call::Open(At { end: opening.end(), ..path(a[0]) }, opening)
        }
        libc::SYS_creat => Call::Open(path(a[0]), Opening((libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64)),
        libc::SYS_stat => Call::Stat(path(a[0])),
        libc::SYS_lstat => Call::Stat(path(a[0]).kept()),
        libc::SYS_access => Call::Access(path(a[0])),
        libc::SYS_readlink => Call::ReadLink(path(a[0]).kept()),
        libc::SYS_getdents => Call::List(a[0] as i32),
        libc::SYS_mkdir => Call::MakeFolder(path(a[0]).kept()),
        libc::SYS_mknod => Call::Make(path(a[0]).kept()),
        libc::SYS_symlink => Call::Make(path(a[1]).kept()),
        libc::SYS_link => Call::Link(path(a[0]).kept(), path(a[1]).kept()),
        libc::SYS_unlink => Call::Remove(path(a[0]).kept()),
        libc::SYS_rmdir => Call::RemoveFolder(path(a[0]).kept()),
        libc::SYS_rename => Call::Move(path(a[0]).kept(), path(a[1]).kept(), Moving::Over),
        libc::SYS_chmod | libc::SYS_chown => Call::Alter(path(a[0])),
        libc::SYS_lchown => Call::Alter(path(a[0]).kept()),
        libc::SYS_utime | libc::SYS_utimes => Call::Date(path(a[0]), given(a[1])),
        libc::SYS_futimesat if a[1] == 0 => Call::Date(descriptor(a[0]), given(a[2])),
        libc::SYS_futimesat => Call::Date(at(a[0], a[1]), given(a[2])),
        libc::SYS_uselib => Call::Open(path(a[0]), Opening(0)),
        libc::SYS_alarm if a[0] == 0 => Call::Nothing,
        libc::SYS_alarm => Call::Alarm(Alarm::Signal(libc::SIGALRM as u64)),
        libc::SYS_dup2 => Call::Use(a[0] as i32),
        libc::SYS_select => Call::Use(0),
        _ => return None,
    })
}

#[cfg(target_arch = "x86_64")]
fn given(times: u64) -> Times {
    if times == 0 { Times::Now } else { Times::Given }
}

fn moving(flags: u64) -> Moving {
    match flags as libc::c_uint {
        flags if flags & libc::RENAME_EXCHANGE != 0 => Moving::Exchange,
        flags if flags & libc::RENAME_NOREPLACE != 0 => Moving::Onto,
        _ => Moving::Over,
    }
}

/// The descriptor that is read.
fn used(number: u32, a: &[u64; 6]) -> i32 {
    match i64::from(number) {
        libc::SYS_mmap if a[3] as i32 & libc::MAP_ANONYMOUS != 0 => -1,
        libc::SYS_mmap => a[4] as i32,
        _ => a[0] as i32,
    }
}

/// Whether a call has the process execute another program.
pub fn executes(number: u32) -> bool {
    [libc::SYS_execve, libc::SYS_execveat].contains(&i64::from(number))
}

/// Whether a call makes rings of io_uring(7).
pub fn makes_ring(number: u32) -> bool {
    i64::from(number) == libc::SYS_io_uring_setup
}

/// Numbers that all machines share and that not every C library knows.
pub(super) const FCHMODAT2: i64 = 452;
pub(super) const SETXATTRAT: i64 = 463;
pub(super) const GETXATTRAT: i64 = 464;
pub(super) const LISTXATTRAT: i64 = 465;
pub(super) const REMOVEXATTRAT: i64 = 466;
pub(super) const OPEN_TREE_ATTR: i64 = 467;
pub(super) const FILE_GETATTR: i64 = 468;
pub(super) const FILE_SETATTR: i64 = 469;
/// renameat(2), which the youngest machines lack.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) const RENAMEAT: i64 = libc::SYS_renameat;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const RENAMEAT: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_decide_about_links() {
        let open = |flags: i32| decode(libc::SYS_openat as u32, &[-100_i32 as u64, 7, flags as u64, 0, 0, 0]);
        let Some(Call::Open(at, opening)) = open(libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY) else { panic!() };
        assert_eq!((at.folder, at.end, opening.writes()), (None, End::Kept, true));
        let Some(Call::Open(at, opening)) = open(libc::O_RDONLY | libc::O_DIRECTORY) else { panic!() };
        assert_eq!((at.end, opening.writes(), opening.is_nameless()), (End::Followed, false, false));
        let link = decode(libc::SYS_linkat as u32, &[3, 7, 4, 8, libc::AT_SYMLINK_FOLLOW as u64, 0]);
        assert!(matches!(
            link,
            Some(Call::Link(At { end: End::Followed, folder: Some(3), .. }, At { end: End::Kept, .. }))
        ));
    }
}
