//! Our own responses, and when there must be none.

use strowger::proxy::{
    Forwarded, ListenerId, Policy, Prefix, Reason, Rewrite, Sips, SourceMatch, StatusLine, Verdict,
};

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::Relay;

#[test]
fn each_refusal_has_its_code() {
    struct Row {
        says: &'static str,
        change: (&'static str, &'static str),
        wants: &'static str,
    }
    let rows = [
        Row {
            says: "another version",
            change: ("SIP/2.0\r\n", "SIP/3.1\r\n"),
            wants: "505 Version Not Supported",
        },
        Row {
            says: "a secure URI that would leave over UDP",
            change: ("sip:bob@example.com SIP", "SIPS:bob@example.com SIP"),
            wants: "416 Unsupported URI Scheme",
        },
        Row {
            says: "no hops left",
            change: ("Max-Forwards: 70", "Max-Forwards: 0"),
            wants: "483 Too Many Hops",
        },
        Row {
            says: "an extension",
            change: ("Max-Forwards: 70", "Max-Forwards: 70\r\nProxy-Require: foo, bar"),
            wants: "420 Bad Extension",
        },
        Row {
            says: "Call-ID twice",
            change: ("Max-Forwards: 70", "Max-Forwards: 70\r\ni: other"),
            wants: "400 Bad Request",
        },
        Row {
            says: "CSeq twice",
            change: ("Max-Forwards: 70", "Max-Forwards: 70\r\nCSeq: 1 INVITE"),
            wants: "400 Bad Request",
        },
        Row {
            says: "Max-Forwards twice",
            change: ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70"),
            wants: "400 Bad Request",
        },
        Row {
            says: "From twice",
            change: ("Max-Forwards: 70", "f: <sip:a@b>;tag=x"),
            wants: "400 Bad Request",
        },
        Row {
            says: "To twice",
            change: ("Max-Forwards: 70", "T: <sip:a@b>"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a length that lies",
            change: ("Content-Length: 0", "Content-Length: 1"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a length that is no number",
            change: ("Content-Length: 0", "Content-Length: +0"),
            wants: "400 Bad Request",
        },
        Row {
            says: "two numbers",
            change: ("Content-Length: 0", "Content-Length: 0 0"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a length past all numbers",
            change: ("Content-Length: 0", "Content-Length: 18446744073709551616"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a control byte before the colon",
            change: ("Max-Forwards:", "Max-Forwards\x0b:"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a control byte in a name that we do not use",
            change: ("Max-Forwards: 70", "X\x01: y"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a bare line feed",
            change: ("Max-Forwards: 70", "X: y\nMax-Forwards: 70"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a bare carriage return",
            change: ("Max-Forwards: 70", "X: y\rMax-Forwards: 70"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a CSeq of another method",
            change: ("1 INVITE", "1 BYE"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a number that is too large",
            change: ("1 INVITE", "4294967296 INVITE"),
            wants: "400 Bad Request",
        },
        Row {
            says: "headers in the Request-URI",
            change: ("example.com SIP", "example.com?Route=x SIP"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a Request-URI with a number for a scheme",
            change: ("sip:bob@example.com SIP", "1sip:bob@example.com SIP"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a control byte in a tag",
            change: ("tag=alice", "tag=al\x0bice"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a tag that begins with one",
            change: ("tag=alice", "tag=\0alice"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a tag in quotes",
            change: ("tag=alice", "tag=\"alice\""),
            wants: "400 Bad Request",
        },
        Row {
            says: "a control byte in a branch",
            change: (";branch=z9hG4bK", ";branch=z9hG4bK\x7f"),
            wants: "400 Bad Request",
        },
        Row {
            says: "a branch in quotes",
            change: (";branch=", ";branch=\"z9hG4bK1\";x="),
            wants: "400 Bad Request",
        },
        Row {
            says: "a control byte in a Call-ID",
            change: ("Call-ID: ", "Call-ID: \x7f"),
            wants: "400 Bad Request",
        },
        Row { says: "an empty tag", change: ("tag=alice", "tag="), wants: "400 Bad Request" },
        Row { says: "two tags", change: ("tag=alice", "tag=a;tag=b"), wants: "400 Bad Request" },
        Row {
            says: "two branches",
            change: (";branch", ";branch=x;branch"),
            wants: "400 Bad Request",
        },
        Row {
            says: "in a dialog that we do not know",
            change: ("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b"),
            wants: "481 Call/Transaction Does Not Exist",
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let text = invite("refused").replacen(row.change.0, row.change.1, 1);
        assert_ne!(text, invite("refused"), "{}", row.says);
        let outcome = relay.send(CALLER, &text);
        let sent = outcome.sent.clone().unwrap();
        assert_eq!(outcome.answer(), format!("SIP/2.0 {}", row.wants), "{}", row.says);
        assert_eq!((sent.to.to_string().as_str(), sent.listener), (CALLER, ListenerId(0)));
        let copy = relay.send(CALLER, &text).sent.unwrap();
        assert_eq!(copy.bytes, sent.bytes, "the same answer to a copy (§8.2.7)");
        assert!(sent.bytes.len() < text.len() + 64, "an answer does not multiply traffic");
        let ack = text.replacen("INVITE", "ACK", 1).replacen("1 INVITE", "1 ACK", 1);
        let dropped = relay.send(CALLER, &ack).dropped();
        assert!(
            matches!(dropped, Reason::BadAck | Reason::StrayAck),
            "{}: never an answer to an ACK",
            row.says
        );
    }
}

#[test]
fn an_answer_carries_what_a_uas_must_return() {
    let mut relay = Relay::new(&[]);
    let mut request = Request::new("INVITE", "echo");
    request.via =
        "SIP/2.0/UDP host.example.org;rport;branch=z9hG4bK1, SIP/2.0/TCP two;branch=z9hG4bK2"
            .into();
    request.more = "v: SIP/2.0/UDP three;branch=z9hG4bK3\r\n".into();
    let sent = relay.send("198.51.100.7:40000", request.text()).sent.unwrap();
    assert_eq!(sent.to.to_string(), "198.51.100.7:40000");
    let text = sent.text();
    assert!(text.contains("Via: SIP/2.0/UDP host.example.org;rport=40000;branch=z9hG4bK1;received=198.51.100.7, SIP/2.0/TCP two;branch=z9hG4bK2\r\n"), "{text}");
    assert!(text.contains("\r\nv: SIP/2.0/UDP three;branch=z9hG4bK3\r\n"), "{text}");
    assert_eq!(sent.rows("From"), ["<sip:alice@example.org>;tag=alice"]);
    assert!(sent.rows("To")[0].starts_with("<sip:bob@example.com>;tag="));
    assert_eq!(sent.rows("CSeq"), ["1 INVITE"]);
    assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn no_destination_has_the_operators_code_and_words() {
    let mut relay = Relay::new(&["1 sip:10.0.0.1:5060"]);
    assert_eq!(relay.send(CALLER, invite("a")).answer(), "SIP/2.0 404 No destination");
    relay.snapshot.set_default.no_destination = StatusLine { code: 480, reason: "All gone".into() };
    assert_eq!(relay.send(CALLER, invite("b")).answer(), "SIP/2.0 480 All gone");
}

#[test]
fn unsupported_lists_what_was_asked_for() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "ext");
    request.more = "Proxy-Require: foo\r\nPROXY-REQUIRE: bar,\r\n baz\r\nRequire: qux\r\n".into();
    let sent = relay.send(CALLER, request.text()).sent.unwrap();
    assert!(
        sent.text().contains("Unsupported: foo\r\nUnsupported: bar,\r\n baz\r\n"),
        "{}",
        sent.text()
    );
    assert!(!sent.text().contains("qux"));
}

#[test]
fn options_to_us_ask_whether_we_live() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let ask = |relay: &mut Relay, uri: &str, call_id: &str| {
        let mut request = Request::new("OPTIONS", call_id);
        request.uri = uri;
        relay.send(CALLER, request.text())
    };
    for uri in
        ["sip:192.0.2.1:5060", "sip:192.0.2.1", "sip:sip.example.net", "sips:SIP.EXAMPLE.net:5060"]
    {
        assert_eq!(ask(&mut relay, uri, uri).answer(), "SIP/2.0 200 OK");
    }
    assert_eq!(ask(&mut relay, "sip:user@192.0.2.1", "user").next_hop(), "10.0.0.1:5060");
    assert_eq!(ask(&mut relay, "sip:192.0.2.1:5070", "port").next_hop(), "10.0.0.1:5060");
    relay.load(&["4 sip:10.0.0.1:5060"]);
    assert_eq!(
        ask(&mut relay, "sip:192.0.2.1", "down").answer(),
        "SIP/2.0 503 Service Unavailable"
    );
    relay.snapshot.policy.options_always_ok = true;
    assert_eq!(ask(&mut relay, "sip:192.0.2.1", "always").answer(), "SIP/2.0 200 OK");
}

#[test]
fn a_destinations_own_calls_are_not_sent_back_to_it() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    assert_eq!(relay.send("10.0.0.1:5060", invite("own")).answer(), "SIP/2.0 403 Forbidden");
    relay.send("10.0.0.1:5061", invite("neighbour")).forwarded();
    relay.snapshot.policy.source_match = SourceMatch::Address;
    assert_eq!(relay.send("10.0.0.1:5061", invite("own-2")).answer(), "SIP/2.0 403 Forbidden");
}

#[test]
fn while_shutting_down_only_what_is_new_is_refused() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("old")).forwarded();
    relay.snapshot.draining = true;
    assert_eq!(relay.send(CALLER, invite("new")).answer(), "SIP/2.0 503 Service Unavailable");
    assert_eq!(relay.send(CALLER, invite("new")).answer(), "SIP/2.0 503 Service Unavailable");
    assert_eq!(relay.send(CALLER, invite("old")).next_hop(), "10.0.0.1:5060");
    relay.send("10.0.0.1:5060", response(&sent, "200 OK", "b")).forwarded();
    let mut bye = Request::new("BYE", "old");
    bye.to = "<sip:bob@example.com>;tag=b";
    assert_eq!(relay.send(CALLER, bye.text()).next_hop(), "10.0.0.1:5060");
}

#[test]
fn silence_where_silence_is_right() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let rows: [(&[u8], Reason); 8] = [
        (b"", Reason::KeepAlive),
        (b"\r\n\r\n", Reason::KeepAlive),
        (b"\r\n", Reason::KeepAlive),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42", Reason::Stun),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Reason::NotSip),
        (b"hello", Reason::NotSip),
        (b"\xff\xff\xff\xff", Reason::NotSip),
        (b"INVITE sip:a@b SIP/2.0\r\n\r\n", Reason::Unanswerable),
    ];
    for (bytes, reason) in rows {
        assert_eq!(
            relay.send(CALLER, bytes).dropped(),
            reason,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    relay.snapshot.policy.allow = vec![Prefix::new("198.51.100.0".parse().unwrap(), 25).unwrap()];
    assert_eq!(relay.send("198.51.100.128:5060", invite("stranger")).dropped(), Reason::NotAllowed);
    relay.send("198.51.100.127:5060", invite("peer")).forwarded();
    assert_eq!(relay.send("192.0.2.1:5060", invite("ourselves")).dropped(), Reason::NotAllowed);
    relay.snapshot.policy = Policy::default();
    assert_eq!(relay.send("192.0.2.1:5060", invite("ourselves")).dropped(), Reason::SelfLoop);
}

#[test]
fn max_forwards_and_max_breadth_are_kept_in_bounds() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let hops = |relay: &mut Relay, row: &str, call_id: &str| {
        let text = invite(call_id).replace("Max-Forwards: 70\r\n", row);
        relay.send(CALLER, text).forwarded().rows("Max-Forwards")
    };
    assert_eq!(hops(&mut relay, "Max-Forwards: 70\r\n", "a"), ["69"]);
    assert_eq!(hops(&mut relay, "Max-Forwards: 0001\r\n", "b"), ["0"]);
    assert_eq!(hops(&mut relay, "", "c"), ["70"]);
    assert_eq!(hops(&mut relay, "Max-Forwards: 300\r\n", "d"), ["70"]);
    relay.snapshot.policy.max_breadth = Some(60);
    for (row, wants) in [("", "60"), ("Max-Breadth: 100\r\n", "60"), ("Max-Breadth: 5\r\n", "5")] {
        let mut request = Request::new("INVITE", wants);
        request.more = row.into();
        request.via.push_str(row.trim_end().split(' ').next_back().unwrap_or_default());
        assert_eq!(relay.send(CALLER, request.text()).forwarded().rows("Max-Breadth"), [wants]);
    }
    let mut request = Request::new("INVITE", "breadth-0");
    request.more = "Max-Breadth: 0\r\n".into();
    assert_eq!(relay.send(CALLER, request.text()).answer(), "SIP/2.0 440 Max-Breadth Exceeded");
}

#[test]
fn what_grows_past_a_datagram_gets_513() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let room = 65_507 - invite("large").len() - "Content-Length: \r\n".len();
    let padded = |method: &str, len: usize| {
        let row = format!("X-Padding: {}\r\n", "x".repeat(len));
        Request { more: row, ..Request::new(method, "large") }.text()
    };
    assert_eq!(
        relay.send(CALLER, padded("INVITE", room - 20)).answer(),
        "SIP/2.0 513 Message Too Large"
    );
    assert!(relay.send(CALLER, padded("INVITE", room - 400)).forwarded().bytes.len() > 65_000);
    assert_eq!(relay.send(CALLER, padded("ACK", room - 20)).dropped(), Reason::TooLarge);
}

#[test]
fn proxy_require_means_nothing_in_a_cancel_or_an_ack() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.send(CALLER, invite("ext")).forwarded();
    for method in ["CANCEL", "ACK"] {
        let mut request = Request::new(method, "ext");
        request.more = "Proxy-Require: foo\r\n".into();
        assert_eq!(
            relay.send(CALLER, request.text()).verdict,
            Verdict::Forwarded(Forwarded::Pinned),
            "{method}"
        );
    }
}

#[test]
fn the_ack_to_our_513_ends_here() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "large");
    request.more = format!("X: {}\r\n", "x".repeat(65_507 - request.text().len() - 20));
    let sent = relay.send(CALLER, request.text()).sent.unwrap();
    assert!(sent.text().starts_with("SIP/2.0 513"));
    let mut ack = Request::new("ACK", "large");
    let to = sent.rows("To")[0].clone();
    ack.to = &to;
    assert_eq!(relay.send(CALLER, ack.text()).dropped(), Reason::OwnAck);
}

#[test]
fn a_prefix_of_ipv4_addresses_in_ipv6_clothes() {
    let prefix = |ip: &str, bits| Prefix::new(ip.parse().unwrap(), bits).unwrap();
    let inside = "10.1.2.3".parse().unwrap();
    assert!(prefix("::ffff:10.0.0.0", 104).contains(inside));
    assert!(prefix("::ffff:0.0.0.0", 96).contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!prefix("::ffff:11.0.0.0", 104).contains(inside));
}

#[test]
fn an_answer_has_its_via_or_is_not_sent() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "bare");
    for via in [
        format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK1\r;x"),
        format!("SIP/2.0/UDP {CALLER}\n ;branch=z9hG4bK1"),
    ] {
        request.via = via;
        assert_eq!(relay.send(CALLER, request.text()).dropped(), Reason::Unanswerable);
    }
}

/// An attacker who forges a source must gain nothing by it.
#[test]
fn an_answer_is_hardly_longer_than_its_request() {
    struct Row {
        says: &'static str,
        request: &'static str,
        wants: Result<&'static str, Reason>,
    }
    let rows = [
        Row {
            says: "one with all that a request must have gets all that an answer may have",
            request: "BYE sip:bob@198.51.100.20:5060 SIP/2.0\r\n\
                      Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bK776asdhds\r\n\
                      Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1928301774\r\n\
                      To: <sip:bob@example.com>;tag=a6c85cf\r\nCall-ID: a84b4c76e66710\r\n\
                      CSeq: 231 BYE\r\nContent-Length: 0\r\n\r\n",
            wants: Ok("SIP/2.0 481 Call/Transaction Does Not Exist"),
        },
        Row {
            says: "a short one gets an answer without its words and without Content-Length",
            request: "BYE sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bK776\r\n\
                      Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=19\r\n\
                      To: <sip:bob@example.com>;tag=a6\r\nCall-ID: a84b\r\nCSeq: 2 BYE\r\n\r\n",
            wants: Ok("SIP/2.0 481 "),
        },
        Row {
            says: "the shortest that is complete gets none",
            request: "B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:a:a\r\nt:a:a;tag=a\r\ni:1\r\n\
                      CSeq:1 B\r\n\r\n",
            wants: Err(Reason::TooShort),
        },
        Row {
            says: "nor does a Via and nothing else",
            request: "B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a\r\n\r\n",
            wants: Err(Reason::TooShort),
        },
    ];
    for row in rows {
        let outcome = Relay::new(&["sip:10.0.0.1:5060"]).send(CALLER, row.request);
        let Some(sent) = &outcome.sent else {
            assert_eq!(Err(outcome.dropped()), row.wants, "{}", row.says);
            continue;
        };
        let text = sent.text();
        assert_eq!(Ok(text.lines().next().unwrap()), row.wants, "{}", row.says);
        let has_words = !text.starts_with("SIP/2.0 481 \r\n");
        assert_eq!(text.contains("Content-Length"), has_words, "{}", row.says);
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(sent.bytes.len() * 8 <= row.request.len() * 9, "{}", row.says);
    }
}

/// The shortest request that a phone may send (RFC 3261 §8.1.1) is answered, whatever is added to
/// its Via.
#[test]
fn every_proper_request_is_long_enough_to_be_answered() {
    for (method, wants) in [("OPTIONS", "SIP/2.0 200 OK"), ("CANCEL", "SIP/2.0 481 ")] {
        let request = format!(
            "{method} sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.2.3;rport;branch=z9hG4bK77\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@10.1.2.3>;tag=1\r\nTo: <sip:192.0.2.1>\r\n\
             Call-ID: 1@10.1.2.3\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = Relay::new(&["sip:10.0.0.1:5060"]).send(CALLER, request).answer();
        assert!(answer.starts_with(wants), "{answer}");
    }
}

#[test]
fn no_answer_goes_to_ourselves() {
    let mut relay = Relay::new(&[]);
    let mut request = Request::new("INVITE", "loop");
    request.via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1".into();
    assert_eq!(relay.send("192.0.2.1:7000", request.text()).dropped(), Reason::Unanswerable);
}

#[test]
fn a_max_breadth_that_is_not_used_passes_however_broken() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "unused");
    request.more = "Max-Breadth: many\r\nMax-Breadth: 1\r\n".into();
    let sent = relay.send(CALLER, request.text()).forwarded();
    assert_eq!(sent.rows("Max-Breadth"), ["many", "1"]);
    relay.snapshot.policy.max_breadth = Some(60);
    assert_eq!(relay.send(CALLER, request.text()).answer(), "SIP/2.0 400 Bad Request");
}

#[test]
fn a_scheme_that_routing_does_not_need_passes() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.rewrite = Rewrite::Domain;
    for uri in ["urn:service:sos", "im:bob@example.com", "pres:bob@example.com", "tel:+15550100"] {
        for method in ["INVITE", "MESSAGE", "OPTIONS"] {
            let call_id = format!("{method}-{uri}");
            let mut request = Request::new(method, &call_id);
            request.uri = uri;
            let sent = relay.send(CALLER, request.text()).forwarded();
            assert_eq!(sent.to.to_string(), "10.0.0.1:5060");
            assert!(sent.text().starts_with(&format!("{method} {uri} SIP/2.0\r\n")), "{uri}");
        }
    }
}

#[test]
fn a_secure_uri_is_refused_outside_dialogs_only_unless_the_operator_lets_it_pass() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let secure = |method: &'static str, call_id: &'static str| {
        let mut request = Request::new(method, call_id);
        request.uri = "sips:bob@example.com";
        request
    };
    for method in ["INVITE", "MESSAGE", "REGISTER", "SUBSCRIBE"] {
        let refused = relay.send(CALLER, secure(method, "refused").text()).answer();
        assert_eq!(refused, "SIP/2.0 416 Unsupported URI Scheme", "{method}");
    }
    // A CANCEL of a refused request finds no transaction, and an ACK is never answered.
    let cancel = relay.send(CALLER, secure("CANCEL", "refused").text()).answer();
    assert_eq!(cancel, "SIP/2.0 481 Call/Transaction Does Not Exist");
    assert_eq!(relay.send(CALLER, secure("ACK", "refused").text()).dropped(), Reason::StrayAck);

    relay.snapshot.set_default.sips = Sips::Forward;
    let sent = relay.send(CALLER, secure("INVITE", "passed").text()).forwarded();
    assert!(sent.text().starts_with("INVITE sips:bob@example.com SIP/2.0\r\n"));

    // Requests that belong to one accepted before are still forwarded.
    relay.snapshot.set_default.sips = Sips::Refuse;
    let cancel = secure("CANCEL", "passed").text();
    assert_eq!(relay.send(CALLER, cancel).verdict, Verdict::Forwarded(Forwarded::Pinned));
    let ack = secure("ACK", "passed").text();
    assert_eq!(relay.send(CALLER, ack).verdict, Verdict::Forwarded(Forwarded::Pinned));
    let mut bye = secure("BYE", "passed");
    bye.to = "<sip:bob@example.com>;tag=bob";
    bye.cseq = "2 BYE".to_owned();
    bye.more = sent.record_routes().iter().map(|value| format!("Route: {value}\r\n")).collect();
    assert_eq!(relay.send(CALLER, bye.text()).verdict, Verdict::Forwarded(Forwarded::Token));
}
