//! Messages that repeat one element as often as it fits: their cost must grow in proportion to
//! their length.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use super::super::arena::{RELAY, STRANGER};
use super::super::stage::{Row, Stage};

const MUST: &str = "64 KB / 32 KB <= 2.3";
/// Messages of each size.
const MESSAGES: u64 = 4_000;
const SIZES: [usize; 4] = [8_192, 16_384, 32_768, 65_000];

/// One thing: before it, the thing, after it. What stands before is within the header.
const THINGS: &[(&str, &str, &str, &str)] = &[
    ("Vias", "", "Via: SIP/2.0/UDP a\r\n", ""),
    ("Vias in one row", "Via: SIP/2.0/UDP a", ",SIP/2.0/UDP a", "\r\n"),
    ("Routes", "", "Route: <sip:a;lr>\r\n", ""),
    ("Routes in one row", "Route: <sip:a;lr>", ",<sip:a;lr>", "\r\n"),
    ("rows of one byte", "", "a:\r\n", ""),
    ("parameters of a Via", "Via: SIP/2.0/UDP a", ";a", "\r\n"),
    ("parameters of our top Via", "TOP", ";a=b", ""),
    ("parameters of To", "TO", ";a=b", ""),
    ("one row", "Subject: ", "x", "\r\n"),
    ("folds", "Subject: ", "\r\n x", "\r\n"),
    ("quoted pairs", "FROM", "\\\"", ""),
    ("line ends before it", "START", "\r\n", ""),
    ("a body", "BODY", "v=0\r\n", ""),
];

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    stage.servers.be_silent(true);
    let socket = stage.arena.world.enter(|| UdpSocket::bind(STRANGER))?;
    let mut rows = Vec::new();
    for thing in THINGS {
        let mut us = Vec::new();
        for size in SIZES {
            us.push(cost_us(stage, &socket, thing, size)?);
        }
        let ratio = us[3] / us[2];
        let figure =
            format!("{:.0}, {:.0}, {:.0}, {:.0} us; {ratio:.2}", us[0], us[1], us[2], us[3]);
        let what = format!("{}: CPU at 8, 16, 32, 64 KB; ratio", thing.0);
        rows.push(Row::new(what, MUST, figure, ratio <= 2.3));
    }
    Ok(rows)
}

/// Processor time of the relay for one message of this size.
fn cost_us(
    stage: &Stage,
    socket: &UdpSocket,
    thing: &(&str, &str, &str, &str),
    size: usize,
) -> io::Result<f64> {
    let count = stage.count(MESSAGES);
    let mut number = size as u64 * 1_000_000;
    let mut send = |count: u64| -> io::Result<u64> {
        let lost = stage.subject.lost()?;
        for _ in 0..count {
            number += 1;
            socket.send_to(&message(thing, size, number), RELAY)?;
            // Its buffer holds some 60 of the longest.
            thread::sleep(Duration::from_micros(300));
        }
        stage.settle()?;
        Ok(count - (stage.subject.lost()? - lost))
    };
    // So that pages are touched and caches are as they will be.
    send(20)?;
    let begin = stage.subject.cpu_ns()?;
    let read = send(count)?;
    Ok((stage.subject.cpu_ns()? - begin) as f64 / 1e3 / read as f64)
}

fn message((_, before, thing, after): &(&str, &str, &str, &str), size: usize, n: u64) -> Vec<u8> {
    let necessary = |start: &str, top: &str, from: &str, to: &str, rows: &str, body: &str| {
        format!(
            "{start}INVITE sip:bob@example.net SIP/2.0\r\n\
             Via: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{n:016x}{top}\r\n\
             Max-Forwards: 70\r\nFrom: {from}<sip:m@example.org>;tag=1\r\n\
             To: <sip:bob@example.net>{to}\r\nCall-ID: {n:016x}\r\nCSeq: 1 INVITE\r\n{rows}\r\n{body}"
        )
    };
    let room = size - necessary("", "", "", "", "", "").len() - before.len() - after.len() - 8;
    let many = thing.repeat(room / thing.len());
    match *before {
        "START" => necessary(&many, "", "", "", "", ""),
        "TOP" => necessary("", &many, "", "", "", ""),
        "TO" => necessary("", "", "", &many, "", ""),
        "FROM" => necessary("", "", &format!("\"{many}\" "), "", "", ""),
        "BODY" => necessary("", "", "", "", "", &many),
        _ => necessary("", "", "", "", &[before, many.as_str(), after].concat(), ""),
    }
    .into_bytes()
}
