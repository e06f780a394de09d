//! The numbers of destinations: who has which, and when it may be another's.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::{LoadError, Registry};
use crate::clock::Now;
use crate::destination::{DestinationUri, Host, Known, Resolved, Slot, SocketName, Table};
use crate::limits;
use crate::pin::PinTable;

/// What a slot stands for.
pub(super) type SlotIdentity = (String, Option<SocketName>, SocketAddr);

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) identity: SlotIdentity,
    pub(super) retired_at: Option<Now>,
}

impl Registry {
    /// Gives up the numbers of destinations retired long ago, when `records` need more than there
    /// are; says which. Tables loaded from now on do not know them.
    ///
    /// Numbers that were never used come first, so this is for lists that changed completely.
    pub fn give_up(&mut self, now: Now, records: &[Resolved]) -> Vec<Slot> {
        let wanted: HashSet<SlotIdentity> = records.iter().flat_map(slot_identities).collect();
        let new = wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).count();
        if new <= limits::SLOTS_MAX - self.slots.len() + self.free.len() {
            return Vec::new();
        }
        for (state, destination) in self.slots.iter_mut().zip(&mut self.destinations) {
            let is_over = state.as_ref().is_some_and(|SlotState { identity, retired_at }| {
                retired_at.is_some_and(|at| at.plus_ms(limits::SLOT_QUARANTINE_MS) <= now)
                    && !wanted.contains(identity)
            });
            if is_over && let Some(old) = state.take() {
                self.slot_of.remove(&old.identity);
                *destination = None;
            }
        }
        let is_free: HashSet<Slot> = self.free.iter().copied().collect();
        let numbers = (0..self.slots.len()).map(|number| Slot(number as u16));
        numbers
            .filter(|slot| self.slots[usize::from(slot.0)].is_none() && !is_free.contains(slot))
            .collect()
    }

    /// Lets numbers that were given up be given to others. Whoever calls knows that every worker
    /// uses a table without them, so that no pin names them once these are cleared.
    pub fn reuse(&mut self, given_up: Vec<Slot>, pins: &PinTable) {
        let cleared: HashSet<Slot> = given_up.iter().copied().collect();
        pins.clear_slots(|slot| cleared.contains(&slot));
        self.free.extend(given_up);
    }

    pub(super) fn assign_slots(
        &mut self,
        now: Now,
        records: &[Resolved],
    ) -> Result<(), Vec<LoadError>> {
        let mut seen = HashSet::new();
        let wanted: Vec<SlotIdentity> =
            records.iter().flat_map(slot_identities).filter(|id| seen.insert(id.clone())).collect();
        let new: Vec<&SlotIdentity> =
            wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).collect();
        let unused = limits::SLOTS_MAX - self.slots.len();
        if new.len() > unused + self.free.len() {
            return Err(vec![LoadError::TooMany { wanted: wanted.len() }]);
        }
        for identity in new {
            let slot = if self.slots.len() < limits::SLOTS_MAX {
                self.slots.push(None);
                self.destinations.push(None);
                Slot((self.slots.len() - 1) as u16)
            } else {
                self.free.pop().expect("they were counted")
            };
            let at = usize::from(slot.0);
            self.slot_of.insert(identity.clone(), slot);
            self.slots[at] = Some(SlotState { identity: identity.clone(), retired_at: None });
        }
        for state in self.slots.iter_mut().flatten() {
            state.retired_at =
                if seen.contains(&state.identity) { None } else { state.retired_at.or(Some(now)) };
        }
        Ok(())
    }

    pub(super) fn index_addresses(&self, records: &[Resolved], table: &mut Table) {
        for resolved in records {
            for identity in slot_identities(resolved) {
                let known = Known { slot: self.slot_of[&identity], is_listed: true };
                table.by_address.entry(identity.2).or_insert(known);
                table.by_ip.entry(identity.2.ip()).or_insert(known);
                if let Host::Name(name) = &resolved.record.uri.host {
                    let key = (name.as_bytes().into(), resolved.record.uri.port_or_default());
                    table.by_name.entry(key).or_insert(known.slot);
                }
            }
        }
        for (number, state) in self.slots.iter().enumerate() {
            if let Some(SlotState { identity, retired_at: Some(_) }) = state {
                let known = Known { slot: Slot(number as u16), is_listed: false };
                table.by_address.entry(identity.2).or_insert(known);
                table.by_ip.entry(identity.2.ip()).or_insert(known);
                if let Ok(uri) = DestinationUri::parse(&identity.0)
                    && let Host::Name(name) = &uri.host
                {
                    let key = (name.as_bytes().into(), uri.port_or_default());
                    table.by_name.entry(key).or_insert(known.slot);
                }
            }
        }
    }
}

pub(super) fn slot_identities(resolved: &Resolved) -> impl Iterator<Item = SlotIdentity> + '_ {
    let record = &resolved.record;
    resolved
        .addresses
        .iter()
        .map(move |address| (record.uri.text.clone(), record.attributes.socket, address.socket))
}
