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
mod tapped;
#[cfg(test)]
mod tests;
mod waiting;

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use mio::Waker;

pub use fault::Fault;
pub use gather::Gather;
pub(crate) use guard::{catch, catch_here, mark_this_thread};
pub use handover::{HandOvers, What};
pub use pool::{OnStart, StartError};
pub(crate) use pool::{Placement, Pool, wake};
use report::Reporter;
pub use sightings::{Sighting, Sightings};
use tapped::Tapped;
use waiting::Waiting;

use crate::capture::Capture;
use crate::clock::Now;
use crate::config::Poll as PollMode;
use crate::limits::{BATCH, EXPIRE_MAX};
use crate::log::{DispatchLog, DispatchRecord};
use crate::proxy::{
    Event, Flow, Frame, ListenerId, Outbox, Proxy, Readings, Reason, Shared, Snapshot, Verdict,
};
use crate::stats::{Traffic, WorkerStats};
use crate::transport::send::SendQueue;
use crate::transport::sys::{Batch, ErrorReader, Received};
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
    /// Who watches messages.
    pub(crate) capture: Arc<Capture>,
    /// Set to end the workers.
    pub(crate) stop: Arc<AtomicBool>,
    /// Where new calls, and tries that were left, are logged, if the operator asked for it.
    pub(crate) dispatch_log: Option<Arc<DispatchLog>>,
    /// Which datagrams panic, for tests.
    pub(crate) fault: Option<Fault>,
    /// What a worker does when its sockets are empty.
    pub(crate) poll: PollMode,
    /// The longest time that it delays a message then.
    pub(crate) poll_gather: Duration,
}

impl Supplies {
    /// Tells whoever wants to know of something that worker `number` saw.
    fn tell(&self, number: usize, event: &Event<'_>) {
        self.traffic.count(number, event);
        match event {
            Event::Dispatched(new) => {
                if let Some(log) = self.dispatch_log.as_deref() {
                    log.push(DispatchRecord::new(new));
                }
            }
            Event::Left(left) => {
                if let Some(log) = self.dispatch_log.as_deref() {
                    log.push(DispatchRecord::of_left(left));
                }
            }
            Event::ProbeAnswered(answer) => {
                self.sightings.push(Sighting::ProbeAnswered(*answer));
            }
            Event::Heard(_) => {}
        }
    }
}

/// Fails if the machine does not give this many bytes of memory; they are not used yet.
///
/// Vectors and boxes end the process if they get none.
pub(crate) fn check_memory(bytes: usize) -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    let reserved = room.try_reserve_exact(bytes);
    // So that it is really asked for.
    std::hint::black_box(&room);
    reserved.map_err(|_| nix::errno::Errno::ENOMEM.into())
}

/// One worker. It is created on the main thread and then moves to its own.
#[derive(Debug)]
pub(crate) struct Worker {
    number: usize,
    supplies: Supplies,
    snapshots: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    waiting: Waiting,
    messages: Batch,
    readings: Readings,
    send: SendQueue,
    outbox: Outbox,
    proxy: Proxy,
    /// The way to the workers that have the transactions of a call; `None` if there is only one.
    hand_overs: Option<Arc<HandOvers>>,
    errors: ErrorReader,
    /// By listener: the number of the last ICMP error that was taken, until a read fails with it.
    taken: Box<[Option<i32>]>,
    /// Who watches messages.
    tapped: Tapped,
}

impl Worker {
    /// Creates worker `number` with all the memory that it will ever need.
    pub(crate) fn new(number: usize, supplies: Supplies) -> io::Result<(Self, Waker)> {
        check_memory(supplies.shared.transactions.memory())?;
        let listeners = supplies.sockets.listeners();
        let socket = |listener| supplies.sockets.get(ListenerId(listener as u16), number);
        let sockets = (0..listeners).map(socket);
        let (waiting, waker) = Waiting::new(supplies.poll, supplies.poll_gather, sockets)?;
        let worker = Self {
            number,
            snapshots: Cache::new(Arc::clone(&supplies.snapshot)),
            waiting,
            messages: Batch::new()?,
            readings: Readings::default(),
            send: SendQueue::new(listeners),
            outbox: Outbox::new(),
            proxy: Proxy::new(Arc::clone(&supplies.shared)),
            hand_overs: None,
            errors: ErrorReader::new(),
            taken: vec![None; listeners].into(),
            tapped: Tapped::new(&supplies.capture),
            supplies,
        };
        Ok((worker, waker))
    }

    /// Runs until the stop flag is set.
    pub(crate) fn run(&mut self) {
        // Relaxed: the flag publishes nothing else, and the waker fires after it is set.
        while !self.supplies.stop.load(Ordering::Relaxed) {
            let has_more = self.hand_overs.as_deref().is_some_and(|to| !to.is_empty(self.number));
            self.waiting.wait(self.proxy.next_deadline(), has_more);
            self.take_snapshot();
            self.tapped.watched.refresh();
            self.take_over();
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
            self.expire();
            self.stats().went_round();
        }
    }

    /// Gives the worker the way to the others, before it starts.
    pub(crate) fn connect(&mut self, hand_overs: Arc<HandOvers>) {
        self.hand_overs = Some(hand_overs);
    }

    /// Handles what other workers have handed over.
    fn take_over(&mut self) {
        let waits = |to: &&Arc<HandOvers>| !to.is_empty(self.number);
        let Some(hand_overs) = self.hand_overs.as_ref().filter(waits).cloned() else { return };
        let now = monotonic_now();
        hand_overs.take(self.number, |what, slot, place| match what {
            What::Datagram(flow) if self.tapped.watched.is_armed() => {
                self.take_datagram_tapped(now, flow, slot, place);
            }
            What::Datagram(flow) => drop(self.take_datagram(now, flow, slot, place)),
            // The worker that got it has told the others.
            What::Report(address, errno) => {
                let snapshot = self.snapshots.load();
                self.proxy.send_failed(now, snapshot, address, errno, &slot[place]);
            }
        });
        self.flush(now);
    }

    fn take_datagram(
        &mut self,
        now: Now,
        flow: Flow,
        slot: &mut [u8],
        place: Range<usize>,
    ) -> Verdict {
        self.make_room(now);
        let Self { number, supplies, snapshots, messages, send, outbox, proxy, .. } = self;
        let snapshot = snapshots.load();
        let queued = messages.len();
        let handled = catch(|| {
            let frame = Frame::new(slot, place);
            let tell = |event: &Event<'_>| supplies.tell(*number, event);
            let verdict = proxy.datagram_told(now, snapshot, flow, frame, outbox, tell);
            send.push_copies(messages, slot, outbox);
            verdict
        });
        if handled.is_none() {
            self.forget(queued);
        }
        let verdict = handled.unwrap_or(Verdict::Dropped(Reason::Panicked));
        self.stats().taken_over(verdict);
        verdict
    }

    /// Does what is due for transactions, at most for some of them; the rest is due at once again.
    fn expire(&mut self) {
        // The clock is read only if something is due.
        let Some(due) = self.proxy.next_deadline() else { return };
        let now = monotonic_now();
        if due > now {
            return;
        }
        for _ in 0..EXPIRE_MAX {
            self.make_room(now);
            let Self { number, supplies, snapshots, messages, send, outbox, proxy, .. } = self;
            let snapshot = snapshots.load();
            let queued = messages.len();
            let tell = |event: &Event<'_>| supplies.tell(*number, event);
            let is_any = catch(|| {
                let is_any = proxy.expire(now, snapshot, outbox, tell);
                send.push_copies(messages, &[], outbox);
                is_any
            });
            if is_any.is_none() {
                self.stats().restarted();
                self.forget(queued);
            }
            if self.tapped.watched.is_armed() {
                self.show_sent(queued);
            }
            if is_any != Some(true) {
                break;
            }
        }
        self.flush(now);
    }

    /// After a panic: discards what it may have left, but for the first `queued` messages.
    fn forget(&mut self, queued: usize) {
        self.send.truncate(&mut self.messages, queued);
        self.outbox.clear();
        self.proxy.reset();
    }

    /// Sends what is queued if there is no room for more.
    fn make_room(&mut self, now: Now) {
        if !self.messages.has_room() {
            self.flush(now);
        }
    }

    /// Sends what is queued.
    fn flush(&mut self, now: Now) {
        let Self {
            number,
            supplies,
            snapshots,
            messages,
            send,
            proxy,
            hand_overs,
            errors,
            taken,
            ..
        } = self;
        let snapshot = snapshots.load();
        let stats = &supplies.stats[*number];
        let socket_of = |listener| -> BorrowedFd<'_> { supplies.sockets.get(listener, *number) };
        let hand_overs = hand_overs.as_deref();
        let mut reporter =
            Reporter { now, number: *number, supplies, snapshot, proxy, hand_overs, errors, taken };
        send.flush(messages, stats, socket_of, &mut reporter);
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
        self.stats().runs_as(nix::unistd::gettid().as_raw().unsigned_abs().into());
        drop(self.supplies.snapshot.load_full());
        self.take_snapshot();
    }

    /// Switches to the newest snapshot, so that an idle worker does not hold an old one.
    fn take_snapshot(&mut self) {
        let snapshot = self.snapshots.load();
        let version = snapshot.version;
        self.proxy.take_snapshot(snapshot);
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
        if self.tapped.watched.is_armed() {
            self.handle_tapped(now, listener, received);
        } else {
            for part in Readings::parts(received) {
                part.clone().for_each(|i| self.read_ahead(i));
                for i in part {
                    let datagram = self.messages.received(i);
                    let verdict = self.handle(now, listener, i, datagram);
                    self.stats().received(datagram.len, verdict);
                }
            }
        }
        self.flush(now);
        received == BATCH
    }

    /// Reads datagram `i` of the batch before it is handled.
    fn read_ahead(&mut self, i: usize) {
        let Self { messages, readings, proxy, supplies, .. } = self;
        let reading = readings.of(i);
        let datagram = messages.received(i);
        let (slot, place) = messages.slot_mut(i, datagram);
        let bytes = &slot[place];
        // What panics is not read ahead, and panics again when it is handled: that is counted.
        let is_read = catch(|| {
            if let Some(fault) = &supplies.fault {
                fault.check(bytes);
            }
            proxy.read_ahead(bytes, reading);
        });
        if is_read.is_none() {
            reading.clear();
        }
    }

    /// Handles datagram `i` of the batch.
    fn handle(&mut self, now: Now, listener: ListenerId, i: usize, datagram: Received) -> Verdict {
        if datagram.is_truncated {
            return Verdict::Dropped(Reason::Truncated);
        }
        let Some(source) = datagram.source else { return Verdict::Dropped(Reason::NotSip) };
        self.make_room(now);
        let Self { number, supplies, snapshots, messages, readings, send, outbox, proxy, .. } =
            self;
        let snapshot = snapshots.load();
        let flow = Flow::new(&supplies.shared.listeners, listener, source);
        let queued = messages.len();
        let handled = catch(|| {
            let (slot, place) = messages.slot_mut(i, datagram);
            if let Some(fault) = &supplies.fault {
                fault.check(&slot[place.clone()]);
            }
            let frame = Frame::new(slot, place).with_reading(readings.of(i));
            let tell = |event: &Event<'_>| supplies.tell(*number, event);
            let verdict = proxy.datagram_told(now, snapshot, flow, frame, outbox, tell);
            send.push(messages, i, outbox);
            verdict
        });
        match handled {
            Some(Verdict::HandedOver(owner)) => {
                let (slot, place) = self.messages.slot_mut(i, datagram);
                let is_handed = self.hand_overs.as_ref().is_some_and(|to| {
                    to.hand_over(owner.into(), What::Datagram(flow), &slot[place])
                });
                if is_handed {
                    Verdict::HandedOver(owner)
                } else {
                    Verdict::Dropped(Reason::OwnerBusy)
                }
            }
            Some(verdict) => verdict,
            None => {
                self.forget(queued);
                Verdict::Dropped(Reason::Panicked)
            }
        }
    }

    fn reporter(&mut self, now: Now) -> Reporter<'_> {
        let Self { number, supplies, snapshots, proxy, hand_overs, errors, taken, .. } = self;
        let snapshot = snapshots.load();
        let hand_overs = hand_overs.as_deref();
        Reporter { now, number: *number, supplies, snapshot, proxy, hand_overs, errors, taken }
    }
}
