//! Other networks: IPv6, and a relay between two networks.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::harness::netns::Namespace;
use crate::harness::sipp::{Running, in_turn, list};
use crate::harness::{Relay, Sipp, loopback};

#[test]
fn ipv6() {
    let servers: Vec<Running> = (1..=2)
        .map(|n| {
            Sipp::scenario("uas_dialog").named(&format!("ms{n}")).at(loopback::fresh_v6()).serve()
        })
        .collect();
    let relay =
        Relay::with_list(&list(&servers)).listen("[::1]:0".parse().expect("an address")).start();

    let caller = Sipp::scenario("uac_dialog")
        .at(loopback::fresh_v6())
        .calls_in_turn(relay.address(), 6)
        .run();

    caller.assert_all_succeeded(6);
    assert_eq!(caller.taken_by(), in_turn(2, 6));
    for server in servers {
        server.stop().assert_all_succeeded(3);
    }
    relay.stop().assert(&[("chosen", 6), ("token", 6 * 9)]);
}

/// The caller and the servers have no way to each other but the relay, so every message that
/// arrives has been given an address that its receiver can reach.
#[test]
fn between_two_networks() {
    let [outside, middle, inside] = ["outside", "relay", "inside"].map(Namespace::new);
    Namespace::join([(&outside, "to-relay", "192.0.2.2/24"), (&middle, "outside", "192.0.2.1/24")]);
    Namespace::join([
        (&inside, "to-relay", "198.51.100.2/24"),
        (&middle, "inside", "198.51.100.1/24"),
    ]);
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let servers: Vec<Running> = [(1, "198.51.100.2:5071"), (2, "198.51.100.2:5072")]
        .into_iter()
        .map(|(n, at)| {
            Sipp::scenario("uas_dialog")
                .named(&format!("ms{n}"))
                .inside(&inside)
                .at(address(at))
                .serve()
        })
        .collect();
    let text = list(&servers).replace(" 0 0\n", " 0 0 socket=udp:198.51.100.1:5060\n");
    let relay = Relay::with_list(&text)
        .inside(&middle)
        .listen(address("192.0.2.1:5060"))
        .listen(address("198.51.100.1:5060"))
        .start();

    let caller = Sipp::scenario("uac_dialog")
        .inside(&outside)
        .at(address("192.0.2.2:5080"))
        .calls_in_turn(relay.address(), 6)
        .run();

    caller.assert_all_succeeded(6);
    assert_eq!(caller.taken_by(), in_turn(2, 6));
    for server in servers {
        let outcome = server.stop();
        outcome.assert_all_succeeded(3);
        for header in outcome.headers("INVITE ") {
            if header.contains("Supported: 100rel") {
                assert_two_record_routes(header);
            }
        }
    }
    relay.stop().assert(&[("chosen", 6), ("token", 6 * 9)]);
}

/// The way out on top, the way in below it, and one token in both.
fn assert_two_record_routes(header: &str) {
    let routes: Vec<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("Record-Route:"))
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    assert_eq!(routes.len(), 2, "{header}");
    assert!(routes[0].contains("@198.51.100.1:5060"), "{routes:?}");
    assert!(routes[1].contains("@192.0.2.1:5060"), "{routes:?}");
    let tokens: BTreeSet<_> =
        routes.iter().filter_map(|r| r.split_once('@')).map(|(t, _)| t).collect();
    assert_eq!(tokens.len(), 1, "{routes:?}");
}
