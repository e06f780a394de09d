//! Addresses of the loopback interface. Every program of a test gets one of 127.0.0.0/8 of its own,
//! so that tests that run at the same time cannot take each other's ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that no other program of any test has, with a port that was free.
pub(crate) fn fresh() -> SocketAddr {
    with_free_port(fresh_ip().into())
}

/// An IPv4 address that no other program of any test has.
pub(crate) fn fresh_ip() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only the number matters.
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    // Neighbouring process ids are 64 addresses apart; 127.0.0.0/16 stays free for everybody else.
    let offset = (process::id().wrapping_mul(64) + n) % 0x00fd_0000;
    Ipv4Addr::from(0x7f01_0001 + offset)
}

/// The IPv6 loopback address with a port that was free.
pub(crate) fn fresh_v6() -> SocketAddr {
    with_free_port(Ipv6Addr::LOCALHOST.into())
}

fn with_free_port(ip: IpAddr) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    socket.local_addr().expect("a bound socket")
}
