//! A socket that takes nothing and counts everything: the kernel counts what a filter refuses as
//! dropped.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, SockFilter, Socket, Type};

pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, NOTHING)])?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// As many bytes of the datagram as the socket gets.
const NOTHING: u32 = 0;
