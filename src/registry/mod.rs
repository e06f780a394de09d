//! The control thread's side: it gives each destination its slot, keeps what must outlive a
//! reload, and builds the tables that workers read.

mod checks;
mod routes;
mod sets;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use checks::LoadError;

use crate::clock::Now;
use crate::destination::{Destination, Resolved, Slot, Table};
use crate::listener::Listeners;
use crate::pin::PinTable;
use crate::sync::AtomicU64;
use checks::{family_error, socket_error};
use routes::reachable;
use sets::{RecordIdentity, SetMemory};
use slots::{SlotIdentity, SlotState};

/// What the control thread remembers between loads.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Vec<Option<SlotState>>,
    slot_of: HashMap<SlotIdentity, Slot>,
    /// Numbers that were given up and may be given to others.
    free: Vec<Slot>,
    destinations: Vec<Option<Arc<Destination>>>,
    sets: BTreeMap<u32, SetMemory>,
    place_turns: HashMap<RecordIdentity, Arc<AtomicU64>>,
}

impl Registry {
    /// Builds the table for these records, which stand in the order of choice; nothing changes
    /// when it fails.
    pub fn load(
        &mut self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
        pins: &PinTable,
    ) -> Result<Table, Vec<LoadError>> {
        let errors: Vec<_> = records
            .iter()
            .filter_map(|r| {
                socket_error(&r.record, listeners).or_else(|| family_error(&r.record, listeners))
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let records = &reachable(records, listeners);
        self.assign_slots(now, records)?;
        self.describe(records, listeners);

        let mut table = Table {
            slots: self.destinations.clone(),
            set_of: vec![None; self.destinations.len()],
            ..Table::default()
        };
        self.index_addresses(records, &mut table);
        self.build_sets(records, &mut table);
        for (number, state) in self.slots.iter().enumerate() {
            if let Some(SlotState { identity, retired_at }) = state {
                let mut hasher = siphasher::sip::SipHasher13::new();
                (&identity.0, identity.1).hash(&mut hasher);
                pins.memory().write_slot(
                    Slot(number as u16),
                    hasher.finish(),
                    identity.2,
                    retired_at.is_some(),
                );
            }
        }
        // What no set uses any more is not kept for ever.
        self.place_turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        Ok(table)
    }
}
