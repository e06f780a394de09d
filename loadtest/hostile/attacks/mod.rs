//! The attacks, one file each.

mod calm;
mod deep;
mod forgery;
mod fragments;
mod grammar;
mod icmp;
mod neighbours;
mod odd;
mod peer;
mod reflection;
mod routes;
mod scanners;
mod texts;
mod vias;

use std::io;

use super::stage::{Row, Stage};
use super::subject::Settings;

/// One of them.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it does.
    pub(super) says: &'static str,
    /// The relay under it.
    pub(super) settings: Settings,
    /// Calls that SIPp makes meanwhile.
    pub(super) calls_per_second: u64,
    pub(super) run: fn(&mut Stage) -> io::Result<Vec<Row>>,
}

const OPEN: Settings = Settings { workers: 2, only_neighbours: false };
const CLOSED: Settings = Settings { workers: 2, only_neighbours: true };
/// One worker, so that its processor time is that of the messages one after the other.
const ALONE: Settings = Settings { workers: 1, only_neighbours: false };

/// All of them, in the order of the table.
#[rustfmt::skip]
pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "calm", says: "no attack: the calls alone",
        settings: OPEN, calls_per_second: CALLS, run: calm::run },
    Attack { name: "scanners", says: "SIPVicious: svmap, svwar, svcrack",
        settings: OPEN, calls_per_second: CALLS, run: scanners::run },
    Attack { name: "strangers", says: "the same, when only neighbours may send",
        settings: CLOSED, calls_per_second: CALLS, run: scanners::run_closed },
    Attack { name: "reflection", says: "requests of every kind from forged sources",
        settings: OPEN, calls_per_second: CALLS, run: reflection::run },
    Attack { name: "silence", says: "the same, when only neighbours may send",
        settings: CLOSED, calls_per_second: CALLS, run: reflection::run_closed },
    Attack { name: "responses", says: "forged and replayed responses",
        settings: OPEN, calls_per_second: CALLS, run: forgery::run },
    Attack { name: "routes", says: "Routes, Request-URIs and tokens that lead to a stranger",
        settings: OPEN, calls_per_second: CALLS, run: routes::run },
    Attack { name: "vias", says: "Vias and sources that are no single host",
        settings: OPEN, calls_per_second: CALLS, run: vias::run },
    Attack { name: "deep", says: "messages of up to 64 KB made of one thing",
        settings: ALONE, calls_per_second: 0, run: deep::run },
    Attack { name: "odd", says: "datagrams that are no SIP",
        settings: OPEN, calls_per_second: CALLS, run: odd::run },
    Attack { name: "icmp", says: "ICMP errors, real and forged",
        settings: OPEN, calls_per_second: CALLS, run: icmp::run },
    Attack { name: "neighbours", says: "sources on our own network that nobody has",
        settings: OPEN, calls_per_second: CALLS, run: neighbours::run },
    Attack { name: "fragments", says: "datagrams of which the rest never comes",
        settings: OPEN, calls_per_second: CALLS, run: fragments::run },
    Attack { name: "peer", says: "one peer that sends as fast as it can",
        settings: OPEN, calls_per_second: CALLS, run: peer::run },
    Attack { name: "one-call", says: "the same with one Call-ID",
        settings: OPEN, calls_per_second: CALLS, run: peer::run_one_call },
    Attack { name: "grammar", says: "every field with every bad value",
        settings: OPEN, calls_per_second: CALLS, run: grammar::run },
];

const CALLS: u64 = 20;
