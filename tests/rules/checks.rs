//! What is decided before a next hop is looked for: what is no message, the order of the checks, an
//! OPTIONS that asks us whether we live, and who is in a prefix.

use strowger::proxy::Prefix;

use crate::messages::{CALLER, Request};
use crate::relay::Relay;

#[test]
fn whether_we_live() {
    struct Row {
        says: &'static str,
        list: &'static [&'static str],
        is_draining: bool,
        is_always_ok: bool,
        wants: &'static str,
    }
    let row = |says, list, is_draining, is_always_ok, wants| Row {
        says,
        list,
        is_draining,
        is_always_ok,
        wants,
    };
    let (up, down): (&[&str], &[&str]) = (&["sip:10.0.0.1:5060"], &["4 sip:10.0.0.1:5060"]);
    let other: &[&str] = &["set=2 sip:10.0.0.1:5060"];
    let rows = [
        row("a destination is active", up, false, false, "200"),
        row("none is", down, false, false, "503"),
        row("none of our set is", other, false, false, "503"),
        row("there is none", &[], false, false, "503"),
        row("shutting down", up, true, false, "503"),
        row("always: none is active", down, false, true, "200"),
        row("always: shutting down", up, true, true, "200"),
        row("always: there is none", &[], false, true, "200"),
    ];
    for row in rows {
        let mut relay = Relay::new(row.list);
        relay.snapshot.draining = row.is_draining;
        relay.snapshot.policy.options_always_ok = row.is_always_ok;
        let mut ping = Request::new("OPTIONS", "ping");
        ping.uri = "sip:192.0.2.1";
        assert_eq!(relay.send(CALLER, ping.text()).summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn what_asks_us_and_what_is_checked_first() {
    struct Row {
        says: &'static str,
        method: &'static str,
        uri: &'static str,
        given: (&'static str, &'static str),
        wants: &'static str,
    }
    let us = "sip:192.0.2.1";
    let row = |says, method, uri, given, wants| Row { says, method, uri, given, wants };
    let rows = [
        row("our address", "OPTIONS", us, ("", ""), "200"),
        row("another port", "OPTIONS", "sip:192.0.2.1:5061", ("", ""), "chosen 10.0.0.1:5060"),
        row("a user", "OPTIONS", "sip:x@192.0.2.1", ("", ""), "chosen 10.0.0.1:5060"),
        row("another host", "OPTIONS", "sip:192.0.2.2", ("", ""), "chosen 10.0.0.1:5060"),
        row("another scheme", "OPTIONS", "tel:192.0.2.1", ("", ""), "chosen 10.0.0.1:5060"),
        row("another method", "MESSAGE", us, ("", ""), "chosen 10.0.0.1:5060"),
        row("in a dialog", "OPTIONS", us, ("com>", "com>;tag=x"), "481"),
        // It has reached its end, so no hop is needed.
        row("without hops", "OPTIONS", us, ("Forwards: 70", "Forwards: 0"), "200"),
        row("others without hops", "MESSAGE", us, ("Forwards: 70", "Forwards: 0"), "483"),
        row("a bad Route is not read", "OPTIONS", us, ("CSeq", "Route: x\r\nCSeq"), "200"),
        row("an extension", "OPTIONS", us, ("CSeq", "Proxy-Require: x\r\nCSeq"), "420"),
        row(
            "the version before what is malformed",
            "OPTIONS",
            us,
            (" SIP/2.0\r\nVia", " SIP/3.0\r\nCSeq: x\r\nVia"),
            "505",
        ),
        row(
            "what is malformed before the scheme",
            "OPTIONS",
            "http://h",
            ("CSeq: 1", "CSeq: x"),
            "400",
        ),
        row(
            "an extension before the scheme",
            "OPTIONS",
            "sips:h",
            ("CSeq", "Proxy-Require: x\r\nCSeq"),
            "420",
        ),
        row("hops before the scheme", "OPTIONS", "sips:h", ("Forwards: 70", "Forwards: 0"), "483"),
        row(
            "an extension before hops",
            "MESSAGE",
            us,
            ("Forwards: 70", "Forwards: 0\r\nProxy-Require: x"),
            "420",
        ),
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let mut request = Request::new(row.method, "checks");
        request.uri = row.uri;
        let text = request.text().replacen(row.given.0, row.given.1, 1);
        assert_eq!(relay.send(CALLER, text).summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn prefixes_hold_what_begins_with_them() {
    let contains = |prefix: &str, ip: &str| {
        let (address, bits) = prefix.split_once('/').unwrap();
        let prefix = Prefix::new(address.parse().unwrap(), bits.parse().unwrap());
        prefix.map(|prefix| prefix.contains(ip.parse().unwrap()))
    };
    for (prefix, ip, wants) in [
        ("0.0.0.0/0", "255.1.2.3", Some(true)),
        ("0.0.0.0/0", "2001:db8::1", Some(false)),
        ("::/0", "2001:db8::1", Some(true)),
        ("::/0", "10.0.0.1", Some(false)),
        ("10.1.2.3/32", "10.1.2.3", Some(true)),
        ("10.1.2.3/32", "10.1.2.2", Some(false)),
        ("10.1.2.3/31", "10.1.2.2", Some(true)),
        ("10.1.2.3/33", "10.1.2.3", None),
        ("10.0.0.0/8", "11.0.0.0", Some(false)),
        ("10.0.0.0/7", "11.0.0.0", Some(true)),
        ("2001:db8::1/128", "2001:db8::1", Some(true)),
        ("2001:db8::1/128", "2001:db8::", Some(false)),
        ("2001:db8::1/127", "2001:db8::", Some(true)),
        ("2001:db8::/129", "2001:db8::", None),
        ("::ffff:10.0.0.0/104", "10.255.0.1", Some(true)),
        ("::ffff:10.0.0.0/104", "11.0.0.1", Some(false)),
        ("::ffff:10.0.0.0/104", "::ffff:10.255.0.1", Some(true)),
        ("::ffff:0.0.0.0/96", "1.2.3.4", Some(true)),
        ("::ffff:0.0.0.0/95", "1.2.3.4", Some(false)),
        ("::ffff:10.0.0.1/128", "10.0.0.1", Some(true)),
        ("::ffff:10.0.0.1/128", "10.0.0.2", Some(false)),
    ] {
        assert_eq!(contains(prefix, ip), wants, "{prefix} {ip}");
    }
}

/// The dispatch log has what was dispatched, and nothing of what was not.
#[test]
fn what_was_dispatched() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let text = Request::new("INVITE", "logged").text();
    let fields = [
        "INVITE",
        "sip:bob@example.com",
        "<sip:alice@example.org>;tag=alice",
        "<sip:bob@example.com>",
        "logged",
        "sip:10.0.0.1:5060",
    ];
    assert_eq!(relay.send(CALLER, &text).summary(), "chosen 10.0.0.1:5060");
    assert_eq!(*relay.dispatched().unwrap(), fields);
    for (number, (text, wants)) in [
        (text.as_str(), "pinned 10.0.0.1:5060"),
        ("\r\n", "keep_alive"),
        ("hello", "not_sip"),
        (&text.replace("CSeq: 1", "CSeq: x"), "400"),
    ]
    .into_iter()
    .enumerate()
    {
        let new = Request::new("MESSAGE", &format!("between-{number}")).text();
        assert_eq!(relay.send(CALLER, &new).summary(), "chosen 10.0.0.1:5060");
        assert_eq!(relay.send(CALLER, text).summary(), wants);
        assert_eq!(relay.dispatched(), None, "{wants}");
    }
    // A worker that starts anew after a panic goes on.
    let new = Request::new("MESSAGE", "before").text();
    relay.send(CALLER, &new).forwarded();
    relay.reset();
    assert_eq!(relay.send(CALLER, &text).summary(), "pinned 10.0.0.1:5060");
}

/// Datagrams that are no message, by their first bytes and their length.
#[test]
fn what_is_no_message() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let message = |len: usize| {
        let mut request = Request::new("OPTIONS", "long");
        request.uri = "sip:192.0.2.1";
        request.more = "X: \r\n".into();
        request.more = format!("X: {}\r\n", "x".repeat(len - request.text().len()));
        request.text().into_bytes()
    };
    let rows: [(&str, Vec<u8>, &str); 9] = [
        ("nothing", vec![], "keep_alive"),
        ("line ends", b"\r\n\r\n".to_vec(), "keep_alive"),
        ("STUN", vec![0, 1, 0, 0], "stun"),
        ("STUN's other class", vec![1, 1, 0, 0], "stun"),
        ("the next byte", vec![2, 1, 0, 0], "not_sip"),
        ("line ends before a message", [b"\r\n\r\n", &message(600)[..]].concat(), "200"),
        ("as long as offsets reach", message(65_535), "200"),
        ("longer", message(65_536), "truncated"),
        ("longer, and no message", vec![b'x'; 65_536], "truncated"),
    ];
    for (says, bytes, wants) in rows {
        assert_eq!(relay.send(CALLER, bytes).summary(), wants, "{says}");
    }
}
