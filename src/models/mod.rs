//! The protocols between threads, run through every order of events that the memory model allows.
//!
//! Each model is a handful of steps of two or three workers on the relay's own code, in a table of
//! one bucket; loom repeats it until every order has been tried. `tests/loom` runs all models. A
//! *bound* is the number of times that a thread is interrupted in one run: loom then tries every
//! order with at most that many. `LOOM_MAX_PREEMPTIONS` overrides it for all models.
//!
//! Every atomic of the relay, what it orders, and what shows it:
//!
//! | Atomic | Orders | Shown by |
//! |---|---|---|
//! | the pins (`pin::table`) | a single word is complete by itself; a fence between a store and its look again | [`claims`], [`calls`], [`clearing`], [`takeover`]; `pin::stress` |
//! | the head and the slots of their memory | nothing: one control thread writes; a successor reads after a hand-over | by argument |
//! | pin counters, `sweep_at`, `swept_ms` | nothing: numbers; one thread sweeps | counts asserted in [`claims`] |
//! | `Turns`, `Place::turns` | nothing: each number is drawn once | [`turns`] |
//! | `Load`: the time of a rate, the calls in progress | nothing: a single word, changed by compare-and-swap | [`limits`]; its tests with real threads |
//! | `Overload`: the newest report, until when it counts, the turns | the time of a report before the report; each turn is drawn once | [`limits`] |
//! | `SourceRates`: the entries | a single word is complete by itself; a fence between adding an entry and the look for another | [`limits`]; its tests with real threads |
//! | `CallTable`: the calls, how many there are, `sweep_at` and counters | nothing: a single word is complete by itself; a call's messages follow its INVITE, which leaves after its word is stored | [`limits`]; its tests with real threads |
//! | `EmergencyCounters` | nothing: numbers | by argument |
//! | the snapshot in force (arc-swap), counts of the old ones | a thread with the new one sees everything done before it was published; the last count is ours | [`slots`] with a replacement for arc-swap; `control::snapshot::publisher` tests the real one |
//! | `WorkerStats` | nothing: one writer each | by argument |
//! | `WorkerStats::snapshot_version` | nothing: it is shown, and a reload waits for it and then touches no memory of the worker | by argument |
//! | `Traffic` | nothing: one writer each; of a set of sources that two write, a bit may be late or missing | by argument |
//! | `Sightings`: crossbeam's rings, the handle of its thread | a push, then an unpark; the thread takes all before it parks | its test with real threads |
//! | `Supplies::stop` | nothing: a flag; the threads are joined | by argument |
//! | `Shared::cores` | nothing: numbers differ | by argument |
//! | `DispatchLog`: crossbeam's ring, `stop` | release and acquire: what was pushed before the stop is written or counted | its test with real threads |
//! | `HandOvers`: crossbeam's rings, `is_announced` | a push, then its announcement; what the owner's swap reads was pushed before | its test with real threads; by argument |
//! | `Capture::generation` | the list of taps before its number: what the acquire of a new number reads was stored before | [`capture`] |
//! | `Capture`: crossbeam's rings, the calls that are followed, counters | the rings order their own content; a single word is complete by itself; nothing: numbers | the test of `capture::ring` with real threads; by argument |
//! | lost lines of both logs, `HELPERS` of the resolver | nothing: numbers | by argument |
//! | `Limited` | nothing: an exchange lets one through | [`turns`] |

mod calls;
mod capture;
mod claims;
mod clearing;
mod limits;
mod slots;
mod takeover;
mod turns;

#[path = "../control/snapshot/publisher.rs"]
mod publisher;

use loom::thread::{self, JoinHandle};

use crate::clock::Now;
use crate::destination::Slot;
use crate::pin::{Claim, Kind, PinKey, PinMemory, PinTable, State, WAYS};
use crate::sync::{AtomicU64, Ordering};

/// How many times a thread is interrupted.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// Without a limit: the model is exhaustive.
    None,
    /// At most this many times in one run.
    Interruptions(usize),
}

/// Runs a model through all its orders.
fn explore(bound: Bound, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    // Unless the environment has set it.
    if let (None, Bound::Interruptions(most)) = (builder.preemption_bound, bound) {
        builder.preemption_bound = Some(most);
    }
    builder.check(model);
}

/// The first millisecond of a unit of the pins' clock.
const NOW: Now = Now::from_ms(4_000_000_000);
/// The last millisecond of the unit before.
const JUST_BEFORE: Now = Now::from_ms(4_000_000_000 - 1);

/// A pin lives 61 units: a worker at this time sees it as dead, a unit earlier as live.
const DIES: Now = NOW.plus_ms(62 * 4_000);
const LIVES_YET: Now = JUST_BEFORE.plus_ms(62 * 4_000);

const KEY: PinKey = PinKey(1);
/// Another key of the same bucket.
const OTHER_KEY: PinKey = PinKey(2);

/// A thread's reference to what it works on; loom's threads cannot borrow.
type Shared<T> = std::sync::Arc<T>;

/// Creates a table of one bucket, in which all keys collide.
fn one_bucket() -> Shared<PinTable> {
    Shared::new(PinTable::new(PinMemory::on_heap(WAYS)))
}

/// Stores a pin while no other thread runs.
fn put(table: &PinTable, now: Now, key: PinKey, slot: u16) {
    match table.claim(now, key, Kind::Invite, 9) {
        Claim::Claimed(claimed) => claimed.commit(Slot(slot), State::None),
        other => panic!("{other:?}"),
    }
}

fn slot(table: &PinTable, now: Now, key: PinKey) -> Option<u16> {
    table.find(now, key, false).map(|pin| pin.slot.0)
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn evicted(table: &PinTable) -> u64 {
    get(&table.counters().evicted_live) + get(&table.counters().evicted_final)
}

fn join<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
