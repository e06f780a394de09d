//! One relay: the public core, used as a process uses it. Several workers share one table of pins
//! and a registry; each worker switches to a new list at its own time; restarts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strowger::clock::Now;
use strowger::destination::{
    Attributes, DestinationUri, Flags, Origin, Record, Resolved, SocketName, SourceMatch,
};
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Flow, FrameBuffer, Listener, ListenerId, Listeners, Outbox, Policy, Proxy, SetPolicy, Shared,
    Snapshot, Verdict,
};
use strowger::registry::Registry;

pub(crate) use crate::oracle::law::Sent;
use crate::oracle::law::{self, Law};
use crate::words::Words;

/// One line of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) uri: String,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) state: LineState,
    pub(crate) socket: Option<SocketAddr>,
}

/// The state of all addresses of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LineState {
    Active,
    /// It has failed: copies of unanswered requests may go elsewhere.
    Inactive,
    /// An operator has switched it off: what is there stays there.
    Disabled,
}

impl Line {
    pub(crate) fn is_active(&self) -> bool {
        self.state == LineState::Active
    }
}

/// What was published at one time.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) lines: Vec<Line>,
    pub(crate) is_draining: bool,
    /// The destinations that a worker with this list knows, retired ones included.
    pub(crate) known: BTreeSet<SocketAddr>,
}

impl List {
    pub(crate) fn active(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_active())
    }

    pub(crate) fn is_inactive(&self, address: SocketAddr) -> bool {
        let mut lines = self.lines.iter().filter(|line| line.state == LineState::Inactive);
        lines.any(|line| line.addresses.contains(&address))
    }

    pub(crate) fn lists(&self, address: SocketAddr) -> bool {
        self.lines.iter().any(|line| line.addresses.contains(&address))
    }
}

/// What a relay is made of, and stays.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) aliases: Vec<(String, u16)>,
    pub(crate) secret: u8,
    pub(crate) key_id: u8,
    pub(crate) workers: usize,
    pub(crate) pins: usize,
    pub(crate) policy: Policy,
    pub(crate) set: SetPolicy,
}

pub(crate) struct Relay {
    pub(crate) spec: Spec,
    pub(crate) lists: Vec<List>,
    /// The first list of this process.
    pub(crate) first_list: usize,
    /// Counts the processes: pins and slots of another mean nothing.
    pub(crate) incarnation: u16,
    /// Counts the keys that signed.
    pub(crate) key_generation: u8,
    law: Law,
    shared: Arc<Shared>,
    registry: Registry,
    snapshots: Vec<Rc<Snapshot>>,
    workers: Vec<(Proxy, usize)>,
    outbox: Outbox,
    frame: FrameBuffer,
    swept_at_ms: u64,
    words: Words,
}

/// What became of a datagram.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    pub(crate) verdict: Verdict,
    pub(crate) sent: Option<Sent>,
    /// The number of the list that the worker decided by.
    pub(crate) list: usize,
    /// What the law has to say.
    pub(crate) lawful: Result<(), String>,
}

impl Relay {
    pub(crate) fn new(spec: Spec, lines: Vec<Line>, now_ms: u64, is_thorough: bool) -> Self {
        let words = Words::take(spec.pins);
        let shared = share(&spec, 1, 0, words);
        let mut law = Law::new(&shared.listeners, &spec.aliases);
        law.is_thorough = is_thorough;
        let mut relay = Self {
            lists: Vec::new(),
            first_list: 0,
            incarnation: 1,
            key_generation: 0,
            law,
            shared,
            registry: Registry::default(),
            snapshots: Vec::new(),
            workers: Vec::new(),
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            swept_at_ms: now_ms,
            words,
            spec,
        };
        relay.publish(now_ms, lines, false);
        relay.start_workers();
        relay
    }

    pub(crate) fn newest(&self) -> usize {
        self.lists.len() - 1
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.spec.workers
    }

    /// The listener at this address.
    pub(crate) fn listener_at(&self, address: SocketAddr) -> Option<ListenerId> {
        let at = self.spec.listeners.iter().position(|l| l.local == address)?;
        Some(ListenerId(at as u16))
    }

    pub(crate) fn listener(&self, id: ListenerId) -> &Listener {
        &self.spec.listeners[usize::from(id.0)]
    }

    /// The destination that a worker with this list takes the source for.
    pub(crate) fn destination_of(&self, list: usize, source: SocketAddr) -> Option<SocketAddr> {
        let List { lines, known, .. } = &self.lists[list];
        if self.spec.policy.source_match == SourceMatch::AddressAndPort || known.contains(&source) {
            return known.get(&source).copied();
        }
        let listed = lines.iter().flat_map(|line| &line.addresses);
        listed.chain(known).find(|address| address.ip() == source.ip()).copied()
    }

    pub(crate) fn is_destination(&self, list: usize, source: SocketAddr) -> bool {
        self.destination_of(list, source).is_some()
    }

    /// Whether that destination is in the list now: a new request from it is refused.
    pub(crate) fn is_listed(&self, list: usize, source: SocketAddr) -> bool {
        let lines = &self.lists[list].lines;
        let mut addresses = lines.iter().flat_map(|line| &line.addresses);
        match self.spec.policy.source_match {
            SourceMatch::AddressAndPort => addresses.any(|address| *address == source),
            SourceMatch::Address => addresses.any(|address| address.ip() == source.ip()),
        }
    }

    /// The control thread publishes; workers take it over one after the other.
    pub(crate) fn publish(&mut self, now_ms: u64, lines: Vec<Line>, is_draining: bool) {
        let records: Vec<Resolved> =
            lines.iter().enumerate().map(|(at, line)| record(line, at)).collect();
        self.law.load(self.lists.len() as u64, &records);
        let destinations = self
            .registry
            .load(Now::from_ms(now_ms), &records, &self.shared.listeners, &self.shared.pins)
            .expect("the world makes lists that can be taken");
        let mut known = match self.lists.get(self.first_list) {
            Some(_) => self.lists[self.newest()].known.clone(),
            None => BTreeSet::new(),
        };
        known.extend(lines.iter().flat_map(|line| line.addresses.iter().copied()));
        self.snapshots.push(Rc::new(Snapshot {
            version: self.lists.len() as u64,
            policy: self.spec.policy.clone(),
            set_default: self.spec.set.clone(),
            sets: Arc::default(),
            draining: is_draining,
            destinations,
        }));
        self.lists.push(List { lines, is_draining, known });
    }

    /// One worker takes over the newest list.
    pub(crate) fn catch_up(&mut self, worker: usize) {
        self.workers[worker].1 = self.newest();
    }

    /// A new process with the same configuration and no pins. A new key may sign; the old one still
    /// verifies.
    pub(crate) fn restart(&mut self, now_ms: u64, has_new_key: bool) {
        self.incarnation += 1;
        self.key_generation += u8::from(has_new_key);
        self.words.clear();
        self.shared = share(&self.spec, self.incarnation, self.key_generation, self.words);
        self.registry = Registry::default();
        let lines = self.lists[self.newest()].lines.clone();
        self.first_list = self.lists.len();
        self.publish(now_ms, lines, false);
        self.start_workers();
    }

    /// A worker panicked and starts anew.
    pub(crate) fn reset_worker(&mut self, worker: usize) {
        self.workers[worker].0.restart();
    }

    /// What the control thread does once a second.
    pub(crate) fn sweep_until(&mut self, now_ms: u64) {
        while self.swept_at_ms + 1_000 <= now_ms {
            self.swept_at_ms += 1_000;
            self.shared.pins.sweep(Now::from_ms(self.swept_at_ms));
        }
    }

    pub(crate) fn evictions(&self) -> (u64, u64, u64) {
        let counters = self.shared.pins.counters();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&counters.evicted_final), of(&counters.evicted_live), of(&counters.swept))
    }

    pub(crate) fn datagram(
        &mut self,
        now_ms: u64,
        worker: usize,
        listener: ListenerId,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Handled {
        let (proxy, list) = &mut self.workers[worker];
        let snapshot = &self.snapshots[*list];
        let flow = Flow::new(&self.shared.listeners, listener, from);
        let verdict = {
            let frame = self.frame.receive(bytes);
            proxy.datagram(Now::from_ms(now_ms), snapshot, flow, frame, &mut self.outbox)
        };
        let mut sent = Sent::all(&self.outbox, self.frame.slot());
        let lawful = self.law.judge(&law::Case {
            snapshot,
            came: bytes,
            source: from,
            listener,
            verdict,
            sent: &sent,
            begins_transaction: false,
        });
        Handled { verdict, sent: sent.pop(), list: *list, lawful }
    }

    fn start_workers(&mut self) {
        let newest = self.newest();
        let shared = &self.shared;
        self.workers =
            (0..self.spec.workers).map(|_| (Proxy::new(Arc::clone(shared)), newest)).collect();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.words.give_back();
    }
}

fn share(spec: &Spec, incarnation: u16, key_generation: u8, words: Words) -> Arc<Shared> {
    let listeners = Listeners::new(spec.listeners.clone(), &spec.aliases);
    let masters: Vec<MasterKey> = (0..=key_generation)
        .rev()
        .take(3)
        .map(|generation| MasterKey {
            id: spec.key_id + generation,
            secret: [spec.secret ^ generation << 4; 32],
        })
        .collect();
    let pins = PinTable::new(PinMemory::new(words.0, spec.key_id));
    Arc::new(Shared::new(listeners, Keys::new(&masters), pins, incarnation))
}

fn record(line: &Line, at: usize) -> Resolved {
    let flags = match line.state {
        LineState::Active => 0,
        LineState::Inactive => Flags::INACTIVE,
        LineState::Disabled => Flags::DISABLED,
    };
    let attributes = Attributes { socket: line.socket.map(SocketName), ..Attributes::default() };
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&line.uri).expect("the world writes good URIs"),
            flags: Flags::from_bits(flags).expect("a known flag"),
            priority: 0,
            attributes,
            origin: Origin::Line(at + 1),
        },
        addresses: line.addresses.iter().map(|address| (*address).into()).collect(),
    }
}
