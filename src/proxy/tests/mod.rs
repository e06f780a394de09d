//! The core without sockets: messages and time go in, verdicts and messages come out.

mod answers;
mod choice;
mod dialogs;
mod explain;
mod law;
mod responses;
mod torture;

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved, SocketName};
use crate::keys::MasterKey;
use crate::pin::PinMemory;
use crate::registry::Registry;

/// The caller's address.
pub(super) const CALLER: &str = "198.51.100.7:5062";

/// A relay without sockets: its workers, its control thread and its clock.
pub(super) struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Snapshot,
    pub(super) now: Now,
    registry: Registry,
    workers: Vec<Proxy>,
    outbox: Outbox,
    explainer: Explainer,
}

/// What the relay did with one datagram.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) sent: Option<Sent>,
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) listener: ListenerId,
    pub(super) bytes: Vec<u8>,
}

impl Relay {
    /// Creates a relay at 192.0.2.1:5060 with these lines of a list: `[flags] sip:…[ socket=ADDR]`.
    pub(super) fn new(destinations: &[&str]) -> Self {
        Self::listening(&["192.0.2.1:5060"], destinations)
    }

    pub(super) fn listening(addresses: &[&str], destinations: &[&str]) -> Self {
        let listeners = addresses
            .iter()
            .map(|address| Listener {
                name: (*address).to_owned(),
                local: address.parse().unwrap(),
                sent_by: (*address).to_owned(),
                force_rport: false,
            })
            .collect();
        let aliases = [("sip.example.net".to_owned(), 5060)];
        Self::made_of(Listeners::new(listeners, &aliases), 1, destinations)
    }

    pub(super) fn made_of(listeners: Listeners, incarnation: u16, destinations: &[&str]) -> Self {
        let keys = Keys::new(&[MasterKey { id: 1, secret: [42; 32] }]);
        let pins = PinTable::new(PinMemory::on_heap(8_000));
        let shared = Arc::new(Shared::new(listeners, keys, pins, incarnation));
        let mut relay = Self {
            explainer: Explainer::new(&shared),
            workers: vec![Proxy::new(Arc::clone(&shared))],
            shared,
            snapshot: Snapshot {
                version: 0,
                policy: Policy::default(),
                set_default: SetPolicy::default(),
                sets: std::collections::BTreeMap::new(),
                draining: false,
                destinations: crate::destination::Table::default(),
            },
            now: Now::from_ms(1_000_000_000),
            registry: Registry::default(),
            outbox: Outbox::new(),
        };
        relay.load(destinations);
        relay
    }

    /// Loads a new list.
    pub(super) fn load(&mut self, destinations: &[&str]) {
        let records: Vec<_> =
            destinations.iter().enumerate().map(|(at, line)| record(line, at)).collect();
        self.snapshot.version += 1;
        self.snapshot.destinations = self
            .registry
            .load(self.now, &records, &self.shared.listeners, &self.shared.pins)
            .unwrap();
    }

    /// Sends one datagram to the first worker and listener.
    pub(super) fn send(&mut self, from: &str, text: impl AsRef<[u8]>) -> Outcome {
        self.send_to(0, 0, from, text.as_ref())
    }

    pub(super) fn send_to(
        &mut self,
        worker: usize,
        listener: u16,
        from: &str,
        bytes: &[u8],
    ) -> Outcome {
        while self.workers.len() <= worker {
            self.workers.push(Proxy::new(Arc::clone(&self.shared)));
        }
        let flow = Flow::udp(ListenerId(listener), from.parse().unwrap());
        let explained = self.explain(flow, bytes);
        let verdict =
            self.workers[worker].datagram(self.now, &self.snapshot, flow, bytes, &mut self.outbox);
        let entries = self.outbox.entries();
        assert!(entries.len() <= 1, "stateless forwarding sends at most one message");
        let sent = entries.first().map(|entry| Sent {
            to: entry.flow.peer,
            listener: entry.flow.listener,
            bytes: self.outbox.to_vec(entry, bytes),
        });
        if let (Some(entry), Some(sent)) = (entries.first(), &sent) {
            assert_eq!(entry.len, sent.bytes.len());
        }
        let wants_message = !matches!(verdict, Verdict::Dropped(_));
        assert_eq!(wants_message, sent.is_some(), "{verdict:?}");
        // Whatever a test sends, the explanation given before must match to the byte.
        assert_eq!(explained.verdict, verdict, "{explained:?}");
        let said = explained.leaves.map(|leaves| (leaves.flow, leaves.bytes));
        assert_eq!(
            said,
            entries.first().map(|entry| (entry.flow, self.outbox.to_vec(entry, bytes)))
        );
        Outcome { verdict, sent }
    }
}

impl Relay {
    /// Explains a message, and asserts that this changed nothing.
    pub(super) fn explain(&mut self, flow: Flow, bytes: &[u8]) -> Explained {
        let before = self.all_that_moves();
        let explained = self.explainer.explain(self.now, &self.shared, &self.snapshot, flow, bytes);
        assert!(before == self.all_that_moves(), "changed by {explained:?}");
        explained
    }

    /// Returns pins, their counters and turns.
    fn all_that_moves(&self) -> (Vec<u64>, Vec<u64>) {
        let counters = self.shared.pins.counters();
        let counters =
            [&counters.evicted_final, &counters.evicted_live, &counters.contended, &counters.swept];
        let counters = counters.map(|counter| counter.load(Ordering::Relaxed));
        let sets = self.snapshot.destinations.sets().iter();
        let turns = sets.flat_map(|set| {
            let places = set.active.iter().map(|place| place.turns.load(Ordering::Relaxed));
            places.chain([true, false].map(|is_invite| set.turns_taken(is_invite)))
        });
        (self.shared.pins.words(), counters.into_iter().chain(turns).collect())
    }
}

impl Outcome {
    /// Returns the message, which must have been forwarded.
    pub(super) fn forwarded(self) -> Sent {
        assert!(matches!(self.verdict, Verdict::Forwarded(_)), "{self:?}");
        self.sent.unwrap()
    }

    /// Returns where it was forwarded to.
    pub(super) fn next_hop(self) -> String {
        self.forwarded().to.to_string()
    }

    /// Returns the first line of our response.
    pub(super) fn answer(self) -> String {
        assert!(matches!(self.verdict, Verdict::Answered(_)), "{self:?}");
        self.sent.unwrap().text().lines().next().unwrap().to_owned()
    }

    pub(super) fn dropped(self) -> Reason {
        match self.verdict {
            Verdict::Dropped(reason) => reason,
            other => panic!("{other:?}"),
        }
    }
}

impl Sent {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Returns all fields with this name, without the name.
    pub(super) fn rows(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let header = text.split("\r\n\r\n").next().unwrap();
        header
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name}: ")))
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn branch(&self) -> String {
        let via = &self.rows("Via")[0];
        via.split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    }

    /// Returns the Record-Route values, topmost first.
    pub(super) fn record_routes(&self) -> Vec<String> {
        self.rows("Record-Route")
    }
}

/// A request as callers send it.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) via: String,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) call_id: &'a str,
    pub(super) cseq: String,
    pub(super) more: String,
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'a str, call_id: &'a str) -> Self {
        Self {
            method,
            uri: "sip:bob@example.com",
            via: format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call_id}-1"),
            from: "<sip:alice@example.org>;tag=alice",
            to: "<sip:bob@example.com>",
            call_id,
            cseq: format!("1 {method}"),
            more: String::new(),
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { method, uri, via, from, to, call_id, cseq, more } = self;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq}\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }
}

pub(super) fn invite(call_id: &str) -> String {
    Request::new("INVITE", call_id).text()
}

/// Returns a server's response to a request that it got from us.
pub(super) fn response(to: &Sent, status: &str, to_tag: &str) -> String {
    let rows =
        |name| to.rows(name).iter().map(|value| format!("{name}: {value}\r\n")).collect::<String>();
    let tag =
        if to.rows("To")[0].contains("tag=") { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "SIP/2.0 {status}\r\n{}{}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        rows("Via"),
        rows("Record-Route"),
        to.rows("From")[0],
        to.rows("To")[0],
        to.rows("Call-ID")[0],
        to.rows("CSeq")[0],
    )
}

fn record(line: &str, at: usize) -> Resolved {
    let mut words = line.split(' ').peekable();
    let flags =
        words.next_if(|word| word.parse::<u32>().is_ok()).map_or(0, |word| word.parse().unwrap());
    let uri = DestinationUri::parse(words.next().unwrap()).unwrap();
    let socket =
        words.next().map(|word| SocketName(word.strip_prefix("socket=").unwrap().parse().unwrap()));
    let addresses = match uri.host {
        crate::destination::Host::Address(ip) => {
            vec![SocketAddr::new(ip, uri.port_or_default()).into()]
        }
        crate::destination::Host::Name(_) => ["203.0.113.1:5060", "203.0.113.2:5060"]
            .map(|text| text.parse::<SocketAddr>().unwrap().into())
            .into(),
    };
    let attributes = Attributes { socket, ..Attributes::default() };
    let flags = Flags::from_bits(flags).unwrap();
    Resolved {
        record: Record {
            set: 1,
            uri,
            flags,
            priority: 0,
            attributes,
            origin: Origin::Line(at + 1),
        },
        addresses,
    }
}
