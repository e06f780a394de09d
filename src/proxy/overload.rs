//! Overload control (RFC 7339), as its client: our Via offers it to destinations, and their responses say
//! how many requests they want us to keep from them.
//!
//! We do not serve it: what a caller's Via offers is not answered, and passes as any parameter does.

use super::decision::Responder;
use super::{Arrival, Core};
use crate::destination::{Slot, SourceMatch};

/// What our Via has for a destination of a set that uses it (RFC 7339 §5.1).
pub(super) const OFFER: &[u8; 18] = b";oc;oc-algo=\"loss\"";

impl Arrival<'_> {
    /// Returns whether requests to this destination offer overload control.
    pub(super) fn controls_overload(&self, slot: Slot) -> bool {
        let snapshot = self.snapshot;
        snapshot.policy.controls_overload
            && snapshot
                .destinations
                .set_of(slot)
                .is_some_and(|set| snapshot.set_policy(set).controls_overload())
    }
}

impl Core {
    /// Takes the report in our Via, if this is a response with one to a request that offered it. It counts
    /// only from the address that the request went to, and only if our own parameter is still there, which
    /// was verified: others must not be able to turn calls away from a server (§11).
    pub(super) fn take_overload_report(&self, at: &Arrival, responder: Responder) {
        let Responder::Destination { slot, .. } = responder else { return };
        if !at.controls_overload(slot) {
            return;
        }
        let (Some(destination), Some(via)) =
            (at.snapshot.destinations.get(slot), self.message.via.filter(|via| via.own.is_some()))
        else {
            return;
        };
        let (peer, address) = (at.flow.peer, destination.address);
        let is_from_it = match at.snapshot.policy.source_match {
            SourceMatch::AddressAndPort => peer == address,
            SourceMatch::Address => peer.ip() == address.ip(),
        };
        if is_from_it && let Some(report) = via.overload_report(at.bytes) {
            destination.load.overload().report(at.now, &report);
        }
    }
}
