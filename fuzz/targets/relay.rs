//! A relay without sockets, of which the law of `tests/oracle` holds for every datagram that it gets.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strowger::clock::Now;
use strowger::destination::{Algorithm, Choosing};
use strowger::keys::{Keys, MasterKey};
use strowger::log::{DispatchRecord, Template};
use strowger::owners::Owners;
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Cause, Event, Flow, Forwarded, FrameBuffer, ListenerId, Outbox, Proxy, Shared, Snapshot,
    Verdict,
};
use strowger::registry::{Choosings, Registry};
use strowger::source::parse;
use strowger::transaction::TransactionRoom;

use super::list::resolved;
use super::world;
pub(crate) use crate::oracle::law::Sent;
use crate::oracle::law::{Case, Law, Origin};

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
    pub(super) law: Law,
    /// Further tries that were sent since they were last taken.
    pub(crate) tries: Vec<(Origin, Sent)>,
}

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

impl Relay {
    /// A relay with a secret of its own for each `seed`, so that no input can hold what another
    /// input's relay has signed.
    pub(crate) fn new(seed: u64, pins: usize) -> Self {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        let keys = vec![MasterKey { id: 1, secret }];
        let shared = share(&keys, pins, 1, seed);
        let law = Law::new(&shared.listeners, &[world::alias()]);
        Self {
            workers: [0, 1].map(|_| Proxy::new(Arc::clone(&shared))),
            shared,
            snapshot: world::snapshot(),
            now: Now::from_ms(1_000_000_000),
            keys,
            lives: 0,
            registry: Registry::default(),
            law,
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
        self.law.load(self.snapshot.version, &records);
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
        self.law.restart();
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
        let (mut verdict, mut sent) = self.deliver(way, bytes);
        if let Verdict::HandedOver(owner) = verdict {
            self.judge(way, bytes, verdict, &sent, false);
            way.worker = owner.into();
            (verdict, sent) = self.deliver(way, bytes);
        }
        let is_new = matches!(verdict, Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried));
        let is_try = is_new && self.live() > live;
        let of_message = sent.iter().find(|one| one.cause != Cause::Transaction).cloned();
        self.assert_reports(way, bytes, verdict, of_message.as_ref().filter(|_| !is_try));
        self.judge(way, bytes, verdict, &sent, is_try);
        sent.retain(|one| one.cause == Cause::Transaction);
        self.note_tries(sent);
        self.expire();
        Outcome { verdict, sent: of_message, is_try }
    }

    fn judge(
        &mut self,
        way: Way,
        came: &[u8],
        verdict: Verdict,
        sent: &[Sent],
        begins_transaction: bool,
    ) {
        let (source, listener) = (way.peer, way.listener);
        let snapshot = &self.snapshot;
        let case = Case { snapshot, came, source, listener, verdict, sent, begins_transaction };
        self.law.judge(&case).unwrap_or_else(|what| panic!("{what}"));
    }

    /// One datagram at one worker.
    fn deliver(&mut self, way: Way, bytes: &[u8]) -> (Verdict, Vec<Sent>) {
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
            (verdict, Sent::all(outbox, frame.slot()))
        })
    }

    /// What one worker has to do now, once.
    pub(super) fn expire_at(&mut self, worker: usize) -> Option<Vec<Sent>> {
        OUTBOX.with_borrow_mut(|(outbox, _)| {
            let Self { now, snapshot, workers, .. } = self;
            let is_any = workers[worker].expire(*now, snapshot, outbox, assert_told);
            is_any.then(|| Sent::all(outbox, &[]))
        })
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
