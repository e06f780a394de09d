//! The live state of every record and of each of its addresses, kept across loads.
//!
//! The source sets the initial state. After that, operators' commands count until the record's
//! flags change in the source or the record is removed: a reload neither loses a state nor restores
//! an old one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{RecordIdentity, Registry};
use crate::destination::{DestinationState, Flags, Resolved, Slot};
use crate::sync::AtomicU64;

/// The state of one record, besides what its source says.
#[derive(Clone, Debug)]
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

impl RecordState {
    /// Returns the state after a load: what is kept of `before`, the state until then.
    pub(super) fn follow(before: Option<&Self>, resolved: &Resolved) -> Self {
        let says = resolved.record.flags;
        let known = before.filter(|before| before.source == says);
        let flags_of = |address| known.map_or(says, |known| known.flags(address));
        let addresses = resolved.addresses.iter().map(|a| (a.socket, flags_of(a.socket)));
        Self {
            source: says,
            whole: known.map_or(says, |known| known.whole),
            addresses: addresses.collect(),
            turns: before.map(|before| Arc::clone(&before.turns)).unwrap_or_default(),
        }
    }

    /// Returns the flags of one address; for an unknown one, the flags it would start with.
    pub(super) fn flags(&self, socket: SocketAddr) -> Flags {
        let known = self.addresses.iter().find(|(known, _)| *known == socket);
        known.map_or(self.whole, |(_, flags)| *flags)
    }

    /// Overwrites the state of the record, or of one of its addresses.
    pub(super) fn set(
        &mut self,
        address: Option<SocketAddr>,
        state: DestinationState,
        is_probed: bool,
    ) {
        if address.is_none() {
            self.whole = self.whole.in_state(state, is_probed);
        }
        for (socket, flags) in &mut self.addresses {
            if address.is_none_or(|wanted| wanted == *socket) {
                *flags = flags.in_state(state, is_probed);
            }
        }
    }

    /// Returns the flags of every address.
    pub(super) fn addresses(&self) -> &[(SocketAddr, Flags)] {
        &self.addresses
    }

    /// Replaces the flags of one address if it has those that are expected; returns whether.
    pub(super) fn replace(&mut self, socket: SocketAddr, change: &FlagChange) -> bool {
        let mut expected = self.addresses.iter_mut().filter(|(_, flags)| *flags == change.from);
        match expected.find(|(known, _)| *known == socket) {
            Some((_, flags)) => {
                *flags = change.to;
                true
            }
            None => false,
        }
    }
}

/// New flags for one destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlagChange {
    /// The destination.
    pub slot: Slot,
    /// The flags that it is expected to have. Records with other flags do not change: an operator
    /// has changed them meanwhile.
    pub from: Flags,
    /// The new ones.
    pub to: Flags,
}

impl Registry {
    /// Returns the flags in force of this record as a whole and of each of its addresses. For a
    /// record that is not in force, or whose flags the source has changed, returns the flags that
    /// it would get.
    ///
    /// The record as a whole has the flags of its first address that can be chosen, or else of its
    /// first.
    pub fn flags(&self, resolved: &Resolved) -> (Flags, Vec<Flags>) {
        let says = resolved.record.flags;
        let identity = RecordIdentity::of(&resolved.record);
        let known = self.state_of(&identity).filter(|known| known.source == says);
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
