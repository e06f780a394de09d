//! Snapshots change hands and slots change their destinations while workers use them.

use super::publish::Publisher;
use super::*;
use crate::sync::{Arc, ArcSwap};

/// What matters of a snapshot here: whom the slot stands for, and whether it may be chosen.
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

/// What a worker holds: as arc-swap's cache, a count of its own.
struct Reader {
    current: Arc<ArcSwap<Snapshot>>,
    held: Arc<Snapshot>,
}

impl Reader {
    fn new(publisher: &Publisher<Snapshot>) -> Self {
        let current = publisher.current();
        Self { held: current.load_full(), current }
    }

    /// As at the start of a batch.
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
                // It is whole, whichever it is.
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

/// The slot stands for `a`, which was retired long ago; then its number is given to `b`. A worker
/// has two batches meanwhile, with a message each whose pin it makes or finds.
#[test]
fn no_pin_of_an_old_destination_names_a_new_one() {
    explore(Bound::Interruptions(3), || {
        let table = one_bucket();
        put(&table, NOW, OTHER_KEY, 7);
        // The worker stands in a batch that it began when `a` was active yet.
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
                    // Whom it was for.
                    assert!(reader.held.destination.is_some());
                }
                shared.renew(JUST_BEFORE, OTHER_KEY, false, Some(State::Final));
                // What was pinned for `a` is not found by who knows `b`.
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
        // As State::vacate and Registry::load do it.
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
