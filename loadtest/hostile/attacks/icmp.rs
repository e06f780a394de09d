//! ICMP errors sent to the relay: from hosts that it really sent to, and forged ones with and
//! without a correct quote.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use super::super::arena::{RELAY, SERVERS, STRANGER};
use super::super::harness::raw;
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::texts::{in_dialog, request};

const PACKETS: u64 = 500_000;
const MUST: &str = "calls go on, no destination is lost";

/// Type and code, and the second word: next-hop MTU, or a gateway for redirects.
const ERRORS: &[(u8, u8, u32)] = &[
    (3, 0, 0),
    (3, 1, 0),
    (3, 2, 0),
    (3, 3, 0),
    (3, 5, 0),
    (3, 9, 0),
    (3, 10, 0),
    (3, 13, 0),
    (4, 0, 0),
    (5, 1, 0xcb00_7102),
    (11, 0, 0),
    (11, 1, 0),
    (12, 0, 0),
];

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let count = stage.count(PACKETS);
    let received = stage.subject.network("Icmp", "InDestUnreachs")?;

    // The world's hosts are not there to take answers, and say so.
    stage.flood().datagrams(
        count / 10,
        |n| {
            let from = SocketAddrV4::new(Ipv4Addr::from(0x0a01_0000 + n as u32 % 60_000), 5060);
            (from, in_dialog("BYE", "sip:b@x.example", from, n, "Max-Forwards: 70\r\n"))
        },
        RELAY,
    )?;
    stage.settle()?;
    let real = stage.subject.network("Icmp", "InDestUnreachs")? - received;
    rows.push(Row::new("real port unreachables", MUST, format!("{real} came"), real > 0));

    let mut random = Random::new(11);
    let mut flood = stage.flood();
    flood.rate = 0;
    flood.send(count, |n, packet| {
        let (kind, code, rest) = ERRORS[n as usize % ERRORS.len()];
        let quote = random.bytes(8 + n as usize % 500);
        raw::icmp(packet, *random.source().ip(), *RELAY.ip(), (kind, code), rest, &quote);
    })?;
    let figure = format!("{count} at full rate");
    rows.push(Row::new("forged, random quotes", MUST, figure, None));

    let quotes: Vec<Vec<u8>> = SERVERS
        .map(|server| raw::quote(RELAY, server, b"INVITE sip:service@192.0.2.1:5060 SIP/2.0\r\n"))
        .to_vec();
    flood.send(count, |n, packet| {
        let (kind, code, rest) = ERRORS[n as usize % ERRORS.len()];
        let server = n as usize % SERVERS.len();
        let from = if n % 3 == 0 { *SERVERS[server].ip() } else { *random.source().ip() };
        raw::icmp(packet, from, *RELAY.ip(), (kind, code), rest, &quotes[server]);
    })?;
    let figure = format!("{count} at full rate");
    rows.push(Row::new("forged, quotes of true messages", MUST, figure, None));

    // After "fragmentation needed" a large message still arrives, in however many pieces.
    flood.send(count / 10, |n, packet| {
        let server = n as usize % SERVERS.len();
        let mtu = [0, 68, 296, 552][n as usize % 4];
        raw::icmp(packet, *random.source().ip(), *RELAY.ip(), (3, 4), mtu, &quotes[server]);
    })?;
    let pieces = stage.subject.network("Ip", "FragCreates")?;
    stage.servers.record();
    let socket = stage.arena.world.enter(|| UdpSocket::bind(STRANGER))?;
    let hops = format!("Max-Forwards: 70\r\nX-Fill: {}\r\n", "x".repeat(1_200));
    for number in 0..100 {
        let invite = request("INVITE", "sip:bob@example.net", STRANGER, number, &hops);
        socket.send_to(&invite, RELAY)?;
    }
    stage.settle()?;
    let arrived = stage.servers.recorded().iter().filter(|m| m.len() > 1_200).count();
    let pieces = stage.subject.network("Ip", "FragCreates")? - pieces;
    let figure = format!("{arrived} of 100 INVITEs of 1.5 KB arrive, in {pieces} pieces");
    let must = "all arrive";
    rows.push(Row::new("forged \"fragmentation needed\"", must, figure, arrived == 100));
    Ok(rows)
}
