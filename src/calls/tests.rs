//! The table of calls, compared with lists that do the same slowly.

use std::collections::HashMap;

use super::*;

const NOW: Now = Now::from_ms(50_000_000_000);
const KEY: CallKey = CallKey(0x0123_4567_89ab_cdef);
const A: Slot = Slot(1);
const B: Slot = Slot(2);

fn swept(table: &CallTable, now: Now) -> Vec<Slot> {
    let mut ended = Vec::new();
    (0..limits::CALL_SWEEP_PARTS).for_each(|_| table.sweep(now, |slot| ended.push(slot)));
    ended
}

#[test]
fn a_call_ends_once() {
    let table = CallTable::on_heap(64);
    assert!(table.is_empty() && table.end(KEY, None, |_| true).is_none());
    assert!(table.begin(NOW, KEY, A));
    assert_eq!(table.len(), 1);
    table.go_on(NOW, KEY, Some(A), Phase::Confirmed);
    assert_eq!(table.end(KEY, Some(A), |_| true), Some(A));
    assert_eq!(table.end(KEY, Some(A), |_| true), None);
    assert!(!table.refuse(KEY, A) && table.is_empty());
}

#[test]
fn the_one_that_is_meant() {
    // Two INVITEs with one Call-ID, at two destinations; one is answered.
    let both = || {
        let table = CallTable::on_heap(64);
        assert!(table.begin(NOW, KEY, A) && table.begin(NOW, KEY, B));
        table.go_on(NOW, KEY, Some(B), Phase::Confirmed);
        table
    };
    let table = both();
    assert!(table.refuse(KEY, A));
    assert!(!table.refuse(KEY, A), "never another's");
    assert_eq!(table.end(KEY, None, |slot| slot != B), None, "not known here");
    assert_eq!(table.end(KEY, None, |_| true), Some(B));
    assert_eq!(both().end(KEY, Some(A), |_| true), Some(A), "a BYE before the answer");
    assert_eq!(both().end(KEY, None, |_| true), Some(B), "the one that was answered");
    assert_eq!(
        both().end(KEY, Some(Slot(9)), |_| true),
        Some(B),
        "a destination under another number"
    );
    // Both at one destination.
    let table = CallTable::on_heap(64);
    assert!(table.begin(NOW, KEY, A) && table.begin(NOW, KEY, A));
    table.go_on(NOW, KEY, Some(A), Phase::Confirmed);
    assert!(table.refuse(KEY, A));
    let left = NOW.plus_ms(limits::CALL_EARLY_MS + 10_000);
    assert_eq!(swept(&table, left), [], "the other one was refused");
}

#[test]
fn how_long_it_is_kept() {
    for (phase, life_ms) in [
        (Phase::Sent, limits::CALL_SENT_MS),
        (Phase::Early, limits::CALL_EARLY_MS),
        (Phase::Confirmed, limits::CALL_CONFIRMED_MS),
    ] {
        let table = CallTable::on_heap(64);
        assert!(table.begin(NOW, KEY, A));
        let now = NOW.plus_ms(20_000);
        table.go_on(now, KEY, Some(A), phase);
        assert_eq!(swept(&table, now.plus_ms(life_ms)), [], "{phase:?}");
        assert_eq!(swept(&table, now.plus_ms(life_ms + 8_000)), [A], "{phase:?}");
        assert_eq!(swept(&table, now.plus_ms(life_ms + 8_000)), []);
        assert!(table.is_empty());
        assert_eq!(table.counters().given_up.load(Ordering::Relaxed), 1);
    }
    // A late provisional response makes it no shorter, and a message in the dialog longer.
    let table = CallTable::on_heap(64);
    assert!(table.begin(NOW, KEY, A));
    table.go_on(NOW, KEY, Some(A), Phase::Confirmed);
    table.go_on(NOW, KEY, Some(A), Phase::Early);
    let later = NOW.plus_ms(limits::CALL_CONFIRMED_MS);
    assert_eq!(swept(&table, later), []);
    table.go_on(later, KEY, None, Phase::Early);
    assert_eq!(swept(&table, later.plus_ms(limits::CALL_CONFIRMED_MS)), []);
}

#[test]
fn a_session_timer_says_how_long_it_is_kept() {
    let s = |seconds: u64| 1_000 * seconds;
    for (says, session_s, life_ms) in [
        ("none", None, limits::CALL_CONFIRMED_MS),
        ("half an hour", Some(1_800), s(1_800 + 36)),
        ("four hours", Some(14_400), s(14_400 + 36)),
        ("shorter than any may be", Some(0), s(90 + 36)),
        ("longer than the clock can say", Some(u32::MAX), entry::LIFE_MAX_MS),
    ] {
        let begun = || {
            let table = CallTable::on_heap(64);
            assert!(!table.has(KEY) && table.begin(NOW, KEY, A) && table.has(KEY));
            table
        };
        let ends = |table: &CallTable, from: Now| {
            assert_eq!(swept(table, from.plus_ms(life_ms)), [], "{says}");
            assert_eq!(swept(table, from.plus_ms(life_ms + 8_000)), [A], "{says}");
        };
        let table = begun();
        table.refresh(NOW, KEY, Some(A), session_s);
        ends(&table, NOW);
        // Another message is no refresh, if there is a timer.
        let table = begun();
        table.refresh(NOW, KEY, Some(A), session_s);
        let later = NOW.plus_ms(60_000);
        table.go_on(later, KEY, None, Phase::Confirmed);
        table.go_on(later, KEY, Some(A), Phase::Early);
        ends(&table, if session_s.is_some() { NOW } else { later });
        // A refresh is, with or without a timer.
        let table = begun();
        table.refresh(NOW, KEY, Some(A), Some(600));
        table.refresh(later, KEY, None, session_s);
        ends(&table, later);
        assert!(!table.has(KEY));
        table.refresh(later, KEY, None, session_s);
        assert!(table.is_empty());
    }
}

#[test]
fn a_full_table_refuses_the_newest() {
    let table = CallTable::on_heap(8);
    for n in 0..8 {
        assert!(table.begin(NOW, CallKey(n << 20), Slot(n as u16)));
    }
    assert!(!table.has_room(KEY) && !table.begin(NOW, KEY, A));
    assert_eq!(table.counters().table_full.load(Ordering::Relaxed), 1);
    assert_eq!((0..8).filter(|n| table.end(CallKey(n << 20), None, |_| true).is_some()).count(), 8);
    assert!(table.begin(NOW, KEY, A));
}

#[test]
fn two_buckets_let_a_table_be_three_quarters_full() {
    let table = CallTable::on_heap(1 << 14);
    let key = |n: u64| CallKey((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ n);
    for n in 0..3 << 12 {
        assert!(table.begin(NOW, key(n), Slot(n as u16)), "{n}");
    }
    for n in 0..3 << 12 {
        assert_eq!(table.end(key(n), None, |_| true), Some(Slot(n as u16)));
    }
    assert!(table.is_empty());
}

#[test]
fn slots_that_are_given_away_take_their_calls_along() {
    let table = CallTable::on_heap(64);
    table.clear_slots(|_| panic!("there is none"), |_| {});
    assert!(table.begin(NOW, KEY, A) && table.begin(NOW, CallKey(5), B));
    let mut ended = Vec::new();
    table.clear_slots(|slot| slot == A, |slot| ended.push(slot));
    assert_eq!(ended, [A]);
    assert_eq!(
        (table.len(), table.end(KEY, None, |_| true), table.end(CallKey(5), None, |_| true)),
        (1, None, Some(B))
    );
}

#[test]
fn of_many_workers_one_ends_a_call() {
    let table = CallTable::on_heap(1 << 12);
    let keys: Vec<_> =
        (0..500_u64).map(|n| CallKey(n.wrapping_mul(0x1234_5678_9abc_def1))).collect();
    for key in &keys {
        assert!(table.begin(NOW, *key, A));
    }
    let ended: HashMap<CallKey, usize> = std::thread::scope(|scope| {
        let worker = || {
            let each = keys.iter().filter(|key| {
                table.go_on(NOW, **key, None, Phase::Confirmed);
                table.end(**key, None, |_| true).is_some()
            });
            each.copied().collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        let mut ended = HashMap::new();
        for key in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            *ended.entry(key).or_default() += 1;
        }
        ended
    });
    assert_eq!(ended.len(), keys.len());
    assert!(ended.values().all(|times| *times == 1) && table.is_empty());
}
