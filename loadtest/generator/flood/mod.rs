//! A one-way flood: requests in one direction, as fast as they go, to sinks that only count. It
//! saturates a relay before itself: equal messages leave 64 at a time by one system call
//! (`UDP_SEGMENT`), and the kernel counts at the sinks, where a filter refuses every datagram.

mod sender;
mod sink;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::Error;
use crate::engine::sockets::{self, drops_at};
use crate::plan::PlanError;
use crate::sip::{Names, Request, Shape};
use sender::Sender;

/// What a flood does.
#[derive(Clone, Debug, PartialEq)]
pub struct FloodPlan {
    /// Messages a second; `None`: as many as it can.
    pub rate: Option<f64>,
    /// How long it lasts.
    pub time: Duration,
    /// From how many ports it comes.
    pub sources: usize,
    /// The address of these ports.
    pub local: IpAddr,
    /// Where its sinks are; a port of 0 is replaced by a free one.
    pub sinks: Vec<SocketAddr>,
    /// What is sent.
    pub method: Method,
    /// The size of a message.
    pub shape: Shape,
    /// How many threads send.
    pub threads: usize,
    /// Whether one system call sends many messages of a port to one target, as one large packet
    /// that the kernel cuts up. If not, it sends many packets.
    pub is_segmented: bool,
}

/// What a flood is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// New INVITEs.
    Invite,
    /// New OPTIONS.
    Options,
}

/// A flood that is ready: its sinks have their addresses.
#[derive(Debug)]
pub struct Flood {
    plan: FloodPlan,
    senders: Vec<UdpSocket>,
    sinks: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

/// What a flood was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloodOutcome {
    /// Messages that the kernel took.
    pub sent: u64,
    /// Messages that arrived at each sink.
    pub arrived: Vec<u64>,
    /// How long it lasted.
    pub took: Duration,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// How many were sent and how many had arrived, in each slice of [`SLICE`].
    pub slices: Vec<(u64, u64)>,
}

/// How long a slice of a flood is.
pub const SLICE: Duration = Duration::from_millis(250);

impl Default for FloodPlan {
    fn default() -> Self {
        Self {
            rate: None,
            time: Duration::from_secs(5),
            sources: 1,
            local: Ipv4Addr::LOCALHOST.into(),
            sinks: Vec::new(),
            method: Method::Invite,
            shape: Shape::default(),
            threads: 1,
            is_segmented: true,
        }
    }
}

impl FloodPlan {
    /// Returns what is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        // What both have in common is checked in one place.
        crate::plan::Plan {
            rate: self.rate.unwrap_or(1.0),
            time: self.time,
            sources: self.sources,
            servers: self.sinks.clone(),
            shape: self.shape,
            threads: self.threads,
            ..crate::plan::Plan::default()
        }
        .check()
    }
}

impl FloodOutcome {
    /// All that arrived.
    pub fn arrived_all(&self) -> u64 {
        self.arrived.iter().sum()
    }
}

impl Flood {
    /// Binds the sockets of a plan.
    pub fn bind(plan: FloodPlan) -> Result<Self, Error> {
        plan.check()?;
        let error = |address| move |source| Error::Bind { address, source };
        let local = SocketAddr::new(plan.local, 0);
        let senders = (0..plan.sources)
            .map(|_| sockets::bind(local).map_err(error(local)))
            .collect::<Result<Vec<_>, _>>()?;
        let sinks = plan
            .sinks
            .iter()
            .map(|address| sink::bind(*address).map_err(error(*address)))
            .collect::<Result<Vec<_>, _>>()?;
        let flood = Self { addresses: crate::engine::addresses(&sinks)?, plan, senders, sinks };
        flood.request(0, local)?;
        Ok(flood)
    }

    /// Where its sinks are.
    pub fn sinks(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Floods the targets, in turn, until the time is over or `stop` is set. `show` sees how many
    /// were sent and how many have arrived.
    pub fn run(
        &self,
        targets: &[SocketAddr],
        stop: &AtomicBool,
        mut show: impl FnMut(Duration, u64, u64),
    ) -> Result<FloodOutcome, Error> {
        if targets.is_empty() {
            return Err(Error::NoTarget);
        }
        let before = self.counts()?;
        let run = fastrand::u32(..);
        let count = self.plan.threads.min(self.senders.len());
        let mut senders = (0..count)
            .map(|thread| self.sender((thread, count), run, targets))
            .collect::<Result<Vec<_>, Error>>()?;
        let sent = AtomicU64::new(0);
        let is_over = AtomicBool::new(false);
        let mut slices = Vec::new();
        let begin = Instant::now();
        let arrived = |counts: &[u64]| -> u64 {
            counts.iter().zip(&before).map(|(now, before)| now - before).sum()
        };
        let took = thread::scope(|scope| {
            let running: Vec<_> = senders
                .iter_mut()
                .map(|sender| scope.spawn(|| sender.run(begin, &is_over, &sent)))
                .collect();
            let mut seen = (0, 0);
            // Relaxed here and below: the numbers are shown, and the threads are joined.
            while begin.elapsed() < self.plan.time && !stop.load(Ordering::Relaxed) {
                let next = SLICE * (slices.len() as u32 + 1);
                thread::sleep(next.min(self.plan.time).saturating_sub(begin.elapsed()));
                let now = (sent.load(Ordering::Relaxed), arrived(&self.counts()?));
                slices.push((now.0 - seen.0, now.1 - seen.1));
                show(begin.elapsed(), now.0, now.1);
                seen = now;
            }
            is_over.store(true, Ordering::Relaxed);
            let took = begin.elapsed();
            for sender in running {
                sender.join().expect("no sender panics").map_err(crate::engine::system("send"))?;
            }
            Ok::<_, Error>(took)
        })?;
        self.settle()?;
        let after = self.counts()?;
        Ok(FloodOutcome {
            sent: sent.into_inner(),
            arrived: after.iter().zip(&before).map(|(after, before)| after - before).collect(),
            took,
            message_bytes: senders[0].message_len(),
            slices,
        })
    }

    fn sender<'a>(
        &'a self,
        (thread, threads): (usize, usize),
        run: u32,
        targets: &[SocketAddr],
    ) -> Result<Sender<'a>, Error> {
        let mine = self.senders.iter().skip(thread).step_by(threads);
        let ports: Vec<_> = mine
            .map(|socket| {
                let local =
                    socket.local_addr().map_err(crate::engine::system("read an address"))?;
                Ok((socket, self.request(run, local)?))
            })
            .collect::<Result<_, Error>>()?;
        let rate = self.plan.rate.map(|rate| rate / threads as f64);
        let numbers = (thread as u64, threads as u64);
        Ok(Sender::new(ports, targets.to_vec(), rate, numbers, self.plan.is_segmented))
    }

    fn request(&self, run: u32, local: SocketAddr) -> Result<Request, Error> {
        let method = match self.plan.method {
            Method::Invite => "INVITE",
            Method::Options => "OPTIONS",
        };
        let names = Names { run, local, domain: local };
        Ok(Request::new(method, &names, self.plan.shape)?)
    }

    fn counts(&self) -> Result<Vec<u64>, Error> {
        drops_at(&self.sinks).map_err(crate::engine::system("read /proc/self/net/udp"))
    }

    /// Waits until nothing more arrives.
    fn settle(&self) -> Result<(), Error> {
        let mut last = self.counts()?;
        loop {
            thread::sleep(Duration::from_millis(100));
            let now = self.counts()?;
            if now == last {
                return Ok(());
            }
            last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_to_its_sinks_everything_arrives_and_is_counted() {
        for is_segmented in [true, false] {
            for ip in ["127.0.0.1", "::1"] {
                let ip: IpAddr = ip.parse().unwrap();
                let plan = FloodPlan {
                    rate: Some(20_000.0),
                    time: Duration::from_millis(300),
                    sources: 3,
                    threads: 2,
                    local: ip,
                    sinks: vec![SocketAddr::new(ip, 0); 2],
                    is_segmented,
                    ..FloodPlan::default()
                };
                let flood = Flood::bind(plan).unwrap();
                let stop = AtomicBool::new(false);
                let outcome = flood.run(flood.sinks(), &stop, |_, _, _| {}).unwrap();
                assert_eq!(outcome.sent, outcome.arrived_all(), "{ip}, {is_segmented}");
                // It keeps the rate, or stays below it on a busy machine.
                assert!((1..=6_100).contains(&outcome.sent), "{}", outcome.sent);
                assert!(outcome.arrived.iter().all(|count| *count > 0));
                assert!((1..=2).contains(&outcome.slices.len()), "{:?}", outcome.slices);
            }
        }
    }

    #[test]
    fn a_flood_to_nobody() {
        let flood = Flood::bind(FloodPlan::default()).unwrap();
        let stop = AtomicBool::new(false);
        assert!(matches!(flood.run(&[], &stop, |_, _, _| {}), Err(Error::NoTarget)));
        let plan = FloodPlan { sources: 0, ..FloodPlan::default() };
        assert!(matches!(Flood::bind(plan), Err(Error::Plan(_))));
    }
}
