//! Calls through a core without sockets, and the time of each of their messages.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strowger::clock::Now;
use strowger::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved};
use strowger::proxy::{Cause, Flow, FrameBuffer, ListenerId, Outbox, Proxy, Shared, Snapshot};
use strowger::registry::Registry;
use strowger::transaction::{Failover, TransactionRoom};

use super::{messages, world};

/// A core without sockets, and calls through it.
pub(crate) struct Core {
    proxy: Proxy,
    snapshot: Snapshot,
    shared: Arc<Shared>,
    outbox: Outbox,
    frame: FrameBuffer,
    now: Now,
    number: u64,
    invite: messages::Template,
}

impl Core {
    /// A core with room for so many transactions.
    pub(crate) fn new(is_stateful: bool, room: usize) -> Self {
        let room = TransactionRoom { count: room, bytes: room * 2_048 };
        let shared = world::shared_with(4 << 20, room);
        let now = Now::from_ms(1_000_000_000);
        let records: Vec<_> = (0..10).map(record).collect();
        let table = Registry::default()
            .load(now, &records, &shared.listeners, &shared.pins)
            .expect("a list that can be loaded");
        let mut snapshot = world::snapshot(1, table);
        if is_stateful {
            snapshot.policy.is_stateful = true;
            // A call of these rings until it is answered, or an hour.
            let failover = Failover { ringing_ms: RINGING_MS, ..Failover::default() };
            snapshot.set_default.stateful = Some(Arc::new(failover));
        }
        Self {
            proxy: Proxy::new(Arc::clone(&shared)),
            snapshot,
            shared,
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            now,
            number: 0,
            invite: messages::invite(caller()),
        }
    }

    fn handle(&mut self, from: SocketAddr, bytes: &[u8]) -> Duration {
        let flow = Flow::new(&self.shared.listeners, ListenerId(0), from);
        let frame = self.frame.receive(bytes);
        let begin = Instant::now();
        self.proxy.datagram(self.now, &self.snapshot, flow, frame, &mut self.outbox);
        begin.elapsed()
    }

    /// Begins one more call; returns what its destination gets, and how long it took.
    fn begin(&mut self) -> (SocketAddr, Vec<u8>, Duration) {
        self.number += 1;
        let mut invite = self.invite.clone();
        invite.number(self.number);
        let took = self.handle(caller(), invite.bytes());
        let sent = self.outbox.entries().iter().find(|entry| entry.cause == Cause::Forward);
        let sent = sent.expect("it is forwarded");
        (sent.flow.peer, self.outbox.bytes(sent, self.frame.slot()).to_vec(), took)
    }

    /// Does what is due; returns how much that was.
    pub(crate) fn expire(&mut self) -> usize {
        let mut done = 0;
        while self.proxy.expire(self.now, &self.snapshot, &mut self.outbox, |_| {}) {
            done += 1;
        }
        done
    }

    /// Begins calls that ring until so many transactions are alive.
    pub(crate) fn ring(&mut self, live: usize) {
        while self.live() < live {
            let (server, request, _) = self.begin();
            // A call that rings keeps its request and its 180.
            self.handle(server, &messages::response(&request, "180 Ringing"));
        }
    }

    /// Returns how many transactions are alive.
    pub(crate) fn live(&self) -> usize {
        self.proxy.transactions().0
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Measures this many calls.
    pub(crate) fn measure(&mut self, calls: usize) -> Times {
        let [mut invite, mut ringing, mut ok] = [(); 3].map(|()| Vec::with_capacity(calls));
        for _ in 0..calls {
            let (server, request, took) = self.begin();
            invite.push(took);
            let response = messages::response(&request, "180 Ringing");
            ringing.push(self.handle(server, &response));
            let response = messages::response(&request, "200 OK");
            ok.push(self.handle(server, &response));
        }
        Times { invite: median(invite), ringing: median(ringing), ok: median(ok) }
    }
}

/// Longer than any of the benches lets pass.
pub(crate) const RINGING_MS: u32 = 3_600_000;

/// Median times of one call's messages.
pub(crate) struct Times {
    pub(crate) invite: Duration,
    pub(crate) ringing: Duration,
    pub(crate) ok: Duration,
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn caller() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(203, 0, 113, 10), 5060))
}

fn record(number: usize) -> Resolved {
    let address = SocketAddr::from((Ipv4Addr::new(10, 1, 0, 1 + number as u8), 5060));
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&format!("sip:{address}")).expect("a URI"),
            flags: Flags::default(),
            priority: 0,
            attributes: Attributes::default(),
            origin: Origin::Line(number + 1),
        },
        addresses: vec![address.into()],
    }
}
