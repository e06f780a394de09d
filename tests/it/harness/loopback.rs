//! Addresses of the loopback interface. Every program of a test gets its own address of
//! 127.0.0.0/8, so that tests that run at the same time cannot take each other's ports.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that no other program of any test has, and a port of it that is free.
///
/// It is not tried out: a process that another thread begins at that moment would hold the socket of
/// the trial until it runs its program, and the port with it.
pub(crate) fn fresh() -> SocketAddr {
    SocketAddr::new(fresh_ip().into(), fresh_port())
}

/// An IPv4 address that no other program of any test has.
pub(crate) fn fresh_ip() -> Ipv4Addr {
    // Neighbouring process ids are 64 addresses apart; 127.0.0.0/16 stays free for everybody else.
    let offset = (process::id().wrapping_mul(64) + next()) % 0x00fd_0000;
    Ipv4Addr::from(0x7f01_0001 + offset)
}

/// The IPv6 loopback address, which all share, with a port that is free.
pub(crate) fn fresh_v6() -> SocketAddr {
    loop {
        let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), fresh_port());
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// A port that stays free until its program binds it: it is below those that the kernel gives to
/// sockets without a port (from 32,768), which lie on every address while they are open.
fn fresh_port() -> u16 {
    let n = process::id().wrapping_mul(64) + next();
    (10_000 + n % 20_000) as u16
}

/// A number that this process has not had.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only the number matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}
