//! The load, in one thread on one core: a caller that floods with new INVITEs on a fixed schedule,
//! without waiting for anything, and the servers that receive them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem::Finder;
use nix::sys::socket::SockaddrIn;

use super::datagrams::{BATCH, Inbox, Outlet, bind};
use super::null::v4;
use super::processor::drops_at;
use crate::messages::{self, Template};

/// A caller and servers.
pub(super) struct Load {
    caller: UdpSocket,
    servers: Vec<UdpSocket>,
    messages: Vec<Template>,
    number: u64,
    inbox: Inbox,
    outlet: Outlet,
    /// INVITEs sent so far.
    pub(super) sent: u64,
    /// Those that arrived, by server.
    pub(super) arrived: Vec<u64>,
    /// When each of the last INVITEs was sent, by its number; empty if that is not of interest.
    sent_at: Vec<Instant>,
    call_id: Finder<'static>,
    /// From sending an INVITE to its arrival, in ns.
    pub(super) delays: Histogram<u64>,
}

impl Load {
    /// Everything that the load needs, with this many servers. Times each INVITE if that is wanted.
    pub(super) fn new(servers: usize, is_timed: bool) -> io::Result<Self> {
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let caller = bind(here, SERVER_BUFFER_BYTES)?;
        let template = messages::invite(caller.local_addr()?);
        let servers: Vec<_> =
            (0..servers).map(|_| bind(here, SERVER_BUFFER_BYTES)).collect::<Result<_, _>>()?;
        Ok(Self {
            caller,
            messages: vec![template; BATCH],
            number: 0,
            // Up to the Call-ID. For counting, their beginnings are enough.
            inbox: Inbox::new(if is_timed { 1024 } else { 64 }),
            outlet: Outlet::new(),
            sent: 0,
            arrived: vec![0; servers.len()],
            sent_at: vec![Instant::now(); if is_timed { IN_FLIGHT_MAX } else { 0 }],
            call_id: Finder::new("\r\nCall-ID: "),
            delays: Histogram::new_with_max(DELAY_NS_MAX, 3).map_err(io::Error::other)?,
            servers,
        })
    }

    /// Where the servers are.
    pub(super) fn servers(&self) -> io::Result<Vec<SocketAddrV4>> {
        let addresses = self.servers.iter().map(|server| v4(server.local_addr()?));
        addresses.collect()
    }

    /// How long an INVITE is.
    pub(super) fn message_len(&self) -> usize {
        self.messages[0].bytes().len()
    }

    /// All that arrived.
    pub(super) fn arrived_all(&self) -> u64 {
        self.arrived.iter().sum()
    }

    /// Waits until the relay forwards; says whether it does.
    pub(super) fn wait_for(&mut self, relay: SocketAddrV4) -> io::Result<bool> {
        let begin = Instant::now();
        while self.arrived_all() == 0 {
            if begin.elapsed() > Duration::from_secs(10) {
                return Ok(false);
            }
            self.send(relay, 1)?;
            std::thread::sleep(Duration::from_millis(20));
            self.count_arrivals()?;
        }
        Ok(true)
    }

    /// The delay that this share of the INVITEs did not exceed; `None` if none was timed.
    pub(super) fn delay_us(&self, share: f64) -> Option<f64> {
        let is_timed = !self.delays.is_empty();
        is_timed.then(|| self.delays.value_at_quantile(share) as f64 / 1e3)
    }

    /// Sends INVITEs at this rate, or as fast as it can, for this long.
    pub(super) fn flood(
        &mut self,
        relay: SocketAddrV4,
        rate: Option<u32>,
        time: Duration,
    ) -> io::Result<()> {
        let begin = Instant::now();
        let mut sent = 0;
        loop {
            let elapsed = begin.elapsed();
            if elapsed >= time {
                return Ok(());
            }
            // Open loop: what is due is due, whether or not anything came through.
            let due =
                rate.map_or(usize::MAX, |rate| (elapsed.as_secs_f64() * f64::from(rate)) as usize);
            let count = due.saturating_sub(sent).min(BATCH);
            if count > 0 {
                sent += self.send(relay, count)?;
            }
            self.count_arrivals()?;
        }
    }

    /// Waits until nothing more arrives.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < Duration::from_millis(50) {
            if self.count_arrivals()? {
                quiet_since = Instant::now();
            }
        }
        Ok(())
    }

    /// What the kernel dropped at the servers because this thread was too slow.
    pub(super) fn server_drops(&self) -> io::Result<u64> {
        let ports = self.servers.iter().map(|server| Ok(server.local_addr()?.port()));
        ports.map(|port: io::Result<u16>| drops_at(port?)).sum()
    }

    fn send(&mut self, relay: SocketAddrV4, count: usize) -> io::Result<usize> {
        let relay = SockaddrIn::from(relay);
        let now = Instant::now();
        for (i, message) in self.messages[..count].iter_mut().enumerate() {
            self.number += 1;
            message.number(self.number);
            if !self.sent_at.is_empty() {
                self.sent_at[self.number as usize % IN_FLIGHT_MAX] = now;
            }
            self.outlet.address(i, relay);
        }
        let messages = self.messages[..count].iter().map(Template::bytes);
        let sent = self.outlet.send(&self.caller, messages)?;
        self.sent += sent as u64;
        Ok(sent)
    }

    fn count_arrivals(&mut self) -> io::Result<bool> {
        let mut any = false;
        for (server, arrived) in self.servers.iter().zip(&mut self.arrived) {
            let count = self.inbox.receive(server)?;
            *arrived += count as u64;
            any |= count > 0;
            if self.sent_at.is_empty() || count == 0 {
                continue;
            }
            let now = Instant::now();
            for i in 0..count {
                let number = number_of(self.inbox.datagram(i), &self.call_id);
                let number = number.ok_or_else(|| io::Error::other("an INVITE without number"))?;
                let sent_at = self.sent_at[number as usize % IN_FLIGHT_MAX];
                self.delays.saturating_record((now - sent_at).as_nanos() as u64);
            }
        }
        Ok(any)
    }
}

/// The number in an INVITE's Call-ID.
fn number_of(invite: &[u8], call_id: &Finder<'_>) -> Option<u64> {
    let start = call_id.find(invite)? + call_id.needle().len();
    let digits = str::from_utf8(invite.get(start..start + 16)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// More than are on their way at any time: what fits the relay's buffer and the servers'.
const IN_FLIGHT_MAX: usize = 1 << 18;

/// Longer ones count as this.
const DELAY_NS_MAX: u64 = 10_000_000_000;

/// Much more than what arrives while the thread does something else.
const SERVER_BUFFER_BYTES: usize = 64 << 20;
