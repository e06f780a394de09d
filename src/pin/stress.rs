//! The table under real threads: what the models prove for one bucket and a few steps, tested with
//! many. Sanitizers check it, see `tests/sanitizers`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::clock::Now;

const NOW: Now = Now::from_ms(4_000_000_000);
const WORKERS: u16 = 4;
const KEYS: u64 = 2_000;

/// Spreads the keys over a table; the odd factor gives each number its own tag.
fn key(number: u64) -> PinKey {
    PinKey((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn of_many_copies_at_once_one_chooses() {
    let table = PinTable::new(PinMemory::on_heap(4 * KEYS as usize));
    let (turns, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let barrier = Barrier::new(usize::from(WORKERS));
    let found = thread::scope(|scope| {
        let (table, turns, barrier) = (&table, &turns, &barrier);
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn(move || {
                    barrier.wait();
                    (0..KEYS).map(|n| copy(table, turns, key(n), worker)).collect::<Vec<_>>()
                })
            })
            .collect();
        // The control thread sweeps meanwhile, but has nothing to clear: if the workers are slow,
        // its clock stops before any pin expires, even a tentative one, which has 8 s.
        scope.spawn(|| {
            let mut now = NOW;
            while !is_over.load(Ordering::Relaxed) {
                table.sweep(now);
                now = now.plus_ms(10).min(NOW.plus_ms(4_000));
            }
        });
        let found: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        found
    });
    for number in 0..KEYS {
        let pinned = table.find(NOW, key(number), false).map(|pin| pin.slot.0);
        assert!(pinned.is_some(), "key {number}");
        for copy in found.iter().filter_map(|found| found[number as usize]) {
            assert_eq!(Some(copy), pinned, "key {number}");
        }
    }
    assert_eq!(turns.load(Ordering::Relaxed), KEYS);
    assert_eq!(table.count() as u64, KEYS);
    let counters = table.counters();
    let lost = [&counters.evicted_final, &counters.evicted_live, &counters.swept];
    assert_eq!(lost.map(|counter| counter.load(Ordering::Relaxed)), [0; 3]);
}

/// Returns the slot that a copy of this request goes to; `None` if it is dropped.
fn copy(table: &PinTable, turns: &AtomicU64, key: PinKey, worker: u16) -> Option<u16> {
    match table.claim(NOW, key, Kind::Invite, worker) {
        Claim::Claimed(claimed) => {
            let slot = turns.fetch_add(1, Ordering::Relaxed) as u16;
            claimed.commit(Slot(slot), State::None);
            Some(slot)
        }
        Claim::Found(pin) => Some(pin.slot.0),
        Claim::Contended => None,
    }
}

#[test]
fn in_buckets_too_small_for_all_nothing_is_lost_uncounted() {
    let table = PinTable::new(PinMemory::on_heap(64));
    let turns = AtomicU64::new(0);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (table, turns) = (&table, &turns);
            scope.spawn(move || {
                for number in 0..KEYS {
                    let own = key(u64::from(worker) * KEYS + number);
                    while copy(table, turns, own, worker).is_none() {}
                }
            });
        }
    });
    let counters = table.counters();
    let evicted = counters.evicted_live.load(Ordering::Relaxed);
    assert_eq!(turns.load(Ordering::Relaxed), u64::from(WORKERS) * KEYS);
    assert_eq!(table.count() as u64 + evicted, u64::from(WORKERS) * KEYS);
}
