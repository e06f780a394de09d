//! Copies of one request at several workers: one chooses, the others follow.

use super::*;

/// The relay as far as a new request is concerned: pins, and the counter that chooses.
struct Relay {
    table: Shared<PinTable>,
    turns: AtomicU64,
}

/// What a copy of a request came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Copy {
    /// This worker chose.
    Chose(u16),
    /// It found what another had chosen.
    Found(u16),
    /// Another was still choosing when its tries were over.
    Dropped,
}

impl Relay {
    fn new(table: Shared<PinTable>) -> Shared<Self> {
        Shared::new(Self { table, turns: AtomicU64::new(0) })
    }

    /// One copy at one worker.
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

/// Copies of one request reach a worker each, at these moments; returns the relay afterwards.
fn copies(table: Shared<PinTable>, moments: &[Now]) -> (Shared<Relay>, Vec<Copy>) {
    let relay = Relay::new(table);
    let workers = moments.iter().zip(0..).map(|(now, worker)| {
        let (relay, now) = (Shared::clone(&relay), *now);
        thread::spawn(move || relay.copy(now, KEY, worker))
    });
    let copies = join(workers.collect());
    (relay, copies)
}

/// One answer for all, chosen once and pinned.
fn assert_one_choice(relay: &Relay, copies: &[Copy]) {
    let chose = copies.iter().filter(|copy| matches!(copy, Copy::Chose(_))).count();
    assert_eq!(chose, 1, "{copies:?}");
    assert_eq!(get(&relay.turns), 1, "{copies:?}");
    for copy in copies {
        assert!(matches!(copy, Copy::Chose(100) | Copy::Found(100) | Copy::Dropped), "{copies:?}");
    }
    assert_eq!(slot(&relay.table, NOW, KEY), Some(100));
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
    explore(Bound::Interruptions(2), || {
        let (relay, copies) = copies(one_bucket(), &[NOW, NOW, NOW]);
        assert_one_choice(&relay, &copies);
        assert_eq!(relay.table.count(), 1);
    });
}
