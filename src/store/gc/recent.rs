//! What happened since the plan was made.

use std::collections::HashSet;

use super::Thing;
use crate::error::Error;
use crate::model::{Call, CommandDigest, Digest, Event, Key, Reason};
use crate::store::Store;
use crate::store::catalogue::PIN;
use crate::store::journal::{self, Mark};

/// What is needed by calls that the plan does not know, or that were used after it was made.
pub(super) struct Recent<'store> {
    store: &'store Store,
    read: Mark,
    used: HashSet<Key>,
    needed: Needed,
}

/// Values and commands that calls need.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub values: HashSet<Digest>,
    pub commands: HashSet<CommandDigest>,
}

impl Needed {
    /// Adds what a call needs.
    pub fn add(&mut self, call: &Call) {
        self.values.extend(call.values().filter(|content| content.inline.is_none()).map(|content| content.digest));
        self.commands.insert(call.command);
    }

    /// Whether a call needs it.
    pub fn includes(&self, thing: &Thing) -> bool {
        match thing {
            Thing::Value(digest) => self.values.contains(digest),
            Thing::PathSets(command) => self.commands.contains(command),
            _ => false,
        }
    }
}

impl<'store> Recent<'store> {
    /// What happened since `mark`, which `needed` does not know of.
    pub fn since(store: &'store Store, mark: Mark, needed: Needed) -> Recent<'store> {
        Recent { store, read: mark, used: HashSet::new(), needed }
    }

    /// Reads on in the journal, which others may write meanwhile: what they append is read the next time.
    pub fn read_on(&mut self) -> Result<(), Error> {
        let appended = self.read.read_on(&self.store.folder).map_err(journal::unreadable)?;
        let Some(bytes) = appended else {
            return Err(Error::failure("too much happened to the cache meanwhile").hint("fleche gc"));
        };
        for (_, event) in journal::events(&bytes) {
            match event {
                Event::Stored { key, .. }
                | Event::Copied { key, .. }
                | Event::Tagged { key }
                | Event::Renamed { to: key, .. } => {
                    self.used.insert(key);
                    self.need(&key)?;
                }
                Event::Hit { key, .. } => drop(self.used.insert(key)),
                Event::NotStored { .. }
                | Event::Contested { .. }
                | Event::Evicted { .. }
                | Event::Asked { .. }
                | Event::Sent { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether somebody used the call since.
    pub fn used(&self, key: &Key) -> bool {
        self.used.contains(key)
    }

    /// Keeps what a call needs.
    pub fn need(&mut self, key: &Key) -> Result<(), Error> {
        if let Some(call) = readable(self.store, key)? {
            self.needed.add(&call);
        }
        Ok(())
    }

    /// Keeps what a call needs that was to be evicted, if its own file says that it is pinned; says whether it does. The
    /// journal is no proof: its line may be lost, or be written a moment from now.
    pub fn is_pinned(&mut self, key: &Key) -> Result<bool, Error> {
        let pinned = readable(self.store, key)?.filter(|call| call.tags.contains_key(PIN));
        if let Some(call) = &pinned {
            self.needed.add(call);
        }
        Ok(pinned.is_some())
    }

    /// Whether a call needs it.
    pub fn needs(&self, thing: &Thing) -> bool {
        self.needed.includes(thing)
    }
}

/// A call; `None` where it is gone or damaged (it is then in quarantine). One that cannot be read may need anything.
pub(super) fn readable(store: &Store, key: &Key) -> Result<Option<Call>, Error> {
    match store.call(key) {
        Ok(call) => Ok(call),
        Err(Reason::Damaged(_)) => Ok(None),
        Err(Reason::StoreUnusable(why)) => {
            Err(Error::failure(format!("call {} may need anything: {why}", key.0.short())))
        }
        Err(reason) => Err(Error::failure(reason.to_string())),
    }
}
