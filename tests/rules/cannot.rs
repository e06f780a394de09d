//! Every "cannot" of docs/threat-model.md that concerns messages: each test has the words of its line
//! there. The addresses that may be named as a next hop are in `next_hops`.

use strowger::proxy::{InDialog, SourceMatch, Verdict};

use crate::messages::{A, BOB, CALLER, Request, by_callee, by_caller, call, invite, response};
use crate::relay::{Relay, prefixes};

const B: &str = "10.0.0.2:5060";
const STRANGER: &str = "203.0.113.66:5060";
const ALICE: &str = "<sip:alice@example.org>;tag=alice";

/// An outsider: "multiply traffic towards a forged source".
#[test]
fn with_allow_nobody_else_gets_a_byte() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "known");
    // What proves that it belongs to the call may come from anywhere: here the proofs are another's.
    let other = call(&mut relay, "other");
    relay.snapshot.policy.allow = prefixes("198.51.100.0/24 10.0.0.0/8");
    let mut ping = Request::new("OPTIONS", "ping");
    ping.uri = "sip:192.0.2.1";
    let mut extension = Request::new("INVITE", "extension");
    extension.more = "Proxy-Require: x\r\n".into();
    let rows = [
        ("a new call", invite("new")),
        ("a question whether we live", ping.text()),
        ("what would be refused", extension.text()),
        ("what is malformed", invite("bad").replace("CSeq: 1", "CSeq: x")),
        ("a copy", invite("known")),
        ("another call's token", by_caller("BYE", "known", &other.routes())),
        ("the other way", by_callee("BYE", "known", "sip:x@h", &other.routes())),
        ("a call's pin", by_caller("BYE", "known", "")),
        ("an ACK", Request::new("ACK", "known").text()),
        ("another call's Via", response(&sent, "200 OK", "bob").replace("known", "other")),
        ("no SIP", "hello".into()),
        ("nothing", String::new()),
    ];
    for (says, text) in rows {
        assert_eq!(relay.send(STRANGER, &text).summary(), "not_allowed", "{says}");
        assert_eq!(relay.send("198.51.101.0:5060", &text).summary(), "not_allowed", "{says}");
    }
}

/// "At most one packet for one; nothing for an ACK, a response, or data that is not SIP."
#[test]
fn what_is_never_answered() {
    let mut relay = Relay::new(&[]);
    let mut proxy_require = Request::new("ACK", "ack");
    proxy_require.more = "Proxy-Require: x\r\n".into();
    let ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n";
    let rows = [
        Request::new("ACK", "ack").text(),
        proxy_require.text(),
        Request::new("ACK", "ack").text().replace("SIP/2.0\r\n", "SIP/7.0\r\n"),
        Request::new("ACK", "ack").text().replace("Call-ID: ack\r\n", ""),
        by_caller("ACK", "ack", ""),
        ok.into(),
        ok.replace("200", "999"),
        "SIP/2.0 200\r\n\r\n".into(),
        "GET / HTTP/1.1\r\n\r\n".into(),
        "\r\n\r\n".into(),
        "\0\0".into(),
        "\u{1}\0".into(),
    ];
    for text in rows {
        let verdict = relay.send(CALLER, &text).verdict;
        assert!(matches!(verdict, Verdict::Dropped(_)), "{verdict:?}: {text}");
    }
}

/// An outsider: "bounce responses off us".
#[test]
fn a_response_with_any_digit_of_our_via_changed_goes_nowhere() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("digits")).forwarded();
    let ok = response(&sent, "200 OK", "b");
    let own = sent.rows("Via")[0].clone();
    let start = own.find("branch=").unwrap() + "branch=".len();
    for at in start..own.len() {
        let mut changed = own.clone().into_bytes();
        if changed[at] == b';' {
            continue;
        }
        changed[at] = if changed[at] == b'5' { b'6' } else { b'5' };
        let changed = ok.replacen(&own, std::str::from_utf8(&changed).unwrap(), 1);
        let outcome = relay.send(A, &changed);
        // A parameter of another name, version or key is none, and then the branch has to be ours all the
        // more.
        let name = own.find("sw=").unwrap();
        let is_none = (name..name + "sw=0201".len()).contains(&at);
        let wants = if is_none { "via_parameter_lost 198.51.100.7:5062" } else { "forged_via" };
        if !own[at..].starts_with('=') {
            assert_eq!(outcome.summary(), wants, "at {at}: {own}");
        }
    }
    for text in ["z9hG4bK", "z9hG4bK0", "x"] {
        let branch = own[start..].split(';').next().unwrap();
        let short = ok.replacen(branch, text, 1);
        assert_eq!(relay.send(A, short).summary(), "forged_via", "{text}");
    }
    let no_branch =
        ok.replacen(&format!(";{}", own[start - 7..].split(';').next().unwrap()), "", 1);
    assert_eq!(relay.send(A, no_branch).summary(), "forged_via");
}

/// A response of a stack that drops Via parameters: what the branch proves, and what it does not.
#[test]
fn a_response_without_our_parameter() {
    struct Row {
        says: &'static str,
        method: &'static str,
        status: &'static str,
        from: &'static str,
        given: (&'static str, &'static str),
        wants: &'static str,
    }
    let good = "via_parameter_lost 198.51.100.7:5062";
    let row = |says, given, wants| Row {
        says,
        method: "INVITE",
        status: "180 Ringing",
        from: A,
        given,
        wants,
    };
    let rows = [
        row("from its destination", ("", ""), good),
        Row { from: B, ..row("from another destination", ("", ""), good) },
        Row { from: STRANGER, ..row("from somebody else", ("", ""), "forged_via") },
        Row { from: "10.0.0.1:5061", ..row("from another port", ("", ""), "forged_via") },
        row("another call", ("Call-ID: lost", "Call-ID: lose"), "forged_via"),
        row("another caller", ("tag=alice", "tag=alicf"), "forged_via"),
        row("another CSeq", ("CSeq: 1 ", "CSeq: 2 "), "forged_via"),
        row("another branch below", ("bK-lost-1", "bK-lost-2"), "forged_via"),
        row("another port below", (":5062", ":5063"), "forged_via"),
        row("no branch below", (";branch=z9hG4bK-lost-1", ""), "forged_via"),
        row(
            "received in `allow`",
            (":5062", ":5062;received=198.51.100.9"),
            "via_parameter_lost 198.51.100.9:5062",
        ),
        row("received outside", (":5062", ":5062;received=203.0.113.66"), "forged_via"),
        row("received loopback", (":5062", ":5062;received=127.0.0.1"), "forged_via"),
        row("received multicast", (":5062", ":5062;received=224.0.0.1"), "bad_next_via"),
        row("another try", ("try", "1"), "other_try"),
        Row {
            status: "486 Busy Here",
            ..row("a failure of another try", ("try", "1"), "other_try")
        },
        Row { status: "200 OK", ..row("an answered call of another try", ("try", "1"), good) },
        Row { status: "299 OK", ..row("the last code of such", ("try", "1"), good) },
        Row {
            status: "300 Moved",
            ..row("a redirection of another try", ("try", "1"), "other_try")
        },
        Row {
            method: "MESSAGE",
            status: "200 OK",
            ..row("an answer to another try of what is no call", ("try", "1"), "other_try")
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        let sent = relay.send(CALLER, Request::new(row.method, "lost").text()).forwarded();
        relay.snapshot.policy.allow = prefixes("198.51.100.0/24 10.0.0.0/8 203.0.113.66/32");
        if row.says == "received outside" {
            relay.snapshot.policy.allow = prefixes("198.51.100.0/24 10.0.0.0/8");
        }
        let text = response(&sent, row.status, "b");
        let at = text.find(";sw=").unwrap();
        let end = at + text[at..].find("\r\n").unwrap();
        let text = match row.given {
            ("try", number) => format!("{}{number}{}", &text[..at - 1], &text[end..]),
            (old, new) => {
                // What is changed lies below our own Via.
                let rest = text[end..].replacen(old, new, 1);
                assert!(old.is_empty() || rest != text[end..], "{}", row.says);
                format!("{}{rest}", &text[..at])
            }
        };
        // Such a server is believed.
        if row.wants.ends_with(" 198.51.100.9:5062") {
            relay.law.has_asked("198.51.100.9:5062".parse().unwrap());
        }
        assert_eq!(relay.send(row.from, text).summary(), row.wants, "{}", row.says);
    }
}

/// When the transaction is forgotten, no try is known to be the current one.
#[test]
fn a_response_to_any_try_passes_when_its_request_is_forgotten() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("tries")).forwarded();
    let text = response(&sent, "486 Busy Here", "b");
    let at = text.find(";sw=").unwrap();
    let end = at + text[at..].find("\r\n").unwrap();
    let text = format!("{}1{}", &text[..at - 1], &text[end..]);
    assert_eq!(relay.send(A, &text).summary(), "other_try");
    relay.pass_ms(250_000);
    assert_eq!(relay.send(A, &text).summary(), "via_parameter_lost 198.51.100.7:5062");
}

/// An outsider: "use us as an open relay".
#[test]
fn a_new_request_goes_to_a_destination_or_nowhere() {
    let token = "1001".to_owned() + &"0".repeat(60);
    let routes = [
        String::new(),
        "Route: <sip:203.0.113.66;lr>\r\n".into(),
        "Route: <sip:203.0.113.66>\r\n".into(),
        "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.66;lr>\r\n".into(),
        format!("Route: <sip:{token}@203.0.113.66;lr>\r\n"),
        format!("Route: <sip:{token}@192.0.2.1;lr>\r\n"),
        format!("Route: <sip:{token}@192.0.2.1;lr>\r\nRoute: <sip:203.0.113.66;lr>\r\n"),
    ];
    let uris = [
        "sip:203.0.113.66".to_owned(),
        "sip:x@203.0.113.66:5060;maddr=203.0.113.66;transport=udp".into(),
        "tel:+15550100".into(),
        "sips:203.0.113.66".into(),
        format!("sip:{token}@192.0.2.1"),
        format!("sip:{token}@203.0.113.66"),
    ];
    let tos = ["<sip:bob@203.0.113.66>", "<sip:bob@203.0.113.66>;tag=bob"];
    let mut reached = 0;
    for (number, (uri, route)) in
        uris.iter().flat_map(|uri| routes.iter().map(move |route| (uri, route))).enumerate()
    {
        for method in ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "FROBNICATE"] {
            for to in tos {
                for in_dialog in [InDialog::Destination, InDialog::Route] {
                    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
                    relay.snapshot.set_default.in_dialog = in_dialog;
                    let call_id = format!("open-{number}");
                    let mut request = Request::new(method, &call_id);
                    (request.uri, request.to, request.more) = (uri, to, route.clone());
                    let outcome = relay.send(CALLER, request.text());
                    if let Verdict::Forwarded(_) = outcome.verdict {
                        assert_eq!(outcome.next_hop(), A, "{method} {uri} {route}");
                        reached += 1;
                    } else if let Some(sent) = outcome.sent {
                        assert_eq!(sent.to.to_string(), CALLER, "{method} {uri} {route}");
                    }
                }
            }
        }
    }
    assert!(reached > 200, "{reached}");
}

/// An outsider: "end or divert a call whose messages he has not seen".
#[test]
fn a_request_in_a_call_needs_all_that_makes_the_call() {
    struct Row {
        says: &'static str,
        given: fn(&mut Request),
        wants: (&'static str, &'static str),
    }
    let rows: &[Row] = &[
        Row {
            says: "all of it",
            given: |_| {},
            wants: ("token 10.0.0.1:5060", "call_pin 10.0.0.1:5060"),
        },
        Row { says: "no Call-ID of it", given: |r| r.call_id = "guess", wants: ("403", "481") },
        Row {
            says: "neither tag",
            given: |r| (r.from, r.to) = ("<sip:x@y>;tag=x", "<sip:x@y>;tag=y"),
            wants: ("403", "481"),
        },
        Row {
            says: "a wrong From tag",
            given: |r| r.from = "<sip:x@y>;tag=x",
            wants: ("403", "481"),
        },
        Row {
            says: "a wrong To tag: the caller's token is enough, the pin is not",
            given: |r| r.to = "<sip:x@y>;tag=y",
            wants: ("token 10.0.0.1:5060", "481"),
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = call(&mut relay, "seen");
        for (routes, wants) in [(sent.routes(), row.wants.0), (String::new(), row.wants.1)] {
            for method in ["BYE", "INVITE", "INFO"] {
                let mut request = Request::new(method, "seen");
                (request.to, request.more) = (BOB, routes.clone());
                (row.given)(&mut request);
                let got = relay.send(STRANGER, request.text()).summary();
                assert_eq!(got, wants, "{} {method}", row.says);
            }
        }
    }
}

/// A network that sends calls: "be the callee of its own call".
#[test]
fn only_from_a_destinations_address_may_a_callee_name_a_next_hop() {
    struct Row {
        says: &'static str,
        from: &'static str,
        by: SourceMatch,
        wants: &'static str,
    }
    let (named, caller) = ("token 203.0.113.20:5070", "token 198.51.100.7:5062");
    let by = SourceMatch::AddressAndPort;
    let row = |says, from, wants| Row { says, from, by, wants };
    let rows = [
        row("its destination", A, named),
        row("another destination", B, named),
        row("the caller", CALLER, caller),
        row("somebody else", STRANGER, caller),
        row("its destination's address from another port", "10.0.0.1:5061", caller),
        Row {
            by: SourceMatch::Address,
            ..row("the same where ports do not count", "10.0.0.1:5061", named)
        },
        Row { by: SourceMatch::Address, ..row("next to it", "10.0.0.3:5060", caller) },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
        let sent = call(&mut relay, "own");
        relay.snapshot.policy.source_match = row.by;
        let bye = by_callee("BYE", "own", "sip:alice@203.0.113.20:5070", &sent.routes());
        assert_eq!(relay.send(row.from, bye).summary(), row.wants, "{}", row.says);
    }
}

/// A network that sends calls: "write into the table for another call".
/// A destination: "answer another destination's call".
#[test]
fn a_response_is_of_the_request_that_it_got() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let mine = relay.send(CALLER, invite("mine")).forwarded();
    let theirs = relay.send(CALLER, invite("theirs")).forwarded();
    let (a_via, b_via) = (mine.rows("Via"), theirs.rows("Via"));
    let ok = response(&theirs, "200 OK", "evil");
    let rows = [
        ("its own Via on top", ok.replacen(&b_via[0], &a_via[0], 1)),
        ("its own Vias", ok.replacen(&b_via[0], &a_via[0], 1).replacen(&b_via[1], &a_via[1], 1)),
        ("its own parameter", {
            let own = |via: &str| via.split(";sw=").nth(1).unwrap().to_owned();
            ok.replacen(&own(&b_via[0]), &own(&a_via[0]), 1)
        }),
    ];
    for (says, text) in rows {
        assert_eq!(relay.send(A, text).summary(), "forged_via", "{says}");
    }
    let mut bye = Request::new("BYE", "theirs");
    bye.to = "<sip:bob@example.com>;tag=evil";
    assert_eq!(relay.send(CALLER, bye.text()).summary(), "481");
}

/// A network that sends calls: "redirect in-dialog requests of others".
#[test]
fn a_new_invite_of_the_same_call_id_redirects_nobody() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    call(&mut relay, "same");
    for (from, tag) in [(ALICE, "alice"), ("<sip:eve@example.org>;tag=eve", "eve")] {
        let mut eve = Request::new("INVITE", "same");
        eve.from = from;
        eve.via = format!("SIP/2.0/UDP {STRANGER};branch=z9hG4bK-{tag}");
        let sent = relay.send(STRANGER, eve.text()).forwarded();
        let callee = format!("of-{tag}");
        relay.send(&sent.to.to_string(), response(&sent, "200 OK", &callee)).forwarded();
    }
    let bye = by_caller("BYE", "same", "");
    assert_eq!(relay.send(CALLER, bye).summary(), "call_pin 10.0.0.1:5060");
}

/// A destination: "send its own new calls through us".
#[test]
fn a_listed_destination_sends_no_new_requests() {
    for (says, list, by, from, wants) in [
        ("active", "sip:10.0.0.1:5060", SourceMatch::AddressAndPort, A, "403"),
        ("switched off", "4 sip:10.0.0.1:5060", SourceMatch::AddressAndPort, A, "403"),
        ("of another set", "set=7 sip:10.0.0.1:5060", SourceMatch::AddressAndPort, A, "403"),
        (
            "from another port",
            "sip:10.0.0.1:5060",
            SourceMatch::AddressAndPort,
            "10.0.0.1:5061",
            "chosen 10.0.0.9:5060",
        ),
        (
            "where ports do not count",
            "sip:10.0.0.1:5060",
            SourceMatch::Address,
            "10.0.0.1:5061",
            "403",
        ),
    ] {
        for method in ["INVITE", "OPTIONS", "MESSAGE", "REGISTER"] {
            let mut relay = Relay::new(&["sip:10.0.0.9:5060", list]);
            relay.snapshot.policy.source_match = by;
            let got = relay.send(from, Request::new(method, "own").text()).summary();
            assert_eq!(got, wants, "{says} {method}");
        }
    }
    // One that left the list is like anybody else.
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.load(&["sip:10.0.0.9:5060"]);
    assert_eq!(relay.send(A, invite("left")).summary(), "chosen 10.0.0.9:5060");
}

/// An outsider: "reach addresses that are not a host", by forging the source.
#[test]
fn no_answer_and_no_response_goes_to_what_is_no_other_host() {
    let sources = [
        "255.255.255.255:5060",
        "224.0.0.1:5060",
        "0.0.0.0:5060",
        "0.1.2.3:5060",
        "198.51.100.7:0",
        "[ff02::1]:5060",
        "[::]:5060",
    ];
    for source in sources {
        let mut relay =
            Relay::listening(&["192.0.2.1:5060", "[2001:db8::1]:5060"], &["sip:10.0.0.1:5060"]);
        let mut request = Request::new("INVITE", "no-host");
        request.via = "SIP/2.0/UDP h;rport;branch=z9hG4bK1".into();
        let listener = u16::from(source.starts_with('['));
        let outcome = relay.send_to(0, listener, source, request.text().as_bytes());
        let sent = outcome.forwarded();
        // Its response has nowhere to go, and neither has an answer of ours.
        assert_eq!(
            relay.send(A, response(&sent, "200 OK", "b")).summary(),
            "bad_next_via",
            "{source}"
        );
        request.more = "Proxy-Require: x\r\n".into();
        let outcome = relay.send_to(0, listener, source, request.text().as_bytes());
        assert_eq!(outcome.summary(), "unanswerable", "{source}");
    }
    // The port of sent-by counts where no rport is asked for.
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "ours");
    request.via = "SIP/2.0/UDP h:5060;branch=z9hG4bK1".into();
    request.more = "Proxy-Require: x\r\n".into();
    assert_eq!(relay.send("192.0.2.1:9", request.text()).summary(), "unanswerable");
    assert_eq!(relay.send("192.0.2.1:5060", invite("loop")).summary(), "self_loop");
}
