//! Responses: where they go, and what proves that they may.

use strowger::pin::State;
use strowger::proxy::{Forwarded, ListenerId, Prefix, Reason, SourceMatch, Verdict};

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::{Relay, US, listeners};

const A: &str = "10.0.0.1:5060";

struct Row {
    says: &'static str,
    via: &'static str,
    source: &'static str,
    noted: &'static str,
    returns_to: &'static str,
}

#[test]
fn responses_find_the_address_that_waits_for_them() {
    let rows = [
        Row {
            says: "sent-by is the source: nothing is noted, and its port counts",
            via: "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1",
            source: "198.51.100.7:40000",
            noted: "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK1",
            returns_to: "198.51.100.7:5062",
        },
        Row {
            says: "no port means 5060",
            via: "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1",
            source: "198.51.100.7:40000",
            noted: "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1",
            returns_to: "198.51.100.7:5060",
        },
        Row {
            says: "a name gets received (§18.2.1)",
            via: "SIP/2.0/UDP host.example.org:5070;branch=z9hG4bK1",
            source: "198.51.100.7:40000",
            noted: "SIP/2.0/UDP host.example.org:5070;branch=z9hG4bK1;received=198.51.100.7",
            returns_to: "198.51.100.7:5070",
        },
        Row {
            says: "rport gets the source port, and received even when equal (RFC 3581 §4)",
            via: "SIP/2.0/UDP 198.51.100.7:5062;rport;branch=z9hG4bK1",
            source: "198.51.100.7:40000",
            noted: "SIP/2.0/UDP 198.51.100.7:5062;rport=40000;branch=z9hG4bK1;received=198.51.100.7",
            returns_to: "198.51.100.7:40000",
        },
        Row {
            says: "a forged received is replaced",
            via: "SIP/2.0/UDP 198.51.100.7:5062;received=203.0.113.66;branch=z9hG4bK1",
            source: "198.51.100.7:40000",
            noted: "SIP/2.0/UDP 198.51.100.7:5062;received=198.51.100.7;branch=z9hG4bK1",
            returns_to: "198.51.100.7:5062",
        },
        Row {
            says: "maddr is no way to aim us at others",
            via: "SIP/2.0/UDP 198.51.100.7:5062;maddr=203.0.113.66;branch=z9hG4bK1",
            source: "198.51.100.7:5062",
            noted: "SIP/2.0/UDP 198.51.100.7:5062;maddr=203.0.113.66;branch=z9hG4bK1",
            returns_to: "198.51.100.7:5062",
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let mut request = Request::new("INVITE", "r");
        request.via = row.via.into();
        let sent = relay.send(row.source, request.text()).forwarded();
        assert_eq!(sent.rows("Via")[1], row.noted, "{}", row.says);
        let back = relay.send(A, response(&sent, "200 OK", "b")).forwarded();
        assert_eq!(back.to.to_string(), row.returns_to, "{}", row.says);
        assert_eq!(back.rows("Via"), [row.noted], "{}", row.says);
    }
}

#[test]
fn ipv6_calls_come_and_go() {
    let mut relay = Relay::listening(&["[2001:db8::1]:5060"], &["sip:[2001:db8::a]:5060"]);
    let mut request = Request::new("INVITE", "six");
    request.via = "SIP/2.0/UDP [2001:db8::99];rport;branch=z9hG4bK6".into();
    let sent = relay.send("[2001:db8::99]:5099", request.text()).forwarded();
    assert_eq!(sent.to.to_string(), "[2001:db8::a]:5060");
    assert_eq!(
        sent.rows("Via")[1],
        "SIP/2.0/UDP [2001:db8::99];rport=5099;branch=z9hG4bK6;received=2001:db8::99"
    );
    // A stack that writes our address in another form does not lose the call.
    let rewritten =
        response(&sent, "200 OK", "b").replacen("[2001:db8::1]", "[2001:0DB8:0:0::1]", 1);
    assert_eq!(relay.send("[2001:db8::a]:5060", rewritten).next_hop(), "[2001:db8::99]:5099");
}

#[test]
fn other_stacks_write_vias_anew_and_we_still_know_them() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "rewritten");
    request.via = "SIP/2.0/UDP 198.51.100.7:5062;rport;branch=z9hG4bKabc".into();
    let sent = relay.send("198.51.100.7:40000", request.text()).forwarded();
    let text = response(&sent, "200 OK", "b");
    let vias = sent.rows("Via");
    let upper =
        vias[0].replace("SIP/2.0/UDP ", "SIP / 2.0 / UDP\r\n  ").replace(";branch", " ;\tBRANCH");
    let reordered =
        "SIP/2.0/UDP 198.51.100.7:5062;received=198.51.100.7;Branch=z9hG4bKabc;Rport=40000";
    let rows = format!("Via: {}\r\nVia: {}\r\n", vias[0], vias[1]);
    let respellings = [
        format!("v: {upper}, {reordered}\r\n"),
        format!("VIA :{}\r\nv:{reordered}\r\n", vias[0].to_ascii_uppercase()),
        format!("X: y\r\nVia: {} ,\r\n {}\r\n", vias[0], vias[1]),
    ];
    for spelling in respellings {
        let text = text.replace(&rows, &spelling);
        let back = relay.send(A, &text);
        assert_eq!(back.verdict, Verdict::Forwarded(Forwarded::Response), "{spelling}");
        let back = back.forwarded();
        assert_eq!(back.to.to_string(), "198.51.100.7:40000");
        assert!(!back.text().contains(";sw="), "our Via is gone: {}", back.text());
    }
}

/// Some servers leave out all Vias but ours in a 100. It goes nowhere, but if it verifies, its request
/// was answered.
#[test]
fn a_100_without_a_second_via_marks_its_request_as_answered() {
    struct Row {
        says: &'static str,
        status: &'static str,
        change: (&'static str, &'static str),
        wants: State,
    }
    let rows = [
        Row { says: "a 100", status: "100 Trying", change: ("", ""), wants: State::Trying },
        Row { says: "a 180", status: "180 Ringing", change: ("", ""), wants: State::None },
        Row {
            says: "another sent-by of ours",
            status: "100 Trying",
            change: ("192.0.2.1:5060", "sip.example.net:5060"),
            wants: State::None,
        },
        Row {
            says: "of a CANCEL",
            status: "100 Trying",
            change: ("1 INVITE", "1 CANCEL"),
            wants: State::None,
        },
        Row {
            says: "without the parameter",
            status: "100 Trying",
            change: (";sw=", ";ws="),
            wants: State::None,
        },
        Row {
            says: "another time in the parameter",
            status: "100 Trying",
            change: ("3b9aca00", "3b9aca01"),
            wants: State::None,
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = relay.send(CALLER, invite("lone")).forwarded();
        let callers = format!("Via: {}\r\n", sent.rows("Via")[1]);
        let (from, to) = row.change;
        let lone = response(&sent, row.status, "b").replace(&callers, "");
        let changed = if from.is_empty() { lone.clone() } else { lone.replacen(from, to, 1) };
        assert!(from.is_empty() || changed != lone, "{}", row.says);
        let is_answered = row.wants == State::Trying;
        let reason = if is_answered { Reason::LoneTrying } else { Reason::NoNextVia };
        assert_eq!(relay.send(A, changed).dropped(), reason, "{}", row.says);
        let transaction = relay.explain(CALLER, invite("lone")).transaction.unwrap();
        assert_eq!(transaction.state, row.wants, "{}", row.says);
    }
}

#[test]
fn what_does_not_verify_is_dropped() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("forged")).forwarded();
    let good = response(&sent, "200 OK", "b");
    let own = &sent.rows("Via")[0];
    let parameter = own.split("sw=").nth(1).unwrap();
    let broken_parameter = format!("{}0", &parameter[..parameter.len() - 1]);
    let rows = [
        ("another's Via", good.replacen("192.0.2.1", "192.0.2.2", 1), Reason::ForeignVia),
        ("another port", good.replacen("192.0.2.1:5060", "192.0.2.1:5061", 1), Reason::ForeignVia),
        (
            "a victim below",
            good.replacen("198.51.100.7:5062", "203.0.113.66:5062", 1),
            Reason::ForgedVia,
        ),
        (
            "another port below",
            good.replacen("198.51.100.7:5062", "198.51.100.7:53", 1),
            Reason::ForgedVia,
        ),
        (
            "broadcast below",
            good.replacen("198.51.100.7", "255.255.255.255", 1),
            Reason::BadNextVia,
        ),
        ("multicast below", good.replacen("198.51.100.7", "224.0.0.1", 1), Reason::BadNextVia),
        ("nobody below", good.replacen("198.51.100.7", "0.0.0.0", 1), Reason::BadNextVia),
        (
            "ourselves below",
            good.replacen("198.51.100.7:5062", "192.0.2.1:5060", 1),
            Reason::BadNextVia,
        ),
        ("a name below", good.replacen("198.51.100.7", "victim.example", 1), Reason::BadNextVia),
        ("a changed tag", good.replace(parameter, &broken_parameter), Reason::ForgedVia),
        (
            "a changed branch",
            good.replacen("branch=z9hG4bK0", "branch=z9hG4bK1", 1).replacen(
                "branch=z9hG4bK",
                "branch=z9hG4bJ",
                1,
            ),
            Reason::ForgedVia,
        ),
        ("another call", good.replacen("Call-ID: forged", "Call-ID: other", 1), Reason::ForgedVia),
        ("another caller", good.replacen("tag=alice", "tag=mallory", 1), Reason::ForgedVia),
        (
            "no Via below",
            good.replacen("Via: SIP/2.0/UDP 198", "X-Via: SIP/2.0/UDP 198", 1),
            Reason::NoNextVia,
        ),
    ];
    for (says, text, reason) in rows {
        assert_eq!(relay.send(A, text).dropped(), reason, "{says}");
    }
    relay.send(A, good).forwarded();
}

#[test]
fn a_response_says_nothing_about_another_call() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let mine = relay.send(CALLER, invite("mine")).forwarded();
    let theirs = relay.send(CALLER, invite("theirs")).forwarded();
    relay.send("10.0.0.2:5060", response(&theirs, "200 OK", "b")).forwarded();
    // The server of one call answers as if it were the other call's.
    let claim = response(&mine, "200 OK", "b").replace("Call-ID: mine", "Call-ID: theirs");
    assert_eq!(relay.send(A, claim).dropped(), Reason::ForgedVia);
    let mut bye = Request::new("BYE", "theirs");
    bye.to = "<sip:bob@example.com>;tag=b";
    assert_eq!(relay.send(CALLER, bye.text()).next_hop(), "10.0.0.2:5060");
}

#[test]
fn a_server_that_drops_our_parameter_is_believed_only_where_destinations_are() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("lost")).forwarded();
    let good = response(&sent, "200 OK", "b");
    let at = good.find(";sw=").unwrap();
    let end = at + good[at..].find("\r\n").unwrap();
    let text = format!("{}{}", &good[..at], &good[end..]);
    // A newer node of ours may write what this one does not know.
    let unknown = [("another version", "0301"), ("another key", "0209"), ("no digits", "what")];
    let unknown =
        unknown.map(|(says, begin)| (says, good.replace(";sw=0201", &format!(";sw={begin}"))));
    for (says, text) in unknown.into_iter().chain([("none", text.clone())]) {
        assert_ne!(text, good, "{says}");
        let outcome = relay.send(A, &text);
        assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::ViaParameterLost), "{says}");
        assert_eq!(outcome.next_hop(), CALLER, "{says}");
        assert_eq!(relay.send("203.0.113.66:5060", &text).dropped(), Reason::ForgedVia, "{says}");
    }
    relay.load(&[]);
    relay.send(A, &text).forwarded();
    // The branch does not prove `received`: it must be an address that requests may come from.
    let elsewhere =
        text.replacen("198.51.100.7:5062;", "198.51.100.7:5062;received=203.0.113.66;", 1);
    assert_eq!(relay.send(A, &elsewhere).next_hop(), "203.0.113.66:5062");
    relay.snapshot.policy.allow =
        ["198.51.100.0", "10.0.0.0"].map(|ip| Prefix::new(ip.parse().unwrap(), 24).unwrap()).into();
    assert_eq!(relay.send(A, &elsewhere).dropped(), Reason::ForgedVia);
    relay.send(A, &text).forwarded();
}

#[test]
fn a_restarted_process_and_another_node_write_the_same_branch_and_serve_the_response() {
    let mut old = Relay::made_of(listeners(&[US]), 1, &["sip:10.0.0.1:5060"]);
    let mut new = Relay::made_of(listeners(&[US]), 2, &["sip:10.0.0.1:5060"]);
    let by_old = old.send(CALLER, invite("restart")).forwarded();
    let by_new = new.send(CALLER, invite("restart")).forwarded();
    assert_eq!(by_old.branch(), by_new.branch());
    assert_eq!(new.send(A, response(&by_old, "180 Ringing", "b")).next_hop(), CALLER);
}

#[test]
fn a_response_leaves_by_the_listener_that_the_request_came_in_by() {
    let mut relay = Relay::listening(
        &["192.0.2.1:5060", "192.0.2.1:5080"],
        &["sip:10.0.0.1:5060 socket=192.0.2.1:5060"],
    );
    let sent = relay.send_to(0, 1, CALLER, invite("ports").as_bytes()).forwarded();
    assert_eq!(sent.listener, ListenerId(0));
    let back = relay.send_to(0, 0, A, response(&sent, "200 OK", "b").as_bytes()).forwarded();
    assert_eq!((back.listener, back.to.to_string()), (ListenerId(1), CALLER.to_owned()));
}

#[test]
fn a_100_is_forwarded_like_any_other() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("trying")).forwarded();
    assert_eq!(relay.send(A, response(&sent, "100 Trying", "b")).next_hop(), CALLER);
}

#[test]
fn malformed_responses_are_dropped_and_never_answered() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("m")).forwarded();
    let good = response(&sent, "200 OK", "b");
    for (from, to) in [
        ("SIP/2.0 200", "SIP/2.0 2000"),
        ("SIP/2.0 200", "SIP/2.0 099"),
        ("SIP/2.0 200", "SIP/3.0 200"),
        ("CSeq: 1 ", "CSeq: 99999999999 "),
        ("Content-Length: 0", "Content-Length: 5"),
        ("Content-Length: 0", "Content-Length: 0\r\nl: 0"),
        ("Call-ID: ", "Call-ID\x01: "),
    ] {
        assert_eq!(
            relay.send(A, good.replace(from, to)).dropped(),
            Reason::MalformedResponse,
            "{to}"
        );
    }
}

#[test]
fn a_slot_of_another_process_means_nothing_here() {
    let (a, b) = ("sip:10.0.0.1:5060", "sip:10.0.0.2:5060");
    let mut old = Relay::made_of(listeners(&[US]), 1, &[a]);
    let mut new = Relay::made_of(listeners(&[US]), 2, &[b, a]);
    let sent = old.send(CALLER, invite("restart")).forwarded();
    new.send(A, response(&sent, "200 OK", "b")).forwarded();
    let mut bye = Request::new("BYE", "restart");
    bye.to = "<sip:bob@example.com>;tag=b";
    assert_eq!(new.send(CALLER, bye.text()).next_hop(), A);
}

#[test]
fn servers_that_share_an_address_are_told_apart_by_their_ports() {
    let both = ["sip:10.0.0.1:5060", "sip:10.0.0.1:5070"];
    let mut old = Relay::made_of(listeners(&[US]), 1, &both[1..]);
    let mut new = Relay::made_of(listeners(&[US]), 2, &both);
    new.snapshot.policy.source_match = SourceMatch::Address;
    let sent = old.send(CALLER, invite("shared")).forwarded();
    new.send("10.0.0.1:5070", response(&sent, "200 OK", "b")).forwarded();
    let mut bye = Request::new("BYE", "shared");
    bye.to = "<sip:bob@example.com>;tag=b";
    assert_eq!(new.send(CALLER, bye.text()).next_hop(), "10.0.0.1:5070");
}

#[test]
fn the_slot_of_a_request_of_long_ago_means_nothing_any_more() {
    struct Row {
        says: &'static str,
        after_ms: u64,
        from: &'static str,
        bye_goes: Option<&'static str>,
    }
    let row = |says, after_ms, from, bye_goes| Row { says, after_ms, from, bye_goes };
    let old = 1_800_000;
    let rows = [
        row("in its time it is the slot", old - 1, "10.0.0.1:40000", Some(A)),
        row("later its source tells", old, A, Some(A)),
        row("and a stranger is none", old, "10.0.0.1:40000", None),
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        let sent = relay.send(CALLER, invite("queue")).forwarded();
        relay.now = relay.now.plus_ms(row.after_ms);
        relay.send(row.from, response(&sent, "200 OK", "b")).forwarded();
        let mut bye = Request::new("BYE", "queue");
        bye.to = "<sip:bob@example.com>;tag=b";
        let outcome = relay.send(CALLER, bye.text());
        match row.bye_goes {
            Some(hop) => assert_eq!(outcome.next_hop(), hop, "{}", row.says),
            None => assert!(outcome.answer().contains("481"), "{}", row.says),
        }
    }
}

#[test]
fn our_via_is_bound_to_the_listener_that_wrote_it() {
    let mut relay = Relay::listening(&["192.0.2.1:5060", "192.0.2.1:5080"], &["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("bound")).forwarded();
    let moved = response(&sent, "200 OK", "b").replacen("192.0.2.1:5060", "192.0.2.1:5080", 1);
    assert_eq!(relay.send(A, moved).dropped(), Reason::ForgedVia);
}

#[test]
fn another_elements_sw_parameter_is_its_own_affair() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    for (number, parameter) in ["sw", "sw=x;sw=y"].iter().enumerate() {
        let mut request = Request::new("INVITE", "sw");
        request.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-sw-{number};{parameter}");
        let sent = relay.send(CALLER, request.text()).forwarded();
        relay.send(A, response(&sent, "200 OK", "b")).forwarded();
    }
}
