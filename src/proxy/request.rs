//! Requests: checks them (RFC 3261 §16.3), classifies them, and finds the next hop.
//!
//! Requests seen before go where they went: copies, CANCEL and the ACK to a non-2xx by the
//! transaction's pin, requests in a dialog as described in [`super::in_dialog`]. New ones get the
//! next destination of the set.

use super::answer::answer;
use super::branch::Branch;
use super::forward::Hop;
use super::in_dialog::Dialog;
use super::neighbour;
use super::verdict::{Answer, Forwarded, Reason, Verdict};
use super::{Arrival, Core, ForeignRoute, Outbox, Sips};
use crate::destination::{Known, Slot};
use crate::hex;
use crate::keys::Keys;
use crate::message::{MaxBreadth, Method, Span, StartLine, UriScheme};
use crate::pin::{self, Claim, Claimed, Kind, Pin, PinKey, State};

/// A request that passed the checks, and what is known of it.
pub(super) struct Request {
    pub(super) branch: Branch,
    pub(super) method: Method,
    /// The destination that sent it, if one did.
    pub(super) sender: Option<Known>,
    /// What our own Routes said.
    pub(super) dialog: Dialog,
}

impl Core {
    pub(super) fn request(&mut self, at: &Arrival, outbox: &mut Outbox) -> Verdict {
        if let Some(refusal) = self.check() {
            return self.refuse(at, outbox, refusal);
        }
        let is_in_dialog = self.message.to_tag.is_some();
        if self.message.method == Method::Options && !is_in_dialog && self.asks_us(at) {
            return self.answer_options(at, outbox);
        }
        if self.message.max_forwards.is_some_and(|(_, hops)| hops == Some(0)) {
            return self.refuse(at, outbox, Answer::TooManyHops);
        }
        if at.snapshot.policy.max_breadth.is_some() {
            match self.message.max_breadth {
                Some(MaxBreadth::Is(_, 0)) => {
                    return self.refuse(at, outbox, Answer::BreadthExceeded);
                }
                Some(MaxBreadth::Bad) => return self.refuse(at, outbox, Answer::BadRequest),
                _ => {}
            }
        }
        if !self.routes.read(&self.message, at.bytes) {
            return self.refuse(at, outbox, Answer::BadRequest);
        }
        let dialog = self.take_own_routes(at);
        if matches!(dialog, Dialog::Loop) {
            return Verdict::Dropped(Reason::SelfLoop);
        }
        let Some(branch) = Branch::of_request(&at.shared.keys, &self.message, at.bytes) else {
            return self.refuse(at, outbox, Answer::BadRequest);
        };
        let policy = &at.snapshot.policy;
        let sender = at.snapshot.destinations.by_source(at.flow.peer, policy.source_match);
        let request = Request { branch, method: self.message.method, sender, dialog };
        if request.method == Method::Ack {
            return self.ack(at, outbox, &request);
        }
        match request.dialog {
            Dialog::Forged => self.refuse(at, outbox, Answer::Forbidden),
            Dialog::Verified(speaker, token) => {
                self.forward_by_token(at, outbox, &request, speaker, token)
            }
            _ if is_in_dialog => self.in_dialog(at, outbox, &request),
            _ if request.method == Method::Cancel => self.cancel(at, outbox, &request),
            _ => self.out_of_dialog(at, outbox, &request),
        }
    }

    /// §16.3 items 1, 2 and 5: checks that apply to every request.
    fn check(&self) -> Option<Answer> {
        if matches!(self.message.start_line, StartLine::OtherVersion { .. }) {
            return Some(Answer::Version);
        }
        if self.message.fault.is_some() {
            return Some(Answer::BadRequest);
        }
        // We support no extension that a proxy must support. In CANCEL and ACK the field has no
        // meaning (§8.2.2.3).
        let may_require = !matches!(self.message.method, Method::Cancel | Method::Ack);
        (self.message.has_proxy_require && may_require).then_some(Answer::BadExtension)
    }

    /// Returns whether the Request-URI is our address without a user: a health check of the relay.
    fn asks_us(&self, at: &Arrival) -> bool {
        let uri = &self.message.uri;
        uri.user.is_none()
            && uri.scheme == UriScheme::Sip
            && at.shared.listeners.is_us(uri.host.of(at.bytes), uri.port_or_default())
    }

    fn answer_options(&mut self, at: &Arrival, outbox: &mut Outbox) -> Verdict {
        let policy = &at.snapshot.policy;
        let has_active = at
            .snapshot
            .destinations
            .set(policy.set)
            .is_some_and(crate::destination::Set::has_active);
        let is_well = (has_active && !at.snapshot.draining) || policy.options_always_ok;
        self.refuse(at, outbox, if is_well { Answer::Ok } else { Answer::Unavailable })
    }

    /// §17.1.1.3: an ACK is never answered.
    fn ack(&mut self, at: &Arrival, outbox: &mut Outbox, request: &Request) -> Verdict {
        match request.dialog {
            Dialog::Verified(speaker, token) => {
                return self.forward_by_token(at, outbox, request, speaker, token);
            }
            Dialog::Forged => return Verdict::Dropped(Reason::BadAck),
            _ => {}
        }
        let to_tag = self.message.to_tag.unwrap_or_default().of(at.bytes);
        if to_tag.eq_ignore_ascii_case(&own_to_tag(&at.shared.keys, request.branch)) {
            return Verdict::Dropped(Reason::OwnAck);
        }
        if let Some(pin) = find_and_renew(at, request) {
            let forwarded = self.forward_to(at, outbox, request, pin.slot, Forwarded::Pinned);
            return forwarded.unwrap_or(Verdict::Dropped(Reason::OwnAck));
        }
        self.forward_by_call(at, outbox, request).unwrap_or(Verdict::Dropped(Reason::StrayAck))
    }

    /// Handles a request in a dialog whose Routes prove nothing.
    fn in_dialog(&mut self, at: &Arrival, outbox: &mut Outbox, request: &Request) -> Verdict {
        match self.forward_by_call(at, outbox, request) {
            Some(verdict) => verdict,
            None => self.refuse(at, outbox, Answer::NoTransaction),
        }
    }

    /// §16.10: forwards a CANCEL where its INVITE went, which only the pin knows.
    fn cancel(&mut self, at: &Arrival, outbox: &mut Outbox, request: &Request) -> Verdict {
        if let Some(pin) = find_and_renew(at, request) {
            return match self.forward_to(at, outbox, request, pin.slot, Forwarded::Pinned) {
                Some(verdict) => verdict,
                // We answered the INVITE, so there is nothing left to cancel (§9.2).
                None => self.refuse(at, outbox, Answer::Ok),
            };
        }
        let named = self.destination_in_request_uri(at);
        match named
            .and_then(|slot| self.forward_to(at, outbox, request, slot, Forwarded::RequestUri))
        {
            Some(verdict) => verdict,
            None => self.refuse(at, outbox, Answer::NoTransaction),
        }
    }

    fn out_of_dialog(&mut self, at: &Arrival, outbox: &mut Outbox, request: &Request) -> Verdict {
        let kind = if request.method == Method::Invite { Kind::Invite } else { Kind::Request };
        let shared = at.shared;
        match shared.pins.claim(at.now, request.branch.pin_key(), kind, self.number) {
            Claim::Found(pin) => {
                shared.pins.renew(at.now, request.branch.pin_key(), false, None);
                self.repeat(at, outbox, request, pin)
            }
            Claim::Contended => Verdict::Dropped(Reason::PinContended),
            Claim::Claimed(claimed) => self.first_seen(at, outbox, request, claimed),
        }
    }

    /// Sends a copy where the first one went, or answers it the same way.
    fn repeat(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
        pin: Pin,
    ) -> Verdict {
        if let Some(verdict) = self.forward_to(at, outbox, request, pin.slot, Forwarded::Pinned) {
            return verdict;
        }
        let answer = if pin.slot == pin::ANSWERED_NO_DESTINATION {
            Answer::NoDestination
        } else {
            Answer::Unavailable
        };
        self.refuse(at, outbox, answer)
    }

    /// The only place where a destination is chosen.
    fn first_seen(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
        claimed: Claimed,
    ) -> Verdict {
        // A media server's own calls are not sent back to it.
        if request.sender.is_some_and(|known| known.is_listed) {
            return self.refuse(at, outbox, Answer::Forbidden);
        }
        let set = at.snapshot.policy.set;
        if at.snapshot.set_policy(set).foreign_route == ForeignRoute::Refuse
            && self.routes.top().is_some()
        {
            return self.refuse(at, outbox, Answer::Forbidden);
        }
        if self.message.uri.is_sips && at.snapshot.set_policy(set).sips == Sips::Refuse {
            return self.refuse(at, outbox, Answer::UnsupportedScheme);
        }
        let is_invite = request.method == Method::Invite;
        // An INVITE that we answer is pinned, too, so that copies get the same answer and its ACK
        // and CANCEL end here. For any other request the way is freed.
        if at.snapshot.draining {
            if is_invite {
                claimed.commit(pin::ANSWERED_UNAVAILABLE, State::Final);
            }
            return self.refuse(at, outbox, Answer::Unavailable);
        }
        let Some(slot) = self
            .challenged_before(at, request, set)
            .or_else(|| at.snapshot.destinations.set(set).and_then(|set| set.choose(is_invite)))
        else {
            if is_invite {
                claimed.commit(pin::ANSWERED_NO_DESTINATION, State::Final);
            }
            return self.refuse(at, outbox, Answer::NoDestination);
        };
        claimed.commit(slot, State::None);
        self.chosen = Some(slot);
        self.forward_to(at, outbox, request, slot, Forwarded::Chosen)
            .expect("the slot was chosen from this very table")
    }

    /// Returns the destination that challenged this caller before: only it knows the nonce. Only a
    /// request with credentials answers a challenge.
    fn challenged_before(&self, at: &Arrival, request: &Request, set: u32) -> Option<Slot> {
        if !self.message.has_credentials {
            return None;
        }
        let key = self.call_key(at, request.sender.is_some(), None)?;
        let slot = at.shared.pins.take_challenge(at.now, key, self.message.cseq_number as u8)?;
        let set = at.snapshot.destinations.set(set)?;
        set.is_active(slot).then_some(slot)
    }

    /// Without a verifying token: forwards by the call's pin, or else to the destination that the
    /// Request-URI names.
    fn forward_by_call(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
    ) -> Option<Verdict> {
        let to_tag = self.message.to_tag?;
        let pinned = self.call_key(at, request.sender.is_some(), Some(to_tag)).and_then(|key| {
            let pin =
                at.shared.pins.find(at.now, key, true).filter(|pin| pin.kind == Kind::Dialog)?;
            at.shared.pins.renew(at.now, key, true, None);
            Some(pin.slot)
        });
        if let Some(verdict) =
            pinned.and_then(|slot| self.forward_to(at, outbox, request, slot, Forwarded::CallPin))
        {
            return Some(verdict);
        }
        let named = self.destination_in_request_uri(at)?;
        self.forward_to(at, outbox, request, named, Forwarded::RequestUri)
    }

    fn destination_in_request_uri(&self, at: &Arrival) -> Option<Slot> {
        let uri = &self.message.uri;
        if uri.scheme != UriScheme::Sip {
            return None;
        }
        at.snapshot.destinations.by_host(uri.host.of(at.bytes), uri.port_or_default())
    }

    /// Returns the key of the call's pin, as seen from the sender of this request.
    fn call_key(
        &self,
        at: &Arrival,
        from_destination: bool,
        callee_tag: Option<Span>,
    ) -> Option<PinKey> {
        let call_id = self.message.call_id?.of(at.bytes);
        let from_tag = self.message.from_tag?.of(at.bytes);
        let callee_tag = callee_tag.unwrap_or_default().of(at.bytes);
        Some(call_key(&at.shared.keys, from_destination, call_id, from_tag, callee_tag))
    }

    /// Forwards to a destination: from its own socket, else from the listener that the request came
    /// to, else from one that reaches its family. `None` if the slot is reserved.
    fn forward_to(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
        slot: Slot,
        how: Forwarded,
    ) -> Option<Verdict> {
        let Some(destination) = at.snapshot.destinations.get(slot) else {
            // Workers switch to a new list one after the other: another worker has chosen with the
            // list that this one gets next. An answer would end a call that continues there.
            return pin::is_destination(slot).then_some(Verdict::Dropped(Reason::ListBehind));
        };
        let arrival = at.shared.listeners.get(at.flow.listener).local;
        let is_same_family = arrival.is_ipv4() == destination.address.is_ipv4();
        let by_family =
            if is_same_family { Some(at.flow.listener) } else { destination.fallback_listener };
        let Some(listener) = destination.listener.or(by_family) else {
            return Some(Verdict::Dropped(Reason::NoListener));
        };
        let hop = Hop { address: destination.address, listener, slot, how };
        Some(self.forward(at, outbox, request, hop))
    }

    /// Sends our own response; nothing at all to an ACK.
    pub(super) fn refuse(&mut self, at: &Arrival, outbox: &mut Outbox, with: Answer) -> Verdict {
        if self.message.method == Method::Ack {
            return Verdict::Dropped(Reason::BadAck);
        }
        self.edits.clear();
        answer(self, at, outbox, with)
    }

    pub(super) fn response_address(&self, at: &Arrival) -> Option<std::net::SocketAddr> {
        let via = self.message.via?;
        Some(neighbour::response_address(at.flow.peer, &via, at.force_rport()))
    }
}

/// Returns the pin of the request that this CANCEL or ACK belongs to, and renews it.
fn find_and_renew(at: &Arrival, request: &Request) -> Option<Pin> {
    let key = request.branch.pin_key();
    let pin = at.shared.pins.find(at.now, key, false)?;
    at.shared.pins.renew(at.now, key, false, None);
    Some(pin)
}

/// Returns the To tag of our own responses, which the ACK repeats: no table is needed.
pub(super) fn own_to_tag(keys: &Keys, branch: Branch) -> [u8; 16] {
    let mut fields = keys.to_tag();
    fields.fixed(&branch.hash.to_be_bytes());
    let mut tag = [0; 16];
    hex::encode(&fields.tag().to_be_bytes(), &mut tag);
    tag
}

/// Returns the key of a call's pin: the sender, Call-ID, the caller's tag, and the tag of the one
/// who answered. Several may answer, each with a separate dialog. A challenge starts no dialog, and
/// its key has no such tag.
pub(super) fn call_key(
    keys: &Keys,
    from_destination: bool,
    call_id: &[u8],
    caller_tag: &[u8],
    callee_tag: &[u8],
) -> PinKey {
    let mut fields = keys.pin();
    fields.fixed(&[u8::from(from_destination)]);
    fields.field(call_id);
    fields.lower(caller_tag);
    fields.lower(callee_tag);
    PinKey(fields.spread())
}
