//! Opening a cache folder: whose it is, who may look into it, which version laid it out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, chmodat, fstat, memfd_create, mkdirat, openat, statat,
};
use rustix::io::Errno;

use super::folder::{Folder, Found};
use super::{Access, Store, unusable};
use crate::model::{Cache, CacheAccess, Member, Reason, Remote, Sharing};
use crate::sys::identity;

/// The version of the folder's layout. It stands in the name of an empty file, so that one look tells.
const LAYOUT: u32 = 1;
const LAYOUT_PREFIX: &str = "layout-";
/// Marks the folder for backup programs, see <https://bford.info/cachedir/>.
const TAG: &str = "CACHEDIR.TAG";
const TAG_TEXT: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of fleche: all of it can be made again.\n\
    # What this file means: https://bford.info/cachedir/\n";
/// What a cache folder may hold before its layout is marked: its maker may have died in between.
const UNMARKED: [&str; 2] = [TAG, "tmp"];

/// What a stack of caches is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be changed: the first cache is made where it is missing.
    Write,
    /// To be replayed from; the first cache must be there.
    Read,
    /// To be asked: questions may keep what they find out.
    Ask,
    /// The same, and nothing else changes.
    AskQuietly,
    /// To be looked at, even where there is none.
    Look,
}

impl Store {
    /// Opens the first of these caches, with the others behind it. One of those that cannot be opened is skipped, and
    /// `skipped` is told; one that is missing has nothing in it.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], for the first one.
    pub fn open_stack(
        caches: &[Member],
        purpose: Purpose,
        skipped: &mut dyn FnMut(&Cache, &Reason),
    ) -> Result<Store, Reason> {
        let [Member::Folder(first), others @ ..] = caches else {
            return Err(Reason::StoreUnusable("no cache on this machine is named".to_owned()));
        };
        let store = match (purpose, first.access) {
            (Purpose::Write, CacheAccess::ReadWrite) => Store::open_on(&first.folder, Terms::of(first))?,
            (Purpose::Read, _) if others.is_empty() => {
                let path = absolute(&first.folder)?;
                let directory = open_directory(&path).map_err(|error| not_a_folder(&path, error))?;
                Store::read_only(path, directory, Terms::of(first))?
            }
            _ => Store::member(first, purpose)?,
        };
        let mut behind = Vec::with_capacity(others.len());
        let mut remotes = Vec::new();
        for member in others {
            match member {
                Member::Remote(remote) => remotes.push(Remote::clone(remote)),
                Member::Folder(cache) => match Store::member(cache, purpose) {
                    Ok(store) => behind.push(store),
                    Err(reason) => skipped(cache, &reason),
                },
            }
        }
        Ok(store.in_front_of(behind).sharing_with(remotes).within(&first.limits))
    }

    /// A cache that is there, or one in which nothing is.
    fn member(cache: &Cache, purpose: Purpose) -> Result<Store, Reason> {
        let looking = Store::open_to_look_on(&cache.folder, Terms::of(cache))?;
        match (purpose, cache.access) {
            (Purpose::Read | Purpose::Look, _) | (_, CacheAccess::ReadOnly) => Ok(looking),
            (Purpose::Write | Purpose::Ask, CacheAccess::ReadWrite) => Ok(looking.for_questions()?.unwrap_or(looking)),
            (Purpose::AskQuietly, CacheAccess::ReadWrite) => Ok(looking.with_catalogue()),
        }
    }

    /// Opens the cache in `folder`, and makes it where it is missing, its parents too.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`] where the folder cannot be made or opened, is a link or no folder, belongs
    /// to somebody else, is open to others, holds something else, or was laid out by a newer fleche.
    pub fn open(folder: &Path) -> Result<Store, Reason> {
        Store::open_on(folder, Terms::PRIVATE)
    }

    /// Refuses to be written where everybody could put another folder in the place of this one: what goes by its path (SQLite,
    /// private folders, what is removed with all that is in it) would go astray. What is read needs no such care: the folder is
    /// open, and is its owner's alone.
    ///
    /// # Errors
    ///
    /// [`Reason::StoreUnusable`].
    pub fn check_place(&self) -> Result<(), Reason> {
        check_parents(self.folder.path())
    }

    /// The same cache, opened anew: locks are a store's own, and a process that was forked shares them with its parent.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn reopened(&self) -> Result<Store, Reason> {
        if self.terms.access == CacheAccess::ReadOnly {
            return Store::open_to_look_on(self.folder.path(), self.terms);
        }
        Ok(Store::open_on(self.folder.path(), self.terms)?.within(&self.limits))
    }

    fn open_on(folder: &Path, terms: Terms) -> Result<Store, Reason> {
        let path = absolute(folder)?;
        let directory = match open_directory(&path) {
            Err(Errno::NOENT) => {
                create(&path, terms.sharing)?;
                open_directory(&path)
            }
            other => other,
        };
        let directory = directory.map_err(|error| not_a_folder(&path, error))?;
        check_owner(&path, &directory, terms)?;
        let folder = Folder::new(path, directory).shared(terms.sharing);
        if !has_layout(&folder)? {
            mark(&folder)?;
        }
        Ok(Store { terms, ..Store::new(folder, Access::ReadWrite) })
    }

    /// Opens the cache in `folder` without ever writing to it: no journal, no stamps, no last use, no repair.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; and where there is no cache.
    pub fn open_read_only(folder: &Path) -> Result<Store, Reason> {
        let path = absolute(folder)?;
        let directory = open_directory(&path).map_err(|error| not_a_folder(&path, error))?;
        Store::read_only(path, directory, Terms::PRIVATE)
    }

    /// The same, but where there is no cache one in which nothing is.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_to_look(folder: &Path) -> Result<Store, Reason> {
        Store::open_to_look_on(folder, Terms::PRIVATE)
    }

    fn open_to_look_on(folder: &Path, terms: Terms) -> Result<Store, Reason> {
        let path = absolute(folder)?;
        match open_directory(&path) {
            Err(Errno::NOENT) => {
                // A file in place of the folder: nothing is found below it, and nothing can be made there.
                let nothing = memfd_create(c"no cache", MemfdFlags::CLOEXEC)
                    .map_err(|error| unusable("cannot do without a cache", error.into()))?;
                Ok(Store { terms, ..Store::new(Folder::new(path, nothing), Access::ReadOnly) })
            }
            other => Store::read_only(path.clone(), other.map_err(|error| not_a_folder(&path, error))?, terms),
        }
    }

    /// The same cache, where questions may keep what they find out, and nothing else changes. Where there is none, none is
    /// made.
    fn with_catalogue(mut self) -> Store {
        if has_layout(&self.folder) == Ok(true) {
            self.access = Access::CatalogueOnly;
        }
        self
    }

    /// The same cache, open to be asked: questions may keep what they find out. `None` where there is no cache, and none is
    /// made.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn for_questions(&self) -> Result<Option<Store>, Reason> {
        match has_layout(&self.folder) {
            Ok(true) => {
                self.check_place()?;
                self.reopened().map(Some)
            }
            // Nothing is below a file that takes the place of a cache.
            Ok(false) | Err(_) => Ok(None),
        }
    }

    fn read_only(path: PathBuf, directory: OwnedFd, terms: Terms) -> Result<Store, Reason> {
        check_owner(&path, &directory, terms)?;
        let folder = Folder::new(path, directory).shared(terms.sharing);
        if !has_layout(&folder)? {
            check_contents(&folder)?;
        }
        Ok(Store { terms, ..Store::new(folder, Access::ReadOnly) })
    }
}

/// Who may use a folder for a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    sharing: Sharing,
    access: CacheAccess,
}

impl Terms {
    /// Its owner alone.
    pub const PRIVATE: Terms = Terms { sharing: Sharing::Private, access: CacheAccess::ReadWrite };

    fn of(cache: &Cache) -> Terms {
        Terms { sharing: cache.sharing, access: cache.access }
    }
}

/// Absolute, without a slash at the end: `link/` would lead through the link.
fn absolute(folder: &Path) -> Result<PathBuf, Reason> {
    match std::path::absolute(folder) {
        Ok(path) => Ok(path.components().collect()),
        Err(error) => Err(unusable(format!("cannot find `{}`", folder.display()), error)),
    }
}

/// A descriptor that is only a place to look from; it can be had without the right to read.
fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn not_a_folder(path: &Path, error: Errno) -> Reason {
    let shown = path.display();
    let is_link = || {
        let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    };
    match error {
        Errno::LOOP | Errno::NOTDIR if is_link() => Reason::StoreUnusable(format!("`{shown}` is a symbolic link")),
        Errno::NOTDIR => Reason::StoreUnusable(format!("`{shown}` is not a folder")),
        Errno::NOENT => Reason::StoreUnusable(format!("there is no cache in `{shown}`")),
        other => unusable(format!("cannot open `{shown}`"), other.into()),
    }
}

/// Refuses a folder below one in which everybody could put another in its place. Where the sticky bit keeps others from that, as
/// in /tmp, it is fine.
fn check_parents(path: &Path) -> Result<(), Reason> {
    let is_open = |folder: &&Path| {
        let found = statat(CWD, *folder, AtFlags::empty());
        found.is_ok_and(|found| found.st_mode & EVERYBODY_WRITES != 0 && found.st_mode & STICKY == 0)
    };
    match path.ancestors().skip(1).find(is_open) {
        None => Ok(()),
        Some(folder) => {
            let (shown, folder) = (path.display(), folder.display());
            Err(Reason::StoreUnusable(format!("`{shown}` is in `{folder}`, where everybody may replace it")))
        }
    }
}

const EVERYBODY_WRITES: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Refuses a folder in which somebody could write who is not trusted, for who writes decides what is replayed; and one that
/// others could read, if it is to be the user's own.
fn check_owner(path: &Path, directory: &OwnedFd, terms: Terms) -> Result<(), Reason> {
    let shown = path.display();
    let stat = fstat(directory).map_err(|error| unusable(format!("cannot look at `{shown}`"), error.into()))?;
    let refused = |why: String| Err(Reason::StoreUnusable(format!("`{shown}` {why}")));
    let is_mine = stat.st_uid == identity::effective_user();
    let mode = stat.st_mode & 0o777;
    match terms {
        // Whoever shares it with the group may have made it.
        Terms { sharing: Sharing::Group, .. } => {
            if !is_mine && !identity::is_in_group(stat.st_gid) {
                return refused("belongs to a group that you are not in".to_owned());
            }
            if mode & 0o007 != 0 {
                return refused(format!("is open to others than its group (mode {mode:o}, not 770)"));
            }
        }
        // A disc, or a folder that an administrator provides: it must be nobody else's to write.
        Terms { access: CacheAccess::ReadOnly, .. } => {
            if !is_mine && stat.st_uid != 0 {
                return refused("belongs to another user".to_owned());
            }
            if mode & 0o022 != 0 {
                return refused(format!("can be written by others (mode {mode:o}, not 755)"));
            }
        }
        Terms { sharing: Sharing::Private, access: CacheAccess::ReadWrite } => {
            if !is_mine {
                return refused("belongs to another user".to_owned());
            }
            if mode & 0o077 != 0 {
                return refused(format!("is open to others (mode {mode:o}, not 700)"));
            }
        }
    }
    Ok(())
}

/// Makes the folder and its parents, for the user alone but for the folder itself, if it is shared.
fn create(path: &Path, sharing: Sharing) -> Result<(), Reason> {
    check_parents(path)?;
    let failed = |error: io::Error| unusable(format!("cannot create `{}`", path.display()), error);
    // Root with a user's HOME (sudo) would make folders there that the user cannot enter.
    let me = identity::effective_user();
    let owner = path.ancestors().find_map(|folder| statat(CWD, folder, AtFlags::empty()).ok()).map(|stat| stat.st_uid);
    if owner.is_some_and(|owner| owner != me && (me == 0 || owner != 0)) {
        return Err(Reason::StoreUnusable(format!("`{}` would be made in another user's folder", path.display())));
    }
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        match mkdirat(CWD, folder, Mode::RWXU) {
            Err(Errno::NOENT) => missing.push(folder),
            Err(Errno::EXIST) => break,
            Err(error) => return Err(failed(error.into())),
            Ok(()) => {
                open_to_owner(folder).map_err(failed)?;
                break;
            }
        }
    }
    for folder in missing.into_iter().rev() {
        match mkdirat(CWD, folder, Mode::RWXU) {
            Ok(()) => open_to_owner(folder).map_err(failed)?,
            // Somebody else made it at the same time.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    match sharing {
        Sharing::Private => Ok(()),
        Sharing::Group => share(path).map_err(failed),
    }
}

/// Opens a folder that was just made to its group, with the bit by which what is made in it belongs to that.
fn share(folder: &Path) -> io::Result<()> {
    let directory = open_directory(folder)?;
    let itself = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    Ok(chmodat(CWD, itself, Mode::from_raw_mode(0o2770), AtFlags::empty())?)
}

/// Gives a folder that was just made the bits that an odd umask took from its owner.
fn open_to_owner(folder: &Path) -> io::Result<()> {
    let directory = open_directory(folder)?;
    if fstat(&directory)?.st_mode & 0o700 == 0o700 {
        return Ok(());
    }
    // `fchmod` refuses a descriptor that is only a place; this is the same without a race.
    let itself = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    Ok(chmodat(CWD, itself, Mode::RWXU, AtFlags::empty())?)
}

fn has_layout(folder: &Folder) -> Result<bool, Reason> {
    match folder.stat(&format!("{LAYOUT_PREFIX}{LAYOUT}")) {
        Ok(found) => Ok(found.is_some()),
        Err(error) => Err(unusable(format!("cannot look into `{}`", folder.path().display()), error)),
    }
}

/// Refuses a folder that a newer fleche laid out or that is no cache at all.
fn check_contents(folder: &Folder) -> Result<(), Reason> {
    let shown = folder.path().display();
    let names = folder.names(".").map_err(|error| unusable(format!("cannot read `{shown}`"), error))?;
    let is_layout = |name: &&Vec<u8>| name.starts_with(LAYOUT_PREFIX.as_bytes());
    if names.iter().any(|name| is_layout(&name)) {
        return Err(Reason::StoreUnusable(format!("a newer fleche made `{shown}`")));
    }
    match names.iter().find(|name| !UNMARKED.iter().any(|known| known.as_bytes() == *name)) {
        None => Ok(()),
        // The mark alone was lost, as by a copy that left empty files out.
        Some(_) if is_tagged(folder) => Ok(()),
        Some(_) => Err(Reason::StoreUnusable(format!("`{shown}` holds something else than a cache"))),
    }
}

/// Whether its tag says that it is a cache of ours.
fn is_tagged(folder: &Folder) -> bool {
    matches!(folder.read(TAG, TAG_TEXT.len() as u64), Ok(Found::Bytes(bytes, _)) if bytes == TAG_TEXT)
}

/// Makes an empty folder a cache; what dies in between can be done again.
fn mark(folder: &Folder) -> Result<(), Reason> {
    check_parents(folder.path())?;
    check_contents(folder).or_else(|reason| if has_layout(folder)? { Ok(()) } else { Err(reason) })?;
    let marked = || -> io::Result<()> {
        use std::io::Write;
        let mut tag = folder.temporary()?;
        tag.as_file_mut().write_all(TAG_TEXT)?;
        folder.put(tag, TAG)?;
        folder.put_new(folder.temporary()?, &format!("{LAYOUT_PREFIX}{LAYOUT}")).map(drop)
    };
    marked().map_err(|error| unusable(format!("cannot write to `{}`", folder.path().display()), error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn refusal(folder: &Path) -> String {
        match Store::open(folder) {
            Err(Reason::StoreUnusable(why)) => why.replace(folder.to_str().unwrap(), "X"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_folder_is_made_with_its_parents_for_the_user_alone() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("a/b/");
        Store::open(&folder).unwrap();
        for made in ["a", "a/b"] {
            assert_eq!(fs::metadata(world.path().join(made)).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert!(fs::read(folder.join(TAG)).unwrap().starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"));
        assert!(folder.join("layout-1").exists());
        Store::open(&folder).unwrap();
    }

    #[test]
    fn a_link_is_refused_even_with_a_slash() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("link");
        Store::open(&world.path().join("real")).unwrap();
        symlink("real", &folder).unwrap();
        assert_eq!(refusal(&folder), "`X` is a symbolic link");
        assert!(Store::open(&world.path().join("link/")).is_err());
    }

    #[test]
    fn what_is_not_a_private_folder_of_ours_is_refused() {
        let world = tempfile::tempdir().unwrap();
        let file = world.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(refusal(&file), "`X` is not a folder");

        let open = world.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(refusal(&open), "`X` is open to others (mode 750, not 700)");

        let full = world.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::set_permissions(&full, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(full.join("letter"), "").unwrap();
        assert_eq!(refusal(&full), "`X` holds something else than a cache");
    }

    #[test]
    fn a_folder_that_everybody_could_replace_is_refused() {
        let world = tempfile::tempdir().unwrap();
        let (parent, folder) = (world.path().join("parent"), world.path().join("parent/deep/cache"));
        Store::open(&folder).unwrap();
        let with = |mode| {
            fs::set_permissions(&parent, fs::Permissions::from_mode(mode)).unwrap();
            let store = Store::open(&folder).unwrap();
            let asked = store.for_questions().map(drop);
            assert_eq!(asked, store.check_place());
            asked.map_err(|reason| reason.to_string())
        };
        assert_eq!((with(0o1777), with(0o775), with(0o755)), (Ok(()), Ok(()), Ok(())));
        assert!(with(0o777).unwrap_err().ends_with("parent`, where everybody may replace it"));
        assert!(Store::open(&parent.join("other")).is_err() && !parent.join("other").exists());
        fs::create_dir(parent.join("empty")).unwrap();
        fs::set_permissions(parent.join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(Store::open(&parent.join("empty")).is_err());
        assert_eq!(fs::read_dir(parent.join("empty")).unwrap().count(), 0);
    }

    #[test]
    fn a_newer_layout_is_refused_by_name() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("cache");
        Store::open(&folder).unwrap();
        fs::rename(folder.join("layout-1"), folder.join("layout-2")).unwrap();
        assert_eq!(refusal(&folder), "a newer fleche made `X`");
        assert!(Store::open_read_only(&folder).is_err());
    }

    #[test]
    fn a_half_made_folder_is_finished() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("cache");
        Store::open(&folder).unwrap();
        fs::remove_file(folder.join("layout-1")).unwrap();
        Store::open(&folder).unwrap();
        assert!(folder.join("layout-1").exists());
    }

    #[test]
    fn a_cache_that_lost_its_mark_is_told_by_its_tag() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("cache");
        Store::open(&folder).unwrap().secret().unwrap();
        let lost = || fs::remove_file(folder.join("layout-1")).unwrap();
        lost();
        Store::open(&folder).unwrap();
        assert!(folder.join("layout-1").exists());
        lost();
        fs::write(folder.join(TAG), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
        assert_eq!(refusal(&folder), "`X` holds something else than a cache");
        // A newer fleche marks its caches in another way.
        fs::write(folder.join(TAG), TAG_TEXT).unwrap();
        fs::write(folder.join("layout-2"), "").unwrap();
        assert_eq!(refusal(&folder), "a newer fleche made `X`");
    }

    #[test]
    fn where_there_is_no_cache_nothing_is_found_in_it() {
        use crate::store::testing::call;
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("cache");
        let store = Store::open_to_look(&folder).unwrap();
        assert_eq!(store.folder(), folder);
        assert!(store.call(&call("a").key).unwrap().is_none());
        assert_eq!(store.path_sets(&call("a").command).count(), 0);
        assert!(store.recording().is_err());
        store.temporary().unwrap();
        assert!(!folder.exists());
        Store::open(&folder).unwrap();
        let before = crate::store::testing::everything(&folder);
        Store::open_to_look(&folder).unwrap().temporary().unwrap();
        assert_eq!(crate::store::testing::everything(&folder), before);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(Store::open_to_look(&folder).is_err());
    }

    #[test]
    fn read_only_makes_nothing() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("cache");
        assert!(Store::open_read_only(&folder).is_err());
        assert!(!folder.exists());
        Store::open(&folder).unwrap();
        let before = crate::store::testing::everything(&folder);
        Store::open_read_only(&folder).unwrap();
        assert_eq!(crate::store::testing::everything(&folder), before);
    }

    /// A cache for its group.
    fn group(folder: &Path) -> Cache {
        let limits = crate::model::CacheLimits::default();
        let (access, sharing) = (CacheAccess::ReadWrite, Sharing::Group);
        Cache { name: "team".to_owned(), folder: folder.to_owned(), access, sharing, limits }
    }

    fn stack(caches: &[Cache], purpose: Purpose) -> Result<Store, Reason> {
        let members: Vec<Member> = caches.iter().cloned().map(Member::Folder).collect();
        Store::open_stack(&members, purpose, &mut |_, _| {})
    }

    #[test]
    fn a_cache_for_a_group_is_one_however_it_is_opened() {
        let world = tempfile::tempdir().unwrap();
        let cache = group(&world.path().join("cache"));
        let mode = |name: &str| fs::metadata(cache.folder.join(name)).unwrap().permissions().mode() & 0o7777;
        let of_nothing = stack(std::slice::from_ref(&cache), Purpose::Look).unwrap();
        for (number, opened) in [Purpose::Write, Purpose::Read, Purpose::Ask, Purpose::AskQuietly, Purpose::Look]
            .into_iter()
            .map(|purpose| stack(std::slice::from_ref(&cache), purpose).unwrap())
            .chain([of_nothing])
            .enumerate()
        {
            let again = opened.reopened().unwrap();
            let name = format!("new{number}");
            again.folder.make_folder(&name).unwrap();
            again.folder.write(&format!("{name}/file"), b"x").unwrap();
            assert_eq!((mode("."), mode(&name), mode(&format!("{name}/file"))), (0o2770, 0o2770, 0o660), "{number}");
            assert!(opened.for_questions().unwrap().is_some() || number == 5, "{number}");
        }
    }

    #[test]
    fn of_many_caches_one_that_is_missing_has_nothing_in_it() {
        let world = tempfile::tempdir().unwrap();
        let [missing, there] = ["missing", "there"].map(|name| group(&world.path().join(name)));
        stack(std::slice::from_ref(&there), Purpose::Write).unwrap();
        let access = |caches: &[&Cache], purpose| {
            let caches: Vec<Cache> = caches.iter().map(|cache| (*cache).clone()).collect();
            stack(&caches, purpose).map(|store| store.access).ok()
        };
        assert_eq!(access(&[&there], Purpose::Read), Some(Access::ReadOnly));
        assert_eq!(access(&[&missing], Purpose::Read), None);
        assert_eq!(access(&[&missing, &there], Purpose::Read), Some(Access::ReadOnly));
        assert_eq!(access(&[&missing], Purpose::AskQuietly), Some(Access::ReadOnly));
        assert_eq!(access(&[&there], Purpose::AskQuietly), Some(Access::CatalogueOnly));
        assert!(!missing.folder.exists());
    }
}
