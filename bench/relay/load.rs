//! The load, in one thread on one core: a caller that floods with new INVITEs on a fixed schedule,
//! without waiting for anything, and the servers that receive them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

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
}

impl Load {
    /// Everything that the load needs, with this many servers.
    pub(super) fn new(servers: usize) -> io::Result<Self> {
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let caller = bind(here, SERVER_BUFFER_BYTES)?;
        let template = messages::invite(caller.local_addr()?);
        let servers: Vec<_> =
            (0..servers).map(|_| bind(here, SERVER_BUFFER_BYTES)).collect::<Result<_, _>>()?;
        Ok(Self {
            caller,
            messages: vec![template; BATCH],
            number: 0,
            // Their beginnings are enough: they are only counted.
            inbox: Inbox::new(64),
            outlet: Outlet::new(),
            sent: 0,
            arrived: vec![0; servers.len()],
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
        for (i, message) in self.messages[..count].iter_mut().enumerate() {
            self.number += 1;
            message.number(self.number);
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
        }
        Ok(any)
    }
}

/// Much more than what arrives while the thread does something else.
const SERVER_BUFFER_BYTES: usize = 64 << 20;
