//! Sends packets by the hundred thousand at a steady rate, from the world.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::SockaddrIn;

use super::datagrams::{BATCH, Outlet};
use super::harness::netns::Namespace;
use super::harness::raw;

/// Bytes of IP and UDP header before a payload.
const HEADERS: usize = 28;

/// What sends them.
pub(super) struct Flood {
    socket: UdpSocket,
    outlet: Outlet,
    packets: Vec<Vec<u8>>,
    relay: SockaddrIn,
    /// Per second; 0 is as fast as it can.
    pub(super) rate: u64,
}

impl Flood {
    /// Towards the relay, out of this namespace.
    pub(super) fn new(namespace: &Namespace, relay: SocketAddrV4, rate: u64) -> Self {
        Self {
            socket: namespace.enter(raw::sender),
            outlet: Outlet::new(),
            packets: vec![Vec::new(); BATCH],
            relay: relay.into(),
            rate,
        }
    }

    /// Sends `count` packets; `make` writes each, headers included, by its number. Says the bytes of
    /// payload, those after IP and UDP header.
    pub(super) fn send(
        &mut self,
        count: u64,
        mut make: impl FnMut(u64, &mut Vec<u8>),
    ) -> io::Result<u64> {
        let begin = Instant::now();
        let (mut sent, mut bytes) = (0, 0);
        while sent < count {
            let due = match self.rate {
                0 => count,
                rate => count.min((begin.elapsed().as_secs_f64() * rate as f64) as u64 + 1),
            };
            let batch = due.saturating_sub(sent).min(BATCH as u64) as usize;
            if batch == 0 {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            for (i, packet) in self.packets[..batch].iter_mut().enumerate() {
                make(sent + i as u64, packet);
                bytes += packet.len().saturating_sub(HEADERS) as u64;
                self.outlet.address(i, self.relay);
            }
            let mut taken = 0;
            while taken < batch {
                for i in taken..batch {
                    self.outlet.address(i - taken, self.relay);
                }
                let packets = self.packets[taken..batch].iter().map(Vec::as_slice);
                taken += self.outlet.send(&self.socket, packets)?;
            }
            sent += batch as u64;
        }
        Ok(bytes)
    }

    /// Sends each of these once, from this place.
    pub(super) fn datagrams(
        &mut self,
        count: u64,
        mut make: impl FnMut(u64) -> (SocketAddrV4, Vec<u8>),
        to: SocketAddrV4,
    ) -> io::Result<u64> {
        self.send(count, |number, packet| {
            let (from, payload) = make(number);
            raw::udp(packet, from, to, &payload);
        })
    }
}
