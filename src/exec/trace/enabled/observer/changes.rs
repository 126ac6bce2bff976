//! Calls that make, move, change and remove files.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::habit::Habit;
use super::super::ledger::Sight;
use super::super::look;
use super::{Asker, Observer};
use crate::sys::calls::{At, Moving, Times, UTIME_SPECIAL};
use crate::sys::tracee::Tracee;

impl Observer {
    /// The path at which a call is to make something, if nothing is there.
    pub(super) fn vacant(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.changed(asker, at)?;
        if self.ledger.now(&path).is_some() {
            self.ledger.see(&path, Sight::Kind);
            return None;
        }
        Some(path)
    }

    pub(super) fn link(&mut self, asker: &Asker, from: At, to: At) {
        let from = self.watched(asker, from);
        if let Some(from) = &from {
            let kind = self.ledger.now(from);
            self.ledger.see(from, Sight::Kind);
            if kind.is_none() {
                return;
            }
        }
        let Some(to) = self.vacant(asker, to) else { return };
        self.resolver.forget(&to);
        match from {
            Some(from) if !self.ledger.is_own(&from) => self.ledger.share(&from, &to),
            _ => self.ledger.make(&to),
        }
    }

    pub(super) fn remove(&mut self, asker: &Asker, at: At) {
        let Some(path) = self.changed(asker, at) else { return };
        match self.ledger.now(&path) {
            None | Some(FileType::Directory) => self.look_at(asker, &path),
            Some(_) => {
                self.resolver.forget(&path);
                self.ledger.remove(&path);
            }
        }
    }

    /// A call finds out that something is there or not, and no more.
    pub(super) fn look_at(&mut self, asker: &Asker, path: &Path) {
        if !self.ledger.knows(path, Sight::Kind) {
            let sight = if self.habits.of(asker.tracee) == Habit::Blind { Sight::KindBlindly } else { Sight::Kind };
            self.ledger.see(path, sight);
        }
    }

    pub(super) fn remove_folder(&mut self, asker: &Asker, at: At) {
        let Some(path) = self.changed(asker, at) else { return };
        match self.ledger.now(&path) {
            Some(FileType::Directory) if look::is_empty(&path) => {
                self.resolver.forget_all(&path);
                self.ledger.remove_folder(&path);
            }
            Some(FileType::Directory) => self.ledger.list(&path, &|_| false),
            _ => self.ledger.see(&path, Sight::Kind),
        }
    }

    pub(super) fn carry(&mut self, asker: &Asker, from: At, to: At, how: Moving) {
        let (from, to) = (self.real(asker, from), self.real(asker, to));
        let (Some(from), Some(to)) = (from, to) else { return };
        if from == to {
            return;
        }
        let kinds = [&from, &to].map(|path| look::kind_of(&look::glimpse(path)));
        let is_folder = kinds.map(|kind| kind == Some(FileType::Directory));
        let fails = match (how, kinds) {
            (_, [None, _]) => true,
            (Moving::Exchange, [_, there]) => there.is_none(),
            (_, [_, None]) => false,
            (Moving::Onto, _) => true,
            _ => is_folder[0] != is_folder[1] || (is_folder[1] && !look::is_empty(&to)),
        };
        let noted = [&from, &to].map(|path| self.is_change_noted(asker, path));
        if fails {
            for (path, is_folder) in
                [&from, &to].into_iter().zip(is_folder).zip(noted).filter_map(|(it, is)| is.then_some(it))
            {
                self.ledger.see(path, Sight::Kind);
                if is_folder && how == Moving::Over {
                    self.ledger.list(path, &|_| false);
                }
            }
            return;
        }
        let mut directions = vec![(&from, &to, noted)];
        if how == Moving::Exchange {
            directions.push((&to, &from, [noted[1], noted[0]]));
        } else if how == Moving::Onto && noted[1] {
            self.ledger.see(&to, Sight::Kind);
        }
        for (from, ..) in directions.iter().filter(|(.., noted)| noted[0]) {
            self.resolver.forget_all(from);
            self.ledger.leave(from);
        }
        for (from, to, _) in directions.iter().filter(|(.., noted)| noted[1]) {
            self.resolver.forget_all(to);
            self.ledger.arrive(from, to);
        }
    }

    /// Content or attributes are changed; where.
    pub(super) fn alter(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.changed(asker, at)?;
        if self.ledger.now(&path).is_none() {
            self.ledger.see(&path, Sight::Kind);
            return None;
        }
        self.ledger.alter(&path);
        Some(path)
    }
}

/// Whether a modification time is set that is not now.
pub(super) fn is_given(tracee: Tracee, times: Times) -> bool {
    match times {
        Times::Now => false,
        Times::Given => true,
        Times::At(place) => {
            tracee.read_words(place).is_some_and(|[_, _, _, nanoseconds]| !UTIME_SPECIAL.contains(&nanoseconds))
        }
    }
}
