//! Explains what a relay would do with a message, and by which rule, without doing it.
//!
//! The core itself decides, as for any datagram, and does not know that nothing will be sent: it
//! works on copies. [`Explainer`] has its own pin table with copies of the few pins that the
//! message names, and a copy of the snapshot with its own turns. The rule is derived from the
//! verdict and from what the core changed in the copies.

use std::net::SocketAddr;
use std::sync::Arc;

use super::branch::Branch;
use super::in_dialog::Dialog;
use super::neighbour;
use super::request::call_key;
use super::{
    Arrival, Core, Flow, Forwarded, ListenerId, Outbox, Proxy, Shared, Snapshot, StartLine, Verdict,
};
use crate::clock::Now;
use crate::destination::{Known, Slot};
use crate::message::{Fault, Message, Method};
use crate::pin::{self, Kind, Pin, PinKey, PinMemory, PinTable, State};

pub use crate::dialog::{Speaker, Token};

/// Explains messages. It can be used repeatedly.
#[derive(Debug)]
pub struct Explainer {
    proxy: Proxy,
    outbox: Outbox,
}

/// What the relay would do with one message, and why.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The core's verdict.
    pub verdict: Verdict,
    /// How its next hop is found.
    pub rule: Rule,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// The set that new requests are dispatched to.
    pub set: u32,
    /// The destination that sent it, by its source address.
    pub sender: Option<Known>,
    /// What our own Routes in a request say.
    pub route: OwnRoute,
    /// What is remembered of its transaction.
    pub transaction: Option<Remembered>,
    /// What is remembered of its call.
    pub call: Option<Remembered>,
    /// The destination that it goes to or, for a response, came from.
    pub destination: Option<Slot>,
    /// The destinations that can be chosen, starting with the one whose turn is next.
    pub round: Vec<Slot>,
    /// The message that would be sent.
    pub leaves: Option<Leaves>,
}

/// How a message finds its next hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// It is new: the algorithm's next turn.
    Turn,
    /// It answers a challenge, so it goes to the destination that challenged.
    Challenge,
    /// Its transaction is remembered.
    Transaction,
    /// Its call is remembered.
    Call,
    /// The token in its Route names it.
    Token,
    /// Its Request-URI names a destination.
    RequestUri,
    /// A response: our own Via names it.
    Via,
    /// A response whose server dropped our Via parameter: the branch proves it.
    Branch,
    /// It has no next hop: it is answered or dropped.
    Nowhere,
}

/// What our own Routes in a request say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnRoute {
    /// Nothing: there is none, or none with a token of ours.
    Nothing,
    /// A token that verifies, and who sends the request.
    Verified(Speaker, Token),
    /// A token that does not verify.
    Forged,
    /// They lead through us too often.
    Loop,
}

/// A pin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// Where it leads.
    pub to: Leads,
    /// It is for a challenge, not for a call or transaction.
    pub is_challenge: bool,
    /// The state of a transaction.
    pub state: State,
}

/// Where a pin leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leads {
    /// To a destination.
    To(Slot),
    /// We answered that there is no destination.
    NoDestination,
    /// We answered 503.
    Unavailable,
}

/// A message that would be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaves {
    /// The listener that sends it, and the address it goes to.
    pub flow: Flow,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Pins in the table of copies: one message names five at most, and adds two.
const PINS: usize = 64;

impl Explainer {
    /// Creates one for the relay whose cores share this.
    pub fn new(shared: &Shared) -> Self {
        let pins = PinTable::new(PinMemory::on_heap(PINS));
        let listeners = shared.listeners.clone();
        let copy = Shared::new(listeners, shared.keys.clone(), pins, shared.incarnation);
        Self { proxy: Proxy::new(Arc::new(copy)), outbox: Outbox::new() }
    }

    /// Returns what a core of this relay would do with this datagram now. Changes nothing that is
    /// shared.
    pub fn explain(
        &mut self,
        now: Now,
        shared: &Shared,
        snapshot: &Snapshot,
        flow: Flow,
        bytes: &[u8],
    ) -> Explained {
        let snapshot = &snapshot.detached();
        let at = &Arrival { now, shared, snapshot, flow, bytes };
        // No datagram is longer; the core itself says what becomes of one that is.
        let message = Message::read(&bytes[..bytes.len().min(usize::from(u16::MAX))]);
        let names = Names::of(at, &message);
        shared.pins.copy(now, &names.keys(), &self.proxy.shared.pins);
        let transaction = names.transaction.and_then(|key| recall(at, key, false));
        let call = names.call(at).and_then(|key| recall(at, key, true));
        let route = own_route(at, &message);
        let set = snapshot.policy.set;
        let is_invite = message.method == Method::Invite;
        let chooses_from = snapshot.destinations.set(set);
        let round = chooses_from.map(|set| set.round(is_invite)).unwrap_or_default();
        let turns = chooses_from.map(|set| set.turns_taken(is_invite));

        let verdict = self.proxy.datagram(now, snapshot, flow, bytes, &mut self.outbox);

        let has_taken_turn = chooses_from.map(|set| set.turns_taken(is_invite)) != turns;
        let entry = self.outbox.entries().first();
        let leaves =
            entry.map(|entry| Leaves { flow: entry.flow, bytes: self.outbox.to_vec(entry, bytes) });
        let sender = snapshot.destinations.by_source(flow.peer, snapshot.policy.source_match);
        let rule = rule(verdict, has_taken_turn);
        let pinned = |pin: Option<Remembered>| match pin?.to {
            Leads::To(slot) => Some(slot),
            Leads::NoDestination | Leads::Unavailable => None,
        };
        let destination = match rule {
            Rule::Turn | Rule::Challenge => self.proxy.core.chosen,
            Rule::Transaction => pinned(transaction),
            Rule::Call => pinned(call),
            Rule::Token | Rule::RequestUri => leaves
                .as_ref()
                .and_then(|leaves| snapshot.destinations.by_address(leaves.flow.peer))
                .map(|known| known.slot),
            Rule::Via | Rule::Branch => pinned(transaction).or(sender.map(|known| known.slot)),
            Rule::Nowhere => None,
        };
        let fault = message.fault;
        Explained {
            verdict,
            rule,
            fault,
            set,
            sender,
            route,
            transaction,
            call,
            destination,
            round,
            leaves,
        }
    }
}

/// Returns the address that a message most likely comes from: for a request the one in its top Via,
/// for a response the destination of its transaction.
pub fn likely_source(
    now: Now,
    shared: &Shared,
    snapshot: &Snapshot,
    bytes: &[u8],
) -> Option<SocketAddr> {
    let message = Message::read(bytes);
    let via = message.via?;
    let source = if matches!(message.start_line, StartLine::Response { .. }) {
        let branch = Branch::read(via.branch?.of(bytes))?;
        let pin = shared.pins.find(now, branch.pin_key(), false)?;
        snapshot.destinations.get(pin.slot)?.address
    } else {
        neighbour::next_via_address(&via, bytes)?
    };
    neighbour::may_send_to(source, &shared.listeners).then_some(source)
}

/// Returns the listener that a datagram from this address most likely arrives at: the first of its
/// family.
pub fn likely_listener(shared: &Shared, source: SocketAddr) -> ListenerId {
    shared.listeners.for_family(ListenerId(0), &source).unwrap_or(ListenerId(0))
}

/// The keys of the pins that a message names.
struct Names {
    transaction: Option<PinKey>,
    /// For its call: by sender, the caller or a destination, without and with the callee's tag.
    calls: [[Option<PinKey>; 2]; 2],
    is_in_dialog: bool,
}

impl Names {
    fn of(at: &Arrival, message: &Message) -> Self {
        let branch = match message.start_line {
            StartLine::Request { .. } => Branch::of_request(&at.shared.keys, message, at.bytes),
            StartLine::Response { .. } => message
                .via
                .and_then(|via| via.branch)
                .and_then(|branch| Branch::read(branch.of(at.bytes))),
            _ => None,
        };
        let key = |from_destination: bool, callee_tag: &[u8]| {
            let call_id = message.call_id?.of(at.bytes);
            let from_tag = message.from_tag?.of(at.bytes);
            Some(call_key(&at.shared.keys, from_destination, call_id, from_tag, callee_tag))
        };
        let callee_tag = message.to_tag.unwrap_or_default().of(at.bytes);
        Self {
            transaction: branch.map(Branch::pin_key),
            calls: [false, true].map(|who| [key(who, &[]), key(who, callee_tag)]),
            is_in_dialog: message.to_tag.is_some(),
        }
    }

    fn keys(&self) -> Vec<(PinKey, bool)> {
        let calls = self.calls.iter().flatten().flatten().map(|key| (*key, true));
        self.transaction.map(|key| (key, false)).into_iter().chain(calls).collect()
    }

    /// Returns the key of the call, as seen from the sender of this request.
    fn call(&self, at: &Arrival) -> Option<PinKey> {
        let destinations = &at.snapshot.destinations;
        let sender = destinations.by_source(at.flow.peer, at.snapshot.policy.source_match);
        self.calls[usize::from(sender.is_some())][usize::from(self.is_in_dialog)]
    }
}

fn recall(at: &Arrival, key: PinKey, is_call: bool) -> Option<Remembered> {
    let Pin { slot, kind, state, .. } = at.shared.pins.find(at.now, key, is_call)?;
    let to = match slot {
        pin::ANSWERED_NO_DESTINATION => Leads::NoDestination,
        pin::ANSWERED_UNAVAILABLE => Leads::Unavailable,
        slot => Leads::To(slot),
    };
    Some(Remembered { to, is_challenge: kind == Kind::Challenge, state })
}

/// Reads the Routes again, in a temporary core.
fn own_route(at: &Arrival, message: &Message) -> OwnRoute {
    let mut core = Core::new(0);
    core.message = message.clone();
    let is_request = matches!(message.start_line, StartLine::Request { .. });
    if !is_request || message.fault.is_some() || !core.routes.read(&core.message, at.bytes) {
        return OwnRoute::Nothing;
    }
    match core.take_own_routes(at) {
        Dialog::Unproven => OwnRoute::Nothing,
        Dialog::Verified(speaker, token) => OwnRoute::Verified(speaker, token),
        Dialog::Forged => OwnRoute::Forged,
        Dialog::Loop => OwnRoute::Loop,
    }
}

fn rule(verdict: Verdict, has_taken_turn: bool) -> Rule {
    let Verdict::Forwarded(how) = verdict else {
        return Rule::Nowhere;
    };
    match how {
        Forwarded::Chosen if has_taken_turn => Rule::Turn,
        Forwarded::Chosen => Rule::Challenge,
        Forwarded::Pinned => Rule::Transaction,
        Forwarded::Token => Rule::Token,
        Forwarded::CallPin => Rule::Call,
        Forwarded::RequestUri => Rule::RequestUri,
        Forwarded::Response => Rule::Via,
        Forwarded::ViaParameterLost => Rule::Branch,
    }
}
