//! Slots: which destination has which number, and when another one may get it.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use super::{LoadError, Registry};
use crate::clock::Now;
use crate::destination::{DestinationUri, Host, Known, Record, Resolved, Slot, SocketName, Table};
use crate::limits;
use crate::pin::PinTable;

/// What a slot identifies.
pub(super) type SlotIdentity = (String, Option<SocketName>, SocketAddr);

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) identity: SlotIdentity,
    pub(super) retired_at: Option<Now>,
}

impl Registry {
    /// Gives up the slots of destinations retired long ago if `records` need more than there are,
    /// and returns them. Tables loaded from now on do not contain them.
    ///
    /// Slots that were never used are taken first, so this happens only after a list changed
    /// completely.
    pub fn give_up(&mut self, now: Now, records: &[Resolved]) -> Vec<Slot> {
        // At most this many can be new; if there is room for all, nothing needs to be compared.
        let room = limits::SLOTS_MAX - self.slots.len() + self.free.len();
        if records.iter().map(|resolved| resolved.addresses.len()).sum::<usize>() <= room {
            return Vec::new();
        }
        let wanted: HashSet<SlotIdentity> = records.iter().flat_map(slot_identities).collect();
        let new = wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).count();
        if new <= room {
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

    /// Frees slots that were given up. The caller has made sure that every worker uses a table
    /// without them, so no pin names them after they are cleared.
    pub fn reuse(&mut self, given_up: Vec<Slot>, pins: &PinTable) {
        let cleared: HashSet<Slot> = given_up.iter().copied().collect();
        pins.clear_slots(|slot| cleared.contains(&slot));
        self.free.extend(given_up);
    }

    /// Returns an error if these records need more slots than there are.
    pub(super) fn too_many(&self, records: &[Resolved]) -> Option<LoadError> {
        let room = limits::SLOTS_MAX - self.slots.len() + self.free.len();
        if records.iter().map(|resolved| resolved.addresses.len()).sum::<usize>() <= room {
            return None;
        }
        let wanted: HashSet<SlotIdentity> = records.iter().flat_map(slot_identities).collect();
        let new = wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).count();
        (new > room).then_some(LoadError::TooMany { wanted: wanted.len() })
    }

    /// Returns the slot of this destination; `None` if it never had one.
    pub fn slot(&self, record: &Record, address: SocketAddr) -> Option<Slot> {
        let identity = (record.uri.text.clone(), record.attributes.socket, address);
        self.slot_of.get(&identity).copied()
    }

    /// Gives every address its slot, the old one or a new one, and retires all others. Returns the
    /// slots of each record in the order of its addresses.
    pub(super) fn assign_slots(
        &mut self,
        now: Now,
        records: &[Resolved],
        pins: &PinTable,
    ) -> Result<Vec<Vec<Slot>>, Vec<LoadError>> {
        if let Some(error) = self.too_many(records) {
            return Err(vec![error]);
        }
        let slots: Vec<Vec<Slot>> = records
            .iter()
            .map(|resolved| {
                slot_identities(resolved).map(|identity| self.assign(identity, pins)).collect()
            })
            .collect();
        let mut is_listed = vec![false; self.slots.len()];
        for slot in slots.iter().flatten() {
            is_listed[usize::from(slot.0)] = true;
        }
        for (number, (state, is_listed)) in self.slots.iter_mut().zip(is_listed).enumerate() {
            if let Some(state) = state
                && state.retired_at.is_none() != is_listed
            {
                state.retired_at = if is_listed { None } else { Some(now) };
                state.note(Slot(number as u16), pins);
            }
        }
        Ok(slots)
    }

    fn assign(&mut self, identity: SlotIdentity, pins: &PinTable) -> Slot {
        if let Some(slot) = self.slot_of.get(&identity) {
            return *slot;
        }
        let slot = if self.slots.len() < limits::SLOTS_MAX {
            self.slots.push(None);
            self.destinations.push(None);
            Slot((self.slots.len() - 1) as u16)
        } else {
            self.free.pop().expect("they were counted")
        };
        self.slot_of.insert(identity.clone(), slot);
        let state = SlotState { identity, retired_at: None };
        state.note(slot, pins);
        self.slots[usize::from(slot.0)] = Some(state);
        slot
    }

    pub(super) fn index_addresses(
        &self,
        records: &[Resolved],
        slots: &[Vec<Slot>],
        table: &mut Table,
    ) {
        table.by_address.reserve(self.slots.len());
        table.by_ip.reserve(self.slots.len());
        for (Resolved { record, addresses }, slots) in records.iter().zip(slots) {
            for (address, slot) in addresses.iter().zip(slots) {
                let known = Known { slot: *slot, is_listed: true };
                table.by_address.entry(address.socket).or_insert(known);
                table.by_ip.entry(address.socket.ip()).or_insert(known);
                if let Host::Name(name) = &record.uri.host {
                    let key = (name.as_bytes().into(), record.uri.port_or_default());
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

impl SlotState {
    /// Records next to the pins what this slot identifies.
    fn note(&self, slot: Slot, pins: &PinTable) {
        let (uri, socket, address) = &self.identity;
        let mut hasher = siphasher::sip::SipHasher13::new();
        (uri, socket).hash(&mut hasher);
        pins.memory().write_slot(slot, hasher.finish(), *address, self.retired_at.is_some());
    }
}

fn slot_identities(resolved: &Resolved) -> impl Iterator<Item = SlotIdentity> + '_ {
    let record = &resolved.record;
    resolved
        .addresses
        .iter()
        .map(move |address| (record.uri.text.clone(), record.attributes.socket, address.socket))
}
