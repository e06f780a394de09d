//! One call of a caller: which request it sends next, and what a response means to it.

use std::net::SocketAddr;

use super::order::{LAST, Order};
use super::outbox::{Outbox, TimerKey};
use super::waits::Waits;
use crate::record::{CallOutcome, End, Kind, Latency, Record};
use crate::sip::{Dialog, Mark, Message, Names, Request, Script};

/// What all calls of one socket share.
#[derive(Debug)]
pub(super) struct Line {
    /// The number of the socket.
    pub(super) socket: usize,
    pub(super) names: Names,
    pub(super) first: Request,
    /// Whether a call is one OPTIONS.
    pub(super) is_options: bool,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    number: u64,
    due: u64,
    script: Script,
    /// Which of the lines it uses.
    pub(super) line: usize,
    target: SocketAddr,
    state: State,
    next_sequence: u8,
    order: Order,
    arrived: u16,
    /// When the request in progress was meant to be sent, and how long until it is sent again.
    since: u64,
    interval: u64,
    /// When [`Call::wake`] is due.
    timer: u64,
    answered: Option<(u64, Option<u16>)>,
}

#[derive(Debug)]
enum State {
    /// The first request has no response.
    Calling,
    /// It has a provisional response.
    Ringing,
    /// It is cancelled; the INVITE has no final response.
    Cancelling,
    /// It lasts.
    Talking(Box<Dialog>),
    /// The BYE has no response.
    Ending(Box<Dialog>),
    /// It is remembered, to know copies that come late.
    Over,
}

/// What a call works with.
pub(super) struct Context<'a> {
    pub(super) now: u64,
    pub(super) waits: &'a Waits,
    pub(super) out: &'a mut Outbox,
    pub(super) record: &'a mut Record,
}

/// What has changed for the set of calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    None,
    /// It has ended.
    Ended,
    /// It can be forgotten.
    Forget,
}

impl Call {
    /// Starts it.
    pub(super) fn start(
        number: u64,
        due: u64,
        script: Script,
        target: SocketAddr,
        (at, line): (usize, &mut Line),
        cx: &mut Context<'_>,
    ) -> Self {
        let mut call = Self {
            number,
            due,
            script,
            line: at,
            target,
            state: State::Calling,
            next_sequence: 0,
            order: Order::default(),
            arrived: 0,
            since: due,
            interval: cx.waits.t1,
            timer: 0,
            answered: None,
        };
        cx.record.ends.started += 1;
        cx.record.series.started(due);
        call.send_first(line, true, cx);
        call.wait_for_answer(cx);
        call
    }

    /// A timer of this call fired, which was set for `at`.
    pub(super) fn wake(&mut self, at: u64, line: &mut Line, cx: &mut Context<'_>) -> Change {
        // A later event has moved the timer since.
        if at != self.timer {
            return Change::None;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Change::Forget,
            State::Talking(dialog) => {
                (self.since, self.interval) = (at, cx.waits.t1);
                self.state = State::Ending(dialog);
                self.send_bye(line, true, cx);
            }
            State::Ringing if self.script == Script::Cancel => {
                (self.since, self.interval) = (at, cx.waits.t1);
                self.state = State::Cancelling;
                self.send_cancel(line, true, cx);
            }
            state => {
                self.state = state;
                if cx.now >= self.patience_ends(cx.waits) {
                    return self.give_up(cx);
                }
                self.interval *= 2;
                match &self.state {
                    State::Calling => {
                        // Timer A doubles without end, Timer E stops at T2.
                        if line.is_options {
                            self.interval = self.interval.min(cx.waits.t2);
                        }
                        self.send_first(line, false, cx);
                    }
                    State::Cancelling | State::Ending(_) => {
                        self.interval = self.interval.min(cx.waits.t2);
                        if matches!(self.state, State::Cancelling) {
                            self.send_cancel(line, false, cx);
                        } else {
                            self.send_bye(line, false, cx);
                        }
                    }
                    State::Ringing | State::Talking(_) | State::Over => {}
                }
            }
        }
        self.wait_for_answer(cx);
        Change::None
    }

    /// A response of this call came.
    pub(super) fn hear(
        &mut self,
        message: Message<'_>,
        line: &Line,
        cx: &mut Context<'_>,
    ) -> Change {
        let Some((code, kind)) = kind_of(message) else {
            return Change::None;
        };
        let (server, mark) = server_of(message);
        let Some(kind) = kind else { return Change::None };
        if let Some(mark) = mark {
            if !note(&mut self.order, &mut self.arrived, kind, mark, cx, Latency::Response) {
                return Change::None;
            }
        } else {
            cx.record.others.by_relay += 1;
        }
        match kind {
            Kind::Ringing => self.rings(cx),
            Kind::Answer | Kind::OptionsAnswer => self.answered(message, kind, server, line, cx),
            Kind::Refusal => self.refused(code, message, line, cx),
            Kind::ByeAnswer => {
                if !matches!(self.state, State::Ending(_)) {
                    return Change::None;
                }
                cx.record.latencies.note(Latency::Bye, cx.now.saturating_sub(self.since));
                let (after, server) = self.answered.expect("there was an answer before the BYE");
                self.end(End::Completed { after: nanos(after), server }, cx)
            }
            _ => Change::None,
        }
    }

    /// The caller cannot go on: the run is cut short.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) -> Change {
        let end = match (&self.state, self.answered) {
            (State::Over, _) => return Change::None,
            (_, Some((after, server))) => End::ByeLost { after: nanos(after), server },
            (_, None) if self.script == Script::Silent => End::Unanswered,
            (_, None) => End::Lost,
        };
        self.end(end, cx)
    }

    fn rings(&mut self, cx: &mut Context<'_>) -> Change {
        if !matches!(self.state, State::Calling) {
            return Change::None;
        }
        self.state = State::Ringing;
        cx.record.latencies.note(Latency::Ringing, cx.now.saturating_sub(self.due));
        let at = if self.script == Script::Cancel {
            cx.now + cx.waits.ring
        } else {
            self.patience_ends(cx.waits)
        };
        self.set_timer(at, cx);
        Change::None
    }

    fn answered(
        &mut self,
        message: Message<'_>,
        kind: Kind,
        server: Option<u16>,
        line: &Line,
        cx: &mut Context<'_>,
    ) -> Change {
        let is_first = matches!(self.state, State::Calling | State::Ringing | State::Cancelling);
        if kind == Kind::OptionsAnswer {
            return if is_first {
                let after = self.note_answer(0, cx);
                self.end(End::Completed { after: nanos(after), server }, cx)
            } else {
                Change::None
            };
        }
        let Some(dialog) = Dialog::of(message) else { return Change::None };
        // Every copy of a 2xx gets its ACK (RFC 3261 §13.2.2.4).
        let mark = self.mark(cx.now);
        let ack = cx.out.message(line.socket, self.target);
        line.names.ack(self.number, mark, &dialog, &mut ack.bytes);
        count(Kind::Ack, is_first, cx);
        if !is_first {
            return Change::None;
        }
        if self.script != Script::Talk {
            return self.end(End::Unexpected(200), cx);
        }
        let after = self.note_answer(cx.waits.ring, cx);
        self.answered = Some((after, server));
        self.state = State::Talking(Box::new(dialog));
        self.set_timer(cx.now + cx.waits.talk, cx);
        Change::None
    }

    fn refused(
        &mut self,
        code: u16,
        message: Message<'_>,
        line: &Line,
        cx: &mut Context<'_>,
    ) -> Change {
        let is_first = matches!(self.state, State::Calling | State::Ringing | State::Cancelling);
        if !line.is_options
            && let Some(to) = message.row("To")
        {
            let mark = self.mark(cx.now);
            let ack = cx.out.message(line.socket, self.target);
            line.names.ack_refusal(self.number, mark, to, &mut ack.bytes);
            count(Kind::RefusalAck, is_first, cx);
        }
        if !is_first {
            return Change::None;
        }
        let is_cancelled = matches!(self.state, State::Cancelling);
        let end = match self.script {
            Script::Cancel if is_cancelled && code == 487 => {
                let since_cancel = cx.now.saturating_sub(self.since);
                cx.record.latencies.note(Latency::Cancel, since_cancel);
                End::Cancelled
            }
            Script::Refuse if code == cx.waits.refuse_code => {
                self.note_answer(0, cx);
                End::Refused(code)
            }
            Script::Fail if code == cx.waits.fail_code => {
                self.note_answer(0, cx);
                End::Refused(code)
            }
            // A stateful relay gives up by itself.
            Script::Silent => End::Unanswered,
            _ => End::Unexpected(code),
        };
        self.end(end, cx)
    }

    /// Notes how long the answer took, without the time that the server waited with it.
    fn note_answer(&self, waited: u64, cx: &mut Context<'_>) -> u64 {
        let after = cx.now.saturating_sub(self.due + waited);
        cx.record.latencies.note(Latency::Answer, after);
        cx.record.series.answered(self.due, after);
        after
    }

    fn end(&mut self, end: End, cx: &mut Context<'_>) -> Change {
        cx.record.ends.note(end);
        cx.record.series.ended(self.due, end);
        if cx.waits.keeps_calls {
            cx.record.calls.push(CallOutcome { due: nanos(self.due), end });
        }
        self.state = State::Over;
        self.set_timer(cx.now + cx.waits.linger, cx);
        Change::Ended
    }

    fn send_first(&mut self, line: &mut Line, is_first: bool, cx: &mut Context<'_>) {
        let mark = self.mark(if is_first { self.due } else { cx.now });
        let message = cx.out.message(line.socket, self.target);
        message.bytes.extend_from_slice(line.first.write(self.number, mark));
        message.starts = is_first.then_some(self.due);
        count(if line.is_options { Kind::Options } else { Kind::Invite }, is_first, cx);
    }

    fn send_cancel(&mut self, line: &Line, is_first: bool, cx: &mut Context<'_>) {
        let mark = self.mark(if is_first { self.since } else { cx.now });
        let message = cx.out.message(line.socket, self.target);
        line.names.cancel(self.number, mark, &mut message.bytes);
        count(Kind::Cancel, is_first, cx);
    }

    fn send_bye(&mut self, line: &Line, is_first: bool, cx: &mut Context<'_>) {
        let mark = self.mark(if is_first { self.since } else { cx.now });
        let State::Ending(dialog) = &self.state else { return };
        let message = cx.out.message(line.socket, self.target);
        line.names.bye(self.number, mark, dialog, &mut message.bytes);
        count(Kind::Bye, is_first, cx);
    }

    fn mark(&mut self, due: u64) -> Mark {
        let sequence = self.next_sequence;
        self.next_sequence = (sequence + 1).min(LAST);
        Mark { script: self.script, sequence, due }
    }

    fn wait_for_answer(&mut self, cx: &mut Context<'_>) {
        let ends = self.patience_ends(cx.waits);
        let again = cx.now + self.interval;
        let is_repeated = cx.waits.retransmits && !matches!(self.state, State::Ringing);
        self.set_timer(if is_repeated { again.min(ends) } else { ends }, cx);
    }

    fn patience_ends(&self, waits: &Waits) -> u64 {
        let rings = if matches!(self.state, State::Ringing) { waits.ring } else { 0 };
        self.since + waits.patience + rings
    }

    fn set_timer(&mut self, at: u64, cx: &mut Context<'_>) {
        self.timer = at;
        cx.out.set_timer(at, TimerKey::Call(self.number));
    }
}

/// Notes a message that arrived with a mark; returns whether it counts, since it is no duplicate.
pub(super) fn note(
    order: &mut Order,
    arrived: &mut u16,
    kind: Kind,
    mark: Mark,
    cx: &mut Context<'_>,
    way: Latency,
) -> bool {
    use super::order::Arrival;
    let traffic = cx.record.messages.of_mut(kind);
    match order.note(mark.sequence) {
        Arrival::Duplicate => {
            traffic.duplicates += 1;
            return false;
        }
        Arrival::Late => traffic.reordered += 1,
        Arrival::InOrder => {}
    }
    if *arrived & kind.bit() == 0 {
        *arrived |= kind.bit();
        traffic.arrived += 1;
        if cx.waits.is_one_clock {
            cx.record.latencies.note(way, cx.now.saturating_sub(mark.due));
        }
    } else {
        traffic.arrived_again += 1;
    }
    true
}

/// Counts a message that is sent.
pub(super) fn count(kind: Kind, is_first: bool, cx: &mut Context<'_>) {
    let traffic = cx.record.messages.of_mut(kind);
    if is_first {
        traffic.sent += 1;
    } else {
        traffic.sent_again += 1;
    }
}

/// The status code of a response, and its kind; a 100 and what we did not ask have none.
fn kind_of(message: Message<'_>) -> Option<(u16, Option<Kind>)> {
    let code = message.status()?;
    let (_, method) = message.row("CSeq")?.split_once(' ')?;
    let kind = match (method.trim(), code) {
        ("INVITE", 101..=199) => Some(Kind::Ringing),
        ("INVITE", 200..=299) => Some(Kind::Answer),
        ("OPTIONS", 200..=299) => Some(Kind::OptionsAnswer),
        ("INVITE" | "OPTIONS", 300..) => Some(Kind::Refusal),
        ("BYE", 200..) => Some(Kind::ByeAnswer),
        ("CANCEL", 200..) => Some(Kind::CancelAnswer),
        _ => None,
    };
    Some((code, kind))
}

/// The number of the server that answers, and the mark of its answer.
fn server_of(message: Message<'_>) -> (Option<u16>, Option<Mark>) {
    let mut words = message.row("Server").unwrap_or_default().split(' ');
    if words.next() != Some(super::servers::PRODUCT) {
        return (None, None);
    }
    let number = words.next().and_then(|number| number.parse().ok());
    (number, words.next().and_then(|mark| Mark::read(mark.as_bytes())))
}

fn nanos(ns: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(ns)
}
