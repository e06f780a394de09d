//! What the workers read: complete, immutable, published together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Policy, SetPolicy};
use crate::destination::{Set, Table};

/// The destinations and the operator's settings at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Increases by one with each snapshot.
    pub version: u64,
    /// Settings of the whole relay.
    pub policy: Policy,
    /// Settings of sets that have none of their own.
    pub set_default: SetPolicy,
    /// Settings of the sets that have their own.
    pub sets: Arc<BTreeMap<u32, SetPolicy>>,
    /// New requests get 503: an operator drains the relay.
    pub draining: bool,
    /// The destinations.
    pub destinations: Table,
}

impl Snapshot {
    /// Returns whether the calls in progress of a set are counted.
    pub fn counts_calls(&self, set: u32) -> bool {
        let of_destinations = || self.destinations.set(set).is_some_and(Set::counts_calls);
        self.set_policy(set).limits.calls_max > 0 || of_destinations()
    }

    /// Returns the settings of a set.
    pub fn set_policy(&self, set: u32) -> &SetPolicy {
        self.sets.get(&set).unwrap_or(&self.set_default)
    }
}
