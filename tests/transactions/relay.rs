//! The relay: two workers that hand over to each other, each with a list of its own age.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strowger::clock::Now;
use strowger::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved};
use strowger::keys::{Keys, MasterKey};
use strowger::owners::Owners;
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Flow, FrameBuffer, Listener, ListenerId, Listeners, Outbox, Policy, Proxy, SetPolicy, Shared,
    Snapshot, Transport, Verdict,
};
use strowger::registry::Registry;
use strowger::transaction::TransactionRoom;

pub(crate) use crate::oracle::law::Sent;
use crate::oracle::law::{Case, Law};
use crate::plan::Plan;
use crate::random::Random;
use crate::words::Words;

pub(crate) const US: &str = "192.0.2.1:5060";
pub(crate) const WORKERS: usize = 2;
const PINS: usize = 256;

pub(crate) struct Relay {
    pub(crate) shared: Arc<Shared>,
    pub(crate) owners: Owners,
    law: Law,
    registry: Registry,
    workers: Vec<Worker>,
    newest: Rc<Snapshot>,
    /// By server.
    inactive: Vec<bool>,
    outbox: Outbox,
    frame: FrameBuffer,
    words: Words,
}

struct Worker {
    proxy: Proxy,
    snapshot: Rc<Snapshot>,
    /// What its list says.
    inactive: Vec<bool>,
    /// What was handed to it.
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// The address of a server.
pub(crate) fn address_of(server: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, server as u8 + 1], 5060))
}

impl Relay {
    pub(crate) fn new(plan: &Plan, is_thorough: bool) -> Self {
        let listener = Listener {
            name: US.into(),
            local: US.parse().unwrap(),
            transport: Transport::Udp,
            sent_by: US.into(),
            force_rport: false,
            set: None,
        };
        let words = Words::take(PINS);
        let keys = Keys::new(&[MasterKey { id: 1, secret: [42; 32] }]);
        let pins = PinTable::new(PinMemory::new(words.0, 0));
        let mut random = Random::new(plan.owner_seed);
        let owners = Owners::with_words(WORKERS, || random.u64());
        let room = TransactionRoom { count: 64, bytes: plan.bytes };
        let shared = Shared::new(Listeners::new(vec![listener], &[]), keys, pins, 1);
        let shared = Arc::new(shared.with_transactions(room, Some(owners.clone())));
        let mut law = Law::new(&shared.listeners, &[]);
        law.is_thorough = is_thorough;
        let policy = Policy { is_stateful: true, ..Policy::default() };
        let set =
            SetPolicy { stateful: Some(Arc::new(plan.failover.clone())), ..SetPolicy::default() };
        let mut relay = Self {
            registry: Registry::default(),
            workers: Vec::new(),
            newest: Rc::new(Snapshot {
                version: 0,
                policy,
                set_default: set,
                sets: Arc::default(),
                draining: false,
                destinations: Default::default(),
            }),
            inactive: vec![false; plan.servers],
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            shared,
            owners,
            law,
            words,
        };
        relay.publish(0);
        for _ in 0..WORKERS {
            relay.workers.push(Worker {
                proxy: Proxy::new(Arc::clone(&relay.shared)),
                snapshot: Rc::clone(&relay.newest),
                inactive: relay.inactive.clone(),
                queue: VecDeque::new(),
            });
        }
        relay
    }

    /// The worker that has the transactions of this call.
    pub(crate) fn owner(&self, call_id: &str) -> usize {
        self.owners.of(call_id.as_bytes())
    }

    pub(crate) fn switch(&mut self, now: u64, server: usize, inactive: bool) {
        self.inactive[server] = inactive;
        self.publish(now);
    }

    fn publish(&mut self, now: u64) {
        let records: Vec<_> = self.inactive.iter().enumerate().map(record).collect();
        let Shared { listeners, pins, .. } = &*self.shared;
        let destinations =
            self.registry.load(Now::from_ms(now), &records, listeners, pins).unwrap();
        let Snapshot { version, policy, set_default, .. } = &*self.newest;
        self.law.load(version + 1, &records);
        self.newest = Rc::new(Snapshot {
            version: version + 1,
            policy: policy.clone(),
            set_default: set_default.clone(),
            sets: Arc::default(),
            draining: false,
            destinations,
        });
    }

    /// A worker takes the newest list.
    pub(crate) fn catch_up(&mut self, worker: usize) {
        self.workers[worker].snapshot = Rc::clone(&self.newest);
        self.workers[worker].inactive.clone_from(&self.inactive);
    }

    /// Whether a server is inactive in the list of this worker.
    pub(crate) fn is_inactive(&self, worker: usize, server: usize) -> bool {
        self.workers[worker].inactive[server]
    }

    pub(crate) fn datagram(
        &mut self,
        now: u64,
        worker: usize,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(Verdict, Vec<Sent>), String> {
        let before = self.transactions();
        let Self { workers, outbox, frame, shared, .. } = self;
        let flow = Flow::new(&shared.listeners, ListenerId(0), from);
        let Worker { proxy, snapshot, .. } = &mut workers[worker];
        let received = frame.receive(bytes);
        let verdict = proxy.datagram(Now::from_ms(now), snapshot, flow, received, outbox);
        let (snapshot, sent) = (Rc::clone(snapshot), Sent::all(outbox, frame.slot()));
        if let Verdict::HandedOver(owner) = verdict {
            workers[usize::from(owner)].queue.push_back((from, bytes.to_vec()));
        }
        self.law.judge(&Case {
            snapshot: &snapshot,
            came: bytes,
            source: from,
            listener: ListenerId(0),
            verdict,
            sent: &sent,
            begins_transaction: self.transactions() > before,
        })?;
        Ok((verdict, sent))
    }

    /// What was handed to this worker first.
    pub(crate) fn take(&mut self, worker: usize) -> Option<(SocketAddr, Vec<u8>)> {
        self.workers[worker].queue.pop_front()
    }

    /// When a worker has something to do, and which.
    pub(crate) fn next_deadline(&self) -> Option<(u64, usize)> {
        let due = |(number, worker): (usize, &Worker)| {
            worker.proxy.next_deadline().map(|due| (due.ms(), number))
        };
        self.workers.iter().enumerate().filter_map(due).min()
    }

    /// One thing that is due at this worker; `None` if nothing is.
    pub(crate) fn expire(&mut self, now: u64, worker: usize) -> Result<Option<Vec<Sent>>, String> {
        let Worker { proxy, snapshot, .. } = &mut self.workers[worker];
        let is_any = proxy.expire(Now::from_ms(now), snapshot, &mut self.outbox, |_| {});
        let sent = is_any.then(|| Sent::all(&self.outbox, &[]));
        self.law.judge_due(snapshot, sent.as_deref().unwrap_or_default())?;
        Ok(sent)
    }

    /// This worker hears of an ICMP error.
    pub(crate) fn refused(&mut self, now: u64, worker: usize, address: SocketAddr, quote: &[u8]) {
        let Worker { proxy, snapshot, .. } = &mut self.workers[worker];
        proxy.send_failed(Now::from_ms(now), snapshot, address, libc::ECONNREFUSED, quote);
    }

    pub(crate) fn reset(&mut self, worker: usize) {
        self.workers[worker].proxy.restart();
    }

    /// How often there was no room.
    pub(crate) fn no_room(&self) -> u64 {
        self.shared.transaction_counters.no_room.load(Ordering::Relaxed)
    }

    /// Transactions and blocks of both workers.
    pub(crate) fn transactions(&self) -> (usize, usize) {
        let each = self.workers.iter().map(|worker| worker.proxy.transactions());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.words.give_back();
    }
}

fn record((server, inactive): (usize, &bool)) -> Resolved {
    let address = address_of(server);
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&format!("sip:{address}")).unwrap(),
            flags: Flags::from_bits(if *inactive { Flags::INACTIVE } else { 0 }).unwrap(),
            priority: 0,
            attributes: Attributes::default(),
            origin: Origin::Line(server + 1),
        },
        addresses: vec![address.into()],
    }
}
