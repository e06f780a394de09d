//! What a transaction sends besides the message in hand: tries, copies, ACK, CANCEL and our own answers.
//!
//! All of it is written from the request as it was received. A try is written like any request; ACK and
//! CANCEL are made of the rows of the try as it is sent:
//!
//! ```text
//! INVITE sip:a@b SIP/2.0                    ACK sip:a@b SIP/2.0
//! Via: ours                                 Via: ours
//! Via: the caller's
//! Max-Forwards, Route, From, Call-ID        Max-Forwards, Route, From, Call-ID
//! To                                        To, of the response
//! CSeq: 1 INVITE                            CSeq: 1 ACK
//! …                                         Content-Length: 0
//! ```

use super::branch::Branch;
use super::decision::{Hop, Request, Rule};
use super::event::LeftTry;
use super::hop::hop_to;
use super::stateful::{When, pin_key};
use super::verdict::{Answer, Reason, Verdict};
use super::{Arrival, Cause, Core, Event, Flow, Outbox};
use crate::destination::Slot;
use crate::limits;
use crate::message::{HeaderName, Method, Rows};
use crate::pin::State;
use crate::transaction::{Effect, Effects, Id, Left, Own, TRIES_MAX, TryNumber, count};

impl Core {
    /// Does what a transaction wants done, besides what becomes of the message in hand; then puts the
    /// transaction in order. `before` is the destination of the try that was current.
    pub(super) fn perform(
        &mut self,
        when: &When,
        id: Id,
        before: Option<Slot>,
        effects: Effects,
        outbox: &mut Outbox,
        tell: &mut impl FnMut(&Event<'_>),
    ) {
        if effects.needs_request() {
            let mut request = std::mem::take(&mut self.stateful.request);
            let len = self.stateful.transactions.copy_request(id, &mut request);
            let origin = self.stateful.transactions.get(id).about.origin;
            let at = &Arrival {
                now: when.now,
                shared: when.shared,
                snapshot: when.snapshot,
                flow: origin.flow,
                bytes: &request[..len],
            };
            self.read(at.shared, at.bytes);
            let mut todo = effects;
            // A try that cannot be written is left at once, and each has a destination of its own.
            for _ in 0..=TRIES_MAX {
                todo = self.perform_each(at, id, before, todo, outbox, tell);
                if todo.is_empty() {
                    break;
                }
            }
            self.stateful.request = request;
        }
        if self.stateful.transactions.update(when.now, id) {
            count(&when.shared.transaction_counters.ended, 1);
        }
    }

    /// Does these; returns what follows from them.
    fn perform_each(
        &mut self,
        at: &Arrival,
        id: Id,
        before: Option<Slot>,
        effects: Effects,
        outbox: &mut Outbox,
        tell: &mut impl FnMut(&Event<'_>),
    ) -> Effects {
        let counters = &at.shared.transaction_counters;
        for effect in effects {
            match effect {
                Effect::Trying => {
                    let set = self.stateful.transactions.get(id).about.set;
                    self.say_trying(at, outbox, set);
                }
                Effect::Repeat => {
                    if let Verdict::Answered(_) = self.repeat_response(at, id, outbox) {
                        outbox.last_is_of_transaction();
                    }
                }
                Effect::SendBest => {
                    if self.send_kept(id, outbox) {
                        outbox.last_is_of_transaction();
                    }
                    self.end_without(at, id, before);
                }
                Effect::Answer(own) => {
                    let set = self.stateful.transactions.get(id).about.set;
                    if let Verdict::Answered(_) = self.answer(at, outbox, answer_of(own), set) {
                        outbox.last_is_of_transaction();
                    }
                    self.end_without(at, id, before);
                }
                Effect::Request(number) => {
                    count(&counters.repeated, 1);
                    self.send_try(at, id, number, outbox);
                }
                Effect::Ack(number) => {
                    self.send_of(at, id, number, Derived::Ack, outbox);
                }
                Effect::Cancel(number) => {
                    count(&counters.cancels, 1);
                    self.send_of(at, id, number, Derived::Cancel, outbox);
                }
                Effect::Left(number, why) => self.report_left(at, id, (number, why), tell),
                Effect::Next => return self.next_try(at, id, before, outbox, tell),
                Effect::Forward | Effect::ForwardKept | Effect::Keep | Effect::Won(_) => {}
            }
        }
        Effects::default()
    }

    /// Sends the request to the next destination; returns what follows if there is none.
    fn next_try(
        &mut self,
        at: &Arrival,
        id: Id,
        before: Option<Slot>,
        outbox: &mut Outbox,
        tell: &mut impl FnMut(&Event<'_>),
    ) -> Effects {
        let counters = &at.shared.transaction_counters;
        let of = self.stateful.transactions.get(id);
        let (set, key) = (of.about.set, pin_key(of));
        let failover = When::of(at).failover(set);
        let chosen = self.request_of(at, id, 0).and_then(|request| {
            let (percent, least) = (failover.retries_percent, failover.retries_min);
            let of_set = at.snapshot.destinations.set(set)?;
            if !of_set.load().tries().take(at.now, percent, least) {
                count(&counters.over_budget, 1);
                return None;
            }
            let tried = self.stateful.transactions.get(id).machine.slots();
            let slot = self.choose_next(at, &request, set, &tried);
            if slot.is_none() {
                count(&counters.none_left, 1);
            }
            slot
        });
        let machine = &mut self.stateful.transactions.get_mut(id).machine;
        let Some(slot) = chosen else { return machine.none_left(at.now) };
        count(&counters.further_tries, 1);
        let number = machine.begin_try(at.now, slot, failover);
        at.shared.pins.follow(at.now, key, slot, number, State::None);
        self.end_call_before(at, before);
        if let Some(dispatched) = self.dispatched(at, slot) {
            tell(&Event::Dispatched(dispatched));
        }
        if self.send_try(at, id, number, outbox) {
            return Effects::default();
        }
        self.stateful.transactions.get_mut(id).machine.unreachable(at.now, number, failover)
    }

    /// Counts a try that was left, and tells of it.
    fn report_left(
        &self,
        at: &Arrival,
        id: Id,
        (number, why): (TryNumber, Left),
        tell: &mut impl FnMut(&Event<'_>),
    ) {
        at.shared.transaction_counters.left(why);
        let machine = &self.stateful.transactions.get(id).machine;
        let after_ms = machine.age_ms(at.now, number);
        let slot = machine.slot_of(number);
        if let Some(of) = slot.and_then(|slot| self.dispatched(at, slot)) {
            tell(&Event::Left(LeftTry { of, why, after_ms }));
        }
    }

    /// The request ends without a response of the destination that was tried last.
    fn end_without(&mut self, at: &Arrival, id: Id, before: Option<Slot>) {
        let key = pin_key(self.stateful.transactions.get(id));
        at.shared.pins.renew(at.now, key, false, Some(State::Final));
        self.end_call_before(at, before);
    }

    /// Ends the call at the destination that was tried before.
    fn end_call_before(&self, at: &Arrival, before: Option<Slot>) {
        if let Some(before) = before.filter(|_| self.message.method == Method::Invite) {
            self.end_call_at(at, before);
        }
    }

    /// Sends the response that the caller got once more: the kept one, or our own.
    pub(super) fn repeat_response(&mut self, at: &Arrival, id: Id, outbox: &mut Outbox) -> Verdict {
        let of = self.stateful.transactions.get(id);
        let (set, own) = (of.about.set, of.machine.own_answer());
        if let Some(own) = own {
            return match self.answer(at, outbox, answer_of(own), set) {
                Verdict::Answered(_) => Verdict::Answered(Answer::Repeated),
                other => other,
            };
        }
        if self.send_kept(id, outbox) {
            Verdict::Answered(Answer::Repeated)
        } else {
            Verdict::Dropped(Reason::Absorbed)
        }
    }

    fn send_kept(&mut self, id: Id, outbox: &mut Outbox) -> bool {
        let transactions = &self.stateful.transactions;
        if !transactions.has_response(id) {
            return false;
        }
        let origin = transactions.get(id).about.origin;
        let flow = origin.flow.reply(origin.response_address);
        outbox.begin();
        transactions.response(id).for_each(|piece| outbox.write(piece));
        outbox.finish(flow, Cause::Answer, flow.payload_max())
    }

    /// Returns this try of the request in hand; marks our own Routes.
    fn request_of(&mut self, at: &Arrival, id: Id, number: TryNumber) -> Option<Request> {
        self.routes.read(&self.message, at.bytes).then_some(())?;
        let (_, restored_uri) = self.take_own_routes(at);
        let of = self.stateful.transactions.get(id);
        let branch = Branch { hash: of.key(), try_number: number };
        let from_destination = of.about.from_destination;
        Some(Request { branch, from_destination, restored_uri, is_try: true })
    }

    /// Writes this try of the request in hand as edits; returns where it goes and how long it is.
    fn write_try(&mut self, at: &Arrival, id: Id, number: TryNumber) -> Option<(Flow, usize)> {
        let slot = self.stateful.transactions.get(id).machine.slot_of(number)?;
        let request = self.request_of(at, id, number)?;
        let hop: Hop = hop_to(at, slot, Rule::Transaction).ok()?;
        self.edits.clear();
        let form = self.stateful.transactions.get(id).about.form;
        self.edit_request(at, &request, &hop, Some(form)).then_some(())?;
        let len = self.edits.len_after(self.place())?;
        (len <= hop.flow.payload_max()).then_some((hop.flow, len))
    }

    fn send_try(&mut self, at: &Arrival, id: Id, number: TryNumber, outbox: &mut Outbox) -> bool {
        let Some((flow, len)) = self.write_try(at, id, number) else { return false };
        outbox.begin();
        self.edits.copy(at.bytes, self.place(), |piece| outbox.write(piece));
        outbox.finish(flow, Cause::Transaction, len)
    }

    /// Sends the ACK or CANCEL of a try.
    fn send_of(
        &mut self,
        at: &Arrival,
        id: Id,
        number: TryNumber,
        what: Derived,
        outbox: &mut Outbox,
    ) -> bool {
        let Some((flow, _)) = self.write_try(at, id, number) else { return false };
        let place = self.place();
        let sent = &mut self.stateful.sent;
        sent.clear();
        self.edits.copy(at.bytes, place, |piece| sent.extend_from_slice(piece));
        outbox.begin();
        write_derived(sent, &self.stateful.to_row, what, outbox);
        outbox.finish(flow, Cause::Transaction, flow.payload_max().min(limits::SLOT_BYTES))
    }
}

/// A request that is made of a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Derived {
    /// §17.1.1.3: the ACK to a response that is no 2xx.
    Ack,
    /// §9.1
    Cancel,
}

/// Writes the ACK or CANCEL of a request that was sent like this. The top Via is its first row.
fn write_derived(sent: &[u8], to_row: &[u8], what: Derived, outbox: &mut Outbox) {
    let method: &[u8] = if what == Derived::Ack { b"ACK" } else { b"CANCEL" };
    let line_end = memchr::memchr(b'\n', sent).map_or(sent.len(), |at| at + 1);
    let method_end = memchr::memchr(b' ', &sent[..line_end]).unwrap_or(0);
    outbox.write(method);
    outbox.write(&sent[method_end..line_end]);
    let mut has_via = false;
    for row in Rows::new(sent, line_end) {
        match row.name {
            HeaderName::Via if !has_via => {
                has_via = true;
                outbox.write(row.whole.of(sent));
            }
            HeaderName::To if what == Derived::Ack && !to_row.is_empty() => outbox.write(to_row),
            HeaderName::MaxForwards
            | HeaderName::Route
            | HeaderName::From
            | HeaderName::To
            | HeaderName::CallId => outbox.write(row.whole.of(sent)),
            HeaderName::CSeq => {
                let value = row.value.of(sent);
                let digits = value.iter().position(u8::is_ascii_digit).unwrap_or(0);
                let len = value[digits..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                outbox.write(b"CSeq: ");
                outbox.write(&value[digits..digits + len]);
                outbox.write(b" ");
                outbox.write(method);
                outbox.write(b"\r\n");
            }
            _ => {}
        }
    }
    outbox.write(b"Content-Length: 0\r\n\r\n");
}

fn answer_of(own: Own) -> Answer {
    match own {
        Own::Timeout => Answer::Timeout,
        Own::Terminated => Answer::Terminated,
        Own::Failed => Answer::Failed,
    }
}
