//! What a nested run tells of a command that it did not execute is noted as if the command had done it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::super::Watch;
use super::super::ledger::Sight;
use super::super::look;
use super::{Asker, Observer, Voice};
use crate::model::{Account, Facet, Reason, SYSTEM, Trail};
use crate::sys::calls::{At, Empty, End};
use crate::sys::seccomp::{Listener, Notice};
use crate::sys::tracee::Tracee;

impl Observer {
    /// Notes nothing more of what is done in `folder`.
    pub fn leave_apart(&mut self, folder: &Path) {
        if !self.watch.apart.iter().any(|apart| folder.starts_with(apart)) {
            self.watch.apart.push(folder.to_owned());
            self.grounds.clear();
        }
    }

    /// Notes what no replay could repeat.
    pub fn refuse(&mut self, reason: Reason) {
        self.ledger.refuse(reason);
    }

    /// Notes what a command would have looked at and left.
    pub fn note_account(&mut self, listener: &Listener, notice: &Notice, account: &Account) {
        if self.has_given_up {
            return;
        }
        let asker = Asker { voice: Voice::Teller, tracee: Tracee::of(notice.thread), listener, id: notice.id };
        if account.uses_network {
            self.refuse_network("a run in it that may".to_owned());
        }
        for (path, facet) in &account.seen {
            self.note_seen(&asker, path, facet);
        }
        for (path, trail) in &account.left {
            let is_read =
                |(seen, facet): &(PathBuf, Facet)| seen == path && matches!(facet, Facet::Whole | Facet::Content);
            self.note_left(&asker, path, *trail, account.seen.iter().any(is_read));
        }
    }

    fn resolved(&mut self, asker: &Asker, path: &Path, end: End) -> Option<PathBuf> {
        self.real_of(asker, path.as_os_str().as_bytes(), At { folder: None, path: 0, end, empty: Empty::Nothing })
    }

    fn note_seen(&mut self, asker: &Asker, path: &Path, facet: &Facet) {
        // What was declared may be a link, which counts with what it leads to.
        let end = if *facet == Facet::Whole { End::Followed } else { End::Kept };
        let Some(path) = self.resolved(asker, path, end) else { return };
        if self.is_passed_over(asker, &path) {
            return;
        }
        // How it got there is not told.
        let is_within = self.watch.root.as_ref().is_some_and(|root| path.starts_with(root));
        self.leaves_root |= !is_within && !SYSTEM.iter().any(|folder| path.starts_with(folder));
        let sight = match facet {
            Facet::Whole | Facet::Content => Sight::Content,
            Facet::Kind => Sight::Kind,
            Facet::Metadata => Sight::Exactly,
            Facet::Replaced => Sight::Metadata,
            Facet::Attributes => return self.ledger.ask_attributes(&path),
            Facet::Machine => return self.ledger.ask_machine(&path),
            Facet::Listing { without } => {
                let Watch { apart, scratch, .. } = &self.watch;
                let is_passed_over = |name: &OsStr| {
                    let path = path.join(name);
                    without.iter().any(|passed| passed == name) || apart.contains(&path) || scratch(&path)
                };
                return self.ledger.list(&path, &is_passed_over);
            }
        };
        self.ledger.see(&path, sight);
    }

    /// Where something is left no folder on the way is a link, for a replay goes through none.
    fn note_left(&mut self, asker: &Asker, path: &Path, trail: Trail, is_read: bool) {
        if !self.is_change_noted(asker, path) {
            return;
        }
        if trail != Trail::Nothing {
            self.note_folders(path);
        }
        let now = self.ledger.now(path);
        match (trail, now) {
            (Trail::File { .. }, Some(_)) if is_read => self.ledger.alter(path),
            (Trail::File { .. }, _) => self.ledger.replace(path),
            (Trail::Folder { .. }, None) => self.ledger.make_folder(path),
            (Trail::Folder { .. }, Some(_)) => self.ledger.alter(path),
            (Trail::Nothing, None) => self.ledger.see(path, Sight::Kind),
            (Trail::Nothing, Some(FileType::Directory)) if look::is_empty(path) => self.ledger.remove_folder(path),
            // What is in it is taken away before it.
            (Trail::Nothing, Some(FileType::Directory)) => self.ledger.replace(path),
            (Trail::Nothing, Some(_)) => self.ledger.remove(path),
        }
        if matches!(trail, Trail::File { is_dated: true } | Trail::Folder { is_dated: true }) {
            self.ledger.date(path);
        }
        self.resolver.forget_all(path);
    }

    /// Folders that have to be made for something to be at `path`.
    fn note_folders(&mut self, path: &Path) {
        let missing: Vec<&Path> =
            path.ancestors().skip(1).take_while(|folder| self.ledger.now(folder).is_none()).collect();
        for folder in missing.into_iter().rev() {
            if !self.ledger.is_own(folder) {
                self.ledger.make_folder(folder);
                self.resolver.forget_all(folder);
            }
        }
    }
}
