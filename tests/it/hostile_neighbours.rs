//! Forged sources on the relay's own network that do not exist: answers to them wait in the kernel
//! for a missing neighbour, and must not keep anything else from being sent.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::harness::netns::Namespace;
use crate::harness::sipp::list;
use crate::harness::{Relay, Sipp, raw};

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5060);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5070);
const CALLER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 5080);

#[test]
fn answers_to_nobody_hold_up_no_call() {
    let [relays, others] = ["relay", "others"].map(Namespace::new);
    Namespace::join([(&relays, "others", "192.0.2.1/24"), (&others, "relay", "192.0.2.2/24")]);
    let server = Sipp::scenario("uas_call").named("ms1").inside(&others).at(SERVER.into()).serve();
    let relay =
        Relay::with_list(&list([&server])).inside(&relays).listen(RELAY.into()).workers(1).start();
    let attacker = others.enter(raw::sender);
    let caller = Sipp::scenario("uac_call")
        .inside(&others)
        .at(SocketAddr::from(CALLER))
        .with(&["-d", "300"])
        .calls(relay.address(), 30, 20)
        .start();

    // Some 300 answers to one neighbour are all that the kernel keeps, and as much as a usual send
    // buffer holds.
    let mut packet = Vec::new();
    for n in 0..2_000_u32 {
        let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100 + (n / 500) as u8), 5060);
        let bye = format!(
            "BYE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: {n}\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        raw::udp(&mut packet, from, RELAY, bye.as_bytes());
        raw::send(&attacker, &packet);
    }

    caller.wait().assert_all_succeeded(30);
    server.stop().assert_all_succeeded(30);
    let summary = relay.stop();
    summary.assert(&[("481", 2_000), ("sent.answer", 2_000), ("send_retried", 0)]);
    assert_eq!(summary.get("sent.forward"), summary.get("forwarded"));
}
