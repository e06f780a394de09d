//! Datagrams that are not SIP: they get no answer, and each is counted.

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use super::super::arena::{RELAY, STRANGER};
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::texts::{replaced, request};

const PACKETS: u64 = 100_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let mut random = Random::new(9);
    let lines_of_lf = {
        let whole = request("OPTIONS", format_args!("sip:{RELAY}"), STRANGER, 1, "");
        whole.into_iter().filter(|b| *b != b'\r').collect::<Vec<u8>>()
    };
    let kinds: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("nothing at all", vec![Vec::new()]),
        ("STUN", vec![[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()]),
        ("line ends", [b"\r\n".to_vec(), b"\r\n\r\n".to_vec(), b"\n".repeat(500)].to_vec()),
        ("1 to 31 bytes", (1..32).map(|len| random.bytes(len)).collect()),
        ("NULs", (1..400).map(|len| vec![0; len]).collect()),
        ("UTF-8", vec!["Ω≈ç√∫ ¡™£ SIP \u{202e}\r\n".repeat(20).into_bytes()]),
        ("lines ended by LF", vec![lines_of_lf]),
        (
            "other protocols",
            vec![
                b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 a\r\n\r\n".to_vec(),
                b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n".to_vec(),
                b"OPTIONS rtsp://a RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(),
                [&[0x80, 0, 0, 1][..], &[9; 160]].concat(),
            ],
        ),
        ("random bytes", (0..100).map(|_| random.bytes(700)).collect()),
    ];
    let count = stage.count(PACKETS / kinds.len() as u64);
    let mut rows = Vec::new();
    for (name, datagrams) in &kinds {
        stage.watch.reset();
        let strangers = stage.servers.strangers();
        stage.flood().datagrams(
            count,
            |n| (STRANGER, datagrams[n as usize % datagrams.len()].clone()),
            RELAY,
        )?;
        stage.settle()?;
        let (bytes, through) = (stage.watch.tally().bytes, stage.servers.strangers() - strangers);
        let figure = format!("{bytes} bytes said, {through} passed on, of {count}");
        rows.push(Row::new(*name, "no answer", figure, bytes == 0));
    }
    rows.push(largest(stage)?);
    Ok(rows)
}

/// The largest datagram that there is, of random bytes and as a message.
fn largest(stage: &Stage) -> io::Result<Row> {
    const BYTES: usize = 65_507;
    let socket = stage.arena.world.enter(|| UdpSocket::bind(STRANGER))?;
    let mut garbage = Random::new(10).bytes(BYTES);
    garbage[0] = b'x';
    let whole = request("INVITE", "sip:bob@example.net", STRANGER, 2, "Max-Forwards: 70\r\n");
    let mut whole = replaced(&whole, "Content-Length: 0\r\n", "");
    let body = BYTES - whole.len();
    whole.extend(std::iter::repeat_n(b'x', body));
    stage.watch.reset();
    for _ in 0..stage.count(1_000) {
        for datagram in [&garbage, &whole] {
            socket.send_to(datagram, RELAY)?;
            thread::sleep(Duration::from_micros(300));
        }
    }
    stage.settle()?;
    let tally = stage.watch.tally();
    let says: Vec<String> =
        tally.by_start.iter().map(|(s, n)| format!("{n} {}", s.trim())).collect();
    let figure = format!("{} bytes said: {}", tally.bytes, says.join(", "));
    let holds = tally.by_start.len() <= 1 && tally.packets <= stage.count(1_000);
    Ok(Row::new("65,507 bytes, garbage and INVITE", "only the INVITE is answered", figure, holds))
}
