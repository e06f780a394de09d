//! One thread that floods.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

use crate::engine::sockets::{BATCH, Outgoing, Outlet};
use crate::sip::{Mark, Request, Script};

pub(super) struct Sender<'a> {
    ports: Vec<(&'a UdpSocket, Request)>,
    targets: Vec<SocketAddr>,
    rate: Option<f64>,
    /// The number of the next message, and how far it is to the one after.
    next: u64,
    step: u64,
    is_segmented: bool,
    message_len: usize,
    /// Messages one behind the other.
    buffer: Vec<u8>,
    batch: Vec<Outgoing>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        mut ports: Vec<(&'a UdpSocket, Request)>,
        targets: Vec<SocketAddr>,
        rate: Option<f64>,
        (next, step): (u64, u64),
        is_segmented: bool,
    ) -> Self {
        let message_len = ports[0].1.write(0, MARK).len();
        let nobody = targets[0];
        let empty = || Outgoing { socket: 0, to: nobody, bytes: Vec::new(), starts: None };
        Self {
            ports,
            targets,
            rate,
            next,
            step,
            is_segmented,
            message_len,
            buffer: Vec::new(),
            batch: (0..BATCH).map(|_| empty()).collect(),
        }
    }

    pub(super) fn message_len(&self) -> usize {
        self.message_len
    }

    /// Sends until it is over; adds to `all` what the kernel took.
    pub(super) fn run(
        &mut self,
        begin: Instant,
        is_over: &AtomicBool,
        all: &AtomicU64,
    ) -> io::Result<()> {
        let at_once = BATCH.min(GSO_BYTES_MAX / self.message_len).max(1);
        let mut outlet = Outlet::new();
        let mut sent = 0_u64;
        let mut turn = 0;
        while !is_over.load(Ordering::Relaxed) {
            let due = match self.rate {
                Some(rate) => (begin.elapsed().as_secs_f64() * rate) as u64 - sent,
                None => at_once as u64,
            };
            if due == 0 {
                thread::sleep(NAP);
                continue;
            }
            let count = at_once.min(due as usize);
            let taken = self.send(&mut outlet, turn, count)?;
            turn += 1;
            sent += taken;
            // Relaxed: the number is shown, and read for good after the thread has ended.
            all.fetch_add(taken, Ordering::Relaxed);
        }
        Ok(())
    }

    fn send(&mut self, outlet: &mut Outlet, turn: usize, count: usize) -> io::Result<u64> {
        let ports = self.ports.len();
        let (socket, request) = &mut self.ports[turn % ports];
        let to = self.targets[turn % self.targets.len()];
        let mut next = || {
            let number = self.next;
            self.next += self.step;
            number
        };
        if !self.is_segmented {
            for message in &mut self.batch[..count] {
                message.to = to;
                message.bytes.clear();
                message.bytes.extend_from_slice(request.write(next(), MARK));
            }
            return Ok(outlet.send(socket, &self.batch[..count])? as u64);
        }
        self.buffer.clear();
        for _ in 0..count {
            self.buffer.extend_from_slice(request.write(next(), MARK));
        }
        let size = self.message_len as u16;
        let to = SockaddrStorage::from(to);
        let sent = sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(&self.buffer)],
            &[ControlMessage::UdpGsoSegments(&size)],
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        );
        match sent {
            Ok(bytes) => Ok((bytes / self.message_len) as u64),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED | Errno::ENOBUFS) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// A flood is not timed.
const MARK: Mark = Mark { script: Script::Talk, sequence: 0, due: 0 };
/// A packet of UDP over IPv6 has at most 65,535 bytes, with the header of UDP.
const GSO_BYTES_MAX: usize = 65_000;
const NAP: Duration = Duration::from_micros(100);
