//! Objects as files below a folder that many machines have mounted.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, unlinkat};
use walkdir::WalkDir;

use super::Failure;
use super::engine::{Body, Engine, Listed};
use crate::sys::{clock, plain};

/// What the names of files begin with that are not whole yet.
pub const NEW: &str = ".new-";

/// A folder.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// The store in `folder`, which must be there: a mount that is missing is not to be filled in its place.
    pub fn new(folder: &Path) -> Mount {
        Mount { folder: folder.to_owned() }
    }

    fn check(&self) -> Result<(), Failure> {
        match fs::metadata(&self.folder) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(Failure::Unreachable(format!("`{}` is no folder", self.folder.display()))),
            Err(why) => Err(failed(&self.folder, &why)),
        }
    }
}

impl Mount {
    /// Makes the folders down to `folder`, for all who may use the store's own, whatever the umask is; gives that one's mode.
    /// Nothing is made behind a link: who may write the store must not lead us out of it.
    fn make(&self, folder: &Path) -> io::Result<u32> {
        let mode = fs::metadata(&self.folder)?.permissions().mode() & 0o7777;
        let mut made = self.folder.clone();
        for name in folder.strip_prefix(&self.folder).unwrap_or(Path::new("")) {
            made.push(name);
            match fs::create_dir(&made) {
                Ok(()) => fs::set_permissions(&made, Permissions::from_mode(mode))?,
                Err(_) if fs::symlink_metadata(&made)?.is_dir() => {}
                Err(why) => return Err(why),
            }
        }
        Ok(mode)
    }
}

impl Mount {
    /// A folder of the store, to which no link leads: who may write the store must not lead us out of it, to what is ours alone.
    fn beneath(&self, folder: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = open(&self.folder, flags, Mode::empty())?;
        for component in folder.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(at)
    }
}

impl Engine for Mount {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        let path = self.folder.join(name);
        match plain::open(&path, OFlags::empty()) {
            Ok(Some(file)) => Ok(Some(Box::new(file))),
            Ok(None) => Err(Failure::Wrong("it is no file".to_owned())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.check().map(|()| None),
            Err(why) => Err(failed(&path, &why)),
        }
    }

    /// Nobody can be told how long to wait for a mount.
    /// What somebody began to write a day ago, and will not finish any more, is among them: else nobody could take it away.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        self.check()?;
        let yesterday = clock::now().saturating_sub(clock::DAY);
        match self.beneath(Path::new(prefix)) {
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(why) => return Err(failed(&self.folder.join(prefix), &why)),
        }
        for entry in WalkDir::new(self.folder.join(prefix)).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // Objects come and go while they are listed.
                Err(why) if is_gone(&why) => continue,
                Err(why) => return Err(failed(&self.folder, &why.into())),
            };
            let name = entry.path().strip_prefix(&self.folder).ok().and_then(Path::to_str);
            let Some(name) = name.filter(|_| entry.file_type().is_file()) else { continue };
            let put = match entry.metadata() {
                Ok(found) => Some(found.mtime().saturating_mul(clock::SECOND).saturating_add(found.mtime_nsec())),
                // Its folder was read before.
                Err(why) if is_gone(&why) => continue,
                Err(_) => None,
            };
            let is_begun = entry.file_name().as_encoded_bytes().starts_with(NEW.as_bytes());
            if is_begun && put.is_none_or(|put| put > yesterday) {
                continue;
            }
            if each(&Listed { name, put }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let name = Path::new(name);
        let remove = || {
            let parent = self.beneath(name.parent().unwrap_or(Path::new("")))?;
            unlinkat(&parent, name.file_name().unwrap_or_default(), AtFlags::empty()).map_err(io::Error::from)
        };
        match remove() {
            Ok(()) => Ok(()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.check(),
            Err(why) => Err(failed(&path, &why)),
        }
    }

    fn put(&self, name: &str, body: Body) -> Result<(), Failure> {
        self.check()?;
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        let write = || -> io::Result<()> {
            let mode = self.make(folder)?;
            // Under a name that no object has, and moved once it is whole.
            let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
            file.as_file().set_permissions(Permissions::from_mode(mode & 0o666))?;
            match body {
                Body::Bytes(bytes) => file.write_all(bytes)?,
                Body::File(from) => drop(io::copy(from, &mut file)?),
            }
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|why| failed(&path, &why))
    }
}

fn is_gone(why: &walkdir::Error) -> bool {
    why.io_error().is_some_and(|why| why.kind() == io::ErrorKind::NotFound)
}

fn failed(path: &Path, why: &io::Error) -> Failure {
    let told = format!("`{}`: {}", path.display(), crate::error::cause(why));
    match why.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::Denied(told),
        _ => Failure::Unreachable(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mount: &Mount, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        mount.get(name).unwrap()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn an_object_is_there_once_it_is_whole_and_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mount = Mount::new(folder.path());
        assert_eq!(read(&mount, "v1/a/x"), None);
        mount.put("v1/a/x", Body::Bytes(b"one")).unwrap();
        assert_eq!(read(&mount, "v1/a/x"), Some(b"one".to_vec()));
        let mut two = tempfile::tempfile().unwrap();
        two.write_all(b"two").unwrap();
        io::Seek::rewind(&mut two).unwrap();
        mount.put("v1/a/x", Body::File(&mut two)).unwrap();
        assert_eq!(read(&mount, "v1/a/x"), Some(b"two".to_vec()));
        assert_eq!(fs::read_dir(folder.path().join("v1/a")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_whole_is_listed_and_can_be_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let mount = Mount::new(folder.path());
        let listed = |most: usize| {
            let mut names = Vec::new();
            let heard = mount.list("v1/a/", &mut |listed| {
                assert!(listed.put.is_some());
                names.push(listed.name.to_owned());
                if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            heard.map(|()| names)
        };
        assert_eq!(listed(9), Ok(Vec::new()));
        for name in ["v1/a/y", "v1/a/x/z", "v1/b/w"] {
            mount.put(name, Body::Bytes(b"one")).unwrap();
        }
        fs::write(folder.path().join("v1/a/.new-1"), "half").unwrap();
        assert_eq!(listed(9), Ok(vec!["v1/a/x/z".to_owned(), "v1/a/y".to_owned()]));
        // What was given up long ago can be taken away.
        let left = folder.path().join("v1/a/.new-0");
        fs::write(&left, "half").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 60 * 60);
        fs::File::options().write(true).open(&left).unwrap().set_modified(then).unwrap();
        assert_eq!(listed(1), Ok(vec!["v1/a/.new-0".to_owned()]));
        mount.remove("v1/a/.new-0").unwrap();
        assert_eq!(listed(1), Ok(vec!["v1/a/x/z".to_owned()]));
        mount.remove("v1/a/y").unwrap();
        mount.remove("v1/a/y").unwrap();
        assert_eq!(listed(9), Ok(vec!["v1/a/x/z".to_owned()]));
    }

    #[test]
    fn a_mount_that_is_missing_is_not_an_empty_store() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Mount::new(&folder.path().join("mnt"));
        assert!(matches!(missing.get("v1/a/x"), Err(Failure::Unreachable(_))));
        assert!(matches!(missing.put("v1/a/x", Body::Bytes(b"")), Err(Failure::Unreachable(_))));
        assert!(!folder.path().join("mnt").exists());
    }

    #[test]
    fn what_is_made_is_for_all_who_may_use_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777;
        for (of_store, of_files) in [(0o2777, 0o666), (0o2770, 0o660), (0o755, 0o644)] {
            fs::set_permissions(folder.path(), Permissions::from_mode(of_store)).unwrap();
            Mount::new(folder.path()).put("v1/a/x", Body::Bytes(b"one")).unwrap();
            assert_eq!([mode("v1"), mode("v1/a"), mode("v1/a/x")], [of_store, of_store, of_files]);
            fs::remove_dir_all(folder.path().join("v1")).unwrap();
        }
    }

    #[test]
    fn nothing_is_made_behind_a_link() {
        let [folder, victim] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("v1")).unwrap();
        std::os::unix::fs::symlink(victim.path(), folder.path().join("v1/a")).unwrap();
        assert!(Mount::new(folder.path()).put("v1/a/x", Body::Bytes(b"one")).is_err());
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_behind_a_link_is_listed_or_taken_away() {
        let [folder, victim] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let own = format!("ab/{}", "ab".repeat(32));
        fs::create_dir(victim.path().join("ab")).unwrap();
        fs::write(victim.path().join(&own), "mine").unwrap();
        fs::create_dir_all(folder.path().join("v1/a")).unwrap();
        std::os::unix::fs::symlink(victim.path(), folder.path().join("v1/a/main")).unwrap();
        std::os::unix::fs::symlink(victim.path(), folder.path().join("v1/b")).unwrap();
        let mount = Mount::new(folder.path());
        for prefix in ["v1/a/main/", "v1/b/"] {
            let mut names = Vec::new();
            let listed = mount.list(prefix, &mut |listed| {
                names.push(listed.name.to_owned());
                ControlFlow::Continue(())
            });
            assert!(listed.is_err() && names.is_empty(), "{names:?}");
            assert!(mount.remove(&format!("{prefix}{own}")).is_err());
        }
        assert!(mount.remove("v1/a/../../../x").is_err());
        assert_eq!(fs::read(victim.path().join(&own)).unwrap(), b"mine");
    }

    #[test]
    fn what_is_no_file_is_no_object() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("v1/a/x")).unwrap();
        assert!(matches!(Mount::new(folder.path()).get("v1/a/x"), Err(Failure::Wrong(_))));
    }
}
