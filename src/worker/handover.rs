//! Hands a datagram to the worker that owns its call ([`Owners`](crate::owners::Owners)): each
//! worker has a bounded queue, which the others fill and it empties.
//!
//! **Orderings.** The queues of frames order their own content: a worker sees what a sender wrote into
//! the frame that it takes. `is_announced` only saves wake-ups. A sender pushes, then swaps it to
//! true; the owner swaps it to false, then takes. If the sender's swap is the first of the two, the
//! owner's reads it (or a later one of the same chain) and so sees what was pushed. If the owner's is
//! the first, the sender finds false and fires the waker. So a pushed frame is taken in this round or
//! announces the next.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use mio::Waker;
use tracing::error;

use crate::limits::{HAND_OVER_MAX, HEADROOM_BYTES, SLOT_BYTES};
use crate::proxy::Flow;

/// What the workers have handed to each other, with all the memory that it will ever need.
#[derive(Debug)]
pub struct HandOvers {
    /// One per worker, by its number.
    queues: Box<[Queue]>,
    /// As many, in the same order.
    wakers: Arc<[Waker]>,
    /// Datagrams that were refused.
    refused: AtomicU64,
}

/// What was handed to one worker.
#[derive(Debug)]
struct Queue {
    /// Not taken yet, in order.
    full: ArrayQueue<Handed>,
    /// Frames for the next ones; both queues have room for all frames.
    empty: ArrayQueue<Box<[u8]>>,
    /// The owner has a wake-up on its way, or is awake and will look into `full` before it waits.
    is_announced: CachePadded<AtomicBool>,
}

/// What was handed over: a message and what is known of it.
#[derive(Debug)]
struct Handed {
    what: What,
    /// The message is `len` bytes after the headroom.
    frame: Box<[u8]>,
    len: usize,
}

/// What is known of a message that was handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// A datagram that came this way.
    Datagram(Flow),
    /// The quote of a report that a message to this address was not delivered, with its error number.
    Report(SocketAddr, i32),
}

impl HandOvers {
    /// Returns how many bytes of memory it takes at most for this many workers.
    pub fn memory(workers: usize) -> usize {
        workers * HAND_OVER_MAX * (HEADROOM_BYTES + SLOT_BYTES + size_of::<Handed>())
    }

    /// Creates it for the workers that these wakers wake.
    pub fn new(wakers: Arc<[Waker]>) -> Self {
        let queues = wakers.iter().map(|_| Queue::new()).collect();
        Self { queues, wakers, refused: AtomicU64::new(0) }
    }

    /// Copies a message into a frame of worker `owner`, and wakes it if it has no other; returns
    /// `false`, and counts, if all its frames are full.
    ///
    /// The messages of one sender are taken in the order in which they were handed over.
    ///
    /// # Panics
    /// If there is no such worker, or no datagram can be this long.
    #[must_use]
    pub fn hand_over(&self, owner: usize, what: What, datagram: &[u8]) -> bool {
        assert!(datagram.len() <= SLOT_BYTES);
        let queue = &self.queues[owner];
        let Some(mut frame) = queue.empty.pop() else {
            // Relaxed: a number.
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        frame[HEADROOM_BYTES..][..datagram.len()].copy_from_slice(datagram);
        let handed = Handed { what, frame, len: datagram.len() };
        queue.full.push(handed).expect("there are no more frames than places");
        self.announce(owner);
        true
    }

    /// Takes what was handed to worker `owner`, at most [`HAND_OVER_MAX`] datagrams, and returns how
    /// many. Only that worker calls it.
    ///
    /// `each` gets what is known of it, the slot with headroom, and where the datagram lies in it. If it
    /// panics, its datagram is lost, and the others announce the next round.
    pub fn take(&self, owner: usize, mut each: impl FnMut(What, &mut [u8], Range<usize>)) -> usize {
        let queue = &self.queues[owner];
        // The usual case, without a bus lock. What is pushed just now fires the waker.
        if !queue.is_announced.load(Ordering::Acquire) {
            return 0;
        }
        queue.is_announced.swap(false, Ordering::AcqRel);
        let _rest = Rest { of: self, owner };
        let mut taken = 0;
        while taken < HAND_OVER_MAX
            && let Some(Handed { what, frame, len }) = queue.full.pop()
        {
            taken += 1;
            let mut frame = Lent { frame, to: queue };
            each(what, &mut frame.frame, HEADROOM_BYTES..HEADROOM_BYTES + len);
        }
        taken
    }

    /// Returns `false` if worker `owner` may have something to take.
    pub fn is_empty(&self, owner: usize) -> bool {
        !self.queues[owner].is_announced.load(Ordering::Acquire)
    }

    /// Returns how many datagrams were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn announce(&self, owner: usize) {
        if !self.queues[owner].is_announced.swap(true, Ordering::AcqRel)
            && let Err(error) = self.wakers[owner].wake()
        {
            error!("cannot wake worker {owner}: {error}");
        }
    }
}

impl Queue {
    fn new() -> Self {
        let empty = ArrayQueue::new(HAND_OVER_MAX);
        for _ in 0..HAND_OVER_MAX {
            empty
                .push(vec![0; HEADROOM_BYTES + SLOT_BYTES].into())
                .expect("it has room for all frames");
        }
        let is_announced = CachePadded::new(AtomicBool::new(false));
        Self { full: ArrayQueue::new(HAND_OVER_MAX), empty, is_announced }
    }
}

/// A frame that returns to its worker's empty ones, also after a panic.
struct Lent<'a> {
    frame: Box<[u8]>,
    to: &'a Queue,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        // There are no more frames than places.
        let pushed = self.to.empty.push(frame);
        debug_assert!(pushed.is_ok());
    }
}

/// What a round leaves, which announces the next.
struct Rest<'a> {
    of: &'a HandOvers,
    owner: usize,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if !self.of.queues[self.owner].full.is_empty() {
            self.of.announce(self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::proxy::{ListenerId, Transport};

    /// Hand-overs to this many workers, and where each of them waits.
    fn workers(count: usize) -> (HandOvers, Vec<Poll>) {
        let polls: Vec<_> = (0..count).map(|_| Poll::new().unwrap()).collect();
        let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), Token(0)).unwrap());
        (HandOvers::new(wakers.collect()), polls)
    }

    fn flow(connection: u32) -> What {
        let peer = "192.0.2.1:5060".parse().unwrap();
        What::Datagram(Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            peer,
            connection,
        })
    }

    /// Returns whether the waker has fired since the last call.
    fn is_woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    fn all(hand_overs: &HandOvers, owner: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let taken = hand_overs.take(owner, |_, slot, place| all.push(slot[place].to_vec()));
        assert_eq!(taken, all.len());
        all
    }

    #[test]
    fn what_is_handed_over_arrives_with_its_flow_at_its_owner_alone() {
        let (hand_overs, _polls) = workers(2);
        let longest = vec![7; SLOT_BYTES];
        for datagram in [&longest[..], b"a", b""] {
            assert!(hand_overs.hand_over(1, flow(9), datagram));
        }
        assert!(hand_overs.is_empty(0) && !hand_overs.is_empty(1));
        assert_eq!(all(&hand_overs, 0), [b""; 0]);
        let mut arrived = Vec::new();
        hand_overs.take(1, |flow, slot, place| arrived.push((flow, slot[place].to_vec())));
        assert_eq!(arrived, [(flow(9), longest), (flow(9), b"a".to_vec()), (flow(9), Vec::new())]);
        assert!(hand_overs.is_empty(1));
    }

    #[test]
    fn the_owner_is_woken_once_until_it_takes() {
        let (hand_overs, mut polls) = workers(1);
        for _ in 0..2 {
            assert!(!is_woken(&mut polls[0]));
            assert!(hand_overs.hand_over(0, flow(0), b"a"));
            assert!(is_woken(&mut polls[0]));
            assert!(hand_overs.hand_over(0, flow(0), b"b"));
            assert!(!is_woken(&mut polls[0]));
            assert_eq!(all(&hand_overs, 0), [b"a", b"b"]);
        }
    }

    #[test]
    fn a_full_queue_refuses_and_counts_the_newest() {
        let (hand_overs, _polls) = workers(2);
        for round in 0..3 {
            for number in 0..HAND_OVER_MAX + 3 {
                let is_handed = hand_overs.hand_over(0, flow(0), &number.to_le_bytes());
                assert_eq!(is_handed, number < HAND_OVER_MAX);
            }
            assert!(hand_overs.hand_over(1, flow(0), b"another has room"));
            assert_eq!(hand_overs.refused(), 3 * (round + 1));
            let wants: Vec<_> = (0..HAND_OVER_MAX).map(usize::to_le_bytes).collect();
            assert_eq!(all(&hand_overs, 0), wants);
        }
    }

    #[test]
    fn a_panic_loses_its_own_datagram_and_no_frame() {
        let (hand_overs, mut polls) = workers(1);
        for _ in 0..HAND_OVER_MAX {
            for datagram in [b"a", b"b", b"c"] {
                assert!(hand_overs.hand_over(0, flow(0), datagram));
            }
            let panics = || hand_overs.take(0, |_, slot, place| assert_ne!(slot[place], b"a"[..]));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert!(is_woken(&mut polls[0]));
            assert_eq!(all(&hand_overs, 0), [b"b", b"c"]);
        }
    }

    /// Senders hand over as fast as they can, and their owner sleeps whenever it can: if a wake-up
    /// were lost, it would never see the last datagram.
    #[test]
    fn nothing_is_lost_and_the_order_of_each_sender_is_kept() {
        const SENDERS: u32 = 3;
        const EACH: u64 = 20_000;
        let (hand_overs, mut polls) = workers(1);
        let (handed, attempts) = thread::scope(|scope| {
            let hand_overs = &hand_overs;
            let senders = (0..SENDERS).map(|sender| {
                scope.spawn(move || {
                    let hand = |number: u64| {
                        let datagram = number.to_le_bytes().repeat(1 + number as usize % 9);
                        hand_overs.hand_over(0, flow(sender), &datagram)
                    };
                    let handed = (0..EACH).filter(|number| hand(*number)).count() as u64;
                    let mut attempts = EACH + 1;
                    while !hand(EACH) {
                        attempts += 1;
                        thread::yield_now();
                    }
                    (handed + 1, attempts)
                })
            });
            let senders: Vec<_> = senders.collect();

            let mut events = Events::with_capacity(1);
            let mut next = [0; SENDERS as usize];
            let mut taken = 0;
            while next.iter().any(|next| *next <= EACH) {
                polls[0].poll(&mut events, None).unwrap();
                taken += hand_overs.take(0, |flow, slot, place| {
                    let bytes = &slot[place];
                    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                    assert_eq!(bytes, number.to_le_bytes().repeat(1 + number as usize % 9));
                    let What::Datagram(flow) = flow else { panic!("{flow:?}") };
                    let next = &mut next[flow.connection as usize];
                    assert!(number >= *next, "{number} after {next}");
                    *next = number + 1;
                }) as u64;
            }
            let counts = senders.into_iter().map(|sender| sender.join().unwrap());
            let (handed, attempts) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            assert_eq!(taken, handed);
            (handed, attempts)
        });
        assert_eq!(handed + hand_overs.refused(), attempts);
        assert_eq!(all(&hand_overs, 0), [b""; 0]);
    }
}
