//! What the command reads: the caller's input, a file, or a pipe that is fed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::{Errno, pread, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Input;
use crate::sys::descriptor::{self, Watch};
use crate::sys::entry::{Standard, standard};
use crate::sys::process;

/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The command's descriptor 0 and what keeps it supplied.
pub struct Stdin<'a> {
    source: Source<'a>,
    /// What has to be pumped into the command.
    pub feed: Option<Feed<'a>>,
}

enum Source<'a> {
    Callers,
    Lent(BorrowedFd<'a>),
    Own(OwnedFd),
}

impl<'a> Stdin<'a> {
    /// Opens what `input` asks for.
    pub fn of(input: &'a Input) -> io::Result<Stdin<'a>> {
        let (source, feed) = match input {
            Input::Inherited => (Source::Callers, None),
            Input::Null => (Source::Own(open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?), None),
            Input::File(file) => (Source::Lent(file.as_fd()), None),
            Input::Feed { spooled, pending } => {
                let (reader, feed) = Feed::new(spooled.as_fd(), pending)?;
                (Source::Own(reader), Some(feed))
            }
        };
        Ok(Stdin { source, feed })
    }

    /// What is to be the command's descriptor 0; `None` for the caller's.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            Source::Callers => None,
            Source::Lent(file) => Some(*file),
            Source::Own(file) => Some(file.as_fd()),
        }
    }
}

/// A pipe into the command: first a file, then some bytes, then the rest of the caller's descriptor 0.
///
/// That rest is read only when the command has taken what came before, so that at most a pipe's worth is taken
/// from the caller that the command does not read.
pub struct Feed<'a> {
    /// The writing end; does not block.
    pipe: OwnedFd,
    stage: Stage<'a>,
    buffer: Vec<u8>,
    /// How much of `buffer` is in the pipe already.
    sent: usize,
}

#[derive(Clone, Copy)]
enum Stage<'a> {
    Spooled(BorrowedFd<'a>, u64, &'a [u8]),
    Pending(&'a [u8]),
    Caller,
    Done,
}

impl<'a> Feed<'a> {
    /// The feed and the end that the command reads.
    fn new(spooled: BorrowedFd<'a>, pending: &'a [u8]) -> io::Result<(OwnedFd, Feed<'a>)> {
        let (reader, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        let stage = Stage::Spooled(spooled, 0, pending);
        Ok((reader, Feed { pipe, stage, buffer: Vec::with_capacity(CHUNK), sent: 0 }))
    }

    /// What to wait for: the caller's descriptor 0, the pipe.
    pub fn watches(&self) -> [Watch; 2] {
        match self.stage {
            Stage::Caller if self.sent == self.buffer.len() => {
                [Watch::readable(standard(Standard::Input)), Watch::broken(self.pipe.as_fd())]
            }
            _ => [Watch::NOTHING, Watch::writable(self.pipe.as_fd())],
        }
    }

    /// Takes and gives what can be without waiting. False when the command has got everything or reads no more:
    /// the feed is to be dropped, which closes the pipe.
    pub fn turn(&mut self, happened: &[Watch]) -> io::Result<bool> {
        let [input, pipe] = happened else { return Ok(true) };
        if !input.happened() && !pipe.happened() {
            return Ok(true);
        }
        if pipe.is_broken() {
            return Ok(false);
        }
        if input.happened() {
            self.take_from_caller()?;
        }
        while self.push()? {
            match self.stage {
                Stage::Caller => return Ok(true),
                Stage::Done => return Ok(false),
                _ => self.refill()?,
            }
        }
        Ok(true)
    }

    /// Writes what is in the buffer; whether all of it went.
    fn push(&mut self) -> io::Result<bool> {
        while self.sent < self.buffer.len() {
            match write(&self.pipe, &self.buffer[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::PIPE) => {
                    self.stage = Stage::Done;
                    self.sent = self.buffer.len();
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Fills the empty buffer with what comes before the caller's descriptor 0.
    fn refill(&mut self) -> io::Result<()> {
        match self.stage {
            Stage::Spooled(file, offset, pending) => match pread(file, spare_capacity(&mut self.buffer), offset) {
                Ok(0) => self.stage = Stage::Pending(pending),
                Ok(read) => self.stage = Stage::Spooled(file, offset + read as u64, pending),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Stage::Pending([]) => self.stage = Stage::Caller,
            Stage::Pending(pending) => {
                let (now, later) = pending.split_at(pending.len().min(CHUNK));
                self.buffer.extend_from_slice(now);
                self.stage = Stage::Pending(later);
            }
            Stage::Caller | Stage::Done => {}
        }
        Ok(())
    }

    fn take_from_caller(&mut self) -> io::Result<()> {
        match read(standard(Standard::Input), spare_capacity(&mut self.buffer)) {
            Ok(0) => self.stage = Stage::Done,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Feeds from a process of its own until the command reads no more or has got everything.
    pub fn run_apart(mut self) -> io::Result<()> {
        let mut keep = vec![standard(Standard::Input).as_raw_fd(), self.pipe.as_raw_fd()];
        if let Stage::Spooled(file, ..) = self.stage {
            keep.push(file.as_raw_fd());
        }
        let work = move || {
            let mut watches = self.watches();
            while descriptor::wait(&mut watches).is_ok() && matches!(self.turn(&watches), Ok(true)) {
                watches = self.watches();
            }
        };
        process::orphan(|| process::keep_only(&mut keep), work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A file of 300,000 bytes and 100,000 more, and what the command is to read.
    fn input() -> (std::fs::File, Vec<u8>, Vec<u8>) {
        let all: Vec<u8> = (0..400_000_u32).map(|number| (number % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&all[..300_000]).unwrap();
        let pending = all[300_000..].to_vec();
        (file, pending, all)
    }

    #[test]
    fn the_spool_and_what_is_pending_come_in_order() {
        let (file, pending, all) = input();
        let (reader, mut feed) = Feed::new(file.as_fd(), &pending).unwrap();
        let mut reader = std::fs::File::from(reader);
        let mut got = Vec::new();
        while !matches!(feed.stage, Stage::Caller) || feed.sent < feed.buffer.len() {
            let mut watches = feed.watches();
            descriptor::look(&mut watches).unwrap();
            assert!(feed.turn(&watches).unwrap());
            let mut part = [0; CHUNK];
            if !feed.buffer.is_empty() {
                let read = reader.read(&mut part).unwrap();
                got.extend_from_slice(&part[..read]);
            }
        }
        drop(feed);
        reader.read_to_end(&mut got).unwrap();
        assert!(got == all);
    }

    #[test]
    fn a_command_that_reads_no_more_ends_the_feed() {
        crate::sys::signal::shield();
        let (file, pending, _) = input();
        let (reader, mut feed) = Feed::new(file.as_fd(), &pending).unwrap();
        let mut watches = feed.watches();
        descriptor::look(&mut watches).unwrap();
        assert!(feed.turn(&watches).unwrap());
        drop(reader);
        descriptor::closed(feed.pipe.as_fd());
        let mut watches = feed.watches();
        descriptor::look(&mut watches).unwrap();
        assert!(!feed.turn(&watches).unwrap());
    }

    #[test]
    fn a_command_that_reads_no_more_is_noticed_while_the_caller_is_quiet() {
        let (file, _, _) = input();
        let (reader, mut feed) = Feed::new(file.as_fd(), &[]).unwrap();
        feed.stage = Stage::Caller;
        drop(reader);
        descriptor::closed(feed.pipe.as_fd());
        let mut watches = [Watch::NOTHING, feed.watches()[1]];
        descriptor::look(&mut watches).unwrap();
        assert!(!feed.turn(&watches).unwrap());
    }
}
