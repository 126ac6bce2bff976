//! Connections to servers: who they are to, and how long they are waited for.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, RustlsConnector,
    Transport,
};
use ureq::{Agent, Error, Timeout};

use crate::sys::{clock, names, socket};

/// When nothing is waited for any more, however much is still to come: nanoseconds of the clock that only goes forward.
#[derive(Debug)]
pub struct Deadline {
    end: AtomicU64,
    /// Of what nobody needs.
    leftovers: AtomicU64,
}

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline { end: AtomicU64::new(u64::MAX), leftovers: AtomicU64::new(u64::MAX) }
    }
}

impl Deadline {
    /// Sets it anew, for what is under way as well.
    pub fn set(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// What comes now is waited for a moment only, until the next request.
    pub fn leftovers(&self, moment: Duration) {
        let end = clock::monotonic().saturating_add(clock::nanoseconds(moment));
        self.leftovers.store(end, Ordering::Relaxed);
    }

    /// A request begins.
    pub fn request(&self) {
        self.leftovers.store(u64::MAX, Ordering::Relaxed);
    }

    /// What is left of a time until then; none where that is over.
    fn left_of(&self, timeout: &NextTimeout) -> Result<Duration, Error> {
        let end = self.end.load(Ordering::Relaxed).min(self.leftovers.load(Ordering::Relaxed));
        let left = end.saturating_sub(clock::monotonic());
        match Duration::from_nanos(left).min(*timeout.after) {
            Duration::ZERO => Err(Error::Timeout(timeout.reason)),
            left => Ok(left),
        }
    }
}

/// A client whose names are looked up by us and whose connections wait no longer than until `deadline`.
pub fn agent(config: Config, deadline: &Arc<Deadline>) -> Agent {
    let connector = ().chain(ConnectProxyConnector::default()).chain(Dial(Arc::clone(deadline)));
    Agent::with_parts(config, connector.chain(RustlsConnector::default()), Names)
}

/// Looks names up.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let is_secret = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secret { 443 } else { 80 });
        let found = names::addresses(host, *timeout.after).map_err(|why| match why.kind() {
            ErrorKind::NotFound => Error::HostNotFound,
            ErrorKind::TimedOut => Error::Timeout(Timeout::Resolve),
            _ => Error::Io(why),
        })?;
        let mut addresses = self.empty();
        for address in found {
            // There is room for more than anybody tries.
            let _ = addresses.try_push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

/// Makes connections.
#[derive(Debug)]
struct Dial(Arc<Deadline>);

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Line>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // A proxy has connected already.
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let end = clock::monotonic().saturating_add(clock::nanoseconds(self.0.left_of(&details.timeout)?));
        let mut last = Error::HostNotFound;
        for (number, address) in details.addrs.iter().enumerate() {
            let left = Duration::from_nanos(end.saturating_sub(clock::monotonic()));
            // One that does not answer leaves time for the next.
            let share = if number + 1 == details.addrs.len() { left } else { left / 2 };
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    socket::acknowledge_quickly(&stream);
                    let config = details.config;
                    let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
                    return Ok(Some(Either::B(Line { stream, buffers, deadline: Arc::clone(&self.0) })));
                }
                Err(why) if why.kind() == ErrorKind::TimedOut => last = Error::Timeout(Timeout::Connect),
                Err(why) => last = Error::Io(why),
            }
        }
        Err(last)
    }
}

/// A connection.
struct Line {
    stream: TcpStream,
    buffers: LazyBuffers,
    deadline: Arc<Deadline>,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(self.deadline.left_of(&timeout)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(Error::Io(ErrorKind::WriteZero.into())),
                Ok(written) => rest = &rest[written..],
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(timed(why, &timeout)),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let read = loop {
            self.stream.set_read_timeout(Some(self.deadline.left_of(&timeout)?))?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|why| timed(why, &timeout))?,
            }
        };
        // The kernel falls back to waiting by itself.
        socket::acknowledge_quickly(&self.stream);
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // What comes without having been asked for belongs to nothing.
        let is_quiet = self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(|why| why.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && is_quiet
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("stream", &self.stream).finish_non_exhaustive()
    }
}

fn timed(why: std::io::Error, timeout: &NextTimeout) -> Error {
    match why.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(why),
    }
}
