//! The table of sources, compared with a single word for each pair.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::load::Load;
use super::*;

const T0: u64 = 1_000_000_000;

fn rate(calls_per_second: u32, burst: u32) -> Limits {
    Limits { calls_per_second, burst, calls_max: 0 }
}

fn pair(n: u64) -> Pair {
    Pair((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ n)
}

/// Returns how many calls of this pair are taken at this millisecond.
fn taken(rates: &SourceRates, ms: u64, pair: Pair, limits: Limits) -> usize {
    let now = Now::from_ms(T0 + ms);
    let mut taken = 0;
    loop {
        let seen = rates.look(now, pair, limits);
        assert_eq!(rates.take(now, pair, limits), seen);
        if seen.is_err() {
            return taken;
        }
        taken += 1;
    }
}

fn in_use(rates: &SourceRates) -> usize {
    rates.words.iter().filter(|way| load(way) != 0).count()
}

fn sweep(rates: &SourceRates, ms: u64) {
    (0..limits::SOURCE_RATES_SWEEP_PARTS).for_each(|_| rates.sweep(Now::from_ms(T0 + ms)));
}

#[test]
fn each_pair_has_its_own_burst_and_rate() {
    for (says, limits, rows) in [
        ("one a second", rate(1, 1), &[(0, 1), (999, 0), (1_000, 1), (5_000, 1)][..]),
        ("a burst of three", rate(10, 3), &[(0, 3), (99, 0), (100, 1), (300, 2), (900, 3)]),
        ("the default burst is a tenth of a second", rate(50, 0), &[(0, 5), (20, 1), (999, 5)]),
        ("each tick of the clock has its calls", rate(5_000, 1), &[(0, 5), (1, 5), (9, 5)]),
        ("the longest debt", rate(1, 1_000), &[(0, 1_000), (1_000, 1), (2_000_000, 1_000)]),
    ] {
        let rates = SourceRates::on_heap(64);
        for (ms, wants) in rows {
            assert_eq!(taken(&rates, *ms, pair(1), limits), *wants, "{says} at {ms} ms");
            assert_eq!(taken(&rates, *ms, pair(2), limits), *wants, "{says} at {ms} ms, another");
        }
        assert_eq!(in_use(&rates), 2, "{says}");
    }
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let (rates, limits) = (SourceRates::on_heap(64), rate(10, 2));
    rates.give_back(pair(1), limits);
    assert_eq!((taken(&rates, 0, pair(1), limits), in_use(&rates)), (2, 1));
    rates.give_back(pair(1), limits);
    assert_eq!(taken(&rates, 0, pair(1), limits), 1);
    // All of it: the entry is free at once.
    (0..2).for_each(|_| rates.give_back(pair(1), limits));
    sweep(&rates, 0);
    assert_eq!(in_use(&rates), 0);
}

#[test]
fn a_smaller_burst_takes_effect_at_once() {
    let rates = SourceRates::on_heap(64);
    assert_eq!(taken(&rates, 0, pair(1), rate(1, 1_000)), 1_000);
    let small = rate(10, 2);
    assert_eq!(taken(&rates, 0, pair(1), small), 0);
    assert_eq!(taken(&rates, 1_000_100, pair(1), small), 2);
}

#[test]
fn an_entry_is_free_when_its_burst_is_whole_and_not_before() {
    let (rates, limits) = (SourceRates::on_heap(8), rate(1, 1));
    for n in 0..8 {
        assert_eq!(rates.take(Now::from_ms(T0), pair(n), limits), Ok(()));
    }
    sweep(&rates, 999);
    assert_eq!((in_use(&rates), taken(&rates, 999, pair(9), limits)), (8, 0));
    let take = |n| rates.take(Now::from_ms(T0 + 999), pair(n), limits);
    assert_eq!(take(9), Err(Over::SourcesFull));
    assert_eq!(take(3), Err(Over::SourceRate), "those with an entry keep it");
    assert_eq!(taken(&rates, 1_000, pair(9), limits), 1);
    assert_eq!((in_use(&rates), taken(&rates, 1_000, pair(7), limits)), (8, 1));
    sweep(&rates, 2_000);
    assert_eq!(in_use(&rates), 0);
}

#[test]
fn two_buckets_let_a_table_be_three_quarters_full() {
    let (rates, limits) = (SourceRates::on_heap(1 << 14), rate(1, 1));
    for n in 0..3 << 12 {
        assert_eq!(taken(&rates, 0, pair(n), limits), 1, "{n}");
    }
    assert_eq!(in_use(&rates), 3 << 12);
}

/// The clock of the entries wraps after 19 hours.
#[test]
fn what_is_taken_anyway_is_taken_from_the_others() {
    let (rates, limits) = (SourceRates::on_heap(8), rate(10, 2));
    for _ in 0..50 {
        rates.take_anyway(Now::from_ms(T0), pair(1), limits);
    }
    // One interval later than after a usual burst, and no more.
    assert_eq!([100, 200, 300].map(|ms| taken(&rates, ms, pair(1), limits)), [0, 1, 1]);
    for n in 2..20 {
        rates.take_anyway(Now::from_ms(T0 + 300), pair(n), limits);
    }
    assert_eq!(in_use(&rates), 8, "others are not counted");
}

#[test]
fn the_clock_wraps() {
    let limits = rate(1, 3);
    let wraps_ms = (1 << TIME_BITS) / US_PER_MS;
    for ms in [0, 1, 1_500, 3_000] {
        let rates = SourceRates::on_heap(64);
        let before = (wraps_ms * 30 - T0) - ms;
        assert_eq!(taken(&rates, before, pair(1), limits), 3);
        assert_eq!(taken(&rates, before + 2_000, pair(1), limits), 2, "{ms}");
    }
    // Swept in time, an old entry is never taken for a new one.
    let rates = SourceRates::on_heap(64);
    assert_eq!(taken(&rates, 0, pair(1), limits), 3);
    sweep(&rates, 8_000);
    assert_eq!(taken(&rates, wraps_ms, pair(1), limits), 3);
}

#[test]
fn workers_together_take_no_more_than_one_does() {
    let (rates, limits) = (SourceRates::on_heap(1 << 10), rate(1_000, 5));
    let take = || {
        let mut taken = HashMap::new();
        for n in 0..100 {
            for _ in 0..6 {
                if rates.take(Now::from_ms(T0), pair(n), limits).is_ok() {
                    *taken.entry(n).or_insert(0) += 1;
                }
            }
        }
        taken
    };
    let taken = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        let mut all = HashMap::new();
        for (n, taken) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            *all.entry(n).or_insert(0) += taken;
        }
        all
    });
    assert_eq!((taken.len(), in_use(&rates)), (100, 100));
    assert!(taken.values().all(|taken| *taken == 5), "{taken:?}");
}

proptest! {
    /// A pair is refused exactly when a word of its own would refuse it, whatever others do.
    #[test]
    fn as_with_a_word_for_each(
        // Rates whose interval is a whole number of microseconds.
        calls_per_second in prop::sample::select(vec![1_u32, 2, 5, 8, 10, 40, 100, 1_000, 2_000]),
        burst in 1_u32..20,
        steps in prop::collection::vec((0_u64..600, 0_u64..12, 0_u8..4), 1..200),
    ) {
        let (rates, limits) = (SourceRates::on_heap(64), rate(calls_per_second, burst));
        let mut alone: HashMap<u64, Load> = HashMap::new();
        let mut ms = 0;
        for (step, n, what) in steps {
            ms += step;
            let now = Now::from_ms(T0 + ms);
            let load = alone.entry(n).or_default();
            let wants = load.take(now, limits, false).is_ok();
            prop_assert_eq!(rates.take(now, pair(n), limits).is_ok(), wants);
            match what {
                0 if wants => {
                    load.give_back(limits, false);
                    rates.give_back(pair(n), limits);
                }
                1 => rates.sweep(now),
                _ => {}
            }
        }
    }
}
