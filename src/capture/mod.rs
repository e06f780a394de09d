//! Copies of the messages of selected calls, as they were received and as they were sent, for whoever
//! watches: `strowger trace`, and Homer.
//!
//! A watcher arms a [`Tap`] with a [`Filter`] and reads what the workers put into its rings, one for
//! each worker. Without a tap a worker does one relaxed load per round. With one, it never waits: what
//! a ring has no room for is lost and counted.
//!
//! **Orderings.** `generation` says that the list of taps changed; the list itself is behind arc-swap.
//! The list is stored before `generation` is raised with release, and a worker that sees a new number
//! loads it again with acquire before it loads the list. So it gets that list or a newer one.

mod filter;
mod followed;
pub mod hep;
#[cfg(not(loom))]
pub mod pcap;
mod ring;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use filter::{BadPattern, Facts, Filter, Subject};
pub use ring::{Record, Ring, What};

use crate::limits::{CAPTURE_RETIRED_MAX, CAPTURES_MAX};
use crate::sync::{Arc, ArcSwap, AtomicU64, Ordering};
use followed::Followed;

/// All taps of a relay.
#[derive(Debug)]
pub struct Capture {
    workers: usize,
    /// Raised whenever the list changes.
    generation: AtomicU64,
    taps: ArcSwap<Taps>,
    /// Lists that a worker may still use. The last reference is dropped here, so no worker frees
    /// memory.
    retired: Mutex<Vec<Arc<Taps>>>,
    counters: Counters,
}

/// The taps that are armed.
pub type Taps = Vec<Arc<Tap>>;

/// What all taps together counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that were copied.
    pub recorded: AtomicU64,
    /// Messages that a ring had no room for.
    pub lost: AtomicU64,
}

/// One watcher's filter and rings.
#[derive(Debug)]
pub struct Tap {
    filter: Filter,
    followed: Followed,
    /// One per worker, by its number.
    rings: Box<[Ring]>,
    lost: AtomicU64,
}

/// There are as many taps as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany;

impl Capture {
    /// Creates one without taps, for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            generation: AtomicU64::new(0),
            taps: ArcSwap::from_pointee(Vec::new()),
            retired: Mutex::new(Vec::new()),
            counters: Counters::default(),
        }
    }

    /// Adds a tap. Workers use it from their next round on.
    ///
    /// # Errors
    /// There are [`CAPTURES_MAX`] already, or workers have not yet let go of enough earlier ones.
    pub fn arm(&self, filter: Filter) -> Result<Arc<Tap>, TooMany> {
        let retired = self.change();
        let taps = self.taps.load_full();
        if taps.len() >= CAPTURES_MAX || retired.len() >= CAPTURE_RETIRED_MAX {
            return Err(TooMany);
        }
        let tap = Arc::new(Tap {
            filter,
            followed: Followed::new(),
            rings: (0..self.workers).map(|_| Ring::new()).collect(),
            lost: AtomicU64::new(0),
        });
        let mut next = Taps::clone(&taps);
        next.push(Arc::clone(&tap));
        self.publish(next, retired);
        Ok(tap)
    }

    /// Removes a tap, if it is there.
    pub fn disarm(&self, tap: &Arc<Tap>) {
        let retired = self.change();
        let taps = self.taps.load_full();
        let others = taps.iter().filter(|other| !Arc::ptr_eq(other, tap));
        self.publish(others.cloned().collect(), retired);
    }

    /// Frees what no worker uses any more.
    pub fn sweep(&self) {
        drop(self.change());
    }

    /// Returns whether every worker uses the newest list.
    pub fn is_seen(&self) -> bool {
        // Besides them, there are the one that is in force and ours.
        Arc::strong_count(&self.taps.load_full()) >= self.workers + 2
    }

    /// Returns how many taps there are.
    pub fn armed(&self) -> usize {
        self.taps.load_full().len()
    }

    /// Returns what all taps together counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn change(&self) -> MutexGuard<'_, Vec<Arc<Taps>>> {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|taps| Arc::strong_count(taps) > 1);
        retired
    }

    fn publish(&self, next: Taps, mut retired: MutexGuard<'_, Vec<Arc<Taps>>>) {
        retired.push(self.taps.swap(Arc::new(next)));
        self.generation.fetch_add(1, Ordering::Release);
    }
}

impl Tap {
    /// Returns how many messages did not fit its rings.
    pub fn lost(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes the oldest records of each worker, at most `max` together; returns whether there may be
    /// more.
    pub fn take(&self, max: usize, mut each: impl FnMut(&Record, &[u8])) -> bool {
        let mut left = max;
        for ring in &self.rings {
            while left > 0 && ring.take(&mut each) {
                left -= 1;
            }
        }
        left == 0
    }

    fn put(&self, capture: &Capture, record: Record, bytes: &[u8]) {
        // Relaxed: counts, which order nothing.
        if self.rings[usize::from(record.worker)].put(record, bytes) {
            capture.counters.recorded.fetch_add(1, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            capture.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A worker's view of the taps.
#[derive(Debug)]
pub struct Watched {
    capture: Arc<Capture>,
    generation: u64,
    taps: Arc<Taps>,
}

impl Watched {
    /// Creates the view of a worker that has not looked yet.
    pub fn new(capture: Arc<Capture>) -> Self {
        Self { taps: capture.taps.load_full(), generation: 0, capture }
    }

    /// Takes the newest list of taps.
    #[inline]
    pub fn refresh(&mut self) {
        // Relaxed: a newer number only leads to the acquire below.
        if self.capture.generation.load(Ordering::Relaxed) != self.generation {
            self.take_list();
        }
    }

    #[cold]
    fn take_list(&mut self) {
        self.generation = self.capture.generation.load(Ordering::Acquire);
        self.taps = self.capture.taps.load_full();
    }

    /// Returns whether there is a tap.
    #[inline]
    pub fn is_armed(&self) -> bool {
        !self.taps.is_empty()
    }

    /// Shows a message with what was sent because of it, if anything, to each tap. `subject` is what
    /// the tap decides by; `each` puts the records of a tap that wants them.
    pub fn show(&self, subject: &Subject<'_>, mut each: impl FnMut(&mut dyn FnMut(Record, &[u8]))) {
        for tap in self.taps.iter().filter(|tap| tap.filter.wants(subject, &tap.followed)) {
            each(&mut |record, bytes| tap.put(&self.capture, record, bytes));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::{Cause, ListenerId};

    const INVITE: &[u8] = b"INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
        From: <sip:alice@a>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n\r\n";

    fn record(worker: u16) -> Record {
        let what = What::Sent(Cause::Forward);
        let peer = "192.0.2.1:5060".parse().unwrap();
        Record { at: Duration::from_secs(9), worker, listener: ListenerId(0), peer, what, len: 0 }
    }

    fn show(watched: &Watched, worker: u16) {
        let facts = Facts::read(INVITE);
        let subject = Subject { facts: &facts, peer: record(0).peer, next_hops: &[] };
        watched.show(&subject, |put| put(record(worker), INVITE));
    }

    fn taken(tap: &Tap) -> Vec<u16> {
        let mut taken = Vec::new();
        tap.take(usize::MAX, |record, bytes| {
            assert_eq!((bytes, record.len), (INVITE, INVITE.len()));
            taken.push(record.worker);
        });
        taken
    }

    fn filter(call_id: &str) -> Filter {
        Filter { call_id: Some(call_id.into()), ..Filter::default() }
    }

    #[test]
    fn each_tap_gets_what_it_asked_for_until_it_is_disarmed() {
        let capture = Arc::new(Capture::new(2));
        let mut watched = Watched::new(Arc::clone(&capture));
        watched.refresh();
        assert!(!watched.is_armed());
        let one = capture.arm(filter("one")).unwrap();
        let other = capture.arm(filter("two")).unwrap();
        assert!(!watched.is_armed(), "a worker looks once a round");
        assert!(!capture.is_seen());
        let mut second = Watched::new(Arc::clone(&capture));
        second.refresh();
        watched.refresh();
        assert!(capture.is_seen());
        show(&watched, 1);
        show(&watched, 0);
        assert_eq!((taken(&one), taken(&other)), (vec![0, 1], vec![]));
        capture.disarm(&one);
        watched.refresh();
        assert!(watched.is_armed());
        show(&watched, 0);
        capture.disarm(&other);
        watched.refresh();
        assert!(!watched.is_armed());
        assert_eq!((taken(&one), taken(&other)), (vec![], vec![]));
        assert_eq!(capture.counters().recorded.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_older_stays() {
        let capture = Arc::new(Capture::new(1));
        let tap = capture.arm(filter("one")).unwrap();
        let watched = Watched::new(Arc::clone(&capture));
        for _ in 0..crate::limits::CAPTURE_RECORDS_MAX + 3 {
            show(&watched, 0);
        }
        assert_eq!((tap.lost(), capture.counters().lost.load(Ordering::Relaxed)), (3, 3));
        assert!(tap.take(1, |_, _| {}), "there are more");
        assert_eq!(taken(&tap).len(), crate::limits::CAPTURE_RECORDS_MAX - 1);
        show(&watched, 0);
        assert_eq!((taken(&tap), tap.lost()), (vec![0], 3));
    }

    #[test]
    fn there_are_so_many_and_no_worker_frees_them() {
        let capture = Arc::new(Capture::new(1));
        let mut watched = Watched::new(Arc::clone(&capture));
        let taps: Vec<_> = (0..CAPTURES_MAX).map(|_| capture.arm(filter("x")).unwrap()).collect();
        assert_eq!(capture.arm(filter("x")).unwrap_err(), TooMany);
        watched.refresh();
        for tap in &taps {
            capture.disarm(tap);
        }
        let weak = Arc::downgrade(&taps[0]);
        drop(taps);
        capture.sweep();
        assert!(weak.upgrade().is_some(), "the worker still has it");
        watched.refresh();
        assert!(weak.upgrade().is_some(), "the worker has not freed it");
        capture.sweep();
        assert!(weak.upgrade().is_none());
    }

    /// A worker that never looks again keeps one list alive, and no more than so many are made.
    #[test]
    fn a_worker_that_sleeps_costs_a_bounded_number_of_lists() {
        let capture = Arc::new(Capture::new(1));
        for _ in 0..100 {
            let mut asleep = Watched::new(Arc::clone(&capture));
            asleep.refresh();
            match capture.arm(filter("x")) {
                Ok(tap) => capture.disarm(&tap),
                Err(TooMany) => panic!("nobody holds a list"),
            }
        }
        let mut asleep = Vec::new();
        let refused = (0..100).any(|_| {
            asleep.push(Watched::new(Arc::clone(&capture)));
            capture.arm(filter("x")).map(|tap| capture.disarm(&tap)).is_err()
        });
        assert!(refused);
        asleep.clear();
        capture.sweep();
        assert!(capture.arm(filter("x")).is_ok());
    }
}
