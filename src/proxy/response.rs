//! Responses: forwards them along their next Via if our own Via on top proves that we sent the
//! request (RFC 3261 §16.11, §18.1.2, §18.2.2).

use std::net::SocketAddr;

use super::branch::Branch;
use super::decision::{Action, CallNote, Decision, Incoming, Note, Responder, Rule};
use super::neighbour;
use super::own_via::{age_of_own, verify_own};
use super::probe::Probe;
use super::verdict::Reason;
use super::via_parameter::{Bound, Owner, Purpose, Verified, ViaParameter};
use super::{Arrival, Core, Flow, ListenerId};
use crate::destination::Slot;
use crate::limits;
use crate::message::{Method, Via};
use crate::pin::{self, Kind, NO_SLOT, State};

/// What our own Via said.
pub(super) struct Own {
    branch: Branch,
    from_destination: bool,
    slot: Slot,
    age_ms: Option<u32>,
    arrival: Option<ListenerId>,
    rule: Rule,
    /// The worker that has the transaction, if its parameter says so.
    owner: Option<Owner>,
}

impl Own {
    fn responder(&self, code: u16) -> Responder {
        responder_of(self.slot, code, self.age_ms)
    }
}

impl Core {
    pub(super) fn decide_response(&self, at: &Arrival, code: u16) -> Decision {
        self.route_response(at, code).unwrap_or_else(|reason| self.end_response(at, code, reason))
    }

    fn route_response(&self, at: &Arrival, code: u16) -> Result<Decision, Reason> {
        let (own, address) = self.verify_response(at)?;
        let listeners = &at.shared.listeners;
        let listener = own
            .arrival
            .filter(|id| listeners.get(*id).local.is_ipv4() == address.is_ipv4())
            .or_else(|| listeners.for_family(at.flow.listener, &address));
        let responder = own.responder(code);
        if let Some(id) = self.stateful.transactions.find(own.branch.hash) {
            let flow = listener.map(|listener| Flow::new(listeners, listener, address));
            let incoming = self.incoming_response(&own, code, flow);
            let note = self.note_of_its_try(at, &own, code);
            return Ok(Decision { action: Action::Advance(id, incoming), note, responder, set: 0 });
        }
        // This run of this worker had the transaction, and it has ended (RFC 6026 §8.4).
        if self.is_stateful() && own.owner == Some(self.owner()) {
            return Err(Reason::NoTransaction);
        }
        let note = self.note_of_response(at, &own, code)?;
        // Even a response that no listener can send on is one.
        let action = match listener {
            Some(listener) => Action::Return(Flow::new(listeners, listener, address), own.rule),
            None => Action::Drop(Reason::NoListener),
        };
        Ok(Decision { action, note, responder, set: 0 })
    }

    fn incoming_response(&self, own: &Own, code: u16, flow: Option<Flow>) -> Incoming {
        let number = own.branch.try_number;
        match self.message.cseq_method {
            Method::Cancel => Incoming::CancelAnswered(number),
            _ => Incoming::Response { number, code, flow, rule: own.rule },
        }
    }

    /// Returns the mark of a try that this run of this worker sends.
    pub(super) fn owner(&self) -> Owner {
        Owner { worker: self.number, epoch: self.epoch }
    }

    /// Decides about a response that goes no further, for this reason.
    #[cold]
    fn end_response(&self, at: &Arrival, code: u16, reason: Reason) -> Decision {
        if !matches!(reason, Reason::NoNextVia | Reason::ProbeReply) {
            return Decision::drop(reason);
        }
        match self.verify_probe(at) {
            Ok(Some(probe)) => {
                let Probe { number, age_ms } = probe;
                let responder = match number {
                    Some(number) => Responder::Probe { number, code, age_ms },
                    None => Responder::Nobody,
                };
                Decision { responder, ..Decision::drop(Reason::ProbeReply) }
            }
            Ok(None) => self.lone(at, code).unwrap_or(Decision::drop(reason)),
            Err(reason) => Decision::drop(reason),
        }
    }

    /// Returns whether we sent the request, and where the response goes next.
    pub(super) fn verify_response(&self, at: &Arrival) -> Result<(Own, SocketAddr), Reason> {
        let via = self.our_via(at)?;
        let next = self
            .message
            .next_via(at.bytes)
            .ok_or(Reason::NoNextVia)?
            .map_err(|_| Reason::BadNextVia)?;
        let address = neighbour::next_via_address(&next, at.bytes).ok_or(Reason::BadNextVia)?;
        if !neighbour::may_send_to(address, &at.shared.listeners) {
            return Err(Reason::BadNextVia);
        }
        let branch = self.named_branch(at).ok_or(Reason::ForgedVia)?;
        let own = match verify_own(at, &via, branch)? {
            Some(verified) if verified.is_probe() => return Err(Reason::ProbeReply),
            Some(verified) => self.own_via(at, branch, &verified, address)?,
            None => self.own_via_without_parameter(at, branch, &next, address)?,
        };
        Ok((own, address))
    }

    /// Returns the top Via if it has one of our names.
    pub(super) fn our_via(&self, at: &Arrival) -> Result<Via, Reason> {
        if self.message.fault.is_some() {
            return Err(Reason::MalformedResponse);
        }
        let via = self.message.via.ok_or(Reason::MalformedResponse)?;
        let (host, port) = (via.host.of(at.bytes), via.port_or_default());
        if !at.shared.listeners.is_us_at(at.flow.listener, host, port) {
            return Err(Reason::ForeignVia);
        }
        Ok(via)
    }

    /// Verifies our Via against the address that the response would go to.
    fn own_via(
        &self,
        at: &Arrival,
        branch: Branch,
        verified: &Verified,
        address: SocketAddr,
    ) -> Result<Own, Reason> {
        let dialog = self.dialog_under(at, verified.key_id()).ok_or(Reason::ForgedVia)?;
        if !verified.is_bound_to(&Bound { response_address: address, dialog: &dialog }) {
            return Err(Reason::ForgedVia);
        }
        let parameter = &verified.parameter;
        let (slot, age_ms) = sent_to(at, parameter);
        let (arrival, owner) = match parameter.purpose {
            Purpose::Relayed(arrival) => (Some(arrival), None),
            Purpose::Try(arrival, owner) => (Some(arrival), age_ms.and(Some(owner))),
            Purpose::Probe(_) => (None, None),
        };
        Ok(Own {
            branch,
            from_destination: parameter.from_destination,
            slot,
            age_ms,
            arrival: arrival.and_then(|arrival| at.shared.listeners.by_hash(arrival)),
            rule: Rule::Via,
            owner,
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
        let slot = slot_of_source(at);
        let keys = &at.shared.keys;
        let expected = Branch::of_response(keys, &self.message, &self.dialog, next, at.bytes);
        let is_proven = at.snapshot.policy.allows(&address)
            && pin::is_destination(slot)
            && expected.is_some_and(|expected| expected.hash == branch.hash);
        if !is_proven {
            return Err(Reason::ForgedVia);
        }
        let rule = Rule::Branch;
        Ok(Own {
            branch,
            from_destination: false,
            slot,
            age_ms: None,
            arrival: None,
            rule,
            owner: None,
        })
    }

    /// The response to a CANCEL of ours has only our Via. Some servers leave out the others in a 100, too:
    /// it cannot be forwarded, but the own tag of our Via proves that the request was answered.
    fn lone(&self, at: &Arrival, code: u16) -> Option<Decision> {
        let is_cancel = self.message.cseq_method == Method::Cancel;
        if code != 100 && !is_cancel {
            return None;
        }
        let via = self.our_via(at).ok()?;
        let branch = self.named_branch(at)?;
        let verified = verify_own(at, &via, branch).ok()??;
        let number = branch.try_number;
        let id = self.stateful.transactions.find(branch.hash);
        if is_cancel {
            let action = Action::Advance(id?, Incoming::CancelAnswered(number));
            return Some(Decision { action, ..Decision::drop(Reason::Absorbed) });
        }
        let (slot, age_ms) = sent_to(at, &verified.parameter);
        let responder = responder_of(slot, code, age_ms);
        let note = Note::Transaction(branch.pin_key(), Some(State::Trying));
        if let Some(id) = id {
            let incoming = Incoming::Response { number, code, flow: None, rule: Rule::Via };
            let action = Action::Advance(id, incoming);
            return Some(Decision { action, note, responder, set: 0 });
        }
        Some(Decision { note, responder, ..Decision::drop(Reason::LoneTrying) })
    }

    /// Returns what the response means for later messages.
    fn note_of_response(&self, at: &Arrival, own: &Own, code: u16) -> Result<Note, Reason> {
        let key = own.branch.pin_key();
        let method = self.message.cseq_method;
        // From another try only a 2xx to INVITE still matters: somebody answered the call. The first
        // try's provisional responses do no harm, and there are many of them.
        let is_answered_call = method == Method::Invite && (200..300).contains(&code);
        let may_be_other = code >= 200 || own.branch.try_number != 0;
        if may_be_other && !is_answered_call && method != Method::Cancel {
            let current = at.shared.pins.find(at.now, key, false).map(|pin| pin.try_number);
            if current.is_some_and(|number| number != own.branch.try_number) {
                return Err(Reason::OtherTry);
            }
        }
        Ok(self.note_of_its_try(at, own, code))
    }

    /// Returns the same if the response is of the try that its transaction is at.
    fn note_of_its_try(&self, at: &Arrival, own: &Own, code: u16) -> Note {
        let key = own.branch.pin_key();
        // The response to a CANCEL says nothing about the INVITE, which has the same branch.
        let state = match (self.message.cseq_method, code) {
            (Method::Cancel, _) => None,
            (Method::Invite, 101..=199) => Some(State::Ringing),
            (_, 100..=199) => Some(State::Trying),
            _ => Some(State::Final),
        };
        match self.note_of_call(at, own, code) {
            Some(call) => Note::Response { transaction: key, state, call },
            None => Note::Transaction(key, state),
        }
    }

    fn note_of_call(&self, at: &Arrival, own: &Own, code: u16) -> Option<CallNote> {
        let begins_dialog =
            matches!(self.message.cseq_method, Method::Invite | Method::Subscribe | Method::Refer);
        let kind = match code {
            101..=299 if begins_dialog => Kind::Dialog,
            401 | 407 => Kind::Challenge,
            _ => return None,
        };
        // Even if this worker's list does not have the destination yet.
        if !pin::is_destination(own.slot) || self.message.from_tag.is_none() {
            return None;
        }
        let key = self.call_key(at, own.from_destination, kind == Kind::Dialog);
        Some(CallNote { key, kind, slot: own.slot, cseq_bits: self.message.cseq_number as u8 })
    }
}

/// Returns the destination that our message with this parameter went to, and how many milliseconds
/// ago if it was this process that sent it. The destination is known by its address otherwise.
fn sent_to(at: &Arrival, parameter: &ViaParameter) -> (Slot, Option<u32>) {
    // This long after it was sent, its slot may have been given to another destination.
    match age_of_own(at, parameter) {
        Some(age_ms) if u64::from(age_ms) < limits::SLOT_QUARANTINE_MS => {
            (parameter.slot, Some(age_ms))
        }
        _ => (slot_of_source(at), None),
    }
}

fn responder_of(slot: Slot, code: u16, age_ms: Option<u32>) -> Responder {
    if pin::is_destination(slot) {
        Responder::Destination { slot, code, age_ms }
    } else {
        Responder::Nobody
    }
}

fn slot_of_source(at: &Arrival) -> Slot {
    let known = at.snapshot.destinations.by_source(at.flow.peer, at.snapshot.policy.source_match);
    known.map_or(NO_SLOT, |known| known.slot)
}
