//! Where a request goes: the hop to a destination, which is chosen or pinned.

use super::decision::{Hop, Rule};
use super::verdict::Reason;
use super::{Arrival, Flow, Snapshot};
use crate::destination::Slot;
use crate::pin;

/// Where a pin leads.
pub(super) enum Led {
    /// To this hop.
    To(Hop),
    /// Nowhere: we answered the request ourselves.
    Ours,
    /// Nowhere for now.
    Nowhere(Reason),
}

/// Returns the hop to the destination of a pin.
pub(super) fn lead(at: &Arrival, slot: Slot, rule: Rule) -> Led {
    if !pin::is_destination(slot) {
        return Led::Ours;
    }
    match hop_to(at, slot, rule) {
        Ok(hop) => Led::To(hop),
        Err(reason) => Led::Nowhere(reason),
    }
}

/// Returns the hop to a destination: from its own socket, else from the listener that the request
/// came to, else from one that reaches its family.
pub(super) fn hop_to(at: &Arrival, slot: Slot, rule: Rule) -> Result<Hop, Reason> {
    // Workers switch to a new list one after the other: another worker has chosen with the list
    // that this one gets next. An answer would end a call that continues there.
    let destination = at.snapshot.destinations.hop(slot).ok_or(Reason::ListBehind)?;
    let arrival = at.shared.listeners.get(at.flow.listener).local;
    let is_same_family = arrival.is_ipv4() == destination.address.is_ipv4();
    let by_family =
        if is_same_family { Some(at.flow.listener) } else { destination.fallback_listener };
    let listener = destination.listener.or(by_family).ok_or(Reason::NoListener)?;
    let flow = Flow::new(&at.shared.listeners, listener, destination.address);
    Ok(Hop { flow, slot, rule })
}

/// Returns the set of a destination that is inactive, and is not chosen as a last resort either; `None`
/// if it is not. One that an operator has disabled serves the requests that it got before.
pub(super) fn find_lost(snapshot: &Snapshot, slot: Slot) -> Option<u32> {
    let id = snapshot.destinations.set_of(slot)?;
    snapshot.destinations.set(id)?.is_lost(slot).then_some(id)
}
