//! The table: set-associative, fixed in size, shared by all workers, without a lock.
//!
//! # Storing a pin
//!
//! Two copies of one request may arrive at two workers at once. Both must get the same answer while
//! the counter moves once. So a pin is stored in steps: *tentative*, look again, *claimed*, then
//! the owner chooses and *commits*.
//!
//! ```text
//!   empty/expired ──CAS──> tentative ──look again──CAS──> claimed ──> choose ──> committed
//!                              │ lost: another's claimed or committed, or tentative lower way
//!                              └──CAS──> empty, take the other's
//! ```
//!
//! # Orderings
//!
//! The look again is a store-then-load on two different ways by two workers: of two workers that
//! store the same key, at least one must see the other. That needs a `SeqCst` fence between each
//! worker's CAS and the loads that follow. A worker that sees a *tentative* pin at a higher way
//! than its own removes it by CAS; the owner's step to *claimed* is a CAS on the same word, so
//! exactly one of the two succeeds. Everything else is a single word that is complete by itself,
//! and `Relaxed` is enough: no other memory is published through a pin. `crate::models` runs all of
//! this through every order of events that these orderings allow.

use std::cmp::Reverse;

use super::PinKey;
use super::entry::{Kind, LIFE_MAX_MS, Pin, State, TAG_BITS, Worth, clock_of};
use super::memory::{Bucket, PinMemory};
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits;
use crate::sync::{AtomicU64, Ordering, fence, prefetch, spin_loop};

/// The try field of a tentative pin.
const TENTATIVE: u8 = 0;
const CLAIMED: u8 = 1;

/// The try number of a request that was given to another destination.
pub(crate) const RETRY: u8 = 1;

/// The table of pins.
#[derive(Debug)]
pub struct PinTable {
    memory: PinMemory,
    counters: PinCounters,
    /// The block where the sweeper continues.
    sweep_at: AtomicU64,
    /// The time of the last sweep, in milliseconds; 0 before the first.
    swept_ms: AtomicU64,
}

/// The counters of the table. Evictions and contention are rare, so all workers share them.
#[derive(Debug, Default)]
pub struct PinCounters {
    /// Pins evicted from a full bucket without harm: their transactions ended, or were given up by
    /// their callers, over 32 s before.
    pub evicted_final: AtomicU64,
    /// Other live pins evicted from a full bucket: the table is too small.
    pub evicted_live: AtomicU64,
    /// Requests that waited for another worker's choice for the same request.
    pub contended: AtomicU64,
    /// Expired pins cleared by the sweeper.
    pub swept: AtomicU64,
}

/// The result of an attempt to store a pin.
#[derive(Debug)]
pub enum Claim<'a> {
    /// The pin exists already.
    Found(Pin),
    /// The way is ours: choose, then commit. Dropping it frees the way.
    Claimed(Claimed<'a>),
    /// Another worker is choosing for the same request right now.
    Contended,
}

/// A way that is ours until it is committed or dropped.
#[derive(Debug)]
pub struct Claimed<'a> {
    way: &'a AtomicU64,
    word: u64,
}

impl Claimed<'_> {
    /// Pins the choice.
    pub fn commit(mut self, slot: Slot, state: State) {
        let pin = Pin { slot, state, try_number: 0, ..Pin::unpack(self.word) };
        self.finish(pin.pack());
    }

    fn finish(&mut self, word: u64) {
        // This fails only if we were stopped for seconds and the way was given to another: then our
        // choice is not pinned, as after an eviction.
        let _ = swap(self.way, self.word, word);
        self.word = word;
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if Pin::unpack(self.word).state == State::Tentative {
            self.finish(0);
        }
    }
}

impl PinTable {
    /// Creates a table in this memory.
    pub fn new(memory: PinMemory) -> Self {
        Self {
            memory,
            counters: PinCounters::default(),
            sweep_at: AtomicU64::new(0),
            swept_ms: AtomicU64::new(0),
        }
    }

    /// Returns how many pins a relay needs for this peak of new requests per second.
    pub const fn pins_for_peak(requests_per_second: u32) -> usize {
        requests_per_second as usize * limits::PINS_PER_REQUEST_RATE
    }

    /// Returns how many pins fit.
    pub fn capacity(&self) -> usize {
        self.memory.bucket_count() * super::memory::WAYS
    }

    /// Returns the counters.
    pub fn counters(&self) -> &PinCounters {
        &self.counters
    }

    /// Returns the memory, in which the control thread records its slots.
    pub(crate) fn memory(&self) -> &PinMemory {
        &self.memory
    }

    /// Returns the pin of this key for a transaction, or for a call if `is_call`.
    pub fn find(&self, now: Now, key: PinKey, is_call: bool) -> Option<Pin> {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        find_in(bucket, tag, is_call, clock).map(|(_, word)| Pin::unpack(word))
    }

    /// Asks the memory for the line that a pin of this key lies in.
    #[inline]
    pub(crate) fn prefetch(&self, key: PinKey) {
        prefetch(self.place(key).0);
    }

    /// Finds the transaction's pin or starts to store it.
    ///
    /// `worker` is the caller's number, unique in its process. Together with the number of the
    /// process it makes tentative pins of one key differ, so that no worker takes another's pin for
    /// its own.
    pub fn claim(&self, now: Now, key: PinKey, kind: Kind, worker: u16) -> Claim<'_> {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        let is_call = is_call(kind);
        let mut has_waited = false;
        for _ in 0..limits::CLAIM_TRIES {
            let is_unknown = has_no_tag(bucket, tag);
            if !is_unknown && let Some((_, word)) = find_in(bucket, tag, is_call, clock) {
                return Claim::Found(Pin::unpack(word));
            }
            if !is_unknown && is_being_put_in(bucket, tag, is_call, clock) {
                // The other worker needs only a few more instructions.
                if !has_waited {
                    count(&self.counters.contended);
                    has_waited = true;
                }
                wait();
                continue;
            }
            // Nearly always nothing has the tag, and there is an empty way.
            let free = if is_unknown { first_empty(bucket) } else { None };
            let pin = Pin {
                tag,
                slot: self.holder(worker),
                clock,
                kind,
                state: State::Tentative,
                try_number: TENTATIVE,
            };
            let way = free.or_else(|| victim(bucket, tag, is_call, clock));
            if let Some(claimed) = way.and_then(|way| self.try_claim(bucket, pin, way)) {
                self.memory.mark(self.bucket_of(key));
                return Claim::Claimed(claimed);
            }
        }
        Claim::Contended
    }

    /// Records that a request or response of this transaction was seen, and returns the state that
    /// the pin had before; `None` if there is no pin.
    ///
    /// Of several workers that change a pin, only one sees each state as the one before its own.
    #[inline]
    pub fn renew(
        &self,
        now: Now,
        key: PinKey,
        is_call: bool,
        state: Option<State>,
    ) -> Option<State> {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        for _ in 0..limits::CLAIM_TRIES {
            let (way, word) = find_in(bucket, tag, is_call, clock)?;
            let pin = Pin::unpack(word);
            // A late 1xx does not reopen a transaction after its final response, and a late 100
            // does not reset a ringing one.
            let state = match (pin.state, state) {
                (State::Final, _) | (_, None) | (State::Ringing, Some(State::Trying)) => pin.state,
                (_, Some(new)) => new,
            };
            let new = Pin { clock, state, ..pin }.pack();
            // Within one unit of the clock the word rarely changes, and the cache line stays
            // shared.
            if new == word || swap(way, word, new).is_ok() {
                return Some(pin.state);
            }
        }
        // Others have changed it each time, so nothing that we saw is news.
        Some(State::Final)
    }

    /// Records the try that the later messages of this transaction belong to: where it went, and its
    /// number.
    pub fn follow(&self, now: Now, key: PinKey, slot: Slot, try_number: u8, state: State) {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        for _ in 0..limits::CLAIM_TRIES {
            let Some((way, word)) = find_in(bucket, tag, false, clock) else { return };
            let next = Pin { slot, clock, state, try_number, ..Pin::unpack(word) };
            if swap(way, word, next.pack()).is_ok() {
                return;
            }
        }
    }

    /// Gives the unanswered request of this transaction, which was sent to `from` once, to another
    /// destination; returns false if it has been answered or given to another meanwhile.
    pub fn retry(&self, now: Now, key: PinKey, from: Slot, to: Slot, state: State) -> bool {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        for _ in 0..limits::CLAIM_TRIES {
            let Some((way, word)) = find_in(bucket, tag, false, clock) else { return false };
            let pin = Pin::unpack(word);
            if pin.slot != from || pin.state != State::None || pin.try_number != 0 {
                return false;
            }
            let next = Pin { slot: to, state, clock, try_number: RETRY, ..pin };
            if swap(way, word, next.pack()).is_ok() {
                return true;
            }
        }
        false
    }

    /// Stores a call pin, or overwrites the existing one; `worker` is the same as in
    /// [`PinTable::claim`]. Returns false if another worker took too long to store it.
    pub fn set_call(
        &self,
        now: Now,
        key: PinKey,
        kind: Kind,
        slot: Slot,
        cseq_bits: u8,
        worker: u16,
    ) -> bool {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        let pin = Pin { tag, slot, clock, kind, state: State::Final, try_number: cseq_bits & 15 };
        let new = pin.pack();
        for _ in 0..limits::CLAIM_TRIES {
            if let Some((way, word)) = find_in(bucket, tag, true, clock) {
                // A dialog is worth more than a late challenge.
                let is_settled = word == new || kind == Kind::Challenge && is_dialog(word);
                if is_settled || swap(way, word, new).is_ok() {
                    return true;
                }
                continue;
            }
            match self.claim(now, key, kind, worker) {
                Claim::Claimed(mut claimed) => {
                    claimed.finish(new);
                    return true;
                }
                // Another worker has stored it: the next round overwrites it.
                Claim::Found(_) => {}
                Claim::Contended => break,
            }
        }
        false
    }

    /// Returns the destination of a challenge's pin, and leaves the pin.
    pub fn find_challenge(&self, now: Now, key: PinKey, cseq_bits: u8) -> Option<Slot> {
        let pin = self.find(now, key, true)?;
        let is_open = pin.kind == Kind::Challenge && pin.try_number != cseq_bits & 15;
        is_open.then_some(pin.slot)
    }

    /// Removes the pin of a challenge if it still exists: it serves only one request.
    pub fn take_challenge(&self, now: Now, key: PinKey, cseq_bits: u8) -> Option<Slot> {
        let (bucket, tag) = self.place(key);
        for _ in 0..limits::CLAIM_TRIES {
            let (way, word) = find_in(bucket, tag, true, clock_of(now))?;
            let pin = Pin::unpack(word);
            if pin.kind != Kind::Challenge || pin.try_number == cseq_bits & 15 {
                return None;
            }
            // This fails if the pin was renewed by a copy of the challenge, or taken.
            if swap(way, word, 0).is_ok() {
                return Some(pin.slot);
            }
        }
        None
    }

    /// Clears expired pins in the next part of the table. The control thread calls it about once a
    /// second. It passes the whole table in 64 s, or at once if it is called late. It skips memory
    /// without pins.
    ///
    /// If it was not called for longer than the lifetime of any pin, the process was stopped and
    /// every older pin is dead. The clock of pins may have wrapped since, which would make them
    /// look alive, so all pins are cleared, together with the few stored since the process woke up.
    pub fn sweep(&self, now: Now) {
        let blocks = self.memory.block_count();
        // Relaxed: only the control thread sweeps.
        let swept_ms = self.swept_ms.swap(now.ms(), Ordering::Relaxed);
        let passed_ms = if swept_ms == 0 { 0 } else { now.ms().saturating_sub(swept_ms) };
        if passed_ms > LIFE_MAX_MS {
            self.clear(0..blocks, |_| true);
            return;
        }
        let parts = (passed_ms as usize + 500) / 1_000;
        let part = blocks.div_ceil(limits::SWEEP_PARTS) * parts.clamp(1, limits::SWEEP_PARTS);
        let start = self.sweep_at.load(Ordering::Relaxed) as usize;
        let end = (start + part).min(blocks);
        let clock = clock_of(now);
        self.clear(start..end, |pin| pin.is_expired(clock));
        if part >= blocks {
            self.clear(0..start, |pin| pin.is_expired(clock));
        }
        self.sweep_at.store(if end == blocks { 0 } else { end as u64 }, Ordering::Relaxed);
    }

    /// Clears every pin that names one of these slots, before they get new destinations.
    pub fn clear_slots(&self, is_reused: impl Fn(Slot) -> bool) {
        // A tentative pin has its worker's number there.
        let names = |pin: Pin| pin.state != State::Tentative && is_reused(pin.slot);
        self.clear(0..self.memory.block_count(), names);
    }

    /// Returns about how many pins there are, dead ones included, by a look at one block of 64: keys are
    /// hashes, so all blocks fill alike.
    pub fn estimate(&self) -> usize {
        const STEP: usize = 64;
        let blocks = (0..self.memory.block_count()).step_by(STEP);
        let ways = blocks.flat_map(|block| self.memory.block(block));
        let (looked_at, taken) = ways.fold((0, 0), |(all, taken), way| {
            (all + 1, taken + usize::from(way.load(Ordering::Relaxed) != 0))
        });
        taken * self.capacity() / usize::max(looked_at, 1)
    }

    /// Returns how many pins there are, dead ones included. Walks over all memory; for tests and
    /// tools.
    pub fn count(&self) -> usize {
        let blocks = (0..self.memory.block_count()).flat_map(|block| self.memory.block(block));
        blocks.filter(|way| way.load(Ordering::Relaxed) != 0).count()
    }

    /// Returns how many blocks of 64 buckets the sweeper visits, for tests and tools.
    pub fn blocks_in_use(&self) -> usize {
        (0..self.memory.block_count()).filter(|block| self.memory.is_marked(*block)).count()
    }

    /// Returns every way that may hold a pin, with its number.
    pub(super) fn ways(&self) -> impl Iterator<Item = (usize, &AtomicU64)> {
        let blocks = (0..self.memory.block_count()).filter(|block| self.memory.is_marked(*block));
        blocks.flat_map(|block| self.memory.numbered_block(block))
    }

    fn clear(&self, blocks: std::ops::Range<usize>, is_over: impl Fn(Pin) -> bool) {
        for block in blocks.filter(|block| self.memory.is_marked(*block)) {
            for way in self.memory.block(block) {
                let mut word = way.load(Ordering::Relaxed);
                // The CAS fails if the pin was changed in between: after a renewal it is no longer
                // expired, but it still names its slot. That happens once per arriving copy, so the
                // loop ends soon.
                while word != 0 && is_over(Pin::unpack(word)) {
                    match swap(way, word, 0) {
                        Ok(_) => {
                            count(&self.counters.swept);
                            break;
                        }
                        Err(now) => word = now,
                    }
                }
            }
            self.memory.unmark_if_empty(block);
        }
    }

    pub(super) fn place(&self, key: PinKey) -> (&Bucket, u32) {
        // The bucket comes from the key's high bits, the tag from its low ones. No tag is zero, so
        // no pin is zero.
        let tag = (key.0 & ((1 << TAG_BITS) - 1)) as u32;
        (self.memory.bucket(self.bucket_of(key)), tag.max(1))
    }

    pub(super) fn bucket_of(&self, key: PinKey) -> usize {
        ((u128::from(key.0) * self.memory.bucket_count() as u128) >> 64) as usize
    }

    /// The value stored instead of a slot while `worker` stores a pin.
    fn holder(&self, worker: u16) -> Slot {
        const { assert!(limits::WORKERS_MAX <= 1 << u8::BITS) };
        Slot(u16::from(self.memory.generation()) << u8::BITS | worker & 0xff)
    }

    fn try_claim<'a>(
        &'a self,
        bucket: &'a Bucket,
        pin: Pin,
        (way, old): (&'a AtomicU64, u64),
    ) -> Option<Claimed<'a>> {
        let clock = pin.clock;
        let tentative = pin.pack();
        swap(way, old, tentative).ok()?;
        self.count_eviction(old, clock);

        // Between our store and our loads of the others' words: see the orderings above.
        fence(Ordering::SeqCst);
        let is_alone = bucket.iter().all(|other| {
            std::ptr::eq(other, way) || !has_tag(other.load(Ordering::Relaxed), pin.tag)
        });
        if !is_alone && !is_first_of(bucket, pin, way) {
            let _ = swap(way, tentative, 0);
            return None;
        }
        let claimed = Pin { try_number: CLAIMED, ..pin }.pack();
        swap(way, tentative, claimed).ok()?;
        Some(Claimed { way, word: claimed })
    }

    fn count_eviction(&self, old: u64, clock: u16) {
        let pin = Pin::unpack(old);
        if old == 0 || pin.is_expired(clock) {
            return;
        }
        let is_missed = pin.worth(clock) > Worth::GivenUp;
        count(if is_missed { &self.counters.evicted_live } else { &self.counters.evicted_final });
    }
}

/// Returns whether a tentative pin at this way may go on: nobody else has stored its key, or is about
/// to at a lower way. Those at higher ways are removed.
#[inline(never)]
fn is_first_of(bucket: &Bucket, pin: Pin, way: &AtomicU64) -> bool {
    let is_same = |word| is_same(word, pin.tag, is_call(pin.kind), pin.clock);
    let mut is_below = true;
    for other in bucket {
        if std::ptr::eq(other, way) {
            is_below = false;
            continue;
        }
        let mut word = other.load(Ordering::Relaxed);
        if !has_tag(word, pin.tag) {
            continue;
        }
        let theirs = Pin::unpack(word);
        let is_weaker =
            theirs.state == State::Tentative && theirs.try_number == TENTATIVE && !is_below;
        // Remove a weaker one, unless it has just become stronger or is gone.
        if is_same(word) && is_weaker {
            word = swap(other, word, 0).map_or_else(|now| now, |_| 0);
        }
        if is_same(word) {
            return false;
        }
    }
    true
}

/// Returns the way for a new pin: a dead pin of its own key, else an empty or expired way, else the
/// least valuable pin, the oldest of several. `None` if there is none: the key has just been
/// stored, or all ways are being written right now.
///
/// Calls may keep half of the ways. Once they hold more, the oldest call makes room for a request
/// that is still open, so a callee that lets everything ring cannot fill the table.
///
/// A worker whose clock is a little behind may still see the dead pin of our key as live. It is
/// replaced in place, so either that worker renews it or we replace it.
fn victim(bucket: &Bucket, tag: u32, is_call: bool, clock: u16) -> Option<(&AtomicU64, u64)> {
    let mut free = None;
    let mut calls = 0;
    let mut oldest_call: Option<(u16, (&AtomicU64, u64))> = None;
    let mut least = None;
    for way in bucket {
        let word = way.load(Ordering::Relaxed);
        let pin = Pin::unpack(word);
        let is_over = word == 0 || pin.is_expired(clock);
        let is_tentative = pin.state == State::Tentative;
        if is_of_key(word, tag, is_call) && (is_over || !is_tentative) {
            return is_over.then_some((way, word));
        }
        if is_over {
            free = free.or(Some((way, word)));
        } else if !is_tentative {
            let (worth, age) = (pin.worth(clock), pin.age(clock));
            if worth == Worth::Call {
                calls += 1;
                if oldest_call.is_none_or(|(oldest, _)| age > oldest) {
                    oldest_call = Some((age, (way, word)));
                }
            }
            let rank = (worth, Reverse(age));
            if least.is_none_or(|(lowest, _)| rank < lowest) {
                least = Some((rank, (way, word)));
            }
        }
    }
    if let Some(free) = free {
        return Some(free);
    }
    let ((worth, _), least) = least?;
    match oldest_call {
        Some((_, oldest)) if calls > bucket.len() / 2 && worth >= Worth::Unanswered => Some(oldest),
        _ => Some(least),
    }
}

/// Returns the lowest way that holds this key, is committed and has not expired.
#[inline]
pub(super) fn find_in(
    bucket: &Bucket,
    tag: u32,
    is_call: bool,
    clock: u16,
) -> Option<(&AtomicU64, u64)> {
    bucket.iter().find_map(|way| {
        let word = way.load(Ordering::Relaxed);
        // A tentative one may come before it, from a worker that will see the committed one and
        // withdraw.
        let is_it = has_tag(word, tag)
            && Pin::unpack(word).state != State::Tentative
            && is_same(word, tag, is_call, clock);
        is_it.then_some((way, word))
    })
}

/// Returns whether no way has this tag, of whichever kind and age.
fn has_no_tag(bucket: &Bucket, tag: u32) -> bool {
    bucket.iter().all(|way| !has_tag(way.load(Ordering::Relaxed), tag))
}

fn first_empty(bucket: &Bucket) -> Option<(&AtomicU64, u64)> {
    bucket.iter().find(|way| way.load(Ordering::Relaxed) == 0).map(|way| (way, 0))
}

/// Returns whether some worker is storing this key.
fn is_being_put_in(bucket: &Bucket, tag: u32, is_call: bool, clock: u16) -> bool {
    bucket.iter().any(|way| is_same(way.load(Ordering::Relaxed), tag, is_call, clock))
}

fn is_same(word: u64, tag: u32, wants_call: bool, clock: u16) -> bool {
    is_of_key(word, tag, wants_call) && !Pin::unpack(word).is_expired(clock)
}

fn is_of_key(word: u64, tag: u32, wants_call: bool) -> bool {
    has_tag(word, tag) && is_call(Pin::unpack(word).kind) == wants_call
}

/// Returns whether this is the tag of a pin, of whichever kind. No tag is 0, which an empty way has.
const fn has_tag(word: u64, tag: u32) -> bool {
    (word >> 34) as u32 == tag
}

fn is_dialog(word: u64) -> bool {
    Pin::unpack(word).kind == Kind::Dialog
}

fn is_call(kind: Kind) -> bool {
    matches!(kind, Kind::Dialog | Kind::Challenge)
}

/// Changes a word if no other worker has changed it; otherwise returns its current value.
fn swap(way: &AtomicU64, old: u64, new: u64) -> Result<u64, u64> {
    way.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
}

fn wait() {
    for _ in 0..limits::CLAIM_SPINS {
        spin_loop();
    }
}

fn count(counter: &AtomicU64) {
    // Relaxed: it is only a number.
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
