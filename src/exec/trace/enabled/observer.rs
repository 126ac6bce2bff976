//! What each call means for the trace.

mod accounts;
mod askings;
mod beyond;
mod changes;
mod disturbances;
mod places;

pub use disturbances::needs_no_ring;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::Watch;
use super::caller::Callers;
use super::habit::{Habit, Habits};
use super::ledger::{Ledger, Sight};
use super::resolve::{Resolver, Where, locate};
use super::{look, program};
use crate::model::{Keeper, Reason, Trace};
use crate::sys::calls::{Alarm, At, Call, Empty, End, NEW_SPACES, Opening, RESOLVE_IN_ROOT, decode};
use crate::sys::interruptions::Interruptions;
use crate::sys::seccomp::{Listener, NATIVE, Notice};
use crate::sys::socket::is_stream_of_network;
use crate::sys::tracee::{Spot, Tracee};

/// So many interpreters of interpreters the kernel goes through.
const MOST_INTERPRETERS: usize = 5;

/// Takes part in each call that a command makes.
pub struct Observer {
    watch: Watch,
    /// Device and inode of what the command got as descriptor 0.
    input: Option<(u64, u64)>,
    ledger: Ledger,
    resolver: Resolver,
    /// Whether the command has begun: before that, its process only prepares itself.
    has_begun: bool,
    /// Whether it does what cannot be watched: then nothing is looked at any more.
    has_given_up: bool,
    stdin_used: bool,
    leaves_root: bool,
    /// What is noted of paths that were not touched.
    grounds: HashMap<PathBuf, Ground>,
    habits: Habits,
    callers: Callers,
    /// Sources that were looked through for their own age.
    aged: HashSet<PathBuf>,
    /// Programs whose interpreters are noted.
    executed: HashSet<PathBuf>,
    text: Vec<u8>,
    /// Signals that are sent, by timers too, and those that interrupt what their handlers find the process at.
    interruptions: Interruptions,
}

/// What is noted of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// All.
    Noted,
    /// What is done to it, but not what is read there.
    Unread,
    /// Nothing, for it is no file; what is done to it may be a refusal.
    Kernel,
    /// Nothing.
    Apart,
}

/// What is noted of a path, as far as that is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// All.
    Open,
    /// What is done to it; what is read there only for those who ask for it.
    Unread,
    /// Nothing, for it is no file.
    Kernel,
    /// Nothing.
    Apart,
    /// Nothing of what its keeper does.
    Kept(Keeper),
}

/// Who tells of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// A program that makes a call.
    Caller,
    /// A run of fleche, for a command that it did not execute: it tells only what counts.
    Teller,
}

/// A call of which the process waits.
struct Asker<'a> {
    voice: Voice,
    tracee: Tracee,
    listener: &'a Listener,
    id: u64,
}

impl Asker<'_> {
    /// Whether it is still that process of which something was read.
    fn is_waiting(&self) -> bool {
        self.listener.is_waiting(self.id)
    }
}

impl Observer {
    /// For a command that has not begun.
    pub fn new(watch: Watch, input: Option<(u64, u64)>) -> Observer {
        Observer {
            watch,
            input,
            ledger: Ledger::default(),
            resolver: Resolver::default(),
            has_begun: false,
            has_given_up: false,
            stdin_used: false,
            leaves_root: false,
            grounds: HashMap::new(),
            habits: Habits::default(),
            callers: Callers::default(),
            aged: HashSet::new(),
            executed: HashSet::new(),
            text: Vec::new(),
            interruptions: Interruptions::default(),
        }
    }

    /// Gives up what was seen.
    pub fn take_trace(&mut self) -> Trace {
        Trace { stdin_used: self.stdin_used, leaves_root: self.leaves_root, ..self.ledger.take() }
    }

    /// Looks at nothing any more.
    pub fn give_up(&mut self, reason: Reason) {
        self.ledger.refuse(reason);
        self.has_given_up = true;
    }

    /// Notes what a call is about to see or to do.
    pub fn observe(&mut self, listener: &Listener, notice: &Notice) {
        if self.has_given_up {
            return;
        }
        if Some(notice.architecture) != NATIVE {
            return self.give_up(Reason::Unwatched("calls of another architecture".into()));
        }
        let Some(call) = decode(notice.number, &notice.arguments) else {
            return self.give_up(Reason::Unwatched(format!("system call {} is not known", notice.number)));
        };
        self.has_begun |= matches!(call, Call::Execute(_));
        if !self.has_begun {
            return;
        }
        if notice.thread == 0 {
            return self.give_up(Reason::Unwatched("a process that cannot be seen from here".into()));
        }
        let asker = Asker { voice: Voice::Caller, tracee: Tracee::of(notice.thread), listener, id: notice.id };
        self.follow(&asker, call);
    }

    fn follow(&mut self, asker: &Asker, call: Call) {
        match call {
            Call::Open(at, opening) => self.open(asker, at, opening),
            Call::OpenHow(at, how) => {
                let Some([flags, _, resolution]) = asker.tracee.read_words(how) else { return };
                if resolution & RESOLVE_IN_ROOT != 0 {
                    return self.give_up(Reason::Unwatched("it resolved paths in a root of its own".into()));
                }
                let opening = Opening::of(flags);
                self.open(asker, At { end: opening.end(), ..at }, opening);
            }
            Call::Stat(at) => self.look(asker, at, Sight::Metadata),
            Call::StatOf(at, asked) => {
                self.look(asker, at, Sight::Metadata);
                if asked.is_rare() && (!asked.is_all() || self.habits.of(asker.tracee) == Habit::Exact) {
                    self.refuse_identity(asker, at);
                }
            }
            Call::Access(at) | Call::ReadLink(at) | Call::Enter(at) => self.look(asker, at, Sight::Kind),
            Call::ReadAttribute(at, name) => self.read_attribute(asker, at, name),
            Call::SetAttribute(at, name) => self.set_attribute(asker, at, name),
            Call::Volume(at) => {
                self.look(asker, at, Sight::Kind);
                if self.habits.of(asker.tracee) == Habit::Exact {
                    self.refuse_volume(asker, at);
                }
            }
            Call::Execute(at) => self.execute(asker, at),
            Call::List(number) => self.list(asker, number),
            Call::MakeFolder(at) => {
                if let Some(path) = self.vacant(asker, at) {
                    self.resolver.forget_all(&path);
                    self.ledger.make_folder(&path);
                }
            }
            Call::Make(at) => {
                if let Some(path) = self.vacant(asker, at) {
                    self.resolver.forget(&path);
                    self.ledger.make(&path);
                }
            }
            Call::Link(from, to) => self.link(asker, from, to),
            Call::Remove(at) => self.remove(asker, at),
            Call::RemoveFolder(at) => self.remove_folder(asker, at),
            Call::Move(from, to, how) => self.carry(asker, from, to, how),
            Call::Alter(at) => drop(self.alter(asker, at)),
            Call::Date(at, times) => {
                if let Some(path) = self.alter(asker, at) {
                    match changes::is_given(asker.tracee, times) {
                        true => self.ledger.date(&path),
                        false => self.ledger.renew(&path),
                    }
                }
            }
            Call::Signal(to, signal) => {
                self.signal(asker.tracee, to);
                self.alarm(asker, Alarm::Signal(signal));
            }
            Call::Socket(domain, kind) => {
                if !is_stream_of_network(domain, kind) {
                    self.refuse_network(format!("a socket of family {domain}"));
                }
            }
            Call::Connect(_, place, length) => self.connect(asker, place, length),
            Call::Send(message) => self.send(asker, message),
            Call::Bind(_, place, length) => self.bind(asker, place, length),
            Call::Use(number) => self.use_input(asker.tracee, number),
            Call::Shared(what) => self.ledger.refuse(Reason::Device(what.into())),
            Call::Clone(place) => {
                if asker.tracee.read_words(place).is_some_and(|[flags]| flags & u64::from(NEW_SPACES) != 0) {
                    self.give_up(Reason::Unwatched("it made a namespace of its own".into()));
                }
            }
            Call::Filter(program) => self.filter(asker, program),
            Call::Ring => self.make_ring(),
            Call::Handle(signal, action) => self.handle(asker, signal, action),
            Call::Alarm(alarm) => self.alarm(asker, alarm),
            Call::Disturbed(how) => self.ledger.refuse(Reason::Disturbed(how.into())),
            Call::Unwatchable(what) => self.give_up(Reason::Unwatched(what.into())),
            Call::Nothing => {}
        }
    }

    fn look(&mut self, asker: &Asker, at: At, sight: Sight) {
        if !self.read_text(asker, at) || self.is_noted(asker, at, sight) {
            return;
        }
        let Some(path) = self.real_of_text(asker, at) else { return };
        if self.is_watched(asker, &path) {
            self.see(asker, &path, sight);
            self.remember(at, &path);
        }
    }

    fn see(&mut self, asker: &Asker, path: &Path, sight: Sight) {
        if sight != Sight::Metadata {
            if !self.ledger.knows(path, sight) {
                let is_blind = self.habits.of(asker.tracee) == Habit::Blind;
                self.ledger.see(path, if is_blind { Sight::KindBlindly } else { sight });
            }
            return;
        }
        if self.ledger.knows(path, Sight::Exactly)
            && (!self.habits.are_curious || self.ledger.knows(path, Sight::Content))
        {
            return;
        }
        match self.habits.of(asker.tracee) {
            Habit::Blind => self.ledger.see(path, Sight::KindBlindly),
            Habit::Wary if self.ledger.now(path) == Some(FileType::Directory) => self.ledger.see(path, Sight::Kind),
            Habit::Keeping | Habit::Replacing => self.ledger.see(path, Sight::Metadata),
            Habit::Timeless | Habit::Exact | Habit::Unknown => self.ledger.see(path, Sight::Exactly),
            Habit::Wary => {
                self.ledger.see(path, Sight::Metadata);
                self.ledger.see(path, Sight::Content);
            }
        }
    }

    /// What is asked for is another for each file that is made, so that neither a key nor a replay can tell of it.
    fn refuse_identity(&mut self, asker: &Asker, at: At) {
        if let Some(path) = self.watched(asker, at)
            && self.ledger.now(&path).is_some()
        {
            self.ledger.refuse(Reason::Identity(path));
        }
    }

    /// The bytes of a file are read, and by a program that is not known what fstat(2) tells.
    fn read(&mut self, asker: &Asker, path: &Path) {
        self.ledger.see(path, Sight::Content);
        if self.habits.are_curious && self.habits.of(asker.tracee) == Habit::Unknown {
            self.ledger.see(path, Sight::Exactly);
        }
    }

    fn open(&mut self, asker: &Asker, at: At, opening: Opening) {
        if opening.is_nameless() {
            return;
        }
        let is_there = self.read_text(asker, at);
        if is_there && self.is_opening_noted(asker, at, opening) {
            return;
        }
        let path = if is_there { self.real_of_text(asker, at) } else { None };
        self.open_input(asker.tracee);
        let Some(path) = path else { return };
        match self.scope(asker, &path) {
            Scope::Kernel => self.open_device(asker, &path, opening),
            Scope::Apart if opening.changes() => self.ledger.set_apart(&path),
            Scope::Apart => {}
            Scope::Unread if opening.is_place() || !opening.changes() => {}
            Scope::Unread | Scope::Noted => {
                self.open_file(asker, &path, opening);
                self.remember(at, &path);
                let is_read = !opening.changes() && !opening.is_place() && !opening.is_folder();
                if is_read && self.ledger.knows(&path, Sight::Content) {
                    let is_blind = self.habits.of(asker.tracee) == Habit::Blind;
                    self.resolver.note(&self.text, at.end, |noted| {
                        noted.opened = true;
                        noted.opened_blindly |= is_blind;
                    });
                }
            }
        }
    }

    fn open_file(&mut self, asker: &Asker, path: &Path, opening: Opening) {
        if opening.is_place() || opening.is_folder() {
            return self.ledger.see(path, Sight::Kind);
        }
        if !opening.changes() {
            self.check_age(asker, path);
        }
        let is_known = |sight| self.ledger.knows(path, sight);
        if !opening.changes() && is_known(Sight::Content) && (!self.habits.are_curious || is_known(Sight::Exactly)) {
            return self.refuse_special(path);
        }
        match self.ledger.now(path) {
            None if opening.is_exclusive() => self.ledger.make(path),
            None if opening.creates() => {
                if !opening.empties() {
                    self.ledger.see(path, Sight::Kind);
                }
                self.ledger.replace(path);
            }
            Some(FileType::RegularFile) if !opening.is_exclusive() => {
                if opening.empties() {
                    self.ledger.replace(path);
                } else if opening.writes() {
                    self.ledger.alter(path);
                } else {
                    self.read(asker, path);
                }
            }
            _ => self.ledger.see(path, Sight::Kind),
        }
        self.refuse_special(path);
    }

    fn execute(&mut self, asker: &Asker, at: At) {
        self.habits.forget();
        self.callers.forget();
        let mut path = self.real(asker, at);
        for _ in 0..MOST_INTERPRETERS {
            let Some(file) = path else { return };
            self.habits.meet(&file);
            if self.is_executed_noted(asker, &file) {
                self.ledger.see(&file, Sight::Content);
                self.meet(&file);
                let before = self.ledger.before(&file);
                if program::is_privileged(&file, before) {
                    self.ledger.refuse(Reason::Privileged(file.clone()));
                }
            }
            let is_own = self.ledger.is_own(&file);
            if !is_own && self.executed.contains(&file) {
                return;
            }
            let is_regular = look::kind_of(&look::glimpse(&file)) == Some(FileType::RegularFile);
            let interpreter = if is_regular { program::interpreter(&file) } else { None };
            if !is_own {
                self.executed.insert(file);
            }
            let Some(interpreter) = interpreter else { return };
            let at = At { folder: None, path: 0, end: End::Followed, empty: Empty::Nothing };
            path = self.real_of(asker, interpreter.as_os_str().as_bytes(), at);
        }
    }

    fn list(&mut self, asker: &Asker, number: i32) {
        let Where::At(folder) = locate(asker.tracee, Spot::Descriptor(number)) else { return };
        if folder == Path::new("/proc") {
            self.ledger.refuse(Reason::Unwatched("it looked which processes there are".into()));
        }
        if !asker.is_waiting() {
            return;
        }
        match self.ground(&folder) {
            Ground::Kernel => return self.refuse_kernels(asker, &folder),
            // No program needs the names that it keeps there itself: whoever lists them wants to know.
            Ground::Kept(Keeper::Python) if self.ledger.deed_apart(&folder).is_none() => {}
            _ if self.is_passed_over(asker, &folder) => return,
            _ => {}
        }
        let Watch { apart, scratch, .. } = &self.watch;
        let is_passed_over = |name: &OsStr| {
            let path = folder.join(name);
            apart.contains(&path) || scratch(&path)
        };
        self.ledger.list(&folder, &is_passed_over);
    }
}
