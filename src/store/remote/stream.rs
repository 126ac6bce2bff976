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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;
    use crate::store::remote::deadline::Deadline;

    /// A connection, and a thread that sends a byte on it again and again until the other side hangs up.
    fn trickling() -> (Wire, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sends = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let pause = Duration::from_millis(5);
            std::iter::repeat_with(|| std::thread::park_timeout(pause))
                .take_while(|()| stream.write_all(b"x").is_ok())
                .count()
        });
        let deadline = Arc::new(Deadline::default());
        let line = Line::connect(&[address], Duration::from_secs(60), &deadline).unwrap();
        (Wire { line, wait: Wait::Each(Duration::from_secs(60)) }, sends)
    }

    #[test]
    fn what_comes_byte_by_byte_is_waited_for_as_a_whole() {
        let (mut wire, sends) = trickling();
        let mut byte = [0];
        assert_eq!(wire.read(&mut byte).unwrap(), 1);
        wire.wait = Wait::all(Duration::from_millis(200));
        // Each byte alone comes soon enough.
        let ended = std::iter::repeat_with(|| wire.read(&mut byte)).take(2_000).find_map(Result::err);
        assert_eq!(ended.map(|why| why.kind()), Some(io::ErrorKind::TimedOut));
        wire.wait = Wait::Each(Duration::from_secs(60));
        assert_eq!(wire.read(&mut byte).unwrap(), 1);
        drop(wire);
        assert!(sends.join().unwrap() > 0);
    }
}
