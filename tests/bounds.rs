//! Bounded work, as counts: every hostile message gets one verdict and at most one message sent, a
//! header has a limited number of lines and a value a limited number of parameters, and a full
//! table evicts exactly as many calls as it accepts.
//!
//! The time that the same messages cost is measured by `cargo bench --bench bounds`.

#[path = "../bench/cases.rs"]
#[allow(dead_code, reason = "only the core is used")]
mod cases;
#[path = "../bench/messages.rs"]
mod messages;
#[path = "../loadtest/bounds/shapes.rs"]
#[allow(dead_code, reason = "the search needs more")]
mod shapes;
#[path = "../bench/world.rs"]
mod world;

use cases::Core;
use messages::Template;
use shapes::{Dialog, SHAPES};
use strowger::limits::PAYLOAD_IPV4_MAX;
use strowger::proxy::{Answer, Forwarded, Verdict};

/// Bytes that a relay adds to a message at most: its Via, two Record-Routes, `received` and `rport`.
const ADDED_MAX: usize = 1_000;

#[test]
fn every_shape_comes_to_one_end_and_is_hardly_longer_when_it_leaves() {
    let mut core = Core::new(10, 0);
    let dialog = Dialog::begin(&mut core);
    for shape in SHAPES {
        for len in [2_000, 16_000, 65_000] {
            let (from, bytes) = shape.message(&dialog, len);
            assert!(
                bytes.len() <= len && bytes.len() + 200 > len,
                "{}: {}",
                shape.name,
                bytes.len()
            );
            match core.datagram(from, &bytes) {
                Verdict::Dropped(_) | Verdict::HandedOver(_) => {}
                Verdict::Forwarded(_) => {
                    let sent = core.sent().1.len();
                    assert!(sent <= bytes.len() + ADDED_MAX, "{}: {sent}", shape.name);
                    assert!(sent <= PAYLOAD_IPV4_MAX, "{}", shape.name);
                }
                Verdict::Answered(_) => {
                    let sent = core.sent().1.len();
                    assert!(sent <= bytes.len() + 200, "{}: {sent}", shape.name);
                }
            }
        }
    }
}

#[test]
fn a_header_has_an_end_of_lines() {
    // Its own lines are nine, the blank one included; what follows is a line each.
    for piece in ["a:b\r\n", "a:b\r\n c\r\n", "Via: SIP/2.0/UDP a\r\n", "a:b\r\n\tc\r\n d\r\n"] {
        let lines = piece.matches("\r\n").count();
        let most = (LINES_MAX - LINES_OF_INVITE) / lines;
        assert_eq!(end_of(&invite(&piece.repeat(most), "", "")), FORWARDED, "{piece:?}");
        assert_eq!(end_of(&invite(&piece.repeat(most + 1), "", "")), REFUSED, "{piece:?}");
    }
}

#[test]
fn a_value_has_an_end_of_parameters() {
    let parameters = |count: usize| ";a=b".repeat(count);
    // With the branch of the Via and the tag of From they are 256.
    for (via, from) in [(255, 0), (0, 255)] {
        assert_eq!(end_of(&invite("", &parameters(via), &parameters(from))), FORWARDED);
        let more = |count: usize| parameters(if count > 0 { count + 1 } else { 0 });
        assert_eq!(end_of(&invite("", &more(via), &more(from))), REFUSED);
    }
}

/// Nothing is lost in the table: what was put in is there or was thrown out, and counted. New calls
/// and requests in dialogs go on.
#[test]
fn a_full_table_throws_out_as_many_calls_as_it_takes_in() {
    let mut core = Core::new(10, 1_000);
    let from = std::net::SocketAddr::from(([198, 51, 100, 7], 5060));
    let mut invite: Template = messages::invite(from);
    invite.number(0);
    core.datagram(from, invite.bytes());
    let (server, forwarded) = core.sent();
    let ok = messages::response(forwarded, "200 OK");
    assert_eq!(core.datagram(server, &ok), Verdict::Forwarded(Forwarded::Response));
    let mut bye = messages::in_dialog("BYE", 2, from, core.sent().1);

    let (before, evicted_before) = (core.pins() as u64, core.evicted());
    let calls = 2 * core.capacity() as u64;
    for number in 1..=calls {
        invite.number(number);
        assert_eq!(core.datagram(from, invite.bytes()), Verdict::Forwarded(Forwarded::Chosen));
        if number % 100 == 0 {
            bye.number(number);
            assert_eq!(core.datagram(from, bye.bytes()), Verdict::Forwarded(Forwarded::Token));
        }
    }
    let evicted = core.evicted() - evicted_before;
    assert_eq!(core.pins() as u64 + evicted, before + calls);
    assert!(evicted > calls / 3, "{evicted} of {calls}");
}

const LINES_MAX: usize = 1_024;
const LINES_OF_INVITE: usize = 7;
const FORWARDED: Verdict = Verdict::Forwarded(Forwarded::Chosen);
const REFUSED: Verdict = Verdict::Answered(Answer::BadRequest);

fn end_of(invite: &str) -> Verdict {
    let mut core = Core::new(10, 0);
    core.datagram(std::net::SocketAddr::from(([198, 51, 100, 7], 5060)), invite.as_bytes())
}

fn invite(rows: &str, via: &str, from: &str) -> String {
    format!(
        "INVITE sip:b@192.0.2.200 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1{via}\r\n{rows}\
         Max-Forwards: 69\r\nFrom: <sip:a@example.org>;tag=1{from}\r\nTo: <sip:b@example.net>\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
}
