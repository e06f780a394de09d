//! The calls that a tap has begun to follow: all their later messages belong to it, whoever they are
//! from.

use crate::limits::CAPTURE_FOLLOWED_MAX;
use crate::sync::{AtomicU64, Ordering};

/// Hashes of Call-IDs, shared by all workers. A newer call may take the place of an older one.
#[derive(Debug)]
pub(super) struct Followed {
    calls: Box<[AtomicU64]>,
}

impl Followed {
    pub(super) fn new() -> Self {
        Self { calls: (0..CAPTURE_FOLLOWED_MAX).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Relaxed: a single word is complete by itself. A worker that does not see it yet misses one
    /// message that came to it at the same moment.
    pub(super) fn add(&self, call: u64) {
        self.calls[place(call)].store(call, Ordering::Relaxed);
    }

    pub(super) fn has(&self, call: u64) -> bool {
        self.calls[place(call)].load(Ordering::Relaxed) == call
    }
}

fn place(call: u64) -> usize {
    (call % CAPTURE_FOLLOWED_MAX as u64) as usize
}
