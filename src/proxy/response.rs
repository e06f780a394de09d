//! Responses: forwards them along their next Via if our own Via on top proves that we sent the
//! request (RFC 3261 §16.11, §18.1.2, §18.2.2).

use std::net::SocketAddr;

use super::branch::Branch;
use super::neighbour;
use super::request::call_key;
use super::verdict::{Forwarded, Reason, Verdict};
use super::via_parameter::{Bound, ViaParameter};
use super::{Arrival, Core, Flow, ListenerId, Outbox};
use crate::destination::Slot;
use crate::limits;
use crate::listener::SentByKey;
use crate::message::{Method, Span, Via};
use crate::pin::{self, Kind, NO_SLOT, State};

/// What our own Via said.
pub(super) struct Own {
    branch: Branch,
    from_destination: bool,
    slot: Slot,
    arrival: Option<ListenerId>,
    how: Forwarded,
}

impl Core {
    pub(super) fn response(&mut self, at: &Arrival, code: u16, outbox: &mut Outbox) -> Verdict {
        match self.route_response(at, code) {
            Ok((flow, how)) => {
                if self.post(outbox, flow) {
                    Verdict::Forwarded(how)
                } else {
                    outbox.clear();
                    Verdict::Dropped(Reason::TooLarge)
                }
            }
            Err(reason) => Verdict::Dropped(reason),
        }
    }

    fn route_response(&mut self, at: &Arrival, code: u16) -> Result<(Flow, Forwarded), Reason> {
        let (own, address) = self.verify_response(at)?;
        self.note(at, &own, code)?;

        let top = self.message.top_via_whole(at.bytes).ok_or(Reason::MalformedResponse)?;
        self.edits.remove(top);
        let listeners = &at.shared.listeners;
        let listener = own
            .arrival
            .filter(|id| listeners.get(*id).local.is_ipv4() == address.is_ipv4())
            .or_else(|| listeners.for_family(at.flow.listener, &address))
            .ok_or(Reason::NoListener)?;
        Ok((Flow::udp(listener, address), own.how))
    }

    /// Returns whether we sent the request, and where the response goes next.
    pub(super) fn verify_response(&self, at: &Arrival) -> Result<(Own, SocketAddr), Reason> {
        if self.message.fault.is_some() {
            return Err(Reason::MalformedResponse);
        }
        let via = self.message.via.ok_or(Reason::MalformedResponse)?;
        if !at.shared.listeners.is_us(via.host.of(at.bytes), via.port_or_default()) {
            return Err(Reason::ForeignVia);
        }
        let next = self
            .message
            .next_via(at.bytes)
            .ok_or(Reason::NoNextVia)?
            .map_err(|_| Reason::BadNextVia)?;
        let address = neighbour::next_via_address(&next, at.bytes).ok_or(Reason::BadNextVia)?;
        if !neighbour::may_send_to(address, &at.shared.listeners) {
            return Err(Reason::BadNextVia);
        }
        let own = self.own_via(at, &via, &next, address)?;
        Ok((own, address))
    }

    /// Verifies our Via against the address that the response would go to.
    fn own_via(
        &self,
        at: &Arrival,
        via: &Via,
        next: &Via,
        address: SocketAddr,
    ) -> Result<Own, Reason> {
        let Some(branch) = via.branch.and_then(|span| Branch::read(span.of(at.bytes))) else {
            return Err(Reason::ForgedVia);
        };
        let Some(value) = via.own else {
            return self.own_via_without_parameter(at, branch, next, address);
        };
        let sent_by = SentByKey::new(via.host.of(at.bytes), via.port_or_default())
            .ok_or(Reason::ForeignVia)?;
        let of = |span: Option<Span>| span.unwrap_or_default().of(at.bytes);
        let bound = Bound {
            branch,
            sent_by: sent_by.as_bytes(),
            response_address: address,
            call_id: of(self.message.call_id),
            from_tag: of(self.message.from_tag),
        };
        let parameter = ViaParameter::verify(value.of(at.bytes), &at.shared.keys, &bound)
            .ok_or(Reason::ForgedVia)?;
        // This long after it was sent, its slot may have been given to another destination.
        let age_ms = (at.now.ms() as u32).wrapping_sub(parameter.sent_ms);
        let is_ours = parameter.incarnation == at.shared.incarnation
            && u64::from(age_ms) < limits::SLOT_QUARANTINE_MS;
        let slot = if is_ours { parameter.slot } else { Self::slot_of_source(at) };
        Ok(Own {
            branch,
            from_destination: parameter.from_destination,
            slot,
            arrival: at.shared.listeners.by_hash(parameter.arrival),
            how: Forwarded::Response,
        })
    }

    /// Handles a server that drops Via parameters: the branch, computed again, is proof enough if
    /// it comes from a destination. It does not prove the address in the next Via, so that must at
    /// least be one that requests may come from.
    fn own_via_without_parameter(
        &self,
        at: &Arrival,
        branch: Branch,
        next: &Via,
        address: SocketAddr,
    ) -> Result<Own, Reason> {
        if !at.snapshot.policy.allows(&address) {
            return Err(Reason::ForgedVia);
        }
        let known =
            at.snapshot.destinations.by_source(at.flow.peer, at.snapshot.policy.source_match);
        let expected = Branch::of_response(&at.shared.keys, &self.message, next, at.bytes);
        match known {
            Some(known) if expected.is_some_and(|expected| expected.hash == branch.hash) => {
                Ok(Own {
                    branch,
                    from_destination: false,
                    slot: known.slot,
                    arrival: None,
                    how: Forwarded::ViaParameterLost,
                })
            }
            _ => Err(Reason::ForgedVia),
        }
    }

    fn slot_of_source(at: &Arrival) -> Slot {
        let known =
            at.snapshot.destinations.by_source(at.flow.peer, at.snapshot.policy.source_match);
        known.map_or(NO_SLOT, |known| known.slot)
    }

    /// Records in the pins what the response means for later messages.
    fn note(&self, at: &Arrival, own: &Own, code: u16) -> Result<(), Reason> {
        let pins = &at.shared.pins;
        let key = own.branch.pin_key();
        let method = self.message.cseq_method;
        if own.branch.try_number != 0 {
            // From another try only a 2xx to INVITE still matters: somebody answered the call.
            let current = pins.find(at.now, key, false).map(|pin| pin.try_number);
            let is_current = current.is_none_or(|number| number == own.branch.try_number);
            let is_answered_call = method == Method::Invite && (200..300).contains(&code);
            if !(is_current || is_answered_call) {
                return Err(Reason::OtherTry);
            }
        }
        // The response to a CANCEL says nothing about the INVITE, which has the same branch.
        let state = match (method, code) {
            (Method::Cancel, _) => None,
            (Method::Invite, 101..=199) => Some(State::Ringing),
            (_, 100..=199) => Some(State::Trying),
            _ => Some(State::Final),
        };
        pins.renew(at.now, key, false, state);
        // Even if this worker's list does not have the destination yet.
        if pin::is_destination(own.slot) {
            self.note_call(at, own, code);
        }
        Ok(())
    }

    fn note_call(&self, at: &Arrival, own: &Own, code: u16) {
        let begins_dialog =
            matches!(self.message.cseq_method, Method::Invite | Method::Subscribe | Method::Refer);
        let kind = match code {
            101..=299 if begins_dialog => Kind::Dialog,
            401 | 407 => Kind::Challenge,
            _ => return,
        };
        let (Some(call_id), Some(from_tag)) = (self.message.call_id, self.message.from_tag) else {
            return;
        };
        let callee_tag = self.message.to_tag.filter(|_| kind == Kind::Dialog);
        let key = call_key(
            &at.shared.keys,
            own.from_destination,
            call_id.of(at.bytes),
            from_tag.of(at.bytes),
            callee_tag.unwrap_or_default().of(at.bytes),
        );
        let cseq_bits = self.message.cseq_number as u8;
        at.shared.pins.set_call(at.now, key, kind, own.slot, cseq_bits, self.number);
    }
}
