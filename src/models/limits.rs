//! Limits of calls: workers that take, give back and end calls at once.

use super::*;
use crate::calls::{CallKey, CallTable, Phase};
use crate::destination::{Limits, Load, Over, Pair, SourceRates};
use crate::limits::CALL_SWEEP_PARTS;
use crate::message::{OcSeq, OverloadReport};

/// Two at once, then one a second.
const RATE: Limits = Limits { calls_per_second: 1, burst: 2, calls_max: 0 };
/// One a second.
const ONE: Limits = Limits { calls_per_second: 1, burst: 1, calls_max: 0 };
const PAIR: Pair = Pair(1);

#[test]
fn a_rate_gives_out_its_burst_once() {
    explore(Bound::Interruptions(2), || {
        let load = Shared::new(Load::default());
        let workers = (0..3).map(|_| {
            let load = Shared::clone(&load);
            thread::spawn(move || load.take(NOW, RATE, false).is_ok())
        });
        let taken = join(workers.collect());
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 2, "{taken:?}");
        assert_eq!(load.look(NOW, RATE, false), Err(Over::Rate));
        assert_eq!(load.look(NOW.plus_ms(1_000), RATE, false), Ok(()));
    });
}

#[test]
fn what_one_worker_gives_back_another_can_take() {
    explore(Bound::None, || {
        let load = Shared::new(Load::default());
        let limits = Limits { calls_max: 2, ..RATE };
        let shared = Shared::clone(&load);
        let other = thread::spawn(move || {
            shared.take(NOW, limits, true).unwrap();
            shared.give_back(limits, true);
        });
        assert_eq!(load.take(NOW, limits, true), Ok(()));
        other.join().unwrap();
        assert_eq!((load.calls(), load.take(NOW, limits, true)), (1, Ok(())));
        assert_eq!(load.take(NOW, limits, true), Err(Over::Calls));
        assert_eq!(load.take(NOW, limits, false), Err(Over::Rate));
    });
}

/// Neither finds an entry of the pair, and both add one. A worker that meets the other's attempt too
/// often refuses its call.
#[test]
fn two_workers_with_the_first_calls_of_a_source_share_its_limit() {
    explore(Bound::Interruptions(3), || {
        first_calls(&Shared::new(SourceRates::on_heap(8)), [NOW, NOW]);
    });
}

/// The same, in different ways: the clock of one worker is behind, so that the first way is free for
/// the other only.
#[test]
fn two_workers_that_add_an_entry_in_different_ways_leave_one() {
    explore(Bound::Interruptions(3), || {
        let rates = Shared::new(SourceRates::on_heap(8));
        rates.take(NOW, Pair(2), ONE).unwrap();
        first_calls(&rates, [NOW.plus_ms(999), NOW.plus_ms(1_000)]);
    });
}

/// Two workers take a call of the same source at these times, less than a second apart.
fn first_calls(rates: &Shared<SourceRates>, times: [Now; 2]) {
    let workers = times.map(|now| {
        let rates = Shared::clone(rates);
        thread::spawn(move || rates.take(now, PAIR, ONE))
    });
    let taken = join(workers.into());
    let oks = taken.iter().filter(|taken| taken.is_ok()).count();
    let met = taken.iter().filter(|taken| **taken == Err(Over::SourcesFull)).count();
    assert!(oks == 1 || oks == 0 && met > 0, "{taken:?}");
    assert_eq!(rates.look(times[0], PAIR, ONE).is_err(), oks == 1);
}

/// A worker takes the way of an entry whose burst is whole, while another adds a call to that.
#[test]
fn an_entry_that_is_given_away_is_added_anew() {
    explore(Bound::Interruptions(2), || {
        let rates = Shared::new(SourceRates::on_heap(8));
        for pair in 1..=8 {
            // All ways are in use, and the first pair's burst is whole again.
            let now = if pair == 1 { NOW } else { NOW.plus_ms(500) };
            rates.take(now, Pair(pair), ONE).unwrap();
        }
        let later = NOW.plus_ms(1_000);
        let shared = Shared::clone(&rates);
        let other = thread::spawn(move || shared.take(later, Pair(9), ONE));
        let own = rates.take(later, PAIR, ONE);
        let other = other.join().unwrap();
        // There is one way for the two.
        assert!(own.is_ok() != other.is_ok(), "{own:?} {other:?}");
        assert!(rates.look(later, PAIR, ONE).is_err());
        for pair in 2..=8 {
            assert_eq!(rates.look(later, Pair(pair), ONE), Err(Over::SourceRate));
        }
    });
}

/// Two workers take reports of one destination, of which the newer one is to win.
#[test]
fn of_two_reports_of_overload_the_newer_one_counts() {
    for has_expired in [false, true] {
        explore(Bound::None, move || {
            let load = Shared::new(Load::default());
            let report = |percent, validity_ms, seq| OverloadReport {
                percent,
                validity_ms,
                seq: OcSeq::new(0, seq).unwrap(),
            };
            load.overload().report(NOW, &report(10, 100, 9));
            let later = NOW.plus_ms(if has_expired { 100 } else { 0 });
            let first = if has_expired { 1 } else { 10 };
            let shared = Shared::clone(&load);
            let other = thread::spawn(move || {
                shared.overload().report(later, &report(20, 300, first));
            });
            load.overload().report(later, &report(30, 500, first + 1));
            other.join().unwrap();
            let asked = load.overload().asked(later).unwrap();
            assert_eq!((asked.percent, asked.seq.bits()), (30, first + 1));
            assert!(matches!(asked.left_ms, 300 | 500), "{asked:?}");
        });
    }
}

/// Each turn is drawn once, so exactly as many are kept away as asked for.
#[test]
fn of_the_turns_of_two_workers_as_many_are_kept_away_as_of_one() {
    explore(Bound::None, || {
        let load = Shared::new(Load::default());
        let seq = OcSeq::default();
        load.overload().report(NOW, &OverloadReport { percent: 50, validity_ms: 500, seq });
        let workers = (0..2).map(|_| {
            let load = Shared::clone(&load);
            thread::spawn(move || [0; 2].map(|_| load.overload().take(NOW, true)))
        });
        let kept = join(workers.collect()).into_iter().flatten().filter(|kept| *kept).count();
        assert_eq!(kept, 2, "of the places 0, 61, 22 and 83");
    });
}

const CALL: CallKey = CallKey(1);
const DESTINATION: Slot = Slot(7);

#[test]
fn of_two_who_end_a_call_one_counts_it() {
    explore(Bound::None, || {
        let table = Shared::new(CallTable::on_heap(8));
        assert!(table.begin(NOW, CALL, DESTINATION));
        let shared = Shared::clone(&table);
        // A BYE, and the refusal of an INVITE that was answered elsewhere.
        let other = thread::spawn(move || shared.refuse(CALL, DESTINATION));
        let ended = table.end(CALL, Some(DESTINATION), |_| true).is_some();
        assert!(ended != other.join().unwrap());
        assert!(table.is_empty() && !table.has(CALL));
    });
}

#[test]
fn two_calls_that_begin_at_once_are_both_there() {
    explore(Bound::None, || {
        let table = Shared::new(CallTable::on_heap(8));
        let shared = Shared::clone(&table);
        let other = thread::spawn(move || shared.begin(NOW, CallKey(2), DESTINATION));
        assert!(table.begin(NOW, CALL, DESTINATION) && other.join().unwrap());
        assert_eq!(table.len(), 2);
        for key in [CALL, CallKey(2)] {
            assert_eq!(table.end(key, None, |_| true), Some(DESTINATION));
        }
    });
}

/// The control thread gives a call up while an answer to it comes, and then its BYE.
#[test]
fn a_call_that_is_given_up_ends_once() {
    explore(Bound::Interruptions(2), || {
        let table = Shared::new(CallTable::on_heap(8));
        assert!(table.begin(NOW, CALL, DESTINATION));
        let late = NOW.plus_ms(60_000);
        let shared = Shared::clone(&table);
        let worker = thread::spawn(move || {
            shared.refresh(late, CALL, Some(DESTINATION), Some(1_800));
            shared.go_on(late, CALL, None, Phase::Confirmed);
            usize::from(shared.end(CALL, None, |_| true).is_some())
        });
        let mut given_up = 0;
        for _ in 0..CALL_SWEEP_PARTS {
            table.sweep(late, |_| given_up += 1);
        }
        assert_eq!(given_up + worker.join().unwrap(), 1);
        assert!(table.is_empty());
    });
}
