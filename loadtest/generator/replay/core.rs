//! The relay's core with a configuration, without sockets, and with a clock of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strowger::calls::CallTable;
use strowger::clock::Now;
use strowger::config::{Config, Flags, ListenConfig};
use strowger::control::check_destinations;
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Flow, Forwarded, FrameBuffer, Listener, ListenerId, Listeners, Outbox, Proxy, Shared, Snapshot,
    Transport, Verdict,
};
use strowger::registry::{Choosings, Registry};
use strowger::transaction::TransactionRoom;
use strowger::{resolve, source};

use super::ReplayError;

pub(super) struct Core {
    shared: Arc<Shared>,
    proxy: Proxy,
    snapshot: Snapshot,
    outbox: Outbox,
    frame: FrameBuffer,
    begin: Now,
    now: Now,
    warnings: Vec<String>,
}

/// What became of one datagram.
pub(super) struct Outcome {
    /// `forwarded.chosen`, by the names of the counters.
    pub(super) verdict: String,
    /// A destination was chosen for it.
    pub(super) is_new: bool,
    /// What left, except a 100, and where to.
    pub(super) sent: Option<(SocketAddr, Vec<u8>)>,
}

impl Core {
    /// The core that this configuration makes. `at` are further names of the relay: those of the
    /// captured one.
    pub(super) fn of(file: &Path, at: &[SocketAddr]) -> Result<Self, ReplayError> {
        let told = |problems: Vec<strowger::config::Problem>| {
            ReplayError::Config(problems.iter().map(ToString::to_string).collect())
        };
        let flags = Flags { config: Some(file.to_owned()), ..Flags::default() };
        let config = Config::load(&flags).map_err(told)?;
        let loaded = source::load(&config).map_err(|failure| told(failure.problems()))?;
        let (records, unresolved) = resolve::once(loaded.records, &config);
        let (records, left_out) = check_destinations(&config, records).map_err(told)?;
        let warnings = [config.warnings.clone(), loaded.warnings, unresolved, left_out].concat();

        let listeners = listeners(&config, at);
        let pins = PinTable::pins_for_peak(config.relay.peak_requests_per_second);
        let pins = PinTable::new(PinMemory::on_heap(pins));
        let keys = if config.relay.keys.is_empty() { vec![KEY] } else { config.relay.keys.clone() };
        let room = TransactionRoom {
            count: config.relay.transactions_max,
            bytes: config.relay.transactions_bytes,
        };
        let shared = Shared::new(listeners, Keys::new(&keys), pins, 1)
            .with_calls(CallTable::on_heap(CALLS_MAX))
            .with_transactions(room, None);
        let now = Now::from_ms(1_000_000_000);
        let mut registry = Registry::default();
        let sets = config.sets.iter().map(|(id, set)| (*id, &set.choosing));
        registry.choose_by(Choosings::new(&config.set_default.choosing, sets));
        let destinations =
            registry.load(now, &records, &shared.listeners, &shared.pins).map_err(|errors| {
                ReplayError::Config(errors.iter().map(ToString::to_string).collect())
            })?;
        let snapshot = Snapshot {
            version: 1,
            policy: config.policy,
            set_default: config.set_default,
            sets: config.sets,
            draining: false,
            destinations,
        };
        let shared = Arc::new(shared);
        Ok(Self {
            proxy: Proxy::new(Arc::clone(&shared)),
            shared,
            snapshot,
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            begin: now,
            now,
            warnings,
        })
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where its listeners are.
    pub(super) fn listeners(&self) -> Vec<SocketAddr> {
        self.shared.listeners.iter().map(|(_, listener)| listener.local).collect()
    }

    /// Lets the time pass until so long after the begin; returns how many messages left meanwhile.
    pub(super) fn pass_until(&mut self, since: Duration) -> u64 {
        let end = self.begin.plus_ms(since.as_millis() as u64);
        let mut sent = 0;
        while let Some(due) = self.proxy.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            let (now, snapshot) = (self.now, &self.snapshot);
            while self.proxy.expire(now, snapshot, &mut self.outbox, |_| {}) {
                sent += self.outbox.entries().len() as u64;
            }
        }
        self.now = self.now.max(end);
        sent
    }

    /// One datagram that comes to this listener.
    pub(super) fn datagram(&mut self, at: usize, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let count = self.shared.listeners.iter().count();
        let flow = Flow::new(&self.shared.listeners, ListenerId(at.min(count - 1) as u16), from);
        let frame = self.frame.receive(bytes);
        let verdict = self.proxy.datagram(self.now, &self.snapshot, flow, frame, &mut self.outbox);
        let sent =
            self.outbox.entries().iter().map(|entry| {
                (entry.flow.peer, self.outbox.bytes(entry, self.frame.slot()).to_vec())
            });
        Outcome {
            verdict: word(verdict),
            is_new: matches!(verdict, Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried)),
            // A stateful set answers a new INVITE with a 100 besides.
            sent: sent.rev().find(|(_, bytes)| !bytes.starts_with(b"SIP/2.0 100 ")),
        }
    }
}

fn word(verdict: Verdict) -> String {
    match verdict {
        Verdict::Forwarded(how) => format!("forwarded.{}", how.label()),
        Verdict::Answered(answer) => format!("answered.{}", answer.label()),
        Verdict::Dropped(reason) => format!("dropped.{}", reason.label()),
        Verdict::HandedOver(_) => "handed_over".into(),
    }
}

/// The listeners of a configuration. A wildcard address, which is every address of the machine, is
/// the captured relay's, or loopback.
fn listeners(config: &Config, at: &[SocketAddr]) -> Listeners {
    let listener = |entry: &ListenConfig| {
        let mut local = entry.address;
        if local.ip().is_unspecified() {
            let same = at.iter().find(|at| at.is_ipv4() == local.is_ipv4());
            let loopback = if local.is_ipv4() { "127.0.0.1" } else { "::1" };
            local
                .set_ip(same.map_or_else(|| loopback.parse().expect("an address"), SocketAddr::ip));
        }
        let sent_by = match &entry.advertise {
            Some((host, port)) => format!("{host}:{port}"),
            None => local.to_string(),
        };
        Listener {
            name: entry.name.clone().unwrap_or_else(|| sent_by.clone()),
            local,
            transport: Transport::Udp,
            sent_by,
            force_rport: entry.force_rport,
            set: entry.set,
        }
    };
    let mut names = config.relay.alias.clone();
    names.extend(at.iter().map(|at| (host(*at), at.port())));
    Listeners::new(config.relay.listen.iter().map(listener).collect(), &names)
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// A replay needs no secret.
const KEY: MasterKey = MasterKey { id: 1, secret: [1; 32] };
const CALLS_MAX: usize = 1 << 20;
