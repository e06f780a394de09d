//! One peer, with its own address, that sends new INVITEs as fast as it can.

use std::io;

use super::super::arena::{RELAY, STRANGER};
use super::super::harness::raw;
use super::super::stage::{Row, Stage};
use super::texts::request;

const PACKETS: u64 = 1_000_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    flood(stage, |n| n)
}

/// All of them to one worker, since the Call-ID says to which.
pub(super) fn run_one_call(stage: &mut Stage) -> io::Result<Vec<Row>> {
    flood(stage, |_| 1)
}

fn flood(stage: &mut Stage, call: impl Fn(u64) -> u64) -> io::Result<Vec<Row>> {
    stage.servers.be_silent(true);
    let count = stage.count(PACKETS);
    let lost = stage.subject.lost()?;
    let mut flood = stage.flood();
    flood.rate = 0;
    let rows = "Max-Forwards: 70\r\nContact: <sip:mallory@203.0.113.2>\r\n";
    flood.send(count, |n, packet| {
        let invite = request("INVITE", "sip:bob@example.net", STRANGER, call(n), rows);
        raw::udp(packet, STRANGER, RELAY, &invite);
    })?;
    stage.settle()?;
    let lost = stage.subject.lost()? - lost;
    let figure = format!("{} of {count}", count - lost);
    Ok(vec![Row::new("INVITEs read of those sent", "", figure, None)])
}
