//! Objects in a Redis or Valkey: memory near the machines that share it.
//!
//! Requests are packed and answers parsed by the crate `redis`; its connections are not used, for an object is read from ours
//! while it comes, as fast as it has to. One connection at a time, no transactions, no scripts, no subscriptions.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Cmd, FromRedisValue, Parser, Value, cmd, parse_redis_url, parse_redis_value};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::deadline::Deadline;
use super::engine::{Body, Engine, Listed, MOST_PAGES, Patience, endless};
use super::lent::Helper;
use super::line::Line;
use super::reply::{failed, good, parsed, strange, taken, unwelcome};
use super::stream::{Stream, Wait, Wire};
use super::{Failure, http};
use crate::error::Error;
use crate::model::{Password, Remote};
use crate::sys::{clock, names};

/// Before the names of all objects: others may use the same server.
pub const BEFORE: &str = "fleche:";
/// Where servers listen that do not say it.
const PORT: u16 = 6379;
/// No value is longer, in bytes: servers take no longer ones unless they are told to.
const LONGEST: u64 = 512 << 20;
/// No answer is longer, in bytes, that is no object.
const LONGEST_ANSWER: u64 = 4 << 20;
/// No line of an answer is longer, in bytes.
const LONGEST_LINE: u64 = 64 << 10;
/// So many names are asked for at once.
const BATCH: usize = 1000;

/// A server.
pub struct Redis {
    host: String,
    port: u16,
    is_secret: bool,
    database: u64,
    helper: Option<Helper>,
    password: Option<Password>,
    certificates: Option<PathBuf>,
    patience: Patience,
    deadline: Arc<Deadline>,
    /// The connection that nobody uses right now.
    idle: Idle,
}

type Idle = Rc<RefCell<Option<Connection>>>;

impl Redis {
    /// The server of the URL. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// Where that names none.
    pub fn new(remote: &Remote, patience: Patience, deadline: &Arc<Deadline>) -> Result<Redis, Error> {
        let wrong = |why: &str| {
            Error::usage(format!("`{}` {why}", remote.url)).hint("url = \"rediss://HOST:PORT/NUMBER-OF-THE-DATABASE\"")
        };
        let url = parse_redis_url(&remote.url).ok_or_else(|| wrong("is no URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no server"))?;
        let database = match url.path().trim_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| wrong("names no database: that is a number"))?,
        };
        Ok(Redis {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(PORT),
            is_secret: ["rediss", "valkeys"].contains(&url.scheme()),
            database,
            helper: Helper::of(remote, &remote.url, patience.programs),
            password: remote.password.clone(),
            certificates: remote.certificates.clone(),
            patience,
            deadline: Arc::clone(deadline),
            idle: Idle::default(),
        })
    }

    /// Sends a request, and before it what a new connection has to say; what is answered to that was good.
    fn ask(&self, request: &[u8]) -> Result<Connection, Failure> {
        self.ask_with(|connection| connection.write(request))
    }

    fn ask_with(&self, write: impl FnOnce(&mut Connection) -> io::Result<()>) -> Result<Connection, Failure> {
        let idle = self.idle.borrow_mut().take().and_then(Connection::if_quiet);
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        connection.wait(Wait::all(self.patience.answer));
        let sent = write(&mut connection).and_then(|()| connection.flush());
        // One that hangs up may have said why before.
        match &self.helper {
            Some(helper) => helper.heard(connection.greeted())?,
            None => connection.greeted()?,
        }
        sent.map_err(Failure::of_reading)?;
        Ok(connection)
    }

    /// A connection on which all went well that comes before a request: what changes something is not sent before that.
    fn ready(&self) -> Result<Connection, Failure> {
        self.ask_with(|_| Ok(()))
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let time = self.patience.connect;
        let unknown = |why: io::Error| match why.kind() {
            ErrorKind::NotFound => Failure::Unreachable("there is no machine of its name".to_owned()),
            ErrorKind::TimedOut => Failure::Unreachable("nobody tells its address in time".to_owned()),
            _ => Failure::of_reading(why),
        };
        let left = self.deadline.left_of(time).map_err(Failure::of_reading)?;
        let addresses = names::addresses(&self.host, left).map_err(unknown)?;
        let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        let wait = Wait::all(time);
        let line = Line::connect(&addresses, time, &self.deadline).map_err(|why| match why.kind() {
            ErrorKind::TimedOut => Failure::Unreachable("it cannot be reached in time".to_owned()),
            _ => Failure::of_reading(why),
        })?;
        let wire = Wire { line, wait };
        let stream = if self.is_secret { Stream::Secret(Box::new(self.in_secret(wire)?)) } else { Stream::Open(wire) };
        let mut connection = Connection {
            stream: BufReader::new(stream),
            patience: self.patience,
            output: Vec::new(),
            greetings: Vec::new(),
        };
        if let Some((user, password)) = self.deadline.beside(|left| self.login(left))? {
            connection.greet(Greeting::Login, cmd("AUTH").arg(user).arg(password));
        }
        if self.database != 0 {
            connection.greet(Greeting::Database, cmd("SELECT").arg(self.database));
        }
        Ok(connection)
    }

    fn in_secret(&self, mut wire: Wire) -> Result<StreamOwned<ClientConnection, Wire>, Failure> {
        let failed = |why: &dyn std::fmt::Display| Failure::Unreachable(format!("no secret connection: {why}"));
        let mut roots = RootCertStore::empty();
        let certificates = http::certificates(self.certificates.as_deref());
        roots.add_parsable_certificates(certificates.iter().map(|one| CertificateDer::from(one.der())));
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|why| failed(&why))?;
        let mut client = ClientConnection::new(Arc::new(config), name).map_err(|why| failed(&why))?;
        while client.is_handshaking() {
            client.complete_io(&mut wire).map_err(|why| match why.kind() {
                ErrorKind::TimedOut => failed(&"it does not answer in time"),
                _ => failed(&crate::error::cause(&why)),
            })?;
        }
        Ok(StreamOwned::new(client, wire))
    }

    /// Who we are: what a helper tells as it would tell a web server, or the password of whoever has no name.
    fn login(&self, left: Duration) -> Result<Option<(Option<String>, String)>, Failure> {
        let Some(helper) = &self.helper else {
            return Ok(self.password.as_ref().map(|password| (None, password.0.clone())));
        };
        let told = helper.headers(left)?;
        let login = told.1.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let login = login.and_then(|(_, value)| value.strip_prefix("Basic "));
        let login = login.and_then(|encoded| BASE64_STANDARD.decode(encoded.trim()).ok());
        let login = login.and_then(|bytes| String::from_utf8(bytes).ok());
        let login = login
            .as_deref()
            .and_then(|login| login.split_once(':'))
            .ok_or_else(|| helper.failed("it prints no header `Authorization: Basic …`"));
        let (user, password) = helper.heard(login)?;
        Ok(Some((Some(user.to_owned()).filter(|user| !user.is_empty()), password.to_owned())))
    }

    /// For the next request.
    fn keep(&self, connection: Connection) {
        self.idle.borrow_mut().replace(connection);
    }

    /// For how long nobody has used these objects.
    fn idle_times(&self, keys: &[Vec<u8>]) -> Result<Vec<Idleness>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut request = Vec::new();
        for key in keys {
            cmd("OBJECT").arg("IDLETIME").arg(key).write_packed_command(&mut request);
        }
        let mut connection = self.ask(&request)?;
        let mut times = Vec::with_capacity(keys.len());
        for _ in keys {
            let answer = parse_redis_value(&connection.line()?).map_err(|_| strange())?;
            times.push(match answer {
                Value::Nil => Idleness::Gone,
                Value::Int(seconds) => u64::try_from(seconds).map_or(Idleness::Untold, Idleness::Seconds),
                _ => Idleness::Untold,
            });
        }
        self.keep(connection);
        Ok(times)
    }
}

/// What a server tells of when an object was used last.
enum Idleness {
    /// It is not there any more.
    Gone,
    /// Nothing: it counts otherwise (`maxmemory-policy allkeys-lfu`), or we may not know.
    Untold,
    /// So long ago.
    Seconds(u64),
}

impl Engine for Redis {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        let mut connection = self.ask(&cmd("GET").arg(key(name)).get_packed_command())?;
        let line = connection.line()?;
        let length =
            line.strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok()?.trim_end().parse().ok());
        match length {
            Some(-1_i64) => {
                self.keep(connection);
                Ok(None)
            }
            Some(length) => match u64::try_from(length).ok().filter(|length| *length <= LONGEST) {
                Some(left) => {
                    Ok(Some(Box::new(Object { left, connection: Some(connection), idle: Rc::clone(&self.idle) })))
                }
                None => Err(Failure::Unreachable("it answers with too much".to_owned())),
            },
            None => Err(parsed(&line).err().unwrap_or_else(strange)),
        }
    }

    /// When an object was put there, nobody knows; when it was used last, the server does.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        let mut cursor = 0_u64;
        for _ in 0..MOST_PAGES {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{BEFORE}{prefix}*")).arg("COUNT").arg(BATCH);
            let mut connection = self.ask(&scan.get_packed_command())?;
            let answer = connection.answer_of_many()?;
            self.keep(connection);
            let (next, keys) = <(u64, Vec<Vec<u8>>)>::from_redis_value(answer).map_err(|_| strange())?;
            let now = clock::now();
            for (key, idle) in keys.iter().zip(self.idle_times(&keys)?) {
                let name = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(BEFORE));
                let name = name.filter(|name| name.starts_with(prefix));
                let Some(name) = name else { continue };
                let put = match idle {
                    Idleness::Gone => continue,
                    Idleness::Untold => None,
                    Idleness::Seconds(idle) => {
                        let age = i64::try_from(idle.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
                        Some(now.saturating_sub(age))
                    }
                };
                if each(&Listed { name, put }).is_break() {
                    return Ok(());
                }
            }
            match next {
                0 => return Ok(()),
                again if again == cursor => break,
                more => cursor = more,
            }
        }
        Err(endless())
    }

    fn put(&self, name: &str, mut body: Body) -> Result<(), Failure> {
        let length = body.length().map_err(|why| super::here(&why))?;
        if length > LONGEST {
            return Err(Failure::Refused("it takes no value that is so long".to_owned()));
        }
        let key = key(name);
        let mut connection = self.ready()?;
        connection.wait(Wait::Each(self.patience.stall));
        if let Err(why) = connection.set(&key, length, body) {
            if why.kind() != ErrorKind::TimedOut {
                // Who hangs up may have said why before.
                connection.wait(Wait::all(self.patience.answer));
                connection.line().map_or(Ok(()), |line| taken(&line).map(drop))?;
            }
            return Err(Failure::of_reading(why));
        }
        match taken(&connection.line()?)? {
            Value::Okay => self.keep(connection),
            _ => return Err(strange()),
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let mut connection = self.ready()?;
        connection.write(&cmd("UNLINK").arg(key(name)).get_packed_command()).map_err(Failure::of_reading)?;
        connection.flush().map_err(Failure::of_reading)?;
        match connection.answer()? {
            Value::Int(_) => self.keep(connection),
            _ => return Err(strange()),
        }
        Ok(())
    }
}

fn key(name: &str) -> String {
    format!("{BEFORE}{name}")
}

/// A connection, and what was not said on it yet.
struct Connection {
    stream: BufReader<Stream>,
    patience: Patience,
    output: Vec<u8>,
    /// What is to be answered with yes before what is asked.
    greetings: Vec<Greeting>,
}

/// What a new connection says first.
#[derive(Clone, Copy)]
enum Greeting {
    /// Who we are.
    Login,
    /// Which of its databases is meant.
    Database,
}

impl Connection {
    /// Says this before the first request.
    fn greet(&mut self, greeting: Greeting, request: &Cmd) {
        request.write_packed_command(&mut self.output);
        self.greetings.push(greeting);
    }

    /// Small pieces are sent together.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() < LONGEST_LINE as usize {
            self.output.extend_from_slice(bytes);
            return Ok(());
        }
        self.send()?;
        self.stream.get_mut().write_all(bytes)
    }

    fn write_all_of(&mut self, file: &mut impl Read) -> io::Result<u64> {
        self.send()?;
        io::copy(file, self.stream.get_mut())
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&std::mem::take(&mut self.output))
    }

    /// Sends what was not sent yet. From then on an answer is waited for.
    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.stream.get_mut().flush()?;
        self.wait(Wait::all(self.patience.answer));
        Ok(())
    }

    fn wait(&mut self, wait: Wait) {
        self.stream.get_mut().wait(wait);
    }

    fn greeted(&mut self) -> Result<(), Failure> {
        while let Some(greeting) = self.greetings.first().copied() {
            let answer = parse_redis_value(&self.line()?).map_err(|_| strange())?;
            match (answer, greeting) {
                (Value::Okay, _) => drop(self.greetings.remove(0)),
                (Value::ServerError(why), Greeting::Login) => return Err(unwelcome(&why)),
                (Value::ServerError(why), Greeting::Database) => return Err(failed(&why)),
                _ => return Err(strange()),
            }
        }
        Ok(())
    }

    /// Asks for this value to be kept under this key. As the crate packs it, but for the value, which it would copy.
    fn set(&mut self, key: &str, length: u64, body: Body) -> io::Result<()> {
        self.write(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${length}\r\n", key.len()).as_bytes())?;
        let copied = match body {
            Body::Bytes(bytes) => self.write(bytes).map(|()| length)?,
            Body::File(file) => self.write_all_of(&mut file.take(length))?,
        };
        if copied != length {
            return Err(io::Error::other("a file became shorter while it was sent"));
        }
        self.write(b"\r\n")?;
        self.flush()
    }

    /// A line of an answer, with its end.
    fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(Failure::of_reading)?;
        match line.ends_with(b"\r\n") {
            true => Ok(line),
            false if line.len() as u64 == LONGEST_LINE => Err(strange()),
            false => Err(Failure::Unreachable("it hangs up".to_owned())),
        }
    }

    /// An answer that is one line.
    fn answer(&mut self) -> Result<Value, Failure> {
        parsed(&self.line()?)
    }

    /// An answer of many lines, after which none comes.
    fn answer_of_many(&mut self) -> Result<Value, Failure> {
        let mut parser = Parser::new();
        let answer = parser.parse_value((&mut self.stream).take(LONGEST_ANSWER));
        let answer = answer.map_err(|why| match why.is_io_error() {
            true => Failure::Unreachable("it does not answer in time, or hangs up".to_owned()),
            false => strange(),
        })?;
        good(answer)
    }

    /// Itself, if nothing came that nobody had asked for.
    fn if_quiet(mut self) -> Option<Connection> {
        let is_quiet = self.stream.buffer().is_empty() && self.stream.get_mut().is_quiet();
        is_quiet.then_some(self)
    }
}

/// An object that comes.
struct Object {
    left: u64,
    /// Until the object is there; who has read a part of it cannot ask for anything else.
    connection: Option<Connection>,
    idle: Idle,
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut connection) = self.connection.take() else { return Ok(0) };
        connection.wait(Wait::Each(connection.patience.stall));
        let read = (&mut connection.stream).take(self.left).read(buffer)?;
        self.left -= read as u64;
        if self.left == 0 {
            let mut end = [0; 2];
            // Another end is not that of an answer: then nothing else is asked there.
            if connection.stream.read_exact(&mut end).is_ok() && end == *b"\r\n" {
                self.idle.borrow_mut().replace(connection);
            }
        } else if read > 0 || buffer.is_empty() {
            self.connection = Some(connection);
        } else {
            // Not an object that is too short: the rest of this one is there.
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "it hangs up"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::store::testing::remote;

    /// A server that gives these answers, one for each request that it reads, whatever that is, and then hangs up; what it was asked.
    fn scripted(answers: Vec<Vec<u8>>) -> (Redis, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let serve = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut asked, mut parser) = (Vec::new(), Parser::new());
            for answer in answers {
                let Ok(request) = parser.parse_value(&mut reader) else { break };
                let words = Vec::<String>::from_redis_value(request).unwrap();
                asked.push(words.join(" "));
                reader.get_mut().write_all(&answer).unwrap();
            }
            asked
        });
        let remote = Remote { url, ..remote("team", "main") };
        (Redis::new(&remote, Patience::SHORT, &Arc::default()).unwrap(), serve)
    }

    /// The names that were told, and whether with a time; else why not.
    type Told = Result<Vec<(String, bool)>, String>;

    /// What a server that gives these answers is understood to have, and what it was asked.
    fn listed(answers: Vec<Vec<u8>>) -> (Told, Vec<String>) {
        let (redis, serve) = scripted(answers);
        let mut found = Vec::new();
        let told = redis.list("v1/a/main/", &mut |listed| {
            found.push((listed.name.to_owned(), listed.put.is_some()));
            ControlFlow::Continue(())
        });
        drop(redis);
        (told.map(|()| found).map_err(|why| why.to_string()), serve.join().unwrap())
    }

    fn scan(cursor: u64, names: &[&str]) -> Vec<u8> {
        let mut answer = format!("*2\r\n${}\r\n{cursor}\r\n*{}\r\n", cursor.to_string().len(), names.len());
        names.iter().for_each(|name| answer.push_str(&format!("${}\r\n{name}\r\n", name.len())));
        answer.into_bytes()
    }

    #[test]
    fn a_server_is_asked_until_it_has_told_all_and_only_names_that_were_asked_for_are_heard() {
        let (found, asked) = listed(vec![
            scan(7, &["fleche:v1/a/main/one", "fleche:v1/a/main/two"]),
            b":5\r\n".to_vec(),
            b"-NOPERM no\r\n".to_vec(),
            scan(9, &[]),
            scan(0, &["fleche:v1/a/main/gone", "fleche:v1/b/other", "other:v1/a/main/x"]),
            b"$-1\r\n".to_vec(),
            b":1\r\n".to_vec(),
            b":1\r\n".to_vec(),
        ]);
        assert_eq!(found, Ok(vec![("v1/a/main/one".to_owned(), true), ("v1/a/main/two".to_owned(), false)]));
        let scans: Vec<&str> =
            asked.iter().filter(|words| words.starts_with("SCAN")).map(|words| &words[..7]).collect();
        assert_eq!(scans, ["SCAN 0 ", "SCAN 7 ", "SCAN 9 "]);
    }

    #[test]
    fn a_list_that_is_none_is_not_believed() {
        let deep = "*1\r\n".repeat(100_000);
        for answer in [
            "*2\r\n$1\r\n0\r\n*1000000000\r\n",
            "*2\r\n$1\r\n0\r\n*1\r\n$1000000000\r\n",
            "*2\r\n$1\r\n0\r\n*1\r\n*0\r\n",
            "*2\r\n$4\r\nmany\r\n*0\r\n",
            "*1\r\n$1\r\n0\r\n",
            "*0\r\n",
            "+OK\r\n",
            "-ERR no\r\n",
            "*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n",
            "",
            &deep,
        ] {
            let (found, _) = listed(vec![answer.as_bytes().to_vec()]);
            assert!(found.is_err(), "{answer:.40}: {found:?}");
        }
        // Nor is one that never ends waited for.
        let (found, asked) = listed(vec![scan(7, &[]), scan(7, &[]), scan(0, &[])]);
        assert_eq!((found, asked.len()), (Err("its list does not end".to_owned()), 2));
    }

    #[test]
    fn only_what_it_asked_for_last_is_taken_for_the_answer() {
        let (redis, serve) = scripted(vec![b"$3\r\none\r\n".to_vec(), b"$-1\r\n".to_vec()]);
        let mut text = String::new();
        redis.get("v1/a").unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        assert!(redis.get("v1/b").unwrap().is_none());
        assert_eq!(serve.join().unwrap(), ["GET fleche:v1/a", "GET fleche:v1/b"], "on one connection");
        // One that says more is asked nothing more.
        let (redis, serve) = scripted(vec![b"$3\r\none\r\n$3\r\ntwo\r\n".to_vec(), b"$-1\r\n".to_vec()]);
        redis.get("v1/a").unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert!(redis.get("v1/b").is_err(), "nobody takes another connection");
        assert_eq!(serve.join().unwrap(), ["GET fleche:v1/a"]);
    }
}
