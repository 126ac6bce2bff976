//! Who did what to which path: first looks, what is the command's own, and what was there before it was changed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::look;
use crate::model::{Glimpse, Listing, Made, Reason, Seen, Touch, Trace};
use crate::sys::attributes;

/// So many things below a folder that is moved are looked at.
const MOST_MOVED: usize = 10_000;

/// How a path is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Whether it is there, by a program that does not go by more.
    KindBlindly,
    /// Whether it is there, and what it is.
    Kind,
    /// What stat(2) tells, by a program to which that makes less difference if it replaces the file.
    Metadata,
    /// What stat(2) tells.
    Exactly,
    /// Its bytes.
    Content,
}

/// What was done at a path of which nothing else is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Something was to be made there where nothing was.
    Made,
    /// What was there was to be changed, replaced or removed.
    Changed,
}

/// Builds a [`Trace`] while a command runs.
#[derive(Default)]
pub struct Ledger {
    touched: HashMap<PathBuf, Touch>,
    /// Folders that are the command's own: so is whatever is first touched in one.
    own_folders: HashSet<PathBuf>,
    /// Names that are the command's own, by their folders.
    own_names: HashMap<PathBuf, BTreeSet<OsString>>,
    /// Names of which nothing else is noted, by the folders in which the command may have made them.
    apart: HashMap<PathBuf, BTreeSet<OsString>>,
    /// What was done at paths of which nothing else is noted.
    deeds: HashMap<PathBuf, Deed>,
    /// Where extended attributes were to be set.
    attributed: Vec<PathBuf>,
    /// Names that older files were to be given as well, by the names that they had.
    shared: Vec<(PathBuf, PathBuf)>,
    refusals: Vec<Reason>,
    buffer: Vec<u8>,
}

impl Ledger {
    /// Notes what no replay could repeat; the first of each kind.
    pub fn refuse(&mut self, reason: Reason) {
        if !self.refusals.iter().any(|known| known.name() == reason.name()) {
            self.refusals.push(reason);
        }
    }

    /// Gives up what was noted, and begins anew.
    pub fn take(&mut self) -> Trace {
        for (from, to) in std::mem::take(&mut self.shared) {
            if self.is_still_there(&from) {
                self.refuse(Reason::HardLink(to));
            }
        }
        for (folder, names) in std::mem::take(&mut self.apart) {
            let Some(listing) = self.touched.get_mut(&folder).and_then(|touch| touch.listing.as_mut()) else {
                continue;
            };
            let without: BTreeSet<OsString> = listing.without.drain(..).chain(names).collect();
            listing.without = without.into_iter().collect();
        }
        for path in std::mem::take(&mut self.attributed) {
            if let Some(attributed) = self.left_with_attributes(&path) {
                self.refuse(Reason::Attributes(attributed));
            }
        }
        let Ledger { touched, refusals, .. } = std::mem::take(self);
        Trace { touched: touched.into_iter().collect(), refusals, ..Trace::default() }
    }

    /// Where attributes are left that were to be set at `path`: there, or where it was moved.
    fn left_with_attributes(&self, path: &Path) -> Option<PathBuf> {
        let is_changed = |path: &Path| self.touched.get(path).is_none_or(|touch| touch.before != look::glimpse(path));
        if look::glimpse(path) != Glimpse::Nothing {
            return (is_changed(path) && attributes::digest(path).is_some()).then(|| path.to_owned());
        }
        let mut changed = self.touched.iter().filter(|(_, touch)| touch.made.changed).map(|(path, _)| path);
        changed.find(|path| is_changed(path) && attributes::digest(path).is_some()).cloned()
    }

    /// Whether the file that was at `path` at first is there again or has never gone.
    fn is_still_there(&self, path: &Path) -> bool {
        let file = |glimpse: &Glimpse| match glimpse {
            Glimpse::Something { stamp, .. } => Some((stamp.device, stamp.inode)),
            _ => None,
        };
        self.touched.get(path).is_none_or(|touch| file(&touch.before) == file(&look::glimpse(path)))
    }

    /// Whether what is at `path` is the command's own.
    pub fn is_own(&self, path: &Path) -> bool {
        match self.touched.get(path) {
            Some(touch) => touch.made.own,
            None => self.is_below_own(path),
        }
    }

    fn is_below_own(&self, path: &Path) -> bool {
        !self.own_folders.is_empty() && path.ancestors().skip(1).any(|folder| self.own_folders.contains(folder))
    }

    /// Whether `path` was touched.
    pub fn is_touched(&self, path: &Path) -> bool {
        self.touched.contains_key(path)
    }

    /// Whether a look at `path` tells nothing that is not noted already.
    pub fn knows(&self, path: &Path, sight: Sight) -> bool {
        let Some(Touch { before, seen, made, .. }) = self.touched.get(path) else { return self.is_below_own(path) };
        let is_seen = match sight {
            Sight::KindBlindly => seen.kind || seen.kind_blindly,
            Sight::Kind => seen.kind,
            Sight::Metadata => seen.kind && (seen.metadata || look::kind_of(before).is_none()),
            Sight::Exactly => seen.kind && (seen.exactly || look::kind_of(before).is_none()),
            Sight::Content => seen.content || (seen.kind && look::kind_of(before) != Some(FileType::RegularFile)),
        };
        made.own || is_seen
    }

    /// The touch of `path`; looks what is there if it is the first.
    fn touch(&mut self, path: &Path) -> &mut Touch {
        let own = !self.touched.contains_key(path) && self.is_below_own(path);
        self.touched.entry(path.to_owned()).or_insert_with(|| Touch {
            before: if own { Glimpse::Nothing } else { look::glimpse(path) },
            image: None,
            seen: Seen::default(),
            listing: None,
            attributes: None,
            made: Made { own, ..Made::default() },
        })
    }

    /// What is at `path` before the command could touch it, or was.
    pub fn before(&mut self, path: &Path) -> &Glimpse {
        &self.touch(path).before
    }

    /// Whether something is at `path` now, and what.
    pub fn now(&mut self, path: &Path) -> Option<FileType> {
        match self.touched.get(path) {
            Some(touch) if touch.made.changed || touch.made.own => look::kind_of(&look::glimpse(path)),
            Some(_) => look::kind_of(self.before(path)),
            None if self.is_below_own(path) => look::kind_of(&look::glimpse(path)),
            None => look::kind_of(self.before(path)),
        }
    }

    /// Notes a look at `path`; what is the command's own tells nothing of the world.
    pub fn see(&mut self, path: &Path, sight: Sight) {
        if self.is_own(path) {
            return;
        }
        let touch = self.touch(path);
        let kind = look::kind_of(&touch.before);
        match sight {
            Sight::KindBlindly => touch.seen.kind_blindly = true,
            Sight::Kind => touch.seen.kind = true,
            Sight::Metadata => {
                touch.seen.kind = true;
                touch.seen.metadata |= kind.is_some();
            }
            Sight::Exactly => {
                touch.seen.kind = true;
                touch.seen.metadata |= kind.is_some();
                touch.seen.exactly |= kind.is_some();
            }
            Sight::Content if kind == Some(FileType::RegularFile) || touch.before == Glimpse::Denied => {
                touch.seen.content = true;
                if look::is_young(&touch.before) {
                    self.take_image(path);
                }
            }
            Sight::Content => touch.seen.kind = true,
        }
    }

    /// Notes which extended attributes `path` has, when they are first asked for.
    pub fn ask_attributes(&mut self, path: &Path) {
        self.see(path, Sight::Kind);
        if self.is_own(path) {
            return;
        }
        let touch = self.touch(path);
        if !touch.made.changed && !touch.seen.attributes {
            touch.seen.attributes = true;
            touch.attributes = attributes::digest(path);
        }
    }

    /// Extended attributes of `path` are to be set or removed, which was told to [`alter`](Ledger::alter) it.
    pub fn set_attributes(&mut self, path: &Path) {
        if !self.is_own(path) && attributes::digest(path).is_some() {
            self.refuse(Reason::Attributes(path.to_owned()));
        }
        self.attributed.push(path.to_owned());
    }

    /// The program at `path` is executed, which tells of the machine.
    pub fn ask_machine(&mut self, path: &Path) {
        if !self.is_own(path) {
            self.touch(path).seen.machine = true;
        }
    }

    /// Reads a regular file that is not the command's own, before that can change it.
    fn take_image(&mut self, path: &Path) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let touch = self.touch(path);
        if touch.image.is_none() && look::kind_of(&touch.before) == Some(FileType::RegularFile) {
            match look::image(path, &touch.before, &mut buffer) {
                Ok(digest) => touch.image = Some(digest),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.refuse(Reason::InputUnreadable(path.to_owned(), "permission denied".into()));
                }
                Err(_) => self.refuse(Reason::NoImage(path.to_owned())),
            }
        }
        self.buffer = buffer;
    }

    /// A call is to change what is at `path`, but not to throw it away.
    pub fn alter(&mut self, path: &Path) {
        if !self.is_own(path) {
            self.see(path, Sight::Content);
            if !self.touch(path).made.changed {
                self.take_image(path);
            }
        }
        self.touch(path).made.changed = true;
    }

    /// The modification time of `path` is set, and not to now.
    pub fn date(&mut self, path: &Path) {
        self.touch(path).made.dated = true;
    }

    /// The modification time of `path` is set to now.
    pub fn renew(&mut self, path: &Path) {
        self.touch(path).made.renewed = true;
    }

    /// A call is to make something at `path` where nothing is.
    pub fn make(&mut self, path: &Path) {
        // Who looks first means a certain path, and has not just made it up.
        let is_sought = self.touched.get(path).is_some_and(|touch| touch.seen != Seen::default());
        self.see(path, Sight::Kind);
        self.own(path).made.exclusive |= !is_sought;
    }

    /// The file at `from`, which is not the command's own, is to have the name `to` as well, where nothing is.
    ///
    /// As long as it has both, what is done to one is done to the other, so that no replay could repeat it. But what moves a
    /// file by giving it another name before it takes the first one away (as `rustc` does) leaves only the new one.
    pub fn share(&mut self, from: &Path, to: &Path) {
        self.see(from, Sight::Content);
        self.take_image(from);
        self.touch(from).made.carried = true;
        self.make(to);
        self.shared.push((from.to_owned(), to.to_owned()));
    }

    /// A call is to make a folder where nothing is.
    pub fn make_folder(&mut self, path: &Path) {
        self.make(path);
        self.own_folders.insert(path.to_owned());
    }

    /// A call is to put something else in the place of what is at `path`, whatever that is.
    pub fn replace(&mut self, path: &Path) {
        self.own(path);
    }

    /// A file or a link is to be removed.
    pub fn remove(&mut self, path: &Path) {
        if !self.is_own(path) {
            self.take_image(path);
        }
        self.own(path);
    }

    /// An empty folder is to be removed.
    pub fn remove_folder(&mut self, path: &Path) {
        self.own(path);
        self.own_folders.insert(path.to_owned());
    }

    /// From now on what is at `path` is the command's own.
    fn own(&mut self, path: &Path) -> &mut Touch {
        // What was read before it is replaced counts by its bytes, and these are the last moment to have them.
        if self.touched.get(path).is_some_and(|touch| touch.seen.content && !touch.made.own) {
            self.take_image(path);
        }
        note_name(&mut self.own_names, path);
        // Whether that can be done is decided by the permissions of the folder.
        if let Some(folder) = path.parent() {
            self.see(folder, Sight::Kind);
        }
        let touch = self.touch(path);
        touch.made.changed = true;
        touch.made.own = true;
        touch
    }

    /// Something may be made at `path` of which nothing else is noted: it is not to be missed in its folder the next time.
    pub fn set_apart(&mut self, path: &Path) {
        let deed = *self.deeds.entry(path.to_owned()).or_insert_with(|| match look::kind_of(&look::glimpse(path)) {
            None => Deed::Made,
            Some(_) => Deed::Changed,
        });
        if deed == Deed::Made {
            note_name(&mut self.apart, path);
        }
    }

    /// What was done at `path`, of which nothing else is noted, or at a folder that it is in.
    pub fn deed_apart(&self, path: &Path) -> Option<Deed> {
        if self.deeds.is_empty() {
            return None;
        }
        let made = |folder: &&Path| self.deeds.get(*folder) == Some(&Deed::Made);
        self.deeds.get(path).copied().or_else(|| path.ancestors().find(made).map(|_| Deed::Made))
    }

    /// Notes what is in a folder, when that is first asked for; names of which `is_passed_over` holds do not count.
    pub fn list(&mut self, folder: &Path, is_passed_over: &dyn Fn(&OsStr) -> bool) {
        if self.is_own(folder) {
            return;
        }
        self.see(folder, Sight::Kind);
        if self.touch(folder).listing.is_some() {
            return;
        }
        let mut without = self.own_names.get(folder).cloned().unwrap_or_default();
        let Ok(mut entries) = look::entries(folder) else { return };
        entries.retain(|(name, _)| {
            if is_passed_over(name) {
                without.insert(name.clone());
            }
            !without.contains(name)
        });
        entries.sort_unstable();
        self.touch(folder).listing = Some(Listing { entries, without: without.into_iter().collect() });
    }

    /// What is at `from` is to be somewhere else.
    pub fn leave(&mut self, from: &Path) {
        if !self.is_own(from) {
            match look::kind_of(&look::glimpse(from)) {
                Some(FileType::Directory) => self.give_up_folder(from),
                _ => self.carry_off(from),
            }
        }
        self.own(from);
    }

    /// What was at `from`, and was told to [`leave`](Ledger::leave) that, is to be at `to` in the place of what is there.
    pub fn arrive(&mut self, from: &Path, to: &Path) {
        let is_dated = self.touched.get(from).is_some_and(|touch| touch.made.dated);
        self.own(to).made.dated |= is_dated;
        if look::kind_of(&look::glimpse(from)) == Some(FileType::Directory) {
            self.carry_folder(from, to);
        }
    }

    /// What is below a folder goes with it.
    fn carry_folder(&mut self, from: &Path, to: &Path) {
        self.own_folders.extend([from.to_owned(), to.to_owned()]);
        self.own(to).made.moved_here = true;
        let below = |folder: &Path| -> Vec<PathBuf> {
            self.touched.keys().filter(|path| *path != folder && path.starts_with(folder)).cloned().collect()
        };
        let (there, here) = (below(to), below(from));
        for path in there {
            self.own(&path);
        }
        for path in here {
            let Ok(rest) = path.strip_prefix(from) else { continue };
            let (place, made) = (to.join(rest), self.touch(&path).made);
            if self.own_folders.contains(&path) {
                self.own_folders.insert(place.clone());
            }
            self.own(&path);
            let touch = self.own(&place);
            touch.made.dated |= made.dated;
            touch.made.moved_here |= made.moved_here;
        }
    }

    /// All that was below a folder before the command leaves its place, and its content goes elsewhere.
    fn give_up_folder(&mut self, folder: &Path) {
        let mut pending = vec![folder.to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = pending.pop() {
            self.list(&folder, &|_| false);
            let Ok(entries) = look::entries(&folder) else {
                self.refuse(Reason::NoImage(folder));
                continue;
            };
            for (name, _) in entries {
                let path = folder.join(name);
                match look::kind_of(&look::glimpse(&path)) {
                    Some(FileType::Directory) => pending.push(path),
                    _ => found.push(path),
                }
            }
            if found.len() + pending.len() > MOST_MOVED {
                return self.refuse(Reason::NoImage(folder));
            }
            if !self.is_own(&folder) {
                found.push(folder);
            }
        }
        for path in found {
            if !self.is_own(&path) {
                self.carry_off(&path);
            }
            self.own(&path);
        }
    }

    /// What is at `path` and is not the command's own is to be elsewhere.
    fn carry_off(&mut self, path: &Path) {
        self.ask_attributes(path);
        self.alter(path);
        if self.touch(path).attributes.is_some() {
            self.refuse(Reason::Attributes(path.to_owned()));
        }
        self.touch(path).made.carried = true;
    }
}

/// Adds the name of `path` to those of its folder.
fn note_name(names: &mut HashMap<PathBuf, BTreeSet<OsString>>, path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    match names.get_mut(folder) {
        Some(names) if names.contains(name) => {}
        Some(names) => drop(names.insert(name.to_owned())),
        None => drop(names.insert(folder.to_owned(), BTreeSet::from([name.to_owned()]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_kept_before_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let mut ledger = Ledger::default();
        ledger.see(&path, Sight::Content);
        // As it would be of a file that is not young.
        ledger.touch(&path).image = None;
        ledger.replace(&path);
        assert_eq!(ledger.take().touched[&path].image, Some(crate::model::Digest::of(b"text")));

        // What was not read need not be.
        ledger.see(&path, Sight::Metadata);
        ledger.replace(&path);
        assert_eq!(ledger.take().touched[&path].image, None);
    }
}
