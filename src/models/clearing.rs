//! The control thread clears pins while workers use them.

use super::*;

/// A time one unit after a transaction's pin has died.
const DEAD: Now = NOW.plus_ms(62 * 4_000);

#[test]
fn a_pin_renewed_in_time_is_never_swept() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, NOW, KEY, 7);
        table.sweep(NOW);
        let shared = Shared::clone(&table);
        let sweeper = thread::spawn(move || shared.sweep(DEAD));
        let is_renewed = table.renew(JUST_BEFORE.plus_ms(62 * 4_000), KEY, false, None);
        sweeper.join().unwrap();
        assert_eq!(slot(&table, DEAD, KEY), is_renewed.map(|_| 7));
    });
}

#[test]
fn a_dead_pin_is_swept_or_replaced_and_the_new_one_stays() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, NOW, KEY, 7);
        table.sweep(NOW);
        let shared = Shared::clone(&table);
        let sweeper = thread::spawn(move || shared.sweep(DEAD));
        // It may be found during the sweep; the one attempt that this costs is within a claim's
        // limit.
        put(&table, DEAD, KEY, 8);
        sweeper.join().unwrap();
        assert_eq!(slot(&table, DEAD, KEY), Some(8));
        assert_eq!((table.count(), evicted(&table)), (1, 0));
    });
}

#[test]
fn a_pin_renewed_while_its_slot_is_cleared_goes_too() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, JUST_BEFORE, KEY, 7);
        let shared = Shared::clone(&table);
        let worker = thread::spawn(move || shared.renew(NOW, KEY, false, Some(State::Ringing)));
        table.clear_slots(|slot| slot == Slot(7));
        worker.join().unwrap();
        assert_eq!(table.count(), 0);
    });
}
