//! A miss: waiting for others, running the command, and refreshing behind the caller's back.

use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};

use crate::exec::trace::Watch;
use crate::exec::{self, Cut, Forward, Input, Launch, StartError, Status};
use crate::model::{Event, Program, Reason, Request};
use crate::store::{Flight, FlightLock, Store};

use super::audit::Audit;
use super::beyond::Beyond;
use super::explain;
use super::isolation::Enclosure;
use super::lookup::{Freshness, Sought};
use super::nested;
use super::outputs::{self, Before};
use super::recognise::check_writable;
use super::record::{Capture, record};
use super::standard_input::Apart;
use super::watching;
use super::{Audited, Ending, Halt, Miss, Missed, Mode, Told, hint, start_failed};

/// What a command is given.
struct Given {
    /// What it reads.
    input: Input,
    /// Where it works, if it is isolated.
    enclosure: Option<Enclosure>,
}

impl super::Run<'_> {
    /// Runs the command, alone of its kind if that can be had, and stores what it did.
    pub(super) fn execute(&mut self, store: &Store, sought: Sought, why: Miss) -> Result<Ending, Halt> {
        check_writable(sought.command.streams)?;
        store.check_place()?;
        let (sought, mut why, mut lock) = match store.flight(&sought.command.digest, self.policy.wait) {
            Flight::Alone => (sought, why, None),
            Flight::Leads(lock) => (sought, why, Some(lock)),
            Flight::Waited(lock) => (sought.again(store)?, why, Some(lock)),
        };
        // Between the first look and the lock another run may have stored the call.
        if lock.is_some() && is_missing(&why.reason) {
            match super::guarded(|| self.replay_if_stored(store, &sought, &mut lock)) {
                Ok(ending) => return Ok(ending),
                Err(Missed::Halted(halt)) => return Err(halt),
                Err(Missed::Because(reason)) if reason == why.reason => {}
                // What is there by now is what it runs for.
                Err(Missed::Because(reason)) => why = Miss { reason, nearest: None },
            }
        }
        let sought = match is_absent(&why.reason) && self.bring(store, &sought) {
            false => sought,
            true => {
                let sought = sought.again(store)?;
                match super::guarded(|| self.replay_if_stored(store, &sought, &mut lock)) {
                    Ok(ending) => return Ok(ending),
                    Err(Missed::Halted(halt)) => return Err(halt),
                    Err(Missed::Because(reason)) => why = Miss { reason, nearest: None },
                }
                sought
            }
        };
        self.arguments.prepare()?;
        let enclosure = self.enclose(store, &sought)?;
        let given = Given { input: self.input.take(), enclosure };
        match self.capture(store, &sought, given, Forward::Caller, lock, &why) {
            Ok(status) => Ok(Ending::Status(status)),
            Err((StartError::NoProcess(_), input)) => {
                self.input.give_back(input);
                Err(Reason::NotStarted.into())
            }
            Err((error, _)) => Ok(start_failed(&self.request.argv[0], &error)),
        }
    }

    /// Runs the command again, detached from everything of the caller's, unless somebody does already.
    pub(super) fn refresh_in_background(&self, store: &Store, sought: &Sought) {
        if self.policy.mode != Mode::On {
            return;
        }
        let Ok(Apart { descriptor, input }) = self.input.apart() else { return };
        // Where no process can be made, the next caller tries again.
        let _ = exec::background(descriptor.as_ref().map(AsFd::as_fd), || {
            if self.arguments.prepare().is_ok()
                && let Flight::Leads(lock) = store.flight(&sought.command.digest, Some(std::time::Duration::ZERO))
                && !matches!(sought.find(store, self.policy), Ok((_, Freshness::Fresh)))
            {
                let why = Miss { reason: Reason::Expired, nearest: None };
                if let Ok(enclosure) = self.enclose(store, sought) {
                    let given = Given { input, enclosure };
                    let _ = self.capture(store, sought, given, Forward::Nowhere, Some(lock), &why);
                }
            }
        });
    }

    /// What a command that is watched may do unseen.
    fn watch(&self, sought: &Sought, store: &Store, enclosure: Option<&Enclosure>) -> Option<Watch> {
        if enclosure.is_some() {
            return watching::for_hints(sought, store);
        }
        let is_watched = sought.request.is_watched() || self.policy.audit == Audited::Yes;
        // A malformed glob was refused before.
        is_watched.then(|| watching::rules(sought.request, sought.command, &self.input, store).ok()).flatten()
    }

    fn capture(
        &self,
        store: &Store,
        sought: &Sought,
        given: Given,
        forward: Forward,
        lock: Option<FlightLock>,
        why: &Miss,
    ) -> Result<Status, (StartError, Input)> {
        let command = sought.command;
        let Given { input, mut enclosure } = given;
        let Program::Found(program) = &command.program else {
            return Err((StartError::NotFound(rustix::io::Errno::NOENT.into()), input));
        };
        sought.observed.guard();
        // What a watched command found is known from watching it.
        let is_known = sought.request.is_watched() || enclosure.is_some();
        let before = if is_known { Before::default() } else { outputs::before(&sought.places) };
        let watch = self.watch(sought, store, enclosure.as_ref());
        let beyond = Beyond::now();
        let mut capture = Capture::new(store, sought, self.policy, &self.arguments, &why.reason);
        let argv = self.arguments.executed(&command.argv);
        let environment = &self.told_to_nested(&command.environment);
        let environment = &self.told_where(environment, enclosure.as_ref());
        let place = enclosure.as_ref().map(Enclosure::place).unwrap_or_default();
        let launch = Launch { program, argv: &argv, environment, stdin: input, place };
        let (stdout, stderr) = capture.sinks();
        let run = match exec::capture(&launch, watch.as_ref(), command.streams, forward, stdout, stderr) {
            Ok(run) => run,
            Err(error) => return Err((error, launch.stdin)),
        };
        if let Some(enclosure) = &mut enclosure
            && let Err(status) = self.leave(enclosure, command, &sought.places, &run)
        {
            return Ok(status);
        }
        let disturbance = run.trace.as_ref().and_then(watching::disturbance);
        if let Some(disturbance) = disturbance {
            // Before the lock goes: those who wait for it are not to watch the command either.
            watching::remember(disturbance, sought, store);
        }
        let stored = panic::catch_unwind(AssertUnwindSafe(|| {
            record(capture, &run, &self.input, &before, &beyond, enclosure.as_ref())
        }))
        .unwrap_or(Err(Reason::Internal));
        // Not before: standard error may be a file of the command's own.
        if let (Audited::Yes, Some(trace)) = (self.policy.audit, &run.trace) {
            (self.tell)(Told::Audited(Box::new(Audit::of(trace, sought))));
        }
        match stored {
            Ok(key) => {
                let former = self.former.filter(|former| former.key != key);
                let since = former.map(|former| {
                    super::guarded(|| Ok(explain::differences(store, sought, former))).unwrap_or_default()
                });
                (self.tell)(Told::Stored {
                    key,
                    why: why.clone(),
                    took: run.usage.wall,
                    since,
                    scattered: sought.scattered(store),
                });
                self.leave_for_others(store, &key);
            }
            Err(reason) => {
                // Before the lock goes, so that those who wait for it know that waiting does not help.
                store.note(&Event::NotStored {
                    command: command.digest,
                    reason: reason.name().to_owned(),
                    detail: if command.is_redacted() { String::new() } else { reason.to_string() },
                    name: if command.is_redacted() { String::new() } else { command.name() },
                });
                let warning = warning(sought.request, &reason, &run)
                    .or_else(|| disturbance.and_then(|why| disturbed(why, run.status, command.is_redacted())));
                (self.tell)(match warning {
                    Some(warning) => Told::Warning(warning),
                    None => Told::NotStored { why: why.clone(), hint: hint(&reason), reason },
                });
            }
        }
        drop(lock);
        self.send_what_waits(store);
        if run.trace.as_ref().is_some_and(|trace| nested::left_due(trace, store)) {
            store.leave_due();
        }
        look_after(store);
        Ok(run.status)
    }
}

/// Whether others may have what is not here. What is too old here is not asked for: there it may be older.
fn is_absent(why: &Reason) -> bool {
    matches!(why, Reason::NoCall | Reason::Damaged(_))
}

/// Whether another run may have stored meanwhile what was missing.
fn is_missing(why: &Reason) -> bool {
    matches!(why, Reason::NoCall | Reason::Expired)
}

/// Keeps the cache within its limits in the background, if the lot fell on this run or on one that is nested in it. A forked
/// process shares our locks, so it opens the cache anew.
pub fn look_after(store: &Store) {
    if store.is_due() && !nested::leave_due(store) {
        // Where no process can be made, the lot will fall on another run.
        let _ = exec::background(None, || {
            if let Ok(own) = store.reopened() {
                let _ = own.look_after();
            }
        });
    }
}

/// What a user should know about a run that may not have done what it would have done unwatched.
fn disturbed(why: &Reason, status: Status, is_redacted: bool) -> Option<String> {
    let again = "because the command was watched; the next run will not be";
    match why {
        Reason::Privileged(_) if is_redacted => Some(format!("a program did not get the rights that it has, {again}")),
        Reason::Privileged(path) => Some(format!("`{}` did not get the rights that it has, {again}", path.display())),
        Reason::Disturbed(how) if status != Status::Exited(0) => {
            Some(format!("it may have failed ({how}) because the command was watched; the next run will not be"))
        }
        _ => None,
    }
}

/// What a user should know about a run that was not stored although they declared it well; the one line about it.
fn warning(request: &Request, reason: &Reason, run: &exec::Run) -> Option<String> {
    if let (Some(Cut::Failed(why)), Status::Exited(_)) = (&run.cut_short, run.status) {
        return Some(format!("the output is not whole: {why}"));
    }
    match reason {
        // Of a watched command nobody said what it reads and writes.
        Reason::OutputUnstorable(..) | Reason::InputUnreadable(..) if request.is_watched() => None,
        Reason::OutputUnstorable(..)
        | Reason::InputUnreadable(..)
        | Reason::StoreUnusable(_)
        | Reason::RedactedTold
        | Reason::Internal => Some(format!("not stored: {reason}")),
        _ => None,
    }
}
