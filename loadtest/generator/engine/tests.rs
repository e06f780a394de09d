//! Callers and servers on a wire without sockets, on which messages can be lost, doubled, held back
//! and changed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use super::call::{Context, Line};
use super::callers::Callers;
use super::outbox::{Outbox, TimerKey};
use super::schedule::Start;
use super::servers::{Server, Servers};
use super::waits::Waits;
use crate::plan::{Mix, Plan, Traffic};
use crate::record::{End, Kind, Latency, Record, Traffic as Messages};
use crate::sip::{Names, Request};

/// What the wire does with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Pass,
    Lose,
    Double,
    /// It arrives this many ms late.
    Hold(u64),
    /// The relay answers it by itself with this code, and does not pass it on.
    Answer(u16),
}

struct Wire {
    now: u64,
    waits: Waits,
    callers: Callers,
    servers: Servers,
    out: Outbox,
    record: Record,
    /// When it arrives, in which order it was sent, at which socket, from where, and what.
    flying: Vec<(u64, u64, usize, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Every first line that was sent, with its time in ms.
    log: Vec<(u64, String)>,
}

const MS: u64 = 1_000_000;

impl Wire {
    fn new(plan: &Plan) -> Self {
        let (a, b) = (address(1), address(2));
        let names = Names { run: 7, local: a, domain: b };
        let is_options = plan.traffic == Traffic::Options;
        let method = if is_options { "OPTIONS" } else { "INVITE" };
        let first = Request::new(method, &names, plan.shape).unwrap();
        let line = Line { socket: 0, names, first, is_options };
        let server = Server { number: 0, socket: 1, address: b };
        Self {
            now: 0,
            waits: Waits::of(plan),
            callers: Callers::new(vec![line], vec![b], plan.shares(), 2, 1),
            servers: Servers::new(vec![server]),
            out: Outbox::default(),
            record: Record::new(1, 1_000 * MS),
            flying: Vec::new(),
            sent: 0,
            log: Vec::new(),
        }
    }

    fn start(&mut self, number: u64) {
        let (now, waits) = (self.now, &self.waits);
        let mut cx = Context { now, waits, out: &mut self.out, record: &mut self.record };
        self.callers.start(Start { number, due: now }, &mut cx);
    }

    /// One call, on a wire that decides by what is sent and how often that was sent before.
    fn call(plan: &Plan, fate: impl Fn(&str, usize) -> Fate) -> Self {
        let mut wire = Self::new(plan);
        wire.start(5);
        wire.go(fate);
        wire
    }

    fn go(&mut self, fate: impl Fn(&str, usize) -> Fate) {
        loop {
            self.take_off(&fate);
            let landing = self.flying.iter().map(|flight| (flight.0, flight.1)).min();
            let timer = self.out.next_timer();
            let Some(next) = landing.map(|(at, _)| at).into_iter().chain(timer).min() else {
                return;
            };
            self.now = self.now.max(next);
            if let Some((at, order)) = landing.filter(|(at, _)| *at <= self.now) {
                let which = self.flying.iter().position(|f| (f.0, f.1) == (at, order)).unwrap();
                let (_, _, socket, from, bytes) = self.flying.remove(which);
                self.land(socket, from, &bytes);
            } else if let Some((at, key)) = self.out.fired(self.now) {
                let (now, waits) = (self.now, &self.waits);
                let mut cx = Context { now, waits, out: &mut self.out, record: &mut self.record };
                match key {
                    TimerKey::Call(number) => self.callers.wake(at, number, &mut cx),
                    TimerKey::Server(key) => self.servers.wake(at, key, &mut cx),
                }
            }
        }
    }

    fn land(&mut self, socket: usize, from: SocketAddr, bytes: &[u8]) {
        let (now, waits) = (self.now, &self.waits);
        let mut cx = Context { now, waits, out: &mut self.out, record: &mut self.record };
        match socket {
            0 => self.callers.hear(0, bytes, &mut cx),
            _ => self.servers.hear(0, from, bytes, &mut cx),
        }
    }

    fn take_off(&mut self, fate: &impl Fn(&str, usize) -> Fate) {
        for message in self.out.messages() {
            let name = name_of(&message.bytes);
            let before = self.log.iter().filter(|(_, other)| *other == name).count();
            self.log.push((self.now / MS, name.clone()));
            let mut fly = |at, socket, bytes: &[u8]| {
                self.sent += 1;
                let from = address(message.socket as u16 + 1);
                self.flying.push((at, self.sent, socket, from, bytes.to_vec()));
            };
            let there = 1 - message.socket;
            let on_time = self.now + MS;
            match fate(&name, before) {
                Fate::Pass => fly(on_time, there, &message.bytes),
                Fate::Lose => {}
                Fate::Double => {
                    fly(on_time, there, &message.bytes);
                    fly(on_time, there, &message.bytes);
                }
                Fate::Hold(ms) => fly(on_time + ms * MS, there, &message.bytes),
                Fate::Answer(code) => {
                    fly(on_time, message.socket, &answer(code, &message.bytes));
                }
            }
        }
        self.out.clear();
    }

    fn messages(&self, kind: Kind) -> Messages {
        self.record.messages.of(kind)
    }

    fn names(&self) -> Vec<&str> {
        self.log.iter().map(|(_, name)| name.as_str()).collect()
    }

    fn times(&self, name: &str) -> Vec<u64> {
        self.log.iter().filter(|(_, n)| n == name).map(|(at, _)| *at).collect()
    }

    fn end(&self) -> End {
        let [call] = self.record.calls[..] else { panic!("{:?}", self.record.calls) };
        call.end
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// `INVITE`, or `200 BYE`.
fn name_of(bytes: &[u8]) -> String {
    let message = crate::sip::Message::read(bytes).expect("a message");
    match message.status() {
        None => message.method().unwrap().to_owned(),
        Some(code) => {
            let cseq = message.row("CSeq").unwrap();
            format!("{code} {}", cseq.split_once(' ').unwrap().1)
        }
    }
}

/// What a relay answers by itself.
fn answer(code: u16, request: &[u8]) -> Vec<u8> {
    let message = crate::sip::Message::read(request).unwrap();
    let mut text = format!("SIP/2.0 {code} Relay\r\n");
    for (name, value) in message.rows() {
        if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    (text + "\r\n").into_bytes()
}

fn plan() -> Plan {
    Plan { keeps_calls: true, servers: vec![address(2)], ..Plan::default() }
}

fn pass(_: &str, _: usize) -> Fate {
    Fate::Pass
}

/// Does this to the n-th message of this name, from 0, and lets all else pass.
fn only(wanted: &'static str, n: usize, fate: Fate) -> impl Fn(&str, usize) -> Fate {
    move |name, before| if (name, before) == (wanted, n) { fate } else { Fate::Pass }
}

fn always(wanted: &'static str, fate: Fate) -> impl Fn(&str, usize) -> Fate {
    move |name, _| if name == wanted { fate } else { Fate::Pass }
}

fn all(mix: Mix) -> Plan {
    Plan { mix, ..plan() }
}

#[test]
fn a_call_from_the_first_request_to_the_last_response() {
    let ring = Duration::from_millis(30);
    let wire = Wire::call(&Plan { ring, talk: Duration::from_millis(50), ..plan() }, pass);
    let wants = ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"];
    assert_eq!(wire.names(), wants);
    let at: Vec<_> = wire.log.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [0, 1, 31, 32, 82, 83]);
    // There and back, without the time that it rang.
    assert_eq!(wire.end(), End::Completed { after: Duration::from_millis(2), server: Some(1) });
    let once = Messages { sent: 1, arrived: 1, ..Messages::default() };
    for kind in [Kind::Invite, Kind::Ringing, Kind::Answer, Kind::Ack, Kind::Bye, Kind::ByeAnswer] {
        assert_eq!(wire.messages(kind), once, "{kind:?}");
    }
    let ms = |latency| (wire.record.latencies.of(latency).max() + MS / 2) / MS;
    assert_eq!(wire.record.latencies.of(Latency::Request).len(), 3);
    assert_eq!(wire.record.latencies.of(Latency::Response).len(), 3);
    assert_eq!([Latency::Answer, Latency::Ringing, Latency::Bye].map(ms), [2, 2, 2]);
    assert_eq!([Latency::Request, Latency::Response].map(ms), [1, 1]);
    assert_eq!(wire.record.servers, [1]);
    assert_eq!(wire.callers.open(), 0);
}

#[test]
fn servers_elsewhere_have_another_clock() {
    let wire = Wire::call(&Plan { servers: Vec::new(), ..plan() }, pass);
    assert!(matches!(wire.end(), End::Completed { .. }));
    for (latency, wants) in [(Latency::Request, 0), (Latency::Response, 0), (Latency::Answer, 1)] {
        assert_eq!(wire.record.latencies.of(latency).len(), wants, "{latency:?}");
    }
}

#[test]
fn single_requests() {
    let wire = Wire::call(&Plan { traffic: Traffic::Options, ..plan() }, pass);
    assert_eq!(wire.names(), ["OPTIONS", "200 OPTIONS"]);
    assert_eq!(wire.end(), End::Completed { after: Duration::from_millis(2), server: Some(1) });
    let wire = Wire::call(&Plan { traffic: Traffic::Invites, ..plan() }, pass);
    assert_eq!(wire.names(), ["INVITE", "486 INVITE", "ACK"]);
    assert_eq!(wire.end(), End::Refused(486));
    assert_eq!(wire.record.latencies.of(Latency::Answer).len(), 1);
}

#[test]
fn calls_that_are_not_answered() {
    let one = |change: fn(&mut Mix)| {
        let mut mix = Mix::default();
        change(&mut mix);
        Wire::call(&Plan { ring: Duration::from_millis(10), ..all(mix) }, pass)
    };
    let cancelled = one(|mix| mix.cancel = 1.0);
    let wants = ["INVITE", "180 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"];
    assert_eq!(cancelled.names(), wants);
    assert_eq!(cancelled.times("CANCEL"), [12]);
    assert_eq!(cancelled.end(), End::Cancelled);
    let refused = one(|mix| mix.refuse = 1.0);
    assert_eq!((refused.names().len(), refused.end()), (3, End::Refused(486)));
    let failed = one(|mix| mix.fail = 1.0);
    assert_eq!((failed.names()[1], failed.end()), ("503 INVITE", End::Refused(503)));
    let silent = one(|mix| mix.silent = 1.0);
    assert_eq!((silent.names(), silent.end()), (vec!["INVITE"], End::Unanswered));
    for wire in [cancelled, refused, failed, silent] {
        assert_eq!(
            (wire.record.ends.good(), wire.record.ends.bad(), wire.callers.open()),
            (1, 0, 0)
        );
        assert_eq!(wire.record.messages.lost(), 0);
    }
}

#[test]
fn what_is_lost_is_missed() {
    for (lost, wants) in [
        ("INVITE", End::Lost),
        ("200 INVITE", End::Lost),
        ("BYE", End::ByeLost { after: Duration::from_millis(2), server: Some(1) }),
        ("200 BYE", End::ByeLost { after: Duration::from_millis(2), server: Some(1) }),
        ("180 INVITE", End::Completed { after: Duration::from_millis(2), server: Some(1) }),
        ("ACK", End::Completed { after: Duration::from_millis(2), server: Some(1) }),
    ] {
        let wire = Wire::call(&plan(), only(lost, 0, Fate::Lose));
        assert_eq!(wire.end(), wants, "{lost}");
        assert_eq!(wire.record.messages.lost(), 1, "{lost}");
        assert_eq!(wire.record.messages.sum(|t| t.duplicates + t.reordered), 0);
        assert_eq!(wire.callers.open(), 0);
    }
}

#[test]
fn what_comes_twice_is_counted_and_answered_once() {
    for kind in ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"] {
        let wire = Wire::call(&plan(), always(kind, Fate::Double));
        assert!(matches!(wire.end(), End::Completed { .. }), "{kind}");
        assert_eq!(wire.record.messages.sum(|t| t.duplicates), 1, "{kind}");
        assert_eq!(wire.names().len(), 6, "{kind}: {:?}", wire.names());
        assert_eq!(wire.record.messages.lost(), 0);
    }
}

#[test]
fn what_is_overtaken_is_counted() {
    let wire = Wire::call(&plan(), only("180 INVITE", 0, Fate::Hold(1)));
    assert_eq!(wire.messages(Kind::Ringing).reordered, 1);
    let wire = Wire::call(&plan(), only("ACK", 0, Fate::Hold(1)));
    assert_eq!(wire.messages(Kind::Ack).reordered, 1);
    assert_eq!(wire.record.messages.sum(|t| t.reordered), 1);
    assert_eq!(wire.record.messages.lost(), 0);
}

#[test]
fn requests_are_sent_again_by_the_timers_of_the_rfc() {
    let patient = Plan { retransmits: true, patience: Duration::from_secs(32), ..plan() };
    // Timer A doubles, and Timer B ends it.
    let wire = Wire::call(&patient, always("INVITE", Fate::Lose));
    assert_eq!(wire.times("INVITE"), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!((wire.end(), wire.messages(Kind::Invite).sent_again), (End::Lost, 6));
    // Timer E doubles up to T2.
    let wire = Wire::call(&patient, always("BYE", Fate::Lose));
    let wants: Vec<_> =
        [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
            .map(|ms| ms + 2)
            .into();
    assert_eq!(wire.times("BYE"), wants);
    assert!(matches!(wire.end(), End::ByeLost { .. }));
    let options = Plan { traffic: Traffic::Options, ..patient.clone() };
    let wire = Wire::call(&options, always("OPTIONS", Fate::Lose));
    assert_eq!(wire.times("OPTIONS").len(), 11);
    // After a provisional response an INVITE is not sent again.
    let ring = Duration::from_secs(3);
    let wire = Wire::call(&Plan { ring, ..patient.clone() }, pass);
    assert_eq!(wire.times("INVITE"), [0]);
    assert!(matches!(wire.end(), End::Completed { .. }));
    // Without being asked, nothing is.
    let wire = Wire::call(&plan(), always("INVITE", Fate::Lose));
    assert_eq!(wire.times("INVITE"), [0]);
}

#[test]
fn a_lost_message_is_made_good_by_a_copy() {
    let patient = Plan { retransmits: true, patience: Duration::from_secs(32), ..plan() };
    for (lost, again) in [
        ("INVITE", Kind::Invite),
        ("200 INVITE", Kind::Answer),
        ("ACK", Kind::Ack),
        ("BYE", Kind::Bye),
        ("200 BYE", Kind::Bye),
    ] {
        let talk = Duration::from_secs(2);
        let plan = Plan { talk, ..patient.clone() };
        let wire = Wire::call(&plan, only(lost, 0, Fate::Lose));
        assert!(matches!(wire.end(), End::Completed { .. }), "{lost}");
        assert_eq!(wire.messages(again).sent_again, 1, "{lost}: {:?}", wire.log);
        assert_eq!(wire.record.messages.lost(), 0, "{lost}");
        assert_eq!(wire.record.messages.sum(|t| t.duplicates + t.reordered), 0, "{lost}");
    }
    // A refusal is sent again until it has its ACK, a CANCEL until it has taken effect.
    let mix = Mix { refuse: 1.0, ..Mix::default() };
    let wire = Wire::call(&Plan { mix, ..patient.clone() }, only("ACK", 0, Fate::Lose));
    assert_eq!(wire.times("486 INVITE"), [1, 501]);
    assert_eq!(wire.times("ACK"), [2, 502]);
    let mix = Mix { cancel: 1.0, ..Mix::default() };
    let wire = Wire::call(&Plan { mix, ..patient }, only("CANCEL", 0, Fate::Lose));
    assert_eq!((wire.times("CANCEL").len(), wire.end()), (2, End::Cancelled));
}

#[test]
fn a_relay_that_answers_by_itself() {
    let wire = Wire::call(&plan(), always("INVITE", Fate::Answer(503)));
    assert_eq!(wire.end(), End::Unexpected(503));
    assert_eq!((wire.record.others.by_relay, wire.names()), (1, vec!["INVITE", "ACK"]));
    let mix = Mix { silent: 1.0, ..Mix::default() };
    let wire = Wire::call(&all(mix), always("INVITE", Fate::Answer(408)));
    assert_eq!(wire.end(), End::Unanswered);
    // A 100 means nothing here.
    let wire = Wire::call(&plan(), always("INVITE", Fate::Answer(100)));
    assert_eq!(wire.end(), End::Lost);
    let mix = Mix { refuse: 1.0, ..Mix::default() };
    let wire =
        Wire::call(&Plan { refuse_code: 600, ..all(mix) }, always("INVITE", Fate::Answer(486)));
    assert_eq!(wire.end(), End::Unexpected(486));
}

#[test]
fn requests_in_a_dialog_that_come_to_a_stranger() {
    let mut wire = Wire::new(&plan());
    wire.start(1);
    // The INVITE is lost at this server: the relay sent it elsewhere.
    wire.take_off(&|_: &str, _| Fate::Lose);
    let names = Names { run: 7, local: address(1), domain: address(2) };
    let mark = crate::sip::Mark { script: crate::sip::Script::Talk, sequence: 1, due: 0 };
    let dialog =
        crate::sip::Dialog { to: "x".into(), target: "sip:x".into(), routes: String::new() };
    for method in ["BYE", "ACK"] {
        let mut bytes = Vec::new();
        if method == "BYE" {
            names.bye(9, mark, &dialog, &mut bytes);
        } else {
            names.ack(9, mark, &dialog, &mut bytes);
        }
        wire.land(1, address(1), &bytes);
    }
    assert_eq!(wire.record.others.misrouted, 2);
    wire.take_off(&|_: &str, _| Fate::Lose);
    assert_eq!(wire.names(), ["INVITE", "481 BYE"]);
}

#[test]
fn probes_are_answered_and_no_calls() {
    let mut wire = Wire::new(&plan());
    let probe = b"OPTIONS sip:a SIP/2.0\r\nVia: v\r\nTo: <sip:a>\r\nCall-ID: probe-1\r\nCSeq: 9 OPTIONS\r\n\r\n";
    wire.land(1, address(1), probe);
    wire.take_off(&|_: &str, _| Fate::Lose);
    assert_eq!(wire.names(), ["200 OPTIONS"]);
    assert_eq!((wire.record.others.probes, wire.record.servers[0]), (1, 0));
}

#[test]
fn calls_beyond_the_bound_are_counted_and_not_started() {
    let mut wire = Wire::new(&plan());
    for number in 0..3 {
        wire.start(number);
    }
    assert_eq!((wire.record.ends.started, wire.record.ends.not_started), (2, 1));
    let (now, waits) = (wire.now, &wire.waits);
    let mut cx = Context { now, waits, out: &mut wire.out, record: &mut wire.record };
    wire.callers.give_up(&mut cx);
    assert_eq!((wire.callers.open(), wire.record.ends.lost), (0, 2));
}

#[test]
fn responses_to_nobody_are_strays() {
    let mut wire = Wire::call(&plan(), pass);
    let response =
        b"SIP/2.0 200 OK\r\nCall-ID: 000000000000000500000007@x\r\nCSeq: 1 INVITE\r\n\r\n";
    wire.land(0, address(2), response);
    wire.land(0, address(2), b"SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n");
    assert_eq!(wire.record.others.strays, 2);
}
