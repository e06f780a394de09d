//! One thread per core: takes batches of datagrams from its own sockets, lets the core decide about
//! each, counts the verdicts and sends the resulting messages.
//!
//! It makes no decision about a message itself. Per message it does not allocate, lock or log.

mod fault;
mod gather;
mod guard;
mod handover;
mod pool;
mod report;
mod sightings;
#[cfg(test)]
mod tests;
mod waiting;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use mio::Waker;

pub use fault::Fault;
pub use gather::Gather;
pub(crate) use guard::{catch, catch_here, mark_this_thread};
pub use handover::HandOvers;
pub use pool::{OnStart, StartError};
pub(crate) use pool::{Placement, Pool, wake};
use report::Reporter;
pub use sightings::{Sighting, Sightings};
use waiting::Waiting;

use crate::clock::Now;
use crate::config::Poll as PollMode;
use crate::limits::BATCH;
use crate::log::{DispatchLog, DispatchRecord};
use crate::proxy::{
    Event, Flow, Frame, ListenerId, Outbox, Proxy, Reason, Shared, Snapshot, Verdict,
};
use crate::stats::{Traffic, WorkerStats};
use crate::transport::send::SendQueue;
use crate::transport::sys::{Batch, ErrorReader};
use crate::transport::{Sockets, monotonic, monotonic_now};

/// What every worker gets.
#[derive(Clone, Debug)]
pub(crate) struct Supplies {
    /// What the cores share.
    pub(crate) shared: Arc<Shared>,
    /// All sockets; each worker uses only those with its number.
    pub(crate) sockets: Arc<Sockets>,
    /// The snapshot in force.
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    /// All counters; each worker writes only those with its number.
    pub(crate) stats: Arc<[WorkerStats]>,
    /// What happens at each destination; each worker writes only its own part.
    pub(crate) traffic: Arc<Traffic>,
    /// Where answers to probes and reports of unreachable destinations go.
    pub(crate) sightings: Arc<Sightings>,
    /// Set to end the workers.
    pub(crate) stop: Arc<AtomicBool>,
    /// Where new calls are logged, if the operator asked for it.
    pub(crate) dispatch_log: Option<Arc<DispatchLog>>,
    /// Which datagrams panic, for tests.
    pub(crate) fault: Option<Fault>,
    /// What a worker does when its sockets are empty.
    pub(crate) poll: PollMode,
    /// The longest time that it delays a message then.
    pub(crate) poll_gather: Duration,
}

/// One worker. It is created on the main thread and then moves to its own.
#[derive(Debug)]
pub(crate) struct Worker {
    number: usize,
    supplies: Supplies,
    snapshots: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    waiting: Waiting,
    messages: Batch,
    send: SendQueue,
    outbox: Outbox,
    proxy: Proxy,
    errors: ErrorReader,
    /// By listener: the number of the last ICMP error that was taken, until a read fails with it.
    taken: Box<[Option<i32>]>,
}

impl Worker {
    /// Creates worker `number` with all the memory that it will ever need.
    pub(crate) fn new(number: usize, supplies: Supplies) -> io::Result<(Self, Waker)> {
        let listeners = supplies.sockets.listeners();
        let socket = |listener| supplies.sockets.get(ListenerId(listener as u16), number);
        let sockets = (0..listeners).map(socket);
        let (waiting, waker) = Waiting::new(supplies.poll, supplies.poll_gather, sockets)?;
        let worker = Self {
            number,
            snapshots: Cache::new(Arc::clone(&supplies.snapshot)),
            waiting,
            messages: Batch::new()?,
            send: SendQueue::new(listeners),
            outbox: Outbox::new(),
            proxy: Proxy::new(Arc::clone(&supplies.shared)),
            errors: ErrorReader::new(),
            taken: vec![None; listeners].into(),
            supplies,
        };
        Ok((worker, waker))
    }

    /// Runs until the stop flag is set.
    pub(crate) fn run(&mut self) {
        // Relaxed: the flag publishes nothing else, and the waker fires after it is set.
        while !self.supplies.stop.load(Ordering::Relaxed) {
            // Nothing that the core keeps has a deadline.
            self.waiting.wait(None);
            self.take_snapshot();
            let mut at = 0;
            while let Some(listener) = self.waiting.failing.get(at) {
                if self.reporter(monotonic_now()).take_errors(listener).is_more {
                    at += 1;
                } else {
                    self.waiting.failing.remove(at);
                }
            }
            // One batch per listener in turn, so that a flooded one takes no more than its share.
            let mut at = 0;
            while let Some(listener) = self.waiting.ready.get(at) {
                if self.batch(listener) {
                    at += 1;
                } else {
                    self.waiting.ready.remove(at);
                }
            }
        }
    }

    /// Recovers the worker after a panic outside datagram handling.
    pub(crate) fn recover(&mut self) {
        self.stats().restarted();
        self.proxy.reset();
        self.outbox.clear();
        self.send.truncate(&mut self.messages, 0);
        // Events may be lost, so every socket counts as ready until a read says otherwise.
        for listener in 0..self.supplies.sockets.listeners() {
            self.waiting.ready.add(ListenerId(listener as u16));
            self.waiting.failing.add(ListenerId(listener as u16));
        }
    }

    fn stats(&self) -> &WorkerStats {
        &self.supplies.stats[self.number]
    }

    /// Prepares this thread, so that nothing is initialized while messages arrive.
    ///
    /// arc-swap gives every thread its own node at the first load that its cache cannot answer.
    /// Otherwise that would be the first reload.
    pub(crate) fn warm_up(&mut self) {
        drop(self.supplies.snapshot.load_full());
        self.take_snapshot();
    }

    /// Switches to the newest snapshot, so that an idle worker does not hold an old one.
    fn take_snapshot(&mut self) {
        let version = self.snapshots.load().version;
        self.stats().uses_snapshot(version);
    }

    /// Handles one batch of this listener; returns whether there may be more.
    ///
    /// A batch that is not full has emptied the socket: what arrives later is a new event. So a
    /// single message costs three system calls, one each to wait, to receive and to send.
    fn batch(&mut self, listener: ListenerId) -> bool {
        let socket = self.supplies.sockets.get(listener, self.number);
        let received = match self.messages.receive(socket) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                // A socket error that was pending; reading has cleared it.
                let taken = self.taken[usize::from(listener.0)].take();
                let is_icmp = self.reporter(monotonic_now()).take_errors(listener).is_any
                    || taken.is_some() && taken == error.raw_os_error();
                if !is_icmp {
                    self.stats().receive_failed();
                    self.waiting.read_failed();
                }
                return true;
            }
        };
        let precise = monotonic();
        let now = Now::from_ms(precise.as_millis() as u64);
        self.waiting.read(precise, received);
        let Self {
            number, supplies, snapshots, messages, send, outbox, proxy, errors, taken, ..
        } = self;
        let snapshot = snapshots.load();
        let stats = &supplies.stats[*number];
        let listeners = &supplies.shared.listeners;
        let log = supplies.dispatch_log.as_deref();
        let socket_of = |listener| -> BorrowedFd<'_> { supplies.sockets.get(listener, *number) };
        for i in 0..received {
            if !messages.has_room() {
                let mut reporter =
                    Reporter { now, number: *number, supplies, snapshot, proxy, errors, taken };
                send.flush(messages, stats, socket_of, &mut reporter);
            }
            let datagram = messages.received(i);
            let verdict = match datagram.source {
                _ if datagram.is_truncated => Verdict::Dropped(Reason::Truncated),
                None => Verdict::Dropped(Reason::NotSip),
                Some(source) => {
                    let flow = Flow::new(listeners, listener, source);
                    let queued = messages.len();
                    let handled = catch(|| {
                        let (slot, place) = messages.slot_mut(i, datagram);
                        if let Some(fault) = &supplies.fault {
                            fault.check(&slot[place.clone()]);
                        }
                        let frame = Frame::new(slot, place);
                        let tell = |event: &Event<'_>| {
                            supplies.traffic.count(*number, event);
                            match event {
                                Event::Dispatched(new) => {
                                    if let Some(log) = log {
                                        log.push(DispatchRecord::new(new, &flow));
                                    }
                                }
                                Event::ProbeAnswered(answer) => {
                                    supplies.sightings.push(Sighting::ProbeAnswered(*answer));
                                }
                                Event::Heard(_) => {}
                            }
                        };
                        let verdict = proxy.datagram_told(now, snapshot, flow, frame, outbox, tell);
                        send.push(messages, i, outbox);
                        verdict
                    });
                    handled.unwrap_or_else(|| {
                        send.truncate(messages, queued);
                        outbox.clear();
                        proxy.reset();
                        Verdict::Dropped(Reason::Panicked)
                    })
                }
            };
            stats.received(datagram.len, verdict);
        }
        let mut reporter =
            Reporter { now, number: *number, supplies, snapshot, proxy, errors, taken };
        send.flush(messages, stats, socket_of, &mut reporter);
        received == BATCH
    }

    fn reporter(&mut self, now: Now) -> Reporter<'_> {
        let Self { number, supplies, snapshots, proxy, errors, taken, .. } = self;
        let snapshot = snapshots.load();
        Reporter { now, number: *number, supplies, snapshot, proxy, errors, taken }
    }
}
