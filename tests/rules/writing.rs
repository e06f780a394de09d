//! What is written into a message that leaves, to the byte.

use std::sync::Arc;

use strowger::limits::HEADROOM_BYTES;
use strowger::proxy::{Listener, Listeners, Rewrite, Sips, Transport};

use crate::messages::{A, BOB, CALLER, Request, by_caller, call, invite, response};
use crate::relay::{Relay, US, listeners};

/// The Via of the caller as it leaves, and where the response goes.
struct Row {
    says: &'static str,
    source: &'static str,
    given: &'static str,
    wants: (&'static str, &'static str),
}

const fn row(
    says: &'static str,
    source: &'static str,
    given: &'static str,
    wants: (&'static str, &'static str),
) -> Row {
    Row { says, source, given, wants }
}

fn relay(force_rport: bool) -> Relay {
    let listener = |local: &str| Listener {
        name: local.to_owned(),
        local: local.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: local.to_owned(),
        force_rport,
        set: None,
    };
    let listeners = Listeners::new(vec![listener(US), listener("[2001:db8::1]:5060")], &[]);
    Relay::made_of(listeners, 1, &["sip:10.0.0.1:5060"])
}

fn check(rows: &[Row], force_rport: bool) {
    for row in rows {
        let mut relay = relay(force_rport);
        let mut request = Request::new("INVITE", "via");
        request.via = format!("SIP/2.0/UDP {}", row.given);
        let arrival = u16::from(row.source.starts_with('['));
        let sent = relay.send_to(0, arrival, row.source, request.text().as_bytes()).forwarded();
        let via = format!("SIP/2.0/UDP {}", row.wants.0);
        assert_eq!(sent.rows("Via")[1], via, "{}", row.says);
        let back = relay.send(A, response(&sent, "200 OK", "b"));
        assert_eq!(back.summary(), format!("response {}", row.wants.1), "{}", row.says);
        // An answer of ours tells the Via the same and goes the same way.
        let mut refused = Request::new("INVITE", "refused");
        refused.via = format!("SIP/2.0/UDP {}", row.given);
        refused.more = "Proxy-Require: x\r\n".into();
        let answer = relay.send_to(0, arrival, row.source, refused.text().as_bytes());
        let sent = answer.sent.unwrap();
        assert_eq!(sent.rows("Via"), [via], "{}", row.says);
        assert_eq!(sent.to.to_string(), row.wants.1, "{}", row.says);
    }
}

#[rustfmt::skip]
#[test]
fn the_via_of_the_caller() {
    check(&[
        row("all is as it says", "198.51.100.7:5062", "198.51.100.7:5062;branch=z9hG4bK1",
            ("198.51.100.7:5062;branch=z9hG4bK1", "198.51.100.7:5062")),
        row("its port counts, not the packet's", "198.51.100.7:9", "198.51.100.7:5062;branch=z9hG4bK1",
            ("198.51.100.7:5062;branch=z9hG4bK1", "198.51.100.7:5062")),
        row("another address", "198.51.100.8:5062", "198.51.100.7:5062;branch=z9hG4bK1",
            ("198.51.100.7:5062;branch=z9hG4bK1;received=198.51.100.8", "198.51.100.8:5062")),
        row("rport", "198.51.100.7:9", "198.51.100.7:5062;branch=z9hG4bK1;rport",
            ("198.51.100.7:5062;branch=z9hG4bK1;rport=9;received=198.51.100.7", "198.51.100.7:9")),
        row("rport that has the port already", "198.51.100.7:9", "198.51.100.7:5062;rport=9;branch=z9hG4bK1",
            ("198.51.100.7:5062;rport=9;branch=z9hG4bK1;received=198.51.100.7", "198.51.100.7:9")),
        row("rport that has another port", "198.51.100.7:9", "198.51.100.7:5062;rport=10;branch=z9hG4bK1",
            ("198.51.100.7:5062;rport=9;branch=z9hG4bK1;received=198.51.100.7", "198.51.100.7:9")),
        row("rport and received that are right", "198.51.100.7:9", "h;rport=9;received=198.51.100.7;branch=z9hG4bK1",
            ("h;rport=9;received=198.51.100.7;branch=z9hG4bK1", "198.51.100.7:9")),
        row("received that is right", "198.51.100.7:9", "h;received=198.51.100.7;branch=z9hG4bK1",
            ("h;received=198.51.100.7;branch=z9hG4bK1", "198.51.100.7:5060")),
        row("received that is wrong", "198.51.100.7:9", "h;received=203.0.113.66;branch=z9hG4bK1",
            ("h;received=198.51.100.7;branch=z9hG4bK1", "198.51.100.7:5060")),
        row("received that is wrong where none is needed", "198.51.100.7:9",
            "198.51.100.7;received=203.0.113.66;branch=z9hG4bK1",
            ("198.51.100.7;received=198.51.100.7;branch=z9hG4bK1", "198.51.100.7:5060")),
        row("maddr", "198.51.100.7:9", "198.51.100.7;maddr=203.0.113.66;branch=z9hG4bK1",
            ("198.51.100.7;maddr=203.0.113.66;branch=z9hG4bK1", "198.51.100.7:5060")),
        row("IPv6", "[2001:db8::7]:9", "[2001:db8::7]:5062;branch=z9hG4bK1",
            ("[2001:db8::7]:5062;branch=z9hG4bK1", "[2001:db8::7]:5062")),
        row("IPv6 in another form", "[2001:db8::7]:9", "[2001:DB8:0::7]:5062;branch=z9hG4bK1",
            ("[2001:DB8:0::7]:5062;branch=z9hG4bK1", "[2001:db8::7]:5062")),
        row("a name over IPv6", "[2001:db8::7]:9", "h:5062;branch=z9hG4bK1",
            ("h:5062;branch=z9hG4bK1;received=2001:db8::7", "[2001:db8::7]:5062")),
        row("received of IPv6 in brackets", "[2001:db8::7]:9", "h;received=[2001:db8::7];branch=z9hG4bK1",
            ("h;received=[2001:db8::7];branch=z9hG4bK1", "[2001:db8::7]:5060")),
    ], false);
}

#[rustfmt::skip]
#[test]
fn the_via_of_the_caller_with_force_rport() {
    check(&[
        row("no rport", "198.51.100.7:9", "198.51.100.7:5062;branch=z9hG4bK1",
            ("198.51.100.7:5062;branch=z9hG4bK1;rport=9;received=198.51.100.7", "198.51.100.7:9")),
        row("rport", "198.51.100.7:9", "198.51.100.7:5062;rport;branch=z9hG4bK1",
            ("198.51.100.7:5062;rport=9;branch=z9hG4bK1;received=198.51.100.7", "198.51.100.7:9")),
        row("sent-by names another port", "198.51.100.7:9", "198.51.100.7:53;branch=z9hG4bK1",
            ("198.51.100.7:53;branch=z9hG4bK1;rport=9;received=198.51.100.7", "198.51.100.7:9")),
    ], true);
}

#[test]
fn a_new_request_gets_our_rows_on_top_and_nothing_else() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let text = invite("rows").replace("Max-Forwards: 70\r\n", "Record-Route: <sip:p1;lr>\r\n");
    let sent = relay.send(CALLER, &text).forwarded();
    let left = sent.text();
    let lines: Vec<&str> = left.split("\r\n").collect();
    let came: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], came[0]);
    assert!(lines[1].starts_with("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{left}");
    assert!(
        lines[2].starts_with("Record-Route: <sip:") && lines[2].ends_with("@192.0.2.1:5060;lr>")
    );
    assert_eq!(lines[3], "Max-Forwards: 70");
    assert_eq!(lines[4..], came[1..]);
    // The parameter behind the branch is all that a copy changes.
    let own = lines[1].split(";sw=").collect::<Vec<_>>();
    assert_eq!((own.len(), own[1].len()), (2, 58));
    assert!(own[1].bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
}

#[test]
fn hops_and_breadth() {
    struct Row {
        says: &'static str,
        max_breadth: Option<u32>,
        given: &'static str,
        wants: &'static str,
    }
    let row = |says, max_breadth, given, wants| Row { says, max_breadth, given, wants };
    let rows = [
        row("one hop less", None, "Max-Forwards: 70", "Max-Forwards: 69"),
        row("the last hop", None, "Max-Forwards: 1", "Max-Forwards: 0"),
        row("as many as fit", None, "Max-Forwards: 255", "Max-Forwards: 254"),
        row("too many", None, "Max-Forwards: 256", "Max-Forwards: 70"),
        row("no hops are added to", None, "X: y", "Max-Forwards: 70\r\nX: y"),
        row(
            "breadth is left alone",
            None,
            "Max-Forwards: 70\r\nMax-Breadth: 0",
            "Max-Forwards: 69\r\nMax-Breadth: 0",
        ),
        row(
            "breadth is added",
            Some(60),
            "Max-Forwards: 70",
            "Max-Breadth: 60\r\nMax-Forwards: 69",
        ),
        row("both are added", Some(60), "X: y", "Max-Forwards: 70\r\nMax-Breadth: 60\r\nX: y"),
        row(
            "less breadth stays",
            Some(60),
            "Max-Breadth: 059\r\nMax-Forwards: 2",
            "Max-Breadth: 059\r\nMax-Forwards: 1",
        ),
        row(
            "as much stays",
            Some(60),
            "Max-Breadth: 060\r\nMax-Forwards: 2",
            "Max-Breadth: 060\r\nMax-Forwards: 1",
        ),
        row(
            "more is lowered",
            Some(60),
            "Max-Breadth: 61\r\nMax-Forwards: 2",
            "Max-Breadth: 60\r\nMax-Forwards: 1",
        ),
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        relay.snapshot.policy.max_breadth = row.max_breadth;
        let given = Request::new("MESSAGE", "hops").text().replace("Max-Forwards: 70", row.given);
        let text = relay.send(CALLER, given).forwarded().text();
        let got: Vec<&str> = text
            .split("\r\n")
            .filter(|line| line.starts_with("Max-") || line.starts_with("X: "))
            .collect();
        assert_eq!(got.join("\r\n"), row.wants, "{}", row.says);
    }
}

#[test]
fn a_datagram_holds_so_many_bytes_and_no_more() {
    struct Row {
        says: &'static str,
        destination: &'static str,
        given: usize,
        wants: &'static str,
    }
    let (v4, v6) = ("sip:10.0.0.1:5060", "sip:[2001:db8::a]:5060");
    let row = |says, destination, given, wants| Row { says, destination, given, wants };
    let rows = [
        row("IPv4", v4, 65_507, "chosen 10.0.0.1:5060"),
        row("IPv4 and one more", v4, 65_508, "513"),
        row("IPv6", v6, 65_527, "chosen [2001:db8::a]:5060"),
        row("IPv6 and one more", v6, 65_528, "513"),
    ];
    for row in rows {
        let mut relay = Relay::listening(&[US, "[2001:db8::1]:5060"], &[row.destination]);
        let mut request = Request::new("INVITE", "size");
        request.more = "X: \r\n".into();
        let grows_by = {
            let sent = relay.send(CALLER, request.text()).forwarded();
            sent.bytes.len() - request.text().len()
        };
        request.call_id = "siz2";
        request.via = request.via.replace("size", "siz2");
        request.more =
            format!("X: {}\r\n", "x".repeat(row.given - grows_by - request.text().len()));
        assert_eq!(request.text().len() + grows_by, row.given);
        assert_eq!(relay.send(CALLER, request.text()).summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn the_domain_is_rewritten_for_what_is_dispatched() {
    struct Row {
        destination: &'static str,
        given: &'static str,
        wants: &'static str,
    }
    let row = |destination, given, wants| Row { destination, given, wants };
    let rows = [
        row("sip:10.0.0.1", "sip:bob@example.com:99;x", "sip:bob@10.0.0.1;x"),
        row("sip:10.0.0.1:5080", "sip:bob@[2001:db8::5];x", "sip:bob@10.0.0.1:5080;x"),
        row("sip:Media.example.com", "sip:bob@example.com", "sip:bob@media.example.com"),
        row("sip:media.example.com:5080", "sips:example.com", "sips:media.example.com:5080"),
        row("sip:[2001:db8::a]:5080", "sip:bob@example.com", "sip:bob@[2001:db8::a]:5080"),
        row("sip:10.0.0.1:5080", "tel:+1", "tel:+1"),
    ];
    for row in rows {
        let mut relay = Relay::listening(&[US, "[2001:db8::1]:5060"], &[row.destination]);
        let mut request = Request::new("INVITE", "domain");
        request.uri = row.given;
        relay.snapshot.set_default.sips = Sips::Forward;
        let sent = relay.send(CALLER, request.text()).forwarded();
        assert_eq!(sent.first_line(), format!("INVITE {} SIP/2.0", row.given));
        relay.snapshot.set_default.rewrite = Rewrite::Domain;
        // What is written alike for the request is for its copy and its CANCEL.
        for method in ["INVITE", "CANCEL"] {
            let mut request = Request::new(method, "domain");
            request.uri = row.given;
            let sent = relay.send(CALLER, request.text()).forwarded();
            assert_eq!(sent.first_line(), format!("{method} {} SIP/2.0", row.wants));
        }
        let mut new = Request::new("INVITE", "domain-2");
        new.uri = row.given;
        let sent = relay.send(CALLER, new.text()).forwarded();
        assert_eq!(sent.first_line(), format!("INVITE {} SIP/2.0", row.wants));
    }
}

/// What the set of the calls says counts, not what is said for all.
#[test]
fn a_set_has_its_own_choices() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "set=2 sip:10.0.0.2:5060"]);
    let mut own = relay.snapshot.set_default.clone();
    own.rewrite = Rewrite::Domain;
    own.record_route = false;
    own.no_destination.code = 480;
    Arc::make_mut(&mut relay.snapshot.sets).insert(2, own);
    let sent = relay.send(CALLER, invite("one")).forwarded();
    assert_eq!((sent.to.to_string().as_str(), sent.record_routes().len()), (A, 1));
    assert_eq!(sent.first_line(), "INVITE sip:bob@example.com SIP/2.0");
    relay.snapshot.policy.set = 2;
    let sent = relay.send(CALLER, invite("two")).forwarded();
    assert_eq!((sent.to.to_string().as_str(), sent.record_routes().len()), ("10.0.0.2:5060", 0));
    assert_eq!(sent.first_line(), "INVITE sip:bob@10.0.0.2:5060 SIP/2.0");
    relay.load(&["sip:10.0.0.1:5060"]);
    assert_eq!(relay.send(CALLER, invite("none")).answer(), "SIP/2.0 480 No destination");
    relay.snapshot.policy.set = 3;
    assert_eq!(relay.send(CALLER, invite("no-set")).answer(), "SIP/2.0 404 No destination");
}

/// Our answer has each row that it must have once, and no To tag but one.
#[test]
fn the_rows_of_an_answer() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let rows =
        |text: String| -> Vec<String> { text.split("\r\n").skip(1).map(str::to_owned).collect() };
    let mut refused = Request::new("INVITE", "rows");
    refused.more = "Proxy-Require: x\r\nRequire: y\r\nContact: <sip:c@d>\r\n".into();
    let sent = relay.send(CALLER, refused.text()).sent.unwrap();
    let lines = rows(sent.text());
    let to = &lines[2];
    assert!(to.starts_with("To: <sip:bob@example.com>;tag=") && to.len() == 30 + 16, "{to}");
    assert_eq!(
        lines,
        [
            "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-rows-1",
            "From: <sip:alice@example.org>;tag=alice",
            to,
            "Call-ID: rows",
            "CSeq: 1 INVITE",
            "Unsupported: x",
            "Content-Length: 0",
            "",
            "",
        ]
    );
    // In a dialog the tag is there already.
    let sent = relay.send(CALLER, by_caller("BYE", "rows", "")).sent.unwrap();
    assert_eq!(sent.rows("To"), [BOB]);
    assert!(sent.rows("Unsupported").is_empty());
    // The first of what stands twice.
    let twice = invite("twice").replace("CSeq: ", "CSeq: 9 BYE\r\nCSeq: ");
    let sent = relay.send(CALLER, twice).sent.unwrap();
    assert_eq!(
        (sent.first_line().as_str(), sent.rows("CSeq")),
        ("SIP/2.0 400 Bad Request", vec!["9 BYE".to_owned()])
    );
}

/// A Via of ours that came through a stack that spells it another way, and what is cut out.
#[test]
fn a_response_loses_our_via_and_nothing_else() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("cut")).forwarded();
    let ok = response(&sent, "200 OK", "b").replace("CSeq: ", "X: y\r\nCSeq: ");
    let own = format!("Via: {}\r\n", sent.rows("Via")[0]);
    let back = relay.send(A, &ok).forwarded();
    assert_eq!(back.text(), ok.replacen(&own, "", 1));
    assert_eq!(call(&mut relay, "next").to.to_string(), A);
    // A relay of the same name reads it as well.
    let mut twin = Relay::made_of(listeners(&[US]), 9, &["sip:10.0.0.1:5060"]);
    assert_eq!(twin.send(A, &ok).forwarded().text(), back.text());
}

/// Every Via comes back, however many there are, and the answer is still one datagram.
#[test]
fn an_answer_returns_every_via() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "vias");
    request.more = (0..900)
        .map(|n| format!("Via: SIP/2.0/UDP h{n};branch=z9hG4bK{n}\r\nX: {n}\r\n"))
        .collect();
    request.more.truncate(request.more.find("Via: SIP/2.0/UDP h480").unwrap());
    request.more.push_str("Proxy-Require: x\r\n");
    let sent = relay.send(CALLER, request.text()).sent.unwrap();
    assert_eq!(
        (sent.first_line().as_str(), sent.rows("Via").len()),
        ("SIP/2.0 420 Bad Extension", 481)
    );
}

#[test]
fn an_answer_that_no_datagram_holds_is_not_sent() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let text = |via_len: usize| {
        format!(
            "INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bK1;x={}\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
             Proxy-Require: x\r\n\r\n",
            "x".repeat(via_len)
        )
    };
    let via_len = 65_507 - text(0).len();
    assert_eq!(relay.send(CALLER, text(via_len)).summary(), "too_large");
    assert_eq!(relay.send(CALLER, text(via_len - 100)).summary(), "420");
}

/// Routes are removed wherever they stand: between other rows, or as many as a request may have.
#[test]
fn every_route_is_removed_wherever_it_stands() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    for (between, count, wants) in [
        ("X: y\r\n", 1, "chosen 10.0.0.1:5060"),
        ("X: y\r\n", 8, "chosen 10.0.0.1:5060"),
        ("", 32, "chosen 10.0.0.1:5060"),
        ("", 33, "400"),
    ] {
        let call_id = format!("routes-{count}");
        let mut request = Request::new("INVITE", &call_id);
        request.more = (0..count).map(|n| format!("{between}Route: <sip:r{n};lr>\r\n")).collect();
        let outcome = relay.send(CALLER, request.text());
        assert_eq!(outcome.summary(), wants, "{count}");
        assert!(outcome.sent.unwrap().rows("Route").is_empty());
    }
}

/// Two listeners with names as long as names can be: what we add does not fit before the datagram.
#[test]
fn what_does_not_fit_the_headroom_leaves_all_the_same() {
    let names = ["a", "b"].map(|letter| format!("{}:5060", letter.repeat(253)));
    let listener = |local: &str, sent_by: &str| Listener {
        name: local.to_owned(),
        local: local.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: sent_by.to_owned(),
        force_rport: false,
        set: None,
    };
    let listeners =
        Listeners::new(vec![listener(US, &names[0]), listener("10.0.0.254:5060", &names[1])], &[]);
    let mut relay = Relay::made_of(listeners, 1, &["sip:10.0.0.1:5060 socket=10.0.0.254:5060"]);
    let text = invite("long");
    let left = relay.send(CALLER, &text).forwarded().text();
    let lines: Vec<&str> = left.split("\r\n").collect();
    let came: Vec<&str> = text.split("\r\n").collect();
    assert!(left.len() > text.len() + HEADROOM_BYTES);
    assert_eq!(lines[0], came[0]);
    assert!(lines[1].starts_with(&format!("Via: SIP/2.0/UDP {};branch=", names[1])));
    assert!(lines[2].ends_with(&format!("@{};lr>", names[1])));
    assert!(lines[3].ends_with(&format!("@{};lr>", names[0])));
    assert_eq!(lines[4..].join("\n"), came[1..].join("\n").replace("s: 70", "s: 69"));
}
