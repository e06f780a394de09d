//! RFC 3261 §16: takes a datagram and the time, and returns a verdict and messages to send.
//!
//! It owns no socket, clock or randomness, so tests, fuzzers, the simulator and the benches run the
//! same code as the network does. [`Proxy::datagram`] parses the message and passes it to `request`
//! or `response`; these decide, and `forward` or `answer` write the outgoing message.

mod answer;
mod branch;
mod explain;
mod flow;
mod forward;
mod in_dialog;
mod neighbour;
mod outbox;
mod policy;
mod request;
mod response;
mod snapshot;
mod verdict;
mod via_parameter;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

pub use explain::{
    Explained, Explainer, Leads, Leaves, OwnRoute, Remembered, Rule, Speaker, Token,
    likely_listener, likely_source,
};
pub use flow::{Flow, Transport};
pub use outbox::{Cause, Entry, Outbox};
pub use policy::{ForeignRoute, InDialog, Policy, Prefix, Rewrite, SetPolicy, Sips, StatusLine};
pub use snapshot::Snapshot;
pub use verdict::{Answer, Forwarded, Reason, Verdict};

pub use crate::destination::SourceMatch;
pub use crate::listener::{Listener, ListenerId, Listeners, name_hash, split_host_port};

use self::in_dialog::Dialog;
use crate::clock::Now;
use crate::destination::Slot;
use crate::keys::Keys;
use crate::message::{Edits, Message, Routes, Span, StartLine};
use crate::pin::PinTable;

/// What all workers share. It never changes while the process runs.
#[derive(Debug)]
pub struct Shared {
    /// Our own addresses.
    pub listeners: Listeners,
    /// Our secrets.
    pub keys: Keys,
    /// What we chose before.
    pub pins: PinTable,
    /// A random number of this process: slots in our Vias count only with this number.
    pub incarnation: u16,
    cores: AtomicU16,
}

impl Shared {
    /// Combines what the workers share.
    pub fn new(listeners: Listeners, keys: Keys, pins: PinTable, incarnation: u16) -> Self {
        Self { listeners, keys, pins, incarnation, cores: AtomicU16::new(0) }
    }
}

/// A new request that got a destination, for the dispatch log.
#[derive(Clone, Copy, Debug)]
pub struct Dispatched<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The Request-URI.
    pub request_uri: &'a [u8],
    /// The whole From value.
    pub from: &'a [u8],
    /// The whole To value.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The URI of the destination.
    pub destination: &'a str,
}

/// The core of one worker.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    core: Core,
}

/// What a worker's core uses besides what it shares.
#[derive(Debug)]
struct Core {
    /// Unique for each core: see [`PinTable::claim`].
    number: u16,
    message: Message,
    routes: Routes,
    edits: Edits,
    /// The Request-URI after the swap of a strict router before us was undone (§16.4).
    request_uri_edited: Option<Span>,
    chosen: Option<Slot>,
}

/// One datagram, and everything that the decision depends on.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    now: Now,
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    flow: Flow,
    bytes: &'a [u8],
}

impl Arrival<'_> {
    /// Returns whether the source may send to us at all: it is in `allow`, or a destination.
    fn is_allowed(&self) -> bool {
        let policy = &self.snapshot.policy;
        policy.allows(&self.flow.peer)
            || self.snapshot.destinations.by_source(self.flow.peer, policy.source_match).is_some()
    }

    fn force_rport(&self) -> bool {
        self.shared.listeners.get(self.flow.listener).force_rport
    }
}

impl Proxy {
    /// Creates a core that shares `shared` with the other workers.
    pub fn new(shared: Arc<Shared>) -> Self {
        // Relaxed: the numbers only have to differ.
        let number = shared.cores.fetch_add(1, Ordering::Relaxed);
        let core = Core::new(number);
        Self { shared, core }
    }

    /// Resets the core after a panic; nothing is left of the message that caused it.
    pub fn reset(&mut self) {
        self.core = Core::new(self.core.number);
    }

    /// Decides about one datagram. The outbox is cleared first; afterwards it holds at most one
    /// message.
    pub fn datagram(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        flow: Flow,
        bytes: &[u8],
        outbox: &mut Outbox,
    ) -> Verdict {
        outbox.clear();
        self.core.datagram(&Arrival { now, shared: &self.shared, snapshot, flow, bytes }, outbox)
    }

    /// Returns what the last call of [`Proxy::datagram`] dispatched. Its verdict must have been
    /// [`Forwarded::Chosen`], and the arguments must be the same.
    pub fn dispatched<'a>(
        &self,
        snapshot: &'a Snapshot,
        bytes: &'a [u8],
    ) -> Option<Dispatched<'a>> {
        let message = &self.core.message;
        let destination = snapshot.destinations.get(self.core.chosen?)?;
        let StartLine::Request { method, uri } = message.start_line else {
            return None;
        };
        Some(Dispatched {
            method: method.of(bytes),
            request_uri: uri.of(bytes),
            from: message.from?.of(bytes),
            to: message.to?.of(bytes),
            call_id: message.call_id?.of(bytes),
            destination: &destination.uri,
        })
    }
}

impl Core {
    fn new(number: u16) -> Self {
        Self {
            number,
            message: Message::default(),
            routes: Routes::default(),
            edits: Edits::default(),
            request_uri_edited: None,
            chosen: None,
        }
    }

    fn datagram(&mut self, at: &Arrival, outbox: &mut Outbox) -> Verdict {
        if !at.is_allowed() && !self.proves_itself(at) {
            return Verdict::Dropped(Reason::NotAllowed);
        }
        self.chosen = None;
        self.request_uri_edited = None;
        self.edits.clear();
        match at.bytes.first() {
            None => return Verdict::Dropped(Reason::KeepAlive),
            Some(0 | 1) => return Verdict::Dropped(Reason::Stun),
            Some(_) if at.bytes.len() > usize::from(u16::MAX) => {
                return Verdict::Dropped(Reason::Truncated);
            }
            Some(_) => {}
        }
        self.message = Message::read(at.bytes);
        if self.message.start == at.bytes.len() {
            return Verdict::Dropped(Reason::KeepAlive);
        }
        // Our own address as a source is forged, or a destination that is ourselves.
        let peer = at.flow.peer;
        if at.shared.listeners.is_our_address(peer.ip(), peer.port()) {
            return Verdict::Dropped(Reason::SelfLoop);
        }
        match self.message.start_line {
            StartLine::NotSip => Verdict::Dropped(Reason::NotSip),
            StartLine::Response { code } => self.response(at, code, outbox),
            StartLine::BadResponse => Verdict::Dropped(Reason::MalformedResponse),
            _ => self.request(at, outbox),
        }
    }

    /// Returns whether a message from an address that is not in `allow` belongs to a call of ours:
    /// a response whose Via verifies, or a request whose token verifies. This way a server that was
    /// removed from the list can still end its calls.
    fn proves_itself(&mut self, at: &Arrival) -> bool {
        if at.bytes.len() > usize::from(u16::MAX) {
            return false;
        }
        self.message = Message::read(at.bytes);
        match self.message.start_line {
            _ if self.message.fault.is_some() => false,
            StartLine::Response { .. } => self.verify_response(at).is_ok(),
            StartLine::Request { .. } => {
                self.routes.read(&self.message, at.bytes)
                    && matches!(self.take_own_routes(at), Dialog::Verified(..))
            }
            _ => false,
        }
    }
}
