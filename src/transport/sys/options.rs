//! Socket options, and waiting for one socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Waits until the socket accepts another message or the timeout, in milliseconds, is over; returns
/// which.
pub(crate) fn wait_writable(socket: BorrowedFd<'_>, timeout_ms: u16) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry is passed, and its count is 1.
    let ready = unsafe { libc::poll(&raw mut entry, 1, i32::from(timeout_ms)) };
    match ready {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns how many datagrams the kernel has dropped because the socket's buffer was full, since
/// the socket was created (modulo 2^32).
///
/// Reading it (`SO_MEMINFO`, Linux 4.12) costs nothing on the message path and also works for a
/// socket that receives nothing more. `SO_RXQ_OVFL` would add a control message to every datagram.
pub(crate) fn socket_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // enum sk_meminfo of linux/sock_diag.h: nine counters, the last is SK_MEMINFO_DROPS.
    const VARIABLES: usize = 9;
    const DROPS: usize = 8;
    let mut values = [0_u32; VARIABLES];
    let mut len = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `values`, for which any bytes are valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(values[DROPS])
}

/// Allows fragmentation of large requests: `IP_MTU_DISCOVER` becomes `OMIT`, `IPV6_MTU_DISCOVER`
/// `DONT`.
///
/// Over IPv4 both let routers fragment, but with `DONT` the kernel still believes an ICMP
/// "fragmentation needed", which anybody who knows two addresses can forge: after one such packet,
/// everything above 552 bytes to that destination is fragmented for ten minutes. Over IPv6 routers
/// do not fragment, so the message must be believed there; it goes no lower than 1,280.
pub(crate) fn allow_fragments(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 {
        // Linux 3.15.
        let value = libc::IP_PMTUDISC_OMIT;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    } else {
        // IPV6_PMTUDISC_DONT has the same value, 0 (linux/in6.h).
        let value = libc::IP_PMTUDISC_DONT;
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    }
}

/// Sets the receive buffer, even above `net.core.rmem_max`; needs `CAP_NET_ADMIN`.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value)
}

/// Sets the send buffer, even above `net.core.wmem_max`; needs `CAP_NET_ADMIN`.
pub(crate) fn force_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value)
}

/// Attaches a program that chooses the socket for each datagram of this socket's `SO_REUSEPORT`
/// group (Linux 4.19). The group keeps the program, and the program its maps.
pub(crate) fn attach_reuseport(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let option = libc::SO_ATTACH_REUSEPORT_EBPF;
    set_option(socket, libc::SOL_SOCKET, option, program.as_raw_fd())
}

pub(super) fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: i32,
) -> io::Result<()> {
    // SAFETY: the kernel reads four bytes from `value`, which lives until the call is over.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&to).set_recv_buffer_size(4096).unwrap();
        assert_eq!(socket_drops(to.as_fd()).unwrap(), 0);
        for _ in 0..100 {
            from.send_to(&[0; 1000], to.local_addr().unwrap()).unwrap();
        }
        assert!(socket_drops(to.as_fd()).unwrap() > 50);
    }
}
