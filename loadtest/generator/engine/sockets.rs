//! Everything that the generator asks of the kernel: sockets, batches of datagrams, waiting.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

pub(crate) use super::outbox::Outgoing;

/// Datagrams of one system call.
pub(crate) const BATCH: usize = 64;

/// A socket that does not wait, with a receive buffer past the system's limit where that is allowed.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
    }
    Ok(socket)
}

/// Datagrams that the kernel dropped at these sockets: nobody took them in time, or their filter
/// refused them.
pub(crate) fn drops_at(sockets: &[UdpSocket]) -> io::Result<Vec<u64>> {
    let inodes: Vec<u64> = sockets
        .iter()
        .map(|socket| Ok(fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd()))?.ino()))
        .collect::<io::Result<_>>()?;
    let mut table = fs::read_to_string("/proc/self/net/udp")?;
    // A system without IPv6 has no such file.
    table.push_str(&fs::read_to_string("/proc/self/net/udp6").unwrap_or_default());
    let rows: std::collections::HashMap<u64, u64> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            Some((words.get(9)?.parse().ok()?, words.last()?.parse().ok()?))
        })
        .collect();
    Ok(inodes.iter().map(|inode| rows.get(inode).copied().unwrap_or(0)).collect())
}

/// Room for a batch of received datagrams. One is for sockets of one address family.
pub(super) struct Inbox {
    slots: Box<[Box<[u8]>]>,
    headers: MultiHeaders<SockaddrStorage>,
    received: [(usize, SocketAddr); BATCH],
}

impl Inbox {
    pub(super) fn new() -> Self {
        let nobody = SocketAddr::from(([0; 4], 0));
        Self {
            slots: (0..BATCH).map(|_| vec![0; SLOT_BYTES].into()).collect(),
            headers: MultiHeaders::preallocate(BATCH, None),
            received: [(0, nobody); BATCH],
        }
    }

    /// Takes what the socket holds, without waiting; returns how many.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut slots = self.slots.iter_mut();
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().expect("a slot for each"))]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let results =
            match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
                Ok(results) => results,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
                Err(error) => return Err(error.into()),
            };
        let mut count = 0;
        for result in results {
            let Some(source) = result.address.and_then(|address| address_of(&address)) else {
                continue;
            };
            self.received[count] = (result.bytes, source);
            count += 1;
        }
        Ok(count)
    }

    /// Datagram `i` of the last batch, and where it came from.
    pub(super) fn datagram(&self, i: usize) -> (&[u8], SocketAddr) {
        let (len, source) = self.received[i];
        (&self.slots[i][..len.min(SLOT_BYTES)], source)
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(std::net::SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| std::net::SocketAddrV6::from(*v6).into())
}

/// Room for a batch of messages to send.
pub(crate) struct Outlet {
    headers: MultiHeaders<SockaddrStorage>,
    next_hops: [Option<SockaddrStorage>; BATCH],
}

impl Outlet {
    pub(crate) fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), next_hops: [None; BATCH] }
    }

    /// Sends these messages, all of one socket; returns how many the kernel took.
    pub(crate) fn send(&mut self, socket: &UdpSocket, messages: &[Outgoing]) -> io::Result<usize> {
        let mut taken = 0;
        for batch in messages.chunks(BATCH) {
            let mut left = batch;
            // The kernel may take some of them and stop at one that it cannot send now.
            while !left.is_empty() {
                let sent = self.send_batch(socket, left)?;
                if sent == 0 {
                    break;
                }
                taken += sent;
                left = &left[sent..];
            }
        }
        Ok(taken)
    }

    fn send_batch(&mut self, socket: &UdpSocket, batch: &[Outgoing]) -> io::Result<usize> {
        for (hop, message) in self.next_hops.iter_mut().zip(batch) {
            *hop = Some(message.to.into());
        }
        let mut bytes = batch.iter().map(|message| message.bytes.as_slice());
        let slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSlice::new(bytes.next().unwrap_or_default())]);
        match sendmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &slices[..batch.len()],
            &self.next_hops[..batch.len()],
            [],
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(results) => Ok(results.count()),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED | Errno::ENOBUFS) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits for datagrams at many sockets, or until a time.
pub(super) struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    events: Vec<EpollEvent>,
}

impl Waiter {
    pub(super) fn new<'a>(sockets: impl Iterator<Item = &'a UdpSocket>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        for (at, socket) in sockets.enumerate() {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        }
        Ok(Self { epoll, timer, events: vec![EpollEvent::empty(); BATCH] })
    }

    /// Waits at most this long; puts the numbers of the sockets that hold something into `ready`.
    pub(super) fn wait(&mut self, time: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        let mut timeout = EpollTimeout::ZERO;
        // To be woken takes as long as this, so it is not worth it.
        if time > SHORT {
            let time = TimeSpec::from_duration(time);
            self.timer.set(Expiration::OneShot(time), TimerSetTimeFlags::empty())?;
            timeout = EpollTimeout::NONE;
        }
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let data = self.events[..count].iter().map(EpollEvent::data);
        ready.extend(data.filter(|data| *data != TIMER).map(|data| data as usize));
        if ready.len() < count {
            let _ = self.timer.wait();
        }
        Ok(())
    }
}

const TIMER: u64 = u64::MAX;
const SHORT: Duration = Duration::from_micros(50);
/// What the plan allows, and what relays add to it.
const SLOT_BYTES: usize = 16 << 10;
/// A tenth of a second of 30,000 messages a second, as the kernel counts their room.
const BUFFER_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: SocketAddr, bytes: &[u8]) -> Outgoing {
        Outgoing { socket: 0, to, bytes: bytes.to_vec(), starts: None }
    }

    #[test]
    fn a_batch_goes_and_comes_in_both_families() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (from, to) =
                (bind(local.parse().unwrap()).unwrap(), bind(local.parse().unwrap()).unwrap());
            let address = to.local_addr().unwrap();
            let messages: Vec<_> = (0..100_u8).map(|n| message(address, &vec![n; 1_000])).collect();
            assert_eq!(Outlet::new().send(&from, &messages).unwrap(), 100);
            let mut waiter = Waiter::new([&to].into_iter()).unwrap();
            let mut ready = Vec::new();
            waiter.wait(Duration::from_secs(10), &mut ready).unwrap();
            assert_eq!(ready, [0]);
            let mut inbox = Inbox::new();
            let mut got = Vec::new();
            loop {
                let count = inbox.receive(&to).unwrap();
                if count == 0 {
                    break;
                }
                for i in 0..count {
                    let (bytes, source) = inbox.datagram(i);
                    assert_eq!(source, from.local_addr().unwrap());
                    assert_eq!(bytes.len(), 1_000);
                    got.push(bytes[0]);
                }
            }
            assert_eq!(got, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_a_socket_could_not_hold_is_counted() {
        let (from, to) = (
            bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            bind("127.0.0.1:0".parse().unwrap()).unwrap(),
        );
        setsockopt(&to, sockopt::RcvBuf, &4_096).unwrap();
        let address = to.local_addr().unwrap();
        let messages: Vec<_> = (0..100).map(|_| message(address, &[0; 1_000])).collect();
        assert_eq!(Outlet::new().send(&from, &messages).unwrap(), 100);
        let mut inbox = Inbox::new();
        let mut got = 0;
        loop {
            let count = inbox.receive(&to).unwrap();
            got += count as u64;
            if count == 0 {
                break;
            }
        }
        let sockets = [to, from];
        assert_eq!(drops_at(&sockets).unwrap(), [100 - got, 0]);
        assert!(got < 100);
    }

    #[test]
    fn waiting_ends_with_the_time() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut waiter = Waiter::new([&socket].into_iter()).unwrap();
        let mut ready = vec![1];
        for time in [Duration::ZERO, Duration::from_millis(5)] {
            let begin = std::time::Instant::now();
            waiter.wait(time, &mut ready).unwrap();
            assert!(ready.is_empty() && begin.elapsed() >= time);
        }
    }
}
