//! Rows for the table alone: one bucket, in which all keys collide.

use super::*;
use crate::pin::ANSWERED_NO_DESTINATION;

const NOW: Now = Now::from_ms(4_000_000_000);

/// Creates a table of one bucket, in which all keys collide.
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
fn an_estimate_is_near_the_count() {
    let table = PinTable::new(PinMemory::on_heap(1 << 18));
    assert_eq!(table.estimate(), 0);
    for key in 1..=100_000_u64 {
        put(&table, NOW, key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 7);
    }
    let (estimate, count) = (table.estimate(), table.count());
    assert!(estimate.abs_diff(count) < count / 10, "{estimate} of {count}");
    // A table of less than one block is counted.
    let small = one_bucket();
    put(&small, NOW, 1, 7);
    assert_eq!(small.estimate(), 1);
}

#[test]
fn a_call_and_a_transaction_of_one_key_are_two_pins() {
    let table = one_bucket();
    put(&table, NOW, 1, 7);
    table.set_call(NOW, PinKey(1), Kind::Dialog, Slot(8), 0, 0);
    assert_eq!(slot(&table, NOW, 1), Some(Slot(7)));
    assert_eq!(table.find(NOW, PinKey(1), true).map(|pin| pin.slot), Some(Slot(8)));
}

/// Writes the pin of key `key` into way `key - 1`, last used this long before `now`.
fn write(table: &PinTable, now: Now, key: u64, (kind, state, age_s): (Kind, State, u64)) {
    let clock = clock_of(Now::from_ms(now.ms() - age_s * 1_000));
    let (bucket, tag) = table.place(PinKey(key));
    let pin = Pin { tag, slot: Slot(0), clock, kind, state, try_number: 0 };
    bucket[key as usize - 1].store(pin.pack(), Ordering::Relaxed);
}

#[test]
fn a_full_bucket_evicts_what_is_missed_least() {
    /// Kind, state, and age in seconds, from the first to be evicted to the last. With these ages,
    /// evicting the oldest would get as many pairs as possible wrong.
    const ORDER: &[(Kind, State, u64)] = &[
        (Kind::Invite, State::Final, 40),
        (Kind::Invite, State::None, 60),
        (Kind::Challenge, State::Final, 0),
        (Kind::Request, State::Final, 4),
        (Kind::Invite, State::None, 8),
        (Kind::Invite, State::Trying, 100),
        (Kind::Dialog, State::Final, 200),
        (Kind::Invite, State::Ringing, 204),
    ];
    let now = NOW.plus_ms(1_000_000);
    for (at, (less, more)) in ORDER.iter().zip(&ORDER[1..]).enumerate().take(6) {
        for place in [1, 5, 8] {
            let table = one_bucket();
            // At most half of them are calls: see the next test.
            for key in 1..=8 {
                let is_less = key == place || at == 5 && key % 2 == 1;
                write(&table, now, key, if is_less { *less } else { *more });
            }
            put(&table, now, 9, 9);
            let is_there = |key| table.find(now, PinKey(key), is_call(less.0)).is_some();
            let gone = if at == 5 { 1 } else { place };
            assert!(!is_there(gone), "{less:?} goes before {more:?}");
            let is_final = table.counters().evicted_final.load(Ordering::Relaxed);
            assert_eq!(is_final, u64::from(at < 2), "{less:?}");
            assert_eq!(table.counters().evicted_live.load(Ordering::Relaxed), 1 - is_final);
        }
    }
}

#[test]
fn of_equals_the_oldest_is_evicted() {
    let table = one_bucket();
    let at = |s: u64| NOW.plus_ms(s * 1000);
    for key in 1..=8 {
        put(&table, at(4 * (9 - key)), key, key as u16);
    }
    put(&table, at(32), 9, 9);
    assert_eq!(slot(&table, at(32), 8), None);
    assert_eq!(table.count(), 8);
}

#[test]
fn calls_keep_half_of_a_bucket() {
    let now = NOW.plus_ms(1_000_000);
    for (ringing, is_call_evicted) in [(4, false), (5, true), (8, true)] {
        let table = one_bucket();
        for key in 1..=8 {
            let state = if key <= ringing { State::Ringing } else { State::None };
            write(&table, now, key, (Kind::Invite, state, 4 * (8 - key)));
        }
        put(&table, now, 9, 9);
        let is_there = |key| table.find(now, PinKey(key), false).is_some();
        assert_eq!(is_there(1), !is_call_evicted, "the oldest of {ringing} that ring");
        assert_eq!(is_there(ringing + 1), ringing == 8 || is_call_evicted, "{ringing} ring");
        assert!(is_there(9));
    }
}

#[test]
fn ended_transactions_make_room_before_any_call() {
    let table = one_bucket();
    for key in 1..=7 {
        write(&table, NOW, key, (Kind::Invite, State::Ringing, 0));
    }
    write(&table, NOW, 8, (Kind::Request, State::Final, 0));
    put(&table, NOW, 9, 9);
    assert_eq!(slot(&table, NOW, 8), None);
    assert_eq!(table.count(), 8);
}

#[test]
fn a_100_does_not_ring_and_does_not_stop_the_ringing() {
    let table = one_bucket();
    put(&table, NOW, 1, 7);
    let state = |now| table.find(now, PinKey(1), false).map(|pin| pin.state);
    table.renew(NOW, PinKey(1), false, Some(State::Trying));
    assert_eq!(state(NOW.plus_ms(240_000)), Some(State::Trying));
    assert_eq!(state(NOW.plus_ms(250_000)), None, "a 100 keeps a pin no longer than a request");
    table.renew(NOW, PinKey(1), false, Some(State::Ringing));
    table.renew(NOW, PinKey(1), false, Some(State::Trying));
    assert_eq!(state(NOW.plus_ms(1_790_000)), Some(State::Ringing));
}

#[test]
fn only_the_first_response_finds_the_state_before_it() {
    let table = one_bucket();
    put(&table, NOW, 1, 7);
    let renew = |key, state| table.renew(NOW, PinKey(key), false, state);
    let rows = [
        (None, State::None),
        (Some(State::Trying), State::None),
        (Some(State::Trying), State::Trying),
        (Some(State::Ringing), State::Trying),
        (Some(State::Final), State::Ringing),
        (Some(State::Final), State::Final),
        (Some(State::Ringing), State::Final),
    ];
    for (new, before) in rows {
        assert_eq!(renew(1, new), Some(before), "{new:?}");
    }
    assert_eq!(renew(2, Some(State::Final)), None);
}

#[test]
fn memory_without_pins_is_not_swept() {
    let table = PinTable::new(PinMemory::on_heap(8 * 64 * 100));
    assert_eq!(table.blocks_in_use(), 0);
    for key in 0..10_u64 {
        put(&table, NOW, ((key * 10) << 57) | 1, 1);
    }
    let blocks = table.blocks_in_use();
    assert!((2..=10).contains(&blocks), "{blocks}");
    table.sweep(NOW.plus_ms(1_000));
    assert_eq!(table.blocks_in_use(), blocks);
    let over = NOW.plus_ms(300_000);
    table.sweep(over);
    assert_eq!((table.count(), table.blocks_in_use()), (0, 0));
    put(&table, over, 1, 1);
    assert_eq!((table.count(), table.blocks_in_use()), (1, 1));
}

#[test]
fn a_pin_put_in_since_we_looked_is_not_evicted_for_its_own_copy() {
    let table = one_bucket();
    for key in 1..=8 {
        put(&table, NOW, key, key as u16);
    }
    let (bucket, copy) = attempt(&table, 5, TENTATIVE);
    assert!(try_claim(&table, bucket, copy).is_none());
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
    assert!(table.renew(NOW, PinKey(1), false, Some(State::Final)).is_some());
    assert_eq!(table.find(NOW, PinKey(1), false).unwrap().state, State::Final);
    assert!(matches!(table.claim(NOW, PinKey(1), Kind::Invite, 0), Claim::Found(_)));
}

#[test]
fn a_dead_pin_is_replaced_where_it_is() {
    let table = one_bucket();
    put(&table, NOW, 2, 9);
    put(&table, NOW, 1, 7);
    // The way before it is free again, and any other key would take it.
    table.clear_slots(|slot| slot == Slot(9));
    let later = NOW.plus_ms(248_000);
    let Claim::Claimed(claimed) = table.claim(later, PinKey(1), Kind::Invite, 0) else { panic!() };
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
        let claimed = try_claim(&table, bucket, ours);
        assert_eq!(claimed.is_some(), row.ours_wins, "{}", row.says);
        assert_eq!(table.count(), 1, "{}", row.says);
        let is_theirs = bucket[row.theirs_way].load(Ordering::SeqCst) == theirs;
        assert_eq!(is_theirs, !row.ours_wins, "{}", row.says);
    }
}

fn try_claim<'a>(table: &'a PinTable, bucket: &'a Bucket, pin: Pin) -> Option<Claimed<'a>> {
    let way = victim(bucket, pin.tag, is_call(pin.kind), pin.clock)?;
    table.try_claim(bucket, pin, way)
}

/// Returns the pin that a worker stores for key 1 after this many steps.
fn attempt(table: &PinTable, worker: u16, how_far: u8) -> (&Bucket, Pin) {
    let (bucket, tag) = table.place(PinKey(1));
    let pin = Pin {
        tag,
        slot: table.holder(worker),
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
    assert_eq!(table.find(NOW.plus_ms(60_000), PinKey(1), true).map(|pin| pin.slot), Some(Slot(8)));
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
    let table = PinTable::new(PinMemory::on_heap(8 * 64 * 64));
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
        table.renew(NOW, PinKey(1), false, Some(State::Ringing));
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
    table.renew(NOW, PinKey(1), false, Some(State::Ringing));
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
    let old = process();
    put(&old, NOW, 2, 3);
    let new = process();
    assert_eq!(slot(&new, NOW, 2), Some(Slot(3)));
    new.sweep(NOW);
    new.sweep(NOW.plus_ms(300_000));
    assert_eq!(new.count(), 0, "the successor sweeps what it took over");
    assert_ne!(attempt(&old, 5, TENTATIVE).1.pack(), attempt(&new, 5, TENTATIVE).1.pack());
    put(&old, NOW, 1, 7);
    assert_eq!(slot(&new, NOW, 1), Some(Slot(7)), "they share what is pinned");
}

#[test]
fn clearing_a_slot_spares_the_worker_of_that_number() {
    let table = one_bucket();
    let Claim::Claimed(claimed) = table.claim(NOW, PinKey(1), Kind::Invite, 7) else { panic!() };
    table.clear_slots(|slot| slot == table.holder(7));
    claimed.commit(Slot(8), State::None);
    assert_eq!(slot(&table, NOW, 1), Some(Slot(8)));
}

#[test]
fn a_late_provisional_does_not_bring_a_transaction_back() {
    let table = one_bucket();
    put(&table, NOW, 1, ANSWERED_NO_DESTINATION.0);
    table.renew(NOW, PinKey(1), false, Some(State::Final));
    table.renew(NOW, PinKey(1), false, Some(State::Ringing));
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

#[test]
fn an_unanswered_request_is_given_to_another_destination_once() {
    const LATER: Now = Now::from_ms(4_000_000_000 + 100_000);
    let table = one_bucket();
    let retry = |key, from, to| table.retry(LATER, PinKey(key), Slot(from), Slot(to), State::None);
    put(&table, NOW, 1, 7);
    table.set_call(NOW, PinKey(1), Kind::Dialog, Slot(7), 0, 0);
    assert!(!retry(2, 7, 8), "there is no such transaction");
    assert!(!retry(1, 6, 8), "it went elsewhere");
    assert!(retry(1, 7, 8));
    let pin = table.find(LATER, PinKey(1), false).unwrap();
    assert_eq!((pin.slot, pin.state, pin.try_number), (Slot(8), State::None, RETRY));
    assert_eq!(table.find(LATER, PinKey(1), true).unwrap().slot, Slot(7), "the call's pin stays");
    // It was used now: 200 s later it is still there.
    assert_eq!(slot(&table, LATER.plus_ms(200_000), 1), Some(Slot(8)));
    assert!(!retry(1, 8, 9), "it was tried twice");
    for state in [State::Trying, State::Ringing, State::Final] {
        let table = one_bucket();
        put(&table, NOW, 1, 7);
        table.renew(NOW, PinKey(1), false, Some(state));
        assert!(!table.retry(NOW, PinKey(1), Slot(7), Slot(8), State::None), "{state:?}");
    }
    let table = one_bucket();
    put(&table, NOW, 1, 7);
    assert!(table.retry(NOW, PinKey(1), Slot(7), ANSWERED_NO_DESTINATION, State::Final));
    let pin = table.find(NOW, PinKey(1), false).unwrap();
    assert_eq!((pin.slot, pin.state), (ANSWERED_NO_DESTINATION, State::Final));
}
