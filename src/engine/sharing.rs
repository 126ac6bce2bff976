//! Sharing calls with other machines: what they made is taken over before a command is run, and what was made here is put
//! where they look.
//!
//! What is taken over is stored in the first cache and replayed from there, like any other call: so a store beyond this
//! machine can make a run slower, and nothing else.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::exec;
use crate::key;
use crate::model::{CacheAccess, Call, CommandDigest, Event, Exchange, Key, Observation, Reason, Remote, Reply};
use crate::store::{
    Breaker, Durability, Existing, Failure, Keeping, Parcel, Patience, Road, SigningKey, Store, There, Tier, Traffic,
    Waiting,
};
use crate::sys::clock;

use super::filling::known_here;
use super::lookup::{Keys, Sought};
use super::transfer::{packed, settled};
use super::{Mode, Told};

/// Nobody sends for longer than this at once, in nanoseconds: ten hours.
const LONGEST_ERRAND: u64 = 36_000_000_000_000;
/// A process that sends what nobody waits for waits for less than this first, in nanoseconds.
const LONGEST_PAUSE: u64 = 200_000_000;

/// A store that has taken nothing and rejected so many calls in a row is not offered any more of them.
const MOST_REJECTED: usize = 5;

/// What waits for longer than this, in nanoseconds, and is rejected by a store that takes others, is not offered any more: an hour.
const LONG_REJECTED: i64 = 3_600_000_000_000;

/// What became of a call that was to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// It is there now.
    Published,
    /// One of its key was there and stayed.
    Present,
    /// Another call was there in its place, as of a checkout elsewhere or of somebody who is not believed here, and stayed.
    Taken,
    /// No rule says that it may be there.
    Kept,
    /// It came from another cache: somebody else made it, and it is not signed.
    Foreign,
    /// There is no such call here.
    Gone,
}

/// What makes way for a call that is put into a store beyond this machine: one has its key, one of another checkout may have its
/// name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Either.
    Anything,
    /// One of another key.
    AllButItself,
    /// One of its key, which is not known to be whole.
    ItselfAlone,
}

/// What became of it, or why that cannot be done.
pub type Attempt = std::result::Result<Shared, Failure>;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A process of which nobody knows.
    Behind,
    /// Somebody who was asked to.
    Asked,
}

/// How much was put there of what was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    All,
    /// Somebody had heard enough before.
    InPart,
    /// Another process does it.
    ByAnother,
}

impl super::Run<'_> {
    /// Takes over the call that answers the command from the first store beyond this machine that has it; whether one had.
    pub(super) fn bring(&self, store: &Store, sought: &Sought) -> bool {
        if self.policy.mode != Mode::On || !store.is_writable() {
            return false;
        }
        store.remotes().iter().any(|remote| self.bring_from(remote, store, sought))
    }

    fn bring_from(&self, remote: &Remote, store: &Store, sought: &Sought) -> bool {
        let unshared = |why: String| {
            (self.tell)(Told::Unshared { cache: remote.name.clone(), why });
            false
        };
        let breaker = match store.breaker(remote, Road::Ask) {
            Ok(breaker) => breaker,
            Err(open) => return unshared(format!("it is left alone for {} s: {}", open.left.as_secs(), open.why)),
        };
        // What this process does is not taken for the watched command's, whose processes count.
        let patience = if self.is_nested { Patience::SHORT_AND_ALONE } else { Patience::SHORT };
        let tier = match Tier::open(remote, patience) {
            Ok(tier) => tier,
            Err(error) => return unshared(error.to_string()),
        };
        let begun = clock::monotonic();
        let brought = super::guarded(|| Ok(brought(&tier, store, sought)));
        let brought = brought.unwrap_or(Err(Failure::Here(Reason::Internal)));
        let reply = reply_of(&brought);
        let call = brought.as_ref().ok().and_then(|key| store.call(&key.as_ref().copied()?).ok()?);
        store.note(&Event::Asked {
            command: sought.command.digest,
            exchange: exchange(&tier, reply, Traffic::default(), begun, |traffic| traffic.received),
            saved: call.map_or(0, |call| call.metadata.usage.wall),
        });
        match brought {
            Ok(brought) => {
                breaker.worked(store);
                brought.is_some()
            }
            Err(failure) => {
                breaker.failed(store, &failure);
                if let Some(why) = breaker.news(store) {
                    (self.tell)(Told::Warning(format!("the cache `{}` does not let us: {why}", remote.name)));
                }
                unshared(failure.to_string())
            }
        }
    }

    /// Leaves a call that was just stored to be put into the stores beyond this machine that may have it.
    pub(super) fn leave_for_others(&self, store: &Store, key: &Key) {
        if self.policy.mode == Mode::ReadOnly || !store.remotes().iter().any(is_written) {
            return;
        }
        let Ok(Some(call)) = store.call(key) else { return };
        store.remotes().iter().filter(|remote| may_have(remote, &call)).for_each(|remote| store.leave_for(remote, key));
    }

    /// Sees to it that what was left for stores beyond this machine is put there, by whichever run: those in a command leave it
    /// to the one whose command it is, and have no key where it came by the environment.
    pub(super) fn send_what_waits(&self, store: &Store) {
        // What a watched command leaves behind keeps it from being stored.
        if self.policy.mode == Mode::ReadOnly || self.is_nested {
            return;
        }
        // One of 64 looks whether too much waits where nothing can be put now.
        let looks = clock::monotonic().is_multiple_of(64);
        let is_due = |remote: &&Remote| {
            is_written(remote) && (remote.signing.is_some() || looks) && store.has_anything_waiting(remote)
        };
        let due: Vec<&Remote> = store.remotes().iter().filter(is_due).collect();
        for remote in &due {
            // Who found it out was heard by nobody. That it does not let us at all was said.
            let [ask, send] = [Road::Ask, Road::Send].map(|road| store.breaker_anyway(remote, road));
            if !ask.is_denied()
                && let Some(why) = send.news(store)
            {
                (self.tell)(Told::Warning(format!("nothing is put into the cache `{}`: {why}", remote.name)));
            }
        }
        if due.is_empty() {
            return;
        }
        // Where no process can be made, the next run sends it.
        let _ = exec::background(None, || {
            let Ok(own) = store.reopened() else { return };
            for remote in due {
                let breaker = remote.signing.as_ref().and_then(|_| own.breaker(remote, Road::Send).ok());
                if let Some(breaker) = breaker {
                    let _ = send(remote, &own, &breaker, Errand::Behind, None, &mut |_, _| ControlFlow::Continue(()));
                } else if looks {
                    own.bound_outbox(remote);
                }
            }
        });
    }
}

/// Whether runs leave anything to be put there. Who signs it may be another one.
fn is_written(remote: &Remote) -> bool {
    remote.access == CacheAccess::ReadWrite && !remote.upload.is_empty()
}

/// Whether a rule says that a call may be there. What came from another cache was made by somebody else, and is not signed.
pub fn may_have(remote: &Remote, call: &Call) -> bool {
    is_written(remote)
        && !call.is_from_elsewhere()
        && remote.upload.iter().any(|matching| matching.means_recorded(&call.argv))
}

/// What passed between here and a store since this was counted, at that time of the clock that only goes forward; the bytes are those
/// that `of` tells.
fn exchange(tier: &Tier, reply: Reply, before: Traffic, begun: u64, of: fn(Traffic) -> u64) -> Exchange {
    let now = tier.traffic();
    Exchange {
        cache: tier.name().to_owned(),
        reply,
        requests: now.requests - before.requests,
        bytes: of(now) - of(before),
        took: clock::monotonic().saturating_sub(begun),
    }
}

/// Takes over what a store beyond this machine has for what is observed now: the key of the call.
fn brought(tier: &Tier, store: &Store, sought: &Sought) -> std::result::Result<Option<Key>, Failure> {
    let command = &sought.command.digest;
    let settle = |parcel: Parcel| {
        let call = known_here(parcel.call, sought, store)?;
        Ok(Parcel { call, ..parcel })
    };
    let keeping = Keeping { existing: Existing::Replaced, durability: Durability::Buffered };
    let bring = |own: &[Key; 3]| tier.bring(&own[0], &|key| own.contains(key), &settle, store, keeping);
    if !sought.request.is_watched() {
        return bring(&sought.keys(store).all());
    }
    let Some(sets) = tier.path_sets(command)? else { return Ok(None) };
    let mut wrong = None;
    for seen in key::observed_now(&sets, &sought.command.root, store).flatten() {
        let seen = sought.beside_declared(seen);
        let own = Keys::new(sought.command, &seen).all();
        if !own.iter().any(|key| sets.keys.contains(key)) {
            continue;
        }
        match bring(&own) {
            Ok(None) => {}
            // Another one may be as it should be.
            Err(failure @ Failure::Wrong(_)) => wrong = wrong.or(Some(failure)),
            brought => return brought,
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// What a call is named after in stores beyond this machine, where nobody knows yet to what it is bound.
pub fn name_of(call: &Call) -> Key {
    Key::of(&call.command, &Observation::digests(&call.observations), None)
}

/// Puts a call into a store beyond this machine, if a rule allows it.
///
/// # Errors
///
/// Where that cannot be done.
pub fn publish(
    key: &Key,
    store: &Store,
    tier: &Tier,
    remote: &Remote,
    signing: &SigningKey,
    replaces: Replaces,
) -> Attempt {
    let Some(call) = store.call(key).map_err(Failure::Here)? else { return Ok(Shared::Gone) };
    if call.is_from_elsewhere() {
        return Ok(Shared::Foreign);
    }
    if !may_have(remote, &call) {
        return Ok(Shared::Kept);
    }
    let (before, begun) = (tier.traffic(), clock::monotonic());
    let at = name_of(&call);
    let published = || {
        if replaces != Replaces::Anything {
            let there = tier.told_at(&at)?;
            match replaces {
                Replaces::AllButItself if there == There::Call(*key) => return Ok(Shared::Present),
                Replaces::ItselfAlone if ![There::Nothing, There::Call(*key)].contains(&there) => {
                    return Ok(Shared::Taken);
                }
                _ => {}
            }
        }
        let parcel = packed(call, store).map_err(Failure::Here)?;
        tier.publish(&parcel, &at, store, signing).map(|()| Shared::Published)
    };
    let published = published();
    if tier.traffic() != before {
        let reply = match &published {
            Ok(Shared::Published) => Reply::Done,
            Ok(_) => Reply::Nothing,
            Err(_) => Reply::Failed,
        };
        store.note(&Event::Sent { key: *key, exchange: exchange(tier, reply, before, begun, |traffic| traffic.sent) });
    }
    published
}

/// Puts there what was left for a store beyond this machine, unless another process is at it, until `tell` has heard enough, and
/// not beyond `end` of the clock that only goes forward.
///
/// # Errors
///
/// Why the store cannot be used, or the first of its failures after which nothing more is tried. What was not put there stays
/// in the outbox, unless the store takes others.
pub fn send(
    remote: &Remote,
    store: &Store,
    breaker: &Breaker,
    errand: Errand,
    end: Option<u64>,
    tell: &mut dyn FnMut(&Key, &Attempt) -> ControlFlow<()>,
) -> Result<Sent> {
    let is_heard = || {
        if errand == Errand::Asked {
            let _ = breaker.news(store);
        }
    };
    let ready = Tier::open(remote, Patience::LONG).and_then(|tier| Ok((tier.signing_key()?, tier)));
    let (signing, tier) = ready.inspect_err(|why| {
        breaker.failed(store, &Failure::Denied(why.to_string()));
        is_heard();
    })?;
    // One that never ends would keep all others from sending.
    tier.until(end.unwrap_or_else(|| clock::monotonic().saturating_add(LONGEST_ERRAND)));
    let cannot = |failure: &Failure| {
        Error::failure(format!("cannot put calls into the cache `{}`", remote.name)).because(failure.to_string())
    };
    // What stays in the outbox is not tried for ever.
    let mut tried: HashSet<Waiting> = HashSet::new();
    let (mut first, mut rejected, mut takes) = (None, Vec::new(), false);
    'sending: loop {
        let Some(sender) = store.sender(remote) else { return Ok(Sent::ByAnother) };
        if errand == Errand::Behind && tried.is_empty() {
            // Many machines are done at once, and one process sends what others store meanwhile.
            clock::pause(Duration::from_nanos(clock::monotonic() % LONGEST_PAUSE));
        }
        let mut outbox = store.outbox(remote)?;
        // One that always fails is not always the first.
        let begin = clock::monotonic() as usize % outbox.len().max(1);
        outbox.rotate_left(begin);
        for waiting in outbox {
            if !tried.insert(waiting.clone()) {
                continue;
            }
            let published = publish(&waiting.key, store, &tier, remote, &signing, Replaces::Anything);
            let heard = tell(&waiting.key, &published);
            match &published {
                // Who is out of time says nothing of the store.
                Err(_) if heard.is_break() => {}
                Err(failure) => {
                    breaker.failed(store, failure);
                    is_heard();
                }
                Ok(Shared::Published | Shared::Present | Shared::Taken) => breaker.worked(store),
                Ok(Shared::Kept | Shared::Foreign | Shared::Gone) => {}
            }
            takes |= published == Ok(Shared::Published);
            match published {
                Err(failure) if failure.is_of_the_store() && heard.is_break() => return Ok(Sent::InPart),
                Err(failure) if failure.is_of_the_store() => return Err(cannot(&failure)),
                // What is damaged here is of use to nobody, and what is refused once is refused again.
                Ok(_) | Err(Failure::Here(Reason::Damaged(_)) | Failure::Refused(_)) => {
                    store.taken_from(remote, &waiting);
                }
                Err(Failure::Rejected(why)) => rejected.push((waiting, why)),
                Err(failure) => drop(first.get_or_insert(failure)),
            }
            if takes {
                // It is not the store, then; what it still does not take after a while it will not take another time.
                for (waiting, why) in rejected.drain(..) {
                    match clock::now().saturating_sub(waiting.since()) > LONG_REJECTED {
                        true => store.taken_from(remote, &waiting),
                        false => drop(first.get_or_insert(Failure::Rejected(why))),
                    }
                }
            }
            if rejected.len() == MOST_REJECTED {
                break 'sending;
            }
            if heard.is_break() && !store.outbox(remote)?.is_empty() {
                return Ok(Sent::InPart);
            }
        }
        drop(sender);
        // Who stored a call meanwhile found somebody sending and left it to us.
        if store.outbox(remote)?.iter().all(|waiting| tried.contains(waiting)) {
            break;
        }
    }
    if let Some((_, why)) = rejected.pop() {
        let failure = Failure::Unreachable(why);
        breaker.failed(store, &failure);
        return Err(cannot(&failure));
    }
    first.map_or(Ok(Sent::All), |failure| Err(cannot(&failure)))
}

/// Has a store tell of a call that lies in one beyond this machine, without what it printed and made: who looks through calls needs
/// none of that.
///
/// # Errors
///
/// As [`pull`].
pub fn mention(at: &Key, tier: &Tier, store: &Store) -> std::result::Result<bool, Failure> {
    tier.mention(at, &|parcel| settled(parcel, store), store)
}

/// Takes over a call as it lies in a store beyond this machine, for which nobody asked here yet, and gives its key; it survives a
/// power cut here when this returns.
///
/// # Errors
///
/// Where it cannot be had, is not believed, or cannot be kept here.
pub fn pull(at: &Key, tier: &Tier, store: &Store, existing: Existing) -> std::result::Result<Option<Key>, Failure> {
    let (before, begun) = (tier.traffic(), clock::monotonic());
    let keeping = Keeping { existing, durability: Durability::Synced };
    let pulled = tier.bring(at, &|_| true, &|parcel| settled(parcel, store), store, keeping);
    let reply = reply_of(&pulled);
    let call = pulled.as_ref().ok().and_then(|key| store.call(&key.as_ref().copied()?).ok()?);
    // Of one that did not come no more is known than its name.
    let command = call.map_or(CommandDigest(at.0), |call| call.command);
    store.note(&Event::Asked {
        command,
        exchange: exchange(tier, reply, before, begun, |traffic| traffic.received),
        saved: 0,
    });
    pulled
}

/// What came of asking for a call.
fn reply_of(brought: &std::result::Result<Option<Key>, Failure>) -> Reply {
    match brought {
        Ok(Some(_)) => Reply::Done,
        Ok(None) => Reply::Nothing,
        Err(_) => Reply::Failed,
    }
}
