//! What is remembered of a request or a call, for how long, and what follows from it.

use strowger::proxy::ForeignRoute;

use crate::messages::{A, BOB, CALLER, Request, by_caller, call, invite, response};
use crate::relay::{Relay, US, listeners};

const B: &str = "10.0.0.2:5060";

/// One thing that happens: time passes, or a message comes and something leaves.
#[derive(Clone, Copy)]
enum Step {
    /// Seconds.
    Passes(u64),
    /// A request of the caller outside a dialog.
    Caller(&'static str, &'static str),
    /// The answer of the destination that got the first message.
    Server(&'static str, &'static str),
    /// The operator begins or ends a shutdown.
    Draining(bool),
    /// The list becomes this.
    List(&'static [&'static str]),
}
use Step::{Caller, Draining, List, Passes, Server};

struct Row {
    says: &'static str,
    /// Each with the summary that it wants.
    given: &'static [Step],
}

const TO_A: &str = "pinned 10.0.0.1:5060";
const BACK: &str = "response 198.51.100.7:5062";

/// The first message is always an INVITE, which goes to A.
#[rustfmt::skip]
const AFTER_AN_INVITE: &[Row] = &[
    Row { says: "it is remembered for 240 s", given: &[
        Passes(240), Caller("INVITE", TO_A),
    ]},
    Row { says: "and is new after that", given: &[
        Passes(249), Caller("INVITE", "chosen 10.0.0.2:5060"),
    ]},
    Row { says: "a copy, a CANCEL and an ACK are the transaction's", given: &[
        Caller("INVITE", TO_A), Caller("CANCEL", TO_A), Caller("ACK", TO_A),
    ]},
    Row { says: "after that a CANCEL or an ACK belongs to nothing", given: &[
        Passes(249), Caller("CANCEL", "481"), Caller("ACK", "stray_ack"),
    ]},
    Row { says: "a copy renews it", given: &[
        Passes(200), Caller("INVITE", TO_A), Passes(200), Caller("CANCEL", TO_A),
    ]},
    Row { says: "a CANCEL renews it", given: &[
        Passes(200), Caller("CANCEL", TO_A), Passes(200), Caller("INVITE", TO_A),
    ]},
    Row { says: "an ACK renews it", given: &[
        Passes(200), Caller("ACK", TO_A), Passes(200), Caller("INVITE", TO_A),
    ]},
    Row { says: "a response renews it", given: &[
        Passes(200), Server("486 Busy Here", BACK), Passes(200), Caller("ACK", TO_A),
    ]},
    Row { says: "while it rings it is remembered for 1,800 s", given: &[
        Server("180 Ringing", BACK), Passes(1_800), Caller("CANCEL", TO_A),
    ]},
    Row { says: "a 100 is not ringing: 240 s, and no more", given: &[
        Server("100 Trying", BACK), Passes(240), Caller("CANCEL", TO_A),
    ]},
    Row { says: "after which it is forgotten", given: &[
        Server("100 Trying", BACK), Passes(250), Caller("CANCEL", "481"),
    ]},
    Row { says: "a late 100 does not stop the ringing", given: &[
        Server("180 Ringing", BACK), Server("100 Trying", BACK), Passes(1_000), Caller("CANCEL", TO_A),
    ]},
    Row { says: "a 101 rings", given: &[
        Server("101 Dialog Establishment", BACK), Passes(1_000), Caller("CANCEL", TO_A),
    ]},
    Row { says: "and so does a 199", given: &[
        Server("199 Early Dialog Terminated", BACK), Passes(1_000), Caller("CANCEL", TO_A),
    ]},
    Row { says: "each 1xx begins that time anew", given: &[
        Server("180 Ringing", BACK), Passes(1_500), Server("180 Ringing", BACK), Passes(1_500), Caller("CANCEL", TO_A),
    ]},
    Row { says: "a copy does not end the ringing", given: &[
        Server("180 Ringing", BACK), Caller("INVITE", TO_A), Passes(1_000), Caller("CANCEL", TO_A),
    ]},
    Row { says: "a failure ends the ringing", given: &[
        Server("180 Ringing", BACK), Server("486 Busy Here", BACK), Passes(249), Caller("CANCEL", "481"),
    ]},
    Row { says: "a 200 does", given: &[
        Server("180 Ringing", BACK), Server("200 OK", BACK), Passes(249), Caller("CANCEL", "481"),
    ]},
    Row { says: "a destination that leaves the list gets what belongs to it", given: &[
        List(&["sip:10.0.0.2:5060"]), Caller("INVITE", TO_A), Caller("CANCEL", TO_A), Caller("ACK", TO_A),
    ]},
    Row { says: "one that is switched off does too", given: &[
        List(&["4 sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]), Caller("INVITE", TO_A), Caller("CANCEL", TO_A),
    ]},
    Row { says: "and so does one of a relay that shuts down", given: &[
        Draining(true), Caller("INVITE", TO_A), Caller("CANCEL", TO_A), Caller("ACK", TO_A),
    ]},
    Row { says: "another method with its branch is its copy", given: &[
        Caller("OPTIONS", TO_A),
    ]},
];

fn play(relay: &mut Relay, method: &str, says: &str, steps: &[Step]) {
    let first = relay.send(CALLER, Request::new(method, "steps").text()).sent.unwrap();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Passes(seconds) => relay.pass_ms(1_000 * seconds),
            Draining(is_draining) => relay.snapshot.draining = is_draining,
            List(lines) => relay.load(lines),
            Caller(method, wants) => {
                // The CSeq number is that of the request which a CANCEL or an ACK belongs to.
                let got = relay.send(CALLER, Request::new(method, "steps").text()).summary();
                assert_eq!(got, wants, "{says}: step {number}");
            }
            Server(status, wants) => {
                let from = first.to.to_string();
                let got = relay.send(&from, response(&first, status, "b")).summary();
                assert_eq!(got, wants, "{says}: step {number}");
            }
        }
    }
}

#[test]
fn what_belongs_to_an_invite() {
    for row in AFTER_AN_INVITE {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        play(&mut relay, "INVITE", row.says, row.given);
    }
}

#[rustfmt::skip]
#[test]
fn what_belongs_to_another_request() {
    let rows: &[Row] = &[
        Row { says: "it is remembered for 32 s", given: &[Passes(32), Caller("OPTIONS", TO_A)] },
        Row { says: "and is new after that", given: &[Passes(41), Caller("OPTIONS", "chosen 10.0.0.2:5060")] },
        Row { says: "also when it was answered", given: &[
            Server("200 OK", BACK), Passes(41), Caller("OPTIONS", "chosen 10.0.0.2:5060"),
        ]},
        Row { says: "a 1xx keeps it no longer", given: &[
            Server("100 Trying", BACK), Passes(41), Caller("OPTIONS", "chosen 10.0.0.2:5060"),
        ]},
        Row { says: "a copy renews it", given: &[
            Passes(30), Caller("OPTIONS", TO_A), Passes(30), Caller("OPTIONS", TO_A),
        ]},
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        play(&mut relay, "OPTIONS", row.says, row.given);
    }
}

#[rustfmt::skip]
#[test]
fn an_invite_that_we_answered_ends_here_with_all_that_belongs_to_it() {
    let all: &[&str] = &["sip:10.0.0.1:5060"];
    let none: Vec<Step> = vec![
        Caller("INVITE", "no_destination"), Caller("CANCEL", "200"), Caller("ACK", "own_ack"),
        List(&["sip:10.0.0.1:5060"]),
        Caller("INVITE", "no_destination"), Caller("CANCEL", "200"), Caller("ACK", "own_ack"),
        // Every one of these renewed it.
        Passes(249), Caller("INVITE", "chosen 10.0.0.1:5060"),
    ];
    play(&mut Relay::new(&[]), "INVITE", "no destination", &none);
    let draining: Vec<Step> = vec![
        Caller("INVITE", "503"), Caller("CANCEL", "200"), Caller("ACK", "own_ack"),
        Draining(false),
        Caller("INVITE", "503"), Caller("CANCEL", "200"), Caller("ACK", "own_ack"),
        Passes(249), Caller("INVITE", "chosen 10.0.0.1:5060"),
    ];
    let mut relay = Relay::new(all);
    relay.snapshot.draining = true;
    play(&mut relay, "INVITE", "shutting down", &draining);
    // Nothing is remembered of what can be asked again.
    let again: Vec<Step> = vec![Caller("OPTIONS", "503"), Draining(false), Caller("OPTIONS", "chosen 10.0.0.1:5060")];
    let mut relay = Relay::new(all);
    relay.snapshot.draining = true;
    play(&mut relay, "OPTIONS", "shutting down", &again);
}

/// A refusal is no choice: nothing is remembered, and no turn is taken.
#[test]
fn a_new_request_that_is_refused_leaves_nothing() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    assert_eq!(relay.send(A, invite("own")).summary(), "403");
    assert_eq!(relay.send(CALLER, invite("own")).summary(), "chosen 10.0.0.1:5060");
    relay.snapshot.set_default.foreign_route = ForeignRoute::Refuse;
    let mut routed = Request::new("INVITE", "routed");
    routed.more = "Route: <sip:203.0.113.66;lr>\r\n".into();
    assert_eq!(relay.send(CALLER, routed.text()).summary(), "403");
    assert_eq!(relay.send(CALLER, invite("routed")).summary(), "chosen 10.0.0.2:5060");
}

/// The ACK to an answer of ours is known by its To tag alone, also when its pin is long gone.
#[test]
fn our_own_to_tag_is_known_without_a_pin() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut bad = Request::new("INVITE", "own-tag");
    bad.more = "Proxy-Require: x\r\n".into();
    let refused = relay.send(CALLER, bad.text()).sent.unwrap();
    let to = refused.rows("To")[0].clone();
    for to in [to.clone(), to.replace("tag=", "TAG="), to.to_ascii_uppercase()] {
        let mut ack = Request::new("ACK", "own-tag");
        ack.to = &to;
        assert_eq!(relay.send(CALLER, ack.text()).summary(), "own_ack", "{to}");
    }
    let mut ack = Request::new("ACK", "own-tag");
    let other = format!("{}0", &to[..to.len() - 1]).replace("00", "01");
    ack.to = &other;
    assert_eq!(relay.send(CALLER, ack.text()).summary(), "stray_ack");
}

#[test]
fn an_ack_is_never_answered() {
    struct Row {
        says: &'static str,
        given: fn(&mut Request, &str),
        wants: &'static str,
    }
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let other = call(&mut relay, "other").routes();
    let rows: &[Row] = &[
        Row { says: "of nothing", given: |_, _| {}, wants: "stray_ack" },
        Row { says: "of nothing, in a dialog", given: |ack, _| ack.to = BOB, wants: "stray_ack" },
        Row {
            says: "with the token of another call",
            given: |ack, other| ack.more = other.into(),
            wants: "bad_ack",
        },
        Row {
            says: "another scheme",
            given: |ack, _| ack.uri = "http://example.com",
            wants: "stray_ack",
        },
        Row { says: "malformed", given: |ack, _| ack.cseq = "x ACK".into(), wants: "bad_ack" },
        Row {
            says: "a Route that is no URI",
            given: |ack, _| ack.more = "Route: <x>\r\n".into(),
            wants: "bad_ack",
        },
        Row {
            says: "to our own address",
            given: |ack, _| ack.uri = "sip:192.0.2.1",
            wants: "stray_ack",
        },
        Row {
            says: "to a destination, in a dialog",
            given: |ack, _| (ack.to, ack.uri) = (BOB, "sip:bob@10.0.0.1"),
            wants: "request_uri 10.0.0.1:5060",
        },
        Row {
            says: "to a destination, in no dialog",
            given: |ack, _| ack.uri = "sip:bob@10.0.0.1",
            wants: "stray_ack",
        },
    ];
    for row in rows {
        let mut ack = Request::new("ACK", "ack");
        (row.given)(&mut ack, &other);
        assert_eq!(relay.send(CALLER, ack.text()).summary(), row.wants, "{}", row.says);
    }
    let hops = Request::new("ACK", "ack").text().replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(relay.send(CALLER, hops).summary(), "bad_ack");
    relay.snapshot.policy.max_breadth = Some(9);
    let mut ack = Request::new("ACK", "ack");
    ack.more = "Max-Breadth: 0\r\n".into();
    assert_eq!(relay.send(CALLER, ack.text()).summary(), "bad_ack");
}

#[test]
fn a_call_is_remembered_by_its_id_and_both_tags_and_who_sends() {
    struct Row {
        says: &'static str,
        from: &'static str,
        given: fn(&mut Request),
        wants: &'static str,
    }
    let rows: &[Row] = &[
        Row { says: "as it was", from: CALLER, given: |_| {}, wants: "call_pin 10.0.0.1:5060" },
        Row {
            says: "from another address",
            from: "203.0.113.5:9",
            given: |_| {},
            wants: "call_pin 10.0.0.1:5060",
        },
        Row {
            says: "tags have no case",
            from: CALLER,
            given: |r| {
                (r.from, r.to) = ("<sip:a@example.org>;tag=ALICE", "<sip:b@example.com>;tag=BOB");
            },
            wants: "call_pin 10.0.0.1:5060",
        },
        Row { says: "another Call-ID", from: CALLER, given: |r| r.call_id = "Call", wants: "481" },
        Row {
            says: "another caller's tag",
            from: CALLER,
            given: |r| r.from = "<sip:a@example.org>;tag=alicf",
            wants: "481",
        },
        Row {
            says: "another callee's tag",
            from: CALLER,
            given: |r| r.to = "<sip:b@example.com>;tag=boc",
            wants: "481",
        },
        Row {
            says: "the tags the other way round",
            from: CALLER,
            given: |r| (r.from, r.to) = (BOB, "<sip:a@example.org>;tag=alice"),
            wants: "481",
        },
        Row { says: "from its destination", from: A, given: |_| {}, wants: "481" },
        Row { says: "from another destination", from: B, given: |_| {}, wants: "481" },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        call(&mut relay, "call");
        let mut bye = Request::new("BYE", "call");
        (bye.to, bye.uri) = (BOB, "sip:bob@192.168.7.7");
        (row.given)(&mut bye);
        assert_eq!(relay.send(row.from, bye.text()).summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn a_call_is_forgotten_240_s_after_its_last_request() {
    for (seconds, wants) in [(240, "call_pin 10.0.0.1:5060"), (249, "481")] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        call(&mut relay, "forgotten");
        relay.pass_ms(200_000);
        let info = by_caller("INFO", "forgotten", "");
        assert_eq!(relay.send(CALLER, info).summary(), "call_pin 10.0.0.1:5060");
        relay.pass_ms(seconds * 1_000);
        assert_eq!(relay.send(CALLER, by_caller("BYE", "forgotten", "")).summary(), wants);
    }
}

#[test]
fn which_responses_make_a_call() {
    struct Row {
        method: &'static str,
        status: &'static str,
        wants: &'static str,
    }
    let (yes, no) = ("call_pin 10.0.0.1:5060", "481");
    let row = |method, status, wants| Row { method, status, wants };
    let rows = [
        row("INVITE", "100 Trying", no),
        row("INVITE", "101 Dialog Establishment", yes),
        row("INVITE", "199 Early Dialog Terminated", yes),
        row("INVITE", "200 OK", yes),
        row("INVITE", "299 Fine", yes),
        row("INVITE", "300 Multiple Choices", no),
        row("INVITE", "600 Busy Everywhere", no),
        row("SUBSCRIBE", "200 OK", yes),
        row("SUBSCRIBE", "481 None", no),
        row("REFER", "202 Accepted", yes),
        row("MESSAGE", "200 OK", no),
        row("PUBLISH", "200 OK", no),
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = relay.send(CALLER, Request::new(row.method, "made").text()).forwarded();
        relay.send(A, response(&sent, row.status, "bob")).forwarded();
        let got = relay.send(CALLER, by_caller("BYE", "made", "")).summary();
        assert_eq!(got, row.wants, "{} {}", row.method, row.status);
    }
}

/// What a response says of its call is kept only when it is known who answered.
#[test]
fn a_response_of_an_unknown_server_does_not_spoil_what_is_remembered() {
    let list = ["sip:10.0.0.1:5060"];
    let mut old = Relay::made_of(listeners(&[US]), 1, &list);
    let mut new = Relay::made_of(listeners(&[US]), 2, &list);
    let sent = call(&mut new, "spoilt");
    // A request that the process before forwarded, answered from a port that no destination has.
    let again = old.send(CALLER, by_caller("INVITE", "spoilt", &sent.routes())).forwarded();
    let ok = response(&again, "200 OK", "bob");
    assert_eq!(new.send("10.0.0.1:40000", ok).summary(), BACK);
    let bye = by_caller("BYE", "spoilt", "");
    assert_eq!(new.send(CALLER, bye).summary(), "call_pin 10.0.0.1:5060");
}

#[test]
fn a_challenge_is_answered_once_where_it_came_from() {
    struct Row {
        says: &'static str,
        status: &'static str,
        given: fn(&mut Request),
        seconds: u64,
        list: &'static [&'static str],
        wants: &'static str,
    }
    const LIST: &[&str] = &["sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"];
    const TURN: &str = "chosen 10.0.0.2:5060";
    const CHALLENGER: &str = "chosen 10.0.0.1:5060";
    const AUTHORIZATION: &str = "Authorization: Digest x\r\n";
    let row =
        |says, status, given, wants| Row { says, status, given, seconds: 0, list: LIST, wants };
    let again: fn(&mut Request) = |r| {
        r.cseq = "2 INVITE".into();
        r.more = AUTHORIZATION.into();
    };
    let rows = [
        row("401", "401 Unauthorized", again, CHALLENGER),
        row("407", "407 Proxy Authentication Required", again, CHALLENGER),
        row("another failure", "403 Forbidden", again, TURN),
        row("402", "402 Payment Required", again, TURN),
        row("without credentials", "401 Unauthorized", |r| r.cseq = "2 INVITE".into(), TURN),
        row(
            "another call",
            "401 Unauthorized",
            |r| {
                (r.call_id, r.cseq, r.more) = ("other", "2 INVITE".into(), AUTHORIZATION.into());
            },
            TURN,
        ),
        row(
            "another caller",
            "401 Unauthorized",
            |r| {
                (r.from, r.cseq) = ("<sip:a@example.org>;tag=x", "2 INVITE".into());
                r.more = AUTHORIZATION.into();
            },
            TURN,
        ),
        row(
            "the same CSeq is a fork",
            "401 Unauthorized",
            |r| {
                r.more = AUTHORIZATION.into();
            },
            TURN,
        ),
        Row { seconds: 240, ..row("in time", "401 Unauthorized", again, CHALLENGER) },
        Row { seconds: 249, ..row("too late", "401 Unauthorized", again, TURN) },
        Row {
            list: &["1 sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"],
            ..row("the challenger is inactive", "401 Unauthorized", again, TURN)
        },
        Row {
            list: &["2 sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"],
            ..row("the challenger is trying", "401 Unauthorized", again, CHALLENGER)
        },
        Row {
            list: &["set=2 sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"],
            ..row("the challenger is in another set now", "401 Unauthorized", again, TURN)
        },
    ];
    for row in rows {
        let mut relay = Relay::new(LIST);
        let first = relay.send(CALLER, invite("auth")).forwarded();
        relay.send(A, response(&first, row.status, "b")).forwarded();
        relay.pass_ms(row.seconds * 1_000);
        relay.load(row.list);
        let mut again = Request::new("INVITE", "auth");
        (row.given)(&mut again);
        again.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-again");
        assert_eq!(relay.send(CALLER, again.text()).summary(), row.wants, "{}", row.says);
    }
}

/// A CANCEL whose INVITE is not known goes to a destination that it names, and to nobody else.
#[test]
fn a_cancel_without_its_invite() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:media.example.com:5080"]);
    for (uri, wants) in [
        ("sip:bob@10.0.0.1", "request_uri 10.0.0.1:5060"),
        ("sip:bob@10.0.0.1:5060", "request_uri 10.0.0.1:5060"),
        ("sip:bob@10.0.0.1:5061", "481"),
        ("sip:bob@10.0.0.2", "481"),
        ("sip:bob@media.example.com:5080", "request_uri 203.0.113.1:5060"),
        ("sip:bob@media.example.com", "481"),
        ("sip:bob@203.0.113.66", "481"),
        ("tel:+15550100", "481"),
        ("sip:192.0.2.1", "481"),
    ] {
        let mut cancel = Request::new("CANCEL", "unknown");
        cancel.uri = uri;
        assert_eq!(relay.send(CALLER, cancel.text()).summary(), wants, "{uri}");
    }
}

/// The table of these rows holds 8,000 pins.
#[test]
fn a_flood_of_unanswered_invites_pushes_out_no_call_that_rings() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let ringing: Vec<_> = (0..20).map(|n| format!("rings-{n}")).collect();
    for call_id in &ringing {
        let sent = relay.send(CALLER, invite(call_id)).forwarded();
        relay.send(A, response(&sent, "180 Ringing", "bob")).forwarded();
    }
    for n in 0..10_000 {
        relay.pass_ms(1);
        relay.send(CALLER, invite(&format!("flood-{n}"))).forwarded();
    }
    for call_id in &ringing {
        let cancel = relay.send(CALLER, Request::new("CANCEL", call_id).text());
        assert_eq!(cancel.summary(), TO_A, "{call_id}");
    }
}
