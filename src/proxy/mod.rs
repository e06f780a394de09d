//! RFC 3261 §16: a datagram and the time go in, a verdict and messages to send come out.
//!
//! It owns no socket, clock or randomness, so that tests, fuzzers, the simulator and the benches
//! drive the same code as the network does.

mod flow;
mod listener;
mod outbox;
mod policy;
mod snapshot;
mod verdict;

use std::sync::Arc;

pub use flow::{Flow, ListenerId, Transport};
pub use listener::{Listener, Listeners, name_hash, split_host_port};
pub use outbox::{Cause, Entry, Outbox};
pub use policy::{
    ForeignRoute, InDialog, Policy, Prefix, Rewrite, SetPolicy, SourceMatch, StatusLine,
};
pub use snapshot::Snapshot;
pub use verdict::{Answer, Forwarded, Reason, Verdict};

use crate::clock::Now;
use crate::keys::Keys;
use crate::pin::PinTable;

/// What all workers share and nothing changes while the process runs.
#[derive(Debug)]
pub struct Shared {
    /// Our own addresses.
    pub listeners: Listeners,
    /// Our secrets.
    pub keys: Keys,
    /// What we chose before.
    pub pins: PinTable,
    /// A random number of this process: slots in our Vias count only when they carry it.
    pub incarnation: u16,
}

/// A new call or request that was given a destination, for the dispatch log.
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
}

impl Proxy {
    /// A core that shares `shared` with the other workers.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Decides about one datagram. The outbox is cleared first.
    pub fn datagram(
        &mut self,
        _now: Now,
        _snapshot: &Snapshot,
        _flow: Flow,
        _bytes: &[u8],
        outbox: &mut Outbox,
    ) -> Verdict {
        outbox.clear();
        let _ = &self.shared;
        Verdict::Dropped(Reason::NotSip)
    }

    /// What was dispatched by the last call of [`Proxy::datagram`], whose verdict was
    /// [`Forwarded::Chosen`] and whose arguments these were.
    pub fn dispatched<'a>(
        &'a self,
        _snapshot: &'a Snapshot,
        _bytes: &'a [u8],
    ) -> Option<Dispatched<'a>> {
        None
    }
}
