//! Requests of stateful sets: what is sent to whom, and when.
//!
//! A line of a story is `TO FIRST-LINE`: `C` is the caller, `1` to `9` the destinations. What the relay
//! sends is a list of such lines.

use std::panic::{AssertUnwindSafe, catch_unwind};

use strowger::proxy::{ForeignRoute, Rewrite};
use strowger::transaction::Failover;

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::{Relay, Sent};

const THREE: [&str; 3] = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"];

/// A relay with three destinations, and what each of them got last.
struct Story {
    relay: Relay,
    /// By destination: the last INVITE or other request that begins something.
    requests: Vec<Option<Sent>>,
}

impl Story {
    fn new(failover: Failover) -> Self {
        let relay = Relay::stateful(failover, &THREE);
        Self { relay, requests: vec![None; 3] }
    }

    /// An INVITE at the first destination.
    fn begun() -> Self {
        let mut story = Self::new(Failover::default());
        assert_eq!(story.calls(&invite("a")), "chosen: C 100, 1 INVITE");
        story
    }

    fn calls(&mut self, text: &str) -> String {
        let (verdict, sent) = self.relay.deliver(CALLER, text);
        format!("{}: {}", label(verdict), self.lines(&sent))
    }

    /// The caller sends this method in the transaction of the INVITE.
    fn caller(&mut self, method: &str) -> String {
        self.calls(&Request::new(method, "a").text())
    }

    /// A destination answers the request that it got last.
    fn answers(&mut self, destination: usize, status: &str) -> String {
        self.answers_with(destination, status, "")
    }

    /// The same to its CANCEL, which has our Via only.
    fn answers_with(&mut self, destination: usize, status: &str, method: &str) -> String {
        let mut request = self.requests[destination - 1].clone().unwrap();
        if !method.is_empty() {
            let text = request.text().replace("1 INVITE", &format!("1 {method}"));
            let mut vias = 0;
            let lines = text.split_inclusive("\r\n").filter(|line| {
                vias += usize::from(line.starts_with("Via: "));
                !line.starts_with("Via: ") || vias == 1
            });
            request.bytes = lines.collect::<String>().into_bytes();
        }
        let from = request.to.to_string();
        let text = response(&request, status, &format!("t{destination}"));
        let (verdict, sent) = self.relay.deliver(&from, text);
        format!("{}: {}", label(verdict), self.lines(&sent))
    }

    /// Waits until something is sent, or for this long.
    fn waits(&mut self, at_most_ms: u64) -> String {
        let (ms, sent) = self.relay.wait(at_most_ms);
        format!("{ms}: {}", self.lines(&sent))
    }

    /// Something panics in this, and its worker recovers.
    fn panics(&mut self, in_this: impl FnOnce(&mut Self)) {
        self.relay.panics_when_told = true;
        assert!(catch_unwind(AssertUnwindSafe(|| in_this(self))).is_err());
        self.relay.panics_when_told = false;
        self.relay.reset();
    }

    fn lines(&mut self, sent: &[Sent]) -> String {
        let lines = sent.iter().map(|sent| {
            let to = sent.to.to_string();
            let first = sent.first_line();
            let what = first.strip_prefix("SIP/2.0 ").unwrap_or(&first);
            let what = what.split(' ').next().unwrap();
            if to == CALLER {
                return format!("C {what}");
            }
            let destination: usize = to["10.0.0.".len()..to.len() - 5].parse().unwrap();
            if !matches!(what, "ACK" | "CANCEL") {
                self.requests[destination - 1] = Some(sent.clone());
            }
            format!("{destination} {what}")
        });
        lines.collect::<Vec<_>>().join(", ")
    }

    /// Requests that are longer than this by some hundred bytes take the room for transactions.
    fn fill(&mut self, len: usize) {
        let no_room = |relay: &Relay| {
            relay.shared.transaction_counters.no_room.load(std::sync::atomic::Ordering::Relaxed)
        };
        let before = no_room(&self.relay);
        for number in 0.. {
            if no_room(&self.relay) > before {
                return;
            }
            let call_id = format!("fill-{len}-{number}");
            let mut message = Request::new("MESSAGE", &call_id);
            message.more = format!("Subject: {}\r\n", "a".repeat(len));
            self.relay.deliver(CALLER, message.text());
        }
    }

    /// Every transaction ends, and no memory is left, within this time.
    fn ends_within(&mut self, ms: u64) {
        let end = self.relay.now.plus_ms(ms);
        while self.relay.now < end {
            let left = end.ms() - self.relay.now.ms();
            self.relay.wait(left);
        }
        assert_eq!(self.relay.transactions(), (0, 0));
    }
}

fn label(verdict: strowger::proxy::Verdict) -> &'static str {
    use strowger::proxy::Verdict;
    match verdict {
        Verdict::Forwarded(how) => how.label(),
        Verdict::Answered(answer) => answer.label(),
        Verdict::Dropped(reason) => reason.label(),
        Verdict::HandedOver(_) => "handed over",
    }
}

#[test]
fn a_call_that_is_answered() {
    let mut story = Story::begun();
    assert_eq!(story.caller("INVITE"), "100: C 100");
    assert_eq!(story.answers(1, "100 Trying"), "absorbed: ");
    assert_eq!(story.answers(1, "180 Ringing"), "response: C 180");
    assert_eq!(story.caller("INVITE"), "repeated: C 180");
    assert_eq!(story.waits(20_000), "20000: ");
    assert_eq!(story.answers(1, "200 OK"), "response: C 200");
    assert_eq!(story.caller("INVITE"), "absorbed: ");
    assert_eq!(story.answers(1, "200 OK"), "response: C 200");
    story.ends_within(32_005);
    // Its transaction has ended, and so has every memory of it (RFC 6026 §8.4).
    assert_eq!(story.answers(1, "200 OK"), "no_transaction: ");
}

#[test]
fn a_refusal_is_acknowledged_here_and_repeated_until_the_caller_acknowledges_it() {
    let mut story = Story::begun();
    assert_eq!(story.answers(1, "486 Busy Here"), "response: C 486, 1 ACK");
    for ms in [500, 1_000, 2_000, 4_000, 4_000] {
        assert_eq!(story.waits(10_000), format!("{ms}: C 486"));
    }
    assert_eq!(story.caller("INVITE"), "repeated: C 486");
    assert_eq!(story.answers(1, "486 Busy Here"), "absorbed: 1 ACK");
    assert_eq!(story.caller("ACK"), "absorbed: ");
    assert_eq!(story.caller("INVITE"), "absorbed: ");
    assert_eq!(story.waits(10_000), "10000: ");
    story.ends_within(32_005);
}

#[test]
fn a_failure_goes_to_the_next_and_the_best_answer_to_the_caller() {
    let mut story = Story::begun();
    assert_eq!(story.answers(1, "503 Service Unavailable"), "tried_next: 1 ACK, 2 INVITE");
    let told = [
        "heard 0 503 first final",
        "left sip:10.0.0.1:5060 after 0 ms: status 503",
        "dispatched sip:10.0.0.2:5060",
    ];
    assert_eq!(story.relay.told(), told);
    assert_eq!(story.caller("INVITE"), "100: C 100");
    assert_eq!(story.answers(2, "500 Server Error"), "tried_next: 2 ACK, 3 INVITE");
    story.relay.pass_ms(70);
    assert_eq!(story.answers(3, "503 Service Unavailable"), "tried_next: 3 ACK, C 500");
    let told = ["heard 2 503 first final", "left sip:10.0.0.3:5060 after 70 ms: status 503"];
    assert_eq!(story.relay.told(), told);
    assert_eq!(story.caller("ACK"), "absorbed: ");
    story.ends_within(32_005);
}

#[test]
fn silence_goes_to_the_next_and_a_late_answer_still_counts() {
    let mut story = Story::begun();
    assert_eq!(story.waits(2_500), "500: 1 INVITE");
    assert_eq!(story.waits(2_500), "1000: 1 INVITE");
    assert_eq!(story.waits(2_500), "500: 2 INVITE");
    let left = "left sip:10.0.0.1:5060 after 2000 ms: silence";
    assert_eq!(story.relay.told(), [left, "dispatched sip:10.0.0.2:5060"]);
    // It was left, so its ringing says nothing to the caller, and it is cancelled.
    assert_eq!(story.answers(1, "180 Ringing"), "absorbed: 1 CANCEL");
    assert_eq!(story.answers_with(1, "200 OK", "CANCEL"), "absorbed: ");
    assert_eq!(story.answers(2, "180 Ringing"), "response: C 180");
    // Both answered: both are calls (§16.7 item 5).
    assert_eq!(story.answers(1, "200 OK"), "response: C 200, 2 CANCEL");
    let left = "left sip:10.0.0.2:5060 after 0 ms: another answered";
    assert_eq!(story.relay.told(), ["heard 0 200 final", left]);
    assert_eq!(story.answers(2, "487 Request Terminated"), "tried_next: 2 ACK");
    story.ends_within(40_000);
}

#[test]
fn a_cancel_stops_everything() {
    let mut story = Story::begun();
    // Nothing was heard of the destination, so it is cancelled later (§9.1).
    assert_eq!(story.caller("CANCEL"), "200: C 200");
    assert_eq!(story.answers(1, "100 Trying"), "absorbed: 1 CANCEL");
    assert_eq!(story.caller("CANCEL"), "200: C 200");
    assert_eq!(story.waits(10_000), "500: 1 CANCEL");
    assert_eq!(story.answers_with(1, "200 OK", "CANCEL"), "absorbed: ");
    assert_eq!(story.answers(1, "487 Request Terminated"), "response: C 487, 1 ACK");
    assert_eq!(story.caller("ACK"), "absorbed: ");
    story.ends_within(32_005);
}

#[test]
fn a_cancel_that_was_answered_is_not_repeated() {
    let mut story = Story::begun();
    assert_eq!(story.answers(1, "180 Ringing"), "response: C 180");
    assert_eq!(story.caller("CANCEL"), "200: C 200, 1 CANCEL");
    assert_eq!(story.waits(10_000), "500: 1 CANCEL");
    assert_eq!(story.answers_with(1, "200 OK", "CANCEL"), "absorbed: ");
    assert_eq!(story.waits(10_000), "10000: ");
}

#[test]
fn a_copy_gets_no_final_response_of_a_left_destination() {
    let mut story = Story::begun();
    (0..3).for_each(|_| drop(story.waits(2_500)));
    assert_eq!(story.answers(2, "180 Ringing"), "response: C 180");
    assert_eq!(story.answers(1, "404 Not Found"), "tried_next: 1 ACK");
    // What the other says is still open.
    assert_eq!(story.caller("INVITE"), "100: C 100");
    assert_eq!(story.answers(2, "183 Session Progress"), "response: C 183");
    // It is the best response if the other has none.
    assert_eq!(story.answers(2, "504 Server Time-out"), "tried_next: 2 ACK, C 404");
}

/// The caller has not cancelled. The first destination was silent, which counts as a 408.
#[test]
fn the_487_to_our_own_cancel_is_not_passed_on() {
    let mut story = Story::begun();
    (0..3).for_each(|_| drop(story.waits(2_500)));
    assert_eq!(story.answers(1, "180 Ringing"), "absorbed: 1 CANCEL");
    assert_eq!(story.answers(1, "487 Request Terminated"), "tried_next: 1 ACK");
    assert_eq!(story.answers(2, "503 Service Unavailable"), "tried_next: 2 ACK, 3 INVITE");
    assert_eq!(story.answers(3, "500 Server Error"), "tried_next: 3 ACK, C 408");
}

/// The caller of what is no INVITE waits for 32 s, whatever the time for a first response.
#[test]
fn the_last_destination_of_another_request_is_waited_for() {
    let message = Request::new("MESSAGE", "a").text();
    let mut story = Story::new(Failover { tries_max: 1, ..Failover::default() });
    assert_eq!(story.calls(&message), "chosen: 1 MESSAGE");
    assert_eq!(story.waits(2_500), "500: 1 MESSAGE");
    assert_eq!(story.waits(2_500), "1000: 1 MESSAGE");
    assert_eq!(story.waits(2_500), "2000: C 100");
    assert_eq!(story.waits(5_000), "2500: 1 MESSAGE");
    assert_eq!(story.answers(1, "200 OK"), "response: C 200");
    assert_eq!(story.calls(&message), "repeated: C 200");
    story.ends_within(40_000);
}

/// RFC 4320 §4.2
#[test]
fn a_408_to_another_request_goes_no_further() {
    let message = Request::new("MESSAGE", "a").text();
    let mut story = Story::new(Failover::default());
    assert_eq!(story.calls(&message), "chosen: 1 MESSAGE");
    assert_eq!(story.answers(1, "408 Request Timeout"), "tried_next: 2 MESSAGE");
    assert_eq!(story.answers(2, "408 Request Timeout"), "tried_next: 3 MESSAGE");
    assert_eq!(story.answers(3, "408 Request Timeout"), "tried_next: ");
    assert_eq!(story.waits(20_000), "3500: C 100");
    // A copy goes nowhere until the caller has given up.
    assert_eq!(story.waits(20_000), "20000: ");
    assert_eq!(story.calls(&message), "100: C 100");
    story.ends_within(40_000);
}

#[test]
fn a_call_ends_also_if_there_was_no_room_for_its_best_response() {
    let codes = [404].into_iter().collect();
    let mut story = Story::new(Failover { codes, ..Failover::default() });
    assert_eq!(story.calls(&invite("a")), "chosen: C 100, 1 INVITE");
    for len in [50_000, 500, 1] {
        story.fill(len);
    }
    assert_eq!(story.answers(1, "404 Not Found"), "tried_next: 1 ACK, 2 INVITE");
    assert_eq!(story.answers(2, "503 Service Unavailable"), "tried_next: 2 ACK, C 500");
}

#[test]
fn a_panic_ends_transactions_only_while_one_is_changed() {
    let mut story = Story::begun();
    story.panics(|story| drop(story.calls(&invite("b"))));
    story.relay.reset();
    assert_eq!(story.relay.transactions().0, 2);
    assert_eq!(story.answers(1, "180 Ringing"), "response: C 180");
    assert_eq!(story.caller("INVITE"), "repeated: C 180");
    story.relay.reset();
    assert_eq!(story.caller("INVITE"), "repeated: C 180");

    story.panics(|story| drop(story.answers(1, "183 Session Progress")));
    assert_eq!(story.relay.transactions(), (0, 0));
    // The call goes on statelessly.
    assert_eq!(story.answers(1, "200 OK"), "response: C 200");
    assert_eq!(story.answers(1, "200 OK"), "response: C 200");

    let mut story = Story::begun();
    story.panics(|story| while !story.waits(20_000).is_empty() {});
    assert_eq!(story.relay.transactions(), (0, 0));
    // What begins after it is whole.
    assert_eq!(story.calls(&invite("b")), "chosen: C 100, 2 INVITE");
    story.relay.reset();
    assert_eq!(story.relay.transactions().0, 1);
}

#[test]
fn an_invite_that_grows_past_a_datagram_gets_513_and_no_100() {
    let mut story = Story::new(Failover::default());
    let mut long = Request::new("INVITE", "long");
    long.more = "Subject: \r\n".into();
    long.more = format!("Subject: {}\r\n", "a".repeat(65_507 - long.text().len()));
    assert_eq!(story.calls(&long.text()), "513: C 513");
    assert_eq!(story.relay.transactions(), (0, 0));
}

/// RFC 3261 §9.1, §17.1.1.3
#[test]
fn a_reload_does_not_part_a_cancel_or_an_ack_from_its_invite() {
    let set = |relay: &mut Relay, is_rewritten: bool| {
        let policy = &mut relay.snapshot.set_default;
        (policy.rewrite, policy.foreign_route) = if is_rewritten {
            (Rewrite::Domain, ForeignRoute::Keep)
        } else {
            (Rewrite::None, ForeignRoute::Remove)
        };
    };
    let request = |method: &str| {
        let more = "Route: <sip:203.0.113.9;lr>\r\n".into();
        Request { more, ..Request::new(method, "a") }.text()
    };
    let destination = "10.0.0.1:5060";
    let parts = |sent: &[Sent]| {
        let sent = sent.iter().find(|sent| sent.to.to_string() == destination).unwrap();
        let first = sent.first_line();
        let (method, uri) = first.split_once(' ').unwrap();
        (method.to_owned(), (uri.to_owned(), sent.rows("Route")))
    };
    for is_rewritten in [false, true] {
        let mut relay = Relay::stateful(Failover::default(), &THREE);
        set(&mut relay, is_rewritten);
        let (_, sent) = relay.deliver(CALLER, request("INVITE"));
        let (_, invite) = parts(&sent);
        assert_eq!(invite.0.contains("10.0.0.1"), is_rewritten);
        assert_eq!(invite.1.len(), usize::from(is_rewritten));
        relay.deliver(destination, response(&sent[1], "180 Ringing", "b"));
        set(&mut relay, !is_rewritten);
        let (_, cancel) = relay.deliver(CALLER, request("CANCEL"));
        assert_eq!(parts(&cancel), ("CANCEL".into(), invite.clone()));
        let (_, ack) = relay.deliver(destination, response(&sent[1], "487 Gone", "b"));
        assert_eq!(parts(&ack), ("ACK".into(), invite));
    }
}
