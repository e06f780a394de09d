//! The relay's core without sockets, and batches of messages for it. `core` measures their time,
//! `one_message` is for counting their instructions.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strowger::clock::Now;
use strowger::destination::{
    Attributes, Choosing, DestinationUri, Flags, Origin, Record, Resolved, Set, Slot,
};
use strowger::message::{Message, Method, StartLine};
use strowger::pin::{Claim, Kind, PinKey, PinTable, State};
use strowger::proxy::{
    Cause, Flow, Forwarded, FrameBuffer, ListenerId, Outbox, Proxy, Readings, Shared, Snapshot,
    Verdict,
};
use strowger::registry::{Choosings, Registry};
use strowger::stats::Traffic;
use strowger::transaction::TransactionRoom;
use strowger::transport::sys::Mapping;

use super::messages::{self, Template};
use super::world;

/// Messages of one batch, as many as a worker takes from its socket at once.
pub(crate) const BATCH: usize = strowger::limits::BATCH;

/// The core of one worker, and the room that its messages are written to.
pub(crate) struct Core {
    proxy: Proxy,
    snapshot: Snapshot,
    shared: Arc<Shared>,
    outbox: Outbox,
    frame: FrameBuffer,
    /// The datagrams of a batch.
    batch: Vec<FrameBuffer>,
    readings: Readings,
    traffic: Traffic,
    now: Now,
}

impl Core {
    /// A core with this many destinations, and a pin table in which `living` pins are alive and
    /// which has room for twice as many, as a relay's has.
    pub(crate) fn new(destinations: usize, living: usize) -> Self {
        Self::choosing(&Choosing::default(), destinations, living)
    }

    /// The same, with another way to choose.
    pub(crate) fn choosing(choosing: &Choosing, destinations: usize, living: usize) -> Self {
        let room = TransactionRoom { count: 1 << 16, bytes: 1 << 27 };
        let shared = world::shared_with((2 * living).max(PINS_MIN), room);
        let now = Now::from_ms(1_000_000_000);
        fill(&shared.pins, living, now);
        let records: Vec<_> = (0..destinations).map(record).collect();
        let mut registry = Registry::default();
        registry.choose_by(Choosings::new(choosing, []));
        let table = registry
            .load(now, &records, &shared.listeners, &shared.pins)
            .expect("a list that can be loaded");
        Self {
            proxy: Proxy::new(Arc::clone(&shared)),
            snapshot: world::snapshot(1, table),
            shared,
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            batch: vec![FrameBuffer::default(); BATCH],
            readings: Readings::default(),
            traffic: traffic(),
            now,
        }
    }

    /// The core of another worker of the same relay.
    pub(crate) fn beside(&self) -> Self {
        Self {
            proxy: Proxy::new(Arc::clone(&self.shared)),
            snapshot: world::snapshot(1, self.snapshot.destinations.clone()),
            shared: Arc::clone(&self.shared),
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            batch: vec![FrameBuffer::default(); BATCH],
            readings: Readings::default(),
            traffic: traffic(),
            now: self.now,
        }
    }

    /// The same with transactions, for the default way to choose.
    pub(crate) fn stateful(destinations: usize, living: usize) -> Self {
        let mut core = Self::new(destinations, living);
        core.snapshot.policy.is_stateful = true;
        core.snapshot.set_default.stateful = Some(Arc::default());
        core
    }

    /// Does what is due for transactions.
    pub(crate) fn expire(&mut self) {
        let Self { proxy, snapshot, outbox, now, .. } = self;
        while proxy.expire(*now, snapshot, outbox, |_| {}) {}
    }

    /// Handles one datagram as a worker does, up to the bytes that would be sent.
    pub(crate) fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Verdict {
        let flow = Flow::new(&self.shared.listeners, ListenerId(0), from);
        let frame = self.frame.receive(bytes);
        let Self { proxy, snapshot, outbox, traffic, now, .. } = self;
        proxy.datagram_told(*now, snapshot, flow, frame, outbox, |event| traffic.count(0, event))
    }

    /// Receives datagram `i` of a batch.
    fn receive(&mut self, i: usize, bytes: &[u8]) {
        self.batch[i].receive(bytes);
    }

    /// Reads datagram `i` of the batch before it is handled.
    fn read_ahead(&mut self, i: usize) {
        let Self { proxy, batch, readings, .. } = self;
        proxy.read_ahead(batch[i].frame().bytes(), readings.of(i));
    }

    /// Handles datagram `i` of the batch, which has been read ahead, up to the bytes that would be sent.
    fn handle(&mut self, i: usize, from: SocketAddr) -> Verdict {
        let flow = Flow::new(&self.shared.listeners, ListenerId(0), from);
        let Self { proxy, snapshot, batch, readings, outbox, traffic, now, .. } = self;
        let frame = batch[i].frame().with_reading(readings.of(i));
        proxy.datagram_told(*now, snapshot, flow, frame, outbox, |event| traffic.count(0, event))
    }

    /// Its only set.
    pub(crate) fn set(&self) -> &Set {
        &self.snapshot.destinations.sets()[0]
    }

    /// The message that was sent last and where it went.
    pub(crate) fn sent(&self) -> (SocketAddr, &[u8]) {
        // A transaction sends its 100 first.
        let entries = self.outbox.entries();
        let entry = entries.iter().find(|entry| entry.cause != Cause::Transaction);
        let entry = entry.expect("a message");
        (entry.flow.peer, self.outbox.bytes(entry, self.frame.slot()))
    }

    /// Lets time pass.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Sets the clock, also back.
    pub(crate) fn set_ms(&mut self, ms: u64) {
        self.now = Now::from_ms(ms);
    }

    /// Pins thrown out of full buckets so far, living ones and those of ended transactions.
    pub(crate) fn evicted(&self) -> u64 {
        let counters = self.shared.pins.counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        count(&counters.evicted_live) + count(&counters.evicted_final)
    }

    /// How many pins fit.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.pins.capacity()
    }

    /// How many pins there are; a walk over the whole table.
    pub(crate) fn pins(&self) -> usize {
        self.shared.pins.count()
    }
}

/// What the core is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Case {
    /// INVITEs, each of another call.
    NewInvite,
    /// Copies of INVITEs that were seen.
    InviteAgain,
    /// 200s to forwarded INVITEs.
    Ok,
    /// Callers' BYEs with the token in our Route.
    Bye,
    /// The longest request of RFC 4475, copies of one that was seen.
    Longest,
}

impl Case {
    /// All cases.
    pub(crate) const ALL: [Self; 5] =
        [Self::NewInvite, Self::InviteAgain, Self::Ok, Self::Bye, Self::Longest];

    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NewInvite => "invite-new",
            Self::InviteAgain => "invite-again",
            Self::Ok => "200",
            Self::Bye => "bye",
            Self::Longest => "longreq",
        }
    }

    fn verdict(self) -> Verdict {
        Verdict::Forwarded(match self {
            Self::NewInvite => Forwarded::Chosen,
            Self::InviteAgain | Self::Longest => Forwarded::Pinned,
            Self::Ok => Forwarded::Response,
            Self::Bye => Forwarded::Token,
        })
    }
}

/// A batch of messages of one case, of [`BATCH`] different calls.
pub(crate) struct Batch {
    case: Case,
    messages: Vec<(SocketAddr, Template)>,
    number: u64,
    /// How far the clock goes on with each batch.
    step_ms: u64,
}

impl Batch {
    /// Makes the messages, and checks what the core makes of them.
    ///
    /// # Panics
    /// When the core does not do what it should.
    pub(crate) fn new(case: Case, core: &mut Core) -> Self {
        let messages = (0..BATCH as u64).map(|n| prepare(case, n, core)).collect();
        Self::of(case, messages, FIRST_NUMBER, core)
    }

    /// A batch of new INVITEs for one of several workers, each with numbers of its own.
    pub(crate) fn of_worker(worker: u64, core: &mut Core) -> Self {
        let invites = vec![(caller(), messages::invite(caller())); BATCH];
        Self::of(Case::NewInvite, invites, FIRST_NUMBER * (worker + 1), core)
    }

    /// A batch of new INVITEs with so many header fields, and a body.
    ///
    /// # Panics
    /// When the core does not do what it should.
    pub(crate) fn of_invites(rows: usize, body: &str, core: &mut Core) -> Self {
        let invite = (caller(), messages::invite_with(caller(), rows, body));
        Self::of(Case::NewInvite, vec![invite; BATCH], FIRST_NUMBER, core)
    }

    fn of(case: Case, messages: Vec<(SocketAddr, Template)>, number: u64, core: &mut Core) -> Self {
        let mut batch = Self {
            case,
            messages,
            number,
            // Later than the unit of the pins' clock, so that every message renews its pin.
            step_ms: 4_000,
        };
        batch.renew(core);
        for (from, message) in &batch.messages {
            assert_eq!(core.datagram(*from, message.bytes()), case.verdict());
            check_sent(case, message.bytes(), core);
        }
        batch
    }

    /// Lets as many pins end with each batch as it puts in, so that `living` stay alive.
    pub(crate) fn keeping(mut self, living: usize) -> Self {
        self.step_ms = (240_000 * BATCH / living.max(1)).clamp(1, 300_000) as u64;
        self
    }

    /// Makes each message new, if the case wants that, and receives it; lets time pass.
    pub(crate) fn renew(&mut self, core: &mut Core) {
        for (i, (_, message)) in self.messages.iter_mut().enumerate() {
            self.number += 1;
            message.number(self.number);
            core.receive(i, message.bytes());
        }
        core.pass_ms(self.step_ms);
        core.expire();
    }

    /// Only reads the first `count` messages; says how many were read wrongly.
    #[inline(never)]
    pub(crate) fn read(&self, count: usize) -> usize {
        let messages = self.messages[..count].iter();
        messages
            .filter(|(_, message)| {
                let read = Message::read(std::hint::black_box(message.bytes()));
                std::hint::black_box(&read).fault.is_some()
            })
            .count()
    }

    /// Lets the core handle the first `count` messages; says how many got another verdict than
    /// they should.
    #[inline(never)]
    pub(crate) fn relay(&self, core: &mut Core, count: usize) -> usize {
        let wanted = self.case.verdict();
        let mut wrong = 0;
        // As a worker does.
        for part in Readings::parts(count) {
            part.clone().for_each(|i| core.read_ahead(i));
            for i in part {
                wrong += usize::from(core.handle(i, self.messages[i].0) != wanted);
            }
        }
        wrong
    }

    /// How long one message is.
    pub(crate) fn message_len(&self) -> usize {
        self.messages[0].1.bytes().len()
    }
}

fn prepare(case: Case, number: u64, core: &mut Core) -> (SocketAddr, Template) {
    let caller = caller();
    let mut invite = messages::invite(caller);
    match case {
        Case::NewInvite => return (caller, invite),
        Case::Longest => {
            let template = Template::new(LONGEST);
            core.datagram(caller, template.bytes());
            return (caller, template);
        }
        _ => {}
    }
    invite.number(number);
    let verdict = core.datagram(caller, invite.bytes());
    assert_eq!(verdict, Case::NewInvite.verdict());
    let (server, forwarded) = core.sent();
    let ok = messages::response(forwarded, "200 OK");
    match case {
        Case::InviteAgain => (caller, Template::new(invite.bytes())),
        Case::Ok => (server, Template::new(ok)),
        _ => {
            assert_eq!(core.datagram(server, &ok), Case::Ok.verdict());
            let (_, ok) = core.sent();
            (caller, messages::in_dialog("BYE", 2, caller, ok))
        }
    }
}

/// What every forwarded message must be like: where it goes, and what stands on top.
fn check_sent(case: Case, received: &[u8], core: &Core) {
    let (next_hop, sent) = core.sent();
    let read = check_read(case, received);
    let text = String::from_utf8_lossy(sent);
    if case == Case::Ok {
        assert_eq!(next_hop, caller());
        assert!(!text.contains("Via: SIP/2.0/UDP 192.0.2.1:5060"), "{text}");
        return;
    }
    assert_eq!(next_hop.port(), 5060);
    assert!(core.snapshot.destinations.by_address(next_hop).is_some());
    let own = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK";
    assert!(text.lines().any(|line| line.starts_with(own)), "{text}");
    let records = text.matches("Record-Route: <sip:").count();
    let own_records = received.windows(14).filter(|w| w == b"Record-Route: ").count();
    assert_eq!(records, own_records + usize::from(case != Case::Bye));
    assert!(!text.contains("\r\nRoute: "), "{text}");
    let body = &received[read.end - 20..read.end];
    assert!(case == Case::Bye || sent.ends_with(body));
}

/// What the reader must have found.
fn check_read(case: Case, bytes: &[u8]) -> Message {
    let read = Message::read(bytes);
    assert_eq!(read.fault, None);
    assert_eq!(read.end, bytes.len());
    let (method, cseq) = match case {
        Case::Bye => (Method::Other, 2),
        Case::Longest => (Method::Invite, 3_882_340),
        _ => (Method::Invite, 1),
    };
    assert_eq!((read.cseq_method, read.cseq_number), (method, cseq));
    if let StartLine::Request { method, .. } = read.start_line {
        assert!(bytes.starts_with(method.of(bytes)));
    } else {
        assert_eq!(case, Case::Ok);
    }
    let call_id = read.call_id.expect("a Call-ID").of(bytes);
    let from_tag = read.from_tag.expect("a From tag").of(bytes);
    if case == Case::Longest {
        assert!(call_id.starts_with(b"longreq.one") && call_id.ends_with(b"longcallid"));
        assert!(from_tag.starts_with(b"1298298298"));
    } else {
        assert!(call_id.ends_with(b"-3fa9@203.0.113.20"));
        assert_eq!(from_tag, b"8d5f2a7c");
    }
    read
}

/// The counters of one worker.
fn traffic() -> Traffic {
    Traffic::new(Mapping::private(Traffic::words_for(1)).expect("memory"), 1)
}

/// Puts in `living` pins, evenly over the time that a pin lives.
fn fill(pins: &PinTable, living: usize, now: Now) {
    let begin = now.ms() - 240_000;
    for n in 0..living {
        let at = Now::from_ms(begin + 240_000 * n as u64 / living as u64);
        // SplitMix64: keys are hashes, so numbers that look like hashes stand for them.
        let mut key = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if let Claim::Claimed(claimed) = pins.claim(at, PinKey(key ^ (key >> 31)), Kind::Invite, 0)
        {
            claimed.commit(Slot(0), State::Final);
        }
    }
}

fn record(number: usize) -> Resolved {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 1).to_bits() + number as u32);
    let address = SocketAddr::from((ip, 5060));
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&format!("sip:{address}")).expect("a URI"),
            flags: Flags::default(),
            priority: 0,
            attributes: Attributes {
                weight: Some(1 + (number * 37 % 100) as u8),
                ..Attributes::default()
            },
            origin: Origin::Line(number + 1),
        },
        addresses: vec![address.into()],
    }
}

fn caller() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 5060))
}

/// Above the numbers of messages that were prepared.
const FIRST_NUMBER: u64 = 1 << 32;

/// Room for pins in the smallest table: some for each message of a batch.
const PINS_MIN: usize = 1 << 13;

const LONGEST: &[u8] = include_bytes!("../tests/data/rfc4475/longreq.dat");
