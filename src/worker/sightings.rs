//! What workers see of destinations and the control thread must know at once: answers to probes, and
//! reports that a destination cannot be reached.
//!
//! Two bounded rings lead to one thread. One is for what is proven. The other is for what anybody can
//! forge, so that a storm of forged reports takes no room from the others.
//!
//! **Orderings.** The rings order their own content. A worker pushes, then unparks; the thread takes
//! everything, then parks. An unpark before the park makes it return at once, so nothing that was
//! pushed waits longer than the thread's timeout.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};

use crossbeam::queue::ArrayQueue;

use crate::limits::{HINTS_MAX, SIGHTINGS_MAX};
use crate::proxy::{ProbeAnswer, Unreachable};

/// What a worker saw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sighting {
    /// A probe was answered.
    ProbeAnswered(ProbeAnswer),
    /// A message to a destination was not delivered.
    Unreachable(Unreachable),
}

/// The way from the workers to the one thread that watches the destinations.
#[derive(Debug)]
pub struct Sightings {
    proven: ArrayQueue<Sighting>,
    hints: ArrayQueue<Sighting>,
    watcher: OnceLock<Thread>,
    lost: AtomicU64,
}

impl Sightings {
    /// Creates it, with all the memory that it will ever need.
    pub fn new() -> Self {
        Self {
            proven: ArrayQueue::new(SIGHTINGS_MAX),
            hints: ArrayQueue::new(HINTS_MAX),
            watcher: OnceLock::new(),
            lost: AtomicU64::new(0),
        }
    }

    /// Makes the calling thread the one that is woken; only the first call has an effect. Before it,
    /// nothing is kept.
    pub fn watch_here(&self) {
        let _ = self.watcher.set(thread::current());
    }

    /// Hands a sighting over and wakes the thread; if there is no room, it is lost and counted.
    pub fn push(&self, sighting: Sighting) {
        let Some(watcher) = self.watcher.get() else { return };
        let is_hint = matches!(sighting, Sighting::Unreachable(report) if !report.is_proven);
        let queue = if is_hint { &self.hints } else { &self.proven };
        if queue.push(sighting).is_err() {
            // Relaxed: a number. The thread was woken for those that are in the queue.
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        watcher.unpark();
    }

    /// Wakes the thread: something else than a sighting is to be looked at.
    pub fn wake(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
    }

    /// Takes the oldest sighting, proven ones first. The thread takes all before it parks.
    pub fn pop(&self) -> Option<Sighting> {
        self.proven.pop().or_else(|| self.hints.pop())
    }

    /// Returns how many were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Default for Sightings {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::destination::Slot;

    fn report(errno: i32, is_proven: bool) -> Sighting {
        let address = "192.0.2.9:5060".parse().unwrap();
        Sighting::Unreachable(Unreachable {
            address,
            slot: Slot(1),
            errno,
            is_proven,
            probe: None,
            owner: None,
        })
    }

    #[test]
    fn nothing_is_kept_before_somebody_watches() {
        let sightings = Sightings::new();
        sightings.push(report(1, true));
        sightings.watch_here();
        assert_eq!((sightings.pop(), sightings.lost()), (None, 0));
    }

    #[test]
    fn a_storm_of_forged_reports_takes_no_room_from_proven_ones() {
        let sightings = Sightings::new();
        sightings.watch_here();
        (0..HINTS_MAX + 5).for_each(|_| sightings.push(report(0, false)));
        assert_eq!(sightings.lost(), 5);
        sightings.push(report(1, true));
        sightings.push(report(2, true));
        assert_eq!(sightings.lost(), 5);
        let all: Vec<_> = std::iter::from_fn(|| sightings.pop()).collect();
        assert_eq!(all[..3], [report(1, true), report(2, true), report(0, false)]);
        assert_eq!(all.len(), HINTS_MAX + 2);
        (0..=SIGHTINGS_MAX).for_each(|_| sightings.push(report(1, true)));
        assert_eq!(sightings.lost(), 6);
    }

    #[test]
    fn a_push_wakes_the_thread_that_watches() {
        let sightings = Arc::new(Sightings::new());
        let watcher = Arc::clone(&sightings);
        let thread = thread::spawn(move || {
            watcher.watch_here();
            let begin = Instant::now();
            loop {
                if let Some(sighting) = watcher.pop() {
                    return (sighting, begin.elapsed());
                }
                thread::park_timeout(Duration::from_mins(1));
            }
        });
        while sightings.watcher.get().is_none() {
            thread::yield_now();
        }
        sightings.push(report(1, true));
        let (sighting, took) = thread.join().unwrap();
        assert_eq!(sighting, report(1, true));
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
}
