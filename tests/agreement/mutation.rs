//! Randomly changed messages, most of them still messages: both parsers must agree about each, and
//! everything that the relay forwards is checked.
//!
//! The ordinary run takes [`CASES`] of them. A longer one, with its number of cases:
//! `STROWGER_MUTATIONS=1000000 cargo test --release --test agreement mutation -- --nocapture`

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use strowger::proxy::Verdict;

use crate::messages::torture;
use crate::reading::assert_same;
use crate::relay::{CALLER, DESTINATION, Options, Relay};

const CASES: u32 = 3_000;

/// One change, made at a place that two numbers choose.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// These leave a valid message valid, nearly always.
    Case,
    Fold,
    Blank,
    SwapRows,
    JoinRows,
    Compact,
    InsertRow,
    RemoveRow,
    CopyRow,
    Value,
    Body,
    /// These seldom do.
    InsertWord,
    Delete,
    Copy,
    Flip,
    Truncate,
    Splice,
}

const CHANGES: &[Change] = &[
    Change::Case,
    Change::Case,
    Change::Fold,
    Change::Fold,
    Change::Fold,
    Change::Blank,
    Change::Blank,
    Change::SwapRows,
    Change::SwapRows,
    Change::JoinRows,
    Change::JoinRows,
    Change::Compact,
    Change::Compact,
    Change::InsertRow,
    Change::InsertRow,
    Change::RemoveRow,
    Change::CopyRow,
    Change::Value,
    Change::Value,
    Change::Body,
    Change::InsertWord,
    Change::InsertWord,
    Change::Delete,
    Change::Copy,
    Change::Flip,
    Change::Truncate,
    Change::Splice,
];

/// Rows that may be put in.
const ROWS: &[&str] = &[
    "Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKnew",
    "v:SIP / 2.0 / UDP h.example.org:5070;received=192.0.2.9 ;rport, SIP/2.0/TCP x",
    "Route: <sip:192.0.2.1;lr>",
    "Route: <sip:203.0.113.66;lr>, \"a, <b>\" <sip:u@203.0.113.67>;x=\";\"",
    "ROUTE : sip:203.0.113.68;lr",
    "Record-Route: <sip:203.0.113.66;lr>",
    "Content-Length: 0",
    "l:  007 ",
    "Max-Forwards: 5",
    "Max-Breadth: 60",
    "Proxy-Authorization: Digest username=\"a\", response=\"b\"",
    "Proxy-Require: sec-agree",
    "From: <sip:other@example.org>;tag=other",
    "t: \"To, <you>\" <sip:you@example.org>;tag=\u{1}you",
    "i: other@host",
    "CSeq: 1 INVITE",
    "Subject: with\r\n a fold: and a colon",
    "X-Odd: \u{1}\u{b}\u{c}\u{7f}\u{0}",
    "Contact: *",
    "no row at all",
    "Via\t: SIP/2.0/UDP [2001:db8::9]:5060;maddr=224.0.1.75;ttl=1;branch=z9hG4bK6",
];

/// Words that may be put anywhere.
const WORDS: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\r\n ",
    "\r\n\t",
    " ",
    "\t",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    ",",
    ", ",
    ";",
    " ; ",
    "\"",
    "\\",
    "\\\"",
    "<",
    ">",
    "@",
    ":",
    "=",
    " = ",
    "[",
    "]",
    "?",
    "%",
    "%00",
    "/",
    "*",
    "0",
    "00",
    "1",
    "4294967296",
    "99999999999999999999999999",
    "-1",
    "z9hG4bK",
    "sip:",
    "sips:",
    "tel:",
    "lr",
    ";lr",
    ";lr=on",
    ";tag=x",
    ";tag",
    ";TAG=\"x\"",
    ";branch=y",
    ";received=192.0.2.7",
    ";received=[::1]",
    ";received=::1",
    ";rport",
    ";rport=5",
    ";sw=00",
    ";maddr=192.0.2.8",
    "SIP/2.0",
    "SIP/2.0/UDP h",
    " SIP/3.0",
    "ACK",
    "CANCEL",
    "Via: ",
    "v:",
    "Route:",
    "Content-Length: ",
    "l :",
    "\r\n\r\n",
    "INVITE sip:a@b SIP/2.0\r\n",
];

/// A base, the changes to it, and whether its Content-Length is put right afterwards.
#[derive(Clone, Debug)]
struct Recipe {
    base: Index,
    changes: Vec<(Change, Index, Index)>,
    mends_length: bool,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let change = (prop::sample::select(CHANGES), any::<Index>(), any::<Index>());
    (any::<Index>(), prop::collection::vec(change, 1..5), prop::bool::weighted(0.8))
        .prop_map(|(base, changes, mends_length)| Recipe { base, changes, mends_length })
}

impl Recipe {
    fn cook(&self, bases: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = bases[self.base.index(bases.len())].clone();
        for (change, one, two) in &self.changes {
            change.make(&mut bytes, *one, *two, bases);
        }
        if self.mends_length {
            mend_length(&mut bytes);
        }
        bytes.truncate(65_000);
        bytes
    }
}

impl Change {
    fn make(self, bytes: &mut Vec<u8>, one: Index, two: Index, bases: &[Vec<u8>]) {
        if bytes.is_empty() {
            return;
        }
        let mut lines = Lines::of(bytes);
        let header_len = lines.header_len();
        let anywhere = one.index(bytes.len());
        let in_header = one.index(header_len.max(1)).min(bytes.len() - 1);
        let row = (!lines.rows.is_empty()).then(|| one.index(lines.rows.len()));
        match self {
            Self::Case => {
                for byte in bytes.iter_mut().skip(in_header).take(two.index(20) + 1) {
                    let is_upper = byte.is_ascii_uppercase();
                    *byte = if is_upper {
                        byte.to_ascii_lowercase()
                    } else {
                        byte.to_ascii_uppercase()
                    };
                }
            }
            Self::Fold => insert_after(bytes, in_header, b":,;=/ ", b"\r\n "),
            Self::Blank => {
                let blank: &[u8] = [&b" "[..], b"\t", b"  "][two.index(3)];
                insert_after(bytes, in_header, b":,;=/ ", blank);
            }
            Self::SwapRows => {
                if let Some(row) = row {
                    let other = two.index(lines.rows.len());
                    lines.rows.swap(row, other);
                    *bytes = lines.joined();
                }
            }
            Self::JoinRows => {
                // Two rows of one name become one list.
                let name =
                    |row: &[u8]| row.split(|b| *b == b':').next().unwrap().to_ascii_lowercase();
                let pair = (1..lines.rows.len()).find(|at| {
                    let (first, second) = (&lines.rows[*at - 1], &lines.rows[*at]);
                    name(first) == name(second) && second.contains(&b':')
                });
                if let Some(at) = pair {
                    let second = lines.rows.remove(at);
                    let value = &second[name(&second).len() + 1..];
                    let first = &mut lines.rows[at - 1];
                    first.truncate(first.len().saturating_sub(2));
                    first.push(b',');
                    first.extend_from_slice(value);
                    *bytes = lines.joined();
                }
            }
            Self::Compact => {
                for (long, short) in COMPACT {
                    let found = lines.rows.iter_mut().find(|row| row.starts_with(long.as_bytes()));
                    if let Some(row) = found
                        && one.index(2) == 0
                    {
                        row.splice(..long.len(), short.bytes());
                    }
                }
                *bytes = lines.joined();
            }
            Self::InsertRow => {
                let text = format!("{}\r\n", ROWS[two.index(ROWS.len())]);
                lines.rows.insert(row.unwrap_or(0), text.into_bytes());
                *bytes = lines.joined();
            }
            Self::RemoveRow => {
                if let Some(row) = row {
                    lines.rows.remove(row);
                    *bytes = lines.joined();
                }
            }
            Self::CopyRow => {
                if let Some(row) = row {
                    let copy = lines.rows[row].clone();
                    lines.rows.insert(two.index(lines.rows.len()), copy);
                    *bytes = lines.joined();
                }
            }
            Self::Value => {
                // A digit or letter becomes another one.
                let place = (in_header..header_len).find(|at| bytes[*at].is_ascii_alphanumeric());
                if let Some(place) = place {
                    bytes[place] = b"0123456789abcxyzABCXYZ"[two.index(22)];
                }
            }
            Self::Body => bytes.extend_from_slice(WORDS[two.index(WORDS.len())].as_bytes()),
            Self::InsertWord => {
                // As in Latin-1, so that U+0085 is one byte.
                let word = WORDS[two.index(WORDS.len())].chars().map(|c| c as u8);
                drop(bytes.splice(in_header..in_header, word));
            }
            Self::Delete => {
                let end = (in_header + two.index(8) + 1).min(bytes.len());
                drop(bytes.drain(in_header..end));
            }
            Self::Copy => {
                let end = (in_header + two.index(80) + 1).min(bytes.len());
                let copy = bytes[in_header..end].to_vec();
                drop(bytes.splice(in_header..in_header, copy));
            }
            Self::Flip => bytes[anywhere] ^= 1 << two.index(8),
            Self::Truncate => bytes.truncate(anywhere),
            Self::Splice => {
                let other = &bases[two.index(bases.len())];
                let from = one.index(other.len());
                bytes.truncate(anywhere);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

const COMPACT: &[(&str, &str)] = &[
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "I"),
    ("Content-Length", "L"),
    ("Contact", "m"),
];

/// Puts `what` behind the next of these bytes in the header.
fn insert_after(bytes: &mut Vec<u8>, from: usize, these: &[u8], what: &[u8]) {
    let first_row = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    let place = (from.max(first_row)..bytes.len()).find(|at| these.contains(&bytes[*at]));
    if let Some(place) = place {
        let behind = place + 1;
        drop(bytes.splice(behind..behind, what.iter().copied()));
    }
}

/// A message taken apart, roughly: this is no reader.
struct Lines {
    first: Vec<u8>,
    rows: Vec<Vec<u8>>,
    /// From the blank line on.
    rest: Vec<u8>,
}

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        let find = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|w| w == text);
        let header_end = find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
        let (header, rest) = bytes.split_at(header_end);
        let mut lines = Vec::new();
        let mut start = 0;
        while start < header.len() {
            let end = find(&header[start..], b"\r\n").map_or(header.len(), |at| start + at + 2);
            lines.push(header[start..end].to_vec());
            start = end;
        }
        let first = if lines.is_empty() { Vec::new() } else { lines.remove(0) };
        let mut rows: Vec<Vec<u8>> = Vec::new();
        for line in lines {
            match rows.last_mut() {
                Some(row) if line.starts_with(b" ") || line.starts_with(b"\t") => row.extend(line),
                _ => rows.push(line),
            }
        }
        Self { first, rows, rest: rest.to_vec() }
    }

    fn header_len(&self) -> usize {
        self.first.len() + self.rows.iter().map(Vec::len).sum::<usize>()
    }

    fn joined(&self) -> Vec<u8> {
        [self.first.clone(), self.rows.concat(), self.rest.clone()].concat()
    }
}

fn mend_length(bytes: &mut Vec<u8>) {
    let mut lines = Lines::of(bytes);
    let body_len = lines.rest.len().saturating_sub(2);
    for row in &mut lines.rows {
        let name = row.split(|b| b":\t ".contains(b)).next().unwrap().to_ascii_lowercase();
        if name == b"content-length" || name == b"l" {
            *row = format!("Content-Length: {body_len}\r\n").into_bytes();
        }
    }
    *bytes = lines.joined();
}

/// What is changed: the torture messages, a request outside a dialog, requests in one from both
/// sides, also behind a strict router, a response, and what the relay has forwarded.
fn bases(relays: &mut [Relay; 2]) -> Vec<Vec<u8>> {
    let mut bases: Vec<_> = torture().into_iter().map(|(_, bytes)| bytes).collect();
    let ours = crate::call::messages(&mut relays[0]);
    // As often as all the others.
    for _ in 0..bases.len() / ours.len() {
        bases.extend(ours.iter().map(|(_, bytes)| bytes.clone()));
    }
    let (_, sent) = relays[0].send(CALLER, &ours[0].1);
    bases.extend(sent.map(|sent| sent.bytes));
    // They have the same keys, so the second one forwards responses to what the first one signed: by then
    // both parties must have asked the second one, too.
    for (from, bytes) in &ours {
        relays[1].send(from, bytes);
    }
    bases
}

#[test]
fn noise_keeps_the_law() {
    let relay = RefCell::new(Relay::new(Options::default()));
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let outcome = TestRunner::new(config).run(&noise, |bytes| {
        relay.borrow_mut().send(CALLER, &bytes);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn mutations_are_read_alike_and_only_what_is_permitted_leaves() {
    let cases = std::env::var("STROWGER_MUTATIONS").map_or(CASES, |n| n.parse().expect("a number"));
    let relays = [
        Options::default(),
        Options {
            keeps_foreign_routes: true,
            rewrites: true,
            max_breadth: Some(60),
            has_two_listeners: true,
            force_rport: true,
            ..Options::default()
        },
    ];
    let mut relays = relays.map(Relay::new);
    let bases = bases(&mut relays);
    let relays = RefCell::new(relays);
    let counts = RefCell::new(BTreeMap::<String, u32>::new());
    let count = |what: String| *counts.borrow_mut().entry(what).or_default() += 1;

    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&recipes(), |recipe| {
        let bytes = recipe.cook(&bases);
        let slow = assert_same(&bytes);
        count(match slow.fault {
            None => "read: well-formed".into(),
            Some(fault) => format!("read: {fault:?}"),
        });
        for relay in relays.borrow_mut().iter_mut() {
            for from in [CALLER, DESTINATION] {
                let (verdict, _) = relay.send(from, &bytes);
                count(match verdict {
                    Verdict::Forwarded(how) => format!("forwarded: {}", how.label()),
                    Verdict::Answered(with) => format!("answered: {}", with.label()),
                    Verdict::Dropped(why) => format!("dropped: {}", why.label()),
                    Verdict::HandedOver(_) => unreachable!("there is one worker"),
                });
            }
        }
        Ok(())
    });
    let counts = counts.take();
    for (what, count) in &counts {
        println!("{what:<32} {count:>10}");
    }
    outcome.unwrap();
    assert!(counts["read: well-formed"] > cases / 3, "most mutations should stay messages");
    assert!(counts["forwarded: token"] > cases / 20);
    assert!(counts["forwarded: response"] > cases / 100);
}
