//! One stream on its way from the command to the caller and to a sink.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags, ioctl_fionread, pwritev2, read, write};
use rustix::pipe::{PIPE_BUF, fcntl_setpipe_size};

use crate::model::{Sink, Stream};
use crate::sys::descriptor::{self, Kind, Watch};
use crate::sys::entry::{Standard, standard};

/// As much as a pipe holds, and so as much as one read can get at first. Memory that is not read into is
/// not touched.
const SMALL: usize = 64 * 1024;
/// What the buffer grows to when reads fill it. Four times as much is no faster, and where the processor's cache
/// is shared three times as slow.
const LARGE: usize = 256 * 1024;
/// What the pipe grows to when reads fill the buffer. Not before: what a user's pipes may hold together is limited
/// (`pipe-user-pages-soft`), and past that limit all new pipes of the user are tiny.
const PIPE: usize = 512 * 1024;

/// A stream of the command's: the pipe that it comes out of, where it goes, and what is on its way.
pub struct Channel<'a> {
    stream: Stream,
    /// `None` at its end, and when nobody takes its bytes any more: then the command is told as it writes.
    source: Option<OwnedFd>,
    /// `None` if nothing is forwarded.
    target: Option<Target>,
    /// `None` once a sink cannot be used any more.
    sink: Option<&'a mut dyn Sink>,
    /// What was read last; nothing is read before the target has it all.
    chunk: Vec<u8>,
    /// How much of `chunk` the target has taken.
    sent: usize,
    /// The size of the next buffer.
    wanted: usize,
    /// Once the command has ended: how much of what it wrote is still in the pipe.
    remaining: Option<u64>,
}

/// Bytes that did not reach the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose they were.
    pub stream: Stream,
    /// What the caller's descriptor, or the pipe, said.
    pub error: Errno,
}

impl Loss {
    /// What happened, for [`Run::cut_short`](super::Run::cut_short).
    pub fn reason(&self) -> String {
        let stream = match self.stream {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        };
        if self.error == Errno::PIPE {
            return format!("the reader of {stream} left");
        }
        let text = io::Error::from(self.error).to_string();
        format!("{stream}: {}", text.split(" (os error").next().unwrap_or_default().to_lowercase())
    }

    /// Whether the bytes were lost to a fault, of which nobody but fleche knows. Where a reader left, the command
    /// might as well have written before it did.
    pub fn is_fault(&self) -> bool {
        self.error != Errno::PIPE
    }

    /// Whether a limit on file sizes was reached, of which the kernel tells by SIGXFSZ.
    pub fn is_size_limit(&self) -> bool {
        self.error == Errno::FBIG
    }
}

/// How far a stream is when the command has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// All went through.
    Nothing,
    /// Some of what the command wrote is still on its way.
    OnItsWay,
    /// All that the command wrote went through, but somebody else holds the pipe.
    LeftBehind,
}

impl<'a> Channel<'a> {
    /// From the pipe `source` to `target` and `sink`.
    pub fn new(stream: Stream, source: OwnedFd, target: Option<Target>, sink: &'a mut dyn Sink) -> Channel<'a> {
        let (chunk, sink) = (Vec::with_capacity(SMALL), Some(sink));
        Channel { stream, source: Some(source), target, sink, chunk, sent: 0, wanted: SMALL, remaining: None }
    }

    /// Which stream it is.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// What to wait for: the pipe, the target.
    pub fn watches(&self) -> [Watch; 2] {
        let Some(source) = &self.source else { return [Watch::NOTHING; 2] };
        match &self.target {
            Some(target) if self.is_pending() => [Watch::NOTHING, Watch::writable(target.descriptor)],
            Some(target) if target.tells_of_its_reader() => {
                [Watch::readable(source.as_fd()), Watch::broken(target.descriptor)]
            }
            _ => [Watch::readable(source.as_fd()), Watch::NOTHING],
        }
    }

    fn is_pending(&self) -> bool {
        self.sent < self.chunk.len()
    }

    /// Moves what can be moved without waiting; how many bytes were read.
    pub fn turn(&mut self, happened: &[Watch]) -> Result<u64, Loss> {
        let [source, target] = happened else { return Ok(0) };
        if self.is_pending() {
            if target.happened() {
                self.push()?;
            }
            return Ok(0);
        }
        // A reader that leaves while the command is quiet: as without fleche, the command learns of it when it
        // next writes.
        if target.is_broken() {
            return Err(self.lose(Errno::PIPE));
        }
        if !source.happened() {
            return Ok(0);
        }
        let read = self.take()?;
        self.push()?;
        Ok(read)
    }

    /// Reads once. There is something to read, or the end, so this does not wait.
    fn take(&mut self) -> Result<u64, Loss> {
        if !self.make_room() {
            return Err(self.lose(Errno::NOMEM));
        }
        let Some(source) = &self.source else { return Ok(0) };
        let room = self.chunk.capacity();
        let read = match read(source, spare_capacity(&mut self.chunk)) {
            Ok(0) => {
                self.source = None;
                return Ok(0);
            }
            Ok(read) => read,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(0),
            Err(error) => return Err(self.lose(error)),
        };
        if read == room && self.wanted < LARGE && self.sink.is_some() {
            // Refused where the limit is reached: then it stays as it is.
            let _ = fcntl_setpipe_size(source, PIPE);
            self.wanted = LARGE;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(read as u64);
        }
        Ok(read as u64)
    }

    /// Makes the empty buffer as large as it should be, or leaves it as it is where memory is short; false if
    /// there is none at all.
    fn make_room(&mut self) -> bool {
        if self.chunk.capacity() < self.wanted {
            let mut larger = Vec::new();
            if larger.try_reserve_exact(self.wanted).is_ok() {
                self.chunk = larger;
            }
        }
        self.chunk.capacity() > 0 || self.chunk.try_reserve_exact(PIPE_BUF).is_ok()
    }

    /// Writes what was read to the target and, when that has all, hands it to the sink.
    fn push(&mut self) -> Result<(), Loss> {
        let Some(target) = &mut self.target else {
            self.sent = self.chunk.len();
            self.hand_over();
            return Ok(());
        };
        while self.sent < self.chunk.len() {
            match target.write(&self.chunk[self.sent..]) {
                Ok(0) => return Err(self.lose(Errno::IO)),
                Ok(written) => self.sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(self.lose(error)),
            }
        }
        self.hand_over();
        Ok(())
    }

    fn hand_over(&mut self) {
        self.sent = 0;
        if let (Some(sink), false) = (&mut self.sink, self.chunk.is_empty()) {
            self.chunk = sink.accept(mem::take(&mut self.chunk));
        }
        self.chunk.clear();
    }

    /// Gives the stream up. Its pipe is to be closed when what else the command must be told has been told.
    fn lose(&mut self, error: Errno) -> Loss {
        self.chunk.clear();
        self.sent = 0;
        Loss { stream: self.stream, error }
    }

    /// Closes the pipe, which tells the command as the caller's closed pipe would.
    pub fn close(&mut self) {
        self.source = None;
    }

    /// To be called once, when the command has ended: what is in the pipe now is the last that it wrote.
    /// (Others may write on for ever.)
    pub fn command_ended(&mut self) {
        self.remaining = Some(self.source.as_ref().map_or(0, |source| ioctl_fionread(source).unwrap_or(0)));
    }

    /// How far the stream is, when the command has ended.
    pub fn rest(&self) -> Rest {
        if self.is_pending() {
            return Rest::OnItsWay;
        }
        let Some(source) = &self.source else { return Rest::Nothing };
        if self.remaining != Some(0) {
            return Rest::OnItsWay;
        }
        let mut watch = [Watch::readable(source.as_fd())];
        match descriptor::look(&mut watch) {
            Err(_) => Rest::OnItsWay,
            Ok(()) if !watch[0].is_hung_up() => Rest::LeftBehind,
            // Somebody else wrote and is gone: that much can still be had.
            Ok(()) if watch[0].has_input() => Rest::OnItsWay,
            Ok(()) => Rest::Nothing,
        }
    }

    /// Lets go of the sink, and of the need for memory, because another process goes on with this stream.
    pub fn forsake_sink(&mut self) {
        self.sink = None;
        self.wanted = 0;
        let _ = self.chunk.try_reserve_exact(SMALL);
    }

    /// Whether there is nothing more to do.
    pub fn is_done(&self) -> bool {
        self.source.is_none()
    }

    /// The descriptors that going on with this stream takes.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let target = self.target.as_ref().map(|target| target.descriptor.as_raw_fd());
        self.source.as_ref().map(AsRawFd::as_raw_fd).into_iter().chain(target)
    }
}

/// A descriptor of the caller's, and how to write to it without ever waiting for its reader: while one stream's
/// reader dozes, the other stream and the signals must go on.
pub struct Target {
    descriptor: BorrowedFd<'static>,
    manner: Manner,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It takes bytes at once or fails.
    Plain,
    /// `RWF_NOWAIT`: for pipes since Linux 6.4, for sockets since 4.14.
    NoWait,
    /// So much that a pipe with room takes it without waiting, when poll says that there is room.
    Careful,
}

impl Target {
    /// The caller's standard descriptor.
    pub fn of(number: Standard) -> Target {
        Target::new(standard(number))
    }

    fn new(descriptor: BorrowedFd<'static>) -> Target {
        let kind = descriptor::kind(descriptor.as_raw_fd());
        let manner = match kind {
            Kind::Pipe | Kind::Socket => Manner::NoWait,
            Kind::Terminal | Kind::Device => Manner::Careful,
            _ => Manner::Plain,
        };
        Target { descriptor, manner, kind }
    }

    /// To wait until it takes bytes.
    pub fn watch(&self) -> Watch {
        Watch::writable(self.descriptor)
    }

    /// Whether poll tells when its reader leaves. A terminal's does not leave: it hangs up, of which the command
    /// learns by SIGHUP.
    fn tells_of_its_reader(&self) -> bool {
        matches!(self.kind, Kind::Pipe | Kind::Socket)
    }

    /// Writes some of `bytes`; `AGAIN` if that would mean to wait.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.manner == Manner::NoWait {
            match pwritev2(self.descriptor, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.manner = Manner::Careful,
                answer => return answer,
            }
        }
        if self.manner == Manner::Careful {
            let mut watch = [Watch::writable(self.descriptor)];
            if descriptor::look(&mut watch).is_ok() && !watch[0].happened() {
                return Err(Errno::AGAIN);
            }
            return write(self.descriptor, &bytes[..bytes.len().min(PIPE_BUF)]);
        }
        write(self.descriptor, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeWriter, Read, Write};

    /// Keeps everything, and gives the buffer back.
    #[derive(Default)]
    struct Kept(Vec<u8>);

    impl Sink for Kept {
        fn accept(&mut self, chunk: Vec<u8>) -> Vec<u8> {
            self.0.extend_from_slice(&chunk);
            chunk
        }
    }

    fn step(channel: &mut Channel) -> Result<u64, Loss> {
        let mut watches = channel.watches();
        descriptor::look(&mut watches).unwrap();
        channel.turn(&watches)
    }

    fn pipe(sink: &mut Kept, target: Option<Target>) -> (PipeWriter, Channel<'_>) {
        crate::sys::signal::shield();
        let (reader, writer) = io::pipe().unwrap();
        (writer, Channel::new(Stream::Stdout, reader.into(), target, sink))
    }

    fn source_closed(channel: &Channel) {
        descriptor::closed(channel.source.as_ref().unwrap().as_fd());
    }

    /// A target that stays open as long as the test process.
    fn target(file: impl Into<OwnedFd>) -> Target {
        let file: &'static OwnedFd = Box::leak(Box::new(file.into()));
        Target::new(file.as_fd())
    }

    #[test]
    fn bytes_reach_the_target_at_once_and_the_sink() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut kept = Kept::default();
        let (mut command, mut channel) = pipe(&mut kept, Some(target(writer)));
        command.write_all(b"hello").unwrap();
        assert_eq!(step(&mut channel), Ok(5));
        let mut got = [0; 5];
        reader.read_exact(&mut got).unwrap();
        drop(command);
        source_closed(&channel);
        assert_eq!(step(&mut channel), Ok(0));
        assert!(channel.is_done());
        assert_eq!((&got, &kept.0[..]), (b"hello", &b"hello"[..]));
    }

    /// Fills a target that nobody reads, then reads: nothing waits, nothing is lost.
    fn a_slow_reader(manner: Manner) {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut slow = target(writer);
        slow.manner = manner;
        let mut kept = Kept::default();
        let (mut command, mut channel) = pipe(&mut kept, Some(slow));
        let all: Vec<u8> = (0..200_000_u32).map(|number| (number % 253) as u8).collect();
        let (mut given, mut got) = (0, Vec::new());
        while got.len() < all.len() {
            if given < all.len() && !channel.is_pending() {
                given += command.write(&all[given..all.len().min(given + 60_000)]).unwrap();
            }
            while step(&mut channel).unwrap() > 0 && !channel.is_pending() {}
            let mut part = [0; 10_000];
            let read = reader.read(&mut part).unwrap();
            got.extend_from_slice(&part[..read]);
        }
        assert!(got == all);
        drop(command);
        source_closed(&channel);
        step(&mut channel).unwrap();
        assert!(channel.is_done());
        drop(channel);
        assert!(kept.0 == all);
    }

    #[test]
    fn a_slow_reader_holds_the_stream_up_without_waiting() {
        a_slow_reader(Manner::NoWait);
    }

    #[test]
    fn a_slow_reader_is_waited_for_by_poll_on_old_kernels() {
        a_slow_reader(Manner::Careful);
    }

    #[test]
    fn a_reader_that_left_is_noticed_before_anything_is_written() {
        let (reader, writer) = io::pipe().unwrap();
        let mut kept = Kept::default();
        let (_command, mut channel) = pipe(&mut kept, Some(target(writer)));
        assert_eq!(step(&mut channel), Ok(0));
        drop(reader);
        descriptor::closed(channel.target.as_ref().unwrap().descriptor);
        let loss = step(&mut channel).unwrap_err();
        assert_eq!(loss.reason(), "the reader of standard output left");
        channel.close();
        assert!(channel.is_done());
    }

    #[test]
    fn a_full_device_closes_the_commands_pipe() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut kept = Kept::default();
        let (mut command, mut channel) = pipe(&mut kept, Some(target(full)));
        command.write_all(b"x").unwrap();
        let loss = step(&mut channel).unwrap_err();
        assert_eq!(loss.reason(), "standard output: no space left on device");
        channel.close();
        descriptor::closed(command.as_fd());
        assert_eq!(command.write(b"y").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn buffers_grow_only_when_reads_fill_them() {
        let mut kept = Kept::default();
        let (mut command, mut channel) = pipe(&mut kept, None);
        command.write_all(&[7; 1000]).unwrap();
        step(&mut channel).unwrap();
        assert_eq!(channel.wanted, SMALL);
        command.write_all(&[7; SMALL]).unwrap();
        step(&mut channel).unwrap();
        assert_eq!(channel.wanted, LARGE);
        drop(channel);
        assert_eq!(kept.0.len(), 1000 + SMALL);
    }

    #[test]
    fn what_others_write_after_the_end_is_told_apart() {
        let mut kept = Kept::default();
        let (mut command, mut channel) = pipe(&mut kept, None);
        command.write_all(b"last words").unwrap();
        channel.command_ended();
        assert_eq!(channel.rest(), Rest::OnItsWay);
        assert_eq!(step(&mut channel), Ok(10));
        assert_eq!(channel.rest(), Rest::LeftBehind);
        command.write_all(b"a daemon's").unwrap();
        assert_eq!(channel.rest(), Rest::LeftBehind);
        drop(command);
        source_closed(&channel);
        assert_eq!(channel.rest(), Rest::OnItsWay);
        assert_eq!(step(&mut channel), Ok(10));
        assert_eq!(channel.rest(), Rest::Nothing);
    }
}
