//! Counters: one block per worker, written only by that worker, readable by anyone.
//!
//! The law that every test may assert: received + taken over = forwarded + answered + dropped + handed
//! over.

mod answers;
mod failure;
mod summary;
mod totals;
mod traffic;

use crossbeam::utils::CachePadded;

pub use answers::{BOUNDS_MS, SlotAnswers, Times};
pub use failure::SendFailure;
pub use totals::{PinTotals, Totals, TransactionTotals};
pub use traffic::{FailedCalls, SlotTraffic, Traffic};

use crate::proxy::{Answer, Cause, Forwarded, Reason, Verdict};
use crate::sync::{AtomicU64, Ordering};

/// The counters of one worker, on separate cache lines.
#[derive(Debug, Default)]
pub struct WorkerStats {
    counters: CachePadded<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    received: Counter,
    received_bytes: Counter,
    receive_failed: Counter,
    forwarded: [Counter; Forwarded::COUNT],
    answered: [Counter; Answer::COUNT],
    dropped: [Counter; Reason::COUNT],
    handed_over: Counter,
    taken_over: Counter,
    sent_forward: Counter,
    sent_answer: Counter,
    sent_transaction: Counter,
    send_retried: Counter,
    send_failed: [Counter; SendFailure::COUNT],
    restarts: Counter,
    rounds: Counter,
    reports_proven: Counter,
    reports_unproven: Counter,
    reports_other: Counter,
    snapshot_version: AtomicU64,
    thread_id: AtomicU64,
}

impl WorkerStats {
    /// Notes the number of the worker's thread.
    pub(crate) fn runs_as(&self, thread_id: u64) {
        // Relaxed, here and below: a number, which orders nothing.
        self.counters.thread_id.store(thread_id, Ordering::Relaxed);
    }

    /// Returns the number of the worker's thread; `None` before it runs.
    pub(crate) fn thread_id(&self) -> Option<u64> {
        let thread_id = self.counters.thread_id.load(Ordering::Relaxed);
        (thread_id > 0).then_some(thread_id)
    }

    /// Counts a datagram of `bytes` bytes with its verdict.
    pub(crate) fn received(&self, bytes: usize, verdict: Verdict) {
        let c = &self.counters;
        self.ends(verdict);
        c.received.add(1);
        c.received_bytes.add(bytes as u64);
    }

    /// Counts a datagram that another worker has handed over, with its verdict.
    pub(crate) fn taken_over(&self, verdict: Verdict) {
        self.ends(verdict);
        self.counters.taken_over.add(1);
    }

    fn ends(&self, verdict: Verdict) {
        let c = &self.counters;
        match verdict {
            Verdict::Forwarded(kind) => c.forwarded[kind as usize].add(1),
            Verdict::Answered(answer) => c.answered[answer as usize].add(1),
            Verdict::Dropped(reason) => c.dropped[reason as usize].add(1),
            Verdict::HandedOver(_) => c.handed_over.add(1),
        }
    }

    /// Counts a failed read from a socket.
    pub(crate) fn receive_failed(&self) {
        self.counters.receive_failed.add(1);
    }

    /// Counts a message that the kernel accepted.
    pub(crate) fn sent(&self, cause: Cause) {
        match cause {
            Cause::Forward => self.counters.sent_forward.add(1),
            Cause::Answer => self.counters.sent_answer.add(1),
            Cause::Transaction => self.counters.sent_transaction.add(1),
        }
    }

    /// Counts a message that the kernel refused once and that is sent again.
    pub(crate) fn send_retried(&self) {
        self.counters.send_retried.add(1);
    }

    /// Counts a message that the kernel refused for good.
    pub(crate) fn send_failed(&self, failure: SendFailure) {
        self.counters.send_failed[failure as usize].add(1);
    }

    /// Counts a report that a message was not delivered: whether it is proven, or `None` if it is
    /// not about a destination.
    pub(crate) fn reported(&self, is_proven: Option<bool>) {
        match is_proven {
            Some(true) => self.counters.reports_proven.add(1),
            Some(false) => self.counters.reports_unproven.add(1),
            None => self.counters.reports_other.add(1),
        }
    }

    /// Counts a recovery of the worker from a panic outside datagram handling.
    pub(crate) fn restarted(&self) {
        self.counters.restarts.add(1);
    }

    /// Counts a round of the worker's loop that has come to its end.
    pub(crate) fn went_round(&self) {
        self.counters.rounds.add(1);
    }

    /// Returns how often the worker has gone round its loop.
    pub(crate) fn rounds(&self) -> u64 {
        self.counters.rounds.get()
    }

    /// Records that the worker uses this snapshot from now on.
    pub(crate) fn uses_snapshot(&self, version: u64) {
        // Release: pairs with the load below. Who reads this number also sees the pins that the
        // worker stored with older snapshots.
        self.counters.snapshot_version.store(version, Ordering::Release);
    }

    /// Returns the version of the snapshot that the worker uses; 0 before its first.
    pub fn snapshot_version(&self) -> u64 {
        self.counters.snapshot_version.load(Ordering::Acquire)
    }
}

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, n: u64) {
        // A load and a store instead of fetch_add: with only one writer nothing can be lost, and
        // this avoids a bus lock. Relaxed: nothing else is published through a counter.
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(n), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_counts_once() {
        let stats = WorkerStats::default();
        for kind in Forwarded::ALL {
            stats.received(1, Verdict::Forwarded(*kind));
        }
        for answer in Answer::ALL {
            stats.received(1, Verdict::Answered(*answer));
        }
        for reason in Reason::ALL {
            stats.received(1, Verdict::Dropped(*reason));
        }
        stats.sent(Cause::Forward);
        stats.send_failed(SendFailure::TooLong);
        let totals: Totals = [&stats, &stats].into_iter().collect();
        let kinds = (Forwarded::COUNT + Answer::COUNT + Reason::COUNT) as u64;
        assert_eq!(totals.received, 2 * kinds);
        assert_eq!(totals.received_bytes, 2 * kinds);
        assert_eq!(totals.of(Verdict::Dropped(Reason::Panicked)), 2);
        assert_eq!(totals.unaccounted(), 0);
        let named: Vec<_> = totals.iter().filter(|(_, n)| *n == 2).collect();
        assert_eq!(named.len() as u64, kinds + 2);
        assert!(totals.iter().any(|(name, _)| name == "sent.forward"));
    }
}
