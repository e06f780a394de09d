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
    /// Further tries, by why the one before was left: see [`LeftBecause::ALL`].
    pub left: [AtomicU64; LeftBecause::ALL.len()],
    /// Requests that got no further try because the set had too many of them.
    pub over_budget: AtomicU64,
    /// Requests that no other destination was left for.
    pub none_left: AtomicU64,
    /// Requests that were sent to the same destination again.
    pub repeated: AtomicU64,
    /// CANCELs that were sent to destinations, copies included.
    pub cancels: AtomicU64,
}

/// Why a try was left, as it is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeftBecause {
    /// A final response that is in the list of codes.
    Code,
    /// No response in time.
    Silent,
    /// No more than a 100 in time.
    NoProgress,
    /// An ICMP error, or the kernel refused to send.
    Unreachable,
    /// The destination was declared inactive.
    Inactive,
}

impl LeftBecause {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 5] =
        [Self::Code, Self::Silent, Self::NoProgress, Self::Unreachable, Self::Inactive];

    /// Returns the counter's name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Silent => "silent",
            Self::NoProgress => "no_progress",
            Self::Unreachable => "unreachable",
            Self::Inactive => "inactive",
        }
    }
}

impl From<Left> for LeftBecause {
    fn from(left: Left) -> Self {
        match left {
            Left::Code(_) => Self::Code,
            Left::Silent => Self::Silent,
            Left::NoProgress => Self::NoProgress,
            Left::Unreachable => Self::Unreachable,
            Left::Inactive => Self::Inactive,
        }
    }
}

impl TransactionCounters {
    pub(crate) fn left(&self, left: Left) {
        count(&self.left[LeftBecause::from(left) as usize], 1);
    }
}

/// Adds to a counter that all workers share.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    // Relaxed: a number.
    counter.fetch_add(n, Ordering::Relaxed);
}
