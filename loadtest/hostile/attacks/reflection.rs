//! Requests from forged sources: how much the relay sends to the hosts whose address was used. A
//! destination's answers count, too, because they pass through the relay.

use std::io;
use std::net::SocketAddrV4;

use super::super::arena::RELAY;
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::texts::{in_dialog, replaced, request};

/// A kind of packet: its name, and what makes it from source and number.
type Kind = (&'static str, fn(SocketAddrV4, u64) -> Vec<u8>);

const MUST: &str = "packets out/in <= 1, bytes <= 1.125";
/// What is long about another's answer is not the relay's.
const MUST_OF_SERVERS: &str = "packets out/in <= 1";

const KINDS: &[Kind] = &[
    ("OPTIONS to us", |from, n| request("OPTIONS", our_uri(), from, n, MAX_FORWARDS)),
    ("INVITE that a server refuses", |from, n| {
        request("INVITE", "sip:bob@example.net", from, n, INVITE_ROWS)
    }),
    ("REGISTER that a server refuses", |from, n| {
        request("REGISTER", "sip:example.net", from, n, MAX_FORWARDS)
    }),
    ("BYE without a dialog", |from, n| {
        in_dialog("BYE", "sip:bob@x.example", from, n, MAX_FORWARDS)
    }),
    ("INVITE in no dialog", |from, n| {
        in_dialog("INVITE", "sip:bob@x.example", from, n, INVITE_ROWS)
    }),
    ("CANCEL of nothing", |from, n| request("CANCEL", "sip:b@x.example", from, n, MAX_FORWARDS)),
    ("ACK to nothing", |from, n| in_dialog("ACK", "sip:b@x.example", from, n, MAX_FORWARDS)),
    ("no hops left", |from, n| {
        request("INVITE", "sip:bob@x.example", from, n, "Max-Forwards: 0\r\n")
    }),
    ("Proxy-Require", |from, n| {
        request(
            "INVITE",
            "sip:b@x.example",
            from,
            n,
            "Max-Forwards: 70\r\nProxy-Require: a,b,c\r\n",
        )
    }),
    ("tel: URI that a server refuses", |from, n| {
        request("INVITE", "tel:+1", from, n, MAX_FORWARDS)
    }),
    ("SIP/3.0", |from, n| {
        replaced(&request("OPTIONS", "sip:b@x", from, n, MAX_FORWARDS), " SIP/2.0", " SIP/3.0")
    }),
    ("rport asked for", |from, n| {
        in_dialog("BYE", "sip:b", format_args!("{from};rport"), n, MAX_FORWARDS)
    }),
    ("the shortest complete request", |_, n| {
        format!("B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:a:a\r\nt:a:a;tag=a\r\ni:{n:x}\r\nCSeq:1 B\r\n\r\n")
            .into_bytes()
    }),
    ("the same with rport", |_, n| {
        format!("B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a;rport\r\nf:a:a\r\nt:a:a;tag=a\r\ni:{n:x}\r\nCSeq:1 B\r\n\r\n")
            .into_bytes()
    }),
    ("a Via and nothing else", |_, _| b"B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a\r\n\r\n".to_vec()),
    ("a Via, no line end", |_, _| b"B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a;rport".to_vec()),
    ("no Via", |_, n| format!("BYE sip:b@b SIP/2.0\r\nCall-ID: {n}\r\n\r\n").into_bytes()),
    ("Call-ID twice", |from, n| {
        request("INVITE", "sip:b@x.example", from, n, "Max-Forwards: 70\r\nCall-ID: 2\r\n")
    }),
    ("malformed, 4 KB", |from, n| {
        let rows = format!("Max-Forwards: x\r\nX-Fill: {}\r\n", "x".repeat(4_000));
        request("INVITE", "sip:b@x.example", from, n, &rows)
    }),
    ("malformed, 40 Vias", |from, n| {
        let via = "Via: SIP/2.0/UDP 10.255.255.1:5060;branch=z9hG4bKabcdef\r\n";
        request(
            "INVITE",
            "sip:b@x.example",
            from,
            n,
            &("Max-Forwards: x\r\n".to_owned() + &via.repeat(40)),
        )
    }),
    ("a response", |from, n| {
        format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n:x}\r\n\r\n")
            .into_bytes()
    }),
    ("random bytes", |_, n| Random::new(n).bytes(200)),
];

const SERVERS_REFUSE: &str = "that a server refuses";
const MAX_FORWARDS: &str = "Max-Forwards: 70\r\n";
const INVITE_ROWS: &str = "Max-Forwards: 70\r\nContact: <sip:mallory@203.0.113.9>\r\n";

fn our_uri() -> String {
    format!("sip:{RELAY}")
}

/// A million packets, every kind as often.
const PACKETS: u64 = 1_000_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let count = stage.count(PACKETS / KINDS.len() as u64);
    let mut random = Random::new(2);
    let mut rows = Vec::new();
    let mut sums = [0_u64; 4];
    for (name, make) in KINDS {
        stage.watch.reset();
        let lost = stage.subject.lost()?;
        let mut flood = stage.flood();
        let base = random.next();
        let bytes_in = flood.datagrams(
            count,
            |n| {
                let from = random.source();
                (from, make(from, base.wrapping_add(n)))
            },
            RELAY,
        )?;
        // Timer G of a stateful relay ends 32 s after its first answer.
        wait_for_repeats(stage)?;
        let tally = stage.watch.tally();
        let lost = stage.subject.lost()? - lost;
        let read = count - lost.min(count - 1);
        let bytes_in = bytes_in * read / count;
        for (sum, value) in sums.iter_mut().zip([read, tally.packets, bytes_in, tally.bytes]) {
            *sum += value;
        }
        let (packets, bytes) =
            (tally.packets as f64 / read as f64, tally.bytes as f64 / bytes_in as f64);
        let start = tally.by_start.iter().max_by_key(|(_, n)| **n).map(|(start, _)| start.trim());
        let says = start.map(|start| format!(" ({start})")).unwrap_or_default();
        let figure = format!("{packets:.2}, {bytes:.2}{says}");
        let is_servers = name.ends_with(SERVERS_REFUSE);
        let must = if is_servers { MUST_OF_SERVERS } else { MUST };
        let holds = packets <= 1.0 && (is_servers || bytes <= 1.125);
        rows.push(Row::new(*name, must, figure, holds));
    }
    let [read, packets, bytes_in, bytes] = sums.map(|sum| sum as f64);
    let figure = format!("{:.2}, {:.2} of {read}", packets / read, bytes / bytes_in);
    rows.push(Row::new("all kinds", MUST, figure, packets <= read && bytes <= bytes_in));
    Ok(rows)
}

/// Until it is quiet, and long enough for what a relay repeats by a timer.
fn wait_for_repeats(stage: &Stage) -> io::Result<()> {
    use super::super::subject::Kind::KamailioStateful;
    stage.settle()?;
    if stage.kind == KamailioStateful {
        let packets = stage.watch.packets();
        // 500 ms after the first answer comes the second.
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        if stage.watch.packets() > packets {
            std::thread::sleep(std::time::Duration::from_secs(33));
        }
    }
    Ok(())
}

/// All kinds mixed, from sources that the relay does not serve.
pub(super) fn run_closed(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let count = stage.count(PACKETS);
    let mut random = Random::new(3);
    stage.watch.reset();
    stage.flood().datagrams(
        count,
        |n| {
            let from = random.source();
            (from, KINDS[n as usize % KINDS.len()].1(from, n))
        },
        RELAY,
    )?;
    stage.settle()?;
    let (out, forwarded) = (stage.watch.tally().packets, stage.servers.strangers());
    let figure = format!("{out} and {forwarded} of {count}");
    let row = "packets to the sources, to the servers";
    Ok(vec![Row::new(row, "0", figure, out == 0 && forwarded == 0)])
}
