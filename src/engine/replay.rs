//! A hit: files, then streams in their recorded order, then the status.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;

use crate::error::cause;
use crate::exec::{Status, Target};
use crate::model::{Answer, Content, Outcome, Reason, Stream};
use crate::store::{Store, Value};
use crate::sys::clock;
use crate::sys::descriptor::{self, Watch};
use crate::sys::entry::{Standard, standard};
use crate::sys::signal;

use super::lookup::Sought;
use super::outputs::{self, Inputs, Stock, Stored};
use super::policy::{Mode, Pace, Policy};
use super::standard_input::StandardInput;
use super::{Ending, Told};

/// A stream of more bytes than this is worth a larger pipe.
const PIPE_WORTH: u64 = 256 << 10;
/// What the caller's pipe grows to, in bytes.
const PIPE: usize = 1 << 20;
/// Bytes read at a time where the kernel cannot send a file by itself.
const CHUNK: usize = 256 << 10;

/// How often outputs are restored once more where others changed them meanwhile: those who were at it before are soon done.
const ATTEMPTS: usize = 16;

/// A call whose files are in place and whose streams are open and verified.
pub struct Replay<'a> {
    outcome: &'a Outcome,
    stdout: Source,
    stderr: Source,
    pace: Pace,
    warnings: Vec<String>,
}

impl<'a> Replay<'a> {
    /// Opens and verifies every value, then restores the outputs: nothing was written to a stream yet.
    pub fn prepare(store: &Store, sought: &Sought, call: &'a Answer, policy: &Policy) -> Result<Replay<'a>, Reason> {
        let outcome = &call.outcome;
        let stdout = Source::open(store, outcome.stdout.as_ref())?;
        let stderr = Source::open(store, outcome.stderr.as_ref())?;
        let warnings = restore(store, sought, outcome, policy)?;
        if policy.mode != Mode::ReadOnly {
            store.used(&call.key, call.wall, sought.command.name());
            sought.observed.inventory().iter().for_each(|inventory| store.keep_inventory(inventory));
        }
        Ok(Replay { outcome, stdout, stderr, pace: policy.pace, warnings })
    }

    /// What the user should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Writes the streams. A caller whose descriptor takes not even the first byte gets the command
    /// itself instead, which answers that in its own way.
    pub fn carry_out(mut self, input: &StandardInput, tell: &dyn Fn(Told)) -> Result<Ending, Reason> {
        let written = Cell::new(0);
        let status = match self.write_streams(&written) {
            Ok(()) => Status::Exited(self.outcome.exit),
            Err(why) if written.get() == 0 => return Err(Reason::CutShort(cause(&why))),
            // The kernel would have ended the command by this signal.
            Err(why) if why.raw_os_error() == Some(Errno::FBIG.raw_os_error()) => Status::Signalled(signal::SIGXFSZ),
            Err(why) => {
                tell(Told::Warning(format!("cannot write the whole output: {}", cause(&why))));
                Status::Exited(1)
            }
        };
        input.consume(self.outcome.stdin_consumed);
        Ok(Ending::Status(status))
    }

    fn write_streams(&mut self, written: &Cell<u64>) -> io::Result<()> {
        let is_one_stream = self.stdout.length == 0 || self.stderr.length == 0;
        if self.pace == Pace::AtOnce && is_one_stream {
            self.stdout.send_all(Standard::Output, written)?;
            return self.stderr.send_all(Standard::Error, written);
        }
        let mut targets =
            Targets { stdout: Target::of(Standard::Output), stderr: Target::of(Standard::Error), written };
        let (mut stdout_goal, mut stderr_goal) = (0u64, 0u64);
        for chunk in self.outcome.transcript.chunks() {
            let (delay, stream, length) = chunk.map_err(|_| io::ErrorKind::InvalidData)?;
            if self.pace == Pace::Recorded {
                clock::pause(Duration::from_nanos(delay));
            }
            match stream {
                Stream::Stdout => {
                    stdout_goal = length.saturating_add(stdout_goal);
                    targets.send(Stream::Stdout, stdout_goal, &mut self.stdout, &mut self.stderr)?;
                }
                Stream::Stderr => {
                    stderr_goal = length.saturating_add(stderr_goal);
                    targets.send(Stream::Stderr, stderr_goal, &mut self.stdout, &mut self.stderr)?;
                }
            }
        }
        // A transcript never tells of less than the streams hold, but bytes outrank order.
        targets.send(Stream::Stdout, u64::MAX, &mut self.stdout, &mut self.stderr)?;
        targets.send(Stream::Stderr, u64::MAX, &mut self.stdout, &mut self.stderr)
    }
}

/// Whether a replay of `call` would succeed: every value is there and whole, and every output could be restored. Writes
/// nothing; gives what a replay would warn of.
///
/// # Errors
///
/// What a replay would fail of.
pub fn check(store: &Store, sought: &Sought, call: &Answer, policy: &Policy) -> Result<Vec<String>, Reason> {
    let outcome = &call.outcome;
    for stream in [&outcome.stdout, &outcome.stderr] {
        Source::open(store, stream.as_ref())?;
    }
    let former = sought.former(store);
    let inputs = Inputs { words: &sought.request.inputs, observations: &|| sought.observations(store) };
    let checked = outputs::check(&sought.places, &outcome.outputs, &Values(store), policy.mtime, &former, &inputs)?;
    Ok(checked.warnings)
}

/// Both of the caller's descriptors, when both get something.
struct Targets<'a> {
    stdout: Target,
    stderr: Target,
    written: &'a Cell<u64>,
}

impl Targets<'_> {
    /// Sends `stream` up to `goal` bytes from its beginning. While its reader dozes the other stream may go
    /// ahead: a reader that first wants to see that one must not wait for ever.
    fn send(&mut self, stream: Stream, goal: u64, stdout: &mut Source, stderr: &mut Source) -> io::Result<()> {
        let (source, target, other, other_target) = match stream {
            Stream::Stdout => (stdout, &mut self.stdout, stderr, &mut self.stderr),
            Stream::Stderr => (stderr, &mut self.stderr, stdout, &mut self.stdout),
        };
        while source.sent < goal.min(source.length) {
            if source.send_some(target, goal, self.written)? {
                continue;
            }
            let mut watches = [target.watch(), Watch::NOTHING];
            if other.sent < other.length {
                watches[1] = other_target.watch();
            }
            descriptor::wait(&mut watches)?;
            if !watches[0].happened() && watches[1].happened() {
                other.send_some(other_target, other.length, self.written)?;
            }
        }
        Ok(())
    }
}

fn restore(store: &Store, sought: &Sought, outcome: &Outcome, policy: &Policy) -> Result<Vec<String>, Reason> {
    if outcome.outputs.is_empty() && sought.places.is_empty() {
        return Ok(Vec::new());
    }
    let former = sought.former(store);
    let inputs = Inputs { words: &sought.request.inputs, observations: &|| sought.observations(store) };
    let attempt = || outputs::restore(&sought.places, &outcome.outputs, &Values(store), policy.mtime, &former, &inputs);
    let is_overtaken = |restored: &Result<_, Reason>| restored.as_ref().is_err_and(outputs::Fault::is_of_the_moment);
    let _claim = store.claim_to_replay(&sought.places.claimed());
    let mut restored = attempt();
    if is_overtaken(&restored) {
        // Many who replay the same call get in each other's way: from now on one comes after the other.
        let _turn = store.turn(&sought.command.digest);
        for _ in 0..ATTEMPTS {
            restored = attempt();
            if !is_overtaken(&restored) {
                break;
            }
        }
    }
    Ok(restored?.warnings)
}

/// The values of a store, as restoring wants them.
pub struct Values<'a>(pub &'a Store);

impl Stock for Values<'_> {
    fn open(&self, content: &Content) -> Result<Stored, Reason> {
        Ok(match self.0.value(content)? {
            Value::Bytes(bytes) => Stored::Bytes(bytes),
            Value::File { file, length } => Stored::File { file, length },
        })
    }
}

/// Streams of at most so many bytes are read before the first byte of them is written: a disk that fails afterwards would leave
/// the caller with half of an output, which no run of the command can mend any more. Larger ones are not held in memory.
const HELD: u64 = 1 << 20;

/// A verified stream on its way out.
struct Source {
    bytes: Bytes,
    length: u64,
    sent: u64,
}

enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

impl Source {
    fn open(store: &Store, content: Option<&Content>) -> Result<Source, Reason> {
        let Some(content) = content else {
            return Ok(Source { bytes: Bytes::Memory(Vec::new()), length: 0, sent: 0 });
        };
        let (bytes, length) = match store.value(content)? {
            Value::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (Bytes::Memory(bytes), length)
            }
            Value::File { file, length } if length <= HELD => {
                let mut bytes = vec![0; length as usize];
                let read = file.read_exact_at(&mut bytes, 0);
                read.map_err(|why| Reason::StoreUnusable(format!("cannot read a value: {}", cause(&why))))?;
                (Bytes::Memory(bytes), length)
            }
            Value::File { file, length } => (Bytes::File(file), length),
        };
        Ok(Source { bytes, length, sent: 0 })
    }

    /// Sends everything, waiting for the reader.
    fn send_all(&mut self, to: Standard, written: &Cell<u64>) -> io::Result<()> {
        let to = standard(to);
        if self.length > PIPE_WORTH {
            // Fewer changes between writer and reader. Where the user's pipes hold too much already, it stays as it is.
            let _ = fcntl_setpipe_size(to, PIPE);
        }
        while self.sent < self.length {
            let sent = match &self.bytes {
                Bytes::Memory(bytes) => rustix::io::write(to, &bytes[self.sent as usize..]),
                Bytes::File(file) => send_file(to, file, self.sent, self.length - self.sent),
            };
            if !self.account(sent, written)? {
                descriptor::wait(&mut [Watch::writable(to)])?;
            }
        }
        Ok(())
    }

    /// Sends some bytes before `goal` without waiting; false if the reader takes nothing now.
    fn send_some(&mut self, target: &mut Target, goal: u64, written: &Cell<u64>) -> io::Result<bool> {
        let end = goal.min(self.length);
        let sent = match &self.bytes {
            Bytes::Memory(bytes) => target.write(&bytes[self.sent as usize..end as usize]),
            Bytes::File(file) => {
                let mut chunk = vec![0; CHUNK.min((end - self.sent) as usize)];
                let read = rustix::io::pread(file, &mut chunk, self.sent);
                // Nothing of these bytes was written: what failed once can be tried again.
                read.or_else(|_| rustix::io::pread(file, &mut chunk, self.sent))
                    .and_then(|read| target.write(&chunk[..read]))
            }
        };
        self.account(sent, written)
    }

    /// Takes into the books what was sent; false if nothing could be.
    fn account(&mut self, sent: Result<usize, Errno>, written: &Cell<u64>) -> io::Result<bool> {
        match sent {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.sent += count as u64;
                written.set(written.get() + count as u64);
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }
}

/// Lets the kernel copy; it refuses for some descriptors, such as files opened for appending.
fn send_file(to: BorrowedFd, file: &File, offset: u64, length: u64) -> Result<usize, Errno> {
    let mut position = offset;
    match rustix::fs::sendfile(to, file, Some(&mut position), length.min(1 << 30) as usize) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            let mut chunk = vec![0; CHUNK.min(length as usize)];
            let read = rustix::io::pread(file, &mut chunk, offset)?;
            rustix::io::write(to, &chunk[..read])
        }
        sent => sent,
    }
}
