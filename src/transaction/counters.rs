//! What the transactions of all workers did.

use std::sync::atomic::{AtomicU64, Ordering};

use super::effect::Left;

/// Counters that all workers share. They change only when something goes wrong at a destination, or
/// when a transaction begins or ends.
#[derive(Debug, Default)]
pub struct TransactionCounters {
    /// Transactions that began.
    pub begun: AtomicU64,
    /// Transactions that ended; those of a worker that panicked are among them.
    pub ended: AtomicU64,
    /// Requests that had no room for a transaction.
    pub no_room: AtomicU64,
    /// Tries that were sent after the first one of their transaction.
    pub further_tries: AtomicU64,
    /// Tries that were left, by why: see [`Left::LABELS`].
    pub left: [AtomicU64; Left::LABELS.len()],
    /// Requests that got no further try because the set had too many of them.
    pub over_budget: AtomicU64,
    /// Requests that no other destination was left for.
    pub none_left: AtomicU64,
    /// Requests that were sent to the same destination again.
    pub repeated: AtomicU64,
    /// CANCELs that were sent to destinations, copies included.
    pub cancels: AtomicU64,
}

impl TransactionCounters {
    pub(crate) fn left(&self, left: Left) {
        count(&self.left[left.place()], 1);
    }
}

/// Adds to a counter that all workers share.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    // Relaxed: a number.
    counter.fetch_add(n, Ordering::Relaxed);
}
