//! The error queue of a socket: what ICMP says of messages that were sent (`IP_RECVERR`).
//!
//! The kernel puts each ICMP error on the queue of some socket that is bound to the message's source
//! address, of a `SO_REUSEPORT` group any one, and makes the next send or read of that socket fail
//! with its number. Taking an error off the queue ends that, too.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::name::Name;
use super::options::set_option;
use crate::limits::QUOTE_BYTES;

/// Makes the kernel queue ICMP errors for this socket (`ip(7)`, `ipv6(7)`). Sending from it then also
/// fails with `ENOBUFS` if a queue of the network interface drops the message.
pub(crate) fn queue_errors(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    }
}

/// Takes errors off the queues of sockets.
#[derive(Debug)]
pub(crate) struct ErrorReader {
    quote: Box<[u8; QUOTE_BYTES]>,
}

/// An error that was on the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedError<'a> {
    /// Where the message was sent to; `None` if the kernel does not say.
    pub(crate) address: Option<SocketAddr>,
    /// The error number.
    pub(crate) errno: i32,
    /// It came by ICMP. Other errors are those of our own machine.
    pub(crate) is_icmp: bool,
    /// The beginning of the message's payload, as far as it is quoted.
    pub(crate) quote: &'a [u8],
}

impl ErrorReader {
    /// Creates a reader with all the memory it will ever need.
    pub(crate) fn new() -> Self {
        Self { quote: Box::new([0; QUOTE_BYTES]) }
    }

    /// Takes the next error off the socket's queue, without waiting; `None` if there is none.
    pub(crate) fn next(&mut self, socket: BorrowedFd<'_>) -> Option<QueuedError<'_>> {
        let mut name = Name::zeroed();
        let mut control = Control([0; CONTROL_WORDS]);
        let mut part =
            libc::iovec { iov_base: self.quote.as_mut_ptr().cast(), iov_len: self.quote.len() };
        // SAFETY: a msghdr is plain C data of integers and pointers, for which zero is valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = size_of::<Name>() as libc::socklen_t;
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = size_of::<Control>() as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header points at a name, a buffer and control space of the stated lengths. All
        // of them live until the call is over, and nothing else refers to them meanwhile.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        let len = usize::try_from(len).ok()?;
        let address = name.to_socket_addr(header.msg_namelen);
        let error = extended_error(&header)?;
        Some(QueuedError {
            address,
            errno: error.ee_errno.cast_signed(),
            is_icmp: matches!(error.ee_origin, ORIGIN_ICMP | ORIGIN_ICMP6),
            quote: &self.quote[..len],
        })
    }
}

/// Returns the extended error among the control messages that the kernel wrote.
fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    const LEN: usize = size_of::<libc::sock_extended_err>();
    // SAFETY: the kernel has set `msg_controllen` to what it wrote at `msg_control`, which is aligned
    // like a control header. The macros stay within that length, a control message's data is at least
    // as long as its `cmsg_len` says, and it is read only if it is long enough, wherever it lies.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            let is_error = matches!(
                (control.cmsg_level, control.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            if is_error && control.cmsg_len >= libc::CMSG_LEN(LEN as u32) as usize {
                return Some(
                    libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned(),
                );
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Room for control messages, aligned like their headers.
#[repr(C)]
struct Control([u64; CONTROL_WORDS]);

/// A header, the error and an IPv6 address need 72 bytes.
const CONTROL_WORDS: usize = 16;

// SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6 of linux/errqueue.h.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_closed_port_is_reported_with_what_was_sent() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(host).unwrap();
            socket.set_nonblocking(true).unwrap();
            queue_errors(socket.as_fd(), host.starts_with('1')).unwrap();
            let closed = UdpSocket::bind(host).unwrap().local_addr().unwrap();
            let mut errors = ErrorReader::new();
            assert!(errors.next(socket.as_fd()).is_none());
            let long: Vec<u8> = (0..2_000_u32).map(|n| n as u8).collect();
            for message in [b"OPTIONS sip:a SIP/2.0".as_slice(), &long] {
                socket.send_to(message, closed).unwrap();
                let error = errors.next(socket.as_fd()).expect("loopback answers at once");
                assert_eq!((error.address, error.errno), (Some(closed), libc::ECONNREFUSED));
                assert!(error.is_icmp);
                assert!(message.starts_with(error.quote));
                assert!(error.quote.len() >= message.len().min(500), "{}", error.quote.len());
                assert!(errors.next(socket.as_fd()).is_none());
            }
            // Nothing is pending any more.
            let error = socket.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn an_error_of_our_own_machine_is_not_from_icmp() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        queue_errors(socket.as_fd(), true).unwrap();
        let error = socket.send_to(&vec![0; 65_508], "127.0.0.1:9").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        let mut errors = ErrorReader::new();
        if let Some(error) = errors.next(socket.as_fd()) {
            assert_eq!((error.is_icmp, error.errno), (false, libc::EMSGSIZE));
        }
    }
}
