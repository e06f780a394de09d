//! Batches of datagrams on IPv4 sockets, for the load and the null relay.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

/// Datagrams of one system call, as many as the relay's.
pub(super) const BATCH: usize = strowger::limits::BATCH;

/// A socket that does not wait, with a receive buffer past the system's limit where that is allowed.
pub(super) fn bind(address: SocketAddrV4, receive_buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer_bytes).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &receive_buffer_bytes)?;
    }
    Ok(socket)
}

/// Room for a batch of received datagrams.
pub(super) struct Inbox {
    slots: Box<[Box<[u8]>]>,
    headers: MultiHeaders<SockaddrIn>,
    received: [(usize, SocketAddrV4); BATCH],
}

impl Inbox {
    /// Room for datagrams of this length; of longer ones only the beginning is kept.
    pub(super) fn new(slot_bytes: usize) -> Self {
        let nobody = SocketAddrV4::new([0; 4].into(), 0);
        Self {
            slots: (0..BATCH).map(|_| vec![0; slot_bytes].into()).collect(),
            headers: MultiHeaders::preallocate(BATCH, None),
            received: [(0, nobody); BATCH],
        }
    }

    /// Takes what the socket holds, without waiting; says how many.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut slots = self.slots.iter_mut();
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().expect("a slot for each"))]);
        let results = match recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        ) {
            Ok(results) => results,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut count = 0;
        for result in results {
            let source = result.address.expect("a datagram has a source").into();
            self.received[count] = (result.bytes, source);
            count += 1;
        }
        Ok(count)
    }

    /// Datagram `i` of the last batch.
    pub(super) fn datagram(&self, i: usize) -> &[u8] {
        &self.slots[i][..self.received[i].0.min(self.slots[i].len())]
    }

    /// Where it came from.
    pub(super) fn source(&self, i: usize) -> SocketAddrV4 {
        self.received[i].1
    }
}

/// Room for a batch of messages to send.
pub(super) struct Outlet {
    headers: MultiHeaders<SockaddrIn>,
    next_hops: [Option<SockaddrIn>; BATCH],
}

impl Outlet {
    pub(super) fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), next_hops: [None; BATCH] }
    }

    /// Says where message `i` goes.
    pub(super) fn address(&mut self, i: usize, to: SockaddrIn) {
        self.next_hops[i] = Some(to);
    }

    /// Sends these messages, at most [`BATCH`]; says how many the kernel took.
    pub(super) fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        messages: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<usize> {
        let mut messages = messages.into_iter();
        let mut count = 0;
        let slices: [_; BATCH] = std::array::from_fn(|_| {
            let message = messages.next();
            count += usize::from(message.is_some());
            [IoSlice::new(message.unwrap_or_default())]
        });
        match sendmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &slices[..count],
            &self.next_hops[..count],
            [],
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(results) => Ok(results.count()),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED | Errno::ENOBUFS) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
