//! What is decided about a message, before anything is changed.

use super::Flow;
use super::branch::Branch;
use super::verdict::{Answer, Forwarded, Reason};
use crate::destination::Slot;
use crate::message::Span;
use crate::pin::{Kind, Pin, PinKey, State};
use crate::transaction::{Id, TryNumber};

/// What becomes of one message. Deciding changes nothing: [`Decision::note`] says what is to be
/// recorded in the pins, and [`Action::Choose`] that a destination is still to be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) action: Action,
    pub(super) note: Note,
    /// Who sent it, if it is a response.
    pub(super) responder: Responder,
    /// The set whose settings apply to the request, if it is not in a dialog.
    pub(super) set: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// Nothing is sent.
    Drop(Reason),
    /// We answer.
    Answer(Answer),
    /// A request seen for the first time: a destination of the set is chosen next.
    Choose(Request),
    /// A copy of an unanswered request whose destination, this one, has become inactive: another one
    /// of the set is chosen next.
    ChooseAgain(Request, Slot),
    /// A request goes to this hop.
    Forward(Request, Hop),
    /// A response goes back by this flow.
    Return(Flow, Rule),
    /// It goes to the worker with this number, which has the transactions of its call.
    HandOver(u16),
    /// A message for a transaction of this worker, whose machine says what becomes of it.
    Advance(Id, Incoming),
}

/// What came in for a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Incoming {
    /// A copy of its request.
    Copy,
    /// The ACK to its final response.
    Ack,
    /// A CANCEL from the caller.
    Cancel,
    /// A response to one of its tries, which goes back by this flow if it goes to the caller.
    Response { number: TryNumber, code: u16, flow: Option<Flow>, rule: Rule },
    /// The response to the CANCEL of one of its tries.
    CancelAnswered(TryNumber),
}

/// What is known of a request that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) branch: Branch,
    /// A destination sent it.
    pub(super) from_destination: bool,
    /// The Request-URI after the swap of a strict router before us was undone (§16.4).
    pub(super) restored_uri: Option<Span>,
    /// It is a try of a transaction.
    pub(super) is_try: bool,
}

impl Request {
    /// Returns the request as its transaction sends it now: the branch has the number of the try.
    pub(super) fn as_sent(&self, pin: Pin) -> Self {
        Self { branch: Branch { try_number: pin.try_number, ..self.branch }, ..*self }
    }
}

/// The next hop of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) flow: Flow,
    /// The destination's slot, or [`crate::pin::NO_SLOT`].
    pub(super) slot: Slot,
    /// How the hop was found.
    pub(super) rule: Rule,
}

/// What to record in the pins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note {
    /// Nothing.
    Nothing,
    /// A message of this transaction was seen, in this state if it is a response.
    Transaction(PinKey, Option<State>),
    /// A request of this call was seen.
    Call(PinKey),
    /// A response that begins a dialog, or challenges its request.
    Response { transaction: PinKey, state: Option<State>, call: CallNote },
}

/// How a response changes its transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The state before it.
    pub(super) before: State,
    /// The state that it asks for.
    pub(super) now: State,
}

impl Progress {
    /// Returns whether it is the first response.
    pub(super) fn is_first(self) -> bool {
        self.before == State::None
    }

    /// Returns whether it is the first final response.
    pub(super) fn is_final(self) -> bool {
        self.now == State::Final && self.before != State::Final
    }
}

/// A call pin to store.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallNote {
    pub(super) key: PinKey,
    pub(super) kind: Kind,
    pub(super) slot: Slot,
    pub(super) cseq_bits: u8,
}

/// Who sent a response. It does not say where the response goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Responder {
    /// Nobody that is watched, or it is no response.
    Nobody,
    /// A destination, to a request that we relayed this many milliseconds ago.
    Destination { slot: Slot, code: u16, age_ms: Option<u32> },
    /// Somebody who got this probe of ours, sent this many milliseconds ago.
    Probe { number: u32, code: u16, age_ms: u32 },
}

/// How a message finds its next hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// It is new: the algorithm's next turn.
    Turn,
    /// It answers a challenge, so it goes to the destination that challenged.
    Challenge,
    /// It is a copy of an unanswered request whose destination has become inactive: the next turn.
    Retry,
    /// Its transaction is remembered.
    Transaction,
    /// Its call is remembered.
    Call,
    /// The token in its Route names it.
    Token,
    /// Its Request-URI names a destination.
    RequestUri,
    /// Nothing is remembered of it, but the hash of the set chooses the destination of its INVITE
    /// again: a CANCEL or an ACK.
    Hash,
    /// The same for another request in a dialog.
    DialogHash,
    /// A response: our own Via names it.
    Via,
    /// A response whose server dropped our Via parameter: the branch proves it.
    Branch,
    /// It has no next hop: it is answered or dropped.
    Nowhere,
}

impl Rule {
    /// Returns the counter of messages that are forwarded by this rule.
    pub(super) const fn forwarded(self) -> Forwarded {
        match self {
            Self::Turn | Self::Challenge | Self::Nowhere => Forwarded::Chosen,
            Self::Retry => Forwarded::Retried,
            Self::Transaction => Forwarded::Pinned,
            Self::Call => Forwarded::CallPin,
            Self::Token => Forwarded::Token,
            Self::RequestUri => Forwarded::RequestUri,
            Self::Hash | Self::DialogHash => Forwarded::Hash,
            Self::Via => Forwarded::Response,
            Self::Branch => Forwarded::ViaParameterLost,
        }
    }

    /// Returns whether its request is dispatched to a set, whose settings then say how it is written:
    /// a request outside a dialog, and its CANCEL and ACK, which must be written the same way.
    pub(super) const fn is_dispatched(self) -> bool {
        matches!(self, Self::Turn | Self::Challenge | Self::Retry | Self::Transaction | Self::Hash)
    }
}

impl Decision {
    /// Hands the message over to the worker with this number.
    pub(super) const fn hand_over(owner: u16) -> Self {
        Self { action: Action::HandOver(owner), ..Self::drop(Reason::KeepAlive) }
    }

    /// Sends nothing.
    pub(super) const fn drop(reason: Reason) -> Self {
        Self {
            action: Action::Drop(reason),
            note: Note::Nothing,
            responder: Responder::Nobody,
            set: 0,
        }
    }
}
