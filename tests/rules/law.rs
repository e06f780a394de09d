//! What holds for every datagram, however broken: `tests/oracle/law.rs` on the worst of them.

use strowger::proxy::{Answer, Verdict};

use crate::messages::{CALLER, invite};
use crate::relay::Relay;

/// Sends it: the law is asserted of everything that a relay gets. It goes to nobody but the
/// destination, the caller and his port of the moment.
fn send(relay: &mut Relay, bytes: &[u8]) {
    if let Some(sent) = relay.send(CALLER, bytes).sent {
        let to = sent.to.to_string();
        let is_neighbour = to == "10.0.0.1:5060" || sent.to.ip().to_string() == "198.51.100.7";
        assert!(is_neighbour, "sent to the bystander {to}");
    }
}

#[test]
fn sixty_four_kilobytes_of_anything() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let fill = |head: &str, unit: &str, tail: &str| {
        let count = (65_507 - head.len() - tail.len()) / unit.len();
        format!("{head}{}{tail}", unit.repeat(count)).into_bytes()
    };
    let head = "INVITE sip:a@b SIP/2.0\r\n";
    let rest = "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:b@c>\r\n\
                Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    let full = format!("{head}{rest}");
    let messages = [
        vec![0; 65_507],
        vec![b'A'; 65_507],
        vec![b'\r'; 65_507],
        vec![b'\n'; 65_507],
        fill("", "\r\n", ""),
        fill("", "SIP/2.0 ", ""),
        fill(head, "Via: SIP/2.0/UDP h\r\n", rest),
        fill(&full[..full.len() - 2], "Route: <sip:192.0.2.1;lr>\r\n", "\r\n"),
        fill(&full[..full.len() - 2], "Route: <sip:203.0.113.66;lr>\r\n", "\r\n"),
        fill(&full[..full.len() - 4], ", <sip:x>", "\r\n\r\n"),
        fill(head, "a:\r\n", rest),
        fill(head, " ", rest),
        fill("INVITE sip:", "a", &full["INVITE sip:a".len()..]),
        fill("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h", ";x", &format!("\r\n{rest}")),
        fill("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h", ",", &format!("\r\n{rest}")),
        fill(&format!("{head}To: "), "\"\\", &format!("\r\n{rest}")),
    ];
    for message in messages {
        send(&mut relay, &message);
    }
}

#[test]
fn two_relays_that_point_at_each_other_end_a_message() {
    let mut one = Relay::listening(&["192.0.2.1:5060"], &["sip:192.0.2.2:5060"]);
    let mut two = Relay::listening(&["192.0.2.2:5060"], &["sip:192.0.2.1:5060"]);
    // Each would refuse what comes from its destination, so let the ring consist of unknown hosts.
    let mut message = one.send(CALLER, invite("ring")).forwarded();
    let mut hops = 1;
    loop {
        hops += 1;
        assert!(hops <= 71);
        let (relay, from) = if hops % 2 == 0 {
            (&mut two, "192.0.2.99:5060")
        } else {
            (&mut one, "192.0.2.98:5060")
        };
        let outcome = relay.send(from, &message.bytes);
        match outcome.verdict {
            Verdict::Forwarded(_) => message = outcome.sent.unwrap(),
            Verdict::Answered(Answer::TooManyHops) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(hops, 71);
    assert_eq!(two.send("192.0.2.1:5060", invite("direct")).answer(), "SIP/2.0 403 Forbidden");
}
