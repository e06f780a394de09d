//! One transaction: the server transaction towards the caller, and the client transactions towards the
//! destinations, which are its tries (RFC 3261 §17, RFC 6026, RFC 4320).
//!
//! ```text
//! server, INVITE   Proceeding -300..699-> Completed -ACK-> Confirmed -I-> Ended
//!                      |                      '-----H---------------------^ ^
//!                      '-----2xx-----> Accepted ---------L------------------'
//! server, other    Proceeding -final-> Completed -J-> Ended
//!
//! try, INVITE      Calling -1xx-> Proceeding -300..699-> Completed -D-> Over
//!                      |              '--2xx-> Accepted ----M------------^
//! try, other       Calling -1xx-> Proceeding -final-> Completed ----K----^
//! ```
//!
//! At most one try is *current*: it is the one that the caller hears of. The others were *left*. A left
//! try of an INVITE is cancelled as soon as its destination has sent a provisional response (§9.1);
//! only its 2xx still goes to the caller.

use super::effect::{Effect, Effects, Left, Own, TryNumber};
use super::{Failover, T1_MS, T2_MS, T4_MS, TIMEOUT_MS, TRIES_MAX, TRYING_MS};
use crate::clock::Now;
use crate::destination::Slot;

/// Returns the place of a final response in the order of §16.7 item 6: lower is better.
fn rank_of(code: u16) -> u16 {
    match code {
        600.. => 0,
        401 | 407 | 415 | 420 | 484 => 40,
        _ => code / 100 * 10 + 5,
    }
}

/// Milliseconds since the transaction began.
type At = u32;

const NEVER: At = At::MAX;

/// The state towards the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    /// No final response was sent.
    Proceeding,
    /// A final response was sent, to an INVITE other than a 2xx.
    Completed,
    /// The caller has acknowledged it.
    Confirmed,
    /// A 2xx to an INVITE was sent.
    Accepted,
    /// Nothing of the caller is expected any more.
    Ended,
}

/// The state towards one destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Client {
    /// Nothing was received.
    Calling,
    /// A provisional response was received.
    Proceeding,
    /// A final response was received, to an INVITE other than a 2xx.
    Completed,
    /// A 2xx to an INVITE was received.
    Accepted,
    /// Nothing of the destination is expected any more.
    #[default]
    Over,
}

/// The state of the CANCEL of a try.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Cancel {
    #[default]
    No,
    /// It is sent when a provisional response comes.
    Wanted,
    /// It was sent, and is repeated until it is answered.
    Sent,
    Answered,
}

/// A request at one destination.
#[derive(Clone, Copy, Debug)]
struct Try {
    slot: Slot,
    state: Client,
    cancel: Cancel,
    is_left: bool,
    /// It was reported as left.
    is_reported: bool,
    /// Its destination sent a 101 to 199.
    has_rung: bool,
    began: At,
    /// When the request, or its CANCEL, is sent again, and how long after that the next time.
    again: At,
    interval: u32,
    /// When the state ends by itself.
    due: At,
}

/// The best final response so far.
#[derive(Clone, Copy, Debug)]
struct Best {
    code: u16,
    /// A destination sent it, and it is kept. Otherwise it stands for one that sent nothing.
    is_kept: bool,
}

/// One transaction.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    began: Now,
    is_invite: bool,
    server: Server,
    /// When our final response is sent again, or a 100 to a request that is no INVITE.
    again: At,
    interval: u32,
    /// When the state towards the caller ends by itself.
    due: At,
    /// The caller has cancelled.
    is_cancelled: bool,
    /// No further destination is tried: somebody declined for good (6xx), or the last one is waited for.
    is_stopped: bool,
    /// A 101 to 199 went to the caller.
    has_rung: bool,
    /// A 100 went to the caller, although it is no INVITE.
    has_trying: bool,
    /// The final response to the caller, if it is our own.
    own: Option<Own>,
    best: Option<Best>,
    tries: [Try; TRIES_MAX],
    count: u8,
    current: Option<TryNumber>,
}

const NO_TRY: Try = Try {
    slot: Slot(0),
    state: Client::Over,
    cancel: Cancel::No,
    is_left: false,
    is_reported: false,
    has_rung: false,
    began: 0,
    again: NEVER,
    interval: 0,
    due: NEVER,
};

impl Machine {
    /// Begins a transaction with its first try.
    pub(crate) fn new(now: Now, is_invite: bool, slot: Slot, failover: &Failover) -> Self {
        let mut machine = Self {
            began: now,
            is_invite,
            server: Server::Proceeding,
            again: if is_invite { NEVER } else { TRYING_MS },
            interval: T1_MS,
            due: NEVER,
            is_cancelled: false,
            is_stopped: false,
            has_rung: false,
            has_trying: false,
            own: None,
            best: None,
            tries: [NO_TRY; TRIES_MAX],
            count: 0,
            current: None,
        };
        machine.begin_try(now, slot, failover);
        machine
    }

    /// Records that the request is sent to this destination now; returns the number of the try.
    pub(crate) fn begin_try(&mut self, now: Now, slot: Slot, failover: &Failover) -> TryNumber {
        let at = self.at(now);
        let number = self.count;
        self.tries[usize::from(number)] = Try {
            slot,
            state: Client::Calling,
            began: at,
            again: at + T1_MS,
            interval: T1_MS,
            due: at + failover.first_response_ms.min(TIMEOUT_MS),
            ..NO_TRY
        };
        self.count += 1;
        self.current = Some(number);
        number
    }

    /// Records that there is no other destination for the request.
    pub(crate) fn none_left(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        self.conclude(self.at(now), &mut effects);
        effects
    }

    /// A copy of the request came from the caller.
    pub(crate) fn request_again(&self) -> Effects {
        let mut effects = Effects::default();
        match self.server {
            // Unless a final response is kept instead.
            Server::Proceeding if self.has_rung && !self.has_kept_final() => {
                effects.push(Effect::Repeat);
            }
            Server::Proceeding if self.is_invite || self.has_trying => {
                effects.push(Effect::Trying);
            }
            Server::Completed => effects.push(Effect::Repeat),
            _ => {}
        }
        effects
    }

    /// The ACK to our final response came from the caller.
    pub(crate) fn ack(&mut self, now: Now) {
        if self.is_invite && self.server == Server::Completed {
            self.server = Server::Confirmed;
            self.again = NEVER;
            self.due = self.at(now) + T4_MS;
        }
    }

    /// A CANCEL came from the caller. It is answered in any case (§9.2).
    pub(crate) fn cancel(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        if self.is_invite && self.server == Server::Proceeding && !self.is_cancelled {
            self.is_cancelled = true;
            if let Some(number) = self.current {
                self.cancel_try(number, self.at(now), &mut effects);
            }
        }
        effects
    }

    /// A response to this try came.
    pub(crate) fn response(
        &mut self,
        now: Now,
        number: TryNumber,
        code: u16,
        failover: &Failover,
    ) -> Effects {
        let mut effects = Effects::default();
        let at = self.at(now);
        if number >= self.count {
            return effects;
        }
        match (code, self.is_invite) {
            (..200, true) => self.provisional(at, number, code, failover, &mut effects),
            (..200, false) => self.trying(at, number),
            (200..300, true) => self.accepted(at, number, &mut effects),
            (_, true) => self.refused(at, number, code, failover, &mut effects),
            (_, false) => self.final_to_other(at, number, code, failover, &mut effects),
        }
        effects
    }

    /// There was no room for the response that was to be kept. If it was the best one, our own response
    /// takes its place.
    pub(crate) fn nothing_kept(&mut self) {
        if let Some(best) = &mut self.best {
            best.is_kept = false;
        }
    }

    /// The CANCEL of this try was answered.
    pub(crate) fn cancel_answered(&mut self, number: TryNumber) {
        let Some(of) = self.tries[..usize::from(self.count)].get_mut(usize::from(number)) else {
            return;
        };
        if of.cancel == Cancel::Sent {
            of.cancel = Cancel::Answered;
            of.again = NEVER;
        }
    }

    /// A message of this try cannot be delivered.
    pub(crate) fn unreachable(
        &mut self,
        now: Now,
        number: TryNumber,
        failover: &Failover,
    ) -> Effects {
        let mut effects = Effects::default();
        let Some(of) = self.tries[..usize::from(self.count)].get_mut(usize::from(number)) else {
            return effects;
        };
        if !of.is_pending() || of.has_rung {
            return effects;
        }
        of.end();
        if self.current == Some(number) {
            self.fail(number, self.at(now), (503, Left::Unreachable), failover, &mut effects);
        }
        effects
    }

    /// The destination of the current try was declared inactive.
    pub(crate) fn destination_lost(&mut self, now: Now, failover: &Failover) -> Effects {
        let mut effects = Effects::default();
        let at = self.at(now);
        if let Some(number) = self.current {
            self.leave(number, at, &mut effects);
            self.fail(number, at, (503, Left::Inactive), failover, &mut effects);
        }
        effects
    }

    /// Does what is due at this time, or a part of it: then [`Machine::due`] is still past.
    pub(crate) fn timer(&mut self, now: Now, failover: &Failover) -> Effects {
        let mut effects = Effects::default();
        let at = self.at(now);
        if self.due <= at {
            self.end();
        } else if self.again <= at {
            self.repeat_to_caller(at, &mut effects);
        } else {
            for number in 0..self.count {
                let of = &self.tries[usize::from(number)];
                if of.due <= at {
                    self.try_due(number, at, failover, &mut effects);
                    break;
                } else if of.again <= at {
                    self.repeat_to_destination(number, at, &mut effects);
                    break;
                }
            }
        }
        effects
    }

    /// Returns when [`Machine::timer`] has something to do; `None` if never again.
    pub(crate) fn due(&self) -> Option<Now> {
        let tries = self.tries[..usize::from(self.count)].iter();
        let first = tries.flat_map(|of| [of.again, of.due]).chain([self.again, self.due]).min();
        first.filter(|at| *at != NEVER).map(|at| self.began.plus_ms(at.into()))
    }

    /// Returns whether nothing more is expected of anybody.
    pub(crate) fn is_over(&self) -> bool {
        self.server == Server::Ended && self.tries().iter().all(|of| of.state == Client::Over)
    }

    /// Returns whether the request may still have to be sent, answered, acknowledged or cancelled.
    pub(crate) fn needs_request(&self) -> bool {
        let is_answered_by_us = self.server == Server::Completed && self.own.is_some();
        let is_open = |of: &Try| of.is_pending() || self.is_invite && of.state == Client::Completed;
        self.server == Server::Proceeding || is_answered_by_us || self.tries().iter().any(is_open)
    }

    /// Returns whether the kept response may still have to be sent.
    pub(crate) fn needs_response(&self) -> bool {
        match self.server {
            Server::Proceeding => true,
            Server::Completed => self.own.is_none(),
            _ => false,
        }
    }

    /// Returns our own final response if that is what the caller got.
    pub(crate) fn own_answer(&self) -> Option<Own> {
        self.own
    }

    /// Returns whether it is an INVITE.
    pub(crate) fn is_invite(&self) -> bool {
        self.is_invite
    }

    /// Returns the state towards the caller.
    pub(crate) fn server(&self) -> Server {
        self.server
    }

    /// Returns the current try and its destination.
    pub(crate) fn current(&self) -> Option<(TryNumber, Slot)> {
        self.current.map(|number| (number, self.tries[usize::from(number)].slot))
    }

    /// Returns the destination of this try; `None` if there was no such try.
    pub(crate) fn slot_of(&self, number: TryNumber) -> Option<Slot> {
        self.tries().get(usize::from(number)).map(|of| of.slot)
    }

    /// Returns how many milliseconds ago this try began.
    pub(crate) fn age_ms(&self, now: Now, number: TryNumber) -> u32 {
        let began = self.tries().get(usize::from(number)).map_or(0, |of| of.began);
        self.at(now).saturating_sub(began)
    }

    /// Returns the state of this try; `None` if there was no such try.
    pub(crate) fn client(&self, number: TryNumber) -> Option<Client> {
        self.tries().get(usize::from(number)).map(|of| of.state)
    }

    /// Returns the destinations that were tried.
    pub(crate) fn slots(&self) -> Tried {
        let mut slots = [Slot(0); TRIES_MAX];
        for (slot, of) in slots.iter_mut().zip(self.tries()) {
            *slot = of.slot;
        }
        Tried { slots, count: self.tries().len() }
    }

    fn tries(&self) -> &[Try] {
        &self.tries[..usize::from(self.count)]
    }

    fn at(&self, now: Now) -> At {
        // A transaction lives for minutes; forty-nine days do not happen.
        now.ms().saturating_sub(self.began.ms()).min(u64::from(NEVER / 2)) as At
    }

    fn provisional(
        &mut self,
        at: At,
        number: TryNumber,
        code: u16,
        failover: &Failover,
        effects: &mut Effects,
    ) {
        let of = &mut self.tries[usize::from(number)];
        if !of.is_pending() {
            return;
        }
        let is_first = of.state == Client::Calling;
        of.state = Client::Proceeding;
        if is_first {
            of.again = NEVER;
        }
        if of.cancel == Cancel::Wanted {
            self.send_cancel(number, at, effects);
        } else if of.cancel == Cancel::No {
            let of = &mut self.tries[usize::from(number)];
            of.has_rung |= code > 100;
            if of.has_rung && code > 100 {
                of.due = at + failover.ringing_ms;
            } else if is_first && failover.progress_ms > 0 {
                of.due = at + failover.progress_ms;
            } else if is_first {
                of.due = at + failover.ringing_ms;
            }
        }
        let is_heard = self.current == Some(number) && self.server == Server::Proceeding;
        if is_heard && code > 100 {
            self.has_rung = true;
            // The best final response of the others is needed if this one ends without any.
            effects.push(if self.has_kept_final() { Effect::Forward } else { Effect::ForwardKept });
        }
    }

    /// A provisional response to a request that is no INVITE: it goes no further (RFC 4320 §4.1).
    fn trying(&mut self, at: At, number: TryNumber) {
        let of = &mut self.tries[usize::from(number)];
        if of.state == Client::Calling {
            of.state = Client::Proceeding;
            of.due = of.began + TIMEOUT_MS;
            if !of.is_left {
                of.interval = T2_MS;
                of.again = at + T2_MS;
            }
        }
    }

    /// A 2xx to an INVITE: it goes to the caller at once, whichever try it is of, and so does each
    /// further one (RFC 6026 §8).
    fn accepted(&mut self, at: At, number: TryNumber, effects: &mut Effects) {
        let of = &mut self.tries[usize::from(number)];
        if of.state != Client::Accepted {
            of.state = Client::Accepted;
            of.again = NEVER;
            of.due = at + TIMEOUT_MS;
        }
        effects.push(Effect::Forward);
        if self.server != Server::Proceeding {
            return;
        }
        self.server = Server::Accepted;
        self.again = NEVER;
        self.due = at + TIMEOUT_MS;
        effects.push(Effect::Won(number));
        match self.current {
            Some(other) if other != number => self.overtake(other, at, effects),
            _ => self.current = None,
        }
    }

    /// A 300 to 699 to an INVITE.
    fn refused(
        &mut self,
        at: At,
        number: TryNumber,
        code: u16,
        failover: &Failover,
        effects: &mut Effects,
    ) {
        let of = &mut self.tries[usize::from(number)];
        let is_first = of.is_pending();
        if is_first {
            of.state = Client::Completed;
            of.again = NEVER;
            of.due = at + TIMEOUT_MS;
        }
        if is_first || of.state == Client::Completed {
            effects.push(Effect::Ack(number));
        }
        if is_first {
            self.ended_with(at, number, code, failover, effects);
        }
    }

    /// A final response to a request that is no INVITE.
    fn final_to_other(
        &mut self,
        at: At,
        number: TryNumber,
        code: u16,
        failover: &Failover,
        effects: &mut Effects,
    ) {
        let of = &mut self.tries[usize::from(number)];
        if !of.is_pending() {
            return;
        }
        of.state = Client::Completed;
        of.again = NEVER;
        of.due = at + T4_MS;
        if code == 408 {
            // RFC 4320 §4.2: it goes no further, as if nothing had come.
            if self.current == Some(number) {
                self.is_stopped |= !failover.codes.contains(code);
                self.fail(number, at, (code, Left::Code(code)), failover, effects);
            }
        } else if code < 300 && self.server == Server::Proceeding {
            if let Some(other) = self.current.filter(|current| *current != number) {
                self.overtake(other, at, effects);
            }
            self.current = None;
            self.forward_final(at, effects);
        } else {
            self.ended_with(at, number, code, failover, effects);
        }
    }

    /// The first final response of this try: none to an INVITE that is a 2xx.
    fn ended_with(
        &mut self,
        at: At,
        number: TryNumber,
        code: u16,
        failover: &Failover,
        effects: &mut Effects,
    ) {
        if self.server != Server::Proceeding {
            return;
        }
        if self.current != Some(number) {
            let cancel = self.tries[usize::from(number)].cancel;
            if code == 487 && matches!(cancel, Cancel::Sent | Cancel::Answered) {
                // We have cancelled it, not the caller.
                return;
            }
            self.keep_if_better(code, effects);
            if self.current.is_none() {
                // Only the caller was waiting.
                self.conclude(at, effects);
                return;
            }
            // §16.7 item 5: nobody else is asked once somebody has declined for good.
            if code >= 600 {
                self.is_stopped = true;
                if let Some(current) = self.current.filter(|_| self.is_invite) {
                    self.cancel_try(current, at, effects);
                }
            }
            return;
        }
        // A later try may reach the same server by another address.
        let is_loop = number > 0 && code == 482;
        if (failover.codes.contains(code) || is_loop) && self.may_go_on(at, failover) {
            self.current = None;
            self.keep_if_better(code, effects);
            self.report_left(number, Left::Code(code), effects);
            effects.push(Effect::Next);
            return;
        }
        self.current = None;
        let is_worse = self.best.is_some_and(|best| self.rank(best) < rank_of(code));
        if is_worse && !self.is_cancelled {
            self.report_left(number, Left::Code(code), effects);
            self.conclude(at, effects);
        } else if code == 503 {
            self.report_left(number, Left::Code(code), effects);
            self.answer(at, Own::Failed, effects);
        } else {
            self.forward_final(at, effects);
        }
    }

    fn has_kept_final(&self) -> bool {
        self.best.is_some_and(|best| best.is_kept)
    }

    fn keep_if_better(&mut self, code: u16, effects: &mut Effects) {
        if self.best.is_none_or(|best| rank_of(code) <= self.rank(best)) {
            self.best = Some(Best { code, is_kept: true });
            effects.push(Effect::Keep);
        }
    }

    /// The current try has failed without a response; `code` stands for it (§16.8, §16.9).
    fn fail(
        &mut self,
        number: TryNumber,
        at: At,
        (code, why): (u16, Left),
        failover: &Failover,
        effects: &mut Effects,
    ) {
        self.current = None;
        if self.server != Server::Proceeding {
            return;
        }
        let failed = Best { code, is_kept: false };
        if self.best.is_none_or(|best| self.rank(failed) < self.rank(best)) {
            self.best = Some(failed);
        }
        if self.may_go_on(at, failover) {
            self.report_left(number, why, effects);
            effects.push(Effect::Next);
        } else {
            self.conclude(at, effects);
            // It may have been taken up again, because there is no other.
            if self.current.is_none() {
                self.report_left(number, why, effects);
            }
        }
    }

    fn report_left(&mut self, number: TryNumber, why: Left, effects: &mut Effects) {
        let of = &mut self.tries[usize::from(number)];
        if !of.is_reported {
            of.is_reported = true;
            effects.push(Effect::Left(number, why));
        }
    }

    /// Returns whether the request may go to another destination: nobody is ringing, and neither the
    /// caller nor a callee has ended it.
    fn may_go_on(&self, at: At, failover: &Failover) -> bool {
        !self.is_cancelled
            && !self.is_stopped
            && !self.has_rung
            && usize::from(self.count) < usize::from(failover.tries_max).min(TRIES_MAX)
            && at < failover.total_ms
    }

    /// Sends the caller the best final response that there is (§16.7 item 6).
    fn conclude(&mut self, at: At, effects: &mut Effects) {
        if self.server != Server::Proceeding {
            return;
        }
        match self.best {
            _ if self.is_cancelled => self.answer(at, Own::Terminated, effects),
            Some(Best { is_kept: true, code }) if code != 503 => {
                effects.push(Effect::SendBest);
                self.complete(at);
            }
            Some(Best { is_kept: false, code: 408 }) if self.is_invite => {
                self.answer(at, Own::Timeout, effects);
            }
            Some(Best { is_kept: false, code: 408 }) => self.wait_on(at),
            _ => self.answer(at, Own::Failed, effects),
        }
    }

    /// No destination has answered a request that is no INVITE, and there is no other. The caller waits for
    /// 64*T1, so the last one is asked until then. After that the caller's own timer ends it (RFC 4320
    /// §4.2).
    fn wait_on(&mut self, at: At) {
        self.is_stopped = true;
        let number = self.count - 1;
        let of = &mut self.tries[usize::from(number)];
        let end = of.began + TIMEOUT_MS;
        if of.is_pending() && at < end {
            of.is_left = false;
            of.interval = T2_MS;
            of.again = at + T2_MS;
            of.due = end;
            self.current = Some(number);
        } else if at < TIMEOUT_MS {
            self.due = TIMEOUT_MS;
        } else {
            self.end();
        }
    }

    /// Returns the place of a try's end among the others: lower is better.
    fn rank(&self, best: Best) -> u16 {
        // Silence is the last thing that a request that is no INVITE should get.
        if best.code == 408 && !best.is_kept && !self.is_invite {
            return u16::MAX;
        }
        rank_of(best.code)
    }

    fn answer(&mut self, at: At, own: Own, effects: &mut Effects) {
        self.own = Some(own);
        effects.push(Effect::Answer(own));
        self.complete(at);
    }

    fn forward_final(&mut self, at: At, effects: &mut Effects) {
        effects.push(Effect::ForwardKept);
        self.complete(at);
    }

    /// A final response goes to the caller, to an INVITE no 2xx.
    fn complete(&mut self, at: At) {
        self.server = Server::Completed;
        self.due = at + TIMEOUT_MS;
        self.interval = T1_MS;
        self.again = if self.is_invite { at + T1_MS } else { NEVER };
    }

    fn end(&mut self) {
        self.server = Server::Ended;
        self.again = NEVER;
        self.due = NEVER;
    }

    fn repeat_to_caller(&mut self, at: At, effects: &mut Effects) {
        if self.server == Server::Completed {
            effects.push(Effect::Repeat);
            self.interval = (2 * self.interval).min(T2_MS);
            self.again = at + self.interval;
        } else {
            self.has_trying = true;
            effects.push(Effect::Trying);
            self.again = NEVER;
        }
    }

    fn repeat_to_destination(&mut self, number: TryNumber, at: At, effects: &mut Effects) {
        let is_invite = self.is_invite;
        let of = &mut self.tries[usize::from(number)];
        if of.cancel == Cancel::Sent {
            effects.push(Effect::Cancel(number));
            of.interval = (2 * of.interval).min(T2_MS);
        } else {
            effects.push(Effect::Request(number));
            // An INVITE is repeated at growing distances until Timer B (§17.1.1.2).
            of.interval = if is_invite { 2 * of.interval } else { (2 * of.interval).min(T2_MS) };
        }
        of.again = at + of.interval;
    }

    /// The state of this try ends by itself.
    fn try_due(&mut self, number: TryNumber, at: At, failover: &Failover, effects: &mut Effects) {
        let of = &mut self.tries[usize::from(number)];
        let is_current = self.current == Some(number);
        match of.state {
            _ if !is_current => of.end(),
            Client::Calling => {
                self.leave(number, at, effects);
                self.fail(number, at, (408, Left::Silent), failover, effects);
            }
            Client::Proceeding if !self.is_invite => {
                of.end();
                self.fail(number, at, (408, Left::Silent), failover, effects);
            }
            // It was cancelled, and has not ended in time.
            Client::Proceeding if of.cancel != Cancel::No => {
                of.end();
                self.fail(number, at, (408, Left::Unconfirmed), failover, effects);
            }
            Client::Proceeding if !of.has_rung && failover.progress_ms > 0 => {
                self.leave(number, at, effects);
                self.fail(number, at, (408, Left::NoProgress), failover, effects);
            }
            // §16.8: Timer C.
            Client::Proceeding => self.cancel_try(number, at, effects),
            Client::Completed | Client::Accepted | Client::Over => of.end(),
        }
    }

    /// Leaves a try for another, or for an answer.
    fn leave(&mut self, number: TryNumber, at: At, effects: &mut Effects) {
        self.current = self.current.filter(|current| *current != number);
        let is_invite = self.is_invite;
        let of = &mut self.tries[usize::from(number)];
        of.is_left = true;
        match of.state {
            Client::Calling => {
                of.again = NEVER;
                of.due = of.began + TIMEOUT_MS;
                if is_invite {
                    of.cancel = Cancel::Wanted;
                }
            }
            Client::Proceeding if is_invite => self.cancel_try(number, at, effects),
            Client::Proceeding => of.again = NEVER,
            Client::Completed | Client::Accepted | Client::Over => {}
        }
    }

    /// Leaves the current try because another one was answered with a 2xx.
    fn overtake(&mut self, number: TryNumber, at: At, effects: &mut Effects) {
        self.leave(number, at, effects);
        self.report_left(number, Left::Overtaken, effects);
    }

    /// Cancels a try, at once or as soon as its destination has sent a provisional response (§9.1).
    fn cancel_try(&mut self, number: TryNumber, at: At, effects: &mut Effects) {
        let of = &mut self.tries[usize::from(number)];
        match (of.state, of.cancel) {
            (Client::Calling, Cancel::No) => of.cancel = Cancel::Wanted,
            (Client::Proceeding, Cancel::No | Cancel::Wanted) => {
                self.send_cancel(number, at, effects);
            }
            _ => {}
        }
    }

    fn send_cancel(&mut self, number: TryNumber, at: At, effects: &mut Effects) {
        let of = &mut self.tries[usize::from(number)];
        of.cancel = Cancel::Sent;
        of.interval = T1_MS;
        of.again = at + T1_MS;
        of.due = at + TIMEOUT_MS;
        effects.push(Effect::Cancel(number));
    }
}

/// The destinations that a request was sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    slots: [Slot; TRIES_MAX],
    count: usize,
}

impl Tried {
    /// None.
    pub(crate) const NONE: Self = Self { slots: [Slot(0); TRIES_MAX], count: 0 };

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether the request was sent to this one.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.slots[..self.count].contains(&slot)
    }
}

impl Try {
    /// Returns whether a final response is still expected.
    fn is_pending(&self) -> bool {
        matches!(self.state, Client::Calling | Client::Proceeding)
    }

    fn end(&mut self) {
        self.state = Client::Over;
        self.again = NEVER;
        self.due = NEVER;
    }
}
