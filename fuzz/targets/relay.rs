//! A relay without sockets, and the law that holds for every datagram that it gets.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strowger::clock::Now;
use strowger::destination::{Algorithm, Choosing, Slot};
use strowger::keys::{Keys, MasterKey};
use strowger::limits;
use strowger::log::{DispatchRecord, Template};
use strowger::message::{Message, Method, StartLine};
use strowger::owners::Owners;
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Answer, Cause, Event, Flow, ForeignRoute, Forwarded, FrameBuffer, ListenerId, Outbox, Proxy,
    Reason, Rewrite, Shared, Snapshot, Verdict, split_host_port,
};
use strowger::registry::{Choosings, Registry};
use strowger::source::parse;
use strowger::transaction::TransactionRoom;

use super::list::resolved;
use super::naive::find;
use super::world;
use crate::oracle::edits;

/// What a message of ours may be longer than what it was made from: our Via of 150 bytes, two
/// Record-Routes with tokens of IPv6 addresses of 160 each, `received` and `rport` of 70, and two
/// fields that were missing.
pub(super) const GROWTH_MAX: usize = 600;

/// A relay: two workers, three listeners, the control thread's memory and a clock.
pub(crate) struct Relay {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Now,
    /// The keys in use, the one that signs first.
    pub(crate) keys: Vec<MasterKey>,
    /// Counts what makes pins void: restarts.
    pub(crate) lives: usize,
    registry: Registry,
    pub(super) workers: [Proxy; 2],
    /// All that were ever listed: tokens and pins may still name them.
    pub(super) destinations: HashSet<SocketAddr>,
    /// Those of the set for new requests that may be chosen now.
    active: HashSet<SocketAddr>,
    /// Those of any set.
    active_anywhere: HashSet<SocketAddr>,
    /// The response addresses of all requests that were forwarded.
    pub(super) callers: HashSet<SocketAddr>,
    /// The requests that have or had a transaction, or were tried again statelessly, by what the branches
    /// of their tries have in common.
    pub(super) begun: HashMap<Vec<u8>, Origin>,
    /// Further tries that were sent since they were last taken.
    pub(crate) tries: Vec<(Origin, Sent)>,
}

/// A request as it came.
pub(crate) type Origin = (Vec<u8>, Way);

/// A datagram on its way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) worker: usize,
    pub(crate) listener: ListenerId,
    pub(crate) peer: SocketAddr,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) sent: Option<Sent>,
    /// It got a transaction.
    pub(crate) is_try: bool,
}

/// A message that left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) listener: ListenerId,
    pub(crate) bytes: Vec<u8>,
}

impl Relay {
    /// A relay with a secret of its own for each `seed`, so that no input can hold what another
    /// input's relay has signed.
    pub(crate) fn new(seed: u64, pins: usize) -> Self {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        let keys = vec![MasterKey { id: 1, secret }];
        let shared = share(&keys, pins, 1, seed);
        Self {
            workers: [0, 1].map(|_| Proxy::new(Arc::clone(&shared))),
            shared,
            snapshot: world::snapshot(),
            now: Now::from_ms(1_000_000_000),
            keys,
            lives: 0,
            registry: Registry::default(),
            destinations: HashSet::new(),
            active: HashSet::new(),
            active_anywhere: HashSet::new(),
            callers: HashSet::new(),
            begun: HashMap::new(),
            tries: Vec::new(),
        }
    }

    /// Takes over a list, which must be a good one.
    pub(crate) fn load(&mut self, list: &str) {
        let list = parse("list", list.as_bytes()).expect("a good list");
        let records: Vec<_> = list.records.iter().map(resolved).collect();
        let Shared { listeners, pins, .. } = &*self.shared;
        // Each life has another algorithm, beginning with round robin.
        let algorithm = Algorithm::ALL[(self.lives + 4) % Algorithm::ALL.len()].0;
        let choosing = Choosing { algorithm, ..Choosing::default() };
        self.registry.choose_by(Choosings::new(&choosing, []));
        self.snapshot.version += 1;
        self.snapshot.destinations =
            self.registry.load(self.now, &records, listeners, pins).expect("a good list");
        let all = records.iter().flat_map(|record| &record.addresses).map(|address| address.socket);
        self.destinations.extend(all);
        let set = self.snapshot.policy.set;
        let active_of = |is_of: &dyn Fn(u32) -> bool| {
            records
                .iter()
                .filter(|r| is_of(r.record.set) && r.record.flags.is_selectable())
                .flat_map(|record| &record.addresses)
                .map(|address| address.socket)
                .collect()
        };
        self.active = active_of(&|of| of == set);
        self.active_anywhere = active_of(&|_| true);
    }

    /// Ends and starts again: pins are lost, slots are given anew, keys stay, get a new one in
    /// front, or are lost too.
    pub(crate) fn restart(&mut self, keys: Vec<MasterKey>) {
        self.lives += 1;
        self.keys = keys;
        let pins = self.shared.pins.capacity();
        let incarnation = self.shared.incarnation.wrapping_add(1);
        self.shared = share(&self.keys, pins, incarnation, u64::from(incarnation));
        self.workers = [0, 1].map(|_| Proxy::new(Arc::clone(&self.shared)));
        self.registry = Registry::default();
        self.begun.clear();
        self.tries.clear();
    }

    /// Whether pins were evicted: then nothing is promised that needs them.
    pub(crate) fn has_evicted(&self) -> bool {
        let counters = self.shared.pins.counters();
        [&counters.evicted_final, &counters.evicted_live]
            .iter()
            .any(|counter| counter.load(Ordering::Relaxed) > 0)
    }

    /// Whether this address is one of ours.
    pub(crate) fn is_ours(&self, address: SocketAddr) -> bool {
        self.shared.listeners.is_our_address(address.ip(), address.port())
    }

    /// One datagram, what becomes due by it, and the law.
    pub(crate) fn send(&mut self, mut way: Way, bytes: &[u8]) -> Outcome {
        let live = self.live();
        let (mut verdict, mut all) = self.deliver(way, bytes);
        if let Verdict::HandedOver(owner) = verdict {
            assert!(all.is_empty() && self.snapshot.policy.is_stateful);
            way.worker = owner.into();
            (verdict, all) = self.deliver(way, bytes);
        }
        let (of_transactions, mut others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(cause, _)| *cause == Cause::Transaction);
        let (cause, sent) = others.pop().unzip();
        assert!(others.is_empty(), "{} messages besides", others.len());
        let is_new = matches!(verdict, Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried));
        let is_try = is_new && self.live() > live;
        self.assert_reports(way, bytes, verdict, sent.as_ref().filter(|_| !is_try));
        match (verdict, &sent) {
            (Verdict::Dropped(reason), None) => {
                assert_ne!(reason, Reason::Panicked);
            }
            (Verdict::Answered(answer), Some(sent)) => {
                assert_eq!(cause, Some(Cause::Answer));
                self.assert_answer(way, bytes, answer, sent);
            }
            (Verdict::Forwarded(how), Some(sent)) => {
                assert_eq!(cause, Some(Cause::Forward));
                self.assert_forwarded(way, bytes, how, sent);
                if is_try || how == Forwarded::Retried {
                    self.begin(way, bytes, sent);
                }
            }
            (verdict, sent) => panic!("{verdict:?} with {sent:?}"),
        }
        for (_, sent) in of_transactions {
            self.assert_of_transaction(Some(way), sent);
        }
        self.expire();
        Outcome { verdict, sent, is_try }
    }

    /// One datagram at one worker.
    fn deliver(&mut self, way: Way, bytes: &[u8]) -> (Verdict, Vec<(Cause, Sent)>) {
        let flow = Flow::new(&self.shared.listeners, way.listener, way.peer);
        OUTBOX.with_borrow_mut(|(outbox, frame)| {
            let worker = &mut self.workers[way.worker];
            let verdict = worker.datagram_told(
                self.now,
                &self.snapshot,
                flow,
                frame.receive(bytes),
                outbox,
                assert_told,
            );
            (verdict, sent_by(outbox, frame.slot()))
        })
    }

    /// What one worker has to do now, once.
    pub(super) fn expire_at(&mut self, worker: usize) -> Option<Vec<(Cause, Sent)>> {
        OUTBOX.with_borrow_mut(|(outbox, _)| {
            let Self { now, snapshot, workers, .. } = self;
            let is_any = workers[worker].expire(*now, snapshot, outbox, assert_told);
            is_any.then(|| sent_by(outbox, &[]))
        })
    }

    /// To the sender only, by the way it came, and neither to an ACK nor to a response.
    fn assert_answer(&self, way: Way, bytes: &[u8], answer: Answer, sent: &Sent) {
        assert!(!self.is_ours(sent.to), "{} is our own", sent.to);
        if answer == Answer::Repeated {
            // A destination's response goes to who has sent the request first, who need not be who has
            // sent the copy.
            let has_asked = sent.to.ip() == way.peer.ip() || self.callers.contains(&sent.to);
            assert!(has_asked, "{} has asked nothing", sent.to);
            assert!(matches!(Message::read(&sent.bytes).start_line, StartLine::Response { .. }));
            return;
        }
        assert_eq!((sent.to.ip(), sent.listener), (way.peer.ip(), way.listener));
        let text = bytes.trim_ascii_start();
        let is_ack =
            text.starts_with(b"ACK") && !text.get(3).is_some_and(u8::is_ascii_alphanumeric);
        assert!(!is_ack || Message::read(bytes).method != Method::Ack, "an answer to an ACK");
        assert!(!text.to_ascii_uppercase().starts_with(b"SIP/2.0 "), "an answer to a response");
        assert!(sent.bytes.len() <= bytes.len() + GROWTH_MAX);
        let read = Message::read(&sent.bytes);
        let StartLine::Response { code } = read.start_line else {
            panic!("no response: {:?}", sent.bytes);
        };
        let wanted = match answer {
            Answer::NoDestination => 404,
            Answer::Overloaded => 503,
            other => other.label().parse().expect("a code"),
        };
        assert_eq!(code, wanted);
        let asked = Message::read(bytes);
        if asked.fault.is_none() {
            assert_eq!(read.fault, None);
            let [call_id, theirs] = [(&read, &*sent.bytes), (&asked, bytes)]
                .map(|(message, bytes)| message.call_id.expect("no fault").of(bytes));
            assert_eq!(call_id, theirs);
            assert!(code == 100 || read.to_tag.is_some(), "§8.2.6.2: an answer has a To tag");
        }
    }

    /// An ICMP error proves something only if it quotes what was sent to a destination.
    fn assert_reports(&mut self, way: Way, bytes: &[u8], verdict: Verdict, sent: Option<&Sent>) {
        const ECONNREFUSED: i32 = 111;
        let Self { now, snapshot, workers, .. } = self;
        let mut report = |to, quote: &[u8]| {
            workers[way.worker].send_failed(*now, snapshot, to, ECONNREFUSED, quote)
        };
        if let Some(report) = report(way.peer, bytes) {
            assert_eq!(report.address, way.peer);
        }
        if let (Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried), Some(sent)) =
            (verdict, sent)
        {
            let Sent { to, bytes, .. } = sent;
            let proven = report(*to, bytes).expect("a destination");
            assert!(proven.is_proven && proven.probe.is_none(), "{proven:?}");
            assert_eq!(proven.address, *to);
            // As much as the shortest useful quote has.
            report(*to, &bytes[..bytes.len().min(548)]);
        }
    }

    /// To where it may go, and still the message that came.
    fn assert_forwarded(&mut self, way: Way, bytes: &[u8], how: Forwarded, sent: &Sent) {
        let Sent { to, listener, bytes: out } = sent;
        let local = self.shared.listeners.get(*listener).local;
        assert_eq!(local.is_ipv4(), to.is_ipv4(), "from {local} to {to}");
        assert!(out.len() <= bytes.len() + GROWTH_MAX);
        let came = Message::read(bytes);
        let left = Message::read(out);
        assert_eq!((came.fault, left.fault), (None, None), "{}", shown(bytes, out));
        let is_response = matches!(how, Forwarded::Response | Forwarded::ViaParameterLost);
        assert_eq!(matches!(came.start_line, StartLine::Response { .. }), is_response);
        match how {
            Forwarded::Chosen => {
                assert!(self.active.contains(to), "{to} is not active");
                assert!(!self.snapshot.draining);
            }
            // In the set that it was sent to first.
            Forwarded::Retried => {
                assert!(self.active_anywhere.contains(to), "{to} is not active");
                assert!(!self.snapshot.draining);
            }
            Forwarded::Hash => {
                assert!(self.active.contains(to), "{to} is not active");
                assert!(came.to_tag.is_some() || came.method == Method::Cancel);
            }
            Forwarded::Pinned | Forwarded::CallPin | Forwarded::RequestUri => {
                assert!(self.destinations.contains(to), "{to} was never listed");
            }
            Forwarded::Token => assert!(
                self.destinations.contains(to) || self.callers.contains(to) || self.is_route(*to),
                "{to} is nobody of this dialog"
            ),
            Forwarded::Response | Forwarded::ViaParameterLost => {
                assert!(self.callers.contains(to), "{to} has asked nothing");
                assert!(!self.is_ours(*to));
            }
        }
        if !is_response {
            self.callers.insert(response_address(&self.shared, way, &came));
            let sent_by = &self.shared.listeners.get(*listener).sent_by;
            let ours = format!("\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK");
            assert!(find(out, ours.as_bytes()).is_some());
        }
        let checked = if is_response {
            edits::check_response(bytes, out)
        } else {
            self.check_request(way, bytes, how, sent)
        };
        if let Err(difference) = checked {
            panic!("{difference}{}", shown(bytes, out));
        }
    }

    /// Only what a proxy must change was changed.
    pub(super) fn check_request(
        &self,
        way: Way,
        bytes: &[u8],
        how: Forwarded,
        Sent { to, bytes: out, .. }: &Sent,
    ) -> Result<(), String> {
        let listeners = &self.shared.listeners;
        let set = self.snapshot.set_policy(self.snapshot.policy.set);
        let mut names = world::names();
        names.extend(listeners.iter().filter_map(|(_, listener)| {
            split_host_port(&listener.sent_by).map(|(host, port)| (host.to_owned(), port))
        }));
        let relay = edits::Relay {
            sent_by: listeners.iter().map(|(_, listener)| listener.sent_by.clone()).collect(),
            names,
            record_route: set.record_route,
            keeps_foreign_routes: set.foreign_route == ForeignRoute::Keep,
            max_breadth: self.snapshot.policy.max_breadth,
            force_rport: listeners.get(way.listener).force_rport,
        };
        let check = |how| edits::check_request(bytes, out, way.peer, &relay, &how);
        let repeats_invite = matches!(Message::read(bytes).method, Method::Ack | Method::Cancel);
        let is_dispatched =
            matches!(how, Forwarded::Chosen | Forwarded::Retried | Forwarded::Pinned)
                || how == Forwarded::Hash && repeats_invite;
        match how {
            Forwarded::Token => check(edits::How::Token),
            _ if is_dispatched && set.rewrite == Rewrite::Domain => {
                // Of several destinations at one address any may be meant.
                let table = &self.snapshot.destinations;
                let slots = (0..SLOTS_USED as u16).filter_map(|slot| table.get(Slot(slot)));
                slots
                    .filter(|destination| destination.address == *to)
                    .map(|found| {
                        check(edits::How::Dispatched { rewrite: Some(found.host_port.clone()) })
                    })
                    .reduce(Result::or)
                    .expect("it is listed")
            }
            _ if is_dispatched => check(edits::How::Dispatched { rewrite: None }),
            _ => check(edits::How::Other),
        }
    }

    /// A place that the operator lets requests in a dialog be routed to.
    fn is_route(&self, to: SocketAddr) -> bool {
        let ip = to.ip();
        let is_one_host = !ip.is_multicast() && !ip.is_unspecified() && to.port() != 0;
        let allowed = &self.snapshot.policy.in_dialog_to;
        is_one_host
            && !ip.is_loopback()
            && !self.is_ours(to)
            && allowed.iter().any(|prefix| prefix.contains(ip))
    }
}

/// Every value of a dispatch line is printable, whatever the request held.
fn assert_told(event: &Event<'_>) {
    let record = match event {
        Event::Dispatched(new) => DispatchRecord::new(new),
        Event::Left(left) => DispatchRecord::of_left(left),
        Event::Heard(_) | Event::ProbeAnswered(_) => return,
    };
    thread_local! {
        static TEMPLATE: Template = Template::parse(
            "$rm $ru $rU $rd $rp $fu $fU $fd $tu $tU $td $du $dd $dp $ci $si $sp $pr $why $ms",
        )
        .unwrap();
    }
    let mut line = String::new();
    TEMPLATE.with(|template| template.format(&record, &mut line));
    assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
}

/// §18.2.2 and RFC 3581: where answers to this request go.
pub(crate) fn response_address(shared: &Shared, way: Way, request: &Message) -> SocketAddr {
    let via = request.via.expect("no fault");
    let asks = via.rport_whole.is_some() || shared.listeners.get(way.listener).force_rport;
    SocketAddr::new(way.peer.ip(), if asks { way.peer.port() } else { via.port.unwrap_or(5060) })
}

/// What was sent, and why.
fn sent_by(outbox: &Outbox, slot: &[u8]) -> Vec<(Cause, Sent)> {
    let entries = outbox.entries();
    assert!(entries.len() <= limits::OUTBOX_MAX, "{} messages for one", entries.len());
    let sent = entries.iter().map(|entry| {
        let bytes = outbox.bytes(entry, slot).to_vec();
        assert_eq!(entry.len(), bytes.len());
        (entry.cause, Sent { to: entry.flow.peer, listener: entry.flow.listener, bytes })
    });
    sent.collect()
}

fn share(keys: &[MasterKey], pins: usize, incarnation: u16, seed: u64) -> Arc<Shared> {
    let memory = PinMemory::new(Words::zeroed(PinMemory::words_for(pins)), keys[0].id);
    let shared =
        Shared::new(world::listeners(), Keys::new(keys), PinTable::new(memory), incarnation);
    let mut word = seed;
    let owners = Owners::with_words(2, || {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        word
    });
    Arc::new(shared.with_transactions(ROOM, Some(owners)))
}

/// Memory for pins, used again: its part for slots alone is 2 MiB, too much to clear for each input.
struct Words {
    all: Option<Box<[AtomicU64]>>,
    len: usize,
}

/// So little that it is used up now and then.
const ROOM: TransactionRoom = TransactionRoom { count: 6, bytes: 16_384 };
const PINS_MAX: usize = 4_096;
/// More slots than all lists together need.
const SLOTS_USED: usize = 64;

thread_local! {
    /// One for all relays: both are overwritten by each datagram.
    static OUTBOX: RefCell<(Outbox, FrameBuffer)> =
        RefCell::new((Outbox::new(), FrameBuffer::default()));
    static SPARE: Cell<Option<Box<[AtomicU64]>>> = const { Cell::new(None) };
}

impl Words {
    fn zeroed(len: usize) -> Self {
        let new = || (0..PinMemory::words_for(PINS_MAX)).map(|_| AtomicU64::new(0)).collect();
        let all = SPARE.take().unwrap_or_else(new);
        assert!(len <= all.len());
        for word in all[..8 + 4 * SLOTS_USED].iter().chain(&all[PinMemory::words_for(0)..]) {
            word.store(0, Ordering::Relaxed);
        }
        Self { all: Some(all), len }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.all.as_deref().expect("until it is dropped")[..self.len]
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        SPARE.set(self.all.take());
    }
}

pub(super) fn shown(came: &[u8], left: &[u8]) -> String {
    format!("\n{}\nbecame\n{}", came.escape_ascii(), left.escape_ascii()).replace("\\r\\n", "\n")
}
