//! The torture messages of RFC 4475 and RFC 5118, each with our verdict.
//!
//! They name foreign domains, so everything is dispatched to one destination, the usual case for a
//! balancer. A forwarded message differs from its input only where a proxy must change it.

use std::net::SocketAddr;
use std::path::Path;

use strowger::proxy::{Reason, Verdict};

use crate::oracle::Reading;
use crate::relay::Relay;

const SOURCE: &str = "192.0.2.250:5060";
const DESTINATION: &str = "10.0.0.1:5060";

/// What the relay must do with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wants {
    Forward,
    Answer(&'static str),
    Drop(Reason),
}
use Wants::{Answer as Code, Drop, Forward};

const REQUESTS: &[(&str, Wants)] = &[
    ("wsinv", Forward),
    ("intmeth", Forward),
    ("esc01", Forward),
    ("escnull", Forward),
    ("esc02", Forward),
    ("lwsdisp", Forward),
    ("longreq", Forward),
    ("dblreq", Forward),
    ("semiuri", Forward),
    ("transports", Forward),
    ("mpart01", Forward),
    ("badinv01", Code("400")),
    ("clerr", Code("400")),
    ("ncl", Code("400")),
    ("scalar02", Code("400")),
    ("quotbal", Code("400")),
    ("ltgtruri", Code("400")),
    ("lwsruri", Code("400")),
    ("lwsstart", Code("400")),
    ("trws", Code("400")),
    ("escruri", Code("400")),
    ("baddate", Forward),
    ("regbadct", Forward),
    ("badaspec", Forward),
    ("baddn", Code("400")),
    ("badvers", Code("505")),
    ("mismatch01", Code("400")),
    ("mismatch02", Code("400")),
    ("badbranch", Forward),
    ("insuf", Code("400")),
    ("unkscm", Forward),
    ("novelsc", Forward),
    ("unksm2", Forward),
    ("bext01", Code("420")),
    ("invut", Forward),
    ("regaut01", Forward),
    ("multi01", Code("400")),
    ("mcl01", Code("400")),
    ("zeromf", Code("483")),
    ("cparam01", Forward),
    ("cparam02", Forward),
    ("regescrt", Forward),
    ("sdp01", Forward),
    ("inv2543", Forward),
];

/// Each is sent as it is, and with our Via on top.
const RESPONSES: &[(&str, Wants)] = &[
    ("unreason", Forward),
    ("noreason", Forward),
    ("scalarlg", Drop(Reason::MalformedResponse)),
    ("bigcode", Drop(Reason::MalformedResponse)),
    ("bcast", Drop(Reason::BadNextVia)),
];

const IPV6: &[(&str, Wants)] = &[
    ("ipv6-good", Forward),
    ("ipv6-bad", Code("400")),
    ("port-ambiguous", Forward),
    ("port-unambiguous", Forward),
    ("via-received-param-with-delim", Forward),
    ("via-received-param-no-delim", Forward),
    ("ipv6-in-sdp", Forward),
    ("mult-ip-in-header", Forward),
    ("mult-ip-in-sdp", Forward),
    ("ipv4-mapped-ipv6", Forward),
    ("ipv6-bug-abnf-3-colons", Forward),
    ("ipv6-correct-abnf-2-colons", Forward),
];

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)).unwrap()
}

/// Returns the files of RFC 5118 as they would be on the wire.
fn ipv6_file(name: &str) -> Vec<u8> {
    let mut text = String::from_utf8(file(&format!("rfc5118/{name}"))).unwrap();
    if !text.contains("\n\n") {
        text.push('\n');
    }
    let text = text.replace('\n', "\r\n");
    let body_len = text.split_once("\r\n\r\n").unwrap().1.len();
    let Some(at) = text.find("Content-Length:") else {
        return text.into_bytes();
    };
    let end = at + text[at..].find("\r\n").unwrap();
    format!("{}Content-Length: {body_len}{}", &text[..at], &text[end..]).into_bytes()
}

#[test]
fn every_message_of_both_rfcs_is_here() {
    let count = |folder: &str| {
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder))
            .unwrap()
            .count()
    };
    assert_eq!(REQUESTS.len() + RESPONSES.len(), 49);
    assert_eq!(count("rfc4475"), 49 + 1, "and test.dat");
    assert_eq!((IPV6.len(), count("rfc5118")), (12, 12));
}

#[test]
fn requests_of_rfc_4475() {
    for (name, wants) in REQUESTS {
        check_request(name, &file(&format!("rfc4475/{name}.dat")), *wants);
    }
    // Its file lacks the blank line; even with one, the display name is wrong.
    let mut baddn = file("rfc4475/baddn.dat");
    baddn.extend_from_slice(b"\r\n");
    check_request("baddn with its blank line", &baddn, Code("400"));
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    assert_eq!(relay.send(SOURCE, file("rfc4475/test.dat")).dropped(), Reason::NotSip);
}

#[test]
fn messages_of_rfc_5118() {
    for (name, wants) in IPV6 {
        let bytes = ipv6_file(name);
        if bytes.starts_with(b"SIP/") {
            check_response(name, &bytes, *wants);
        } else {
            check_request(name, &bytes, *wants);
        }
    }
}

#[test]
fn responses_of_rfc_4475() {
    for (name, wants) in RESPONSES {
        check_response(name, &file(&format!("rfc4475/{name}.dat")), *wants);
    }
}

#[test]
fn what_must_change_changes() {
    let forwarded = |name: &str| {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        relay.send(SOURCE, file(&format!("rfc4475/{name}.dat"))).forwarded()
    };
    let mut relay = Relay::new(&["sip:chair-dnrc.example.com"]);
    let wsinv = relay.send(SOURCE, file("rfc4475/wsinv.dat")).forwarded().text();
    assert!(wsinv.contains("MaX-fOrWaRdS: 67\r\n"), "{wsinv}");
    assert!(forwarded("inv2543").text().contains("Max-Forwards: 70\r\n"));
    assert!(!forwarded("mpart01").text().contains("Route: <sip:127.0.0.1:5080>"));
    let dblreq = forwarded("dblreq").text();
    assert_eq!(dblreq.matches("CSeq:").count(), 1, "the second request is not passed on: {dblreq}");
    let port =
        forwarded("zeromf_is_answered_so_take_semiuri".split("take_").nth(1).unwrap()).text();
    assert!(
        port.starts_with("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\r\n"),
        "{port}"
    );
}

#[test]
fn two_cookies_without_a_branch_are_two_transactions() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let one = file("rfc4475/badbranch.dat");
    let two = String::from_utf8(one.clone())
        .unwrap()
        .replace("sip:user@example.com SIP", "sip:other@example.com SIP");
    assert_eq!(relay.send(SOURCE, &one).next_hop(), "10.0.0.1:5060");
    assert_eq!(relay.send(SOURCE, two).next_hop(), "10.0.0.2:5060");
    assert_eq!(relay.send(SOURCE, &one).next_hop(), "10.0.0.1:5060");
}

fn check_request(name: &str, bytes: &[u8], wants: Wants) {
    let mut relay =
        Relay::listening(&["192.0.2.1:5060", "[2001:db8::1]:5060"], &["sip:10.0.0.1:5060"]);
    let message = Reading::of(bytes);
    let mut destination = DESTINATION.parse().unwrap();
    if wants == Forward && message.to_tag.is_some() {
        // In a dialog that we do not know, only the Request-URI can name the destination.
        assert!(relay.send(SOURCE, bytes).answer().starts_with("SIP/2.0 481 "), "{name}");
        let uri = message.uri.unwrap();
        let (host, port) = (uri.host, uri.port.unwrap_or(5060));
        relay.load(&[&format!("sip:{host}:{port}")]);
        let slot = relay.snapshot.destinations.by_host(host.as_bytes(), port);
        destination = relay.snapshot.destinations.get(slot.unwrap()).unwrap().address;
    }
    let outcome = relay.send(SOURCE, bytes);
    match wants {
        Forward => {
            let sent = match outcome.verdict {
                Verdict::Forwarded(_) => outcome.sent.unwrap(),
                other => panic!("{name}: {other:?} {:?}", Reading::of(bytes).fault),
            };
            assert_eq!(sent.to, destination, "{name}");
        }
        Code(code) => {
            let sent =
                outcome.sent.clone().unwrap_or_else(|| panic!("{name}: {:?}", outcome.verdict));
            assert_eq!(sent.to.ip().to_string(), "192.0.2.250", "{name}");
            assert!(outcome.answer().starts_with(&format!("SIP/2.0 {code} ")), "{name}");
        }
        Drop(reason) => assert_eq!(outcome.dropped(), reason, "{name}"),
    }
}

fn check_response(name: &str, bytes: &[u8], wants: Wants) {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let raw = relay.send(DESTINATION, bytes).dropped();
    assert!(matches!(raw, Reason::ForeignVia | Reason::MalformedResponse), "{name}: {raw:?}");

    // The request that this would be the response to, as we received it.
    let text = String::from_utf8_lossy(bytes).into_owned();
    let row = |wanted: &str| {
        text.lines().find(|line| line.starts_with(wanted)).unwrap_or_default().to_owned()
    };
    let via = if name == "bcast" {
        "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23".into()
    } else {
        row("Via:")
    };
    let host = via.split_whitespace().nth(2).unwrap().split(';').next().unwrap().to_owned();
    let source = host
        .parse::<SocketAddr>()
        .map(|address| address.to_string())
        .unwrap_or(format!("{host}:5060"));
    let source = if source.parse::<SocketAddr>().is_ok() { source } else { SOURCE.into() };
    let request = format!(
        "OPTIONS sip:user@example.com SIP/2.0\r\n{via}\r\n{}\r\nTo: <sip:x@y>\r\n{}\r\n\
         CSeq: 35 OPTIONS\r\nl: 0\r\n\r\n",
        row("From:"),
        row("Call-ID:")
    );
    let own_via = match relay.send(&source, request).sent {
        Some(sent) => format!("Via: {}\r\n", sent.rows("Via")[0]),
        None => panic!("{name}: {via}"),
    };
    // In this one the Via after ours is wrong, so our Via replaces the first one.
    let skipped = if name == "bcast" { row("Via:").len() + 2 } else { 0 };
    let first_line_end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    let mut with_own = bytes[..first_line_end].to_vec();
    with_own.extend_from_slice(own_via.as_bytes());
    with_own.extend_from_slice(&bytes[first_line_end + skipped..]);
    let outcome = relay.send(DESTINATION, &with_own);
    match wants {
        Forward => {
            let sent = match outcome.verdict {
                Verdict::Forwarded(_) => outcome.sent.unwrap(),
                other => panic!("{name}: {other:?}\n{}", String::from_utf8_lossy(&with_own)),
            };
            assert_eq!(sent.to.to_string(), source, "{name}");
        }
        Drop(reason) => assert_eq!(outcome.dropped(), reason, "{name}"),
        Code(_) => unreachable!("a response is never answered"),
    }
}
