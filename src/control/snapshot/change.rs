//! Changes what is in force: builds it without any lock that others wait for, and swaps it in.
//!
//! The lock of what is in force is held for as long as a pointer takes to copy or to swap, so a
//! command, a listing and a shutdown never wait for a build. Builders take turns with a lock of
//! their own. Only the build of a long list is done beside them, at low priority: when it is
//! finished and something else has changed, it is done once more in turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::clock::Now;
use crate::control::Inner;
use crate::control::error::Error;
use crate::control::history::Cause;
use crate::control::snapshot::in_force::InForce;
use crate::control::snapshot::low_priority::at_low_priority;
use crate::control::snapshot::publisher::Publisher;
use crate::destination::{Flags, Slot};
use crate::limits;
use crate::proxy::Snapshot;
use crate::registry::Difference;
use crate::transport::monotonic_now;
use crate::worker::wake;

/// What is in force, and how the workers get it.
#[derive(Debug)]
pub(in crate::control) struct Current {
    in_force: Mutex<(Arc<InForce>, Publisher<Snapshot>)>,
    /// Held by whoever builds what comes next.
    building: Mutex<()>,
    wakers: Arc<[Waker]>,
}

/// The turn of one builder.
struct Turn<'a>(#[expect(dead_code, reason = "held, never read")] MutexGuard<'a, ()>);

impl Current {
    pub(in crate::control) fn new(
        in_force: InForce,
        publisher: Publisher<Snapshot>,
        wakers: Arc<[Waker]>,
    ) -> Self {
        let in_force = Mutex::new((Arc::new(in_force), publisher));
        Self { in_force, building: Mutex::new(()), wakers }
    }

    pub(in crate::control) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.lock().0)
    }

    pub(in crate::control) fn snapshot(&self) -> Arc<Snapshot> {
        self.lock().1.current().load_full()
    }

    /// Returns the old snapshots that no worker uses any more. The caller drops them, which may take
    /// a while.
    pub(in crate::control) fn unused_snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.lock().1.take_unused()
    }

    /// Puts the next one in force and returns its version.
    fn swap(&self, next: InForce, snapshot: Snapshot, _turn: &Turn<'_>) -> u64 {
        let version = next.version();
        let next = Arc::new(next);
        let old = {
            let (in_force, publisher) = &mut *self.lock();
            debug_assert_eq!(in_force.version() + 1, version);
            publisher.publish(snapshot);
            std::mem::replace(in_force, next)
        };
        wake(&self.wakers);
        drop(old);
        version
    }

    fn turn(&self) -> Turn<'_> {
        // Nothing is protected by it that a panic could leave half done.
        Turn(self.building.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, (Arc<InForce>, Publisher<Snapshot>)> {
        // A panic leaves it as it was before or after a swap.
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Puts in force what `build` makes of what is in force, and returns the version; `None` if
    /// `build` returns nothing.
    pub(in crate::control) fn change(
        &self,
        cause: Cause<'_>,
        build: impl FnOnce(&InForce) -> Result<Option<InForce>, Vec<Error>>,
    ) -> Result<Option<u64>, Vec<Error>> {
        let turn = self.current.turn();
        let before = self.current.get();
        let Some(next) = build(&before)? else { return Ok(None) };
        Ok(Some(self.put_in_force(&before, next, cause, &turn)))
    }

    fn put_in_force(
        &self,
        before: &InForce,
        next: InForce,
        cause: Cause<'_>,
        turn: &Turn<'_>,
    ) -> u64 {
        let differences = next.registry().differences(before.registry());
        let slow_starts = begin_slow_starts(&next, &differences);
        let snapshot = next.snapshot();
        let version = self.current.swap(next, snapshot, turn);
        // Still in turn, so that changes are recorded in their order.
        self.history.record(&differences, cause, &slow_starts);
        self.sightings.wake();
        version
    }

    /// Does the same with all records, of which there are so many. `build` runs a second time if
    /// something else has changed meanwhile.
    pub(in crate::control) fn change_all(
        &self,
        cause: Cause<'_>,
        records: usize,
        mut build: impl FnMut(&InForce) -> Result<Option<InForce>, Vec<Error>> + Send,
    ) -> Result<Option<u64>, Vec<Error>> {
        let mut ready = None;
        if records > limits::BUILD_AT_ONCE_MAX {
            let before = self.current.get();
            ready = Some((at_low_priority(|| build(&before))??, before));
        }
        let turn = self.current.turn();
        let before = self.current.get();
        let next = match ready {
            Some((next, built_from)) if Arc::ptr_eq(&built_from, &before) => {
                next.map(|next: InForce| next.with_rounds_after(&before))
            }
            _ => build(&before)?,
        };
        let Some(next) = next else { return Ok(None) };
        // Here, so that nobody changes the slots meanwhile.
        next.registry().write_slots(&self.shared.pins);
        Ok(Some(self.put_in_force(&before, next, cause, &turn)))
    }

    /// Ends the trust in destinations that were retired long ago, and frees the slots of those for
    /// which that was done before.
    pub(in crate::control) fn end_trust(&self, now: Now) -> Result<(), Vec<Error>> {
        let in_force = self.current.get();
        let unused = in_force.registry().unused();
        // From then on no worker knows these slots, so none can pin one of them.
        if !unused.is_empty() && self.version_in_use() >= in_force.version() {
            let mut is_unused = vec![false; limits::SLOTS_MAX];
            for slot in unused {
                is_unused[usize::from(slot.0)] = true;
            }
            let pins = &self.shared.pins;
            pins.clear_slots(|slot| is_unused.get(usize::from(slot.0)) == Some(&true));
            self.counted_before.end(unused, &self.traffic);
            self.change(Cause::Upkeep, |in_force| Ok(Some(in_force.with_free(unused))))?;
        }
        if in_force.registry().has_ended(now) {
            let before = in_force.registry().table();
            self.change(Cause::Upkeep, |in_force| Ok(Some(in_force.without_ended(now))))?;
            let after = self.current.get().registry().table();
            let has_ended = |slot| before.hop(slot).is_some() && after.hop(slot).is_none();
            self.shared.calls.clear_slots(has_ended, |slot| before.end_call(slot));
        }
        Ok(())
    }

    /// Gives up calls that were not heard of for too long, and frees entries of sources that have
    /// not called lately.
    pub(in crate::control) fn sweep_calls(&self, now: Now) {
        self.shared.source_rates.sweep(now);
        if self.shared.calls.is_empty() {
            return;
        }
        let table = self.current.get().registry().table();
        self.shared.calls.sweep(now, |slot| table.end_call(slot));
    }
}

/// Starts the slow start of each destination that comes back, and returns how long each takes. One that
/// is chosen only because too few are left does not: its calls have nowhere else to go. Neither does
/// one that was full, since it was never away.
fn begin_slow_starts(next: &InForce, differences: &[Difference]) -> HashMap<Slot, u32> {
    let (now, table) = (monotonic_now(), next.registry().table());
    let comes_back = |difference: &&Difference| {
        let is_away = |flags: Flags| !flags.is_selectable() && !flags.is_full();
        let is_back = |flags: Flags| flags.is_selectable() && !flags.is_last_resort();
        difference.from.is_some_and(is_away) && difference.to.is_some_and(is_back)
    };
    let begin = |difference: &Difference| {
        let slot = difference.slot?;
        let slow_start_ms = table.set(table.set_of(slot)?)?.slow_start_ms();
        table.get(slot)?.load.came_back(now);
        Some((slot, slow_start_ms))
    };
    let begun = differences.iter().filter(comes_back).filter_map(begin);
    begun.filter(|(_, slow_start_ms)| *slow_start_ms > 0).collect()
}
