//! Compares the states of two registries: what changed, for history and events.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::sets::SetMemory;
use super::{RecordIdentity, Registry};
use crate::destination::{Flags, Slot};

/// The flags of one address of a record, before and after a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The record.
    pub identity: Arc<RecordIdentity>,
    /// The address.
    pub address: SocketAddr,
    /// Its slot, if a listener reaches it.
    pub slot: Option<Slot>,
    /// Its flags before; `None` if it was not listed.
    pub from: Option<Flags>,
    /// Its flags now; `None` if it is no longer listed.
    pub to: Option<Flags>,
}

impl Registry {
    /// Returns how the destinations differ from those of `before`. Sets that both share cost nothing.
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (id, memory) in &*self.sets {
            match before.sets.get(id) {
                Some(old) if Arc::ptr_eq(old, memory) => {}
                old => compare(old.map(AsRef::as_ref), Some(memory), &mut found),
            }
        }
        for (_, old) in before.sets.iter().filter(|(id, _)| !self.sets.contains_key(id)) {
            compare(Some(old), None, &mut found);
        }
        found
    }
}

fn compare(before: Option<&SetMemory>, now: Option<&SetMemory>, found: &mut Vec<Difference>) {
    let of_before = || before.into_iter().flat_map(SetMemory::addresses);
    let mut left: HashMap<(&RecordIdentity, SocketAddr), Flags> =
        of_before().map(|(id, address, flags)| ((&**id, address), flags)).collect();
    if let Some(now) = now {
        for (identity, address, flags) in now.addresses() {
            let from = left.remove(&(&**identity, address));
            if from != Some(flags) {
                let slot = now.slot_of(identity, address);
                let identity = Arc::clone(identity);
                found.push(Difference { identity, address, slot, from, to: Some(flags) });
            }
        }
    }
    for (identity, address, flags) in of_before() {
        if left.contains_key(&(&**identity, address)) {
            let identity = Arc::clone(identity);
            found.push(Difference { identity, address, slot: None, from: Some(flags), to: None });
        }
    }
}
