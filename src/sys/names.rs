//! Addresses of machines by their names.
//!
//! Read from `/etc/hosts` and asked of the name servers in `/etc/resolv.conf`, as resolv.conf(5) tells. The C library is not
//! asked: it loads what else the system looks names up with, and a static program into which libraries of another C library
//! are loaded may crash.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use resolv_conf::Config;
use rustix::rand::{GetRandomFlags, getrandom};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::clock;

/// Where name servers listen.
const PORT: u16 = 53;
/// No answer over UDP is longer, in bytes, where none was asked for that is.
const LONGEST: usize = 512;
/// After so many nanoseconds a question is asked once more.
const AGAIN: u64 = 150_000_000;
/// Addresses of one kind are waited for so many nanoseconds when those of the other are there.
const MOMENT: u64 = 50_000_000;
/// How many name servers are asked, and endings tried: as many as the C library does.
const SERVERS: usize = 3;
const ENDINGS: usize = 6;

/// The addresses of a machine, those of IPv4 first.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] where there is no such name, [`ErrorKind::TimedOut`] where nobody says so within `time`.
pub fn addresses(host: &str, time: Duration) -> io::Result<Vec<IpAddr>> {
    // Where a file is missing nothing is said in it.
    let read = |path: &str| std::fs::read(Path::new(path)).unwrap_or_default();
    let (settings, _) = Config::parse_with_errors(&read("/etc/resolv.conf"));
    let servers = settings.get_nameservers_or_local();
    let servers = servers.iter().take(SERVERS).map(|server| SocketAddr::new(server.into(), PORT)).collect();
    let book = Book { hosts: String::from_utf8_lossy(&read("/etc/hosts")).into_owned(), settings, servers };
    book.addresses(host, time)
}

/// All that tells of names.
struct Book {
    hosts: String,
    settings: Config,
    servers: Vec<SocketAddr>,
}

/// What a name server knows.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// These are its addresses.
    Found(Vec<IpAddr>),
    /// There is none of that kind.
    None,
    /// Another one may know.
    Unknown,
}

impl Book {
    fn addresses(&self, host: &str, time: Duration) -> io::Result<Vec<IpAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let noted = self.noted(host);
        if !noted.is_empty() {
            return Ok(noted);
        }
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let end = clock::monotonic().saturating_add(clock::nanoseconds(time));
        let mut why = io::Error::from(ErrorKind::NotFound);
        for name in self.candidates(host) {
            match self.asked(&name, end) {
                Ok(found) => return Ok(found),
                Err(other) => why = other,
            }
        }
        Err(why)
    }

    /// What `/etc/hosts` says.
    fn noted(&self, host: &str) -> Vec<IpAddr> {
        let lines = self.hosts.lines().filter_map(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address: IpAddr = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        });
        ordered(lines.collect())
    }

    /// The names that it may stand for, in the order in which they are tried.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let endings = self.settings.get_last_search_or_domain().take(ENDINGS);
        let mut names: Vec<String> = endings.map(|ending| format!("{host}.{}", ending.trim_matches('.'))).collect();
        let is_whole = host.matches('.').count() >= self.settings.ndots as usize;
        names.insert(if is_whole { 0 } else { names.len() }, host.to_owned());
        names
    }

    /// What the name servers say, one after the other; each gets the half of the time that is left, and the last one all.
    fn asked(&self, name: &str, end: u64) -> io::Result<Vec<IpAddr>> {
        let mut why = io::Error::from(ErrorKind::TimedOut);
        for (number, server) in self.servers.iter().enumerate() {
            let now = clock::monotonic();
            let left = end.saturating_sub(now);
            let share = if number + 1 == self.servers.len() { left } else { left / 2 };
            match ask(server, name, now + share) {
                Ok(found) if found.is_empty() => return Err(ErrorKind::NotFound.into()),
                Ok(found) => return Ok(found),
                Err(other) => why = other,
            }
        }
        Err(why)
    }
}

/// Asks one name server for both kinds of addresses at once.
fn ask(server: &SocketAddr, name: &str, end: u64) -> io::Result<Vec<IpAddr>> {
    let socket = match server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    // From then on nobody else's answers are taken.
    socket.connect(server)?;
    let mut random = [0; 4];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let numbers = [[random[0], random[1]], [random[2], random[3]]].map(u16::from_le_bytes);
    let questions = [(TYPE::A, numbers[0]), (TYPE::AAAA, numbers[1] ^ u16::from(numbers[0] == numbers[1]))];
    for (kind, number) in questions {
        socket.send(&question(name, kind, number)?)?;
    }
    let mut answers = [const { None }; 2];
    let mut bytes = [0; LONGEST];
    let (mut end, mut again) = (end, clock::monotonic() + AGAIN);
    loop {
        let now = clock::monotonic();
        let time = match Duration::from_nanos(end.min(again).saturating_sub(now)) {
            Duration::ZERO if now >= end => break,
            Duration::ZERO => {
                // One question or answer may be lost.
                again = u64::MAX;
                for (kind, number) in questions {
                    socket.send(&question(name, kind, number)?)?;
                }
                continue;
            }
            time => time,
        };
        socket.set_read_timeout(Some(time))?;
        let length = match socket.recv(&mut bytes) {
            Ok(length) => length,
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(why) if why.kind() == ErrorKind::Interrupted => continue,
            Err(why) => return Err(why),
        };
        for (answer, (_, number)) in answers.iter_mut().zip(questions) {
            *answer = answer.take().or_else(|| answered(&bytes[..length], number));
        }
        match &answers {
            [Some(_), Some(_)] => break,
            // The others are waited for a moment (RFC 8305, 3).
            [Some(Answer::Found(_)), None] | [None, Some(Answer::Found(_))] => {
                end = end.min(clock::monotonic() + MOMENT);
            }
            _ => {}
        }
    }
    let is_unknown = answers.contains(&Some(Answer::Unknown));
    let are_known = answers.iter().all(Option::is_some) && !is_unknown;
    let found = answers.into_iter().flatten().filter_map(|answer| match answer {
        Answer::Found(addresses) => Some(addresses),
        Answer::None | Answer::Unknown => None,
    });
    match ordered(found.flatten().collect()) {
        found if !found.is_empty() || are_known => Ok(found),
        _ if is_unknown => Err(io::Error::other("the name server does not know")),
        _ => Err(ErrorKind::TimedOut.into()),
    }
}

fn question(name: &str, kind: TYPE, number: u16) -> io::Result<Vec<u8>> {
    let wrong = |why: simple_dns::SimpleDnsError| io::Error::new(ErrorKind::InvalidInput, why.to_string());
    let mut packet = Packet::new_query(number);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(wrong)?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(wrong)
}

/// What is said in an answer to the question of this number, if it is one.
fn answered(bytes: &[u8], number: u16) -> Option<Answer> {
    let packet = Packet::parse(bytes).ok().filter(|packet| packet.id() == number)?;
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let address = |data: &RData| match data {
        RData::A(found) => Some(IpAddr::V4(found.address.into())),
        RData::AAAA(found) => Some(IpAddr::V6(found.address.into())),
        _ => None,
    };
    // Whoever follows other names for it sends their addresses along.
    let found: Vec<IpAddr> = packet.answers.iter().filter_map(|record| address(&record.rdata)).collect();
    Some(match packet.rcode() {
        RCODE::NoError if !found.is_empty() => Answer::Found(found),
        // All that it says does not fit: it says nothing.
        RCODE::NoError if packet.has_flags(PacketFlag::TRUNCATION) => Answer::Unknown,
        RCODE::NoError | RCODE::NameError => Answer::None,
        _ => Answer::Unknown,
    })
}

fn ordered(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, AAAA};

    const LONG: Duration = Duration::from_secs(60);

    /// A name server that answers `count` questions: which addresses a name has, or that nobody knows.
    fn server(count: usize, says: impl Fn(&str) -> Result<Vec<IpAddr>, RCODE> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; LONGEST];
            for _ in 0..count {
                let (length, from) = socket.recv_from(&mut bytes).unwrap();
                let asked = Packet::parse(&bytes[..length]).unwrap();
                let question = asked.questions[0].clone();
                let mut answer = asked.clone().into_reply();
                match says(&question.qname.to_string()) {
                    Err(code) => *answer.rcode_mut() = code,
                    Ok(addresses) => {
                        for address in addresses {
                            let data = match address {
                                IpAddr::V4(it) => RData::A(A { address: it.into() }),
                                IpAddr::V6(it) => RData::AAAA(AAAA { address: it.into() }),
                            };
                            let is_v4 = matches!(data, RData::A(_));
                            if is_v4 == (question.qtype == TYPE::A.into()) {
                                let record = ResourceRecord::new(question.qname.clone(), CLASS::IN, 1, data);
                                answer.answers.push(record);
                            }
                        }
                    }
                }
                socket.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
            }
        });
        place
    }

    fn book(settings: &str, servers: Vec<SocketAddr>) -> Book {
        Book { hosts: String::new(), settings: Config::parse(settings).unwrap(), servers }
    }

    fn of(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_and_noted_names_ask_nobody() {
        let mut book = book("", Vec::new());
        book.hosts = "::1 two # one\n10.0.0.2\tone TWO\n# 10.0.0.3 three\nmalformed three\n".to_owned();
        let found = |host: &str| book.addresses(host, LONG).map_err(|why| why.kind());
        assert_eq!(found("10.1.2.3"), Ok(of(&["10.1.2.3"])));
        assert_eq!(found("[fe80::1]"), Ok(of(&["fe80::1"])));
        assert_eq!(found("one"), Ok(of(&["10.0.0.2"])));
        assert_eq!(found("two"), Ok(of(&["10.0.0.2", "::1"])));
        assert_eq!(found("localhost"), Ok(of(&["127.0.0.1", "::1"])));
        assert_eq!(found("three"), Err(ErrorKind::TimedOut));
    }

    #[test]
    fn names_are_asked_for_with_the_endings_that_are_configured() {
        let book = book("search a.example b.example\noptions ndots:2", Vec::new());
        assert_eq!(book.candidates("x.y"), ["x.y.a.example", "x.y.b.example", "x.y"]);
        assert_eq!(book.candidates("x.y.z"), ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]);
        assert_eq!(book.candidates("x.y."), ["x.y"]);
    }

    #[test]
    fn the_first_name_that_exists_is_the_one() {
        let place = server(4, |name| match name {
            "cache.b.example" => Ok(of(&["::2", "10.0.0.2", "10.0.0.3"])),
            _ => Err(RCODE::NameError),
        });
        let book = book("search a.example b.example", vec![place]);
        let found = book.addresses("cache", LONG).unwrap();
        assert_eq!(found[..2], of(&["10.0.0.2", "10.0.0.3"]));
    }

    #[test]
    fn a_machine_that_has_addresses_of_one_kind_is_found() {
        let place = server(4, |name| Ok(of(if name == "six" { &["::6"] } else { &["10.0.0.4"] })));
        let book = book("", vec![place]);
        assert_eq!(book.addresses("six", LONG).unwrap(), of(&["::6"]));
        assert_eq!(book.addresses("four", LONG).unwrap(), of(&["10.0.0.4"]));
    }

    #[test]
    fn another_server_is_asked_where_one_does_not_know_and_none_where_one_does() {
        let broken = server(2, |_| Err(RCODE::ServerFailure));
        let knows = server(2, |_| Ok(of(&["10.0.0.5"])));
        assert_eq!(book("", vec![broken, knows]).addresses("one", LONG).unwrap(), of(&["10.0.0.5"]));
        let says_none = server(2, |_| Err(RCODE::NameError));
        let unasked = UdpSocket::bind("127.0.0.1:0").unwrap();
        let book = book("", vec![says_none, unasked.local_addr().unwrap()]);
        assert_eq!(book.addresses("one", LONG).unwrap_err().kind(), ErrorKind::NotFound);
        unasked.set_nonblocking(true).unwrap();
        assert_eq!(unasked.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_silent_server_is_not_waited_for_longer_than_said() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let book = book("", vec![silent.local_addr().unwrap()]);
        assert_eq!(book.addresses("one", Duration::from_millis(20)).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_none() {
        let mut asked = Packet::new_query(7);
        assert_eq!(answered(&asked.build_bytes_vec().unwrap(), 7), None);
        asked.set_flags(PacketFlag::RESPONSE | PacketFlag::TRUNCATION);
        assert_eq!(answered(&asked.build_bytes_vec().unwrap(), 7), Some(Answer::Unknown));
        asked.remove_flags(PacketFlag::TRUNCATION);
        let bytes = asked.build_bytes_vec().unwrap();
        assert_eq!(answered(&bytes, 7), Some(Answer::None));
        assert_eq!(answered(&bytes, 8), None);
        assert_eq!(answered(b"no packet", 7), None);
    }
}
