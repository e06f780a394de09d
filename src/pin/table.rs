//! The table: set-associative, fixed in size, shared by all workers, without a lock.
//!
//! # Putting a pin in
//!
//! Two copies of one request may arrive at two workers at once, and both must get the same answer
//! while the counter moves once. So a pin is put in by steps: *tentative*, look again, *claimed*,
//! then the owner chooses and *commits*.
//!
//! ```text
//!   empty/expired ──CAS──> tentative ──look again──CAS──> claimed ──> choose ──> committed
//!                              │ lost: another's claimed or committed, or tentative lower way
//!                              └──CAS──> empty, take the other's
//! ```
//!
//! # Orderings
//!
//! The look again is a store-then-load on two different ways by two workers: of two that put in the
//! same key at least one must see the other. That needs a `SeqCst` fence between each worker's CAS
//! and the loads that follow. A worker that sees a *tentative* pin at a higher way than its own
//! takes it away by CAS; the owner's step to *claimed* is a CAS on the same word, so exactly one of
//! the two succeeds. Everything else is a single word that carries all it means, and `Relaxed` is
//! enough: no other memory is published through a pin. `crate::models` runs all of this through every
//! order of events that these orderings allow.

use super::PinKey;
use super::entry::{Kind, LIFE_MAX_MS, Pin, State, TAG_BITS, clock_of};
use super::memory::PinMemory;
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits;
use crate::sync::{AtomicU64, Ordering, fence, spin_loop};

/// What the try field of a tentative pin says.
const TENTATIVE: u8 = 0;
const CLAIMED: u8 = 1;

/// The table of pins.
#[derive(Debug)]
pub struct PinTable {
    memory: PinMemory,
    counters: PinCounters,
    /// The bucket where the sweeper goes on.
    sweep_at: AtomicU64,
    /// When it was called last, in milliseconds; 0 before the first time.
    swept_ms: AtomicU64,
}

/// What the table counts. Evictions and contention are rare, so all workers share these.
#[derive(Debug, Default)]
pub struct PinCounters {
    /// Pins of transactions that had ended over 32 s before, evicted from a full bucket.
    pub evicted_final: AtomicU64,
    /// Other living pins evicted from a full bucket: the table is too small.
    pub evicted_live: AtomicU64,
    /// Requests that waited for another worker's choice for the same request.
    pub contended: AtomicU64,
    /// Expired pins cleared by the sweeper.
    pub swept: AtomicU64,
}

/// What became of an attempt to put a pin in.
#[derive(Debug)]
pub enum Claim<'a> {
    /// There is one already.
    Found(Pin),
    /// The way is ours: choose, then commit. Dropping it gives the way back.
    Claimed(Claimed<'a>),
    /// Another worker is choosing for the same request at this moment.
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
        // It fails only when we stood still for seconds and the way was given to another: then our
        // choice is unpinned, as after an eviction.
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
    /// A table in this memory.
    pub fn new(memory: PinMemory) -> Self {
        Self {
            memory,
            counters: PinCounters::default(),
            sweep_at: AtomicU64::new(0),
            swept_ms: AtomicU64::new(0),
        }
    }

    /// How many pins a relay needs that sees this many new requests per second at its peak.
    pub const fn pins_for_peak(requests_per_second: u32) -> usize {
        requests_per_second as usize * limits::PINS_PER_REQUEST_RATE
    }

    /// How many pins fit.
    pub fn capacity(&self) -> usize {
        self.memory.bucket_count() * super::memory::WAYS
    }

    /// What it counts.
    pub fn counters(&self) -> &PinCounters {
        &self.counters
    }

    /// The memory, for the control thread to note its slots in.
    pub(crate) fn memory(&self) -> &PinMemory {
        &self.memory
    }

    /// The pin of this key that serves a transaction, or a call when `is_call`.
    pub fn find(&self, now: Now, key: PinKey, is_call: bool) -> Option<Pin> {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        find_in(bucket, tag, is_call, clock).map(|(_, word)| Pin::unpack(word))
    }

    /// Finds the transaction's pin or begins to put it in.
    ///
    /// `worker` is the caller's number, equal for no two of a process: with the number of the process
    /// it makes tentative pins of one key differ, so that no worker takes another's for its own.
    pub fn claim(&self, now: Now, key: PinKey, kind: Kind, worker: u16) -> Claim<'_> {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        let is_call = is_call(kind);
        let mut has_waited = false;
        for _ in 0..limits::CLAIM_TRIES {
            if let Some((_, word)) = find_in(bucket, tag, is_call, clock) {
                return Claim::Found(Pin::unpack(word));
            }
            if is_being_put_in(bucket, tag, is_call, clock) {
                // The other worker is a handful of instructions from its end.
                if !has_waited {
                    count(&self.counters.contended);
                    has_waited = true;
                }
                wait();
                continue;
            }
            let pin = Pin {
                tag,
                slot: self.seat(worker),
                clock,
                kind,
                state: State::Tentative,
                try_number: TENTATIVE,
            };
            if let Some(claimed) = self.try_claim(bucket, pin) {
                return Claim::Claimed(claimed);
            }
        }
        Claim::Contended
    }

    /// Notes that a request or response of this transaction was seen; false when it has no pin.
    pub fn renew(&self, now: Now, key: PinKey, is_call: bool, state: Option<State>) -> bool {
        let (bucket, tag) = self.place(key);
        let clock = clock_of(now);
        for _ in 0..limits::CLAIM_TRIES {
            let Some((way, word)) = find_in(bucket, tag, is_call, clock) else {
                return false;
            };
            let pin = Pin::unpack(word);
            // A late 1xx does not bring a transaction back that had its final response.
            let state = match (pin.state, state) {
                (State::Final, _) | (_, None) => pin.state,
                (_, Some(new)) => new,
            };
            let new = Pin { clock, state, ..pin }.pack();
            // Within one unit of the clock nearly nothing changes, and the line stays shared.
            if new == word || swap(way, word, new).is_ok() {
                return true;
            }
        }
        true
    }

    /// Puts a call pin in, or sets the one that is there; `worker` is as in [`PinTable::claim`].
    /// False when another worker took too long to put it in.
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
                // A dialog is worth more than a challenge that comes late.
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
                // Another worker has put it in: it is set in the next round.
                Claim::Found(_) => {}
                Claim::Contended => break,
            }
        }
        false
    }

    /// Takes the pin of a challenge out when it is still there: it serves one request.
    pub fn take_challenge(&self, now: Now, key: PinKey, cseq_bits: u8) -> Option<Slot> {
        let (bucket, tag) = self.place(key);
        for _ in 0..limits::CLAIM_TRIES {
            let (way, word) = find_in(bucket, tag, true, clock_of(now))?;
            let pin = Pin::unpack(word);
            if pin.kind != Kind::Challenge || pin.try_number == cseq_bits & 15 {
                return None;
            }
            // It fails when it was renewed, by a copy of the challenge, or taken.
            if swap(way, word, 0).is_ok() {
                return Some(pin.slot);
            }
        }
        None
    }

    /// Clears what has expired in the next part of the table; the control thread calls it about
    /// once a second. It passes the whole table in 64 s, or at once when it comes late.
    ///
    /// When nobody has called it for longer than any pin lives, the process was stopped and every
    /// pin from before is dead. The clock of pins may have wrapped since, which would make them look
    /// alive: all are cleared, with the few put in since the process woke up.
    pub fn sweep(&self, now: Now) {
        let buckets = self.memory.bucket_count();
        // Relaxed: the control thread alone sweeps.
        let swept_ms = self.swept_ms.swap(now.ms(), Ordering::Relaxed);
        let passed_ms = if swept_ms == 0 { 0 } else { now.ms().saturating_sub(swept_ms) };
        if passed_ms > LIFE_MAX_MS {
            self.clear(0..buckets, |_| true);
            return;
        }
        let parts = (passed_ms as usize + 500) / 1_000;
        let part = buckets.div_ceil(limits::SWEEP_PARTS) * parts.clamp(1, limits::SWEEP_PARTS);
        let start = self.sweep_at.load(Ordering::Relaxed) as usize;
        let end = (start + part).min(buckets);
        let clock = clock_of(now);
        self.clear(start..end, |pin| pin.is_expired(clock));
        if part >= buckets {
            self.clear(0..start, |pin| pin.is_expired(clock));
        }
        self.sweep_at.store(if end == buckets { 0 } else { end as u64 }, Ordering::Relaxed);
    }

    /// Clears every pin that names one of these slots, before they stand for something else.
    pub fn clear_slots(&self, is_reused: impl Fn(Slot) -> bool) {
        // A tentative pin has its worker's number there.
        let names = |pin: Pin| pin.state != State::Tentative && is_reused(pin.slot);
        self.clear(0..self.memory.bucket_count(), names);
    }

    /// How many pins there are, dead ones included: a walk over all memory, for tests and tools.
    pub fn count(&self) -> usize {
        let ways = (0..self.memory.bucket_count()).flat_map(|bucket| self.memory.bucket(bucket));
        ways.filter(|way| way.load(Ordering::Relaxed) != 0).count()
    }

    fn clear(&self, buckets: std::ops::Range<usize>, is_over: impl Fn(Pin) -> bool) {
        for way in buckets.flat_map(|bucket| self.memory.bucket(bucket)) {
            let mut word = way.load(Ordering::Relaxed);
            // The CAS fails for a pin that was changed in between: renewed, it no longer is expired,
            // but it still names its slot. That happens once per copy that comes, so not for long.
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
    }

    pub(super) fn place(&self, key: PinKey) -> (&[AtomicU64], u32) {
        let buckets = self.memory.bucket_count() as u128;
        let number = (u128::from(key.0) * buckets) >> 64;
        // The bucket is made of the key's high bits, the tag of its low ones; no tag is zero, so
        // that no pin is.
        let tag = (key.0 & ((1 << TAG_BITS) - 1)) as u32;
        (self.memory.bucket(number as usize), tag.max(1))
    }

    /// What stands in the place of a slot while `worker` puts a pin in.
    fn seat(&self, worker: u16) -> Slot {
        const { assert!(limits::WORKERS_MAX <= 1 << u8::BITS) };
        Slot(u16::from(self.memory.generation()) << u8::BITS | worker & 0xff)
    }

    fn try_claim<'a>(&'a self, bucket: &'a [AtomicU64], pin: Pin) -> Option<Claimed<'a>> {
        let clock = pin.clock;
        let (way, old) = victim(bucket, pin.tag, is_call(pin.kind), clock)?;
        let tentative = pin.pack();
        swap(way, old, tentative).ok()?;
        self.count_eviction(old, clock);

        // Between our word and the look at the others': see the orderings above.
        fence(Ordering::SeqCst);
        let mut is_below = true;
        for other in bucket {
            if std::ptr::eq(other, way) {
                is_below = false;
                continue;
            }
            let is_same = |word| is_same(word, pin.tag, is_call(pin.kind), clock);
            let mut word = other.load(Ordering::Relaxed);
            let theirs = Pin::unpack(word);
            let is_weaker =
                theirs.state == State::Tentative && theirs.try_number == TENTATIVE && !is_below;
            // A weaker one is taken away, unless it has just become stronger or gone by itself.
            if is_same(word) && is_weaker {
                word = swap(other, word, 0).map_or_else(|now| now, |_| 0);
            }
            if is_same(word) {
                let _ = swap(way, tentative, 0);
                return None;
            }
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
        let is_over = !pin.eviction_rank(clock).0;
        count(if is_over { &self.counters.evicted_final } else { &self.counters.evicted_live });
    }
}

/// The way to put a new pin in: that of a dead one of its own key, else an empty or expired one,
/// else the one that will be missed least. `None` when there is none: the key has just been put in,
/// or all ways are being put in at this moment.
///
/// A worker whose clock is a little behind may still find the dead pin of our key alive. It is
/// replaced where it is, so that either that worker renews it or we replace it.
fn victim(bucket: &[AtomicU64], tag: u32, is_call: bool, clock: u16) -> Option<(&AtomicU64, u64)> {
    let mut free = None;
    let mut lowest: Option<(&AtomicU64, u64, _)> = None;
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
            let rank = pin.eviction_rank(clock);
            if lowest.as_ref().is_none_or(|(_, _, lowest)| rank < *lowest) {
                lowest = Some((way, word, rank));
            }
        }
    }
    free.or(lowest.map(|(way, word, _)| (way, word)))
}

/// The lowest way that holds this key, has been committed and lives.
pub(super) fn find_in(
    bucket: &[AtomicU64],
    tag: u32,
    is_call: bool,
    clock: u16,
) -> Option<(&AtomicU64, u64)> {
    bucket.iter().find_map(|way| {
        let word = way.load(Ordering::Relaxed);
        // A tentative one may lie before it: of a worker that will see the committed one and
        // withdraw.
        let is_committed = Pin::unpack(word).state != State::Tentative;
        (is_committed && is_same(word, tag, is_call, clock)).then_some((way, word))
    })
}

/// Whether some worker is putting this key in.
fn is_being_put_in(bucket: &[AtomicU64], tag: u32, is_call: bool, clock: u16) -> bool {
    bucket.iter().any(|way| is_same(way.load(Ordering::Relaxed), tag, is_call, clock))
}

fn is_same(word: u64, tag: u32, wants_call: bool, clock: u16) -> bool {
    is_of_key(word, tag, wants_call) && !Pin::unpack(word).is_expired(clock)
}

fn is_of_key(word: u64, tag: u32, wants_call: bool) -> bool {
    (word >> 34) as u32 == tag && is_call(Pin::unpack(word).kind) == wants_call
}

fn is_dialog(word: u64) -> bool {
    Pin::unpack(word).kind == Kind::Dialog
}

fn is_call(kind: Kind) -> bool {
    matches!(kind, Kind::Dialog | Kind::Challenge)
}

/// Changes a word when nobody else has; the word that is there instead when somebody has.
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
mod tests {
    use super::super::ANSWERED_NO_DESTINATION;
    use super::*;

    const NOW: Now = Now::from_ms(4_000_000_000);

    /// A table of one bucket, in which every key meets every other.
    fn one_bucket() -> PinTable {
        PinTable::new(PinMemory::on_heap(8))
    }

    fn put(table: &PinTable, now: Now, key: u64, slot: u16) {
        match table.claim(now, PinKey(key), Kind::Invite, 0) {
            Claim::Claimed(claimed) => claimed.commit(Slot(slot), State::None),
            other => panic!("{other:?}"),
        }
    }

    fn slot(table: &PinTable, now: Now, key: u64) -> Option<Slot> {
        table.find(now, PinKey(key), false).map(|pin| pin.slot)
    }

    #[test]
    fn what_is_put_in_is_found_and_what_is_dropped_is_not() {
        let table = one_bucket();
        put(&table, NOW, 1, 7);
        assert_eq!(slot(&table, NOW, 1), Some(Slot(7)));
        assert!(
            matches!(table.claim(NOW, PinKey(1), Kind::Invite, 0), Claim::Found(pin) if pin.slot == Slot(7))
        );
        drop(table.claim(NOW, PinKey(2), Kind::Invite, 0));
        assert_eq!(slot(&table, NOW, 2), None);
        assert_eq!(table.count(), 1);
    }

    #[test]
    fn a_call_and_a_transaction_of_one_key_are_two_pins() {
        let table = one_bucket();
        put(&table, NOW, 1, 7);
        table.set_call(NOW, PinKey(1), Kind::Dialog, Slot(8), 0, 0);
        assert_eq!(slot(&table, NOW, 1), Some(Slot(7)));
        assert_eq!(table.find(NOW, PinKey(1), true).map(|pin| pin.slot), Some(Slot(8)));
    }

    #[test]
    fn a_full_bucket_evicts_the_ended_first_then_the_oldest() {
        let table = one_bucket();
        let at = |s: u64| NOW.plus_ms(s * 1000);
        for key in 1..=8 {
            put(&table, at(4 * key), key, key as u16);
        }
        // The fourth ended: once that is over 32 s ago, it goes before the older ones.
        assert!(table.renew(at(32), PinKey(4), false, Some(State::Final)));
        put(&table, at(80), 9, 9);
        assert_eq!(slot(&table, at(80), 4), None);
        put(&table, at(80), 10, 10);
        assert_eq!(slot(&table, at(80), 1), None, "the oldest");
        assert_eq!(table.count(), 8);
        assert_eq!(table.counters().evicted_final.load(Ordering::Relaxed), 1);
        assert_eq!(table.counters().evicted_live.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_pin_put_in_since_we_looked_is_not_evicted_for_its_own_copy() {
        let table = one_bucket();
        for key in 1..=8 {
            put(&table, NOW, key, key as u16);
        }
        let (bucket, copy) = attempt(&table, 5, TENTATIVE);
        assert!(table.try_claim(bucket, copy).is_none());
        assert_eq!(slot(&table, NOW, 1), Some(Slot(1)));
    }

    #[test]
    fn a_committed_pin_is_found_behind_one_that_is_being_put_in() {
        let table = one_bucket();
        put(&table, NOW, 2, 9);
        put(&table, NOW, 1, 7);
        let (bucket, copy) = attempt(&table, 5, TENTATIVE);
        bucket[0].store(copy.pack(), Ordering::Relaxed);
        assert_eq!(slot(&table, NOW, 1), Some(Slot(7)));
        assert!(table.renew(NOW, PinKey(1), false, Some(State::Final)));
        assert_eq!(table.find(NOW, PinKey(1), false).unwrap().state, State::Final);
        assert!(matches!(table.claim(NOW, PinKey(1), Kind::Invite, 0), Claim::Found(_)));
    }

    #[test]
    fn a_dead_pin_is_replaced_where_it_is() {
        let table = one_bucket();
        put(&table, NOW, 2, 9);
        put(&table, NOW, 1, 7);
        // The way before it is free again, and would be taken by any other key.
        table.clear_slots(|slot| slot == Slot(9));
        let later = NOW.plus_ms(248_000);
        let Claim::Claimed(claimed) = table.claim(later, PinKey(1), Kind::Invite, 0) else {
            panic!()
        };
        claimed.commit(Slot(8), State::None);
        assert_eq!(table.count(), 1, "a worker whose clock is behind could renew it");
        assert_eq!(slot(&table, later, 1), Some(Slot(8)));
    }

    #[test]
    fn of_two_attempts_the_further_wins_and_of_equals_the_lower_way() {
        struct Row {
            says: &'static str,
            theirs_way: usize,
            theirs: u8,
            ours_wins: bool,
        }
        let row = |says, theirs_way, theirs, ours_wins| Row { says, theirs_way, theirs, ours_wins };
        let rows = [
            row("tentative below", 0, TENTATIVE, false),
            row("claimed below", 0, CLAIMED, false),
            row("tentative above", 7, TENTATIVE, true),
            row("claimed above", 7, CLAIMED, false),
        ];
        for row in rows {
            let table = one_bucket();
            let (bucket, theirs) = attempt(&table, 6, row.theirs);
            let theirs = theirs.pack();
            bucket[row.theirs_way].store(theirs, Ordering::SeqCst);
            let (_, ours) = attempt(&table, 5, TENTATIVE);
            let claimed = table.try_claim(bucket, ours);
            assert_eq!(claimed.is_some(), row.ours_wins, "{}", row.says);
            assert_eq!(table.count(), 1, "{}", row.says);
            let is_theirs = bucket[row.theirs_way].load(Ordering::SeqCst) == theirs;
            assert_eq!(is_theirs, !row.ours_wins, "{}", row.says);
        }
    }

    /// What a worker puts in for key 1 while it is on its way.
    fn attempt(table: &PinTable, worker: u16, how_far: u8) -> (&[AtomicU64], Pin) {
        let (bucket, tag) = table.place(PinKey(1));
        let pin = Pin {
            tag,
            slot: table.seat(worker),
            clock: clock_of(NOW),
            kind: Kind::Invite,
            state: State::Tentative,
            try_number: how_far,
        };
        (bucket, pin)
    }

    #[test]
    fn an_expired_pin_makes_room_without_being_counted() {
        let table = one_bucket();
        for key in 1..=8 {
            put(&table, NOW, key, 1);
        }
        put(&table, NOW.plus_ms(300_000), 9, 9);
        assert_eq!(table.counters().evicted_live.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn renewing_a_call_is_no_eviction() {
        let table = one_bucket();
        table.set_call(NOW, PinKey(1), Kind::Dialog, Slot(8), 0, 0);
        table.set_call(NOW.plus_ms(60_000), PinKey(1), Kind::Dialog, Slot(8), 0, 0);
        table.set_call(NOW.plus_ms(60_000), PinKey(1), Kind::Challenge, Slot(9), 1, 0);
        assert_eq!(table.count(), 1);
        assert_eq!(table.counters().evicted_live.load(Ordering::Relaxed), 0);
        assert_eq!(
            table.find(NOW.plus_ms(60_000), PinKey(1), true).map(|pin| pin.slot),
            Some(Slot(8))
        );
    }

    #[test]
    fn the_sweeper_clears_what_is_over_and_leaves_the_rest() {
        let table = PinTable::new(PinMemory::on_heap(8_000));
        for key in 0..1000_u64 {
            put(&table, NOW, key.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, 1);
        }
        table.sweep(NOW);
        let later = NOW.plus_ms(200_000);
        put(&table, later, 77 << 40 | 5, 2);
        table.sweep(later.plus_ms(100_000));
        assert_eq!(table.count(), 1);
        assert_eq!(table.counters().swept.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_second_s_sweep_passes_a_part_of_the_table() {
        let table = PinTable::new(PinMemory::on_heap(8 * 64));
        for key in 0..64_u64 {
            put(&table, NOW, key << 58 | 1, 1);
        }
        let dead = NOW.plus_ms(300_000);
        table.sweep(dead);
        for second in 1..64 {
            assert_eq!(table.counters().swept.load(Ordering::Relaxed), second);
            table.sweep(dead.plus_ms(second * 1_001));
        }
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn a_process_that_was_stopped_finds_no_pin_alive_again() {
        // The clock wraps after 4,096 s.
        for stopped_s in [1_900, 2_300, 3_900, 4_095, 4_096, 4_100, 3 * 4_096 + 60, 1_000_000] {
            let table = one_bucket();
            put(&table, NOW, 1, 7);
            table.renew(NOW, PinKey(1), false, Some(State::Provisional));
            table.sweep(NOW.plus_ms(1_000));
            let woken = NOW.plus_ms(stopped_s * 1_000);
            table.sweep(woken);
            assert_eq!(slot(&table, woken, 1), None, "after {stopped_s} s");
            assert_eq!(table.count(), 0, "after {stopped_s} s");
        }
    }

    #[test]
    fn a_process_that_was_stopped_for_less_than_a_call_rings_keeps_the_call() {
        let table = one_bucket();
        put(&table, NOW, 1, 7);
        table.renew(NOW, PinKey(1), false, Some(State::Provisional));
        table.sweep(NOW.plus_ms(1_000));
        let woken = NOW.plus_ms(1_700_000);
        table.sweep(woken);
        assert_eq!(slot(&table, woken, 1), Some(Slot(7)));
    }

    #[test]
    fn a_slot_that_is_given_to_another_leaves_no_pin_behind() {
        let table = one_bucket();
        put(&table, NOW, 1, 7);
        put(&table, NOW, 2, 8);
        table.clear_slots(|slot| slot == Slot(7));
        assert_eq!((slot(&table, NOW, 1), slot(&table, NOW, 2)), (None, Some(Slot(8))));
    }

    #[test]
    fn two_processes_on_one_memory_never_put_the_same_word_in() {
        let words: std::sync::Arc<[AtomicU64]> =
            (0..PinMemory::words_for(8)).map(|_| AtomicU64::new(0)).collect();
        let process = || PinTable::new(PinMemory::new(std::sync::Arc::clone(&words), 0));
        let (old, new) = (process(), process());
        assert_ne!(attempt(&old, 5, TENTATIVE).1.pack(), attempt(&new, 5, TENTATIVE).1.pack());
        put(&old, NOW, 1, 7);
        assert_eq!(slot(&new, NOW, 1), Some(Slot(7)), "they share what is pinned");
    }

    #[test]
    fn clearing_a_slot_spares_the_worker_of_that_number() {
        let table = one_bucket();
        let Claim::Claimed(claimed) = table.claim(NOW, PinKey(1), Kind::Invite, 7) else {
            panic!()
        };
        table.clear_slots(|slot| slot == table.seat(7));
        claimed.commit(Slot(8), State::None);
        assert_eq!(slot(&table, NOW, 1), Some(Slot(8)));
    }

    #[test]
    fn a_late_provisional_does_not_bring_a_transaction_back() {
        let table = one_bucket();
        put(&table, NOW, 1, ANSWERED_NO_DESTINATION.0);
        table.renew(NOW, PinKey(1), false, Some(State::Final));
        table.renew(NOW, PinKey(1), false, Some(State::Provisional));
        assert_eq!(table.find(NOW, PinKey(1), false).unwrap().state, State::Final);
    }

    #[test]
    fn a_worker_that_stood_still_does_not_hold_a_way_for_ever() {
        let table = one_bucket();
        let Claim::Claimed(stuck) = table.claim(NOW, PinKey(1), Kind::Invite, 1) else { panic!() };
        assert!(matches!(table.claim(NOW, PinKey(1), Kind::Invite, 2), Claim::Contended));
        let later = NOW.plus_ms(20_000);
        put(&table, later, 1, 7);
        stuck.commit(Slot(9), State::None);
        assert_eq!(slot(&table, later, 1), Some(Slot(7)), "its late commit changes nothing");
    }
}
