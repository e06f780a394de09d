//! Calls per second from each source to each destination.
//!
//! Each pair of a source and a destination that has called recently has one word, in one of two
//! buckets of a fixed table. The word says when the pair's burst is whole again, as in
//! [`super::load`]; each call moves that on by one interval. An entry is free as soon as its burst is
//! whole, because from then on it says the same as no entry.
//!
//! If both buckets of a new pair are full, its call is refused and counted. Pairs with an entry go on.
//!
//! ```text
//!   63     38      37          36     35               0
//!  | tag 26  | tentative 1 | used 1 | whole at, in us 36 |
//! ```
//!
//! The clock wraps after 19 hours. Ages are signed, so an entry may be 9 hours old; sweeping takes it
//! away long before.
//!
//! **Orderings.** Two workers may add an entry for the same pair at once. So an entry is added as
//! tentative, and then the buckets are read again. Between the two stands a sequentially consistent
//! fence. So at least one of the two workers sees the other's entry. A worker that sees a committed
//! entry, or a tentative one before its own, takes its own away. One that sees a tentative entry
//! behind its own waits until that is gone or committed. So only one entry of a pair is ever
//! committed. Apart from that, a word is complete by itself, and `Relaxed` is enough.

use std::fmt;
use std::ops::Deref;

use super::load::{Limits, Over};
use crate::clock::Now;
use crate::limits;
use crate::sync::{AtomicU64, Ordering, fence, spin_loop};

/// A source and a destination: a keyed hash, so that outsiders cannot fill a bucket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Pair(pub u64);

/// The calls per second of all pairs.
pub struct SourceRates {
    words: Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>,
    bucket_count: usize,
    /// Calls that were refused because there was no room for their pair.
    table_full: AtomicU64,
    /// 1 as soon as there may be an entry.
    is_used: AtomicU64,
    /// The bucket where the next sweep begins.
    sweep_at: AtomicU64,
}

/// The result of one look at a rate.
struct Step {
    /// The word if the call is taken.
    next: u64,
    conforms: bool,
}

/// What came of adding an entry.
enum Added {
    Yes,
    /// Another worker has added one for this pair, or has taken the way.
    Again,
    /// There is no room.
    Full,
}

impl SourceRates {
    /// Creates a table in these words, which must be zero.
    ///
    /// # Panics
    /// If there is not room for a single bucket.
    pub fn new(words: impl Deref<Target = [AtomicU64]> + Send + Sync + 'static) -> Self {
        let bucket_count = words.len() / WAYS;
        assert!(bucket_count > 0);
        Self {
            words: Box::new(words),
            bucket_count,
            table_full: AtomicU64::new(0),
            is_used: AtomicU64::new(0),
            sweep_at: AtomicU64::new(0),
        }
    }

    /// Creates a table for this many pairs in private memory, for tests and tools.
    pub fn on_heap(pairs: usize) -> Self {
        let words: Vec<_> = (0..pairs.next_multiple_of(WAYS)).map(|_| AtomicU64::new(0)).collect();
        Self::new(words)
    }

    /// Returns how many calls were refused because there was no room for their pair.
    pub fn table_full(&self) -> u64 {
        self.table_full.load(Ordering::Relaxed)
    }

    /// Counts one of them. A call may find no room at several destinations, so its caller counts it.
    pub fn count_full(&self) {
        self.table_full.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one call of this pair if the limit allows it.
    pub fn take(&self, now: Now, pair: Pair, limits: Limits) -> Result<(), Over> {
        for _ in 0..limits::CLAIM_TRIES {
            match self.find(pair) {
                Some((_, word)) if word & TENTATIVE != 0 => pause(),
                Some((way, word)) => {
                    let step = step(word, now, limits);
                    if !step.conforms {
                        return Err(Over::SourceRate);
                    }
                    if swap(&self.words[way], word, step.next) {
                        return Ok(());
                    }
                }
                None => match self.add(now, pair, limits) {
                    Added::Yes => return Ok(()),
                    Added::Again => pause(),
                    Added::Full => break,
                },
            }
        }
        Err(Over::SourcesFull)
    }

    /// Takes one call of this pair, whatever the limit says. If there is no room, it is not counted.
    pub fn take_anyway(&self, now: Now, pair: Pair, limits: Limits) {
        for _ in 0..limits::CLAIM_TRIES {
            match self.find(pair) {
                Some((_, word)) if word & TENTATIVE != 0 => pause(),
                Some((way, word)) => {
                    if swap(&self.words[way], word, step(word, now, limits).next) {
                        return;
                    }
                }
                None => match self.add(now, pair, limits) {
                    Added::Again => pause(),
                    Added::Yes | Added::Full => return,
                },
            }
        }
    }

    /// Returns what [`SourceRates::take`] would return, and takes nothing.
    pub fn look(&self, now: Now, pair: Pair, limits: Limits) -> Result<(), Over> {
        match self.find(pair) {
            Some((_, word)) if step(word, now, limits).conforms => Ok(()),
            Some(_) => Err(Over::SourceRate),
            None => self.free_way(now, pair).map(drop).ok_or(Over::SourcesFull),
        }
    }

    /// Gives back one call that was taken under this limit and is not sent.
    pub fn give_back(&self, pair: Pair, limits: Limits) {
        for _ in 0..limits::CLAIM_TRIES {
            // An entry that is gone owes nothing.
            let Some((way, word)) = self.find(pair).filter(|(_, word)| word & TENTATIVE == 0)
            else {
                return;
            };
            let time = (word & TIME_MASK).wrapping_sub(interval_us(limits)) & TIME_MASK;
            if swap(&self.words[way], word, word & !TIME_MASK | time) {
                return;
            }
        }
    }

    /// Frees the entries in the next part of the table whose burst is whole. The control thread calls
    /// it about once a second.
    pub fn sweep(&self, now: Now) {
        if self.is_used.load(Ordering::Relaxed) == 0 {
            return;
        }
        let part = self.bucket_count.div_ceil(limits::SOURCE_RATES_SWEEP_PARTS);
        // Relaxed: only the control thread sweeps.
        let start = self.sweep_at.load(Ordering::Relaxed) as usize;
        let end = (start + part).min(self.bucket_count);
        for way in &self.words[start * WAYS..end * WAYS] {
            let word = load(way);
            if word != 0 && is_free(word, now) {
                swap(way, word, 0);
            }
        }
        let next = if end == self.bucket_count { 0 } else { end };
        self.sweep_at.store(next as u64, Ordering::Relaxed);
    }

    /// Adds an entry with one call.
    fn add(&self, now: Now, pair: Pair, limits: Limits) -> Added {
        let Some((way, word)) = self.free_way(now, pair) else { return Added::Full };
        let time = (now_us(now) + interval_us(limits)) & TIME_MASK;
        let committed = tag_of(pair) | USED | time;
        if !swap(&self.words[way], word, committed | TENTATIVE) {
            return Added::Again;
        }
        if self.is_used.load(Ordering::Relaxed) == 0 {
            self.is_used.store(1, Ordering::Relaxed);
        }
        // See the orderings above. Nobody else changes a tentative entry.
        fence(Ordering::SeqCst);
        for _ in 0..limits::CLAIM_TRIES {
            match self.find_except(pair, Some(way)) {
                None => {
                    self.words[way].store(committed, Ordering::Relaxed);
                    return Added::Yes;
                }
                Some((other, word)) if word & TENTATIVE != 0 && other > way => pause(),
                Some(_) => break,
            }
        }
        self.words[way].store(0, Ordering::Relaxed);
        Added::Again
    }

    fn find(&self, pair: Pair) -> Option<(usize, u64)> {
        self.find_except(pair, None)
    }

    /// Returns the entry of this pair: the committed one, or else the first tentative one.
    fn find_except(&self, pair: Pair, own: Option<usize>) -> Option<(usize, u64)> {
        let tag = tag_of(pair);
        let ways = self.ways(pair).filter(|way| Some(*way) != own);
        let words = ways.map(|way| (way, load(&self.words[way])));
        let same = words.filter(|(_, word)| word & USED != 0 && word & TAG_MASK == tag);
        same.min_by_key(|(way, word)| (word & TENTATIVE, *way))
    }

    /// Returns a way for a new pair, in the emptier bucket so that neither is full before the table is.
    fn free_way(&self, now: Now, pair: Pair) -> Option<(usize, u64)> {
        let free = |start: usize| {
            let words = (start..start + WAYS).map(|way| (way, load(&self.words[way])));
            let mut free = words.filter(|(_, word)| is_free(*word, now));
            let first = free.next();
            (first, first.map_or(0, |_| 1 + free.count()))
        };
        let [one, other] = self.buckets(pair).map(free);
        if one.1 < other.1 { other.0 } else { one.0 }
    }

    fn ways(&self, pair: Pair) -> impl Iterator<Item = usize> {
        let [one, other] = self.buckets(pair);
        let other = if one == other { 0..0 } else { other..other + WAYS };
        (one..one + WAYS).chain(other)
    }

    /// Returns where the two buckets of a pair begin.
    fn buckets(&self, pair: Pair) -> [usize; 2] {
        let place = |hash: u32| {
            let bucket = (u64::from(hash) * self.bucket_count as u64) >> 32;
            bucket as usize * WAYS
        };
        [place((pair.0 >> 32) as u32), place(pair.0 as u32)]
    }
}

impl fmt::Debug for SourceRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRates {{ {} ways }}", self.bucket_count * WAYS)
    }
}

/// Ways of a bucket: eight words are one cache line.
const WAYS: usize = 8;

const TIME_BITS: u32 = 36;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const USED: u64 = 1 << 36;
const TENTATIVE: u64 = 1 << 37;
const TAG_SHIFT: u32 = 38;
const TAG_MASK: u64 = u64::MAX << TAG_SHIFT;
const US_PER_MS: u64 = 1_000;
const US_PER_S: u64 = 1_000 * US_PER_MS;

fn tag_of(pair: Pair) -> u64 {
    // Mixed, because both halves of the pair are used for the buckets.
    pair.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) & TAG_MASK
}

fn now_us(now: Now) -> u64 {
    now.ms() * US_PER_MS
}

/// Returns the microseconds of one call, rounded up, so that the rate is never exceeded.
fn interval_us(limits: Limits) -> u64 {
    US_PER_S.div_ceil(u64::from(limits.calls_per_second))
}

/// Returns how far ahead of now the burst of this entry is whole.
fn ahead_us(word: u64, now: Now) -> u64 {
    let ahead = word.wrapping_sub(now_us(now)) & TIME_MASK;
    if ahead < 1 << (TIME_BITS - 1) { ahead } else { 0 }
}

fn is_free(word: u64, now: Now) -> bool {
    word & USED == 0 || word & TENTATIVE == 0 && ahead_us(word, now) == 0
}

/// Returns the next word if one more call is taken, and whether that call conforms.
fn step(word: u64, now: Now, limits: Limits) -> Step {
    let interval = interval_us(limits);
    let ahead_max = u64::from(limits.burst_in_force() - 1) * interval;
    // A smaller burst may have come into force since: then all of it is used up, and no more.
    let ahead = ahead_us(word, now).min(ahead_max + interval);
    let time = (now_us(now) + ahead + interval) & TIME_MASK;
    Step { next: word & !TIME_MASK | time, conforms: ahead <= ahead_max }
}

fn pause() {
    for _ in 0..limits::CLAIM_SPINS {
        spin_loop();
    }
}

fn load(way: &AtomicU64) -> u64 {
    way.load(Ordering::Relaxed)
}

fn swap(way: &AtomicU64, old: u64, new: u64) -> bool {
    way.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests;
