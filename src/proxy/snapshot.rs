//! What the workers read: finished, immutable, published as one.

use std::collections::BTreeMap;

use super::{Policy, SetPolicy};
use crate::destination::Table;

/// The destinations and the operator's choices, as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up by one with each that is published.
    pub version: u64,
    /// Choices for the whole relay.
    pub policy: Policy,
    /// Choices of a set that has none of its own.
    pub set_default: SetPolicy,
    /// Choices of the sets that have their own.
    pub sets: BTreeMap<u32, SetPolicy>,
    /// New requests get 503: an operator drains the relay.
    pub draining: bool,
    /// The destinations.
    pub destinations: Table,
}

impl Snapshot {
    /// The choices that hold for a set.
    pub fn set_policy(&self, set: u32) -> &SetPolicy {
        self.sets.get(&set).unwrap_or(&self.set_default)
    }

    /// A copy whose turns are its own: whoever chooses from it moves nobody else's.
    pub(super) fn detached(&self) -> Self {
        Self {
            version: self.version,
            policy: self.policy.clone(),
            set_default: self.set_default.clone(),
            sets: self.sets.clone(),
            draining: self.draining,
            destinations: self.destinations.detached(),
        }
    }
}
