//! Requests whose Via or source is not a single host: whatever the relay answers goes to the source
//! of the packet or nowhere (RFC 4475 §3.3.10).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::arena::{RELAY, STRANGER};
use super::super::stage::{Row, Stage};
use super::texts::in_dialog;

const PACKETS: u64 = 100_000;

const VIAS: &[&str] = &[
    "255.255.255.255",
    "255.255.255.255:5060",
    "203.0.113.255:5060",
    "224.0.0.1:5060",
    "239.1.2.3:5060",
    "0.0.0.0:5060",
    "192.0.2.1:5060",
    "192.0.2.1:5060;received=192.0.2.1;rport=5060",
    "127.0.0.1:5060",
    "localhost:5060",
    "[::]:5060",
    "[ff02::1]:5060",
    "203.0.113.2:0",
    "203.0.113.2:65536",
    "203.0.113.2:5060;maddr=255.255.255.255",
    "203.0.113.2:5060;maddr=198.18.0.66;ttl=255",
    "203.0.113.2:5060;received=198.18.0.66",
    "203.0.113.2:5060;received=198.18.0.66;rport=53",
];

/// All of these are stopped by the kernel on most machines.
const SOURCES: &[[u8; 4]] = &[
    [255, 255, 255, 255],
    [203, 0, 113, 255],
    [224, 0, 0, 1],
    // The raw socket would write another for 0.0.0.0.
    [0, 0, 0, 7],
    [127, 0, 0, 1],
    [192, 0, 2, 1],
    [203, 0, 113, 1],
];

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let count = stage.count(PACKETS);
    let refused =
        |n: u64, via: &str| in_dialog("BYE", "sip:b@x.example", via, n, "Max-Forwards: 70\r\n");
    stage.watch.reset();
    stage.flood().datagrams(
        count,
        |n| (STRANGER, refused(n, VIAS[n as usize % VIAS.len()])),
        RELAY,
    )?;
    stage.settle()?;
    let tally = stage.watch.tally();
    let elsewhere = tally.packets - tally.to(*STRANGER.ip());
    let figure = format!("{elsewhere} elsewhere, {} to it, of {count}", tally.packets - elsewhere);
    let holds = elsewhere == 0 && tally.packets <= count;
    let must = "only to the packet's source, <= 1 each";
    let mut rows = vec![Row::new("a Via that is no host", must, figure, holds)];

    stage.watch.reset();
    let sent_before = sent(stage)?;
    let from =
        |n: u64| SocketAddrV4::new(Ipv4Addr::from(SOURCES[n as usize % SOURCES.len()]), 5060);
    stage.flood().datagrams(count, |n| (from(n), refused(n, "203.0.113.2")), RELAY)?;
    // And with nothing but our own name, so that an answer would come back to us.
    let own = refused(0, "192.0.2.1:5060");
    stage.flood().datagrams(count / 10, |_| (RELAY, own.clone()), RELAY)?;
    stage.settle()?;
    let out = stage.watch.tally().packets;
    let after = sent(stage)?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let later = sent(stage)?;
    let figure = format!(
        "{out} of {} reach anybody; {} datagrams sent, {} more 0.5 s later",
        count + count / 10,
        after - sent_before,
        later - after
    );
    // The calls go on meanwhile: some 120 messages a second.
    let holds = out == 0 && later - after < 1_000;
    rows.push(Row::new("a source that is no host", "nothing sent, no loop", figure, holds));
    Ok(rows)
}

fn sent(stage: &Stage) -> io::Result<u64> {
    stage.subject.network("Udp", "OutDatagrams")
}
