//! Requests: checks them (RFC 3261 §16.3), classifies them, and finds the next hop.
//!
//! Requests seen before go where they went: copies, CANCEL and the ACK to a non-2xx by the
//! transaction's pin, requests in a dialog as described in [`super::in_dialog`]. New ones get the
//! next destination of their set: see [`super::choice`].

use super::branch::Branch;
use super::decision::{Action, Decision, Incoming, Note, Request, Responder, Rule};
use super::hop::{Led, find_lost, hop_to, lead};
use super::in_dialog::Dialog;
use super::verdict::{Answer, Reason};
use super::{Arrival, Core, ForeignRoute, Sips};
use crate::destination::Set;
use crate::message::{MaxBreadth, Method, StartLine, UriScheme};
use crate::pin::{Kind, Pin, PinKey, State};
use crate::transaction::{Id, Server};

impl Core {
    pub(super) fn decide_request(&mut self, at: &Arrival) -> Decision {
        let set = at.set_for_new();
        let (action, note) = match self.decide_checked(at, set) {
            Ok(decided) => decided,
            Err(answer) => (self.refuse(answer), Note::Nothing),
        };
        Decision { action, note, responder: Responder::Nobody, set }
    }

    fn decide_checked(&mut self, at: &Arrival, set: u32) -> Result<(Action, Note), Answer> {
        self.check(at, set)?;
        if !self.routes.read(&self.message, at.bytes) {
            return Err(Answer::BadRequest);
        }
        let (dialog, restored_uri) = self.take_own_routes(at);
        if matches!(dialog, Dialog::Loop) {
            return Ok((Action::Drop(Reason::SelfLoop), Note::Nothing));
        }
        let branch = self.named_branch(at).ok_or(Answer::BadRequest)?;
        let sender =
            at.snapshot.destinations.by_source(at.flow.peer, at.snapshot.policy.source_match);
        let from_destination = sender.is_some();
        let request = Request { branch, from_destination, restored_uri, is_try: false };
        match (dialog, self.message.method) {
            (Dialog::Forged, Method::Ack) => Ok((Action::Drop(Reason::BadAck), Note::Nothing)),
            (Dialog::Forged, _) => Err(Answer::Forbidden),
            (Dialog::Verified(speaker, token), _) => {
                Ok((self.by_token(at, &request, speaker, &token), Note::Nothing))
            }
            (_, Method::Ack) => Ok(self.ack(at, &request, set)),
            _ if self.message.to_tag.is_some() => {
                let action = self.by_call(at, &request);
                let by_hash = || Some((self.by_hash(at, &request, set)?, Note::Nothing));
                action.or_else(by_hash).ok_or(Answer::NoTransaction)
            }
            (_, Method::Cancel) => self.cancel(at, &request, set),
            _ => {
                let is_listed_sender = sender.is_some_and(|known| known.is_listed);
                self.out_of_dialog(at, &request, set, is_listed_sender)
            }
        }
    }

    /// §16.3: checks that apply to every request.
    fn check(&self, at: &Arrival, set: u32) -> Result<(), Answer> {
        let message = &self.message;
        if matches!(message.start_line, StartLine::OtherVersion { .. }) {
            return Err(Answer::Version);
        }
        if message.fault.is_some() {
            return Err(Answer::BadRequest);
        }
        // We support no extension that a proxy must support. In CANCEL and ACK the field has no
        // meaning (§8.2.2.3).
        if message.has_proxy_require && !matches!(message.method, Method::Cancel | Method::Ack) {
            return Err(Answer::BadExtension);
        }
        if message.method == Method::Options && message.to_tag.is_none() && self.asks_us(at) {
            return Err(answer_to_options(at, set));
        }
        if message.max_forwards.is_some_and(|(_, hops)| hops == Some(0)) {
            return Err(Answer::TooManyHops);
        }
        match message.max_breadth.filter(|_| at.snapshot.policy.max_breadth.is_some()) {
            Some(MaxBreadth::Is(_, 0)) => Err(Answer::BreadthExceeded),
            Some(MaxBreadth::Bad) => Err(Answer::BadRequest),
            _ => Ok(()),
        }
    }

    /// Returns whether the Request-URI is our address without a user: a health check of the relay.
    fn asks_us(&self, at: &Arrival) -> bool {
        let uri = &self.message.uri;
        uri.user.is_none()
            && uri.scheme == UriScheme::Sip
            && at.shared.listeners.is_us(uri.host.of(at.bytes), uri.port_or_default())
    }

    fn ack(&self, at: &Arrival, request: &Request, set: u32) -> (Action, Note) {
        // The ACK to a 2xx goes on to the destination, whatever its branch.
        if let Some((id, Server::Completed | Server::Confirmed)) = self.invite_of(request.branch) {
            return (Action::Advance(id, Incoming::Ack), Note::Nothing);
        }
        let to_tag = self.message.to_tag.unwrap_or_default().of(at.bytes);
        if to_tag.eq_ignore_ascii_case(&request.branch.own_to_tag(&at.shared.keys)) {
            return (Action::Drop(Reason::OwnAck), Note::Nothing);
        }
        if let Some((pin, note)) = find_transaction(at, request) {
            let action = match lead(at, pin.slot, Rule::Transaction) {
                Led::To(hop) => Action::Forward(request.as_sent(pin), hop),
                Led::Ours => Action::Drop(Reason::OwnAck),
                Led::Nowhere(reason) => Action::Drop(reason),
            };
            return (action, note);
        }
        self.by_call(at, request).unwrap_or_else(|| {
            let by_hash = self.by_hash(at, request, set);
            (by_hash.unwrap_or(Action::Drop(Reason::StrayAck)), Note::Nothing)
        })
    }

    /// §16.10: forwards a CANCEL where its INVITE went, which only the pin knows, or a hash.
    fn cancel(&self, at: &Arrival, request: &Request, set: u32) -> Result<(Action, Note), Answer> {
        if let Some((id, _)) = self.invite_of(request.branch) {
            return Ok((Action::Advance(id, Incoming::Cancel), Note::Nothing));
        }
        if let Some((pin, note)) = find_transaction(at, request) {
            let action = match lead(at, pin.slot, Rule::Transaction) {
                Led::To(hop) => Action::Forward(request.as_sent(pin), hop),
                // There is nothing left to cancel (§9.2).
                Led::Ours => Action::Answer(Answer::Ok),
                Led::Nowhere(reason) => Action::Drop(reason),
            };
            return Ok((action, note));
        }
        let action = self.by_request_uri(at, request);
        let action = action.or_else(|| self.by_hash(at, request, set));
        let action = action.ok_or(Answer::NoTransaction)?;
        Ok((action, Note::Nothing))
    }

    fn out_of_dialog(
        &self,
        at: &Arrival,
        request: &Request,
        set: u32,
        is_listed_sender: bool,
    ) -> Result<(Action, Note), Answer> {
        if let Some(id) = self.stateful.transactions.find(request.branch.hash) {
            return Ok((Action::Advance(id, Incoming::Copy), Note::Nothing));
        }
        if let Some((pin, note)) = find_transaction(at, request) {
            let action = if is_lost(at, pin) {
                Action::ChooseAgain(*request, pin.slot)
            } else {
                self.repeat(at, request, pin)
            };
            return Ok((action, note));
        }
        // A media server's own calls are not sent back to it.
        if is_listed_sender {
            return Err(Answer::Forbidden);
        }
        let policy = at.snapshot.set_policy(set);
        if policy.foreign_route == ForeignRoute::Refuse && self.routes.top().is_some() {
            return Err(Answer::Forbidden);
        }
        if self.message.uri.is_sips && policy.sips == Sips::Refuse {
            return Err(Answer::UnsupportedScheme);
        }
        Ok((Action::Choose(*request), Note::Nothing))
    }

    /// Returns the transaction of the INVITE that this ACK or CANCEL belongs to, and its state towards
    /// the caller.
    fn invite_of(&self, branch: Branch) -> Option<(Id, Server)> {
        let id = self.stateful.transactions.find(branch.hash)?;
        let machine = &self.stateful.transactions.get(id).machine;
        machine.is_invite().then_some((id, machine.server()))
    }

    /// Sends a copy where the first one went, or answers it the same way.
    pub(super) fn repeat(&self, at: &Arrival, request: &Request, pin: Pin) -> Action {
        match lead(at, pin.slot, Rule::Transaction) {
            Led::To(hop) => Action::Forward(request.as_sent(pin), hop),
            Led::Ours => self.refuse(Answer::of_pin(pin.slot)),
            Led::Nowhere(reason) => Action::Drop(reason),
        }
    }

    /// A request in a dialog whose Routes prove nothing goes by the call's pin, or else to the
    /// destination that the Request-URI names.
    fn by_call(&self, at: &Arrival, request: &Request) -> Option<(Action, Note)> {
        self.message.to_tag?;
        let key = self.call_key(at, request.from_destination, true);
        let pin = at.shared.pins.find(at.now, key, true).filter(|pin| pin.kind == Kind::Dialog);
        match pin.map(|pin| lead(at, pin.slot, Rule::Call)) {
            Some(Led::To(hop)) => return Some((Action::Forward(*request, hop), Note::Call(key))),
            Some(Led::Nowhere(reason)) => return Some((Action::Drop(reason), Note::Call(key))),
            Some(Led::Ours) | None => {}
        }
        Some((self.by_request_uri(at, request)?, Note::Nothing))
    }

    fn by_request_uri(&self, at: &Arrival, request: &Request) -> Option<Action> {
        let uri = &self.message.uri;
        if uri.scheme != UriScheme::Sip {
            return None;
        }
        let host = uri.host.of(at.bytes);
        let slot = at.snapshot.destinations.by_host(host, uri.port_or_default())?;
        match lead(at, slot, Rule::RequestUri) {
            Led::To(hop) => Some(Action::Forward(*request, hop)),
            Led::Nowhere(reason) => Some(Action::Drop(reason)),
            Led::Ours => None,
        }
    }

    /// A request of which nothing is remembered goes where the set's hash sends it, if the hash is the
    /// same as that of the call's INVITE: for a CANCEL and the ACK to a non-2xx always, because they
    /// repeat its fields (§9.1, §17.1.1.3); for others only if it is over the Call-ID alone. A
    /// callee's request has no destination.
    fn by_hash(&self, at: &Arrival, request: &Request, set: u32) -> Option<Action> {
        if request.from_destination {
            return None;
        }
        let set = at.snapshot.destinations.set(set)?;
        let repeats_invite = matches!(self.message.method, Method::Cancel | Method::Ack);
        if !repeats_invite && !set.key()?.is_same_in_dialog() {
            return None;
        }
        let slot = set.by_key(&self.ask(at, None, set))?;
        let rule = if repeats_invite { Rule::Hash } else { Rule::DialogHash };
        Some(match hop_to(at, slot, rule) {
            Ok(hop) => Action::Forward(*request, hop),
            Err(reason) => Action::Drop(reason),
        })
    }

    /// Returns the key of the pin of this message's call: the sender of its request, Call-ID, the
    /// caller's tag, and for a dialog the tag of the one who answered. Several may answer, each with
    /// a separate dialog. A challenge starts no dialog, and its key has no such tag.
    pub(super) fn call_key(&self, at: &Arrival, from_destination: bool, is_dialog: bool) -> PinKey {
        let callee_tag = if is_dialog { self.dialog.to_tag } else { 0 };
        let mut fields = at.shared.keys.pin();
        fields.fixed([u8::from(from_destination)]);
        fields.fixed(self.dialog.call_id.to_be_bytes());
        fields.fixed(self.dialog.from_tag.to_be_bytes());
        fields.fixed(callee_tag.to_be_bytes());
        PinKey(fields.spread())
    }

    /// Answers; an ACK is never answered (§17.1.1.3).
    pub(super) fn refuse(&self, with: Answer) -> Action {
        if self.message.method == Method::Ack {
            return Action::Drop(Reason::BadAck);
        }
        Action::Answer(with)
    }
}

fn answer_to_options(at: &Arrival, set: u32) -> Answer {
    let has_active = at.snapshot.destinations.set(set).is_some_and(Set::has_active);
    let is_well = has_active && !at.snapshot.draining;
    if is_well || at.snapshot.policy.options_always_ok { Answer::Ok } else { Answer::Unavailable }
}

/// Returns whether a request is to be sent to another destination: it was sent once, has no response,
/// and its destination has become inactive since.
fn is_lost(at: &Arrival, pin: Pin) -> bool {
    if pin.state != State::None || pin.try_number != 0 || at.snapshot.draining {
        return false;
    }
    let lost = find_lost(at.snapshot, pin.slot);
    lost.is_some_and(|set| at.snapshot.set_policy(set).retry)
}

/// Returns the pin of the transaction that this request belongs to.
fn find_transaction(at: &Arrival, request: &Request) -> Option<(Pin, Note)> {
    let key = request.branch.pin_key();
    let pin = at.shared.pins.find(at.now, key, false)?;
    Some((pin, Note::Transaction(key, None)))
}
