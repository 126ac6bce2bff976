//! From the paths of calls to real ones, and what is noted of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::super::super::never;
use super::super::caller;
use super::super::habit::Habit;
use super::super::ledger::{Deed, Sight};
use super::super::resolve::{Noted, Place, Reach, Resolved, Where, locate};
use super::{Asker, Ground, Observer, Scope, Voice};
use crate::exec::trace::Vain;
use crate::model::{Keeper, Reason, SYSTEM};
use crate::sys::calls::{At, Empty, Opening};
use crate::sys::tracee::Spot;

impl Observer {
    /// What is noted of `path`, whoever touches it.
    pub(super) fn ground(&mut self, path: &Path) -> Ground {
        if self.ledger.is_touched(path) {
            return Ground::Open;
        }
        if let Some(ground) = self.grounds.get(path) {
            return *ground;
        }
        let ground = if never::is_kernels(path) {
            Ground::Kernel
        } else if self.watch.apart.iter().any(|folder| path.starts_with(folder)) || (self.watch.scratch)(path) {
            Ground::Apart
        } else if never::is_never_observed(path) {
            Ground::Unread
        } else if let Some(keeper) = self.watch.kept.keeper(path) {
            Ground::Kept(keeper)
        } else {
            return Ground::Open;
        };
        self.grounds.insert(path.to_owned(), ground);
        ground
    }

    /// What is noted of `path` where this one touches it.
    pub(super) fn scope(&mut self, asker: &Asker, path: &Path) -> Scope {
        match self.ground(path) {
            Ground::Open => Scope::Noted,
            Ground::Apart => Scope::Apart,
            Ground::Kernel => Scope::Kernel,
            Ground::Unread if asker.voice == Voice::Teller || self.is_asked_for(asker, path) => Scope::Noted,
            Ground::Unread => Scope::Unread,
            Ground::Kept(keeper) => self.scope_of_kept(asker, path, keeper),
        }
    }

    /// Its keeper has it apart, unless its arguments name it. For everybody else it counts, but for what a keeper has made: that
    /// comes of what the keeper was given.
    fn scope_of_kept(&mut self, asker: &Asker, path: &Path, keeper: Keeper) -> Scope {
        let is_kept = asker.voice == Voice::Caller && {
            let caller = self.callers.of(asker.tracee);
            let kept = &self.watch.kept;
            caller.is(keeper) && !caller.names(path, &self.text, &|place| kept.keeper(place).is_some())
        };
        match self.ledger.deed_apart(path) {
            _ if is_kept => Scope::Apart,
            Some(Deed::Made) => Scope::Apart,
            Some(Deed::Changed) => {
                self.ledger.refuse(Reason::NoImage(path.to_owned()));
                Scope::Noted
            }
            None => Scope::Noted,
        }
    }

    /// Whether what tells of the machine is read because somebody wants to know it.
    pub(super) fn is_asked_for(&mut self, asker: &Asker, path: &Path) -> bool {
        let who = self.callers.of(asker.tracee);
        let is_kernels = never::is_kernels(path);
        // What the library reads for itself is meant only where it is named as a whole.
        let is_within = |place: &Path| match (caller::is_own(path), is_kernels) {
            (true, _) => false,
            (_, true) => never::is_kernels(place),
            (_, false) => place != Path::new("/"),
        };
        who.tells(path) || who.names(path, &self.text, &is_within)
    }

    /// What the kernel tells is another thing each time.
    pub(super) fn refuse_kernels(&mut self, asker: &Asker, path: &Path) {
        let is_told_of = path.parent().is_some_and(never::is_kernels) && !never::is_plain_device(path);
        if is_told_of && path != Path::new("/dev/tty") && self.is_asked_for(asker, path) {
            self.ledger.refuse(Reason::Device(path.to_owned()));
        }
    }

    /// Whether nothing is noted of what is read at `path`.
    pub(super) fn is_passed_over(&mut self, asker: &Asker, path: &Path) -> bool {
        self.scope(asker, path) != Scope::Noted
    }

    /// Whether what is done to `path` is noted.
    pub(super) fn is_change_noted(&mut self, asker: &Asker, path: &Path) -> bool {
        match self.scope(asker, path) {
            Scope::Noted | Scope::Unread => true,
            Scope::Apart => {
                self.ledger.set_apart(path);
                false
            }
            Scope::Kernel => {
                if !never::is_plain_device(path) && !never::is_of_a_process(path) {
                    self.ledger.refuse(Reason::Device(path.to_owned()));
                }
                false
            }
        }
    }

    /// The real path that a call is about, whatever is noted of it; `None` if it fails, or is about something without a name.
    pub(super) fn real(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        if self.read_text(asker, at) { self.real_of_text(asker, at) } else { None }
    }

    /// Reads the path that a call names; whether there is one that the kernel would take.
    pub(super) fn read_text(&mut self, asker: &Asker, at: At) -> bool {
        self.text.clear();
        at.path == 0
            || asker.tracee.read_string(at.path, &mut self.text).unwrap_or_else(|_| {
                self.unreadable(asker);
                false
            })
    }

    /// The real path of what was read.
    pub(super) fn real_of_text(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let text = std::mem::take(&mut self.text);
        let path = self.real_of(asker, &text, at);
        self.text = text;
        path
    }

    /// Whether all is noted already that looking at the path that was read could tell: then nothing comes of it, so that not
    /// even has to be asked whether its process still waits.
    pub(super) fn is_noted(&mut self, asker: &Asker, at: At, sight: Sight) -> bool {
        let noted = self.resolver.noted(&self.text, at.end);
        let is_known = match sight {
            Sight::Metadata => noted.exactly && (noted.content || !self.habits.are_curious),
            _ => noted.kind,
        };
        is_known || (noted.kind_blindly && self.habits.of(asker.tracee) == Habit::Blind)
    }

    /// The same of opening it. What a compiler opens is looked into for what tells of the file's age, and what others opened
    /// before it was not.
    pub(super) fn is_opening_noted(&mut self, asker: &Asker, at: At, opening: Opening) -> bool {
        if opening.changes() {
            return false;
        }
        let noted = self.resolver.noted(&self.text, at.end);
        if opening.is_place() || opening.is_folder() {
            return noted.kind;
        }
        noted.opened
            && (noted.exactly || !self.habits.are_curious)
            && (noted.opened_blindly || self.habits.of(asker.tracee) != Habit::Blind)
    }

    /// Remembers of the path that was read, which leads to `path`, what is noted by now: only of what is not passed over.
    pub(super) fn remember(&mut self, at: At, path: &Path) {
        let knows = |sight| self.ledger.knows(path, sight);
        let kinds = [Sight::KindBlindly, Sight::Kind, Sight::Exactly, Sight::Content].map(knows);
        self.resolver.note(&self.text, at.end, |noted| {
            [noted.kind_blindly, noted.kind, noted.exactly, noted.content] = kinds;
        });
    }

    pub(super) fn real_of(&mut self, asker: &Asker, text: &[u8], at: At) -> Option<PathBuf> {
        if text.is_empty() && at.empty == Empty::Nothing {
            return None;
        }
        let base = match text.first() {
            Some(b'/') => PathBuf::new(),
            Some(_) => self.base(asker, at.folder)?,
            None => match locate(asker.tracee, at.folder.map_or(Spot::Folder, Spot::Descriptor)) {
                Where::At(path) => return asker.is_waiting().then_some(path),
                _ => return None,
            },
        };
        if !asker.is_waiting() {
            return None;
        }
        let place = match self.resolver.resolve(&base, text, at.end, asker.tracee) {
            Resolved::Known(place) => place,
            Resolved::New(place) => {
                self.leaves_root |= self.is_way_out(&base, text, &place);
                for link in &place.links {
                    if !self.is_passed_over(asker, link) {
                        self.ledger.see(link, Sight::Kind);
                    }
                }
                place
            }
        };
        match place.reach {
            Reach::End => Some(place.path.clone()),
            Reach::Nameless => {
                // Of whatever process: a pipe that is opened anew is the same pipe.
                if place.path.ends_with("fd/0") && self.input.is_some() {
                    self.stdin_used = true;
                }
                None
            }
            Reach::Broken => {
                if !self.is_passed_over(asker, &place.path) {
                    self.ledger.see(&place.path, Sight::Kind);
                    self.resolver.note(text, at.end, |noted| *noted = Noted::ALL);
                }
                let whole = base.join(OsStr::from_bytes(text));
                let is_plain = whole.components().all(|part| part != Component::ParentDir);
                if self.watch.vain == Vain::Whole && is_plain {
                    self.ledger.see(&whole, Sight::Kind);
                }
                None
            }
        }
    }

    /// Whether a path leads from the root to something that is neither below it nor of the system.
    fn is_way_out(&self, base: &Path, text: &[u8], place: &Place) -> bool {
        if SYSTEM.iter().any(|folder| place.path.starts_with(folder)) || never::is_never_observed(&place.path) {
            return false;
        }
        let Some(root) = &self.watch.root else { return !text.starts_with(b"/") || !place.links.is_empty() };
        let begins = if text.starts_with(b"/") { Path::new(OsStr::from_bytes(text)) } else { base };
        let is_within = |path: &Path| path.starts_with(root);
        !is_within(&place.path) && (is_within(begins) || place.links.iter().any(|link| is_within(link)))
    }

    /// Where a relative path begins.
    pub(super) fn base(&mut self, asker: &Asker, folder: Option<i32>) -> Option<PathBuf> {
        match locate(asker.tracee, folder.map_or(Spot::Folder, Spot::Descriptor)) {
            Where::At(path) => Some(path),
            Where::Gone => {
                // `..` may still lead somewhere.
                self.ledger.refuse(Reason::Unwatched("it was in a folder that is gone".into()));
                None
            }
            Where::Nameless => {
                if folder.is_none() {
                    self.unreadable(asker);
                }
                None
            }
        }
    }

    pub(super) fn unreadable(&mut self, asker: &Asker) {
        if asker.is_waiting() {
            self.ledger.refuse(Reason::Unwatched("a process whose memory may not be read".into()));
        }
    }

    /// The same as [`real`](Observer::real), where something is noted of it.
    pub(super) fn watched(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.real(asker, at)?;
        self.is_watched(asker, &path).then_some(path)
    }

    /// Whether something is noted of what is seen of `path`.
    pub(super) fn is_watched(&mut self, asker: &Asker, path: &Path) -> bool {
        match self.scope(asker, path) {
            Scope::Noted => true,
            Scope::Kernel => {
                self.refuse_kernels(asker, path);
                false
            }
            Scope::Unread | Scope::Apart => false,
        }
    }

    /// The same, where what is done to it is.
    pub(super) fn changed(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.real(asker, at)?;
        self.is_change_noted(asker, &path).then_some(path)
    }
}
