//! Objects behind a web server that takes GET and PUT: nginx, Artifactory, the gateway of a bucket.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, SendBody, Timeout};

use super::Failure;
use super::dial::{self, Deadline};
use super::engine::{Body, Engine, Patience};
use crate::sys::clock;

/// Answers that lead elsewhere are followed so often.
const REDIRECTS: u32 = 3;
/// What an answer says beside an object is not read beyond so many bytes; a connection on which more comes is not used again.
const BESIDE: u64 = 16 << 10;
/// No store is left alone for longer at its own wish.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// A web server.
pub struct Http {
    agent: Agent,
    base: String,
    deadline: Arc<Deadline>,
}

impl Http {
    /// The server with objects below `url`. Nobody is asked yet.
    pub fn new(url: &str, patience: Patience) -> Http {
        let is_secret = url.starts_with("https:");
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(is_secret)
            .max_redirects(REDIRECTS)
            .user_agent(concat!("fleche/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.answer))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall));
        if is_secret {
            config = config.tls_config(TlsConfig::builder().root_certs(roots()).build());
        }
        let deadline = Arc::new(Deadline::default());
        let agent = dial::agent(config.build(), &deadline);
        Http { agent, base: url.trim_end_matches('/').to_owned(), deadline }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }
}

/// Whom the system believes; where it names nobody, whom Mozilla does.
fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&certificates) }
}

impl Engine for Http {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        let answer = self.agent.get(self.url(name)).call().map_err(|why| failed(&why))?;
        match answer.status() {
            StatusCode::OK => Ok(Some(Box::new(answer.into_body().into_reader()))),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                finish(answer);
                Ok(None)
            }
            _ => Err(refused(&answer)),
        }
    }

    fn until(&self, end: u64) {
        self.deadline.set(end);
    }

    fn list(&self, _: &str, _: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), Failure> {
        Err(Failure::Refused("a web server cannot tell what it has".to_owned()))
    }

    fn put(&self, name: &str, body: Body) -> Result<(), Failure> {
        let request = self.agent.put(self.url(name)).content_type("application/octet-stream");
        let answer = match body {
            Body::Bytes(bytes) => request.send(bytes),
            Body::File(file) => {
                let length = file.metadata().map_err(|why| super::here(&why))?.len();
                request.header("content-length", length).send(SendBody::from_reader(file))
            }
        };
        done(answer.map_err(|why| failed(&why))?)
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let answer = self.agent.delete(self.url(name)).call().map_err(|why| failed(&why))?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                finish(answer);
                Ok(())
            }
            _ => done(answer),
        }
    }
}

fn done(answer: Response<ureq::Body>) -> Result<(), Failure> {
    match answer.status() {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
            finish(answer);
            Ok(())
        }
        _ => Err(refused(&answer)),
    }
}

/// Reads what else an answer says, so that its connection can be used once more.
fn finish(answer: Response<ureq::Body>) {
    let _ = std::io::copy(&mut answer.into_body().into_reader().take(BESIDE), &mut std::io::sink());
}

/// What an answer means that is none of those hoped for.
fn refused(answer: &Response<ureq::Body>) -> Failure {
    let status = answer.status();
    let told = format!("it answers {}", status.to_string().trim_end());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Failure::Denied(told)
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => match rest(answer) {
            Some(time) => Failure::Busy(told, time),
            None => Failure::Unreachable(told),
        },
        StatusCode::REQUEST_TIMEOUT => Failure::Unreachable(told),
        status if status.is_client_error() => Failure::Refused(told),
        _ => Failure::Unreachable(told),
    }
}

/// For how long the store asks to be left alone: so many seconds, or until a time.
fn rest(answer: &Response<ureq::Body>) -> Option<Duration> {
    let text = answer.headers().get("retry-after")?.to_str().ok()?.trim();
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTimeParser::new().parse_timestamp(text).ok()?.as_nanosecond();
            let left = until.saturating_sub(i128::from(clock::now()));
            Duration::from_nanos(u64::try_from(left).unwrap_or_default())
        }
    };
    Some(time.min(LONGEST_REST))
}

/// What kept a request from being answered.
fn failed(why: &ureq::Error) -> Failure {
    Failure::Unreachable(match why {
        ureq::Error::Timeout(Timeout::Resolve) => "nobody tells its address in time".to_owned(),
        ureq::Error::Timeout(Timeout::Connect) => "it cannot be reached in time".to_owned(),
        ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no machine of its name".to_owned(),
        ureq::Error::Io(why) => crate::error::cause(why),
        ureq::Error::RequireHttpsOnly(_) => "it leads where others could listen".to_owned(),
        why => why.to_string(),
    })
}
