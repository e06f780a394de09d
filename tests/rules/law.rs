//! What holds for every datagram, however broken.

use proptest::prelude::*;

use strowger::proxy::{Answer, Verdict};

use crate::messages::{CALLER, invite, response};
use crate::relay::Relay;
use crate::torture::all_messages;

/// Sends it and asserts the law: one verdict and at most one message, to the destination, the
/// sender's address or the caller in a token, and hardly longer than the datagram.
fn assert_law(relay: &mut Relay, bytes: &[u8]) {
    let outcome = relay.send(CALLER, bytes);
    if let Some(sent) = outcome.sent {
        let to = sent.to.to_string();
        let is_neighbour = to == "10.0.0.1:5060" || sent.to.ip().to_string() == "198.51.100.7";
        assert!(is_neighbour, "sent to the bystander {to}");
        let is_answer = matches!(outcome.verdict, Verdict::Answered(_));
        let len_max = bytes.len() + if is_answer { bytes.len() / 8 } else { 600 };
        assert!(sent.bytes.len() <= len_max, "{} bytes of {}", sent.bytes.len(), bytes.len());
    }
}

#[test]
fn truncation_at_every_length() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("cut")).forwarded();
    let mut messages = all_messages();
    messages.push(response(&sent, "200 OK", "b").into_bytes());
    for message in messages {
        for len in 0..message.len() {
            assert_law(&mut relay, &message[..len]);
        }
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
        assert_law(&mut relay, &message);
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

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let bases = {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = relay.send(CALLER, invite("base")).forwarded();
        let mut bases = all_messages();
        bases.push(response(&sent, "200 OK", "b").into_bytes());
        bases.push(sent.bytes);
        bases
    };
    let edit = (any::<prop::sample::Index>(), 0..6u8, prop::sample::select(DICTIONARY));
    (prop::sample::select(bases), prop::collection::vec(edit, 1..6)).prop_map(
        |(mut bytes, edits)| {
            for (at, kind, word) in edits {
                let at = at.index(bytes.len() + 1);
                match kind {
                    0 => bytes.truncate(at),
                    1 => drop(bytes.drain(at..(at + word.len()).min(bytes.len()))),
                    2 if at < bytes.len() => bytes[at] ^= 1 << (word.len() % 8),
                    3 => {
                        let copy: Vec<u8> = bytes[at..].iter().copied().take(80).collect();
                        bytes.splice(at..at, copy);
                    }
                    _ => drop(bytes.splice(at..at, word.bytes())),
                }
            }
            bytes
        },
    )
}

const DICTIONARY: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\r\n ",
    " ",
    "\t",
    ",",
    ";",
    "\"",
    "<",
    ">",
    "@",
    ":",
    "[",
    "]",
    "%",
    "%00",
    "\0",
    "\\",
    "=",
    "?",
    "Via: ",
    "v:",
    "Route: <sip:203.0.113.66;lr>\r\n",
    "Content-Length: 99\r\n",
    ";tag=",
    ";rport",
    ";received=",
    "SIP/2.0",
    "ACK ",
    "CANCEL ",
    "99999999999",
    "0",
    "z9hG4bK",
    "sip:",
    "To: <sip:x@y>;tag=z\r\n",
    ";sw=",
    ";branch=",
];

fn shared_relay(bytes: &[u8]) {
    thread_local! {
        static RELAY: std::cell::RefCell<Relay> = std::cell::RefCell::new(Relay::new(&["sip:10.0.0.1:5060"]));
    }
    RELAY.with_borrow_mut(|relay| assert_law(relay, bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn mutations_keep_the_law(bytes in mutated()) {
        shared_relay(&bytes);
    }

    #[test]
    fn noise_keeps_the_law(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        shared_relay(&bytes);
    }
}
