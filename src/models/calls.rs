//! Call pins: responses at several workers set them, requests take or renew them.

use super::*;
use crate::pin::Pin;

fn set(table: &PinTable, kind: Kind, slot: u16, worker: u16) -> bool {
    set_at(NOW, table, kind, slot, worker)
}

fn set_at(now: Now, table: &PinTable, kind: Kind, slot: u16, worker: u16) -> bool {
    table.set_call(now, KEY, kind, Slot(slot), 1, worker)
}

/// Both workers set the pin at once, in different ways: the pin is dead for one of them and live
/// for the other. A worker that meets the other's attempt too often has not set it.
fn both(one: (Kind, u16), other: (Kind, u16)) -> (Shared<PinTable>, [bool; 2]) {
    let table = one_bucket();
    put(&table, NOW, OTHER_KEY, 1);
    let shared = Shared::clone(&table);
    let thread = thread::spawn(move || set_at(LIVES_YET, &shared, one.0, one.1, 0));
    let is_set = set_at(DIES, &table, other.0, other.1, 1);
    let are_set = [thread.join().unwrap(), is_set];
    (table, are_set)
}

/// Returns the only pin of the call, after clearing the dead one.
fn only_pin(table: &PinTable) -> Pin {
    table.clear_slots(|slot| slot == Slot(1));
    assert_eq!(table.count(), 1);
    table.find(DIES, KEY, true).unwrap()
}

#[test]
fn two_responses_of_one_call_leave_one_pin() {
    explore(Bound::None, || {
        let (table, are_set) = both((Kind::Dialog, 7), (Kind::Dialog, 8));
        assert!(are_set.contains(&true));
        assert_eq!(evicted(&table), 0);
        let pin = only_pin(&table);
        let is_set = |slot, is_set| pin.slot == Slot(slot) && is_set;
        assert!(is_set(7, are_set[0]) || is_set(8, are_set[1]), "{pin:?} {are_set:?}");
    });
}

#[test]
fn a_late_challenge_never_hides_a_dialog() {
    explore(Bound::None, || {
        let (table, are_set) = both((Kind::Challenge, 7), (Kind::Dialog, 8));
        assert!(are_set.contains(&true));
        let pin = only_pin(&table);
        let wants = if are_set[1] { (Kind::Dialog, Slot(8)) } else { (Kind::Challenge, Slot(7)) };
        assert_eq!((pin.kind, pin.slot), wants);
    });
}

#[test]
fn one_of_two_requests_takes_a_challenge() {
    explore(Bound::None, || {
        let table = one_bucket();
        set(&table, Kind::Challenge, 7, 0);
        let shared = Shared::clone(&table);
        let other = thread::spawn(move || shared.take_challenge(NOW, KEY, 2));
        let taken = [table.take_challenge(NOW, KEY, 2), other.join().unwrap()];
        assert!(taken.contains(&Some(Slot(7))) && taken.contains(&None), "{taken:?}");
        assert_eq!(table.count(), 0);
    });
}

#[test]
fn a_challenge_is_taken_while_a_copy_of_it_renews_it() {
    explore(Bound::None, || {
        let table = one_bucket();
        table.set_call(JUST_BEFORE, KEY, Kind::Challenge, Slot(7), 1, 0);
        let shared = Shared::clone(&table);
        let copy = thread::spawn(move || set(&shared, Kind::Challenge, 7, 1));
        assert_eq!(table.take_challenge(NOW, KEY, 2), Some(Slot(7)));
        copy.join().unwrap();
        assert!(table.count() <= 1);
    });
}

#[test]
fn a_final_response_is_not_undone_by_a_late_provisional_one() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, JUST_BEFORE, KEY, 7);
        let shared = Shared::clone(&table);
        let late = thread::spawn(move || shared.renew(NOW, KEY, false, Some(State::Ringing)));
        let before_final = table.renew(JUST_BEFORE, KEY, false, Some(State::Final)).unwrap();
        let before_late = late.join().unwrap().unwrap();
        let firsts = [before_final, before_late].map(|state| usize::from(state == State::None));
        assert_eq!(firsts, [firsts[0], 1 - firsts[0]], "one of them is the first response");
        let pin = table.find(NOW, KEY, false).unwrap();
        assert_eq!((pin.slot, pin.state), (Slot(7), State::Final));
    });
}
