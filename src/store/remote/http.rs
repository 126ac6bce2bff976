//! Objects behind a web server that takes GET and PUT: nginx, Artifactory, the gateway of a bucket.

use std::cell::OnceCell;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, ProxyProtocol, RequestBuilder, SendBody, Timeout};

use super::Failure;
use super::deadline::Deadline;
use super::dial;
use super::engine::{Body, Engine, Listed, Patience};
use super::lent::Helper;
use super::proxy;
use crate::model::{Proxies, Remote};
use crate::sys::clock;

/// Answers that lead elsewhere are followed so often.
const REDIRECTS: u32 = 3;
/// What an answer says beside an object is not read beyond so many bytes, nor for longer than a moment; a connection on which
/// more comes is not used again.
const BESIDE: u64 = 16 << 10;
const MOMENT: Duration = Duration::from_millis(200);
/// No text is longer, in bytes, that a server answers with.
#[cfg(feature = "s3")]
const LONGEST_TEXT: u64 = 4 << 20;
/// A reason has at most so many characters.
const LONGEST_REASON: usize = 200;
/// No store is left alone for longer at its own wish.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// What buckets say, with the status 400, of a right that has ended.
const OVER: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];

/// What is sent along with a request.
pub type Headers = Vec<(String, String)>;

/// Asks web servers.
pub struct Client {
    /// Whom to believe, if not whom the system does.
    trusted: Option<PathBuf>,
    proxies: Proxies,
    patience: Patience,
    /// Made when they are needed: in the open or in secret, each without a proxy and by way of one.
    agents: [OnceCell<Agent>; 4],
    deadline: Arc<Deadline>,
}

impl Client {
    /// One that believes those servers that the file `trusted` names, else those that the system does, and waits until `deadline`.
    pub fn new(trusted: Option<&Path>, proxies: &Proxies, patience: Patience, deadline: Arc<Deadline>) -> Client {
        Client {
            trusted: trusted.map(Path::to_owned),
            proxies: proxies.clone(),
            patience,
            agents: Default::default(),
            deadline,
        }
    }

    /// One that asks as this one does, and is waited for by itself, for so long.
    #[cfg(feature = "s3")]
    pub fn another(&self, time: Duration) -> Client {
        let deadline = Arc::new(self.deadline.another(time));
        Client::new(self.trusted.as_deref(), &self.proxies, self.patience, deadline)
    }

    /// Who asks the server of a URL: only in secret, where that is so.
    fn agent(&self, url: &str) -> Result<&Agent, Failure> {
        let proxy = proxy::before(url, &self.proxies)?;
        let is_secret = url.starts_with("https:");
        // The proxy, too, may have to prove who it is.
        let proves = is_secret || proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
        let number = 2 * usize::from(is_secret) + usize::from(proxy.is_some());
        Ok(self.agents[number].get_or_init(|| {
            let patience = self.patience;
            let mut config = Agent::config_builder()
                .http_status_as_error(false)
                .https_only(is_secret)
                .max_redirects(0)
                .proxy(proxy)
                .user_agent(concat!("fleche/", env!("CARGO_PKG_VERSION")))
                .timeout_resolve(Some(patience.connect))
                .timeout_connect(Some(patience.connect))
                .timeout_send_request(Some(patience.answer))
                .timeout_recv_response(Some(patience.answer))
                .timeout_per_read(Some(patience.stall))
                .timeout_per_write(Some(patience.stall));
            if proves {
                let roots = roots(self.trusted.as_deref());
                config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
            }
            dial::agent(config.build(), &self.deadline)
        }))
    }

    /// What lies there; none where nothing does. An answer that leads elsewhere is followed a few times; `headers` are for this
    /// server alone.
    ///
    /// # Errors
    ///
    /// Why that cannot be had.
    pub fn get(&self, url: &str, headers: &Headers) -> Result<Option<Box<dyn Read>>, Failure> {
        let mut place = url.to_owned();
        for _ in 0..=REDIRECTS {
            let is_here = origin(&place) == origin(url);
            let headers = if is_here { headers } else { &Headers::new() };
            self.deadline.request();
            let answer = self.asked(with(self.agent(&place)?.get(&place), headers).call())?;
            match answer.status() {
                StatusCode::OK => return Ok(Some(Box::new(answer.into_body().into_reader()))),
                StatusCode::NOT_FOUND | StatusCode::GONE => return self.nothing(answer).map(|()| None),
                status if status.is_redirection() => place = self.elsewhere(&place, answer)?,
                _ => return Err(self.refused(answer)),
            }
        }
        Err(Failure::Unreachable("it leads from one place to the next".to_owned()))
    }

    /// Puts something there.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    pub fn put(&self, url: &str, headers: &Headers, mut body: Body) -> Result<(), Failure> {
        let length = body.length().map_err(|why| super::here(&why))?;
        self.deadline.request();
        let request = with(self.agent(url)?.put(url), headers).content_type("application/octet-stream");
        let answer = match body {
            Body::Bytes(bytes) => request.send(bytes),
            Body::File(file) => request.header("content-length", length).send(SendBody::from_reader(file)),
        };
        let answer = self.asked(answer)?;
        let status = answer.status();
        self.done(answer).map_err(|failure| match failure {
            Failure::Unreachable(why) if is_for_good(status) => Failure::Rejected(why),
            failure => failure,
        })
    }

    /// Takes away what lies there.
    ///
    /// # Errors
    ///
    /// Why that cannot be done; [`Failure::Refused`] where the server never does.
    pub fn delete(&self, url: &str, headers: &Headers) -> Result<(), Failure> {
        self.deadline.request();
        let answer = self.asked(with(self.agent(url)?.delete(url), headers).call())?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => self.nothing(answer),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Err(Failure::Refused(told(&answer))),
            _ => self.done(answer),
        }
    }

    /// A text that lies there.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    #[cfg(feature = "s3")]
    pub fn text(&self, url: &str, headers: &Headers) -> Result<String, Failure> {
        self.deadline.request();
        self.read(with(self.agent(url)?.get(url), headers).call())
    }

    /// What is answered to a form.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    #[cfg(feature = "s3")]
    pub fn form(&self, url: &str, form: &[(&str, &str)]) -> Result<String, Failure> {
        self.deadline.request();
        self.read(self.agent(url)?.post(url).send_form(form.iter().copied()))
    }

    #[cfg(feature = "s3")]
    fn read(&self, answer: Answered) -> Result<String, Failure> {
        let mut answer = self.asked(answer)?;
        match answer.status() {
            StatusCode::OK => {
                let body = answer.body_mut().with_config().limit(LONGEST_TEXT);
                body.read_to_string().map_err(|why| failed(&why))
            }
            // Who asks for just this has asked for the wrong thing.
            status => Err(match self.refused(answer) {
                Failure::Unreachable(why) if is_for_good(status) => Failure::Refused(why),
                failure => failure,
            }),
        }
    }

    fn asked(&self, answer: Answered) -> Result<Response<ureq::Body>, Failure> {
        answer.map_err(|why| failed(&why))
    }

    /// Where an answer leads.
    fn elsewhere(&self, from: &str, answer: Response<ureq::Body>) -> Result<String, Failure> {
        let place = answer.headers().get("location").and_then(|place| place.to_str().ok()).unwrap_or_default();
        let place = match (place.starts_with('/') && !place.starts_with("//"), origin(from)) {
            (true, Some(origin)) => format!("{origin}{place}"),
            _ => place.to_owned(),
        };
        let is_secret = from.starts_with("https://");
        match (place.starts_with("https://"), place.starts_with("http://")) {
            (true, _) => Ok(place),
            (_, true) if !is_secret => Ok(place),
            (_, true) => Err(Failure::Unreachable("it leads where others could listen".to_owned())),
            _ => Err(Failure::Unreachable(told(&answer))),
        }
    }

    fn done(&self, answer: Response<ureq::Body>) -> Result<(), Failure> {
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                self.finish(answer);
                Ok(())
            }
            _ => Err(self.refused(answer)),
        }
    }

    /// There is nothing, unless there is no bucket either.
    fn nothing(&self, answer: Response<ureq::Body>) -> Result<(), Failure> {
        match code(&self.finish(answer)) {
            Some("NoSuchBucket") => Err(Failure::Unreachable("there is no such bucket".to_owned())),
            _ => Ok(()),
        }
    }

    /// Reads what else an answer says, so that its connection can be used once more; but nobody waits for it.
    fn finish(&self, answer: Response<ureq::Body>) -> String {
        self.deadline.leftovers(MOMENT);
        let mut rest = Vec::new();
        let _ = answer.into_body().into_reader().take(BESIDE).read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// What an answer means that is none of those hoped for.
    fn refused(&self, answer: Response<ureq::Body>) -> Failure {
        let (status, time, mut told) = (answer.status(), pause(&answer), told(&answer));
        // As buckets put it, in XML.
        let rest = self.finish(answer);
        let code = code(&rest);
        code.iter().for_each(|code| told = format!("{told}, {code}"));
        match status {
            _ if code.is_some_and(|code| OVER.contains(&code)) => Failure::Denied(told),
            _ if code == Some("EntityTooLarge") => Failure::Refused(told),
            StatusCode::PAYLOAD_TOO_LARGE => Failure::Refused(told),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Failure::Denied(told)
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => match time {
                Some(time) => Failure::Busy(told, time),
                None => Failure::Unreachable(told),
            },
            _ => Failure::Unreachable(told),
        }
    }

    /// Does something whose time does not count: who tells who we are is not the server that is waited for. So much is left for it.
    pub fn beside<T>(&self, work: impl FnOnce(Duration) -> T) -> T {
        self.deadline.beside(work)
    }
}

/// Whether it would be answered in the same way another time, as far as the status tells.
fn is_for_good(status: StatusCode) -> bool {
    const PASSING: [StatusCode; 5] = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::CONFLICT,
        StatusCode::LOCKED,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !PASSING.contains(&status)
}

fn with<B>(request: RequestBuilder<B>, headers: &Headers) -> RequestBuilder<B> {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

type Answered = Result<Response<ureq::Body>, ureq::Error>;

/// The server of a URL, with how it is reached.
fn origin(url: &str) -> Option<&str> {
    let begin = url.find("://")? + 3;
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    Some(&url[..end])
}

fn told(answer: &Response<ureq::Body>) -> String {
    format!("it answers {}", answer.status().to_string().trim_end())
}

/// The word for what is wrong in an answer of a bucket.
fn code(body: &str) -> Option<&str> {
    within(body, "Code").filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Objects below a URL.
pub struct Http {
    client: Client,
    base: String,
    helper: Option<Helper>,
}

impl Http {
    /// The server with objects below the URL, to which a helper may tell who we are. Nobody is asked yet.
    pub fn new(remote: &Remote, patience: Patience, deadline: &Arc<Deadline>) -> Http {
        let client = Client::new(remote.certificates.as_deref(), &remote.proxies, patience, Arc::clone(deadline));
        let base = remote.url.trim_end_matches('/').to_owned();
        let helper = Helper::of(remote, &base, patience.programs);
        Http { client, base, helper }
    }

    /// What is asked of the object of this name, with what tells who we are.
    fn ask<T>(&self, name: &str, ask: impl FnOnce(&str, &Headers) -> Result<T, Failure>) -> Result<T, Failure> {
        let url = format!("{}/{name}", self.base);
        let Some(helper) = &self.helper else { return ask(&url, &Headers::new()) };
        let told = self.client.beside(|left| helper.headers(left))?;
        helper.heard(ask(&url, &told.1))
    }
}

/// Where systems keep all whom they believe in one file, which is read in a tenth of the time of a folder of them.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom `named` names, else whom the system believes.
pub fn certificates(named: Option<&Path>) -> Vec<Certificate<'static>> {
    let bundle = named.or_else(|| BUNDLES.into_iter().map(Path::new).find(|path| path.exists()));
    let found = match bundle {
        Some(bundle) => load_certs_from_paths(Some(bundle), None),
        None => load_native_certs(),
    };
    found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// The same for web servers; where that names nobody, whom Mozilla does.
fn roots(named: Option<&Path>) -> RootCerts {
    let certificates = certificates(named);
    match certificates.is_empty() && named.is_none() {
        true => RootCerts::WebPki,
        false => RootCerts::new_with_certs(&certificates),
    }
}

impl Engine for Http {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        self.ask(name, |url, headers| self.client.get(url, headers))
    }

    fn list(&self, _: &str, _: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        Err(Failure::Refused("a web server cannot tell what it has".to_owned()))
    }

    fn put(&self, name: &str, body: Body) -> Result<(), Failure> {
        self.ask(name, |url, headers| self.client.put(url, headers, body))
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.ask(name, |url, headers| self.client.delete(url, headers))
    }
}

/// What stands in an element of XML that holds no others.
pub fn within<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

/// For how long the store asks to be left alone: so many seconds, or until a time.
fn pause(answer: &Response<ureq::Body>) -> Option<Duration> {
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
pub fn failed(why: &ureq::Error) -> Failure {
    Failure::Unreachable(match why {
        ureq::Error::Timeout(Timeout::Resolve) => "nobody tells its address in time".to_owned(),
        ureq::Error::Timeout(Timeout::Connect) => "it cannot be reached in time".to_owned(),
        ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no machine of its name".to_owned(),
        ureq::Error::Io(why) => crate::error::cause(why),
        // It tells of the status in words alone.
        ureq::Error::ConnectProxyFailed(why) if why.contains(" 407") => {
            return Failure::Denied("its proxy answers 407 Proxy Authentication Required".to_owned());
        }
        ureq::Error::RequireHttpsOnly(_) => "it leads where others could listen".to_owned(),
        why => why.to_string().chars().take(LONGEST_REASON).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::store::testing::remote;

    #[test]
    fn who_tells_who_we_are_may_take_longer_than_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let helper = "sleep 2; echo '{\"headers\": {\"X-Who\": [\"we\"]}}'; :".to_owned();
        let remote = Remote { url, helper: Some(helper), ..remote("team", "main") };
        let deadline = Arc::new(Deadline::default());
        let http = Http::new(&remote, Patience::SHORT, &deadline);
        deadline.set(clock::monotonic() + 1_900_000_000);
        assert!(matches!(http.get("v1/a"), Ok(None)));
        assert!(serve.join().unwrap().to_lowercase().contains("x-who: we"));
    }
}
