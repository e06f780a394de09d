//! Opens one socket with the options that a listener's sockets need.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::sys;
use crate::limits::SEND_BUFFER_BYTES;

/// How a socket is bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Share {
    /// Fails if any other socket has the address; opens the group for the next ones.
    First,
    /// Joins the group of the first.
    Join,
}

/// Opens a socket and binds it.
pub(crate) fn open(
    address: SocketAddr,
    share: Share,
    receive_buffer_bytes: usize,
) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    }
    sys::allow_fragments(socket.as_fd(), address.is_ipv4())?;
    sys::queue_errors(socket.as_fd(), address.is_ipv4())?;
    // Try the privileged option first, which exceeds net.core.rmem_max. Without the privilege the
    // kernel grants less, and the caller asks how much.
    if sys::force_receive_buffer(socket.as_fd(), receive_buffer_bytes).is_err() {
        socket.set_recv_buffer_size(receive_buffer_bytes)?;
    }
    // Without the privilege, as much as net.core.wmem_max allows.
    if sys::force_send_buffer(socket.as_fd(), SEND_BUFFER_BYTES).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    }
    // A bind without SO_REUSEPORT fails if the address is taken, even by sockets that would share
    // it. Setting the option right after the bind lets our own further sockets in, and leaves no
    // gap in which another program could take the address.
    if share == Share::First {
        socket.bind(&SockAddr::from(address))?;
        socket.set_reuse_port(true)?;
    } else {
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(address))?;
    }
    Ok(socket)
}

/// Returns the receive buffer that the kernel granted, in the bytes that were asked for: the kernel
/// doubles the number to allow for its own bookkeeping.
pub(crate) fn receive_buffer_granted(socket: &Socket) -> io::Result<usize> {
    Ok(socket.recv_buffer_size()? / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_alone_and_opens_the_group() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let first = open(host.parse().unwrap(), Share::First, 100_000).unwrap();
            let address = first.local_addr().unwrap().as_socket().unwrap();
            let second = open(address, Share::Join, 100_000).unwrap();
            assert_eq!(second.local_addr().unwrap().as_socket(), Some(address));
            let error = open(address, Share::First, 100_000).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert_eq!(receive_buffer_granted(&first).unwrap(), 100_000);
        }
    }

    #[test]
    fn datagrams_spread_over_a_group_whose_first_member_joined_late() {
        let first = open("127.0.0.1:0".parse().unwrap(), Share::First, 1 << 20).unwrap();
        let address = first.local_addr().unwrap().as_socket().unwrap();
        let second = open(address, Share::Join, 1 << 20).unwrap();
        let senders: Vec<_> =
            (0..64).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for sender in &senders {
            sender.send_to(b"x", address).unwrap();
        }
        let mut counts = [0, 0];
        for (count, socket) in counts.iter_mut().zip([&first, &second]) {
            while socket.recv(&mut [std::mem::MaybeUninit::uninit(); 8]).is_ok() {
                *count += 1;
            }
        }
        assert_eq!(counts[0] + counts[1], 64);
        assert!(counts[0] > 8 && counts[1] > 8, "{counts:?}");
    }
}
