//! Bytes on their way to a server and back, in the open or in secret, and how long they are waited for.

use std::io::{self, Read, Write};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::line::Line;
use crate::sys::clock;

/// How bytes travel.
pub enum Stream {
    /// As they are.
    Open(Wire),
    /// By TLS.
    Secret(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Stream {
    /// From now on nothing is waited for longer.
    pub fn wait(&mut self, wait: Wait) {
        match self {
            Stream::Open(wire) => wire.wait = wait,
            Stream::Secret(stream) => stream.sock.wait = wait,
        }
    }

    /// Whether the other side is still there, and has said nothing.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Stream::Open(wire) => wire.line.is_quiet(),
            Stream::Secret(stream) => {
                // What came with the end of the last answer is no longer in the connection.
                let is_empty =
                    stream.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() == 0);
                is_empty && stream.sock.line.is_quiet()
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Open(wire) => wire.read(buffer),
            Stream::Secret(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Open(wire) => wire.write(bytes),
            Stream::Secret(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Open(wire) => wire.flush(),
            Stream::Secret(stream) => stream.flush(),
        }
    }
}

/// How long something is waited for.
#[derive(Clone, Copy)]
pub enum Wait {
    /// So long for each piece, however many there are.
    Each(Duration),
    /// Until then for all that comes or is taken, by the clock that only goes forward, in nanoseconds.
    Until(u64),
}

impl Wait {
    /// So long from now on for all that comes or is taken.
    pub fn all(time: Duration) -> Wait {
        Wait::Until(clock::monotonic().saturating_add(clock::nanoseconds(time)))
    }

    fn left(self) -> Duration {
        match self {
            Wait::Each(time) => time,
            Wait::Until(end) => Duration::from_nanos(end.saturating_sub(clock::monotonic())),
        }
    }
}

/// A connection that is waited for so long.
pub struct Wire {
    /// The connection.
    pub line: Line,
    /// How long.
    pub wait: Wait,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.line.read(buffer, self.wait.left())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.write(bytes, self.wait.left())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
