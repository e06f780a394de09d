//! The effect on a worker: gaps between its messages while snapshots are built and published.
//!
//! The worker's thread is on the last core and busy for a third of its time. Every gap is measured
//! twice: as elapsed time, which includes everything else that the machine does, and as processor
//! time of the thread itself, which includes only what the relay's code makes it do, such as cache
//! misses and switching snapshots.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};
use strowger::clock::Now;
use strowger::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved};
use strowger::limits::BATCH;
use strowger::proxy::{
    Flow, Forwarded, FrameBuffer, ListenerId, Listeners, Outbox, Proxy, Shared, Snapshot, Verdict,
};
use strowger::registry::Registry;
use strowger::transport::sys::run_when_idle;

use super::messages::{self, Template};
use super::world;

/// Where the lists are built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Nowhere: there are no reloads.
    Nowhere,
    /// On another core than the worker's.
    OtherCore,
    /// On the worker's, as on a machine with a worker for every core, by a thread like any other.
    SameCore,
    /// On the worker's, as the relay does it: while that core has nothing else to do.
    SameCoreIdle,
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "none",
            Self::OtherCore => "on another core",
            Self::SameCore => "on the worker's core, carelessly",
            Self::SameCoreIdle => "on the worker's core, while it is idle",
        }
    }
}

/// The gaps of one kind of phase.
#[derive(Clone, Debug)]
pub(crate) struct Pauses {
    pub(crate) place: Place,
    pub(crate) reloads: usize,
    pub(crate) messages: u64,
    pub(crate) usual_ns: u64,
    pub(crate) longest_ns: u64,
    pub(crate) own_longest_ns: u64,
    pub(crate) own_over_50_us: u64,
}

/// Phases of all kinds take turns until each had this time.
pub(crate) fn measure(destinations: usize, time: Duration) -> Vec<Pauses> {
    let mut bench = Bench::new(destinations);
    let places = [Place::Nowhere, Place::OtherCore, Place::SameCore, Place::SameCoreIdle];
    let mut gaps = places.map(|_| Gaps::new());
    let mut reloads = [0; 4];
    for _ in 0..PHASES {
        for (at, place) in places.into_iter().enumerate() {
            reloads[at] += bench.phase(place, time / PHASES, &mut gaps[at]);
        }
    }
    let rows = places.into_iter().zip(reloads).zip(&gaps);
    rows.map(|((place, reloads), gaps)| Pauses {
        place,
        reloads,
        messages: gaps.wall.len(),
        usual_ns: gaps.wall.value_at_quantile(0.9999),
        longest_ns: gaps.wall.max(),
        own_longest_ns: gaps.own.max(),
        own_over_50_us: gaps.own.len() - gaps.own.count_between(0, 50_000),
    })
    .collect()
}

/// What both sides use.
struct Bench {
    shared: Arc<Shared>,
    registry: Registry,
    lists: [Vec<Resolved>; 2],
    current: Arc<ArcSwap<Snapshot>>,
    old: Vec<Arc<Snapshot>>,
    version: u64,
    /// Calls of all phases have numbers of their own, so that each is new.
    phases: u64,
}

impl Bench {
    fn new(destinations: usize) -> Self {
        let shared = world::shared(PINS);
        let list = |round| (0..destinations).map(|n| record(n, round)).collect::<Vec<_>>();
        let lists = [0, 1].map(list);
        let mut registry = Registry::default();
        let first = snapshot(&mut registry, &lists[0], &shared, 1);
        let current = Arc::new(ArcSwap::from_pointee(first));
        Self { shared, registry, lists, current, old: Vec::new(), version: 1, phases: 0 }
    }

    /// Lets the worker work for this time, and reloads meanwhile; says how often.
    fn phase(&mut self, place: Place, time: Duration, gaps: &mut Gaps) -> usize {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let (Some(first), Some(last)) = (cores.first().copied(), cores.last().copied()) else {
            panic!("no cores are known");
        };
        self.phases += 1;
        let number = self.phases << 32;
        let is_over = AtomicBool::new(false);
        let (shared, current) = (Arc::clone(&self.shared), Arc::clone(&self.current));
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                core_affinity::set_for_current(last);
                Worker::new(shared, current, number).work(&is_over, gaps);
            });
            // On a thread of its own: what one gives up of its rights it does not get back.
            let control = scope.spawn(|| {
                let is_beside = matches!(place, Place::SameCore | Place::SameCoreIdle);
                core_affinity::set_for_current(if is_beside { last } else { first });
                if place == Place::SameCoreIdle {
                    run_when_idle().expect("leave to be idle");
                }
                self.reload_for(time, place)
            });
            let reloads = control.join().expect("reloads that do not panic");
            is_over.store(true, Ordering::Relaxed);
            worker.join().expect("a worker that does not panic");
            reloads
        })
    }

    fn reload_for(&mut self, time: Duration, place: Place) -> usize {
        let begin = Instant::now();
        let mut reloads = 0;
        while begin.elapsed() < time {
            if place == Place::Nowhere {
                thread::sleep(time / 10);
                continue;
            }
            self.reload();
            reloads += 1;
            thread::sleep(Duration::from_millis(5));
        }
        reloads
    }

    /// As the relay's control side: build, publish, free what no worker has any more.
    fn reload(&mut self) {
        self.version += 1;
        let records = &self.lists[(self.version % 2) as usize];
        let next = snapshot(&mut self.registry, records, &self.shared, self.version);
        self.old.push(self.current.swap(Arc::new(next)));
        self.old.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

struct Worker {
    proxy: Proxy,
    snapshots: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    outbox: Outbox,
    messages: Vec<Template>,
    frame: FrameBuffer,
    listeners: Listeners,
    number: u64,
}

impl Worker {
    fn new(shared: Arc<Shared>, current: Arc<ArcSwap<Snapshot>>, number: u64) -> Self {
        let caller = "203.0.113.10:5060".parse().expect("an address");
        Self {
            listeners: shared.listeners.clone(),
            proxy: Proxy::new(shared),
            snapshots: Cache::new(current),
            outbox: Outbox::new(),
            messages: (0..BATCH / 2).map(|_| messages::invite(caller)).collect(),
            frame: FrameBuffer::default(),
            number,
        }
    }

    /// Handles new INVITEs as a worker does, until it is told to stop: every 300 us as many as came
    /// meanwhile. In between it sleeps as one that waits for datagrams, but for the end of that time,
    /// since the kernel may end a sleep 50 us late.
    fn work(&mut self, is_over: &AtomicBool, gaps: &mut Gaps) {
        let caller: SocketAddr = "203.0.113.10:5060".parse().expect("an address");
        let flow = Flow::new(&self.listeners, ListenerId(0), caller);
        let begin = Instant::now();
        let mut due = begin;
        while !is_over.load(Ordering::Relaxed) {
            due = (due + PERIOD).max(Instant::now());
            thread::sleep((due - Instant::now()).saturating_sub(SPIN));
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            let mut last = (due, own_time());
            let snapshot = self.snapshots.load();
            // So that all pins of 240 s fit the table.
            let now = Now::from_ms(1_000_000_000 + begin.elapsed().as_millis() as u64 * 60);
            for message in &mut self.messages {
                self.number += 1;
                message.number(self.number);
                let bytes = message.bytes();
                let frame = self.frame.receive(bytes);
                let verdict = self.proxy.datagram(now, snapshot, flow, frame, &mut self.outbox);
                assert_eq!(verdict, Verdict::Forwarded(Forwarded::Chosen));
                let this = (Instant::now(), own_time());
                gaps.add(this.0 - last.0, this.1.saturating_sub(last.1));
                last = this;
            }
        }
    }
}

struct Gaps {
    wall: Histogram<u64>,
    own: Histogram<u64>,
}

impl Gaps {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        Self { wall: histogram(), own: histogram() }
    }

    fn add(&mut self, wall: Duration, own: Duration) {
        self.wall.saturating_record(wall.as_nanos() as u64);
        self.own.saturating_record(own.as_nanos() as u64);
    }
}

/// The processor time of this thread.
fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

fn snapshot(
    registry: &mut Registry,
    records: &[Resolved],
    shared: &Shared,
    version: u64,
) -> Snapshot {
    let now = Now::from_ms(1_000_000_000);
    let destinations = registry
        .load(now, records, &shared.listeners, &shared.pins)
        .expect("a list that can be loaded");
    world::snapshot(version, destinations)
}

/// A tenth of the list is elsewhere in every second round, and a tenth disabled.
fn record(number: usize, round: usize) -> Resolved {
    let is_renewed = number.is_multiple_of(10);
    let is_disabled = number % 10 == 1 && round == 1;
    let offset = if is_renewed && round == 1 { 1 << 16 } else { 0 };
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + number as u32 + offset);
    let record = Record {
        set: 1,
        uri: DestinationUri::parse(&format!("sip:{ip}:5060")).expect("a URI"),
        flags: Flags::from_bits(if is_disabled { Flags::DISABLED } else { 0 }).expect("flags"),
        priority: 0,
        attributes: Attributes::default(),
        origin: Origin::Line(number),
    };
    Resolved { record, addresses: vec![SocketAddr::from((ip, 5060)).into()] }
}

/// How often messages come, and how long before the worker wakes.
const PERIOD: Duration = Duration::from_micros(300);
const SPIN: Duration = Duration::from_micros(100);

/// Phases of each kind: what changes on the machine meets all of them.
const PHASES: u32 = 5;

/// Room for the pins of 240 s, of which four go by in the bench.
const PINS: usize = 8_000_000;
