//! A relay without sockets: its workers, its control thread and its clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use crate::oracle::law::Sent;
use crate::oracle::law::{Case, Law};
use strowger::clock::Now;
use strowger::destination::{
    Attributes, Choosing, DestinationUri, Flags, Host, Origin, Record, Resolved, SocketName, Table,
};
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Dispatched, Event, Explained, Explainer, Flow, Forwarded, FrameBuffer, Heard, LeftTry,
    Listener, ListenerId, Listeners, Outbox, Policy, Prefix, ProbeAnswer, Proxy, Reading, Reason,
    SetPolicy, Shared, Snapshot, Transport, Unreachable, Verdict,
};
use strowger::registry::{Choosings, Registry};
use strowger::transaction::{Failover, TransactionRoom};

/// How long a destination is trusted after it was retired: the longest life of a pin.
pub(crate) const TRUST_MS: u64 = 1_800_000;

/// The address of a relay with one listener.
pub(crate) const US: &str = "192.0.2.1:5060";

/// Messages of one relay that the law reads. Further ones are a flood of the same.
const THOROUGHLY_JUDGED_MAX: usize = 500;

pub(crate) struct Relay {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Now,
    /// What holds of everything that it does.
    pub(crate) law: Law,
    judged: usize,
    registry: Registry,
    workers: Vec<Proxy>,
    outbox: Outbox,
    frame: FrameBuffer,
    reading: Reading,
    dispatched: Option<[String; 6]>,
    heard: Option<Heard>,
    probe_answer: Option<ProbeAnswer>,
    explainer: Explainer,
    told: Vec<String>,
    /// Whoever is told of something panics.
    pub(crate) panics_when_told: bool,
}

/// What became of one datagram.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) sent: Option<Sent>,
}

impl Relay {
    /// A relay at 192.0.2.1:5060 with these lines of a list:
    /// `[flags] [set=N] sip:…[ socket=ADDRESS][ priority=N][ weight=N][ rweight=N]
    /// [ cps=N][ cps_burst=N]`.
    pub(crate) fn new(destinations: &[&str]) -> Self {
        Self::listening(&[US], destinations)
    }

    /// A relay with these listeners, that is also called sip.example.net.
    pub(crate) fn listening(addresses: &[&str], destinations: &[&str]) -> Self {
        Self::made_of(listeners(addresses), 1, destinations)
    }

    pub(crate) fn made_of(listeners: Listeners, incarnation: u16, destinations: &[&str]) -> Self {
        Self::with_keys(listeners, keys(&[1]), incarnation, destinations)
    }

    pub(crate) fn with_keys(
        listeners: Listeners,
        keys: Keys,
        incarnation: u16,
        destinations: &[&str],
    ) -> Self {
        let pins = PinTable::new(PinMemory::on_heap(8_000));
        let alias = ("sip.example.net".to_owned(), 5060);
        let has_alias = listeners.is_our_name(alias.0.as_bytes(), alias.1);
        let mut law = Law::new(&listeners, &Vec::from_iter(has_alias.then_some(alias)));
        law.has_ancestors = incarnation > 1;
        let room = TransactionRoom { count: 1_000, bytes: 1 << 20 };
        let shared = Shared::new(listeners, keys, pins, incarnation);
        let shared = Arc::new(shared.with_transactions(room, None));
        let mut relay = Self {
            explainer: Explainer::new(),
            law,
            judged: 0,
            workers: vec![Proxy::new(Arc::clone(&shared))],
            shared,
            snapshot: Snapshot {
                version: 0,
                policy: Policy::default(),
                set_default: SetPolicy::default(),
                sets: Arc::default(),
                draining: false,
                destinations: Table::default(),
            },
            now: Now::from_ms(1_000_000_000),
            registry: Registry::default(),
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            reading: Reading::default(),
            dispatched: None,
            heard: None,
            probe_answer: None,
            told: Vec::new(),
            panics_when_told: false,
        };
        relay.load(destinations);
        relay
    }

    /// Takes over a new list.
    pub(crate) fn load(&mut self, destinations: &[&str]) {
        let records: Vec<_> =
            destinations.iter().enumerate().map(|(at, line)| record(line, at)).collect();
        self.load_records(&records);
    }

    /// A relay that chooses this way, with these lines.
    pub(crate) fn choosing(choosing: &Choosing, destinations: &[&str]) -> Self {
        let mut relay = Self::new(&[]);
        relay.choose_by(choosing, destinations);
        relay
    }

    /// Takes over a new list and another way to choose.
    pub(crate) fn choose_by(&mut self, choosing: &Choosing, destinations: &[&str]) {
        self.registry.choose_by(Choosings::new(choosing, []));
        self.load(destinations);
    }

    pub(crate) fn load_records(&mut self, records: &[Resolved]) {
        self.snapshot.version += 1;
        self.law.load(self.snapshot.version, records);
        self.snapshot.destinations = self
            .registry
            .load(self.now, records, &self.shared.listeners, &self.shared.pins)
            .unwrap();
    }

    /// Ends the trust in destinations that were retired long ago, and frees their slots.
    pub(crate) fn end_trust(&mut self) {
        self.registry = self.registry.without_ended(self.now);
        let unused = self.registry.unused().to_vec();
        self.shared.pins.clear_slots(|slot| unused.contains(&slot));
        self.registry.free(&unused);
        self.snapshot.version += 1;
        self.snapshot.destinations = self.registry.table();
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// One datagram to the first worker and listener.
    pub(crate) fn send(&mut self, from: &str, text: impl AsRef<[u8]>) -> Outcome {
        self.send_to(0, 0, from, text.as_ref())
    }

    pub(crate) fn send_to(
        &mut self,
        worker: usize,
        listener: u16,
        from: &str,
        bytes: &[u8],
    ) -> Outcome {
        while self.workers.len() <= worker {
            self.workers.push(Proxy::new(Arc::clone(&self.shared)));
        }
        let flow = self.flow(listener, from);
        // Operators explain messages, which fit a datagram.
        let explained = u16::try_from(bytes.len()).is_ok().then(|| self.explain_at(flow, bytes));
        let pins = self.shared.pins.count();
        (self.dispatched, self.heard, self.probe_answer) = (None, None, None);
        // The explanation is not read ahead, so it shows that this changes nothing.
        let frame = self.frame.receive(bytes);
        self.workers[worker].read_ahead(frame.bytes(), &mut self.reading);
        let verdict = self.workers[worker].datagram_told(
            self.now,
            &self.snapshot,
            flow,
            frame.with_reading(&mut self.reading),
            &mut self.outbox,
            |event| match event {
                Event::Dispatched(told) => {
                    assert_eq!(told.source, flow.peer);
                    assert_eq!(told.is_invite, told.method == b"INVITE");
                    let destination = self.snapshot.destinations.get(told.slot).unwrap();
                    assert_eq!(destination.uri, told.destination);
                    self.dispatched = Some(words(told));
                }
                Event::Heard(heard) => self.heard = Some(*heard),
                Event::ProbeAnswered(answer) => self.probe_answer = Some(*answer),
                Event::Left(_) => panic!("stateless forwarding has no tries"),
            },
        );
        let is_probe_reply = verdict == Verdict::Dropped(Reason::ProbeReply);
        assert!(self.probe_answer.is_none() || is_probe_reply);
        assert!(!is_probe_reply || pins == self.shared.pins.count());
        let is_dispatched =
            matches!(verdict, Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried));
        assert_eq!(self.dispatched.is_some(), is_dispatched);
        let sent = Sent::all(&self.outbox, self.frame.slot());
        self.judge(flow, bytes, verdict, &sent, false);
        assert!(sent.len() <= 1, "stateless forwarding sends at most one message");
        let sent = sent.into_iter().next();
        // Every message of every test is explained first, and the explanation must be exact.
        if let Some(explained) = explained {
            assert_eq!(explained.verdict, verdict, "{explained:?}");
            let said = explained.leaves.map(|leaves| (leaves.flow, leaves.bytes));
            let flow = self.outbox.entries().first().map(|entry| entry.flow);
            let left = flow.zip(sent.as_ref().map(|sent| sent.bytes.clone()));
            assert_eq!(said, left);
        }
        Outcome { verdict, sent }
    }

    /// The law holds of every message of every test.
    fn judge(&mut self, flow: Flow, came: &[u8], verdict: Verdict, sent: &[Sent], begins: bool) {
        self.judged += 1;
        self.law.is_thorough = self.judged <= THOROUGHLY_JUDGED_MAX;
        let case = Case {
            snapshot: &self.snapshot,
            came,
            source: flow.peer,
            listener: flow.listener,
            verdict,
            sent,
            begins_transaction: begins,
        };
        if let Err(what) = self.law.judge(&case) {
            panic!("{what}");
        }
    }

    /// A relay that forwards statefully.
    pub(crate) fn stateful(failover: Failover, destinations: &[&str]) -> Self {
        let mut relay = Self::new(destinations);
        relay.snapshot.policy.is_stateful = true;
        relay.snapshot.set_default.stateful = Some(Arc::new(failover));
        relay
    }

    /// One datagram to the first worker and listener of a relay with transactions: its verdict, and
    /// everything that is sent.
    pub(crate) fn deliver(&mut self, from: &str, text: impl AsRef<[u8]>) -> (Verdict, Vec<Sent>) {
        let flow = self.flow(0, from);
        let (before, _) = self.transactions();
        let frame = self.frame.receive(text.as_ref());
        self.workers[0].read_ahead(frame.bytes(), &mut self.reading);
        self.told.clear();
        let verdict = self.workers[0].datagram_told(
            self.now,
            &self.snapshot,
            flow,
            frame.with_reading(&mut self.reading),
            &mut self.outbox,
            |event| {
                assert!(!self.panics_when_told, "told");
                self.told.push(named(event));
            },
        );
        let sent = Sent::all(&self.outbox, self.frame.slot());
        let begins = self.transactions().0 > before;
        self.judge(flow, text.as_ref(), verdict, &sent, begins);
        (verdict, sent)
    }

    /// Everything that is due now.
    pub(crate) fn expire(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.told.clear();
        let (now, snapshot) = (self.now, &self.snapshot);
        while self.workers[0].expire(now, snapshot, &mut self.outbox, |event| {
            assert!(!self.panics_when_told, "told");
            self.told.push(named(event));
        }) {
            sent.extend(Sent::all(&self.outbox, &[]));
        }
        if let Err(what) = self.law.judge_due(snapshot, &sent) {
            panic!("{what}");
        }
        sent
    }

    /// Lets the time pass until something is due and was sent, at most this long; returns what is sent, and how
    /// many milliseconds that took.
    pub(crate) fn wait(&mut self, at_most_ms: u64) -> (u64, Vec<Sent>) {
        let begin = self.now;
        let end = begin.plus_ms(at_most_ms);
        while let Some(due) = self.workers[0].next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            let sent = self.expire();
            if !sent.is_empty() {
                return (self.now.ms() - begin.ms(), sent);
            }
        }
        self.now = end;
        (at_most_ms, self.expire())
    }

    /// How many transactions there are, and how many blocks of memory they use.
    pub(crate) fn transactions(&self) -> (usize, usize) {
        self.workers[0].transactions()
    }

    /// What was told since the last datagram, or the last time that something was due.
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }

    /// What would be logged of the last datagram: method, Request-URI, From, To, Call-ID and
    /// destination.
    pub(crate) fn dispatched(&self) -> Option<&[String; 6]> {
        self.dispatched.as_ref()
    }

    /// What was told of the last datagram if it was a destination's response.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.heard
    }

    /// What was told of the last datagram if it was a probe's reply.
    pub(crate) fn probe_answer(&self) -> Option<ProbeAnswer> {
        self.probe_answer
    }

    /// What the core says of a report.
    pub(crate) fn report(&mut self, to: &str, errno: i32, quote: &[u8]) -> Option<Unreachable> {
        let to = to.parse().unwrap();
        self.workers[0].send_failed(self.now, &self.snapshot, to, errno, quote)
    }

    fn flow(&self, listener: u16, from: &str) -> Flow {
        Flow::new(&self.shared.listeners, ListenerId(listener), from.parse().unwrap())
    }

    /// Recovers the first worker as after a panic.
    pub(crate) fn reset(&mut self) {
        self.workers[0].reset();
    }

    /// Explains a message that comes to the first listener.
    pub(crate) fn explain(&mut self, from: &str, text: impl AsRef<[u8]>) -> Explained {
        self.explain_at(self.flow(0, from), text.as_ref())
    }

    fn explain_at(&mut self, flow: Flow, bytes: &[u8]) -> Explained {
        let before = self.pin_counts();
        let explained = self.explainer.explain(self.now, &self.shared, &self.snapshot, flow, bytes);
        assert_eq!(before, self.pin_counts(), "changed by {explained:?}");
        explained
    }

    fn pin_counts(&self) -> Vec<u64> {
        let counters = self.shared.pins.counters();
        let counters =
            [&counters.evicted_final, &counters.evicted_live, &counters.contended, &counters.swept];
        let counters = counters.iter().map(|counter| counter.load(Ordering::Relaxed));
        counters.chain([self.shared.pins.count() as u64]).collect()
    }
}

impl Outcome {
    /// The message, which must have been forwarded.
    pub(crate) fn forwarded(self) -> Sent {
        assert!(matches!(self.verdict, Verdict::Forwarded(_)), "{self:?}");
        self.sent.unwrap()
    }

    /// Where it was forwarded to.
    pub(crate) fn next_hop(self) -> String {
        self.forwarded().to.to_string()
    }

    /// The first line of our answer.
    pub(crate) fn answer(self) -> String {
        assert!(matches!(self.verdict, Verdict::Answered(_)), "{self:?}");
        self.sent.unwrap().text().lines().next().unwrap().to_owned()
    }

    pub(crate) fn dropped(self) -> Reason {
        match self.verdict {
            Verdict::Dropped(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// In one text: `token 10.0.0.1:5060`, `403`, or `bad_ack`, by the names of the counters.
    pub(crate) fn summary(&self) -> String {
        match self.verdict {
            Verdict::Forwarded(how) => {
                format!("{} {}", how.label(), self.sent.as_ref().unwrap().to)
            }
            Verdict::Answered(answer) => answer.label().to_owned(),
            Verdict::Dropped(reason) => reason.label().to_owned(),
            Verdict::HandedOver(worker) => format!("handed_over {worker}"),
        }
    }
}

impl Sent {
    pub(crate) fn first_line(&self) -> String {
        self.text().lines().next().unwrap().to_owned()
    }

    pub(crate) fn record_routes(&self) -> Vec<String> {
        self.rows("Record-Route")
    }

    /// Its Record-Routes as Routes, in their order.
    pub(crate) fn routes(&self) -> String {
        self.record_routes().iter().map(|value| format!("Route: {value}\r\n")).collect()
    }
}

/// Listeners at these addresses, that are also called sip.example.net.
pub(crate) fn listeners(addresses: &[&str]) -> Listeners {
    let listener = |address: &&str| Listener {
        name: (*address).to_owned(),
        local: address.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: (*address).to_owned(),
        force_rport: false,
        set: None,
    };
    Listeners::new(
        addresses.iter().map(listener).collect(),
        &[("sip.example.net".to_owned(), 5060)],
    )
}

/// Keys with these numbers; the first signs.
pub(crate) fn keys(ids: &[u8]) -> Keys {
    let master = |id: &u8| MasterKey { id: *id, secret: [41 + id; 32] };
    Keys::new(&ids.iter().map(master).collect::<Vec<_>>())
}

/// `192.0.2.0/24 …` as prefixes.
pub(crate) fn prefixes(text: &str) -> Vec<Prefix> {
    let prefix = |text: &str| {
        let (ip, bits) = text.split_once('/').unwrap();
        Prefix::new(ip.parse().unwrap(), bits.parse().unwrap()).unwrap()
    };
    text.split_whitespace().map(prefix).collect()
}

/// One line of a list; a name has two addresses.
pub(crate) fn record(line: &str, at: usize) -> Resolved {
    let mut words = line.split(' ').peekable();
    let flags =
        words.next_if(|word| word.parse::<u32>().is_ok()).map_or(0, |word| word.parse().unwrap());
    let set = words
        .next_if(|word| word.starts_with("set="))
        .map_or(1, |word| word["set=".len()..].parse().unwrap());
    let uri = DestinationUri::parse(words.next().unwrap()).unwrap();
    let mut attributes = Attributes::default();
    let mut priority = 0;
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "socket" => attributes.socket = Some(SocketName(value.parse().unwrap())),
            "priority" => priority = value.parse().unwrap(),
            "weight" => attributes.weight = Some(value.parse().unwrap()),
            "cps" => attributes.calls_per_second = Some(value.parse().unwrap()),
            "cps_burst" => attributes.burst = Some(value.parse().unwrap()),
            "maxload" => attributes.maxload = Some(value.parse().unwrap()),
            "rweight" => attributes.rweight = Some(value.parse().unwrap()),
            _ => panic!("{word}"),
        }
    }
    let addresses = match uri.host {
        Host::Address(ip) => vec![SocketAddr::new(ip, uri.port_or_default()).into()],
        Host::Name(_) => ["203.0.113.1:5060", "203.0.113.2:5060"]
            .map(|text| text.parse::<SocketAddr>().unwrap().into())
            .into(),
    };
    let flags = Flags::from_bits(flags).unwrap();
    Resolved {
        record: Record { set, uri, flags, priority, attributes, origin: Origin::Line(at + 1) },
        addresses,
    }
}

/// An event in a few words.
fn named(event: &Event<'_>) -> String {
    match event {
        Event::Dispatched(told) => format!("dispatched {}", told.destination),
        Event::Left(LeftTry { of, why, after_ms }) => {
            format!("left {} after {after_ms} ms: {why}", of.destination)
        }
        Event::Heard(heard) => {
            let Heard { slot, code, is_first, is_final, .. } = heard;
            let more = |is, word| if is { word } else { "" };
            format!(
                "heard {} {code}{}{}",
                slot.0,
                more(*is_first, " first"),
                more(*is_final, " final")
            )
        }
        Event::ProbeAnswered(answer) => format!("probe answered {}", answer.code),
    }
}

fn words(told: &Dispatched<'_>) -> [String; 6] {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    [
        text(told.method),
        text(told.request_uri),
        text(told.from),
        text(told.to),
        text(told.call_id),
        told.destination.to_owned(),
    ]
}
