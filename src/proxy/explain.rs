//! Explains what a relay would do with a message, and by which rule, without doing it.
//!
//! The core itself decides, as for any datagram; only the choice is looked at instead of taken, and
//! nothing is recorded.

use std::net::SocketAddr;

use super::branch::Branch;
use super::choice::{PassedOver, passed_over};
use super::decision::{Action, Rule};
use super::in_dialog::Dialog;
use super::neighbour;
use super::stateful::Stateful;
use super::{
    Arrival, Core, EmergencyBy, Flow, FrameBuffer, ListenerId, Outbox, Shared, Snapshot, StartLine,
    Verdict,
};
use crate::clock::Now;
use crate::destination::{Known, Slot};
use crate::message::{Fault, Message};
use crate::pin::{self, Kind, Pin, PinKey, State};

pub use crate::dialog::{Speaker, Token};

/// Explains messages. It can be used repeatedly.
#[derive(Debug)]
pub struct Explainer {
    core: Core,
    frame: FrameBuffer,
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
    /// What makes it an emergency call.
    pub emergency: Option<EmergencyBy>,
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
    /// Why some of these do not get the request, if it is new.
    pub passed_over: Vec<(Slot, PassedOver)>,
    /// The message that would be sent.
    pub leaves: Option<Leaves>,
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
    /// How many other destinations the request was sent to before.
    pub earlier_tries: u8,
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
    /// We answered that it was over a limit.
    OverLimit,
    /// We answered that each destination is overloaded.
    Overloaded,
}

/// A message that would be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaves {
    /// The listener that sends it, and the address it goes to.
    pub flow: Flow,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Explainer {
    /// Creates one.
    pub fn new() -> Self {
        Self {
            core: Core::new(0, 0, Stateful::none()),
            frame: FrameBuffer::default(),
            outbox: Outbox::new(),
        }
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
        self.outbox.clear();
        let at = &Arrival { now, shared, snapshot, flow, bytes };
        let core = &mut self.core;
        let mut decision = core.decide(at, None);
        let is_new = matches!(decision.action, Action::Choose(_) | Action::ChooseAgain(..));
        core.peek(at, &mut decision);
        let (verdict, leaving) = core.prepare(at, &decision, &mut self.outbox);
        if let Some(leaving) = leaving {
            core.send(self.frame.receive(bytes), &leaving, &mut self.outbox);
        }
        let leaves = self.outbox.entries().first().map(|entry| Leaves {
            flow: entry.flow,
            bytes: self.outbox.bytes(entry, self.frame.slot()).to_vec(),
        });

        // No datagram is longer; the core itself says what becomes of one that is.
        core.read(shared, &bytes[..bytes.len().min(usize::from(u16::MAX))]);
        let sender = snapshot.destinations.by_source(flow.peer, snapshot.policy.source_match);
        let transaction =
            core.named_branch(at).and_then(|branch| recall(at, branch.pin_key(), false));
        let call = core.call(at, sender.is_some()).and_then(|key| recall(at, key, true));
        let set = at.set_for_new();
        let asked = snapshot.destinations.set(set).map(|set| {
            let is_request = matches!(core.message.start_line, StartLine::Request { .. });
            let branch = core.named_branch(at).filter(|_| is_request);
            (set, core.ask(at, branch, set))
        });
        let round = asked.map(|(set, ask)| set.round(&ask)).unwrap_or_default();
        let rule = match (verdict, decision.action) {
            (Verdict::Forwarded(_), Action::Forward(_, hop)) => hop.rule,
            (Verdict::Forwarded(_), Action::Return(_, rule)) => rule,
            _ => Rule::Nowhere,
        };
        let destination = match (rule, decision.action) {
            (Rule::Nowhere, _) => None,
            (_, Action::Forward(_, hop)) => {
                Some(hop.slot).filter(|slot| pin::is_destination(*slot))
            }
            _ => match transaction.map(|pin| pin.to) {
                Some(Leads::To(slot)) => Some(slot),
                _ => sender.map(|known| known.slot),
            },
        };
        let reasons = asked.filter(|_| is_new).map(|(set, ask)| {
            let others = round.iter().filter(|slot| Some(**slot) != destination);
            let why = |slot| passed_over(at, set, &ask, (slot, destination));
            others.filter_map(|slot| Some((*slot, why(*slot)?))).collect()
        });
        Explained {
            verdict,
            rule,
            fault: core.message.fault,
            emergency: core.emergency(at),
            set,
            sender,
            route: core.own_route(at),
            transaction,
            call,
            destination,
            round,
            passed_over: reasons.unwrap_or_default(),
            leaves,
        }
    }
}

impl Default for Explainer {
    fn default() -> Self {
        Self::new()
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
        snapshot.destinations.hop(pin.slot)?.address
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

impl Core {
    /// Returns the key of the call that the message names, as seen from its sender.
    fn call(&self, at: &Arrival, from_destination: bool) -> Option<PinKey> {
        self.message.call_id.zip(self.message.from_tag)?;
        Some(self.call_key(at, from_destination, self.message.to_tag.is_some()))
    }

    fn own_route(&mut self, at: &Arrival) -> OwnRoute {
        let is_request = matches!(self.message.start_line, StartLine::Request { .. });
        let is_readable = is_request && self.message.fault.is_none();
        if !is_readable || !self.routes.read(&self.message, at.bytes) {
            return OwnRoute::Nothing;
        }
        match self.take_own_routes(at).0 {
            Dialog::Unproven => OwnRoute::Nothing,
            Dialog::Verified(speaker, token) => OwnRoute::Verified(speaker, token),
            Dialog::Forged => OwnRoute::Forged,
            Dialog::Loop => OwnRoute::Loop,
        }
    }
}

fn recall(at: &Arrival, key: PinKey, is_call: bool) -> Option<Remembered> {
    let Pin { slot, kind, state, try_number, .. } = at.shared.pins.find(at.now, key, is_call)?;
    let to = match slot {
        pin::ANSWERED_NO_DESTINATION => Leads::NoDestination,
        pin::ANSWERED_UNAVAILABLE => Leads::Unavailable,
        pin::ANSWERED_OVER_RATE | pin::ANSWERED_OVER_CALLS | pin::ANSWERED_OVER_SOURCE_RATE => {
            Leads::OverLimit
        }
        pin::ANSWERED_OVERLOADED => Leads::Overloaded,
        slot => Leads::To(slot),
    };
    let is_challenge = kind == Kind::Challenge;
    Some(Remembered { to, is_challenge, state, earlier_tries: try_number })
}
