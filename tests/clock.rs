//! Clocks that misbehave: right after the machine boots, back by a few milliseconds between two
//! workers (each reads the clock itself), and ahead by minutes after a pause.

#[path = "../bench/cases.rs"]
#[allow(dead_code, reason = "only the core is used")]
mod cases;
#[path = "../bench/messages.rs"]
mod messages;
#[path = "../bench/world.rs"]
mod world;

use std::net::SocketAddr;

use cases::Core;
use strowger::proxy::{Forwarded, Verdict};

#[test]
fn calls_begin_repeat_and_go_on_whatever_the_clock_does() {
    let caller = SocketAddr::from(([198, 51, 100, 7], 5060));
    let mut core = Core::new(2, 0);
    let mut invite = messages::invite(caller);
    let mut number = 0;
    let forwarded = |how| Verdict::Forwarded(how);
    // Boot, small steps back, an hour ahead and back, the 32-bit edge of the time in our Via.
    let moments =
        [0, 1, 0, 4_000, 3_996, 3_600_000, 3_599_990, 5_000, u64::from(u32::MAX), 1 << 32];
    for (before, now) in moments.into_iter().zip(moments.into_iter().skip(1)) {
        number += 1;
        invite.number(number);
        core.set_ms(before);
        let says = format!("at {before}, then at {now}");
        assert_eq!(core.datagram(caller, invite.bytes()), forwarded(Forwarded::Chosen), "{says}");
        let (server, sent) = core.sent();
        let ok = messages::response(sent, "200 OK");
        // The other worker's clock: a copy goes where the first one went, or, when its pin has
        // expired meanwhile, is a call of its own; an answer and what follows need no clock.
        core.set_ms(now);
        let is_young = now.abs_diff(before) < 30_000;
        let copy = if is_young { Forwarded::Pinned } else { Forwarded::Chosen };
        if is_young || now > before {
            assert_eq!(core.datagram(caller, invite.bytes()), forwarded(copy), "{says}");
            let (again, _) = core.sent();
            assert!(again == server || !is_young, "{says}");
        }
        assert_eq!(core.datagram(server, &ok), forwarded(Forwarded::Response), "{says}");
        let bye = messages::in_dialog("BYE", 2, caller, core.sent().1);
        assert_eq!(core.datagram(caller, bye.bytes()), forwarded(Forwarded::Token), "{says}");
        assert_eq!(core.sent().0, server, "{says}");
    }
}
