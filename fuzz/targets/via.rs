//! Via, From, To, Call-ID, Route and Request-URI with any content: if a request with such a field
//! is accepted, it can be retransmitted and cancelled, its response reaches the caller, and its
//! dialog works.
//!
//! An input contains these six, separated by zero bytes; an empty one has its usual value.

use strowger::proxy::{Forwarded, ListenerId, Verdict};

use super::call::{Call, Says};
use super::core::seed_of;
use super::relay::{Relay, Way};
use super::world::LISTS;
use crate::oracle::server::Habits;

pub(crate) fn run(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let mut next = |usual: &'static [u8]| -> Vec<u8> {
        parts.next().filter(|part| !part.is_empty()).unwrap_or(usual).to_vec()
    };
    let via = next(b"SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-1");
    let from = next(b"<sip:alice@example.org>;tag=a");
    let to = next(b"<sip:bob@example.com>");
    let call_id = next(b"call");
    let route = next(b"");
    let uri = next(b"sip:bob@example.com");
    let route = if route.is_empty() { route } else { [b"Route: ", &*route, b"\r\n"].concat() };
    let request = [
        b"INVITE ",
        &*uri,
        b" SIP/2.0\r\nVia: ",
        &via,
        b"\r\n",
        &route,
        b"From: ",
        &from,
        b"\r\nTo: ",
        &to,
        b"\r\nCall-ID: ",
        &call_id,
        b"\r\nCSeq: 1 INVITE\r\n\r\n",
    ]
    .concat();
    if request.len() > 60_000 {
        return;
    }
    let mut relay = Relay::new(seed_of(input), 512);
    relay.load(LISTS[0]);
    let peer = "198.51.100.7:5062".parse().unwrap();
    // Each byte of the input has a part in which listener and which habits.
    let choice = seed_of(input);
    let listener = ListenerId(u16::from(choice & 1 == 1));
    let way = Way { worker: 0, listener, peer };
    let outcome = relay.send(way, &request);
    let (Verdict::Forwarded(how), Some(sent)) = (outcome.verdict, outcome.sent) else {
        return;
    };
    let call = Call::new(&relay, way, request, sent, how, 0);
    let habits = Habits {
        joins_vias: choice & 2 != 0,
        shouts: choice & 4 != 0,
        drops_parameter: choice & 0x18 == 0x18,
        adds_received: choice & 32 != 0,
        vias_last: choice & 64 != 0,
    };
    call.repeat(&mut relay, 1, 0);
    call.answer(&mut relay, 0, "180 Ringing", habits);
    call.follow(&mut relay, 1, "CANCEL", 0);
    call.follow(&mut relay, 0, "ACK", 0);
    if how == Forwarded::Chosen {
        for is_callee in [false, true] {
            let by_a_strict_router = choice & 128 != 0;
            call.go_on(
                &mut relay,
                1,
                "BYE",
                Says { is_callee, by_a_strict_router, ..Says::default() },
            );
        }
    }
}
