//! A worker that is watched: what it receives and queues is shown to the taps ([`crate::capture`]).
//!
//! A datagram is edited where it lies, and what becomes of it is known only then. So it is copied
//! before it is handled, and shown after it with its verdict and with the messages that were queued
//! because of it. What the kernel refuses to send is shown, too; `send_failed` counts it.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Worker;
use crate::capture::{Capture, Facts, Record, Subject, Watched, What};
use crate::clock::Now;
use crate::limits::{OUTBOX_MAX, SLOT_BYTES};
use crate::proxy::{Flow, ListenerId, Reason, Verdict};
use crate::transport::send::SendQueue;
use crate::transport::sys::Batch;

/// What a worker needs for the taps.
#[derive(Debug)]
pub(super) struct Tapped {
    pub(super) watched: Watched,
    /// The datagram that is handled, as it was received. Its pages cost memory only once they are used.
    copy: Box<[u8]>,
}

impl Tapped {
    pub(super) fn new(capture: &Arc<Capture>) -> Self {
        Self { watched: Watched::new(Arc::clone(capture)), copy: vec![0; SLOT_BYTES].into() }
    }
}

/// A datagram that was copied before it was handled.
#[derive(Clone, Copy)]
struct Arrived {
    at: Duration,
    listener: ListenerId,
    peer: SocketAddr,
    len: usize,
}

impl Worker {
    /// Handles the datagrams of a batch.
    #[cold]
    pub(super) fn handle_tapped(&mut self, now: Now, listener: ListenerId, received: usize) {
        // None is read ahead here.
        self.readings.clear();
        for i in 0..received {
            // So that what is queued below is still there after it.
            self.make_room(now);
            let datagram = self.messages.received(i);
            let arrived = datagram.source.map(|peer| {
                let (slot, place) = self.messages.slot_mut(i, datagram);
                let len = place.len();
                self.tapped.copy[..len].copy_from_slice(&slot[place]);
                Arrived { at: wall_clock(), listener, peer, len }
            });
            let queued = self.messages.len();
            let verdict = self.handle(now, listener, i, datagram);
            self.stats().received(datagram.len, verdict);
            if let Some(arrived) = arrived {
                self.show(arrived, verdict, queued);
            }
        }
    }

    /// Handles a datagram that another worker has handed over.
    #[cold]
    pub(super) fn take_datagram_tapped(
        &mut self,
        now: Now,
        flow: Flow,
        slot: &mut [u8],
        place: Range<usize>,
    ) {
        self.make_room(now);
        let len = place.len();
        self.tapped.copy[..len].copy_from_slice(&slot[place.clone()]);
        let arrived = Arrived { at: wall_clock(), listener: flow.listener, peer: flow.peer, len };
        let queued = self.messages.len();
        let verdict = self.take_datagram(now, flow, slot, place);
        self.show(arrived, verdict, queued);
    }

    /// Shows the copied datagram, and the messages from `queued` on, which were queued because of it.
    fn show(&self, arrived: Arrived, verdict: Verdict, queued: usize) {
        // Its owner shows it. Probes leave without a worker, so their responses would be without them.
        let is_shown =
            !matches!(verdict, Verdict::HandedOver(_) | Verdict::Dropped(Reason::ProbeReply));
        if !is_shown {
            return;
        }
        let bytes = &self.tapped.copy[..arrived.len];
        let (sent, count) = self.next_hops(queued);
        let facts = Facts::read(bytes);
        let Arrived { at, listener, peer, len } = arrived;
        let subject = Subject { facts: &facts, peer, next_hops: &sent[..count] };
        self.tapped.watched.show(&subject, |put| {
            let what = What::Received(verdict);
            put(Record { at, worker: self.number as u16, listener, peer, what, len }, bytes);
            for message in queued..self.messages.len() {
                if let Some(record) = self.record(message) {
                    put(record, self.messages.message(message));
                }
            }
        });
    }

    /// Shows each message from `queued` on, which a transaction has queued by itself.
    #[cold]
    pub(super) fn show_sent(&self, queued: usize) {
        for message in queued..self.messages.len() {
            let Some(record) = self.record(message) else { continue };
            let bytes = self.messages.message(message);
            let facts = Facts::read(bytes);
            let subject = Subject { facts: &facts, peer: record.peer, next_hops: &[] };
            self.tapped.watched.show(&subject, |put| put(record, bytes));
        }
    }

    fn next_hops(&self, queued: usize) -> ([SocketAddr; OUTBOX_MAX], usize) {
        let mut all = [SocketAddr::from(([0; 4], 0)); OUTBOX_MAX];
        let queued = (queued..self.messages.len()).filter_map(|at| self.messages.next_hop(at));
        let count = all.iter_mut().zip(queued).map(|(place, hop)| *place = hop).count();
        (all, count)
    }

    /// Returns what is known of a queued message.
    fn record(&self, message: usize) -> Option<Record> {
        let (messages, send): (&Batch, &SendQueue) = (&self.messages, &self.send);
        let (listener, cause) = send.of(message)?;
        let (at, peer, what) = (wall_clock(), messages.next_hop(message)?, What::Sent(cause));
        let len = messages.message(message).len();
        Some(Record { at, worker: self.number as u16, listener, peer, what, len })
    }
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
