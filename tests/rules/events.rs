//! What the core tells of destinations: each answer once, whoever sends it again.

use std::fmt::Write;

use strowger::message::Method;
use strowger::proxy::{Heard, Reason};

use crate::messages::{A, CALLER, Request, by_callee, by_caller, call, invite, response};
use crate::relay::{Relay, Sent, listeners};

/// Method and code, whether it is the first and the first final response, and the age.
fn words(heard: Option<Heard>) -> String {
    heard.map_or("nothing".into(), |heard| {
        let Heard { slot, method, code, is_first, is_final, age_ms, retry_after_s, failed } = heard;
        assert_eq!(slot.0, 0);
        assert_eq!(failed.is_some(), heard.is_failed_call());
        let mut words = format!("{method:?} {code}");
        for (is, word) in [(is_first, " first"), (is_final, " final")] {
            words += if is { word } else { "" };
        }
        if let Some(age_ms) = age_ms {
            write!(words, " {age_ms}ms").unwrap();
        }
        retry_after_s.map_or(words.clone(), |s| format!("{words} retry={s}"))
    })
}

fn forwarded(relay: &mut Relay, method: &str, call_id: &str) -> Sent {
    relay.send(CALLER, Request::new(method, call_id).text()).forwarded()
}

#[test]
fn responses_to_a_request() {
    struct Row {
        says: &'static str,
        method: &'static str,
        responses: &'static [(&'static str, &'static str)],
    }
    let rows = [
        Row {
            says: "each response is heard, the first ones count",
            method: "INVITE",
            responses: &[
                ("100 Trying", "Invite 100 first 70ms"),
                ("100 Trying", "Invite 100 140ms"),
                ("180 Ringing", "Invite 180 210ms"),
                ("200 OK", "Invite 200 final 280ms"),
                ("200 OK", "Invite 200 350ms"),
                ("183 Late", "Invite 183 420ms"),
            ],
        },
        Row {
            says: "a final response at once",
            method: "INVITE",
            responses: &[
                ("503 Busy", "Invite 503 first final 70ms"),
                ("503 Busy", "Invite 503 140ms"),
            ],
        },
        Row {
            says: "any method",
            method: "OPTIONS",
            responses: &[
                ("183 Soon", "Options 183 first 70ms"),
                ("404 No", "Options 404 final 140ms"),
            ],
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = forwarded(&mut relay, row.method, "call");
        assert!(relay.dispatched().is_some());
        for (status, wants) in row.responses {
            relay.pass_ms(70);
            relay.send(A, response(&sent, status, "b")).forwarded();
            assert_eq!(words(relay.heard()), *wants, "{}", row.says);
        }
    }
}

#[test]
fn a_copy_of_the_request_changes_nothing_but_the_age() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.send(CALLER, invite("call")).forwarded();
    relay.pass_ms(500);
    let sent = relay.send(CALLER, invite("call")).forwarded();
    assert_eq!((relay.dispatched(), relay.heard()), (None, None));
    relay.pass_ms(20);
    relay.send(A, response(&sent, "100 Trying", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Invite 100 first 20ms");
    relay.send(CALLER, invite("call")).forwarded();
    relay.send(A, response(&sent, "100 Trying", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Invite 100 20ms");
}

#[test]
fn a_100_without_a_second_via_answers_the_request() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = forwarded(&mut relay, "INVITE", "call");
    let caller_via = format!("Via: {}\r\n", sent.rows("Via")[1]);
    relay.pass_ms(3);
    for (status, wants) in [
        ("180 Ringing", "nothing"),
        ("100 Trying", "Invite 100 first 3ms"),
        ("100 Trying", "Invite 100 3ms"),
    ] {
        let lone = response(&sent, status, "b").replace(&caller_via, "");
        let is_trying = status.starts_with("100");
        let reason = if is_trying { Reason::LoneTrying } else { Reason::NoNextVia };
        assert_eq!(relay.send(A, &lone).dropped(), reason);
        assert_eq!(words(relay.heard()), wants, "{status}");
    }
    relay.send(A, response(&sent, "200 OK", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Invite 200 final 3ms");
}

#[test]
fn a_server_that_drops_the_parameter_is_heard() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = forwarded(&mut relay, "INVITE", "call");
    let own = sent.rows("Via")[0].clone();
    let (short, _) = own.split_once(";sw=").unwrap();
    let lossy = response(&sent, "503 Busy", "b").replace(&own, short);
    relay.send(A, lossy).forwarded();
    assert_eq!(words(relay.heard()), "Invite 503 first final");
}

#[test]
fn what_is_no_first_answer_of_the_destination() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = forwarded(&mut relay, "INVITE", "call");
    relay.send(CALLER, Request::new("CANCEL", "call").text()).forwarded();
    assert_eq!(relay.heard(), None);
    // The response to a CANCEL has the branch of the INVITE.
    let ok = response(&sent, "200 OK", "b").replace("1 INVITE", "1 CANCEL");
    relay.send(A, ok).forwarded();
    assert_eq!(words(relay.heard()), "Cancel 200 0ms");
    // Forged ones.
    let forged = response(&sent, "200 OK", "b").replace(";sw=02010001", ";sw=02010002");
    assert_eq!(relay.send(A, forged).dropped(), Reason::ForgedVia);
    assert_eq!(relay.heard(), None);
    relay.send(A, response(&sent, "487 Gone", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Invite 487 first final 0ms");
}

#[test]
fn in_a_dialog_the_destination_is_heard_and_the_caller_is_not() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "call");
    let bye = relay.send(CALLER, by_caller("BYE", "call", &sent.routes())).forwarded();
    assert_eq!((relay.dispatched(), relay.heard()), (None, None));
    relay.send(A, response(&bye, "200 OK", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Other 200 0ms");
    let uri = "sip:alice@198.51.100.7:5062";
    let info = relay.send(A, by_callee("INFO", "call", uri, &sent.routes())).forwarded();
    relay.send(CALLER, response(&info, "200 OK", "a")).forwarded();
    assert_eq!(relay.heard(), None);
}

#[test]
fn after_a_restart_the_age_is_unknown() {
    let mut before = Relay::made_of(listeners(&[crate::relay::US]), 1, &["sip:10.0.0.1:5060"]);
    let sent = forwarded(&mut before, "INVITE", "call");
    let mut relay = Relay::made_of(listeners(&[crate::relay::US]), 2, &["sip:10.0.0.1:5060"]);
    relay.send(A, response(&sent, "200 OK", "b")).forwarded();
    assert_eq!(words(relay.heard()), "Invite 200", "and no pin says that it is the first");
    relay.send("192.0.2.99:5060", response(&sent, "200 OK", "b")).forwarded();
    assert_eq!(relay.heard(), None, "from somebody else");
}

#[test]
fn a_response_that_overtakes_our_clock_has_no_age() {
    for (ms, wants) in [(1, "0ms"), (10_000, "0ms"), (10_001, "unknown")] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        relay.pass_ms(20_000);
        let sent = forwarded(&mut relay, "INVITE", "call");
        // A worker that read the clock earlier than the one that sent the request.
        relay.now = strowger::clock::Now::from_ms(relay.now.ms() - ms);
        relay.send(A, response(&sent, "200 OK", "b")).forwarded();
        let age = relay.heard().unwrap().age_ms;
        assert_eq!(age.map_or("unknown".into(), |age| format!("{age}ms")), wants, "{ms}");
    }
}

#[test]
fn retry_after_of_a_503() {
    for (status, rows, wants) in [
        ("503 Busy", "Retry-After: 7\r\n", Some(7)),
        ("503 Busy", "Subject: a\r\nretry-after :  120 (lunch);duration=3\r\n", Some(120)),
        ("503 Busy", "Retry-After: 18;duration=3600\r\n", Some(18)),
        ("503 Busy", "Retry-After:\r\n 9\r\n", Some(9)),
        ("503 Busy", "Retry-After: soon\r\n", None),
        ("503 Busy", "Retry-After: 7x\r\n", None),
        ("503 Busy", "Retry-After: 99999999999\r\n", None),
        ("503 Busy", "Retry-After:\r\n", None),
        ("503 Busy", "X-Retry-After: 7\r\n", None),
        ("503 Busy", "", None),
        ("500 Broken", "Retry-After: 7\r\n", None),
    ] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = forwarded(&mut relay, "INVITE", "call");
        let text = response(&sent, status, "b").replace("CSeq:", &format!("{rows}CSeq:"));
        relay.send(A, &text).forwarded();
        assert_eq!(relay.heard().unwrap().retry_after_s, wants, "{status} {rows}");
        relay.send(A, &text).forwarded();
        assert_eq!(relay.heard().unwrap().retry_after_s, None, "a copy");
        assert_eq!(relay.heard().unwrap().method, Method::Invite);
    }
}

#[test]
fn a_failed_call_says_who_called_whom() {
    const FROM: &str = "<sip:alice@example.org>";
    const TO: &str = "<sip:bob@example.org>";
    let failed = |source: &str, from: &str, to: &str, status: &str| {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let from = format!("{from};tag=a");
        let request = Request { from: &from, to, ..Request::new("INVITE", "call") };
        let sent = relay.send(source, request.text()).forwarded();
        relay.send(A, response(&sent, status, "b")).forwarded();
        relay.heard().unwrap().failed
    };
    let of = |source: &str, from: &str, to: &str| failed(source, from, to, "500 Broken").unwrap();
    let plain = of(CALLER, FROM, TO);
    for (says, other, is_same) in [
        ("another code", failed(CALLER, FROM, TO, "599 x").unwrap(), (true, true)),
        ("another port", of("198.51.100.7:5099", FROM, TO), (true, true)),
        ("another host in To", of(CALLER, FROM, "<sip:bob@other.example.com>"), (true, true)),
        ("another address", of("198.51.100.8:5062", FROM, TO), (false, true)),
        ("another user in From", of(CALLER, "<sip:carol@example.com>", TO), (false, true)),
        ("another number", of(CALLER, FROM, "<sip:4711:x@example.org;user=phone>"), (true, false)),
        ("no users", of(CALLER, "<sip:example.com>", "<sip:example.org>"), (false, false)),
    ] {
        let same = (other.caller == plain.caller, other.number == plain.number);
        assert_eq!(same, is_same, "{says}");
        assert_ne!(other.caller, other.number);
    }
    assert_eq!(of(CALLER, FROM, "\"B\" <sip:4711@a>"), of(CALLER, FROM, "<tel:4711;x=y>"));
    for status in ["499 x", "600 x", "486 Busy", "200 OK"] {
        assert_eq!(failed(CALLER, FROM, TO, status), None, "{status}");
    }
}
