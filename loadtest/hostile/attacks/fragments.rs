//! First fragments of datagrams whose rest never arrives. They fill the kernel's memory for
//! reassembly, which large INVITEs need, too. No relay can do anything about it; the machine's
//! settings can.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::super::arena::{CALLER, RELAY, set};
use super::super::flood::Flood;
use super::super::harness::raw;
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::texts::request;

const PACKETS: u64 = 200_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    stage.arena.mtu(1_500);
    stage.servers.be_silent(true);
    let calm = large_invites(stage, 0)?;
    let usual = flooded(stage, 1)?;
    // What tuning/README.md advises.
    set(&stage.arena.relay, "ipv4/ipfrag_time", "2");
    set(&stage.arena.relay, "ipv4/ipfrag_high_thresh", "268435456");
    let tuned = flooded(stage, 2)?;
    let row = |what: &str, must, arrived: u64, holds: Option<bool>| {
        Row::new(what, must, format!("{arrived} of {INVITES} arrive"), holds)
    };
    Ok(vec![
        row("INVITEs of 4 KB, no flood", "all arrive", calm, Some(calm == INVITES)),
        row("INVITEs of 4 KB, the kernel's defaults", "", usual, None),
        row("INVITEs of 4 KB, tuned", "all arrive", tuned, Some(tuned == INVITES)),
    ])
}

const INVITES: u64 = 100;

fn flooded(stage: &Stage, round: u64) -> io::Result<u64> {
    let count = stage.count(PACKETS);
    let (world, rate) = (&stage.arena.world, stage.effort.rate);
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut flood = Flood::new(world, RELAY, rate);
            let mut random = Random::new(12 + round);
            let payload = random.bytes(1_400 / 8 * 8);
            flood.send(count, |n, packet| {
                raw::udp(packet, random.source(), RELAY, &payload);
                say_more_follows(packet, n as u16);
            })
        });
        // Once the memory is full.
        thread::sleep(Duration::from_millis(300));
        let arrived = large_invites(stage, round);
        sender.join().expect("it does not panic")?;
        arrived
    })
}

/// Makes a whole datagram the first fragment of a longer one.
fn say_more_follows(packet: &mut [u8], number: u16) {
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    packet[6..8].copy_from_slice(&0x2000_u16.to_be_bytes());
    packet[24..26].copy_from_slice(&9_000_u16.to_be_bytes());
}

/// Sends large INVITEs from the caller's network, and says how many arrive.
fn large_invites(stage: &Stage, round: u64) -> io::Result<u64> {
    let socket = stage.arena.caller.enter(|| UdpSocket::bind((*CALLER.ip(), 0)))?;
    let rows = format!("Max-Forwards: 70\r\nX-Fill: {}\r\n", "x".repeat(3_500));
    let before = stage.servers.strangers();
    for number in 0..INVITES {
        let number = round * INVITES + number;
        let invite = request("INVITE", "sip:bob@example.net", CALLER, number, &rows);
        socket.send_to(&invite, RELAY)?;
        thread::sleep(Duration::from_millis(3));
    }
    let end = Instant::now() + Duration::from_secs(1);
    while stage.servers.strangers() - before < INVITES && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(stage.servers.strangers() - before)
}
