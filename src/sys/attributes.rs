//! Extended attributes of files, see xattr(7): those that programs and users set.

use std::ffi::CStr;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

use crate::model::{Digest, Writer};

/// Prefixes of those that count; the others (of SELinux, of integrity) are the system's to give.
const COUNTING: &[&[u8]] = &[b"user.", b"trusted.", b"system.posix_acl_", b"security.capability"];

/// Whether an attribute of this name counts.
pub fn counts(name: &[u8]) -> bool {
    COUNTING.iter().any(|prefix| name.starts_with(prefix))
}

/// The digest of names and values of those that are at `path` itself, a link not followed; `None` where there are none, or
/// none can be.
pub fn digest(path: &Path) -> Option<Digest> {
    let mut names = Vec::new();
    filled(&mut names, |room| llistxattr(path, spare_capacity(room)))?;
    let mut found: Vec<&CStr> =
        names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()).collect();
    found.retain(|name| counts(name.to_bytes()));
    if found.is_empty() {
        return None;
    }
    found.sort_unstable();
    let mut writer = Writer::new();
    let mut value = Vec::new();
    for name in found {
        let is_known = filled(&mut value, |room| lgetxattr(path, name, spare_capacity(room))).is_some();
        writer.bytes(name.to_bytes()).number(u64::from(is_known)).bytes(&value);
    }
    Some(Digest::of(&writer.into_bytes()))
}

/// Has `read` fill `buffer`, which grows until all fits.
fn filled(buffer: &mut Vec<u8>, mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>) -> Option<()> {
    /// As large as the kernel allows a value to be.
    const MOST: usize = 64 << 10;
    let mut room = 256;
    loop {
        buffer.clear();
        buffer.reserve(room);
        match read(buffer) {
            Ok(_) => return Some(()),
            Err(Errno::RANGE) if room < MOST => room *= 16,
            Err(_) => {
                buffer.clear();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    #[test]
    fn names_and_values_tell_files_apart() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "").unwrap();
        assert_eq!(digest(&path), None);
        let set = |name: &str, value: &[u8]| setxattr(&path, name, value, XattrFlags::empty());
        if set("user.one", b"1").is_err() {
            // A file system without any.
            return;
        }
        let one = digest(&path);
        set("user.one", &[b'2'; 1000]).unwrap();
        let two = digest(&path);
        set("user.two", b"").unwrap();
        assert!(one.is_some() && two.is_some() && one != two && two != digest(&path));
        assert_eq!(digest(&folder.path().join("nothing")), None);
    }

    #[test]
    fn what_the_system_gives_does_not_count() {
        assert!(counts(b"user.x") && counts(b"system.posix_acl_access") && counts(b"security.capability"));
        assert!(!counts(b"security.selinux") && !counts(b"system.nfs4_acl"));
    }
}
