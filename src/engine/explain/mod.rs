//! Why a command would be run or replayed: the nearest recorded call and all that differs from it, or what a hit does not
//! cover. Nothing is executed but probes, and nothing is written.
//!
//! Rejected: to store with each call the values that count, for words such as "was `gcc`". Digests under the cache's secret
//! tell that a value is another one, and no cache should be worth stealing for its environments.

mod arguments;
mod compare;
mod flags;
mod inputs;
mod uncovered;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::key;
use crate::model::{
    Argument, Call, Command, CommandDigest, Difference, Digest, Grade, Isolation, Key, Nearest, Observation, Reason,
    Request, StampMemory, Streams, Subject, Uncovered, Variable,
};
use crate::store::{Catalogue, Purpose, Refusal, Store};
use crate::sys::clock;

use super::again::Scene;
use super::arguments::{are_named_in, resolved_by_looking};
use super::lookup::{Binding, Freshness, Sought};
use super::recognise::shown_arguments;
use super::redaction::Redaction;
use super::standard_input::StandardInput;
use super::watching;
use super::{Caches, Detail, Halt, Mode, Policy, hint, recognise, replay};

/// Calls that are read at most to find the nearest.
const MOST_CANDIDATES: u32 = 64;
/// Observations that are read at most: one call may have a hundred thousand.
const MOST_OBSERVATIONS: usize = 200_000;
/// Beside a command that runs anyway, fewer calls are read.
const MOST_BESIDE: usize = 16;

/// What would become of a command.
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// The digest of the command, where it came that far.
    pub command: Option<CommandDigest>,
}

/// Whether a command would be replayed.
pub enum Verdict {
    /// It would.
    Hit(Box<Hit>),
    /// It would be run, and perhaps stored.
    Miss(Box<Missing>),
    /// It would be run plainly, and never stored.
    NotCached {
        /// Why.
        reason: Reason,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
}

/// The call that would be replayed.
pub struct Hit {
    /// Its name.
    pub key: Key,
    /// Its arguments, as far as they may be known.
    pub argv: Vec<Argument>,
    /// How its inputs are known.
    pub grade: Grade,
    /// How far the command was kept apart.
    pub isolation: Isolation,
    /// When its run ended, in nanoseconds since 1970.
    pub stopped: i64,
    /// Whether it would be run again in the background.
    pub is_stale: bool,
    /// What the replay does not depend on.
    pub uncovered: Vec<Uncovered>,
}

/// Why there would be no replay.
pub struct Missing {
    /// Why.
    pub reason: Reason,
    /// The recorded call that differs least, if there is one like it.
    pub nearest: Option<Nearest>,
    /// Why the last run of exactly this command was not stored, if none was stored since.
    pub refusal: Option<Refusal>,
    /// Where its runs look at other paths each time, so that former ones are forgotten: one of those.
    pub scattered: Option<PathBuf>,
}

/// A command with all that comparing it takes.
pub(super) struct Now<'a> {
    request: &'a Request,
    command: &'a Command,
    observations: &'a [Observation],
    /// The digests of the command's parts under the secret, in their order.
    digests: &'a [Digest],
    variables: &'a [Variable],
    secret: &'a [u8; 32],
    /// What is remembered of large files.
    memory: &'a dyn StampMemory,
}

/// Says what would become of `request`, in as much detail as the policy asks for. Writes nothing but what questions keep for
/// questions; where there is no cache, none is made. `streams` are those of the run, if not the caller's.
///
/// # Errors
///
/// What `fleche run` refuses, and a catalogue that cannot be read.
pub fn explain(request: &Request, policy: &Policy, streams: Option<Streams>, caches: &Caches) -> Result<Explanation> {
    let not_cached = |reason: Reason| {
        let hint = hint(&reason);
        Explanation { verdict: Verdict::NotCached { reason, hint }, command: None }
    };
    let open = || match caches {
        Ok(caches) => Store::open_stack(caches, Purpose::Look, &mut |_, _| {}).map_err(Halt::Plain),
        Err(reason) => Err(Halt::Plain(reason.clone())),
    };
    let explained = match are_named_in(request) {
        true => open().and_then(|store| Ok(resolved_by_looking(request, &store)?.0)),
        false => Ok(request.clone()),
    }
    .and_then(|request| explained(&request, policy, streams, &open()?));
    match explained {
        Ok(explanation) => Ok(explanation),
        Err(Halt::Refuse(error)) => Err(error),
        Err(Halt::Plain(reason)) => Ok(not_cached(Redaction::of_request(request).reason(reason))),
    }
}

fn explained(
    request: &Request,
    policy: &Policy,
    streams: Option<Streams>,
    store: &Store,
) -> std::result::Result<Explanation, Halt> {
    super::check_asked(request, policy)?;
    let mut input = StandardInput::default();
    let scene = Scene { streams, ..Scene::default() };
    let command = recognise::cacheable(request, policy.max_input, &scene, store, &mut input)?;
    let redaction = Redaction::of(&command);
    let sought = match Sought::new(request, &command, store) {
        Err(Halt::Plain(reason)) => return Err(Halt::Plain(redaction.reason(reason))),
        other => other?,
    };
    watching::check_watchable(&sought, store)?;
    let found = match policy.mode {
        Mode::Refresh => Err(Reason::Refresh),
        _ => sought.find(store, policy).and_then(|(answer, freshness)| {
            replay::check(store, &sought, &answer, policy)?;
            Ok((answer.key, freshness))
        }),
    };
    let verdict = match found {
        Ok((key, freshness)) => match store.call(&key)? {
            Some(call) => Verdict::Hit(Box::new(hit(store, &sought, call, freshness))),
            None => {
                let missing = Missing { reason: Reason::NoCall, nearest: None, refusal: None, scattered: None };
                Verdict::Miss(Box::new(missing))
            }
        },
        Err(reason) => Verdict::Miss(Box::new(missing(store, &sought, redaction.reason(reason), policy.detail)?)),
    };
    Ok(Explanation { verdict, command: Some(command.digest) })
}

fn hit(store: &Store, sought: &Sought, call: Call, freshness: Freshness) -> Hit {
    let uncovered = with_now(store, sought, |now| uncovered::of(now, &call)).unwrap_or_default();
    Hit {
        key: call.key,
        argv: call.argv,
        grade: call.grade,
        isolation: call.request.isolation,
        stopped: call.metadata.usage.stopped,
        is_stale: freshness == Freshness::Stale,
        uncovered,
    }
}

fn missing(store: &Store, sought: &Sought, reason: Reason, detail: Detail) -> Result<Missing> {
    let scattered = sought.scattered(store);
    let without_refusal =
        |reason, nearest| Ok(Missing { reason, nearest, refusal: None, scattered: scattered.clone() });
    match detail {
        Detail::Reason => return without_refusal(reason, None),
        _ if reason != Reason::NoCall => return without_refusal(reason, None),
        Detail::Nearest => return without_refusal(reason, nearest_beside(store, sought)),
        Detail::Searched => {}
    }
    let questions = store.for_questions().map_err(|reason| Error::failure(reason.to_string()))?;
    let Some(questions) = questions else { return without_refusal(reason, None) };
    let catalogue = questions.catalogue()?;
    let mut of_command = store.path_sets(&sought.command.digest).keys;
    let known: BTreeSet<Key> = of_command.iter().copied().collect();
    let listed = catalogue.calls_of(&sought.command.digest, MOST_CANDIDATES)?;
    of_command.extend(listed.into_iter().filter(|key| !known.contains(key)));
    let nearest = match nearest(store, sought, &of_command) {
        Some(nearest) => Some(nearest),
        None => match nearest_of_name(store, sought, &catalogue)? {
            Some(nearest) => Some(nearest),
            None => nearest_of_arguments(store, sought, &catalogue)?,
        },
    };
    let refusal = match catalogue.refusal(&sought.command.digest)? {
        Some(refusal) => {
            let stopped = catalogue.stopped(&sought.command.digest, MOST_CANDIDATES)?;
            Some(refusal).filter(|refusal| stopped.is_none_or(|stopped| stopped <= refusal.time))
        }
        None => None,
    };
    Ok(Missing { reason, nearest, refusal, scattered })
}

fn nearest_of_name(store: &Store, sought: &Sought, catalogue: &Catalogue) -> Result<Option<Nearest>> {
    Ok(nearest(store, sought, &catalogue.calls_named(&sought.command.file_name(), MOST_CANDIDATES)?))
}

/// Of the latest calls the nearest with the same arguments: another program was asked to do the same.
fn nearest_of_arguments(store: &Store, sought: &Sought, catalogue: &Catalogue) -> Result<Option<Nearest>> {
    let asked = shown_arguments(sought.command);
    let [_, arguments @ ..] = asked.as_slice() else { return Ok(None) };
    let is_alike = |key: &Key| matches!(store.call(key), Ok(Some(call)) if call.argv.get(1..) == Some(arguments));
    let latest = catalogue.latest_calls(MOST_CANDIDATES)?;
    let alike: Vec<Key> = latest.into_iter().filter(|key| !arguments.is_empty() && is_alike(key)).collect();
    Ok(nearest(store, sought, &alike))
}

/// All that differs between a command and a call.
pub(super) fn differences(store: &Store, sought: &Sought, call: &Call) -> Vec<Difference> {
    with_now(store, sought, |now| compare::compare(now, call)).unwrap_or_default()
}

/// The recorded call that differs least, found without the catalogue, for a command that is about to run.
pub(super) fn nearest_beside(store: &Store, sought: &Sought) -> Option<Nearest> {
    let mut keys = store.path_sets(&sought.command.digest).keys;
    keys.truncate(MOST_BESIDE);
    nearest(store, sought, &keys).or_else(|| nearest(store, sought, &store.lately(&sought.command.name(), MOST_BESIDE)))
}

/// Of the calls with these keys, the latest first, the one that differs least.
fn nearest(store: &Store, sought: &Sought, keys: &[Key]) -> Option<Nearest> {
    if keys.is_empty() {
        return None;
    }
    with_now(store, sought, |now| {
        let mut best: Option<(u32, Nearest)> = None;
        let mut observations = 0;
        for key in keys.iter().take(MOST_CANDIDATES as usize) {
            // One that is gone or damaged explains nothing.
            let Ok(Some(call)) = store.call(key) else { continue };
            let mut differences = compare::compare(now, &call);
            if differences.is_empty() {
                differences.push(what_else(store, sought, &call));
            }
            let distance = distance(&differences);
            if best.as_ref().is_none_or(|(least, _)| distance < *least) {
                let stopped = call.metadata.usage.stopped;
                let Call { key, argv, grade, .. } = call;
                observations += call.observations.len();
                best = Some((distance, Nearest { key, argv, grade, stopped, differences }));
            } else {
                observations += call.observations.len();
            }
            if observations > MOST_OBSERVATIONS {
                break;
            }
        }
        best.map(|(_, nearest)| nearest)
    })
    .flatten()
}

/// Why a call is not replayed although nothing that counts differs.
fn what_else(store: &Store, sought: &Sought, call: &Call) -> Difference {
    let keys = sought.keys(store);
    match [Binding::Free, Binding::Name, Binding::Root].into_iter().any(|binding| keys.of(binding) == call.key) {
        true => {
            let exit = call.outcome.exit;
            Difference { subject: Subject::Exit(exit), remedy: vec!["--cache-exit".into(), exit.to_string().into()] }
        }
        false => Difference::without_remedy(Subject::Checkout(call.root.clone())),
    }
}

/// How far a call with these differences is from a command. Who looks for a command thinks of its arguments first; that many
/// files changed means hardly more than that one did.
fn distance(differences: &[Difference]) -> u32 {
    const MOST_INPUTS: u32 = 4;
    let weight = |difference: &Difference| match difference.subject {
        Subject::Input { .. } => 0,
        Subject::Argument { .. } => 4,
        _ => 2,
    };
    let inputs = differences.iter().filter(|difference| matches!(difference.subject, Subject::Input { .. })).count();
    let inputs = u32::try_from(inputs).unwrap_or(MOST_INPUTS).min(MOST_INPUTS);
    differences.iter().map(weight).sum::<u32>().saturating_add(inputs)
}

/// Gathers what comparing takes; `None` where there is no secret yet, and so no call.
fn with_now<T>(store: &Store, sought: &Sought, compare: impl FnOnce(&Now) -> T) -> Option<T> {
    let (request, command) = (sought.request, sought.command);
    let secret = store.secret().ok()?;
    let digests: Vec<Digest> = command.parts.iter().map(|part| Digest::under(&secret, &part.value)).collect();
    let variables = key::variables(&request.environment, &command.environment, &command.cwd).ok()?;
    let variables: Vec<Variable> = variables.iter().map(|variable| variable.recorded(&secret)).collect();
    let observations = Redaction::of(command).hide(sought.observations(store).to_vec(), request);
    let now = Now {
        request,
        command,
        observations: &observations,
        digests: &digests,
        variables: &variables,
        secret: &secret,
        memory: store,
    };
    Some(compare(&now))
}

/// The one of `texts` whose digest under the secret this is.
fn recover(digest: &Digest, secret: &[u8; 32], mut texts: impl Iterator<Item = String>) -> Option<String> {
    texts.find(|text| Digest::under(secret, text.as_bytes()) == *digest)
}

/// How long ago something was, in nanoseconds.
pub fn age(time: i64) -> u64 {
    u64::try_from(clock::now().saturating_sub(time)).unwrap_or(0)
}
