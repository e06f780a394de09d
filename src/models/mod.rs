//! The protocols between threads, run through every order of events that the memory model allows.
//!
//! Each model is a handful of steps of two or three workers on the relay's own code, in a table of
//! one bucket; loom runs it again and again until no other order is left. `tests/loom` runs them
//! all. A *bound* is the number of times that a thread is interrupted in one run: loom then tries
//! every order with at most so many. `LOOM_MAX_PREEMPTIONS` sets another for all models.
//!
//! Every atomic of the relay, what it orders, and what shows it:
//!
//! | Atomic | Orders | Shown by |
//! |---|---|---|
//! | the pins (`pin::table`) | one word says all; a fence between a put and its look again | [`claims`], [`calls`], [`clearing`], [`takeover`]; `pin::stress` |
//! | the head and the slots of their memory | nothing: one control thread writes; a successor reads after a hand-over | by argument |
//! | pin counters, `sweep_at`, `swept_ms` | nothing: numbers; one thread sweeps | counts asserted in [`claims`] |
//! | `Turns`, `Place::turns` | nothing: each number is drawn once | [`turns`] |
//! | the snapshot in force (arc-swap), counts of the old ones | whoever has the new one sees what was done before it was published; the last count is ours | [`slots`] with a stand-in for arc-swap; `control::publish` tests the real one |
//! | `WorkerStats` | nothing: one writer each | by argument |
//! | `WorkerStats::snapshot_version` | nothing: shown, and waited for by a reload, which then touches nothing of the worker's | by argument |
//! | `Supplies::stop` | nothing: a flag; the threads are joined | by argument |
//! | `Shared::cores` | nothing: numbers differ | by argument |
//! | `DispatchLog`: crossbeam's ring, `stop` | release and acquire: what was pushed before the stop is written or counted | its test with real threads |
//! | lost lines of both logs, `HELPERS` of the resolver | nothing: numbers | by argument |
//! | `Limited` | nothing: an exchange lets one through | [`turns`] |

mod calls;
mod claims;
mod clearing;
mod slots;
mod takeover;
mod turns;

#[path = "../control/publish.rs"]
mod publish;

use loom::thread::{self, JoinHandle};

use crate::clock::Now;
use crate::destination::Slot;
use crate::pin::{Claim, Kind, PinKey, PinMemory, PinTable, State, WAYS};
use crate::sync::{AtomicU64, Ordering};

/// How many times a thread is interrupted.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// As often as can be: the model is exhaustive.
    None,
    /// At most so often in one run.
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

/// A moment at the first millisecond of a unit of the pins' clock.
const NOW: Now = Now::from_ms(4_000_000_000);
/// The last millisecond of the unit before.
const JUST_BEFORE: Now = Now::from_ms(4_000_000_000 - 1);

/// A pin lives 61 units: at this moment a worker finds it dead that finds it alive a unit before.
const DIES: Now = NOW.plus_ms(62 * 4_000);
const LIVES_YET: Now = JUST_BEFORE.plus_ms(62 * 4_000);

const KEY: PinKey = PinKey(1);
/// Another key of the same bucket.
const OTHER_KEY: PinKey = PinKey(2);

/// A thread's share of what it works on; loom's threads borrow nothing.
type Shared<T> = std::sync::Arc<T>;

/// A table of one bucket, in which every key meets every other.
fn one_bucket() -> Shared<PinTable> {
    Shared::new(PinTable::new(PinMemory::on_heap(WAYS)))
}

/// Puts a pin in while no other thread runs.
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
