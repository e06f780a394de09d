//! A call as a ladder: a column for each party, a row for each message.
//!
//! ```text
//!             192.0.2.7:5062                                        10.0.0.1:5060
//!  +0.000     |------------ INVITE ------------>|                                |
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use super::message::{Line, Seen};

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// Characters of a line.
    pub(super) width: usize,
    pub(super) has_colours: bool,
}

/// The parties of one call, and what its rows depend on.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    parties: Vec<Party>,
    begun: Option<Duration>,
    /// The first number of each method, and whether another one was seen.
    numbers: BTreeMap<String, (u32, bool)>,
}

#[derive(Debug)]
struct Party {
    /// One, or all listeners of the relay.
    addresses: Vec<SocketAddr>,
    is_relay: bool,
}

impl Ladder {
    /// Takes a message into account; the parties stand in the order in which they appear.
    pub(super) fn add(&mut self, seen: &Seen) {
        self.begun.get_or_insert(seen.datagram.at);
        let (number, method) = &seen.cseq;
        let known = self.numbers.entry(method.clone()).or_insert((*number, false));
        known.1 |= known.0 != *number;
        for address in [seen.datagram.from, seen.datagram.to] {
            self.add_party(address, seen.relay == Some(address));
        }
    }

    fn add_party(&mut self, address: SocketAddr, is_relay: bool) {
        if is_relay && let Some(relay) = self.parties.iter_mut().find(|party| party.is_relay) {
            if !relay.addresses.contains(&address) {
                relay.addresses.push(address);
            }
        } else if !self.parties.iter().any(|party| party.addresses.contains(&address)) {
            self.parties.push(Party { addresses: vec![address], is_relay });
        }
    }

    /// What the head depends on: with another number, it is drawn again.
    pub(super) fn version(&self) -> usize {
        self.parties.iter().map(|party| party.addresses.len()).sum()
    }

    /// Draws the names of the columns.
    pub(super) fn head(&self, page: Page) -> String {
        let places = self.places(page);
        let mut text = String::new();
        if let Some(relay) = self.parties.iter().position(|party| party.is_relay) {
            let place = places[column(relay, &places)];
            text = put(&[(place, "relay".into())], page.width).unwrap_or_default() + "\n";
        }
        let is_folded = self.parties.len() > places.len();
        let names = places.iter().enumerate().map(|(at, place)| {
            let is_rest = is_folded && at + 1 == places.len();
            let name = if is_rest { "others".into() } else { self.parties[at].name() };
            (*place, name)
        });
        let names: Vec<_> = names.collect();
        // What is too long for its column is named below.
        if let Some(line) = put(&names, page.width) {
            text += &(line + "\n");
        } else {
            let letter = |at: usize| char::from(b'A' + at as u8).to_string();
            let letters = names.iter().enumerate().map(|(at, (place, _))| (*place, letter(at)));
            let letters: Vec<_> = letters.collect();
            text += &(put(&letters, page.width).unwrap_or_default() + "\n");
            for (at, (_, name)) in names.iter().enumerate() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {} is {name}", letter(at));
            }
        }
        let relay = self.parties.iter().find(|party| party.is_relay && party.addresses.len() > 1);
        if let Some(relay) = relay {
            let others: Vec<_> = relay.addresses[1..].iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "  the relay also listens on {}", others.join(", "));
        }
        text
    }

    /// Draws a message.
    pub(super) fn row(&self, seen: &Seen, is_copy: bool, page: Page) -> String {
        let places = self.places(page);
        let mut line = vec![' '; places.last().map_or(0, |last| last + 1)];
        for place in &places {
            line[*place] = '|';
        }
        let column_of = |address: SocketAddr| {
            let is_it = |party: &Party| party.addresses.contains(&address);
            column(self.parties.iter().position(is_it).unwrap_or_default(), &places)
        };
        let (from, to) = (column_of(seen.datagram.from), column_of(seen.datagram.to));
        let label = self.label(seen, is_copy);
        let (left, right) = (places[from.min(to)], places[from.max(to)]);
        let begin = if from == to {
            let label = format!(" {label} (to itself)");
            line.truncate(left + 1);
            line.extend(label.chars().take((page.width - 1).saturating_sub(left)));
            left + 2
        } else {
            let room = right - left - 1;
            // Two dashes, two spaces and the head of the arrow.
            let label = cut(&label, room - 5);
            line[left + 1..right].fill('-');
            if from < to {
                line[right - 1] = '>';
            } else {
                line[left + 1] = '<';
            }
            let len = label.chars().count();
            let begin = left + 1 + (room - len - 2) / 2;
            for (at, c) in format!(" {label} ").chars().enumerate() {
                line[begin + at] = c;
            }
            begin + 1
        };
        let time = seconds(seen.datagram.at.saturating_sub(self.begun.unwrap_or_default()));
        for (at, c) in time.chars().enumerate() {
            line[at] = c;
        }
        let end = begin + label.chars().count().min(line.len() - begin);
        painted(&line, begin..end, colour(&seen.line, is_copy).filter(|_| page.has_colours))
    }

    fn label(&self, seen: &Seen, is_copy: bool) -> String {
        let (number, method) = &seen.cseq;
        // A number helps once there is another one.
        let is_plain = self.numbers.get(method).is_none_or(|(first, _)| first == number);
        let number = if is_plain { String::new() } else { format!(" {number}") };
        let mut label = match &seen.line {
            Line::Request(method) => format!("{method}{number}"),
            Line::Response(code, reason) => {
                let is_usual = method == "INVITE" && is_plain;
                let of = if is_usual { String::new() } else { format!(" ({method}{number})") };
                format!("{code} {reason}{of}")
            }
        };
        if is_copy {
            label += ", again";
        }
        label
    }

    /// Where the columns are.
    fn places(&self, page: Page) -> Vec<usize> {
        let room = page.width.saturating_sub(LEFT + 2).max(SPAN_MIN);
        let count = self.parties.len().clamp(1, 1 + room / SPAN_MIN);
        let span = if count == 1 { 0 } else { (room / (count - 1)).min(SPAN_MAX) };
        (0..count).map(|at| LEFT + at * span).collect()
    }
}

/// The column of a party: the last one is shared by those that have none of their own.
fn column(party: usize, places: &[usize]) -> usize {
    party.min(places.len() - 1)
}

impl Party {
    fn name(&self) -> String {
        self.addresses[0].to_string()
    }
}

/// Puts names over their columns; `None` if one would touch another.
fn put(names: &[(usize, String)], width: usize) -> Option<String> {
    let mut line = String::new();
    for (place, name) in names {
        let start = place.saturating_sub(name.len() / 2).max(LEFT);
        let start = start.min(width.saturating_sub(name.len()));
        if start < line.len() + usize::from(!line.is_empty()) {
            return None;
        }
        line += &" ".repeat(start - line.len());
        line += name;
    }
    Some(line)
}

/// `   +0.000`, as wide as what stands left of the columns at most.
fn seconds(since: Duration) -> String {
    let text = format!("+{}.{:03}", since.as_secs(), since.subsec_millis());
    format!("{text:>9}")
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.into();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn colour(line: &Line, is_copy: bool) -> Option<&'static str> {
    match line {
        _ if is_copy => Some("\x1b[33m"),
        Line::Response(code, _) if *code >= 400 => Some("\x1b[31m"),
        Line::Response(200..300, _) => Some("\x1b[32m"),
        Line::Request(_) => Some("\x1b[1m"),
        Line::Response(..) => None,
    }
}

fn painted(line: &[char], label: std::ops::Range<usize>, colour: Option<&str>) -> String {
    let text = |part: &[char]| part.iter().collect::<String>();
    match colour {
        Some(colour) => format!(
            "{}{colour}{}\x1b[0m{}\n",
            text(&line[..label.start]),
            text(&line[label.clone()]),
            text(&line[label.end..])
        ),
        None => text(line) + "\n",
    }
}

/// Where the first column is: behind the time.
const LEFT: usize = 11;
/// The least distance of two columns: an arrow, `INVITE` and a little more.
const SPAN_MIN: usize = 16;
/// The greatest: further away, a label no longer belongs to its ends.
const SPAN_MAX: usize = 60;
