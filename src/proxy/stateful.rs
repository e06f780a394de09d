//! Requests of stateful sets: begins their transactions, takes what comes in for one, and what is due, to
//! its machine ([`crate::transaction`]).
//!
//! The machine returns what is to be done. If that is to forward the response in hand, it leaves like
//! any other message, from the slot it was received into; [`super::tries`] does the rest.

use super::branch::Branch;
use super::decision::{Action, Decision, Incoming, Note, Progress, Responder};
use super::hop::find_lost;
use super::verdict::{Answer, Reason, Verdict};
use super::write::form;
use super::{Arrival, Core, Event, Flow, Leaving, Outbox, Proxy, Shared, Snapshot};
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits::{SLOTS_MAX, UNDELIVERED_MAX};
use crate::message::{HeaderName, Method, Rows, Span};
use crate::pin::{PinKey, State};
use crate::transaction::{
    About, Client, Effect, Effects, Failover, Id, Machine, Origin, Transaction, TransactionRoom,
    Transactions, TryNumber, count,
};

/// What a core keeps of its transactions, and the memory that it needs for them.
#[derive(Debug)]
pub(super) struct Stateful {
    pub(super) transactions: Transactions,
    /// The request of the transaction that is at work.
    pub(super) request: Box<[u8]>,
    /// The same as it was sent to a destination.
    pub(super) sent: Vec<u8>,
    /// The To row of the response in hand, which its ACK repeats.
    pub(super) to_row: Vec<u8>,
    /// Tries that could not be delivered, by the hash of their branch.
    undelivered: Vec<(u128, TryNumber)>,
    /// Destinations that have become inactive, whose tries are to be left.
    lost: Vec<Slot>,
    /// The version of the snapshot that `lost` was last filled from.
    version: u64,
    /// A transaction is being changed: a panic would leave it half done.
    pub(super) is_changing: bool,
}

/// What does not come from a message.
#[derive(Clone, Copy)]
pub(super) struct When<'a> {
    pub(super) now: Now,
    pub(super) shared: &'a Shared,
    pub(super) snapshot: &'a Snapshot,
}

/// What becomes of a message that belongs to a transaction.
pub(super) struct Advanced {
    pub(super) verdict: Verdict,
    /// The response goes to the caller.
    pub(super) leaving: Option<Leaving>,
    /// What is to be done besides.
    pub(super) effects: Effects,
    /// The destination of the try that was current.
    pub(super) before: Option<Slot>,
}

impl Stateful {
    /// Creates it with all the memory that it will ever need, which is used only when there are
    /// transactions.
    pub(super) fn new(room: TransactionRoom) -> Self {
        let bytes = |len: usize| if room.count == 0 { 0 } else { len };
        let datagram = usize::from(u16::MAX);
        Self {
            transactions: Transactions::new(room.count, room.bytes),
            request: vec![0; bytes(datagram)].into(),
            sent: Vec::with_capacity(bytes(2 * datagram)),
            to_row: Vec::with_capacity(bytes(datagram)),
            undelivered: Vec::with_capacity(bytes(UNDELIVERED_MAX)),
            lost: Vec::with_capacity(bytes(SLOTS_MAX)),
            version: 0,
            is_changing: false,
        }
    }
}

impl Stateful {
    /// Creates one that has no room for transactions.
    pub(super) fn none() -> Self {
        Self::new(TransactionRoom::default())
    }

    /// Drops all transactions, whatever state they are in: a panic may have left them half done.
    pub(super) fn clear(&mut self) {
        self.transactions.clear();
        self.undelivered.clear();
        self.lost.clear();
        self.is_changing = false;
        if self.request.is_empty() && self.transactions.capacity() > 0 {
            self.request = vec![0; usize::from(u16::MAX)].into();
        }
    }
}

impl<'a> When<'a> {
    /// Returns the settings for the transactions of this set. A set may have become stateless since
    /// they began.
    pub(super) fn failover(&self, set: u32) -> &'a Failover {
        self.snapshot.set_policy(set).stateful.as_deref().unwrap_or(&Failover::DEFAULT)
    }

    pub(super) fn of(at: &Arrival<'a>) -> Self {
        Self { now: at.now, shared: at.shared, snapshot: at.snapshot }
    }
}

impl Proxy {
    /// Looks for destinations that have become inactive with this snapshot: [`Proxy::expire`] leaves the
    /// tries that are there.
    pub fn take_snapshot(&mut self, snapshot: &Snapshot) {
        self.core.look_for_lost(snapshot);
    }

    /// Returns when [`Proxy::expire`] has something to do; `None` if nothing is due.
    pub fn next_deadline(&self) -> Option<Now> {
        let stateful = &self.core.stateful;
        if !stateful.undelivered.is_empty() || !stateful.lost.is_empty() {
            return Some(Now::from_ms(0));
        }
        stateful.transactions.next_due()
    }

    /// Does one thing that is due, for one transaction; returns false if nothing is. The outbox is
    /// cleared first.
    pub fn expire(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        outbox: &mut Outbox,
        mut tell: impl FnMut(&Event<'_>),
    ) -> bool {
        outbox.clear();
        let core = &mut self.core;
        if core.stateful.transactions.is_empty() {
            core.stateful.undelivered.clear();
            return false;
        }
        core.look_for_lost(snapshot);
        let when = &When { now, shared: &self.shared, snapshot };
        core.stateful.is_changing = true;
        let event = core.next_event(when);
        if let Some((id, before, effects)) = event {
            core.perform(when, id, before, effects, outbox, &mut tell);
        }
        core.stateful.is_changing = false;
        event.is_some()
    }

    /// Returns how many transactions this core has, and how many blocks of memory their messages use.
    pub fn transactions(&self) -> (usize, usize) {
        let transactions = &self.core.stateful.transactions;
        (transactions.len(), transactions.blocks_used())
    }
}

impl Core {
    /// Records that this try could not be delivered; [`Proxy::expire`] does what follows from it.
    pub(super) fn undelivered(&mut self, key: u128, number: TryNumber) {
        let list = &mut self.stateful.undelivered;
        // One more than fits is left to the timer of its try.
        if list.len() < list.capacity() {
            list.push((key, number));
        }
    }

    /// After a change of the table: finds the destinations that have become inactive.
    fn look_for_lost(&mut self, snapshot: &Snapshot) {
        let Stateful { transactions, lost, version, .. } = &mut self.stateful;
        if *version == snapshot.version {
            return;
        }
        *version = snapshot.version;
        lost.clear();
        lost.extend(
            transactions.slots_in_use().filter(|slot| find_lost(snapshot, *slot).is_some()),
        );
    }

    /// Returns a transaction for which something has happened without a message, the destination of
    /// its current try before that, and what is to be done.
    fn next_event(&mut self, when: &When) -> Option<(Id, Option<Slot>, Effects)> {
        let Stateful { transactions, undelivered, lost, .. } = &mut self.stateful;
        let now = when.now;
        while let Some((key, number)) = undelivered.pop() {
            if let Some(id) = transactions.find(key) {
                return Some(step(transactions, when, id, |machine, failover| {
                    machine.unreachable(now, number, failover)
                }));
            }
        }
        while let Some(slot) = lost.last().copied() {
            if let Some(id) = transactions.first_at(slot) {
                return Some(step(transactions, when, id, |machine, failover| {
                    machine.destination_lost(now, failover)
                }));
            }
            lost.pop();
        }
        let id = transactions.pop_due(now)?;
        Some(step(transactions, when, id, |machine, failover| machine.timer(now, failover)))
    }

    /// Returns whether this core has transactions at all: one that explains has none.
    pub(super) fn is_stateful(&self) -> bool {
        self.stateful.transactions.capacity() > 0
    }

    /// Returns whether a request of this length, to this set, gets a transaction.
    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.stateful.transactions.has_room(len)
    }

    /// Sends 100 for a new INVITE, so that its caller does not repeat it (RFC 3261 §17.2.1).
    pub(super) fn say_trying(&mut self, at: &Arrival, outbox: &mut Outbox, set: u32) {
        if let Verdict::Answered(_) = self.answer(at, outbox, Answer::Trying, set) {
            outbox.last_is_of_transaction();
        }
        self.edits.clear();
    }

    /// Begins the transaction of a request that is about to leave.
    pub(super) fn begin_transaction(&mut self, at: &Arrival, decision: &Decision) {
        let Action::Forward(request, hop) = decision.action else { return };
        let Some(response_address) = self.response_address(at) else { return };
        let counters = &at.shared.transaction_counters;
        let failover = When::of(at).failover(decision.set);
        let is_invite = self.message.method == Method::Invite;
        let machine = Machine::new(at.now, is_invite, hop.slot, failover);
        let origin = Origin { flow: at.flow, response_address };
        let bytes = self.place().of(at.bytes);
        let (set, from_destination) = (decision.set, request.from_destination);
        let form = form(at.snapshot.set_policy(set));
        let about = About { origin, set, from_destination, form };
        self.stateful.is_changing = true;
        let added =
            self.stateful.transactions.add(at.now, request.branch.hash, machine, about, bytes);
        self.stateful.is_changing = false;
        debug_assert!(added.is_some(), "there was room when its destination was chosen");
        count(&counters.begun, 1);
        if let Some(set) = at.snapshot.destinations.set(decision.set) {
            set.load().tries().first(at.now);
        }
    }

    /// Takes a message to its transaction.
    #[inline(never)]
    pub(super) fn advance(
        &mut self,
        at: &Arrival,
        decision: &Decision,
        (id, incoming): (Id, Incoming),
        outbox: &mut Outbox,
        tell: &mut impl FnMut(&Event<'_>),
    ) -> Advanced {
        let of = self.stateful.transactions.get_mut(id);
        let (key, set) = (pin_key(of), of.about.set);
        let before = of.machine.current().map(|(_, slot)| slot);
        let ends = |verdict, effects| Advanced { verdict, leaving: None, effects, before };
        match incoming {
            Incoming::Copy => {
                let first = of.machine.request_again().into_iter().next();
                at.shared.pins.renew(at.now, key, false, None);
                let verdict = match first {
                    Some(Effect::Trying) => self.answer(at, outbox, Answer::Trying, set),
                    Some(_) => self.repeat_response(at, id, outbox),
                    None => Verdict::Dropped(Reason::Absorbed),
                };
                ends(verdict, Effects::default())
            }
            Incoming::Ack => {
                of.machine.ack(at.now);
                ends(Verdict::Dropped(Reason::Absorbed), Effects::default())
            }
            Incoming::Cancel => {
                let effects = of.machine.cancel(at.now);
                at.shared.pins.renew(at.now, key, false, None);
                ends(self.answer(at, outbox, Answer::Ok, set), effects)
            }
            Incoming::CancelAnswered(number) => {
                of.machine.cancel_answered(number);
                ends(Verdict::Dropped(Reason::Absorbed), Effects::default())
            }
            Incoming::Response { number, code, flow, .. } => {
                let when = When::of(at);
                let failover = when.failover(set);
                let progress = of.machine.client(number).map(|client| progress(client, code));
                let effects = of.machine.response(at.now, number, code, failover);
                let leaving = self.take_response(at, decision, id, (number, flow), effects);
                self.follow_call(at, decision, progress, leaving.is_some());
                if let Responder::Destination { slot, code, age_ms } = decision.responder {
                    tell(&Event::Heard(self.heard(at, slot, code, age_ms, progress)));
                }
                let verdict = match (&leaving, incoming) {
                    (Some(_), Incoming::Response { rule, .. }) => {
                        Verdict::Forwarded(rule.forwarded())
                    }
                    _ if effects.goes() => Verdict::Dropped(Reason::NoListener),
                    _ if code >= 300 && progress.is_some_and(Progress::is_final) => {
                        Verdict::Dropped(Reason::TriedNext)
                    }
                    _ => Verdict::Dropped(Reason::Absorbed),
                };
                Advanced { verdict, leaving, effects, before }
            }
        }
    }

    /// Does for the response in hand what its transaction wants of it: keeps it, records it, and
    /// prepares it to leave.
    fn take_response(
        &mut self,
        at: &Arrival,
        decision: &Decision,
        id: Id,
        (number, flow): (TryNumber, Option<Flow>),
        effects: Effects,
    ) -> Option<Leaving> {
        let of = self.stateful.transactions.get(id);
        let key = pin_key(of);
        if effects.into_iter().any(|effect| effect == Effect::Won(number))
            && let Some(slot) = of.machine.slot_of(number)
        {
            at.shared.pins.follow(at.now, key, slot, number, State::Final);
        }
        if effects.goes() {
            self.record(at, decision.note);
        } else if of.machine.current().is_some_and(|(current, _)| current == number)
            && let Note::Transaction(_, state @ Some(State::Trying)) = decision.note
        {
            at.shared.pins.renew(at.now, key, false, state);
        }
        if effects.into_iter().any(|effect| matches!(effect, Effect::Ack(_))) {
            self.remember_to(at);
        }
        let is_kept =
            effects.into_iter().any(|effect| matches!(effect, Effect::Keep | Effect::ForwardKept));
        if !is_kept && !effects.goes() {
            return None;
        }
        self.edits.clear();
        if !self.edit_response(at) {
            return None;
        }
        let place = self.place();
        let len = self.edits.len_after(place)?;
        if is_kept {
            self.keep(at, id, place);
        }
        let flow = flow.filter(|_| effects.goes())?;
        Some(Leaving { flow, place, len })
    }

    /// Keeps the response in hand as the caller gets it.
    fn keep(&mut self, at: &Arrival, id: Id, place: Span) {
        let Stateful { sent, transactions, .. } = &mut self.stateful;
        sent.clear();
        self.edits.copy(at.bytes, place, |piece| sent.extend_from_slice(piece));
        if !transactions.keep_response(id, sent) {
            count(&at.shared.transaction_counters.no_room, 1);
            transactions.get_mut(id).machine.nothing_kept();
        }
    }

    /// Keeps the To row of the response in hand.
    fn remember_to(&mut self, at: &Arrival) {
        let to_row = &mut self.stateful.to_row;
        to_row.clear();
        let mut rows = Rows::new(at.bytes, self.message.rows_start);
        if let Some(row) = rows.find(|row| row.name == HeaderName::To) {
            to_row.extend_from_slice(row.whole.of(at.bytes));
        }
    }
}

/// Tells the machine of a transaction of an event. Returns the transaction, the destination of its current
/// try before that, and what is to be done.
fn step(
    transactions: &mut Transactions,
    when: &When,
    id: Id,
    event: impl FnOnce(&mut Machine, &Failover) -> Effects,
) -> (Id, Option<Slot>, Effects) {
    let of = transactions.get_mut(id);
    let before = of.machine.current().map(|(_, slot)| slot);
    (id, before, event(&mut of.machine, when.failover(of.about.set)))
}

/// Returns how a response with this code changes its try.
fn progress(client: Client, code: u16) -> Progress {
    let before = match client {
        Client::Calling => State::None,
        Client::Proceeding => State::Trying,
        Client::Completed | Client::Accepted | Client::Over => State::Final,
    };
    let now = match code {
        100 => State::Trying,
        101..=199 => State::Ringing,
        _ => State::Final,
    };
    Progress { before, now }
}

/// Returns the key of the pin of a transaction: all its tries have one.
pub(super) fn pin_key(of: &Transaction) -> PinKey {
    Branch { hash: of.key(), try_number: 0 }.pin_key()
}
