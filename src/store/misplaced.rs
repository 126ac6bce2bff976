//! What stands where a file or a folder of the store belongs: it is moved to quarantine, and the right one is made.
//!
//! Whoever writes mends what is in his way and nothing else, for he is about to need it; whoever only looks finds nothing
//! there. A link is misplaced wherever it leads: the store never reads nor writes through one, and what it leads to stays.

use std::io;
use std::path::Path;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::folder::{Folder, is_file, is_folder};
use crate::sys::clock;

/// Where damaged and misplaced things are kept for people to look at.
const QUARANTINE: &str = "quarantine";

impl Folder {
    /// Makes a folder unless it is there; its parent must be.
    pub fn make_folder(&self, name: &str) -> io::Result<()> {
        if self.make_new_folder(name)? || self.stat(name)?.is_none_or(|stat| is_folder(&stat)) {
            return Ok(());
        }
        self.quarantine(name)?;
        Ok(self.make_new_folder(name).map(drop)?)
    }

    /// Makes the folders above `name`; mostly only the last one is missing.
    pub fn make_parents(&self, name: &str) -> io::Result<()> {
        let Some((parent, _)) = name.rsplit_once('/') else { return Ok(()) };
        match self.make_new_folder(parent) {
            Ok(true) => Ok(()),
            Ok(false) => self.make_folder(parent),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make_parents(parent)?;
                self.make_folder(parent)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes room for a file that is to be called `name`: its folders are there then, and nothing that is no file.
    pub fn make_way(&self, name: &str) -> io::Result<()> {
        self.make_parents(name)?;
        match self.stat(name)? {
            Some(stat) if !is_file(&stat) => self.quarantine(name),
            _ => Ok(()),
        }
    }

    /// What is wrong with what is at `name`, where a folder belongs; `None` for a folder and for nothing.
    ///
    /// # Errors
    ///
    /// Where it cannot be looked at.
    pub fn folder_fault(&self, name: &str) -> io::Result<Option<String>> {
        Ok(self.stat(name)?.filter(|stat| !is_folder(stat)).map(|_| "it is not a folder".to_owned()))
    }

    /// Moves a damaged thing to `quarantine/`, out of the way of a whole one, for people to look at.
    pub fn quarantine(&self, name: &str) -> io::Result<()> {
        let to = format!("{QUARANTINE}/{}.{}", name.replace('/', "-"), clock::now());
        let moved = || self.rename(Path::new(name), &to, RenameFlags::empty());
        match moved() {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make_quarantine()?;
                Ok(moved()?)
            }
            other => Ok(other?),
        }
    }

    /// Makes the folder for damaged things; what is in its place goes into it.
    fn make_quarantine(&self) -> io::Result<()> {
        if self.make_new_folder(QUARANTINE)? || self.stat(QUARANTINE)?.is_none_or(|stat| is_folder(&stat)) {
            return Ok(());
        }
        let aside = format!("{QUARANTINE}.{}", clock::now());
        self.rename(Path::new(QUARANTINE), &aside, RenameFlags::empty())?;
        self.make_new_folder(QUARANTINE)?;
        Ok(self.rename(Path::new(&aside), &format!("{QUARANTINE}/{aside}"), RenameFlags::empty())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use crate::store::testing::{World, call, everything};

    /// Everything that can stand in a place, a link to a folder with something in it among them.
    fn misplace(world: &World, name: &str, number: usize) {
        let place = world.store.folder().join(name);
        let elsewhere = world.store.folder().parent().unwrap().join("elsewhere");
        if number == 0 && !elsewhere.exists() {
            fs::create_dir(&elsewhere).unwrap();
            fs::write(elsewhere.join("precious"), "precious").unwrap();
        }
        let _ = fs::remove_dir_all(&place).or_else(|_| fs::remove_file(&place));
        match number {
            0 => symlink(&elsewhere, &place).unwrap(),
            1 => symlink("nowhere", &place).unwrap(),
            2 => symlink(&place, &place).unwrap(),
            3 => fs::write(&place, "x").unwrap(),
            4 => rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
            _ => drop(std::os::unix::net::UnixListener::bind(&place).unwrap()),
        }
    }

    #[test]
    fn whoever_stores_makes_folders_of_what_is_none_and_follows_no_link() {
        for name in ["calls", "paths", "values", "tmp", "quarantine"] {
            for number in 0..6 {
                let world = World::new();
                misplace(&world, name, number);
                let elsewhere = world.store.folder().parent().unwrap().join("elsewhere");
                let before = elsewhere.exists().then(|| everything(&elsewhere));
                let stored = world.record(call("a"));
                let content = world.keep(&[7; 20_000]);
                assert_eq!(world.store.call(&stored.key).unwrap().as_ref(), Some(&stored), "{name} {number}");
                assert!(world.store.value(&content).is_ok(), "{name} {number}");
                // Where nothing was damaged nobody needs a quarantine.
                if name == "quarantine" {
                    world.store.folder.quarantine("layout-1").unwrap();
                }
                let is_folder = fs::symlink_metadata(world.store.folder().join(name)).unwrap().is_dir();
                assert!(is_folder, "{name} {number}");
                let kept = fs::read_dir(world.store.folder().join("quarantine")).unwrap().count();
                assert_eq!(kept, if name == "quarantine" { 2 } else { 1 }, "{name} {number}");
                assert_eq!(before, elsewhere.exists().then(|| everything(&elsewhere)), "{name} {number}");
            }
        }
    }

    #[test]
    fn what_is_opened_to_be_written_is_a_file_of_the_store() {
        for number in 0..6 {
            let world = World::new();
            for name in ["journal", "sessions"] {
                misplace(&world, name, number);
            }
            let elsewhere = world.store.folder().parent().unwrap().join("elsewhere");
            let before = elsewhere.exists().then(|| everything(&elsewhere));
            for name in ["journal", "sessions/one", "lock"] {
                let file = world.store.folder.open_to_append(name).unwrap();
                assert!(file.metadata().unwrap().is_file(), "{name} {number}");
            }
            misplace(&world, "lock", number);
            let file = world.store.folder.open_or_create("lock").unwrap();
            assert!(file.metadata().unwrap().is_file(), "{number}");
            assert_eq!(before, elsewhere.exists().then(|| everything(&elsewhere)), "{number}");
        }
    }

    #[test]
    fn what_is_in_its_place_or_is_not_there_stays_so() {
        let world = World::new();
        let folder = &world.store.folder;
        folder.make_way("layout-1").unwrap();
        assert!(folder.stat("layout-1").unwrap().is_some() && folder.stat("quarantine").unwrap().is_none());
        folder.write("damaged", b"x").unwrap();
        folder.quarantine("damaged").unwrap();
        let before = folder.names("quarantine").unwrap();
        assert!(folder.quarantine("damaged").is_err());
        assert_eq!((folder.names("quarantine").unwrap(), before.len()), (before, 1));
    }
}
