//! The source of a call, as limits for each source count it.

use std::net::IpAddr;

use super::Arrival;
use super::policy::SetPolicy;
use crate::destination::{Limits, Over, Pair, Slot};

/// The limit of the calls from one source to each destination of a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceLimit {
    source: u64,
    limits: Limits,
}

impl SourceLimit {
    /// Returns the limit for the source of this call, if the set has one.
    pub(super) fn of(at: &Arrival, policy: &SetPolicy) -> Option<Self> {
        let limits = policy.source_limits;
        (limits.calls_per_second > 0).then(|| Self { source: source(at), limits })
    }

    /// Returns the limit of the emergency calls of this source that pass other limits, wherever they
    /// go.
    pub(super) fn of_emergencies(at: &Arrival) -> Option<Self> {
        let calls_per_second = at.snapshot.policy.emergency.per_source;
        let limits = Limits { calls_per_second, burst: calls_per_second, calls_max: 0 };
        (calls_per_second > 0).then(|| Self { source: source(at), limits })
    }

    /// Takes one call to this destination if the limit allows it.
    pub(super) fn take(self, at: &Arrival, to: Slot) -> Result<(), Over> {
        at.shared.source_rates.take(at.now, self.pair(to), self.limits)
    }

    /// Takes one call to this destination, whatever the limit says.
    pub(super) fn take_anyway(self, at: &Arrival, to: Slot) {
        at.shared.source_rates.take_anyway(at.now, self.pair(to), self.limits);
    }

    /// Returns what [`SourceLimit::take`] would return.
    pub(super) fn look(self, at: &Arrival, to: Slot) -> Result<(), Over> {
        at.shared.source_rates.look(at.now, self.pair(to), self.limits)
    }

    /// Gives back one call to this destination.
    pub(super) fn give_back(self, at: &Arrival, to: Slot) {
        at.shared.source_rates.give_back(self.pair(to), self.limits);
    }

    fn pair(self, to: Slot) -> Pair {
        // The source is a keyed hash, so mixing is enough. Each step can be undone, so no two
        // destinations of a source become one pair.
        let mixed = (self.source ^ u64::from(to.0)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb);
        Pair(mixed ^ mixed >> 29)
    }
}

/// Returns a keyed hash of the address that the datagram came from, without its port. Over IPv6 it is
/// the first 64 bits, because one sender has many addresses of one network.
fn source(at: &Arrival) -> u64 {
    let mut fields = at.shared.keys.caller();
    match at.flow.peer.ip().to_canonical() {
        IpAddr::V4(ip) => fields.fixed(ip.octets()),
        IpAddr::V6(ip) => fields.fixed(((ip.to_bits() >> 64) as u64).to_be_bytes()),
    }
    fields.spread()
}
