//! The servers: what they answer, and when. One thread may have several.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;

use super::call::{Context, count, note};
use super::order::{LAST, Order};
use super::outbox::TimerKey;
use crate::record::{Kind, Latency};
use crate::sip::{Mark, Message, Script, is, mark_in, number_of, reason};

/// Some servers, and the calls that they have.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<Server>,
    calls: HashMap<ServerKey, Call>,
}

/// One server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// Its number among all servers, from 0.
    pub(super) number: u16,
    /// The number of its socket.
    pub(super) socket: usize,
    pub(super) address: SocketAddr,
}

/// Names a call at a server: its number, its run and the place of the server in the list.
pub(super) type ServerKey = (u64, u32, u16);

#[derive(Debug)]
struct Call {
    script: Script,
    order: Order,
    arrived: u16,
    next_sequence: u8,
    state: State,
    /// The rows of every response to its INVITE.
    rows: Vec<u8>,
    from: SocketAddr,
    /// When the final response was sent, and how long until it is sent again.
    since: u64,
    interval: u64,
    timer: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing was answered yet.
    New,
    /// It has its 180.
    Ringing,
    /// It has this final response, which has no ACK.
    Final(u16),
    /// It has been answered and acknowledged; its BYE may come.
    Acknowledged,
    /// It needs nothing more.
    Over,
}

impl Servers {
    pub(super) fn new(list: Vec<Server>) -> Self {
        Self { list, calls: HashMap::new() }
    }

    /// A datagram came to the server at this place of the list.
    pub(super) fn hear(
        &mut self,
        at: usize,
        from: SocketAddr,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) {
        let Some(message) = Message::read(datagram) else { return };
        let Some(method) = message.method() else { return };
        let known = message.row("Call-ID").and_then(number_of);
        let server = self.list[at];
        let Some((number, run)) = known else {
            cx.record.others.probes += 1;
            return answer_stranger(server, from, message, method, cx);
        };
        let Some(kind) = kind_of(method) else { return };
        let key = (number, run, at as u16);
        let mark = mark_in(datagram);
        let begins = matches!(kind, Kind::Invite | Kind::Options);
        if !begins && !self.calls.contains_key(&key) {
            cx.record.others.misrouted += 1;
            if kind != Kind::Ack {
                respond_at_once(server, from, message, 481, (None, number), cx);
            }
            return;
        }
        let call = self.calls.entry(key).or_insert_with(|| Call::new(from, mark));
        // An ACK to a refusal is no ACK to a 2xx; which one it is, the call knows.
        let kind = match (kind, call.state) {
            (Kind::Ack, State::Final(code)) if code >= 300 => Kind::RefusalAck,
            (Kind::Ack, State::Over) if call.script != Script::Talk => Kind::RefusalAck,
            (kind, _) => kind,
        };
        let is_first = call.arrived & kind.bit() == 0;
        if let Some(mark) = mark {
            if !note(&mut call.order, &mut call.arrived, kind, mark, cx, Latency::Request) {
                return;
            }
        } else {
            // From a stateful relay itself: its own CANCEL, or its own ACK.
            call.arrived |= kind.bit();
        }
        if begins && is_first {
            cx.record.servers[usize::from(server.number)] += 1;
        }
        call.take(key, kind, is_first, (server, from, message), cx);
    }

    /// The timer of a call fired, which was set for `at`.
    pub(super) fn wake(&mut self, at: u64, key: ServerKey, cx: &mut Context<'_>) {
        let server = self.list[usize::from(key.2)];
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.timer != at {
            return;
        }
        match call.state {
            State::Over | State::New | State::Acknowledged => {
                self.calls.remove(&key);
            }
            State::Ringing if call.script == Script::Talk => {
                call.finish(key, 200, at, server, cx);
            }
            // The caller never cancelled it.
            State::Ringing => call.forget_later(key, cx),
            State::Final(code) => {
                if cx.now >= call.since + cx.waits.patience {
                    return call.forget_later(key, cx);
                }
                call.interval = (2 * call.interval).min(cx.waits.t2);
                call.respond(code, cx.now, false, server, cx);
                call.wait_for_ack(key, cx);
            }
        }
    }
}

impl Call {
    fn new(from: SocketAddr, mark: Option<Mark>) -> Self {
        Self {
            script: mark.map_or(Script::Talk, |mark| mark.script),
            order: Order::default(),
            arrived: 0,
            next_sequence: 0,
            state: State::New,
            rows: Vec::new(),
            from,
            since: 0,
            interval: 0,
            timer: 0,
        }
    }

    fn take(
        &mut self,
        key: ServerKey,
        kind: Kind,
        is_first: bool,
        (server, from, message): (Server, SocketAddr, Message<'_>),
        cx: &mut Context<'_>,
    ) {
        match kind {
            Kind::Invite if is_first => self.invited(key, server, message, cx),
            Kind::Invite => match self.state {
                State::Ringing => self.respond(180, cx.now, false, server, cx),
                State::Final(code) => self.respond(code, cx.now, false, server, cx),
                State::New | State::Acknowledged | State::Over => {}
            },
            Kind::Options => {
                let mark = self.mark(cx.now);
                respond_at_once(server, from, message, 200, (Some(mark), key.0), cx);
                count(Kind::OptionsAnswer, is_first, cx);
                self.forget_later(key, cx);
            }
            Kind::Cancel => {
                let mark = self.mark(cx.now);
                respond_at_once(server, from, message, 200, (Some(mark), key.0), cx);
                count(Kind::CancelAnswer, is_first, cx);
                if matches!(self.state, State::Ringing | State::New) {
                    self.finish(key, 487, cx.now, server, cx);
                }
            }
            Kind::Bye => {
                let mark = self.mark(cx.now);
                respond_at_once(server, from, message, 200, (Some(mark), key.0), cx);
                count(Kind::ByeAnswer, is_first, cx);
                self.forget_later(key, cx);
            }
            Kind::RefusalAck => self.forget_later(key, cx),
            Kind::Ack => {
                self.state = State::Acknowledged;
                self.set_timer(cx.now + cx.waits.talk + 2 * cx.waits.patience, key, cx);
            }
            _ => {}
        }
    }

    fn invited(
        &mut self,
        key: ServerKey,
        server: Server,
        message: Message<'_>,
        cx: &mut Context<'_>,
    ) {
        self.rows.clear();
        copy_rows(message, key.0, &mut self.rows);
        let now = cx.now;
        match self.script {
            Script::Silent => self.set_timer(now + cx.waits.patience, key, cx),
            Script::Refuse => self.finish(key, cx.waits.refuse_code, now, server, cx),
            Script::Fail => self.finish(key, cx.waits.fail_code, now, server, cx),
            Script::Talk | Script::Cancel => {
                self.state = State::Ringing;
                self.respond(180, now, true, server, cx);
                if self.script == Script::Cancel {
                    self.set_timer(now + cx.waits.ring + cx.waits.patience, key, cx);
                } else if cx.waits.ring == 0 {
                    self.finish(key, 200, now, server, cx);
                } else {
                    self.set_timer(now + cx.waits.ring, key, cx);
                }
            }
        }
    }

    /// Sends a final response, which was due at this time.
    fn finish(
        &mut self,
        key: ServerKey,
        code: u16,
        due: u64,
        server: Server,
        cx: &mut Context<'_>,
    ) {
        self.state = State::Final(code);
        (self.since, self.interval) = (cx.now, cx.waits.t1);
        self.respond(code, due, true, server, cx);
        self.wait_for_ack(key, cx);
    }

    fn respond(
        &mut self,
        code: u16,
        due: u64,
        is_first: bool,
        server: Server,
        cx: &mut Context<'_>,
    ) {
        let mark = self.mark(due);
        let message = cx.out.message(server.socket, self.from);
        write_status(code, &mut message.bytes);
        message.bytes.extend_from_slice(&self.rows);
        write_end(server, Some(mark), &mut message.bytes);
        let kind = match code {
            ..=199 => Kind::Ringing,
            200..=299 => Kind::Answer,
            300.. => Kind::Refusal,
        };
        count(kind, is_first, cx);
    }

    /// Sends the final response again if no ACK comes (RFC 3261 §13.3.1.4, §17.2.1).
    fn wait_for_ack(&mut self, key: ServerKey, cx: &mut Context<'_>) {
        let end = self.since + cx.waits.patience;
        let again = cx.now + self.interval;
        self.set_timer(if cx.waits.retransmits { again.min(end) } else { end }, key, cx);
    }

    fn forget_later(&mut self, key: ServerKey, cx: &mut Context<'_>) {
        self.state = State::Over;
        self.set_timer(cx.now + cx.waits.linger, key, cx);
    }

    fn set_timer(&mut self, at: u64, key: ServerKey, cx: &mut Context<'_>) {
        self.timer = at;
        cx.out.set_timer(at, TimerKey::Server(key));
    }

    fn mark(&mut self, due: u64) -> Mark {
        let sequence = self.next_sequence;
        self.next_sequence = (sequence + 1).min(LAST);
        Mark { script: self.script, sequence, due }
    }
}

/// Answers what is no call of a run, as relays probe: 200 to everything that wants an answer.
fn answer_stranger(
    server: Server,
    from: SocketAddr,
    message: Message<'_>,
    method: &str,
    cx: &mut Context<'_>,
) {
    if method != "ACK" {
        respond_at_once(server, from, message, 200, (None, 0), cx);
    }
}

fn respond_at_once(
    server: Server,
    from: SocketAddr,
    message: Message<'_>,
    code: u16,
    (mark, tag): (Option<Mark>, u64),
    cx: &mut Context<'_>,
) {
    let out = &mut cx.out.message(server.socket, from).bytes;
    write_status(code, out);
    copy_rows(message, tag, out);
    write_end(server, mark, out);
}

/// Copies the rows that every response has of its request (RFC 3261 §8.2.6.2), with a tag in To.
fn copy_rows(message: Message<'_>, tag: u64, out: &mut Vec<u8>) {
    for (name, value) in message.rows() {
        let is_to = is(name, "To");
        let is_copied = is_to
            || ["Via", "From", "Call-ID"].into_iter().any(|wanted| is(name, wanted))
            || name.eq_ignore_ascii_case("CSeq")
            || name.eq_ignore_ascii_case("Record-Route");
        if !is_copied {
            continue;
        }
        for part in [name, ": ", value] {
            out.extend_from_slice(part.as_bytes());
        }
        if is_to && !value.contains(";tag=") {
            // Writing to a vector cannot fail.
            let _ = write!(out, ";tag=s{tag:x}");
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn write_status(code: u16, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "SIP/2.0 {code} {}\r\n", reason(code));
}

fn write_end(server: Server, mark: Option<Mark>, out: &mut Vec<u8>) {
    let _ = write!(out, "Contact: <sip:media@{}>\r\n", server.address);
    let _ = write!(out, "Server: {PRODUCT} {}", server.number + 1);
    if let Some(mark) = mark {
        out.push(b' ');
        out.extend_from_slice(&mark.text());
    }
    out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
}

fn kind_of(method: &str) -> Option<Kind> {
    Some(match method {
        "INVITE" => Kind::Invite,
        "ACK" => Kind::Ack,
        "BYE" => Kind::Bye,
        "CANCEL" => Kind::Cancel,
        "OPTIONS" => Kind::Options,
        _ => return None,
    })
}

/// What a server calls itself in its Server row; its number follows.
pub const PRODUCT: &str = "loadtest";
