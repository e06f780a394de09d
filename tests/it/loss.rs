//! A network that loses packets: retransmissions heal it, and follow what they repeat.

use crate::harness::sipp::{list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn calls_complete_although_one_packet_in_twenty_is_lost() {
    let servers: Vec<_> = servers_that_lose(3);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_call")
        .calls(relay.address(), 150, 100)
        .with(&["-lost", "5", "-max_retrans", "8"])
        .run();

    caller.assert_all_succeeded(150);
    caller.assert_stayed(150);
    assert!(caller.retransmissions > 0, "nothing was lost");
    for server in servers {
        // A call that went to two destinations would be counted by both.
        let outcome = server.stop();
        assert_eq!(
            (outcome.created, outcome.failed),
            (50, 0),
            "{}",
            outcome.errors
        );
    }
    relay.stop().assert(&[("chosen", 150)]);
}

fn servers_that_lose(count: usize) -> Vec<crate::harness::sipp::Running> {
    (1..=count)
        .map(|n| {
            Sipp::scenario("uas_patient")
                .named(&format!("ms{n}"))
                .with(&["-lost", "5", "-max_retrans", "8"])
                .serve()
        })
        .collect()
}

/// The law of shares holds for calls that are repeated, too: a copy never takes a turn.
#[test]
fn copies_take_no_turn() {
    let servers = servers("uas_patient", 2);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_call")
        .calls_in_turn(relay.address(), 6)
        .with(&["-lost", "20", "-max_retrans", "8"])
        .run();

    caller.assert_all_succeeded(6);
    for server in servers {
        assert_eq!(server.stop().created, 3);
    }
    relay.stop().assert(&[("chosen", 6)]);
}
