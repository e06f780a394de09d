//! Two processes on one table of pins: a successor and the process that it replaces. Their workers
//! have the same numbers.

use super::*;

/// One memory, mapped by both.
fn two_processes() -> [Shared<PinTable>; 2] {
    let words: Shared<[AtomicU64]> =
        (0..PinMemory::words_for(WAYS)).map(|_| AtomicU64::new(0)).collect();
    [(); 2].map(|()| Shared::new(PinTable::new(PinMemory::new(Shared::clone(&words), 1))))
}

/// Handles a copy of a request at a worker; returns whether it chose.
fn copy(table: &PinTable, turns: &AtomicU64, worker: u16) -> bool {
    let Claim::Claimed(claimed) = table.claim(NOW, KEY, Kind::Invite, worker) else {
        return false;
    };
    let slot = turns.fetch_add(1, Ordering::Relaxed) as u16;
    claimed.commit(Slot(slot), State::None);
    true
}

#[test]
fn workers_of_one_number_in_two_processes_are_two() {
    explore(Bound::Interruptions(1), || {
        let [old, new] = two_processes();
        let turns = Shared::new(AtomicU64::new(0));
        let copies = [(&old, 0), (&new, 0), (&old, 1)].map(|(table, worker)| {
            let (table, turns) = (Shared::clone(table), Shared::clone(&turns));
            thread::spawn(move || copy(&table, &turns, worker))
        });
        let chose = join(copies.into());
        assert_eq!(chose.iter().filter(|chose| **chose).count(), 1, "{chose:?}");
        assert_eq!((get(&turns), new.count()), (1, 1));
    });
}
