//! ICMP errors, which anybody can forge: they must not lose a call, take a destination out of use,
//! or make the relay fragment a message.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::harness::netns::Namespace;
use crate::harness::{Relay, Sipp, raw};

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5060);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5070);
const CALLER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5080);

#[test]
fn forged_errors_stop_no_call_and_cut_no_message() {
    let [relays, others] = ["relay", "others"].map(Namespace::new);
    Namespace::join([(&relays, "others", "192.0.2.1/24"), (&others, "relay", "192.0.2.2/24")]);
    let server = Sipp::scenario("uas_call").named("ms1").inside(&others).at(SERVER.into()).serve();
    // Never probed (32): the server knows no other request than those of calls.
    let list = format!("1 sip:{SERVER} 32\n");
    let relay = Relay::with_list(&list).inside(&relays).listen(RELAY.into()).start();
    let attacker = others.enter(raw::sender);
    let storm = |count: usize| {
        let mut packet = Vec::new();
        for to in [SERVER, CALLER] {
            let quote = raw::quote(RELAY, to, b"INVITE sip:service@192.0.2.1:5060 SIP/2.0\r\n");
            for n in 0..count {
                // Every kind of unreachable, "fragmentation needed" for 552 bytes among them.
                let (kind, code) = [(3, (n % 16) as u8), (4, 0), (11, 0), (12, 0)][n % 4];
                let quote = if n % 5 == 0 { &quote[..28] } else { &quote[..] };
                let from = Ipv4Addr::new(192, 0, 2, 2 + (n % 200) as u8);
                raw::icmp(&mut packet, from, *RELAY.ip(), (kind, code), 552, quote);
                raw::send(&attacker, &packet);
                raw::icmp(&mut packet, from, *RELAY.ip(), (3, 4), 552, quote);
                raw::send(&attacker, &packet);
            }
        }
    };

    storm(500);
    let pieces = pieces_sent(&relays);
    let caller = Sipp::scenario("uac_call")
        .inside(&others)
        .at(SocketAddr::from(CALLER))
        .with(&["-d", "300"])
        .calls(relay.address(), 30, 20)
        .start();
    storm(2_000);

    let caller = caller.wait();
    caller.assert_all_succeeded(30);
    server.stop().assert_all_succeeded(30);
    // What the relay forwards is longer than 552 bytes, and the link takes 1,500.
    let longest = caller.headers("INVITE ").iter().map(|header| header.len()).max();
    assert!(longest > Some(300), "an INVITE that the relay makes longer than 552");
    assert_eq!(pieces_sent(&relays) - pieces, 0, "fragments");
    let summary = relay.stop();
    summary.assert(&[("chosen", 30), ("dropped", 0), ("answered", 0), ("receive_failed", 0)]);
    // Nothing that is forged proves anything.
    summary.assert(&[("icmp.proven", 0), ("worker_restarts", 0)]);
    assert!(summary.get("icmp.unproven") > 100, "those for the server's address");
    assert!(summary.get("icmp.other") > 100, "those for the caller's address");
    for why in ["refused", "unreachable", "too_long", "not_permitted", "other"] {
        summary.assert(&[(&format!("send_failed.{why}"), 0)]);
    }
}

/// Fragments that the hosts of this namespace made so far.
fn pieces_sent(namespace: &Namespace) -> u64 {
    let table = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
    let table = table.expect("the kernel's counters");
    let mut rows = table.lines().filter(|line| line.starts_with("Ip: "));
    let names = rows.next().expect("names").split_whitespace();
    let mut values = rows.next().expect("values").split_whitespace();
    let place = names.into_iter().position(|name| name == "FragCreates").expect("a counter");
    values.nth(place).and_then(|value| value.parse().ok()).expect("a number")
}
