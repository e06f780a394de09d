//! Our own probes: what they look like, and which replies count.

use strowger::clock::Now;
use strowger::destination::Slot;
use strowger::message::Message;
use strowger::proxy::probe::{self, ProbeRequest};
use strowger::proxy::{Cause, ListenerId, ProbeAnswer, Reason};

use crate::messages::A;
use crate::relay::{Relay, Sent, US, keys, listeners, prefixes};

const REQUEST: ProbeRequest<'static> = ProbeRequest {
    number: 42,
    method: "OPTIONS",
    uri: "sip:10.0.0.1:5060",
    from: "sip:dispatcher@localhost",
    max_forwards: 70,
    slot: Slot(0),
    listener: ListenerId(0),
};

fn relay() -> Relay {
    Relay::new(&["sip:10.0.0.1:5060"])
}

fn write(relay: &Relay, request: &ProbeRequest) -> Option<String> {
    let mut bytes = b"something else".to_vec();
    let is_written = probe::write(&relay.shared, request, relay.now, &mut bytes);
    assert_eq!(is_written, !bytes.is_empty());
    is_written.then(|| String::from_utf8(bytes).unwrap())
}

fn sent(text: &str) -> Sent {
    let to = A.parse().unwrap();
    Sent { cause: Cause::Forward, to, listener: ListenerId(0), bytes: text.into() }
}

fn reply(probe: &str, status: &str) -> String {
    crate::messages::response(&sent(probe), status, "server")
}

fn answer(number: u32, code: u16, age_ms: u32) -> ProbeAnswer {
    ProbeAnswer { number, code, age_ms, retry_after_s: None, source: A.parse().unwrap() }
}

#[test]
fn a_probe_is_a_complete_request() {
    let relay = relay();
    let text = write(&relay, &REQUEST).unwrap();
    assert_eq!(Message::read(text.as_bytes()).fault, None);
    let rows: Vec<_> = text.split("\r\n").collect();
    assert_eq!(rows[0], "OPTIONS sip:10.0.0.1:5060 SIP/2.0");
    assert!(rows[1].starts_with("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{text}");
    assert!(rows[1].contains(";sw="), "{text}");
    assert_eq!(rows[2], "Max-Forwards: 70");
    assert_eq!(rows[3], "From: <sip:dispatcher@localhost>;tag=swp0000002a3b9aca00");
    assert_eq!(rows[4], "To: <sip:10.0.0.1:5060>");
    assert!(rows[5].starts_with("Call-ID: ") && rows[5].len() == 9 + 32, "{text}");
    let rest = [
        "CSeq: 1 OPTIONS",
        "Contact: <sip:192.0.2.1:5060>",
        "Accept: application/sdp",
        "User-Agent: Strowger",
        "Content-Length: 0",
        "",
        "",
    ];
    assert_eq!(rows[6..], rest);
}

#[test]
fn who_gets_a_contact() {
    for (method, wants) in [
        ("OPTIONS", true),
        ("INVITE", true),
        ("SUBSCRIBE", true),
        ("REFER", true),
        ("NOTIFY", true),
        ("UPDATE", true),
        ("REGISTER", false),
        ("INFO", false),
        ("MESSAGE", false),
    ] {
        let text = write(&relay(), &ProbeRequest { method, ..REQUEST }).unwrap();
        assert_eq!(text.contains("\r\nContact: <sip:192.0.2.1:5060>\r\n"), wants, "{method}");
        assert_eq!(text.contains("\r\nAccept: "), method == "OPTIONS");
        assert!(text.contains(&format!("\r\nCSeq: 1 {method}\r\n")));
        assert_eq!(Message::read(text.as_bytes()).fault, None);
    }
}

#[test]
fn no_text_can_break_the_message() {
    for request in [
        ProbeRequest { uri: "sip:a>\r\nVia: x", ..REQUEST },
        ProbeRequest { uri: "sip:a b", ..REQUEST },
        ProbeRequest { uri: "", ..REQUEST },
        ProbeRequest { from: "\"A\" <sip:a>", ..REQUEST },
        ProbeRequest { from: "sip:\u{e4}", ..REQUEST },
        ProbeRequest { method: "OPT IONS", ..REQUEST },
        ProbeRequest { method: "", ..REQUEST },
    ] {
        assert_eq!(write(&relay(), &request), None, "{request:?}");
    }
}

#[test]
fn each_probe_has_its_own_branch_and_call_id() {
    let mut relay = relay();
    let first = sent(&write(&relay, &REQUEST).unwrap());
    let again = sent(&write(&relay, &REQUEST).unwrap());
    assert_eq!((first.branch(), first.rows("Call-ID")), (again.branch(), again.rows("Call-ID")));
    let next = sent(&write(&relay, &ProbeRequest { number: 43, ..REQUEST }).unwrap());
    relay.pass_ms(1);
    let later = sent(&write(&relay, &REQUEST).unwrap());
    for other in [next, later] {
        assert!(other.branch() != first.branch() && other.rows("Call-ID") != first.rows("Call-ID"));
    }
}

#[test]
fn a_reply_is_handed_over() {
    let mut relay = relay();
    let text = write(&relay, &REQUEST).unwrap();
    relay.pass_ms(12);
    for (status, code) in [("100 Trying", 100), ("200 OK", 200), ("404 Not Found", 404)] {
        assert_eq!(relay.send(A, reply(&text, status)).dropped(), Reason::ProbeReply);
        assert_eq!(relay.probe_answer(), Some(answer(42, code, 12)));
        assert_eq!(relay.heard(), None);
    }
    let retry = reply(&text, "503 Busy").replace("CSeq:", "Retry-After: 5\r\nCSeq:");
    relay.send(A, retry).dropped();
    assert_eq!(relay.probe_answer().unwrap().retry_after_s, Some(5));
    // On any worker, and in another spelling.
    let upper = reply(&text, "200 OK");
    let via = sent(&text).rows("Via")[0].clone();
    let (start, own) = via.split_once(";sw=").unwrap();
    let upper =
        upper.replace(&via, &format!("{start};received=192.0.2.1;SW={}", own.to_uppercase()));
    assert_eq!(relay.send_to(1, 0, A, upper.as_bytes()).dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer(), Some(answer(42, 200, 12)));
}

#[test]
fn a_reply_from_elsewhere_counts_and_says_where() {
    let mut relay = relay();
    relay.snapshot.policy.allow = prefixes("203.0.113.0/24");
    let text = write(&relay, &REQUEST).unwrap();
    let from = "10.0.0.9:9999";
    assert_eq!(relay.send(from, reply(&text, "200 OK")).dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer().unwrap().source.to_string(), from);
    let own = sent(&text).rows("Via")[0].clone();
    let forged = reply(&text, "200 OK").replace(&own[own.len() - 4..], "0000");
    assert_eq!(relay.send(from, forged).dropped(), Reason::NotAllowed);
}

#[test]
fn a_server_that_drops_the_parameter() {
    let mut relay = relay();
    let text = write(&relay, &REQUEST).unwrap();
    let own = sent(&text).rows("Via")[0].clone();
    let (short, _) = own.split_once(";sw=").unwrap();
    relay.pass_ms(7);
    let lossy = reply(&text, "200 OK").replace(&own, short);
    assert_eq!(relay.send(A, &lossy).dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer(), Some(answer(42, 200, 7)));
    let upper = lossy.replace("tag=swp", "tag=SWP");
    assert_eq!(relay.send(A, upper).dropped(), Reason::ProbeReply);
    for (says, forged, reason) in [
        ("another number", lossy.replace("swp0000002a", "swp0000002b"), Reason::ForgedVia),
        ("another time", lossy.replace("3b9aca00", "3b9aca01"), Reason::ForgedVia),
        ("no number", lossy.replace("swp0000002a", "swp0000002"), Reason::NoNextVia),
        ("another tag", lossy.replace("tag=swp", "tag=xwp"), Reason::NoNextVia),
    ] {
        assert_eq!(relay.send(A, forged).dropped(), reason, "{says}");
        assert_eq!(relay.probe_answer(), None, "{says}");
    }
}

#[test]
fn a_forged_reply_is_dropped() {
    let mut relay = relay();
    let text = write(&relay, &REQUEST).unwrap();
    let other = write(&relay, &ProbeRequest { number: 43, ..REQUEST }).unwrap();
    let (via, other_via) =
        (sent(&text).rows("Via")[0].clone(), sent(&other).rows("Via")[0].clone());
    let good = reply(&text, "200 OK");
    let (start, own) = via.split_once(";sw=").unwrap();
    let digit = |at: usize| {
        let mut own = own.to_owned().into_bytes();
        own[at] = if own[at] == b'5' { b'6' } else { b'5' };
        good.replace(&via, &format!("{start};sw={}", String::from_utf8(own).unwrap()))
    };
    let rows = [
        ("its number", digit(28), Reason::ForgedVia),
        ("its own tag", digit(32), Reason::ForgedVia),
        ("its tag", digit(own.len() - 1), Reason::ForgedVia),
        ("the Via of another probe", good.replace(&via, &other_via), Reason::ForgedVia),
        ("another call", good.replace("Call-ID: ", "Call-ID: x"), Reason::ForgedVia),
        ("another From tag", good.replace("tag=swp", "tag=swq"), Reason::ForgedVia),
        ("another branch", good.replace("z9hG4bK", "z9hG4bKx"), Reason::ForgedVia),
        ("not our name", good.replace("UDP 192.0.2.1", "UDP 192.0.2.9"), Reason::ForeignVia),
        ("no CSeq", good.replace("CSeq:", "X:"), Reason::MalformedResponse),
    ];
    for (says, forged, reason) in rows {
        assert_ne!(forged, good, "{says}");
        assert_eq!(relay.send(A, forged).dropped(), reason, "{says}");
        assert_eq!(relay.probe_answer(), None, "{says}");
    }
}

#[test]
fn a_probe_cannot_be_made_a_relayed_request() {
    let mut relay = relay();
    let text = write(&relay, &REQUEST).unwrap();
    // With a second Via it would go there, if its Via said that it was relayed.
    let longer = reply(&text, "200 OK")
        .replace("From:", "Via: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bK1\r\nFrom:");
    assert_eq!(relay.send(A, longer).dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer(), Some(answer(42, 200, 0)));
}

#[test]
fn replies_to_the_probes_of_an_earlier_process_tell_nothing() {
    let before = relay();
    let text = write(&before, &REQUEST).unwrap();
    let mut relay = Relay::made_of(listeners(&[US]), 2, &["sip:10.0.0.1:5060"]);
    assert_eq!(relay.send(A, reply(&text, "200 OK")).dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer(), None);
    let own = sent(&text).rows("Via")[0].clone();
    let (short, _) = own.split_once(";sw=").unwrap();
    let lossy = reply(&text, "200 OK").replace(&own, short);
    assert_eq!(relay.send(A, lossy).dropped(), Reason::ForgedVia);
    let mut stranger = Relay::with_keys(listeners(&[US]), keys(&[2]), 1, &["sip:10.0.0.1:5060"]);
    assert_eq!(stranger.send(A, reply(&text, "200 OK")).dropped(), Reason::ForgedVia);
}

#[test]
fn ages_survive_the_wrap_of_32_bits() {
    let mut relay = relay();
    relay.now = Now::from_ms((1 << 32) - 5);
    let text = write(&relay, &REQUEST).unwrap();
    relay.pass_ms(12);
    relay.send(A, reply(&text, "200 OK")).dropped();
    assert_eq!(relay.probe_answer(), Some(answer(42, 200, 12)));
}

#[test]
fn over_ipv6_and_from_the_second_listener() {
    let mut relay = Relay::listening(&[US, "[2001:db8::1]:5060"], &["sip:[2001:db8::a]:5060"]);
    let request =
        ProbeRequest { uri: "sip:[2001:db8::a]:5060", listener: ListenerId(1), ..REQUEST };
    let text = write(&relay, &request).unwrap();
    assert!(text.contains("\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch="));
    let from = "[2001:db8::a]:5060";
    let outcome = relay.send_to(0, 1, from, reply(&text, "200 OK").as_bytes());
    assert_eq!(outcome.dropped(), Reason::ProbeReply);
    assert_eq!(relay.probe_answer().unwrap().number, 42);
}
