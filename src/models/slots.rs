//! Workers use snapshots and slots while new snapshots replace old ones and slots get new
//! destinations.

use super::publisher::Publisher;
use super::*;
use crate::sync::{Arc, ArcSwap};

/// The relevant part of a snapshot: the destination of the slot, and whether it can be chosen.
#[derive(Debug)]
struct Snapshot {
    destination: Option<char>,
    is_active: bool,
    /// The thread that may free it.
    control: thread::ThreadId,
}

impl Snapshot {
    fn new(destination: Option<char>, is_active: bool) -> Self {
        Self { destination, is_active, control: thread::current().id() }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.control, "freed by a worker");
    }
}

/// What a worker holds: its own count, like arc-swap's cache.
struct Reader {
    current: Arc<ArcSwap<Snapshot>>,
    held: Arc<Snapshot>,
}

impl Reader {
    fn new(publisher: &Publisher<Snapshot>) -> Self {
        let current = publisher.current();
        Self { held: current.load_full(), current }
    }

    /// The same as at the start of a batch.
    fn move_on(&mut self) {
        self.held = self.current.load_full();
    }
}

fn wait_until_moved_on(publisher: &mut Publisher<Snapshot>) {
    while publisher.free_old() > 0 {
        thread::yield_now();
    }
}

#[test]
fn an_old_snapshot_is_freed_when_its_readers_moved_on_and_never_by_them() {
    explore(Bound::None, || {
        let mut publisher = Publisher::new(Snapshot::new(Some('a'), true));
        let readers = (0..2).map(|_| {
            let mut reader = Reader::new(&publisher);
            thread::spawn(move || {
                reader.move_on();
                // It is complete, whichever it is.
                assert!(matches!(reader.held.destination, Some('a' | 'b')));
                reader
            })
        });
        let readers: Vec<_> = readers.collect();
        publisher.publish(Snapshot::new(Some('b'), true));
        publisher.free_old();
        let mut readers = join(readers);
        readers.iter_mut().for_each(Reader::move_on);
        assert_eq!(publisher.free_old(), 0);
        drop(readers);
    });
}

/// The slot belongs to `a`, which was retired long ago; then its number is given to `b`. Meanwhile
/// a worker handles two batches, with one message each whose pin it stores or finds.
#[test]
fn no_pin_of_an_old_destination_names_a_new_one() {
    explore(Bound::Interruptions(3), || {
        let table = one_bucket();
        put(&table, NOW, OTHER_KEY, 7);
        // The worker is in a batch that started while `a` was still active.
        let mut publisher = Publisher::new(Snapshot::new(Some('a'), true));
        let mut reader = Reader::new(&publisher);
        publisher.publish(Snapshot::new(Some('a'), false));
        let shared = Shared::clone(&table);
        let worker = thread::spawn(move || {
            for _ in 0..2 {
                if reader.held.is_active
                    && let Claim::Claimed(claimed) = shared.claim(NOW, KEY, Kind::Invite, 0)
                {
                    claimed.commit(Slot(7), State::None);
                    // The destination that it was for.
                    assert!(reader.held.destination.is_some());
                }
                shared.renew(JUST_BEFORE, OTHER_KEY, false, Some(State::Final));
                // A worker that knows `b` must not find a pin of `a`.
                if reader.held.destination == Some('b') {
                    assert!(shared.find(NOW, OTHER_KEY, false).is_none());
                }
                reader.move_on();
            }
            // Woken for each snapshot.
            while reader.held.destination == Some('a') {
                thread::yield_now();
                reader.move_on();
            }
            reader
        });
        // The same steps as Inner::end_trust and Registry::loaded.
        publisher.publish(Snapshot::new(None, false));
        wait_until_moved_on(&mut publisher);
        table.clear_slots(|slot| slot == Slot(7));
        assert_eq!(table.count(), 0);
        publisher.publish(Snapshot::new(Some('b'), false));
        let reader = worker.join().unwrap();
        assert_eq!(table.count(), 0, "nobody knew the slot any more");
        drop(publisher);
        drop(reader);
    });
}
