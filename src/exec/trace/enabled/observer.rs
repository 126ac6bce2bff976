//! What each call means for the trace.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::super::never;
use super::super::{Network, Watch};
use super::habit::{Habit, Habits, is_dating, is_wary};
use super::ledger::{Ledger, Sight};
use super::resolve::{Reach, Resolved, Resolver, Where, locate};
use super::socket::{Address, address};
use super::{look, program};
use crate::model::{Reason, Trace};
use crate::sys::calls::{
    At, Call, Empty, End, Moving, NEW_SPACES, Opening, RESOLVE_IN_ROOT, Times, UTIME_SPECIAL, decode,
};
use crate::sys::seccomp::{Listener, NATIVE, Notice};
use crate::sys::socket::is_stream_of_network;
use crate::sys::tracee::{Spot, Tracee};

/// So many interpreters of interpreters the kernel goes through.
const MOST_INTERPRETERS: usize = 5;
/// As long as the kernel takes addresses (`struct sockaddr_storage`).
const LONGEST_ADDRESS: u64 = 128;

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
    looks: u64,
    /// What is noted of paths that were not touched.
    scopes: HashMap<PathBuf, Scope>,
    habits: Habits,
    /// Whether a program that goes by more than stat(2) tells was executed.
    has_wary: bool,
    /// Whether one that goes by the times of what it opens was.
    has_dating: bool,
    /// Programs whose interpreters are noted.
    executed: HashSet<PathBuf>,
    text: Vec<u8>,
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

/// A call of which the process waits.
struct Asker<'a> {
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
            looks: 0,
            scopes: HashMap::new(),
            habits: Habits::default(),
            has_wary: false,
            has_dating: false,
            executed: HashSet::new(),
            text: Vec::new(),
        }
    }

    /// Gives up what was seen.
    pub fn take_trace(&mut self) -> Trace {
        Trace { stdin_used: self.stdin_used, looks: self.looks, ..self.ledger.take() }
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
        self.looks += 1;
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
        let asker = Asker { tracee: Tracee::of(notice.thread), listener, id: notice.id };
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
                if let Some(path) = self.alter(asker, at)
                    && is_given(asker.tracee, times)
                {
                    self.ledger.date(&path);
                }
            }
            Call::Socket(domain, kind) => {
                if !is_stream_of_network(domain, kind) {
                    self.refuse_network(format!("a socket of family {domain}"));
                }
            }
            Call::Connect(_, place, length) => self.connect(asker, place, length),
            Call::Bind(_, place, length) => self.bind(asker, place, length),
            Call::Use(number) => self.use_input(asker.tracee, number),
            Call::Shared(what) => self.ledger.refuse(Reason::Device(what.into())),
            Call::Clone(place) => {
                if asker.tracee.read_words(place).is_some_and(|[flags]| flags & u64::from(NEW_SPACES) != 0) {
                    self.give_up(Reason::Unwatched("it made a namespace of its own".into()));
                }
            }
            Call::Unwatchable(what) => self.give_up(Reason::Unwatched(what.into())),
            Call::Nothing => {}
        }
    }

    fn scope(&mut self, path: &Path) -> Scope {
        if self.ledger.is_touched(path) {
            return Scope::Noted;
        }
        if let Some(scope) = self.scopes.get(path) {
            return *scope;
        }
        let scope = if never::is_kernels(path) {
            Scope::Kernel
        } else if self.watch.apart.iter().any(|folder| path.starts_with(folder)) || (self.watch.scratch)(path) {
            Scope::Apart
        } else if never::is_never_observed(path) {
            Scope::Unread
        } else {
            return Scope::Noted;
        };
        self.scopes.insert(path.to_owned(), scope);
        scope
    }

    /// Whether nothing is noted of what is read at `path`.
    fn is_passed_over(&mut self, path: &Path) -> bool {
        self.scope(path) != Scope::Noted
    }

    /// Whether what is done to `path` is noted.
    fn is_change_noted(&mut self, path: &Path) -> bool {
        match self.scope(path) {
            Scope::Noted | Scope::Unread => true,
            Scope::Apart => {
                self.ledger.set_apart(path);
                false
            }
            Scope::Kernel => {
                if !never::is_plain_device(path) && !never::is_of_a_process(path) {
                    self.ledger.refuse(Reason::Device(path.to_owned()));
                }
                false
            }
        }
    }

    /// The real path that a call is about, whatever is noted of it; `None` if it fails, or is about something without a name.
    fn real(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        self.text.clear();
        if at.path != 0 {
            match asker.tracee.read_string(at.path, &mut self.text) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => {
                    self.unreadable(asker);
                    return None;
                }
            }
        }
        let text = std::mem::take(&mut self.text);
        let path = self.real_of(asker, &text, at);
        self.text = text;
        path
    }

    fn real_of(&mut self, asker: &Asker, text: &[u8], at: At) -> Option<PathBuf> {
        if text.is_empty() && at.empty == Empty::Nothing {
            return None;
        }
        let base = match text.first() {
            Some(b'/') => PathBuf::new(),
            Some(_) => self.base(asker, at.folder)?,
            None => match locate(asker.tracee, at.folder.map_or(Spot::Folder, Spot::Descriptor)) {
                Where::At(path) => return asker.is_waiting().then_some(path),
                _ => return None,
            },
        };
        if !asker.is_waiting() {
            return None;
        }
        let place = match self.resolver.resolve(&base, text, at.end, asker.tracee) {
            Resolved::Known(place) => place,
            Resolved::New(place) => {
                for link in &place.links {
                    if !self.is_passed_over(link) {
                        self.ledger.see(link, Sight::Kind);
                    }
                }
                place
            }
        };
        match place.reach {
            Reach::End => Some(place.path.clone()),
            Reach::Nameless => None,
            Reach::Broken => {
                if !self.is_passed_over(&place.path) {
                    self.ledger.see(&place.path, Sight::Kind);
                }
                None
            }
        }
    }

    /// Where a relative path begins.
    fn base(&mut self, asker: &Asker, folder: Option<i32>) -> Option<PathBuf> {
        match locate(asker.tracee, folder.map_or(Spot::Folder, Spot::Descriptor)) {
            Where::At(path) => Some(path),
            Where::Gone => {
                // `..` may still lead somewhere.
                self.ledger.refuse(Reason::Unwatched("it was in a folder that is gone".into()));
                None
            }
            Where::Nameless => {
                if folder.is_none() {
                    self.unreadable(asker);
                }
                None
            }
        }
    }

    fn unreadable(&mut self, asker: &Asker) {
        if asker.is_waiting() {
            self.ledger.refuse(Reason::Unwatched("a process whose memory may not be read".into()));
        }
    }

    /// The same as [`real`](Observer::real), where something is noted of it.
    fn watched(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.real(asker, at)?;
        (!self.is_passed_over(&path)).then_some(path)
    }

    /// The same, where what is done to it is.
    fn changed(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.real(asker, at)?;
        self.is_change_noted(&path).then_some(path)
    }

    fn look(&mut self, asker: &Asker, at: At, sight: Sight) {
        let Some(path) = self.watched(asker, at) else { return };
        let is_known = self.ledger.knows(&path, sight);
        let may_be_wary = self.has_wary && sight == Sight::Metadata && !self.ledger.knows(&path, Sight::Content);
        if is_known && !may_be_wary {
            return;
        }
        match self.habits.of(asker.tracee) {
            Habit::Blind => self.ledger.see(&path, Sight::KindBlindly),
            Habit::Plain | Habit::Exact | Habit::Dating => self.ledger.see(&path, sight),
            Habit::Wary => {
                self.ledger.see(&path, sight);
                if sight == Sight::Metadata {
                    self.ledger.see(&path, Sight::Content);
                }
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

    fn open(&mut self, asker: &Asker, at: At, opening: Opening) {
        if opening.is_nameless() {
            return;
        }
        let path = self.real(asker, at);
        self.open_input(asker.tracee);
        let Some(path) = path else { return };
        match self.scope(&path) {
            Scope::Kernel => return self.open_device(&path, opening),
            Scope::Apart if opening.creates() => return self.ledger.set_apart(&path),
            Scope::Apart => return,
            Scope::Unread if opening.is_place() || !opening.changes() => return,
            Scope::Unread | Scope::Noted => {}
        }
        if opening.is_place() || opening.is_folder() {
            return self.ledger.see(&path, Sight::Kind);
        }
        if self.has_dating
            && !self.ledger.knows(&path, Sight::Metadata)
            && self.habits.of(asker.tracee) == Habit::Dating
        {
            self.ledger.see(&path, Sight::Metadata);
        }
        if !opening.changes() && self.ledger.knows(&path, Sight::Content) {
            return self.refuse_special(&path);
        }
        match self.ledger.now(&path) {
            None if opening.is_exclusive() => self.ledger.make(&path),
            None if opening.creates() => {
                if !opening.empties() {
                    self.ledger.see(&path, Sight::Kind);
                }
                self.ledger.replace(&path);
            }
            Some(FileType::RegularFile) if !opening.is_exclusive() => {
                if opening.empties() {
                    self.ledger.replace(&path);
                } else if opening.writes() {
                    self.ledger.alter(&path);
                } else {
                    self.ledger.see(&path, Sight::Content);
                }
            }
            _ => self.ledger.see(&path, Sight::Kind),
        }
        self.refuse_special(&path);
    }

    /// Refuses what others may be at the other end of, unless it is the command's own.
    fn refuse_special(&mut self, path: &Path) {
        let is_special = |kind| [FileType::Fifo, FileType::CharacterDevice, FileType::BlockDevice].contains(&kind);
        if !self.ledger.is_own(path) && look::kind_of(self.ledger.before(path)).is_some_and(is_special) {
            self.ledger.refuse(Reason::Device(path.to_owned()));
        }
    }

    fn open_device(&mut self, path: &Path, opening: Opening) {
        let is_probe = path == Path::new("/dev/tty") && opening.is_probe();
        if is_probe || opening.is_place() || never::is_plain_device(path) {
            return;
        }
        let is_used = match path.starts_with("/dev") {
            true => match look::kind_of(&look::glimpse(path)) {
                None => opening.creates(),
                Some(kind) => ![FileType::Directory, FileType::Symlink, FileType::Socket].contains(&kind),
            },
            false => opening.changes() && !never::is_of_a_process(path),
        };
        if is_used {
            self.ledger.refuse(Reason::Device(path.to_owned()));
        }
    }

    /// Names of descriptor 0.
    fn open_input(&mut self, tracee: Tracee) {
        if [&b"/dev/stdin"[..], b"/dev/fd/0", b"/proc/self/fd/0"].contains(&&self.text[..]) {
            self.use_input(tracee, 0);
        }
    }

    fn use_input(&mut self, tracee: Tracee, number: i32) {
        if number == 0 && !self.stdin_used && self.input.is_some() {
            let inode = tracee.inode(Spot::Descriptor(0)).map(|stat| (stat.st_dev, stat.st_ino));
            self.stdin_used = inode == self.input;
        }
    }

    fn execute(&mut self, asker: &Asker, at: At) {
        self.habits.forget();
        let mut path = self.real(asker, at);
        for _ in 0..MOST_INTERPRETERS {
            let Some(file) = path else { return };
            self.has_wary |= is_wary(&file);
            self.has_dating |= is_dating(&file);
            let is_noted = !self.is_passed_over(&file);
            if is_noted {
                self.ledger.see(&file, Sight::Content);
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
        if !asker.is_waiting() || self.is_passed_over(&folder) {
            return;
        }
        let Watch { apart, scratch, .. } = &self.watch;
        let is_passed_over = |name: &OsStr| {
            let path = folder.join(name);
            apart.contains(&path) || scratch(&path)
        };
        self.ledger.list(&folder, &is_passed_over);
    }

    /// The path at which a call is to make something, if nothing is there.
    fn vacant(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.changed(asker, at)?;
        if self.ledger.now(&path).is_some() {
            self.ledger.see(&path, Sight::Kind);
            return None;
        }
        Some(path)
    }

    fn link(&mut self, asker: &Asker, from: At, to: At) {
        let from = self.watched(asker, from);
        if let Some(from) = &from {
            let kind = self.ledger.now(from);
            self.ledger.see(from, Sight::Kind);
            if kind.is_none() {
                return;
            }
        }
        let Some(to) = self.vacant(asker, to) else { return };
        self.resolver.forget(&to);
        match from {
            Some(from) if !self.ledger.is_own(&from) => self.ledger.share(&from, &to),
            _ => self.ledger.make(&to),
        }
    }

    fn remove(&mut self, asker: &Asker, at: At) {
        let Some(path) = self.changed(asker, at) else { return };
        match self.ledger.now(&path) {
            None | Some(FileType::Directory) => self.look_at(asker, &path),
            Some(_) => {
                self.resolver.forget(&path);
                self.ledger.remove(&path);
            }
        }
    }

    /// A call finds out that something is there or not, and no more.
    fn look_at(&mut self, asker: &Asker, path: &Path) {
        if !self.ledger.knows(path, Sight::Kind) {
            let sight = if self.habits.of(asker.tracee) == Habit::Blind { Sight::KindBlindly } else { Sight::Kind };
            self.ledger.see(path, sight);
        }
    }

    fn remove_folder(&mut self, asker: &Asker, at: At) {
        let Some(path) = self.changed(asker, at) else { return };
        match self.ledger.now(&path) {
            Some(FileType::Directory) if look::is_empty(&path) => {
                self.resolver.forget_all(&path);
                self.ledger.remove_folder(&path);
            }
            Some(FileType::Directory) => self.ledger.list(&path, &|_| false),
            _ => self.ledger.see(&path, Sight::Kind),
        }
    }

    fn carry(&mut self, asker: &Asker, from: At, to: At, how: Moving) {
        let (from, to) = (self.real(asker, from), self.real(asker, to));
        let (Some(from), Some(to)) = (from, to) else { return };
        if from == to {
            return;
        }
        let kinds = [&from, &to].map(|path| look::kind_of(&look::glimpse(path)));
        let is_folder = kinds.map(|kind| kind == Some(FileType::Directory));
        let fails = match (how, kinds) {
            (_, [None, _]) => true,
            (Moving::Exchange, [_, there]) => there.is_none(),
            (_, [_, None]) => false,
            (Moving::Onto, _) => true,
            _ => is_folder[0] != is_folder[1] || (is_folder[1] && !look::is_empty(&to)),
        };
        let noted = [&from, &to].map(|path| self.is_change_noted(path));
        if fails {
            for (path, is_folder) in
                [&from, &to].into_iter().zip(is_folder).zip(noted).filter_map(|(it, is)| is.then_some(it))
            {
                self.ledger.see(path, Sight::Kind);
                if is_folder && how == Moving::Over {
                    self.ledger.list(path, &|_| false);
                }
            }
            return;
        }
        let mut directions = vec![(&from, &to, noted)];
        if how == Moving::Exchange {
            directions.push((&to, &from, [noted[1], noted[0]]));
        } else if how == Moving::Onto && noted[1] {
            self.ledger.see(&to, Sight::Kind);
        }
        for (from, ..) in directions.iter().filter(|(.., noted)| noted[0]) {
            self.resolver.forget_all(from);
            self.ledger.leave(from);
        }
        for (from, to, _) in directions.iter().filter(|(.., noted)| noted[1]) {
            self.resolver.forget_all(to);
            self.ledger.arrive(from, to);
        }
    }

    /// Content or attributes are changed; where.
    fn alter(&mut self, asker: &Asker, at: At) -> Option<PathBuf> {
        let path = self.changed(asker, at)?;
        if self.ledger.now(&path).is_none() {
            self.ledger.see(&path, Sight::Kind);
            return None;
        }
        self.ledger.alter(&path);
        Some(path)
    }

    fn refuse_network(&mut self, how: String) {
        if self.watch.network == Network::Refused {
            self.ledger.refuse(Reason::Network(how));
        }
    }

    fn address(&self, asker: &Asker, place: u64, length: u64) -> Option<Address> {
        let mut bytes = [0; LONGEST_ADDRESS as usize];
        let bytes = &mut bytes[..length.min(LONGEST_ADDRESS) as usize];
        if place == 0 || bytes.is_empty() {
            return None;
        }
        let read = asker.tracee.read(place, bytes).ok()?;
        address(&bytes[..read]).filter(|_| asker.is_waiting())
    }

    fn connect(&mut self, asker: &Asker, place: u64, length: u64) {
        match self.address(asker, place, length) {
            None | Some(Address::Other(0)) => {}
            Some(Address::Path(text)) => {
                let at = At { folder: None, path: 0, end: End::Followed, empty: Empty::Nothing };
                let Some(path) = self.real_of(asker, &text, at) else { return };
                let is_there = look::kind_of(&look::glimpse(&path)).is_some();
                if never::is_name_service(&path) || self.ledger.is_own(&path) {
                    return;
                }
                if !self.is_passed_over(&path) {
                    self.ledger.see(&path, Sight::Kind);
                }
                if is_there {
                    self.ledger.refuse(Reason::Socket(path));
                }
            }
            Some(Address::Abstract(name)) => self.refuse_abstract(&name),
            Some(Address::Network(address)) => self.refuse_network(address.to_string()),
            Some(Address::Other(family)) => self.refuse_network(format!("an address of family {family}")),
        }
    }

    fn refuse_abstract(&mut self, name: &[u8]) {
        // As unix(7) and ss(8) show such names.
        self.ledger.refuse(Reason::Socket(OsStr::from_bytes(&[b"@", name].concat()).into()));
    }

    fn bind(&mut self, asker: &Asker, place: u64, length: u64) {
        match self.address(asker, place, length) {
            None | Some(Address::Other(_)) => {}
            Some(Address::Path(text)) => {
                let at = At { folder: None, path: 0, end: End::Kept, empty: Empty::Nothing };
                let Some(path) = self.real_of(asker, &text, at) else { return };
                if self.is_change_noted(&path) && self.ledger.now(&path).is_none() {
                    self.ledger.make(&path);
                }
            }
            // One without a name is given one by the kernel, which nobody can guess.
            Some(Address::Abstract(name)) if name.is_empty() => {}
            Some(Address::Abstract(name)) => self.refuse_abstract(&name),
            Some(Address::Network(address)) => self.refuse_network(address.to_string()),
        }
    }
}

/// Whether a modification time is set that is not now.
fn is_given(tracee: Tracee, times: Times) -> bool {
    match times {
        Times::Now => false,
        Times::Given => true,
        Times::At(place) => {
            tracee.read_words(place).is_some_and(|[_, _, _, nanoseconds]| !UTIME_SPECIAL.contains(&nanoseconds))
        }
    }
}
