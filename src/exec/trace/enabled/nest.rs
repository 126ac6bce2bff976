//! One watcher for a command and for the runs of fleche that are nested in it: the kernel gives a process one listener.
//!
//! A nested run tells what it does itself, which then is not noted. Where it answers for its command from its store, it gives
//! an account of what that would have looked at and left. Where it runs the command, that is watched as all the others are,
//! and what it and all that it starts do is noted a second time, in a scope that the nested run collects in the end.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::super::Watch;
use super::super::nested::Opening;
use super::observer::{Observer, needs_no_ring};
use crate::model::{Account, Reason, Trace};
use crate::sys::calls::{executes, makes_ring};
use crate::sys::clock;
use crate::sys::message::{Message, Verb};
use crate::sys::seccomp::{Listener, NATIVE, Notice};
use crate::sys::sieve::Descriptor0;
use crate::sys::tracee::Tracee;

/// So far from the first process another one is at most.
const MOST_GENERATIONS: usize = 10_000;

/// How long it is believed of a thread what it belongs to, in nanoseconds: no id is given to another process so soon.
const SAME_PROCESS: u64 = 100_000_000;

/// What a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on as if nobody had asked.
    GoOn,
    /// It is a message, and returns this.
    Value(u32),
    /// It fails as one that the kernel does not know.
    NoSuchCall,
}

/// An observer of everything, and one of what each nested run executes.
pub struct Nest {
    all: Observer,
    scopes: Vec<Scope>,
    exempt: Vec<Owner>,
    /// Threads that belong to no exempt process, and since when that is known.
    strangers: HashMap<i32, u64>,
    /// In which scopes threads are, by the owners, and since when that is known.
    members: HashMap<i32, (Vec<i32>, u64)>,
    /// The stores that nested runs left to be looked after.
    due: BTreeSet<PathBuf>,
    /// Whether the filter tells of the use of descriptor 0.
    stdin: Descriptor0,
}

/// What a nested run executes.
struct Scope {
    owner: Owner,
    observer: Observer,
    /// What was noted, once it is collected.
    collected: Option<Vec<u8>>,
}

/// A nested run.
struct Owner {
    process: i32,
    /// Readable when it has ended; as long as it is not, its id is nobody else's.
    handle: OwnedFd,
}

impl Owner {
    fn of(process: i32) -> Option<Owner> {
        let handle = pidfd_open(Pid::from_raw(process)?, PidfdFlags::empty()).ok()?;
        Some(Owner { process, handle })
    }

    fn lives(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&at_once)) == Ok(0)
    }
}

impl Nest {
    /// For a command that has not begun.
    pub fn new(watch: Watch, input: Option<(u64, u64)>) -> Nest {
        let stdin = watch.stdin;
        Nest {
            all: Observer::new(watch, input),
            scopes: Vec::new(),
            exempt: Vec::new(),
            strangers: HashMap::new(),
            members: HashMap::new(),
            due: BTreeSet::new(),
            stdin,
        }
    }

    /// Gives up what was seen.
    pub fn take_trace(&mut self) -> Trace {
        Trace { due: std::mem::take(&mut self.due), ..self.all.take_trace() }
    }

    /// Looks at nothing any more.
    pub fn give_up(&mut self, reason: &Reason) {
        self.observers().for_each(|observer| observer.give_up(reason.clone()));
    }

    fn observers(&mut self) -> impl Iterator<Item = &mut Observer> {
        std::iter::once(&mut self.all).chain(self.scopes.iter_mut().map(|scope| &mut scope.observer))
    }

    /// Notes what a call is about to see or to do, and answers it.
    pub fn attend(&mut self, listener: &Listener, notice: &Notice) -> Answer {
        let tracee = Tracee::of(notice.thread);
        if Some(notice.architecture) == NATIVE
            && let Some(message) = Message::of(notice)
        {
            return self.answer(listener, notice, tracee, &message).map_or(Answer::GoOn, Answer::Value);
        }
        if self.is_exempt(tracee, notice) {
            return Answer::GoOn;
        }
        if makes_ring(notice.number) && needs_no_ring(tracee) {
            return Answer::NoSuchCall;
        }
        self.all.observe(listener, notice);
        if !self.scopes.is_empty() {
            for number in self.scopes_of(tracee, listener, notice) {
                self.scopes[number].observer.observe(listener, notice);
            }
        }
        Answer::GoOn
    }

    /// What a message is answered; `None` as if nobody had heard it.
    fn answer(&mut self, listener: &Listener, notice: &Notice, tracee: Tracee, message: &Message) -> Option<u32> {
        let process = tracee.process()?;
        let bytes = if message.verb == Verb::Fetch { Vec::new() } else { message.read(tracee).ok()? };
        listener.is_waiting(notice.id).then(|| self.hear(listener, notice, process, message, &bytes)).flatten()
    }

    /// Whether a nested run makes the call by itself.
    fn is_exempt(&mut self, tracee: Tracee, notice: &Notice) -> bool {
        if self.exempt.is_empty() {
            return false;
        }
        let now = clock::monotonic();
        if self.strangers.get(&tracee.id()).is_some_and(|since| now.saturating_sub(*since) < SAME_PROCESS) {
            return false;
        }
        let named = |id: i32| move |owner: &Owner| owner.process == id;
        let place = self.exempt.iter().position(named(tracee.id())).or_else(|| {
            let process = tracee.process()?.id();
            self.exempt.iter().position(named(process))
        });
        let Some(place) = place else {
            self.strangers.insert(tracee.id(), now);
            return false;
        };
        let becomes_another = executes(notice.number);
        if becomes_another || !self.exempt[place].lives() {
            self.exempt.swap_remove(place);
            return false;
        }
        true
    }

    /// In which scopes a thread is: the owner of each has started its process, or what has started that. What has lost its
    /// parent has become the child of the nearest owner.
    fn scopes_of(&mut self, tracee: Tracee, listener: &Listener, notice: &Notice) -> Vec<usize> {
        let now = clock::monotonic();
        let known = self.members.get(&tracee.id()).filter(|(_, since)| now.saturating_sub(*since) < SAME_PROCESS);
        let owners = match known {
            Some((owners, _)) => owners.clone(),
            None => {
                let Some(owners) = self.owners_of(tracee) else {
                    if listener.is_waiting(notice.id) {
                        let why = Reason::Unwatched("a process of unknown origin".into());
                        self.scopes.iter_mut().for_each(|scope| scope.observer.give_up(why.clone()));
                    }
                    return Vec::new();
                };
                self.members.insert(tracee.id(), (owners.clone(), now));
                owners
            }
        };
        let is_open = |scope: &Scope| scope.collected.is_none() && owners.contains(&scope.owner.process);
        (0..self.scopes.len()).filter(|number| is_open(&self.scopes[*number])).collect()
    }

    /// The owners of scopes among the ancestors of a thread's process; `None` where it cannot be told.
    fn owners_of(&self, tracee: Tracee) -> Option<Vec<i32>> {
        // A parent that ends meanwhile leaves its children to another.
        (0..3).find_map(|_| self.try_owners_of(tracee))
    }

    fn try_owners_of(&self, tracee: Tracee) -> Option<Vec<i32>> {
        let mut owners = Vec::new();
        let mut process = tracee.parent()?;
        for _ in 0..MOST_GENERATIONS {
            if process.id() <= 1 {
                return Some(owners);
            }
            if self.scopes.iter().any(|scope| scope.owner.process == process.id() && scope.owner.lives()) {
                owners.push(process.id());
            }
            process = process.parent()?;
        }
        None
    }

    /// Does what a message says; `None` as if nobody had heard it.
    fn hear(
        &mut self,
        listener: &Listener,
        notice: &Notice,
        process: Tracee,
        message: &Message,
        bytes: &[u8],
    ) -> Option<u32> {
        match message.verb {
            Verb::Apart => {
                let folder = super::super::nested::folder(bytes)?;
                self.observers().for_each(|observer| observer.leave_apart(&folder));
            }
            Verb::Due => {
                self.due.insert(super::super::nested::folder(bytes)?);
            }
            Verb::Exempt => {
                if !self.exempt.iter().any(|owner| owner.process == process.id() && owner.lives()) {
                    self.exempt.retain(Owner::lives);
                    self.exempt.push(Owner::of(process.id())?);
                }
                self.strangers.clear();
            }
            Verb::Account => {
                let account = Account::decode(bytes).ok()?;
                self.all.note_account(listener, notice, &account);
                for number in self.scopes_of(process, listener, notice) {
                    self.scopes[number].observer.note_account(listener, notice, &account);
                }
            }
            Verb::Refuse => {
                let why = Reason::Unwatched("a replay that was nested in it failed".into());
                self.all.refuse(why.clone());
                for number in self.scopes_of(process, listener, notice) {
                    self.scopes[number].observer.refuse(why.clone());
                }
            }
            Verb::Scope => {
                let opening = Opening::decode(bytes).ok()?;
                self.scopes.retain(|scope| scope.owner.process != process.id() && scope.owner.lives());
                // From now on what it starts is in the scope; threads of its own are in none of it.
                self.members.clear();
                let observer = Observer::new(opening.watch(), opening.input);
                let owner = Owner::of(process.id())?;
                self.scopes.push(Scope { owner, observer, collected: None });
                return Some(u32::from(self.stdin == Descriptor0::Watched));
            }
            Verb::Collect => {
                let scope = self.scopes.iter_mut().find(|scope| scope.owner.process == process.id())?;
                let collected = scope.collected.get_or_insert_with(|| scope.observer.take_trace().encode());
                return u32::try_from(collected.len()).ok().filter(|length| *length <= i32::MAX as u32);
            }
            Verb::Fetch => {
                let scope = self.scopes.iter().find(|scope| scope.owner.process == process.id())?;
                message.write(process, scope.collected.as_ref()?).ok()?;
                self.scopes.retain(|scope| scope.owner.process != process.id());
            }
        }
        Some(0)
    }
}
