//! Looking up: from a command to the call that answers it.

use std::cell::OnceCell;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, cause};
use crate::key::{self, ObserveError, Observed};
use crate::model::{Answer, Call, Command, Key, KeyBase, Observation, PathSets, Reason, Request};
use crate::store::Store;
use crate::sys::clock;

use super::outputs::{Former, Known, Places};
use super::watching;
use super::{Halt, Policy};

/// Whether a call is young enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It is past `--ttl`, but `--stale` allows it.
    Stale,
}

/// A command with what it observes now: what a call is sought for.
pub struct Sought<'a> {
    pub request: &'a Request,
    pub command: &'a Command,
    pub observed: Observed,
    /// Where its outputs may be.
    pub places: Places,
    /// What is remembered of the command.
    path_sets: OnceCell<PathSets>,
    /// What a watched command would see now, by the path set that leads to a call or else by the latest; with what was
    /// declared.
    seen: OnceCell<Vec<Observation>>,
}

impl<'a> Sought<'a> {
    /// Observes what was declared.
    pub fn new(request: &'a Request, command: &'a Command, store: &Store) -> Result<Sought<'a>, Halt> {
        let places = match request.is_watched() {
            true => watching::places(request, command)?,
            false => Places::of(&request.outputs, &command.cwd, &command.root)?,
        };
        let path_sets = OnceCell::new();
        let mut known = || {
            let path_sets: &PathSets = path_sets.get_or_init(|| store.path_sets(&command.digest));
            path_sets.set(0).map_or(Vec::new(), |set| set.observations)
        };
        let observed = observe(request, command, &mut known, store)?;
        Ok(Sought { request, command, observed, places, path_sets, seen: OnceCell::new() })
    }

    /// Observes again, after time has passed.
    pub fn again(self, store: &Store) -> Result<Sought<'a>, Halt> {
        Sought::new(self.request, self.command, store)
    }

    /// The call for what is observed now, if it may be replayed.
    pub fn find(&self, store: &Store, policy: &Policy) -> Result<(Answer, Freshness), Reason> {
        let found = match self.request.is_watched() {
            true => self.look(store)?,
            false => self.answer_at(&self.keys(store), store)?,
        };
        let call = found.ok_or(Reason::NoCall)?;
        if !policy.keeps_exit(call.outcome.exit) {
            return Err(Reason::NoCall);
        }
        let freshness = freshness(&call, policy, clock::now()).ok_or(Reason::Expired)?;
        // The refresh would have none of the caller's descriptors, on which the key insists.
        if freshness == Freshness::Stale && self.command.parts.iter().any(|part| part.name == key::DESCRIPTORS) {
            return Err(Reason::Expired);
        }
        Ok((call, freshness))
    }

    /// The call with these observations.
    fn answer_to(&self, observations: &[Observation], store: &Store) -> Result<Option<Answer>, Reason> {
        self.answer_at(&Keys::new(self.command, observations), store)
    }

    fn answer_at(&self, keys: &Keys, store: &Store) -> Result<Option<Answer>, Reason> {
        let mut found = store.answer(&keys.of(Binding::Free))?;
        for binding in [Binding::Name, Binding::Root] {
            if found.is_none() && self.command.project {
                found = store.answer(&keys.of(binding))?;
            }
        }
        Ok(found)
    }

    /// The call of a watched command: where each of its former runs looked, the latest first, it is looked now.
    pub fn look(&self, store: &Store) -> Result<Option<Answer>, Reason> {
        let sets = self.path_sets(store);
        let mut latest = None;
        // What cannot be looked at now is not what it was.
        for seen in key::observed_now(sets, &self.command.root, store).flatten() {
            let seen = self.beside_declared(seen);
            if let Some(answer) = self.answer_to(&seen, store)? {
                let _ = self.seen.set(seen);
                return Ok(Some(answer));
            }
            latest.get_or_insert(seen);
        }
        let _ = self.seen.set(latest.unwrap_or_else(|| self.observed.observations().to_vec()));
        Ok(None)
    }

    /// What was seen of a watched command, with what was declared.
    pub fn beside_declared(&self, mut seen: Vec<Observation>) -> Vec<Observation> {
        if !self.observed.observations().is_empty() {
            seen.extend(self.observed.observations().iter().cloned());
            seen.sort_by(Observation::key_order);
        }
        seen
    }

    /// What the command sees now, in key order: where it looks is known of a watched one only if it ran before.
    pub fn observations(&self, store: &Store) -> &[Observation] {
        match self.request.is_watched() {
            false => self.observed.observations(),
            true => self.seen.get_or_init(|| {
                let latest = key::observed_now(self.path_sets(store), &self.command.root, store).flatten().next();
                self.beside_declared(latest.unwrap_or_default())
            }),
        }
    }

    /// Where the runs of a watched command look at other paths each time, so that more are forgotten than remembered: one of
    /// those at which only the latest looked.
    pub fn scattered(&self, store: &Store) -> Option<PathBuf> {
        let sets = self.path_sets(store);
        sets.peculiar().filter(|_| self.request.is_watched() && sets.is_full()).map(Path::to_owned)
    }

    /// What is remembered of the command.
    pub fn path_sets(&self, store: &Store) -> &PathSets {
        self.path_sets.get_or_init(|| store.path_sets(&self.command.digest))
    }

    /// The keys of calls with what is observed now.
    pub fn keys(&self, store: &Store) -> Keys<'_> {
        match self.request.is_watched() {
            true => Keys::new(self.command, self.observations(store)),
            false => Keys { command: self.command, base: self.observed.key_base(&self.command.digest) },
        }
    }

    /// What former calls of this command left in the file system.
    pub fn former<'s>(&'s self, store: &'s Store) -> Known<'s> {
        Former::known(|| made(store, &self.path_sets(store).keys))
    }

    /// What the calls for exactly what is observed now left in the file system, be they too old for a replay.
    pub fn same<'s>(&'s self, store: &'s Store) -> Known<'s> {
        Former::known(|| {
            let keys = self.keys(store);
            made(store, &keys.all())
        })
    }
}

/// What the stored calls with these keys left in the file system; one call is in memory at a time.
fn made(store: &Store, keys: &[Key]) -> Former {
    let mut former = Former::default();
    for call in keys.iter().filter_map(|key| store.answer(key).ok().flatten()) {
        former.add(&call.outcome.outputs);
    }
    former
}

/// In which checkouts a call may be replayed, from all to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// In all of them.
    Free,
    /// Its result holds the name of the root's folder: in those of the same name.
    Name,
    /// Its result holds the root's path, or could: only below the same root.
    Root,
}

/// The keys of the calls of a command that made the same observations, which may be many and are gone through once.
pub struct Keys<'a> {
    command: &'a Command,
    base: KeyBase,
}

impl<'a> Keys<'a> {
    /// Those of `command` with `observations`.
    pub fn new(command: &'a Command, observations: &[Observation]) -> Keys<'a> {
        Keys { command, base: KeyBase::of(&command.digest, &Observation::digests(observations)) }
    }

    /// The same in the formats before the present one.
    pub fn of_former_format(command: &'a Command, observations: &[Observation]) -> Keys<'a> {
        Keys { command, base: KeyBase::of_bytes(&command.digest, &Observation::key_bytes(observations)) }
    }

    /// Those of all calls, whatever they are bound to; the first is of one that is free.
    pub fn all(&self) -> [Key; 3] {
        [Binding::Free, Binding::Name, Binding::Root].map(|binding| self.of(binding))
    }

    /// The key of the call that is bound like this.
    pub fn of(&self, binding: Binding) -> Key {
        let root = &self.command.root;
        let bound_to = match binding {
            Binding::Free => None,
            // Paths begin with a slash and names have none, so that neither is taken for the other.
            Binding::Name => Some(root.file_name().unwrap_or_default().as_bytes()),
            Binding::Root => Some(root.as_os_str().as_bytes()),
        };
        self.base.bound_to(bound_to)
    }
}

/// What `command` observes now.
fn observe(
    request: &Request,
    command: &Command,
    known: &mut dyn FnMut() -> Vec<Observation>,
    store: &Store,
) -> Result<Observed, Halt> {
    key::observe(request, command, known, store, &store.folders().map(Path::to_owned).collect::<Vec<_>>()).map_err(
        |error| match error {
            ObserveError::NoMatch(glob) => Halt::Refuse(Error::usage(format!("no input matches `{glob}`"))),
            ObserveError::BadGlob(error) => Halt::Refuse(error),
            ObserveError::Unreadable(path, why) => Halt::Plain(Reason::InputUnreadable(path, cause(&why))),
            ObserveError::Stream(path) => Halt::Plain(Reason::InputStream(path)),
            ObserveError::TooMany(path) => Halt::Plain(Reason::InputUnreadable(path, "it holds too much".to_owned())),
        },
    )
}

/// Refuses a call that may not be replayed by its exit code or its age.
///
/// # Errors
///
/// [`Reason::NoCall`] or [`Reason::Expired`].
pub fn check_age(call: &Call, policy: &Policy) -> Result<(), Reason> {
    let Call { key, outcome, metadata, .. } = call;
    if !policy.keeps_exit(outcome.exit) {
        return Err(Reason::NoCall);
    }
    let (stopped, wall) = (metadata.usage.stopped, metadata.usage.wall);
    let answer = Answer { key: *key, outcome: outcome.clone(), stopped, wall };
    freshness(&answer, policy, clock::now()).map(drop).ok_or(Reason::Expired)
}

/// How fresh `call` is at `now`; `None` if it is too old, or from the future and an age is asked for.
fn freshness(call: &Answer, policy: &Policy, now: i64) -> Option<Freshness> {
    let failure_ttl = policy.failure_ttl.filter(|_| call.outcome.exit != 0);
    if policy.ttl.is_none() && failure_ttl.is_none() {
        return Some(Freshness::Fresh);
    }
    let age = Duration::from_nanos(u64::try_from(now.checked_sub(call.stopped)?).ok()?);
    if failure_ttl.is_some_and(|most| age > most) {
        return None;
    }
    match policy.ttl {
        None => Some(Freshness::Fresh),
        Some(ttl) if age <= ttl => Some(Freshness::Fresh),
        Some(ttl) if policy.stale.is_some_and(|stale| age <= ttl.saturating_add(stale)) => Some(Freshness::Stale),
        Some(_) => None,
    }
}
