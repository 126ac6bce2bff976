//! Files that somebody may have put something else in the place of: opened without waiting, and read no further than they may be
//! long.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Opens the file at `path` to be read, with these flags beside the usual ones; `None` where something is there that is no file. Who
/// writes into a FIFO is not waited for.
///
/// # Errors
///
/// As open(2).
pub fn open(path: &Path, more: OFlags) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        // A socket.
        Err(Errno::NXIO) => return Ok(None),
        opened => File::from(opened?),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// What is left of a file; `None` where that is longer than so many bytes. Some files of the kernel's say that they are empty and
/// never end.
///
/// # Errors
///
/// As read(2).
pub fn up_to(longest: u64, file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((read as u64 <= longest).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_opened_and_only_short_ones_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("name");
        assert_eq!(open(&path, OFlags::empty()).unwrap_err().kind(), io::ErrorKind::NotFound);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR).unwrap();
        assert!(open(&path, OFlags::empty()).unwrap().is_none());
        assert!(open(folder.path(), OFlags::empty()).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "12345").unwrap();
        let read = |longest| up_to(longest, open(&path, OFlags::empty()).unwrap().unwrap()).unwrap();
        assert_eq!((read(5), read(4)), (Some(b"12345".to_vec()), None));
        // It says that it is empty.
        let maps = open(Path::new("/proc/self/maps"), OFlags::empty()).unwrap().unwrap();
        assert_eq!(maps.metadata().unwrap().len(), 0);
        assert_eq!(up_to(100, maps).unwrap(), None);
        assert!(open(Path::new("/dev/zero"), OFlags::empty()).unwrap().is_none());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(open(&socket, OFlags::empty()).unwrap().is_none());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link, OFlags::NOFOLLOW).is_err() && open(&link, OFlags::empty()).unwrap().is_some());
    }
}
