//! The order of events: look up, replay, execute, record.
//!
//! No fault of the cache crosses into the command's path: what goes wrong inside is a
//! [`Reason`], and a reason means that the command runs as if fleche were not there.

mod again;
mod apart;
mod arguments;
mod audit;
mod beyond;
mod checkout;
mod execute;
mod explain;
mod filling;
#[cfg(fuzzing)]
pub mod fuzzing;
mod isolation;
mod load;
mod lookup;
mod metadata;
mod mirror;
mod nested;
mod outputs;
mod policy;
mod proof;
mod recheck;
mod recognise;
mod record;
mod redaction;
mod redigest;
mod replay;
mod sharing;
mod standard_input;
mod transfer;
mod watching;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::mem::{self, ManuallyDrop};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use crate::error::{Error, Result, cause};
use crate::exec::{self, Launch, Place, StartError};
use crate::key;
use crate::model::{Answer, Cache, Call, Difference, Member, Nearest, Program, Reason, Request};
use crate::store::{FlightLock, Purpose, Store};
use crate::sys::signal;

pub use crate::exec::end_like;
pub use crate::key::volatile::{NAMES as VOLATILE, VERSION as VOLATILE_VERSION};
pub use crate::model::{UNOBSERVED, UNOBSERVED_VERSION};
pub use again::again;
pub use arguments::{Meant, meant, piece};
pub use audit::Audit;
pub use execute::look_after;
pub use explain::{Explanation, Hit, Missing, Verdict, age, explain};
pub use load::{stored, unpack};
pub use lookup::check_age;
pub use outputs::Mtime;
pub use policy::{Aftermath, Audited, Detail, MAX_ENTRY, MAX_INPUT, Mode, Nested, Pace, Policy};
pub use recheck::{Rechecked, recheck};
pub use recognise::{Recognised, recognise};
pub use redigest::{Deed, Redigest, redigest};
pub use sharing::{Attempt, Errand, Replaces, Sent, Shared, may_have, mention, name_of, publish, pull, send};
pub use transfer::{Transferred, packed, settled, transfer};

use again::Scene;
use arguments::Arguments;
use lookup::Freshness;
use redaction::Redaction;
use standard_input::StandardInput;

/// How a run ended.
pub enum Ending {
    /// As the command did, or would have done.
    Status(exec::Status),
    /// The command could not be started: why, and the status that says so.
    NotStarted(Error, i32),
}

/// What there is to say about a run; the caller decides who hears it.
pub enum Told {
    /// The command runs plainly and nothing is stored. With a hint it is worth a line.
    Plain {
        /// Why.
        reason: Reason,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// Something that the user should know.
    Warning(String),
    /// This private folder stays.
    Kept(PathBuf),
    /// A call was replayed.
    Hit {
        /// Its key.
        key: crate::model::Key,
        /// Nanoseconds that the recorded run took.
        saved: u64,
    },
    /// A call past its time was replayed, and the command runs again in the background.
    Stale {
        /// Its key.
        key: crate::model::Key,
        /// Nanoseconds that the recorded run took.
        saved: u64,
    },
    /// A store beyond this machine was of no use.
    Unshared {
        /// What it is called.
        cache: String,
        /// Why.
        why: String,
    },
    /// What it did beside what was declared.
    Audited(Box<Audit>),
    /// The command ran and its call was stored.
    Stored {
        /// Its key.
        key: crate::model::Key,
        /// Why it was not replayed.
        why: Miss,
        /// Nanoseconds that it took.
        took: u64,
        /// What differs from the call that was to be made again, where that is another one.
        since: Option<Vec<Difference>>,
        /// Where its runs look at other paths each time: one of those.
        scattered: Option<PathBuf>,
    },
    /// The command ran and nothing was stored.
    NotStored {
        /// Why it was not replayed.
        why: Miss,
        /// Why it was not stored.
        reason: Reason,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
}

/// Why a command was not replayed.
#[derive(Clone, Debug)]
pub struct Miss {
    /// The reason.
    pub reason: Reason,
    /// The recorded call that differs least, where that was asked for and there is one.
    pub nearest: Option<Box<Nearest>>,
}

/// What keeps a command from the cache's road.
enum Halt {
    /// Nothing is run: what was asked for makes no sense.
    Refuse(Error),
    /// The command runs plainly.
    Plain(Reason),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Refuse(error)
    }
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Halt {
        Halt::Plain(reason)
    }
}

/// One `fleche run`.
struct Run<'a> {
    request: &'a Request,
    policy: &'a Policy,
    tell: &'a dyn Fn(Told),
    scene: Scene,
    input: StandardInput,
    /// Those that are copies of stored values.
    arguments: Arguments,
    /// The call that is made again, if one is.
    former: Option<&'a Call>,
    /// Whether it is part of a command that another run watches.
    is_nested: bool,
}

/// The stack of caches that is used; or why there is none.
pub type Caches = std::result::Result<Vec<Member>, Reason>;

/// Replays the command or runs it and records what it did.
///
/// Errors are refusals: bad usage, found before anything ran.
pub fn run(request: &Request, policy: &Policy, caches: &Caches, tell: &dyn Fn(Told)) -> Result<Ending> {
    run_in(Scene::default(), None, request, policy, caches, tell)
}

/// The same in other surroundings than fleche's own, to make `former` again.
fn run_in(
    scene: Scene,
    former: Option<&Call>,
    request: &Request,
    policy: &Policy,
    caches: &Caches,
    tell: &dyn Fn(Told),
) -> Result<Ending> {
    isolation::check_policy(request, policy)?;
    // A panic inside the cache is caught and becomes a reason; its text would be noise to the user.
    panic::set_hook(Box::new(|_| {}));
    let found;
    let (request, arguments) = match arguments::are_named_in(request) {
        false => (request, Arguments::default()),
        true => {
            let (resolved, arguments) = with_values(request, policy, caches)?;
            found = resolved;
            (&found, arguments)
        }
    };
    let input = StandardInput::default();
    let redaction = Redaction::of_request(request);
    let tell = |told| tell(redaction.told(told));
    let mut run = Run { request, policy, tell: &tell, scene, input, arguments, former, is_nested: false };
    redaction.ending(match run.through_cache(caches) {
        Ok(ending) => Ok(ending),
        Err(Halt::Refuse(error)) => Err(error),
        Err(Halt::Plain(reason)) => run.plainly(reason),
    })
}

/// The request with the stored values that its arguments name. Where the cache is not to be written, nothing is, and the
/// command gets copies that vanish with it.
fn with_values(request: &Request, policy: &Policy, caches: &Caches) -> Result<(Request, Arguments)> {
    let unusable = |reason: &Reason| Error::failure(format!("arguments name stored values: {reason}"));
    let caches = caches.as_ref().map_err(unusable)?;
    let open = |purpose| Store::open_stack(caches, purpose, &mut |_, _| {}).map_err(|reason| unusable(&reason));
    match policy.mode {
        Mode::Off | Mode::ReadOnly => {
            let store = open(Purpose::Look)?;
            let (resolved, named) = arguments::resolved_by_looking(request, &store)?;
            Ok((resolved, Arguments::passing(named, store)))
        }
        Mode::On | Mode::Refresh => {
            let store = open(Purpose::Write)?;
            if !store.is_writable() {
                let (resolved, named) = arguments::resolved_by_looking(request, &store)?;
                return Ok((resolved, Arguments::passing(named, store)));
            }
            let (resolved, named) = arguments::resolved(request, &store)?;
            Ok((resolved, Arguments::kept(named, store)))
        }
    }
}

impl Run<'_> {
    fn through_cache(&mut self, caches: &Caches) -> std::result::Result<Ending, Halt> {
        check_asked(self.request, self.policy)?;
        signal::shield_writes();
        self.is_nested = caches.as_ref().is_ok_and(|caches| nested::introduce(caches));
        // Never dropped: the process ends soon, and taking all of this apart costs as much as putting it together.
        let store = ManuallyDrop::new(self.open_store(caches.as_ref().map_err(Clone::clone)?)?);
        let most = self.policy.max_input;
        let command = recognise::cacheable(self.request, most, &self.scene, &store, &mut self.input)?;
        let command = ManuallyDrop::new(command);
        let sought = lookup::Sought::new(self.request, &command, &store)?;
        match self.policy.mode {
            // What a former run told may hold no longer.
            Mode::Refresh => watching::check_rights(&sought)?,
            _ => watching::check_watchable(&sought, &store)?,
        }
        match guarded(|| self.replay_if_stored(&store, &sought, &mut None)) {
            Ok(ending) => {
                mem::forget(sought);
                Ok(ending)
            }
            Err(Missed::Because(reason)) => {
                let why = self.explained(&store, &sought, reason);
                if self.policy.mode != Mode::ReadOnly && store.is_writable() {
                    return self.execute(&store, sought, why);
                }
                (self.tell)(Told::NotStored { why, reason: Reason::ReadOnly, hint: None });
                self.replace()
            }
            Err(Missed::Halted(halt)) => Err(halt),
        }
    }

    fn open_store(&self, caches: &[Member]) -> std::result::Result<Store, Reason> {
        let purpose = if self.policy.mode == Mode::ReadOnly { Purpose::Read } else { Purpose::Write };
        let mut skipped = |cache: &Cache, reason: &Reason| {
            (self.tell)(Told::Warning(format!("the cache `{}` is not asked: {reason}", cache.name)));
        };
        Ok(Store::open_stack(caches, purpose, &mut skipped)?.in_session(self.policy.session.as_deref()))
    }

    /// Looks up and replays; a miss carries its reason. `lock` is the command's, where it was waited for.
    fn replay_if_stored(
        &mut self,
        store: &Store,
        sought: &lookup::Sought,
        lock: &mut Option<FlightLock>,
    ) -> std::result::Result<Ending, Missed> {
        // What was looked at so far decides which program is run, by the caller's search path for one: that counts.
        if self.is_nested {
            nested::exempt();
        }
        if self.policy.mode == Mode::Refresh || self.policy.audit == Audited::Yes {
            return Err(Missed::Because(Reason::Refresh));
        }
        let (call, freshness) = sought.find(store, self.policy).map_err(Missed::Because)?;
        match self.is_nested {
            false => {
                self.fill_back(store, sought, &call.key, lock.as_ref());
                self.replay(store, sought, &call, freshness, lock)
            }
            true => {
                let telling = nested::Telling::of(sought, &call, self.policy, store)?;
                let again = ManuallyDrop::new(lookup::Sought::new(self.request, sought.command, store)?);
                let (same, freshness) = again.find(store, self.policy).map_err(Missed::Because)?;
                telling.check(&same)?;
                self.fill_back(store, &again, &same.key, lock.as_ref());
                self.replay(store, &again, &same, freshness, lock).inspect(|_| telling.holds())
            }
        }
    }

    /// Replays what was found.
    fn replay(
        &mut self,
        store: &Store,
        sought: &lookup::Sought,
        call: &Answer,
        freshness: Freshness,
        lock: &mut Option<FlightLock>,
    ) -> std::result::Result<Ending, Missed> {
        let replay = replay::Replay::prepare(store, sought, call, self.policy).map_err(Missed::Because)?;
        // By the tags of this run it will be looked for.
        store.tag_replayed(&call.key, &self.policy.tags);
        for warning in replay.warnings() {
            (self.tell)(Told::Warning(warning.clone()));
        }
        let (key, saved) = (call.key, call.wall);
        match freshness {
            Freshness::Stale if self.policy.mode == Mode::On => {
                (self.tell)(Told::Stale { key, saved });
                // A forked process shares our lock, and would lose it with us: it is to take its own.
                drop(lock.take());
                self.refresh_in_background(store, sought);
            }
            Freshness::Fresh | Freshness::Stale => (self.tell)(Told::Hit { key, saved }),
        }
        replay.carry_out(&self.input, self.tell).map_err(|reason| Missed::Halted(Halt::Plain(reason)))
    }

    /// A miss with the nearest call, where somebody wants to know.
    fn explained(&self, store: &Store, sought: &lookup::Sought, reason: Reason) -> Miss {
        let is_asked = self.policy.detail != Detail::Reason && reason == Reason::NoCall;
        let nearest =
            is_asked.then(|| guarded(|| Ok(explain::nearest_beside(store, sought)))).and_then(|found| found.ok());
        Miss { reason, nearest: nearest.flatten().map(Box::new) }
    }

    /// The command in fleche's place, because nothing of it will be kept.
    fn plainly(mut self, reason: Reason) -> Result<Ending> {
        let hint = hint(&reason);
        (self.tell)(Told::Plain { reason, hint });
        match self.replace() {
            Ok(ending) => Ok(ending),
            Err(Halt::Refuse(error)) => Err(error),
            Err(Halt::Plain(reason)) => Err(Error::failure(format!("cannot run the command: {reason}"))),
        }
    }

    fn replace(&mut self) -> std::result::Result<Ending, Halt> {
        if self.request.is_isolated() {
            return self.run_apart();
        }
        let environment = key::visible_environment(&self.request.environment, &self.scene.environment())?;
        let environment = &self.told_to_nested(&environment);
        let path = key::variable(environment, b"PATH");
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let name = &self.request.argv[0];
        let program = match key::resolve_program(name, &cwd, path) {
            Program::Found(program) => program,
            Program::NotFound => return Ok(not_started(name, 127, &rustix::io::Errno::NOENT.into())),
            Program::NotExecutable => return Ok(not_started(name, 126, &rustix::io::Errno::ACCESS.into())),
        };
        self.input.prepare_plain(&self.request.stdin)?;
        self.arguments.prepare()?;
        let argv = self.arguments.executed(&self.request.argv);
        let launch =
            Launch { program: &program, argv: &argv, environment, stdin: self.input.take(), place: Place::Here };
        Ok(start_failed(name, &exec::replace(&launch)))
    }

    /// The environment that the command gets: with what the runs nested in it are to know, which counts in no key.
    fn told_to_nested<'e>(&self, environment: &'e [OsString]) -> Cow<'e, [OsString]> {
        match self.policy.nested {
            Nested::AsFound => Cow::Borrowed(environment),
            Nested::Refreshed => Cow::Owned(again::with_variable(environment, "FLECHE_MODE", OsStr::new("refresh"))),
        }
    }
}

/// Refuses what is not cached whatever it is.
fn check_asked(request: &Request, policy: &Policy) -> std::result::Result<(), Reason> {
    if policy.mode == Mode::Off { Err(Reason::Off) } else { check_declared(request) }
}

/// The same whatever the mode is.
fn check_declared(request: &Request) -> std::result::Result<(), Reason> {
    if request.inputs.is_empty() && !request.pure && !request.is_watched() {
        return Err(Reason::Undeclared);
    }
    if let Some(word) = request.argv.iter().skip(1).find(|word| beyond::names_descriptor(word)) {
        let why = "it is a descriptor of the caller's".to_owned();
        return Err(Reason::InputUnreadable(PathBuf::from(word), why));
    }
    Ok(())
}

/// Why there was no replay.
enum Missed {
    /// The command is to be run and recorded.
    Because(Reason),
    /// It is to be run plainly, or not at all.
    Halted(Halt),
}

impl From<Halt> for Missed {
    fn from(halt: Halt) -> Missed {
        Missed::Halted(halt)
    }
}

/// Runs a part of the cache; a defect in it is a miss.
fn guarded<T>(part: impl FnOnce() -> std::result::Result<T, Missed>) -> std::result::Result<T, Missed> {
    panic::catch_unwind(AssertUnwindSafe(part)).unwrap_or(Err(Missed::Because(Reason::Internal)))
}

/// What to tell the user to do about a command that is not cached or a run that is not stored. Without one the former is not
/// worth a line.
fn hint(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::Undeclared => Some("name what it reads with -i, or say --pure"),
        Reason::StdinUnknown => Some("say --stdin if it is, --no-stdin if not"),
        Reason::StdinRead => Some("say --stdin if it is input, --no-stdin if not"),
        Reason::Network(_) => Some("--allow-network stores it all the same, best with --ttl"),
        Reason::WrittenOutside(_) => Some("--allow-write names folders where it may"),
        Reason::Disturbed(_) | Reason::Unwatched(_) | Reason::Unwatchable(_) => {
            Some("name what it reads with -i, or say --pure")
        }
        Reason::DescriptorOpen(..) | Reason::DescriptorUsed(_) => {
            Some("close it, as in `3>&-`, if the command does not need it")
        }
        Reason::PrivateFolderTold => Some("--isolate=strict runs it under the folder's own name"),
        Reason::ArgumentMissing(_) | Reason::VariableMissing(_) => Some("it was required"),
        Reason::StdinUnreadable(_) => Some("the command gets it all the same"),
        Reason::StoreUnusable(_) | Reason::InputUnreadable(..) | Reason::Internal => {
            Some("the command runs without it")
        }
        _ => None,
    }
}

/// The error for a command that could not be started.
fn start_failed(name: &std::ffi::OsStr, error: &StartError) -> Ending {
    match error {
        StartError::NotFound(why) => not_started(name, 127, why),
        StartError::NotExecutable(why) => not_started(name, 126, why),
        StartError::NoProcess(why) => not_started(name, 125, why),
        StartError::NotConfined(refusal) => {
            let why = cause(&refusal.why);
            let message =
                format!("cannot isolate `{}` strictly: no {} can be had here: {why}", name.display(), refusal.what);
            let error = Error::failure(message).hint("`--isolate` without `=strict` needs nothing of the kernel");
            Ending::NotStarted(error, 125)
        }
    }
}

fn not_started(name: &std::ffi::OsStr, status: i32, why: &std::io::Error) -> Ending {
    Ending::NotStarted(Error::failure(format!("cannot run `{}`: {}", name.display(), cause(why))), status)
}
