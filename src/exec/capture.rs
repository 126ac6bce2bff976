//! Runs a command as a child, and pumps what it writes: one loop, constant memory, nothing delayed.
//!
//! The loop waits for four things: signals that reach fleche, the end of the command, bytes from it, and room
//! where they go. It never waits for one of them alone, so a reader that dozes holds up neither the other stream
//! nor a signal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::pipe::{PipeFlags, pipe_with};

use super::channel::{Channel, Rest, Target};
use super::landing::Landings;
use super::passing::{self, Surroundings};
use super::recorder::Recorder;
use super::stdin::{Feed, Stdin};
use super::trace::nested::Scope;
use super::trace::{self, Attendant};
use super::{Cut, Forward, Launch, Run, StartError};
use crate::model::{Sink, Stream, Streams, Transcript, Usage};
use crate::sys::child::{Change, Child, Ending, Status, spawn, spawn_filtered};
use crate::sys::clock;
use crate::sys::descriptor::{self, Watch};
use crate::sys::entry::{Standard, standard};
use crate::sys::image::{Image, Standards};
use crate::sys::process;
use crate::sys::signal::{self, Arrival, Held, Inbox, Origin};

/// How long a command is given to die of SIGXFSZ before its pipe is closed, in milliseconds: of two signals that wait,
/// the kernel delivers SIGPIPE first. One that handles the signal goes on and finds its pipe closed.
const TIME_TO_DIE: i64 = 100;
/// Where the user may have no more processes and threads than this, the command gets those that its watcher would need.
const FEW: u64 = 8;
/// The exit status where nobody knows the command's.
const UNKNOWN: u8 = 125;
/// The exit status of a command that succeeded, but whose output could not be written: what the command itself
/// would have said.
const LOST: u8 = 1;

/// Runs the command and keeps what it writes: standard output (both streams where they are one open file) goes to
/// `stdout`, standard error to `stderr`, and on as `forward` says. A stream that is closed stays closed. One that is a
/// file which nobody else has is the command's, and goes to no sink ([`Run::landings`]).
///
/// Signals that reach fleche meanwhile are passed on, and fleche stops and goes on with the command.
///
/// With `watch` the command and all that it starts are watched; where that cannot be it runs all the same. Must then be called
/// while fleche has one thread only.
pub fn capture(
    launch: &Launch,
    watch: Option<&trace::Watch>,
    streams: Streams,
    forward: Forward,
    stdout: &mut dyn Sink,
    stderr: &mut dyn Sink,
) -> Result<Run, StartError> {
    let image = super::lay_out(launch)?;
    let mut stdin = Stdin::of(&launch.stdin).map_err(StartError::NoProcess)?;
    signal::shield();
    let held = signal::hold();
    let inbox = Inbox::open().map_err(StartError::NoProcess)?;
    let mut landings = Landings::of(streams, forward);
    let mut pipes = Pipes::open(streams, &landings, forward, stdout, stderr).map_err(StartError::NoProcess)?;
    let (started, begun) = (clock::now(), clock::monotonic());
    let standards = [stdin.descriptor(), pipes.stdout(), pipes.stderr()];
    let sieve = watch.and_then(trace::sieve);
    let (child, watcher) = match watch.zip(sieve.as_ref()) {
        None => (spawn(&image, &standards, &held), None),
        Some((watch, sieve)) => spawn_watched(&image, &standards, &held, watch, sieve),
    };
    let child = child.map_err(StartError::NoProcess)?;
    pipes.close_ends();
    let feed = stdin.feed.take();
    // The command's end of its standard input must be the only one: the feed ends when it is closed.
    drop(stdin);

    let mut capture = Capture {
        child,
        inbox,
        feed,
        channels: pipes.channels,
        recorder: Recorder::new(begun),
        cut_short: None,
        faulty: false,
        heard: Vec::new(),
        mirrored: false,
    };
    let ending = capture.attend();
    landings.command_ended();
    let (stopped, wall) = (clock::now(), clock::monotonic().saturating_sub(begun));
    if let Some(refusal) = capture.child.refusal() {
        return Err(StartError::NotConfined(refusal));
    }
    if let Some(error) = capture.child.start_error() {
        return Err(StartError::of_execve(error));
    }
    // Before what is left is written out: a reader that dozes is not to make a process that lives on look as one that went.
    let (trace, unwatched) = match watcher {
        None => (None, watch.map(|_| "not on this machine".into())),
        Some(Ok(watcher)) => (Some(watcher.finish()), None),
        Some(Err(why)) => (None, Some(why)),
    };
    // What signals are to do to a command that has ended but is still being read, they do to fleche.
    drop(held);
    let left_behind = match ending.status {
        Some(Status::Signalled(by)) if capture.heard.contains(&by) => capture.drain_without_waiting(),
        _ => capture.drain(),
    };
    let status = capture.status(&ending);
    for (stream, length) in landings.lengths().filter(|(_, length)| *length > 0) {
        capture.recorder.note(begun.saturating_add(wall), stream, length);
    }
    let heard = std::mem::take(&mut capture.heard);
    let (cut_short, transcript) = capture.into_records();
    let Ending { user_time, system_time, peak_memory, .. } = ending;
    let usage = Usage { started, stopped, wall, user_time, system_time, peak_memory };
    Ok(Run { status, cut_short, left_behind, heard, transcript, landings, usage, trace, unwatched })
}

/// Starts the command with somebody who watches it; or, and the second answer says why, without.
fn spawn_watched<'a>(
    image: &'a Image,
    standards: &Standards,
    held: &Held,
    watch: &trace::Watch,
    sieve: &'a trace::Sieve,
) -> (io::Result<Child<'a>>, Option<Result<Attendant, String>>) {
    let input = standards[0].unwrap_or_else(|| standard(Standard::Input));
    let input = fstat(input).ok().map(|stat| (stat.st_dev, stat.st_ino));
    if let Some(scope) = Scope::open(watch, input) {
        return (spawn(image, standards, held), Some(Ok(Attendant::Outer(scope))));
    }
    if !process::has_room_for(FEW) {
        return (spawn(image, standards, held), Some(Err("the user may not have many more processes".into())));
    }
    let (child, listener) = match spawn_filtered(image, standards, held, sieve) {
        Ok(spawned) => spawned,
        Err(error) => return (Err(error), None),
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return (Ok(child), Some(Err(trace::why(&error)))),
    };
    match trace::start(listener, watch, input) {
        Ok(watcher) => (Ok(child), Some(Ok(Attendant::Own(watcher)))),
        Err(error) => {
            // It waits to become the program, and would get no answer: it is killed, and has done nothing yet.
            drop(child);
            (spawn(image, standards, held), Some(Err(error.to_string())))
        }
    }
}

/// The pipes before the command is started: its ends, and the channels that read them.
struct Pipes<'a> {
    channels: Vec<Channel<'a>>,
    ends: [Option<OwnedFd>; 2],
    same: bool,
}

impl<'a> Pipes<'a> {
    /// For the streams that are not files of the command's own.
    fn open(
        streams: Streams,
        landings: &Landings,
        forward: Forward,
        stdout: &'a mut dyn Sink,
        stderr: &'a mut dyn Sink,
    ) -> io::Result<Pipes<'a>> {
        let same = streams.same && streams.stdout && streams.stderr;
        let mut pipes = Pipes { channels: Vec::with_capacity(2), ends: [None, None], same };
        if streams.stdout && landings.at(Stream::Stdout).is_none() {
            pipes.ends[0] = Some(pipes.channel(Stream::Stdout, forward, stdout)?);
        }
        if streams.stderr && !same && landings.at(Stream::Stderr).is_none() {
            pipes.ends[1] = Some(pipes.channel(Stream::Stderr, forward, stderr)?);
        }
        Ok(pipes)
    }

    fn channel(&mut self, stream: Stream, forward: Forward, sink: &'a mut dyn Sink) -> io::Result<OwnedFd> {
        let (source, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let target = match (forward, stream) {
            (Forward::Nowhere, _) => None,
            (Forward::Caller, Stream::Stdout) => Some(Target::of(Standard::Output)),
            (Forward::Caller, Stream::Stderr) => Some(Target::of(Standard::Error)),
        };
        self.channels.push(Channel::new(stream, source, target, sink));
        Ok(end)
    }

    fn stdout(&self) -> Option<BorrowedFd<'_>> {
        self.ends[0].as_ref().map(OwnedFd::as_fd)
    }

    fn stderr(&self) -> Option<BorrowedFd<'_>> {
        match self.same {
            true => self.stdout(),
            false => self.ends[1].as_ref().map(OwnedFd::as_fd),
        }
    }

    /// Only the command holds them from now on, so that its end is theirs.
    fn close_ends(&mut self) {
        self.ends = [None, None];
    }
}

/// A command that runs.
struct Capture<'a> {
    child: Child<'a>,
    inbox: Inbox,
    feed: Option<Feed<'a>>,
    channels: Vec<Channel<'a>>,
    recorder: Recorder,
    cut_short: Option<String>,
    /// Whether bytes were lost to a fault of what the caller's descriptors lead to.
    faulty: bool,
    /// Signals that came while the command ran, other than those that it sent itself.
    heard: Vec<i32>,
    /// Whether fleche stopped because the command had, and was not told yet to go on.
    mirrored: bool,
}

/// Where in the list of what is waited for signals, the command's end, its input and its output are.
const INBOX: usize = 0;
const HANDLE: usize = 1;
const FEED: usize = 2;
const CHANNELS: usize = 4;
const WATCHES: usize = 8;

impl Capture<'_> {
    /// Pumps and passes signals on until the command has ended.
    fn attend(&mut self) -> Ending {
        loop {
            let mut watches = [Watch::NOTHING; WATCHES];
            watches[INBOX] = Watch::readable(self.inbox.as_fd());
            watches[HANDLE] = self.child.handle().map_or(Watch::NOTHING, Watch::readable);
            if let Some(feed) = &self.feed {
                watches[FEED..CHANNELS].copy_from_slice(&feed.watches());
            }
            self.wait(&mut watches);
            if watches[INBOX].happened() {
                self.hear();
            }
            self.feed(&watches[FEED..CHANNELS]);
            self.turn(&watches);
            if (watches[INBOX].happened() || watches[HANDLE].happened())
                && let Some(ending) = self.look_after()
            {
                // A signal that came before the end must not strike fleche after it.
                self.hear_out();
                return ending;
            }
        }
    }

    /// Pumps until all that the command wrote went where it goes; whether somebody else can still write.
    fn drain(&mut self) -> bool {
        self.command_ended();
        self.pump_while(|rest| rest == Rest::OnItsWay);
        let left_behind = self.any(|rest| rest == Rest::LeftBehind);
        if left_behind && self.leave_a_pump().is_err() {
            // No process to be had: better late than cutting off whoever still writes.
            self.pump_while(|rest| rest != Rest::Nothing);
        }
        left_behind
    }

    /// The same for a command that a signal from outside ended. It would have gone at once, however slow its
    /// reader, so what does not go through at once is left to a pump of its own.
    fn drain_without_waiting(&mut self) -> bool {
        self.command_ended();
        let mut watches = [Watch::NOTHING; WATCHES];
        while self.any(|rest| rest == Rest::OnItsWay) {
            self.set_watches(&mut watches);
            if descriptor::look(&mut watches).is_err() || !watches.iter().any(Watch::happened) {
                break;
            }
            self.turn(&watches);
        }
        let left_behind = self.any(|rest| rest != Rest::Nothing);
        if left_behind && self.leave_a_pump().is_err() {
            self.pump_while(|rest| rest != Rest::Nothing);
        }
        left_behind
    }

    fn command_ended(&mut self) {
        self.feed = None;
        self.channels.iter_mut().for_each(Channel::command_ended);
    }

    fn pump_while(&mut self, goes_on: impl Fn(Rest) -> bool) {
        while self.any(&goes_on) {
            let mut watches = [Watch::NOTHING; WATCHES];
            self.wait(&mut watches);
            self.turn(&watches);
        }
    }

    fn any(&self, is_so: impl Fn(Rest) -> bool) -> bool {
        self.channels.iter().any(|channel| is_so(channel.rest()))
    }

    fn wait(&self, watches: &mut [Watch; WATCHES]) {
        self.set_watches(watches);
        // Fails only for want of memory, and then as if nothing had happened: the loop tries again.
        let _ = descriptor::wait(watches);
    }

    fn set_watches(&self, watches: &mut [Watch; WATCHES]) {
        for (place, channel) in watches[CHANNELS..].chunks_exact_mut(2).zip(&self.channels) {
            place.copy_from_slice(&channel.watches());
        }
    }

    /// Gives each stream its turn.
    fn turn(&mut self, watches: &[Watch; WATCHES]) {
        for (happened, channel) in watches[CHANNELS..].chunks_exact(2).zip(&mut self.channels) {
            match channel.turn(happened) {
                Ok(0) => {}
                Ok(read) => self.recorder.note(clock::monotonic(), channel.stream(), read),
                Err(loss) => {
                    // The command is told by its closed pipe, and of a size limit as the kernel does.
                    if loss.is_size_limit() {
                        self.child.send(signal::SIGXFSZ);
                        self.child.wait_briefly(TIME_TO_DIE);
                    }
                    channel.close();
                    self.faulty |= loss.is_fault();
                    self.cut_short.get_or_insert_with(|| loss.reason());
                }
            }
        }
    }

    fn feed(&mut self, happened: &[Watch]) {
        let Some(feed) = &mut self.feed else { return };
        match feed.turn(happened) {
            Ok(true) => {}
            Ok(false) => self.feed = None,
            Err(error) => {
                self.feed = None;
                self.cut_short.get_or_insert_with(|| format!("standard input cannot be read: {error}"));
            }
        }
    }

    /// Passes on the signals that are for the command.
    fn hear(&mut self) {
        while let Some(arrival) = self.inbox.next() {
            if arrival.signal == signal::SIGCHLD {
                continue;
            }
            if arrival.signal == signal::SIGCONT && std::mem::take(&mut self.mirrored) {
                // The caller continued fleche, and with it the command unless it was told alone.
                if passing::is_stopped(self.child.id()) != Some(false) {
                    self.child.send(signal::SIGCONT);
                }
                continue;
            }
            match arrival.origin {
                _ if !self.heed(&arrival) => {}
                Origin::Queued(_, value) => self.child.send_value(arrival.signal, value),
                _ => self.child.send(arrival.signal),
            }
        }
    }

    /// Takes the signals that wait: the command is gone, but may be so by one of them.
    fn hear_out(&mut self) {
        while let Some(arrival) = self.inbox.next() {
            self.heed(&arrival);
        }
    }

    /// Remembers a signal that came from outside; whether the command must be told of it.
    fn heed(&mut self, arrival: &Arrival) -> bool {
        let must_be_told = passing::is_for_the_command(arrival, self);
        let from_outside = must_be_told || arrival.origin == Origin::Kernel;
        if from_outside && !self.heard.contains(&arrival.signal) {
            self.heard.push(arrival.signal);
        }
        must_be_told
    }

    /// Stops with the command, or tells how it ended.
    fn look_after(&mut self) -> Option<Ending> {
        loop {
            match self.child.change() {
                Ok(None) => return None,
                Ok(Some(Change::Ended(ending))) => return Some(ending),
                Ok(Some(Change::Stopped(by))) => self.stop(by),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(Ending { status: None, user_time: 0, system_time: 0, peak_memory: 0 }),
            }
        }
    }

    /// Stops as the command did, so that the caller sees its job stopped; returns when the caller continues it.
    fn stop(&mut self, by: i32) {
        // It may have been continued since, by somebody who will not continue fleche.
        if passing::is_stopped(self.child.id()) != Some(false) {
            self.mirrored = true;
            signal::stop_by(by);
        }
    }

    /// How the caller is to see the command's end; to be asked when all is drained.
    fn status(&mut self, ending: &Ending) -> Status {
        match ending.status {
            None => {
                self.cut_short.get_or_insert_with(|| "its exit status is unknown".into());
                Status::Exited(UNKNOWN)
            }
            // It believes that all was written, because it was gone when fleche found that it was not.
            Some(Status::Exited(0)) if self.faulty => Status::Exited(LOST),
            Some(status) => status,
        }
    }

    /// Why the run must not be stored, if so, and its transcript.
    fn into_records(self) -> (Option<Cut>, Transcript) {
        let faulty = self.faulty;
        let cut = |reason| if faulty { Cut::Failed(reason) } else { Cut::Harmless(reason) };
        match self.recorder.finish() {
            Some(transcript) => (self.cut_short.map(cut), transcript),
            None => (Some(cut("its streams take turns too often to be recorded".into())), Transcript::default()),
        }
    }

    /// Leaves a process that owns the caller's descriptors and copies until the last writer is gone.
    fn leave_a_pump(&mut self) -> io::Result<()> {
        self.channels.retain(|channel| !channel.is_done());
        self.channels.iter_mut().for_each(Channel::forsake_sink);
        let mut keep: Vec<_> = self.channels.iter().flat_map(Channel::descriptors).collect();
        let channels = &mut self.channels;
        let copy = || {
            while channels.iter().any(|channel| !channel.is_done()) {
                let mut watches = [Watch::NOTHING; 4];
                for (place, channel) in watches.chunks_exact_mut(2).zip(channels.iter()) {
                    place.copy_from_slice(&channel.watches());
                }
                let _ = descriptor::wait(&mut watches);
                for (happened, channel) in watches.chunks_exact(2).zip(channels.iter_mut()) {
                    if channel.turn(happened).is_err() {
                        channel.close();
                    }
                }
            }
        };
        process::orphan(|| process::keep_only(&mut keep), copy)?;
        self.channels.clear();
        Ok(())
    }
}

impl Surroundings for Capture<'_> {
    fn own(&self) -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    fn leads_session(&self) -> bool {
        rustix::process::getsid(None).is_ok_and(|leader| leader == rustix::process::getpid())
    }

    fn is_of_the_command(&self, process: i32) -> bool {
        passing::descends(process, self.child.id())
    }
}
