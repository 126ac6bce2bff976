//! Calls that ask for what is in no file's bytes: extended attributes, what a file system holds, what the machine tells.

use std::path::Path;

use super::super::habit::{self, Habit};
use super::super::look;
use super::{Asker, Ground, Observer, Scope};
use crate::model::{Reason, SYSTEM};
use crate::sys::calls::At;
use crate::sys::{attributes, machine};

/// The macro by which a source names when it was changed last, see the manual of GNU CPP.
const AGE: &[u8] = b"__TIMESTAMP__";

impl Observer {
    pub(super) fn read_attribute(&mut self, asker: &Asker, at: At, name: u64) {
        let Some(path) = self.watched(asker, at) else { return };
        if name == 0 || self.is_counting(asker, name) {
            self.ledger.ask_attributes(&path);
        } else {
            self.look_at(asker, &path);
        }
    }

    /// Whether an attribute with the name at this address counts.
    fn is_counting(&mut self, asker: &Asker, name: u64) -> bool {
        let mut text = Vec::new();
        match asker.tracee.read_string(name, &mut text) {
            Ok(true) => attributes::counts(&text),
            _ => false,
        }
    }

    pub(super) fn set_attribute(&mut self, asker: &Asker, at: At, name: u64) {
        if let Some(path) = self.alter(asker, at)
            && self.is_counting(asker, name)
        {
            self.ledger.set_attributes(&path);
        }
    }

    /// How full a file system is no key tells. The library asks of some for itself.
    pub(super) fn refuse_volume(&mut self, asker: &Asker, at: At) {
        if let Some(path) = self.watched(asker, at)
            && self.callers.of(asker.tracee).names(&path, &self.text, &|_| false)
        {
            self.ledger.refuse(Reason::Device(path));
        }
    }

    /// Whether it counts what a program holds: of what its keeper did not just make, wherever it lies.
    pub(super) fn is_executed_noted(&mut self, asker: &Asker, path: &Path) -> bool {
        match self.ground(path) {
            Ground::Kept(_) => self.ledger.deed_apart(path).is_none(),
            _ => self.scope(asker, path) == Scope::Noted,
        }
    }

    /// A source that names its own time of change is compiled to another thing when that changes, which compilers are not
    /// asked about.
    pub(super) fn check_age(&mut self, asker: &Asker, path: &Path) {
        let is_of_system = || SYSTEM.iter().any(|folder| path.starts_with(folder));
        if self.habits.of(asker.tracee) != Habit::Blind || self.aged.contains(path) || is_of_system() {
            return;
        }
        let caller = self.callers.of(asker.tracee);
        if !caller.preprocesses() {
            return;
        }
        self.aged.insert(path.to_owned());
        if caller.mentions(AGE) || look::holds(path, AGE) {
            self.ledger.refuse(Reason::OwnAge(path.to_owned()));
        }
    }

    /// A program is executed that may tell of the machine.
    pub(super) fn meet(&mut self, path: &Path) {
        let Some(name) = path.file_name() else { return };
        if machine::is_told_by(name) {
            self.ledger.ask_machine(path);
        } else if habit::tells_of_the_machine(path) {
            self.ledger.refuse(Reason::Machine(path.to_owned()));
        }
    }
}
