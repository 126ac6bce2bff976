//! What can happen to a file or folder.

use std::ffi::CString;
use std::fmt::{self, Display};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::scene::Scene;
use crate::world::is_root;

/// What is done to the bytes of a file.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// One bit is another.
    Flipped(usize),
    /// So many bytes are left.
    Cut(usize),
    /// These come after it.
    Appended(&'static [u8]),
    /// All of them are zero.
    Zeroed,
    /// The whole file once more.
    Doubled,
}

impl Bytes {
    /// Does it; afterwards the bytes are others than before.
    #[track_caller]
    pub fn to(&self, path: &Path) {
        let before = fs::read(path).unwrap();
        let mut bytes = before.clone();
        match self {
            // Times are written in so many bytes as they need, so that a file may be shorter by some than it was counted.
            Bytes::Flipped(bit) => {
                let at = (bit / 8).min(before.len() - 1);
                bytes[at] ^= 1 << (bit % 8);
            }
            Bytes::Cut(length) => bytes.truncate((*length).min(before.len() - 1)),
            Bytes::Appended(more) => bytes.extend_from_slice(more),
            Bytes::Zeroed => bytes.fill(0),
            Bytes::Doubled => bytes.extend_from_within(..),
        }
        assert_ne!(bytes, before, "{} is not damaged by {self:?}", path.display());
        rewrite(path, &bytes);
    }
}

/// Puts other bytes into the very file, whatever its mode, as a failing disk does: its times stay.
pub fn rewrite(path: &Path, bytes: &[u8]) {
    let found = fs::metadata(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::File::open(path).unwrap().set_modified(found.modified().unwrap()).unwrap();
    fs::set_permissions(path, found.permissions()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().ino(), found.ino());
}

/// What a file or folder is replaced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    Folder,
    FolderWithFiles,
    EmptyFile,
    Noise,
    Fifo,
    Socket,
    /// A device that takes everything and gives nothing.
    NullDevice,
    /// A device that never ends.
    ZeroDevice,
    LinkToNothing,
    LinkToItself,
    /// A link to what was here, which is elsewhere now and not ours.
    LinkToItsCopy,
    /// A link to an empty file or folder elsewhere.
    LinkToEmpty,
    /// A link to a text that is precious.
    LinkToText,
}

pub const KINDS: [Kind; 14] = [
    Kind::Nothing,
    Kind::Folder,
    Kind::FolderWithFiles,
    Kind::EmptyFile,
    Kind::Noise,
    Kind::Fifo,
    Kind::Socket,
    Kind::NullDevice,
    Kind::ZeroDevice,
    Kind::LinkToNothing,
    Kind::LinkToItself,
    Kind::LinkToItsCopy,
    Kind::LinkToEmpty,
    Kind::LinkToText,
];

impl Kind {
    /// Whether this machine lets us make one.
    pub fn is_possible(self) -> bool {
        match self {
            Kind::NullDevice | Kind::ZeroDevice => {
                let folder = tempfile::tempdir().unwrap();
                is_root() && device(&folder.path().join("device"), 3)
            }
            _ => true,
        }
    }

    /// Puts one in the place of what is at `path`; gives the folder elsewhere in which nothing may change.
    #[track_caller]
    pub fn replace(self, path: &Path, scene: &Scene) -> PathBuf {
        let foreign = scene.world.root().join("foreign");
        crate::scene::clear(&foreign);
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("text"), "precious").unwrap();
        let (kept, empty) = (foreign.join("kept"), foreign.join("empty"));
        let was_folder = path.is_dir();
        crate::scene::copy(path, &kept, scene);
        if was_folder {
            fs::create_dir(&empty).unwrap();
            // Older than any grace period, and so are those that are copied with their times.
            fs::write(kept.join("precious"), "precious").unwrap();
        } else {
            fs::write(&empty, "").unwrap();
        }
        [&foreign, &kept, &empty, &foreign.join("text")].iter().for_each(|path| scene.own(path));
        crate::scene::clear(path);
        match self {
            Kind::Nothing => {}
            Kind::Folder => fs::create_dir(path).unwrap(),
            Kind::FolderWithFiles => {
                fs::create_dir(path).unwrap();
                fs::write(path.join("file"), "x").unwrap();
                fs::create_dir(path.join("folder")).unwrap();
            }
            Kind::EmptyFile => fs::write(path, "").unwrap(),
            Kind::Noise => fs::write(path, noise(5000)).unwrap(),
            Kind::Fifo => {
                let name = CString::new(path.as_os_str().as_bytes()).unwrap();
                // SAFETY: the name ends with a zero byte.
                assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            }
            Kind::Socket => {
                // A socket's path has to be short.
                let bound = tempfile::tempdir_in(scene.world.root().parent().unwrap()).unwrap();
                drop(std::os::unix::net::UnixListener::bind(bound.path().join("s")).unwrap());
                fs::rename(bound.path().join("s"), path).unwrap();
            }
            Kind::NullDevice => assert!(device(path, 3)),
            Kind::ZeroDevice => assert!(device(path, 5)),
            Kind::LinkToNothing => symlink(foreign.join("nothing"), path).unwrap(),
            Kind::LinkToItself => symlink(path, path).unwrap(),
            Kind::LinkToItsCopy => symlink(&kept, path).unwrap(),
            Kind::LinkToEmpty => symlink(&empty, path).unwrap(),
            Kind::LinkToText => symlink(foreign.join("text"), path).unwrap(),
        }
        if self != Kind::Nothing {
            scene.own(path);
        }
        assert_eq!(kind_of(path), self.seen(), "{} was not replaced", path.display());
        foreign
    }

    /// What `stat(2)` says of one.
    fn seen(self) -> Option<u32> {
        match self {
            Kind::Nothing => None,
            Kind::Folder | Kind::FolderWithFiles => Some(libc::S_IFDIR),
            Kind::EmptyFile | Kind::Noise => Some(libc::S_IFREG),
            Kind::Fifo => Some(libc::S_IFIFO),
            Kind::Socket => Some(libc::S_IFSOCK),
            Kind::NullDevice | Kind::ZeroDevice => Some(libc::S_IFCHR),
            _ => Some(libc::S_IFLNK),
        }
    }
}

impl Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{self:?}")
    }
}

fn kind_of(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|found| found.mode() & libc::S_IFMT)
}

/// Bytes that mean nothing, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|number| (number.wrapping_add(7).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Makes a character device of memory (major number 1); says whether that is possible.
fn device(path: &Path, minor: u32) -> bool {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name ends with a zero byte.
    let made = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, minor)) == 0 };
    // In a container it may be made and not opened; reading is what matters.
    made && fs::File::open(path).is_ok()
}
