//! Filling the first cache of a stack with what another one had.

use crate::key;
use crate::model::{Call, Key, Reason};
use crate::store::{Durability, Existing, Flight, FlightLock, Store};

use super::lookup::Sought;

impl super::Run<'_> {
    /// Takes a call that a cache behind the first one has over into the first. Of many that do the same at the same time one
    /// is enough, and the replay needs none: it goes on whatever comes of it. `lock` is the command's, if it is held.
    pub(super) fn fill_back(&self, store: &Store, sought: &Sought, key: &Key, lock: Option<&FlightLock>) {
        let is_wanted = store.is_writable() && self.policy.mode != super::Mode::ReadOnly;
        let Some(owner) = store.owner_behind(key).filter(|_| is_wanted) else { return };
        let _flight = match lock {
            Some(_) => None,
            None => match store.flight(&sought.command.digest, Some(std::time::Duration::ZERO)) {
                Flight::Leads(lock) if store.owner_behind(key).is_some() => Some(lock),
                _ => return,
            },
        };
        let _ = filled(store, sought, owner, key);
    }
}

fn filled(store: &Store, sought: &Sought, owner: &Store, key: &Key) -> Result<(), Reason> {
    let call = owner.call(key)?.ok_or(Reason::NoCall)?;
    let call = known_here(call, sought, store)?;
    store.copy(&call, owner, Existing::Kept, Durability::Buffered).map(drop)
}

/// The call as this store would have recorded it, but for who made it: all that counted is known from the command that it
/// answers, which is the same.
pub(super) fn known_here(call: Call, sought: &Sought, store: &Store) -> Result<Call, Reason> {
    let command = sought.command;
    if call.command != command.digest {
        return Err(Reason::Internal);
    }
    let secret = store.secret()?;
    let variables = key::variables(&sought.request.environment, &command.environment, &command.cwd)
        .map_err(|_| Reason::Internal)?;
    Ok(Call {
        parts: command.sealed_parts(&secret),
        sealed_by: None,
        taken_over: true,
        variables: variables.iter().map(|variable| variable.recorded(&secret)).collect(),
        ..call
    })
}
