//! The control thread's side of the destinations: assigns slots, keeps what must survive a reload,
//! and builds the tables that workers read.

mod checks;
mod identity;
mod routes;
mod sets;
mod slots;
mod states;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use checks::{LoadError, leads_to_us, what_of_ours};
pub use identity::RecordIdentity;

use crate::clock::Now;
use crate::destination::{Destination, Resolved, Slot, Table};
use crate::listener::Listeners;
use crate::pin::PinTable;
use routes::reachable;
use sets::SetMemory;
use slots::{SlotIdentity, SlotState};
use states::States;

/// What the control thread keeps between loads.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Vec<Option<SlotState>>,
    slot_of: HashMap<SlotIdentity, Slot>,
    /// Slots that were given up and are free for other destinations.
    free: Vec<Slot>,
    destinations: Vec<Option<Arc<Destination>>>,
    sets: BTreeMap<u32, SetMemory>,
    states: States,
}

impl Registry {
    /// Builds the table for these records, which are in dispatch order. If it fails, nothing
    /// changes.
    pub fn load(
        &mut self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
        pins: &PinTable,
    ) -> Result<Table, Vec<LoadError>> {
        let errors = checks::errors(records, listeners);
        if !errors.is_empty() {
            return Err(errors);
        }
        let identities: Vec<_> =
            records.iter().map(|r| Arc::new(RecordIdentity::of(&r.record))).collect();
        let reached = &reachable(records, listeners);
        let slots = &self.assign_slots(now, reached, pins)?;
        self.states.follow(records, &identities);
        self.describe(reached, slots, listeners);

        let mut table = Table {
            slots: self.destinations.clone(),
            set_of: vec![None; self.destinations.len()],
            ..Table::default()
        };
        self.index_addresses(reached, slots, &mut table);
        self.build_sets(reached, slots, &identities, &mut table);
        Ok(table)
    }

    /// Returns why a load of these records would be refused.
    pub fn errors(&self, records: &[Resolved], listeners: &Listeners) -> Vec<LoadError> {
        let mut errors = checks::errors(records, listeners);
        errors.extend(self.too_many(&reachable(records, listeners)));
        errors
    }
}
