//! Listing the files that no call needs.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;

use rustix::fs::FileType;

use super::plan::{Maker, Unneeded};
use super::{Seen, Thing};
use crate::error::Error;
use crate::model::{CommandDigest, Digest, Key};
use crate::store::private::{self, Ownership};
use crate::store::{Catalogue, Progress, Store, outbox};
use crate::sys::{stamp, temporary};

/// What SQLite adds to the name of a database for its journal.
const JOURNAL: &str = "-journal";
/// Where calls are.
const CALLS: &str = "calls";
/// Parts of the listing: values and path sets by the first byte of their names.
const PARTS: u64 = 512;

impl Store {
    /// Shows every file that no call needs, but for those calls that are `gone`.
    pub(super) fn each_unneeded(
        &self,
        catalogue: &Catalogue,
        gone: &HashSet<Key>,
        progress: Progress,
        mut show: impl FnMut(Unneeded),
    ) -> Result<(), Error> {
        for shard in 0..=255u8 {
            progress(u64::from(shard), PARTS);
            let present = self.digests_in("values", shard)?;
            if !present.is_empty() {
                let named = catalogue.values_named(shard, gone)?;
                let unnamed = present.into_iter().filter(|digest| !named.contains(digest));
                self.show_all(unnamed.map(Thing::Value), &mut show)?;
            }
        }
        for shard in 0..=255u8 {
            progress(256 + u64::from(shard), PARTS);
            let present = self.digests_in("paths", shard)?;
            if !present.is_empty() {
                let called = catalogue.commands_called(shard, gone)?;
                let uncalled = present.into_iter().map(CommandDigest).filter(|command| !called.contains(command));
                self.show_all(uncalled.map(Thing::PathSets), &mut show)?;
            }
            let stamps = self.texts_in(&format!("stamps/{shard:02x}"))?;
            self.show_all(stamps.into_iter().map(Thing::Stamp), &mut show)?;
        }
        self.show_all(self.texts_in("tmp")?.into_iter().map(Thing::Temporary), &mut show)?;
        self.show_all(self.texts_in("quarantine")?.into_iter().map(Thing::Quarantined), &mut show)?;
        let sessions = self.texts_in(crate::store::session::FOLDER)?;
        self.show_all(sessions.into_iter().map(Thing::Session), &mut show)?;
        for path in self.texts_in(outbox::FOLDER)? {
            self.show_all(self.texts_in(&path)?.into_iter().map(Thing::Waiting), &mut show)?;
            // Or it is no folder of entries, but what is remembered of the store.
            self.show_all(std::iter::once(Thing::Waiting(path)), &mut show)?;
        }
        let copies = self.argument_folders();
        let copies = copies.map_err(|why| Error::failure("cannot list `args` of the cache").because(why))?;
        for (name, bytes) in copies {
            self.show_all(std::iter::once(Thing::Argument(name)), &mut |found| show(Unneeded { bytes, ..found }))?;
        }
        progress(PARTS, PARTS);
        Ok(())
    }

    /// The digests that files in one of the 256 folders of a kind are named by.
    pub(in crate::store) fn digests_in(&self, kind: &str, shard: u8) -> Result<Vec<Digest>, Error> {
        let folder = format!("{kind}/{shard:02x}");
        let names = self.names_in(&folder)?;
        let digest = |name: Vec<u8>| format!("{shard:02x}{}", String::from_utf8(name).ok()?).parse().ok();
        Ok(names.into_iter().filter_map(digest).collect())
    }

    /// The paths, below the store's folder, of the files in one of its folders. What is not text no store made.
    fn texts_in(&self, folder: &str) -> Result<Vec<String>, Error> {
        let path = |name: Vec<u8>| Some(format!("{folder}/{}", String::from_utf8(name).ok()?));
        Ok(self.names_in(folder)?.into_iter().filter_map(path).collect())
    }

    /// The names in a folder. What is no folder holds nothing of the store's, but where calls should be others might be
    /// hidden behind it, and then nobody knows what is needed.
    fn names_in(&self, folder: &str) -> Result<Vec<Vec<u8>>, Error> {
        let names = || -> io::Result<Vec<Vec<u8>>> {
            let top = folder.split('/').next().unwrap_or(folder);
            if top == CALLS && (self.folder.folder_fault(top)?.is_some() || self.folder.folder_fault(folder)?.is_some())
            {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            self.folder.names(folder)
        };
        names().map_err(|why| Error::failure(format!("cannot list `{folder}` of the cache")).because(why))
    }

    /// Shows those of the things that are there. One that cannot be looked at is no reason to say that all went.
    fn show_all(&self, things: impl Iterator<Item = Thing>, show: &mut impl FnMut(Unneeded)) -> Result<(), Error> {
        for thing in things {
            let file = thing.file();
            let unseen = |why| Error::failure(format!("cannot look at `{file}` of the cache")).because(why);
            self.unneeded(thing).map_err(unseen)?.into_iter().for_each(&mut *show);
        }
        Ok(())
    }

    /// A thing as it is now; `None` where it is gone or is no file of its kind.
    fn unneeded(&self, thing: Thing) -> io::Result<Option<Unneeded>> {
        let Some(stat) = self.folder.stat(&thing.file())? else { return Ok(None) };
        let is_of_its_kind = match (&thing, FileType::from_raw_mode(stat.st_mode)) {
            (Thing::Quarantined(_), _) => true,
            // A folder that was being removed is left there.
            (Thing::Temporary(_), kind) => matches!(kind, FileType::RegularFile | FileType::Directory),
            (Thing::Argument(_), kind) => kind == FileType::Directory,
            (_, kind) => kind == FileType::RegularFile,
        };
        if !is_of_its_kind {
            return Ok(None);
        }
        let maker = match &thing {
            Thing::Temporary(name) => self.maker(name),
            _ => Maker::Unknown,
        };
        Ok(Some(Unneeded { bytes: stat.st_size as u64, seen: seen(&stat), maker, thing }))
    }

    /// Who makes something temporary: of private folders a lock tells, of all else its name.
    fn maker(&self, path: &str) -> Maker {
        if !private::is_private(OsStr::new(path.rsplit('/').next().unwrap_or(path))) {
            return maker(path);
        }
        match private::ownership(&self.folder.path().join(path)) {
            Ownership::Owned => Maker::Alive,
            Ownership::Abandoned => Maker::Dead,
            Ownership::Kept => Maker::Unknown,
        }
    }
}

/// What identifies a state of a file.
pub(super) fn seen(stat: &rustix::fs::Stat) -> Seen {
    let stamp = stamp::from_stat(stat);
    Seen { inode: stamp.inode, modified: stamp.modified, changed: stamp.changed }
}

fn maker(path: &str) -> Maker {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = OsStr::new(name.strip_suffix(JOURNAL).unwrap_or(name));
    match (temporary::is_dead(name), temporary::is_alive(name)) {
        (true, _) => Maker::Dead,
        (_, true) => Maker::Alive,
        _ => Maker::Unknown,
    }
}
