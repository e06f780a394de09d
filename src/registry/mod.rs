//! The control thread's side of the destinations: assigns slots, keeps what must survive a reload,
//! and builds the tables that workers read.

mod checks;
mod difference;
mod identity;
mod index;
mod round;
mod routes;
mod sets;
mod slots;
mod states;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use checks::{LoadError, error_of, leads_to_us, record_error, what_of_ours};
pub use difference::Difference;
pub use identity::RecordIdentity;
pub use sets::Choosings;
pub use states::FlagChange;

use crate::clock::Now;
use crate::destination::{Resolved, Slot, Table};
use crate::listener::Listeners;
use crate::pin::PinTable;
use routes::{RouteLookup, reachable};
use sets::{Listed, SetMemory};
use slots::Slots;

/// What the control thread keeps between loads, and the table in force.
///
/// A clone shares everything with the original and costs next to nothing. So a change is made to a
/// clone, while the original stays in use, and then replaces it.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    slots: Arc<Slots>,
    sets: Arc<BTreeMap<u32, Arc<SetMemory>>>,
    table: Table,
    choosings: Arc<Choosings>,
    route_lookup: RouteLookup,
}

impl Registry {
    /// Makes the sets choose this way from the next load on.
    pub fn choose_by(&mut self, choosings: Choosings) {
        self.choosings = Arc::new(choosings);
    }

    /// Builds the table for these records, which are in dispatch order, and puts it in force. If it
    /// fails, nothing changes.
    pub fn load(
        &mut self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
        pins: &PinTable,
    ) -> Result<Table, Vec<LoadError>> {
        *self = self.loaded(now, records, listeners)?;
        self.write_slots(pins);
        Ok(self.table())
    }

    /// Returns the registry with these records instead. Nothing else changes.
    pub(crate) fn loaded(
        &self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
    ) -> Result<Self, Vec<LoadError>> {
        let errors = checks::errors(records, listeners);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut next = self.clone();
        let reached = &*reachable(records, listeners);
        let slots = next.assign_slots(now, reached, listeners).map_err(|error| vec![error])?;
        let listed: Vec<_> = records
            .iter()
            .zip(reached)
            .zip(&slots)
            .map(|((resolved, reached), slots)| Listed { resolved, reached, slots })
            .collect();
        next.follow(&listed);
        next.table = next.slots.table(&listed);
        next.collect_sets();
        Ok(next)
    }

    /// Returns the table in force.
    pub fn table(&self) -> Table {
        self.table.clone()
    }

    /// Returns why a load of these records would be refused.
    pub fn errors(&self, records: &[Resolved], listeners: &Listeners) -> Vec<LoadError> {
        let mut errors = checks::errors(records, listeners);
        errors.extend(self.slots.too_many(&reachable(records, listeners)));
        errors
    }

    /// Records next to the pins what each slot identifies, as far as loads have changed it.
    pub(crate) fn write_slots(&self, pins: &PinTable) {
        self.slots.write_changed(pins);
    }

    /// Returns whether the trust in some retired destination has ended: see
    /// [`Registry::without_ended`].
    pub fn has_ended(&self, now: Now) -> bool {
        self.slots.has_ended(now)
    }

    /// Returns the registry without the destinations that were retired so long ago that no pin can
    /// name them. They no longer count as destinations and no index has them. Their slots are
    /// [unused](Registry::unused), and sets of which nothing is left are forgotten.
    #[must_use]
    pub fn without_ended(&self, now: Now) -> Self {
        let mut next = self.clone();
        Arc::make_mut(&mut next.slots).end(now);
        next.forget_sets();
        next.table = next.slots.table_like(&next.table);
        next.collect_sets();
        next
    }

    /// Returns the slots that no table contains from now on, but that are not free yet, because a
    /// worker may still use an older table.
    pub fn unused(&self) -> &[Slot] {
        self.slots.unused()
    }

    /// Frees these slots for other destinations. The caller has made sure that every worker uses a
    /// table without them, and has cleared the pins that named them after that.
    pub fn free(&mut self, unused: &[Slot]) {
        Arc::make_mut(&mut self.slots).free(unused);
    }

    fn collect_sets(&mut self) {
        self.table.set_ids = self.sets.keys().copied().collect();
        self.table.sets = self.sets.values().map(|memory| Arc::clone(memory.set())).collect();
    }
}
