//! A cache as users name it: where it is, and what may be done with it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Bucket, Matching, Password, Proxies};

/// A member of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A folder.
    Folder(Cache),
    /// A store that many machines use.
    Remote(Box<Remote>),
}

impl Member {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Cache> {
        match self {
            Member::Folder(cache) => Some(cache),
            Member::Remote(_) => None,
        }
    }

    /// The store beyond this machine, if it is one.
    pub fn into_remote(self) -> Option<Remote> {
        match self {
            Member::Folder(_) => None,
            Member::Remote(remote) => Some(*remote),
        }
    }

    /// How it is asked for: by its name, or by its folder where it has none.
    pub fn word(&self) -> &OsStr {
        match self {
            Member::Folder(cache) => cache.word(),
            Member::Remote(remote) => OsStr::new(&remote.name),
        }
    }
}

/// A store beyond this machine, in which a team shares calls: objects under names, on an engine that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What it is called.
    pub name: String,
    /// Where it is, such as `file:///mnt/shared`.
    pub url: String,
    /// Whether anything is put there.
    pub access: CacheAccess,
    /// Whose calls are read and written in it: a level of trust, such as `main` or `pull-request`.
    pub namespace: String,
    /// Whose signatures are believed.
    pub trusted: Vec<KeySource>,
    /// What own objects are signed with.
    pub signing: Option<KeySource>,
    /// The commands whose calls may be put there.
    pub upload: Vec<Matching>,
    /// A program that tells what to send along, by the protocol of Bazel's credential helpers.
    pub helper: Option<String>,
    /// The folder for what programs and servers tell that proves who we are and holds for a while; none where it has no place.
    pub private: Option<PathBuf>,
    /// What a Redis is told, where no program tells it.
    pub password: Option<Password>,
    /// The file with whom to believe who says that he is its server; the system's own where there is none.
    pub certificates: Option<PathBuf>,
    /// What stands between us and its server.
    pub proxies: Proxies,
    /// Where it is and who may use it, if it is a bucket.
    pub bucket: Option<Box<Bucket>>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// As it is written: 64 hexadecimal digits, as in a file of a key.
    Literal(String),
    /// In a file, absolute.
    File(PathBuf),
    /// In a file of which nobody can tell where it is.
    Nowhere(String),
}

/// A folder that is a member of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// What it is called; the folder itself for one that was given by its path.
    pub name: String,
    /// Where it is, absolute.
    pub folder: PathBuf,
    /// Whether it may be written.
    pub access: CacheAccess,
    /// Who may look into it.
    pub sharing: Sharing,
    /// What it is kept down to.
    pub limits: CacheLimits,
}

impl Cache {
    fn word(&self) -> &OsStr {
        if self.name.contains('/') { self.folder.as_os_str() } else { OsStr::new(&self.name) }
    }
}

/// Whether a cache may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheAccess {
    /// It may.
    #[default]
    ReadWrite,
    /// By no road.
    ReadOnly,
}

/// Who may look into a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Its owner alone.
    #[default]
    Private,
    /// The members of the Unix group of its folder: they trust each other, since who may write may decide what is replayed.
    Group,
}

/// What a cache is kept down to; nothing is evicted for what is not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheLimits {
    /// How large it may become.
    pub max_size: Option<MaxSize>,
    /// How long ago a call may have been used last.
    pub max_age: Option<Duration>,
    /// How many calls there may be.
    pub max_entries: Option<u64>,
}

/// How large a cache may become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxSize {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the file system that it lies on.
    Percent(f64),
}

impl Eq for MaxSize {}
impl Eq for CacheLimits {}
