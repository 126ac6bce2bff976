//! Bytes on their way to a server and back, in the open or in secret; each is waited for so long.

use std::io::{self, Read, Write};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::line::Line;

/// How bytes travel.
pub enum Stream {
    /// As they are.
    Open(Wire),
    /// By TLS.
    Secret(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Stream {
    /// What they travel on.
    pub fn wire(&self) -> &Wire {
        match self {
            Stream::Open(wire) => wire,
            Stream::Secret(stream) => &stream.sock,
        }
    }

    /// From now on nothing is waited for longer.
    pub fn wait(&mut self, time: Duration) {
        match self {
            Stream::Open(wire) => wire.time = time,
            Stream::Secret(stream) => stream.sock.time = time,
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

/// A connection that is waited for so long.
pub struct Wire {
    /// The connection.
    pub line: Line,
    /// How long the next byte is waited for.
    pub time: Duration,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.line.read(buffer, self.time)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.write(bytes, self.time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
