//! The destination that is disabled: it counts its calls, and knows when the last one came.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use crate::processor::drops_at;

/// The destination.
pub(crate) struct Destination {
    address: SocketAddrV4,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    /// When the last one came, in nanoseconds since 1970.
    last_ns: AtomicU64,
}

impl Destination {
    pub(crate) fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        // A second of calls, if it must wait for a processor as long as that.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
        }
        let port = socket.local_addr()?.port();
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || receive(&socket, &shared));
        Ok(Self { address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), seen })
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// How many calls it got.
    pub(crate) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Acquire)
    }

    /// When the kernel got the last of them.
    pub(crate) fn last(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.seen.last_ns.load(Ordering::Relaxed))
    }

    /// How many found no room in its socket.
    pub(crate) fn dropped(&self) -> io::Result<u64> {
        drops_at(self.address.port())
    }
}

fn receive(socket: &UdpSocket, seen: &Seen) {
    let (mut bytes, mut space) = ([0; 64], cmsg_space!(TimeSpec));
    loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::empty();
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)
        {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(error) => panic!("the destination cannot receive: {error}"),
        };
        let mut parts = message.cmsgs().expect("room for the time");
        let time = parts.find_map(|part| match part {
            ControlMessageOwned::ScmTimestampns(time) => Some(time),
            _ => None,
        });
        let time = Duration::from(time.expect("the kernel says when it came"));
        seen.last_ns.store(time.as_nanos() as u64, Ordering::Relaxed);
        // Release: whoever sees the count sees the time.
        seen.count.fetch_add(1, Ordering::Release);
    }
}

const BUFFER_BYTES: usize = 128 << 20;
