//! The calls in progress: which destination has each, and when it is given up.
//!
//! A call is an INVITE outside a dialog from the moment it is sent to its destination until it is
//! refused, ended by a BYE, or not heard of for too long. It is known by its Call-ID and the caller's
//! tag; if a caller sends several INVITEs with these, each is a call of its own.
//!
//! The table belongs to all workers. It is fixed in size and has no lock: a call is one word in one of
//! two buckets, and each change is one compare-and-swap. So any worker may get any message of a call,
//! and of several that see its end, exactly one counts it.
//!
//! **Orderings.** A word is complete by itself, and nothing else is published through it, so `Relaxed`
//! is enough. The INVITE of a call is sent only after its word is stored, so what follows finds it.

mod entry;

use std::fmt;
use std::ops::Deref;

use crate::clock::Now;
use crate::destination::Slot;
use crate::limits;
use crate::sync::{AtomicU64, Ordering};
use entry::{Entry, TAG_BITS, ends_after};

/// The key of a call: a keyed hash, so that outsiders cannot fill a bucket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CallKey(pub u64);

/// How far a call has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It was sent, and nothing has come back.
    Sent,
    /// It has a provisional response.
    Early,
    /// It was answered.
    Confirmed,
}

/// The calls in progress.
pub struct CallTable {
    words: Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>,
    bucket_count: usize,
    /// How many calls there are.
    len: AtomicU64,
    counters: CallCounters,
    /// The bucket where the next sweep begins.
    sweep_at: AtomicU64,
}

/// What the table counted.
#[derive(Debug, Default)]
pub struct CallCounters {
    /// Calls that were refused because both their buckets were full.
    pub table_full: AtomicU64,
    /// Calls that were given up because they were not heard of for too long.
    pub given_up: AtomicU64,
}

impl CallTable {
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
            len: AtomicU64::new(0),
            counters: CallCounters::default(),
            sweep_at: AtomicU64::new(0),
        }
    }

    /// Creates a table for this many calls in private memory, for tests and tools.
    pub fn on_heap(calls: usize) -> Self {
        let words: Vec<_> = (0..calls.next_multiple_of(WAYS)).map(|_| AtomicU64::new(0)).collect();
        Self::new(words)
    }

    /// Returns how many calls there are.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns whether there is no call, so that nothing needs to be looked up.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the counters.
    pub fn counters(&self) -> &CallCounters {
        &self.counters
    }

    /// Returns whether there is room for this call.
    pub fn has_room(&self, key: CallKey) -> bool {
        self.buckets(key).into_iter().flatten().any(|way| load(way) == 0)
    }

    /// Adds a call that is being sent to this destination. Returns false, and counts, if there is no
    /// room.
    #[must_use]
    pub fn begin(&self, now: Now, key: CallKey, slot: Slot) -> bool {
        let ends = ends_after(now, life_ms(Phase::Sent));
        let entry = Entry { tag: tag_of(key), slot, is_confirmed: false, is_timed: false, ends };
        for _ in 0..limits::CLAIM_TRIES {
            let free = |bucket: &[AtomicU64]| bucket.iter().filter(|way| load(way) == 0).count();
            let [one, other] = self.buckets(key);
            // The emptier one, so that neither is full before the table is.
            let bucket = if free(one) < free(other) { other } else { one };
            let Some(way) = bucket.iter().find(|way| load(way) == 0) else { break };
            if swap(way, 0, entry.pack()) {
                self.len.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        self.counters.table_full.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Records that a call is this far and goes on. A call that was answered stays so, and one with a
    /// session timer ends when it would have ended.
    pub fn go_on(&self, now: Now, key: CallKey, slot: Option<Slot>, phase: Phase) {
        let is_confirmed = phase == Phase::Confirmed;
        self.change(key, slot, is_confirmed, |entry| {
            let is_confirmed = is_confirmed || entry.is_confirmed;
            let phase = if is_confirmed { Phase::Confirmed } else { phase };
            let ends = if entry.is_timed { entry.ends } else { ends_after(now, life_ms(phase)) };
            Entry { is_confirmed, ends, ..entry }
        });
    }

    /// Records that a call was answered, or its session refreshed, and for how many seconds if it has a
    /// session timer.
    pub fn refresh(&self, now: Now, key: CallKey, slot: Option<Slot>, session_s: Option<u32>) {
        let session_ms = session_s.map(|seconds| {
            let seconds = u64::from(seconds.max(limits::SESSION_EXPIRES_MIN_S));
            1_000 * seconds + limits::CALL_SESSION_MARGIN_MS
        });
        let ends = ends_after(now, session_ms.unwrap_or(life_ms(Phase::Confirmed)));
        let is_timed = session_ms.is_some();
        self.change(key, slot, true, |entry| Entry { is_confirmed: true, is_timed, ends, ..entry });
    }

    /// Returns whether there is a call with this key.
    pub fn has(&self, key: CallKey) -> bool {
        self.find(key, None, true).is_some()
    }

    fn change(
        &self,
        key: CallKey,
        slot: Option<Slot>,
        is_confirmed: bool,
        change: impl Fn(Entry) -> Entry,
    ) {
        for _ in 0..limits::CLAIM_TRIES {
            let Some((way, word, entry)) = self.find(key, slot, is_confirmed) else { return };
            let new = change(entry).pack();
            if new == word || swap(way, word, new) {
                return;
            }
        }
    }

    /// Removes the INVITE's call at this destination: it was refused, or not sent. Returns whether
    /// there was one, to be counted by the caller alone.
    #[must_use]
    pub fn refuse(&self, key: CallKey, slot: Slot) -> bool {
        let found = || self.find(key, Some(slot), false).filter(|(_, _, entry)| entry.slot == slot);
        self.remove(found).is_some()
    }

    /// Removes a call that was ended in its dialog, preferably the one at this destination. Returns
    /// its destination, to be counted by the caller alone. A call at a destination that is not
    /// `known` to the caller stays.
    #[must_use]
    pub fn end(
        &self,
        key: CallKey,
        slot: Option<Slot>,
        known: impl Fn(Slot) -> bool,
    ) -> Option<Slot> {
        self.remove(|| self.find(key, slot, true).filter(|(_, _, entry)| known(entry.slot)))
    }

    fn remove<'a>(
        &'a self,
        find: impl Fn() -> Option<(&'a AtomicU64, u64, Entry)>,
    ) -> Option<Slot> {
        for _ in 0..limits::CLAIM_TRIES {
            let (way, word, entry) = find()?;
            if self.free(way, word) {
                return Some(entry.slot);
            }
        }
        None
    }

    /// Gives up calls in the next part of the table that were not heard of for too long, and calls
    /// `ended` for each. The control thread calls it about once a second.
    pub fn sweep(&self, now: Now, mut ended: impl FnMut(Slot)) {
        if self.is_empty() {
            return;
        }
        let part = self.bucket_count.div_ceil(limits::CALL_SWEEP_PARTS);
        // Relaxed: only the control thread sweeps.
        let start = self.sweep_at.load(Ordering::Relaxed) as usize;
        let end = (start + part).min(self.bucket_count);
        for way in &self.words[start * WAYS..end * WAYS] {
            let word = load(way);
            if let Some(entry) = Entry::unpack(word).filter(|entry| entry.is_over(now))
                && self.free(way, word)
            {
                self.counters.given_up.fetch_add(1, Ordering::Relaxed);
                ended(entry.slot);
            }
        }
        let next = if end == self.bucket_count { 0 } else { end };
        self.sweep_at.store(next as u64, Ordering::Relaxed);
    }

    /// Removes every call at one of these slots, before they get new destinations, and calls `ended`
    /// for each.
    pub fn clear_slots(&self, is_reused: impl Fn(Slot) -> bool, mut ended: impl FnMut(Slot)) {
        if self.is_empty() {
            return;
        }
        for way in &self.words[..self.bucket_count * WAYS] {
            let word = load(way);
            if let Some(entry) = Entry::unpack(word).filter(|entry| is_reused(entry.slot))
                && self.free(way, word)
            {
                ended(entry.slot);
            }
        }
    }

    /// Frees a way; returns whether it was we who did it.
    fn free(&self, way: &AtomicU64, word: u64) -> bool {
        let is_freed = swap(way, word, 0);
        if is_freed {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        is_freed
    }

    /// Returns the call with this key that is most likely meant: at this destination rather than
    /// elsewhere, then the one that was answered, or not.
    fn find(
        &self,
        key: CallKey,
        slot: Option<Slot>,
        is_confirmed: bool,
    ) -> Option<(&AtomicU64, u64, Entry)> {
        let tag = tag_of(key);
        let [one, other] = self.buckets(key);
        let ways = one.iter().chain(if std::ptr::eq(one, other) { &[] } else { other });
        let same = ways.filter_map(|way| {
            let word = load(way);
            let entry = Entry::unpack(word).filter(|entry| entry.tag == tag)?;
            Some((way, word, entry))
        });
        same.max_by_key(|(_, _, entry)| {
            (Some(entry.slot) == slot, entry.is_confirmed == is_confirmed)
        })
    }

    fn buckets(&self, key: CallKey) -> [&[AtomicU64]; 2] {
        let place = |hash: u32| {
            let bucket = (u64::from(hash) * self.bucket_count as u64) >> 32;
            let start = bucket as usize * WAYS;
            &self.words[start..start + WAYS]
        };
        [place((key.0 >> 32) as u32), place(key.0 as u32)]
    }
}

impl fmt::Debug for CallTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallTable {{ {} of {} ways }}", self.len(), self.bucket_count * WAYS)
    }
}

/// Ways of a bucket: eight words are one cache line.
const WAYS: usize = 8;

fn life_ms(phase: Phase) -> u64 {
    match phase {
        Phase::Sent => limits::CALL_SENT_MS,
        Phase::Early => limits::CALL_EARLY_MS,
        Phase::Confirmed => limits::CALL_CONFIRMED_MS,
    }
}

fn tag_of(key: CallKey) -> u32 {
    // Mixed, because both halves of the key are used for the buckets.
    (key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - TAG_BITS)) as u32
}

fn load(way: &AtomicU64) -> u64 {
    way.load(Ordering::Relaxed)
}

fn swap(way: &AtomicU64, old: u64, new: u64) -> bool {
    way.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests;
