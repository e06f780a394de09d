//! Reports that a destination cannot be reached, which anybody can forge.

use strowger::destination::Slot;
use strowger::proxy::ListenerId;
use strowger::proxy::Unreachable;
use strowger::proxy::probe::{self, ProbeRequest};

use crate::messages::{A, CALLER, Request, by_callee, by_caller, call, invite, response};
use crate::relay::{Relay, US, listeners};

const B: &str = "10.0.0.2:5060";
const REFUSED: i32 = 111;

/// `proven 0`, `proven 0 probe 7`, `hint 0` or `nothing`.
fn words(report: Option<Unreachable>) -> String {
    report.map_or("nothing".into(), |report| {
        let kind = if report.is_proven { "proven" } else { "hint" };
        let probe = report.probe.map_or(String::new(), |number| format!(" probe {number}"));
        format!("{kind} {}{probe}", report.slot.0)
    })
}

fn relay() -> Relay {
    Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"])
}

#[test]
fn only_our_own_via_proves_a_report() {
    let mut relay = relay();
    let sent = relay.send(CALLER, invite("call")).forwarded();
    assert_eq!(sent.to.to_string(), A);
    let whole = sent.text();
    let via_end = whole.match_indices("\r\n").nth(1).unwrap().0 + 2;
    let own = sent.rows("Via")[0].clone();
    let forged = whole.replace(&own[own.len() - 16..], "0000000000000000");
    let own_tag = whole.replacen(&own[own.len() - 28..own.len() - 24], "0000", 1);
    let rows = [
        ("the whole message", A, whole.clone(), "proven 0"),
        ("up to our Via", A, whole[..via_end].into(), "proven 0"),
        ("the last octet of our Via is missing", A, whole[..via_end - 3].into(), "hint 0"),
        ("nothing", A, String::new(), "hint 0"),
        ("a first line", A, "INVITE sip:b SIP/2.0\r\n".into(), "hint 0"),
        ("for the other destination", B, whole.clone(), "hint 1"),
        ("the tag for responses does not matter", A, forged, "proven 0"),
        ("a forged own tag", A, own_tag, "hint 0"),
        ("another branch", A, whole.replacen("z9hG4bK", "z9hG4bKx", 1), "hint 0"),
        ("a caller's Via", A, whole.replace(&format!("Via: {own}\r\n"), ""), "hint 0"),
        ("not our name", A, whole.replacen("192.0.2.1", "192.0.2.9", 1), "hint 0"),
        ("nobody that we know", "10.0.0.3:5060", whole.clone(), "nothing"),
        ("another port", "10.0.0.1:5061", whole.clone(), "nothing"),
        ("a response", A, response(&sent, "200 OK", "b"), "hint 0"),
    ];
    for (says, to, quote, wants) in rows {
        let report = relay.report(to, REFUSED, quote.as_bytes());
        assert_eq!(words(report), wants, "{says}");
        if let Some(report) = report {
            assert_eq!((report.address.to_string(), report.errno), (to.to_owned(), REFUSED));
        }
    }
}

#[test]
fn which_errors_say_something_about_a_destination() {
    let mut relay = relay();
    let quote = relay.send(CALLER, invite("call")).forwarded().bytes;
    for (name, errno, counts) in [
        ("ECONNREFUSED", 111, true),
        ("EHOSTUNREACH", 113, true),
        ("ENETUNREACH", 101, true),
        ("EHOSTDOWN", 112, true),
        ("ENONET", 64, true),
        ("ENOPROTOOPT", 92, true),
        ("EACCES", 13, true),
        ("EMSGSIZE", 90, false),
        ("EPERM", 1, false),
        ("ENOBUFS", 105, false),
        ("EINVAL", 22, false),
        ("EPROTO", 71, false),
        ("EAGAIN", 11, false),
        ("none", 0, false),
    ] {
        assert_eq!(relay.report(A, errno, &quote).is_some(), counts, "{name}");
    }
}

#[test]
fn an_old_message_and_one_of_another_process_prove_nothing() {
    let mut before = relay();
    let quote = before.send(CALLER, invite("call")).forwarded().bytes;
    for (ms, wants) in [(4_999, "proven 0"), (1, "hint 0")] {
        before.pass_ms(ms);
        assert_eq!(words(before.report(A, REFUSED, &quote)), wants);
    }
    // The clock of another worker is a little behind.
    before.now = strowger::clock::Now::from_ms(before.now.ms() - 5_001);
    assert_eq!(words(before.report(A, REFUSED, &quote)), "proven 0");
    let mut relay = Relay::made_of(listeners(&[US]), 2, &["sip:10.0.0.1:5060"]);
    assert_eq!(words(relay.report(A, REFUSED, &quote)), "hint 0");
}

#[test]
fn requests_in_a_dialog_prove_it_only_towards_the_destination() {
    let mut relay = relay();
    let sent = call(&mut relay, "call");
    let bye = relay.send(CALLER, by_caller("BYE", "call", &sent.routes())).forwarded();
    assert_eq!(words(relay.report(A, REFUSED, &bye.bytes)), "proven 0");
    let uri = "sip:alice@198.51.100.7:5062";
    let info = relay.send(A, by_callee("INFO", "call", uri, &sent.routes())).forwarded();
    assert_eq!(words(relay.report(CALLER, REFUSED, &info.bytes)), "nothing");
    assert_eq!(words(relay.report(A, REFUSED, &info.bytes)), "hint 0");
}

#[test]
fn a_probe_names_itself() {
    let mut relay = relay();
    let request = ProbeRequest {
        number: 7,
        method: "OPTIONS",
        uri: "sip:10.0.0.2:5060",
        from: "sip:dispatcher@localhost",
        max_forwards: 70,
        slot: Slot(1),
        listener: ListenerId(0),
    };
    let mut quote = Vec::new();
    assert!(probe::write(&relay.shared, &request, relay.now, &mut quote));
    assert_eq!(words(relay.report(B, REFUSED, &quote)), "proven 1 probe 7");
    assert_eq!(words(relay.report(A, REFUSED, &quote)), "hint 0");
}

#[test]
fn a_report_touches_no_pin() {
    let mut relay = relay();
    let quote = relay.send(CALLER, invite("call")).forwarded().bytes;
    let pins = relay.shared.pins.count();
    assert_eq!(words(relay.report(A, REFUSED, &quote)), "proven 0");
    assert_eq!(relay.shared.pins.count(), pins);
    let again = relay.send(CALLER, invite("call")).forwarded();
    assert_eq!(again.to.to_string(), A);
    let next = relay.send(CALLER, Request::new("INVITE", "next").text()).forwarded();
    assert_eq!(next.to.to_string(), B);
}
