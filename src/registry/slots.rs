//! Slots: which destination has which number, and when another one may get it.
//!
//! A slot is in use while its destination is listed, and as long after that as a pin can name it.
//! Then the next table is without it, the slot is unused until every worker has that table and its
//! pins are cleared, and after that it is free.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{LoadError, Registry};
use crate::clock::Now;
use crate::destination::{Destination, Load, NextHop, Record, Resolved, Slot, SocketName};
use crate::limits;
use crate::listener::Listeners;
use crate::pin::PinTable;

/// What a slot identifies. The same server in two sets has two slots.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct SlotIdentity {
    pub(super) set: u32,
    pub(super) uri: String,
    pub(super) socket: Option<SocketName>,
    pub(super) address: SocketAddr,
}

/// All slots of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// By slot number.
    pub(super) in_use: Vec<Option<InUse>>,
    slot_of: HashMap<Arc<SlotIdentity>, Slot>,
    unused: Vec<Slot>,
    free: Vec<Slot>,
    /// When the first of the retired destinations was retired.
    first_retired_at: Option<Now>,
    /// Slots that the last load gave to a destination, retired or listed again.
    changed: Vec<Slot>,
}

/// A slot and its destination.
#[derive(Clone, Debug)]
pub(super) struct InUse {
    pub(super) identity: Arc<SlotIdentity>,
    pub(super) retired_at: Option<Now>,
    pub(super) destination: Arc<Destination>,
    pub(super) hop: NextHop,
}

impl Registry {
    /// Returns the slot of this destination; `None` if it has none.
    pub fn slot(&self, record: &Record, address: SocketAddr) -> Option<Slot> {
        self.slots.slot_of.get(&SlotIdentity::of(record, address)).copied()
    }

    /// Gives every address its slot, the old one or a new one, and retires all others. Returns the
    /// slots of each record in the order of its addresses.
    pub(super) fn assign_slots(
        &mut self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
    ) -> Result<Vec<Vec<Slot>>, LoadError> {
        if let Some(error) = self.slots.too_many(records) {
            return Err(error);
        }
        let slots = Arc::make_mut(&mut self.slots);
        slots.changed.clear();
        let mut routes = slots.routes(self.route_lookup, listeners);
        let assigned: Vec<Vec<Slot>> = records
            .iter()
            .map(|Resolved { record, addresses }| {
                let addresses = addresses.iter().map(|address| address.socket);
                addresses.map(|address| slots.assign(record, address, &mut routes)).collect()
            })
            .collect();
        let mut is_listed = vec![false; slots.in_use.len()];
        for slot in assigned.iter().flatten() {
            is_listed[usize::from(slot.0)] = true;
        }
        slots.retire(now, &is_listed);
        slots.limit(records, &assigned);
        Ok(assigned)
    }
}

impl Slots {
    /// Returns an error if these records need more slots than there are.
    pub(super) fn too_many(&self, records: &[Resolved]) -> Option<LoadError> {
        let room = limits::SLOTS_MAX - self.in_use.len() + self.free.len();
        // At most this many can be new; if there is room for all, nothing needs to be compared.
        if records.iter().map(|resolved| resolved.addresses.len()).sum::<usize>() <= room {
            return None;
        }
        let wanted: HashSet<SlotIdentity> = records.iter().flat_map(slot_identities).collect();
        let new = wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).count();
        (new > room).then_some(LoadError::TooMany { wanted: wanted.len() })
    }

    fn assign(
        &mut self,
        record: &Record,
        address: SocketAddr,
        routes: &mut super::routes::Routes<'_>,
    ) -> Slot {
        let identity = SlotIdentity::of(record, address);
        if let Some(slot) = self.slot_of.get(&identity) {
            return *slot;
        }
        // A free number rather than a higher one, so that the tables stay small.
        let slot = self.free.pop().unwrap_or_else(|| {
            self.in_use.push(None);
            Slot((self.in_use.len() - 1) as u16)
        });
        let (destination, hop) = routes.describe(record, address);
        // What the operator says counts until it is measured.
        let says_ms =
            record.attributes.latency_ms.filter(|_| !record.attributes.congestion_control);
        destination.load.set_late_ms(says_ms.unwrap_or(0).into());
        let identity = Arc::new(identity);
        self.slot_of.insert(Arc::clone(&identity), slot);
        self.changed.push(slot);
        let in_use = InUse { identity, retired_at: None, destination: Arc::new(destination), hop };
        self.in_use[usize::from(slot.0)] = Some(in_use);
        slot
    }

    fn retire(&mut self, now: Now, is_listed: &[bool]) {
        self.first_retired_at = None;
        for (number, (slot, is_listed)) in self.in_use.iter_mut().zip(is_listed).enumerate() {
            let Some(slot) = slot else { continue };
            if slot.retired_at.is_none() != *is_listed {
                slot.retired_at = if *is_listed { None } else { Some(now) };
                self.changed.push(Slot(number as u16));
            }
            self.first_retired_at = earlier(self.first_retired_at, slot.retired_at);
        }
    }

    /// Gives each slot the limits of its record. If several have it, the first one counts.
    fn limit(&mut self, records: &[Resolved], assigned: &[Vec<Slot>]) {
        for (Resolved { record, .. }, slots) in records.iter().zip(assigned).rev() {
            for slot in slots {
                if let Some(slot) = &mut self.in_use[usize::from(slot.0)] {
                    slot.hop.limits = record.attributes.limits();
                }
            }
        }
    }

    /// Returns how busy a destination is.
    pub(super) fn load(&self, slot: Slot) -> Option<&Load> {
        Some(&self.in_use.get(usize::from(slot.0))?.as_ref()?.destination.load)
    }

    pub(super) fn has_ended(&self, now: Now) -> bool {
        is_over(self.first_retired_at, now)
    }

    /// Takes every slot out of use whose destination was retired long enough ago.
    pub(super) fn end(&mut self, now: Now) {
        self.changed.clear();
        self.first_retired_at = None;
        for (number, place) in self.in_use.iter_mut().enumerate() {
            if let Some(slot) = place.take_if(|slot| is_over(slot.retired_at, now)) {
                self.slot_of.remove(&slot.identity);
                self.unused.push(Slot(number as u16));
            } else if let Some(slot) = place {
                self.first_retired_at = earlier(self.first_retired_at, slot.retired_at);
            }
        }
    }

    pub(super) fn unused(&self) -> &[Slot] {
        &self.unused
    }

    pub(super) fn free(&mut self, unused: &[Slot]) {
        let freed: HashSet<_> = unused.iter().copied().collect();
        self.unused.retain(|slot| !freed.contains(slot));
        self.free.extend(unused);
    }

    pub(super) fn write_changed(&self, pins: &PinTable) {
        for slot in &self.changed {
            let Some(in_use) = &self.in_use[usize::from(slot.0)] else { continue };
            let SlotIdentity { set, uri, socket, address } = &*in_use.identity;
            let mut hasher = siphasher::sip::SipHasher13::new();
            (set, uri, socket).hash(&mut hasher);
            let is_retired = in_use.retired_at.is_some();
            pins.memory().write_slot(*slot, hasher.finish(), *address, is_retired);
        }
    }
}

impl SlotIdentity {
    fn of(record: &Record, address: SocketAddr) -> Self {
        let Record { set, uri, attributes, .. } = record;
        Self { set: *set, uri: uri.text.clone(), socket: attributes.socket, address }
    }
}

fn slot_identities(resolved: &Resolved) -> impl Iterator<Item = SlotIdentity> + '_ {
    let addresses = resolved.addresses.iter();
    addresses.map(|address| SlotIdentity::of(&resolved.record, address.socket))
}

/// Returns whether no pin can name a destination that was retired at this time.
fn is_over(retired_at: Option<Now>, now: Now) -> bool {
    retired_at.is_some_and(|at| at.plus_ms(limits::SLOT_QUARANTINE_MS) <= now)
}

fn earlier(a: Option<Now>, b: Option<Now>) -> Option<Now> {
    [a, b].into_iter().flatten().min()
}
