//! How web servers are reached: connections for ureq.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, RustlsConnector,
    Transport,
};
use ureq::{Agent, Error, Timeout};

use super::deadline::Deadline;
use super::line::Line;
use crate::sys::names;

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
            _ => timed(why, Timeout::Resolve),
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
    type Out = Either<In, Buffered>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // A proxy has connected already.
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let line = Line::connect(&details.addrs, *details.timeout.after, &self.0)
            .map_err(|why| timed(why, Timeout::Connect))?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Buffered { line, buffers })))
    }
}

/// A connection with the buffers that ureq works on.
#[derive(Debug)]
struct Buffered {
    line: Line,
    buffers: LazyBuffers,
}

impl Transport for Buffered {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            match self.line.write(rest, *timeout.after).map_err(|why| timed(why, timeout.reason))? {
                0 => return Err(Error::Io(ErrorKind::WriteZero.into())),
                written => rest = &rest[written..],
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let room = self.buffers.input_append_buf();
        let read = self.line.read(room, *timeout.after).map_err(|why| timed(why, timeout.reason))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.line.is_quiet()
    }
}

fn timed(why: io::Error, reason: Timeout) -> Error {
    match why.kind() {
        ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::Io(why),
    }
}
