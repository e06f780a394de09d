//! RFC 3261 §16: takes a datagram and the time, and returns a verdict and messages to send.
//!
//! It owns no socket, clock or randomness, so tests, fuzzers, the simulator and the benches run the
//! same code as the network does. What happens to a datagram, in this order:
//!
//! | Step | Where | Changes |
//! |---|---|---|
//! | read the message | [`crate::message`] | nothing |
//! | decide | `request`, `in_dialog`, `response` | nothing |
//! | take what a destination reports of its load | `overload` | the load of the destination |
//! | choose a destination, if the request is new | `choice` | a turn, a pin |
//! | record what was seen | `choice` | pins |
//! | write a 100, in a stateful set | `stateful` | the outbox |
//! | collect the edits, check the length | `write` | nothing |
//! | answer, if that was decided | `answer` | the outbox |
//! | begin its transaction, in a stateful set | `stateful` | transactions |
//! | count the calls in progress | `call` | calls |
//! | tell whoever wants to know of it: [`Event`] | [`Proxy::datagram_told`] | nothing |
//! | edit the message where it lies | [`crate::message::Edits`] | the frame |
//!
//! A message that belongs to a transaction takes another way after it was decided: `stateful` asks its
//! machine what becomes of it, and `tries` writes what the transaction sends besides.

mod answer;
mod branch;
mod call;
mod choice;
mod decision;
mod emergency;
mod event;
mod explain;
mod failed_call;
mod frame;
mod hop;
mod in_dialog;
mod key;
mod neighbour;
mod outbox;
mod overload;
mod own_via;
mod policy;
mod prefix;
pub mod probe;
mod reading;
mod request;
mod response;
mod snapshot;
mod source;
mod stateful;
mod tries;
mod unreachable;
mod verdict;
mod via_parameter;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

pub use choice::PassedOver;
pub use decision::Rule;
pub(crate) use emergency::is_separator;
pub use emergency::{Emergency, EmergencyBy, EmergencyCounters};
pub use event::{Dispatched, Event, Heard, LeftTry, ProbeAnswer, Unreachable};
pub use explain::{
    Explained, Explainer, Leads, Leaves, OwnRoute, Remembered, Speaker, Token, likely_listener,
    likely_source,
};
pub use failed_call::FailedCall;
pub use frame::{Frame, FrameBuffer};
pub use outbox::{Cause, Entry, Outbox, Place};
pub use policy::{ForeignRoute, InDialog, OverLimit, Policy, Rewrite, SetPolicy, Sips, StatusLine};
pub use prefix::Prefix;
pub use reading::{Reading, Readings};
pub use snapshot::Snapshot;
pub use verdict::{Answer, Forwarded, Reason, Verdict};

pub use crate::destination::SourceMatch;
pub use crate::listener::{
    Flow, Listener, ListenerId, Listeners, Transport, name_hash, split_host_port,
};

use self::branch::Branch;
use self::decision::{Action, Decision, Progress, Responder};
use self::in_dialog::Dialog;
use self::reading::{is_sip, named_branch, read};
use self::stateful::{Advanced, Stateful, When};
use crate::calls::CallTable;
use crate::clock::Now;
use crate::destination::{Slot, SourceRates};
use crate::keys::{DialogDigest, Keys};
use crate::message::{Edits, Message, Method, Routes, Span, StartLine};
use crate::owners::Owners;
use crate::pin::PinTable;
use crate::transaction::{TransactionCounters, TransactionRoom, count};

/// What all workers share. It never changes while the process runs.
#[derive(Debug)]
pub struct Shared {
    /// Our own addresses.
    pub listeners: Listeners,
    /// Our secrets.
    pub keys: Keys,
    /// What we chose before.
    pub pins: PinTable,
    /// The calls in progress, in sets that count them.
    pub calls: CallTable,
    /// The calls per second of each source, in sets that limit them.
    pub source_rates: SourceRates,
    /// Emergency calls that came to a limit.
    pub emergencies: EmergencyCounters,
    /// A random number of this process: slots in our Vias count only with this number.
    pub incarnation: u16,
    /// Which worker has the transactions of which call; `None` if there is one worker.
    pub owners: Option<Owners>,
    /// The room for transactions of each worker.
    pub transactions: TransactionRoom,
    /// What the transactions of all workers did.
    pub transaction_counters: TransactionCounters,
    cores: AtomicU16,
}

impl Shared {
    /// Combines what the workers share.
    pub fn new(listeners: Listeners, keys: Keys, pins: PinTable, incarnation: u16) -> Self {
        let calls = CallTable::on_heap(CALLS_SMALL);
        let source_rates = SourceRates::on_heap(PAIRS_SMALL);
        Self {
            listeners,
            keys,
            pins,
            calls,
            source_rates,
            emergencies: EmergencyCounters::default(),
            incarnation,
            owners: None,
            transactions: TransactionRoom::default(),
            transaction_counters: TransactionCounters::default(),
            cores: AtomicU16::new(0),
        }
    }

    /// Returns the same with this room for the transactions of each worker, of which each call has
    /// one; `None` if there is only one.
    #[must_use]
    pub fn with_transactions(self, room: TransactionRoom, owners: Option<Owners>) -> Self {
        Self { transactions: room, owners, ..self }
    }

    /// Returns the same with room for as many calls as this table has.
    #[must_use]
    pub fn with_calls(self, calls: CallTable) -> Self {
        Self { calls, ..self }
    }

    /// Returns the same with room for as many sources as this table has.
    #[must_use]
    pub fn with_source_rates(self, source_rates: SourceRates) -> Self {
        Self { source_rates, ..self }
    }
}

/// Calls that the table has room for unless it is replaced: enough for tests and tools.
const CALLS_SMALL: usize = 1_024;

/// The same for pairs of a source and a destination.
const PAIRS_SMALL: usize = 256;

/// The core of one worker.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    core: Core,
}

/// What a worker's core uses besides what it shares.
#[derive(Debug)]
struct Core {
    /// Unique for each core: see [`PinTable::claim`].
    number: u16,
    /// Counts the runs of this worker: see [`Proxy::reset`].
    epoch: u8,
    /// In a box, so that one that was read ahead takes its place without being copied.
    message: Box<Message>,
    /// The dialog of the message, digested under the first key.
    dialog: DialogDigest,
    /// The branch that names its transaction, if it was read ahead.
    branch: Option<Branch>,
    routes: Routes,
    edits: Edits,
    stateful: Stateful,
}

/// One datagram, and everything that the decision depends on.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    now: Now,
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    flow: Flow,
    bytes: &'a [u8],
}

/// What leaves: the edited message, by this flow.
struct Leaving {
    flow: Flow,
    /// Where the message lies in its datagram.
    place: Span,
    /// How long it becomes.
    len: usize,
}

impl Arrival<'_> {
    /// Returns whether the source may send to us at all: it is in `allow`, or a destination.
    fn is_allowed(&self) -> bool {
        let policy = &self.snapshot.policy;
        policy.allows(&self.flow.peer)
            || self.snapshot.destinations.by_source(self.flow.peer, policy.source_match).is_some()
    }

    /// Returns the set that a request is dispatched to unless it was seen before.
    fn set_for_new(&self) -> u32 {
        self.shared.listeners.get(self.flow.listener).set.unwrap_or(self.snapshot.policy.set)
    }

    /// Returns the number of the worker that has the transactions of this message's call, if it is
    /// another one than this.
    fn other_owner(&self, number: u16, message: &Message) -> Option<u16> {
        let owners = self.shared.owners.as_ref().filter(|_| self.snapshot.policy.is_stateful)?;
        let owner = owners.of(message.call_id?.of(self.bytes)) as u16;
        (owner != number).then_some(owner)
    }

    fn force_rport(&self) -> bool {
        self.shared.listeners.get(self.flow.listener).force_rport
    }
}

impl Proxy {
    /// Creates a core that shares `shared` with the other workers.
    pub fn new(shared: Arc<Shared>) -> Self {
        // Relaxed: the numbers only have to differ.
        let number = shared.cores.fetch_add(1, Ordering::Relaxed);
        Self { core: Core::new(number, 0, Stateful::new(shared.transactions)), shared }
    }

    /// Resets the core after a panic; nothing is left of the message that caused it. Transactions go on,
    /// unless one was being changed: see [`Proxy::restart`].
    pub fn reset(&mut self) {
        if self.core.stateful.is_changing {
            self.restart();
        } else {
            let stateful = std::mem::replace(&mut self.core.stateful, Stateful::none());
            self.core = Core::new(self.core.number, self.core.epoch, stateful);
        }
    }

    /// Drops all transactions, since one may be half done, and begins a new epoch: what the last one sent
    /// has no transaction any more.
    pub fn restart(&mut self) {
        let lost = self.core.stateful.transactions.len() as u64;
        count(&self.shared.transaction_counters.ended, lost);
        let mut stateful = std::mem::replace(&mut self.core.stateful, Stateful::none());
        stateful.clear();
        self.core = Core::new(self.core.number, self.core.epoch.wrapping_add(1), stateful);
    }

    /// Decides about one datagram. The outbox is cleared first; afterwards it holds what leaves: at most
    /// the edited frame or our own response, and what a transaction sends besides.
    pub fn datagram(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        flow: Flow,
        frame: Frame<'_>,
        outbox: &mut Outbox,
    ) -> Verdict {
        self.datagram_told(now, snapshot, flow, frame, outbox, |_| {})
    }

    /// The same; calls `tell` with what others want to know of it, before the message is edited.
    #[inline]
    pub fn datagram_told(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        flow: Flow,
        mut frame: Frame<'_>,
        outbox: &mut Outbox,
        mut tell: impl FnMut(&Event<'_>),
    ) -> Verdict {
        outbox.clear();
        let core = &mut self.core;
        let reading = frame.take_reading();
        let at = &Arrival { now, shared: &self.shared, snapshot, flow, bytes: frame.bytes() };
        let mut decision = core.decide(at, reading);
        core.take_overload_report(at, decision.responder);
        if let Action::Advance(id, incoming) = decision.action {
            core.stateful.is_changing = true;
            let Advanced { verdict, leaving, effects, before } =
                core.advance(at, &decision, (id, incoming), outbox, &mut tell);
            if let Some(leaving) = leaving {
                core.send(frame, &leaving, outbox);
            }
            let when = &When { now, shared: &self.shared, snapshot };
            core.perform(when, id, before, effects, outbox, &mut tell);
            core.stateful.is_changing = false;
            return verdict;
        }
        let taken = core.choose(at, &mut decision);
        let progress = core.record(at, decision.note);
        let is_try = matches!(decision.action, Action::Forward(request, _) if request.is_try);
        if is_try && core.message.method == Method::Invite {
            core.say_trying(at, outbox, decision.set);
        }
        let (verdict, leaving) = core.prepare(at, &decision, outbox);
        if is_try && leaving.is_some() {
            core.begin_transaction(at, &decision);
        } else if is_try {
            outbox.discard_of_transaction();
        }
        if let Some(taken) = taken.filter(|_| leaving.is_none()) {
            core.take_back(at, taken);
        }
        if !at.shared.calls.is_empty() {
            core.follow_call(at, &decision, progress, leaving.is_some());
        }
        if matches!(verdict, Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried))
            && let Action::Forward(_, hop) = decision.action
            && let Some(dispatched) = core.dispatched(at, hop.slot)
        {
            tell(&Event::Dispatched(dispatched));
        } else if let Responder::Destination { slot, code, age_ms } = decision.responder {
            tell(&Event::Heard(core.heard(at, slot, code, age_ms, progress)));
        } else if let Responder::Probe { number, code, age_ms } = decision.responder {
            tell(&Event::ProbeAnswered(core.probe_answer(at, number, code, age_ms)));
        }
        if let Some(leaving) = leaving {
            core.send(frame, &leaving, outbox);
        }
        verdict
    }
}

impl Core {
    fn new(number: u16, epoch: u8, stateful: Stateful) -> Self {
        Self {
            number,
            epoch,
            message: Box::default(),
            dialog: DialogDigest::default(),
            branch: None,
            routes: Routes::default(),
            edits: Edits::default(),
            stateful,
        }
    }

    /// Reads the message, unless that was done before, and decides about it. Changes only what this core
    /// remembers of it.
    fn decide(&mut self, at: &Arrival, reading: Option<&mut Reading>) -> Decision {
        self.edits.clear();
        let is_datagram = u16::try_from(at.bytes.len()).is_ok();
        let is_sip = is_sip(at.bytes);
        match reading {
            Some(reading) if reading.is_done => self.take_reading(reading, at.bytes),
            _ if is_sip => self.read(at.shared, at.bytes),
            _ => {}
        }
        let may_send = at.is_allowed() || is_sip && self.proves_itself(at);
        if !may_send {
            return Decision::drop(Reason::NotAllowed);
        }
        if self.is_stateful()
            && is_sip
            && let Some(owner) = at.other_owner(self.number, &self.message)
        {
            return Decision::hand_over(owner);
        }
        let reason = match at.bytes.first() {
            None => Reason::KeepAlive,
            Some(0 | 1) => Reason::Stun,
            Some(_) if !is_datagram => Reason::Truncated,
            Some(_) if self.message.start == at.bytes.len() => Reason::KeepAlive,
            // Our own address as a source is forged, or a destination that is ourselves.
            Some(_)
                if at.shared.listeners.is_our_address(at.flow.peer.ip(), at.flow.peer.port()) =>
            {
                Reason::SelfLoop
            }
            Some(_) => match self.message.start_line {
                StartLine::NotSip => Reason::NotSip,
                StartLine::BadResponse => Reason::MalformedResponse,
                StartLine::Response { code } => return self.decide_response(at, code),
                _ => return self.decide_request(at),
            },
        };
        Decision::drop(reason)
    }

    fn read(&mut self, shared: &Shared, bytes: &[u8]) {
        self.dialog = read(shared, bytes, &mut self.message);
        self.branch = None;
    }

    fn take_reading(&mut self, reading: &mut Reading, bytes: &[u8]) {
        debug_assert!(reading.is_of(bytes), "the reading of another datagram");
        std::mem::swap(&mut self.message, &mut reading.message);
        self.dialog = reading.dialog;
        self.branch = reading.branch;
        reading.clear();
    }

    /// Returns the branch of the transaction that the message names.
    fn named_branch(&self, at: &Arrival) -> Option<Branch> {
        let name = || named_branch(at.shared, &self.message, &self.dialog, at.bytes);
        self.branch.or_else(name)
    }

    /// Returns whether a message from an address that is not in `allow` belongs to a call of ours:
    /// a response whose Via verifies, or a request whose token verifies. This way a server that was
    /// removed from the list can still end its calls.
    fn proves_itself(&mut self, at: &Arrival) -> bool {
        match self.message.start_line {
            _ if self.message.fault.is_some() => false,
            StartLine::Response { .. } => {
                self.verify_response(at).is_ok() || matches!(self.verify_probe(at), Ok(Some(_)))
            }
            StartLine::Request { .. } => {
                self.routes.read(&self.message, at.bytes)
                    && matches!(self.take_own_routes(at), (Dialog::Verified(..), _))
            }
            _ => false,
        }
    }

    /// Collects the edits of what goes on, and checks that it fits a datagram; or answers.
    fn prepare(
        &mut self,
        at: &Arrival,
        decision: &Decision,
        outbox: &mut Outbox,
    ) -> (Verdict, Option<Leaving>) {
        let (verdict, flow, is_edited) = match &decision.action {
            Action::Drop(reason) => return (Verdict::Dropped(*reason), None),
            Action::Answer(with) => return (self.answer(at, outbox, *with, decision.set), None),
            Action::HandOver(owner) => return (Verdict::HandedOver(*owner), None),
            Action::Choose(_) | Action::ChooseAgain(..) | Action::Advance(..) => {
                unreachable!("the destination was chosen, or the transaction advanced, before")
            }
            Action::Forward(request, hop) => {
                let is_edited = self.edit_request(at, request, hop, None);
                (Verdict::Forwarded(hop.rule.forwarded()), hop.flow, is_edited)
            }
            Action::Return(flow, rule) => {
                let is_edited = self.edit_response(at);
                (Verdict::Forwarded(rule.forwarded()), *flow, is_edited)
            }
        };
        let is_request = matches!(decision.action, Action::Forward(..));
        if !is_edited {
            let reason = if is_request { Reason::Unanswerable } else { Reason::MalformedResponse };
            return (Verdict::Dropped(reason), None);
        }
        let place = self.place();
        match self.edits.len_after(place) {
            Some(len) if len <= flow.payload_max() => (verdict, Some(Leaving { flow, place, len })),
            _ if is_request && self.message.method != Method::Ack => {
                (self.answer(at, outbox, Answer::TooLarge, decision.set), None)
            }
            _ => (Verdict::Dropped(Reason::TooLarge), None),
        }
    }

    /// Returns where the message lies in its datagram.
    fn place(&self) -> Span {
        Span::new(self.message.start, self.message.end)
    }

    fn answer(&mut self, at: &Arrival, outbox: &mut Outbox, with: Answer, set: u32) -> Verdict {
        self.edits.clear();
        answer::answer(self, at, outbox, with, set)
    }

    /// Edits the message where it lies. If it does not fit the headroom, it is copied.
    fn send(&self, frame: Frame<'_>, leaving: &Leaving, outbox: &mut Outbox) {
        let (slot, base) = frame.into_slot();
        if let Some(range) = self.edits.apply(slot, base, leaving.place) {
            outbox.forward(leaving.flow, range);
            return;
        }
        outbox.begin();
        self.edits.copy(&slot[base..], leaving.place, |piece| outbox.write(piece));
        let fits = outbox.finish(leaving.flow, Cause::Forward, leaving.len);
        debug_assert!(fits, "the length was checked");
    }

    fn dispatched<'a>(&self, at: &Arrival<'a>, slot: Slot) -> Option<Dispatched<'a>> {
        let message = &self.message;
        let destination = at.snapshot.destinations.get(slot)?;
        let StartLine::Request { method, uri } = message.start_line else {
            return None;
        };
        Some(Dispatched {
            method: method.of(at.bytes),
            request_uri: uri.of(at.bytes),
            from: message.from?.of(at.bytes),
            to: message.to?.of(at.bytes),
            call_id: message.call_id?.of(at.bytes),
            destination: &destination.uri,
            slot,
            source: at.flow.peer,
            is_invite: message.method == Method::Invite,
        })
    }

    #[inline]
    fn heard(
        &self,
        at: &Arrival,
        slot: Slot,
        code: u16,
        age_ms: Option<u32>,
        progress: Option<Progress>,
    ) -> Heard {
        let is_final = progress.is_some_and(Progress::is_final);
        let mut heard = Heard {
            slot,
            method: self.message.cseq_method,
            code,
            is_first: progress.is_some_and(Progress::is_first),
            is_final,
            age_ms,
            retry_after_s: retry_after_s(at, &self.message, is_final && code == 503),
            failed: None,
        };
        if heard.is_failed_call() {
            heard.failed = Some(self.failed_call(at));
        }
        heard
    }

    fn probe_answer(&self, at: &Arrival, number: u32, code: u16, age_ms: u32) -> ProbeAnswer {
        let retry_after_s = retry_after_s(at, &self.message, code == 503);
        ProbeAnswer { number, code, age_ms, retry_after_s, source: at.flow.peer }
    }

    /// Returns the dialog of the message, digested under the key with this number.
    fn dialog_under(&self, at: &Arrival, key_id: u8) -> Option<DialogDigest> {
        if key_id == self.dialog.key_id {
            return Some(self.dialog);
        }
        let key = at.shared.keys.verifying(key_id)?;
        Some(self.message.dialog(key, at.bytes))
    }

    fn response_address(&self, at: &Arrival) -> Option<SocketAddr> {
        let via = self.message.via?;
        Some(neighbour::response_address(at.flow.peer, &via, at.force_rport()))
    }
}

/// Returns the Retry-After of a response whose code is 503.
fn retry_after_s(at: &Arrival, message: &Message, is_503: bool) -> Option<u32> {
    if is_503 { message.retry_after_s(at.bytes) } else { None }
}
