//! Sockets: numbers of their families and types, as `socket(2)` takes them, and how they are to behave.

/// Sockets between processes of one machine.
pub const UNIX: u16 = libc::AF_UNIX as u16;
/// IP version 4.
pub const INET: u16 = libc::AF_INET as u16;
/// IP version 6.
pub const INET6: u16 = libc::AF_INET6 as u16;

/// Whether `socket(2)` with these arguments makes a socket that does nothing until it is connected or bound: TCP.
pub fn is_stream_of_network(domain: u64, kind: u64) -> bool {
    let kind = kind as i32 & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    [INET, INET6].map(u64::from).contains(&domain) && kind == libc::SOCK_STREAM
}

/// Has what comes acknowledged at once, for now: a store that answers in two segments may wait with the second one for that.
pub fn acknowledge_quickly(stream: &std::net::TcpStream) {
    // Only a matter of time.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}
