//! From the paths of calls to real ones, and what is noted of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::super::super::never;
use super::super::habit::Habit;
use super::super::ledger::Sight;
use super::super::resolve::{Noted, Place, Reach, Resolved, Where, locate};
use super::{Asker, Observer, Scope};
use crate::exec::trace::Vain;
use crate::model::{Reason, SYSTEM};
use crate::sys::calls::{At, Empty, Opening};
use crate::sys::tracee::Spot;

impl Observer {
    pub(super) fn scope(&mut self, path: &Path) -> Scope {
        if self.ledger.is_touched(path) {
            return Scope::Noted;
        }
        if let Some(scope) = self.scopes.get(path) {
            return *scope;
        }
        let scope = if never::is_kernels(path) {
            Scope::Kernel
        } else if self.watch.apart.iter().any(|folder| path.starts_with(folder)) || (self.watch.scratch)(path) {
            Scope::Apart
        } else if never::is_never_observed(path) {
            Scope::Unread
        } else {
            return Scope::Noted;
        };
        self.scopes.insert(path.to_owned(), scope);
        scope
    }

    /// Whether nothing is noted of what is read at `path`.
    pub(super) fn is_passed_over(&mut self, path: &Path) -> bool {
        self.scope(path) != Scope::Noted
    }

    /// Whether what is done to `path` is noted.
    pub(super) fn is_change_noted(&mut self, path: &Path) -> bool {
        match self.scope(path) {
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

    /// The same of opening it.
    pub(super) fn is_opening_noted(&mut self, at: At, opening: Opening) -> bool {
        if opening.changes() {
            return false;
        }
        let noted = self.resolver.noted(&self.text, at.end);
        match opening.is_place() || opening.is_folder() {
            true => noted.kind,
            false => noted.opened && (noted.exactly || !self.habits.are_curious),
        }
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
                    if !self.is_passed_over(link) {
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
                if !self.is_passed_over(&place.path) {
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
        (!self.is_passed_over(&path)).then_some(path)
    }

    /// The same, where what is done to it is.
    pub(super) fn changed(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.real(asker, at)?;
        self.is_change_noted(&path).then_some(path)
    }
}
