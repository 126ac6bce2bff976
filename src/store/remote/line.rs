//! Connections to servers that are waited for no longer than is worth it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use crate::sys::{clock, socket};

/// A connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    deadline: Arc<Deadline>,
    /// The other side has once taken nothing in time.
    is_stuck: bool,
}

impl Line {
    /// To the first of these addresses where somebody is, within `time` for all of them.
    ///
    /// # Errors
    ///
    /// Why there is nobody; [`ErrorKind::TimedOut`] where that is not known in time.
    pub fn connect(addresses: &[SocketAddr], time: Duration, deadline: &Arc<Deadline>) -> io::Result<Line> {
        let end = clock::monotonic().saturating_add(clock::nanoseconds(deadline.left_of(time)?));
        let mut last = io::Error::from(ErrorKind::NotFound);
        for (number, address) in addresses.iter().enumerate() {
            let left = Duration::from_nanos(end.saturating_sub(clock::monotonic()));
            // One that does not answer leaves time for the next.
            let share = if number + 1 == addresses.len() { left } else { left / 2 };
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    socket::acknowledge_quickly(&stream);
                    return Ok(Line { stream, deadline: Arc::clone(deadline), is_stuck: false });
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Reads what is there, or comes within `time`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] where nothing does.
    pub fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
        let read = loop {
            self.stream.set_read_timeout(Some(self.deadline.left_of(time)?))?;
            match self.stream.read(buffer) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(timed)?,
            }
        };
        // The kernel falls back to waiting by itself.
        socket::acknowledge_quickly(&self.stream);
        Ok(read)
    }

    /// Writes some of this, as much as is taken within `time`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] where nothing is, and ever after once it was waited for: what lies between may keep that to itself,
    /// and try again.
    pub fn write(&mut self, bytes: &[u8], time: Duration) -> io::Result<usize> {
        while !self.is_stuck {
            self.stream.set_write_timeout(Some(self.deadline.left_of(time)?))?;
            match self.stream.write(bytes).map_err(timed) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) if why.kind() == ErrorKind::TimedOut => self.is_stuck = true,
                written => return written,
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Whether the other side is still there, and has said nothing: what comes without having been asked for belongs to nothing.
    pub fn is_quiet(&self) -> bool {
        let is_quiet = self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(|why| why.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && is_quiet
    }
}

/// What a system says of time that is over, in one way.
fn timed(why: io::Error) -> io::Error {
    if why.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { why }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_takes_nothing_is_waited_for_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let long = Duration::from_secs(60);
        let mut line = Line::connect(&[address], long, &Arc::new(Deadline::default())).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let mut sent = 0;
        let ended = std::iter::repeat_with(|| line.write(&[0; 1 << 20], Duration::from_millis(20)))
            .take(10_000)
            .find_map(|written| written.map(|bytes| sent += bytes).err());
        assert_eq!(ended.map(|why| why.kind()), Some(ErrorKind::TimedOut));
        // It would be taken now.
        other.read_exact(&mut vec![0; sent]).unwrap();
        assert_eq!(line.write(&[0], long).unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
