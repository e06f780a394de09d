//! Callers and servers on sockets, in some threads.
//!
//! Calls start on a schedule, whatever becomes of the earlier ones: a relay that stalls is seen as
//! calls that are late or lost, not as fewer calls.

mod call;
mod callers;
mod order;
mod outbox;
mod schedule;
mod servers;
pub(crate) mod sockets;
#[cfg(test)]
mod tests;
mod thread;
mod waits;
mod watch;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread as threads;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::plan::{Plan, PlanError, Traffic};
use crate::record::Record;
use crate::sip::{Names, Request, ShapeError};
use call::Line;
use callers::Callers;
pub use schedule::Schedule;
use schedule::Starts;
pub use servers::PRODUCT;
use servers::{Server, Servers};
use thread::{Pace, Thread};
use waits::Waits;
pub use watch::{Seen, Watch};

/// A load that is ready: its sockets are bound, so its servers have their addresses.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    callers: Vec<UdpSocket>,
    servers: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was counted and timed.
    pub record: Record,
    /// From the first call to the end of the last.
    pub took: Duration,
    /// For how long calls were started.
    pub started_for: Duration,
}

/// Why there is no outcome.
#[derive(Debug, Error)]
pub enum Error {
    /// The plan cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is nobody to call.
    #[error("there is no target: name a relay, or servers to call directly")]
    NoTarget,
    /// A socket cannot be had.
    #[error("cannot listen at udp:{address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another call to the system failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl From<ShapeError> for Error {
    fn from(error: ShapeError) -> Self {
        Self::Plan(error.into())
    }
}

impl Load {
    /// Binds the sockets of a plan.
    pub fn bind(plan: Plan) -> Result<Self, Error> {
        plan.check()?;
        let bind = |address: SocketAddr| {
            sockets::bind(address).map_err(|source| Error::Bind { address, source })
        };
        let local = SocketAddr::new(plan.local, 0);
        let callers: Vec<_> = (0..plan.sources).map(|_| bind(local)).collect::<Result<_, _>>()?;
        let servers: Vec<_> =
            plan.servers.iter().map(|address| bind(*address)).collect::<Result<_, _>>()?;
        let load = Self { addresses: addresses(&servers)?, plan, callers, servers };
        // What cannot be written is said before anything starts.
        let local = load.callers[0].local_addr().map_err(system("read an address"))?;
        load.line(0, Names { run: 0, local, domain: local })?;
        Ok(load)
    }

    /// Where its servers are.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Makes the calls, and returns when all have ended. `targets` take turns.
    pub fn run(&self, targets: &[SocketAddr], watch: &Watch) -> Result<Outcome, Error> {
        self.run_at(Instant::now() + HEAD_START, targets, watch)
    }

    /// The same, with calls that start from this time on.
    pub fn run_at(
        &self,
        begin: Instant,
        targets: &[SocketAddr],
        watch: &Watch,
    ) -> Result<Outcome, Error> {
        self.go(begin, targets, watch, None)
    }

    /// Answers without calling anybody, until the watch stops it.
    pub fn serve(&self, watch: &Watch) -> Result<Outcome, Error> {
        // Closed, with no call at a time.
        let time = self.plan.time;
        self.go(Instant::now() + HEAD_START, &self.addresses, watch, Some((time, 0)))
    }

    /// Makes calls straight to its own servers, so many at a time, one whenever another has ended:
    /// how many this program can make and take on this machine.
    pub fn saturate(&self, time: Duration, at_a_time: usize) -> Result<Outcome, Error> {
        let watch = Watch::new(self.plan.threads);
        let begin = Instant::now() + HEAD_START;
        self.go(begin, &self.addresses, &watch, Some((time, at_a_time)))
    }

    fn go(
        &self,
        begin: Instant,
        targets: &[SocketAddr],
        watch: &Watch,
        closed: Option<(Duration, usize)>,
    ) -> Result<Outcome, Error> {
        if targets.is_empty() {
            return Err(Error::NoTarget);
        }
        let before = self.drops()?;
        // Two runs of the same plan have other Call-IDs and branches.
        let run = fastrand::u32(..);
        let count = self.plan.threads;
        let prepared: Vec<Thread<'_>> = (0..count)
            .map(|thread| self.thread((thread, count), run, targets, watch, begin, closed))
            .collect::<Result<_, _>>()?;
        threads::sleep(begin.saturating_duration_since(Instant::now()));
        let records: Vec<io::Result<Record>> = threads::scope(|scope| {
            let running: Vec<_> =
                prepared.into_iter().map(|thread| scope.spawn(|| thread.run())).collect();
            running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        let mut record = Record::new(self.servers.len(), self.slice_ns());
        for thread in records {
            record.add(&thread.map_err(system("send or receive"))?);
        }
        record.calls.sort_by_key(|call| call.due);
        record.others.overflowed = self.drops()? - before;
        let took = Duration::from_nanos(watch.ended_at());
        let planned = closed.map_or(self.plan.time, |(time, _)| time);
        let started_for = watch.stopped_at().map_or(planned, Duration::from_nanos).min(planned);
        Ok(Outcome { record, took, started_for })
    }

    fn thread<'a>(
        &'a self,
        (thread, threads): (usize, usize),
        run: u32,
        targets: &[SocketAddr],
        watch: &'a Watch,
        begin: Instant,
        closed: Option<(Duration, usize)>,
    ) -> Result<Thread<'a>, Error> {
        let mine = |sockets: &'a [UdpSocket]| sockets.iter().skip(thread).step_by(threads);
        let mut sockets: Vec<_> = mine(&self.callers).collect();
        let lines: Vec<Line> = sockets
            .iter()
            .enumerate()
            .map(|(socket, caller)| {
                let local = caller.local_addr().map_err(system("read an address"))?;
                Ok(self.line(socket, Names { run, local, domain: targets[0] })?)
            })
            .collect::<Result<_, Error>>()?;
        let servers = mine(&self.servers).enumerate().map(|(at, _)| {
            let number = thread + at * threads;
            let address = self.addresses[number];
            Server { number: number as u16, socket: lines.len() + at, address }
        });
        let servers: Vec<_> = servers.collect();
        sockets.extend(mine(&self.servers));
        let seed = self.plan.seed;
        let open_max = self.plan.open_max.div_ceil(threads);
        let pace = match closed {
            // A thread without a port of its own only serves.
            _ if lines.is_empty() => Pace::Closed { at_a_time: 0, until: 0, next: 0, step: 1 },
            Some((time, at_a_time)) => Pace::Closed {
                at_a_time: at_a_time.div_ceil(threads),
                until: time.as_nanos() as u64,
                next: thread as u64,
                step: threads as u64,
            },
            None => {
                let callers = threads.min(self.callers.len());
                let Plan { schedule, rate, time, .. } = self.plan;
                Pace::Open(Starts::new(schedule, rate, time, (thread, callers), seed))
            }
        };
        Ok(Thread {
            lines: lines.len(),
            callers: Callers::new(
                lines,
                targets.to_vec(),
                self.plan.shares(),
                open_max,
                seed.wrapping_add(thread as u64),
            ),
            sockets,
            servers: Servers::new(servers),
            pace,
            waits: Waits::of(&self.plan),
            record: Record::new(self.servers.len(), self.slice_ns()),
            watch,
            progress: watch.progress(thread),
            begin,
        })
    }

    fn line(&self, socket: usize, names: Names) -> Result<Line, ShapeError> {
        let is_options = self.plan.traffic == Traffic::Options;
        let method = if is_options { "OPTIONS" } else { "INVITE" };
        Ok(Line {
            socket,
            names,
            first: Request::new(method, &names, self.plan.shape)?,
            is_options,
        })
    }

    fn drops(&self) -> Result<u64, Error> {
        let drops = |sockets: &[UdpSocket]| {
            sockets::drops_at(sockets).map_err(system("read /proc/self/net/udp"))
        };
        let (callers, servers) = (drops(&self.callers)?, drops(&self.servers)?);
        Ok(callers.iter().chain(&servers).sum())
    }

    /// A second, or as much longer as it takes to have at most 600 slices.
    fn slice_ns(&self) -> u64 {
        (self.plan.time.as_nanos() as u64 / SLICES_MAX).max(SLICE_NS_MIN)
    }
}

pub(crate) fn addresses(sockets: &[UdpSocket]) -> Result<Vec<SocketAddr>, Error> {
    sockets.iter().map(|s| s.local_addr().map_err(system("read an address"))).collect()
}

pub(crate) fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

/// Threads are ready when the first call is due.
const HEAD_START: Duration = Duration::from_millis(20);
const SLICES_MAX: u64 = 600;
const SLICE_NS_MIN: u64 = 250_000_000;
