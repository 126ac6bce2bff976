//! Addresses of sockets, see unix(7), ip(7) and ipv6(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sys::socket::{INET, INET6, UNIX};

/// Whom a socket talks to.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    /// The socket at this path.
    Path(Vec<u8>),
    /// A socket with a name that is no path.
    Abstract(Vec<u8>),
    /// One of the network.
    Network(SocketAddr),
    /// Something else, of this family; 0 takes an address back.
    Other(u16),
}

/// Reads an address as the kernel does.
pub fn address(bytes: &[u8]) -> Option<Address> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let port = || Some(u16::from_be_bytes(*rest.first_chunk::<2>()?));
    Some(match u16::from_ne_bytes(*family) {
        UNIX => match rest.first() {
            None | Some(0) => Address::Abstract(rest.get(1..).unwrap_or_default().to_vec()),
            Some(_) => Address::Path(rest.split(|byte| *byte == 0).next()?.to_vec()),
        },
        INET => Address::Network((IpAddr::from(Ipv4Addr::from(*rest.get(2..)?.first_chunk::<4>()?)), port()?).into()),
        INET6 => Address::Network((IpAddr::from(Ipv6Addr::from(*rest.get(6..)?.first_chunk::<16>()?)), port()?).into()),
        family => Address::Other(family),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let with = |family: u16, rest: &[u8]| address(&[&family.to_ne_bytes(), rest].concat());
        assert_eq!(with(UNIX, b"/run/x\0junk"), Some(Address::Path(b"/run/x".to_vec())));
        assert_eq!(with(UNIX, b"\0name"), Some(Address::Abstract(b"name".to_vec())));
        let inet = with(INET, &[1, 187, 127, 0, 0, 1, 0, 0]);
        assert_eq!(inet, Some(Address::Network("127.0.0.1:443".parse().unwrap())));
        assert_eq!(with(16, b"abcdef"), Some(Address::Other(16)));
        assert_eq!(address(b"x"), None);
    }
}
