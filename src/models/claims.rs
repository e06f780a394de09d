//! Copies of one request at several workers: one chooses, the others follow.

use super::*;

/// The parts of the relay that a new request needs: pins, and the counter that chooses.
struct Relay {
    table: Shared<PinTable>,
    turns: AtomicU64,
}

/// The result for a copy of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Copy {
    /// This worker chose.
    Chose(u16),
    /// It found another worker's choice.
    Found(u16),
    /// Another worker was still choosing after its last try.
    Dropped,
}

impl Relay {
    fn new(table: Shared<PinTable>) -> Shared<Self> {
        Shared::new(Self { table, turns: AtomicU64::new(0) })
    }

    /// Handles one copy at one worker.
    fn copy(&self, now: Now, key: PinKey, worker: u16) -> Copy {
        match self.table.claim(now, key, Kind::Invite, worker) {
            Claim::Claimed(claimed) => {
                let slot = 100 + self.turns.fetch_add(1, Ordering::Relaxed) as u16;
                claimed.commit(Slot(slot), State::None);
                Copy::Chose(slot)
            }
            Claim::Found(pin) => Copy::Found(pin.slot.0),
            Claim::Contended => Copy::Dropped,
        }
    }
}

/// Copies of one request each reach a worker, at these times; returns the relay afterwards.
fn copies(table: Shared<PinTable>, moments: &[Now]) -> (Shared<Relay>, Vec<Copy>) {
    let relay = Relay::new(table);
    let workers = moments.iter().zip(0..).map(|(now, worker)| {
        let (relay, now) = (Shared::clone(&relay), *now);
        thread::spawn(move || relay.copy(now, KEY, worker))
    });
    let copies = join(workers.collect());
    (relay, copies)
}

/// Asserts one answer for all, chosen once and pinned.
fn assert_one_choice(relay: &Relay, copies: &[Copy]) {
    assert_one_choice_at(NOW, relay, copies);
}

fn assert_one_choice_at(now: Now, relay: &Relay, copies: &[Copy]) {
    let chose = copies.iter().filter(|copy| matches!(copy, Copy::Chose(_))).count();
    assert_eq!(chose, 1, "{copies:?}");
    assert_eq!(get(&relay.turns), 1, "{copies:?}");
    for copy in copies {
        assert!(matches!(copy, Copy::Chose(100) | Copy::Found(100) | Copy::Dropped), "{copies:?}");
    }
    assert_eq!(slot(&relay.table, now, KEY), Some(100));
}

#[test]
fn two_copies_get_one_answer() {
    explore(Bound::None, || {
        let (relay, copies) = copies(one_bucket(), &[NOW, NOW]);
        assert_one_choice(&relay, &copies);
        assert_eq!(relay.table.count(), 1);
        assert_eq!(evicted(&relay.table), 0);
    });
}

#[test]
fn three_copies_get_one_answer() {
    explore(Bound::Interruptions(1), || {
        let (relay, copies) = copies(one_bucket(), &[NOW, NOW, NOW]);
        assert_one_choice(&relay, &copies);
        assert_eq!(relay.table.count(), 1);
    });
}

#[test]
fn two_copies_in_a_full_bucket_evict_and_count() {
    explore(Bound::Interruptions(2), || {
        let table = one_bucket();
        for way in 0..WAYS as u64 {
            put(&table, NOW, PinKey(10 + way), 1);
        }
        let (relay, copies) = copies(table, &[NOW, NOW]);
        assert_one_choice(&relay, &copies);
        assert_eq!(relay.table.count() as u64 + evicted(&relay.table), WAYS as u64 + 1);
    });
}

/// One worker takes the way of a pin that is still live for the other, whose clock is behind:
/// neither has seen the other's attempt before its own.
#[test]
fn two_copies_that_put_in_at_two_ways_get_one_answer() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, NOW, OTHER_KEY, 1);
        let (relay, copies) = copies(table, &[LIVES_YET, DIES]);
        assert_one_choice_at(DIES, &relay, &copies);
    });
}

#[test]
fn two_copies_replace_a_dead_pin_of_their_key() {
    explore(Bound::None, || {
        let table = one_bucket();
        put(&table, NOW, OTHER_KEY, 1);
        put(&table, NOW, KEY, 7);
        let (relay, copies) = copies(table, &[DIES, DIES]);
        assert_one_choice_at(DIES, &relay, &copies);
        assert_eq!(evicted(&relay.table), 0);
    });
}

#[test]
fn a_pin_that_is_dying_is_renewed_or_replaced_and_never_both() {
    explore(Bound::None, || {
        let table = one_bucket();
        // A free way before it.
        put(&table, NOW, OTHER_KEY, 1);
        put(&table, NOW, KEY, 7);
        table.clear_slots(|slot| slot == Slot(1));
        let relay = Relay::new(table);
        let late = Shared::clone(&relay);
        let late = thread::spawn(move || late.copy(DIES, KEY, 1));
        let mine = relay.copy(LIVES_YET, KEY, 2);
        relay.table.renew(LIVES_YET, KEY, false, None);
        let theirs = late.join().unwrap();

        assert_eq!(relay.table.count(), 1, "{mine:?} {theirs:?}");
        let pinned = slot(&relay.table, DIES, KEY);
        match (mine, theirs) {
            // We were before it, and later copies follow the new choice.
            (Copy::Found(7), Copy::Chose(100)) => assert_eq!(pinned, Some(100)),
            (Copy::Found(7), Copy::Found(7)) => assert_eq!(pinned, Some(7)),
            (Copy::Found(100) | Copy::Dropped, Copy::Chose(100)) => assert_eq!(pinned, Some(100)),
            // Another worker was replacing it, so this one gave up.
            (Copy::Found(7), Copy::Dropped) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn workers_whose_clocks_differ_by_a_unit_agree() {
    explore(Bound::None, || {
        let (relay, copies) = copies(one_bucket(), &[JUST_BEFORE, NOW]);
        assert_one_choice(&relay, &copies);
        assert_eq!(relay.table.count(), 1);
    });
}

#[test]
fn workers_on_both_sides_of_the_clock_s_wrap_agree() {
    explore(Bound::None, || {
        // The clock counts 1,024 units of 4 s.
        let wraps = Now::from_ms(4_096_000 * 1_000);
        let before = Now::from_ms(4_096_000 * 1_000 - 1);
        let (relay, copies) = copies(one_bucket(), &[before, wraps]);
        assert_one_choice_at(wraps, &relay, &copies);
        assert_eq!(relay.table.count(), 1);
    });
}

#[test]
fn two_keys_take_the_last_free_way_and_nothing_is_lost_uncounted() {
    explore(Bound::None, || {
        let table = one_bucket();
        for way in 1..WAYS as u64 {
            put(&table, NOW, PinKey(10 + way), 1);
        }
        let relay = Relay::new(table);
        let other = Shared::clone(&relay);
        let other = thread::spawn(move || other.copy(NOW, OTHER_KEY, 1));
        let copies = [relay.copy(NOW, KEY, 0), other.join().unwrap()];
        let chose = copies.iter().filter(|copy| matches!(copy, Copy::Chose(_))).count();
        // A worker that lost the race for a way too often has no pin and drops its copy.
        let dropped = copies.iter().filter(|copy| **copy == Copy::Dropped).count();
        assert_eq!(chose + dropped, 2, "{copies:?}");
        let put_in = WAYS - 1 + chose;
        assert_eq!(relay.table.count() as u64 + evicted(&relay.table), put_in as u64);
    });
}

#[test]
fn a_claim_given_back_while_another_waits_leaves_the_choice_to_it() {
    explore(Bound::None, || {
        let relay = Relay::new(one_bucket());
        let refusing = Shared::clone(&relay);
        let refusing = thread::spawn(move || {
            // A refusal, or a panic on the way.
            drop(refusing.table.claim(NOW, KEY, Kind::Invite, 1));
        });
        let mine = relay.copy(NOW, KEY, 0);
        refusing.join().unwrap();
        match mine {
            Copy::Chose(100) => assert_eq!(slot(&relay.table, NOW, KEY), Some(100)),
            Copy::Dropped => assert_eq!(relay.table.count(), 0),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_pin_stays_visible_while_a_copy_tries_to_put_it_in_again() {
    explore(Bound::Interruptions(2), || {
        let table = one_bucket();
        put(&table, NOW, OTHER_KEY, 1);
        let relay = Relay::new(Shared::clone(&table));
        let first = Shared::clone(&relay);
        let first = thread::spawn(move || {
            let copy = first.copy(NOW, KEY, 0);
            // Its CANCEL, at the same worker.
            (copy, slot(&first.table, NOW, KEY))
        });
        // A way before it becomes free.
        table.clear_slots(|slot| slot == Slot(1));
        let mine = relay.copy(NOW, KEY, 1);
        let (theirs, found) = first.join().unwrap();
        assert_one_choice(&relay, &[mine, theirs]);
        if theirs == Copy::Chose(100) {
            assert_eq!(found, Some(100), "{mine:?}");
        }
    });
}
