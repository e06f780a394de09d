//! Call pins: responses at several workers set them, requests take or renew them.

use super::*;

fn set(table: &PinTable, kind: Kind, slot: u16, worker: u16) {
    table.set_call(NOW, KEY, kind, Slot(slot), 1, worker);
}

/// Both run at once, on a table as it is afterwards.
fn both(
    table: Shared<PinTable>,
    one: impl FnOnce(&PinTable) + Send + 'static,
    other: impl FnOnce(&PinTable),
) -> Shared<PinTable> {
    let shared = Shared::clone(&table);
    let one = thread::spawn(move || one(&shared));
    other(&table);
    one.join().unwrap();
    table
}

#[test]
fn two_responses_of_one_call_leave_one_pin() {
    explore(Bound::None, || {
        let table =
            both(one_bucket(), |t| set(t, Kind::Dialog, 7, 0), |t| set(t, Kind::Dialog, 8, 1));
        assert_eq!(table.count(), 1);
        assert_eq!(evicted(&table), 0);
        let pin = table.find(NOW, KEY, true).unwrap();
        assert!([7, 8].contains(&pin.slot.0), "{pin:?}");
    });
}

#[test]
fn a_late_challenge_never_hides_a_dialog() {
    explore(Bound::None, || {
        let table =
            both(one_bucket(), |t| set(t, Kind::Challenge, 7, 0), |t| set(t, Kind::Dialog, 8, 1));
        let pin = table.find(NOW, KEY, true).unwrap();
        // Whoever met the other's attempt too often gave way; as a rule nobody does.
        assert_eq!(table.count(), 1);
        assert!(pin.kind == Kind::Dialog && pin.slot == Slot(8), "{pin:?}");
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
        let table = both(
            table,
            |t| assert!(t.renew(NOW, KEY, false, Some(State::Provisional))),
            |t| assert!(t.renew(JUST_BEFORE, KEY, false, Some(State::Final))),
        );
        let pin = table.find(NOW, KEY, false).unwrap();
        assert_eq!((pin.slot, pin.state), (Slot(7), State::Final));
    });
}
