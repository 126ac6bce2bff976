//! Servers that listen on loopback as long as a test needs them, and what can stand in the way to one.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::net;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::world::eventually;

/// A web server that keeps what is put there as files in a folder.
pub struct Nginx {
    _process: Server,
    port: u16,
    log: PathBuf,
}

impl Nginx {
    /// One for `folder`, with its own files below `place`; none where the program is missing.
    pub fn start(folder: &Path, place: &Path, settings: &str) -> Option<Nginx> {
        let root = folder.display();
        let location = format!("root {root};\ndav_methods PUT DELETE;\ncreate_full_put_path on;\n{settings}");
        Nginx::with(place, &format!("client_max_body_size 1g;\nlocation / {{\n{location}\n}}"))
    }

    /// One with these settings of its server.
    pub fn with(place: &Path, settings: &str) -> Option<Nginx> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            println!("skipped: no nginx on this machine");
            return None;
        };
        fs::create_dir_all(place).unwrap();
        let (process, port) = on_a_free_port(|port| {
            let configuration = place.join("nginx.conf");
            fs::write(&configuration, text(place, port, settings)).unwrap();
            let mut command = Command::new(program);
            command.args(["-p", place.to_str().unwrap(), "-c", configuration.to_str().unwrap()]);
            command.args(["-e", place.join("error.log").to_str().unwrap()]);
            command
        });
        Some(Nginx { _process: process, port, log: place.join("access.log") })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has written down of its answers.
    pub fn answered(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How often it was asked for something. What it has answered is written down before it answers to another one.
    pub fn asked(&self) -> usize {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        self.answered().lines().filter(|line| line.starts_with("GET ")).count()
    }

    /// Since the last time it was asked for just these, as `GET 200`. It writes down what it has answered a little later.
    #[track_caller]
    pub fn has_answered(&self, expected: &[&str]) {
        let mut text = String::new();
        eventually("the server has written down what it answered", || {
            text = self.answered();
            text.lines().count() >= expected.len()
        });
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        fs::File::options().write(true).open(&self.log).and_then(|file| file.set_len(0)).unwrap();
    }
}

/// A server that keeps what is put into its buckets as files in folders.
pub struct Buckets {
    _process: Server,
    port: u16,
}

/// Who may use its buckets.
pub const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "canary+of/a/secret")];

impl Buckets {
    /// One with a bucket for each folder in `folder`; none where the program is missing.
    pub fn start(folder: &Path) -> Option<Buckets> {
        Buckets::with(folder, &[])
    }

    /// The same, with these words more on its line.
    pub fn with(folder: &Path, more: &[&str]) -> Option<Buckets> {
        let Some(program) = on_path("s3s-fs") else {
            println!("skipped: no s3s-fs on this machine (cargo install s3s-fs --features binary)");
            return None;
        };
        let (process, port) = on_a_free_port(|port| {
            let mut command = Command::new(&program);
            command.args(["--access-key", KEYS[0].1, "--secret-key", KEYS[1].1, "--host", "127.0.0.1"]);
            command.args(["--port", &port.to_string()]).args(more).arg(folder);
            command
        });
        Some(Buckets { _process: process, port })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A server that keeps what is put there in memory.
pub struct Memory {
    /// None while it is away.
    process: Option<Server>,
    port: u16,
    command: Box<dyn Fn(u16) -> Command>,
}

impl Memory {
    /// One with these settings beside the usual ones, and its own files in `place`; none where the program is missing.
    pub fn start(place: &Path, settings: &[&str]) -> Option<Memory> {
        let Some(program) = on_path("redis-server").or_else(|| on_path("valkey-server")) else {
            println!("skipped: no redis-server on this machine");
            return None;
        };
        fs::create_dir_all(place).unwrap();
        let is_secret = settings.contains(&"--tls-cert-file");
        let (place, settings) = (place.to_owned(), settings.iter().map(|word| word.to_string()).collect::<Vec<_>>());
        let command = move |port: u16| {
            let mut command = Command::new(&program);
            command.args(["--bind", "127.0.0.1", "--save", "", "--dir", place.to_str().unwrap()]).args(&settings);
            let (open, secret) = if is_secret { (0, port) } else { (port, 0) };
            command.args(["--port", &open.to_string()]);
            if is_secret {
                command.args(["--tls-port", &secret.to_string()]);
            }
            command
        };
        let (process, port) = on_a_free_port(&command);
        Some(Memory { process: Some(process), port, command: Box::new(command) })
    }

    /// It ends, with all that it kept.
    pub fn ends(&mut self) {
        self.process = None;
    }

    /// It is there again, at the same port.
    pub fn comes_again(&mut self) {
        self.process = Some(Server::start(|| ((self.command)(self.port), vec![self.port])));
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it answers: a line, or a text.
    pub fn says(&self, words: &[&[u8]]) -> Vec<u8> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes().chain(word.iter().copied()).chain(*b"\r\n"));
        }
        stream.get_mut().write_all(&request).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Some(length) = line.strip_prefix('$').filter(|digits| !digits.starts_with('-')) else {
            return line.trim_end().as_bytes().to_vec();
        };
        let mut text = vec![0; length.trim_end().parse().unwrap()];
        stream.read_exact(&mut text).unwrap();
        text
    }

    /// How often it was asked to do this.
    pub fn has_done(&self, what: &str) -> usize {
        let counted = String::from_utf8(self.says(&[b"INFO", b"commandstats"])).unwrap();
        let line = counted.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{what}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

/// A program that is not part of the system.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&found).map(|place| place.join(name)).find(|path| path.exists())
}

/// Starts a server at a port that nobody has. Nobody keeps one free until it is taken: then another one is tried.
fn on_a_free_port(command: impl Fn(u16) -> Command) -> (Server, u16) {
    let mut port = 0;
    let server = Server::start(|| {
        port = free_port();
        (command(port), vec![port])
    });
    (server, port)
}

/// A process that ends with the test.
pub struct Server(Child);

impl Server {
    /// Starts what `command` makes, another time until one listens at the ports that it is told to: of those that nobody has,
    /// somebody may be the first to take one.
    pub fn start(mut command: impl FnMut() -> (Command, Vec<u16>)) -> Server {
        for _ in 0..20 {
            let (mut command, ports) = command();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = Server(command.spawn().unwrap());
            let mut is_up = false;
            eventually("the server listens or has ended", || {
                is_up = ports.iter().all(|port| server.listens(*port));
                is_up || server.0.try_wait().unwrap().is_some()
            });
            if is_up {
                return server;
            }
        }
        panic!("no server can be started");
    }

    /// Whether it is this process that listens at this port of loopback.
    fn listens(&self, port: u16) -> bool {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let place = format!("0100007F:{port:04X}");
        let inode = sockets.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Which is in the state `LISTEN`.
            (fields[1] == place && fields[3] == "0A").then(|| format!("socket:[{}]", fields[9]))
        });
        let Some(inode) = inode else { return false };
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", self.0.id())) else { return false };
        open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == Path::new(&inode)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(place: &Path, port: u16, settings: &str) -> String {
    let place = place.display();
    let secret = if settings.contains("ssl_certificate") { " ssl" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .join("\n");
    format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nevents {{}}\nhttp {{\n{temporary}\n\
         log_format short '$request_method $status';\nlog_format long '$connection_requests';\n\
         access_log {place}/connections.log long;\naccess_log {place}/access.log short;\n\
         server {{\nlisten 127.0.0.1:{port}{secret};\n{settings}\n}}\n}}\n"
    )
}

/// A port at which nobody listens, for now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port at which nobody listens as long as this is there.
pub struct Nobody {
    _socket: OwnedFd,
    port: u16,
}

impl Nobody {
    /// At this port, which a server has just left; 0 is any.
    pub fn at(port: u16) -> Nobody {
        Nobody::if_free(port).unwrap()
    }

    /// At this port, if nobody is there.
    pub fn if_free(port: u16) -> Option<Nobody> {
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
        let address = SocketAddr::try_from(net::getsockname(&socket).unwrap()).unwrap();
        Some(Nobody { _socket: socket, port: address.port() })
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// What a server does with an answer, or in its place.
#[derive(Clone, Debug)]
pub enum Mood {
    /// It passes it on.
    Kind,
    /// It takes connections and says nothing.
    Silent,
    /// It sends one byte a second.
    Slow,
    /// It hangs up in the middle.
    CutAtHalf,
    /// It says this in its place.
    Says(String),
    /// It says this, and goes on for ever, a byte at a time.
    Endless(String),
    /// It sends what lies under another path.
    Instead(String),
    /// It answers this to what would change something, and passes on the rest.
    SaysToWriters(String),
}

/// A server between fleche and another one.
pub struct Proxy {
    place: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// In front of the server at `port`.
    pub fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let (mood, connections) = (Arc::new(Mutex::new(Mood::Kind)), Arc::new(AtomicUsize::new(0)));
        let (shared, counter) = (Arc::clone(&mood), Arc::clone(&connections));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let mood = shared.lock().unwrap().clone();
                let ear = Arc::clone(&ear);
                thread::spawn(move || drop(serve(stream, port, &mood, &ear)));
            }
        });
        Proxy { place, mood, connections, heard }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.place)
    }

    pub fn is_now(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked for something.
    pub fn asked(&self) -> usize {
        self.heard().iter().filter(|head| head.starts_with("GET ")).count()
    }

    /// The heads of the requests that were answered.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One request, and its answer.
fn serve(mut stream: TcpStream, port: u16, mood: &Mood, heard: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        if !line.to_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    if let Mood::Silent = mood {
        // Until the other side hangs up.
        return io::copy(&mut reader, &mut io::sink()).map(drop);
    }
    if let Mood::Endless(answer) = mood {
        stream.write_all(answer.as_bytes())?;
        // Until the other side hangs up.
        loop {
            thread::park_timeout(std::time::Duration::from_millis(300));
            stream.write_all(b"1\r\nx\r\n")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let (Mood::SaysToWriters(answer), false) = (mood, head.starts_with("GET ")) {
        return stream.write_all(answer.as_bytes());
    }
    heard.lock().unwrap().push(head.clone());
    if let Mood::Says(answer) = mood {
        return stream.write_all(answer.as_bytes());
    }
    if let Mood::Instead(path) = mood {
        let (method, rest) = head.split_once(' ').unwrap();
        head = format!("{method} {path} {}", rest.split_once(' ').unwrap().1);
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match mood {
        Mood::CutAtHalf => stream.write_all(&answer[..answer.len() / 2]),
        Mood::Slow => answer.iter().try_for_each(|byte| {
            thread::park_timeout(std::time::Duration::from_secs(1));
            stream.write_all(&[*byte])
        }),
        _ => stream.write_all(&answer),
    }
}

/// What becomes of the bytes that a server sends.
#[derive(Clone, Debug)]
pub enum Passage {
    /// They get through.
    Free,
    /// None of them does.
    Shut,
    /// One a second.
    Slow,
    /// So many do, then the connection ends.
    First(usize),
    /// These do in their place, again and again if that is said, and the connection ends.
    Other(Vec<u8>, Again),
}

/// How often something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    Once,
    ForEver,
}

/// A way to a server that knows nothing of what is said on it.
pub struct Relay {
    place: SocketAddr,
    passage: Arc<Mutex<Passage>>,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    /// To the server at `port`.
    pub fn start(port: u16) -> Relay {
        Relay::by(TcpListener::bind("127.0.0.1:0").unwrap(), port)
    }

    /// From who listens there.
    pub fn by(listener: TcpListener, port: u16) -> Relay {
        let place = listener.local_addr().unwrap();
        let (passage, connections) = (Arc::new(Mutex::new(Passage::Free)), Arc::new(AtomicUsize::new(0)));
        let (shared, counter) = (Arc::clone(&passage), Arc::clone(&connections));
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let passage = shared.lock().unwrap().clone();
                thread::spawn(move || drop(relay(stream, port, &passage)));
            }
        });
        Relay { place, passage, connections }
    }

    pub fn address(&self) -> SocketAddr {
        self.place
    }

    pub fn is_now(&self, passage: Passage) {
        *self.passage.lock().unwrap() = passage;
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn relay(mut client: TcpStream, port: u16, passage: &Passage) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut asking, mut asked) = (client.try_clone()?, server.try_clone()?);
    // Both end when either side hangs up.
    let forth = thread::spawn(move || {
        let _ = io::copy(&mut asking, &mut asked);
        let _ = asked.shutdown(std::net::Shutdown::Both);
    });
    let done = match passage {
        Passage::Free => io::copy(&mut server, &mut client).map(drop),
        Passage::Shut => io::copy(&mut server, &mut io::sink()).map(drop),
        Passage::Slow => BufReader::new(&mut server).bytes().try_for_each(|byte| {
            thread::park_timeout(std::time::Duration::from_secs(1));
            client.write_all(&[byte?])
        }),
        Passage::First(most) => io::copy(&mut (&mut server).take(*most as u64), &mut client).map(drop),
        Passage::Other(bytes, again) => {
            // Not before something is asked.
            let _ = server.read(&mut [0; 1]);
            let mut said = client.write_all(bytes);
            while said.is_ok() && *again == Again::ForEver {
                thread::park_timeout(std::time::Duration::from_millis(20));
                said = client.write_all(bytes);
            }
            said
        }
    };
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
    let _ = forth.join();
    done
}

/// A proxy (`CONNECT`) that leads to one server, whatever it is asked for.
pub struct Tunnel {
    place: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// To the server at `port`, for everybody.
    pub fn start(port: u16) -> Tunnel {
        Tunnel::after(port, "")
    }

    /// The same for who says this line before.
    pub fn after(port: u16, password: &'static str) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&asked);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ear = Arc::clone(&ear);
                thread::spawn(move || drop(tunnel(stream, port, password, &ear)));
            }
        });
        Tunnel { place, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.place)
    }

    /// The port of one that is spoken to in secret, and proves who it is by this certificate.
    pub fn in_secret(&self, [certificate, key]: &[String; 2]) -> u16 {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let (config, behind) = (Arc::new(config), self.place);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                thread::spawn(move || drop(unwrapped(stream, config, behind)));
            }
        });
        port
    }

    /// Where it was to lead to since the last time it was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn tunnel(mut stream: TcpStream, port: u16, password: &str, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    asked.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    if !password.is_empty() && !head.lines().any(|line| line == password) {
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    relay(stream, port, &Passage::Free)
}

/// Passes on what a client says in secret, until either side hangs up.
fn unwrapped(client: TcpStream, config: Arc<ServerConfig>, behind: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    // One thread looks after both sides, as what is secret cannot be taken apart.
    let moment = Some(std::time::Duration::from_millis(2));
    client.set_read_timeout(moment)?;
    server.set_read_timeout(moment)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    let mut bytes = [0; 16 << 10];
    loop {
        for is_forth in [true, false] {
            let read = if is_forth { client.read(&mut bytes) } else { server.read(&mut bytes) };
            match read {
                Ok(0) => return Ok(()),
                Ok(read) if is_forth => server.write_all(&bytes[..read])?,
                Ok(read) => client.write_all(&bytes[..read])?,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
    }
}
