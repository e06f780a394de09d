//! Where requests in a dialog may go: which addresses a callee, and a caller, may name as the next
//! hop, and which never.

use std::sync::Arc;

use strowger::proxy::InDialog;

use crate::messages::{A, BOB, CALLER, Request, call_from, response};
use crate::relay::{Relay, TRUST_MS, US, prefixes};

const BOTH: [&str; 2] = [US, "[2001:db8::1]:5060"];

/// A request in a dialog whose token verifies.
struct Row {
    says: &'static str,
    /// Where the caller gets its responses.
    caller: &'static str,
    /// The host and port of the Request-URI.
    given: &'static str,
    /// Whether that is the next hop; otherwise it is the other party of the call.
    wants: Next,
}

#[derive(Clone, Copy, PartialEq)]
enum Next {
    Named,
    OtherParty,
}
use Next::{Named, OtherParty};

const fn row(says: &'static str, caller: &'static str, given: &'static str, wants: Next) -> Row {
    Row { says, caller, given, wants }
}

const PUBLIC: &str = CALLER;
const PRIVATE: &str = "10.9.9.9:5062";
const PUBLIC_V6: &str = "[2001:db8::7]:5062";
const PRIVATE_V6: &str = "[fd00::7]:5062";

#[rustfmt::skip]
const BY_CALLEE: &[Row] = &[
    row("a public address", PUBLIC, "203.0.113.20:5070", Named),
    row("a public address while the caller is private", PRIVATE, "203.0.113.20:5070", Named),
    row("no port means 5060", PUBLIC, "203.0.113.20", Named),

    row("loopback while the caller is public", PUBLIC, "127.0.0.1:5080", OtherParty),
    row("loopback while the caller is private", PRIVATE, "127.0.0.1:5080", OtherParty),
    row("the end of loopback", PRIVATE, "127.255.255.254:5080", OtherParty),
    row("loopback of IPv6", PUBLIC_V6, "[::1]:5080", OtherParty),
    row("loopback of IPv6 while the caller is private", PRIVATE_V6, "[::1]:5080", OtherParty),
    row("loopback, IPv4-mapped", PRIVATE, "[::ffff:127.0.0.1]:5080", OtherParty),

    row("10/8", PUBLIC, "10.0.0.0:5080", OtherParty),
    row("the end of 10/8", PUBLIC, "10.255.255.255:5080", OtherParty),
    row("before 10/8", PUBLIC, "9.255.255.255:5080", Named),
    row("behind 10/8", PUBLIC, "11.0.0.0:5080", Named),
    row("172.16/12", PUBLIC, "172.16.0.0:5080", OtherParty),
    row("the end of 172.16/12", PUBLIC, "172.31.255.255:5080", OtherParty),
    row("before 172.16/12", PUBLIC, "172.15.255.255:5080", Named),
    row("behind 172.16/12", PUBLIC, "172.32.0.0:5080", Named),
    row("192.168/16", PUBLIC, "192.168.0.0:5080", OtherParty),
    row("behind 192.168/16", PUBLIC, "192.169.0.0:5080", Named),
    row("169.254/16", PUBLIC, "169.254.0.0:5080", OtherParty),
    row("behind 169.254/16", PUBLIC, "169.255.0.0:5080", Named),
    row("100.64/10", PUBLIC, "100.64.0.0:5080", OtherParty),
    row("the end of 100.64/10", PUBLIC, "100.127.255.255:5080", OtherParty),
    row("before 100.64/10", PUBLIC, "100.63.255.255:5080", Named),
    row("behind 100.64/10", PUBLIC, "100.128.0.0:5080", Named),
    row("the second octet of 100.64/10 behind another", PUBLIC, "101.64.0.0:5080", Named),
    row("fc00::/7", PUBLIC_V6, "[fc00::1]:5080", OtherParty),
    row("fd00::/8", PUBLIC_V6, "[fdff::1]:5080", OtherParty),
    row("fe80::/10", PUBLIC_V6, "[fe80::1]:5080", OtherParty),
    row("behind fe80::/10", PUBLIC_V6, "[fec0::1]:5080", Named),
    row("a public address of IPv6", PUBLIC_V6, "[2001:db8::9]:5080", Named),

    row("private while the caller is in 10/8", PRIVATE, "192.168.1.1:5080", Named),
    row("private while the caller is in 172.16/12", "172.20.1.1:5062", "192.168.1.1:5080", Named),
    row("private while the caller is in 192.168/16", "192.168.9.9:5062", "10.1.1.1:5080", Named),
    row("private while the caller is in 169.254/16", "169.254.1.1:5062", "10.1.1.1:5080", Named),
    row("private while the caller is in 100.64/10", "100.64.1.1:5062", "10.1.1.1:5080", Named),
    row("private while the caller is on loopback", "127.0.0.9:5062", "10.1.1.1:5080", Named),
    row("private while the caller is in fd00::/8", PRIVATE_V6, "[fd00::9]:5080", Named),
    row("private while the caller is in fe80::/10", "[fe80::7]:5062", "[fd00::9]:5080", Named),
    row("private while the caller is at ::1", "[::1]:5062", "[fd00::9]:5080", Named),
];

/// What is no other host, whoever names it.
#[rustfmt::skip]
const NO_HOST: &[(&str, &str)] = &[
    ("broadcast", "255.255.255.255:5080"),
    ("multicast", "224.0.0.1:5080"),
    ("the end of multicast", "239.255.255.255:5080"),
    ("0.0.0.0", "0.0.0.0:5080"),
    ("0/8", "0.1.2.3:5080"),
    ("multicast of IPv6", "[ff02::1]:5080"),
    ("::", "[::]:5080"),
    ("multicast, IPv4-mapped", "[::ffff:224.0.0.1]:5080"),
    ("0/8, IPv4-mapped", "[::ffff:0.0.0.1]:5080"),
    ("ourselves", "192.0.2.1:5060"),
    ("ourselves without a port", "192.0.2.1"),
    ("ourselves over IPv6", "[2001:db8::1]:5060"),
    ("ourselves, IPv4-mapped", "[::ffff:192.0.2.1]:5060"),
];

fn listener_of(address: &str) -> u16 {
    u16::from(address.starts_with('['))
}

/// The summary of a BYE of the callee with this Request-URI.
fn bye_of_callee(relay: &mut Relay, caller: &str, uri: &str) -> String {
    let sent = call_from(relay, caller, "callee");
    let mut bye = Request::new("BYE", "callee");
    (bye.from, bye.to, bye.uri) = (BOB, "<sip:alice@example.org>;tag=alice", uri);
    bye.via = format!("SIP/2.0/UDP {A};branch=z9hG4bK-bye");
    bye.more = sent.routes();
    relay.send(A, bye.text()).summary()
}

/// The same of its caller.
fn bye_of_caller(relay: &mut Relay, caller: &str, uri: &str) -> String {
    let sent = call_from(relay, caller, "caller");
    let mut bye = Request::new("BYE", "caller");
    (bye.to, bye.uri) = (BOB, uri);
    bye.via = format!("SIP/2.0/UDP {caller};branch=z9hG4bK-bye");
    bye.more = sent.routes();
    relay.send_to(0, listener_of(caller), caller, bye.text().as_bytes()).summary()
}

fn named(host_port: &str) -> String {
    let host_end = host_port.find(']').unwrap_or(0);
    let has_port = host_port[host_end..].contains(':');
    format!("token {host_port}{}", if has_port { "" } else { ":5060" })
}

#[test]
fn a_callee_names_a_public_host_or_one_inside_with_its_caller() {
    for Row { says, caller, given, wants } in BY_CALLEE {
        let mut relay = Relay::listening(&BOTH, &["sip:10.0.0.1:5060"]);
        let got = bye_of_callee(&mut relay, caller, &format!("sip:alice@{given}"));
        let wants = if *wants == Named { named(given) } else { format!("token {caller}") };
        assert_eq!(got, wants, "{says}: {caller} {given}");
    }
}

#[test]
fn nobody_names_what_is_no_other_host() {
    for (says, given) in NO_HOST {
        for caller in [PUBLIC, PRIVATE, PUBLIC_V6, PRIVATE_V6] {
            let mut relay = Relay::listening(&BOTH, &["sip:10.0.0.1:5060"]);
            relay.snapshot.set_default.in_dialog = InDialog::Route;
            let uri = format!("sip:x@{given}");
            let to_caller = format!("token {caller}");
            assert_eq!(bye_of_callee(&mut relay, caller, &uri), to_caller, "{says}");
            let to_destination = format!("token {A}");
            assert_eq!(bye_of_caller(&mut relay, caller, &uri), to_destination, "{says}");
        }
    }
}

#[test]
fn port_0_is_no_place() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    for uri in ["sip:x@203.0.113.20:0", "sip:x@203.0.113.20:00000"] {
        let got = [bye_of_callee(&mut relay, CALLER, uri), bye_of_caller(&mut relay, CALLER, uri)];
        assert!(!got.iter().any(|got| got.ends_with(":0")), "{uri}: {got:?}");
    }
    let mut request = Request::new("OPTIONS", "port-0");
    request.uri = "sip:192.0.2.1";
    request.via = "SIP/2.0/UDP 198.51.100.7;rport;branch=z9hG4bK1".into();
    assert_eq!(relay.send("198.51.100.7:0", request.text()).summary(), "unanswerable");
}

#[test]
fn a_caller_names_loopback_only_where_its_destination_is() {
    struct Row {
        says: &'static str,
        destination: &'static str,
        given: &'static str,
        wants: &'static str,
    }
    let row = |says, destination, given, wants| Row { says, destination, given, wants };
    let rows = [
        row("elsewhere", A, "127.0.0.1:5080", A),
        row("on this machine", "127.0.0.2:5070", "127.0.0.1:5080", "127.0.0.1:5080"),
        row("on this machine, a host", "127.0.0.2:5070", "10.0.0.9:5080", "10.0.0.9:5080"),
        row("elsewhere, a private host", A, "192.168.1.1:5080", "192.168.1.1:5080"),
        row("elsewhere, a public host", A, "203.0.113.20:5080", "203.0.113.20:5080"),
    ];
    for row in rows {
        let mut relay = Relay::new(&[&format!("sip:{}", row.destination)]);
        relay.snapshot.set_default.in_dialog = InDialog::Route;
        let got = bye_of_caller(&mut relay, CALLER, &format!("sip:bob@{}", row.given));
        assert_eq!(got, format!("token {}", row.wants), "{}", row.says);
    }
}

#[test]
fn only_hosts_in_in_dialog_to_are_named() {
    struct Row {
        says: &'static str,
        given: &'static str,
        wants: Next,
    }
    let row = |says, given, wants| Row { says, given, wants };
    let rows = [
        row("in the first prefix", "203.0.113.0:5080", Named),
        row("at its end", "203.0.113.127:5080", Named),
        row("behind it", "203.0.113.128:5080", OtherParty),
        row("before it", "203.0.112.255:5080", OtherParty),
        row("in the second", "198.18.0.1:5080", Named),
        row("next to the second, which is one address", "198.18.0.2:5080", OtherParty),
        row("IPv4-mapped in the first", "[::ffff:203.0.113.9]:5080", Named),
        row("a prefix of IPv6", "[2001:db8:0:1::9]:5080", Named),
        row("behind it", "[2001:db8:0:2::9]:5080", OtherParty),
    ];
    for row in rows {
        let mut relay = Relay::listening(&BOTH, &["sip:10.0.0.1:5060"]);
        relay.snapshot.set_default.in_dialog = InDialog::Route;
        relay.snapshot.policy.in_dialog_to =
            prefixes("203.0.113.0/25 198.18.0.1/32 2001:db8:0:1::/64");
        let place = row.given.replace("[::ffff:203.0.113.9]", "203.0.113.9");
        let uri = format!("sip:x@{}", row.given);
        let wants = |other: &str| {
            if row.wants == Named { named(&place) } else { format!("token {other}") }
        };
        assert_eq!(bye_of_callee(&mut relay, CALLER, &uri), wants(CALLER), "{}", row.says);
        assert_eq!(bye_of_caller(&mut relay, CALLER, &uri), wants(A), "{}", row.says);
    }
}

#[test]
fn only_an_address_in_a_sip_uri_is_a_place() {
    for uri in ["tel:+15550100", "sip:bob@media.example.com", "sip:sip.example.net:5070"] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        relay.snapshot.set_default.in_dialog = InDialog::Route;
        assert_eq!(bye_of_callee(&mut relay, CALLER, uri), format!("token {CALLER}"), "{uri}");
        assert_eq!(bye_of_caller(&mut relay, CALLER, uri), format!("token {A}"), "{uri}");
    }
}

#[test]
fn each_set_says_whether_its_callers_follow_their_route() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "set=2 sip:10.0.0.2:5060"]);
    let mut of_set = |set: u32, follows: u32| {
        relay.snapshot.policy.set = set;
        Arc::make_mut(&mut relay.snapshot.sets).clear();
        let policy = strowger::proxy::SetPolicy {
            in_dialog: InDialog::Route,
            ..strowger::proxy::SetPolicy::default()
        };
        Arc::make_mut(&mut relay.snapshot.sets).insert(follows, policy);
        // What counts is the set of its destination, not the one that calls are dispatched to.
        let call_id = format!("{set}-{follows}");
        let sent = call_from(&mut relay, CALLER, &call_id);
        relay.snapshot.policy.set = 3 - set;
        let mut bye = Request::new("BYE", &call_id);
        (bye.to, bye.uri, bye.more) = (BOB, "sip:bob@203.0.113.20", sent.routes());
        relay.send(CALLER, bye.text()).next_hop()
    };
    assert_eq!(of_set(1, 1), "203.0.113.20:5060");
    assert_eq!(of_set(1, 2), "10.0.0.1:5060");
    assert_eq!(of_set(2, 2), "203.0.113.20:5060");
    assert_eq!(of_set(2, 1), "10.0.0.2:5060");
}

#[test]
fn a_retired_destination_keeps_the_settings_of_its_set_for_its_calls_while_it_is_trusted() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    let sent = call_from(&mut relay, CALLER, "retired");
    relay.load(&["sip:10.0.0.2:5060"]);
    let mut bye = Request::new("BYE", "retired");
    (bye.to, bye.uri, bye.more) = (BOB, "sip:bob@203.0.113.20", sent.routes());
    assert_eq!(relay.send(CALLER, bye.text()).summary(), "token 203.0.113.20:5060");
    relay.pass_ms(TRUST_MS);
    relay.end_trust();
    assert_eq!(relay.send(CALLER, bye.text()).summary(), format!("token {A}"));
}

#[test]
fn a_callees_place_may_be_its_next_route_or_what_a_strict_router_left() {
    struct Row<'a> {
        says: &'static str,
        uri: &'a str,
        routes: &'static str,
        wants: &'static str,
        first_line: &'a str,
    }
    let alice = "<sip:alice@example.org>;tag=alice";
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call_from(&mut relay, CALLER, "strict");
    let ours = sent.record_routes()[0].trim_matches(['<', '>']).to_owned();
    let rows = [
        Row {
            says: "the Request-URI was at the end of the route",
            uri: &ours,
            routes: "Route: <sip:alice@203.0.113.20:5070>\r\n",
            wants: "token 203.0.113.20:5070",
            first_line: "BYE sip:alice@203.0.113.20:5070 SIP/2.0",
        },
        Row {
            says: "it was, and is a place that may not be named",
            uri: &ours,
            routes: "Route: <sip:alice@127.0.0.1:5070>\r\n",
            wants: "token 198.51.100.7:5062",
            first_line: "BYE sip:alice@127.0.0.1:5070 SIP/2.0",
        },
        Row {
            says: "a Route between",
            uri: &ours,
            routes: "Route: <sip:203.0.113.30;lr>, <sip:alice@203.0.113.20:5070>\r\n",
            wants: "token 203.0.113.30:5060",
            first_line: "BYE sip:alice@203.0.113.20:5070 SIP/2.0",
        },
        Row {
            says: "no route at all",
            uri: &ours,
            routes: "",
            wants: "token 198.51.100.7:5062",
            first_line: "",
        },
    ];
    for row in rows {
        let mut bye = Request::new("BYE", "strict");
        (bye.from, bye.to, bye.uri, bye.more) = (BOB, alice, row.uri, row.routes.into());
        bye.via = format!("SIP/2.0/UDP {A};branch=z9hG4bK-bye");
        let outcome = relay.send(A, bye.text());
        assert_eq!(outcome.summary(), row.wants, "{}", row.says);
        let sent = outcome.forwarded();
        let untouched = format!("BYE {ours} SIP/2.0");
        let first_line = if row.first_line.is_empty() { &untouched } else { row.first_line };
        assert_eq!(sent.first_line(), first_line, "{}", row.says);
    }
}

/// Nothing is ever sent to an address of our own, even when a token says so.
#[test]
fn what_a_token_names_may_have_become_our_own_address() {
    let mut before = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call_from(&mut before, CALLER, "moved");
    before.send(A, response(&sent, "200 OK", "bob")).forwarded();
    let request = |from_caller: bool| {
        let mut bye = Request::new("BYE", "moved");
        let alice = "<sip:alice@example.org>;tag=alice";
        (bye.from, bye.to) = if from_caller { (alice, BOB) } else { (BOB, alice) };
        (bye.uri, bye.more) = ("sip:x@media.example.com", sent.routes());
        bye.text()
    };
    let mut after = Relay::listening(&[US, A, CALLER], &[]);
    assert_eq!(after.send("203.0.113.5:5060", request(true)).summary(), "self_loop");
    assert_eq!(after.send("203.0.113.5:5060", request(false)).summary(), "self_loop");
}
