//! The live state of every record and of each of its addresses, kept across loads.
//!
//! The source sets the initial state. After that, operators' commands count until the record's
//! flags change in the source or the record is removed: a reload neither loses a state nor restores
//! an old one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{RecordIdentity, Registry};
use crate::destination::{Flags, Resolved, State};
use crate::sync::AtomicU64;

/// The state of one record, besides what its source says.
#[derive(Debug)]
pub(super) struct RecordState {
    /// The flags in the source at the last load.
    source: Flags,
    /// The last state set for the whole record. A new address starts with it.
    whole: Flags,
    /// Each address, even if no listener reaches it.
    addresses: Vec<(SocketAddr, Flags)>,
    /// The turns that its addresses took among themselves.
    pub(super) turns: Arc<AtomicU64>,
}

/// The states of all records in force.
#[derive(Debug, Default)]
pub(super) struct States(HashMap<Arc<RecordIdentity>, RecordState>);

impl States {
    /// Updates the states to these records, and forgets all others.
    pub(super) fn follow(&mut self, records: &[Resolved], identities: &[Arc<RecordIdentity>]) {
        let mut old = std::mem::take(&mut self.0);
        self.0.reserve(records.len());
        for (resolved, identity) in records.iter().zip(identities) {
            let mut state = old.remove(identity).unwrap_or_else(|| {
                let flags = resolved.record.flags;
                let turns = Arc::default();
                RecordState { source: flags, whole: flags, addresses: Vec::new(), turns }
            });
            state.follow(resolved);
            self.0.insert(Arc::clone(identity), state);
        }
    }

    pub(super) fn of(&self, identity: &RecordIdentity) -> Option<&RecordState> {
        self.0.get(identity)
    }
}

impl RecordState {
    fn follow(&mut self, resolved: &Resolved) {
        let says = resolved.record.flags;
        let has_changed = says != self.source;
        if has_changed {
            (self.source, self.whole) = (says, says);
        }
        let is_same = self.addresses.len() == resolved.addresses.len()
            && self.addresses.iter().zip(&resolved.addresses).all(|(a, b)| a.0 == b.socket);
        if is_same && !has_changed {
            return;
        }
        let flags_of = |socket| if has_changed { says } else { self.flags(socket) };
        self.addresses =
            resolved.addresses.iter().map(|a| (a.socket, flags_of(a.socket))).collect();
    }

    /// Returns the flags of one address; for an unknown one, the flags it would start with.
    pub(super) fn flags(&self, socket: SocketAddr) -> Flags {
        let known = self.addresses.iter().find(|(known, _)| *known == socket);
        known.map_or(self.whole, |(_, flags)| *flags)
    }

    fn put(&mut self, address: Option<SocketAddr>, state: State, is_probed: bool) {
        if address.is_none() {
            self.whole = self.whole.in_state(state, is_probed);
        }
        for (socket, flags) in &mut self.addresses {
            if address.is_none_or(|wanted| wanted == *socket) {
                *flags = flags.in_state(state, is_probed);
            }
        }
    }
}

impl Registry {
    /// Overwrites the state of a record, or of one of its addresses, as Kamailio does. It counts
    /// from the next load on. Returns whether the record is known.
    pub fn put_state(
        &mut self,
        resolved: &Resolved,
        address: Option<SocketAddr>,
        state: State,
        is_probed: bool,
    ) -> bool {
        let known = self.states.0.get_mut(&RecordIdentity::of(&resolved.record));
        known.map(|known| known.put(address, state, is_probed)).is_some()
    }

    /// Returns the flags in force of this record as a whole and of each of its addresses. For a
    /// record that is not in force, or whose flags the source has changed, returns the flags that
    /// it would get.
    ///
    /// The record as a whole has the flags of its first address that can be chosen, or else of its
    /// first.
    pub fn flags(&self, resolved: &Resolved) -> (Flags, Vec<Flags>) {
        let says = resolved.record.flags;
        let identity = RecordIdentity::of(&resolved.record);
        let known = self.states.of(&identity).filter(|known| known.source == says);
        let addresses: Vec<_> = resolved
            .addresses
            .iter()
            .map(|address| known.map_or(says, |known| known.flags(address.socket)))
            .collect();
        let first = addresses.iter().find(|flags| flags.is_selectable()).or(addresses.first());
        let whole = first.copied().unwrap_or_else(|| known.map_or(says, |known| known.whole));
        (whole, addresses)
    }
}
