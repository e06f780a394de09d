//! A copy of an unanswered request whose destination has become inactive goes to another one.

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::{Relay, Sent};

const UP: [&str; 2] = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"];
const FIRST_DOWN: [&str; 2] = ["1 sip:10.0.0.1:5060", "sip:10.0.0.2:5060"];
const BOTH_DOWN: [&str; 2] = ["1 sip:10.0.0.1:5060", "1 sip:10.0.0.2:5060"];
const TO_SECOND: &str = "retried 10.0.0.2:5060";
const BACK: &str = "response 198.51.100.7:5062";

/// A relay whose first destination got an INVITE.
fn begun() -> (Relay, Sent) {
    let mut relay = Relay::new(&UP);
    let first = relay.send(CALLER, invite("r")).forwarded();
    assert_eq!(first.to.to_string(), "10.0.0.1:5060");
    (relay, first)
}

/// The same, after its destination went and a copy came.
fn retried() -> (Relay, Sent, Sent) {
    let (mut relay, first) = begun();
    relay.load(&FIRST_DOWN);
    let outcome = relay.send(CALLER, invite("r"));
    assert_eq!(outcome.summary(), TO_SECOND);
    (relay, first, outcome.sent.unwrap())
}

fn from(relay: &mut Relay, request: &Sent, status: &str) -> String {
    relay.send(&request.to.to_string(), response(request, status, "b")).summary()
}

#[test]
fn a_copy_goes_to_another_destination_as_another_try() {
    let (mut relay, first, second) = retried();
    assert!(relay.dispatched().is_some(), "it is dispatched once more");
    let (one, two) = (first.branch(), second.branch());
    assert_eq!(
        (one[..one.len() - 1].to_owned(), &one[one.len() - 1..]),
        (two[..two.len() - 1].to_owned(), "0")
    );
    assert!(two.ends_with('1'), "{two}");
    assert_eq!(first.rows("Record-Route").len(), second.rows("Record-Route").len());
    // Everything that belongs to it is of the second try from now on.
    for (method, wants) in [
        ("INVITE", "pinned 10.0.0.2:5060"),
        ("CANCEL", "pinned 10.0.0.2:5060"),
        ("ACK", "pinned 10.0.0.2:5060"),
    ] {
        let outcome = relay.send(CALLER, Request::new(method, "r").text());
        assert_eq!(outcome.summary(), wants);
        assert_eq!(outcome.forwarded().branch(), two, "{method}");
    }
    assert_eq!(relay.dispatched(), None);
}

#[test]
fn of_the_first_try_only_somebody_who_answers_the_call_still_matters() {
    for (status, wants) in [
        ("100 Trying", BACK),
        ("180 Ringing", BACK),
        ("200 OK", BACK),
        ("302 Moved Temporarily", "other_try"),
        ("486 Busy Here", "other_try"),
        ("503 Service Unavailable", "other_try"),
    ] {
        let (mut relay, first, second) = retried();
        assert_eq!(from(&mut relay, &first, status), wants, "{status}");
        assert_eq!(from(&mut relay, &second, "486 Busy Here"), BACK, "after {status}");
    }
    let mut relay = Relay::new(&UP);
    let first = relay.send(CALLER, Request::new("MESSAGE", "m").text()).forwarded();
    relay.load(&FIRST_DOWN);
    let second = relay.send(CALLER, Request::new("MESSAGE", "m").text());
    assert_eq!(second.summary(), TO_SECOND);
    assert_eq!(from(&mut relay, &first, "200 OK"), "other_try");
    assert_eq!(from(&mut relay, &second.forwarded(), "200 OK"), BACK);
}

#[test]
fn it_is_tried_twice_at_most() {
    let (mut relay, ..) = retried();
    relay.load(&["sip:10.0.0.1:5060", "1 sip:10.0.0.2:5060"]);
    assert_eq!(relay.send(CALLER, invite("r")).summary(), "pinned 10.0.0.2:5060");
}

#[test]
fn what_was_answered_or_is_not_gone_stays() {
    type Given = fn(&mut Relay, &Sent);
    let rows: &[(&str, Given)] = &[
        ("it is active", |_, _| {}),
        ("it is trying", |relay, _| relay.load(&["2 sip:10.0.0.1:5060", UP[1]])),
        ("an operator has disabled it", |relay, _| relay.load(&["4 sip:10.0.0.1:5060", UP[1]])),
        ("disabled while inactive", |relay, _| relay.load(&["5 sip:10.0.0.1:5060", UP[1]])),
        ("it left the list", |relay, _| relay.load(&UP[1..])),
        ("a 100 came", |relay, first| {
            assert_eq!(from(relay, first, "100 Trying"), BACK);
            relay.load(&FIRST_DOWN);
        }),
        ("it rings", |relay, first| {
            assert_eq!(from(relay, first, "180 Ringing"), BACK);
            relay.load(&FIRST_DOWN);
        }),
        ("it failed", |relay, first| {
            assert_eq!(from(relay, first, "486 Busy Here"), BACK);
            relay.load(&FIRST_DOWN);
        }),
        ("the relay shuts down", |relay, _| {
            relay.load(&FIRST_DOWN);
            relay.snapshot.draining = true;
        }),
        ("the operator does not want it", |relay, _| {
            relay.load(&FIRST_DOWN);
            relay.snapshot.set_default.retry = false;
        }),
    ];
    for (says, given) in rows {
        let (mut relay, first) = begun();
        given(&mut relay, &first);
        let copy = relay.send(CALLER, invite("r"));
        assert_eq!(copy.summary(), "pinned 10.0.0.1:5060", "{says}");
        assert_eq!(copy.forwarded().branch(), first.branch(), "{says}");
    }
}

#[test]
fn without_another_destination_it_is_answered() {
    let (mut relay, first) = begun();
    relay.load(&BOTH_DOWN);
    assert_eq!(relay.send(CALLER, invite("r")).summary(), "no_destination");
    relay.load(&UP);
    for (method, wants) in [("INVITE", "no_destination"), ("CANCEL", "200"), ("ACK", "own_ack")] {
        assert_eq!(relay.send(CALLER, Request::new(method, "r").text()).summary(), wants);
    }
    assert_eq!(from(&mut relay, &first, "486 Busy Here"), "other_try");
    assert_eq!(from(&mut relay, &first, "200 OK"), BACK);
}

#[test]
fn it_stays_in_the_set_that_it_was_dispatched_to() {
    let mut relay =
        Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "set=2 sip:10.0.0.3:5060"]);
    relay.send(CALLER, invite("r")).forwarded();
    relay.load(&["1 sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "set=2 sip:10.0.0.3:5060"]);
    relay.snapshot.policy.set = 2;
    assert_eq!(relay.send(CALLER, invite("r")).summary(), TO_SECOND);
    assert_eq!(relay.send(CALLER, invite("s")).summary(), "chosen 10.0.0.3:5060");
}
