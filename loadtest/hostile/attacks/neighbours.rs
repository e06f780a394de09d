//! Forged sources on the relay's own network that do not exist: messages to them wait in the kernel
//! for a neighbour that never answers, and count against the send buffer of the relay's socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::arena::RELAY;
use super::super::stage::{Row, Stage};
use super::texts::in_dialog;

const PACKETS: u64 = 100_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let count = stage.count(PACKETS).max(20_000);
    let mut rows = Vec::new();
    for hosts in [1, 100] {
        let mut flood = stage.flood();
        // Four seconds, in which a neighbour is given up and asked for again.
        flood.rate = count / 4;
        flood.datagrams(
            count,
            |n| {
                let ip = Ipv4Addr::new(192, 0, 2, 100 + (n % hosts) as u8);
                let from = SocketAddrV4::new(ip, 5060);
                (from, in_dialog("BYE", "sip:b@x.example", from, n, "Max-Forwards: 70\r\n"))
            },
            RELAY,
        )?;
        stage.settle()?;
        let what = format!("answers to {hosts} that nobody has");
        rows.push(Row::new(what, "calls go on", format!("{count} at {}/s", flood.rate), None));
    }
    Ok(rows)
}
