//! Edits of a world that leave a trace, as the system calls of a watched command do.

use super::*;
use crate::model::{Facet, Glimpse, Made, Observation, Seen, State, Touch, Trace};
use crate::sys::{clock, stamp};

/// A run that is watched.
pub struct Edits<'a> {
    world: &'a World,
    pub trace: Trace,
    started: i64,
    /// Folders that the command made, removed or moved: what is first touched in them is its own.
    own_folders: Vec<PathBuf>,
}

/// Whether what was in a file was looked at before it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Read,
    Unread,
}

/// What lstat(2) says.
pub fn glimpse(path: &Path) -> Glimpse {
    let Ok(status) = fs::symlink_metadata(path) else { return Glimpse::Nothing };
    Glimpse::Something {
        stamp: stamp::of_link(path).unwrap(),
        user: status.uid(),
        group: status.gid(),
        links: status.nlink(),
        target: fs::read_link(path).ok().map(|target| target.as_os_str().as_bytes().to_vec()),
    }
}

impl<'a> Edits<'a> {
    pub fn of(world: &'a World) -> Edits<'a> {
        Edits { world, trace: Trace::default(), started: clock::now(), own_folders: Vec::new() }
    }

    /// The touch of `path`, which is looked at now if it is the first.
    pub fn touch(&mut self, path: impl AsRef<OsStr>) -> &mut Touch {
        let path = self.real(path);
        let own = path.ancestors().skip(1).any(|folder| self.own_folders.iter().any(|own| own == folder));
        let before = if own { Glimpse::Nothing } else { glimpse(&path) };
        let made = Made { own, ..Made::default() };
        let touch = Touch { before, image: None, seen: Seen::default(), listing: None, attributes: None, made };
        self.trace.touched.entry(path).or_insert(touch)
    }

    fn real(&self, path: impl AsRef<OsStr>) -> PathBuf {
        // `../outside` as a trace has it.
        match Path::new(path.as_ref()).strip_prefix("..") {
            Ok(beside) => self.world.root().parent().unwrap().join(beside),
            Err(_) => self.world.at(path),
        }
    }

    /// A touch that changes something, of which the watcher keeps what it was.
    fn change(&mut self, path: &str, look: Look) -> &mut Touch {
        let bytes = fs::symlink_metadata(self.real(path)).is_ok_and(|status| status.is_file());
        let image = bytes.then(|| Digest::of(&fs::read(self.real(path)).unwrap()));
        let touch = self.touch(path);
        touch.made.changed = true;
        if look == Look::Read && !touch.made.own && touch.image.is_none() {
            touch.image = image;
        }
        touch
    }

    fn own(&mut self, path: &str, look: Look) -> &mut Touch {
        let touch = self.change(path, look);
        touch.made.own = true;
        touch
    }

    /// `echo TEXT > PATH`.
    pub fn write(&mut self, path: &str, text: &str, look: Look) -> &mut Self {
        self.own(path, look);
        let _ = fs::write(self.real(path), text);
        self
    }

    /// `echo TEXT >> PATH`.
    pub fn append(&mut self, path: &str, text: &str) -> &mut Self {
        let is_new = self.touch(path).before == Glimpse::Nothing;
        self.change(path, Look::Read).made.own |= is_new;
        if let Ok(mut file) = File::options().append(true).create(true).open(self.real(path)) {
            file.write_all(text.as_bytes()).unwrap();
        }
        self
    }

    /// `rm PATH`.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        self.own(path, Look::Read);
        let _ = fs::remove_file(self.real(path));
        self
    }

    /// `mkdir PATH`.
    pub fn make_folder(&mut self, path: &str) -> &mut Self {
        if glimpse(&self.real(path)) == Glimpse::Nothing {
            self.own(path, Look::Read).made.exclusive = true;
            self.own_folders.push(self.real(path));
        } else {
            self.touch(path);
        }
        let _ = fs::create_dir(self.real(path));
        self
    }

    /// `rmdir PATH`.
    pub fn remove_folder(&mut self, path: &str) -> &mut Self {
        self.own(path, Look::Read);
        if fs::remove_dir(self.real(path)).is_ok() {
            self.own_folders.push(self.real(path));
        }
        self
    }

    /// `rm -r PATH`.
    pub fn remove_tree(&mut self, path: &str) -> &mut Self {
        for (below, is_folder) in self.below(path).into_iter().rev() {
            if is_folder {
                self.remove_folder(&below)
            } else {
                self.remove(&below)
            };
        }
        self.remove_folder(path)
    }

    /// What is in a folder, a folder before what is in it.
    fn below(&self, path: &str) -> Vec<(String, bool)> {
        let top = self.real(path);
        let entries = walkdir::WalkDir::new(&top).min_depth(1).into_iter().map(Result::unwrap);
        let below = |entry: walkdir::DirEntry| {
            let below = entry.path().strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
            (format!("{path}/{below}"), entry.file_type().is_dir())
        };
        entries.map(below).collect()
    }

    /// `mv FROM TO`.
    pub fn rename(&mut self, from: &str, to: &str) -> &mut Self {
        let is_folder = fs::symlink_metadata(self.real(from)).is_ok_and(|status| status.is_dir());
        if is_folder {
            for (below, is_folder) in self.below(from) {
                if is_folder {
                    self.touch(&below).seen.kind = true;
                } else {
                    self.own(&below, Look::Read);
                }
            }
        }
        self.own(from, Look::Read);
        // Whoever puts a link there looks first.
        let is_link = fs::symlink_metadata(self.real(from)).is_ok_and(|status| status.is_symlink());
        let look = if is_link { Look::Read } else { Look::Unread };
        let is_dated = self.touch(from).made.dated;
        let made = &mut self.own(to, look).made;
        made.moved_here |= is_folder;
        made.dated |= is_dated;
        if is_folder {
            self.carry(from, to);
        }
        let _ = fs::rename(self.real(from), self.real(to));
        self
    }

    /// What was touched in a folder is touched where it goes.
    fn carry(&mut self, from: &str, to: &str) {
        let (here, there) = (self.real(from), self.real(to));
        self.own_folders.extend([here.clone(), there.clone()]);
        let touched: Vec<(PathBuf, Made)> =
            self.trace.touched.iter().map(|(path, touch)| (path.clone(), touch.made)).collect();
        let is_below = |path: &Path, folder: &Path| path != folder && path.starts_with(folder);
        for (path, made) in touched {
            let path = path.to_str().unwrap();
            if is_below(Path::new(path), &there) {
                self.own(path, Look::Unread);
            } else if is_below(Path::new(path), &here) {
                self.own(path, Look::Unread);
                let place = there.join(Path::new(path).strip_prefix(&here).unwrap());
                if self.own_folders.iter().any(|own| own == Path::new(path)) {
                    self.own_folders.push(place.clone());
                }
                let carried = &mut self.own(place.to_str().unwrap(), Look::Unread).made;
                carried.dated |= made.dated;
                carried.moved_here |= made.moved_here;
            }
        }
    }

    /// `chmod MODE PATH`.
    pub fn mode(&mut self, path: &str, mode: u32) -> &mut Self {
        self.change(path, Look::Read);
        let _ = fs::set_permissions(self.real(path), fs::Permissions::from_mode(mode));
        self
    }

    /// `ln -s TARGET PATH`.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.own(path, Look::Read).made.exclusive = true;
        let _ = symlink(target, self.real(path));
        self
    }

    /// `ln FROM PATH`.
    pub fn hard_link(&mut self, path: &str, from: &str) -> &mut Self {
        self.own(path, Look::Read).made.exclusive = true;
        let _ = fs::hard_link(self.real(from), self.real(path));
        self
    }

    /// `touch -d TIME PATH`, in nanoseconds since 1970.
    pub fn date(&mut self, path: &str, modified: i64) -> &mut Self {
        self.change(path, Look::Read).made.dated = true;
        self.world.touch(self.real(path), modified);
        self
    }

    /// `touch PATH`.
    pub fn renew(&mut self, path: &str) -> &mut Self {
        self.change(path, Look::Read).made.renewed = true;
        self.world.touch(self.real(path), clock::now());
        self
    }

    /// What is found after the run.
    pub fn found(&self, shelf: &Memory) -> Result<Vec<Output>, Reason> {
        self.found_at(&self.world.watched(), shelf)
    }

    pub fn found_at(&self, places: &Places, shelf: &Memory) -> Result<Vec<Output>, Reason> {
        found(&self.trace, places, self.started..i64::MAX, MOST, shelf)
    }

    /// What the key has of it.
    pub fn observations(&self) -> Vec<Observation> {
        let root = self.world.root();
        let observation = |(path, touch): (&PathBuf, &Touch)| {
            let Glimpse::Something { stamp, target, .. } = &touch.before else { return None };
            let mode = stamp.mode & 0o7777;
            let (facet, state) = match (target, touch.image, stamp.mode & 0o170_000) {
                (Some(target), ..) => (Facet::Kind, State::Target(target.clone())),
                (_, Some(digest), _) => (Facet::Content, State::File { mode, digest }),
                (_, _, 0o040_000) => (Facet::Kind, State::Folder { mode }),
                _ => return None,
            };
            let path = path.strip_prefix(&root).unwrap_or(path).to_owned();
            Some(Observation { path, facet, state, stamp: None })
        };
        let mut observations: Vec<Observation> = self.trace.touched.iter().filter_map(observation).collect();
        observations.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        observations
    }
}

impl World {
    /// Where a watched command may leave something: below the root.
    pub fn watched(&self) -> Places {
        Places::watched(&[], &[], &self.root(), &self.root()).unwrap()
    }

    /// The replay of a watched command.
    pub fn replay(&self, outputs: &[Output], observations: &[Observation], shelf: &Memory) -> Result<Restored, Reason> {
        self.replay_with(outputs, observations, shelf, Mtime::Now)
    }

    pub fn replay_with(
        &self,
        outputs: &[Output],
        observations: &[Observation],
        shelf: &Memory,
        policy: Mtime,
    ) -> Result<Restored, Reason> {
        let inputs = Inputs { words: &[], observations: &|| observations };
        restore(&self.watched(), outputs, shelf, policy, &nothing(), &inputs)
    }
}
