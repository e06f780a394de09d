//! Requests that try to make the relay send to an unrelated host.

use std::io;
use std::net::SocketAddrV4;

use super::super::arena::{RELAY, SERVERS, STRANGER, VICTIM};
use super::super::messages::response;
use super::super::random::Random;
use super::super::stage::{Row, Stage};
use super::super::subject::Kind;
use super::texts::{in_dialog, request, value};

const MUST: &str = "0 packets to the stranger";
const PACKETS: u64 = 100_000;
const HOPS: &str = "Max-Forwards: 70\r\n";

/// Source and message by number.
type Make<'a> = Box<dyn FnMut(u64) -> (SocketAddrV4, Vec<u8>) + 'a>;

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let own = own_call(stage)?;
    let (route, from, to, call_id) = (&own.route, &own.from, &own.to, &own.call_id);
    let victim_uri = format!("sip:victim@{VICTIM}");
    let routes = |first: &str| format!("{HOPS}Route: {first}, <sip:{VICTIM};lr>\r\n");
    let us = format!("<sip:{RELAY};lr>");
    // Of our own call, with our own tags, as the caller or as the callee.
    let dialog = |method: &str, uri: &str, n: u64, rows: &str, is_callee: bool| {
        let (from, to) = if is_callee { (to, from) } else { (from, to) };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bKd{n:x}\r\n{rows}\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {} {method}\r\n\
             Content-Length: 0\r\n\r\n",
            n + 2
        )
        .into_bytes()
    };
    let tampered = tamper(route);
    let mut random = Random::new(8);
    let mut kinds: Vec<(&str, Make)> = vec![
        (
            "Request-URI of a stranger",
            Box::new(|n| (random.source(), request("INVITE", &victim_uri, STRANGER, n, HOPS))),
        ),
        (
            "preloaded Route",
            Box::new(|n| {
                let rows = routes(&us);
                (STRANGER, request(method(n), "sip:bob@example.net", STRANGER, n, &rows))
            }),
        ),
        (
            "preloaded Route and a forged To tag",
            Box::new(|n| (STRANGER, in_dialog(method(n), &victim_uri, STRANGER, n, &routes(&us)))),
        ),
        (
            "forged To tag, our name as Route",
            Box::new(|n| {
                let rows = format!("{HOPS}Route: {us}\r\n");
                (STRANGER, in_dialog(method(n), &victim_uri, STRANGER, n, &rows))
            }),
        ),
        (
            "our token with one digit changed",
            Box::new(|n| (STRANGER, dialog(method(n), &victim_uri, n, &routes(&tampered), false))),
        ),
        (
            "our token in another call",
            Box::new(|n| {
                (STRANGER, in_dialog(method(n), &victim_uri, STRANGER, n, &routes(route)))
            }),
        ),
        (
            "our token in the Request-URI",
            Box::new(|n| {
                let uri = route.trim_matches(['<', '>']);
                let rows = format!("{HOPS}Route: <sip:{VICTIM}>\r\n");
                (STRANGER, dialog(method(n), uri, n, &rows, false))
            }),
        ),
        (
            "the caller's own token",
            Box::new(|n| (STRANGER, dialog(method(n), &victim_uri, n, &routes(route), false))),
        ),
        (
            "the caller as if it were the callee",
            Box::new(|n| (STRANGER, dialog(method(n), &victim_uri, n, &routes(route), true))),
        ),
    ];
    let count = stage.count(PACKETS / kinds.len() as u64);
    let mut rows = Vec::new();
    for (name, make) in &mut kinds {
        let hit = hits(stage, count, make)?;
        rows.push(Row::new(*name, MUST, format!("{hit} of {count}"), hit == 0));
    }
    // Whoever can pose as a destination, in a call of his own, is believed as far as in_dialog_to
    // allows: the row shows what that is by default.
    let mut posing: Make =
        Box::new(|n| (SERVERS[0], dialog("INFO", &victim_uri, n, &routes(route), true)));
    let hit = hits(stage, count, &mut posing)?;
    let must = "as far as in_dialog_to allows";
    rows.push(Row::new(
        "the same with a server's address forged",
        must,
        format!("{hit} of {count}"),
        None,
    ));
    Ok(rows)
}

fn hits(stage: &Stage, count: u64, make: &mut Make) -> io::Result<u64> {
    stage.watch.reset();
    stage.flood().datagrams(count, make, RELAY)?;
    stage.settle()?;
    Ok(stage.watch.tally().to(*VICTIM.ip()))
}

fn method(number: u64) -> &'static str {
    ["INVITE", "BYE", "INFO", "ACK", "MESSAGE", "OPTIONS", "CANCEL", "X"][number as usize % 8]
}

/// What a caller knows of a call of his own.
struct OwnCall {
    route: String,
    from: String,
    to: String,
    call_id: String,
}

fn own_call(stage: &Stage) -> io::Result<OwnCall> {
    let invite = request("INVITE", "sip:bob@example.net", STRANGER, 99, HOPS);
    let answer = response(&stage.forwarded(&invite)?, "200 OK");
    let answer = String::from_utf8_lossy(&answer);
    let of = |name: &str| value(&answer, name).unwrap_or_default().to_owned();
    // Kamailio writes none when it only forwards.
    let route = value(&answer, "Record-Route").map(str::to_owned);
    if route.is_none() && stage.kind == Kind::Strowger {
        return Err(io::Error::other("no Record-Route"));
    }
    Ok(OwnCall {
        route: route.unwrap_or_else(|| format!("<sip:{RELAY};lr>")),
        from: of("From"),
        to: of("To"),
        call_id: of("Call-ID"),
    })
}

/// The token with its last digit changed; what has no token is left alone.
fn tamper(route: &str) -> String {
    let Some(at) = route.find('@') else { return route.to_owned() };
    let other = if route.as_bytes()[at - 1] == b'5' { "6" } else { "5" };
    [&route[..at - 1], other, &route[at..]].concat()
}
