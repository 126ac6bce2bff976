//! Stores that stand one behind the other: asked in their order, and only the first one is written.
//!
//! A store that has others behind it answers for all of them: its calls and values are theirs, its path sets and its
//! catalogue are the union, each call once. What is stored, journalled and remembered goes into it alone, so that whoever
//! holds one store or many does the same. What others have gets into it by [`Store::copy`].

use std::path::Path;

use super::{Access, Store};
use crate::model::{Key, PathSets, Reason};

impl Store {
    /// The same store, with `behind` to be asked after it.
    pub fn in_front_of(mut self, behind: Vec<Store>) -> Store {
        self.behind.extend(behind);
        self
    }

    /// It and those behind it, in order.
    pub fn members(&self) -> impl Iterator<Item = &Store> {
        std::iter::once(self).chain(&self.behind)
    }

    /// Where they all are.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.members().map(Store::folder)
    }

    /// The first store behind it that has the call, if it has not got it itself.
    pub fn owner_behind(&self, key: &Key) -> Option<&Store> {
        // A hit reads its call once.
        if self.behind.is_empty() {
            return None;
        }
        let has = |store: &&Store| store.own_answer(key).is_ok_and(|answer| answer.is_some());
        if has(&self) { None } else { self.behind.iter().find(has) }
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// What the first of the members says that has it. What ails one behind another is no reason for a miss.
    pub(super) fn first_found<'s, T>(
        &'s self,
        find: impl Fn(&'s Store) -> Result<Option<T>, Reason>,
    ) -> Result<Option<T>, Reason> {
        let own = find(self);
        if self.behind.is_empty() || matches!(own, Ok(Some(_))) {
            return own;
        }
        let behind = self.behind.iter().find_map(|member| find(member).ok().flatten());
        behind.map_or(own, |found| Ok(Some(found)))
    }

    /// The path sets of all members.
    pub(super) fn joint_path_sets(&self, of: impl Fn(&Store) -> PathSets) -> PathSets {
        let mut sets = of(self);
        self.behind.iter().for_each(|member| sets.add_behind(&of(member)));
        sets
    }

    /// Does something to a call wherever it is: `change` says of each member whether it had the call.
    ///
    /// # Errors
    ///
    /// What `change` fails with; where only members have the call that may not be written, that it is read-only.
    pub(super) fn everywhere(
        &self,
        key: &Key,
        mut change: impl FnMut(&Store) -> Result<bool, Reason>,
    ) -> Result<bool, Reason> {
        let mut is_there = false;
        for member in self.members().filter(|member| member.is_writable()) {
            is_there |= change(member)?;
        }
        let is_kept = |member: &Store| !member.is_writable() && member.has_call_file(key);
        match self.members().any(is_kept) {
            true if !is_there => Err(Reason::ReadOnly),
            _ => Ok(is_there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{World, call};

    #[test]
    fn what_only_members_have_that_are_not_written_is_told() {
        let (front, back) = (World::new(), World::new());
        let (both, behind, neither) = (front.record(call("both")), back.record(call("behind")), call("neither"));
        back.record(call("both"));
        let read_only = Store::open_read_only(back.store.folder()).unwrap();
        let stack = Store::open(front.store.folder()).unwrap().in_front_of(vec![read_only]);
        let removed = |key: &Key| stack.everywhere(key, |member| member.remove(key));
        assert!(matches!(removed(&behind.key), Err(Reason::ReadOnly)));
        assert!(matches!(removed(&both.key), Ok(true)), "one of them had it and could be written");
        assert!(matches!(removed(&neither.key), Ok(false)));
    }
}
