//! Unsolicited responses aimed at a victim: RFC 6026 §10 describes this as a way to send traffic to
//! others without being seen.

use std::io;
use std::net::SocketAddrV4;

use super::super::arena::{RELAY, SERVERS, STRANGER, VICTIM};
use super::super::messages::response;
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::texts::{replaced, request};

const MUST: &str = "0 packets to the victim";
/// A response by its number.
type Make<'a> = Box<dyn FnMut(u64) -> Vec<u8> + 'a>;

const PACKETS: u64 = 1_000_000;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let real = real_response(stage)?;
    let victim = format!("SIP/2.0/UDP {VICTIM};branch=z9hG4bKv");
    let fake = |top: String, next: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: {top}\r\nVia: {next}\r\nFrom: <sip:a@a>;tag=1\r\n\
             To: <sip:b@b>;tag=2\r\nCall-ID: forged\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    };
    let stranger_on_top = fake(format!("SIP/2.0/UDP {STRANGER};branch=z9hG4bKx"), &victim);
    let us = format!("SIP/2.0/UDP {RELAY};branch=z9hG4bK");
    let random_tag = |n: &mut Random| {
        let digits = |n: &mut Random| format!("{:016x}{:016x}", n.next(), n.next());
        // As long as ours, of our version and a usual key.
        let parameter = format!("0201{}{}", digits(n), &digits(n)[..22]);
        format!("{us}{}0;sw={parameter}", digits(n))
    };
    let aimed = |host: &str| {
        let next = format!("SIP/2.0/UDP {STRANGER}");
        replaced(&real, &next, &format!("SIP/2.0/UDP {host}"))
    };
    let victim_host = VICTIM.to_string();
    let own = RELAY.to_string();
    let aims: Vec<Vec<u8>> =
        [victim_host.as_str(), "255.255.255.255:5060", "127.0.0.1:5060", "[::]:5060", &own]
            .map(aimed)
            .to_vec();
    let received =
        replaced(&real, &format!("{STRANGER}"), &format!("{STRANGER};received={}", VICTIM.ip()));
    let without = {
        let text = String::from_utf8_lossy(&aims[0]).into_owned();
        // Only Strowger has one.
        match text.find(";sw=") {
            Some(at) => {
                let end = text[at..].find("\r\n").map_or(text.len(), |len| at + len);
                [&text.as_bytes()[..at], &text.as_bytes()[end..]].concat()
            }
            None => aims[0].clone(),
        }
    };
    let mut random = Random::new(4);
    let mut rows = Vec::new();
    let mut kinds: Vec<(&str, Make)> = vec![
        ("somebody else's Via on top", Box::new(|_| stranger_on_top.clone())),
        ("our Via, branch and tag random", Box::new(|_| fake(random_tag(&mut random), &victim))),
        ("a true response, another next Via", Box::new(|n| aims[n as usize % aims.len()].clone())),
        ("a true response, another received", Box::new(|_| received.clone())),
        ("the same without our parameter", Box::new(|_| without.clone())),
    ];
    let count = stage.count(PACKETS / kinds.len() as u64);
    for (name, make) in &mut kinds {
        stage.watch.reset();
        let mut sources = Random::new(5);
        let cpu = stage.subject.cpu_ns()?;
        let lost = stage.subject.lost()?;
        // Every second one with a destination's own address as its source.
        let source = |n: u64| if n.is_multiple_of(2) { sources.source() } else { SERVERS[0] };
        send(stage, count, source, make)?;
        let read = count - (stage.subject.lost()? - lost);
        let us = (stage.subject.cpu_ns()? - cpu) as f64 / 1e3 / read as f64;
        let hit = stage.watch.tally().to(*VICTIM.ip());
        let figure = format!("{hit} of {read}; {us:.1} us CPU each");
        rows.push(Row::new(*name, MUST, figure, hit == 0));
    }
    // A true one again and again, from anywhere: it may reach only the one who asked.
    stage.watch.reset();
    let mut sources = Random::new(6);
    send(stage, count, |_| sources.source(), &mut |_| real.clone())?;
    let tally = stage.watch.tally();
    let to_caller = tally.to(*STRANGER.ip());
    let figure =
        format!("{} to others, {to_caller} to the caller, of {count}", tally.packets - to_caller);
    let must = "0 to others, <= 1 each to the caller";
    let holds = tally.packets == to_caller && to_caller <= count;
    rows.push(Row::new("a true response replayed", must, figure, holds));
    Ok(rows)
}

fn send(
    stage: &Stage,
    count: u64,
    mut source: impl FnMut(u64) -> SocketAddrV4,
    make: &mut dyn FnMut(u64) -> Vec<u8>,
) -> io::Result<()> {
    stage.flood().datagrams(count, |n| (source(n), make(n)), RELAY)?;
    stage.settle()
}

/// What a destination would answer to a request of the stranger, with all that the relay wrote.
fn real_response(stage: &Stage) -> io::Result<Vec<u8>> {
    let rows = "Max-Forwards: 70\r\n";
    let invite = request("INVITE", "sip:bob@example.net", STRANGER, 77, rows);
    Ok(response(&stage.forwarded(&invite)?, "200 OK"))
}
