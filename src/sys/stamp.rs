//! Stamps of files, and whether a stamp proves anything.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Stat, StatFs, fstat, fstatfs, statat, statfs};

use crate::model::Stamp;

/// How much older than now a stamp on a local file system must be. Kernels stamp with the tick of
/// their timer (4 to 10 ms), FAT with two seconds.
const LOCAL_RESOLUTION: i64 = 2_000_000_000;
/// On a network file system the stamp is by another machine's clock.
const REMOTE_RESOLUTION: i64 = 3_600_000_000_000;

/// `f_type` of file systems whose stamps are made elsewhere: NFS, SMB, SMB2, CIFS, 9P, FUSE, AFS, Ceph, Lustre, GFS2, OCFS2, VirtualBox.
const REMOTE: [u64; 12] = [
    0x6969,
    0x517b,
    0xfe53_4d42,
    0xff53_4d42,
    0x0102_1997,
    0x6573_5546,
    0x5346_414f,
    0x00c3_6400,
    0x0bd0_0bd0,
    0x0116_1970,
    0x7461_636f,
    0x786f_4256,
];

/// `f_type` of file systems in which there are no files but ways to talk to the kernel: proc, sysfs, debugfs, tracefs, cgroup,
/// cgroup2, securityfs, configfs, selinuxfs, efivarfs, bpf.
const OF_KERNEL: [u64; 11] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x0027_e0eb,
    0x6367_7270,
    0x7363_6673,
    0x6265_6570,
    0xf97c_ff8c,
    0xde5e_81e4,
    0xcafe_4a11,
];

/// The stamp of what `path` leads to, links followed.
pub fn of(path: &Path) -> io::Result<Stamp> {
    Ok(from_stat(&statat(CWD, path, AtFlags::empty())?))
}

/// The stamp of `path` itself, a link not followed.
pub fn of_link(path: &Path) -> io::Result<Stamp> {
    Ok(from_stat(&statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// The stamp of an open file.
pub fn of_file(file: &File) -> io::Result<Stamp> {
    Ok(from_stat(&fstat(file)?))
}

/// The stamp in a `stat` structure.
pub fn from_stat(stat: &Stat) -> Stamp {
    Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: stat.st_size as u64,
        modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
        changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        mode: stat.st_mode,
    }
}

/// Whether `stamp`, just read from `file` at `now`, is so old that any later change must give another one.
///
/// A younger stamp is "racy", as in git's index: a second write within the resolution of the file
/// system's clock leaves it as it is. A stamp from the future proves nothing either.
pub fn is_settled(stamp: &Stamp, file: impl AsFd, now: i64) -> bool {
    is_old(stamp, now, || is_local(file))
}

/// The same of what lies at `path`, a link followed.
pub fn is_settled_at(stamp: &Stamp, path: &Path, now: i64) -> bool {
    is_old(stamp, now, || statfs(path).is_ok_and(|system| !is_remote(&system)))
}

/// Whether `stamp` is older than the clock of its file system is coarse.
fn is_old(stamp: &Stamp, now: i64, is_local: impl FnOnce() -> bool) -> bool {
    let age = now.saturating_sub(stamp.modified.max(stamp.changed));
    age > REMOTE_RESOLUTION || age > LOCAL_RESOLUTION && is_local()
}

/// Whether the stamps of `file` are by this machine's clock.
pub fn is_local(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|system| !is_remote(&system))
}

fn is_remote(system: &StatFs) -> bool {
    REMOTE.contains(&(system.f_type as u32 as u64))
}

/// Whether `file` is where only this machine writes, and where reading it does nothing else.
pub fn is_plain(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|system| {
        let kind = system.f_type as u32 as u64;
        !REMOTE.contains(&kind) && !OF_KERNEL.contains(&kind)
    })
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
