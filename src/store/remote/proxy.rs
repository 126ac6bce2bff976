//! What stands between us and web servers, if the environment says that something does.

use std::net::{IpAddr, Ipv6Addr};

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use super::Failure;
use crate::model::Proxies;

/// Where containers in Amazon's clusters ask for credentials, by IPv6.
const CONTAINERS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

/// Whether a server is so near that no proxy stands before it, and nobody listens: this machine, and who tells containers their
/// credentials.
pub fn is_near(url: &str) -> bool {
    match host(url) {
        Some(Host::At(IpAddr::V4(address))) => address.is_loopback() || address.is_link_local(),
        // Amazon's address for containers is one that only their own machine has.
        Some(Host::At(IpAddr::V6(address))) => address.is_loopback() || address == CONTAINERS,
        Some(Host::Named(name)) => name == "localhost",
        None => false,
    }
}

/// The proxy by which the server of a URL is asked; none where it is asked itself.
///
/// # Errors
///
/// Where there is to be one that is not spoken to: who wants one does not want to do without.
pub fn before(url: &str, proxies: &Proxies) -> Result<Option<Proxy>, Failure> {
    let (scheme, named) = match url.starts_with("https:") {
        true => ("https", &proxies.secret),
        false => ("http", &proxies.open),
    };
    let Some(named) = named.as_deref().filter(|_| !is_near(url) && !is_excepted(url, &proxies.except)) else {
        return Ok(None);
    };
    // What is named may hold a password.
    let unspoken =
        || Failure::Unreachable(format!("its proxy, by `{scheme}_proxy` or `all_proxy`, is no http://HOST:PORT"));
    let is_spoken = |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    let proxy = Proxy::new(named).ok().filter(is_spoken).ok_or_else(unspoken)?;
    // A port that is none would be the usual one.
    let uri = proxy.uri();
    let after = uri.authority().and_then(|authority| authority.as_str().rsplit('@').next()?.strip_prefix(uri.host()?));
    match after == Some("") || uri.port_u16().is_some_and(|port| port != 0) {
        true => Ok(Some(proxy)),
        false => Err(unspoken()),
    }
}

/// A server, as a URL names it.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    At(IpAddr),
    /// In small letters, and without the dot that may end it.
    Named(String),
}

fn host(url: &str) -> Option<Host> {
    let url: Uri = url.parse().ok()?;
    let host = url.host()?;
    Some(match host.trim_matches(['[', ']']).parse() {
        Ok(address) => Host::At(address),
        Err(_) => Host::Named(host.trim_end_matches('.').to_ascii_lowercase()),
    })
}

/// Whether one of these means the server of a URL, as curl reads them: a name means all names below it, an address may be one
/// of a range, `*` is everything.
fn is_excepted(url: &str, exceptions: &[String]) -> bool {
    let Some(host) = host(url) else { return false };
    exceptions.iter().any(|exception| match &host {
        _ if exception == "*" => true,
        Host::At(address) => match exception.split_once('/') {
            Some((range, bits)) => bits.parse().is_ok_and(|bits| is_within(*address, range, bits)),
            None => exception.trim_matches(['[', ']']).parse() == Ok(*address),
        },
        Host::Named(name) => {
            let domain = exception.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
            let below = name.strip_suffix(domain.as_str()).filter(|_| !domain.is_empty());
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        }
    })
}

/// Whether the first bits of two addresses are the same.
fn is_within(address: IpAddr, range: &str, bits: u32) -> bool {
    match (address, range.trim_matches(['[', ']']).parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(range))) => 32_u32
            .checked_sub(bits)
            .is_some_and(|rest| (u32::from(address) ^ u32::from(range)).checked_shr(rest).unwrap_or_default() == 0),
        (IpAddr::V6(address), Ok(IpAddr::V6(range))) => 128_u32
            .checked_sub(bits)
            .is_some_and(|rest| (u128::from(address) ^ u128::from(range)).checked_shr(rest).unwrap_or_default() == 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_known_by_its_address_and_not_by_how_it_begins() {
        for near in [
            "http://127.0.0.1:80/path",
            "http://127.9.8.7",
            "http://localhost:1/",
            "http://LOCALHOST./",
            "http://[::1]:80/",
            "http://169.254.170.2/role",
            "http://[fd00:ec2::23]/role",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "http://127.0.0.1.example/",
            "http://localhost.example/",
            "http://localhost@cache.example/",
            "http://10.0.0.1/",
            "http://[fd00:ec2::24]/",
            "no URL",
            "",
        ] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn what_is_to_be_asked_without_a_proxy_is_known_by_whole_labels_and_addresses() {
        let is_excepted = |host: &str, exception: &str| {
            super::is_excepted(&format!("http://{host}:8080/path"), &["elsewhere".to_owned(), exception.to_owned()])
        };
        for (host, exception) in [
            ("cache.example", "cache.example"),
            ("Cache.Example", "cACHE.eXAMPLE"),
            ("cache.example", "example"),
            ("cache.example", ".example"),
            ("cache.example", "*.example"),
            ("cache.example", "example."),
            ("cache.example.", "example"),
            ("cache.example", "*"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "0.0.0.0/0"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("[fd00::1]", "fd00::1"),
            ("[fd00::1]", "[fd00::1]"),
            ("[fd00::1]", "fd00:0:0::1"),
            ("[fd00::1]", "fd00::/16"),
            ("[fd00::1]", "::/0"),
        ] {
            assert!(is_excepted(host, exception), "{host} {exception}");
        }
        for (host, exception) in [
            ("cache.example", "ache.example"),
            ("cache.example", "cache"),
            ("cache.example", "cache.*"),
            ("cache.example", "cache.exam*"),
            ("cache.example", "cache."),
            ("cache.example", "other.cache.example"),
            ("cache.example", ""),
            ("cache.example", "."),
            ("cache.example", "*."),
            ("cache.example", "0.0.0.0/0"),
            ("10.1.2.3", "1.2.3"),
            ("10.1.2.3", ".3"),
            ("10.1.2.3", "10.1.2.4"),
            ("10.1.2.3", "11.0.0.0/8"),
            ("10.1.2.3", "10.1.2.2/32"),
            ("10.1.2.3", "10.1.2.3/33"),
            ("10.1.2.3", "10.1.2.3/"),
            ("10.1.2.3", "::/0"),
            ("[fd00::1]", "fd01::/16"),
            ("[fd00::1]", "fd00::1/129"),
            ("[fd00::1]", "0.0.0.0/0"),
        ] {
            assert!(!is_excepted(host, exception), "{host} {exception}");
        }
    }

    #[test]
    fn a_proxy_is_one_that_is_spoken_to_or_an_error_that_does_not_tell_its_password() {
        let before = |url: &str, named: &str| {
            let proxies = Proxies { secret: None, open: Some(named.to_owned()), except: Vec::new() };
            super::before(url, &proxies)
        };
        for (named, host, port) in [
            ("http://proxy.example:3128", "proxy.example", 3128),
            ("proxy.example:3128", "proxy.example", 3128),
            ("http://proxy.example", "proxy.example", 80),
            ("http://proxy.example/", "proxy.example", 80),
            ("https://proxy.example", "proxy.example", 443),
            ("http://name:word@proxy.example:65535/", "proxy.example", 65535),
            ("http://[::1]:3128", "[::1]", 3128),
        ] {
            let proxy = before("http://cache.example/", named).unwrap().unwrap();
            assert_eq!((proxy.host(), proxy.port()), (host, port), "{named}");
        }
        for named in [
            "socks5://name:canary@proxy.example:1080",
            "http://name:canary@proxy.example:65536",
            "http://name:canary@proxy.example:0",
            "http://name:canary@proxy.example:port",
            "http://name:canary@",
            "no proxy, canary",
            "ftp://canary",
        ] {
            let why = before("http://cache.example/", named).unwrap_err().to_string();
            assert!(why.contains("`http_proxy`") && !why.contains("canary"), "{named}: {why}");
            assert_eq!(before("https://cache.example/", named).map(|proxy| proxy.is_some()), Ok(false));
            assert_eq!(before("http://127.0.0.1/", named).map(|proxy| proxy.is_some()), Ok(false));
        }
    }
}
