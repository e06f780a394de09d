//! What others see of a run while it goes on, and how they end it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A view of a run for another thread. Each run has its own.
#[derive(Debug)]
pub struct Watch {
    threads: Box<[Progress]>,
    is_stopped: AtomicBool,
    is_aborted: AtomicBool,
    /// When the first thread saw that it is stopped, in ns since the run began; 0: none has.
    stopped_at: AtomicU64,
    /// Threads whose callers have not ended.
    busy: AtomicUsize,
    /// When the last thread has ended, in ns since the run began.
    last_left: AtomicU64,
}

/// What the calls of one thread are at.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) started: AtomicU64,
    pub(super) good: AtomicU64,
    pub(super) bad: AtomicU64,
}

/// How many calls were started and have ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Started.
    pub started: u64,
    /// Ended as planned.
    pub good: u64,
    /// Ended otherwise.
    pub bad: u64,
}

impl Watch {
    /// One for a run of so many threads as its plan says.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: (0..threads).map(|_| Progress::default()).collect(),
            is_stopped: AtomicBool::new(false),
            is_aborted: AtomicBool::new(false),
            stopped_at: AtomicU64::new(0),
            busy: AtomicUsize::new(threads),
            last_left: AtomicU64::new(0),
        }
    }

    /// Starts no more calls; those in progress go on to their end.
    pub fn stop(&self) {
        // Relaxed, also below: nothing else is published with it.
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Ends the calls in progress, too.
    pub fn abort(&self) {
        self.stop();
        self.is_aborted.store(true, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for progress in &self.threads {
            // Relaxed: the numbers are shown, not compared.
            seen.started += progress.started.load(Ordering::Relaxed);
            seen.good += progress.good.load(Ordering::Relaxed);
            seen.bad += progress.bad.load(Ordering::Relaxed);
        }
        seen
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// The same, for a thread that starts calls; it notes the time.
    pub(super) fn is_stopped_by(&self, now: u64) -> bool {
        if !self.is_stopped() {
            return false;
        }
        // Relaxed: it is read after the threads have been joined. The first one counts.
        let at = now.max(1);
        let _ = self.stopped_at.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        true
    }

    /// When it was stopped, in ns since the run began.
    pub(super) fn stopped_at(&self) -> Option<u64> {
        Some(self.stopped_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Relaxed)
    }

    pub(super) fn progress(&self, thread: usize) -> &Progress {
        &self.threads[thread]
    }

    /// The callers of a thread have ended; its servers go on.
    pub(super) fn leave(&self) {
        // Relaxed: a thread that sees it late serves a little longer.
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the callers of all threads have ended, long enough ago for the last ACKs to arrive.
    pub(super) fn have_all_left(&self, now: u64) -> bool {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return false;
        }
        // The first one that sees it says when.
        let first = self.last_left.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        now >= first.map_or_else(|at| at, |_| now) + SETTLE
    }

    /// When the callers of all threads had ended, in ns since the run began.
    pub(super) fn ended_at(&self) -> u64 {
        self.last_left.load(Ordering::Relaxed)
    }
}

/// A relay may hold the last messages this long, in ns.
const SETTLE: u64 = 200_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_end_a_while_after_the_last_caller() {
        let watch = Watch::new(2);
        watch.leave();
        assert!(!watch.have_all_left(SETTLE * 10));
        watch.leave();
        let at = SETTLE * 20;
        assert!(!watch.have_all_left(at));
        assert!(!watch.have_all_left(at + SETTLE - 1));
        assert!(watch.have_all_left(at + SETTLE));
        assert_eq!(watch.ended_at(), at);
    }

    #[test]
    fn stopping_and_aborting() {
        let watch = Watch::new(1);
        assert!(!watch.is_stopped_by(3) && !watch.is_aborted());
        assert_eq!(watch.stopped_at(), None);
        watch.stop();
        assert!(watch.is_stopped_by(5) && watch.is_stopped_by(9) && !watch.is_aborted());
        assert_eq!(watch.stopped_at(), Some(5));
        watch.abort();
        assert!(watch.is_aborted());
    }

    #[test]
    fn what_threads_do_adds_up() {
        let watch = Watch::new(2);
        for (at, n) in [(0, 1), (1, 10)] {
            watch.progress(at).started.store(3 * n, Ordering::Relaxed);
            watch.progress(at).good.store(2 * n, Ordering::Relaxed);
            watch.progress(at).bad.store(n, Ordering::Relaxed);
        }
        assert_eq!(watch.seen(), Seen { started: 33, good: 22, bad: 11 });
    }
}
